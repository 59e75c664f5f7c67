//! A container's plan: everything that will be done to the kernel, as two lists of steps, computed without doing any.
//!
//! ```text
//! config.json --parse--> Config --plan--> Plan { host, child } --apply--> Running
//! ```

use bumpalo::Bump;
use cgroup::HierarchyIndex;
use child::{Console, Step, Turn};
use error::{Refused, Result};
use namespace::entrance::{self, Entrance, Forks, Maps};
use namespace::mnt::{self, Prepared};
use namespace::steps::Steps;
use oci::{Config, NamespaceKind, Process};
use sys::namespace::Kinds;

use crate::facts::Facts;
use crate::process::{self, Filter};

/// One thing that the host's side does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostStep {
    /// A step of the cgroup plan, by its place there: make a group, write a limit.
    Group(usize),
    /// Open a namespace that the child joins, by its place in [`Entrance::child_joins`].
    OpenNamespace(usize),
    /// Enter this pid namespace for the sake of the child.
    JoinPid(String),
    /// Make a time namespace for the child, with these offsets.
    TimeNamespace(String),
    /// Prepare a mount for the child, by its place in [`Plan::prepared`].
    Prepare(usize),
    /// Start the child.
    Clone,
    /// Learn which process goes on.
    AwaitFork,
    /// Write the id maps of the child's user namespace.
    WriteMaps(namespace::user::Maps),
    /// Make the root mount.
    MakeRoot,
    /// Put the child into the container's group of a hierarchy.
    JoinGroup(HierarchyIndex),
    /// Set how readily the kernel kills the child when memory runs out.
    OomScoreAdj(i32),
    /// Let the child go on.
    Release(Turn),
    /// Wait until the command runs.
    AwaitProgram,
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
}

/// Plans a container. `arena` holds the strings that the child's steps point to.
///
/// # Errors
/// Refused, naming the field, for anything that cannot be had.
pub fn plan<'a>(config: &Config, facts: &Facts, filter: Option<&Filter>, arena: &'a Bump) -> Result<Plan<'a>> {
    let process = config.process.as_ref().ok_or_else(|| Refused::new("process", "", "is missing"))?;
    let groups = plan_groups(config, facts)?;
    let mut steps = Steps::new(arena);
    let entrance = entrance::plan(config, &mut steps);
    steps.push(Step::NewSession);
    namespace::net::plan(config, &mut steps);
    namespace::uts::plan(config, &mut steps)?;
    let prepared = mnt::plan(config, &facts.mounts, &mut steps)?;
    if process.cwd != "/" {
        steps.push(Step::Folder(steps.inside("process.cwd", &process.cwd)?));
    }
    process::plan_streams(process, Console::Bound, &mut steps);
    process::plan_sysctls(config, &mut steps)?;
    mnt::plan_pivot(config, &mut steps)?;
    steps.push(Step::Await(Turn::Contained));
    namespace::cgroup::plan(config, &mut steps);
    process::plan(process, filter, &mut steps)?;
    let host = plan_host(config, process, (&entrance, &prepared, &groups, facts.hierarchies.unified()))?;
    Ok(Plan { host, child: steps.finish(), entrance, prepared, groups })
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
    (entrance, prepared, groups, unified): (&Entrance, &[Prepared], &cgroup::Plan, Option<HierarchyIndex>),
) -> Result<Vec<HostStep>> {
    let mut host = Vec::new();
    host.extend((0..entrance.child_joins.len()).map(HostStep::OpenNamespace));
    host.extend((0..groups.steps.len()).map(HostStep::Group));
    host.extend((0..prepared.len()).map(HostStep::Prepare));
    if let Some(offsets) = namespace::time::host(config)? {
        host.push(HostStep::TimeNamespace(offsets));
    }
    host.extend(entrance.parent_joins.clone().map(HostStep::JoinPid));
    host.push(HostStep::Clone);
    if let Some(maps) = namespace::user::host(config)?.filter(|_| entrance.maps == Maps::Written) {
        host.push(HostStep::WriteMaps(maps));
        host.push(HostStep::Release(Turn::Mapped));
    }
    if entrance.forks == Forks::Once {
        host.push(HostStep::AwaitFork);
    }
    host.push(HostStep::MakeRoot);
    host.push(HostStep::Release(Turn::Root));
    host.extend(joins(groups, unified));
    host.extend(process.oom_score_adj.map(HostStep::OomScoreAdj));
    host.push(HostStep::Release(Turn::Contained));
    host.push(HostStep::AwaitProgram);
    Ok(host)
}

/// A container that one more process enters.
#[derive(Debug, Clone)]
pub struct Target {
    /// The namespace files of its first process that are not the caller's own: the user namespace last.
    pub namespaces: Vec<(NamespaceKind, String)>,
    /// Its groups.
    pub groups: cgroup::Plan,
    /// The v2 hierarchy, if the host has one.
    pub unified: Option<HierarchyIndex>,
}

/// The groups that a process must be moved into: into that of v2 it is born.
fn joins(groups: &cgroup::Plan, unified: Option<HierarchyIndex>) -> impl Iterator<Item = HostStep> {
    groups.attach.iter().copied().filter(move |index| Some(*index) != unified).map(HostStep::JoinGroup)
}

/// Plans one more process in a running container.
///
/// # Errors
/// As [`plan`].
pub fn plan_exec<'a>(target: &Target, process: &Process, filter: Option<&Filter>, arena: &'a Bump) -> Result<Plan<'a>> {
    let mut steps = Steps::new(arena);
    let mut entrance = Entrance {
        clone: Kinds::NONE,
        parent_joins: None,
        child_joins: Vec::new(),
        forks: Forks::No,
        maps: Maps::None,
    };
    for (kind, path) in &target.namespaces {
        if *kind == NamespaceKind::Pid {
            entrance.parent_joins = Some(path.clone());
            continue;
        }
        steps.push(Step::Join { handle: entrance.child_joins.len(), kinds: namespace::bit(*kind) });
        entrance.child_joins.push((*kind, path.clone()));
    }
    steps.push(Step::NewSession);
    steps.push(Step::AdoptRoot);
    process::plan_streams(process, Console::None, &mut steps);
    steps.push(Step::Await(Turn::Contained));
    process::plan(process, filter, &mut steps)?;
    let mut host: Vec<_> = (0..entrance.child_joins.len()).map(HostStep::OpenNamespace).collect();
    host.extend(entrance.parent_joins.clone().map(HostStep::JoinPid));
    host.push(HostStep::Clone);
    host.extend(joins(&target.groups, target.unified));
    host.extend(process.oom_score_adj.map(HostStep::OomScoreAdj));
    host.extend([HostStep::Release(Turn::Contained), HostStep::AwaitProgram]);
    Ok(Plan { host, child: steps.finish(), entrance, prepared: Vec::new(), groups: target.groups.clone() })
}
