//! Netlink: messages as bytes, a socket on which the kernel answers, and what is said on it of links and addresses.
//!
//! A message has a header, a part that its kind has always, and attributes, which may hold attributes; all are padded to
//! four bytes. netlink(7), <linux/netlink.h>.
#![forbid(unsafe_code)]

pub mod link;
pub mod nftables;
pub mod route;
mod socket;
pub mod traffic;

pub use crate::socket::{Protocol, Socket};
pub use error::Errno;

/// The header of a message: `struct nlmsghdr`.
const HEADER: usize = 16;
/// A set of attributes: `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// What a message is to do: bits of a header's flags.
pub mod flag {
    /// A request; every message to the kernel is one.
    pub const REQUEST: u16 = 1;
    /// The kernel says whether it was done.
    pub const ACK: u16 = 4;
    /// Everything of the kind that is asked for.
    pub const DUMP: u16 = 0x300;
    /// What is to be made must not be there.
    pub const EXCLUSIVE: u16 = 0x200;
    /// What is not there is made.
    pub const CREATE: u16 = 0x400;
    /// Behind what is there.
    pub const APPEND: u16 = 0x800;
}

/// Kinds of messages that every protocol has.
pub mod kind {
    /// Whether a request was done.
    pub const ERROR: u16 = 2;
    /// The end of a dump.
    pub const DONE: u16 = 3;
}

/// A message. It has no sequence number: one thing at a time is said on a [`Socket`].
#[must_use]
pub fn message(kind: u16, flags: u16, fixed: &[u8], attributes: &[u8]) -> Vec<u8> {
    let length = HEADER + fixed.len() + attributes.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(fixed);
    bytes.extend_from_slice(attributes);
    bytes
}

/// An attribute. One of 64 KiB and more has no valid length, and the kernel refuses it.
#[must_use]
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
    bytes.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

/// An attribute that holds attributes.
#[must_use]
pub fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(NESTED | kind, attributes)
}

/// An attribute that is a text, which the kernel wants ended.
#[must_use]
pub fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// The messages of a datagram, up to one that is cut off: their kinds and what is behind their headers.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (kind, payload, next) = split(rest)?;
        rest = next;
        Some((kind, payload))
    })
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (length, behind) = bytes.split_first_chunk::<4>()?;
    let (kind, _) = behind.split_first_chunk::<2>()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let payload = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes(*kind), payload, next))
}

/// What a message of the kind [`kind::ERROR`] says: that a request was done, or why not. `None` for what is no errno.
#[must_use]
pub fn acknowledgement(payload: &[u8]) -> Option<Result<(), Errno>> {
    let (errno, _) = payload.split_first_chunk::<4>()?;
    Some(match i32::from_ne_bytes(*errno).checked_neg()? {
        0 => Ok(()),
        errno @ 1..4096 => Err(Errno::from_raw_os_error(errno)),
        _ => Err(Errno::PROTO),
    })
}

/// The attributes in `bytes`, by kind, up to one that is cut off.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (kind, _) = behind.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes(*kind) & !NESTED, value))
    })
}

/// The first attribute of a kind.
#[must_use]
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_attribute_is_padded_and_its_length_is_not() {
        assert_eq!(text(1, "t"), [6, 0, 1, 0, b't', 0, 0, 0]);
        assert_eq!(attribute(2, &[0, 0, 0, 3]), [8, 0, 2, 0, 0, 0, 0, 3]);
        assert_eq!(nested(4, &[]), [4, 0, 4, 0x80]);
        let both = [nested(4, &text(1, "t")), attribute(2, &[9])].concat();
        assert_eq!(find(find(&both, 4).unwrap(), 1), Some(&b"t\0"[..]));
        assert_eq!(find(&both, 2), Some(&[9][..]));
        assert_eq!(find(&both, 3), None);
    }

    #[test]
    fn a_datagram_is_the_messages_that_are_whole() {
        let two = [message(20, 0, &[1, 2, 3, 4], &[]), message(kind::DONE, 0, &[0; 4], &[])].concat();
        assert_eq!(messages(&two).collect::<Vec<_>>(), [(20, &[1, 2, 3, 4][..]), (kind::DONE, &[0; 4][..])]);
        assert_eq!(messages(&two[..two.len() - 1]).count(), 1);
    }

    #[test]
    fn a_refusal_is_its_errno() {
        let said = |errno: i32| acknowledgement(&errno.to_ne_bytes());
        assert_eq!(said(-2), Some(Err(Errno::NOENT)));
        assert_eq!(said(0), Some(Ok(())));
        assert_eq!(said(i32::MIN), None);
        assert_eq!(said(1), Some(Err(Errno::PROTO)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_messages_and_attributes_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for (_, payload) in messages(&bytes) {
                let _ = attributes(payload).count();
            }
        }
    }
}
