//! The resolver of a network: what its containers call each other it knows itself, and for other names it asks the servers
//! of the host. DNS: RFC 1034, 1035; negative answers: RFC 2308; EDNS: RFC 6891; TCP: RFC 7766; one question: RFC 9619.
//!
//! ```text
//! message    a query and a zone to an answer (pure)
//! servers    whom the host asks: resolv.conf(5)
//! question   a query that others must answer: its sockets, whom it was sent to, until when
//! client     a connection of a container, by TCP
//! serve      the loop that waits for all of them
//! ```

mod client;
mod message;
mod question;
mod serve;
mod servers;

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

pub use message::{Answer, Transport, answer};
pub use serve::serve;
pub use servers::{Server, Servers};

/// The names and the addresses of a network.
pub trait Zone {
    /// Takes up what has changed. It is called after queries were received and before they are answered: what was true
    /// before a query was sent is known when it is answered.
    fn refresh(&mut self) {}

    /// What is readable when something has changed.
    fn changes(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What who asks from this address may know.
    fn standing(&self, asker: IpAddr) -> Standing;

    /// The addresses that a name has for who asks; `None` for a name that is not of the zone. The name is in small letters
    /// and has no dot at its end.
    fn addresses(&self, asker: IpAddr, name: &str) -> Option<Vec<IpAddr>>;

    /// The names that an address has for who asks; none for one of the zone that nobody has, `None` for one that is not of
    /// the zone.
    fn names(&self, asker: IpAddr, of: IpAddr) -> Option<Vec<String>>;

    /// Whom else who asks wants to be asked; without any it is whom the host asks.
    fn servers(&self, _asker: IpAddr) -> &[IpAddr] {
        &[]
    }
}

/// What somebody who asks may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it is not of the network.
    Stranger,
    /// The names of the zone. What it asks leaves the host no more than its packets do.
    Inside,
    /// Whatever the host does.
    Everywhere,
}

/// Where a network asks: one address, by UDP and by TCP.
#[derive(Debug)]
pub struct Door {
    /// Bound.
    pub udp: UdpSocket,
    /// Listening.
    pub tcp: TcpListener,
    /// Whose addresses its own is one of.
    pub side: Side,
}

/// A network namespace, as it is to who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The one in which it asks others.
    Own,
    /// Another one.
    Other,
}

impl Door {
    /// Whether it itself would be asked at this address, at whichever port the door is to which queries are led.
    fn is_at(&self, address: IpAddr) -> bool {
        let own = [self.udp.local_addr(), self.tcp.local_addr()];
        let is_it = |own: IpAddr| own == address || own.is_unspecified() && address.is_loopback();
        self.side == Side::Own && own.into_iter().flatten().any(|own| is_it(own.ip()))
    }
}
