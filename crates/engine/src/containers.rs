//! The containers of this host and the operations on them.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use cgroup::mark::Place;
use cgroup::plan::Parent;
use cgroup::{GroupPath, Hierarchies};
use error::{Doing, Errno, Error, Kernel, Refused, RefusedKind, Result};
use procfs::{HostPid, NamespaceId, Proc};
use sys::process::Ended;

use crate::health::{Health, HealthWish, Healthcheck};
use crate::options::Signal;
use crate::pause::Paused;
use crate::record::{After, Exit, Live, LiveMonitor, LiveProcess, LiveTable, Record, Wanted};
use crate::restart::Policy;
use crate::start::wait_a_moment;
use crate::store::{Claim, Holding, Lock, Store, takes_nothing};
use crate::volume::OwnVolumes;

/// The engine: operations on what is on disk and in the kernel.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Where its files are.
    pub store: Store,
}

/// Whether a container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It was never started, or is just being.
    Created,
    /// Its first process lives.
    Running(LiveProcess),
    /// It has ended, and its monitor is about to start it again.
    Restarting(Exit),
    /// It has ended.
    Exited(Exit),
    /// It has ended, and nobody saw how.
    Gone,
}

/// A container as it is now.
#[derive(Debug, Clone)]
pub struct Container {
    /// What is remembered.
    pub record: Record,
    /// What is true.
    pub status: Status,
    /// Who takes care of it, if it runs.
    pub care: Care,
    /// What its checks tell, or told last; `None` where it is not checked.
    pub health: Option<Health>,
}

/// Who takes care of a container that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Its monitor.
    Monitor,
    /// Nobody: its monitor was killed.
    Nobody,
}

/// The containers that there are.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be told of, the newest first.
    pub containers: Vec<Container>,
    /// What is wrong with each of the others.
    pub damaged: Vec<Error>,
}

impl Engine {
    /// The engine over its two folders.
    ///
    /// # Errors
    /// A kernel error that names the folder.
    pub fn open(root: PathBuf, run: PathBuf) -> Result<Self> {
        Ok(Self { store: Store::open(root, run)? })
    }

    /// The engine over its two folders as they are: for looking, not for making.
    #[must_use]
    pub const fn at(root: PathBuf, run: PathBuf) -> Self {
        Self { store: Store::at(root, run) }
    }

    /// Undoes what is left of containers whose monitor is gone and whose first process is too. Gives what could not be
    /// undone; it stops at nothing.
    #[must_use]
    pub fn sweep(&self) -> Vec<Error> {
        let ids = match self.store.live_ids() {
            Ok(ids) => ids,
            Err(error) => return vec![error],
        };
        let mut left = self.store.sweep_volumes();
        left.extend(ids.iter().filter_map(|id| self.sweep_id(id).err()));
        self.tidy_networks();
        left
    }

    pub(crate) fn sweep_id(&self, id: &str) -> Result<()> {
        self.sweep_as(id, None)
    }

    /// The same, where the exit code is known.
    pub(crate) fn sweep_as(&self, id: &str, code: Option<i32>) -> Result<()> {
        let Lock::Taken(claim) = self.store.lock(id)? else { return Ok(()) };
        match self.store.live(id) {
            Ok(Some(live)) => self.sweep_one(claim, &live, code),
            Ok(None) => self.store.release(claim),
            // What must be undone may be read another time.
            Err(error) => Err(error),
        }
    }

    fn sweep_one(&self, claim: Claim, live: &Live, code: Option<i32>) -> Result<()> {
        if let Some(process) = &live.process
            && runs(process)?
        {
            return Ok(());
        }
        remove_groups(live)?;
        let id = claim.id.clone();
        self.leave_networks(&id)?;
        // Whoever changes it just now may take long: there will be another command.
        let held = match self.store.try_hold(&id)? {
            Holding::Busy => return Ok(()),
            Holding::Held(held) => Some(held),
            Holding::Absent => None,
        };
        let ran = live.process.as_ref().filter(|process| process.started.is_some());
        let stays = live.after == After::Keep || live.after == After::KeepIfItRan && ran.is_some();
        match self.store.record(&id) {
            Ok(Some(mut record)) if stays || record.wanted == Wanted::Again => {
                // The clock may have been set meanwhile.
                let is_of_this_run =
                    |exit: &Exit| ran.is_none_or(|ran| exit.started == ran.started || exit.finished >= ran.born);
                let is_known = record.exit.as_ref().is_some_and(is_of_this_run);
                let unseen = ran.filter(|_| !is_known).map(|ran| {
                    let health = self.store.health(&id).ok().flatten().map(Health::unattended);
                    Exit { code, health, ..Exit::unseen(ran.started) }
                });
                if let Some(exit) = live.exit.as_ref().or(unseen.as_ref()) {
                    record.exit = Some(exit.clone());
                    self.store.write_record(&record)?;
                }
                if let (Some(exit), None) = (unseen, &live.exit) {
                    self.store.tell_end(&record, &exit, None);
                }
            }
            // What cannot be read may be another carboy's, or mended.
            Err(_) if stays => {}
            _ => {
                drop(held);
                if live.after != After::RemoveButVolumes {
                    self.store.remove_own_volumes(&id)?;
                }
                if let (Some(ran), Ok(Some(record))) = (ran, self.store.record(&id)) {
                    self.store.tell_end(&record, &Exit { code, ..Exit::unseen(ran.started) }, None);
                }
                self.remove_files(&id, live)?;
            }
        }
        self.store.release(claim)
    }

    /// Removes a container's files; it may have got another name than it was started with.
    pub(crate) fn remove_files(&self, id: &str, live: &Live) -> Result<()> {
        let record = self.store.record(id).ok().flatten();
        self.store.remove_container(id, record.as_ref().map_or(&live.name, |record| &record.name))?;
        if let Some(record) = record {
            self.store.tell(&record, "destroy", &[]);
        }
        Ok(())
    }

    /// Every container. One that cannot be told of hides no other, and nothing waits for whoever works on one.
    ///
    /// # Errors
    /// A kernel error where their folder cannot be read.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        let proc = Proc::open()?;
        for id in self.store.ids()? {
            match self.container_in(&proc, &id) {
                Ok(found) => listing.containers.extend(found),
                Err(error) => listing.damaged.push(error),
            }
        }
        listing.containers.sort_by_key(|container| std::cmp::Reverse(container.record.created));
        Ok(listing)
    }

    /// The container of an id; `None` where there is none, or it is just being made.
    pub(crate) fn container(&self, id: &str) -> Result<Option<Container>> {
        self.container_in(&Proc::open()?, id)
    }

    fn container_in(&self, proc: &Proc, id: &str) -> Result<Option<Container>> {
        let Some(record) = self.store.record(id)? else { return Ok(None) };
        let (status, care) = self.status(proc, &record)?;
        let health = self.health(&record, &status);
        Ok(Some(Container { record, status, care, health }))
    }

    /// What a container's checks tell. Of one that is just being started they have told nothing; what is damaged is written
    /// anew at the next check.
    fn health(&self, record: &Record, status: &Status) -> Option<Health> {
        let HealthWish::Checked(Healthcheck { command: Some(_), .. }) = &record.options.health else { return None };
        if let Status::Running(_) = status {
            return Some(self.store.health(&record.id).ok().flatten().unwrap_or_default());
        }
        record.exit.as_ref().and_then(|exit| exit.health.clone())
    }

    fn status(&self, proc: &Proc, record: &Record) -> Result<(Status, Care)> {
        let ended = |live: Option<&Live>| match live.and_then(|live| live.exit.as_ref()).or(record.exit.as_ref()) {
            Some(exit) => Status::Exited(exit.clone()),
            None if record.begun.is_some() => Status::Gone,
            None => Status::Created,
        };
        let Some(live) = self.live_or_recorded(record)? else { return Ok((ended(None), Care::Nobody)) };
        if let Some(process) = &live.process
            && let Some(stat) = running(proc, process)?
        {
            // Its monitor writes down that it runs only after it does.
            let process = LiveProcess { started: Some(process.born), ..process.clone() };
            return Ok((
                Status::Running(process),
                live.monitor.map_or(Care::Monitor, |monitor| monitor.care(proc, &stat)),
            ));
        }
        let status = match (&live.process, &record.exit) {
            (None, exit) if live.again.is_some() => {
                Status::Restarting(exit.clone().unwrap_or_else(|| Exit::unseen(None)))
            }
            (Some(process), None) if process.started.is_none() => Status::Created,
            (None, None) => Status::Created,
            _ => ended(Some(&live)),
        };
        Ok((status, Care::Monitor))
    }

    /// What exists on the host for a container: where that was written by another carboy, or is damaged, as far as its
    /// record tells.
    fn live_or_recorded(&self, record: &Record) -> Result<Option<Live>> {
        match self.store.live(&record.id) {
            Err(Error::Corrupt(_)) => Ok(Some(Live::new(record, After::Keep))),
            live => live,
        }
    }

    /// The container that `word` means: its name, its id, or the beginning of its id.
    ///
    /// # Errors
    /// Refused where there is none, or more than one.
    pub fn find(&self, word: &str) -> Result<Container> {
        if let Some(id) = self.store.name_owner(word)
            && let Some(container) = self.container(&id)?
            && container.record.name == word
        {
            return Ok(container);
        }
        self.container(&self.find_id(word)?)?.ok_or_else(|| no_such(word).into())
    }

    /// A handle on the first process of a container that runs; `None` of one that does not.
    #[must_use]
    pub fn process_of(&self, container: &Container) -> Option<OwnedFd> {
        let Status::Running(process) = &container.status else { return None };
        open_process(process).ok().flatten()
    }

    fn find_id(&self, word: &str) -> Result<String> {
        let mut ids = self.store.ids()?;
        ids.retain(|id| !word.is_empty() && id.starts_with(word));
        if ids.len() > 1 {
            return Err(Refused::new("the container", word, format!("is the beginning of {} ids", ids.len()))
                .hint("use more digits")
                .into());
        }
        ids.pop().ok_or_else(|| no_such(word).into())
    }

    /// Claims what a new container needs on disk: its run folder, its name, its folders.
    ///
    /// # Errors
    /// Refused where the name is taken; a kernel error. Nothing is left then.
    pub fn claim(&self, id: &str, live: &Live) -> Result<Claim> {
        let claim = self.store.claim(id, live)?;
        let made = self.store.claim_name(&live.name, id).and_then(|()| self.store.make_container(id).map(drop));
        match made {
            Ok(()) => Ok(claim),
            Err(error) => {
                self.abandon(claim, live);
                Err(error)
            }
        }
    }

    /// Gives up a container that did not come to run. What cannot be undone now is still on record for the next command.
    pub fn abandon(&self, claim: Claim, live: &Live) {
        let removed = || match live.after {
            After::Keep => Ok(()),
            After::Remove | After::RemoveButVolumes | After::KeepIfItRan => {
                self.store.remove_own_volumes(&claim.id)?;
                self.remove_files(&claim.id, live)
            }
        };
        let left = remove_groups(live).and_then(|()| self.leave_networks(&claim.id));
        if left.and_then(|()| removed()).is_ok() {
            let _ = self.store.release(claim);
        }
    }

    /// Sends a signal to a container's first process. One that is paused takes it when it goes on, which a kill makes it
    /// do. One that is asked to end by it is not started again, and one that is about to be has no process to signal.
    ///
    /// # Errors
    /// Refused where it does not run.
    pub fn kill(&self, word: &str, signal: i32) -> Result<()> {
        let container = self.find(word)?;
        let stops = container.record.options.stop.signal.unwrap_or(Signal::TERM).number();
        let ends = signal == KILL || i32::try_from(stops) == Ok(signal);
        if ends && matches!(container.status, Status::Running(_) | Status::Restarting(_)) {
            self.want(&container.record, Wanted::Stopped)?;
        }
        let process = match &container.status {
            Status::Running(process) => process,
            Status::Restarting(_) => {
                self.settle(&container.record);
                return Ok(());
            }
            Status::Created | Status::Exited(_) | Status::Gone => return Err(not_running(&container).into()),
        };
        let paused = if signal == KILL { Paused::look(&container.record)? } else { None };
        let pidfd = open_process(process)?.ok_or_else(|| not_running(&container))?;
        // Before it is sent: what comes of it is told by another process.
        self.store.tell(&container.record, "kill", &[("signal", signal.to_string())]);
        match sys::process::send_signal(pidfd.as_fd(), signal) {
            Err(error::Errno::SRCH) => return Err(not_running(&container).into()),
            sent => sent.doing(|| format!("send signal {signal} to {word}"))?,
        }
        paused.map_or(Ok(()), Paused::release)
    }

    /// Removes a container; one that runs only with `Removal::Forced`.
    ///
    /// # Errors
    /// Refused where it runs; a kernel error that names what is left.
    pub fn remove(&self, word: &str, removal: Removal, volumes: OwnVolumes) -> Result<()> {
        self.begin_to_remove_one(self.find(word)?, word, removal, volumes)?.finish(self)
    }

    /// Kills what is to be removed, and does not wait for its end: many end side by side. One that is named twice is removed
    /// once.
    pub fn begin_to_remove(&self, words: &[String], removal: Removal, volumes: OwnVolumes) -> Vec<Result<Removing>> {
        let mut begun = BTreeSet::new();
        let begin = |word: &String| {
            let container = self.find(word)?;
            let id = container.record.id.clone();
            if begun.contains(&id) {
                let refused = Refused::new("the container", word, "its removal is already in progress");
                return Err(refused.kind(RefusedKind::Conflict).hint("name it once").into());
            }
            let removing = self.begin_to_remove_one(container, word, removal, volumes)?;
            begun.insert(id);
            Ok(removing)
        };
        words.iter().map(begin).collect()
    }

    fn begin_to_remove_one(
        &self,
        container: Container,
        word: &str,
        removal: Removal,
        volumes: OwnVolumes,
    ) -> Result<Removing> {
        let dying = self.end(&container, removal)?;
        Ok(Removing { word: word.to_owned(), container, dying, removal, volumes })
    }

    fn finish_removing(&self, container: &Container, removal: Removal, volumes: OwnVolumes) -> Result<()> {
        let id = &container.record.id;
        let takes_volumes = volumes == OwnVolumes::Removed || container.record.options.remove;
        let remove_files = || -> Result<()> {
            // Of one that goes when it ends nothing is there any more, and its monitor has told of that.
            let is_there = self.store.container(id).exists();
            if takes_volumes {
                self.store.remove_own_volumes(id)?;
            }
            self.store.remove_container(id, &container.record.name)?;
            if is_there {
                self.store.tell(&container.record, "destroy", &[]);
            }
            Ok(())
        };
        loop {
            match self.store.lock(id)? {
                // Who is killed meanwhile leaves to the next command what is left to remove.
                Lock::Absent => {
                    let after = if takes_volumes { After::Remove } else { After::RemoveButVolumes };
                    match self.store.claim(id, &Live::new(&container.record, after)) {
                        Err(error) if error.errno() == Some(Errno::EXIST) => {}
                        // Where nothing can be written down, there is all the more to remove.
                        Err(error) if takes_nothing(&error) => return remove_files(),
                        claim => {
                            let claim = claim?;
                            remove_files()?;
                            return self.store.release(claim);
                        }
                    }
                }
                Lock::Taken(claim) => {
                    if let Some(live) = self.live_or_recorded(&container.record)? {
                        remove_groups(&live)?;
                    }
                    remove_files()?;
                    return self.store.release(claim);
                }
                // Its monitor is cleaning up after the end.
                Lock::Busy if container.record.options.restart == Policy::No => self.store.wait_for(id)?,
                // Or has just started it again.
                Lock::Busy => {
                    if let (Ok(found), false) = (self.find(id), self.has_just_ended(id)?) {
                        self.end(&found, removal)?.map_or(Ok(()), |dying| dying.wait(&found.record))?;
                    }
                    wait_a_moment();
                }
            }
        }
    }

    /// Kills one that runs, or is about to be started again, if that is wished.
    fn end(&self, container: &Container, removal: Removal) -> Result<Option<Dying>> {
        let lives = match &container.status {
            Status::Running(_) => "is running",
            Status::Restarting(_) => "is restarting",
            Status::Created | Status::Exited(_) | Status::Gone => return Ok(None),
        };
        if removal == Removal::Unforced {
            let Record { name, .. } = &container.record;
            return Err(Refused::new("the container", name, lives)
                .kind(RefusedKind::Conflict)
                .hint(format!("stop it first with carboy stop {name}, or use rm -f"))
                .into());
        }
        self.want(&container.record, Wanted::Stopped)?;
        self.settle(&container.record);
        let Status::Running(process) = &container.status else { return Ok(None) };
        self.store.tell(&container.record, "kill", &[("signal", KILL.to_string())]);
        Dying::kill(&container.record, process)
    }
}

/// SIGKILL, signal(7).
pub(crate) const KILL: i32 = 9;

/// Whether a running container is removed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is not.
    Unforced,
    /// It is killed first.
    Forced,
}

pub(crate) fn no_such(word: &str) -> Refused {
    Refused::new("the container", word, "no such container")
        .kind(RefusedKind::NoSuchObject)
        .hint("carboy ps -a lists all containers")
}

pub(crate) fn not_running(container: &Container) -> Refused {
    Refused::new("the container", &container.record.name, "is not running").kind(RefusedKind::Conflict)
}

/// The process that was recorded, where it is still there, and not another with its number.
///
/// # Errors
/// A kernel error where it cannot be told: what is not known to be gone is not treated as gone.
fn living(proc: &Proc, process: &LiveProcess) -> Result<Option<procfs::Stat>> {
    let is_it = |stat: &procfs::Stat| stat.start_ticks == process.start_ticks && stat.state != 'Z';
    match proc.stat(HostPid(process.pid)) {
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::SRCH)) => Ok(None),
        stat => stat.map(|stat| Some(stat).filter(is_it)),
    }
}

/// The process that was recorded, where it is still there and runs its command.
///
/// # Errors
/// As [`living`].
fn running(proc: &Proc, process: &LiveProcess) -> Result<Option<procfs::Stat>> {
    let executes = |stat: &procfs::Stat| process.started.is_some() || stat.has_executed;
    Ok(living(proc, process)?.filter(executes))
}

pub(crate) fn runs(process: &LiveProcess) -> Result<bool> {
    Ok(running(&Proc::open()?, process)?.is_some())
}

impl LiveMonitor {
    /// Whether this monitor takes care of a process: it is its parent, or has taken it over and lives.
    fn care(&self, proc: &Proc, process: &procfs::Stat) -> Care {
        let is_it = |stat: procfs::Stat| stat.start_ticks == self.start_ticks && stat.state != 'Z';
        let lives = || proc.stat(HostPid(self.pid)).is_ok_and(is_it);
        if process.parent == Some(HostPid(self.pid)) || lives() { Care::Monitor } else { Care::Nobody }
    }
}

/// A handle on the process that was recorded; `None` where it is gone.
///
/// # Errors
/// A kernel error where that cannot be told: `EMFILE`, `ENOMEM`.
pub(crate) fn open_process(process: &LiveProcess) -> Result<Option<OwnedFd>> {
    let pidfd = match sys::process::open(process.pid) {
        // By now the number may be that of a thread.
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
        opened => opened.doing(|| format!("open process {}", process.pid))?,
    };
    Ok(living(&Proc::open()?, process)?.map(|_| pidfd))
}

/// A container that is being removed.
#[derive(Debug)]
pub struct Removing {
    /// How it is called.
    word: String,
    container: Container,
    dying: Option<Dying>,
    removal: Removal,
    volumes: OwnVolumes,
}

impl Removing {
    /// Waits for its end, and removes what it has.
    ///
    /// # Errors
    /// A kernel error that names what is left.
    pub fn finish(self, engine: &Engine) -> Result<()> {
        let Self { word, container, dying, removal, volumes } = self;
        match dying {
            Some(dying) => dying.wait(&container.record)?,
            // Another command may have been faster.
            None => drop(engine.find(&word)?),
        }
        engine.finish_removing(&container, removal, volumes)
    }
}

/// A container's first process, which was killed.
#[derive(Debug)]
pub(crate) struct Dying {
    pid: i32,
    pidfd: OwnedFd,
}

impl Dying {
    /// Kills it; `None` where it has ended.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn kill(record: &Record, process: &LiveProcess) -> Result<Option<Self>> {
        let action = || format!("kill process {}", process.pid);
        let Some(pidfd) = open_process(process)? else {
            return if runs(process)? { Err(Kernel::new(action(), Errno::BUSY).into()) } else { Ok(None) };
        };
        let paused = Paused::look(record)?;
        match sys::process::send_signal(pidfd.as_fd(), KILL) {
            Err(Errno::SRCH) => return Ok(None),
            sent => sent.doing(action)?,
        }
        paused.map_or(Ok(()), Paused::release)?;
        Ok(Some(Self { pid: process.pid, pidfd }))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn wait(self, record: &Record) -> Result<()> {
        let mut wait = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        let action = || format!("wait for the end of process {}", self.pid);
        while rustix::event::poll(&mut wait, Some(&LONG)).doing(action)? == 0 {
            // It may have been paused meanwhile, in which it would never die.
            Paused::look(record)?.map_or(Ok(()), Paused::release)?;
        }
        Ok(())
    }
}

/// After so long it is looked again why a killed process does not die.
const LONG: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };

/// Removes a container's groups with every process that is still in them.
pub(crate) fn remove_groups(live: &Live) -> Result<()> {
    let hierarchies = Hierarchies::read()?;
    let (path, parents) = recorded(live)?;
    let removed = runtime::undo::kill_and_remove(&hierarchies, &path, &parents).and_then(first);
    removed.and(remove_table(live, &path))
}

/// Removes a container's groups after the kernel has ended every process of its pid namespace.
pub(crate) fn remove_empty_groups(hierarchies: &Hierarchies, live: &Live) -> Result<()> {
    let (path, parents) = recorded(live)?;
    let removed = runtime::undo::remove(hierarchies, &path, &parents).and_then(first);
    removed.and(remove_table(live, &path))
}

/// Removes the table that marks a container's packets, if it has one.
fn remove_table(live: &Live, path: &GroupPath) -> Result<()> {
    let Some(LiveTable { dev, ino, file }) = live.table.clone() else { return Ok(()) };
    runtime::undo::unmark(path, &Place { namespace: NamespaceId { dev, ino }, file })
}

fn recorded(live: &Live) -> Result<(GroupPath, Vec<Parent>)> {
    let path = |text: &str| GroupPath::parse("the recorded group", text);
    let parent =
        |(hierarchy, parent): &(String, String)| Ok(Parent { hierarchy: hierarchy.clone(), path: path(parent)? });
    Ok((path(&live.group)?, live.parents.iter().map(parent).collect::<Result<_>>()?))
}

fn first(left: Vec<cgroup::Left>) -> Result<()> {
    left.into_iter().next().map_or(Ok(()), |left| Err(left.error))
}

/// The exit code of a process that is no child of the caller and has ended, as far as the kernel tells it: while it is a
/// zombie, and from Linux 6.15 on also after that.
#[must_use]
pub fn exit_code_of(pid: HostPid, handle: BorrowedFd<'_>) -> Option<i32> {
    let told = || {
        let of_zombie = procfs::stat(pid).ok().and_then(|stat| stat.wait_status);
        // By its number another process might be found; the handle is its own.
        sys::process::exit_status(handle).or(of_zombie.map(Ended::from_wait_status)).map(exit_code)
    };
    told().or_else(|| {
        // It is just being waited for; a hang-up says when that is done.
        let moment = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut wait = [rustix::event::PollFd::from_borrowed_fd(handle, rustix::event::PollFlags::empty())];
        let _ = rustix::event::poll(&mut wait, Some(&moment));
        told()
    })
}

/// The exit code of `run`: the command's, or 128 and the signal that ended it.
pub(crate) const fn exit_code(ended: Ended) -> i32 {
    match ended {
        Ended::Exited(code) => code,
        Ended::Killed(signal) => 128 + signal,
    }
}
