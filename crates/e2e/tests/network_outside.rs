//! What the host's neighbour and the containers of other networks reach: published ports and nothing else, by TCP and UDP,
//! IPv4 and IPv6, and whatever they put into the headers of their packets.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use carboy_e2e::network::{
    Neighbour, address, alone, answer, answered, done, nft, page, pid, place, serve, served, start, tables, within,
    words,
};
use carboy_e2e::{Carboy, eventually};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];
const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// Who tries: a process in its network namespace, and the host's addresses in its network.
struct Outsider {
    name: &'static str,
    pid: String,
    gateways: [String; 2],
}

impl Outsider {
    /// A container that is on one network.
    fn container(carboy: &Carboy, name: &'static str, network: &str) -> Self {
        let gateways = ["Gateway", "IPv6Gateway"].map(|field| place(carboy, name, network, field));
        Self { name, pid: pid(carboy, name), gateways }
    }

    /// Has it send to the host what is for the loopback, as no sane one does, and all that has no way out.
    fn misroute(&self) {
        let [four, six] = &self.gateways;
        let script = format!(
            "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.0/8 via {four}; ip -6 addr del ::1/128 dev lo; \
             ip -6 route add ::1/128 via {six}; ip route replace default via {four}; ip -6 route replace default via {six}; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"
        );
        let ended = Command::new("nsenter").args(["-t", &self.pid, "-n", "sh", "-ec", &script]).output().unwrap();
        assert!(ended.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&ended.stderr));
    }

    /// Whether the kernel still looks whether somebody has an address of its own: until then it finds no neighbours for
    /// packets that have the addresses of others.
    fn is_tentative(&self) -> bool {
        let line = format!("-t {} -n ip -6 addr show tentative", self.pid);
        let listed = Command::new("nsenter").args(words(&line)).output().unwrap();
        !listed.stdout.is_empty()
    }

    /// Which of these answer it, all asked at once.
    fn reached(&self, all: &[(Kind, SocketAddr)]) -> BTreeSet<String> {
        let all = all.to_vec();
        within(&self.pid, move || {
            let ask = |(kind, at): (Kind, SocketAddr)| {
                std::thread::spawn(move || {
                    let told = match kind {
                        Kind::Page => page(&at.to_string()),
                        Kind::Word => answered(&at.to_string()),
                    };
                    told.map(|_| format!("{kind:?} {at}"))
                })
            };
            let asked: Vec<_> = all.into_iter().map(ask).collect();
            asked.into_iter().filter_map(|one| one.join().unwrap()).collect()
        })
    }

    /// Sends a datagram from each of these addresses to each of these places, whose content tells of it.
    fn craft(&self, sources: &[IpAddr], places: &[SocketAddr]) {
        let (name, sources, places) = (self.name, sources.to_vec(), places.to_vec());
        within(&self.pid, move || {
            for source in &sources {
                for to in places.iter().filter(|to| to.is_ipv4() == source.is_ipv4()) {
                    send(*source, *to, &format!("{name}: {source} to {to}"));
                }
            }
        });
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A page by TCP.
    Page,
    /// An echo by UDP.
    Word,
}

/// Sends a datagram of UDP with this source, whatever addresses the namespace has. One that the sender's own kernel has no
/// way for is not sent.
fn send(source: IpAddr, to: SocketAddr, text: &str) {
    let length = u16::try_from(text.len() + 8).unwrap().to_be_bytes();
    let ports = [4711_u16.to_be_bytes(), to.port().to_be_bytes()].concat();
    let datagram = |sum: u16| [&ports[..], &length, &sum.to_be_bytes(), text.as_bytes()].concat();
    let (family, packet) = match (source, to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(to)) => {
            // The kernel puts the length and the sum in; a datagram without a sum is a whole one.
            let header = [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0][..], &source.octets(), &to.octets()].concat();
            (AddressFamily::INET, [header, datagram(0)].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(to)) => {
            let addresses = [source.octets(), to.octets()].concat();
            let sum = sum(&[&addresses[..], &[0, 0], &length, &[0, 0, 0, 17], &datagram(0)].concat());
            let header = [&[0x60, 0, 0, 0][..], &length, &[17, 64], &addresses].concat();
            (AddressFamily::INET6, [header, datagram(sum)].concat())
        }
        _ => return,
    };
    let raw = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW)).unwrap();
    let _ = sendto(raw, &packet, SendFlags::empty(), &SocketAddr::new(to.ip(), 0));
}

/// RFC 1071.
fn sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// What comes to a port of a namespace's addresses by UDP.
fn hear(pid: &str, at: &'static str) -> Receiver<String> {
    let socket = within(pid, move || UdpSocket::bind(at).unwrap());
    let (told, heard) = channel();
    std::thread::spawn(move || {
        let mut text = [0; 128];
        while let Ok((length, _)) = socket.recv_from(&mut text) {
            let _ = told.send(String::from_utf8_lossy(&text[..length]).into_owned());
        }
    });
    heard
}

/// The addresses of a container.
fn addresses(carboy: &Carboy, name: &str) -> [IpAddr; 2] {
    let six = place(carboy, name, "six", "GlobalIPv6Address");
    [address(carboy, name, "six").parse().unwrap(), six.parse().unwrap()]
}

fn at(addresses: &[impl AsRef<str>], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(address.as_ref().parse().unwrap(), port)).collect()
}

/// Containers: `open` publishes to everybody, `inner` to the host alone, both have more ports that they do not publish;
/// `far` is on another network, and `shut` on one without a way out.
struct Scene<'c> {
    carboy: &'c Carboy,
    outsiders: Vec<Outsider>,
    _neighbour: Neighbour,
}

impl<'c> Scene<'c> {
    fn new(carboy: &'c Carboy) -> Self {
        fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0").unwrap();
        let neighbour = Neighbour::new();
        for line in ["create --ipv6 six", "create --ipv6 other", "create --ipv6 --internal lone"] {
            done(carboy.run(words(&format!("network {line}"))));
        }
        serve(carboy, "open", "--network six -p 8080:80 -p 8053:53/udp");
        let inner = "--network six -p 127.0.0.1:8081:80 -p [::1]:8081:80 -p 127.0.0.1:9053:53/udp -p [::1]:9053:53/udp";
        serve(carboy, "inner", inner);
        for (name, network) in [("far", "other"), ("shut", "lone")] {
            start(carboy, name, &format!("--network {network}"), "exec sleep 1000");
        }
        for name in ["open", "inner"] {
            answer(&pid(carboy, name));
            done(carboy.run(["exec", name, "httpd", "-p", "81", "-h", "/w"]));
        }
        let there = Outsider { name: "neighbour", pid: neighbour.pid(), gateways: HOST.map(str::to_owned) };
        let far = Outsider::container(carboy, "far", "other");
        let shut = Outsider::container(carboy, "shut", "lone");
        Self { carboy, outsiders: vec![there, far, shut], _neighbour: neighbour }
    }

    /// What nobody outside may reach.
    fn secret(&self) -> Vec<(Kind, SocketAddr)> {
        let mut secret = Vec::new();
        let hosts = ["Gateway", "IPv6Gateway"].map(|field| place(self.carboy, "open", "six", field));
        for addresses in [HOST.map(str::to_owned), hosts, LOOPBACK.map(str::to_owned)] {
            secret.extend([80, 81, 8081].into_iter().flat_map(|port| at(&addresses, port)).map(|at| (Kind::Page, at)));
            secret.extend(at(&addresses, 9053).into_iter().map(|at| (Kind::Word, at)));
        }
        for container in ["open", "inner"] {
            let own = addresses(self.carboy, container).map(|own| own.to_string());
            secret.extend([80, 81].into_iter().flat_map(|port| at(&own, port)).map(|at| (Kind::Page, at)));
            secret.extend(at(&own, 53).into_iter().map(|at| (Kind::Word, at)));
        }
        // Published at each address of the host, but the neighbour's loopback is not the host's.
        secret.extend(at(&LOOPBACK, 8080).into_iter().map(|at| (Kind::Page, at)));
        secret.extend(at(&LOOPBACK, 8053).into_iter().map(|at| (Kind::Word, at)));
        secret
    }

    fn check(&self) {
        for (at, name) in [("127.0.0.1:8081", "inner"), ("[::1]:8081", "inner"), ("127.0.0.1:8080", "open")] {
            assert_eq!(served(at).as_deref(), Some(name));
        }
        for at in ["127.0.0.1:9053", "[::1]:9053", "127.0.0.1:8053", "[::1]:8053"] {
            assert_eq!(answered(at).as_deref(), Some("OVER"), "{at}");
        }
        let published: Vec<_> = at(&HOST, 8080).into_iter().map(|at| (Kind::Page, at)).collect();
        let published = [published, at(&HOST, 8053).into_iter().map(|at| (Kind::Word, at)).collect()].concat();
        let all = [published.clone(), self.secret()].concat();
        let open: BTreeSet<String> = published.iter().map(|(kind, at)| format!("{kind:?} {at}")).collect();
        std::thread::scope(|scope| {
            for outsider in &self.outsiders {
                let expected = if outsider.name == "shut" { BTreeSet::new() } else { open.clone() };
                let all = &all;
                scope.spawn(move || assert_eq!(outsider.reached(all), expected, "{}", outsider.name));
            }
        });
    }

    fn end(&self) {
        done(self.carboy.run(words("rm -f open inner far shut")));
        done(self.carboy.run(words("network rm six other lone")));
        assert_eq!((self.carboy.left_behind(), tables()), (Vec::new(), String::new()));
    }
}

#[test]
fn outsiders_reach_published_ports_and_nothing_else_whatever_they_route_and_again_after_a_flush() {
    alone(|carboy| {
        let scene = Scene::new(carboy);
        scene.check();
        scene.outsiders.iter().for_each(Outsider::misroute);
        scene.check();
        nft("flush ruleset");
        let [neighbour, ..] = &scene.outsiders[..] else { unreachable!() };
        let direct = at(&addresses(carboy, "inner").map(|own| own.to_string()), 80).into_iter();
        let direct: Vec<_> = direct.map(|at| (Kind::Page, at)).collect();
        assert_eq!(neighbour.reached(&direct).len(), 2, "it is the firewall that keeps it off");
        done(carboy.run(words("network reload")));
        scene.check();
        scene.end();
    });
}

/// Whether the kernel lets what is for 127.0.0.1 in by the bridge `lo4`.
const LETS_IN: &str = "/proc/sys/net/ipv4/conf/lo4/route_localnet";

fn lets_in() -> String {
    fs::read_to_string(LETS_IN).unwrap().trim().to_owned()
}

#[test]
fn a_bridge_lets_in_what_is_for_the_hosts_loopback_only_while_a_port_is_published_there() {
    alone(|carboy| {
        fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0").unwrap();
        let _neighbour = Neighbour::new();
        done(carboy.run(words("network create -o com.docker.network.bridge.name=lo4 lo4")));
        let steps = [
            ("none", "", "0"),
            ("outer", "-p 192.0.2.1:8080:80 -p [::1]:8081:80", "0"),
            ("inner", "-p 127.0.0.1:8080:80", "1"),
            ("every", "-p 8082:80", "1"),
        ];
        for (name, ports, expected) in steps {
            start(carboy, name, format!("--network lo4 {ports}").trim(), "exec sleep 1000");
            assert_eq!(lets_in(), expected, "{name}");
        }
        for (name, expected) in [("inner", "1"), ("every", "0")] {
            done(carboy.run(["rm", "-f", name]));
            assert_eq!(lets_in(), expected, "without {name}");
        }
        serve(carboy, "again", "--network lo4 -p 127.0.0.1:8080:80");
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("again"));
        for (name, wrong, right) in [("again", "0", "1"), ("none", "1", "0")] {
            fs::write(LETS_IN, wrong).unwrap();
            done(carboy.run(words("network reload")));
            assert_eq!(lets_in(), right);
            done(carboy.run(["rm", "-f", name]));
        }
        done(carboy.run(words("rm -f outer")));
        done(carboy.run(words("network rm lo4")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn packets_with_the_addresses_of_others_come_neither_to_a_container_nor_to_the_hosts_loopback() {
    alone(|carboy| {
        let scene = Scene::new(carboy);
        scene.outsiders.iter().for_each(Outsider::misroute);
        let own = rustix::thread::gettid().as_raw_nonzero().to_string();
        let host = Outsider { name: "host", pid: own.clone(), gateways: HOST.map(str::to_owned) };
        let all = scene.outsiders.iter().chain([&host]);
        eventually("all addresses are settled", || !all.clone().any(Outsider::is_tentative));
        let ears = [
            hear(&pid(carboy, "open"), "[::]:54"),
            hear(&pid(carboy, "inner"), "[::]:54"),
            hear(&own, "127.0.0.1:54"),
            hear(&own, "[::1]:54"),
        ];
        let containers = ["open", "inner"].map(|name| addresses(carboy, name)).concat();
        let gateways = ["Gateway", "IPv6Gateway"].map(|field| place(carboy, "open", "six", field));
        let hosts = [LOOPBACK, HOST].concat().into_iter().map(str::to_owned).chain(gateways);
        let hosts: Vec<IpAddr> = hosts.map(|address| address.parse().unwrap()).collect();
        let strangers: Vec<IpAddr> = ["192.0.2.99", "2001:db8::99"].map(|address| address.parse().unwrap()).to_vec();
        let sources = [hosts, containers.clone(), strangers].concat();
        let aims = containers.iter().map(ToString::to_string).chain(LOOPBACK.map(str::to_owned));
        let aims = at(&aims.collect::<Vec<_>>(), 54);
        let heard = || -> BTreeSet<String> {
            scene.outsiders.iter().for_each(|outsider| outsider.craft(&sources, &aims));
            std::thread::sleep(Duration::from_millis(300));
            ears.iter().flat_map(Receiver::try_iter).collect()
        };
        assert_eq!(heard(), BTreeSet::new());
        nft("flush ruleset");
        let without = heard();
        let inner = &containers[2..];
        let [four, six] = inner else { unreachable!() };
        for expected in [
            format!("neighbour: 192.0.2.99 to {four}:54"),
            format!("neighbour: 2001:db8::99 to [{six}]:54"),
            format!("neighbour: 2001:db8::1 to [{six}]:54"),
        ] {
            let kept_off = "is sent, and kept off by the firewall alone";
            assert!(without.contains(&expected), "{expected} {kept_off}: {without:#?}");
        }
        let to_loopback = |told: &&String| told.ends_with("to 127.0.0.1:54");
        assert_eq!(without.iter().find(to_loopback), None, "no port of their networks is published at the loopback");
        done(carboy.run(words("network reload")));
        assert_eq!(heard(), BTreeSet::new());
        scene.end();
    });
}
