//! Killing and removing, against containers that do not go by themselves.

use procfs::HostPid;
use rustix::fs::{Mode, mkdirat};

use super::*;
use crate::file::{PROCS, THREADS_V2, TYPE_V2};
use crate::hierarchy::HierarchyIndex;

const FOLDER: Mode = Mode::from_raw_mode(0o755);

/// Starts shells that fork others, which fork others, in the groups of a test, whose limit keeps them from taking the
/// machine: none of them is started before the first is in them.
fn forking(guard: &Guard, groups: &Groups) -> Sleeper {
    const SCRIPT: &str = "read go && spawn() { while :; do (sleep 0.02; spawn) & sleep 0.01; done; } && spawn";
    assert_eq!(groups.pids().unwrap().limit, Some(Limit::At(100)));
    let mut shell = Command::new("sh");
    let mut shell = shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut go = shell.stdin.take().unwrap();
    let first = Sleeper(shell);
    attach(guard, groups, first.pid());
    assert_eq!(groups.processes().unwrap(), [first.pid()]);
    std::io::Write::write_all(&mut go, b"go\n").unwrap();
    first
}

/// What a host would have that mounted only some of the hierarchies.
fn only(wanted: impl Fn(&str) -> bool) -> Hierarchies {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_wanted = |line: &&str| !line.contains(" - cgroup") || wanted(line.rsplit(' ').next().unwrap());
    let kept: Vec<&str> = mounts.lines().filter(is_wanted).collect();
    Hierarchies::parse(kept.join("\n").as_bytes(), &std::fs::read("/proc/self/cgroup").unwrap())
}

/// The v2 hierarchy; a host without any has no groups of threads and no bound on the number of groups.
fn unified(guard: &Guard) -> Option<HierarchyIndex> {
    let unified = guard.hierarchies.unified();
    assert!(unified.is_some() || guard.hierarchies.of(Controller::Freezer).unwrap().version == Version::V1);
    unified
}

#[test]
fn processes_that_fork_while_they_are_killed_are_all_killed() {
    let (guard, groups) = made(&name(), r#"{"pids":{"limit":100}}"#);
    let _first = forking(&guard, &groups);
    let start = Instant::now();
    while groups.processes().unwrap().len() < 50 && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    groups.kill().unwrap();
    assert_eq!(groups.processes().unwrap(), []);
    assert_eq!(groups.remove(&[]), []);
    assert_eq!(existing(&guard.path), Vec::<String>::new());
}

#[test]
fn they_are_killed_too_where_only_one_v1_hierarchy_and_no_freezer_is_mounted() {
    let (guard, groups) = made(&name(), r#"{"pids":{"limit":100}}"#);
    let v1 = only(|options| options.split(',').any(|option| option == "memory" || option == "cpuset"));
    // On a host that has v2 alone there is no such host.
    let hierarchies = if v1.iter().count() == 0 { guard.hierarchies.clone() } else { v1 };
    let few = Groups::open(&hierarchies, &guard.path).unwrap();
    let _first = forking(&guard, &groups);
    std::thread::sleep(Duration::from_millis(200));
    few.kill().unwrap();
    assert_eq!(groups.processes().unwrap(), []);
}

#[test]
fn a_paused_container_is_killed_and_removed_with_what_it_froze_in_itself() {
    let (mut one, mut other) = (Sleeper::start(), Sleeper::start());
    let (guard, groups) = made(&name(), "{}");
    attach(&guard, &groups, one.pid());
    attach(&guard, &groups, other.pid());
    let (version, freezer) = groups.controlled(Controller::Freezer).unwrap();
    mkdirat(freezer, "nested", FOLDER).unwrap();
    let nested = tree::open(freezer, "nested").unwrap();
    file::write(&nested, PROCS, &other.0.id().to_string()).unwrap();
    let freeze = match version {
        Version::V1 => crate::freezer::plan_v1(crate::freezer::Wish::Freeze),
        Version::V2 => crate::freezer::plan_v2(crate::freezer::Wish::Freeze),
    };
    file::write(&nested, &freeze.file, &freeze.value).unwrap();
    groups.freeze(PATIENCE).unwrap();
    groups.kill().unwrap();
    assert_eq!(groups.remove(&[]), []);
    for sleeper in [&mut one, &mut other] {
        let number = HostPid(sleeper.pid().as_raw_nonzero().get());
        assert_eq!(procfs::stat(number).unwrap().state, 'Z', "removed while nobody has asked for it yet");
        sleeper.0.wait().unwrap();
    }
}

#[test]
fn a_process_in_a_threaded_group_is_found_killed_and_removed() {
    let sleeper = Sleeper::start();
    let (guard, groups) = made(&name(), "{}");
    attach(&guard, &groups, sleeper.pid());
    let Some(index) = unified(&guard) else { return };
    let group = groups.group(index).unwrap();
    for nested in ["threads", "threads/deeper"] {
        mkdirat(group, nested, FOLDER).unwrap();
        file::write(tree::open(group, nested).unwrap(), TYPE_V2, "threaded").unwrap();
    }
    let deeper = tree::open(group, "threads/deeper").unwrap();
    file::write(&deeper, THREADS_V2, &sleeper.0.id().to_string()).unwrap();
    assert_eq!(groups.processes().unwrap(), [sleeper.pid()]);
    groups.kill().unwrap();
    assert_eq!(groups.remove(&[]), []);
    assert_eq!(existing(&guard.path), Vec::<String>::new());
}

#[test]
fn a_container_whose_own_group_is_threaded_is_killed_by_its_threads() {
    let parent = name();
    let sleeper = Sleeper::start();
    let (above, _groups) = made(&parent, "{}");
    let (guard, groups) = made(&format!("/{parent}/web"), "{}");
    let Some(index) = unified(&guard) else { return };
    let above = Groups::open(&above.hierarchies, &above.path).unwrap();
    // What is enabled to measure containers is not for threads.
    let parent = above.group(index).unwrap();
    for controller in file::read(parent, file::SUBTREE_CONTROL_V2).unwrap().split_whitespace() {
        file::write(parent, file::SUBTREE_CONTROL_V2, &format!("-{controller}")).unwrap();
    }
    file::write(groups.group(index).unwrap(), TYPE_V2, "threaded").unwrap();
    above.attach(index, sleeper.pid()).unwrap();
    file::write(groups.group(index).unwrap(), THREADS_V2, &sleeper.0.id().to_string()).unwrap();
    assert_eq!(groups.processes().unwrap(), [sleeper.pid()]);
    groups.kill().unwrap();
    assert_eq!(groups.processes().unwrap(), []);
    assert_eq!(groups.remove(&[]), []);
}

#[test]
fn groups_nested_a_hundred_deep_are_removed() {
    let (guard, groups) = made(&name(), "{}");
    let sleeper = Sleeper::start();
    attach(&guard, &groups, sleeper.pid());
    for (_, hierarchy) in groups.present() {
        let index = guard.hierarchies.by_key(&hierarchy.key()).unwrap();
        let mut current = tree::open(groups.group(index).unwrap(), ".").unwrap();
        for _ in 0..100 {
            mkdirat(&current, "a-name-that-makes-the-path-long", FOLDER).unwrap();
            current = tree::open(&current, "a-name-that-makes-the-path-long").unwrap();
        }
        if hierarchy.version == Version::V2 {
            file::write(&current, PROCS, &sleeper.0.id().to_string()).unwrap();
        }
    }
    assert_eq!(groups.processes().unwrap(), [sleeper.pid()]);
    groups.kill().unwrap();
    assert_eq!(groups.remove(&[]), []);
    assert_eq!(existing(&guard.path), Vec::<String>::new());
}

#[test]
fn where_no_more_groups_may_be_made_that_is_what_is_said() {
    let parent = name();
    let (above, groups) = made(&parent, "{}");
    let Some(index) = unified(&above) else { return };
    file::write(groups.group(index).unwrap(), "cgroup.max.descendants", "0").unwrap();
    let path = above.path.child("", "web").unwrap();
    let facts = HostFacts::read(&above.hierarchies, &path).unwrap();
    let resources = oci::Resources::default();
    let asked = Asked { resources: &resources, defaulted: &[] };
    let plan = plan(&above.hierarchies, &facts, &path, &asked).unwrap();
    let mut groups = Groups::prepare(&above.hierarchies, &plan).unwrap();
    let failed = plan.steps.iter().find_map(|step| groups.apply(step).err()).unwrap();
    assert_eq!(failed.errno(), Some(error::Errno::AGAIN));
    assert!(failed.hint().unwrap().contains("cgroup.max.descendants"));
    assert_eq!(Groups::open(&above.hierarchies, &path).unwrap().remove(&plan.parents), []);
}

#[test]
fn what_is_left_is_told_with_who_is_in_it() {
    let (guard, groups) = made(&name(), "{}");
    let sleeper = Sleeper::start();
    attach(&guard, &groups, sleeper.pid());
    let left = groups.remove(&[]);
    assert_eq!(left.len(), guard.plan.attach.len());
    let hint = left[0].error.hint().unwrap();
    assert!(hint.starts_with(&format!("still in it: {} sleep S", sleeper.0.id())), "{hint}");
}

#[test]
fn a_parent_that_others_use_stays() {
    let parent = name();
    let (one, first) = made(&format!("/{parent}/one"), "{}");
    let (other, second) = made(&format!("/{parent}/other"), "{}");
    assert_eq!((one.plan.parents.len(), other.plan.parents.len()), (one.plan.attach.len(), 0));
    assert_eq!(first.remove(&one.plan.parents), []);
    let parent = GroupPath::parse("", &parent).unwrap();
    assert_eq!(existing(&parent).len(), one.plan.attach.len());
    assert_eq!(second.remove(&one.plan.parents), []);
    assert_eq!(existing(&parent), Vec::<String>::new());
}
