//! A class on the packets of a group, for tc(8) and the firewall.
//!
//! Documentation/admin-guide/cgroup-v1/net_cls.rst, OCI config-linux.md "Network". A class is tc's `MAJOR:MINOR`, two numbers
//! of 16 bits in hexadecimal, as one number: `10:1` is 0x00100001. v2 has no such controller; where no v1 hierarchy has it
//! either, nftables marks the packets: [`crate::mark`].

use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::Write;

pub(crate) const CLASS_V1: &str = "net_cls.classid";

pub(crate) const FIELD: &str = "linux.resources.network.classID";

/// What can be set.
pub const SETTINGS: &[Setting] = &[Setting {
    controller: Controller::NetCls,
    flag: Some("--net-cls-classid"),
    field: Some(FIELD),
    v1: Some(SettingFile { name: CLASS_V1, value: "NUMBER" }),
    v2: None,
    unit: "0xAAAABBBB or MAJOR:MINOR of tc in hexadecimal, 0 for none",
    effect: "packets carry the class, which tc's cgroup filter and iptables' cgroup match see; on v2 nftables marks them",
}];

/// What a fresh v1 group is given. 0 is no class, which a group below one with a class has only when it is told.
#[must_use]
pub fn plan_v1(network: &oci::Network) -> Vec<Write> {
    network.class_id.map(|class| Write::new(Controller::NetCls, FIELD, CLASS_V1, class)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_number_and_none_is_zero() {
        let network = |class_id| oci::Network { class_id, ..Default::default() };
        let write = &plan_v1(&network(Some(0x10_0001)))[0];
        assert_eq!(write.to_string(), "net_cls.classid = 1048577");
        assert_eq!(write.former("65537\n").unwrap(), "65537");
        assert_eq!(plan_v1(&network(Some(0)))[0].to_string(), "net_cls.classid = 0");
        assert_eq!(plan_v1(&network(None)), []);
        assert!(SETTINGS.iter().all(|setting| setting.v1.unwrap().name == write.file));
    }
}
