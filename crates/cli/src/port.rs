//! `port`: which ports of the host lead to a container; and how ports are shown, by `ps` and `inspect`, too. As Docker's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use engine::containers::Engine;
use engine::network::Endpoint;
use error::{Refused, RefusedKind, Result};
use lexopt::Parser;
use network::port::{Protocol, Published};
use serde_json::{Map, Value, json};

use crate::command::Command;
use crate::flags::{End, Given, Read, Usage, wrong_words};
use crate::help;
use crate::report;
use crate::value::port::exposed;

/// What `port` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Port {
    container: String,
    /// The one that is asked for; all if none.
    port: Option<Private>,
}

/// A port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Private {
    number: u16,
    protocol: Protocol,
}

impl Private {
    /// `80/tcp`, as images have it.
    fn parse(word: &str) -> Option<Self> {
        let (number, protocol) = word.split_once('/')?;
        Some(Self { number: number.parse().ok()?, protocol: protocol.parse().ok()? })
    }

    const fn of(published: &Published) -> Self {
        Self { number: published.to.port(), protocol: published.protocol }
    }
}

impl std::fmt::Display for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// `carboy port`.
pub(crate) const PORT: Usage<()> = Usage {
    command: "port",
    words: "CONTAINER [PORT[/PROTOCOL]]",
    doc: "Show which ports of the host lead to a container",
    flags: &[],
    end: End::Never,
};

/// Reads the words after `port`.
///
/// # Errors
/// Refused, naming the word.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut words = match PORT.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&PORT))),
        Read::Words(words) => words.into_iter(),
    };
    let Some(container) = words.next() else {
        let refused = wrong_words("port", "", "it needs the name of a container");
        return Err(refused.hint("carboy ps -a lists them").into());
    };
    let port = words.next();
    if let Some(word) = words.next() {
        return Err(wrong_words("port", word, "it takes a container and one port of it").into());
    }
    let private = port.as_deref().map(|word| {
        let one = exposed(Given { flag: "port", value: word }).ok().filter(|ports| ports.len() == 1);
        one.and_then(|ports| ports.first().and_then(|port| Private::parse(port))).ok_or_else(|| {
            wrong_words("the port", word, "is no port of a container")
                .hint("use a number, with /udp behind it if it is one of UDP")
        })
    });
    Ok(Command::Port(Port { container, port: private.transpose()? }))
}

/// `carboy port`. Docker's exit code is 1 where there is no such port.
pub(crate) fn run(engine: &Engine, asked: &Port) -> ExitCode {
    match lines(engine, asked) {
        Ok(text) => {
            report::text(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn lines(engine: &Engine, asked: &Port) -> Result<String> {
    let container = engine.find(&asked.container)?;
    let published = published(&engine.endpoints_of(&container.record.id)?);
    let Some(port) = asked.port else {
        return Ok(published.iter().map(|port| format!("{} -> {}\n", Private::of(port), place(port))).collect());
    };
    let text: String = published
        .iter()
        .filter(|known| Private::of(known) == port)
        .map(|known| format!("{}\n", place(known)))
        .collect();
    if text.is_empty() {
        let reason = format!("is not published for {}", asked.container);
        let refused = Refused::new("the port", port.to_string(), reason).kind(RefusedKind::NoSuchObject);
        return Err(refused.hint(format!("carboy port {} shows those that are", asked.container)).into());
    }
    Ok(text)
}

/// The host's end of a published port.
const fn place(port: &Published) -> SocketAddr {
    SocketAddr::new(port.address, port.port)
}

/// What is published of a container, each once, by its ports.
pub(crate) fn published(endpoints: &[Endpoint]) -> Vec<Published> {
    let mut all: Vec<Published> = endpoints.iter().flat_map(|endpoint| endpoint.ports.iter().copied()).collect();
    all.sort_by_key(|port| (port.to.port(), port.protocol, port.address, port.port));
    all.dedup_by_key(|port| (port.to.port(), port.protocol, port.address, port.port));
    all
}

/// The ports of a container that are exposed and not published.
fn unpublished(exposed: &BTreeSet<String>, published: &[Published]) -> BTreeSet<Private> {
    let exposed = exposed.iter().filter_map(|word| Private::parse(word));
    exposed.filter(|port| !published.iter().any(|known| Private::of(known) == *port)).collect()
}

/// The column of `ps`: what leads where, neighbours joined.
pub(crate) fn shown(exposed: &BTreeSet<String>, published: &[Published]) -> String {
    // Ports that lead to the same number, by the host's address and the protocol; those that are no more than exposed.
    let mut groups: BTreeMap<(Option<IpAddr>, Protocol), Vec<u16>> = BTreeMap::new();
    for port in unpublished(exposed, published) {
        groups.entry((None, port.protocol)).or_default().push(port.number);
    }
    let mut moved = Vec::new();
    for port in published {
        if port.port == port.to.port() {
            groups.entry((Some(port.address), port.protocol)).or_default().push(port.port);
        } else {
            moved.push((Private::of(port), port.address, format!("{}->{}", place(port), Private::of(port))));
        }
    }
    let mut parts = Vec::new();
    for ((address, protocol), mut ports) in groups {
        ports.sort_unstable();
        for (first, last) in runs(&ports) {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            let text = match address {
                None => format!("{range}/{protocol}"),
                Some(IpAddr::V4(address)) => format!("{address}:{range}->{range}/{protocol}"),
                Some(IpAddr::V6(address)) => format!("[{address}]:{range}->{range}/{protocol}"),
            };
            parts.push(((first, address), text));
        }
    }
    parts.sort_by_key(|(place, _)| *place);
    moved.sort();
    parts
        .into_iter()
        .map(|(_, text)| text)
        .chain(moved.into_iter().map(|(.., text)| text))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The first and the last of numbers that follow each other.
fn runs(numbers: &[u16]) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if u32::from(*last) + 1 == u32::from(*number) => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    runs
}

/// The ports in the form of Docker's documents; `null` for one that is no more than exposed.
pub(crate) fn document(exposed: &BTreeSet<String>, published: &[Published]) -> Value {
    let mut ports: Map<String, Value> =
        unpublished(exposed, published).iter().map(|port| (port.to_string(), Value::Null)).collect();
    for port in published {
        let binding = json!({"HostIp": port.address.to_string(), "HostPort": port.port.to_string()});
        match ports.entry(Private::of(port).to_string()).or_insert_with(|| json!([])) {
            Value::Array(bindings) => bindings.push(binding),
            other => *other = json!([binding]),
        }
    }
    ports.into()
}

/// Whether one of these ports is meant by a filter of `ps`: `80`, `80/udp`, `8000-8010`.
pub(crate) fn is_meant(filter: &str, mut ports: impl Iterator<Item = (u16, Protocol)>) -> bool {
    let asked = exposed(Given { flag: "filter", value: filter }).unwrap_or_default();
    ports.any(|(number, protocol)| asked.contains(&format!("{number}/{protocol}")))
}

/// The host's ends of what is published.
pub(crate) fn public(published: &[Published]) -> impl Iterator<Item = (u16, Protocol)> + '_ {
    published.iter().map(|port| (port.port, port.protocol))
}

/// The container's ends, and what is exposed besides.
pub(crate) fn private<'p>(
    exposed: &'p BTreeSet<String>,
    published: &'p [Published],
) -> impl Iterator<Item = (u16, Protocol)> + 'p {
    let exposed = exposed.iter().filter_map(|word| Private::parse(word)).map(|port| (port.number, port.protocol));
    exposed.chain(published.iter().map(|port| (port.to.port(), port.protocol)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host: &str, to: u16, protocol: Protocol) -> Published {
        let host: SocketAddr = host.parse().unwrap();
        Published { protocol, address: host.ip(), port: host.port(), to: SocketAddr::new([10, 64, 0, 2].into(), to) }
    }

    fn exposed(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        let tcp = Protocol::Tcp;
        let pair = [port("0.0.0.0:8080", 80, tcp), port("[::]:8080", 80, tcp)];
        assert_eq!(shown(&exposed(&["80/tcp"]), &pair), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
        assert_eq!(shown(&exposed(&["80/tcp", "443/tcp"]), &[]), "80/tcp, 443/tcp");
        assert_eq!(shown(&exposed(&["90/udp", "91/udp", "93/udp"]), &[]), "90-91/udp, 93/udp");
        let range = [9000, 9001, 9002].map(|number| port(&format!("0.0.0.0:{number}"), number, tcp));
        assert_eq!(shown(&exposed(&["53/udp"]), &range), "53/udp, 0.0.0.0:9000-9002->9000-9002/tcp");
        let both = [port("127.0.0.1:5432", 5432, tcp), port("0.0.0.0:8081", 80, tcp)];
        assert_eq!(shown(&exposed(&[]), &both), "127.0.0.1:5432->5432/tcp, 0.0.0.0:8081->80/tcp");
        assert_eq!(shown(&exposed(&[]), &[]), "");
    }

    #[test]
    fn a_document_has_what_is_exposed_too() {
        let published = [port("0.0.0.0:8080", 80, Protocol::Tcp), port("[::]:8080", 80, Protocol::Tcp)];
        let expected = json!({
            "53/udp": null,
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        });
        assert_eq!(document(&exposed(&["53/udp", "80/tcp"]), &published), expected);
    }

    #[test]
    fn a_filter_means_ports_of_its_protocol() {
        let ports = || [(8080, Protocol::Tcp), (53, Protocol::Udp)].into_iter();
        for filter in ["8080", "8080/tcp", "8000-8100/tcp", "53/udp"] {
            assert!(is_meant(filter, ports()), "{filter}");
        }
        for filter in ["53", "8080/udp", "80", "web", ""] {
            assert!(!is_meant(filter, ports()), "{filter}");
        }
    }

    #[test]
    fn the_command_takes_a_container_and_a_port() {
        let said = |words: &[&str]| match read(&mut Parser::from_args(words)) {
            Ok(command) => format!("{command:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(said(&["web"]), "Port(Port { container: \"web\", port: None })");
        let of_udp = "Port(Port { container: \"web\", port: Some(Private { number: 53, protocol: Udp }) })";
        assert_eq!(said(&["web", "53/udp"]), of_udp);
        assert_eq!(said(&[]), "cannot use port: it needs the name of a container");
        assert_eq!(said(&["web", "http"]), "cannot use the port http: is no port of a container");
        assert_eq!(said(&["web", "80", "81"]), "cannot use port 81: it takes a container and one port of it");
    }
}
