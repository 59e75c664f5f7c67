//! A namespace, or a cgroup with what is below it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use inspect::Snapshot;
use inspect::ladder::Resource;
use inspect::relation;
use inspect::snapshot::{Container, Engine, Group, Limited, Process, Reading, Spot, place};
use procfs::Kind;

use crate::see::list::{called, held, quantity};
use crate::see::page::{Page, Style};
use crate::see::passport::{lineage, ports_text};

/// How many processes are named.
const NAMED: usize = 12;

/// A namespace.
pub(crate) fn namespace(page: &mut Page, snapshot: &Snapshot, index: usize) {
    let Some(namespace) = snapshot.namespaces.get(index) else { return };
    let hosts = if snapshot.is_hosts(namespace) { "  the host's" } else { "" };
    page.styled(Style::Bold, &format!("{}{hosts}", called(namespace)));
    page.line(&format!("keeps apart {}", relation::isolates(namespace.kind)));
    let lineage = lineage(snapshot, namespace);
    if !lineage.is_empty() {
        page.line(&lineage);
    }
    for holder in &namespace.holders {
        page.line(&format!("kept by {}", held(snapshot, holder)));
    }
    let is_in = |process: &&Process| process.namespaces.get(place(namespace.kind)) == Some(&Spot::In(index));
    let containers = snapshot.containers.iter().filter(|one| snapshot.first(one).is_some_and(|first| is_in(&first)));
    let containers: Vec<&str> = containers.map(Container::title).collect();
    if !containers.is_empty() && !snapshot.is_hosts(namespace) {
        page.line(&format!("of {}", containers.join(", ")));
    }
    if let Some(ports) = namespace.listening.as_ref().filter(|ports| namespace.kind == Kind::Net && !ports.is_empty()) {
        page.line(&format!("listens at {}", ports_text(ports)));
    }
    page.gap();
    page.styled(Style::Bold, &format!("PROCESSES  {}", namespace.processes));
    let members: Vec<&Process> = snapshot.processes.iter().filter(is_in).collect();
    for process in members.iter().take(NAMED) {
        let name = process.facts.as_ref().map_or("", |facts| facts.name.as_str());
        page.line(&format!("  {:<8} {name}", process.pid));
    }
    if members.len() > NAMED {
        page.styled(Style::Dim, &format!("  and {} more", members.len() - NAMED));
    }
}

/// A group in every hierarchy that has it, and those below it.
pub(crate) fn group(page: &mut Page, snapshot: &Snapshot, index: usize) {
    let Some(top) = snapshot.groups.get(index).map(|group| group.path.as_path()) else { return };
    page.styled(Style::Bold, &format!("{}  cgroup", top.display()));
    let mut rows = vec![["GROUP", "PROCS", "MEMORY", "CPU", "PIDS", "KILLED", "HELD BACK"].map(str::to_owned)];
    for (path, place) in places(snapshot, top) {
        let depth = path.components().count().saturating_sub(top.components().count());
        let whole = || path.display().to_string();
        let name =
            path.file_name().filter(|_| depth > 0).map_or_else(whole, |name| name.to_string_lossy().into_owned());
        rows.push(row(&place, format!("{}{name}", "  ".repeat(depth))));
    }
    page.table(&rows);
    let is_below = |group: &&usize| snapshot.groups.get(**group).is_some_and(|group| group.path.starts_with(top));
    let containers = snapshot.containers.iter().filter(|one| one.groups.iter().any(|group| is_below(&group)));
    let containers: Vec<&str> = containers.filter(|one| one.engine != Engine::Sandbox).map(Container::title).collect();
    if !containers.is_empty() {
        page.line(&format!("has {}", containers.join(", ")));
    }
}

/// What is at one path, in all hierarchies.
#[derive(Default)]
struct Place<'s> {
    groups: Vec<&'s Group>,
    processes: usize,
}

/// The paths from `top` on, in their order.
fn places<'s>(snapshot: &'s Snapshot, top: &Path) -> BTreeMap<&'s Path, Place<'s>> {
    let mut places: BTreeMap<&Path, Place<'_>> = BTreeMap::new();
    for group in snapshot.groups.iter().filter(|group| group.path.starts_with(top)) {
        places.entry(&group.path).or_default().groups.push(group);
    }
    for facts in snapshot.processes.iter().filter_map(|process| process.facts.as_ref()) {
        let paths = facts.groups.iter().filter_map(|at| snapshot.groups.get(*at)).map(|group| group.path.as_path());
        // It is at the same path in several hierarchies.
        for path in paths.collect::<BTreeSet<&Path>>() {
            if let Some(place) = places.get_mut(path) {
                place.processes += 1;
            }
        }
    }
    places
}

fn row(place: &Place<'_>, name: String) -> [String; 7] {
    let limited = |resource, of: fn(&Group) -> Limited| {
        let all = place.groups.iter().map(|group| of(group));
        let limited = { all }.find(|limited| !limited.is_absent()).unwrap_or_default();
        match (limited.usage, limited.limit) {
            (Reading::Absent, limit) => quantity(resource, limit),
            (usage, limit) => format!("{} of {}", quantity(resource, usage), quantity(resource, limit)),
        }
    };
    let counted = |of: fn(&Group) -> Reading| {
        let numbers = place.groups.iter().map(|group| of(group));
        numbers.filter_map(|reading| if let Reading::At(number) = reading { Some(number) } else { None }).max()
    };
    let none = || "-".to_owned();
    [
        name,
        place.processes.to_string(),
        limited(Resource::Memory, |group| group.memory),
        limited(Resource::Cpu, |group| group.cpu),
        limited(Resource::Pids, |group| group.pids),
        counted(|group| group.oom_kills).map_or_else(none, |kills| kills.to_string()),
        counted(|group| group.throttled_usec).map_or_else(none, seconds),
    ]
}

fn seconds(usec: u64) -> String {
    format!("{}.{} s", usec / 1_000_000, usec / 100_000 % 10)
}
