//! Networks where the kernel has no nftables: its module is kept from coming, and iptables' legacy form has the rules. This
//! needs a kernel whose nftables is a module: the v2 machine's.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use carboy_e2e::Carboy;
use carboy_e2e::network::{
    Neighbour, address, alone, answer, answered, done, page, pid, place, serve, served, start, within, words,
};

const KEPT: &str = "/etc/modprobe.d/carboy-test-nf_tables.conf";

/// As long as it is there the kernel has no nftables.
struct WithoutNftables;

impl WithoutNftables {
    fn new() -> Self {
        fs::create_dir_all("/etc/modprobe.d").unwrap();
        fs::write(KEPT, "install nf_tables /bin/false\n").unwrap();
        let kept = Self;
        tool("modprobe br_netfilter");
        // Those that need another go before it.
        for _ in 0..8 {
            let modules = fs::read_to_string("/proc/modules").unwrap();
            let names = modules.lines().filter_map(|line| line.split(' ').next());
            for name in names.filter(|name| name.starts_with("nft_") || *name == "nf_tables") {
                let _ = Command::new("rmmod").arg(name).output();
            }
        }
        let nft = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        assert!(
            !nft.status.success(),
            "this kernel still has nftables: {}",
            fs::read_to_string("/proc/modules").unwrap()
        );
        kept
    }
}

impl Drop for WithoutNftables {
    fn drop(&mut self) {
        let _ = fs::remove_file(KEPT);
    }
}

/// Runs a test in a net namespace of its own, of a kernel without nftables.
fn without(test: fn(&Carboy)) {
    let _kept = WithoutNftables::new();
    alone(test);
}

fn tool(line: &str) -> String {
    let all = words(line);
    let ended = Command::new(all[0]).args(&all[1..]).output().unwrap();
    assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

/// All rules of both families but the counts.
fn rules() -> String {
    let mut all = String::new();
    for program in ["iptables-legacy", "ip6tables-legacy"] {
        for table in ["raw", "mangle", "nat", "filter"] {
            all.push_str(&tool(&format!("{program} -t {table} -S")));
        }
    }
    all
}

fn filter(value: &str) {
    for family in ["iptables", "ip6tables"] {
        fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), value).unwrap();
    }
}

/// What a place in a namespace reaches of these.
fn reached(pid: &str, all: &[String]) -> Vec<String> {
    let all = all.to_vec();
    within(pid, move || {
        let ask = |at: String| std::thread::spawn(move || page(&at).map(|told| format!("{told} at {at}")));
        let asked: Vec<_> = all.into_iter().map(ask).collect();
        asked.into_iter().filter_map(|one| one.join().unwrap()).collect()
    })
}

fn both(carboy: &Carboy, name: &str, network: &str) -> [String; 2] {
    [address(carboy, name, network), format!("[{}]", place(carboy, name, network, "GlobalIPv6Address"))]
}

fn end(carboy: &Carboy, containers: &str, networks: &str, before: &str) {
    done(carboy.run(words(&format!("rm -f {containers}"))));
    done(carboy.run(words(&format!("network rm {networks}"))));
    done(carboy.run(words("network prune -f")));
    assert_eq!((carboy.left_behind(), rules()), (Vec::new(), before.to_owned()));
}

/// What is published is reached, and nothing else.
fn check(carboy: &Carboy, neighbour: &Neighbour) {
    for at in ["127.0.0.1:8080", "[::1]:8080", "192.0.2.1:8080", "[2001:db8::1]:8080"] {
        assert_eq!(served(at).as_deref(), Some("open"), "{at}\n{}", rules());
    }
    for at in ["127.0.0.1:8081", "[::1]:8081"] {
        assert_eq!(served(at).as_deref(), Some("inner"), "{at}\n{}", rules());
    }
    assert_eq!(answered("127.0.0.1:8053").as_deref(), Some("OVER"));
    let out = ["192.0.2.2:90", "[2001:db8::2]:90"].map(str::to_owned);
    assert_eq!(reached(&pid(carboy, "open"), &out).len(), 2, "masqueraded\n{}", rules());
    assert_eq!(reached(&pid(carboy, "shut"), &out).len(), 0);
    let hosts = ["192.0.2.1", "[2001:db8::1]"].map(str::to_owned);
    let loopback = ["127.0.0.1", "[::1]"].map(str::to_owned);
    let containers = [both(carboy, "open", "six"), both(carboy, "inner", "six")].concat();
    let all: Vec<String> = [hosts.to_vec(), loopback.to_vec(), containers.clone()]
        .concat()
        .iter()
        .flat_map(|at| [80, 8080, 8081].map(|port| format!("{at}:{port}")))
        .collect();
    let published = ["open at 192.0.2.1:8080", "open at [2001:db8::1]:8080"].map(str::to_owned);
    assert_eq!(reached(&neighbour.pid(), &all), published);
    assert_eq!(reached(&pid(carboy, "far"), &all), published);
    assert_eq!(reached(&pid(carboy, "shut"), &all), [""; 0]);
    let udp = ["192.0.2.1:8053", "[2001:db8::1]:8053"];
    let told = within(&neighbour.pid(), move || udp.map(|at| answered(at).is_some()));
    assert_eq!(told, [true; 2]);
    // Each other within a network, and itself by what it publishes.
    let own: Vec<String> = containers.iter().map(|at| format!("{at}:80")).collect();
    assert_eq!(reached(&pid(carboy, "inner"), &own).len(), 4);
    assert_eq!(reached(&pid(carboy, "open"), &published.clone().map(|at| at[8..].to_owned())), published);
}

#[test]
fn published_ports_are_reached_and_nothing_else_by_both_families_and_again_after_a_flush() {
    without(|carboy| {
        filter("0");
        let before = rules();
        let neighbour = Neighbour::new();
        assert!(neighbour.run("busybox httpd -p 90 -h /usr/share/common-licenses").status.success());
        for line in ["create --ipv6 six", "create --ipv6 other", "create --ipv6 --internal lone"] {
            done(carboy.run(words(&format!("network {line}"))));
        }
        serve(carboy, "open", "--network six -p 8080:80 -p 8053:53/udp");
        serve(carboy, "inner", "--network six -p 127.0.0.1:8081:80 -p [::1]:8081:80");
        answer(&pid(carboy, "open"));
        for (name, network) in [("far", "other"), ("shut", "lone")] {
            start(carboy, name, &format!("--network {network}"), "exec sleep 1000");
        }
        check(carboy, &neighbour);
        let seen = done(carboy.run(words("see open")));
        for expected in ["0.0.0.0:8080/tcp", "[::]:8080/tcp", "iptables-legacy nat ", "ip6tables-legacy mangle "] {
            assert!(seen.contains(expected), "{expected} is not in\n{seen}");
        }
        let root = carboy.busybox();
        let explained = carboy.run([words("explain run --network six"), vec![root.to_str().unwrap(), "true"]].concat());
        assert!(explained.stdout.contains("eth0 to six, rules by iptables"), "{}", explained.stdout);
        // Others send what is for the loopback to the host.
        for line in ["ip addr del 127.0.0.1/8 dev lo", "ip route add 127.0.0.0/8 via 192.0.2.1"] {
            assert!(neighbour.run(line).status.success());
        }
        check(carboy, &neighbour);
        let whole = rules();
        for table in ["raw", "mangle", "nat"] {
            tool(&format!("iptables-legacy -t {table} -F"));
            tool(&format!("ip6tables-legacy -t {table} -F"));
        }
        assert_eq!(page("127.0.0.1:8080"), None);
        done(carboy.run(words("network reload")));
        assert_eq!(rules(), whole);
        check(carboy, &neighbour);
        filter("1");
        done(carboy.run(words("network reload")));
        let own = ["192.0.2.1:8080", "[2001:db8::1]:8080"].map(str::to_owned);
        assert_eq!(reached(&pid(carboy, "open"), &own).len(), 2, "itself, where bridged packets are filtered");
        done(carboy.run(words("network disconnect six inner")));
        assert!(!rules().contains("8081"), "{}", rules());
        assert_eq!(served("192.0.2.1:8080").as_deref(), Some("open"));
        end(carboy, "open inner far shut", "six other lone", &before);
    });
}

#[test]
fn those_of_a_network_that_is_closed_within_do_not_reach_each_other_where_bridged_packets_are_filtered() {
    without(|carboy| {
        filter("1");
        let before = rules();
        done(carboy.run(words("network create -o com.docker.network.bridge.enable_icc=false still")));
        done(carboy.run(words("network create talk")));
        for network in ["still", "talk"] {
            for place in ["one", "two"] {
                serve(carboy, &format!("{network}-{place}"), &format!("--network {network}"));
            }
            let [own, other] = ["one", "two"].map(|place| format!("{network}-{place}"));
            let at = format!("{}:80", address(carboy, &own, network));
            assert_eq!(served(&at).as_deref(), Some(own.as_str()), "by the host");
            assert_eq!(reached(&pid(carboy, &other), &[at]).len(), usize::from(network == "talk"));
        }
        end(carboy, "still-one still-two talk-one talk-two", "still talk", &before);
    });
}

#[test]
fn a_resolver_beside_another_server_is_led_to_and_its_rules_go_with_it() {
    without(|carboy| {
        let before = rules();
        let taken = UdpSocket::bind("0.0.0.0:53").unwrap();
        done(carboy.run(words("network create named")));
        start(carboy, "one", "--network named", "exec sleep 1000");
        start(carboy, "two", "--network named", "exec sleep 1000");
        assert!(rules().contains("--dport 53 -j DNAT"), "{}", rules());
        let asked = carboy.run(words("exec two nslookup one"));
        assert!(asked.stdout.contains(&address(carboy, "one", "named")), "{}{}", asked.stdout, asked.stderr);
        done(carboy.run(words("rm -f one two")));
        assert!(!rules().contains("--dport 53"), "{}", rules());
        drop(taken);
        done(carboy.run(words("network rm named")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), rules()), (Vec::new(), before));
    });
}

#[test]
fn starts_and_ends_at_once_leave_exactly_the_rules_of_those_that_are_there() {
    without(|carboy| {
        filter("0");
        let before = rules();
        // One makes the root that all of them have.
        let _ = carboy.busybox();
        std::thread::scope(|scope| {
            for number in 1..=6 {
                scope.spawn(move || {
                    serve(carboy, &format!("c{number}"), &format!("--network bridge -p 800{number}:80"));
                    if number % 2 == 0 {
                        done(carboy.run(["rm", "-f", &format!("c{number}")]));
                    }
                });
            }
        });
        for number in 1..=6 {
            let expected = (number % 2 == 1).then(|| format!("c{number}"));
            let at = format!("127.0.0.1:800{number}");
            assert_eq!(if expected.is_some() { served(&at) } else { page(&at) }, expected);
            let led = rules().matches(&format!("--dport 800{number} ")).count();
            assert_eq!(led, if expected.is_some() { 3 } else { 0 }, "{}", rules());
        }
        done(carboy.run(words("kill c1")));
        done(carboy.run(words("wait c1")));
        carboy_e2e::eventually("the rules of a container that has ended are gone", || !rules().contains("8001"));
        done(carboy.run(words("rm -f c1 c3 c5")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), rules()), (Vec::new(), before));
    });
}

#[test]
fn a_policy_that_drops_is_opened_and_what_is_not_published_stays_shut() {
    without(|carboy| {
        filter("0");
        let neighbour = Neighbour::new();
        tool("iptables-legacy -P FORWARD DROP");
        let before = rules();
        done(carboy.run(words("network create shop")));
        serve(carboy, "web", "--network shop -p 8080:80");
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
        assert_eq!(neighbour.page("192.0.2.1:8080"), None);
        let listed = carboy.run(words("network ls")).stderr;
        assert!(listed.contains("dropped by iptables-legacy FORWARD: carboy network open shop"), "{listed}");
        done(carboy.run(words("network open shop")));
        assert_eq!(neighbour.page("192.0.2.1:8080").as_deref(), Some("web"));
        assert_eq!(neighbour.page(&format!("{}:80", address(carboy, "web", "shop"))), None);
        end(carboy, "web", "shop", &before);
    });
}

/// iptables' legacy form, put aside.
struct Uninstalled;

const PROGRAM: &str = "/usr/sbin/xtables-legacy-multi";
const ASIDE: &str = "/usr/sbin/aside-xtables-legacy-multi";

impl Drop for Uninstalled {
    fn drop(&mut self) {
        let _ = fs::rename(ASIDE, PROGRAM);
    }
}

#[test]
fn without_iptables_either_a_network_is_refused_and_nothing_is_left_of_it() {
    without(|carboy| {
        fs::rename(PROGRAM, ASIDE).unwrap();
        let aside = Uninstalled;
        assert!(!Path::new(PROGRAM).exists());
        let root = carboy.busybox();
        let run = |flags: &str| carboy.run([words(flags), vec![root.to_str().unwrap(), "true"]].concat());
        let refused = run("run --rm --network bridge -p 8080:80");
        assert_eq!(refused.code, 125, "{}", refused.stderr);
        for expected in
            ["nftables, which this kernel has not", "hint: modprobe nf_tables, or install the package iptables"]
        {
            assert!(refused.stderr.contains(expected), "{}", refused.stderr);
        }
        assert_eq!(run("run --rm --network none").code, 0);
        done(carboy.run(words("network create shop")));
        done(carboy.run(words("network ls")));
        done(carboy.run(words("network rm shop")));
        done(carboy.run(words("network prune -f")));
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
        drop(aside);
        assert_eq!(run("run --rm --network bridge -p 8080:80").code, 0);
        done(carboy.run(words("network prune -f")));
    });
}
