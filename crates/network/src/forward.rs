//! Chains of others at which the host forwards packets: what one of them drops nobody else can let through. Whether they drop
//! those of a network, and rules in front that let them through, which are found again by what is written on them.
//!
//! A rule is followed as far as it speaks of links alone; one that asks for anything else is taken for none, since it
//! may hold or not. Rules of iptables-nft are in nftables, too; those of its legacy form are in [`crate::legacy`].

use std::fmt;

use error::{Errno, Result};
use netlink::nftables::{
    self as nft, Chain, Comparison, Hook, Meta, Register, Verdict, compare, decide, expressions, meta,
};

use crate::firewall::Firewall;

/// `NFPROTO_INET`, `NFPROTO_IPV4` and `NFPROTO_IPV6`, with nft's words for them.
const FAMILIES: [(u8, &str); 3] = [(1, "inet"), (2, "ip"), (10, "ip6")];
/// Docker keeps it for the rules of others, asks it first, and leaves it alone.
pub(crate) const DOCKER_USER: &str = "DOCKER-USER";
/// `NFTNL_UDATA_RULE_COMMENT`, its length, and the text.
const COMMENT: &[u8] = b"\x00\x07carboy\0";
/// As deep as the kernel lets chains lead to others: `NFT_JUMP_STACK_SIZE`.
const DEEPEST: usize = 16;

/// The packets that the host forwards for a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// Those of IPv4 alone.
    Ipv4,
    /// Those of IPv6, too.
    Both,
}

/// Which of a network's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    From,
    To,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::From, Self::To];

    const fn key(self) -> Meta {
        match self {
            Self::From => Meta::InName,
            Self::To => Meta::OutName,
        }
    }
}

/// A chain of another table that drops what is forwarded for a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    chain: Chain,
    ways: Vec<Way>,
}

/// As nft names chains: `ip filter FORWARD`.
impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = FAMILIES.iter().find(|(family, _)| *family == self.chain.family).map_or("", |(_, word)| word);
        write!(f, "{family} {} {}", self.chain.table, self.chain.name)
    }
}

/// What comes of a packet in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    Dropped,
    /// The chain says nothing of it.
    Undecided,
}

/// What a rule does with a packet that it holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

impl Firewall {
    /// The chains of others that drop what is forwarded from the bridge `link` or to it.
    ///
    /// # Errors
    /// A kernel error.
    pub fn shut(&self, link: &str, families: Families) -> Result<Vec<Shut>> {
        let mut found = Vec::new();
        for chain in self.forward_chains()? {
            if families == Families::Ipv4 && chain.family == 10 {
                continue;
            }
            let mut ways = Vec::new();
            for way in Way::BOTH {
                let decisions = |name: &str| {
                    let rules = self.rules_in(&Chain { name: name.to_owned(), ..chain.clone() })?;
                    Ok(rules.iter().filter(|rule| holds(rule, (way, link))).filter_map(|rule| decision(rule)).collect())
                };
                let fate = walk(&chain.name, &decisions)?;
                let drops_rest = fate == Fate::Undecided && chain.policy == Some(0);
                ways.extend((fate == Fate::Dropped || drops_rest).then_some(way));
            }
            if !ways.is_empty() {
                found.push(Shut { chain, ways });
            }
        }
        Ok(found)
    }

    /// Lets what is forwarded from the bridge `link` and to it through the chains of others that drop it.
    ///
    /// # Errors
    /// A kernel error.
    pub fn open_forward(&self, link: &str, families: Families) -> Result<()> {
        let mut said = Vec::new();
        for Shut { chain, ways } in self.shut(link, families)? {
            let asks_others = self
                .rules_in(&chain)?
                .iter()
                .any(|rule| matches!(decision(rule), Some(Decision::Jump(to)) if to == DOCKER_USER));
            let place = if asks_others { Chain { name: DOCKER_USER.to_owned(), ..chain } } else { chain };
            said.extend(ways.iter().map(|way| {
                let rule = [
                    meta(way.key(), Register::FIRST),
                    compare(Register::FIRST, Comparison::Equal, &ended(link)),
                    decide(Verdict::Accept),
                ];
                nft::insert_rule(&place, &rule, COMMENT)
            }));
        }
        if said.is_empty() {
            return Ok(());
        }
        self.request(&said).map_err(|errno| self.failed("let a network through beside", errno).into())
    }

    /// Takes the rules away by which a bridge's packets were let through.
    ///
    /// # Errors
    /// A kernel error.
    pub fn close_forward(&self, link: &str) -> Result<()> {
        let is_meant = |chain: &Chain| is_forward(chain) || chain.name == DOCKER_USER;
        for chain in self.chains()?.iter().filter(|chain| is_meant(chain)) {
            for rule in self.rules_in(chain)? {
                let told = rule_of(&rule).filter(|told| told.userdata == COMMENT);
                let Some(told) = told.filter(|_| names(&rule, link)) else { continue };
                match self.request(&[nft::delete_rule(chain, told.handle)]) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(self.failed("take back what was let through beside", errno).into()),
                }
            }
        }
        Ok(())
    }

    fn chains(&self) -> Result<Vec<Chain>> {
        let mut found = Vec::new();
        let mut refused = Ok(());
        let said = self.socket.say(&nft::ask_chains(), |kind, payload| {
            if kind == netlink::kind::ERROR {
                refused = netlink::acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
            }
            found.extend(nft::chain_of(kind, payload));
        });
        said.and(refused).map_err(|errno| self.failed("list the chains beside", errno))?;
        Ok(found)
    }

    fn forward_chains(&self) -> Result<Vec<Chain>> {
        let mut chains = self.chains()?;
        chains.retain(|chain| is_forward(chain) && (chain.family != 1 || chain.table != self.table));
        Ok(chains)
    }

    /// The rules of a chain: of each what is behind its messages' header.
    fn rules_in(&self, chain: &Chain) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        let mut refused = Ok(());
        let said = self.socket.say(&nft::ask_rules_of(chain), |kind, payload| {
            if kind == netlink::kind::ERROR {
                refused = netlink::acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
            } else if kind == nft::kind::NEW_RULE {
                found.push(payload.to_vec());
            }
        });
        match said.and(refused) {
            // Somebody has just removed it.
            Ok(()) | Err(Errno::NOENT) => Ok(found),
            Err(errno) => Err(self.failed("list rules beside", errno).into()),
        }
    }
}

/// What becomes of a packet in a chain. `decisions` gives what the rules of one do, as far as they hold for it.
pub(crate) fn walk(chain: &str, decisions: &impl Fn(&str) -> Result<Vec<Decision>>) -> Result<Fate> {
    descend(chain, decisions, DEEPEST)
}

fn descend(chain: &str, decisions: &impl Fn(&str) -> Result<Vec<Decision>>, deepest: usize) -> Result<Fate> {
    if deepest == 0 {
        return Ok(Fate::Undecided);
    }
    for decision in decisions(chain)? {
        match decision {
            Decision::Accept => return Ok(Fate::Accepted),
            Decision::Drop => return Ok(Fate::Dropped),
            Decision::Return => return Ok(Fate::Undecided),
            Decision::Goto(name) => return descend(&name, decisions, deepest - 1),
            Decision::Jump(name) => match descend(&name, decisions, deepest - 1)? {
                Fate::Undecided => {}
                fate => return Ok(fate),
            },
        }
    }
    Ok(Fate::Undecided)
}

fn is_forward(chain: &Chain) -> bool {
    chain.hook == Some(Hook::Forward as u32) && FAMILIES.iter().any(|(family, _)| *family == chain.family)
}

fn rule_of(payload: &[u8]) -> Option<nft::Rule> {
    nft::rule_of(nft::kind::NEW_RULE, payload)
}

/// A link's name with the NUL that ends it, as iptables compares it.
fn ended(link: &str) -> Vec<u8> {
    [link.as_bytes(), b"\0"].concat()
}

fn each(rule: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    expressions(rule.get(nft::HEADER..).unwrap_or_default())
}

fn number(data: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(netlink::find(data, kind)?.try_into().ok()?))
}

/// The bytes that a comparison wants.
fn compared(data: &[u8]) -> &[u8] {
    netlink::find(data, 3).and_then(|data| netlink::find(data, 1)).unwrap_or_default()
}

/// Whether a rule of ours speaks of this link.
fn names(rule: &[u8], link: &str) -> bool {
    each(rule).any(|(name, data)| name == b"cmp" && compared(data) == ended(link))
}

/// Whether a rule holds for each packet that goes this way by a link.
fn holds(rule: &[u8], (way, link): (Way, &str)) -> bool {
    let mut loaded = None;
    each(rule).all(|(name, data)| match name {
        b"counter" | b"log" | b"immediate" | b"reject" | b"target" => true,
        // Of iptables.
        b"match" => netlink::find(data, 1) == Some(b"comment\0"),
        b"meta" => {
            loaded = number(data, 2);
            loaded == Some(way.key() as u32)
        }
        b"cmp" if loaded.is_some() => {
            let mut own = link.as_bytes().to_vec();
            own.resize(16, 0);
            let is_same = own.starts_with(compared(data));
            match number(data, 2) {
                Some(0) => is_same,
                Some(1) => !is_same,
                _ => false,
            }
        }
        _ => false,
    })
}

/// What a rule does where it holds.
fn decision(rule: &[u8]) -> Option<Decision> {
    each(rule).find_map(|(name, data)| match name {
        b"reject" => Some(Decision::Drop),
        b"target" => (netlink::find(data, 1) == Some(b"REJECT\0")).then_some(Decision::Drop),
        b"immediate" => {
            let verdict = netlink::find(netlink::find(data, 2)?, 2)?;
            let chain = netlink::find(verdict, 2).map(|chain| String::from_utf8_lossy(chain).replace('\0', ""));
            match number(verdict, 1)?.cast_signed() {
                0 => Some(Decision::Drop),
                1 => Some(Decision::Accept),
                -3 => chain.map(Decision::Jump),
                -4 => chain.map(Decision::Goto),
                -5 => Some(Decision::Return),
                _ => None,
            }
        }
        _ => None,
    })
}

#[cfg(test)]
mod kernel {
    use std::process::Command;

    use sys::namespace::Kinds;

    use super::*;

    /// Which chains are shut for `br9` where nftables has these rules.
    fn shut(rules: &'static str) -> Vec<String> {
        let run = move || {
            sys::namespace::unshare(Kinds::NET).unwrap();
            assert!(Command::new("nft").arg(rules).status().unwrap().success(), "{rules}");
            let firewall = Firewall::open("carboy", "").unwrap();
            let before = listed();
            let found: Vec<String> =
                firewall.shut("br9", Families::Both).unwrap().iter().map(ToString::to_string).collect();
            firewall.open_forward("br9", Families::Both).unwrap();
            assert_eq!(firewall.shut("br9", Families::Both).unwrap(), [], "{}", listed());
            firewall.open_forward("br9", Families::Both).unwrap();
            assert_eq!(listed().matches("comment \"carboy\"").count(), if found.is_empty() { 0 } else { 2 });
            firewall.close_forward("br").unwrap();
            assert!(found.is_empty() || listed() != before, "a bridge whose name it begins with is another");
            firewall.close_forward("br9").unwrap();
            assert_eq!(listed(), before);
            found
        };
        std::thread::spawn(run).join().unwrap()
    }

    fn listed() -> String {
        String::from_utf8(Command::new("nft").args(["list", "ruleset"]).output().unwrap().stdout).unwrap()
    }

    #[test]
    fn a_chain_is_shut_where_nothing_in_it_lets_the_links_packets_through_for_sure() {
        let none: [&str; 0] = [];
        assert_eq!(shut("table ip a { chain b { type filter hook forward priority 0; policy accept; }; }"), none);
        assert_eq!(shut("table ip a { chain b { type filter hook input priority 0; policy drop; }; }"), none);
        assert_eq!(
            shut(
                "table ip a { chain b { type filter hook forward priority 0; policy drop; ct state established accept; iifname \"br8\" accept; }; }"
            ),
            ["ip a b"]
        );
        assert_eq!(
            shut(
                "table inet a { chain b { type filter hook forward priority 0; policy drop; iifname \"br9\" counter accept; oifname \"br*\" accept; }; }"
            ),
            none
        );
        assert_eq!(
            shut(
                "table ip6 a { chain c { goto d; }; chain d { reject; }; chain b { type filter hook forward priority 9; policy accept; iifname != \"br9\" accept; jump c; }; }"
            ),
            ["ip6 a b"]
        );
        assert_eq!(
            shut(
                "table ip a { chain c { iifname \"br9\" return; oifname \"br9\" return; drop; }; chain b { type filter hook forward priority 0; policy accept; jump c; }; }"
            ),
            none
        );
        assert_eq!(
            shut(
                "table ip filter { chain DOCKER-USER { }; chain FORWARD { type filter hook forward priority 0; policy drop; counter jump DOCKER-USER; }; }"
            ),
            ["ip filter FORWARD"]
        );
        assert_eq!(shut("table inet carboy { chain b { type filter hook forward priority 0; policy drop; }; }"), none);
    }
}
