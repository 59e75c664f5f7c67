//! A group within a container's own that the container's processes manage themselves: what is above holds whatever they do.
//!
//! cgroup-v2.rst "Delegation": who owns the folder and the files that /sys/kernel/cgroup/delegate lists may make groups below
//! and move processes between them. v1 has no such rule: who may write there may lift the limits.

use std::os::fd::{AsFd, OwnedFd};

use error::{Refused, Result};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, mkdirat};
use rustix::io::Errno;

use crate::file::{self, PROCS};
use crate::hierarchy::Hierarchies;
use crate::path::GroupPath;
use crate::plan::{Place, Step, place};
use crate::tree;

/// The files whose owner manages a group, where the kernel does not list them (before Linux 4.15).
const MANAGED: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";

/// Plans the group `name` in the container's at `path`, for the user and group `owner`: first it is made, and in the end,
/// when the container's first process is in it, controllers are enabled for it. `field` is what refusals name.
///
/// # Errors
/// Refused for what is no name, and on a host without v2.
pub fn plan(
    hierarchies: &Hierarchies,
    path: &GroupPath,
    (field, name): (&str, &str),
    owner: (u32, u32),
) -> Result<[Step; 2]> {
    let unified = hierarchies.unified().and_then(|index| Some((index, hierarchies.at(index).ok()?)));
    let Some((index, hierarchy)) = unified.filter(|(_, hierarchy)| hierarchy.obstacle.is_none()) else {
        let reason = "needs cgroup v2, which cannot be had here: on v1 it would lift the limits";
        return Err(Refused::new(field, name, reason).hint("leave it out, or mount the v2 hierarchy").into());
    };
    let group = path.child(field, name.trim_matches('/'))?;
    Ok([Step::Delegate(place(index, hierarchy, &group), owner), Step::Offer(place(index, hierarchy, path))])
}

/// Makes the group, gives it to its owner, and opens the file by which a process joins it.
pub(crate) fn make(
    root: impl AsFd,
    Place { path, .. }: &Place,
    (user, group): (u32, u32),
) -> std::result::Result<OwnedFd, Errno> {
    mkdirat(&root, path.relative(), Mode::from_raw_mode(0o755))?;
    let made = tree::open(&root, path.relative())?;
    let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| MANAGED.to_owned());
    let own = |name: &str| {
        chownat(&made, name, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), AtFlags::SYMLINK_NOFOLLOW)
    };
    own(".")?;
    for name in listed.lines() {
        match own(name) {
            // Of a controller that this group does not have.
            Err(Errno::NOENT) => {}
            owned => owned?,
        }
    }
    file::open(&made, PROCS, OFlags::WRONLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused() {
        let hierarchies = Hierarchies::read().unwrap();
        let path = GroupPath::parse("test", "/it").unwrap();
        for name in ["", "/", "..", "a/../b"] {
            assert!(plan(&hierarchies, &path, ("the annotation", name), (0, 0)).is_err(), "{name}");
        }
    }
}
