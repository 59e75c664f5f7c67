//! A scope before its container: systemd makes none without a process, so a placeholder keeps the place.
//!
//! It is a child that waits and does nothing else, and it ends when its parent does, however that ends: systemd then
//! removes the empty scope by itself. As a copy of its parent it has open what that had, so it should not last.

use std::os::fd::{AsFd, OwnedFd};

use child::{Scene, Step, Turn};
use error::{Doing, Result};
use sys::namespace::Kinds;

use crate::path::GroupPath;

const SIGKILL: i32 = 9;

/// A scope that a placeholder keeps. Dropped, it goes, unless another process is in it by then.
#[derive(Debug)]
pub struct Scope {
    pub(super) group: GroupPath,
    pub(super) placeholder: Placeholder,
}

impl Scope {
    /// The scope's group, from the root of every hierarchy in which systemd makes groups.
    #[must_use]
    pub const fn group(&self) -> &GroupPath {
        &self.group
    }

    /// Ends the placeholder: the container's process is in.
    pub fn release(self) {
        drop(self.placeholder);
    }
}

/// A process that waits to be ended.
#[derive(Debug)]
pub(super) struct Placeholder {
    pid: i32,
    pidfd: OwnedFd,
    #[cfg_attr(not(test), expect(dead_code, reason = "the process ends when it is closed"))]
    parent: OwnedFd,
}

impl Placeholder {
    pub(super) fn start() -> Result<Self> {
        let doing = || "start the process that keeps a systemd scope";
        let (parent, sync) = sys::socket::pair().doing(doing)?;
        let (parent_end, sync_end) = (parent.as_fd(), sync.as_fd());
        let scene = Scene {
            sync: sync_end,
            parent: parent_end,
            namespaces: &[],
            groups: &[],
            mounts: &[],
            standard: [sync_end; 3],
            gate: None,
        };
        // In a session of its own no terminal's signal ends it.
        let steps = [Step::NewSession, Step::Await(Turn::Ready)];
        let child = child::spawn(Kinds::NONE, None, &steps, &scene).doing(doing)?;
        Ok(Self { pid: child.pid, pidfd: child.pidfd, parent })
    }

    /// As systemd numbers it: they share a pid namespace, or systemd would not be reached.
    pub(super) const fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        // It may have ended by itself, and a caller that reaps all its children may have taken the zombie.
        let _ = sys::process::send_signal(self.pidfd.as_fd(), SIGKILL);
        while sys::process::wait(self.pidfd.as_fd()) == Err(sys::Errno::INTR) {}
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn has_ended(placeholder: &Placeholder, patience: Timespec) -> bool {
        poll(&mut [PollFd::new(&placeholder.pidfd, PollFlags::IN)], Some(&patience)).unwrap() == 1
    }

    #[test]
    fn a_placeholder_waits_and_ends_with_its_parent() {
        let placeholder = Placeholder::start().unwrap();
        assert!(!has_ended(&placeholder, Timespec { tv_sec: 0, tv_nsec: 50_000_000 }));
        // Closing is not enough here: the other tests' placeholders are copies of this process too.
        rustix::net::shutdown(&placeholder.parent, rustix::net::Shutdown::Both).unwrap();
        assert!(has_ended(&placeholder, Timespec { tv_sec: 10, tv_nsec: 0 }));
    }
}
