//! /etc/hosts, /etc/resolv.conf and /etc/hostname of a container on networks: files of its folder, which are mounted there.
//! They are written in place when it is started and as networks come and go, so that what is mounted is what is written.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use error::{Doing, Result};
use network::IpNet;

use super::{Driver, Endpoint, Network};
use crate::containers::Engine;
use crate::options::{Dns, HostAddress, Join, Namespace, RunOptions};
use crate::record::{Record, short};
use crate::store::Store;

/// The files, by their names in a container's folder, and their places in it.
const FILES: [(&str, &str); 3] = [HOSTS, ("hostname", "/etc/hostname"), RESOLV_CONF];
const FOR_SHARERS: [(&str, &str); 2] = [HOSTS, RESOLV_CONF];
const HOSTS: (&str, &str) = ("hosts", "/etc/hosts");
const RESOLV_CONF: (&str, &str) = ("resolv.conf", "/etc/resolv.conf");

const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                     ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Whom the host asks for names: resolv.conf(5).
pub(super) const OF_HOST: &str = "/etc/resolv.conf";

/// Where the host's name servers stand when /etc/resolv.conf names systemd-resolved itself, which no container can reach.
const BEHIND_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Makes the files of a container that is about to be started, where it has any.
pub(crate) fn make(store: &Store, id: &str, options: &RunOptions) -> Result<()> {
    if options.network.networks.is_empty() {
        return Ok(());
    }
    for (name, _) in FILES {
        let path = store.container(id).join(name);
        let opened = fs::File::options().append(true).create(true).open(&path);
        opened.doing(|| format!("make {}", path.display()))?;
    }
    Ok(())
}

/// How many containers may have the network namespace of the next one.
const MOST_SHARERS: usize = 16;

impl Engine {
    /// The files of a container, and their places in it: its own where it is on networks; where it has the network namespace
    /// of a container that is, those by which others are found.
    pub(crate) fn network_files(&self, id: &str, options: &RunOptions) -> Result<Vec<(PathBuf, &'static str)>> {
        let (mut id, mut options, mut own) = (id.to_owned(), Cow::Borrowed(options), FILES.as_slice());
        for _ in 0..MOST_SHARERS {
            if !options.network.networks.is_empty() {
                let folder = self.store.container(&id);
                return Ok(own.iter().map(|(name, place)| (folder.join(name), *place)).collect());
            }
            let Namespace::Joined(Join::Container(word)) = &options.namespaces.net else { break };
            let other = self.find(word)?.record;
            (id, options, own) = (other.id, Cow::Owned(other.options), FOR_SHARERS.as_slice());
        }
        Ok(Vec::new())
    }

    /// Writes what they are to say of these places in networks.
    pub(super) fn write_files(&self, record: &Record, made: &[(Network, Endpoint)]) -> Result<()> {
        let folder = self.store.container(&record.id);
        let hostname = hostname(record);
        write(&folder, "hostname", &format!("{hostname}\n"))?;
        write(&folder, "hosts", &self.hosts(record, made)?)?;
        let own = self.own_resolver_of(&record.id);
        let mut resolvers: Vec<IpAddr> = Vec::new();
        for (network, endpoint) in made {
            let resolver = match network.driver {
                Driver::Bridge => endpoint.gateways.first().copied().filter(|_| network.has_resolver()),
                Driver::Macvlan | Driver::Ipvlan => own,
            };
            resolvers.extend(resolver.filter(|resolver| !resolvers.contains(resolver)));
        }
        write(&folder, "resolv.conf", &resolv_conf(&record.options.network.dns, &resolvers, &HostDns::read()?))
    }

    fn hosts(&self, record: &Record, made: &[(Network, Endpoint)]) -> Result<String> {
        let mut text = LOCAL.to_owned();
        let mut line = |address: IpAddr, names: &str| text.push_str(&format!("{address}\t{names}\n"));
        for entry in &record.options.network.hosts {
            let addresses: Vec<IpAddr> = match entry.address {
                HostAddress::Address(address) => vec![address],
                HostAddress::Gateway => made.first().map(|(_, endpoint)| endpoint.gateways.clone()).unwrap_or_default(),
            };
            addresses.into_iter().for_each(|address| line(address, &entry.name));
        }
        for connection in &record.options.network.networks {
            for link in &connection.links {
                let other = self.find(&link.container)?.record;
                let theirs = self.endpoints_of(&other.id)?;
                let shared =
                    theirs.iter().find(|endpoint| made.iter().any(|(network, _)| network.id == endpoint.network));
                let names = format!("{} {} {}", link.alias, short(&other.id), other.name);
                shared
                    .iter()
                    .flat_map(|endpoint| &endpoint.addresses)
                    .for_each(|address| line(address.addr(), names.trim()));
            }
        }
        let hostname = hostname(record);
        let own = match &record.options.domainname {
            Some(domain) => format!("{hostname}.{domain} {hostname}"),
            None => hostname,
        };
        made.iter().flat_map(|(_, endpoint)| &endpoint.addresses).for_each(|address| line(IpNet::addr(address), &own));
        Ok(text)
    }
}

fn hostname(record: &Record) -> String {
    record.config.hostname.clone().unwrap_or_else(|| short(&record.id).to_owned())
}

/// In place: another file would not be the one that is mounted.
fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(());
    }
    fs::write(&path, text).doing(|| format!("write {}", path.display()))
}

/// How many servers the C library asks: `MAXNS`, resolv.conf(5).
const MOST_SERVERS: usize = 3;

/// What the host's resolv.conf says.
#[derive(Debug, Default, PartialEq, Eq)]
struct HostDns {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    options: Vec<String>,
}

impl HostDns {
    fn read() -> Result<Self> {
        let read = |path: &str| match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            text => text.map(|text| Self::parse(&text)).doing(|| format!("read {path}")),
        };
        let own = read(OF_HOST)?;
        if own.reachable().is_empty() {
            let behind = read(BEHIND_RESOLVED)?;
            if !behind.reachable().is_empty() {
                return Ok(behind);
            }
        }
        Ok(own)
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => found.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
                Some("options") => found.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        found
    }

    /// Those that can be reached from a network namespace that is not the host's.
    fn reachable(&self) -> Vec<IpAddr> {
        self.servers.iter().copied().filter(|server| !server.is_loopback()).collect()
    }
}

/// The resolvers of its networks, which ask others; without any whom was asked for, or whom the host asks, where that can be
/// reached.
fn resolv_conf(asked: &Dns, resolvers: &[IpAddr], host: &HostDns) -> String {
    let servers = match (resolvers, asked.servers.as_slice()) {
        ([], []) => host.reachable(),
        ([], asked) => asked.to_vec(),
        (resolvers, _) => resolvers.iter().copied().take(MOST_SERVERS).collect(),
    };
    let mut text = String::new();
    servers.iter().for_each(|server| text.push_str(&format!("nameserver {server}\n")));
    let search = if asked.search.is_empty() { &host.search } else { &asked.search };
    if !search.is_empty() && search != &["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    let options = if asked.options.is_empty() { &host.options } else { &asked.options };
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_asks_itself_is_no_server_for_others() {
        let host = HostDns::parse(
            "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch a.example b.example\noptions edns0 trust-ad\n",
        );
        assert_eq!(host.reachable(), ["192.0.2.53".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            resolv_conf(&Dns::default(), &[], &host),
            "nameserver 192.0.2.53\nsearch a.example b.example\noptions edns0 trust-ad\n"
        );
        let asked = Dns {
            servers: vec!["198.51.100.1".parse().unwrap()],
            search: vec![".".to_owned()],
            options: vec!["ndots:2".to_owned()],
        };
        assert_eq!(resolv_conf(&asked, &[], &host), "nameserver 198.51.100.1\noptions ndots:2\n");
        let resolvers: Vec<IpAddr> = (1..5).map(|last| IpAddr::from([10, 64, 0, last])).collect();
        let of_networks = resolv_conf(&asked, &resolvers, &host);
        assert_eq!(of_networks.matches("nameserver 10.64.0.").count(), 3);
        assert!(!of_networks.contains("198.51.100.1"));
    }
}
