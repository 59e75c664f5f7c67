//! Process ids. The same number means another process in another pid namespace, so inside and outside are two types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process id as this process sees it: in the pid namespace of the /proc that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostPid(pub i32);

/// A process id as a container sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InsidePid(pub i32);

impl HostPid {
    /// The kernel writes 0 for a process that the reader cannot see.
    pub(crate) fn unless_zero(number: i32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

impl fmt::Display for HostPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InsidePid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
