//! The addresses of a network: which subnet it gets where none was asked for, and which address of it comes next. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// A subnet of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// All of its addresses; none of them is set apart.
    pub net: IpNet,
    /// The host's address in it.
    pub gateway: IpAddr,
    /// Where addresses are given out, if not everywhere.
    pub range: Option<IpNet>,
}

impl Subnet {
    /// One whose gateway is its first address.
    #[must_use]
    pub fn new(net: IpNet) -> Self {
        let net = net.trunc();
        Self { net, gateway: step(net.network(), 1), range: None }
    }

    /// The addresses that can be given out, each once, those behind `last` first: who has just gone is known by its
    /// address for a while.
    pub fn candidates(&self, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> + use<'_> {
        let range = self.range.unwrap_or(self.net);
        let (first, end) = (number(range.network()), number(range.broadcast()));
        let start = last.map(number).filter(|last| (first..end).contains(last)).map_or(first, |last| last + 1);
        let numbers = (start..=end).chain(first..start);
        numbers.map(|number| address(number, self.net)).filter(|address| self.can_be_given(*address))
    }

    /// Whether an address of the subnet can be a container's: neither the subnet's own, nor that of all, nor the host's.
    #[must_use]
    pub fn can_be_given(&self, address: IpAddr) -> bool {
        let is_edge = address == self.net.network() || address.is_ipv4() && address == self.net.broadcast();
        let is_pair = self.net.prefix_len() + 1 >= self.net.max_prefix_len();
        self.net.contains(&address) && address != self.gateway && (!is_edge || is_pair)
    }
}

/// Whether two subnets have an address in common.
#[must_use]
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The addresses of no host that a subnet has some of, if it has: those of "this network", loopbacks, groups, and those of
/// single links of IPv6. RFC 6890.
#[must_use]
pub fn special(net: &IpNet) -> Option<IpNet> {
    const SPECIAL: [(IpAddr, u8); 7] = [
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8),
        (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
        (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
        (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
    ];
    let mut special = SPECIAL.into_iter().filter_map(|(address, length)| IpNet::new(address, length).ok());
    special.find(|other| overlap(net, other))
}

/// The first subnet of IPv4, of 4,094 addresses, that has no address in common with any of `taken`; `None` where all are
/// taken. They are of parts of 10.0.0.0/8 that neither Docker, Podman nor Kubernetes begins with.
#[must_use]
pub fn free(taken: &[IpNet]) -> Option<IpNet> {
    const POOLS: [Ipv4Addr; 3] =
        [Ipv4Addr::new(10, 64, 0, 0), Ipv4Addr::new(10, 128, 0, 0), Ipv4Addr::new(10, 192, 0, 0)];
    let pools = POOLS.iter().filter_map(|pool| Ipv4Net::new(*pool, 12).ok()?.subnets(20).ok());
    pools.flatten().map(IpNet::V4).find(|net| !taken.iter().any(|other| overlap(net, other)))
}

/// A subnet of IPv6 that nobody else has: RFC 4193, of 40 bits that were made by chance.
#[must_use]
pub fn unique_local(chance: [u8; 5]) -> IpNet {
    let [a, b, c, d, e] = chance;
    let address = Ipv6Addr::from([0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    IpNet::V6(Ipv6Net::new_assert(address, 64))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(number: u128, like: IpNet) -> IpAddr {
    match like {
        IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

fn step(from: IpAddr, steps: u128) -> IpAddr {
    address(number(from).saturating_add(steps), IpNet::from(from))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(net: &str) -> Subnet {
        Subnet::new(net.parse().unwrap())
    }

    fn first(subnet: &Subnet, last: Option<&str>) -> Vec<String> {
        let last = last.map(|last| last.parse().unwrap());
        subnet.candidates(last).take(3).map(|address| address.to_string()).collect()
    }

    #[test]
    fn addresses_are_given_out_in_turn_and_begin_anew_at_the_end() {
        let small = subnet("192.0.2.8/29");
        assert_eq!(small.gateway.to_string(), "192.0.2.9");
        assert_eq!(first(&small, None), ["192.0.2.10", "192.0.2.11", "192.0.2.12"]);
        assert_eq!(first(&small, Some("192.0.2.13")), ["192.0.2.14", "192.0.2.10", "192.0.2.11"]);
        assert_eq!(first(&small, Some("192.0.2.14")), ["192.0.2.10", "192.0.2.11", "192.0.2.12"]);
        assert_eq!(first(&small, Some("203.0.113.1")), first(&small, None), "one of another subnet says nothing");
        assert_eq!(small.candidates(None).count(), 5);
    }

    #[test]
    fn a_range_bounds_them_and_a_pair_has_two() {
        let ranged = Subnet { range: Some("192.0.2.128/30".parse().unwrap()), ..subnet("192.0.2.0/24") };
        assert_eq!(first(&ranged, Some("192.0.2.129")), ["192.0.2.130", "192.0.2.131", "192.0.2.128"]);
        let pair = Subnet { gateway: "192.0.2.0".parse().unwrap(), ..subnet("192.0.2.0/31") };
        assert_eq!(first(&pair, None), ["192.0.2.1"]);
    }

    #[test]
    fn ipv6_has_them_too() {
        let local = Subnet::new(unique_local([1, 2, 3, 4, 5]));
        assert_eq!(local.net.to_string(), "fd01:203:405::/64");
        assert_eq!(first(&local, None), ["fd01:203:405::2", "fd01:203:405::3", "fd01:203:405::4"]);
    }

    #[test]
    fn a_free_subnet_is_one_that_nobody_has_an_address_of() {
        let taken = |nets: &[&str]| free(&nets.iter().map(|net| net.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(taken(&[]).unwrap().to_string(), "10.64.0.0/20");
        assert_eq!(taken(&["10.64.3.0/24", "10.64.16.0/20"]).unwrap().to_string(), "10.64.32.0/20");
        assert_eq!(taken(&["10.64.0.0/10"]).unwrap().to_string(), "10.128.0.0/20");
        assert_eq!(taken(&["10.0.0.0/8"]), None);
    }

    #[test]
    fn addresses_that_no_host_can_have_are_no_subnet() {
        for (text, expected) in [
            ("127.0.0.0/24", Some("127.0.0.0/8")),
            ("0.0.0.0/0", Some("0.0.0.0/8")),
            ("224.0.0.0/24", Some("224.0.0.0/4")),
            ("::/0", Some("::/128")),
            ("::1/128", Some("::1/128")),
            ("fe80::/64", Some("fe80::/10")),
            ("ff02::/64", Some("ff00::/8")),
            ("10.89.0.0/16", None),
            ("169.254.1.0/24", None),
            ("fd00::/64", None),
            ("2001:db8::/64", None),
        ] {
            let special = special(&text.parse().unwrap()).map(|net| net.to_string());
            assert_eq!(special.as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_candidate_can_be_given_and_comes_once(bits in 24_u8..=30, net in any::<u32>(), last in any::<u32>()) {
            let subnet = Subnet::new(IpNet::V4(Ipv4Net::new(net.into(), bits).unwrap()));
            let all: Vec<_> = subnet.candidates(Some(IpAddr::V4(last.into()))).collect();
            let distinct: std::collections::BTreeSet<_> = all.iter().collect();
            prop_assert_eq!(distinct.len(), all.len());
            prop_assert_eq!(all.len(), (1_usize << (32 - bits)) - 3);
            prop_assert!(all.iter().all(|address| subnet.can_be_given(*address)));
        }
    }
}
