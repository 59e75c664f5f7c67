//! Stopping everything in a container's groups, and letting it go on.
//!
//! Both versions stop what is in the groups below too, and a group stands still as long as it or any group above it was
//! told to. What they differ in:
//!
//! * v2 tells when the last task has stopped (`POLLPRI` on its events); v1 looks only when it is asked.
//! * v1 can stay at FREEZING: a task that is forked, or moved in, while the group is gone through is not told. So the
//!   wish is told again at each look, and now and then taken back and told anew, which wakes every task once more.
//! * A task in an uninterruptible wait of the kernel (state D: a disk, NFS, a FUSE server that does not answer) stops in
//!   neither. A group that cannot be stopped whole is thawed again rather than left half stopped.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use error::{Doing, Error, Kernel, Refused, RefusedKind, Result};
use procfs::HostPid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::file::{EVENTS_V2, TASKS_V1, THREADS_V2};
use crate::freezer::{self, State, Stats, Wish};
use crate::group::Groups;
use crate::hierarchy::{Controller, Hierarchies, Mounted, Version};
use crate::path::GroupPath;
use crate::{file, mount, tree};

/// The first wait between two looks at a v1 freezer; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_micros(100);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_millis(64);
/// After so many looks a v1 group is thawed and frozen anew.
const LOOKS: u32 = 8;
/// How long a thawed group is given to go on.
const THAWING: Duration = Duration::from_secs(1);
/// How long those that only followed are given to leave the freezer, before it is looked who stays in the kernel.
const SETTLING: Duration = Duration::from_millis(20);
/// How many tasks an error names.
const NAMED: usize = 8;

impl Groups {
    /// Stops everything in the groups, and waits until it stands still. Where it does not in time, it is thawed again.
    ///
    /// # Errors
    /// A kernel error; `ETIME` naming the tasks that did not stop, with their states; `ENOENT` without a freezer.
    pub fn freeze(&self, patience: Duration) -> Result<()> {
        self.tell(Wish::Freeze)?;
        if self.settle(Instant::now() + patience)? {
            return Ok(());
        }
        self.tell(Wish::Thaw)?;
        std::thread::sleep(SETTLING);
        let stayed = named(&self.tasks());
        let action = format!("freeze the cgroup {} within {patience:?}: {stayed} did not stop", self.path);
        let hint = "it runs again; a task in state D waits for a disk or a server: try again when that has answered";
        Err(Kernel::new(action, Errno::TIME).hint(hint).into())
    }

    /// Lets everything in the groups go on, and waits until it does.
    ///
    /// # Errors
    /// Refused (a conflict) where a group above is frozen, which holds this one too; a kernel error; `ENOENT` without a
    /// freezer.
    pub fn thaw(&self) -> Result<()> {
        self.tell(Wish::Thaw)?;
        let deadline = Instant::now() + THAWING;
        while self.freezer().state == Some(State::Paused) {
            if let Some(refused) = self.held_above() {
                return Err(refused);
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(Kernel::new(format!("thaw the cgroup {}", self.path), Errno::TIME).into());
            }
            self.await_events(LONGEST_WAIT.min(deadline - now), State::Running);
        }
        Ok(())
    }

    /// How the container stands; nothing is known without a freezer.
    #[must_use]
    pub fn freezer(&self) -> Stats {
        let Some((version, group)) = self.controlled(Controller::Freezer) else { return Stats::default() };
        stats(version, group)
    }

    /// Whether everything stands still; `None` where that cannot be read.
    #[must_use]
    pub fn frozen(&self) -> Option<bool> {
        let (version, group) = self.controlled(Controller::Freezer)?;
        let state = match version {
            Version::V1 => freezer::state_v1(|name| file::read(group, name).ok()),
            Version::V2 => stats(version, group).state,
        };
        state.map(|state| state == State::Paused)
    }

    /// Writes the wish, without waiting.
    pub(crate) fn tell(&self, wish: Wish) -> Result<()> {
        let missing = || Kernel::new(format!("find the freezer of the cgroup {}", self.path), Errno::NOENT);
        let (version, group) = self.controlled(Controller::Freezer).ok_or_else(missing)?;
        tell(version, group, wish).doing(|| format!("set {} on freezer:{}", write(version, wish), self.path))
    }

    /// Thaws the groups, and on v1 those that the container froze in itself, which hold even the killed there.
    pub fn thaw_nested(&self) {
        let Some((version, group)) = self.controlled(Controller::Freezer) else { return };
        // Whatever fails is gone, or is found by who waits for it.
        let thaw = |group: BorrowedFd<'_>| {
            let _ = tell(version, group, Wish::Thaw);
        };
        thaw(group);
        if version == Version::V1 {
            let _ = tree::walk(group, thaw, |_, _| {});
        }
    }

    /// Waits until a group that was told to stands still; whether it does.
    pub(crate) fn settle(&self, deadline: Instant) -> Result<bool> {
        let is_v1 = self.controlled(Controller::Freezer).is_some_and(|(version, _)| version == Version::V1);
        let mut wait = FIRST_WAIT;
        for look in 1.. {
            match self.freezer().state {
                Some(State::Paused) => return Ok(true),
                None => {
                    return Err(
                        Kernel::new(format!("read the freezer of the cgroup {}", self.path), Errno::NOENT).into()
                    );
                }
                Some(_) => {}
            }
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            if is_v1 {
                std::thread::sleep(wait.min(deadline - now));
                wait = (wait * 2).min(LONGEST_WAIT);
                if look % LOOKS == 0 {
                    self.tell(Wish::Thaw)?;
                }
                self.tell(Wish::Freeze)?;
            } else {
                self.await_events(deadline - now, State::Paused);
            }
        }
        Ok(false)
    }

    /// Waits until a v2 group has become what is waited for, or a while on v1.
    fn await_events(&self, patience: Duration, awaited: State) {
        let group = self.controlled(Controller::Freezer);
        let v2 = group.filter(|(version, _)| *version == Version::V2).map(|(_, group)| group);
        let events = v2.and_then(|group| file::open(group, EVENTS_V2, OFlags::RDONLY).ok());
        let (Some(events), Ok(timeout)) = (events, Timespec::try_from(patience)) else {
            return std::thread::sleep(patience);
        };
        // Reading is what arms the poll: a change after it wakes us.
        let _ = file::read_open(&events);
        if self.freezer().state != Some(awaited) {
            // A signal or an error only makes the caller look earlier.
            let _ = poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout));
        }
    }

    /// Why thawing does not help, where a group above is frozen.
    pub(crate) fn held_above(&self) -> Option<Error> {
        let version = self.controlled(Controller::Freezer)?.0;
        let reason = match self.frozen_above() {
            Some(level) => format!("the group above it, {level}, is frozen, and holds all that is below"),
            None if self.freezer().above == Some(true) => {
                "a group above the root of the hierarchy's mount is frozen, and holds all that is below".to_owned()
            }
            None => return None,
        };
        let thaw = write(version, Wish::Thaw);
        let refused = Refused::new(thaw.file, format!("{} on {}", thaw.value, self.path), reason);
        Some(refused.hint("thaw that group first").kind(RefusedKind::Conflict).into())
    }

    /// The nearest group above that was told to stop.
    fn frozen_above(&self) -> Option<GroupPath> {
        let index = self.hierarchies.index_of(Controller::Freezer)?;
        let version = self.hierarchies.at(index).ok()?.version;
        let root = &self.held.iter().find(|held| held.index == index)?.root;
        let told = |path: &GroupPath| {
            tree::open(root, path.relative()).is_ok_and(|group| stats(version, group.as_fd()).own == Some(true))
        };
        self.path.ancestors().into_iter().rev().find(told)
    }

    /// The tasks in the freezer's group and below it, threads one by one.
    fn tasks(&self) -> Vec<Task> {
        let Some((version, group)) = self.controlled(Controller::Freezer) else { return Vec::new() };
        let name = match version {
            Version::V1 => TASKS_V1,
            Version::V2 => THREADS_V2,
        };
        let mut tasks = Vec::new();
        let mut list = |group: BorrowedFd<'_>| {
            let text = file::read(group, name).unwrap_or_default();
            tasks.extend(text.lines().filter_map(|line| Task::read(line.parse().ok()?)));
        };
        list(group);
        let _ = tree::walk(group, list, |_, _| {});
        tasks
    }
}

/// The hierarchy with the freezer, held open by who looks at many groups.
#[derive(Debug)]
pub struct Freezer(Option<(Version, OwnedFd)>);

impl Freezer {
    /// Opens it. Where this host has none nothing stands still.
    ///
    /// # Errors
    /// A kernel error where its mount point cannot be opened.
    pub fn open(hierarchies: &Hierarchies) -> Result<Self> {
        let usable = hierarchies.of(Controller::Freezer).filter(|hierarchy| hierarchy.obstacle.is_none());
        let Some(hierarchy) = usable else { return Ok(Self(None)) };
        let root = match hierarchy.mounted {
            Mounted::ByHost => Some(hierarchy.open()?),
            Mounted::ByCarboy | Mounted::NotYet => mount::open(hierarchy),
        };
        Ok(Self(root.map(|root| (hierarchy.version, root))))
    }

    /// Whether everything in a group stands still; `None` where that cannot be read.
    #[must_use]
    pub fn is_frozen(&self, path: &GroupPath) -> Option<bool> {
        let (version, root) = self.0.as_ref()?;
        let read = |name: &str| file::read(root, &format!("{}/{name}", path.relative())).ok();
        let state = match version {
            Version::V1 => freezer::state_v1(read),
            Version::V2 => freezer::stats_v2(read).state,
        };
        state.map(|state| state == State::Paused)
    }
}

fn stats(version: Version, group: BorrowedFd<'_>) -> Stats {
    let read = |name: &str| file::read(group, name).ok();
    match version {
        Version::V1 => freezer::stats_v1(read),
        Version::V2 => freezer::stats_v2(read),
    }
}

fn write(version: Version, wish: Wish) -> crate::Write {
    match version {
        Version::V1 => freezer::plan_v1(wish),
        Version::V2 => freezer::plan_v2(wish),
    }
}

fn tell(version: Version, group: BorrowedFd<'_>, wish: Wish) -> std::result::Result<(), Errno> {
    let write = write(version, wish);
    file::write(group, &write.file, &write.value)
}

/// A task, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    number: i32,
    name: String,
    state: char,
    /// Where in the kernel it waits; the kernel tells it to few.
    waits: Option<String>,
}

impl Task {
    /// Reads what a task does; `None` where it is gone.
    pub(crate) fn read(number: i32) -> Option<Self> {
        let process = procfs::Process::open(HostPid(number)).ok()?;
        let stat = process.stat().ok()?;
        let waits = process.wait_channel().ok().flatten();
        Some(Self { number, name: stat.name, state: stat.state, waits })
    }
}

/// `1234 dd D (io_schedule)`, as ps(1) has its columns.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, name, state, waits } = self;
        write!(f, "{number} {name} {state}")?;
        waits.as_ref().map_or(Ok(()), |function| write!(f, " ({function})"))
    }
}

/// Those of the tasks that stay in the kernel, by name; all where none does.
pub(crate) fn named(tasks: &[Task]) -> String {
    let stuck: Vec<&Task> = tasks.iter().filter(|task| task.state == 'D').collect();
    let told: Vec<&Task> = if stuck.is_empty() { tasks.iter().collect() } else { stuck };
    let mut names: Vec<String> = told.iter().take(NAMED).map(ToString::to_string).collect();
    match told.len().saturating_sub(NAMED) {
        0 if names.is_empty() => "processes that come and go".to_owned(),
        0 => names.join(", "),
        more => {
            names.push(format!("{more} more"));
            names.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: i32, state: char, waits: Option<&str>) -> Task {
        Task { number, name: "dd".into(), state, waits: waits.map(str::to_owned) }
    }

    #[test]
    fn tasks_that_stay_in_the_kernel_are_named_with_where_they_wait() {
        let tasks = [task(7, 'S', Some("get_signal")), task(1234, 'D', Some("io_schedule")), task(8, 'D', None)];
        assert_eq!(named(&tasks), "1234 dd D (io_schedule), 8 dd D");
        assert_eq!(named(&tasks[..1]), "7 dd S (get_signal)");
        assert_eq!(named(&[]), "processes that come and go");
    }

    #[test]
    fn of_many_tasks_some_are_named() {
        let tasks: Vec<Task> = (1..=10).map(|number| task(number, 'D', None)).collect();
        assert!(named(&tasks).ends_with("8 dd D, 2 more"));
    }
}
