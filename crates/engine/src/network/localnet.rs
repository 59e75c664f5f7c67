//! `route_localnet` of a network's bridge: by it answers come back to the host's 127.0.0.1. From then on the firewall alone
//! keeps containers off the host's loopback, so it is set only as long as a port of one of them is published there.
//! Documentation/networking/ip-sysctl.rst.

use std::net::IpAddr;

use error::{Errno, Result};
use procfs::Proc;

use super::claims::Ports;
use super::{Driver, Endpoint, Network, Reach};
use crate::containers::Engine;

impl Endpoint {
    /// Whether one of its ports is published at the host's 127.0.0.0/8.
    pub(super) fn is_at_loopback(&self) -> bool {
        self.ports.iter().any(|port| match port.address {
            IpAddr::V4(address) => address.is_loopback() || address.is_unspecified(),
            IpAddr::V6(_) => false,
        })
    }
}

impl Engine {
    /// Lets answers come back to 127.0.0.1 from a network where a container but `leaving` wants them, and else does not. Who
    /// holds the ports writes no endpoint with some meanwhile.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn follow_loopback(&self, network: &Network, _: &Ports<'_>, leaving: Option<&Endpoint>) -> Result<()> {
        if network.driver != Driver::Bridge || network.reach != Reach::World {
            return Ok(());
        }
        let stays = |other: &Endpoint| leaving.is_none_or(|leaving| leaving.container != other.container);
        let is_wanted = self.endpoints(network)?.iter().any(|other| stays(other) && other.is_at_loopback());
        set(network, if is_wanted { "1" } else { "0" })
    }
}

/// Lets answers come back to 127.0.0.1 from a network.
///
/// # Errors
/// A kernel error.
pub(super) fn let_in(network: &Network) -> Result<()> {
    if network.driver != Driver::Bridge || network.reach != Reach::World {
        return Ok(());
    }
    set(network, "1")
}

fn set(network: &Network, value: &str) -> Result<()> {
    let proc = Proc::open()?;
    let path = format!("net/ipv4/conf/{}/route_localnet", network.link);
    match proc.setting(&path) {
        // Somebody has removed the bridge.
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
        Ok(found) if found == value => Ok(()),
        _ => proc.set_setting(&path, value),
    }
}
