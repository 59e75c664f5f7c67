//! What exists, and the operations on it.
#![forbid(unsafe_code)]

mod alarms;
pub mod asleep;
pub mod attach;
pub mod check;
mod checks;
mod clients;
pub mod containers;
pub mod device;
pub mod disk;
pub mod driver;
pub mod event;
pub mod exec;
pub mod files;
pub mod health;
pub mod host;
pub mod images;
pub mod journal;
pub mod launch;
pub mod log;
mod monitor;
pub mod names;
pub mod network;
pub mod options;
pub mod pause;
mod place;
mod processes;
pub mod receipt;
pub mod record;
mod rename;
pub mod restart;
pub mod rootless;
pub mod roots;
pub mod shortage;
pub mod size;
pub mod spec;
mod start;
pub mod stats;
pub mod stop;
pub mod store;
pub mod streams;
mod told;
pub mod update;
pub mod user;
pub mod volume;

pub use procfs::HostPid;
