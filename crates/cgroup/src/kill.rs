//! Killing everything in a container's groups, and below them.
//!
//! Where the v2 tree has `cgroup.kill` (Linux 5.14), the kernel kills all at once, what is being forked too. Elsewhere
//! processes are listed and killed one by one, and those that fork meanwhile are not on the list. So they are held first:
//! frozen, and refused new processes by the pids controller, as far as there is either; without both they are listed and
//! killed until nobody is left. A v1 freezer holds the killed too, so it is thawed, with whatever the container froze in
//! itself; on v2 a frozen process dies.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use error::{Doing, Error, Kernel, Result};
use procfs::{HostPid, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::file::{KILL_V2, PROCS, THREADS_V2};
use crate::freezer::Wish;
use crate::group::Groups;
use crate::hierarchy::{Controller, Version};
use crate::pause::{Task, named};
use crate::{file, pids, tree};

/// How long a kill waits for processes to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for those on its list before it lists them anew.
const ROUND: Duration = Duration::from_millis(50);

/// The processes in a container's groups.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Those that the caller's pid namespace numbers.
    pub(crate) seen: Vec<Pid>,
    /// Whether there are others: the kernel lists each as 0.
    pub(crate) unseen: bool,
}

impl Groups {
    /// The processes in the groups and below them, in any hierarchy, as the caller's pid namespace numbers them,
    /// each once.
    ///
    /// # Errors
    /// A kernel error where a group cannot be read; one that vanishes meanwhile is empty.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        self.members().map(|members| members.seen)
    }

    pub(crate) fn members(&self) -> Result<Members> {
        let mut members = Members::default();
        for held in &self.held {
            let Some(group) = &held.group else { continue };
            let mut failed = None;
            let mut list = |group: BorrowedFd<'_>| match listed(group) {
                Ok(numbers) => members.add(numbers),
                // The group is gone: its files are (ENOENT), or they were open (ENODEV).
                Err(Errno::NOENT | Errno::NODEV) => {}
                Err(errno) => failed = Some(errno),
            };
            list(group.as_fd());
            let walked = match tree::walk(group.as_fd(), list, |_, _| {}) {
                Err(Errno::NOENT | Errno::NODEV) => Ok(()),
                walked => walked,
            };
            failed
                .map_or(walked, Err)
                .doing(|| format!("list the processes of the cgroup {}", self.name(held.index)))?;
        }
        members.seen.sort_unstable_by_key(|process: &Pid| process.as_raw_nonzero());
        members.seen.dedup();
        Ok(members)
    }

    /// Kills everything in the groups and below them, and waits until it is dead. The groups are good for nothing but
    /// their removal then.
    ///
    /// # Errors
    /// A kernel error; `ETIME` naming processes that do not die, as in an uninterruptible wait; refused where a group
    /// above is frozen on v1.
    pub fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut hold = false;
        loop {
            hold |= !self.kill_at_once();
            if hold {
                self.hold(deadline.min(Instant::now() + ROUND));
            }
            let doomed = self.handles();
            for process in doomed.iter().flatten() {
                // One that is gone meanwhile is what we want.
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
            self.thaw_nested();
            let doomed = doomed?;
            if doomed.is_empty() {
                let left = self.members()?;
                if left.seen.is_empty() && !left.unseen {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            wait_for(&doomed, deadline.min(Instant::now() + ROUND))?;
            if let Some(refused) = self.held_dead() {
                return Err(refused);
            }
            if Instant::now() >= deadline {
                let inhabitants = self.inhabitants().unwrap_or_else(|| named(&[]));
                let action = format!("kill what is in the cgroup {}: {inhabitants} did not die", self.path);
                return Err(Kernel::new(action, Errno::TIME).into());
            }
            hold = true;
        }
    }

    fn kill_at_once(&self) -> bool {
        let unified = self.hierarchies.unified().and_then(|index| self.group(index).ok());
        // A threaded group refuses it (EOPNOTSUPP): a process is not in it alone.
        unified.is_some_and(|group| file::write(group, KILL_V2, "1").is_ok())
    }

    /// Keeps what is in the groups from forking, as far as that can be had: what escapes is killed in the next round.
    fn hold(&self, deadline: Instant) {
        if let Some((_, group)) = self.controlled(Controller::Pids) {
            let write = pids::none();
            let _ = file::write(group, &write.file, &write.value);
        }
        if self.tell(Wish::Freeze).is_ok() {
            let _ = self.settle(deadline);
        }
    }

    /// Handles on the processes of the groups. A number may have gone to another process between the reading and the
    /// opening: those that are not listed again are left out.
    ///
    /// # Errors
    /// As [`Groups::processes`].
    pub fn handles(&self) -> Result<Vec<OwnedFd>> {
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

    /// Whether a v1 freezer above holds the killed: they die when it lets go, which nothing here can bring about.
    fn held_dead(&self) -> Option<Error> {
        let is_v1 = self.controlled(Controller::Freezer).is_some_and(|(version, _)| version == Version::V1);
        if is_v1 && !self.processes().ok()?.is_empty() { self.held_above() } else { None }
    }

    /// Who is in the groups, for an error; nobody any more where that is `None`.
    pub(crate) fn inhabitants(&self) -> Option<String> {
        let Members { seen, unseen } = self.members().ok()?;
        let tasks: Vec<Task> = seen.iter().filter_map(|pid| Task::read(pid.as_raw_nonzero().get())).collect();
        match tasks.as_slice() {
            [] if unseen => Some("processes of another pid namespace".to_owned()),
            [] => None,
            tasks => Some(named(tasks)),
        }
    }
}

impl Members {
    fn add(&mut self, numbers: Vec<i32>) {
        self.unseen |= numbers.contains(&0);
        self.seen.extend(numbers.into_iter().filter_map(Pid::from_raw));
    }
}

/// The numbers of a group's processes. A threaded v2 group lists threads alone, since its processes are listed above it;
/// where that is above the container's group too, they are found by their threads.
fn listed(group: BorrowedFd<'_>) -> std::result::Result<Vec<i32>, Errno> {
    let parsed = |text: String| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>();
    match file::read(group, PROCS) {
        Err(Errno::OPNOTSUPP) => {}
        read => return read.map(parsed),
    }
    // One without a number here stays 0; one that is gone is nobody's.
    let process = |thread| match thread {
        0 => Some(0),
        _ => Some(Process::open(HostPid(thread)).ok()?.status().ok()?.tgid.0),
    };
    Ok(parsed(file::read(group, THREADS_V2)?).into_iter().filter_map(process).collect())
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
