//! The names of a network, or those that one container finds, as a resolver knows them: each container's name, the beginning of its id, its aliases, and all
//! of these with the network's name behind. Who is on several networks knows the names of all of them. They are read from
//! what is written down of each container's place, as that comes, changes and goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use error::{Doing, Result};
use network::IpNet;
use network::resolver::{Standing, Zone};
use rustix::event::EventfdFlags;
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};

use super::{Endpoint, Reach};
use crate::containers::Engine;
use crate::record::short;
use crate::store::{entries, read_json};

/// What is to be known of a network.
struct Known {
    /// By which the kernel tells of it.
    watch: i32,
    reach: Reach,
    subnets: Vec<IpNet>,
    /// By the container's id.
    endpoints: BTreeMap<String, Endpoint>,
    /// The containers that have a name, or an address.
    named: HashMap<String, BTreeSet<String>>,
    holders: HashMap<IpAddr, String>,
}

impl Known {
    fn put(&mut self, endpoint: Endpoint) {
        self.take(&endpoint.container);
        for name in names(&endpoint) {
            self.named.entry(name).or_default().insert(endpoint.container.clone());
        }
        let holders = endpoint.addresses.iter().map(|address| (address.addr(), endpoint.container.clone()));
        self.holders.extend(holders);
        self.endpoints.insert(endpoint.container.clone(), endpoint);
    }

    fn take(&mut self, container: &str) {
        let Some(former) = self.endpoints.remove(container) else { return };
        for name in names(&former) {
            if let Some(holders) = self.named.get_mut(&name) {
                holders.remove(container);
                if holders.is_empty() {
                    self.named.remove(&name);
                }
            }
        }
        self.holders.retain(|_, holder| holder != container);
    }

    fn addresses_of(&self, name: &str) -> Option<Vec<IpAddr>> {
        let holders = self.named.get(name)?;
        let endpoints = holders.iter().filter_map(|holder| self.endpoints.get(holder));
        Some(endpoints.flat_map(|endpoint| endpoint.addresses.iter().map(IpNet::addr)).collect())
    }
}

/// The names that a container has on a network, in small letters.
fn names(endpoint: &Endpoint) -> Vec<String> {
    let own = [endpoint.name.as_str(), short(&endpoint.container)];
    let all = own.into_iter().chain(endpoint.aliases.iter().map(String::as_str));
    all.map(str::to_ascii_lowercase)
        .flat_map(|name| {
            let long = format!("{name}.{}", endpoint.network_name.to_ascii_lowercase());
            [name, long]
        })
        .collect()
}

/// Whose names they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of the network with this id, and of those that its containers are on besides.
    Network(String),
    /// Those of the networks that the container with this id is on: nobody else asks.
    Container(String),
}

/// The names of networks.
pub(super) struct NetworkZone<'e> {
    engine: &'e Engine,
    whose: Whose,
    networks: BTreeMap<String, Known>,
    /// What has come, changed and gone, which is looked at when somebody asks: no start of a container waits for a resolver
    /// that has nothing to answer.
    events: OwnedFd,
    /// Readable when somebody has left the network that they are the names of.
    departures: OwnedFd,
    /// Readable when nobody is on that network any more.
    pub(super) deserted: OwnedFd,
}

impl<'e> NetworkZone<'e> {
    /// What is written down of them.
    ///
    /// # Errors
    /// inotify(7), eventfd(2); refused where there is no such network.
    pub(super) fn open(engine: &'e Engine, whose: Whose) -> Result<Self> {
        let action = || "watch a network's containers";
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let mut zone = Self {
            engine,
            whose,
            networks: BTreeMap::new(),
            events: inotify::init(flags).doing(action)?,
            departures: inotify::init(flags).doing(action)?,
            deserted: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).doing(action)?,
        };
        zone.read_all()?;
        Ok(zone)
    }

    fn read_all(&mut self) -> Result<()> {
        for (_, known) in std::mem::take(&mut self.networks) {
            let _ = inotify::remove_watch(&self.events, known.watch);
        }
        let containers = match self.whose.clone() {
            Whose::Network(own) => {
                self.follow(&own)?;
                self.own().into_iter().flat_map(|own| own.endpoints.keys().cloned()).collect()
            }
            Whose::Container(container) => vec![container],
        };
        containers.iter().try_for_each(|container| self.follow_networks_of(container))
    }

    fn is_own(&self, network: &str) -> bool {
        matches!(&self.whose, Whose::Network(own) if own == network)
    }

    /// The network that they are the names of.
    fn own(&self) -> Option<&Known> {
        match &self.whose {
            Whose::Network(own) => self.networks.get(own),
            Whose::Container(_) => None,
        }
    }

    /// Watches a network from now on, and reads who is on it.
    fn follow(&mut self, id: &str) -> Result<()> {
        let folder = self.engine.store.endpoints(id);
        let wanted = WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::ATTRIB | WatchFlags::ONLYDIR;
        let Ok(watch) = inotify::add_watch(&self.events, &folder, wanted) else {
            // Nobody is on it.
            self.networks.remove(id);
            return Ok(());
        };
        if self.is_own(id) {
            let leave = WatchFlags::DELETE | WatchFlags::ONLYDIR;
            inotify::add_watch(&self.departures, &folder, leave).doing(|| "watch who leaves a network")?;
        }
        let network = self.engine.find_network(id)?;
        let (endpoints, named, holders) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let subnets = network.subnets.iter().map(|subnet| subnet.net).collect();
        let mut known = Known { watch, reach: network.reach, subnets, endpoints, named, holders };
        for name in entries(&folder)?.iter().filter(|name| !name.starts_with('.')) {
            if let Some(endpoint) = read_json::<Endpoint>(&folder.join(name))? {
                known.put(endpoint);
            }
        }
        self.networks.insert(id.to_owned(), known);
        Ok(())
    }

    /// Follows the other networks that a container of this one is on.
    fn follow_networks_of(&mut self, container: &str) -> Result<()> {
        for id in entries(&self.engine.store.live_networks())? {
            let path = self.engine.store.endpoints(&id).join(format!("{container}.json"));
            if !self.networks.contains_key(&id) && path.exists() {
                self.follow(&id)?;
            }
        }
        Ok(())
    }

    /// Takes up what the kernel tells of.
    fn take_up(&mut self) -> Result<()> {
        let mut told = Vec::new();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 16 << 10];
        while inotify::Reader::new(&self.departures, &mut buffer).next().is_ok() {}
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                told.clear();
                return self.read_all();
            }
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
            told.push((event.wd(), event.events(), name));
        }
        for (watch, events, name) in told {
            let Some(id) = self.networks.iter().find(|(_, known)| known.watch == watch).map(|(id, _)| id.clone())
            else {
                continue;
            };
            if events.contains(ReadFlags::IGNORED) {
                // Its folder goes with the last who is on it, and comes with the next.
                self.networks.remove(&id);
                self.follow(&id)?;
                continue;
            }
            let name = name.as_deref().and_then(OsStr::to_str);
            let Some(container) =
                name.filter(|name| !name.starts_with('.')).and_then(|name| name.strip_suffix(".json"))
            else {
                continue;
            };
            self.take_up_one(&id, container)?;
        }
        Ok(())
    }

    fn take_up_one(&mut self, id: &str, container: &str) -> Result<()> {
        let path = self.engine.store.endpoints(id).join(format!("{container}.json"));
        let endpoint = read_json::<Endpoint>(&path)?;
        let is_there = endpoint.is_some();
        if let Some(known) = self.networks.get_mut(id) {
            match endpoint {
                Some(endpoint) => known.put(endpoint),
                None => known.take(container),
            }
        }
        let is_followed = match &self.whose {
            Whose::Network(own) => own == id,
            Whose::Container(own) => own == container,
        };
        if !is_followed {
            return Ok(());
        }
        if is_there {
            return self.follow_networks_of(container);
        }
        let members: BTreeSet<&String> = match &self.whose {
            Whose::Network(_) => self.own().into_iter().flat_map(|own| own.endpoints.keys()).collect(),
            Whose::Container(own) => BTreeSet::from([own]),
        };
        let strange = |(id, known): (&String, &Known)| {
            let is_strange = !self.is_own(id) && !known.endpoints.keys().any(|container| members.contains(container));
            is_strange.then(|| (id.clone(), known.watch))
        };
        for (id, watch) in self.networks.iter().filter_map(strange).collect::<Vec<_>>() {
            let _ = inotify::remove_watch(&self.events, watch);
            self.networks.remove(&id);
        }
        Ok(())
    }

    /// The networks that who asks is on; the one that they are the names of is the first.
    fn networks_of(&self, asker: IpAddr) -> Vec<(&Known, &Endpoint)> {
        let own = self.own();
        let container = match &self.whose {
            Whose::Network(_) => own.and_then(|own| own.holders.get(&asker)),
            Whose::Container(container) => Some(container),
        };
        let Some(container) = container else { return Vec::new() };
        let others = self.networks.iter().filter(|(id, _)| !self.is_own(id)).map(|(_, known)| known);
        let all = own.into_iter().chain(others);
        all.filter_map(|known| Some((known, known.endpoints.get(container)?))).collect()
    }
}

impl Zone for NetworkZone<'_> {
    fn refresh(&mut self) {
        // What could not be read now is read once more, whole, at the next query.
        if self.take_up().and_then(|()| if self.networks.is_empty() { self.read_all() } else { Ok(()) }).is_err() {
            self.networks.clear();
        }
        if matches!(self.whose, Whose::Network(_)) && self.own().is_none_or(|own| own.endpoints.is_empty()) {
            let _ = rustix::io::write(&self.deserted, &1_u64.to_ne_bytes());
        }
    }

    fn changes(&self) -> Option<BorrowedFd<'_>> {
        Some(self.departures.as_fd())
    }

    fn standing(&self, asker: IpAddr) -> Standing {
        let networks = self.networks_of(asker);
        if networks.is_empty() {
            // The host itself.
            let is_gateway =
                self.own().is_some_and(|own| own.endpoints.values().any(|endpoint| endpoint.gateways.contains(&asker)));
            return if is_gateway { Standing::Everywhere } else { Standing::Stranger };
        }
        let goes_out = networks.iter().any(|(known, _)| known.reach == Reach::World);
        if goes_out { Standing::Everywhere } else { Standing::Inside }
    }

    fn addresses(&self, asker: IpAddr, name: &str) -> Option<Vec<IpAddr>> {
        let mut networks: Vec<&Known> = self.networks_of(asker).into_iter().map(|(known, _)| known).collect();
        if networks.is_empty() {
            networks.extend(self.own());
        }
        let found: Vec<Vec<IpAddr>> = networks.iter().filter_map(|known| known.addresses_of(name)).collect();
        (!found.is_empty()).then(|| found.concat())
    }

    fn names(&self, asker: IpAddr, of: IpAddr) -> Option<Vec<String>> {
        let mut networks: Vec<&Known> = self.networks_of(asker).into_iter().map(|(known, _)| known).collect();
        if networks.is_empty() {
            networks.extend(self.own());
        }
        let known = networks.into_iter().find(|known| known.subnets.iter().any(|subnet| subnet.contains(&of)))?;
        let endpoint = known.holders.get(&of).and_then(|holder| known.endpoints.get(holder));
        Some(endpoint.iter().map(|endpoint| format!("{}.{}", endpoint.name, endpoint.network_name)).collect())
    }

    fn servers(&self, asker: IpAddr) -> &[IpAddr] {
        let first = self.networks_of(asker).into_iter().next();
        first.map_or(&[], |(_, endpoint)| endpoint.servers.as_slice())
    }
}
