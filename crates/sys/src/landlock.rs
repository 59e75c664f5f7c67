//! Landlock: what a process may not do any more, whoever it becomes. landlock(7), <linux/landlock.h>.

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::Result;
use crate::raw::{everywhere, fd, owned, syscall};

/// What is forbidden wherever no rule allows it; `struct landlock_ruleset_attr`, as masks of the kernel's bits.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// `LANDLOCK_ACCESS_FS_*`.
    pub files: u64,
    /// `LANDLOCK_ACCESS_NET_*`.
    pub ports: u64,
    /// `LANDLOCK_SCOPE_*`.
    pub scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
struct Beneath {
    access: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct Port {
    access: u64,
    port: u64,
}

const PATH_BENEATH: usize = 1;
const NET_PORT: usize = 2;

/// The version of Landlock that the kernel has, from 1 on.
///
/// # Errors
/// `ENOSYS` where it has none, `EOPNOTSUPP` where it was not enabled at boot.
pub fn version() -> Result<usize> {
    const VERSION: usize = 1;
    // SAFETY: with this flag the kernel reads no memory.
    unsafe { syscall(everywhere::LANDLOCK_CREATE_RULESET, [0, 0, VERSION, 0, 0]) }
}

/// Makes a ruleset without rules.
///
/// # Errors
/// `EINVAL` for bits that the kernel does not know, `ENOMSG` for a ruleset that forbids nothing.
pub fn create(ruleset: &Ruleset) -> Result<OwnedFd> {
    let words = [(&raw const *ruleset) as usize, size_of::<Ruleset>(), 0, 0, 0];
    // SAFETY: the structure is laid out as the kernel has it and lives across the call.
    let raw = unsafe { syscall(everywhere::LANDLOCK_CREATE_RULESET, words) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Allows `access` to what is below `parent`, or to the file that it is.
///
/// # Errors
/// `EINVAL` for what the ruleset does not forbid, and for what cannot be done to a file.
pub fn allow_beneath(ruleset: BorrowedFd<'_>, access: u64, parent: BorrowedFd<'_>) -> Result<()> {
    let rule = Beneath { access, parent: parent.as_raw_fd() };
    add(ruleset, PATH_BENEATH, (&raw const rule) as usize)
}

/// Allows `access` to a TCP port.
///
/// # Errors
/// `EINVAL` for what the ruleset does not forbid.
pub fn allow_port(ruleset: BorrowedFd<'_>, access: u64, port: u16) -> Result<()> {
    let rule = Port { access, port: u64::from(port) };
    add(ruleset, NET_PORT, (&raw const rule) as usize)
}

fn add(ruleset: BorrowedFd<'_>, kind: usize, rule: usize) -> Result<()> {
    let words = [fd(ruleset), kind, rule, 0, 0];
    // SAFETY: both callers give the structure that `kind` stands for, which lives across the call.
    unsafe { syscall(everywhere::LANDLOCK_ADD_RULE, words) }.map(drop)
}

/// Puts the caller under the ruleset, for ever.
///
/// # Errors
/// `EPERM` with neither CAP_SYS_ADMIN nor no_new_privs; `E2BIG` below 16 others.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<()> {
    let words = [fd(ruleset), 0, 0, 0, 0];
    // SAFETY: the kernel reads no memory.
    unsafe { syscall(everywhere::LANDLOCK_RESTRICT_SELF, words) }.map(drop)
}
