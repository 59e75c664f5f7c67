//! Namespaces, id mappings and clock offsets. OCI runtime specification, config-linux.md "Namespaces", "User namespace
//! mappings", "Offset for Time Namespace"; namespaces(7).

use serde::{Deserialize, Serialize};

use crate::absent;

/// A namespace that the container does not take from its runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Namespace {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// The file of a namespace to join; a new one is made without it.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub path: Option<String>,
}

/// The kinds of namespaces, by their names in /proc/PID/ns. In the document mnt is `mount` and net is `network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// Mounts.
    #[serde(rename = "mount")]
    Mnt,
    /// Process ids.
    Pid,
    /// Network devices, addresses, ports.
    #[serde(rename = "network")]
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host name and NIS domain name.
    Uts,
    /// User and group ids, and capabilities.
    User,
    /// The root of the cgroup tree.
    Cgroup,
    /// Offsets of the monotonic and boot-time clocks.
    Time,
}

impl NamespaceKind {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::Cgroup, Self::Ipc, Self::Mnt, Self::Net, Self::Pid, Self::Time, Self::User, Self::Uts];

    /// Its name in /proc/PID/ns.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mnt => "mnt",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }
}

/// A range of ids inside and the equally long range outside that stands for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct IdMapping {
    /// The first id inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// The first id outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many ids.
    pub size: u32,
}

/// What a clock inside shows more than the host's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct TimeOffset {
    /// Seconds.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub secs: i64,
    /// Nanoseconds on top of the seconds.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub nanosecs: u32,
}
