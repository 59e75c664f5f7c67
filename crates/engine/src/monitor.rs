//! The process that stays with a container, or with one more process in one: it starts it, owns its standard streams,
//! writes its log, waits for its end, cleans up, and starts it again where that is wanted. It outlives the command that
//! asked for it; who is attached talks to it over a socket ([`crate::attach`]).

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use error::{Doing, Error, Result};
use procfs::HostPid;
use runtime::apply::Running;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::pipe::fcntl_setpipe_size;
use sys::clone::Side;
use sys::process::Ended;
use sys::signal::Signals;

use crate::asleep::{self, Carried, Quiet};
use crate::attach::{Attached, Attachment};
use crate::clients::{Client, Wanted};
use crate::containers::KILL;
use crate::event::{Event, Failure};
use crate::log::{LogWish, Origin, Stream, Writer};
use crate::streams::{Input, Kept, Wish};

/// What a monitor does with its process: a container, or one more process in a container.
pub(crate) trait Charge {
    /// Starts the process with these standard streams.
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<Running>;
    /// Undoes what was made before the start failed.
    fn abandon(&mut self, error: &Error);
    /// What is to be looked at when it changes while the process runs.
    fn waits(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        Vec::new()
    }
    /// When it is to be looked at in any case.
    fn due(&self) -> Option<Instant> {
        None
    }
    /// One of them has changed, or the time has come.
    fn notice(&mut self, _process: &Running) {}
    /// What its monitor goes on with after a sleep, and the files that it needs; `None` where it is not to sleep.
    fn carried(&self) -> Option<(Carried, Vec<BorrowedFd<'_>>)> {
        None
    }
    /// Asks the process, if it runs, to end and not to be started again, because its monitor is asked to; gives how long it
    /// has before it is killed.
    fn ask_to_end(&mut self, _process: Option<&Running>) -> Option<Duration> {
        None
    }
    /// Cleans up after the process has ended.
    fn finish(&mut self, ended: Ended) -> Finished;
    /// Whether it is still to be started again. Where it is not, nothing of it is left.
    fn is_still_wanted(&mut self) -> bool {
        false
    }
}

/// How it went with a process that has ended.
pub(crate) struct Finished {
    /// What those who are attached are told.
    pub(crate) event: Event,
    /// After how long it is to be started again, if it is.
    pub(crate) again: Option<Duration>,
}

/// What becomes of a process's output, besides going to those who are attached.
#[derive(Debug)]
pub(crate) enum Output {
    /// Nothing.
    Unkept,
    /// It goes into a log.
    Log(Writer),
}

/// Opens what becomes of a container's output, whose log is in this folder.
///
/// # Errors
/// A kernel error that names the file.
pub(crate) fn open_output((wish, origin): (&LogWish, &Origin), folder: &Path) -> Result<Output> {
    Ok(Writer::open(wish, folder, origin)?.map_or(Output::Unkept, Output::Log))
}

/// What a monitor is given besides its charge.
pub(crate) struct Setup {
    /// What the process's streams are to be.
    pub(crate) wish: Wish,
    /// What becomes of its output.
    pub(crate) output: Output,
    /// Where others come to be attached.
    pub(crate) listener: Option<OwnedFd>,
    /// What it keeps of what whoever makes it has open.
    pub(crate) inherits: Inherits,
}

/// What a monitor keeps of what whoever makes it has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inherits {
    /// Everything: its charge needs it.
    All,
    /// Nothing: that is another monitor's, and nobody must find it open when that has closed it.
    Nothing,
}

/// The exit code of a process of which the kernel does not tell it.
const UNKNOWN: i32 = 255;

/// Forks a monitor, to which `attachment` is attached from the first on. Comes back in the calling process only.
///
/// # Errors
/// fork(2), and what it needs.
pub(crate) fn fork(charge: &mut dyn Charge, setup: Setup, attachment: Attachment) -> Result<Attached> {
    let null = null()?;
    let (ours, client) = attachment.connected()?;
    let former = sys::signal::set_blocked(Signals::ALL).doing(|| "block signals")?;
    let side = sys::clone::fork().doing(|| "fork the monitor");
    if matches!(side, Ok(Side::Child)) {
        drop(ours);
        let Setup { wish, output, listener, inherits } = setup;
        if inherits == Inherits::Nothing && client.close_others().is_err() {
            sys::process::exit(1);
        }
        let (kept, clients, quiet) = (Kept::default(), vec![client], Quiet::new());
        let (running, crowded, terminate, doom) = (None, None, None, None);
        let monitor = Monitor { wish, output, listener, kept, clients, running, quiet, crowded, terminate, doom };
        monitor.run(charge, &null);
        sys::process::exit(0);
    }
    sys::signal::set_blocked(former).doing(|| "unblock signals")?;
    match side? {
        Side::Parent { pid, pidfd } => Ok(ours.of_monitor((HostPid(pid), pidfd))),
        Side::Child => sys::process::exit(0),
    }
}

/// What is neither read nor written.
pub(crate) fn null() -> Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null").doing(|| "open /dev/null")?.into())
}

/// What a monitor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Process,
    Connection,
    Charge,
    /// Somebody asks the monitor to end: the host, when it does.
    Terminate,
    Stream(Stream),
    /// The log takes more.
    Log,
    /// A message of the client with this number.
    Message(usize),
    /// Room in a pipe of that client.
    Room(usize),
}

/// How much of what was written last is still read when the process has ended: others may write for ever.
const REST: usize = 1 << 20;

/// As much as a pipe holds and is read at once, so that it stays in the processor's caches, and as much as one holds that has
/// been full: who writes without end writes while that is kept.
const PIPE: usize = 64 << 10;
const LARGE_PIPE: usize = 256 << 10;

/// SIGTERM, signal(7).
const TERMINATE: u32 = 15;

/// How long nobody is welcome after one could not be taken.
const CROWDED: Duration = Duration::from_secs(1);

/// A process that takes care of another one.
pub(crate) struct Monitor {
    pub(crate) wish: Wish,
    pub(crate) output: Output,
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) kept: Kept,
    pub(crate) clients: Vec<Client>,
    /// The process, while it runs.
    pub(crate) running: Option<Running>,
    pub(crate) quiet: Quiet,
    /// Until then nobody is welcome: there was no descriptor left for one.
    pub(crate) crowded: Option<Instant>,
    /// Tells that the monitor is asked to end.
    pub(crate) terminate: Option<OwnedFd>,
    /// When the process is killed that was asked to end.
    pub(crate) doom: Option<Instant>,
}

impl Monitor {
    /// Takes care of the process to its end; where it does not run yet, from its start on.
    pub(crate) fn run(mut self, charge: &mut dyn Charge, null: &OwnedFd) {
        let _ = sys::process::new_session();
        let _ = sys::credentials::set_not_dumpable();
        for number in 0..3 {
            let _ = sys::process::place_descriptor(null.as_fd(), number);
        }
        if self.terminate.is_none() {
            self.terminate = sys::signal::descriptor(Signals::NONE.with(TERMINATE)).ok();
        }
        loop {
            if self.running.is_none()
                && let Err(error) = self.start(charge)
            {
                charge.abandon(&error);
                self.dismiss(&Event::Failed(Failure::of(&error)));
                break;
            }
            sys::memory::give_back();
            let ended = self.wait(charge);
            self.kept = Kept::default();
            let Finished { event, again } = charge.finish(ended);
            self.dismiss(&event);
            let Some(delay) = again else { break };
            if !self.pause(delay, charge) {
                break;
            }
        }
        self.listener = None;
        // Who came between two runs has nothing to wait for.
        self.clients.retain(Client::is_dismissed);
        while !self.clients.is_empty() {
            self.attend(charge);
        }
    }

    fn start(&mut self, charge: &mut dyn Charge) -> Result<()> {
        let (standard, kept) = self.wish.make()?;
        let mut running = charge.start(standard.borrow())?;
        drop(standard);
        self.kept = kept;
        if let Some(master) = running.terminal.take() {
            let _ = rustix::io::ioctl_fionbio(&master, true);
            self.kept.out = Some(master);
        }
        self.running = Some(running);
        for number in 0..self.clients.len() {
            self.introduce(number);
        }
        Ok(())
    }

    /// Tells a client of the process, and lets it type where it wants to.
    fn introduce(&mut self, number: usize) {
        let (Some(client), Some(running)) = (self.clients.get(number), &self.running) else { return };
        client.tell(&Event::Started { pid: running.pid.0 }, Some(running.pidfd.as_fd()));
        if let Some(master) = self.kept.out.as_ref().filter(|_| self.wish.terminal) {
            client.tell(&Event::Terminal, Some(master.as_fd()));
        } else if client.types {
            self.let_type(number);
        }
    }

    fn let_type(&mut self, number: usize) {
        let Some(client) = self.clients.get_mut(number) else { return };
        client.types = true;
        if self.running.is_none() || self.wish.terminal {
            return;
        }
        client.tell(&Event::Input, self.kept.input.as_ref().map(AsFd::as_fd));
        if self.wish.input == Input::Once {
            self.kept.input = None;
        }
    }

    /// Waits for the end of the process.
    fn wait(&mut self, charge: &mut dyn Charge) -> Ended {
        loop {
            let happened = self.attend(charge);
            if happened.contains(&Source::Process)
                && let Some(running) = self.running.take()
            {
                self.read_the_rest();
                let process = running.pidfd.as_fd();
                return sys::process::wait(process).unwrap_or_else(|_| {
                    Ended::Exited(crate::containers::exit_code_of(running.pid, process).unwrap_or(UNKNOWN))
                });
            }
        }
    }

    /// Waits until the process is to be started again; gives whether it still is then.
    fn pause(&mut self, delay: Duration, charge: &mut dyn Charge) -> bool {
        let until = Instant::now() + delay;
        while Instant::now() < until {
            let happened = self.attend_until(charge, Some(until));
            self.heed(&happened, charge);
            let asks = happened.contains(&Source::Charge) || happened.contains(&Source::Terminate);
            if asks && !charge.is_still_wanted() {
                return false;
            }
        }
        charge.is_still_wanted()
    }

    fn attend(&mut self, charge: &mut dyn Charge) -> Vec<Source> {
        let due = self.running.is_some().then(|| charge.due()).flatten();
        let bedtime = self.is_idle().then(|| self.quiet.until()).filter(|_| due.is_none());
        let retry = if let Output::Log(log) = &self.output { log.due() } else { None };
        let due_first = [due, retry, self.doom].into_iter().flatten().min();
        let mut happened = self.attend_until(charge, due_first.or(bedtime));
        self.heed(&happened, charge);
        if let Output::Log(log) = &mut self.output {
            log.go_on();
        }
        if !happened.is_empty() {
            self.quiet.is_disturbed();
        } else if bedtime.is_some_and(|bedtime| bedtime <= Instant::now()) {
            self.sleep(charge);
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            happened.push(Source::Charge);
        }
        if let Some(running) = self.running.as_ref().filter(|_| happened.contains(&Source::Charge)) {
            charge.notice(running);
        }
        happened
    }

    /// Passes on that the monitor is asked to end, and kills what did not heed it in time.
    fn heed(&mut self, happened: &[Source], charge: &mut dyn Charge) {
        if let Some(asked) = self.terminate.as_ref().filter(|_| happened.contains(&Source::Terminate)) {
            while matches!(sys::signal::next(asked.as_fd()), Ok(Some(_))) {}
            self.doom = charge.ask_to_end(self.running.as_ref()).and_then(|left| Instant::now().checked_add(left));
        }
        if self.doom.is_some_and(|doom| doom <= Instant::now()) {
            self.doom = None;
            if let Some(running) = &self.running {
                let _ = sys::process::send_signal(running.pidfd.as_fd(), KILL);
            }
        }
    }

    /// Waits until something happens, and does what it asks for.
    fn attend_until(&mut self, charge: &dyn Charge, due: Option<Instant>) -> Vec<Source> {
        let mut happened = self.happened(charge, due);
        for number in 0..self.clients.len() {
            let Some(client) = self.clients.get_mut(number) else { break };
            client.go_on();
            let wanted = if happened.contains(&Source::Message(number)) { client.hear() } else { None };
            match wanted {
                Some(Wanted::Input) => self.let_type(number),
                Some(Wanted::Settle) => happened.push(Source::Charge),
                None => {}
            }
        }
        self.clients.retain(|client| !client.is_gone());
        if happened.contains(&Source::Connection) {
            self.welcome();
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if happened.contains(&Source::Stream(stream)) {
                self.read(stream);
            }
        }
        happened
    }

    fn is_idle(&self) -> bool {
        let is_whole = match &self.output {
            Output::Unkept => true,
            Output::Log(log) => log.is_whole(),
        };
        is_whole && self.running.is_some() && self.clients.is_empty() && self.doom.is_none()
    }

    /// Where it cannot, it tries again later.
    fn sleep(&mut self, charge: &dyn Charge) {
        if let Output::Log(log) = &mut self.output {
            log.settle();
        }
        if let Some(carried) = charge.carried() {
            let waited: Vec<_> = self.waited(charge).into_iter().map(|(_, file, flags)| (file, flags)).collect();
            let _ = asleep::sleep(self, carried, &waited);
        }
        self.quiet.is_not_to_be_had();
    }

    fn waited<'m>(&'m self, charge: &'m dyn Charge) -> Vec<(Source, BorrowedFd<'m>, PollFlags)> {
        let mut waited = Vec::with_capacity(8);
        if let Some(running) = &self.running {
            waited.push((Source::Process, running.pidfd.as_fd(), PollFlags::IN));
            waited.extend(charge.waits().into_iter().map(|(file, flags)| (Source::Charge, file, flags)));
        }
        waited.extend(self.terminate.iter().map(|asked| (Source::Terminate, asked.as_fd(), PollFlags::IN)));
        let listener = self.listener.iter().filter(|_| self.is_crowded_until().is_none());
        waited.extend(listener.map(|listener| (Source::Connection, listener.as_fd(), PollFlags::IN)));
        for (stream, file) in [(Stream::Stdout, &self.kept.out), (Stream::Stderr, &self.kept.err)] {
            let is_free = !self.clients.iter().any(|client| client.is_behind(stream));
            let file = file.iter().filter(|_| is_free);
            waited.extend(file.map(|file| (Source::Stream(stream), file.as_fd(), PollFlags::IN)));
        }
        if let Output::Log(log) = &self.output {
            waited.extend(log.waits().map(|log| (Source::Log, log, PollFlags::OUT)));
        }
        for (number, client) in self.clients.iter().enumerate() {
            waited.extend(client.waits().map(|(file, flags)| {
                let source = if flags == PollFlags::IN { Source::Message(number) } else { Source::Room(number) };
                (source, file, flags)
            }));
        }
        waited
    }

    fn happened(&self, charge: &dyn Charge, due: Option<Instant>) -> Vec<Source> {
        let waited = self.waited(charge);
        let due = due.into_iter().chain(self.is_crowded_until()).min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().ok().flatten();
        let mut waits: Vec<_> = waited.iter().map(|(_, file, flags)| PollFd::from_borrowed_fd(*file, *flags)).collect();
        if poll(&mut waits, left.as_ref()).is_err() {
            return Vec::new();
        }
        let ready = waited.iter().zip(&waits).filter(|(_, wait)| !wait.revents().is_empty());
        ready.map(|((source, ..), _)| *source).collect()
    }

    fn is_crowded_until(&self) -> Option<Instant> {
        self.crowded.filter(|until| *until > Instant::now())
    }

    /// Takes one who wants to be attached.
    fn welcome(&mut self) {
        let Some(listener) = &self.listener else { return };
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(socket) => {
                self.clients.push(Client::new(socket, None));
                self.introduce(self.clients.len() - 1);
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            // Who wants to come waits, and is not looked at all the time.
            Err(_) => self.crowded = Instant::now().checked_add(CROWDED),
        }
    }

    /// Reads once what is there; gives how much that was, 0 where there is nothing or nothing more to come.
    fn read(&mut self, stream: Stream) -> usize {
        let mut buffer = [MaybeUninit::uninit(); PIPE];
        let wide = self.kept.wide;
        let end = self.kept.of(stream);
        let Some(file) = end else { return 0 };
        let bytes = match rustix::io::read(&*file, &mut buffer) {
            Err(Errno::AGAIN | Errno::INTR) => return 0,
            Ok(([], _)) | Err(_) => {
                *end = None;
                return 0;
            }
            Ok((bytes, _)) => {
                if bytes.len() == PIPE && wide != Some(stream) {
                    // A terminal has no size, and a user may have too many pipes that are large.
                    let _ = fcntl_setpipe_size(file, LARGE_PIPE);
                    self.kept.wide = Some(stream);
                }
                &*bytes
            }
        };
        if let Output::Log(log) = &mut self.output {
            log.take(stream, bytes);
        }
        for client in &mut self.clients {
            client.give(stream, bytes);
        }
        bytes.len()
    }

    /// What a process wrote before it ended is still there when it has.
    fn read_the_rest(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut rest = 0;
            while rest < REST {
                match self.read(stream) {
                    0 => break,
                    length => rest += length,
                }
            }
        }
        if let Output::Log(log) = &mut self.output {
            log.finish();
        }
    }

    fn dismiss(&mut self, event: &Event) {
        for client in &mut self.clients {
            client.dismiss(event.clone());
        }
        self.clients.retain(|client| !client.is_gone());
    }
}
