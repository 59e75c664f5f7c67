//! Putting a device program in force for a v2 group, in place of the one that was there: bpf(2), cgroup-v2.rst "Device
//! controller".
//!
//! A group can have several programs, and all must allow. carboy's is known by its name; one that systemd or somebody else
//! attached stays as it is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use sys::bpf::{self, AttachFlags};

use crate::devices::Program;

/// A program that was put in force, and the one of carboy's that it replaced.
#[derive(Debug)]
pub(crate) struct Former {
    now: OwnedFd,
    former: Option<OwnedFd>,
}

impl Program {
    /// Puts it in force for a group that has none of carboy's.
    pub(crate) fn attach(&self, group: BorrowedFd<'_>) -> Result<(), Errno> {
        let program = bpf::prog_load_cgroup_device(&self.instructions)?;
        bpf::prog_attach(group, program.as_fd(), AttachFlags::ALLOW_MULTI)
    }

    /// Puts it in force for a group in place of carboy's former program, which is kept to be put back.
    pub(crate) fn replace(&self, group: BorrowedFd<'_>) -> Result<Former, Errno> {
        let now = bpf::prog_load_cgroup_device(&self.instructions)?;
        let former = attached(group)?;
        match &former {
            Some(former) => exchange(group, now.as_fd(), former.as_fd())?,
            None => bpf::prog_attach(group, now.as_fd(), AttachFlags::ALLOW_MULTI)?,
        }
        Ok(Former { now, former })
    }
}

impl Former {
    /// Puts the group back under the program that it had, or under none of carboy's if it had none.
    pub(crate) fn restore(&self, group: BorrowedFd<'_>) -> Result<(), Errno> {
        match &self.former {
            Some(former) => exchange(group, former.as_fd(), self.now.as_fd()),
            None => bpf::prog_detach(group, self.now.as_fd()),
        }
    }
}

/// Before Linux 5.6 both are in force for a moment: what one of them refuses is refused then, what both allow is not.
fn exchange(group: BorrowedFd<'_>, new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> Result<(), Errno> {
    match bpf::prog_replace(group, new, old) {
        Err(Errno::INVAL) => {
            bpf::prog_attach(group, new, AttachFlags::ALLOW_MULTI)?;
            bpf::prog_detach(group, old)
        }
        result => result,
    }
}

/// The program of carboy's that is attached to a group.
fn attached(group: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let mut ids = [0; bpf::MOST_PROGRAMS];
    let count = bpf::prog_query(group, &mut ids)?;
    for id in ids.into_iter().take(count) {
        let program = bpf::prog_fd_by_id(id)?;
        if bpf::prog_name(program.as_fd())? == bpf::NAME {
            return Ok(Some(program));
        }
    }
    Ok(None)
}
