//! The ways from inside a container to the host that are open, each with its evidence and what closes it. Pure.
//!
//! No score: a door is open or it is not. A *host* door alone is enough for root on the host; a *wide* one lets the host or
//! other containers be seen, read or disturbed; a *narrow* one makes another fault worse. capabilities(7), namespaces(7).

mod closes;
mod files;
mod rights;

use procfs::{HostId, Kind};

use self::closes::{Opening, Words};
use crate::relation::{self, Relation};
use crate::snapshot::{Container, Engine, Facts, Mount, Process, Reach, Snapshot};

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
    /// What closes it, in the words of whoever runs the container.
    pub closes: String,
}

/// What is looked at for one container.
struct Look<'s> {
    snapshot: &'s Snapshot,
    container: &'s Container,
    members: Vec<(&'s Process, &'s Facts)>,
    mounts: &'s [Mount],
    reach: Option<&'s Reach>,
    words: Words,
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
        reach: container.reach.as_deref(),
        words: Words::of(container),
    };
    let mut doors = if look.is_on_host() { look.on_host() } else { look.inside() };
    doors.sort_by_key(|door| door.width);
    doors
}

impl<'s> Look<'s> {
    fn inside(&self) -> Vec<Door> {
        let mut doors = self.sockets();
        doors.extend(self.folders());
        doors.extend(self.descriptors());
        doors.extend(self.kernel_files());
        doors.extend(self.groups());
        doors.extend(self.devices());
        doors.extend(self.admin());
        doors.extend(self.handles());
        doors.extend(self.of_processes());
        doors.extend(self.capabilities());
        doors.extend(self.propagation());
        doors.extend(self.shared_with_host());
        doors.extend(self.privilege());
        doors
    }

    fn door(&self, width: Width, what: &str, evidence: String, opening: Opening) -> Door {
        Door { width, what: what.to_owned(), evidence, closes: self.words.closing(opening) }
    }

    fn is_host(&self, kind: Kind) -> bool {
        relation::of(self.snapshot, self.container, kind) == Relation::Host
    }

    /// Capabilities hold on the host only where the user namespace is the host's.
    fn is_hosts_user(&self) -> bool {
        self.is_host(Kind::User)
    }

    /// A program that is in no container, nor in a mount or pid namespace of its own: it is where the doors lead to.
    fn is_on_host(&self) -> bool {
        self.container.engine == Engine::Sandbox
            && [Kind::User, Kind::Mnt, Kind::Pid].iter().all(|kind| self.is_host(*kind))
    }

    fn any(&self, is_so: impl Fn(&Facts) -> bool) -> Option<(&'s Process, &'s Facts)> {
        self.members.iter().copied().find(|(_, facts)| is_so(facts))
    }

    fn can(&self, capability: u32) -> Option<(&'s Process, &'s Facts)> {
        self.any(|facts| facts.capabilities.effective >> capability & 1 == 1).filter(|_| self.is_hosts_user())
    }

    /// Whether it has the id that the host's files and settings belong to, whatever it is called inside.
    fn is_root(&self) -> bool {
        self.any(|facts| facts.uids.contains(&HostId(0))).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::rights::*;
    use super::*;
    use crate::samples;
    use crate::snapshot::{Descriptor, Label, Node, Owner, Seccomp, Socket};

    const OWN: [Kind; 6] = [Kind::Mnt, Kind::Pid, Kind::Net, Kind::Ipc, Kind::Uts, Kind::Cgroup];
    const ALL: u64 = 0x1ff_ffff_ffff;

    fn own_but(kind: Kind) -> Vec<Kind> {
        OWN.into_iter().filter(|one| *one != kind).collect()
    }

    /// Through which something can be written.
    fn mount(host: Option<&str>, inside: &str, fs_type: &str) -> Mount {
        let host = host.map(PathBuf::from);
        Mount { inside: inside.into(), host, fs_type: fs_type.to_owned(), root: "/".into(), ..Mount::default() }
    }

    fn read_only(mount: Mount) -> Mount {
        Mount { read_only: true, ..mount }
    }

    fn owner(uid: u32, mode: u32) -> Owner {
        Owner { uid: HostId(uid), gid: HostId(0), mode }
    }

    /// A default container's mounts, its process's facts and its reach, to be changed.
    struct Scene {
        facts: Facts,
        mounts: Vec<Mount>,
        reach: Reach,
        engine: Engine,
    }

    fn all(own: &[Kind], change: impl Fn(&mut Scene)) -> Vec<Door> {
        let mut snapshot = samples::empty();
        let index = samples::container(&mut snapshot, "web", own);
        let host = samples::container(&mut snapshot, "host", &[]);
        snapshot.processes[snapshot.containers[host].first].facts.as_mut().unwrap().capabilities.permitted = ALL;
        let covered = ["kcore", "keys", "sysrq-trigger"].map(|file| format!("/proc/{file}"));
        let mut mounts = vec![
            mount(None, "/", "overlay"),
            mount(None, "/proc", "proc"),
            Mount { root: "/sys".into(), ..read_only(mount(None, "/proc/sys", "proc")) },
            read_only(mount(None, "/sys", "sysfs")),
            mount(Some("/var/lib/docker/containers/a/hostname"), "/etc/hostname", "ext4"),
        ];
        mounts.extend(covered.iter().map(|file| read_only(mount(None, file, "tmpfs"))));
        let rules = ["c 1:3 rwm", "b *:* m"].map(str::to_owned).into();
        let reach = Reach { devices: Some(rules), ..Reach::default() };
        let mut scene = Scene { facts: samples::facts(), mounts, reach, engine: Engine::Docker };
        change(&mut scene);
        **snapshot.processes[0].facts.as_mut().unwrap() = scene.facts;
        snapshot.containers[index].mounts = Some(scene.mounts);
        snapshot.containers[index].reach = Some(Box::new(scene.reach));
        snapshot.containers[index].engine = scene.engine;
        of(&snapshot, &snapshot.containers[index])
    }

    fn doors(own: &[Kind], change: impl Fn(&mut Scene)) -> Vec<(Width, String)> {
        all(own, change).into_iter().map(|door| (door.width, door.what)).collect()
    }

    /// What a change opens besides the two doors of every default container.
    fn opens(change: impl Fn(&mut Scene)) -> Vec<(Width, String)> {
        opens_in(&OWN, change)
    }

    fn opens_in(own: &[Kind], change: impl Fn(&mut Scene)) -> Vec<(Width, String)> {
        let usual = doors(&OWN, |_| {});
        let mut doors = doors(own, change);
        assert!(usual.iter().all(|door| doors.contains(door)), "{doors:?}");
        doors.retain(|door| !usual.contains(door));
        doors
    }

    fn one(width: Width, what: &str) -> Vec<(Width, String)> {
        vec![(width, what.to_owned())]
    }

    fn gives(scene: &mut Scene, capabilities: &[u32]) {
        for capability in capabilities {
            scene.facts.capabilities.effective |= 1 << capability;
        }
    }

    #[test]
    fn a_default_container_has_two_narrow_doors() {
        let expected = ["root here is root on the host (no user namespace)", "setuid programs can raise privilege"];
        assert_eq!(doors(&OWN, |_| {}), expected.map(|what| (Width::Narrow, what.to_owned())));
    }

    #[test]
    fn a_container_without_rights_or_root_has_none() {
        let closed = doors(&OWN, |scene| {
            scene.facts.uids = [HostId(1000); 4];
            scene.facts.capabilities.effective = 0;
            scene.facts.no_new_privs = true;
        });
        assert_eq!(closed, []);
    }

    #[test]
    fn a_socket_is_open_to_those_who_may_write_it() {
        let with = |uid, mode, supplementary: &[u32]| {
            doors(&OWN, |scene| {
                scene.facts.uids = [HostId(uid); 4];
                scene.facts.gids = [HostId(uid); 4];
                scene.facts.capabilities.effective = 0;
                scene.reach.supplementary = supplementary.iter().copied().map(HostId).collect();
                let (inside, host) = ("/s".into(), "/run/docker.sock".into());
                let owner = Owner { uid: HostId(0), gid: HostId(998), mode };
                scene.reach.sockets = vec![Socket { inside, host, owner }];
            })
            .iter()
            .any(|door| door.0 == Width::Host)
        };
        assert!(with(0, 0o660, &[]) && with(1000, 0o660, &[998]) && with(1000, 0o666, &[]));
        assert!(!with(1000, 0o660, &[]) && !with(998, 0o600, &[998]));
    }

    #[test]
    fn folders_of_root_are_told_of_once() {
        let root = opens(|scene| {
            scene.mounts.push(mount(Some("/"), "/host", "ext4"));
            scene.mounts.push(mount(Some("/run"), "/host/run", "tmpfs"));
        });
        assert_eq!(root, one(Width::Host, "the host's / can be written"));
        let readable = opens(|scene| scene.mounts.push(read_only(mount(Some("/etc"), "/host", "ext4"))));
        assert_eq!(readable, one(Width::Wide, "the host's /etc can be read"));
        let wider = opens(|scene| {
            scene.mounts.push(read_only(mount(Some("/"), "/host", "ext4")));
            scene.mounts.push(mount(Some("/run"), "/host/run", "tmpfs"));
        });
        assert_eq!(wider.len(), 2, "{wider:?}");
        assert_eq!(opens(|scene| scene.mounts.push(mount(Some("/srv/x"), "/x", "ext4"))), []);
        let layer = opens(|scene| scene.mounts[0].layers = vec!["/upper".into(), "/".into()]);
        assert_eq!(layer, one(Width::Wide, "the host's / can be read"));
    }

    #[test]
    fn a_folder_that_was_left_open_leads_to_the_hosts_root() {
        let left = opens(|scene| {
            let (pid, path) = (procfs::HostPid(9), "/sys/fs/cgroup".into());
            scene.reach.descriptors = vec![Descriptor { pid, fd: Some(7), path }];
        });
        let what = "a folder of the host is open to it, and all that is above: its files can be written";
        assert_eq!(left, one(Width::Host, what));
    }

    #[test]
    fn mounting_is_a_host_door_unless_a_profile_or_an_unknown_filter_is_in_the_way() {
        let admin = |engine, seccomp, label: Option<&str>| {
            let opened = doors(&OWN, |scene| {
                gives(scene, &[SYS_ADMIN]);
                (scene.engine, scene.facts.seccomp) = (engine, seccomp);
                scene.reach.label = label.map(|label| Label::AppArmor(label.to_owned()));
            });
            opened.into_iter().find(|(_, what)| what.starts_with("it can mount")).unwrap().0
        };
        assert_eq!(admin(Engine::Docker, Seccomp::Off, None), Width::Host);
        assert_eq!(admin(Engine::Docker, Seccomp::Filter, None), Width::Host);
        assert_eq!(admin(Engine::Unknown, Seccomp::Filter, None), Width::Wide);
        assert_eq!(admin(Engine::Unknown, Seccomp::Absent, None), Width::Host);
        assert_eq!(admin(Engine::Docker, Seccomp::Off, Some("docker-default (enforce)")), Width::Wide);
        assert_eq!(admin(Engine::Docker, Seccomp::Off, Some("docker-default (complain)")), Width::Host);
    }

    #[test]
    fn among_the_hosts_processes_weaker_ones_can_be_entered() {
        let among = own_but(Kind::Pid);
        let sees = (Width::Wide, "it sees the host's processes, and signals those of its users".to_owned());
        assert_eq!(opens_in(&among, |_| {}), std::slice::from_ref(&sees));
        let taken = opens_in(&among, |scene| gives(scene, &[SYS_PTRACE]));
        assert_eq!(taken, [(Width::Host, "it can take over any process of the host".to_owned()), sees.clone()]);
        let mut snapshot = samples::empty();
        let index = samples::container(&mut snapshot, "web", &among);
        let host = samples::container(&mut snapshot, "host", &[]);
        snapshot.processes[snapshot.containers[host].first].facts.as_mut().unwrap().capabilities.permitted = 0;
        let widest = of(&snapshot, &snapshot.containers[index]).remove(0);
        assert_eq!((widest.width, widest.closes.as_str()), (Width::Host, "leave out --pid host"));
        assert_eq!(widest.evidence, "101 (sh) of uid 0 has no capability that it lacks");
    }

    #[test]
    fn the_kernels_files_are_open_where_nothing_covers_them() {
        let uncovered =
            opens(|scene| scene.mounts.retain(|mount| !mount.inside.to_string_lossy().starts_with("/proc/")));
        let expected = [
            (Width::Host, "the kernel's settings can be written: core_pattern names a program that the host runs"),
            (Width::Wide, "it can restart or crash the host: sysrq-trigger"),
            (Width::Narrow, "what tells of the whole kernel can be read"),
        ];
        assert_eq!(uncovered, expected.map(|(width, what)| (width, what.to_owned())));
        let groups = |root: &str, capabilities: &[u32]| {
            opens(|scene| {
                gives(scene, capabilities);
                scene.mounts.push(Mount { root: root.into(), ..mount(None, "/sys/fs/cgroup/pids", "cgroup") });
            })
        };
        assert_eq!(groups("/docker/a", &[]), one(Width::Narrow, "it can change its own limits"));
        assert_eq!(groups("/", &[]), one(Width::Wide, "the limits of everything on the host can be changed"));
        assert!(groups("/", &[SYS_ADMIN]).iter().any(|(_, what)| what.contains("release_agent")));
    }

    #[test]
    fn nodes_count_as_far_as_their_bits_and_the_group_let_them_be_used() {
        let with = |rules: Option<&[&str]>, mode| {
            opens(|scene| {
                scene.facts.capabilities.effective = 0;
                let inside = "/dev/sda".into();
                scene.reach.nodes = vec![Node { inside, block: true, device: (8, 0), owner: owner(0, mode) }];
                scene.reach.devices = rules.map(|rules| rules.iter().map(|rule| (*rule).to_owned()).collect());
            })
        };
        let disk = one(Width::Host, "it can write the disk of the host's root");
        assert_eq!(with(Some(&["b 8:0 rwm"]), 0o660), disk);
        assert_eq!(with(Some(&["a *:* rwm"]), 0o600), disk);
        assert_eq!(with(None, 0o660), disk);
        assert_eq!(with(Some(&["b 8:* r"]), 0o660), one(Width::Wide, "it has disks of the host"));
        assert_eq!(with(Some(&["b *:* m", "c 8:0 rwm", "b 8:1 rw"]), 0o660), []);
        assert_eq!(with(Some(&["b 8:0 rw"]), 0o000), []);
        let made = opens(|scene| scene.reach.devices = Some(vec!["a *:* rwm".to_owned()]));
        assert_eq!(made, one(Width::Host, "it can make a node of any device: the host's disks"));
    }

    #[test]
    fn numbers_of_files_lead_out_where_a_part_of_the_hosts_root_is_mounted() {
        let handle = |device| {
            opens(|scene| {
                gives(scene, &[DAC_READ_SEARCH]);
                scene.mounts[4].device = device;
            })
        };
        assert_eq!(handle((8, 1)), one(Width::Host, "it can write any file of the host's root by its number"));
        let other = one(Width::Wide, "it can read any file of a file system that it has a part of");
        assert_eq!(handle((9, 9)), other);
        let none = opens(|scene| {
            gives(scene, &[DAC_READ_SEARCH]);
            scene.mounts.truncate(4);
        });
        assert!(none.iter().all(|(width, _)| *width != Width::Host), "{none:?}");
    }

    #[test]
    fn capabilities_in_a_user_namespace_of_its_own_open_nothing() {
        let rootless = |uid| {
            doors(&[&OWN[..], &[Kind::User]].concat(), |scene| {
                scene.facts.uids = [HostId(uid); 4];
                scene.facts.capabilities.effective = ALL;
                scene.mounts.push(mount(Some("/etc"), "/e", "ext4"));
            })
        };
        let setuid = (Width::Narrow, "setuid programs can raise privilege".to_owned());
        assert_eq!(rootless(1000), [(Width::Wide, "the host's /etc can be read".to_owned()), setuid.clone()]);
        assert_eq!(rootless(0), [(Width::Host, "the host's /etc can be written".to_owned()), setuid]);
    }

    #[test]
    fn what_closes_a_door_is_said_in_the_engines_words() {
        for (engine, pod, closes) in [
            (Engine::Docker, None, "leave out --privileged and --cap-add SYS_MODULE"),
            (Engine::Containerd, None, "leave out --privileged and --cap-add CAP_SYS_MODULE"),
            (Engine::Containerd, Some("shop/front"), "securityContext.capabilities.drop: [SYS_MODULE]"),
            (Engine::Lxc, None, "lxc.cap.drop = sys_module"),
            (Engine::Nspawn, None, "--drop-capability=CAP_SYS_MODULE"),
            (Engine::Sandbox, None, "ProtectKernelModules=yes"),
            (Engine::Unknown, None, "take CAP_SYS_MODULE out of process.capabilities"),
        ] {
            let mut snapshot = samples::empty();
            let index = samples::container(&mut snapshot, "web", &OWN);
            snapshot.processes[0].facts.as_mut().unwrap().capabilities.effective = 1 << 16;
            snapshot.containers[index].engine = engine;
            snapshot.containers[index].pod = pod.map(str::to_owned);
            assert_eq!(of(&snapshot, &snapshot.containers[index]).remove(0).closes, closes);
            snapshot.host.modules = Some(false);
            assert_ne!(of(&snapshot, &snapshot.containers[index]).remove(0).closes, closes, "a kernel without modules");
        }
    }

    #[test]
    fn a_program_on_the_host_is_told_what_would_hold_it() {
        let mut snapshot = samples::empty();
        let index = samples::container(&mut snapshot, "sshd", &[]);
        snapshot.containers[index].engine = Engine::Sandbox;
        let told = |snapshot: &Snapshot| {
            let doors = of(snapshot, &snapshot.containers[index]).into_iter();
            doors.map(|door| (door.width, door.closes)).collect::<Vec<_>>()
        };
        let setuid = (Width::Narrow, "NoNewPrivileges=yes".to_owned());
        assert_eq!(told(&snapshot), [(Width::Host, "User=, or DynamicUser=yes".to_owned()), setuid.clone()]);
        let facts = snapshot.processes[0].facts.as_mut().unwrap();
        facts.uids = [HostId(1000); 4];
        facts.capabilities.effective = 0;
        assert_eq!(told(&snapshot), [setuid]);
    }

    proptest! {
        #[test]
        fn more_rights_never_close_a_door(before: u64, more: u64, seccomp: bool) {
            let with = |effective| all(&OWN, |scene| {
                scene.facts.capabilities.effective = effective;
                scene.facts.seccomp = if seccomp { Seccomp::Filter } else { Seccomp::Off };
            });
            let (few, many) = (with(before), with(before | more));
            let stays = |door: &Door| many.iter().any(|other| other.closes == door.closes && other.width <= door.width);
            prop_assert!(few.iter().all(stays));
        }
    }
}
