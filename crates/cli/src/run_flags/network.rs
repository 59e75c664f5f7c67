//! The flags of `run` and `create` that say how a container is connected: networks, ports, names.

use std::collections::BTreeSet;

use engine::network::DEFAULT;
use engine::options::{Connection, Exposed, Join, Namespace, NetworkOptions, RunOptions};
use error::{Refused, Result};

use super::Draft;
use crate::flags::{Flag, Given};
use crate::report;
use crate::value::connection::Place;
use crate::value::{connection, names, port, rate};

/// What was said of networks.
#[derive(Debug, Default)]
pub(super) struct Said {
    places: Vec<Place>,
    /// What flags of their own say of the first network.
    first: Connection,
    /// The rest, without networks.
    options: NetworkOptions,
    exposed_ports: BTreeSet<String>,
    /// The flags with their values, as they were given.
    given: Vec<(&'static str, String)>,
}

pub(super) const FLAGS: &[Flag<Draft>] = &[
    Flag::values(
        "network",
        "NETWORK",
        place,
        "be on a network: NAME or name=NAME,ip=…,alias=…; or none, host, container:NAME, path:/FILE (bridge)",
    )
    .alias("net"),
    Flag::value("ip", "ADDRESS", ipv4, "its address on the first network"),
    Flag::value("ip6", "ADDRESS", ipv6, "its IPv6 address on the first network"),
    Flag::value("mac-address", "ADDRESS", mac, "its hardware address on the first network"),
    Flag::values("network-alias", "NAME", alias, "be known on the first network by this name, too").alias("net-alias"),
    Flag::values("link", "CONTAINER[:NAME]", link, "know a container by this name"),
    Flag::values(
        "publish",
        "[HOST:]PORT[/udp]",
        publish,
        "let a port of the host, or of one of its addresses, lead to one of its own",
    )
    .short('p'),
    Flag::switch(
        "publish-all",
        |draft: &mut Draft, on| {
            draft.network.note(Given { flag: "publish-all", value: "" });
            draft.network.options.exposed = if on { Exposed::Published } else { Exposed::Told };
        },
        "let free ports of the host lead to all that it says it listens at",
    )
    .short('P'),
    Flag::values("expose", "PORT[-PORT][/udp]", expose, "say that it listens at a port"),
    Flag::values("dns", "ADDRESS", dns, "ask this name server (as the host)"),
    Flag::values("dns-search", "DOMAIN", dns_search, "try this domain behind short names; . for none (as the host)"),
    Flag::values("dns-option", "OPTION", dns_option, "an option of resolv.conf(5) (as the host)").alias("dns-opt"),
    Flag::values("add-host", "NAME:ADDRESS", add_host, "add a name to its /etc/hosts; host-gateway is the host"),
    Flag::value("network-rate", "RATES", network_rate, "limit what it receives and sends: in=10mbit,out=1mbit"),
];

/// What stands for the network that is usual, where none is named, until it is known whose container it is.
const UNSAID: &str = "default";

/// Puts in the network that is usual: a container of root is on the default one, one of a user on none. Ports of one that
/// is on none are discarded, and it is said.
///
/// # Errors
/// A kernel error.
pub(crate) fn settle_usual(options: &mut RunOptions) -> Result<()> {
    let network = &mut options.network;
    let mut why = match options.namespaces.net {
        Namespace::Host => " when using host network mode",
        _ => " when using none network mode",
    };
    if let Some(first) = network.networks.first_mut().filter(|first| first.network == UNSAID) {
        let asks_nothing = *first == Connection { network: UNSAID.to_owned(), ..Connection::default() };
        DEFAULT.clone_into(&mut first.network);
        // Who asks for more of it is told that a user's container has none.
        if asks_nothing && engine::rootless::is_in_user_namespace()? {
            network.networks.clear();
            why = ": a user's container is on no network";
        }
    }
    let publishes = !network.ports.is_empty() || network.exposed == Exposed::Published;
    if network.networks.is_empty() && publishes {
        report::warning(&format!("published ports are discarded{why}"));
        (network.ports, network.exposed) = (Vec::new(), Exposed::Told);
    }
    Ok(())
}

impl Said {
    /// Keeps a flag as it was given, for a refusal to name it.
    fn note(&mut self, given: Given<'_>) {
        self.given.push((given.flag, given.value.to_owned()));
    }

    /// Puts it among the options, with the host name there already.
    ///
    /// # Errors
    /// Refused where Docker says that it does not go together.
    pub(super) fn settle(mut self, options: &mut RunOptions) -> Result<()> {
        let exposed = std::mem::take(&mut self.exposed_ports);
        let published = self.options.ports.iter().map(|port| format!("{}/{}", port.container, port.protocol));
        options.exposed_ports.extend(exposed.into_iter().chain(published));
        if let Some(name) = &options.hostname {
            self.given.push(("hostname", name.clone()));
        }
        self.places_agree()?;
        if self.places.is_empty() {
            let network = UNSAID.to_owned();
            self.places.push(Place::Network(Connection { network, ..Connection::default() }));
        }
        let mode = Mode::of(self.places.first());
        for (flag, value) in &self.given {
            if let Some((reason, hint)) = mode.contradicts(flag) {
                return Err(Refused::new(format!("--{flag}"), value, reason).hint(hint).into());
            }
        }
        let first = std::mem::take(&mut self.first);
        for (index, place) in self.places.into_iter().enumerate() {
            match place {
                Place::Namespace(namespace) => options.namespaces.net = namespace,
                Place::Network(connection) if index == 0 => self.options.networks.push(merged(connection, &first)?),
                Place::Network(connection) => self.options.networks.push(connection),
            }
        }
        self.options.networks.iter().try_for_each(goes_with_network)?;
        options.network = self.options;
        Ok(())
    }

    /// Whether the networks can be had together.
    fn places_agree(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for place in &self.places {
            match place {
                Place::Namespace(_) if self.places.len() > 1 => {
                    let shown = self.given.iter().filter(|(flag, _)| *flag == "network");
                    let shown: Vec<&str> = shown.map(|(_, value)| value.as_str()).collect();
                    let reason = "conflicting options: cannot attach both networks and another network mode";
                    let refused = Refused::new("--network", shown.join(" "), reason);
                    return Err(refused.hint("name networks alone, or one of none, host and container:NAME").into());
                }
                Place::Network(Connection { network, .. }) if !seen.insert(network) => {
                    let refused = Refused::new("--network", network, "is specified multiple times");
                    return Err(refused.hint("name each network once").into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A connection with what flags of their own say of it.
fn merged(mut connection: Connection, said: &Connection) -> Result<Connection> {
    let twice = [
        ("ip", connection.ipv4.is_some() && said.ipv4.is_some(), "IPv4 address"),
        ("ip6", connection.ipv6.is_some() && said.ipv6.is_some(), "IPv6 address"),
        ("mac-address", connection.mac.is_some() && said.mac.is_some(), "MAC address"),
        ("network-alias", !connection.aliases.is_empty() && !said.aliases.is_empty(), "alias"),
    ];
    if let Some((flag, _, what)) = twice.into_iter().find(|(_, twice, _)| *twice) {
        let reason = format!("conflicting options: cannot specify both --{flag} and per-network {what}");
        return Err(Refused::new("--network", connection.network, reason).hint("leave one of them out").into());
    }
    connection.ipv4 = connection.ipv4.or(said.ipv4);
    connection.ipv6 = connection.ipv6.or(said.ipv6);
    connection.mac = connection.mac.or(said.mac);
    connection.aliases.extend(said.aliases.iter().cloned());
    connection.links.extend(said.links.iter().cloned());
    Ok(connection)
}

/// What can be said of a connection to the default network.
fn goes_with_network(connection: &Connection) -> Result<()> {
    let mode = if connection.network == DEFAULT { Mode::Default } else { Mode::Network };
    let said = [
        ("ip", connection.ipv4.is_some()),
        ("ip6", connection.ipv6.is_some()),
        ("network-alias", !connection.aliases.is_empty()),
    ];
    match said.into_iter().filter(|(_, said)| *said).find_map(|(flag, _)| mode.contradicts(flag)) {
        None => Ok(()),
        Some((reason, hint)) => Err(Refused::new("--network", &connection.network, reason).hint(hint).into()),
    }
}

/// What a container is in, as far as flags depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    None,
    Host,
    Container,
    Joined,
    Default,
    Network,
}

impl Mode {
    fn of(place: Option<&Place>) -> Self {
        match place {
            None | Some(Place::Namespace(Namespace::Private)) => Self::None,
            Some(Place::Namespace(Namespace::Host)) => Self::Host,
            Some(Place::Namespace(Namespace::Joined(Join::Container(_)))) => Self::Container,
            Some(Place::Namespace(Namespace::Joined(_))) => Self::Joined,
            Some(Place::Network(connection)) if [DEFAULT, UNSAID].contains(&connection.network.as_str()) => {
                Self::Default
            }
            Some(Place::Network(_)) => Self::Network,
        }
    }

    const fn has_networks(self) -> bool {
        matches!(self, Self::Default | Self::Network)
    }

    /// Docker's reason for which a flag cannot be given here, and what can be done.
    fn contradicts(self, flag: &str) -> Option<(&'static str, &'static str)> {
        let other = "say it of the container whose network it joins";
        let own = "make a network with carboy network create, and name it with --network";
        Some(match (flag, self) {
            ("hostname", Self::Container) => ("conflicting options: hostname and the network mode", "leave it out"),
            ("link", Self::Container) => {
                ("conflicting options: container type network can't be used with links", other)
            }
            ("link", Self::Host) => ("conflicting options: host type networking can't be used with links", own),
            ("dns" | "dns-search" | "dns-option", Self::Container) => {
                ("conflicting options: dns and the network mode", other)
            }
            ("add-host", Self::Container) => {
                ("conflicting options: custom host-to-IP mapping and the network mode", other)
            }
            ("mac-address", Self::Container | Self::Host) => {
                ("conflicting options: mac-address and the network mode", own)
            }
            ("publish" | "publish-all", Self::Container | Self::Joined) => {
                ("conflicting options: port publishing and the container type network mode", other)
            }
            ("expose", Self::Container) => {
                ("conflicting options: port exposing and the container type network mode", other)
            }
            ("ip" | "ip6", mode) if mode != Self::Network => {
                ("user specified IP address is supported on user defined networks only", own)
            }
            ("network-alias", mode) if mode != Self::Network => {
                ("network-scoped aliases are supported only for containers in user defined networks", own)
            }
            ("mac-address" | "link" | "network-rate", mode) if !mode.has_networks() => {
                ("needs a network", "name one with --network")
            }
            _ => return None,
        })
    }
}

fn place(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    if given.value.is_empty() {
        return Ok(());
    }
    draft.network.places.push(connection::place(given)?);
    draft.network.note(given);
    Ok(())
}

fn ipv4(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.first.ipv4 = Some(connection::address(given)?);
    draft.network.note(given);
    Ok(())
}

fn ipv6(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.first.ipv6 = Some(connection::address(given)?);
    draft.network.note(given);
    Ok(())
}

fn mac(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.first.mac = Some(connection::mac(given)?);
    draft.network.note(given);
    Ok(())
}

fn alias(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.first.aliases.push(connection::alias(given)?);
    draft.network.note(given);
    Ok(())
}

fn link(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.first.links.push(connection::link(given)?);
    draft.network.note(given);
    Ok(())
}

fn publish(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.options.ports.extend(port::published(given)?);
    draft.network.note(given);
    Ok(())
}

fn expose(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.exposed_ports.extend(port::exposed(given)?);
    draft.network.note(given);
    Ok(())
}

fn dns(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.options.dns.servers.push(names::server(given)?);
    draft.network.note(given);
    Ok(())
}

fn dns_search(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.options.dns.search.push(names::search(given)?);
    draft.network.note(given);
    Ok(())
}

fn dns_option(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.options.dns.options.push(names::option(given)?);
    draft.network.note(given);
    Ok(())
}

fn add_host(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.options.hosts.push(names::entry(given)?);
    draft.network.note(given);
    Ok(())
}

fn network_rate(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.options.rate = rate::rate(given)?;
    draft.network.note(given);
    Ok(())
}

#[cfg(test)]
mod tests;
