//! One group of one hierarchy as anyone on the host may see it, whoever made it: its limits, and on demand what it uses.
//!
//! A sample tells what a container uses and leaves out what it cannot read; here what is absent and what may not be read
//! are two different things.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use error::Result;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::hierarchy::{Controller, Hierarchies, Version};
use crate::path::GroupPath;
use crate::{cpu, file, memory, pids};

/// Every hierarchy that is mounted here, open for reading, also where no group can be made in it.
#[derive(Debug)]
pub struct Trees {
    trees: Vec<Tree>,
}

/// A hierarchy that is open.
#[derive(Debug)]
pub struct Tree {
    /// As [`crate::Hierarchy::key`].
    pub key: String,
    /// Its interface.
    pub version: Version,
    /// What it limits, of that which a level tells.
    pub controllers: Vec<Controller>,
    /// The group that is at its mount point.
    mount_root: PathBuf,
    root: std::result::Result<OwnedFd, Errno>,
}

/// How much of a level is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Its limits.
    Limits,
    /// What it uses and how often its limits were hit, too.
    Usage,
}

/// What one group has; a part is `None` where its hierarchy has not the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Level {
    /// Memory and swap.
    pub memory: Option<memory::Stats>,
    /// CPU bandwidth.
    pub cpu: Option<cpu::Stats>,
    /// Tasks.
    pub pids: Option<pids::Stats>,
    /// The files that are there and could not be read.
    pub unreadable: Vec<(String, Errno)>,
}

impl Trees {
    /// Opens them. One that cannot be opened makes its groups unreadable.
    ///
    /// # Errors
    /// A kernel error where it cannot be found out what is mounted.
    pub fn open() -> Result<Self> {
        let hierarchies = Hierarchies::read()?;
        let told = [Controller::Memory, Controller::Cpu, Controller::Pids];
        let trees = hierarchies.iter().map(|(index, hierarchy)| Tree {
            key: hierarchy.key(),
            version: hierarchy.version,
            controllers: told.into_iter().filter(|one| hierarchies.index_of(*one) == Some(index)).collect(),
            mount_root: hierarchy.mount_root.clone(),
            root: hierarchy.open().map_err(|error| error.errno().unwrap_or(Errno::IO)),
        });
        Ok(Self { trees: trees.collect() })
    }

    /// The hierarchy that /proc/PID/cgroup calls `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.trees.iter().find(|tree| tree.key == key)
    }

    /// All of them, in the order of the mounts.
    pub fn iter(&self) -> impl Iterator<Item = &Tree> {
        self.trees.iter()
    }
}

impl Tree {
    /// The path from the mount's root of a group that /proc/PID/cgroup shows.
    ///
    /// # Errors
    /// `EXDEV` for a group that this mount does not show, `EINVAL` for one whose name cannot be a group's here.
    fn below(&self, shown: &Path) -> std::result::Result<GroupPath, Errno> {
        let below = shown.strip_prefix(&self.mount_root).map_err(|_| Errno::XDEV)?;
        GroupPath::parse("the group", below.to_str().ok_or(Errno::INVAL)?).map_err(|_| Errno::INVAL)
    }

    /// Reads a group, named as /proc/PID/cgroup names it.
    ///
    /// # Errors
    /// Plain errno: `ENOENT` where the group is gone, `EXDEV` where this mount does not show it.
    pub fn level(&self, shown: &Path, detail: Detail) -> std::result::Result<Level, Errno> {
        let path = self.below(shown)?;
        let root = self.root.as_ref().map_err(|errno| *errno)?;
        let group = file::open(root.as_fd(), path.relative(), OFlags::PATH | OFlags::DIRECTORY)?;
        let unreadable = RefCell::new(Vec::new());
        let read = |name: &str, limits: &[&str]| {
            if detail == Detail::Limits && !limits.contains(&name) {
                return None;
            }
            match file::read(&group, name) {
                Ok(text) => Some(text),
                // A file may be there and not apply: memsw without swap.
                Err(errno) if !matches!(errno, Errno::ACCESS | Errno::PERM) => None,
                Err(errno) => {
                    unreadable.borrow_mut().push((name.to_owned(), errno));
                    None
                }
            }
        };
        let of = |controller| self.controllers.contains(&controller);
        let v1 = self.version == Version::V1;
        let mut level = Level::default();
        if of(Controller::Memory) {
            let read = |name: &str| read(name, &memory::OF_A_LIMIT);
            level.memory = Some(if v1 { memory::stats_v1(read) } else { memory::stats_v2(read) });
        }
        if of(Controller::Cpu) {
            let read = |name: &str| read(name, &cpu::OF_A_LIMIT);
            level.cpu = Some(if v1 { cpu::stats_v1(read) } else { cpu::stats_v2(read) });
        }
        if of(Controller::Pids) {
            let read = |name: &str| read(name, &pids::OF_A_LIMIT);
            level.pids = Some(if v1 { pids::stats_v1(read) } else { pids::stats_v2(read) });
        }
        level.unreadable = unreadable.into_inner();
        Ok(level)
    }
}
