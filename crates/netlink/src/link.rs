//! Links that are made and removed, the addresses they get for good, and the routes of a namespace. rtnetlink(7),
//! <linux/if_link.h>, <linux/rtnetlink.h>.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::route::{LINK_HEADER, NEW_ADDRESS, SET_LINK, UP, link_header, number};
use crate::{Errno, Socket, attribute, find, flag, kind, message, nested, text};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

const HARDWARE_ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const PARENT: u16 = 5;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const NAMESPACE: u16 = 28;

/// `AF_INET` and `AF_INET6`.
const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// What a new link has besides its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traits<'n> {
    /// Its name.
    pub name: &'n str,
    /// Its hardware address; `None` for one that the kernel makes up.
    pub mac: Option<[u8; 6]>,
    /// The largest packet, in bytes; `None` for what is usual.
    pub mtu: Option<u32>,
}

impl Traits<'_> {
    fn attributes(&self) -> Vec<u8> {
        let mut said = text(NAME, self.name);
        said.extend(self.mac.iter().flat_map(|mac| attribute(HARDWARE_ADDRESS, mac)));
        said.extend(self.mtu.iter().flat_map(|mtu| attribute(MTU, &mtu.to_ne_bytes())));
        said
    }
}

fn info(kind: &str, data: &[u8]) -> Vec<u8> {
    let mut said = text(INFO_KIND, kind);
    if !data.is_empty() {
        said.extend(nested(INFO_DATA, data));
    }
    nested(INFO, &said)
}

fn make(socket: &Socket, header: &[u8], attributes: &[Vec<u8>]) -> Result<(), Errno> {
    let flags = flag::REQUEST | flag::ACK | flag::CREATE | flag::EXCLUSIVE;
    socket.request(&message(NEW_LINK, flags, header, &attributes.concat()), |_, _| {})
}

/// Makes a bridge, which is up.
///
/// # Errors
/// `EEXIST` where a link has its name.
pub fn make_bridge(socket: &Socket, traits: &Traits<'_>) -> Result<(), Errno> {
    make(socket, &link_header(0, UP), &[traits.attributes(), info("bridge", &[])])
}

/// Makes a pair of links of which one is here, a port of the bridge with this number, and the other in a namespace. The
/// one here is up; the kernel lets the other be only when both are there.
///
/// # Errors
/// `EEXIST` where one of the names is taken.
pub fn make_veth(
    socket: &Socket,
    (here, bridge): (&Traits<'_>, u32),
    (there, namespace): (&Traits<'_>, BorrowedFd<'_>),
) -> Result<(), Errno> {
    const PEER: u16 = 1;
    let namespace = attribute(NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
    let peer = [link_header(0, 0), there.attributes(), namespace].concat();
    let master = attribute(MASTER, &bridge.to_ne_bytes());
    make(socket, &link_header(0, UP), &[here.attributes(), master, info("veth", &attribute(PEER, &peer))])
}

/// Lets a bridge send what comes from one of its ports back by the same: a container that reaches itself by the host.
///
/// # Errors
/// `ENODEV` where the link is none; `EOPNOTSUPP` where it is no bridge's port.
pub fn send_back(socket: &Socket, port: u32) -> Result<(), Errno> {
    const FAMILY: u8 = 7;
    const PORT: u16 = 12;
    const HAIRPIN: u16 = 4;
    let mut header = link_header(port, 0);
    if let Some(family) = header.first_mut() {
        *family = FAMILY;
    }
    let said = nested(PORT, &attribute(HAIRPIN, &[1]));
    socket.request(&message(SET_LINK, flag::REQUEST | flag::ACK, &header, &said), |_, _| {})
}

/// What shares a link of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// `macvlan` in its mode `bridge`: those that share a link reach each other.
    Macvlan,
    /// `ipvlan` in its mode `l2`.
    Ipvlan,
}

/// Makes a link in a namespace that shares one that is here, by its number. It is not up.
///
/// # Errors
/// `EEXIST` where the name is taken there; `EOPNOTSUPP` where the kernel has no such links; `EBUSY` for a link that is
/// shared in another way.
pub fn make_shared(
    socket: &Socket,
    (shared, parent): (Shared, u32),
    (traits, namespace): (&Traits<'_>, BorrowedFd<'_>),
) -> Result<(), Errno> {
    const MODE: u16 = 1;
    let info = match shared {
        Shared::Macvlan => info("macvlan", &attribute(MODE, &4_u32.to_ne_bytes())),
        Shared::Ipvlan => info("ipvlan", &attribute(MODE, &0_u16.to_ne_bytes())),
    };
    let there = attribute(NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
    make(socket, &link_header(0, 0), &[traits.attributes(), attribute(PARENT, &parent.to_ne_bytes()), there, info])
}

/// Removes a link by its name, and with it the other of its pair.
///
/// # Errors
/// `ENODEV` where there is none; `EOPNOTSUPP` for one that belongs to its namespace.
pub fn delete(socket: &Socket, name: &str) -> Result<(), Errno> {
    let said = message(DELETE_LINK, flag::REQUEST | flag::ACK, &link_header(0, 0), &text(NAME, name));
    socket.request(&said, |_, _| {})
}

/// A link of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// What made it: `veth`, `bridge`; empty for hardware and the loopback.
    pub kind: String,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
}

/// The links of the socket's namespace.
///
/// # Errors
/// The kernel's.
pub fn all(socket: &Socket) -> Result<Vec<Listed>, Errno> {
    let mut found = Vec::new();
    let mut refused = Ok(());
    let asked = message(GET_LINK, flag::REQUEST | flag::DUMP, &link_header(0, 0), &[]);
    socket.say(&asked, |kind, payload| match kind {
        NEW_LINK => found.extend(listed(payload)),
        kind::ERROR => refused = crate::acknowledgement(payload).unwrap_or(Err(Errno::PROTO)),
        _ => {}
    })?;
    refused.map(|()| found)
}

fn listed(payload: &[u8]) -> Option<Listed> {
    let told = payload.get(LINK_HEADER..)?;
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned();
    Some(Listed {
        name: word(find(told, NAME)?),
        index: number(payload, 4)?,
        kind: find(told, INFO).and_then(|info| find(info, INFO_KIND)).map(word).unwrap_or_default(),
        master: find(told, MASTER).and_then(|master| number(master, 0)),
    })
}

/// Gives a link an address for good, which is valid at once: nobody else can have it.
///
/// # Errors
/// `EEXIST` where it has it; `EACCES` for IPv6 where that is switched off.
pub fn give_address(socket: &Socket, link: u32, address: (IpAddr, u8)) -> Result<(), Errno> {
    let flags = flag::REQUEST | flag::ACK | flag::CREATE | flag::EXCLUSIVE;
    socket.request(&of_address(NEW_ADDRESS, flags, link, address), |_, _| {})
}

/// Takes an address from a link.
///
/// # Errors
/// `EADDRNOTAVAIL` where it does not have it.
pub fn take_address(socket: &Socket, link: u32, address: (IpAddr, u8)) -> Result<(), Errno> {
    socket.request(&of_address(DELETE_ADDRESS, flag::REQUEST | flag::ACK, link, address), |_, _| {})
}

fn of_address(kind: u16, flags: u16, link: u32, (address, prefix): (IpAddr, u8)) -> Vec<u8> {
    const LOCAL: u16 = 2;
    const ADDRESS: u16 = 1;
    const BROADCAST: u16 = 4;
    /// `IFA_F_NODAD`.
    const NO_DETECTION: u8 = 2;
    let [a, b, c, d] = link.to_ne_bytes();
    let own = bytes(address);
    let mut said = [attribute(LOCAL, &own), attribute(ADDRESS, &own)].concat();
    if let IpAddr::V4(address) = address
        && prefix < 31
    {
        let all = u32::from(address) | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        said.extend(attribute(BROADCAST, &all.to_be_bytes()));
    }
    message(kind, flags, &[family(address), prefix, NO_DETECTION, 0, a, b, c, d], &said)
}

/// `struct rtmsg` of a route of the main table that somebody has made: family, length of the destination, …, table, protocol
/// `RTPROT_STATIC`, scope, type `RTN_UNICAST`.
const fn route_header(family: u8, prefix: u8) -> [u8; 12] {
    [family, prefix, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]
}

/// Sends what goes nowhere else to a gateway.
///
/// # Errors
/// `EEXIST` where there is such a route; `ENETUNREACH` where no link leads to the gateway.
pub fn add_default_route(socket: &Socket, link: u32, gateway: IpAddr) -> Result<(), Errno> {
    const OUT_LINK: u16 = 4;
    const GATEWAY: u16 = 5;
    let said = [attribute(OUT_LINK, &link.to_ne_bytes()), attribute(GATEWAY, &bytes(gateway))].concat();
    let flags = flag::REQUEST | flag::ACK | flag::CREATE | flag::EXCLUSIVE;
    socket.request(&message(NEW_ROUTE, flags, &route_header(family(gateway), 0), &said), |_, _| {})
}

/// Lets answers to `::1` in by a link, where what was asked from it went out as from another address; for IPv4 that is
/// `route_localnet`. A packet that is for `::1` when it comes the kernel drops all the same.
///
/// # Errors
/// `EEXIST` where it does already.
pub fn add_loopback_route(socket: &Socket, link: u32) -> Result<(), Errno> {
    const DESTINATION: u16 = 1;
    const OUT_LINK: u16 = 4;
    // `struct rtmsg`, as in `route_header`, of the table `RT_TABLE_LOCAL` and the type `RTN_LOCAL`. By its metric, which is none of
    // the least, the loopback's own route comes first for whatever this host sends.
    let header = [10, 128, 0, 0, 255, 4, 0, 2, 0, 0, 0, 0];
    let own = bytes(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let said = [attribute(DESTINATION, &own), attribute(OUT_LINK, &link.to_ne_bytes())].concat();
    let flags = flag::REQUEST | flag::ACK | flag::CREATE | flag::APPEND;
    socket.request(&message(NEW_ROUTE, flags, &header, &said), |_, _| {})
}

/// Whether the namespace has a route of this family to everywhere.
///
/// # Errors
/// The kernel's.
pub fn has_default_route(socket: &Socket, like: IpAddr) -> Result<bool, Errno> {
    let mut found = false;
    routes(socket, |family_of, prefix, _| found |= family_of == family(like) && prefix == 0)?;
    Ok(found)
}

/// Where the routes of the socket's namespace lead, but for those to everywhere and those within this host: each
/// destination and its prefix.
///
/// # Errors
/// The kernel's.
pub fn destinations(socket: &Socket) -> Result<Vec<(IpAddr, u8)>, Errno> {
    let mut found = Vec::new();
    routes(socket, |_, prefix, to| found.extend(to.filter(|_| prefix > 0).map(|to| (to, prefix))))?;
    Ok(found)
}

/// Calls with family, prefix and destination of each route of a table but the local one.
fn routes(socket: &Socket, mut hear: impl FnMut(u8, u8, Option<IpAddr>)) -> Result<(), Errno> {
    const DESTINATION: u16 = 1;
    const LOCAL_TABLE: u8 = 255;
    let mut refused = Ok(());
    let asked = message(GET_ROUTE, flag::REQUEST | flag::DUMP, &[0; 12], &[]);
    socket.say(&asked, |kind, payload| match kind {
        NEW_ROUTE => {
            let Some((&[family, prefix, _, _, table, _, _, _], told)) = payload.split_first_chunk::<8>() else {
                return;
            };
            let told = told.get(4..).unwrap_or_default();
            if table != LOCAL_TABLE {
                hear(family, prefix, find(told, DESTINATION).and_then(address));
            }
        }
        kind::ERROR => refused = crate::acknowledgement(payload).unwrap_or(Err(Errno::PROTO)),
        _ => {}
    })?;
    refused
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod kernel {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use sys::namespace::Kinds;

    use super::*;
    use crate::Protocol::Route;
    use crate::route::{link, set_up};

    /// Runs in a net namespace of its own.
    fn alone(test: fn()) {
        let run = move || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            test();
        };
        std::thread::spawn(run).join().unwrap();
    }

    fn ip(word: &str) -> IpAddr {
        word.parse().unwrap()
    }

    fn named(name: &str) -> Traits<'_> {
        Traits { name, ..Traits::default() }
    }

    /// `IFLA_BRPORT_MODE` of a bridge's port.
    fn mode_of_port(socket: &Socket, name: &str) -> Option<Vec<u8>> {
        let mut mode = None;
        let asked = message(GET_LINK, flag::REQUEST | flag::ACK, &link_header(0, 0), &text(NAME, name));
        let hear = |kind, payload: &[u8]| {
            let told = payload.get(LINK_HEADER..).filter(|_| kind == NEW_LINK);
            mode = told.and_then(|told| Some(find(find(find(told, INFO)?, 5)?, 4)?.to_vec()));
        };
        socket.request(&asked, hear).unwrap();
        mode
    }

    #[test]
    fn a_pair_has_an_end_on_the_bridge_and_one_in_the_other_namespace() {
        alone(|| {
            let home = File::open("/proc/thread-self/ns/net").unwrap();
            sys::namespace::unshare(Kinds::NET).unwrap();
            let there = File::open("/proc/thread-self/ns/net").unwrap();
            sys::namespace::join(home.as_fd(), Kinds::NET).unwrap();
            let here = Socket::open(Route).unwrap();
            make_bridge(&here, &Traits { mac: Some([2, 0, 0, 0, 0, 1]), mtu: Some(1400), ..named("br9") }).unwrap();
            assert_eq!(make_bridge(&here, &named("br9")), Err(Errno::EXIST));
            let bridge = link(&here, "br9").unwrap();
            give_address(&here, bridge, (ip("192.0.2.1"), 24)).unwrap();
            assert_eq!(give_address(&here, bridge, (ip("192.0.2.1"), 24)), Err(Errno::EXIST));
            let inside = Traits { mac: Some([2, 0, 0, 0, 0, 9]), ..named("eth0") };
            make_veth(&here, (&named("v9"), bridge), (&inside, there.as_fd())).unwrap();
            let beyond = Socket::open_in(there.as_fd(), home.as_fd(), Route).unwrap();
            let eth0 = link(&beyond, "eth0").unwrap();
            set_up(&beyond, eth0).unwrap();
            give_address(&beyond, eth0, (ip("192.0.2.9"), 24)).unwrap();
            assert_eq!(has_default_route(&beyond, ip("0.0.0.0")), Ok(false));
            add_default_route(&beyond, eth0, ip("192.0.2.1")).unwrap();
            assert_eq!(has_default_route(&beyond, ip("0.0.0.0")), Ok(true));
            assert_eq!(add_default_route(&beyond, eth0, ip("192.0.2.1")), Err(Errno::EXIST));
            let listed = all(&here).unwrap();
            let port = listed.iter().find(|link| link.name == "v9").unwrap();
            assert_eq!((port.kind.as_str(), port.master), ("veth", Some(bridge)));
            assert_eq!(mode_of_port(&here, "v9"), Some(vec![0]));
            send_back(&here, port.index).unwrap();
            assert_eq!(mode_of_port(&here, "v9"), Some(vec![1]));
            assert_eq!(send_back(&here, bridge), Err(Errno::OPNOTSUPP));
            assert!(destinations(&here).unwrap().contains(&(ip("192.0.2.0"), 24)));
            assert_eq!(add_loopback_route(&here, bridge), Ok(()));
            assert_eq!(add_loopback_route(&here, bridge), Err(Errno::EXIST));
            take_address(&here, bridge, (ip("192.0.2.1"), 24)).unwrap();
            assert_eq!(take_address(&here, bridge, (ip("192.0.2.1"), 24)), Err(Errno::ADDRNOTAVAIL));
            delete(&here, "v9").unwrap();
            assert_eq!((delete(&here, "v9"), link(&beyond, "eth0")), (Err(Errno::NODEV), Err(Errno::NODEV)));
        });
    }

    #[test]
    fn a_shared_link_is_in_the_other_namespace() {
        alone(|| {
            let home = File::open("/proc/thread-self/ns/net").unwrap();
            sys::namespace::unshare(Kinds::NET).unwrap();
            let there = File::open("/proc/thread-self/ns/net").unwrap();
            sys::namespace::join(home.as_fd(), Kinds::NET).unwrap();
            let here = Socket::open(Route).unwrap();
            make_bridge(&here, &named("br9")).unwrap();
            let parent = link(&here, "br9").unwrap();
            make_shared(&here, (Shared::Macvlan, parent), (&named("eth0"), there.as_fd())).unwrap();
            let beyond = Socket::open_in(there.as_fd(), home.as_fd(), Route).unwrap();
            set_up(&beyond, link(&beyond, "eth0").unwrap()).unwrap();
            assert_eq!(all(&beyond).unwrap().iter().filter(|link| link.kind == "macvlan").count(), 1);
        });
    }
}
