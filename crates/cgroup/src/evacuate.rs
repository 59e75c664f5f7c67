//! The no-internal-process rule at the top of what a container sees of cgroup v2.
//!
//! cgroup-v2.rst "No Internal Process Constraint": a group with processes of its own cannot enable controllers for the
//! groups below it (`EBUSY`). The real root of the hierarchy is exempt. Inside a container the mount shows another group
//! in its place, and carboy itself is in it, with whatever else runs there; so before the first controller is enabled
//! they all move into a leaf beside the containers. What holds the group above holds them there too.
//!
//! They do not move back: while any container below has a limit the kernel would not let them.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, mkdirat, statat};
use rustix::io::Errno;

use crate::file::{PROCS, TYPE_V2};
use crate::{file, tree};

/// The leaf's name.
pub(crate) const LEAF: &str = "carboy-init";
/// How often the group is looked at again for processes that were started meanwhile.
const ROUNDS: u32 = 100;
/// What a process that is just ending is given between two looks.
const WAIT: Duration = Duration::from_millis(1);

/// Whether the root of a v2 mount is a group under the rule, with processes in it. The real root has no type.
pub(crate) fn is_needed(root: impl AsFd) -> bool {
    let root = root.as_fd();
    let inhabited = || file::read(root, PROCS).is_ok_and(|processes| !processes.is_empty());
    statat(root, TYPE_V2, AtFlags::SYMLINK_NOFOLLOW).is_ok() && inhabited()
}

/// Moves all processes of a group into the leaf below it.
///
/// # Errors
/// As mkdir(2) and a write of `cgroup.procs` give it; `EBUSY` where processes of another pid namespace are in the group,
/// which have no number here, or new ones come faster than they are moved.
pub(crate) fn apply(group: BorrowedFd<'_>) -> Result<(), Errno> {
    match mkdirat(group, LEAF, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let leaf = tree::open(group, LEAF)?;
    for _ in 0..ROUNDS {
        let processes = file::read(group, PROCS)?;
        if processes.is_empty() {
            return Ok(());
        }
        // 0 stands for a process without a number here; written, it would stand for the writer.
        for process in processes.lines().filter(|process| *process != "0") {
            match file::write(&leaf, PROCS, process) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno),
            }
        }
        std::thread::sleep(WAIT);
    }
    Err(Errno::BUSY)
}
