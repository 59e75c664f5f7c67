//! For who is not root: the way into the container's user namespace, in which this program begins again as its root.
//!
//! A user has no right to a mount, a group or a namespace but in a user namespace of its own. So the namespace is not the
//! child's to make, as it is for root, but the runtime's, before anything else is done. user_namespaces(7).

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use error::{Doing, Errno, Kernel, Refused, Result};
use namespace::Relation;
use oci::{Config, Linux, NamespaceKind};
use procfs::{HostPid, Kind, Process, ns};
use runtime::userns::{self, IdMaps};
use sys::namespace::Kinds;

use crate::arguments::Invocation;
use crate::create;
use crate::store::Store;

/// The word by which this program tells itself that it is in the container's user namespace.
const INSIDE: &str = "--in-user-namespace";

/// The user namespace that the program runs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Around {
    /// The caller's.
    #[default]
    Caller,
    /// The container's, which the program has entered.
    Container,
}

impl Around {
    /// Takes the word out of the first place, where it is.
    pub(crate) fn read(mut words: Vec<OsString>) -> (Self, Vec<OsString>) {
        if words.first().is_none_or(|word| word != INSIDE) {
            return (Self::Caller, words);
        }
        words.remove(0);
        (Self::Container, words)
    }
}

const NAMESPACES: &str = "linux.namespaces";

/// Begins again in the container's user namespace where the command needs that and is not root. Comes back where it does not.
///
/// # Errors
/// Refused where the container has no user namespace that the caller could be root of; a kernel error.
pub(crate) fn enter(invocation: &Invocation, words: &[OsString]) -> Result<()> {
    let needs_it = matches!(invocation.command.as_str(), "create" | "run" | "exec" | "start" | "mounts");
    if !needs_it || rustix::process::geteuid().is_root() || invocation.around == Around::Container {
        return Ok(());
    }
    let store = Store::of(invocation)?;
    match invocation.command.as_str() {
        "create" | "run" => enter_new(&create::parse_config(&create::bundle(invocation)?, invocation)?)?,
        _ => match store.record(invocation.id()?)?.process {
            Some(first) if first.lives() => join(&ns::path(HostPid(first.pid), Kind::User.name()))?,
            _ => return Ok(()),
        },
    }
    let name = std::env::args_os().next().unwrap_or_default();
    let mut again = Command::new("/proc/self/exe");
    again.arg0(name).arg(INSIDE).arg("--root").arg(store.root()).args(words);
    let error = again.exec();
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
    Err(Kernel::new("execute the runtime in the container's user namespace", errno).into())
}

/// What is left to be planned inside: the user namespace is there.
pub(crate) fn settle(config: &mut Config, invocation: &Invocation) {
    if let Some(linux) = config.linux.as_mut().filter(|_| invocation.around == Around::Container) {
        linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::User);
        linux.uid_mappings.clear();
        linux.gid_mappings.clear();
    }
}

fn enter_new(config: &Config) -> Result<()> {
    match namespace::relation(config, NamespaceKind::User) {
        Relation::Own => make(config.linux.as_ref()),
        Relation::Joined(path) => join(path),
        Relation::Host => {
            let reason = "has no user namespace, and without one a container needs root";
            let hint = "add {\"type\": \"user\"} with uidMappings and gidMappings, as spec --rootless writes them";
            Err(Refused::new(NAMESPACES, "", reason).hint(hint).into())
        }
    }
}

fn make(linux: Option<&Linux>) -> Result<()> {
    let of = |lines: fn(&Linux) -> &Vec<oci::IdMapping>| linux.map(lines).cloned().unwrap_or_default();
    let maps = IdMaps { users: of(|linux| &linux.uid_mappings), groups: of(|linux| &linux.gid_mappings) };
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    for (field, lines, own) in [("linux.uidMappings", &maps.users, user), ("linux.gidMappings", &maps.groups, group)] {
        if !lines.iter().any(|line| line.container_id == 0 && line.host_id == own) {
            let hint = format!("use {{\"containerID\": 0, \"hostID\": {own}, \"size\": 1}}");
            let reason = format!("must map 0 to your own id {own}: the container's root is you");
            return Err(Refused::new(field, "", reason).hint(hint).into());
        }
    }
    if maps.are_of(user, group) {
        userns::make(None)?;
        return userns::map_alone(&maps);
    }
    match userns::make(Some(&maps))? {
        None => Ok(()),
        Some(why) => {
            let hint = "the ids must be yours by /etc/subuid and /etc/subgid, and newuidmap installed (Debian: uidmap)";
            Err(Refused::new("linux.uidMappings", "", why).hint(hint).into())
        }
    }
}

/// Joins a user namespace that the caller owns, where it is not in it.
fn join(path: &str) -> Result<()> {
    let action = || format!("join the user namespace {path}");
    let namespace = std::fs::File::open(path).doing(action)?;
    let ours = Process::this()?.open_namespace(Kind::User)?;
    let identity =
        |file: std::os::fd::BorrowedFd<'_>| rustix::fs::fstat(file).map(|found| (found.st_dev, found.st_ino));
    if identity(namespace.as_fd()).doing(action)? != identity(ours.as_fd()).doing(action)? {
        sys::namespace::join(namespace.as_fd(), Kinds::USER).doing(action)?;
        sys::namespace::unshare(Kinds::MNT).map_err(|errno| userns::forbidden("make a mount namespace", errno))?;
    }
    Ok(())
}
