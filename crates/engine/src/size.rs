//! How much a container has written: the sizes of the files in its own layer, in bytes. A file that has several names counts
//! once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::containers::{Container, Engine};
use crate::driver::Driver;

/// What the files of a container's root take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Those that are its own.
    pub own_bytes: u64,
    /// All; `None` where others are the host's or a folder's.
    pub all_bytes: Option<u64>,
    /// Those that go with the container: all, where its root is a copy.
    pub freed_bytes: u64,
}

impl Engine {
    /// The size of a container's root. What goes while it is looked at is left out.
    #[must_use]
    pub fn size(&self, container: &Container) -> Size {
        let folder = self.store.container(&container.record.id);
        let upper_bytes = bytes_below(folder.join("upper"));
        // An archive is unpacked there.
        let unpacked = folder.join("root");
        if container.record.driver == Driver::Vfs {
            let changed = self.compare_copy(&container.record).unwrap_or_default();
            let own_bytes = changed.iter().map(|changed| changed.bytes).sum();
            let freed_bytes = upper_bytes + bytes_below(unpacked);
            return Size { own_bytes, all_bytes: Some(upper_bytes), freed_bytes };
        }
        let all_bytes = unpacked.is_dir().then(|| upper_bytes + bytes_below(unpacked));
        Size { own_bytes: upper_bytes, all_bytes, freed_bytes: upper_bytes }
    }
}

impl Engine {
    /// What the log of a container takes.
    #[must_use]
    pub fn log_bytes(&self, container: &Container) -> u64 {
        let files = fs::read_dir(self.store.container(&container.record.id)).into_iter().flatten().flatten();
        let logs = files.filter(|file| file.file_name().as_encoded_bytes().starts_with(b"output."));
        logs.filter_map(|log| log.metadata().ok()).map(|log| log.len()).sum()
    }
}

fn bytes_below(folder: PathBuf) -> u64 {
    let mut bytes = 0;
    let mut seen = BTreeSet::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        bytes += bytes_of(&folder, &mut folders, &mut seen);
    }
    bytes
}

/// The files of a folder; the folders in it are added to those that are still to be looked at.
fn bytes_of(folder: &Path, folders: &mut Vec<PathBuf>, seen: &mut BTreeSet<u64>) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            folders.push(entry.path());
        } else if found.nlink() == 1 || seen.insert(found.ino()) {
            bytes += found.len();
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_folders_not() {
        let folder = std::env::temp_dir().join(format!("carboy-size-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("a/one"), [0; 1000]).unwrap();
        fs::write(folder.join("a/b/two"), [0; 234]).unwrap();
        fs::hard_link(folder.join("a/one"), folder.join("a/b/again")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap();
        let bytes = bytes_below(folder.clone());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(bytes, 1234 + 4);
        assert_eq!(bytes_below(folder), 0);
    }
}
