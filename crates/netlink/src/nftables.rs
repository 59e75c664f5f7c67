//! What is said to nftables: tables, chains, rules, sets and their elements, as messages of a batch that takes effect as a
//! whole or not at all.
//!
//! <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>. Numbers that the kernel itself interprets are big-endian;
//! values that it compares with a packet's or a socket's are in its own order, and as they are in the packet.

pub mod read;

use crate::{attribute, attributes, find, flag, nested, text};

/// The tables of IPv4 and IPv6 at once: `NFPROTO_INET`.
const FAMILY_INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
/// The header that nfnetlink has behind netlink's: family, version, and a resource number that only a batch has.
pub const HEADER: usize = 4;

/// Kinds of messages.
pub mod kind {
    /// A table.
    pub const NEW_TABLE: u16 = super::SUBSYSTEM << 8;
    /// A rule.
    pub const NEW_RULE: u16 = NEW_TABLE + 6;
    pub(super) const GET_TABLE: u16 = NEW_TABLE + 1;
    pub(super) const DELETE_TABLE: u16 = NEW_TABLE + 2;
    /// A chain.
    pub const NEW_CHAIN: u16 = NEW_TABLE + 3;
    pub(super) const GET_CHAIN: u16 = NEW_TABLE + 4;
    pub(super) const GET_RULE: u16 = NEW_TABLE + 7;
    pub(super) const DELETE_RULE: u16 = NEW_TABLE + 8;
    pub(super) const NEW_SET: u16 = NEW_TABLE + 9;
    pub(super) const GET_SET: u16 = NEW_TABLE + 10;
    pub(super) const NEW_ELEMENTS: u16 = NEW_TABLE + 12;
    pub(super) const GET_ELEMENTS: u16 = NEW_TABLE + 13;
    pub(super) const DELETE_ELEMENTS: u16 = NEW_TABLE + 14;
    pub(super) const GET_GENERATION: u16 = NEW_TABLE + 16;
    pub(super) const BATCH_BEGIN: u16 = 16;
    pub(super) const BATCH_END: u16 = 17;
}

/// `NFTA_TABLE_NAME`, and what a chain, a rule, a set and a list of elements say of their table, alike.
const TABLE: u16 = 1;
const TABLE_USERDATA: u16 = 6;
/// `NFTNL_UDATA_TABLE_COMMENT`.
const TABLE_COMMENT: u8 = 0;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// Where packets are looked at: `enum nf_inet_hooks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Whatever comes in, before it is known where to.
    Prerouting = 0,
    /// What goes through.
    Forward = 2,
    /// What this host's own processes send.
    Output = 3,
    /// Whatever goes out, when it is known where to.
    Postrouting = 4,
}

/// What a chain that packets come to by themselves is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// Where.
    pub hook: Hook,
    /// Those of lower ones come first.
    pub priority: i32,
}

/// A register that expressions hand values on in. The first is as wide as 16 bytes; the others here are those parts of 4
/// bytes that lie behind one another from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u32);

impl Register {
    /// `NFT_REG_1`, the same bytes as [`Register::part`] of 0.
    pub const FIRST: Self = Self(1);
    /// `NFT_REG_2`, the same bytes as [`Register::part`] of 4.
    pub const SECOND: Self = Self(2);

    /// The `number`th 4 bytes: `NFT_REG32_00` and those behind it.
    #[must_use]
    pub const fn part(number: u32) -> Self {
        Self(8 + number)
    }
}

/// What is known of a packet besides its bytes: `enum nft_meta_keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// Its mark.
    Mark = 3,
    /// The name of the link by which it came, 16 bytes.
    InName = 6,
    /// The name of the link by which it goes, 16 bytes.
    OutName = 7,
    /// IPv4 or IPv6: `AF_INET`, `AF_INET6`, one byte.
    Family = 15,
    /// The protocol above IP, one byte.
    Protocol = 16,
}

/// What is known of a packet's connection: `enum nft_ct_keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Bits of [`ESTABLISHED`] and the like.
    State = 0,
    /// Bits of [`DNAT`] and the like.
    Status = 2,
}

/// It goes on with one that is known, or belongs to one: `established`, `related`.
pub const ESTABLISHED: u32 = 2 | 4;
/// Its destination was translated: `IPS_DST_NAT`.
pub const DNAT: u32 = 0x20;

/// Which header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// That of IP.
    Network = 1,
    /// That behind it.
    Transport = 2,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It is the same.
    Equal = 0,
    /// It is not.
    Different = 1,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'n> {
    /// It is dropped.
    Drop,
    /// This chain has nothing against it.
    Accept,
    /// Another chain is asked.
    Jump(&'n str),
}

/// A set or a map, by what its keys and values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<'n> {
    /// Its name.
    pub name: &'n str,
    /// A number that no other set of the batch has.
    pub id: u32,
    /// What its keys are made of.
    pub key: &'n [Datum],
    /// What its values are made of; nothing for a set.
    pub value: &'n [Datum],
}

/// A part of a key or of a value, with the number that nft(8) knows its kind by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datum {
    /// An IPv4 address.
    Ipv4 = 7,
    /// An IPv6 address.
    Ipv6 = 8,
    /// A protocol above IP.
    Protocol = 12,
    /// A port.
    Port = 13,
    /// A link's name.
    Link = 41,
}

impl Datum {
    /// What it takes, with what is left free behind it.
    const fn bytes(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port => 4,
            Self::Ipv6 | Self::Link => 16,
        }
    }
}

/// Messages that take effect together. `generation` is the resource number of all batches.
#[must_use]
pub fn batch(messages: &[Vec<u8>]) -> Vec<u8> {
    let edge = |kind| message(kind, flag::REQUEST, [0, 0], SUBSYSTEM, &[]);
    [edge(kind::BATCH_BEGIN), messages.concat(), edge(kind::BATCH_END)].concat()
}

const CREATE: u16 = flag::REQUEST | flag::CREATE | flag::ACK;

/// Makes a table; where it is there it stays.
#[must_use]
pub fn add_table(table: &str) -> Vec<u8> {
    nftables(kind::NEW_TABLE, CREATE, &text(TABLE, table))
}

/// Makes a table that must not be there.
#[must_use]
pub fn new_table(table: &str) -> Vec<u8> {
    nftables(kind::NEW_TABLE, CREATE | flag::EXCLUSIVE, &text(TABLE, table))
}

/// The same with a comment on it, as nft(8) shows it. One of more than 127 bytes, which nft(8) does not take, is left out.
#[must_use]
pub fn new_table_of(table: &str, comment: &str) -> Vec<u8> {
    const LONGEST: usize = 127;
    let mut said = text(TABLE, table);
    if let Some(length) = u8::try_from(comment.len() + 1).ok().filter(|_| comment.len() <= LONGEST) {
        let told = [&[TABLE_COMMENT, length], comment.as_bytes(), &[0]].concat();
        said.extend(attribute(TABLE_USERDATA, &told));
    }
    nftables(kind::NEW_TABLE, CREATE | flag::EXCLUSIVE, &said)
}

/// Asks for the tables of the family `inet`.
#[must_use]
pub fn ask_tables() -> Vec<u8> {
    nftables(kind::GET_TABLE, flag::REQUEST | flag::DUMP, &[])
}

/// The name of the table that a message tells of, and the comment on it, which may be empty.
#[must_use]
pub fn table_of(kind: u16, payload: &[u8]) -> Option<(String, String)> {
    let said = payload.get(HEADER..).filter(|_| kind == kind::NEW_TABLE)?;
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let comment = match find(said, TABLE_USERDATA) {
        Some([TABLE_COMMENT, _, told @ ..]) => word(told),
        _ => String::new(),
    };
    Some((word(find(said, TABLE)?), comment))
}

/// Removes a table with everything in it.
#[must_use]
pub fn delete_table(table: &str) -> Vec<u8> {
    nftables(kind::DELETE_TABLE, flag::REQUEST | flag::ACK, &text(TABLE, table))
}

/// Makes a chain; one without a base is reached from others alone.
#[must_use]
pub fn chain(table: &str, name: &str, base: Option<Base>) -> Vec<u8> {
    let mut said = [text(TABLE, table), text(CHAIN_NAME, name)].concat();
    if let Some(Base { kind, hook, priority }) = base {
        let hook = [number(1, hook as u32), attribute(2, &priority.to_be_bytes())].concat();
        said.extend([nested(CHAIN_HOOK, &hook), text(CHAIN_TYPE, kind)].concat());
    }
    nftables(kind::NEW_CHAIN, CREATE | flag::EXCLUSIVE, &said)
}

/// Puts a rule behind the others of a chain.
#[must_use]
pub fn rule(table: &str, chain: &str, expressions: &[Vec<u8>]) -> Vec<u8> {
    let said = [text(TABLE, table), text(RULE_CHAIN, chain), nested(RULE_EXPRESSIONS, &expressions.concat())].concat();
    nftables(kind::NEW_RULE, CREATE | flag::APPEND, &said)
}

/// Makes a set.
#[must_use]
pub fn set(table: &str, set: &Set<'_>) -> Vec<u8> {
    const MAP: u32 = 8;
    const USERDATA: u16 = 13;
    /// `NFTNL_UDATA_SET_KEYBYTEORDER`, four bytes, `BYTEORDER_HOST_ENDIAN`: without it nft(8) cannot show a link's name.
    const KEYS_IN_OWN_ORDER: [u8; 6] = [0, 4, 1, 0, 0, 0];
    let length = |data: &[Datum]| data.iter().map(|datum| datum.bytes()).sum();
    let kind = |data: &[Datum]| data.iter().fold(0, |kind, datum| kind << 6 | *datum as u32);
    let is_map = !set.value.is_empty();
    let mut said = [
        text(TABLE, table),
        text(2, set.name),
        number(3, if is_map { MAP } else { 0 }),
        number(4, kind(set.key)),
        number(5, length(set.key)),
        number(10, set.id),
    ]
    .concat();
    if is_map {
        said.extend([number(6, kind(set.value)), number(7, length(set.value))].concat());
    }
    if set.key == [Datum::Link] {
        said.extend(attribute(USERDATA, &KEYS_IN_OWN_ORDER));
    }
    nftables(kind::NEW_SET, CREATE | flag::EXCLUSIVE, &said)
}

/// Puts elements, keys and maybe their values, into a set. One that is there already, with the same value, stays.
#[must_use]
pub fn add_elements(table: &str, set: &str, elements: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<Vec<u8>> {
    listed(kind::NEW_ELEMENTS, CREATE, (table, set), elements)
}

/// Takes elements out of a set, all of which are in it.
#[must_use]
pub fn delete_elements(table: &str, set: &str, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let elements: Vec<_> = keys.iter().map(|key| (key.clone(), None)).collect();
    listed(kind::DELETE_ELEMENTS, flag::REQUEST | flag::ACK, (table, set), &elements)
}

/// As many messages as it takes: the list of an attribute is at most 64 KiB long.
fn listed(kind: u16, flags: u16, (table, set): (&str, &str), elements: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<Vec<u8>> {
    const AT_ONCE: usize = 500;
    let of_one = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
        let mut said = nested(1, &attribute(DATA_VALUE, key));
        if let Some(value) = value {
            said.extend(nested(2, &attribute(DATA_VALUE, value)));
        }
        nested(LIST_ELEMENT, &said)
    };
    let chunks = elements.chunks(AT_ONCE).map(|chunk| {
        let list: Vec<u8> = chunk.iter().flat_map(of_one).collect();
        nftables(kind, flags, &[text(TABLE, table), text(2, set), nested(3, &list)].concat())
    });
    chunks.collect()
}

/// Asks for the elements of a set.
#[must_use]
pub fn ask_elements(table: &str, set: &str) -> Vec<u8> {
    nftables(kind::GET_ELEMENTS, flag::REQUEST | flag::DUMP, &[text(TABLE, table), text(2, set)].concat())
}

/// The values of the elements that a message tells of.
pub fn values_of(kind: u16, payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let said = payload.get(HEADER..).filter(|_| kind == kind::NEW_ELEMENTS).unwrap_or_default();
    let elements = attributes(find(said, 3).unwrap_or_default());
    elements.filter_map(|(_, element)| find(find(element, 2)?, DATA_VALUE))
}

/// Asks for the rules of a table, or of one of its chains.
#[must_use]
pub fn ask_rules(table: &str, chain: Option<&str>) -> Vec<u8> {
    let mut which = text(TABLE, table);
    which.extend(chain.iter().flat_map(|chain| text(RULE_CHAIN, chain)));
    nftables(kind::GET_RULE, flag::REQUEST | flag::DUMP, &which)
}

/// Asks how often nftables has been changed: what it has an answer to whatever there is.
#[must_use]
pub fn ask_generation() -> Vec<u8> {
    message(kind::GET_GENERATION, flag::REQUEST, [0, 0], 0, &[])
}

/// Asks for every chain of every family.
#[must_use]
pub fn ask_chains() -> Vec<u8> {
    message(kind::GET_CHAIN, flag::REQUEST | flag::DUMP, [0, 0], 0, &[])
}

/// A chain of any table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The family of its table, `NFPROTO_…`.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where packets come to it, `NF_INET_…`, if they do by themselves.
    pub hook: Option<u32>,
    /// What becomes of a packet that no rule decides of: 0 for drop, 1 for accept.
    pub policy: Option<u32>,
}

/// The chain that a message tells of.
#[must_use]
pub fn chain_of(kind: u16, payload: &[u8]) -> Option<Chain> {
    let said = payload.get(HEADER..).filter(|_| kind == kind::NEW_CHAIN)?;
    let word = |kind| Some(String::from_utf8_lossy(find(said, kind)?).trim_end_matches('\0').to_owned());
    let value = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
    Some(Chain {
        family: *payload.first()?,
        table: word(TABLE)?,
        name: word(CHAIN_NAME)?,
        hook: find(said, CHAIN_HOOK).and_then(|hook| value(find(hook, 1)?)),
        policy: find(said, CHAIN_POLICY).and_then(value),
    })
}

/// A rule of any table, as far as it is told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its number in its table.
    pub handle: u64,
    /// What whoever made it wrote on it.
    pub userdata: Vec<u8>,
}

/// The rule that a message tells of.
#[must_use]
pub fn rule_of(kind: u16, payload: &[u8]) -> Option<Rule> {
    let said = payload.get(HEADER..).filter(|_| kind == kind::NEW_RULE)?;
    let handle = u64::from_be_bytes(find(said, RULE_HANDLE)?.try_into().ok()?);
    Some(Rule { handle, userdata: find(said, RULE_USERDATA).unwrap_or_default().to_vec() })
}

/// Puts a rule before all others of a chain of any family, with a word by which it is found again.
#[must_use]
pub fn insert_rule(chain: &Chain, expressions: &[Vec<u8>], userdata: &[u8]) -> Vec<u8> {
    let place = [text(TABLE, &chain.table), text(RULE_CHAIN, &chain.name)].concat();
    let said = [place, nested(RULE_EXPRESSIONS, &expressions.concat()), attribute(RULE_USERDATA, userdata)].concat();
    message(kind::NEW_RULE, CREATE, [chain.family, 0], 0, &said)
}

/// Asks for the rules of a chain of any family.
#[must_use]
pub fn ask_rules_of(chain: &Chain) -> Vec<u8> {
    let place = [text(TABLE, &chain.table), text(RULE_CHAIN, &chain.name)].concat();
    message(kind::GET_RULE, flag::REQUEST | flag::DUMP, [chain.family, 0], 0, &place)
}

/// Removes a rule of a chain of any family.
#[must_use]
pub fn delete_rule(chain: &Chain, handle: u64) -> Vec<u8> {
    let place = [text(TABLE, &chain.table), text(RULE_CHAIN, &chain.name)].concat();
    let said = [place, attribute(RULE_HANDLE, &handle.to_be_bytes())].concat();
    message(kind::DELETE_RULE, flag::REQUEST | flag::ACK, [chain.family, 0], 0, &said)
}

/// The data of the first expression of this name in a rule.
#[must_use]
pub fn expression_of<'r>(rule: &'r [u8], name: &str) -> Option<&'r [u8]> {
    let is_it = |element: &&[u8]| {
        find(element, EXPRESSION_NAME).is_some_and(|found| found.strip_suffix(b"\0") == Some(name.as_bytes()))
    };
    let elements = attributes(find(rule, RULE_EXPRESSIONS)?).map(|(_, element)| element);
    elements.filter(is_it).find_map(|element| find(element, EXPRESSION_DATA))
}

/// The expressions of a rule, each by its name with its data.
pub fn expressions(rule: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    attributes(find(rule, RULE_EXPRESSIONS).unwrap_or_default()).filter_map(|(_, element)| {
        let name = find(element, EXPRESSION_NAME)?;
        Some((name.strip_suffix(b"\0").unwrap_or(name), find(element, EXPRESSION_DATA).unwrap_or_default()))
    })
}

/// An expression of a rule.
#[must_use]
pub fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(LIST_ELEMENT, &[text(EXPRESSION_NAME, name), nested(EXPRESSION_DATA, &data.concat())].concat())
}

/// Loads bytes of a header.
#[must_use]
pub fn payload(layer: Layer, (offset, length): (u32, u32), to: Register) -> Vec<u8> {
    expression("payload", &[number(1, to.0), number(2, layer as u32), number(3, offset), number(4, length)])
}

/// Writes a register's first bytes into a header, and what they change into its checksum, which is so far behind its begin.
#[must_use]
pub fn set_payload(layer: Layer, (offset, length): (u32, u32), checksum: u32, from: Register) -> Vec<u8> {
    /// `NFT_PAYLOAD_CSUM_INET`.
    const INTERNET: u32 = 1;
    let place = [number(2, layer as u32), number(3, offset), number(4, length), number(5, from.0)].concat();
    expression("payload", &[place, number(6, INTERNET), number(7, checksum)])
}

/// Loads what is known of the packet.
#[must_use]
pub fn meta(key: Meta, to: Register) -> Vec<u8> {
    expression("meta", &[number(1, to.0), number(2, key as u32)])
}

/// Sets what is known of the packet.
#[must_use]
pub fn set_meta(key: Meta, from: Register) -> Vec<u8> {
    expression("meta", &[number(2, key as u32), number(3, from.0)])
}

/// Loads a value.
#[must_use]
pub fn immediate(value: &[u8], to: Register) -> Vec<u8> {
    expression("immediate", &[number(1, to.0), nested(2, &attribute(DATA_VALUE, value))])
}

/// Goes on where a register's first bytes are these, or where they are not.
#[must_use]
pub fn compare(register: Register, comparison: Comparison, value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, register.0), number(2, comparison as u32), data(3, value)])
}

/// Goes on where the packet's connection has one of these bits.
#[must_use]
pub fn connection_has(key: Connection, bits: u32) -> Vec<u8> {
    let Register(register) = Register::FIRST;
    [
        expression("ct", &[number(1, register), number(2, key as u32)]),
        expression(
            "bitwise",
            &[number(1, register), number(2, register), number(3, 4), data(4, &bits.to_ne_bytes()), data(5, &[0; 4])],
        ),
        compare(Register::FIRST, Comparison::Different, &[0; 4]),
    ]
    .concat()
}

/// Goes on where the packet goes to an address of this host: `RTN_LOCAL` of `fib daddr type`.
#[must_use]
pub fn destination_is_local() -> Vec<u8> {
    const ADDRESS_TYPE: u32 = 3;
    const DESTINATION: u32 = 2;
    const LOCAL: u32 = 2;
    let Register(register) = Register::FIRST;
    let looked = expression("fib", &[number(1, register), number(2, ADDRESS_TYPE), number(3, DESTINATION)]);
    [looked, compare(Register::FIRST, Comparison::Equal, &LOCAL.to_ne_bytes())].concat()
}

/// Goes on where a register has a key of the set.
#[must_use]
pub fn is_in(register: Register, set: &str) -> Vec<u8> {
    expression("lookup", &[text(1, set), number(2, register.0)])
}

/// Goes on where it has none.
#[must_use]
pub fn is_not_in(register: Register, set: &str) -> Vec<u8> {
    const INVERTED: u32 = 1;
    expression("lookup", &[text(1, set), number(2, register.0), number(5, INVERTED)])
}

/// Goes on where a register has a key of the map, with the value in another register.
#[must_use]
pub fn look_up(register: Register, map: &str, to: Register) -> Vec<u8> {
    expression("lookup", &[text(1, map), number(2, register.0), number(3, to.0)])
}

/// Sends the packet to the address and the port in two registers. The family is `AF_INET` or `AF_INET6`.
#[must_use]
pub fn translate_destination(family: u8, address: Register, port: Register) -> Vec<u8> {
    const DESTINATION: u32 = 1;
    expression(
        "nat",
        &[
            number(1, DESTINATION),
            number(2, family.into()),
            number(3, address.0),
            number(4, address.0),
            number(5, port.0),
            number(6, port.0),
        ],
    )
}

/// Sends the packet as from the address of the link by which it goes.
#[must_use]
pub fn masquerade() -> Vec<u8> {
    expression("masq", &[])
}

/// Decides.
#[must_use]
pub fn decide(verdict: Verdict<'_>) -> Vec<u8> {
    const VERDICT: u32 = 0;
    let code = match verdict {
        Verdict::Drop => 0_i32,
        Verdict::Accept => 1,
        Verdict::Jump(_) => -3,
    };
    let mut said = attribute(1, &code.to_be_bytes());
    if let Verdict::Jump(chain) = verdict {
        said.extend(text(2, chain));
    }
    expression("immediate", &[number(1, VERDICT), nested(2, &nested(DATA_VERDICT, &said))])
}

fn data(kind: u16, value: &[u8]) -> Vec<u8> {
    nested(kind, &attribute(DATA_VALUE, value))
}

/// An attribute that is a number which the kernel interprets.
#[must_use]
pub fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn nftables(kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    message(kind, flags, [FAMILY_INET, 0], 0, attributes)
}

fn message(kind: u16, flags: u16, family: [u8; 2], resource: u16, attributes: &[u8]) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    crate::message(kind, flags, &[family[0], family[1], high, low], attributes)
}
