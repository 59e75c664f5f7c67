//! A process's beginning and end: execve(2), exit_group(2), setsid(2), personality(2), pidfd_send_signal(2), waitid(2).

use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::null;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::raw::{everywhere, fd, number, owned, signed, syscall};
use crate::{Errno, Result};

/// One string of an argument vector, or its end.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub struct Argument<'a>(*const u8, PhantomData<&'a CStr>);

impl<'a> Argument<'a> {
    /// What ends a vector.
    pub const END: Self = Self(null(), PhantomData);

    /// A string of the vector.
    #[must_use]
    pub const fn new(text: &'a CStr) -> Self {
        Self(text.as_ptr().cast(), PhantomData)
    }
}

/// Strings as execve(2) wants them: pointers, the last of which is null.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a>(&'a [Argument<'a>]);

impl<'a> Arguments<'a> {
    /// The vector, if it ends as it must.
    #[must_use]
    pub fn new(strings: &'a [Argument<'a>]) -> Option<Self> {
        strings.last().filter(|last| last.0.is_null()).map(|_| Self(strings))
    }
}

/// Becomes the program at `path`. Comes back only when it failed.
#[must_use]
pub fn execute(path: &CStr, arguments: Arguments<'_>, environment: Arguments<'_>) -> Errno {
    let words = [path.as_ptr() as usize, arguments.0.as_ptr() as usize, environment.0.as_ptr() as usize, 0, 0];
    // SAFETY: the path and every string of both vectors live across the call, and both vectors end with null.
    match unsafe { syscall(number::EXECVE, words) } {
        Err(errno) => errno,
        Ok(_) => Errno::NOEXEC,
    }
}

/// Becomes the program that `file` is open on. Comes back only when it failed.
#[must_use]
pub fn execute_file(file: BorrowedFd<'_>, arguments: Arguments<'_>, environment: Arguments<'_>) -> Errno {
    const AT_EMPTY_PATH: usize = 0x1000;
    let (path, arguments, environment) = (c"".as_ptr(), arguments.0.as_ptr(), environment.0.as_ptr());
    let words = [fd(file), path as usize, arguments as usize, environment as usize, AT_EMPTY_PATH];
    // SAFETY: the path and every string of both vectors live across the call, and both vectors end with null.
    match unsafe { syscall(number::EXECVEAT, words) } {
        Err(errno) => errno,
        Ok(_) => Errno::NOEXEC,
    }
}

/// Ends the process at once: no destructor, no buffer flushed.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: no pointers; nothing of this process is used any more.
        let _ = unsafe { syscall(number::EXIT_GROUP, [signed(code), 0, 0, 0, 0]) };
    }
}

/// Begins a new session, without a controlling terminal.
///
/// # Errors
/// `EPERM` where the caller leads a process group already.
pub fn new_session() -> Result<()> {
    // SAFETY: no arguments.
    unsafe { syscall(number::SETSID, [0; 5]) }.map(drop)
}

/// Sets the execution domain, what uname(2) tells among others.
///
/// # Errors
/// `EINVAL` for one that the kernel does not have.
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall(number::PERSONALITY, [domain as usize, 0, 0, 0, 0]) }.map(drop)
}

/// Makes `target` another name of `source`; unlike `source` it is inherited through exec.
///
/// # Errors
/// dup3(2). Where both are the same descriptor it only clears close-on-exec.
pub fn place_descriptor(source: BorrowedFd<'_>, target: i32) -> Result<()> {
    use rustix::fd::AsRawFd;
    if source.as_raw_fd() == target {
        return rustix::io::fcntl_setfd(source, rustix::io::FdFlags::empty());
    }
    // SAFETY: no pointers. What was open at `target` (one of the three standard streams) has no owner in Rust.
    unsafe { syscall(number::DUP3, [fd(source), signed(target), 0, 0, 0]) }.map(drop)
}

/// Whether something is open at this number that was there before the caller's program began: what that opens itself is
/// close-on-exec.
#[must_use]
pub fn is_inherited(descriptor: u32) -> bool {
    const F_GETFD: usize = 1;
    // SAFETY: no pointers, and nothing is changed.
    matches!(unsafe { syscall(number::FCNTL, [descriptor as usize, F_GETFD, 0, 0, 0]) }, Ok(0))
}

/// The descriptor that is open at this number since before the caller's program began; from now on it is close-on-exec, and
/// nobody else's.
///
/// # Errors
/// `EBADF` where nothing is, or what the program has opened itself: that is close-on-exec, and has its owner.
pub fn take_inherited(descriptor: u32) -> Result<OwnedFd> {
    if !is_inherited(descriptor) {
        return Err(Errno::BADF);
    }
    // SAFETY: nothing in this program owns a descriptor that is not close-on-exec but the standard library its streams,
    // which it never closes; from the next line on this one is close-on-exec, so that it is given once.
    let taken = unsafe { owned(descriptor as usize) }?;
    rustix::io::fcntl_setfd(&taken, rustix::io::FdFlags::CLOEXEC)?;
    Ok(taken)
}

/// A handle on the process `pid`.
///
/// # Errors
/// `ESRCH` where there is none.
pub fn open(pid: i32) -> Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    pidfd_open(Pid::from_raw(pid).ok_or(Errno::SRCH)?, PidfdFlags::empty())
}

/// A copy of the descriptor `number` of the process that `pidfd` stands for.
///
/// # Errors
/// pidfd_getfd(2): `EBADF` where it has none of that number, `EPERM` without the right to trace it, `ESRCH`.
pub fn copy_descriptor(pidfd: BorrowedFd<'_>, number: i32) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    let raw = unsafe { syscall(everywhere::PIDFD_GETFD, [fd(pidfd), signed(number), 0, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Sends a signal to the process that `pidfd` stands for.
///
/// # Errors
/// `ESRCH` where it has ended and been waited for, `EPERM`, `EINVAL` for a number that is no signal.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: the information pointer is null.
    unsafe { syscall(everywhere::PIDFD_SEND_SIGNAL, [fd(pidfd), signed(signal), 0, 0, 0]) }.map(drop)
}

/// Sends a signal to a process by its number.
///
/// # Errors
/// kill(2).
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall(number::KILL, [signed(pid), signed(signal), 0, 0, 0]) }.map(drop)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Ended {
    /// Of a status as waitpid(2) gives it.
    #[must_use]
    pub const fn from_wait_status(status: i32) -> Self {
        if status & 0x7f == 0 { Self::Exited((status >> 8) & 0xff) } else { Self::Killed(status & 0x7f) }
    }
}

/// Waits for the end of a child, and takes its zombie away.
///
/// # Errors
/// `ECHILD` where `pidfd` is no child of the caller; `EINTR`.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Ended> {
    let status = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)?.ok_or(Errno::CHILD)?;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(Ended::Exited(code)),
        (None, Some(signal)) => Ok(Ended::Killed(signal)),
        (None, None) => Err(Errno::CHILD),
    }
}

/// Waits for any child; `None` while children live and none has ended.
///
/// # Errors
/// `ECHILD` where there is no child.
pub fn reap_any() -> Result<Option<(i32, Ended)>> {
    use rustix::process::{WaitOptions, wait};
    let Some((pid, status)) = wait(WaitOptions::NOHANG)? else { return Ok(None) };
    let ended = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Killed(signal),
        (None, None) => return Ok(None),
    };
    Ok(Some((pid.as_raw_nonzero().get(), ended)))
}

/// How a process ended that need not be a child of the caller; `None` while it lives, and before Linux 6.15.
///
/// <linux/pidfd.h> `PIDFD_GET_INFO`: the kernel keeps the status for whoever has a pidfd, also after it was waited for.
#[must_use]
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Option<Ended> {
    const SIZE: usize = 72;
    const PIDFD_GET_INFO: usize = 0xc000_ff0b | (SIZE << 16);
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    const EXIT_CODE: usize = 15;
    let mut info = [0_u32; SIZE / size_of::<u32>()];
    *info.first_mut()? = u32::try_from(PIDFD_INFO_EXIT).ok()?;
    // SAFETY: the request's number holds the structure's size, which the array has; its first word is the mask.
    unsafe { syscall(number::IOCTL, [fd(pidfd), PIDFD_GET_INFO, info.as_mut_ptr() as usize, 0, 0]) }.ok()?;
    let told = info.first().is_some_and(|mask| u64::from(*mask) & PIDFD_INFO_EXIT != 0);
    let status = i32::try_from(*info.get(EXIT_CODE)?).ok().filter(|_| told)?;
    Some(Ended::from_wait_status(status))
}
