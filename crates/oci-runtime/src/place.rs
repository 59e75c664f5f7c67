//! Where a container's groups are, and who makes them. Runtime specification, config-linux.md "Cgroups Path".

use std::path::PathBuf;

use cgroup::facts::Commission;
use cgroup::systemd::{Instance, Manager, Unit};
use cgroup::{GroupPath, Hierarchies, delegation};
use error::{Refused, Result};
use oci::Config;
use procfs::{InsideId, Process};
use runtime::facts::Site;

use crate::arguments::Invocation;
use crate::store::Record;

const FIELD: &str = "linux.cgroupsPath";
/// What a unit's name begins with where the configuration does not say it.
const PREFIX: &str = "carboy";

/// A container's place, and systemd's name for its unit where it makes the groups.
#[derive(Debug, Clone)]
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
        let confined = is_confined()?;
        let mut hierarchies = if confined { Hierarchies::read()? } else { Hierarchies::read_as_root()? };
        let asked = config.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref()).unwrap_or_default();
        if !is_systemds(invocation)? {
            let path = if asked.is_empty() { format!("/{id}") } else { format!("/{}", asked.trim_start_matches('/')) };
            let mut group = GroupPath::parse(FIELD, &path)?;
            if confined {
                let top = delegation::read(&hierarchies)?.map(|found| found.top);
                group = top.as_ref().map_or(Ok(group.clone()), |top| below(top, group))?;
                hierarchies = hierarchies.handed_over(top.as_ref())?;
            }
            return Ok(Self { site: Site { hierarchies, group, systemd: None }, unit: None });
        }
        let text = if asked.is_empty() { format!(":{PREFIX}:{id}") } else { asked.to_owned() };
        let commission = commission(&text, id)?;
        let group = commission.unit.path().clone();
        let hierarchies = commission.hierarchies(hierarchies)?;
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

/// Moves this process to where it may start others in a container's group that a user's systemd has made: from the group of
/// a session it may not, since those above both are not the user's.
///
/// # Errors
/// A kernel error when systemd does not answer; refused by it.
pub(crate) fn approach(commission: Option<&Commission>) -> Result<()> {
    let Some(commission) = commission.filter(|commission| commission.runtime_dir.is_some()) else { return Ok(()) };
    if delegation::read(&Hierarchies::read()?)?.is_some() {
        return Ok(());
    }
    let unit = Unit::parse(&format!(":{PREFIX}:command-{}", std::process::id()), commission.instance())?;
    let properties = unit.plan("carboy-runtime command", commission.version);
    Manager::connect(commission.instance())?.enter_scope(&unit, &properties)
}

/// The same for a container that was made.
///
/// # Errors
/// As [`approach`].
pub(crate) fn approach_made(record: &Record) -> Result<()> {
    if record.unit.is_none() || !is_confined()? {
        return Ok(());
    }
    approach(recorded(record)?.as_ref())
}

fn commission(text: &str, id: &str) -> Result<Commission> {
    let runtime_dir = if is_confined()? { Some(runtime_dir()?) } else { None };
    let instance = runtime_dir.as_deref().map_or(Instance::System, |runtime_dir| Instance::User { runtime_dir });
    let unit = Unit::parse(text, instance)?;
    Commission::connect(unit, format!("carboy-runtime container {id}"), runtime_dir)
}

/// The folder of a user's systemd, pam_systemd(8), also where the user is root of a user namespace.
fn runtime_dir() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let user = Process::this()?.uid_map()?.to_host(InsideId(user)).map_or(user, |user| user.0);
    Ok(PathBuf::from(format!("/run/user/{user}")))
}

/// A user's groups are in what was handed over: a path that leads elsewhere counts from there.
fn below(top: &GroupPath, path: GroupPath) -> Result<GroupPath> {
    if path.ancestors().contains(top) {
        return Ok(path);
    }
    GroupPath::parse(FIELD, &format!("{}{path}", if top.is_root() { String::new() } else { top.to_string() }))
}

/// Whether the caller is not root, or root of another user namespace than the first one: then it has what was handed over.
pub(crate) fn is_confined() -> Result<bool> {
    Ok(!rustix::process::geteuid().is_root() || !Process::this()?.uid_map()?.is_whole())
}

/// The hierarchies as those of a container whose groups are at `path`.
///
/// # Errors
/// A kernel error.
pub(crate) fn hierarchies(path: &GroupPath) -> Result<Hierarchies> {
    if !is_confined()? {
        return Hierarchies::read_as_root();
    }
    let hierarchies = Hierarchies::read()?;
    let top = delegation::around(&hierarchies, path.clone())?.map(|found| found.top);
    hierarchies.handed_over(top.as_ref())
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
