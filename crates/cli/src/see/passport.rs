//! One container or one process in full: its namespaces, its numbers on each level, its users, its limits as ladders, the
//! doors to the host, its mounts and ports.

use inspect::Snapshot;
use inspect::door::{self, Width};
use inspect::ladder::{self, Resource};
use inspect::relation::{self, Relation};
use inspect::snapshot::{
    Container, Engine, Facts, Group, Link, Mount, Namespace, Process, Reading, Reasons, Related, Spot, VERSION, place,
};
use procfs::Kind;
use serde_json::{Value, json};

use crate::see::list::{ORDER, called, engine, quantity, related};
use crate::see::network;
use crate::see::page::{Page, Style};

/// A container.
pub(crate) fn text(page: &mut Page, snapshot: &Snapshot, container: &Container) {
    let processes = container.processes.len();
    let plural = if processes == 1 { "" } else { "es" };
    let id = if container.title() == container.short_id() { "" } else { container.short_id() };
    let of = if container.engine == Engine::Sandbox { "sandbox" } else { engine(container.engine) };
    let levels = snapshot.first(container).map(levels).unwrap_or_default();
    page.styled(Style::Bold, &format!("{}  {of} {id}", container.title()));
    page.line(&format!("{levels}  ({processes} process{plural})"));
    if let Some(pod) = &container.pod {
        page.line(&format!("in the pod {pod}"));
    }
    sections(page, snapshot, container);
    let number = snapshot.containers.iter().position(|one| one == container);
    strays(page, snapshot, number);
}

/// A process, in a container or in none.
pub(crate) fn of_process(page: &mut Page, snapshot: &Snapshot, index: usize, process: &Process) {
    let inside = process.container.and_then(|container| snapshot.containers.get(container));
    let Some(one) = snapshot.alone(index) else { return };
    page.styled(Style::Bold, &format!("{}  pid {}", one.title(), process.pid));
    page.line(&levels(process));
    if let Some(facts) = process.facts.as_ref().filter(|facts| !facts.arguments.is_empty()) {
        page.line(&facts.arguments.join(" "));
    }
    if let Some(container) = inside.filter(|container| container.engine != Engine::Sandbox) {
        page.line(&format!("in {} ({})", container.title(), engine(container.engine)));
    }
    sections(page, snapshot, &one);
}

/// `pid 2503 on the host = 33 = 1 inside`.
pub(crate) fn levels(process: &Process) -> String {
    let inside = process.facts.as_ref().map_or(&[][..], |facts| facts.inside.as_slice());
    let numbers: Vec<String> = inside.iter().map(|pid| format!(" = {pid}")).collect();
    let end = if inside.is_empty() { "" } else { " inside" };
    format!("pid {} on the host{}{end}", process.pid, numbers.concat())
}

fn sections(page: &mut Page, snapshot: &Snapshot, container: &Container) {
    namespaces(page, snapshot, container);
    users(page, snapshot, container);
    limits(page, snapshot, container);
    doors(page, snapshot, container);
    mounts(page, container);
    network(page, snapshot, container);
}

fn own<'s>(snapshot: &'s Snapshot, container: &Container, kind: Kind) -> Option<&'s Namespace> {
    snapshot.namespace_of(snapshot.first(container)?, kind)
}

fn namespaces(page: &mut Page, snapshot: &Snapshot, container: &Container) {
    page.gap();
    let mut rows = vec![["NAMESPACES", "", "", ""].map(str::to_owned)];
    for kind in ORDER {
        let relation = relation::of(snapshot, container, kind);
        let namespace = own(snapshot, container, kind);
        let ino = namespace.map_or_else(String::new, |one| one.ino.to_string());
        let note = match relation {
            Relation::Shared => {
                let with: Vec<&str> = relation::with(snapshot, container, kind).map(Container::title).collect();
                format!("with {}", with.join(", "))
            }
            Relation::Own => namespace.map(|one| lineage(snapshot, one)).unwrap_or_default(),
            Relation::Host | Relation::Absent | Relation::Unreadable => String::new(),
        };
        let mark = page.mark(relation);
        rows.push([format!("  {}", kind.name()), format!("{mark} {}", word(relation)), ino, note]);
    }
    page.table(&rows);
}

pub(crate) const fn word(relation: Relation) -> &'static str {
    match relation {
        Relation::Own => "own",
        Relation::Shared => "shared",
        Relation::Host => "host",
        Relation::Absent => "none",
        Relation::Unreadable => "unreadable",
    }
}

/// Who owns a namespace, what it is in, and who made it.
pub(crate) fn lineage(snapshot: &Snapshot, namespace: &Namespace) -> String {
    let mut parts = Vec::new();
    if namespace.kind == Kind::User {
        parts.extend(namespace.creator.map(|uid| format!("made by uid {uid}")));
    } else if namespace.owner != Related::Unknown {
        parts.push(format!("of {}", related(snapshot, namespace.owner)));
    }
    if namespace.parent != Related::Unknown {
        parts.push(format!("in {}", related(snapshot, namespace.parent)));
    }
    parts.join(", ")
}

fn users(page: &mut Page, snapshot: &Snapshot, container: &Container) {
    let Some(facts) = snapshot.first(container).and_then(|first| first.facts.as_ref()) else { return };
    let uid = facts.uids.get(1).copied().unwrap_or(procfs::HostId(u32::MAX));
    let map = container.uid_map.as_ref().filter(|map| !map.is_whole());
    page.gap();
    page.styled(Style::Bold, "USERS");
    match map.map(|map| (map, map.to_inside(uid))) {
        Some((_, Some(inside))) => page.line(&format!("  uid {uid} on the host = {inside} inside")),
        Some((_, None)) => page.line(&format!("  uid {uid} on the host, which is nobody inside")),
        None => page.line(&format!("  uid {uid}, the same inside and outside")),
    }
    for range in map.map_or(&[][..], |map| map.ranges.as_slice()) {
        let last = |first: u32| first.saturating_add(range.count.saturating_sub(1));
        let (inside, host) = (range.inside.0, range.host.0);
        page.line(&format!("  {inside}-{} inside are {host}-{} on the host", last(inside), last(host)));
    }
}

fn limits(page: &mut Page, snapshot: &Snapshot, container: &Container) {
    let mut rows = vec![["LIMITS", "effective", "used", "set at"].map(str::to_owned)];
    let mut notes = Vec::new();
    for resource in Resource::ALL {
        let ladder = ladder::of(snapshot, &container.groups, resource);
        let note = match ladder.binds() {
            None => String::new(),
            Some(rung) if ladder.is_set_above() => format!("{}  ◀ an ancestor", rung.group.path.display()),
            Some(rung) => rung.group.path.display().to_string(),
        };
        let used = quantity(resource, ladder.usage());
        rows.push([format!("  {}", resource.name()), quantity(resource, ladder.effective()), used, note]);
        let limited =
            ladder.rungs.iter().filter(|rung| !matches!(rung.limited.limit, Reading::Unlimited | Reading::Absent));
        let limited: Vec<_> = limited.collect();
        if limited.len() > 1 {
            for rung in limited {
                let limit = format!("  {}", quantity(resource, rung.limited.limit));
                rows.push([String::new(), limit, String::new(), format!("  {}", rung.group.path.display())]);
            }
        }
        if let Some(left) = ladder.headroom() {
            notes.push(format!(
                "  {} left of {}, others below the same group counted",
                quantity(resource, Reading::At(left)),
                resource.name()
            ));
        }
    }
    for (name, weight, group) in weights(snapshot, container) {
        rows.push([format!("  {name}"), weight.to_string(), String::new(), group.path.display().to_string()]);
    }
    page.gap();
    page.table(&rows);
    for note in notes {
        page.styled(Style::Dim, &note);
    }
}

/// Its parts where CPUs are short and where disks are busy, against groups beside its own, as the kernel calls them.
fn weights<'s>(snapshot: &'s Snapshot, container: &Container) -> Vec<(&'static str, u64, &'s Group)> {
    let own = || container.groups.iter().filter_map(|group| snapshot.groups.get(*group));
    let of = |name: &'static str, on_v1: &'static str, weight: fn(&Reasons) -> Reading| {
        own().find_map(|group| match group.reasons.as_deref().map(weight) {
            Some(Reading::At(weight)) => Some((if group.hierarchy.is_empty() { name } else { on_v1 }, weight, group)),
            _ => None,
        })
    };
    let cpu = of("cpu weight", "cpu shares", |reasons| reasons.cpu_weight);
    cpu.into_iter().chain(of("io weight", "io weight", |reasons| reasons.disk_weight)).collect()
}

fn doors(page: &mut Page, snapshot: &Snapshot, container: &Container) {
    let doors = door::of(snapshot, container);
    page.gap();
    let counted = [Width::Host, Width::Wide, Width::Narrow].map(|width| {
        let count = doors.iter().filter(|door| door.width == width).count();
        if count == 0 { String::new() } else { format!("  {count} {}", width_word(width)) }
    });
    let counted = counted.concat();
    page.styled(Style::Bold, &format!("DOORS{}", if counted.is_empty() { "  none" } else { &counted }));
    for door in doors {
        let style = if door.width == Width::Host { Style::Alarm } else { Style::Plain };
        page.styled(style, &format!("  {:<6}  {}", width_word(door.width), door.what));
        page.styled(Style::Dim, &format!("          {}", door.evidence));
        page.styled(Style::Dim, &format!("          closed by: {}", door.closes));
    }
}

const fn width_word(width: Width) -> &'static str {
    match width {
        Width::Host => "host",
        Width::Wide => "wide",
        Width::Narrow => "narrow",
    }
}

fn mounts(page: &mut Page, container: &Container) {
    let mut rows = vec![["MOUNTS FROM THE HOST", "", ""].map(str::to_owned)];
    for mount in chosen(container) {
        let host = mount.host.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        let access = if mount.read_only { "ro" } else { "rw" };
        rows.push([format!("  {}", host.display()), format!("on {}", mount.inside.display()), access.to_owned()]);
    }
    if rows.len() > 1 {
        page.gap();
        page.table(&rows);
    }
}

/// What somebody chose to mount in a container; what is nobody's container has the host's mounts.
pub(crate) fn chosen(container: &Container) -> impl Iterator<Item = &Mount> {
    let mounts = container.mounts.as_deref().filter(|_| container.engine != Engine::Sandbox);
    mounts.unwrap_or_default().iter().filter(|mount| mount.is_chosen())
}

fn network(page: &mut Page, snapshot: &Snapshot, container: &Container) {
    if let Some(network) = snapshot.network_of(container) {
        return network::text(page, snapshot, container, network);
    }
    if relation::of(snapshot, container, Kind::Net) == Relation::Unreadable {
        page.gap();
        return page.styled(Style::Bold, "NETWORK  unreadable");
    }
    // A snapshot of the whole host has no more.
    let rows = [("LINKS", linked_by(snapshot, container)), ("LISTENS AT", listens_at(snapshot, container))];
    for (number, (heading, told)) in rows.into_iter().filter_map(|(heading, told)| Some((heading, told?))).enumerate() {
        if number == 0 {
            page.gap();
        }
        page.line(&format!("{heading:<10}  {told}"));
    }
}

/// The host's interfaces that lead into a container's own or shared network.
fn links<'s>(snapshot: &'s Snapshot, container: &'s Container) -> impl Iterator<Item = &'s Link> {
    let spot = snapshot.first(container).and_then(|first| first.namespaces.get(place(Kind::Net)));
    snapshot.links.iter().filter(move |link| link.namespace.map(Spot::In).as_ref() == spot)
}

/// The same in words: `veth96d89c0 of the host is its interface 2`.
pub(crate) fn linked_by(snapshot: &Snapshot, container: &Container) -> Option<String> {
    let told =
        links(snapshot, container).map(|link| format!("{} of the host is its interface {}", link.name, link.peer));
    let told: Vec<String> = told.collect();
    if told.is_empty() { None } else { Some(told.join(", ")) }
}

/// The ports of a container's own or shared network; the host's are the host's.
pub(crate) fn listens_at(snapshot: &Snapshot, container: &Container) -> Option<String> {
    let namespace = own(snapshot, container, Kind::Net).filter(|namespace| !snapshot.is_hosts(namespace))?;
    let ports = namespace.listening.as_deref().filter(|ports| !ports.is_empty())?;
    Some(ports_text(ports))
}

/// `80/tcp, 53/udp`: a port that both versions of IP have stands once.
pub(crate) fn ports_text(ports: &[procfs::Listening]) -> String {
    let name = |port: &procfs::Listening| {
        let transport = match port.protocol {
            procfs::Protocol::Tcp | procfs::Protocol::Tcp6 => "tcp",
            procfs::Protocol::Udp | procfs::Protocol::Udp6 => "udp",
        };
        format!("{}/{transport}", port.port)
    };
    let mut names: Vec<String> = ports.iter().map(name).collect();
    names.dedup();
    names.join(", ")
}

fn strays(page: &mut Page, snapshot: &Snapshot, container: Option<usize>) {
    let Some(container) = container else { return };
    let strays = snapshot.strays(container);
    if strays.is_empty() {
        return;
    }
    page.gap();
    page.styled(Style::Bold, "STRAYS  in its namespaces or in its group, and not in both");
    for process in strays.iter().filter_map(|index| snapshot.processes.get(*index)) {
        let name = process.facts.as_ref().map_or("", |facts| facts.name.as_str());
        let what = if process.container == Some(container) { "in its group alone" } else { "in its namespaces alone" };
        page.line(&format!("  {} {name}  {what}", process.pid));
    }
}

/// The same as a document.
pub(crate) fn document(snapshot: &Snapshot, container: &Container) -> Value {
    let namespaces = ORDER.map(|kind| {
        let with: Vec<&str> = relation::with(snapshot, container, kind).map(Container::title).collect();
        let namespace = own(snapshot, container, kind);
        json!({
            "kind": kind, "relation": word(relation::of(snapshot, container, kind)), "ino": namespace.map(|one| one.ino),
            "owner": namespace.and_then(|one| target(snapshot, one.owner)),
            "parent": namespace.and_then(|one| target(snapshot, one.parent)),
            "creator": namespace.and_then(|one| one.creator), "with": with,
        })
    });
    let limits = Resource::ALL.map(|resource| {
        let ladder = ladder::of(snapshot, &container.groups, resource);
        let rungs = ladder.rungs.iter().map(|rung| {
            json!({"path": rung.group.path, "limit": rung.limited.limit, "usage": rung.limited.usage, "hits": rung.limited.hits})
        });
        json!({
            "resource": resource.name(), "effective": ladder.effective(), "usage": ladder.usage(), "headroom": ladder.headroom(),
            "set_at": ladder.binds().map(|rung| &rung.group.path), "rungs": rungs.collect::<Vec<_>>(),
        })
    });
    let weights = weights(snapshot, container);
    let weights =
        weights.iter().map(|(name, weight, group)| json!({"name": name, "weight": weight, "path": group.path}));
    let doors: Vec<Value> = door::of(snapshot, container)
        .iter()
        .map(|door| {
            json!({"width": width_word(door.width), "what": door.what, "evidence": door.evidence, "closes": door.closes})
        })
        .collect();
    let processes: Vec<Value> = snapshot.processes_of(container).map(process_document).collect();
    let number = snapshot.containers.iter().position(|one| one == container);
    let strays = number.map(|number| snapshot.strays(number)).unwrap_or_default();
    let strays: Vec<_> = strays.iter().filter_map(|index| snapshot.processes.get(*index)).map(|one| one.pid).collect();
    let listening = own(snapshot, container, Kind::Net).and_then(|one| one.listening.clone());
    json!({
        "kind": if container.engine == Engine::Sandbox { "process" } else { "container" },
        "form": VERSION, "engine": container.engine, "id": container.id, "name": container.name, "pod": container.pod,
        "pid": snapshot.first(container).map(|first| first.pid), "namespaces": namespaces, "limits": limits,
        "weights": weights.collect::<Vec<_>>(), "doors": doors,
        "uid_map": container.uid_map, "mounts": container.mounts, "listening": listening,
        "links": links(snapshot, container).collect::<Vec<_>>(), "processes": processes,
        "strays": strays,
        "network": snapshot.network_of(container).map(|network| network::document(snapshot, container, network)),
    })
}

fn target(snapshot: &Snapshot, related: Related) -> Option<String> {
    match related {
        Related::To(index) => snapshot.namespaces.get(index).map(called),
        Related::Outside | Related::Unknown => None,
    }
}

fn process_document(process: &Process) -> Value {
    let facts: Option<&Facts> = process.facts.as_deref();
    json!({
        "pid": process.pid, "inside": facts.map(|facts| &facts.inside), "name": facts.map(|facts| &facts.name),
        "arguments": facts.map(|facts| &facts.arguments), "uids": facts.map(|facts| facts.uids),
        "unreadable": process.namespaces.contains(&Spot::Unreadable),
    })
}
