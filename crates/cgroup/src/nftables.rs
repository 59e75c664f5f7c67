//! What is said to nftables, as bytes: one rule that counts and marks the packets of a group, the question for its counter,
//! and the kernel's answers.
//!
//! <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>. Numbers that the kernel itself interprets are big-endian in
//! nftables' attributes; values that it compares with a packet's or a socket's are in its own order.

use netlink::{attribute, attributes, find, flag, nested, text};

/// The tables of IPv4 and IPv6 at once: `NFPROTO_INET`.
const FAMILY_INET: u8 = 1;
const SUBSYSTEM_NFTABLES: u16 = 10;
/// `NF_IP_PRI_MANGLE`: before the filters, which may look at the mark.
const PRIORITY_MANGLE: i32 = -150;
/// The chain of a table.
const CHAIN: &str = "output";

/// The header that nfnetlink has behind netlink's: family, version, and a resource number that only a batch has.
const NFNETLINK_HEADER: usize = 4;

mod message {
    pub(super) const BATCH_BEGIN: u16 = 16;
    pub(super) const BATCH_END: u16 = 17;
    pub(super) const NEW_TABLE: u16 = super::SUBSYSTEM_NFTABLES << 8;
    pub(super) const DELETE_TABLE: u16 = NEW_TABLE + 2;
    pub(super) const NEW_CHAIN: u16 = NEW_TABLE + 3;
    pub(super) const NEW_RULE: u16 = NEW_TABLE + 6;
    pub(super) const GET_RULE: u16 = NEW_TABLE + 7;
}

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

/// The counter of a rule that [`mark`] made, in a message of the kernel's; `None` where it tells of something else.
pub(crate) fn counted(kind: u16, payload: &[u8]) -> Option<Counter> {
    if kind != message::NEW_RULE {
        return None;
    }
    counter(payload.get(NFNETLINK_HEADER..)?)
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

fn message(kind: u16, flags: u16, family: [u8; 2], resource: u16, attributes: &[u8]) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    netlink::message(kind, flags, &[family[0], family[1], high, low], attributes)
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
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

#[cfg(test)]
mod tests {
    use netlink::messages;
    use proptest::prelude::*;

    use super::*;

    /// A rule as the kernel gives it: with its handle, its position, and what has been counted.
    fn rule(packets: u64, bytes: u64) -> Vec<u8> {
        let numbers =
            [attribute(COUNTER_BYTES, &bytes.to_be_bytes()), attribute(COUNTER_PACKETS, &packets.to_be_bytes())];
        let listed = [expression("socket", &[number(1, 3)]), expression("counter", &numbers)].concat();
        let rule = [text(TABLE, "carboy-1"), attribute(3, &[0; 8]), nested(RULE_EXPRESSIONS, &listed)].concat();
        nftables(message::NEW_RULE, 0, &rule)
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
        let said: Vec<_> = messages(&bytes).collect();
        let kinds: Vec<u16> = said.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [message::BATCH_BEGIN, message::DELETE_TABLE, message::BATCH_END]);
        assert_eq!(said[0].1, [0, 0, 0, 10]);
    }

    fn counters(said: &[u8]) -> Vec<Counter> {
        messages(said).filter_map(|(kind, payload)| counted(kind, payload)).collect()
    }

    #[test]
    fn a_counter_is_found_among_the_expressions_of_a_rule() {
        let said = [rule(3, 252), message(netlink::kind::DONE, 0, [0, 0], 0, &[])].concat();
        assert_eq!(counters(&said), [Counter { packets: 3, bytes: 252 }]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answers_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = counters(&bytes);
        }

        #[test]
        fn an_answer_may_be_cut_off_or_damaged_anywhere(at in 0_usize..200, to in any::<u8>()) {
            let mut said = rule(7, 7);
            let at = at % said.len();
            let _ = counters(&said[..at]);
            said[at] = to;
            let _ = counters(&said);
        }
    }
}
