//! One more process in a running container: in its namespaces, its groups, under its filter.

use std::fs::{self, File};
use std::os::fd::BorrowedFd;

use bumpalo::Bump;
use cgroup::{GroupPath, Groups, Hierarchies};
use error::{Doing, Result};
use namespace::KINDS;
use oci::NamespaceKind;
use procfs::HostPid;
use runtime::apply::{Running, Stage};
use runtime::plan::{Plan, Target};
use sys::process::Ended;

use crate::containers::{Container, Engine, Status, exit_code, not_running, open_process};
use crate::event::Event;
use crate::launch::{compile, profile};
use crate::monitor::{self, Charge, Input, Lent, Watch};
use crate::options::ExecOptions;
use crate::roots::read_within;
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
        let target = target(first.pid, &container, &hierarchies)?;
        // The namespace files were opened by number: that the process still lives says that they are its own.
        let held = open_process(first).ok_or_else(|| not_running(&container))?;
        let root = File::open(format!("/proc/{}/root", first.pid)).doing(|| "open the container's root")?.into();
        let passwd = read_within(&root, c"etc/passwd")?;
        let group = read_within(&root, c"etc/group")?;
        let config = &container.record.config;
        let word = options.user.as_deref().unwrap_or(&container.record.user);
        let user = user::resolve(word, &[], &passwd, &group)?;
        let mut process = spec::exec_process(config, options, &user)?;
        process.console_size = Some(oci::ConsoleSize { height: size.rows.into(), width: size.columns.into() });
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
    let mut namespaces = Vec::new();
    let link = |process: &str, kind: NamespaceKind| {
        let path = format!("/proc/{process}/ns/{}", kind.name());
        fs::read_link(&path).doing(|| format!("read {path}"))
    };
    for kind in KINDS {
        if link(&pid.to_string(), kind)? != link("self", kind)? {
            namespaces.push((kind, format!("/proc/{pid}/ns/{}", kind.name())));
        }
    }
    namespaces.sort_by_key(|(kind, _)| *kind == NamespaceKind::User);
    let path = GroupPath::parse("the recorded group", &container.record.group)?;
    let attach = Groups::open(hierarchies, &path)?.present().map(|(index, _)| index).collect();
    let groups = cgroup::Plan { path, steps: Vec::new(), attach, parents: Vec::new(), dropped: Vec::new() };
    Ok(Target { namespaces, groups })
}

struct NewProcess<'c> {
    hierarchies: &'c Hierarchies,
    plan: &'c Plan<'c>,
}

impl Charge for NewProcess<'_> {
    fn start(&mut self, standard: [BorrowedFd<'_>; 3]) -> Result<Running> {
        let mut born = |_: HostPid| Ok(());
        let stage = Stage { hierarchies: self.hierarchies, mounted: &[], root: None, standard, born: &mut born };
        runtime::apply::start(self.plan, stage)
    }

    fn abandon(&mut self) {}

    fn finish(&mut self, ended: Ended) -> Event {
        Event::Exited { code: exit_code(ended), oom: None, left: Vec::new() }
    }
}
