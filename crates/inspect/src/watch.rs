//! Looks at one subject again and again, and at what is above and beside it: what [`crate::why`] compares. Of a crowded host
//! nothing else is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cgroup::level::{Detail, Tree, Trees};
use error::{Errno, Result};
use procfs::{HostPid, Proc};

use crate::find::Found;
use crate::limits::Groups;
use crate::snapshot::{Facts, Host, Process, Reading, Snapshot, Spot, VERSION, Work};
use crate::source::{Sightless, available, now, stalls};

/// Who is watched: a name, and what it is known by from one look to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its groups: the hierarchy and the path of each.
    pub groups: Vec<(String, PathBuf)>,
    /// The process, of one that is none by itself: its number and when it began.
    pub process: Option<(HostPid, u64)>,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every process of a container.
    Container,
    /// One process, in a group that it may not be alone in.
    Process,
    /// Every process in a group and below it.
    Group,
}

/// How many processes of one subject are looked at.
const MOST_PROCESSES: usize = 4096;
/// How many groups beside those of the way to the root are looked at, in each hierarchy.
const MOST_BESIDE: usize = 1024;
/// /proc's times have this length: sysconf(3) `_SC_CLK_TCK` is 100 for every program.
const TICK_USEC: u64 = 10_000;

impl Subject {
    /// The container, process or group that was found; `None` for what is none of them.
    #[must_use]
    pub fn of(snapshot: &Snapshot, found: Found) -> Option<Self> {
        let groups = |places: &[usize]| {
            let groups = places.iter().filter_map(|place| snapshot.groups.get(*place));
            groups.map(|group| (group.hierarchy.clone(), group.path.clone())).collect()
        };
        match found {
            Found::Container(index) => {
                let container = snapshot.containers.get(index)?;
                let name = container.title().to_owned();
                Some(Self { name, kind: Kind::Container, groups: groups(&container.groups), process: None })
            }
            Found::Process(index) | Found::Member(index) => {
                let process = snapshot.processes.get(index)?;
                let facts = process.facts.as_ref()?;
                let name = format!("{} {}", facts.name, process.pid);
                let process = Some((process.pid, facts.start_ticks));
                Some(Self { name, kind: Kind::Process, groups: groups(&facts.groups), process })
            }
            Found::Group(index) => {
                let path = &snapshot.groups.get(index)?.path;
                let same = snapshot.groups.iter().filter(|group| group.path == *path);
                let groups = same.map(|group| (group.hierarchy.clone(), group.path.clone())).collect();
                Some(Self { name: path.display().to_string(), kind: Kind::Group, groups, process: None })
            }
            Found::Namespace(_) => None,
        }
    }
}

/// A snapshot of the whole host without the processes that are not the subject's, which is what [`Watch::look`] gives.
#[must_use]
pub fn part(snapshot: &Snapshot, subject: &Subject) -> Snapshot {
    let deepest = subject.groups.iter().max_by_key(|(_, path)| path.components().count());
    let is_below = |group: &usize| {
        snapshot
            .groups
            .get(*group)
            .zip(deepest)
            .is_some_and(|(group, (hierarchy, path))| group.hierarchy == *hierarchy && group.path.starts_with(path))
    };
    let is_its = |process: &&Process| match (subject.process, process.facts.as_ref()) {
        (Some((pid, began)), Some(facts)) => process.pid == pid && facts.start_ticks == began,
        (None, Some(facts)) => facts.groups.iter().any(is_below),
        (_, None) => false,
    };
    Snapshot {
        version: snapshot.version,
        at_msec: snapshot.at_msec,
        up_usec: snapshot.up_usec,
        host: snapshot.host.clone(),
        processes: snapshot.processes.iter().filter(is_its).cloned().collect(),
        namespaces: Vec::new(),
        groups: snapshot.groups.clone(),
        containers: Vec::new(),
        links: Vec::new(),
        networks: Vec::new(),
        blind: snapshot.blind.clone(),
    }
}

/// The hierarchies and /proc, held open between looks.
#[derive(Debug)]
pub struct Watch {
    trees: Trees,
    proc: Proc,
}

impl Watch {
    /// Opens them.
    ///
    /// # Errors
    /// A kernel error where /proc or the list of mounts is not there.
    pub fn open() -> Result<Self> {
        Ok(Self { trees: Trees::open()?, proc: Proc::open()? })
    }

    /// Every group at a path, in whichever hierarchies there is one; `None` where there is none.
    #[must_use]
    pub fn group(&self, path: &Path) -> Option<Subject> {
        let has = |tree: &&Tree| tree.below_group(path).is_ok();
        let groups: Vec<_> = self.trees.iter().filter(has).map(|tree| (tree.key.clone(), path.to_owned())).collect();
        let name = path.display().to_string();
        (!groups.is_empty()).then_some(Subject { name, kind: Kind::Group, groups, process: None })
    }

    /// A snapshot of the subject: its groups, those above, below and beside them, and its processes. `host` is what a whole
    /// snapshot told of the machine.
    #[must_use]
    pub fn look(&self, host: &Host, subject: &Subject) -> Snapshot {
        let mut blind = Sightless::default();
        let (at_msec, up_usec) = now();
        let mut groups = Groups::default();
        let own: Vec<usize> = subject.groups.iter().map(|(hierarchy, path)| groups.add(hierarchy, path)).collect();
        let mut all: Vec<usize> = (0..groups.all.len()).collect();
        all.extend(self.below(&mut groups, subject));
        groups.read_each(&self.trees, &all, Detail::All, &mut blind);
        let beside = self.beside(&mut groups, &all, &mut blind);
        groups.read_each(&self.trees, &beside, Detail::Use, &mut blind);
        let processes = self.processes(subject, &own, &mut blind);
        Snapshot {
            version: VERSION,
            at_msec,
            up_usec,
            host: Host { stalls: stalls(&mut blind), available_bytes: available(), ..host.clone() },
            processes,
            namespaces: Vec::new(),
            groups: groups.all,
            containers: Vec::new(),
            links: Vec::new(),
            networks: Vec::new(),
            blind: blind.told(),
        }
        .legible()
    }

    /// The groups right below the subject's own: a victim may be in one of them.
    fn below(&self, groups: &mut Groups, subject: &Subject) -> Vec<usize> {
        let mut below = Vec::new();
        for (hierarchy, path) in subject.groups.iter().filter(|_| subject.kind != Kind::Process) {
            for name in self.children(hierarchy, path).unwrap_or_default().into_iter().take(MOST_BESIDE) {
                below.push(groups.add(hierarchy, &path.join(name)));
            }
        }
        below
    }

    /// The groups that have the same group above them as one of the way to the root: what they use is not there for it.
    fn beside(&self, groups: &mut Groups, known: &[usize], blind: &mut Sightless) -> Vec<usize> {
        let known: BTreeSet<usize> = known.iter().copied().collect();
        let above: BTreeSet<usize> = known.iter().filter_map(|at| groups.all.get(*at)?.parent).collect();
        let mut beside = Vec::new();
        for at in above {
            let Some((hierarchy, path)) = groups.all.get(at).map(|one| (one.hierarchy.clone(), one.path.clone()))
            else {
                continue;
            };
            if !self.trees.get(&hierarchy).is_some_and(|tree| tree.tells(Detail::Use)) {
                continue;
            }
            let names = self.children(&hierarchy, &path).unwrap_or_default();
            if names.len() > MOST_BESIDE {
                let what = format!("{} groups below {}", names.len() - MOST_BESIDE, path.display());
                blind.add("beside", &what, Errno::TOOBIG);
            }
            let places = names.into_iter().take(MOST_BESIDE).map(|name| groups.add(&hierarchy, &path.join(name)));
            beside.extend(places.filter(|place| !known.contains(place)));
        }
        beside
    }

    fn children(&self, hierarchy: &str, path: &Path) -> Option<Vec<String>> {
        self.trees.get(hierarchy)?.below_group(path).ok()
    }

    fn processes(&self, subject: &Subject, own: &[usize], blind: &mut Sightless) -> Vec<Process> {
        let pids: BTreeSet<HostPid> = match subject.process {
            Some((pid, _)) => BTreeSet::from([pid]),
            None => self.members(subject, blind),
        };
        let mut processes = Vec::new();
        for pid in pids {
            match self.process(pid, own) {
                Ok(process) => processes.push(process),
                Err(error) => blind.add_error("facts", &format!("what process {pid} is"), &error),
            }
        }
        if let Some((_, began)) = subject.process {
            processes.retain(|process| process.facts.as_ref().is_some_and(|facts| facts.start_ticks == began));
        }
        processes
    }

    /// The processes in the subject's groups: any hierarchy that is told apart has the same.
    fn members(&self, subject: &Subject, blind: &mut Sightless) -> BTreeSet<HostPid> {
        let deepest = subject.groups.iter().max_by_key(|(_, path)| path.components().count());
        let Some((hierarchy, path)) = deepest else { return BTreeSet::new() };
        let Some(tree) = self.trees.get(hierarchy) else { return BTreeSet::new() };
        match tree.processes(path, MOST_PROCESSES) {
            Ok(pids) => pids.into_iter().collect(),
            Err(Errno::NOENT | Errno::NODEV) => BTreeSet::new(),
            Err(errno) => {
                blind.add("members", &format!("the processes of group {}", path.display()), errno);
                BTreeSet::new()
            }
        }
    }

    fn process(&self, pid: HostPid, own: &[usize]) -> Result<Process> {
        let folder = self.proc.process(pid)?;
        let (stat, status) = (folder.stat()?, folder.status()?);
        let stays = matches!(stat.state, 'D' | 'T' | 't');
        let delayed = folder.run_delay().ok().flatten().map(|nanoseconds| nanoseconds / 1000);
        let used = stat.user_ticks.saturating_add(stat.system_ticks).saturating_mul(TICK_USEC);
        let work = Work {
            cpu_usec: Reading::At(used),
            delayed_usec: delayed.map_or(Reading::Absent, Reading::At),
            waits_in: if stays { folder.wait_channel().ok().flatten() } else { None },
        };
        let facts = Facts::of(stat, status, own.to_vec());
        let facts = Some(Box::new(Facts { work: Some(Box::new(work)), ..facts }));
        Ok(Process { pid, namespaces: [Spot::Absent; 8], facts, container: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_part_of_a_snapshot_that_is_a_containers_has_the_processes_of_its_group_and_of_those_below() {
        let mut snapshot = samples::empty();
        for (path, parent) in [("/", None), ("/it", Some(0)), ("/it/below", Some(1)), ("/item", Some(0))] {
            snapshot.groups.push(samples::group(path, parent));
        }
        for group in 0..4 {
            let facts = Facts { groups: vec![group], start_ticks: 7, ..samples::facts() };
            let pid = HostPid(i32::try_from(group).unwrap());
            let namespaces = [Spot::Absent; 8];
            snapshot.processes.push(Process { pid, namespaces, facts: Some(Box::new(facts)), container: None });
        }
        let pids =
            |subject: &Subject| part(&snapshot, subject).processes.iter().map(|one| one.pid.0).collect::<Vec<_>>();
        let of_group = Subject::of(&snapshot, Found::Group(1)).unwrap();
        assert_eq!((of_group.kind, pids(&of_group)), (Kind::Group, vec![1, 2]));
        let of_process = Subject::of(&snapshot, Found::Process(3)).unwrap();
        assert_eq!((of_process.kind, pids(&of_process)), (Kind::Process, vec![3]));
        // Another process that has got the same number.
        let other = Subject { process: Some((HostPid(3), 8)), ..of_process };
        assert!(pids(&other).is_empty());
    }
}
