//! Looks at one subject again and again, and at what is above and beside it: what [`crate::why`] compares. Of a crowded host
//! nothing else is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cgroup::level::{Detail, Tree, Trees};
use cgroup::pressure;
use error::{Errno, Result};
use procfs::{HostPid, Proc};

use crate::find::Found;
use crate::limits::{Groups, stall};
use crate::snapshot::{Facts, Host, Process, Reading, Snapshot, Spot, Stalls, VERSION, Work};
use crate::source::{Sightless, now};

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
    /// The container or process that was found; `None` for what is neither.
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
            Found::Namespace(_) | Found::Group(_) => None,
        }
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

/// How long the host's processes waited.
fn stalls(blind: &mut Sightless) -> Stalls {
    let mut of = |resource: &str| match procfs::host::read_pressure(resource) {
        Ok(text) => stall(pressure::parse(&text)),
        Err(error) => {
            // A kernel that does not tell is told of where it matters.
            if error.errno() != Some(Errno::OPNOTSUPP) {
                blind.add_error("pressure", "how long the host's processes waited", &error);
            }
            stall(None)
        }
    };
    Stalls { cpu: of("cpu"), memory: of("memory"), io: of("io") }
}

fn available() -> Reading {
    procfs::host::read_available_bytes().map_or(Reading::Unreadable, Reading::At)
}
