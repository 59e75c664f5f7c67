//! A rule in the words of nft(8), and what it names: its steps are followed from register to register. Pure.
//!
//! What this reader does not know is said as `<… not read>`, never left out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink::nftables::read::{Element, Expression, Part, Rule};

use super::xtables;

/// A rule as it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Said {
    /// The words.
    pub(crate) text: String,
    /// What it names.
    pub(crate) names: Vec<Named>,
    /// Where it sends packets to, if it changes their destination.
    pub(crate) leads: Option<Leads>,
    /// The chain that it has asked, if it does.
    pub(crate) jumps: Option<String>,
}

/// Something that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// A link by its name; one that ends with `*` stands for all that begin so.
    Link(String),
    /// A link by its number.
    Index(u32),
    /// All addresses from one to another.
    Addresses(IpAddr, IpAddr),
    /// A group of v2 by its inode.
    Group(u64),
    /// A group by its path.
    Path(String),
    /// A class of `net_cls`.
    Class(u32),
    /// A set.
    Set(String),
}

/// A change of the destination, and what is asked of the packets before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Leads {
    /// The host's address.
    pub(crate) at: Option<IpAddr>,
    /// The transport.
    pub(crate) protocol: Option<u8>,
    /// The ports of the host.
    pub(crate) ports: Option<(u16, u16)>,
    /// Where to.
    pub(crate) to: Target,
}

/// Where packets are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// There.
    At(IpAddr, Option<u16>),
    /// To what the map of this name has.
    Map(String),
}

impl Default for Target {
    fn default() -> Self {
        Self::Map(String::new())
    }
}

/// What kind of value a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Address,
    Port,
    Protocol,
    Family,
    Link,
    Index,
    State,
    Status,
    Group,
    Class,
    LocalType,
    Other,
}

/// How a value is to stand to what a test names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It is that, or in that range.
    Within,
    /// Anything else.
    Otherwise,
}

impl Wanted {
    const fn of(operator: u32) -> Self {
        if operator == 0 { Self::Within } else { Self::Otherwise }
    }
}

#[derive(Debug, Clone)]
struct Loaded {
    name: String,
    kind: Kind,
    /// Whether it is a packet's destination.
    is_destination: bool,
    mask: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    map: Option<String>,
}

impl Loaded {
    fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, is_destination: false, mask: None, value: None, map: None }
    }
}

/// The elements of the sets that belong to rules, by their names.
pub(crate) type Anonymous = BTreeMap<String, Vec<String>>;

/// What a rule says.
pub(crate) fn of(rule: &Rule, sets: &Anonymous) -> Said {
    let version = match rule.family {
        2 => Some(2),
        10 => Some(10),
        _ => None,
    };
    let mut reader = Reader { version, has_both: version.is_none(), ..Reader::new(sets) };
    rule.expressions.iter().for_each(|step| reader.step(step));
    let Reader { words, said, .. } = reader;
    Said { text: words.into_iter().flatten().collect::<Vec<_>>().join(" "), ..said }
}

struct Reader<'s> {
    registers: BTreeMap<Part, Loaded>,
    /// The words; what turned out to be said by a later one is gone.
    words: Vec<Option<String>>,
    said: Said,
    leads: Leads,
    sets: &'s Anonymous,
    /// `AF_INET` or `AF_INET6`, where that is known.
    version: Option<u8>,
    /// Whether the table is of both.
    has_both: bool,
    transport: Option<u8>,
    /// The words that tell of these two.
    version_at: Option<usize>,
    transport_at: Option<usize>,
    /// What was asked to be at least, by the step before.
    edge: Option<(String, Vec<u8>)>,
}

impl<'s> Reader<'s> {
    fn new(sets: &'s Anonymous) -> Self {
        Self {
            registers: BTreeMap::new(),
            words: Vec::new(),
            said: Said::default(),
            leads: Leads::default(),
            sets,
            version: None,
            has_both: false,
            transport: None,
            version_at: None,
            transport_at: None,
            edge: None,
        }
    }

    fn say(&mut self, word: String) {
        self.words.push(Some(word));
    }

    fn unsay(&mut self, at: Option<usize>) {
        if let Some(word) = at.and_then(|at| self.words.get_mut(at)) {
            *word = None;
        }
    }

    fn step(&mut self, step: &Expression) {
        match step {
            Expression::Meta(key, to) => self.load(*to, meta(*key)),
            Expression::Payload { layer, offset, length, to } => {
                let loaded = self.payload(*layer, *offset, *length);
                self.load(*to, loaded);
            }
            Expression::Connection(key, to) => self.load(*to, connection(*key)),
            Expression::Socket(key, level, to) => self.load(*to, socket(*key, *level)),
            Expression::Fib(result, flags, to) => self.load(*to, fib(*result, *flags)),
            Expression::Value(to, value) => {
                let loaded = Loaded { value: Some(value.clone()), ..Loaded::new("", Kind::Other) };
                self.load(*to, loaded);
            }
            Expression::Bitwise { from, to, mask, .. } => {
                if let Some(mut loaded) = self.registers.get(from).cloned() {
                    loaded.mask = Some(mask.clone());
                    self.load(*to, loaded);
                }
            }
            Expression::Compare(..) | Expression::Range(..) | Expression::Lookup { .. } => self.test(step),
            Expression::Match(name, revision, info) => self.old_match(name, *revision, info),
            Expression::Target(name, revision, info) => self.old_target(name, *revision, info),
            _ => self.act(step),
        }
    }

    fn load(&mut self, to: Part, loaded: Loaded) {
        self.registers.insert(to, loaded);
    }

    fn payload(&mut self, layer: u32, offset: u32, length: u32) -> Loaded {
        let other = || {
            let layer = ["ll", "nh", "th", "ih"].get(usize::try_from(layer).unwrap_or(usize::MAX)).unwrap_or(&"?");
            Loaded::new(&format!("@{layer},{},{}", offset * 8, length * 8), Kind::Other)
        };
        let (version, whole) = (self.version, if self.version == Some(10) { 16 } else { 4 });
        let word = if version == Some(10) { "ip6" } else { "ip" };
        let address = |name: &str| {
            let is_destination = name == "daddr";
            Loaded { is_destination, ..Loaded::new(&format!("{word} {name}"), Kind::Address) }
        };
        let loaded = match (layer, offset, version) {
            (1, 12, Some(2)) | (1, 8, Some(10)) if length <= whole => address("saddr"),
            (1, 16, Some(2)) | (1, 24, Some(10)) if length <= whole => address("daddr"),
            (1, 9, Some(2)) if length == 1 => Loaded::new("ip protocol", Kind::Protocol),
            (1, 6, Some(10)) if length == 1 => Loaded::new("ip6 nexthdr", Kind::Protocol),
            (2, 0 | 2, _) if length == 2 => {
                let transport = self.transport.map_or_else(|| "th".to_owned(), protocol);
                let (name, is_destination) = if offset == 0 { ("sport", false) } else { ("dport", true) };
                let is_said = self.transport.is_some();
                let at = self.transport_at.take().filter(|_| is_said);
                self.unsay(at);
                Loaded { is_destination, ..Loaded::new(&format!("{transport} {name}"), Kind::Port) }
            }
            (2, 0, _) if length == 1 && matches!(self.transport, Some(1 | 58)) => {
                let at = self.transport_at.take();
                self.unsay(at);
                let name = if self.transport == Some(1) { "icmp type" } else { "icmpv6 type" };
                Loaded::new(name, Kind::Other)
            }
            (0, 0, _) if length == 6 => Loaded::new("ether daddr", Kind::Other),
            (0, 6, _) if length == 6 => Loaded::new("ether saddr", Kind::Other),
            _ => return other(),
        };
        if layer == 1 {
            let at = self.version_at.take();
            self.unsay(at);
        }
        loaded
    }

    fn at(&self, register: Part) -> Loaded {
        self.registers.get(&register).cloned().unwrap_or_else(|| Loaded::new("<register not read>", Kind::Other))
    }

    fn test(&mut self, step: &Expression) {
        match step {
            Expression::Compare(register, operator, value) => self.compare(&self.at(*register), *operator, value),
            Expression::Range(register, operator, from, to) => {
                let loaded = self.at(*register);
                let not = if *operator == 1 { "!= " } else { "" };
                self.say(format!("{} {not}{}-{}", loaded.name, written(loaded.kind, from), written(loaded.kind, to)));
                self.note(&loaded, (from, to), Wanted::of(*operator));
            }
            Expression::Lookup { set, key, value, is_inverted } => {
                let name = self.joined(*key);
                self.said.names.push(Named::Set(set.clone()));
                if let Some(to) = value {
                    let map = Loaded { map: Some(set.clone()), ..Loaded::new(&name, Kind::Other) };
                    return self.load(*to, map);
                }
                let not = if *is_inverted { "!= " } else { "" };
                let (loaded, set) = (self.at(*key), self.set(set));
                self.forget(&loaded);
                self.say(format!("{name} {not}{set}"));
            }
            _ => {}
        }
    }

    /// What is asked of a packet by a set is not one value.
    fn forget(&mut self, loaded: &Loaded) {
        if loaded.kind == Kind::Protocol {
            self.transport = None;
        }
    }

    /// The names of what lies behind one another from a register on.
    fn joined(&self, key: Part) -> String {
        let mut names = Vec::new();
        let mut next = key;
        while let Some(loaded) = self.registers.get(&next).filter(|loaded| !loaded.name.is_empty()) {
            names.push(loaded.name.as_str());
            next += match loaded.kind {
                Kind::Address if self.version == Some(10) => 4,
                Kind::Link => 4,
                _ => 1,
            };
        }
        if names.is_empty() { "<register not read>".to_owned() } else { names.join(" . ") }
    }

    fn set(&self, name: &str) -> String {
        match self.sets.get(name) {
            Some(elements) => format!("{{ {} }}", elements.join(", ")),
            None => format!("@{name}"),
        }
    }

    fn compare(&mut self, loaded: &Loaded, operator: u32, value: &[u8]) {
        let sign = ["", "!= ", "< ", "<= ", "> ", ">= "].get(usize::try_from(operator).unwrap_or(9)).unwrap_or(&"? ");
        let at = Some(self.words.len());
        match (loaded.kind, loaded.mask.as_deref(), operator) {
            (Kind::State | Kind::Status, Some(mask), 1) if value.iter().all(|byte| *byte == 0) => {
                return self.say(format!("{} {}", loaded.name, written(loaded.kind, mask)));
            }
            (Kind::Family, None, 0) => (self.version, self.version_at) = (value.first().copied(), at),
            (Kind::Protocol, None, 0) => {
                (self.transport, self.transport_at) = (value.first().copied(), at);
                self.leads.protocol = self.transport;
            }
            (Kind::Address, None, _) if self.ends_range(loaded, operator, value) => return,
            (Kind::Address, mask, _) => return self.compare_address(loaded, (operator, sign), value, mask),
            (kind, Some(mask), _) if kind != Kind::Address => {
                let (mask, value) = (hexadecimal(mask), written(kind, value));
                return self.say(format!(
                    "{} & {mask} {}{value}",
                    loaded.name,
                    if operator == 0 { "== " } else { sign }
                ));
            }
            _ => {}
        }
        if self.ends_range(loaded, operator, value) {
            return;
        }
        self.say(format!("{} {sign}{}", loaded.name, written(loaded.kind, value)));
        self.note(loaded, (value, value), Wanted::of(operator));
    }

    /// A range is a lower edge and then an upper one of the same: whether this is the upper.
    fn ends_range(&mut self, loaded: &Loaded, operator: u32, value: &[u8]) -> bool {
        const AT_MOST: u32 = 3;
        const AT_LEAST: u32 = 5;
        let begun = self.edge.take();
        if operator == AT_LEAST {
            self.edge = Some((loaded.name.clone(), value.to_vec()));
        }
        match begun.filter(|(name, _)| operator == AT_MOST && *name == loaded.name) {
            None => false,
            Some((name, first)) => {
                self.words.pop();
                self.say(format!("{name} {}-{}", written(loaded.kind, &first), written(loaded.kind, value)));
                self.note(loaded, (&first, value), Wanted::Within);
                true
            }
        }
    }

    fn compare_address(&mut self, loaded: &Loaded, (operator, sign): (u32, &str), value: &[u8], mask: Option<&[u8]>) {
        let whole = if self.version == Some(10) { 16 } else { 4 };
        let ones: u32 = mask.map_or(u32::try_from(value.len() * 8).unwrap_or(128), |mask| {
            mask.iter().map(|byte| byte.count_ones()).sum()
        });
        let (mut first, mut last) = (value.to_vec(), value.to_vec());
        first.resize(whole, 0);
        last.resize(whole, 0xff);
        if let Some(mask) = mask {
            last.iter_mut().zip(mask).for_each(|(byte, mask)| *byte |= !mask);
        }
        let length = if ones as usize == whole * 8 { String::new() } else { format!("/{ones}") };
        self.say(format!("{} {sign}{}{length}", loaded.name, written(Kind::Address, &first)));
        self.note(loaded, (&first, &last), Wanted::of(operator));
    }

    /// Keeps what a test names, and what it asks of the destination.
    fn note(&mut self, loaded: &Loaded, (first, last): (&[u8], &[u8]), wanted: Wanted) {
        let port = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.try_into().ok()?));
        match loaded.kind {
            Kind::Address => {
                let Some((first, last)) = address(first).zip(address(last)) else { return };
                self.said.names.push(Named::Addresses(first, last));
                if loaded.is_destination && wanted == Wanted::Within && first == last {
                    self.leads.at = Some(first);
                }
            }
            Kind::Port if loaded.is_destination && wanted == Wanted::Within => {
                self.leads.ports = port(first).zip(port(last))
            }
            Kind::Link => self.said.names.push(Named::Link(link(first))),
            Kind::Index => self.said.names.extend(own_order(first).map(Named::Index)),
            Kind::Class => self.said.names.extend(own_order(first).map(Named::Class)),
            Kind::Group => {
                self.said.names.extend(first.try_into().ok().map(|bytes| Named::Group(u64::from_ne_bytes(bytes))));
            }
            _ => {}
        }
    }

    fn act(&mut self, step: &Expression) {
        match step {
            Expression::Verdict(code, chain) => {
                self.said.jumps = chain.clone().or_else(|| self.said.jumps.take());
                self.say(verdict(*code, chain.as_deref()));
            }
            Expression::SetMeta(key, from) => {
                let (name, value) = (meta(*key).name, self.at(*from).value.map(|value| hexadecimal(&value)));
                self.say(format!("{name} set {}", value.unwrap_or_else(|| "<value not read>".to_owned())));
            }
            Expression::SetPayload { layer, offset, length, from } => {
                let Loaded { name, kind, .. } = self.payload(*layer, *offset, *length);
                let value = self.at(*from).value.map(|value| written(kind, &value));
                self.say(format!("{name} set {}", value.unwrap_or_else(|| "<value not read>".to_owned())));
            }
            Expression::Translate { is_destination, family, address, port } => {
                self.version = u8::try_from(*family).ok();
                self.translate(if *is_destination { "dnat" } else { "snat" }, *address, *port);
            }
            Expression::Masquerade => self.say("masquerade".to_owned()),
            Expression::Redirect(port) => {
                let port = port.and_then(|port| self.at(port).value).map(|port| written(Kind::Port, &port));
                self.say(port.map_or_else(|| "redirect".to_owned(), |port| format!("redirect to :{port}")));
            }
            Expression::Counter(packets, bytes) => self.say(format!("counter packets {packets} bytes {bytes}")),
            Expression::Reject => self.say("reject".to_owned()),
            Expression::Other(name) => self.say(format!("<{name} not read>")),
            _ => {}
        }
    }

    fn translate(&mut self, word: &str, at: Option<Part>, port: Option<Part>) {
        let of = |part: Option<Part>| part.and_then(|part| self.registers.get(&part)).cloned();
        let (to, port) = (of(at), of(port));
        let port = port.and_then(|port| port.value).and_then(|port| Some(u16::from_be_bytes(port.try_into().ok()?)));
        // Where a table has both versions of IP, it is said which.
        let of_version = match (self.has_both, self.version) {
            (true, Some(10)) => " ip6",
            (true, Some(_)) => " ip",
            _ => "",
        };
        let target = match to {
            Some(Loaded { map: Some(map), name, .. }) => {
                let set = self.set(&map);
                self.say(format!("{word}{of_version} to {name} map {set}"));
                Target::Map(map)
            }
            Some(Loaded { value: Some(value), .. }) => {
                let Some(to) = address(&value) else { return self.say(format!("{word} <address not read>")) };
                self.said.names.push(Named::Addresses(to, to));
                self.say(format!("{word}{of_version} to {}", with_port(to, port)));
                Target::At(to, port)
            }
            _ => return self.say(format!("{word} <address not read>")),
        };
        if word == "dnat" {
            self.said.leads = Some(Leads { to: target, ..self.leads.clone() });
        }
    }

    fn old_match(&mut self, name: &str, revision: u32, info: &[u8]) {
        let Some(found) = xtables::matched(name, revision, info) else {
            return self.say(format!("xt match {name} <not read>"));
        };
        if let Some(ports) = found.ports {
            self.leads.ports = Some(ports);
            let at = self.transport_at.take();
            self.unsay(at);
        }
        self.said.names.extend(found.names);
        self.say(found.text);
    }

    fn old_target(&mut self, name: &str, revision: u32, info: &[u8]) {
        match xtables::destination(name, revision, info) {
            Some((to, port)) => {
                self.said.names.push(Named::Addresses(to, to));
                self.say(format!("dnat to {}", with_port(to, port)));
                self.said.leads = Some(Leads { to: Target::At(to, port), ..self.leads.clone() });
            }
            None if name == "MASQUERADE" => self.say("masquerade".to_owned()),
            None => self.say(format!("xt target {name} <not read>")),
        }
    }
}

fn meta(key: u32) -> Loaded {
    let (name, kind) = match key {
        3 => ("meta mark", Kind::Other),
        4 => ("iif", Kind::Index),
        5 => ("oif", Kind::Index),
        6 => ("iifname", Kind::Link),
        7 => ("oifname", Kind::Link),
        10 => ("meta skuid", Kind::Other),
        15 => ("meta nfproto", Kind::Family),
        16 => ("meta l4proto", Kind::Protocol),
        23 => ("meta cgroup", Kind::Class),
        key => return Loaded::new(&format!("meta <key {key} not read>"), Kind::Other),
    };
    Loaded::new(name, kind)
}

fn connection(key: u32) -> Loaded {
    let (name, kind) = match key {
        0 => ("ct state", Kind::State),
        2 => ("ct status", Kind::Status),
        3 => ("ct mark", Kind::Other),
        key => return Loaded::new(&format!("ct <key {key} not read>"), Kind::Other),
    };
    Loaded::new(name, kind)
}

fn socket(key: u32, level: u32) -> Loaded {
    match key {
        3 => Loaded::new(&format!("socket cgroupv2 level {level}"), Kind::Group),
        key => Loaded::new(&format!("socket <key {key} not read>"), Kind::Other),
    }
}

fn fib(result: u32, flags: u32) -> Loaded {
    let name = match (result, flags & 3) {
        (3, 1) => "fib saddr type",
        (3, 2) => "fib daddr type",
        _ => return Loaded::new("fib <result not read>", Kind::Other),
    };
    Loaded::new(name, Kind::LocalType)
}

fn verdict(code: i32, chain: Option<&str>) -> String {
    let chain = chain.unwrap_or_default();
    match code {
        0 => "drop".to_owned(),
        1 => "accept".to_owned(),
        -1 => "continue".to_owned(),
        -3 => format!("jump {chain}"),
        -4 => format!("goto {chain}"),
        -5 => "return".to_owned(),
        code => format!("<verdict {code} not read>"),
    }
}

/// An address with a port.
fn with_port(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (address, None) => address.to_string(),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
    }
}

pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

pub(crate) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "ipv6-icmp".to_owned(),
        132 => "sctp".to_owned(),
        number => number.to_string(),
    }
}

/// A link's name, or the beginning of some: what is compared ends with a NUL, or stands for all that go on.
pub(crate) fn link(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let wild = if bytes.contains(&0) { "" } else { "*" };
    format!("{}{wild}", String::from_utf8_lossy(name))
}

pub(crate) fn own_order(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    match <[u8; 4]>::try_from(bytes) {
        Ok(four) => format!("0x{:08x}", u32::from_ne_bytes(four)),
        Err(_) => bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

fn flags(bits: u32, names: &[(u32, &str)]) -> String {
    let set: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { format!("0x{bits:x}") } else { set.join(",") }
}

/// The states of a connection: `NF_CT_STATE_BIT`.
pub(crate) fn states(bits: u32) -> String {
    const STATES: [(u32, &str); 5] =
        [(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")];
    flags(bits, &STATES)
}

fn written(kind: Kind, bytes: &[u8]) -> String {
    const STATUSES: [(u32, &str); 6] =
        [(1, "expected"), (2, "seen-reply"), (4, "assured"), (8, "confirmed"), (16, "snat"), (32, "dnat")];
    let told = match kind {
        Kind::Address => address(bytes).map(|address| address.to_string()),
        Kind::Port => bytes.try_into().ok().map(|port| u16::from_be_bytes(port).to_string()),
        Kind::Protocol => bytes.first().map(|number| protocol(*number)),
        Kind::Family => match bytes.first() {
            Some(2) => Some("ipv4".to_owned()),
            Some(10) => Some("ipv6".to_owned()),
            _ => None,
        },
        Kind::Link => Some(format!("\"{}\"", link(bytes))),
        Kind::Index | Kind::Class => own_order(bytes).map(|number| number.to_string()),
        Kind::State => own_order(bytes).map(states),
        Kind::Status => own_order(bytes).map(|bits| flags(bits, &STATUSES)),
        Kind::Group => bytes.try_into().ok().map(|number| u64::from_ne_bytes(number).to_string()),
        Kind::LocalType => match own_order(bytes) {
            Some(1) => Some("unicast".to_owned()),
            Some(2) => Some("local".to_owned()),
            Some(3) => Some("broadcast".to_owned()),
            _ => None,
        },
        Kind::Other => None,
    };
    told.unwrap_or_else(|| hexadecimal(bytes))
}

/// A part of a key or a value, with its kind by the numbers of nft(8).
pub(crate) type Datum<'b> = (u32, &'b [u8]);

/// The parts of a joined value: each begins at a register's edge.
pub(crate) fn parts<'b>(kinds: &[u32], bytes: &'b [u8]) -> Vec<Datum<'b>> {
    let mut rest = bytes;
    let mut found = Vec::new();
    for kind in kinds {
        let length = match kind {
            7 | 19 | 20 | 23 => 4,
            8 | 41 => 16,
            12 | 2 => 1,
            13 => 2,
            46 => 8,
            _ => rest.len(),
        };
        // Alone, a link's name is as long as it is said.
        let length = if kinds.len() == 1 { rest.len() } else { length };
        let Some((part, behind)) = rest.split_at_checked(length) else { return found };
        found.push((*kind, part));
        rest = behind.get(length.next_multiple_of(4) - length..).unwrap_or_default();
    }
    found
}

/// A part of a key or a value, in words.
pub(crate) fn datum(kind: u32, bytes: &[u8]) -> String {
    let kind = match kind {
        7 | 8 => Kind::Address,
        12 => Kind::Protocol,
        13 => Kind::Port,
        20 => Kind::Index,
        23 => Kind::Class,
        41 => Kind::Link,
        46 => Kind::Group,
        _ => Kind::Other,
    };
    written(kind, bytes)
}

/// An element in words.
pub(crate) fn element(key: &[u32], value: &[u32], element: &Element) -> String {
    let side = |kinds: &[u32], bytes: &[u8]| {
        let told: Vec<String> = parts(kinds, bytes).into_iter().map(|(kind, part)| datum(kind, part)).collect();
        if told.is_empty() { hexadecimal(bytes) } else { told.join(" . ") }
    };
    let mut text = side(key, &element.key);
    if let Some(last) = element.last.as_ref().filter(|last| **last != element.key) {
        text = format!("{text}-{}", side(key, last));
    }
    if element.value.is_empty() { text } else { format!("{text} : {}", side(value, &element.value)) }
}
