//! Chains of the firewall that the kernel had before nftables at which the host forwards packets: `FORWARD` of its filter table,
//! with what it leads to. What it drops is found as in nftables ([`crate::forward`]), and let through by rules in front.
//!
//! It is looked at only where this network namespace has such a table and the programs that tell of it are installed.

use std::fmt;

use error::Result;

use crate::forward::{DOCKER_USER, Decision, Families, Fate, Way, walk};
use xtables::{Programs, Table, plain, words};

pub use xtables::Family;

const FILTER: &str = "filter";
const FORWARD: &str = "FORWARD";
/// What is written on our rules.
const COMMENT: &str = "-m comment --comment carboy";

/// A chain that drops what is forwarded for a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    family: Family,
    ways: Vec<Way>,
}

/// The program that shows it, and the chain.
impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {FORWARD}", self.family.program())
    }
}

/// The chains that drop what is forwarded from the bridge `link` or to it.
///
/// # Errors
/// A kernel error; refused, with what a program says.
pub fn shut(link: &str, families: Families) -> Result<Vec<Shut>> {
    let mut found = Vec::new();
    for programs in with_filter(families)? {
        let ways = ways_shut(programs.save()?.table(FILTER), link)?;
        if !ways.is_empty() {
            found.push(Shut { family: programs.family(), ways });
        }
    }
    Ok(found)
}

/// Lets what is forwarded from the bridge `link` and to it through.
///
/// # Errors
/// As [`shut`]; refused for a link whose name means something else to iptables.
pub fn open(link: &str, families: Families) -> Result<()> {
    for programs in with_filter(families)? {
        let link = plain(link)?;
        programs.change(|saved| {
            let table = saved.table(FILTER)?;
            opening(table, link, &ways_shut(Some(table), link).ok()?)
        })?;
    }
    Ok(())
}

/// Takes the rules away by which a bridge's packets were let through.
///
/// # Errors
/// As [`shut`].
pub fn close(link: &str) -> Result<()> {
    with_filter(Families::Both)?
        .iter()
        .try_for_each(|programs| programs.change(|saved| closing(saved.table(FILTER)?, link)))
}

/// The programs of each family that has a filter table here.
fn with_filter(families: Families) -> Result<Vec<Programs>> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let is_meant = families == Families::Both || family == Family::Ipv4;
        if is_meant && family.tables()?.iter().any(|table| table == FILTER) {
            found.extend(Programs::find(family));
        }
    }
    Ok(found)
}

fn ways_shut(table: Option<&Table>, link: &str) -> Result<Vec<Way>> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let mut ways = Vec::new();
    for way in Way::BOTH {
        let decisions = |chain: &str| {
            let rules = table.rules(chain).map(words);
            let held = rules.filter(|rule| holds(rule, (way, link)));
            Ok(held.filter_map(|rule| decision(&rule, table)).collect())
        };
        let fate = walk(FORWARD, &decisions)?;
        let drops_rest = fate == Fate::Undecided && table.policy(FORWARD) == Some("DROP");
        ways.extend((fate == Fate::Dropped || drops_rest).then_some(way));
    }
    Ok(ways)
}

/// What opens these ways.
fn opening(table: &Table, link: &str, ways: &[Way]) -> Option<String> {
    let asks_others = table.rules(FORWARD).any(|rule| rule == format!("-j {DOCKER_USER}"));
    let chain = if asks_others { DOCKER_USER } else { FORWARD };
    let rules: String =
        ways.iter().map(|way| format!("-I {chain} 1 {} {link} {COMMENT} -j ACCEPT\n", flag(*way))).collect();
    (!rules.is_empty()).then(|| format!("*{FILTER}\n{rules}COMMIT\n"))
}

fn closing(table: &Table, link: &str) -> Option<String> {
    let ours = |chain: &'static str| {
        let of_link = Way::BOTH.map(|way| format!("{} {link} {COMMENT} -j ACCEPT", flag(way)));
        table.rules(chain).filter(move |rule| of_link.iter().any(|own| own == rule)).map(move |rule| (chain, rule))
    };
    let rules: String =
        [FORWARD, DOCKER_USER].into_iter().flat_map(ours).map(|(chain, rule)| format!("-D {chain} {rule}\n")).collect();
    (!rules.is_empty()).then(|| format!("*{FILTER}\n{rules}COMMIT\n"))
}

const fn flag(way: Way) -> &'static str {
    match way {
        Way::From => "-i",
        Way::To => "-o",
    }
}

/// Whether a rule holds for each packet that goes this way by a link.
fn holds(rule: &[String], (way, link): (Way, &str)) -> bool {
    let mut rest = rule.iter().map(String::as_str);
    let mut wanted = true;
    while let Some(word) = rest.next() {
        match word {
            "!" => wanted = false,
            word if word == flag(way) => {
                let name = rest.next().unwrap_or_default();
                let is_it = name.strip_suffix('+').map_or(name == link, |start| link.starts_with(start));
                if is_it != wanted {
                    return false;
                }
                wanted = true;
            }
            "-m" if rest.next() == Some("comment") => {}
            "--comment" => drop(rest.next()),
            // Behind its target stand options of that.
            "-j" | "-g" => return true,
            _ => return false,
        }
    }
    true
}

/// What a rule does where it holds.
fn decision(rule: &[String], table: &Table) -> Option<Decision> {
    let at = rule.iter().position(|word| word == "-j" || word == "-g")?;
    let to = rule.get(at + 1)?;
    match to.as_str() {
        "ACCEPT" => Some(Decision::Accept),
        "DROP" | "REJECT" => Some(Decision::Drop),
        "RETURN" => Some(Decision::Return),
        chain => {
            table.policy(chain)?;
            let is_goto = rule.get(at).is_some_and(|word| word == "-g");
            Some(if is_goto { Decision::Goto(chain.to_owned()) } else { Decision::Jump(chain.to_owned()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtables::Saved;

    fn saved(forward: &str) -> Saved {
        Saved::parse(&format!("*filter\n:FORWARD {forward}\nCOMMIT\n"))
    }

    /// Which ways are shut for `br9`.
    fn ways(forward: &str) -> Vec<Way> {
        ways_shut(saved(forward).table("filter"), "br9").unwrap()
    }

    #[test]
    fn a_way_is_shut_where_nothing_lets_the_links_packets_through_for_sure() {
        assert_eq!(ways("ACCEPT [0:0]"), []);
        assert_eq!(ways("DROP [0:0]\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"), Way::BOTH);
        assert_eq!(ways("DROP [0:0]\n-A FORWARD -i br9 -j ACCEPT\n-A FORWARD -o br8 -j ACCEPT"), [Way::To]);
        assert_eq!(ways("DROP [0:0]\n-A FORWARD -i br9 -o br9 -j ACCEPT"), Way::BOTH);
        assert_eq!(
            ways(
                "DROP [0:0]\n-A FORWARD -i br+ -m comment --comment \"a b\" -j ACCEPT\n-A FORWARD ! -o eth0 -j ACCEPT"
            ),
            []
        );
        assert_eq!(
            ways(
                "ACCEPT [0:0]\n-A FORWARD ! -i br9 -j ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable"
            ),
            Way::BOTH
        );
        assert_eq!(
            ways(
                "ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A FORWARD -j A\n-A FORWARD -o br9 -j DROP\n-A A -i br9 -g B\n-A A -j LOG --log-prefix \"-j DROP\"\n-A B -j DROP"
            ),
            Way::BOTH
        );
        assert_eq!(ways("DROP [0:0]\n:A - [0:0]\n-A FORWARD -j A\n-A A -j A"), Way::BOTH);
    }

    #[test]
    fn a_network_is_opened_in_front_or_in_dockers_chain_for_others_and_closed_by_the_same_rules() {
        let plain = saved("DROP [0:0]");
        assert_eq!(
            opening(plain.table("filter").unwrap(), "br9", &Way::BOTH).unwrap(),
            "*filter\n-I FORWARD 1 -i br9 -m comment --comment carboy -j ACCEPT\n-I FORWARD 1 -o br9 -m comment --comment carboy -j ACCEPT\nCOMMIT\n"
        );
        assert_eq!(opening(plain.table("filter").unwrap(), "br9", &[]), None);
        let docker = saved(
            "DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i br9 -m comment --comment carboy -j ACCEPT\n-A DOCKER-USER -i br99 -m comment --comment carboy -j ACCEPT",
        );
        let docker = docker.table("filter").unwrap();
        assert_eq!(
            opening(docker, "br9", &[Way::To]).unwrap(),
            "*filter\n-I DOCKER-USER 1 -o br9 -m comment --comment carboy -j ACCEPT\nCOMMIT\n"
        );
        assert_eq!(
            closing(docker, "br9").unwrap(),
            "*filter\n-D DOCKER-USER -i br9 -m comment --comment carboy -j ACCEPT\nCOMMIT\n"
        );
        assert_eq!(closing(plain.table("filter").unwrap(), "br9"), None);
    }
}
