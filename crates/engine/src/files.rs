//! The files of a container, whether it runs or not, by descriptors of its root: nothing that a process inside does to its
//! links and folders meanwhile leads a path out of it.
//!
//! The root of one that runs is that of its first process. Of one that does not the overlay is made once more, in a mount
//! namespace of the caller's own, with its volumes and what it has of the host where they were: `cp` may write to them.
//! Nobody can start or remove the container meanwhile. Who only looks gets an overlay that cannot be written to.

mod change;
mod place;
mod transfer;

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use error::{Doing, Errno, Refused, RefusedKind, Result};
use image::{Mounts, Rights, Tree};
use procfs::{HostId, HostPid, IdMap, Kind, Process};
use runtime::root::{Keep, Remembers};
use sys::mount::{Change, Propagation, Reach};
use sys::namespace::Kinds;
use sys::path::{Access, Within, open_below};

use crate::containers::{Container, Engine, Status, not_running, open_process};
use crate::journal::ALL;
use crate::options::Mount;
use crate::record::{LiveProcess, Record};
use crate::rootless;
use crate::store::Held;
use crate::told::Deed;

pub use change::{Changed, Difference};
pub use place::Links;
pub use transfer::{Copying, Owned};

/// The root of a container.
#[derive(Debug)]
pub struct Files {
    root: OwnedFd,
    /// Its user namespace, where that is another than the caller's.
    other: Option<Box<Other>>,
    name: String,
    _held: Option<Held>,
}

/// The user namespace of a container that runs in one of its own.
#[derive(Debug)]
struct Other {
    namespace: OwnedFd,
    users: IdMap,
    groups: IdMap,
}

/// What is done with a container's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are read, with what is mounted below.
    Read,
    /// They are read, without what is mounted below.
    ReadRoot,
    /// They are written to.
    Write,
}

/// As whom a container's files are shown that belong to nobody of its user namespace.
const NOBODY: u32 = 65_534;

impl Engine {
    /// The files of a container. The caller gets a mount namespace of its own where the container does not run, and who
    /// writes to one that runs in a user namespace of its own goes over to that: both are for commands that end then.
    ///
    /// # Errors
    /// Refused where there is no such container, or it is being made; a kernel error.
    pub fn files(&self, word: &str, purpose: Purpose) -> Result<Files> {
        let container = self.find(word)?;
        self.store.journal.open_early(&self.store.root, ALL);
        let deed = match purpose {
            Purpose::Read => Deed::ArchivePath,
            Purpose::ReadRoot => Deed::Export,
            Purpose::Write => Deed::ExtractToDir,
        };
        let record = container.record.clone();
        self.open_files(container, purpose).inspect(|_| self.tell_of_deed(&record, &deed))
    }

    fn open_files(&self, container: Container, purpose: Purpose) -> Result<Files> {
        if let Status::Running(process) = &container.status {
            return running(&container, process);
        }
        // From here on it can be started, but does not get far.
        let held = self.store.hold(&container.record.id)?;
        let container = self.find(&container.record.id)?;
        match &container.status {
            Status::Running(process) => running(&container, process),
            Status::Created if container.record.begun.is_some() => Err(being_made(&container.record)),
            Status::Created | Status::Exited(_) | Status::Restarting(_) | Status::Gone => {
                let root = self.overlay(&container.record, purpose)?;
                Ok(Files { root, other: None, name: container.record.name, _held: held })
            }
        }
    }

    /// The root of a container that does not run.
    fn overlay(&self, record: &Record, purpose: Purpose) -> Result<OwnedFd> {
        let folder = self.store.container(&record.id);
        let remembers = if rootless::is_in_user_namespace()? { Remembers::AsUser } else { Remembers::AsTrusted };
        let layers = record.options.root.layers((&self.store, &record.id), record.driver, Keep::Durable, remembers);
        if purpose == Purpose::ReadRoot {
            return layers.look();
        }
        let root = if purpose == Purpose::Write { layers.make(None)? } else { layers.look()? };
        sys::namespace::unshare(Kinds::MNT).doing(|| "make a mount namespace")?;
        let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
        sys::mount::change_root(Reach::Recursive, &private).doing(|| "make the mounts private")?;
        let place = folder.join("work");
        let handle =
            path_text(&place).and_then(|path| sys::path::open_handle(&path).doing(|| place.display().to_string()))?;
        sys::mount::attach(root.as_fd(), handle.as_fd()).doing(|| format!("mount the root of {}", record.name))?;
        for mount in &record.config.mounts {
            let asked =
                record.options.mounts.iter().any(|asked| {
                    !matches!(asked, Mount::Tmpfs(_)) && asked.destination().as_str() == mount.destination
                });
            if asked && mount.kind.as_deref() == Some("bind") {
                cover(&root, mount)?;
            }
        }
        Ok(root)
    }
}

impl Files {
    /// The container's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The owner and group of a file as they are called in the container.
    fn inside(&self, (user, group): (u32, u32)) -> (u32, u32) {
        let Some(other) = &self.other else { return (user, group) };
        let of = |map: &IdMap, id| map.to_inside(HostId(id)).map_or(NOBODY, |inside| inside.0);
        (of(&other.users, user), of(&other.groups, group))
    }

    /// Writes all files of the root as a tar archive, without what is mounted below it. Gives its length in bytes.
    ///
    /// # Errors
    /// A kernel error.
    pub fn export(&self, out: &mut dyn std::io::Write) -> Result<u64> {
        let owners = |owners| self.inside(owners);
        let (mounts, rights) = (Mounts::LeftOut, Rights::Kept);
        image::pack(&Tree { top: self.root.as_fd(), name: b"", mounts, owners: &owners, rights }, out)
    }
}

fn running(container: &Container, process: &LiveProcess) -> Result<Files> {
    let first = Process::open(HostPid(process.pid))?;
    let root = first.open_root()?;
    let is_other = first.namespace(Kind::User)?.id() != Process::this()?.namespace(Kind::User)?.id();
    let other = if is_other {
        let namespace = first.open_namespace(Kind::User)?;
        Some(Box::new(Other { namespace, users: first.uid_map()?, groups: first.gid_map()? }))
    } else {
        None
    };
    // All of that was found by the process's number: that it still lives says that they are its own.
    open_process(process)?.ok_or_else(|| not_running(container))?;
    Ok(Files { root, other, name: container.record.name.clone(), _held: None })
}

fn being_made(record: &Record) -> error::Error {
    Refused::new("the container", &record.name, "is being made").kind(RefusedKind::Conflict).into()
}

/// Puts a view of the host in its place in the root; what is missing of the place is not made.
fn cover(root: &OwnedFd, mount: &oci::Mount) -> Result<()> {
    let action = || format!("mount {} in the container's root", mount.destination);
    let place = CString::new(mount.destination.as_str()).map_err(|_| Errno::INVAL).doing(action)?;
    let target = match open_below(root.as_fd(), &place, Access::Handle, Within::Root) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        target => target.doing(action)?,
    };
    let view = runtime::root::bind(mount)?;
    sys::mount::attach(view.as_fd(), target.as_fd()).doing(action)
}

fn path_text(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL).doing(|| format!("open {}", path.display()))
}
