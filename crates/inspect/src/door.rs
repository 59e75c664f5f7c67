//! The ways from inside a container to the host that are open, each with its evidence and the flag that closes it. Pure.
//!
//! No score: a door is open or it is not. A *host* door alone is enough for root on the host; a *wide* one lets the host or
//! other containers be seen, read or disturbed; a *narrow* one makes another fault worse. capabilities(7), namespaces(7).

use std::path::Path;

use procfs::{HostId, Kind};

use crate::relation::{self, Relation};
use crate::snapshot::{Container, Facts, Mount, Process, Seccomp, Snapshot};

/// How far a door leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// Alone enough for root on the host.
    Host,
    /// The host or others can be seen, read or disturbed.
    Wide,
    /// It makes another fault worse.
    Narrow,
}

/// A door that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// How far it leads.
    pub width: Width,
    /// What is open.
    pub what: String,
    /// What the kernel shows of it.
    pub evidence: String,
    /// What closes it, in Docker's flags.
    pub closes: &'static str,
}

/// capabilities(7), <linux/capability.h>: their numbers.
const DAC_READ_SEARCH: u32 = 2;
const NET_ADMIN: u32 = 12;
const SYS_MODULE: u32 = 16;
const SYS_RAWIO: u32 = 17;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const SYS_BOOT: u32 = 22;
const SYS_TIME: u32 = 25;
const BPF: u32 = 39;

/// What a program on the host obeys.
const SOCKETS: [&str; 6] =
    ["docker.sock", "podman.sock", "containerd.sock", "crio.sock", "dockershim.sock", "buildkitd.sock"];

/// Folders in which whoever can write is root on the host before long.
const OF_ROOT: [&str; 12] =
    ["/", "/etc", "/root", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/boot", "/bin", "/sbin", "/var", "/var/lib"];

/// What is looked at for one container.
struct Look<'s> {
    snapshot: &'s Snapshot,
    container: &'s Container,
    members: Vec<(&'s Process, &'s Facts)>,
    mounts: &'s [Mount],
}

/// The open doors of a container, the widest first. What could not be read opens none: see [`Snapshot::blind`].
#[must_use]
pub fn of(snapshot: &Snapshot, container: &Container) -> Vec<Door> {
    let members = snapshot.processes_of(container);
    let look = Look {
        snapshot,
        container,
        members: members.filter_map(|process| Some((process, process.facts.as_deref()?))).collect(),
        mounts: container.mounts.as_deref().unwrap_or_default(),
    };
    let mut doors = look.sockets();
    doors.extend(look.folders());
    doors.extend(look.kernel_files());
    doors.extend(look.capabilities());
    doors.extend(look.shared_with_host());
    doors.extend(look.privilege());
    doors.sort_by_key(|door| door.width);
    doors
}

impl<'s> Look<'s> {
    fn is_host(&self, kind: Kind) -> bool {
        relation::of(self.snapshot, self.container, kind) == Relation::Host
    }

    /// Capabilities and root's id hold on the host only where the user namespace is the host's.
    fn is_hosts_user(&self) -> bool {
        self.is_host(Kind::User)
    }

    fn any(&self, is_so: impl Fn(&Facts) -> bool) -> Option<(&'s Process, &'s Facts)> {
        self.members.iter().copied().find(|(_, facts)| is_so(facts))
    }

    fn can(&self, capability: u32) -> Option<(&'s Process, &'s Facts)> {
        self.any(|facts| facts.capabilities.effective >> capability & 1 == 1).filter(|_| self.is_hosts_user())
    }

    fn is_root(&self) -> bool {
        self.is_hosts_user() && self.any(|facts| facts.uids.contains(&HostId(0))).is_some()
    }

    fn sockets(&self) -> Vec<Door> {
        let is_socket = |mount: &&Mount| {
            let name = mount.host.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
            name.is_some_and(|name| SOCKETS.contains(&name))
        };
        let found = self.mounts.iter().filter(is_socket).filter(|_| self.is_hosts_user());
        let door = |mount: &Mount| Door {
            width: Width::Host,
            what: "an engine's socket: whoever speaks with it starts what they like on the host".to_owned(),
            evidence: shown(mount),
            closes: "leave out that -v",
        };
        found.map(door).collect()
    }

    fn folders(&self) -> Vec<Door> {
        let mut doors: Vec<Door> = Vec::new();
        for mount in self.mounts {
            let Some(host) =
                mount.host.as_deref().filter(|host| OF_ROOT.iter().any(|folder| *host == Path::new(folder)))
            else {
                continue;
            };
            let (width, what) = if mount.read_only || !self.is_root() {
                (Width::Wide, format!("the host's {} can be read", host.display()))
            } else {
                (Width::Host, format!("the host's {} can be written", host.display()))
            };
            doors.push(Door { width, what, evidence: shown(mount), closes: "mount less of it, with :ro" });
        }
        doors
    }

    /// /proc/sys and /sys have switches of the whole kernel, which root may turn in whatever mount namespace.
    fn kernel_files(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        let at = |inside: &str| self.mounts.iter().rfind(|mount| mount.inside == Path::new(inside));
        let proc = at("/proc").filter(|proc| proc.fs_type == "proc" && !proc.read_only && self.is_root());
        let is_covered = at("/proc/sys").is_some_and(|sys| sys.read_only || sys.fs_type != "proc");
        if let Some(proc) = proc.filter(|_| !is_covered) {
            doors.push(Door {
                width: Width::Host,
                what: "the kernel's settings can be written: core_pattern names a program that the host runs"
                    .to_owned(),
                evidence: format!("/proc {} without a read-only /proc/sys", if proc.read_only { "ro" } else { "rw" }),
                closes: "leave out --privileged",
            });
        }
        if let Some(sys) = at("/sys").filter(|sys| sys.fs_type == "sysfs" && !sys.read_only && self.is_root()) {
            doors.push(Door {
                width: Width::Wide,
                what: "the kernel's devices and drivers can be changed".to_owned(),
                evidence: shown(sys),
                closes: "leave out --privileged",
            });
        }
        doors
    }

    fn capabilities(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        let mut push = |width, capability, name: &str, what: &str, closes| {
            if let Some((process, facts)) = self.can(capability) {
                let filter =
                    if matches!(facts.seccomp, Seccomp::Off | Seccomp::Absent) { ", no seccomp filter" } else { "" };
                let evidence =
                    format!("CAP_{name} in CapEff {:016x} of {}{filter}", facts.capabilities.effective, process.pid);
                doors.push(Door { width, what: what.to_owned(), evidence, closes });
            }
        };
        let unfiltered = |facts: &Facts| matches!(facts.seccomp, Seccomp::Off | Seccomp::Absent);
        let admin = |facts: &Facts| facts.capabilities.effective >> SYS_ADMIN & 1 == 1 && unfiltered(facts);
        if self.any(admin).is_some() {
            push(
                Width::Host,
                SYS_ADMIN,
                "SYS_ADMIN",
                "it can mount what it likes: a new /proc, the host's disks",
                "leave out --privileged and --cap-add SYS_ADMIN",
            );
        } else {
            push(
                Width::Wide,
                SYS_ADMIN,
                "SYS_ADMIN",
                "it can mount what its filter lets it",
                "leave out --cap-add SYS_ADMIN",
            );
        }
        push(
            Width::Host,
            SYS_MODULE,
            "SYS_MODULE",
            "it can load code into the kernel",
            "leave out --privileged and --cap-add SYS_MODULE",
        );
        if self.is_host(Kind::Pid) {
            push(
                Width::Host,
                SYS_PTRACE,
                "SYS_PTRACE",
                "it can take over any process of the host",
                "leave out --pid host or --cap-add SYS_PTRACE",
            );
        }
        push(Width::Wide, SYS_RAWIO, "SYS_RAWIO", "it can reach the hardware's ports", "--cap-drop SYS_RAWIO");
        push(
            Width::Wide,
            DAC_READ_SEARCH,
            "DAC_READ_SEARCH",
            "it can open any file of a file system that it has a part of",
            "--cap-drop DAC_READ_SEARCH",
        );
        push(Width::Wide, BPF, "BPF", "it can load programs that the kernel runs", "--cap-drop BPF");
        push(Width::Wide, SYS_BOOT, "SYS_BOOT", "it can restart the host", "--cap-drop SYS_BOOT");
        push(Width::Wide, SYS_TIME, "SYS_TIME", "it can set the host's clock", "--cap-drop SYS_TIME");
        if self.is_host(Kind::Net) {
            push(
                Width::Wide,
                NET_ADMIN,
                "NET_ADMIN",
                "it can change the host's addresses, routes and firewall",
                "leave out --net host or --cap-add NET_ADMIN",
            );
        }
        doors
    }

    fn shared_with_host(&self) -> Vec<Door> {
        let told = [
            (
                Kind::Pid,
                Width::Wide,
                "it sees the host's processes, and signals those of its users",
                "leave out --pid host",
            ),
            (Kind::Net, Width::Wide, "it has the host's ports and abstract sockets", "leave out --net host"),
            (Kind::Ipc, Width::Wide, "it has the host's shared memory and queues", "leave out --ipc host"),
            (Kind::Mnt, Width::Wide, "it has the host's mounts", "run it in a mount namespace of its own"),
        ];
        let found = told.into_iter().filter(|(kind, ..)| self.is_host(*kind));
        let door = |(kind, width, what, closes): (Kind, _, &str, _)| {
            let known = self.snapshot.host.namespaces.get(crate::snapshot::place(kind)).copied().flatten();
            let evidence = format!("{}:[{}] is the host's", kind.name(), known.map_or(0, |known| known.ino));
            Door { width, what: what.to_owned(), evidence, closes }
        };
        found.map(door).collect()
    }

    fn privilege(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        if let Some((process, _)) = self.any(|facts| facts.seccomp == Seccomp::Off) {
            doors.push(Door {
                width: Width::Wide,
                what: "every system call is open to it".to_owned(),
                evidence: format!("Seccomp: 0 of {}", process.pid),
                closes: "leave out --security-opt seccomp=unconfined",
            });
        }
        if self.is_root() {
            doors.push(Door {
                width: Width::Narrow,
                what: "root here is root on the host (no user namespace)".to_owned(),
                evidence: "uid_map 0 0 4294967295".to_owned(),
                closes: "--user, or an engine of a user who is not root",
            });
        }
        if let Some((process, _)) = self.any(|facts| !facts.no_new_privs) {
            doors.push(Door {
                width: Width::Narrow,
                what: "setuid programs can raise privilege".to_owned(),
                evidence: format!("NoNewPrivs: 0 of {}", process.pid),
                closes: "--security-opt no-new-privileges",
            });
        }
        doors
    }
}

/// A mount as evidence: where it comes from and where it is inside.
fn shown(mount: &Mount) -> String {
    let from = mount.host.as_deref().map_or_else(|| mount.fs_type.clone(), |host| host.display().to_string());
    format!("{from} on {} {}", mount.inside.display(), if mount.read_only { "ro" } else { "rw" })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    const OWN: [Kind; 5] = [Kind::Mnt, Kind::Pid, Kind::Net, Kind::Ipc, Kind::Uts];

    /// Through which something can be written.
    fn mount(host: Option<&str>, inside: &str, fs_type: &str) -> Mount {
        let host = host.map(PathBuf::from);
        Mount { inside: inside.into(), host, fs_type: fs_type.to_owned(), read_only: false, layers: Vec::new() }
    }

    fn read_only(mount: Mount) -> Mount {
        Mount { read_only: true, ..mount }
    }

    /// The doors of a default container that was changed: their widths, and the flag that closes each.
    fn doors(own: &[Kind], change: impl Fn(&mut Facts, &mut Vec<Mount>)) -> Vec<(Width, &'static str)> {
        let mut snapshot = samples::empty();
        let index = samples::container(&mut snapshot, "web", own);
        let mut mounts = vec![
            mount(None, "/", "overlay"),
            mount(None, "/proc", "proc"),
            read_only(mount(None, "/proc/sys", "proc")),
            read_only(mount(None, "/sys", "sysfs")),
            mount(Some("/var/lib/docker/containers/a/hostname"), "/etc/hostname", "ext4"),
        ];
        change(snapshot.processes[0].facts.as_mut().unwrap(), &mut mounts);
        snapshot.containers[index].mounts = Some(mounts);
        of(&snapshot, &snapshot.containers[index]).into_iter().map(|door| (door.width, door.closes)).collect()
    }

    const ROOT: (Width, &str) = (Width::Narrow, "--user, or an engine of a user who is not root");
    const SETUID: (Width, &str) = (Width::Narrow, "--security-opt no-new-privileges");

    #[test]
    fn a_default_container_has_two_narrow_doors() {
        assert_eq!(doors(&OWN, |_, _| {}), [ROOT, SETUID]);
    }

    #[test]
    fn a_container_without_rights_or_root_has_none() {
        let closed = doors(&OWN, |facts, _| {
            facts.uids = [HostId(1000); 4];
            facts.capabilities.effective = 0;
            facts.no_new_privs = true;
        });
        assert_eq!(closed, []);
    }

    #[test]
    fn each_wish_opens_its_own_door_and_no_other() {
        let socket = doors(&OWN, |_, mounts| mounts.push(read_only(mount(Some("/run/docker.sock"), "/s", "tmpfs"))));
        assert_eq!(socket, [(Width::Host, "leave out that -v"), ROOT, SETUID]);
        let root = doors(&OWN, |_, mounts| mounts.push(mount(Some("/"), "/host", "ext4")));
        assert_eq!(root, [(Width::Host, "mount less of it, with :ro"), ROOT, SETUID]);
        let readable = doors(&OWN, |_, mounts| mounts.push(read_only(mount(Some("/etc"), "/host", "ext4"))));
        assert_eq!(readable, [(Width::Wide, "mount less of it, with :ro"), ROOT, SETUID]);
        let pid = doors(&[Kind::Mnt, Kind::Net, Kind::Ipc, Kind::Uts], |_, _| {});
        assert_eq!(pid, [(Width::Wide, "leave out --pid host"), ROOT, SETUID]);
        let admin = doors(&OWN, |facts, _| {
            facts.capabilities.effective |= 1 << SYS_ADMIN;
            facts.seccomp = Seccomp::Off;
        });
        let expected = [
            (Width::Host, "leave out --privileged and --cap-add SYS_ADMIN"),
            (Width::Wide, "leave out --security-opt seccomp=unconfined"),
            ROOT,
            SETUID,
        ];
        assert_eq!(admin, expected);
    }

    #[test]
    fn a_privileged_container_has_the_kernels_switches() {
        let all = doors(&OWN, |facts, mounts| {
            facts.capabilities.effective = 0x1ff_ffff_ffff;
            facts.seccomp = Seccomp::Off;
            mounts.retain(|mount| mount.inside != Path::new("/proc/sys"));
            mounts.iter_mut().for_each(|mount| mount.read_only = false);
        });
        assert_eq!(all.iter().filter(|(width, _)| *width == Width::Host).count(), 3);
        assert!(all.contains(&(Width::Host, "leave out --privileged")));
    }

    #[test]
    fn capabilities_in_a_user_namespace_of_its_own_open_nothing() {
        let rootless = doors(&[&OWN[..], &[Kind::User]].concat(), |facts, mounts| {
            facts.capabilities.effective = 0x1ff_ffff_ffff;
            mounts.push(mount(Some("/run/docker.sock"), "/s", "tmpfs"));
        });
        assert_eq!(rootless, [SETUID]);
    }

    proptest! {
        #[test]
        fn more_rights_never_close_a_door(before: u64, more: u64, seccomp: bool) {
            let with = |effective| doors(&OWN, |facts, _| {
                facts.capabilities.effective = effective;
                facts.seccomp = if seccomp { Seccomp::Filter } else { Seccomp::Off };
            });
            let (few, many) = (with(before), with(before | more));
            prop_assert!(few.iter().all(|door| many.contains(door)));
        }
    }
}
