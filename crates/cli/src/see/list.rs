//! The list of containers, a line each; what lives without a process; what could not be read.

use inspect::Snapshot;
use inspect::ladder::{self, Ladder, Resource};
use inspect::relation::{Relation, Relations};
use inspect::snapshot::{Container, Engine, Facts, Holder, Namespace, Process, Reading, Related, Spot};
use procfs::Kind;

use crate::report;
use crate::see::page::{Page, Style};

/// The order in which namespaces are shown: those that decide the most first.
pub(crate) const ORDER: [Kind; 8] =
    [Kind::User, Kind::Pid, Kind::Mnt, Kind::Net, Kind::Ipc, Kind::Uts, Kind::Cgroup, Kind::Time];

/// What the eight marks and their names take.
const NAMED_MARKS: usize = 46;
/// The longest name that is shown whole.
const NAME: usize = 24;
/// The longest command that is shown whole.
const COMMAND: usize = 40;

/// What the table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Containers.
    Containers,
    /// Sandboxes that are nobody's containers too.
    All,
}

/// The containers that a table or a picture shows.
pub(crate) fn shown(snapshot: &Snapshot, rows: Rows) -> Vec<&Container> {
    let is_shown = |container: &&Container| rows == Rows::All || container.engine != Engine::Sandbox;
    snapshot.containers.iter().filter(is_shown).collect()
}

/// The table.
pub(crate) fn containers(page: &mut Page, snapshot: &Snapshot, rows: Rows) {
    let shown = shown(snapshot, rows);
    if shown.is_empty() {
        page.line("no container runs on this host that can be seen");
        if rows == Rows::Containers {
            page.styled(Style::Dim, "carboy see --all shows every process with namespaces of its own");
        }
        return;
    }
    let limits: Vec<String> = shown.iter().map(|container| limits(page.above(), snapshot, container)).collect();
    let names = shown.iter().map(|container| name(container).chars().count()).max().unwrap_or_default();
    let longest = limits.iter().map(|limits| limits.chars().count()).max().unwrap_or_default();
    let is_wide = page.fits(names.max(9) + 7 + 5 + 10 + NAMED_MARKS + longest.min(30) + 10);
    let heading = ["CONTAINER", "ENGINE", "PID", "PROCS", "NAMESPACES", "LIMITS THAT BIND"].map(str::to_owned);
    let mut rows = vec![heading];
    let relations = Relations::new(snapshot);
    for (container, limits) in shown.iter().zip(limits) {
        let marks = ORDER.map(|kind| {
            let mark = page.mark(relations.of(container, kind));
            if is_wide { format!("{}{mark} ", kind.name()) } else { mark.to_string() }
        });
        rows.push([
            name(container),
            engine(container.engine).to_owned(),
            snapshot.first(container).map_or_else(String::new, |first| first.pid.to_string()),
            container.processes.len().to_string(),
            marks.concat().trim_end().to_owned(),
            limits,
        ]);
    }
    page.table(&rows);
    let [own, shared, host] = [Relation::Own, Relation::Shared, Relation::Host].map(|relation| page.mark(relation));
    let above = page.above();
    let mut legend = format!("{own} own  {shared} shared with another container  {host} the host's");
    if !is_wide {
        legend.push_str(": ");
        legend.push_str(&ORDER.map(Kind::name).join(" "));
    }
    page.styled(Style::Dim, &legend);
    page.styled(Style::Dim, &format!("{above} set by an ancestor of the container's own group"));
}

/// What people call a container, cut where it is long.
pub(crate) fn name(container: &Container) -> String {
    let title = match &container.pod {
        Some(pod) => format!("{pod}/{}", container.title()),
        None => container.title().to_owned(),
    };
    if title.chars().count() <= NAME {
        return title;
    }
    let cut: String = title.chars().take(NAME - 2).collect();
    format!("{cut}..")
}

/// An engine's name.
pub(crate) const fn engine(engine: Engine) -> &'static str {
    match engine {
        Engine::Carboy => "carboy",
        Engine::Docker => "docker",
        Engine::Podman => "podman",
        Engine::Containerd => "containerd",
        Engine::Crio => "cri-o",
        Engine::Lxc => "lxc",
        Engine::Nspawn => "nspawn",
        Engine::Unknown => "unknown",
        Engine::Sandbox => "-",
    }
}

/// The limits that hold, and whose they are: `memory 32 MiB ▲/team, cpu 0.2`; `above` marks what an ancestor set.
pub(crate) fn limits(above: char, snapshot: &Snapshot, container: &Container) -> String {
    let told = Resource::ALL.into_iter().filter_map(|resource| {
        let ladder = ladder::of(snapshot, &container.groups, resource);
        let reading = match ladder.effective() {
            Reading::Unlimited | Reading::Absent => return None,
            reading => quantity(resource, reading),
        };
        Some(format!("{} {reading}{}", resource.name(), setter(above, &ladder)))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

fn setter(above: char, ladder: &Ladder<'_>) -> String {
    let rung = ladder.binds().filter(|_| ladder.is_set_above());
    rung.map_or_else(String::new, |rung| format!(" {above}{}", rung.group.path.display()))
}

/// A number of a resource in its unit, or in words why there is none.
pub(crate) fn quantity(resource: Resource, reading: Reading) -> String {
    match (resource, reading) {
        (_, Reading::Unlimited) => "none".to_owned(),
        (_, Reading::Absent) => "-".to_owned(),
        (_, Reading::Unreadable) => "unreadable".to_owned(),
        (Resource::Memory, Reading::At(bytes)) => report::size(bytes),
        (Resource::Pids, Reading::At(count)) => count.to_string(),
        (Resource::Cpu, Reading::At(millionths)) => cpus(millionths),
    }
}

/// `0.2`, from millionths.
fn cpus(millionths: u64) -> String {
    let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Namespaces in which a process is, kind by kind; the host's own come first.
pub(crate) fn namespaces(page: &mut Page, snapshot: &Snapshot) {
    let mut first: Vec<Option<&Process>> = vec![None; snapshot.namespaces.len()];
    for process in &snapshot.processes {
        for index in process.namespaces.iter().filter_map(|spot| if let Spot::In(at) = spot { Some(*at) } else { None })
        {
            if let Some(first) = first.get_mut(index) {
                first.get_or_insert(process);
            }
        }
    }
    let mut rows = vec![["NAMESPACE", "", "PROCS", "PID", "UID", "COMMAND"].map(str::to_owned)];
    for kind in ORDER {
        let of_kind = snapshot.namespaces.iter().zip(&first).filter(|(namespace, _)| namespace.kind == kind);
        let mut of_kind: Vec<_> = of_kind.filter_map(|(namespace, first)| Some((namespace, (*first)?))).collect();
        of_kind.sort_by_key(|(namespace, first)| (!snapshot.is_hosts(namespace), first.pid, namespace.ino));
        for (namespace, first) in of_kind {
            let facts = first.facts.as_deref();
            rows.push([
                called(namespace),
                if snapshot.is_hosts(namespace) { "the host's".to_owned() } else { String::new() },
                namespace.processes.to_string(),
                first.pid.to_string(),
                facts.map_or_else(String::new, |facts| facts.uids[0].to_string()),
                facts.map_or_else(String::new, command),
            ]);
        }
    }
    page.table(&rows);
}

/// The arguments of a process, or the name of its program where it has none, cut where they are long.
fn command(facts: &Facts) -> String {
    let whole = if facts.arguments.is_empty() { format!("[{}]", facts.name) } else { facts.arguments.join(" ") };
    if whole.chars().count() <= COMMAND { whole } else { whole.chars().take(COMMAND - 2).chain("..".chars()).collect() }
}

/// Namespaces in which no process is, and what keeps them.
pub(crate) fn without_process(page: &mut Page, snapshot: &Snapshot) {
    let empty: Vec<&Namespace> = snapshot.namespaces.iter().filter(|one| one.processes == 0).collect();
    if empty.is_empty() {
        return;
    }
    page.gap();
    let mut rows = vec![["WITHOUT A PROCESS", "OWNER", "KEPT BY"].map(str::to_owned)];
    for namespace in empty {
        let owner = related(snapshot, namespace.owner);
        let holders: Vec<String> = namespace.holders.iter().map(|holder| held(snapshot, holder)).collect();
        let kept = if holders.is_empty() { "not seen".to_owned() } else { holders.join(", ") };
        rows.push([called(namespace), owner, kept]);
    }
    page.table(&rows);
}

/// `net:[4026531840]`.
pub(crate) fn called(namespace: &Namespace) -> String {
    format!("{}:[{}]", namespace.kind.name(), namespace.ino)
}

/// A namespace that another points to.
pub(crate) fn related(snapshot: &Snapshot, related: Related) -> String {
    match related {
        Related::To(index) => snapshot.namespaces.get(index).map_or_else(|| "-".to_owned(), called),
        Related::Outside => "outside".to_owned(),
        Related::Unknown => "-".to_owned(),
    }
}

/// What keeps a namespace.
pub(crate) fn held(snapshot: &Snapshot, holder: &Holder) -> String {
    match holder {
        Holder::Mount { path, pid } => format!("a mount on {} (seen by pid {pid})", path.display()),
        Holder::Descriptor { pid, fd } => format!("descriptor {fd} of pid {pid}"),
        Holder::Namespace(index) => related(snapshot, Related::To(*index)),
        Holder::Unseen => "not seen".to_owned(),
    }
}

/// What could not be read stands at the end, always.
pub(crate) fn blind(page: &mut Page, snapshot: &Snapshot) {
    if snapshot.blind.is_empty() {
        return;
    }
    page.gap();
    page.styled(Style::Bold, "BLIND");
    for one in &snapshot.blind {
        page.line(&format!("  {}: {}", one.what, one.why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_resources_unit_and_the_four_states_their_words() {
        assert_eq!(quantity(Resource::Memory, Reading::At(32 << 20)), "32 MiB");
        assert_eq!(quantity(Resource::Cpu, Reading::At(200_000)), "0.2");
        assert_eq!(quantity(Resource::Cpu, Reading::At(2_000_000)), "2");
        assert_eq!(quantity(Resource::Cpu, Reading::At(0)), "0");
        assert_eq!(quantity(Resource::Pids, Reading::At(0)), "0");
        let words = [Reading::Unlimited, Reading::Absent, Reading::Unreadable].map(|one| quantity(Resource::Pids, one));
        assert_eq!(words, ["none", "-", "unreadable"]);
    }
}
