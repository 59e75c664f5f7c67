//! Limits, as the specification has them: in the terms of cgroup v1, with `unified` for anything of v2.
//! OCI runtime specification, config-linux.md "Control groups".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::absent;

/// The limits of a container. What is absent is left as the kernel has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Resources {
    /// Which device nodes can be used, in this order.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub devices: Vec<DeviceRule>,
    /// Memory.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub memory: Option<Memory>,
    /// Processors.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub cpu: Option<Cpu>,
    /// Processes.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub pids: Option<Pids>,
    /// Block devices.
    #[serde(rename = "blockIO")]
    #[serde(default, skip_serializing_if = "absent::is")]
    pub block_io: Option<BlockIo>,
    /// Huge pages.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub hugepage_limits: Vec<HugepageLimit>,
    /// Network classes and priorities.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub network: Option<Network>,
    /// RDMA devices by name.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub rdma: BTreeMap<String, Rdma>,
    /// Files of cgroup v2 and what is written to them.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub unified: BTreeMap<String, String>,
}

/// A rule about device nodes; absent numbers, type and access mean any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// `a` all, `c` character, `b` block.
    #[serde(rename = "type")]
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub kind: Option<String>,
    /// The major number.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub major: Option<i64>,
    /// The minor number.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub minor: Option<i64>,
    /// Letters of `r` read, `w` write, `m` make.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub access: Option<String>,
}

/// Limits of memory in bytes; -1 is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Memory {
    /// Memory.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub limit: Option<i64>,
    /// Memory that is left to it when the host runs short.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub reservation: Option<i64>,
    /// Memory and swap together.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub swap: Option<i64>,
    /// Memory of the kernel. Deprecated; the kernel ignores it.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub kernel: Option<i64>,
    /// Memory of TCP buffers.
    #[serde(rename = "kernelTCP")]
    #[serde(default, skip_serializing_if = "absent::is")]
    pub kernel_tcp: Option<i64>,
    /// How readily memory is swapped out, 0 to 100.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub swappiness: Option<u64>,
    /// Whether processes wait for memory instead of being killed.
    #[serde(rename = "disableOOMKiller")]
    #[serde(default, skip_serializing_if = "absent::is")]
    pub disable_oom_killer: Option<bool>,
    /// Whether groups below count too.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub use_hierarchy: Option<bool>,
    /// Whether a limit below what is in use is refused when limits are changed.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub check_before_update: Option<bool>,
}

/// Limits of processor time; times are in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Cpu {
    /// The weight against other groups.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub shares: Option<u64>,
    /// The time it may run in each period; none or negative is no limit.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub quota: Option<i64>,
    /// The unused time of earlier periods that it may use in one.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub burst: Option<u64>,
    /// The period of `quota`.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub period: Option<u64>,
    /// The time that its real-time tasks may run in each of their periods.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub realtime_runtime: Option<i64>,
    /// The period of `realtime_runtime`.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub realtime_period: Option<u64>,
    /// The processors it may use, as a list like `0-3,7`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub cpus: Option<String>,
    /// The memory nodes it may use, as a list.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub mems: Option<String>,
    /// 1 lets it run only when nobody else wants to.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub idle: Option<i64>,
}

/// The limit of processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Pids {
    /// How many processes and threads; -1 is no limit.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub limit: Option<i64>,
}

/// Weights and limits of block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct BlockIo {
    /// The weight against other groups, 10 to 1000.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub weight: Option<u16>,
    /// The weight of its own tasks against the groups below it.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub leaf_weight: Option<u16>,
    /// Weights for devices.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub weight_device: Vec<WeightDevice>,
    /// Bytes read a second.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    /// Bytes written a second.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    /// Reads a second.
    #[serde(rename = "throttleReadIOPSDevice")]
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    /// Writes a second.
    #[serde(rename = "throttleWriteIOPSDevice")]
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

/// The weights of one block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct WeightDevice {
    /// The device's major number.
    pub major: i64,
    /// The device's minor number.
    pub minor: i64,
    /// The weight against other groups, 10 to 1000.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub weight: Option<u16>,
    /// The weight of the group's own tasks against the groups below it.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub leaf_weight: Option<u16>,
}

/// The limit of one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct ThrottleDevice {
    /// The device's major number.
    pub major: i64,
    /// The device's minor number.
    pub minor: i64,
    /// Bytes or operations a second.
    pub rate: u64,
}

/// The limit of huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct HugepageLimit {
    /// The size, as `2MB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// Marks on the packets of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Network {
    /// The class for tc(8).
    #[serde(rename = "classID")]
    #[serde(default, skip_serializing_if = "absent::is")]
    pub class_id: Option<u32>,
    /// The priority on each interface.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub priorities: Vec<InterfacePriority>,
}

/// The priority on one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct InterfacePriority {
    /// The interface.
    pub name: String,
    /// The priority.
    pub priority: u32,
}

/// The limits of one RDMA device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Rdma {
    /// Open handles.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub hca_handles: Option<u32>,
    /// Objects.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub hca_objects: Option<u32>,
}
