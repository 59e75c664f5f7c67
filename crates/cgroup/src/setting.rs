//! Every setting of every controller, as one table: where it is asked for, which file of each version holds it, and what
//! the kernel does with it. The entries stand in the controllers' own files; `carboy explain limits` prints them.

use crate::hierarchy::{Controller, Version};
use crate::{cpu, cpuset, devices, freezer, hugetlb, io, memory, net_cls, net_prio, pids, rdma};

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Whose it is.
    pub controller: Controller,
    /// The flag of `carboy run` and `carboy update`, with its dashes; `None` where it has no flag of its own.
    pub flag: Option<&'static str>,
    /// The OCI field; `None` for what only a command does, as pausing.
    pub field: Option<&'static str>,
    /// The file of v1; `None` where v1 has none.
    pub v1: Option<SettingFile>,
    /// The file of v2; `None` where v2 has none.
    pub v2: Option<SettingFile>,
    /// The unit and range of the value as it is asked for: `bytes`, `2 to 262144`.
    pub unit: &'static str,
    /// What the kernel does with it, as a sentence without a full stop.
    pub effect: &'static str,
}

/// A file that holds a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingFile {
    /// Its name; `*` stands for a part that depends on the host, as a page size.
    pub name: &'static str,
    /// How the value is written there: `BYTES, or -1 for no limit`.
    pub value: &'static str,
}

impl Setting {
    /// The file in a version.
    #[must_use]
    pub const fn file(&self, version: Version) -> Option<SettingFile> {
        match version {
            Version::V1 => self.v1,
            Version::V2 => self.v2,
        }
    }
}

/// All of them, in the order of the controllers.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    let rooms: [&'static [Setting]; 11] = [
        cpu::SETTINGS,
        cpuset::SETTINGS,
        memory::SETTINGS,
        io::SETTINGS,
        pids::SETTINGS,
        devices::SETTINGS,
        freezer::SETTINGS,
        net_cls::SETTINGS,
        net_prio::SETTINGS,
        hugetlb::SETTINGS,
        rdma::SETTINGS,
    ];
    rooms.into_iter().flatten()
}
