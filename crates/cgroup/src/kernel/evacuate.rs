//! The no-internal-process rule, as carboy meets it inside a container: in a cgroup namespace of its own.

use rustix::mount::{MountFlags, UnmountFlags};

use super::*;
use crate::plan::Step;

/// A limit of a controller that every host has on v2.
const LIMIT: &str = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}"#;

/// The test that starts itself again.
const THIS: &str =
    "kernel::evacuate::inside_a_cgroup_namespace_the_processes_above_make_way_for_a_container_with_a_limit";

#[test]
fn inside_a_cgroup_namespace_the_processes_above_make_way_for_a_container_with_a_limit() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    // The limit has its controller enabled at the root, so that there is one to be had below.
    let (guard, groups) = made(&name(), if Hierarchies::read().unwrap().unified().is_some() { LIMIT } else { "{}" });
    let Some(unified) = guard.hierarchies.unified() else {
        return assert!(guard.plan.steps.iter().all(|step| !matches!(step, Step::Evacuate(..) | Step::Enable(..))));
    };
    let group = guard.hierarchies.at(unified).unwrap().mount_point.join(guard.path.relative());
    let script = r#"echo 0 > "$1/cgroup.procs" && exec unshare --cgroup --mount "$0" --exact --nocapture "$2""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(std::env::current_exe().unwrap()).arg(&group).arg(THIS);
    let output = shell.env(INSIDE, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(group.join(crate::evacuate::LEAF).is_dir(), "it stays with those who may still be in it");
    assert_eq!(groups.processes().unwrap(), []);
}

/// What the test above runs in namespaces of its own.
fn inside() {
    let folder = std::env::temp_dir().join(name());
    std::fs::create_dir(&folder).unwrap();
    rustix::mount::mount("none", &folder, "cgroup2", MountFlags::empty(), None).unwrap();
    let beside = Sleeper::start();
    let (guard, groups) = made(&name(), LIMIT);
    let unified = guard.hierarchies.unified().unwrap();
    assert_eq!(guard.hierarchies.at(unified).unwrap().mount_point, folder);
    let steps: Vec<String> = guard.plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        steps[..2],
        [
            "move the processes of the group above it into the cgroup unified:/carboy-init",
            "enable hugetlb below unified:/"
        ]
    );
    let own = |process: &str| std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
    assert!(own("self").ends_with("0::/carboy-init\n"), "{}", own("self"));
    assert!(own(&beside.0.id().to_string()).ends_with("0::/carboy-init\n"));
    let (_, write) = guard.plan.writes().find(|(_, write)| write.controller == Controller::Hugetlb).unwrap();
    assert_eq!(file::read(groups.group(unified).unwrap(), &write.file).unwrap().trim(), "2097152");
    attach(&guard, &groups, beside.pid());
    assert_eq!(groups.processes().unwrap(), [beside.pid()]);
    let (second, _groups) = made(&name(), LIMIT);
    assert!(!second.plan.steps.iter().any(|step| matches!(step, Step::Evacuate(..))), "they are gone already");
    drop((second, guard));
    rustix::mount::unmount(&folder, UnmountFlags::DETACH).unwrap();
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn the_root_of_the_host_is_under_no_such_rule() {
    for (_, hierarchy) in Hierarchies::read().unwrap().iter() {
        assert!(!crate::evacuate::is_needed(hierarchy.open().unwrap()), "{hierarchy}");
    }
}
