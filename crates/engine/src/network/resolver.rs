//! The process that answers for the names of a network: started with the first container on it, gone with the last. Whoever
//! starts it binds its sockets, so that a query finds it from then on; what it knows it reads itself ([`super::zone`]).
//! Where containers cannot reach the host, each has one of its own instead ([`super::own_resolver`]).
//!
//! ```text
//! carboy-resolver NETWORK {…}             the descriptors whose numbers stand in {…}
//! RUN/.networks/ID/resolver               locked by it as long as it lives; says where it is if not at port 53
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Corrupt, Doing, Errno, Error, Refused, Result};
use network::port::{Protocol, Published};
use network::resolver::{Door, Side, Zone as _, serve};
use procfs::Process;
use rustix::fs::FlockOperation;
use rustix::io::FdFlags;
use rustix::process::{Resource as Limit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use sys::clone;
use sys::credentials::CapabilitySets;
use sys::namespace::Kinds;

use super::files::OF_HOST;
use super::rules::Rules;
use super::zone::{NetworkZone, Whose};
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
    answers: For,
    lock: Number,
    /// For each address: by UDP and by TCP.
    doors: Vec<(Number, Number)>,
}

/// For whom a resolver answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum For {
    /// For all who are on the network with this id.
    Network(String),
    /// For a container alone.
    Container {
        /// Its id.
        id: String,
        /// Its first process, with which the resolver ends.
        process: Number,
        /// Where its door is.
        side: Side,
    },
}

/// A resolver that is to be started.
pub(super) struct New<'n> {
    /// What it is for, by name.
    pub(super) name: &'n str,
    pub(super) answers: For,
    pub(super) doors: &'n [Door],
    /// The file that it has locked.
    pub(super) lock: &'n File,
    /// What it is given besides.
    pub(super) process: Option<BorrowedFd<'n>>,
    /// The network namespace from which it asks others, if that is not the caller's.
    pub(super) namespace: Option<BorrowedFd<'n>>,
}

impl Network {
    /// Whether its containers find each other by name at the host's addresses. On the one that they are on by default they do
    /// not, as with Docker: who is on it has not asked to be found.
    pub(super) fn has_resolver(&self) -> bool {
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
        if !network.has_resolver() {
            return Ok(());
        }
        let _held = self.store.hold_network(&network.id)?;
        let path = self.store.resolver(&network.id);
        let Some(mut file) = lock_state(&path)? else { return Ok(()) };
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
        let (answers, name) = (For::Network(network.id.clone()), network.name.as_str());
        self.spawn_resolver(New { name, answers, doors: &doors, lock: &file, process: None, namespace: None })
    }

    /// Starts a resolver's process.
    ///
    /// # Errors
    /// A kernel error.
    pub(super) fn spawn_resolver(&self, new: New<'_>) -> Result<()> {
        let New { name, answers, doors, lock, process, namespace } = new;
        let action = || format!("start the resolver of {name}");
        let given = Given {
            root: self.store.root.clone(),
            run: self.store.run.clone(),
            answers,
            lock: Number::of(lock),
            doors: doors.iter().map(|door| (Number::of(&door.udp), Number::of(&door.tcp))).collect(),
        };
        let text = serde_json::to_string(&given).map_err(|error| Corrupt::new("a resolver", error.to_string()))?;
        let program = Process::this()?.open_program()?;
        let null = null()?;
        let side = clone::fork().doing(action)?;
        let clone::Side::Parent { pidfd, .. } = side else {
            // It is nobody's child.
            if !matches!(clone::fork(), Ok(clone::Side::Child)) {
                sys::process::exit(0);
            }
            if namespace.is_some_and(|namespace| sys::namespace::join(namespace, Kinds::NET).is_err()) {
                sys::process::exit(1);
            }
            let _ = sys::process::new_session();
            let _ = rustix::process::chdir("/");
            for number in 0..3 {
                let _ = sys::process::place_descriptor(null.as_fd(), number);
            }
            let of_doors = doors.iter().flat_map(|door| [door.udp.as_fd(), door.tcp.as_fd()]);
            let _ = sys::signal::reset();
            let _ = sys::clone::close_on_exec_from(3);
            for file in of_doors.chain([lock.as_fd()]).chain(process) {
                let _ = rustix::io::fcntl_setfd(file, FdFlags::empty());
            }
            let arguments = [PROGRAM, name, &text].map(OsString::from).to_vec();
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
        if has_ended(&self.store.resolver(network)) {
            let _ = self.end_resolver(network);
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

/// The file that a resolver has locked as long as it lives; `None` where one lives.
pub(super) fn lock_state(path: &Path) -> Result<Option<File>> {
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = opened.doing(|| format!("open {}", path.display()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(None),
        locked => locked.doing(|| format!("lock {}", path.display())).map(|()| Some(file)),
    }
}

/// Waits until nobody has a resolver's file locked any more; whether it came to that, and the file is there.
pub(super) fn has_ended(state: &Path) -> bool {
    let until = std::time::Instant::now() + END;
    while let Ok(file) = File::open(state) {
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return true;
        }
        if std::time::Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Binds a resolver's sockets at an address: at port 53, or where somebody else has that, at others to which it leads.
fn open_door(address: IpAddr) -> Result<(Door, Vec<Published>)> {
    let bind = |port| -> std::io::Result<Door> {
        let udp = UdpSocket::bind((address, port))?;
        let tcp = TcpListener::bind((address, port))?;
        Ok(Door { udp, tcp, side: Side::Own })
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
            Ok((Door { udp, tcp, side: Side::Own }, moved))
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
    let given = given(words)?;
    let store = Store::at(given.root, given.run);
    Some(match given.answers {
        For::Network(id) => store.resolver(&id),
        For::Container { id, .. } => store.own_resolver(&id),
    })
}

/// Answers for a network, until nobody is on it, or for a container, until that has ended: the process that was started with
/// these words behind its name.
///
/// # Errors
/// Refused for words that no carboy has given it; a kernel error.
pub fn run(words: &[OsString]) -> Result<()> {
    let Some(given) = given(words) else {
        let refused =
            Refused::new(PROGRAM, "", "is what the process is called that answers for the names of a network");
        return Err(refused.hint("carboy run --network NAME starts a container with it").into());
    };
    let _lock = given.lock.take()?;
    let side = match &given.answers {
        For::Network(_) => Side::Own,
        For::Container { side, .. } => *side,
    };
    let doors: Vec<Door> = given
        .doors
        .into_iter()
        .map(|(udp, tcp)| Ok(Door { udp: udp.take()?.into(), tcp: tcp.take()?.into(), side }))
        .collect::<Result<_>>()?;
    let engine = Engine::at(given.root, given.run);
    match given.answers {
        For::Network(id) => run_for_network(&engine, &id, &doors),
        For::Container { id, process, .. } => {
            let process = process.take()?;
            confine(0)?;
            let mut zone = NetworkZone::open(&engine, Whose::Container(id))?;
            serve(&mut zone, &doors, process.as_fd(), Path::new(OF_HOST))
        }
    }
}

fn run_for_network(engine: &Engine, network: &str, doors: &[Door]) -> Result<()> {
    let moved: Vec<Published> = read_json(&engine.store.resolver(network))?.unwrap_or_default();
    confine(match moved.as_slice() {
        [] => 0,
        _ => match engine.rules()? {
            Rules::Nftables(_) => NET_ADMIN,
            Rules::Iptables(_) => NET_ADMIN | NET_RAW,
        },
    })?;
    loop {
        let mut zone = NetworkZone::open(engine, Whose::Network(network.to_owned()))?;
        let stop = zone.deserted.try_clone().doing(|| "answer queries")?;
        zone.refresh();
        serve(&mut zone, doors, stop.as_fd(), Path::new(OF_HOST))?;
        if engine.end_resolver(network)? {
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
