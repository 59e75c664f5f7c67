//! What carboy remembers of a container: names and wishes. What is true of it now is read from the kernel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::log::LogWish;
use crate::options::Mount;
use crate::shortage::{Baseline, Shortage};
use crate::stop::Stop;

/// A container as it was asked for, and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The form of this record.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The name, unique on this host.
    pub name: String,
    /// The root as it was asked for: `host`, a folder, an archive.
    pub image: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// Whether it goes when it ends.
    pub remove: bool,
    /// The user as it was asked for.
    pub user: String,
    /// Where its seccomp filter comes from.
    pub confinement: Confinement,
    /// What was written on it by its maker.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How it is asked to end.
    #[serde(default)]
    pub stop: Stop,
    /// What is kept of its output; `None` where that goes to whoever runs it.
    #[serde(default)]
    pub log: Option<LogWish>,
    /// What was asked to be mounted in it, every volume by its name.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The configuration it runs by.
    pub config: oci::Config,
    /// Its groups: this path in every hierarchy.
    pub group: String,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
}

/// Where a container's seccomp filter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confinement {
    /// carboy's default profile.
    Default,
    /// There is none.
    Unconfined,
    /// The profile in its configuration.
    Profile,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code of `run`: the command's, or 128 and the signal; `None` where nobody was there to see it.
    pub code: Option<i32>,
    /// When it began to run.
    pub started: Option<jiff::Timestamp>,
    /// When it ended.
    pub finished: jiff::Timestamp,
    /// What it had too little of.
    #[serde(flatten)]
    pub shortage: Shortage,
}

/// What exists on the host for a container, so that it can be undone by whoever comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// The name that is claimed for it.
    pub name: String,
    /// Its groups: this path in every hierarchy.
    pub group: String,
    /// Groups above it that were made for it: the hierarchy's key, the path.
    pub parents: Vec<(String, String)>,
    /// Whether it goes when it ends.
    pub remove: bool,
    /// Its first process, once there is one.
    pub process: Option<LiveProcess>,
    /// The net namespace with the table that marks its packets, if there is one.
    #[serde(default)]
    pub table: Option<LiveTable>,
    /// What the levels above it had been short of when it began to run.
    #[serde(default)]
    pub baseline: Option<Baseline>,
}

/// The net namespace that holds a container's table of nftables, whose name is that of its groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTable {
    /// The device of the namespace's file.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// The file by which the container has joined it.
    pub file: Option<String>,
}

/// The first process of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveProcess {
    /// Its PID on the host.
    pub pid: i32,
    /// When it began, in clock ticks since boot: with the PID, an identity that no reuse can take.
    pub start_ticks: u64,
    /// When it was made: from then on it counts as running, once it runs the command.
    pub born: jiff::Timestamp,
    /// The same when it runs the command; `None` while it is being set up.
    pub started: Option<jiff::Timestamp>,
    /// The inode of the interfaces of its network namespace, where it was made in one of its own: whichever process shows
    /// them, they are the container's.
    #[serde(default)]
    pub interfaces: Option<u64>,
}

impl Record {
    /// The form that this carboy writes.
    pub const VERSION: u32 = 1;
}

/// The first twelve digits of an id, as people see it.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
