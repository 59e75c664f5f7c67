//! The files of a running container's groups, wherever this host has each controller: v1, v2 or both.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Carboy;

/// A controller's own hierarchy where it has one, else the unified one, by its mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// v1.
    V1(PathBuf),
    /// v2.
    V2(PathBuf),
}

impl Version {
    /// The mount point.
    #[must_use]
    pub fn point(&self) -> &Path {
        let (Self::V1(point) | Self::V2(point)) = self;
        point
    }
}

/// Where this host has a controller, by its name on v1.
///
/// # Panics
/// Without any hierarchy.
#[must_use]
pub fn hierarchy(controller: &str) -> Version {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut unified = None;
    for line in mounts.lines() {
        let (place, kind) = line.split_once(" - ").unwrap();
        let point = PathBuf::from(place.split(' ').nth(4).unwrap());
        let mut kind = kind.split(' ');
        match (kind.next(), kind.next_back()) {
            (Some("cgroup"), Some(options)) if options.split(',').any(|option| option == controller) => {
                return Version::V1(point);
            }
            (Some("cgroup2"), _) => unified = Some(point),
            _ => {}
        }
    }
    Version::V2(unified.expect("this host has no cgroup hierarchy"))
}

/// The folder of a running container's group for a controller.
///
/// # Panics
/// Where there is no such container.
#[must_use]
pub fn folder(carboy: &Carboy, container: &str, controller: &str) -> PathBuf {
    let document = carboy.inspect(container);
    let group = document["CgroupPath"].as_str().unwrap().trim_start_matches('/');
    hierarchy(controller).point().join(group)
}

/// What a running container's group says in a file of a controller, by the file's name in v1 and in v2, each without
/// the controller's own name before it.
///
/// # Panics
/// Where there is no such file.
#[must_use]
pub fn setting(carboy: &Carboy, container: &str, controller: &str, (v1, v2): (&str, &str)) -> String {
    let name = match (hierarchy(controller), controller) {
        (Version::V1(_), _) => format!("{controller}.{v1}"),
        (Version::V2(_), "blkio") => format!("io.{v2}"),
        (Version::V2(_), _) => format!("{controller}.{v2}"),
    };
    let path = folder(carboy, container, controller).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

/// The form of a value in v1 or in v2.
#[must_use]
pub fn either(controller: &str, v1: &str, v2: &str) -> String {
    match hierarchy(controller) {
        Version::V1(_) => v1.to_owned(),
        Version::V2(_) => v2.to_owned(),
    }
}

/// Where this host has hierarchies, also named ones and those without controllers.
///
/// # Panics
/// Never, as long as /proc is mounted.
#[must_use]
pub fn mount_points() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let places = mounts.lines().filter(|line| line.contains(" - cgroup"));
    places.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// A group above containers that limits memory, gone with the test.
#[derive(Debug)]
pub struct Parent(pub PathBuf);

impl Parent {
    /// Makes it.
    ///
    /// # Panics
    /// Without root rights.
    #[must_use]
    pub fn limited(name: &str, bytes: u64) -> Self {
        let place = hierarchy("memory");
        let group = place.point().join(name);
        fs::create_dir(&group).unwrap();
        let parent = Self(group);
        let file = match &place {
            Version::V1(_) => "memory.limit_in_bytes",
            Version::V2(point) => {
                fs::write(point.join("cgroup.subtree_control"), "+memory").unwrap();
                "memory.max"
            }
        };
        fs::write(parent.0.join(file), bytes.to_string()).unwrap();
        parent
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A limit of a group: the controller, the file and the value on v1, on v2, each file without the controller's own name
/// before it.
pub type Limit = (&'static str, (&'static str, &'static str), (&'static str, &'static str));

/// Limits for [`Team::new`].
pub mod limit {
    use super::Limit;

    /// 32 MiB of memory.
    pub const MEMORY_32_MIB: Limit = ("memory", ("limit_in_bytes", "33554432"), ("max", "33554432"));
    /// 0.2 CPUs.
    pub const CPU_0_2: Limit = ("cpu", ("cfs_quota_us", "20000"), ("max", "20000 100000"));
}

/// A group above containers with several limits, in whichever hierarchies they are, gone with the test.
#[derive(Debug)]
pub struct Team {
    /// Its path, without a slash before it.
    pub name: String,
    folders: Vec<PathBuf>,
}

impl Team {
    /// Makes it.
    ///
    /// # Panics
    /// Without root rights.
    #[must_use]
    pub fn new(name: &str, limits: &[Limit]) -> Self {
        let mut folders = Vec::new();
        for (controller, v1, v2) in limits {
            let place = hierarchy(controller);
            if let Version::V2(point) = &place {
                fs::write(point.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
            }
            let folder = place.point().join(name);
            fs::create_dir_all(&folder).unwrap();
            let (file, value) = if let Version::V1(_) = place { v1 } else { v2 };
            fs::write(folder.join(format!("{controller}.{file}")), value).unwrap();
            folders.push(folder);
        }
        Self { name: name.to_owned(), folders }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}
