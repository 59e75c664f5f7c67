//! Messages for a syslog daemon: RFC 3164, RFC 5424, and as syslog(3) writes them to /dev/log.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Stream;

/// A syslog daemon, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syslog {
    /// Where it listens.
    pub target: Target,
    /// The number of the facility, of [`FACILITIES`].
    pub facility: u8,
    /// What a message looks like.
    pub format: Format,
}

impl Default for Syslog {
    fn default() -> Self {
        Self { target: Target::Datagrams(PathBuf::from("/dev/log")), facility: 3, format: Format::Unix }
    }
}

/// Where a syslog daemon listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A socket of this host that takes datagrams.
    Datagrams(PathBuf),
    /// A socket of this host that takes a stream.
    Stream(PathBuf),
    /// A UDP port.
    Udp(SocketAddr),
    /// A TCP port.
    Tcp(SocketAddr),
}

/// As it is asked for.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagrams(path) => write!(f, "unixgram://{}", path.display()),
            Self::Stream(path) => write!(f, "unix://{}", path.display()),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

impl Format {
    /// Docker's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unix => "",
            Self::Rfc3164 => "rfc3164",
            Self::Rfc5424 => "rfc5424",
            Self::Rfc5424Micro => "rfc5424micro",
        }
    }
}

/// What a message looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As syslog(3) writes it.
    Unix,
    /// RFC 3164, with the host's name.
    Rfc3164,
    /// RFC 5424, to the second.
    Rfc5424,
    /// RFC 5424, to the millionth of a second.
    Rfc5424Micro,
}

/// The facilities by their numbers; syslog(3) has no names for those that are empty.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// What goes before a line.
pub(super) struct Sender<'s> {
    pub(super) host: &'s str,
    pub(super) tag: &'s str,
    pub(super) pid: u32,
}

impl Syslog {
    /// A line as a message. Times are UTC.
    pub(super) fn message(&self, sender: &Sender<'_>, (stream, time): (Stream, Timestamp), line: &[u8]) -> Vec<u8> {
        const ERROR: u8 = 3;
        const INFORMATION: u8 = 6;
        let severity = if stream == Stream::Stderr { ERROR } else { INFORMATION };
        let priority = self.facility << 3 | severity;
        let Sender { host, tag, pid } = sender;
        let stamp = || time.strftime("%b %e %H:%M:%S");
        let mut message = match self.format {
            Format::Unix => format!("<{priority}>{} {tag}[{pid}]: ", stamp()),
            Format::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: ", stamp()),
            Format::Rfc5424 => format!("<{priority}>1 {time:.0} {host} {tag} {pid} {tag} - "),
            Format::Rfc5424Micro => format!("<{priority}>1 {time:.6} {host} {tag} {pid} {tag} - "),
        }
        .into_bytes();
        message.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        match (&self.target, self.format) {
            (Target::Datagrams(_) | Target::Udp(_), _) => {}
            // RFC 6587, 3.4.1: a stream has each message's length before it.
            (Target::Stream(_) | Target::Tcp(_), Format::Rfc5424 | Format::Rfc5424Micro) => {
                let mut counted = format!("{} ", message.len()).into_bytes();
                counted.append(&mut message);
                return counted;
            }
            (Target::Stream(_) | Target::Tcp(_), _) => message.push(b'\n'),
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_each_format_has_them() {
        let sender = Sender { host: "box", tag: "web", pid: 7 };
        let time: Timestamp = "2026-11-06T01:02:03.123456789Z".parse().unwrap();
        let of = |format, target, stream| {
            let syslog = Syslog { format, target, ..Syslog::default() };
            String::from_utf8(syslog.message(&sender, (stream, time), b"hello\n")).unwrap()
        };
        let tcp = Target::Tcp(SocketAddr::from(([127, 0, 0, 1], 514)));
        let log = Syslog::default().target;
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        assert_eq!(of(Format::Unix, log.clone(), out), "<30>Nov  6 01:02:03 web[7]: hello");
        assert_eq!(of(Format::Rfc3164, tcp.clone(), err), "<27>Nov  6 01:02:03 box web[7]: hello\n");
        assert_eq!(of(Format::Rfc5424, log, out), "<30>1 2026-11-06T01:02:03Z box web 7 web - hello");
        assert_eq!(of(Format::Rfc5424Micro, tcp, out), "55 <30>1 2026-11-06T01:02:03.123456Z box web 7 web - hello",);
    }
}
