//! Paths below a directory that others can write to, resolved so that no link leads out of it: openat2(2), and what is
//! made there: mkdirat(2), mknodat(2), symlinkat(2).

use core::ffi::CStr;
use core::mem::size_of;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::raw::{AT_FDCWD, Arguments, everywhere, fd, number, owned, syscall};
use crate::{Errno, Result};

/// What to open a path for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A handle only (`O_PATH`).
    Handle,
    /// A handle on the name itself, also where it is a symbolic link.
    HandleNoFollow,
    /// Writing.
    Write,
    /// Reading and writing, as a terminal is opened, without making it the controlling one.
    Terminal,
}

/// How far a path may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// `/` and `..` end at the directory, as chroot has it (`RESOLVE_IN_ROOT`); no magic links.
    Root,
    /// Nowhere but below the directory, on the same mount, and through no symbolic link.
    Mount,
}

/// <linux/openat2.h> `struct open_how`.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const O_WRONLY: u64 = 0o1;
const O_RDWR: u64 = 0o2;
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_NOCTTY: u64 = 0o400;
const O_NOFOLLOW: u64 = if cfg!(target_arch = "aarch64") { 0o100_000 } else { 0o400_000 };
const O_PATH: u64 = 0o10_000_000;
const O_CLOEXEC: u64 = 0o2_000_000;

/// How often in a row something may be renamed or mounted on the host while a path with `..` is resolved: the kernel then
/// cannot tell whether that has led out of the folder.
pub const MOST_RENAMES: u32 = 1000;

fn openat2(directory: BorrowedFd<'_>, path: &CStr, how: &OpenHow) -> Result<OwnedFd> {
    let words: Arguments = [fd(directory), path.as_ptr() as usize, (&raw const *how) as usize, size_of::<OpenHow>(), 0];
    let mut renames = 0;
    let raw = loop {
        // SAFETY: the path and the structure live across the call, and its size is passed.
        match unsafe { syscall(everywhere::OPENAT2, words) } {
            Err(Errno::AGAIN) if renames < MOST_RENAMES => renames += 1,
            raw => break raw?,
        }
    };
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Opens `path` below `directory`.
///
/// # Errors
/// openat2(2): `EXDEV` or `ELOOP` where the path leads further than `within` allows.
pub fn open_below(directory: BorrowedFd<'_>, path: &CStr, access: Access, within: Within) -> Result<OwnedFd> {
    let flags = match access {
        Access::Handle => O_PATH,
        Access::HandleNoFollow => O_PATH | O_NOFOLLOW,
        Access::Write => O_WRONLY,
        Access::Terminal => O_RDWR | O_NOCTTY,
    };
    openat2(directory, path, &OpenHow { flags: flags | O_CLOEXEC, mode: 0, resolve: within.resolve() })
}

impl Within {
    const fn resolve(self) -> u64 {
        const NO_XDEV: u64 = 0x1;
        const NO_MAGICLINKS: u64 = 0x2;
        const NO_SYMLINKS: u64 = 0x4;
        const BENEATH: u64 = 0x8;
        const IN_ROOT: u64 = 0x10;
        match self {
            Self::Root => IN_ROOT | NO_MAGICLINKS,
            Self::Mount => BENEATH | NO_XDEV | NO_SYMLINKS | NO_MAGICLINKS,
        }
    }
}

/// A path from the working directory, as a handle.
///
/// # Errors
/// open(2).
pub fn open_handle(path: &CStr) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::openat(rustix::fs::CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// What to make where a path does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: `ENOENT`.
    Fails,
    /// A folder.
    Folder,
    /// An empty file, on which something can be mounted.
    File,
}

/// The longest path that the kernel takes, with its NUL.
const PATH_MAX: usize = 4096;

/// How many links to what is not there are followed, as the kernel has it for all links of a path.
const MOST_LINKS: u32 = 40;

/// Opens `path` below `root` as a handle, and makes what is missing of it; also where a link in it points to what is
/// missing.
///
/// # Errors
/// As [`open_below`] and mkdir(2); `ENAMETOOLONG`, `ELOOP`.
pub fn open_or_make(root: BorrowedFd<'_>, path: &CStr, missing: Missing) -> Result<OwnedFd> {
    match open_below(root, path, Access::Handle, Within::Root) {
        Err(Errno::NOENT) if missing != Missing::Fails => {}
        opened => return opened,
    }
    let mut buffer = [0_u8; PATH_MAX];
    let mut length = path.count_bytes();
    buffer.get_mut(..length).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(path.to_bytes());
    for _ in 0..MOST_LINKS {
        match make_missing(root, &mut buffer, length, missing)? {
            Made::Whole(place) => return Ok(place),
            Made::Leads(longer) => length = longer,
        }
    }
    Err(Errno::LOOP)
}

/// What has become of a path of which something was missing.
enum Made {
    /// It is there: the handle on it.
    Whole(OwnedFd),
    /// Something in it is a link to what is not there, and the path is so long with the link's target in its place.
    Leads(usize),
}

/// Makes what is missing below the deepest part of the path that is there. Every part is opened within the root, so a
/// link in it is followed as the container would, and never beyond.
fn make_missing(root: BorrowedFd<'_>, buffer: &mut [u8; PATH_MAX], length: usize, missing: Missing) -> Result<Made> {
    let (mut parent, mut start) = deepest(root, buffer, length)?;
    while start < length {
        let rest = buffer.get(start..length).unwrap_or_default();
        let end = start + rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        if end > start {
            let kind = if end == length { missing } else { Missing::Folder };
            set(buffer, end, 0);
            let made = make(parent.as_fd(), text(buffer, start)?, kind);
            match made {
                Err(Errno::LOOP) => return follow(parent.as_fd(), buffer, (start, end, length)).map(Made::Leads),
                made => parent = made?,
            }
            set(buffer, end, if end == length { 0 } else { b'/' });
        }
        start = end + 1;
    }
    Ok(Made::Whole(parent))
}

/// The deepest folder of the path that is there, and where the rest of the path begins.
fn deepest(root: BorrowedFd<'_>, buffer: &mut [u8; PATH_MAX], length: usize) -> Result<(OwnedFd, usize)> {
    let mut end = length;
    while let Some(slash) = buffer.get(..end).and_then(|prefix| prefix.iter().rposition(|byte| *byte == b'/')) {
        set(buffer, slash, 0);
        let prefix = if slash == 0 { c"." } else { text(buffer, 0)? };
        let opened = open_below(root, prefix, Access::Handle, Within::Root);
        set(buffer, slash, b'/');
        match opened {
            Err(Errno::NOENT) => end = slash,
            opened => return opened.map(|folder| (folder, slash + 1)),
        }
    }
    open_below(root, c".", Access::Handle, Within::Root).map(|folder| (folder, 0))
}

/// Puts the target of the link at `start..end` in its place: an absolute one begins the path anew, from the root. The
/// end of the path's text may be marked at `end`.
#[inline(never)]
fn follow(
    parent: BorrowedFd<'_>,
    buffer: &mut [u8; PATH_MAX],
    (start, end, length): (usize, usize, usize),
) -> Result<usize> {
    let mut target = [0_u8; PATH_MAX];
    let target_length = rustix::fs::readlinkat_raw(parent, text(buffer, start)?, &mut target[..])?;
    if end < length {
        set(buffer, end, b'/');
    }
    let target = target.get(..target_length).unwrap_or_default();
    let before = if target.first() == Some(&b'/') { 0 } else { start };
    let mut path = [0_u8; PATH_MAX];
    let mut new_length = 0;
    for part in [buffer.get(..before), Some(target), buffer.get(end..length)] {
        for byte in part.unwrap_or_default() {
            *path.get_mut(new_length).ok_or(Errno::NAMETOOLONG)? = *byte;
            new_length += 1;
        }
    }
    if new_length == PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    *buffer = path;
    Ok(new_length)
}

/// Makes one component and opens it; another that was faster is as good. `ELOOP` for a symbolic link.
fn make(parent: BorrowedFd<'_>, name: &CStr, missing: Missing) -> Result<OwnedFd> {
    let made = if missing == Missing::File {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
        openat2(parent, name, &OpenHow { flags, mode: 0o755, resolve: 0 }).map(drop)
    } else {
        make_folder(parent, name, 0o755)
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    open_below(parent, name, Access::Handle, Within::Mount)
}

fn set(buffer: &mut [u8; PATH_MAX], place: usize, byte: u8) {
    if let Some(slot) = buffer.get_mut(place) {
        *slot = byte;
    }
}

fn text(buffer: &[u8], start: usize) -> Result<&CStr> {
    CStr::from_bytes_until_nul(buffer.get(start..).unwrap_or_default()).map_err(|_| Errno::NAMETOOLONG)
}

/// Makes the folder `name` in `parent`.
///
/// # Errors
/// mkdir(2).
pub fn make_folder(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the string lives across the call.
    unsafe { syscall(number::MKDIRAT, [fd(parent), name.as_ptr() as usize, mode as usize, 0, 0]) }.map(drop)
}

/// Makes the node `name` in `parent`; `mode` holds its type and permissions, `device` the kernel's encoding of a device.
///
/// # Errors
/// mknod(2): `EPERM` for a device in a user namespace or without CAP_MKNOD, or where the device cgroup says no.
pub fn make_node(parent: BorrowedFd<'_>, name: &CStr, mode: u32, device: u32) -> Result<()> {
    let words = [fd(parent), name.as_ptr() as usize, mode as usize, device as usize, 0];
    // SAFETY: the string lives across the call.
    unsafe { syscall(number::MKNODAT, words) }.map(drop)
}

/// The kernel's encoding of a device number for mknod(2).
#[must_use]
pub const fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)
}

/// The major and minor number of the kernel's encoding.
#[must_use]
pub const fn device_numbers(number: u32) -> (u32, u32) {
    ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00))
}

/// Makes the symbolic link `name` to `target` in `parent`.
///
/// # Errors
/// symlink(2).
pub fn make_link(target: &CStr, parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let words = [target.as_ptr() as usize, fd(parent), name.as_ptr() as usize, 0, 0];
    // SAFETY: both strings live across the call.
    unsafe { syscall(number::SYMLINKAT, words) }.map(drop)
}

/// Sets the permissions of `name` in `parent`.
///
/// # Errors
/// chmod(2).
pub fn change_mode(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the string lives across the call.
    unsafe { syscall(number::FCHMODAT, [fd(parent), name.as_ptr() as usize, mode as usize, 0, 0]) }.map(drop)
}

/// Gives `name` in `parent`, or with an empty name `parent` itself, to a user and a group.
///
/// # Errors
/// chown(2).
pub fn change_owner(parent: BorrowedFd<'_>, name: &CStr, user: u32, group: u32) -> Result<()> {
    const EMPTY_PATH_NO_FOLLOW: usize = 0x1000 | 0x100;
    let words = [fd(parent), name.as_ptr() as usize, user as usize, group as usize, EMPTY_PATH_NO_FOLLOW];
    // SAFETY: the string lives across the call.
    unsafe { syscall(number::FCHOWNAT, words) }.map(drop)
}

/// Whether `file` is a folder.
///
/// # Errors
/// fstat(2).
pub fn is_folder(file: BorrowedFd<'_>) -> Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(stat.st_mode & 0o170_000 == 0o040_000)
}

/// Whether `file` is the device that swallows everything, by its number: Linux 1:3.
///
/// # Errors
/// fstat(2).
pub fn is_null_device(file: BorrowedFd<'_>) -> Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(stat.st_mode & 0o170_000 == 0o020_000 && stat.st_rdev == rustix::fs::makedev(1, 3))
}

/// Whether the symbolic link `name` in `parent` points to `target`.
///
/// # Errors
/// readlink(2): `EINVAL` for what is no link.
pub fn link_points_to(parent: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<bool> {
    let mut buffer = [0_u8; PATH_MAX];
    let length = rustix::fs::readlinkat_raw(parent, name, &mut buffer[..])?;
    Ok(buffer.get(..length) == Some(target.to_bytes()))
}

/// Whether `file` is a node of the type in `mode`, and with this number where that is a device's.
///
/// # Errors
/// fstat(2).
pub fn is_node(file: BorrowedFd<'_>, mode: u32, device: u32) -> Result<bool> {
    const TYPE: u32 = 0o170_000;
    const PIPE: u32 = 0o010_000;
    let stat = rustix::fs::fstat(file)?;
    let number = device_number(rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(stat.st_mode & TYPE == mode & TYPE && (mode & TYPE == PIPE || number == device))
}

/// Makes `path` the working directory.
///
/// # Errors
/// chdir(2).
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the string lives across the call.
    unsafe { syscall(number::CHDIR, [path.as_ptr() as usize, 0, 0, 0, 0]) }.map(drop)
}

/// Makes `path` the working directory, where that is below the caller's root: through a link of /proc it could be anywhere.
///
/// A filter that is in force already may forbid to ask where it is: then no such link is followed.
///
/// # Errors
/// As [`change_directory`]; `EXDEV` where it is not.
pub fn change_directory_within(path: &CStr) -> Result<()> {
    let mut buffer = [0_u8; PATH_MAX];
    change_directory(path)?;
    // SAFETY: the kernel writes at most `len` bytes to the buffer.
    let told = unsafe { syscall(number::GETCWD, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) };
    if told.is_err() {
        let root = open_handle(c"/")?;
        return change_directory_to(open_below(root.as_fd(), path, Access::Handle, Within::Root)?.as_fd());
    }
    // What cannot be reached from the root begins with "(unreachable)".
    if buffer.first() == Some(&b'/') { Ok(()) } else { Err(Errno::XDEV) }
}

/// Makes `directory` the working directory.
///
/// # Errors
/// fchdir(2).
pub fn change_directory_to(directory: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall(number::FCHDIR, [fd(directory), 0, 0, 0, 0]) }.map(drop)
}

/// Makes `directory` the root and the working directory, also where a mount covers it.
///
/// # Errors
/// chroot(2).
pub fn change_root_to(directory: BorrowedFd<'_>) -> Result<()> {
    change_directory_to(directory)?;
    rustix::process::chroot(c".")
}

/// Makes a folder by its path from the working directory; one that is there already is as good.
///
/// # Errors
/// mkdir(2).
pub fn ensure_folder(path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the string lives across the call.
    match unsafe { syscall(number::MKDIRAT, [AT_FDCWD, path.as_ptr() as usize, mode as usize, 0, 0]) } {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Writes all of `text` with one write, as kernel files want it.
///
/// # Errors
/// write(2); `EIO` where the kernel took only a part.
pub fn write_once(file: BorrowedFd<'_>, text: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes of the slice.
    let written = unsafe { syscall(number::WRITE, [fd(file), text.as_ptr() as usize, text.len(), 0, 0]) }?;
    if written == text.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Whether the caller may execute the file at `path`, by its effective ids.
///
/// # Errors
/// access(2); `EACCES` for a folder, as execve(2) has it.
pub fn can_execute(path: &CStr) -> Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat, statat};
    match accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // A seccomp filter that is older than faccessat2; access(2) asks for the real ids.
        Err(Errno::PERM) => accessat(CWD, path, Access::EXEC_OK, AtFlags::empty())?,
        found => found?,
    }
    let stat = statat(CWD, path, AtFlags::empty())?;
    if stat.st_mode & 0o170_000 == 0o040_000 { Err(Errno::ACCESS) } else { Ok(()) }
}

/// Waits for one byte from a pipe.
///
/// # Errors
/// read(2); `EPIPE` where nobody can write to it any more.
pub fn read_byte(pipe: BorrowedFd<'_>) -> Result<()> {
    let mut byte = [0_u8; 1];
    match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut byte))? {
        0 => Err(Errno::PIPE),
        _ => Ok(()),
    }
}
