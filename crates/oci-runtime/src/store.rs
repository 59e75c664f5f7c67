//! What is remembered of containers, as plain files: a folder each.
//!
//! ```text
//! ROOT/ID/state.json   what was made, and what must be undone; written to another name and renamed
//! ROOT/ID/making       a named pipe (`gate.rs`): the container is not whole yet, and nobody may enter it
//! ROOT/ID/start        the same pipe when it is whole: a byte written to it starts the program; it is gone then
//! ROOT/ID/notify/      the socket at which its program says that it is ready, where somebody wants to know
//! ROOT/ID/failure      a named pipe: what kept the program from being started comes from it
//! ```
//!
//! Who changes a container holds a lock (flock) on its folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use error::{Corrupt, Doing, Error, Refused, RefusedKind, Result};
use jiff::Timestamp;
use oci::Config;
use procfs::HostPid;
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use serde::{Deserialize, Serialize};

use crate::arguments::Invocation;
use crate::create::Draft;
use crate::gate;

/// The folder of all containers.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

/// A container, as it was made. A newer runtime reads what an older one has written: containers outlive updates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its id.
    pub(crate) id: String,
    /// The absolute path of its bundle.
    pub(crate) bundle: String,
    /// The host's folder with its root.
    pub(crate) rootfs: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Its first process, once there is one.
    pub(crate) process: Option<FirstProcess>,
    /// Its groups: this path in every hierarchy.
    pub(crate) group: String,
    /// What systemd's unit for it is called, where systemd has made the groups: `slice:prefix:name`.
    pub(crate) unit: Option<String>,
    /// Groups above it that were made for it: the hierarchy's key, the path.
    pub(crate) parents: Vec<(String, String)>,
    /// The net namespace with the table that marks its packets: its device, its inode, and the file it was joined by.
    pub(crate) table: Option<(u64, u64, Option<String>)>,
    /// The id of the mount that covers the root's folder, in a mount namespace that does not go with the container.
    #[serde(default)]
    pub(crate) cover: Option<u64>,
    /// What is still to be done when it is started, by the number of the step.
    pub(crate) steps: Vec<(usize, String)>,
    /// The folders of resctrl that were made for it, in their order.
    #[serde(default)]
    pub(crate) resctrl: Vec<PathBuf>,
    /// The name of its session keyring, where it does not have its caller's.
    pub(crate) keyring: Option<String>,
    /// Its configuration.
    pub(crate) config: Config,
}

/// A container's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FirstProcess {
    /// Its PID on the host.
    pub(crate) pid: i32,
    /// When it began, in clock ticks since boot: with the PID, an identity that no reuse can take.
    pub(crate) start_ticks: u64,
}

impl Record {
    /// That of a container of which there is nothing yet.
    pub(crate) fn new(id: &str, bundle: &Path, draft: &mut Draft) -> Self {
        let config = std::mem::take(&mut draft.stated);
        Self {
            id: id.to_owned(),
            bundle: bundle.display().to_string(),
            rootfs: config.root.as_ref().map(|root| root.path.clone()).unwrap_or_default(),
            created: Timestamp::now(),
            process: None,
            group: draft.place.site.group.to_string(),
            unit: draft.place.unit.clone(),
            parents: Vec::new(),
            table: None,
            cover: None,
            steps: Vec::new(),
            resctrl: Vec::new(),
            keyring: draft.keyring().map(str::to_owned),
            config,
        }
    }
}

/// A container that nobody else changes while this value lives.
#[derive(Debug)]
pub(crate) struct Held {
    folder: PathBuf,
    _lock: OwnedFd,
}

impl FirstProcess {
    /// A handle on it; `None` where it is gone, or a zombie.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        let pidfd = sys::process::open(self.pid).ok()?;
        self.lives().then_some(pidfd)
    }

    /// Whether it is still there, and not another with its number.
    pub(crate) fn lives(&self) -> bool {
        procfs::stat(HostPid(self.pid))
            .is_ok_and(|stat| stat.start_ticks == self.start_ticks && !matches!(stat.state, 'Z' | 'X'))
    }
}

/// Whether root is the host's, and not a user who is root in a user namespace of their own, as below rootless Podman. Who
/// calls themself root there too is taken at their word, as runc does.
fn is_hosts_root() -> Result<bool> {
    Ok(std::env::var_os("USER").is_some_and(|user| user == "root") || !crate::place::is_confined()?)
}

impl Store {
    /// The one that was asked for, or the usual one.
    ///
    /// # Errors
    /// Refused where a user has no run folder of their own.
    pub(crate) fn of(invocation: &Invocation) -> Result<Self> {
        if let Some(root) = invocation.value("root") {
            return Ok(Self { root: PathBuf::from(root) });
        }
        let run = std::env::var_os("XDG_RUNTIME_DIR").filter(|run| !run.is_empty());
        if rustix::process::geteuid().is_root() && (run.is_none() || is_hosts_root()?) {
            return Ok(Self { root: PathBuf::from("/run/carboy-runtime") });
        }
        let missing = || Refused::new("--root", "", "is needed: XDG_RUNTIME_DIR names no folder for it").into();
        run.map(|run| Self { root: PathBuf::from(run).join("carboy-runtime") }).ok_or_else(missing)
    }

    /// Its folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self, id: &str) -> Result<PathBuf> {
        let known = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        if id.is_empty() || id == "." || id == ".." || id.len() > 1024 || !id.chars().all(known) {
            let refused = Refused::new("the container's id", format!("{id:?}"), "is invalid");
            return Err(refused.hint("use letters, digits and _ + - . only").into());
        }
        Ok(self.root.join(id))
    }

    /// Where hierarchies are mounted that nobody has mounted.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.root.join(".cgroup")
    }

    /// Takes an id for a new container.
    ///
    /// # Errors
    /// Refused where it is taken, or no id; a kernel error.
    pub(crate) fn claim(&self, id: &str) -> Result<Held> {
        let folder = self.folder(id)?;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o711).recursive(true);
        builder.create(&self.root).doing(|| format!("make {}", self.root.display()))?;
        let taken = || {
            let reason = "container with given ID already exists";
            Refused::new("the container", id, reason).kind(RefusedKind::Conflict)
        };
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if folder.join(STATE).exists() {
                        return Err(taken().into());
                    }
                }
                made => made.doing(|| format!("make {}", folder.display()))?,
            }
            // Whoever made the folder need not be the first to lock it. Where nothing is in it then, they wait, or were killed.
            match lock(folder.clone(), id) {
                Ok(held) if held.folder.join(STATE).exists() => return Err(taken().into()),
                // Another one had it, failed, and has removed it.
                Err(Error::Refused(refused)) if refused.kind == RefusedKind::NoSuchObject => {}
                held => return held,
            }
        }
    }

    /// Locks a container, once nobody else has it.
    ///
    /// # Errors
    /// Refused where there is none; a kernel error.
    pub(crate) fn hold(&self, id: &str) -> Result<(Held, Record)> {
        let held = lock(self.folder(id)?, id)?;
        match held.read(id) {
            Ok(record) => Ok((held, record)),
            // Whoever made the folder was killed before anything else of the container was made.
            Err(Error::Refused(refused)) if refused.kind == RefusedKind::NoSuchObject => {
                held.remove()?;
                Err(Error::Refused(refused))
            }
            Err(error) => Err(error),
        }
    }

    /// What is remembered of a container.
    ///
    /// # Errors
    /// Refused where there is none; corrupt where it cannot be read.
    pub(crate) fn record(&self, id: &str) -> Result<Record> {
        read(&self.folder(id)?, id)
    }

    /// Whether a container waits to be started.
    pub(crate) fn waits(&self, id: &str) -> bool {
        self.folder(id).is_ok_and(|folder| gate::waits(&folder))
    }

    /// Whether a container is still being made.
    pub(crate) fn makes(&self, id: &str) -> bool {
        self.folder(id).is_ok_and(|folder| gate::is_being_made(&folder))
    }

    /// The ids of all containers, sorted.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let listed = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.doing(|| format!("list {}", self.root.display()))?,
        };
        let names = listed.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

const STATE: &str = "state.json";
/// What a record takes, in bytes, unless there is a profile in it.
const USUAL_LENGTH: usize = 4096;

/// Whoever removes a container holds it meanwhile: a lock on a folder that is gone is none.
fn lock(folder: PathBuf, id: &str) -> Result<Held> {
    loop {
        let opened = File::options().read(true).custom_flags(DIRECTORY).open(&folder);
        let file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_such(id).into()),
            opened => opened.doing(|| format!("open {}", folder.display()))?,
        };
        retry_on_intr(|| flock(&file, FlockOperation::LockExclusive)).doing(|| format!("lock {}", folder.display()))?;
        let same = |there: &fs::Metadata, here: &fs::Metadata| {
            use std::os::unix::fs::MetadataExt as _;
            (there.dev(), there.ino()) == (here.dev(), here.ino())
        };
        match (fs::metadata(&folder), file.metadata()) {
            (Ok(there), Ok(here)) if same(&there, &here) => return Ok(Held { folder, _lock: file.into() }),
            (Err(_), _) => return Err(no_such(id).into()),
            _ => {}
        }
    }
}

/// `O_DIRECTORY` of open(2).
const DIRECTORY: i32 = 0o200_000;

fn no_such(id: &str) -> Refused {
    Refused::new("the container", id, "does not exist").kind(RefusedKind::NoSuchObject)
}

fn read(folder: &Path, id: &str) -> Result<Record> {
    let path = folder.join(STATE);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_such(id).into()),
        text => text.doing(|| format!("read {}", path.display()))?,
    };
    oci::document::read(&text).map_err(|error| Corrupt::new(path.display().to_string(), error.to_string()).into())
}

impl Held {
    fn read(&self, id: &str) -> Result<Record> {
        read(&self.folder, id)
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes down what is to be remembered: whoever reads it meanwhile finds the former text or the new one.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        let action = || format!("write {}", self.folder.join(STATE).display());
        let mut text = Vec::with_capacity(USUAL_LENGTH);
        serde_json::to_writer(&mut text, record).map_err(std::io::Error::from).doing(action)?;
        let new = self.folder.join(".state.json");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new).doing(action)?;
        file.write_all(&text).doing(action)?;
        fs::rename(&new, self.folder.join(STATE)).doing(action)
    }

    /// The folder by which its program says that it is ready.
    pub(crate) fn notify_folder(&self) -> PathBuf {
        self.folder.join("notify")
    }

    /// Forgets the container.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn remove(self) -> Result<()> {
        // Nothing else is in most.
        let _ = fs::remove_file(self.folder.join(STATE));
        if fs::remove_dir(&self.folder).is_ok() {
            return Ok(());
        }
        fs::remove_dir_all(&self.folder).doing(|| format!("remove {}", self.folder.display()))
    }
}
