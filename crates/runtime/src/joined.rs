//! The namespaces that a container joins by their files, looked at before anything is made: each is of the kind that the
//! configuration says, and a user namespace has the maps that it says. ioctl_ns(2), user_namespaces(7).

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use child::{REPORT_LENGTH, Report, Scene, Step, Turn};
use error::{Doing, Errno, Kernel, Refused, Result};
use oci::{Config, IdMapping, NamespaceKind};
use procfs::{HostPid, IdMap, Process};
use sys::namespace::Kinds;

/// Looks at every namespace that `config` joins.
///
/// # Errors
/// Refused, naming the field, for a file that is no namespace or one of another kind, and for id mappings that are not
/// those of the user namespace; a kernel error.
pub(crate) fn check(config: &Config) -> Result<()> {
    let Some(linux) = &config.linux else { return Ok(()) };
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let Some(path) = &namespace.path else { continue };
        let field = format!("linux.namespaces[{index}].path");
        let file = open(&field, namespace.kind, path)?;
        let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
        if namespace.kind == NamespaceKind::User && mapped {
            let (users, groups) = maps(file)?;
            same_maps("linux.uidMappings", &users, &linux.uid_mappings)?;
            same_maps("linux.gidMappings", &groups, &linux.gid_mappings)?;
        }
    }
    Ok(())
}

fn open(field: &str, kind: NamespaceKind, path: &str) -> Result<OwnedFd> {
    let refused = |reason: &str| Refused::new(field, path, reason);
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(refused("does not exist").into()),
        file => file.doing(|| format!("open the {} namespace {path}", kind.name()))?,
    };
    match sys::namespace::kind(file.as_fd()) {
        Ok(found) if found == namespace::bit(kind) => Ok(file.into()),
        Ok(found) => {
            let known = namespace::KINDS.into_iter().find(|kind| namespace::bit(*kind) == found);
            let found = known.map_or("unknown", NamespaceKind::name);
            Err(refused(&format!("is not a {} namespace: it is of the kind {found}", kind.name())).into())
        }
        Err(Errno::NOTTY) => Err(refused("is no file of a namespace").hint("use one like /proc/PID/ns/net").into()),
        Err(errno) => Err(Kernel::new(format!("ask {path} for its kind of namespace"), errno).into()),
    }
}

/// The maps of a user namespace, as the caller's own sees them. The kernel tells them of a process only: one enters.
fn maps(namespace: OwnedFd) -> Result<(IdMap, IdMap)> {
    let action = || "enter the user namespace to look at its maps";
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to a process")?;
    let standard = std::io::stdin();
    let scene = Scene {
        sync: theirs.as_fd(),
        parent: ours.as_fd(),
        namespaces: &[namespace.as_fd()],
        groups: &[],
        mounts: &[],
        standard: [standard.as_fd(); 3],
        gate: None,
    };
    let steps = [Step::Join { handle: 0, kinds: Kinds::USER }, Step::Await(Turn::Hooked)];
    let spawned = child::spawn(Kinds::NONE, None, &steps, &scene).doing(action)?;
    drop(theirs);
    let mut message = [0; REPORT_LENGTH];
    let heard = sys::socket::receive(ours.as_fd(), &mut message).doing(action)?;
    let read = match Report::parse(message).filter(|_| heard.0 > 0) {
        Some(Report::Mounted) => {
            Process::open(HostPid(spawned.pid)).and_then(|process| Ok((process.uid_map()?, process.gid_map()?)))
        }
        Some(Report::Failed { errno, .. }) => Err(Kernel::new(action(), Errno::from_raw_os_error(errno)).into()),
        _ => Err(Kernel::new(action(), Errno::SRCH).into()),
    };
    drop(ours);
    sys::process::wait(spawned.pidfd.as_fd()).doing(action)?;
    read
}

fn same_maps(field: &str, found: &IdMap, asked: &[IdMapping]) -> Result<()> {
    let mut found: Vec<_> = found.ranges.iter().map(|range| (range.inside.0, range.host.0, range.count)).collect();
    let mut asked: Vec<_> = asked.iter().map(|map| (map.container_id, map.host_id, map.size)).collect();
    found.sort_unstable();
    asked.sort_unstable();
    if found == asked {
        return Ok(());
    }
    let shown: Vec<String> = asked.iter().map(|(inside, host, size)| format!("{inside}:{host}:{size}")).collect();
    let refused = Refused::new(field, shown.join(","), "is not the map of the user namespace that is joined");
    Err(refused.hint("leave it out").into())
}
