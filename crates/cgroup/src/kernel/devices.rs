//! A device policy that is changed while the container runs: on v1 its list, on v2 its program.

use std::os::fd::AsFd;

use super::*;
use crate::plan::{Place, Step};
use crate::write::Write;
use crate::{change, devices};

fn rules(json: &str) -> oci::Resources {
    oci::Resources { devices: serde_json::from_str(json).unwrap(), ..Default::default() }
}

const NOTHING: &str = r#"[{"allow":false,"access":"rwm"}]"#;
const KMSG: &str = r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"rw"}]"#;
const EVERYTHING: &str = r#"[{"allow":true,"access":"rwm"}]"#;
const BUT_KMSG: &str =
    r#"[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":11,"access":"rwm"}]"#;

fn steps(guard: &Guard, groups: &Groups, former: &str, asked: &str) -> Vec<Step> {
    let (former, asked) = (rules(former), rules(asked));
    let now = change::Now::read(&guard.hierarchies, groups).unwrap();
    let wishes = change::Wishes { former: &former, asked: &asked, merged: &asked, unasked: &[] };
    change::plan(&guard.hierarchies, &guard.path, &now, &wishes).unwrap()
}

fn reads_kmsg(guard: &Guard, groups: &Groups) -> bool {
    assert!(try_devices(guard, groups, "head -c1 /dev/zero"), "a default device stays allowed");
    try_devices(guard, groups, "dd if=/dev/kmsg bs=8192 count=1")
}

#[test]
fn a_device_is_refused_then_allowed_then_refused_again() {
    let (guard, mut groups) = made(&name(), &format!(r#"{{"devices":{NOTHING}}}"#));
    assert!(!reads_kmsg(&guard, &groups));
    let policies = [(NOTHING, false), (KMSG, true), (NOTHING, false), (EVERYTHING, true), (BUT_KMSG, false)];
    let back = [(EVERYTHING, true), (KMSG, true), (NOTHING, false)];
    let policies: Vec<_> = policies.into_iter().chain(back).collect();
    for pair in policies.windows(2) {
        let [(former, _), (asked, allowed)] = pair else { unreachable!() };
        groups.change(&steps(&guard, &groups, former, asked)).unwrap();
        assert_eq!(reads_kmsg(&guard, &groups), *allowed, "{asked}");
    }
}

#[test]
fn a_change_that_fails_later_leaves_the_devices_as_they_were() {
    let policies = [(NOTHING, KMSG), (KMSG, NOTHING), (NOTHING, EVERYTHING), (BUT_KMSG, KMSG), (EVERYTHING, NOTHING)];
    for (former, asked) in policies {
        let (guard, mut groups) = made(&name(), &format!(r#"{{"devices":{former}}}"#));
        let before = reads_kmsg(&guard, &groups);
        let mut steps = steps(&guard, &groups, former, asked);
        assert_ne!(steps, []);
        let place = steps.first().unwrap().place().clone();
        steps.push(Step::Write(place, Write::new(Controller::Devices, "", "no.such.file", "1")));
        let error = groups.change(&steps).unwrap_err();
        assert!(!error.hint().unwrap_or_default().contains("taken back"), "{:?}", error.hint());
        assert_eq!(reads_kmsg(&guard, &groups), before, "{former}");
    }
}

#[test]
fn a_container_with_groups_of_its_own_gets_another_list_but_on_v1_no_other_default() {
    let (guard, mut groups) = made(&name(), &format!(r#"{{"devices":{EVERYTHING}}}"#));
    let (version, group) = groups.controlled(Controller::Devices).unwrap();
    rustix::fs::mkdirat(group, "nested", rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    let result = groups.change(&steps(&guard, &groups, EVERYTHING, NOTHING));
    match version {
        Version::V1 => {
            let error = result.unwrap_err();
            assert!(error.to_string().starts_with("cannot use linux.resources.devices a: changes what "), "{error}");
            groups.change(&steps(&guard, &groups, EVERYTHING, BUT_KMSG)).unwrap();
        }
        Version::V2 => result.unwrap(),
    }
    assert!(!reads_kmsg(&guard, &groups));
}

#[test]
fn the_program_of_a_v2_group_is_replaced_and_put_back_and_there_is_never_a_second_one() {
    let (guard, groups) = made(&name(), r#"{"devices":[{"allow":true,"access":"rwm"}]}"#);
    let Some(index) = guard.hierarchies.unified() else {
        let steps = steps(&guard, &groups, EVERYTHING, NOTHING);
        return assert!(steps.iter().all(|step| matches!(step, Step::Write(..))), "a list, where there is no v2");
    };
    let group = groups.group(index).unwrap();
    let count = || sys::bpf::prog_query(group, &mut [0; sys::bpf::MOST_PROGRAMS]).unwrap();
    let program = |json: &str| devices::change_v2(&rules(json).devices).unwrap();
    assert_eq!(count(), 0);
    let first = program(NOTHING).replace(group).unwrap();
    assert!(!reads_kmsg(&guard, &groups));
    let second = program(KMSG).replace(group).unwrap();
    assert!(reads_kmsg(&guard, &groups));
    assert_eq!(count(), 1);
    second.restore(group.as_fd()).unwrap();
    assert!(!reads_kmsg(&guard, &groups));
    assert_eq!(count(), 1);
    first.restore(group).unwrap();
    assert!(reads_kmsg(&guard, &groups));
    assert_eq!(count(), 0);
    let place = Place { hierarchy: index, name: String::new(), path: guard.path.clone() };
    assert_eq!(Step::Devices(place, program(EVERYTHING)).place().hierarchy, index);
}
