//! `run` and `exec` while somebody waits for the end: signals go to the process, its terminal to the caller's streams, and
//! its code is the command's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Result};
use runtime::apply::Running;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, retry_on_intr, write};
use sys::process::Ended;
use sys::signal::Signals;
use sys::terminal::Settings;

use crate::notify::Proxy;

/// signal(7): those about this process's own children and terminal, and those that it must die of itself.
const OWN: [u32; 6] = [4, 7, 8, 11, 17, 20];
const WINCH: u32 = 28;

/// Has every signal come by a descriptor.
///
/// # Errors
/// A kernel error.
pub(crate) fn take_signals() -> Result<OwnedFd> {
    let descriptor = sys::signal::descriptor(Signals::ALL).doing(|| "take signals")?;
    sys::signal::set_blocked(Signals::ALL).doing(|| "block signals")?;
    Ok(descriptor)
}

/// The caller's terminal in raw mode; it gets its settings back when this is dropped.
struct Raw(Settings);

impl Raw {
    fn set() -> Option<Self> {
        let stdin = std::io::stdin();
        let former = sys::terminal::settings(stdin.as_fd()).ok()?;
        sys::terminal::set_settings(stdin.as_fd(), &former.raw()).ok()?;
        Some(Self(former))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = sys::terminal::set_settings(std::io::stdin().as_fd(), &self.0);
    }
}

/// Waits for the end of a process, and gives its code, or 128 and the signal that ended it. What it says of itself is said
/// of this process, which is the one that is watched.
///
/// # Errors
/// A kernel error.
pub(crate) fn attend(running: &Running, signals: &OwnedFd, proxy: Option<&Proxy>) -> Result<u8> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let raw = if running.terminal.is_some() { Raw::set() } else { None };
    let mut master = running.terminal.as_ref();
    let mut typing = master.is_some();
    resize(master, raw.as_ref());
    let ended = loop {
        let readable = |file| PollFd::from_borrowed_fd(file, PollFlags::IN);
        let mut waits = vec![readable(running.pidfd.as_fd()), readable(signals.as_fd())];
        waits.extend(master.map(|master| readable(master.as_fd())));
        waits.extend(master.filter(|_| typing).map(|_| readable(stdin.as_fd())));
        let talking = waits.len();
        waits.extend(proxy.map(|proxy| readable(proxy.as_fd())));
        retry_on_intr(|| poll(&mut waits, None)).doing(|| "wait for the process")?;
        let happened: Vec<bool> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        let happened = |place: usize| happened.get(place).copied().unwrap_or(false);
        if happened(1) {
            while let Some((signal, _)) = sys::signal::next(signals.as_fd()).doing(|| "read a signal")? {
                forward(signal, running, raw.as_ref());
            }
        }
        if let Some(proxy) = proxy.filter(|_| happened(talking)) {
            // Who waits for the messages may be gone; the program is not.
            let _ = proxy.pass_on(i32::try_from(std::process::id()).unwrap_or(0));
        }
        if let Some(terminal) = master {
            if happened(2) && copy(terminal.as_fd(), stdout.as_fd())? == Flow::Ended {
                master = None;
            }
            if typing && happened(3) && copy(stdin.as_fd(), terminal.as_fd())? == Flow::Ended {
                typing = false;
            }
        }
        if happened(0) {
            break sys::process::wait(running.pidfd.as_fd()).doing(|| "wait for the process")?;
        }
    };
    while let Some(terminal) = master {
        let mut rest = [PollFd::new(terminal, PollFlags::IN)];
        let none = poll(&mut rest, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0) == 0;
        if none || copy(terminal.as_fd(), stdout.as_fd())? == Flow::Ended {
            break;
        }
    }
    drop(raw);
    let code = match ended {
        Ended::Exited(code) => code,
        Ended::Killed(signal) => 128 + signal,
    };
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

fn forward(signal: u32, running: &Running, raw: Option<&Raw>) {
    if signal == WINCH {
        resize(running.terminal.as_ref(), raw);
    } else if !OWN.contains(&signal) {
        let _ = sys::process::send_signal(running.pidfd.as_fd(), i32::try_from(signal).unwrap_or(0));
    }
}

/// The process's terminal is as large as the caller's.
fn resize(master: Option<&OwnedFd>, raw: Option<&Raw>) {
    if let (Some(master), Some(_)) = (master, raw)
        && let Ok(size) = sys::terminal::size(std::io::stdin().as_fd())
    {
        let _ = sys::terminal::set_size(master.as_fd(), size);
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    GoesOn,
    Ended,
}

/// Passes on what can be read now. A terminal whose other side is closed says `EIO`.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<Flow> {
    let mut buffer = [0; 16 * 1024];
    let length = match read(from, &mut buffer) {
        Ok(0) | Err(Errno::IO) => return Ok(Flow::Ended),
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Flow::GoesOn),
        length => length.doing(|| "read from the terminal")?,
    };
    let mut rest = buffer.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        match write(to, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            Err(Errno::IO | Errno::PIPE) => return Ok(Flow::GoesOn),
            Err(errno) => return Err(errno).doing(|| "write to the terminal"),
        }
    }
    Ok(Flow::GoesOn)
}
