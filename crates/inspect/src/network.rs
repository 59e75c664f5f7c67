//! The networks of the containers and processes that were asked about: read inside by a socket of each namespace, and on the
//! host, which is the viewer's own network namespace, by its links and its firewall.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use cgroup::level::Trees;
use error::{Doing as _, Errno, Kernel, Result};
use netlink::link::{self, Assigned, Listed, State, Way};
use netlink::{Protocol, Socket, route};
use procfs::{HostPid, Kind, Process as Folder, Walk};

use crate::firewall::legacy::Legacy;
use crate::firewall::{Firewall, Names};
use crate::snapshot::network::{Bridge, Interface, Listener, Network, Other, Place, Route, Subnet};
use crate::snapshot::{Spot, place};
use crate::source::{Pass, Sightless};

/// Whoever is looked at may have as many links, routes and rules of its own as it likes: so many are told of.
const MOST_LINKS: usize = 256;
const MOST_ROUTES: usize = 1024;
const MOST_RULES: usize = 1024;

/// What is asked about.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Processes, by their places.
    pub(crate) processes: BTreeSet<usize>,
    /// Their groups, by theirs.
    pub(crate) groups: BTreeSet<usize>,
}

/// What is read for all of them.
struct Reader<'r> {
    walk: &'r mut Walk,
    pass: &'r Pass,
    trees: &'r Trees,
    asked: &'r Asked,
    blind: &'r mut Sightless,
    home: OwnedFd,
    here: Rc<Side>,
}

/// The links of one network namespace, with a socket of it.
struct Side {
    /// Its place among the namespaces; `None` for the viewer's, where no process that was seen is in it.
    namespace: Option<usize>,
    socket: Socket,
    links: Vec<Listed>,
    addresses: Vec<Assigned>,
    /// What it calls other namespaces, once that was asked for.
    numbered: OnceCell<Vec<(u32, usize)>>,
}

impl Side {
    fn read(namespace: Option<usize>, socket: Socket) -> Result<Self> {
        let links = link::all(&socket).doing(|| "list the links")?;
        let addresses = link::assigned(&socket).doing(|| "list the addresses")?;
        Ok(Self { namespace, socket, links, addresses, numbered: OnceCell::new() })
    }

    fn link(&self, index: u32) -> Option<&Listed> {
        self.links.iter().find(|link| link.index == index)
    }

    fn addresses_of(&self, link: u32) -> Vec<Subnet> {
        let own = self.addresses.iter().filter(|one| one.link == link);
        own.map(|one| Subnet { address: one.address, prefix: one.prefix }).collect()
    }
}

/// Reads the networks that the processes that were asked about are in.
///
/// # Errors
/// A kernel error where not even the host's links can be read.
pub(crate) fn read(
    walk: &mut Walk,
    pass: &Pass,
    trees: &Trees,
    asked: &Asked,
    blind: &mut Sightless,
) -> Result<Vec<Network>> {
    let this = Folder::this()?;
    let own = this.namespace(Kind::Net)?.id().map(|id| id.ino);
    let is_own = |one: &crate::snapshot::Namespace| one.kind == Kind::Net && Some(one.ino) == own;
    let namespace = pass.namespaces.all.iter().position(is_own);
    let here = Rc::new(Side::read(namespace, Socket::open(Protocol::Route)?)?);
    let mut reader = Reader { walk, pass, trees, asked, blind, home: this.open_namespace(Kind::Net)?, here };
    let processes = asked.processes.iter().filter_map(|index| pass.processes.get(*index));
    let spots = processes.filter_map(|process| process.namespaces.get(place(Kind::Net)));
    let namespaces: BTreeSet<usize> =
        spots.filter_map(|spot| if let Spot::In(index) = spot { Some(*index) } else { None }).collect();
    Ok(namespaces.into_iter().filter_map(|index| reader.network(index)).collect())
}

impl Reader<'_> {
    /// `None` where nobody is left in it.
    fn network(&mut self, index: usize) -> Option<Network> {
        let pid = (*self.pass.namespaces.witness.get(index)?)?;
        let is_hosts = self.is_hosts(index);
        let inside = if is_hosts { Ok(None) } else { self.inside(index, pid).map(Some) };
        let inside =
            inside.map_err(|error| self.blind.add_error("network", &name("the links of", index, self), &error));
        let (interfaces, routes) = match &inside {
            Ok(None) => (Some(Vec::new()), Some(Vec::new())),
            Ok(Some(side)) => (Some(self.interfaces(side)), self.routes(side)),
            Err(()) => (None, None),
        };
        let names = self.names(index, interfaces.as_deref().unwrap_or_default());
        let firewall = Socket::open(Protocol::Netfilter).and_then(|socket| firewall(&socket, &names, usize::MAX));
        let firewall = firewall.map_err(|error| self.blind.add_error("firewall", "the host's firewall", &error)).ok();
        if firewall.as_ref().is_some_and(|firewall| firewall.as_ref().is_some_and(|it| it.is_cut)) {
            self.blind.add(
                "firewall",
                "more ranges than are read at once of a set of the host's firewall",
                Errno::TOOBIG,
            );
        }
        let mut legacy = self.legacy(index, pid);
        let older = self.hosts_legacy(&mut legacy);
        let own = match &inside {
            Ok(None) => Some(Vec::new()),
            Ok(Some(_)) => self.own_rules(index, pid, &names),
            Err(()) => None,
        };
        Some(Network {
            namespace: index,
            is_hosts,
            interfaces,
            routes,
            listeners: self.listeners(index, pid),
            published: firewall.as_ref().map(|firewall| {
                let newer = firewall.as_ref().map_or_else(Vec::new, |it| it.published(&names));
                newer.into_iter().chain(older.published(&names)).collect()
            }),
            rules: firewall.as_ref().map(|firewall| {
                let newer = firewall.as_ref().map_or_else(Vec::new, |it| it.about(&names));
                newer.into_iter().chain(older.about(&names)).collect()
            }),
            own_rules: own,
            legacy,
        })
    }

    /// Whether a namespace is the viewer's own.
    fn is_hosts(&self, index: usize) -> bool {
        self.here.namespace == Some(index)
    }

    fn open(&mut self, pid: HostPid) -> Result<OwnedFd> {
        let gone = || Kernel::new(format!("look at process {pid}"), Errno::SRCH);
        self.walk.visit(pid)?.ok_or_else(gone)?.open_namespace(Kind::Net)
    }

    fn inside(&mut self, index: usize, pid: HostPid) -> Result<Side> {
        let namespace = self.open(pid)?;
        Side::read(Some(index), Socket::open_in(namespace.as_fd(), self.home.as_fd(), Protocol::Route)?)
    }

    fn own_rules(&mut self, index: usize, pid: HostPid, names: &Names) -> Option<Vec<crate::snapshot::network::Rule>> {
        let read = self.open(pid).and_then(|namespace| {
            let socket = Socket::open_in(namespace.as_fd(), self.home.as_fd(), Protocol::Netfilter)?;
            firewall(&socket, names, MOST_RULES)
        });
        match read {
            Ok(found) => {
                if found.as_ref().is_some_and(|firewall| firewall.is_cut) {
                    self.note_more(&format!("than {MOST_RULES} rules"), index);
                }
                Some(found.map_or_else(Vec::new, |firewall| firewall.all(names)))
            }
            Err(error) => {
                self.blind.add_error("own firewall", &name("the firewall of", index, self), &error);
                None
            }
        }
    }

    fn interfaces(&mut self, side: &Side) -> Vec<Interface> {
        let interface = |link: &Listed| Interface {
            name: link.name.clone(),
            index: link.index,
            kind: link.kind.clone(),
            state: match link.state {
                State::Up => "up",
                State::Down => "down",
                State::NoCarrier => "no carrier",
            }
            .to_owned(),
            mtu: link.mtu,
            hardware: hardware(&link.hardware),
            addresses: side.addresses_of(link.index),
            other: link.other.map(|other| self.other(side, other)),
        };
        let told = side.links.iter().take(MOST_LINKS).map(interface).collect();
        if let Some(index) = side.namespace.filter(|_| side.links.len() > MOST_LINKS) {
            self.note_more(&format!("than {MOST_LINKS} links"), index);
        }
        told
    }

    /// What a side calls each other namespace.
    fn numbered<'s>(&mut self, side: &'s Side) -> &'s [(u32, usize)] {
        side.numbered.get_or_init(|| self.pass.numbered(self.walk, &side.socket, |_| true))
    }

    /// Notes that there is more in a namespace than is told of.
    fn note_more(&mut self, what: &str, index: usize) {
        let what = name(&format!("more {what} in"), index, self);
        self.blind.add("more", &what, Errno::TOOBIG);
    }

    /// What a link is joined to.
    fn other(&mut self, side: &Side, other: link::Other) -> Other {
        let told = |place, beyond: &Side, bridge| Other {
            index: other.index,
            place,
            name: beyond.link(other.index).map(|link| link.name.clone()),
            bridge,
        };
        let Some(nsid) = other.nsid else { return told(Place::Same, side, None) };
        if route::nsid(&side.socket, self.home.as_fd()) == Ok(Some(nsid)) {
            let here = Rc::clone(&self.here);
            let bridge = self.bridge(&here, other.index);
            return told(Place::Host, &here, bridge);
        }
        let nowhere = Other { index: other.index, place: Place::Elsewhere, name: None, bridge: None };
        let found = self.numbered(side).iter().find(|(number, _)| *number == nsid);
        let Some(index) = found.map(|(_, index)| *index) else { return nowhere };
        let pid = self.pass.namespaces.witness.get(index).copied().flatten();
        match pid.map(|pid| self.inside(index, pid)) {
            Some(Ok(beyond)) => {
                let bridge = self.bridge(&beyond, other.index);
                told(Place::In(index), &beyond, bridge)
            }
            _ => Other { place: Place::In(index), ..nowhere },
        }
    }

    /// The bridge that a link is a port of, with who else is on it.
    fn bridge(&mut self, side: &Side, port: u32) -> Option<Bridge> {
        let bridge = side.link(side.link(port)?.master?)?;
        let others: Vec<&Listed> =
            side.links.iter().filter(|link| link.master == Some(bridge.index) && link.index != port).collect();
        let numbered = if others.is_empty() { &[][..] } else { self.numbered(side) };
        let of = |link: &Listed| {
            let nsid = link.other?.nsid?;
            numbered.iter().find(|(number, _)| *number == nsid).map(|(_, index)| *index)
        };
        let with: BTreeSet<usize> = others.iter().filter_map(|link| of(link)).collect();
        let ports = others.iter().filter(|link| of(link).is_none()).map(|link| link.name.clone());
        Some(Bridge {
            name: bridge.name.clone(),
            addresses: side.addresses_of(bridge.index),
            with: with.into_iter().collect(),
            ports: ports.collect(),
        })
    }

    fn routes(&mut self, side: &Side) -> Option<Vec<Route>> {
        let listed = link::routes(&side.socket).doing(|| "list the routes");
        let listed =
            listed.map_err(|error| self.blind.add_error("routes", "the routes of a namespace", &error)).ok()?;
        // What each link sends to groups is no way anywhere.
        let is_group = |route: &link::Route| route.to.is_multicast();
        let mut routes: Vec<Route> =
            listed.iter().filter(|route| !is_group(route)).map(|one| of_route(side, one)).collect();
        if let Some(index) = side.namespace.filter(|_| routes.len() > MOST_ROUTES) {
            routes.truncate(MOST_ROUTES);
            self.note_more(&format!("than {MOST_ROUTES} routes"), index);
        }
        routes.sort_by_key(|route| (route.to.prefix, route.to.address.is_ipv6(), route.to.address, route.metric));
        Some(routes)
    }

    /// What tells that a part of a firewall is about those in a namespace.
    fn names(&mut self, index: usize, interfaces: &[Interface]) -> Names {
        let mut names = Names::default();
        for interface in interfaces {
            let own = interface.addresses.iter().map(|subnet| subnet.address);
            names.addresses.extend(own.filter(|own| !is_local(*own)));
            let Some(other) = interface.other.as_ref().filter(|other| other.place == Place::Host) else { continue };
            // What several share is not the name of one.
            if interface.kind != "veth" {
                continue;
            }
            names.links.extend(other.name.clone().map(|name| (name, other.index)));
            let bridge = other.bridge.as_ref().map(|bridge| bridge.name.as_str());
            let bridge = self.here.links.iter().find(|link| Some(link.name.as_str()) == bridge);
            names.links.extend(bridge.map(|link| (link.name.clone(), link.index)));
        }
        names.addresses.sort_unstable();
        names.links.sort_unstable();
        names.links.dedup();
        let is_in = |process: &usize| {
            let process = self.pass.processes.get(*process);
            process.is_some_and(|process| process.namespaces.get(place(Kind::Net)) == Some(&Spot::In(index)))
        };
        if self.asked.processes.iter().any(is_in) {
            self.add_groups(&mut names);
        }
        names
    }

    fn add_groups(&mut self, names: &mut Names) {
        for index in &self.asked.groups {
            let mut next = self.pass.groups.all.get(*index);
            if let Some(group) = next
                && let Some(tree) = self.trees.get(&group.hierarchy)
            {
                names.class = names.class.or(tree.class(&group.path).ok().filter(|class| *class != 0));
            }
            while let Some(group) = next.filter(|group| group.hierarchy.is_empty() && group.parent.is_some()) {
                let inode = group.reasons.as_ref().and_then(|reasons| reasons.inode);
                names.groups.extend(inode.map(|inode| (inode, group.path.clone())));
                next = group.parent.and_then(|above| self.pass.groups.all.get(above));
            }
        }
        names.groups.sort();
        names.groups.dedup();
    }

    /// What listens, and who has it open. Of the host's namespace only those that were asked about are looked at.
    fn listeners(&mut self, index: usize, pid: HostPid) -> Option<Vec<Listener>> {
        let listed = match self.walk.visit(pid).and_then(|visit| visit.map(|mut one| one.listeners()).transpose()) {
            Ok(listed) => listed?,
            Err(error) => {
                self.blind.add_error("listeners", &name("what listens in", index, self), &error);
                return None;
            }
        };
        let mut owners: BTreeMap<u64, Vec<HostPid>> = BTreeMap::new();
        let all = self.pass.processes.iter().enumerate();
        let is_hosts = self.is_hosts(index);
        let is_in = |at: usize, spot: Option<&Spot>| {
            spot == Some(&Spot::In(index)) && (!is_hosts || self.asked.processes.contains(&at))
        };
        let inside = all.filter(|(at, process)| is_in(*at, process.namespaces.get(place(Kind::Net))));
        for (_, process) in inside.filter(|_| !listed.is_empty()) {
            match self.walk.visit(process.pid).and_then(|visit| visit.map(|one| one.open_sockets()).transpose()) {
                Ok(sockets) => {
                    for inode in sockets.into_iter().flatten() {
                        owners.entry(inode).or_default().push(process.pid);
                    }
                }
                Err(error) => {
                    self.blind.add_error("sockets", &format!("what process {} has open", process.pid), &error)
                }
            }
        }
        let listener = |one: procfs::Listener| {
            let mut processes = owners.get(&one.inode).cloned().unwrap_or_default();
            processes.dedup();
            Listener { address: one.address, port: one.port, protocol: one.protocol, processes }
        };
        let mut found: Vec<Listener> = listed.into_iter().map(listener).collect();
        found.retain(|one| !is_hosts || !one.processes.is_empty());
        // Several sockets of one address share what comes in.
        found.dedup();
        Some(found)
    }

    /// The host's tables of the older iptables, which are taken from what is not read. Nothing is run where it has none.
    fn hosts_legacy(&mut self, unread: &mut Vec<String>) -> Legacy {
        if !unread.iter().any(|table| table.starts_with(HOSTS)) {
            return Legacy::default();
        }
        match Legacy::read() {
            Ok(None) => Legacy::default(),
            Ok(Some(read)) => {
                unread.retain(|table| !table.starts_with(HOSTS));
                read
            }
            Err(error) => {
                self.blind.add_error("legacy", "the host's rules of the older iptables", &error);
                Legacy::default()
            }
        }
    }

    fn legacy(&mut self, index: usize, pid: HostPid) -> Vec<String> {
        let own = HostPid(rustix::process::getpid().as_raw_nonzero().get());
        let mut found = Vec::new();
        for (pid, whose) in [(own, HOSTS), (pid, "its own")] {
            if self.is_hosts(index) && pid != own {
                continue;
            }
            match self.walk.visit(pid).and_then(|visit| visit.map(|mut one| one.legacy_tables()).transpose()) {
                Ok(tables) => found.extend(tables.into_iter().flatten().map(|table| format!("{whose} {table}"))),
                Err(error) => self.blind.add_error("legacy", "whether there are rules of the older iptables", &error),
            }
        }
        found
    }
}

/// Whose tables are those of the viewer's own namespace.
const HOSTS: &str = "the host's";

/// The firewall that a socket's namespace has; `None` where the kernel has no nftables.
fn firewall(socket: &Socket, names: &Names, most: usize) -> Result<Option<Firewall>> {
    match Firewall::read(socket, names, most) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::INVAL) => Ok(None),
        Err(errno) => Err(Kernel::new("list the rules of nftables", errno).into()),
    }
}

fn name(what: &str, index: usize, reader: &Reader<'_>) -> String {
    let ino = reader.pass.namespaces.all.get(index).map_or(0, |namespace| namespace.ino);
    format!("{what} net:[{ino}]")
}

fn of_route(side: &Side, route: &link::Route) -> Route {
    Route {
        to: Subnet { address: route.to, prefix: route.prefix },
        way: match route.verdict {
            Way::Sent => "sent",
            Way::Blackhole => "blackhole",
            Way::Unreachable => "unreachable",
            Way::Prohibited => "prohibit",
        }
        .to_owned(),
        via: route.gateway,
        link: route.link.and_then(|index| side.link(index)).map(|link| link.name.clone()),
        source: route.source,
        metric: route.metric,
        table: route.table,
    }
}

/// `02:42:0a:00:00:02`; none for one of zeros, as the loopback's.
fn hardware(bytes: &[u8]) -> Option<String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// Whether an address means nothing outside of one namespace or link.
pub(crate) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}
