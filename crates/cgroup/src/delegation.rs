//! Where a user who is not root may make groups: in a part of the v2 tree that was handed over.
//!
//! cgroup-v2.rst "Delegation": who may write to a group's folder, its `cgroup.procs` and its `cgroup.subtree_control` may
//! make groups below it and move processes between them. systemd hands over a user's own manager, and units with
//! `Delegate=`. v1 is never handed over: its controllers were not made for it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use error::Result;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::file::{PROCS, SUBTREE_CONTROL_V2};
use crate::hierarchy::{Hierarchies, HierarchyIndex};
use crate::path::GroupPath;
use crate::tree;

/// A part of the v2 tree that the caller may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegated {
    /// The v2 hierarchy.
    pub hierarchy: HierarchyIndex,
    /// The highest group of the part: what the caller makes is below it.
    pub top: GroupPath,
}

/// Finds the part of the v2 tree that was handed over to the caller, by what the caller may write to. `None` without v2,
/// and where the caller's own group is somebody else's.
///
/// # Errors
/// A kernel error where the hierarchy cannot be opened.
pub fn read(hierarchies: &Hierarchies) -> Result<Option<Delegated>> {
    let own = hierarchies.unified().and_then(|index| hierarchies.at(index).ok()?.own.as_ref()?.to_str());
    match own.and_then(|own| GroupPath::parse("the caller's own group", own).ok()) {
        Some(own) => around(hierarchies, own),
        None => Ok(None),
    }
}

/// The part of the v2 tree around a group, as far up as the caller may write.
///
/// # Errors
/// As [`read`].
pub fn around(hierarchies: &Hierarchies, group: GroupPath) -> Result<Option<Delegated>> {
    let Some(index) = hierarchies.unified() else { return Ok(None) };
    let hierarchy = hierarchies.at(index)?;
    if hierarchy.obstacle.is_some() {
        return Ok(None);
    }
    let root = hierarchy.open()?;
    let handed_over = |path: &GroupPath| {
        let group = tree::open(&root, path.relative());
        group.is_ok_and(|group| writable(&group))
    };
    // Without a gap: a process is moved only by who may write to the group above both ends of the way.
    let upwards = std::iter::successors(Some(group), GroupPath::parent);
    let top = upwards.take_while(handed_over).last();
    Ok(top.map(|top| Delegated { hierarchy: index, top }))
}

/// Whether the caller may make groups in the root of a mount.
pub(crate) fn may_write(mount_point: &Path) -> bool {
    accessat(CWD, mount_point, Access::WRITE_OK, AtFlags::EACCESS) != Err(Errno::ACCESS)
}

fn writable(group: &OwnedFd) -> bool {
    let may = |name: &str| accessat(group.as_fd(), name, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    may(".") && may(PROCS) && may(SUBTREE_CONTROL_V2)
}

#[cfg(test)]
mod kernel {
    use std::process::Command;

    use rustix::fs::{Gid, Uid, chown};

    use super::*;
    use crate::facts::HostFacts;
    use crate::group::Groups;
    use crate::plan::{Asked, Role, Step, plan};

    const NOBODY: u32 = 65_534;
    const TEST: &str = "delegation::kernel::a_user_makes_groups_in_what_was_handed_over_and_nowhere_else";

    #[test]
    fn a_user_makes_groups_in_what_was_handed_over_and_nowhere_else() {
        if rustix::process::geteuid().is_root() { as_root() } else { as_user() }
    }

    /// Hands a group over, and runs this test in it as another user.
    fn as_root() {
        let hierarchies = Hierarchies::read().unwrap();
        let hierarchy = hierarchies.at(hierarchies.unified().expect("this host has no v2 tree")).unwrap();
        let name = format!("carboy-test-delegated-{}", std::process::id());
        let top = hierarchy.mount_point.join(&name);
        let session = top.join("session");
        std::fs::create_dir(&top).unwrap();
        std::fs::create_dir(&session).unwrap();
        for group in [&top, &session] {
            for name in [".", PROCS, SUBTREE_CONTROL_V2, "cgroup.threads"] {
                chown(group.join(name), Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
            }
        }
        // The user may not be let into the folder that this program was built in.
        let program = std::env::temp_dir().join(&name);
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let script = "echo 0 > \"$1\" && shift && exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(session.join(PROCS)).arg(&program).args(["--exact", TEST]);
        let output = command.output().unwrap();
        let removed = [session, top].map(std::fs::remove_dir);
        std::fs::remove_file(&program).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        assert!(removed.iter().all(std::result::Result::is_ok), "{removed:?}");
    }

    fn as_user() {
        let hierarchies = Hierarchies::read().unwrap();
        let found = read(&hierarchies).unwrap().expect("nothing was handed over to this user");
        assert_eq!(found.top.ancestors().len(), 1, "the root is not handed over");
        let path = found.top.child("test", "mine").unwrap();
        let asked = Asked { resources: &oci::Resources::default(), defaulted: &[] };
        let facts = HostFacts::read(&hierarchies, &path).unwrap();
        let plan = plan(&hierarchies, &facts, &path, &asked).unwrap();
        let mut groups = Groups::prepare(&hierarchies, &plan).unwrap();
        for step in &plan.steps {
            let here = step.place().hierarchy == found.hierarchy;
            match step {
                Step::Make(_, Role::Container) => assert_eq!(groups.apply(step).is_ok(), here, "{step}"),
                Step::Measure(..) if here => groups.apply(step).unwrap(),
                _ => {}
            }
        }
        let mut sleeper = Command::new("sleep").arg("100").spawn().unwrap();
        let joined = groups.attach(found.hierarchy, rustix::process::Pid::from_child(&sleeper));
        let inside = groups.processes();
        let killed = groups.kill();
        sleeper.wait().unwrap();
        let left = groups.remove(&[]);
        assert_eq!((joined, inside.unwrap().len(), killed, left), (Ok(()), 1, Ok(()), Vec::new()));
    }
}
