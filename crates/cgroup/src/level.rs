//! One group of one hierarchy as anyone on the host may see it, whoever made it: its limits, and on demand what it uses.
//!
//! A sample tells what a container uses and leaves out what it cannot read; here what is absent and what may not be read
//! are two different things.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use error::Result;
use procfs::HostPid;
use rustix::fs::{OFlags, fstat};
use rustix::io::Errno;

use crate::cpuset::{CPUS_EFFECTIVE, Set};
use crate::hierarchy::{Controller, Hierarchies, Version};
use crate::path::GroupPath;
use crate::{cpu, cpuacct, devices, file, freezer, io, memory, net_cls, pids, pressure, tree};

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
    /// What it uses and its weight, and no limits: of those beside the one that is looked at.
    Use,
    /// Everything that tells why its processes wait, too.
    All,
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
    /// CPU time used.
    pub cpuacct: Option<cpuacct::Stats>,
    /// What only [`Detail::All`] tells.
    pub reasons: Reasons,
    /// The files that are there and could not be read.
    pub unreadable: Vec<(String, Errno)>,
}

/// What tells why the processes of a group wait. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasons {
    /// How long the tasks of this very group were held back by any level's quota, in microseconds.
    pub held_back_usec: Option<u64>,
    /// The most tasks that there ever were at once.
    pub pids_peak: Option<u64>,
    /// What slows a v2 group down that uses much memory.
    pub brake: memory::Brake,
    /// Its part where disks are busy.
    pub disk_weight: Option<u64>,
    /// The limits of disks.
    pub throttles: Vec<io::Throttle>,
    /// Whether it stands still.
    pub freezer: freezer::Stats,
    /// The CPUs that it may run on.
    pub cpus: Option<Set>,
    /// How long tasks had to wait for each resource: v2 alone.
    pub pressure: pressure::Stats,
    /// The inode of the group's folder, which tells it from another one at the same path.
    pub inode: Option<u64>,
}

impl Trees {
    /// Opens them. One that cannot be opened makes its groups unreadable.
    ///
    /// # Errors
    /// A kernel error where it cannot be found out what is mounted.
    pub fn open() -> Result<Self> {
        let hierarchies = Hierarchies::read()?;
        let told = [
            Controller::Memory,
            Controller::Cpu,
            Controller::Pids,
            Controller::Cpuacct,
            Controller::Cpuset,
            Controller::Io,
            Controller::Freezer,
        ];
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

    /// Whether a level of it tells anything of what is asked for.
    #[must_use]
    pub fn tells(&self, detail: Detail) -> bool {
        const LIMITED: [Controller; 3] = [Controller::Memory, Controller::Cpu, Controller::Pids];
        let has = |of: &[Controller]| of.iter().any(|one| self.controllers.contains(one));
        match detail {
            Detail::Limits | Detail::Usage => has(&LIMITED),
            Detail::Use => has(&[Controller::Memory, Controller::Cpu, Controller::Cpuacct, Controller::Pids]),
            Detail::All => !self.controllers.is_empty() || self.version == Version::V2,
        }
    }

    fn open_group(&self, shown: &Path) -> std::result::Result<OwnedFd, Errno> {
        let path = self.below(shown)?;
        let root = self.root.as_ref().map_err(|errno| *errno)?;
        file::open(root.as_fd(), path.relative(), OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The names of the groups right below one that is named as /proc/PID/cgroup names it.
    ///
    /// # Errors
    /// Plain errno, as [`Self::level`].
    pub fn below_group(&self, shown: &Path) -> std::result::Result<Vec<String>, Errno> {
        let names = tree::children(self.open_group(shown)?)?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    /// The processes in a group and in those below it, `most` at most; none in a threaded one.
    ///
    /// # Errors
    /// Plain errno, as [`Self::level`].
    pub fn processes(&self, shown: &Path, most: usize) -> std::result::Result<Vec<HostPid>, Errno> {
        let group = self.open_group(shown)?;
        let mut pids = Vec::new();
        let mut list = |group: BorrowedFd<'_>| {
            if pids.len() < most {
                let text = file::read(group, file::PROCS).unwrap_or_default();
                pids.extend(text.lines().filter_map(|line| line.parse().ok()).map(HostPid));
            }
        };
        list(group.as_fd());
        tree::walk(group.as_fd(), list, |_, _| {})?;
        pids.truncate(most);
        Ok(pids)
    }

    /// The rules of v1 by which a group lets device nodes be used, one of `TYPE MAJOR:MINOR ACCESS` each.
    ///
    /// # Errors
    /// As [`Tree::level`]; `ENOENT` in a hierarchy without the controller too.
    pub fn devices(&self, shown: &Path) -> std::result::Result<Vec<String>, Errno> {
        Ok(file::read(self.open_group(shown)?, devices::LIST_V1)?.lines().map(str::to_owned).collect())
    }

    /// The class that v1's `net_cls` puts on the packets of a group; 0 for none.
    ///
    /// # Errors
    /// As [`Tree::devices`]; `EINVAL` for what is no number.
    pub fn class(&self, shown: &Path) -> std::result::Result<u32, Errno> {
        file::read(self.open_group(shown)?, net_cls::CLASS_V1)?.trim_ascii_end().parse().map_err(|_| Errno::INVAL)
    }

    /// Reads a group, named as /proc/PID/cgroup names it.
    ///
    /// # Errors
    /// Plain errno: `ENOENT` where the group is gone, `EXDEV` where this mount does not show it.
    pub fn level(&self, shown: &Path, detail: Detail) -> std::result::Result<Level, Errno> {
        let group = self.open_group(shown)?;
        let unreadable = RefCell::new(Vec::new());
        let read = |name: &str| match file::read(&group, name) {
            Ok(text) => Some(text),
            // A file may be there and not apply: memsw without swap.
            Err(errno) if !matches!(errno, Errno::ACCESS | Errno::PERM) => None,
            Err(errno) => {
                unreadable.borrow_mut().push((name.to_owned(), errno));
                None
            }
        };
        let wanted = |name: &str, limits: &[&str], uses: &[&str]| match detail {
            Detail::Limits => limits.contains(&name),
            Detail::Use => uses.contains(&name),
            Detail::Usage | Detail::All => true,
        };
        let of = |controller| self.controllers.contains(&controller);
        let v1 = self.version == Version::V1;
        let mut level = Level::default();
        if of(Controller::Memory) {
            let read = |name: &str| wanted(name, &memory::OF_A_LIMIT, &memory::OF_USE).then(|| read(name))?;
            level.memory = Some(if v1 { memory::stats_v1(read) } else { memory::stats_v2(read) });
        }
        if of(Controller::Cpu) {
            let read = |name: &str| wanted(name, &cpu::OF_A_LIMIT, &cpu::OF_USE).then(|| read(name))?;
            level.cpu = Some(if v1 { cpu::stats_v1(read) } else { cpu::stats_v2(read) });
        }
        if of(Controller::Pids) {
            let read = |name: &str| wanted(name, &pids::OF_A_LIMIT, &pids::OF_A_LINE).then(|| read(name))?;
            level.pids = Some(if v1 { pids::stats_v1(read) } else { pids::stats_v2(read) });
        }
        if of(Controller::Cpuacct) && matches!(detail, Detail::Use | Detail::All) {
            let read = |name: &str| (!v1 || cpuacct::OF_A_LINE_V1.contains(&name)).then(|| read(name))?;
            level.cpuacct = Some(if v1 { cpuacct::stats_v1(read) } else { cpuacct::stats_v2(read) });
        }
        if detail == Detail::All {
            level.reasons = self.reasons(&group, read);
        }
        level.unreadable = unreadable.into_inner();
        Ok(level)
    }

    fn reasons(&self, group: &OwnedFd, read: impl Fn(&str) -> Option<String>) -> Reasons {
        let of = |controller| self.controllers.contains(&controller);
        let mut reasons = Reasons { inode: fstat(group).ok().map(|stat| stat.st_ino), ..Reasons::default() };
        let v1 = self.version == Version::V1;
        if of(Controller::Cpu) {
            reasons.held_back_usec = cpu::held_back_usec(&read);
        }
        if of(Controller::Pids) {
            reasons.pids_peak = pids::peak(&read);
        }
        if of(Controller::Memory) && !v1 {
            reasons.brake = memory::brake_v2(&read);
        }
        if of(Controller::Io) {
            reasons.disk_weight = io::weight_of_group(&read);
            reasons.throttles = if v1 { io::throttles_v1(&read) } else { io::throttles_v2(&read) };
        }
        if of(Controller::Freezer) {
            reasons.freezer = if v1 { freezer::stats_v1(&read) } else { freezer::stats_v2(&read) };
        }
        if of(Controller::Cpuset) {
            reasons.cpus = CPUS_EFFECTIVE.into_iter().find_map(|name| Set::parse(&read(name)?));
        }
        if !v1 {
            reasons.pressure = pressure::stats_v2(&read);
        }
        reasons
    }
}
