//! The network of a namespace that was asked about, as it is from inside and from the viewer's own network namespace: what
//! is called the host here.

use std::net::IpAddr;

use procfs::{HostPid, Protocol};
use serde::{Deserialize, Serialize};

/// The network of one namespace. What is `None` could not be read; why stands in [`super::Snapshot::blind`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The namespace, in [`super::Snapshot::namespaces`].
    pub namespace: usize,
    /// Whether it is the viewer's own: its links and routes are the host's and are not told.
    pub is_hosts: bool,
    /// Its links.
    pub interfaces: Option<Vec<Interface>>,
    /// Its routes but for those to itself, the most general first.
    pub routes: Option<Vec<Route>>,
    /// What listens in it; of the host's only what processes of those asked about do.
    pub listeners: Option<Vec<Listener>>,
    /// Ports of the host that lead to one of its addresses.
    pub published: Option<Vec<Published>>,
    /// Of the host's firewall, what names one of its links on the host, of its addresses, or a group of its processes.
    pub rules: Option<Vec<Rule>>,
    /// All rules of its own firewall; nothing where it is the host's.
    pub own_rules: Option<Vec<Rule>>,
    /// Tables of the older iptables, on the host or inside, whose rules are not read.
    pub legacy: Vec<String>,
}

/// A link of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// What made it: `veth`, `macvlan`; empty for hardware and the loopback.
    pub kind: String,
    /// `up`, `down`, or `no carrier` where it is set up and carries nothing.
    pub state: String,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Its hardware address.
    pub hardware: Option<String>,
    /// Its addresses.
    pub addresses: Vec<Subnet>,
    /// What it is joined to: the other end of a pair, the link that it shares or lies on.
    pub other: Option<Other>,
}

/// An address with the part of it that all on a link have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The address.
    pub address: IpAddr,
    /// How many of its bits they have in common.
    pub prefix: u8,
}

/// A link that another is joined to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Its number.
    pub index: u32,
    /// Where it is.
    pub place: Place,
    /// Its name, where it is on the host or in the same namespace.
    pub name: Option<String>,
    /// The bridge that it is a port of.
    pub bridge: Option<Bridge>,
}

/// Where a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the same namespace.
    Same,
    /// In the viewer's.
    Host,
    /// In another one, of [`super::Snapshot::namespaces`].
    In(usize),
    /// In another one that was not found.
    Elsewhere,
}

/// A bridge of the host, with whoever is on it besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<Subnet>,
    /// The namespaces of the other ends of its other ports, in [`super::Snapshot::namespaces`].
    pub with: Vec<usize>,
    /// Its other ports whose other end is nowhere that was found: hardware, a virtual machine's.
    pub ports: Vec<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads; a prefix of 0 is everywhere.
    pub to: Subnet,
    /// `sent`, or what becomes of what is sent: `blackhole`, `unreachable`, `prohibit`.
    pub way: String,
    /// Who passes it on.
    pub via: Option<IpAddr>,
    /// The link.
    pub link: Option<String>,
    /// The sender's address, where nothing else is said.
    pub source: Option<IpAddr>,
    /// Of several, that of the lowest number holds.
    pub metric: u32,
    /// The table; 254 is the main one.
    pub table: u32,
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its own address, unspecified for every one of the namespace.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Who has it open, of those that may be looked at.
    pub processes: Vec<HostPid>,
}

/// A port of the host that leads to a port of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The host's address; `None` for each of them.
    pub address: Option<IpAddr>,
    /// `tcp`, `udp`, `sctp`; empty for each of them.
    pub protocol: String,
    /// The first and the last port of the host; `None` for each of them.
    pub ports: Option<(u16, u16)>,
    /// The address inside.
    pub to: IpAddr,
    /// The port inside; `None` where it is the same.
    pub port: Option<u16>,
    /// The table and the chain or the map that say so: `inet carboy any4`.
    pub by: String,
}

/// A part of a firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What it is.
    pub part: Part,
    /// The family and the name of its table: `inet carboy`.
    pub table: String,
    /// The chain or the set that it is in, or that it is.
    pub of: String,
    /// Its number in the table, of iptables in the chain; for an element that of its set, for a policy 0.
    pub handle: u64,
    /// What it says in the words of nft(8), or of iptables' legacy form, with `<… not read>` for what this carboy does not know.
    pub text: String,
    /// Which link, address, group or class of those asked about it names.
    pub names: Vec<String>,
}

/// What part of a firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A rule of a chain.
    Rule,
    /// An element of a set or a map.
    Element,
    /// That a chain drops what no rule of it decides of.
    Policy,
}
