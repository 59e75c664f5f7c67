//! The checks of a container's health: each is one more process in it, under a process of its own beside the container's
//! monitor, because what it takes to start one may last. The monitor waits for what that tells as for anything else.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use cgroup::{GroupPath, Hierarchies};
use error::{Error, Result};
use jiff::Timestamp;
use procfs::HostPid;
use runtime::apply::Running;
use runtime::process::Orphans;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sys::process::Ended;

use crate::attach::{Attached, Attachment};
use crate::containers::{Engine, KILL, exit_code};
use crate::event::{Event, Failure, receive};
use crate::health::{Beginning, CheckResult, Condition, Health, Healthcheck, NO_CODE, in_go_s_words};
use crate::log::Stream;
use crate::monitor::{self, Charge, Finished, Inherits, Output, Setup};
use crate::options::ExecOptions;
use crate::processes::family;
use crate::shortage::Shortage;
use crate::streams::{Input, Wish};

/// How long it may take to start a check. That is not a part of the time that a check has.
const STARTING: Duration = Duration::from_secs(30);

/// A container that is checked.
#[derive(Debug)]
pub(crate) struct Checks {
    id: String,
    check: Healthcheck,
    command: Vec<String>,
    health: Health,
    /// When the container began to run.
    since: Instant,
    turn: Turn,
}

/// Whose turn it is.
#[derive(Debug)]
enum Turn {
    /// The next check's, then.
    Waiting(Instant),
    /// Nobody's while the container is paused; then it is looked whether it still is.
    Paused(Instant),
    /// This check's.
    Checking(Probe),
    /// Of one whose result is known, or that has none, until it is gone.
    Dying(Probe),
}

/// The groups of the container that is checked.
pub(crate) type Place<'p> = (&'p Hierarchies, &'p GroupPath);

impl Checks {
    /// Those of a container that has run for so long, with what was told of it before; `None` where it is not checked.
    pub(crate) fn new(id: &str, check: &Healthcheck, health: Health, age: Duration) -> Option<Self> {
        let command = check.words()?;
        let now = Instant::now();
        let turn = Turn::Waiting(now + health.pause(check, age));
        let since = now.checked_sub(age).unwrap_or(now);
        Some(Self { id: id.to_owned(), check: check.clone(), command, health, since, turn })
    }

    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }

    /// What a check that runs writes and tells.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let probe = match &self.turn {
            Turn::Checking(probe) | Turn::Dying(probe) => Some(probe),
            Turn::Waiting(_) | Turn::Paused(_) => None,
        };
        probe.into_iter().flat_map(Probe::waits)
    }

    /// When it is to be looked at in any case.
    pub(crate) const fn due(&self) -> Option<Instant> {
        match &self.turn {
            Turn::Waiting(next) | Turn::Paused(next) => Some(*next),
            Turn::Checking(probe) => Some(probe.deadline),
            Turn::Dying(_) => None,
        }
    }

    /// Something has happened, or the time has come; gives what has changed what is known of its health.
    pub(crate) fn notice(&mut self, engine: &Engine, place: Place<'_>) -> Option<Change> {
        let now = Instant::now();
        match &mut self.turn {
            Turn::Waiting(next) | Turn::Paused(next) if now < *next => {
                let next = *next;
                self.look_whether_paused(place, next)
            }
            Turn::Waiting(_) | Turn::Paused(_) => self.begin(engine, place),
            Turn::Checking(probe) => {
                let began = probe.began;
                let result = match probe.hear(self.check.timeout()) {
                    Some(result) => {
                        self.dismiss();
                        result
                    }
                    None if now >= probe.deadline => probe.overdue(self.check.timeout()),
                    None => return self.look_whether_paused(place, now),
                };
                // What was stopped in the middle has told nothing.
                if result.exit_code != 0 && is_paused(place) { self.pause() } else { self.take(result, began) }
            }
            Turn::Dying(probe) => {
                if probe.hear(Duration::MAX).is_some() {
                    self.dismiss();
                }
                None
            }
        }
    }

    /// The container has ended, or is about to: nothing of a check stays.
    pub(crate) fn end(self) -> Health {
        if let Turn::Checking(probe) | Turn::Dying(probe) = self.turn {
            probe.end();
        }
        self.health.unattended()
    }

    fn wait(&self) -> Turn {
        Turn::Waiting(Instant::now() + self.health.pause(&self.check, self.since.elapsed()))
    }

    /// A check is over, and whoever ran it is about to leave.
    fn dismiss(&mut self) {
        let next = self.wait();
        if let Turn::Checking(probe) | Turn::Dying(probe) = std::mem::replace(&mut self.turn, next) {
            probe.attached.finish();
        }
    }

    fn begin(&mut self, engine: &Engine, place: Place<'_>) -> Option<Change> {
        if is_paused(place) {
            return self.pause();
        }
        let began = Instant::now();
        match Probe::begin(engine, &self.id, &self.command, self.check.timeout()) {
            Ok(probe) => {
                self.turn = Turn::Checking(probe);
                None
            }
            Err(error) => {
                self.turn = self.wait();
                let start = Timestamp::now();
                let output = Failure::of(&error).message;
                self.take(CheckResult { start, end: start, exit_code: NO_CODE, output }, began)
            }
        }
    }

    /// The result of a check that began then, whatever the clock has been set to meanwhile.
    fn take(&mut self, result: CheckResult, began: Instant) -> Option<Change> {
        let age = began.saturating_duration_since(self.since);
        self.turn = match std::mem::replace(&mut self.turn, Turn::Paused(self.since)) {
            Turn::Checking(probe) => Turn::Dying(probe),
            turn => turn,
        };
        self.health.take(&self.check, result, age);
        Some(Change::Checked)
    }

    /// Somebody wants it to be looked at: whoever has paused the container, or let it go on.
    fn look_whether_paused(&mut self, place: Place<'_>, next: Instant) -> Option<Change> {
        match (is_paused(place), &self.turn) {
            (true, Turn::Waiting(_) | Turn::Checking(_)) => self.pause(),
            (false, Turn::Paused(_)) => {
                self.turn = self.wait();
                None
            }
            (true, Turn::Paused(_)) => {
                self.turn = Turn::Paused(next);
                None
            }
            _ => None,
        }
    }

    fn pause(&mut self) -> Option<Change> {
        let next = Instant::now() + self.health.pause(&self.check, self.since.elapsed());
        self.turn = match std::mem::replace(&mut self.turn, Turn::Paused(next)) {
            Turn::Checking(probe) => {
                probe.kill();
                Turn::Dying(probe)
            }
            Turn::Dying(probe) => Turn::Dying(probe),
            Turn::Waiting(_) | Turn::Paused(_) => Turn::Paused(next),
        };
        let former = self.health.status;
        self.health.status = Condition::Unhealthy;
        (former != Condition::Unhealthy).then_some(Change::Paused)
    }
}

/// What has changed what is known of a container's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The result of a check.
    Checked,
    /// That it is paused.
    Paused,
}

fn is_paused((hierarchies, group): Place<'_>) -> bool {
    crate::pause::stands_still(hierarchies, group).unwrap_or_default()
}

/// A check that was begun.
#[derive(Debug)]
struct Probe {
    attached: Attached,
    start: Timestamp,
    began: Instant,
    /// When it is killed.
    deadline: Instant,
    /// The first process of the check.
    process: Option<HostPid>,
    output: Beginning,
}

impl Probe {
    fn begin(engine: &Engine, id: &str, command: &[String], timeout: Duration) -> Result<Self> {
        let end = Instant::now().checked_add(timeout + STARTING + SPARE);
        let mut charge = NewCheck { engine, options: ExecOptions::of_command(id, command.to_vec()), end };
        let wish = Wish { input: Input::Null, terminal: false, folder: None };
        let setup = Setup { wish, output: Output::Unkept, listener: None, inherits: Inherits::Nothing };
        let streams = vec![Stream::Stdout, Stream::Stderr];
        let attached = monitor::fork(&mut charge, setup, Attachment { streams, ..Attachment::default() })?;
        for file in [Some(&attached.socket), attached.out.as_ref(), attached.err.as_ref()].into_iter().flatten() {
            let _ = rustix::io::ioctl_fionbio(file, true);
        }
        let deadline = Instant::now() + STARTING;
        let (start, began) = (Timestamp::now(), Instant::now());
        Ok(Self { attached, start, began, deadline, process: None, output: Beginning::default() })
    }

    fn waits(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let Attached { socket, out, err, .. } = &self.attached;
        [Some(socket), out.as_ref(), err.as_ref()].into_iter().flatten().map(|file| (file.as_fd(), PollFlags::IN))
    }

    /// Takes what is there; gives the result where it has ended. It has so long from when it runs.
    fn hear(&mut self, timeout: Duration) -> Option<CheckResult> {
        self.read();
        loop {
            match receive(&self.attached.socket) {
                Ok(Some((Event::Started { pid }, _))) => {
                    self.process = Some(HostPid(pid));
                    let now = Instant::now();
                    self.deadline = now.checked_add(timeout).unwrap_or(now + STARTING);
                }
                Ok(Some((Event::Exited { code, .. }, _))) => {
                    // It is told last.
                    self.read();
                    return Some(self.ended(code, self.output.text()));
                }
                Ok(Some((Event::Failed(failure), _))) => return Some(self.ended(NO_CODE, failure.message)),
                Ok(Some((Event::Terminal | Event::Input, _))) => {}
                Err(error) if error.errno() == Some(Errno::AGAIN) => return None,
                Ok(None) | Err(_) => {
                    return Some(self.ended(NO_CODE, "whoever ran the check was killed".to_owned()));
                }
            }
        }
    }

    fn read(&mut self) {
        let mut buffer = [0_u8; 4096];
        for end in [&mut self.attached.out, &mut self.attached.err] {
            while let Some(file) = end {
                match rustix::io::read(file, &mut buffer) {
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Ok(0) | Err(_) => *end = None,
                    Ok(length) => self.output.take(buffer.get(..length).unwrap_or_default()),
                }
            }
        }
    }

    fn ended(&self, exit_code: i32, output: String) -> CheckResult {
        CheckResult { start: self.start, end: Timestamp::now(), exit_code, output }
    }

    /// Its time is over.
    fn overdue(&self, timeout: Duration) -> CheckResult {
        self.kill();
        let output = match (self.process, self.output.text()) {
            (None, _) => format!("the check did not begin within {}", in_go_s_words(STARTING)),
            (Some(_), output) if output.is_empty() => {
                format!("Health check exceeded timeout ({})", in_go_s_words(timeout))
            }
            (Some(_), output) => format!("Health check exceeded timeout ({}): {output}", in_go_s_words(timeout)),
        };
        self.ended(NO_CODE, output)
    }

    /// Kills all that has come from it: first all of it is stopped, since what loses its parent would not be found any
    /// more. Who runs the check stays, to wait for it.
    fn kill(&self) {
        if let Some(runner) = self.attached.monitor_pid() {
            kill_all(runner, self.process);
        }
    }

    fn end(self) {
        self.kill();
        if let Some(runner) = self.attached.monitor() {
            let mut wait = [PollFd::from_borrowed_fd(runner, PollFlags::IN)];
            // All that it waits for is killed.
            if poll(&mut wait, Some(&LONG)).is_ok_and(|ended| ended == 0) {
                let _ = sys::process::send_signal(runner, KILL);
            }
        }
        self.attached.finish();
    }
}

/// So often it is looked what has been started meanwhile by what is being killed.
const ROUNDS: usize = 64;

/// How much later than the container's monitor one who runs a check ends it.
const SPARE: Duration = Duration::from_secs(10);

/// How long one who runs a check has to notice that it was killed.
const LONG: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// SIGSTOP, signal(7).
const STOP: i32 = 19;

/// Kills all that come from whoever runs a check, and all of the check's session.
fn kill_all(runner: HostPid, process: Option<HostPid>) {
    let mut stopped = Vec::new();
    for _ in 0..ROUNDS {
        let mut found = descendants(runner, process);
        found.retain(|one| !stopped.contains(one));
        if found.is_empty() {
            break;
        }
        for one in &found {
            signal_exactly(*one, STOP);
        }
        stopped.append(&mut found);
    }
    for one in stopped {
        signal_exactly(one, KILL);
    }
}

/// All that come from whoever runs a check, and all of the check's session: by their numbers and when they began.
fn descendants(runner: HostPid, process: Option<HostPid>) -> Vec<(HostPid, u64)> {
    let mut known = BTreeMap::new();
    for pid in procfs::processes().unwrap_or_default() {
        if let Ok(stat) = procfs::stat(pid) {
            known.insert(pid, stat);
        }
    }
    let parent = |stat: &procfs::Stat| {
        let of_check = process.is_some() && stat.session == process;
        if of_check { Some(runner) } else { stat.parent }
    };
    let parents = known.iter().filter_map(|(pid, stat)| Some((*pid, parent(stat)?))).collect();
    let family = family(runner, &parents).into_iter().filter(|pid| *pid != runner);
    let living = family.filter_map(|pid| known.get(&pid)).filter(|stat| stat.state != 'Z');
    living.map(|stat| (stat.pid, stat.start_ticks)).collect()
}

/// Signals a process, and not another that has its number by now.
fn signal_exactly((pid, start_ticks): (HostPid, u64), signal: i32) {
    let Ok(handle) = sys::process::open(pid.0) else { return };
    if procfs::stat(pid).is_ok_and(|stat| stat.start_ticks == start_ticks) {
        let _ = sys::process::send_signal(handle.as_fd(), signal);
    }
}

/// The process of a check, in the care of whoever runs it.
struct NewCheck<'e> {
    engine: &'e Engine,
    options: ExecOptions,
    /// When it ends the check itself: whoever should have done that long ago was killed.
    end: Option<Instant>,
}

impl Charge for NewCheck<'_> {
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let terms = (sys::terminal::Size::default(), Orphans::Kept);
        self.engine.with_process(&self.options, terms, |process| process.start(standard))
    }

    fn due(&self) -> Option<Instant> {
        self.end
    }

    fn notice(&mut self, process: &Running) {
        if self.end.is_some_and(|end| end <= Instant::now()) {
            self.end = None;
            kill_all(HostPid(rustix::process::getpid().as_raw_nonzero().get()), Some(process.pid));
        }
    }

    fn abandon(&mut self, _error: &Error) {}

    fn finish(&mut self, ended: Ended) -> Finished {
        let event = Event::Exited { code: exit_code(ended), shortage: Shortage::default(), left: Vec::new() };
        Finished { event, again: None }
    }
}
