//! A container's life: plan, apply, supervise, clean up.
#![forbid(unsafe_code)]

pub mod apply;
pub mod delegate;
pub mod describe;
pub mod entry;
pub mod explain;
pub mod facts;
pub mod hooks;
mod joined;
pub mod label;
pub mod landlock;
pub mod lesson;
mod memory_policy;
pub mod mounts;
pub mod net_device;
pub mod plan;
mod prepare;
pub mod process;
pub mod resctrl;
pub mod root;
mod scheduler;
pub mod seal;
pub mod undo;
pub mod userns;
