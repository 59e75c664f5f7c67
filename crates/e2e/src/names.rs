//! Whom containers find by name: what a resolver says, servers of the host, and the resolvers that run.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::AllRecordData;

use crate::Carboy;
use crate::network::{done, pid, tables, within};

/// What a resolver says.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// How it went.
    pub rcode: Rcode,
    /// What the records of the answer have.
    pub data: BTreeSet<String>,
}

fn query(name: &str, rtype: Rtype) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    builder.header_mut().set_id(4711);
    let mut builder = builder.question();
    builder.push((&name.parse::<Name<Vec<u8>>>().unwrap(), rtype)).unwrap();
    builder.finish()
}

/// Asks the server at an address from the caller's network namespace; `None` where nothing comes back.
///
/// # Panics
/// Where what comes back is no answer.
#[must_use]
pub fn asked(at: &str, name: &str, rtype: Rtype) -> Option<Told> {
    let at: IpAddr = at.parse().unwrap();
    let own = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect((at, 53)).ok()?;
    socket.send(&query(name, rtype)).unwrap();
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).ok()?;
    let message = Message::from_slice(buffer.get(..length).unwrap()).unwrap();
    let records = message.answer().unwrap().limit_to::<AllRecordData<_, _>>();
    let data = records.map(|record| record.unwrap().data().to_string()).collect();
    Some(Told { rcode: message.header().rcode(), data })
}

/// What the first server of a container's resolv.conf tells it.
///
/// # Panics
/// Where it does not run, or nothing comes back.
#[must_use]
pub fn finds(carboy: &Carboy, container: &str, name: &str, rtype: Rtype) -> Told {
    let conf = done(carboy.run(["exec", container, "cat", "/etc/resolv.conf"]));
    let server = conf.lines().find_map(|line| line.strip_prefix("nameserver ")).unwrap().to_owned();
    let name = name.to_owned();
    within(&pid(carboy, container), move || asked(&server, &name, rtype)).unwrap()
}

/// The addresses of IPv4 that it tells it.
///
/// # Panics
/// As [`finds`].
#[must_use]
pub fn addresses(carboy: &Carboy, container: &str, name: &str) -> Vec<String> {
    finds(carboy, container, name, Rtype::A).data.into_iter().collect()
}

/// Answers every query at an address of this namespace by 198.51.100.99.
///
/// # Panics
/// Where the port is taken.
pub fn serve_names(at: &str) {
    let socket = UdpSocket::bind((at, 53)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_slice(buffer.get(..length).unwrap()).unwrap();
            let mut answer = MessageBuilder::new_vec().start_answer(asked, Rcode::NOERROR).unwrap();
            let question = asked.sole_question().unwrap();
            let data = domain::rdata::A::new(Ipv4Addr::new(198, 51, 100, 99));
            answer.push((question.qname(), domain::base::Ttl::from_secs(5), data)).unwrap();
            socket.send_to(&answer.finish(), from).unwrap();
        }
    });
}

/// The resolvers that a carboy has with this among its words.
///
/// # Panics
/// Without /proc.
#[must_use]
pub fn resolvers(word: &str) -> Vec<i32> {
    let listed = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.starts_with("carboy-resolver") && words.contains(word)
    })
    .collect()
}

/// That nothing is left of a carboy on whose networks nobody is.
///
/// # Panics
/// Where something is.
pub fn nothing_left(carboy: &Carboy) {
    assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    let root = carboy.folder().display().to_string();
    assert_eq!(resolvers(&root), Vec::<i32>::new());
}
