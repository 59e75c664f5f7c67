//! `network`: what there is of networks, and what can be done with them. Output as Docker's.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::journal;
use engine::network::{DEFAULT, Driver, Endpoint, Ipv6, Network, NewNetwork, Reach};
use engine::record::short;
use error::{Error, RefusedKind, Result};
use serde_json::{Map, Value, json};

use crate::documents::{Documents, NO_TEMPLATE};
use crate::format::{Format, Rows};
use crate::list::each;
use crate::network_flags::{Filter, Inspect, List, Network as Asked, Prune, Remove};
use crate::prune::{Freed, agreed};
use crate::report;
use crate::template::Data;

/// Docker's word for what is known on one host.
const SCOPE: &str = "local";

/// `carboy network`. Docker's exit code is 1 where the daemon refuses.
pub(crate) fn run(engine: &Engine, asked: &Asked) -> ExitCode {
    let ended = match asked {
        Asked::Create(wish) => create(engine, wish),
        Asked::List(list) => self::list(engine, list),
        Asked::Inspect(asked) => return inspect(engine, asked),
        Asked::Remove(asked) => return remove(engine, asked),
        Asked::Prune(asked) => return prune(engine, asked),
        Asked::Connect(asked) => {
            let connected = engine.connect(&asked.connection.network, &asked.container, &asked.connection);
            connected.inspect(|()| warn_of_shut(engine, &asked.connection.network))
        }
        Asked::Disconnect(asked) => engine.disconnect(&asked.network, &asked.container, asked.removal),
        Asked::Reload => engine.reload_networks(),
        Asked::Open(names) => return each(names, |name| engine.open_network(name), |_| false),
    };
    code(ended)
}

fn code(ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says so where somebody else's firewall drops what is forwarded for a network. What cannot be found out is not said.
pub(crate) fn warn_of_shut(engine: &Engine, network: &str) {
    let Ok(network) = engine.find_network(network) else { return };
    match engine.shut_by(&network) {
        Ok(by) if !by.is_empty() => report::warning(&engine::check::shut(&network.name, &by)),
        _ => {}
    }
}

fn create(engine: &Engine, wish: &NewNetwork) -> Result<()> {
    report::line(&engine.create_network(wish)?.id);
    Ok(())
}

const ROWS: Rows = Rows {
    table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    raw: "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
    fields: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
};

fn list(engine: &Engine, asked: &List) -> Result<()> {
    let source = match (asked.format.as_str(), asked.quiet) {
        ("raw", true) => "network_id: {{.ID}}",
        ("", true) => "{{.ID}}",
        (format, _) => format,
    };
    let format = Format::new(source, &ROWS)?;
    let mut rows = String::new();
    for network in networks(engine)? {
        if is_meant(engine, &network, &asked.filters)? {
            let labels: Vec<String> = network.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let value = json!({
                "ID": if asked.whole { &network.id } else { short(&network.id) },
                "Name": network.name,
                "Driver": network.driver.word(),
                "Scope": SCOPE,
                "IPv4": "true",
                "IPv6": (network.ipv6 != Ipv6::Off).to_string(),
                "Internal": (network.reach == Reach::Internal).to_string(),
                "Labels": labels.join(","),
                "CreatedAt": network.created.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC").to_string(),
            });
            let label = |name: &str| network.labels.get(name).cloned().unwrap_or_default();
            rows.push_str(&format.row(Data { value: &value, methods: &[("Label", &label)] })?);
        }
    }
    report::text(&format.whole(&rows));
    if source.is_empty() {
        let shut = engine.shut_networks()?;
        shut.iter().for_each(|(network, by)| report::warning(&engine::check::shut(&network.name, by)));
    }
    Ok(())
}

/// Those that can be told of; of the others it is said what is wrong.
fn networks(engine: &Engine) -> Result<Vec<Network>> {
    let found = engine.networks()?;
    found.damaged.iter().for_each(report::error);
    Ok(found.whole)
}

/// Any value of a key may hold, but every label must.
fn is_meant(engine: &Engine, network: &Network, filters: &[Filter]) -> Result<bool> {
    for filter in filters {
        let is_same = |other: &&Filter| std::mem::discriminant(*other) == std::mem::discriminant(filter);
        let holds = |filter: &Filter| -> Result<bool> {
            Ok(match filter {
                Filter::Dangling(wanted) => is_unused(engine, network)? == *wanted,
                Filter::Driver(driver) => driver == network.driver.word(),
                Filter::Id(part) => network.id.contains(part.as_str()),
                Filter::Label(labelled) => labelled.holds_for(&network.labels),
                Filter::Name(part) => network.name.contains(part.as_str()),
                Filter::Scope(scope) => scope == SCOPE,
                Filter::Builtin(wanted) => (network.name == DEFAULT) == *wanted,
                Filter::Until(until) => network.created < *until,
            })
        };
        if matches!(filter, Filter::Label(_)) {
            if !holds(filter)? {
                return Ok(false);
            }
            continue;
        }
        let mut any = false;
        for other in filters.iter().filter(is_same) {
            any |= holds(other)?;
        }
        if !any {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether somebody has made it, and no container is on it or comes to it when it is started.
fn is_unused(engine: &Engine, network: &Network) -> Result<bool> {
    if network.name == DEFAULT || !engine.endpoints(network)?.is_empty() {
        return Ok(false);
    }
    let is_it = |word: &str| word == network.name || word.len() >= 12 && network.id.starts_with(word);
    let listing = engine.list()?;
    let wished = |container: &engine::containers::Container| {
        container.record.options.network.networks.iter().any(|connection| is_it(&connection.network))
    };
    Ok(!listing.containers.iter().any(wished))
}

fn inspect(engine: &Engine, asked: &Inspect) -> ExitCode {
    let mut documents = match Documents::new(&asked.format) {
        Ok(documents) => documents,
        Err(error) => {
            report::error(&error);
            return ExitCode::from(NO_TEMPLATE);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for name in &asked.names {
        let document = engine.find_network(name).and_then(|network| {
            let endpoints = engine.endpoints(&network)?;
            Ok(document(&network, &endpoints, engine.shut_by(&network).ok()))
        });
        if let Err(error) = document.and_then(|document| documents.add(document)) {
            report::error(&error);
            code = ExitCode::FAILURE;
        }
    }
    documents.show();
    code
}

/// The document of a network.
fn document(network: &Network, endpoints: &[Endpoint], shut_by: Option<Vec<String>>) -> Value {
    let subnets = network.subnets.iter().map(|subnet| {
        let mut config = Map::new();
        config.insert("Subnet".to_owned(), subnet.net.to_string().into());
        config.insert("IPRange".to_owned(), subnet.range.map_or_else(String::new, |range| range.to_string()).into());
        if network.driver == Driver::Bridge || network.reach == Reach::World {
            config.insert("Gateway".to_owned(), subnet.gateway.to_string().into());
        }
        Value::Object(config)
    });
    let containers = endpoints.iter().map(|endpoint| (endpoint.container.clone(), on_it(endpoint)));
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created.to_string(),
        "Scope": SCOPE,
        "Driver": network.driver.word(),
        "EnableIPv4": true,
        "EnableIPv6": network.ipv6 != Ipv6::Off,
        "IPAM": {"Driver": "default", "Options": {}, "Config": subnets.collect::<Vec<_>>()},
        "Internal": network.reach == Reach::Internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": containers.collect::<Map<_, _>>(),
        "Options": network.options,
        "Labels": network.labels,
        "Link": network.link,
        "MTU": network.mtu,
        "ShutBy": shut_by,
    })
}

/// A container on a network.
fn on_it(endpoint: &Endpoint) -> Value {
    let address = |is_of: fn(&network::IpNet) -> bool| {
        endpoint.addresses.iter().find(|net| is_of(net)).map_or_else(String::new, ToString::to_string)
    };
    json!({
        "Name": endpoint.name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac.to_string(),
        "IPv4Address": address(|net| net.addr().is_ipv4()),
        "IPv6Address": address(|net| net.addr().is_ipv6()),
        "Link": endpoint.link,
    })
}

fn remove(engine: &Engine, asked: &Remove) -> ExitCode {
    let is_gone = |error: &Error| matches!(error, Error::Refused(refused) if refused.kind == RefusedKind::NoSuchObject);
    each(
        &asked.names,
        |name| match engine.remove_network(name) {
            Err(error) if asked.force && is_gone(&error) => Ok(()),
            removed => removed,
        },
        |_| false,
    )
}

fn prune(engine: &Engine, asked: &Prune) -> ExitCode {
    let question = "WARNING! This will remove all custom networks not used by at least one container.";
    if !asked.force && !agreed(question) {
        return ExitCode::SUCCESS;
    }
    let mut freed = Freed::default();
    match freed.networks(engine, &asked.filters) {
        Ok(()) => {
            let _ = freed.takes(engine.rest_default_network(), 0);
            freed.code()
        }
        Err(error) => code(Err(error)),
    }
}

impl Freed {
    /// Removes the networks that somebody has made and no container uses.
    pub(crate) fn networks(&mut self, engine: &Engine, filters: &[Filter]) -> Result<()> {
        let mut removed = Vec::new();
        for network in networks(engine)? {
            let goes = is_unused(engine, &network)? && is_meant(engine, &network, filters)?;
            if goes && self.takes(engine.remove_network(&network.name), 0) {
                removed.push(network.name);
            }
        }
        self.removed("Networks", &removed);
        engine.has_pruned(journal::Kind::Network, 0);
        Ok(())
    }
}
