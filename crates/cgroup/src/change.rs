//! Changing what a container that exists is held to: all that is asked, or nothing.
//!
//! The kernel takes one value at a time and can refuse any of them, for reasons that only it knows (a group nested in the
//! container's that has more, memory that cannot be reclaimed). So every value that is overwritten is read before, and
//! put back in reverse order when a later one is refused.

use error::{Doing, Error, Result};

use crate::device_program::Former;
use crate::facts::{Commission, HostFacts};
use crate::group::Groups;
use crate::hierarchy::{Controller, Hierarchies, Version};
use crate::path::GroupPath;
use crate::plan::{Asked, Place, Step, enabling, place, properties_of, settings, systemd_place};
use crate::write::{INHERITED, Write};
use crate::{cpu, devices, file, memory, systemd};

/// What a container is to be held to from now on.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// What it was held to.
    pub former: &'a oci::Resources,
    /// What is asked for now: only the controllers that are named in it are touched.
    pub asked: &'a oci::Resources,
    /// Both together, what is asked for now first.
    pub merged: &'a oci::Resources,
    /// The OCI fields that are as they were: what the container did without, it goes on doing without.
    pub unasked: &'a [&'a str],
}

/// What must be known of a container's groups and of those above before a change can be planned.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// What stands above.
    pub facts: HostFacts,
    /// The memory that the container has and uses.
    pub memory: memory::Stats,
    /// The CPU time that it may use.
    pub cpu: cpu::Stats,
}

impl Now {
    /// Reads it.
    ///
    /// # Errors
    /// As [`HostFacts::read`].
    pub fn read(hierarchies: &Hierarchies, groups: &Groups) -> Result<Self> {
        let facts = HostFacts::read(hierarchies, groups.path())?;
        Ok(Self { facts, memory: groups.memory().unwrap_or_default(), cpu: groups.cpu().unwrap_or_default() })
    }
}

/// Plans the steps from what a container is held to now to what it is to be held to, in an order that the kernel takes.
///
/// # Errors
/// Refused as for a new container, and for what the container is already beyond.
pub fn plan(hierarchies: &Hierarchies, path: &GroupPath, now: &Now, wishes: &Wishes<'_>) -> Result<Vec<Step>> {
    let asked = Asked { resources: wishes.merged, defaulted: wishes.unasked };
    let (fresh, _) = settings(hierarchies, &now.facts, path, &asked)?;
    let all: Vec<Step> = fresh.iter().filter(|step| matches!(step, Step::Write(..))).cloned().collect();
    let version = |controller| hierarchies.of(controller).map(|hierarchy| hierarchy.version);
    let (mut memory, mut cpu, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let mut places: Vec<(Controller, Place)> = Vec::new();
    for step in fresh {
        match step {
            Step::Write(place, write) if write.controller != Controller::Devices && touches(wishes.asked, &write) => {
                places.push((write.controller, place));
                match write.controller {
                    Controller::Memory => memory.push(write),
                    Controller::Cpu => cpu.push(write),
                    _ => rest.push(write),
                }
            }
            _ => {}
        }
    }
    let memory = match version(Controller::Memory) {
        Some(Version::V2) => memory::change_v2(memory, &now.memory)?,
        _ => memory::change_v1(memory, &now.memory)?,
    };
    let cpu = match version(Controller::Cpu) {
        Some(Version::V2) => cpu::change_v2(cpu, &now.cpu)?,
        _ => cpu::change_v1(cpu, &now.cpu)?,
    };
    let write = |write: Write| {
        let place = places.iter().find(|(controller, _)| *controller == write.controller);
        place.map(|(_, place)| Step::Write(place.clone(), write))
    };
    let writes: Vec<Step> = memory.into_iter().chain(cpu).chain(rest).filter_map(write).collect();
    let mut steps = enabling(hierarchies, &now.facts, path, &writes)?;
    let properties = properties(hierarchies, path, (now, wishes), &writes)?;
    steps.extend(writes);
    steps.extend(device_policy(hierarchies, path, wishes)?);
    if let Some(properties) = properties {
        steps.push(properties);
        // With one property systemd writes the files of all anew, and not as finely as they were: cpu.max in whole
        // percents, memory.oom.group as 0.
        let idle = wishes.merged.cpu.as_ref().is_some_and(|cpu| cpu.idle == Some(1));
        let again = |step: &Step| match step {
            // An idle group takes no weight.
            Step::Write(_, write) if idle && write.file == cpu::WEIGHT_V2 => false,
            Step::Write(_, write) => write.controller != Controller::Devices,
            _ => false,
        };
        steps.extend(all.into_iter().filter(again));
    }
    Ok(steps)
}

/// What puts one device policy in the place of another.
fn device_policy(hierarchies: &Hierarchies, path: &GroupPath, wishes: &Wishes<'_>) -> Result<Vec<Step>> {
    if wishes.asked.devices.is_empty() {
        return Ok(Vec::new());
    }
    let index = hierarchies.writable(Controller::Devices, devices::FIELD, "")?;
    let hierarchy = hierarchies.at(index)?;
    let place = place(index, hierarchy, path);
    Ok(match hierarchy.version {
        Version::V1 => {
            let writes = devices::change_v1(&wishes.former.devices, &wishes.merged.devices)?;
            writes.into_iter().map(|write| Step::Write(place.clone(), write)).collect()
        }
        Version::V2 => vec![Step::Devices(place, devices::change_v2(&wishes.merged.devices)?)],
    })
}

/// What systemd has to know of it, where the container is a unit of systemd: it comes last, since it is what cannot be
/// taken back by writing a file.
fn properties(
    hierarchies: &Hierarchies,
    path: &GroupPath,
    (now, wishes): (&Now, &Wishes<'_>),
    writes: &[Step],
) -> Result<Option<Step>> {
    let Some(commission @ Commission { version, .. }) = &now.facts.systemd else { return Ok(None) };
    let mut properties = properties_of(hierarchies, writes, *version);
    if !wishes.asked.devices.is_empty() {
        properties.extend(systemd::devices(&wishes.merged.devices, *version));
    }
    let place = systemd_place(hierarchies, path)?.filter(|_| !properties.is_empty());
    Ok(place.map(|place| Step::Properties(place, commission.clone(), properties)))
}

/// Whether a value belongs to a controller that is named in what is asked for.
fn touches(asked: &oci::Resources, write: &Write) -> bool {
    if write.field == INHERITED {
        return false;
    }
    if write.field.starts_with("linux.resources.unified") {
        return asked.unified.contains_key(write.file.as_ref());
    }
    let cpu = asked.cpu.as_ref();
    match write.controller {
        Controller::Cpu => {
            cpu.is_some_and(|cpu| oci::Cpu { cpus: None, mems: None, ..cpu.clone() } != oci::Cpu::default())
        }
        Controller::Cpuset => cpu.is_some_and(|cpu| cpu.cpus.is_some() || cpu.mems.is_some()),
        Controller::Memory => asked.memory.is_some(),
        Controller::Io => asked.block_io.is_some(),
        Controller::Pids => asked.pids.is_some(),
        Controller::Devices => !asked.devices.is_empty(),
        Controller::NetCls => asked.network.as_ref().is_some_and(|network| network.class_id.is_some()),
        Controller::NetPrio => asked.network.as_ref().is_some_and(|network| !network.priorities.is_empty()),
        Controller::Hugetlb => !asked.hugepage_limits.is_empty(),
        Controller::Rdma => !asked.rdma.is_empty(),
        Controller::Cpuacct | Controller::Freezer | Controller::PerfEvent | Controller::Misc => false,
    }
}

/// What was done, so that it can be taken back.
enum Done<'s> {
    Wrote(&'s Place, &'s Write, Option<String>),
    Replaced(&'s Place, Former),
}

impl Groups {
    /// Does the steps of a change. When one fails, those before it are taken back.
    ///
    /// # Errors
    /// The step that failed, and in its hint what could not be taken back.
    pub fn change(&mut self, steps: &[Step]) -> Result<()> {
        let mut done = Vec::new();
        for step in steps {
            match self.change_one(step) {
                Ok(one) => done.extend(one),
                Err(error) => return Err(self.take_back(done, error)),
            }
        }
        Ok(())
    }

    fn change_one<'s>(&mut self, step: &'s Step) -> Result<Option<Done<'s>>> {
        match step {
            Step::Write(place, write) => {
                let group = self.group(place.hierarchy)?;
                // A file that cannot be read, as devices.allow, is written all the same.
                let text = file::read(group, &write.file);
                if write.spared && text == Err(error::Errno::NOENT) {
                    return Ok(None);
                }
                let former = text.ok().and_then(|text| write.former(&text));
                if former.as_ref() == Some(&write.value) {
                    return Ok(None);
                }
                self.apply(step)?;
                Ok(Some(Done::Wrote(place, write, former)))
            }
            Step::Devices(place, program) => {
                let former = program.replace(self.group(place.hierarchy)?).doing(|| step.to_string())?;
                Ok(Some(Done::Replaced(place, former)))
            }
            _ => self.apply(step).map(|()| None),
        }
    }

    /// Takes everything back, the last first, and gives the error with what could not be.
    fn take_back(&self, done: Vec<Done<'_>>, error: Error) -> Error {
        let mut left = Vec::new();
        for one in done.into_iter().rev() {
            let (what, result) = match one {
                Done::Wrote(place, write, former) => {
                    (format!("{} of {place}", write.file), self.restore(place, write, former))
                }
                Done::Replaced(place, former) => {
                    let what = format!("the device program of {place}");
                    let restored = self.group(place.hierarchy).and_then(|group| {
                        former.restore(group).doing(|| format!("put the former device program of {place} back"))
                    });
                    (what, restored)
                }
            };
            if result.is_err() {
                left.push(what);
            }
        }
        if left.is_empty() {
            return error;
        }
        error.with_hint(format!("the change was taken back, but not {}", left.join(", ")))
    }

    fn restore(&self, place: &Place, wrote: &Write, former: Option<String>) -> Result<()> {
        let group = self.group(place.hierarchy)?;
        let write = |file: &str, value: &str| {
            file::write(group, file, value).doing(|| format!("write {value} back to {file} of {place}"))
        };
        match former {
            _ if !wrote.undo.is_empty() => wrote.undo.iter().try_for_each(|(file, value)| write(file, value)),
            Some(former) => write(&wrote.file, &former),
            None => Err(error::Kernel::new(format!("read {}", wrote.file), error::Errno::NODATA).into()),
        }
    }
}
