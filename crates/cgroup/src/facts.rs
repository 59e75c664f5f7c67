//! What must be known of the host before groups can be planned: which groups above exist, and what they have to give.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use error::{Doing, Result};
use rustix::fs::{AtFlags, OFlags, statat};
use rustix::io::Errno;

use crate::file::SUBTREE_CONTROL_V2;
use crate::hierarchy::{Controller, Hierarchies, Hierarchy, HierarchyIndex, Mounted, Version, parse_controllers};
use crate::path::GroupPath;
use crate::systemd::Instance;
use crate::{cpu, cpuset, delegation, evacuate, file, hugetlb, io, memory, systemd};

/// What the groups above a new one are like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostFacts {
    /// How many of the path's ancestors, the root counted, exist in each hierarchy, in the order of [`Hierarchies`].
    pub ancestors: Vec<usize>,
    /// What the nearest existing group above has of CPUs and memory nodes; `None` without a cpuset controller.
    pub cpuset: Option<cpuset::Available>,
    /// The nearest bandwidth limit above, on v1.
    pub bandwidth: Option<cpu::Bandwidth>,
    /// Whether swap limits exist. v2 has them wherever the kernel has swap at all.
    pub swap: bool,
    /// Where systemd makes the container's groups: the unit, and systemd's version. `None` where carboy makes them.
    pub systemd: Option<Commission>,
    /// What each existing ancestor has enabled for the groups below it in the v2 hierarchy, the root first.
    pub enabled: Vec<Vec<Controller>>,
    /// Whether the root of the v2 mount, or of the part of it that was handed over to the caller, has processes and is not
    /// the hierarchy's real root: nothing can be enabled below it until they are elsewhere.
    pub inhabited: bool,
    /// The weight files of block devices; `None` where no group above was looked at for them.
    pub weights: Option<io::WeightFiles>,
    /// The sizes of huge pages that the host has, as files are named after them; none where nothing accounts for them.
    pub page_sizes: Vec<String>,
}

/// What systemd is asked to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commission {
    /// The container's unit.
    pub unit: systemd::Unit,
    /// systemd's version, by which it knows properties.
    pub version: u32,
    /// What `systemctl status` calls the unit.
    pub description: String,
    /// The runtime folder of the user whose systemd it is; `None` for the system's.
    pub runtime_dir: Option<PathBuf>,
}

impl Commission {
    /// Asks the systemd that is to make the unit for its version and, for a user's, for the group that it is in.
    ///
    /// # Errors
    /// A kernel error where it does not answer.
    pub fn connect(unit: systemd::Unit, description: String, runtime_dir: Option<PathBuf>) -> Result<Self> {
        let mut commission = Self { unit, version: 0, description, runtime_dir };
        let mut manager = systemd::Manager::connect(commission.instance())?;
        commission.version = manager.version();
        if commission.runtime_dir.is_some() {
            commission.unit = commission.unit.below(&manager.own_group()?);
        }
        Ok(commission)
    }

    /// The hierarchies in which the unit's groups are made: for a user, what was handed over to the user's systemd.
    ///
    /// # Errors
    /// A kernel error.
    pub fn hierarchies(&self, hierarchies: Hierarchies) -> Result<Hierarchies> {
        if self.runtime_dir.is_none() {
            return Ok(hierarchies);
        }
        let depth = self.unit.slice().path().ancestors().len() + 1;
        let mut above = std::iter::successors(Some(self.unit.path().clone()), GroupPath::parent);
        let of_manager = above.nth(depth).unwrap_or_else(GroupPath::root);
        let top = delegation::around(&hierarchies, of_manager)?;
        hierarchies.handed_over(top.map(|found| found.top).as_ref())
    }

    /// Which systemd makes it.
    #[must_use]
    pub fn instance(&self) -> Instance<'_> {
        match &self.runtime_dir {
            None => Instance::System,
            Some(runtime_dir) => Instance::User { runtime_dir },
        }
    }
}

impl HostFacts {
    /// Reads what stands above the group at `path`.
    ///
    /// # Errors
    /// A kernel error where a hierarchy cannot be opened. What merely cannot be read counts as not there.
    pub fn read(hierarchies: &Hierarchies, path: &GroupPath) -> Result<Self> {
        let mut facts = Self { swap: true, ..Self::default() };
        if hierarchies.of(Controller::Hugetlb).is_some() {
            facts.page_sizes = page_sizes();
        }
        let ancestors = path.ancestors();
        for (index, hierarchy) in hierarchies.iter() {
            facts.ancestors.push(1);
            if hierarchy.obstacle.is_some()
                || hierarchy.mounted != Mounted::ByHost
                || !is_needed(hierarchies, index, hierarchy, &ancestors)
            {
                continue;
            }
            let groups = existing(&hierarchy.open()?, &ancestors).doing(|| format!("open {hierarchy}:{path}"))?;
            if let Some(count) = facts.ancestors.last_mut() {
                *count = groups.len();
            }
            facts.read_controllers(hierarchies, index, hierarchy, &groups);
            if hierarchy.version == Version::V1 && hierarchies.index_of(Controller::Cpuset) == Some(index) {
                let read = |group, name: &str| file::read(group, name).ok();
                let above = ancestors.iter().zip(&groups);
                let above = above.map(|(path, group)| (path, move |name: &str| read(group, name)));
                facts.cpuset = cpuset::Available::read_v1(above);
            }
        }
        Ok(facts)
    }

    fn read_controllers(
        &mut self,
        hierarchies: &Hierarchies,
        index: HierarchyIndex,
        hierarchy: &Hierarchy,
        groups: &[OwnedFd],
    ) {
        let here = |controller| hierarchies.index_of(controller) == Some(index);
        let text = |group: &OwnedFd, name: &str| file::read(group, name).ok();
        // The nearest group comes first; the root of a hierarchy has no limits.
        let mut nearest = groups.iter().rev();
        if hierarchy.version == Version::V2 {
            let enabled =
                |group| text(group, SUBTREE_CONTROL_V2).map_or_else(Vec::new, |text| parse_controllers(&text));
            self.enabled = groups.iter().map(enabled).collect();
            self.inhabited = groups.get(hierarchy.first_level()).is_some_and(evacuate::is_needed);
            if here(Controller::Io) {
                self.weights = Some(io::WeightFiles::read_v2(|name| any_has(groups, name), schedulers()));
            }
            if here(Controller::Cpuset) {
                self.cpuset = nearest.find_map(|group| cpuset::Available::read_v2(|name| text(group, name)));
            }
            return;
        }
        if here(Controller::Io) {
            self.weights = Some(io::WeightFiles::read_v1(|name| any_has(groups, name)));
        }
        if here(Controller::Memory) {
            let has =
                |name: &str| groups.last().is_some_and(|group| statat(group, name, AtFlags::SYMLINK_NOFOLLOW).is_ok());
            self.swap = memory::accounts_swap_v1(has);
        }
        if here(Controller::Cpu) {
            let limited = groups.iter().skip(1).rev();
            self.bandwidth = limited.clone().find_map(|group| cpu::Bandwidth::read_v1(|name| text(group, name)));
        }
    }
}

/// Below the root of a hierarchy only some controllers have something to ask for; deeper, every hierarchy has.
fn is_needed(hierarchies: &Hierarchies, index: HierarchyIndex, hierarchy: &Hierarchy, ancestors: &[GroupPath]) -> bool {
    let asked = [Controller::Cpuset, Controller::Memory, Controller::Io];
    ancestors.len() > 1
        || asked.into_iter().any(|controller| hierarchies.index_of(controller) == Some(index))
        || (hierarchy.version == Version::V2 && !hierarchy.controllers.is_empty())
}

/// Where the kernel has a folder for each size of huge pages.
const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages";

/// The host's sizes of huge pages.
pub(crate) fn page_sizes() -> Vec<String> {
    listed(HUGE_PAGES).iter().filter_map(|name| hugetlb::page_size(name)).collect()
}

/// Where the kernel has a link for each disk.
const DISKS: &str = "/sys/block";

/// What is in a folder, sorted; nothing where it cannot be read.
fn listed(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// What can schedule each disk; those for which there is no choice are left out.
fn schedulers() -> impl Iterator<Item = String> {
    let read = |disk: String| std::fs::read_to_string(format!("{DISKS}/{disk}/queue/scheduler")).ok();
    std::iter::once(()).flat_map(|()| listed(DISKS)).filter_map(read).filter(|text| text.trim() != "none").take(1)
}

fn any_has(groups: &[OwnedFd], name: &str) -> bool {
    groups.iter().any(|group| statat(group, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

/// The existing ones of a path's ancestors, the root first.
fn existing(root: &OwnedFd, ancestors: &[GroupPath]) -> std::result::Result<Vec<OwnedFd>, Errno> {
    let mut groups = Vec::new();
    for ancestor in ancestors {
        match file::open(root, ancestor.relative(), OFlags::PATH | OFlags::DIRECTORY) {
            Ok(group) => groups.push(group),
            Err(Errno::NOENT) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(groups)
}
