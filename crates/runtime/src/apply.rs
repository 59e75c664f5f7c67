//! Doing what a plan says. Nothing is decided here; what fails is named by its step.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use cgroup::mark::{Mark, Place, Tables};
use cgroup::{Groups, Hierarchies, HierarchyIndex};
use child::{REPORT_LENGTH, Report, Scene, Spawned, Step, Turn};
use error::{Doing, Errno, Error, Kernel, Refused, RefusedKind, Result};
use namespace::entrance::Maps;
use namespace::mnt::Prepared;
use netlink::{Protocol, Socket};
use oci::{ContainerProcessState, NamespaceKind};
use procfs::{HostPid, Kind, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use sys::mount::{Change, Propagation, Reach};
use sys::namespace::Kinds;

use crate::describe;
use crate::hooks::Given;
use crate::net_device::{self, Device};
use crate::plan::{HostStep, Moment, Network, Plan};
use crate::prepare::{self, IdSources};
use crate::process::Listener;
use crate::root::Root;
use crate::scheduler;

/// A process that was started.
#[derive(Debug)]
pub struct Running {
    /// Its PID on the host.
    pub pid: HostPid,
    /// A handle on it.
    pub pidfd: OwnedFd,
    /// The master of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

/// What connects a container's network namespace.
pub type Connect<'c> = dyn FnMut(BorrowedFd<'_>) -> Result<()> + 'c;

/// What a plan is applied with.
pub struct Stage<'s> {
    /// The hierarchies that it was planned for.
    pub hierarchies: &'s Hierarchies,
    /// The container's groups in them, where the child enters them and they are open already.
    pub groups: Option<Groups>,
    /// Those of them whose groups are mounted in the container.
    pub mounted: &'s [HierarchyIndex],
    /// The container's root; `None` for a process that enters a container's mounts.
    pub root: Option<&'s Root>,
    /// Standard input, output and error, where the process has no terminal.
    pub standard: [BorrowedFd<'s>; 3],
    /// Told of what its undoing must know, to put it on record.
    pub record: &'s mut dyn FnMut(News) -> Result<()>,
    /// The first process of the container that the child enters, whose namespaces are found by its number.
    pub first: Option<BorrowedFd<'s>>,
    /// Where the child waits, when somebody else starts its program.
    pub gate: Option<child::Gate<'s>>,
    /// Connects the container's network namespace, where the plan has it.
    pub connect: Option<&'s mut Connect<'s>>,
    /// The hooks, and what they are given, with the child's PID put into the state.
    pub hooks: Option<(&'s oci::Hooks, Given<'s>)>,
}

/// What is put on record while a plan is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The child exists and has not run anything.
    Child(HostPid),
    /// This folder of resctrl is about to be made.
    Resctrl(PathBuf),
    /// A table is about to be made in this net namespace.
    Table(cgroup::mark::Place),
    /// This mount is about to cover the root's folder in a mount namespace that does not go with the container.
    Root(u64),
}

/// Applies a plan up to the point where the command runs.
///
/// # Errors
/// The step that failed, on either side. The child is gone then; what else was made is for [`crate::undo`].
pub fn start<'p>(plan: &'p Plan<'p>, stage: Stage<'_>) -> Result<Running> {
    let mut work = Work::new(plan, stage)?;
    for (number, step) in plan.host.iter().enumerate() {
        if let Err(error) = work.take(step) {
            let told = work.told_by_child(&error).or_else(|| work.starved(&error));
            let error = told.unwrap_or_else(|| at_step(error, number, plan.host.len()));
            work.end_child();
            return Err(error);
        }
    }
    work.running()
}

/// Whether a plan failed because there is a group already where the container's were to be. It is somebody else's and must
/// not be undone; those that were made before it was found are gone again.
#[must_use]
pub fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Refused(refused)
        if refused.kind == RefusedKind::Conflict && refused.field == "linux.cgroupsPath")
}

fn at_step(error: Error, number: usize, count: usize) -> Error {
    match error {
        Error::Kernel(mut kernel) => {
            kernel.action = format!("{} (step {} of {count})", kernel.action, number + 1);
            Error::Kernel(kernel)
        }
        error => error,
    }
}

struct Work<'p, 's> {
    plan: &'p Plan<'p>,
    stage: Stage<'s>,
    ours: OwnedFd,
    theirs: Option<OwnedFd>,
    namespaces: Vec<OwnedFd>,
    mounts: Vec<OwnedFd>,
    ids: IdSources,
    groups: Groups,
    group_files: Vec<OwnedFd>,
    child: Option<Spawned>,
    root: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    failure: Option<Error>,
}

impl<'p, 's> Work<'p, 's> {
    fn new(plan: &'p Plan<'p>, mut stage: Stage<'s>) -> Result<Self> {
        let (ours, theirs) = sys::socket::pair().doing(|| "connect to the child")?;
        let groups = match stage.groups.take() {
            Some(groups) => groups.entered_by(&plan.groups)?,
            None => Groups::prepare(stage.hierarchies, &plan.groups)?,
        };
        Ok(Self {
            plan,
            stage,
            ours,
            theirs: Some(theirs),
            namespaces: Vec::new(),
            mounts: Vec::new(),
            ids: IdSources::default(),
            groups,
            group_files: Vec::new(),
            child: None,
            root: None,
            terminal: None,
            failure: None,
        })
    }

    fn take(&mut self, step: &HostStep) -> Result<()> {
        match step {
            HostStep::Group(number) => self.apply_group(*number),
            HostStep::OpenNamespace(number) => self.open_namespace(*number),
            HostStep::JoinPid(path) => {
                let file = File::open(path).doing(|| format!("open the pid namespace {path}"))?;
                sys::namespace::join(file.as_fd(), Kinds::PID).doing(|| format!("join the pid namespace {path}"))
            }
            HostStep::Confirm => self.confirm(),
            HostStep::TimeNamespace(offsets) => time_namespace(offsets),
            HostStep::Prepare(number) => self.prepare(*number),
            HostStep::Affinity(processors) => {
                let action = || format!("run on processors {}", scheduler::describe(processors));
                sys::scheduler::set_affinity(processors).doing(action).map_err(|error| {
                    error.with_hint("process.execCPUAffinity.initial names a processor that this host has")
                })
            }
            HostStep::Clone => self.clone_child(),
            HostStep::AwaitFork => self.await_fork(),
            HostStep::AwaitUnshare(kind) => self.await_unshare(*kind),
            HostStep::WriteMaps(maps) => {
                let pid = self.pid()?;
                write_proc(pid, "uid_map", &maps.uid)?;
                write_proc(pid, "gid_map", &maps.gid)
            }
            HostStep::MakeRoot => self.make_root(),
            HostStep::RecordRoot => self.record_root(),
            HostStep::OpenGroup(index) => {
                self.group_files.push(self.groups.join_file(*index)?);
                Ok(())
            }
            HostStep::OpenDelegated => {
                self.group_files.extend(self.groups.delegated_file());
                Ok(())
            }
            HostStep::Resctrl(group) => {
                let pid = self.pid()?;
                group.apply(pid, &mut |folder| (self.stage.record)(News::Resctrl(folder)))
            }
            HostStep::OomScoreAdj(value) => set_oom_score(self.pid()?, *value),
            HostStep::Mark(mark, network) => self.mark(mark, *network),
            HostStep::NetDevices(devices, network) => self.give(devices, *network),
            HostStep::Connect(_, network) => {
                let (namespace, _) = self.network(*network)?;
                self.stage.connect.as_mut().map_or(Ok(()), |connect| connect(namespace.as_fd()))
            }
            HostStep::Release(turn) => self.release(*turn),
            HostStep::AwaitMounts => self.await_report(Report::Mounted, "wait for the child's mounts"),
            HostStep::Hooks(moment) => self.run_hooks(*moment),
            HostStep::Listener(listener) => self.hand_over(listener),
            HostStep::AwaitGate => self.await_report(Report::Waiting, "wait until the child is ready"),
            HostStep::AwaitProgram => self.await_program(),
        }
    }

    fn pid(&self) -> Result<HostPid> {
        let child = self.child.as_ref().ok_or_else(|| Kernel::new("find the child", Errno::SRCH))?;
        Ok(HostPid(child.pid))
    }

    /// As long as the first process is not dead, its number is no other process's, and what was opened by it is its own.
    fn confirm(&self) -> Result<()> {
        const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let action = "find the container's first process, which has ended";
        let first = self.stage.first.ok_or_else(|| Kernel::new(action, Errno::SRCH))?;
        let mut waits = [PollFd::from_borrowed_fd(first, PollFlags::IN)];
        match retry_on_intr(|| poll(&mut waits, Some(&NOW))).doing(|| "look at the container's first process")? {
            0 => Ok(()),
            _ => Err(Kernel::new(action, Errno::SRCH).into()),
        }
    }

    fn apply_group(&mut self, number: usize) -> Result<()> {
        let Some(step) = self.plan.groups.steps.get(number) else { return Ok(()) };
        let applied = self.groups.apply(step);
        if applied.as_ref().is_err_and(is_taken) {
            self.groups.unmake(&self.plan.groups.parents);
        }
        applied
    }

    fn open_namespace(&mut self, number: usize) -> Result<()> {
        let Some((kind, path)) = self.plan.entrance.child_joins.get(number) else { return Ok(()) };
        let file = File::open(path).doing(|| format!("open the {} namespace {path}", kind.name()))?;
        self.namespaces.push(file.into());
        Ok(())
    }

    fn prepare(&mut self, number: usize) -> Result<()> {
        let mount = match self.plan.prepared.get(number) {
            None => return Ok(()),
            Some(Prepared::Bind { source, reach, options, ids }) => {
                prepare::bind(source, *reach, (options, ids.as_ref()), &mut self.ids)?
            }
            Some(Prepared::Node { source, mode, number }) => prepare::node(source, *mode, *number)?,
            Some(Prepared::Group { index, set }) => {
                let Some(index) = self.stage.mounted.get(*index) else { return Ok(()) };
                let view = sys::mount::clone_tree(Some(self.groups.group(*index)?), c"", Reach::One);
                let view = view.doing(|| "copy the mount of the container's group")?;
                let change = Change { set: *set, propagation: Some(Propagation::Private), ..Change::default() };
                let changed = sys::mount::change(view.as_fd(), Reach::One, &change);
                changed.doing(|| "set the options of the mount of the container's group")?;
                view
            }
        };
        self.mounts.push(mount);
        Ok(())
    }

    fn clone_child(&mut self) -> Result<()> {
        let theirs = self.theirs.take().ok_or_else(|| Kernel::new("start the child twice", Errno::INVAL))?;
        let namespaces: Vec<_> = self.namespaces.iter().map(AsFd::as_fd).collect();
        let scene = Scene {
            sync: theirs.as_fd(),
            parent: self.ours.as_fd(),
            namespaces: &namespaces,
            groups: &self.group_files,
            mounts: &self.mounts,
            standard: self.stage.standard,
            gate: self.stage.gate,
        };
        let new = self.plan.entrance.clone;
        let birthplace = self.groups.into_cgroup().map(|(_, group)| group);
        let spawned = child::spawn(new, birthplace, &self.plan.child, &scene);
        let spawned = spawned.doing(|| format!("clone a process with {} new namespaces", describe::kinds(new)));
        // clone3(2) CLONE_INTO_CGROUP: nobody can be in a "domain invalid" group.
        let spawned = spawned.map_err(|error| match error.errno() {
            Some(Errno::OPNOTSUPP) => {
                error.with_hint("the cgroup above the container's is threaded: choose another parent")
            }
            _ => error,
        })?;
        let pid = HostPid(spawned.pid);
        self.child = Some(spawned);
        self.groups.inhabited();
        self.mounts.clear();
        self.group_files.clear();
        (self.stage.record)(News::Child(pid))
    }

    fn make_root(&mut self) -> Result<()> {
        let Some(root) = self.stage.root else { return Ok(()) };
        let userns = self.user_namespace()?;
        self.root = Some(root.make(userns.as_ref().map(AsFd::as_fd))?);
        Ok(())
    }

    fn record_root(&mut self) -> Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let id = sys::mount::id_of(root.as_fd()).doing(|| "tell the root mount from others")?;
        (self.stage.record)(News::Root(id))
    }

    /// The container's user namespace, where it is not the host's.
    fn user_namespace(&self) -> Result<Option<OwnedFd>> {
        let joined = self.plan.entrance.child_joins.iter().find(|(kind, _)| *kind == oci::NamespaceKind::User);
        if let Some((_, path)) = joined {
            let file = File::open(path).doing(|| format!("open the user namespace {path}"))?;
            return Ok(Some(file.into()));
        }
        if self.plan.entrance.maps == Maps::None {
            return Ok(None);
        }
        Process::open(self.pid()?)?.open_namespace(Kind::User).map(Some)
    }

    fn release(&mut self, turn: Turn) -> Result<()> {
        let pass = if turn == Turn::Root { self.root.as_ref().map(AsFd::as_fd) } else { None };
        sys::socket::send(self.ours.as_fd(), &[turn as u8], pass)
            .doing(|| format!("tell the child of {}", describe::turn(turn)))
    }

    /// The next report; `None` when the child executes its program or is gone.
    fn next_report(&mut self) -> Result<Option<Report>> {
        let mut message = [0; REPORT_LENGTH];
        let received = sys::socket::receive(self.ours.as_fd(), &mut message).doing(|| "hear from the child")?;
        let (length, passed) = received;
        if length == 0 {
            return Ok(None);
        }
        let report = Report::parse(message).ok_or_else(|| Kernel::new("understand the child", Errno::PROTO))?;
        if report == Report::Terminal {
            self.terminal = passed;
        }
        if let Report::Failed { step, errno } = report {
            return Err(self.child_failure(step, Errno::from_raw_os_error(errno)));
        }
        Ok(Some(report))
    }

    /// The process that goes on has a copy of the connection, so that no end of file tells of the death of the one that
    /// forks.
    fn await_fork(&mut self) -> Result<()> {
        loop {
            let reports = match &self.child {
                Some(child) => either_readable(self.ours.as_fd(), child.pidfd.as_fd())?,
                None => true,
            };
            match if reports { self.next_report()? } else { None } {
                Some(Report::Forked(pid)) => return self.follow(pid),
                Some(_) => {}
                None => return Err(Kernel::new("find the forked child", Errno::SRCH).into()),
            }
        }
    }

    fn await_unshare(&mut self, kind: NamespaceKind) -> Result<()> {
        loop {
            match self.next_report()? {
                Some(Report::Unshared) => return Ok(()),
                Some(_) => {}
                None => {
                    return Err(Kernel::new(format!("find the child's {} namespace", kind.name()), Errno::SRCH).into());
                }
            }
        }
    }

    fn mark(&mut self, mark: &Mark, network: Network) -> Result<()> {
        let (namespace, file) = self.network(network)?;
        let tables = Tables::open(namespace.as_fd())?;
        (self.stage.record)(News::Table(Place { namespace: tables.namespace, file }))?;
        tables.mark(&self.groups, mark)
    }

    fn give(&mut self, devices: &[Device], network: Network) -> Result<()> {
        let home = Process::this()?.open_namespace(Kind::Net)?;
        let (namespace, _) = self.network(network)?;
        if procfs::ns::name_of(&home)? == procfs::ns::name_of(&namespace)? {
            let reason = "cannot be moved: the container joins the network namespace that they are in";
            return Err(Refused::new("linux.netDevices", "", reason).into());
        }
        let there = Socket::open_in(namespace.as_fd(), home.as_fd(), Protocol::Route)?;
        net_device::give(devices, [&Socket::open(Protocol::Route)?, &there], namespace.as_fd())
    }

    /// The container's net namespace, and the file by which it is joined.
    fn network(&mut self, network: Network) -> Result<(OwnedFd, Option<String>)> {
        match network {
            Network::Host => Ok((Process::this()?.open_namespace(Kind::Net)?, None)),
            Network::Own => Ok((self.child_network()?, None)),
            Network::Joined(number) => {
                let absent = || Kernel::new("find the net namespace that is joined", Errno::NOENT);
                let (_, path) = self.plan.entrance.child_joins.get(number).ok_or_else(absent)?;
                let opened = File::open(path).doing(|| format!("open the net namespace {path}"))?;
                Ok((opened.into(), Some(path.clone())))
            }
        }
    }

    /// The child's own net namespace. A child that has left has none any more, and has said why.
    fn child_network(&mut self) -> Result<OwnedFd> {
        let opened = Process::open(self.pid()?).and_then(|child| child.open_namespace(Kind::Net));
        if opened.as_ref().is_err_and(|error| matches!(error.errno(), Some(Errno::NOENT | Errno::SRCH))) {
            while let Ok(Some(_)) = self.next_report() {}
        }
        opened
    }

    /// The process that forked leaves; the one that goes on is our child too.
    fn follow(&mut self, pid: i32) -> Result<()> {
        let pidfd = sys::process::open(pid).doing(|| format!("open process {pid}"))?;
        if let Some(former) = self.child.replace(Spawned { pid, pidfd }) {
            sys::process::wait(former.pidfd.as_fd()).doing(|| "wait for the process that forked")?;
        }
        (self.stage.record)(News::Child(HostPid(pid)))
    }

    fn await_report(&mut self, awaited: Report, action: &str) -> Result<()> {
        loop {
            match self.next_report()? {
                Some(report) if report == awaited => return Ok(()),
                Some(_) => {}
                None => return Err(Kernel::new(action, Errno::SRCH).into()),
            }
        }
    }

    /// The child goes on as soon as there is a copy of its listener: where the listener is asked about what it does then,
    /// it waits for the answer.
    fn hand_over(&mut self, listener: &Listener) -> Result<()> {
        let number = loop {
            match self.next_report()? {
                Some(Report::Listener(number)) => break number,
                Some(_) => {}
                None => return Err(Kernel::new("hear of the child's seccomp listener", Errno::SRCH).into()),
            }
        };
        let pid = self.pid()?.0;
        let child = self.child.as_ref().ok_or_else(|| Kernel::new("find the child", Errno::SRCH))?;
        let copied = sys::process::copy_descriptor(child.pidfd.as_fd(), number);
        let copied = copied.doing(|| "copy the child's seccomp listener")?;
        self.release(Turn::Heard)?;
        let (_, given) = self.stage.hooks.as_ref().ok_or_else(|| Kernel::new("tell the state", Errno::INVAL))?;
        let state = &given.state;
        let state = ContainerProcessState {
            oci_version: state.oci_version.clone(),
            fds: vec![ContainerProcessState::SECCOMP_FD.to_owned()],
            pid,
            metadata: listener.metadata.clone(),
            state: oci::State { pid: state.pid.or(Some(pid)), ..state.clone() },
        };
        send_listener(&listener.path, &state, copied.as_fd())
    }

    fn run_hooks(&self, moment: Moment) -> Result<()> {
        let Some((hooks, given)) = &self.stage.hooks else { return Ok(()) };
        let pid = self.pid()?;
        let state = oci::State { pid: Some(pid.0), ..given.state.clone() };
        let place = if moment == Moment::CreateContainer { Some(pid) } else { None };
        crate::hooks::run(&moment.hooks(hooks), &Given { state, ..given.clone() }, place)
    }

    fn await_program(&mut self) -> Result<()> {
        while self.next_report()?.is_some() {}
        Ok(())
    }

    /// What the child said before it left, where that is why this side failed.
    fn told_by_child(&mut self, error: &Error) -> Option<Error> {
        if error.errno() == Some(Errno::PIPE) {
            while let Ok(Some(_)) = self.next_report() {}
        }
        self.failure.take()
    }

    /// Why a child is gone that could not say it: the kernel has killed it for want of memory.
    fn starved(&self, error: &Error) -> Option<Error> {
        if self.stage.first.is_some() || !matches!(error.errno(), Some(Errno::SRCH | Errno::PIPE)) {
            return None;
        }
        let reason = "leaves the first process too little memory: the kernel has killed it before its program ran";
        let refused =
            || Refused::new("linux.resources.memory.limit", "", reason).hint("raise it, or that of a group above");
        self.groups.oom_kills().is_some_and(|kills| kills > 0).then(|| refused().into())
    }

    fn child_failure(&mut self, step: usize, errno: Errno) -> Error {
        let count = self.plan.child.len();
        let error = match self.plan.child.get(step) {
            Some(Step::Execute { .. } | Step::Find { .. }) => command_failure(&self.plan.command, errno),
            Some(failed) => {
                let what = describe::failed_step(failed);
                let kernel = Kernel::new(format!("{what} (step {} of the child's {count})", step + 1), errno);
                hinted(kernel, failed).into()
            }
            None => Kernel::new("run the child", errno).into(),
        };
        self.failure = Some(error.clone());
        error
    }

    fn end_child(&mut self) {
        if let Some(child) = self.child.take() {
            let _ = sys::process::send_signal(child.pidfd.as_fd(), 9);
            let _ = sys::process::wait(child.pidfd.as_fd());
        }
    }

    fn running(mut self) -> Result<Running> {
        let child = self.child.take().ok_or_else(|| Kernel::new("find the child", Errno::SRCH))?;
        Ok(Running { pid: HostPid(child.pid), pidfd: child.pidfd, terminal: self.terminal.take() })
    }
}

/// Sends a listener to who decides, who may be slow, but not for ever. config-linux.md "The Container Process State".
fn send_listener(path: &str, state: &ContainerProcessState, listener: BorrowedFd<'_>) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let action = || format!("send the seccomp listener to linux.seccomp.listenerPath {path}");
    let text = serde_json::to_vec(state).map_err(std::io::Error::from).doing(action)?;
    let socket = UnixStream::connect(path).doing(action)?;
    socket.set_write_timeout(Some(PATIENCE)).doing(action)?;
    sys::socket::send(socket.as_fd(), &text, Some(listener)).doing(action)
}

/// Waits until one of two descriptors can be read; whether the first can.
fn either_readable(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> Result<bool> {
    let mut waits = [first, second].map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
    retry_on_intr(|| poll(&mut waits, None)).doing(|| "wait for the child")?;
    Ok(waits.first().is_some_and(|wait| !wait.revents().is_empty()))
}

fn hinted(kernel: Kernel, step: &Step<'_>) -> Kernel {
    match (step, kernel.errno) {
        (Step::Limit(_), Errno::PERM) => {
            kernel.hint("raising a hard limit needs CAP_SYS_RESOURCE, which carboy does not have here: ask for less")
        }
        (Step::WorkingDirectory(_), Errno::XDEV) => kernel.hint("process.cwd leads outside the container's root"),
        (Step::Scheduling(_), Errno::PERM) => kernel.hint(
            "it needs CAP_SYS_NICE; a real-time policy on cgroup v1 also linux.resources.cpu.realtimeRuntime, and \
             SCHED_DEADLINE that linux.resources.cpu.cpus is left out",
        ),
        (Step::Scheduling(_), Errno::OPNOTSUPP) => kernel.hint("this kernel has no utilization clamps"),
        (Step::MemoryPolicy { .. }, Errno::NOSYS) => kernel.hint("this kernel has no memory nodes (CONFIG_NUMA)"),
        (Step::MemoryPolicy { .. }, Errno::INVAL) => {
            kernel.hint("this kernel does not have the mode or the flags, or the container may use none of the nodes")
        }
        (Step::Affinity(_), Errno::INVAL) => kernel.hint("the container may use none of these processors"),
        (Step::Attribute { .. }, Errno::NOENT) => kernel.hint("no profile of this name is loaded"),
        (Step::Attribute { .. }, Errno::INVAL) => kernel.hint("the policy has no such label"),
        (Step::Place { .. } | Step::Mount { .. } | Step::Tmpfs { .. }, Errno::XDEV) => {
            kernel.hint("the path leads into the container's /proc, which nothing may cover")
        }
        (Step::Mount { .. }, Errno::NOTDIR) => {
            kernel.hint("proc and sysfs must be mounted on ordinary directory, which no symbolic link is")
        }
        (Step::Detach { .. }, Errno::INVAL) => kernel.hint("no mount of the container is at this place"),
        (Step::Place { .. }, Errno::INVAL) => kernel.hint("only a folder can cover a folder, and only a file a file"),
        (Step::Device { .. }, Errno::EXIST) => {
            kernel.hint("something else is there: take it away, or choose another path")
        }
        _ => kernel,
    }
}

/// Why a command cannot be executed that is no program of this machine.
pub const NO_FORMAT: &str = "exec format error";

/// Why a command cannot be executed, in the sentences that callers of runtimes know.
#[must_use]
pub fn command_failure(command: &str, errno: Errno) -> Error {
    let by_name = !command.contains('/');
    let (reason, kind) = match errno {
        Errno::NOENT if by_name => ("executable file not found in $PATH", RefusedKind::CommandNotFound),
        Errno::NOENT => ("no such file or directory", RefusedKind::CommandNotFound),
        Errno::NOTDIR => ("not a directory", RefusedKind::CommandNotFound),
        Errno::ACCESS => ("permission denied", RefusedKind::NotExecutable),
        Errno::NOEXEC => (NO_FORMAT, RefusedKind::NotExecutable),
        Errno::ISDIR => ("is a directory", RefusedKind::NotExecutable),
        errno => {
            return Kernel::new(format!("execute {command}"), errno).into();
        }
    };
    Refused::new("the command", format!("{command:?}"), reason).kind(kind).into()
}

fn time_namespace(offsets: &str) -> Result<()> {
    sys::namespace::unshare(Kinds::TIME).doing(|| "make a time namespace")?;
    if offsets.is_empty() {
        return Ok(());
    }
    Process::this()?.write("timens_offsets", offsets)
}

fn write_proc(pid: HostPid, file: &str, text: &str) -> Result<()> {
    Process::open(pid)?.write(file, text)
}

fn set_oom_score(pid: HostPid, value: i32) -> Result<()> {
    write_proc(pid, "oom_score_adj", &value.to_string()).map_err(|error| match error {
        Error::Kernel(kernel) => {
            let said = Kernel::new(format!("set process.oomScoreAdj to {value}"), kernel.errno);
            let forbidden = matches!(kernel.errno, Errno::ACCESS | Errno::PERM);
            let hint = "lowering it needs CAP_SYS_RESOURCE, which carboy does not have here";
            if forbidden { said.hint(hint).into() } else { said.into() }
        }
        error => error,
    })
}
