//! Doors that are rights: capabilities, namespaces that are the host's, and what does not hold a process back. Pure.
//! capabilities(7), namespaces(7), seccomp(2).

use procfs::{HostId, InsideId, Kind};

use super::closes::Opening;
use super::{Door, Look, Width};
use crate::snapshot::{Engine, Facts, Label, Process, Seccomp, Spot, place};

/// capabilities(7), <linux/capability.h>: their numbers.
pub(super) const DAC_OVERRIDE: u32 = 1;
pub(super) const DAC_READ_SEARCH: u32 = 2;
const SETGID: u32 = 6;
const SETUID: u32 = 7;
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_MODULE: u32 = 16;
pub(super) const SYS_RAWIO: u32 = 17;
const SYS_CHROOT: u32 = 18;
pub(super) const SYS_PTRACE: u32 = 19;
pub(super) const SYS_ADMIN: u32 = 21;
const SYS_BOOT: u32 = 22;
const SYS_TIME: u32 = 25;
pub(super) const MKNOD: u32 = 27;
const SYSLOG: u32 = 34;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Those that lead to the host by themselves, or where a namespace is the host's.
const RIGHTS: [(u32, &str, Option<Kind>, &str); 8] = [
    (SYS_RAWIO, "SYS_RAWIO", None, "it can reach the hardware's ports"),
    (PERFMON, "PERFMON", None, "it can watch the kernel and every process of the host"),
    (SYSLOG, "SYSLOG", None, "it can read the kernel's messages"),
    (SYS_TIME, "SYS_TIME", None, "it can set the host's clock"),
    (SYS_BOOT, "SYS_BOOT", Some(Kind::Pid), "it can restart the host"),
    (NET_ADMIN, "NET_ADMIN", Some(Kind::Net), "it can change the host's addresses, routes and firewall"),
    (NET_RAW, "NET_RAW", Some(Kind::Net), "it can read and forge the host's packets"),
    (SYS_ADMIN, "SYS_ADMIN", Some(Kind::Uts), "it can set the host's name"),
];

/// A capability as evidence.
pub(super) fn held(name: &str, process: &Process, facts: &Facts) -> String {
    format!("CAP_{name} in CapEff {:016x} of {}", facts.capabilities.effective, process.pid)
}

const fn is_unfiltered(facts: &Facts) -> bool {
    matches!(facts.seccomp, Seccomp::Off | Seccomp::Absent)
}

/// Types whose processes SELinux lets do everything, as container-selinux and the reference policy name them.
const UNCONFINED_TYPES: [&str; 4] = ["unconfined_t", "unconfined_service_t", "spc_t", "init_t"];

/// Whether a security module has a profile for the process and enforces it.
fn is_confined(label: &Label) -> bool {
    match label {
        Label::AppArmor(label) => label != "unconfined" && !label.ends_with("(complain)"),
        Label::Selinux(label) => label.split(':').nth(2).is_some_and(|kind| !UNCONFINED_TYPES.contains(&kind)),
    }
}

impl<'s> Look<'s> {
    /// The engines' own profiles forbid mount(2) and to look into others' processes, whatever the capabilities.
    fn is_confined(&self) -> bool {
        self.reach.and_then(|reach| reach.label.as_ref()).is_some_and(is_confined)
    }

    /// What a filter lets through is not read. The engines' own lets mount(2) through for those that have the capability.
    pub(super) fn admin(&self) -> Option<Door> {
        let has = |facts: &Facts| facts.capabilities.effective >> SYS_ADMIN & 1 == 1;
        let unfiltered = self.any(|facts| has(facts) && is_unfiltered(facts));
        let (process, facts) = unfiltered.filter(|_| self.is_hosts_user()).or_else(|| self.can(SYS_ADMIN))?;
        let is_engines = !matches!(self.container.engine, Engine::Unknown | Engine::Sandbox);
        let filter = match (unfiltered.is_some(), is_engines) {
            (true, _) => ", no seccomp filter",
            (false, true) => ", and a filter that was not read: the engine's own lets mount(2) through with it",
            (false, false) => ", and a filter that was not read",
        };
        let (width, what) = if self.is_confined() {
            (Width::Wide, "it can mount what its security profile lets it")
        } else if unfiltered.is_some() || is_engines {
            (Width::Host, "it can mount what it likes: a new /proc, the host's disks")
        } else {
            (Width::Wide, "it can mount what its filter lets it")
        };
        let evidence = format!("{}{filter}", held("SYS_ADMIN", process, facts));
        Some(self.door(width, what, evidence, Opening::Capability("SYS_ADMIN")))
    }

    /// The host's processes, which lead to its files by /proc/PID/root. ptrace(2) "Ptrace access mode checking".
    pub(super) fn of_processes(&self) -> Option<Door> {
        if !self.is_host(Kind::Pid) || self.is_confined() {
            return None;
        }
        if let Some((process, facts)) = self.can(SYS_PTRACE) {
            let opening = Opening::CapabilityIn("SYS_PTRACE", Kind::Pid);
            let what = "it can take over any process of the host";
            return Some(self.door(Width::Host, what, held("SYS_PTRACE", process, facts), opening));
        }
        let (pid, facts) = self.weaker()?;
        let evidence = format!("{pid} ({}) of uid {} has no capability that it lacks", facts.name, uid(facts));
        let what = "it can enter processes of the host that have no more rights: their root is the host's";
        Some(self.door(Width::Host, what, evidence, Opening::Host(Kind::Pid)))
    }

    /// A process of the host that one of these may look into without more rights: one whose ids it can take, and who has no
    /// capability that it lacks.
    fn weaker(&self) -> Option<(procfs::HostPid, &'s Facts)> {
        let ids = self.can(SETUID).and_then(|_| self.can(SETGID)).filter(|_| self.is_root())?;
        let can = ids.1.capabilities.effective;
        let hosts = |process: &&Process, kind| {
            let known = self.snapshot.host.namespaces.get(place(kind)).copied().flatten();
            let spot = process.namespaces.get(place(kind)).copied();
            let Some(Spot::In(index)) = spot else { return false };
            self.snapshot.namespaces.get(index).zip(known).is_some_and(|(one, known)| one.ino == known.ino)
        };
        let outside =
            self.snapshot.processes.iter().filter(|process| hosts(process, Kind::Mnt) && hosts(process, Kind::User));
        let outside = outside.filter_map(|process| Some((process.pid, process.facts.as_deref()?)));
        // The kernel's own threads have no memory, and no arguments.
        outside.into_iter().find(|(_, facts)| {
            facts.capabilities.permitted & !can == 0 && facts.state != 'Z' && !facts.arguments.is_empty()
        })
    }

    pub(super) fn capabilities(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        if let Some((process, facts)) = self.can(SYS_MODULE).filter(|_| self.snapshot.host.modules != Some(false)) {
            let (what, evidence) = ("it can load code into the kernel", held("SYS_MODULE", process, facts));
            doors.push(self.door(Width::Host, what, evidence, Opening::Capability("SYS_MODULE")));
        }
        for (capability, name, within, what) in RIGHTS {
            let Some((process, facts)) = self.can(capability) else { continue };
            let opening = match within {
                None => Opening::Capability(name),
                Some(kind) if self.is_host(kind) => Opening::CapabilityIn(name, kind),
                Some(_) => continue,
            };
            doors.push(self.door(Width::Wide, what, held(name, process, facts), opening));
        }
        if let Some((process, facts)) = self.can(BPF) {
            let (width, what) = if self.can(PERFMON).or_else(|| self.can(SYS_ADMIN)).is_some() {
                (Width::Wide, "it can load programs into the kernel that read its memory")
            } else {
                (Width::Narrow, "it can load programs that the kernel runs")
            };
            doors.push(self.door(width, what, held("BPF", process, facts), Opening::Capability("BPF")));
        }
        doors
    }

    pub(super) fn shared_with_host(&self) -> Vec<Door> {
        let mounts = self.can(SYS_CHROOT).filter(|_| self.is_root());
        let (mnt, mnt_what) = match mounts {
            Some(_) => {
                (Width::Host, "it has the host's mounts, and can leave its root: the host's files can be written")
            }
            None => (Width::Wide, "it has the host's mounts"),
        };
        let told = [
            (Kind::Mnt, mnt, mnt_what),
            (Kind::Pid, Width::Wide, "it sees the host's processes, and signals those of its users"),
            (Kind::Net, Width::Wide, "it has the host's ports and abstract sockets"),
            (Kind::Ipc, Width::Wide, "it has the host's shared memory and queues"),
            (Kind::Uts, Width::Narrow, "it has the host's name"),
            (Kind::Cgroup, Width::Narrow, "it sees the names of the groups that it is in"),
        ];
        let found = told.into_iter().filter(|(kind, ..)| self.is_host(*kind));
        let door = |(kind, width, what): (Kind, Width, &str)| {
            let known = self.snapshot.host.namespaces.get(place(kind)).copied().flatten();
            let evidence = format!("{}:[{}] is the host's", kind.name(), known.map_or(0, |known| known.ino));
            self.door(width, what, evidence, Opening::Host(kind))
        };
        found.map(door).collect()
    }

    pub(super) fn privilege(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        if let Some((process, _)) = self.any(|facts| facts.seccomp == Seccomp::Off) {
            let evidence = format!("Seccomp: 0 of {}", process.pid);
            doors.push(self.door(Width::Wide, "every system call is open to it", evidence, Opening::Seccomp));
        }
        if let Some(label) = self.reach.and_then(|reach| reach.label.as_ref()).filter(|label| !is_confined(label)) {
            let (Label::AppArmor(text) | Label::Selinux(text)) = label;
            let what = "no profile of the host's security module holds it";
            doors.push(self.door(Width::Narrow, what, format!("its label is {text}"), Opening::Profile));
        }
        let map = self.container.uid_map.as_ref();
        if self.is_hosts_user() && self.is_root() {
            let what = "root here is root on the host (no user namespace)";
            doors.push(self.door(Width::Narrow, what, "uid_map 0 0 4294967295".to_owned(), Opening::Users));
        } else if map.is_some_and(|map| map.to_host(InsideId(0)) == Some(HostId(0))) && !self.is_hosts_user() {
            let what = "root here has the host's root's files (its user namespace maps 0 to 0)";
            doors.push(self.door(Width::Narrow, what, "uid_map 0 0".to_owned(), Opening::Users));
        }
        if let Some((process, _)) = self.any(|facts| !facts.no_new_privs) {
            let (what, evidence) = ("setuid programs can raise privilege", format!("NoNewPrivs: 0 of {}", process.pid));
            doors.push(self.door(Width::Narrow, what, evidence, Opening::SetUid));
        }
        doors
    }

    /// Of a program on the host itself: whether it is root there, else which rights lead to root, and what could hold it.
    pub(super) fn on_host(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        let root = self.any(|facts| facts.uids.contains(&HostId(0)));
        if let Some((_, facts)) = root {
            let evidence = format!("uid {}, CapEff {:016x}", uid(facts), facts.capabilities.effective);
            doors.push(self.door(Width::Host, "it is root on the host itself", evidence, Opening::Users));
        } else {
            doors.extend(self.admin());
            doors.extend(self.of_processes());
            doors.extend(self.capabilities());
        }
        if let Some((process, _)) = self.any(|facts| facts.seccomp == Seccomp::Off) {
            let evidence = format!("Seccomp: 0 of {}", process.pid);
            doors.push(self.door(Width::Narrow, "every system call is open to it", evidence, Opening::Seccomp));
        }
        if let Some((process, _)) = self.any(|facts| !facts.no_new_privs) {
            let (what, evidence) = ("setuid programs can raise privilege", format!("NoNewPrivs: 0 of {}", process.pid));
            doors.push(self.door(Width::Narrow, what, evidence, Opening::SetUid));
        }
        doors
    }
}

/// Its effective user.
fn uid(facts: &Facts) -> HostId {
    facts.uids.get(1).copied().unwrap_or(HostId(u32::MAX))
}
