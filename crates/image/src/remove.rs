//! Directory trees removed by descriptors: no symbolic link is followed, no mount is crossed, no path is walked twice.
//!
//! A tree may be of any depth: at most [`DEPTH`] directories are open, what lies deeper is moved up beside them first.

use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use error::{Error, Kernel, Refused, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom};
use rustix::fs::{openat2, renameat_with, seek, unlinkat};
use rustix::io::Errno;

/// Directories that are open at once.
const DEPTH: usize = 64;
/// Names of subdirectories that are kept of one directory at once.
const PENDING: usize = 1024;
/// Bytes of directory entries that are read at once.
const ENTRIES: usize = 16 << 10;

/// Removes `name` in `parent`, and all that is in it if it is a directory. What does not exist is removed already.
///
/// Symbolic links are removed, never followed. A mount in the tree stays, with the directories above it. The tree is
/// expected to be at rest: entries that others make meanwhile may stay as well.
///
/// # Errors
/// `Refused` if `name` is not a single name. `Kernel` for the first entry that could not be removed; all others are
/// removed all the same.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let bytes = name.as_bytes();
    let single = !matches!(bytes, b"" | b"." | b"..") && !bytes.contains(&b'/');
    let name = CString::new(bytes).ok().filter(|_| single).ok_or_else(|| {
        Refused::new("the name to remove", name.to_string_lossy(), "is not the name of an entry in a directory")
    })?;
    let mut removal = Removal { parent, frames: Vec::new(), moved: 0, removed: 0, failed: None };
    match unlink(parent, &name, FileType::Directory) {
        Ok(Outcome::Gone) => {}
        Ok(Outcome::Occupied) => {
            removal.descend(name);
            removal.run();
        }
        Err(errno) => removal.fail("remove", &name, errno),
    }
    removal.failed.map_or(Ok(()), Err)
}

/// A directory that is being emptied.
struct Frame {
    name: CString,
    dir: OwnedFd,
    /// Subdirectories that are not empty and were not entered yet.
    pending: Vec<CString>,
    /// The last reading left entries out that have to be looked for again.
    unread: bool,
    /// As many entries of the tree were removed when it was read last: without progress it is not read again.
    removed_before: u64,
}

struct Removal<'a> {
    parent: BorrowedFd<'a>,
    frames: Vec<Frame>,
    /// Directories moved up so far: their new names.
    moved: u64,
    /// Entries removed so far.
    removed: u64,
    failed: Option<Error>,
}

enum Outcome {
    Gone,
    /// A directory that is not empty.
    Occupied,
}

impl Removal<'_> {
    fn run(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            if let Some(name) = frame.pending.pop() {
                self.descend(name);
            } else if frame.unread && frame.removed_before < self.removed {
                self.read();
            } else {
                self.ascend();
            }
        }
    }

    /// Opens `name` in the innermost directory and reads it, or moves it up where too many are open.
    fn descend(&mut self, name: CString) {
        if self.frames.len() >= DEPTH {
            return self.move_up(&name);
        }
        let at = self.frames.last().map_or(self.parent, |frame| frame.dir.as_fd());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match openat2(at, &*name, flags, Mode::empty(), resolve) {
            Ok(dir) => {
                self.frames.push(Frame { name, dir, pending: Vec::new(), unread: true, removed_before: 0 });
                self.read();
            }
            Err(Errno::NOENT) => {}
            Err(errno) => self.fail("open", &name, errno),
        }
    }

    /// Removes what can be removed at once and keeps the names of the subdirectories that are not empty.
    fn read(&mut self) {
        let Some(mut frame) = self.frames.pop() else { return };
        frame.unread = false;
        frame.removed_before = self.removed;
        let mut failed: Vec<(&str, CString, Errno)> = Vec::new();
        let mut space = [const { MaybeUninit::uninit() }; ENTRIES];
        let mut entries = RawDir::new(&frame.dir, &mut space);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => {
                    failed.push(("read", CString::default(), errno));
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match unlink(frame.dir.as_fd(), name, entry.file_type()) {
                Ok(Outcome::Occupied) if frame.pending.len() < PENDING => frame.pending.push(name.to_owned()),
                Ok(Outcome::Occupied) => frame.unread = true,
                Ok(Outcome::Gone) => self.removed += 1,
                Err(errno) => failed.push(("remove", name.to_owned(), errno)),
            }
        }
        if frame.unread {
            let _position = seek(&frame.dir, SeekFrom::Start(0));
        }
        self.frames.push(frame);
        for (action, name, errno) in failed {
            self.fail(action, &name, errno);
        }
    }

    /// Removes the innermost directory, which is empty now unless something in it failed.
    fn ascend(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        let at = self.frames.last().map_or(self.parent, |above| above.dir.as_fd());
        match unlinkat(at, &*frame.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => self.removed += 1,
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.failed.is_some() => {}
            Err(errno) => self.fail("remove", &frame.name, errno),
        }
    }

    /// Moves `name` from the innermost directory into the outermost, which is then read again.
    fn move_up(&mut self, name: &CStr) {
        let moved = loop {
            let (Some(outer), Some(inner)) = (self.frames.first(), self.frames.last()) else { return };
            self.moved += 1;
            let new_name = format!(".carboy-removed-{}", self.moved);
            match renameat_with(&inner.dir, name, &outer.dir, &*new_name, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                other => break other.map(|()| CString::new(new_name).unwrap_or_default()),
            }
        };
        match (moved, self.frames.first_mut()) {
            (Ok(new_name), Some(outer)) => outer.pending.push(new_name),
            (Err(errno), _) => self.fail("move up", name, errno),
            (Ok(_), None) => {}
        }
    }

    /// Keeps the first failure, with the path from the tree's own name on.
    fn fail(&mut self, action: &str, name: &CStr, errno: Errno) {
        if self.failed.is_some() {
            return;
        }
        let mut path = Vec::new();
        for part in self.frames.iter().map(|frame| &*frame.name).chain([name]).filter(|part| !part.is_empty()) {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part.to_bytes());
        }
        let path = String::from_utf8_lossy(&path).escape_debug().to_string();
        let error = Kernel::new(format!("{action} {path}"), errno);
        self.failed = Some(match errno {
            Errno::XDEV | Errno::BUSY => error.hint("something is mounted there: unmount it first").into(),
            _ => error.into(),
        });
    }
}

/// Removes one entry unless it is a directory with entries of its own. The type saves a system call, but may be wrong.
fn unlink(at: BorrowedFd<'_>, name: &CStr, file_type: FileType) -> rustix::io::Result<Outcome> {
    let as_directory = || match unlinkat(at, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(Outcome::Gone),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Outcome::Occupied),
        Err(errno) => Err(errno),
    };
    let as_file = || match unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(Outcome::Gone),
        Err(errno) => Err(errno),
    };
    if file_type == FileType::Directory {
        as_directory().or_else(|errno| if errno == Errno::NOTDIR { as_file() } else { Err(errno) })
    } else {
        as_file().or_else(|errno| if errno == Errno::ISDIR { as_directory() } else { Err(errno) })
    }
}
