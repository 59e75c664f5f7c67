//! Networks of containers: which there are, who is on them, and by which addresses.
//!
//! ```text
//! ROOT/networks/NAME/network.json              a network
//! RUN/.networks/ID/endpoints/CONTAINER.json    a container's place in it, while that exists on the host
//! RUN/.networks/ID/addresses/ADDRESS -> CONTAINER
//! RUN/.networks/ports/PROTOCOL/PORT/ADDRESS -> CONTAINER
//! ```

use std::collections::BTreeMap;

use network::IpNet;
use network::port::Published;
use network::subnet::Subnet;
use serde::{Deserialize, Serialize};

use crate::options::Mac;

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The form of this record.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The name, unique on this host.
    pub name: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// What it is made of.
    pub driver: Driver,
    /// The link of the host that it is: the bridge, or the parent of macvlan and ipvlan links.
    pub link: String,
    /// Its addresses, those of IPv4 first.
    pub subnets: Vec<Subnet>,
    /// Whom those on it can reach.
    pub reach: Reach,
    /// Whether the host forwards packets of IPv6 for it.
    pub ipv6: Ipv6,
    /// The largest packet, in bytes; `None` for the kernel's.
    pub mtu: Option<u32>,
    /// What its owner wrote on it.
    pub labels: BTreeMap<String, String>,
    /// Its driver's options as they were given, for `inspect`.
    pub options: BTreeMap<String, String>,
}

/// What a network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host, on which each container has a veth.
    Bridge,
    /// Links that share a link of the host, each with a hardware address of its own.
    Macvlan,
    /// Links that share a link of the host and its hardware address.
    Ipvlan,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Macvlan, Self::Ipvlan];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }
}

/// Whom those on a network can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// Everybody whom the host can.
    #[default]
    World,
    /// Each other and the host: `--internal`.
    Internal,
}

/// What a network has of IPv6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ipv6 {
    /// Nothing.
    Off,
    /// Addresses by which its containers, and the host, reach each other. Nothing of the host is changed for it.
    #[default]
    Local,
    /// The host forwards its packets too.
    Routed,
}

/// What a new network is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// What it is made of; `None` for a bridge.
    pub driver: Option<Driver>,
    /// Its subnets, each maybe with a gateway and a range; where it has none, one that is free is taken.
    pub subnets: Vec<NewSubnet>,
    /// Whom those on it can reach.
    pub reach: Reach,
    /// What it has of IPv6; `None` for what is usual.
    pub ipv6: Option<Ipv6>,
    /// What is written on it.
    pub labels: BTreeMap<String, String>,
    /// Its driver's options, by Docker's names: `com.docker.network.driver.mtu`, `com.docker.network.bridge.name`, `parent`.
    pub options: BTreeMap<String, String>,
}

/// A subnet that a new network is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSubnet {
    /// All of it.
    pub net: IpNet,
    /// The host's address in it; the first if none.
    pub gateway: Option<std::net::IpAddr>,
    /// Where addresses are given out, if not everywhere.
    pub range: Option<IpNet>,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's id.
    pub network: String,
    /// The network's name.
    pub network_name: String,
    /// 64 hexadecimal digits that tell it from any other.
    pub id: String,
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Its link on the host.
    pub link: String,
    /// Its link in the container: `eth0`.
    pub interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses with the lengths of their subnets' prefixes, those of IPv4 first.
    pub addresses: Vec<IpNet>,
    /// The host's addresses in the same subnets.
    pub gateways: Vec<std::net::IpAddr>,
    /// Names by which the others on the network know it besides its own.
    pub aliases: Vec<String>,
    /// The ports of the host that lead to it.
    pub ports: Vec<Published>,
}

/// The networks that there are.
#[derive(Debug, Default)]
pub struct Networks {
    /// Those that can be told of, by name.
    pub whole: Vec<Network>,
    /// What is wrong with each of the others.
    pub damaged: Vec<error::Error>,
}

/// The network that a container is on which asks for none: `bridge`.
pub const DEFAULT: &str = "bridge";
