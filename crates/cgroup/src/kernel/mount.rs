//! Mounting what nobody has mounted, in a mount namespace of the tests' own.

use std::path::Path;

use rustix::mount::{UnmountFlags, unmount};

use super::*;
use crate::hierarchy::Mounted;
use crate::plan::Step;

const ASKED: &str = r#"{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":3}]}}"#;

/// The test that starts itself again.
const THIS: &str = "kernel::mount::what_a_container_needs_and_nobody_has_mounted_is_mounted_until_the_last_one_is_gone";

#[test]
fn what_a_container_needs_and_nobody_has_mounted_is_mounted_until_the_last_one_is_gone() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount").arg(std::env::current_exe().unwrap());
    let output = unshare.args(["--exact", "--nocapture", THIS]).env(INSIDE, "1").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

struct Container {
    plan: Plan,
    groups: Groups,
}

impl Container {
    fn plan(run: &Path) -> error::Result<(Hierarchies, Plan)> {
        let resources: oci::Resources = serde_json::from_str(ASKED).unwrap();
        let hierarchies = Hierarchies::read().unwrap().for_container(&resources, &run.join("cgroup")).unwrap();
        let path = GroupPath::parse("", &name()).unwrap();
        let facts = HostFacts::read(&hierarchies, &path).unwrap();
        let plan = plan(&hierarchies, &facts, &path, &Asked { resources: &resources, defaulted: &[] })?;
        Ok((hierarchies, plan))
    }

    fn make(run: &Path) -> Self {
        let (hierarchies, plan) = Self::plan(run).unwrap();
        let mut groups = Groups::prepare(&hierarchies, &plan).unwrap();
        plan.steps.iter().for_each(|step| groups.apply(step).unwrap());
        Self { plan, groups }
    }

    /// As another carboy does it, which knows the path alone.
    fn remove(self) {
        drop(self.groups);
        let groups = Groups::open(&Hierarchies::read().unwrap(), &self.plan.path).unwrap();
        groups.kill().unwrap();
        assert_eq!(groups.remove(&self.plan.parents), []);
    }
}

fn ours() -> Vec<Hierarchy> {
    let hierarchies = Hierarchies::read().unwrap();
    hierarchies.iter().map(|(_, one)| one.clone()).filter(|one| one.mounted == Mounted::ByCarboy).collect()
}

/// What the test above runs in a mount namespace of its own.
fn inside() {
    // Those of the host's own containers, which are seen here too.
    ours().iter().for_each(|hierarchy| unmount(&hierarchy.mount_point, UnmountFlags::DETACH).unwrap());
    let run = std::env::temp_dir().join(name());
    std::fs::create_dir(&run).unwrap();
    let host = Hierarchies::read().unwrap();
    let v2_alone = host.iter().all(|(_, hierarchy)| hierarchy.version == Version::V2);
    let mut wanted = vec![Controller::NetCls, Controller::NetPrio];
    wanted.retain(|one| host.of(*one).is_none() && !(v2_alone && *one == Controller::NetCls));
    if std::fs::read_to_string("/proc/cmdline").unwrap().contains("cgroup_no_v1=all") {
        let error = Container::plan(&run).unwrap_err().to_string();
        assert!(error.contains("needs the net_prio cgroup controller"), "{error}");
        return std::fs::remove_dir(&run).unwrap();
    }
    let first = Container::make(&run);
    let mounts = first.plan.steps.iter().filter(|step| matches!(step, Step::Mount(..))).count();
    assert_eq!(mounts, ours().len());
    let bound: Vec<Controller> = ours().into_iter().flat_map(|hierarchy| hierarchy.controllers).collect();
    assert_eq!(bound, wanted);
    let sleeper = Sleeper::start();
    first.plan.attach.iter().for_each(|index| first.groups.attach(*index, sleeper.pid()).unwrap());
    for (place, write) in first.plan.writes().filter(|(_, write)| wanted.contains(&write.controller)) {
        let text = file::read(first.groups.group(place.hierarchy).unwrap(), &write.file).unwrap();
        assert!(text.lines().any(|line| line == write.value), "{write}: {text}");
    }
    let second = Container::make(&run);
    let plain = Hierarchies::read().unwrap().for_container(&oci::Resources::default(), &run).unwrap();
    assert_eq!(plain, Hierarchies { unmounted: plain.unmounted.clone(), ..host });
    first.remove();
    // A zombie keeps its group in the kernel, and that the hierarchy.
    drop(sleeper);
    assert_eq!(ours().len(), mounts, "the second is still in them");
    second.remove();
    assert_eq!(ours(), []);
    std::fs::remove_dir(&run).expect("nothing is left in the run folder");
    let is_bound = |one: &procfs::cgroup::Subsystem| one.name.starts_with("net_") && one.hierarchy != 0;
    let bound = || procfs::cgroup::read_subsystems().unwrap().iter().any(is_bound);
    // What the host has, or other containers on it, stays.
    let elsewhere = || std::fs::read_to_string("/proc/1/mountinfo").unwrap().contains(",net_");
    let start = Instant::now();
    while bound() && !elsewhere() {
        assert!(start.elapsed() < PATIENCE, "a hierarchy stayed without a mount");
        std::thread::sleep(Duration::from_millis(20));
    }
}
