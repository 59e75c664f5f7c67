//! What a container has cost: the few numbers that are read when it has ended, before its groups go.

use std::cell::Cell;

use crate::group::Groups;
use crate::hierarchy::{Controller, Version};
use crate::{cpu, cpuacct, file, io, memory};

/// What a container has cost. What this host does not tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// CPU time used, in microseconds.
    pub cpu_usec: Option<u64>,
    /// How long its tasks were held back by its own quota of CPU time, in microseconds.
    pub throttled_usec: Option<u64>,
    /// The most memory that it ever used, page cache included; v2 has it since Linux 5.19.
    pub memory_peak_bytes: Option<u64>,
    /// Bytes read from disks.
    pub read_bytes: Option<u64>,
    /// Bytes written to disks.
    pub written_bytes: Option<u64>,
}

impl Groups {
    /// Reads it: a file for each controller.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let cpu = self.read_some(Controller::Cpu, &cpu::OF_A_LINE, |version, read| match version {
            Version::V1 => (cpu::stats_v1(read).throttled_usec, None),
            // One file has both, and is read once for each.
            Version::V2 => (cpu::stats_v2(read).throttled_usec, cpuacct::stats_v2(read).usage_usec),
        });
        let (throttled_usec, used) = cpu.unwrap_or_default();
        let cpu_usec = used.or_else(|| {
            let files = &cpuacct::OF_A_LINE_V1;
            self.read_some(Controller::Cpuacct, files, |_, read| cpuacct::stats_v1(read).usage_usec).flatten()
        });
        let memory_peak_bytes = self.read_some(Controller::Memory, &memory::OF_A_PEAK, |version, read| match version {
            Version::V1 => memory::stats_v1(read).peak_bytes,
            Version::V2 => memory::stats_v2(read).peak_bytes,
        });
        let io = self.read_some(Controller::Io, &io::OF_A_LINE, |version, read| {
            let is_told = Cell::new(false);
            let read = |name: &str| read(name).inspect(|_| is_told.set(true));
            let stats = if version == Version::V1 { io::stats_v1(read) } else { io::stats_v2(read) };
            // A disk with which nothing was done has no line.
            let none = is_told.get().then_some(0);
            (stats.read_bytes.or(none), stats.write_bytes.or(none))
        });
        let (read_bytes, written_bytes) = io.unwrap_or_default();
        let memory_peak_bytes = memory_peak_bytes.flatten();
        Spent { cpu_usec, throttled_usec, memory_peak_bytes, read_bytes, written_bytes }
    }

    /// Reads these files alone of a controller's.
    fn read_some<T>(
        &self,
        controller: Controller,
        files: &[&str],
        stats: impl FnOnce(Version, &dyn Fn(&str) -> Option<String>) -> T,
    ) -> Option<T> {
        let (version, group) = self.controlled(controller)?;
        Some(stats(version, &|name| files.contains(&name).then(|| file::read(group, name).ok())?))
    }
}
