//! The rules of all networks of one carboy where the kernel has no nftables: the same as those of [`crate::firewall`], in chains
//! of our own of iptables and ip6tables. All of them are computed anew from what is written down, and put in place of those
//! that are there, a table at once, where these are others.
//!
//! ```text
//! raw PREROUTING       CARBOY-RAW      from outside to or from 127.0.0.0/8 or ::1: drop
//! mangle FORWARD       CARBOY-FORWARD  from and to the same network: nothing; from or to one that is internal: drop; to
//!                                      any of ours, CARBOY-INTO: what belongs to a known connection or to a published port
//! nat PREROUTING,      CARBOY-PORTS    a rule for each published port
//!     OUTPUT
//! nat POSTROUTING      CARBOY-MASQ     as in nftables, but a network's packets are known by its addresses: older kernels
//!                                      do not tell here by which link one came
//! ```
//!
//! What is forwarded is judged in `mangle`, whose FORWARD comes before that of `filter`: there an `ACCEPT` of others would let in
//! what is not published, and one of ours what others drop.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use error::{Refused, Result};
use procfs::Proc;

use crate::IpNet;
use crate::firewall::{Bridge, Loopback6, Reach, Within};
use crate::port::Published;
use xtables::{Family, Programs, Saved, plain};

/// With `-` and what a chain is for behind, names of chains have less than 29 letters.
const LONGEST_PREFIX: usize = 15;

/// The chains of one carboy in the caller's network namespace.
#[derive(Debug)]
pub struct Iptables {
    prefix: String,
    programs: Vec<Programs>,
}

impl Iptables {
    /// The chains of the carboy whose table of nftables would have this name.
    ///
    /// # Errors
    /// Refused where the programs are not installed.
    pub fn find(table: &str) -> Result<Self> {
        let has_ipv6 = Proc::open()?.has("sys/net/ipv6/conf")?;
        let families = Family::ALL.into_iter().filter(|family| has_ipv6 || *family == Family::Ipv4);
        let Some(programs) = families.map(Programs::find).collect::<Option<Vec<_>>>() else {
            let reason = "need nftables, which this kernel has not, or iptables' legacy form, which is not installed";
            let hint = "modprobe nf_tables, or install the package iptables (iptables-legacy on Fedora and Alpine)";
            return Err(Refused::new("networks", "", reason).hint(hint).into());
        };
        let prefix = table.to_uppercase().chars().take(LONGEST_PREFIX).collect();
        Ok(Self { prefix, programs })
    }

    /// Has the chains be those of these networks and ports, and nothing else.
    ///
    /// # Errors
    /// Refused for a bridge whose name means something else to iptables, and with what a program says; a kernel error.
    pub fn assert(&self, bridges: &[Bridge<'_>], ports: &[Published], loopback: Loopback6) -> Result<()> {
        bridges.iter().try_for_each(|bridge| plain(bridge.link).map(drop))?;
        self.programs.iter().try_for_each(|programs| {
            let wanted = self.chains((programs.family(), loopback), bridges, ports);
            programs.change(|saved| change(saved, &wanted))
        })
    }

    /// Takes the chains away.
    ///
    /// # Errors
    /// Refused, with what a program says; a kernel error.
    pub fn remove(&self) -> Result<()> {
        self.programs.iter().try_for_each(|programs| {
            let chains = self.chains((programs.family(), Loopback6::Unanswered), &[], &[]);
            programs.change(|saved| removal(saved, &chains))
        })
    }

    fn chains(&self, of: (Family, Loopback6), bridges: &[Bridge<'_>], ports: &[Published]) -> Vec<Chain> {
        let (family, loopback) = of;
        let chain = |table, name: &str, hooks, rules| Chain { table, name: self.name(name), hooks, rules };
        let ports: Vec<&Published> = ports.iter().filter(|port| family.has(port.to.ip())).collect();
        vec![
            chain("raw", "RAW", &["PREROUTING"], not_from_outside(family)),
            chain("mangle", "FORWARD", &["FORWARD"], forwarded(bridges, &self.name("INTO"))),
            chain("mangle", "INTO", &[], into()),
            chain("nat", "PORTS", &["PREROUTING", "OUTPUT"], published(&ports, loopback)),
            chain("nat", "MASQ", &["POSTROUTING"], sent_as_the_host(family, bridges, &ports)),
        ]
    }

    fn name(&self, chain: &str) -> String {
        format!("{}-{chain}", self.prefix)
    }
}

/// A chain of ours, with its rules as iptables-save(8) tells them.
#[derive(Debug)]
struct Chain {
    table: &'static str,
    name: String,
    /// The chains of the kernel that lead to it.
    hooks: &'static [&'static str],
    rules: Vec<String>,
}

const TABLES: [&str; 3] = ["raw", "mangle", "nat"];

impl Chain {
    fn jump(&self) -> String {
        format!("-j {}", self.name)
    }

    fn jumps(&self, saved: &Saved, hook: &str) -> usize {
        saved.table(self.table).map_or(0, |table| table.rules(hook).filter(|rule| *rule == self.jump()).count())
    }

    fn is_whole(&self, saved: &Saved) -> bool {
        let Some(table) = saved.table(self.table) else { return false };
        let is_led_to = self.hooks.iter().all(|hook| self.jumps(saved, hook) == 1);
        table.policy(&self.name).is_some()
            && is_led_to
            && table.rules(&self.name).eq(self.rules.iter().map(String::as_str))
    }

    /// Makes it, or makes it empty.
    fn made(&self) -> String {
        format!(":{} - [0:0]\n", self.name)
    }
}

/// What makes the chains those that are wanted; nothing where they are.
fn change(saved: &Saved, wanted: &[Chain]) -> Option<String> {
    let mut text = String::new();
    for table in TABLES {
        let chains = || wanted.iter().filter(move |chain| chain.table == table);
        if chains().all(|chain| chain.is_whole(saved)) {
            continue;
        }
        text.push_str(&format!("*{table}\n"));
        text.extend(chains().map(Chain::made));
        for chain in chains() {
            for hook in chain.hooks {
                let jump = chain.jump();
                match chain.jumps(saved, hook) {
                    0 => text.push_str(&format!("-I {hook} 1 {jump}\n")),
                    there => text.push_str(&format!("-D {hook} {jump}\n").repeat(there - 1)),
                }
            }
            text.extend(chain.rules.iter().map(|rule| format!("-A {} {rule}\n", chain.name)));
        }
        text.push_str("COMMIT\n");
    }
    (!text.is_empty()).then_some(text)
}

/// What takes the chains away; nothing where there are none.
fn removal(saved: &Saved, chains: &[Chain]) -> Option<String> {
    let mut text = String::new();
    for table in TABLES {
        let is_there = |chain: &&Chain| {
            chain.table == table && saved.table(table).is_some_and(|table| table.policy(&chain.name).is_some())
        };
        let there: Vec<&Chain> = chains.iter().filter(is_there).collect();
        if there.is_empty() {
            continue;
        }
        text.push_str(&format!("*{table}\n"));
        text.extend(there.iter().map(|chain| chain.made()));
        for chain in &there {
            for hook in chain.hooks {
                text.push_str(&format!("-D {hook} {}\n", chain.jump()).repeat(chain.jumps(saved, hook)));
            }
        }
        text.extend(there.iter().map(|chain| format!("-X {}\n", chain.name)));
        text.push_str("COMMIT\n");
    }
    (!text.is_empty()).then_some(text)
}

/// An address with the length of its prefix, as iptables tells one of a host.
fn alone(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn not_from_outside(family: Family) -> Vec<String> {
    let loopback = family.loopback();
    vec![format!("-d {loopback} ! -i lo -j DROP"), format!("-s {loopback} ! -i lo -j DROP")]
}

fn forwarded(bridges: &[Bridge<'_>], into: &str) -> Vec<String> {
    let open = bridges.iter().filter(|bridge| bridge.within == Within::Open);
    let internal = bridges.iter().filter(|bridge| bridge.reach == Reach::Internal);
    let mut rules: Vec<String> = open.map(|Bridge { link, .. }| format!("-i {link} -o {link} -j RETURN")).collect();
    rules.extend(internal.flat_map(|Bridge { link, .. }| [format!("-i {link} -j DROP"), format!("-o {link} -j DROP")]));
    rules.extend(bridges.iter().map(|bridge| format!("-o {} -j {into}", bridge.link)));
    rules
}

fn into() -> Vec<String> {
    let known = |state: &str| format!("-m conntrack --ctstate {state} -j RETURN");
    vec![known("RELATED,ESTABLISHED"), known("DNAT"), "-j DROP".to_owned()]
}

fn published(ports: &[&Published], loopback: Loopback6) -> Vec<String> {
    let led = |port: &Published| {
        let word = port.protocol.word();
        let to: SocketAddr = port.to;
        (word, format!("-m {word} --dport {} -j DNAT --to-destination {to}", port.port))
    };
    let mut rules = Vec::new();
    // What is published at one address comes first.
    for port in ports.iter().filter(|port| !port.address.is_unspecified()) {
        let (protocol, led) = led(port);
        rules.push(format!("-d {} -p {protocol} {led}", alone(port.address)));
    }
    for port in ports.iter().filter(|port| port.address.is_unspecified()) {
        let (protocol, led) = led(port);
        if port.address.is_ipv4() {
            rules.push(format!("-p {protocol} -m addrtype --dst-type LOCAL {led}"));
            continue;
        }
        rules.push(format!("! -d ::1/128 -p {protocol} -m addrtype --dst-type LOCAL {led}"));
        if loopback == Loopback6::Answered {
            rules.push(format!("-d ::1/128 -o lo -p {protocol} {led}"));
        }
    }
    rules
}

fn sent_as_the_host(family: Family, bridges: &[Bridge<'_>], ports: &[&Published]) -> Vec<String> {
    const LED: &str = "-m conntrack --ctstate DNAT -j MASQUERADE";
    let nets = |bridge: &Bridge<'_>| -> Vec<IpNet> {
        let all = bridge.subnets.iter().map(|subnet| subnet.net.trunc());
        all.filter(|net| family.has(net.addr())).collect()
    };
    let mut rules = Vec::new();
    for bridge in bridges.iter().filter(|bridge| bridge.within == Within::Open) {
        rules.extend(nets(bridge).iter().map(|net| format!("-s {net} -o {} {LED}", bridge.link)));
    }
    let containers: BTreeSet<IpNet> = ports.iter().map(|port| alone(port.to.ip())).collect();
    rules.extend(containers.iter().map(|own| format!("-s {own} -d {own} {LED}")));
    let loopback = family.loopback();
    rules.extend(bridges.iter().map(|bridge| format!("-s {loopback} -o {} -j MASQUERADE", bridge.link)));
    rules.extend(bridges.iter().map(|bridge| format!("-o {} -j RETURN", bridge.link)));
    for bridge in bridges.iter().filter(|bridge| bridge.reach == Reach::World) {
        rules.extend(nets(bridge).iter().map(|net| format!("-s {net} ! -o lo -j MASQUERADE")));
    }
    rules
}

#[cfg(test)]
mod tests;
