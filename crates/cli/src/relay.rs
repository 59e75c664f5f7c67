//! A person's terminal joined to a container's: raw mode, window size, detach keys. Whatever way this ends, the terminal
//! gets its settings back; where carboy itself is killed, the monitor does it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use sys::terminal::{Settings, Size};

/// A terminal in raw mode; it gets its settings back when this is dropped.
pub(crate) struct RawTerminal {
    terminal: OwnedFd,
    former: Settings,
}

impl RawTerminal {
    /// Sets standard input to raw mode; `former` are the settings it had.
    pub(crate) fn set(former: Settings) -> Result<Self> {
        let terminal = std::io::stdin().as_fd().try_clone_to_owned().doing(|| "copy standard input")?;
        sys::terminal::set_settings(terminal.as_fd(), &former.raw()).doing(|| "set the terminal to raw mode")?;
        Ok(Self { terminal, former })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = sys::terminal::set_settings(self.terminal.as_fd(), &self.former);
    }
}

/// The settings of standard input, where it is a terminal.
pub(crate) fn settings() -> Option<Settings> {
    sys::terminal::settings(std::io::stdin().as_fd()).ok()
}

/// The window size of standard input, where it is a terminal.
pub(crate) fn size() -> Size {
    sys::terminal::size(std::io::stdin().as_fd()).unwrap_or_default()
}

/// Finds the detach keys in what is typed. Keys that begin the sequence are held back until it is clear that they do not
/// complete it.
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    held: usize,
}

/// What was typed, seen with the detach keys in mind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Bytes for the container.
    Input(Vec<u8>),
    /// Bytes for the container, and then the detach keys.
    Detach(Vec<u8>),
}

impl DetachKeys {
    pub(crate) const fn new(keys: Vec<u8>) -> Self {
        Self { keys, held: 0 }
    }

    pub(crate) fn see(&mut self, typed: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.held) == Some(byte) {
                self.held += 1;
                if self.held == self.keys.len() {
                    self.held = 0;
                    return Typed::Detach(input);
                }
                continue;
            }
            input.extend_from_slice(self.keys.get(..self.held).unwrap_or_default());
            self.held = usize::from(self.keys.first() == Some(byte));
            if self.held == 0 {
                input.push(*byte);
            }
        }
        Typed::Input(input)
    }
}

/// Copies what can be read now. Gives `None` at the end of the stream; a terminal whose other side is closed says `EIO`.
pub(crate) fn copy_once(from: BorrowedFd<'_>, to: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Option<usize>> {
    match read(from, &mut *buffer) {
        Ok(0) | Err(Errno::IO) => Ok(None),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Some(0)),
        Ok(length) => {
            write_all(to, buffer.get(..length).unwrap_or_default())?;
            Ok(Some(length))
        }
        Err(errno) => Err(errno).doing(|| "read from the terminal"),
    }
}

/// Writes all of `bytes`, waiting where the other side does not take them yet. Nobody reading any more is no error: the
/// end of the stream tells it.
pub(crate) fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write_some(to, bytes)? {
            0 => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
            }
            length => bytes = bytes.get(length..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Writes what the other side takes now, and gives how much that is. Nobody reading any more takes everything.
pub(crate) fn write_some(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    match write(to, bytes) {
        Ok(length) => Ok(length),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(Errno::IO | Errno::PIPE) => Ok(bytes.len()),
        Err(errno) => Err(errno).doing(|| "write to the terminal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> DetachKeys {
        DetachKeys::new(vec![16, 17])
    }

    #[test]
    fn the_detach_keys_are_found_across_reads() {
        let mut keys = keys();
        assert_eq!(keys.see(b"ab\x10"), Typed::Input(b"ab".to_vec()));
        assert_eq!(keys.see(b"\x11cd"), Typed::Detach(Vec::new()));
    }

    #[test]
    fn a_beginning_that_does_not_go_on_is_typed_after_all() {
        let mut keys = keys();
        assert_eq!(keys.see(b"\x10x"), Typed::Input(b"\x10x".to_vec()));
        assert_eq!(keys.see(b"\x10\x10\x11"), Typed::Detach(b"\x10".to_vec()));
    }

    #[test]
    fn without_detach_keys_everything_is_input() {
        assert_eq!(DetachKeys::new(Vec::new()).see(b"\x10\x11"), Typed::Input(b"\x10\x11".to_vec()));
    }
}
