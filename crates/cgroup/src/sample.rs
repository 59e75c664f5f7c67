//! What containers use now: one sample of each, in the same numbers from v1 and v2.
//!
//! The root of each hierarchy is opened once for all containers. A [`Meter`] that holds its files reads them again by
//! pread(2), which costs a fifth of opening them anew. Pressure comes from the v2 tree on hybrid hosts too.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use error::Result;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::hierarchy::{Controller, Hierarchies, HierarchyIndex, Version};
use crate::ladder::{Ladder, Rung};
use crate::path::GroupPath;
use crate::{cpu, cpuacct, file, freezer, io, memory, pids, pressure};

/// The hierarchies that samples are read from.
#[derive(Debug)]
pub struct Roots {
    hierarchies: Hierarchies,
    roots: Vec<Option<OwnedFd>>,
    /// Files of a line that have the same text for every container now.
    alike: Vec<(&'static str, String)>,
}

impl Roots {
    /// Opens the root of every hierarchy.
    ///
    /// # Errors
    /// A kernel error where one cannot be opened.
    pub fn open(hierarchies: Hierarchies) -> Result<Self> {
        let root = |hierarchy: &crate::Hierarchy| {
            if hierarchy.obstacle.is_none() { hierarchy.open().map(Some) } else { Ok(None) }
        };
        let roots = hierarchies.iter().map(|(_, hierarchy)| root(hierarchy)).collect::<Result<_>>()?;
        Ok(Self { hierarchies, roots, alike: Vec::new() })
    }

    /// Looks at what the whole host shares, which tells for many containers at once what some of their files would say: where
    /// v1's io has counted nothing below the root, and where nobody on the host has waited for a resource of late. To be called again before each time that all are read.
    pub fn look(&mut self) {
        let text = |index: HierarchyIndex, name: &str| {
            let root = self.roots.get(index.0)?.as_ref()?;
            read_again(&file::open(root, name, OFlags::RDONLY).ok()?)
        };
        let io = self.of(Controller::Io).filter(|(_, version)| *version == Version::V1).map(|(index, _)| index);
        let counted = io.into_iter().flat_map(|index| io::OF_A_LINE.map(|name| (name, text(index, name))));
        let counted = counted.filter(|(_, text)| text.as_deref().is_some_and(io::is_nothing_v1));
        let unified = self.hierarchies.unified();
        let waited = unified.into_iter().flat_map(|index| pressure::OF_A_LINE.map(|name| (name, text(index, name))));
        let waited = waited.filter(|(_, text)| text.as_deref().and_then(pressure::parse).is_some_and(|p| p.is_calm()));
        let alike = counted.chain(waited).filter_map(|(name, text)| Some((name, text?))).collect();
        self.alike = alike;
    }

    /// The text of a file that every container has alike.
    fn shared(&self, name: &str, depth: Depth) -> Option<String> {
        if depth == Depth::All {
            return None;
        }
        self.alike.iter().find(|(alike, _)| *alike == name).map(|(_, text)| text.clone())
    }

    pub(crate) fn of(&self, controller: Controller) -> Option<(HierarchyIndex, Version)> {
        let index = self.hierarchies.index_of(controller)?;
        Some((index, self.hierarchies.at(index).ok()?.version))
    }
}

/// How much of a container is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The CPU time alone, to compare with later.
    CpuTime,
    /// What a line of a table shows. Of pressure that is the averages, and not how long it was in all; of memory's limits the
    /// one that holds, which on v1 stands at the container's own level whoever set it.
    Line,
    /// All.
    All,
}

/// Whether files stay open between samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Those of the CPU time, which two samples are compared by, stay open; others are opened for each sample.
    CpuTime,
    /// They stay open: several dozen for a container.
    Files,
}

/// What a container uses. What this host cannot tell is absent in each part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// CPU time used.
    pub cpuacct: cpuacct::Stats,
    /// CPU bandwidth, and how it was held back.
    pub cpu: cpu::Stats,
    /// Memory and swap.
    pub memory: memory::Stats,
    /// The limits of memory from the container up.
    pub memory_ladder: Ladder,
    /// Block devices.
    pub io: io::Stats,
    /// Tasks.
    pub pids: pids::Stats,
    /// The limits of tasks from the container up.
    pub pids_ladder: Ladder,
    /// How long tasks had to wait for each resource.
    pub pressure: pressure::Stats,
    /// Whether it is paused.
    pub freezer: freezer::Stats,
}

impl Sample {
    /// Whether nothing at all could be read: the container has no groups any more.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let numbers = [self.cpuacct.usage_usec, self.memory.usage_bytes, self.pids.current];
        numbers.iter().all(Option::is_none) && self.pressure == pressure::Stats::default()
    }
}

/// A file that stays open; `None` where it could not be opened.
#[derive(Debug)]
struct Held {
    index: HierarchyIndex,
    place: String,
    file: Option<OwnedFd>,
}

/// Reads one container.
#[derive(Debug)]
pub struct Meter {
    path: GroupPath,
    hold: Hold,
    held: RefCell<Vec<Held>>,
}

impl Meter {
    /// A meter for the container whose groups are at `path`.
    #[must_use]
    pub const fn new(path: GroupPath, hold: Hold) -> Self {
        Self { path, hold, held: RefCell::new(Vec::new()) }
    }

    /// Reads the container now. Of one that is gone everything is absent.
    #[must_use]
    pub fn sample(&self, roots: &Roots, depth: Depth) -> Sample {
        if depth == Depth::CpuTime {
            return Sample { cpuacct: self.cpu_time(roots, depth), ..Sample::default() };
        }
        let wanted = |name: &str, of_a_line: &[&str]| depth == Depth::All || of_a_line.contains(&name);
        let mut sample = Sample::default();
        if let Some((index, version)) = roots.of(Controller::Cpu) {
            // On v2 both rooms read the same file.
            let once: RefCell<Option<(String, Option<String>)>> = RefCell::new(None);
            let read = |name: &str| {
                let known = once.borrow().as_ref().filter(|(known, _)| known == name).map(|(_, text)| text.clone());
                known.unwrap_or_else(|| {
                    let text = wanted(name, &cpu::OF_A_LINE).then(|| self.read(roots, index, &self.path, name))?;
                    *once.borrow_mut() = Some((name.to_owned(), text.clone()));
                    text
                })
            };
            sample.cpu = if version == Version::V1 { cpu::stats_v1(read) } else { cpu::stats_v2(read) };
            if version == Version::V2 {
                sample.cpuacct = cpuacct::stats_v2(read);
            }
        }
        if sample.cpuacct.usage_usec.is_none() {
            sample.cpuacct = self.cpu_time(roots, depth);
        }
        if let Some((index, version)) = roots.of(Controller::Io) {
            let own = |name: &str| wanted(name, &io::OF_A_LINE).then(|| self.read(roots, index, &self.path, name))?;
            let read = |name: &str| roots.shared(name, depth).or_else(|| own(name));
            sample.io = if version == Version::V1 { io::stats_v1(read) } else { io::stats_v2(read) };
        }
        if let Some(index) = roots.hierarchies.unified() {
            let own =
                |name: &str| wanted(name, &pressure::OF_A_LINE).then(|| self.read(roots, index, &self.path, name))?;
            sample.pressure = pressure::stats_v2(|name| roots.shared(name, depth).or_else(|| own(name)));
        }
        if let Some((index, version)) = roots.of(Controller::Freezer).filter(|_| depth == Depth::All) {
            let read = |name: &str| self.read(roots, index, &self.path, name);
            sample.freezer = if version == Version::V1 { freezer::stats_v1(read) } else { freezer::stats_v2(read) };
        }
        self.climb(roots, depth, &mut sample);
        sample
    }

    /// cpuacct's numbers, which v2 has in a file of cpu.
    fn cpu_time(&self, roots: &Roots, depth: Depth) -> cpuacct::Stats {
        let place = roots.of(Controller::Cpuacct).or_else(|| roots.of(Controller::Cpu));
        let Some((index, version)) = place else { return cpuacct::Stats::default() };
        let wanted =
            |name: &str| depth == Depth::All || version == Version::V2 || cpuacct::OF_A_LINE_V1.contains(&name);
        let read = |name: &str| wanted(name).then(|| self.read_held(roots, index, &self.path, name))?;
        if version == Version::V1 { cpuacct::stats_v1(read) } else { cpuacct::stats_v2(read) }
    }

    /// The resources that have a ladder: the container's own numbers, and those of the levels above.
    fn climb(&self, roots: &Roots, depth: Depth, sample: &mut Sample) {
        let wanted = |name: &str, of_a_line: &[&str]| depth == Depth::All || of_a_line.contains(&name);
        for (level, path) in levels(&self.path).into_iter().enumerate() {
            if let Some((index, version)) = roots.of(Controller::Memory) {
                let files: &[&str] = if level == 0 { &memory::OF_A_LINE } else { &memory::OF_A_RUNG };
                let read = |name: &str| wanted(name, files).then(|| self.read(roots, index, &path, name))?;
                let stats = if version == Version::V1 { memory::stats_v1(read) } else { memory::stats_v2(read) };
                sample.memory_ladder.rungs.push(Rung::of_memory(path.clone(), &stats));
                sample.memory = if level == 0 { stats } else { sample.memory };
            }
            // A line shows the container's own tasks alone.
            let pids = roots.of(Controller::Pids).filter(|_| level == 0 || depth == Depth::All);
            if let Some((index, version)) = pids {
                let read = |name: &str| wanted(name, &pids::OF_A_LINE).then(|| self.read(roots, index, &path, name))?;
                let stats = if version == Version::V1 { pids::stats_v1(read) } else { pids::stats_v2(read) };
                sample.pids_ladder.rungs.push(Rung::of_pids(path.clone(), &stats));
                sample.pids = if level == 0 { stats } else { sample.pids };
            }
        }
    }

    /// The text of a file of the container's own group.
    pub(crate) fn text(&self, roots: &Roots, index: HierarchyIndex, name: &str) -> Option<String> {
        self.read(roots, index, &self.path, name)
    }

    fn read(&self, roots: &Roots, index: HierarchyIndex, path: &GroupPath, name: &str) -> Option<String> {
        if self.hold == Hold::Files {
            return self.read_held(roots, index, path, name);
        }
        let root = roots.roots.get(index.0)?.as_ref()?;
        read_again(&file::open(root, &format!("{}/{name}", path.relative()), OFlags::RDONLY).ok()?)
    }

    fn read_held(&self, roots: &Roots, index: HierarchyIndex, path: &GroupPath, name: &str) -> Option<String> {
        let root = roots.roots.get(index.0)?.as_ref()?;
        let place = format!("{}/{name}", path.relative());
        let mut held = self.held.borrow_mut();
        if let Some(held) = held.iter().find(|held| held.index == index && held.place == place) {
            return read_again(held.file.as_ref()?);
        }
        let file = file::open(root, &place, OFlags::RDONLY).ok();
        let text = file.as_ref().and_then(read_again);
        held.push(Held { index, place, file });
        text
    }
}

/// The container's group and those above it, without the root of the hierarchy.
fn levels(path: &GroupPath) -> Vec<GroupPath> {
    std::iter::successors(Some(path.clone()), GroupPath::parent).filter(|path| !path.is_root()).collect()
}

/// The whole text of an open file, from its beginning. The files behind a sample are written in one piece, so that a
/// read that is not full was the last.
fn read_again(file: &OwnedFd) -> Option<String> {
    let mut text = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    loop {
        let offset = u64::try_from(text.len()).ok()?;
        let (part, rest) = match rustix::io::pread(file, &mut buffer, offset) {
            Err(Errno::INTR) => continue,
            read => read.ok()?,
        };
        text.extend_from_slice(part);
        if part.is_empty() || !rest.is_empty() {
            break;
        }
    }
    String::from_utf8(text).ok()
}
