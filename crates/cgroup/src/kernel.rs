//! Tests against the running kernel, as root: every one cleans up behind itself, also when it fails.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::facts::HostFacts;
use crate::file;
use crate::group::Groups;
use crate::hierarchy::{Controller, Hierarchies, Hierarchy, Version};
use crate::path::GroupPath;
use crate::plan::{Asked, Plan, plan};
use crate::{Limit, tree};

mod cycles;
mod devices;
mod evacuate;
mod freezer;
mod hugetlb;
mod io;
mod keep;
mod kill;
mod limits;
mod mount;
mod payload;
mod rare;

/// Set for those tests that others start in namespaces of their own.
const INSIDE: &str = "CARBOY_TEST_INSIDE";

/// How long a freeze may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The groups of one test, removed with everything in them when it ends.
struct Guard {
    hierarchies: Hierarchies,
    path: GroupPath,
    plan: Plan,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let groups = Groups::open(&self.hierarchies, &self.path).unwrap();
        let killed = groups.kill();
        let left = groups.remove(&self.plan.parents);
        if !std::thread::panicking() {
            assert_eq!((killed, left), (Ok(()), Vec::new()));
        }
    }
}

/// A child that is killed and reaped when the test ends; one that is frozen has to be started before its guard, which
/// thaws it.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn name() -> String {
    let nanoseconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    format!("carboy-test-{}-{nanoseconds}", std::process::id())
}

fn made(at: &str, json: &str) -> (Guard, Groups) {
    assert!(rustix::process::geteuid().is_root(), "this test makes cgroups: run it as root");
    let hierarchies = Hierarchies::read().unwrap();
    let path = GroupPath::parse("linux.cgroupsPath", at).unwrap();
    let facts = HostFacts::read(&hierarchies, &path).unwrap();
    let resources: oci::Resources = serde_json::from_str(json).unwrap();
    let plan = plan(&hierarchies, &facts, &path, &Asked { resources: &resources, defaulted: &[] }).unwrap();
    let guard = Guard { hierarchies, path, plan };
    let mut groups = Groups::prepare(&guard.hierarchies, &guard.plan).unwrap();
    for step in &guard.plan.steps {
        groups.apply(step).unwrap();
    }
    (guard, groups)
}

fn attach(guard: &Guard, groups: &Groups, process: Pid) {
    for hierarchy in &guard.plan.attach {
        groups.attach(*hierarchy, process).unwrap();
    }
}

/// Where the groups of a path are, by a look at the host that knows nothing of plans.
fn existing(path: &GroupPath) -> Vec<String> {
    let hierarchies = Hierarchies::read().unwrap();
    let exists = |root: &std::path::Path| root.join(path.relative()).exists();
    hierarchies.iter().filter(|(_, one)| exists(&one.mount_point)).map(|(_, one)| one.to_string()).collect()
}

#[test]
fn limits_are_read_back_as_they_were_asked_for() {
    let json = r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432},
        "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0","mems":"0"},"pids":{"limit":20}}"#;
    let (guard, groups) = made(&name(), json);
    let sleeper = Sleeper::start();
    attach(&guard, &groups, sleeper.pid());
    assert_eq!(groups.processes().unwrap(), [sleeper.pid()]);
    assert_eq!(groups.memory().unwrap().limit, Some(Limit::At(64 << 20)));
    assert_eq!(groups.memory().unwrap().oom_kills, Some(0));
    assert_eq!(groups.oom_kills(), Some(0));
    let cpu = groups.cpu().unwrap();
    assert_eq!((cpu.quota_usec, cpu.period_usec), (Some(Limit::At(50_000)), Some(100_000)));
    assert!(groups.cpuacct().unwrap().usage_usec.is_some());
    let pids = groups.pids().unwrap();
    let events = pids.refused_forks.or(pids.limit_hits);
    assert_eq!((pids.limit, pids.current, events), (Some(Limit::At(20)), Some(1), Some(0)));
    let status = std::fs::read_to_string(format!("/proc/{}/status", sleeper.0.id())).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    for (place, write) in guard.plan.writes().filter(|(_, write)| write.controller != Controller::Devices) {
        let text = file::read(groups.group(place.hierarchy).unwrap(), &write.file).unwrap();
        assert_eq!(text.trim(), write.value, "{write}");
    }
}

#[test]
fn nothing_is_left_after_a_kill_and_a_removal_not_even_parents_or_nested_groups() {
    let parent = name();
    let at = format!("/{parent}/team/web");
    let (guard, groups) = made(&at, r#"{"pids":{"limit":100}}"#);
    let (one, other) = (Sleeper::start(), Sleeper::start());
    attach(&guard, &groups, one.pid());
    let (_, pids) = groups.controlled(Controller::Pids).unwrap();
    for nested in ["nested", "nested/deeper", "nested/deeper/still", "beside"] {
        rustix::fs::mkdirat(pids, nested, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    }
    file::write(tree::open(pids, "nested/deeper/still").unwrap(), file::PROCS, &other.0.id().to_string()).unwrap();
    assert_eq!(groups.processes().unwrap().len(), 2);
    let top = GroupPath::parse("", &parent).unwrap();
    assert_eq!(existing(&guard.path).len(), guard.plan.attach.len());
    groups.kill().unwrap();
    assert_eq!(groups.processes().unwrap(), []);
    assert_eq!(groups.remove(&guard.plan.parents), []);
    assert_eq!(existing(&top), Vec::<String>::new());
}

#[test]
fn a_frozen_group_stands_still_and_can_be_killed() {
    let mut sleeper = Sleeper::start();
    let (guard, groups) = made(&name(), "{}");
    attach(&guard, &groups, sleeper.pid());
    assert_eq!(groups.frozen(), Some(false));
    groups.freeze(PATIENCE).unwrap();
    assert_eq!(groups.frozen(), Some(true));
    groups.thaw().unwrap();
    assert_eq!(groups.frozen(), Some(false));
    groups.freeze(PATIENCE).unwrap();
    groups.kill().unwrap();
    assert!(!sleeper.0.wait().unwrap().success());
}

#[test]
fn a_group_with_processes_in_it_is_a_conflict_and_stays() {
    let at = name();
    let (guard, groups) = made(&at, "{}");
    let sleeper = Sleeper::start();
    attach(&guard, &groups, sleeper.pid());
    let mut second = Groups::prepare(&guard.hierarchies, &guard.plan).unwrap();
    let error = second.apply(guard.plan.steps.first().unwrap()).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    assert_eq!(existing(&guard.path).len(), guard.plan.attach.len());
}

#[test]
fn more_cpus_than_the_parent_has_are_refused_on_v1_before_anything_is_made() {
    let parent = name();
    let (guard, _groups) = made(&parent, r#"{"cpu":{"quota":20000,"period":100000}}"#);
    let path = guard.path.child("", "web").unwrap();
    let facts = HostFacts::read(&guard.hierarchies, &path).unwrap();
    assert_eq!(facts.ancestors, vec![2; guard.hierarchies.iter().count()]);
    let resources: oci::Resources = serde_json::from_str(r#"{"cpu":{"quota":30000}}"#).unwrap();
    let asked = Asked { resources: &resources, defaulted: &[] };
    let planned = plan(&guard.hierarchies, &facts, &path, &asked);
    match guard.hierarchies.of(Controller::Cpu).unwrap().version {
        Version::V1 => assert_eq!(planned.unwrap_err().hint(), Some("use --cpus 0.2 or less")),
        Version::V2 => assert!(planned.is_ok(), "v2 takes more than the parent has, and the parent binds"),
    }
}

#[test]
fn a_removal_waits_for_a_process_that_is_just_dying() {
    let (guard, groups) = made(&name(), "{}");
    let mut sleeper = Sleeper::start();
    attach(&guard, &groups, sleeper.pid());
    let dying = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        sleeper.0.kill().unwrap();
        sleeper.0.wait().unwrap();
    });
    let start = Instant::now();
    assert_eq!(groups.remove(&[]), []);
    assert!(start.elapsed() < Duration::from_secs(1));
    dying.join().unwrap();
    assert_eq!(existing(&guard.path), Vec::<String>::new());
}

#[test]
fn a_removal_gives_what_is_left_and_takes_the_rest() {
    let (guard, groups) = made(&name(), "{}");
    let sleeper = Sleeper::start();
    let (_, freezer) = groups.controlled(Controller::Freezer).unwrap();
    file::write(freezer, file::PROCS, &sleeper.0.id().to_string()).unwrap();
    let left = groups.remove(&[]);
    assert_eq!(left.len(), 1);
    assert!(left[0].group.ends_with(&guard.path.to_string()), "{left:?}");
    assert_eq!(existing(&guard.path).len(), 1);
}

#[test]
fn groups_that_were_never_made_are_removed_already() {
    let hierarchies = Hierarchies::read().unwrap();
    let path = GroupPath::parse("", &name()).unwrap();
    let groups = Groups::open(&hierarchies, &path).unwrap();
    assert_eq!(groups.present().count(), 0);
    groups.kill().unwrap();
    assert_eq!(groups.remove(&[]), []);
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_used() {
    let (guard, groups) = made(&name(), r#"{"devices":[{"allow":false,"access":"rwm"}]}"#);
    assert!(try_devices(&guard, &groups, "head -c1 /dev/zero"));
    assert!(!try_devices(&guard, &groups, "head -c1 /dev/kmsg"));
}

/// Runs a shell command that joins all groups first; whether it succeeded.
fn try_devices(guard: &Guard, groups: &Groups, command: &str) -> bool {
    let script = format!("read go; exec {command} >/dev/null 2>&1");
    let mut shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
    attach(guard, groups, Pid::from_child(&shell));
    drop(shell.stdin.take());
    shell.wait().unwrap().success()
}

#[test]
fn the_v2_device_program_is_accepted_and_decides() {
    let (guard, mut groups) = made(&name(), r#"{"devices":[{"allow":true,"access":"rwm"}]}"#);
    let Some(unified) = guard.hierarchies.unified() else { panic!("no v2 hierarchy on this host") };
    let rules: Vec<oci::DeviceRule> = serde_json::from_str(
        r#"[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"},
            {"allow":false,"type":"c","major":1,"minor":5,"access":"w"}]"#,
    )
    .unwrap();
    let program = crate::devices::plan_v2(&rules).unwrap().unwrap();
    let place = guard.plan.steps.first().unwrap().place().clone();
    assert_eq!(place.hierarchy, unified);
    groups.apply(&crate::plan::Step::Devices(place, program)).unwrap();
    assert!(try_devices(&guard, &groups, "head -c1 /dev/zero"));
    assert!(try_devices(&guard, &groups, "dd if=/dev/kmsg bs=8192 count=1"));
    assert!(!try_devices(&guard, &groups, "dd if=/dev/zero of=/dev/kmsg bs=1 count=1"));
    assert!(
        !try_devices(&guard, &groups, "dd if=/dev/net/tun count=1") || !std::path::Path::new("/dev/net/tun").exists()
    );
}

#[test]
fn a_controller_is_enabled_at_every_level_where_it_is_needed() {
    let limit = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}"#;
    let (guard, groups) = made(&format!("/{}/web", name()), limit);
    let (_, group) = groups.controlled(Controller::Hugetlb).unwrap();
    let (_, write) = guard.plan.writes().find(|(_, write)| write.controller == Controller::Hugetlb).unwrap();
    assert_eq!(file::read(group, &write.file).unwrap().trim(), "2097152");
}

#[test]
fn a_process_joins_every_hierarchy_by_itself_through_its_join_file() {
    let (guard, groups) = made(&name(), "{}");
    for (index, hierarchy) in groups.present() {
        let file = groups.join_file(index).unwrap();
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", "printf 0; cat /proc/self/cgroup >&2"]).stdin(Stdio::null()).stdout(file);
        let told = shell.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let expected = format!(":{}:{}\n", hierarchy.key(), guard.path);
        assert!(String::from_utf8_lossy(&told.stderr).contains(&expected), "{told:?}");
    }
}
