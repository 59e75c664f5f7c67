//! The network of one container or process: its links with their other ends, routes, what listens and what is published, the
//! parts of the firewall that are about it, and who can reach it.

use std::collections::BTreeMap;

use inspect::Snapshot;
use inspect::reached::{self, Extent};
use inspect::relation;
use inspect::snapshot::network::{Interface, Listener, Network, Other, Part, Place, Published, Route, Rule, Subnet};
use inspect::snapshot::{Container, Process, Spot};
use procfs::{HostPid, Kind, Protocol};
use serde_json::{Value, json};

use crate::see::list::called;
use crate::see::page::{Page, Style};

/// What stands for what could not be read; why is told below BLIND.
const UNREADABLE: &str = "unreadable";

/// The sections of a network.
pub(crate) fn text(page: &mut Page, snapshot: &Snapshot, container: &Container, network: &Network) {
    reach(page, snapshot, container, network);
    if !network.is_hosts {
        links(page, snapshot, network);
        routes(page, network);
    }
    listeners(page, snapshot, network);
    rules(page, "FIREWALL OF THE HOST", network.rules.as_deref());
    if !network.is_hosts && network.own_rules.as_ref().is_none_or(|rules| !rules.is_empty()) {
        rules(page, "FIREWALL INSIDE", network.own_rules.as_deref());
    }
    if !network.legacy.is_empty() {
        page.line(&format!("  not read: tables of the older iptables, {}", network.legacy.join(", ")));
    }
}

fn reach(page: &mut Page, snapshot: &Snapshot, container: &Container, network: &Network) {
    let reached = reached::of(snapshot, network);
    page.gap();
    let farthest = match reached.extent {
        Extent::Unknown => UNREADABLE.to_owned(),
        Extent::Nobody => "reached by nobody".to_owned(),
        Extent::World => "reached from beyond the host".to_owned(),
        Extent::Host | Extent::Network => format!("reached by {} alone", reached.extent.name()),
    };
    page.styled(Style::Bold, &format!("NETWORK  {farthest}"));
    for way in reached.ways {
        page.line(&format!("  {way}"));
    }
    let with = sharers(snapshot, container, network);
    if !with.is_empty() && !network.is_hosts {
        page.line(&format!("  shared with {}", reached::listed(&with)));
    }
}

/// Who else is in the namespace: containers by name, and processes that are in none.
fn sharers(snapshot: &Snapshot, container: &Container, network: &Network) -> Vec<String> {
    let containers = relation::with(snapshot, container, Kind::Net).map(|one| one.title().to_owned());
    let is_in = |process: &&Process| process.namespaces.contains(&Spot::In(network.namespace));
    let all = snapshot.processes.iter().enumerate();
    let strays = all.filter(|(index, process)| {
        is_in(process) && process.container.is_none() && !container.processes.contains(index)
    });
    containers.chain(strays.map(|(_, process)| named(snapshot, process.pid))).collect()
}

/// `httpd (pid 2503)`.
fn named(snapshot: &Snapshot, pid: HostPid) -> String {
    let process = snapshot.processes.iter().find(|process| process.pid == pid);
    let name = process.and_then(|process| process.facts.as_ref()).map_or("", |facts| facts.name.as_str());
    format!("{name} (pid {pid})")
}

fn subnet(subnet: &Subnet) -> String {
    format!("{}/{}", subnet.address, subnet.prefix)
}

fn joined(subnets: &[Subnet]) -> String {
    subnets.iter().map(subnet).collect::<Vec<_>>().join(", ")
}

fn links(page: &mut Page, snapshot: &Snapshot, network: &Network) {
    page.gap();
    let Some(interfaces) = &network.interfaces else {
        return page.styled(Style::Bold, &format!("LINKS  {UNREADABLE}"));
    };
    let row = |one: &Interface| {
        let kind = match (one.kind.as_str(), one.name.as_str()) {
            ("", "lo") => "loopback",
            ("", _) => "hardware",
            (kind, _) => kind,
        };
        [
            format!("  {}", one.name),
            kind.to_owned(),
            one.state.clone(),
            one.mtu.map_or_else(String::new, |mtu| mtu.to_string()),
            one.hardware.clone().unwrap_or_default(),
            joined(&one.addresses),
            one.other.as_ref().map_or_else(String::new, |other| other_end(snapshot, other)),
        ]
    };
    let heading = ["LINKS", "kind", "state", "mtu", "hardware", "addresses", "joined to"].map(str::to_owned);
    page.table(&[vec![heading], interfaces.iter().map(row).collect()].concat());
}

/// `cv1a2b of the host, on the bridge cbr with db`.
fn other_end(snapshot: &Snapshot, other: &Other) -> String {
    let name = other.name.clone().unwrap_or_else(|| format!("link {}", other.index));
    let place = match other.place {
        Place::Same => String::new(),
        Place::Host => " of the host".to_owned(),
        Place::In(index) => format!(" of {}", reached::who_is_in(snapshot, index)),
        Place::Elsewhere => " of another namespace".to_owned(),
    };
    let bridge = other.bridge.as_ref().map(|bridge| {
        let with = [reached::listed(&reached::neighbours(snapshot, &bridge.with)), reached::listed(&bridge.ports)];
        let with: Vec<String> = with.into_iter().filter(|names| !names.is_empty()).collect();
        let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
        format!(", on the bridge {}{with}", bridge.name)
    });
    format!("{name}{place}{}", bridge.unwrap_or_default())
}

fn routes(page: &mut Page, network: &Network) {
    const MAIN: u32 = 254;
    page.gap();
    let Some(routes) = &network.routes else {
        return page.styled(Style::Bold, &format!("ROUTES  {UNREADABLE}"));
    };
    if routes.is_empty() {
        return page.styled(Style::Bold, "ROUTES  none");
    }
    let row = |one: &Route| {
        let to = if one.to.prefix == 0 { "default".to_owned() } else { subnet(&one.to) };
        let sent = one.way == "sent";
        let via = one.via.map_or_else(String::new, |via| via.to_string());
        let mut notes: Vec<String> = one.source.map(|source| format!("from {source}")).into_iter().collect();
        notes.extend((one.metric != 0).then(|| format!("metric {}", one.metric)));
        notes.extend((one.table != MAIN).then(|| format!("table {}", one.table)));
        [
            format!("  {to}"),
            if sent { via } else { one.way.clone() },
            one.link.clone().unwrap_or_default(),
            notes.join(", "),
        ]
    };
    let heading = ["ROUTES", "via", "link", ""].map(str::to_owned);
    page.table(&[vec![heading], routes.iter().map(row).collect()].concat());
}

const fn transport(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp | Protocol::Tcp6 => "tcp",
        Protocol::Udp | Protocol::Udp6 => "udp",
    }
}

fn listeners(page: &mut Page, snapshot: &Snapshot, network: &Network) {
    page.gap();
    let Some(listeners) = &network.listeners else {
        return page.styled(Style::Bold, &format!("LISTENS AT  {UNREADABLE}"));
    };
    let published = network.published.as_deref().unwrap_or_default();
    let mut rows = vec![["LISTENS AT", "who", "published at"].map(str::to_owned)];
    let mut told: Vec<&Published> = Vec::new();
    for one in listeners {
        let at: Vec<&Published> = published.iter().filter(|port| leads_to(port, one)).collect();
        told.extend(at.iter().copied());
        let address = if one.address.is_ipv6() { format!("[{}]", one.address) } else { one.address.to_string() };
        let who: Vec<String> = one.processes.iter().map(|pid| named(snapshot, *pid)).collect();
        let who = if who.is_empty() { "nobody that can be seen".to_owned() } else { who.join(", ") };
        rows.push([format!("  {address}:{}/{}", one.port, transport(one.protocol)), who, ats(&at)]);
    }
    // What is published of ports at which nothing listens, by what it leads to.
    let mut idle: BTreeMap<String, Vec<&Published>> = BTreeMap::new();
    for port in published.iter().filter(|port| !told.contains(port)) {
        let number =
            port.port.or(port.ports.map(|(first, _)| first)).map_or_else(|| "*".to_owned(), |port| port.to_string());
        let protocol = if port.protocol.is_empty() { String::new() } else { format!("/{}", port.protocol) };
        let address = if port.to.is_ipv6() { format!("[{}]", port.to) } else { port.to.to_string() };
        idle.entry(format!("  {address}:{number}{protocol}")).or_default().push(port);
    }
    rows.extend(idle.into_iter().map(|(to, ports)| [to, "nobody".to_owned(), ats(&ports)]));
    if rows.len() == 1 {
        page.styled(Style::Bold, "LISTENS AT  nothing");
    } else {
        page.table(&rows);
    }
    if network.published.is_none() {
        page.line(&format!("  what is published is {UNREADABLE}"));
    }
}

fn ats(ports: &[&Published]) -> String {
    ports.iter().map(|port| reached::at(port)).collect::<Vec<_>>().join(", ")
}

/// Whether what comes to a port of the host gets to a socket.
fn leads_to(port: &Published, listener: &Listener) -> bool {
    // A socket of IPv6 at every address takes what comes by IPv4 too.
    let is_at = if listener.address.is_unspecified() {
        listener.address.is_ipv6() || port.to.is_ipv4()
    } else {
        listener.address == port.to
    };
    let is_port = match (port.port, port.ports) {
        (Some(inside), _) => inside == listener.port,
        (None, Some((first, last))) => (first..=last).contains(&listener.port),
        (None, None) => true,
    };
    is_at && is_port && (port.protocol.is_empty() || port.protocol == transport(listener.protocol))
}

fn rules(page: &mut Page, heading: &str, rules: Option<&[Rule]>) {
    page.gap();
    let rules = match rules {
        None => return page.styled(Style::Bold, &format!("{heading}  {UNREADABLE}")),
        Some([]) => return page.styled(Style::Bold, &format!("{heading}  nothing about it")),
        Some(rules) => rules,
    };
    let row = |rule: &Rule| {
        let part = match rule.part {
            Part::Rule => format!("rule {}", rule.handle),
            Part::Element => "element".to_owned(),
            Part::Policy => "policy".to_owned(),
        };
        [format!("  {} {}", rule.table, rule.of), part, rule.text.clone(), rule.names.join(", ")]
    };
    let heading = [heading, "", "says", "names"].map(str::to_owned);
    page.table(&[vec![heading], rules.iter().map(row).collect()].concat());
}

/// The same as a document: places in the snapshot's lists are names.
pub(crate) fn document(snapshot: &Snapshot, container: &Container, network: &Network) -> Value {
    let reached = reached::of(snapshot, network);
    let interfaces = network.interfaces.as_ref().map(|all| {
        let all = all.iter().map(|one| {
            let other = one.other.as_ref().map(|other| other_document(snapshot, other));
            json!({
                "name": one.name, "index": one.index, "kind": one.kind, "state": one.state, "mtu": one.mtu,
                "hardware": one.hardware, "addresses": one.addresses, "other": other,
            })
        });
        all.collect::<Vec<_>>()
    });
    json!({
        "namespace": snapshot.namespaces.get(network.namespace).map(called), "is_hosts": network.is_hosts,
        "reached": {"by": reached.extent.name(), "ways": reached.ways},
        "with": sharers(snapshot, container, network), "interfaces": interfaces, "routes": network.routes,
        "listeners": network.listeners, "published": network.published, "rules": network.rules,
        "own_rules": network.own_rules, "legacy": network.legacy,
    })
}

fn other_document(snapshot: &Snapshot, other: &Other) -> Value {
    let place = match other.place {
        Place::Same => Some("same".to_owned()),
        Place::Host => Some("host".to_owned()),
        Place::In(index) => snapshot.namespaces.get(index).map(called),
        Place::Elsewhere => Some("elsewhere".to_owned()),
    };
    let bridge = other.bridge.as_ref().map(|bridge| {
        let with = reached::neighbours(snapshot, &bridge.with);
        json!({"name": bridge.name, "addresses": bridge.addresses, "with": with, "ports": bridge.ports})
    });
    json!({"index": other.index, "name": other.name, "place": place, "bridge": bridge})
}
