//! What must be known of the host before a container can be planned: read once, so that the plan makes no system call.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use error::Result;
use namespace::mnt::{self, Source, View};
use oci::{Config, Mount};
use procfs::{Proc, Process};

use cgroup::facts::Commission;
use cgroup::{GroupPath, Hierarchies, HierarchyIndex, HostFacts, Mounted, Version};

/// The facts.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The host's cgroup hierarchies.
    pub hierarchies: Hierarchies,
    /// What the group's parents allow.
    pub cgroup: HostFacts,
    /// Where the container's groups go.
    pub group: GroupPath,
    /// Limits that nobody asked for: they are dropped where this host cannot have them.
    pub defaulted: Vec<&'static str>,
    /// The hierarchies whose groups the container sees.
    pub groups: Vec<HierarchyIndex>,
    /// What the mounts need to know; its groups are those above, in the same order.
    pub mounts: mnt::Facts,
    /// Whether the process gets supplementary groups.
    pub further_groups: FurtherGroups,
}

/// Whether a process gets the supplementary groups that its configuration has, setgroups(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FurtherGroups {
    /// It does.
    Set,
    /// Its user namespace denies that: it keeps its caller's.
    Kept,
}

impl FurtherGroups {
    /// What holds in the user namespace of a process.
    ///
    /// # Errors
    /// A kernel error where it is gone.
    pub fn of(process: &Process) -> Result<Self> {
        Ok(if process.denies_setgroups()? { Self::Kept } else { Self::Set })
    }
}

/// Where the container's groups are to be.
#[derive(Debug, Clone)]
pub struct Site {
    /// The host's cgroup hierarchies.
    pub hierarchies: Hierarchies,
    /// The groups' path in each of them.
    pub group: GroupPath,
    /// What systemd is asked for, where it makes them.
    pub systemd: Option<Commission>,
}

impl Facts {
    /// Reads what `config` needs to be planned; `mounts` is the folder for hierarchies that nobody has mounted.
    ///
    /// # Errors
    /// A kernel error that names what could not be read.
    pub fn read(config: &Config, site: Site, defaulted: Vec<&'static str>, mounts: &Path) -> Result<Self> {
        crate::joined::check(config)?;
        let Site { hierarchies, group, systemd } = site;
        let resources = config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
        let hierarchies = match resources {
            Some(resources) => hierarchies.for_container(resources, mounts)?,
            None => hierarchies.for_container(&oci::Resources::default(), mounts)?,
        };
        let cgroup = HostFacts { systemd, ..HostFacts::read(&hierarchies, &group)? };
        let (groups, names) = folders(&hierarchies);
        let mounts = mnt::Facts { groups: names, ..of_mounts(&config.mounts)? };
        let further_groups = FurtherGroups::of(&Process::this()?)?;
        Ok(Self { hierarchies, cgroup, group, defaulted, groups, mounts, further_groups })
    }

    /// The same with the groups above as they are now.
    ///
    /// # Errors
    /// A kernel error that names what could not be read.
    pub fn reread(&self) -> Result<Self> {
        let systemd = self.cgroup.systemd.clone();
        let cgroup = HostFacts { systemd, ..HostFacts::read(&self.hierarchies, &self.group)? };
        Ok(Self { cgroup, ..self.clone() })
    }
}

/// That the container's root is entered without pivot_root(2): the mounts by which the way back would show the host.
///
/// # Errors
/// A kernel error.
pub fn without_pivot() -> Result<mnt::Jail> {
    let shows =
        |mount: &procfs::MountInfo| mount.root == Path::new("/") && matches!(mount.fs_type.as_str(), "proc" | "sysfs");
    let mounts = Process::this()?.mountinfo()?.into_iter().filter(shows);
    let paths = mounts.map(|mount| mount.mount_point.to_string_lossy().into_owned());
    Ok(mnt::Jail::ChangeRoot(paths.collect()))
}

/// What mounts need to know, without the groups that they show.
///
/// # Errors
/// A kernel error.
pub(crate) fn of_mounts(mounts: &[Mount]) -> Result<mnt::Facts> {
    let view = if Process::this()?.uid_map()?.is_whole() { View::MakesNodes } else { View::BindsHostNodes };
    let has_kcore = Proc::open()?.has("kcore")?;
    let mut facts = mnt::Facts { view, has_kcore, ..mnt::Facts::default() };
    for mount in mounts {
        let Some(source) = mount.source.as_ref().filter(|source| source.starts_with('/')) else { continue };
        look_at(source, &mut facts);
    }
    Ok(facts)
}

/// Looks at the source of a bind mount.
pub(crate) fn look_at(source: &str, mounts: &mut mnt::Facts) {
    let kind = match fs::metadata(source) {
        Ok(found) if found.is_dir() => Source::Folder,
        Ok(_) => Source::File,
        Err(_) => Source::Absent,
    };
    mounts.sources.insert(source.to_owned(), kind);
    if let Ok(target) = fs::read_link(source) {
        mounts.links.insert(source.to_owned(), target.to_string_lossy().into_owned());
    }
    let handle = CString::new(source).ok().and_then(|path| sys::path::open_handle(&path).ok());
    if handle.is_some_and(|handle| sys::mount::is_procfs(handle.as_fd()) == Ok(true)) {
        mounts.on_procfs.insert(source.to_owned());
    }
}

/// The folder that each writable hierarchy of the host gets below the container's cgroup mount: the name of its own mount
/// point, or none where the host has v2 alone, which then is the mount itself. What carboy mounts for a container acts on
/// it from outside.
fn folders(hierarchies: &Hierarchies) -> (Vec<HierarchyIndex>, Vec<String>) {
    let writable: Vec<_> = hierarchies
        .iter()
        .filter(|(_, hierarchy)| hierarchy.obstacle.is_none() && hierarchy.mounted == Mounted::ByHost)
        .collect();
    if let [(index, hierarchy)] = writable.as_slice()
        && hierarchy.version == Version::V2
    {
        return (vec![*index], vec![String::new()]);
    }
    let name = |point: &Path| point.file_name().unwrap_or_default().to_string_lossy().into_owned();
    writable.iter().map(|(index, hierarchy)| (*index, name(&hierarchy.mount_point))).unzip()
}
