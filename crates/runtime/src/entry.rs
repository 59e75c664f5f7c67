//! The way into a container that runs: the namespaces of its first process, and the groups that it is in.

use cgroup::{GroupPath, Groups, Hierarchies};
use error::{Refused, Result};
use namespace::KINDS;
use oci::NamespaceKind;
use procfs::{HostPid, Process};

use crate::facts::FurtherGroups;
use crate::plan::{PidBy, RootOf, Target};

/// The namespaces of a process that are not the caller's own, by their files. The user namespace comes last: once in it,
/// the caller has no right over the others.
///
/// # Errors
/// A kernel error where the process is gone or may not be looked at.
pub fn namespaces(pid: HostPid) -> Result<Vec<(NamespaceKind, String)>> {
    namespaces_of(&Process::open(pid)?, pid)
}

fn namespaces_of(process: &Process, pid: HostPid) -> Result<Vec<(NamespaceKind, String)>> {
    let theirs = process.namespace_names()?;
    let ours = Process::this()?.namespace_names()?;
    let differs = |kind: NamespaceKind| {
        let pairs = theirs.iter().zip(&ours);
        let pair = pairs.into_iter().find(|((found, _), _)| found.name() == kind.name());
        pair.is_some_and(|((_, theirs), (_, ours))| theirs.is_some() && theirs != ours)
    };
    let differing = KINDS.into_iter().filter(|kind| differs(*kind));
    let mut namespaces: Vec<_> = differing.map(|kind| (kind, procfs::ns::path(pid, kind.name()))).collect();
    namespaces.sort_by_key(|(kind, _)| *kind == NamespaceKind::User);
    Ok(namespaces)
}

/// Where one more process of a container goes, whose first process is `pid`, and which has these groups.
///
/// # Errors
/// A kernel error where the process is gone or may not be looked at.
pub fn target(pid: HostPid, groups: &Groups) -> Result<Target> {
    let process = Process::open(pid)?;
    let namespaces = namespaces_of(&process, pid)?;
    let path = groups.path().clone();
    let attach = groups.present().map(|(index, _)| index).collect();
    let nested = groups.hierarchies().unified().zip(birthplace(&process, groups)?).into_iter().collect();
    let (steps, parents, dropped) = (Vec::new(), Vec::new(), Vec::new());
    let groups = cgroup::Plan { path, steps, attach, nested, parents, dropped };
    let further_groups = FurtherGroups::of(&process)?;
    Ok(Target { namespaces, groups, further_groups, root: RootOf::Namespace, pid: PidBy::Caller })
}

/// The group of v2 that the first process is in, where the container has nested it in its own and that can hold no process
/// itself any more.
fn birthplace(process: &Process, groups: &Groups) -> Result<Option<GroupPath>> {
    let (path, found) = (groups.path(), process.cgroup()?);
    let Some(own) = found.iter().find(|group| group.hierarchy == 0 && !group.deleted) else { return Ok(None) };
    let Some(own) = own.path.to_str().and_then(|own| own.strip_prefix(&format!("{path}/"))) else { return Ok(None) };
    if groups.can_hold_processes()? {
        return Ok(None);
    }
    GroupPath::parse("the first process's group", &format!("{path}/{own}")).map(Some)
}

/// A group within the container's that a process enters: in the hierarchies of these controllers, or in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested<'t> {
    /// The controllers; none stands for every hierarchy.
    pub controllers: Vec<&'t str>,
    /// The path from the container's group on.
    pub path: &'t str,
}

/// Sends the process into groups nested in the container's, for `field`.
///
/// # Errors
/// Refused for a path that leads out of the container's group, and for a controller of which it has no group.
pub fn nest(groups: &mut cgroup::Plan, hierarchies: &Hierarchies, field: &str, asked: &[Nested<'_>]) -> Result<()> {
    for Nested { controllers, path } in asked {
        GroupPath::parse(field, path)?;
        let place = GroupPath::parse(field, &format!("{}/{path}", groups.path))?;
        let mut chosen = Vec::new();
        for index in &groups.attach {
            let name = hierarchies.at(*index)?.to_string();
            if controllers.is_empty() || name.split(',').any(|own| controllers.contains(&own)) {
                chosen.push((*index, name));
            }
        }
        let known = |wanted: &&str| chosen.iter().any(|(_, name)| name.split(',').any(|own| own == *wanted));
        if let Some(unknown) = controllers.iter().find(|wanted| !known(wanted)) {
            let reason = "is no controller of a hierarchy in which the container has a group";
            return Err(Refused::new(field, *unknown, reason).into());
        }
        for (index, _) in chosen {
            groups.nested.retain(|(other, _)| *other != index);
            groups.nested.push((index, place.clone()));
        }
    }
    Ok(())
}
