//! The process that stays with a container: it starts it, waits for its end, and cleans up. It outlives the command that
//! asked for the container, and gives that command's terminal its settings back if the command is killed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use sys::clone::Side;
use sys::process::Ended;
use sys::signal::Signals;
use sys::terminal::Settings;

use crate::event::{Event, Failure, send};
use crate::log::{Stream, Writer};

/// The terminal of the person who asked, and the settings it had.
#[derive(Debug)]
pub struct Lent {
    /// The terminal.
    pub terminal: OwnedFd,
    /// What to give back.
    pub settings: Settings,
}

/// The command's side of a monitor.
#[derive(Debug)]
pub struct Watch {
    /// Where events come from; a byte sent there says that the command leaves of its own will.
    pub socket: OwnedFd,
    monitor: OwnedFd,
}

impl Watch {
    /// Leaves the container to its monitor.
    pub fn detach(self) {
        let _ = sys::socket::send(self.socket.as_fd(), b"d", None);
    }

    /// Waits until the monitor is gone.
    pub fn finish(self) {
        let _ = sys::process::wait(self.monitor.as_fd());
    }
}

/// What a monitor does with its process: a new container, or one more process in a container.
pub(crate) trait Charge {
    /// Starts the process with these standard streams.
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<runtime::apply::Running>;
    /// Undoes what was made before the start failed.
    fn abandon(&mut self);
    /// What is to be looked at when it changes while the process runs.
    fn alarms(&self) -> &[OwnedFd] {
        &[]
    }
    /// One of them has changed.
    fn alarmed(&mut self) {}
    /// Cleans up after the process has ended, and tells how.
    fn finish(&mut self, ended: Ended) -> Event;
}

/// The exit code of a process of which the kernel does not tell it.
const UNKNOWN: i32 = 255;

/// Standard input of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The caller's.
    Caller,
    /// Nothing.
    Null,
    /// One to which nothing comes, and which does not end.
    Silent,
}

/// Where a charge reads from and writes to.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Where its standard input comes from.
    pub(crate) input: Input,
    /// Where its output goes.
    pub(crate) output: Output,
}

/// Where a charge's output goes.
#[derive(Debug)]
pub(crate) enum Output {
    /// To the caller.
    Caller,
    /// Nowhere.
    Null,
    /// Into a log.
    Log(Writer),
}

/// Forks a monitor. Comes back in the calling process only.
///
/// # Errors
/// fork(2), and what it needs.
pub(crate) fn fork(charge: &mut dyn Charge, streams: Streams, lent: Option<Lent>) -> Result<Watch> {
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to the monitor")?;
    let null: OwnedFd = File::options().read(true).write(true).open("/dev/null").doing(|| "open /dev/null")?.into();
    let former = sys::signal::set_blocked(Signals::ALL).doing(|| "block signals")?;
    let side = sys::clone::fork().doing(|| "fork the monitor");
    if matches!(side, Ok(Side::Child)) {
        drop(ours);
        let monitor =
            Monitor { socket: theirs, null, streams, pipes: Pipes::default(), lent, detached: false, closed: false };
        monitor.run(charge);
        sys::process::exit(0);
    }
    sys::signal::set_blocked(former).doing(|| "unblock signals")?;
    match side? {
        Side::Parent { pidfd, .. } => Ok(Watch { socket: ours, monitor: pidfd }),
        Side::Child => sys::process::exit(0),
    }
}

/// The monitor's ends of what stands for a charge's standard streams.
#[derive(Debug, Default)]
struct Pipes {
    /// Held, so that what reads from it waits.
    _input: Option<OwnedFd>,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
}

/// What a monitor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Process,
    Client,
    Terminal,
    Out,
    Err,
    Alarm,
}

/// How much of what was written last is still read when the process has ended: others may write for ever.
const REST: usize = 1 << 20;

struct Monitor {
    socket: OwnedFd,
    null: OwnedFd,
    streams: Streams,
    pipes: Pipes,
    lent: Option<Lent>,
    /// Nobody is attached: what the terminal says goes nowhere, until all who had it open have closed it.
    detached: bool,
    closed: bool,
}

impl Monitor {
    fn run(mut self, charge: &mut dyn Charge) {
        let _ = sys::process::new_session();
        let _ = sys::credentials::set_not_dumpable();
        let event = match self.start(charge) {
            Ok(running) => {
                let ended = self.wait(&running, charge);
                drop(running);
                charge.finish(ended)
            }
            Err(error) => {
                charge.abandon();
                Event::Failed(Failure::of(&error))
            }
        };
        send(self.socket.as_fd(), &event, None);
    }

    fn start(&mut self, charge: &mut dyn Charge) -> Result<runtime::apply::Running> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe");
        let silent = if self.streams.input == Input::Silent { Some(pipe()?) } else { None };
        let logged = if let Output::Log(_) = self.streams.output { Some((pipe()?, pipe()?)) } else { None };
        let input = match (self.streams.input, &silent) {
            (Input::Caller, _) => stdin.as_fd(),
            (_, Some((reads, _))) => reads.as_fd(),
            _ => self.null.as_fd(),
        };
        let (out, err) = match (&self.streams.output, &logged) {
            (Output::Caller, _) => (stdout.as_fd(), stderr.as_fd()),
            (_, Some(((_, out), (_, err)))) => (out.as_fd(), err.as_fd()),
            _ => (self.null.as_fd(), self.null.as_fd()),
        };
        let running = charge.start([input, out, err])?;
        for number in 0..3 {
            let _ = sys::process::place_descriptor(self.null.as_fd(), number);
        }
        if let Some(((out, _), (err, _))) = logged {
            for end in [&out, &err].into_iter().chain(&running.terminal) {
                let _ = rustix::io::ioctl_fionbio(end, true);
            }
            self.pipes = Pipes { _input: None, out: Some(out), err: Some(err) };
        }
        self.pipes._input = silent.map(|(_, writes)| writes);
        send(self.socket.as_fd(), &Event::Started { pid: running.pid.0 }, Some(running.pidfd.as_fd()));
        if let Some(master) = &running.terminal {
            send(self.socket.as_fd(), &Event::Terminal, Some(master.as_fd()));
        }
        Ok(running)
    }

    /// Waits for the end of the process. While a command is attached, it reads the terminal; when it has left, somebody
    /// must, or the container would stop when the terminal's buffer is full.
    fn wait(&mut self, running: &runtime::apply::Running, charge: &mut dyn Charge) -> Ended {
        loop {
            let happened = self.happened(running, charge);
            if happened.contains(&Source::Alarm) {
                charge.alarmed();
            }
            if happened.contains(&Source::Client) {
                self.client_left();
            }
            for source in [Source::Out, Source::Err, Source::Terminal] {
                if happened.contains(&source) {
                    self.read(source, running);
                }
            }
            if happened.contains(&Source::Process) {
                self.read_the_rest(running);
                let process = running.pidfd.as_fd();
                return sys::process::wait(process).unwrap_or_else(|_| {
                    Ended::Exited(crate::containers::exit_code_of(running.pid, process).unwrap_or(UNKNOWN))
                });
            }
        }
    }

    fn happened(&self, running: &runtime::apply::Running, charge: &dyn Charge) -> Vec<Source> {
        let reads_terminal = (self.detached || self.is_logged()) && !self.closed;
        let sources = [
            Some((Source::Process, running.pidfd.as_fd())),
            (!self.detached).then_some((Source::Client, self.socket.as_fd())),
            running.terminal.as_ref().filter(|_| reads_terminal).map(|master| (Source::Terminal, master.as_fd())),
            self.pipes.out.as_ref().map(|out| (Source::Out, out.as_fd())),
            self.pipes.err.as_ref().map(|err| (Source::Err, err.as_fd())),
        ];
        let readable = sources.into_iter().flatten().map(|(source, file)| (source, file, PollFlags::IN));
        let alarms = charge.alarms().iter().map(|alarm| (Source::Alarm, alarm.as_fd(), PollFlags::PRI));
        let waited: Vec<_> = readable.chain(alarms).collect();
        let mut waits: Vec<_> = waited.iter().map(|(_, file, flags)| PollFd::from_borrowed_fd(*file, *flags)).collect();
        if poll(&mut waits, None).is_err() {
            return Vec::new();
        }
        let ready = waited.iter().zip(&waits).filter(|(_, wait)| !wait.revents().is_empty());
        ready.map(|((source, ..), _)| *source).collect()
    }

    const fn is_logged(&self) -> bool {
        matches!(self.streams.output, Output::Log(_))
    }

    /// Reads once what is there; gives how much that was, 0 where there is nothing or nothing more to come.
    fn read(&mut self, source: Source, running: &runtime::apply::Running) -> usize {
        let mut buffer = [0_u8; 16 * 1024];
        let file = match source {
            Source::Out => self.pipes.out.as_ref(),
            Source::Err => self.pipes.err.as_ref(),
            _ => running.terminal.as_ref(),
        };
        let Some(file) = file else { return 0 };
        let length = match rustix::io::read(file, &mut buffer) {
            Err(Errno::AGAIN | Errno::INTR) => return 0,
            Ok(0) | Err(_) => {
                match source {
                    Source::Out => self.pipes.out = None,
                    Source::Err => self.pipes.err = None,
                    _ => self.closed = true,
                }
                return 0;
            }
            Ok(length) => length,
        };
        if let Output::Log(log) = &mut self.streams.output {
            let stream = if source == Source::Err { Stream::Stderr } else { Stream::Stdout };
            log.take(stream, buffer.get(..length).unwrap_or_default());
        }
        length
    }

    /// What a process wrote before it ended is still there when it has.
    fn read_the_rest(&mut self, running: &runtime::apply::Running) {
        if !self.is_logged() {
            return;
        }
        for source in [Source::Out, Source::Err, Source::Terminal] {
            let mut rest = 0;
            while rest < REST {
                match self.read(source, running) {
                    0 => break,
                    length => rest += length,
                }
            }
        }
        if let Output::Log(log) = &mut self.streams.output {
            log.finish();
        }
    }

    fn client_left(&mut self) {
        let mut message = [0; 1];
        let said = sys::socket::receive(self.socket.as_fd(), &mut message).is_ok_and(|(length, _)| length > 0);
        self.detached = true;
        if let Some(lent) = self.lent.take().filter(|_| !said) {
            let _ = sys::terminal::set_settings(lent.terminal.as_fd(), &lent.settings);
        }
    }
}
