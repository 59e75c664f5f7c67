//! What a container has cost in all: read when it has ended and its groups are still there, and kept in its record.

use std::time::Duration;

use cgroup::{GroupPath, Groups, Hierarchies};
use procfs::Interfaces;
use serde::{Deserialize, Serialize};

/// What one run of a container has cost. What could not be read is absent, which is not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// How long it ran, in microseconds.
    pub ran_usec: u64,
    /// CPU time that its processes used, in microseconds.
    pub cpu_usec: Option<u64>,
    /// How long its own quota of CPU time held them back, in microseconds.
    pub throttled_usec: Option<u64>,
    /// The most memory that it had at any time, page cache included.
    pub memory_peak_bytes: Option<u64>,
    /// Bytes read from disks.
    pub read_bytes: Option<u64>,
    /// Bytes written to disks.
    pub written_bytes: Option<u64>,
    /// Bytes received by the interfaces of its own network namespace, without the loopback's; absent without one.
    pub received_bytes: Option<u64>,
    /// Bytes sent by them.
    pub sent_bytes: Option<u64>,
}

impl Receipt {
    /// Reads it for a container that has run for so long.
    pub(crate) fn read(
        (hierarchies, group): (&Hierarchies, &GroupPath),
        interfaces: Option<&Interfaces>,
        ran: Duration,
    ) -> Self {
        let spent = Groups::open(hierarchies, group).map(|groups| groups.spent()).unwrap_or_default();
        let traffic = interfaces.and_then(|interfaces| interfaces.traffic().ok());
        Self {
            ran_usec: u64::try_from(ran.as_micros()).unwrap_or(u64::MAX),
            cpu_usec: spent.cpu_usec,
            throttled_usec: spent.throttled_usec,
            memory_peak_bytes: spent.memory_peak_bytes,
            read_bytes: spent.read_bytes,
            written_bytes: spent.written_bytes,
            received_bytes: traffic.map(|traffic| traffic.received_bytes),
            sent_bytes: traffic.map(|traffic| traffic.sent_bytes),
        }
    }
}
