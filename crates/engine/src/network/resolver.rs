//! The process that answers for the names of a network: started with the first container on it, gone with the last. Whoever
//! starts it binds its sockets, so that a query finds it from then on; what it knows it reads itself ([`super::zone`]).
//!
//! ```text
//! carboy-resolver NETWORK {…}             the descriptors whose numbers stand in {…}
//! RUN/.networks/ID/resolver               locked by it as long as it lives; says where it is if not at port 53
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Corrupt, Doing, Errno, Error, Refused, Result};
use network::port::{Protocol, Published};
use network::resolver::{Door, Zone as _, serve};
use procfs::Process;
use rustix::fs::FlockOperation;
use rustix::io::FdFlags;
use rustix::process::{Resource as Limit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use sys::clone::Side;
use sys::credentials::CapabilitySets;

use super::files::OF_HOST;
use super::rules::Rules;
use super::zone::NetworkZone;
use super::{DEFAULT, Driver, Network};
use crate::asleep::Number;
use crate::containers::Engine;
use crate::monitor::null;
use crate::store::{Store, entries, lock_folder, make_folders, read_json};

/// What the process is called.
pub const PROGRAM: &str = "carboy-resolver";

const STATE: &str = "resolver";
/// <https://www.iana.org/assignments/service-names-port-numbers> `domain`.
const DOMAIN: u16 = 53;
/// How many descriptors it may need: a socket for each query that waits for others, and its connections.
const DESCRIPTORS: u64 = 4096;
/// For how long a resolver that nobody needs any more is waited for.
const END: Duration = Duration::from_secs(1);
/// To take its ports out of the firewall: `CAP_NET_ADMIN`.
const NET_ADMIN: u64 = 1 << 12;
/// iptables speaks with the kernel by a raw socket: `CAP_NET_RAW`.
const NET_RAW: u64 = 1 << 13;

/// What a resolver is given.
#[derive(Debug, Serialize, Deserialize)]
struct Given {
    root: PathBuf,
    run: PathBuf,
    /// The network's id.
    network: String,
    lock: Number,
    /// For each of the host's addresses: by UDP and by TCP.
    doors: Vec<(Number, Number)>,
}

impl Network {
    /// Whether its containers find each other by name. On the one that they are on by default they do not, as with Docker:
    /// who is on it has not asked to be found.
    pub(super) fn has_names(&self) -> bool {
        self.driver == Driver::Bridge && self.name != DEFAULT
    }
}

impl Store {
    fn resolver(&self, network: &str) -> PathBuf {
        self.live_network(network).join(STATE)
    }

    /// The live folder of a network, locked: nobody starts or ends its resolver meanwhile.
    fn hold_network(&self, id: &str) -> Result<OwnedFd> {
        self.hold_folder(&self.live_network(id))
    }

    /// A live folder, made where it is not there, and locked.
    pub(super) fn hold_folder(&self, path: &Path) -> Result<OwnedFd> {
        loop {
            make_folders(path)?;
            let held = match lock_folder(path, FlockOperation::LockExclusive) {
                Err(error) if error.errno() == Some(Errno::NOENT) => continue,
                held => held?,
            };
            // Who had it before may have removed it.
            let own = rustix::fs::fstat(&held).doing(|| format!("look at {}", path.display()))?;
            if fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (own.st_dev, own.st_ino)) {
                return Ok(held);
            }
        }
    }
}

impl Engine {
    /// Starts the resolver of a network whose bridge is up and on which a container is written down, unless it runs.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn start_resolver(&self, network: &Network) -> Result<()> {
        if !network.has_names() {
            return Ok(());
        }
        let _held = self.store.hold_network(&network.id)?;
        let path = self.store.resolver(&network.id);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.doing(|| format!("open {}", path.display()))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(()),
            locked => locked.doing(|| format!("lock {}", path.display()))?,
        }
        let mut moved = Vec::new();
        let mut doors = Vec::new();
        for subnet in &network.subnets {
            let (door, led) = open_door(subnet.gateway)?;
            doors.push(door);
            moved.extend(led);
        }
        let text = serde_json::to_vec(&moved).map_err(|error| Corrupt::new("a resolver", error.to_string()))?;
        file.set_len(0).and_then(|()| file.write_all(&text)).doing(|| format!("write {}", path.display()))?;
        if !moved.is_empty() {
            self.publish(&moved, &self.rules()?)?;
        }
        self.spawn_resolver(network, &doors, &file)
    }

    fn spawn_resolver(&self, network: &Network, doors: &[Door], lock: &File) -> Result<()> {
        let action = || format!("start the resolver of the network {}", network.name);
        let given = Given {
            root: self.store.root.clone(),
            run: self.store.run.clone(),
            network: network.id.clone(),
            lock: Number::of(lock),
            doors: doors.iter().map(|door| (Number::of(&door.udp), Number::of(&door.tcp))).collect(),
        };
        let text = serde_json::to_string(&given).map_err(|error| Corrupt::new("a resolver", error.to_string()))?;
        let program = Process::this()?.open_program()?;
        let null = null()?;
        let side = sys::clone::fork().doing(action)?;
        let Side::Parent { pidfd, .. } = side else {
            // It is nobody's child.
            if !matches!(sys::clone::fork(), Ok(Side::Child)) {
                sys::process::exit(0);
            }
            let _ = sys::process::new_session();
            let _ = rustix::process::chdir("/");
            for number in 0..3 {
                let _ = sys::process::place_descriptor(null.as_fd(), number);
            }
            let kept = doors.iter().flat_map(|door| [door.udp.as_fd(), door.tcp.as_fd()]).chain([lock.as_fd()]);
            let _ = sys::signal::reset();
            let _ = sys::clone::close_on_exec_from(3);
            for file in kept {
                let _ = rustix::io::fcntl_setfd(file, FdFlags::empty());
            }
            let arguments = [PROGRAM, &network.name, &text].map(OsString::from).to_vec();
            let _ = runtime::seal::execute(program.as_fd(), arguments, std::iter::empty());
            sys::process::exit(1);
        };
        sys::process::wait(pidfd.as_fd()).doing(action).map(drop)
    }

    /// Where the resolver of a network is, if not at port 53: ports that lead there.
    pub(super) fn resolver_ports(&self, network: &Network) -> Result<Vec<Published>> {
        self.ports_of_resolver(&network.id)
    }

    pub(super) fn ports_of_resolver(&self, network: &str) -> Result<Vec<Published>> {
        Ok(read_json(&self.store.resolver(network))?.unwrap_or_default())
    }

    /// Waits for the end of the resolver of a network that nobody is on any more. What one that was killed has left is
    /// taken away.
    pub(super) fn await_resolver(&self, network: &str) {
        let path = self.store.resolver(network);
        let until = std::time::Instant::now() + END;
        while let Ok(file) = File::open(&path) {
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = self.end_resolver(network);
                return;
            }
            if std::time::Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes away what there is of a network's resolver; whether nobody is on the network.
    fn end_resolver(&self, network: &str) -> Result<bool> {
        let _held = self.store.hold_network(network)?;
        let endpoints = entries(&self.store.endpoints(network))?;
        if endpoints.iter().any(|name| !name.starts_with('.')) {
            return Ok(false);
        }
        let path = self.store.resolver(network);
        let moved: Vec<Published> = read_json(&path).ok().flatten().unwrap_or_default();
        let rules = if moved.is_empty() { None } else { Some(self.rules()?) };
        if let Some(Rules::Nftables(firewall)) = &rules {
            firewall.withdraw(&moved)?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).doing(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
        if let Some(Rules::Iptables(iptables)) = &rules {
            self.follow_records(iptables)?;
        }
        self.remove_empty_folders(network);
        Ok(true)
    }
}

/// Binds a resolver's sockets at an address: at port 53, or where somebody else has that, at others to which it leads.
fn open_door(address: IpAddr) -> Result<(Door, Vec<Published>)> {
    let bind = |port| -> std::io::Result<Door> {
        let udp = UdpSocket::bind((address, port))?;
        let tcp = TcpListener::bind((address, port))?;
        Ok(Door { udp, tcp })
    };
    match bind(DOMAIN) {
        Ok(door) => Ok((door, Vec::new())),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let udp = UdpSocket::bind((address, 0)).doing(|| format!("answer queries at {address}"))?;
            let tcp = TcpListener::bind((address, 0)).doing(|| format!("answer queries at {address}"))?;
            let led = |protocol, to: std::io::Result<SocketAddr>| {
                let to = to.doing(|| format!("answer queries at {address}"))?;
                Ok::<_, Error>(Published { address, port: DOMAIN, protocol, to })
            };
            let moved = vec![led(Protocol::Udp, udp.local_addr())?, led(Protocol::Tcp, tcp.local_addr())?];
            Ok((Door { udp, tcp }, moved))
        }
        Err(error) => Err(error).doing(|| format!("answer queries at {address}, port {DOMAIN}")),
    }
}

/// The words of a resolver, behind its name.
fn given(words: &[OsString]) -> Option<Given> {
    match words {
        [_, text] => serde_json::from_str(text.to_str()?).ok(),
        _ => None,
    }
}

/// The file that tells of the resolver that has these words behind its name.
pub(crate) fn state_of(words: &[OsString]) -> Option<PathBuf> {
    given(words).map(|given| Store::at(given.root, given.run).resolver(&given.network))
}

/// Answers for a network, until nobody is on it: the process that was started with these words behind its name.
///
/// # Errors
/// Refused for words that no carboy has given it; a kernel error.
pub fn run(words: &[OsString]) -> Result<()> {
    let Some(given) = given(words) else {
        let refused =
            Refused::new(PROGRAM, "", "is what the process is called that answers for the names of a network");
        return Err(refused.hint("carboy run --network NAME starts a container with it").into());
    };
    let lock = given.lock.take()?;
    let doors: Vec<Door> = given
        .doors
        .into_iter()
        .map(|(udp, tcp)| Ok(Door { udp: udp.take()?.into(), tcp: tcp.take()?.into() }))
        .collect::<Result<_>>()?;
    let engine = Engine::at(given.root, given.run);
    let moved: Vec<Published> = read_json(&engine.store.resolver(&given.network))?.unwrap_or_default();
    confine(match moved.as_slice() {
        [] => 0,
        _ => match engine.rules()? {
            Rules::Nftables(_) => NET_ADMIN,
            Rules::Iptables(_) => NET_ADMIN | NET_RAW,
        },
    })?;
    loop {
        let mut zone = NetworkZone::open(&engine, &given.network)?;
        let stop = zone.deserted.try_clone().doing(|| "answer queries")?;
        zone.refresh();
        serve(&mut zone, &doors, stop.as_fd(), Path::new(OF_HOST))?;
        if engine.end_resolver(&given.network)? {
            drop(lock);
            return Ok(());
        }
    }
}

/// Keeps it from everything but reading, answering, and what these capabilities allow.
fn confine(capabilities: u64) -> Result<()> {
    let action = || "confine the resolver";
    sys::credentials::set_not_dumpable().doing(action)?;
    sys::credentials::set_no_new_privs().doing(action)?;
    let mut limit = getrlimit(Limit::Nofile);
    limit.current = Some(limit.maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS)));
    let _ = setrlimit(Limit::Nofile, limit);
    let sets = CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: 0 };
    sys::credentials::set_capabilities(&sets).doing(action)
}
