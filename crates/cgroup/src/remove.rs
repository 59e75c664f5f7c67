//! Taking a container's groups away: rmdir(2) from the deepest one up.
//!
//! A group with processes is busy, and a process that was killed stays in it until it is gone altogether. v2 tells when
//! its group is empty; v1 tells nobody, so there the waits between attempts grow.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use error::{Error, Kernel};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, OFlags, unlinkat};
use rustix::io::Errno;

use crate::file::{EVENTS_V2, populated};
use crate::group::{Groups, Held};
use crate::hierarchy::{Hierarchies, Hierarchy, Mounted, Version};
use crate::path::GroupPath;
use crate::plan::Parent;
use crate::{file, keep, mount, tree};

/// How long all removals together wait for dying processes.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first wait on v1; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// The longest single wait on v1.
const LONGEST_WAIT: Duration = Duration::from_millis(64);

/// A group that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The group: `memory:/carboy-3f`.
    pub group: String,
    /// Why it is still there.
    pub error: Error,
}

pub(crate) fn remove(groups: Groups, parents: &[Parent]) -> Vec<Left> {
    let deadline = Instant::now() + PATIENCE;
    keep::release(&groups.hierarchies, &groups.path);
    let mut left = Vec::new();
    // v2 first: once its group is empty, the waits on v1 are short.
    let unified = groups.hierarchies.unified();
    let (first, rest): (Vec<&Held>, Vec<&Held>) = groups.held.iter().partition(|held| Some(held.index) == unified);
    for held in first.into_iter().chain(rest) {
        if let Err(errno) = remove_one(&groups, held, deadline) {
            let group = groups.name(held.index);
            let error = Kernel::new(format!("remove the cgroup {group}"), errno);
            // Those in it may be gone by now.
            let inside = groups.inhabitants().filter(|_| errno == Errno::BUSY);
            let error = match inside {
                Some(inside) => error.hint(format!("still in it: {inside}; end them, then remove it again")),
                None => error,
            };
            left.push(Left { error: error.into(), group });
        }
    }
    for parent in parents.iter().rev() {
        left.extend(remove_parent(&groups, parent));
    }
    left.extend(unmount(groups));
    left
}

/// Removes the groups at once if nothing is in them. Whether none is left: where there is, the one that tells of all that
/// is in the container is still there.
pub(crate) fn remove_empty(groups: &Groups) -> bool {
    keep::release(&groups.hierarchies, &groups.path);
    let path = groups.path.relative();
    let unified = groups.hierarchies.unified();
    let (first, rest): (Vec<&Held>, Vec<&Held>) = groups.held.iter().partition(|held| Some(held.index) == unified);
    let mut held = first.into_iter().chain(rest);
    held.all(|held| matches!(unlinkat(&held.root, path, AtFlags::REMOVEDIR), Ok(()) | Err(Errno::NOENT)))
}

/// The same without opening anything, where the host has mounted all hierarchies.
#[must_use]
pub fn remove_idle(hierarchies: &Hierarchies, path: &GroupPath) -> bool {
    if path.is_root() || hierarchies.iter().any(|(_, one)| one.mounted != Mounted::ByHost) {
        return false;
    }
    keep::release(hierarchies, path);
    let usable = || hierarchies.iter().filter(|(_, one)| one.obstacle.is_none()).map(|(_, one)| one);
    let unified = usable().filter(|one| one.version == Version::V2);
    let mut in_turn = unified.chain(usable().filter(|one| one.version == Version::V1));
    in_turn.all(|one| {
        let group = one.mount_point.join(path.relative());
        matches!(unlinkat(CWD, &group, AtFlags::REMOVEDIR), Ok(()) | Err(Errno::NOENT))
    })
}

/// Takes away the mounts that were made for containers of which this was the last.
fn unmount(groups: Groups) -> Vec<Left> {
    let Groups { hierarchies, held, .. } = groups;
    let ours =
        |held: &Held| Some(hierarchies.at(held.index).ok()?.clone()).filter(|one| one.mounted != Mounted::ByHost);
    let ours: Vec<Hierarchy> = held.iter().filter_map(ours).collect();
    // What is open on a mount keeps it.
    drop(held);
    let release = |hierarchy: Hierarchy| {
        let errno = mount::release(&hierarchy).err()?;
        let group = hierarchy.mount_point.display().to_string();
        Some(Left { error: Kernel::new(format!("unmount {group}"), errno).into(), group })
    };
    ours.into_iter().filter_map(release).collect()
}

fn remove_one(groups: &Groups, held: &Held, deadline: Instant) -> Result<(), Errno> {
    let path = groups.path.relative();
    let mut wait = FIRST_WAIT;
    loop {
        match unlinkat(&held.root, path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Processes, or groups nested in it, or the kernel has not let go of them yet. A group that is removed by
            // another tool at the same time is gone (ENODEV).
            Err(Errno::BUSY | Errno::NOTEMPTY | Errno::NODEV) => {}
            Err(errno) => return Err(errno),
        }
        let group = match tree::open(&held.root, path) {
            Err(Errno::NOENT) => return Ok(()),
            group => group?,
        };
        let mut removed_below = false;
        let remove_below = |above: BorrowedFd<'_>, name: &CStr| {
            removed_below |= unlinkat(above, name, AtFlags::REMOVEDIR).is_ok();
        };
        match tree::walk(group.as_fd(), |_| {}, remove_below) {
            // Removed under the walk.
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => {}
            Err(errno) => return Err(errno),
        }
        if removed_below {
            continue;
        }
        let now = Instant::now();
        if now >= deadline {
            return Err(Errno::BUSY);
        }
        if Some(held.index) != groups.hierarchies.unified() || !wait_until_empty(group.as_fd(), deadline - now) {
            std::thread::sleep(wait.min(deadline - now));
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Removes the groups that were made before it was found that somebody else has one of them. Nothing is in them yet, and
/// what is not theirs is not touched.
pub(crate) fn unmake(groups: &Groups, parents: &[Parent]) {
    for held in groups.held.iter().filter(|held| held.made) {
        let _ = unlinkat(&held.root, groups.path.relative(), AtFlags::REMOVEDIR);
    }
    for parent in parents.iter().rev() {
        let _ = remove_parent(groups, parent);
    }
}

/// Waits until nothing is in a v2 group or below it. Whether there was something to wait for.
fn wait_until_empty(group: BorrowedFd<'_>, patience: Duration) -> bool {
    let Ok(events) = file::open(group, EVENTS_V2, OFlags::RDONLY) else { return false };
    // Reading first is what arms the poll: a change after it wakes us.
    if file::read_open(&events).ok().and_then(|text| populated(&text)) != Some(true) {
        return false;
    }
    let Ok(patience) = Timespec::try_from(patience) else { return false };
    poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&patience)).is_ok()
}

/// Removes a group above the container's if nothing is in it: others may use it by now.
fn remove_parent(groups: &Groups, parent: &Parent) -> Option<Left> {
    let index = groups.hierarchies.by_key(&parent.hierarchy)?;
    let held = groups.held.iter().find(|held| held.index == index)?;
    match unlinkat(&held.root, parent.path.relative(), AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => None,
        Err(errno) => {
            let group = format!("{}:{}", parent.hierarchy, parent.path);
            Some(Left { error: Kernel::new(format!("remove the cgroup {group}"), errno).into(), group })
        }
    }
}
