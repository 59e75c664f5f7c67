//! Volumes: folders that outlive the containers that they are mounted in.
//!
//! ```text
//! ROOT/volumes/NAME/volume.json         the record; the folder is locked (flock) by who fills or removes the volume
//! ROOT/volumes/NAME/_data               what containers see
//! ROOT/volumes/.halves/ID               a volume that is being made or removed: the name is had or lost by one rename
//! ROOT/volumes/.halves/ID/{copy,volume} what a volume is filled with, until that is moved to _data, and a link to its name
//! ROOT/containers/ID/volumes/NAME       the container uses the volume, as long as it exists; a link to "own" or "given"
//! ```

mod fill;
pub(crate) mod place;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use error::{Corrupt, Doing, Errno, Error, Refused, RefusedKind, Result};
use jiff::Timestamp;
use rustix::fs::{CWD, FlockOperation, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::containers::Engine;
use crate::options::{Traits, VolumeName};
use crate::record::short;
use crate::store::{Held, Store, entries, lock_folder, make_folders, read_json, remove_folder, write_json};

pub use place::Located;

/// A volume as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The form of this record.
    pub version: u32,
    /// Its name, unique on this host.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it has a name only because it must: nobody has given it one.
    pub anonymous: bool,
    /// What it was made with.
    pub traits: Traits,
    /// The half with what it is filled with, where that is whole and is being moved to its place.
    pub moving: Option<String>,
}

/// The volumes that there are.
#[derive(Debug, Default)]
pub struct Volumes {
    /// Those that can be told of, by name.
    pub whole: Vec<Volume>,
    /// What is wrong with each of the others.
    pub damaged: Vec<Error>,
}

/// Whether a container's own volumes go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnVolumes {
    /// They stay.
    Kept,
    /// They go, unless another container has them too.
    Removed,
}

/// The folder of what containers see.
const DATA: &str = "_data";
const RECORD: &str = "volume.json";
const HALVES: &str = ".halves";
/// In a half, the link to the name of the volume that is filled.
const VOLUME: &str = "volume";
/// What the link of a container to a volume says.
const OWN: &str = "own";
const GIVEN: &str = "given";

impl Volume {
    /// The form that this carboy writes.
    pub const VERSION: u32 = 1;

    /// Whether a name can be a volume's: Docker's rule for the driver local.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let first = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        first && (2..=255).contains(&name.len()) && name.as_bytes().iter().all(inner)
    }
}

impl Store {
    fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    fn halves(&self) -> PathBuf {
        self.volumes().join(HALVES)
    }

    /// The folder with a container's links to its volumes.
    fn links(&self, id: &str) -> PathBuf {
        self.container(id).join("volumes")
    }

    fn volume_record(&self, name: &str) -> Result<Option<Volume>> {
        if !Volume::is_name(name) {
            return Ok(None);
        }
        let path = self.volume(name).join(RECORD);
        match read_json::<Volume>(&path)? {
            Some(volume) if volume.version > Volume::VERSION => {
                let reason = format!("is of version {}, which a newer carboy wrote", volume.version);
                Err(Corrupt::new(path.display().to_string(), reason).into())
            }
            volume => Ok(volume),
        }
    }

    /// A new folder for what is not whole, which nobody takes for left behind while the other value lives.
    fn new_half(&self) -> Result<(PathBuf, Held)> {
        make_folders(&self.halves())?;
        loop {
            let half = self.halves().join(crate::names::new_id()?);
            fs::DirBuilder::new().mode(0o700).create(&half).doing(|| format!("create {}", half.display()))?;
            match lock_folder(&half, FlockOperation::LockExclusive) {
                // Another command saw it before it was locked, and swept it.
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                held => {
                    let held = Held::of(held?);
                    if half.exists() {
                        return Ok((half, held));
                    }
                }
            }
        }
    }

    /// Makes a volume, unless there is one of its name; whether it was made.
    fn make_volume(&self, volume: &Volume) -> Result<bool> {
        let path = self.volume(&volume.name);
        let (half, _held) = self.new_half()?;
        let data = half.join(DATA);
        let made = fs::DirBuilder::new().mode(0o755).create(&data);
        // A volume's mode is for its users, whatever the caller's umask is.
        let made = made.and_then(|()| fs::set_permissions(&data, fs::Permissions::from_mode(0o755)));
        let made = made.doing(|| format!("create {}", data.display()));
        let made = made.and_then(|()| write_json(&half, RECORD, volume)).and_then(|()| {
            let renamed = renameat_with(CWD, &half, CWD, &path, RenameFlags::NOREPLACE);
            renamed.doing(|| format!("create {}", path.display()))
        });
        match made {
            Ok(()) => {
                self.tell_of_volume(&volume.name, "create", &[]);
                Ok(true)
            }
            Err(error) => {
                let _ = remove_folder(&half);
                if error.errno() == Some(Errno::EXIST) { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Keeps everybody else from filling or removing a volume; `None` where there is none.
    fn hold_volume(&self, name: &str) -> Result<Option<Held>> {
        self.lock_volume(name, FlockOperation::LockExclusive)
    }

    fn lock_volume(&self, name: &str, operation: FlockOperation) -> Result<Option<Held>> {
        let path = self.volume(name);
        loop {
            let folder = match lock_folder(&path, operation) {
                Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(None),
                folder => folder?,
            };
            let held = rustix::fs::fstat(&folder).doing(|| format!("look at {}", path.display()))?;
            // Who removes a volume takes its name away first, and another may have it since.
            if fs::metadata(&path).is_ok_and(|found| (found.dev(), found.ino()) == (held.st_dev, held.st_ino)) {
                return Ok(Some(Held::of(folder)));
            }
        }
    }

    /// The ids of the containers that use a volume.
    fn users(&self, name: &str) -> Result<Vec<String>> {
        let mut ids = self.ids()?;
        ids.retain(|id| fs::symlink_metadata(self.links(id).join(name)).is_ok());
        Ok(ids)
    }

    /// The names of a container's volumes that nobody else has named.
    fn own_volumes(&self, id: &str) -> Result<Vec<String>> {
        let links = self.links(id);
        let mut names = entries(&links)?;
        names.retain(|name| fs::read_link(links.join(name)).is_ok_and(|target| target == Path::new(OWN)));
        Ok(names)
    }

    /// Notes that a container uses a volume, which its caller holds.
    fn link_volume(&self, id: &str, name: &str, kind: &str) -> Result<()> {
        let links = self.links(id);
        let made = match fs::DirBuilder::new().mode(0o700).create(&links) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        let linked = made.and_then(|()| match symlink(kind, links.join(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
        linked.doing(|| format!("create {}", links.join(name).display()))
    }

    /// Takes a volume away that its caller holds.
    fn unmake_volume(&self, name: &str) -> Result<()> {
        let half = self.halves().join(crate::names::new_id()?);
        make_folders(&self.halves())?;
        let path = self.volume(name);
        fs::rename(&path, &half).doing(|| format!("remove {}", path.display()))?;
        self.tell_of_volume(name, "destroy", &[]);
        remove_folder(&half)
    }

    /// Removes a container's own volumes, but for those that others use too.
    pub(crate) fn remove_own_volumes(&self, id: &str) -> Result<()> {
        for name in self.own_volumes(id)? {
            let Some(_held) = self.hold_volume(&name)? else { continue };
            if self.users(&name)?.iter().all(|user| user == id) {
                self.unmake_volume(&name)?;
            }
        }
        Ok(())
    }

    /// Removes what is left of volumes that were being made, filled or removed when their command was killed, and completes
    /// what was whole.
    pub(crate) fn sweep_volumes(&self) -> Vec<Error> {
        match entries(&self.halves()) {
            Ok(halves) => halves.into_iter().filter_map(|name| self.sweep_half(&name).err()).collect(),
            Err(error) => vec![error],
        }
    }

    fn sweep_half(&self, name: &str) -> Result<()> {
        let half = self.halves().join(name);
        let _held = match lock_folder(&half, FlockOperation::NonBlockingLockExclusive) {
            // Somebody works on it.
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::WOULDBLOCK)) => return Ok(()),
            held => held?,
        };
        if let Some(volume) =
            fs::read_link(half.join(VOLUME)).ok().and_then(|path| path.into_os_string().into_string().ok())
        {
            let _volume = match self.lock_volume(&volume, FlockOperation::NonBlockingLockExclusive) {
                // Somebody completes it, or looks whether that is to be done.
                Err(error) if error.errno() == Some(Errno::WOULDBLOCK) => return Ok(()),
                held => held?,
            };
            if let Some(mut volume) =
                self.volume_record(&volume)?.filter(|volume| volume.moving.as_deref() == Some(name))
            {
                return self.complete_move(&mut volume);
            }
        }
        remove_folder(&half)
    }
}

impl Engine {
    /// Makes a volume; one of this name that was made with the same is as good.
    ///
    /// # Errors
    /// Refused for a name or options that no volume can have, and where there is another of this name; a kernel error.
    pub fn create_volume(&self, name: Option<&str>, traits: &Traits) -> Result<Volume> {
        place::check(traits)?;
        let name = match name {
            Some(name) if Volume::is_name(name) => VolumeName::Given(name.to_owned()),
            Some(name) => {
                let reason = "includes invalid characters for a local volume name";
                let refused = Refused::new("the volume", if name.is_empty() { "\"\"" } else { name }, reason);
                return Err(refused.hint("use two or more of a-z A-Z 0-9 _ . - with a letter or digit first").into());
            }
            None => VolumeName::Own(crate::names::new_id()?),
        };
        self.make_volume(&name, traits)
    }

    fn make_volume(&self, name: &VolumeName, traits: &Traits) -> Result<Volume> {
        let (name, anonymous) = (name.as_str(), !matches!(name, VolumeName::Given(_)));
        let (created, traits) = (Timestamp::now(), traits.clone());
        let new = Volume { version: Volume::VERSION, name: name.to_owned(), created, anonymous, traits, moving: None };
        loop {
            if let Some(volume) = self.store.volume_record(name)? {
                let none = BTreeMap::new();
                let differs = [&none, &volume.traits.options].iter().all(|known| **known != new.traits.options);
                return if differs { Err(taken(name)) } else { Ok(volume) };
            }
            if self.store.make_volume(&new)? {
                return Ok(new);
            }
        }
    }

    /// Every volume. One that cannot be told of hides no other.
    ///
    /// # Errors
    /// A kernel error where their folder cannot be read.
    pub fn volumes(&self) -> Result<Volumes> {
        let mut names = entries(&self.store.volumes())?;
        names.sort();
        let mut volumes = Volumes::default();
        for name in names {
            match self.store.volume_record(&name) {
                Ok(found) => volumes.whole.extend(found),
                Err(error) => volumes.damaged.push(error),
            }
        }
        Ok(volumes)
    }

    /// A volume by its name.
    ///
    /// # Errors
    /// Refused where there is none; corrupt.
    pub fn find_volume(&self, name: &str) -> Result<Volume> {
        self.store.volume_record(name)?.ok_or_else(|| no_such(name))
    }

    /// Where what containers see of a volume is on the host.
    #[must_use]
    pub fn mountpoint(&self, volume: &Volume) -> PathBuf {
        self.store.volume(&volume.name).join(DATA)
    }

    /// How many bytes a volume takes on disk, each file once. What cannot be read counts nothing.
    ///
    /// # Errors
    /// A kernel error.
    pub fn volume_bytes(&self, volume: &Volume) -> Result<u64> {
        let folder = self.mountpoint(volume);
        let opened = fs::File::open(&folder).doing(|| format!("open {}", folder.display()))?;
        image::tree_bytes(opened.as_fd())
    }

    /// The ids of the containers that use a volume, whether they run or not.
    ///
    /// # Errors
    /// A kernel error.
    pub fn volume_users(&self, volume: &Volume) -> Result<Vec<String>> {
        self.store.users(&volume.name)
    }

    /// Removes a volume.
    ///
    /// # Errors
    /// Refused where there is none, and where a container uses it; a kernel error that names what is left.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let held = if Volume::is_name(name) { self.store.hold_volume(name)? } else { None };
        if held.is_none() {
            return Err(no_such(name));
        }
        let users = self.store.users(name)?;
        if users.is_empty() {
            return self.store.unmake_volume(name);
        }
        let hint = format!(
            "remove the containers first: carboy rm {}",
            users.iter().map(|id| short(id)).collect::<Vec<_>>().join(" ")
        );
        let refused = Refused::new("the volume", name, format!("volume is in use - [{}]", users.join(", ")));
        Err(refused.kind(RefusedKind::Conflict).hint(hint).into())
    }
}

fn no_such(name: &str) -> Error {
    let refused = Refused::new("the volume", name, "no such volume").kind(RefusedKind::NoSuchObject);
    refused.hint("carboy volume ls lists all volumes").into()
}

fn taken(name: &str) -> Error {
    let reason = "exists already, and was made with other options";
    let refused = Refused::new("the volume", name, reason).kind(RefusedKind::Conflict);
    refused.hint(format!("remove it with carboy volume rm {name}, or use another name")).into()
}
