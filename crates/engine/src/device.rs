//! The device nodes of the host, as a configuration has them. stat(2), runtime specification "Devices".

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use error::{Doing, Refused, Result};
use oci::Device;
use rustix::fs::{major, minor};

use crate::options::{DeviceMapping, RunOptions};

/// A node, and what its container may do with it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostDevice {
    /// The node, by its path in the container.
    pub device: Device,
    /// Some of `r`, `w` and `m`.
    pub access: String,
}

/// Folders of /dev that belong to a mount of their own in a container, or to no hardware.
const NOT_HARDWARE: [&str; 4] = ["pts", "shm", "fd", "mqueue"];

/// Nodes that a container has its own of.
const ITS_OWN: [&str; 2] = ["console", "ptmx"];

/// Reads the nodes that `options` ask for: those of `--device`, and of a privileged container every node of the host.
///
/// # Errors
/// Refused for what is no device node and for a folder without any; a kernel error that names what could not be read.
pub fn read(options: &RunOptions) -> Result<Vec<HostDevice>> {
    let mut devices = Vec::new();
    if options.security.privileged {
        below(Path::new("/dev"), "/dev", "rwm", &mut devices)?;
    }
    for mapping in &options.resources.devices {
        let known = devices.iter().any(|known| known.device.path == mapping.destination.as_str());
        if !known {
            asked(mapping, &mut devices)?;
        }
    }
    Ok(devices)
}

fn asked(mapping: &DeviceMapping, devices: &mut Vec<HostDevice>) -> Result<()> {
    let DeviceMapping { source, destination, access } = mapping;
    let refused = |reason: &str| Refused::new("--device", source.display().to_string(), reason);
    let found = match fs::metadata(source) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(refused("does not exist on this host").hint("ls /dev shows what there is").into());
        }
        found => found.doing(|| format!("look at {}", source.display()))?,
    };
    if let Some(device) = node(&found, destination.as_str()) {
        devices.push(HostDevice { device, access: access.clone() });
        return Ok(());
    }
    let before = devices.len();
    if found.is_dir() {
        below(source, destination.as_str(), access, devices)?;
    }
    if devices.len() == before {
        let hint = "use --volume for files and folders";
        return Err(refused("is neither a device node nor a folder with any").hint(hint).into());
    }
    Ok(())
}

/// Every node below a folder; links lead to nodes that are found by themselves.
fn below(folder: &Path, inside: &str, access: &str, devices: &mut Vec<HostDevice>) -> Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).doing(|| format!("list {}", folder.display()))? {
        entries.push(entry.doing(|| format!("list {}", folder.display()))?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Ok(found) = entry.metadata() else { continue };
        let path = format!("{}/{name}", inside.trim_end_matches('/'));
        if found.is_dir() && !NOT_HARDWARE.contains(&name) && !name.starts_with('.') {
            below(&entry.path(), &path, access, devices)?;
        } else if !ITS_OWN.contains(&name) {
            let device = node(&found, &path);
            devices.extend(device.map(|device| HostDevice { device, access: access.to_owned() }));
        }
    }
    Ok(())
}

/// The node that a file is, if it is one.
fn node(found: &Metadata, path: &str) -> Option<Device> {
    let kind = found.file_type();
    let kind = if kind.is_char_device() {
        "c"
    } else if kind.is_block_device() {
        "b"
    } else {
        return None;
    };
    Some(Device {
        path: path.to_owned(),
        kind: kind.to_owned(),
        major: Some(i64::from(major(found.rdev()))),
        minor: Some(i64::from(minor(found.rdev()))),
        file_mode: Some(found.mode() & 0o7777),
        uid: Some(found.uid()),
        gid: Some(found.gid()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{ContainerPath, Root};

    fn options(source: &str, destination: &str) -> RunOptions {
        let mut options = RunOptions::new(Root::Host, Vec::new());
        let destination = ContainerPath::new(destination).unwrap();
        options.resources.devices.push(DeviceMapping { source: source.into(), destination, access: "rw".to_owned() });
        options
    }

    #[test]
    fn a_node_of_the_host_is_found_with_its_numbers() {
        let devices = read(&options("/dev/null", "/dev/nothing")).unwrap();
        let [HostDevice { device, access }] = devices.as_slice() else { panic!("{devices:?}") };
        assert_eq!((device.path.as_str(), device.kind.as_str(), access.as_str()), ("/dev/nothing", "c", "rw"));
        assert_eq!((device.major, device.minor), (Some(1), Some(3)));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let error = read(&options("/etc/passwd", "/dev/x")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use --device /etc/passwd: is neither a device node nor a folder with any"
        );
        let error = read(&options("/dev/nope", "/dev/x")).unwrap_err();
        assert_eq!(error.to_string(), "cannot use --device /dev/nope: does not exist on this host");
    }

    #[test]
    fn a_privileged_container_gets_the_hosts_nodes_once() {
        let mut options = options("/dev/null", "/dev/null");
        options.security.privileged = true;
        let devices = read(&options).unwrap();
        assert_eq!(devices.iter().filter(|found| found.device.path == "/dev/null").count(), 1);
        assert!(devices.iter().all(|found| !found.device.path.starts_with("/dev/pts/")));
    }
}
