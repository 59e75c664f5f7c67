//! Taking away what a plan made on the host. Everything else of a container lives and dies with its processes.

use cgroup::mark::{self, Place};
use cgroup::plan::Parent;
use cgroup::{GroupPath, Groups, Hierarchies, Left};
use error::Result;

/// Removes a container's groups, whose processes are gone, and those of `parents` that nothing else uses.
///
/// # Errors
/// A kernel error where they cannot be looked at. What could not be removed is given, not an error.
pub fn remove(hierarchies: &Hierarchies, path: &GroupPath, parents: &[Parent]) -> Result<Vec<Left>> {
    Ok(Groups::open(hierarchies, path)?.remove(parents))
}

/// Kills what is left in a container's groups first.
///
/// # Errors
/// As [`remove`], and where something cannot be killed.
pub fn kill_and_remove(hierarchies: &Hierarchies, path: &GroupPath, parents: &[Parent]) -> Result<Vec<Left>> {
    let groups = Groups::open(hierarchies, path)?;
    groups.kill()?;
    Ok(groups.remove(parents))
}

/// Takes away the table that marks a container's packets, if its net namespace is still there.
///
/// # Errors
/// A kernel error.
pub fn unmark(path: &GroupPath, place: &Place) -> Result<()> {
    mark::remove(path, place)
}
