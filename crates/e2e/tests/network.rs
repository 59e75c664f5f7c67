//! Networks: containers that reach each other and those that do not, published ports, and that nothing is left. Each test
//! has a network namespace of its own, with a neighbour in another.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::Duration;

use carboy_e2e::{Carboy, Ended};
use sys::namespace::Kinds;

/// Runs a test in a net namespace of its own: what this thread starts is in it too.
fn alone(test: fn(&Carboy)) {
    let run = move || {
        sys::namespace::unshare(Kinds::NET).unwrap();
        ip("link set lo up");
        test(&Carboy::new());
    };
    std::thread::spawn(run).join().unwrap();
}

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

fn done(ended: Ended) -> String {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Starts a container that answers its name at port 80.
fn serve(carboy: &Carboy, name: &str, flags: &str) {
    let root = carboy.busybox();
    let script = format!("mkdir -p /w && echo {name} > /w/index.html && exec httpd -f -p 80 -h /w");
    let line = format!("run -d --name {name} {flags}");
    let all = [words(&line), vec![root.to_str().unwrap(), "sh", "-c", &script]].concat();
    done(carboy.run(all));
}

fn address(carboy: &Carboy, name: &str, network: &str) -> String {
    let form = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    done(carboy.run(["inspect", "--format", &form, name]))
}

/// What a server says.
fn page(at: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&at.parse().unwrap(), Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().last().map(str::to_owned)
}

/// The same, once it is there.
fn served(at: &str) -> Option<String> {
    (0..50).find_map(|_| {
        page(at).or_else(|| {
            std::thread::sleep(Duration::from_millis(20));
            None
        })
    })
}

fn pings(carboy: &Carboy, from: &str, to: &str) -> bool {
    carboy.run(["exec", from, "ping", "-c1", "-W1", to]).code == 0
}

fn tables() -> String {
    let listed = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn those_on_one_network_reach_each_other_and_those_on_two_do_not() {
    alone(|carboy| {
        for network in ["one", "two"] {
            done(carboy.run(["network", "create", network]));
        }
        serve(carboy, "first", "--network one");
        serve(carboy, "second", "--network one");
        serve(carboy, "third", "--network two");
        let second = address(carboy, "second", "one");
        let third = address(carboy, "third", "two");
        assert!(pings(carboy, "first", &second));
        assert!(!pings(carboy, "first", &third));
        done(carboy.run(["network", "connect", "two", "first"]));
        assert!(pings(carboy, "first", &third));
        done(carboy.run(["network", "disconnect", "two", "first"]));
        assert!(!pings(carboy, "first", &third));
        let refused = carboy.run(["network", "rm", "one"]);
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        assert!(refused.stderr.contains("network has active endpoints: first, second"), "{}", refused.stderr);
        done(carboy.run(["rm", "-f", "first", "second", "third"]));
        done(carboy.run(["network", "rm", "one", "two"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn a_port_is_published_to_whom_it_is_meant_for_and_back_after_a_flush() {
    alone(|carboy| {
        ip("link add out type veth peer name eth9");
        ip("addr add 192.0.2.1/24 dev out");
        ip("link set out up");
        let neighbour = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
        let mut neighbour = Neighbour(neighbour);
        std::thread::sleep(Duration::from_millis(200));
        let pid = neighbour.0.id().to_string();
        ip(&format!("link set eth9 netns {pid}"));
        let there = |line: &str| {
            let all = [vec!["-t", &pid, "-n"], words(line)].concat();
            Command::new("nsenter").args(all).output().unwrap()
        };
        assert!(there("ip addr add 192.0.2.2/24 dev eth9").status.success());
        assert!(there("ip link set eth9 up").status.success());
        assert!(there("ip route add default via 192.0.2.1").status.success());
        serve(carboy, "open", "--network bridge -p 8080:80");
        serve(carboy, "inner", "--network bridge -p 127.0.0.1:8081:80");
        let own = address(carboy, "open", "bridge");
        let from_there = |at: &str| {
            let (at, namespace) = (at.to_owned(), File::open(format!("/proc/{pid}/ns/net")).unwrap());
            let look = move || {
                sys::namespace::join(namespace.as_fd(), Kinds::NET).unwrap();
                page(&at)
            };
            std::thread::spawn(look).join().unwrap()
        };
        let check = || {
            assert_eq!(served("127.0.0.1:8080").as_deref(), Some("open"));
            assert_eq!(served("127.0.0.1:8081").as_deref(), Some("inner"));
            assert_eq!(from_there("192.0.2.1:8080").as_deref(), Some("open"));
            assert_eq!(from_there("192.0.2.1:8081"), None);
            assert_eq!(from_there(&format!("{own}:80")), None);
            // By another container, through the host.
            let ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 192.0.2.1 8080";
            let got = done(carboy.run(["exec", "inner", "sh", "-c", ask]));
            assert_eq!(got.lines().last(), Some("open"));
        };
        check();
        assert!(Command::new("nft").args(["flush", "ruleset"]).status().unwrap().success());
        done(carboy.run(["network", "reload"]));
        check();
        let taken = carboy.run([
            "run",
            "--rm",
            "--network",
            "bridge",
            "-p",
            "8080:80",
            carboy.busybox().to_str().unwrap(),
            "true",
        ]);
        assert_eq!(taken.code, 125);
        assert!(taken.stderr.contains("is taken by the container"), "{}", taken.stderr);
        done(carboy.run(["rm", "-f", "open", "inner"]));
        done(carboy.run(["network", "prune", "-f"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
        neighbour.0.kill().unwrap();
        neighbour.0.wait().unwrap();
    });
}

/// A neighbour's process, which goes with the test.
struct Neighbour(std::process::Child);

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_is_on_an_internal_network_has_no_way_out_and_a_fixed_address_is_kept_over_a_restart() {
    alone(|carboy| {
        done(carboy.run(words("network create --internal --subnet 198.51.100.0/24 shut")));
        serve(carboy, "fixed", "--network shut --ip 198.51.100.77");
        assert_eq!(done(carboy.run(words("exec fixed ip route"))).lines().count(), 1);
        done(carboy.run(words("restart -t 0 fixed")));
        assert_eq!(address(carboy, "fixed", "shut"), "198.51.100.77");
        let root = carboy.busybox();
        let rated = ["run", "--rm", "--network", "shut", "--network-rate=in=1mbit", root.to_str().unwrap(), "true"];
        let refused = carboy.run(rated);
        assert_eq!(refused.code, 125);
        assert!(refused.stderr.contains("cannot be had yet"), "{}", refused.stderr);
        let again = ["run", "--rm", "--network", "shut", "--ip", "198.51.100.77", root.to_str().unwrap(), "true"];
        let refused = carboy.run(again);
        assert!(refused.stderr.contains("is in use by the container"), "{}", refused.stderr);
        for (line, expected) in [
            ("network create --subnet 198.51.100.128/25 over", "has addresses in common with the network shut"),
            ("network create shut", "network with this name already exists"),
            ("network rm bridge", "pre-defined network"),
            ("network rm nosuch", "network not found"),
        ] {
            let refused = carboy.run(words(line));
            assert_eq!(refused.code, 1, "{line}");
            assert!(refused.stderr.contains(expected), "{line}: {}", refused.stderr);
        }
        done(carboy.run(["rm", "-f", "fixed"]));
        done(carboy.run(["network", "rm", "shut"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}
