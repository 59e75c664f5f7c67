//! A network namespace for each test that is about networks, servers in containers, and a neighbour of the host.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Output};
use std::time::Duration;

use sys::namespace::Kinds;

use crate::{Carboy, Ended};

/// Runs a test in a net namespace of its own: what its thread starts is in it too.
///
/// # Panics
/// Where the test does.
pub fn alone(test: fn(&Carboy)) {
    apart(|| test(&Carboy::new()));
}

/// Runs a part of a test in a net namespace of its own, with a carboy that has been elsewhere.
///
/// # Panics
/// Where the part does.
pub fn apart(part: impl FnOnce() + Send) {
    let run = || {
        sys::namespace::unshare(Kinds::NET).unwrap();
        ip("link set lo up");
        part();
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap());
}

/// Runs `ip` with these words.
///
/// # Panics
/// Where it refuses.
pub fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

/// The output of a command that must have succeeded.
///
/// # Panics
/// Where it has not.
#[expect(clippy::needless_pass_by_value, reason = "done(carboy.run(..)) is how it is used")]
pub fn done(ended: Ended) -> String {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

/// A line's words.
#[must_use]
pub fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Starts a container that answers its name at port 80.
///
/// # Panics
/// Where it cannot be started.
pub fn serve(carboy: &Carboy, name: &str, flags: &str) {
    let script = format!("mkdir -p /w && echo {name} > /w/index.html && exec httpd -f -p 80 -h /w");
    start(carboy, name, flags, &script);
}

/// Starts a container that runs a script.
///
/// # Panics
/// Where it cannot be started.
pub fn start(carboy: &Carboy, name: &str, flags: &str, script: &str) {
    let root = carboy.busybox();
    let line = format!("run -d --name {name} {flags}");
    let all = [words(&line), vec![root.to_str().unwrap(), "sh", "-c", script]].concat();
    done(carboy.run(all));
}

/// The address that a container has in a network, of IPv4.
///
/// # Panics
/// Where it is not on it.
#[must_use]
pub fn address(carboy: &Carboy, name: &str, network: &str) -> String {
    place(carboy, name, network, "IPAddress")
}

/// One field of a container's place in a network.
///
/// # Panics
/// Where it is not on it.
#[must_use]
pub fn place(carboy: &Carboy, name: &str, network: &str, field: &str) -> String {
    let form = format!("{{{{(index .NetworkSettings.Networks \"{network}\").{field}}}}}");
    done(carboy.run(["inspect", "--format", &form, name]))
}

/// The last line that a server says.
#[must_use]
pub fn page(at: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&at.parse().ok()?, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().last().map(str::to_owned)
}

/// The same, once it is there.
#[must_use]
pub fn served(at: &str) -> Option<String> {
    (0..50).find_map(|_| {
        page(at).or_else(|| {
            std::thread::sleep(Duration::from_millis(20));
            None
        })
    })
}

/// Whether one container's ping is answered.
#[must_use]
pub fn pings(carboy: &Carboy, from: &str, to: &str) -> bool {
    carboy.run(["exec", from, "ping", "-c1", "-W1", to]).code == 0
}

/// Does something in the network namespace of a process.
///
/// # Panics
/// Where that does.
pub fn within<T: Send + 'static>(pid: &str, what: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let there = move || {
        sys::namespace::join(namespace.as_fd(), Kinds::NET).unwrap();
        what()
    };
    std::thread::spawn(there).join().unwrap()
}

/// The process of a container.
///
/// # Panics
/// Where it does not run.
#[must_use]
pub fn pid(carboy: &Carboy, name: &str) -> String {
    done(carboy.run(["inspect", "--format", "{{.State.Pid}}", name]))
}

/// What is answered to a word that is sent by UDP.
#[must_use]
pub fn answered(at: &str) -> Option<String> {
    let at: SocketAddr = at.parse().ok()?;
    let own = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own).ok()?;
    socket.connect(at).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    socket.send(b"over").ok()?;
    let mut told = [0; 64];
    let length = socket.recv(&mut told).ok()?;
    Some(String::from_utf8_lossy(told.get(..length)?).into_owned())
}

/// Answers what is sent to port 53 by UDP with the same in capital letters, as long as the namespace of a process is there.
///
/// # Panics
/// Where the port is taken.
pub fn answer(pid: &str) {
    let socket = within(pid, || UdpSocket::bind("[::]:53").unwrap());
    std::thread::spawn(move || {
        let mut told = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut told) {
            let said = told.get(..length).unwrap_or_default().to_ascii_uppercase();
            let _ = socket.send_to(&said, from);
        }
    });
}

/// All that nftables has in this namespace.
///
/// # Panics
/// Without nft.
#[must_use]
pub fn tables() -> String {
    let listed = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

/// Has nft do what a text says.
///
/// # Panics
/// Where it refuses.
pub fn nft(text: &str) {
    let ended = Command::new("nft").arg(text).output().unwrap();
    assert!(ended.status.success(), "{text}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A neighbour of the host: another namespace, by a link between 192.0.2.1 and 192.0.2.2, 2001:db8::1 and 2001:db8::2. What
/// it sends elsewhere goes by the host. It goes with the test.
#[derive(Debug)]
pub struct Neighbour(Child);

impl Neighbour {
    /// A neighbour of this namespace.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        ip("link add out type veth peer name eth9");
        ip("addr add 192.0.2.1/24 dev out");
        ip("addr add 2001:db8::1/64 dev out nodad");
        ip("link set out up");
        let mut sleeper = Command::new("unshare");
        let mut neighbour = sleeper.args(["-n", "sh", "-c", "echo; exec sleep 300"]);
        neighbour = neighbour.stdout(std::process::Stdio::piped());
        let mut child = neighbour.spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let neighbour = Self(child);
        ip(&format!("link set eth9 netns {}", neighbour.0.id()));
        for line in [
            "ip addr add 192.0.2.2/24 dev eth9",
            "ip addr add 2001:db8::2/64 dev eth9 nodad",
            "ip link set eth9 up",
            "ip link set lo up",
            "ip route add default via 192.0.2.1",
            "ip route add default via 2001:db8::1",
        ] {
            assert!(neighbour.run(line).status.success(), "{line}");
        }
        neighbour
    }

    /// A process of it.
    #[must_use]
    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Runs a command there.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn run(&self, line: &str) -> Output {
        let pid = self.0.id().to_string();
        let all = [vec!["-t", &pid, "-n"], words(line)].concat();
        Command::new("nsenter").args(all).output().unwrap()
    }

    /// What a server says to it.
    ///
    /// # Panics
    /// Never by itself.
    #[must_use]
    pub fn page(&self, at: &str) -> Option<String> {
        let at = at.to_owned();
        within(&self.0.id().to_string(), move || page(&at))
    }
}

impl Default for Neighbour {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
