//! What somebody is bringing just now, so that nobody takes it for garbage.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use error::{Corrupt, Doing, Result};
use oci::image::Digest;
use rustix::fs::{FlockOperation, flock};

use crate::store::{Store, entries, read_json};

/// Blobs and layers that are wanted while this value lives.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    file: File,
    wanted: Vec<Digest>,
}

impl Lease {
    /// Wants nothing yet.
    ///
    /// # Errors
    /// A kernel error.
    pub fn new(store: &Store) -> Result<Self> {
        let _held = store.hold_images(FlockOperation::LockExclusive)?;
        store.leased()?;
        let path = store.leases_folder().join(crate::names::new_id()?);
        let action = || format!("create {}", path.display());
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).doing(action)?;
        flock(&file, FlockOperation::LockExclusive).doing(action)?;
        Ok(Self { path, file, wanted: Vec::new() })
    }

    /// Wants these, too: what of them is there now stays.
    ///
    /// # Errors
    /// A kernel error.
    pub fn add(&mut self, store: &Store, more: impl IntoIterator<Item = Digest>) -> Result<()> {
        let _held = store.hold_images(FlockOperation::LockExclusive)?;
        self.wanted.extend(more);
        let path = &self.path;
        let text = serde_json::to_vec(&self.wanted)
            .map_err(|error| Corrupt::new(path.display().to_string(), error.to_string()))?;
        let written = self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(&text));
        written.doing(|| format!("write {}", path.display()))
    }
}

impl Lease {
    /// What is wanted.
    pub(super) fn wanted(&self) -> &[Digest] {
        &self.wanted
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// What is wanted by those who are bringing something; what those who were killed have left goes. The caller holds the
    /// images alone.
    pub(super) fn leased(&self) -> Result<Vec<Digest>> {
        let mut wanted = Vec::new();
        for name in entries(&self.leases_folder())? {
            let path = self.leases_folder().join(name);
            let Ok(file) = File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                fs::remove_file(&path).doing(|| format!("remove {}", path.display()))?;
            } else {
                wanted.extend(read_json::<Vec<Digest>>(&path)?.unwrap_or_default());
            }
        }
        Ok(wanted)
    }
}
