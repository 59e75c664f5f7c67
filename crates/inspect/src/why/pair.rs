//! Two snapshots of one subject side by side: how far its counters moved between the two, and what it has.

use std::path::{Path, PathBuf};

use crate::ladder::{self, Ladder, Resource};
use crate::snapshot::{Facts, Group, Process, Reading, Reasons, Snapshot, Stall, Stalls};
use crate::watch::{Kind, Subject};
use crate::why::{Disks, Held, Still, Wait, Waits, Weights};

/// A number of a group.
pub(super) type Number = fn(&Group) -> Reading;

/// The two snapshots.
pub(super) struct Pair<'s> {
    pub(super) before: &'s Snapshot,
    pub(super) after: &'s Snapshot,
    pub(super) subject: &'s Subject,
    /// The subject's groups in the second.
    pub(super) own: Vec<usize>,
    pub(super) elapsed_usec: u64,
}

impl<'s> Pair<'s> {
    pub(super) fn new(before: &'s Snapshot, after: &'s Snapshot, subject: &'s Subject) -> Self {
        let is_own = |group: &Group| {
            subject.groups.iter().any(|(hierarchy, path)| *hierarchy == group.hierarchy && *path == group.path)
        };
        let own = after.groups.iter().enumerate().filter(|(_, group)| is_own(group)).map(|(at, _)| at).collect();
        let by_uptime = after.up_usec.checked_sub(before.up_usec).filter(|_| before.up_usec > 0);
        let by_clock = || after.at_msec.saturating_sub(before.at_msec).saturating_mul(1000);
        Self { before, after, subject, own, elapsed_usec: by_uptime.unwrap_or_else(by_clock) }
    }

    /// A group that is gone has no folder; of a process nothing was read.
    pub(super) fn is_there(&self) -> bool {
        match self.subject.kind {
            Kind::Process => !self.after.processes.is_empty(),
            Kind::Container | Kind::Group => {
                !self.after.processes.is_empty() || self.own().any(|group| group.reasons.is_some())
            }
        }
    }

    pub(super) fn own(&self) -> impl Iterator<Item = &'s Group> + '_ {
        self.own.iter().filter_map(|at| self.after.groups.get(*at))
    }

    /// The subject's own groups and those right below them, of which some number is told.
    pub(super) fn own_and_below(
        &self,
        number: impl Fn(&Group) -> Reading + 's,
    ) -> impl Iterator<Item = &'s Group> + '_ {
        let is_here = |group: &&Group| {
            let above = group.parent.is_some_and(|parent| self.own.contains(&parent));
            above && self.subject.kind != Kind::Process
        };
        let below = self.after.groups.iter().filter(is_here);
        self.own().chain(below).filter(move |group| number(group) != Reading::Absent)
    }

    /// The same group in the first snapshot.
    pub(super) fn former(&self, group: &Group) -> Option<&'s Group> {
        let inode = |group: &Group| group.reasons.as_ref().and_then(|reasons| reasons.inode);
        // As bytes, since paths are slow to compare.
        let is_at_its_place =
            |former: &&Group| former.hierarchy == group.hierarchy && former.path.as_os_str() == group.path.as_os_str();
        self.before.groups.iter().find(is_at_its_place).filter(|former| inode(former) == inode(group))
    }

    /// How far a counter of a group moved; `None` where that is not known.
    pub(super) fn moved(&self, group: &Group, number: Number) -> Option<u64> {
        let former = number(self.former(group)?);
        difference(former, number(group))
    }

    pub(super) fn ladder(&self, resource: Resource) -> Ladder<'s> {
        ladder::of(self.after, &self.own, resource)
    }

    /// The subject's processes in the first snapshot and in the second.
    pub(super) fn processes(&self) -> impl Iterator<Item = (Option<&'s Facts>, &'s Process, &'s Facts)> + '_ {
        let former = |process: &Process, facts: &Facts| {
            let all = self.before.processes.iter().filter(|former| former.pid == process.pid);
            { all }.filter_map(|former| former.facts.as_deref()).find(|former| former.start_ticks == facts.start_ticks)
        };
        let read = self.after.processes.iter().filter_map(|process| Some((process, process.facts.as_deref()?)));
        read.map(move |(process, facts)| (former(process, facts), process, facts))
    }

    /// How far a number of the process moved, of a subject that is one.
    pub(super) fn process_moved(&self, number: fn(&crate::snapshot::Work) -> Reading) -> Option<u64> {
        let (former, _, facts) = self.processes().next().filter(|_| self.subject.kind == Kind::Process)?;
        let of = |facts: &Facts| facts.work.as_deref().map_or(Reading::Absent, number);
        difference(of(former?), of(facts))
    }

    pub(super) fn cpu_used(&self) -> Option<u64> {
        if self.subject.kind == Kind::Process {
            return self.process_moved(|work| work.cpu_usec);
        }
        let used: Number = |group| reasons(group, |found| found.cpu_usage_usec);
        self.own().find_map(|group| self.moved(group, used))
    }

    pub(super) fn cpus(&self) -> u64 {
        let of = |group: &Group| at(reasons(group, |found| found.cpus)).filter(|cpus| *cpus > 0);
        self.own().filter_map(of).min().map_or(self.after.host.cpus, |cpus| cpus.min(self.after.host.cpus))
    }

    pub(super) fn cpu_weight(&self) -> Reading {
        let weights = self.own().map(|group| reasons(group, |found| found.cpu_weight));
        { weights }.find(|weight| *weight != Reading::Absent).unwrap_or_default()
    }

    /// How a group divides CPUs with the one beside it on the subject's way to the root.
    pub(super) fn weights(&self, path: &Path) -> Option<Weights> {
        let is_on_the_way = |path: &Path| self.own().any(|own| own.path.starts_with(path));
        let weight = |group: &Group| reasons(group, |found| found.cpu_weight);
        let groups = || self.after.groups.iter().filter(|group| at(weight(group)).is_some());
        let other = groups().find(|group| group.path == path)?;
        let own = groups().find(|group| {
            group.hierarchy == other.hierarchy && group.parent == other.parent && is_on_the_way(&group.path)
        })?;
        Some(Weights { its: weight(other), own: weight(own) })
    }

    pub(super) fn waits(&self) -> Waits {
        let all_at_root = self.own().all(|group| group.parent.is_none());
        // What is in no v2 group of its own would be told the whole host's.
        let is_own = |group: &&Group| group.parent.is_some() || all_at_root;
        let told = |group: &&Group| stalls(group).is_some_and(|stalls| stalls != Stalls::default());
        let Some(group) = self.own().filter(is_own).find(told) else { return Waits::default() };
        let former = self.former(group).and_then(stalls).unwrap_or_default();
        waits(&former, &stalls(group).unwrap_or_default())
    }

    pub(super) fn held(&self, resource: Resource, counter: Counter) -> Held {
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
    pub(super) fn is_apart(&self, group: &Group, counter: Counter) -> bool {
        let is_whole = counter == Counter::Kills && group.hierarchy.is_empty();
        !is_whole || self.own().any(|own| own.path == group.path)
    }

    /// What the subject's groups have counted.
    pub(super) fn since_start(&self, counter: Counter) -> Reading {
        let all = self.own_and_below(|group| counter.of(group)).filter(|group| self.is_apart(group, counter));
        let readings = all.map(|group| counter.of(group)).reduce(|sum, next| match (sum, next) {
            (Reading::At(sum), Reading::At(next)) => Reading::At(sum.saturating_add(next)),
            (Reading::At(_), other) => other,
            (sum, _) => sum,
        });
        readings.unwrap_or_default()
    }

    /// The groups in which a counter moved, and how far in all.
    pub(super) fn victims(&self, counter: Counter) -> (u64, Vec<PathBuf>) {
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

    pub(super) fn own_path(&self, resource: Resource) -> Vec<PathBuf> {
        self.ladder(resource).rungs.first().map(|rung| rung.group.path.clone()).into_iter().collect()
    }

    pub(super) fn disks(&self) -> Vec<Disks> {
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

    pub(super) fn still(&self) -> Vec<Still> {
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
}

/// What a counter of a group counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    /// Kills: of processes of the group itself on v1, of those below it too on v2.
    Kills,
    /// Refused forks: of processes of the group itself.
    Forks,
}

impl Counter {
    pub(super) fn of(self, group: &Group) -> Reading {
        match self {
            Self::Kills => group.oom_kills,
            Self::Forks => reasons(group, |found| found.refused_forks),
        }
    }
}

pub(super) fn reasons(group: &Group, number: fn(&Reasons) -> Reading) -> Reading {
    group.reasons.as_deref().map_or(Reading::Absent, number)
}

pub(super) fn stalls(group: &Group) -> Option<Stalls> {
    group.reasons.as_ref().map(|reasons| reasons.stalls)
}

pub(super) const fn at(reading: Reading) -> Option<u64> {
    match reading {
        Reading::At(number) => Some(number),
        Reading::Unlimited | Reading::Absent | Reading::Unreadable => None,
    }
}

/// A limit as a number that compares.
pub(super) fn number_of(limit: Reading) -> u64 {
    at(limit).unwrap_or(u64::MAX)
}

/// How far a counter moved; `None` where it was not read both times, or went back.
pub(super) fn difference(before: Reading, after: Reading) -> Option<u64> {
    at(after)?.checked_sub(at(before)?)
}

pub(super) fn waits(before: &Stalls, after: &Stalls) -> Waits {
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
