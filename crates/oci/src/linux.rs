//! What only Linux has. OCI runtime specification, config-linux.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{IdMapping, Namespace, Resources, Seccomp, TimeOffset, absent};

/// The Linux part of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Linux {
    /// The users of the container's user namespace.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub uid_mappings: Vec<IdMapping>,
    /// The groups of the container's user namespace.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel settings of the container's namespaces by their dotted names.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub sysctl: BTreeMap<String, String>,
    /// Limits.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub resources: Option<Resources>,
    /// The container's cgroup: absolute from the mount point of a hierarchy, relative from a place that the runtime chooses.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub cgroups_path: Option<String>,
    /// The namespaces that are the container's own or joined. Those of other kinds are its runtime's.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub namespaces: Vec<Namespace>,
    /// Device nodes to make, besides those that every container has.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub devices: Vec<Device>,
    /// Network devices of the host to move into the container, by their names on the host.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// Which system calls it may make.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub seccomp: Option<Seccomp>,
    /// What the container's root shares with the host's mounts: `private`, `slave`, `shared`, `unbindable`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub rootfs_propagation: Option<String>,
    /// Paths inside that are hidden.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub masked_paths: Vec<String>,
    /// Paths inside that are made read-only.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub readonly_paths: Vec<String>,
    /// The SELinux label of the mounts.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub mount_label: Option<String>,
    /// Shares of cache and memory bandwidth.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub intel_rdt: Option<IntelRdt>,
    /// The memory nodes that memory is taken from.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub memory_policy: Option<MemoryPolicy>,
    /// The execution domain.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub personality: Option<Personality>,
    /// Offsets of the clocks `monotonic` and `boottime`.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub time_offsets: Option<BTreeMap<String, TimeOffset>>,
}

/// A device node. mknod(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Device {
    /// Its absolute path inside.
    pub path: String,
    /// `c` or `u` character, `b` block, `p` named pipe.
    #[serde(rename = "type")]
    pub kind: String,
    /// The major number; a pipe has none.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub major: Option<i64>,
    /// The minor number; a pipe has none.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub minor: Option<i64>,
    /// Permission bits.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub file_mode: Option<u32>,
    /// The owner inside.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub uid: Option<u32>,
    /// The group inside.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub gid: Option<u32>,
}

/// A network device inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct NetDevice {
    /// Its name there; absent, it keeps the one it had.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub name: Option<String>,
}

/// Shares of cache and memory bandwidth. Documentation/filesystems/resctrl.rst.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct IntelRdt {
    /// The class of service, a folder of resctrl.
    #[serde(rename = "closID")]
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub clos_id: Option<String>,
    /// Lines for the file `schemata`.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub schemata: Vec<String>,
    /// The line for the third-level cache, `L3:0=ff`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub l3_cache_schema: Option<String>,
    /// The line for the memory bandwidth, `MB:0=50`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub mem_bw_schema: Option<String>,
    /// Whether a monitoring group is made for the container.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub enable_monitoring: bool,
}

/// What set_mempolicy(2) is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct MemoryPolicy {
    /// The policy.
    pub mode: MemoryPolicyMode,
    /// The nodes, as a list like `0-3,7`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub nodes: Option<String>,
    /// Flags.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub flags: Vec<MemoryPolicyFlag>,
}

/// A policy of set_mempolicy(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryPolicyMode {
    /// `MPOL_DEFAULT`.
    #[serde(rename = "MPOL_DEFAULT")]
    Default,
    /// `MPOL_BIND`.
    #[serde(rename = "MPOL_BIND")]
    Bind,
    /// `MPOL_INTERLEAVE`.
    #[serde(rename = "MPOL_INTERLEAVE")]
    Interleave,
    /// `MPOL_WEIGHTED_INTERLEAVE`.
    #[serde(rename = "MPOL_WEIGHTED_INTERLEAVE")]
    WeightedInterleave,
    /// `MPOL_PREFERRED`.
    #[serde(rename = "MPOL_PREFERRED")]
    Preferred,
    /// `MPOL_PREFERRED_MANY`.
    #[serde(rename = "MPOL_PREFERRED_MANY")]
    PreferredMany,
    /// `MPOL_LOCAL`.
    #[serde(rename = "MPOL_LOCAL")]
    Local,
}

impl MemoryPolicyMode {
    /// Every policy.
    pub const ALL: [Self; 7] = [
        Self::Default,
        Self::Bind,
        Self::Interleave,
        Self::WeightedInterleave,
        Self::Preferred,
        Self::PreferredMany,
        Self::Local,
    ];
}

/// A flag of set_mempolicy(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryPolicyFlag {
    /// `MPOL_F_NUMA_BALANCING`.
    #[serde(rename = "MPOL_F_NUMA_BALANCING")]
    NumaBalancing,
    /// `MPOL_F_RELATIVE_NODES`.
    #[serde(rename = "MPOL_F_RELATIVE_NODES")]
    RelativeNodes,
    /// `MPOL_F_STATIC_NODES`.
    #[serde(rename = "MPOL_F_STATIC_NODES")]
    StaticNodes,
}

impl MemoryPolicyFlag {
    /// Every flag.
    pub const ALL: [Self; 3] = [Self::NumaBalancing, Self::RelativeNodes, Self::StaticNodes];
}

/// What personality(2) is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Personality {
    /// The domain.
    pub domain: PersonalityDomain,
    /// Flags; the specification knows none yet.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub flags: Vec<String>,
}

/// An execution domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersonalityDomain {
    /// The machine's own.
    #[serde(rename = "LINUX")]
    Linux,
    /// uname(2) tells of a 32-bit machine.
    #[serde(rename = "LINUX32")]
    Linux32,
}
