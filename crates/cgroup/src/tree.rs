//! Walking the groups below one, deepest first, with one descriptor however deep they are: a container that can write
//! its cgroups can nest them without bound.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;

use crate::file;

/// Opens the group `name` below another, as a handle.
pub(crate) fn open(above: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    file::open(above, name, OFlags::PATH | OFlags::DIRECTORY)
}

/// What is mounted on a group is none.
fn open_name(above: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    use rustix::fs::{Mode, ResolveFlags, openat2};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(above, name, flags, Mode::empty(), ResolveFlags::NO_XDEV)
}

/// The names of the groups right below one.
pub(crate) fn children(group: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    // A handle cannot be listed.
    for entry in Dir::new(file::open(group, ".", OFlags::RDONLY | OFlags::DIRECTORY)?)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Whether no process is in a group or in those below it, as far as can be seen.
pub(crate) fn is_uninhabited(group: BorrowedFd<'_>) -> bool {
    let is_empty = |group: BorrowedFd<'_>| file::read(group, file::PROCS).is_ok_and(|listed| listed.is_empty());
    let mut empty = is_empty(group);
    walk(group, |below| empty &= is_empty(below), |_, _| {}).is_ok() && empty
}

/// A group on the way down, and those below it that are still to be visited.
struct Level {
    name: CString,
    children: Vec<CString>,
}

/// Calls `enter` with every group below `group`, and `leave` with its parent and its name once all below it is done.
/// Groups that vanish meanwhile are passed over.
pub(crate) fn walk(
    group: BorrowedFd<'_>,
    mut enter: impl FnMut(BorrowedFd<'_>),
    mut leave: impl FnMut(BorrowedFd<'_>, &CStr),
) -> Result<(), Errno> {
    let mut current = open_name(group, c".")?;
    let mut levels = vec![Level { name: CString::default(), children: children(&current)? }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.children.pop() {
            let Ok(below) = open_name(&current, &name) else { continue };
            let Ok(children) = children(&below) else { continue };
            enter(below.as_fd());
            levels.push(Level { name, children });
            current = below;
            continue;
        }
        let Some(Level { name, .. }) = levels.pop() else { break };
        if levels.is_empty() {
            break;
        }
        current = open_name(&current, c"..")?;
        leave(current.as_fd(), &name);
    }
    Ok(())
}
