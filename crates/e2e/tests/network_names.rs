//! Containers find each other by name, as they come and go, and what else they look for is asked of others.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carboy_e2e::network::{address, alone, done, ip, pid, place, start, tables, within, words};
use carboy_e2e::{Carboy, ended};
use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::AllRecordData;

const IDLE: &str = "exec sleep 1000";

/// What a resolver says.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    rcode: Rcode,
    data: BTreeSet<String>,
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
fn asked(at: &str, name: &str, rtype: Rtype) -> Option<Told> {
    let at: IpAddr = at.parse().unwrap();
    let own = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.connect((at, 53)).ok()?;
    socket.send(&query(name, rtype)).unwrap();
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).ok()?;
    let message = Message::from_slice(&buffer[..length]).unwrap();
    let records = message.answer().unwrap().limit_to::<AllRecordData<_, _>>();
    let data = records.map(|record| record.unwrap().data().to_string()).collect();
    Some(Told { rcode: message.header().rcode(), data })
}

/// What the first server of a container's resolv.conf tells it.
fn finds(carboy: &Carboy, container: &str, name: &str, rtype: Rtype) -> Told {
    let conf = done(carboy.run(["exec", container, "cat", "/etc/resolv.conf"]));
    let server = conf.lines().find_map(|line| line.strip_prefix("nameserver ")).unwrap().to_owned();
    let name = name.to_owned();
    within(&pid(carboy, container), move || asked(&server, &name, rtype)).unwrap()
}

fn addresses(carboy: &Carboy, container: &str, name: &str) -> Vec<String> {
    finds(carboy, container, name, Rtype::A).data.into_iter().collect()
}

/// Answers every query at an address of this namespace by 198.51.100.99.
fn serve_names(at: &str) {
    let socket = UdpSocket::bind((at, 53)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let asked = Message::from_slice(&buffer[..length]).unwrap();
            let mut answer = MessageBuilder::new_vec().start_answer(asked, Rcode::NOERROR).unwrap();
            let question = asked.sole_question().unwrap();
            let data = domain::rdata::A::new(Ipv4Addr::new(198, 51, 100, 99));
            answer.push((question.qname(), domain::base::Ttl::from_secs(5), data)).unwrap();
            socket.send_to(&answer.finish(), from).unwrap();
        }
    });
}

fn nothing_left(carboy: &Carboy) {
    assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    let root = carboy.folder().display().to_string();
    assert_eq!(resolvers(&root), Vec::<i32>::new());
}

/// The resolvers that a carboy has with this among its words.
fn resolvers(word: &str) -> Vec<i32> {
    let listed = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.starts_with("carboy-resolver") && words.contains(word)
    })
    .collect()
}

#[test]
fn those_on_one_network_find_each_other_by_name_and_by_alias_and_whoever_is_on_two_finds_all() {
    alone(|carboy| {
        for network in ["one", "two"] {
            done(carboy.run(["network", "create", network]));
        }
        start(carboy, "web", "--network one --network-alias both", IDLE);
        start(carboy, "db", "--network name=one,alias=both --network two", IDLE);
        start(carboy, "far", "--network two", IDLE);
        let (web, db) = (address(carboy, "web", "one"), address(carboy, "db", "one"));
        let id = done(carboy.run(["inspect", "--format", "{{.Id}}", "db"]));
        for name in ["db", "DB", "db.one", &id[..12]] {
            assert_eq!(addresses(carboy, "web", name), [db.as_str()], "{name}");
        }
        let six = place(carboy, "db", "one", "GlobalIPv6Address");
        assert_eq!(finds(carboy, "web", "db", Rtype::AAAA).data.into_iter().collect::<Vec<_>>(), [six]);
        let both: BTreeSet<String> = [web.clone(), db.clone()].into();
        assert_eq!(finds(carboy, "far", "both", Rtype::A).data, BTreeSet::new());
        assert_eq!(finds(carboy, "web", "both", Rtype::A).data, both);
        let mut reversed: Vec<&str> = db.split('.').collect();
        reversed.reverse();
        let pointer = finds(carboy, "web", &format!("{}.in-addr.arpa", reversed.join(".")), Rtype::PTR);
        assert_eq!(pointer.data.into_iter().collect::<Vec<_>>(), ["db.one."]);
        assert_eq!(addresses(carboy, "web", "far"), Vec::<String>::new());
        assert_eq!(addresses(carboy, "db", "far"), [address(carboy, "far", "two")]);
        done(carboy.run(words("exec web ping -c1 -W2 db")));

        done(carboy.run(words("network connect --alias guest two web")));
        assert_eq!(addresses(carboy, "far", "guest"), [address(carboy, "web", "two")]);
        assert_eq!(addresses(carboy, "web", "far"), [address(carboy, "far", "two")]);
        done(carboy.run(words("network disconnect two web")));
        assert_eq!(addresses(carboy, "web", "far"), Vec::<String>::new());
        assert_eq!(addresses(carboy, "far", "guest"), Vec::<String>::new());

        done(carboy.run(words("rename db sql")));
        assert_eq!(addresses(carboy, "web", "sql"), [db.as_str()]);
        assert_eq!(addresses(carboy, "web", "db"), Vec::<String>::new());
        done(carboy.run(words("restart -t 0 sql")));
        assert_eq!(addresses(carboy, "web", "sql"), [address(carboy, "sql", "one")]);
        done(carboy.run(words("rm -f sql")));
        assert_eq!(addresses(carboy, "web", "sql"), Vec::<String>::new());
        done(carboy.run(words("rm -f web far")));
        done(carboy.run(words("network rm one two")));
        nothing_left(carboy);
    });
}

#[test]
fn other_names_are_asked_of_a_container_s_own_servers_and_from_an_internal_network_of_nobody() {
    alone(|carboy| {
        ip("addr add 192.0.2.53/32 dev lo");
        serve_names("192.0.2.53");
        done(carboy.run(words("network create open")));
        done(carboy.run(words("network create --internal shut")));
        start(carboy, "asks", "--network open --dns 192.0.2.53", IDLE);
        start(carboy, "inner", "--network shut --dns 192.0.2.53", IDLE);
        assert_eq!(addresses(carboy, "asks", "example.org"), ["198.51.100.99"]);
        let refused = finds(carboy, "inner", "example.org", Rtype::A);
        assert_eq!(refused, Told { rcode: Rcode::NXDOMAIN, data: BTreeSet::new() });
        assert_eq!(addresses(carboy, "inner", "inner"), [address(carboy, "inner", "shut")]);
        // Who is not on it is told nothing.
        let gateway = place(carboy, "asks", "open", "Gateway");
        let strange = within(&pid(carboy, "inner"), move || asked(&gateway, "asks", Rtype::A));
        assert!(strange.is_none_or(|told| told.rcode == Rcode::REFUSED));
        done(carboy.run(words("rm -f asks inner")));
        done(carboy.run(words("network rm open shut")));
        nothing_left(carboy);
    });
}

#[test]
fn a_resolver_that_was_killed_is_back_with_the_next_command_and_one_without_port_53_answers_all_the_same() {
    alone(|carboy| {
        let root = carboy.folder().display().to_string();
        done(carboy.run(words("network create one")));
        start(carboy, "web", "--network one", IDLE);
        let own = address(carboy, "web", "one");
        let [resolver] = resolvers(&root)[..] else { panic!("no resolver") };
        ended(std::process::Command::new("kill").args(["-9", &resolver.to_string()]));
        done(carboy.run(words("network reload")));
        assert_eq!(addresses(carboy, "web", "web"), [own.as_str()]);
        let [resolver] = resolvers(&root)[..] else { panic!("no resolver") };
        ended(std::process::Command::new("kill").args(["-9", &resolver.to_string()]));
        done(carboy.run(words("rm -f web")));
        assert_eq!(carboy.left_behind(), Vec::<String>::new());

        // As dnsmasq and named take it.
        let udp = UdpSocket::bind("0.0.0.0:53").unwrap();
        start(carboy, "web", "--network one", IDLE);
        let own = address(carboy, "web", "one");
        assert_eq!(addresses(carboy, "web", "web"), [own.as_str()]);
        carboy_e2e::network::nft("flush ruleset");
        done(carboy.run(words("network reload")));
        assert_eq!(addresses(carboy, "web", "web"), [own.as_str()]);
        drop(udp);
        done(carboy.run(words("rm -f web")));
        done(carboy.run(words("network rm one")));
        nothing_left(carboy);
    });
}

#[test]
fn no_query_is_lost_and_none_is_answered_wrongly_while_containers_come_and_go() {
    alone(|carboy| {
        done(carboy.run(words("network create one")));
        start(carboy, "web", "--network one", IDLE);
        start(carboy, "db", "--network one", IDLE);
        let (gateway, db) = (place(carboy, "web", "one", "Gateway"), address(carboy, "db", "one"));
        let over = Arc::new(AtomicBool::new(false));
        let (is_over, of_web) = (Arc::clone(&over), pid(carboy, "web"));
        let asks = std::thread::spawn(move || {
            within(&of_web, move || {
                let mut count = 0_u32;
                while !is_over.load(Ordering::Relaxed) {
                    let told = asked(&gateway, "db", Rtype::A).expect("a query was lost");
                    assert_eq!(told.data, BTreeSet::from([db.clone()]));
                    count += 1;
                }
                count
            })
        });
        for round in 0..4 {
            let name = format!("passing{round}");
            start(carboy, &name, "--network one --network-alias passing", IDLE);
            assert_eq!(addresses(carboy, "web", "passing"), [address(carboy, &name, "one")]);
            done(carboy.run(["rm", "-f", &name]));
            assert_eq!(addresses(carboy, "web", "passing"), Vec::<String>::new());
        }
        over.store(true, Ordering::Relaxed);
        assert!(asks.join().unwrap() > 100);
        done(carboy.run(words("rm -f web db")));
        done(carboy.run(words("network rm one")));
        nothing_left(carboy);
    });
}
