//! What carboy remembers of a container: names and wishes. What is true of it now is read from the kernel.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::driver::Driver;
use crate::health::Health;
use crate::options::RunOptions;
use crate::receipt::Receipt;
use crate::shortage::{Baseline, Shortage};

/// A container as it was asked for, and how it ended last.
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
    /// What was asked for: what every start is made from.
    pub options: RunOptions,
    /// By what it has its root.
    #[serde(default, skip_serializing_if = "Driver::is_overlay")]
    pub driver: Driver,
    /// Where its seccomp filter comes from.
    pub confinement: Confinement,
    /// The configuration it runs by.
    pub config: oci::Config,
    /// Its groups: this path in every hierarchy.
    pub group: String,
    /// When it was last begun with; `None` where it never was.
    pub begun: Option<jiff::Timestamp>,
    /// What whoever has a say in it wants of it.
    pub wanted: Wanted,
    /// How often it was started again by itself since it was last asked to start.
    pub restarts: u32,
    /// How it ended last; `None` while it runs.
    pub exit: Option<Exit>,
}

/// What is wanted of a container that has been started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// That it runs.
    Running,
    /// That it does not: it was stopped.
    Stopped,
    /// That it is started again by whoever stops it just now: one that would go when it ends stays.
    Again,
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
    /// Why it could not be started again, where that is how it ended.
    #[serde(default)]
    pub error: Option<String>,
    /// What its checks had told.
    #[serde(default)]
    pub health: Option<Health>,
    /// What it had too little of.
    #[serde(flatten)]
    pub shortage: Shortage,
    /// What it has cost; `None` where nobody was there to read it.
    #[serde(default)]
    pub receipt: Option<Receipt>,
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
    /// What becomes of the container when nothing of it is on the host any more.
    pub after: After,
    /// Its first process, once there is one.
    pub process: Option<LiveProcess>,
    /// Who takes care of that.
    #[serde(default)]
    pub monitor: Option<LiveMonitor>,
    /// The net namespace with the table that marks its packets, if there is one.
    #[serde(default)]
    pub table: Option<LiveTable>,
    /// What the levels above it had been short of when it began to run.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// It has ended, and its monitor starts it again then.
    #[serde(default)]
    pub again: Option<jiff::Timestamp>,
    /// How it ended, where its record could not be written.
    #[serde(default)]
    pub exit: Option<Exit>,
}

/// What becomes of a container when nothing of it is on the host any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum After {
    /// It goes.
    Remove,
    /// It goes, and the volumes that were made for it stay.
    RemoveButVolumes,
    /// It goes if it has not come to run: it is just being made.
    KeepIfItRan,
    /// It stays.
    Keep,
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

/// The process that takes care of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMonitor {
    /// Its PID on the host.
    pub pid: i32,
    /// As in [`LiveProcess`].
    pub start_ticks: u64,
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

/// A second in `start_ticks`: sysconf(3) `_SC_CLK_TCK` is 100 for every program.
const TICKS: u64 = 100;

impl LiveProcess {
    /// How long ago it began, whatever the clock has been set to meanwhile. Time in which the host slept counts.
    #[must_use]
    pub fn age(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0));
        now.saturating_sub(Duration::from_millis(self.start_ticks.saturating_mul(1000 / TICKS)))
    }
}

impl Exit {
    /// An end of which nothing is known but that it is over now.
    pub(crate) fn unseen(started: Option<jiff::Timestamp>) -> Self {
        let (finished, shortage) = (jiff::Timestamp::now(), Shortage::default());
        Self { code: None, started, finished, error: None, health: None, shortage, receipt: None }
    }
}

impl Live {
    /// Of a container that is about to be made or started.
    pub(crate) fn new(record: &Record, after: After) -> Self {
        Self::named(&record.name, &record.group, after)
    }

    pub(crate) fn named(name: &str, group: &str, after: After) -> Self {
        let (name, group) = (name.to_owned(), group.to_owned());
        let (process, monitor, table, baseline, again, exit) = (None, None, None, None, None, None);
        Self { name, group, parents: Vec::new(), after, process, monitor, table, baseline, again, exit }
    }
}

impl Record {
    /// The form that this carboy writes.
    pub const VERSION: u32 = 2;
}

/// The first twelve digits of an id, as people see it.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
