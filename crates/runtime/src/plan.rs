//! A container's plan: everything that will be done to the kernel, as two lists of steps, computed without doing any.
//!
//! ```text
//! config.json --parse--> Config --plan--> Plan { host, child } --apply--> Running
//! ```

#[cfg(test)]
mod tests;

use bumpalo::Bump;
use cgroup::mark::Mark;
use cgroup::{Hierarchies, HierarchyIndex};
use child::{Console, Step, Turn};
use error::{Refused, Result};
use namespace::Relation;
use namespace::entrance::{self, Entrance, Forks, Maps};
use namespace::mnt::{self, Prepared};
use namespace::steps::Steps;
use oci::{Config, NamespaceKind, Process};
use sys::namespace::Kinds;

use crate::delegate;
use crate::facts::{Facts, FurtherGroups};
use crate::net_device::{self, Device};
use crate::process::{self, Affinity, Listener, Orphans, Start, Terms};
use crate::{label, resctrl, scheduler};

/// One thing that the host's side does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostStep {
    /// A step of the cgroup plan, by its place there: make a group, write a limit.
    Group(usize),
    /// Open a namespace that the child joins, by its place in [`Entrance::child_joins`].
    OpenNamespace(usize),
    /// Enter this pid namespace for the sake of the child.
    JoinPid(String),
    /// Make sure that the first process, whose namespaces were opened by its number, still lives.
    Confirm,
    /// Make a time namespace for the child, with these offsets.
    TimeNamespace(String),
    /// Prepare a mount for the child, by its place in [`Plan::prepared`].
    Prepare(usize),
    /// Put the child into a group of resctrl.
    Resctrl(resctrl::Group),
    /// Run on these processors, for the sake of the child: bit N for processor N.
    Affinity(Vec<u64>),
    /// Start the child.
    Clone,
    /// Learn which process goes on.
    AwaitFork,
    /// Wait until the child has made its namespace of this kind, user or net.
    AwaitUnshare(NamespaceKind),
    /// Write the id maps of the child's user namespace.
    WriteMaps(namespace::user::Maps),
    /// Make the root mount.
    MakeRoot,
    /// Put on record which mount it is, in a mount namespace that does not go with the container.
    RecordRoot,
    /// Open the file by which the child joins the container's group of a v1 hierarchy.
    OpenGroup(HierarchyIndex),
    /// Take the file by which the child joins the group that its container manages itself.
    OpenDelegated,
    /// Set how readily the kernel kills the child when memory runs out.
    OomScoreAdj(i32),
    /// Mark the packets that the container sends.
    Mark(Mark, Network),
    /// Move these devices of the host into the container's network namespace.
    NetDevices(Vec<Device>, Network),
    /// Connect the container's network namespace as its caller knows: what that is, in words.
    Connect(Vec<String>, Network),
    /// Let the child go on.
    Release(Turn),
    /// Wait until the mounts are made.
    AwaitMounts,
    /// Run the hooks of this moment.
    Hooks(Moment),
    /// Take the descriptor by which the child's system calls are asked about, and send it to who decides about them.
    Listener(Listener),
    /// Wait until the child is ready for its program to be started.
    AwaitGate,
    /// Wait until the command runs.
    AwaitProgram,
}

/// A moment of a container's life at which hooks run. Runtime specification, config.md "POSIX-platform Hooks".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// `prestart` and `createRuntime`: in the caller's namespaces, when the container's are there.
    CreateRuntime,
    /// `createContainer`: in the container's namespaces, before its root is the only one.
    CreateContainer,
    /// `startContainer`: in the container, right before its program.
    StartContainer,
    /// `poststart`: in the caller's namespaces, when the program runs.
    Poststart,
    /// `poststop`: in the caller's namespaces, when the container is deleted.
    Poststop,
}

impl Moment {
    /// The hooks that run then.
    #[must_use]
    pub fn hooks(self, hooks: &oci::Hooks) -> Vec<(&'static str, &oci::Hook)> {
        let names: &[&str] = match self {
            Self::CreateRuntime => &["prestart", "createRuntime"],
            Self::CreateContainer => &["createContainer"],
            Self::StartContainer => &["startContainer"],
            Self::Poststart => &["poststart"],
            Self::Poststop => &["poststop"],
        };
        let chosen = hooks.iter().filter(|(name, _)| names.contains(name));
        chosen.flat_map(|(name, hooks)| hooks.iter().map(move |hook| (name, hook))).collect()
    }
}

/// The network namespace that a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The caller's.
    Host,
    /// One that the child joins, by its place in [`Entrance::child_joins`].
    Joined(usize),
    /// One that the child makes, or is born in.
    Own,
}

/// A container's plan.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What the host's side does, in order.
    pub host: Vec<HostStep>,
    /// What the child does, in order.
    pub child: Vec<Step<'a>>,
    /// The way into the namespaces.
    pub entrance: Entrance,
    /// The mounts that the host's side prepares.
    pub prepared: Vec<Prepared>,
    /// The groups and their limits.
    pub groups: cgroup::Plan,
    /// The command, as it was asked for.
    pub command: String,
}

/// Plans a container. `arena` holds the strings that the child's steps point to.
///
/// # Errors
/// Refused, naming the field, for anything that cannot be had.
pub fn plan<'a>(config: &Config, facts: &Facts, terms: &Terms<'_>, arena: &'a Bump) -> Result<Plan<'a>> {
    let process = config.process.as_ref().ok_or_else(|| Refused::new("process", "", "is missing"))?;
    scheduler::check_affinity(process)?;
    let mut groups = plan_groups(config, facts)?;
    let delegated = delegate::plan(config, facts)?;
    let first_later = groups.steps.len() + usize::from(delegated.is_some());
    groups.steps.extend(delegated.into_iter().flatten());
    let terms = &Terms { linux: config.linux.as_ref(), ..*terms };
    let mut steps = Steps::new(arena);
    let joins = joins(&groups, &facts.hierarchies);
    plan_joins(&joins, &facts.hierarchies, &mut steps)?;
    if terms.affinity == Affinity::Reset {
        scheduler::plan_every_processor(&mut steps);
    }
    label::plan(process, terms.modules, &mut steps)?;
    let entrance = entrance::plan(config, &mut steps);
    namespace::cgroup::plan(config, &mut steps);
    if first_later < groups.steps.len() {
        // Behind the namespace, whose root so is the container's group, as crun has it.
        steps.push(Step::JoinGroup { handle: joins.len(), hierarchy: c"delegated" });
    }
    process::plan_keyring(terms, Some(process::keyring_permissions(config)), &mut steps)?;
    steps.push(Step::NewSession);
    namespace::net::plan(config, &mut steps);
    namespace::uts::plan(config, &mut steps)?;
    let prepared = mnt::plan(config, &facts.mounts, &mut steps)?;
    if process.cwd != "/" {
        steps.push(Step::Folder(steps.inside("process.cwd", &process.cwd)?));
    }
    process::plan_streams(process, Console::Bound, &mut steps);
    if !terms.connections.is_empty() {
        steps.push(Step::Await(Turn::Connected));
    }
    process::plan_sysctls(config, &mut steps)?;
    let hooks = hooks(config);
    if !hooks.is_empty() {
        steps.push(Step::Await(Turn::Hooked));
    }
    mnt::plan_jail(config, &facts.mounts, &mut steps)?;
    process::plan(process, terms, facts.further_groups, &mut steps)?;
    let mut host =
        plan_host(config, process, (&entrance, &prepared, groups.steps.get(..first_later).unwrap_or_default(), joins))?;
    plan_resctrl(terms, resctrl::plan, &mut host)?;
    plan_mark(config, facts, &entrance, &mut host)?;
    plan_net_devices(config, &entrance, &mut host);
    host.push(HostStep::MakeRoot);
    if !mnt::keeps_its_mounts(config) {
        host.push(HostStep::RecordRoot);
    }
    host.push(HostStep::Release(Turn::Root));
    plan_connections(config, (&entrance, terms), &mut host);
    if !hooks.is_empty() {
        host.push(HostStep::AwaitMounts);
        host.extend(hooks.into_iter().map(HostStep::Hooks));
        host.push(HostStep::Release(Turn::Hooked));
    }
    host.extend(listener(terms));
    host.push(if terms.start == Start::Later { HostStep::AwaitGate } else { HostStep::AwaitProgram });
    host.extend((first_later..groups.steps.len()).map(HostStep::Group));
    let command = process.args.first().cloned().unwrap_or_default();
    Ok(Plan { host, child: steps.finish(), entrance, prepared, groups, command })
}

fn listener(terms: &Terms<'_>) -> Option<HostStep> {
    terms.filter.and_then(|filter| filter.listener.clone()).map(HostStep::Listener)
}

/// The moments before the root is the only one at which there is something to run.
fn hooks(config: &Config) -> Vec<Moment> {
    let Some(hooks) = &config.hooks else { return Vec::new() };
    let moments = [Moment::CreateRuntime, Moment::CreateContainer];
    moments.into_iter().filter(|moment| !moment.hooks(hooks).is_empty()).collect()
}

fn plan_groups(config: &Config, facts: &Facts) -> Result<cgroup::Plan> {
    let none = oci::Resources::default();
    let resources = config.linux.as_ref().and_then(|linux| linux.resources.as_ref()).unwrap_or(&none);
    let asked = cgroup::Asked { resources, defaulted: &facts.defaulted };
    cgroup::plan(&facts.hierarchies, &facts.cgroup, &facts.group, &asked)
}

fn plan_host(
    config: &Config,
    process: &Process,
    (entrance, prepared, groups, joins): (&Entrance, &[Prepared], &[cgroup::plan::Step], Vec<HierarchyIndex>),
) -> Result<Vec<HostStep>> {
    let mut host = Vec::new();
    host.extend((0..entrance.child_joins.len()).map(HostStep::OpenNamespace));
    host.extend((0..groups.len()).map(HostStep::Group));
    host.extend((0..prepared.len()).map(HostStep::Prepare));
    host.extend(joins.into_iter().map(HostStep::OpenGroup));
    if let Some(cgroup::plan::Step::Delegate(..)) = groups.last() {
        host.push(HostStep::OpenDelegated);
    }
    if let Some(offsets) = namespace::time::host(config)? {
        host.push(HostStep::TimeNamespace(offsets));
    }
    host.extend(entrance.parent_joins.clone().map(HostStep::JoinPid));
    host.push(HostStep::Clone);
    if let Some(maps) = namespace::user::host(config)?.filter(|_| entrance.maps == Maps::Written) {
        if !entrance.clone.contains(Kinds::USER) {
            host.push(HostStep::AwaitUnshare(NamespaceKind::User));
        }
        host.push(HostStep::WriteMaps(maps));
        host.push(HostStep::Release(Turn::Mapped));
    }
    if entrance.forks == Forks::Once {
        host.push(HostStep::AwaitFork);
    }
    host.extend(process.oom_score_adj.map(HostStep::OomScoreAdj));
    Ok(host)
}

/// The process is in its group before its program runs, and so is all that it starts.
fn plan_resctrl(
    terms: &Terms<'_>,
    plan: fn(&oci::IntelRdt, &resctrl::Place) -> Result<resctrl::Group>,
    host: &mut Vec<HostStep>,
) -> Result<()> {
    let asked = terms.linux.and_then(|linux| linux.intel_rdt.as_ref());
    if let Some((asked, place)) = asked.zip(terms.resctrl) {
        host.push(HostStep::Resctrl(plan(asked, place)?));
    }
    Ok(())
}

/// The rule stands in the namespace before the command can send anything, and the namespace must be there before the rule:
/// a child that forks has made it before that.
fn plan_mark(config: &Config, facts: &Facts, entrance: &Entrance, host: &mut Vec<HostStep>) -> Result<()> {
    let resources = config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let asked = resources.and_then(|resources| resources.network.as_ref());
    let Some(mark) = cgroup::mark::plan(&facts.hierarchies, &facts.group, asked)? else { return Ok(()) };
    let network = plan_network(config, entrance, host);
    host.push(HostStep::Mark(mark, network));
    Ok(())
}

/// The devices are there before the hooks look for them.
fn plan_net_devices(config: &Config, entrance: &Entrance, host: &mut Vec<HostStep>) {
    let devices = net_device::plan(config.linux.as_ref());
    if !devices.is_empty() {
        let network = plan_network(config, entrance, host);
        host.push(HostStep::NetDevices(devices, network));
    }
}

/// They are made while the child mounts, which takes as long. Its settings may be those of a network's link, and the program
/// finds its networks as they are to be.
fn plan_connections(config: &Config, (entrance, terms): (&Entrance, &Terms<'_>), host: &mut Vec<HostStep>) {
    if !terms.connections.is_empty() {
        let network = plan_network(config, entrance, host);
        host.push(HostStep::Connect(terms.connections.to_vec(), network));
        host.push(HostStep::Release(Turn::Connected));
    }
}

/// The network namespace that the container uses, once it is there.
fn plan_network(config: &Config, entrance: &Entrance, host: &mut Vec<HostStep>) -> Network {
    let network = match namespace::relation(config, NamespaceKind::Net) {
        Relation::Host => Network::Host,
        Relation::Own => Network::Own,
        Relation::Joined(_) => {
            let joined = entrance.child_joins.iter().position(|(kind, _)| *kind == NamespaceKind::Net);
            joined.map_or(Network::Host, Network::Joined)
        }
    };
    let made = HostStep::AwaitUnshare(NamespaceKind::Net);
    let is_made_later = !entrance.clone.contains(Kinds::NET) && entrance.forks == Forks::No;
    if network == Network::Own && is_made_later && !host.contains(&made) {
        host.push(made);
    }
    network
}

/// A container that one more process enters.
#[derive(Debug, Clone)]
pub struct Target {
    /// The namespace files of its first process that are not the caller's own: the user namespace last.
    pub namespaces: Vec<(NamespaceKind, String)>,
    /// Its groups.
    pub groups: cgroup::Plan,
    /// Whether a process gets supplementary groups there.
    pub further_groups: FurtherGroups,
    /// Where a process finds its root there.
    pub root: RootOf,
    /// Who enters the pid namespace.
    pub pid: PidBy,
}

/// Who enters the pid namespace of a container for one more process of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidBy {
    /// The caller, for every child that it has from then on.
    Caller,
    /// The child, which forks once more: the caller's later children stay where the caller is.
    Child,
}

/// Whose root a process that enters a container takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootOf {
    /// That of the container's mount namespace.
    Namespace,
    /// That of its first process, whose mount namespace is others' too.
    FirstProcess,
}

/// The v1 hierarchies whose groups the process joins: into that of v2 it is born.
fn joins(groups: &cgroup::Plan, hierarchies: &Hierarchies) -> Vec<HierarchyIndex> {
    let unified = hierarchies.unified();
    groups.attach.iter().copied().filter(|index| Some(*index) != unified).collect()
}

fn plan_joins(joins: &[HierarchyIndex], hierarchies: &Hierarchies, steps: &mut Steps<'_>) -> Result<()> {
    for (handle, index) in joins.iter().enumerate() {
        let hierarchy = steps.text("the hierarchy", &hierarchies.at(*index)?.to_string())?;
        steps.push(Step::JoinGroup { handle, hierarchy });
    }
    Ok(())
}

/// The processors of one more process: the first before it joins the groups, for its parent to run on and it to inherit;
/// the last, set when it has joined them.
fn plan_affinity(process: &Process, terms: &Terms<'_>, steps: &mut Steps<'_>) -> Result<Option<Vec<u64>>> {
    let none = oci::CpuAffinity::default();
    let oci::CpuAffinity { initial, last } = process.exec_cpu_affinity.as_ref().unwrap_or(&none);
    if let Some(list) = last {
        let mask = scheduler::processors("process.execCPUAffinity.final", list)?;
        let mask = steps.slice(&mask);
        steps.push(Step::Affinity(mask));
    } else if initial.is_none() && terms.affinity == Affinity::Reset {
        scheduler::plan_every_processor(steps);
    }
    initial.as_ref().map(|list| scheduler::processors("process.execCPUAffinity.initial", list)).transpose()
}

/// Plans one more process in a running container.
///
/// # Errors
/// As [`plan`].
pub fn plan_exec<'a>(
    (target, hierarchies): (&Target, &Hierarchies),
    process: &Process,
    terms: &Terms<'_>,
    arena: &'a Bump,
) -> Result<Plan<'a>> {
    let mut steps = Steps::new(arena);
    let joins = joins(&target.groups, hierarchies);
    plan_joins(&joins, hierarchies, &mut steps)?;
    let first = plan_affinity(process, terms, &mut steps)?;
    label::plan(process, terms.modules, &mut steps)?;
    let mut entrance = Entrance::staying();
    for (kind, path) in &target.namespaces {
        if *kind == NamespaceKind::Pid && target.pid == PidBy::Caller {
            entrance.parent_joins = Some(path.clone());
            continue;
        }
        steps.push(Step::Join { handle: entrance.child_joins.len(), kinds: namespace::bit(*kind) });
        entrance.child_joins.push((*kind, path.clone()));
        if *kind == NamespaceKind::Pid {
            steps.push(Step::Fork(Kinds::NONE));
            entrance.forks = Forks::Once;
        }
    }
    process::plan_keyring(terms, None, &mut steps)?;
    steps.push(Step::NewSession);
    if terms.orphans == Orphans::Kept {
        steps.push(Step::KeepOrphans);
    }
    match target.root {
        RootOf::Namespace => steps.push(Step::AdoptRoot),
        RootOf::FirstProcess => {
            steps.push(Step::Await(Turn::Root));
            steps.push(Step::ChangeRoot);
        }
    }
    process::plan_streams(process, Console::None, &mut steps);
    steps.push(Step::Await(Turn::Ready));
    process::plan(process, terms, target.further_groups, &mut steps)?;
    let mut host: Vec<_> = joins.into_iter().map(HostStep::OpenGroup).collect();
    host.extend((0..entrance.child_joins.len()).map(HostStep::OpenNamespace));
    host.extend(entrance.parent_joins.clone().map(HostStep::JoinPid));
    host.extend(first.map(HostStep::Affinity));
    host.extend([HostStep::Confirm, HostStep::Clone]);
    if entrance.forks == Forks::Once {
        host.push(HostStep::AwaitFork);
    }
    if target.root == RootOf::FirstProcess {
        host.extend([HostStep::MakeRoot, HostStep::Release(Turn::Root)]);
    }
    host.extend(process.oom_score_adj.map(HostStep::OomScoreAdj));
    plan_resctrl(terms, resctrl::plan_entry, &mut host)?;
    host.push(HostStep::Release(Turn::Ready));
    host.extend(listener(terms));
    host.push(HostStep::AwaitProgram);
    let (groups, command) = (target.groups.clone(), process::command(process, terms));
    Ok(Plan { host, child: steps.finish(), entrance, prepared: Vec::new(), groups, command })
}
