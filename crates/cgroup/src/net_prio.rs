//! The priority of a group's packets on each interface.
//!
//! Documentation/admin-guide/cgroup-v1/net_prio.rst, OCI config-linux.md "Network". v2 has no such controller. The interfaces
//! are those of the host's initial network namespace, whoever asks (net/core/netprio_cgroup.c): a container that has a
//! network namespace of its own has a priority only where its packets leave through one of them.

use error::{Errno, Refused, Result};

use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::{Reads, Write};

const MAP_V1: &str = "net_prio.ifpriomap";

const FIELD: &str = "linux.resources.network.priorities";

/// What can be set.
pub const SETTINGS: &[Setting] = &[Setting {
    controller: Controller::NetPrio,
    flag: Some("--net-prio"),
    field: Some(FIELD),
    v1: Some(SettingFile { name: MAP_V1, value: "INTERFACE PRIORITY" }),
    v2: None,
    unit: "INTERFACE=PRIORITY, an interface of the host, 0 to 4294967295",
    effect: "packets that leave through the interface have the priority, unless their socket has one (SO_PRIORITY)",
}];

/// The longest name of an interface: `IFNAMSIZ` without the end.
const LONGEST: usize = 15;

/// What a fresh v1 group is given.
///
/// # Errors
/// Refused where an interface's name cannot be one.
pub fn plan_v1(network: &oci::Network) -> Result<Vec<Write>> {
    let write = |priority: &oci::InterfacePriority| {
        let name = priority.name.as_str();
        let foreign = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '/';
        if name.is_empty() || name.len() > LONGEST || name.contains(foreign) {
            return Err(Refused::new(FIELD, format!("{name:?}"), "is not the name of an interface").into());
        }
        let value = format!("{name} {}", priority.priority);
        Ok(Write::new(Controller::NetPrio, FIELD, MAP_V1, value).reads(Reads::Lines { cleared: "0" }))
    };
    network.priorities.iter().map(write).collect()
}

/// What the kernel's answer to a write means, where that is known.
pub(crate) fn refusal(write: &Write, errno: Errno) -> Option<Refused> {
    let name = write.value.split(' ').next().filter(|_| errno == Errno::NODEV)?;
    let refused = Refused::new(write.field.as_ref(), name, "is not an interface of the host");
    Some(refused.hint("name one of the host's own network namespace, as ip link shows them there"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(name: &str) -> oci::Network {
        let priority = oci::InterfacePriority { name: name.into(), priority: 5 };
        oci::Network { priorities: vec![priority], ..Default::default() }
    }

    #[test]
    fn an_interface_is_a_line_with_its_priority() {
        let write = &plan_v1(&network("eth0")).unwrap()[0];
        assert_eq!(write.to_string(), "net_prio.ifpriomap = eth0 5");
        assert_eq!(write.former("lo 0\nifb0 0\neth0 7\n").unwrap(), "eth0 7");
        assert_eq!(write.former("lo 0\n").unwrap(), "eth0 0");
        assert!(SETTINGS.iter().all(|setting| setting.v1.unwrap().name == write.file));
        for bad in ["", "eth0 5\neth1", "a/b", "sixteen_letters_"] {
            assert!(plan_v1(&network(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_interface_that_the_host_has_not_is_named() {
        let write = &plan_v1(&network("nosuch0")).unwrap()[0];
        let refused = refusal(write, Errno::NODEV).unwrap();
        let text = "cannot use linux.resources.network.priorities nosuch0: is not an interface of the host";
        assert_eq!(refused.to_string(), text);
        assert_eq!(refusal(write, Errno::INVAL), None);
    }

    proptest! {
        #[test]
        fn a_name_is_one_word_of_what_is_written_or_refused(name in "[ -~\n]{0,20}") {
            for write in plan_v1(&network(&name)).into_iter().flatten() {
                prop_assert_eq!(write.value, format!("{name} 5"));
            }
        }
    }
}
