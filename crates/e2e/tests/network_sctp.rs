//! A port of SCTP that is published. This needs a kernel that has SCTP: the v2 machine's.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use carboy_e2e::network::{Neighbour, address, alone, done, pid, start, tables, within, words};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, listen, socket_with};

/// A stream of SCTP is used like one of TCP: sctp(7).
fn socket() -> std::os::fd::OwnedFd {
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::SCTP)).unwrap()
}

/// Answers what is sent to a port of a process's namespace with the same in capital letters.
fn answer(pid: &str, port: u16) {
    let listener = within(pid, move || {
        let socket = socket();
        bind(&socket, &SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        listen(&socket, 16).unwrap();
        TcpListener::from(socket)
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut said = [0; 64];
            let length = stream.read(&mut said).unwrap_or(0);
            let _ = stream.write_all(&said[..length].to_ascii_uppercase());
        }
    });
}

/// What is answered to a word.
fn answered(at: &str) -> Option<String> {
    let at: SocketAddr = at.parse().unwrap();
    let mut stream = TcpStream::from(socket());
    stream.set_write_timeout(Some(Duration::from_secs(4))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    connect(&stream, &at).ok()?;
    stream.write_all(b"over").ok()?;
    let mut told = [0; 64];
    let length = stream.read(&mut told).ok()?;
    Some(String::from_utf8_lossy(&told[..length]).into_owned())
}

#[test]
fn a_published_port_of_sctp_is_reached_by_the_host_by_its_neighbours_and_by_containers() {
    assert!(Command::new("modprobe").arg("sctp").status().unwrap().success(), "this kernel has no SCTP");
    alone(|carboy| {
        let neighbour = Neighbour::new();
        done(carboy.run(words("network create one")));
        start(carboy, "serves", "--network one -p 3868:7/sctp -p 127.0.0.1:3869:7/sctp", "exec sleep 1000");
        start(carboy, "other", "--network one", "exec sleep 1000");
        answer(&pid(carboy, "serves"), 7);
        let own = address(carboy, "serves", "one");
        let over = Some("OVER".to_owned());
        let from = |pid: String, at: String| within(&pid, move || answered(&at));
        assert_eq!(from(pid(carboy, "other"), format!("{own}:7")), over, "without any port of the host");
        assert_eq!(from(neighbour.pid(), "192.0.2.1:3868".to_owned()), over, "from outside");
        assert_eq!(answered("192.0.2.1:3868"), over, "from the host");
        assert_eq!(answered("127.0.0.1:3868"), over, "from the host by its loopback");
        assert_eq!(answered("127.0.0.1:3869"), over, "where it is published there alone");
        assert_eq!(from(pid(carboy, "other"), "192.0.2.1:3868".to_owned()), over, "from a container");
        assert_eq!(from(pid(carboy, "serves"), "192.0.2.1:3868".to_owned()), over, "from itself");
        assert_eq!(from(neighbour.pid(), "192.0.2.1:3869".to_owned()), None, "from outside what is the host's alone");
        done(carboy.run(words("rm -f serves other")));
        assert_eq!(answered("192.0.2.1:3868"), None);
        done(carboy.run(words("network rm one")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}
