//! The containers of this host and the operations on them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use bumpalo::Bump;
use cgroup::GroupPath;
use cgroup::mark::Place;
use cgroup::plan::Parent;
use error::{Doing, Errno, Error, Kernel, Refused, RefusedKind, Result};
use jiff::Timestamp;
use procfs::{HostPid, Interfaces, NamespaceId, Proc};
use runtime::apply::{News, Running, Stage};
use runtime::facts::Facts;
use runtime::plan::Plan;
use sys::process::Ended;

use crate::event::Event;
use crate::launch::Launch;
use crate::log::{LogWish, Writer};
use crate::monitor::{self, Charge, Lent, Output, Streams, Watch};
use crate::pause::Paused;
use crate::record::{Exit, Live, LiveProcess, LiveTable, Record};
use crate::shortage::{Baseline, Shortage, has_parents};
use crate::store::{Claim, Holding, Lock, Store};
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
    /// It is being made.
    Created,
    /// Its first process lives.
    Running(LiveProcess),
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
        Self { store: Store { root, run } }
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
        left
    }

    fn sweep_id(&self, id: &str) -> Result<()> {
        let Lock::Taken(claim) = self.store.lock(id)? else { return Ok(()) };
        match self.store.live(id) {
            Ok(Some(live)) => self.sweep_one(claim, &live),
            Ok(None) => self.store.release(claim),
            // What must be undone may be read another time.
            Err(error) => Err(error),
        }
    }

    fn sweep_one(&self, claim: Claim, live: &Live) -> Result<()> {
        if let Some(process) = &live.process
            && runs(process)?
        {
            return Ok(());
        }
        let ran = live.process.as_ref().and_then(|process| process.started);
        remove_groups(live)?;
        let id = claim.id.clone();
        // Whoever changes it just now may take long: there will be another command.
        let held = match self.store.try_hold(&id)? {
            Holding::Busy => return Ok(()),
            Holding::Held(held) => Some(held),
            Holding::Absent => None,
        };
        match self.store.record(&id) {
            Ok(Some(mut record)) if ran.is_some() && !live.remove => {
                let finished = Timestamp::now();
                let exit = Exit { code: None, started: ran, finished, shortage: Shortage::default() };
                record.exit.get_or_insert(exit);
                self.store.write_record(&record)?;
            }
            // What cannot be read may be another carboy's, or mended.
            Err(_) if ran.is_some() && !live.remove => {}
            _ => {
                drop(held);
                self.store.remove_own_volumes(&id)?;
                self.store.remove_container(&id, &live.name)?;
            }
        }
        self.store.release(claim)
    }

    /// Every container. One that cannot be told of hides no other, and nothing waits for whoever works on one.
    ///
    /// # Errors
    /// A kernel error where their folder cannot be read.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for id in self.store.ids()? {
            match self.container(&id) {
                Ok(found) => listing.containers.extend(found),
                Err(error) => listing.damaged.push(error),
            }
        }
        listing.containers.sort_by_key(|container| std::cmp::Reverse(container.record.created));
        Ok(listing)
    }

    /// The container of an id; `None` where there is none, or it is just being made.
    fn container(&self, id: &str) -> Result<Option<Container>> {
        let Some(record) = self.store.record(id)? else { return Ok(None) };
        let status = self.status(&record)?;
        Ok(Some(Container { record, status }))
    }

    fn status(&self, record: &Record) -> Result<Status> {
        if let Some(exit) = &record.exit {
            return Ok(Status::Exited(exit.clone()));
        }
        Ok(match self.live_or_recorded(record)?.map(|live| live.process) {
            None => Status::Gone,
            // Its monitor writes down that it runs only after it does.
            Some(Some(process)) if runs(&process)? => {
                Status::Running(LiveProcess { started: Some(process.born), ..process })
            }
            Some(Some(process)) if process.started.is_some() => Status::Gone,
            Some(_) => Status::Created,
        })
    }

    /// What exists on the host for a container: where that was written by another carboy, or is damaged, as far as its
    /// record tells.
    fn live_or_recorded(&self, record: &Record) -> Result<Option<Live>> {
        match self.store.live(&record.id) {
            Err(Error::Corrupt(_)) => {
                let Record { name, group, remove, .. } = record.clone();
                Ok(Some(Live { name, group, parents: Vec::new(), remove, process: None, table: None, baseline: None }))
            }
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
        if let Status::Running(process) = &container.status { open_process(process) } else { None }
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
        let removed = remove_groups(live)
            .and_then(|()| self.store.remove_own_volumes(&claim.id))
            .and_then(|()| self.store.remove_container(&claim.id, &live.name));
        if removed.is_ok() {
            let _ = self.store.release(claim);
        }
    }

    /// Starts a container under a monitor of its own.
    ///
    /// # Errors
    /// A kernel error from making the monitor. What goes wrong later comes as an [`Event`].
    pub fn start(
        &self,
        launch: &Launch,
        plan: &Plan<'_>,
        (claim, live): (Claim, Live),
        lent: Option<Lent>,
    ) -> Result<Watch> {
        crate::place::approach(launch.facts.cgroup.systemd.as_ref())?;
        let (claim, alarms, shortage) = (Some(claim), Vec::new(), Shortage::default());
        let mut charge = NewContainer { engine: self, launch, plan, claim, live, alarms, shortage };
        let output = match launch.record.log {
            None => Output::Caller,
            Some(LogWish::Nothing) => Output::Null,
            Some(LogWish::JsonFile { max_bytes, max_files }) => {
                let opened = Writer::open(&self.store.container(&launch.record.id), max_bytes, max_files);
                Output::Log(opened.inspect_err(|_| charge.abandon())?)
            }
        };
        monitor::fork(&mut charge, Streams { input: launch.input, output }, lent)
    }

    /// Sends a signal to a container's first process. One that is paused takes it when it goes on, which a kill makes it
    /// do.
    ///
    /// # Errors
    /// Refused where it does not run.
    pub fn kill(&self, word: &str, signal: i32) -> Result<()> {
        let container = self.find(word)?;
        let Status::Running(process) = &container.status else {
            return Err(not_running(&container).into());
        };
        let paused = if signal == KILL { Paused::look(&container.record)? } else { None };
        let pidfd = open_process(process).ok_or_else(|| not_running(&container))?;
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
        let container = self.find(word)?;
        if let Status::Running(process) = &container.status {
            if removal == Removal::Unforced {
                let Record { name, .. } = &container.record;
                return Err(Refused::new("the container", name, "is running")
                    .kind(RefusedKind::Conflict)
                    .hint(format!("stop it first with carboy stop {name}, or use rm -f"))
                    .into());
            }
            kill_and_wait(&container.record, process)?;
        }
        let id = &container.record.id;
        let remove_files = || {
            if volumes == OwnVolumes::Removed || container.record.remove {
                self.store.remove_own_volumes(id)?;
            }
            self.store.remove_container(id, &container.record.name)
        };
        loop {
            match self.store.lock(id)? {
                Lock::Absent => return remove_files(),
                Lock::Taken(claim) => {
                    if let Some(live) = self.live_or_recorded(&container.record)? {
                        remove_groups(&live)?;
                    }
                    remove_files()?;
                    return self.store.release(claim);
                }
                // Its monitor is cleaning up after the end.
                Lock::Busy => self.store.wait_for(id)?,
            }
        }
    }
}

/// So often in a row the groups above a container may go with others before it gives up.
const PARENTS_LOST: usize = 20;

/// SIGKILL, signal(7).
const KILL: i32 = 9;

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

/// Whether the process that was recorded is still there, and not another with its number.
fn is_alive(process: &LiveProcess) -> bool {
    procfs::stat(HostPid(process.pid)).is_ok_and(|stat| stat.start_ticks == process.start_ticks && stat.state != 'Z')
}

/// Whether the process that was recorded is still there and runs its command.
///
/// # Errors
/// A kernel error where it cannot be told: what is not known to be gone is not treated as gone.
fn runs(process: &LiveProcess) -> Result<bool> {
    let executes = |stat: &procfs::Stat| process.started.is_some() || stat.has_executed;
    let is_it = |stat: &procfs::Stat| stat.start_ticks == process.start_ticks && stat.state != 'Z';
    match procfs::stat(HostPid(process.pid)) {
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::SRCH)) => Ok(false),
        stat => stat.map(|stat| is_it(&stat) && executes(&stat)),
    }
}

/// A handle on the process that was recorded; `None` where it is gone.
pub(crate) fn open_process(process: &LiveProcess) -> Option<OwnedFd> {
    let pidfd = sys::process::open(process.pid).ok()?;
    is_alive(process).then_some(pidfd)
}

pub(crate) fn kill_and_wait(record: &Record, process: &LiveProcess) -> Result<()> {
    let action = || format!("kill process {}", process.pid);
    let Some(pidfd) = open_process(process) else {
        return if runs(process)? { Err(Kernel::new(action(), Errno::BUSY).into()) } else { Ok(()) };
    };
    let mut paused = Paused::look(record)?;
    match sys::process::send_signal(pidfd.as_fd(), KILL) {
        Err(Errno::SRCH) => return Ok(()),
        sent => sent.doing(action)?,
    }
    loop {
        paused.map_or(Ok(()), Paused::release)?;
        let mut wait = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        if rustix::event::poll(&mut wait, Some(&LONG)).doing(action)? > 0 {
            return Ok(());
        }
        // It may have been paused meanwhile, in which it would never die.
        paused = Paused::look(record)?;
    }
}

/// After so long it is looked again why a killed process does not die.
const LONG: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };

/// Removes a container's groups with every process that is still in them.
fn remove_groups(live: &Live) -> Result<()> {
    let hierarchies = cgroup::Hierarchies::read()?;
    let (path, parents) = recorded(live)?;
    let removed = runtime::undo::kill_and_remove(&hierarchies, &path, &parents).and_then(first);
    removed.and(remove_table(live, &path))
}

/// Removes a container's groups after the kernel has ended every process of its pid namespace.
fn remove_empty_groups(facts: &Facts, live: &Live) -> Result<()> {
    let (path, parents) = recorded(live)?;
    let removed = runtime::undo::remove(&facts.hierarchies, &path, &parents).and_then(first);
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

/// A new container in the care of its monitor.
struct NewContainer<'c> {
    engine: &'c Engine,
    launch: &'c Launch,
    plan: &'c Plan<'c>,
    claim: Option<Claim>,
    live: Live,
    /// Tell of what runs out while it happens: systemd takes the groups of its units away as soon as they are empty, and
    /// their numbers with them.
    alarms: Vec<OwnedFd>,
    /// What was noticed by them.
    shortage: Shortage,
}

impl NewContainer<'_> {
    fn write_live(&self) -> Result<()> {
        match &self.claim {
            Some(claim) => self.engine.store.write_live(claim, &self.live),
            None => Ok(()),
        }
    }

    fn start_by(&mut self, plan: &Plan<'_>, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let launch = self.launch;
        let mut record = |news| self.record(news);
        let stage = Stage {
            hierarchies: &launch.facts.hierarchies,
            groups: None,
            mounted: &launch.facts.groups,
            root: Some(&launch.root),
            standard,
            record: &mut record,
            first: None,
            gate: None,
            hooks: None,
        };
        let running = runtime::apply::start(plan, stage)?;
        if let Some(process) = &mut self.live.process {
            process.started = Some(process.born);
        }
        self.live.baseline = Some(Baseline::read(&launch.facts));
        self.write_live()?;
        if launch.facts.cgroup.systemd.is_some() {
            self.alarms = cgroup::Groups::open(&launch.facts.hierarchies, &launch.facts.group)?.alarms();
        }
        Ok(running)
    }

    /// The plan that takes the place of one that failed because the groups above the container went with another one that
    /// had them in common, before there was a process; `None` where that was not the reason.
    fn planned_anew<'a>(&mut self, error: &Error, arena: &'a Bump) -> Option<Result<Plan<'a>>> {
        let lost = matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) && self.live.process.is_none();
        if !lost || !has_parents(&self.launch.facts.group) {
            return None;
        }
        let plan = self.launch.facts.reread().and_then(|facts| self.launch.plan_with(&facts, arena));
        for parent in plan.iter().flat_map(|plan| &plan.groups.parents) {
            let parent = (parent.hierarchy.clone(), parent.path.to_string());
            if !self.live.parents.contains(&parent) {
                self.live.parents.push(parent);
            }
        }
        Some(remove_groups(&self.live).and_then(|()| self.write_live()).and(plan))
    }

    fn read_shortage(&self) -> Shortage {
        let none = Baseline::default();
        let before = self.live.baseline.as_ref().unwrap_or(&none);
        Shortage::read(&self.launch.facts, before).or(self.shortage.clone())
    }

    fn record(&mut self, news: News) -> Result<()> {
        match news {
            News::Child(pid) => {
                let start_ticks = procfs::stat(pid)?.start_ticks;
                // It is there from now on, whatever fails: nothing is planned anew.
                let process = self.live.process.insert(LiveProcess {
                    pid: pid.0,
                    start_ticks,
                    born: Timestamp::now(),
                    started: None,
                    interfaces: None,
                });
                process.interfaces = own_interfaces(pid)?;
            }
            // A container of the engine has a mount namespace of its own.
            News::Root(_) | News::Resctrl(_) => return Ok(()),
            News::Table(Place { namespace: NamespaceId { dev, ino }, file }) => {
                self.live.table = Some(LiveTable { dev, ino, file });
            }
        }
        self.write_live()
    }

    fn clean_up(&mut self, exit: Exit) -> Result<()> {
        let config = &self.launch.record.config;
        if namespace::pid::ends_with_its_first_process(config) {
            remove_empty_groups(&self.launch.facts, &self.live)?;
        } else {
            remove_groups(&self.live)?;
        }
        let Some(claim) = self.claim.take() else { return Ok(()) };
        let Record { id, name, remove, .. } = &self.launch.record;
        if *remove {
            self.engine.store.remove_own_volumes(id)?;
            self.engine.store.remove_container(id, name)?;
        } else {
            let _held = self.engine.store.hold(id)?;
            // Its limits may have been changed while it ran.
            let present = self.engine.store.record(id).ok().flatten();
            let record = Record { exit: Some(exit), ..present.unwrap_or_else(|| self.launch.record.clone()) };
            self.engine.store.write_record(&record)?;
        }
        self.engine.store.release(claim)
    }
}

impl Charge for NewContainer<'_> {
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let mut started = self.start_by(self.plan, standard);
        for _ in 0..PARENTS_LOST {
            let arena = Bump::new();
            let Some(plan) = started.as_ref().err().and_then(|error| self.planned_anew(error, &arena)) else { break };
            started = self.start_by(&plan?, standard);
        }
        started.map_err(|error| self.launch.limits.in_flags(error))
    }

    fn alarms(&self) -> &[OwnedFd] {
        &self.alarms
    }

    fn alarmed(&mut self) {
        self.shortage = self.read_shortage();
        // Reading one is what lets it tell of the next change; of a group that is gone there is none.
        self.alarms.retain(|alarm| rustix::io::pread(alarm, &mut [0_u8; 512], 0).is_ok());
    }

    fn abandon(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.engine.abandon(claim, &self.live);
        }
    }

    fn finish(&mut self, ended: Ended) -> Event {
        let shortage = self.read_shortage();
        let code = exit_code(ended);
        let started = self.live.process.as_ref().and_then(|process| process.started);
        let exit = Exit { code: Some(code), started, finished: Timestamp::now(), shortage: shortage.clone() };
        let left = self.clean_up(exit).err().iter().map(|error| crate::event::Failure::of(error).message).collect();
        Event::Exited { code, shortage, left }
    }
}

/// The inode of the interfaces of a process that was just made, unless they are carboy's own or it has ended already.
fn own_interfaces(pid: HostPid) -> Result<Option<u64>> {
    let own = Proc::open()?.interfaces_inode(pid)?;
    let ours = Interfaces::of_this()?.inode();
    Ok(own.filter(|own| *own != ours))
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
