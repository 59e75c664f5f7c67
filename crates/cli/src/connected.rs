//! How a container is connected, as Docker tells of it: for `ps` and `inspect`.

use std::net::IpAddr;

use engine::network::{DEFAULT, Endpoint};
use engine::options::{Connection, HostAddress, Namespace, PortWish};
use engine::record::{Record, short};
use network::IpNet;
use oci::NamespaceKind;
use serde_json::{Map, Value, json};

use crate::port;

/// Docker's word for the net namespace that it is in: the first of its networks, `none`, `host`, or whose it is.
pub(crate) fn mode(record: &Record) -> String {
    match (&record.options.namespaces.net, record.options.network.networks.first()) {
        (Namespace::Private, Some(connection)) => connection.network.clone(),
        (Namespace::Joined(join), _) => join.to_string(),
        _ => without_network(record).unwrap_or_default().to_owned(),
    }
}

/// Docker's name for a network that is none: a namespace without one, and the host's; nothing of another container's.
fn without_network(record: &Record) -> Option<&'static str> {
    let namespaces = record.config.linux.as_ref().map_or(&[][..], |linux| linux.namespaces.as_slice());
    match namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::Net) {
        None => Some("host"),
        Some(namespace) if namespace.path.is_none() => Some("none"),
        Some(_) => None,
    }
}

/// The place that a connection has led to, while it exists on the host.
fn endpoint<'e>(connection: &Connection, endpoints: &'e [Endpoint]) -> Option<&'e Endpoint> {
    let word = &connection.network;
    endpoints.iter().find(|endpoint| endpoint.network_name == *word || endpoint.network.starts_with(word.as_str()))
}

/// The networks that it is on, or is to be on, each with its place there, by name.
fn places<'r>(
    record: &'r Record,
    endpoints: &'r [Endpoint],
) -> Vec<(String, Option<&'r Connection>, Option<&'r Endpoint>)> {
    let wished = &record.options.network.networks;
    let named = wished.iter().map(|connection| {
        let endpoint = endpoint(connection, endpoints);
        let name = endpoint.map_or(&connection.network, |endpoint| &endpoint.network_name);
        (name.clone(), Some(connection), endpoint)
    });
    let mut places: Vec<_> = named.collect();
    for endpoint in endpoints {
        if !places.iter().any(|(name, ..)| *name == endpoint.network_name) {
            places.push((endpoint.network_name.clone(), None, Some(endpoint)));
        }
    }
    places
}

/// The names of the networks that it is on.
pub(crate) fn networks(record: &Record, endpoints: &[Endpoint]) -> Vec<String> {
    let places = places(record, endpoints);
    if places.is_empty() {
        return without_network(record).map(str::to_owned).into_iter().collect();
    }
    places.into_iter().map(|(name, ..)| name).collect()
}

/// `NetworkSettings` of Docker's document.
pub(crate) fn settings(record: &Record, endpoints: &[Endpoint]) -> Value {
    let mut networks: Map<String, Value> = places(record, endpoints)
        .into_iter()
        .map(|(name, connection, endpoint)| (name.clone(), of_network(record, (&name, connection), endpoint)))
        .collect();
    if networks.is_empty()
        && let Some(name) = without_network(record)
    {
        networks.insert(name.to_owned(), of_network(record, (name, None), None));
    }
    let on_default = endpoints.iter().find(|endpoint| endpoint.network_name == DEFAULT);
    let published = port::published(endpoints);
    let exposed = if endpoints.is_empty() { &std::collections::BTreeSet::new() } else { &record.options.exposed_ports };
    let mut settings = addresses(on_default);
    settings.extend(fields(json!({
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": port::document(exposed, &published),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "Networks": networks,
    })));
    settings.into()
}

fn fields(document: Value) -> Map<String, Value> {
    if let Value::Object(fields) = document { fields } else { Map::new() }
}

/// The addresses of a place in a network, in Docker's keys; empty ones where there is none.
fn addresses(endpoint: Option<&Endpoint>) -> Map<String, Value> {
    let net = |is_of: fn(&IpAddr) -> bool| {
        endpoint.and_then(|endpoint| endpoint.addresses.iter().find(|net: &&IpNet| is_of(&net.addr())))
    };
    let gateway = |is_of: fn(&IpAddr) -> bool| {
        let found = endpoint.and_then(|endpoint| endpoint.gateways.iter().find(|address| is_of(address)));
        found.map_or_else(String::new, ToString::to_string)
    };
    let (ipv4, ipv6) = (net(IpAddr::is_ipv4), net(IpAddr::is_ipv6));
    let address = |net: Option<&IpNet>| net.map_or_else(String::new, |net| net.addr().to_string());
    fields(json!({
        "EndpointID": endpoint.map_or("", |endpoint| &endpoint.id),
        "Gateway": gateway(IpAddr::is_ipv4),
        "IPAddress": address(ipv4),
        "IPPrefixLen": ipv4.map_or(0, IpNet::prefix_len),
        "IPv6Gateway": gateway(IpAddr::is_ipv6),
        "GlobalIPv6Address": address(ipv6),
        "GlobalIPv6PrefixLen": ipv6.map_or(0, IpNet::prefix_len),
        "MacAddress": endpoint.map_or_else(String::new, |endpoint| endpoint.mac.to_string()),
    }))
}

/// A network that a container is on.
fn of_network(record: &Record, (name, connection): (&str, Option<&Connection>), endpoint: Option<&Endpoint>) -> Value {
    let none = Connection::default();
    let connection = connection.unwrap_or(&none);
    let wished = || {
        let ipv4 = connection.ipv4.map(|address| ("IPv4Address".to_owned(), address.to_string().into()));
        let ipv6 = connection.ipv6.map(|address| ("IPv6Address".to_owned(), address.to_string().into()));
        ipv4.into_iter().chain(ipv6).collect::<Map<String, Value>>()
    };
    let has_names = endpoint.is_some() && name != DEFAULT;
    let names = || {
        let own = [record.name.as_str()].into_iter().chain(connection.aliases.iter().map(String::as_str));
        own.chain([short(&record.id)]).map(Value::from).collect::<Vec<_>>()
    };
    let links = connection.links.iter().map(|link| Value::from(format!("{}:{}", link.container, link.alias)));
    let mut document = addresses(endpoint);
    document.extend(fields(json!({
        "IPAMConfig": if connection.ipv4.is_some() || connection.ipv6.is_some() { wished().into() } else { Value::Null },
        "Links": or_null(links.collect()),
        "Aliases": or_null(connection.aliases.iter().map(|alias| alias.as_str().into()).collect()),
        "DriverOpts": null,
        "GwPriority": 0,
        "NetworkID": endpoint.map_or("", |endpoint| &endpoint.network),
        "DNSNames": if has_names { names().into() } else { Value::Null },
    })));
    document.into()
}

fn or_null(values: Vec<Value>) -> Value {
    if values.is_empty() { Value::Null } else { values.into() }
}

/// What `HostConfig` of Docker's document has of networks.
pub(crate) fn wished(record: &Record) -> Map<String, Value> {
    let wish = &record.options.network;
    let words = |words: &[String]| -> Vec<Value> { words.iter().map(|word| word.as_str().into()).collect() };
    let hosts = wish.hosts.iter().map(|entry| match entry.address {
        HostAddress::Address(address) => format!("{}:{address}", entry.name).into(),
        HostAddress::Gateway => format!("{}:host-gateway", entry.name).into(),
    });
    let on_default = wish.networks.iter().filter(|connection| connection.network == DEFAULT);
    let links = on_default.flat_map(|connection| &connection.links);
    let links = links.map(|link| format!("/{}:/{}/{}", link.container, record.name, link.alias).into());
    fields(json!({
        "NetworkMode": mode(record),
        "PortBindings": bindings(&wish.ports),
        "PublishAllPorts": wish.exposed == engine::options::Exposed::Published,
        "Dns": wish.dns.servers.iter().map(|server| server.to_string().into()).collect::<Vec<Value>>(),
        "DnsOptions": words(&wish.dns.options),
        "DnsSearch": words(&wish.dns.search),
        "ExtraHosts": or_null(hosts.collect()),
        "Links": or_null(links.collect()),
        "NetworkRate": json!({"InBits": wish.rate.into_bits, "OutBits": wish.rate.out_bits}),
    }))
}

/// The ports that are published, as they were asked for.
fn bindings(wishes: &[PortWish]) -> Map<String, Value> {
    let mut ports = Map::new();
    for PortWish { address, host, container, protocol } in wishes {
        let host = match host {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let address = address.map_or_else(String::new, |address| address.to_string());
        let binding = json!({"HostIp": address, "HostPort": host});
        let of_port = ports.entry(format!("{container}/{protocol}")).or_insert_with(|| json!([]));
        if let Value::Array(bindings) = of_port {
            bindings.push(binding);
        }
    }
    ports
}
