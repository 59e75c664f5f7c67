//! What is left on the host of containers and networks whose folders are gone: somebody has deleted them. Each kind can be told
//! to be carboy's, and whose it is ([`crate::owner`]); what a folder tells of that is still there is nobody's business here.
//!
//! | what | how it is found |
//! | --- | --- |
//! | a container's groups, and all in them | written on the group |
//! | its monitor | has the container's run folder open, which is deleted |
//! | one of this carboy that runs and has no record | by its run folder |
//! | the resolver of a network | by its words |
//! | a bridge, a table of the firewall | written on it |
//! | ports of this carboy's firewall | they lead to an address that no container has |
//! | the link by which what a container sends takes a detour | the container's own link is gone |
//! | the mount of an image | by its place; nothing beside it counts who wants it |

mod remove;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cgroup::plan::Parent;
use cgroup::{GroupPath, Groups, Hierarchies, delegation};
use error::{Doing, Result};
use netlink::link::{self, Listed};
use netlink::{Protocol, Socket};
use network::firewall::Firewall;
use procfs::{HostPid, Kind, Process, Walk};

use crate::asleep;
use crate::containers::{Engine, runs};
use crate::images::mounted;
use crate::network::{self as networks, resolver};
use crate::owner::{Owner, Views};
use crate::record::{Live, short};
use crate::rootless;

/// Something of which no folder tells any more.
#[derive(Debug)]
pub enum Orphan {
    /// A container, or what is left of one.
    Container(Stray),
    /// A container of this carboy that runs and has no record.
    Unrecorded {
        /// Its id.
        id: String,
        /// What exists on the host for it.
        live: Box<Live>,
    },
    /// A process that answers for the names of a network.
    Resolver {
        /// Its number.
        pid: HostPid,
        /// The file that told of it.
        state: PathBuf,
    },
    /// A network's bridge.
    Bridge {
        /// Its name.
        link: String,
        /// The network's folder.
        folder: PathBuf,
    },
    /// A table of the firewall.
    Table {
        /// Its name.
        name: String,
        /// The folder of the carboy that made it.
        folder: PathBuf,
    },
    /// Ports that this carboy's firewall leads to an address which no container has.
    Ports {
        /// The address.
        to: IpAddr,
    },
    /// A link that the packets of a container took, whose own link is gone.
    Detour {
        /// Its name.
        link: String,
    },
    /// An image that is mounted.
    Image {
        /// Where.
        point: PathBuf,
    },
}

/// What there is of a container whose run folder is gone.
#[derive(Debug)]
pub struct Stray {
    /// The run folder that it had.
    folder: PathBuf,
    /// Its groups, and those above them that were made for it.
    groups: Option<(GroupPath, Vec<Parent>)>,
    /// Who has it in its care.
    monitor: Option<HostPid>,
    /// Those in its groups; without any, the children of its monitor.
    processes: Vec<HostPid>,
}

/// What it is, in one line.
impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(stray) => stray.fmt(f),
            Self::Unrecorded { id, .. } => write!(f, "container {} runs and has no record", short(id)),
            Self::Resolver { pid, state } => {
                write!(f, "process {pid} answers for the names of a network whose {} is gone", state.display())
            }
            Self::Bridge { link, folder } => {
                write!(f, "the bridge {link} is of a network whose folder {} is gone", folder.display())
            }
            Self::Table { name, folder } => {
                write!(f, "the nftables table {name} is of no network: none is left in {}", folder.display())
            }
            Self::Ports { to } => write!(f, "published ports lead to {to}, which no container has"),
            Self::Detour { link } => write!(f, "the link {link} is of a container's that is gone"),
            Self::Image { point } => write!(f, "an image is mounted on {}, and nothing tells of it", point.display()),
        }
    }
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let numbers = |pids: &[HostPid]| pids.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (self.processes.as_slice(), &self.groups, self.monitor) {
            ([], None, Some(monitor)) => write!(f, "process {monitor} is the monitor of container {}", short(&id))?,
            ([], Some((path, _)), _) => write!(f, "the cgroup {path} is of container {}", short(&id))?,
            (running, ..) => write!(f, "container {} runs, process {}", short(&id), numbers(running))?,
        }
        write!(f, ", whose folder {} is gone", self.folder.display())
    }
}

/// After so long it is looked whether what was found is still there: a monitor that ends has removed the folder before.
const AGAIN: Duration = Duration::from_millis(300);
/// What the kernel puts behind the path of what is deleted.
const DELETED: &str = " (deleted)";

impl Engine {
    /// What is left on the host of containers and networks whose folders are gone, of this and of other carboys.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn orphans(&self) -> Result<Vec<Orphan>> {
        let first = self.look_for_orphans()?;
        if first.is_empty() {
            return Ok(first);
        }
        std::thread::sleep(AGAIN);
        let known: Vec<String> = first.iter().map(Orphan::key).collect();
        let mut still = self.look_for_orphans()?;
        still.retain(|orphan| known.contains(&orphan.key()));
        Ok(still)
    }

    fn look_for_orphans(&self) -> Result<Vec<Orphan>> {
        let views = Views::open()?;
        let mut found: Vec<Orphan> = strays(&views)?.into_iter().map(Orphan::Container).collect();
        found.extend(self.unrecorded()?);
        found.extend(resolvers(&views)?);
        found.extend(links_of_nobody(&views)?);
        for (name, text) in Firewall::owned()? {
            let is_there = |root: &Path| fs::read_dir(root.join("networks")).is_ok_and(|mut all| all.next().is_some());
            if let Some(owner) = Owner::parse(&text).filter(|owner| !views.any(owner, is_there)) {
                found.push(Orphan::Table { name, folder: owner.folder });
            }
        }
        found.extend(self.stale_targets()?.into_iter().map(|to| Orphan::Ports { to }));
        // Of an image that there is not, this carboy's own mounts are told already.
        let told: Vec<PathBuf> = self.mounts_of_no_image()?.into_iter().map(|mounted| mounted.path).collect();
        let mounts = Process::this()?.mountinfo()?.into_iter().map(|mount| mount.mount_point);
        let nobodys = mounts.filter(|point| mounted::is_nobodys(point) && !told.contains(point));
        found.extend(nobodys.map(|point| Orphan::Image { point }));
        Ok(found)
    }

    /// Containers that run, and whose own folder is gone.
    fn unrecorded(&self) -> Result<Vec<Orphan>> {
        let mut found = Vec::new();
        for id in self.store.live_ids()? {
            let Ok(Some(live)) = self.store.live(&id) else { continue };
            let runs = live.process.as_ref().is_some_and(|process| runs(process).unwrap_or_default());
            if runs && !self.store.container(&id).exists() {
                found.push(Orphan::Unrecorded { id, live: Box::new(live) });
            }
        }
        Ok(found)
    }
}

impl Orphan {
    /// What tells it from others.
    fn key(&self) -> String {
        match self {
            Self::Container(stray) => stray.folder.display().to_string(),
            other => other.to_string(),
        }
    }
}

/// What is left of containers: by their groups, and by their monitors.
fn strays(views: &Views) -> Result<Vec<Stray>> {
    let mut found: BTreeMap<PathBuf, Stray> = BTreeMap::new();
    let mut hierarchies = Hierarchies::read()?;
    if rootless::is_in_user_namespace()? {
        let top = delegation::read(&hierarchies)?.map(|found| found.top);
        hierarchies = hierarchies.handed_over(top.as_ref())?;
    }
    for (path, text) in cgroup::owner::find(&hierarchies)? {
        let mut lines = text.lines();
        let Some(owner) = lines.next().and_then(Owner::parse) else { continue };
        if views.any(&owner, Path::exists) {
            continue;
        }
        let parent = |line: &str| {
            let (hierarchy, path) = line.split_once(' ')?;
            Some(Parent { hierarchy: hierarchy.to_owned(), path: GroupPath::parse("a cgroup", path).ok()? })
        };
        let parents = lines.filter_map(parent).collect();
        // One that goes meanwhile has none.
        let inside = Groups::open(&hierarchies, &path).and_then(|groups| groups.processes()).unwrap_or_default();
        let processes = inside.into_iter().map(|pid| HostPid(pid.as_raw_nonzero().get())).collect();
        let stray = Stray { folder: owner.folder.clone(), groups: Some((path, parents)), monitor: None, processes };
        found.insert(owner.folder, stray);
    }
    for (monitor, folder) in monitors()? {
        let stray = || Stray { folder: folder.clone(), groups: None, monitor: None, processes: Vec::new() };
        let stray = found.entry(folder.clone()).or_insert_with(stray);
        stray.monitor = Some(monitor);
        if stray.groups.is_none() {
            let parent = |pid: &HostPid| procfs::stat(*pid).ok().and_then(|stat| stat.parent);
            stray.processes = procfs::processes()?.into_iter().filter(|pid| parent(pid) == Some(monitor)).collect();
        }
    }
    Ok(found.into_values().collect())
}

/// The monitors of containers whose run folders are deleted, with these.
fn monitors() -> Result<Vec<(HostPid, PathBuf)>> {
    let own = Process::this()?.program()?;
    let mut walk = Walk::open()?;
    let mut found = Vec::new();
    for pid in walk.pids()? {
        let Ok(Some(mut visit)) = walk.visit(pid) else { continue };
        let Some(folder) = visit.folders().ok().and_then(|folders| {
            folders.iter().filter(|folder| folder.fd.is_some()).find_map(|folder| deleted_run_folder(&folder.path))
        }) else {
            continue;
        };
        let slept = visit.arguments().is_ok_and(|words| words.first().is_some_and(|word| word == asleep::PROGRAM));
        let is_carboy = || Process::open(pid).and_then(|process| process.program()).is_ok_and(|path| path == own);
        if slept || is_carboy() {
            found.push((pid, folder));
        }
    }
    Ok(found)
}

/// The path that a container's run folder had which is deleted.
fn deleted_run_folder(path: &Path) -> Option<PathBuf> {
    let path = path.to_str()?.strip_suffix(DELETED)?;
    let (_, id) = path.rsplit_once('/')?;
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| PathBuf::from(path))
}

/// Those who answer for networks that are gone.
fn resolvers(views: &Views) -> Result<Vec<Orphan>> {
    let mut walk = Walk::open()?;
    let mut found = Vec::new();
    for pid in walk.pids()? {
        let Ok(Some(mut visit)) = walk.visit(pid) else { continue };
        let Ok(words) = visit.arguments() else { continue };
        if words.first().is_none_or(|word| word != resolver::PROGRAM) {
            continue;
        }
        let words: Vec<OsString> = words.into_iter().skip(1).map(OsString::from).collect();
        let namespace = Process::open(pid).and_then(|process| process.namespace(Kind::Mnt));
        let Some(state) = resolver::state_of(&words) else { continue };
        let Some(namespace) = namespace.ok().and_then(procfs::Sight::id) else { continue };
        let owner = Owner::in_namespace(&state, namespace);
        if !views.any(&owner, Path::exists) {
            found.push(Orphan::Resolver { pid, state });
        }
    }
    Ok(found)
}

/// The bridges of networks that are gone, and the detours of links that are.
fn links_of_nobody(views: &Views) -> Result<Vec<Orphan>> {
    let socket = Socket::open(Protocol::Route)?;
    let all = link::all(&socket).doing(|| "list the links")?;
    let bridge = |link: &Listed| {
        let owner = Owner::parse(&link.alias).filter(|_| link.kind == "bridge")?;
        let is_there = |folder: &Path| networks::tells_of(folder, &link.name);
        (!views.any(&owner, is_there)).then(|| Orphan::Bridge { link: link.name.clone(), folder: owner.folder })
    };
    let is_detour = |link: &&Listed| {
        link.kind == "ifb" && networks::link_of(&link.name).is_some_and(|own| all.iter().all(|link| link.name != own))
    };
    let detours = all.iter().filter(is_detour).map(|link| Orphan::Detour { link: link.name.clone() });
    Ok(all.iter().filter_map(bridge).chain(detours).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_is_known_by_its_name() {
        let id = "0123456789abcdef".repeat(4);
        let of = |path: String| deleted_run_folder(Path::new(&path));
        assert_eq!(of(format!("/run/carboy/{id} (deleted)")), Some(format!("/run/carboy/{id}").into()));
        for path in [format!("/run/carboy/{id}"), "/run/carboy/web (deleted)".to_owned(), id] {
            assert_eq!(of(path), None);
        }
    }
}
