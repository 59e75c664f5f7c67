//! Where the process of a container waits to be started: a byte that comes through one pipe starts its program, and what
//! kept that from being started comes back through another one. For whoever calls `start` later the pipes have names in
//! the container's folder; `run` starts what it has made itself, and its pipes have none.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use error::{Doing, Errno, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::retry_on_intr;

/// The first pipe's name until the container is whole, and afterwards; the second one's.
const MAKING: &str = "making";
const START: &str = "start";
const FAILURE: &str = "failure";

/// `O_NONBLOCK` of open(2): a pipe is opened without waiting for its other side.
const NONBLOCK: i32 = 0o4000;

/// The ends of the two pipes that the process has.
pub(crate) struct Inner {
    pub(crate) start: OwnedFd,
    pub(crate) failure: OwnedFd,
}

/// Who starts the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Starter {
    /// Whoever calls `start`.
    Anybody,
    /// Who makes the container.
    Maker,
}

/// The other ends.
pub(crate) enum Gate {
    /// In the container's folder.
    Named,
    /// Nobody else has them.
    Own { start: File, failure: File },
}

impl Gate {
    /// Makes the pipes of a new container. Those with names are open for reading and writing, so that no opening waits for
    /// the other side; the name of the first says that the container is not whole yet, whoever starts it.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn make(folder: &Path, starter: Starter) -> Result<(Self, Inner)> {
        let make = |name: &str| {
            let path = folder.join(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                .doing(|| format!("make the pipe {}", path.display()))
        };
        make(MAKING)?;
        if starter == Starter::Maker {
            let pipe = || std::io::pipe().doing(|| "make a pipe");
            let ((inner_start, start), (failure, inner_failure)) = (pipe()?, pipe()?);
            let own = Self::Own { start: OwnedFd::from(start).into(), failure: OwnedFd::from(failure).into() };
            return Ok((own, Inner { start: inner_start.into(), failure: inner_failure.into() }));
        }
        make(FAILURE)?;
        let open = |name: &str| -> Result<OwnedFd> {
            let path = folder.join(name);
            let file = File::options().read(true).write(true).open(&path);
            file.map(OwnedFd::from).doing(|| format!("open the pipe {}", path.display()))
        };
        Ok((Self::Named, Inner { start: open(MAKING)?, failure: open(FAILURE)? }))
    }

    /// The container is whole, and waits to be started.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn finish(&self, folder: &Path) -> Result<()> {
        match self {
            Self::Own { .. } => Ok(()),
            Self::Named => fs::rename(folder.join(MAKING), folder.join(START)).doing(action),
        }
    }

    /// Starts the program of a container that waits, and gives what its process says of why it could not.
    ///
    /// # Errors
    /// A kernel error; `ENXIO` or `EPIPE` where nobody waits any more.
    pub(crate) fn open(self, folder: &Path) -> Result<Vec<u8>> {
        let (mut start, failure) = match self {
            Self::Own { start, failure } => (start, failure),
            Self::Named => {
                let open = |name: &str, read: bool| {
                    let mut options = File::options();
                    options.read(read).write(!read).custom_flags(NONBLOCK);
                    options.open(folder.join(name)).doing(action)
                };
                let failure = open(FAILURE, true)?;
                (open(START, false)?, failure)
            }
        };
        start.write_all(&[0]).doing(action)?;
        let mut said = Vec::new();
        let mut buffer = [0; 64];
        loop {
            let mut waits = [PollFd::new(&failure, PollFlags::IN)];
            retry_on_intr(|| poll(&mut waits, None)).doing(action)?;
            match rustix::io::read(failure.as_fd(), &mut buffer) {
                Ok(0) => break,
                Ok(length) => said.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno).doing(action),
            }
        }
        remove(folder);
        Ok(said)
    }
}

fn action() -> &'static str {
    "start the container's program"
}

/// Whether a container is still being made.
pub(crate) fn is_being_made(folder: &Path) -> bool {
    folder.join(MAKING).exists()
}

/// Whether a container waits to be started.
pub(crate) fn waits(folder: &Path) -> bool {
    folder.join(START).exists()
}

/// The program runs, or never will.
pub(crate) fn remove(folder: &Path) {
    for name in [MAKING, START, FAILURE] {
        let _ = fs::remove_file(folder.join(name));
    }
}
