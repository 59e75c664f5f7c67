//! Mounts through descriptors: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2),
//! pivot_root(2). A mount is made detached, finished, and only then put in its place.

use core::ffi::CStr;
use core::mem::size_of;

use rustix::fd::{BorrowedFd, OwnedFd};

use crate::Result;
use crate::raw::{AT_FDCWD, Arguments, everywhere, fd, number, owned, signed, syscall};

const AT_EMPTY_PATH: usize = 0x1000;
const AT_RECURSIVE: usize = 0x8000;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;
const CLOEXEC: usize = 0o2_000_000;

/// Attributes of a mount: `MOUNT_ATTR_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub u64);

impl Attributes {
    /// Nothing set.
    pub const NONE: Self = Self(0);
    /// `MOUNT_ATTR_RDONLY`.
    pub const READ_ONLY: Self = Self(0x1);
    /// `MOUNT_ATTR_NOSUID`.
    pub const NOSUID: Self = Self(0x2);
    /// `MOUNT_ATTR_NODEV`.
    pub const NODEV: Self = Self(0x4);
    /// `MOUNT_ATTR_NOEXEC`.
    pub const NOEXEC: Self = Self(0x8);
    /// `MOUNT_ATTR__ATIME`: the field of the three below.
    pub const ATIME: Self = Self(0x70);
    /// `MOUNT_ATTR_NOATIME`.
    pub const NOATIME: Self = Self(0x10);
    /// `MOUNT_ATTR_STRICTATIME`.
    pub const STRICTATIME: Self = Self(0x20);
    /// `MOUNT_ATTR_NODIRATIME`.
    pub const NODIRATIME: Self = Self(0x80);
    /// `MOUNT_ATTR_NOSYMFOLLOW`.
    pub const NOSYMFOLLOW: Self = Self(0x20_0000);
    const IDMAP: Self = Self(0x10_0000);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How mounts and unmounts travel between a mount and its copies: mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// `MS_PRIVATE`: not at all.
    Private,
    /// `MS_SLAVE`: from the other side to here.
    Slave,
    /// `MS_SHARED`: both ways.
    Shared,
    /// `MS_UNBINDABLE`: not at all, and it cannot be bound.
    Unbindable,
}

impl Propagation {
    const fn bits(self) -> u64 {
        match self {
            Self::Unbindable => 1 << 17,
            Self::Private => 1 << 18,
            Self::Slave => 1 << 19,
            Self::Shared => 1 << 20,
        }
    }
}

/// Whether a call is meant for one mount or for all mounts below it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This mount.
    One,
    /// This mount and all below it.
    Recursive,
}

impl Reach {
    const fn flag(self) -> usize {
        match self {
            Self::One => 0,
            Self::Recursive => AT_RECURSIVE,
        }
    }
}

/// What mount_setattr(2) changes; the default changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Attributes to set.
    pub set: Attributes,
    /// Attributes to clear.
    pub clear: Attributes,
    /// The new propagation.
    pub propagation: Option<Propagation>,
    /// The user namespace whose id maps the mount takes (`MOUNT_ATTR_IDMAP`).
    pub idmap: Option<BorrowedFd<'a>>,
}

/// <linux/mount.h> `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Begins a new file system of type `kind`.
///
/// # Errors
/// `ENODEV` where the kernel has no such file system; `EPERM`.
pub fn fsopen(kind: &CStr) -> Result<OwnedFd> {
    const FSOPEN_CLOEXEC: usize = 1;
    // SAFETY: `kind` is a string that lives across the call.
    let raw = unsafe { syscall(everywhere::FSOPEN, [kind.as_ptr() as usize, FSOPEN_CLOEXEC, 0, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

fn fsconfig(context: BorrowedFd<'_>, command: usize, key: Option<&CStr>, value: (usize, usize)) -> Result<()> {
    let key = key.map_or(0, |key| key.as_ptr() as usize);
    // SAFETY: key and value are null or strings that live across the call; each command reads no more than them.
    unsafe { syscall(everywhere::FSCONFIG, [fd(context), command, key, value.0, value.1]) }.map(drop)
}

/// Sets the option `key=value`.
///
/// # Errors
/// `EINVAL` for an option that the file system does not know or a value it refuses.
pub fn set_string(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<()> {
    const FSCONFIG_SET_STRING: usize = 1;
    fsconfig(context, FSCONFIG_SET_STRING, Some(key), (value.as_ptr() as usize, 0))
}

/// Sets the option `key`, which takes no value.
///
/// # Errors
/// `EINVAL` for an option that the file system does not know.
pub fn set_flag(context: BorrowedFd<'_>, key: &CStr) -> Result<()> {
    const FSCONFIG_SET_FLAG: usize = 0;
    fsconfig(context, FSCONFIG_SET_FLAG, Some(key), (0, 0))
}

/// Sets the option `key` to what `value` is open on.
///
/// # Errors
/// `EINVAL` where the file system takes no descriptor for this option (overlay: before Linux 6.13).
pub fn set_fd(context: BorrowedFd<'_>, key: &CStr, value: BorrowedFd<'_>) -> Result<()> {
    const FSCONFIG_SET_FD: usize = 5;
    fsconfig(context, FSCONFIG_SET_FD, Some(key), (0, fd(value)))
}

/// Makes the file system with the options set so far, and gives its detached mount.
///
/// # Errors
/// What the file system's own mount would give; `EBUSY`, `EINVAL`, `EPERM`, `ENOMEM`.
pub fn fsmount(context: BorrowedFd<'_>, attributes: Attributes) -> Result<OwnedFd> {
    const FSCONFIG_CMD_CREATE: usize = 6;
    const FSMOUNT_CLOEXEC: usize = 1;
    fsconfig(context, FSCONFIG_CMD_CREATE, None, (0, 0))?;
    let attributes = usize::try_from(attributes.0).unwrap_or(0);
    // SAFETY: no pointers.
    let raw = unsafe { syscall(everywhere::FSMOUNT, [fd(context), FSMOUNT_CLOEXEC, attributes, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Begins a change of the options of the file system that `mount` is open on.
///
/// # Errors
/// `EINVAL` for what is no root of a mount; `EPERM`.
pub fn fspick(mount: BorrowedFd<'_>) -> Result<OwnedFd> {
    const FSPICK_CLOEXEC: usize = 0x1;
    const FSPICK_EMPTY_PATH: usize = 0x8;
    let words: Arguments = [fd(mount), c"".as_ptr() as usize, FSPICK_CLOEXEC | FSPICK_EMPTY_PATH, 0, 0];
    // SAFETY: the string is a constant.
    let raw = unsafe { syscall(everywhere::FSPICK, words) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Changes the file system to the options set so far.
///
/// # Errors
/// `EINVAL` for an option that cannot be changed; `EPERM`.
pub fn reconfigure(context: BorrowedFd<'_>) -> Result<()> {
    const FSCONFIG_CMD_RECONFIGURE: usize = 7;
    fsconfig(context, FSCONFIG_CMD_RECONFIGURE, None, (0, 0))
}

/// A detached copy of the mount that `path` (from the working directory) or, with an empty path, `from` lies on.
///
/// # Errors
/// `ENOENT`, `EACCES`; `EINVAL` for a mount of another namespace or an unbindable one.
pub fn clone_tree(from: Option<BorrowedFd<'_>>, path: &CStr, reach: Reach) -> Result<OwnedFd> {
    const OPEN_TREE_CLONE: usize = 1;
    let flags = OPEN_TREE_CLONE | CLOEXEC | AT_EMPTY_PATH | reach.flag();
    let from = from.map_or(AT_FDCWD, fd);
    // SAFETY: `path` is a string that lives across the call.
    let raw = unsafe { syscall(everywhere::OPEN_TREE, [from, path.as_ptr() as usize, flags, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// The same of what the last name of `path` is itself, also where that is a symbolic link.
///
/// # Errors
/// As [`clone_tree`].
pub fn clone_tree_of_name(path: &CStr, reach: Reach) -> Result<OwnedFd> {
    const OPEN_TREE_CLONE: usize = 1;
    let flags = OPEN_TREE_CLONE | CLOEXEC | AT_SYMLINK_NOFOLLOW | reach.flag();
    // SAFETY: `path` is a string that lives across the call.
    let raw = unsafe { syscall(everywhere::OPEN_TREE, [AT_FDCWD, path.as_ptr() as usize, flags, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Puts the detached mount `mount` on `target`.
///
/// # Errors
/// `ENOTDIR` where one is a folder and the other is not, `EINVAL`, `EPERM`.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    move_mount(mount, fd(target), c"")
}

/// Puts the detached mount `mount` on the caller's root.
///
/// # Errors
/// As [`attach`].
pub fn attach_over_root(mount: BorrowedFd<'_>) -> Result<()> {
    move_mount(mount, AT_FDCWD, c"/")
}

fn move_mount(mount: BorrowedFd<'_>, directory: usize, path: &CStr) -> Result<()> {
    const FROM_AND_TO_EMPTY_PATH: usize = 0x4 | 0x40;
    let words: Arguments =
        [fd(mount), c"".as_ptr() as usize, directory, path.as_ptr() as usize, FROM_AND_TO_EMPTY_PATH];
    // SAFETY: both strings live across the call.
    unsafe { syscall(everywhere::MOVE_MOUNT, words) }.map(drop)
}

/// Changes the mount that `mount` is open on.
///
/// # Errors
/// `EPERM` for attributes locked by a parent user namespace, `EINVAL`.
pub fn change(mount: BorrowedFd<'_>, reach: Reach, change: &Change<'_>) -> Result<()> {
    mount_setattr(fd(mount), c"", reach, change)
}

/// Changes the mounts from the caller's root down.
///
/// # Errors
/// As [`change`].
pub fn change_root(reach: Reach, change: &Change<'_>) -> Result<()> {
    mount_setattr(AT_FDCWD, c"/", reach, change)
}

fn mount_setattr(directory: usize, path: &CStr, reach: Reach, change: &Change<'_>) -> Result<()> {
    let mut attr = MountAttr {
        set: change.set.0,
        clear: change.clear.0,
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns: 0,
    };
    if let Some(userns) = change.idmap {
        attr.set |= Attributes::IDMAP.0;
        attr.userns = fd(userns) as u64;
    }
    let flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | reach.flag();
    let words: Arguments =
        [directory, path.as_ptr() as usize, flags, (&raw const attr) as usize, size_of::<MountAttr>()];
    // SAFETY: the path and the structure live across the call, and its size is passed.
    unsafe { syscall(everywhere::MOUNT_SETATTR, words) }.map(drop)
}

/// Makes `root` the caller's root and working directory, and lets go of the old root with everything below it.
///
/// The old root is stacked on the new one ("." on ".") and detached from there, so that no folder is needed for it.
///
/// # Errors
/// pivot_root(2): `EINVAL` where the new root is no mount or the old one is the initramfs.
pub fn pivot_root(root: BorrowedFd<'_>) -> Result<()> {
    const MNT_DETACH: usize = 2;
    let here = c".".as_ptr() as usize;
    crate::path::change_directory_to(root)?;
    // SAFETY: the strings are constants.
    unsafe { syscall(number::PIVOT_ROOT, [here, here, 0, 0, 0]) }?;
    // SAFETY: the string is a constant.
    unsafe { syscall(number::UMOUNT2, [here, MNT_DETACH, 0, 0, 0]) }?;
    crate::path::change_directory(c"/")
}

/// The id of the mount that a path leads to, which no other mount has while it lives (`stx_mnt_id`, Linux 5.8).
///
/// # Errors
/// statx(2); `ENOSYS` on kernels that do not tell it.
pub fn id_at(path: &CStr) -> Result<u64> {
    use rustix::fs::{AtFlags, CWD, StatxFlags};
    told_id(&rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID)?)
}

/// The id of a mount that is held.
///
/// # Errors
/// As [`id_at`].
pub fn id_of(mount: BorrowedFd<'_>) -> Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags};
    told_id(&rustix::fs::statx(mount, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?)
}

fn told_id(found: &rustix::fs::Statx) -> Result<u64> {
    let told = found.stx_mask & rustix::fs::StatxFlags::MNT_ID.bits() != 0;
    if told { Ok(found.stx_mnt_id) } else { Err(crate::Errno::NOSYS) }
}

/// Unmounts what is mounted at a path, with all below it, as soon as nobody uses it any more.
///
/// # Errors
/// umount(2).
pub fn unmount(path: &CStr) -> Result<()> {
    use rustix::mount::UnmountFlags;
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

/// Whether `file` lies on a procfs: the check that no other file system was put in its place.
///
/// # Errors
/// fstatfs(2).
pub fn is_procfs(file: BorrowedFd<'_>) -> Result<bool> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    is_of_kind(file, PROC_SUPER_MAGIC)
}

/// Whether `file` lies on a devpts.
///
/// # Errors
/// fstatfs(2).
pub fn is_devpts(file: BorrowedFd<'_>) -> Result<bool> {
    const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
    is_of_kind(file, DEVPTS_SUPER_MAGIC)
}

/// Whether `file` lies on a file system of this kind, <linux/magic.h>.
fn is_of_kind(file: BorrowedFd<'_>, magic: u64) -> Result<bool> {
    let mut statfs = [0_u64; 15];
    // SAFETY: struct statfs is 120 bytes on 64-bit Linux, which the array holds; its first word is the type.
    unsafe { syscall(number::FSTATFS, [fd(file), statfs.as_mut_ptr() as usize, 0, 0, 0]) }?;
    Ok(statfs.first() == Some(&magic))
}

const _: () = assert!(signed(-1) == u32::MAX as usize, "descriptors are passed as 32 bits");
