//! New processes: clone3(2), clone(2), fork(2), close_range(2).

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::namespace::Kinds;
use crate::raw::{Arguments, everywhere, fd, number, owned, syscall};
use crate::{Errno, Result};

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const SIGCHLD: u64 = 17;

/// What the new process is.
#[derive(Debug, Clone, Copy)]
pub struct Clone3<'a> {
    /// The namespaces made new for it.
    pub new: Kinds,
    /// The v2 cgroup in which it starts its life, without the wait that a later move costs.
    pub into_cgroup: Option<BorrowedFd<'a>>,
    /// Whose child it becomes.
    pub parent: Parent,
}

/// Whose child the new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The caller's.
    Caller,
    /// The caller's parent's: the caller may leave (`CLONE_PARENT`).
    CallersParent,
}

/// Which side of the clone the caller is on.
#[derive(Debug)]
pub enum Side {
    /// In the new process.
    Child,
    /// In the old one.
    Parent {
        /// The new process's PID as the caller sees it.
        pid: i32,
        /// A handle on the new process that no reuse of the PID can redirect.
        pidfd: OwnedFd,
    },
}

/// <linux/sched.h> `struct clone_args`.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Makes a process that shares nothing with the caller but open descriptions: clone3 without `CLONE_VM`, or clone where
/// there is no clone3 and nothing is asked that only clone3 can do.
///
/// # Errors
/// clone3(2): `EPERM` without the right to make a namespace, `ENOSPC` at a namespace limit, `EAGAIN` at the limit of
/// processes, `EBUSY` for a cgroup with controllers in its subtree.
///
/// # Safety
/// In the new process only the calling thread exists. Until it calls execve or leaves, it must not touch anything that
/// another thread of the caller may have held: no lock, no allocator.
pub unsafe fn clone3(request: &Clone3<'_>) -> Result<Side> {
    let mut pidfd: i32 = -1;
    let mut arguments =
        CloneArgs { flags: CLONE_PIDFD | request.new.bits(), pidfd: (&raw mut pidfd) as u64, ..CloneArgs::default() };
    match request.parent {
        Parent::Caller => arguments.exit_signal = SIGCHLD,
        Parent::CallersParent => arguments.flags |= CLONE_PARENT,
    }
    if let Some(cgroup) = request.into_cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    let words: Arguments = [(&raw const arguments) as usize, size_of::<CloneArgs>(), 0, 0, 0];
    // SAFETY: both structures outlive the call; no CLONE_VM and no stack is given, so the child runs on its own copy of
    // this stack; what the child may do afterwards is the caller's promise.
    let cloned = match unsafe { syscall(everywhere::CLONE3, words) } {
        // In a container whose seccomp profile does not look behind clone3's pointer, as Docker's does not.
        Err(Errno::NOSYS) if arguments.flags & !(CLONE_PIDFD | CLONE_PARENT) == 0 => {
            let flags = usize::try_from(arguments.flags | arguments.exit_signal).map_err(|_| Errno::INVAL)?;
            // SAFETY: as above; clone(2) puts the pidfd where its third argument points.
            unsafe { syscall(number::CLONE, [flags, 0, (&raw mut pidfd) as usize, 0, 0]) }
        }
        cloned => cloned,
    };
    match cloned? {
        0 => Ok(Side::Child),
        pid => {
            let pid = i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?;
            let raw = usize::try_from(pidfd).map_err(|_| Errno::BADF)?;
            // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD).
            let pidfd = unsafe { owned(raw) }?;
            Ok(Side::Parent { pid, pidfd })
        }
    }
}

/// Forks a single-threaded process, so that the child may do whatever the parent could.
///
/// # Errors
/// `EDEADLK` where the caller has more than one thread: a lock held by another thread would stay locked in the child for
/// ever. `EAGAIN` and `ENOMEM` as fork(2).
pub fn fork() -> Result<Side> {
    let tasks = rustix::fs::stat(c"/proc/self/task")?;
    if tasks.st_nlink != 3 {
        return Err(Errno::DEADLK);
    }
    let request = Clone3 { new: Kinds::NONE, into_cgroup: None, parent: Parent::Caller };
    // SAFETY: this process has one thread (the task folder has links for itself, its parent and one thread), so no lock
    // can be held by a thread that the child does not have.
    unsafe { clone3(&request) }
}

/// Forks the only thread of a process that leaves its place as the caller's parent's child to the new one.
///
/// # Errors
/// As [`fork`].
pub fn fork_to_parent(new: Kinds) -> Result<Side> {
    let request = Clone3 { new, into_cgroup: None, parent: Parent::CallersParent };
    // SAFETY: the child goes on with what its parent did until here, and the parent leaves; the caller is itself the
    // child of a clone3 and so has one thread.
    unsafe { clone3(&request) }
}

/// Closes a new process's copy of what its parent holds open. close(2) frees the descriptor whatever it gives.
pub fn close_copy(descriptor: BorrowedFd<'_>) {
    // SAFETY: no pointers. The owner is the parent's: in the copy of it that the caller is, it is neither used nor dropped.
    let _ = unsafe { syscall(number::CLOSE, [fd(descriptor), 0, 0, 0, 0]) };
}

/// Closes every descriptor from `first` on in a new process but some: it is to hold nothing that was opened by others.
///
/// # Errors
/// `ENOSYS` on kernels before 5.9.
pub fn close_all_from(first: u32, kept: [BorrowedFd<'_>; 3]) -> Result<()> {
    let mut kept = kept.map(fd);
    kept.sort_unstable();
    let mut from = first as usize;
    for end in kept.into_iter().chain([u32::MAX as usize]) {
        if from < end {
            let words = [from, end - 1, 0, 0, 0];
            // SAFETY: no pointers. As in `close_copy`, the owners are the parent's.
            unsafe { syscall(everywhere::CLOSE_RANGE, words) }?;
        }
        from = from.max(end.saturating_add(1));
    }
    Ok(())
}

/// Makes every descriptor from `first` on one that a program does not inherit.
///
/// # Errors
/// `EINVAL` before Linux 5.11.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    // SAFETY: no pointers; nothing is closed as long as this program runs.
    unsafe { syscall(everywhere::CLOSE_RANGE, [first as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0]) }
        .map(drop)
}
