//! What running containers use, again and again: those that begin meanwhile are found, those that end are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime};

use cgroup::sample::{Depth, Hold, Meter, Roots, Sample};
use cgroup::{GroupPath, Hierarchies};
use error::Result;
use procfs::{HostPid, Interfaces, Proc, Traffic};

use crate::containers::{Engine, open_process};
use crate::record::{Live, LiveProcess};
use crate::shortage::{Baseline, Shortage};

/// One container at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its own group.
    pub group: String,
    /// What it uses.
    pub sample: Sample,
    /// What went through its network interfaces; `None` where it has the host's.
    pub traffic: Option<Traffic>,
    /// The other containers of this engine that use the same interfaces: what went through them is theirs too.
    pub shared_with: Vec<String>,
    /// What it had too little of until now; nothing without [`Depth::All`].
    pub shortage: Shortage,
    /// When it was read.
    pub at: Instant,
}

/// The meters of containers.
#[derive(Debug)]
pub struct Meters<'e> {
    engine: &'e Engine,
    /// Those that are asked for; all where nothing is.
    chosen: BTreeSet<String>,
    roots: Roots,
    hold: Hold,
    proc: Proc,
    /// The inode of the interfaces that carboy itself sees.
    host_interfaces: u64,
    known: BTreeMap<String, Known>,
    /// Of every container that was met, its name and the inode of its interfaces.
    interfaces: BTreeMap<String, (String, u64)>,
    /// When any container was given its name last, that they are known by.
    named: Option<SystemTime>,
}

#[derive(Debug)]
struct Known {
    live: Live,
    group: GroupPath,
    meter: Meter,
}

impl Engine {
    /// Meters for the containers that `words` mean, or for all that run.
    ///
    /// # Errors
    /// Refused where a word means no container; a kernel error.
    pub fn meters(&self, words: &[String], hold: Hold) -> Result<Meters<'_>> {
        let chosen = words.iter().map(|word| Ok(self.find(word)?.record.id)).collect::<Result<_>>()?;
        let roots = Roots::open(Hierarchies::read()?)?;
        let host_interfaces = Interfaces::of_this()?.inode();
        let proc = Proc::open()?;
        let (known, interfaces) = (BTreeMap::new(), BTreeMap::new());
        Ok(Meters { engine: self, chosen, roots, hold, proc, host_interfaces, known, interfaces, named: None })
    }
}

impl Engine {
    /// Gives what exists of a container the name that it has now: its monitor knows the one that it was made with.
    fn rename_live(&self, id: &str, live: &mut Live) {
        // A record is long, and few are called by another name.
        if self.store.name_owner(&live.name).as_deref() == Some(id) {
            return;
        }
        if let Ok(Some(record)) = self.store.record(id) {
            live.name = record.name;
        }
    }
}

impl Meters<'_> {
    /// Reads every container that runs now, in the order of their names, and shows each as it is read: of many containers no
    /// more than one is held in full.
    ///
    /// # Errors
    /// A kernel error where the containers cannot be listed. One that ends meanwhile is left out.
    pub fn read(&mut self, depth: Depth, mut show: impl FnMut(Reading)) -> Result<()> {
        let mut ids: BTreeSet<String> = self.engine.store.live_ids()?.into_iter().collect();
        let all = if depth == Depth::CpuTime { BTreeSet::new() } else { ids.clone() };
        ids.retain(|id| self.chosen.is_empty() || self.chosen.contains(id));
        self.known.retain(|id, _| ids.contains(id));
        let named = self.engine.store.named_at();
        if named != self.named {
            self.named = named;
            self.interfaces.clear();
            for (id, known) in &mut self.known {
                self.engine.rename_live(id, &mut known.live);
            }
        }
        for id in ids {
            self.meet(id);
        }
        self.meet_interfaces(&all);
        self.roots.look();
        let mut by_name: Vec<(&String, &Known)> = self.known.iter().collect();
        by_name.sort_by(|(_, one), (_, other)| one.live.name.cmp(&other.live.name));
        let mut gone = Vec::new();
        for (id, known) in by_name {
            match self.read_one(id, known, depth) {
                Some(reading) => show(reading),
                None => gone.push(id.clone()),
            }
        }
        self.known.retain(|id, _| !gone.contains(id));
        Ok(())
    }

    /// Makes the meter of a container, unless it has one or is just being made.
    fn meet(&mut self, id: String) {
        if self.known.contains_key(&id) {
            return;
        }
        let live = self.engine.store.live(&id).ok().flatten().filter(|live| live.process.is_some());
        let Some(mut live) = live else { return };
        self.engine.rename_live(&id, &mut live);
        let Ok(group) = GroupPath::parse("the recorded group", &live.group) else { return };
        let meter = Meter::new(group.clone(), self.hold);
        self.known.insert(id, Known { live, group, meter });
    }

    /// Notes whose interfaces are whose, once of each container.
    fn meet_interfaces(&mut self, ids: &BTreeSet<String>) {
        self.interfaces.retain(|id, _| ids.contains(id));
        for id in ids {
            if self.interfaces.contains_key(id) {
                continue;
            }
            let known = self.known.get(id).map(|known| known.live.clone());
            let Some(mut live) = known.or_else(|| self.engine.store.live(id).ok().flatten()) else { continue };
            let Some(process) = &live.process else { continue };
            let inode = process.interfaces.or_else(|| Some(self.proc.interfaces(HostPid(process.pid)).ok()?.inode()));
            if let Some(inode) = inode.filter(|inode| *inode != self.host_interfaces) {
                self.engine.rename_live(id, &mut live);
                self.interfaces.insert(id.clone(), (live.name, inode));
            }
        }
    }

    /// The names of the others that use a container's interfaces.
    fn shared_with(&self, id: &str) -> Vec<String> {
        let Some((_, own)) = self.interfaces.get(id) else { return Vec::new() };
        let others = self.interfaces.iter().filter(|(other, (_, inode))| *other != id && inode == own);
        let mut names: Vec<String> = others.map(|(_, (name, _))| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// `None` where the container is gone.
    fn read_one(&self, id: &str, Known { live, group, meter }: &Known, depth: Depth) -> Option<Reading> {
        let at = Instant::now();
        let sample = meter.sample(&self.roots, depth);
        // A user's container may have no groups at all.
        if sample.is_absent() && live.process.as_ref().is_none_or(|process| matches!(open_process(process), Ok(None))) {
            return None;
        }
        let first = live.process.as_ref().filter(|_| depth != Depth::CpuTime);
        let traffic = first.and_then(|process| self.traffic(process));
        let shortage = if depth == Depth::All {
            Shortage::of(&sample, live.baseline.as_ref().unwrap_or(&Baseline::default()), group)
        } else {
            Shortage::default()
        };
        let shared_with = traffic.map(|_| self.shared_with(id)).unwrap_or_default();
        let (id, name, group) = (id.to_owned(), live.name.clone(), live.group.clone());
        Some(Reading { id, name, group, sample, traffic, shared_with, shortage, at })
    }

    /// What went through the interfaces of a container whose network is not the host's.
    fn traffic(&self, process: &LiveProcess) -> Option<Traffic> {
        let pid = HostPid(process.pid);
        let own = self.proc.interfaces(pid).ok().filter(|own| own.inode() != self.host_interfaces)?;
        let began = || Some(self.proc.process(pid).ok()?.stat().ok()?.start_ticks);
        let is_it = process.interfaces == Some(own.inode()) || began() == Some(process.start_ticks);
        is_it.then(|| own.traffic().ok())?
    }
}
