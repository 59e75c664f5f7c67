//! Who has which address of a network and which port of the host: links that are made by whoever is first, so that many
//! commands at once never have the same, and nobody has to look at all the others.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, symlink};
use std::path::{Path, PathBuf};

use error::{Doing, Error, Kernel, Refused, RefusedKind, Result};
use network::firewall::Loopback6;
use network::port::{Protocol, Published};
use network::subnet::Subnet;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{bridge, listener};
use crate::options::PortWish;
use crate::record::short;
use crate::store::{Store, entries, lock_folder};

/// Makes a folder that others may remove at any time when it is empty, and something in it.
pub(super) fn within<T>(folder: &Path, make: impl Fn() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match make() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o711).create(folder)?;
            }
            made => return made,
        }
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o711).create(folder).doing(|| format!("make {}", folder.display()))
}

impl Store {
    /// The container that has claimed something, by its name where it has not gone meanwhile.
    fn called(&self, owner: &Path) -> String {
        let id = owner.to_string_lossy();
        let name = self.record(&id).ok().flatten().map(|record| record.name);
        format!("the container {}", name.as_deref().unwrap_or(short(&id)))
    }
}

/// Claims an address; whether it was free, or the container's already.
fn claim(folder: &Path, address: IpAddr, container: &str) -> Result<bool> {
    let path = folder.join(address.to_string());
    match within(folder, || symlink(container, &path)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(fs::read_link(&path).is_ok_and(|owner| owner == Path::new(container)))
        }
        claimed => claimed.map(|()| true).doing(|| format!("claim the address {address}")),
    }
}

/// Claims an address of a subnet: the one that was asked for, or the next that is free behind the one that was given out
/// last, which is remembered in a file.
///
/// # Errors
/// Refused where it cannot be had, or none is left; a kernel error.
pub(super) fn claim_address(
    (store, folder): (&Store, &Path),
    (subnet, last): (&Subnet, &Path),
    asked: Option<IpAddr>,
    (container, network): (&str, &str),
) -> Result<IpAddr> {
    if let Some(address) = asked {
        return claim_asked((store, folder), subnet, address, (container, network));
    }
    let former = match fs::read_to_string(last) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).doing(|| format!("read {}", last.display()));
        }
        read => read.ok().and_then(|text| text.trim().parse().ok()),
    };
    for address in subnet.candidates(former) {
        if claim(folder, address, container)? {
            remember(last, address).doing(|| format!("write {}", last.display()))?;
            return Ok(address);
        }
    }
    let refused = Refused::new("the network", network, format!("has no address left in {}", subnet.net));
    Err(refused.hint("remove containers from it, or make a network with a larger --subnet").into())
}

/// All are of one length, and written over each other: a file that is cut off first is brought to the disk at once.
fn remember(last: &Path, address: IpAddr) -> std::io::Result<()> {
    let file = fs::File::options().write(true).create(true).truncate(false).open(last)?;
    file.write_all_at(format!("{address:<39}\n").as_bytes(), 0)
}

fn claim_asked(
    (store, folder): (&Store, &Path),
    subnet: &Subnet,
    address: IpAddr,
    (container, network): (&str, &str),
) -> Result<IpAddr> {
    let flag = if address.is_ipv4() { "--ip" } else { "--ip6" };
    if !subnet.can_be_given(address) {
        let reason = if address == subnet.gateway { "is the host's address in" } else { "can be nobody's address in" };
        let refused = Refused::new(flag, address.to_string(), format!("{reason} {}, {}", network, subnet.net));
        return Err(refused.hint("choose another address of the subnet, or none").into());
    }
    if claim(folder, address, container)? {
        return Ok(address);
    }
    let owner = fs::read_link(folder.join(address.to_string())).unwrap_or_default();
    let reason = format!("is in use by {}", store.called(&owner));
    let refused = Refused::new(flag, address.to_string(), reason).kind(RefusedKind::Conflict);
    Err(refused.hint("choose another address, or none").into())
}

/// Gives an address back.
///
/// # Errors
/// A kernel error.
pub(super) fn release_address(folder: &Path, address: IpAddr) -> Result<()> {
    give_back(&folder.join(address.to_string()))
}

/// Gives back all that a container has claimed in a folder.
///
/// # Errors
/// A kernel error.
pub(super) fn release_all(folder: &Path, container: &str) -> Result<()> {
    for name in entries(folder)? {
        let path = folder.join(name);
        if fs::read_link(&path).is_ok_and(|owner| owner == Path::new(container)) {
            give_back(&path)?;
        }
    }
    Ok(())
}

fn give_back(claim: &Path) -> Result<()> {
    match fs::remove_file(claim) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("give back {}", claim.display()))
        }
        _ => Ok(()),
    }
}

/// Who has a port. Its name takes a while to find.
#[derive(Debug)]
enum Holder {
    /// A container, by the claim.
    Container(PathBuf),
    /// Some process of the host.
    Process(Published),
}

/// The ports of the host: a folder for each that somebody has, with a link for each address that it is published at.
#[derive(Debug)]
pub(super) struct Ports<'s> {
    store: &'s Store,
    folder: PathBuf,
    /// Nobody else claims one meanwhile.
    _held: OwnedFd,
}

impl<'s> Ports<'s> {
    /// Waits until nobody else claims or releases one.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn hold(store: &'s Store) -> Result<Self> {
        let folder = store.ports();
        loop {
            match lock_folder(&folder, FlockOperation::LockExclusive) {
                // Who was last may have just removed it.
                Err(error) if error.errno() == Some(Errno::NOENT) => make_folder(&folder)?,
                Err(error) => return Err(error),
                Ok(held) if folder.exists() => return Ok(Self { store, folder, _held: held }),
                Ok(_) => {}
            }
        }
    }

    /// Claims ports for a container that has these addresses.
    ///
    /// # Errors
    /// Refused for one that is taken, by whom; nothing is claimed then.
    pub(super) fn claim(&self, wishes: &[PortWish], addresses: &[IpAddr], container: &str) -> Result<Vec<Published>> {
        let mut claimed = Vec::new();
        for wish in wishes {
            match self.claim_one(wish, addresses, container) {
                Ok(published) => claimed.extend(published),
                Err(error) => {
                    let _ = self.release(&claimed);
                    return Err(error);
                }
            }
        }
        Ok(claimed)
    }

    fn claim_one(&self, wish: &PortWish, addresses: &[IpAddr], container: &str) -> Result<Vec<Published>> {
        /// Those that nobody listens at by agreement, RFC 6335.
        const DYNAMIC: (u16, u16) = (49_153, 65_535);
        let places = places(wish, addresses)?;
        let (first, last) = wish.host.unwrap_or(DYNAMIC);
        let mut taken = None;
        // Where any is as good as another, those that were taken last are not tried each time.
        let start = if wish.host.is_some() { first } else { first + crate::names::chance(last - first)? };
        for port in (start..=last).chain(first..start) {
            let published = places.iter().map(|(address, to)| Published {
                protocol: wish.protocol,
                address: *address,
                port,
                to: SocketAddr::new(*to, wish.container),
            });
            let published: Vec<Published> = published.collect();
            match published.iter().find_map(|one| self.conflict(one).transpose()).transpose()? {
                None => {
                    let made = published.iter().try_for_each(|one| self.make(one, container));
                    made.inspect_err(|_| drop(self.release(&published)))?;
                    return Ok(published);
                }
                Some(by) => taken = Some((port, by)),
            }
        }
        let (port, by) = match taken {
            None => (first, "somebody".to_owned()),
            Some((port, Holder::Container(owner))) => (port, self.store.called(&owner)),
            Some((port, Holder::Process(published))) => (port, listener::of(&published)),
        };
        let value = wish.address.map_or_else(|| port.to_string(), |address| SocketAddr::new(address, port).to_string());
        let reason = match wish.host {
            Some((first, last)) if first < last => format!("is taken by {by}, and so is every port of {first}-{last}"),
            _ => format!("is taken by {by}"),
        };
        let refused = Refused::new("--publish", format!("{value}/{}", wish.protocol), reason);
        Err(refused.kind(RefusedKind::Conflict).hint("choose another port, or leave the host's port out").into())
    }

    /// Who has a port already, if anybody has.
    fn conflict(&self, port: &Published) -> Result<Option<Holder>> {
        let folder = self.of(port);
        for name in entries(&folder)? {
            let Ok(other) = name.parse::<IpAddr>() else { continue };
            let both = other.is_unspecified() || port.address.is_unspecified() || other == port.address;
            if both && other.is_ipv4() == port.address.is_ipv4() {
                let owner = fs::read_link(folder.join(name)).unwrap_or_default();
                return Ok(Some(Holder::Container(owner)));
            }
        }
        Ok(if is_free(port)? { None } else { Some(Holder::Process(*port)) })
    }

    fn of(&self, port: &Published) -> PathBuf {
        self.folder.join(port.protocol.word()).join(port.port.to_string())
    }

    fn make(&self, port: &Published, container: &str) -> Result<()> {
        let folder = self.of(port);
        make_folder(&folder)?;
        let path = folder.join(port.address.to_string());
        within(&folder, || symlink(container, &path)).doing(|| format!("claim {}", path.display()))
    }

    /// Gives back all that a container has claimed.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn release_all(&self, container: &str) -> Result<()> {
        for protocol in Protocol::ALL {
            let of_protocol = self.folder.join(protocol.word());
            for port in entries(&of_protocol)? {
                let of_port = of_protocol.join(port);
                release_all(&of_port, container)?;
                let _ = fs::remove_dir(of_port);
            }
            let _ = fs::remove_dir(of_protocol);
        }
        Ok(())
    }

    /// Gives ports back.
    ///
    /// # Errors
    /// A kernel error; the others are given back all the same.
    pub(super) fn release(&self, ports: &[Published]) -> Result<()> {
        let mut released = Ok(());
        for port in ports {
            let folder = self.of(port);
            released = released.and(give_back(&folder.join(port.address.to_string())));
            let _ = fs::remove_dir(&folder);
        }
        for protocol in Protocol::ALL {
            let _ = fs::remove_dir(self.folder.join(protocol.word()));
        }
        released
    }
}

/// Takes away the folders of ports that nobody has, where nobody is on any network.
pub(super) fn tidy_ports(folder: &Path) {
    for protocol in Protocol::ALL {
        let of_protocol = folder.join(protocol.word());
        for port in entries(&of_protocol).unwrap_or_default() {
            let _ = fs::remove_dir(of_protocol.join(port));
        }
        let _ = fs::remove_dir(of_protocol);
    }
    let _ = fs::remove_dir(folder);
}

/// The addresses of the host at which a port is wished for, each with that of the container.
fn places(wish: &PortWish, addresses: &[IpAddr]) -> Result<Vec<(IpAddr, IpAddr)>> {
    let own = |like: IpAddr| addresses.iter().copied().find(|own| own.is_ipv4() == like.is_ipv4());
    let wished = match wish.address {
        Some(address) => vec![address],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    };
    let is_loopback6 = wish.address == Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    if is_loopback6 && bridge::loopback6()? == Loopback6::Unanswered {
        let reason = "the kernel drops the answers where this host filters bridged packets";
        let hint = "sysctl net.bridge.bridge-nf-call-ip6tables=0, or publish at 127.0.0.1";
        return Err(Refused::new("--publish", "[::1]", reason).hint(hint).into());
    }
    let places: Vec<_> = wished.iter().filter_map(|address| Some((*address, own(*address)?))).collect();
    match wish.address {
        Some(address) if places.is_empty() => {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let refused =
                Refused::new("--publish", address.to_string(), format!("the container has no {family} address"));
            Err(refused.hint("choose an address of the other family, or a network that has both").into())
        }
        _ => Ok(places),
    }
}

/// Whether no process of the host has a port.
fn is_free(port: &Published) -> Result<bool> {
    let family = if port.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match port.protocol {
        Protocol::Tcp => (SocketType::STREAM, None),
        Protocol::Udp => (SocketType::DGRAM, None),
        Protocol::Sctp => (SocketType::STREAM, Some(rustix::net::ipproto::SCTP)),
    };
    let socket = match rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol) {
        // Nobody here speaks it.
        Err(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT) => return Ok(true),
        socket => socket.doing(|| "make a socket")?,
    };
    let only = if port.address.is_ipv6() { rustix::net::sockopt::set_ipv6_v6only(&socket, true) } else { Ok(()) };
    // Connections that are over do not take it.
    let reuse = rustix::net::sockopt::set_socket_reuseaddr(&socket, port.protocol == Protocol::Tcp);
    only.and(reuse).doing(|| "prepare a socket")?;
    match rustix::net::bind(&socket, &SocketAddr::new(port.address, port.port)) {
        Ok(()) => Ok(true),
        Err(Errno::ADDRINUSE) => Ok(false),
        Err(Errno::ADDRNOTAVAIL) => {
            let refused = Refused::new("--publish", port.address.to_string(), "is no address of this host");
            Err(refused.hint("ip address shows those that it has").into())
        }
        Err(errno) => Err(Error::from(Kernel::new(format!("look whether port {} is free", port.port), errno))),
    }
}
