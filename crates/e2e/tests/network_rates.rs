//! `--network-rate`: what a container receives and sends, measured.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use carboy_e2e::Carboy;
use carboy_e2e::network::{alone, done, ip, pid, place, start, tables, within, words};

const SIZE: usize = 1 << 20;
/// At 8 mbit a mebibyte takes a little more than a second.
const LIMITED: std::ops::Range<Duration> = Duration::from_millis(800)..Duration::from_secs(8);

/// How long a mebibyte takes from one that connects to one that listens.
fn carried(listener: TcpListener, connect: impl FnOnce() -> TcpStream + Send + 'static) -> Duration {
    let send = std::thread::spawn(|| {
        let mut stream = connect();
        let began = Instant::now();
        stream.write_all(&vec![7; SIZE]).unwrap();
        began
    });
    let mut all = Vec::new();
    listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
    let ended = Instant::now();
    assert_eq!(all.len(), SIZE);
    ended - send.join().unwrap()
}

/// How long a mebibyte takes from the host to a container, and from the container to the host.
fn both_ways(carboy: &Carboy, name: &str, network: &str) -> (Duration, Duration) {
    let pid = pid(carboy, name);
    let [own, gateway] = ["IPAddress", "Gateway"].map(|field| place(carboy, name, network, field));
    let there = within(&pid, || TcpListener::bind("0.0.0.0:7000").unwrap());
    let into = carried(there, move || TcpStream::connect((own, 7000)).unwrap());
    let here = TcpListener::bind("0.0.0.0:7001").unwrap();
    let out = carried(here, move || within(&pid, move || TcpStream::connect((gateway, 7001)).unwrap()));
    (into, out)
}

/// The links of the host that are of single containers.
fn links() -> String {
    let listed = Command::new("ip").args(["-o", "link"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().filter(|line| line.contains(": cv") || line.contains(": ci")).collect()
}

fn is_limited(took: Duration, what: &str) {
    assert!(LIMITED.contains(&took), "{what} took {took:?}");
}

fn is_free(took: Duration, what: &str) {
    assert!(took < Duration::from_millis(400), "{what} took {took:?}");
}

#[test]
fn what_a_container_receives_and_sends_is_as_fast_as_it_was_asked_for_on_each_network_and_after_a_restart() {
    alone(|carboy| {
        done(carboy.run(["network", "create", "one"]));
        done(carboy.run(["network", "create", "two"]));
        start(carboy, "free", "--network one", "exec sleep 300");
        let (into, out) = both_ways(carboy, "free", "one");
        is_free(into, "into the free one");
        is_free(out, "out of the free one");
        start(carboy, "both", "--network one --network-rate in=8mbit,out=8mbit", "exec sleep 300");
        let check = |network: &str| {
            let (into, out) = both_ways(carboy, "both", network);
            is_limited(into, &format!("into it on {network}"));
            is_limited(out, &format!("out of it on {network}"));
        };
        check("one");
        done(carboy.run(["network", "connect", "two", "both"]));
        check("two");
        done(carboy.run(["restart", "-t", "0", "both"]));
        check("one");
        check("two");
        let shown = "{{.HostConfig.NetworkRate.InBits}} {{.HostConfig.NetworkRate.OutBits}}";
        assert_eq!(done(carboy.run(["inspect", "--format", shown, "both"])), "8000000 8000000");
        done(carboy.run(["rm", "-f", "free", "both"]));
        assert_eq!(links(), "", "none of theirs is left");
        done(carboy.run(["network", "rm", "one", "two"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn one_way_alone_is_limited_and_nothing_of_it_is_the_containers_to_undo() {
    alone(|carboy| {
        start(carboy, "in", "--network bridge --network-rate in=8mbit", "exec sleep 300");
        start(carboy, "out", "--privileged --network bridge --network-rate out=8mbit", "exec sleep 300");
        let (into, out) = both_ways(carboy, "in", "bridge");
        is_limited(into, "into the first");
        is_free(out, "out of the first");
        let pid = pid(carboy, "out");
        let shown = Command::new("nsenter").args(["-t", &pid, "-n", "tc", "qdisc", "show", "dev", "eth0"]).output();
        assert!(!String::from_utf8(shown.unwrap().stdout).unwrap().contains("tbf"), "a privileged one could remove it");
        let (into, out) = both_ways(carboy, "out", "bridge");
        is_free(into, "into the second");
        is_limited(out, "out of the second");
        done(carboy.run(["rm", "-f", "in", "out"]));
        done(carboy.run(["network", "prune", "-f"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn a_rate_that_does_not_hold_or_is_none_is_refused() {
    alone(|carboy| {
        ip("link add out type veth peer name far");
        done(carboy.run(words("network create -d macvlan -o parent=out shared")));
        let root = carboy.busybox();
        for (flags, expected) in [
            ("--network-rate in=1mbit --network shared", "nothing of the host limits what goes by the macvlan shared"),
            ("--network-rate out=1mbit --network shared", "cannot use --network-rate out=1000000bit"),
            ("--network-rate 1mbit", "use in=10mbit,out=1mbit"),
            ("--network-rate in=fast", "use a number of bits a second"),
            ("--network-rate in=7bit", "lets nothing through"),
            ("--network-rate in=-1mbit", "is no rate"),
            ("--network-rate in=1mbit --network none", "needs a network"),
        ] {
            let network = if flags.contains("--network ") { "" } else { "--network bridge " };
            let line = format!("run --rm {network}{flags}");
            let refused = carboy.run([words(&line), vec![root.to_str().unwrap(), "true"]].concat());
            assert_eq!(refused.code, 125, "{flags}: {}", refused.stderr);
            assert!(refused.stderr.contains(expected), "{flags}: {}", refused.stderr);
        }
        done(carboy.run(words("network rm shared")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}
