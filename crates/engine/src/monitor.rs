//! The process that stays with a container: it starts it, waits for its end, and cleans up. It outlives the command that
//! asked for the container, and gives that command's terminal its settings back if the command is killed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use sys::clone::Side;
use sys::process::Ended;
use sys::signal::Signals;
use sys::terminal::Settings;

use crate::event::{Event, Failure, send};

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
}

/// Forks a monitor. Comes back in the calling process only.
///
/// # Errors
/// fork(2), and what it needs.
pub(crate) fn fork(charge: &mut dyn Charge, input: Input, lent: Option<Lent>) -> Result<Watch> {
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to the monitor")?;
    let null: OwnedFd = File::options().read(true).write(true).open("/dev/null").doing(|| "open /dev/null")?.into();
    let former = sys::signal::set_blocked(Signals::ALL).doing(|| "block signals")?;
    let side = sys::clone::fork().doing(|| "fork the monitor");
    if matches!(side, Ok(Side::Child)) {
        drop(ours);
        let monitor = Monitor { socket: theirs, null, input, lent, detached: false, closed: false };
        monitor.run(charge);
        sys::process::exit(0);
    }
    sys::signal::set_blocked(former).doing(|| "unblock signals")?;
    match side? {
        Side::Parent { pidfd, .. } => Ok(Watch { socket: ours, monitor: pidfd }),
        Side::Child => sys::process::exit(0),
    }
}

struct Monitor {
    socket: OwnedFd,
    null: OwnedFd,
    input: Input,
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
        let input = if self.input == Input::Caller { stdin.as_fd() } else { self.null.as_fd() };
        let running = charge.start([input, stdout.as_fd(), stderr.as_fd()])?;
        for number in 0..3 {
            let _ = sys::process::place_descriptor(self.null.as_fd(), number);
        }
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
            let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
            let mut waits = vec![readable(running.pidfd.as_fd())];
            let drained = running.terminal.as_ref().filter(|_| self.detached && !self.closed);
            match drained {
                Some(master) => waits.push(readable(master.as_fd())),
                None if !self.detached => waits.push(readable(self.socket.as_fd())),
                None => {}
            }
            let last = waits.len();
            waits.extend(charge.alarms().iter().map(|alarm| PollFd::from_borrowed_fd(alarm.as_fd(), PollFlags::PRI)));
            if poll(&mut waits, None).is_err() {
                continue;
            }
            let happened = |place: usize| waits.get(place).is_some_and(|wait| !wait.revents().is_empty());
            let (ended, told, alarmed) = (happened(0), last > 1 && happened(1), (last..waits.len()).any(happened));
            drop(waits);
            if alarmed {
                charge.alarmed();
            }
            if ended {
                let process = running.pidfd.as_fd();
                return sys::process::wait(process).unwrap_or_else(|_| {
                    Ended::Exited(crate::containers::exit_code_of(running.pid, process).unwrap_or(UNKNOWN))
                });
            }
            if told {
                match drained {
                    Some(master) => {
                        let read = rustix::io::read(master, &mut [0_u8; 4096]);
                        self.closed = read.is_err_and(|errno| errno != Errno::AGAIN);
                    }
                    None => self.client_left(),
                }
            }
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
