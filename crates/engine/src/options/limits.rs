//! What a container is held to, as `run` and `update` are asked for it. Sizes are bytes, times microseconds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cgroup::Limit;
use cgroup::cpuset::Set;
use oci::{DeviceRule, Rdma};
use serde::{Deserialize, Serialize};

use super::check;

/// Everything that can be asked for anew while the container runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<Limit>,
    /// Bytes of memory and swap together.
    pub memory_swap: Option<Limit>,
    /// Bytes of memory that it keeps when the host runs short.
    pub memory_reservation: Option<u64>,
    /// How readily memory is swapped out, 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// Bytes of the kernel's own memory.
    pub kernel_memory: Option<Limit>,
    /// Bytes of TCP buffers.
    pub kernel_memory_tcp: Option<Limit>,
    /// Whether its processes wait for memory instead of being killed.
    pub oom_kill_disable: Option<bool>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Microseconds.
    pub cpu_period_usec: Option<u64>,
    /// Microseconds of CPU time in each period.
    pub cpu_quota_usec: Option<Limit>,
    /// Microseconds of unused quota that it may use later.
    pub cpu_burst_usec: Option<u64>,
    /// Whether it runs only when nobody else wants to.
    pub cpu_idle: Option<bool>,
    /// Microseconds in which `cpu_rt_runtime_usec` counts.
    pub cpu_rt_period_usec: Option<u64>,
    /// Microseconds of CPU time of its realtime tasks in each of their periods.
    pub cpu_rt_runtime_usec: Option<Limit>,
    /// Its weight against its neighbours; 1024 is normal.
    pub cpu_shares: Option<u64>,
    /// The CPUs that it may run on.
    pub cpuset_cpus: Option<Set>,
    /// The memory nodes that it may use.
    pub cpuset_mems: Option<Set>,
    /// Processes and threads.
    pub pids_limit: Option<Limit>,
    /// Its weight against its neighbours at block devices, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same at one device each.
    pub blkio_weight_device: Vec<DiskWeight>,
    /// Bytes read a second.
    pub device_read_bps: Vec<DiskRate>,
    /// Bytes written a second.
    pub device_write_bps: Vec<DiskRate>,
    /// Reads a second.
    pub device_read_iops: Vec<DiskRate>,
    /// Writes a second.
    pub device_write_iops: Vec<DiskRate>,
    /// Further rules on which device nodes it may use.
    pub device_rules: Vec<DeviceRule>,
    /// The class on its packets, as tc(8) and the firewall see it.
    pub net_cls_classid: Option<u32>,
    /// The priority of its packets on each interface.
    pub net_prio: BTreeMap<String, u32>,
    /// Bytes of huge pages of each size: `2MB`.
    pub hugetlb: BTreeMap<String, u64>,
    /// What it may use of each RDMA device.
    pub rdma: BTreeMap<String, Rdma>,
    /// What is written to files of cgroup v2, by their names.
    pub unified: BTreeMap<String, String>,
}

/// The weight at a block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskWeight {
    /// The device's node on the host.
    pub disk: PathBuf,
    /// 10 to 1000.
    pub weight: u16,
}

/// A limit at a block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRate {
    /// The device's node on the host.
    pub disk: PathBuf,
    /// Bytes or operations a second; 0 is no limit.
    pub rate: u64,
}

impl Limits {
    /// The limits of throughput, each with its flag.
    #[must_use]
    pub const fn throttles(&self) -> [(&'static str, &Vec<DiskRate>); 4] {
        [
            ("--device-read-bps", &self.device_read_bps),
            ("--device-write-bps", &self.device_write_bps),
            ("--device-read-iops", &self.device_read_iops),
            ("--device-write-iops", &self.device_write_iops),
        ]
    }

    /// Whether these can be asked for together of a container that has limits already; `host_cpus` is how many CPUs are
    /// online.
    ///
    /// # Errors
    /// Refused, naming the flag.
    pub fn check(&self, host_cpus: u32) -> error::Result<()> {
        check::limits(self, host_cpus)
    }

    /// An error of a container that these limits were asked for, told in flags where it names a field of the configuration.
    #[must_use]
    pub fn in_flags(&self, error: error::Error) -> error::Error {
        match error {
            error::Error::Refused(refused) => check::in_flags(self, *refused).into(),
            error => error,
        }
    }
}
