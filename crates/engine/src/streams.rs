//! The standard streams of a process that a monitor starts: what the process gets, and the ends that its monitor keeps.
//!
//! A container's output goes through fifos in its run folder, which the process has open for reading too: a monitor that
//! is killed hurts nobody with `SIGPIPE`, and another one goes on reading where it stopped. pipe(7), fifo(7).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use error::{Doing, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};

use crate::log::Stream;

/// Standard input of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Nothing.
    Null,
    /// What those who are attached type; it does not end.
    Open,
    /// What the first who is attached types; it ends with that.
    Once,
}

/// What a process's streams are to be.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Where its input comes from.
    pub(crate) input: Input,
    /// Whether it has a terminal, which is made with it.
    pub(crate) terminal: bool,
    /// The run folder with its fifos; without one nobody takes its output over.
    pub(crate) folder: Option<PathBuf>,
}

/// What a process gets as its standard streams, unless it has a terminal.
#[derive(Debug)]
pub(crate) struct Standard {
    input: OwnedFd,
    out: OwnedFd,
    err: OwnedFd,
}

/// The monitor's ends, none of which makes it wait.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What is written here the process reads.
    pub(crate) input: Option<OwnedFd>,
    /// Its standard output, or all that its terminal says.
    pub(crate) out: Option<OwnedFd>,
    /// Its standard error.
    pub(crate) err: Option<OwnedFd>,
    /// Which of these was full and holds more now.
    pub(crate) wide: Option<Stream>,
}

impl Kept {
    pub(crate) const fn of(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        }
    }
}

impl Standard {
    pub(crate) fn borrow(&self) -> [BorrowedFd<'_>; 3] {
        [self.input.as_fd(), self.out.as_fd(), self.err.as_fd()]
    }
}

impl Wish {
    /// Makes both sides.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, and what making a fifo gives.
    pub(crate) fn make(&self) -> Result<(Standard, Kept)> {
        let null = || -> Result<OwnedFd> {
            Ok(File::options().read(true).write(true).open("/dev/null").doing(|| "open /dev/null")?.into())
        };
        if self.terminal {
            return Ok((Standard { input: null()?, out: null()?, err: null()? }, Kept::default()));
        }
        let (input, writes) = match self.input {
            Input::Null => (null()?, None),
            Input::Open | Input::Once => {
                let (reads, writes) = pipe()?;
                let () = rustix::io::ioctl_fionbio(&writes, true).doing(|| "set a pipe not to block")?;
                (reads, Some(writes))
            }
        };
        let [(out, reads_out), (err, reads_err)] = match &self.folder {
            Some(folder) => [fifo(&path(folder, Stream::Stdout))?, fifo(&path(folder, Stream::Stderr))?],
            None => [output()?, output()?],
        };
        Ok((
            Standard { input, out, err },
            Kept { input: writes, out: Some(reads_out), err: Some(reads_err), wide: None },
        ))
    }
}

fn path(folder: &Path, stream: Stream) -> PathBuf {
    folder.join(match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    })
}

/// Whoever the process is, it may open its own /dev/stdout again; nobody else comes to it.
const FOR_ANY_WRITER: Mode = Mode::from_raw_mode(0o622);

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe")
}

/// The process's end, and the one that is read from.
fn output() -> Result<(OwnedFd, OwnedFd)> {
    let (reads, writes) = pipe()?;
    rustix::fs::fchmod(&writes, FOR_ANY_WRITER).doing(|| "set the mode of a pipe")?;
    rustix::io::ioctl_fionbio(&reads, true).doing(|| "set a pipe not to block")?;
    Ok((writes, reads))
}

/// Makes a fifo, or takes the one of an earlier start, whose mode is set in any case.
fn fifo(path: &Path) -> Result<(OwnedFd, OwnedFd)> {
    match rustix::fs::mknodat(CWD, path, FileType::Fifo, FOR_ANY_WRITER, 0) {
        Err(rustix::io::Errno::EXIST) => {}
        made => made.doing(|| format!("make the fifo {}", path.display()))?,
    }
    rustix::fs::chmod(path, FOR_ANY_WRITER).doing(|| format!("set the mode of {}", path.display()))?;
    let reads = open_reader(path)?;
    let both = OFlags::RDWR | OFlags::CLOEXEC;
    let writes = rustix::fs::open(path, both, Mode::empty()).doing(|| format!("open {}", path.display()))?;
    Ok((writes, reads))
}

fn open_reader(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).doing(|| format!("open {}", path.display()))
}
