//! Id-mapped mounts: whose ids the files of a mount have. mount_setattr(2) `MOUNT_ATTR_IDMAP`; runtime specification,
//! config.md "Mounts" (`idmap`, `ridmap`, `uidMappings`, `gidMappings`); crun.1 "idmap mount options".
//!
//! The kernel takes the maps from a user namespace: the container's, or one that is made for nothing else.

use error::{Refused, Result};
use oci::{Config, IdMapping, Mount, NamespaceKind};
use sys::mount::Reach;

use super::options::Options;
use crate::user::{self, Maps};
use crate::{Relation, relation};

/// Where the kernel finds the ids of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// In a user namespace with these maps: the first id of a line is on disk, the second is the host's.
    Maps(Maps),
    /// In the user namespace that this file stands for.
    Namespace(String),
}

/// The ids of a mount, and whether those of all mounts below it are the same; `None` where they are as on disk.
///
/// # Errors
/// Refused where ids are to be mapped and nobody says how, for ranges that are none, and for what is no bind mount.
pub fn plan(config: &Config, mount: &Mount, options: &Options) -> Result<Option<(Ids, Reach)>> {
    let asked = options.id_map.as_ref();
    let field = |name: &str| format!("mounts[{}].{name}", mount.destination);
    if asked.is_none() && mount.uid_mappings.is_empty() {
        return Ok(None);
    }
    if options.bind.is_none() && mount.kind.as_deref() != Some("bind") {
        let refused = Refused::new(field("options"), "idmap", "is for bind mounts");
        return Err(refused.hint("mount the file system on the host, and bind it").into());
    }
    let reach = asked.map_or(Reach::One, |asked| asked.reach);
    let ranges = asked.map_or("", |asked| asked.ranges.as_str());
    let ids = if !mount.uid_mappings.is_empty() {
        let uid = user::lines(&field("uidMappings"), &mount.uid_mappings)?;
        Ids::Maps(Maps { uid, gid: user::lines(&field("gidMappings"), &mount.gid_mappings)? })
    } else if ranges.is_empty() {
        of_container(config, &field("options"))?
    } else {
        Ids::Maps(parse_ranges(config, &field("options"), ranges)?)
    };
    Ok(Some((ids, reach)))
}

fn of_container(config: &Config, field: &str) -> Result<Ids> {
    match relation(config, NamespaceKind::User) {
        Relation::Joined(path) => Ok(Ids::Namespace(path.to_owned())),
        Relation::Own => {
            let maps = user::host(config)?;
            maps.map(Ids::Maps).ok_or_else(|| Refused::new(field, "idmap", "has no maps to take").into())
        }
        Relation::Host => {
            let reason = "has no maps to take: neither has the mount any, nor the container a user namespace";
            Err(Refused::new(field, "idmap", reason).hint("give the mount uidMappings and gidMappings").into())
        }
    }
}

/// `uids=0-1000-10#10-2000-5;gids=@0-1000-10`: on disk, on the host, how many; behind an `@` the second id is one of the
/// container's.
fn parse_ranges(config: &Config, field: &str, text: &str) -> Result<Maps> {
    let linux = config.linux.as_ref();
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for part in text.split(';') {
        let (list, own, ranges) = match part.split_once('=') {
            Some(("uids", ranges)) => (&mut users, linux.map(|linux| &linux.uid_mappings), ranges),
            Some(("gids", ranges)) => (&mut groups, linux.map(|linux| &linux.gid_mappings), ranges),
            _ => return Err(Refused::new(field, part, "is neither uids= nor gids=").into()),
        };
        for range in ranges.split('#') {
            let refused = |reason: &str| Refused::new(field, range, reason).hint("write uids=0-1000-10");
            let (numbers, relative) = range.strip_prefix('@').map_or((range, false), |numbers| (numbers, true));
            let numbers: Option<Vec<u32>> = numbers.split('-').map(|number| number.parse().ok()).collect();
            let Some([container_id, host_id, size]) = numbers.as_deref().and_then(|numbers| numbers.first_chunk())
            else {
                return Err(refused("is no range of three numbers").into());
            };
            let (container_id, mut host_id, size) = (*container_id, *host_id, *size);
            if relative {
                let mapped = own.and_then(|own| outside(own, host_id));
                host_id = mapped.ok_or_else(|| refused("begins with an id that the container does not have"))?;
            }
            list.push(IdMapping { container_id, host_id, size });
        }
    }
    Ok(Maps { uid: user::lines(field, &users)?, gid: user::lines(field, &groups)? })
}

/// The host's id that stands for one of the container's.
fn outside(maps: &[IdMapping], id: u32) -> Option<u32> {
    let found = maps.iter().find(|map| id.checked_sub(map.container_id).is_some_and(|offset| offset < map.size))?;
    found.host_id.checked_add(id - found.container_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mnt::options;

    fn config(linux: &str) -> Config {
        Config::parse(format!(r#"{{"ociVersion":"1.3.0","root":{{"path":"/"}},"linux":{linux}}}"#).as_bytes()).unwrap()
    }

    fn planned(config: &Config, words: &[&str]) -> Result<Option<(Ids, Reach)>> {
        let mount = Mount { destination: "/data".to_owned(), ..Mount::default() };
        plan(config, &mount, &options::parse(words))
    }

    const OWN: &str = r#"{"namespaces":[{"type":"user"}],
        "uidMappings":[{"containerID":0,"hostID":0,"size":1},{"containerID":1,"hostID":2,"size":1000}],
        "gidMappings":[{"containerID":0,"hostID":7,"size":9}]}"#;

    #[test]
    fn without_maps_of_its_own_a_mount_has_the_containers() {
        let (ids, reach) = planned(&config(OWN), &["rbind", "ridmap"]).unwrap().unwrap();
        let maps = Maps { uid: "0 0 1\n1 2 1000\n".to_owned(), gid: "0 7 9\n".to_owned() };
        assert_eq!((ids, reach), (Ids::Maps(maps), Reach::Recursive));
        let joined = config(r#"{"namespaces":[{"type":"user","path":"/proc/7/ns/user"}]}"#);
        let (ids, reach) = planned(&joined, &["rbind", "idmap"]).unwrap().unwrap();
        assert_eq!((ids, reach), (Ids::Namespace("/proc/7/ns/user".to_owned()), Reach::One));
    }

    #[test]
    fn ranges_are_the_hosts_or_relative_to_the_containers() {
        let (ids, _) = planned(&config(OWN), &["bind", "idmap=uids=0-5-2#9-6-1;gids=@1-3-4"]).unwrap().unwrap();
        assert_eq!(ids, Ids::Maps(Maps { uid: "0 5 2\n9 6 1\n".to_owned(), gid: "1 10 4\n".to_owned() }));
        let (ids, _) = planned(&config(OWN), &["bind", "idmap=uids=@1-3-10;gids=0-0-1"]).unwrap().unwrap();
        assert_eq!(ids, Ids::Maps(Maps { uid: "1 4 10\n".to_owned(), gid: "0 0 1\n".to_owned() }));
    }

    #[test]
    fn what_says_no_ids_is_refused() {
        let said = |config: &str, words: &[&str]| planned(&self::config(config), words).unwrap_err().to_string();
        assert!(said("{}", &["bind", "idmap"]).contains("has no maps to take"));
        assert!(said("{}", &["idmap"]).contains("is for bind mounts"));
        assert!(said("{}", &["bind", "idmap=uids=0-1"]).contains("no range of three numbers"));
        assert!(said("{}", &["bind", "idmap=sids=0-1-1"]).contains("is neither uids= nor gids="));
        assert!(said("{}", &["bind", "idmap=uids=@0-1-1;gids=0-1-1"]).contains("does not have"));
        assert!(said("{}", &["bind", "idmap=uids=0-1-1"]).contains("is empty"));
    }
}
