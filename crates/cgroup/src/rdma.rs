//! RDMA devices: how many handles and objects of each.
//!
//! Documentation/admin-guide/cgroup-v1/rdma.rst, cgroup-v2.rst "RDMA", OCI config-linux.md "RDMA".

use std::collections::BTreeMap;

use error::{Refused, Result};

use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

/// The same name in both versions.
const MAX: &str = "rdma.max";

const FIELD: &str = "linux.resources.rdma";

/// What a fresh v1 group is given.
///
/// # Errors
/// Refused where a device's name cannot be one.
pub fn plan_v1(devices: &BTreeMap<String, oci::Rdma>) -> Result<Vec<Write>> {
    plan(devices)
}

/// What a fresh v2 group is given: the same.
///
/// # Errors
/// As [`plan_v1`].
pub fn plan_v2(devices: &BTreeMap<String, oci::Rdma>) -> Result<Vec<Write>> {
    plan(devices)
}

fn plan(devices: &BTreeMap<String, oci::Rdma>) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (device, limits) in devices {
        if device.is_empty() || device.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(Refused::new(FIELD, format!("{device:?}"), "is not the name of a device").into());
        }
        let mut value = device.clone();
        for (key, limit) in [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)] {
            value.extend(limit.map(|limit| format!(" {key}={limit}")));
        }
        if value != *device {
            writes.push(Write::new(Controller::Rdma, FIELD, MAX, &value).other(MAX, &value));
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_line_of_what_is_limited() {
        let devices = |name: &str, handles| {
            BTreeMap::from([(name.to_owned(), oci::Rdma { hca_handles: handles, hca_objects: None })])
        };
        assert_eq!(plan_v1(&devices("mlx5_1", Some(3))).unwrap()[0].to_string(), "rdma.max = mlx5_1 hca_handle=3");
        assert_eq!(plan_v2(&devices("mlx5_1", None)).unwrap(), []);
        assert!(plan_v1(&devices("a b", Some(3))).is_err());
    }
}
