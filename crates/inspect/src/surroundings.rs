//! A container's mounts, and where the same files are on the host. Pure: mountinfo of both to one list.
//!
//! A mount shows a folder of a file system, which it names by device and path; where the host has mounted the same file
//! system at or above that folder, the folder has a path there. proc_pid_mountinfo(5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use procfs::MountInfo;

use crate::snapshot::Mount;

/// Where the host has which folder of which file system.
#[derive(Debug, Default)]
pub(crate) struct HostMounts {
    places: BTreeMap<(u32, u32), Vec<(PathBuf, PathBuf)>>,
    /// The peer groups of its mounts.
    peers: BTreeSet<u32>,
    /// The numbers of its mounts.
    pub(crate) ids: BTreeSet<u64>,
    /// The inode of their namespace, where that is known.
    pub(crate) namespace: Option<u64>,
}

impl HostMounts {
    pub(crate) fn new(mounts: &[MountInfo], namespace: Option<u64>) -> Self {
        let mut places = BTreeMap::<_, Vec<_>>::new();
        for mount in mounts {
            places.entry(mount.device).or_default().push((mount.root.clone(), mount.mount_point.clone()));
        }
        let peers = mounts.iter().filter_map(|mount| mount.propagation.shared).collect();
        Self { places, peers, ids: mounts.iter().map(|mount| mount.id.into()).collect(), namespace }
    }

    /// The host's path of a folder, the one by the mount that is nearest above it.
    fn path(&self, device: (u32, u32), folder: &Path) -> Option<PathBuf> {
        let places = self.places.get(&device)?.iter();
        let above = places.filter_map(|(root, point)| Some((root, point, folder.strip_prefix(root).ok()?)));
        let nearest =
            above.min_by_key(|(root, point, _)| (usize::MAX - root.components().count(), point.components().count()));
        nearest.map(|(_, point, rest)| if rest.as_os_str().is_empty() { point.clone() } else { point.join(rest) })
    }

    /// A container's mounts, those that are hidden below another at the same place left out.
    pub(crate) fn seen_from(&self, mounts: &[MountInfo]) -> Vec<Mount> {
        let is_on_top = |mount: &MountInfo| {
            !mounts
                .iter()
                .any(|other| other.parent == mount.id && other.id != mount.id && other.mount_point == mount.mount_point)
        };
        let mounts = mounts.iter().filter(|mount| is_on_top(mount));
        mounts.map(|mount| self.seen(mount)).collect()
    }

    fn seen(&self, mount: &MountInfo) -> Mount {
        Mount {
            inside: mount.mount_point.clone(),
            host: self.path(mount.device, &mount.root),
            fs_type: mount.fs_type.clone(),
            read_only: mount.is_read_only(),
            layers: if mount.fs_type == "overlay" { layers(&mount.super_options) } else { Vec::new() },
            root: mount.root.clone(),
            device: mount.device,
            shared: mount.propagation.shared.is_some_and(|group| self.peers.contains(&group)),
        }
    }
}

/// The folders of an overlay, the upper first, as far as they are named by whole paths. A layer that was given by a
/// descriptor may be mounted nowhere; its name then begins at its own root, which says nothing. overlayfs.rst.
fn layers(options: &str) -> Vec<PathBuf> {
    let value = |keys: &'static [&str]| {
        let options = options.split(',').filter_map(|option| option.split_once('='));
        options.filter(|(key, _)| keys.contains(key)).map(|(_, value)| value)
    };
    let upper = value(&["upperdir"]);
    let lower = value(&["lowerdir"]).flat_map(|lower| lower.split(':'));
    // Newer kernels name each layer by an option of its own.
    let each = value(&["lowerdir+"]).filter(|lower| *lower != "/");
    upper.chain(lower).chain(each).map(PathBuf::from).filter(|layer| layer.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &[u8] = b"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 /vol /srv rw - ext4 /dev/sda2 rw\n\
        22 20 8:1 /var/lib /mnt/lib rw - ext4 /dev/sda1 rw\n23 20 0:5 / /proc rw - proc proc rw\n";

    fn seen(mounts: &str) -> Vec<Mount> {
        let host = HostMounts::new(&procfs::mountinfo::parse(HOST).unwrap(), None);
        host.seen_from(&procfs::mountinfo::parse(mounts.as_bytes()).unwrap())
    }

    #[test]
    fn a_bind_mount_leads_to_its_place_on_the_host() {
        for (device, root, host) in [
            ("8:1", "/etc", Some("/etc")),
            ("8:1", "/", Some("/")),
            ("8:1", "/var/lib/x", Some("/mnt/lib/x")),
            ("8:2", "/vol/a b", Some("/srv/a b")),
            ("8:2", "/other", None),
            ("0:77", "/", None),
        ] {
            let mounts = seen(&format!("50 49 {device} {} /data ro,nosuid - ext4 x rw\n", root.replace(' ', "\\040")));
            assert_eq!(mounts[0].host.as_deref(), host.map(Path::new), "{device} {root}");
            assert!(mounts[0].read_only);
        }
    }

    #[test]
    fn an_overlays_layers_are_told_and_what_is_hidden_is_not() {
        let mounts = seen(
            "49 1 0:50 / / rw - overlay overlay rw,lowerdir=/l/1:/l/2:rel,upperdir=/u,workdir=/w\n\
             50 49 0:51 / /data rw - tmpfs tmpfs rw\n51 50 8:1 /etc /data rw - ext4 x rw\n",
        );
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].layers, ["/u", "/l/1", "/l/2"].map(PathBuf::from));
        assert_eq!(mounts[1].host.as_deref(), Some(Path::new("/etc")));
    }
}
