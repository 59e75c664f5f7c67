//! Terminals: ioctl_tty(2), pty(7), pts(4).

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::path::{Access, Within, open_below};
use crate::raw::{fd, number, owned, syscall};
use crate::{Errno, Result};

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Opens a new pseudo-terminal of the devpts whose folder is `pts`: its master and its terminal.
///
/// # Errors
/// `ENOSPC` at the limit of terminals; `ENOENT` where `pts` is no devpts.
pub fn open(pts: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd)> {
    const TIOCSPTLCK: usize = 0x4004_5431;
    const TIOCGPTPEER: usize = 0x5441;
    const RDWR_NOCTTY_CLOEXEC: usize = 0o2 | 0o400 | 0o2_000_000;
    let master = open_below(pts, c"ptmx", Access::Terminal, Within::Mount)?;
    let unlocked = 0_i32;
    // SAFETY: the request reads one int, which lives across the call.
    unsafe { syscall(number::IOCTL, [fd(master.as_fd()), TIOCSPTLCK, (&raw const unlocked) as usize, 0, 0]) }?;
    // SAFETY: the request takes flags, no pointer.
    let raw = unsafe { syscall(number::IOCTL, [fd(master.as_fd()), TIOCGPTPEER, RDWR_NOCTTY_CLOEXEC, 0, 0]) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    let terminal = unsafe { owned(raw) }?;
    Ok((master, terminal))
}

/// Opens a terminal once more by its place below `root`: a mount namespace that was copied has other mounts than the one
/// that it was opened on, and its name in /proc/PID/fd is none then.
///
/// # Errors
/// `ENOENT` and others of openat2(2) where it is not there; `ENXIO` where another is.
pub fn reopen(terminal: BorrowedFd<'_>, root: BorrowedFd<'_>) -> Result<OwnedFd> {
    const FOLDER: &[u8] = b"dev/pts/";
    let held = rustix::fs::fstat(terminal)?;
    let number = rustix::fs::minor(held.st_rdev);
    let mut divisor = 1_000_000_000_u32;
    while divisor > 1 && number < divisor {
        divisor /= 10;
    }
    let mut path = [0_u8; 32];
    let (folder, digits) = path.split_at_mut(FOLDER.len());
    folder.copy_from_slice(FOLDER);
    for digit in digits {
        let Some(quotient) = number.checked_div(divisor) else { break };
        *digit = b'0' | (quotient % 10).to_le_bytes()[0];
        divisor /= 10;
    }
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NAMETOOLONG)?;
    let opened = open_below(root, path, Access::Terminal, Within::Root)?;
    let found = rustix::fs::fstat(&opened)?;
    if (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino) { Ok(opened) } else { Err(Errno::NXIO) }
}

/// Makes `terminal` the controlling terminal of the caller, who leads a session.
///
/// # Errors
/// `EPERM` where the caller leads no session or the terminal belongs to another.
pub fn make_controlling(terminal: BorrowedFd<'_>) -> Result<()> {
    const TIOCSCTTY: usize = 0x540e;
    // SAFETY: the request takes a number, no pointer.
    unsafe { syscall(number::IOCTL, [fd(terminal), TIOCSCTTY, 0, 0, 0]) }.map(drop)
}

/// The size of a terminal.
///
/// # Errors
/// `ENOTTY`.
pub fn size(terminal: BorrowedFd<'_>) -> Result<Size> {
    const TIOCGWINSZ: usize = 0x5413;
    let mut size = [0_u16; 4];
    // SAFETY: struct winsize is four 16-bit words, which live across the call.
    unsafe { syscall(number::IOCTL, [fd(terminal), TIOCGWINSZ, size.as_mut_ptr() as usize, 0, 0]) }?;
    let [rows, columns, ..] = size;
    Ok(Size { rows, columns })
}

/// Sets the size of a terminal; the processes in its foreground get SIGWINCH when it changes.
///
/// # Errors
/// `ENOTTY`.
pub fn set_size(terminal: BorrowedFd<'_>, size: Size) -> Result<()> {
    const TIOCSWINSZ: usize = 0x5414;
    let words = [size.rows, size.columns, 0, 0];
    // SAFETY: struct winsize is four 16-bit words, which live across the call.
    unsafe { syscall(number::IOCTL, [fd(terminal), TIOCSWINSZ, words.as_ptr() as usize, 0, 0]) }.map(drop)
}

/// The settings of a terminal, to be given back to it later: the kernel's `struct termios2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
    input_speed: u32,
    output_speed: u32,
}

impl Settings {
    /// These settings with every byte passed on as it comes: cfmakeraw of termios(3).
    #[must_use]
    pub fn raw(self) -> Self {
        const INPUT: u32 = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000;
        const OPOST: u32 = 0o1;
        const LOCAL: u32 = 0o10 | 0o100 | 0o2 | 0o1 | 0o100_000;
        const CSIZE_PARENB: u32 = 0o60 | 0o400;
        const CS8: u32 = 0o60;
        const VTIME: usize = 5;
        const VMIN: usize = 6;
        let mut raw = self;
        raw.input &= !INPUT;
        raw.output &= !OPOST;
        raw.local &= !LOCAL;
        raw.control = (raw.control & !CSIZE_PARENB) | CS8;
        for (index, value) in [(VTIME, 0), (VMIN, 1)] {
            if let Some(character) = raw.characters.get_mut(index) {
                *character = value;
            }
        }
        raw
    }
}

const _: () = assert!(core::mem::size_of::<Settings>() == 44, "struct termios2");

/// The settings of a terminal.
///
/// # Errors
/// `ENOTTY` where it is none.
pub fn settings(terminal: BorrowedFd<'_>) -> Result<Settings> {
    const TCGETS2: usize = 0x802c_542a;
    let mut settings = Settings {
        input: 0,
        output: 0,
        control: 0,
        local: 0,
        line: 0,
        characters: [0; 19],
        input_speed: 0,
        output_speed: 0,
    };
    // SAFETY: the request writes struct termios2, as which `Settings` is laid out.
    unsafe { syscall(number::IOCTL, [fd(terminal), TCGETS2, (&raw mut settings) as usize, 0, 0]) }?;
    Ok(settings)
}

/// Gives a terminal its settings, at once.
///
/// # Errors
/// `ENOTTY`, `EIO`.
pub fn set_settings(terminal: BorrowedFd<'_>, settings: &Settings) -> Result<()> {
    const TCSETS2: usize = 0x402c_542b;
    // SAFETY: the request reads struct termios2, as which `Settings` is laid out.
    unsafe { syscall(number::IOCTL, [fd(terminal), TCSETS2, (&raw const *settings) as usize, 0, 0]) }.map(drop)
}
