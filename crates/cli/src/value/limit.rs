//! Resource limits of setrlimit(2), sets of CPUs and memory nodes of cpuset(7), and limits that name what they are for:
//! sizes of huge pages, RDMA devices, files of cgroup v2.

use engine::options::{Limit, Rdma, Set, Ulimit};
use error::Result;

use super::quantity;
use crate::flags::Given;

/// `NAME=SOFT[:HARD]`; -1 is no limit.
pub(crate) fn ulimit(given: Given<'_>) -> Result<Ulimit> {
    let hint = "use a name and one or two numbers, such as nofile=1024:2048, and -1 for no limit";
    let refused = |reason: &str| given.refused(reason).hint(hint);
    let Some((name, limits)) = given.value.split_once('=') else {
        return Err(refused("has no limit").into());
    };
    let Some(resource) = Ulimit::resource(name) else {
        return Err(refused("names no resource")
            .hint("nofile, nproc, core, stack, memlock and others of ulimit(1)")
            .into());
    };
    let number = |word: &str| match word.parse::<i64>() {
        Ok(-1) => Ok(Limit::Unlimited),
        Ok(number) => u64::try_from(number).map(Limit::At).map_err(|_| refused("has a limit below -1")),
        Err(_) => Err(refused("has a limit that is no whole number")),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    let above = match (soft, hard) {
        (_, Limit::Unlimited) => false,
        (Limit::Unlimited, Limit::At(_)) => true,
        (Limit::At(soft), Limit::At(hard)) => soft > hard,
    };
    if above {
        return Err(given.refused("has a soft limit above the hard one").hint("give the smaller number first").into());
    }
    Ok(Ulimit { resource, soft, hard })
}

/// `0-3,5`; nothing is as if it was not given.
pub(crate) fn set(given: Given<'_>) -> Result<Option<Set>> {
    match Set::parse(given.value) {
        Some(set) => Ok(Some(set).filter(|set| !set.is_empty())),
        None => Err(given.refused("is no list of numbers").hint("use numbers and ranges, such as 0-3,5").into()),
    }
}

/// `SIZE=BYTES` with a size of huge pages, which comes out as the kernel writes it: `2MB`.
pub(crate) fn huge_pages(given: Given<'_>) -> Result<(String, u64)> {
    let refused = |reason: &str| given.refused(reason).hint("use a size of huge pages and a limit, such as 2MB=64m");
    let Some((size, limit)) = given.value.split_once('=') else {
        return Err(refused("is not SIZE=BYTES").into());
    };
    let pages = quantity::bytes(given.part(size)).ok().filter(|bytes| *bytes >= 1 << 10 && bytes.is_power_of_two());
    let pages = pages.ok_or_else(|| refused("names no size of huge pages"))?;
    let (shift, unit) =
        [(30, "GB"), (20, "MB"), (10, "KB")].into_iter().find(|(shift, _)| pages >> shift > 0).unwrap_or((10, "KB"));
    let bytes = quantity::bytes(given.part(limit)).map_err(|_| refused("has no size for its limit"))?;
    Ok((format!("{}{unit}", pages >> shift), bytes))
}

/// `DEVICE:hca_handle=N,hca_object=N`, either or both.
pub(crate) fn rdma(given: Given<'_>) -> Result<(String, Rdma)> {
    let refused = |reason: &str| given.refused(reason).hint("use a device and what it may use: mlx5_0:hca_handle=2");
    let Some((device, limits)) = given.value.split_once(':').filter(|(device, _)| !device.is_empty()) else {
        return Err(refused("is not DEVICE:LIMITS").into());
    };
    let mut rdma = Rdma::default();
    for part in limits.split(',') {
        let (name, number) = part.split_once('=').unwrap_or((part, ""));
        let place = match name {
            "hca_handle" => &mut rdma.hca_handles,
            "hca_object" => &mut rdma.hca_objects,
            _ => return Err(refused("limits neither hca_handle nor hca_object").into()),
        };
        let number = number.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok());
        *place = Some(number.ok_or_else(|| refused("has a limit that is no whole number from 0 to 2147483647"))?);
    }
    Ok((device.to_owned(), rdma))
}

/// `FILE=VALUE` with a file of a group of cgroup v2.
pub(crate) fn unified(given: Given<'_>) -> Result<(String, String)> {
    let hint = "use a file of cgroup v2 and what to write to it: memory.high=67108864";
    let Some((file, value)) = given.value.split_once('=').filter(|(file, _)| !file.is_empty()) else {
        return Err(given.refused("is not FILE=VALUE").hint(hint).into());
    };
    if file.contains('/') || file.contains("..") {
        return Err(given.refused("leads out of the container's own group").hint(hint).into());
    }
    if value.is_empty() || value.contains(char::is_control) {
        return Err(given.refused("has no value that could be written").hint(hint).into());
    }
    Ok((file.to_owned(), value.to_owned()))
}
