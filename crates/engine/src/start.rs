//! Making, starting and starting again: a container in the care of its monitor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bumpalo::Bump;
use cgroup::mark::Place;
use cgroup::{GroupPath, Hierarchies};
use error::{Errno, Error, Refused, Result};
use jiff::Timestamp;
use procfs::{HostPid, Interfaces, NamespaceId, Proc};
use runtime::apply::{News, Running, Stage};
use runtime::plan::Plan;
use rustix::event::{PollFlags, Timespec, poll};
use sys::process::Ended;

use crate::alarms::Alarms;
use crate::asleep::{Carried, Number};
use crate::attach::{Attached, Attachment};
use crate::checks::{Change, Checks};
use crate::containers::{
    Container, Engine, Status, exit_code, no_such, open_process, remove_empty_groups, remove_groups,
};
use crate::event::{Event, Failure};
use crate::health::{Health, HealthWish};
use crate::launch::{Launch, Names, make_sources};
use crate::log::Origin;
use crate::monitor::{self, Charge, Finished, Inherits, Setup};
use crate::options::Signal;
use crate::owner::Owner;
use crate::receipt::Receipt;
use crate::record::{After, Exit, Live, LiveMonitor, LiveProcess, LiveTable, Record, Wanted};
use crate::restart::{BackOff, Policy};
use crate::shortage::{Baseline, Shortage, has_parents};
use crate::stop::{Patience, Stop};
use crate::store::{Claim, Lock, takes_nothing};
use crate::streams::{Input, Wish};

/// So often in a row the groups above a container may go with others before it gives up.
const PARENTS_LOST: usize = 20;

/// Waits between two looks at a container of which a monitor decides what becomes of it.
pub(crate) fn wait_a_moment() {
    let moment = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
    let _ = poll(&mut [], Some(&moment));
}

impl Engine {
    /// Leaves a container that was prepared as it is, to be started later.
    ///
    /// # Errors
    /// A kernel error, after which there is none.
    pub fn create(&self, launch: &Launch, claim: Claim, live: &Live) -> Result<()> {
        let record = Record { begun: None, ..launch.record.clone() };
        match self.store.write_record(&record) {
            Ok(()) => self.store.release(claim),
            Err(error) => {
                self.abandon(claim, live);
                Err(error)
            }
        }
    }

    /// Prepares a container that is there and does not run to be started; `None` where it runs already.
    ///
    /// # Errors
    /// Refused where there is none, and for what its options cannot be had for now; a kernel error.
    pub fn prepare_again(&self, word: &str) -> Result<Option<(Launch, Claim, Live)>> {
        let id = self.find(word)?.record.id;
        loop {
            match self.store.lock(&id)? {
                Lock::Busy => match self.container(&id)?.ok_or_else(|| no_such(word))?.status {
                    Status::Running(_) | Status::Restarting(_) => return Ok(None),
                    // It is just being started, or has ended and its monitor lets it go.
                    Status::Created | Status::Exited(_) | Status::Gone => wait_a_moment(),
                },
                // What is left of an earlier run goes first.
                Lock::Taken(claim) => {
                    drop(claim);
                    self.sweep_id(&id)?;
                    if self.store.live(&id)?.is_some() {
                        return Ok(None);
                    }
                }
                Lock::Absent => break,
            }
        }
        let record = self.store.record(&id)?.ok_or_else(|| no_such(word))?;
        let mut live = Live::new(&record, if record.options.remove { After::Remove } else { After::Keep });
        let claim = match self.store.claim(&id, &live) {
            // Another command was faster.
            Err(error) if error.errno() == Some(Errno::EXIST) => return Ok(None),
            claim => claim?,
        };
        let launched = self.want_running(&record).and_then(|()| self.launch_again(&record));
        match launched.and_then(|launch| self.record_undo(&launch, &claim, &mut live).map(|()| launch)) {
            Ok(launch) => Ok(Some((launch, claim, live))),
            Err(error) => {
                let _ = self.store.release(claim);
                Err(error)
            }
        }
    }

    /// Whether a container has ended and its monitor still cleans up, and decides what becomes of it: that takes moments.
    ///
    /// # Errors
    /// Corrupt.
    pub(crate) fn has_just_ended(&self, id: &str) -> Result<bool> {
        let process = self.store.live(id)?.and_then(|live| live.process);
        let begun = process.filter(|process| process.started.is_some());
        Ok(begun.map(|process| open_process(&process)).transpose()?.is_some_and(|process| process.is_none()))
    }

    /// Starts a container again by another policy from now on; its monitor, if it waits to, looks at it at once.
    ///
    /// # Errors
    /// Refused where there is none, and for one that goes when it ends; a kernel error.
    pub fn set_restart(&self, word: &str, policy: Policy) -> Result<()> {
        let record = self.find(word)?.record;
        if record.options.remove && policy != Policy::No {
            let refused = Refused::new("--restart", policy.to_string(), "contradicts --rm");
            return Err(refused.hint("it goes when it ends, and cannot be started again").into());
        }
        self.change_record(&record.id, |record| record.options.restart = policy)?;
        self.store.tell(&record, "update", &[]);
        self.settle(&record);
        Ok(())
    }

    /// The containers that are to run when the host has begun anew, those first that others need: by when they were made.
    ///
    /// # Errors
    /// A kernel error where their folder cannot be read.
    pub fn to_boot(&self) -> Result<Vec<Container>> {
        let mut containers = self.list()?.containers;
        containers.retain(|container| {
            let Record { wanted, begun, options, .. } = &container.record;
            let runs = matches!(container.status, Status::Running(_) | Status::Restarting(_));
            !runs && begun.is_some() && options.restart.holds_at_boot(*wanted)
        });
        containers.reverse();
        Ok(containers)
    }

    /// Writes down that a container that was stopped is to run, and to be started again by itself where its policy is so.
    fn want_running(&self, record: &Record) -> Result<()> {
        if record.wanted == Wanted::Running {
            return Ok(());
        }
        match self.change_record(&record.id, |record| record.wanted = Wanted::Running) {
            Err(error) if takes_nothing(&error) && record.options.restart == Policy::No => Ok(()),
            changed => changed,
        }
    }

    fn launch_again(&self, record: &Record) -> Result<Launch> {
        self.store.renew_work(&record.id)?;
        make_sources(&record.options)?;
        crate::network::files::make(&self.store, &record.id, &record.options)?;
        self.launch_as(&record.options, &Names::of(record)?, Some(record))
    }

    /// Changes a container's record, which nobody else changes meanwhile.
    ///
    /// # Errors
    /// Refused where there is none; a kernel error.
    pub(crate) fn change_record(&self, id: &str, change: impl FnOnce(&mut Record)) -> Result<()> {
        let _held = self.store.hold(id)?.ok_or_else(|| no_such(id))?;
        let mut record = self.store.record(id)?.ok_or_else(|| no_such(id))?;
        change(&mut record);
        self.store.write_record(&record)
    }

    /// Starts a container that was prepared under a monitor of its own.
    ///
    /// # Errors
    /// A kernel error from making the monitor. What goes wrong later comes as an [`Event`].
    pub fn start(&self, launch: Launch, claimed: (Claim, Live), attachment: Attachment) -> Result<Attached> {
        let setup = self.setup(&launch, &claimed.0);
        let mut charge = InCare::new(self, launch, claimed);
        let setup = setup.inspect_err(|error| charge.abandon(error))?;
        if let Some(launch) = charge.launch.as_ref().filter(|_| !attachment.streams.is_empty()) {
            self.store.tell(&launch.record, "attach", &[]);
        }
        monitor::fork(&mut charge, setup, attachment)
    }

    /// Gives a container that runs without a monitor another one; whether that was still to be done. What it has written
    /// and nobody has read is in its log then; its input, and its terminal, are lost.
    ///
    /// # Errors
    /// A kernel error.
    pub fn adopt(&self, container: &Container) -> Result<bool> {
        let record = &container.record;
        let Lock::Taken(claim) = self.store.lock(&record.id)? else { return Ok(false) };
        let (Some(live), Status::Running(process)) = (self.store.live(&record.id)?, &container.status) else {
            return Ok(false);
        };
        let Some(handle) = open_process(process)? else { return Ok(false) };
        let group = GroupPath::parse("the recorded group", &record.group)?;
        let hierarchies = crate::place::hierarchies_around(&group)?.of_container(&group)?;
        let setup = self.setup_of(record, Input::Null, &claim)?;
        let running = Running { pid: HostPid(process.pid), pidfd: handle, terminal: None };
        let mut charge = InCare::of_running(self, running, (hierarchies, group), (claim, live));
        let attached = monitor::fork(&mut charge, setup, Attachment::default())?;
        let told = crate::event::receive(&attached.socket)?;
        attached.detach();
        Ok(matches!(told, Some((Event::Started { .. }, _))))
    }

    /// What a container's monitor is given.
    fn setup(&self, launch: &Launch, claim: &Claim) -> Result<Setup> {
        crate::place::approach(launch.facts.cgroup.systemd.as_ref())?;
        self.setup_of(&launch.record, launch.input, claim)
    }

    fn setup_of(&self, record: &Record, input: Input, claim: &Claim) -> Result<Setup> {
        let Record { id, options, .. } = record;
        let output = monitor::open_output((&options.log, &Origin::of(record)), &self.store.container(id))?;
        let wish = Wish { input, terminal: options.tty, folder: Some(self.store.run_folder(id)) };
        Ok(Setup { wish, output, listener: Some(self.store.listen(claim)?), inherits: Inherits::All })
    }
}

/// A container in the care of its monitor.
pub(crate) struct InCare<'e> {
    engine: &'e Engine,
    id: String,
    /// What its first start is made from, until then.
    launch: Option<Launch>,
    /// What another monitor has started, until it is taken over.
    found: Option<Running>,
    /// Whether it is not there but for this start.
    is_new: bool,
    hierarchies: Hierarchies,
    group: GroupPath,
    claim: Option<Claim>,
    live: Live,
    /// Whether the kernel ends all of its processes with its first.
    ends_whole: bool,
    /// Tell of what runs out while it happens.
    alarms: Alarms,
    /// What was noticed by them.
    shortage: Shortage,
    back_off: BackOff,
    since: Instant,
    /// The interfaces of its own network namespace, which are there until it is known what went through them.
    interfaces: Option<Interfaces>,
    /// The checks of its health, while it runs.
    checks: Option<Checks>,
}

impl<'e> InCare<'e> {
    fn new(engine: &'e Engine, launch: Launch, (claim, live): (Claim, Live)) -> Self {
        Self {
            engine,
            id: launch.record.id.clone(),
            is_new: live.after != After::Keep && launch.record.created == launch.record.begun.unwrap_or_default(),
            hierarchies: launch.facts.hierarchies.clone(),
            group: launch.facts.group.clone(),
            ends_whole: namespace::pid::ends_with_its_first_process(&launch.record.config),
            launch: Some(launch),
            found: None,
            claim: Some(claim),
            live,
            alarms: Alarms::default(),
            shortage: Shortage::default(),
            back_off: BackOff::new(),
            since: Instant::now(),
            interfaces: None,
            checks: None,
        }
    }

    /// One that runs, whose monitor is gone.
    fn of_running(
        engine: &'e Engine,
        running: Running,
        (hierarchies, group): (Hierarchies, GroupPath),
        (claim, live): (Claim, Live),
    ) -> Self {
        Self {
            engine,
            id: claim.id.clone(),
            launch: None,
            found: Some(running),
            is_new: false,
            hierarchies,
            group,
            claim: Some(claim),
            live,
            // Whoever ended first was not seen to be its first process.
            ends_whole: false,
            alarms: Alarms::default(),
            shortage: Shortage::default(),
            back_off: BackOff::new(),
            since: Instant::now(),
            interfaces: None,
            checks: None,
        }
    }

    /// Checks the health of a container that was just started, if that is wished.
    fn check_anew(&mut self) {
        let record = self.engine.store.record(&self.id).ok().flatten();
        let Some(HealthWish::Checked(check)) = record.as_ref().map(|record| &record.options.health) else { return };
        let former = record.as_ref().and_then(|record| record.exit.as_ref()).and_then(|exit| exit.health.clone());
        self.checks = Checks::new(&self.id, check, Health::anew(former), Duration::ZERO);
        self.write_health();
    }

    /// Goes on with the checks of one that was taken over.
    fn check_on(&mut self) {
        let record = self.engine.store.record(&self.id).ok().flatten();
        let Some(HealthWish::Checked(check)) = record.as_ref().map(|record| &record.options.health) else { return };
        let age = self.live.process.as_ref().filter(|process| process.started.is_some()).map(LiveProcess::age);
        let health = self.engine.store.health(&self.id).ok().flatten().unwrap_or_default();
        self.checks = Checks::new(&self.id, check, health, age.unwrap_or_default());
    }

    fn notice_checks(&mut self) {
        let Some(checks) = &mut self.checks else { return };
        let former = checks.health().status;
        if let Some(change) = checks.notice(self.engine, (&self.hierarchies, &self.group)) {
            let status = checks.health().status;
            let is_told = change == Change::Checked && status != former;
            self.write_health();
            if let (true, Ok(Some(record))) = (is_told, self.engine.store.record(&self.id)) {
                self.engine.store.tell(&record, &format!("health_status: {status}"), &[]);
            }
        }
    }

    /// Where that fails, what was told before still stands there until the next check.
    fn write_health(&self) {
        if let (Some(claim), Some(checks)) = (&self.claim, &self.checks) {
            let _ = self.engine.store.write_health(claim, checks.health());
        }
    }

    /// One whose monitor has slept.
    pub(crate) fn resumed(
        engine: &'e Engine,
        carried: Carried,
        (hierarchies, group): (Hierarchies, GroupPath),
        (claim, alarms, interfaces): (Claim, Alarms, Option<OwnedFd>),
        slept: Duration,
    ) -> Self {
        let Carried { id, live, ends_whole, shortage, back_off, ran, .. } = carried;
        Self {
            engine,
            id,
            launch: None,
            found: None,
            is_new: false,
            hierarchies,
            group,
            claim: Some(claim),
            live,
            ends_whole,
            alarms,
            shortage,
            back_off,
            since: Instant::now().checked_sub(ran + slept).unwrap_or_else(Instant::now),
            interfaces: interfaces.and_then(|file| Interfaces::of(file).ok()),
            checks: None,
        }
    }

    fn write_live(&self) -> Result<()> {
        match &self.claim {
            Some(claim) => self.engine.store.write_live(claim, &self.live),
            None => Ok(()),
        }
    }

    /// What it is started from: once what was prepared, later its record.
    fn launch(&mut self) -> Result<Launch> {
        if let Some(launch) = self.launch.take() {
            return Ok(launch);
        }
        let record = self.engine.store.record(&self.id)?.ok_or_else(|| no_such(&self.id))?;
        let mut launch = self.engine.launch_again(&record)?;
        launch.record.restarts = record.restarts.saturating_add(1);
        if let Some(claim) = &self.claim {
            self.live = Live::new(&record, self.live.after);
            self.engine.record_undo(&launch, claim, &mut self.live)?;
        }
        (self.hierarchies, self.group) = (launch.facts.hierarchies.clone(), launch.facts.group.clone());
        (self.alarms, self.shortage) = (Alarms::default(), Shortage::default());
        Ok(launch)
    }

    fn start_from(&mut self, launch: &Launch, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let arena = Bump::new();
        let mut started = launch.plan(&arena).and_then(|plan| self.start_by(launch, &plan, standard));
        for _ in 0..PARENTS_LOST {
            let arena = Bump::new();
            let lost = started.as_ref().err();
            let Some(plan) = lost.and_then(|error| self.planned_anew(launch, error, &arena)) else { break };
            started = self.start_by(launch, &plan?, standard);
        }
        started
    }

    fn start_by(&mut self, launch: &Launch, plan: &Plan<'_>, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let engine = self.engine;
        let mut connect = |namespace: BorrowedFd<'_>| engine.join_networks(&launch.record, namespace);
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
            connect: Some(&mut connect),
            hooks: None,
        };
        let running = runtime::apply::start(plan, stage)?;
        if let Some(process) = &mut self.live.process {
            process.started = Some(process.born);
        }
        if self.live.after == After::KeepIfItRan {
            self.live.after = After::Keep;
        }
        self.live.baseline = Some(Baseline::read(&launch.facts));
        self.write_live()?;
        self.alarms = Alarms::of(&launch.record, (&launch.facts.hierarchies, &launch.facts.group));
        Ok(running)
    }

    /// The plan that takes the place of one that failed because the groups above the container went with another one that
    /// had them in common, before there was a process; `None` where that was not the reason.
    fn planned_anew<'a>(&mut self, launch: &Launch, error: &Error, arena: &'a Bump) -> Option<Result<Plan<'a>>> {
        let lost = matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) && self.live.process.is_none();
        if !lost || !has_parents(&launch.facts.group) {
            return None;
        }
        let plan = launch.facts.reread().and_then(|facts| launch.plan_with(&facts, arena));
        for parent in plan.iter().flat_map(|plan| &plan.groups.parents) {
            let parent = (parent.hierarchy.clone(), parent.path.to_string());
            if !self.live.parents.contains(&parent) {
                self.live.parents.push(parent);
            }
        }
        Some(remove_groups(&self.live).and_then(|()| self.write_live()).and(plan))
    }

    fn record(&mut self, news: News) -> Result<()> {
        match news {
            News::Child(pid) => {
                self.write_owner()?;
                // Where that cannot be had, what it counted may be gone at its end.
                let _ = cgroup::keep::apply(&self.hierarchies, &self.group);
                let start_ticks = procfs::stat(pid)?.start_ticks;
                // It is there from now on, whatever fails: nothing is planned anew.
                let process = self.live.process.insert(LiveProcess {
                    pid: pid.0,
                    start_ticks,
                    born: Timestamp::now(),
                    started: None,
                    interfaces: None,
                });
                self.interfaces = own_interfaces(pid)?;
                process.interfaces = self.interfaces.as_ref().map(Interfaces::inode);
                self.live.monitor = Some(LiveMonitor::this()?);
            }
            // A container of the engine has a mount namespace of its own.
            News::Root(_) | News::Resctrl(_) => return Ok(()),
            News::Table(Place { namespace: NamespaceId { dev, ino }, file }) => {
                self.live.table = Some(LiveTable { dev, ino, file });
            }
        }
        self.write_live()
    }

    /// Writes on its groups whose they are, and which above them were made for it.
    fn write_owner(&self) -> Result<()> {
        let owner = Owner::of(&self.engine.store.run_folder(&self.id))?;
        let parents = self.live.parents.iter().map(|(hierarchy, path)| format!("\n{hierarchy} {path}"));
        let text: String = std::iter::once(owner.text()).chain(parents).collect();
        cgroup::owner::write(&self.hierarchies, &self.group, &text)
    }

    /// Writes down that one which was there before runs again, by this configuration.
    fn record_start(&self, launch: &Launch) -> Result<()> {
        if self.is_new {
            return Ok(());
        }
        let changed = self.engine.change_record(&self.id, |record| {
            let Record { confinement, config, group, begun, restarts, .. } = launch.record.clone();
            let former = record.clone();
            *record = Record { confinement, config, group, begun, restarts, exit: None, ..former };
        });
        match changed {
            Err(error) if launch.record.restarts == 0 || !takes_nothing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn read_shortage(&self) -> Shortage {
        let none = Baseline::default();
        let before = self.live.baseline.as_ref().unwrap_or(&none);
        Shortage::read((&self.hierarchies, &self.group), before).or(self.shortage.clone())
    }

    /// Reads it again, and tells of what was killed since the last time.
    fn notice_shortage(&mut self) {
        let kills = |shortage: &Shortage| shortage.oom.as_ref().map_or(0, |oom| oom.kills);
        let former = kills(&self.shortage);
        self.shortage = self.read_shortage();
        if let Some(oom) = self.shortage.oom.as_ref().filter(|oom| oom.kills > former) {
            self.alarms.have_been_heard();
            if let Ok(Some(record)) = self.engine.store.record(&self.id) {
                self.engine.store.tell_oom(&record, oom);
            }
        }
    }

    fn notice_stalls(&mut self) {
        let place = (&self.hierarchies, &self.group);
        for resource in self.alarms.stalled(place) {
            if let Ok(Some(record)) = self.engine.store.record(&self.id) {
                self.engine.store.tell_stall(&record, resource, place);
            }
        }
    }

    fn clean_up(&self) -> Result<()> {
        self.engine.leave_networks(&self.id)?;
        if self.ends_whole { remove_empty_groups(&self.hierarchies, &self.live) } else { remove_groups(&self.live) }
    }

    /// Writes down how it ended, or removes it; gives after how long it is to be started again, if it is.
    fn conclude(&mut self, exit: Exit) -> Result<Option<Duration>> {
        let store = &self.engine.store;
        let record = || store.record(&self.id).ok().flatten();
        if self.live.after == After::Remove && record().is_none_or(|record| record.wanted != Wanted::Again) {
            if let Some(record) = record() {
                store.tell_end(&record, &exit, None);
            }
            store.remove_own_volumes(&self.id)?;
            self.engine.remove_files(&self.id, &self.live)?;
            return self.release().map(|()| None);
        }
        let _held = store.hold(&self.id)?.ok_or_else(|| no_such(&self.id))?;
        let mut record = store.record(&self.id)?.ok_or_else(|| no_such(&self.id))?;
        let code = exit.code.unwrap_or_default();
        let wanted = record.wanted == Wanted::Running && !store.is_marked_stopped(&self.id);
        let again = wanted && record.options.restart.holds(code, record.restarts);
        let again = again.then(|| self.back_off.after(self.since.elapsed()));
        let exit = record.exit.insert(exit).clone();
        let Some(delay) = again else {
            self.write_ended(&record, &exit)?;
            return self.release().map(|()| None);
        };
        // That it is started again is known from before it is known how it has ended.
        (self.live.process, self.live.again) = (None, Timestamp::now().checked_add(delay).ok());
        self.write_live()?;
        match store.write_record(&record) {
            // It may be what makes room again.
            Err(error) if !takes_nothing(&error) => return Err(error),
            _ => store.tell_end(&record, &exit, Some(delay)),
        }
        Ok(Some(delay))
    }

    fn record_exit(&mut self, exit: &Exit) -> Result<()> {
        if self.live.after == After::Remove {
            return Ok(());
        }
        let engine = self.engine;
        let _held = engine.store.hold(&self.id)?.ok_or_else(|| no_such(&self.id))?;
        let mut record = engine.store.record(&self.id)?.ok_or_else(|| no_such(&self.id))?;
        record.exit = Some(exit.clone());
        self.write_ended(&record, exit)
    }

    /// Writes the record of one that has ended, and where its disk takes nothing, how it ended, beside what is on the host
    /// for it.
    fn write_ended(&mut self, record: &Record, exit: &Exit) -> Result<()> {
        let written = self.engine.store.write_record(record);
        self.engine.store.tell_end(record, exit, None);
        written.or_else(|error| {
            (self.live.exit, self.live.again) = (Some(exit.clone()), None);
            self.write_live().and(Err(error))
        })
    }

    fn release(&mut self) -> Result<()> {
        self.claim.take().map_or(Ok(()), |claim| self.engine.store.release(claim))
    }
}

impl Charge for InCare<'_> {
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        if self.found.is_some() {
            self.live.monitor = Some(LiveMonitor::this()?);
            self.write_live()?;
        }
        if let Some(running) = self.found.take() {
            self.check_on();
            return Ok(running);
        }
        let launch = self.launch()?;
        self.engine.store.tell_of_volumes(&launch.record, "mount");
        let started = self.start_from(&launch, standard).and_then(|running| {
            self.since = Instant::now();
            if !has_own_network(&launch.record.config) {
                self.interfaces = None;
            }
            self.check_anew();
            self.record_start(&launch)?;
            self.engine.store.tell(&launch.record, "start", &[("pid", running.pid.0.to_string())]);
            Ok(running)
        });
        if started.is_err() {
            self.engine.store.tell_of_volumes(&launch.record, "unmount");
        }
        self.is_new &= started.is_err();
        started.map_err(|error| launch.limits.in_flags(error))
    }

    fn waits(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        self.alarms.waits().chain(self.checks.iter().flat_map(Checks::waits)).collect()
    }

    fn due(&self) -> Option<Instant> {
        let checks = self.checks.as_ref().and_then(Checks::due);
        checks.into_iter().chain(self.alarms.due()).min()
    }

    fn notice(&mut self, _process: &Running) {
        self.notice_checks();
        self.alarms.clear();
        self.notice_shortage();
        self.notice_stalls();
    }

    fn carried(&self) -> Option<(Carried, Vec<BorrowedFd<'_>>)> {
        // Who has checks to make has something to do.
        let record = self.engine.store.record(&self.id).ok()?.filter(|_| self.checks.is_none())?;
        let claim = self.claim.as_ref()?;
        let carried = Carried {
            root: self.engine.store.root.clone(),
            run: self.engine.store.run.clone(),
            id: self.id.clone(),
            claim: Number::of(claim),
            origin: Origin::of(&record),
            alarms: self.alarms.files().map(|file| Number::of(&file)).collect(),
            early_alarm: self.alarms.early().map(|file| Number::of(&file)),
            stalls: self.alarms.stalls().iter().map(|(resource, file)| (*resource, Number::of(file))).collect(),
            log: record.options.log,
            live: self.live.clone(),
            ends_whole: self.ends_whole,
            shortage: self.shortage.clone(),
            back_off: self.back_off,
            ran: self.since.elapsed(),
            interfaces: self.interfaces.as_ref().map(Number::of),
        };
        let interfaces = self.interfaces.iter().map(AsFd::as_fd);
        let stalls = self.alarms.stalls().iter().map(|(_, file)| file.as_fd());
        let alarms = self.alarms.files().chain(self.alarms.early()).chain(stalls);
        Some((carried, alarms.chain(interfaces).chain([claim.as_fd()]).collect()))
    }

    fn abandon(&mut self, error: &Error) {
        let Some(claim) = self.claim.take() else { return };
        // One that could not be taken over runs on as it did.
        if self.found.is_some() {
            return;
        }
        if !self.is_new {
            let code = Some(Failure::of(error).code.into());
            let exit = Exit { code, error: Some(Failure::of(error).message), ..Exit::unseen(None) };
            // One that was never begun with is as it was.
            let _ = self.engine.change_record(&self.id, |record| {
                if record.begun.is_some() {
                    record.exit = Some(exit);
                }
            });
        }
        self.engine.abandon(claim, &self.live);
    }

    fn ask_to_end(&mut self, process: Option<&Running>) -> Option<Duration> {
        // Its record still wants it to run when the host has begun anew.
        let _ = self.engine.store.mark_stopped(&self.id);
        let stop = self.engine.store.record(&self.id).ok().flatten().map(|record| record.options.stop);
        let Stop { signal, patience } = stop.unwrap_or_default();
        if let Some(process) = process {
            let signal = signal.unwrap_or(Signal::TERM);
            let _ =
                sys::process::send_signal(process.pidfd.as_fd(), i32::try_from(signal.number()).unwrap_or_default());
        }
        match patience.unwrap_or(Patience::USUAL) {
            Patience::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
            Patience::Endless => None,
        }
    }

    fn finish(&mut self, ended: Ended) -> Finished {
        self.notice_shortage();
        let shortage = self.shortage.clone();
        let code = exit_code(ended);
        let started = self.live.process.as_ref().and_then(|process| process.started);
        // One that is just being started may not be in the container's pid namespace yet.
        let health = self.checks.take().map(Checks::end);
        let receipt =
            Receipt::read((&self.hierarchies, &self.group), self.interfaces.take().as_ref(), self.since.elapsed());
        let shown = Exit { code: Some(code), health, shortage: shortage.clone(), ..Exit::unseen(started) };
        let exit = Exit { receipt: Some(receipt), ..shown };
        let concluded = match self.clean_up() {
            Ok(()) => self.conclude(exit),
            // What is left is still on record for the next command.
            Err(error) => self.record_exit(&exit).and(Err(error)),
        };
        let left = concluded.as_ref().err().map(|error| Failure::of(error).message).into_iter().collect();
        Finished { event: Event::Exited { code, shortage, left }, again: concluded.ok().flatten() }
    }

    fn is_still_wanted(&mut self) -> bool {
        let record = self.engine.store.record(&self.id).ok().flatten();
        let code = |record: &Record| record.exit.as_ref().and_then(|exit| exit.code).unwrap_or_default();
        let holds = |record: &Record| record.options.restart.holds(code(record), record.restarts);
        let wanted = record.is_some_and(|record| record.wanted == Wanted::Running && holds(&record));
        let wanted = wanted && !self.engine.store.is_marked_stopped(&self.id);
        if !wanted {
            let _ = self.release();
        }
        wanted
    }
}

impl LiveMonitor {
    fn this() -> Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Self { pid, start_ticks: procfs::stat(HostPid(pid))?.start_ticks })
    }
}

/// Whether what goes through a container's interfaces is its own alone.
fn has_own_network(config: &oci::Config) -> bool {
    let namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.into_iter().any(|one| one.kind == oci::NamespaceKind::Net && one.path.is_none())
}

/// The interfaces of a process that was just made, unless they are carboy's own or it has ended already.
fn own_interfaces(pid: HostPid) -> Result<Option<Interfaces>> {
    let ours = Interfaces::of_this()?.inode();
    match Proc::open()?.interfaces(pid) {
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::SRCH)) => Ok(None),
        own => Ok(Some(own?).filter(|own| own.inode() != ours)),
    }
}
