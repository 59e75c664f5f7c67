//! The firewall of a network namespace, as far as it is nftables': also what iptables has put there by its nftables half.
//!
//! It is read once and then asked what names a container's links, addresses and groups, and which ports lead to it.

pub(crate) mod legacy;
mod words;
mod xtables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use error::Errno;
use netlink::Socket;
use netlink::nftables::Chain;
use netlink::nftables::read::{self, Element, Rule as Read, Set};

use self::words::{Anonymous, Datum, Leads, Named, Said, Target};
use crate::snapshot::network::{Part, Published, Rule};

/// The elements that are shown of a set that belongs to a rule.
const SHOWN: usize = 16;
/// The edges of ranges that are kept of a set until they are put together.
const EDGES: usize = 1 << 17;
/// Where packets that go through the host are looked at: `NF_INET_FORWARD`.
const FORWARD: u32 = 2;

/// The firewall of a network namespace.
#[derive(Debug)]
pub(crate) struct Firewall {
    rules: Vec<(Read, Said)>,
    chains: Vec<(Chain, Option<String>)>,
    /// With those of its elements that were kept.
    sets: Vec<(Set, Vec<Element>)>,
    /// Whether there is more than was kept.
    pub(crate) is_cut: bool,
}

/// What tells that a part of a firewall is about somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Links of the host: names and numbers.
    pub(crate) links: Vec<(String, u32)>,
    /// Addresses inside.
    pub(crate) addresses: Vec<IpAddr>,
    /// Groups of v2, by their inodes.
    pub(crate) groups: Vec<(u64, PathBuf)>,
    /// The class of `net_cls`.
    pub(crate) class: Option<u32>,
}

impl Names {
    /// What of these a rule's word is about.
    fn meant(&self, named: &Named) -> Option<String> {
        match named {
            Named::Link(pattern) => {
                let is_it = |name: &str| match pattern.strip_suffix('*') {
                    Some("") => false,
                    Some(begin) => name.starts_with(begin),
                    None => name == pattern,
                };
                self.links.iter().find(|(name, _)| is_it(name)).map(|(name, _)| name.clone())
            }
            Named::Index(index) => self.links.iter().find(|(_, own)| own == index).map(|(name, _)| name.clone()),
            // What all addresses have in common is nobody's name.
            Named::Addresses(first, last) if first.is_unspecified() && first != last => None,
            Named::Addresses(first, last) => {
                let is_it = |own: &&IpAddr| own.is_ipv4() == first.is_ipv4() && first <= *own && *own <= last;
                self.addresses.iter().find(is_it).map(ToString::to_string)
            }
            Named::Group(inode) => {
                self.groups.iter().find(|(own, _)| own == inode).map(|(_, path)| path.display().to_string())
            }
            Named::Path(path) => {
                let path = path.trim_matches('/');
                let is_it = |own: &&(u64, PathBuf)| own.1.to_string_lossy().trim_matches('/') == path;
                self.groups.iter().find(is_it).map(|(_, own)| own.display().to_string())
            }
            Named::Class(class) => self.class.filter(|own| own == class).map(|class| format!("class {class:#010x}")),
            Named::Set(_) => None,
        }
    }

    fn all_meant<'n>(&self, named: impl Iterator<Item = &'n Named>) -> Vec<String> {
        let mut found: Vec<String> = named.filter_map(|named| self.meant(named)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// A table as nft(8) names it.
fn table(family: u8, name: &str) -> String {
    let family = match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "<family not read>",
    };
    format!("{family} {name}")
}

impl Firewall {
    /// Reads it. Of the elements of sets only those are kept that name one of `names`, and the first of those sets that
    /// belong to a rule; of rules, and of sets, no more than `most`: whoever is looked at makes as many as it likes.
    ///
    /// # Errors
    /// The kernel's: `EPERM` without `CAP_NET_ADMIN` there, `EPROTONOSUPPORT` where it has no nftables.
    pub(crate) fn read(socket: &Socket, names: &Names, most: usize) -> Result<Self, Errno> {
        let mut is_cut = false;
        let (mut listed, mut chains, mut rules) = (Vec::new(), Vec::new(), Vec::new());
        read::sets(socket, |set| is_cut |= !keep(&mut listed, set, most))?;
        let mut sets = Vec::new();
        for set in listed {
            let mut kept = Kept::default();
            if set.is_anonymous || is_telling(&set) {
                match read::elements(socket, &set, |element| kept.hear(&set, element, names)) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno),
                }
            }
            is_cut |= kept.is_cut;
            let elements = kept.end(&set, names);
            sets.push((set, elements));
        }
        let anonymous = anonymous(&sets);
        let none = Anonymous::new();
        read::chains(socket, |chain, kind| is_cut |= !keep(&mut chains, (chain, kind), most))?;
        read::rules(socket, |rule| {
            is_cut |= rules.len() >= most;
            if rules.len() < most {
                let said = words::of(&rule, anonymous.get(&(rule.family, rule.table.as_str())).unwrap_or(&none));
                rules.push((rule, said));
            }
        })?;
        drop(anonymous);
        Ok(Self { rules, chains, sets, is_cut })
    }

    /// Every rule.
    pub(crate) fn all(&self, names: &Names) -> Vec<Rule> {
        self.rules.iter().map(|(read, said)| rule(read, said, names.all_meant(said.names.iter()))).collect()
    }

    /// What is about somebody: rules, elements of sets, and for who has an address that what goes through the host is
    /// dropped where no rule of a chain lets it. Table by table.
    pub(crate) fn about(&self, names: &Names) -> Vec<Rule> {
        let mut found = if names.addresses.is_empty() { Vec::new() } else { self.policies() };
        let meant: Vec<Vec<String>> = self.rules.iter().map(|(read, said)| self.meant(read, said, names)).collect();
        let asked = self.asked(&meant);
        for ((read, said), meant) in self.rules.iter().zip(meant) {
            let decides = said.names.is_empty() && asked.contains(&(read.family, &read.table, &read.chain));
            if !meant.is_empty() || decides {
                found.push(rule(read, said, meant));
            }
        }
        for (set, elements) in self.sets.iter().filter(|(set, _)| !set.is_anonymous) {
            let meant = elements.iter().map(|element| (element, names.all_meant(named_by(set, element).iter())));
            found.extend(meant.filter(|(_, meant)| !meant.is_empty()).map(|(element, meant)| Rule {
                part: Part::Element,
                table: table(set.family, &set.table),
                of: set.name.clone(),
                handle: set.handle,
                text: words::element(&set.key, &set.value, element),
                names: meant,
            }));
        }
        let mut tables: Vec<String> = Vec::new();
        for rule in &found {
            if !tables.contains(&rule.table) {
                tables.push(rule.table.clone());
            }
        }
        found.sort_by_key(|rule| tables.iter().position(|table| *table == rule.table));
        found
    }

    /// What of these a rule names, also by a set that it looks up.
    fn meant(&self, read: &Read, said: &Said, names: &Names) -> Vec<String> {
        let in_sets = said.names.iter().flat_map(|named| self.in_set(read, named));
        let all: Vec<Named> = said.names.iter().cloned().chain(in_sets).collect();
        names.all_meant(all.iter())
    }

    /// The chains that are asked by rules which name somebody, and by those that they ask: what names nobody there decides
    /// of them too.
    fn asked(&self, meant: &[Vec<String>]) -> BTreeSet<(u8, &String, &String)> {
        let mut asked = BTreeSet::new();
        loop {
            let before = asked.len();
            for ((read, said), meant) in self.rules.iter().zip(meant) {
                let decides = said.names.is_empty() && asked.contains(&(read.family, &read.table, &read.chain));
                if let Some(chain) = said.jumps.as_ref().filter(|_| decides || !meant.is_empty()) {
                    asked.insert((read.family, &read.table, chain));
                }
            }
            if asked.len() == before {
                return asked;
            }
        }
    }

    fn policies(&self) -> Vec<Rule> {
        let drops = self.chains.iter().filter(|(chain, _)| chain.hook == Some(FORWARD) && chain.policy == Some(0));
        let policy = |(chain, kind): &(Chain, Option<String>)| Rule {
            part: Part::Policy,
            table: table(chain.family, &chain.table),
            of: chain.name.clone(),
            handle: 0,
            text: format!("type {} hook forward; policy drop", kind.as_deref().unwrap_or("filter")),
            names: Vec::new(),
        };
        drops.map(policy).collect()
    }

    /// What the elements name that were kept of a set which a rule looks up.
    fn in_set(&self, rule: &Read, named: &Named) -> Vec<Named> {
        let Named::Set(name) = named else { return Vec::new() };
        let is_it = |set: &Set| (set.family, &set.table, &set.name) == (rule.family, &rule.table, name);
        let found = self.sets.iter().find(|(set, _)| is_it(set));
        let named = |(set, elements): &(Set, Vec<Element>)| -> Vec<Named> {
            elements.iter().flat_map(|element| named_by(set, element)).collect()
        };
        found.map(named).unwrap_or_default()
    }

    /// The ports of the host that lead to one of these addresses.
    pub(crate) fn published(&self, names: &Names) -> Vec<Published> {
        let mut found = Vec::new();
        for (read, said) in &self.rules {
            let Some(leads) = &said.leads else { continue };
            match &leads.to {
                Target::At(to, port) if names.addresses.contains(to) => {
                    found.push(published(
                        leads,
                        (*to, *port),
                        format!("{} {}", table(read.family, &read.table), read.chain),
                    ));
                }
                Target::At(..) => {}
                Target::Map(name) => {
                    let is_it = |set: &Set| (set.family, &set.table, &set.name) == (read.family, &read.table, name);
                    if let Some((set, elements)) = self.sets.iter().find(|(set, _)| is_it(set)) {
                        found.extend(elements.iter().filter_map(|element| by_element(leads, set, element, names)));
                    }
                }
            }
        }
        found.sort_unstable();
        // The same port is looked up for what comes in and for what the host itself sends.
        found.dedup_by(|one, other| {
            let key = |one: &Published| (one.address, one.protocol.clone(), one.ports, one.to, one.port);
            key(one) == key(other)
        });
        found
    }
}

/// Keeps one of at most `most`; whether it did.
fn keep<T>(all: &mut Vec<T>, one: T, most: usize) -> bool {
    let has_room = all.len() < most;
    if has_room {
        all.push(one);
    }
    has_room
}

/// The elements of sets that belong to rules in words, by the tables.
fn anonymous(sets: &[(Set, Vec<Element>)]) -> BTreeMap<(u8, &str), Anonymous> {
    let mut found: BTreeMap<(u8, &str), Anonymous> = BTreeMap::new();
    for (set, elements) in sets.iter().filter(|(set, _)| set.is_anonymous) {
        let mut said: Vec<String> =
            elements.iter().take(SHOWN).map(|element| words::element(&set.key, &set.value, element)).collect();
        if elements.len() > SHOWN {
            said.push("…".to_owned());
        }
        found.entry((set.family, &set.table)).or_default().insert(set.name.clone(), said);
    }
    found
}

fn rule(read: &Read, said: &Said, names: Vec<String>) -> Rule {
    Rule {
        part: Part::Rule,
        table: table(read.family, &read.table),
        of: read.chain.clone(),
        handle: read.handle,
        text: said.text.clone(),
        names,
    }
}

fn published(leads: &Leads, (to, port): (IpAddr, Option<u16>), by: String) -> Published {
    let protocol = leads.protocol.map(words::protocol).unwrap_or_default();
    Published { address: leads.at, protocol, ports: leads.ports, to, port, by }
}

/// A port that an element of a map publishes: its key has the host's address, the transport and the port, as far as they
/// are asked for.
fn by_element(leads: &Leads, set: &Set, element: &Element, names: &Names) -> Option<Published> {
    let port = |bytes: &[u8]| bytes.try_into().ok().map(u16::from_be_bytes);
    let (mut leads, mut to, mut inside) = (leads.clone(), None, None);
    for (kind, part) in words::parts(&set.key, &element.key) {
        match kind {
            7 | 8 => leads.at = words::address(part),
            12 => leads.protocol = part.first().copied(),
            13 => leads.ports = port(part).map(|port| (port, port)),
            _ => {}
        }
    }
    for (kind, part) in words::parts(&set.value, &element.value) {
        match kind {
            7 | 8 => to = words::address(part),
            13 => inside = port(part),
            _ => {}
        }
    }
    let to = to.filter(|to| names.addresses.contains(to))?;
    Some(published(&leads, (to, inside), format!("{} {}", table(set.family, &set.table), set.name)))
}

/// Whether a set's elements can name a link, an address, a group or a class.
fn is_telling(set: &Set) -> bool {
    set.key.iter().chain(&set.value).any(|kind| matches!(kind, 7 | 8 | 20 | 23 | 41 | 46))
}

fn named_by(set: &Set, element: &Element) -> Vec<Named> {
    let last = element.last.as_deref().unwrap_or(&element.key);
    let keys = words::parts(&set.key, &element.key).into_iter().zip(words::parts(&set.key, last));
    let values = words::parts(&set.value, &element.value).into_iter().map(|value| (value, value));
    let named = |((kind, first), (_, last)): (Datum<'_>, Datum<'_>)| match kind {
        7 | 8 => words::address(first).zip(words::address(last)).map(|(first, last)| Named::Addresses(first, last)),
        20 => words::own_order(first).map(Named::Index),
        23 => words::own_order(first).map(Named::Class),
        41 => Some(Named::Link(words::link(first))),
        46 => first.try_into().ok().map(|bytes| Named::Group(u64::from_ne_bytes(bytes))),
        _ => None,
    };
    keys.chain(values).filter_map(named).collect()
}

/// The elements of a set that are kept while it is read.
#[derive(Debug, Default)]
struct Kept {
    elements: Vec<Element>,
    /// The edges of ranges, which are told of one by one.
    edges: Vec<(Vec<u8>, bool, Vec<u8>)>,
    /// Whether there were more edges than are kept.
    is_cut: bool,
}

impl Kept {
    fn hear(&mut self, set: &Set, element: Element, names: &Names) {
        if set.has_ranges && element.last.is_none() {
            self.is_cut |= !keep(&mut self.edges, (element.key, element.is_end, element.value), EDGES);
        } else if (set.is_anonymous && self.elements.len() <= SHOWN)
            || !names.all_meant(named_by(set, &element).iter()).is_empty()
        {
            self.elements.push(element);
        }
    }

    /// With the ranges, each from one edge to the next.
    fn end(mut self, set: &Set, names: &Names) -> Vec<Element> {
        self.edges.sort_unstable_by(|one, other| (&one.0, !one.1).cmp(&(&other.0, !other.1)));
        let ends = self.edges.iter().skip(1).map(Some).chain([None]);
        for ((first, is_end, value), next) in self.edges.iter().zip(ends) {
            if *is_end {
                continue;
            }
            let last = next.map_or_else(|| vec![0xff; first.len()], |(edge, ..)| before(edge));
            let element = Element { key: first.clone(), last: Some(last), is_end: false, value: value.clone() };
            let is_shown = set.is_anonymous && self.elements.len() <= SHOWN;
            if is_shown || !names.all_meant(named_by(set, &element).iter()).is_empty() {
                self.elements.push(element);
            }
        }
        self.elements
    }
}

/// The number before one, of as many bytes.
fn before(number: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    bytes
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod kernel;
