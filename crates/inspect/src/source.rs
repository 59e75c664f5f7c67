//! Takes a snapshot. What tells of processes and their namespaces is [`Pass`]; it is filled from /proc by one walk, or where
//! processes are many and the viewer may, with the help of a walk within the kernel ([`tasks`]).
//!
//! A process may end at any moment: what was read of it until then stays, and nothing of another process gets among it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cgroup::Version;
use cgroup::cpuset::Set;
use cgroup::level::{Detail, Trees};
use cgroup::pressure;
use error::{Doing as _, Errno, Error, Result};
use netlink::route::{self, Paired};
use netlink::{Protocol, Socket};
use procfs::status::SeccompMode;
use procfs::{CgroupLine, HostId, HostPid, Kind, Process as Folder, Sight, Stat, Status, Visit, Walk};

use crate::find::{self, Found, What};
use crate::limits::{Groups, stall};
use crate::names::{self, State};
use crate::namespaces::Namespaces;
use crate::network::{self, Asked};
use crate::reach::{self, Reader};
use crate::recognise::{Recognised, recognise};
use crate::snapshot::{
    Blind, Capabilities, CgroupMode, Container, Engine, Facts, Host, HostNamespace, Known, Link, Process, Reading,
    Seccomp, Snapshot, Spot, Stalls, VERSION, place,
};
use crate::surroundings::HostMounts;
use crate::tasks::{self, Sighting};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'w> {
    /// Namespaces, with the first process of each and how many others are in it: the question of lsns(8).
    Namespaces,
    /// Containers, with their limits: what a list shows.
    Containers,
    /// Every process and sandbox, and of those that these words name all there is. Where a word can be answered only by
    /// looking at all the others, as who listens at a port, it is the same as everything.
    About(&'w [&'w str]),
    /// Everything: every process, sandboxes, namespaces without a process, mounts, ports, and what is used.
    Everything,
}

/// Takes a snapshot of the host. `carboy` are the root folders of carboy's state, for its containers' names.
///
/// # Errors
/// A kernel error where /proc or the list of mounts is not there. What else cannot be read stands in the snapshot.
pub fn take(scope: Scope<'_>, carboy: &[PathBuf]) -> Result<Snapshot> {
    let (scope, words) = match scope {
        Scope::About(words) => (Scope::Everything, words),
        scope => (scope, &[][..]),
    };
    let mut blind = Sightless::default();
    let mut walk = Walk::open()?;
    let known = host_namespaces(&mut walk)?;
    let mut pass = Pass::of(&mut walk, scope, &known, &mut blind)?;
    let mut containers = Vec::new();
    if scope != Scope::Namespaces {
        let assembly = Assembly { walk: &mut walk, known: &known, state: State::new(Path::new("/"), carboy) };
        containers = assembly.containers(scope, &mut pass);
    }
    let trees = Trees::open()?;
    let mut host = host(known, &trees)?;
    let focus = Focus::of(words, &host, &mut pass, &mut containers);
    let of_containers = || containers.iter().flat_map(|container| container.groups.iter().copied()).collect();
    let (wanted, detail): (Vec<usize>, _) = match (scope, &focus) {
        (Scope::Namespaces, _) => (Vec::new(), Detail::Limits),
        (Scope::Containers, _) => (of_containers(), Detail::Limits),
        (_, Some(focus)) => (focus.groups.iter().copied().collect(), Detail::All),
        (_, None) => ((0..pass.groups.all.len()).collect(), Detail::All),
    };
    let (mut links, mut networks) = (Vec::new(), Vec::new());
    pass.groups.read(&trees, &wanted, detail, &mut blind);
    if scope == Scope::Everything {
        let focus = focus.as_ref();
        let is_asked = |namespace| focus.is_none_or(|focus| focus.namespaces.contains(&namespace));
        match focus {
            Some(focus) => pass.namespaces.look_at(&mut walk, focus.namespaces.iter().copied(), &mut blind),
            None => pass.namespaces.look_closer(&mut walk, &pass.pids, &mut blind),
        }
        pass.read_ports(&mut walk, is_asked, &mut blind);
        let asked = containers.iter_mut().enumerate();
        let asked = asked.filter(|(index, _)| focus.is_none_or(|focus| focus.containers.contains(index)));
        read_surroundings(&mut walk, &pass, &trees, asked.map(|(_, one)| one), &mut blind)?;
        links = pass.links(&mut walk, is_asked).unwrap_or_else(|error| {
            blind.add_error("links", "the host's network interfaces", &error);
            Vec::new()
        });
        if let Some(focus) = focus {
            let read = network::read(&mut walk, &pass, &trees, &focus.asked, &mut blind);
            networks = read.unwrap_or_else(|error| {
                blind.add_error("network", "the host's network", &error);
                Vec::new()
            });
        }
    }
    let (at_msec, up_usec) = now();
    if scope == Scope::Everything {
        reach::read_host(&mut host);
        (host.stalls, host.available_bytes) = (stalls(&mut blind), available());
    }
    Ok(Snapshot {
        version: VERSION,
        at_msec,
        up_usec,
        host,
        processes: pass.processes,
        namespaces: pass.namespaces.all,
        groups: pass.groups.all,
        containers,
        links,
        networks,
        blind: blind.told(),
    }
    .legible())
}

/// What is asked about, by places in a snapshot's lists.
#[derive(Debug, Default)]
struct Focus {
    containers: BTreeSet<usize>,
    namespaces: BTreeSet<usize>,
    groups: BTreeSet<usize>,
    asked: Asked,
}

impl Focus {
    /// What these words name, where that can be told by what is known already: containers and processes. `None` where
    /// everything must be looked at.
    fn of(words: &[&str], host: &Host, pass: &mut Pass, containers: &mut Vec<Container>) -> Option<Self> {
        let is_named = |word: &&str| matches!(find::parse(word), Ok(What::Name(_) | What::Inside(..) | What::Pid(_)));
        if words.is_empty() || !words.iter().all(is_named) {
            return None;
        }
        // The resolver asks a whole snapshot: what is there of one is lent to it.
        let mut known = Snapshot {
            processes: std::mem::take(&mut pass.processes),
            containers: std::mem::take(containers),
            version: VERSION,
            at_msec: 0,
            up_usec: 0,
            host: host.clone(),
            namespaces: Vec::new(),
            groups: Vec::new(),
            links: Vec::new(),
            networks: Vec::new(),
            blind: Vec::new(),
        };
        let found: Option<Vec<Vec<Found>>> = words.iter().map(|word| find::find(&known, word).ok()).collect();
        (pass.processes, *containers) = (std::mem::take(&mut known.processes), std::mem::take(&mut known.containers));
        let mut focus = Self::default();
        for found in found?.into_iter().flatten() {
            match found {
                Found::Container(index) => focus.add_container(index, pass, containers),
                Found::Process(index) | Found::Member(index) => {
                    focus.asked.processes.insert(index);
                    focus.add_process(pass.processes.get(index)?);
                    let inside = pass.processes.get(index).and_then(|process| process.container);
                    inside.into_iter().for_each(|container| focus.add_container(container, pass, containers));
                }
                Found::Namespace(_) | Found::Group(_) => return None,
            }
        }
        focus.asked.groups.clone_from(&focus.groups);
        // It stands for the host where something is compared with that.
        pass.processes.iter().filter(|process| process.pid == HostPid(1)).for_each(|init| focus.add_process(init));
        Some(focus)
    }

    fn add_container(&mut self, index: usize, pass: &Pass, containers: &[Container]) {
        let Some(container) = containers.get(index) else { return };
        self.containers.insert(index);
        self.groups.extend(container.groups.iter().copied());
        self.asked.processes.extend(container.processes.iter().copied());
        pass.processes.get(container.first).into_iter().for_each(|first| self.add_process(first));
    }

    fn add_process(&mut self, process: &Process) {
        let spots = process.namespaces.iter();
        self.namespaces.extend(spots.filter_map(|spot| if let Spot::In(index) = spot { Some(*index) } else { None }));
        self.groups.extend(process.facts.iter().flat_map(|facts| facts.groups.iter().copied()));
    }
}

/// The milliseconds since 1970, and the microseconds since the kernel started.
pub(crate) fn now() -> (u64, u64) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up = Duration::try_from(up).unwrap_or_default().as_micros();
    (u64::try_from(at).unwrap_or(u64::MAX), u64::try_from(up).unwrap_or(0))
}

/// What could not be read, alike things counted together.
#[derive(Debug, Default)]
pub(crate) struct Sightless(BTreeMap<(&'static str, i32), (String, u64)>);

impl Sightless {
    /// Notes one; `sort` is what it is counted with.
    pub(crate) fn add(&mut self, sort: &'static str, what: &str, errno: Errno) {
        self.0.entry((sort, errno.raw_os_error())).or_insert_with(|| (what.to_owned(), 0)).1 += 1;
    }

    /// The same by an error; that a process is gone is no blindness.
    pub(crate) fn add_error(&mut self, sort: &'static str, what: &str, error: &Error) {
        match error.errno() {
            Some(Errno::NOENT | Errno::SRCH) => {}
            errno => self.add(sort, what, errno.unwrap_or(Errno::IO)),
        }
    }

    pub(crate) fn told(self) -> Vec<Blind> {
        let tell = |((_, errno), (what, count)): ((&str, i32), (String, u64))| Blind {
            what: if count > 1 { format!("{what}, and {} more like it", count - 1) } else { what },
            why: std::io::Error::from_raw_os_error(errno)
                .to_string()
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        self.0.into_iter().map(tell).collect()
    }
}

/// The inode that the kernel gives to its first namespace of a kind: <linux/proc_ns.h>. Kernels before 6.18 number those of
/// net and mnt as any other.
pub(crate) const fn fixed(kind: Kind) -> u64 {
    match kind {
        Kind::Ipc => 0xefff_ffff,
        Kind::Uts => 0xefff_fffe,
        Kind::User => 0xefff_fffd,
        Kind::Pid => 0xefff_fffc,
        Kind::Cgroup => 0xefff_fffb,
        Kind::Time => 0xefff_fffa,
        Kind::Net => 0xefff_fff9,
        Kind::Mnt => 0xefff_fff8,
    }
}

type HostNamespaces = [Option<HostNamespace>; 8];

/// The host's own namespaces: by number, else those of the first process, else the viewer's.
fn host_namespaces(walk: &mut Walk) -> Result<HostNamespaces> {
    let viewer = Folder::this()?.namespaces()?;
    let mut of = |pid| walk.visit(HostPid(pid)).ok().flatten().map(|visit| visit.namespaces);
    // The second is the parent of the kernel's threads, which never leaves the first namespaces.
    let (init, threads) = (of(1), of(2));
    let ino = |seen: Option<[Sight; 8]>, kind| seen?.get(place(kind)).and_then(|sight| sight.id()).map(|id| id.ino);
    let of_kind = |(kind, sight): (Kind, Sight)| {
        let (own, init, threads) = (sight.id().map(|id| id.ino), ino(init, kind), ino(threads, kind));
        let known = |ino, known| HostNamespace { ino, known };
        if [own, init, threads].contains(&Some(fixed(kind))) {
            return Some(known(fixed(kind), Known::Fixed));
        }
        init.map(|ino| known(ino, Known::Init)).or_else(|| own.map(|ino| known(ino, Known::Viewer)))
    };
    Ok(viewer.map(of_kind))
}

fn host(namespaces: HostNamespaces, trees: &Trees) -> Result<Host> {
    let has = |version| trees.iter().any(|tree| tree.version == version);
    let system = rustix::system::sysinfo();
    let cpus = std::fs::read_to_string("/sys/devices/system/cpu/online").ok().and_then(|list| Set::parse(&list));
    Ok(Host {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cpus: cpus.map_or(0, |cpus| u64::try_from(cpus.numbers().count()).unwrap_or(u64::MAX)),
        memory_bytes: system.totalram.saturating_mul(system.mem_unit.into()),
        cgroups: match (has(Version::V1), has(Version::V2)) {
            (true, true) => CgroupMode::Hybrid,
            (true, false) => CgroupMode::V1,
            (false, true) => CgroupMode::V2,
            (false, false) => CgroupMode::None,
        },
        namespaces,
        viewer: HostId(rustix::process::geteuid().as_raw()),
        stalls: Stalls::default(),
        available_bytes: Reading::Absent,
        modules: None,
        root_device: None,
        disks: Vec::new(),
        kernel_files: Vec::new(),
    })
}

/// How long the host's processes waited.
pub(crate) fn stalls(blind: &mut Sightless) -> Stalls {
    let mut of = |resource: &str| match procfs::host::read_pressure(resource) {
        Ok(text) => stall(pressure::parse(&text)),
        Err(error) => {
            // A kernel that does not tell is told of where it matters.
            if error.errno() != Some(Errno::OPNOTSUPP) {
                blind.add_error("pressure", "how long the host's processes waited", &error);
            }
            stall(None)
        }
    };
    Stalls { cpu: of("cpu"), memory: of("memory"), io: of("io") }
}

/// The memory that could be used at once.
pub(crate) fn available() -> Reading {
    procfs::host::read_available_bytes().map_or(Reading::Unreadable, Reading::At)
}

/// What one pass over the processes gave.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) pids: Vec<HostPid>,
    pub(crate) processes: Vec<Process>,
    pub(crate) namespaces: Namespaces,
    pub(crate) groups: Groups,
    /// Of each process that has facts, the groups as /proc shows them.
    lines: BTreeMap<usize, Rc<[CgroupLine]>>,
    /// Those once, with the places of the groups, by the text of /proc: most processes have them in common.
    memberships: HashMap<Vec<u8>, Membership>,
}

/// A process and what is known of its namespaces.
type Seen = (HostPid, Option<[Sight; 8]>);

/// What the kernel's walk saw, with those of /proc that it was kept from; in the order of their numbers.
fn whole(sightings: &[Sighting], pids: Vec<HostPid>) -> Vec<Seen> {
    let is_missing = |pid: &HostPid| sightings.binary_search_by_key(pid, |one| one.pid).is_err();
    let mut seen: Vec<Seen> = pids.into_iter().filter(is_missing).map(|pid| (pid, None)).collect();
    seen.extend(sightings.iter().map(|one| (one.pid, one.namespaces)));
    seen.sort_unstable_by_key(|(pid, _)| *pid);
    seen
}

/// The groups of a process, one a hierarchy.
#[derive(Debug, Clone)]
struct Membership {
    lines: Rc<[CgroupLine]>,
    groups: Vec<usize>,
}

impl Pass {
    /// By the quickest source that there is for what is asked.
    fn of(walk: &mut Walk, scope: Scope, known: &HostNamespaces, blind: &mut Sightless) -> Result<Self> {
        // Where every process's files are read, its links are the least.
        let pids = walk.pids()?;
        // In every pid namespace there is a number 1.
        if !pids.contains(&HostPid(1)) {
            blind.add("processes", "the processes that /proc hides, as its option hidepid wants it", Errno::ACCESS);
        }
        let sightings = if scope == Scope::Everything { None } else { tasks::walk(walk.device()) };
        Ok(match sightings {
            Some(sightings) => Self::of_tasks(&whole(&sightings, pids), walk, (scope, known), blind),
            None => Self::of_proc(pids, walk, (scope, known), blind),
        })
    }

    /// By the kernel's walk: /proc is asked of those alone of which more is told.
    fn of_tasks(
        sightings: &[Seen],
        walk: &mut Walk,
        (scope, known): (Scope, &HostNamespaces),
        blind: &mut Sightless,
    ) -> Self {
        let mut pass = Self { pids: sightings.iter().map(|(pid, _)| *pid).collect(), ..Self::default() };
        for (pid, namespaces) in sightings {
            let is_told = |seen: &[Sight; 8]| match scope {
                Scope::Namespaces => pass.namespaces.has_new(seen),
                Scope::Containers => is_apart(seen, known),
                Scope::About(_) | Scope::Everything => true,
            };
            match namespaces.filter(|seen| !is_told(seen)) {
                Some(seen) => {
                    let namespaces = pass.count(*pid, seen);
                    pass.processes.push(Process { pid: *pid, namespaces, facts: None, container: None });
                }
                None => pass.visit(walk, *pid, (scope, known), blind),
            }
        }
        pass
    }

    fn visit(
        &mut self,
        walk: &mut Walk,
        pid: HostPid,
        (scope, known): (Scope, &HostNamespaces),
        blind: &mut Sightless,
    ) {
        match walk.visit(pid) {
            Ok(Some(visit)) => self.enter(visit, scope, known, blind),
            Ok(None) => {}
            Err(error) => blind.add_error("processes", &format!("process {pid}"), &error),
        }
    }

    fn count(&mut self, pid: HostPid, seen: [Sight; 8]) -> [Spot; 8] {
        let mut spots = [Spot::Absent; 8];
        for ((kind, sight), spot) in Kind::ALL.into_iter().zip(seen).zip(&mut spots) {
            *spot = self.namespaces.count(pid, kind, sight);
        }
        spots
    }

    fn of_proc(
        pids: Vec<HostPid>,
        walk: &mut Walk,
        (scope, known): (Scope, &HostNamespaces),
        blind: &mut Sightless,
    ) -> Self {
        let mut pass = Self::default();
        for pid in &pids {
            pass.visit(walk, *pid, (scope, known), blind);
        }
        Self { pids, ..pass }
    }

    fn enter(&mut self, mut visit: Visit<'_>, scope: Scope, known: &HostNamespaces, blind: &mut Sightless) {
        let pid = visit.pid;
        let hidden =
            visit.namespaces.iter().find_map(|sight| if let Sight::Blind(errno) = sight { Some(*errno) } else { None });
        if let Some(errno) = hidden {
            blind.add("namespaces", &format!("the namespaces of process {pid}"), errno);
        }
        let spots = self.count(pid, visit.namespaces);
        let is_told = match scope {
            Scope::Namespaces => self.namespaces.is_first(pid, &spots),
            Scope::Containers => is_apart(&visit.namespaces, known),
            Scope::About(_) | Scope::Everything => true,
        };
        let mut facts = None;
        if is_told {
            match self.facts(&mut visit, scope) {
                Ok((read, lines)) => {
                    facts = Some(Box::new(read));
                    self.lines.insert(self.processes.len(), lines);
                }
                Err(error) => blind.add_error("facts", &format!("what process {pid} is"), &error),
            }
        }
        self.processes.push(Process { pid, namespaces: spots, facts, container: None });
    }

    fn facts(&mut self, visit: &mut Visit<'_>, scope: Scope) -> Result<(Facts, Rc<[CgroupLine]>)> {
        let (stat, status) = (visit.stat()?, visit.status()?);
        let Membership { lines, groups } = self.membership(visit)?;
        let arguments = if scope == Scope::Containers { Vec::new() } else { visit.arguments().unwrap_or_default() };
        let facts = Facts { arguments, ..Facts::of(stat, status, groups) };
        Ok((facts, lines))
    }

    fn membership(&mut self, visit: &mut Visit<'_>) -> Result<Membership> {
        let text = visit.cgroup_text()?;
        if let Some(known) = self.memberships.get(text) {
            return Ok(known.clone());
        }
        let text = text.to_owned();
        let lines = visit.parse_cgroup(&text)?;
        let membership = Membership { groups: self.groups.of(&lines), lines: lines.into() };
        self.memberships.insert(text, membership.clone());
        Ok(membership)
    }

    /// The interfaces that lead from the viewer's network namespace to others.
    fn links(&self, walk: &mut Walk, is_asked: impl Fn(usize) -> bool) -> Result<Vec<Link>> {
        let socket = Socket::open(Protocol::Route)?;
        let peered = route::paired(&socket).doing(|| "list the network interfaces")?;
        // Where no interface leads out, nothing needs to be known of the others.
        let numbered = if peered.is_empty() { Vec::new() } else { self.numbered(walk, &socket, is_asked) };
        let namespace = |nsid| numbered.iter().find(|(number, _)| *number == nsid).map(|(_, index)| *index);
        let link =
            |one: Paired| Link { namespace: namespace(one.nsid), name: one.name, index: one.index, peer: one.peer };
        Ok(peered.into_iter().map(link).collect())
    }

    /// The numbers that a socket's namespace has for others, of those that are asked for and to which a link leads.
    pub(crate) fn numbered(
        &self,
        walk: &mut Walk,
        socket: &Socket,
        is_asked: impl Fn(usize) -> bool,
    ) -> Vec<(u32, usize)> {
        let mut numbered = Vec::new();
        let all = self.namespaces.all.iter().zip(&self.namespaces.witness).enumerate();
        let nets = all.filter(|(index, (namespace, _))| namespace.kind == Kind::Net && is_asked(*index));
        for (index, (_, pid)) in nets {
            let Some(visit) = pid.and_then(|pid| walk.visit(pid).ok().flatten()) else { continue };
            let number =
                visit.open_namespace(Kind::Net).ok().and_then(|file| route::nsid(socket, file.as_fd()).ok()?);
            numbered.extend(number.map(|number| (number, index)));
        }
        numbered
    }

    /// The ports of each network namespace, by one of its processes.
    fn read_ports(&mut self, walk: &mut Walk, is_asked: impl Fn(usize) -> bool, blind: &mut Sightless) {
        let Namespaces { all, witness, .. } = &mut self.namespaces;
        let all = all.iter_mut().zip(witness).enumerate();
        let nets = all.filter(|(index, (namespace, _))| namespace.kind == Kind::Net && is_asked(*index));
        for (_, (namespace, pid)) in nets {
            let Some(pid) = *pid else { continue };
            match walk.visit(pid).map(|visit| visit.map(|mut visit| visit.listening())) {
                Ok(Some(Ok(ports))) => namespace.listening = Some(ports),
                Ok(None) => {}
                Ok(Some(Err(error))) | Err(error) => {
                    blind.add_error("ports", &format!("the ports of net:[{}]", namespace.ino), &error);
                }
            }
        }
    }
}

impl Facts {
    /// What /proc/PID/stat and /proc/PID/status tell.
    pub(crate) fn of(stat: Stat, status: Status, groups: Vec<usize>) -> Self {
        let ids = |ids: procfs::status::Credentials| [ids.real, ids.effective, ids.saved, ids.file_system];
        Self {
            start_ticks: stat.start_ticks,
            name: stat.name,
            arguments: Vec::new(),
            state: stat.state,
            parent: stat.parent,
            inside: status.inside,
            uids: ids(status.uid),
            gids: ids(status.gid),
            capabilities: Capabilities {
                effective: status.capabilities.effective,
                permitted: status.capabilities.permitted,
                bounding: status.capabilities.bounding,
            },
            seccomp: match status.seccomp {
                None => Seccomp::Absent,
                Some(SeccompMode::Disabled) => Seccomp::Off,
                Some(SeccompMode::Strict) => Seccomp::Strict,
                Some(SeccompMode::Filter(_)) => Seccomp::Filter,
            },
            no_new_privs: status.no_new_privs,
            threads: status.threads,
            groups,
            work: None,
        }
    }
}

fn is_apart(seen: &[Sight; 8], known: &HostNamespaces) -> bool {
    let differs = |(sight, known): (&Sight, &Option<HostNamespace>)| {
        sight.id().zip(*known).is_some_and(|(id, known)| id.ino != known.ino)
    };
    seen.iter().zip(known).any(differs)
}

/// What puts processes together to containers.
struct Assembly<'a> {
    walk: &'a mut Walk,
    known: &'a HostNamespaces,
    state: State,
}

impl Assembly<'_> {
    fn containers(mut self, scope: Scope, pass: &mut Pass) -> Vec<Container> {
        // By the place of the lines, which those that are in the same groups have in common.
        let mut recognised: HashMap<*const CgroupLine, Option<Recognised>> = HashMap::new();
        let mut members: BTreeMap<(Engine, String), Vec<(usize, Recognised)>> = BTreeMap::new();
        let mut others: BTreeMap<[u64; 8], Vec<usize>> = BTreeMap::new();
        for (index, lines) in &pass.lines {
            let look = || lines.iter().find_map(|line| recognise(&line.path));
            let apart = pass.processes.get(*index).filter(|one| self.apart(pass, one));
            let bundled = || apart.and_then(|_| lines.iter().find_map(|line| self.state.bundled(&line.path)));
            if let Some(found) = recognised.entry(lines.as_ptr()).or_insert_with(look).clone().or_else(bundled) {
                members.entry((found.engine, found.id.clone())).or_default().push((*index, found));
            } else if let Some(key) = apart.map(spots) {
                others.entry(key).or_default().push(*index);
            }
        }
        let mut containers = Vec::new();
        for members in members.into_values() {
            let processes: Vec<usize> = members.iter().map(|(index, _)| *index).collect();
            let is_apart =
                processes.iter().any(|index| pass.processes.get(*index).is_some_and(|one| self.apart(pass, one)));
            if let Some((_, found)) = members.first().filter(|_| is_apart) {
                containers.push(self.container(pass, found, processes));
            }
        }
        for (found, processes) in self.machines(pass, &mut others) {
            containers.push(self.container(pass, &found, processes));
        }
        if scope == Scope::Everything {
            containers.extend(others.into_values().map(|processes| sandbox(pass, processes)));
        }
        containers.sort_by(|one, other| {
            let key = |container: &Container| {
                (container.engine == Engine::Sandbox, container.title().to_owned(), container.id.clone())
            };
            key(one).cmp(&key(other))
        });
        for (number, container) in containers.iter().enumerate() {
            for index in &container.processes {
                if let Some(process) = pass.processes.get_mut(*index) {
                    process.container = Some(number);
                }
            }
        }
        containers
    }

    /// Takes out those that are machines of systemd-nspawn in a group that does not say so.
    fn machines(&mut self, pass: &Pass, others: &mut BTreeMap<[u64; 8], Vec<usize>>) -> Vec<(Recognised, Vec<usize>)> {
        if others.is_empty() || !self.state.has_machines() {
            return Vec::new();
        }
        let mut found: BTreeMap<Recognised, Vec<usize>> = BTreeMap::new();
        others.retain(|_, processes| {
            let pid = pass.processes.get(first(pass, processes)).map(|process| process.pid);
            let visit = pid.and_then(|pid| self.walk.visit(pid).ok().flatten());
            let mounts = visit.and_then(|mut visit| visit.mountinfo().ok()).unwrap_or_default();
            let machine = names::machine(&mounts);
            let is_other = machine.is_none();
            machine.into_iter().for_each(|machine| found.entry(machine).or_default().append(processes));
            is_other
        });
        found.into_iter().collect()
    }

    fn apart(&self, pass: &Pass, process: &Process) -> bool {
        let differs = |(spot, known): (&Spot, &Option<HostNamespace>)| match (spot, known) {
            (Spot::In(index), Some(known)) => pass.namespaces.all.get(*index).is_some_and(|one| one.ino != known.ino),
            _ => false,
        };
        process.namespaces.iter().zip(self.known).any(differs)
    }

    fn container(&mut self, pass: &mut Pass, found: &Recognised, processes: Vec<usize>) -> Container {
        let first = first(pass, &processes);
        let lines = pass.lines.get(&first).cloned().unwrap_or_default();
        let lines: Vec<CgroupLine> = lines.iter().map(|line| own_group(line.clone(), found)).collect();
        let groups = pass.groups.of(&lines);
        let pid = pass.processes.get(first).map_or(HostPid(0), |process| process.pid);
        let walk = &mut *self.walk;
        let mounts = || {
            let visit = walk.visit(pid).ok().flatten();
            visit.and_then(|mut visit| visit.mountinfo().ok()).unwrap_or_default()
        };
        let identity = self.state.identify(found, mounts);
        Container {
            engine: identity.engine,
            id: found.id.clone(),
            name: identity.name,
            pod: identity.pod,
            first,
            processes,
            groups,
            uid_map: None,
            mounts: None,
            reach: None,
        }
    }
}

/// The container's own group, where the process is in one below it.
fn own_group(line: CgroupLine, found: &Recognised) -> CgroupLine {
    match recognise(&line.path) {
        Some(own) if own.id == found.id => {
            let path = line.path.components().take(own.depth + 1).collect();
            CgroupLine { path, ..line }
        }
        _ => line,
    }
}

/// What tells apart the namespaces of one process from those of another.
fn spots(process: &Process) -> [u64; 8] {
    process.namespaces.map(|spot| match spot {
        Spot::In(index) => u64::try_from(index).unwrap_or(u64::MAX),
        Spot::Absent => u64::MAX,
        Spot::Unreadable => u64::MAX - 1,
    })
}

/// The process that the others come from: one that is number 1 inside, else the one that began first.
fn first(pass: &Pass, processes: &[usize]) -> usize {
    let rank = |index: &usize| {
        let facts = pass.processes.get(*index).and_then(|process| process.facts.as_ref());
        let is_init = facts.is_some_and(|facts| facts.inside.last().is_some_and(|pid| pid.0 == 1));
        (!is_init, facts.map_or(u64::MAX, |facts| facts.start_ticks), *index)
    };
    processes.iter().copied().min_by_key(rank).unwrap_or_default()
}

fn sandbox(pass: &Pass, processes: Vec<usize>) -> Container {
    let first = first(pass, &processes);
    let process = pass.processes.get(first);
    let facts = process.and_then(|process| process.facts.as_ref());
    let lines = pass.lines.get(&first).map_or(&[][..], |lines| lines);
    let unit = |line: &CgroupLine| {
        let name = line.path.file_name()?.to_str()?;
        name.ends_with(".service").then(|| name.to_owned())
    };
    let name = lines.iter().find_map(unit).or_else(|| facts.map(|facts| facts.name.clone()));
    Container {
        engine: Engine::Sandbox,
        id: process.map_or_else(String::new, |process| process.pid.to_string()),
        name,
        pod: None,
        first,
        processes,
        groups: facts.map_or_else(Vec::new, |facts| facts.groups.clone()),
        uid_map: None,
        mounts: None,
        reach: None,
    }
}

/// The mounts and the user ids of each container, by its first process, and what else is at its hand.
fn read_surroundings<'c>(
    walk: &mut Walk,
    pass: &Pass,
    trees: &Trees,
    containers: impl Iterator<Item = &'c mut Container>,
    blind: &mut Sightless,
) -> Result<()> {
    let viewer = Folder::this()?;
    let namespace = viewer.namespace(Kind::Mnt)?.id().map(|id| id.ino);
    let host = HostMounts::new(&viewer.mountinfo()?, namespace);
    for container in containers {
        let Some(pid) = pass.processes.get(container.first).map(|process| process.pid) else { continue };
        let Ok(Some(mut visit)) = walk.visit(pid) else { continue };
        if visit.namespaces.first() == Some(&Sight::Absent) {
            // A zombie has left its mounts.
            continue;
        }
        let has_same_mounts = visit.namespaces.first().and_then(|sight| sight.id()).map(|id| id.ino) == namespace;
        match visit.mountinfo() {
            Ok(mounts) => container.mounts = Some(host.seen_from(&mounts)),
            Err(error) => blind.add_error("mounts", &format!("the mounts of process {pid}"), &error),
        }
        match visit.uid_map() {
            Ok(map) => container.uid_map = Some(map),
            Err(error) => blind.add_error("maps", &format!("the user ids of process {pid}"), &error),
        }
        // A program among the host's own mounts has all of it at hand.
        if has_same_mounts && container.engine == Engine::Sandbox {
            continue;
        }
        match (Reader { walk, pass, host: &host, trees }).read(container) {
            Ok(reach) => container.reach = reach.map(Box::new),
            Err(error) => blind.add_error("reach", &format!("sockets and devices of process {pid}"), &error),
        }
    }
    Ok(())
}
