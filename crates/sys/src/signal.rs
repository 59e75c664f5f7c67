//! Signals: rt_sigaction(2), rt_sigprocmask(2), signalfd(2).

use core::mem::size_of;

use rustix::fd::{BorrowedFd, OwnedFd};

use crate::raw::{fd, number, owned, signed, syscall};
use crate::{Errno, Result};

/// A set of signals: bit N-1 for signal N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signals(pub u64);

impl Signals {
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);
    /// No signal.
    pub const NONE: Self = Self(0);

    /// This set with the signal `number` added.
    #[must_use]
    pub const fn with(self, number: u32) -> Self {
        Self(self.0 | (1 << (number.saturating_sub(1) % 64)))
    }
}

/// The number of the last signal.
pub const LAST: u32 = 64;

/// Sets which signals wait instead of being delivered, and gives the former set.
///
/// # Errors
/// None that a kernel gives.
pub fn set_blocked(signals: Signals) -> Result<Signals> {
    const SIG_SETMASK: usize = 2;
    let mut former = Signals::NONE;
    let words = [SIG_SETMASK, (&raw const signals) as usize, (&raw mut former) as usize, size_of::<u64>(), 0];
    // SAFETY: both sets are 8 bytes, as the last argument says, and live across the call.
    unsafe { syscall(number::RT_SIGPROCMASK, words) }?;
    Ok(former)
}

/// What a signal does to the process when it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// What the kernel has for it.
    Default,
    /// Nothing.
    Ignore,
}

/// Sets what `signal` does.
///
/// # Errors
/// `EINVAL` for SIGKILL, SIGSTOP and numbers that are no signal.
pub fn set_disposition(signal: u32, disposition: Disposition) -> Result<()> {
    let handler: u64 = match disposition {
        Disposition::Default => 0,
        Disposition::Ignore => 1,
    };
    let action: [u64; 4] = [handler, 0, 0, 0];
    let words = [signal as usize, action.as_ptr() as usize, 0, size_of::<u64>(), 0];
    // SAFETY: the kernel's struct sigaction is at most four words, with the handler first; the handler is one of the
    // two constants, so no code of ours can be called; the former action is not asked for.
    unsafe { syscall(number::RT_SIGACTION, words) }.map(drop)
}

/// Gives every signal its default disposition and blocks none: what a new program expects.
///
/// # Errors
/// None that a kernel gives.
pub fn reset() -> Result<()> {
    for signal in 1..=LAST {
        match set_disposition(signal, Disposition::Default) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    set_blocked(Signals::NONE).map(drop)
}

/// A descriptor from which the blocked `signals` are read; it never blocks.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn descriptor(signals: Signals) -> Result<OwnedFd> {
    const SFD_CLOEXEC_NONBLOCK: usize = 0o2_000_000 | 0o4_000;
    let words = [signed(-1), (&raw const signals) as usize, size_of::<u64>(), SFD_CLOEXEC_NONBLOCK, 0];
    // SAFETY: the set is 8 bytes, as the third argument says, and lives across the call.
    let raw = unsafe { syscall(number::SIGNALFD4, words) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { owned(raw) }
}

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A process, by kill(2) or the like.
    Process,
    /// The kernel: a key of the terminal, a fault, a child's end.
    Kernel,
}

/// The next signal that waits in `descriptor`, and who sent it.
///
/// # Errors
/// read(2), but for `EAGAIN`, which is `None`.
pub fn next(descriptor: BorrowedFd<'_>) -> Result<Option<(u32, Origin)>> {
    const SIZE: usize = 128;
    let mut info = [0_i32; SIZE / size_of::<i32>()];
    // SAFETY: the kernel writes at most SIZE bytes, which the array holds: signalfd(2)'s structure of 128 bytes.
    match unsafe { syscall(number::READ, [fd(descriptor), info.as_mut_ptr() as usize, SIZE, 0, 0]) } {
        Ok(_) => {
            let [signal, _, code, ..] = info;
            let origin = if code > 0 { Origin::Kernel } else { Origin::Process };
            Ok(Some((signal.cast_unsigned(), origin)))
        }
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The names of the signals from 1 up, on x86-64 and arm64.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The first and the last signal for real-time use that the C library leaves to programs.
const RTMIN: u32 = 34;
const RTMAX: u32 = 64;

/// The number of a signal by its name, with or without `SIG`, in any case, or by its number: `TERM`, `SIGTERM`, `15`,
/// `RTMIN+3`. `None` for what is no signal.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    let name = behind(text, "SIG").unwrap_or(text);
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    if let Some(place) = NAMES.iter().position(|known| is(known)) {
        return u32::try_from(place + 1).ok();
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
    let offset = |text: &str, sign| if text.is_empty() { Some(0) } else { digits(text.strip_prefix(sign)?) };
    let real_time = |number: u32| (RTMIN..=RTMAX).contains(&number).then_some(number);
    let aliases = [("POLL", 29), ("CLD", 17), ("IOT", 6)];
    let alias = aliases.iter().find(|(known, _)| is(known)).map(|(_, number)| *number);
    let known = alias.or_else(|| digits(name).filter(|number| (1..=LAST).contains(number)));
    let counted_up = || real_time(RTMIN.checked_add(offset(behind(name, "RTMIN")?, '+')?)?);
    let counted_down = || real_time(RTMAX.checked_sub(offset(behind(name, "RTMAX")?, '-')?)?);
    known.or_else(counted_up).or_else(counted_down)
}

/// The name of a signal without `SIG`: `TERM`. Those for real-time use have none.
#[must_use]
pub fn name(number: u32) -> Option<&'static str> {
    NAMES.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// What follows a prefix, whose case does not matter.
fn behind<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { text.get(prefix.len()..) } else { None }
}
