//! One more process in a running container: in its namespaces, its groups, under its filter.

use std::os::fd::BorrowedFd;

use bumpalo::Bump;
use cgroup::{GroupPath, Groups, Hierarchies};
use error::Result;
use namespace::KINDS;
use oci::NamespaceKind;
use procfs::{HostPid, Kind, Process, Sight};
use runtime::apply::{News, Running, Stage};
use runtime::plan::{Plan, Target};
use sys::process::Ended;

use crate::containers::{Container, Engine, Status, exit_code, not_running, open_process};
use crate::event::Event;
use crate::launch::{compile, profile};
use crate::monitor::{self, Charge, Input, Lent, Watch};
use crate::options::ExecOptions;
use crate::roots::read_within;
use crate::shortage::Shortage;
use crate::{spec, user};

impl Engine {
    /// Starts one more process in a running container, under a monitor of its own.
    ///
    /// # Errors
    /// Refused where the container does not run, or for an option that cannot be had; a kernel error.
    pub fn exec(&self, options: &ExecOptions, size: sys::terminal::Size, lent: Option<Lent>) -> Result<Watch> {
        let container = self.find(&options.container)?;
        let Status::Running(first) = &container.status else { return Err(not_running(&container).into()) };
        let hierarchies = Hierarchies::read()?;
        if container.is_paused(&hierarchies)? {
            return Err(crate::pause::is_paused(&container.record).into());
        }
        let target = target(first.pid, &container, &hierarchies);
        // The namespace files were found by number: that the process still lives says that they are its own.
        let held = open_process(first).ok_or_else(|| not_running(&container))?;
        let target = target?;
        let root = Process::open(HostPid(first.pid))?.open_root()?;
        let passwd = read_within(&root, c"etc/passwd")?;
        let group = read_within(&root, c"etc/group")?;
        let config = &container.record.config;
        let word = options.user.as_deref().unwrap_or(&container.record.user);
        let user = user::resolve(word, &[], &passwd, &group)?;
        let mut process = spec::exec_process(config, options, &user)?;
        process.console_size = Some(oci::ConsoleSize { height: size.rows.into(), width: size.columns.into() });
        if !target.namespaces.iter().any(|(kind, _)| *kind == NamespaceKind::User) {
            withhold(&mut process, crate::host::withheld_capabilities()?);
        }
        let filter = match profile(container.record.confinement, config).filter(|_| !options.privileged) {
            Some(profile) => Some(compile(&profile)?),
            None => None,
        };
        let arena = Bump::new();
        let plan = runtime::plan::plan_exec((&target, &hierarchies), &process, filter.as_ref(), &arena)?;
        drop(held);
        let mut charge = NewProcess { hierarchies: &hierarchies, plan: &plan };
        let input = if options.interactive { Input::Caller } else { Input::Null };
        monitor::fork(&mut charge, input, lent)
    }
}

/// The namespaces of a process that are not the caller's own, and the groups it is in. The user namespace comes last:
/// once in it, the caller has no right over the others.
fn target(pid: i32, container: &Container, hierarchies: &Hierarchies) -> Result<Target> {
    let theirs = Process::open(HostPid(pid))?.namespaces()?;
    let ours = Process::this()?.namespaces()?;
    let differs = |kind: NamespaceKind| {
        let of = |sights: &[(Kind, Sight); 8]| {
            sights.iter().find(|(found, _)| found.name() == kind.name()).and_then(|(_, sight)| sight.id())
        };
        of(&theirs).is_some() && of(&theirs) != of(&ours)
    };
    let differing = KINDS.into_iter().filter(|kind| differs(*kind));
    let mut namespaces: Vec<_> = differing.map(|kind| (kind, procfs::ns::path(HostPid(pid), kind.name()))).collect();
    namespaces.sort_by_key(|(kind, _)| *kind == NamespaceKind::User);
    let path = GroupPath::parse("the recorded group", &container.record.group)?;
    let attach = Groups::open(hierarchies, &path)?.present().map(|(index, _)| index).collect();
    let birthplace = birthplace(pid, &path)?;
    let (steps, parents, dropped) = (Vec::new(), Vec::new(), Vec::new());
    let groups = cgroup::Plan { path, steps, attach, birthplace, parents, dropped };
    Ok(Target { namespaces, groups })
}

/// The group of v2 that the first process is in, where the container has nested it in its own.
fn birthplace(pid: i32, path: &GroupPath) -> Result<Option<GroupPath>> {
    let groups = Process::open(HostPid(pid))?.cgroup()?;
    let Some(own) = groups.iter().find(|group| group.hierarchy == 0 && !group.deleted) else { return Ok(None) };
    let Some(own) = own.path.to_str().and_then(|own| own.strip_prefix(&format!("{path}/"))) else { return Ok(None) };
    GroupPath::parse("the first process's group", &format!("{path}/{own}")).map(Some)
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

struct NewProcess<'c> {
    hierarchies: &'c Hierarchies,
    plan: &'c Plan<'c>,
}

impl Charge for NewProcess<'_> {
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let mut record = |_: News| Ok(());
        let stage = Stage { hierarchies: self.hierarchies, mounted: &[], root: None, standard, record: &mut record };
        runtime::apply::start(self.plan, stage)
    }

    fn abandon(&mut self) {}

    fn finish(&mut self, ended: Ended) -> Event {
        Event::Exited { code: exit_code(ended), shortage: Shortage::default(), left: Vec::new() }
    }
}
