//! The sleep of a monitor that has nothing to do: all that it would keep in memory becomes an argument, what it has open
//! goes along, and the few instructions of [`sys::rest`] wait in its place, in its process, until something happens. Then it
//! is carboy again, by the program that it was before, and goes on.
//!
//! ```text
//! carboy-monitor asleep NAME {…}      0: epoll, 1: the program, and the descriptors whose numbers stand in {…}
//! ```

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cgroup::GroupPath;
use cgroup::stall::Resource;
use error::{Corrupt, Doing, Errno, Refused, Result};
use procfs::{HostPid, Process};
use runtime::apply::Running;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFlags, Timespec, epoll, poll};
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use sys::rest::{ASLEEP, AWAKE};

use crate::alarms::Alarms;
use crate::containers::Engine;
use crate::log::{LogWish, Origin};
use crate::monitor::{self, Charge as _, Monitor, Output, open_output};
use crate::record::Live;
use crate::restart::BackOff;
use crate::shortage::Shortage;
use crate::start::InCare;
use crate::store::Claim;
use crate::streams::{Input, Kept, Wish};

/// What a monitor is called that has slept.
pub const PROGRAM: &str = "carboy-monitor";

/// The number of an open descriptor that goes through a sleep.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Number(u32);

impl Number {
    pub(crate) fn of(file: &impl AsFd) -> Self {
        Self(file.as_fd().as_raw_fd().cast_unsigned())
    }

    pub(crate) fn take(self) -> Result<OwnedFd> {
        sys::process::take_inherited(self.0).doing(|| format!("go on with descriptor {}", self.0))
    }
}

/// What a container's monitor knows of it beside what is on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) id: String,
    /// The locked run folder.
    pub(crate) claim: Number,
    pub(crate) alarms: Vec<Number>,
    pub(crate) early_alarm: Option<Number>,
    pub(crate) stalls: Vec<(Resource, Number)>,
    pub(crate) log: LogWish,
    pub(crate) origin: Origin,
    pub(crate) live: Live,
    pub(crate) ends_whole: bool,
    pub(crate) shortage: Shortage,
    pub(crate) back_off: BackOff,
    /// For how long it had run.
    pub(crate) ran: Duration,
    /// The interfaces of its own network namespace.
    pub(crate) interfaces: Option<Number>,
}

/// A monitor that sleeps.
#[derive(Debug, Serialize, Deserialize)]
struct Asleep {
    /// On the monotonic clock.
    since: Duration,
    quiet: Duration,
    input: Input,
    terminal: bool,
    pid: i32,
    process: Number,
    listener: Option<Number>,
    terminate: Option<Number>,
    /// The monitor's ends of its input, its output and its standard error.
    kept: [Option<Number>; 3],
    carried: Carried,
}

/// How long nothing must have happened before a monitor goes to sleep: to wake up takes some milliseconds, which are not to
/// be spent every few seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet {
    needed: Duration,
    since: Instant,
}

impl Quiet {
    const FIRST: Duration = Duration::from_secs(2);
    const LONGEST: Duration = Duration::from_secs(64);
    /// Who has slept for so long has slept well.
    const WELL: Duration = Duration::from_mins(1);

    pub(crate) fn new() -> Self {
        Self { needed: Self::FIRST, since: Instant::now() }
    }

    /// After a sleep that began after so much quiet.
    fn after(needed: Duration, slept: Duration) -> Self {
        let needed = if slept >= Self::WELL { Self::FIRST } else { (needed * 2).min(Self::LONGEST) };
        Self { needed, since: Instant::now() }
    }

    /// Something has happened.
    pub(crate) fn is_disturbed(&mut self) {
        self.since = Instant::now();
    }

    /// It could not go to sleep.
    pub(crate) fn is_not_to_be_had(&mut self) {
        *self = Self::after(self.needed, Duration::ZERO);
    }

    /// When it is long enough.
    pub(crate) fn until(&self) -> Instant {
        self.since + self.needed
    }
}

/// Sleeps, until one of these happens. Comes back only where that cannot be had.
pub(crate) fn sleep(
    monitor: &Monitor,
    (carried, files): (Carried, Vec<BorrowedFd<'_>>),
    waited: &[(BorrowedFd<'_>, PollFlags)],
) -> Result<()> {
    let Some(running) = &monitor.running else { return Ok(()) };
    let action = || "wait asleep";
    let program = Process::this()?.open_program()?;
    let events = epoll::create(epoll::CreateFlags::CLOEXEC).doing(action)?;
    for (file, flags) in waited {
        let flags = epoll::EventFlags::from_bits_retain(flags.bits().into());
        epoll::add(&events, file, epoll::EventData::new_u64(0), flags).doing(action)?;
    }
    let Kept { input, out, err, wide: _ } = &monitor.kept;
    let of_process = [Some(&running.pidfd), input.as_ref(), out.as_ref(), err.as_ref()];
    let own = of_process.into_iter().chain([monitor.listener.as_ref(), monitor.terminate.as_ref()]);
    let name = carried.live.name.clone();
    let asleep = Asleep {
        since: monotonic(),
        quiet: monitor.quiet.needed,
        input: monitor.wish.input,
        terminal: monitor.wish.terminal,
        pid: running.pid.0,
        process: Number::of(&running.pidfd),
        listener: monitor.listener.as_ref().map(Number::of),
        terminate: monitor.terminate.as_ref().map(Number::of),
        kept: [input, out, err].map(|end| end.as_ref().map(Number::of)),
        carried,
    };
    let text = serde_json::to_string(&asleep).map_err(|error| Corrupt::new("a monitor", error.to_string()))?;
    let arguments = [PROGRAM, ASLEEP, &name, &text].map(OsString::from).to_vec();
    let null = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).doing(action)?;
    let kept: Vec<_> = own.flatten().map(AsFd::as_fd).chain(files).collect();
    let inherit = |flags| kept.iter().try_for_each(|file| rustix::io::fcntl_setfd(file, flags)).doing(action);
    // What the command that made the monitor was given is not to be kept open by it.
    let foreign = sys::clone::close_on_exec_from(3).doing(action);
    let failed = foreign.and_then(|()| inherit(FdFlags::empty())).and_then(|()| {
        sys::process::place_descriptor(events.as_fd(), 0).doing(action)?;
        sys::process::place_descriptor(program.as_fd(), 1).doing(action)?;
        runtime::seal::execute(program.as_fd(), arguments, std::env::vars_os())
    });
    for number in 0..2 {
        let _ = sys::process::place_descriptor(null.as_fd(), number);
    }
    inherit(FdFlags::CLOEXEC).and(failed)
}

/// Goes on as the monitor that slept with these words behind the program's name, to its end.
///
/// # Errors
/// Refused for what no monitor has left; a kernel error where a descriptor is missing.
pub fn resume(words: &[OsString]) -> Result<()> {
    let text = match words {
        [word, _, text] if word == ASLEEP || word == AWAKE => text.to_str(),
        _ => None,
    };
    let asleep = text.and_then(|text| serde_json::from_str::<Asleep>(text).ok());
    let Some(asleep) = asleep else {
        let refused = Refused::new("carboy-monitor", "", "is what a container's monitor is called while it sleeps");
        return Err(refused.hint("carboy run -d starts a container with its monitor").into());
    };
    if words.first().is_some_and(|word| word == ASLEEP) {
        let _ = epoll::wait(std::io::stdin(), spare_capacity(&mut Vec::with_capacity(1)), None);
    }
    asleep.wake()
}

impl Asleep {
    fn wake(self) -> Result<()> {
        let slept = monotonic().saturating_sub(self.since);
        let take = |number: Option<Number>| number.map(Number::take).transpose();
        let process = self.process.take()?;
        let (listener, terminate) = (take(self.listener)?, take(self.terminate)?);
        let [input, out, err] = self.kept;
        let kept = Kept { input: take(input)?, out: take(out)?, err: take(err)?, wide: None };
        let (carried, null) = (self.carried, monitor::null()?);
        let claim = Claim::of(&carried.id, carried.claim.take()?);
        let alarms = carried.alarms.iter().map(|alarm| alarm.take()).collect::<Result<Vec<_>>>()?;
        let stalls = carried.stalls.iter().map(|(resource, file)| Ok((*resource, file.take()?)));
        let alarms = Alarms::found(alarms, take(carried.early_alarm)?, stalls.collect::<Result<_>>()?);
        let interfaces = take(carried.interfaces)?;
        let engine = Engine::at(carried.root.clone(), carried.run.clone());
        let group = GroupPath::parse("the recorded group", &carried.live.group)?;
        let folder = engine.store.container(&carried.id);
        let hierarchies = insist(|| crate::place::hierarchies_around(&group)?.of_container(&group));
        let output = insist(|| match open_output((&carried.log, &carried.origin), &folder) {
            // Somebody has deleted the folder, and the log with it.
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(Output::Unkept),
            opened => opened,
        });
        let wish =
            Wish { input: self.input, terminal: self.terminal, folder: Some(engine.store.run_folder(&carried.id)) };
        let mut charge = InCare::resumed(&engine, carried, (hierarchies, group), (claim, alarms, interfaces), slept);
        let running = Running { pid: HostPid(self.pid), pidfd: process, terminal: None };
        // A stall is told of once to whoever waits, which were the few instructions.
        if !charge.waits().is_empty() {
            charge.notice(&running);
        }
        let quiet = Quiet::after(self.quiet, slept);
        let (clients, running, crowded, doom) = (Vec::new(), Some(running), None, None);
        let monitor = Monitor { wish, output, listener, kept, clients, running, quiet, crowded, terminate, doom };
        monitor.run(&mut charge, &null);
        Ok(())
    }
}

/// Whoever has a container in its care does not leave it because memory is short for a moment.
fn insist<T>(attempt: impl Fn() -> Result<T>) -> T {
    loop {
        if let Ok(had) = attempt() {
            return had;
        }
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
    }
}

fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_woken_again_and_again_stays_awake_for_longer_until_it_has_slept_well() {
        let mut quiet = Quiet::new();
        let mut needed = |slept| {
            quiet = Quiet::after(quiet.needed, Duration::from_secs(slept));
            quiet.needed.as_secs()
        };
        assert_eq!([1, 59, 0, 30, 30, 30].map(&mut needed), [4, 8, 16, 32, 64, 64]);
        assert_eq!([60, 3].map(needed), [2, 4]);
    }

    #[test]
    fn what_no_monitor_has_left_is_refused() {
        for words in [vec![], vec!["asleep"], vec!["awake", "web", "{}"], vec!["run", "-d", "host"]] {
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            assert!(resume(&words).unwrap_err().to_string().contains("carboy-monitor"), "{words:?}");
        }
    }
}
