//! One more process in a running container: in its namespaces, its groups, under its filter.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bumpalo::Bump;
use cgroup::{Freezer, GroupPath, Groups, Hierarchies};
use error::{Error, Result};
use oci::NamespaceKind;
use procfs::{HostPid, Process};
use runtime::apply::{News, Running, Stage};
use runtime::plan::Plan;
use runtime::process::{Filter, Orphans, Terms};
use sys::process::Ended;

use crate::attach::{Attached, Attachment};
use crate::containers::{Engine, Status, exit_code, not_running, open_process};
use crate::event::Event;
use crate::launch::profile;
use crate::monitor::{self, Charge, Finished, Inherits, Output, Setup};
use crate::options::ExecOptions;
use crate::rootless::{Ids, check_ids};
use crate::shortage::Shortage;
use crate::streams::{Input, Wish};
use crate::told::OfProcess;
use crate::{place, spec, user};

impl Engine {
    /// Starts one more process in a running container, under a monitor of its own.
    ///
    /// # Errors
    /// Refused where the container does not run, or for an option that cannot be had; a kernel error.
    pub fn exec(
        &self,
        options: &ExecOptions,
        size: sys::terminal::Size,
        attachment: Attachment,
    ) -> Result<(Attached, String)> {
        let input = if options.interactive { Input::Once } else { Input::Null };
        let wish = Wish { input, terminal: options.tty, folder: None };
        let setup = Setup { wish, output: Output::Unkept, listener: None, inherits: Inherits::All };
        self.with_process(options, (size, Orphans::Left), |process| {
            let id = process.told.made(&options.command)?;
            Ok((monitor::fork(process, setup, attachment)?, id))
        })
    }

    /// Does this with one more process in a running container, of which everything is known and nothing is done yet.
    ///
    /// # Errors
    /// Refused where the container does not run, or for an option that cannot be had; a kernel error.
    pub(crate) fn with_process<T>(
        &self,
        options: &ExecOptions,
        (size, orphans): (sys::terminal::Size, Orphans),
        then: impl FnOnce(&mut NewProcess<'_>) -> Result<T>,
    ) -> Result<T> {
        let container = self.find(&options.container)?;
        let Status::Running(first) = &container.status else { return Err(not_running(&container).into()) };
        let hierarchies = Hierarchies::read()?;
        if container.is_paused(&Freezer::open(&hierarchies)?)? {
            return Err(crate::pause::is_paused(&container.record).into());
        }
        let path = GroupPath::parse("the recorded group", &container.record.group)?;
        let target = runtime::entry::target(HostPid(first.pid), &Groups::open(&hierarchies, &path)?);
        // The namespace files were found by number: that the process still lives says that they are its own.
        let held = open_process(first)?.ok_or_else(|| not_running(&container))?;
        let target = target?;
        let root = Process::open(HostPid(first.pid))?.open_root()?;
        let passwd = runtime::root::read_within(&root, c"etc/passwd")?;
        let group = runtime::root::read_within(&root, c"etc/group")?;
        let config = &container.record.config;
        let word = options.user.as_deref().or(container.record.options.user.as_deref()).unwrap_or_default();
        let user = user::resolve(word, &[], &passwd, &group)?;
        if let Some(ids) =
            Ids::read()?.filter(|_| !target.namespaces.iter().any(|(kind, _)| *kind == NamespaceKind::User))
        {
            check_ids(&ids, &user, &[])?;
        }
        let mut process = spec::exec_process(config, options, &user)?;
        process.console_size = Some(oci::ConsoleSize { height: size.rows.into(), width: size.columns.into() });
        if !target.namespaces.iter().any(|(kind, _)| *kind == NamespaceKind::User) {
            withhold(&mut process, crate::host::withheld_capabilities()?);
        }
        let filter = match profile(container.record.confinement, config).filter(|_| !options.privileged) {
            Some(profile) => Some(Filter::of(&profile)?),
            None => None,
        };
        let terms = Terms { filter: filter.as_ref(), orphans, ..Terms::default() };
        place::approach(place::recorded(&container.record)?.as_ref())?;
        let arena = Bump::new();
        let plan = runtime::plan::plan_exec((&target, &hierarchies), &process, &terms, &arena)?;
        let told = OfProcess::untold(&self.store, &container.record);
        then(&mut NewProcess { hierarchies: &hierarchies, plan: &plan, first: Some(held), told })
    }
}

/// Takes from a process what carboy itself does not have and cannot give.
fn withhold(process: &mut oci::Process, withheld: u64) {
    let Some(oci::Capabilities { bounding, effective, permitted, .. }) = &mut process.capabilities else { return };
    for set in [bounding, effective, permitted].into_iter().flatten() {
        set.retain(|name| {
            let found = oci::CAPABILITIES.iter().find(|(known, _)| known == name);
            found.is_none_or(|(_, number)| withheld >> number & 1 == 0)
        });
    }
}

/// One more process in a container.
pub(crate) struct NewProcess<'c> {
    hierarchies: &'c Hierarchies,
    plan: &'c Plan<'c>,
    /// The container's first process, until the new one is there.
    first: Option<OwnedFd>,
    told: OfProcess<'c>,
}

impl Charge for NewProcess<'_> {
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let mut record = |_: News| Ok(());
        let first = self.first.take();
        let stage = Stage {
            hierarchies: self.hierarchies,
            groups: None,
            mounted: &[],
            root: None,
            standard,
            record: &mut record,
            first: first.as_ref().map(AsFd::as_fd),
            gate: None,
            connect: None,
            hooks: None,
        };
        runtime::apply::start(self.plan, stage).inspect(|_| self.told.started())
    }

    fn abandon(&mut self, _error: &Error) {}

    fn finish(&mut self, ended: Ended) -> Finished {
        let code = exit_code(ended);
        self.told.ended(code);
        let event = Event::Exited { code, shortage: Shortage::default(), left: Vec::new() };
        Finished { event, again: None }
    }
}
