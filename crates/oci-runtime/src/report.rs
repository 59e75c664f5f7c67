//! What comes out: results on standard output, errors on standard error and in the log of the caller.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;

use error::{Doing as _, Error, Refused, Result};
use serde_json::json;

use crate::arguments::Invocation;
use crate::help::Name;

/// Where a caller reads errors: containerd's shim takes the last line of the file with the level `error`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    place: Option<Place>,
    form: Form,
    least: Level,
}

/// Where the log is written, opened: it may be out of reach later.
#[derive(Debug)]
enum Place {
    File(File),
    /// systemd-journald's socket, and the name that entries get.
    Journal(UnixDatagram, String),
    /// The socket of syslog(3), and the name that lines begin with.
    Syslog(UnixDatagram, String),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Form {
    #[default]
    Text,
    Json,
}

/// How much something matters; what matters less than asked for is not told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Debug,
    #[default]
    Warning,
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// syslog(3)'s number.
    const fn priority(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Warning => 4,
            Self::Error => 3,
        }
    }
}

/// Native journal protocol, <https://systemd.io/JOURNAL_NATIVE_PROTOCOL>.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// syslog(3).
const SYSLOG: &str = "/dev/log";
/// The facility `user` of syslog(3), where the priority goes into the lowest three bits.
const USER: u8 = 1 << 3;

impl Log {
    /// The log that was asked for: `FILE` or `file:FILE`, and as crun has it `journald:NAME` and `syslog:NAME`.
    ///
    /// # Errors
    /// Refused for an unknown format or level; a kernel error where the place cannot be reached.
    pub(crate) fn open(invocation: &Invocation) -> Result<Self> {
        let form = match invocation.value("log-format").unwrap_or_default() {
            "" | "text" => Form::Text,
            "json" => Form::Json,
            other => return Err(Refused::new("--log-format", other, "is no format").hint("use text or json").into()),
        };
        let least = match invocation.value("log-level").unwrap_or_default() {
            _ if invocation.has("debug") => Level::Debug,
            "debug" => Level::Debug,
            "" | "info" | "warning" => Level::Warning,
            "error" => Level::Error,
            other => {
                let refused = Refused::new("--log-level", other, "is no level");
                return Err(refused.hint("use debug, info, warning or error").into());
            }
        };
        let place = invocation.value("log").filter(|place| !place.is_empty()).map(Place::open).transpose()?;
        Ok(Self { place, form, least })
    }

    /// Tells why a command failed.
    #[expect(clippy::print_stderr, reason = "this is where errors come out")]
    pub(crate) fn error(&self, error: &Error) {
        let message = words(error);
        eprintln!("error: {message}");
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
        self.write(Level::Error, &message);
    }

    /// Tells what a caller should know although the command goes on.
    #[expect(clippy::print_stderr, reason = "this is where warnings come out")]
    pub(crate) fn warning(&self, message: &str) {
        if self.least <= Level::Warning {
            eprintln!("warning: {message}");
            self.write(Level::Warning, message);
        }
    }

    /// Tells who looks for a fault what is done.
    #[expect(clippy::print_stderr, reason = "this is where it comes out")]
    pub(crate) fn debug(&self, message: &str) {
        if self.least <= Level::Debug {
            eprintln!("debug: {message}");
            self.write(Level::Debug, message);
        }
    }

    /// A log that cannot be written any more is not worth another error.
    fn write(&self, level: Level, message: &str) {
        let _ = match &self.place {
            None => Ok(()),
            Some(Place::File(file)) => { file }.write_all(self.line(level, message).as_bytes()),
            Some(Place::Journal(socket, name)) => {
                let priority = level.priority();
                let entry = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER={name}\nID={name}\nMESSAGE={message}\n");
                socket.send(entry.as_bytes()).map(drop)
            }
            Some(Place::Syslog(socket, name)) => {
                let line = format!("<{}>{name}[{}]: {message}", USER | level.priority(), std::process::id());
                socket.send(line.as_bytes()).map(drop)
            }
        };
    }

    /// A line of a file, in one piece: several callers may have the same.
    fn line(&self, level: Level, message: &str) -> String {
        let (level, time) = (level.word(), jiff::Timestamp::now().to_string());
        match self.form {
            Form::Json => format!("{}\n", json!({"level": level, "msg": message, "time": time})),
            Form::Text => format!("time={time:?} level={level} msg={message:?}\n"),
        }
    }
}

impl Place {
    fn open(text: &str) -> Result<Self> {
        let name = |name: &str| if name.is_empty() { Name::called().word() } else { name }.replace('\n', " ");
        if let Some(of) = text.strip_prefix("journald:") {
            return connect(JOURNAL).map(|socket| Self::Journal(socket, name(of)));
        }
        if let Some(of) = text.strip_prefix("syslog:") {
            return connect(SYSLOG).map(|socket| Self::Syslog(socket, name(of)));
        }
        let path = text.strip_prefix("file:").unwrap_or(text);
        let opened = File::options().append(true).create(true).open(path);
        opened.map(Self::File).doing(|| format!("open the log {path}"))
    }
}

fn connect(path: &str) -> Result<UnixDatagram> {
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(path).map(|()| socket));
    connected.doing(|| format!("connect to the log {path}"))
}

/// The errors of a chain on one line, each once.
pub(crate) fn words(error: &Error) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        let known = cause.downcast_ref::<error::Errno>().map(|errno| std::io::Error::from(*errno).to_string());
        let text = known.unwrap_or(text);
        message.push_str(": ");
        message.push_str(text.split(" (os error").next().unwrap_or(&text));
        source = cause.source();
    }
    message.replace('\n', " ")
}

/// Prints a command's result.
///
/// # Errors
/// A kernel error where it cannot be written.
pub(crate) fn line(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").doing(|| "write to standard output")
}
