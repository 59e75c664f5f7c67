//! What a container was asked to be in networks: which ones, by which addresses and names, and what of it is published.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use network::port::Protocol;
use serde::{Deserialize, Serialize};

/// How a container with a net namespace of its own is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkOptions {
    /// The networks that it is on; its default route is that of the first. Without one it has its loopback alone.
    pub networks: Vec<Connection>,
    /// The ports of the host that lead to it.
    pub ports: Vec<PortWish>,
    /// What becomes of the ports that it says it listens at.
    pub exposed: Exposed,
    /// Whom it asks for names.
    pub dns: Dns,
    /// Names that its /etc/hosts has besides.
    pub hosts: Vec<HostEntry>,
    /// How fast it may receive and send.
    pub rate: Rate,
}

/// A container's place in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The network's name or id, as it was asked for.
    pub network: String,
    /// The address that it must have.
    pub ipv4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// The hardware address that it must have.
    pub mac: Option<Mac>,
    /// Names that it has in this network besides its own.
    pub aliases: Vec<String>,
    /// Containers that it knows by other names.
    pub links: Vec<Link>,
}

/// Another name for a container, for one container alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name or id.
    pub container: String,
    /// What it is called.
    pub alias: String,
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Six pairs of hexadecimal digits with colons or dashes between; `None` for anything else, and for an address of many.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = word.split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        (parts.next().is_none() && bytes[0] & 1 == 0).then_some(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A port of a container that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortWish {
    /// The address of the host where it is; `None` for all.
    pub address: Option<IpAddr>,
    /// The port of the host, or the first and the last of those of which one is taken; `None` for any that is free.
    pub host: Option<(u16, u16)>,
    /// The port of the container.
    pub container: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
}

/// What becomes of the ports that a container says it listens at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exposed {
    /// Nothing.
    #[default]
    Told,
    /// Each is published at a port that is free.
    Published,
}

/// Whom a container asks for names: resolv.conf(5). What is empty is as the host has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// The domains that are tried behind a short name; `.` for none.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

/// A line of /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The name.
    pub name: String,
    /// Its address.
    pub address: HostAddress,
}

/// An address of /etc/hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostAddress {
    /// This one.
    Address(IpAddr),
    /// The host's in the container's first network: `host-gateway`.
    Gateway,
}

/// How fast a container may receive and send, in bits a second; `None` for as fast as it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// What comes to it.
    pub into_bits: Option<u64>,
    /// What it sends.
    pub out_bits: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_that_of_one_link() {
        assert_eq!(Mac::parse("02:42:ac:11:00:02").map(|mac| mac.to_string()).as_deref(), Some("02:42:ac:11:00:02"));
        assert_eq!(Mac::parse("02-42-AC-11-00-02"), Mac::parse("02:42:ac:11:00:02"));
        for word in
            ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "03:42:ac:11:00:02", "2:42:ac:11:00:02", "0x:42:ac:11:00:02"]
        {
            assert_eq!(Mac::parse(word), None, "{word}");
        }
    }
}
