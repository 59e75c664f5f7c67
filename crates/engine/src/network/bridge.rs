//! A network in the kernel: its bridge with the host's addresses, the kernel settings that it needs, its place in the
//! firewall. It is raised by whoever is connected first, and stays until the network is removed.

use std::cell::OnceCell;
use std::net::IpAddr;

use error::{Doing, Errno, Error, Kernel, Refused, Result};
use netlink::link::{self, Traits};
use netlink::{Socket, route};
use network::firewall::{self, Bridge, Firewall, Loopback6};
use network::legacy;
use procfs::Proc;

use super::claims::Ports;
use super::rules::Rules;
use super::{Driver, Ipv6, Network, Reach};
use crate::containers::Engine;
use crate::owner::Owner;
use crate::store::entries;

/// Docker's name for what keeps the containers of a network from each other.
const WITHIN: &str = "com.docker.network.bridge.enable_icc";

impl Network {
    /// The network as the firewall knows it.
    pub(super) fn bridge(&self) -> Bridge<'_> {
        Bridge {
            link: &self.link,
            reach: match self.reach {
                Reach::World => firewall::Reach::World,
                Reach::Internal => firewall::Reach::Internal,
            },
            within: match self.options.get(WITHIN).map(String::as_str) {
                Some("false") => firewall::Within::Closed,
                _ => firewall::Within::Open,
            },
            subnets: &self.subnets,
        }
    }
}

impl Engine {
    /// The table of this carboy's networks in the caller's network namespace; `None` where the kernel has no nftables.
    pub(super) fn firewall(&self) -> Result<Option<Firewall>> {
        Firewall::find(&self.table_name(), &Owner::of(&self.store.root)?.text())
    }

    /// Another carboy's networks, with other folders, have a table of their own.
    pub(super) fn table_name(&self) -> String {
        if self.is_usual() {
            return "carboy".to_owned();
        }
        // FNV-1a.
        let root = self.store.root.as_os_str().as_encoded_bytes();
        let hash = root
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        format!("carboy-{hash:016x}")
    }

    /// Whether this is the carboy that a host has when nobody asks for other folders.
    pub(super) fn is_usual(&self) -> bool {
        self.store.root == std::path::Path::new("/var/lib/carboy")
    }

    /// Raises a network, as far as it is not up; gives the number of its link.
    ///
    /// # Errors
    /// Refused where its link is somebody else's, or its parent is not there; a kernel error.
    pub(super) fn raise(&self, network: &Network, socket: &Socket, rules: &OnceCell<Rules>) -> Result<u32> {
        let found = route::link(socket, &network.link);
        if network.driver != Driver::Bridge {
            return found.map_err(|errno| no_parent(network, errno));
        }
        let _held = match self.known_rules(rules)? {
            Rules::Nftables(firewall) => {
                if !firewall.is_whole()? {
                    self.assert_firewall(firewall)?;
                }
                if found == Err(Errno::NODEV) {
                    firewall.add_bridge(&network.bridge())?;
                    firewall.set_loopback6(loopback6()?)?;
                }
                None
            }
            Rules::Iptables(iptables) => {
                let held = self.hold_rules()?;
                self.assert_iptables(iptables, Some(network))?;
                Some(held)
            }
        };
        let index = match found {
            Ok(index) => index,
            Err(Errno::NODEV) => self.make_bridge(network, socket)?,
            Err(errno) => return Err(Kernel::new(format!("look for the link {}", network.link), errno).into()),
        };
        for subnet in &network.subnets {
            match link::give_address(socket, index, (subnet.gateway, subnet.net.prefix_len())) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => {
                    let action = format!("give the bridge {} the address {}", network.link, subnet.gateway);
                    return Err(Kernel::new(action, errno).into());
                }
            }
        }
        settle(network, (socket, index))?;
        self.keep_open(network)?;
        Ok(index)
    }

    fn make_bridge(&self, network: &Network, socket: &Socket) -> Result<u32> {
        let action = || format!("make the bridge {}", network.link);
        let mac = hardware_address(network.subnets.first().map(|subnet| subnet.gateway));
        let traits = Traits { name: &network.link, mac: Some(mac), mtu: network.mtu };
        match link::make_bridge(socket, &traits) {
            // Another command was faster.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Kernel::new(action(), errno).into()),
        }
        let index = route::link(socket, &network.link).map_err(|errno| Kernel::new(action(), errno))?;
        // Where it is too long, it is found as long as the folder is there.
        let _ = link::write_on(socket, index, &Owner::of(&self.store.network(&network.name))?.text());
        if network.subnets.iter().any(|subnet| subnet.gateway.is_ipv6()) {
            // It has no port yet. With the first one the kernel would look for two seconds whether others have its address of
            // this link, and meanwhile forward nothing of IPv6 to a container that it does not know.
            Proc::open()?.set_setting(&format!("net/ipv6/conf/{}/accept_dad", network.link), "0")?;
        }
        Ok(index)
    }

    /// Puts everything into the firewall that belongs there, in place of what is there of it.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn assert_firewall(&self, firewall: &Firewall) -> Result<()> {
        let _held = self.hold_rules()?;
        let networks = self.networks()?.whole;
        let bridges: Vec<Bridge<'_>> =
            networks.iter().filter(|network| network.driver == Driver::Bridge).map(Network::bridge).collect();
        firewall.assert(&bridges, &self.all_ports(&networks)?)?;
        firewall.set_loopback6(loopback6()?)
    }

    /// The addresses that ports lead to by the firewall and that no container has.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn stale_targets(&self) -> Result<Vec<IpAddr>> {
        // By iptables' rules none do: they are computed from what is written down.
        let Some(firewall) = self.firewall()? else { return Ok(Vec::new()) };
        let mut targets = firewall.targets()?;
        for id in entries(&self.store.live_networks())? {
            let ports = self.endpoints_on(&id)?.into_iter().flat_map(|endpoint| endpoint.ports);
            for port in ports.chain(self.ports_of_resolver(&id)?) {
                targets.remove(&port.to.ip());
            }
        }
        Ok(targets.into_iter().collect())
    }

    /// Puts what belongs there into the firewall, and takes what is not there any more out of it.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn renew_firewall(&self) -> Result<()> {
        match self.rules()? {
            Rules::Nftables(firewall) => self.assert_firewall(&firewall),
            Rules::Iptables(iptables) => self.follow_records(&iptables),
        }
    }

    /// Puts back what belongs into the firewall, and raises the bridges that containers are on, and starts the resolvers that
    /// have ended before their time.
    ///
    /// # Errors
    /// A kernel error.
    pub fn reload_networks(&self) -> Result<()> {
        let socket = Socket::open(netlink::Protocol::Route)?;
        let networks = self.networks()?.whole;
        let is_up = |network: &Network| network.driver == Driver::Bridge && route::link(&socket, &network.link).is_ok();
        // Where none is up there are no rules; with the first one they come.
        if networks.iter().any(is_up) {
            self.renew_firewall()?;
        }
        let rules = OnceCell::new();
        for network in networks {
            if !self.endpoints(&network)?.is_empty() {
                self.raise(&network, &socket, &rules)?;
                self.follow_loopback(&network, &Ports::hold(&self.store)?, None)?;
                self.start_resolver(&network)?;
                self.start_own_resolvers(&network)?;
            }
        }
        Ok(())
    }

    /// Takes a network out of the kernel; the firewall's rules go with the last.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn lower(&self, network: &Network) -> Result<()> {
        if network.driver != Driver::Bridge {
            return Ok(());
        }
        let socket = Socket::open(netlink::Protocol::Route)?;
        match link::delete(&socket, &network.link) {
            Ok(()) | Err(Errno::NODEV) => {}
            Err(errno) => return Err(Kernel::new(format!("remove the bridge {}", network.link), errno).into()),
        }
        legacy::close(&network.link)?;
        self.forget_in_rules(network)
    }
}

fn no_parent(network: &Network, errno: Errno) -> Error {
    match errno {
        Errno::NODEV => {
            let refused = Refused::new("the network", &network.name, format!("its link {} is not there", network.link));
            refused.hint("ip link shows the links of this host").into()
        }
        errno => Kernel::new(format!("look for the link {}", network.link), errno).into(),
    }
}

/// The kernel settings that a bridge's packets need. The host's own are changed only where they must be.
fn settle(network: &Network, (socket, index): (&Socket, u32)) -> Result<()> {
    let proc = Proc::open()?;
    let want = |path: &str, value: &str| -> Result<()> {
        if proc.setting(path)? == value { Ok(()) } else { proc.set_setting(path, value) }
    };
    if network.reach == Reach::World && network.subnets.iter().any(|subnet| subnet.gateway.is_ipv4()) {
        want("net/ipv4/ip_forward", "1")?;
    }
    if network.reach == Reach::World && network.subnets.iter().any(|subnet| subnet.gateway.is_ipv6()) {
        match link::add_loopback_route(socket, index) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(Kernel::new(format!("route answers to ::1 from the bridge {}", network.link), errno).into());
            }
        }
    }
    if network.ipv6 == Ipv6::Routed && proc.setting("net/ipv6/conf/all/forwarding")? != "1" {
        keep_advertisements(&proc)?;
        proc.set_setting("net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Whether a container's answer finds back to `::1`. Where no bridged packets can be filtered there is no such setting.
pub(super) fn loopback6() -> Result<Loopback6> {
    let filtered = Proc::open()?.setting("net/bridge/bridge-nf-call-ip6tables");
    Ok(if filtered.is_ok_and(|filtered| filtered == "1") { Loopback6::Unanswered } else { Loopback6::Answered })
}

/// A host that forwards IPv6 forgets the routes that its routers advertise, unless it is told not to.
fn keep_advertisements(proc: &Proc) -> Result<()> {
    let socket = Socket::open(netlink::Protocol::Route)?;
    for link in link::all(&socket).doing(|| "list the links")? {
        let path = format!("net/ipv6/conf/{}/accept_ra", link.name);
        if proc.setting(&path).is_ok_and(|value| value == "1") {
            proc.set_setting(&path, "2")?;
        }
    }
    Ok(())
}

/// A hardware address that goes with an IPv4 address, as Docker has it; without one, of the same kind.
pub(super) fn hardware_address(address: Option<IpAddr>) -> [u8; 6] {
    match address {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            [2, 0x42, a, b, c, d]
        }
        Some(IpAddr::V6(address)) => {
            let [.., a, b, c, d] = address.octets();
            [2, 0x42, a, b, c, d]
        }
        None => [2, 0x42, 0, 0, 0, 1],
    }
}
