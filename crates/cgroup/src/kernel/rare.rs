//! What only some hosts have, and what every v2 group has: files that are named themselves, RDMA, misc, priorities of
//! interfaces, groups for perf. A controller that this host lacks is refused by its name.

use super::*;
use crate::{misc, net_prio, perf_event, rdma};

fn planned(json: &str) -> error::Result<(Hierarchies, Plan)> {
    let hierarchies = Hierarchies::read().unwrap();
    let path = GroupPath::parse("", &name()).unwrap();
    let facts = HostFacts::read(&hierarchies, &path).unwrap();
    let resources: oci::Resources = serde_json::from_str(json).unwrap();
    let plan = plan(&hierarchies, &facts, &path, &Asked { resources: &resources, defaulted: &[] })?;
    Ok((hierarchies, plan))
}

/// What making a container with this is refused with: by the plan where the controller is not here, else by the kernel.
fn refusal(json: &str) -> String {
    let (hierarchies, plan) = match planned(json) {
        Ok(planned) => planned,
        Err(error) => return error.to_string(),
    };
    let guard = Guard { hierarchies, path: plan.path.clone(), plan };
    let mut groups = Groups::prepare(&guard.hierarchies, &guard.plan).unwrap();
    let failed = guard.plan.steps.iter().find_map(|step| groups.apply(step).err());
    failed.expect("the kernel took it").to_string()
}

#[test]
fn the_core_files_of_v2_limit_the_groups_below() {
    let json = r#"{"unified":{"cgroup.max.descendants":"3","cgroup.max.depth":"2","cgroup.pressure":"0"}}"#;
    if Hierarchies::read().unwrap().unified().is_none() {
        let text = refusal(json);
        return assert!(text.ends_with("is a setting of cgroup v2, which is not mounted here"), "{text}");
    }
    let (guard, groups) = made(&name(), json);
    let core = guard.plan.writes().filter(|(_, write)| write.file.starts_with("cgroup."));
    let read =
        |place: &crate::plan::Place, file: &str| file::read(groups.group(place.hierarchy).unwrap(), file).unwrap();
    let shown: Vec<_> = core.map(|(place, write)| (read(place, &write.file), write.value.clone())).collect();
    assert_eq!(shown.len(), 3);
    assert!(shown.iter().all(|(text, value)| text.trim() == value), "{shown:?}");
}

#[test]
fn an_rdma_device_that_is_not_here_is_refused_by_its_name() {
    let text = refusal(r#"{"rdma":{"nosuch0":{"hcaHandles":3}}}"#);
    let present = Hierarchies::read().unwrap().of(Controller::Rdma).is_some();
    let expected = if present {
        "cannot use linux.resources.rdma nosuch0: is not an RDMA device of this host"
    } else {
        "cannot use linux.resources.rdma nosuch0 hca_handle=3: needs the rdma cgroup controller"
    };
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn an_interface_that_is_not_here_is_refused_by_its_name() {
    let text = refusal(r#"{"network":{"priorities":[{"name":"nosuch0","priority":3}]}}"#);
    let present = Hierarchies::read().unwrap().of(Controller::NetPrio).is_some();
    let expected = if present {
        "cannot use linux.resources.network.priorities nosuch0: is not an interface of the host"
    } else {
        "cannot use linux.resources.network.priorities nosuch0 3: needs the net_prio cgroup controller"
    };
    assert!(text.starts_with(expected), "{text}");
    let network = oci::Network {
        priorities: vec![oci::InterfacePriority { name: "lo".into(), priority: 3 }],
        ..Default::default()
    };
    assert_eq!(net_prio::plan_v1(&network).unwrap()[0].former("lo 5\neth0 0\n").unwrap(), "lo 5");
}

#[test]
fn a_scalar_resource_that_is_not_here_is_refused() {
    let text = refusal(r#"{"unified":{"misc.max":"nosuch 3"}}"#);
    let hierarchies = Hierarchies::read().unwrap();
    match hierarchies.of(Controller::Misc).map(|hierarchy| hierarchy.version) {
        Some(Version::V2) => assert!(text.contains("misc.max nosuch 3: is not the limit of a resource"), "{text}"),
        Some(Version::V1) => assert!(text.contains("this host has misc on v1"), "{text}"),
        None => assert!(text.contains("needs the misc cgroup controller"), "{text}"),
    }
    let (_guard, groups) = made(&name(), "{}");
    for controller in [Controller::Misc, Controller::Rdma] {
        let Some((_, group)) = groups.controlled(controller) else { continue };
        let read = |name: &str| file::read(group, name).ok();
        assert!(misc::stats_v2(read).is_empty() || rdma::stats_v2(read).is_empty());
    }
}

#[test]
fn what_perf_is_told_is_a_group_of_the_hierarchy_in_which_it_looks() {
    let sleeper = Sleeper::start();
    let (guard, groups) = made(&name(), "{}");
    attach(&guard, &groups, sleeper.pid());
    let argument = perf_event::argument(&guard.hierarchies, &guard.path).unwrap();
    let hierarchy = guard.hierarchies.of(Controller::PerfEvent).unwrap();
    assert!(hierarchy.mount_point.join(argument).is_dir());
    let mut busy =
        Command::new("sh").args(["-c", "read go; while :; do :; done"]).stdin(Stdio::piped()).spawn().unwrap();
    attach(&guard, &groups, Pid::from_child(&busy));
    drop(busy.stdin.take());
    let perf = ["stat", "-a", "-x", ",", "-e", "cpu-clock", "-G", argument, "sleep", "0.3"];
    let output = Command::new("perf").args(perf).output();
    busy.kill().unwrap();
    busy.wait().unwrap();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("CARBOY_TEST_HOST").is_some(), "perf is not installed");
        }
        output => {
            let text = String::from_utf8(output.unwrap().stderr).unwrap();
            let milliseconds: f64 = text.split(',').next().unwrap().parse().unwrap_or_else(|_| panic!("{text}"));
            assert!(milliseconds > 50.0, "{text}");
        }
    }
}
