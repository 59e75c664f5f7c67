//! What `run` and `exec` were asked for, as typed values: whoever makes them (the command line, later the API) has parsed
//! every word, and nobody below parses one again. Names and meanings are Docker's; sizes are bytes.
//!
//! An option that was not given is `None`, one that lifts a limit is [`Limit::Unlimited`], and a zero is a zero.

pub(crate) mod check;
mod image;
mod limits;
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

pub use self::network::{Connection, Dns, Exposed, HostAddress, HostEntry, Link, Mac, NetworkOptions, PortWish, Rate};
pub use cgroup::Limit;
pub use cgroup::cpuset::Set;
pub use limits::{DiskRate, DiskWeight, Limits};
pub use oci::image::{Digest, Platform};
pub use oci::{DeviceRule, IdMapping, NamespaceKind, Rdma, TimeOffset};

use ::image::signature::PublicKey;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::health::HealthWish;
use crate::log::{LogWish, Mentions};
use crate::restart::Policy;
use crate::spec::HostFacts;
use crate::stop::Stop;

/// What `run` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOptions {
    /// What the container's root is made of.
    pub root: Root,
    /// When that is brought, if it is an image.
    #[serde(default)]
    pub pull: Pull,
    /// The key whose holder must vouch for it, if it is an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<PublicKey>,
    /// The words after the root.
    pub command: Vec<String>,
    /// What the command's words are given to. Without words it is none, and takes the place of an image's all the same.
    #[serde(default, deserialize_with = "words")]
    pub entrypoint: Option<Vec<String>>,
    /// Whether the container gets a terminal.
    pub tty: bool,
    /// Whether standard input is passed on.
    pub interactive: bool,
    /// The variables, in the order in which they were given: the last of a name holds.
    pub env: Vec<Variable>,
    /// Where the command starts.
    pub workdir: Option<ContainerPath>,
    /// `NAME[:GROUP]` or `UID[:GID]`, for the container's own passwd and group to resolve.
    pub user: Option<String>,
    /// Further groups, by name or number.
    pub group_add: Vec<String>,
    /// The container's name.
    pub name: Option<String>,
    /// The host name inside.
    pub hostname: Option<String>,
    /// The NIS domain name inside.
    pub domainname: Option<String>,
    /// Whether nothing can be written to the root.
    pub read_only: bool,
    /// What is mounted besides the defaults, in the order in which it was given.
    pub mounts: Vec<Mount>,
    /// The containers whose mounts it gets too, where it has none of its own at the same place.
    pub volumes_from: Vec<VolumesFrom>,
    /// The size of /dev/shm.
    pub shm_size_bytes: Option<u64>,
    /// Whether PID 1 is a small init that forwards signals and reaps.
    pub init: bool,
    /// Whether the container is removed when it ends.
    pub remove: bool,
    /// Resource limits, setrlimit(2).
    pub ulimits: Vec<Ulimit>,
    /// Kernel settings of the container's namespaces, by name with dots.
    pub sysctls: BTreeMap<String, String>,
    /// What the processes may do.
    pub security: Security,
    /// Whether it runs without whoever asked for it.
    pub detach: bool,
    /// What is kept of its output.
    pub log: LogWish,
    /// What its log's lines say of it.
    #[serde(default)]
    pub mentions: Mentions,
    /// The ports that it says it listens at: `80/tcp`.
    #[serde(default)]
    pub exposed_ports: BTreeSet<String>,
    /// How it is asked to end.
    pub stop: Stop,
    /// When it is started again by itself.
    pub restart: Policy,
    /// How its health is checked.
    #[serde(default)]
    pub health: HealthWish,
    /// How readily the kernel kills it when memory runs out, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// What is written on it, for its maker to find it by.
    pub labels: BTreeMap<String, String>,
    /// Passed through to the configuration.
    pub annotations: BTreeMap<String, String>,
    /// Where the container's id is written to, on the host.
    pub cidfile: Option<PathBuf>,
    /// Where the PID of its first process is written to, on the host.
    pub pidfile: Option<PathBuf>,
    /// The bytes that detach from its terminal; empty for none.
    pub detach_keys: Vec<u8>,
    /// Its relation to the host's namespaces.
    pub namespaces: Namespaces,
    /// How it is connected, where its net namespace is its own.
    #[serde(default)]
    pub network: NetworkOptions,
    /// What it may use of the host.
    pub resources: Resources,
}

/// What `exec` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOptions {
    /// The container, by name or id.
    pub container: String,
    /// The command.
    pub command: Vec<String>,
    /// Whether the command gets a terminal.
    pub tty: bool,
    /// Whether standard input is passed on.
    pub interactive: bool,
    /// Variables besides the container's.
    pub env: Vec<Variable>,
    /// Where the command starts; the container's place if none.
    pub workdir: Option<ContainerPath>,
    /// As in [`RunOptions::user`]; the container's user if none.
    pub user: Option<String>,
    /// Whether the command has every capability.
    pub privileged: bool,
    /// Whether it runs without whoever asked for it.
    pub detach: bool,
    /// As in [`RunOptions::detach_keys`].
    pub detach_keys: Vec<u8>,
}

/// What a container's root is made of. Paths are the host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// A private copy-on-write view of this machine's own root.
    Host,
    /// A folder.
    Folder(PathBuf),
    /// A tar file, maybe compressed.
    Archive(PathBuf),
    /// An image.
    Image(Box<ImageRoot>),
}

/// An image that a container is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRoot {
    /// As it was asked for: a name, an id.
    pub name: String,
    /// For which machine, where it was asked for another than this one.
    pub platform: Option<Platform>,
    /// Which image that is; `None` until it was looked for.
    pub id: Option<Digest>,
    /// The chain ids of its layers, the lowest first.
    pub layers: Vec<Digest>,
}

impl ImageRoot {
    /// Of this name, not looked for yet.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), platform: None, id: None, layers: Vec::new() }
    }
}

/// When an image is brought from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Pull {
    /// Each time.
    Always,
    /// When it is not here.
    #[default]
    Missing,
    /// It must be here.
    Never,
}

/// `host`, the path, or the image's name.
impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Folder(path) | Self::Archive(path) => path.display().fmt(f),
            Self::Image(image) => f.write_str(&image.name),
        }
    }
}

/// An environment variable: its value, or that it shall not be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Not empty and without `=`.
    pub name: String,
    /// `None` removes one that the container would have by default.
    pub value: Option<String>,
}

/// An absolute path in a container, without `.`, `..`, double or trailing slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPath(String);

impl ContainerPath {
    /// Cleans a path by its words alone, as Docker does; `None` where it is not absolute.
    #[must_use]
    pub fn new(path: &str) -> Option<Self> {
        path.starts_with('/').then(|| Self::clean(path))
    }

    /// The same where one that is not absolute counts from the root.
    fn clean(path: &str) -> Self {
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Self(format!("/{}", parts.join("/")))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something mounted besides the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A view of a path of the host.
    Bind(Bind),
    /// A view of a volume.
    Volume(VolumeMount),
    /// A file system in memory.
    Tmpfs(Tmpfs),
}

impl Mount {
    /// Where it is in the container.
    #[must_use]
    pub const fn destination(&self) -> &ContainerPath {
        match self {
            Self::Bind(bind) => &bind.destination,
            Self::Volume(volume) => &volume.destination,
            Self::Tmpfs(tmpfs) => &tmpfs.destination,
        }
    }
}

/// A view of a path of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// An absolute path of the host.
    pub source: PathBuf,
    /// Where it is in the container.
    pub destination: ContainerPath,
    /// Whether it can be written to.
    pub access: Access,
    /// Whether mounts below the source are in the view.
    pub recursion: Recursion,
    /// How mounts that are made later reach over.
    pub propagation: Propagation,
    /// What becomes of a source that is not there.
    #[serde(default)]
    pub absent: Absent,
    /// The modes as they were written, for `inspect`.
    pub mode: String,
}

/// What becomes of the source of a mount that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absent {
    /// It is refused.
    #[default]
    Refused,
    /// A folder is made there.
    Made,
}

/// A view of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Which one.
    pub name: VolumeName,
    /// Where it is in the container.
    pub destination: ContainerPath,
    /// Whether it can be written to.
    pub access: Access,
    /// The folder in it that is mounted in place of the whole.
    pub subpath: Option<String>,
    /// What it begins with where it is empty.
    pub fill: Fill,
    /// What it is made with where there is none of its name.
    pub traits: Traits,
    /// The modes as they were written, for `inspect`.
    pub mode: String,
    /// Who wishes for it.
    #[serde(default)]
    pub origin: Origin,
}

/// Who wishes for a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Origin {
    /// Whoever asks for the container.
    #[default]
    Asked,
    /// Its image: where another container's volumes are mounted, too, those hold.
    Image,
}

/// The name of a volume that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeName {
    /// As it was asked for.
    Given(String),
    /// That of a new volume, which goes with its container; it gets one when it is made.
    New,
    /// The same when it has one.
    Own(String),
}

/// What an empty volume begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Fill {
    /// What the container's root has at its place.
    #[default]
    FromRoot,
    /// Nothing.
    Nothing,
}

/// What a volume is made with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traits {
    /// What its owner wrote on it.
    pub labels: BTreeMap<String, String>,
    /// `type`, `o` and `device` of what is mounted in its place, mount(8).
    pub options: BTreeMap<String, String>,
}

/// A container whose mounts another one gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Its name or id.
    pub container: String,
    /// Whether it can write to those that the other one can write to.
    pub access: Access,
}

/// Whether a bind mount can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Access {
    /// It can.
    #[default]
    ReadWrite,
    /// Neither it nor what is mounted below its source can.
    ReadOnly,
    /// It cannot, but what is mounted below its source can.
    ReadOnlyTop,
}

/// Whether a bind mount takes along what is mounted below its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Recursion {
    /// All of it.
    #[default]
    Recursive,
    /// The one mount alone.
    One,
}

/// A bind mount's propagation, mount_namespaces(7), in the words of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Propagation {
    /// `private`
    Private,
    /// `rprivate`
    #[default]
    RPrivate,
    /// `shared`
    Shared,
    /// `rshared`
    RShared,
    /// `slave`
    Slave,
    /// `rslave`
    RSlave,
}

impl Propagation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Private, Self::RPrivate, Self::Shared, Self::RShared, Self::Slave, Self::RSlave];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::RPrivate => "rprivate",
            Self::Shared => "shared",
            Self::RShared => "rshared",
            Self::Slave => "slave",
            Self::RSlave => "rslave",
        }
    }
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Where it is in the container.
    pub destination: ContainerPath,
    /// Options of mount(8) and tmpfs(5), checked; nosuid, nodev and noexec hold unless they say otherwise.
    pub options: Vec<String>,
    /// Which flag asked for it: `inspect` tells of them at different places.
    pub asked: Asked,
}

/// The flag that asked for a file system in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// `--tmpfs`.
    AsTmpfs,
    /// `--mount`.
    AsMount,
}

/// A name out of one of the kernel's tables.
pub type KernelName = &'static str;

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The kernel's name: `RLIMIT_NOFILE`.
    #[serde(deserialize_with = "known_rlimit")]
    pub resource: KernelName,
    /// What holds now.
    pub soft: Limit,
    /// How far a process may raise it.
    pub hard: Limit,
}

impl Ulimit {
    /// The kernel's name for the resource that Docker calls `nofile`, in any case; `None` for one that there is not.
    #[must_use]
    pub fn resource(word: &str) -> Option<&'static str> {
        let of = |name: &str| name.strip_prefix("RLIMIT_").is_some_and(|short| short.eq_ignore_ascii_case(word));
        oci::RLIMITS.iter().map(|(name, _)| *name).find(|name| of(name))
    }
}

fn known_rlimit<'de, D: Deserializer<'de>>(document: D) -> Result<KernelName, D::Error> {
    let name = String::deserialize(document)?;
    let known = oci::RLIMITS.iter().map(|(known, _)| *known).find(|known| *known == name);
    known.ok_or_else(|| de::Error::custom(format!("{name} is no limit of setrlimit(2)")))
}

/// Records of former versions have one word in place of the words.
fn words<'de, D: Deserializer<'de>>(document: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Some(Vec<String>),
    }
    Ok(Option::deserialize(document)?.map(|words| match words {
        Words::One(word) => Some(word).filter(|word| !word.is_empty()).into_iter().collect(),
        Words::Some(words) => words,
    }))
}

fn known_capability<'de, D: Deserializer<'de>>(document: D) -> Result<KernelName, D::Error> {
    let name = String::deserialize(document)?;
    let known = oci::CAPABILITIES.iter().map(|(known, _)| *known).find(|known| *known == name);
    known.ok_or_else(|| de::Error::custom(format!("{name} is no capability")))
}

/// What the processes of a container may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// Whether almost nothing is kept from it.
    pub privileged: bool,
    /// Capabilities besides the default ones.
    pub cap_add: Vec<Capabilities>,
    /// Capabilities that it does not get.
    pub cap_drop: Vec<Capabilities>,
    /// Its seccomp profile; `None` is the default, or unconfined if it is privileged.
    pub seccomp: Option<SeccompChoice>,
    /// Whether execve(2) can give no more rights than there were.
    pub no_new_privileges: bool,
}

/// One capability, or every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capabilities {
    /// `ALL`.
    All,
    /// The kernel's name: `CAP_NET_RAW`.
    #[serde(deserialize_with = "known_capability")]
    One(KernelName),
}

impl Capabilities {
    /// Takes names in any case, with or without `CAP_`; `None` for one that there is not.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let name = word.to_ascii_uppercase();
        if name == "ALL" {
            return Some(Self::All);
        }
        let short = name.strip_prefix("CAP_").unwrap_or(&name);
        let found = oci::CAPABILITIES.iter().find(|(known, _)| known.strip_prefix("CAP_") == Some(short));
        found.map(|(known, _)| Self::One(known))
    }

    /// Every name, without `CAP_`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        oci::CAPABILITIES.iter().filter_map(|(name, _)| name.strip_prefix("CAP_"))
    }
}

/// A seccomp profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompChoice {
    /// The built-in one.
    Default,
    /// None at all.
    Unconfined,
    /// A file of the host.
    File(PathBuf),
}

/// A signal's number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal(u32);

impl Signal {
    /// SIGTERM.
    pub const TERM: Self = Self(15);
    /// SIGKILL.
    pub const KILL: Self = Self(9);

    /// `None` for a number that is no signal's.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (1..=sys::signal::LAST).contains(&number).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A container's relation to the host's namespaces, kind by kind. The mount namespace is always its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Process numbers.
    pub pid: Namespace,
    /// Network devices, addresses, ports.
    pub net: Namespace,
    /// System V and POSIX message queues, shared memory.
    pub ipc: Namespace,
    /// Host and domain name.
    pub uts: Namespace,
    /// User and group numbers, and whom capabilities count against.
    pub user: Namespace,
    /// What the cgroup tree looks like from inside.
    pub cgroup: Namespace,
    /// The monotonic and boot-time clocks.
    pub time: Namespace,
    /// Which ids of the host a user namespace of its own maps, in its uid map.
    pub uid_mappings: Vec<IdMapping>,
    /// The same for groups.
    pub gid_mappings: Vec<IdMapping>,
    /// What a time namespace of its own adds to the monotonic clock.
    pub monotonic: Option<TimeOffset>,
    /// What it adds to the boot-time clock.
    pub boottime: Option<TimeOffset>,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self {
            pid: Namespace::Private,
            net: Namespace::Private,
            ipc: Namespace::Private,
            uts: Namespace::Private,
            user: Namespace::Host,
            cgroup: Namespace::Private,
            time: Namespace::Host,
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
            monotonic: None,
            boottime: None,
        }
    }
}

impl Namespaces {
    /// Every kind that can be chosen, with its choice, in the order of /proc/PID/ns.
    #[must_use]
    pub const fn choices(&self) -> [(NamespaceKind, &Namespace); 7] {
        [
            (NamespaceKind::Pid, &self.pid),
            (NamespaceKind::Net, &self.net),
            (NamespaceKind::Ipc, &self.ipc),
            (NamespaceKind::Uts, &self.uts),
            (NamespaceKind::User, &self.user),
            (NamespaceKind::Cgroup, &self.cgroup),
            (NamespaceKind::Time, &self.time),
        ]
    }
}

/// Which namespace of a kind a container is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespace {
    /// One of its own.
    Private,
    /// The host's.
    Host,
    /// Another's, which whoever asks for a configuration resolves to a namespace file.
    Joined(Join),
}

/// Whose namespace is joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    /// A container's, by name or id.
    Container(String),
    /// A process's, by its PID on the host.
    Process(u32),
    /// A namespace file's.
    Path(PathBuf),
}

/// As it was asked for.
impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Process(process) => write!(f, "pid:{process}"),
            Self::Path(path) => write!(f, "path:{}", path.display()),
        }
    }
}

/// What a container may use of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// What it is held to.
    pub limits: Limits,
    /// Device nodes of the host that it gets.
    pub devices: Vec<DeviceMapping>,
    /// The cgroup above its own.
    pub cgroup_parent: Option<String>,
    /// Who makes its cgroups; `None` is who makes them on this host.
    pub cgroup_manager: Option<Manager>,
}

/// Who makes the cgroups of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manager {
    /// carboy itself, in the cgroup file systems.
    Cgroupfs,
    /// systemd, as a unit of its own.
    Systemd,
}

/// A device node of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMapping {
    /// The node, or a folder of nodes.
    pub source: PathBuf,
    /// Where it is in the container.
    pub destination: ContainerPath,
    /// Some of `r`, `w` and `m`.
    pub access: String,
}

impl ExecOptions {
    /// A command in a container, as its own user, at its own place.
    pub(crate) fn of_command(container: &str, command: Vec<String>) -> Self {
        Self {
            container: container.to_owned(),
            command,
            tty: false,
            interactive: false,
            env: Vec::new(),
            workdir: None,
            user: None,
            privileged: false,
            detach: false,
            detach_keys: Vec::new(),
        }
    }
}

impl RunOptions {
    /// Ctrl-P, Ctrl-Q.
    pub const DETACH_KEYS: [u8; 2] = [16, 17];

    /// A container of `root` with nothing asked for but its command.
    #[must_use]
    pub fn new(root: Root, command: Vec<String>) -> Self {
        Self {
            root,
            pull: Pull::default(),
            verify: None,
            command,
            entrypoint: None,
            tty: false,
            interactive: false,
            env: Vec::new(),
            workdir: None,
            user: None,
            group_add: Vec::new(),
            name: None,
            hostname: None,
            domainname: None,
            read_only: false,
            mounts: Vec::new(),
            volumes_from: Vec::new(),
            shm_size_bytes: None,
            init: false,
            remove: false,
            ulimits: Vec::new(),
            sysctls: BTreeMap::new(),
            security: Security::default(),
            detach: false,
            log: LogWish::USUAL,
            mentions: Mentions::default(),
            exposed_ports: BTreeSet::new(),
            stop: Stop::default(),
            restart: Policy::default(),
            health: HealthWish::default(),
            oom_score_adj: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            cidfile: None,
            pidfile: None,
            detach_keys: Self::DETACH_KEYS.to_vec(),
            namespaces: Namespaces::default(),
            network: NetworkOptions::default(),
            resources: Resources::default(),
        }
    }

    /// Whether these options go together, and can be had on this host as far as its facts tell.
    ///
    /// # Errors
    /// Refused, naming the flag.
    pub fn check(&self, host: &HostFacts) -> error::Result<()> {
        check::all(self, host)
    }

    /// As [`Limits::in_flags`].
    #[must_use]
    pub fn in_flags(&self, error: error::Error) -> error::Error {
        self.resources.limits.in_flags(error)
    }
}
