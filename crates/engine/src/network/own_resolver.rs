//! The resolver that a container has of its own on networks which share a link of the host: from there it does not reach the
//! host, so it asks at an address of its own loopback, the one that Docker has taken for this. The process is like that of a
//! network, outside of the container; its sockets alone are in the container's network namespace, and it ends with the
//! container, so that they do not keep that any longer. They are at ports that are free: at port 53 the container may have a
//! server of its own, and what is sent to that of this address is led to them ([`network::redirect`]).
//!
//! Others are asked from where they were named: the host's servers from the host, the container's own (`--dns`) from its
//! namespace.
//!
//! ```text
//! carboy-resolver CONTAINER {…}
//! RUN/ID/resolver                         locked by it as long as it lives; says at which ports it is
//! ```

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;

use error::{Corrupt, Doing, Result};
use network::redirect::{Redirect, Redirected};
use network::resolver::{Door, Side};
use procfs::{HostPid, Kind, Process};
use sys::namespace::Kinds;

use super::resolver::{For, New, has_ended, lock_state};
use super::{Driver, Endpoint, Network};
use crate::asleep::Number;
use crate::containers::{Engine, open_process};
use crate::store::{Store, read_json};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// <https://www.iana.org/assignments/service-names-port-numbers> `domain`.
const DOMAIN: u16 = 53;

impl Store {
    pub(super) fn own_resolver(&self, container: &str) -> PathBuf {
        self.run_folder(container).join("resolver")
    }
}

impl Engine {
    /// Starts the resolver that a container has of its own; where it runs, has what is sent to it led there once more. Where
    /// that cannot be had there is none.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn start_own_resolver(&self, endpoint: &Endpoint, namespace: BorrowedFd<'_>) -> Result<()> {
        let process = self.store.live(&endpoint.container)?.and_then(|live| live.process);
        let Some(process) = process.map(|process| open_process(&process)).transpose()?.flatten() else {
            return Ok(());
        };
        let path = self.store.own_resolver(&endpoint.container);
        let Some(mut lock) = lock_state(&path)? else {
            return match read_json::<Redirect>(&path) {
                Ok(Some(redirect)) => within(namespace, || redirect.apply()).map(drop),
                // Somebody is just starting it.
                _ => Ok(()),
            };
        };
        // Whom it has named it reaches from where it is.
        let (side, from) = match endpoint.servers.as_slice() {
            [] => (Side::Other, None),
            _ => (Side::Own, Some(namespace)),
        };
        let Some((door, redirect)) = within(namespace, || open_door(side))? else {
            return fs::remove_file(&path).doing(|| format!("remove {}", path.display()));
        };
        let text = serde_json::to_vec(&redirect).map_err(|error| Corrupt::new("a resolver", error.to_string()))?;
        lock.set_len(0).and_then(|()| lock.write_all(&text)).doing(|| format!("write {}", path.display()))?;
        let answers = For::Container { id: endpoint.container.clone(), process: Number::of(&process), side };
        self.spawn_resolver(New {
            name: &endpoint.name,
            answers,
            doors: &[door],
            lock: &lock,
            process: Some(process.as_fd()),
            namespace: from,
        })
    }

    /// The same for each container on a network.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn start_own_resolvers(&self, network: &Network) -> Result<()> {
        if network.driver == Driver::Bridge {
            return Ok(());
        }
        for endpoint in self.endpoints(network)? {
            let process = self.store.live(&endpoint.container)?.and_then(|live| live.process);
            let process = process.map(|process| Process::open(HostPid(process.pid)));
            // Who has ended meanwhile has none.
            let Some(Ok(process)) = process else { continue };
            let Ok(namespace) = process.open_namespace(Kind::Net) else { continue };
            self.start_own_resolver(&endpoint, namespace.as_fd())?;
        }
        Ok(())
    }

    /// Where a container has a resolver of its own, if it has.
    pub(super) fn own_resolver_of(&self, container: &str) -> Option<IpAddr> {
        self.store.own_resolver(container).exists().then_some(ADDRESS.into())
    }

    /// Waits for the end of the resolver of a container that has ended.
    pub(super) fn end_own_resolver(&self, container: &str) {
        let path = self.store.own_resolver(container);
        if path.exists() {
            has_ended(&path);
            let _ = fs::remove_file(&path);
        }
    }
}

/// Binds a resolver's sockets in the caller's network namespace, and has what is sent to port 53 led to them. `None` where that
/// cannot be had.
fn open_door(side: Side) -> Result<Option<(Door, Redirect)>> {
    let action = || format!("answer queries at {ADDRESS}");
    let udp = UdpSocket::bind((ADDRESS, 0)).doing(action)?;
    let tcp = TcpListener::bind((ADDRESS, 0)).doing(action)?;
    let port = |address: std::io::Result<SocketAddr>| address.map(|address| address.port()).doing(action);
    let (of_udp, of_tcp) = (port(udp.local_addr())?, port(tcp.local_addr())?);
    let redirect = Redirect { address: ADDRESS, port: DOMAIN, udp: of_udp, tcp: of_tcp };
    Ok(match redirect.apply()? {
        Redirected::Done => Some((Door { udp, tcp, side }, redirect)),
        Redirected::Never => None,
    })
}

/// Does something in another network namespace. When the caller could not return it is in the wrong one.
fn within<T>(namespace: BorrowedFd<'_>, what: impl FnOnce() -> Result<T>) -> Result<T> {
    let home = Process::this()?.open_namespace(Kind::Net)?;
    sys::namespace::join(namespace, Kinds::NET).doing(|| "join a net namespace")?;
    let done = what();
    sys::namespace::join(home.as_fd(), Kinds::NET).doing(|| "return to carboy's own net namespace")?;
    done
}
