//! What is said to nftables, as bytes: one rule that counts and marks the packets of a group, the question for its counter,
//! and the kernel's answers.
//!
//! <linux/netfilter/nf_tables.h>.

use netlink::find;
use netlink::nftables::{
    self as nft, Base, Comparison, HEADER, Hook, Meta, Register, compare, expression, immediate, kind, number, set_meta,
};

/// Before the filters, which may look at the mark: `NF_IP_PRI_MANGLE`.
const PRIORITY_MANGLE: i32 = -150;
/// The chain of a table.
const CHAIN: &str = "output";
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

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
    let base = Base { kind: "filter", hook: Hook::Output, priority: PRIORITY_MANGLE };
    nft::batch(&[
        nft::new_table(table),
        nft::chain(table, CHAIN, Some(base)),
        nft::rule(table, CHAIN, &expressions(of, mark)),
    ])
}

/// Removes a table with everything in it.
pub(crate) fn remove(table: &str) -> Vec<u8> {
    nft::batch(&[nft::delete_table(table)])
}

/// Asks for the rules of a table that [`mark`] made.
pub(crate) fn ask(table: &str) -> Vec<u8> {
    nft::ask_rules(table, Some(CHAIN))
}

/// The counter of a rule that [`mark`] made, in a message of the kernel's; `None` where it tells of something else.
pub(crate) fn counted(kind: u16, payload: &[u8]) -> Option<Counter> {
    let rule = payload.get(HEADER..).filter(|_| kind == kind::NEW_RULE)?;
    let data = nft::expression_of(rule, "counter")?;
    let number = |kind| Some(u64::from_be_bytes(find(data, kind)?.try_into().ok()?));
    Some(Counter { packets: number(COUNTER_PACKETS)?, bytes: number(COUNTER_BYTES)? })
}

/// `socket cgroupv2 level LEVEL GROUP counter meta mark set MARK`, as nft(8) writes it.
fn expressions(of: Match, mark: u32) -> [Vec<u8>; 5] {
    const KEY_CGROUP_V2: u32 = 3;
    const REGISTER: u32 = 1;
    [
        expression("socket", &[number(1, KEY_CGROUP_V2), number(2, REGISTER), number(3, of.level)]),
        compare(Register::FIRST, Comparison::Equal, &of.group.to_ne_bytes()),
        expression("counter", &[]),
        immediate(&mark.to_ne_bytes(), Register::FIRST),
        set_meta(Meta::Mark, Register::FIRST),
    ]
}

#[cfg(test)]
mod tests {
    use netlink::{attribute, attributes, messages, nested, text};
    use proptest::prelude::*;

    use super::*;

    /// A rule as the kernel gives it: with its handle, its position, and what has been counted.
    fn rule(packets: u64, bytes: u64) -> Vec<u8> {
        let numbers =
            [attribute(COUNTER_BYTES, &bytes.to_be_bytes()), attribute(COUNTER_PACKETS, &packets.to_be_bytes())];
        let listed = [expression("socket", &[number(1, 3)]), expression("counter", &numbers)].concat();
        let rule = [text(1, "carboy-1"), attribute(3, &[0; 8]), nested(4, &listed)].concat();
        netlink::message(kind::NEW_RULE, 0, &[1, 0, 0, 0], &rule)
    }

    #[test]
    fn a_rule_is_what_nft_sends() {
        let sent = expressions(Match { group: 0x1b_6776, level: 1 }, 0x10_0001).concat();
        let socket = expression("socket", &[number(1, 3), number(2, 1), number(3, 1)]);
        assert!(sent.starts_with(&socket));
        let compared = attributes(&sent).nth(1).unwrap().1;
        let data = find(compared, 2).unwrap();
        assert_eq!(find(find(data, 3).unwrap(), 1).unwrap(), 0x1b_6776_u64.to_ne_bytes());
        let names: Vec<_> = attributes(&sent).map(|(_, element)| find(element, 1).unwrap()).collect();
        assert_eq!(names, [&b"socket\0"[..], b"cmp\0", b"counter\0", b"immediate\0", b"meta\0"]);
    }

    #[test]
    fn a_batch_begins_and_ends_and_names_its_subsystem() {
        let bytes = remove("t");
        let said: Vec<_> = messages(&bytes).collect();
        let kinds: Vec<u16> = said.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [16, kind::NEW_TABLE + 2, 17]);
        assert_eq!(said[0].1, [0, 0, 0, 10]);
    }

    fn counters(said: &[u8]) -> Vec<Counter> {
        messages(said).filter_map(|(kind, payload)| counted(kind, payload)).collect()
    }

    #[test]
    fn a_counter_is_found_among_the_expressions_of_a_rule() {
        let said = [rule(3, 252), netlink::message(netlink::kind::DONE, 0, &[0; 4], &[])].concat();
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
