//! A descriptor that tells at once that memory has run short in a group, so that nobody has to look again and again.
//!
//! v2: `memory.events` wakes `POLLPRI` (cgroup-v2.rst). v1: an eventfd that is written beside an open `memory.oom_control`
//! to `cgroup.event_control` (Documentation/admin-guide/cgroup-v1/memory.rst "OOM Control"). v1 tells before the kernel has
//! killed, also where a level above has run short, and when the group is removed.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use error::{Doing, Kernel, Result};
use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::group::Groups;
use crate::hierarchy::{Controller, Version};
use crate::{file, memory};

/// v1: where descriptors are told to whom an event is told.
const EVENT_CONTROL_V1: &str = "cgroup.event_control";

/// Tells that memory has run short.
#[derive(Debug)]
pub struct Alarm {
    descriptor: OwnedFd,
    version: Version,
}

impl Groups {
    /// An alarm for this container.
    ///
    /// # Errors
    /// A kernel error, `ENOENT` where it has no group that counts memory.
    pub fn memory_alarm(&self) -> Result<Alarm> {
        let none = || Kernel::new("find a group that counts memory", Errno::NOENT);
        let (version, group) = self.controlled(Controller::Memory).ok_or_else(none)?;
        let descriptor = match version {
            Version::V1 => register_v1(group),
            Version::V2 => file::open(group, memory::EVENTS_V2, OFlags::RDONLY),
        };
        let alarm = Alarm { descriptor: descriptor.doing(|| "be told when memory runs short")?, version };
        alarm.clear();
        Ok(alarm)
    }
}

fn register_v1(group: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Errno> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = file::open(group, memory::OOM_CONTROL_V1, OFlags::RDONLY)?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    file::write(group, EVENT_CONTROL_V1, &line)?;
    Ok(event)
}

impl Alarm {
    /// What poll(2) is to wait for.
    #[must_use]
    pub const fn flags(&self) -> PollFlags {
        match self.version {
            Version::V1 => PollFlags::IN,
            Version::V2 => PollFlags::PRI,
        }
    }

    /// Makes it tell of the next time; to be called before anything else is read.
    pub fn clear(&self) {
        let _ = match self.version {
            Version::V1 => rustix::io::read(&self.descriptor, &mut [0_u8; 8]),
            Version::V2 => rustix::io::pread(&self.descriptor, &mut [0_u8; 512], 0),
        };
    }

    /// The descriptor alone, for whoever remembers what it is of.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    /// Whether the kernel tells before it has killed.
    #[must_use]
    pub const fn is_early(&self) -> bool {
        matches!(self.version, Version::V1)
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
