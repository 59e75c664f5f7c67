//! Doors that are files: sockets, folders, the kernel's own file systems, device nodes, open descriptors. Pure.

use std::path::{Path, PathBuf};

use super::closes::Opening;
use super::rights::{DAC_OVERRIDE, DAC_READ_SEARCH, MKNOD, SYS_ADMIN, SYS_RAWIO, held};
use super::{Door, Look, Width};
use crate::snapshot::{Facts, Mount, Node, Owner, Socket};

/// What the host's root runs or obeys: whoever can write one of these, or replace it in a folder above, is root there.
const OF_ROOT: [&str; 26] = [
    "/bin",
    "/boot",
    "/etc/cron.d",
    "/etc/crontab",
    "/etc/ld.so.preload",
    "/etc/pam.d",
    "/etc/passwd",
    "/etc/profile.d",
    "/etc/shadow",
    "/etc/ssh",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/systemd/system",
    "/lib",
    "/lib64",
    "/root/.ssh",
    "/run/systemd/system",
    "/sbin",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/var/lib/docker/containers",
    "/var/spool/cron/crontabs",
];
/// File systems that show the kernel and let it be changed. Their root may do so in whatever mount namespace.
const SWITCHES: [&str; 5] = ["sysfs", "debugfs", "tracefs", "securityfs", "bpf"];
/// Files of /proc that tell of the whole kernel.
const TELLING: [(&str, &str); 4] = [
    ("kcore", "/proc/kcore"),
    ("keys", "/proc/keys"),
    ("timer_list", "/proc/timer_list"),
    ("sched_debug", "/proc/sched_debug"),
];
/// The kernel's memory and the hardware's; the kernel's log. Documentation/admin-guide/devices.txt.
const MEMORY: [(u32, u32); 3] = [(1, 1), (1, 2), (1, 4)];
const LOG: (u32, u32) = (1, 11);
/// Nodes with much of the kernel behind them: fuse, kvm, vhost-net, vhost-vsock.
const DEEP: [(u32, u32); 4] = [(10, 229), (10, 232), (10, 238), (10, 241)];

/// Whether a folder is, or is above, something of root's.
fn is_of_root(path: &Path) -> bool {
    OF_ROOT.iter().any(|kept| Path::new(kept).starts_with(path))
}

impl<'s> Look<'s> {
    /// Whether one of the processes may do this with a file of the host: read 4, write 2.
    fn may(&self, owner: Owner, access: u32) -> bool {
        let supplementary = self.reach.map_or(&[][..], |reach| reach.supplementary.as_slice());
        let allowed = |bits: u32| owner.mode >> bits & access == access;
        let may = |facts: &Facts| {
            if facts.uids.get(1) == Some(&owner.uid) {
                allowed(6)
            } else if facts.gids.get(1) == Some(&owner.gid) || supplementary.contains(&owner.gid) {
                allowed(3)
            } else {
                allowed(0)
            }
        };
        self.can(DAC_OVERRIDE).is_some() || self.any(may).is_some()
    }

    pub(super) fn sockets(&self) -> Vec<Door> {
        let found = self.reach.map_or(&[][..], |reach| reach.sockets.as_slice()).iter();
        let what = "an engine's socket: whoever speaks with it starts what they like on the host";
        let door = |socket: &Socket| {
            let Owner { uid, gid, mode } = socket.owner;
            let evidence =
                format!("{} on {}, mode {mode:o} of {uid}:{gid}", socket.host.display(), socket.inside.display());
            self.door(Width::Host, what, evidence, Opening::Mount)
        };
        found.filter(|socket| self.may(socket.owner, 2)).map(door).collect()
    }

    /// Folders of the host's root; those of one mount that lie below another one are told of once.
    pub(super) fn folders(&self) -> Vec<Door> {
        let mut told: Vec<(&Mount, &Path, Width)> = Vec::new();
        let mut doors = Vec::new();
        for mount in self.mounts.iter().filter(|mount| !mount.is_of_kernel()) {
            let Some(host) = mount.host.as_deref().filter(|host| is_of_root(host)) else { continue };
            let width = if mount.read_only || !self.is_root() { Width::Wide } else { Width::Host };
            let is_below = |(other, above, wider): &(&Mount, &Path, Width)| {
                let rest = host.strip_prefix(above).ok();
                *wider <= width && rest.is_some_and(|rest| mount.inside == other.inside.join(rest))
            };
            if told.iter().any(is_below) {
                continue;
            }
            told.push((mount, host, width));
            let verb = if width == Width::Host { "written" } else { "read" };
            let what = format!("the host's {} can be {verb}", host.display());
            doors.push(self.door(width, &what, shown(mount), Opening::Mount));
        }
        // What is below an overlay can be read through it, unless something above hides it.
        let layered = self.mounts.iter().flat_map(|mount| mount.layers.iter().map(move |layer| (mount, layer)));
        for (mount, layer) in layered.filter(|(_, layer)| is_of_root(layer)) {
            let what = format!("the host's {} can be read", layer.display());
            let evidence = format!("{} is a layer of {}", layer.display(), mount.inside.display());
            doors.push(self.door(Width::Wide, &what, evidence, Opening::Layer));
        }
        doors
    }

    /// Mounts that hand on to the host what is mounted below them.
    pub(super) fn propagation(&self) -> Vec<Door> {
        let found = self.mounts.iter().filter(|mount| mount.shared && mount.host.is_some()).take(1);
        let door = |mount: &Mount| match self.can(SYS_ADMIN) {
            Some(_) => {
                let what = "what it mounts appears on the host";
                self.door(Width::Wide, what, format!("{} shared", shown(mount)), Opening::Propagation)
            }
            None => {
                let what = "what is mounted inside would appear on the host";
                self.door(Width::Narrow, what, format!("{} shared", shown(mount)), Opening::Propagation)
            }
        };
        found.map(door).collect()
    }

    /// The mount that a path inside leads to.
    fn at(&self, inside: &Path) -> Option<&'s Mount> {
        let over = self.mounts.iter().filter(|mount| inside.starts_with(&mount.inside));
        over.max_by_key(|mount| mount.inside.components().count())
    }

    /// Where a file of /proc can be reached, through any procfs that shows all of it; whether to write.
    fn of_proc(&self, file: &str) -> impl Iterator<Item = (&'s Mount, PathBuf)> {
        let roots = self.mounts.iter().filter(|mount| mount.fs_type == "proc" && mount.root == Path::new("/"));
        let places = roots.map(move |mount| mount.inside.join(file));
        places.filter_map(|place| Some((self.at(&place)?, place))).filter(|(mount, _)| mount.fs_type == "proc")
    }

    /// /proc/sys and /sys have switches of the whole kernel, which root may turn in whatever mount namespace.
    pub(super) fn kernel_files(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        let settings = self.of_proc("sys/kernel/core_pattern").find(|(mount, _)| !mount.read_only && self.is_root());
        if let Some((_, place)) = settings {
            let what = "the kernel's settings can be written: core_pattern names a program that the host runs";
            let evidence = format!("{} is on a procfs rw", place.display());
            doors.push(self.door(Width::Host, what, evidence, at(&place, Opening::KernelFiles)));
        }
        let switches = |mount: &&Mount| SWITCHES.contains(&mount.fs_type.as_str()) && !mount.read_only;
        let whole = |mount: &&Mount| mount.root == Path::new("/") || mount.root.as_os_str().is_empty();
        let switches: Vec<&Mount> = self.mounts.iter().filter(switches).filter(whole).collect();
        if let Some(mount) = switches.first().filter(|_| self.is_root()) {
            let what = "the kernel's devices and drivers can be changed";
            doors.push(self.door(Width::Wide, what, shown(mount), at(&mount.inside, Opening::KernelFiles)));
        }
        let helper = switches.iter().find(|mount| mount.fs_type == "sysfs" && self.is_root());
        if let Some(mount) = helper.filter(|_| self.has_kernel_file("/sys/kernel/uevent_helper")) {
            let what = "a program can be named that the host runs for each change of a device: uevent_helper";
            doors.push(self.door(Width::Host, what, shown(mount), at(&mount.inside, Opening::KernelFiles)));
        }
        doors.extend(self.uncovered());
        doors
    }

    fn has_kernel_file(&self, path: &str) -> bool {
        self.snapshot.host.kernel_files.iter().any(|file| file == Path::new(path))
    }

    /// What engines cover, and is not.
    fn uncovered(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        let trigger = self.of_proc("sysrq-trigger").find(|(mount, _)| !mount.read_only && self.is_root());
        if let Some((_, place)) = trigger.filter(|_| self.has_kernel_file("/proc/sysrq-trigger")) {
            let what = "it can restart or crash the host: sysrq-trigger";
            doors.push(self.door(Width::Wide, what, format!("{} rw", place.display()), at(&place, Opening::Uncovered)));
        }
        let memory = self.of_proc("kcore").next().filter(|_| self.has_kernel_file("/proc/kcore"));
        if let Some((_, place)) = memory.filter(|_| self.can(SYS_RAWIO).is_some()) {
            let what = "it can read the kernel's memory: kcore";
            let evidence = format!("{} is not covered, CAP_SYS_RAWIO", place.display());
            doors.push(self.door(Width::Wide, what, evidence, at(&place, Opening::Uncovered)));
        }
        let read = TELLING
            .iter()
            .filter_map(|(file, path)| self.has_kernel_file(path).then(|| self.of_proc(file).next()).flatten());
        let mut read: Vec<PathBuf> = read.map(|(_, place)| place).collect();
        let firmware = Path::new("/sys/firmware");
        let is_shown =
            self.at(firmware).is_some_and(|mount| mount.fs_type == "sysfs" && mount.inside == Path::new("/sys"));
        if is_shown && self.has_kernel_file("/sys/firmware") {
            read.push(firmware.to_owned());
        }
        if let Some(first) = read.first() {
            let what = "what tells of the whole kernel can be read";
            let names: Vec<String> = read.iter().map(|place| place.display().to_string()).collect();
            let evidence = format!("{} not covered", names.join(", "));
            doors.push(self.door(Width::Narrow, what, evidence, at(first, Opening::Uncovered)));
        }
        doors
    }

    /// cgroup file systems that can be written. cgroup-v1/cgroups.rst "notify_on_release".
    pub(super) fn groups(&self) -> Vec<Door> {
        let is_open = |mount: &&Mount| mount.fs_type.starts_with("cgroup") && !mount.read_only;
        let open: Vec<&Mount> = self.mounts.iter().filter(is_open).filter(|_| self.is_root()).collect();
        let is_top = |mount: &&&Mount| mount.root == Path::new("/");
        let mut doors = Vec::new();
        let evidence = |mount: &Mount| format!("group {} on {} rw", mount.root.display(), mount.inside.display());
        let agent = open.iter().filter(is_top).find(|mount| mount.fs_type == "cgroup");
        if let Some(mount) = agent.filter(|_| self.can(SYS_ADMIN).is_some()) {
            let what = "a program can be named that the host runs when a group of v1 is empty: release_agent";
            doors.push(self.door(Width::Host, what, evidence(mount), at(&mount.inside, Opening::Groups)));
        }
        if let Some(mount) = open.iter().find(is_top) {
            let what = "the limits of everything on the host can be changed";
            doors.push(self.door(Width::Wide, what, evidence(mount), at(&mount.inside, Opening::Groups)));
        } else if let Some(mount) = open.first() {
            let what = "it can change its own limits";
            doors.push(self.door(Width::Narrow, what, evidence(mount), at(&mount.inside, Opening::Groups)));
        }
        doors
    }

    /// Files of a file system of the host's can be opened by their numbers where a part of it is mounted.
    /// open_by_handle_at(2).
    pub(super) fn handles(&self) -> Option<Door> {
        let (process, facts) = self.can(DAC_READ_SEARCH)?;
        let is_of_host = |mount: &&Mount| mount.host.is_some() && !mount.is_of_kernel() && mount.fs_type != "overlay";
        let of_host: Vec<&Mount> = self.mounts.iter().filter(is_of_host).collect();
        let device = self.snapshot.host.root_device;
        let of_root = |mount: &&&Mount| Some(mount.device) == device && !mount.read_only;
        let (width, what, mount) = match of_host.iter().find(of_root).filter(|_| self.is_root()) {
            Some(mount) => (Width::Host, "it can write any file of the host's root by its number", mount),
            None => (Width::Wide, "it can read any file of a file system that it has a part of", of_host.first()?),
        };
        let evidence = format!("{}, {}", held("DAC_READ_SEARCH", process, facts), shown(mount));
        Some(self.door(width, what, evidence, Opening::Capability("DAC_READ_SEARCH")))
    }

    pub(super) fn devices(&self) -> Vec<Door> {
        let Some(reach) = self.reach else { return Vec::new() };
        let mut doors = Vec::new();
        let all = reach.devices.as_ref().is_some_and(|rules| rules.iter().any(|rule| rule.starts_with("a *:*")));
        if let Some((process, facts)) = self.can(MKNOD).filter(|_| all && !self.snapshot.host.disks.is_empty()) {
            let evidence = format!("{}, devices a *:* rwm", held("MKNOD", process, facts));
            let what = "it can make a node of any device: the host's disks";
            doors.push(self.door(Width::Host, what, evidence, Opening::Devices));
        }
        let (blocks, others): (Vec<&Node>, Vec<&Node>) = reach.nodes.iter().partition(|node| node.block);
        let is_disk = |node: &Node| self.snapshot.host.disks.contains(&node.device);
        let disk = |node: &Node| is_disk(node) && self.may_use(node, Access::Write);
        doors.extend(self.nodes(
            Width::Host,
            "it can write the disk of the host's root",
            blocks.iter().copied().filter(|node| disk(node)),
        ));
        let readable = |node: &Node| !disk(node) && self.may_use(node, Access::Read);
        doors.extend(self.nodes(
            Width::Wide,
            "it has disks of the host",
            blocks.iter().copied().filter(|node| readable(node)),
        ));
        let of = |devices: &'static [(u32, u32)]| {
            let usable = move |node: &&Node| devices.contains(&node.device) && self.may_use(node, Access::Read);
            others.iter().copied().filter(usable)
        };
        let memory = of(&MEMORY).filter(|_| self.can(SYS_RAWIO).is_some());
        doors.extend(self.nodes(Width::Wide, "it can reach the machine's memory", memory));
        doors.extend(self.nodes(Width::Wide, "it can read and write the kernel's log", of(&[LOG])));
        doors.extend(self.nodes(Width::Narrow, "devices with much of the kernel behind them", of(&DEEP)));
        doors
    }

    fn nodes(&self, width: Width, what: &str, nodes: impl Iterator<Item = &'s Node>) -> Option<Door> {
        let names: Vec<String> = nodes.map(|node| node.inside.display().to_string()).collect();
        let told = self.reach.is_some_and(|reach| reach.devices.is_some());
        let unknown = if told { "" } else { "; what its group lets be used does not tell" };
        let evidence = format!("{}{unknown}", names.join(", "));
        (!names.is_empty()).then(|| self.door(width, what, evidence, Opening::Devices))
    }

    /// As its permission bits and, on v1, its group let it.
    fn may_use(&self, node: &Node, access: Access) -> bool {
        let (bit, letter) = match access {
            Access::Read => (4, 'r'),
            Access::Write => (2, 'w'),
        };
        let allows = |rule: &String| {
            let mut words = rule.split(' ');
            let (kind, device, access) = (words.next(), words.next().and_then(|one| one.split_once(':')), words.next());
            let is = |word: &str, number: u32| word == "*" || word.parse() == Ok(number);
            (kind == Some("a") || kind == Some(if node.block { "b" } else { "c" }))
                && device.is_some_and(|(major, minor)| is(major, node.device.0) && is(minor, node.device.1))
                && access.is_some_and(|access| access.contains(letter))
        };
        let rules = self.reach.and_then(|reach| reach.devices.as_ref());
        self.may(node.owner, bit) && rules.is_none_or(|rules| rules.iter().any(allows))
    }

    /// Folders of the host that were left open: from them, `..` leads to its root.
    pub(super) fn descriptors(&self) -> Option<Door> {
        let found = self.reach?.descriptors.first()?;
        let which = found.fd.map_or_else(|| "cwd".to_owned(), |fd| format!("descriptor {fd}"));
        let evidence = format!("{which} of {} is {} on a mount of the host", found.pid, found.path.display());
        let (width, what) = if self.is_root() {
            (Width::Host, "a folder of the host is open to it, and all that is above: its files can be written")
        } else {
            (Width::Wide, "a folder of the host is open to it, and all that is above: its files can be read")
        };
        Some(self.door(width, what, evidence, Opening::Descriptor))
    }
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// What an engine mounts at the usual places is its to change; anywhere else somebody has mounted the host's.
fn at(place: &Path, opening: Opening) -> Opening {
    if place.starts_with("/proc") || place.starts_with("/sys") { opening } else { Opening::Mount }
}

/// A mount as evidence: where it comes from and where it is inside.
fn shown(mount: &Mount) -> String {
    let from = mount.host.as_deref().map_or_else(|| mount.fs_type.clone(), |host| host.display().to_string());
    format!("{from} on {} {}", mount.inside.display(), if mount.read_only { "ro" } else { "rw" })
}
