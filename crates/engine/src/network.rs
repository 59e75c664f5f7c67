//! Networks of containers: which there are, who is on them, and by which addresses.
//!
//! ```text
//! ROOT/networks/NAME/network.json              a network
//! RUN/.networks/ID/endpoints/CONTAINER.json    a container's place in it, while that exists on the host
//! RUN/.networks/ID/addresses/ADDRESS -> CONTAINER
//! RUN/.networks/ID/resolver                    who answers for the names on it, at the addresses of its bridge
//! RUN/CONTAINER/resolver                       who answers for those that a container finds which cannot reach the host
//! RUN/.networks/ports/PROTOCOL/PORT/ADDRESS -> CONTAINER
//! ```

mod bridge;
mod claims;
mod endpoint;
pub(crate) mod files;
mod forward;
mod listener;
mod localnet;
mod own_resolver;
mod rate;
pub mod resolver;
mod rules;
mod zone;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;

use error::{Corrupt, Doing, Error, Refused, RefusedKind, Result};
use jiff::Timestamp;
use netlink::link::{self, Listed};
use netlink::{Protocol, Socket};
use network::IpNet;
use network::port::Published;
use network::subnet::{self, Subnet};
use procfs::Proc;
use serde::{Deserialize, Serialize};

use crate::containers::Engine;
use crate::options::Mac;
use crate::record::short;
use crate::rootless;
use crate::store::{Store, entries, make_folders, read_json, remove_folder, write_json};

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The form of this record.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The name, unique on this host.
    pub name: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// What it is made of.
    pub driver: Driver,
    /// The link of the host that it is: the bridge, or the parent of macvlan and ipvlan links.
    pub link: String,
    /// Its addresses, those of IPv4 first.
    pub subnets: Vec<Subnet>,
    /// Whom those on it can reach.
    pub reach: Reach,
    /// Whether the host forwards packets of IPv6 for it.
    pub ipv6: Ipv6,
    /// The largest packet, in bytes; `None` for the kernel's.
    pub mtu: Option<u32>,
    /// What its owner wrote on it.
    pub labels: BTreeMap<String, String>,
    /// Its driver's options as they were given, for `inspect`.
    pub options: BTreeMap<String, String>,
}

/// What a network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host, on which each container has a veth.
    Bridge,
    /// Links that share a link of the host, each with a hardware address of its own.
    Macvlan,
    /// Links that share a link of the host and its hardware address.
    Ipvlan,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Macvlan, Self::Ipvlan];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }
}

/// Whom those on a network can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// Everybody whom the host can.
    #[default]
    World,
    /// Each other and the host: `--internal`.
    Internal,
}

/// What a network has of IPv6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ipv6 {
    /// Nothing.
    Off,
    /// Addresses by which its containers, and the host, reach each other. Nothing of the host is changed for it.
    #[default]
    Local,
    /// The host forwards its packets too.
    Routed,
}

/// What a new network is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// What it is made of; `None` for a bridge.
    pub driver: Option<Driver>,
    /// Its subnets, each maybe with a gateway and a range; where it has none, one that is free is taken.
    pub subnets: Vec<NewSubnet>,
    /// Whom those on it can reach.
    pub reach: Reach,
    /// What it has of IPv6; `None` for what is usual.
    pub ipv6: Option<Ipv6>,
    /// What is written on it.
    pub labels: BTreeMap<String, String>,
    /// Its driver's options, by Docker's names: `com.docker.network.driver.mtu`, `com.docker.network.bridge.name`, `parent`.
    pub options: BTreeMap<String, String>,
}

/// A subnet that a new network is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSubnet {
    /// All of it.
    pub net: IpNet,
    /// The host's address in it; the first if none.
    pub gateway: Option<IpAddr>,
    /// Where addresses are given out, if not everywhere.
    pub range: Option<IpNet>,
}

/// The ids of networks that somebody may be on.
#[derive(Debug, Default)]
pub struct LiveNetworks(Vec<String>);

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's id.
    pub network: String,
    /// The network's name.
    pub network_name: String,
    /// 64 hexadecimal digits that tell it from any other.
    pub id: String,
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Its link on the host.
    pub link: String,
    /// Its link in the container: `eth0`.
    pub interface: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses with the lengths of their subnets' prefixes, those of IPv4 first.
    pub addresses: Vec<IpNet>,
    /// The host's addresses in the same subnets.
    pub gateways: Vec<IpAddr>,
    /// Names by which the others on the network know it besides its own.
    pub aliases: Vec<String>,
    /// The servers that it wants to be asked for names that are not of its networks; the host's if none.
    pub servers: Vec<IpAddr>,
    /// The ports of the host that lead to it.
    pub ports: Vec<Published>,
    /// Whether ports are being claimed for it that are not written down yet.
    pub claims: bool,
}

/// The networks that there are.
#[derive(Debug, Default)]
pub struct Networks {
    /// Those that can be told of, by name.
    pub whole: Vec<Network>,
    /// What is wrong with each of the others.
    pub damaged: Vec<Error>,
}

/// The network that a container is on which asks for none: `bridge`.
pub const DEFAULT: &str = "bridge";

const RECORD: &str = "network.json";
/// What the names of containers' links begin with, and those of their detours.
const LINK: &str = "cv";
const DETOUR: &str = "ci";
/// Docker's names of options.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const MTU: &str = "com.docker.network.driver.mtu";
const PARENT: &str = "parent";
/// The longest name of a link: IFNAMSIZ with the NUL that ends it is one more.
const LONGEST_LINK: usize = 15;

impl Network {
    /// The form that this carboy writes.
    pub const VERSION: u32 = 1;

    /// Whether a word can be a network's name, by Docker's rule.
    #[must_use]
    pub fn is_name(word: &str) -> bool {
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        word.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && word.len() <= 255
            && word.as_bytes().iter().all(inner)
    }
}

/// The name of the host's end of a container's link, by its endpoint's id.
fn link_name(id: &str) -> String {
    format!("{LINK}{}", id.get(..12).unwrap_or(id))
}

/// Whether a link has such a name.
pub(crate) fn is_link(name: &str) -> bool {
    name.strip_prefix(LINK).is_some_and(|rest| rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The link by which what a container sends takes its detour, by the name of the container's.
pub(crate) fn detour_of(link: &str) -> String {
    format!("{DETOUR}{}", link.trim_start_matches(LINK))
}

/// The container's link that takes a detour by the link of this name; `None` for what is no detour.
pub(crate) fn link_of(detour: &str) -> Option<String> {
    detour.strip_prefix(DETOUR).map(|rest| format!("{LINK}{rest}")).filter(|link| is_link(link))
}

/// Whether a network's folder tells of a network that has this link. One that cannot be read does.
pub(crate) fn tells_of(folder: &std::path::Path, link: &str) -> bool {
    match read_json::<Network>(&folder.join(RECORD)) {
        Ok(found) => found.is_some_and(|network| network.link == link),
        Err(_) => true,
    }
}

impl Store {
    fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    fn network(&self, name: &str) -> PathBuf {
        self.networks().join(name)
    }

    fn network_record(&self, name: &str) -> Result<Option<Network>> {
        if !Network::is_name(name) {
            return Ok(None);
        }
        let path = self.network(name).join(RECORD);
        match read_json::<Network>(&path)? {
            Some(network) if network.version > Network::VERSION => {
                let reason = format!("is of version {}, which a newer carboy wrote", network.version);
                Err(Corrupt::new(path.display().to_string(), reason).into())
            }
            found => Ok(found),
        }
    }
}

impl Engine {
    /// Makes a network. Nothing of it is in the kernel before a container is connected.
    ///
    /// # Errors
    /// Refused, naming the flag; a kernel error.
    pub fn create_network(&self, wish: &NewNetwork) -> Result<Network> {
        check_name(&wish.name)?;
        rootless::check_network(&wish.name)?;
        let made = self.make_network(wish)?;
        self.store.tell_network(&made, "create", &[]);
        Ok(made)
    }

    fn make_network(&self, wish: &NewNetwork) -> Result<Network> {
        let driver = wish.driver.unwrap_or(Driver::Bridge);
        let others = self.recorded()?.whole;
        if others.iter().any(|other| other.name == wish.name) {
            let refused = Refused::new("the network", &wish.name, "network with this name already exists");
            return Err(refused.kind(RefusedKind::Conflict).hint("choose another name, or remove it first").into());
        }
        let socket = Socket::open(Protocol::Route)?;
        let links = link::all(&socket).doing(|| "list the links")?;
        let id = crate::names::new_id()?;
        let ipv6 = ipv6_of(wish)?;
        let network = Network {
            version: Network::VERSION,
            link: self.link_of(wish, &id, &links)?,
            subnets: subnets_of(wish, ipv6, (&others, &socket))?,
            id,
            name: wish.name.clone(),
            created: Timestamp::now(),
            driver,
            reach: wish.reach,
            ipv6,
            mtu: wish.options.get(MTU).map(|mtu| mtu_of(mtu)).transpose()?,
            labels: wish.labels.clone(),
            options: wish.options.clone(),
        };
        make_folders(&self.store.networks())?;
        let folder = self.store.network(&network.name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.doing(|| format!("create {}", folder.display()))?,
        }
        write_json(&folder, RECORD, &network)?;
        Ok(network)
    }

    /// The link that a new network is.
    fn link_of(&self, wish: &NewNetwork, id: &str, links: &[Listed]) -> Result<String> {
        let is_there = |name: &str| links.iter().any(|link| link.name == name);
        if matches!(wish.driver, Some(Driver::Macvlan | Driver::Ipvlan)) {
            let Some(parent) = wish.options.get(PARENT) else {
                let refused = Refused::new("--opt", PARENT, "is missing: the link of the host that the network shares");
                return Err(refused.hint("-o parent=eth0; ip link shows the links of this host").into());
            };
            if !is_there(parent) {
                let refused = Refused::new("--opt", format!("{PARENT}={parent}"), "is no link of this host");
                return Err(refused.hint("ip link shows the links of this host").into());
            }
            return Ok(parent.clone());
        }
        if let Some(name) = wish.options.get(BRIDGE_NAME) {
            let is_link_name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
            if name.is_empty() || name.len() > LONGEST_LINK || !name.bytes().all(is_link_name) {
                let refused = Refused::new("--opt", format!("{BRIDGE_NAME}={name}"), "cannot be a link's name");
                return Err(refused.hint(format!("use at most {LONGEST_LINK} letters and digits")).into());
            }
            if is_there(name) {
                let refused = Refused::new("--opt", format!("{BRIDGE_NAME}={name}"), "is a link of this host already");
                return Err(refused.kind(RefusedKind::Conflict).hint("choose another name").into());
            }
            return Ok(name.clone());
        }
        if wish.name == DEFAULT && self.is_usual() {
            return Ok("carboy0".to_owned());
        }
        Ok(format!("cb-{}", short(id)))
    }

    /// Every network, the one that containers are on by default among them. One that cannot be told of hides no other.
    ///
    /// # Errors
    /// A kernel error where their folder cannot be read.
    pub fn networks(&self) -> Result<Networks> {
        self.default_network()?;
        self.recorded()
    }

    fn recorded(&self) -> Result<Networks> {
        let mut names = entries(&self.store.networks())?;
        names.sort();
        let mut networks = Networks::default();
        for name in names {
            match self.store.network_record(&name) {
                Ok(found) => networks.whole.extend(found),
                Err(error) => networks.damaged.push(error),
            }
        }
        Ok(networks)
    }

    /// The network that containers are on by default, made where it is not there yet.
    fn default_network(&self) -> Result<Network> {
        if let Some(network) = self.store.network_record(DEFAULT)? {
            return Ok(network);
        }
        match self.make_network(&NewNetwork { name: DEFAULT.to_owned(), ..NewNetwork::default() }) {
            // Another command was faster.
            Err(Error::Refused(refused)) if refused.kind == RefusedKind::Conflict => {
                self.store.network_record(DEFAULT)?.ok_or_else(|| no_such(DEFAULT))
            }
            made => made,
        }
    }

    /// The network that `word` means: its name, its id, or the beginning of its id.
    ///
    /// # Errors
    /// Refused where there is none, or more than one.
    pub fn find_network(&self, word: &str) -> Result<Network> {
        if word == DEFAULT {
            return self.default_network();
        }
        if let Some(network) = self.store.network_record(word)? {
            return Ok(network);
        }
        let mut found = self.networks()?.whole;
        found.retain(|network| !word.is_empty() && network.id.starts_with(word));
        if found.len() > 1 {
            let reason = format!("is the beginning of {} ids", found.len());
            return Err(Refused::new("the network", word, reason).hint("use more digits").into());
        }
        found.pop().ok_or_else(|| no_such(word))
    }

    /// Removes a network.
    ///
    /// # Errors
    /// Refused where containers are on it, and for the one that they are on by default; a kernel error.
    pub fn remove_network(&self, word: &str) -> Result<()> {
        let network = self.find_network(word)?;
        if network.name == DEFAULT {
            let reason = "is a pre-defined network and cannot be removed";
            let refused = Refused::new("the network", &network.name, reason);
            return Err(refused.hint("carboy network prune takes its bridge away while nobody is on it").into());
        }
        self.check_unused(&network)?;
        self.lower(&network)?;
        remove_folder(&self.store.network(&network.name))?;
        self.store.tell_network(&network, "destroy", &[]);
        Ok(())
    }

    /// Takes the bridge of the default network away, and the firewall with it where there is no other, if nobody is on it.
    ///
    /// # Errors
    /// A kernel error.
    pub fn rest_default_network(&self) -> Result<()> {
        match self.store.network_record(DEFAULT)? {
            Some(network) if self.endpoints(&network)?.is_empty() => {
                self.store.forget_open(&network)?;
                self.lower(&network)
            }
            _ => Ok(()),
        }
    }

    fn check_unused(&self, network: &Network) -> Result<()> {
        let users = self.endpoints(network)?;
        if users.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = users.iter().map(|endpoint| endpoint.name.as_str()).collect();
        let reason = format!("network has active endpoints: {}", names.join(", "));
        let refused = Refused::new("the network", &network.name, reason).kind(RefusedKind::Conflict);
        Err(refused.hint(format!("carboy network disconnect {} CONTAINER, or stop them first", network.name)).into())
    }
}

fn check_name(name: &str) -> Result<()> {
    if matches!(name, "host" | "none" | "private" | "default" | "container") {
        let refused = Refused::new("the network", name, "is a word with a meaning of its own for --network");
        return Err(refused.hint("choose another name").into());
    }
    if Network::is_name(name) {
        return Ok(());
    }
    let refused = Refused::new("the network", name, "cannot be a name");
    Err(refused.hint("use letters, digits, _, . and -, and begin with a letter or a digit").into())
}

fn mtu_of(word: &str) -> Result<u32> {
    word.parse().ok().filter(|mtu| (68..=65_535).contains(mtu)).ok_or_else(|| {
        let refused = Refused::new("--opt", format!("{MTU}={word}"), "is no size of a packet");
        refused.hint("use 68 to 65535 bytes; below 1280 there is no IPv6").into()
    })
}

/// What a new network has of IPv6: what was asked for, else its own addresses where this host has IPv6 at all and nothing
/// speaks against it.
fn ipv6_of(wish: &NewNetwork) -> Result<Ipv6> {
    let has_subnet = wish.subnets.iter().any(|subnet| subnet.net.addr().is_ipv6());
    if let Some(asked) = wish.ipv6 {
        if asked == Ipv6::Off && has_subnet {
            return Err(Refused::new("--ipv6", "false", "contradicts a --subnet of IPv6").into());
        }
        return Ok(asked);
    }
    let is_shared = matches!(wish.driver, Some(Driver::Macvlan | Driver::Ipvlan));
    let is_small = wish.options.get(MTU).and_then(|mtu| mtu.parse::<u32>().ok()).is_some_and(|mtu| mtu < 1280);
    let is_off = Proc::open()?.setting("net/ipv6/conf/all/disable_ipv6").is_ok_and(|off| off == "0");
    Ok(if (is_off && !is_shared && !is_small) || has_subnet { Ipv6::Local } else { Ipv6::Off })
}

/// The subnets of a new network: those that were asked for, and one of each family that it has besides.
fn subnets_of(wish: &NewNetwork, ipv6: Ipv6, (others, socket): (&[Network], &Socket)) -> Result<Vec<Subnet>> {
    let routes = link::destinations(socket).doing(|| "read the routes of this host")?;
    let routes = routes.into_iter().filter_map(|(address, prefix)| IpNet::new(address, prefix).ok());
    let taken: Vec<(IpNet, Option<&str>)> = others
        .iter()
        .flat_map(|other| other.subnets.iter().map(|subnet| (subnet.net, Some(other.name.as_str()))))
        .chain(routes.map(|route| (route, None)))
        .collect();
    let is_shared = matches!(wish.driver, Some(Driver::Macvlan | Driver::Ipvlan));
    let mut subnets = Vec::new();
    for new in &wish.subnets {
        let subnet = subnet_of(new)?;
        let mut known = taken.iter().map(|(net, name)| (net, *name));
        // What shares a link has the addresses of that link's own network.
        let overlaps =
            |(net, name): &(&IpNet, Option<&str>)| subnet::overlap(net, &subnet.net) && (name.is_some() || !is_shared);
        if let Some((net, name)) = known.find(overlaps) {
            let by = name
                .map_or_else(|| format!("a route of this host, {net}"), |name| format!("the network {name}, {net}"));
            let reason = format!("has addresses in common with {by}");
            let refused = Refused::new("--subnet", subnet.net.to_string(), reason).kind(RefusedKind::Conflict);
            return Err(refused.hint("choose another subnet, or none: then a free one is taken").into());
        }
        subnets.push(subnet);
    }
    let taken: Vec<IpNet> = taken.into_iter().map(|(net, _)| net).collect();
    if !subnets.iter().any(|subnet| subnet.net.addr().is_ipv4()) {
        let free = subnet::free(&taken).ok_or_else(|| {
            let refused =
                Refused::new("the network", &wish.name, "finds no subnet that this host does not use already");
            Error::from(refused.hint("choose one by --subnet"))
        })?;
        subnets.push(Subnet::new(free));
    }
    if ipv6 != Ipv6::Off && !subnets.iter().any(|subnet| subnet.net.addr().is_ipv6()) {
        subnets.push(Subnet::new(subnet::unique_local(crate::names::random()?)));
    }
    subnets.sort_by_key(|subnet| subnet.net.addr().is_ipv6());
    Ok(subnets)
}

fn subnet_of(new: &NewSubnet) -> Result<Subnet> {
    if let Some(special) = subnet::special(&new.net) {
        let reason = format!("has addresses that no host can have, of {special}");
        let refused = Refused::new("--subnet", new.net.to_string(), reason);
        return Err(refused.hint("choose a private one, such as 10.89.0.0/16 or fd00:89::/64, or none").into());
    }
    if new.net.addr() != new.net.network() {
        let refused = Refused::new("--subnet", new.net.to_string(), "has bits set behind its prefix");
        return Err(refused.hint(format!("did you mean {}?", new.net.trunc())).into());
    }
    if new.net.prefix_len() + 1 >= new.net.max_prefix_len() {
        let refused = Refused::new("--subnet", new.net.to_string(), "is too small for a host and a container");
        return Err(refused.hint("use a shorter prefix").into());
    }
    let mut subnet = Subnet::new(new.net);
    if let Some(gateway) = new.gateway {
        if !new.net.contains(&gateway) {
            let refused = Refused::new("--gateway", gateway.to_string(), format!("is not in the subnet {}", new.net));
            return Err(refused.hint("choose an address of the subnet").into());
        }
        subnet.gateway = gateway;
    }
    if let Some(range) = new.range {
        if !new.net.contains(&range.network()) || !new.net.contains(&range.broadcast()) {
            let refused =
                Refused::new("--ip-range", range.to_string(), format!("is not within the subnet {}", new.net));
            return Err(refused.hint("choose a part of the subnet").into());
        }
        subnet.range = Some(range);
    }
    Ok(subnet)
}

fn no_such(word: &str) -> Error {
    let refused = Refused::new("the network", word, "network not found").kind(RefusedKind::NoSuchObject);
    refused.hint("carboy network ls lists all networks").into()
}
