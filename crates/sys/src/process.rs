//! A process's beginning and end: execve(2), exit_group(2), setsid(2), pidfd_send_signal(2), waitid(2).

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ptr::null;

use rustix::fd::BorrowedFd;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::raw::{everywhere, fd, number, signed, syscall};
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
