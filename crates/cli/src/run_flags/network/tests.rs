//! Every flag of networks, with values that it takes and values that it refuses, alone and together.

use super::super::tests::{options, refusal};
use super::*;

/// The flags, and what is then found in the options.
const GOOD: &[(&[&str], &str)] = &[
    (&["--network=none"], "net: Private"),
    (&["--network="], "net: Private"),
    (&["--net=private"], "net: Private"),
    (&["--net=host"], "net: Host"),
    (&["--network=container:web"], "net: Joined(Container(\"web\"))"),
    (&["--network=pid:7"], "net: Joined(Process(7))"),
    (&["--network=path:/run/netns/x"], "net: Joined(Path(\"/run/netns/x\"))"),
    (&["--network=ns:/run/netns/x"], "net: Joined(Path(\"/run/netns/x\"))"),
    (&["--network=bridge"], "networks: [Connection { network: \"bridge\", ipv4: None"),
    (&["--network=default"], "networks: [Connection { network: \"bridge\", ipv4: None"),
    (&["--network=a"], "networks: [Connection { network: \"a\", ipv4: None"),
    (
        &["--network=name=back,ip=10.1.2.3,ip6=fd00::3,mac-address=02:00:00:00:00:01,alias=db,alias=sql"],
        "[Connection { network: \"back\", ipv4: Some(10.1.2.3), ipv6: Some(fd00::3), mac: Some(Mac([2, 0, 0, 0, 0, 1])), \
         aliases: [\"db\", \"sql\"], links: [] }]",
    ),
    (
        &["--network=back:ip=10.1.2.3,ip=fd00::3,mac=02-00-00-00-00-01,alias=db"],
        "[Connection { network: \"back\", ipv4: Some(10.1.2.3), ipv6: Some(fd00::3), mac: Some(Mac([2, 0, 0, 0, 0, 1])), \
         aliases: [\"db\"], links: [] }]",
    ),
    (
        &["--network=front", "--network=back", "--ip=10.0.0.5", "--network-alias=web", "--net-alias=www"],
        "[Connection { network: \"front\", ipv4: Some(10.0.0.5), ipv6: None, mac: None, aliases: [\"web\", \"www\"], links: [] }, \
         Connection { network: \"back\", ipv4: None,",
    ),
    (&["--network=a", "--ip6=fd00::5"], "ipv6: Some(fd00::5)"),
    (&["--network=bridge", "--mac-address=02:00:00:00:00:01"], "mac: Some(Mac([2, 0, 0, 0, 0, 1]))"),
    (
        &["--network=bridge", "--link=web:www", "--link=db"],
        "links: [Link { container: \"web\", alias: \"www\" }, Link { container: \"db\", alias: \"db\" }]",
    ),
    (
        &["--network=a", "-p=127.0.0.1:8080:80", "-p", "53/udp"],
        "ports: [PortWish { address: Some(127.0.0.1), host: Some((8080, 8080)), container: 80, protocol: Tcp }, \
         PortWish { address: None, host: None, container: 53, protocol: Udp }]",
    ),
    (&["--network=a", "-p", "80", "--expose", "90-91/udp"], "exposed_ports: {\"80/tcp\", \"90/udp\", \"91/udp\"}"),
    (&["--network=a", "-P"], "exposed: Published"),
    (&["--dns=9.9.9.9", "--dns=2620:fe::fe"], "servers: [9.9.9.9, 2620:fe::fe]"),
    (&["--dns-search=example.org", "--dns-search=."], "search: [\"example.org\", \".\"]"),
    (&["--dns-opt=ndots:2", "--dns-option=rotate"], "options: [\"ndots:2\", \"rotate\"]"),
    (
        &["--add-host=a:10.0.0.1", "--add-host=b=fd00::1", "--add-host=c:[::1]", "--add-host=d:host-gateway"],
        "hosts: [HostEntry { name: \"a\", address: Address(10.0.0.1) }, HostEntry { name: \"b\", address: Address(fd00::1) }, \
         HostEntry { name: \"c\", address: Address(::1) }, HostEntry { name: \"d\", address: Gateway }]",
    ),
    (
        &["--network=a", "--network-rate=in=10mbit,out=1.5kbit"],
        "Rate { into_bits: Some(10000000), out_bits: Some(1500) }",
    ),
    (&["--network=a", "--network-rate=out=1gbit"], "Rate { into_bits: None, out_bits: Some(1000000000) }"),
];

/// Flags that are refused.
const BAD: &[&[&str]] = &[
    &["--network=../x"],
    &["--network=container:"],
    &["--network=path:x"],
    &["--network=ns:x"],
    &["--network=name="],
    &["--network=ip=10.0.0.1"],
    &["--network=name=a,ip=fd00::1"],
    &["--network=a:ip6=10.0.0.1"],
    &["--network=name=a,gw-priority=1"],
    &["--network=a", "--network=a"],
    &["--network=a", "--network=host"],
    &["--network=none", "--network=host"],
    &["--network=name=a,ip=10.0.0.1", "--ip=10.0.0.2"],
    &["--network=name=a,alias=b", "--network-alias=c"],
    &["--network=name=bridge,ip=10.0.0.1"],
    &["--ip=10.0.0.1"],
    &["--network=a", "--ip=10.0.0.256"],
    &["--network=bridge", "--ip=10.0.0.1"],
    &["--network=host", "--ip6=fd00::1"],
    &["--network=bridge", "--network-alias=a"],
    &["--network=a", "--network-alias=a b"],
    &["--network=host", "--mac-address=02:00:00:00:00:01"],
    &["--network=none", "--mac-address=02:00:00:00:00:01"],
    &["--network=a", "--mac-address=03:00:00:00:00:01"],
    &["--network=host", "--link=web"],
    &["--network=a", "--link=:www"],
    &["--network=a", "--link=web:"],
    &["--network=container:web", "--link=db"],
    &["--network=container:web", "--publish=8080:80"],
    &["--network=container:web", "-P"],
    &["--network=path:/run/netns/x", "--publish=80"],
    &["--network=container:web", "--expose=80"],
    &["--network=container:web", "--dns=9.9.9.9"],
    &["--network=container:web", "--add-host=a:10.0.0.1"],
    &["--network=container:web", "--hostname=a"],
    &["--network=host", "--network-rate=in=1mbit"],
    &["--network=a", "--network-rate=1mbit"],
    &["--network=a", "--network-rate=in=1mb"],
    &["--network=a", "--network-rate=in=0"],
    &["--publish=80:80:80:80"],
    &["--publish=65536"],
    &["--expose=80:80"],
    &["--dns=dns.example"],
    &["--dns-search="],
    &["--dns-option=a b"],
    &["--add-host=a"],
    &["--add-host=a:b"],
    &["--add-host=:10.0.0.1"],
];

fn with_command<'w>(flags: &[&'w str]) -> Vec<&'w str> {
    [flags, &["host", "true"]].concat()
}

#[test]
fn every_flag_of_networks_takes_its_values() {
    for (flags, expected) in GOOD {
        match options(&with_command(flags)).map(|options| format!("{options:?}")) {
            Ok(shown) => assert!(shown.contains(expected), "{flags:?}: {shown}"),
            Err(error) => panic!("{flags:?}: {error}"),
        }
    }
    for flag in FLAGS {
        let tested = |word: &str| {
            word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(flag.name))
                || flag.short.is_some_and(|letter| word.starts_with(&format!("-{letter}")))
        };
        assert!(GOOD.iter().any(|(words, _)| words.iter().any(|word| tested(word))), "--{} is not tested", flag.name);
    }
}

#[test]
fn ports_of_a_container_that_is_on_no_network_are_discarded() {
    for flags in [&["--network=host", "--publish=80:80"][..], &["--network=none", "--publish-all"]] {
        let mut options = options(&with_command(flags)).unwrap();
        settle_usual(&mut options).unwrap();
        assert_eq!((options.network.ports, options.network.exposed), (Vec::new(), Exposed::Told), "{flags:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "the snapshot stands beside what gives it")]
fn a_refusal_of_networks_names_flag_and_value_and_says_what_to_do() {
    let lines: Vec<String> = BAD.iter().map(|flags| refusal(&with_command(flags))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    cannot use --network ../x: names no network
      use the name of a network, none, host, container:NAME, pid:N or path:/FILE
    cannot use --network container:: names no namespace
      use private, host, container:NAME, pid:N or path:/FILE
    cannot use --network path:x: is no absolute path
      use path:/FILE
    cannot use --network path:x: is no absolute path
      use path:/FILE
    cannot use --network name=: names no network
      add name=NETWORK
    cannot use --network ip=10.0.0.1: names no network
      add name=NETWORK
    cannot use --network name=a,ip=fd00::1: "ip=fd00::1" has no address of IPv4
      -
    cannot use --network a:ip6=10.0.0.1: "ip6=10.0.0.1" has no address of IPv6
      -
    cannot use --network name=a,gw-priority=1: "gw-priority=1" is nothing that a connection has
      use name=NETWORK with ip=, ip6=, mac-address= or alias= behind it
    cannot use --network a: is specified multiple times
      name each network once
    cannot use --network a host: conflicting options: cannot attach both networks and another network mode
      name networks alone, or one of none, host and container:NAME
    cannot use --network none host: conflicting options: cannot attach both networks and another network mode
      name networks alone, or one of none, host and container:NAME
    cannot use --network a: conflicting options: cannot specify both --ip and per-network IPv4 address
      leave one of them out
    cannot use --network a: conflicting options: cannot specify both --network-alias and per-network alias
      leave one of them out
    cannot use --network bridge: user specified IP address is supported on user defined networks only
      make a network with carboy network create, and name it with --network
    cannot use --ip 10.0.0.1: user specified IP address is supported on user defined networks only
      make a network with carboy network create, and name it with --network
    cannot use --ip 10.0.0.256: is no such address
      use one address: 192.0.2.7, or 2001:db8::7 where it is of IPv6
    cannot use --ip 10.0.0.1: user specified IP address is supported on user defined networks only
      make a network with carboy network create, and name it with --network
    cannot use --ip6 fd00::1: user specified IP address is supported on user defined networks only
      make a network with carboy network create, and name it with --network
    cannot use --network-alias a: network-scoped aliases are supported only for containers in user defined networks
      make a network with carboy network create, and name it with --network
    cannot use --network-alias a b: is no host name
      use letters, digits, dots and dashes
    cannot use --mac-address 02:00:00:00:00:01: conflicting options: mac-address and the network mode
      make a network with carboy network create, and name it with --network
    cannot use --mac-address 02:00:00:00:00:01: needs a network
      name one with --network
    cannot use --mac-address 03:00:00:00:00:01: is no hardware address of one link
      use six pairs of digits, such as 02:42:ac:11:00:02, the first of them even
    cannot use --link web: conflicting options: host type networking can't be used with links
      make a network with carboy network create, and name it with --network
    cannot use --link :www: names no container
      use CONTAINER or CONTAINER:ALIAS
    cannot use --link web:: "" is no name of a host
      use CONTAINER or CONTAINER:ALIAS
    cannot use --link db: conflicting options: container type network can't be used with links
      say it of the container whose network it joins
    cannot use --publish 8080:80: conflicting options: port publishing and the container type network mode
      say it of the container whose network it joins
    cannot use --publish-all: conflicting options: port publishing and the container type network mode
      say it of the container whose network it joins
    cannot use --publish 80: conflicting options: port publishing and the container type network mode
      say it of the container whose network it joins
    cannot use --expose 80: conflicting options: port exposing and the container type network mode
      say it of the container whose network it joins
    cannot use --dns 9.9.9.9: conflicting options: dns and the network mode
      say it of the container whose network it joins
    cannot use --add-host a:10.0.0.1: conflicting options: custom host-to-IP mapping and the network mode
      say it of the container whose network it joins
    cannot use --hostname a: conflicting options: hostname and the network mode
      leave it out
    cannot use --network-rate in=1mbit: needs a network
      name one with --network
    cannot use --network-rate 1mbit: "1mbit" is neither in= nor out=
      use in=10mbit,out=1mbit
    cannot use --network-rate 1mb: is no rate
      use a number of bits a second with kbit, mbit or gbit, such as 10mbit
    cannot use --network-rate 0: lets nothing through
      use a number of bits a second with kbit, mbit or gbit, such as 10mbit
    cannot use --publish 80:80:80:80: "80:80" is no address of the host
      use [ADDRESS:][HOST:]CONTAINER, such as 8080:80, 127.0.0.1:53:53/udp or 9000-9010:9000-9010
    cannot use --publish 65536: "65536" is no port of a container
      use [ADDRESS:][HOST:]CONTAINER, such as 8080:80, 127.0.0.1:53:53/udp or 9000-9010:9000-9010
    cannot use --expose 80:80: is no port of a container
      use PORT or PORT-PORT, with /udp or /sctp behind it if it is not of TCP
    cannot use --dns dns.example: is no address
      use one such as 9.9.9.9 or 2620:fe::fe
    cannot use --dns-search "": is no host name
      use a domain such as example.org, or . for none
    cannot use --dns-option a b: is no option of resolv.conf(5)
      for example: ndots:2
    cannot use --add-host a: is no name and address
      use NAME:ADDRESS, or NAME:host-gateway for the host
    cannot use --add-host a:b: "b" is no address
      use NAME:ADDRESS, or NAME:host-gateway for the host
    cannot use --add-host :10.0.0.1: "" is no host name
      use NAME:ADDRESS, or NAME:host-gateway for the host
    "#);
}
