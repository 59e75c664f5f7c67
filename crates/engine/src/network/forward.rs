//! Firewalls of others that drop what the host forwards for a network: told, and opened when that is asked for. Then it is
//! kept in mind, so that it is open again when the network is raised anew, until the network is removed.

use std::fs;
use std::io::ErrorKind;

use error::{Doing, Refused, Result};
use network::forward::Families;
use network::legacy;
use procfs::Proc;

use super::{Driver, Ipv6, Network, Reach};
use crate::containers::Engine;
use crate::store::{Store, make_folders};

/// The file that says that a network is to be open.
const OPEN: &str = "open";

impl Network {
    const fn families(&self) -> Families {
        match self.ipv6 {
            Ipv6::Routed => Families::Both,
            Ipv6::Off | Ipv6::Local => Families::Ipv4,
        }
    }

    /// Whether the host forwards anything for it: what its containers send each other, too, where bridged packets are
    /// filtered.
    fn is_forwarded(&self) -> Result<bool> {
        if self.driver != Driver::Bridge {
            return Ok(false);
        }
        let filtered = || Proc::open().map(|proc| proc.setting("net/bridge/bridge-nf-call-iptables"));
        Ok(self.reach == Reach::World || filtered()?.is_ok_and(|filtered| filtered == "1"))
    }
}

impl Store {
    fn is_open(&self, network: &Network) -> bool {
        self.network(&network.name).join(OPEN).exists()
    }

    pub(super) fn forget_open(&self, network: &Network) -> Result<()> {
        let path = self.network(&network.name).join(OPEN);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).doing(|| format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// The chains of others, as nft or iptables name them, that drop what is forwarded for a network and will go on with it: nothing for
    /// one that is kept open.
    ///
    /// # Errors
    /// A kernel error.
    pub fn shut_by(&self, network: &Network) -> Result<Vec<String>> {
        if !network.is_forwarded()? || self.store.is_open(network) {
            return Ok(Vec::new());
        }
        let mut by = Vec::new();
        if let Some(firewall) = self.firewall()? {
            by.extend(firewall.shut(&network.link, network.families())?.iter().map(ToString::to_string));
        }
        by.extend(legacy::shut(&network.link, network.families())?.iter().map(ToString::to_string));
        Ok(by)
    }

    /// Lets what is forwarded for a network through the firewalls of others, now and whenever it is raised.
    ///
    /// # Errors
    /// Refused for one that the host forwards nothing for; a kernel error.
    pub fn open_network(&self, word: &str) -> Result<()> {
        let network = self.find_network(word)?;
        if !network.is_forwarded()? {
            let refused = Refused::new("the network", &network.name, "is one that the host forwards nothing for");
            return Err(refused.hint("name one whose driver is bridge, and that is not --internal").into());
        }
        let folder = self.store.network(&network.name);
        make_folders(&folder)?;
        let path = folder.join(OPEN);
        fs::write(&path, "").doing(|| format!("write {}", path.display()))?;
        self.keep_open(&network)
    }

    /// Opens a network again that is to be open.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn keep_open(&self, network: &Network) -> Result<()> {
        if !self.store.is_open(network) {
            return Ok(());
        }
        if let Some(firewall) = self.firewall()? {
            firewall.open_forward(&network.link, network.families())?;
        }
        legacy::open(&network.link, network.families())
    }

    /// The networks with containers on them for which somebody else's firewall drops what is forwarded, and its chains.
    ///
    /// # Errors
    /// A kernel error.
    pub fn shut_networks(&self) -> Result<Vec<(Network, Vec<String>)>> {
        let mut found = Vec::new();
        for network in self.recorded()?.whole {
            if self.endpoints(&network)?.is_empty() {
                continue;
            }
            let by = self.shut_by(&network)?;
            if !by.is_empty() {
                found.push((network, by));
            }
        }
        Ok(found)
    }
}
