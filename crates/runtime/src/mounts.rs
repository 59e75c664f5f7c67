//! Mounts that a container gets, or loses, while it runs: planned as those that it is made with, and done by a process that
//! joins its namespaces. What the host prepares is detached until it is in its place.

use std::os::fd::{AsFd, BorrowedFd};

use bumpalo::Bump;
use cgroup::Hierarchies;
use child::{Step, Turn};
use error::{Doing, Errno, Kernel, Refused, Result};
use namespace::entrance::{Entrance, Forks};
use namespace::mnt;
use namespace::steps::Steps;
use oci::{Config, Mount, NamespaceKind};
use sys::namespace::Kinds;
use sys::process::Ended;

use crate::apply::{self, Stage};
use crate::facts;
use crate::plan::{HostStep, Plan, RootOf, Target};
use crate::root::Root;

/// What becomes of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They are made.
    Add,
    /// What is at their destinations is unmounted.
    Remove,
}

/// What mounts need to know of the host.
///
/// # Errors
/// A kernel error.
pub fn read(mounts: &[Mount]) -> Result<mnt::Facts> {
    facts::of_mounts(mounts)
}

/// Plans the change of mounts in a container with this configuration. Its groups play no part: also one that is paused can
/// be changed.
///
/// # Errors
/// Refused for what cannot be mounted, or only when a container is made.
pub fn plan<'a>(
    target: &Target,
    config: &Config,
    (change, mounts, facts): (Change, &[Mount], &mnt::Facts),
    arena: &'a Bump,
) -> Result<Plan<'a>> {
    let mut steps = Steps::new(arena);
    let mut entrance = Entrance::staying();
    for (kind, path) in &target.namespaces {
        steps.push(Step::Join { handle: entrance.child_joins.len(), kinds: namespace::bit(*kind) });
        entrance.child_joins.push((*kind, path.clone()));
        match kind {
            NamespaceKind::Pid => {
                steps.push(Step::Fork(Kinds::NONE));
                entrance.forks = Forks::Once;
            }
            NamespaceKind::User => steps.push(Step::BecomeRoot),
            _ => {}
        }
    }
    // What a process that has forked says must not come before the word of its former self.
    match target.root {
        RootOf::Namespace => {
            steps.push(Step::AdoptRoot);
            steps.push(Step::Await(Turn::Ready));
        }
        RootOf::FirstProcess => steps.push(Step::Await(Turn::Root)),
    }
    steps.push(Step::Umask(0));
    let mut prepared = Vec::new();
    match change {
        Change::Add => {
            let of_groups = |mount: &&Mount| matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"));
            if let Some(mount) = mounts.iter().find(of_groups) {
                let field = format!("mounts[{}].type", mount.destination);
                let kind = mount.kind.clone().unwrap_or_default();
                return Err(Refused::new(field, kind, "can only be mounted when the container is made").into());
            }
            mnt::plan_mounts(config, mounts, facts, (&mut steps, &mut prepared))?;
        }
        Change::Remove => mnt::plan_removal(mounts, &mut steps)?,
    }
    // Whoever waits for the hooks has done all before.
    steps.push(Step::Await(Turn::Hooked));
    let mut host: Vec<_> = (0..entrance.child_joins.len()).map(HostStep::OpenNamespace).collect();
    host.extend((0..prepared.len()).map(HostStep::Prepare));
    host.extend([HostStep::Confirm, HostStep::Clone]);
    if entrance.forks == Forks::Once {
        host.push(HostStep::AwaitFork);
    }
    match target.root {
        RootOf::Namespace => host.push(HostStep::Release(Turn::Ready)),
        RootOf::FirstProcess => host.extend([HostStep::MakeRoot, HostStep::Release(Turn::Root)]),
    }
    host.push(HostStep::AwaitMounts);
    let groups = cgroup::Plan { attach: Vec::new(), nested: Vec::new(), ..target.groups.clone() };
    Ok(Plan { host, child: steps.finish(), entrance, prepared, groups, command: String::new() })
}

/// Does what a plan says; `first` is the container's first process, whose namespaces are joined, and `root` its root.
///
/// # Errors
/// The step that failed, on either side.
pub fn apply(plan: &Plan<'_>, first: BorrowedFd<'_>, root: &Root) -> Result<()> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stage = Stage {
        hierarchies: &Hierarchies::default(),
        groups: None,
        mounted: &[],
        root: Some(root),
        standard: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        record: &mut |_| Ok(()),
        first: Some(first),
        gate: None,
        connect: None,
        hooks: None,
    };
    let done = apply::start(plan, stage)?;
    let action = || "wait for the process that mounts";
    match sys::process::wait(done.pidfd.as_fd()).doing(action)? {
        Ended::Killed(_) => Err(Kernel::new(action(), Errno::INTR).hint("it was killed").into()),
        Ended::Exited(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use cgroup::GroupPath;

    use super::*;
    use crate::describe;
    use crate::facts::FurtherGroups;
    use crate::plan::PidBy;

    fn target(kinds: &[NamespaceKind]) -> Target {
        let path = GroupPath::parse("group", "/web").unwrap();
        let (steps, attach, nested) = (Vec::new(), Vec::new(), Vec::new());
        Target {
            namespaces: kinds.iter().map(|kind| (*kind, format!("/proc/7/ns/{}", kind.name()))).collect(),
            groups: cgroup::Plan { path, steps, attach, nested, parents: Vec::new(), dropped: Vec::new() },
            further_groups: FurtherGroups::Set,
            root: RootOf::Namespace,
            pid: PidBy::Child,
        }
    }

    fn planned(change: Change, kinds: &[NamespaceKind], mounts: &str) -> Result<Vec<String>> {
        let config = Config::parse(br#"{"ociVersion":"1.3.0","root":{"path":"r"}}"#).unwrap();
        let mounts: Vec<Mount> = oci::document::parse("mounts", mounts.as_bytes()).unwrap();
        let arena = Bump::new();
        let plan = plan(&target(kinds), &config, (change, &mounts, &mnt::Facts::default()), &arena)?;
        let host = plan.host.iter().map(|step| describe::host_step(step, &plan).what);
        Ok(host.chain(plan.child.iter().map(|step| describe::child_step(step).what)).collect())
    }

    #[test]
    fn a_process_joins_the_container_and_mounts_in_its_root() {
        let kinds = [NamespaceKind::Mnt, NamespaceKind::Pid, NamespaceKind::User];
        let tmpfs = r#"[{"destination":"/new","type":"tmpfs","options":["mode=700"]}]"#;
        let steps = planned(Change::Add, &kinds, tmpfs).unwrap();
        let expected = [
            "open the mnt namespace /proc/7/ns/mnt",
            "open the pid namespace /proc/7/ns/pid",
            "open the user namespace /proc/7/ns/user",
            "make sure that the container's first process still lives",
            "clone the child with new namespaces: no",
            "learn which process goes on",
            "tell the child of the word to go on",
            "wait until its mounts are made",
            "join the mnt namespace",
            "join the pid namespace",
            "fork into the pid namespace",
            "join the user namespace",
            "become root of the user namespace",
            "open the container's root",
            "wait for the word to go on",
            "set the umask 0000",
            "mount tmpfs at /new",
            "wait for the end of the hooks",
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn what_is_removed_is_told_by_its_destination_alone() {
        let steps = planned(Change::Remove, &[NamespaceKind::Mnt], r#"[{"destination":"/a/../b/./c"}]"#).unwrap();
        assert!(steps.contains(&"unmount what is at /b/c".to_owned()), "{steps:?}");
        let said = planned(Change::Remove, &[], r#"[{"destination":"/.."}]"#).unwrap_err().to_string();
        assert!(said.contains("mounts.destination /..: is the container's root"), "{said}");
    }

    #[test]
    fn the_groups_cannot_be_mounted_later() {
        let said = planned(Change::Add, &[], r#"[{"destination":"/g","type":"cgroup"}]"#).unwrap_err().to_string();
        assert!(said.contains("mounts[/g].type cgroup"), "{said}");
    }
}
