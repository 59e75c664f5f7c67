//! The command that asked for a container, while the container runs: it relays the terminal, forwards signals, and ends as
//! the container's command did.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use engine::HostPid;
use engine::event::{self, Event, Failure};
use engine::launch::NewFile;
use engine::monitor::{Lent, Watch};
use engine::shortage::Shortage;
use error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sys::signal::Signals;
use sys::terminal::Settings;

use crate::relay::{self, DetachKeys, RawTerminal, Typed};

/// How it ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The command ended with this code.
    Exited {
        /// The code.
        code: i32,
        /// What it had too little of.
        shortage: Shortage,
        /// What could not be removed.
        left: Vec<String>,
    },
    /// It could not be started.
    Failed(Failure),
    /// The person left, and it goes on.
    Detached,
    /// The monitor is gone, and with it the exit code, unless the kernel still tells it.
    Unattended(Option<i32>),
}

/// What is wanted of the terminal.
pub(crate) struct Wishes<'w> {
    /// The settings of the person's terminal, if the container gets one.
    pub(crate) terminal: Option<Settings>,
    /// Whether what is typed goes to the container.
    pub(crate) interactive: bool,
    /// The keys that detach.
    pub(crate) detach_keys: Vec<u8>,
    /// Whether the person leaves as soon as it runs.
    pub(crate) leaves: bool,
    /// Where the PID goes.
    pub(crate) pidfile: Option<NewFile<'w>>,
}

const SIGKILL: i32 = 9;
const SIGWINCH: u32 = 28;
/// SIGCHLD and SIGPIPE tell this process something, not the container; so do the stop signals of reading and writing.
const OWN_SIGNALS: [u32; 4] = [13, 17, 21, 22];

/// Blocks the signals that are for the container, before anything is started, and gives the descriptor that tells of them.
pub(crate) fn take_signals() -> Result<OwnedFd> {
    sys::signal::set_blocked(Signals::ALL).doing(|| "block signals")?;
    sys::signal::descriptor(Signals::ALL).doing(|| "wait for signals")
}

/// The person's terminal, for the monitor to give back if this command is killed.
pub(crate) fn lend(settings: Option<Settings>) -> Result<Option<Lent>> {
    let Some(settings) = settings else { return Ok(None) };
    let terminal = std::io::stdin().as_fd().try_clone_to_owned().doing(|| "copy standard input")?;
    Ok(Some(Lent { terminal, settings }))
}

/// Stays with a container until it ends or the person leaves.
pub(crate) fn attend(watch: Watch, signals: &OwnedFd, wishes: Wishes<'_>) -> Result<Outcome> {
    let mut attendance = Attendance {
        detach_keys: DetachKeys::new(wishes.detach_keys.clone()),
        typing: wishes.interactive && wishes.terminal.is_some(),
        typed: Vec::new(),
        wishes,
        process: None,
        alone: false,
        master: None,
        raw: None,
    };
    let outcome = attendance.run(&watch, signals);
    drop(attendance);
    match outcome? {
        Outcome::Detached => {
            watch.detach();
            Ok(Outcome::Detached)
        }
        outcome => {
            watch.finish();
            Ok(outcome)
        }
    }
}

struct Attendance<'w> {
    wishes: Wishes<'w>,
    detach_keys: DetachKeys,
    typing: bool,
    /// What was typed and not yet taken.
    typed: Vec<u8>,
    /// The container's process: its PID, and a handle on it.
    process: Option<(HostPid, OwnedFd)>,
    /// Whether the monitor is gone.
    alone: bool,
    master: Option<OwnedFd>,
    raw: Option<RawTerminal>,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Monitor,
    Process,
    Signals,
    Terminal,
    Person,
}

impl Attendance<'_> {
    fn run(&mut self, watch: &Watch, signals: &OwnedFd) -> Result<Outcome> {
        loop {
            for source in self.wait(watch, signals) {
                let outcome = match source {
                    Source::Monitor => self.hear(watch)?,
                    Source::Process => self.see_end()?,
                    Source::Signals => self.forward(signals)?,
                    Source::Terminal => self.exchange()?,
                    Source::Person => self.type_on()?,
                };
                if let Some(outcome) = outcome {
                    return Ok(outcome);
                }
            }
        }
    }

    /// The terminal comes before the monitor, so that all of the output is shown before the end is known.
    fn wait(&self, watch: &Watch, signals: &OwnedFd) -> Vec<Source> {
        let stdin = std::io::stdin();
        let mut candidates: Vec<(Source, BorrowedFd<'_>)> = Vec::with_capacity(4);
        if let Some(master) = &self.master {
            candidates.push((Source::Terminal, master.as_fd()));
            if self.typing && self.typed.is_empty() {
                candidates.push((Source::Person, stdin.as_fd()));
            }
        }
        match (&self.process, self.alone) {
            // Signals wait until there is somebody to send them to.
            (None, _) => candidates.push((Source::Monitor, watch.socket.as_fd())),
            (Some(_), false) => {
                candidates.push((Source::Signals, signals.as_fd()));
                candidates.push((Source::Monitor, watch.socket.as_fd()));
            }
            (Some((_, process)), true) => {
                candidates.push((Source::Signals, signals.as_fd()));
                candidates.push((Source::Process, process.as_fd()));
            }
        }
        let flags = |source| match source {
            Source::Terminal if !self.typed.is_empty() => PollFlags::IN | PollFlags::OUT,
            _ => PollFlags::IN,
        };
        let mut waits = Vec::with_capacity(candidates.len());
        waits.extend(candidates.iter().map(|(source, file)| PollFd::from_borrowed_fd(*file, flags(*source))));
        if poll(&mut waits, None).is_err() {
            return Vec::new();
        }
        let ready = waits.iter().zip(&candidates).filter(|(wait, _)| !wait.revents().is_empty());
        ready.map(|(_, (source, _))| *source).collect()
    }

    fn hear(&mut self, watch: &Watch) -> Result<Option<Outcome>> {
        match event::receive(&watch.socket)? {
            Some((Event::Started { pid }, handle)) => {
                self.process = handle.map(|handle| (HostPid(pid), handle));
                self.write_pidfile(pid)?;
                Ok(self.wishes.leaves.then_some(Outcome::Detached))
            }
            Some((Event::Terminal, master)) => {
                if let Some(master) = &master {
                    rustix::io::ioctl_fionbio(master, true).doing(|| "set the terminal not to block")?;
                }
                self.master = master;
                self.resize();
                self.raw = self.wishes.terminal.map(RawTerminal::set).transpose()?;
                Ok(None)
            }
            Some((Event::Failed(failure), _)) => Ok(Some(Outcome::Failed(failure))),
            Some((Event::Exited { code, shortage, left }, _)) => {
                self.show_the_rest()?;
                Ok(Some(Outcome::Exited { code, shortage, left }))
            }
            // Without its monitor the container goes on, and a handle on its process still tells of its end.
            None if self.process.is_some() => {
                self.alone = true;
                Ok(None)
            }
            None => Ok(Some(Outcome::Unattended(None))),
        }
    }

    /// What the kernel tells of the end of a process whose monitor is gone.
    fn see_end(&mut self) -> Result<Option<Outcome>> {
        self.show_the_rest()?;
        let process = self.process.as_ref();
        let code = process.and_then(|(pid, handle)| engine::containers::exit_code_of(*pid, handle.as_fd()));
        Ok(Some(Outcome::Unattended(code)))
    }

    /// A container that nobody was told of must not run on.
    fn write_pidfile(&mut self, pid: i32) -> Result<()> {
        let Some(pidfile) = &mut self.wishes.pidfile else { return Ok(()) };
        let written = pidfile.write(&format!("{pid}\n"));
        if let (Err(_), Some((_, process))) = (&written, &self.process) {
            let _ = sys::process::send_signal(process.as_fd(), SIGKILL);
        }
        written
    }

    fn forward(&mut self, signals: &OwnedFd) -> Result<Option<Outcome>> {
        while let Some((signal, _)) = sys::signal::next(signals.as_fd()).doing(|| "read a signal")? {
            if signal == SIGWINCH && self.master.is_some() {
                self.resize();
            } else if !OWN_SIGNALS.contains(&signal)
                && let Some((_, process)) = &self.process
            {
                let _ = sys::process::send_signal(process.as_fd(), i32::try_from(signal).unwrap_or(0));
            }
        }
        Ok(None)
    }

    fn resize(&self) {
        if let (Some(master), Some(_)) = (&self.master, self.wishes.terminal) {
            let _ = sys::terminal::set_size(master.as_fd(), relay::size());
        }
    }

    /// Shows what the terminal has to say, and gives it what it can take of what was typed. Neither waits for the other:
    /// a command that reads no more input may still write.
    fn exchange(&mut self) -> Result<Option<Outcome>> {
        self.pass_on()?;
        self.show()?;
        Ok(None)
    }

    fn show(&mut self) -> Result<()> {
        let Some(master) = &self.master else { return Ok(()) };
        let stdout = std::io::stdout();
        if relay::copy_once(master.as_fd(), stdout.as_fd(), &mut [0; 16 * 1024])?.is_none() {
            self.master = None;
        }
        Ok(())
    }

    fn pass_on(&mut self) -> Result<()> {
        let Some(master) = self.master.as_ref().filter(|_| !self.typed.is_empty()) else { return Ok(()) };
        let taken = relay::write_some(master.as_fd(), &self.typed)?;
        self.typed.drain(..taken.min(self.typed.len()));
        Ok(())
    }

    fn show_the_rest(&mut self) -> Result<()> {
        while let Some(master) = &self.master {
            let mut wait = [PollFd::new(master, PollFlags::IN)];
            if poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0) == 0 {
                return Ok(());
            }
            self.show()?;
        }
        Ok(())
    }

    fn type_on(&mut self) -> Result<Option<Outcome>> {
        let mut buffer = [0; 4096];
        let length = match rustix::io::read(std::io::stdin(), &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => {
                self.typing = false;
                return Ok(None);
            }
            Ok(length) => length,
            Err(_) => return Ok(None),
        };
        let typed = self.detach_keys.see(buffer.get(..length).unwrap_or_default());
        let (Typed::Input(bytes) | Typed::Detach(bytes)) = &typed;
        self.typed.extend_from_slice(bytes);
        self.pass_on()?;
        Ok(matches!(typed, Typed::Detach(_)).then_some(Outcome::Detached))
    }
}
