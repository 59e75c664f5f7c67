//! OCI documents: what an engine hands to a runtime (config.json) and what a runtime tells of a container (state).
//!
//! Source: OCI runtime specification 1.3, config.md, config-linux.md, runtime.md. Field names are the documents' in snake
//! case. Unknown fields are ignored, as the specification demands; an empty string and `null` mean the same as an absent
//! field, since many writers have no other word for it. A number may be negative where the specification gives that a
//! meaning (a memory limit of -1 is none): the rooms that read it turn it into a type that says so.
#![forbid(unsafe_code)]

mod absent;
mod capability;
mod check;
mod config;
pub mod document;
mod hooks;
pub mod image;
mod landlock;
mod linux;
mod merge;
mod mount;
mod namespace;
mod object;
mod process;
mod resources;
mod seccomp;
mod state;
#[cfg(test)]
mod tests;

pub use capability::{CAPABILITIES, Capabilities};
pub use config::{Config, Root};
pub use hooks::{Hook, Hooks};
pub use landlock::{
    ANNOTATION as LANDLOCK_ANNOTATION, Landlock, LandlockPaths, LandlockPorts, LandlockRules, LandlockRuleset,
};
pub use linux::{
    Device, IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode, NetDevice, Personality,
    PersonalityDomain,
};
pub use mount::Mount;
pub use namespace::{IdMapping, Namespace, NamespaceKind, TimeOffset};
pub use process::{
    ConsoleSize, CpuAffinity, IoPriority, IoPriorityClass, Process, RLIMITS, Rlimit, Scheduler, SchedulerFlag,
    SchedulerPolicy, User,
};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, Network, Pids, Rdma, Resources, ThrottleDevice,
    WeightDevice,
};
pub use seccomp::{Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompFlag, SeccompOp, SeccompRule};
pub use state::{ContainerProcessState, State, Status};
