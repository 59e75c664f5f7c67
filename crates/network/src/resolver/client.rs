//! A connection of a container that asks by TCP: each message has its length before it, RFC 1035, 4.2.2. Several queries may
//! be under way, and their answers come as they are had: RFC 7766, 7.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::message::LONGEST_QUERY;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    /// That tells it from any other, also from one before it.
    pub(super) serial: u64,
    /// Who asks.
    pub(super) asker: IpAddr,
    heard: Vec<u8>,
    unsent: Vec<u8>,
    /// How many queries have no answer yet.
    open: usize,
    /// When it last asked something or took an answer.
    since: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asks,
    /// It asks nothing more.
    Listens,
    Gone,
}

/// How long a connection may be idle: RFC 7766, 6.2.3 asks for some seconds.
const IDLE: Duration = Duration::from_secs(10);

/// How many queries of one connection are under way, and how much of the answers waits, before it is listened to again.
const MOST_OPEN: usize = 32;
const MOST_UNSENT: usize = 128 << 10;

impl Client {
    /// A connection that does not block.
    pub(super) fn new(stream: TcpStream, asker: IpAddr, serial: u64) -> Self {
        let (heard, unsent) = (Vec::new(), Vec::new());
        Self { stream, serial, asker, heard, unsent, open: 0, since: Instant::now(), state: State::Asks }
    }

    /// What is to be waited for.
    pub(super) fn waits(&self) -> (BorrowedFd<'_>, PollFlags) {
        let mut flags = PollFlags::empty();
        let has_room = self.open < MOST_OPEN && self.unsent.len() < MOST_UNSENT;
        flags.set(PollFlags::IN, self.state == State::Asks && has_room);
        flags.set(PollFlags::OUT, !self.unsent.is_empty());
        (self.stream.as_fd(), flags)
    }

    /// Reads what is there, and gives the queries that are whole.
    pub(super) fn hear(&mut self) -> Vec<Vec<u8>> {
        let (_, flags) = self.waits();
        self.go_on();
        if flags.is_empty() {
            // Nothing was waited for: the other side is closed.
            self.state = State::Gone;
        }
        if !flags.contains(PollFlags::IN) {
            return Vec::new();
        }
        let mut buffer = [0; LONGEST_QUERY];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.state = State::Listens,
            Ok(length) => self.heard.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.state = State::Gone,
        }
        let mut queries = Vec::new();
        while let Some(query) = take_message(&mut self.heard) {
            queries.push(query);
        }
        if expected(&self.heard).is_some_and(|length| length > LONGEST_QUERY) {
            self.state = State::Gone;
        }
        if !queries.is_empty() {
            self.since = Instant::now();
        }
        self.open += queries.len();
        queries
    }

    /// Answers one of its queries; `None` where it gets no answer.
    pub(super) fn tell(&mut self, message: Option<&[u8]>) {
        self.open = self.open.saturating_sub(1);
        let Some((message, length)) = message.and_then(|message| Some((message, u16::try_from(message.len()).ok()?)))
        else {
            return;
        };
        self.unsent.extend_from_slice(&length.to_be_bytes());
        self.unsent.extend_from_slice(message);
        self.go_on();
    }

    /// Sends what there is room for.
    fn go_on(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        match self.stream.write(&self.unsent) {
            Ok(length) => {
                self.unsent.drain(..length);
                self.since = Instant::now();
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => self.state = State::Gone,
        }
    }

    /// When it is idle for too long; `None` while somebody else is waited for.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits_for_others = self.open > 0 && self.unsent.is_empty();
        (!waits_for_others).then(|| self.since + IDLE)
    }

    /// Whether it has ended, or is to.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        let has_all = self.open == 0 && self.unsent.is_empty();
        let is_idle = self.due().is_some_and(|due| due <= now);
        self.state == State::Gone || is_idle || self.state == State::Listens && has_all
    }

    /// When it last did something.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }
}

/// The length of the message that begins here.
fn expected(bytes: &[u8]) -> Option<usize> {
    let (length, _) = bytes.split_first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*length)))
}

/// Takes the first message from what was heard, once it is whole.
pub(super) fn take_message(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = expected(heard)? + 2;
    let message = heard.get(2..end)?.to_vec();
    heard.drain(..end);
    Some(message)
}

/// Whether there is nothing wrong with a connection, only nothing to be done now.
pub(super) fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
