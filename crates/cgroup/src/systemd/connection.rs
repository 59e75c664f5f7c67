//! A connection with systemd, or with the bus that it is on: a Unix socket, SASL, calls and their answers, one at a time.
//!
//! D-Bus specification, "Authentication Protocol". No wait lasts longer than the connection's patience.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::wire::{Call, FIXED, Kind, Message, message_length};

/// How long an answer, or the end of a job, is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection: `ETIMEDOUT`, `ECONNRESET` where it was closed, `EPROTO` for bytes that cannot be understood.
    Connection(Errno),
    /// The other side said no.
    Answer {
        /// The error's name: `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// What it says.
        text: String,
    },
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Connection(errno)
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    patience: Duration,
    /// What was received and not yet taken.
    received: Vec<u8>,
    serial: u32,
    /// The ends of jobs that came while an answer was waited for.
    signals: Vec<Message>,
}

impl Connection {
    /// Connects with the socket at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Self::over(socket, PATIENCE)
    }

    /// Takes a connected socket that does not block, and tells the other side who we are: it sees that by itself.
    pub(super) fn over(socket: OwnedFd, patience: Duration) -> Result<Self, Errno> {
        let mut connection = Self { socket, patience, received: Vec::new(), serial: 0, signals: Vec::new() };
        connection.authenticate()?;
        Ok(connection)
    }

    fn authenticate(&mut self) -> Result<(), Errno> {
        let deadline = Instant::now() + self.patience;
        // No user is named: in a user namespace ours has another number than the other side knows. All is said at once,
        // as systemd's own clients do: where BEGIN and a call came in one read, systemd would not look at the call.
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", deadline)?;
        let answered = self.line(deadline)?.starts_with("DATA") && self.line(deadline)?.starts_with("OK ");
        if answered { Ok(()) } else { Err(Errno::ACCESS) }
    }

    /// Asks, and waits for the answer.
    pub(super) fn call(&mut self, call: &Call<'_>) -> Result<Message, Failure> {
        let deadline = Instant::now() + self.patience;
        self.serial = self.serial.checked_add(1).ok_or(Errno::OVERFLOW)?;
        self.send(&call.encode(self.serial), deadline)?;
        loop {
            let message = self.message(deadline)?;
            match message.kind {
                Kind::Return if message.answers == Some(self.serial) => return Ok(message),
                Kind::Error if message.answers == Some(self.serial) => {
                    let text = message.text().unwrap_or_default().to_owned();
                    return Err(Failure::Answer { name: message.error, text });
                }
                Kind::Signal if message.removed_job().is_some() => self.signals.push(message),
                Kind::Return | Kind::Error | Kind::Signal | Kind::Other => {}
            }
        }
    }

    /// Waits for the end of a job that `sender` has begun: its result, `done` where all is well.
    pub(super) fn job(&mut self, job: &str, sender: &str) -> Result<String, Errno> {
        let deadline = Instant::now() + self.patience;
        let mut early = std::mem::take(&mut self.signals).into_iter();
        loop {
            let message = match early.next() {
                Some(message) => message,
                None => self.message(deadline)?,
            };
            match message.removed_job() {
                Some((removed, result)) if removed == job && message.sender == sender => return Ok(result.to_owned()),
                _ => {}
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String, Errno> {
        const LONGEST: usize = 4096;
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| Errno::PROTO);
            }
            if self.received.len() > LONGEST {
                return Err(Errno::PROTO);
            }
            self.receive(deadline)?;
        }
    }

    fn message(&mut self, deadline: Instant) -> Result<Message, Errno> {
        loop {
            if let Some(start) = self.received.first_chunk::<FIXED>() {
                let length = message_length(start).ok_or(Errno::PROTO)?;
                if let Some(whole) = self.received.get(..length) {
                    let message = Message::parse(whole).ok_or(Errno::PROTO)?;
                    self.received.drain(..length);
                    return Ok(message);
                }
            }
            self.receive(deadline)?;
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), Errno> {
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => return Err(Errno::CONNRESET),
                Ok(length) => {
                    self.received.extend(buffer.iter().take(length));
                    return Ok(());
                }
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, deadline)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn wait(&self, event: PollFlags, deadline: Instant) -> Result<(), Errno> {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Errno::OVERFLOW)?;
        match poll(&mut [PollFd::new(&self.socket, event)], Some(&left)) {
            Ok(0) => Err(Errno::TIMEDOUT),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
