//! Limits at block devices: `/dev/sda:VALUE`. The device is looked for on the host later.

use std::path::PathBuf;

use engine::options::{DiskRate, DiskWeight};
use error::Result;

use super::quantity;
use crate::flags::Given;

/// A device and what stands after it. A path can have colons of its own.
fn split<'w>(given: Given<'w>, example: &str) -> Result<(PathBuf, &'w str)> {
    let hint = format!("use a device and a value, such as /dev/sda:{example}");
    match given.value.rsplit_once(':') {
        Some((node, _)) if !node.starts_with('/') => Err(given.refused("has no absolute path").hint(hint).into()),
        Some((node, value)) => Ok((PathBuf::from(node), value)),
        None => Err(given.refused("has no value after a device").hint(hint).into()),
    }
}

/// A weight: 10 to 1000, and 0 is as if it was not given.
pub(crate) fn weight(given: Given<'_>) -> Result<Option<u16>> {
    let refused = || given.refused("is not a weight from 10 to 1000").hint("500 is usual");
    Ok(Some(number(given.value).ok_or_else(refused)?).filter(|weight| *weight != 0))
}

fn number(word: &str) -> Option<u16> {
    word.parse().ok().filter(|weight| *weight == 0 || (10..=1000).contains(weight))
}

/// `DISK:WEIGHT`.
pub(crate) fn weight_of_disk(given: Given<'_>) -> Result<DiskWeight> {
    let (disk, word) = split(given, "500")?;
    let refused = || given.refused("has no weight from 10 to 1000 after the device").hint("500 is usual");
    Ok(DiskWeight { disk, weight: number(word).ok_or_else(refused)? })
}

/// `DISK:BYTES`, bytes a second; 0 is no limit.
pub(crate) fn bytes(given: Given<'_>) -> Result<DiskRate> {
    let (disk, word) = split(given, "1m")?;
    let refused = || given.refused("has no size after the device").hint("use a size such as 1m, or 0 for no limit");
    Ok(DiskRate { disk, rate: quantity::bytes(given.part(word)).map_err(|_| refused())? })
}

/// `DISK:NUMBER`, operations a second; 0 is no limit.
pub(crate) fn operations(given: Given<'_>) -> Result<DiskRate> {
    let (disk, word) = split(given, "100")?;
    let refused = || given.refused("has no whole number after the device").hint("use 100, or 0 for no limit");
    Ok(DiskRate { disk, rate: word.parse::<u32>().map_err(|_| refused())?.into() })
}
