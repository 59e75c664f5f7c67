//! The priority of a group's packets on each interface.
//!
//! Documentation/admin-guide/cgroup-v1/net_prio.rst, OCI config-linux.md "Network". v2 has no such controller.

use error::{Refused, Result};

use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

const FIELD: &str = "linux.resources.network.priorities";

/// What a fresh v1 group is given.
///
/// # Errors
/// Refused where an interface's name cannot be one.
pub fn plan_v1(network: &oci::Network) -> Result<Vec<Write>> {
    let write = |priority: &oci::InterfacePriority| {
        let name = priority.name.as_str();
        if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(Refused::new(FIELD, format!("{name:?}"), "is not the name of an interface").into());
        }
        let value = format!("{name} {}", priority.priority);
        Ok(Write::new(Controller::NetPrio, FIELD, "net_prio.ifpriomap", value))
    };
    network.priorities.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_a_line_with_its_priority() {
        let priority = |name: &str| oci::InterfacePriority { name: name.into(), priority: 5 };
        let network = |name| oci::Network { priorities: vec![priority(name)], ..Default::default() };
        assert_eq!(plan_v1(&network("eth0")).unwrap()[0].to_string(), "net_prio.ifpriomap = eth0 5");
        assert!(plan_v1(&network("eth0 5\neth1")).is_err());
    }
}
