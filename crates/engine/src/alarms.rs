//! What tells a container's monitor that something has run short in it, while it happens: nobody looks again and again.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use cgroup::alarm::Alarm;
use cgroup::stall::{self, Resource};
use cgroup::{GroupPath, Groups, Hierarchies, Limit};
use rustix::event::PollFlags;

use crate::record::Record;
use crate::shortage::{Oom, has_parents};
use crate::store::Store;

/// The descriptors that tell.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// Files of v2, which tell by `POLLPRI` once they were read.
    files: Vec<OwnedFd>,
    /// v1's, which tells before the kernel has killed.
    early: Option<OwnedFd>,
    /// What tells when it stalls, of each resource until that was told.
    stalls: Vec<(Resource, OwnedFd)>,
    /// When those are made, of which resources: of one that ends soon nobody wants to know.
    begin: Option<(Instant, Vec<Resource>)>,
    /// When it is looked again whether the kernel has killed, and how long that is done.
    look: Option<(Instant, Instant)>,
}

/// How long the kernel is given to kill after it has told that it will, and how often that is looked at.
const KILLING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);
/// A shorter run has no time to stall.
const SOON: Duration = Duration::from_secs(1);

impl Alarms {
    /// Those of what a container is held by: of any other resource there is nothing to hear, and to let go of what tells of a
    /// stall the kernel waits for a hundredth of a second each.
    pub(crate) fn of(record: &Record, (hierarchies, group): (&Hierarchies, &GroupPath)) -> Self {
        let mut limited = limited(record);
        if has_parents(group) {
            limited = Resource::ALL.to_vec();
        }
        let hears_of_memory = limited.contains(&Resource::Memory);
        let begin = Some((Instant::now() + SOON, limited)).filter(|(_, limited)| !limited.is_empty());
        let alarms = Self { begin, ..Self::default() };
        if !hears_of_memory {
            return alarms;
        }
        let Ok(groups) = Groups::open(hierarchies, group) else { return alarms };
        let early = groups.memory_alarm().ok().filter(Alarm::is_early).map(Alarm::into_descriptor);
        Self { files: groups.alarms(), early, ..alarms }
    }

    /// Those that were open before.
    pub(crate) const fn found(files: Vec<OwnedFd>, early: Option<OwnedFd>, stalls: Vec<(Resource, OwnedFd)>) -> Self {
        Self { files, early, stalls, begin: None, look: None }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(|file| file.as_fd())
    }

    pub(crate) fn early(&self) -> Option<BorrowedFd<'_>> {
        self.early.as_ref().map(|early| early.as_fd())
    }

    pub(crate) fn stalls(&self) -> &[(Resource, OwnedFd)] {
        &self.stalls
    }

    pub(crate) fn waits(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let stalls = self.stalls.iter().map(|(_, stall)| stall.as_fd());
        let told = self.files().chain(stalls).map(|file| (file, PollFlags::PRI));
        told.chain(self.early().map(|early| (early, PollFlags::IN)))
    }

    /// When it is to be looked at in any case.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.begin.iter().map(|(begin, _)| *begin).chain(self.look.map(|(next, _)| next)).min()
    }

    /// Lets them tell of the next change, before anything is read.
    pub(crate) fn clear(&mut self) {
        // Of a group that is gone there is none.
        self.files.retain(|file| rustix::io::pread(file, &mut [0_u8; 512], 0).is_ok());
        let now = Instant::now();
        let told = self.early.as_ref().is_some_and(|early| rustix::io::read(early, &mut [0_u8; 8]).is_ok());
        let until = if told { Some(now + KILLING) } else { self.look.map(|(_, until)| until) };
        self.look = until.filter(|until| now < *until).map(|until| (now + LOOK, until));
    }

    /// What it stalls on since it was looked last; nothing is told of that again in this run.
    pub(crate) fn stalled(&mut self, (hierarchies, group): (&Hierarchies, &GroupPath)) -> Vec<Resource> {
        if let Some((_, limited)) = self.begin.take_if(|(begin, _)| *begin <= Instant::now()) {
            let groups = Groups::open(hierarchies, group);
            self.stalls = groups.map(|groups| groups.stall_alarms(&limited)).unwrap_or_default();
        }
        let mut stalled = Vec::new();
        self.stalls.retain(|(resource, alarm)| {
            let stalls = stall::stalls(alarm);
            stalled.extend(stalls.filter(|stalls| *stalls).map(|_| *resource));
            stalls == Some(false)
        });
        stalled
    }

    /// What was awaited has been seen.
    pub(crate) const fn have_been_heard(&mut self) {
        self.look = None;
    }
}

/// The resources of which a container has a limit of its own.
fn limited(record: &Record) -> Vec<Resource> {
    let Some(resources) = record.config.linux.as_ref().and_then(|linux| linux.resources.as_ref()) else {
        return Vec::new();
    };
    let has_limit = |resource: &Resource| match resource {
        Resource::Cpu => resources.cpu.as_ref().is_some_and(|cpu| cpu.quota.is_some_and(|quota| quota > 0)),
        Resource::Memory => resources.memory.as_ref().is_some_and(|memory| memory.limit.is_some()),
        Resource::Io => resources.block_io.is_some(),
    };
    Resource::ALL.into_iter().filter(has_limit).collect()
}

impl Store {
    /// Tells that a container stalls: where a quota of CPU time has run out, that it is throttled, with the level whose it is.
    pub(crate) fn tell_stall(&self, record: &Record, resource: Resource, place: (&Hierarchies, &GroupPath)) {
        let level = if resource == Resource::Cpu { throttled_by(place) } else { None };
        match level {
            Some((path, millionths)) => {
                let cpus = format!("{}.{:02}", millionths / 1_000_000, millionths % 1_000_000 / 10_000);
                self.tell(record, "throttled", &[("level", path.to_string()), ("cpus", cpus)]);
            }
            None => self.tell(record, "stalled", &[("resource", resource.name().to_owned())]),
        }
    }

    /// Tells that the kernel has killed in a container for want of memory, with the level whose limit led to it.
    pub(crate) fn tell_oom(&self, record: &Record, oom: &Oom) {
        let own = oom.limit_bytes.map(|limit| (record.group.clone(), limit));
        let cause = oom.cause.as_ref().map(|cause| (cause.path.clone(), cause.limit)).or(own);
        let mut told = vec![("kills", oom.kills.to_string())];
        told.extend(cause.into_iter().flat_map(|(path, limit)| [("level", path), ("limit", limit.to_string())]));
        self.tell(record, "oom", &told);
    }
}

/// The level with the smallest quota of CPU time of those whose quota has run out, and the quota in millionths of a CPU.
fn throttled_by((hierarchies, group): (&Hierarchies, &GroupPath)) -> Option<(GroupPath, u64)> {
    let levels = std::iter::successors(Some(group.clone()), GroupPath::parent).filter(|level| !level.is_root());
    let throttled = levels.filter_map(|level| {
        let cpu = Groups::open(hierarchies, &level).ok()?.cpu()?;
        cpu.throttled_periods.filter(|periods| *periods > 0)?;
        let Limit::At(quota) = cpu.quota_usec? else { return None };
        Some((level, quota.saturating_mul(1_000_000).checked_div(cpu.period_usec?)?))
    });
    throttled.min_by_key(|(_, millionths)| *millionths)
}
