//! Where `cp` reads from and writes to: Docker's rules for what is a folder, what exists, and what a slash at the end means.
//!
//! A path of a container is resolved below its root alone, openat2(2) `RESOLVE_IN_ROOT`, and what it leads to is held by a
//! handle from then on. A path of the host is resolved as its caller would.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use error::{Errno, Kernel, Refused, RefusedKind, Result};
use rustix::fs::{CWD, Mode, OFlags, readlinkat};
use sys::path::{Access, Within, open_below};

/// What is done with a symbolic link that is to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is copied itself.
    Kept,
    /// What it leads to is copied.
    Followed,
}

/// Whose paths they are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    /// The host's.
    Host,
    /// Those of a container, by its root.
    Container(BorrowedFd<'a>),
}

/// What is copied.
#[derive(Debug)]
pub(super) struct From {
    /// A handle on it.
    pub(super) handle: OwnedFd,
    /// Its name; empty where what is in a folder is meant.
    pub(super) name: Vec<u8>,
    pub(super) is_folder: bool,
}

/// Where it goes.
#[derive(Debug)]
pub(super) struct Into {
    /// The folder in which something is made.
    pub(super) folder: OwnedFd,
    /// What it is called there; empty for what is in a folder.
    pub(super) name: Vec<u8>,
}

/// How many links are followed, as the kernel has it.
const MOST_LINKS: u32 = 40;

impl Side<'_> {
    fn open(self, path: &str, links: Links) -> rustix::io::Result<OwnedFd> {
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        match (self, links) {
            (Side::Host, Links::Followed) => sys::path::open_handle(&path),
            (Side::Host, Links::Kept) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(CWD, &path, flags, Mode::empty())
            }
            (Side::Container(root), Links::Followed) => open_below(root, &path, Access::Handle, Within::Root),
            (Side::Container(root), Links::Kept) => open_below(root, &path, Access::HandleNoFollow, Within::Root),
        }
    }

    /// What a path names.
    pub(super) fn find(self, path: &str, links: Links) -> Result<From> {
        let links = if says_folder(path) { Links::Followed } else { links };
        let handle = self.open(path, links).map_err(|errno| missing(path, errno))?;
        let is_folder = is_folder(&handle).map_err(|errno| Kernel::new(format!("look at {path}"), errno))?;
        if says_folder(path) && !is_folder {
            return Err(Kernel::new(format!("copy {path}"), Errno::NOTDIR).into());
        }
        let name = if says_contents(path) { Vec::new() } else { base(path).as_bytes().to_vec() };
        Ok(From { handle, name, is_folder })
    }

    /// Where something goes that is copied to a path.
    pub(super) fn destination(self, path: &str, from: &From) -> Result<Into> {
        match self.open(path, Links::Followed) {
            Ok(found) if is_folder(&found).is_ok_and(|is| is) => Ok(Into { folder: found, name: from.name.clone() }),
            Ok(_) if from.is_folder || says_folder(path) => {
                let reason = if from.is_folder { "is no folder, and one is copied to it" } else { "is no folder" };
                Err(Refused::new("the path", path, reason).kind(RefusedKind::Conflict).into())
            }
            Err(Errno::NOENT) if says_folder(path) && !from.is_folder => {
                let refused = Refused::new("the path", path, "does not exist: destination directory must exist");
                Err(refused.kind(RefusedKind::NoSuchObject).into())
            }
            Ok(_) | Err(Errno::NOENT) => self.parent(path),
            Err(errno) => Err(missing(path, errno)),
        }
    }

    /// A folder that exists already.
    pub(super) fn folder(self, path: &str) -> Result<OwnedFd> {
        let handle = self.open(path, Links::Followed).map_err(|errno| missing(path, errno))?;
        if is_folder(&handle).is_ok_and(|is| is) {
            return Ok(handle);
        }
        let refused = Refused::new("the path", path, "is no folder, and an archive is unpacked into one");
        Err(refused.kind(RefusedKind::Conflict).into())
    }

    /// The folder and the name of what a path leads to, also where a link at its end leads to what is not there.
    fn parent(self, path: &str) -> Result<Into> {
        let mut path = path.trim_end_matches('/').trim_end_matches("/.").trim_end_matches('/').to_owned();
        for _ in 0..MOST_LINKS {
            let (above, name) = match path.rsplit_once('/') {
                Some((above, name)) => (format!("{above}/"), name.to_owned()),
                None => (".".to_owned(), path.clone()),
            };
            let folder = self.open(&above, Links::Followed).map_err(|errno| missing(&above, errno))?;
            match readlinkat(&folder, name.as_str(), Vec::new()) {
                Ok(target) => {
                    let target = target.to_string_lossy().into_owned();
                    path = if target.starts_with('/') {
                        target
                    } else {
                        format!("{}/{target}", above.trim_end_matches('/'))
                    };
                }
                Err(_) => return Ok(Into { folder, name: name.into_bytes() }),
            }
        }
        Err(Kernel::new(format!("open {path}"), Errno::LOOP).into())
    }
}

fn is_folder(handle: &OwnedFd) -> rustix::io::Result<bool> {
    sys::path::is_folder(handle.as_fd())
}

/// Whether only a folder can be meant.
fn says_folder(path: &str) -> bool {
    path.ends_with('/') || says_contents(path)
}

/// Whether what is in a folder is meant.
fn says_contents(path: &str) -> bool {
    base(path).is_empty() || path.ends_with("/.") || matches!(base(path), "." | "..")
}

fn base(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, base)| base)
}

fn missing(path: &str, errno: Errno) -> error::Error {
    match errno {
        Errno::NOENT => {
            Refused::new("the path", path, "no such file or directory").kind(RefusedKind::NoSuchObject).into()
        }
        errno => Kernel::new(format!("open {path}"), errno).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_end_of_a_path_says_is_dockers() {
        let said = |path| (says_folder(path), says_contents(path), base(path));
        assert_eq!(said("/a/b"), (false, false, "b"));
        assert_eq!(said("/a/b/"), (true, false, "b"));
        assert_eq!(said("/a/b/."), (true, true, "."));
        assert_eq!(said("."), (true, true, "."));
        assert_eq!(said("/"), (true, true, ""));
        assert_eq!(said("a.."), (false, false, "a.."));
    }
}
