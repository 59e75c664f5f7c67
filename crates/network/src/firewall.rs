//! One table of nftables for all networks of one carboy: chains that never change, and sets that say for whom they hold.
//! To publish a port is one element more, whatever the number that is there already.
//!
//! ```text
//! prerouting raw   from outside to 127.0.0.0/8 or ::1: drop. Else a port that is published there alone would be open to
//!                  neighbours, and with route_localnet the host's own ports to containers
//! prerouting nat   ADDRESS . PROTOCOL . PORT of ports4, ports6; or to any address of this host, of any4, any6: dnat
//! output nat       the same for what the host itself sends; to ::1 where an answer can come back, loopback6
//! forward          from and to the same network: accept; from or to one that is internal: drop; to any of ours:
//!                  what belongs to a known connection or to a published port, nothing else
//! postrouting nat  to any of ours from the host's 127.0.0.0/8 or ::1, or from the same network through a published
//!                  port; from a container to itself through one, SOURCE . DESTINATION of itself4, itself6; from one of
//!                  ours to elsewhere: masquerade
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use error::{Errno, Kernel, Result};
use netlink::nftables::{
    self as nft, Base, Comparison, Connection, Datum, Hook, Layer, Meta, Register, Set, Verdict, compare,
    connection_has, decide, is_in, is_not_in, look_up, masquerade, meta, payload,
};
use netlink::{Protocol, Socket};

use crate::port::Published;
use crate::subnet::Subnet;

const IPV4: u8 = 2;
const IPV6: u8 = 10;

const NETWORKS: Set<'static> = Set { name: "networks", id: 1, key: &[Datum::Link], value: &[] };
const INTERNAL: Set<'static> = Set { name: "internal", id: 2, key: &[Datum::Link], value: &[] };
const WITHIN: Set<'static> = Set { name: "within", id: 3, key: &[Datum::Link, Datum::Link], value: &[] };
const PORTS_4: Set<'static> = Set {
    name: "ports4",
    id: 4,
    key: &[Datum::Ipv4, Datum::Protocol, Datum::Port],
    value: &[Datum::Ipv4, Datum::Port],
};
const PORTS_6: Set<'static> = Set {
    name: "ports6",
    id: 5,
    key: &[Datum::Ipv6, Datum::Protocol, Datum::Port],
    value: &[Datum::Ipv6, Datum::Port],
};
const ANY_4: Set<'static> =
    Set { name: "any4", id: 6, key: &[Datum::Protocol, Datum::Port], value: &[Datum::Ipv4, Datum::Port] };
const ANY_6: Set<'static> =
    Set { name: "any6", id: 7, key: &[Datum::Protocol, Datum::Port], value: &[Datum::Ipv6, Datum::Port] };
const ITSELF_4: Set<'static> = Set { name: "itself4", id: 8, key: &[Datum::Ipv4, Datum::Ipv4], value: &[] };
const ITSELF_6: Set<'static> = Set { name: "itself6", id: 9, key: &[Datum::Ipv6, Datum::Ipv6], value: &[] };
const LOOPBACK_6: Set<'static> = Set { name: "loopback6", id: 10, key: &[Datum::Link], value: &[] };
const SETS: [Set<'static>; 10] =
    [NETWORKS, INTERNAL, WITHIN, PORTS_4, PORTS_6, ANY_4, ANY_6, ITSELF_4, ITSELF_6, LOOPBACK_6];

/// Whom a network's packets may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    World,
    /// Its own containers and the host.
    Internal,
}

/// Whether a network's containers reach one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// They do.
    Open,
    /// They do not, as far as the host forwards for them.
    Closed,
}

/// Whether a container's answer finds back to the host's `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback6 {
    /// It does.
    Answered,
    /// It does not: where bridged packets are filtered the kernel sees that it is for `::1` before it lets it in, and drops it.
    Unanswered,
}

/// A network, as the firewall knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bridge<'n> {
    /// The bridge's name.
    pub link: &'n str,
    /// Whom it reaches.
    pub reach: Reach,
    /// Whether its containers reach one another.
    pub within: Within,
    /// Its addresses.
    pub subnets: &'n [Subnet],
}

/// The table of one carboy, spoken of on a socket of the network namespace that it is in.
#[derive(Debug)]
pub struct Firewall {
    pub(crate) socket: Socket,
    pub(crate) table: String,
    /// Whose it is, written on it when it is made.
    owner: String,
}

impl Firewall {
    /// The table of this name in the caller's network namespace, and whose it is: at most 127 bytes can be written on it.
    ///
    /// # Errors
    /// A kernel error: `EPROTONOSUPPORT` where the kernel has no nftables.
    pub fn open(table: &str, owner: &str) -> Result<Self> {
        let (table, owner) = (table.to_owned(), owner.to_owned());
        Ok(Self { socket: Socket::open(Protocol::Netfilter)?, table, owner })
    }

    /// The tables of the caller's network namespace on which something is written, with that. None where the kernel has no
    /// nftables.
    ///
    /// # Errors
    /// A kernel error.
    pub fn owned() -> Result<Vec<(String, String)>> {
        let action = || "list the tables of nftables";
        let socket = match Socket::open(Protocol::Netfilter) {
            Err(error) if error.errno() == Some(Errno::PROTONOSUPPORT) => return Ok(Vec::new()),
            socket => socket?,
        };
        let mut found = Vec::new();
        let mut refused = Ok(());
        let said = socket.say(&nft::ask_tables(), |kind, payload| {
            if kind == netlink::kind::ERROR {
                refused = netlink::acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
            }
            found.extend(nft::table_of(kind, payload).filter(|(_, owner)| !owner.is_empty()));
        });
        match said.and(refused) {
            Err(Errno::NOENT | Errno::OPNOTSUPP | Errno::INVAL) => Ok(Vec::new()),
            listed => listed.map(|()| found).map_err(|errno| Kernel::new(action(), errno).into()),
        }
    }

    /// The same where the kernel has nftables, and `None` where it has not.
    ///
    /// # Errors
    /// A kernel error.
    pub fn find(table: &str, owner: &str) -> Result<Option<Self>> {
        let firewall = match Self::open(table, owner) {
            Err(error) if error.errno() == Some(Errno::PROTONOSUPPORT) => return Ok(None),
            opened => opened?,
        };
        let mut answer = Ok(());
        let said = firewall.socket.say(&nft::ask_generation(), |kind, payload| {
            if kind == netlink::kind::ERROR {
                answer = netlink::acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
            }
        });
        said.map_err(|errno| firewall.failed("ask for", errno))?;
        match answer {
            // No subsystem of netfilter has this number. Whatever else is refused is told by who asks for more.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(None),
            _ => Ok(Some(firewall)),
        }
    }

    /// Whether the table is there with all of its rules. Others may flush what is not theirs.
    ///
    /// # Errors
    /// A kernel error.
    pub fn is_whole(&self) -> Result<bool> {
        let mut found = 0;
        let mut refused = Ok(());
        let said = self.socket.say(&nft::ask_rules(&self.table, None), |kind, payload| {
            if kind == netlink::kind::ERROR {
                refused = netlink::acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
            }
            found += usize::from(nft::rule_of(kind, payload).is_some());
        });
        match said.and(refused) {
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.failed("read the rules of", errno).into()),
            Ok(()) => Ok(found == rules().len()),
        }
    }

    /// Makes the table anew with these networks and ports in it, in place of what there is, all at once.
    ///
    /// # Errors
    /// A kernel error.
    pub fn assert(&self, bridges: &[Bridge<'_>], ports: &[Published]) -> Result<()> {
        let table = &self.table;
        let mut said = vec![nft::add_table(table), nft::delete_table(table), nft::new_table_of(table, &self.owner)];
        said.extend(SETS.iter().map(|set| nft::set(table, set)));
        said.extend(CHAINS.iter().map(|(name, base)| nft::chain(table, name, *base)));
        said.extend(rules().into_iter().map(|(chain, expressions)| nft::rule(table, chain, &expressions)));
        said.extend(bridges.iter().flat_map(|bridge| self.of_bridge(bridge)));
        said.extend(self.of_ports(ports));
        self.request(&said).map_err(|errno| self.failed("make", errno).into())
    }

    /// Lets a network in.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where the table is not there.
    pub fn add_bridge(&self, bridge: &Bridge<'_>) -> Result<()> {
        self.request(&self.of_bridge(bridge)).map_err(|errno| self.failed("put a network into", errno).into())
    }

    /// Publishes ports.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where the table is not there; `EBUSY` or `EEXIST` where one leads elsewhere already.
    pub fn publish(&self, ports: &[Published]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        self.request(&self.of_ports(ports)).map_err(|errno| self.failed("publish ports by", errno).into())
    }

    /// The addresses that published ports lead to, each once. None where the table is not there.
    ///
    /// # Errors
    /// A kernel error.
    pub fn targets(&self) -> Result<BTreeSet<IpAddr>> {
        let mut found = BTreeSet::new();
        for set in [ANY_4, ANY_6, PORTS_4, PORTS_6] {
            let mut refused = Ok(());
            let said = self.socket.say(&nft::ask_elements(&self.table, set.name), |kind, payload| {
                if kind == netlink::kind::ERROR {
                    refused = netlink::acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
                }
                found.extend(nft::values_of(kind, payload).filter_map(|value| address(value, set)));
            });
            match said.and(refused) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed("read the ports of", errno).into()),
            }
        }
        Ok(found)
    }

    /// Takes ports back. Those that are not there, or with the whole table, are no error.
    ///
    /// # Errors
    /// A kernel error.
    pub fn withdraw(&self, ports: &[Published]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        let take = |set, elements: &[Element]| {
            let keys: Vec<_> = elements.iter().map(|(key, _)| key.clone()).collect();
            nft::delete_elements(&self.table, set, &keys)
        };
        let sets = by_set(ports);
        let all: Vec<_> = sets.iter().flat_map(|(set, elements)| take(set, elements)).collect();
        match self.request(&all) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.failed("take ports out of", errno).into()),
        }
        // All or nothing: then each for itself.
        for (set, elements) in &sets {
            for element in elements {
                match self.request(&take(set, std::slice::from_ref(element))) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(self.failed("take a port out of", errno).into()),
                }
            }
        }
        Ok(())
    }

    /// Shuts a network out. One that is not in it is no error.
    ///
    /// # Errors
    /// A kernel error.
    pub fn remove_bridge(&self, link: &str) -> Result<()> {
        let sets = [(NETWORKS.name, name(link)), (INTERNAL.name, name(link)), (WITHIN.name, name(link).repeat(2))];
        for (set, key) in sets {
            match self.request(&nft::delete_elements(&self.table, set, &[key])) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed("take a network out of", errno).into()),
            }
        }
        Ok(())
    }

    /// Lets what the host sends from `::1` go to ports that are published at every address, or not: who tries it there is
    /// refused at once then.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where the table is not there.
    pub fn set_loopback6(&self, loopback: Loopback6) -> Result<()> {
        let key = name("lo");
        let said = match loopback {
            Loopback6::Answered => nft::add_elements(&self.table, LOOPBACK_6.name, &[(key, None)]),
            Loopback6::Unanswered => {
                // What is not there cannot be taken out.
                let mut said = nft::add_elements(&self.table, LOOPBACK_6.name, &[(key.clone(), None)]);
                said.extend(nft::delete_elements(&self.table, LOOPBACK_6.name, &[key]));
                said
            }
        };
        self.request(&said).map_err(|errno| self.failed("put the loopback into", errno).into())
    }

    /// Removes the table. One that is not there is no error.
    ///
    /// # Errors
    /// A kernel error.
    pub fn remove(&self) -> Result<()> {
        match self.request(&[nft::delete_table(&self.table)]) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", errno).into()),
        }
    }

    fn of_bridge(&self, bridge: &Bridge<'_>) -> Vec<Vec<u8>> {
        let key = name(bridge.link);
        let mut said = nft::add_elements(&self.table, NETWORKS.name, &[(key.clone(), None)]);
        if bridge.reach == Reach::Internal {
            said.extend(nft::add_elements(&self.table, INTERNAL.name, &[(key.clone(), None)]));
        }
        if bridge.within == Within::Open {
            said.extend(nft::add_elements(&self.table, WITHIN.name, &[(key.repeat(2), None)]));
        }
        said
    }

    fn of_ports(&self, ports: &[Published]) -> Vec<Vec<u8>> {
        let sets = by_set(ports).into_iter();
        sets.flat_map(|(set, elements)| nft::add_elements(&self.table, set, &elements)).collect()
    }

    pub(crate) fn request(&self, said: &[Vec<u8>]) -> std::result::Result<(), Errno> {
        self.socket.request(&nft::batch(said), |_, _| {})
    }

    pub(crate) fn failed(&self, what: &str, errno: Errno) -> Kernel {
        let kernel = Kernel::new(format!("{what} the nftables table {}", self.table), errno);
        match errno {
            Errno::OPNOTSUPP | Errno::PROTONOSUPPORT => kernel.hint(
                "networks need a kernel with nftables: CONFIG_NF_TABLES_INET, NFT_NAT, NFT_MASQ, NFT_CT, NFT_FIB_INET",
            ),
            Errno::PERM => kernel.hint("it needs CAP_NET_ADMIN in this network namespace"),
            _ => kernel,
        }
    }
}

/// A key of a set, or of a map with its value.
type Element = (Vec<u8>, Option<Vec<u8>>);

/// The elements for these ports, by the sets that they are in.
fn by_set(ports: &[Published]) -> Vec<(&'static str, Vec<Element>)> {
    let set = |port: &Published| match port.address {
        IpAddr::V4(address) if address.is_unspecified() => ANY_4.name,
        IpAddr::V6(address) if address.is_unspecified() => ANY_6.name,
        IpAddr::V4(_) => PORTS_4.name,
        IpAddr::V6(_) => PORTS_6.name,
    };
    let of = |name| ports.iter().filter(|port| set(port) == name).map(element).collect();
    let ports_of = [ANY_4, ANY_6, PORTS_4, PORTS_6].map(|set| (set.name, of(set.name)));
    let containers: BTreeSet<IpAddr> = ports.iter().map(|port| port.to.ip()).collect();
    let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = containers.into_iter().partition(IpAddr::is_ipv4);
    let itself = |own: Vec<IpAddr>| own.into_iter().map(|own| (bytes(own).repeat(2), None)).collect();
    let sets = ports_of.into_iter().chain([(ITSELF_4.name, itself(four)), (ITSELF_6.name, itself(six))]);
    sets.filter(|(_, elements): &(_, Vec<Element>)| !elements.is_empty()).collect()
}

fn element(port: &Published) -> Element {
    let own = if port.address.is_unspecified() { Vec::new() } else { bytes(port.address) };
    let protocol = [port.protocol as u8, 0, 0, 0];
    let key = [own.as_slice(), &protocol, &padded(port.port)].concat();
    (key, Some([bytes(port.to.ip()).as_slice(), &padded(port.to.port())].concat()))
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address that a value begins with.
fn address(value: &[u8], set: Set<'_>) -> Option<IpAddr> {
    if set.value.first() == Some(&Datum::Ipv4) {
        value.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes))
    } else {
        value.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes))
    }
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// A link's name as it is compared: `IFNAMSIZ`.
fn name(link: &str) -> Vec<u8> {
    let mut name = link.as_bytes().to_vec();
    name.resize(16, 0);
    name
}

const fn base(kind: &'static str, hook: Hook, priority: i32) -> Option<Base> {
    Some(Base { kind, hook, priority })
}

/// The chains. The priorities have their names in nft(8): `raw`, `dstnat`, `filter`, `srcnat`.
const CHAINS: [(&str, Option<Base>); 6] = [
    ("raw", base("filter", Hook::Prerouting, -300)),
    ("prerouting", base("nat", Hook::Prerouting, -100)),
    ("output", base("nat", Hook::Output, -100)),
    ("forward", base("filter", Hook::Forward, 0)),
    ("into", None),
    ("postrouting", base("nat", Hook::Postrouting, 100)),
];

/// A rule: its chain and what it says.
type Rule = (&'static str, Vec<Vec<u8>>);

fn rules() -> Vec<Rule> {
    let mut rules = not_from_outside();
    rules.extend(["prerouting", "output"].into_iter().flat_map(published));
    rules.push(published_to_loopback_6());
    rules.extend(forwarded());
    rules.extend(sent_as_the_host());
    rules
}

const LOOPBACK: &[u8] = b"lo\0";
/// The offset and the length of the addresses in the headers of IPv4 and IPv6.
const SOURCE_4: (u32, u32) = (12, 4);
const DESTINATION_4: (u32, u32) = (16, 4);
const SOURCE_6: (u32, u32) = (8, 16);
const DESTINATION_6: (u32, u32) = (24, 16);
/// That of the destination's port in the headers of TCP, UDP and SCTP.
const DESTINATION_PORT: (u32, u32) = (2, 2);
const LOCAL_6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn is_family(family: u8) -> Vec<u8> {
    [meta(Meta::Family, Register::FIRST), compare(Register::FIRST, Comparison::Equal, &[family])].concat()
}

/// That an address of the header is one of this host's loopback.
fn is_loopback(family: u8, (offset, length): (u32, u32)) -> Vec<u8> {
    let compared = match family {
        IPV4 => (1, &[127][..]),
        _ => (length, &LOCAL_6[..]),
    };
    [
        is_family(family),
        payload(Layer::Network, (offset, compared.0), Register::FIRST),
        compare(Register::FIRST, Comparison::Equal, compared.1),
    ]
    .concat()
}

fn is_to_loopback_6(comparison: Comparison) -> Vec<u8> {
    [
        is_family(IPV6),
        payload(Layer::Network, DESTINATION_6, Register::FIRST),
        compare(Register::FIRST, comparison, &LOCAL_6),
    ]
    .concat()
}

fn link_is_in(key: Meta, set: &Set<'_>) -> Vec<u8> {
    [meta(key, Register::FIRST), is_in(Register::FIRST, set.name)].concat()
}

/// That the packet comes from and goes to the same network.
fn is_within() -> Vec<u8> {
    [meta(Meta::InName, Register::FIRST), meta(Meta::OutName, Register::SECOND), is_in(Register::FIRST, WITHIN.name)]
        .concat()
}

fn not_from_outside() -> Vec<Rule> {
    let from_outside =
        [meta(Meta::InName, Register::FIRST), compare(Register::FIRST, Comparison::Different, LOOPBACK)].concat();
    let rule = |loopback| ("raw", vec![from_outside.clone(), loopback, decide(Verdict::Drop)]);
    vec![
        rule(is_loopback(IPV4, DESTINATION_4)),
        rule(is_loopback(IPV4, SOURCE_4)),
        rule(is_loopback(IPV6, DESTINATION_6)),
        rule(is_loopback(IPV6, SOURCE_6)),
    ]
}

fn published(chain: &'static str) -> Vec<Rule> {
    // The address of IPv4 is one part of a register, that of IPv6 four.
    let at = |family, (offset, length): (u32, u32), map: &Set<'_>| {
        let parts = length / 4;
        let rule = vec![
            is_family(family),
            payload(Layer::Network, (offset, length), Register::part(0)),
            meta(Meta::Protocol, Register::part(parts)),
            payload(Layer::Transport, DESTINATION_PORT, Register::part(parts + 1)),
            look_up(Register::part(0), map.name, Register::part(0)),
            nft::translate_destination(family, Register::part(0), Register::part(parts)),
        ];
        (chain, rule)
    };
    let anywhere = |family, parts, map: &Set<'_>| {
        let rule = vec![
            if family == IPV6 { is_to_loopback_6(Comparison::Different) } else { is_family(family) },
            nft::destination_is_local(),
            meta(Meta::Protocol, Register::part(0)),
            payload(Layer::Transport, DESTINATION_PORT, Register::part(1)),
            look_up(Register::part(0), map.name, Register::part(0)),
            nft::translate_destination(family, Register::part(0), Register::part(parts)),
        ];
        (chain, rule)
    };
    vec![
        at(IPV4, DESTINATION_4, &PORTS_4),
        at(IPV6, DESTINATION_6, &PORTS_6),
        anywhere(IPV4, 1, &ANY_4),
        anywhere(IPV6, 4, &ANY_6),
    ]
}

fn published_to_loopback_6() -> Rule {
    let rule = vec![
        link_is_in(Meta::OutName, &LOOPBACK_6),
        is_to_loopback_6(Comparison::Equal),
        meta(Meta::Protocol, Register::part(0)),
        payload(Layer::Transport, DESTINATION_PORT, Register::part(1)),
        look_up(Register::part(0), ANY_6.name, Register::part(0)),
        nft::translate_destination(IPV6, Register::part(0), Register::part(4)),
    ];
    ("output", rule)
}

fn forwarded() -> Vec<Rule> {
    let drop = || decide(Verdict::Drop);
    let accept = || decide(Verdict::Accept);
    vec![
        ("forward", vec![is_within(), accept()]),
        ("forward", vec![link_is_in(Meta::InName, &INTERNAL), drop()]),
        ("forward", vec![link_is_in(Meta::OutName, &INTERNAL), drop()]),
        ("forward", vec![link_is_in(Meta::OutName, &NETWORKS), decide(Verdict::Jump("into"))]),
        ("into", vec![connection_has(Connection::State, nft::ESTABLISHED), accept()]),
        ("into", vec![connection_has(Connection::Status, nft::DNAT), accept()]),
        ("into", vec![drop()]),
    ]
}

fn sent_as_the_host() -> Vec<Rule> {
    let to_ours = || link_is_in(Meta::OutName, &NETWORKS);
    let elsewhere = [meta(Meta::OutName, Register::FIRST), is_not_in(Register::FIRST, NETWORKS.name)].concat();
    let back = [meta(Meta::InName, Register::FIRST), meta(Meta::OutName, Register::SECOND)].concat();
    // Where bridged packets are filtered, the link that this one came by is not known any more.
    let to_itself = |family, (source, destination): ((u32, u32), (u32, u32)), set: &Set<'_>| {
        let rule = vec![
            connection_has(Connection::Status, nft::DNAT),
            is_family(family),
            payload(Layer::Network, source, Register::part(0)),
            payload(Layer::Network, destination, Register::part(destination.1 / 4)),
            is_in(Register::part(0), set.name),
            masquerade(),
        ];
        ("postrouting", rule)
    };
    vec![
        (
            "postrouting",
            vec![
                back,
                is_in(Register::FIRST, WITHIN.name),
                connection_has(Connection::Status, nft::DNAT),
                masquerade(),
            ],
        ),
        to_itself(IPV4, (SOURCE_4, DESTINATION_4), &ITSELF_4),
        to_itself(IPV6, (SOURCE_6, DESTINATION_6), &ITSELF_6),
        ("postrouting", vec![to_ours(), is_loopback(IPV4, SOURCE_4), masquerade()]),
        ("postrouting", vec![to_ours(), is_loopback(IPV6, SOURCE_6), masquerade()]),
        ("postrouting", vec![link_is_in(Meta::InName, &NETWORKS), elsewhere, masquerade()]),
    ]
}

#[cfg(test)]
mod kernel {
    use std::process::Command;

    use sys::namespace::Kinds;

    use super::*;
    use crate::port;

    /// Runs in a net namespace of its own.
    fn alone(test: fn()) {
        let run = move || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            test();
        };
        std::thread::spawn(run).join().unwrap();
    }

    fn published(address: &str, port: u16, to: &str) -> Published {
        let (address, to) = (address.parse().unwrap(), to.parse().unwrap());
        Published { protocol: port::Protocol::Tcp, address, port, to }
    }

    fn listed() -> String {
        let output = Command::new("nft").args(["list", "table", "inet", "carboy"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn nft_reads_the_table_as_it_is_meant() {
        alone(|| {
            let firewall = Firewall::open("carboy", "").unwrap();
            assert!(!firewall.is_whole().unwrap());
            let bridge = Bridge { link: "br9", reach: Reach::World, within: Within::Open, subnets: &[] };
            let ports = [
                published("0.0.0.0", 8080, "192.0.2.7:80"),
                published("::", 8080, "[2001:db8::7]:80"),
                published("127.0.0.1", 81, "192.0.2.7:80"),
                published("2001:db8::1", 81, "[2001:db8::7]:80"),
            ];
            firewall.assert(&[bridge], &ports).unwrap();
            assert!(firewall.is_whole().unwrap());
            for expected in [
                "elements = { \"br9\" }",
                "elements = { tcp . 8080 : 192.0.2.7 . 80 }",
                "elements = { tcp . 8080 : 2001:db8::7 . 80 }",
                "elements = { 127.0.0.1 . tcp . 81 : 192.0.2.7 . 80 }",
                "elements = { 2001:db8::1 . tcp . 81 : 2001:db8::7 . 80 }",
                "iifname != \"lo\" ip daddr 127.0.0.0/8 drop",
                "fib daddr type local dnat ip to meta l4proto . th dport map @any4",
                "ip6 daddr != ::1 fib daddr type local dnat ip6 to meta l4proto . th dport map @any6",
                "iifname . oifname @within ct status dnat masquerade",
                "oifname @loopback6 ip6 daddr ::1 dnat ip6 to meta l4proto . th dport map @any6",
                "elements = { 192.0.2.7 . 192.0.2.7 }",
                "elements = { 2001:db8::7 . 2001:db8::7 }",
                "ct status dnat ip saddr . ip daddr @itself4 masquerade",
                "ct status dnat ip6 saddr . ip6 daddr @itself6 masquerade",
                "iifname @networks oifname != @networks masquerade",
            ] {
                assert!(listed().contains(expected), "{expected} is not in\n{}", listed());
            }
            assert!(!listed().contains("elements = { \"lo\" }"), "{}", listed());
            for _ in 0..2 {
                firewall.set_loopback6(Loopback6::Answered).unwrap();
                assert!(listed().contains("elements = { \"lo\" }"), "{}", listed());
            }
            for _ in 0..2 {
                firewall.set_loopback6(Loopback6::Unanswered).unwrap();
                assert!(!listed().contains("elements = { \"lo\" }"), "{}", listed());
            }
            firewall.assert(&[bridge], &ports).unwrap();
            firewall.publish(&ports).unwrap();
            let elsewhere = published("0.0.0.0", 8080, "192.0.2.8:80");
            assert!(firewall.publish(&[elsewhere]).is_err());
            firewall.withdraw(&ports[1..]).unwrap();
            firewall.withdraw(&ports).unwrap();
            firewall.remove_bridge("br9").unwrap();
            firewall.remove_bridge("br9").unwrap();
            assert!(!listed().contains("elements"), "{}", listed());
            firewall.remove().unwrap();
            firewall.remove().unwrap();
            assert!(!firewall.is_whole().unwrap());
            assert_eq!(firewall.publish(&ports).unwrap_err().errno(), Some(Errno::NOENT));
        });
    }
}
