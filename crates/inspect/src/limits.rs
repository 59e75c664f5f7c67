//! The groups of a snapshot: collected from what /proc says, with those above, and then read once each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cgroup::level::{Detail, Level, Tree, Trees};
use cgroup::{Controller, Limit};
use error::Errno;
use procfs::CgroupLine;

use crate::snapshot::{Group, Limited, Reading};
use crate::source::Sightless;

/// Groups on the way into a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) all: Vec<Group>,
    known: BTreeMap<(String, PathBuf), usize>,
}

impl Groups {
    /// The places of a process's groups, one a hierarchy.
    pub(crate) fn of(&mut self, lines: &[CgroupLine]) -> Vec<usize> {
        lines.iter().map(|line| self.add(&key(line), &line.path)).collect()
    }

    /// The place of a group; those above it are there too.
    fn add(&mut self, hierarchy: &str, path: &Path) -> usize {
        if let Some(known) = self.known.get(&(hierarchy.to_owned(), path.to_owned())) {
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
        });
        self.known.insert((hierarchy.to_owned(), path.to_owned()), index);
        index
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
    if tree.controllers.is_empty() {
        return;
    }
    match tree.level(&group.path, detail) {
        Ok(level) => {
            fill(group, &level, blind);
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
