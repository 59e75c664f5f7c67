//! What the host's firewall before nftables says, as iptables' legacy form tells it: the rules about somebody, and which ports lead
//! to whom.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use error::Result;
use xtables::{Family, Programs, Saved, Table, words};

use super::Names;
use super::words::Named;
use crate::snapshot::network::{Part, Published, Rule};

/// The tables of both families.
#[derive(Debug, Default)]
pub(crate) struct Legacy(Vec<(Family, Saved)>);

impl Legacy {
    /// Reads those of the caller's network namespace; `None` where the programs that tell of them are not installed.
    ///
    /// # Errors
    /// Refused, with what a program says.
    pub(crate) fn read() -> Result<Option<Self>> {
        let Some(programs) = Family::ALL.into_iter().map(Programs::find).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let saved: Result<_> =
            programs.iter().map(|programs| programs.save().map(|saved| (programs.family(), saved))).collect();
        saved.map(|saved| Some(Self(saved)))
    }

    fn tables(&self) -> impl Iterator<Item = (String, &Table)> {
        self.0.iter().flat_map(|(family, saved)| {
            saved.tables().map(|table| (format!("{} {}", family.program(), table.name), table))
        })
    }

    /// The ports that lead to one of these addresses.
    pub(crate) fn published(&self, names: &Names) -> Vec<Published> {
        let mut found = Vec::new();
        for (title, table) in self.tables() {
            for chain in table.chains() {
                let led = table.rules(chain).filter_map(|rule| led(&words(rule), &format!("{title} {chain}")));
                found.extend(led.filter(|one| names.addresses.contains(&one.to)));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// The rules that name one of these, those without a name in chains that they ask, and the policies by which what is
    /// forwarded is dropped.
    pub(crate) fn about(&self, names: &Names) -> Vec<Rule> {
        let mut found = Vec::new();
        for (title, table) in self.tables() {
            if table.policy("FORWARD") == Some("DROP") && !names.addresses.is_empty() {
                let policy = "policy DROP".to_owned();
                found.push(rule((Part::Policy, &title, "FORWARD"), (0, policy), Vec::new()));
            }
            let all: Vec<(&str, u64, &str)> = table
                .chains()
                .flat_map(|chain| (1..).zip(table.rules(chain)).map(move |(number, rule)| (chain, number, rule)))
                .collect();
            let meant: Vec<Vec<String>> =
                all.iter().map(|(.., rule)| names.all_meant(named(&words(rule)).iter())).collect();
            let naming = all.iter().zip(&meant).filter(|(_, meant)| !meant.is_empty());
            let asked: BTreeSet<String> =
                naming.filter_map(|((.., rule), _)| after(&words(rule), &["-j", "-g"]).map(str::to_owned)).collect();
            for ((chain, number, text), meant) in all.iter().zip(meant) {
                let decides = asked.contains(*chain) && named(&words(text)).is_empty();
                if decides || !meant.is_empty() {
                    found.push(rule((Part::Rule, &title, chain), (*number, (*text).to_owned()), meant));
                }
            }
        }
        found
    }
}

fn rule((part, table, of): (Part, &str, &str), (handle, text): (u64, String), names: Vec<String>) -> Rule {
    Rule { part, table: table.to_owned(), of: of.to_owned(), handle, text, names }
}

/// The word behind one of these.
fn after<'w>(words: &'w [String], flags: &[&str]) -> Option<&'w str> {
    let at = words.iter().position(|word| flags.contains(&word.as_str()))?;
    words.get(at + 1).map(String::as_str)
}

/// The same, where it is not denied.
fn is<'w>(words: &'w [String], flag: &str) -> Option<&'w str> {
    let at = words.iter().position(|word| word == flag)?;
    let denied = at.checked_sub(1).and_then(|before| words.get(before)).is_some_and(|word| word == "!");
    words.get(at + 1).map(String::as_str).filter(|_| !denied)
}

/// What a rule is about.
fn named(words: &[String]) -> Vec<Named> {
    let mut found = Vec::new();
    for (flag, value) in words.iter().zip(words.iter().skip(1)) {
        match flag.as_str() {
            "-i" | "-o" => {
                let name = value.strip_suffix('+').map_or_else(|| value.clone(), |begin| format!("{begin}*"));
                found.push(Named::Link(name));
            }
            "-s" | "-d" => found.extend(net(value).map(|(first, last)| Named::Addresses(first, last))),
            "--to-destination" => found.extend(target(value).map(|(to, _)| Named::Addresses(to, to))),
            _ => {}
        }
    }
    found
}

/// The first and the last address of `10.0.0.0/8`.
fn net(word: &str) -> Option<(IpAddr, IpAddr)> {
    let (address, length) = word.split_once('/').unwrap_or((word, ""));
    match address.parse().ok()? {
        IpAddr::V4(address) => {
            let length = length.parse().unwrap_or(32_u32);
            let rest = u32::MAX.checked_shr(length).unwrap_or(0);
            let bits = u32::from(address);
            Some((Ipv4Addr::from(bits & !rest).into(), Ipv4Addr::from(bits | rest).into()))
        }
        IpAddr::V6(address) => {
            let length = length.parse().unwrap_or(128_u32);
            let rest = u128::MAX.checked_shr(length).unwrap_or(0);
            let bits = u128::from(address);
            Some((Ipv6Addr::from(bits & !rest).into(), Ipv6Addr::from(bits | rest).into()))
        }
    }
}

/// Where a destination is changed to.
fn target(word: &str) -> Option<(IpAddr, Option<u16>)> {
    let socket = word.parse().map(|to: SocketAddr| (to.ip(), Some(to.port())));
    socket.ok().or_else(|| Some((word.parse().ok()?, None)))
}

/// The port that a rule publishes.
fn led(words: &[String], by: &str) -> Option<Published> {
    let (to, port) = target(is(words, "--to-destination")?)?;
    let ports = is(words, "--dport").and_then(|ports| {
        let (first, last) = ports.split_once(':').unwrap_or((ports, ports));
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    Some(Published {
        address: is(words, "-d").and_then(net).filter(|(first, last)| first == last).map(|(address, _)| address),
        protocol: is(words, "-p").unwrap_or_default().to_owned(),
        ports,
        to,
        port,
        by: by.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
*filter
:FORWARD DROP [0:0]
COMMIT
*mangle
:FORWARD ACCEPT [0:0]
:CARBOY-FORWARD - [0:0]
:CARBOY-INTO - [0:0]
-A FORWARD -j CARBOY-FORWARD
-A CARBOY-FORWARD -o br9 -j CARBOY-INTO
-A CARBOY-FORWARD -o br8 -j CARBOY-INTO
-A CARBOY-INTO -j DROP
COMMIT
*nat
:CARBOY-PORTS - [0:0]
-A CARBOY-PORTS -d 127.0.0.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.1.0.2:5353
-A CARBOY-PORTS -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8080:8081 -j DNAT --to-destination 10.1.0.2
-A CARBOY-PORTS -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.1.0.3:1
-A CARBOY-PORTS -s 10.0.0.0/8 -j RETURN
COMMIT
";

    fn legacy() -> Legacy {
        Legacy(vec![(Family::Ipv4, Saved::parse(SAVED))])
    }

    fn web() -> Names {
        Names { links: vec![("br9".to_owned(), 3)], addresses: vec!["10.1.0.2".parse().unwrap()], ..Names::default() }
    }

    #[test]
    fn what_is_published_is_what_leads_to_one_of_its_addresses() {
        let at = |one: Published| (one.address, one.protocol, one.ports, one.port, one.by);
        let by = "iptables-legacy nat CARBOY-PORTS".to_owned();
        let (udp, tcp) = ("udp".to_owned(), "tcp".to_owned());
        let found: Vec<_> = legacy().published(&web()).into_iter().map(at).collect();
        assert_eq!(
            found,
            [
                (None, tcp, Some((8080, 8081)), None, by.clone()),
                (Some("127.0.0.1".parse().unwrap()), udp, Some((53, 53)), Some(5353), by)
            ]
        );
    }

    #[test]
    fn rules_about_somebody_are_those_that_name_it_and_what_these_ask() {
        let told = |rule: Rule| format!("{} {} {} {}", rule.table, rule.of, rule.handle, rule.names.join(","));
        let found: Vec<String> = legacy().about(&web()).into_iter().map(told).collect();
        assert_eq!(
            found,
            [
                "iptables-legacy filter FORWARD 0 ",
                "iptables-legacy mangle CARBOY-FORWARD 1 br9",
                "iptables-legacy mangle CARBOY-INTO 1 ",
                "iptables-legacy nat CARBOY-PORTS 1 10.1.0.2",
                "iptables-legacy nat CARBOY-PORTS 2 10.1.0.2",
                "iptables-legacy nat CARBOY-PORTS 4 10.1.0.2",
            ]
        );
        assert_eq!(legacy().about(&Names::default()), []);
    }

    #[test]
    fn a_net_is_its_first_and_last_address() {
        let told = |word: &str| net(word).map(|(first, last)| format!("{first} {last}"));
        assert_eq!(told("10.1.2.3/8").as_deref(), Some("10.0.0.0 10.255.255.255"));
        assert_eq!(told("0.0.0.0/0").as_deref(), Some("0.0.0.0 255.255.255.255"));
        assert_eq!(told("fd00::1").as_deref(), Some("fd00::1 fd00::1"));
        assert_eq!(told("x"), None);
    }
}
