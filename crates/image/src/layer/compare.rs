//! What has become of a copy of layers: each of its files beside the one that the layers show at its path.
//!
//! A file is the same when its kind, mode, owner, size and time of change are. Programs set that time as they like, but not when
//! the file was last touched in any way (ctime, inode(7)): one that was touched after the copy was made has its attributes and
//! its content compared, too. Directories are opened by their paths, one at a time, and no symbolic link is followed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use error::{Doing, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, Timespec};
use rustix::fs::{fgetxattr, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::Remembers;
use crate::unpack::{dot_if_empty, is_whiteout, shown};
use crate::walk::xattrs;

/// What has become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The layers have nothing there.
    Added,
    /// It is another; a directory also where something in it has changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// A path that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What has become of it.
    pub change: Change,
    /// Its path from the root on, without a leading slash.
    pub path: Vec<u8>,
    /// The length of a file that is new or another, in bytes; 0 for another name of one that was counted.
    pub bytes: u64,
}

/// A directory that was copied from layers.
#[derive(Clone, Copy)]
pub struct Copied<'a> {
    /// The directory.
    pub copy: BorrowedFd<'a>,
    /// The layers, the topmost first.
    pub layers: &'a [BorrowedFd<'a>],
    /// Whose attributes their notes are in.
    pub remembers: Remembers,
    /// When the copy was whole.
    pub since: Timespec,
}

/// Compares a directory with what the layers show that it was copied from. The changes are sorted by path.
///
/// # Errors
/// `Kernel` for what cannot be read.
pub fn compare(copied: &Copied<'_>) -> Result<Vec<Changed>> {
    let all = (0..copied.layers.len()).collect();
    let mut comparison = Comparison { of: *copied, found: Vec::new(), counted: BTreeSet::new() };
    comparison.directory(&[], all)?;
    let mut found = comparison.found;
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

struct Comparison<'a> {
    of: Copied<'a>,
    found: Vec<Changed>,
    /// Files with several names, by device and inode.
    counted: BTreeSet<(u64, u64)>,
}

/// What the layers show of a name: the file, and the numbers of the layers whose directories it is made of.
struct Shown {
    found: Stat,
    of: Vec<usize>,
}

impl Comparison<'_> {
    /// Compares a directory that `of` the layers make together; whether anything in it has changed.
    fn directory(&mut self, path: &[u8], of: Vec<usize>) -> Result<bool> {
        let before = self.found.len();
        let mut below = self.below(path, &of)?;
        let Some(copy) = open_directory(self.of.copy, path)? else { return Ok(false) };
        let mut within = Vec::new();
        for name in names(&copy).doing(|| format!("list {}", shown(path)))? {
            let inside = join(path, &name);
            let now = match statat(&copy, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                now => now.doing(|| format!("look at {}", shown(&inside)))?,
            };
            within.push((inside, now, below.remove(&name)));
        }
        drop(copy);
        for name in below.into_keys() {
            self.found.push(Changed { change: Change::Deleted, path: join(path, &name), bytes: 0 });
        }
        within.into_iter().try_for_each(|(path, now, then)| self.entry(path, &now, then))?;
        Ok(self.found.len() > before)
    }

    fn entry(&mut self, path: Vec<u8>, now: &Stat, then: Option<Shown>) -> Result<()> {
        let is_directory = kind(now) == FileType::Directory;
        let change = if then.is_some() { Change::Modified } else { Change::Added };
        let mut is_same = match &then {
            Some(then) => looks(now) == looks(&then.found) && self.holds_the_same(&path, now, then)?,
            None => false,
        };
        if is_directory {
            let was_directory = then.filter(|then| kind(&then.found) == FileType::Directory);
            let of = was_directory.map_or_else(Vec::new, |then| then.of);
            is_same &= !self.directory(&path, of)?;
        }
        if !is_same {
            let bytes = if is_directory { 0 } else { self.count(now) };
            self.found.push(Changed { change, path, bytes });
        }
        Ok(())
    }

    /// The length of a regular file whose other names were not met yet.
    fn count(&mut self, found: &Stat) -> u64 {
        let counts = found.st_nlink < 2 || self.counted.insert((found.st_dev, found.st_ino));
        if counts && kind(found) == FileType::RegularFile { found.st_size.try_into().unwrap_or(0) } else { 0 }
    }

    /// Whether a file has the attributes and the content of before, if it was touched at all.
    fn holds_the_same(&self, path: &[u8], now: &Stat, then: &Shown) -> Result<bool> {
        let is_read = matches!(kind(now), FileType::Directory | FileType::RegularFile | FileType::Symlink);
        let was_touched =
            (now.st_ctime, i128::from(now.st_ctime_nsec)) >= (self.of.since.tv_sec, self.of.since.tv_nsec.into());
        let Some(layer) = then.of.first().and_then(|at| self.of.layers.get(*at)) else { return Ok(false) };
        if !is_read || !was_touched {
            return Ok(true);
        }
        let action = || format!("read {}", shown(path));
        let is_symlink = kind(now) == FileType::Symlink;
        let flags = if is_symlink { OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC } else { READ };
        let open = |top: BorrowedFd<'_>| match openat2(top, dot_if_empty(path), flags, Mode::empty(), WITHIN) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::XDEV) => Ok(None),
            file => file.map(Some).doing(action),
        };
        // What is mounted below a folder that was copied has not been.
        let (Some(then), Some(copy)) = (open(*layer)?, open(self.of.copy)?) else { return Ok(true) };
        if is_symlink {
            return Ok(readlinkat(&then, "", []).doing(action)? == readlinkat(&copy, "", []).doing(action)?);
        }
        let attributes = |file: &OwnedFd| -> Result<Vec<_>> {
            let mut attributes = xattrs(file.as_fd(), None).doing(action)?;
            attributes.sort();
            Ok(attributes)
        };
        let same = attributes(&then)? == attributes(&copy)?;
        Ok(same && (kind(now) == FileType::Directory || is_same_content(then, copy).doing(action)?))
    }

    /// What the layers show in a directory, by name.
    fn below(&self, path: &[u8], of: &[usize]) -> Result<BTreeMap<CString, Shown>> {
        let mut all: BTreeMap<CString, Option<Shown>> = BTreeMap::new();
        // Names below which no further layer is seen.
        let mut closed: BTreeSet<CString> = BTreeSet::new();
        for at in of {
            let Some(layer) = self.of.layers.get(*at) else { continue };
            let Some(directory) = open_directory(*layer, path)? else { continue };
            for name in names(&directory).doing(|| format!("list {}", shown(path)))? {
                let action = || format!("look at {}", shown(&join(path, &name)));
                if closed.contains(&name) {
                    continue;
                }
                let found = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW).doing(action)?;
                let is_directory = kind(&found) == FileType::Directory;
                if kind(&found) == FileType::Socket {
                    continue;
                }
                if !is_directory || is_opaque(&directory, &name, self.of.remembers) {
                    closed.insert(name.clone());
                }
                match all.get_mut(&name) {
                    None => {
                        let shown = (!is_whiteout(&found)).then(|| Shown { found, of: vec![*at] });
                        all.insert(name, shown);
                    }
                    Some(Some(above)) if is_directory => above.of.push(*at),
                    Some(_) => {}
                }
            }
        }
        Ok(all.into_iter().filter_map(|(name, shown)| Some((name, shown?))).collect())
    }
}

const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// `None` for what is none any more.
fn open_directory(top: BorrowedFd<'_>, path: &[u8]) -> Result<Option<OwnedFd>> {
    match openat2(top, dot_if_empty(path), READ | OFlags::DIRECTORY, Mode::empty(), WITHIN) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        opened => opened.map(Some).doing(|| format!("open {}", shown(path))),
    }
}

fn is_same_content(one: OwnedFd, other: OwnedFd) -> std::io::Result<bool> {
    let [mut one, mut other] = [one, other].map(|file| BufReader::with_capacity(64 << 10, File::from(file)));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if length == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left.get(..length) != right.get(..length) {
            return Ok(false);
        }
        one.consume(length);
        other.consume(length);
    }
}

fn is_opaque(above: &OwnedFd, name: &CStr, remembers: Remembers) -> bool {
    let mut value = [0_u8; 1];
    let opened = openat2(above, name, READ | OFlags::DIRECTORY, Mode::empty(), WITHIN);
    opened.is_ok_and(|opened| fgetxattr(&opened, remembers.opaque(), &mut value[..]) == Ok(1) && value == *b"y")
}

fn names(directory: &OwnedFd) -> rustix::io::Result<BTreeSet<CString>> {
    let mut names = BTreeSet::new();
    let mut space = [const { MaybeUninit::uninit() }; 16 << 10];
    let mut entries = RawDir::new(directory, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.insert(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

const fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// The size of a directory says nothing.
fn looks(found: &Stat) -> impl PartialEq + use<> {
    let size = if kind(found) == FileType::Directory { 0 } else { found.st_size };
    (found.st_mode, found.st_uid, found.st_gid, found.st_rdev, size, found.st_mtime, found.st_mtime_nsec)
}

fn join(path: &[u8], name: &CStr) -> Vec<u8> {
    if path.is_empty() { name.to_bytes().to_vec() } else { [path, b"/", name.to_bytes()].concat() }
}
