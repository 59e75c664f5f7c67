//! The block devices of the host whose throughput can be limited. stat(2); sysfs(5) /sys/dev/block.
//!
//! The kernel limits whole disks alone: block/blk-cgroup.c `blkg_conf_open_bdev` answers ENODEV for a partition.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use error::{Doing, Refused, Result};
use rustix::fs::{major, minor};

use crate::options::Limits;

/// A whole block device, as limits name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its node as it was asked for.
    pub node: PathBuf,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

/// Reads the devices that `limits` name, each once.
///
/// # Errors
/// Refused, naming the flag, for what is no block device and for a partition; a kernel error where it cannot be told.
pub fn read(limits: &Limits) -> Result<Vec<Disk>> {
    let weights = limits.blkio_weight_device.iter().map(|weight| ("--blkio-weight-device", &weight.disk));
    let rates =
        limits.throttles().into_iter().flat_map(|(flag, rates)| rates.iter().map(move |rate| (flag, &rate.disk)));
    let mut disks: Vec<Disk> = Vec::new();
    for (flag, node) in weights.chain(rates) {
        if !disks.iter().any(|known| known.node == *node) {
            disks.push(disk(flag, node)?);
        }
    }
    Ok(disks)
}

fn disk(flag: &str, node: &Path) -> Result<Disk> {
    let refused = |reason: &str| Refused::new(flag, node.display().to_string(), reason);
    let listed = "lsblk lists the block devices";
    let found = match fs::metadata(node) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(refused("does not exist on this host").hint(listed).into());
        }
        found => found.doing(|| format!("look at {}", node.display()))?,
    };
    if !found.file_type().is_block_device() {
        return Err(refused("is no block device").hint(listed).into());
    }
    let (major, minor) = (major(found.rdev()), minor(found.rdev()));
    let known = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if !known.exists() {
        return Err(refused("is a node without a device behind it").hint(listed).into());
    }
    if known.join("partition").exists() {
        let refused = refused("is a partition, and the kernel limits whole disks alone");
        return Err(match whole(&known) {
            Some(whole) => refused.hint(format!("use {whole}")).into(),
            None => refused.hint(listed).into(),
        });
    }
    Ok(Disk { node: node.to_path_buf(), major, minor })
}

/// The node of the disk that a partition is on: the folder above the partition's own has its name.
fn whole(partition: &Path) -> Option<String> {
    let folder = fs::canonicalize(partition).ok()?;
    Some(format!("/dev/{}", folder.parent()?.file_name()?.to_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{DiskRate, DiskWeight};

    fn refusal(node: &str) -> String {
        let limits = Limits { device_read_bps: vec![DiskRate { disk: node.into(), rate: 1 }], ..Limits::default() };
        read(&limits).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_whole_block_device_is_refused() {
        assert_eq!(refusal("/dev/nope"), "cannot use --device-read-bps /dev/nope: does not exist on this host");
        assert_eq!(refusal("/dev/null/x"), "cannot use --device-read-bps /dev/null/x: does not exist on this host");
        assert_eq!(refusal("/dev/null"), "cannot use --device-read-bps /dev/null: is no block device");
        let weight = DiskWeight { disk: "/etc".into(), weight: 10 };
        let error = read(&Limits { blkio_weight_device: vec![weight], ..Limits::default() }).unwrap_err();
        assert_eq!(error.to_string(), "cannot use --blkio-weight-device /etc: is no block device");
    }

    #[test]
    fn the_disk_of_a_partition_is_the_folder_above_it() {
        let folder = std::env::temp_dir().join(format!("carboy-disk-{}", std::process::id()));
        fs::create_dir_all(folder.join("sda/sda1")).unwrap();
        assert_eq!(whole(&folder.join("sda/sda1")).unwrap(), "/dev/sda");
        fs::remove_dir_all(folder).unwrap();
    }
}
