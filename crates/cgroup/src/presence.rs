//! What this host has of a setting: whether its controller is here, in which version, and whether the kernel has the
//! file. Nothing is made to find out: a file is looked for in groups that there are.

use std::collections::BTreeSet;

use error::{Doing, Errno, Result};
use procfs::cgroup::Subsystem;
use rustix::fs::{Dir, OFlags};

use crate::hierarchy::{Controller, Hierarchies, Hierarchy, Mounted, Obstacle, Version};
use crate::setting::Setting;
use crate::{file, tree};

/// The controllers of v1 whose files the root has too: the kernel's tables have no `CFTYPE_NOT_ON_ROOT` for them.
const ON_ROOT_V1: [Controller; 6] = [
    Controller::Cpu,
    Controller::Cpuset,
    Controller::Memory,
    Controller::Devices,
    Controller::NetCls,
    Controller::NetPrio,
];

/// How many groups of a hierarchy are looked at.
const GROUPS: usize = 16;

/// What there is of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It can be set, by its file of this version where it has one.
    Here(Version),
    /// As far as its controller goes it can; no group has been seen that would have the file.
    Unseen(Version),
    /// It cannot, for a reason, as a clause.
    Absent(String),
}

/// What this host has of all settings.
#[derive(Debug)]
pub struct Present<'h> {
    hierarchies: &'h Hierarchies,
    subsystems: Vec<Subsystem>,
    /// The names of files seen in each hierarchy, in the order of [`Hierarchies`].
    files: Vec<Files>,
}

/// The files seen in the groups of one hierarchy.
#[derive(Debug, Default)]
struct Files {
    /// In the root, which has not every file.
    root: BTreeSet<String>,
    /// In groups below it; empty where there are none.
    below: BTreeSet<String>,
}

impl<'h> Present<'h> {
    /// Looks at some groups of each hierarchy.
    ///
    /// # Errors
    /// A kernel error where a hierarchy cannot be looked at.
    pub fn read(hierarchies: &'h Hierarchies) -> Result<Self> {
        let looked = |(_, hierarchy): (_, &Hierarchy)| match hierarchy.mounted {
            Mounted::NotYet => Ok(Files::default()),
            Mounted::ByHost | Mounted::ByCarboy => look(hierarchy),
        };
        let files = hierarchies.iter().map(looked).collect::<Result<_>>()?;
        let subsystems = match procfs::cgroup::read_subsystems() {
            // Not every kernel with v2 alone has /proc/cgroups.
            Err(error) if error.errno() == Some(Errno::NOENT) => Vec::new(),
            subsystems => subsystems?,
        };
        Ok(Self { hierarchies, subsystems, files })
    }

    /// What there is of one setting.
    #[must_use]
    pub fn of(&self, setting: &Setting) -> Presence {
        let controller = setting.controller;
        if setting.is_marked_by_nftables(self.hierarchies) {
            return Presence::Here(Version::V2);
        }
        let found = self.hierarchies.index_of(controller).zip(self.hierarchies.of(controller));
        let Some((index, hierarchy)) = found else { return Presence::Absent(self.reason(controller)) };
        let version = hierarchy.version;
        match hierarchy.obstacle {
            Some(Obstacle::ReadOnly) => return Presence::Absent(format!("{controller} is mounted read-only")),
            Some(Obstacle::OutsideNamespace) => {
                return Presence::Absent(format!("{controller} is mounted from another cgroup namespace"));
            }
            Some(Obstacle::NotHandedOver) => {
                return Presence::Absent(format!("{controller} is on {version} here, whose groups belong to root"));
            }
            None => {}
        }
        let Some(wanted) = setting.file(version) else {
            if setting.is_program(version) {
                return Presence::Here(version);
            }
            return Presence::Absent(match (setting.v1, setting.v2) {
                (None, None) => "the kernel has no file for it".to_owned(),
                _ => format!("{controller} is on {version} here, which has no file for it"),
            });
        };
        // What carboy would mount itself has one setting a controller.
        if hierarchy.mounted == Mounted::NotYet {
            return Presence::Here(version);
        }
        match self.files.get(index.0).and_then(|files| files.has(wanted.name, version, controller)) {
            Some(true) => Presence::Here(version),
            Some(false) => Presence::Absent(format!("this kernel has no {}", wanted.name)),
            None => Presence::Unseen(version),
        }
    }

    /// Why a controller is in no hierarchy.
    fn reason(&self, controller: Controller) -> String {
        let name = controller.name(Version::V1);
        match self.subsystems.iter().find(|subsystem| subsystem.name == name) {
            Some(subsystem) if !subsystem.enabled => format!("{name} was disabled when the kernel was started"),
            Some(_) => format!("{name} is mounted nowhere"),
            None if self.subsystems.is_empty() => format!("no hierarchy has {name}"),
            None => format!("this kernel has no {name}"),
        }
    }
}

impl Files {
    /// Whether a file is here; not, where groups were seen that have others of its controller; `None` where none were.
    fn has(&self, name: &str, version: Version, controller: Controller) -> Option<bool> {
        let mut known = self.root.iter().chain(&self.below);
        if known.clone().any(|known| matches(known, name)) {
            return Some(true);
        }
        let prefix = name.split_inclusive('.').next().unwrap_or(name);
        let would_have = match version {
            Version::V1 => {
                let has_others = known.any(|known| known.starts_with(prefix));
                !self.below.is_empty() || (has_others && ON_ROOT_V1.contains(&controller))
            }
            // A group has the files of a controller only where it was enabled above it.
            Version::V2 => self.below.iter().any(|known| known.starts_with(prefix) && !is_in_every_group(known)),
        };
        would_have.then_some(false)
    }
}

/// Whether each group of v2 has a file, without the controller after which it is named.
fn is_in_every_group(name: &str) -> bool {
    name.ends_with(".pressure") || name.starts_with(crate::cpu::STAT)
}

/// Whether a file's name is of a form in which `*` stands for anything.
fn matches(name: &str, form: &str) -> bool {
    match form.split_once('*') {
        None => name == form,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| rest.ends_with(after)),
    }
}

fn look(hierarchy: &Hierarchy) -> Result<Files> {
    let root = hierarchy.open()?;
    let action = || format!("look at the groups below {}", hierarchy.mount_point.display());
    let mut files = Files { root: names(&root).doing(action)?, below: BTreeSet::new() };
    for child in tree::children(&root).doing(action)?.into_iter().take(GROUPS) {
        // One that is gone meanwhile is passed over.
        let Ok(child) = child.into_string() else { continue };
        let Ok(seen) = tree::open(&root, &child).and_then(|group| names(&group)) else { continue };
        files.below.extend(seen);
    }
    Ok(files)
}

fn names(group: &std::os::fd::OwnedFd) -> std::result::Result<BTreeSet<String>, Errno> {
    let entries = Dir::new(file::open(group, ".", OFlags::RDONLY | OFlags::DIRECTORY)?)?;
    let name = |entry: rustix::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(|entry| entry.map(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_what_depends_on_the_host() {
        assert!(matches("hugetlb.2MB.max", "hugetlb.*.max"));
        assert!(matches("cpu.max", "cpu.max") && !matches("cpu.max.burst", "cpu.max"));
        assert!(!matches("hugetlb.2MB.current", "hugetlb.*.max"));
    }

    #[test]
    fn every_setting_is_told_of_this_host() {
        let hierarchies = Hierarchies::read().unwrap();
        let present = Present::read(&hierarchies).unwrap();
        for setting in crate::setting::all() {
            match present.of(setting) {
                Presence::Here(version) | Presence::Unseen(version) => {
                    let has = setting.file(version).is_some() || setting.is_program(version);
                    assert!(has || setting.is_marked_by_nftables(&hierarchies), "{setting:?}");
                }
                Presence::Absent(reason) => assert!(!reason.is_empty()),
            }
        }
    }

    #[test]
    fn a_file_is_missed_only_where_others_of_its_controller_were_seen() {
        let files = |names: &[&str], below_root| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            if below_root {
                Files { below: names, ..Files::default() }
            } else {
                Files { root: names, ..Files::default() }
            }
        };
        let (memory, pids) = (Controller::Memory, Controller::Pids);
        for (seen, below_root, name, version, controller, has) in [
            (&["memory.max"][..], true, "memory.max", Version::V2, memory, Some(true)),
            (&["memory.max"], true, "memory.peak", Version::V2, memory, Some(false)),
            (&["cpu.max"], true, "memory.peak", Version::V2, memory, None),
            (&["memory.pressure", "cpu.stat"], true, "memory.peak", Version::V2, memory, None),
            (&["cpu.pressure", "cpu.stat"], true, "cpu.max", Version::V2, Controller::Cpu, None),
            (&["memory.stat"], false, "memory.peak", Version::V2, memory, None),
            (&["memory.stat"], false, "memory.peak", Version::V1, memory, Some(false)),
            (&["pids.current"], false, "pids.max", Version::V1, pids, None),
            (&["tasks"], true, "pids.max", Version::V1, pids, Some(false)),
        ] {
            assert_eq!(files(seen, below_root).has(name, version, controller), has, "{seen:?} {name} {version}");
        }
    }
}
