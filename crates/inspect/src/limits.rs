//! The groups of a snapshot: collected from what /proc says, with those above, and then read once each.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::Path;

use cgroup::cpu::Weight;
use cgroup::freezer::State;
use cgroup::io::Throttle;
use cgroup::level::{Detail, Level, Tree, Trees};
use cgroup::pressure::{Line, Pressure};
use cgroup::{Controller, Limit};
use error::Errno;
use procfs::CgroupLine;

use crate::snapshot::{DiskLimit, Freezer, Group, Limited, Reading, Reasons, Stall, Stalls};
use crate::source::Sightless;

/// Groups on the way into a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) all: Vec<Group>,
    /// By hierarchy and path: as bytes, since paths are slow to compare.
    known: BTreeMap<String, HashMap<OsString, usize>>,
}

impl Groups {
    /// The places of a process's groups, one a hierarchy.
    pub(crate) fn of(&mut self, lines: &[CgroupLine]) -> Vec<usize> {
        lines.iter().map(|line| self.add(&key(line), &line.path)).collect()
    }

    /// The place of a group; those above it are there too.
    pub(crate) fn add(&mut self, hierarchy: &str, path: &Path) -> usize {
        if let Some(known) = self.known.get(hierarchy).and_then(|known| known.get(path.as_os_str())) {
            return *known;
        }
        let parent = path.parent().map(|above| self.add(hierarchy, above));
        let index = self.all.len();
        self.all.push(Group {
            hierarchy: hierarchy.to_owned(),
            path: path.to_owned(),
            parent,
            memory: Limited::default(),
            cpu: Limited::default(),
            pids: Limited::default(),
            oom_kills: Reading::Absent,
            throttled_usec: Reading::Absent,
            reasons: None,
        });
        self.known.entry(hierarchy.to_owned()).or_default().insert(path.as_os_str().to_owned(), index);
        index
    }

    /// Reads those at these places, and none above them.
    pub(crate) fn read_each(&mut self, trees: &Trees, wanted: &[usize], detail: Detail, blind: &mut Sightless) {
        for index in wanted {
            if let Some(group) = self.all.get_mut(*index) {
                read(group, trees, detail, blind);
            }
        }
    }

    /// Reads those at these places and those above them.
    pub(crate) fn read(&mut self, trees: &Trees, wanted: &[usize], detail: Detail, blind: &mut Sightless) {
        let mut done = vec![false; self.all.len()];
        for index in wanted {
            let mut next = Some(*index);
            while let Some(at) = next.filter(|at| done.get(*at) == Some(&false)) {
                if let Some(done) = done.get_mut(at) {
                    *done = true;
                }
                let Some(group) = self.all.get_mut(at) else { break };
                next = group.parent;
                read(group, trees, detail, blind);
            }
        }
    }
}

/// A line's hierarchy, as [`cgroup::Hierarchy::key`] writes it.
fn key(line: &CgroupLine) -> String {
    let name = line.name.as_ref().map(|name| format!("name={name}"));
    line.controllers.iter().cloned().chain(name).collect::<Vec<_>>().join(",")
}

fn read(group: &mut Group, trees: &Trees, detail: Detail, blind: &mut Sightless) {
    let Some(tree) = trees.get(&group.hierarchy) else { return };
    if !tree.tells(detail) {
        return;
    }
    match tree.level(&group.path, detail) {
        Ok(level) => {
            fill(group, &level, blind);
            if matches!(detail, Detail::Use | Detail::All) {
                group.reasons = Some(Box::new(reasons(&level)));
            }
            if group.parent.is_none() {
                lift(group, tree);
            }
        }
        Err(Errno::NOENT | Errno::NODEV) => {}
        Err(errno) => {
            blind.add("limits", &format!("the limits of group {}", group.path.display()), errno);
            let unreadable = Limited { limit: Reading::Unreadable, ..Limited::default() };
            (group.memory, group.cpu, group.pids) = (unreadable, unreadable, unreadable);
        }
    }
}

/// The root of a hierarchy has no files of limits: nothing is limited there. In a cgroup namespace what is called the root
/// is a group like others.
fn lift(group: &mut Group, tree: &Tree) {
    let of = [
        (Controller::Memory, &mut group.memory),
        (Controller::Cpu, &mut group.cpu),
        (Controller::Pids, &mut group.pids),
    ];
    for (controller, limited) in of {
        if tree.controllers.contains(&controller) && limited.limit == Reading::Absent {
            limited.limit = Reading::Unlimited;
        }
    }
}

fn fill(group: &mut Group, level: &Level, blind: &mut Sightless) {
    for (file, errno) in &level.unreadable {
        blind.add("limits", &format!("{file} of group {}", group.path.display()), *errno);
    }
    // What is missing for a reason is not absent.
    let is_hidden = |controller: &str| level.unreadable.iter().any(|(file, _)| file.starts_with(controller));
    let number = |value: Option<u64>, controller: &str| match value {
        Some(value) => Reading::At(value),
        None if is_hidden(controller) => Reading::Unreadable,
        None => Reading::Absent,
    };
    let limit = |value: Option<Limit>, controller: &str| match value {
        Some(Limit::At(value)) => Reading::At(value),
        Some(Limit::Unlimited) => Reading::Unlimited,
        None if is_hidden(controller) => Reading::Unreadable,
        None => Reading::Absent,
    };
    if let Some(memory) = &level.memory {
        group.memory = Limited {
            limit: limit(memory.limit, "memory"),
            usage: number(memory.used_bytes().or(memory.usage_bytes), "memory"),
            hits: number(memory.oom_events.or(memory.limit_hits), "memory"),
        };
        group.oom_kills = number(memory.oom_kills, "memory");
    }
    if let Some(cpu) = &level.cpu {
        let millionths = |quota: u64| quota.saturating_mul(1_000_000).checked_div(cpu.period_usec?);
        let bandwidth = match cpu.quota_usec {
            Some(Limit::At(quota)) => millionths(quota).map(Limit::At),
            unlimited => unlimited,
        };
        group.cpu = Limited {
            limit: limit(bandwidth, "cpu"),
            usage: Reading::Absent,
            hits: number(cpu.throttled_periods, "cpu"),
        };
        group.throttled_usec = number(cpu.throttled_usec, "cpu");
    }
    if let Some(pids) = &level.pids {
        group.pids = Limited {
            limit: limit(pids.limit, "pids"),
            usage: number(pids.current, "pids"),
            hits: number(pids.limit_hits, "pids"),
        };
    }
}

/// What tells why the processes of a group wait.
fn reasons(level: &Level) -> Reasons {
    let number = |value: Option<u64>, controller: &str| match value {
        Some(value) => Reading::At(value),
        // What is missing for a reason is not absent.
        None if level.unreadable.iter().any(|(file, _)| file.starts_with(controller)) => Reading::Unreadable,
        None => Reading::Absent,
    };
    let (memory, cpu, pids) = (level.memory.as_ref(), level.cpu.as_ref(), level.pids.as_ref());
    let found = &level.reasons;
    let weight = cpu.and_then(|cpu| cpu.weight).map(|weight| match weight {
        Weight::Shares(number) | Weight::Weight(number) => number,
    });
    Reasons {
        inode: found.inode,
        cpu_usage_usec: number(level.cpuacct.as_ref().and_then(|used| used.usage_usec), "cpu"),
        cpu_weight: number(weight, "cpu"),
        disk_weight: number(found.disk_weight, "io"),
        cpu_periods: number(cpu.and_then(|cpu| cpu.periods), "cpu"),
        held_back_usec: number(found.held_back_usec, "cpu"),
        cpus: number(found.cpus.as_ref().and_then(|cpus| u64::try_from(cpus.numbers().count()).ok()), "cpuset"),
        memory_peak: number(memory.and_then(|memory| memory.peak_bytes), "memory"),
        memory_reached: number(memory.and_then(|memory| memory.limit_hits), "memory"),
        memory_oom: number(memory.and_then(|memory| memory.oom_events), "memory"),
        memory_brake: Limited {
            limit: match found.brake.limit {
                Some(Limit::At(bytes)) => Reading::At(bytes),
                Some(Limit::Unlimited) => Reading::Unlimited,
                None => Reading::Absent,
            },
            usage: Reading::Absent,
            hits: number(found.brake.hits, "memory"),
        },
        pids_peak: number(found.pids_peak, "pids"),
        refused_forks: number(pids.and_then(|pids| pids.refused_forks), "pids"),
        disks: found.throttles.iter().map(disk_limit).collect(),
        freezer: Freezer {
            is_frozen: found.freezer.state.map(|state| state != State::Running),
            is_told: found.freezer.own,
        },
        stalls: Stalls {
            cpu: stall(found.pressure.cpu),
            memory: stall(found.pressure.memory),
            io: stall(found.pressure.io),
        },
    }
}

fn disk_limit(throttle: &Throttle) -> DiskLimit {
    let Throttle { major, minor, kind, limit } = throttle;
    DiskLimit { disk: format!("{major}:{minor}"), kind: (*kind).to_owned(), limit: *limit }
}

/// What is told of the stalls for one resource.
pub(crate) fn stall(pressure: Option<Pressure>) -> Stall {
    let some = pressure.and_then(|pressure| pressure.some);
    let full = pressure.and_then(|pressure| pressure.full);
    let total = |line: Option<Line>| line.map_or(Reading::Absent, |line| Reading::At(line.total_usec));
    Stall {
        some_usec: total(some),
        full_usec: total(full),
        some_avg10: some.map_or(Reading::Absent, |line| Reading::At(line.avg10.into())),
    }
}
