//! What tests may have left on the host: carboy's mounts, cgroups and processes.
//!
//! Mounts and hierarchies are read from /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use error::{Doing, Result};

/// Every object on the host that looks like carboy's, as a line for people.
pub(super) struct Host(BTreeSet<String>);

impl Host {
    /// Looks around; `carboy` is the binary whose processes count.
    pub(super) fn read(carboy: &Path) -> Result<Self> {
        let path = "/proc/self/mountinfo";
        let mountinfo = fs::read_to_string(path).doing(|| format!("read {path}"))?;
        let mut found = BTreeSet::new();
        for (mount_point, kind) in mountinfo.lines().filter_map(mount) {
            if mount_point.contains("carboy") {
                found.insert(format!("mount {mount_point} ({kind})"));
            } else if matches!(kind, "cgroup" | "cgroup2") {
                find_cgroups(Path::new(mount_point), &mut found);
            }
        }
        for process in fs::read_dir("/proc").doing(|| "list /proc")?.flatten() {
            if fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe == carboy) {
                found.insert(format!("process {}", process.file_name().to_string_lossy()));
            }
        }
        Ok(Self(found))
    }

    /// What is here and was not `before`.
    pub(super) fn since(self, before: &Self) -> Vec<String> {
        self.0.into_iter().filter(|thing| !before.0.contains(thing)).collect()
    }
}

/// The mount point and the file system type of a line.
fn mount(line: &str) -> Option<(&str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    Some((left.split(' ').nth(4)?, right.split(' ').next()?))
}

/// Adds the cgroups below `folder` that have carboy in their name. One that vanishes meanwhile is not left behind.
fn find_cgroups(folder: &Path, found: &mut BTreeSet<String>) {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders: Vec<PathBuf> =
        folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect();
    for below in folders {
        if below.file_name().is_some_and(|name| name.to_string_lossy().contains("carboy")) {
            found.insert(format!("cgroup {}", below.display()));
        } else {
            find_cgroups(&below, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_gives_its_mount_point_and_type() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount(line), Some(("/mnt2", "ext3")));
    }

    #[test]
    fn only_what_is_new_was_left_behind() {
        let host = |things: &[&str]| Host(things.iter().map(|thing| (*thing).to_owned()).collect());
        assert_eq!(host(&["mount a", "mount b"]).since(&host(&["mount a"])), ["mount b"]);
    }

    #[test]
    fn a_running_binary_is_found() {
        let own = std::env::current_exe().unwrap();
        let things = Host::read(&own).unwrap().0;
        assert!(things.contains(&format!("process {}", std::process::id())));
    }
}
