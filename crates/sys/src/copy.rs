//! A folder's contents copied into another folder, through descriptors: getdents64(2), sendfile(2), xattr(7).
//!
//! No path is followed: every name is opened in the folder that it was read from, and a symbolic link is copied as one.
//! Permissions, owners, times and extended attributes come along; a file with several names becomes as many files.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, fgetxattr,
    flistxattr, fsetxattr, fstat, futimens, mkdirat, mknodat, openat, readlinkat_raw, sendfile, statat, symlinkat,
    utimensat,
};

use crate::raw::{fd, number, syscall};
use crate::{Errno, Result};

/// How many folders may lie within one another: each takes some of the caller's stack.
const DEEPEST: u32 = 256;
/// The longest target of a symbolic link, with its NUL.
const PATH_MAX: usize = 4096;
/// What is asked of sendfile at once.
const CHUNK: usize = 1 << 30;

/// Copies everything in the folder `from` into the empty folder `to`; both are handles that need not be readable.
///
/// # Errors
/// `ELOOP` for folders nested deeper than 256, `ESTALE` for a file that becomes another meanwhile, `ENOTDIR`; `ENOSPC`,
/// `EPERM` for a device that may not be made, `EINVAL` for an owner that the user namespace does not map.
pub fn contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let (from, to) = (folder(from, c".")?, folder(to, c".")?);
    copy_contents(from.as_fd(), to.as_fd(), DEEPEST)
}

/// Gives the folder `to` the permissions of the file `from`.
///
/// # Errors
/// fchmod(2).
pub fn permissions(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let stat = fstat(from)?;
    fchmod(folder(to, c".")?, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

/// Gives the folder `to` the owner, permissions, extended attributes and times of the folder `from`.
///
/// # Errors
/// As [`contents`].
pub fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let (from, to) = (folder(from, c".")?, folder(to, c".")?);
    copy_attributes(from.as_fd(), to.as_fd(), &fstat(&from)?)
}

fn folder(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// <linux/dirent.h> `struct linux_dirent64`: where the length and the name of an entry are.
const LENGTH_AT: usize = 16;
const NAME_AT: usize = 19;

fn copy_contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>, deepest: u32) -> Result<()> {
    let deepest = deepest.checked_sub(1).ok_or(Errno::LOOP)?;
    let mut buffer = [0_u8; 2048];
    loop {
        let words = [fd(from), buffer.as_mut_ptr() as usize, buffer.len(), 0, 0];
        // SAFETY: the kernel writes at most the buffer's length.
        let length = unsafe { syscall(number::GETDENTS64, words) }?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let length = rest.get(LENGTH_AT..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Errno::IO)?;
            let length = usize::from(u16::from_ne_bytes(*length));
            let name = rest.get(NAME_AT..length).ok_or(Errno::IO)?;
            let name = CStr::from_bytes_until_nul(name).map_err(|_| Errno::IO)?;
            if name != c"." && name != c".." {
                copy_entry(from, to, name, deepest)?;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, deepest: u32) -> Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU)?;
            let (source, copy) = (folder(from, name)?, folder(to, name)?);
            copy_contents(source.as_fd(), copy.as_fd(), deepest)?;
            copy_attributes(source.as_fd(), copy.as_fd(), &fstat(&source)?)
        }
        FileType::RegularFile => copy_file(from, to, name),
        FileType::Symlink => {
            copy_link(from, to, name)?;
            copy_owner_and_times(to, name, &stat)
        }
        kind => {
            mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode & 0o7777), stat.st_rdev)?;
            copy_owner_and_times(to, name, &stat)
        }
    }
}

/// What is opened may no longer be what was looked at, but it is waited for in no case.
#[inline(never)]
fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let closed = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let source = openat(from, name, OFlags::RDONLY | closed, Mode::empty())?;
    let stat = fstat(&source)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::STALE);
    }
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let copy = openat(to, name, new | closed, Mode::RUSR | Mode::WUSR)?;
    while sendfile(&copy, &source, None, CHUNK)? > 0 {}
    copy_attributes(source.as_fd(), copy.as_fd(), &stat)
}

#[inline(never)]
fn copy_link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut target = [0_u8; PATH_MAX];
    let length = readlinkat_raw(from, name, &mut target[..])?;
    if length == target.len() {
        return Err(Errno::NAMETOOLONG);
    }
    symlinkat(CStr::from_bytes_until_nul(&target).map_err(|_| Errno::NAMETOOLONG)?, to, name)
}

fn times(stat: &Stat) -> Timestamps {
    let time =
        |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanoseconds).unwrap_or(0) };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Of what is not opened: a link, a pipe, a socket, a device. Its permissions it got when it was made.
fn copy_owner_and_times(to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

/// A change of owner takes away set-id bits and capabilities, and every other change the times.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    copy_extended_attributes(from, to)?;
    futimens(to, &times(stat))
}

/// The lengths that the kernel allows: `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`.
const LONGEST: usize = 64 << 10;

/// One that the other file system cannot hold is left out.
#[inline(never)]
fn copy_extended_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let mut list = [0_u8; LONGEST];
    let length = match flistxattr(from, &mut list[..]) {
        Err(Errno::NOTSUP) => return Ok(()),
        listed => listed?,
    };
    let mut rest = list.get(..length).unwrap_or_default();
    while let Ok(name) = CStr::from_bytes_until_nul(rest) {
        copy_extended_attribute(from, to, name)?;
        rest = rest.get(name.count_bytes() + 1..).unwrap_or_default();
    }
    Ok(())
}

fn copy_extended_attribute(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut value = [0_u8; LONGEST];
    let length = match fgetxattr(from, name, &mut value[..]) {
        Err(Errno::NODATA) => return Ok(()),
        read => read?,
    };
    let value = value.get(..length).unwrap_or_default();
    match fsetxattr(to, name, value, rustix::fs::XattrFlags::empty()) {
        Err(Errno::NOTSUP) => Ok(()),
        set => set,
    }
}
