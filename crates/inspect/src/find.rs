//! Whose is this? One resolver for every way to name a container, a process or a thing that belongs to one. Pure.
//!
//! ```text
//! web  6f3a…          a container by its name or the beginning of its id     net:web        the namespace that it is in
//! web:10              its process that calls itself 10                       net:[40265…]   a namespace by its number
//! 2503                a process by its number on the host                    :8080          who listens at this port
//! /team  /srv/x       a cgroup; a path on the host that somebody mounts      uid:100999     whose user this is
//! veth96d89c0         who has the other end of an interface of the host
//! ```

use std::path::{Path, PathBuf};

use error::{Refused, RefusedKind, Result};
use procfs::{HostId, HostPid, InsidePid, Kind};

use crate::snapshot::{Container, Process, Snapshot, Spot, place};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A container, by its name or the beginning of its id, or an interface of the host.
    Name(String),
    /// A process of one, by what it calls itself.
    Inside(String, InsidePid),
    /// A process of the host.
    Pid(HostPid),
    /// A namespace, by its number.
    Namespace(Kind, u64),
    /// The namespace that a container, or a process, is in.
    NamespaceOf(Kind, String),
    /// Who listens at a port.
    Port(u16),
    /// A user of the host.
    Uid(HostId),
    /// A cgroup, or a file.
    Path(PathBuf),
}

/// What was found, by places in the snapshot's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A container.
    Container(usize),
    /// A process that is in none.
    Process(usize),
    /// A process of a container.
    Member(usize),
    /// A namespace.
    Namespace(usize),
    /// A cgroup.
    Group(usize),
}

/// Reads a word.
///
/// # Errors
/// Refused where it has the form of one of these and is none.
pub fn parse(word: &str) -> Result<What> {
    let refused = |reason: &str| Refused::new("see", word, reason);
    if let Some(port) = word.strip_prefix(':') {
        return port.parse().map(What::Port).map_err(|_| refused("is no port").into());
    }
    if word.starts_with('/') {
        return Ok(What::Path(word.into()));
    }
    if let Some((before, after)) = word.split_once(':') {
        if before == "uid" {
            let uid = after.parse().map(|uid| What::Uid(HostId(uid)));
            return uid.map_err(|_| refused("is no user's number").into());
        }
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == before) {
            let number = after.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            return match number.map(str::parse) {
                Some(Ok(ino)) => Ok(What::Namespace(kind, ino)),
                Some(Err(_)) => Err(refused("is no namespace's number").into()),
                None => Ok(What::NamespaceOf(kind, after.to_owned())),
            };
        }
        return match after.parse() {
            Ok(pid) => Ok(What::Inside(before.to_owned(), InsidePid(pid))),
            Err(_) => Err(refused("is neither NAME:PID nor KIND:NAME").hint("for example: web:1, net:web").into()),
        };
    }
    Ok(host_pid(word).map_or_else(|| What::Name(word.to_owned()), What::Pid))
}

/// A process's number on the host. An id may have nothing but digits too, and begin with zeros.
fn host_pid(word: &str) -> Option<HostPid> {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('0');
    word.parse().ok().filter(|_| is_number).map(HostPid)
}

/// Looks for it.
///
/// # Errors
/// Refused as [`RefusedKind::NoSuchObject`] where there is nothing, and where a name is that of several.
pub fn find(snapshot: &Snapshot, word: &str) -> Result<Vec<Found>> {
    let none = |reason: &str| Refused::new("see", word, reason).kind(RefusedKind::NoSuchObject);
    let found = match parse(word)? {
        // A container's name or id may be a number too.
        What::Pid(pid) => match by_pid(snapshot, pid) {
            Some(found) => vec![found],
            None => containers(snapshot, word).map(Found::Container).collect(),
        },
        What::Name(name) => match containers(snapshot, &name).next() {
            Some(_) => vec![Found::Container(one(snapshot, &name)?)],
            None => match by_link(snapshot, &name) {
                Some(found) => found,
                None => return Err(one(snapshot, &name).map_or_else(|error| error, |_| none("is nothing").into())),
            },
        },
        What::Inside(name, pid) => {
            let container = snapshot.containers.get(one(snapshot, &name)?);
            let members = container.into_iter().flat_map(|container| container.processes.iter().copied());
            let found =
                members.filter(|index| snapshot.processes.get(*index).is_some_and(|process| is_inside(process, pid)));
            found.map(Found::Member).collect()
        }
        What::Namespace(kind, ino) => {
            let all = snapshot.namespaces.iter().enumerate();
            all.filter(|(_, one)| (one.kind, one.ino) == (kind, ino))
                .map(|(index, _)| Found::Namespace(index))
                .collect()
        }
        What::NamespaceOf(kind, whose) => namespace_of(snapshot, kind, &whose)?,
        What::Port(port) => by_port(snapshot, port),
        What::Uid(uid) => by_uid(snapshot, uid),
        What::Path(path) => by_path(snapshot, &path),
    };
    if found.is_empty() {
        Err(none("is nothing that can be seen here").hint("carboy see --all lists what there is").into())
    } else {
        Ok(found)
    }
}

fn by_pid(snapshot: &Snapshot, pid: HostPid) -> Option<Found> {
    let index = snapshot.processes.iter().position(|process| process.pid == pid)?;
    Some(member_or_process(snapshot, index))
}

fn member_or_process(snapshot: &Snapshot, index: usize) -> Found {
    let container = snapshot.processes.get(index).and_then(|process| process.container);
    if container.is_some() { Found::Member(index) } else { Found::Process(index) }
}

/// What a process calls itself: the last of its numbers, else that on the host.
fn is_inside(process: &Process, pid: InsidePid) -> bool {
    let inside = process.facts.as_ref().map(|facts| facts.inside.last().copied());
    inside.is_some_and(|last| last.unwrap_or(InsidePid(process.pid.0)) == pid)
}

/// The containers that a word names: by name, or by the beginning of the id.
fn containers<'s>(snapshot: &'s Snapshot, word: &'s str) -> impl Iterator<Item = usize> + 's {
    let is_named = move |container: &Container| container.name.as_deref() == Some(word) || container.id == word;
    let exact = move || snapshot.containers.iter().enumerate().filter(move |(_, one)| is_named(one));
    let has_exact = exact().next().is_some();
    let begins =
        move |container: &Container| word.len() >= 2 && container.id.len() == 64 && container.id.starts_with(word);
    let all = snapshot.containers.iter().enumerate();
    all.filter(move |(_, one)| if has_exact { is_named(one) } else { begins(one) }).map(|(index, _)| index)
}

fn one(snapshot: &Snapshot, word: &str) -> Result<usize> {
    let found: Vec<usize> = containers(snapshot, word).collect();
    let refused = |reason: &str| Refused::new("see", word, reason).kind(RefusedKind::NoSuchObject);
    match found.as_slice() {
        [index] => Ok(*index),
        [] => {
            let hint = "carboy see lists containers, carboy see --all every sandbox on the host";
            Err(refused("is the name of no container that runs here").hint(hint).into())
        }
        several => {
            let ids = several.iter().filter_map(|index| snapshot.containers.get(*index)).map(Container::short_id);
            let ids = ids.collect::<Vec<_>>().join(", ");
            Err(refused("is the name of several").kind(RefusedKind::Conflict).hint(format!("use an id: {ids}")).into())
        }
    }
}

fn namespace_of(snapshot: &Snapshot, kind: Kind, whose: &str) -> Result<Vec<Found>> {
    let index = match host_pid(whose) {
        Some(pid) => snapshot.processes.iter().position(|process| process.pid == pid),
        None => snapshot.containers.get(one(snapshot, whose)?).map(|container| container.first),
    };
    let spot = index.and_then(|index| snapshot.processes.get(index)).and_then(|one| one.namespaces.get(place(kind)));
    Ok(spot
        .into_iter()
        .filter_map(|spot| if let Spot::In(index) = spot { Some(Found::Namespace(*index)) } else { None })
        .collect())
}

/// Who is in the namespaces where something listens at the port.
fn by_port(snapshot: &Snapshot, port: u16) -> Vec<Found> {
    let listens = |ports: &Vec<procfs::Listening>| ports.iter().any(|one| one.port == port);
    let nets = snapshot.namespaces.iter().enumerate().filter(|(_, one)| one.listening.as_ref().is_some_and(listens));
    nets.flat_map(|(index, _)| inside(snapshot, index)).collect()
}

/// Who has the other end of one of the host's interfaces; `None` where it has none of that name.
fn by_link(snapshot: &Snapshot, name: &str) -> Option<Vec<Found>> {
    let link = snapshot.links.iter().find(|link| link.name == name)?;
    Some(link.namespace.map(|index| inside(snapshot, index)).unwrap_or_default())
}

/// The containers in a network namespace; for the host's, and one of no container, the namespace itself.
fn inside(snapshot: &Snapshot, index: usize) -> Vec<Found> {
    let is_in = |container: &Container| {
        snapshot.first(container).is_some_and(|first| first.namespaces.contains(&Spot::In(index)))
    };
    let containers = snapshot.containers.iter().enumerate().filter(|(_, one)| is_in(one));
    let containers: Vec<Found> = containers.map(|(index, _)| Found::Container(index)).collect();
    let is_hosts = snapshot.namespaces.get(index).is_some_and(|namespace| snapshot.is_hosts(namespace));
    if is_hosts || containers.is_empty() { vec![Found::Namespace(index)] } else { containers }
}

/// The containers that have the user, by their map or because a process of theirs is it; else the processes themselves.
fn by_uid(snapshot: &Snapshot, uid: HostId) -> Vec<Found> {
    let is_user = |process: &Process| process.facts.as_ref().is_some_and(|facts| facts.uids.contains(&uid));
    let maps = |container: &Container| {
        let map = container.uid_map.as_ref().filter(|map| !map.is_whole());
        map.is_some_and(|map| map.to_inside(uid).is_some())
    };
    let containers = snapshot.containers.iter().enumerate();
    let owners = containers.filter(|(_, one)| maps(one) || snapshot.processes_of(one).any(is_user));
    let mut found: Vec<Found> = owners.map(|(index, _)| Found::Container(index)).collect();
    let processes = snapshot.processes.iter().enumerate();
    found.extend(
        processes.filter(|(_, one)| one.container.is_none() && is_user(one)).map(|(index, _)| Found::Process(index)),
    );
    found
}

/// A cgroup, else the containers that have the path mounted or that it is a layer of: the nearest above it.
fn by_path(snapshot: &Snapshot, path: &Path) -> Vec<Found> {
    // The same group in several hierarchies is one thing.
    if let Some(group) = snapshot.groups.iter().position(|group| group.path == path) {
        return vec![Found::Group(group)];
    }
    let depth = |container: &Container| {
        let mounts = container.mounts.as_deref().unwrap_or_default();
        let places = mounts.iter().flat_map(|mount| mount.host.iter().chain(&mount.layers));
        // What holds everything tells nothing.
        let above = places.filter(|place| place.parent().is_some() && path.starts_with(place));
        above.map(|place| place.components().count()).max()
    };
    let depths: Vec<(usize, usize)> =
        snapshot.containers.iter().enumerate().filter_map(|(index, one)| Some((depth(one)?, index))).collect();
    let nearest = depths.iter().map(|(depth, _)| *depth).max();
    depths.into_iter().filter(|(depth, _)| Some(*depth) == nearest).map(|(_, index)| Found::Container(index)).collect()
}

#[cfg(test)]
mod tests {
    use procfs::{IdMap, Listening, Protocol};
    use proptest::prelude::*;

    use super::*;
    use crate::samples;
    use crate::snapshot::{Link, Mount};

    /// `web` shares its network with `side`, has a map of users and a folder of the host.
    fn host() -> Snapshot {
        let mut snapshot = samples::empty();
        let web = samples::container(&mut snapshot, "web", &[Kind::Net, Kind::Pid, Kind::User]);
        let side = samples::container(&mut snapshot, "side", &[Kind::Pid]);
        snapshot.processes[1].namespaces[place(Kind::Net)] = snapshot.processes[0].namespaces[place(Kind::Net)];
        let Spot::In(net) = snapshot.processes[0].namespaces[place(Kind::Net)] else { panic!() };
        snapshot.namespaces[net].listening = Some(vec![Listening { port: 8080, protocol: Protocol::Tcp }]);
        snapshot.processes[0].facts.as_mut().unwrap().inside = vec![InsidePid(10)];
        snapshot.containers[web].uid_map = IdMap::parse(b"0 100000 1000\n");
        snapshot.containers[side].mounts = Some(vec![Mount {
            inside: "/data".into(),
            host: Some("/srv/x".into()),
            fs_type: "ext4".to_owned(),
            layers: vec!["/var/lib/docker/overlay2/a/diff".into()],
            ..Mount::default()
        }]);
        snapshot.links = vec![Link { name: "veth9".to_owned(), index: 7, peer: 2, namespace: Some(net) }];
        snapshot.groups = vec![samples::group("/", None), samples::group("/team", Some(0))];
        snapshot
    }

    #[test]
    fn every_form_finds_the_owner() {
        let snapshot = host();
        let (web, side) = (Found::Container(0), Found::Container(1));
        let Spot::In(net) = snapshot.processes[0].namespaces[place(Kind::Net)] else { panic!() };
        let number = format!("net:[{}]", snapshot.namespaces[net].ino);
        for (word, expected) in [
            ("web", vec![web]),
            (snapshot.containers[1].id.as_str(), vec![side]),
            ("web:10", vec![Found::Member(0)]),
            ("100", vec![Found::Member(0)]),
            (number.as_str(), vec![Found::Namespace(net)]),
            ("net:web", vec![Found::Namespace(net)]),
            ("net:101", vec![Found::Namespace(net)]),
            (":8080", vec![web, side]),
            ("veth9", vec![web, side]),
            ("uid:100999", vec![web]),
            ("/team", vec![Found::Group(1)]),
            ("/srv/x/y", vec![side]),
            ("/var/lib/docker/overlay2/a/diff/etc/passwd", vec![side]),
        ] {
            assert_eq!(find(&snapshot, word).unwrap(), expected, "{word}");
        }
    }

    #[test]
    fn an_id_of_nothing_but_digits_is_no_processs_number() {
        let mut snapshot = host();
        snapshot.containers[1].id = format!("{:064}", 100);
        let id = snapshot.containers[1].id.clone();
        for word in [id.as_str(), &id[..12]] {
            assert_eq!(find(&snapshot, word).unwrap(), [Found::Container(1)], "{word}");
            let net = format!("net:{word}");
            assert!(matches!(find(&snapshot, &net).unwrap()[..], [Found::Namespace(_)]), "{word}");
        }
        assert_eq!(find(&snapshot, "100").unwrap(), [Found::Member(0)]);
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_no_question() {
        for word in ["nobody", "77", "web:7", "net:[1]", ":1", "uid:7", "/nowhere"] {
            let error = find(&host(), word).unwrap_err();
            assert!(matches!(error, error::Error::Refused(one) if one.kind == RefusedKind::NoSuchObject), "{word}");
        }
        for word in [":http", "net:[x]", "uid:anna", "a:b"] {
            let error = find(&host(), word).unwrap_err();
            assert!(matches!(error, error::Error::Refused(one) if one.kind == RefusedKind::Invalid), "{word}");
        }
    }

    #[test]
    fn a_name_of_several_is_refused_with_their_ids() {
        let mut snapshot = host();
        snapshot.containers[1].name = Some("web".to_owned());
        let error = find(&snapshot, "web").unwrap_err();
        assert!(error.hint().unwrap().contains("c00000000001"), "{error}");
    }

    proptest! {
        #[test]
        fn any_word_can_be_asked_for(word: String) {
            let _ = find(&host(), &word);
        }
    }
}
