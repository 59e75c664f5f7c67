//! A container's place in a network: `--network` in each of its forms, `--mac-address`, `--link`.

use std::net::IpAddr;

use engine::options::{Connection, Link, Mac, Namespace};
use error::Result;

use super::{name, namespace};
use crate::flags::Given;

/// Where `--network` puts a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A net namespace without any network of carboy's.
    Namespace(Namespace),
    /// A network.
    Network(Connection),
}

const HINT: &str = "use the name of a network, none, host, container:NAME, pid:N or path:/FILE";

/// `none`, `host`, `container:NAME`, …; `NAME`; Docker's `name=NAME,ip=…`; Podman's `NAME:ip=…` and `ns:/FILE`.
pub(crate) fn place(given: Given<'_>) -> Result<Place> {
    let of = |given| namespace::namespace(given, Namespace::Private).map(Place::Namespace);
    match given.value {
        "none" => return Ok(Place::Namespace(Namespace::Private)),
        "private" | "host" => return of(given),
        _ => {}
    }
    match given.value.split_once(':') {
        Some(("container" | "pid" | "path", _)) => of(given),
        Some(("ns", path)) => of(given.part(&format!("path:{path}"))),
        Some((network, fields)) if !network.contains('=') => {
            connection(given, Some(network), fields).map(Place::Network)
        }
        _ if given.value.contains('=') => connection(given, None, given.value).map(Place::Network),
        _ => Ok(Place::Network(Connection { network: network(given, given.value)?, ..Connection::default() })),
    }
}

/// The name or the id of a network; Docker's `default` is the one that it calls `bridge`.
fn network(given: Given<'_>, word: &str) -> Result<String> {
    match word {
        "default" => Ok(engine::network::DEFAULT.to_owned()),
        _ if name::is_networks(word) => Ok(word.to_owned()),
        _ => Err(given.refused("names no network").hint(HINT).into()),
    }
}

/// The fields of a connection, between commas.
fn connection(given: Given<'_>, name: Option<&str>, fields: &str) -> Result<Connection> {
    let mut connection = Connection::default();
    let mut network = name;
    for field in fields.split(',') {
        let (key, value) = field.split_once('=').map_or((field, ""), |(key, value)| (key.trim(), value.trim()));
        let refused = |reason: &str| given.refused(format!("{field:?} {reason}"));
        match key {
            "name" if name.is_none() => network = Some(value),
            "ip" => match value.parse() {
                Ok(IpAddr::V4(address)) => connection.ipv4 = Some(address),
                Ok(IpAddr::V6(address)) if name.is_some() => connection.ipv6 = Some(address),
                _ => return Err(refused("has no address of IPv4").into()),
            },
            "ip6" => {
                connection.ipv6 = Some(value.parse().map_err(|_| refused("has no address of IPv6"))?);
            }
            "mac-address" | "mac" => {
                connection.mac = Some(Mac::parse(value).ok_or_else(|| refused("has no hardware address"))?);
            }
            "alias" => connection.aliases.push(alias(given.part(value))?),
            _ => {
                let hint = "use name=NETWORK with ip=, ip6=, mac-address= or alias= behind it";
                return Err(refused("is nothing that a connection has").hint(hint).into());
            }
        }
    }
    let Some(name) = network.filter(|name| !name.is_empty()) else {
        return Err(given.refused("names no network").hint("add name=NETWORK").into());
    };
    connection.network = self::network(given, name)?;
    Ok(connection)
}

/// A name for others to call a container by.
pub(crate) fn alias(given: Given<'_>) -> Result<String> {
    name::host(given)
}

/// A hardware address.
pub(crate) fn mac(given: Given<'_>) -> Result<Mac> {
    let hint = "use six pairs of digits, such as 02:42:ac:11:00:02, the first of them even";
    Mac::parse(given.value).ok_or_else(|| given.refused("is no hardware address of one link").hint(hint).into())
}

/// An address of IPv4 or of IPv6.
pub(crate) fn address<A: std::str::FromStr>(given: Given<'_>) -> Result<A> {
    let hint = "use one address: 192.0.2.7, or 2001:db8::7 where it is of IPv6";
    given.value.parse().map_err(|_| given.refused("is no such address").hint(hint).into())
}

/// `CONTAINER[:ALIAS]`; it is called as it is where there is no alias.
pub(crate) fn link(given: Given<'_>) -> Result<Link> {
    let hint = "use CONTAINER or CONTAINER:ALIAS";
    let (container, alias) = given.value.split_once(':').unwrap_or((given.value, given.value));
    if !name::is_containers(container) {
        return Err(given.refused("names no container").hint(hint).into());
    }
    match self::alias(given.part(alias)) {
        Ok(alias) => Ok(Link { container: container.to_owned(), alias }),
        Err(_) => Err(given.refused(format!("{alias:?} is no name of a host")).hint(hint).into()),
    }
}
