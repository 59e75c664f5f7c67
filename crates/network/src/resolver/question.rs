//! A query that the host's servers are to answer. Each server is sent it from a socket of its own, so that the kernel chooses
//! the port and takes answers of nobody else, and with an id made by chance: RFC 5452. One that is slow is still listened to
//! while the next one is asked.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::rand::GetRandomFlags;

use super::client::{is_passing, take_message};
use super::message::{Outcome, Transport, failure, outcome};

/// A query and whom it was sent to.
#[derive(Debug)]
pub(super) struct Question {
    /// Who gets the answer.
    pub(super) from: Origin,
    /// Who asks.
    pub(super) asker: IpAddr,
    query: Vec<u8>,
    transport: Transport,
    servers: Vec<SocketAddr>,
    /// What was sent to each server, as far as it was.
    sent: Vec<Sent>,
    /// How many more times one may be asked.
    left: usize,
    next: usize,
    step: Duration,
    due: Instant,
    end: Instant,
    /// What one said that could not answer.
    failure: Option<Vec<u8>>,
    answer: Option<Option<Vec<u8>>>,
}

/// Where a query has come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From this address, by UDP, through the door with this number.
    Packet(usize, SocketAddr),
    /// Through the connection with this serial number.
    Connection(u64),
}

impl Origin {
    pub(super) const fn transport(self) -> Transport {
        match self {
            Self::Packet(..) => Transport::Udp,
            Self::Connection(_) => Transport::Tcp,
        }
    }
}

#[derive(Debug)]
struct Sent {
    server: SocketAddr,
    id: u16,
    /// `None` once it has failed.
    line: Option<Line>,
}

#[derive(Debug)]
enum Line {
    Packets(UdpSocket),
    Stream { stream: TcpStream, unsent: Vec<u8>, heard: Vec<u8> },
}

/// After how long the next server is asked too. Who waits asks again after five seconds, and gives up after ten: until then
/// all of them must have had their turn.
const STEP: Duration = Duration::from_secs(1);

/// Nobody waits for longer.
const LONGEST: Duration = Duration::from_secs(10);

impl Question {
    /// A query that is to be sent to these servers, each so often and for so long.
    pub(super) fn new(
        (from, asker): (Origin, IpAddr),
        query: Vec<u8>,
        servers: Vec<SocketAddr>,
        (timeout, attempts): (Duration, u32),
    ) -> Self {
        let now = Instant::now();
        let left = servers.len() * usize::try_from(attempts).unwrap_or(1);
        Self {
            from,
            asker,
            query,
            transport: from.transport(),
            servers,
            sent: Vec::with_capacity(1),
            left,
            next: 0,
            step: timeout.min(STEP),
            due: now,
            end: now + (timeout * attempts).min(LONGEST),
            failure: None,
            answer: None,
        }
    }

    /// What is to be waited for.
    pub(super) fn waits(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.sent.iter().filter_map(|sent| match sent.line.as_ref()? {
            Line::Packets(socket) => Some((socket.as_fd(), PollFlags::IN)),
            Line::Stream { stream, unsent, .. } => {
                Some((stream.as_fd(), if unsent.is_empty() { PollFlags::IN } else { PollFlags::OUT }))
            }
        })
    }

    /// When something is to be done in any case.
    pub(super) fn due(&self) -> Instant {
        if self.left == 0 { self.end } else { self.due.min(self.end) }
    }

    /// Takes the answer, once there is one; `None` in it where nothing can be said.
    pub(super) fn take_answer(&mut self) -> Option<Option<Vec<u8>>> {
        self.answer.take()
    }

    /// Reads what has come.
    pub(super) fn hear(&mut self, buffer: &mut [u8]) {
        for number in 0..self.sent.len() {
            let Some(sent) = self.sent.get_mut(number) else { return };
            match sent.hear(buffer, &self.query) {
                Heard::Nothing => {}
                Heard::Failed(reply) => {
                    sent.line = None;
                    self.failure = reply.or(self.failure.take());
                    self.ask();
                }
                Heard::Answer(reply) => return self.conclude(Some(reply)),
            }
        }
    }

    /// Asks the next server where the last one was given its time; gives those that have not said anything in it.
    pub(super) fn go_on(&mut self, now: Instant) -> Option<SocketAddr> {
        if now >= self.end {
            self.give_up();
            return None;
        }
        if now < self.due || self.left == 0 {
            return None;
        }
        let silent = self.sent.last().filter(|sent| sent.line.is_some()).map(|sent| sent.server);
        self.ask();
        silent
    }

    /// Sends the query to the next server that has not failed; where none is left, nobody answers.
    fn ask(&mut self) {
        while self.left > 0 && self.answer.is_none() {
            let Some(server) = self.servers.get(self.next).copied() else { break };
            (self.next, self.left) = ((self.next + 1) % self.servers.len(), self.left - 1);
            let known = self.sent.iter_mut().find(|sent| sent.server == server);
            let is_sent = if let Some(known) = known {
                known.again(&self.query)
            } else {
                let sent = Sent::new(server, &self.query, self.transport);
                let is_sent = sent.line.is_some();
                self.sent.push(sent);
                is_sent
            };
            if is_sent {
                self.due = Instant::now() + self.step;
                return;
            }
        }
        if self.sent.iter().all(|sent| sent.line.is_none()) {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        let last = self.failure.take();
        let answer = last.or_else(|| failure(&self.query));
        self.conclude(answer);
    }

    fn conclude(&mut self, answer: Option<Vec<u8>>) {
        if self.answer.is_none() {
            self.answer = Some(answer.map(|mut answer| {
                copy_id(&mut answer, &self.query);
                answer
            }));
        }
    }
}

enum Heard {
    Nothing,
    /// It will say nothing more; maybe it has said so.
    Failed(Option<Vec<u8>>),
    Answer(Vec<u8>),
}

/// How many messages of one socket are looked at before others have their turn.
const MOST_AT_ONCE: usize = 16;

impl Sent {
    fn new(server: SocketAddr, query: &[u8], transport: Transport) -> Self {
        let mut id = Vec::with_capacity(2);
        let made = rustix::rand::getrandom(spare_capacity(&mut id), GetRandomFlags::empty());
        let id = u16::from_ne_bytes(id.try_into().unwrap_or_default());
        let mut sent = Self { server, id, line: None };
        sent.line = made.and_then(|_| open(server, transport, sent.message(query))).ok();
        if !sent.again(query) {
            sent.line = None;
        }
        sent
    }

    /// The query with the id of this one.
    fn message(&self, query: &[u8]) -> Vec<u8> {
        let mut message = query.to_vec();
        copy_id(&mut message, &self.id.to_be_bytes());
        message
    }

    /// Sends it once more, where that is of use; gives whether there is something to wait for.
    fn again(&self, query: &[u8]) -> bool {
        match &self.line {
            Some(Line::Packets(socket)) => match socket.send(&self.message(query)) {
                Ok(_) => true,
                Err(error) => is_passing(&error),
            },
            Some(Line::Stream { .. }) => true,
            None => false,
        }
    }

    fn hear(&mut self, buffer: &mut [u8], query: &[u8]) -> Heard {
        for _ in 0..MOST_AT_ONCE {
            let message = match &mut self.line {
                None => return Heard::Nothing,
                Some(Line::Packets(socket)) => {
                    socket.recv(buffer).map(|length| buffer.get(..length).map(<[u8]>::to_vec))
                }
                Some(Line::Stream { stream, unsent, heard }) => talk(stream, (unsent, heard), buffer),
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Heard::Nothing,
                Err(error) if is_passing(&error) => return Heard::Nothing,
                Err(_) => return Heard::Failed(None),
            };
            match outcome(&message, self.id, query) {
                Some(Outcome::Answered) => return Heard::Answer(message),
                Some(Outcome::Failed) => return Heard::Failed(Some(message)),
                None => {}
            }
        }
        Heard::Nothing
    }
}

/// A socket that only this server's answers come to.
fn open(server: SocketAddr, transport: Transport, message: Vec<u8>) -> Result<Line, Errno> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match transport {
        Transport::Udp => SocketType::DGRAM,
        Transport::Tcp => SocketType::STREAM,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(errno) => return Err(errno),
    }
    Ok(match transport {
        Transport::Udp => Line::Packets(socket.into()),
        Transport::Tcp => {
            let length = u16::try_from(message.len()).map_err(|_| Errno::MSGSIZE)?;
            let unsent = [&length.to_be_bytes(), message.as_slice()].concat();
            Line::Stream { stream: socket.into(), unsent, heard: Vec::new() }
        }
    })
}

/// Sends what is unsent, and reads until a message is whole.
fn talk(
    stream: &mut TcpStream,
    (unsent, heard): (&mut Vec<u8>, &mut Vec<u8>),
    buffer: &mut [u8],
) -> std::io::Result<Option<Vec<u8>>> {
    while !unsent.is_empty() {
        let length = stream.write(unsent)?;
        unsent.drain(..length);
    }
    if let Some(message) = take_message(heard) {
        return Ok(Some(message));
    }
    match stream.read(buffer)? {
        0 => return Err(Errno::CONNRESET.into()),
        length => heard.extend_from_slice(buffer.get(..length).unwrap_or_default()),
    }
    Ok(take_message(heard))
}

/// The id is what a message begins with.
fn copy_id(message: &mut [u8], from: &[u8]) {
    if let (Some(id), Some(from)) = (message.first_chunk_mut::<2>(), from.first_chunk()) {
        *id = *from;
    }
}
