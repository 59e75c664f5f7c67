//! Namespaces: setns(2), unshare(2), and what is set inside a uts or net namespace.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Result;
use crate::raw::{Arguments, fd, number, owned, syscall};

/// A set of kinds of namespaces, as `CLONE_NEW*` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u64);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// `CLONE_NEWTIME`.
    pub const TIME: Self = Self(0x80);
    /// `CLONE_NEWNS`.
    pub const MNT: Self = Self(0x2_0000);
    /// `CLONE_NEWCGROUP`.
    pub const CGROUP: Self = Self(0x200_0000);
    /// `CLONE_NEWUTS`.
    pub const UTS: Self = Self(0x400_0000);
    /// `CLONE_NEWIPC`.
    pub const IPC: Self = Self(0x800_0000);
    /// `CLONE_NEWUSER`.
    pub const USER: Self = Self(0x1000_0000);
    /// `CLONE_NEWPID`.
    pub const PID: Self = Self(0x2000_0000);
    /// `CLONE_NEWNET`.
    pub const NET: Self = Self(0x4000_0000);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every kind of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    fn word(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }
}

/// Moves the caller into the namespaces that `handle` stands for: a namespace file of that kind, or a pidfd, of whose
/// process all `kinds` are joined at once. Joining a pid namespace moves only the caller's later children.
///
/// # Errors
/// setns(2): `EINVAL` for a handle of another kind, or a user namespace that the caller is already in; `EPERM`; `ESRCH`
/// where the pidfd's process is gone.
pub fn join(handle: BorrowedFd<'_>, kinds: Kinds) -> Result<()> {
    // SAFETY: no pointers; the caller's own view changes, which is what was asked for.
    unsafe { syscall(number::SETNS, [fd(handle), kinds.word(), 0, 0, 0]) }.map(drop)
}

/// Gives the caller new namespaces of its own; new pid and time namespaces take only its later children.
///
/// # Errors
/// unshare(2): `EPERM`, `ENOSPC` at a limit of namespaces.
pub fn unshare(kinds: Kinds) -> Result<()> {
    // SAFETY: only namespace bits are passed, so no memory or descriptor table is unshared.
    unsafe { syscall(number::UNSHARE, [kinds.word(), 0, 0, 0, 0]) }.map(drop)
}

/// The kind of a namespace: ioctl_ns(2) `NS_GET_NSTYPE`.
///
/// # Errors
/// `ENOTTY` for what is no file of a namespace.
pub fn kind(namespace: BorrowedFd<'_>) -> Result<Kinds> {
    const NS_GET_NSTYPE: usize = 0xb703;
    // SAFETY: the request takes no argument.
    unsafe { syscall(number::IOCTL, [fd(namespace), NS_GET_NSTYPE, 0, 0, 0]) }.map(|bit| Kinds(bit as u64))
}

/// The user namespace above one, or the namespace above another of a kind that has such: ioctl_ns(2) `NS_GET_PARENT`.
///
/// # Errors
/// `EPERM` for one that is not below the caller's own; `EINVAL` for a kind without any.
pub fn parent(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    const NS_GET_PARENT: usize = 0xb702;
    // SAFETY: the request takes no argument.
    let raw = unsafe { syscall(number::IOCTL, [fd(namespace), NS_GET_PARENT, 0, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Who made a user namespace, as the caller's own calls them: ioctl_ns(2) `NS_GET_OWNER_UID`.
///
/// # Errors
/// `EINVAL` for a namespace of another kind.
pub fn owner(namespace: BorrowedFd<'_>) -> Result<u32> {
    const NS_GET_OWNER_UID: usize = 0xb704;
    let mut user: u32 = 0;
    let words: Arguments = [fd(namespace), NS_GET_OWNER_UID, (&raw mut user) as usize, 0, 0];
    // SAFETY: the kernel writes one user id, which is 32 bits, where the pointer says; it lives across the call.
    unsafe { syscall(number::IOCTL, words) }?;
    Ok(user)
}

/// The user namespace that owns one: ioctl_ns(2) `NS_GET_USERNS`.
///
/// # Errors
/// `EPERM` where that is neither the caller's own nor below it.
pub fn owning_user(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    const NS_GET_USERNS: usize = 0xb701;
    // SAFETY: the request takes no argument.
    let raw = unsafe { syscall(number::IOCTL, [fd(namespace), NS_GET_USERNS, 0, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// A direction in the kernel's list of mount namespaces, which is in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// The next younger: `NS_MNT_GET_NEXT`.
    Next,
    /// The next older: `NS_MNT_GET_PREV`.
    Previous,
}

/// The mount namespace beside another, of those that the caller has `CAP_SYS_ADMIN` over: Linux 6.12, <linux/nsfs.h>.
///
/// # Errors
/// `ENOENT` at the end of the list; `EPERM`; `ENOTTY` before Linux 6.12.
pub fn mount_neighbour(namespace: BorrowedFd<'_>, direction: Neighbour) -> Result<OwnedFd> {
    // `_IOR(0xb7, 11 or 12, struct mnt_ns_info)`: the size of its first version, 16 bytes, is a part of the number.
    let request: usize = match direction {
        Neighbour::Next => 0x8010_b70b,
        Neighbour::Previous => 0x8010_b70c,
    };
    // SAFETY: the kernel tells nothing more of the namespace where the pointer is null.
    let raw = unsafe { syscall(number::IOCTL, [fd(namespace), request, 0, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Sets the host name of the caller's uts namespace: sethostname(2), at most 64 bytes.
///
/// # Errors
/// `EINVAL` for a longer name, `EPERM`.
pub fn set_hostname(name: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes of the slice.
    unsafe { syscall(number::SETHOSTNAME, [name.as_ptr() as usize, name.len(), 0, 0, 0]) }.map(drop)
}

/// Sets the NIS domain name of the caller's uts namespace: setdomainname(2), at most 64 bytes.
///
/// # Errors
/// `EINVAL` for a longer name, `EPERM`.
pub fn set_domainname(name: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes of the slice.
    unsafe { syscall(number::SETDOMAINNAME, [name.as_ptr() as usize, name.len(), 0, 0, 0]) }.map(drop)
}

/// <linux/if.h> `struct ifreq` as SIOCGIFFLAGS and SIOCSIFFLAGS use it.
#[repr(C)]
struct InterfaceFlags {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Sets the loopback interface of the caller's net namespace up: netdevice(7).
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN over the namespace; `ENODEV` where it has no loopback.
pub fn loopback_up() -> Result<()> {
    const AF_INET: usize = 2;
    const SOCK_DGRAM_CLOEXEC: usize = 2 | 0o2_000_000;
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP_RUNNING: i16 = 0x41;
    // SAFETY: no pointers.
    let raw = unsafe { syscall(number::SOCKET, [AF_INET, SOCK_DGRAM_CLOEXEC, 0, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    let socket = unsafe { owned(raw) }?;
    let mut request = InterfaceFlags { name: [0; 16], flags: IFF_UP_RUNNING, rest: [0; 22] };
    let [first, second, ..] = &mut request.name;
    (*first, *second) = (b'l', b'o');
    let words: Arguments = [fd(socket.as_fd()), SIOCSIFFLAGS, (&raw const request) as usize, 0, 0];
    // SAFETY: the request is laid out as the kernel's ifreq (40 bytes on 64-bit) and lives across the call.
    unsafe { syscall(number::IOCTL, words) }.map(drop)
}

const _: () = assert!(core::mem::size_of::<InterfaceFlags>() == 40, "struct ifreq on 64-bit Linux");
