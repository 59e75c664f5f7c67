//! What the kernel shows of every container on the host, whoever runs it: one [`Snapshot`], and pure functions of it.
//!
//! The kernel is the truth and the state files of engines add names only. What could not be read stands in
//! [`Snapshot::blind`]. A snapshot can be written as JSON and be looked at elsewhere.
#![forbid(unsafe_code)]

mod btf;
pub mod compare;
pub mod door;
pub mod ended;
pub mod find;
mod firewall;
pub mod ladder;
mod legible;
mod limits;
pub mod log;
mod names;
mod namespaces;
mod network;
mod reach;
pub mod reached;
pub mod recognise;
pub mod relation;
pub mod snapshot;
pub mod source;
mod surroundings;
mod tasks;
pub mod watch;
pub mod why;

pub use snapshot::Snapshot;

#[cfg(test)]
mod samples;

#[cfg(test)]
mod kernel;
