//! Who keeps the rules of the networks: nftables, and where the kernel has none, iptables. What nftables is told is one
//! element more or less; for iptables the rules are computed anew from what is written down, so that there the record comes
//! first, and all who change rules wait for each other.

use std::cell::OnceCell;
use std::fs;
use std::os::fd::OwnedFd;

use error::Result;
use netlink::{Protocol, Socket, route};
use network::firewall::{Bridge, Firewall};
use network::iptables::Iptables;
use network::port::Published;

use super::bridge::loopback6;
use super::{DEFAULT, Driver, Endpoint, Network};
use crate::containers::Engine;
use crate::options::Connection;

/// Who keeps the rules.
pub(super) enum Rules {
    /// A table of nftables.
    Nftables(Firewall),
    /// Chains of iptables' legacy form.
    Iptables(Iptables),
}

impl Engine {
    /// Who keeps the rules of this carboy's networks in the caller's network namespace.
    ///
    /// # Errors
    /// Refused where the kernel has no nftables, and iptables is not installed; a kernel error.
    pub(super) fn rules(&self) -> Result<Rules> {
        Ok(match self.firewall()? {
            Some(firewall) => Rules::Nftables(firewall),
            None => Rules::Iptables(Iptables::find(&self.table_name())?),
        })
    }

    /// The same, asked for once.
    ///
    /// # Errors
    /// As [`Engine::rules`].
    pub(super) fn known_rules<'r>(&self, known: &'r OnceCell<Rules>) -> Result<&'r Rules> {
        if let Some(rules) = known.get() {
            return Ok(rules);
        }
        let found = self.rules()?;
        Ok(known.get_or_init(|| found))
    }

    /// To what a container is connected, in words, and who keeps the rules of it.
    pub(crate) fn connections(&self, wished: &[Connection]) -> Vec<String> {
        let links = wished.iter().enumerate().map(|(number, wish)| format!("eth{number} to {}", wish.network));
        let is_bridge = |wish: &Connection| {
            wish.network == DEFAULT
                || self.find_network(&wish.network).is_ok_and(|found| found.driver == Driver::Bridge)
        };
        let firewall = wished.iter().any(is_bridge).then(|| self.firewall().ok()).flatten();
        let keeper =
            firewall.map(|found| format!("rules by {}", if found.is_some() { "nftables" } else { "iptables" }));
        links.chain(keeper).collect()
    }

    /// Publishes ports that are written down.
    ///
    /// # Errors
    /// A kernel error; with iptables as [`Engine::follow_records`].
    pub(super) fn publish(&self, ports: &[Published], rules: &Rules) -> Result<()> {
        match rules {
            Rules::Nftables(firewall) => firewall.publish(ports),
            Rules::Iptables(iptables) => self.follow_records(iptables),
        }
    }

    /// Takes the ports of a container back.
    ///
    /// # Errors
    /// As [`Engine::publish`].
    pub(super) fn withdraw(&self, endpoint: &Endpoint, rules: &Rules) -> Result<()> {
        match rules {
            Rules::Nftables(firewall) => firewall.withdraw(&endpoint.ports),
            Rules::Iptables(iptables) => {
                // From now on nobody computes rules for them. Whoever finds it so knows that some may be claimed.
                self.write_endpoint(&Endpoint { ports: Vec::new(), claims: true, ..endpoint.clone() })?;
                self.follow_records(iptables)
            }
        }
    }

    /// Has the chains of iptables be those of the networks that are up, and of the ports that are written down.
    ///
    /// # Errors
    /// Refused, with what iptables says; a kernel error.
    pub(super) fn follow_records(&self, iptables: &Iptables) -> Result<()> {
        let _held = self.hold_rules()?;
        self.assert_iptables(iptables, None)
    }

    /// Nobody else changes rules, or makes a bridge where iptables keeps them, meanwhile.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn hold_rules(&self) -> Result<OwnedFd> {
        self.store.hold_folder(&self.store.live_networks())
    }

    /// The same for who holds the rules; `raised` is up soon.
    pub(super) fn assert_iptables(&self, iptables: &Iptables, raised: Option<&Network>) -> Result<()> {
        let socket = Socket::open(Protocol::Route)?;
        let is_raised = |network: &Network| raised.is_some_and(|raised| raised.id == network.id);
        let is_up = |network: &&Network| is_raised(network) || route::link(&socket, &network.link).is_ok();
        let networks = self.networks()?.whole;
        let bridges = networks.iter().filter(|network| network.driver == Driver::Bridge).filter(is_up);
        let bridges: Vec<Bridge<'_>> = bridges.map(Network::bridge).collect();
        if bridges.is_empty() {
            return iptables.remove();
        }
        iptables.assert(&bridges, &self.all_ports(&networks)?, loopback6()?)
    }

    /// Every port that is written down.
    pub(super) fn all_ports(&self, networks: &[Network]) -> Result<Vec<Published>> {
        let mut ports = Vec::new();
        for network in networks {
            ports.extend(self.endpoints(network)?.into_iter().flat_map(|endpoint| endpoint.ports));
            ports.extend(self.resolver_ports(network)?);
        }
        Ok(ports)
    }

    /// Takes a network that is down out of the rules, and these away where it was the last.
    ///
    /// # Errors
    /// As [`Engine::publish`].
    pub(super) fn forget_in_rules(&self, network: &Network) -> Result<()> {
        let Some(firewall) = self.firewall()? else {
            // Where it is not installed nobody has made rules by it.
            let Ok(iptables) = Iptables::find(&self.table_name()) else { return Ok(()) };
            let _held = self.hold_rules()?;
            self.assert_iptables(&iptables, None)?;
            let _ = fs::remove_dir(self.store.live_networks());
            return Ok(());
        };
        firewall.close_forward(&network.link)?;
        firewall.remove_bridge(&network.link)?;
        let socket = Socket::open(Protocol::Route)?;
        let is_up = |other: &Network| route::link(&socket, &other.link).is_ok();
        if self.networks()?.whole.iter().any(|other| other.driver == Driver::Bridge && is_up(other)) {
            return Ok(());
        }
        firewall.remove()
    }
}
