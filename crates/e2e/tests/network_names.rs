//! Containers find each other by name, as they come and go, and what else they look for is asked of others.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carboy_e2e::ended;
use carboy_e2e::names::{Told, addresses, asked, finds, nothing_left, resolvers, serve_names};
use carboy_e2e::network::{address, alone, done, ip, pid, place, start, within, words};
use domain::base::iana::{Rcode, Rtype};

const IDLE: &str = "exec sleep 1000";

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
