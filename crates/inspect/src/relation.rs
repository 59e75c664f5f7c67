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

/// The relation of a container to the namespace of a kind that its first process is in.
#[must_use]
pub fn of(snapshot: &Snapshot, container: &Container, kind: Kind) -> Relation {
    let spot = snapshot.first(container).and_then(|first| first.namespaces.get(place(kind)).copied());
    let index = match spot {
        None | Some(Spot::Absent) => return Relation::Absent,
        Some(Spot::Unreadable) => return Relation::Unreadable,
        Some(Spot::In(index)) => index,
    };
    if snapshot.namespaces.get(index).is_some_and(|namespace| snapshot.is_hosts(namespace)) {
        return Relation::Host;
    }
    if with(snapshot, container, kind).next().is_some() { Relation::Shared } else { Relation::Own }
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
