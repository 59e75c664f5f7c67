//! A room for each cgroup controller, and the groups of a container in every hierarchy of the host.
//!
//! The version is a property of each controller on this host: `plan_v1` and `plan_v2` stand side by side in the
//! controller's file, and so do `stats_v1` and `stats_v2`, which give one type. [`plan::plan`] puts the rooms together
//! without a system call, [`group::Groups`] applies what it gave, one step at a time, and takes it away again.
//!
//! cgroups(7), Documentation/admin-guide/cgroup-v1/, Documentation/admin-guide/cgroup-v2.rst, OCI config-linux.md
//! "Control groups". Sizes are bytes, times microseconds, as in the kernel's files.
#![forbid(unsafe_code)]

pub mod alarm;
pub mod change;
pub mod cpu;
pub mod cpuacct;
pub mod cpuset;
pub mod delegation;
pub mod detail;
mod device_program;
pub mod devices;
mod evacuate;
pub mod facts;
mod file;
pub mod freezer;
pub mod group;
pub mod hierarchy;
pub mod hugetlb;
pub mod io;
pub mod keep;
mod kill;
pub mod ladder;
pub mod lesson;
pub mod level;
pub mod mark;
pub mod memory;
pub mod misc;
mod mount;
pub mod net_cls;
pub mod net_prio;
mod nftables;
pub mod ns;
pub mod owner;
pub mod path;
mod pause;
pub mod payload;
pub mod perf_event;
pub mod pids;
pub mod plan;
pub mod presence;
pub mod pressure;
pub mod rdma;
mod remove;
pub mod sample;
pub mod setting;
pub mod spent;
pub mod stall;
pub mod systemd;
mod tree;
pub mod unified;
pub mod write;

#[cfg(test)]
mod kernel;

pub use facts::HostFacts;
pub use group::Groups;
pub use hierarchy::{Controller, Hierarchies, Hierarchy, HierarchyIndex, Mounted, Version};
pub use ladder::Ladder;
pub use path::GroupPath;
pub use pause::Freezer;
pub use plan::{Asked, Plan, Step, plan};
pub use remove::{Left, remove_idle};
use serde::{Deserialize, Serialize};
pub use setting::{Setting, SettingFile};
pub use write::Write;

/// A limit as the kernel holds it: none at all is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// Nothing is limited: `max` on v2, the largest number or -1 on v1.
    Unlimited,
    /// At most so much, in the unit of its field.
    At(u64),
}
