//! A container's place in a network: made before its program runs, or while it does, and taken away when it has ended. It
//! is written down before any of it is made, so that whoever comes next can take it away.

use std::cell::OnceCell;
use std::fs::{self, FileTimes};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;

use error::{Doing, Errno, Error, Kernel, Refused, RefusedKind, Result};
use netlink::link::{self, Shared, Traits};
use netlink::{Protocol, Socket, route};
use network::IpNet;
use procfs::{HostPid, Kind, Process};

use super::claims::{self, Ports};
use super::rules::Rules;
use super::{Driver, Endpoint, LiveNetworks, Network, Reach, bridge, detour_of, link_name, localnet, rate};
use crate::containers::{Container, Engine, Removal, Status};
use crate::options::{Connection, Mac, PortWish, Rate};
use crate::record::Record;
use crate::rootless;
use crate::store::{Store, entries, make_folders, read_json, write_json};

const PORTS: &str = "ports";

impl Store {
    /// What exists on the host of networks.
    pub(super) fn live_networks(&self) -> PathBuf {
        self.run.join(".networks")
    }

    pub(super) fn live_network(&self, id: &str) -> PathBuf {
        self.live_networks().join(id)
    }

    pub(super) fn endpoints(&self, id: &str) -> PathBuf {
        self.live_network(id).join("endpoints")
    }

    fn addresses(&self, id: &str) -> PathBuf {
        self.live_network(id).join("addresses")
    }

    pub(super) fn ports(&self) -> PathBuf {
        self.live_networks().join(PORTS)
    }
}

/// The socket of a container's network namespace and that of carboy's own, and who keeps the rules there.
struct Sockets<'n> {
    here: Socket,
    there: Socket,
    namespace: BorrowedFd<'n>,
    rules: OnceCell<Rules>,
}

impl<'n> Sockets<'n> {
    fn open(namespace: BorrowedFd<'n>) -> Result<Self> {
        let home = Process::this()?.open_namespace(Kind::Net)?;
        let there = Socket::open_in(namespace, home.as_fd(), Protocol::Route)?;
        Ok(Self { here: Socket::open(Protocol::Route)?, there, namespace, rules: OnceCell::new() })
    }
}

/// Which of a container's places it is.
#[derive(Debug, Clone, Copy)]
struct Nth(usize);

impl Engine {
    /// Connects a container that is being started to its networks.
    ///
    /// # Errors
    /// Refused, naming the flag; a kernel error. What was made is for [`Engine::leave_networks`].
    pub(crate) fn join_networks(&self, record: &Record, namespace: BorrowedFd<'_>) -> Result<()> {
        let wish = &record.options.network;
        let sockets = Sockets::open(namespace)?;
        let loopback = route::link(&sockets.there, "lo").and_then(|lo| route::set_up(&sockets.there, lo));
        loopback.map_err(|errno| {
            let kernel = Kernel::new("set up the container's loopback", errno);
            if errno == Errno::PERM {
                kernel.hint("networks need CAP_NET_ADMIN; --network none does not")
            } else {
                kernel
            }
        })?;
        let mut made: Vec<(Network, Endpoint)> = Vec::new();
        for (number, connection) in wish.networks.iter().enumerate() {
            let network = self.find_network(&connection.network)?;
            if made.iter().any(|(other, _)| other.id == network.id) {
                let refused = Refused::new("--network", &connection.network, "is named twice");
                return Err(refused.hint("name each network once, by its name or by its id").into());
            }
            let ports = if number == 0 { self.port_wishes(record) } else { Vec::new() };
            let endpoint = self.plug((record, &network), connection, (Nth(number), &ports), &sockets)?;
            made.push((network, endpoint));
        }
        self.write_files(record, &made)
    }

    /// Takes a container that has ended, or never came to run, off its networks.
    ///
    /// # Errors
    /// A kernel error; what is left is still written down.
    pub(crate) fn leave_networks(&self, container: &str) -> Result<()> {
        let mut left = Ok(());
        for endpoint in self.endpoints_of(container)? {
            left = left.and(self.detach(&endpoint));
        }
        self.end_own_resolver(container);
        left.and(self.remove_halves(container))
    }

    /// The places of a container in networks, as far as they exist on the host, in the order of their links in it.
    ///
    /// # Errors
    /// A kernel error; corrupt.
    pub fn endpoints_of(&self, container: &str) -> Result<Vec<Endpoint>> {
        self.endpoints_among(&self.live_networks()?, container)
    }

    /// The networks that somebody may be on, for who looks at many containers.
    ///
    /// # Errors
    /// A kernel error.
    pub fn live_networks(&self) -> Result<LiveNetworks> {
        entries(&self.store.live_networks()).map(LiveNetworks)
    }

    /// The places that a container has in these networks, in the order of its interfaces.
    ///
    /// # Errors
    /// A kernel error; corrupt.
    pub fn endpoints_among(&self, networks: &LiveNetworks, container: &str) -> Result<Vec<Endpoint>> {
        let mut found = Vec::new();
        for id in &networks.0 {
            let path = self.store.endpoints(id).join(format!("{container}.json"));
            found.extend(read_json::<Endpoint>(&path)?);
        }
        found.sort_by(|one, other| {
            let key = |endpoint: &Endpoint| (endpoint.interface.len(), endpoint.interface.clone());
            key(one).cmp(&key(other))
        });
        Ok(found)
    }

    /// Who is on a network.
    ///
    /// # Errors
    /// A kernel error; corrupt.
    pub fn endpoints(&self, network: &Network) -> Result<Vec<Endpoint>> {
        self.endpoints_on(&network.id)
    }

    pub(super) fn endpoints_on(&self, network: &str) -> Result<Vec<Endpoint>> {
        let folder = self.store.endpoints(network);
        let mut found = Vec::new();
        for name in entries(&folder)?.iter().filter(|name| !name.starts_with('.')) {
            found.extend(read_json::<Endpoint>(&folder.join(name))?);
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// What is published of a container: what was asked for, and what it says it listens at where that was.
    fn port_wishes(&self, record: &Record) -> Vec<PortWish> {
        let wish = &record.options.network;
        let mut ports = wish.ports.clone();
        if wish.exposed == crate::options::Exposed::Published {
            let exposed = record.options.exposed_ports.iter().flat_map(|word| exposed(word));
            let asked = |new: &PortWish| {
                wish.ports.iter().any(|port| (port.container, port.protocol) == (new.container, new.protocol))
            };
            ports.extend(exposed.filter(|new| !asked(new)));
        }
        ports
    }

    fn plug(
        &self,
        (record, network): (&Record, &Network),
        connection: &Connection,
        (Nth(number), ports): (Nth, &[PortWish]),
        sockets: &Sockets<'_>,
    ) -> Result<Endpoint> {
        let limits = record.options.network.rate;
        rate::check(limits, network)?;
        let id = crate::names::new_id()?;
        let link = link_name(&id);
        let mut endpoint = Endpoint {
            network: network.id.clone(),
            network_name: network.name.clone(),
            id,
            container: record.id.clone(),
            name: record.name.clone(),
            link,
            interface: format!("eth{number}"),
            mac: connection.mac.unwrap_or(Mac([0; 6])),
            addresses: Vec::new(),
            gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
            aliases: connection.aliases.clone(),
            servers: record.options.network.dns.servers.clone(),
            claims: !ports.is_empty(),
            ports: Vec::new(),
        };
        // Before anything is claimed: whoever finds one without addresses looks for all that it may have claimed.
        self.write_endpoint(&endpoint)?;
        let master = self.raise(network, &sockets.here, &sockets.rules)?;
        self.claim_addresses(&mut endpoint, network, connection)?;
        let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(IpNet::addr).collect();
        if connection.mac.is_none() {
            endpoint.mac = Mac(bridge::hardware_address(addresses.first().copied()));
        }
        if !ports.is_empty() {
            let held = Ports::hold(&self.store)?;
            endpoint.ports = held.claim(ports, &addresses, &record.id)?;
            endpoint.claims = false;
            // A port that is claimed and not written down would be nobody's to give back.
            self.write_endpoint(&endpoint).inspect_err(|_| drop(held.release(&endpoint.ports)))?;
            if endpoint.is_at_loopback() {
                localnet::let_in(network)?;
            }
        } else {
            self.write_endpoint(&endpoint)?;
        }
        make_link((network, master), &endpoint, sockets)?;
        if limits != Rate::default() {
            rate::limit(limits, network, &endpoint, &sockets.here)?;
        }
        if !endpoint.ports.is_empty() {
            send_back(network, &endpoint, &sockets.here)?;
        }
        if number == 0 || !has_route(&sockets.there, &endpoint)? {
            add_routes(network, &endpoint, &sockets.there)?;
        }
        if !endpoint.ports.is_empty() {
            self.publish(&endpoint.ports, self.known_rules(&sockets.rules)?)?;
        }
        match network.driver {
            Driver::Bridge => self.start_resolver(network)?,
            Driver::Macvlan | Driver::Ipvlan => self.start_own_resolver(&endpoint, sockets.namespace)?,
        }
        self.touch_others(&endpoint);
        self.store.tell_network(network, "connect", &[("container", record.id.clone())]);
        Ok(endpoint)
    }

    fn claim_addresses(&self, endpoint: &mut Endpoint, network: &Network, connection: &Connection) -> Result<()> {
        let folder = self.store.addresses(&network.id);
        for subnet in &network.subnets {
            let asked = match subnet.gateway {
                IpAddr::V4(_) => connection.ipv4.map(IpAddr::V4).filter(|asked| subnet.net.contains(asked)),
                IpAddr::V6(_) => connection.ipv6.map(IpAddr::V6).filter(|asked| subnet.net.contains(asked)),
            };
            let family = if subnet.gateway.is_ipv4() { "4" } else { "6" };
            let has = endpoint.addresses.iter().any(|own| own.addr().is_ipv4() == subnet.gateway.is_ipv4());
            if has {
                continue;
            }
            let last = self.store.network(&network.name).join(format!("last-{family}"));
            let who = (endpoint.container.as_str(), network.name.as_str());
            let address = claims::claim_address((&self.store, &folder), (subnet, &last), asked, who)?;
            endpoint.addresses.extend(IpNet::new(address, subnet.net.prefix_len()));
        }
        let asked = connection.ipv4.map(IpAddr::V4).into_iter().chain(connection.ipv6.map(IpAddr::V6));
        for asked in asked {
            if !endpoint.addresses.iter().any(|own| own.addr() == asked) {
                let flag = if asked.is_ipv4() { "--ip" } else { "--ip6" };
                let reason = format!("is in no subnet of the network {}", network.name);
                return Err(Refused::new(flag, asked.to_string(), reason)
                    .hint("carboy network inspect shows its subnets")
                    .into());
            }
        }
        Ok(())
    }

    pub(super) fn write_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        let folder = self.store.endpoints(&endpoint.network);
        loop {
            make_folders(&folder).inspect_err(|_| self.remove_empty_folders(&endpoint.network))?;
            match write_json(&folder, &format!("{}.json", endpoint.container), endpoint) {
                // Who was last has just removed the folder.
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                written => return written.inspect_err(|_| self.remove_empty_folders(&endpoint.network)),
            }
        }
    }

    /// Takes away a place in a network, whatever there is of it.
    fn detach(&self, endpoint: &Endpoint) -> Result<()> {
        // Who closes a socket of nftables waits until what was taken out is free, some milliseconds later: by then the rest
        // is done.
        let rules = OnceCell::new();
        if endpoint.claims {
            // A start that was refused for want of iptables has had no rules.
            if let Ok(Rules::Iptables(iptables)) = self.known_rules(&rules) {
                self.follow_records(iptables)?;
            }
            Ports::hold(&self.store)?.release_all(&endpoint.container)?;
        }
        if !endpoint.ports.is_empty() {
            self.withdraw(endpoint, self.known_rules(&rules)?)?;
            let held = Ports::hold(&self.store)?;
            if let Ok(network) = self.find_network(&endpoint.network)
                && endpoint.is_at_loopback()
            {
                // Where it fails it stays as it is, and an end goes on.
                let _ = self.follow_loopback(&network, &held, Some(endpoint));
            }
            held.release(&endpoint.ports)?;
        }
        let socket = Socket::open(Protocol::Route)?;
        for name in [&endpoint.link, &detour_of(&endpoint.link)] {
            match link::delete(&socket, name) {
                Ok(()) | Err(Errno::NODEV) => {}
                Err(errno) => return Err(Kernel::new(format!("remove the link {name}"), errno).into()),
            }
        }
        let addresses = self.store.addresses(&endpoint.network);
        if endpoint.addresses.is_empty() {
            claims::release_all(&addresses, &endpoint.container)?;
        }
        for address in &endpoint.addresses {
            claims::release_address(&addresses, address.addr())?;
        }
        let path = self.store.endpoints(&endpoint.network).join(format!("{}.json", endpoint.container));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).doing(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
        self.remove_empty_folders(&endpoint.network);
        self.touch_others(endpoint);
        if !self.store.endpoints(&endpoint.network).exists() {
            self.await_resolver(&endpoint.network);
        }
        if let Ok(network) = self.find_network(&endpoint.network) {
            self.store.tell_network(&network, "disconnect", &[("container", endpoint.container.clone())]);
        }
        Ok(())
    }

    /// What is empty goes, and whoever needs it makes it anew.
    pub(super) fn remove_empty_folders(&self, network: &str) {
        for folder in [
            self.store.addresses(network),
            self.store.endpoints(network),
            self.store.live_network(network),
            self.store.ports(),
            self.store.live_networks(),
        ] {
            let _ = fs::remove_dir(folder);
        }
    }

    /// Takes away the folders of networks that nobody is on, where a command was kept from it.
    pub(crate) fn tidy_networks(&self) {
        let live = entries(&self.store.live_networks()).unwrap_or_default();
        for id in live.iter().filter(|id| *id != PORTS) {
            self.remove_empty_folders(id);
        }
        if live.iter().all(|id| id == PORTS) {
            claims::tidy_ports(&self.store.ports());
            let _ = fs::remove_dir(self.store.live_networks());
        }
    }

    /// Takes away what was only half written of a container's places.
    fn remove_halves(&self, container: &str) -> Result<()> {
        for id in entries(&self.store.live_networks())? {
            let path = self.store.endpoints(&id).join(format!(".{container}.json"));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).doing(|| format!("remove {}", path.display()));
                }
                _ => self.remove_empty_folders(&id),
            }
        }
        Ok(())
    }

    /// Tells the resolvers of a container's other networks that it has come to one, or gone.
    fn touch_others(&self, endpoint: &Endpoint) {
        for id in entries(&self.store.live_networks()).unwrap_or_default() {
            let path = self.store.endpoints(&id).join(format!("{}.json", endpoint.container));
            if id != endpoint.network
                && let Ok(file) = fs::File::open(path)
            {
                let now = std::time::SystemTime::now();
                // Both: one alone is told of as a read or a write.
                let _ = file.set_times(FileTimes::new().set_accessed(now).set_modified(now));
            }
        }
    }

    /// Connects a container to one more network; one that runs at once.
    ///
    /// # Errors
    /// Refused where it is on it already, or cannot be; a kernel error, after which it is not on it.
    pub fn connect(&self, network: &str, container: &str, connection: &Connection) -> Result<()> {
        rootless::check_network(network)?;
        let network = self.find_network(network)?;
        let id = self.find(container)?.record.id;
        // From here on its end, and another connect, wait.
        let held = self.store.hold(&id)?;
        let found = self.find(&id)?;
        let mut record = found.record.clone();
        check_can_connect(&found)?;
        if record.options.network.networks.iter().any(|on| self.is_of(on, &network)) {
            let reason = format!("endpoint with name {} already exists in network {}", record.name, network.name);
            let refused = Refused::new("the container", &record.name, reason).kind(RefusedKind::Conflict);
            let hint = format!("carboy network disconnect {} {} takes it off", network.name, record.name);
            return Err(refused.hint(hint).into());
        }
        // What a command has left that was killed.
        self.take_off(&record.id, &network)?;
        if let Status::Running(process) = &found.status {
            self.connect_running((&record, &network), connection, process.pid)?;
        }
        let connection = Connection { network: network.name.clone(), ..connection.clone() };
        record.options.network.networks.push(connection);
        self.store.write_record(&record)?;
        drop(held);
        self.rewrite_files(&record.id)
    }

    fn connect_running(&self, (record, network): (&Record, &Network), connection: &Connection, pid: i32) -> Result<()> {
        let process = Process::open(HostPid(pid))?;
        let connected = process.open_namespace(Kind::Net).and_then(|namespace| {
            let sockets = Sockets::open(namespace.as_fd())?;
            let number = free_number(&sockets.there)?;
            self.plug((record, network), connection, (Nth(number), &[]), &sockets)
        });
        // One that has ended meanwhile is connected when it is started.
        let has_ended = !matches!(self.find(&record.id)?.status, Status::Running(_));
        if connected.is_err() || has_ended {
            let _ = self.take_links(&record.id, network, pid);
            let _ = self.take_off(&record.id, network);
        }
        if has_ended { Ok(()) } else { connected.map(drop) }
    }

    fn is_of(&self, on: &Connection, network: &Network) -> bool {
        self.find_network(&on.network).is_ok_and(|on| on.id == network.id)
    }

    /// Takes a container off a network; one that runs at once. Forced, one that is not on it is no error.
    ///
    /// # Errors
    /// Refused where it is not on it; a kernel error.
    pub fn disconnect(&self, network: &str, container: &str, removal: Removal) -> Result<()> {
        let network = self.find_network(network)?;
        let id = self.find(container)?.record.id;
        let held = self.store.hold(&id)?;
        let Container { mut record, status, .. } = self.find(&id)?;
        if let Status::Running(process) = &status {
            self.take_links(&id, &network, process.pid)?;
        }
        let was_on = record.options.network.networks.iter().any(|on| self.is_of(on, &network));
        let was_there = self.take_off(&record.id, &network)?;
        if !was_on && !was_there && removal != Removal::Forced {
            let reason = format!("is not connected to network {}", network.name);
            let refused = Refused::new("the container", &record.name, reason);
            return Err(refused.hint(format!("carboy inspect {} shows its networks", record.name)).into());
        }
        record.options.network.networks.retain(|on| !self.is_of(on, &network));
        self.store.write_record(&record)?;
        drop(held);
        self.rewrite_files(&record.id)
    }

    /// Lets a container that has another name now be found by that.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn rename_in_networks(&self, container: &str, name: &str) -> Result<()> {
        for endpoint in self.endpoints_of(container)? {
            self.write_endpoint(&Endpoint { name: name.to_owned(), ..endpoint })?;
        }
        Ok(())
    }

    /// Takes the links that a container has on a network out of it where the host has none of them.
    fn take_links(&self, container: &str, network: &Network, pid: i32) -> Result<()> {
        if network.driver == Driver::Bridge {
            return Ok(());
        }
        let namespace = Process::open(HostPid(pid))?.open_namespace(Kind::Net)?;
        let sockets = Sockets::open(namespace.as_fd())?;
        let on_it = |endpoint: &Endpoint| endpoint.network == network.id;
        for Endpoint { interface, .. } in self.endpoints_of(container)?.into_iter().filter(on_it) {
            match link::delete(&sockets.there, &interface) {
                Ok(()) | Err(Errno::NODEV) => {}
                Err(errno) => {
                    return Err(Kernel::new(format!("remove the link {interface} of the container"), errno).into());
                }
            }
        }
        Ok(())
    }

    fn take_off(&self, container: &str, network: &Network) -> Result<bool> {
        let there: Vec<Endpoint> =
            self.endpoints_of(container)?.into_iter().filter(|endpoint| endpoint.network == network.id).collect();
        there.iter().try_for_each(|endpoint| self.detach(endpoint))?;
        self.remove_halves(container).map(|()| !there.is_empty())
    }

    fn rewrite_files(&self, container: &str) -> Result<()> {
        let Some(record) = self.store.record(container)? else { return Ok(()) };
        let mut made = Vec::new();
        for endpoint in self.endpoints_of(container)? {
            made.push((self.find_network(&endpoint.network)?, endpoint));
        }
        if made.is_empty() { Ok(()) } else { self.write_files(&record, &made) }
    }
}

fn check_can_connect(container: &Container) -> Result<()> {
    let options = &container.record.options;
    let reason = match &options.namespaces.net {
        crate::options::Namespace::Private => return Ok(()),
        crate::options::Namespace::Host => {
            "container sharing network namespace with the host cannot be connected to any other network"
        }
        crate::options::Namespace::Joined(_) => {
            "container sharing network namespace with another container or host cannot be connected to any other network"
        }
    };
    let refused = Refused::new("the container", &container.record.name, reason);
    Err(refused.hint("make it anew without this --network").into())
}

/// A port as an image tells of it: `80/tcp`, `53/udp`, `8000-8003`.
fn exposed(word: &str) -> Vec<PortWish> {
    let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (Ok(first), Ok(last), Ok(protocol)) = (first.parse::<u16>(), last.parse::<u16>(), protocol.parse()) else {
        return Vec::new();
    };
    (first..=last).map(|container| PortWish { address: None, host: None, container, protocol }).collect()
}

/// The number of the first `eth` that a namespace does not have.
fn free_number(socket: &Socket) -> Result<usize> {
    let links = link::all(socket).doing(|| "list the links of the container")?;
    let is_free = |number: &usize| !links.iter().any(|link| link.name == format!("eth{number}"));
    Ok((0..=links.len()).find(is_free).unwrap_or(links.len()))
}

fn make_link((network, master): (&Network, u32), endpoint: &Endpoint, sockets: &Sockets<'_>) -> Result<()> {
    let Endpoint { link: here, interface, mac, .. } = endpoint;
    let action = || format!("connect the container to the network {}", network.name);
    let outer = Traits { name: here, mac: None, mtu: network.mtu };
    let inner = Traits { name: interface, mac: Some(mac.0), mtu: network.mtu };
    let to = (&inner, sockets.namespace);
    let made = match network.driver {
        Driver::Bridge => link::make_veth(&sockets.here, (&outer, master), to),
        Driver::Macvlan => link::make_shared(&sockets.here, (Shared::Macvlan, master), to),
        Driver::Ipvlan => {
            let inner = Traits { mac: None, ..inner };
            link::make_shared(&sockets.here, (Shared::Ipvlan, master), (&inner, sockets.namespace))
        }
    };
    made.map_err(|errno| {
        let kernel = Kernel::new(action(), errno);
        match errno {
            Errno::OPNOTSUPP => Error::from(kernel.hint("this kernel has no links of this kind")),
            Errno::BUSY => kernel.hint(format!("{} is shared in another way already", network.link)).into(),
            _ => kernel.into(),
        }
    })?;
    let index = route::link(&sockets.there, interface).doing(action)?;
    route::set_up(&sockets.there, index).doing(action)?;
    for address in &endpoint.addresses {
        let given = link::give_address(&sockets.there, index, (address.addr(), address.prefix_len()));
        given.doing(|| format!("give the container the address {address}"))?;
    }
    Ok(())
}

/// Lets a container reach itself by the ports that it publishes.
fn send_back(network: &Network, endpoint: &Endpoint, here: &Socket) -> Result<()> {
    if network.driver != Driver::Bridge {
        return Ok(());
    }
    link::send_back(here, &endpoint.link).doing(|| format!("let {} reach itself by its published ports", endpoint.name))
}

fn has_route(there: &Socket, endpoint: &Endpoint) -> Result<bool> {
    let Some(first) = endpoint.addresses.first() else { return Ok(true) };
    link::has_default_route(there, first.addr()).doing(|| "look at the routes of the container")
}

/// What goes elsewhere goes by the host, where anything may.
fn add_routes(network: &Network, endpoint: &Endpoint, there: &Socket) -> Result<()> {
    if network.reach == Reach::Internal {
        return Ok(());
    }
    let action = || format!("route the container's packets to the network {}", network.name);
    let index = route::link(there, &endpoint.interface).doing(action)?;
    for address in &endpoint.addresses {
        let gateway = endpoint.gateways.iter().find(|gateway| gateway.is_ipv4() == address.addr().is_ipv4());
        if let Some(gateway) = gateway {
            match link::add_default_route(there, index, *gateway) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(Kernel::new(action(), errno).into()),
            }
        }
    }
    Ok(())
}
