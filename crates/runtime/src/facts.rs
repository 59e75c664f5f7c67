//! What must be known of the host before a container can be planned: read once, so that the plan makes no system call.

use std::fs;
use std::path::Path;

use error::Result;
use namespace::mnt::{self, Source};
use oci::Config;

use cgroup::{GroupPath, Hierarchies, HierarchyIndex, HostFacts, Version};

/// The facts.
#[derive(Debug)]
pub struct Facts {
    /// The host's cgroup hierarchies.
    pub hierarchies: Hierarchies,
    /// What the group's parents allow.
    pub cgroup: HostFacts,
    /// Where the container's groups go.
    pub group: GroupPath,
    /// Limits that nobody asked for: they are dropped where this host cannot have them.
    pub defaulted: Vec<&'static str>,
    /// The hierarchies in which the container gets a group.
    pub groups: Vec<HierarchyIndex>,
    /// What the mounts need to know; its groups are those above, in the same order.
    pub mounts: mnt::Facts,
}

impl Facts {
    /// Reads what `config` needs to be planned.
    ///
    /// # Errors
    /// A kernel error that names what could not be read.
    pub fn read(config: &Config, group: GroupPath, defaulted: Vec<&'static str>) -> Result<Self> {
        let hierarchies = Hierarchies::read()?;
        let cgroup = HostFacts::read(&hierarchies, &group)?;
        let (groups, names) = folders(&hierarchies);
        let mut mounts = mnt::Facts { groups: names, ..mnt::Facts::default() };
        for mount in &config.mounts {
            let Some(source) = mount.source.as_ref().filter(|source| source.starts_with('/')) else { continue };
            let kind = match fs::metadata(source) {
                Ok(found) if found.is_dir() => Source::Folder,
                Ok(_) => Source::File,
                Err(_) => Source::Absent,
            };
            mounts.sources.insert(source.clone(), kind);
        }
        Ok(Self { hierarchies, cgroup, group, defaulted, groups, mounts })
    }
}

/// The folder that each writable hierarchy gets below the container's cgroup mount: the name of its own mount point, or
/// none where the host has v2 alone, which then is the mount itself.
fn folders(hierarchies: &Hierarchies) -> (Vec<HierarchyIndex>, Vec<String>) {
    let writable: Vec<_> = hierarchies.iter().filter(|(_, hierarchy)| !hierarchy.read_only).collect();
    if let [(index, hierarchy)] = writable.as_slice()
        && hierarchy.version == Version::V2
    {
        return (vec![*index], vec![String::new()]);
    }
    let name = |point: &Path| point.file_name().unwrap_or_default().to_string_lossy().into_owned();
    writable.iter().map(|(index, hierarchy)| (*index, name(&hierarchy.mount_point))).unzip()
}
