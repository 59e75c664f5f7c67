//! What of the host is at a container's hand besides its mounts: sockets that obey, device nodes, open folders, and what a
//! security module holds it with. Read as its processes have it, through their root in /proc.
//!
//! No path is followed that the container can bend: links and the magic of /proc count for nothing on the way.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use cgroup::Version;
use cgroup::level::Trees;
use error::Result;
use procfs::{HostId, Visit, Walk};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, fstat, major, minor, openat2, statat};

use crate::snapshot::{Container, Descriptor, Host, Label, Mount, Node, Owner, Reach, Socket, Spot};
use crate::source::Pass;
use crate::surroundings::HostMounts;

/// Where engines and others that obey listen, each with its name alone where an engine was started with a place of its own.
const SOCKETS: [&str; 16] = [
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/dockershim.sock",
    "/run/buildkit/buildkitd.sock",
    "/run/libvirt/libvirt-sock",
    "/run/snapd.socket",
    "/run/systemd/private",
    "/run/dbus/system_bus_socket",
    "/var/lib/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/run/user/0/docker.sock",
];
/// Names that only such a socket has.
const NAMES: [&str; 8] = [
    "docker.sock",
    "podman.sock",
    "containerd.sock",
    "crio.sock",
    "cri-dockerd.sock",
    "dockershim.sock",
    "buildkitd.sock",
    "snapd.socket",
];
/// Nodes that every container has, and pseudo-terminals.
const USUAL: [&str; 9] = ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "fd"];
/// A container's processes whose descriptors are looked at: the first ones, for one may have thousands.
const LOOKED_AT: usize = 32;
/// So many nodes of one container are told of.
const NODES: usize = 256;

/// What tells and turns off, or on, the whole kernel: engines cover it.
const KERNEL_FILES: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/sys/firmware",
    "/sys/kernel/uevent_helper",
];

/// What the doors need to know of the host itself.
pub(crate) fn read_host(host: &mut Host) {
    host.modules = procfs::boot::takes_modules().ok();
    host.kernel_files = KERNEL_FILES.iter().map(PathBuf::from).filter(|file| file.exists()).collect();
    if let Ok(root) = rustix::fs::stat("/") {
        let device = (major(root.st_dev), minor(root.st_dev));
        host.root_device = Some(device);
        add_disk(device, &mut host.disks);
    }
}

/// A block device and those that it is a part of or made of. Documentation/ABI/stable/sysfs-block.
fn add_disk(device: (u32, u32), disks: &mut Vec<(u32, u32)>) {
    let folder = PathBuf::from(format!("/sys/dev/block/{}:{}", device.0, device.1));
    if !folder.exists() || disks.contains(&device) {
        return;
    }
    disks.push(device);
    if folder.join("partition").exists() {
        // The link leads to the partition's folder, which is in its disk's.
        let disk = std::fs::canonicalize(&folder).ok().and_then(|path| number(&path.parent()?.join("dev")));
        disk.into_iter().for_each(|disk| add_disk(disk, disks));
    }
    for below in std::fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten() {
        number(&below.path().join("dev")).into_iter().for_each(|disk| add_disk(disk, disks));
    }
}

/// `8:1` in a file of sysfs.
fn number(file: &Path) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string(file).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What a container's reach is read with.
pub(crate) struct Reader<'a> {
    pub(crate) walk: &'a mut Walk,
    pub(crate) pass: &'a Pass,
    pub(crate) host: &'a HostMounts,
    pub(crate) trees: &'a Trees,
}

impl Reader<'_> {
    /// Reads it; `None` where its first process has ended.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub(crate) fn read(&mut self, container: &Container) -> Result<Option<Reach>> {
        let Some(pid) = self.pass.processes.get(container.first).map(|process| process.pid) else { return Ok(None) };
        let mounts = container.mounts.as_deref().unwrap_or_default();
        let reach = {
            let Some(mut visit) = self.walk.visit(pid)? else { return Ok(None) };
            let root = visit.open_root()?;
            Reach {
                supplementary: visit.status()?.groups,
                label: label(&mut visit),
                sockets: sockets(&root, mounts),
                nodes: nodes(&root),
                devices: None,
                descriptors: Vec::new(),
            }
        };
        let devices = self.devices(container);
        Ok(Some(Reach { devices, descriptors: self.descriptors(container), ..reach }))
    }

    /// The rules of its group in the hierarchy of v1 that has the controller.
    fn devices(&self, container: &Container) -> Option<Vec<String>> {
        let groups = container.groups.iter().filter_map(|group| self.pass.groups.all.get(*group));
        let mut groups = groups.filter(|group| group.hierarchy.split(',').any(|controller| controller == "devices"));
        let group = groups.next()?;
        let tree = self.trees.get(&group.hierarchy).filter(|tree| tree.version == Version::V1)?;
        tree.devices(&group.path).ok()
    }

    /// The folders of the viewer's mounts that its first processes have open: those that see its mounts.
    fn descriptors(&mut self, container: &Container) -> Vec<Descriptor> {
        let at = |index: usize| self.pass.processes.get(index);
        let mounts = |index: usize| at(index).and_then(|process| process.namespaces.first().copied());
        let own = mounts(container.first);
        // Where its mounts are the viewer's own, nothing of them was left open by mistake.
        let ino = match own {
            Some(Spot::In(index)) => self.pass.namespaces.all.get(index).map(|one| one.ino),
            _ => None,
        };
        if ino == self.host.namespace {
            return Vec::new();
        }
        let first = std::iter::once(container.first);
        let others = container.processes.iter().copied().filter(|index| *index != container.first);
        let looked_at = first.chain(others).filter(|index| mounts(*index) == own).take(LOOKED_AT);
        let pids: Vec<_> = looked_at.filter_map(|index| at(index).map(|process| process.pid)).collect();
        let mut found = Vec::new();
        for pid in pids {
            let folders = self.walk.visit(pid).ok().flatten().and_then(|visit| visit.folders().ok());
            let of_host = folders.into_iter().flatten().filter(|folder| self.host.ids.contains(&folder.mount));
            found.extend(of_host.map(|folder| Descriptor { pid, fd: folder.fd, path: folder.path }));
        }
        found
    }
}

/// AppArmor has a folder of its own among the attributes; what is beside that is SELinux's, whose labels have four parts.
fn label(visit: &mut Visit<'_>) -> Option<Label> {
    if let Ok(label) = visit.attribute("apparmor/current") {
        return Some(Label::AppArmor(label));
    }
    let label = visit.attribute("current").ok()?;
    match label.matches(':').count() {
        0 => Some(Label::AppArmor(label)),
        1 | 2 => None,
        _ => Some(Label::Selinux(label)),
    }
}

/// A file inside, without what a link would lead to. `None` where there is none that can be looked at.
fn look(root: &OwnedFd, inside: &Path) -> Option<(OwnedFd, Stat)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(root, inside, flags, Mode::empty(), resolve).ok()?;
    let stat = fstat(&file).ok()?;
    Some((file, stat))
}

fn owner(stat: &Stat) -> Owner {
    Owner { uid: HostId(stat.st_uid), gid: HostId(stat.st_gid), mode: stat.st_mode & 0o7777 }
}

/// Those that are mounted, and those in a folder that is mounted.
fn sockets(root: &OwnedFd, mounts: &[Mount]) -> Vec<Socket> {
    let mut found: Vec<Socket> = Vec::new();
    for mount in mounts {
        let Some(host) = mount.host.as_deref().filter(|_| !mount.is_of_kernel()) else { continue };
        let named = |path: &Path| path.file_name().and_then(OsStr::to_str).is_some_and(|name| NAMES.contains(&name));
        let below = SOCKETS.iter().filter_map(|path| Path::new(path).strip_prefix(host).ok().map(Path::to_owned));
        let itself = named(host).then(PathBuf::new);
        for rest in below.chain(itself).chain(NAMES.map(PathBuf::from)) {
            let is_itself = rest.as_os_str().is_empty();
            let place = |path: &Path| if is_itself { path.to_owned() } else { path.join(&rest) };
            let (inside, host) = (place(&mount.inside), place(host));
            let Some((_, stat)) = look(root, &inside) else { continue };
            let is_new = !found.iter().any(|one| one.inside == inside);
            if is_new && FileType::from_raw_mode(stat.st_mode) == FileType::Socket {
                found.push(Socket { inside, host, owner: owner(&stat) });
            }
        }
    }
    found
}

/// The nodes in /dev that not every container has; of block devices those that have a size.
fn nodes(root: &OwnedFd) -> Vec<Node> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let Ok(folder) = openat2(root, "dev", flags, Mode::empty(), resolve) else { return Vec::new() };
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut listed = RawDir::new(folder.as_fd(), &mut buffer);
    let mut found = Vec::new();
    while let Some(Ok(entry)) = listed.next().filter(|_| found.len() < NODES) {
        let Ok(name) = entry.file_name().to_str() else { continue };
        if USUAL.contains(&name) || name.starts_with("tty") || name.starts_with('.') {
            continue;
        }
        let Ok(stat) = statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let device = (major(stat.st_rdev), minor(stat.st_rdev));
        let block = match FileType::from_raw_mode(stat.st_mode) {
            FileType::BlockDevice if has_size(device) => true,
            FileType::CharacterDevice => false,
            _ => continue,
        };
        found.push(Node { inside: Path::new("/dev").join(name), block, device, owner: owner(&stat) });
    }
    found.sort_by(|one, other| one.inside.cmp(&other.inside));
    found
}

/// Whether there is anything in a block device.
fn has_size(device: (u32, u32)) -> bool {
    let size = std::fs::read_to_string(format!("/sys/dev/block/{}:{}/size", device.0, device.1));
    size.is_ok_and(|size| size.trim() != "0")
}
