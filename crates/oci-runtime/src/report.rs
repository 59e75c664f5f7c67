//! What comes out: results on standard output, errors on standard error and in the log of the caller.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use error::{Doing as _, Error, Result};
use serde_json::json;

use crate::arguments::Invocation;

/// Where a caller reads errors: containerd's shim takes the last line with the level `error`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    file: Option<PathBuf>,
    json: bool,
}

impl Log {
    /// The log that was asked for. crun's callers write `file:PATH`.
    pub(crate) fn of(invocation: &Invocation) -> Self {
        let path = invocation.value("log").filter(|path| !path.is_empty());
        let path = path.map(|path| path.strip_prefix("file:").unwrap_or(path));
        let elsewhere = |path: &&str| path.starts_with("journald:") || path.starts_with("syslog:");
        Self {
            file: path.filter(|path| !elsewhere(path)).map(PathBuf::from),
            json: invocation.value("log-format") == Some("json"),
        }
    }

    /// Tells why a command failed.
    #[expect(clippy::print_stderr, reason = "this is where errors come out")]
    pub(crate) fn error(&self, error: &Error) {
        let message = words(error);
        eprintln!("error: {message}");
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
        self.write("error", &message);
    }

    /// Tells what a caller should know although the command goes on.
    #[expect(clippy::print_stderr, reason = "this is where warnings come out")]
    pub(crate) fn warning(&self, message: &str) {
        eprintln!("warning: {message}");
        self.write("warning", message);
    }

    /// A log that cannot be written is not worth another error.
    fn write(&self, level: &str, message: &str) {
        let Some(path) = &self.file else { return };
        let time = jiff::Timestamp::now().to_string();
        let line = if self.json {
            json!({"level": level, "msg": message, "time": time}).to_string()
        } else {
            format!("time={time:?} level={level} msg={message:?}")
        };
        if let Ok(mut file) = File::options().append(true).create(true).open(path) {
            let _ = writeln!(file, "{line}");
        }
    }
}

/// The errors of a chain on one line, each once.
fn words(error: &Error) -> String {
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
