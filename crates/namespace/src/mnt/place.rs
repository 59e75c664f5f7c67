//! Where in the container a mount goes, and what it may cover there. A mount over /proc would let a process be shown what
//! the kernel does not say, and keep its security labels from being written: so only files that lxcfs makes may.

use child::Covers;
use error::{Refused, Result};
use oci::Mount;
use std::ffi::CStr;

use super::options::{Manner, Options};
use super::{Facts, is_bind};
use crate::steps::Steps;

/// The files below /proc that other runtimes let be covered too.
const COVERABLE: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// A destination as a path from the root without `.`, `..` and doubled slashes: by its text, not by what is there.
pub(super) fn inside(destination: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in destination.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The same for the child.
///
/// # Errors
/// Refused for the root itself.
pub(super) fn at<'a>(mount: &Mount, steps: &Steps<'a>) -> Result<&'a CStr> {
    let inside = inside(&mount.destination);
    if inside.is_empty() {
        return Err(Refused::new("mounts.destination", &mount.destination, "would cover the container's root").into());
    }
    steps.text("mounts.destination", &inside)
}

/// What a mount may cover.
///
/// # Errors
/// Refused for what is in /proc.
pub(super) fn covers(mount: &Mount, (options, facts): (&Options, &Facts)) -> Result<Covers> {
    let inside = inside(&mount.destination);
    let kind = if is_bind(mount) { "bind" } else { mount.kind.as_deref().unwrap_or_default() };
    if inside == "proc" {
        let source = mount.source.as_deref().unwrap_or_default();
        return match kind {
            "proc" => Ok(Covers::Folder),
            "bind" if facts.on_procfs.contains(source) => Ok(Covers::Procfs),
            _ => Err(Refused::new("mounts.destination", &mount.destination, "can only be a procfs").into()),
        };
    }
    if let Some(file) = inside.strip_prefix("proc/") {
        if COVERABLE.contains(&file) {
            return Ok(Covers::Procfs);
        }
        let refused = Refused::new("mounts.destination", &mount.destination, "cannot be covered: it is inside /proc");
        return Err(refused.hint(format!("below /proc that is only possible for {}", COVERABLE.join(", "))).into());
    }
    Ok(match kind {
        "proc" | "sysfs" => Covers::Folder,
        _ if options.has(Manner::DestinationItself) => Covers::Name,
        _ => Covers::Ordinary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mnt::options;

    fn covered(destination: &str, kind: &str, words: &[&str]) -> Result<Covers> {
        let facts = Facts { on_procfs: ["/proc".to_owned()].into(), ..Facts::default() };
        let mount = Mount {
            destination: destination.to_owned(),
            kind: Some(kind.to_owned()),
            source: Some("/proc".to_owned()),
            options: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Mount::default()
        };
        covers(&mount, (&options::parse(words), &facts))
    }

    #[test]
    fn a_destination_ends_at_the_root() {
        assert_eq!(inside("//a/./b/../c/"), "a/c");
        assert_eq!(inside("/../../etc"), "etc");
        assert_eq!(inside("/a/../.."), "");
    }

    #[test]
    fn only_a_procfs_covers_proc_and_little_covers_what_is_in_it() {
        assert_eq!(covered("/proc", "proc", &[]).unwrap(), Covers::Folder);
        assert_eq!(covered("/x/../proc/", "none", &["rbind"]).unwrap(), Covers::Procfs);
        assert!(covered("/proc", "tmpfs", &[]).unwrap_err().to_string().contains("can only be a procfs"));
        assert_eq!(covered("/proc/meminfo", "none", &["bind"]).unwrap(), Covers::Procfs);
        for place in ["/proc/self/attr", "/proc/sys", "/proc/../proc/1", "/proc/cpuinfo/x"] {
            assert!(covered(place, "tmpfs", &[]).unwrap_err().to_string().contains("inside /proc"), "{place}");
        }
    }

    #[test]
    fn elsewhere_a_mount_covers_what_the_path_leads_to_or_its_name() {
        assert_eq!(covered("/procession", "tmpfs", &[]).unwrap(), Covers::Ordinary);
        assert_eq!(covered("/sys", "sysfs", &[]).unwrap(), Covers::Folder);
        assert_eq!(covered("/link", "none", &["bind", "dest-nofollow"]).unwrap(), Covers::Name);
    }
}
