//! A user namespace for who is not root: made by the caller for itself, its id maps written by newuidmap(1) and newgidmap(1)
//! where they hold more than the caller's own id. user_namespaces(7).

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use error::{Doing, Errno, Error, Kernel, Result};
use oci::IdMapping;
use procfs::Process;
use sys::clone::Side;
use sys::namespace::Kinds;

/// Where the programs are that write more than the user's own id into a map.
const PROGRAM_FOLDERS: [&str; 3] = ["/usr/bin", "/bin", "/run/wrappers/bin"];

/// The ids of a user namespace, as ids of the one around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// The users.
    pub users: Vec<IdMapping>,
    /// The groups.
    pub groups: Vec<IdMapping>,
}

impl IdMaps {
    /// The ids `user` and `group` alone, as root.
    #[must_use]
    pub fn root_alone(user: u32, group: u32) -> Self {
        let alone = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1 }];
        Self { users: alone(user), groups: alone(group) }
    }

    /// Whether the kernel takes them from the user itself: one line each, with the user's own ids.
    #[must_use]
    pub fn are_of(&self, user: u32, group: u32) -> bool {
        let own = |lines: &[IdMapping], id| matches!(lines, [line] if line.host_id == id && line.size == 1);
        own(&self.users, user) && own(&self.groups, group)
    }
}

/// Whether this host has the programs that map more than a user's own id.
#[must_use]
pub fn can_map_more() -> bool {
    program("newuidmap").and(program("newgidmap")).is_some()
}

/// Moves the caller into a user namespace of its own, and a mount namespace whose mounts receive from the host's and give it
/// none (mount_namespaces(7), "Restrictions"). With `maps` the programs write them; gives what went wrong, where something
/// did. Without, they are to be written by [`map_alone`].
///
/// # Errors
/// A kernel error, with what forbids it on this host where that can be told.
pub fn make(maps: Option<&IdMaps>) -> Result<Option<String>> {
    let mapper = maps.map(Mapper::start).transpose()?;
    sys::namespace::unshare(Kinds::USER.with(Kinds::MNT)).map_err(|errno| forbidden("make a user namespace", errno))?;
    Ok(mapper.map(Mapper::run).transpose()?.flatten())
}

/// Writes maps that hold the caller's own ids alone. No process of the namespace can have further groups then.
///
/// # Errors
/// A kernel error, as for [`make`].
pub fn map_alone(maps: &IdMaps) -> Result<()> {
    let this = Process::this()?;
    let line =
        |lines: &[IdMapping]| lines.iter().map(words).map(|words| words.join(" ")).collect::<Vec<_>>().join("\n");
    let write = |file: &str, text: &str| this.write(file, text).map_err(forbidden_here);
    write("uid_map", &line(&maps.users))?;
    write("setgroups", "deny")?;
    write("gid_map", &line(&maps.groups))
}

/// The kernel's refusal with what it means here, where that can be told.
#[must_use]
pub fn forbidden(action: &str, errno: Errno) -> Error {
    let kernel = Kernel::new(action, errno);
    match cause() {
        Some(cause) => kernel.hint(cause).into(),
        None => kernel.hint("this host does not let users make user namespaces: be root").into(),
    }
}

fn forbidden_here(error: Error) -> Error {
    match cause() {
        Some(cause) => error.with_hint(cause),
        None => error,
    }
}

/// The settings by which a host forbids users their namespaces.
fn cause() -> Option<&'static str> {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        Some("this host allows no user namespaces: sysctl user.max_user_namespaces=15000 as root")
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        Some("this host forbids it to users: sysctl kernel.unprivileged_userns_clone=1 as root")
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        Some(
            "AppArmor forbids it to users: add a profile for carboy with userns, or \
             sysctl kernel.apparmor_restrict_unprivileged_userns=0 as root",
        )
    } else {
        None
    }
}

/// A line as the kernel and newuidmap(1) take it: the first id inside, the first outside, how many.
fn words(line: &IdMapping) -> [String; 3] {
    [line.container_id, line.host_id, line.size].map(|number| number.to_string())
}

/// A process outside of the new namespace, which has the maps written: in it nobody has a right over the ids outside.
struct Mapper {
    socket: OwnedFd,
    process: OwnedFd,
}

impl Mapper {
    fn start(maps: &IdMaps) -> Result<Self> {
        let pid = std::process::id().to_string();
        let arguments = |lines: &[IdMapping]| -> Vec<String> {
            std::iter::once(pid.clone()).chain(lines.iter().flat_map(words)).collect()
        };
        let work = [("newuidmap", arguments(&maps.users)), ("newgidmap", arguments(&maps.groups))];
        let (ours, theirs) = sys::socket::pair().doing(|| "connect to the process that maps ids")?;
        match sys::clone::fork().doing(|| "fork the process that maps ids")? {
            Side::Parent { pidfd, .. } => Ok(Self { socket: ours, process: pidfd }),
            Side::Child => {
                drop(ours);
                // The end of the connection says that there is nothing to map.
                if sys::socket::receive(theirs.as_fd(), &mut [0; 1]).is_ok_and(|(length, _)| length > 0)
                    && let Err(text) = work.into_iter().try_for_each(|(name, words)| map(name, &words))
                {
                    let _ = sys::socket::send(theirs.as_fd(), text.as_bytes(), None);
                }
                sys::process::exit(0)
            }
        }
    }

    /// Has the maps written. Gives what went wrong, where something did.
    fn run(self) -> Result<Option<String>> {
        let doing = || "have the ids mapped";
        sys::socket::send(self.socket.as_fd(), b"m", None).doing(doing)?;
        let mut message = [0; 512];
        let (length, _) = sys::socket::receive(self.socket.as_fd(), &mut message).doing(doing)?;
        sys::process::wait(self.process.as_fd()).doing(doing)?;
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default()).into_owned();
        Ok((length > 0).then_some(text))
    }
}

fn map(name: &str, words: &[String]) -> std::result::Result<(), String> {
    let program = program(name).ok_or_else(|| format!("there is no {name}"))?;
    let ended = Command::new(program).args(words).output().map_err(|error| format!("{name}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(said.lines().next().map_or_else(|| format!("{name} failed"), str::to_owned).chars().take(400).collect())
}

fn program(name: &str) -> Option<PathBuf> {
    PROGRAM_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}
