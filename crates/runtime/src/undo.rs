//! Taking away what a plan made on the host. Everything else of a container lives and dies with its processes.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;

use bumpalo::Bump;
use cgroup::mark::{self, Place};
use cgroup::plan::Parent;
use cgroup::{GroupPath, Groups, Hierarchies, Left};
use child::{REPORT_LENGTH, Report, Scene, Step};
use error::{Doing, Errno, Kernel, Result};
use namespace::steps::Steps;
use sys::namespace::Kinds;
use sys::process::Ended;

/// Removes a container's groups, whose processes are gone, and those of `parents` that nothing else uses.
///
/// # Errors
/// A kernel error where they cannot be looked at. What could not be removed is given, not an error.
pub fn remove(hierarchies: &Hierarchies, path: &GroupPath, parents: &[Parent]) -> Result<Vec<Left>> {
    Ok(Groups::open(hierarchies, path)?.remove(parents))
}

/// Kills what is left in a container's groups first, if there is anything.
///
/// # Errors
/// As [`remove`], and where something cannot be killed.
pub fn kill_and_remove(hierarchies: &Hierarchies, path: &GroupPath, parents: &[Parent]) -> Result<Vec<Left>> {
    // The usual end: nothing is left in them.
    if parents.is_empty() && cgroup::remove_idle(hierarchies, path) {
        return Ok(Vec::new());
    }
    let groups = Groups::open(hierarchies, path)?;
    if !groups.remove_empty() {
        groups.kill()?;
    }
    Ok(groups.remove(parents))
}

/// Unmounts a container's root from its folder, where it was mounted in the caller's mount namespace or in that of a file.
/// What is mounted there and has another id stays.
///
/// # Errors
/// A kernel error.
pub fn uncover(folder: &str, id: u64, namespace: Option<&str>) -> Result<()> {
    let arena = Bump::new();
    let mut steps = Steps::new(&arena);
    let joined = match namespace.map(File::open).transpose() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.doing(|| "open the mount namespace that was joined")?,
    };
    if joined.is_some() {
        steps.push(Step::Join { handle: 0, kinds: Kinds::MNT });
    }
    steps.push(Step::Unmount { at: steps.text("root.path", folder)?, mount: id });
    let namespaces: Vec<_> = joined.iter().map(AsFd::as_fd).collect();
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to a child")?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let (sync, parent, namespaces) = (theirs.as_fd(), ours.as_fd(), &namespaces[..]);
    let scene = Scene { sync, parent, namespaces, groups: &[], mounts: &[], standard, gate: None };
    let action = || format!("unmount {folder}");
    let spawned = child::spawn(Kinds::NONE, None, &steps.finish(), &scene).doing(action)?;
    drop(theirs);
    let mut message = [0; REPORT_LENGTH];
    sys::socket::receive(ours.as_fd(), &mut message).doing(action)?;
    let ended = sys::process::wait(spawned.pidfd.as_fd()).doing(action)?;
    match (Report::parse(message), ended) {
        (Some(Report::Failed { errno, .. }), _) => Err(Kernel::new(action(), Errno::from_raw_os_error(errno)).into()),
        (_, Ended::Killed(_)) => Err(Kernel::new(action(), Errno::INTR).hint("its helper was killed").into()),
        (_, Ended::Exited(_)) => Ok(()),
    }
}

/// Takes away the table that marks a container's packets, if its net namespace is still there.
///
/// # Errors
/// A kernel error.
pub fn unmark(path: &GroupPath, place: &Place) -> Result<()> {
    mark::remove(path, place)
}

#[cfg(test)]
mod kernel {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_the_mount_with_the_id_is_unmounted() {
        let folder = std::env::temp_dir().join(format!("carboy-undo-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.to_str().unwrap();
        let mount = || assert!(Command::new("mount").args(["-t", "tmpfs", "undo", path]).status().unwrap().success());
        let id = || sys::mount::id_of(File::open(path).unwrap().as_fd()).unwrap();
        mount();
        let own = id();
        uncover(path, own + 1, None).unwrap();
        assert_eq!(id(), own, "another's id unmounts nothing");
        mount();
        uncover(path, own, None).unwrap();
        let above = id();
        assert_ne!(above, own, "what covers it stays");
        uncover(path, above, None).unwrap();
        assert_eq!(id(), own);
        uncover(path, own, None).unwrap();
        assert_ne!(id(), own);
        uncover(path, own, None).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        uncover(path, own, None).unwrap();
        uncover(path, own, Some("/proc/1/ns/nowhere")).unwrap();
        let denied = uncover(&format!("/{}", "x".repeat(300)), own, None).unwrap_err();
        assert!(denied.to_string().starts_with("cannot unmount /xxx"), "{denied}");
    }
}
