//! Logs that are others': systemd's journal by its own protocol, <https://systemd.io/JOURNAL_NATIVE_PROTOCOL>, and syslog
//! daemons. Who is slow or not there is waited for by nobody: what it does not take waits in memory, and when there is too
//! much of that, lines are lost, which is told before the next one that is not.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with};

use super::syslog::{Sender, Syslog, Target};
use super::{Buffer, Line, Origin, Stream, told};

/// The journal's socket.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// After so long it is tried again to reach who is not there.
const RETRY: Duration = Duration::from_secs(1);
/// How long it is waited for what is not taken when the container has ended.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Form {
    Journal {
        /// What stands in each entry.
        fields: Vec<u8>,
        /// Of a line in parts, which it is of those there were.
        long: u64,
    },
    Syslog {
        syslog: Syslog,
        host: String,
        tag: String,
    },
}

/// A log that is written to a socket.
#[derive(Debug)]
pub(super) struct Remote {
    form: Form,
    socket: Option<OwnedFd>,
    /// When it is tried again.
    retry: Option<Instant>,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// How much of the first one a stream has taken.
    sent: usize,
    most: usize,
    lost: u64,
}

impl Remote {
    pub(super) fn journal(origin: &Origin, buffer: Buffer) -> Self {
        let mut fields = Vec::new();
        let short = crate::record::short(&origin.id);
        for (name, value) in [
            ("CONTAINER_ID", short),
            ("CONTAINER_ID_FULL", &origin.id),
            ("CONTAINER_NAME", &origin.name),
            ("CONTAINER_TAG", &origin.tag),
            ("IMAGE_NAME", &origin.image),
            ("SYSLOG_IDENTIFIER", &origin.tag),
        ] {
            field(&mut fields, name, value.as_bytes());
        }
        for (name, value) in origin.attributes.iter().filter(|(name, _)| *name != "tag") {
            field(&mut fields, &field_name(name), value.as_bytes());
        }
        Self::new(Form::Journal { fields, long: 0 }, buffer)
    }

    pub(super) fn syslog(syslog: Syslog, origin: &Origin, buffer: Buffer) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self::new(Form::Syslog { syslog, host, tag: origin.tag.replace(' ', "_") }, buffer)
    }

    const fn new(form: Form, buffer: Buffer) -> Self {
        let waiting = VecDeque::new();
        Self { form, socket: None, retry: None, waiting, waiting_bytes: 0, sent: 0, most: buffer.max_bytes, lost: 0 }
    }

    pub(super) fn enter(&mut self, line: &Line<'_>) {
        if self.lost > 0 {
            let text = told(self.lost, self.whose());
            let told = Line { bytes: text.as_bytes(), stream: Stream::Stderr, time: line.time, part: None };
            if !self.push(&told) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if !self.push(line) {
            self.lost += 1;
        }
    }

    const fn whose(&self) -> &'static str {
        match self.form {
            Form::Journal { .. } => "the journal",
            Form::Syslog { .. } => "the syslog daemon",
        }
    }

    /// Whether there was room for it.
    fn push(&mut self, line: &Line<'_>) -> bool {
        let message = match &mut self.form {
            Form::Journal { fields, long } => entry(fields, long, line),
            Form::Syslog { syslog, host, tag } => {
                let sender = Sender { host, tag, pid: std::process::id() };
                syslog.message(&sender, (line.stream, line.time), line.bytes)
            }
        };
        if !self.waiting.is_empty() && self.waiting_bytes + message.len() > self.most {
            return false;
        }
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
        true
    }

    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().filter(|_| !self.waiting.is_empty()).map(|socket| socket.as_fd())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.waiting.is_empty() && self.lost == 0
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.retry.filter(|_| !self.waiting.is_empty())
    }

    /// Sends what is taken.
    pub(super) fn go_on(&mut self) {
        while !self.waiting.is_empty() && (self.socket.is_some() || self.reach()) {
            let (Some(socket), Some(message)) = (&self.socket, self.waiting.front()) else { return };
            let rest = message.get(self.sent..).unwrap_or_default();
            match send(socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) if self.is_stream() && length < rest.len() => self.sent += length,
                Ok(_) => self.done(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::INPROGRESS | Errno::ALREADY) => return,
                Err(Errno::MSGSIZE) => {
                    self.done();
                    self.lost += 1;
                }
                Err(_) => {
                    // What a stream has taken half of would not be understood by the next.
                    (self.socket, self.sent, self.retry) = (None, 0, Some(Instant::now() + RETRY));
                    return;
                }
            }
        }
    }

    fn done(&mut self) {
        self.sent = 0;
        if let Some(message) = self.waiting.pop_front() {
            self.waiting_bytes -= message.len();
        }
    }

    const fn is_stream(&self) -> bool {
        matches!(&self.form, Form::Syslog { syslog: Syslog { target: Target::Stream(_) | Target::Tcp(_), .. }, .. })
    }

    /// Connects, unless that was tried just now.
    fn reach(&mut self) -> bool {
        if self.retry.is_some_and(|retry| Instant::now() < retry) {
            return false;
        }
        let connected = match &self.form {
            Form::Journal { .. } => local(Path::new(JOURNAL), SocketType::DGRAM),
            Form::Syslog { syslog, .. } => reach(&syslog.target),
        };
        self.retry = if connected.is_err() { Some(Instant::now() + RETRY) } else { None };
        self.socket = connected.ok();
        self.socket.is_some()
    }

    /// The container has ended: what is not taken soon is lost.
    pub(super) fn drain(&mut self) {
        let until = Instant::now() + PATIENCE;
        self.go_on();
        while let Some(socket) = self.waits() {
            let left = until.saturating_duration_since(Instant::now());
            let Some(left) = Timespec::try_from(left).ok().filter(|_| !left.is_zero()) else { return };
            let mut wait = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
            let _ = poll(&mut wait, Some(&left));
            self.go_on();
        }
    }
}

const NOT_TO_WAIT: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

fn local(path: &Path, kind: SocketType) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, kind, NOT_TO_WAIT, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?).map(|()| socket)
}

fn reach(target: &Target) -> Result<OwnedFd, Errno> {
    let (address, kind) = match target {
        Target::Datagrams(path) => return local(path, SocketType::DGRAM),
        Target::Stream(path) => return local(path, SocketType::STREAM),
        Target::Udp(address) => (address, SocketType::DGRAM),
        Target::Tcp(address) => (address, SocketType::STREAM),
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, NOT_TO_WAIT, None)?;
    match connect(&socket, address) {
        Err(Errno::INPROGRESS) | Ok(()) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A field whatever its value is: with its length, 64 bits, the lowest first.
fn field(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&u64::try_from(value.len()).unwrap_or_default().to_le_bytes());
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

/// A name that the journal takes: capital letters, digits and underscores, none of which leads.
fn field_name(name: &str) -> String {
    let upper =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' });
    upper.collect::<String>().trim_start_matches(|letter: char| letter == '_' || letter.is_ascii_digit()).to_owned()
}

/// A line as an entry of the journal; Docker's names for what is a part.
fn entry(fields: &[u8], long: &mut u64, line: &Line<'_>) -> Vec<u8> {
    let mut entry = fields.to_vec();
    field(&mut entry, "PRIORITY", if line.stream == Stream::Stderr { b"3" } else { b"6" });
    field(&mut entry, "SYSLOG_TIMESTAMP", line.time.to_string().as_bytes());
    if let Some(part) = line.part {
        if part == 1 {
            *long += 1;
        }
        field(&mut entry, "CONTAINER_PARTIAL_ID", format!("{}-{long}", std::process::id()).as_bytes());
        field(&mut entry, "CONTAINER_PARTIAL_ORDINAL", part.to_string().as_bytes());
        field(&mut entry, "CONTAINER_PARTIAL_LAST", if line.is_ended() { b"true" } else { b"false" });
        if !line.is_ended() {
            field(&mut entry, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
    }
    field(&mut entry, "MESSAGE", line.bytes.strip_suffix(b"\n").unwrap_or(line.bytes));
    entry
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::log::{Format, Stream};
    use jiff::Timestamp;

    fn line(bytes: &[u8], part: Option<u32>) -> Line<'_> {
        Line { bytes, stream: Stream::Stdout, time: Timestamp::UNIX_EPOCH, part }
    }

    fn to(target: Target, most: usize) -> Remote {
        let origin =
            Origin { id: "i".into(), name: "n".into(), image: "m".into(), tag: "t".into(), attributes: [].into() };
        let syslog = Syslog { target, format: Format::Unix, facility: 1 };
        Remote::syslog(syslog, &origin, Buffer { max_bytes: most })
    }

    #[test]
    fn who_is_not_there_loses_what_is_too_much_and_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut remote = to(Target::Datagrams(path.clone()), 200);
        for number in 0..9 {
            remote.enter(&line(format!("{number}\n").as_bytes(), None));
            remote.go_on();
        }
        assert!(remote.due().is_some() && remote.waits().is_none());
        let socket = UnixDatagram::bind(&path).unwrap();
        remote.retry = None;
        remote.go_on();
        remote.enter(&line(b"last\n", None));
        remote.go_on();
        assert!(remote.due().is_none() && remote.waits().is_none());
        socket.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 400];
        while let Ok(length) = socket.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        let kept = heard.len() - 2;
        assert!((1..9).contains(&kept) && heard[kept - 1].ends_with(&format!("]: {}", kept - 1)), "{heard:?}");
        assert!(heard[kept].contains(&format!("]: carboy: {} lines before this one were lost", 9 - kept)), "{heard:?}");
        assert!(heard[kept + 1].ends_with("]: last"), "{heard:?}");
    }

    #[test]
    fn who_does_not_read_is_waited_for_when_it_can_take_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut remote = to(Target::Datagrams(path), 1 << 20);
        for _ in 0..2000 {
            remote.enter(&line(b"more\n", None));
        }
        remote.go_on();
        assert!(remote.waits().is_some());
        let mut heard = 0;
        while heard < 2000 {
            heard += usize::from(socket.recv(&mut [0; 400]).is_ok());
            remote.go_on();
        }
        assert!(remote.waits().is_none());
    }

    #[test]
    fn a_part_is_told_of_as_docker_does_and_any_bytes_can_be_sent() {
        let mut long = 0;
        let text = |entry: Vec<u8>| String::from_utf8_lossy(&entry).into_owned();
        let first = text(entry(b"", &mut long, &line(b"\xffbegun", Some(1))));
        assert!(first.contains("CONTAINER_PARTIAL_MESSAGE\n") && first.contains("CONTAINER_PARTIAL_ORDINAL\n"));
        let last = entry(b"", &mut long, &line(b"end\n", Some(2)));
        assert!(last.ends_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0end\n") && !text(last).contains("PARTIAL_MESSAGE"));
        assert!(!text(entry(b"", &mut long, &line(b"whole\n", None))).contains("PARTIAL"));
        assert_eq!((long, field_name("1_com.example-x").as_str()), (1, "COM_EXAMPLE_X"));
    }
}
