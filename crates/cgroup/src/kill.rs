//! Stopping, resuming and killing everything in a container's groups, and below them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use error::{Doing, Kernel, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::file::{EVENTS_V2, KILL_V2, PROCS};
use crate::freezer::{self, Wish};
use crate::group::Groups;
use crate::hierarchy::{Controller, Version};
use crate::{file, tree};

/// How long a kill waits for processes to be gone, and a freeze for them to stand still.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait between two looks at a v1 freezer.
const LONGEST_WAIT: Duration = Duration::from_millis(64);

impl Groups {
    /// The processes in the groups and below them, in any hierarchy, as the caller's pid namespace numbers them,
    /// each once.
    ///
    /// # Errors
    /// A kernel error where a group cannot be read; one that vanishes meanwhile is empty.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let mut processes = Vec::new();
        for held in &self.held {
            let Some(group) = &held.group else { continue };
            let mut failed = None;
            let mut list = |group: BorrowedFd<'_>| match file::read(group, PROCS) {
                Ok(text) => processes.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?))),
                // The group is gone (ENODEV on its open files), or it is threaded and its processes are listed above it.
                Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => {}
                Err(errno) => failed = Some(errno),
            };
            list(group.as_fd());
            let walked = match tree::walk(group.as_fd(), list, |_, _| {}) {
                Err(Errno::NOENT) => Ok(()),
                walked => walked,
            };
            failed
                .map_or(walked, Err)
                .doing(|| format!("list the processes of the cgroup {}", self.name(held.index)))?;
        }
        processes.sort_unstable_by_key(|process: &Pid| process.as_raw_nonzero());
        processes.dedup();
        Ok(processes)
    }

    /// Kills everything in the groups and below them, and waits until it is dead: by v2's `cgroup.kill` where there is
    /// one, else frozen first, so that nothing can fork away.
    ///
    /// # Errors
    /// A kernel error; `ETIMEDOUT` when processes are left that do not die, as in an uninterruptible wait.
    pub fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut freeze = !self.kill_at_once();
        loop {
            if freeze {
                // Only against forks: a group that does not stand still at once is killed all the same.
                let _ = self.freezer(Wish::Freeze);
            }
            let doomed = self.doomed();
            for process in doomed.iter().flatten() {
                // One that is gone meanwhile is what we want.
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
            // A v1 freezer holds even the killed, so it is thawed whatever failed.
            let _ = self.freezer(Wish::Thaw);
            let doomed = doomed?;
            if doomed.is_empty() && self.processes()?.is_empty() {
                return Ok(());
            }
            wait_for(&doomed, deadline)?;
            freeze = true;
            if Instant::now() >= deadline {
                let action = format!("kill what is in the cgroup {}", self.path);
                return Err(Kernel::new(action, Errno::TIMEDOUT).into());
            }
        }
    }

    fn kill_at_once(&self) -> bool {
        let unified = self.hierarchies.unified().and_then(|index| self.group(index).ok());
        unified.is_some_and(|group| file::write(group, KILL_V2, "1").is_ok())
    }

    /// Handles on the processes of the groups. A number may have gone to another process between the reading and the
    /// opening: those that are not listed again are left out.
    fn doomed(&self) -> Result<Vec<OwnedFd>> {
        let opened: Vec<(Pid, OwnedFd)> = self
            .processes()?
            .into_iter()
            .filter_map(|process| Some((process, pidfd_open(process, PidfdFlags::empty()).ok()?)))
            .collect();
        if opened.is_empty() {
            return Ok(Vec::new());
        }
        let still = self.processes()?;
        Ok(opened.into_iter().filter(|(process, _)| still.contains(process)).map(|(_, handle)| handle).collect())
    }

    /// Stops everything in the groups, and waits until it stands still.
    ///
    /// # Errors
    /// A kernel error; `ETIMEDOUT` when something does not stand still; `ENOENT` without a freezer.
    pub fn freeze(&self) -> Result<()> {
        self.freezer(Wish::Freeze)?;
        let deadline = Instant::now() + PATIENCE;
        let mut wait = Duration::from_millis(1);
        while self.frozen() != Some(true) {
            let now = Instant::now();
            if now >= deadline {
                return Err(Kernel::new(format!("freeze the cgroup {}", self.path), Errno::TIMEDOUT).into());
            }
            self.wait_for_freezer(wait.min(deadline - now));
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Ok(())
    }

    /// Lets everything in the groups go on.
    ///
    /// # Errors
    /// A kernel error; `ENOENT` without a freezer.
    pub fn thaw(&self) -> Result<()> {
        self.freezer(Wish::Thaw)
    }

    /// Whether everything stands still; `None` where that cannot be read.
    #[must_use]
    pub fn frozen(&self) -> Option<bool> {
        let (version, group) = self.controlled(Controller::Freezer)?;
        let read = |name: &str| file::read(group, name).ok();
        match version {
            Version::V1 => freezer::stats_v1(read).frozen,
            Version::V2 => freezer::stats_v2(read).frozen,
        }
    }

    fn freezer(&self, wish: Wish) -> Result<()> {
        let missing = || Kernel::new(format!("find the freezer of the cgroup {}", self.path), Errno::NOENT);
        let (version, group) = self.controlled(Controller::Freezer).ok_or_else(missing)?;
        let write = match version {
            Version::V1 => freezer::plan_v1(wish),
            Version::V2 => freezer::plan_v2(wish),
        };
        file::write(group, &write.file, &write.value).doing(|| format!("set {write} on freezer:{}", self.path))
    }

    /// v2 tells when it is done; v1 has to be asked again.
    fn wait_for_freezer(&self, patience: Duration) {
        let v2 = self.controlled(Controller::Freezer).filter(|(version, _)| *version == Version::V2);
        let events = v2.and_then(|(_, group)| file::open(group, EVENTS_V2, OFlags::RDONLY).ok());
        match (events, Timespec::try_from(patience)) {
            (Some(events), Ok(patience)) => {
                // A signal or an error only makes the caller look earlier.
                let _ = poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&patience));
            }
            _ => std::thread::sleep(patience),
        }
    }
}

/// Waits until each of the processes is dead, or for the deadline.
fn wait_for(processes: &[OwnedFd], deadline: Instant) -> Result<()> {
    let waited = |errno| Kernel::new("wait for killed processes", errno);
    for process in processes {
        let patience = deadline.saturating_duration_since(Instant::now());
        let patience = Timespec::try_from(patience).map_err(|_| waited(Errno::INVAL))?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(waited(errno).into()),
        }
    }
    Ok(())
}
