//! What iptables leaves in tables of nftables: matches and targets of the kernel's older firewall, as its `struct`s.
//!
//! <linux/netfilter/xt_tcpudp.h>, <linux/netfilter/xt_cgroup.h>, <linux/netfilter/nf_nat.h>. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::words::{self, Named};

/// A match as it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Matched {
    /// In words.
    pub(crate) text: String,
    /// The ports of the destination that it asks for.
    pub(crate) ports: Option<(u16, u16)>,
    /// What it names.
    pub(crate) names: Vec<Named>,
}

/// What a match asks for; `None` for one that is not known.
pub(crate) fn matched(name: &str, revision: u32, info: &[u8]) -> Option<Matched> {
    match name {
        "tcp" | "udp" | "sctp" => ports(name, info),
        "cgroup" => group(revision, info),
        "conntrack" => state(revision, info),
        "addrtype" => kind(revision, info),
        "comment" => Some(Matched { text: format!("comment \"{}\"", text(info)), ..Matched::default() }),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn short(info: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?))
}

fn word(info: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?))
}

/// `struct xt_tcp`, `struct xt_udp`: the first and the last port of the source, of the destination; of TCP then an option
/// and flags; whether each is inverted. `struct xt_sctp_info` begins in the same way.
fn ports(name: &str, info: &[u8]) -> Option<Matched> {
    const SOURCE_INVERTED: u8 = 1;
    const DESTINATION_INVERTED: u8 = 2;
    let inverted = match name {
        "tcp" if info.get(8..11)? != [0; 3] => return None,
        "tcp" => *info.get(11)?,
        "udp" => *info.get(8)?,
        _ => 0,
    };
    let range = |at| Some((short(info, at)?, short(info, at + 2)?));
    let (source, destination) = (range(0)?, range(4)?);
    let told = |side: &str, (first, last): (u16, u16), inverted: bool| {
        let not = if inverted { "!= " } else { "" };
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        if (first, last) == (0, u16::MAX) { None } else { Some(format!("{name} {side} {not}{range}")) }
    };
    let source = told("sport", source, inverted & SOURCE_INVERTED != 0);
    let is_inverted = inverted & DESTINATION_INVERTED != 0;
    let said = source.into_iter().chain(told("dport", destination, is_inverted)).collect::<Vec<_>>();
    Some(Matched {
        text: if said.is_empty() { format!("meta l4proto {name}") } else { said.join(" ") },
        ports: Some(destination).filter(|ports| !is_inverted && *ports != (0, u16::MAX)),
        names: Vec::new(),
    })
}

/// `struct xt_conntrack_mtinfo2` and 3, where only the state is asked for: its bits are those of nftables.
fn state(revision: u32, info: &[u8]) -> Option<Matched> {
    const STATE: u16 = 1;
    let (asked, inverted, bits) = (short(info, 146)?, short(info, 148)?, short(info, 150)?);
    if !matches!(revision, 2 | 3) || asked != STATE {
        return None;
    }
    let not = if inverted & STATE == 0 { "" } else { "!= " };
    let text = format!("ct state {not}{}", words::states(bits.into()));
    Some(Matched { text, ..Matched::default() })
}

/// `struct xt_addrtype_info_v1`, where only an address of this host is asked for: two sets of `RTN_…`, of the source and of
/// the destination, and whether each is inverted.
fn kind(revision: u32, info: &[u8]) -> Option<Matched> {
    const LOCAL: u16 = 1 << 2;
    const SOURCE_INVERTED: u32 = 1;
    const DESTINATION_INVERTED: u32 = 2;
    let flags = word(info, 4).filter(|_| revision == 1)?;
    let (side, inverted) = match (short(info, 0)?, short(info, 2)?) {
        (LOCAL, 0) => ("saddr", flags & SOURCE_INVERTED != 0),
        (0, LOCAL) => ("daddr", flags & DESTINATION_INVERTED != 0),
        _ => return None,
    };
    if flags & !(SOURCE_INVERTED | DESTINATION_INVERTED) != 0 {
        return None;
    }
    let not = if inverted { "!= " } else { "" };
    Some(Matched { text: format!("fib {side} type {not}local"), ..Matched::default() })
}

/// `struct xt_cgroup_info_v0`: a class, whether inverted. Those of v1 and v2: four bytes that say whether there is a path,
/// a class, and whether each is inverted; the path; the class.
fn group(revision: u32, info: &[u8]) -> Option<Matched> {
    let class = |class: u32, inverted: bool| Matched {
        text: format!("meta cgroup {}{class}", if inverted { "!= " } else { "" }),
        ports: None,
        names: vec![Named::Class(class)],
    };
    if revision == 0 {
        return Some(class(word(info, 0)?, word(info, 4)? != 0));
    }
    let longest = if revision == 1 { 4096 } else { 512 };
    let &[has_path, has_class, path_inverted, class_inverted] = info.first_chunk::<4>()?;
    if has_path != 0 {
        let path = text(info.get(4..4 + longest)?);
        let not = if path_inverted == 0 { "" } else { "!= " };
        let text = format!("socket cgroupv2 {not}\"{path}\"");
        return Some(Matched { text, ports: None, names: vec![Named::Path(path)] });
    }
    // What is behind the path begins at an edge of 4 bytes; of the second revision path and class are in one place.
    let at = if revision == 1 { 4 + longest } else { 4 };
    (has_class != 0).then(|| Some(class(word(info, at)?, class_inverted != 0)))?
}

/// Where the target DNAT sends packets.
pub(crate) fn destination(name: &str, revision: u32, info: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    const HAS_ADDRESS: u32 = 1;
    const HAS_PORT: u32 = 2;
    if name != "DNAT" {
        return None;
    }
    // `struct nf_nat_ipv4_multi_range_compat` has how many there are before the first; the others have union nf_inet_addr.
    let (flags, address, port) = match revision {
        0 => (word(info, 4)?, info.get(8..12)?, info.get(16..18)?),
        _ => (word(info, 0)?, info.get(4..20)?, info.get(36..38)?),
    };
    let address = match address.first_chunk::<16>() {
        Some(bytes) if bytes.get(4..) != Some(&[0; 12]) => IpAddr::from(Ipv6Addr::from(*bytes)),
        _ => Ipv4Addr::from(*address.first_chunk::<4>()?).into(),
    };
    let port = u16::from_be_bytes(port.try_into().ok()?);
    (flags & HAS_ADDRESS != 0).then_some((address, (flags & HAS_PORT != 0).then_some(port)))
}
