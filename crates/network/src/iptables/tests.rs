//! The rules' text, exact, and what iptables makes of it.

use super::*;
use crate::port::Protocol;
use crate::subnet::Subnet;

fn published(protocol: Protocol, address: &str, port: u16, to: &str) -> Published {
    Published { protocol, address: address.parse().unwrap(), port, to: to.parse().unwrap() }
}

fn ports() -> Vec<Published> {
    vec![
        published(Protocol::Tcp, "0.0.0.0", 8080, "10.1.0.2:80"),
        published(Protocol::Tcp, "::", 8080, "[fd00:1::2]:80"),
        published(Protocol::Udp, "127.0.0.1", 53, "10.1.0.2:5353"),
        published(Protocol::Sctp, "2001:db8::1", 9, "[fd00:1::2]:9"),
    ]
}

fn subnets(nets: [&str; 2]) -> Vec<Subnet> {
    nets.map(|net| Subnet::new(net.parse().unwrap())).to_vec()
}

/// Two networks: `br1` as usual, `br2` internal, whose containers are kept from each other.
fn with_bridges<T>(what: impl FnOnce(&[Bridge<'_>]) -> T) -> T {
    let (first, second) = (subnets(["10.1.0.0/16", "fd00:1::/64"]), subnets(["10.2.0.0/16", "fd00:2::/64"]));
    what(&[
        Bridge { link: "br1", reach: Reach::World, within: Within::Open, subnets: &first },
        Bridge { link: "br2", reach: Reach::Internal, within: Within::Closed, subnets: &second },
    ])
}

fn chains(family: Family) -> Vec<Chain> {
    let iptables = Iptables { prefix: "CARBOY".to_owned(), programs: Vec::new() };
    with_bridges(|bridges| iptables.chains((family, Loopback6::Answered), bridges, &ports()))
}

const FOUR: &str = "\
*raw
:CARBOY-RAW - [0:0]
-I PREROUTING 1 -j CARBOY-RAW
-A CARBOY-RAW -d 127.0.0.0/8 ! -i lo -j DROP
-A CARBOY-RAW -s 127.0.0.0/8 ! -i lo -j DROP
COMMIT
*mangle
:CARBOY-FORWARD - [0:0]
:CARBOY-INTO - [0:0]
-I FORWARD 1 -j CARBOY-FORWARD
-A CARBOY-FORWARD -i br1 -o br1 -j RETURN
-A CARBOY-FORWARD -i br2 -j DROP
-A CARBOY-FORWARD -o br2 -j DROP
-A CARBOY-FORWARD -o br1 -j CARBOY-INTO
-A CARBOY-FORWARD -o br2 -j CARBOY-INTO
-A CARBOY-INTO -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A CARBOY-INTO -m conntrack --ctstate DNAT -j RETURN
-A CARBOY-INTO -j DROP
COMMIT
*nat
:CARBOY-PORTS - [0:0]
:CARBOY-MASQ - [0:0]
-I PREROUTING 1 -j CARBOY-PORTS
-I OUTPUT 1 -j CARBOY-PORTS
-A CARBOY-PORTS -d 127.0.0.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.1.0.2:5353
-A CARBOY-PORTS -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:80
-I POSTROUTING 1 -j CARBOY-MASQ
-A CARBOY-MASQ -s 10.1.0.0/16 -o br1 -m conntrack --ctstate DNAT -j MASQUERADE
-A CARBOY-MASQ -s 10.1.0.2/32 -d 10.1.0.2/32 -m conntrack --ctstate DNAT -j MASQUERADE
-A CARBOY-MASQ -s 127.0.0.0/8 -o br1 -j MASQUERADE
-A CARBOY-MASQ -s 127.0.0.0/8 -o br2 -j MASQUERADE
-A CARBOY-MASQ -o br1 -j RETURN
-A CARBOY-MASQ -o br2 -j RETURN
-A CARBOY-MASQ -s 10.1.0.0/16 ! -o lo -j MASQUERADE
COMMIT
";

/// What differs of IPv6.
const NAT_SIX: &str = "\
-I PREROUTING 1 -j CARBOY-PORTS
-I OUTPUT 1 -j CARBOY-PORTS
-A CARBOY-PORTS -d 2001:db8::1/128 -p sctp -m sctp --dport 9 -j DNAT --to-destination [fd00:1::2]:9
-A CARBOY-PORTS ! -d ::1/128 -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8080 -j DNAT --to-destination [fd00:1::2]:80
-A CARBOY-PORTS -d ::1/128 -o lo -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:1::2]:80
-I POSTROUTING 1 -j CARBOY-MASQ
-A CARBOY-MASQ -s fd00:1::/64 -o br1 -m conntrack --ctstate DNAT -j MASQUERADE
-A CARBOY-MASQ -s fd00:1::2/128 -d fd00:1::2/128 -m conntrack --ctstate DNAT -j MASQUERADE
-A CARBOY-MASQ -s ::1/128 -o br1 -j MASQUERADE
-A CARBOY-MASQ -s ::1/128 -o br2 -j MASQUERADE
-A CARBOY-MASQ -o br1 -j RETURN
-A CARBOY-MASQ -o br2 -j RETURN
-A CARBOY-MASQ -s fd00:1::/64 ! -o lo -j MASQUERADE
COMMIT
";

#[test]
fn the_rules_say_what_those_of_nftables_say() {
    assert_eq!(change(&Saved::default(), &chains(Family::Ipv4)).unwrap(), FOUR);
    let six = change(&Saved::default(), &chains(Family::Ipv6)).unwrap();
    assert_eq!(six.split(":CARBOY-MASQ - [0:0]\n").nth(1), Some(NAT_SIX));
    assert!(six.contains("-A CARBOY-RAW -d ::1/128 ! -i lo -j DROP\n-A CARBOY-RAW -s ::1/128 ! -i lo -j DROP\n"));
}

#[test]
fn without_an_answer_nothing_leads_from_the_hosts_own_loopback_of_ipv6() {
    let iptables = Iptables { prefix: "CARBOY".to_owned(), programs: Vec::new() };
    let chains = iptables.chains((Family::Ipv6, Loopback6::Unanswered), &[], &ports());
    assert!(!chains.iter().any(|chain| chain.rules.iter().any(|rule| rule.starts_with("-d ::1/128 -o lo"))));
}

#[test]
fn only_a_table_that_is_not_as_it_should_be_is_changed() {
    let there = |forward: &str, rest: &str| {
        let text = FOUR.replace("-I POSTROUTING 1", "-A POSTROUTING").replace("-I PREROUTING 1", "-A PREROUTING");
        let text = text.replace("-I OUTPUT 1", "-A OUTPUT").replace("-I FORWARD 1 -j CARBOY-FORWARD\n", forward);
        Saved::parse(&text.replace("-A CARBOY-INTO -j DROP\n", rest))
    };
    let (jump, end) = ("-A FORWARD -j CARBOY-FORWARD\n", "-A CARBOY-INTO -j DROP\n");
    let wanted = chains(Family::Ipv4);
    assert_eq!(change(&there(jump, end), &wanted), None);
    let mangle = FOUR.split("*mangle").nth(1).unwrap().split("*nat").next().unwrap();
    assert_eq!(change(&there("", end), &wanted).unwrap(), format!("*mangle{mangle}"));
    for changed in [there(jump, ""), there(jump, "-A CARBOY-INTO -j ACCEPT\n")] {
        let text = change(&changed, &wanted).unwrap();
        assert_eq!(text, format!("*mangle{mangle}").replace("-I FORWARD 1 -j CARBOY-FORWARD\n", ""));
    }
    let twice = change(&there(&jump.repeat(2), end), &wanted).unwrap();
    assert_eq!(twice.matches("-D FORWARD -j CARBOY-FORWARD\n").count(), 1);
    let other = there("-A FORWARD -i br7 -j DROP\n", end);
    assert_eq!(
        removal(&other, &wanted).unwrap(),
        "*raw\n:CARBOY-RAW - [0:0]\n-D PREROUTING -j CARBOY-RAW\n-X CARBOY-RAW\nCOMMIT\n\
         *mangle\n:CARBOY-FORWARD - [0:0]\n:CARBOY-INTO - [0:0]\n-X CARBOY-FORWARD\n-X CARBOY-INTO\nCOMMIT\n\
         *nat\n:CARBOY-PORTS - [0:0]\n:CARBOY-MASQ - [0:0]\n-D PREROUTING -j CARBOY-PORTS\n-D OUTPUT -j CARBOY-PORTS\n\
         -D POSTROUTING -j CARBOY-MASQ\n-X CARBOY-PORTS\n-X CARBOY-MASQ\nCOMMIT\n"
    );
    assert_eq!(removal(&Saved::default(), &wanted), None);
}

/// With iptables' legacy form, in a net namespace of its own.
mod kernel {
    use std::process::Command;

    use sys::namespace::Kinds;

    use super::*;

    fn saved() -> Vec<Saved> {
        Family::ALL.map(|family| Programs::find(family).unwrap().save().unwrap()).into()
    }

    fn run(line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{line}");
    }

    #[test]
    fn iptables_tells_the_rules_as_they_were_said_and_keeps_those_of_others() {
        let test = || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            run("iptables-legacy -A FORWARD -i br7 -j ACCEPT");
            run("iptables-legacy -t mangle -A FORWARD -i br7 -j ACCEPT");
            let iptables = Iptables::find("carboy-0123456789abcdef").unwrap();
            // So that all tables are there.
            with_bridges(|bridges| iptables.assert(bridges, &ports(), Loopback6::Answered)).unwrap();
            iptables.remove().unwrap();
            let before = saved();
            for _ in 0..2 {
                with_bridges(|bridges| iptables.assert(bridges, &ports(), Loopback6::Answered)).unwrap();
                for (saved, family) in saved().iter().zip(Family::ALL) {
                    let wanted =
                        with_bridges(|bridges| iptables.chains((family, Loopback6::Answered), bridges, &ports()));
                    assert_eq!(change(saved, &wanted), None, "{saved:#?}");
                }
                // Whoever empties the chains leaves ours without jumps.
                run("iptables-legacy -t mangle -F");
                run("iptables-legacy -t mangle -A FORWARD -i br7 -j ACCEPT");
            }
            iptables.remove().unwrap();
            assert_eq!(saved(), before);
            iptables.remove().unwrap();
        };
        std::thread::spawn(test).join().unwrap();
    }
}
