//! RDMA devices: how many handles and objects of each.
//!
//! Documentation/admin-guide/cgroup-v1/rdma.rst, cgroup-v2.rst "RDMA", OCI config-linux.md "RDMA".

use std::collections::BTreeMap;

use error::{Errno, Refused, Result};

use crate::Limit;
use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::{Reads, Write};

/// The same names in both versions.
const MAX: &str = "rdma.max";
const CURRENT: &str = "rdma.current";

const FIELD: &str = "linux.resources.rdma";

/// The highest limit, which to the kernel is none: `S32_MAX`.
const HIGHEST: u32 = i32::MAX.cast_unsigned();

/// How a line of the file reads: one for each device, those without a limit too.
pub(crate) const READS: Reads = Reads::Lines { cleared: "hca_handle=max hca_object=max" };

/// What can be set.
pub const SETTINGS: &[Setting] = &[Setting {
    controller: Controller::Rdma,
    flag: Some("--rdma-limit"),
    field: Some(FIELD),
    v1: Some(SettingFile { name: MAX, value: "DEVICE hca_handle=N hca_object=N, max for none" }),
    v2: Some(SettingFile { name: MAX, value: "DEVICE hca_handle=N hca_object=N, max for none" }),
    unit: "DEVICE:hca_handle=N,hca_object=N, up to 2147483647",
    effect: "opening a device or making an object of it beyond the limit fails with EAGAIN",
}];

/// What a fresh v1 group is given.
///
/// # Errors
/// Refused where a device's name cannot be one, and for more than the kernel takes.
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
            let Some(limit) = limit else { continue };
            if limit > HIGHEST {
                let reason = format!("is above the kernel's maximum of {HIGHEST}");
                return Err(Refused::new(FIELD, format!("{device} {key}={limit}"), reason).into());
            }
            value.push_str(&format!(" {key}={limit}"));
        }
        if value != *device {
            writes.push(Write::new(Controller::Rdma, FIELD, MAX, &value).other(MAX, &value).reads(READS));
        }
    }
    Ok(writes)
}

/// What the kernel's answer to a write means, where that is known: kernel/cgroup/rdma.c.
pub(crate) fn refusal(write: &Write, errno: Errno) -> Option<Refused> {
    let device = write.value.split(' ').next().filter(|_| errno == Errno::NODEV)?;
    let refused = Refused::new(write.field.as_ref(), device, "is not an RDMA device of this host");
    Some(refused.hint("/sys/class/infiniband has their names"))
}

/// One device's handles and objects, those of the groups below counted. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// The device's name, as `mlx5_1`.
    pub device: String,
    /// Handles in use.
    pub handles: Option<u64>,
    /// Objects in use.
    pub objects: Option<u64>,
    /// The most handles that there may be.
    pub handles_limit: Option<Limit>,
    /// The most objects that there may be.
    pub objects_limit: Option<Limit>,
}

/// Reads a v1 group, a device that it uses or has a limit for after the other; `read` gives a file's text.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    stats(read)
}

/// Reads a v2 group: the same.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    stats(read)
}

fn stats(read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    let mut devices: BTreeMap<String, Stats> = BTreeMap::new();
    for file in [MAX, CURRENT] {
        for line in read(file).iter().flat_map(|text| text.lines()) {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let device = devices.entry(name.to_owned()).or_default();
            name.clone_into(&mut device.device);
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                match (file, key) {
                    (MAX, "hca_handle") => device.handles_limit = limit(value),
                    (MAX, "hca_object") => device.objects_limit = limit(value),
                    (_, "hca_handle") => device.handles = value.parse().ok(),
                    (_, "hca_object") => device.objects = value.parse().ok(),
                    _ => {}
                }
            }
        }
    }
    devices.into_values().collect()
}

fn limit(text: &str) -> Option<Limit> {
    match text {
        "max" => Some(Limit::Unlimited),
        number => number.parse().ok().map(Limit::At),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn devices(name: &str, handles: Option<u32>) -> BTreeMap<String, oci::Rdma> {
        BTreeMap::from([(name.to_owned(), oci::Rdma { hca_handles: handles, hca_objects: None })])
    }

    #[test]
    fn a_device_is_a_line_of_what_is_limited() {
        assert_eq!(plan_v1(&devices("mlx5_1", Some(3))).unwrap()[0].to_string(), "rdma.max = mlx5_1 hca_handle=3");
        assert_eq!(plan_v2(&devices("mlx5_1", None)).unwrap(), []);
        assert!(plan_v1(&devices("a b", Some(3))).is_err());
        assert!(plan_v1(&devices("mlx5_1", Some(HIGHEST))).is_ok());
        assert_eq!(
            plan_v1(&devices("mlx5_1", Some(1 << 31))).unwrap_err().to_string(),
            "cannot use linux.resources.rdma mlx5_1 hca_handle=2147483648: is above the kernel's maximum of 2147483647"
        );
    }

    #[test]
    fn a_former_limit_is_put_back_with_both_values_and_an_unknown_device_is_named() {
        let write = &plan_v2(&devices("mlx5_1", Some(3))).unwrap()[0];
        let text = "mlx4_0 hca_handle=max hca_object=max\nmlx5_1 hca_handle=2 hca_object=2000\n";
        assert_eq!(write.former(text).unwrap(), "mlx5_1 hca_handle=2 hca_object=2000");
        assert_eq!(write.former("").unwrap(), "mlx5_1 hca_handle=max hca_object=max");
        let refused = refusal(write, Errno::NODEV).unwrap();
        assert_eq!(refused.to_string(), "cannot use linux.resources.rdma mlx5_1: is not an RDMA device of this host");
        assert_eq!(refusal(write, Errno::INVAL), None);
        assert!(SETTINGS.iter().all(|setting| setting.v1.unwrap().name == write.file && setting.v1 == setting.v2));
    }

    #[test]
    fn use_and_limits_of_a_device_are_put_together() {
        let read = |file: &str| match file {
            "rdma.max" => Some("mlx4_0 hca_handle=2 hca_object=max\n".into()),
            "rdma.current" => Some("mlx4_0 hca_handle=1 hca_object=20\nocrdma1 hca_handle=1 hca_object=23\n".into()),
            _ => None,
        };
        let read = stats_v1(read);
        let of = |at: usize| (read[at].device.as_str(), read[at].handles, read[at].objects);
        assert_eq!((of(0), of(1)), (("mlx4_0", Some(1), Some(20)), ("ocrdma1", Some(1), Some(23))));
        assert_eq!((read[0].handles_limit, read[0].objects_limit), (Some(Limit::At(2)), Some(Limit::Unlimited)));
        assert_eq!((read[1].handles_limit, stats_v2(|_| None)), (None, Vec::new()));
    }

    proptest! {
        #[test]
        fn reading_never_fails_hard(text in "([a-z0-9]{1,4} hca_(handle|object)=)?[ -~\n]{0,40}") {
            prop_assert_eq!(stats_v1(|_| Some(text.clone())), stats_v2(|_| Some(text.clone())));
        }

        #[test]
        fn the_plans_of_both_versions_describe_the_same(name in "[ -~]{0,5}", handles: Option<u32>) {
            let asked = devices(&name, handles);
            prop_assert_eq!(plan_v1(&asked), plan_v2(&asked));
        }
    }
}
