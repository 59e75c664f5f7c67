//! Links and their addresses. rtnetlink(7), <linux/if_link.h>, <linux/if_addr.h>.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::{Errno, Socket, attribute, attributes, find, flag, kind, message, text};

/// The longest name of a link, in bytes: `IFNAMSIZ` with the NUL that ends it is one more.
pub const LONGEST_NAME: usize = 15;

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
pub(crate) const SET_LINK: u16 = 19;
pub(crate) const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;

/// <linux/net_namespace.h>: what a namespace calls another.
const GET_NSID: u16 = 90;
const NEW_NSID: u16 = 88;
const NSID: u16 = 1;
const NSID_DESCRIPTOR: u16 = 3;
/// `struct rtgenmsg`, padded.
const GENERIC_HEADER: usize = 4;
/// `struct ifinfomsg`.
pub(crate) const LINK_HEADER: usize = 16;

const LINK_NAME: u16 = 3;
/// `IFLA_LINK` and `IFLA_LINK_NETNSID`: the other end of a pair, and the namespace that it is in.
const LINK_PEER: u16 = 5;
const LINK_PEER_NSID: u16 = 37;
const LINK_NAMESPACE: u16 = 28;
pub(crate) const UP: u32 = 1;

const ADDRESS_LABEL: u16 = 3;
const ADDRESS_FLAGS: u16 = 8;
/// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_BROADCAST`, `IFA_RT_PRIORITY`, `IFA_PROTO`: what is the same in another namespace.
const KEPT: [u16; 5] = [1, 2, 4, 9, 11];
/// What was chosen for an address: `IFA_F_NODAD`, `HOMEADDRESS`, `MANAGETEMPADDR`, `NOPREFIXRoute`, `MCAUTOJOIN`. The other
/// flags tell of its state.
const CHOSEN: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
const PERMANENT: u32 = 0x80;
/// Valid everywhere: `RT_SCOPE_UNIVERSE`.
const UNIVERSE: u8 = 0;

/// An address of a link, as it can be given to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    attributes: Vec<u8>,
}

/// The number of the link of this name.
///
/// # Errors
/// `ENODEV` where there is none.
pub fn link(socket: &Socket, name: &str) -> Result<u32, Errno> {
    let mut index = Err(Errno::PROTO);
    let asked = message(GET_LINK, flag::REQUEST | flag::ACK, &link_header(0, 0), &text(LINK_NAME, name));
    socket.request(&asked, |kind, payload| {
        if let Some(number) = number(payload, 4).filter(|_| kind == NEW_LINK) {
            index = Ok(number);
        }
    })?;
    index
}

/// A link whose other end is in another namespace, as each of a pair of veth has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// The number that the other end has there.
    pub peer: u32,
    /// What the socket's namespace calls the one that the other end is in.
    pub nsid: u32,
}

/// The links that have their other end in another namespace.
///
/// # Errors
/// The kernel's.
pub fn paired(socket: &Socket) -> Result<Vec<Paired>, Errno> {
    let mut found = Vec::new();
    let mut refused = Ok(());
    socket.say(
        &message(GET_LINK, flag::REQUEST | flag::DUMP, &link_header(0, 0), &[]),
        |kind, payload| match kind {
            NEW_LINK => found.extend(pair(payload)),
            kind::ERROR => refused = crate::acknowledgement(payload).unwrap_or(Err(Errno::PROTO)),
            _ => {}
        },
    )?;
    refused.map(|()| found)
}

fn pair(payload: &[u8]) -> Option<Paired> {
    let attributes = payload.get(LINK_HEADER..)?;
    let name = find(attributes, LINK_NAME)?;
    Some(Paired {
        name: String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned(),
        index: number(payload, 4)?,
        peer: number(find(attributes, LINK_PEER)?, 0)?,
        nsid: number(find(attributes, LINK_PEER_NSID)?, 0)?,
    })
}

/// What the socket's namespace calls another; `None` where it has no number for it, since no link leads there.
///
/// # Errors
/// The kernel's.
pub fn nsid(socket: &Socket, namespace: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    let mut found = None;
    let named = attribute(NSID_DESCRIPTOR, &namespace.as_raw_fd().to_ne_bytes());
    let asked = message(GET_NSID, flag::REQUEST | flag::ACK, &[0; GENERIC_HEADER], &named);
    socket.request(&asked, |kind, payload| {
        let told = payload.get(GENERIC_HEADER..).filter(|_| kind == NEW_NSID);
        found = told.and_then(|told| number(find(told, NSID)?, 0)).or(found);
    })?;
    // -1 is no number.
    Ok(found.filter(|nsid| i32::try_from(*nsid).is_ok()))
}

/// The addresses of a link that somebody has given it for good and that are valid everywhere, in their order.
///
/// # Errors
/// The kernel's.
pub fn addresses(socket: &Socket, link: u32) -> Result<Vec<Address>, Errno> {
    let mut found = Vec::new();
    let mut refused = Ok(());
    socket.say(&message(GET_ADDRESS, flag::REQUEST | flag::DUMP, &[0; 8], &[]), |kind, payload| match kind {
        NEW_ADDRESS => found.extend(lasting(payload, link)),
        kind::ERROR => refused = crate::acknowledgement(payload).unwrap_or(Err(Errno::PROTO)),
        _ => {}
    })?;
    refused.map(|()| found)
}

/// An address, if it is one that lasts and of this link: `struct ifaddrmsg` and its attributes.
fn lasting(payload: &[u8], link: u32) -> Option<Address> {
    let [family, prefix, flags, scope] = *payload.first_chunk::<4>()?;
    let told = payload.get(8..)?;
    let flags = find(told, ADDRESS_FLAGS).and_then(|value| number(value, 0)).unwrap_or_else(|| u32::from(flags));
    if number(payload, 4)? != link || scope != UNIVERSE || flags & PERMANENT == 0 {
        return None;
    }
    let kept = attributes(told).filter(|(kind, _)| KEPT.contains(kind));
    let mut attributes: Vec<u8> = kept.flat_map(|(kind, value)| attribute(kind, value)).collect();
    attributes.extend(attribute(ADDRESS_FLAGS, &(flags & CHOSEN).to_ne_bytes()));
    Some(Address { family, prefix, attributes })
}

/// Gives a link an address. `name` is the link's: an IPv4 address bears it as a label.
///
/// # Errors
/// `EEXIST` where it has it; `EACCES` for IPv6 where that is switched off.
pub fn add_address(socket: &Socket, (link, name): (u32, &str), address: &Address) -> Result<(), Errno> {
    const INET: u8 = 2;
    let Address { family, prefix, .. } = *address;
    let [a, b, c, d] = link.to_ne_bytes();
    let mut attributes = address.attributes.clone();
    if family == INET {
        attributes.extend(text(ADDRESS_LABEL, name));
    }
    let flags = flag::REQUEST | flag::ACK | flag::CREATE | flag::EXCLUSIVE;
    let said = message(NEW_ADDRESS, flags, &[family, prefix, 0, UNIVERSE, a, b, c, d], &attributes);
    socket.request(&said, |_, _| {})
}

/// Moves a link to another namespace and gives it a name there, which must be free: else the kernel may have moved it when
/// it refuses. It is down then, and without addresses.
///
/// # Errors
/// `EINVAL` for a link that belongs to its namespace, as the loopback does; `EEXIST` where a link there has the name.
pub fn move_link(socket: &Socket, link: u32, namespace: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let to = [attribute(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes()), text(LINK_NAME, name)].concat();
    socket.request(&message(SET_LINK, flag::REQUEST | flag::ACK, &link_header(link, 0), &to), |_, _| {})
}

/// Sets a link up.
///
/// # Errors
/// The kernel's, or those of the link's driver.
pub fn set_up(socket: &Socket, link: u32) -> Result<(), Errno> {
    socket.request(&message(SET_LINK, flag::REQUEST | flag::ACK, &link_header(link, UP), &[]), |_, _| {})
}

/// `struct ifinfomsg`: the link, and the flags that are set.
pub(crate) fn link_header(link: u32, set: u32) -> Vec<u8> {
    [0, link, set, set].map(u32::to_ne_bytes).concat()
}

pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let value = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(scope: u8, flags: u32) -> Vec<u8> {
        let local = [192, 0, 2, 7];
        let parts = [
            vec![2, 24, 0x80, scope, 5, 0, 0, 0],
            attribute(1, &local),
            attribute(2, &local),
            text(ADDRESS_LABEL, "eth0"),
            attribute(ADDRESS_FLAGS, &flags.to_ne_bytes()),
            attribute(6, &[0xff; 16]),
        ];
        parts.concat()
    }

    #[test]
    fn a_link_is_paired_where_its_other_end_is_elsewhere() {
        let alone = [link_header(7, 0), text(LINK_NAME, "veth9")].concat();
        let here = [alone.clone(), attribute(LINK_PEER, &2_u32.to_ne_bytes())].concat();
        let away = [here.clone(), attribute(LINK_PEER_NSID, &3_u32.to_ne_bytes())].concat();
        assert_eq!((pair(&alone), pair(&here), pair(&[])), (None, None, None));
        assert_eq!(pair(&away), Some(Paired { name: "veth9".to_owned(), index: 7, peer: 2, nsid: 3 }));
    }

    #[test]
    fn addresses_are_kept_that_are_permanent_and_valid_everywhere() {
        let kept = lasting(&told(UNIVERSE, PERMANENT | 0x200 | 0x40), 5).unwrap();
        assert_eq!((kept.family, kept.prefix), (2, 24));
        assert_eq!(find(&kept.attributes, 2), Some(&[192, 0, 2, 7][..]));
        assert_eq!(find(&kept.attributes, ADDRESS_FLAGS), Some(&0x200_u32.to_ne_bytes()[..]));
        assert_eq!(attributes(&kept.attributes).count(), 3, "neither the label nor the ages");
        assert_eq!(lasting(&told(UNIVERSE, PERMANENT), 6), None, "another link's");
        assert_eq!(lasting(&told(253, PERMANENT), 5), None, "of the link alone");
        assert_eq!(lasting(&told(UNIVERSE, 0), 5), None, "for a time");
        assert_eq!(lasting(&[2, 24], 5), None);
    }

    #[test]
    fn a_link_is_set_up_and_nothing_else_of_it() {
        assert_eq!(link_header(5, UP), [0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    }
}

#[cfg(test)]
mod kernel {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use sys::namespace::Kinds;

    use super::*;
    use crate::Protocol::Route;

    /// Runs in a net namespace of its own.
    fn alone(test: fn()) {
        let run = move || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            test();
        };
        std::thread::spawn(run).join().unwrap();
    }

    #[test]
    fn the_loopback_is_found_set_up_and_stays_where_it_is() {
        alone(|| {
            let socket = Socket::open(Route).unwrap();
            let lo = link(&socket, "lo").unwrap();
            assert_eq!((lo, link(&socket, "nosuch")), (1, Err(Errno::NODEV)));
            set_up(&socket, lo).unwrap();
            assert_eq!(addresses(&socket, lo), Ok(Vec::new()), "those of the loopback are the host's alone");
            let local = attribute(2, &[192, 0, 2, 7]);
            let address = Address { family: 2, prefix: 24, attributes: [local, attribute(8, &[0; 4])].concat() };
            add_address(&socket, (lo, "lo"), &address).unwrap();
            let [found] = addresses(&socket, lo).unwrap().try_into().unwrap();
            assert_eq!(find(&found.attributes, 2), Some(&[192, 0, 2, 7][..]));
            let home = File::open("/proc/thread-self/ns/net").unwrap();
            sys::namespace::unshare(Kinds::NET).unwrap();
            let there = File::open("/proc/thread-self/ns/net").unwrap();
            assert_eq!(move_link(&socket, lo, there.as_fd(), "lo1"), Err(Errno::INVAL));
            sys::namespace::join(home.as_fd(), Kinds::NET).unwrap();
            let beyond = Socket::open_in(there.as_fd(), home.as_fd(), Route).unwrap();
            assert_eq!(addresses(&beyond, lo), Ok(Vec::new()));
            assert_eq!(add_address(&beyond, (lo, "lo"), &found), Ok(()));
            assert_eq!(add_address(&beyond, (lo, "lo"), &found), Err(Errno::EXIST));
            assert_eq!(addresses(&beyond, lo), Ok(vec![found]));
        });
    }
}
