//! A firewall that nft(8) and iptables have made, read again; and what it is about.

use std::process::{Command, Stdio};

use netlink::Protocol;
use sys::namespace::Kinds;

use super::*;

fn ip(word: &str) -> IpAddr {
    word.parse().unwrap()
}

fn web() -> Names {
    Names {
        links: vec![("br9".to_owned(), 4), ("v9".to_owned(), 1)],
        addresses: vec![ip("192.0.2.7"), ip("2001:db8::7")],
        groups: vec![(77, "/team/web".into())],
        class: Some(0x10_0001),
    }
}

/// Runs programs in a net namespace of its own and reads the firewall that they leave.
fn left_by(commands: &'static [&'static str]) -> Firewall {
    let all = read_after(commands, usize::MAX);
    assert!(!all.is_cut);
    all
}

fn read_after(commands: &'static [&'static str], most: usize) -> Firewall {
    let run = move || {
        sys::namespace::unshare(Kinds::NET).unwrap();
        for command in commands {
            let ended = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).status().unwrap();
            assert!(ended.success(), "{command}: install nftables and iptables");
        }
        Firewall::read(&Socket::open(Protocol::Netfilter).unwrap(), &web(), most).unwrap()
    };
    std::thread::spawn(run).join().unwrap()
}

fn told(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(|rule| format!("{} {}: {} [{}]", rule.table, rule.of, rule.text, rule.names.join(", "))).collect()
}

/// One of each kind of rule that is told apart.
const RULES: &str = r#"nft -f - <<'END'
table inet t {
    set bad {
        type ipv4_addr
        flags interval
        elements = { 10.0.0.0/8, 192.0.2.0/28, 192.0.2.16-192.0.2.20 }
    }
    set links {
        type ifname
        elements = { "br9", "other" }
    }
    map to {
        type inet_proto . inet_service : ipv4_addr . inet_service
        elements = { tcp . 8080 : 192.0.2.7 . 80, tcp . 81 : 192.0.2.8 . 80 }
    }
    chain nat {
        type nat hook prerouting priority -100
        fib daddr type local dnat ip to meta l4proto . th dport map @to
        ip daddr 127.0.0.1 udp dport 53 dnat ip to 192.0.2.7:5353
        ip6 daddr 2001:db8::1 tcp dport 70-79 dnat ip6 to 2001:db8::7
    }
    chain into {
        ct status dnat accept
        ip saddr 198.51.100.1 accept
        limit rate 5/second drop
    }
    chain f {
        type filter hook forward priority 0; policy drop
        ip saddr @bad drop
        oifname @links jump into
        iifname "br*" ct state established,related accept
        ip daddr 192.0.2.0/25 tcp dport { 80, 443 } accept
        ip6 saddr != 2001:db8::/32 counter drop
        iifname "eth0" accept
        ip daddr 192.0.2.8 drop
        meta cgroup 1048577 accept
        meta iif 1 meta l4proto udp reject
        ip daddr 192.0.2.7 udp dport 53 udp dport set 4711
    }
}
END"#;

#[test]
fn rules_are_said_as_nft_says_them_and_only_those_that_are_about_somebody() {
    let firewall = left_by(&[RULES]);
    let found = told(&firewall.about(&web()));
    let expected = [
        "inet t f: type filter hook forward; policy drop []",
        "inet t nat: fib daddr type local dnat ip to meta l4proto . th dport map @to [192.0.2.7]",
        "inet t nat: ip daddr 127.0.0.1 udp dport 53 dnat ip to 192.0.2.7:5353 [192.0.2.7]",
        "inet t nat: ip6 daddr 2001:db8::1 tcp dport 70-79 dnat ip6 to 2001:db8::7 [2001:db8::7]",
        "inet t into: ct status dnat accept []",
        "inet t into: <limit not read> drop []",
        "inet t f: ip saddr @bad drop [192.0.2.7]",
        "inet t f: oifname @links jump into [br9]",
        "inet t f: iifname \"br*\" ct state established,related accept [br9]",
        "inet t f: ip daddr 192.0.2.0/25 tcp dport { 80, 443 } accept [192.0.2.7]",
        "inet t f: ip6 saddr != 2001:db8::/32 counter packets 0 bytes 0 drop [2001:db8::7]",
        "inet t f: meta cgroup 1048577 accept [class 0x00100001]",
        "inet t f: iif 1 meta l4proto udp reject [v9]",
        "inet t f: ip daddr 192.0.2.7 udp dport 53 udp dport set 4711 [192.0.2.7]",
        "inet t bad: 192.0.2.0-192.0.2.15 [192.0.2.7]",
        "inet t links: \"br9\" [br9]",
        "inet t to: tcp . 8080 : 192.0.2.7 . 80 [192.0.2.7]",
    ];
    assert_eq!(found, expected, "{found:#?}");
    let at = |one: &Published| {
        format!("{:?} {} {:?} {} {:?} {}", one.address, one.protocol, one.ports, one.to, one.port, one.by)
    };
    let published: Vec<String> = firewall.published(&web()).iter().map(at).collect();
    let expected = [
        "None tcp Some((8080, 8080)) 192.0.2.7 Some(80) inet t to",
        "Some(127.0.0.1) udp Some((53, 53)) 192.0.2.7 Some(5353) inet t nat",
        "Some(2001:db8::1) tcp Some((70, 79)) 2001:db8::7 None inet t nat",
    ];
    assert_eq!(published, expected, "{published:#?}");
    assert_eq!(firewall.about(&Names::default()), [], "nobody");
    assert_eq!(firewall.all(&web()).len(), 16, "all of them");
}

#[test]
fn what_iptables_writes_for_docker_is_read_too() {
    let firewall = left_by(&[
        "iptables-nft -t nat -N DOCKER",
        "iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "iptables-nft -t nat -A DOCKER ! -i br9 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.0.2.7:80",
        "iptables-nft -t nat -A DOCKER -d 127.0.0.1/32 -p udp -m udp --dport 53:60 -j DNAT --to-destination 192.0.2.7",
        "iptables-nft -t nat -A DOCKER -p tcp -m tcp --dport 81 -j DNAT --to-destination 192.0.2.8:80",
        "ip6tables-nft -t nat -A PREROUTING -p tcp -m tcp --dport 82 -j DNAT --to-destination '[2001:db8::7]:80'",
        "iptables-nft -A FORWARD -o br9 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment 'known ones' -j ACCEPT",
        "iptables-nft -A FORWARD -s 192.0.2.0/24 -m statistic --mode random --probability 0.5 -j DROP",
        "iptables-nft -t nat -A POSTROUTING -s 192.0.2.0/24 ! -o br9 -j MASQUERADE",
        "iptables-nft -A OUTPUT -m cgroup --cgroup 1048577 -j ACCEPT",
    ]);
    let found = told(&firewall.about(&web())).join("\n");
    for expected in [
        "ip nat DOCKER: iifname != \"br9\" tcp dport 8080 counter packets 0 bytes 0 dnat to 192.0.2.7:80 [192.0.2.7, br9]",
        "ip nat DOCKER: ip daddr 127.0.0.1 udp dport 53-60 counter packets 0 bytes 0 dnat to 192.0.2.7 [192.0.2.7]",
        "ip6 nat PREROUTING: tcp dport 82 counter packets 0 bytes 0 dnat to [2001:db8::7]:80 [2001:db8::7]",
        "oifname \"br9\" ct state established,related comment \"known ones\" counter packets 0 bytes 0 accept [br9]",
        "ip saddr 192.0.2.0/24 xt match statistic <not read> counter packets 0 bytes 0 drop [192.0.2.7]",
        "oifname != \"br9\" ip saddr 192.0.2.0/24 counter packets 0 bytes 0 masquerade [192.0.2.7, br9]",
        "meta cgroup 1048577 counter packets 0 bytes 0 accept [class 0x00100001]",
    ] {
        assert!(found.contains(expected), "{expected} is not in\n{found}");
    }
    assert!(!found.contains("192.0.2.8"), "{found}");
    let ports: Vec<_> = firewall.published(&web()).into_iter().map(|one| (one.address, one.ports, one.port)).collect();
    let expected = [
        (None, Some((82, 82)), Some(80)),
        (None, Some((8080, 8080)), Some(80)),
        (Some(ip("127.0.0.1")), Some((53, 60)), None),
    ];
    assert!(expected.iter().all(|one| ports.contains(one)) && ports.len() == 3, "{ports:?}");
}

#[test]
fn of_more_than_is_wanted_the_first_are_kept_and_it_is_known() {
    let firewall = read_after(&[RULES], 4);
    assert_eq!((firewall.all(&web()).len(), firewall.is_cut), (4, true));
}
