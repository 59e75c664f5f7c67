//! A layer that is being unpacked or removed: a folder whose name begins with a dot, locked (flock) by who works on it. One
//! that nobody holds is what somebody who was killed has left.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use error::{Doing, Errno, Result};
use oci::image::Digest;
use rustix::fs::{FlockOperation, flock, fstat};

use super::open_folder;
use crate::store::{Store, entries, remove_folder};

/// How its name begins.
const DOT: char = '.';

/// A half layer that nobody else works on while this value lives.
#[derive(Debug)]
pub(super) struct Half {
    /// Where it is.
    pub(super) path: PathBuf,
    folder: OwnedFd,
}

impl Half {
    /// An empty one, to be unpacked into.
    pub(super) fn make(layers: &Path, chain: &Digest) -> Result<Self> {
        loop {
            let path = name(layers, chain)?;
            fs::DirBuilder::new().mode(0o700).create(&path).doing(|| format!("create {}", path.display()))?;
            // Another one may have seen it between its making and its locking, and removed it.
            if let Some(half) = Self::hold(path, FlockOperation::LockExclusive)? {
                return Ok(half);
            }
        }
    }

    /// A layer that is to be removed; `None` where somebody else has begun with that.
    pub(super) fn of_layer(layers: &Path, chain: &Digest) -> Result<Option<Self>> {
        let path = name(layers, chain)?;
        fs::rename(layers.join(chain.hex()), &path).doing(|| format!("rename the layer {chain}"))?;
        Self::hold(path, FlockOperation::NonBlockingLockExclusive)
    }

    fn hold(path: PathBuf, operation: FlockOperation) -> Result<Option<Self>> {
        let folder = match open_folder(&path) {
            Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        match flock(&folder, operation) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked.doing(|| format!("lock {}", path.display()))?,
        }
        // Whoever held it may have removed it, or put it into its place.
        let held = fstat(&folder).doing(|| format!("look at {}", path.display()))?;
        let is_there = fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (held.st_dev, held.st_ino));
        Ok(is_there.then_some(Self { path, folder }))
    }

    /// Removes it; it is held until it is gone.
    pub(super) fn remove(self) -> Result<()> {
        let removed = remove_folder(&self.path);
        drop(self.folder);
        removed
    }
}

fn name(layers: &Path, chain: &Digest) -> Result<PathBuf> {
    Ok(layers.join(format!("{DOT}{}-{}", chain.hex(), crate::names::new_id()?)))
}

impl Store {
    /// What those who were killed have left.
    pub(super) fn nobodys_halves(&self) -> Result<Vec<Half>> {
        let folder = self.layers_folder();
        let mut halves = Vec::new();
        for name in entries(&folder)?.iter().filter(|name| name.starts_with(DOT)) {
            halves.extend(Half::hold(folder.join(name), FlockOperation::NonBlockingLockExclusive)?);
        }
        Ok(halves)
    }
}
