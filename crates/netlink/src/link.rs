//! Links that are made and removed, the addresses they get for good, and the routes of a namespace. rtnetlink(7),
//! <linux/if_link.h>, <linux/rtnetlink.h>.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::route::{LINK_HEADER, NEW_ADDRESS, SET_LINK, UP, link_header, number};
use crate::{Errno, Socket, attribute, attributes, find, flag, kind, message, nested, text};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

const HARDWARE_ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const PARENT: u16 = 5;
const MASTER: u16 = 10;
const OPERATION: u16 = 16;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const ALIAS: u16 = 20;
const NAMESPACE: u16 = 28;
const PARENT_NAMESPACE: u16 = 37;

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

/// Makes a link that sends what comes by another as if it had never left it: `ifb`, to have a queue for that. It is up.
///
/// # Errors
/// `EEXIST` where a link has its name; `EOPNOTSUPP` where the kernel has no such links.
pub fn make_detour(socket: &Socket, traits: &Traits<'_>) -> Result<(), Errno> {
    make(socket, &link_header(0, UP), &[traits.attributes(), info("ifb", &[])])
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

/// Lets a bridge send what comes from one of its ports, by its name, back by the same: a container that reaches itself by
/// the host.
///
/// # Errors
/// `ENODEV` where the link is none; `EOPNOTSUPP` where it is no bridge's port.
pub fn send_back(socket: &Socket, port: &str) -> Result<(), Errno> {
    const MASTER_KIND: u16 = 4;
    const PORT_DATA: u16 = 5;
    const HAIRPIN: u16 = 4;
    let info = [text(MASTER_KIND, "bridge"), nested(PORT_DATA, &attribute(HAIRPIN, &[1]))].concat();
    let said = [text(NAME, port), nested(INFO, &info)].concat();
    socket.request(&message(NEW_LINK, flag::REQUEST | flag::ACK, &link_header(0, 0), &said), |_, _| {})
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

/// Writes on a link, at most 255 bytes: its alias, as ip-link(8) calls that.
///
/// # Errors
/// `EINVAL` where it is longer; `ENODEV` where there is no such link.
pub fn write_on(socket: &Socket, link: u32, words: &str) -> Result<(), Errno> {
    let said = message(SET_LINK, flag::REQUEST | flag::ACK, &link_header(link, 0), &text(ALIAS, words));
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
    /// What it is fit for.
    pub state: State,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Its hardware address; empty where it has none.
    pub hardware: Vec<u8>,
    /// What it is joined to: the other end of a pair, the link that it shares or lies on.
    pub other: Option<Other>,
    /// What is written on it; empty where nothing is.
    pub alias: String,
}

/// What a link is fit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It carries packets, or does not tell: `IF_OPER_UP`, `IF_OPER_UNKNOWN`.
    Up,
    /// Nobody has set it up.
    Down,
    /// It is set up and does not carry packets, as where its other end is down.
    NoCarrier,
}

/// A link that another is joined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// Its number.
    pub index: u32,
    /// What the socket's namespace calls the one that it is in; `None` where it is the same.
    pub nsid: Option<u32>,
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
        state: state(number(payload, 8)?, find(told, OPERATION).and_then(|word| word.first().copied())),
        mtu: find(told, MTU).and_then(|mtu| number(mtu, 0)),
        hardware: find(told, HARDWARE_ADDRESS).unwrap_or_default().to_vec(),
        other: find(told, PARENT).and_then(|index| {
            let nsid = find(told, PARENT_NAMESPACE).and_then(|nsid| number(nsid, 0));
            number(index, 0).filter(|index| *index != 0).map(|index| Other { index, nsid })
        }),
        alias: find(told, ALIAS).map(word).unwrap_or_default(),
    })
}

/// By the flags, and by `IFLA_OPERSTATE`.
const fn state(flags: u32, operation: Option<u8>) -> State {
    const UNKNOWN: u8 = 0;
    const IS_UP: u8 = 6;
    match operation {
        _ if flags & UP == 0 => State::Down,
        None | Some(UNKNOWN | IS_UP) => State::Up,
        Some(_) => State::NoCarrier,
    }
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// The number of the link.
    pub link: u32,
    /// The link's own address.
    pub address: IpAddr,
    /// How many bits of it all on the link have in common.
    pub prefix: u8,
}

/// Every address of the links of the socket's namespace, in the kernel's order.
///
/// # Errors
/// The kernel's.
pub fn assigned(socket: &Socket) -> Result<Vec<Assigned>, Errno> {
    let mut found = Vec::new();
    let mut refused = Ok(());
    socket.say(&message(GET_ADDRESS, flag::REQUEST | flag::DUMP, &[0; 8], &[]), |kind, payload| match kind {
        NEW_ADDRESS => found.extend(assigned_by(payload)),
        kind::ERROR => refused = crate::acknowledgement(payload).unwrap_or(Err(Errno::PROTO)),
        _ => {}
    })?;
    refused.map(|()| found)
}

fn assigned_by(payload: &[u8]) -> Option<Assigned> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    let told = payload.get(8..)?;
    // Of a link with one other end, the first is that end's.
    let own = find(told, LOCAL).or_else(|| find(told, ADDRESS))?;
    Some(Assigned { link: number(payload, 4)?, address: address(own)?, prefix: *payload.get(1)? })
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
    Ok(routes(socket)?.iter().any(|route| route.to.is_ipv4() == like.is_ipv4() && route.prefix == 0))
}

/// Where the routes of the socket's namespace lead, but for those to everywhere and those within this host: each
/// destination and its prefix.
///
/// # Errors
/// The kernel's.
pub fn destinations(socket: &Socket) -> Result<Vec<(IpAddr, u8)>, Errno> {
    let routes = routes(socket)?;
    Ok(routes.iter().filter(|route| route.prefix > 0).map(|route| (route.to, route.prefix)).collect())
}

/// A way to a part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads: an address of which `prefix` bits count.
    pub to: IpAddr,
    /// How many bits of it count; 0 for everywhere.
    pub prefix: u8,
    /// Who passes it on.
    pub gateway: Option<IpAddr>,
    /// The number of the link.
    pub link: Option<u32>,
    /// What is sent bears this address, where nothing else is said.
    pub source: Option<IpAddr>,
    /// Of several, that of the lowest number holds.
    pub metric: u32,
    /// The table: `RT_TABLE_MAIN` is 254.
    pub table: u32,
    /// Whether it leads there at all.
    pub verdict: Way,
}

/// What becomes of what is sent by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is sent.
    Sent,
    /// Nothing is: `RTN_BLACKHOLE`.
    Blackhole,
    /// The sender is told that it does not get there: `RTN_UNREACHABLE`.
    Unreachable,
    /// The sender is told that it is not allowed: `RTN_PROHIBIT`.
    Prohibited,
}

/// The routes of the socket's namespace, but for those of the local table and those of other kinds than [`Way`]. One with
/// several next hops is there for each of them.
///
/// # Errors
/// The kernel's.
pub fn routes(socket: &Socket) -> Result<Vec<Route>, Errno> {
    let mut found = Vec::new();
    let mut refused = Ok(());
    let asked = message(GET_ROUTE, flag::REQUEST | flag::DUMP, &[0; 12], &[]);
    socket.say(&asked, |kind, payload| match kind {
        NEW_ROUTE => found.extend(route(payload).into_iter().flatten()),
        kind::ERROR => refused = crate::acknowledgement(payload).unwrap_or(Err(Errno::PROTO)),
        _ => {}
    })?;
    refused.map(|()| found)
}

/// `struct rtmsg` and its attributes.
fn route(payload: &[u8]) -> Option<Vec<Route>> {
    const DESTINATION: u16 = 1;
    const OUT_LINK: u16 = 4;
    const GATEWAY: u16 = 5;
    const METRIC: u16 = 6;
    const SOURCE: u16 = 7;
    const NEXT_HOPS: u16 = 9;
    const TABLE: u16 = 15;
    const LOCAL_TABLE: u32 = 255;
    let (&[family, prefix, _, _, table, _, _, kind], told) = payload.split_first_chunk::<8>()?;
    let told = told.get(4..)?;
    let value = |kind| find(told, kind).and_then(|value| number(value, 0));
    let everywhere = if family == 2 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let one = Route {
        to: find(told, DESTINATION).map_or(Some(everywhere), address)?,
        prefix,
        gateway: find(told, GATEWAY).and_then(address),
        link: value(OUT_LINK),
        source: find(told, SOURCE).and_then(address),
        metric: value(METRIC).unwrap_or(0),
        table: value(TABLE).unwrap_or(table.into()),
        verdict: match kind {
            1 => Way::Sent,
            6 => Way::Blackhole,
            7 => Way::Unreachable,
            8 => Way::Prohibited,
            _ => return None,
        },
    };
    if one.table == LOCAL_TABLE || !matches!(family, 2 | 10) {
        return None;
    }
    let Some(mut rest) = find(told, NEXT_HOPS) else { return Some(vec![one]) };
    let mut all = Vec::new();
    // `struct rtnexthop`: its length, flags, hops, the link; then attributes.
    while let Some(length) = rest.first_chunk::<2>().map(|length| usize::from(u16::from_ne_bytes(*length))) {
        let Some(said) = rest.get(8..length) else { break };
        let gateway = attributes(said).find(|(kind, _)| *kind == GATEWAY).and_then(|(_, value)| address(value));
        all.push(Route { gateway, link: number(rest, 4), ..one });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(all)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_route_of_several_hops_is_there_for_each() {
        let hop = |link: u8, gateway: [u8; 4]| {
            let said = attribute(5, &gateway);
            let length = u16::try_from(8 + said.len()).unwrap().to_ne_bytes();
            [&length[..], &[0, 0, link, 0, 0, 0], &said].concat()
        };
        let hops = [hop(2, [192, 0, 2, 1]), hop(3, [192, 0, 2, 2])].concat();
        let payload = [&[2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0][..], &attribute(9, &hops)].concat();
        let found = route(&payload).unwrap();
        let told: Vec<_> = found.iter().map(|route| (route.link, route.gateway.unwrap().to_string())).collect();
        assert_eq!(told, [(Some(2), "192.0.2.1".to_owned()), (Some(3), "192.0.2.2".to_owned())]);
        assert_eq!(route(&[2, 0, 0, 0, 255, 4, 0, 1, 0, 0, 0, 0]), None, "of the local table");
    }

    #[test]
    fn a_link_is_up_where_it_carries_packets() {
        let states = [(0, Some(6)), (1, Some(6)), (1, Some(0)), (1, None), (1, Some(3))].map(|(f, o)| state(f, o));
        assert_eq!(states, [State::Down, State::Up, State::Up, State::Up, State::NoCarrier]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_link_an_address_or_a_route_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (listed(&bytes), assigned_by(&bytes), route(&bytes));
        }
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
            send_back(&here, "v9").unwrap();
            assert_eq!(mode_of_port(&here, "v9"), Some(vec![1]));
            assert_eq!(send_back(&here, "br9"), Err(Errno::OPNOTSUPP));
            assert_eq!(send_back(&here, "nobody"), Err(Errno::NODEV));
            let own = all(&beyond).unwrap().into_iter().find(|link| link.name == "eth0").unwrap();
            assert_eq!((own.state, own.mtu, own.hardware.as_slice()), (State::Up, Some(1500), &[2, 0, 0, 0, 0, 9][..]));
            assert_eq!(own.other.map(|other| other.index), Some(port.index));
            assert!(own.other.unwrap().nsid.is_some() && port.other.unwrap().index == eth0);
            let nine = Assigned { link: eth0, address: ip("192.0.2.9"), prefix: 24 };
            assert!(assigned(&beyond).unwrap().contains(&nine));
            let default = routes(&beyond).unwrap().into_iter().find(|route| route.prefix == 0).unwrap();
            assert_eq!((default.gateway, default.link), (Some(ip("192.0.2.1")), Some(eth0)));
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
