//! Asking a container to end, and waiting for its end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use error::{Doing, Errno, Result};
use procfs::HostPid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::containers::{Dying, Engine, KILL, Status, exit_code_of, open_process};
use crate::options::Signal;
use crate::record::{LiveProcess, Record, Wanted};
use crate::restart::Policy;
use crate::start::wait_a_moment;
use crate::store::{Lock, takes_nothing};

/// How a container is asked to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The signal that asks; `None` for SIGTERM.
    pub signal: Option<Signal>,
    /// How long it has before it is killed; `None` for [`Patience::USUAL`].
    pub patience: Option<Patience>,
}

/// How long a container has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Patience {
    /// So many seconds.
    Seconds(u32),
    /// As long as it takes.
    Endless,
}

impl Patience {
    /// What Docker gives.
    pub const USUAL: Self = Self::Seconds(10);
}

/// The exit code of a container whose end nobody saw.
const UNKNOWN: i32 = 255;

/// A container that was asked to end.
#[derive(Debug)]
pub struct Stopping {
    record: Record,
    /// Its process; `None` where it had ended already.
    process: Option<(LiveProcess, OwnedFd)>,
    /// When it is killed.
    until: Option<Instant>,
}

impl Engine {
    /// Asks a container to end, by the signal and with the patience of `asked`, else by those it was made with, and not to
    /// be started again by itself: `wanted` is what its end is for. One that does not run has ended.
    ///
    /// # Errors
    /// Refused where there is none; a kernel error.
    pub fn stop(&self, word: &str, asked: Stop, wanted: Wanted) -> Result<Stopping> {
        let mut container = self.find(word)?;
        let id = container.record.id.clone();
        if self.store.live(&id)?.is_some() {
            self.want(&container.record, wanted)?;
            self.settle(&container.record);
        }
        // What its monitor had begun before it saw that comes to its end, or to a start.
        while !matches!(container.status, Status::Running(_)) && matches!(self.store.lock(&id)?, Lock::Busy) {
            wait_a_moment();
            match self.container(&id)? {
                Some(found) => container = found,
                None => break,
            }
        }
        let record = container.record;
        let Status::Running(process) = container.status else {
            return Ok(Stopping { record, process: None, until: None });
        };
        let signal = asked.signal.or(record.options.stop.signal).unwrap_or(Signal::TERM).number();
        let until = match asked.patience.or(record.options.stop.patience).unwrap_or(Patience::USUAL) {
            Patience::Seconds(seconds) => Instant::now().checked_add(Duration::from_secs(seconds.into())),
            Patience::Endless => None,
        };
        let pidfd = open_process(&process)?;
        if let Some(pidfd) = &pidfd {
            self.store.tell(&record, "kill", &[("signal", signal.to_string())]);
            match sys::process::send_signal(pidfd.as_fd(), i32::try_from(signal).unwrap_or_default()) {
                Err(Errno::SRCH) => {}
                sent => sent.doing(|| format!("send signal {signal} to {word}"))?,
            }
        }
        Ok(Stopping { record, process: pidfd.map(|pidfd| (process, pidfd)), until })
    }

    /// Undoes what is left of a container that has ended. What a disk does not take is written down by a later command.
    fn clean_up_after(&self, id: &str, code: Option<i32>) -> Result<()> {
        match self.sweep_as(id, code) {
            Err(error) if takes_nothing(&error) => Ok(()),
            swept => swept,
        }
    }

    /// Writes down that a container is not to be started again by itself: where its record's disk takes nothing, in its run folder.
    ///
    /// # Errors
    /// A kernel error, where it would be started again otherwise.
    pub(crate) fn want(&self, record: &Record, wanted: Wanted) -> Result<()> {
        match self.change_record(&record.id, |record| record.wanted = wanted) {
            Err(error) if takes_nothing(&error) => {
                let marked = self.store.mark_stopped(&record.id);
                if marked.is_ok() || record.options.restart == Policy::No { Ok(()) } else { Err(error) }
            }
            changed => changed,
        }
    }

    /// Waits for a container's end, after which nothing of it is left on the host but its record; gives its exit code.
    ///
    /// # Errors
    /// Refused where there is none; a kernel error.
    pub fn wait(&self, word: &str) -> Result<i32> {
        let container = self.find(word)?;
        let id = &container.record.id;
        let told = match &container.status {
            Status::Exited(exit) => return Ok(exit.code.unwrap_or(UNKNOWN)),
            Status::Created if container.record.begun.is_none() => return Ok(0),
            Status::Running(process) => open_process(process)?.map(|pidfd| (process.pid, pidfd)),
            // Its monitor may be about to write down how it ended.
            Status::Created | Status::Restarting(_) | Status::Gone => None,
        };
        let mut code = None;
        if let Some((pid, pidfd)) = told {
            ended(&pidfd, None)?;
            // Of one that goes when it ends there will be no record.
            code = exit_code_of(HostPid(pid), pidfd.as_fd());
        }
        self.store.wait_for(id)?;
        self.clean_up_after(id, code)?;
        let exit = match self.container(id)?.map(|container| container.status) {
            Some(Status::Exited(exit)) => exit.code,
            _ => None,
        };
        Ok(exit.or(code).unwrap_or(UNKNOWN))
    }
}

impl Stopping {
    /// Waits until it has ended and what it had on the host is gone; kills it when its time is up.
    ///
    /// # Errors
    /// A kernel error.
    pub fn finish(self, engine: &Engine) -> Result<()> {
        if let Some((process, pidfd)) = &self.process
            && !ended(pidfd, self.until)?
        {
            engine.store.tell(&self.record, "kill", &[("signal", KILL.to_string())]);
            Dying::kill(&self.record, process)?.map_or(Ok(()), |dying| dying.wait(&self.record))?;
        }
        engine.store.wait_for(&self.record.id)?;
        // Where it had no monitor, this is who cleans up after it.
        let code = self.process.as_ref().and_then(|(one, pidfd)| exit_code_of(HostPid(one.pid), pidfd.as_fd()));
        engine.clean_up_after(&self.record.id, code)?;
        if self.process.is_some() {
            engine.store.tell(&self.record, "stop", &[]);
        }
        Ok(())
    }
}

/// Waits for the end of a process, or until a moment; gives whether it has ended.
fn ended(pidfd: &OwnedFd, until: Option<Instant>) -> Result<bool> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().ok().flatten();
        let mut wait = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut wait, left.as_ref()) {
            Err(Errno::INTR) => {}
            happened => return Ok(happened.doing(|| "wait for a process")? > 0),
        }
    }
}
