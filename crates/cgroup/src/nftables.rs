//! What is said to nftables, as bytes: one rule that counts and marks the packets of a group, the question for its counter,
//! and the kernel's answers.
//!
//! Netlink messages hold attributes, and attributes hold attributes, all padded to four bytes: netlink(7),
//! <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>. Numbers that the kernel itself interprets are big-endian
//! in nftables' attributes; values that it compares with a packet's or a socket's are in its own order.

use error::Errno;

/// The tables of IPv4 and IPv6 at once: `NFPROTO_INET`.
const FAMILY_INET: u8 = 1;
const SUBSYSTEM_NFTABLES: u16 = 10;
/// `NF_IP_PRI_MANGLE`: before the filters, which may look at the mark.
const PRIORITY_MANGLE: i32 = -150;
/// The chain of a table.
const CHAIN: &str = "output";

/// The header of a message, and behind it that of nfnetlink.
const HEADER: usize = 16;
const NFNETLINK_HEADER: usize = 4;

mod flag {
    pub(super) const REQUEST: u16 = 1;
    pub(super) const ACK: u16 = 4;
    pub(super) const DUMP: u16 = 0x300;
    pub(super) const EXCLUSIVE: u16 = 0x200;
    pub(super) const CREATE: u16 = 0x400;
    pub(super) const APPEND: u16 = 0x800;
}

mod message {
    pub(super) const ERROR: u16 = 2;
    pub(super) const DONE: u16 = 3;
    pub(super) const BATCH_BEGIN: u16 = 16;
    pub(super) const BATCH_END: u16 = 17;
    pub(super) const NEW_TABLE: u16 = super::SUBSYSTEM_NFTABLES << 8;
    pub(super) const DELETE_TABLE: u16 = NEW_TABLE + 2;
    pub(super) const NEW_CHAIN: u16 = NEW_TABLE + 3;
    pub(super) const NEW_RULE: u16 = NEW_TABLE + 6;
    pub(super) const GET_RULE: u16 = NEW_TABLE + 7;
}

/// A set of attributes: `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE` and `NFTA_RULE_TABLE` alike.
const TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
/// The register that the expressions of the rule hand values on in: `NFT_REG_1`.
const REGISTER: u32 = 1;

/// What a rule has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Their bytes, with the headers from the network layer on.
    pub bytes: u64,
}

/// Which packets are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    /// The v2 group's number: the inode of its directory.
    pub(crate) group: u64,
    /// How far it is below the root of the caller's cgroup namespace.
    pub(crate) level: u32,
}

/// One part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A message was done, or not.
    Acknowledged(Result<(), Errno>),
    /// All that was asked for has been said.
    Done,
    /// A rule with a counter.
    Counted(Counter),
}

/// Makes a table whose one rule counts and marks what the processes of a group send: all of it or nothing.
pub(crate) fn mark(table: &str, of: Match, mark: u32) -> Vec<u8> {
    let create = flag::REQUEST | flag::CREATE;
    let named = text(TABLE, table);
    let hook = [number(1, LOCAL_OUT), attribute(2, &PRIORITY_MANGLE.to_be_bytes())].concat();
    let chain = [named.clone(), text(3, CHAIN), nested(4, &hook), text(7, "filter")].concat();
    let rule = [named.clone(), text(RULE_CHAIN, CHAIN), nested(RULE_EXPRESSIONS, &expressions(of, mark))].concat();
    batch(&[
        nftables(message::NEW_TABLE, create | flag::EXCLUSIVE, &named),
        nftables(message::NEW_CHAIN, create | flag::EXCLUSIVE, &chain),
        nftables(message::NEW_RULE, create | flag::APPEND | flag::ACK, &rule),
    ])
}

/// Removes a table with everything in it.
pub(crate) fn remove(table: &str) -> Vec<u8> {
    batch(&[nftables(message::DELETE_TABLE, flag::REQUEST | flag::ACK, &text(TABLE, table))])
}

/// Asks for the rules of a table that [`mark`] made.
pub(crate) fn ask(table: &str) -> Vec<u8> {
    let which = [text(TABLE, table), text(RULE_CHAIN, CHAIN)].concat();
    nftables(message::GET_RULE, flag::REQUEST | flag::DUMP, &which)
}

/// Reads one datagram from the kernel; what it holds besides is left out.
pub(crate) fn answers(datagram: &[u8]) -> impl Iterator<Item = Answer> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (kind, payload, next) = split(rest)?;
        rest = next;
        Some(answer(kind, payload))
    })
    .flatten()
}

/// `NF_INET_LOCAL_OUT`: what this host's own processes send.
const LOCAL_OUT: u32 = 3;

/// `socket cgroupv2 level LEVEL GROUP counter meta mark set MARK`, as nft(8) writes it.
fn expressions(of: Match, mark: u32) -> Vec<u8> {
    const KEY_CGROUP_V2: u32 = 3;
    const EQUAL: u32 = 0;
    const KEY_MARK: u32 = 3;
    let value = |bytes: &[u8]| nested(3, &attribute(1, bytes));
    [
        expression("socket", &[number(1, KEY_CGROUP_V2), number(2, REGISTER), number(3, of.level)]),
        expression("cmp", &[number(1, REGISTER), number(2, EQUAL), value(&of.group.to_ne_bytes())]),
        expression("counter", &[]),
        expression("immediate", &[number(1, REGISTER), nested(2, &attribute(1, &mark.to_ne_bytes()))]),
        expression("meta", &[number(2, KEY_MARK), number(3, REGISTER)]),
    ]
    .concat()
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(LIST_ELEMENT, &[text(EXPRESSION_NAME, name), nested(EXPRESSION_DATA, &data.concat())].concat())
}

/// Messages that take effect together.
fn batch(messages: &[Vec<u8>]) -> Vec<u8> {
    let edge = |kind| message(kind, flag::REQUEST, [0, 0], SUBSYSTEM_NFTABLES, &[]);
    [edge(message::BATCH_BEGIN), messages.concat(), edge(message::BATCH_END)].concat()
}

fn nftables(kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    message(kind, flags, [FAMILY_INET, 0], 0, attributes)
}

/// A message with nfnetlink's header: family, version, and a resource number that only a batch has. It has no sequence
/// number: nothing else is said on its socket.
fn message(kind: u16, flags: u16, family: [u8; 2], resource: u16, attributes: &[u8]) -> Vec<u8> {
    let length = HEADER + NFNETLINK_HEADER + attributes.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&family);
    bytes.extend_from_slice(&resource.to_be_bytes());
    bytes.extend_from_slice(attributes);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = Vec::with_capacity(length.next_multiple_of(4));
    bytes.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(NESTED | kind, attributes)
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// The first message: its kind, what is behind its header, and what is behind the message.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (length, behind) = bytes.split_first_chunk::<4>()?;
    let (kind, _) = behind.split_first_chunk::<2>()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let payload = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes(*kind), payload, next))
}

fn answer(kind: u16, payload: &[u8]) -> Option<Answer> {
    match kind {
        message::ERROR => {
            let (errno, _) = payload.split_first_chunk::<4>()?;
            Some(Answer::Acknowledged(match i32::from_ne_bytes(*errno).checked_neg()? {
                0 => Ok(()),
                errno @ 1..4096 => Err(Errno::from_raw_os_error(errno)),
                _ => Err(Errno::PROTO),
            }))
        }
        message::DONE => Some(Answer::Done),
        message::NEW_RULE => counter(payload.get(NFNETLINK_HEADER..)?).map(Answer::Counted),
        _ => None,
    }
}

/// The counter among the expressions of a rule.
fn counter(rule: &[u8]) -> Option<Counter> {
    let expressions = find(rule, RULE_EXPRESSIONS)?;
    let counts = |element: &&[u8]| find(element, EXPRESSION_NAME) == Some(b"counter\0");
    let elements = attributes(expressions).map(|(_, element)| element);
    let data = elements.filter(counts).find_map(|element| find(element, EXPRESSION_DATA))?;
    let number = |kind| Some(u64::from_be_bytes(find(data, kind)?.try_into().ok()?));
    Some(Counter { packets: number(COUNTER_PACKETS)?, bytes: number(COUNTER_BYTES)? })
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The attributes in `bytes`, by kind, up to one that is cut off.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A rule as the kernel gives it: with its handle, its position, and what has been counted.
    fn counted(packets: u64, bytes: u64) -> Vec<u8> {
        let numbers =
            [attribute(COUNTER_BYTES, &bytes.to_be_bytes()), attribute(COUNTER_PACKETS, &packets.to_be_bytes())];
        let listed = [expression("socket", &[number(1, 3)]), expression("counter", &numbers)].concat();
        let rule = [text(TABLE, "carboy-1"), attribute(3, &[0; 8]), nested(RULE_EXPRESSIONS, &listed)].concat();
        nftables(message::NEW_RULE, 0, &rule)
    }

    #[test]
    fn an_attribute_is_padded_and_its_length_is_not() {
        assert_eq!(text(1, "t"), [6, 0, 1, 0, b't', 0, 0, 0]);
        assert_eq!(number(2, 3), [8, 0, 2, 0, 0, 0, 0, 3]);
        assert_eq!(nested(4, &[]), [4, 0, 4, 0x80]);
    }

    #[test]
    fn a_rule_is_what_nft_sends() {
        let sent = expressions(Match { group: 0x1b_6776, level: 1 }, 0x10_0001);
        let socket = expression("socket", &[number(1, 3), number(2, 1), number(3, 1)]);
        assert!(sent.starts_with(&socket));
        let compared = attributes(&sent).nth(1).unwrap().1;
        let data = find(compared, EXPRESSION_DATA).unwrap();
        assert_eq!(find(find(data, 3).unwrap(), 1).unwrap(), 0x1b_6776_u64.to_ne_bytes());
        let names: Vec<_> = attributes(&sent).map(|(_, element)| find(element, EXPRESSION_NAME).unwrap()).collect();
        assert_eq!(names, [&b"socket\0"[..], b"cmp\0", b"counter\0", b"immediate\0", b"meta\0"]);
    }

    #[test]
    fn a_batch_begins_and_ends_and_names_its_subsystem() {
        let bytes = remove("t");
        let (kind, payload, next) = split(&bytes).unwrap();
        assert_eq!((kind, payload), (message::BATCH_BEGIN, &[0, 0, 0, 10][..]));
        let (kind, _, next) = split(next).unwrap();
        assert_eq!(kind, message::DELETE_TABLE);
        let (kind, _, rest) = split(next).unwrap();
        assert_eq!((kind, rest), (message::BATCH_END, &[][..]));
    }

    #[test]
    fn a_counter_is_found_among_the_expressions_of_a_rule() {
        let said = [counted(3, 252), message(message::DONE, 0, [0, 0], 0, &[])].concat();
        let counter = Answer::Counted(Counter { packets: 3, bytes: 252 });
        assert_eq!(answers(&said).collect::<Vec<_>>(), [counter, Answer::Done]);
    }

    #[test]
    fn a_refusal_is_its_errno() {
        let refused = |errno: i32| {
            let [a, b, c, d] = errno.to_ne_bytes();
            answers(&message(message::ERROR, 0, [a, b], u16::from_be_bytes([c, d]), &[0; 16])).next()
        };
        assert_eq!(refused(-2), Some(Answer::Acknowledged(Err(Errno::NOENT))));
        assert_eq!(refused(0), Some(Answer::Acknowledged(Ok(()))));
        assert_eq!(refused(i32::MIN), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answers_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = answers(&bytes).count();
        }

        #[test]
        fn an_answer_may_be_cut_off_or_damaged_anywhere(at in 0_usize..200, to in any::<u8>()) {
            let mut said = counted(7, 7);
            let at = at % said.len();
            let _ = answers(&said[..at]).count();
            said[at] = to;
            let _ = answers(&said).count();
        }
    }
}
