//! A container reaches itself by its published ports, as everybody else does.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;

use carboy_e2e::Carboy;
use carboy_e2e::network::{Neighbour, alone, answer, answered, done, page, pid, place, serve, served, tables, within};

fn reaches_itself(carboy: &Carboy, bridged_packets: &str) {
    for family in ["iptables", "ip6tables"] {
        fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), bridged_packets).unwrap();
    }
    serve(carboy, "me", "--network six -p 8080:80 -p 8053:53/udp");
    assert_eq!(served("127.0.0.1:8080").as_deref(), Some("me"));
    let itself = pid(carboy, "me");
    answer(&itself);
    let (gateway, six) = (place(carboy, "me", "six", "Gateway"), place(carboy, "me", "six", "IPv6Gateway"));
    for at in ["192.0.2.1", "[2001:db8::1]", &gateway, &format!("[{six}]")] {
        let (tcp, udp) = (format!("{at}:8080"), format!("{at}:8053"));
        let told = within(&itself, move || (page(&tcp), answered(&udp)));
        let expected = (Some("me".to_owned()), Some("OVER".to_owned()));
        assert_eq!(told, expected, "by {at}, bridged packets filtered: {bridged_packets}");
    }
    done(carboy.run(["rm", "-f", "me"]));
}

#[test]
fn a_container_reaches_itself_by_the_addresses_of_the_host_whether_bridged_packets_are_filtered_or_not() {
    alone(|carboy| {
        let _neighbour = Neighbour::new();
        done(carboy.run(["network", "create", "--ipv6", "six"]));
        reaches_itself(carboy, "0");
        reaches_itself(carboy, "1");
        done(carboy.run(["network", "rm", "six"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn the_firewall_has_nothing_more_of_a_container_that_publishes_nothing_any_more() {
    alone(|carboy| {
        serve(carboy, "me", "--network bridge -p 8080:80");
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("me"));
        let own = place(carboy, "me", "bridge", "IPAddress");
        assert!(tables().contains(&format!("{own} . {own}")), "{}", tables());
        done(carboy.run(["rm", "-f", "me"]));
        assert!(!tables().contains(&own), "{}", tables());
        done(carboy.run(["network", "prune", "-f"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}
