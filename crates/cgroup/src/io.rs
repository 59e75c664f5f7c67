//! Block devices: weight, and limits of bytes and operations a second. v1 calls the controller blkio.
//!
//! Documentation/admin-guide/cgroup-v1/blkio-controller.rst, cgroup-v2.rst "IO", Documentation/block/bfq-iosched.rst,
//! OCI config-linux.md "Block IO". Weights need the BFQ scheduler on v1, and BFQ or io.cost on v2.

use error::{Refused, Result};

use crate::hierarchy::Controller;

use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[crate::Setting] = &[];

const WEIGHT_V1: &str = "blkio.bfq.weight";
const WEIGHT_DEVICE_V1: &str = "blkio.bfq.weight_device";
const WEIGHT_V2: &str = "io.weight";
const MAX_V2: &str = "io.max";

const WEIGHT: &str = "linux.resources.blockIO.weight";
const WEIGHT_DEVICE: &str = "linux.resources.blockIO.weightDevice";
const LEAF_WEIGHT: &str = "linux.resources.blockIO.leafWeight";

/// OCI's weights.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

/// The four limits of a device: OCI field, v1 file, key of v2's `io.max`.
const THROTTLES: [(&str, &str, &str); 4] = [
    ("linux.resources.blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("linux.resources.blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("linux.resources.blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("linux.resources.blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
];

/// v2's 1 to 10000 for OCI's 10 to 1000, as runc and crun have it.
fn weight_v2(weight: u16) -> u32 {
    1 + (u32::from(weight) - u32::from(*WEIGHTS.start())) * 9_999 / 990
}

/// A weight that was asked for; 0 was not.
fn weight(field: &str, weight: Option<u16>) -> Result<Option<u16>> {
    match weight.filter(|weight| *weight != 0) {
        Some(weight) if !WEIGHTS.contains(&weight) => {
            Err(Refused::new(field, weight.to_string(), "is not between 10 and 1000").into())
        }
        weight => Ok(weight),
    }
}

fn refuse_leaf_weights(io: &oci::BlockIo) -> Result<()> {
    let of_devices = io.weight_device.iter().filter_map(|device| device.leaf_weight);
    match io.leaf_weight.into_iter().chain(of_devices).find(|weight| *weight != 0) {
        Some(weight) => {
            Err(Refused::new(LEAF_WEIGHT, weight.to_string(), "the kernel no longer has leaf weights").into())
        }
        None => Ok(()),
    }
}

/// What there is to write: a weight, and values for devices.
fn plan(io: &oci::BlockIo, write: impl Fn(&'static str, Setting) -> Write) -> Result<Vec<Write>> {
    refuse_leaf_weights(io)?;
    let mut writes: Vec<Write> =
        weight(WEIGHT, io.weight)?.map(|value| write(WEIGHT, Setting::Weight(value))).into_iter().collect();
    for device in &io.weight_device {
        let value = weight(WEIGHT_DEVICE, device.weight)?;
        let device = format!("{}:{}", device.major, device.minor);
        writes.extend(value.map(|value| write(WEIGHT_DEVICE, Setting::DeviceWeight(device, value))));
    }
    let lists = [
        &io.throttle_read_bps_device,
        &io.throttle_write_bps_device,
        &io.throttle_read_iops_device,
        &io.throttle_write_iops_device,
    ];
    for (list, (field, file, key)) in lists.into_iter().zip(THROTTLES) {
        let throttle = |limit: &oci::ThrottleDevice| {
            let device = format!("{}:{}", limit.major, limit.minor);
            write(field, Setting::Throttle { device, rate: limit.rate, file, key })
        };
        writes.extend(list.iter().map(throttle));
    }
    Ok(writes)
}

enum Setting {
    Weight(u16),
    DeviceWeight(String, u16),
    Throttle { device: String, rate: u64, file: &'static str, key: &'static str },
}

impl Setting {
    fn v1(&self) -> (&'static str, String) {
        match self {
            Self::Weight(weight) => (WEIGHT_V1, weight.to_string()),
            Self::DeviceWeight(device, weight) => (WEIGHT_DEVICE_V1, format!("{device} {weight}")),
            Self::Throttle { device, rate, file, .. } => (file, format!("{device} {rate}")),
        }
    }

    fn v2(&self) -> (&'static str, String) {
        match self {
            Self::Weight(weight) => (WEIGHT_V2, format!("default {}", weight_v2(*weight))),
            Self::DeviceWeight(device, weight) => (WEIGHT_V2, format!("{device} {}", weight_v2(*weight))),
            // v1's word for no limit is 0.
            Self::Throttle { device, rate: 0, key, .. } => (MAX_V2, format!("{device} {key}=max")),
            Self::Throttle { device, rate, key, .. } => (MAX_V2, format!("{device} {key}={rate}")),
        }
    }
}

/// What a fresh v1 group is given.
///
/// # Errors
/// Refused for a weight out of its range, and for leaf weights.
pub fn plan_v1(io: &oci::BlockIo) -> Result<Vec<Write>> {
    plan(io, |field, setting| {
        let ((file, value), (other, other_value)) = (setting.v1(), setting.v2());
        Write::new(Controller::Io, field, file, value).other(other, other_value)
    })
}

/// What a fresh v2 group is given.
///
/// # Errors
/// As [`plan_v1`].
pub fn plan_v2(io: &oci::BlockIo) -> Result<Vec<Write>> {
    plan(io, |field, setting| {
        let ((file, value), (other, other_value)) = (setting.v2(), setting.v1());
        Write::new(Controller::Io, field, file, value).other(other, other_value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(writes: &[Write]) -> Vec<String> {
        writes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn weights_and_limits_have_their_files_in_both_versions() {
        let asked: oci::BlockIo = serde_json::from_str(
            r#"{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":1000}],
                "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}"#,
        )
        .unwrap();
        assert_eq!(
            shown(&plan_v1(&asked).unwrap()),
            [
                "blkio.bfq.weight = 500",
                "blkio.bfq.weight_device = 8:0 1000",
                "blkio.throttle.read_bps_device = 8:0 1048576",
                "blkio.throttle.write_iops_device = 8:16 0"
            ]
        );
        assert_eq!(
            shown(&plan_v2(&asked).unwrap()),
            [
                "io.weight = default 4950",
                "io.weight = 8:0 10000",
                "io.max = 8:0 rbps=1048576",
                "io.max = 8:16 wiops=max"
            ]
        );
    }

    #[test]
    fn a_weight_out_of_range_and_a_leaf_weight_are_refused_and_zero_is_not_asked() {
        let io = |weight, leaf_weight| oci::BlockIo {
            weight: Some(weight),
            leaf_weight: Some(leaf_weight),
            ..Default::default()
        };
        assert_eq!(plan_v1(&io(0, 0)).unwrap(), []);
        for bad in [io(9, 0), io(1001, 0), io(0, 10)] {
            assert!(plan_v1(&bad).is_err() && plan_v2(&bad).is_err());
        }
    }
}
