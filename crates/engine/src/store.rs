//! What carboy keeps on disk, as plain files: a folder for each container, a name that points to it, and a run folder while
//! something of it may exist on the host.
//!
//! ```text
//! ROOT/containers/ID/container.json   the record: what was asked, how it ended; who changes it locks the folder (flock)
//! ROOT/containers/ID/renaming.json    the old and the new name, while it gets another one
//! ROOT/containers/ID/{upper,work}     the container's changes; where there is no overlay, upper is its whole root
//! ROOT/driver                         whether there is: driver.rs
//! ROOT/containers/ID/volumes/NAME     it uses this volume
//! ROOT/containers/ID/diary.json       what has happened to it: journal.rs
//! ROOT/names/NAME -> ID               claimed by making the link: the first one wins
//! ROOT/volumes/NAME/                  a volume: volume.rs
//! ROOT/events.json                    what has happened to any of them: journal.rs
//! RUN/cgroup/                         mounts of cgroup hierarchies that containers need and the host has not mounted
//! RUN/.images/                mounts of images: images/mounted.rs
//! RUN/.namespace.json         the process that made the user namespace of a user's containers; RUN is locked meanwhile
//! RUN/ID/live.json                    what exists on the host for it; the folder is locked (flock) by its monitor
//! RUN/ID/{stdout,stderr}              fifos with what it has written and its monitor has not yet read
//! RUN/ID/socket                       where its monitor takes those who want to be attached
//! RUN/ID/stopped                      it is not to be started again, and its record could not be written
//! ```
//!
//! The run folder is made first and removed last: whatever happens in between, the next command finds it unlocked and
//! undoes what it tells of.

use std::cmp::Ordering;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use error::{Corrupt, Doing, Error, Kernel, Refused, RefusedKind, Result};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::driver::Asked;
use crate::health::Health;
use crate::journal::Journal;
use crate::record::{Live, LiveProcess, Record};

/// Where carboy keeps its files.
#[derive(Debug, Clone)]
pub struct Store {
    /// What stays: records and images' changes.
    pub root: PathBuf,
    /// What lives as long as the host does not restart.
    pub run: PathBuf,
    /// Where it is told what happens.
    pub(crate) journal: Journal,
    /// By what containers have their roots, where somebody has asked: driver.rs.
    pub(crate) asked: OnceLock<Asked>,
}

/// A run folder that nobody else can work on while this value lives, here or in a fork.
#[derive(Debug)]
pub struct Claim {
    /// The container's id.
    pub id: String,
    folder: OwnedFd,
}

impl Claim {
    /// Of a folder that is locked.
    pub(crate) fn of(id: &str, folder: OwnedFd) -> Self {
        Self { id: id.to_owned(), folder }
    }
}

impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Something that nobody else can change while this value lives: a container's record, a volume, a user's namespace.
#[derive(Debug)]
pub struct Held {
    _folder: OwnedFd,
}

impl Held {
    /// As long as a locked folder is open.
    pub(crate) const fn of(folder: OwnedFd) -> Self {
        Self { _folder: folder }
    }
}

/// Whether somebody works on a container.
#[derive(Debug)]
pub enum Lock {
    /// Nobody did, now the holder of this does.
    Taken(Claim),
    /// A living monitor or another command does.
    Busy,
    /// There is no run folder.
    Absent,
}

/// Whether somebody changes a container's record.
#[derive(Debug)]
pub enum Holding {
    /// Nobody did, now nobody can.
    Held(Held),
    /// Somebody does.
    Busy,
    /// There is no such container.
    Absent,
}

/// What every version of a record has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The one folder in the run folder that is not a container's.
const MOUNTS: &str = "cgroup";
const NAMESPACE: &str = ".namespace.json";
const SOCKET: &str = "socket";
const RENAMING: &str = "renaming.json";
const HEALTH: &str = "health.json";
const STOPPED: &str = "stopped";
/// How many may wait to be attached to one container.
const CALLERS: i32 = 64;

impl Store {
    /// The store over its folders as they are.
    #[must_use]
    pub const fn at(root: PathBuf, run: PathBuf) -> Self {
        Self { root, run, journal: Journal::new(), asked: OnceLock::new() }
    }

    /// The store with its folders made.
    ///
    /// # Errors
    /// A kernel error that names the folder; without root rights a refusal that says so.
    pub fn open(root: PathBuf, run: PathBuf) -> Result<Self> {
        let store = Self::at(root, run);
        for folder in [store.containers(), store.names(), store.run.clone()] {
            if !folder.is_dir() {
                make_folders(&folder)?;
            }
        }
        store.ask_driver();
        Ok(store)
    }

    fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// A container's folder.
    #[must_use]
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// The folder for cgroup hierarchies that carboy mounts, as long as there are any.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.run.join(MOUNTS)
    }

    /// A container's run folder, while there is one.
    pub(crate) fn run_folder(&self, id: &str) -> PathBuf {
        self.run.join(id)
    }

    /// Makes the socket of a container's monitor, anew where another monitor has left one.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn listen(&self, claim: &Claim) -> Result<OwnedFd> {
        let path = self.run_folder(&claim.id).join(SOCKET);
        let action = || format!("listen at {}", path.display());
        ignore_absent(fs::remove_file(&path)).doing(action)?;
        let socket = socket().doing(action)?;
        rustix::net::bind(&socket, &address(claim.folder.as_fd()).doing(action)?).doing(action)?;
        rustix::net::listen(&socket, CALLERS).doing(action)?;
        Ok(socket)
    }

    /// A connection to a container's monitor.
    ///
    /// # Errors
    /// `ENOENT`, `ECONNREFUSED` where there is none; a kernel error.
    pub(crate) fn connect(&self, id: &str) -> Result<OwnedFd> {
        let path = self.run_folder(id);
        let action = || format!("reach the monitor of {}", crate::record::short(id));
        let folder = File::open(&path).doing(action)?;
        let socket = socket().doing(action)?;
        rustix::net::connect(&socket, &address(folder.as_fd()).doing(action)?).doing(action)?;
        Ok(socket)
    }

    /// Makes and locks the run folder of a new container, with what must be undone in it.
    ///
    /// # Errors
    /// A kernel error; `ENOSPC` on a full disk.
    pub fn claim(&self, id: &str, live: &Live) -> Result<Claim> {
        let path = self.run_folder(id);
        loop {
            fs::DirBuilder::new().mode(0o700).create(&path).doing(|| format!("create {}", path.display()))?;
            let folder = match lock_folder(&path, FlockOperation::LockExclusive) {
                // Another command saw the folder between its making and its locking, and swept it.
                Err(error) if error.errno() == Some(Errno::NOENT) => continue,
                Err(error) => {
                    let _ = fs::remove_dir(&path);
                    return Err(error);
                }
                Ok(folder) => folder,
            };
            let claim = Claim { id: id.to_owned(), folder };
            match self.write_live(&claim, live) {
                // It was swept while the lock was waited for.
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                Err(error) => {
                    let _ = fs::remove_dir_all(&path);
                    return Err(error);
                }
                Ok(()) => return Ok(claim),
            }
        }
    }

    /// Locks the run folder of a container, if nobody else has.
    ///
    /// # Errors
    /// A kernel error.
    pub fn lock(&self, id: &str) -> Result<Lock> {
        let path = self.run_folder(id);
        match lock_folder(&path, FlockOperation::NonBlockingLockExclusive) {
            Ok(folder) => Ok(Lock::Taken(Claim { id: id.to_owned(), folder })),
            Err(error) if error.errno() == Some(Errno::WOULDBLOCK) => Ok(Lock::Busy),
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(Lock::Absent),
            Err(error) => Err(error),
        }
    }

    /// Waits until nobody works on a container.
    ///
    /// # Errors
    /// A kernel error.
    pub fn wait_for(&self, id: &str) -> Result<()> {
        match lock_folder(&self.run_folder(id), FlockOperation::LockExclusive) {
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
            locked => locked.map(drop),
        }
    }

    /// Writes what exists on the host for a container.
    ///
    /// # Errors
    /// A kernel error.
    pub fn write_live(&self, claim: &Claim, live: &Live) -> Result<()> {
        write_json(&self.run_folder(&claim.id), "live.json", live)
    }

    /// What exists on the host for a container; `None` where nothing does.
    ///
    /// # Errors
    /// Corrupt.
    pub fn live(&self, id: &str) -> Result<Option<Live>> {
        read_json(&self.run_folder(id).join("live.json"))
    }

    /// Writes what the checks of a container that runs have told.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn write_health(&self, claim: &Claim, health: &Health) -> Result<()> {
        write_json(&self.run_folder(&claim.id), HEALTH, health)
    }

    /// What the checks of a container that runs have told; `None` where it is not checked.
    ///
    /// # Errors
    /// Corrupt.
    pub(crate) fn health(&self, id: &str) -> Result<Option<Health>> {
        read_json(&self.run_folder(id).join(HEALTH))
    }

    /// Writes down in its run folder that a container is not to be started again.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn mark_stopped(&self, id: &str) -> Result<()> {
        let path = self.run_folder(id).join(STOPPED);
        fs::write(&path, "").doing(|| format!("write {}", path.display()))
    }

    /// Whether that is written down there.
    pub(crate) fn is_marked_stopped(&self, id: &str) -> bool {
        self.run_folder(id).join(STOPPED).exists()
    }

    /// Gives the run folder up: nothing of the container exists on the host any more.
    ///
    /// # Errors
    /// A kernel error.
    pub fn release(&self, claim: Claim) -> Result<()> {
        let path = self.run_folder(&claim.id);
        let removed = remove_folder(&path);
        drop(claim);
        removed
    }

    /// Keeps other commands of a user from making a user namespace while the value that is given lives.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn hold_namespace(&self) -> Result<Held> {
        lock_folder(&self.run, FlockOperation::LockExclusive).map(|folder| Held { _folder: folder })
    }

    /// The process that made the user namespace last.
    ///
    /// # Errors
    /// Corrupt.
    pub(crate) fn namespace_maker(&self) -> Result<Option<LiveProcess>> {
        read_json(&self.run.join(NAMESPACE))
    }

    /// Writes down who makes it.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn write_namespace_maker(&self, maker: &LiveProcess) -> Result<()> {
        write_json(&self.run, NAMESPACE, maker)
    }

    /// The ids that have a run folder.
    ///
    /// # Errors
    /// A kernel error.
    pub fn live_ids(&self) -> Result<Vec<String>> {
        let mut ids = entries(&self.run)?;
        ids.retain(|id| id != MOUNTS && !id.starts_with('.'));
        Ok(ids)
    }

    /// The ids that have a record or a folder.
    ///
    /// # Errors
    /// A kernel error.
    pub fn ids(&self) -> Result<Vec<String>> {
        entries(&self.containers())
    }

    /// Claims a name for a container.
    ///
    /// # Errors
    /// Refused (conflict) where it is taken.
    pub fn claim_name(&self, name: &str, id: &str) -> Result<()> {
        let path = self.names().join(name);
        let link = || symlink(id, &path);
        let mut made = link();
        if is_taken(&made) && self.is_stale(name) {
            // Of two who found it stale, one takes it, and the other finds that it is not.
            let _held = lock_folder(&self.names(), FlockOperation::LockExclusive)?;
            if self.is_stale(name) {
                ignore_absent(fs::remove_file(&path)).doing(|| format!("remove {}", path.display()))?;
            }
            made = link();
        }
        if is_taken(&made) {
            let owner = self.name_owner(name).unwrap_or_default();
            if owner == id {
                return Ok(());
            }
            let reason = format!("is the name of container {} already", crate::record::short(&owner));
            return Err(Refused::new("--name", name, reason)
                .kind(RefusedKind::Conflict)
                .hint(format!("remove that container with carboy rm {name}, or use another name"))
                .into());
        }
        made.doing(|| format!("create {}", path.display()))
    }

    /// Whether a name is what somebody who was killed has left: there is nothing of its container, or that is called
    /// something else and nobody is about to change that.
    fn is_stale(&self, name: &str) -> bool {
        let Some(id) = self.name_owner(name) else { return false };
        match self.try_hold(&id) {
            // A container that is being made has its run folder before its name.
            Ok(Holding::Absent) => !self.run_folder(&id).exists() && !self.container(&id).exists(),
            Ok(Holding::Held(_held)) => {
                self.record(&id).is_ok_and(|record| record.is_some_and(|record| record.name != name))
            }
            Ok(Holding::Busy) | Err(_) => false,
        }
    }

    /// When a name was taken or given up last.
    pub(crate) fn named_at(&self) -> Option<SystemTime> {
        fs::metadata(self.names()).and_then(|found| found.modified()).ok()
    }

    /// Gives a name up, where it is this container's.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn release_name(&self, name: &str, id: &str) -> Result<()> {
        let path = self.names().join(name);
        let action = || format!("remove {}", path.display());
        match fs::read_link(&path) {
            Ok(owner) if owner == Path::new(id) => ignore_absent(fs::remove_file(&path)).doing(action),
            // It is another container's by now.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).doing(action),
        }
    }

    /// Writes down that a container is about to get another name, so that whoever comes next finds both.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn begin_renaming(&self, record: &Record, name: &str) -> Result<()> {
        self.end_renaming(&record.id)?;
        write_json(&self.container(&record.id), RENAMING, &[record.name.as_str(), name])
    }

    /// Gives up what a container is not called by its record, of the two names that it had when it was about to get another.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn end_renaming(&self, id: &str) -> Result<()> {
        let path = self.container(id).join(RENAMING);
        let Some(names) = read_json::<[String; 2]>(&path)? else { return Ok(()) };
        let record = self.record(id)?;
        for name in names.iter().filter(|name| record.as_ref().is_none_or(|record| record.name != **name)) {
            self.release_name(name, id)?;
        }
        ignore_absent(fs::remove_file(&path)).doing(|| format!("remove {}", path.display()))
    }

    /// The id that a name stands for.
    #[must_use]
    pub fn name_owner(&self, name: &str) -> Option<String> {
        // A path is no name, wherever it leads.
        if name.contains('/') {
            return None;
        }
        fs::read_link(self.names().join(name)).ok()?.into_os_string().into_string().ok()
    }

    /// Makes a container's folder with the folders that hold its changes.
    ///
    /// # Errors
    /// A kernel error.
    pub fn make_container(&self, id: &str) -> Result<PathBuf> {
        let path = self.container(id);
        for folder in [path.clone(), path.join("upper"), path.join("work")] {
            let mode = if folder.ends_with("upper") { 0o755 } else { 0o700 };
            fs::DirBuilder::new().mode(mode).create(&folder).doing(|| format!("create {}", folder.display()))?;
            // The upper folder is the container's /, which the caller's umask must not close to its users.
            fs::set_permissions(&folder, Permissions::from_mode(mode))
                .doing(|| format!("set the permissions of {}", folder.display()))?;
        }
        Ok(path)
    }

    /// Makes what overlayfs works with anew: after a container whose changes need not last it refuses to go on with it,
    /// overlayfs.rst "Volatile mount".
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn renew_work(&self, id: &str) -> Result<()> {
        let work = self.container(id).join("work");
        if work.join("work/incompat").exists() {
            remove_folder(&work)?;
            fs::DirBuilder::new().mode(0o700).create(&work).doing(|| format!("create {}", work.display()))?;
        }
        Ok(())
    }

    /// Keeps everybody else from changing a container's record while the value that is given lives; waits for whoever
    /// does. `None` where there is no such container.
    ///
    /// # Errors
    /// A kernel error.
    pub fn hold(&self, id: &str) -> Result<Option<Held>> {
        match lock_folder(&self.container(id), FlockOperation::LockExclusive) {
            Ok(folder) => Ok(Some(Held { _folder: folder })),
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// A kernel error.
    pub fn try_hold(&self, id: &str) -> Result<Holding> {
        match lock_folder(&self.container(id), FlockOperation::NonBlockingLockExclusive) {
            Ok(folder) => Ok(Holding::Held(Held { _folder: folder })),
            Err(error) if error.errno() == Some(Errno::WOULDBLOCK) => Ok(Holding::Busy),
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(Holding::Absent),
            Err(error) => Err(error),
        }
    }

    /// Writes a container's record. Who changes one that others may change too holds it from before it was read.
    ///
    /// # Errors
    /// A kernel error.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        write_json(&self.container(&record.id), "container.json", record)
    }

    /// A container's record; `None` where there is none.
    ///
    /// # Errors
    /// Corrupt; also for the record of another version, newer or older.
    pub fn record(&self, id: &str) -> Result<Option<Record>> {
        let path = self.container(id).join("container.json");
        let read: Result<Option<Record>> = read_json(&path);
        match read {
            Ok(record) if record.as_ref().is_none_or(|record| record.version == Record::VERSION) => Ok(record),
            Err(error @ Error::Kernel(_)) => Err(error),
            read => {
                let version = read_json::<Version>(&path)?.map_or(0, |found| found.version);
                let whose = match version.cmp(&Record::VERSION) {
                    Ordering::Less => "an older",
                    Ordering::Equal => return read,
                    Ordering::Greater => "a newer",
                };
                let reason = format!("is of version {version}, which {whose} carboy wrote");
                Err(Corrupt::new(path.display().to_string(), reason).into())
            }
        }
    }

    /// Removes a container's folder and name: the one in its record, and `name`, which it had when whoever removes it began.
    ///
    /// # Errors
    /// A kernel error that names what is left.
    pub fn remove_container(&self, id: &str, name: &str) -> Result<()> {
        let _held = self.hold(id)?;
        // What is damaged is removed all the same.
        let _ = self.end_renaming(id);
        if let Ok(Some(record)) = self.record(id) {
            self.release_name(&record.name, id)?;
        }
        self.release_name(name, id)?;
        self.remove_container_folder(id)
    }

    /// Removes the folder alone.
    ///
    /// # Errors
    /// A kernel error that names what is left.
    pub(crate) fn remove_container_folder(&self, id: &str) -> Result<()> {
        remove_folder(&self.container(id))
    }

    /// Every name that is claimed, with the id that it stands for.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn claimed_names(&self) -> Result<Vec<(String, String)>> {
        let names = entries(&self.names())?.into_iter();
        Ok(names.filter_map(|name| self.name_owner(&name).map(|id| (name, id))).collect())
    }
}

/// Whether a disk takes nothing: it is full, or must not be written to.
pub(crate) fn takes_nothing(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS))
}

fn is_taken(made: &std::io::Result<()>) -> bool {
    made.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists)
}

pub(crate) fn make_folders(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let kernel = Kernel::new(format!("create {}", path.display()), errno);
        if matches!(errno, Errno::ACCESS | Errno::PERM) {
            kernel.hint("carboy must be run as root").into()
        } else {
            kernel.into()
        }
    })
}

fn socket() -> std::result::Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// The socket in a folder, by the folder's descriptor: its path may be longer than a socket's address, unix(7).
fn address(folder: BorrowedFd<'_>) -> std::result::Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(procfs::descriptor::path_below(folder, SOCKET))
}

pub(crate) fn lock_folder(path: &Path, operation: FlockOperation) -> Result<OwnedFd> {
    let folder = File::open(path).doing(|| format!("open {}", path.display()))?;
    flock(&folder, operation).doing(|| format!("lock {}", path.display()))?;
    Ok(folder.into())
}

/// A reader finds the old content or the new one, never a part: the file is written beside and renamed.
pub(crate) fn write_json<T: Serialize>(folder: &Path, name: &str, value: &T) -> Result<()> {
    let path = folder.join(name);
    let beside = folder.join(format!(".{name}"));
    let text =
        serde_json::to_vec(value).map_err(|error| Corrupt::new(path.display().to_string(), error.to_string()))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written =
        options.open(&beside).and_then(|mut file| file.write_all(&text)).and_then(|()| fs::rename(&beside, &path));
    written.inspect_err(|_| drop(fs::remove_file(&beside))).doing(|| format!("write {}", path.display()))
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match read_file(path) {
        Err(Errno::NOENT) => return Ok(None),
        read => read.doing(|| format!("read {}", path.display()))?,
    };
    // A host that was cut off has the name of a new file on its disk before it has what is in it.
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Corrupt::new(path.display().to_string(), error.to_string()).into())
}

/// More than most records take, in bytes.
const READ: usize = 8 << 10;

/// Reads a small file without asking for its size first: `stats` reads one of each container.
fn read_file(path: &Path) -> std::result::Result<Vec<u8>, Errno> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::with_capacity(READ);
    loop {
        let room = rustix::buffer::spare_capacity(&mut text);
        let length = rustix::io::read(&file, room)?;
        if length == 0 || text.len() < text.capacity() {
            return Ok(text);
        }
        text.reserve(text.len());
    }
}

/// A folder that is not made yet has none: `explain` makes nothing.
pub(crate) fn entries(folder: &Path) -> Result<Vec<String>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.doing(|| format!("list {}", folder.display()))?,
    };
    let mut names = Vec::new();
    for entry in listed {
        let name = entry.doing(|| format!("list {}", folder.display()))?.file_name();
        names.extend(name.into_string().ok());
    }
    Ok(names)
}

fn ignore_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = File::open(parent).doing(|| format!("open {}", parent.display()))?;
    match image::remove_tree(parent.as_fd(), name) {
        // So it is said of what there is not, too.
        Err(error) if error.errno() == Some(Errno::ROFS) && path.symlink_metadata().is_err() => Ok(()),
        removed => removed,
    }
}
