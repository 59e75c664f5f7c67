//! Where a container's groups are, and who makes them. Runtime specification, config-linux.md "Cgroups Path".

use cgroup::facts::Commission;
use cgroup::systemd::{Instance, Manager, Unit};
use cgroup::{GroupPath, Hierarchies};
use error::{Refused, Result};
use oci::Config;
use runtime::facts::Site;

use crate::arguments::Invocation;
use crate::store::Record;

const FIELD: &str = "linux.cgroupsPath";
/// What a unit's name begins with where the configuration does not say it.
const PREFIX: &str = "carboy";

/// A container's place, and systemd's name for its unit where it makes the groups.
pub(crate) struct Place {
    pub(crate) site: Site,
    pub(crate) unit: Option<String>,
}

impl Place {
    /// Decides it by the configuration: a path counts from the hierarchies' roots, also where it does not begin with `/`.
    ///
    /// # Errors
    /// Refused for what is no path, or no `slice:prefix:name` for systemd; a kernel error where systemd does not answer.
    pub(crate) fn of(config: &Config, id: &str, invocation: &Invocation) -> Result<Self> {
        let hierarchies = Hierarchies::read()?;
        let asked = config.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref()).unwrap_or_default();
        if !is_systemds(invocation)? {
            let path = if asked.is_empty() { format!("/{id}") } else { format!("/{}", asked.trim_start_matches('/')) };
            let group = GroupPath::parse(FIELD, &path)?;
            return Ok(Self { site: Site { hierarchies, group, systemd: None }, unit: None });
        }
        let text = if asked.is_empty() { format!(":{PREFIX}:{id}") } else { asked.to_owned() };
        let commission = commission(&text, id)?;
        let group = commission.unit.path().clone();
        Ok(Self { site: Site { hierarchies, group, systemd: Some(commission) }, unit: Some(text) })
    }
}

/// The unit of a container that was made, where systemd has made its groups.
///
/// # Errors
/// A kernel error where systemd does not answer.
pub(crate) fn recorded(record: &Record) -> Result<Option<Commission>> {
    record.unit.as_deref().map(|text| commission(text, &record.id)).transpose()
}

fn commission(text: &str, id: &str) -> Result<Commission> {
    let unit = Unit::parse(text, Instance::System)?;
    let version = Manager::connect(Instance::System)?.version();
    Ok(Commission { unit, version, runtime_dir: None, description: format!("carboy-runtime container {id}") })
}

fn is_systemds(invocation: &Invocation) -> Result<bool> {
    match invocation.value("cgroup-manager") {
        Some("systemd") => Ok(true),
        Some("cgroupfs") => Ok(false),
        None => Ok(invocation.has("systemd-cgroup")),
        Some(other) => {
            let refused = Refused::new("--cgroup-manager", other, "is no manager of cgroups");
            Err(refused.hint("use cgroupfs or systemd").into())
        }
    }
}
