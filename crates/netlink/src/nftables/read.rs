//! What nftables has: the rules of every table with what they are made of, and sets with their elements.
//!
//! <linux/netfilter/nf_tables.h>, <linux/netfilter/nf_tables_compat.h>. What is not known here is told by its name.

use super::{
    CHAIN_TYPE, DATA_VALUE, DATA_VERDICT, EXPRESSION_DATA, EXPRESSION_NAME, HEADER, RULE_CHAIN, RULE_EXPRESSIONS,
    RULE_HANDLE, TABLE, kind, message,
};
use crate::{Errno, Socket, attributes, find, flag};

/// Where in the registers a value is: the number of its first 4 bytes.
pub type Part = u32;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The family of its table, `NFPROTO_…`.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its number in its table.
    pub handle: u64,
    /// What it does, in this order, as long as nothing ends it.
    pub expressions: Vec<Expression>,
}

/// A step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads what is known of the packet: `enum nft_meta_keys`.
    Meta(u32, Part),
    /// Sets it.
    SetMeta(u32, Part),
    /// Loads bytes of the packet.
    Payload {
        /// 0 for the link's header, 1 for that of IP, 2 for the one behind it.
        layer: u32,
        /// The first byte.
        offset: u32,
        /// How many.
        length: u32,
        /// Where they are put.
        to: Part,
    },
    /// Writes them.
    SetPayload {
        /// Which header.
        layer: u32,
        /// The first byte.
        offset: u32,
        /// How many.
        length: u32,
        /// What they are from then on.
        from: Part,
    },
    /// Loads what is known of the connection: `enum nft_ct_keys`.
    Connection(u32, Part),
    /// Loads what is known of the socket, and at which level of the tree of groups: `enum nft_socket_keys`.
    Socket(u32, u32, Part),
    /// Loads what the routes say, by `enum nft_fib_result` and `enum nft_fib_flags`.
    Fib(u32, u32, Part),
    /// `to = (from & mask) ^ flip`.
    Bitwise {
        /// The register.
        from: Part,
        /// Where it is put.
        to: Part,
        /// The bits that are kept.
        mask: Vec<u8>,
        /// The bits that are turned over.
        flip: Vec<u8>,
    },
    /// Goes on where it compares so: `enum nft_cmp_ops`.
    Compare(Part, u32, Vec<u8>),
    /// Goes on where it is within, or with 1 where it is without.
    Range(Part, u32, Vec<u8>, Vec<u8>),
    /// Looks a key up.
    Lookup {
        /// The set.
        set: String,
        /// The key.
        key: Part,
        /// Where the value of a map is put.
        value: Option<Part>,
        /// Goes on where it is not there.
        is_inverted: bool,
    },
    /// Loads a value.
    Value(Part, Vec<u8>),
    /// Decides: a negative number or `NF_…`, and a chain.
    Verdict(i32, Option<String>),
    /// Translates an address.
    Translate {
        /// Whether it is the destination's.
        is_destination: bool,
        /// `NFPROTO_…` of the address.
        family: u32,
        /// The address.
        address: Option<Part>,
        /// The port.
        port: Option<Part>,
    },
    /// Sends as from the address of the link.
    Masquerade,
    /// Sends to this host itself, at the port in a register.
    Redirect(Option<Part>),
    /// Counts packets and bytes.
    Counter(u64, u64),
    /// Refuses.
    Reject,
    /// A match of iptables: its name, its revision, its `struct xt_…`.
    Match(String, u32, Vec<u8>),
    /// A target of iptables.
    Target(String, u32, Vec<u8>),
    /// Another one.
    Other(String),
}

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The family of its table.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name; one that belongs to a rule has one that the kernel made up.
    pub name: String,
    /// Its number in its table.
    pub handle: u64,
    /// Whether it belongs to a rule.
    pub is_anonymous: bool,
    /// Whether its elements are ranges.
    pub has_ranges: bool,
    /// What its keys are made of, by the numbers of nft(8).
    pub key: Vec<u32>,
    /// What its values are made of; nothing for a set, and for a map of verdicts or objects.
    pub value: Vec<u32>,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The key, or the first of a range.
    pub key: Vec<u8>,
    /// The last of a range of joined keys.
    pub last: Option<Vec<u8>>,
    /// Whether its key is the first one behind a range.
    pub is_end: bool,
    /// The value.
    pub value: Vec<u8>,
}

/// Hears each rule of the socket's namespace.
///
/// # Errors
/// The kernel's: `EPERM` without `CAP_NET_ADMIN`.
pub fn rules(socket: &Socket, mut hear: impl FnMut(Rule)) -> Result<(), Errno> {
    dump(socket, kind::GET_RULE, &[], |payload| rule(payload).into_iter().for_each(&mut hear))
}

/// Hears each chain, with its type where packets come to it by themselves: `filter`, `nat`.
///
/// # Errors
/// As [`rules`].
pub fn chains(socket: &Socket, mut hear: impl FnMut(super::Chain, Option<String>)) -> Result<(), Errno> {
    dump(socket, kind::GET_CHAIN, &[], |payload| {
        let said = payload.get(HEADER..).unwrap_or_default();
        if let Some(chain) = super::chain_of(kind::NEW_CHAIN, payload) {
            hear(chain, find(said, CHAIN_TYPE).map(word));
        }
    })
}

/// Hears each set.
///
/// # Errors
/// As [`rules`].
pub fn sets(socket: &Socket, mut hear: impl FnMut(Set)) -> Result<(), Errno> {
    dump(socket, kind::GET_SET, &[], |payload| set(payload).into_iter().for_each(&mut hear))
}

/// Hears each element of a set.
///
/// # Errors
/// As [`rules`]; `ENOENT` where the set has gone.
pub fn elements(socket: &Socket, set: &Set, mut hear: impl FnMut(Element)) -> Result<(), Errno> {
    let which = [crate::text(TABLE, &set.table), crate::text(2, &set.name)].concat();
    let asked = message(kind::GET_ELEMENTS, flag::REQUEST | flag::DUMP, [set.family, 0], 0, &which);
    answered(socket, &asked, |payload| {
        let list = payload.get(HEADER..).and_then(|said| find(said, 3)).unwrap_or_default();
        attributes(list).filter_map(|(_, said)| element(said)).for_each(&mut hear);
    })
}

fn dump(socket: &Socket, kind: u16, which: &[u8], hear: impl FnMut(&[u8])) -> Result<(), Errno> {
    answered(socket, &message(kind, flag::REQUEST | flag::DUMP, [0, 0], 0, which), hear)
}

fn answered(socket: &Socket, asked: &[u8], mut hear: impl FnMut(&[u8])) -> Result<(), Errno> {
    let mut refused = Ok(());
    socket.say(asked, |kind, payload| match kind {
        crate::kind::ERROR => refused = crate::acknowledgement(payload).unwrap_or(Err(Errno::PROTO)),
        crate::kind::DONE => {}
        _ => hear(payload),
    })?;
    refused
}

fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn number(said: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(find(said, kind)?.try_into().ok()?))
}

fn long(said: &[u8], kind: u16) -> Option<u64> {
    Some(u64::from_be_bytes(find(said, kind)?.try_into().ok()?))
}

fn value(said: &[u8], kind: u16) -> Option<Vec<u8>> {
    find(find(said, kind)?, DATA_VALUE).map(<[u8]>::to_vec)
}

/// A register's place: `NFT_REG_1` to 4 are four parts wide, and `NFT_REG32_00` is the first part.
fn part(said: &[u8], kind: u16) -> Option<Part> {
    match number(said, kind)? {
        wide @ 1..=4 => Some((wide - 1) * 4),
        narrow => narrow.checked_sub(8),
    }
}

fn rule(payload: &[u8]) -> Option<Rule> {
    let said = payload.get(HEADER..)?;
    let steps = find(said, RULE_EXPRESSIONS).unwrap_or_default();
    Some(Rule {
        family: *payload.first()?,
        table: word(find(said, TABLE)?),
        chain: word(find(said, RULE_CHAIN)?),
        handle: long(said, RULE_HANDLE)?,
        expressions: attributes(steps).filter_map(|(_, step)| step_of(step)).collect(),
    })
}

fn step_of(said: &[u8]) -> Option<Expression> {
    let name = word(find(said, EXPRESSION_NAME)?);
    let data = find(said, EXPRESSION_DATA).unwrap_or_default();
    let known = loads(&name, data).or_else(|| tests(&name, data)).or_else(|| acts(&name, data));
    Some(known.unwrap_or(Expression::Other(name)))
}

fn loads(name: &str, data: &[u8]) -> Option<Expression> {
    Some(match name {
        "meta" => match part(data, 1) {
            Some(to) => Expression::Meta(number(data, 2)?, to),
            None => Expression::SetMeta(number(data, 2)?, part(data, 3)?),
        },
        "payload" => {
            let (layer, offset, length) = (number(data, 2)?, number(data, 3)?, number(data, 4)?);
            match part(data, 1) {
                Some(to) => Expression::Payload { layer, offset, length, to },
                None => Expression::SetPayload { layer, offset, length, from: part(data, 5)? },
            }
        }
        "ct" => Expression::Connection(number(data, 2)?, part(data, 1)?),
        "socket" => Expression::Socket(number(data, 1)?, number(data, 3).unwrap_or(0), part(data, 2)?),
        "fib" => Expression::Fib(number(data, 2)?, number(data, 3)?, part(data, 1)?),
        "bitwise" => Expression::Bitwise {
            from: part(data, 1)?,
            to: part(data, 2)?,
            mask: value(data, 4)?,
            flip: value(data, 5)?,
        },
        _ => return None,
    })
}

fn tests(name: &str, data: &[u8]) -> Option<Expression> {
    Some(match name {
        "cmp" => Expression::Compare(part(data, 1)?, number(data, 2)?, value(data, 3)?),
        "range" => Expression::Range(part(data, 1)?, number(data, 2)?, value(data, 3)?, value(data, 4)?),
        "lookup" => Expression::Lookup {
            set: word(find(data, 1)?),
            key: part(data, 2)?,
            // Register 0 is the verdict's.
            value: part(data, 3),
            is_inverted: number(data, 5).unwrap_or(0) & 1 != 0,
        },
        "match" => Expression::Match(word(find(data, 1)?), number(data, 2).unwrap_or(0), find(data, 3)?.to_vec()),
        _ => return None,
    })
}

fn acts(name: &str, data: &[u8]) -> Option<Expression> {
    Some(match name {
        "immediate" => {
            let loaded = find(data, 2)?;
            match find(loaded, DATA_VERDICT) {
                Some(verdict) => Expression::Verdict(number(verdict, 1)?.cast_signed(), find(verdict, 2).map(word)),
                None => Expression::Value(part(data, 1)?, find(loaded, DATA_VALUE)?.to_vec()),
            }
        }
        "nat" => Expression::Translate {
            is_destination: number(data, 1)? == 1,
            family: number(data, 2)?,
            address: part(data, 3),
            port: part(data, 5),
        },
        "masq" => Expression::Masquerade,
        "redir" => Expression::Redirect(part(data, 1)),
        "counter" => Expression::Counter(long(data, 2)?, long(data, 1)?),
        "reject" => Expression::Reject,
        "target" => Expression::Target(word(find(data, 1)?), number(data, 2).unwrap_or(0), find(data, 3)?.to_vec()),
        _ => return None,
    })
}

/// nft(8) joins the numbers of what a key is made of, six bits each.
fn types(joined: u32) -> Vec<u32> {
    let mut rest = joined;
    let mut found = Vec::new();
    while rest != 0 {
        found.push(rest & 0x3f);
        rest >>= 6;
    }
    found.reverse();
    found
}

fn set(payload: &[u8]) -> Option<Set> {
    const ANONYMOUS: u32 = 1;
    const RANGES: u32 = 4;
    /// Of verdicts: `NFT_DATA_VERDICT`.
    const VERDICTS: u32 = 0xffff_ff00;
    let said = payload.get(HEADER..)?;
    let flags = number(said, 3).unwrap_or(0);
    Some(Set {
        family: *payload.first()?,
        table: word(find(said, TABLE)?),
        name: word(find(said, 2)?),
        handle: long(said, 16).unwrap_or(0),
        is_anonymous: flags & ANONYMOUS != 0,
        has_ranges: flags & RANGES != 0,
        key: types(number(said, 4).unwrap_or(0)),
        value: types(number(said, 6).filter(|kind| *kind != VERDICTS).unwrap_or(0)),
    })
}

fn element(said: &[u8]) -> Option<Element> {
    const END: u32 = 1;
    Some(Element {
        key: value(said, 1)?,
        last: value(said, 10),
        is_end: number(said, 3).unwrap_or(0) & END != 0,
        value: value(said, 2).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{self as nft, Comparison, Meta, Register, Verdict};
    use super::*;

    #[test]
    fn what_is_said_is_read_again() {
        let said = [
            nft::meta(Meta::OutName, Register::FIRST),
            nft::compare(Register::FIRST, Comparison::Different, b"br9\0"),
            nft::look_up(Register::part(2), "ports", Register::SECOND),
            nft::translate_destination(2, Register::SECOND, Register::part(5)),
            nft::expression("limit", &[]),
            nft::decide(Verdict::Jump("into")),
        ];
        let message = nft::rule("carboy", "forward", &said);
        let handle = crate::attribute(RULE_HANDLE, &7_u64.to_be_bytes());
        let payload = [message.get(16..).unwrap(), &handle].concat();
        let found = rule(&payload).unwrap();
        assert_eq!(
            (found.family, found.table.as_str(), found.chain.as_str(), found.handle),
            (1, "carboy", "forward", 7)
        );
        let expected = [
            Expression::Meta(7, 0),
            Expression::Compare(0, 1, b"br9\0".to_vec()),
            Expression::Lookup { set: "ports".to_owned(), key: 2, value: Some(4), is_inverted: false },
            Expression::Translate { is_destination: true, family: 2, address: Some(4), port: Some(5) },
            Expression::Other("limit".to_owned()),
            Expression::Verdict(-3, Some("into".to_owned())),
        ];
        assert_eq!(found.expressions, expected);
    }

    #[test]
    fn a_sets_kinds_are_joined_by_six_bits() {
        assert_eq!(types(7 << 12 | 12 << 6 | 13), [7, 12, 13]);
        assert_eq!(types(0), [0; 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_rules_sets_and_elements_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (rule(&bytes), set(&bytes), element(&bytes), step_of(&bytes));
        }
    }
}
