//! Who a process is and what it may do: setresuid(2), setfsuid(2), setgroups(2), capset(2), prctl(2), prlimit(2).
//!
//! The raw calls change the calling thread only, which is all of a process that has one.

use crate::raw::{number, syscall};
use crate::{Errno, Result};

/// The capability sets that capset(2) takes, bit N for capability N of <linux/capability.h>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySets {
    /// What it may do now.
    pub effective: u64,
    /// What it may take up.
    pub permitted: u64,
    /// What file capabilities of a program may add to.
    pub inheritable: u64,
}

/// Sets the real, effective and saved user.
///
/// # Errors
/// `EINVAL` for an id without a mapping in the user namespace; `EPERM`; `EAGAIN`.
pub fn set_user(user: u32) -> Result<()> {
    let user = user as usize;
    // SAFETY: no pointers.
    unsafe { syscall(number::SETRESUID, [user, user, user, 0, 0]) }.map(drop)
}

/// Sets the real, effective and saved group.
///
/// # Errors
/// As [`set_user`].
pub fn set_group(group: u32) -> Result<()> {
    let group = group as usize;
    // SAFETY: no pointers.
    unsafe { syscall(number::SETRESGID, [group, group, group, 0, 0]) }.map(drop)
}

/// Sets the supplementary groups.
///
/// # Errors
/// `EPERM` also where /proc/PID/setgroups says deny; `EINVAL` for more than 65536 or an unmapped one.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the kernel reads `len` 32-bit ids of the slice.
    unsafe { syscall(number::SETGROUPS, [groups.len(), groups.as_ptr() as usize, 0, 0, 0]) }.map(drop)
}

/// Sets the user and the group as which file systems see the caller, and takes up every permitted capability: the kernel
/// takes those over files away when the user is no longer root.
///
/// # Errors
/// `EPERM` where the caller may not take these ids.
pub fn act_on_files_as(user: u32, group: u32) -> Result<()> {
    for (call, id) in [(number::SETFSGID, group as usize), (number::SETFSUID, user as usize)] {
        // SAFETY: no pointers. The call gives the former id, and tells nothing of an error.
        unsafe { syscall(call, [id, 0, 0, 0, 0]) }?;
        // SAFETY: no pointers. An id that there is not changes nothing.
        let taken = unsafe { syscall(call, [u32::MAX as usize, 0, 0, 0, 0]) }?;
        if taken != id {
            return Err(Errno::PERM);
        }
    }
    let sets = capabilities()?;
    set_capabilities(&CapabilitySets { effective: sets.permitted, ..sets })
}

const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The caller's three thread capability sets.
///
/// # Errors
/// None that a kernel gives.
pub fn capabilities() -> Result<CapabilitySets> {
    let header: [u32; 2] = [LINUX_CAPABILITY_VERSION_3, 0];
    let mut data = [0_u32; 6];
    // SAFETY: header and data are laid out as version 3 of capget(2) has them and live across the call.
    unsafe { syscall(number::CAPGET, [header.as_ptr() as usize, data.as_mut_ptr() as usize, 0, 0, 0]) }?;
    let [effective, permitted, inheritable, high @ ..] = data.map(u64::from);
    let set = |low, high: u64| low | high << 32;
    Ok(CapabilitySets {
        effective: set(effective, high[0]),
        permitted: set(permitted, high[1]),
        inheritable: set(inheritable, high[2]),
    })
}

/// Sets the three thread capability sets.
///
/// # Errors
/// `EPERM` for a permitted capability that the caller has not.
pub fn set_capabilities(sets: &CapabilitySets) -> Result<()> {
    let header: [u32; 2] = [LINUX_CAPABILITY_VERSION_3, 0];
    let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    let high = |bits: u64| u32::try_from(bits >> 32).unwrap_or(0);
    let data: [u32; 6] = [
        low(sets.effective),
        low(sets.permitted),
        low(sets.inheritable),
        high(sets.effective),
        high(sets.permitted),
        high(sets.inheritable),
    ];
    // SAFETY: header and data are laid out as version 3 of capset(2) has them and live across the call.
    unsafe { syscall(number::CAPSET, [header.as_ptr() as usize, data.as_ptr() as usize, 0, 0, 0]) }.map(drop)
}

fn prctl(option: usize, first: usize, second: usize) -> Result<usize> {
    // SAFETY: none of the options used in this file takes a pointer.
    unsafe { syscall(number::PRCTL, [option, first, second, 0, 0]) }
}

/// Takes a capability out of the bounding set for ever. One that the kernel does not know is not there to be taken.
///
/// # Errors
/// `EPERM` without CAP_SETPCAP.
pub fn drop_from_bounding_set(capability: u32) -> Result<()> {
    const PR_CAPBSET_DROP: usize = 24;
    match prctl(PR_CAPBSET_DROP, capability as usize, 0) {
        Ok(_) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Adds a capability to the ambient set.
///
/// # Errors
/// `EPERM` where it is not both permitted and inheritable.
pub fn raise_ambient(capability: u32) -> Result<()> {
    const PR_CAP_AMBIENT: usize = 47;
    const PR_CAP_AMBIENT_RAISE: usize = 2;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability as usize).map(drop)
}

/// Keeps the permitted capabilities when the user changes from root.
///
/// # Errors
/// `EPERM` where securebits lock it.
pub fn keep_capabilities() -> Result<()> {
    const PR_SET_KEEPCAPS: usize = 8;
    prctl(PR_SET_KEEPCAPS, 1, 0).map(drop)
}

/// From now on no exec gains a privilege: setuid bits and file capabilities are void.
///
/// # Errors
/// None that a kernel since 3.5 gives.
pub fn set_no_new_privs() -> Result<()> {
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Hides the process's memory, descriptors and executable from those who share its user, until it executes a program.
///
/// # Errors
/// None that a kernel gives.
pub fn set_not_dumpable() -> Result<()> {
    const PR_SET_DUMPABLE: usize = 4;
    prctl(PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// Has the kernel send `signal` when the parent thread dies.
///
/// # Errors
/// `EINVAL` for a number that is no signal.
pub fn set_parent_death_signal(signal: u32) -> Result<()> {
    const PR_SET_PDEATHSIG: usize = 1;
    prctl(PR_SET_PDEATHSIG, signal as usize, 0).map(drop)
}

/// Makes orphaned descendants the caller's children.
///
/// # Errors
/// None that a kernel since 3.4 gives.
pub fn set_child_subreaper() -> Result<()> {
    const PR_SET_CHILD_SUBREAPER: usize = 36;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0).map(drop)
}

/// One limit of getrlimit(2), numbered as in <asm/resource.h>; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// The limit that holds.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// Sets a resource limit of the caller.
///
/// # Errors
/// `EPERM` for a hard limit above the present one without CAP_SYS_RESOURCE; `EINVAL` for soft above hard.
pub fn set_resource_limit(limit: &ResourceLimit) -> Result<()> {
    let values = [limit.soft, limit.hard];
    let words = [0, limit.resource as usize, values.as_ptr() as usize, 0, 0];
    // SAFETY: struct rlimit64 is two 64-bit words, which live across the call; nothing is read back.
    unsafe { syscall(number::PRLIMIT64, words) }.map(drop)
}

/// Sets the permission bits that new files do not get.
pub fn set_umask(mask: u32) {
    // SAFETY: no pointers. umask(2) cannot fail.
    let _ = unsafe { syscall(number::UMASK, [mask as usize, 0, 0, 0, 0]) };
}
