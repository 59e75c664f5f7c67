//! /proc/PID/net/tcp and its like: who listens at which port. proc_pid_net(5), proc_net(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::lines::{fields, lines, number, split_once};

/// The transport, by the kernel's table of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6, and over IPv4 where the socket is not of IPv6 alone.
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6.
    Udp6,
}

/// A port that something listens at; of UDP one that is bound and connected with nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listening {
    /// The port.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
}

/// A socket that listens, or of UDP one that is bound and connected with nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Its own address, unspecified for every one of the namespace.
    pub address: IpAddr,
    /// Its inode, by which the descriptors of it are known: `socket:[18]`.
    pub inode: u64,
}

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    address: IpAddr,
    port: u16,
    state: u8,
    inode: u64,
}

/// <net/tcp_states.h>: `TCP_LISTEN`, and `TCP_CLOSE`, in which the kernel shows a socket of UDP without a peer.
const LISTEN: u8 = 10;
const CLOSE: u8 = 7;

impl Protocol {
    /// Every table.
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Tcp6, Self::Udp, Self::Udp6];

    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Tcp => "net/tcp",
            Self::Tcp6 => "net/tcp6",
            Self::Udp => "net/udp",
            Self::Udp6 => "net/udp6",
        }
    }
}

impl Socket {
    pub(crate) fn listening(self, protocol: Protocol) -> Option<Listening> {
        self.listener(protocol).map(|Listener { port, protocol, .. }| Listening { port, protocol })
    }

    pub(crate) fn listener(self, protocol: Protocol) -> Option<Listener> {
        let wanted = if matches!(protocol, Protocol::Tcp | Protocol::Tcp6) { LISTEN } else { CLOSE };
        let Self { address, port, state, inode } = self;
        (state == wanted).then_some(Listener { port, protocol, address, inode })
    }
}

/// Parses a table, which has a heading.
pub(crate) fn parse(file: &[u8]) -> Option<Vec<Socket>> {
    let hexadecimal = |text: &[u8]| u16::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
    let socket = |line| {
        let mut fields = fields(line).skip(1);
        let (own, port) = split_once(fields.next()?, b':')?;
        let state = hexadecimal(fields.nth(1)?)?;
        Some(Socket {
            address: address(own)?,
            port: hexadecimal(port)?,
            state: u8::try_from(state).ok()?,
            inode: number(fields.nth(5)?)?,
        })
    };
    lines(file).skip(1).map(socket).collect()
}

/// An address: words of 32 bits, each as the machine that it is read on would print the number.
fn address(text: &[u8]) -> Option<IpAddr> {
    let word = |text: &[u8]| u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(text)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (place, text) in bytes.chunks_exact_mut(4).zip(text.chunks_exact(8)) {
                place.copy_from_slice(&word(text)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &[u8] = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18 1 0 100 0 0 10 0\n   \
        1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 19 1 0 20 4 30 10 -1\n";

    #[test]
    fn the_socket_that_listens_is_told_from_its_connection() {
        let sockets = parse(TABLE).unwrap();
        let found: Vec<_> = sockets.into_iter().filter_map(|socket| socket.listening(Protocol::Tcp)).collect();
        assert_eq!(found, [Listening { port: 8080, protocol: Protocol::Tcp }]);
        let sockets = parse(TABLE).unwrap();
        let found: Vec<_> = sockets.into_iter().filter_map(|socket| socket.listener(Protocol::Tcp)).collect();
        let address = if cfg!(target_endian = "little") { [127, 0, 0, 1] } else { [1, 0, 0, 127] }.into();
        assert_eq!(found, [Listener { port: 8080, protocol: Protocol::Tcp, address, inode: 18 }]);
    }

    #[test]
    fn an_address_is_read_as_the_kernel_prints_it() {
        let bytes: Vec<String> = Ipv6Addr::LOCALHOST
            .octets()
            .chunks(4)
            .map(|word| format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap())))
            .collect();
        assert_eq!(address(bytes.concat().as_bytes()), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!((address(b"0100007"), address(b"0100007G")), (None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
