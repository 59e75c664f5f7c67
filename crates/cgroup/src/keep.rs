//! A scope whose group stays when its processes have ended, until what it counted has been read. systemd takes it away as soon
//! as it is empty, long before who waits for the processes is awake, and of a group that is gone nothing can be read (`ENODEV`).
//!
//! A group with another one below it cannot be taken away (rmdir(2) `EBUSY`), and systemd removes those first. So there is one
//! that it cannot remove: root mounts an empty file system on it (`EBUSY`), no cgroup2, which others look for by its type; a
//! user gives it to another of the user's ids, and what is below it stays (`EACCES`, for the user's systemd). It has no
//! processes and no controllers, and goes before its scope does.

use std::os::fd::AsFd as _;

use error::{Doing, Result};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid, chownat, mkdirat, unlinkat};
use sys::mount::{Attributes, attach, fsmount, fsopen, set_string};

use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::path::GroupPath;
use crate::tree;

/// The group below the scope, and for a user the one below that.
const NAME: &str = "carboy-kept";
/// What systemd takes away by itself has such a name.
const SCOPE: &str = ".scope";
/// Another one of a user's ids, in the user's namespace.
const OTHER: u32 = 1;

/// Lets the group of a scope stay until it is removed; a group that is none stays without it.
///
/// # Errors
/// A kernel error: then it may be gone when it is to be read.
pub fn apply(hierarchies: &Hierarchies, path: &GroupPath) -> Result<()> {
    let Some(hierarchy) = scopes(hierarchies, path) else { return Ok(()) };
    let action = || format!("keep the cgroup {hierarchy}:{path}");
    let scope = tree::open(hierarchy.open()?, path.relative()).doing(action)?;
    let mode = Mode::from_raw_mode(0o755);
    mkdirat(&scope, NAME, mode).doing(action)?;
    let kept = tree::open(&scope, NAME).doing(action)?;
    if hierarchies.are_a_users() {
        mkdirat(&kept, NAME, mode).doing(action)?;
        let (user, group) = (Uid::from_raw(OTHER), Gid::from_raw(OTHER));
        return chownat(&scope, NAME, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW).doing(action);
    }
    let empty = fsopen(c"tmpfs").doing(action)?;
    for (key, value) in [(c"source", c"carboy"), (c"size", c"4k"), (c"mode", c"0")] {
        set_string(empty.as_fd(), key, value).doing(action)?;
    }
    let mount = fsmount(empty.as_fd(), Attributes::READ_ONLY).doing(action)?;
    attach(mount.as_fd(), kept.as_fd()).doing(action)
}

/// Takes away what keeps it. What is not there is passed over; what stays shows when the scope's group is removed.
pub(crate) fn release(hierarchies: &Hierarchies, path: &GroupPath) {
    use rustix::mount::{UnmountFlags, unmount};
    let Some(hierarchy) = scopes(hierarchies, path) else { return };
    let kept = hierarchy.mount_point.join(path.relative()).join(NAME);
    let _ = unmount(&kept, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    for group in [&kept.join(NAME), &kept] {
        let _ = unlinkat(CWD, group, AtFlags::REMOVEDIR);
    }
}

/// The hierarchy in which systemd takes the group away.
fn scopes<'a>(hierarchies: &'a Hierarchies, path: &GroupPath) -> Option<&'a Hierarchy> {
    let unified = hierarchies.unified().filter(|_| path.relative().ends_with(SCOPE))?;
    hierarchies.at(unified).ok().filter(|hierarchy| hierarchy.obstacle.is_none())
}
