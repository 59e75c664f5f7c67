//! How a container stands to the namespaces that it is in: they are its own, shared with other containers, or the host's.
//! Pure.

use procfs::Kind;

use crate::snapshot::{Container, Snapshot, Spot, place};

/// How a container stands to a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Nobody else is in it.
    Own,
    /// Another container is in it too.
    Shared,
    /// It is the host's.
    Host,
    /// There is none of the kind.
    Absent,
    /// It could not be read.
    Unreadable,
}

/// How many containers are in each namespace, counted once for all relations of a snapshot.
#[derive(Debug, Clone)]
pub struct Relations<'s> {
    snapshot: &'s Snapshot,
    /// By the places of the namespaces.
    containers: Vec<usize>,
}

impl<'s> Relations<'s> {
    /// Counts.
    #[must_use]
    pub fn new(snapshot: &'s Snapshot) -> Self {
        let mut containers = vec![0; snapshot.namespaces.len()];
        let mut firsts: Vec<usize> = snapshot.containers.iter().map(|container| container.first).collect();
        firsts.sort_unstable();
        firsts.dedup();
        for first in firsts.into_iter().filter_map(|first| snapshot.processes.get(first)) {
            for spot in first.namespaces {
                if let Spot::In(index) = spot
                    && let Some(count) = containers.get_mut(index)
                {
                    *count += 1;
                }
            }
        }
        Self { snapshot, containers }
    }

    /// As [`of`].
    #[must_use]
    pub fn of(&self, container: &Container, kind: Kind) -> Relation {
        relation(self.snapshot, container, kind, |index| {
            self.containers.get(index).is_some_and(|containers| *containers > 1)
        })
    }
}

/// The relation of a container to the namespace of a kind that its first process is in.
#[must_use]
pub fn of(snapshot: &Snapshot, container: &Container, kind: Kind) -> Relation {
    relation(snapshot, container, kind, |_| with(snapshot, container, kind).next().is_some())
}

fn relation(snapshot: &Snapshot, container: &Container, kind: Kind, is_shared: impl FnOnce(usize) -> bool) -> Relation {
    let spot = snapshot.first(container).and_then(|first| first.namespaces.get(place(kind)).copied());
    let index = match spot {
        None | Some(Spot::Absent) => return Relation::Absent,
        Some(Spot::Unreadable) => return Relation::Unreadable,
        Some(Spot::In(index)) => index,
    };
    if snapshot.namespaces.get(index).is_some_and(|namespace| snapshot.is_hosts(namespace)) {
        return Relation::Host;
    }
    if is_shared(index) { Relation::Shared } else { Relation::Own }
}

/// The other containers in a container's namespace of a kind.
pub fn with<'s>(
    snapshot: &'s Snapshot,
    container: &'s Container,
    kind: Kind,
) -> impl Iterator<Item = &'s Container> + 's {
    let spot_of =
        move |one: &Container| snapshot.first(one).and_then(|first| first.namespaces.get(place(kind)).copied());
    let own = spot_of(container).filter(|spot| matches!(spot, Spot::In(_)));
    let others = snapshot.containers.iter().filter(move |other| other.first != container.first);
    others.filter(move |other| own.is_some() && spot_of(other) == own)
}

/// What a kind of namespace keeps apart, in a few words.
#[must_use]
pub const fn isolates(kind: Kind) -> &'static str {
    match kind {
        Kind::Mnt => "mounts: which files are where",
        Kind::Pid => "process numbers, and whom it can signal",
        Kind::Net => "interfaces, addresses, ports, firewall",
        Kind::Ipc => "System V shared memory, semaphores, POSIX queues",
        Kind::Uts => "host name and domain name",
        Kind::User => "users, groups and capabilities",
        Kind::Cgroup => "which group is shown as the root",
        Kind::Time => "monotonic and boot-time clocks",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn relations_counted_once_are_those_asked_one_by_one() {
        let mut snapshot = samples::empty();
        samples::container(&mut snapshot, "web", &[Kind::Net, Kind::Pid, Kind::User]);
        let side = samples::container(&mut snapshot, "side", &[Kind::Pid]);
        snapshot.processes[1].namespaces[place(Kind::Net)] = snapshot.processes[0].namespaces[place(Kind::Net)];
        // Two that have the same first process are one and the same.
        snapshot.containers.push(snapshot.containers[side].clone());
        let relations = Relations::new(&snapshot);
        for container in &snapshot.containers {
            for kind in Kind::ALL {
                assert_eq!(relations.of(container, kind), of(&snapshot, container, kind), "{kind:?}");
            }
        }
    }
}
