//! Mounting a v1 hierarchy that a container needs and that this host has mounted nowhere.
//!
//! cgroups(7) "Mounting v1 controllers", kernel/cgroup/cgroup-v1.c. What is to be known of it:
//!
//! * Only `net_cls` and `net_prio` are mounted: v2 cannot have them, so nothing is taken from it. `perf_event` is one
//!   that the kernel would give (`rebind_subsystems` exempts the implicit controllers), but v2 would be without it then,
//!   and no setting needs it. `net_cls` is not mounted where the host has v2 alone: there nftables marks the packets.
//! * A mount whose options name the controllers of a hierarchy that exists is another mount of that hierarchy, so a
//!   controller that is bound but mounted nowhere here is had by naming all that it is bound with.
//! * The mount lies in the run folder and stays while any container has a group in it; the last one takes it away.
//!   Another mount namespace may hold a copy of it: the hierarchy lives as long as the last copy.
//! * A removed group is gone from the kernel when its last process is waited for and an RCU grace period or two have
//!   passed. A hierarchy whose mount goes before that stays bound, without any mount, until it is mounted and unmounted
//!   again. So the unmounting waits a while, and a hierarchy that stayed is used by the next container that needs it.
//! * Up to Linux 5.14 a class or priority in use ends v2's socket match until the host restarts.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use error::{Doing, Error, Kernel, Result};
use procfs::MountInfo;
use procfs::cgroup::Subsystem;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use sys::mount::{Attributes, attach, fsmount, fsopen, set_flag, set_string};

use crate::hierarchy::{Controller, Hierarchies, Hierarchy, Mounted, Version};
use crate::path::GroupPath;
use crate::tree;

/// What carboy mounts itself.
const OURS: [Controller; 2] = [Controller::NetCls, Controller::NetPrio];
/// `CGROUP_SUPER_MAGIC` of <linux/magic.h>.
const CGROUP_SUPER_MAGIC: u32 = 0x0027_e0eb;
/// How long the unmounting waits for removed groups to be gone.
const PATIENCE: Duration = Duration::from_secs(1);
/// The kernel does not tell when one is gone: how often it is asked.
const LOOK: Duration = Duration::from_millis(5);

impl Hierarchies {
    /// The hierarchies for a new container: without those that carboy has mounted for others, and with those that are to
    /// be mounted for this one, in `folder`. Where the kernel lacks them too, the settings that need them are refused.
    ///
    /// # Errors
    /// A kernel error where /proc/cgroups cannot be read.
    pub fn for_container(mut self, resources: &oci::Resources, folder: &Path) -> Result<Self> {
        let asked = asked(resources);
        let wanted = |one: &Hierarchy| one.controllers.iter().any(|controller| asked.contains(controller));
        self.all.retain(|hierarchy| hierarchy.mounted == Mounted::ByHost || wanted(hierarchy));
        if asked.iter().all(|controller| self.of(*controller).is_some()) {
            return Ok(self);
        }
        let mut subsystems = procfs::cgroup::read_subsystems()?;
        // A kernel that cannot tell how it was started forbids nothing: the mount fails then.
        let command_line = procfs::boot::read_command_line().unwrap_or_default();
        subsystems.retain(|one| !is_forbidden(&command_line, &one.name));
        Ok(self.with_mountable(&asked, &subsystems, folder))
    }

    /// The hierarchies of a container that exists: without those that carboy has mounted for others.
    ///
    /// # Errors
    /// A kernel error where one cannot be opened.
    pub fn of_container(mut self, path: &GroupPath) -> Result<Self> {
        let has_group = |one: &Hierarchy| match tree::open(one.open()?, path.relative()) {
            Err(Errno::NOENT) => Ok(false),
            found => found.map(|_| true).doing(|| format!("open the cgroup {one}:{path}")),
        };
        let mut kept = Vec::new();
        for one in self.all {
            if one.mounted == Mounted::ByHost || has_group(&one)? {
                kept.push(one);
            }
        }
        self.all = kept;
        Ok(self)
    }

    /// Adds what is asked for, is not mounted and can be.
    fn with_mountable(mut self, asked: &[Controller], subsystems: &[Subsystem], folder: &Path) -> Self {
        if self.are_a_users() {
            return self;
        }
        for controller in asked {
            let marked = *controller == Controller::NetCls && self.all.iter().all(|one| one.version == Version::V2);
            if self.of(*controller).is_some() || (marked && self.unified().is_some()) {
                continue;
            }
            let Some(controllers) = self.mountable(*controller, subsystems) else { continue };
            let mut hierarchy = Hierarchy {
                version: Version::V1,
                controllers,
                name: None,
                mount_point: folder.to_owned(),
                mount_root: "/".into(),
                obstacle: None,
                mounted: Mounted::NotYet,
                own: None,
                top: None,
            };
            hierarchy.mount_point.push(hierarchy.key());
            self.all.push(hierarchy);
        }
        self
    }

    /// What a mount that has this controller has besides.
    fn mountable(&self, controller: Controller, subsystems: &[Subsystem]) -> Option<Vec<Controller>> {
        let name = controller.name(Version::V1);
        if let Some(bound) = self.unmounted.iter().find(|line| line.controllers.iter().any(|bound| bound == name)) {
            let ours = |name: &String| Controller::parse(name, Version::V1).filter(|one| OURS.contains(one));
            return bound.controllers.iter().map(ours).collect::<Option<_>>().filter(|_| bound.name.is_none());
        }
        let free = |one: &&Subsystem| one.name == name && one.enabled && one.hierarchy == 0;
        subsystems.iter().find(free).map(|_| vec![controller])
    }
}

/// Whether the kernel was started with a word that keeps a controller from v1: /proc/cgroups calls it enabled all the same.
/// Documentation/admin-guide/kernel-parameters.txt `cgroup_no_v1=`.
fn is_forbidden(command_line: &str, controller: &str) -> bool {
    let lists = command_line.split_whitespace().filter_map(|word| word.strip_prefix("cgroup_no_v1="));
    lists.flat_map(|list| list.split(',')).any(|name| name == "all" || name == controller)
}

/// The controllers among [`OURS`] that the settings need.
fn asked(resources: &oci::Resources) -> Vec<Controller> {
    let Some(network) = &resources.network else { return Vec::new() };
    let class = network.class_id.is_some_and(|class| class != 0).then_some(Controller::NetCls);
    let priority = (!network.priorities.is_empty()).then_some(Controller::NetPrio);
    class.into_iter().chain(priority).collect()
}

/// Whether a mount is one of carboy's: its source is the folder that it is on. A container's view of one has the same
/// source, and is on another folder.
pub(crate) fn is_ours(mount: &MountInfo, hierarchy: &Hierarchy) -> bool {
    mount.source == mount.mount_point && hierarchy.controllers.iter().all(|controller| OURS.contains(controller))
}

/// Mounts a hierarchy if another container has not, and opens it: while it is open nobody can unmount it.
pub(crate) fn apply(hierarchy: &Hierarchy) -> Result<OwnedFd> {
    let point = &hierarchy.mount_point;
    let action = || format!("mount the v1 hierarchy {hierarchy} on {}", point.display());
    let _lock = lock(point).doing(action)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(point).doing(action)?;
    let folder = open_point(point).doing(action)?;
    if is_hierarchy(&folder) {
        return Ok(folder);
    }
    mount(hierarchy, &folder).map_err(|errno| failed(action(), errno))?;
    open_point(point).doing(action)
}

fn failed(action: String, errno: Errno) -> Error {
    let error = Kernel::new(action, errno);
    match errno {
        Errno::BUSY => error.hint("the controller is bound to a hierarchy with others: mount that one").into(),
        Errno::PERM => error.hint("cgroups are mounted as root of the host").into(),
        _ => error.into(),
    }
}

fn mount(hierarchy: &Hierarchy, folder: &OwnedFd) -> std::result::Result<(), Errno> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::INVAL);
    let context = fsopen(c"cgroup")?;
    for controller in &hierarchy.controllers {
        set_flag(context.as_fd(), &text(controller.name(Version::V1).as_bytes())?)?;
    }
    set_string(context.as_fd(), c"source", &text(hierarchy.mount_point.as_os_str().as_bytes())?)?;
    let attributes = Attributes::NOSUID.with(Attributes::NODEV).with(Attributes::NOEXEC);
    attach(fsmount(context.as_fd(), attributes)?.as_fd(), folder.as_fd())
}

/// Opens a hierarchy that carboy has mounted; `None` where another container has just taken the mount away.
pub(crate) fn open(hierarchy: &Hierarchy) -> Option<OwnedFd> {
    open_point(&hierarchy.mount_point).ok().filter(is_hierarchy)
}

/// Takes a mount of carboy's away if nobody uses it. With containers in it, or one that is just being made, it stays.
pub(crate) fn release(hierarchy: &Hierarchy) -> std::result::Result<(), Errno> {
    let point = &hierarchy.mount_point;
    let _lock = match lock(point) {
        Err(Errno::NOENT) => return Ok(()),
        lock => lock?,
    };
    let Some(root) = open(hierarchy) else { return Ok(()) };
    if !tree::children(&root)?.is_empty() {
        return Ok(());
    }
    drop(root);
    wait_until_alone(hierarchy);
    match unmount(point, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => return Ok(()),
        unmounted => unmounted?,
    }
    // Another hierarchy may be in the folder above.
    let folders = point.ancestors().take(2).try_for_each(fs::remove_dir);
    match folders.map_err(|error| Errno::from_io_error(&error)) {
        Ok(()) | Err(Some(Errno::NOTEMPTY | Errno::NOENT)) => Ok(()),
        Err(errno) => Err(errno.unwrap_or(Errno::IO)),
    }
}

/// Waits until the root is the only group of a hierarchy.
fn wait_until_alone(hierarchy: &Hierarchy) {
    let is_its = |one: &Subsystem| Controller::parse(&one.name, Version::V1).is_some_and(|name| hierarchy.has(name));
    let groups = || procfs::cgroup::read_subsystems().ok()?.into_iter().find(is_its).map(|one| one.groups);
    let start = Instant::now();
    while groups().is_some_and(|groups| groups > 1) && start.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
    }
}

/// Keeps other carboys from mounting and unmounting: a lock on the run folder, which holds the folder of the mounts.
fn lock(point: &Path) -> std::result::Result<OwnedFd, Errno> {
    let run = point.ancestors().nth(2).ok_or(Errno::NOENT)?;
    let run = openat(CWD, run, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&run, FlockOperation::LockExclusive)?;
    Ok(run)
}

fn open_point(point: &Path) -> std::result::Result<OwnedFd, Errno> {
    openat(CWD, point, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn is_hierarchy(folder: &OwnedFd) -> bool {
    fstatfs(folder).is_ok_and(|found| u32::try_from(found.f_type) == Ok(CGROUP_SUPER_MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::samples;

    fn resources(json: &str) -> oci::Resources {
        serde_json::from_str(json).unwrap()
    }

    const FREE: &[u8] = b"#subsys_name\thierarchy\tnum_cgroups\tenabled\nnet_cls\t0\t1\t1\nnet_prio\t0\t1\t1\n";

    fn added(host: Hierarchies, subsystems: &[u8], json: &str) -> Vec<String> {
        let subsystems = procfs::cgroup::parse_subsystems(subsystems).unwrap();
        let with = host.with_mountable(&asked(&resources(json)), &subsystems, Path::new("/run/carboy/cgroup"));
        let new = with.all.iter().filter(|hierarchy| hierarchy.mounted == Mounted::NotYet);
        new.map(|hierarchy| hierarchy.mount_point.display().to_string()).collect()
    }

    const CLASS: &str = r#"{"network":{"classID":1048577}}"#;
    const BOTH: &str = r#"{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":3}]}}"#;

    #[test]
    fn what_a_setting_needs_and_nobody_has_mounted_is_mounted_each_by_itself() {
        let [class, priority] = ["/run/carboy/cgroup/net_cls", "/run/carboy/cgroup/net_prio"];
        assert_eq!(added(samples::hybrid(), FREE, CLASS), [class]);
        assert_eq!(added(samples::hybrid(), FREE, BOTH), [class, priority]);
        assert!(added(samples::hybrid(), FREE, "{}").is_empty());
        assert!(added(samples::hybrid(), FREE, r#"{"network":{"classID":0,"priorities":[]}}"#).is_empty());
    }

    #[test]
    fn what_the_host_has_mounted_or_the_kernel_lacks_is_not_mounted() {
        assert!(added(samples::v1(), FREE, BOTH).is_empty());
        assert!(added(samples::hybrid(), b"", BOTH).is_empty());
        assert!(added(samples::hybrid(), b"net_cls\t0\t1\t0\nnet_prio\t7\t1\t1\n", BOTH).is_empty());
    }

    #[test]
    fn where_v2_is_alone_a_class_is_left_to_the_firewall() {
        assert_eq!(added(samples::v2(), FREE, BOTH), ["/run/carboy/cgroup/net_prio"]);
        assert_eq!(added(Hierarchies::default(), FREE, CLASS).len(), 1);
    }

    #[test]
    fn a_hierarchy_that_is_bound_and_not_mounted_here_is_mounted_with_all_that_is_bound_to_it() {
        let bound = |line: &[u8]| Hierarchies::parse(samples::HYBRID.as_bytes(), line);
        assert_eq!(
            added(bound(b"9:net_cls,net_prio:/\n0::/\n"), b"net_cls\t9\t1\t1\nnet_prio\t9\t1\t1\n", BOTH),
            ["/run/carboy/cgroup/net_cls,net_prio"]
        );
        for other in [&b"9:net_cls,name=x:/\n"[..], b"9:net_cls,blkio:/\n", b"9:net_cls,unknown:/\n"] {
            assert!(added(bound(other), b"net_cls\t9\t1\t1\n", CLASS).is_empty());
        }
    }

    #[test]
    fn what_the_kernel_was_told_to_keep_from_v1_cannot_be_mounted() {
        assert!(is_forbidden("quiet cgroup_no_v1=all ro", "net_prio"));
        assert!(is_forbidden("cgroup_no_v1=memory cgroup_no_v1=net_cls,net_prio\n", "net_prio"));
        assert!(!is_forbidden("cgroup_no_v1=net_cls,named x=all net_prio", "net_prio"));
    }

    #[test]
    fn a_container_that_needs_nothing_gets_no_group_in_what_was_mounted_for_others() {
        let ours = "90 1 0:60 / /run/carboy/cgroup/net_cls rw - cgroup /run/carboy/cgroup/net_cls rw,net_cls\n";
        let view = "90 1 0:60 / /sys/fs/cgroup/net_cls rw - cgroup /run/carboy/cgroup/net_cls rw,net_cls\n";
        let host = |line: &str| Hierarchies::parse(format!("{}{line}", samples::HYBRID).as_bytes(), b"");
        let has = |host: Hierarchies, json| {
            host.for_container(&resources(json), Path::new("/x")).unwrap().of(Controller::NetCls).map(|one| one.mounted)
        };
        assert_eq!(has(host(ours), "{}"), None);
        assert_eq!(has(host(ours), CLASS), Some(Mounted::ByCarboy));
        assert_eq!(has(host(view), "{}"), Some(Mounted::ByHost));
    }
}
