//! Plans of one more process in a container, without a host.

use super::*;

const PID: (NamespaceKind, &str) = (NamespaceKind::Pid, "/proc/7/ns/pid");
const MOUNTS: (NamespaceKind, &str) = (NamespaceKind::Mnt, "/proc/7/ns/mnt");

fn target(pid: PidBy, root: RootOf) -> Target {
    let groups = cgroup::Plan {
        path: cgroup::GroupPath::parse("the group", "/group").unwrap(),
        steps: Vec::new(),
        attach: Vec::new(),
        nested: Vec::new(),
        parents: Vec::new(),
        dropped: Vec::new(),
    };
    let namespaces = [PID, MOUNTS].map(|(kind, path)| (kind, path.to_owned())).to_vec();
    Target { namespaces, groups, further_groups: FurtherGroups::Set, root, pid }
}

fn process() -> Process {
    oci::document::parse("process", br#"{"cwd":"/","args":["true"],"noNewPrivileges":true}"#).unwrap()
}

/// The names of the child's steps.
fn names(plan: &Plan<'_>) -> Vec<String> {
    let name = |step: &Step<'_>| format!("{step:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
    plan.child.iter().map(name).collect()
}

fn position(names: &[String], name: &str) -> usize {
    names.iter().position(|found| found == name).unwrap_or_else(|| panic!("{name}: {names:?}"))
}

#[test]
fn the_pid_namespace_is_entered_by_the_caller_or_by_a_child_that_forks_once_more() {
    let arena = Bump::new();
    let (process, terms) = (process(), Terms::default());
    let hierarchies = Hierarchies::default();
    let planned = |pid| plan_exec((&target(pid, RootOf::Namespace), &hierarchies), &process, &terms, &arena).unwrap();
    let by_caller = planned(PidBy::Caller);
    assert_eq!(by_caller.entrance.parent_joins.as_deref(), Some(PID.1));
    assert_eq!(by_caller.entrance.child_joins, [(MOUNTS.0, MOUNTS.1.to_owned())]);
    assert!(by_caller.host.iter().any(|step| matches!(step, HostStep::JoinPid(path) if path == PID.1)));
    assert!(!by_caller.host.iter().any(|step| matches!(step, HostStep::AwaitFork)));
    assert!(!names(&by_caller).contains(&"Fork".to_owned()));
    let by_child = planned(PidBy::Child);
    assert_eq!(by_child.entrance.parent_joins, None);
    assert_eq!(by_child.entrance.child_joins, [PID, MOUNTS].map(|(kind, path)| (kind, path.to_owned())));
    assert!(!by_child.host.iter().any(|step| matches!(step, HostStep::JoinPid(_))));
    let steps = names(&by_child);
    let joins: Vec<usize> = (0..steps.len()).filter(|at| steps[*at] == "Join").collect();
    assert_eq!(position(&steps, "Fork"), joins[0] + 1, "it is in the namespace before anything else: {steps:?}");
    assert_eq!(joins[1], joins[0] + 2);
    let forks = by_child.host.iter().position(|step| matches!(step, HostStep::AwaitFork)).unwrap();
    let clones = by_child.host.iter().position(|step| matches!(step, HostStep::Clone)).unwrap();
    assert_eq!(forks, clones + 1);
}

#[test]
fn a_process_finds_its_root_in_the_namespace_or_has_it_from_the_first_process() {
    let arena = Bump::new();
    let (process, terms) = (process(), Terms::default());
    let hierarchies = Hierarchies::default();
    let planned = |root| plan_exec((&target(PidBy::Caller, root), &hierarchies), &process, &terms, &arena).unwrap();
    let of_namespace = names(&planned(RootOf::Namespace));
    assert!(of_namespace.contains(&"AdoptRoot".to_owned()) && !of_namespace.contains(&"ChangeRoot".to_owned()));
    let of_first = planned(RootOf::FirstProcess);
    let steps = names(&of_first);
    assert!(!steps.contains(&"AdoptRoot".to_owned()));
    assert_eq!(steps[position(&steps, "ChangeRoot") - 1], "Await", "it is handed over: {steps:?}");
    assert!(of_first.host.iter().any(|step| matches!(step, HostStep::Release(Turn::Root))));
}

#[test]
fn descriptors_are_let_go_of_before_anything_of_the_container_is_looked_at() {
    let arena = Bump::new();
    let process = process();
    let terms = Terms { inherited: 2, ..Terms::default() };
    let target = target(PidBy::Caller, RootOf::Namespace);
    let plan = plan_exec((&target, &Hierarchies::default()), &process, &terms, &arena).unwrap();
    assert!(plan.child.iter().any(|step| matches!(step, Step::LetGo { inherited: 2 })), "and of no others");
    let steps = names(&plan);
    let let_go = position(&steps, "LetGo");
    assert!(position(&steps, "Join") < let_go && let_go < position(&steps, "Identity"), "{steps:?}");
    for later in ["WorkingDirectory", "Execute"] {
        assert!(let_go < position(&steps, later), "{later}: {steps:?}");
    }
}

#[test]
fn who_is_to_find_all_that_comes_from_a_process_lets_it_keep_its_orphans() {
    let arena = Bump::new();
    let process = process();
    let target = target(PidBy::Child, RootOf::Namespace);
    let planned = |orphans| {
        let terms = Terms { orphans, ..Terms::default() };
        names(&plan_exec((&target, &Hierarchies::default()), &process, &terms, &arena).unwrap())
    };
    assert!(!planned(Orphans::Left).contains(&"KeepOrphans".to_owned()));
    let kept = planned(Orphans::Kept);
    assert!(position(&kept, "Fork") < position(&kept, "KeepOrphans"), "a child does not inherit it: {kept:?}");
}
