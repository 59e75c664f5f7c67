//! The processes of a running container, by their numbers on the host.

use std::collections::{BTreeMap, BTreeSet};

use cgroup::{GroupPath, Groups, Hierarchies};
use error::Result;
use procfs::HostPid;

use crate::containers::{Engine, Status, not_running};

impl Engine {
    /// Every process in a container's groups; of one that has no groups, its first process and all that come from it.
    ///
    /// # Errors
    /// Refused where it does not run; a kernel error.
    pub fn processes(&self, word: &str) -> Result<Vec<HostPid>> {
        let container = self.find(word)?;
        let Status::Running(first) = &container.status else { return Err(not_running(&container).into()) };
        let path = GroupPath::parse("the recorded group", &container.record.group)?;
        let groups = Groups::open(&Hierarchies::read()?, &path)?;
        if groups.present().next().is_some() {
            let pids = groups.processes()?;
            return Ok(pids.iter().map(|pid| HostPid(pid.as_raw_nonzero().get())).collect());
        }
        let mut parents = BTreeMap::new();
        for pid in procfs::processes()? {
            if let Some(parent) = procfs::stat(pid).ok().and_then(|stat| stat.parent) {
                parents.insert(pid, parent);
            }
        }
        Ok(family(HostPid(first.pid), &parents))
    }
}

/// A process with its children and theirs, in the order of their numbers; `parents` has the parent of each.
pub(crate) fn family(first: HostPid, parents: &BTreeMap<HostPid, HostPid>) -> Vec<HostPid> {
    let mut family = BTreeSet::from([first]);
    loop {
        let known = family.len();
        let children = parents.iter().filter(|(_, parent)| family.contains(*parent)).map(|(child, _)| *child);
        let children: Vec<HostPid> = children.collect();
        family.extend(children);
        if family.len() == known {
            return family.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_all_that_come_from_its_first() {
        let parents = [(5, 1), (9, 5), (6, 9), (7, 1), (8, 7)];
        let parents = parents.map(|(child, parent)| (HostPid(child), HostPid(parent))).into();
        assert_eq!(family(HostPid(5), &parents), [5, 6, 9].map(HostPid));
    }
}
