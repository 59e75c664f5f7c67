//! The loop of a resolver: one poll(2) over its doors, its connections and what it has asked others. It waits for nothing
//! else, and what it keeps is bounded.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::client::Client;
use super::message::{Answer, LONGEST_QUERY, answer, failure};
use super::question::{Origin, Question};
use super::servers::{Conf, PORT, Server};
use super::{Door, Zone};

/// How many queries may wait for others, and how many of them may be one container's.
const MOST_QUESTIONS: usize = 512;
const MOST_OF_ONE: usize = 128;

/// How many connections there may be, and how many of them may be one container's.
const MOST_CLIENTS: usize = 64;
const MOST_CLIENTS_OF_ONE: usize = 16;

/// How many packets are received before they are answered.
const BATCH: usize = 64;

/// The largest packet.
const PACKET: usize = 65_535;

/// Queries that come while others are answered wait here, in bytes: some thousand.
const QUEUE: usize = 4 << 20;

/// For how long a server that says nothing is asked after the others.
const SHUNNED: Duration = Duration::from_secs(30);

/// How long nobody is welcome after there was no descriptor left for one.
const CROWDED: Duration = Duration::from_secs(1);

/// Answers whoever asks at these doors, until `stop` is readable. For what is not of the zone it asks the servers that the
/// file at `resolv_conf` names at that moment.
///
/// # Errors
/// poll(2), and what makes the doors ready.
pub fn serve(zone: &mut impl Zone, doors: &[Door], stop: BorrowedFd<'_>, resolv_conf: &Path) -> Result<()> {
    for door in doors {
        let ready = door.udp.set_nonblocking(true).and_then(|()| door.tcp.set_nonblocking(true));
        ready.doing(|| "answer queries")?;
        let is_larger = rustix::net::sockopt::set_socket_recv_buffer_size_force(&door.udp, QUEUE);
        let _ = is_larger.or_else(|_| rustix::net::sockopt::set_socket_recv_buffer_size(&door.udp, QUEUE));
    }
    let (questions, clients, shunned, arrived) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (conf, buffer) = (Conf::new(resolv_conf), vec![0; PACKET]);
    let mut resolver =
        Resolver { zone, doors, conf, shunned, questions, clients, arrived, buffer, serial: 0, crowded: None };
    loop {
        let ready = resolver.wait(stop)?;
        if ready.contains(&Source::Stop) {
            return Ok(());
        }
        resolver.turn(&ready);
    }
}

/// What the loop waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stop,
    Changes,
    Packets(usize),
    Connections(usize),
    /// The connection with this serial number.
    Client(u64),
    Question(usize),
}

/// A query that is to be answered.
struct Arrived {
    from: Origin,
    asker: IpAddr,
    query: Vec<u8>,
}

struct Resolver<'a, Z> {
    zone: &'a mut Z,
    doors: &'a [Door],
    conf: Conf,
    /// Servers that did not answer, and until when others are asked before them.
    shunned: Vec<(SocketAddr, Instant)>,
    questions: Vec<Question>,
    clients: Vec<Client>,
    arrived: Vec<Arrived>,
    buffer: Vec<u8>,
    serial: u64,
    crowded: Option<Instant>,
}

impl<Z: Zone> Resolver<'_, Z> {
    fn wait(&self, stop: BorrowedFd<'_>) -> Result<Vec<Source>> {
        let mut waited = vec![(Source::Stop, stop, PollFlags::IN)];
        waited.extend(self.zone.changes().map(|changes| (Source::Changes, changes, PollFlags::IN)));
        for (number, door) in self.doors.iter().enumerate() {
            waited.push((Source::Packets(number), door.udp.as_fd(), PollFlags::IN));
            if self.crowded.is_none() {
                waited.push((Source::Connections(number), door.tcp.as_fd(), PollFlags::IN));
            }
        }
        for client in &self.clients {
            let (file, flags) = client.waits();
            waited.push((Source::Client(client.serial), file, flags));
        }
        for (number, question) in self.questions.iter().enumerate() {
            waited.extend(question.waits().map(|(file, flags)| (Source::Question(number), file, flags)));
        }
        let due = self.questions.iter().map(Question::due);
        let due = due.chain(self.clients.iter().filter_map(Client::due)).chain(self.crowded).min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().ok().flatten();
        let mut waits: Vec<_> = waited.iter().map(|(_, file, flags)| PollFd::from_borrowed_fd(*file, *flags)).collect();
        match poll(&mut waits, left.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno).doing(|| "wait for queries"),
        }
        let ready = waited.iter().zip(&waits).filter(|(_, wait)| !wait.revents().is_empty());
        Ok(ready.map(|((source, ..), _)| *source).collect())
    }

    fn turn(&mut self, ready: &[Source]) {
        for source in ready {
            match *source {
                Source::Stop | Source::Changes => {}
                Source::Packets(door) => self.receive(door),
                Source::Connections(door) => self.welcome(door),
                Source::Client(serial) => self.hear(serial),
                Source::Question(number) => {
                    if let Some(question) = self.questions.get_mut(number) {
                        question.hear(&mut self.buffer);
                    }
                }
            }
        }
        self.zone.refresh();
        for arrived in std::mem::take(&mut self.arrived) {
            self.answer(arrived);
        }
        self.look_at_the_clock(Instant::now());
        self.conclude();
        let now = Instant::now();
        self.clients.retain(|client| !client.is_gone(now));
    }

    /// Receives the packets that have come through a door.
    fn receive(&mut self, number: usize) {
        let Some(door) = self.doors.get(number) else { return };
        for _ in 0..BATCH {
            match door.udp.recv_from(&mut self.buffer) {
                Ok((length, address)) => {
                    let query = self.buffer.get(..length).unwrap_or_default().to_vec();
                    let from = Origin::Packet(number, address);
                    self.arrived.push(Arrived { from, asker: address.ip(), query });
                }
                Err(_) => return,
            }
        }
    }

    /// Takes those who want a connection. One who has enough of them gets no more, and where there are many, the one that
    /// was idle for longest is given up.
    fn welcome(&mut self, number: usize) {
        let Some(door) = self.doors.get(number) else { return };
        for _ in 0..BATCH {
            let (stream, address) = match door.tcp.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    let errno = Errno::from_io_error(&error);
                    if matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) {
                        self.crowded = Instant::now().checked_add(CROWDED);
                    }
                    return;
                }
            };
            let of_one = self.clients.iter().filter(|client| client.asker == address.ip()).count();
            if of_one >= MOST_CLIENTS_OF_ONE || stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= MOST_CLIENTS {
                let idle = self.clients.iter().enumerate().min_by_key(|(_, client)| client.since());
                idle.map(|(number, _)| number).map(|number| self.clients.remove(number));
            }
            self.serial += 1;
            self.clients.push(Client::new(stream, address.ip(), self.serial));
        }
    }

    fn hear(&mut self, serial: u64) {
        let Some(client) = self.clients.iter_mut().find(|client| client.serial == serial) else { return };
        let (from, asker) = (Origin::Connection(serial), client.asker);
        self.arrived.extend(client.hear().into_iter().map(|query| Arrived { from, asker, query }));
    }

    fn answer(&mut self, arrived: Arrived) {
        let Arrived { from, asker, query } = arrived;
        if query.len() > LONGEST_QUERY {
            return self.tell(from, None);
        }
        match answer(&query, asker, self.zone, from.transport()) {
            Answer::Reply(reply) => self.tell(from, Some(&reply)),
            Answer::Drop => self.tell(from, None),
            Answer::Forward => self.forward(Arrived { from, asker, query }),
        }
    }

    fn tell(&mut self, to: Origin, message: Option<&[u8]>) {
        match to {
            Origin::Packet(door, address) => {
                if let (Some(door), Some(message)) = (self.doors.get(door), message) {
                    let _ = door.udp.send_to(message, address);
                }
            }
            Origin::Connection(serial) => {
                if let Some(client) = self.clients.iter_mut().find(|client| client.serial == serial) {
                    client.tell(message);
                }
            }
        }
    }

    /// Lets the host's servers answer. Where too much waits for them already, and where there are none, nobody does.
    fn forward(&mut self, arrived: Arrived) {
        let Arrived { from, asker, query } = arrived;
        let of_one = self.questions.iter().filter(|question| question.asker == asker).count();
        let servers = self.servers(asker);
        if self.questions.len() >= MOST_QUESTIONS || of_one >= MOST_OF_ONE || servers.is_empty() {
            return self.tell(from, failure(&query).as_deref());
        }
        let servers_as_told = self.conf.servers();
        let patience = (servers_as_told.timeout, servers_as_told.attempts);
        let mut question = Question::new((from, asker), query, servers, patience);
        question.go_on(Instant::now());
        self.questions.push(question);
    }

    /// Where those are who answer for others, those last that have not answered lately; never a door of our own, which would
    /// ask itself without end.
    fn servers(&mut self, asker: IpAddr) -> Vec<SocketAddr> {
        let now = Instant::now();
        self.shunned.retain(|(_, until)| *until > now);
        let asked = self.zone.servers(asker);
        let told: Vec<SocketAddr> = if asked.is_empty() {
            self.conf.servers().servers.iter().filter_map(Server::socket_address).collect()
        } else {
            asked.iter().map(|server| SocketAddr::new(*server, PORT)).collect()
        };
        let mut servers: Vec<_> =
            told.into_iter().filter(|server| !self.doors.iter().any(|door| door.is_at(server.ip()))).collect();
        servers.sort_by_key(|server| self.shunned.iter().any(|(shunned, _)| shunned == server));
        servers
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        self.crowded = self.crowded.filter(|until| *until > now);
        for question in &mut self.questions {
            if let Some(silent) = question.go_on(now) {
                self.shunned.retain(|(shunned, _)| *shunned != silent);
                self.shunned.push((silent, now + SHUNNED));
            }
        }
    }

    /// Passes on what others have answered.
    fn conclude(&mut self) {
        let mut answers = Vec::new();
        self.questions.retain_mut(|question| match question.take_answer() {
            Some(answer) => {
                answers.push((question.from, answer));
                false
            }
            None => true,
        });
        for (to, answer) in answers {
            self.tell(to, answer.as_deref());
        }
    }
}

#[cfg(test)]
mod kernel;
