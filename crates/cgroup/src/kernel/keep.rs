//! A scope's group that is kept is there until it is removed.

use std::fs;

use rustix::io::Errno;

use super::{existing, made, name};
use crate::{GroupPath, Groups, Hierarchies, keep, remove_idle};

#[test]
fn a_scope_that_is_kept_cannot_be_taken_away_before_it_is_removed() {
    let removals: [fn(Groups, &Hierarchies, &GroupPath) -> bool; 3] = [
        |groups, _, _| groups.remove(&[]).is_empty(),
        |groups, _, _| groups.remove_empty(),
        |_, hierarchies, path| remove_idle(hierarchies, path),
    ];
    for (number, removed) in removals.into_iter().enumerate() {
        let (guard, groups) = made(&format!("/{}-{number}.scope", name()), "{}");
        keep::apply(&guard.hierarchies, &guard.path).unwrap();
        assert_eq!(groups.processes().unwrap(), []);
        // v1 takes nothing away by itself.
        if let Some(unified) = guard.hierarchies.unified() {
            let scope = guard.hierarchies.at(unified).unwrap().mount_point.join(guard.path.relative());
            for group in ["carboy-kept", ""] {
                let refused = fs::remove_dir(scope.join(group)).unwrap_err();
                assert_eq!(refused.raw_os_error(), Some(Errno::BUSY.raw_os_error()), "{group}");
            }
            assert_eq!(fs::read_to_string(scope.join("cgroup.events")).unwrap().lines().next(), Some("populated 0"));
        }
        assert!(removed(groups, &guard.hierarchies, &guard.path), "{number}");
        assert_eq!(existing(&guard.path), [""; 0]);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&*guard.path.to_string()), "{mounts}");
    }
}

#[test]
fn a_group_that_is_no_scope_gets_nothing() {
    let (guard, groups) = made(&name(), "{}");
    keep::apply(&guard.hierarchies, &guard.path).unwrap();
    assert!(groups.remove_empty(), "nothing is below it");
}
