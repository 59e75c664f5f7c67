//! Where a container's groups are, and who makes them.

use cgroup::facts::Commission;
use cgroup::systemd::{self, Instance, Slice, Unit};
use cgroup::{GroupPath, Hierarchies, Version};
use error::{Refused, Result};
use runtime::facts::Site;

use crate::options::{Manager, RunOptions};
use crate::record::Record;

/// Where a new container's groups will be.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// What the runtime needs to know of it.
    pub(crate) site: Site,
    /// OCI's `linux.cgroupsPath`: the path, or `slice:prefix:name`.
    pub(crate) text: String,
}

const PARENT: &str = "--cgroup-parent";
/// What the names of all groups begin with, and the prefix of all units.
const PREFIX: &str = "carboy";

impl Place {
    /// Decides it: below the parent that was asked for, else where each manager puts what has none.
    ///
    /// # Errors
    /// Refused for a parent that the manager cannot have, and where systemd is asked for and does not run this host; a
    /// kernel error when it does not answer.
    pub(crate) fn of(options: &RunOptions, id: &str) -> Result<Self> {
        let hierarchies = Hierarchies::read()?;
        let parent = options.resources.cgroup_parent.as_deref();
        match options.resources.cgroup_manager.unwrap_or_else(|| usual(&hierarchies)) {
            Manager::Cgroupfs => {
                let path = match parent {
                    None => GroupPath::parse(PARENT, &format!("{PREFIX}-{id}"))?,
                    Some(parent) => GroupPath::parse(PARENT, parent)?.child(PARENT, id)?,
                };
                Ok(Self { text: path.to_string(), site: Site { hierarchies, group: path, systemd: None } })
            }
            Manager::Systemd => Self::unit(parent, id, hierarchies),
        }
    }

    fn unit(parent: Option<&str>, id: &str, hierarchies: Hierarchies) -> Result<Self> {
        let slice = match parent {
            None => Slice::parse(PARENT, "system.slice")?,
            Some(parent) if parent.ends_with(".slice") => Slice::parse(PARENT, parent)?,
            Some(parent) => {
                let reason = "is no slice, and systemd makes the cgroups here";
                let hint = "name one, as --cgroup-parent team.slice, or add --cgroup-manager cgroupfs";
                return Err(Refused::new(PARENT, parent, reason).hint(hint).into());
            }
        };
        let text = format!("{}:{PREFIX}:{id}", slice.name());
        if hierarchies.unified().is_none() {
            let reason = "systemd keeps scopes in the v2 tree, and this host has none mounted";
            let refused = Refused::new("--cgroup-manager", "systemd", reason);
            return Err(refused.hint("use --cgroup-manager cgroupfs").into());
        }
        let unit = Unit::new(slice, PREFIX, id)?;
        let group = unit.path().clone();
        Ok(Self { text, site: Site { hierarchies, group, systemd: Some(commission(unit, id)?) } })
    }
}

/// The unit of a container that exists, where systemd has made its groups.
///
/// # Errors
/// Refused where it was made by systemd and systemd does not run this host; a kernel error when it does not answer.
pub(crate) fn recorded(record: &Record) -> Result<Option<Commission>> {
    let text = record.config.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref()).unwrap_or_default();
    if text.starts_with('/') {
        return Ok(None);
    }
    commission(Unit::parse(text, Instance::System)?, &record.id).map(Some)
}

fn commission(unit: Unit, id: &str) -> Result<Commission> {
    let version = systemd::Manager::connect(Instance::System)?.version();
    Ok(Commission { unit, version, description: format!("carboy container {id}") })
}

/// As Docker decides: systemd where it runs the host and has all controllers, which it has on v2 alone.
fn usual(hierarchies: &Hierarchies) -> Manager {
    let v2_alone = hierarchies.iter().all(|(_, hierarchy)| hierarchy.version == Version::V2);
    if v2_alone && systemd::runs() { Manager::Systemd } else { Manager::Cgroupfs }
}
