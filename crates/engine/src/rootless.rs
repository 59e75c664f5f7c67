//! carboy as an ordinary user: in a user namespace of the user's own, in which the user is root, it goes on as root does.
//!
//! All containers of a user share that namespace, since who is outside of it has no right over their others: it lives as
//! long as a container does, and whoever comes meanwhile joins it. user_namespaces(7), newuidmap(1), subuid(5).

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cgroup::Hierarchies;
use error::{Doing, Errno, Refused, Result};
use jiff::Timestamp;
use oci::IdMapping;
use procfs::{HostPid, IdMap, InsideId, Kind, Process};
use runtime::userns::{self, IdMaps};
use sys::namespace::Kinds;

use crate::containers::open_process;
use crate::options::{Namespace, Root, RunOptions};
use crate::record::LiveProcess;
use crate::store::Store;
use crate::user::{ContainerGid, ResolvedUser};

const SUBORDINATE_USERS: &str = "/etc/subuid";
const SUBORDINATE_GROUPS: &str = "/etc/subgid";

/// The ids of this process's user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The users.
    pub users: IdMap,
    /// The groups.
    pub groups: IdMap,
}

impl Ids {
    /// Reads them; `None` in the first user namespace, which has all of them.
    ///
    /// # Errors
    /// A kernel error.
    pub fn read() -> Result<Option<Self>> {
        let this = Process::this()?;
        let (users, groups) = (this.uid_map()?, this.gid_map()?);
        Ok((!users.is_whole()).then_some(Self { users, groups }))
    }
}

/// That networks can be had at all, which are the host's.
///
/// # Errors
/// Refused for a user; a kernel error.
pub(crate) fn check_network(name: &str) -> Result<()> {
    if !is_in_user_namespace()? {
        return Ok(());
    }
    let reason = "cannot be had by a user: the kernel lets root alone change the host's network";
    Err(Refused::new("the network", name, reason).hint("use sudo carboy …").into())
}

/// What a user cannot have of a container, whatever ids there are.
///
/// # Errors
/// Refused, naming the flag; a kernel error.
pub(crate) fn check(options: &RunOptions) -> Result<()> {
    if !is_in_user_namespace()? {
        return Ok(());
    }
    if options.namespaces.user == Namespace::Private {
        let reason = "needs the layers of the root mapped to other ids, which the kernel does for root alone";
        let hint = "leave it out: your containers are in a user namespace of yours already";
        return Err(Refused::new("--userns", "private", reason).hint(hint).into());
    }
    if let Some(first) = options.network.networks.first() {
        let reason = "cannot be joined by a user's container: the kernel lets root alone change the host's network";
        return Err(Refused::new("--network", &first.network, reason)
            .hint("use none or host, or sudo carboy …")
            .into());
    }
    if options.root == Root::Host {
        let reason = "cannot be a user's root: the kernel does not let a user see what is below the host's mounts";
        let hint = "use a folder with a root file system, or such a folder as a tar archive, or sudo carboy …";
        return Err(Refused::new("the root", "host", reason).hint(hint).into());
    }
    Ok(())
}

/// Whether there are the ids that a container's process is to have; `further` are groups that were asked for.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn check_ids(ids: &Ids, user: &ResolvedUser, further: &[String]) -> Result<()> {
    let missing = |flag: &str, id: u32| {
        let reason = "is not among the ids of your user namespace";
        Err(Refused::new(flag, id.to_string(), reason).hint(MORE_IDS).into())
    };
    let has = |map: &IdMap, id: u32| map.to_host(InsideId(id)).is_some();
    if !has(&ids.users, user.uid.0) {
        return missing("--user", user.uid.0);
    }
    if !has(&ids.groups, user.gid.0) {
        return missing("--user", user.gid.0);
    }
    // With a single id the kernel denies to set any.
    let denied =
        |group: &&ContainerGid| **group != user.gid && (ids.groups.first_ids() == 1 || !has(&ids.groups, group.0));
    match user.additional_gids.iter().find(denied).filter(|_| !further.is_empty()) {
        None => Ok(()),
        Some(group) => missing("--group-add", group.0),
    }
}

/// Whether what a container starts can be found again when it ends: by a pid namespace of its own, or by a group.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn check_groups(options: &RunOptions, hierarchies: &Hierarchies) -> Result<()> {
    let value = match &options.namespaces.pid {
        Namespace::Private => return Ok(()),
        Namespace::Host => "host".to_owned(),
        Namespace::Joined(join) => join.to_string(),
    };
    if hierarchies.iter().any(|(_, hierarchy)| hierarchy.obstacle.is_none()) {
        return Ok(());
    }
    let reason =
        "needs a cgroup by which the container's processes are found when it ends, and none was handed over to you";
    let hint = "leave it out, log in under systemd, start carboy from a unit with Delegate=, or use sudo carboy …";
    Err(Refused::new("--pid", value, reason).hint(hint).into())
}

/// With what a user can do about a file whose owner is not mapped, which chown(2) answers with `EINVAL`.
pub(crate) fn hinted(error: error::Error) -> error::Error {
    let unmapped = error.errno() == Some(Errno::INVAL) && is_in_user_namespace().unwrap_or(false);
    if unmapped { error.with_hint(MORE_IDS) } else { error }
}

/// How a user gets more than one id.
const MORE_IDS: &str = "give yourself more: a line NAME:100000:65536 in /etc/subuid and in /etc/subgid (usermod \
                            --add-subuids 100000-165535 --add-subgids 100000-165535 NAME as root), with newuidmap installed \
                            (Debian: uidmap), when none of your containers runs";

/// Whether this process is in another user namespace than the first one: then the kernel gives it no devices, no v1
/// groups, and no ids but those that are mapped.
///
/// # Errors
/// A kernel error.
pub fn is_in_user_namespace() -> Result<bool> {
    Ok(!Process::this()?.uid_map()?.is_whole())
}

/// Enters the user namespace of the user's containers, or a new one, with a new mount namespace. The caller's own memory
/// stays the first namespace's until it executes a program, so it should do so at once. Gives why the user's subordinate
/// ids could not be mapped, where they could not: then there is the user's own id alone.
///
/// # Errors
/// Refused where this host does not let users make user namespaces; a kernel error.
pub fn enter(store: &Store) -> Result<Option<String>> {
    let user = rustix::process::getuid().as_raw();
    let ours = Process::this()?.open_namespace(Kind::User)?;
    let _held = store.hold_namespace()?;
    if let Some(namespace) = living(store, user, ours.as_fd())? {
        sys::namespace::join(namespace.as_fd(), Kinds::USER).doing(|| "join the user namespace of your containers")?;
        sys::namespace::unshare(Kinds::MNT).map_err(|errno| userns::forbidden("make a mount namespace", errno))?;
        return Ok(None);
    }
    let unmapped = make(user)?;
    // Until its first container runs, those that come meanwhile find the namespace by this process.
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let start_ticks = procfs::stat(HostPid(pid))?.start_ticks;
    store.write_namespace_maker(&LiveProcess {
        pid,
        start_ticks,
        born: Timestamp::now(),
        started: None,
        interfaces: None,
    })?;
    Ok(unmapped)
}

/// The user namespace in which a living container of the user was made.
fn living(store: &Store, user: u32, ours: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    for id in store.live_ids()? {
        // What is damaged is told of by the command itself.
        let Ok(Some(live)) = store.live(&id) else { continue };
        let Some(process) = live.process else { continue };
        if let Some(namespace) = of_process(&process, user, ours) {
            return Ok(Some(namespace));
        }
    }
    Ok(store.namespace_maker().ok().flatten().and_then(|maker| of_process(&maker, user, ours)))
}

/// The user namespace of a process, or the one above that where the container has its own, as long as it is the user's.
fn of_process(process: &LiveProcess, user: u32, ours: BorrowedFd<'_>) -> Option<OwnedFd> {
    let _held = open_process(process).ok()??;
    let mut namespace = Process::open(HostPid(process.pid)).ok()?.open_namespace(Kind::User).ok()?;
    let ours = identity(ours)?;
    loop {
        let above = sys::namespace::parent(namespace.as_fd()).ok()?;
        if identity(above.as_fd())? == ours {
            return (sys::namespace::owner(namespace.as_fd()).ok()? == user).then_some(namespace);
        }
        namespace = above;
    }
}

fn identity(namespace: BorrowedFd<'_>) -> Option<(u64, u64)> {
    let found = rustix::fs::fstat(namespace).ok()?;
    Some((found.st_dev, found.st_ino))
}

/// Makes the namespaces.
fn make(user: u32) -> Result<Option<String>> {
    let group = rustix::process::getgid().as_raw();
    let maps = subordinate(user, group)?;
    let failure = userns::make(maps.as_ref())?;
    let this = Process::this()?;
    let (users, groups) = (this.uid_map()?, this.gid_map()?);
    if users.ranges.is_empty() {
        userns::map_alone(&IdMaps::root_alone(user, group))?;
        return Ok(failure);
    }
    match failure.filter(|_| groups.ranges.is_empty()) {
        Some(text) => {
            let hint = format!("compare it with {SUBORDINATE_USERS}");
            Err(Refused::new(SUBORDINATE_GROUPS, "", text).hint(hint).into())
        }
        None => Ok(None),
    }
}

/// The user's own ids as root's and the subordinate ones behind them; `None` where the user has none, or nothing that could
/// map them.
fn subordinate(user: u32, group: u32) -> Result<Option<IdMaps>> {
    let name = name_of(user);
    let ranges = |path: &str| -> Result<Vec<(u32, u32)>> {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            text => Ok(parse_subordinate(&text.doing(|| format!("read {path}"))?, name.as_deref(), user)),
        }
    };
    let (users, groups) = (ranges(SUBORDINATE_USERS)?, ranges(SUBORDINATE_GROUPS)?);
    let enough = !users.is_empty() && !groups.is_empty() && userns::can_map_more();
    Ok(enough.then(|| IdMaps { users: behind_root(user, &users), groups: behind_root(group, &groups) }))
}

/// Inside the user is 0, and the subordinate ids follow from 1.
fn behind_root(own: u32, ranges: &[(u32, u32)]) -> Vec<IdMapping> {
    let mut lines = vec![IdMapping { container_id: 0, host_id: own, size: 1 }];
    let mut inside: u32 = 1;
    for (first, count) in ranges {
        lines.push(IdMapping { container_id: inside, host_id: *first, size: *count });
        inside = inside.saturating_add(*count);
    }
    lines
}

/// The user's name in passwd(5).
fn name_of(user: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let is_it = |line: &&str| line.split(':').nth(2).and_then(|number| number.parse().ok()) == Some(user);
    passwd.lines().find(is_it).and_then(|line| line.split(':').next()).map(str::to_owned)
}

/// The ranges of one user: the first id and how many. Lines that do not parse are as none.
fn parse_subordinate(text: &str, name: Option<&str>, user: u32) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let is_theirs = Some(owner) == name || owner.parse() == Ok(user);
        (is_theirs && count > 0 && fields.next().is_none()).then_some((first, count))
    };
    text.lines().filter_map(range).collect()
}

/// Checks that a folder for run-time files is the user's and nobody else's.
///
/// # Errors
/// Refused where it is not; a kernel error.
pub fn check_own(folder: &Path, user: u32) -> Result<()> {
    let found = fs::symlink_metadata(folder).doing(|| format!("look at {}", folder.display()))?;
    if found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let refused = Refused::new("the folder", folder.display().to_string(), "is not yours alone");
    Err(refused.hint("set XDG_RUNTIME_DIR to a folder of yours with mode 0700").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subordinate_ids_of_a_user_are_found_by_name_and_by_number() {
        let text = "anna:100000:65536\n1000:400000:10\nbert:1:1\nanna:x:1\nanna:5:0\n";
        assert_eq!(parse_subordinate(text, Some("anna"), 1000), [(100_000, 65_536), (400_000, 10)]);
        assert!(parse_subordinate(text, None, 7).is_empty());
    }

    #[test]
    fn the_user_is_root_inside_and_the_subordinate_ids_follow() {
        let lines = behind_root(1000, &[(100_000, 65_536), (400_000, 10)]);
        let numbers: Vec<_> = lines.iter().map(|line| (line.container_id, line.host_id, line.size)).collect();
        assert_eq!(numbers, [(0, 1000, 1), (1, 100_000, 65_536), (65_537, 400_000, 10)]);
    }
}
