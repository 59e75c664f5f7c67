//! Which cgroup hierarchies this host has mounted, where, and which controllers each has: v1, v2 and both at once.
//!
//! Sources: /proc/self/mountinfo and /proc/self/cgroup, proc_pid_mountinfo(5), cgroups(7); on v2 `cgroup.controllers`,
//! Documentation/admin-guide/cgroup-v2.rst "Controllers".

use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use error::{Doing, Kernel, Refused, Result};
use procfs::{CgroupLine, MountInfo};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::path::GroupPath;
use crate::{delegation, file, mount, tree};

/// Where a container sees its own groups.
pub const CONTAINER_CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// Where every distribution mounts its hierarchies: only for hints, the real places come from mountinfo.
const USUAL_PLACE: &str = "/sys/fs/cgroup";

/// The v2 file that lists what can be enabled below a group.
pub(crate) const CONTROLLERS: &str = "cgroup.controllers";

/// A resource controller of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// CPU time: weight and bandwidth.
    Cpu,
    /// CPU time used.
    Cpuacct,
    /// CPUs and memory nodes.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// Block devices' throughput; v1 calls it `blkio`.
    Io,
    /// Number of tasks.
    Pids,
    /// Access to device nodes; on v2 a BPF program.
    Devices,
    /// Stopping and resuming all tasks; on v2 a part of every group.
    Freezer,
    /// A class identifier on network packets; v1 only.
    NetCls,
    /// A priority of network packets for each interface; v1 only.
    NetPrio,
    /// Huge pages.
    Hugetlb,
    /// Grouping for perf events.
    PerfEvent,
    /// RDMA resources.
    Rdma,
    /// Scalar resources of some machines, such as encrypted-guest identifiers.
    Misc,
}

impl Controller {
    /// All of them, in the order in which they are named above.
    pub const ALL: [Self; 14] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Io,
        Self::Pids,
        Self::Devices,
        Self::Freezer,
        Self::NetCls,
        Self::NetPrio,
        Self::Hugetlb,
        Self::PerfEvent,
        Self::Rdma,
        Self::Misc,
    ];

    /// The kernel's name in a version: they differ for io alone.
    #[must_use]
    pub const fn name(self, version: Version) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Io => match version {
                Version::V1 => "blkio",
                Version::V2 => "io",
            },
            Self::Pids => "pids",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
            Self::Hugetlb => "hugetlb",
            Self::PerfEvent => "perf_event",
            Self::Rdma => "rdma",
            Self::Misc => "misc",
        }
    }

    /// Reads the kernel's name in a version.
    #[must_use]
    pub fn parse(name: &str, version: Version) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name(version) == name)
    }

    /// Whether every v2 group has it, without its being listed or enabled: the freezer and `cpu.stat` are part of the
    /// core, devices are a BPF program, perf_event is implicit.
    #[must_use]
    pub const fn is_implicit_on_v2(self) -> bool {
        matches!(self, Self::Cpuacct | Self::Devices | Self::Freezer | Self::PerfEvent)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name(Version::V2))
    }
}

/// The interface of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// cgroup v1: a tree for each set of controllers.
    V1,
    /// cgroup v2: one tree.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// Why no group can be made in a hierarchy, though it is mounted. It gets none then; a limit that needs it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// It is mounted read-only, as in most containers.
    ReadOnly,
    /// With `nsdelegate`, v2 lets a process move only between groups of its own cgroup namespace, and this mount shows
    /// another part of the tree: it was made before the namespace was entered (kernel/cgroup/cgroup.c
    /// `cgroup_procs_write_permission`, `ENOENT`).
    OutsideNamespace,
    /// Its groups are root's, and the reader is not root here: v1 is never handed over to users, v2 only in part.
    NotHandedOver,
}

/// Who mounted a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mounted {
    /// The host.
    ByHost,
    /// carboy, for a container that needs it: the next one that needs it finds it.
    ByCarboy,
    /// Nobody yet: it is mounted by a step of the plan.
    NotYet,
}

/// One mounted cgroup tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// What is bound to it; on v2 what its `cgroup.controllers` lists. Those that are implicit on v2 are not here.
    pub controllers: Vec<Controller>,
    /// The name of a v1 hierarchy that has one (`name=systemd`).
    pub name: Option<String>,
    /// The directory it is mounted on.
    pub mount_point: PathBuf,
    /// The group that is at the mount point: `/` on the host, the container's own group inside one.
    pub mount_root: PathBuf,
    /// Why no group can be made in it, where none can.
    pub obstacle: Option<Obstacle>,
    /// Who mounted it.
    pub mounted: Mounted,
    /// The group of the reading process, as its cgroup namespace shows it.
    pub own: Option<PathBuf>,
    /// Where only a part of the tree was handed over to the reader: the highest group of it. Nothing is written above,
    /// and `controllers` are those that it has.
    pub top: Option<GroupPath>,
}

impl Hierarchy {
    /// What this hierarchy is called in /proc/PID/cgroup: `cpu,cpuacct`, `name=systemd`, empty for v2. It stays the
    /// same across reboots and mounts, so records on disk use it.
    #[must_use]
    pub fn key(&self) -> String {
        let mut parts: Vec<String> = match self.version {
            Version::V2 => Vec::new(),
            Version::V1 => self.controllers.iter().map(|controller| controller.name(Version::V1).to_owned()).collect(),
        };
        parts.extend(self.name.as_ref().map(|name| format!("name={name}")));
        parts.join(",")
    }

    /// Opens the directory at the mount point, as a handle.
    ///
    /// # Errors
    /// open(2).
    pub(crate) fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, &self.mount_point, flags, Mode::empty()).doing(|| format!("open {}", self.mount_point.display()))
    }

    /// Whether the mount shows more than the reader's cgroup namespace: its root is then written `/..`.
    fn is_outside_namespace(&self) -> bool {
        self.mount_root.starts_with("/..")
    }

    /// How many groups are above the highest in which the caller may enable controllers.
    pub(crate) fn first_level(&self) -> usize {
        self.top.as_ref().map_or(0, |top| top.ancestors().len())
    }

    pub(crate) fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }
}

/// `memory`, `cpu,cpuacct`, `name=systemd` or `unified`: what messages call it.
impl fmt::Display for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Version::V1 => f.write_str(&self.key()),
            Version::V2 => f.write_str("unified"),
        }
    }
}

/// The place of a hierarchy in [`Hierarchies`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HierarchyIndex(pub usize);

/// Who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Root,
    /// Whose v1 hierarchies may not be the reader's.
    Anybody,
}

/// Every hierarchy that is mounted where this process can see it, in the order of the mounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchies {
    pub(crate) all: Vec<Hierarchy>,
    /// The v1 hierarchies that the kernel has and that are mounted nowhere here: what is bound to each.
    pub(crate) unmounted: Vec<CgroupLine>,
}

impl Hierarchies {
    /// Reads what this host has.
    ///
    /// # Errors
    /// A kernel error when /proc or the v2 mount cannot be read.
    pub fn read() -> Result<Self> {
        Self::read_as(Reader::Anybody)
    }

    /// The same for who is known to be root: what is not mounted read-only is root's to write.
    ///
    /// # Errors
    /// As [`Hierarchies::read`].
    pub fn read_as_root() -> Result<Self> {
        Self::read_as(Reader::Root)
    }

    fn read_as(reader: Reader) -> Result<Self> {
        let file = |path: &str| {
            let opened = file::open(CWD, path, OFlags::RDONLY);
            opened.and_then(|file| file::read_bytes(&file)).doing(|| format!("read {path}"))
        };
        let mut hierarchies = Self::parse(&file("/proc/self/mountinfo")?, &file("/proc/self/cgroup")?);
        for hierarchy in &mut hierarchies.all {
            if hierarchy.version == Version::V1 {
                // Of v2 a part may have been handed over.
                let is_ours = reader == Reader::Root
                    || hierarchy.obstacle.is_some()
                    || delegation::may_write(&hierarchy.mount_point);
                hierarchy.obstacle = hierarchy.obstacle.or((!is_ours).then_some(Obstacle::NotHandedOver));
                continue;
            }
            let listed = file::read(hierarchy.open()?, CONTROLLERS);
            let listed = listed.doing(|| format!("read {}/{CONTROLLERS}", hierarchy.mount_point.display()))?;
            hierarchy.controllers = parse_controllers(&listed);
        }
        Ok(hierarchies)
    }

    /// Reads the bytes of /proc/self/mountinfo and /proc/self/cgroup. The controllers of v2 stand in neither and are
    /// left out; so are lines that are not what proc(5) describes.
    #[must_use]
    pub fn parse(mountinfo: &[u8], self_cgroup: &[u8]) -> Self {
        let groups = procfs::cgroup::parse(self_cgroup).unwrap_or_default();
        let mounts: Vec<MountInfo> = mountinfo.split(|byte| *byte == b'\n').filter_map(MountInfo::parse).collect();
        let mut seen: Vec<((u32, u32), Hierarchy)> = Vec::new();
        for (number, mount) in mounts.iter().enumerate() {
            let Some(hierarchy) = hierarchy(mount, &groups) else { continue };
            if is_hidden(mount, mounts.split_at(number + 1)) {
                continue;
            }
            match seen.iter_mut().find(|(device, _)| *device == mount.device) {
                Some((_, known)) if rank(&hierarchy) < rank(known) => *known = hierarchy,
                Some(_) => {}
                None => seen.push((mount.device, hierarchy)),
            }
        }
        let all: Vec<Hierarchy> = seen.into_iter().map(|(_, hierarchy)| hierarchy).collect();
        let v1 = groups.into_iter().filter(|group| group.hierarchy != 0);
        let unmounted = v1.filter(|group| !all.iter().any(|hierarchy| is_in(group, hierarchy)));
        Self { unmounted: unmounted.collect(), all }
    }

    /// The hierarchy that a controller is to be used through: the v1 one where it is bound to one, else v2.
    #[must_use]
    pub fn of(&self, controller: Controller) -> Option<&Hierarchy> {
        self.index_of(controller).and_then(|index| self.at(index).ok())
    }

    /// That hierarchy by itself, for who looks at nothing else of a group; none where there is none.
    #[must_use]
    pub fn alone(&self, controller: Controller) -> Self {
        Self { all: self.of(controller).cloned().into_iter().collect(), unmounted: Vec::new() }
    }

    /// As [`Hierarchies::of`], its place.
    #[must_use]
    pub fn index_of(&self, controller: Controller) -> Option<HierarchyIndex> {
        let position = |has: &dyn Fn(&Hierarchy) -> bool| self.all.iter().position(has).map(HierarchyIndex);
        let implicit = controller.is_implicit_on_v2();
        // A user who has no v1 has what every group of v2 has.
        let usable = |one: &Hierarchy| !implicit || one.obstacle != Some(Obstacle::NotHandedOver);
        position(&|hierarchy| hierarchy.has(controller) && usable(hierarchy))
            .or_else(|| position(&|hierarchy| hierarchy.version == Version::V2 && implicit))
            .or_else(|| position(&|hierarchy| hierarchy.has(controller)))
    }

    /// The v2 tree, alone or beside v1.
    #[must_use]
    pub fn unified(&self) -> Option<HierarchyIndex> {
        self.all.iter().position(|hierarchy| hierarchy.version == Version::V2).map(HierarchyIndex)
    }

    /// The hierarchy at a place.
    ///
    /// # Errors
    /// A kernel error (`ENODEV`) when the place is of another set of hierarchies.
    pub fn at(&self, index: HierarchyIndex) -> Result<&Hierarchy> {
        let error = || Kernel::new(format!("find cgroup hierarchy {}", index.0), Errno::NODEV);
        Ok(self.all.get(index.0).ok_or_else(error)?)
    }

    /// The hierarchy that /proc/PID/cgroup calls `key`.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<HierarchyIndex> {
        self.all.iter().position(|hierarchy| hierarchy.key() == key).map(HierarchyIndex)
    }

    /// The hierarchies for a user who may make groups below `top` of the v2 tree, or nowhere.
    ///
    /// # Errors
    /// A kernel error where that group cannot be read.
    pub fn handed_over(mut self, top: Option<&GroupPath>) -> Result<Self> {
        for hierarchy in self.all.iter_mut().filter(|hierarchy| hierarchy.obstacle.is_none()) {
            match top.filter(|_| hierarchy.version == Version::V2) {
                None => hierarchy.obstacle = Some(Obstacle::NotHandedOver),
                Some(top) => {
                    let listed = tree::open(&hierarchy.open()?, top.relative())
                        .and_then(|group| file::read(&group, CONTROLLERS));
                    let listed = listed.doing(|| format!("read {CONTROLLERS} of {hierarchy}:{top}"))?;
                    hierarchy.controllers = parse_controllers(&listed);
                    hierarchy.top = Some(top.clone());
                }
            }
        }
        Ok(self)
    }

    /// Whether they are a user's, who may neither mount a hierarchy nor load a program.
    #[must_use]
    pub(crate) fn are_a_users(&self) -> bool {
        let is = |one: &Hierarchy| one.top.is_some() || one.obstacle == Some(Obstacle::NotHandedOver);
        self.all.iter().any(is)
    }

    /// All of them with their places.
    pub fn iter(&self) -> impl Iterator<Item = (HierarchyIndex, &Hierarchy)> {
        self.all.iter().enumerate().map(|(index, hierarchy)| (HierarchyIndex(index), hierarchy))
    }

    /// The hierarchy to write a controller's files in.
    ///
    /// # Errors
    /// Refused, for the field and value that need it, where the host has no such controller or has it read-only.
    pub fn writable(&self, controller: Controller, field: &str, value: &str) -> Result<HierarchyIndex> {
        let Some(index) = self.index_of(controller) else {
            let hint = if self.are_a_users() { HINT_FOR_USERS.to_owned() } else { hint_for(controller) };
            return Err(Refused::new(field, value, self.absence(controller)).hint(hint).into());
        };
        if controller == Controller::Devices && self.at(index)?.top.is_some() {
            let reason = "needs a device program, which the kernel lets root alone load";
            let hint = "leave the setting out: a user's container has the devices that the user has";
            return Err(Refused::new(field, value, reason).hint(hint).into());
        }
        self.unobstructed(index, &format!("the {controller} controller"), field, value)
    }

    /// The v2 hierarchy, to write the files in that every group of it has.
    ///
    /// # Errors
    /// As [`Hierarchies::writable`].
    pub fn writable_unified(&self, field: &str, value: &str) -> Result<HierarchyIndex> {
        let Some(index) = self.unified() else {
            let reason = "is a setting of cgroup v2, which is not mounted here";
            let hint = format!("mount it: mount -t cgroup2 cgroup2 {USUAL_PLACE}/unified");
            return Err(Refused::new(field, value, reason).hint(hint).into());
        };
        self.unobstructed(index, "cgroup v2", field, value)
    }

    fn unobstructed(&self, index: HierarchyIndex, what: &str, field: &str, value: &str) -> Result<HierarchyIndex> {
        let hierarchy = self.at(index)?;
        let point = hierarchy.mount_point.display();
        let (reason, hint) = match hierarchy.obstacle {
            None => return Ok(index),
            Some(Obstacle::ReadOnly) => (
                format!("{what} is mounted read-only on {point}"),
                "leave the setting out, or mount it writable: a container needs --privileged for that".to_owned(),
            ),
            Some(Obstacle::OutsideNamespace) => (
                format!("{what}'s mount on {point} is of another cgroup namespace"),
                format!("leave the setting out, or mount it anew from here (mount -t cgroup2 cgroup2 {point})"),
            ),
            Some(Obstacle::NotHandedOver) => {
                let (reason, hint) = match hierarchy.version {
                    Version::V1 => (
                        format!("{what} is on cgroup v1 here ({point}), which belongs to root alone"),
                        "leave the setting out, or use sudo carboy …",
                    ),
                    Version::V2 => (
                        format!("{what} needs a group of yours in {point}, and none was handed over to you"),
                        HINT_FOR_USERS,
                    ),
                };
                (reason, hint.to_owned())
            }
        };
        Err(Refused::new(field, value, reason).hint(hint).into())
    }

    /// Why a controller cannot be had: where it was looked for.
    fn absence(&self, controller: Controller) -> String {
        let v1 = controller.name(Version::V1);
        match self.unified().and_then(|index| self.at(index).ok()) {
            Some(Hierarchy { top: Some(top), mount_point, .. }) => format!(
                "needs the {v1} cgroup controller, which was not handed over to you: it is not in {}{top}/{CONTROLLERS}",
                mount_point.display()
            ),
            _ if self.unmounted.iter().flat_map(|line| &line.controllers).any(|bound| bound == v1) => {
                format!("needs the {v1} cgroup controller, whose v1 hierarchy is not mounted here")
            }
            _ if self.all.is_empty() => format!("needs the {v1} cgroup controller, and no cgroup hierarchy is mounted"),
            Some(unified) => format!(
                "needs the {v1} cgroup controller, which this host has in no v1 hierarchy and not in {}/{CONTROLLERS}",
                unified.mount_point.display()
            ),
            None => {
                format!("needs the {v1} cgroup controller, which this host has in no v1 hierarchy; v2 is not mounted")
            }
        }
    }
}

const HINT_FOR_USERS: &str = "leave the setting out, log in under systemd with the controller in the Delegate= of \
                              user@.service, start carboy from a unit with Delegate=, or use sudo carboy …";

fn hint_for(controller: Controller) -> String {
    let name = controller.name(Version::V1);
    format!("leave the setting out, or mount the controller (mount -t cgroup -o {name} {name} {USUAL_PLACE}/{name})")
}

/// Reads the text of `cgroup.controllers`; names that are not known are left out.
#[must_use]
pub(crate) fn parse_controllers(text: &str) -> Vec<Controller> {
    text.split_whitespace().filter_map(|name| Controller::parse(name, Version::V2)).collect()
}

/// The better of two mounts of one hierarchy comes first: one to make groups in, the host's own, one of this cgroup
/// namespace, the one that shows more of the tree.
fn rank(hierarchy: &Hierarchy) -> (bool, Mounted, bool, usize) {
    let depth = hierarchy.mount_root.components().count();
    (hierarchy.obstacle.is_some(), hierarchy.mounted, hierarchy.is_outside_namespace(), depth)
}

/// Whether a later mount covers one, or one that it is mounted below: on the same folder, or on a folder above it, as
/// when /sys is mounted after /sys/fs/cgroup.
fn is_hidden(mount: &MountInfo, (before, after): (&[MountInfo], &[MountInfo])) -> bool {
    let above = |mount: &&MountInfo| before.iter().find(|other| other.id == mount.parent && other.id != mount.id);
    // A path leads through a mount for each of its folders at the most: lists that lead in a circle end too.
    let depth = text(mount).len() + before.len();
    std::iter::successors(Some(mount), above).take(depth).any(|one| {
        after.iter().any(|later| {
            (later.parent == one.id && text(later) == text(one)) || (later.parent == one.parent && is_below(one, later))
        })
    })
}

/// The kernel writes paths in one way: as texts they are compared in no time.
fn text(mount: &MountInfo) -> &[u8] {
    mount.mount_point.as_os_str().as_bytes()
}

fn is_below(mount: &MountInfo, above: &MountInfo) -> bool {
    let rest = text(mount).strip_prefix(text(above));
    rest.is_some_and(|rest| text(above) == b"/" && !rest.is_empty() || rest.first() == Some(&b'/'))
}

/// The hierarchy that a mount shows, if it shows one.
fn hierarchy(mount: &MountInfo, groups: &[CgroupLine]) -> Option<Hierarchy> {
    let version = match mount.fs_type.as_str() {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = || mount.super_options.split(',');
    let controllers = match version {
        Version::V1 => options().filter_map(|name| Controller::parse(name, Version::V1)).collect(),
        Version::V2 => Vec::new(),
    };
    let mut hierarchy = Hierarchy {
        version,
        controllers,
        name: options().find_map(|option| option.strip_prefix("name=")).map(str::to_owned),
        mount_point: mount.mount_point.clone(),
        mount_root: mount.root.clone(),
        obstacle: None,
        mounted: Mounted::ByHost,
        own: None,
        top: None,
    };
    // Nothing that carboy knows is bound to it.
    if version == Version::V1 && hierarchy.controllers.is_empty() && hierarchy.name.is_none() {
        return None;
    }
    if mount.is_read_only() {
        hierarchy.obstacle = Some(Obstacle::ReadOnly);
    } else if version == Version::V2 && hierarchy.is_outside_namespace() && options().any(|one| one == "nsdelegate") {
        hierarchy.obstacle = Some(Obstacle::OutsideNamespace);
    }
    if version == Version::V1 && mount::is_ours(mount, &hierarchy) {
        hierarchy.mounted = Mounted::ByCarboy;
    }
    hierarchy.own = groups.iter().find(|group| is_in(group, &hierarchy)).map(|group| group.path.clone());
    Some(hierarchy)
}

/// Whether a line of /proc/PID/cgroup is about a hierarchy.
fn is_in(group: &CgroupLine, hierarchy: &Hierarchy) -> bool {
    let bound = |name: &String| Controller::parse(name, Version::V1).is_some_and(|one| hierarchy.has(one));
    match hierarchy.version {
        Version::V2 => group.hierarchy == 0,
        Version::V1 => (group.name.is_some() && group.name == hierarchy.name) || group.controllers.iter().any(bound),
    }
}

/// What hosts look like, for the tests of every room.
#[cfg(test)]
pub(crate) mod samples {
    use super::{Hierarchies, parse_controllers};

    /// v1 with co-mounted controllers and a named hierarchy, v2 beside it without controllers (systemd's hybrid mode).
    pub(crate) const V1: &str = "\
25 30 0:23 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:25 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
29 25 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:16 - cgroup cgroup rw,memory
31 25 0:31 / /sys/fs/cgroup/pids rw,nosuid shared:18 - cgroup cgroup rw,pids
32 25 0:32 / /sys/fs/cgroup/freezer rw,nosuid shared:19 - cgroup cgroup rw,freezer
33 25 0:33 / /sys/fs/cgroup/devices rw,nosuid shared:20 - cgroup cgroup rw,devices
34 25 0:34 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid shared:21 - cgroup cgroup rw,net_cls,net_prio
35 25 0:35 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:22 - cgroup cgroup rw,cpu,cpuacct
36 25 0:36 / /sys/fs/cgroup/cpuset rw,nosuid shared:23 - cgroup cgroup rw,cpuset,clone_children
37 25 0:37 / /sys/fs/cgroup/blkio rw,nosuid shared:24 - cgroup cgroup rw,blkio
38 25 0:38 / /sys/fs/cgroup/hugetlb rw,nosuid shared:25 - cgroup cgroup rw,hugetlb
39 25 0:39 / /sys/fs/cgroup/rdma rw,nosuid shared:26 - cgroup cgroup rw,rdma
40 25 0:40 / /sys/fs/cgroup/perf_event rw,nosuid shared:27 - cgroup cgroup rw,perf_event
";

    pub(crate) const V1_SELF: &str = "\
12:net_cls,net_prio:/
11:memory:/user.slice
8:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/session-1.scope
0::/user.slice/session-1.scope
";

    pub(crate) const V2: &str = "\
24 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";

    /// v1 for most controllers, v2 for hugetlb alone, one tree a controller.
    pub(crate) const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    /// Inside a container that shares the host's cgroup namespace and sees its own groups, read-only.
    pub(crate) const NESTED: &str = "\
700 690 0:80 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs rw,mode=755
701 700 0:29 /docker/4f /sys/fs/cgroup/memory ro,nosuid master:16 - cgroup cgroup rw,memory
702 700 0:35 /docker/4f /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:22 - cgroup cgroup rw,cpu,cpuacct
703 600 0:29 /docker/4f /mnt/with\\040space rw,nosuid - cgroup cgroup rw,memory
";

    pub(crate) const NESTED_SELF: &str = "11:memory:/docker/4f/inner\n8:cpu,cpuacct:/docker/4f\n";

    pub(crate) fn v1() -> Hierarchies {
        Hierarchies::parse(V1.as_bytes(), V1_SELF.as_bytes())
    }

    pub(crate) fn v2() -> Hierarchies {
        with_controllers(Hierarchies::parse(V2.as_bytes(), b"0::/\n"), "cpuset cpu io memory hugetlb pids rdma misc\n")
    }

    pub(crate) fn hybrid() -> Hierarchies {
        with_controllers(Hierarchies::parse(HYBRID.as_bytes(), b"0::/\n"), "hugetlb\n")
    }

    pub(crate) fn nested() -> Hierarchies {
        Hierarchies::parse(NESTED.as_bytes(), NESTED_SELF.as_bytes())
    }

    fn with_controllers(mut hierarchies: Hierarchies, listed: &str) -> Hierarchies {
        let unified = hierarchies.unified().unwrap();
        hierarchies.all[unified.0].controllers = parse_controllers(listed);
        hierarchies
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn keys(hierarchies: &Hierarchies) -> Vec<String> {
        hierarchies.iter().map(|(_, hierarchy)| hierarchy.to_string()).collect()
    }

    #[test]
    fn a_v1_host_has_its_co_mounted_and_named_hierarchies() {
        let host = samples::v1();
        assert_eq!(host.iter().count(), 13);
        let cpu = host.of(Controller::Cpu).unwrap();
        assert_eq!(
            (cpu.key().as_str(), cpu.version, cpu.own.clone()),
            ("cpu,cpuacct", Version::V1, Some(PathBuf::from("/user.slice")))
        );
        assert_eq!(host.of(Controller::Cpuacct), Some(cpu));
        let systemd = host.by_key("name=systemd").unwrap();
        assert_eq!(host.at(systemd).unwrap().own, Some("/user.slice/session-1.scope".into()));
        assert_eq!(host.of(Controller::Io).unwrap().to_string(), "blkio");
        assert!(host.of(Controller::Misc).is_none());
    }

    #[test]
    fn a_v2_host_has_what_its_root_lists_and_what_is_implicit() {
        let host = samples::v2();
        let unified = host.of(Controller::Memory).unwrap();
        assert_eq!((unified.key().as_str(), unified.version), ("", Version::V2));
        for controller in [Controller::Devices, Controller::Freezer, Controller::Cpuacct, Controller::PerfEvent] {
            assert_eq!(host.of(controller), Some(unified));
        }
        assert!(host.of(Controller::NetCls).is_none());
    }

    #[test]
    fn a_hybrid_host_has_a_version_for_each_controller() {
        let host = samples::hybrid();
        let version = |controller| host.of(controller).map(|hierarchy| hierarchy.version);
        assert_eq!(version(Controller::Memory), Some(Version::V1));
        assert_eq!(version(Controller::Devices), Some(Version::V1));
        assert_eq!(version(Controller::Hugetlb), Some(Version::V2));
        assert_eq!(version(Controller::PerfEvent), Some(Version::V2));
        assert_eq!(version(Controller::Io), None);
    }

    #[test]
    fn inside_a_container_the_root_of_the_mount_is_its_own_group_and_the_writable_mount_counts() {
        let host = samples::nested();
        assert_eq!(keys(&host), ["memory", "cpu,cpuacct"]);
        let memory = host.of(Controller::Memory).unwrap();
        assert_eq!(memory.mount_point, Path::new("/mnt/with space"));
        assert_eq!((memory.mount_root.as_path(), memory.obstacle), (Path::new("/docker/4f"), None));
        assert_eq!(memory.own.as_deref(), Some(Path::new("/docker/4f/inner")));
        assert_eq!(host.of(Controller::Cpu).unwrap().obstacle, Some(Obstacle::ReadOnly));
    }

    #[test]
    fn a_hierarchy_that_is_mounted_twice_counts_once() {
        let twice = format!("{}99 1 0:32 / /elsewhere rw - cgroup cgroup rw,memory\n", samples::HYBRID);
        assert_eq!(Hierarchies::parse(twice.as_bytes(), b"").iter().count(), 9);
    }

    #[test]
    fn a_hierarchy_that_is_mounted_over_is_not_there() {
        let over = format!("{}99 35 0:77 / /sys/fs/cgroup/memory rw - tmpfs tmpfs rw\n", samples::HYBRID);
        assert!(Hierarchies::parse(over.as_bytes(), b"").of(Controller::Memory).is_none());
    }

    #[test]
    fn a_hierarchy_is_not_there_where_a_folder_above_it_is_mounted_over() {
        // A container whose /sys was mounted after its /sys/fs/cgroup, side by side on its root.
        let sysfs = "1938 1 0:9 / / rw - overlay overlay rw\n\
            1965 1938 0:30 / /sys/fs/cgroup ro,relatime - cgroup2 cgroup2 rw,nsdelegate\n\
            1709 1938 0:26 / /sys ro - sysfs sysfs rw\n";
        assert_eq!(Hierarchies::parse(sysfs.as_bytes(), b"0::/\n").iter().count(), 0);
        // What is below the covered one is covered too; what is mounted on the cover is not.
        let over = format!(
            "{}98 23 0:77 / /sys/fs rw - tmpfs tmpfs rw\n99 98 0:78 / /sys/fs/memory rw - cgroup cgroup rw,memory\n",
            samples::HYBRID
        );
        assert_eq!(keys(&Hierarchies::parse(over.as_bytes(), b"")), ["memory"]);
    }

    #[test]
    fn lists_that_lead_in_a_circle_end() {
        let circle = b"1 2 0:1 / /a rw - tmpfs tmpfs rw\n2 1 0:2 / /a/b rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Hierarchies::parse(circle, b"").iter().count(), 1);
    }

    #[test]
    fn in_a_container_without_a_cgroup_namespace_its_own_group_is_the_root_of_each_mount() {
        // docker run on a v1 host, before it gave containers cgroup namespaces.
        const ID: &str = "c33988ec7651ebc867cb24755eaf637a6734088bc7eef59d5799293a9e5450f7";
        let mounts = |access: &str| {
            format!(
                "515 510 0:89 / /sys {access},nosuid,nodev,noexec,relatime - sysfs sysfs {access}\n\
                 516 515 0:90 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755,inode64\n\
                 517 516 0:28 /docker/{ID} /sys/fs/cgroup/systemd {access},nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,xattr,name=systemd\n\
                 518 516 0:31 /docker/{ID} /sys/fs/cgroup/memory {access},nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,memory\n\
                 519 516 0:32 /docker/{ID} /sys/fs/cgroup/pids {access},nosuid,nodev,noexec,relatime master:16 - cgroup cgroup rw,pids\n\
                 520 516 0:33 /docker/{ID} /sys/fs/cgroup/cpu,cpuacct {access},nosuid,nodev,noexec,relatime master:17 - cgroup cgroup rw,cpu,cpuacct\n"
            )
        };
        let own = format!(
            "11:memory:/docker/{ID}\n10:cpu,cpuacct:/docker/{ID}\n9:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/containerd.service\n"
        );
        let plain = Hierarchies::parse(mounts("ro").as_bytes(), own.as_bytes());
        assert_eq!(keys(&plain), ["name=systemd", "memory", "pids", "cpu,cpuacct"]);
        assert!(plain.iter().all(|(_, one)| one.obstacle == Some(Obstacle::ReadOnly)));
        let error = plain.writable(Controller::Pids, "--pids-limit", "20").unwrap_err();
        assert!(error.to_string().ends_with("mounted read-only on /sys/fs/cgroup/pids"), "{error}");
        assert!(error.hint().unwrap().contains("--privileged"));
        let privileged = Hierarchies::parse(mounts("rw").as_bytes(), own.as_bytes());
        for (_, hierarchy) in privileged.iter() {
            assert_eq!((hierarchy.obstacle, hierarchy.own.as_ref()), (None, Some(&hierarchy.mount_root)));
        }
        assert!(privileged.writable(Controller::Pids, "--pids-limit", "20").is_ok());
    }

    #[test]
    fn mounts_from_before_the_cgroup_namespace_show_more_than_it() {
        // A system container on a mixed host.
        let v1 = "526 524 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec - tmpfs tmpfs ro,size=4096k,nr_inodes=1024,mode=755\n\
            527 526 0:31 /../../.. /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw\n\
            528 526 0:32 /../../.. /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,xattr,name=systemd\n\
            529 526 0:36 /../../.. /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory\n\
            530 526 0:36 / /mnt/memory rw,relatime - cgroup cgroup rw,memory\n";
        let host = Hierarchies::parse(v1.as_bytes(), b"4:memory:/\n1:name=systemd:/\n0::/\n");
        assert!(host.iter().all(|(_, hierarchy)| hierarchy.obstacle.is_none() && hierarchy.own == Some("/".into())));
        assert_eq!(
            host.of(Controller::Memory).unwrap().mount_point,
            Path::new("/mnt/memory"),
            "its own is the better one"
        );
        let v2 = "29 23 0:25 /../.. /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
        let host = Hierarchies::parse(v2.as_bytes(), b"0::/\n");
        let unified = host.unified().unwrap();
        assert_eq!(host.at(unified).unwrap().obstacle, Some(Obstacle::OutsideNamespace));
        let error = host.writable(Controller::Freezer, "pause", "").unwrap_err();
        assert!(error.to_string().ends_with("/sys/fs/cgroup is of another cgroup namespace"), "{error}");
    }

    #[test]
    fn a_new_mount_over_the_one_from_before_the_namespace_is_what_counts() {
        let pod = "556 469 0:24 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs rw\n\
            628 556 0:30 /../../../../.. /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n\
            640 628 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot\n";
        let host = Hierarchies::parse(pod.as_bytes(), b"0::/\n");
        let unified = host.at(host.unified().unwrap()).unwrap();
        assert_eq!((unified.obstacle, unified.mount_root.as_path()), (None, Path::new("/")));
    }

    #[test]
    fn a_hierarchy_of_nothing_that_is_known_is_left_alone() {
        let debug = format!("{}99 31 0:50 / /sys/fs/cgroup/debug rw - cgroup cgroup rw,debug\n", samples::HYBRID);
        let host = Hierarchies::parse(debug.as_bytes(), b"");
        assert_eq!(host.iter().count(), 9);
        assert_eq!(host.by_key(""), host.unified());
    }

    #[test]
    fn a_controller_whose_hierarchy_is_not_mounted_here_is_refused_with_that() {
        let host = Hierarchies::parse(b"", b"5:net_cls,net_prio:/\n4:memory:/\n0::/\n");
        let error = host.writable(Controller::Memory, "--memory", "1g").unwrap_err();
        assert!(
            error.to_string().ends_with("memory cgroup controller, whose v1 hierarchy is not mounted here"),
            "{error}"
        );
    }

    #[test]
    fn text_that_is_no_mountinfo_has_no_hierarchies() {
        for text in ["", "\n", " - ", "1 2 3 - cgroup", "a b c d e f - cgroup", "a b c d e f - cgroup x"] {
            assert_eq!(Hierarchies::parse(text.as_bytes(), b"::\n:\nx").iter().count(), 0, "{text:?}");
        }
    }

    #[test]
    fn a_refusal_says_where_the_controller_was_looked_for() {
        let error = samples::hybrid().writable(Controller::Io, "linux.resources.blockIO.weight", "10").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.blockIO.weight 10: needs the blkio cgroup controller, which this host has in \
             no v1 hierarchy and not in /sys/fs/cgroup/unified/cgroup.controllers"
        );
        let nested = samples::nested();
        let error = nested.writable(Controller::Cpu, "linux.resources.cpu.shares", "2").unwrap_err();
        assert!(error.to_string().ends_with("mounted read-only on /sys/fs/cgroup/cpu,cpuacct"));
    }
}
