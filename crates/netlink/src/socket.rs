//! A netlink socket on which the kernel alone is heard, and one thing at a time is said. netlink(7).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Errno, Result};
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use sys::namespace::Kinds;

use crate::{acknowledgement, kind, messages};

/// The largest datagram that the kernel makes for a dump.
const DATAGRAM: usize = 32 << 10;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes: `NETLINK_ROUTE`.
    Route,
    /// nftables and the rest of netfilter: `NETLINK_NETFILTER`.
    Netfilter,
}

/// A socket of one network namespace.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// One of the caller's network namespace. It is connected: a process of the namespace could send to one that is not.
    ///
    /// # Errors
    /// A kernel error: `EPROTONOSUPPORT` where the kernel does not know the protocol.
    pub fn open(protocol: Protocol) -> Result<Self> {
        let number = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(NETFILTER),
        };
        let made = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number);
        let socket = made.doing(|| "open a netlink socket")?;
        rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0)).doing(|| "connect to netlink")?;
        Ok(Self(socket))
    }

    /// One of another namespace. The calling thread is in it for the moment that a socket takes to be made, and then in
    /// `home` again.
    ///
    /// # Errors
    /// As [`Socket::open`]; `EPERM` without `CAP_SYS_ADMIN` there. When the caller could not return it is in the wrong
    /// namespace, and must do nothing more that needs the right one.
    pub fn open_in(namespace: BorrowedFd<'_>, home: BorrowedFd<'_>, protocol: Protocol) -> Result<Self> {
        sys::namespace::join(namespace, Kinds::NET).doing(|| "join a net namespace")?;
        let socket = Self::open(protocol);
        sys::namespace::join(home, Kinds::NET).doing(|| "return to carboy's own net namespace")?;
        socket
    }

    /// Says something, and gives each message of the answer, by its kind.
    ///
    /// The kernel answers before the sending is over, or, for what takes several datagrams, when it is asked for the next.
    ///
    /// # Errors
    /// The errno of the socket; what was said of the request is among the messages.
    pub fn say(&self, said: &[u8], mut hear: impl FnMut(u16, &[u8])) -> std::result::Result<(), Errno> {
        rustix::net::send(self.0.as_fd(), said, SendFlags::empty())?;
        let mut datagram = vec![0_u8; DATAGRAM];
        loop {
            match rustix::net::recv(self.0.as_fd(), datagram.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    let answer = datagram.get(..length).unwrap_or_default();
                    messages(answer).for_each(|(kind, payload)| hear(kind, payload));
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Has something done, of which the last part wants an acknowledgement; gives what it tells besides.
    ///
    /// # Errors
    /// Why it was not done; `EPROTO` where that is not said.
    pub fn request(&self, said: &[u8], mut hear: impl FnMut(u16, &[u8])) -> std::result::Result<(), Errno> {
        let mut done = None;
        self.say(said, |kind, payload| match kind {
            kind::ERROR => {
                let told = acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
                if !matches!(done, Some(Err(_))) {
                    done = Some(told);
                }
            }
            kind => hear(kind, payload),
        })?;
        done.unwrap_or(Err(Errno::PROTO))
    }
}
