//! What two have in common and what is different: two containers or processes, one and the host, or one at two moments.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use procfs::{HostId, HostPid, IdMap, IdRange, InsideId, Kind};
use serde::Serialize;

use crate::ladder::{self, Resource};
use crate::reached;
use crate::snapshot::network::Network;
use crate::snapshot::{
    Capabilities, Container, Facts, HostNamespace, Known, Namespace, Process, Reading, Related, Seccomp, Snapshot,
    Spot, place,
};

/// One of the two.
#[derive(Debug, Clone, Copy)]
pub struct Side<'s> {
    /// Where it was seen.
    pub snapshot: &'s Snapshot,
    /// Who it is.
    pub whom: Whom,
}

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// This one of [`Snapshot::containers`].
    Container(usize),
    /// This one of [`Snapshot::processes`].
    Process(usize),
    /// The host itself, for which PID 1 stands.
    Host,
}

/// The same thing of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// Of the first.
    pub a: T,
    /// Of the second.
    pub b: T,
}

/// What was found. A container is what its first process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Their first processes.
    pub first: Pair<Option<Identity>>,
    /// In the order of [`Kind::ALL`].
    pub namespaces: [Namespaces; 8],
    /// In the order of [`Resource::ALL`].
    pub limits: [Limits; 3],
    /// What they are capable of, each in its user namespace.
    pub capabilities: Pair<Option<Capabilities>>,
    /// How seccomp holds them.
    pub seccomp: Pair<Option<Seccomp>>,
    /// Whether execve cannot give them more rights.
    pub no_new_privs: Pair<Option<bool>>,
    /// Who they are.
    pub users: Pair<Option<User>>,
    /// How many users of the host both have; `None` where a map could not be read.
    pub common_uids: Option<u64>,
    /// The folders and files of the host that somebody chose for one or for both; `None` where mounts were not looked at.
    pub mounts: Option<Vec<FromHost>>,
    /// Their networks; `None` for that of the host, and where it was not looked at or could not be read.
    pub network: Pair<Option<Networked>>,
}

/// A network, as far as it tells who reaches whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Networked {
    /// Its addresses, but for those that mean nothing outside.
    pub addresses: Vec<IpAddr>,
    /// The bridges that it is on.
    pub bridges: Vec<String>,
    /// Ports of the host that lead to it: `0.0.0.0:8080/tcp`.
    pub published: Vec<String>,
}

impl Networked {
    fn of(network: &Network) -> Option<Self> {
        let interfaces = network.interfaces.as_ref().filter(|_| !network.is_hosts)?;
        let addresses = interfaces.iter().flat_map(|one| &one.addresses).map(|subnet| subnet.address);
        let bridges = interfaces.iter().filter_map(|one| Some(one.other.as_ref()?.bridge.as_ref()?.name.clone()));
        Some(Self {
            addresses: addresses.filter(|address| !crate::network::is_local(*address)).collect(),
            bridges: bridges.collect::<BTreeSet<_>>().into_iter().collect(),
            published: network.published.as_ref()?.iter().map(reached::at).collect(),
        })
    }
}

/// A process, also when its number has gone to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Identity {
    /// Its number on the host.
    pub pid: HostPid,
    /// When it began, in clock ticks since boot.
    pub start_ticks: u64,
}

/// Their namespaces of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Namespaces {
    /// The kind.
    pub kind: Kind,
    /// The inodes, where there are any and they could be read.
    pub inodes: Pair<Option<u64>>,
    /// How one stands to the other.
    pub standing: Standing,
}

/// How one stands to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// They are the same.
    Same,
    /// They differ, and the second's is below the first's: the first has power over it, and not the reverse.
    Above,
    /// The reverse.
    Below,
    /// They differ.
    Apart,
    /// One of the two could not be read, or may be another of the same number.
    Unknown,
    /// One of the two has none.
    Absent,
}

/// Their limits of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The resource.
    pub resource: Resource,
    /// What really holds.
    pub held: Pair<Held>,
    /// Whether as much holds for both.
    pub standing: Standing,
}

/// A limit that really holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// How much.
    pub effective: Reading,
    /// The group that set it.
    pub set_at: Option<PathBuf>,
    /// Whether that is an ancestor of its own group.
    pub is_set_above: bool,
}

/// A user outside and inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// On the host.
    pub host: HostId,
    /// Inside; `None` where it is nobody there, or the map could not be read.
    pub inside: Option<InsideId>,
    /// Who else is who, where that could be read.
    pub map: Option<IdMap>,
}

/// A folder or file of the host, and where the two have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FromHost {
    /// Where it is on the host.
    pub host: PathBuf,
    /// Where they have it: nowhere in one that lacks it.
    pub places: Pair<Vec<Place>>,
}

/// Where a folder or file of the host is for one of the two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Where.
    pub inside: PathBuf,
    /// Whether nothing can be written through it; `None` for the host itself, where nothing was mounted for it.
    pub read_only: Option<bool>,
}

/// Compares two.
#[must_use]
pub fn compare(a: Side<'_>, b: Side<'_>) -> Comparison {
    let is_one_moment = std::ptr::eq(a.snapshot, b.snapshot) || a.snapshot == b.snapshot;
    let pair = Both { a: Look::at(a), b: Look::at(b), is_one_moment };
    let users = pair.of(Look::user);
    Comparison {
        first: pair.of(Look::identity),
        namespaces: Kind::ALL.map(|kind| pair.namespaces(kind)),
        limits: Resource::ALL.map(|resource| pair.limits(resource)),
        capabilities: pair.of(|one| one.facts().map(|facts| facts.capabilities)),
        seccomp: pair.of(|one| one.facts().map(|facts| facts.seccomp)),
        no_new_privs: pair.of(|one| one.facts().map(|facts| facts.no_new_privs)),
        common_uids: common_uids(&users),
        users,
        mounts: pair.mounts(),
        network: pair.of(Look::network),
    }
}

impl<T: PartialEq> Pair<Option<T>> {
    /// Whether they are the same, where both are known.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) if a == b => Standing::Same,
            (Some(_), Some(_)) => Standing::Apart,
            _ => Standing::Unknown,
        }
    }
}

impl Comparison {
    /// How many kinds of namespaces are the same in both, and of how many.
    #[must_use]
    pub fn shared(&self) -> (usize, usize) {
        let count = |is_so: fn(Standing) -> bool| self.namespaces.iter().filter(|one| is_so(one.standing)).count();
        (count(|standing| standing == Standing::Same), count(|standing| standing != Standing::Absent))
    }
}

/// What a standing means for two at one moment; `a` and `b` are what they are called.
#[must_use]
pub fn words(kind: Kind, standing: Standing, a: &str, b: &str) -> String {
    let upper = if standing == Standing::Below { b } else { a };
    match standing {
        Standing::Same => together(kind).to_owned(),
        Standing::Apart => apart(kind).to_owned(),
        Standing::Above | Standing::Below => match kind {
            Kind::User => format!("only {upper}'s root is root over both"),
            Kind::Pid => format!("only {upper} sees the other's processes"),
            _ => format!("{upper}'s is above the other's"),
        },
        Standing::Unknown => "could not be read".to_owned(),
        Standing::Absent => "there is none".to_owned(),
    }
}

const fn together(kind: Kind) -> &'static str {
    match kind {
        Kind::Mnt => "same mounts: a path is the same file",
        Kind::Pid => "see and signal each other's processes",
        Kind::Net => "same addresses, ports; meet at 127.0.0.1",
        Kind::Ipc => "same shared memory, semaphores, queues",
        Kind::Uts => "same host name: one renames it for both",
        Kind::User => "same uid numbers: uid 0 is the same root",
        Kind::Cgroup => "same root in /proc/PID/cgroup",
        Kind::Time => "same boot-time and monotonic clocks",
    }
}

const fn apart(kind: Kind) -> &'static str {
    match kind {
        Kind::Mnt => "own mounts: a path may be another file",
        Kind::Pid => "neither sees the other's processes",
        Kind::Net => "own interfaces, addresses and ports",
        Kind::Ipc => "own shared memory, semaphores, queues",
        Kind::Uts => "a host name each",
        Kind::User => "own users: neither's root is the other's",
        Kind::Cgroup => "each sees another group as the root",
        Kind::Time => "own boot-time and monotonic clocks",
    }
}

/// One of the two, looked at.
struct Look<'s> {
    snapshot: &'s Snapshot,
    first: Option<&'s Process>,
    /// `None` for the host.
    container: Option<Container>,
}

/// Where it is in a kind's namespaces.
#[derive(Clone, Copy)]
enum Sight<'s> {
    In(u64, Option<&'s Namespace>),
    Absent,
    Unreadable,
}

impl<'s> Look<'s> {
    fn at(side: Side<'s>) -> Self {
        let snapshot = side.snapshot;
        let container = match side.whom {
            Whom::Container(index) => snapshot.containers.get(index).cloned(),
            Whom::Process(index) => snapshot.alone(index),
            Whom::Host => None,
        };
        let first = match &container {
            Some(container) => snapshot.first(container),
            None => snapshot.processes.iter().find(|process| process.pid == HostPid(1)),
        };
        Self { snapshot, first, container }
    }

    fn facts(&self) -> Option<&'s Facts> {
        self.first.and_then(|first| first.facts.as_deref())
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity { pid: self.first?.pid, start_ticks: self.facts()?.start_ticks })
    }

    fn sight(&self, kind: Kind) -> Sight<'s> {
        if self.container.is_none() {
            let known: Option<HostNamespace> = self.snapshot.host.namespaces.get(place(kind)).copied().flatten();
            let found = |ino| self.snapshot.namespaces.iter().find(|one| (one.kind, one.ino) == (kind, ino));
            return known.map_or(Sight::Unreadable, |known| Sight::In(known.ino, found(known.ino)));
        }
        match self.first.and_then(|first| first.namespaces.get(place(kind))) {
            Some(Spot::In(index)) => match self.snapshot.namespaces.get(*index) {
                Some(namespace) => Sight::In(namespace.ino, Some(namespace)),
                None => Sight::Unreadable,
            },
            Some(Spot::Absent) => Sight::Absent,
            Some(Spot::Unreadable) | None => Sight::Unreadable,
        }
    }

    fn is_hosts(&self, kind: Kind) -> bool {
        matches!(self.sight(kind), Sight::In(ino, _) if self.host_number(kind).is_some_and(|known| known.ino == ino))
    }

    fn host_number(&self, kind: Kind) -> Option<HostNamespace> {
        self.snapshot.host.namespaces.get(place(kind)).copied().flatten()
    }

    fn network(&self) -> Option<Networked> {
        Networked::of(self.snapshot.network_of(self.container.as_ref()?)?)
    }

    fn held(&self, resource: Resource) -> Held {
        let Some(container) = &self.container else {
            return Held { effective: Reading::Unlimited, set_at: None, is_set_above: false };
        };
        let ladder = ladder::of(self.snapshot, &container.groups, resource);
        Held {
            effective: ladder.effective(),
            set_at: ladder.binds().map(|rung| rung.group.path.clone()),
            is_set_above: ladder.is_set_above(),
        }
    }

    fn user(&self) -> Option<User> {
        let host = *self.facts()?.uids.get(1)?;
        let whole = || IdMap { ranges: vec![IdRange { inside: InsideId(0), host: HostId(0), count: u32::MAX }] };
        let read = self.container.as_ref().and_then(|container| container.uid_map.clone());
        let map = read.or_else(|| self.is_hosts(Kind::User).then(whole));
        Some(User { host, inside: map.as_ref().and_then(|map| map.to_inside(host)), map })
    }

    /// Where each folder of the host is; `None` for the host, which has them all.
    fn places(&self) -> Option<BTreeMap<PathBuf, Vec<Place>>> {
        let mut places: BTreeMap<PathBuf, Vec<Place>> = BTreeMap::new();
        for mount in self.container.as_ref()?.mounts.iter().flatten().filter(|mount| mount.is_chosen()) {
            let place = Place { inside: mount.inside.clone(), read_only: Some(mount.read_only) };
            places.entry(mount.host.clone()?).or_default().push(place);
        }
        places.values_mut().for_each(|places| places.sort());
        Some(places)
    }

    fn has_mounts(&self) -> bool {
        self.container.as_ref().is_none_or(|container| container.mounts.is_some())
    }

    /// The processes in a namespace, to be known again.
    fn members(&self, kind: Kind, ino: u64) -> BTreeSet<Identity> {
        let is_in = |process: &&Process| {
            self.snapshot.namespace_of(process, kind).is_some_and(|namespace| namespace.ino == ino)
        };
        let members = self.snapshot.processes.iter().filter(is_in);
        members
            .filter_map(|process| Some(Identity { pid: process.pid, start_ticks: process.facts.as_ref()?.start_ticks }))
            .collect()
    }
}

struct Both<'s> {
    a: Look<'s>,
    b: Look<'s>,
    is_one_moment: bool,
}

impl<'s> Both<'s> {
    fn of<T>(&self, of: impl Fn(&Look<'s>) -> T) -> Pair<T> {
        Pair { a: of(&self.a), b: of(&self.b) }
    }

    fn namespaces(&self, kind: Kind) -> Namespaces {
        let inode = |sight| if let Sight::In(ino, _) = sight { Some(ino) } else { None };
        Namespaces { kind, inodes: self.of(|one| inode(one.sight(kind))), standing: self.standing(kind) }
    }

    fn standing(&self, kind: Kind) -> Standing {
        match (self.a.sight(kind), self.b.sight(kind)) {
            (Sight::Unreadable, _) | (_, Sight::Unreadable) => Standing::Unknown,
            (Sight::Absent, _) | (_, Sight::Absent) => Standing::Absent,
            (Sight::In(a, _), Sight::In(b, _)) if a == b => {
                if self.is_the_same(kind, a) {
                    Standing::Same
                } else {
                    Standing::Unknown
                }
            }
            (Sight::In(..), Sight::In(..)) if !self.is_one_moment => Standing::Apart,
            (Sight::In(a, _), Sight::In(_, Some(b))) if is_below(&self.a, b, a) => Standing::Above,
            (Sight::In(_, Some(a)), Sight::In(b, _)) if is_below(&self.b, a, b) => Standing::Below,
            (Sight::In(..), Sight::In(..)) => Standing::Apart,
        }
    }

    /// The kernel gives a number again when its namespace has gone: at two moments, somebody must have stayed in it.
    fn is_the_same(&self, kind: Kind, ino: u64) -> bool {
        self.is_one_moment
            || (self.a.is_hosts(kind) && self.b.is_hosts(kind))
            || !self.a.members(kind, ino).is_disjoint(&self.b.members(kind, ino))
    }

    fn limits(&self, resource: Resource) -> Limits {
        let held = self.of(|one| one.held(resource));
        let standing = match (held.a.effective, held.b.effective) {
            (Reading::Unreadable, _) | (_, Reading::Unreadable) => Standing::Unknown,
            (a, b) if a == b => Standing::Same,
            _ => Standing::Apart,
        };
        Limits { resource, held, standing }
    }

    fn mounts(&self) -> Option<Vec<FromHost>> {
        if !self.a.has_mounts() || !self.b.has_mounts() {
            return None;
        }
        let Pair { a, b } = self.of(Look::places);
        let folders: BTreeSet<&PathBuf> = a.iter().chain(&b).flat_map(BTreeMap::keys).collect();
        let there = |places: &Option<BTreeMap<PathBuf, Vec<Place>>>, folder: &PathBuf| match places {
            Some(places) => places.get(folder).cloned().unwrap_or_default(),
            None => vec![Place { inside: folder.clone(), read_only: None }],
        };
        let found = folders.into_iter().map(|folder| FromHost {
            host: folder.clone(),
            places: Pair { a: there(&a, folder), b: there(&b, folder) },
        });
        Some(found.collect())
    }
}

/// Whether a namespace is below another of its kind, which `upper` is in.
fn is_below(upper: &Look<'_>, lower: &Namespace, ino: u64) -> bool {
    if !matches!(lower.kind, Kind::User | Kind::Pid) {
        return false;
    }
    let is_first = |known: HostNamespace| known.known == Known::Fixed && known.ino == ino;
    if upper.host_number(lower.kind).is_some_and(is_first) {
        return true;
    }
    let all = &upper.snapshot.namespaces;
    let parent = |one: &&Namespace| if let Related::To(index) = one.parent { all.get(index) } else { None };
    // A file from elsewhere can point in circles.
    std::iter::successors(parent(&lower), parent).take(all.len()).any(|above| above.ino == ino)
}

fn common_uids(users: &Pair<Option<User>>) -> Option<u64> {
    let ranges = |user: &Option<User>| Some(user.as_ref()?.map.as_ref()?.ranges.clone());
    let (a, b) = (ranges(&users.a)?, ranges(&users.b)?);
    let end = |range: &IdRange| u64::from(range.host.0) + u64::from(range.count);
    let common = |(a, b): (&IdRange, &IdRange)| {
        let begin = u64::from(a.host.0.max(b.host.0));
        end(a).min(end(b)).saturating_sub(begin)
    };
    // The kernel lets no two ranges of a map overlap.
    Some(a.iter().flat_map(|a| b.iter().map(move |b| (a, b))).map(common).fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;
    use crate::snapshot::{Limited, Mount};

    fn mount(host: &str, inside: &str, access: &str) -> Mount {
        Mount {
            inside: inside.into(),
            host: Some(host.into()),
            fs_type: "ext4".to_owned(),
            read_only: access == "ro",
            ..Mount::default()
        }
    }

    /// `web`, `side` in its net and pid namespaces, and `user` in a user namespace of its own.
    fn host() -> Snapshot {
        let mut snapshot = samples::empty();
        let web = samples::container(&mut snapshot, "web", &[Kind::Mnt, Kind::Net, Kind::Pid]);
        let side = samples::container(&mut snapshot, "side", &[Kind::Mnt]);
        let user = samples::container(&mut snapshot, "user", &[Kind::User, Kind::Pid]);
        for kind in [Kind::Net, Kind::Pid] {
            snapshot.processes[side].namespaces[place(kind)] = snapshot.processes[web].namespaces[place(kind)];
        }
        snapshot.containers[web].mounts = Some(vec![mount("/srv/x", "/data", "rw"), mount("/srv/y", "/y", "rw")]);
        snapshot.containers[side].mounts =
            Some(vec![mount("/srv/x", "/x", "ro"), mount("/dev/null", "/dev/null", "ro")]);
        snapshot.containers[user].uid_map = IdMap::parse(b"0 100000 1000\n");
        snapshot.processes[user].facts.as_mut().unwrap().uids = [HostId(100_000); 4];
        let mut group = samples::group("/web", None);
        group.memory = Limited { limit: Reading::At(64 << 20), usage: Reading::At(1), hits: Reading::At(0) };
        snapshot.groups.push(group);
        snapshot.containers[web].groups = vec![0];
        snapshot
    }

    fn of(snapshot: &Snapshot, whom: Whom) -> Side<'_> {
        Side { snapshot, whom }
    }

    fn standings(snapshot: &Snapshot, a: Whom, b: Whom) -> Vec<Standing> {
        compare(of(snapshot, a), of(snapshot, b)).namespaces.map(|one| one.standing).into()
    }

    #[test]
    fn what_is_shared_is_told_from_what_is_not() {
        use Standing::{Apart, Same};
        let snapshot = host();
        let (web, side) = (of(&snapshot, Whom::Container(0)), of(&snapshot, Whom::Container(1)));
        let found = compare(web, side);
        let expected = [Apart, Same, Same, Same, Same, Same, Same, Same];
        assert_eq!(found.namespaces.clone().map(|one| one.standing), expected);
        assert_eq!(found.shared(), (7, 8));
        assert_eq!(found.limits.clone().map(|one| one.standing), [Apart, Same, Same]);
        assert_eq!(found.limits[0].held.a.effective, Reading::At(64 << 20));
        let place = |inside: &str, read_only| Place { inside: inside.into(), read_only: Some(read_only) };
        let expected = [
            FromHost {
                host: "/srv/x".into(),
                places: Pair { a: vec![place("/data", false)], b: vec![place("/x", true)] },
            },
            FromHost { host: "/srv/y".into(), places: Pair { a: vec![place("/y", false)], b: vec![] } },
        ];
        assert_eq!(found.mounts.unwrap(), expected);
    }

    #[test]
    fn the_host_is_above_the_users_and_the_processes_of_a_container() {
        let snapshot = host();
        let found = standings(&snapshot, Whom::Container(2), Whom::Host);
        assert_eq!((found[place(Kind::User)], found[place(Kind::Pid)]), (Standing::Below, Standing::Below));
        let compared = compare(of(&snapshot, Whom::Container(2)), of(&snapshot, Whom::Host));
        assert_eq!(compared.common_uids, None, "nobody could read who PID 1 is");
        assert_eq!(compared.users.a.unwrap().inside, Some(InsideId(0)));
        let said = words(Kind::Pid, Standing::Below, "user", "the host");
        assert_eq!(said, "only the host sees the other's processes");
    }

    #[test]
    fn nested_namespaces_are_told_by_their_parents() {
        let mut snapshot = host();
        let inner = samples::container(&mut snapshot, "inner", &[Kind::User]);
        let Spot::In(at) = snapshot.processes[inner].namespaces[place(Kind::User)] else { panic!() };
        let Spot::In(outer) = snapshot.processes[2].namespaces[place(Kind::User)] else { panic!() };
        snapshot.namespaces[at].parent = Related::To(outer);
        snapshot.namespaces[outer].parent = Related::To(at);
        // They point in circles, which ends.
        standings(&snapshot, Whom::Container(2), Whom::Container(inner));
        snapshot.namespaces[outer].parent = Related::Outside;
        let found = |a, b| standings(&snapshot, Whom::Container(a), Whom::Container(b))[place(Kind::User)];
        assert_eq!((found(2, inner), found(inner, 2)), (Standing::Above, Standing::Below));
    }

    #[test]
    fn a_number_at_two_moments_is_the_same_namespace_only_where_somebody_stayed_in_it() {
        let (before, mut after) = (host(), host());
        after.at_msec = 1;
        let net = |after: &Snapshot| {
            compare(of(&before, Whom::Container(0)), of(after, Whom::Container(0))).namespaces[place(Kind::Net)]
                .standing
        };
        assert_eq!(net(&after), Standing::Same);
        for process in &mut after.processes {
            process.facts.as_mut().unwrap().start_ticks = 77;
        }
        assert_eq!(net(&after), Standing::Unknown);
        let hosts = compare(of(&before, Whom::Host), of(&after, Whom::Host));
        assert_eq!(hosts.shared(), (8, 8));
    }

    #[test]
    fn users_that_both_have_are_counted() {
        let user = |map: &[u8]| Some(User { host: HostId(0), inside: None, map: IdMap::parse(map) });
        let count = |a: &[u8], b: &[u8]| common_uids(&Pair { a: user(a), b: user(b) });
        assert_eq!(count(b"0 100000 1000\n", b"0 100000 1000\n"), Some(1000));
        assert_eq!(count(b"0 1000 1\n1 100000 500\n", b"0 1000 1\n1 100400 500\n"), Some(101));
        assert_eq!(count(b"0 0 4294967295\n", b"0 100000 65536\n"), Some(65536));
        assert_eq!(count(b"0 1 1\n", b"0 2 1\n"), Some(0));
        assert_eq!(count(b"no map", b"0 2 1\n"), None);
    }

    fn turned<T: Clone>(pair: &Pair<T>) -> Pair<T> {
        Pair { a: pair.b.clone(), b: pair.a.clone() }
    }

    fn reversed(found: &Comparison) -> Comparison {
        let standing = |standing| match standing {
            Standing::Above => Standing::Below,
            Standing::Below => Standing::Above,
            other => other,
        };
        let mount = |one: &FromHost| FromHost { host: one.host.clone(), places: turned(&one.places) };
        Comparison {
            first: turned(&found.first),
            namespaces: found.namespaces.clone().map(|one| Namespaces {
                inodes: turned(&one.inodes),
                standing: standing(one.standing),
                ..one
            }),
            limits: found.limits.clone().map(|one| Limits { held: turned(&one.held), ..one }),
            capabilities: turned(&found.capabilities),
            seccomp: turned(&found.seccomp),
            no_new_privs: turned(&found.no_new_privs),
            users: turned(&found.users),
            common_uids: found.common_uids,
            mounts: found.mounts.as_ref().map(|mounts| mounts.iter().map(mount).collect()),
            network: turned(&found.network),
        }
    }

    fn reading() -> impl Strategy<Value = Reading> {
        prop_oneof![
            (0..3_u64).prop_map(Reading::At),
            Just(Reading::Unlimited),
            Just(Reading::Absent),
            Just(Reading::Unreadable)
        ]
    }

    prop_compose! {
        /// Four containers with any namespaces of twelve, whose parents are earlier ones, and any limits and mounts.
        fn hosts()(
            spots in prop::collection::vec(prop::array::uniform8(0..14_usize), 4),
            parents in prop::collection::vec(prop::option::of(0..9_usize), 16),
            limits in prop::collection::vec(reading(), 4),
            folders in prop::collection::vec(prop::option::of(prop::collection::vec((0..3_u8, prop_oneof![Just("ro"), Just("rw")]), 0..4)), 4),
            rights in prop::collection::vec((0..4_u64, any::<bool>(), prop::option::of(0..3_u32)), 4),
        ) -> Snapshot {
            let mut snapshot = samples::empty();
            for (at, kind) in (8..16).zip(Kind::ALL.into_iter().cycle()) {
                snapshot.namespaces.push(samples::namespace(kind, 4_026_532_000 + at));
            }
            for (at, parent) in parents.iter().enumerate() {
                // Of the same kind, and above it.
                let parent = parent.map(|_| at % 8).filter(|parent| *parent < at);
                snapshot.namespaces[at].parent = parent.map_or(Related::Unknown, Related::To);
            }
            for number in 0..4 {
                let container = samples::container(&mut snapshot, &format!("c{number}"), &[]);
                for (kind, spot) in snapshot.processes[number].namespaces.iter_mut().enumerate() {
                    *spot = match spots[number][kind] {
                        0..6 => Spot::In(kind),
                        6..12 => Spot::In(kind + 8),
                        12 => Spot::Absent,
                        _ => Spot::Unreadable,
                    };
                }
                let mut group = samples::group(&format!("/{number}"), None);
                group.memory.limit = limits[number];
                snapshot.groups.push(group);
                let (effective, no_new_privs, map) = rights[number];
                let facts = snapshot.processes[number].facts.as_mut().unwrap();
                facts.capabilities.effective = effective;
                facts.no_new_privs = no_new_privs;
                let container = &mut snapshot.containers[container];
                container.groups = vec![number];
                container.uid_map = map.and_then(|first| IdMap::parse(format!("0 {first} 2\n").as_bytes()));
                container.mounts = folders[number].as_ref().map(|folders| {
                    folders.iter().map(|(name, access)| mount(&format!("/{name}"), &format!("/in/{name}"), access)).collect()
                });
            }
            snapshot
        }
    }

    fn whom() -> impl Strategy<Value = Whom> {
        prop_oneof![(0..4_usize).prop_map(Whom::Container), (0..4_usize).prop_map(Whom::Process), Just(Whom::Host)]
    }

    proptest! {
        #[test]
        fn it_does_not_matter_who_is_first(snapshot in hosts(), a in whom(), b in whom()) {
            let (a, b) = (of(&snapshot, a), of(&snapshot, b));
            prop_assert_eq!(reversed(&compare(a, b)), compare(b, a));
        }

        #[test]
        fn nobody_differs_from_itself(snapshot in hosts(), whom in whom()) {
            let found = compare(of(&snapshot, whom), of(&snapshot, whom));
            prop_assert_eq!(&found.clone(), &reversed(&found));
            let differs = |standing| matches!(standing, Standing::Apart | Standing::Above | Standing::Below);
            prop_assert!(!found.namespaces.iter().any(|one| differs(one.standing)));
            prop_assert!(!found.limits.iter().any(|one| differs(one.standing)));
            let rights = [found.capabilities.standing(), found.seccomp.standing(), found.no_new_privs.standing()];
            prop_assert!(!rights.into_iter().any(differs));
            prop_assert!(found.mounts.iter().flatten().all(|one| one.places.a == one.places.b));
        }

        #[test]
        fn the_same_file_read_twice_is_one_moment(snapshot in hosts(), a in whom(), b in whom()) {
            let again = snapshot.clone();
            prop_assert_eq!(compare(of(&snapshot, a), of(&again, b)), compare(of(&snapshot, a), of(&snapshot, b)));
        }
    }
}
