//! What holds a subject back: held back (CPU), stalled, killed, refused, frozen, stopped, each with its cause, the level
//! whose limit was hit, and its victim. Pure: computed from two snapshots of [`crate::watch`].
//!
//! A counter says something only by how far it moved between two moments. A group that is another one at the same path, a
//! counter that went back, one that could not be read: nothing is known, which is not zero.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::ladder::{self, Ladder, Resource};
use crate::snapshot::{DiskLimit, Facts, Group, Process, Reading, Reasons, Snapshot, Stall, Stalls};
use crate::watch::{Kind, Subject};

/// What was found between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The time between them, in microseconds.
    pub elapsed_usec: u64,
    /// Whether the subject was there the second time.
    pub is_there: bool,
    /// How many of its processes were looked at.
    pub processes: usize,
    /// What it does with CPUs.
    pub cpu: Cpu,
    /// What it has of memory, in bytes.
    pub memory: Held,
    /// What it has of tasks.
    pub pids: Held,
    /// How long its processes waited for each resource.
    pub stalls: Waits,
    /// The same of the whole host.
    pub host: HostState,
    /// The limits of disks on the way to the root: no counter tells whether they were hit.
    pub disks: Vec<Disks>,
    /// Its processes that are stopped, or wait in the kernel and cannot be interrupted.
    pub still: Vec<Still>,
    /// What held it back, what is worst first in the order of [`Trouble`].
    pub findings: Vec<Finding>,
}

/// What a subject does with CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// CPU time that it used between the two, in microseconds.
    pub used_usec: Option<u64>,
    /// What holds of bandwidth, in millionths of a CPU.
    pub limit: Reading,
    /// How many CPUs it may run on.
    pub cpus: u64,
}

/// What a subject has of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// What it uses.
    pub usage: Reading,
    /// What holds.
    pub limit: Reading,
    /// The level that sets what holds.
    pub set_at: Option<PathBuf>,
    /// What is left before a level is full, others below it counted.
    pub headroom: Option<u64>,
    /// Kills, or refusals, since its group was made.
    pub since_start: Reading,
}

/// How long processes waited between the two, in microseconds in which at least one did; and the kernel's own averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Waits {
    /// For a CPU.
    pub cpu: Wait,
    /// For memory.
    pub memory: Wait,
    /// For disks.
    pub io: Wait,
}

/// How long processes waited for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Wait {
    /// At least one, in microseconds.
    pub some_usec: Option<u64>,
    /// All that had something to do, in microseconds.
    pub full_usec: Option<u64>,
    /// The kernel's average of the last ten seconds, in hundredths of a percent.
    pub avg10: Reading,
}

/// The machine meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// How many CPUs it has.
    pub cpus: u64,
    /// Its memory.
    pub memory_bytes: u64,
    /// What of it could be used at once.
    pub available_bytes: Reading,
    /// How long its processes waited.
    pub stalls: Waits,
}

/// The limits of disks of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disks {
    /// The level.
    pub path: PathBuf,
    /// Its limits.
    pub limits: Vec<DiskLimit>,
}

/// A process that does nothing, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Still {
    /// Its number on the host.
    pub pid: i32,
    /// The name of its program.
    pub name: String,
    /// `D`, `T` or `t`: proc_pid_stat(5).
    pub state: char,
    /// Whether it was so both times.
    pub is_lasting: bool,
    /// The kernel's function that it waits in, where that may be seen.
    pub waits_in: Option<String>,
}

/// What can happen to a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Its processes stand still: a freezer.
    Frozen,
    /// Processes were killed because memory was short.
    Killed,
    /// Forks failed because there were too many tasks.
    Refused,
    /// A quota of CPU time ran out.
    HeldBack,
    /// It waited for a CPU although no quota had run out.
    Crowded,
    /// Its processes waited for memory.
    Reclaiming,
    /// Its processes waited for disks.
    Io,
    /// Processes were stopped by a signal or a debugger.
    Stopped,
    /// Processes waited all the time in the kernel and could not be interrupted.
    Stuck,
}

/// One thing that happened, to whom, and because of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub trouble: Trouble,
    /// How long, in microseconds of the time between the two; `None` where it has no length or that is not known.
    pub usec: Option<u64>,
    /// How often between the two.
    pub count: Option<u64>,
    /// Whose limits led to it, the most likely first; empty where nothing tells.
    pub causes: Vec<Cause>,
    /// To whom it happened: groups.
    pub victims: Vec<PathBuf>,
    /// Who else uses what was short, the most first.
    pub rivals: Vec<Rival>,
}

/// What led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The level; `None` for the host itself.
    pub level: Option<PathBuf>,
    /// Its limit: millionths of a CPU, bytes, tasks.
    pub limit: Reading,
    /// Whether it is the bound beyond which processes are slowed down, not the limit.
    pub is_brake: bool,
    /// How often it was hit between the two.
    pub hits: Option<u64>,
    /// Of so many periods.
    pub periods: Option<u64>,
    /// How often it was hit since the level was made.
    pub hits_since_start: Reading,
    /// The most that the level ever used.
    pub peak: Reading,
    /// How it is known.
    pub known: Evidence,
}

/// How a cause is known, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Its counter moved between the two.
    Moved,
    /// Its counter has moved since the group was made.
    Counted,
    /// It is full, or was.
    Full,
    /// It has the smallest limit on the way to the root.
    Binds,
    /// It has a limit, and no counter tells more.
    Limited,
}

/// Who else uses what was short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rival {
    /// A group.
    pub path: PathBuf,
    /// What it used between the two (microseconds of CPU time) or uses now (bytes, tasks).
    pub usage: u64,
}

/// Waiting for a CPU is told from this part of the time on, in hundredths of a percent.
const CROWDED: u64 = 500;
/// Waiting for memory or disks is.
const STALLED: u64 = 200;
/// Being held back by a quota is.
const HELD_BACK: u64 = 50;
/// A level counts as full where so many bytes are left: charges are made in batches of pages.
const NEARLY_BYTES: u64 = 256 << 10;
/// Who uses less than this part of the time or of the limit is no rival, in hundredths of a percent.
const RIVALS_SHARE: u64 = 100;
/// How many others are named.
const RIVALS: usize = 3;

/// What held a subject back between two snapshots of it.
#[must_use]
pub fn why(before: &Snapshot, after: &Snapshot, subject: &Subject) -> Why {
    Pair::new(before, after, subject).why()
}

/// A part of a time in hundredths of a percent; all of it at most.
#[must_use]
pub fn share(part_usec: u64, elapsed_usec: u64) -> u64 {
    part_usec.saturating_mul(10_000).checked_div(elapsed_usec).unwrap_or(0).min(10_000)
}

/// A number of a group.
type Number = fn(&Group) -> Reading;

/// The two snapshots.
struct Pair<'s> {
    before: &'s Snapshot,
    after: &'s Snapshot,
    subject: &'s Subject,
    /// The subject's groups in the second.
    own: Vec<usize>,
    elapsed_usec: u64,
}

impl<'s> Pair<'s> {
    fn new(before: &'s Snapshot, after: &'s Snapshot, subject: &'s Subject) -> Self {
        let is_own = |group: &Group| {
            subject.groups.iter().any(|(hierarchy, path)| *hierarchy == group.hierarchy && *path == group.path)
        };
        let own = after.groups.iter().enumerate().filter(|(_, group)| is_own(group)).map(|(at, _)| at).collect();
        let by_uptime = after.up_usec.checked_sub(before.up_usec).filter(|_| before.up_usec > 0);
        let by_clock = || after.at_msec.saturating_sub(before.at_msec).saturating_mul(1000);
        Self { before, after, subject, own, elapsed_usec: by_uptime.unwrap_or_else(by_clock) }
    }

    fn why(&self) -> Why {
        let mut findings: Vec<Finding> = [
            self.frozen(),
            self.killed(),
            self.refused(),
            self.held_back(),
            self.crowded(),
            self.reclaiming(),
            self.io(),
        ]
        .into_iter()
        .flatten()
        .collect();
        let still = self.still();
        let is_frozen = findings.iter().any(|finding| finding.trouble == Trouble::Frozen);
        findings.extend(self.stopped(&still));
        // What a freezer holds waits in the kernel too.
        findings.extend(self.stuck(&still).filter(|_| !is_frozen));
        Why {
            elapsed_usec: self.elapsed_usec,
            is_there: self.is_there(),
            processes: self.after.processes.len(),
            cpu: Cpu { used_usec: self.cpu_used(), limit: self.ladder(Resource::Cpu).effective(), cpus: self.cpus() },
            memory: self.held(Resource::Memory, Counter::Kills),
            pids: self.held(Resource::Pids, Counter::Forks),
            stalls: self.waits(),
            host: HostState {
                cpus: self.after.host.cpus,
                memory_bytes: self.after.host.memory_bytes,
                available_bytes: self.after.host.available_bytes,
                stalls: waits(&self.before.host.stalls, &self.after.host.stalls),
            },
            disks: self.disks(),
            still,
            findings,
        }
    }

    /// A group that is gone has no folder; of a process nothing was read.
    fn is_there(&self) -> bool {
        match self.subject.kind {
            Kind::Process => !self.after.processes.is_empty(),
            Kind::Container | Kind::Group => {
                !self.after.processes.is_empty() || self.own().any(|group| group.reasons.is_some())
            }
        }
    }

    fn own(&self) -> impl Iterator<Item = &'s Group> + '_ {
        self.own.iter().filter_map(|at| self.after.groups.get(*at))
    }

    /// The subject's own groups and those right below them, of which some number is told.
    fn own_and_below(&self, number: impl Fn(&Group) -> Reading + 's) -> impl Iterator<Item = &'s Group> + '_ {
        let is_here = |group: &&Group| {
            let above = group.parent.is_some_and(|parent| self.own.contains(&parent));
            above && self.subject.kind != Kind::Process
        };
        let below = self.after.groups.iter().filter(is_here);
        self.own().chain(below).filter(move |group| number(group) != Reading::Absent)
    }

    /// The same group in the first snapshot.
    fn former(&self, group: &Group) -> Option<&'s Group> {
        let inode = |group: &Group| group.reasons.as_ref().and_then(|reasons| reasons.inode);
        self.before.groups.iter().find(|former| {
            former.path == group.path && former.hierarchy == group.hierarchy && inode(former) == inode(group)
        })
    }

    /// How far a counter of a group moved; `None` where that is not known.
    fn moved(&self, group: &Group, number: Number) -> Option<u64> {
        let former = number(self.former(group)?);
        difference(former, number(group))
    }

    fn ladder(&self, resource: Resource) -> Ladder<'s> {
        ladder::of(self.after, &self.own, resource)
    }

    /// The subject's processes in the first snapshot and in the second.
    fn processes(&self) -> impl Iterator<Item = (Option<&'s Facts>, &'s Process, &'s Facts)> + '_ {
        let former = |process: &Process, facts: &Facts| {
            let all = self.before.processes.iter().filter(|former| former.pid == process.pid);
            { all }.filter_map(|former| former.facts.as_deref()).find(|former| former.start_ticks == facts.start_ticks)
        };
        let read = self.after.processes.iter().filter_map(|process| Some((process, process.facts.as_deref()?)));
        read.map(move |(process, facts)| (former(process, facts), process, facts))
    }

    /// How far a number of the process moved, of a subject that is one.
    fn process_moved(&self, number: fn(&crate::snapshot::Work) -> Reading) -> Option<u64> {
        let (former, _, facts) = self.processes().next().filter(|_| self.subject.kind == Kind::Process)?;
        let of = |facts: &Facts| facts.work.as_deref().map_or(Reading::Absent, number);
        difference(of(former?), of(facts))
    }

    fn cpu_used(&self) -> Option<u64> {
        if self.subject.kind == Kind::Process {
            return self.process_moved(|work| work.cpu_usec);
        }
        let used: Number = |group| reasons(group, |found| found.cpu_usage_usec);
        self.own().find_map(|group| self.moved(group, used))
    }

    fn cpus(&self) -> u64 {
        let of = |group: &Group| at(reasons(group, |found| found.cpus)).filter(|cpus| *cpus > 0);
        self.own().filter_map(of).min().map_or(self.after.host.cpus, |cpus| cpus.min(self.after.host.cpus))
    }

    fn waits(&self) -> Waits {
        let all_at_root = self.own().all(|group| group.parent.is_none());
        // What is in no v2 group of its own would be told the whole host's.
        let is_own = |group: &&Group| group.parent.is_some() || all_at_root;
        let told = |group: &&Group| stalls(group).is_some_and(|stalls| stalls != Stalls::default());
        let Some(group) = self.own().filter(is_own).find(told) else { return Waits::default() };
        let former = self.former(group).and_then(stalls).unwrap_or_default();
        waits(&former, &stalls(group).unwrap_or_default())
    }

    fn held(&self, resource: Resource, counter: Counter) -> Held {
        let ladder = self.ladder(resource);
        Held {
            usage: ladder.usage(),
            limit: ladder.effective(),
            set_at: ladder.binds().map(|rung| rung.group.path.clone()),
            headroom: ladder.headroom(),
            since_start: self.since_start(counter),
        }
    }

    /// Whether what a group counted is not in another one's number too.
    fn is_apart(&self, group: &Group, counter: Counter) -> bool {
        let is_whole = counter == Counter::Kills && group.hierarchy.is_empty();
        !is_whole || self.own().any(|own| own.path == group.path)
    }

    /// What the subject's groups have counted.
    fn since_start(&self, counter: Counter) -> Reading {
        let all = self.own_and_below(|group| counter.of(group)).filter(|group| self.is_apart(group, counter));
        let readings = all.map(|group| counter.of(group)).reduce(|sum, next| match (sum, next) {
            (Reading::At(sum), Reading::At(next)) => Reading::At(sum.saturating_add(next)),
            (Reading::At(_), other) => other,
            (sum, _) => sum,
        });
        readings.unwrap_or_default()
    }

    /// The groups in which a counter moved, and how far in all.
    fn victims(&self, counter: Counter) -> (u64, Vec<PathBuf>) {
        let by = |group: &Group| difference(counter.of(self.former(group)?), counter.of(group)).filter(|by| *by > 0);
        let all = self.own_and_below(|group| counter.of(group));
        let moved = all.filter_map(|group| Some((group, by(group)?)));
        let moved: Vec<(&Group, u64)> = moved.collect();
        let counted = moved.iter().filter(|(group, _)| self.is_apart(group, counter));
        let count = counted.map(|(_, by)| *by).fold(0_u64, u64::saturating_add);
        // The deepest is where it happened.
        let is_deepest =
            |path: &Path| !moved.iter().any(|(other, _)| other.path != path && other.path.starts_with(path));
        let deepest = moved.iter().map(|(group, _)| &group.path).filter(|path| is_deepest(path));
        (count, deepest.cloned().collect())
    }

    fn own_path(&self, resource: Resource) -> Vec<PathBuf> {
        self.ladder(resource).rungs.first().map(|rung| rung.group.path.clone()).into_iter().collect()
    }

    fn frozen(&self) -> Option<Finding> {
        let of = |group: &Group| group.reasons.as_ref().map(|reasons| reasons.freezer);
        let frozen = self.own().find(|group| of(group).is_some_and(|one| one.is_frozen == Some(true)))?;
        let levels = std::iter::successors(Some(frozen), |group| self.after.groups.get(group.parent?));
        let told =
            levels.take(self.after.groups.len()).find(|group| of(group).is_some_and(|one| one.is_told == Some(true)));
        let cause = told.map(|group| Cause::of(group, Reading::Absent, Evidence::Moved));
        Some(Finding {
            causes: cause.into_iter().collect(),
            victims: vec![frozen.path.clone()],
            ..Finding::new(Trouble::Frozen)
        })
    }

    fn killed(&self) -> Option<Finding> {
        let (count, victims) = self.victims(Counter::Kills);
        let before = at(self.since_start(Counter::Kills)).unwrap_or(0);
        if count == 0 && before == 0 {
            return None;
        }
        let causes = self.short_of_memory(if count > 0 { When::Lately } else { When::Ever });
        let rivals = self.rivals(causes.first(), |_, group| at(group.memory.usage));
        let victims = if victims.is_empty() { self.own_path(Resource::Memory) } else { victims };
        Some(Finding { count: Some(count), causes, victims, rivals, ..Finding::new(Trouble::Killed) })
    }

    /// The level whose memory limit was reached: by its counters, else the one that is or was full, else the smallest.
    fn short_of_memory(&self, when: When) -> Vec<Cause> {
        let ladder = self.ladder(Resource::Memory);
        let reached: Number = |group| reasons(group, |found| found.memory_reached);
        let oom: Number = |group| reasons(group, |found| found.memory_oom);
        let mut causes = Vec::new();
        for rung in &ladder.rungs {
            let Some(limit) = at(rung.limited.limit) else { continue };
            let group = rung.group;
            let hits = self.moved(group, reached);
            let has = |number: Number| at(number(group)).is_some_and(|number| number > 0);
            let has_moved = |number: Number| self.moved(group, number).is_some_and(|by| by > 0);
            let most = at(reasons(group, |found| found.memory_peak)).max(at(group.memory.usage));
            let is_full = most.is_some_and(|most| most.saturating_add(NEARLY_BYTES) >= limit);
            let known = if when == When::Lately && (has_moved(oom) || has_moved(reached)) {
                Evidence::Moved
            } else if has(oom) || has(reached) {
                Evidence::Counted
            } else if is_full {
                Evidence::Full
            } else {
                Evidence::Binds
            };
            let peak = reasons(group, |found| found.memory_peak);
            let hits_since_start = reached(group);
            causes.push(Cause { hits, hits_since_start, peak, ..Cause::of(group, rung.limited.limit, known) });
        }
        likeliest(causes)
    }

    fn refused(&self) -> Option<Finding> {
        let (by_victims, victims) = self.victims(Counter::Forks);
        let ladder = self.ladder(Resource::Pids);
        let at_levels = ladder.rungs.iter().filter_map(|rung| self.moved(rung.group, |group| group.pids.hits));
        let count = by_victims.max(at_levels.fold(0, u64::saturating_add));
        let since_start = at(self.since_start(Counter::Forks)).unwrap_or(0);
        let is_full = ladder.headroom() == Some(0);
        if count == 0 && since_start == 0 && !is_full {
            return None;
        }
        let mut causes = Vec::new();
        for rung in &ladder.rungs {
            let Some(limit) = at(rung.limited.limit) else { continue };
            let group = rung.group;
            let hits = self.moved(group, |group| group.pids.hits);
            let peak = reasons(group, |found| found.pids_peak);
            let was_full = at(peak).max(at(rung.limited.usage)).is_some_and(|most| most >= limit);
            let known = match (hits, at(group.pids.hits)) {
                (Some(1..), _) => Evidence::Moved,
                (_, Some(1..)) => Evidence::Counted,
                _ if was_full => Evidence::Full,
                _ => Evidence::Binds,
            };
            let hits_since_start = group.pids.hits;
            causes.push(Cause { hits, hits_since_start, peak, ..Cause::of(group, rung.limited.limit, known) });
        }
        let causes = likeliest(causes);
        let rivals = self.rivals(causes.first(), |_, group| at(group.pids.usage));
        let victims = if victims.is_empty() { self.own_path(Resource::Pids) } else { victims };
        Some(Finding { count: Some(count), causes, victims, rivals, ..Finding::new(Trouble::Refused) })
    }

    /// The levels whose quota ran out meanwhile.
    fn quotas_hit(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        for rung in self.ladder(Resource::Cpu).rungs {
            let hits = self.moved(rung.group, |group| group.cpu.hits).filter(|hits| *hits > 0);
            let periods = self.moved(rung.group, |group| reasons(group, |found| found.cpu_periods));
            let hits_since_start = rung.group.cpu.hits;
            let cause = Cause::of(rung.group, rung.limited.limit, Evidence::Moved);
            causes.extend(hits.map(|_| Cause { hits, periods, hits_since_start, ..cause }));
        }
        causes.sort_by_key(|cause| (Reverse(cause.hits), number_of(cause.limit)));
        causes
    }

    /// How long the subject was held back; `None` where nothing tells.
    fn held_back_usec(&self, causes: &[Cause]) -> Option<u64> {
        if let Some(waited) = self.process_moved(|work| work.delayed_usec).filter(|waited| *waited > 0) {
            return Some(waited.min(self.elapsed_usec));
        }
        let local: Number = |group| reasons(group, |found| found.held_back_usec);
        let local = self.own_and_below(local).filter_map(|group| self.moved(group, local)).reduce(u64::saturating_add);
        let own = self.ladder(Resource::Cpu).rungs.first().map(|rung| rung.group);
        let own = own.filter(|own| causes.iter().any(|cause| cause.level.as_ref() == Some(&own.path)));
        let own = || own.and_then(|own| self.moved(own, |group| group.throttled_usec));
        // Pressure has those too that are far below, but tells less where a process moves between CPUs.
        let stalled = self.waits().cpu.some_usec;
        match local.filter(|usec| *usec > 0).or_else(own) {
            // All CPUs together may have lost more time than went by.
            Some(usec) if usec > self.elapsed_usec => Some(stalled.unwrap_or(usec).min(self.elapsed_usec)),
            Some(usec) => Some(usec),
            None => stalled.map(|usec| usec.min(self.elapsed_usec)).or(local),
        }
    }

    fn held_back(&self) -> Option<Finding> {
        let causes = self.quotas_hit();
        let first = causes.first()?;
        let usec = self.held_back_usec(&causes);
        if usec.is_some_and(|usec| share(usec, self.elapsed_usec) < HELD_BACK) {
            return None;
        }
        let rivals = self.rivals(Some(first), Self::cpu_of);
        let victims = self.own_path(Resource::Cpu);
        Some(Finding { usec, causes, victims, rivals, ..Finding::new(Trouble::HeldBack) })
    }

    fn cpu_of(&self, group: &Group) -> Option<u64> {
        let used = self.moved(group, |group| reasons(group, |found| found.cpu_usage_usec))?;
        (share(used, self.elapsed_usec) >= RIVALS_SHARE).then_some(used)
    }

    /// It waited for a CPU and no quota was in the way: there are more that want to run than CPUs.
    fn crowded(&self) -> Option<Finding> {
        let waited = self.process_moved(|work| work.delayed_usec).or(self.waits().cpu.some_usec)?;
        let held_back = if self.quotas_hit().is_empty() { 0 } else { waited };
        let usec = waited.saturating_sub(held_back).min(self.elapsed_usec);
        if share(usec, self.elapsed_usec) < CROWDED {
            return None;
        }
        let rivals = self.rivals(None, Self::cpu_of);
        let victims = self.own_path(Resource::Cpu);
        let limit = Reading::At(self.cpus().saturating_mul(1_000_000));
        let causes = vec![Cause::of_host(limit)];
        Some(Finding { usec: Some(usec), causes, victims, rivals, ..Finding::new(Trouble::Crowded) })
    }

    fn reclaiming(&self) -> Option<Finding> {
        let usec = self.waits().memory.some_usec.map(|usec| usec.min(self.elapsed_usec));
        let is_long = usec.is_some_and(|usec| share(usec, self.elapsed_usec) >= STALLED);
        let mut causes = self.brakes();
        let reached = self.short_of_memory(When::Lately).into_iter().filter(|cause| cause.known == Evidence::Moved);
        causes.extend(reached);
        if causes.is_empty() && !is_long {
            return None;
        }
        if causes.is_empty() {
            causes.push(Cause::of_host(Reading::At(self.after.host.memory_bytes)));
        }
        let rivals =
            self.rivals(causes.first().filter(|cause| cause.level.is_some()), |_, group| at(group.memory.usage));
        let victims = self.own_path(Resource::Memory);
        Some(Finding { usec, causes, victims, rivals, ..Finding::new(Trouble::Reclaiming) })
    }

    /// The levels that slowed processes down because they use much memory.
    fn brakes(&self) -> Vec<Cause> {
        let brake = |group: &Group| group.reasons.as_ref().map(|reasons| reasons.memory_brake).unwrap_or_default();
        let hits: Number = |group| reasons(group, |found| found.memory_brake.hits);
        let moved = self.ladder(Resource::Memory).rungs.into_iter().filter_map(|rung| {
            let by = self.moved(rung.group, hits).filter(|by| *by > 0)?;
            let cause = Cause::of(rung.group, brake(rung.group).limit, Evidence::Moved);
            let peak = reasons(rung.group, |found| found.memory_peak);
            Some(Cause { is_brake: true, hits: Some(by), hits_since_start: hits(rung.group), peak, ..cause })
        });
        moved.collect()
    }

    fn disks(&self) -> Vec<Disks> {
        let mut disks = Vec::new();
        for own in &self.own {
            let levels =
                std::iter::successors(self.after.groups.get(*own), |group| self.after.groups.get(group.parent?));
            for group in levels.take(self.after.groups.len()) {
                let limits = group.reasons.as_ref().map(|reasons| reasons.disks.clone()).unwrap_or_default();
                if !limits.is_empty() {
                    disks.push(Disks { path: group.path.clone(), limits });
                }
            }
        }
        disks
    }

    fn io(&self) -> Option<Finding> {
        let usec = self.waits().io.some_usec.filter(|usec| share(*usec, self.elapsed_usec) >= STALLED)?;
        let level = |disks: &Disks| Cause { level: Some(disks.path.clone()), ..Cause::of_host(Reading::Absent) };
        let mut causes: Vec<Cause> = self.disks().iter().map(level).collect();
        if causes.is_empty() {
            causes.push(Cause::of_host(Reading::Absent));
        }
        let victims = self.own().find(|group| stalls(group).is_some_and(|one| one != Stalls::default()));
        let victims = victims.map(|group| group.path.clone()).into_iter().collect();
        let usec = Some(usec.min(self.elapsed_usec));
        Some(Finding { usec, causes, victims, ..Finding::new(Trouble::Io) })
    }

    fn still(&self) -> Vec<Still> {
        let still = |(former, process, facts): (Option<&Facts>, &Process, &Facts)| {
            let stays = matches!(facts.state, 'D' | 'T' | 't');
            stays.then(|| Still {
                pid: process.pid.0,
                name: facts.name.clone(),
                state: facts.state,
                is_lasting: former.is_some_and(|former| former.state == facts.state),
                waits_in: facts.work.as_ref().and_then(|work| work.waits_in.clone()),
            })
        };
        self.processes().filter_map(still).collect()
    }

    fn stopped(&self, still: &[Still]) -> Option<Finding> {
        let count = still.iter().filter(|one| matches!(one.state, 'T' | 't')).count();
        let finding = || Finding {
            count: u64::try_from(count).ok(),
            victims: self.own_path(Resource::Cpu),
            ..Finding::new(Trouble::Stopped)
        };
        (count > 0).then(finding)
    }

    fn stuck(&self, still: &[Still]) -> Option<Finding> {
        let count = still.iter().filter(|one| one.state == 'D' && one.is_lasting).count();
        let finding = || Finding {
            count: u64::try_from(count).ok(),
            victims: self.own_path(Resource::Cpu),
            ..Finding::new(Trouble::Stuck)
        };
        (count > 0).then(finding)
    }

    /// Who else below the cause's level uses the resource; below any level on the way to the root for the host's. Where the
    /// level is the subject's own, nobody else.
    fn rivals(&self, cause: Option<&Cause>, usage: impl Fn(&Self, &Group) -> Option<u64>) -> Vec<Rival> {
        let level = cause.and_then(|cause| cause.level.as_ref());
        let is_on_the_way = |path: &Path| self.own().any(|own| own.path.starts_with(path));
        let is_beside = |group: &&Group| {
            let above = group.path.parent();
            let is_below_level = level.is_none_or(|level| above == Some(level.as_path()));
            let is_own = above.is_some_and(|above| self.own().any(|own| own.path == above && own.parent.is_some()));
            is_below_level && !is_own && !is_on_the_way(&group.path)
        };
        let beside = self.after.groups.iter().filter(is_beside);
        // CPU time is compared with the time by who counts it.
        let whole = cause.filter(|cause| cause.periods.is_none()).and_then(|cause| at(cause.limit)).unwrap_or(0);
        let least = (whole / 10_000).saturating_mul(RIVALS_SHARE).max(1);
        let used = beside.filter_map(|group| Some(Rival { path: group.path.clone(), usage: usage(self, group)? }));
        let mut rivals: Vec<Rival> = used.filter(|rival| rival.usage >= least).collect();
        rivals.sort_by(|one, other| other.usage.cmp(&one.usage).then_with(|| one.path.cmp(&other.path)));
        rivals.dedup_by(|one, other| one.path == other.path);
        rivals.truncate(RIVALS);
        rivals
    }
}

/// Which of the events at a level count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Those between the two snapshots.
    Lately,
    /// All since the level was made.
    Ever,
}

/// What a counter of a group counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counter {
    /// Kills: of processes of the group itself on v1, of those below it too on v2.
    Kills,
    /// Refused forks: of processes of the group itself.
    Forks,
}

impl Counter {
    fn of(self, group: &Group) -> Reading {
        match self {
            Self::Kills => group.oom_kills,
            Self::Forks => reasons(group, |found| found.refused_forks),
        }
    }
}

impl Finding {
    const fn new(trouble: Trouble) -> Self {
        Self { trouble, usec: None, count: None, causes: Vec::new(), victims: Vec::new(), rivals: Vec::new() }
    }
}

impl Cause {
    fn of(group: &Group, limit: Reading, known: Evidence) -> Self {
        Self { level: Some(group.path.clone()), limit, known, ..Self::of_host(limit) }
    }

    const fn of_host(limit: Reading) -> Self {
        Self {
            level: None,
            limit,
            is_brake: false,
            hits: None,
            periods: None,
            hits_since_start: Reading::Absent,
            peak: Reading::Absent,
            known: Evidence::Limited,
        }
    }
}

/// Those with the strongest evidence, the smallest limit first: it is the first to be hit. What only has the smallest limit
/// is one alone.
fn likeliest(mut causes: Vec<Cause>) -> Vec<Cause> {
    causes.sort_by_key(|cause| (cause.known, number_of(cause.limit)));
    let strongest = causes.first().map(|cause| cause.known);
    causes.retain(|cause| Some(cause.known) == strongest);
    if strongest == Some(Evidence::Binds) {
        causes.truncate(1);
    }
    causes
}

fn reasons(group: &Group, number: fn(&Reasons) -> Reading) -> Reading {
    group.reasons.as_deref().map_or(Reading::Absent, number)
}

fn stalls(group: &Group) -> Option<Stalls> {
    group.reasons.as_ref().map(|reasons| reasons.stalls)
}

const fn at(reading: Reading) -> Option<u64> {
    match reading {
        Reading::At(number) => Some(number),
        Reading::Unlimited | Reading::Absent | Reading::Unreadable => None,
    }
}

/// A limit as a number that compares.
fn number_of(limit: Reading) -> u64 {
    at(limit).unwrap_or(u64::MAX)
}

/// How far a counter moved; `None` where it was not read both times, or went back.
fn difference(before: Reading, after: Reading) -> Option<u64> {
    at(after)?.checked_sub(at(before)?)
}

fn waits(before: &Stalls, after: &Stalls) -> Waits {
    let wait = |before: &Stall, after: &Stall| Wait {
        some_usec: difference(before.some_usec, after.some_usec),
        full_usec: difference(before.full_usec, after.full_usec),
        avg10: after.some_avg10,
    };
    Waits {
        cpu: wait(&before.cpu, &after.cpu),
        memory: wait(&before.memory, &after.memory),
        io: wait(&before.io, &after.io),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;
    use crate::snapshot::{Freezer, Limited};

    const SECOND: u64 = 1_000_000;

    /// `/team/it`, beside `/team/other`.
    fn host(up_usec: u64, change: impl FnOnce(&mut [Group])) -> Snapshot {
        let mut snapshot = Snapshot { up_usec, ..samples::empty() };
        for (path, parent) in [("/", None), ("/team", Some(0)), ("/team/it", Some(1)), ("/team/other", Some(1))] {
            let mut group = samples::group(path, parent);
            group.reasons = Some(Box::new(Reasons { inode: Some(path.len() as u64), ..Reasons::default() }));
            snapshot.groups.push(group);
        }
        change(&mut snapshot.groups);
        snapshot
    }

    fn subject() -> Subject {
        let groups = vec![(String::new(), PathBuf::from("/team/it"))];
        Subject { name: "it".to_owned(), kind: Kind::Container, groups, process: None }
    }

    fn found(before: &Snapshot, after: &Snapshot, trouble: Trouble) -> Option<Finding> {
        why(before, after, &subject()).findings.into_iter().find(|finding| finding.trouble == trouble)
    }

    fn at_most(limit: u64, usage: u64, hits: u64) -> Limited {
        Limited { limit: Reading::At(limit), usage: Reading::At(usage), hits: Reading::At(hits) }
    }

    fn set(group: &mut Group, change: impl FnOnce(&mut Reasons)) {
        change(group.reasons.as_mut().unwrap());
    }

    fn path(cause: &Cause) -> &str {
        cause.level.as_ref().unwrap().to_str().unwrap()
    }

    /// A quota of 0.2 CPUs at /team, hit in all periods; what it did is held back for 0.8 of the time.
    fn throttled(hits: u64, held_back: Reading) -> Snapshot {
        host(SECOND + hits * SECOND / 10, |groups| {
            groups[1].cpu = at_most(200_000, 0, hits);
            set(&mut groups[1], |one| one.cpu_periods = Reading::At(hits));
            set(&mut groups[2], |one| {
                one.held_back_usec = held_back;
                one.cpu_usage_usec = Reading::At(hits * 15_000);
            });
            set(&mut groups[3], |one| one.cpu_usage_usec = Reading::At(hits * 5_000));
        })
    }

    #[test]
    fn a_quota_above_is_the_cause_and_the_group_below_it_the_victim() {
        let (before, after) = (throttled(10, Reading::At(5)), throttled(30, Reading::At(5 + 8 * SECOND / 5)));
        let finding = found(&before, &after, Trouble::HeldBack).unwrap();
        assert_eq!((finding.usec, finding.victims), (Some(8 * SECOND / 5), vec![PathBuf::from("/team/it")]));
        let cause = &finding.causes[0];
        assert_eq!((path(cause), cause.hits, cause.periods), ("/team", Some(20), Some(20)));
        assert_eq!(finding.rivals, [Rival { path: "/team/other".into(), usage: 100_000 }]);
        assert_eq!(why(&before, &after, &subject()).cpu.used_usec, Some(300_000));
    }

    #[test]
    fn a_quota_that_only_others_hit_holds_nobody_else_back() {
        let (before, after) = (throttled(10, Reading::At(5)), throttled(30, Reading::At(5)));
        assert_eq!(found(&before, &after, Trouble::HeldBack), None);
        // Where nothing tells, it may have been held back, and nobody knows for how long.
        let finding =
            found(&throttled(10, Reading::Absent), &throttled(30, Reading::Absent), Trouble::HeldBack).unwrap();
        assert_eq!(finding.usec, None);
    }

    #[test]
    fn a_counter_that_goes_back_and_one_of_another_group_tell_nothing() {
        let (before, after) = (throttled(30, Reading::At(9)), throttled(10, Reading::At(99)));
        assert_eq!(found(&before, &after, Trouble::HeldBack), None);
        let mut other = throttled(30, Reading::At(SECOND));
        set(&mut other.groups[1], |one| one.inode = Some(77));
        assert_eq!(found(&throttled(10, Reading::At(5)), &other, Trouble::HeldBack), None);
        let mut gone = throttled(30, Reading::At(SECOND));
        gone.groups.truncate(2);
        let why = why(&throttled(10, Reading::At(5)), &gone, &subject());
        assert!(!why.is_there && why.findings.is_empty(), "{why:?}");
    }

    /// /team has 32 MiB and it 512: `reached` hits above, `kills` in it.
    fn short(reached: Reading, kills: u64) -> Snapshot {
        host(SECOND * (1 + kills), |groups| {
            groups[1].memory = at_most(32 << 20, 31 << 20, 0);
            set(&mut groups[1], |one| one.memory_reached = reached);
            groups[2].memory = at_most(512 << 20, 1 << 20, 0);
            groups[2].oom_kills = Reading::At(kills);
            groups[3].memory.usage = Reading::At(30 << 20);
        })
    }

    #[test]
    fn the_level_whose_limit_was_reached_is_the_cause_of_a_kill() {
        let finding = found(&short(Reading::At(3), 0), &short(Reading::At(9), 1), Trouble::Killed).unwrap();
        assert_eq!((finding.count, path(&finding.causes[0])), (Some(1), "/team"));
        assert_eq!((finding.causes[0].known, finding.causes[0].hits), (Evidence::Moved, Some(6)));
        assert_eq!(finding.rivals[0].path, Path::new("/team/other"));
        // One that was before: counted, not while it was watched.
        let finding = found(&short(Reading::At(9), 1), &short(Reading::At(9), 1), Trouble::Killed).unwrap();
        assert_eq!((finding.count, finding.causes[0].known), (Some(0), Evidence::Counted));
        // A kernel that does not count: the smallest limit, and it is said to be no more than that.
        let finding = found(&short(Reading::Absent, 0), &short(Reading::Absent, 1), Trouble::Killed).unwrap();
        assert_eq!((path(&finding.causes[0]), finding.causes[0].known), ("/team", Evidence::Binds));
    }

    #[test]
    fn forks_are_refused_by_the_level_that_is_full() {
        let of = |refused| {
            host(SECOND, |groups| {
                groups[1].pids = Limited { hits: Reading::Absent, ..at_most(20, 20, 0) };
                groups[2].pids = Limited { hits: Reading::Absent, ..at_most(100, 3, 0) };
                set(&mut groups[2], |one| one.refused_forks = Reading::At(refused));
            })
        };
        let finding = found(&of(0), &of(7), Trouble::Refused).unwrap();
        assert_eq!((finding.count, path(&finding.causes[0])), (Some(7), "/team"));
        assert_eq!((finding.causes[0].known, finding.victims), (Evidence::Full, vec![PathBuf::from("/team/it")]));
    }

    #[test]
    fn the_freezer_that_was_told_is_the_cause_and_what_it_holds_the_victim() {
        let frozen = host(SECOND, |groups| {
            for (index, told) in [(1, true), (2, false)] {
                set(&mut groups[index], |one| {
                    one.freezer = Freezer { is_frozen: Some(true), is_told: Some(told) };
                });
            }
        });
        let finding = found(&frozen, &frozen, Trouble::Frozen).unwrap();
        assert_eq!((path(&finding.causes[0]), finding.victims), ("/team", vec![PathBuf::from("/team/it")]));
    }

    #[test]
    fn a_process_with_the_same_number_is_another_one() {
        let of = |start_ticks| {
            let mut snapshot = host(SECOND, |_| ());
            let facts = Facts { start_ticks, state: 'D', ..samples::facts() };
            let pid = procfs::HostPid(7);
            let namespaces = [crate::snapshot::Spot::Absent; 8];
            snapshot.processes.push(Process { pid, namespaces, facts: Some(Box::new(facts)), container: None });
            snapshot
        };
        assert!(found(&of(1), &of(1), Trouble::Stuck).is_some());
        assert_eq!(found(&of(1), &of(2), Trouble::Stuck), None);
    }

    fn reading() -> impl Strategy<Value = Reading> {
        prop_oneof![
            4 => (0..40_u64).prop_map(Reading::At),
            1 => any::<u64>().prop_map(Reading::At),
            1 => Just(Reading::Unlimited),
            1 => Just(Reading::Absent),
            1 => Just(Reading::Unreadable),
        ]
    }

    /// Any numbers at all in all groups, of which some are not there.
    fn any_host() -> impl Strategy<Value = Snapshot> {
        let group = prop::collection::vec(reading(), 20);
        (prop::collection::vec(group, 4), 0..5_usize, any::<u32>(), any::<bool>()).prop_map(|(all, count, up, v1)| {
            let mut snapshot = host(up.into(), |groups| {
                for (group, readings) in groups.iter_mut().zip(&all) {
                    let mut next = readings.iter().copied();
                    let mut next = || next.next().unwrap_or_default();
                    let mut limited = || Limited { limit: next(), usage: next(), hits: next() };
                    (group.memory, group.cpu, group.pids) = (limited(), limited(), limited());
                    (group.oom_kills, group.throttled_usec) = (next(), next());
                    group.hierarchy = if v1 { "memory".to_owned() } else { String::new() };
                    set(group, |one| {
                        (one.cpu_periods, one.held_back_usec, one.memory_reached) = (next(), next(), next());
                        (one.refused_forks, one.stalls.cpu.some_usec, one.stalls.io.some_usec) =
                            (next(), next(), next());
                        (one.memory_peak, one.cpu_usage_usec, one.memory_oom) = (next(), next(), next());
                    });
                }
            });
            snapshot.groups.truncate(count);
            snapshot
        })
    }

    proptest! {
        #[test]
        fn causes_are_on_the_way_to_the_root_and_nothing_comes_of_what_is_not_known(before in any_host(), after in any_host()) {
            for hierarchy in ["memory", ""] {
                let subject = Subject { groups: vec![(hierarchy.to_owned(), "/team/it".into())], ..subject() };
                let found = why(&before, &after, &subject);
                for finding in &found.findings {
                    prop_assert!(finding.usec.is_none_or(|usec| usec <= found.elapsed_usec));
                    for cause in finding.causes.iter().filter_map(|cause| cause.level.as_ref()) {
                        prop_assert!(Path::new("/team/it").starts_with(cause));
                        for victim in &finding.victims {
                            prop_assert!(victim.starts_with(cause), "{victim:?} is not below {cause:?}");
                        }
                    }
                    for rival in &finding.rivals {
                        prop_assert!(!Path::new("/team/it").starts_with(&rival.path));
                    }
                }
                let held_back = found.findings.iter().any(|one| one.trouble == Trouble::HeldBack);
                let moved = |at: usize| {
                    let of = |snapshot: &Snapshot| snapshot.groups.get(at).map(|group| group.cpu.hits).and_then(super::at);
                    of(&before).zip(of(&after)).is_some_and(|(before, after)| after > before)
                };
                prop_assert!(!held_back || (0..3).any(moved));
            }
        }

        #[test]
        fn two_looks_at_the_same_moment_find_nothing_that_moved(host in any_host()) {
            let found = why(&host, &host, &subject());
            for finding in found.findings {
                prop_assert!(finding.count.unwrap_or(0) == 0 && !matches!(finding.trouble, Trouble::HeldBack | Trouble::Crowded | Trouble::Io));
            }
        }
    }
}
