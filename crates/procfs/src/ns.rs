//! /proc/PID/ns: namespaces(7). A namespace is known by device and inode of its file; nothing else tells two apart.

use std::ffi::CString;
use std::fmt;
use std::os::fd::BorrowedFd;

use std::os::fd::{AsFd, AsRawFd};

use error::{Doing, Errno};
use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, statat};
use serde::{Deserialize, Serialize};

use crate::pid::HostPid;

/// The kinds of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Mounts.
    Mnt,
    /// Process ids.
    Pid,
    /// Network devices, addresses, ports.
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host name and NIS domain name.
    Uts,
    /// User and group ids, and capabilities.
    User,
    /// The root of the cgroup tree.
    Cgroup,
    /// Offsets of the monotonic and boot-time clocks.
    Time,
}

/// The path of a process's namespace file, as OCI's `linux.namespaces[].path` wants it. A number can go to another
/// process: whoever opens the path makes sure, by a handle held meanwhile, that the process was still the same one.
#[must_use]
pub fn path(pid: HostPid, kind: &str) -> String {
    format!("/proc/{}/ns/{kind}", pid.0)
}

/// The kind and the number by which the kernel names an open namespace file: `net:[4026531840]`. Another file's name is
/// its path.
///
/// # Errors
/// A kernel error.
pub fn name_of(file: impl AsFd) -> error::Result<String> {
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let name = std::fs::read_link(&link).doing(|| format!("read {link}"))?;
    Ok(name.to_string_lossy().into_owned())
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::Mnt, Self::Pid, Self::Net, Self::Ipc, Self::Uts, Self::User, Self::Cgroup, Self::Time];

    /// Its name in /proc/PID/ns.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mnt => "mnt",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }
}

/// What names a namespace while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId {
    /// The device of its file.
    pub dev: u64,
    /// The inode of its file.
    pub ino: u64,
}

impl fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ino.fmt(f)
    }
}

/// What can be seen of one namespace of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It is this one.
    Id(NamespaceId),
    /// There is none: the kernel lacks the kind, or the process is a zombie and has left it.
    Absent,
    /// It may not be seen (`EACCES`, `EPERM`), or cannot be.
    Blind(Errno),
}

impl Sight {
    /// The namespace, where it could be seen.
    #[must_use]
    pub const fn id(self) -> Option<NamespaceId> {
        match self {
            Self::Id(id) => Some(id),
            Self::Absent | Self::Blind(_) => None,
        }
    }
}

/// Reads the namespaces of the process whose folder this is.
pub(crate) fn read(process: BorrowedFd<'_>) -> Result<[(Kind, Sight); 8], Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let ns = openat(process, "ns", flags, Mode::empty())?;
    let seen = Kind::ALL.map(|kind| (kind, sight(&ns, kind.name())));
    // A process that ends meanwhile shows nothing either; then its folder is gone too.
    statat(process, "ns", AtFlags::empty())?;
    Ok(seen)
}

/// Reads the names that the kernel has for them, as `net:[4026531840]`; `None` for what is absent or may not be seen. Two
/// processes have the same name for the same namespace. The kernel makes no file to tell it, as it does for [`read`].
pub(crate) fn read_names(process: BorrowedFd<'_>) -> Result<[(Kind, Option<CString>); 8], Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let ns = openat(process, "ns", flags, Mode::empty())?;
    let read = Kind::ALL.map(|kind| (kind, readlinkat(&ns, kind.name(), Vec::new()).ok()));
    statat(process, "ns", AtFlags::empty())?;
    Ok(read)
}

/// Reads one of them.
pub(crate) fn read_one(process: BorrowedFd<'_>, kind: Kind) -> Result<Sight, Errno> {
    let seen = sight(process, &format!("ns/{}", kind.name()));
    if seen == Sight::Absent {
        statat(process, "ns", AtFlags::empty())?;
    }
    Ok(seen)
}

fn sight(folder: impl AsFd, name: &str) -> Sight {
    match statat(folder, name, AtFlags::empty()) {
        Ok(stat) => Sight::Id(NamespaceId { dev: stat.st_dev, ino: stat.st_ino }),
        Err(Errno::NOENT) => Sight::Absent,
        Err(errno) => Sight::Blind(errno),
    }
}
