//! One who is attached to a process in a container: shows what it writes, passes on what is typed and the signals, and
//! ends as the process did.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use engine::HostPid;
use engine::attach::{Attached, Lent};
use engine::event::{self, Event, Failure};
use engine::launch::NewFile;
use engine::shortage::Shortage;
use error::{Doing, Result};
use rustix::event::{PollFd, PollFlags, poll};
use sys::signal::Signals;
use sys::terminal::{Settings, Size};

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

/// What is wanted.
#[derive(Default)]
pub(crate) struct Wishes<'w> {
    /// The settings of the person's terminal, if the process has one too.
    pub(crate) terminal: Option<Settings>,
    /// The keys that detach.
    pub(crate) detach_keys: Vec<u8>,
    /// Whether what is typed goes to the process.
    pub(crate) types: bool,
    /// Whether the person leaves as soon as it runs.
    pub(crate) leaves: bool,
    /// What becomes of signals.
    pub(crate) signals: SignalWish,
    /// Told of what the person does with the process.
    pub(crate) told: Option<&'w dyn Fn(Done)>,
    /// Where the PID goes.
    pub(crate) pidfile: Option<NewFile<'w>>,
}

/// What a person who is attached has done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Done {
    /// Left by the detach keys.
    Left,
    /// Given the process's terminal this size.
    Resized(Size),
}

/// What becomes of the signals that one who is attached gets.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalWish {
    /// They are passed on.
    #[default]
    PassedOn,
    /// They end the command alone.
    Own,
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

/// Stays with a process until it ends or the person leaves.
pub(crate) fn attend(attached: Attached, signals: &OwnedFd, wishes: Wishes<'_>) -> Result<Outcome> {
    let mut attendance = Attendance {
        detach_keys: DetachKeys::new(wishes.detach_keys.clone()),
        wishes,
        attached,
        process: None,
        alone: false,
        input: None,
        master: None,
        typed: Vec::new(),
        raw: None,
    };
    let outcome = attendance.run(signals);
    let Attendance { attached, raw, input, master, .. } = attendance;
    drop((raw, input, master));
    match outcome? {
        Outcome::Detached => {
            attached.detach();
            Ok(Outcome::Detached)
        }
        outcome => {
            attached.finish();
            Ok(outcome)
        }
    }
}

struct Attendance<'w> {
    wishes: Wishes<'w>,
    detach_keys: DetachKeys,
    attached: Attached,
    /// The process: its PID, and a handle on it.
    process: Option<(HostPid, OwnedFd)>,
    /// Whether the monitor is gone.
    alone: bool,
    /// Where what is typed goes.
    input: Option<OwnedFd>,
    /// The process's terminal, if it has one.
    master: Option<OwnedFd>,
    /// What was typed and not yet taken.
    typed: Vec<u8>,
    raw: Option<RawTerminal>,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Monitor,
    Process,
    Signals,
    Out,
    Err,
    /// What takes what is typed.
    Input,
    Person,
}

/// As much as a pipe holds.
const CHUNK: usize = 64 * 1024;

impl Attendance<'_> {
    fn run(&mut self, signals: &OwnedFd) -> Result<Outcome> {
        loop {
            for source in self.wait(signals) {
                let outcome = match source {
                    Source::Monitor => self.hear()?,
                    Source::Process => self.see_end()?,
                    Source::Signals => self.forward(signals)?,
                    Source::Out | Source::Err => self.show(source)?,
                    Source::Input => self.pass_on()?,
                    Source::Person => self.type_on()?,
                };
                if let Some(outcome) = outcome {
                    return Ok(outcome);
                }
            }
        }
    }

    /// The output comes before the monitor, so that all of it is shown before the end is known.
    fn wait(&self, signals: &OwnedFd) -> Vec<Source> {
        let stdin = std::io::stdin();
        let mut candidates: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(6);
        let Attached { out, err, socket, .. } = &self.attached;
        // What a terminal says is shown when the person's own is ready for it.
        if self.wishes.terminal.is_none() || self.raw.is_some() {
            for (source, pipe) in [(Source::Out, out), (Source::Err, err)] {
                candidates.extend(pipe.iter().map(|pipe| (source, pipe.as_fd(), PollFlags::IN)));
            }
        }
        match &self.input {
            Some(input) if self.typed.is_empty() => {
                candidates.push((Source::Person, stdin.as_fd(), PollFlags::IN));
                // It tells when nobody reads any more.
                candidates.push((Source::Input, input.as_fd(), PollFlags::empty()));
            }
            Some(input) => candidates.push((Source::Input, input.as_fd(), PollFlags::OUT)),
            None => {}
        }
        // Signals wait until there is somebody to send them to.
        if self.process.is_some() || self.wishes.signals == SignalWish::Own {
            candidates.push((Source::Signals, signals.as_fd(), PollFlags::IN));
        }
        match &self.process {
            Some((_, process)) if self.alone => candidates.push((Source::Process, process.as_fd(), PollFlags::IN)),
            _ => candidates.push((Source::Monitor, socket.as_fd(), PollFlags::IN)),
        }
        let mut waits = Vec::with_capacity(candidates.len());
        waits.extend(candidates.iter().map(|(_, file, flags)| PollFd::from_borrowed_fd(*file, *flags)));
        if poll(&mut waits, None).is_err() {
            return Vec::new();
        }
        let ready = waits.iter().zip(&candidates).filter(|(wait, _)| !wait.revents().is_empty());
        ready.map(|(_, (source, ..))| *source).collect()
    }

    fn hear(&mut self) -> Result<Option<Outcome>> {
        match event::receive(&self.attached.socket)? {
            Some((Event::Started { pid }, handle)) => {
                self.process = handle.map(|handle| (HostPid(pid), handle));
                self.write_pidfile(pid)?;
                Ok(self.wishes.leaves.then_some(Outcome::Detached))
            }
            Some((Event::Terminal, master)) => {
                self.master = master;
                self.resize();
                self.raw = self.wishes.terminal.map(RawTerminal::set).transpose()?;
                let types = self.master.as_ref().filter(|_| self.wishes.types);
                self.input = types.map(OwnedFd::try_clone).transpose().doing(|| "copy the terminal")?;
                Ok(None)
            }
            Some((Event::Input, input)) => {
                self.input = input;
                Ok(None)
            }
            Some((Event::Failed(failure), _)) => Ok(Some(Outcome::Failed(failure))),
            Some((Event::Exited { code, shortage, left }, _)) => {
                self.show_the_rest()?;
                Ok(Some(Outcome::Exited { code, shortage, left }))
            }
            // Without its monitor the process goes on, and a handle on it still tells of its end.
            None if self.process.is_some() => {
                self.alone = true;
                // Nobody else reads what its terminal says any more.
                self.attached.out = self.master.take().or(self.attached.out.take());
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
            } else if OWN_SIGNALS.contains(&signal) {
            } else if self.wishes.signals == SignalWish::Own {
                return Ok(Some(Outcome::Detached));
            } else if let Some((_, process)) = &self.process {
                let _ = sys::process::send_signal(process.as_fd(), i32::try_from(signal).unwrap_or(0));
            }
        }
        Ok(None)
    }

    fn resize(&self) {
        if let (Some(master), Some(_)) = (&self.master, self.wishes.terminal) {
            let size = relay::size();
            let _ = sys::terminal::set_size(master.as_fd(), size);
            self.tell(Done::Resized(size));
        }
    }

    fn tell(&self, done: Done) {
        if let Some(told) = self.wishes.told {
            told(done);
        }
    }

    /// Shows what there is of a stream; gives how much that was.
    fn show_once(&mut self, source: Source) -> Result<usize> {
        let (pipe, stdout, stderr) = match source {
            Source::Err => (&mut self.attached.err, None, Some(std::io::stderr())),
            _ => (&mut self.attached.out, Some(std::io::stdout()), None),
        };
        let Some(file) = pipe else { return Ok(0) };
        let to = stdout.as_ref().map(AsFd::as_fd).or(stderr.as_ref().map(AsFd::as_fd));
        let Some(to) = to else { return Ok(0) };
        let shown = relay::copy_once(file.as_fd(), to, &mut [0; CHUNK])?;
        if shown.is_none() {
            *pipe = None;
        }
        Ok(shown.unwrap_or_default())
    }

    fn show(&mut self, source: Source) -> Result<Option<Outcome>> {
        self.show_once(source).map(|_| None)
    }

    /// The monitor has let go of the pipes: they have an end. A terminal that is read without it has one where it is empty.
    fn show_the_rest(&mut self) -> Result<()> {
        for source in [Source::Out, Source::Err] {
            while self.show_once(source)? > 0 {}
        }
        Ok(())
    }

    /// Gives on what can be taken of what was typed.
    fn pass_on(&mut self) -> Result<Option<Outcome>> {
        let Some(input) = &self.input else { return Ok(None) };
        if self.typed.is_empty() {
            // Nobody reads any more.
            self.input = None;
            return Ok(None);
        }
        let taken = relay::write_some(input.as_fd(), &self.typed)?;
        self.typed.drain(..taken.min(self.typed.len()));
        Ok(None)
    }

    fn type_on(&mut self) -> Result<Option<Outcome>> {
        let mut buffer = [0; CHUNK];
        let length = match rustix::io::read(std::io::stdin(), &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => {
                // A terminal's end is typed; what comes by a pipe ends with it.
                self.input = None;
                return Ok(None);
            }
            Ok(length) => length,
            Err(_) => return Ok(None),
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        let typed = if self.raw.is_some() { self.detach_keys.see(bytes) } else { Typed::Input(bytes.to_vec()) };
        let (Typed::Input(bytes) | Typed::Detach(bytes)) = &typed;
        self.typed.extend_from_slice(bytes);
        if !self.typed.is_empty() {
            self.pass_on()?;
        }
        if !matches!(typed, Typed::Detach(_)) {
            return Ok(None);
        }
        self.tell(Done::Left);
        Ok(Some(Outcome::Detached))
    }
}
