//! Descriptors that tell when a group stalls: all of its processes that want to run wait for a resource, for a good part of
//! some seconds.
//!
//! Documentation/accounting/psi.rst "Monitoring for pressure thresholds". For a file that was opened with `CAP_SYS_RESOURCE`
//! the kernel starts a thread for the group (`psimon`); without it, since Linux 6.4, the worker looks that computes the
//! averages anyway, and a window is a multiple of two seconds.

use std::os::fd::OwnedFd;

use error::{Doing, Result};
use rustix::fs::OFlags;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use serde::{Deserialize, Serialize};

use crate::group::Groups;
use crate::{file, pressure};

/// What a group can stall on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// The CPU, also because a quota has run out.
    Cpu,
    /// Memory that is reclaimed or read in again.
    Memory,
    /// Disks.
    Io,
}

impl Resource {
    /// All.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Io];

    /// As the kernel calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }

    const fn file(self) -> &'static str {
        let [cpu, memory, io] = pressure::OF_A_LINE;
        match self {
            Self::Cpu => cpu,
            Self::Memory => memory,
            Self::Io => io,
        }
    }
}

/// All waited for two fifths of two seconds.
const TRIGGER: &str = "full 800000 2000000";
/// Then the average of ten seconds is beyond this, in hundredths of a percent.
const STALLED: u32 = 500;

impl Groups {
    /// Descriptors that tell by `POLLPRI`, of each of these resources for which that can be had: on v2, and of the v2 group on a hybrid
    /// host.
    #[must_use]
    pub fn stall_alarms(&self, resources: &[Resource]) -> Vec<(Resource, OwnedFd)> {
        // Without it nothing is asked for that would cost a thread.
        let Ok(_without) = Without::sys_resource() else { return Vec::new() };
        let alarm = |resource: &Resource| Some((*resource, self.stall_alarm(*resource).ok()?));
        resources.iter().filter_map(alarm).collect()
    }

    fn stall_alarm(&self, resource: Resource) -> Result<OwnedFd> {
        let action = || format!("be told when {} stalls on {}", self.path(), resource.name());
        let unified = self.hierarchies().unified().ok_or(error::Errno::NOENT).doing(action)?;
        let alarm = file::open(self.group(unified)?, resource.file(), OFlags::RDWR | OFlags::NONBLOCK).doing(action)?;
        file::write_open(&alarm, TRIGGER).doing(action)?;
        Ok(alarm)
    }
}

/// Whether a group stalls on what this descriptor tells of; `None` where the group is gone.
#[must_use]
pub fn stalls(alarm: &OwnedFd) -> Option<bool> {
    let mut text = [0; 512];
    let length = rustix::io::pread(alarm, &mut text, 0).ok()?;
    let full = pressure::parse(std::str::from_utf8(text.get(..length)?).ok()?)?.full;
    Some(full.is_some_and(|line| line.avg10 >= STALLED))
}

/// As long as it lives, this thread goes without a capability.
struct Without(CapabilitySets);

impl Without {
    fn sys_resource() -> Result<Self> {
        let action = || "do without CAP_SYS_RESOURCE";
        let held = capabilities(None).doing(action)?;
        let effective = held.effective.difference(CapabilitySet::SYS_RESOURCE);
        set_capabilities(None, CapabilitySets { effective, ..held }).doing(action)?;
        Ok(Self(held))
    }
}

impl Drop for Without {
    fn drop(&mut self) {
        let _ = set_capabilities(None, self.0);
    }
}
