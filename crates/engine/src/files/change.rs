//! `diff`: what a container has changed of its root. An overlay keeps every change in its upper layer: overlayfs.rst of the
//! kernel's documentation, "whiteouts and opaque directories".

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use error::{Doing, Errno, Result};
use image::layer::{Change, Copied};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, Timespec, fgetxattr, openat, statat};

use crate::containers::Engine;
use crate::driver::Driver;
use crate::images;
use crate::options::Root;
use crate::record::Record;
use crate::roots::{EMPTY_IN_HOST, remembers};

/// What has become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// It was not there.
    Added,
    /// It is another.
    Modified,
    /// It is gone.
    Deleted,
}

/// Docker's letter.
impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "A",
            Self::Modified => "C",
            Self::Deleted => "D",
        })
    }
}

/// A path that a container has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What has become of it.
    pub changed: Changed,
    /// The path in the container.
    pub path: PathBuf,
}

/// How deep folders are compared.
const DEEPEST: u32 = 512;

impl Engine {
    /// What a container has changed of its root, by path.
    ///
    /// # Errors
    /// Refused where there is none; a kernel error.
    pub fn changes(&self, word: &str) -> Result<Vec<Difference>> {
        let record = self.find(word)?.record;
        if record.driver == Driver::Vfs {
            return self.changes_of_copy(&record);
        }
        let upper = images::open_folder(&self.store.container(&record.id).join("upper"))?;
        let lower = record.options.root.open_lower((&self.store, &record.id))?;
        let hidden = if record.options.root == Root::Host { self.hidden_of_host() } else { Hidden::default() };
        let mut comparison = Comparison { hidden, found: Vec::new() };
        comparison.folder(&upper, Some(&lower), (Path::new("/"), DEEPEST))?;
        let mut found = comparison.found;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// The same of a container whose root is a copy.
    fn changes_of_copy(&self, record: &Record) -> Result<Vec<Difference>> {
        let found = self.compare_copy(record)?.into_iter().map(|found| Difference {
            changed: match found.change {
                Change::Added => Changed::Added,
                Change::Modified => Changed::Modified,
                Change::Deleted => Changed::Deleted,
            },
            path: Path::new("/").join(OsString::from_vec(found.path)),
        });
        let mut found: Vec<Difference> = found.collect();
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// What has become of the copy that is a container's root.
    pub(crate) fn compare_copy(&self, record: &Record) -> Result<Vec<image::layer::Changed>> {
        self.with_copy(record, image::layer::compare)
    }

    /// What `work` finds of the copy that is a container's root.
    pub(crate) fn with_copy<T>(&self, record: &Record, work: impl FnOnce(&Copied<'_>) -> Result<T>) -> Result<T> {
        let layers = record.options.root.copied((&self.store, &record.id))?;
        let layers: Vec<_> = layers.iter().map(AsFd::as_fd).collect();
        let copy = images::open_folder(&self.store.container(&record.id).join("upper"))?;
        // The record is made right after the copy.
        let (tv_sec, tv_nsec) = (record.created.as_second(), record.created.subsec_nanosecond().into());
        let since = Timespec { tv_sec, tv_nsec };
        work(&Copied { copy: copy.as_fd(), layers: &layers, remembers: remembers()?, since })
    }

    /// What carboy itself hides of the host.
    fn hidden_of_host(&self) -> Hidden {
        let mut hidden = Hidden::default();
        let own = [&self.store.root, &self.store.run].into_iter().filter_map(|folder| fs::canonicalize(folder).ok());
        let empty = EMPTY_IN_HOST.iter().map(|(name, _)| Path::new("/").join(name));
        for folder in empty.chain(own) {
            hidden.above.extend(folder.ancestors().map(Path::to_path_buf));
            hidden.empty.insert(folder);
        }
        hidden
    }
}

/// Folders that carboy has put into the upper layer.
#[derive(Default)]
struct Hidden {
    /// Those that are empty for the container.
    empty: BTreeSet<PathBuf>,
    /// These and the folders above them.
    above: BTreeSet<PathBuf>,
}

struct Comparison {
    hidden: Hidden,
    found: Vec<Difference>,
}

impl Comparison {
    /// Compares a folder of the upper layer with that of the lower one; whether anything in it has changed.
    fn folder(&mut self, upper: &OwnedFd, lower: Option<&OwnedFd>, (path, deepest): (&Path, u32)) -> Result<bool> {
        let action = || format!("compare {}", path.display());
        let deepest = deepest.checked_sub(1).ok_or(Errno::LOOP).doing(action)?;
        let before = self.found.len();
        let names = names(upper).doing(action)?;
        // Nothing of the lower folder shows through an opaque one.
        let covered = lower.filter(|_| is_opaque(upper));
        if let Some(lower) = covered.filter(|_| !self.hidden.empty.contains(path)) {
            for name in self::names(lower).doing(action)?.difference(&names) {
                self.note(Changed::Deleted, path, name);
            }
        }
        let lower = lower.filter(|_| !self.hidden.empty.contains(path));
        for name in &names {
            self.entry((upper, lower), name, (path, deepest))?;
        }
        Ok(self.found.len() > before)
    }

    fn entry(
        &mut self,
        (upper, lower): (&OwnedFd, Option<&OwnedFd>),
        name: &CStr,
        (path, deepest): (&Path, u32),
    ) -> Result<()> {
        let inside = path.join(OsString::from_vec(name.to_bytes().to_vec()));
        let action = || format!("compare {}", inside.display());
        let new = match statat(upper, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            new => new.doing(action)?,
        };
        let old = match lower.map(|lower| statat(lower, name, AtFlags::SYMLINK_NOFOLLOW)) {
            None | Some(Err(Errno::NOENT)) => None,
            Some(old) => Some(old.doing(action)?),
        };
        let is_whiteout = kind(&new) == FileType::CharacterDevice && new.st_rdev == 0;
        let changed = match &old {
            None if is_whiteout => return Ok(()),
            None => Changed::Added,
            Some(_) if is_whiteout => Changed::Deleted,
            Some(_) => Changed::Modified,
        };
        if kind(&new) != FileType::Directory {
            self.found.push(Difference { changed, path: inside });
            return Ok(());
        }
        let was_folder = old.as_ref().is_some_and(|old| kind(old) == FileType::Directory);
        let same = was_folder && (self.hidden.above.contains(&inside) || old.is_some_and(|old| looks_same(&old, &new)));
        let below = match lower.filter(|_| was_folder) {
            Some(lower) => Some(open_folder(lower, name).doing(action)?),
            None => None,
        };
        let folder = match open_folder(upper, name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            folder => folder.doing(action)?,
        };
        if self.folder(&folder, below.as_ref(), (&inside, deepest))? || !same {
            self.found.push(Difference { changed, path: inside });
        }
        Ok(())
    }

    fn note(&mut self, changed: Changed, path: &Path, name: &CStr) {
        self.found.push(Difference { changed, path: path.join(OsString::from_vec(name.to_bytes().to_vec())) });
    }
}

const fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// Whether a folder was copied up for what is in it alone.
fn looks_same(old: &Stat, new: &Stat) -> bool {
    let looks = |found: &Stat| (found.st_mode, found.st_uid, found.st_gid, found.st_mtime, found.st_mtime_nsec);
    looks(old) == looks(new)
}

fn is_opaque(folder: &OwnedFd) -> bool {
    let mut value = [0_u8; 1];
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| fgetxattr(folder, *name, &mut value[..]) == Ok(1) && value == *b"y")
}

fn open_folder(above: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    openat(above, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn names(folder: &OwnedFd) -> rustix::io::Result<BTreeSet<CString>> {
    let opened = openat(folder.as_fd(), c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = BTreeSet::new();
    let mut space = [const { MaybeUninit::uninit() }; 16 << 10];
    let mut entries = RawDir::new(&opened, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.insert(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
