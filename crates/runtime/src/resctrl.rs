//! Shares of cache and memory bandwidth, by groups of the resctrl file system. Runtime specification, config-linux.md
//! "IntelRdt"; Documentation/filesystems/resctrl.rst.
//!
//! A class of service is a folder with a `schemata` file, and a process is in one of them. A group that is named is
//! somebody else's, who may have made it before and keeps it; one that bears the container's id goes with it.

pub mod facts;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use error::{Doing, Error, Refused, Result};
use oci::IntelRdt;
use procfs::{HostPid, Process};

const FIELD: &str = "linux.intelRdt";
const TASKS: &str = "tasks";
const SCHEMATA: &str = "schemata";
/// Names that are the file system's own.
const TAKEN: [&str; 5] = [".", "..", "info", "mon_groups", "mon_data"];

/// The file system and the container that is to be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The container's id.
    pub id: String,
}

/// What is done for a container, or a process that enters it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The folder of the class of service.
    pub folder: PathBuf,
    /// Whether it may be made.
    pub origin: Origin,
    /// The lines for `schemata`.
    pub schemata: Vec<String>,
    /// The folder of the container's monitoring group.
    pub monitor: Option<PathBuf>,
}

/// Whose a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The container's: it is made where it is not there, and goes with it.
    Own,
    /// One with a name: it is made where it is not there, and stays.
    Named,
    /// It must be there.
    Present,
}

impl Place {
    /// Looks for the file system.
    ///
    /// # Errors
    /// Refused where it is not mounted; a kernel error where the mounts cannot be read.
    pub fn find(id: &str) -> Result<Self> {
        let mounts = Process::this()?.mountinfo()?;
        let found = mounts.into_iter().find(|mount| mount.fs_type == "resctrl");
        let absent = || {
            let reason = "cannot be applied: no resctrl file system is mounted on this host";
            Error::from(
                Refused::new(FIELD, "", reason).hint("mount -t resctrl resctrl /sys/fs/resctrl, or leave it out"),
            )
        };
        Ok(Self { mount: found.ok_or_else(absent)?.mount_point, id: id.to_owned() })
    }

    /// The folder of the class of service of this name, which is the container's own where it has none.
    fn group(&self, name: Option<&str>) -> PathBuf {
        match name {
            Some("/") => self.mount.clone(),
            name => self.mount.join(name.unwrap_or(&self.id)),
        }
    }
}

/// Plans a container's group.
///
/// # Errors
/// Refused for a name that is none and for lines that are more than one.
pub(crate) fn plan(asked: &IntelRdt, place: &Place) -> Result<Group> {
    let refused = |name: &str, value: &str, reason: &str| -> Result<Group> {
        Err(Refused::new(format!("{FIELD}.{name}"), value.escape_debug().to_string(), reason).into())
    };
    let name = asked.clos_id.as_deref();
    if let Some(name) = name.filter(|name| TAKEN.contains(name) || (*name != "/" && name.contains(['/', '\n']))) {
        return refused("closID", name, "is not the name of a group");
    }
    let lines = [("l3CacheSchema", &asked.l3_cache_schema), ("memBwSchema", &asked.mem_bw_schema)];
    let single = lines.into_iter().filter_map(|(field, line)| Some((field, line.as_ref()?)));
    let mut schemata = Vec::new();
    for (field, line) in single.chain(asked.schemata.iter().map(|line| ("schemata", line))) {
        if line.contains('\n') {
            return refused(field, line, "is more than one line");
        }
        if field == "memBwSchema" && !line.starts_with("MB:") {
            return refused(field, line, "does not begin with MB:");
        }
        schemata.push(line.clone());
    }
    let origin = match name {
        None => Origin::Own,
        Some("/") => Origin::Present,
        Some(_) if schemata.is_empty() => Origin::Present,
        Some(_) => Origin::Named,
    };
    let folder = place.group(name);
    let monitor = asked.enable_monitoring.then(|| folder.join("mon_groups").join(&place.id));
    Ok(Group { folder, origin, schemata, monitor })
}

/// The same for a process that enters the container: what is there is there.
pub(crate) fn plan_entry(asked: &IntelRdt, place: &Place) -> Result<Group> {
    Ok(Group { origin: Origin::Present, schemata: Vec::new(), ..plan(asked, place)? })
}

/// Plans other lines for the group of a container that runs; `asked` has these alone, and the group's name. One that has a
/// name is changed for all that are in it.
///
/// # Errors
/// Refused for lines that are none.
pub fn plan_change(asked: &IntelRdt, place: &Place) -> Result<Group> {
    Ok(Group { origin: Origin::Present, monitor: None, ..plan(asked, place)? })
}

/// What a group had before it was changed.
#[derive(Debug)]
pub struct Former {
    group: Group,
}

impl Former {
    /// Gives the group back what it had.
    ///
    /// # Errors
    /// A kernel error.
    pub fn restore(&self) -> Result<()> {
        self.group.write_schemata()
    }
}

impl Group {
    /// Writes the lines, all or none, and gives what there was before.
    ///
    /// # Errors
    /// A kernel error where the group is not there, and for lines that the file system refuses, with what it says of them.
    pub fn change(&self) -> Result<Former> {
        let path = self.folder.join(SCHEMATA);
        let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        let schemata = text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        self.write_schemata()?;
        Ok(Former { group: Self { schemata, ..self.clone() } })
    }

    /// Makes what is missing of it, each folder that must be removed told before it is made, and puts the process in.
    ///
    /// # Errors
    /// Refused where a named group is not there or has other schemata; a kernel error, with what the file system says of it.
    pub(crate) fn apply(&self, pid: HostPid, record: &mut dyn FnMut(PathBuf) -> Result<()>) -> Result<()> {
        let exists = self.folder.is_dir();
        match self.origin {
            _ if exists => {}
            Origin::Present => {
                let value = self.folder.display().to_string();
                return Err(Refused::new(format!("{FIELD}.closID"), value, "does not exist").into());
            }
            Origin::Own => {
                record(self.folder.clone())?;
                self.make(&self.folder)?;
            }
            Origin::Named => self.make(&self.folder)?,
        }
        if !self.schemata.is_empty() {
            if exists && self.origin == Origin::Named { self.compare()? } else { self.write_schemata()? }
        }
        self.put(pid, &self.folder)?;
        let Some(monitor) = &self.monitor else { return Ok(()) };
        if !monitor.is_dir() {
            record(monitor.clone())?;
            self.make(monitor)?;
        }
        self.put(pid, monitor)
    }

    fn make(&self, folder: &Path) -> Result<()> {
        let made = fs::create_dir(folder).doing(|| format!("make the group {} for {FIELD}", folder.display()));
        made.map_err(|error| self.explained(error))
    }

    fn put(&self, pid: HostPid, folder: &Path) -> Result<()> {
        let action = || format!("put process {} into {} for {FIELD}", pid.0, folder.display());
        let tasks = File::options().write(true).open(folder.join(TASKS));
        let written = tasks.and_then(|mut tasks| tasks.write_all(pid.0.to_string().as_bytes()));
        written.doing(action).map_err(|error| self.explained(error))
    }

    fn write_schemata(&self) -> Result<()> {
        let text = self.schemata.join("\n") + "\n";
        let file = File::options().write(true).open(self.folder.join(SCHEMATA));
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        let action = || format!("set {FIELD} of {} to {}", self.folder.display(), self.schemata.join(", "));
        written.doing(action).map_err(|error| self.explained(error))
    }

    /// A group that others use is not changed.
    fn compare(&self) -> Result<()> {
        let path = self.folder.join(SCHEMATA);
        let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        let present = parse(text.lines());
        for line in &self.schemata {
            let asked = parse(std::iter::once(line.as_str()));
            if asked.is_empty() || asked.iter().any(|(key, value)| present.get(key) != Some(value)) {
                let reason = format!("is not what the group {} has", self.folder.display());
                return Err(Refused::new(format!("{FIELD}.schemata"), line, reason).into());
            }
        }
        Ok(())
    }

    /// The file system has a word on the last thing that it refused.
    fn explained(&self, error: Error) -> Error {
        let root = self.folder.ancestors().find(|folder| folder.join("info").is_dir());
        let said = root.and_then(|root| fs::read_to_string(root.join("info/last_cmd_status")).ok());
        match said.as_deref().map(str::trim).filter(|said| !matches!(*said, "" | "ok")) {
            Some(said) => error.with_hint(format!("resctrl says: {said}")),
            None => error,
        }
    }
}

/// The values of schemata by resource and domain: `L3:0=0f;1=ff` has two.
fn parse<'t>(lines: impl Iterator<Item = &'t str>) -> BTreeMap<(&'t str, &'t str), String> {
    let values = lines.filter_map(|line| line.split_once(':')).flat_map(|(resource, domains)| {
        let pairs = domains.split(';').filter_map(|domain| domain.split_once('='));
        pairs.map(move |(domain, value)| {
            let value = value.trim().trim_start_matches('0').to_ascii_lowercase();
            ((resource.trim(), domain.trim().trim_start_matches('0')), value)
        })
    });
    values.collect()
}

/// Removes what was made for a container, the last first; what is gone already counts as removed.
///
/// # Errors
/// A kernel error.
pub fn remove(made: &[PathBuf]) -> Result<()> {
    for folder in made.iter().rev() {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.doing(|| format!("remove the group {}", folder.display()))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> Result<Group> {
        let place = Place { mount: "/sys/fs/resctrl".into(), id: "web".to_owned() };
        plan(&oci::document::parse("intelRdt", json.as_bytes()).unwrap(), &place)
    }

    #[test]
    fn a_group_is_the_containers_own_unless_it_has_a_name() {
        let own = planned(r#"{"l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=20","schemata":["L2:0=f"]}"#).unwrap();
        assert_eq!((own.folder.to_str(), own.origin), (Some("/sys/fs/resctrl/web"), Origin::Own));
        assert_eq!(own.schemata, ["L3:0=f", "MB:0=20", "L2:0=f"]);
        let named = planned(r#"{"closID":"gold","schemata":["L3:0=f"],"enableMonitoring":true}"#).unwrap();
        assert_eq!((named.folder.to_str(), named.origin), (Some("/sys/fs/resctrl/gold"), Origin::Named));
        assert_eq!(named.monitor.unwrap().to_str(), Some("/sys/fs/resctrl/gold/mon_groups/web"));
        assert_eq!(planned(r#"{"closID":"gold"}"#).unwrap().origin, Origin::Present);
        assert_eq!(planned(r#"{"closID":"/"}"#).unwrap().folder.to_str(), Some("/sys/fs/resctrl"));
        for (json, field) in [
            (r#"{"closID":"../x"}"#, "linux.intelRdt.closID ../x"),
            (r#"{"closID":"info"}"#, "linux.intelRdt.closID info"),
            (r#"{"memBwSchema":"L3:0=f"}"#, "linux.intelRdt.memBwSchema"),
            (r#"{"schemata":["L3:0=f\nMB:0=1"]}"#, "linux.intelRdt.schemata"),
        ] {
            let said = planned(json).unwrap_err().to_string();
            assert!(said.contains(field), "{said}");
        }
    }

    #[test]
    fn schemata_are_the_same_however_they_are_written() {
        let present = parse("    L3:0=00ff;1=0F\n    MB:0=  20\n".lines());
        assert_eq!(parse("L3:1=f;0=FF\nMB:0=20".lines()), present);
        assert_ne!(parse("L3:1=f;0=FE\nMB:0=20".lines()), present);
    }

    /// A folder stands for the file system, which few machines have: what is in its files is not the kernel's.
    #[test]
    fn a_named_group_is_joined_as_it_is_or_refused_and_only_what_was_made_is_removed() {
        let mount = std::env::temp_dir().join(format!("carboy-resctrl-{}", std::process::id()));
        let folder = mount.join("gold");
        fs::create_dir_all(folder.join("mon_groups/web")).unwrap();
        for file in [folder.join(TASKS), folder.join(SCHEMATA), folder.join("mon_groups/web/tasks")] {
            fs::write(file, "L3:0=0f;1=ff").unwrap();
        }
        let place = Place { mount: mount.clone(), id: "web".to_owned() };
        let join = |json: &str| {
            let group = plan(&oci::document::parse("intelRdt", json.as_bytes()).unwrap(), &place)?;
            let mut made = Vec::new();
            group.apply(HostPid(77), &mut |folder| {
                made.push(folder);
                Ok(())
            })?;
            Ok::<_, Error>(made)
        };
        let made = join(r#"{"closID":"gold","schemata":["L3:1=FF"],"enableMonitoring":true}"#).unwrap();
        assert!(made.is_empty(), "{made:?}");
        assert!(fs::read_to_string(folder.join("mon_groups/web/tasks")).unwrap().starts_with("77"));
        assert!(fs::read_to_string(folder.join(TASKS)).unwrap().starts_with("77"));
        let other = join(r#"{"closID":"gold","schemata":["L3:0=ff"]}"#).unwrap_err().to_string();
        assert!(other.contains("linux.intelRdt.schemata L3:0=ff"), "{other}");
        let absent = join(r#"{"closID":"silver"}"#).unwrap_err().to_string();
        assert!(absent.contains("linux.intelRdt.closID"), "{absent}");
        let other = IntelRdt {
            clos_id: Some("gold".to_owned()),
            mem_bw_schema: Some("MB:0=20".to_owned()),
            ..IntelRdt::default()
        };
        fs::write(folder.join(SCHEMATA), "    L3:0=0f;1=ff\n").unwrap();
        let former = plan_change(&other, &place).unwrap().change().unwrap();
        assert!(fs::read_to_string(folder.join(SCHEMATA)).unwrap().starts_with("MB:0=20\n"));
        former.restore().unwrap();
        assert!(fs::read_to_string(folder.join(SCHEMATA)).unwrap().starts_with("L3:0=0f;1=ff\n"));
        let absent = IntelRdt { clos_id: Some("silver".to_owned()), ..other };
        let said = plan_change(&absent, &place).unwrap().change().unwrap_err().to_string();
        assert!(said.contains("silver/schemata"), "{said}");
        let own = mount.join("own");
        fs::create_dir(&own).unwrap();
        remove(&[own.clone(), own.join("gone")]).unwrap();
        assert!(!own.exists() && folder.exists());
        fs::remove_dir_all(&mount).unwrap();
    }
}
