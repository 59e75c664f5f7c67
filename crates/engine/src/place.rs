//! Where a container's groups are, and who makes them.

use std::path::PathBuf;

use cgroup::facts::Commission;
use cgroup::systemd::{self, Instance, Slice, Unit};
use cgroup::{GroupPath, Hierarchies, Version, delegation};
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
        if crate::rootless::is_in_user_namespace()? {
            return Self::of_user(options.resources.cgroup_manager, parent, id, hierarchies);
        }
        match options.resources.cgroup_manager.unwrap_or_else(|| usual(&hierarchies)) {
            Manager::Cgroupfs => {
                let path = match parent {
                    None => GroupPath::parse(PARENT, &format!("{PREFIX}-{id}"))?,
                    Some(parent) => GroupPath::parse(PARENT, parent)?.child(PARENT, id)?,
                };
                Ok(Self { text: path.to_string(), site: Site { hierarchies, group: path, systemd: None } })
            }
            Manager::Systemd => Self::unit(parent, id, hierarchies, None),
        }
    }

    /// For systemd, of the user who has this runtime folder where there is one.
    fn unit(parent: Option<&str>, id: &str, hierarchies: Hierarchies, runtime_dir: Option<PathBuf>) -> Result<Self> {
        let usual = if runtime_dir.is_some() { "user.slice" } else { "system.slice" };
        let slice = match parent {
            None => Slice::parse(PARENT, usual)?,
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
        let commission = commission(Unit::new(slice, PREFIX, id)?, id, runtime_dir)?;
        let group = commission.unit.path().clone();
        let hierarchies = commission.hierarchies(hierarchies)?;
        Ok(Self { text, site: Site { hierarchies, group, systemd: Some(commission) } })
    }

    /// For a user: below what was handed over, by the user's own systemd where it runs. Where nothing was, there are no
    /// groups.
    fn of_user(manager: Option<Manager>, parent: Option<&str>, id: &str, hierarchies: Hierarchies) -> Result<Self> {
        if manager.unwrap_or_else(|| usual(&hierarchies)) == Manager::Systemd {
            let runtime_dir = runtime_dir()?;
            let instance = Instance::User { runtime_dir: &runtime_dir };
            // Unasked, a user who has not logged in under systemd goes without it.
            if manager.is_some() || systemd::Manager::connect(instance).is_ok() {
                return Self::unit(parent, id, hierarchies, Some(runtime_dir));
            }
        }
        let top = delegation::read(&hierarchies)?.map(|found| found.top);
        let path = match (parent, &top) {
            (None, Some(top)) => top.child(PARENT, &format!("{PREFIX}-{id}"))?,
            (None, None) => GroupPath::parse(PARENT, &format!("{PREFIX}-{id}"))?,
            (Some(parent), top) => below(parent, top.as_ref())?.child(PARENT, id)?,
        };
        let hierarchies = hierarchies.handed_over(top.as_ref())?;
        Ok(Self { text: path.to_string(), site: Site { hierarchies, group: path, systemd: None } })
    }
}

/// A parent that a user asked for.
fn below(parent: &str, top: Option<&GroupPath>) -> Result<GroupPath> {
    let path = GroupPath::parse(PARENT, parent)?;
    let reason = match top {
        Some(top) if path == *top || path.ancestors().contains(top) => return Ok(path),
        Some(top) => format!("is not below {top}, which was handed over to you"),
        None => "no cgroup was handed over to you".to_owned(),
    };
    let hint = "leave it out, log in under systemd, or start carboy from a unit with Delegate=";
    Err(Refused::new(PARENT, parent, reason).hint(hint).into())
}

/// The folder of a user's systemd, pam_systemd(8): for the user that stands for root in this user namespace.
fn runtime_dir() -> Result<PathBuf> {
    let map = procfs::Process::this()?.uid_map()?;
    let user = map.to_host(procfs::InsideId(0)).map_or(0, |user| user.0);
    Ok(PathBuf::from(format!("/run/user/{user}")))
}

/// The hierarchies as those of a container that exists: for a user, what was handed over around its groups.
///
/// # Errors
/// A kernel error.
pub(crate) fn hierarchies_around(path: &GroupPath) -> Result<Hierarchies> {
    let hierarchies = Hierarchies::read()?;
    if !crate::rootless::is_in_user_namespace()? {
        return Ok(hierarchies);
    }
    let top = delegation::around(&hierarchies, path.clone())?.map(|found| found.top);
    hierarchies.handed_over(top.as_ref())
}

/// Moves this process to where it may start others in a container's group, where a user's systemd has made that.
///
/// # Errors
/// A kernel error when systemd does not answer; refused by it.
pub(crate) fn approach(commission: Option<&Commission>) -> Result<()> {
    let Some(commission) = commission.filter(|commission| commission.runtime_dir.is_some()) else { return Ok(()) };
    if delegation::read(&Hierarchies::read()?)?.is_some() {
        return Ok(());
    }
    let unit = Unit::new(Slice::parse(PARENT, "user.slice")?, PREFIX, &format!("command-{}", std::process::id()))?;
    let properties = unit.plan("carboy command", commission.version);
    systemd::Manager::connect(commission.instance())?.enter_scope(&unit, &properties)
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
    let runtime_dir = if crate::rootless::is_in_user_namespace()? { Some(runtime_dir()?) } else { None };
    commission(Unit::parse(text, Instance::System)?, &record.id, runtime_dir).map(Some)
}

fn commission(unit: Unit, id: &str, runtime_dir: Option<PathBuf>) -> Result<Commission> {
    Commission::connect(unit, format!("carboy container {id}"), runtime_dir)
}

/// As Docker decides: systemd where it runs the host and has all controllers, which it has on v2 alone.
fn usual(hierarchies: &Hierarchies) -> Manager {
    let v2_alone = hierarchies.iter().all(|(_, hierarchy)| hierarchy.version == Version::V2);
    if v2_alone && systemd::runs() { Manager::Systemd } else { Manager::Cgroupfs }
}
