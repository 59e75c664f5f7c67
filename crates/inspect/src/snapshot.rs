//! A host at one moment: processes, namespaces, groups and containers that point to each other by their places in the
//! lists. The JSON form is this file, field by field.

pub mod network;

use std::path::PathBuf;

use procfs::{HostId, HostPid, IdMap, InsidePid, Kind, Listening};
use serde::{Deserialize, Serialize};

/// The form of the JSON. It grows when a field changes its meaning or goes; new fields do not change it.
pub const VERSION: u32 = 1;

/// A host at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`VERSION`] of the carboy that took it.
    pub version: u32,
    /// When, in milliseconds since 1970.
    pub at_msec: u64,
    /// The same in microseconds since the kernel started, by which two snapshots are compared; 0 where it is not known.
    #[serde(default)]
    pub up_usec: u64,
    /// The machine.
    pub host: Host,
    /// Every process that /proc shows.
    pub processes: Vec<Process>,
    /// Every namespace that was found.
    pub namespaces: Vec<Namespace>,
    /// The groups that the processes told of are in, and those above.
    pub groups: Vec<Group>,
    /// Processes that belong together and apart from the host.
    pub containers: Vec<Container>,
    /// The host's network interfaces whose other end is in another namespace.
    #[serde(default)]
    pub links: Vec<Link>,
    /// The networks of the containers and processes that were asked about by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<network::Network>,
    /// What could not be read.
    pub blind: Vec<Blind>,
}

/// An interface of the viewer's network namespace whose other end is in another: one half of a veth pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// The number of its other end there.
    pub peer: u32,
    /// The namespace of the other end in [`Snapshot::namespaces`]; `None` where no process is in it.
    pub namespace: Option<usize>,
}

/// The machine, and how much of it the one who looked may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// How many CPUs it has.
    pub cpus: u64,
    /// Its memory.
    pub memory_bytes: u64,
    /// The interfaces of its hierarchies.
    pub cgroups: CgroupMode,
    /// The host's own namespace of each kind, in the order of [`Kind::ALL`], where it is known.
    pub namespaces: [Option<HostNamespace>; 8],
    /// Who looked.
    pub viewer: HostId,
    /// How long its processes waited, where that was looked at.
    #[serde(default)]
    pub stalls: Stalls,
    /// What of its memory could be used at once, in bytes.
    #[serde(default)]
    pub available_bytes: Reading,
    /// Whether code can be loaded into the kernel; `None` where that was not looked at.
    #[serde(default)]
    pub modules: Option<bool>,
    /// The file system of its root, by major and minor number.
    #[serde(default)]
    pub root_device: Option<(u32, u32)>,
    /// The block devices that this lies on: a partition and its disk, what a mapped device is made of.
    #[serde(default)]
    pub disks: Vec<(u32, u32)>,
    /// Of the files that tell of the whole kernel or turn it off, and that engines hide, those that this kernel has.
    #[serde(default)]
    pub kernel_files: Vec<PathBuf>,
}

/// Which interfaces of cgroups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupMode {
    /// None.
    None,
    /// v1 alone.
    V1,
    /// v2 alone.
    V2,
    /// Both.
    Hybrid,
}

/// A namespace of the host's own, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNamespace {
    /// Its inode.
    pub ino: u64,
    /// How that is known.
    pub known: Known,
}

/// How a namespace is known to be the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// The kernel gives its first namespaces these numbers: <linux/proc_ns.h>.
    Fixed,
    /// PID 1 is in it.
    Init,
    /// The one who looks is in it: what is outside of that is not to be seen.
    Viewer,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number on the host.
    pub pid: HostPid,
    /// The namespaces that it is in, in the order of [`Kind::ALL`].
    pub namespaces: [Spot; 8],
    /// More of it; `None` where nothing more was asked for, or where it ended meanwhile.
    pub facts: Option<Box<Facts>>,
    /// The container that it is in.
    pub container: Option<usize>,
}

/// A process's namespace of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spot {
    /// This one of [`Snapshot::namespaces`].
    In(usize),
    /// None: the kernel lacks the kind, or the process is a zombie and has left it.
    Absent,
    /// It may not be seen.
    Unreadable,
}

/// What /proc tells of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// When it began, in clock ticks since boot: with the PID, an identity.
    pub start_ticks: u64,
    /// The name of its program, as it lets it be seen.
    pub name: String,
    /// Its arguments, as it lets them be seen.
    pub arguments: Vec<String>,
    /// `R`, `S`, `D`, `Z`, …: proc_pid_stat(5).
    pub state: char,
    /// Its parent, where that can be seen.
    pub parent: Option<HostPid>,
    /// Its numbers in the pid namespaces below the viewer's, the outermost first; the last is what it calls itself.
    pub inside: Vec<InsidePid>,
    /// Its real, effective, saved and file system user.
    pub uids: [HostId; 4],
    /// The same of its group.
    pub gids: [HostId; 4],
    /// What it is capable of, bit N for capability N.
    pub capabilities: Capabilities,
    /// How seccomp holds it.
    pub seccomp: Seccomp,
    /// Whether execve cannot give it more rights.
    pub no_new_privs: bool,
    /// How many threads it has.
    pub threads: u32,
    /// Its groups in [`Snapshot::groups`], one a hierarchy.
    pub groups: Vec<usize>,
    /// What it runs and waits for, where that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Box<Work>>,
}

/// What a process runs and waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Work {
    /// CPU time that it used, in microseconds.
    pub cpu_usec: Reading,
    /// How long its first thread was ready to run and did not, in microseconds.
    pub delayed_usec: Reading,
    /// The kernel's function that it waits in, of one that cannot be interrupted.
    pub waits_in: Option<String>,
}

/// Capability sets. capabilities(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What the kernel checks.
    pub effective: u64,
    /// What can be made effective.
    pub permitted: u64,
    /// What exec can give.
    pub bounding: u64,
}

/// How seccomp holds a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// This kernel has none.
    Absent,
    /// Not at all.
    Off,
    /// It may read, write and exit.
    Strict,
    /// By a filter.
    Filter,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its kind.
    pub kind: Kind,
    /// Its inode: `net:[4026531840]`.
    pub ino: u64,
    /// How many processes are in it.
    pub processes: usize,
    /// The user namespace whose capabilities hold over it.
    pub owner: Related,
    /// For a user or pid namespace, the one that it is in.
    pub parent: Related,
    /// For a user namespace, who made it.
    pub creator: Option<HostId>,
    /// Whatever else keeps it: told of those without a process.
    pub holders: Vec<Holder>,
    /// For a net namespace, the ports that something in it listens at, where that was looked at.
    pub listening: Option<Vec<Listening>>,
}

/// A namespace that another one points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Related {
    /// This one of [`Snapshot::namespaces`].
    To(usize),
    /// One that the viewer is not above of, or none above it.
    Outside,
    /// It was not looked at, or could not be.
    Unknown,
}

/// What keeps a namespace that has no process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A mount, where the process sees it.
    Mount {
        /// Where it is.
        path: PathBuf,
        /// A process that sees it there.
        pid: HostPid,
    },
    /// An open descriptor.
    Descriptor {
        /// Whose.
        pid: HostPid,
        /// Its number.
        fd: u32,
    },
    /// A namespace that it owns or that is below it, by its place in [`Snapshot::namespaces`].
    Namespace(usize),
    /// The kernel lists it; who keeps it was not seen.
    Unseen,
}

/// A number that may be none: four states that are never mixed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// So much, also zero.
    At(u64),
    /// Nothing is limited.
    Unlimited,
    /// There is no such number here, or it was not asked for.
    #[default]
    Absent,
    /// It is there and may not be read.
    Unreadable,
}

/// A limit of one group, what counts against it, and how often it was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limited {
    /// The group's own limit.
    pub limit: Reading,
    /// What it and the groups below it use.
    pub usage: Reading,
    /// How often this level's own limit was hit.
    pub hits: Reading,
}

/// A cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its hierarchy as /proc/PID/cgroup calls it: `memory`, `name=systemd`, empty for v2.
    pub hierarchy: String,
    /// Where it is, as the viewer's cgroup namespace shows it.
    pub path: PathBuf,
    /// The group above.
    pub parent: Option<usize>,
    /// Memory in bytes; without what is cached and can be dropped at once.
    pub memory: Limited,
    /// CPU bandwidth in millionths of a CPU; hits are periods in which it was held back.
    pub cpu: Limited,
    /// Tasks.
    pub pids: Limited,
    /// Processes of it that were killed because memory was short.
    pub oom_kills: Reading,
    /// How long it was held back by its own bandwidth limit.
    pub throttled_usec: Reading,
    /// What tells why it waits; `None` where that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Box<Reasons>>,
}

/// What tells why the processes of a group wait: counters since the group was made, and limits that `see` does not show.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reasons {
    /// The inode of its folder: another group at the same path has another.
    pub inode: Option<u64>,
    /// CPU time used, in microseconds, by the groups below it too.
    pub cpu_usage_usec: Reading,
    /// Its part where CPUs are short: v1's shares, v2's weight.
    pub cpu_weight: Reading,
    /// Its part where disks are busy.
    #[serde(default)]
    pub disk_weight: Reading,
    /// Periods of its own bandwidth limit in which it ran.
    pub cpu_periods: Reading,
    /// How long the processes of this very group were held back, whichever level's limit it was, in microseconds of all
    /// CPUs together: what is done to a victim.
    pub held_back_usec: Reading,
    /// How many CPUs it may run on.
    pub cpus: Reading,
    /// The most memory that was ever used, in bytes.
    pub memory_peak: Reading,
    /// How often its own memory limit was reached, so that memory had to be reclaimed.
    pub memory_reached: Reading,
    /// How often that led to the OOM killer.
    pub memory_oom: Reading,
    /// Beyond which its processes are slowed down, in bytes, and how often they were.
    pub memory_brake: Limited,
    /// The most tasks that there ever were.
    pub pids_peak: Reading,
    /// Forks of processes of this very group that failed, whichever level's limit it was: what is done to a victim.
    pub refused_forks: Reading,
    /// Its limits of disks.
    pub disks: Vec<DiskLimit>,
    /// Whether it stands still.
    pub freezer: Freezer,
    /// How long its processes waited for each resource.
    pub stalls: Stalls,
}

/// A limit of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLimit {
    /// The disk: `8:0`.
    pub disk: String,
    /// What is limited, as v2 calls it: `rbps`, `wbps`, `riops`, `wiops`.
    pub kind: String,
    /// Bytes or operations in a second.
    pub limit: u64,
}

/// Whether a group stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Freezer {
    /// Whether its processes stand still; `None` where nothing tells.
    pub is_frozen: Option<bool>,
    /// Whether this very group was told to: the cause of it.
    pub is_told: Option<bool>,
}

/// How long processes waited for each resource. psi.rst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stalls {
    /// For a CPU, also because a quota had run out.
    pub cpu: Stall,
    /// For memory to be reclaimed or read in again.
    pub memory: Stall,
    /// For disks.
    pub io: Stall,
}

/// How long processes waited for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stall {
    /// How long at least one waited, in microseconds.
    pub some_usec: Reading,
    /// How long all waited that had something to do, in microseconds.
    pub full_usec: Reading,
    /// The part of the last ten seconds in which at least one waited, in hundredths of a percent.
    pub some_avg10: Reading,
}

/// Who runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// carboy.
    Carboy,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// containerd, alone or below a kubelet.
    Containerd,
    /// CRI-O.
    Crio,
    /// LXC, LXD or Incus.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// A container by its group's name, nobody knows whose.
    Unknown,
    /// None: a service or a program with namespaces of its own.
    Sandbox,
}

/// Processes that belong together and apart from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Who runs it.
    pub engine: Engine,
    /// Its engine's id for it; a sandbox's is the pid of its first process.
    pub id: String,
    /// Its name, where the engine's state tells it.
    pub name: Option<String>,
    /// The Kubernetes pod: `namespace/name`.
    pub pod: Option<String>,
    /// Its first process, by its place in [`Snapshot::processes`].
    pub first: usize,
    /// All of its processes.
    pub processes: Vec<usize>,
    /// Its groups in [`Snapshot::groups`], one a hierarchy.
    pub groups: Vec<usize>,
    /// Which user ids it has, where its user namespace is not the host's; `None` where that could not be read either.
    pub uid_map: Option<IdMap>,
    /// Its mounts, where they were looked at.
    pub mounts: Option<Vec<Mount>>,
    /// What else of the host is at its hand, where that was looked at.
    #[serde(default)]
    pub reach: Option<Box<Reach>>,
}

/// A mount as a container has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is inside.
    pub inside: PathBuf,
    /// The same folder or file on the host, where it has a place there.
    pub host: Option<PathBuf>,
    /// The file system.
    pub fs_type: String,
    /// Whether nothing can be written through it.
    pub read_only: bool,
    /// The folders on the host that an overlay is made of, the upper first.
    pub layers: Vec<PathBuf>,
    /// The folder of the file system that it shows; of a cgroup mount, the group.
    #[serde(default)]
    pub root: PathBuf,
    /// The file system, by major and minor number.
    #[serde(default)]
    pub device: (u32, u32),
    /// Whether what is mounted below it appears on the host too: a mount there is in the same peer group.
    #[serde(default)]
    pub shared: bool,
}

/// What of the host is at a container's hand besides its mounts, as its first processes have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reach {
    /// The supplementary groups of its first process.
    pub supplementary: Vec<HostId>,
    /// What a security module calls its first process; `None` where none is in force.
    pub label: Option<Label>,
    /// Sockets of engines, and of what else obeys whoever speaks with it.
    pub sockets: Vec<Socket>,
    /// Device nodes in its /dev, beside those that every container has.
    pub nodes: Vec<Node>,
    /// What its group of v1 lets it use, as the kernel lists it; `None` on v2, whose program does not tell.
    pub devices: Option<Vec<String>>,
    /// Folders of the host's mounts that its processes have open or work in.
    pub descriptors: Vec<Descriptor>,
}

/// What a security module calls a process. proc_pid_attr(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// AppArmor's: `unconfined`, `docker-default (enforce)`.
    AppArmor(String),
    /// SELinux's: `system_u:system_r:container_t:s0:c1,c2`.
    Selinux(String),
}

/// Whose a file is, and who may do what with it. inode(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub uid: HostId,
    /// The group.
    pub gid: HostId,
    /// The permission bits.
    pub mode: u32,
}

/// A socket in the file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Where it is inside.
    pub inside: PathBuf,
    /// The same on the host.
    pub host: PathBuf,
    /// Who may connect: whoever may write.
    pub owner: Owner,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Where it is inside.
    pub inside: PathBuf,
    /// Whether it is of a block device.
    pub block: bool,
    /// The device, by major and minor number.
    pub device: (u32, u32),
    /// Who may open it.
    pub owner: Owner,
}

/// A folder that a process has at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Whose.
    pub pid: HostPid,
    /// Its number; `None` for the folder that the process works in.
    pub fd: Option<u32>,
    /// Its path, as the kernel shows it.
    pub path: PathBuf,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blind {
    /// What: "the namespaces of 37 processes".
    pub what: String,
    /// Why, in the kernel's words.
    pub why: String,
}

impl Snapshot {
    /// The namespace of one kind that a process is in.
    #[must_use]
    pub fn namespace_of(&self, process: &Process, kind: Kind) -> Option<&Namespace> {
        match process.namespaces.get(place(kind))? {
            Spot::In(index) => self.namespaces.get(*index),
            Spot::Absent | Spot::Unreadable => None,
        }
    }

    /// The network of a container, where it was asked about.
    #[must_use]
    pub fn network_of(&self, container: &Container) -> Option<&network::Network> {
        let spot = self.first(container)?.namespaces.get(place(Kind::Net))?;
        self.networks.iter().find(|network| Spot::In(network.namespace) == *spot)
    }

    /// Whether a namespace is the host's own.
    #[must_use]
    pub fn is_hosts(&self, namespace: &Namespace) -> bool {
        let known = self.host.namespaces.get(place(namespace.kind)).copied().flatten();
        known.is_some_and(|known| known.ino == namespace.ino)
    }

    /// A container's first process.
    #[must_use]
    pub fn first(&self, container: &Container) -> Option<&Process> {
        self.processes.get(container.first)
    }

    /// A process by itself, in the form of a container.
    #[must_use]
    pub fn alone(&self, index: usize) -> Option<Container> {
        let process = self.processes.get(index)?;
        let inside = process.container.and_then(|container| self.containers.get(container));
        // A container's surroundings are read by its first process, whose mount namespace another may not be in.
        let is_as_first = |kind| {
            let first = inside.and_then(|container| self.first(container));
            first.is_some_and(|first| first.namespaces.get(place(kind)) == process.namespaces.get(place(kind)))
        };
        Some(Container {
            engine: Engine::Sandbox,
            id: process.pid.to_string(),
            name: process.facts.as_ref().map(|facts| facts.name.clone()),
            pod: None,
            first: index,
            processes: vec![index],
            groups: process.facts.as_ref().map_or_else(Vec::new, |facts| facts.groups.clone()),
            uid_map: inside.filter(|_| is_as_first(Kind::User)).and_then(|container| container.uid_map.clone()),
            mounts: inside.filter(|_| is_as_first(Kind::Mnt)).and_then(|container| container.mounts.clone()),
            reach: inside.filter(|_| is_as_first(Kind::Mnt)).and_then(|container| container.reach.clone()),
        })
    }

    /// The processes of a container.
    pub fn processes_of<'s>(&'s self, container: &'s Container) -> impl Iterator<Item = &'s Process> {
        container.processes.iter().filter_map(|index| self.processes.get(*index))
    }

    /// Processes that are in one of a container's own namespaces and not in its groups, as a session of nsenter, and those
    /// that are in its groups and in none of its own namespaces.
    #[must_use]
    pub fn strays(&self, container: usize) -> Vec<usize> {
        let Some(own) = self.containers.get(container).filter(|own| own.engine != Engine::Sandbox) else {
            return Vec::new();
        };
        let Some(first) = self.first(own) else { return Vec::new() };
        let apart: Vec<Spot> = first
            .namespaces
            .iter()
            .filter(|spot| matches!(spot, Spot::In(index) if self.namespaces.get(*index).is_some_and(|one| !self.is_hosts(one))))
            .copied()
            .collect();
        if apart.is_empty() {
            return Vec::new();
        }
        let inside = |process: &Process| process.namespaces.iter().any(|spot| apart.contains(spot));
        let shares = |other: usize| {
            let other = self.containers.get(other).filter(|other| other.engine != Engine::Sandbox);
            let first = other.and_then(|other| self.first(other));
            first.is_some_and(inside)
        };
        let is_stray = |process: &Process| match process.container {
            Some(its) if its == container => process.facts.is_some() && !inside(process),
            Some(other) => inside(process) && !shares(other),
            None => inside(process),
        };
        let all = self.processes.iter().enumerate();
        all.filter(|(_, process)| is_stray(process)).map(|(index, _)| index).collect()
    }
}

impl Container {
    /// What people call it: its name, else the beginning of its id.
    #[must_use]
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.short_id())
    }

    /// The first twelve digits of its id.
    #[must_use]
    pub fn short_id(&self) -> &str {
        if self.id.len() == 64 { self.id.get(..12).unwrap_or(&self.id) } else { &self.id }
    }
}

/// What an engine mounts in every container says nothing of this one.
const USUAL: [&str; 4] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/dev/"];
/// What shows the kernel, not the host's files.
const OF_KERNEL: [&str; 7] = ["proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs"];

impl Mount {
    /// Whether it is a folder or file of the host that somebody chose for this container.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        let inside = self.inside.to_string_lossy();
        self.host.is_some() && !USUAL.iter().any(|usual| inside.starts_with(usual)) && !self.is_of_kernel()
    }

    /// Whether it shows the kernel rather than files.
    #[must_use]
    pub fn is_of_kernel(&self) -> bool {
        OF_KERNEL.contains(&self.fs_type.as_str())
    }
}

/// The place of a kind in lists that have the order of [`Kind::ALL`].
#[must_use]
pub fn place(kind: Kind) -> usize {
    Kind::ALL.iter().position(|one| *one == kind).unwrap_or_default()
}
