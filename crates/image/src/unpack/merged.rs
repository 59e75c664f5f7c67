//! A layer unpacked over the layers below it, which are there and change: what it removes goes, what it only passes through
//! keeps its time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use error::Result;
use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags, Timespec, fstat, futimens, openat, openat2};
use rustix::io::Errno;

use super::{Directory, Form, IN_ROOT, Unpacker, dot_if_empty, open_in_root, split, times};
use crate::remove::remove_tree;

/// What is known of a layer beside its files.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// The paths that it brings, with those above them.
    brought: BTreeSet<Vec<u8>>,
    /// Those of them that have an entry.
    entries: BTreeSet<Vec<u8>>,
    /// Times of directories whose paths lead over symbolic links. They may be brought by other paths.
    behind_links: BTreeMap<Vec<u8>, Timespec>,
}

impl Merged {
    /// The path of an entry.
    pub(super) fn entry(&mut self, path: &[u8]) {
        self.entries.insert(path.to_vec());
        self.brings(path);
    }

    fn brings(&mut self, path: &[u8]) {
        let mut path = path;
        while !path.is_empty() && self.brought.insert(path.to_vec()) {
            path = split(path).0;
        }
    }
}

/// Bytes of directory entries that are read at once.
const ENTRIES: usize = 16 << 10;
const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Unpacker<'_> {
    /// Removes what the layers below have at `path`; what this layer has brought there stays.
    pub(super) fn remove_from_below(&mut self, path: &[u8]) -> Result<()> {
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        let Form::Merged(merged) = &mut self.form else { return Ok(()) };
        merged.brings(above);
        if merged.brought.contains(path) {
            self.is_fresh(path);
            return self.empty(&parent, name, path);
        }
        self.parent = None;
        remove_tree(parent.as_fd(), OsStr::from_bytes(name))
    }

    /// Removes what the layers below have in the directory `path`.
    pub(super) fn empty_from_below(&mut self, path: &[u8]) -> Result<()> {
        let directory = self.parent(path)?;
        if let Form::Merged(merged) = &mut self.form {
            merged.brings(path);
        }
        self.empty(&directory, b".", path)
    }

    /// Removes from the directory `name` in `parent`, whose whole path is `path`, what this layer did not bring.
    fn empty(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<()> {
        let directory = match openat(parent, name, READ_DIRECTORY, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            directory => directory.map_err(|errno| self.failed("open", errno))?,
        };
        let Form::Merged(merged) = &self.form else { return Ok(()) };
        let (mut removed, mut kept) = (Vec::new(), Vec::new());
        let mut space = Vec::with_capacity(ENTRIES);
        let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| self.failed("list", errno))?;
            let name: CString = entry.file_name().to_owned();
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            let below = if path.is_empty() { name.as_bytes().to_vec() } else { [path, b"/", name.as_bytes()].concat() };
            if !merged.brought.contains(&below) {
                removed.push(name);
            } else if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
                kept.push((name, below));
            }
        }
        self.parent = None;
        for name in removed {
            remove_tree(directory.as_fd(), OsStr::from_bytes(name.as_bytes()))?;
        }
        for (name, below) in kept {
            self.is_fresh(&below);
            self.empty(&directory, name.as_bytes(), &below)?;
        }
        Ok(())
    }

    /// A directory that stays is no longer the one of below.
    fn is_fresh(&mut self, path: &[u8]) {
        match &self.form {
            Form::Merged(merged) if !merged.entries.contains(path) => {
                // Nothing need be removed from it.
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let mtime =
                    Timespec { tv_sec: now.as_secs().try_into().unwrap_or(0), tv_nsec: now.subsec_nanos().into() };
                let fresh = Directory { mtime: Some(mtime), ..Directory::implied(None) };
                self.directories.insert(path.to_vec(), fresh);
            }
            _ => {}
        }
    }

    /// Remembers the time of a directory that is about to change and has no entry of its own so far.
    pub(super) fn keep_time(&mut self, path: &[u8], directory: &OwnedFd) -> Result<()> {
        let Form::Merged(merged) = &mut self.form else { return Ok(()) };
        if self.directories.contains_key(path) || merged.behind_links.contains_key(path) {
            return Ok(());
        }
        let found = fstat(directory).map_err(|errno| self.failed("look at the directory of", errno))?;
        let mtime = Timespec { tv_sec: found.st_mtime, tv_nsec: found.st_mtime_nsec.try_into().unwrap_or_default() };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let straight = IN_ROOT.union(ResolveFlags::NO_SYMLINKS);
        if openat2(&*self.root, dot_if_empty(path), flags, Mode::empty(), straight).is_err() {
            if let Form::Merged(merged) = &mut self.form {
                merged.behind_links.insert(path.to_vec(), mtime);
            }
            return Ok(());
        }
        let owner = (found.st_uid, found.st_gid);
        let there = Directory { mode: found.st_mode & 0o7777, owner, mtime: Some(mtime), xattrs: Vec::new() };
        self.directories.insert(path.to_vec(), there);
        Ok(())
    }

    /// Gives the directories behind symbolic links their times back, before those that have entries get theirs.
    pub(super) fn set_kept_times(&mut self) -> Result<()> {
        let Form::Merged(merged) = &mut self.form else { return Ok(()) };
        for (path, mtime) in std::mem::take(&mut merged.behind_links) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            if let Ok(directory) = open_in_root(&self.root, &path, flags) {
                futimens(&directory, &times(mtime)).map_err(|errno| self.failed("set the time of", errno))?;
            }
        }
        Ok(())
    }
}
