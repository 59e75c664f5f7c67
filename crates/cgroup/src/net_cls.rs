//! A class on the packets of a group, for tc(8) and the firewall.
//!
//! Documentation/admin-guide/cgroup-v1/net_cls.rst, OCI config-linux.md "Network". v2 has no such controller; where no v1
//! hierarchy has it either, nftables marks the packets: [`crate::mark`].

use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

pub(crate) const FIELD: &str = "linux.resources.network.classID";

/// What a fresh v1 group is given; 0 is what it has anyway.
#[must_use]
pub fn plan_v1(network: &oci::Network) -> Vec<Write> {
    let class = network.class_id.filter(|class| *class != 0);
    class.map(|class| Write::new(Controller::NetCls, FIELD, "net_cls.classid", class)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_number() {
        let network = |class_id| oci::Network { class_id, ..Default::default() };
        assert_eq!(plan_v1(&network(Some(0x10_0001)))[0].to_string(), "net_cls.classid = 1048577");
        assert_eq!(plan_v1(&network(Some(0))), []);
    }
}
