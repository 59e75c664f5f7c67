//! Who can reach a container by its network, as far as links and published ports tell; what its firewall and the host's then
//! let through is for their rules. Pure.

use std::net::IpAddr;

use crate::snapshot::Snapshot;
use crate::snapshot::network::{Interface, Network, Place, Published};

/// How far somebody may be away who reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// It could not be read.
    Unknown,
    /// Only who is in the same namespace.
    Nobody,
    /// The host.
    Host,
    /// Who is on the same network of the host.
    Network,
    /// Whoever reaches the host.
    World,
}

impl Extent {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unreadable",
            Self::Nobody => "nobody",
            Self::Host => "the host",
            Self::Network => "its network",
            Self::World => "the host's network",
        }
    }
}

/// Who reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// How far the farthest is away.
    pub extent: Extent,
    /// Why, one reason for each way, the farthest last.
    pub ways: Vec<String>,
}

/// Who can reach those in a network.
#[must_use]
pub fn of(snapshot: &Snapshot, network: &Network) -> Reached {
    if network.is_hosts {
        let ways = vec!["it is in the host's network: what it listens at is the host's".to_owned()];
        return Reached { extent: Extent::World, ways };
    }
    let Some(interfaces) = &network.interfaces else {
        return Reached { extent: Extent::Unknown, ways: Vec::new() };
    };
    let mut found: Vec<(Extent, String)> = interfaces.iter().flat_map(|one| by_interface(snapshot, one)).collect();
    let is_inner = |one: &&Published| one.address.is_some_and(|at| at.is_loopback());
    let (inner, outer): (Vec<&Published>, Vec<_>) = network.published.iter().flatten().partition(is_inner);
    for (extent, who, ports) in [(Extent::Host, "the host", inner), (Extent::World, "whoever reaches the host", outer)]
    {
        let at: Vec<String> = ports.into_iter().map(at).collect();
        found.extend((!at.is_empty()).then(|| (extent, format!("{who}, at {}", at.join(", ")))));
    }
    found.sort();
    found.dedup();
    let extent = found.last().map_or(Extent::Nobody, |(extent, _)| *extent);
    Reached { extent, ways: found.into_iter().map(|(_, way)| way).collect() }
}

/// `0.0.0.0:8080/tcp`, with `*` for what is not said.
#[must_use]
pub fn at(published: &Published) -> String {
    let ports = match published.ports {
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}-{last}"),
        None => "*".to_owned(),
    };
    let address = match published.address {
        None if published.to.is_ipv4() => "0.0.0.0".to_owned(),
        None => "[::]".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("[{address}]"),
    };
    let protocol = if published.protocol.is_empty() { String::new() } else { format!("/{}", published.protocol) };
    format!("{address}:{ports}{protocol}")
}

fn by_interface(snapshot: &Snapshot, interface: &Interface) -> Vec<(Extent, String)> {
    let Interface { name, kind, .. } = interface;
    if interface.state != "up" || name == "lo" {
        return Vec::new();
    }
    let Some(other) = &interface.other else {
        let way = match kind.as_str() {
            "" => format!("whoever is on the network of its own hardware {name}"),
            "tun" => format!("whoever the program lets through that holds its {name}"),
            // Neither leads anywhere by itself.
            "dummy" | "bridge" | "ifb" => return Vec::new(),
            kind => format!("whoever is at the other end of its {kind} {name}"),
        };
        return vec![(Extent::World, way)];
    };
    let title = other.name.as_deref().unwrap_or("a link that cannot be seen");
    if kind != "veth" {
        let whose = if other.place == Place::Host { " of the host" } else { "" };
        return match other.place {
            // It lies on another of the same namespace, which counts by itself.
            Place::Same => Vec::new(),
            _ => vec![(Extent::World, format!("whoever is on the network of {title}{whose}, by its {kind} {name}"))],
        };
    }
    let near = match other.place {
        Place::Same => return Vec::new(),
        Place::Host => "the host".to_owned(),
        Place::In(index) => who_is_in(snapshot, index),
        Place::Elsewhere => "who is in another namespace".to_owned(),
    };
    let Some(bridge) = &other.bridge else { return vec![(Extent::Host, format!("{near}, by {title}"))] };
    let mut found = Vec::new();
    if !bridge.addresses.is_empty() {
        found.push((Extent::Host, format!("{near}, by {}", bridge.name)));
    }
    let with = listed(&neighbours(snapshot, &bridge.with));
    let now = if with.is_empty() { "nobody now".to_owned() } else { with };
    found.push((Extent::Network, format!("who is on {}: {now}", bridge.name)));
    if !bridge.ports.is_empty() {
        let ports = listed(&bridge.ports);
        found.push((Extent::World, format!("whoever is beyond {ports}, on {} too", bridge.name)));
    }
    found
}

/// How many neighbours are named.
const NAMED: usize = 8;

/// Names, as many as can be taken in.
#[must_use]
pub fn listed(names: &[String]) -> String {
    let (named, rest) = names.split_at(NAMED.min(names.len()));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", named.join(", "))
}

/// Who is in some namespaces, one by one.
#[must_use]
pub fn neighbours(snapshot: &Snapshot, namespaces: &[usize]) -> Vec<String> {
    let of = |index: &usize| {
        let titles = titles_in(snapshot, *index);
        if titles.is_empty() { vec![who_is_in(snapshot, *index)] } else { titles }
    };
    namespaces.iter().flat_map(of).collect()
}

/// The containers in a namespace, or its number.
#[must_use]
pub fn who_is_in(snapshot: &Snapshot, namespace: usize) -> String {
    let titles = titles_in(snapshot, namespace);
    if !titles.is_empty() {
        return titles.join(", ");
    }
    let ino = snapshot.namespaces.get(namespace).map_or(0, |namespace| namespace.ino);
    let is_in = |process: &&crate::snapshot::Process| {
        process.namespaces.contains(&crate::snapshot::Spot::In(namespace)) && process.facts.is_some()
    };
    match snapshot.processes.iter().find(is_in) {
        Some(first) => {
            let name = first.facts.as_ref().map_or("", |facts| facts.name.as_str());
            format!("{name} (pid {})", first.pid)
        }
        None => format!("net:[{ino}]"),
    }
}

/// The names of the containers in a namespace.
#[must_use]
pub fn titles_in(snapshot: &Snapshot, namespace: usize) -> Vec<String> {
    let spot = crate::snapshot::Spot::In(namespace);
    let containers = snapshot.containers.iter().filter(|container| {
        container.engine != crate::snapshot::Engine::Sandbox
            && snapshot.first(container).is_some_and(|first| first.namespaces.contains(&spot))
    });
    containers.map(|container| container.title().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use procfs::Kind;

    use super::*;
    use crate::samples;
    use crate::snapshot::Spot;
    use crate::snapshot::network::{Bridge, Other, Subnet};

    fn interface(name: &str, kind: &str, other: Option<Other>) -> Interface {
        Interface {
            name: name.to_owned(),
            index: 2,
            kind: kind.to_owned(),
            state: "up".to_owned(),
            mtu: None,
            hardware: None,
            addresses: Vec::new(),
            other,
        }
    }

    fn network(interfaces: Option<Vec<Interface>>) -> Network {
        Network {
            namespace: 0,
            is_hosts: false,
            interfaces,
            routes: None,
            listeners: None,
            published: Some(Vec::new()),
            rules: None,
            own_rules: None,
            legacy: Vec::new(),
        }
    }

    fn bridged(addresses: Vec<Subnet>, with: Vec<usize>, ports: Vec<String>) -> Other {
        let bridge = Bridge { name: "br9".to_owned(), addresses, with, ports };
        Other { index: 7, place: Place::Host, name: Some("v9".to_owned()), bridge: Some(bridge) }
    }

    #[test]
    fn the_farthest_that_reaches_it_is_by_its_links() {
        let mut snapshot = samples::empty();
        samples::container(&mut snapshot, "db", &[Kind::Net]);
        let Spot::In(db) = snapshot.processes[0].namespaces[crate::snapshot::place(Kind::Net)] else { panic!() };
        let of = |interfaces: Vec<Interface>| of(&snapshot, &network(Some(interfaces)));
        let own = Subnet { address: "192.0.2.1".parse().unwrap(), prefix: 24 };
        let lo = interface("lo", "", None);
        let down = Interface { state: "down".to_owned(), ..interface("eth0", "", None) };
        assert_eq!(of(vec![lo, down]), Reached { extent: Extent::Nobody, ways: Vec::new() });
        let paired = Other { index: 7, place: Place::Host, name: Some("v9".to_owned()), bridge: None };
        assert_eq!(of(vec![interface("eth0", "veth", Some(paired.clone()))]).extent, Extent::Host);
        let near = of(vec![interface("eth0", "veth", Some(bridged(vec![own], vec![db], Vec::new())))]);
        assert_eq!(near.extent, Extent::Network);
        assert_eq!(near.ways, ["the host, by br9", "who is on br9: db"]);
        let wide = of(vec![interface("eth0", "veth", Some(bridged(Vec::new(), Vec::new(), vec!["enp1".to_owned()])))]);
        assert_eq!(wide.extent, Extent::World);
        assert_eq!(wide.ways, ["who is on br9: nobody now", "whoever is beyond enp1, on br9 too"]);
        let many: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
        assert_eq!(listed(&many), "c0, c1, c2, c3, c4, c5, c6, c7 and 2 more");
        assert_eq!(of(vec![interface("eth0", "macvlan", Some(paired))]).extent, Extent::World);
        assert_eq!(of(vec![interface("eth0", "", None)]).extent, Extent::World, "hardware of its own");
    }

    #[test]
    fn what_is_published_on_the_loopback_is_for_the_host_and_what_could_not_be_read_for_nobody_knows() {
        let snapshot = samples::empty();
        let port = |address: Option<&str>| Published {
            address: address.map(|address| address.parse().unwrap()),
            protocol: "tcp".to_owned(),
            ports: Some((80, 80)),
            to: "192.0.2.7".parse().unwrap(),
            port: None,
            by: String::new(),
        };
        let with = |ports| of(&snapshot, &Network { published: Some(ports), ..network(Some(Vec::new())) });
        assert_eq!(with(vec![port(Some("127.0.0.1"))]).extent, Extent::Host);
        let wide = with(vec![port(Some("127.0.0.1")), port(None), port(Some("192.0.2.1"))]);
        assert_eq!(wide.extent, Extent::World);
        assert_eq!(wide.ways[1], "whoever reaches the host, at 0.0.0.0:80/tcp, 192.0.2.1:80/tcp");
        assert_eq!(of(&snapshot, &network(None)).extent, Extent::Unknown);
    }
}
