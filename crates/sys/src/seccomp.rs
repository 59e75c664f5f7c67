//! Seccomp filters: seccomp(2), <linux/filter.h>; those who are asked about calls: seccomp_unotify(2).

use core::mem::size_of;

use rustix::fd::{BorrowedFd, OwnedFd};

use crate::raw::{fd, number, owned, syscall};
use crate::{Errno, Result};

/// One classic BPF instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation: class, size, mode or condition (`BPF_LD | BPF_W | BPF_ABS` …).
    pub code: u16,
    /// Instructions to skip when the condition holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// The constant.
    pub k: u32,
}

/// What seccomp(2) is told about a filter, besides its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// `SECCOMP_FILTER_FLAG_LOG`.
    pub const LOG: Self = Self(1 << 1);
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    pub const NEW_LISTENER: Self = Self(1 << 3);
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// Whether all of `others` are among them.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// <linux/filter.h> `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

const SET_MODE_FILTER: usize = 1;

/// Puts the caller under the filter, for ever; gives the listener that is asked about calls, where the flags want one.
///
/// # Errors
/// `EACCES` with neither CAP_SYS_ADMIN nor no_new_privs; `EINVAL` for a program that the kernel does not accept, or one
/// over 4096 instructions; `EBUSY` where a filter of the caller has a listener already; `ENOMEM`.
pub fn load(program: &[Instruction], flags: Flags) -> Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { length, instructions: program.as_ptr() };
    let words = [SET_MODE_FILTER, flags.0 as usize, (&raw const program) as usize, 0, 0];
    // SAFETY: the program and its instructions are laid out as the kernel has them and live across the call.
    let value = unsafe { syscall(number::SECCOMP, words) }?;
    if flags.0 & Flags::NEW_LISTENER.0 == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the kernel has just made this descriptor for us.
    unsafe { owned(value) }.map(Some)
}

/// Whether the kernel knows the flags, which it looks at before the program.
#[must_use]
pub fn knows(flags: Flags) -> bool {
    // SAFETY: the kernel does not read a program at address zero, and gives EFAULT.
    let loaded = unsafe { syscall(number::SECCOMP, [SET_MODE_FILTER, flags.0 as usize, 0, 0, 0]) };
    loaded == Err(Errno::FAULT)
}

/// A call about which a listener is asked: <linux/seccomp.h> `struct seccomp_notif`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// By what it is answered.
    pub id: u64,
    /// The caller's thread, as the listener numbers it.
    pub pid: u32,
    flags: u32,
    /// The system call's number.
    pub number: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    instruction_pointer: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

const _: () = assert!(size_of::<Asked>() == 80, "struct seccomp_notif");

/// What a listener says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is made.
    Continue,
    /// It is not made and fails with this errno.
    Fail(Errno),
}

/// Waits until a listener is asked.
///
/// # Errors
/// `ENOENT` where the caller was killed meanwhile; `EINTR`.
pub fn asked(listener: BorrowedFd<'_>) -> Result<Asked> {
    const SECCOMP_IOCTL_NOTIF_RECV: usize = 0xc050_2100;
    let mut asked = Asked::default();
    let words = [fd(listener), SECCOMP_IOCTL_NOTIF_RECV, (&raw mut asked) as usize, 0, 0];
    // SAFETY: the request writes struct seccomp_notif, as which `Asked` is laid out, and wants it zeroed.
    unsafe { syscall(number::IOCTL, words) }?;
    Ok(asked)
}

/// Answers a call.
///
/// # Errors
/// `ENOENT` where the caller is gone.
pub fn answer(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> Result<()> {
    const SECCOMP_IOCTL_NOTIF_SEND: usize = 0xc018_2101;
    const SECCOMP_USER_NOTIF_FLAG_CONTINUE: u64 = 1 << 32;
    // <linux/seccomp.h> struct seccomp_notif_resp: id, value, then error and flags in a word.
    let last = match answer {
        Answer::Continue => SECCOMP_USER_NOTIF_FLAG_CONTINUE,
        Answer::Fail(errno) => u64::from(errno.raw_os_error().wrapping_neg().cast_unsigned()),
    };
    let response = [id, 0, last];
    let words = [fd(listener), SECCOMP_IOCTL_NOTIF_SEND, response.as_ptr() as usize, 0, 0];
    // SAFETY: the request reads struct seccomp_notif_resp of 24 bytes, which lives across the call.
    unsafe { syscall(number::IOCTL, words) }.map(drop)
}
