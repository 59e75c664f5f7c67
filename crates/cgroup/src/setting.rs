//! Every setting of every controller, as one table: where it is asked for, which file of each version holds it, and what
//! the kernel does with it. The entries stand in the controllers' own files; `carboy explain limits` prints them.

use std::fmt::Write as _;

use crate::hierarchy::{Controller, Hierarchies, Version};
use crate::{cpu, cpuset, devices, freezer, hugetlb, io, memory, misc, net_cls, net_prio, ns, perf_event, pids, rdma};

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

    /// How it is asked for: by its flag, by the flag for any file of v2 with the file, by a command.
    #[must_use]
    pub fn asked(&self) -> String {
        match (self.flag, self.field, self.v2) {
            (Some(flag @ "--cgroup-conf"), _, Some(file)) => format!("{flag} {}", file.name),
            (Some(flag), ..) => flag.to_owned(),
            (None, Some(_), _) => String::new(),
            (None, None, _) => "carboy pause, carboy unpause".to_owned(),
        }
    }

    /// Whether a version has it without a file of its own: device rules of v2 are a BPF program.
    #[must_use]
    pub const fn is_program(&self, version: Version) -> bool {
        matches!((self.controller, version), (Controller::Devices, Version::V2))
    }

    /// Whether nftables does on this host what the controller would: it has v2, and a v1 hierarchy of it nowhere.
    #[must_use]
    pub fn is_marked_by_nftables(&self, hierarchies: &Hierarchies) -> bool {
        self.controller == Controller::NetCls
            && hierarchies.of(Controller::NetCls).is_none()
            && hierarchies.unified().is_some()
    }
}

/// The table without what depends on the host, as Markdown: `docs/limits.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for controller in Controller::ALL {
        let mut settings = all().filter(|setting| setting.controller == controller).peekable();
        if settings.peek().is_none() {
            continue;
        }
        let (v1, v2) = (controller.name(Version::V1), controller.name(Version::V2));
        let other = if v1 == v2 { String::new() } else { format!(" (v1: {v1})") };
        let _ = write!(text, "\n## {v2}{other}\n\n{COLUMNS}");
        for setting in settings {
            let cells = [
                code(&setting.asked()),
                code(setting.field.unwrap_or_default()),
                setting.unit.to_owned(),
                file_cell(setting, Version::V1),
                file_cell(setting, Version::V2),
                setting.effect.to_owned(),
            ];
            let _ = writeln!(text, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
    }
    let _ = write!(text, "\n## ns\n\n{}.\n", ns::NOTE);
    text
}

const HEAD: &str = "\
# Limits

Every setting of every controller: what asks for it (flags are those of `carboy run` and `carboy update`), which file of
cgroup v1 and of cgroup v2 holds it and how the value is written there, and what the kernel does with it. A host has each
controller in one of the two versions; `carboy explain limits` shows the same with what this host has, and
`carboy explain run` what a container would be given.

This file is generated: `carboy explain limits --markdown > docs/limits.md`.
";

const COLUMNS: &str = "\
| asked for by | OCI field | value | v1 | v2 | what the kernel does |
| --- | --- | --- | --- | --- | --- |
";

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn file_cell(setting: &Setting, version: Version) -> String {
    match setting.file(version) {
        Some(SettingFile { name, value }) => format!("`{name}`: {value}"),
        None if setting.is_program(version) => "a BPF program".to_owned(),
        None => "none".to_owned(),
    }
}

/// All of them, in the order of the controllers.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    let rooms: [&'static [Setting]; 13] = [
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
        misc::SETTINGS,
        perf_event::SETTINGS,
    ];
    rooms.into_iter().flatten()
}
