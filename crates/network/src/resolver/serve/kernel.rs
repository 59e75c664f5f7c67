//! A resolver with real sockets, in a net namespace of its own: the servers of its host are played here.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::*;
use crate::resolver::{Side, Standing};

/// Names that can be changed while they are asked for.
type Names = Arc<Mutex<BTreeMap<String, IpAddr>>>;

/// What the resolver knows, as of its last refresh.
struct Book {
    shared: Names,
    known: BTreeMap<String, IpAddr>,
}

impl Zone for Book {
    fn refresh(&mut self) {
        self.known = self.shared.lock().unwrap().clone();
    }

    fn standing(&self, _asker: IpAddr) -> Standing {
        Standing::Everywhere
    }

    fn addresses(&self, _asker: IpAddr, name: &str) -> Option<Vec<IpAddr>> {
        self.known.get(name).map(|address| vec![*address])
    }

    fn names(&self, _asker: IpAddr, _of: IpAddr) -> Option<Vec<String>> {
        None
    }
}

/// A resolver on a thread.
struct Running {
    names: Names,
    at: SocketAddr,
    conf: PathBuf,
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<Result<()>>>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Running {
    fn start(conf: &str) -> Self {
        let names = Names::default();
        let udp = UdpSocket::bind("127.0.0.1:53").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:53").unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("carboy-resolver-{}-{number}", std::process::id()));
        fs::write(&path, conf).unwrap();
        let (end, stop) = std::io::pipe().unwrap();
        let mut book = Book { shared: Arc::clone(&names), known: BTreeMap::new() };
        let (door, of_thread) = (Door { udp, tcp, side: Side::Own }, path.clone());
        let thread = thread::spawn(move || serve(&mut book, &[door], end.as_fd(), &of_thread));
        let at = "127.0.0.1:53".parse().unwrap();
        Self { names, at, conf: path, stop: Some(stop.into()), thread: Some(thread) }
    }

    fn name(&self, name: &str, address: &str) {
        self.names.lock().unwrap().insert(name.to_owned(), address.parse().unwrap());
    }

    /// The code of the answer to a query by UDP, and the last four bytes of it, where the address is.
    fn ask(&self, name: &str) -> (u8, Ipv4Addr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.send_to(&query(77, name), self.at).unwrap();
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, self.at);
        assert_eq!(buffer[..2], [0, 77]);
        tail(&buffer[..length])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop = None;
        assert_eq!(self.thread.take().unwrap().join().unwrap(), Ok(()));
        let _ = fs::remove_file(&self.conf);
    }
}

fn tail(reply: &[u8]) -> (u8, Ipv4Addr) {
    (reply[3] & 0xf, Ipv4Addr::from(*reply.last_chunk::<4>().unwrap()))
}

/// A query for the addresses of IPv4 of a name.
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = [id.to_be_bytes().as_slice(), &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// The answer to a query: this address, or this code.
fn told(query: &[u8], code: u8, address: [u8; 4]) -> Vec<u8> {
    let mut reply = query.to_vec();
    (reply[2], reply[3], reply[7]) = (0x81, 0x80 | code, 1);
    reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    reply.extend(address);
    reply
}

/// A server at this address that answers each query by UDP, and one connection at a time by TCP, so.
fn server(address: &str, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Clone + Send + 'static) {
    let udp = UdpSocket::bind((address, 53)).unwrap();
    let tcp = TcpListener::bind((address, 53)).unwrap();
    let of_udp = answer.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            for reply in of_udp(&buffer[..length]) {
                udp.send_to(&reply, from).unwrap();
            }
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let query = receive(&mut stream);
            answer(&query).iter().for_each(|reply| send(&mut stream, reply));
        }
    });
}

fn send(stream: &mut TcpStream, message: &[u8]) {
    sent(stream, message).unwrap();
}

fn sent(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, message].concat())
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    received(stream).unwrap()
}

fn received(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect("127.0.0.1:53").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Runs in a net namespace of its own with a loopback; threads that are begun there are in it too.
fn alone(test: fn()) {
    let run = move || {
        sys::namespace::unshare(sys::namespace::Kinds::NET).unwrap();
        sys::namespace::loopback_up().unwrap();
        test();
    };
    thread::spawn(run).join().unwrap();
}

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

fn there(query: &[u8]) -> Vec<Vec<u8>> {
    vec![told(query, 0, THERE.octets())]
}

#[test]
fn own_names_are_answered_and_others_by_the_servers_that_the_host_has_at_the_moment() {
    alone(|| {
        server("127.0.0.53", there);
        server("127.0.0.54", |query| vec![told(query, 0, [198, 51, 100, 2])]);
        let resolver = Running::start("nameserver 127.0.0.53\n");
        assert_eq!(resolver.ask("web.example"), (0, THERE));
        resolver.name("web.example", "192.0.2.1");
        assert_eq!(resolver.ask("web.example"), (0, HERE));
        assert_eq!(resolver.ask("example"), (0, THERE));
        fs::write(&resolver.conf, "# changed\nnameserver 127.0.0.54\n").unwrap();
        assert_eq!(resolver.ask("example"), (0, Ipv4Addr::new(198, 51, 100, 2)));
    });
}

#[test]
fn over_a_connection_each_query_has_its_answer_though_they_come_in_pieces_and_at_once() {
    alone(|| {
        server("127.0.0.53", there);
        let resolver = Running::start("nameserver 127.0.0.53\n");
        resolver.name("web", "192.0.2.1");
        let mut stream = connect();
        let all = [query(1, "web"), query(2, "example"), query(3, "web")];
        let bytes: Vec<u8> =
            all.iter().flat_map(|one| [&[0, u8::try_from(one.len()).unwrap()], &one[..]].concat()).collect();
        for piece in bytes.chunks(7) {
            stream.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut replies = [(); 3].map(|()| receive(&mut stream));
        replies.sort();
        assert_eq!(replies.map(|reply| (reply[1], tail(&reply).1)), [(1, HERE), (2, THERE), (3, HERE)]);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and it is closed when all are answered");
        let mut stream = connect();
        stream.write_all(&[0xff, 0xff, 1]).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "nobody asks so much");
    });
}

#[test]
fn who_has_all_connections_does_not_keep_others_from_asking() {
    alone(|| {
        let resolver = Running::start("");
        resolver.name("web", "192.0.2.1");
        let kept: Vec<_> = (0..40).map(|_| connect()).collect();
        assert_eq!(resolver.ask("web"), (0, HERE));
        drop(kept);
        // Until it has heard that they are gone it has no room for one more of the same container's.
        let told = (0..500).find_map(|_| {
            let mut stream = connect();
            let told = sent(&mut stream, &query(1, "web")).and_then(|()| received(&mut stream)).ok();
            if told.is_none() {
                std::thread::sleep(Duration::from_millis(10));
            }
            told
        });
        assert_eq!(told.map(|told| tail(&told)), Some((0, HERE)));
    });
}

#[test]
fn where_a_server_is_silent_fails_or_is_nowhere_the_next_one_is_asked() {
    alone(|| {
        server("127.0.0.52", |_| Vec::new());
        server("127.0.0.53", |query| vec![told(query, 2, [0; 4])]);
        server("127.0.0.54", there);
        let resolver = Running::start("nameserver 127.0.0.51\nnameserver 127.0.0.53\nnameserver 127.0.0.54\n");
        let begun = Instant::now();
        assert_eq!(resolver.ask("example"), (0, THERE));
        assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
        fs::write(&resolver.conf, "nameserver 127.0.0.52\nnameserver 127.0.0.54 # one\n").unwrap();
        let begun = Instant::now();
        assert_eq!(resolver.ask("example"), (0, THERE));
        assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert_eq!(resolver.ask("example"), (0, THERE));
        assert!(begun.elapsed() < Duration::from_millis(800), "who was silent is asked last for a while");
        fs::write(&resolver.conf, "nameserver 127.0.0.51\n").unwrap();
        assert_eq!(resolver.ask("example").0, 2, "where nobody answers that is told");
        fs::write(&resolver.conf, "nameserver 127.0.0.1 # ourselves\n").unwrap();
        assert_eq!(resolver.ask("example").0, 2);
        fs::write(&resolver.conf, "nameserver 127.0.0.52\noptions timeout:1 attempts:1\n").unwrap();
        resolver.name("web", "192.0.2.1");
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        for id in 0..600 {
            silent.send_to(&query(id, "example"), resolver.at).unwrap();
        }
        let begun = Instant::now();
        assert_eq!(resolver.ask("web"), (0, HERE), "nobody waits for those who wait");
        assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
    });
}

#[test]
fn an_answer_to_another_question_or_with_another_id_is_none() {
    alone(|| {
        server("127.0.0.53", |query| {
            let [mut id, mut name] = [told(query, 0, [203, 0, 113, 1]), told(query, 0, [203, 0, 113, 2])];
            id[1] ^= 1;
            name[13] ^= 1;
            vec![id, name, b"\0".to_vec(), told(query, 0, THERE.octets())]
        });
        let resolver = Running::start("nameserver 127.0.0.53\n");
        assert_eq!(resolver.ask("example"), (0, THERE));
        let mut stream = connect();
        send(&mut stream, &query(1, "example"));
        assert_eq!(tail(&receive(&mut stream)), (0, THERE));
    });
}

/// Memory of this process, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn five_thousand_queries_in_a_second_are_answered_right_while_names_come_and_go() {
    alone(|| {
        const EACH: u16 = 2_500;
        server("127.0.0.53", |query| vec![told(query, 3, [0; 4])]);
        let resolver = Running::start("nameserver 127.0.0.53\n");
        resolver.name("web", "192.0.2.1");
        let before = memory();
        let begun = Instant::now();
        let askers = [(); 2].map(|()| {
            thread::spawn(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let (mut buffer, wrong, mut seen) = ([0; 512], Cell::new(0), vec![0_u8; usize::from(EACH)]);
                for burst in 0..EACH / 50 {
                    for id in burst * 50..(burst + 1) * 50 {
                        let name = if id % 10 == 9 { "coming" } else { "web" };
                        socket.send_to(&query(id, name), "127.0.0.1:53").unwrap();
                    }
                    for _ in 0..50 {
                        let length = socket.recv(&mut buffer).unwrap();
                        let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                        seen[usize::from(id)] += 1;
                        let (code, address) = tail(&buffer[..length]);
                        let is_right = if id % 10 == 9 { code == 3 || address == THERE } else { address == HERE };
                        wrong.set(wrong.get() + u32::from(!is_right));
                    }
                }
                (wrong.get(), seen.iter().all(|times| *times == 1))
            })
        });
        while !askers.iter().all(JoinHandle::is_finished) {
            resolver.name("coming", &THERE.to_string());
            assert_eq!(resolver.ask("coming"), (0, THERE), "known as soon as it is there");
            resolver.names.lock().unwrap().remove("coming");
            assert_eq!(resolver.ask("coming").0, 3, "and forgotten as soon as it is gone");
        }
        assert_eq!(askers.map(|asker| asker.join().unwrap()), [(0, true), (0, true)]);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(memory() < before + 8 * 1024, "{} KiB", memory() - before);
    });
}
