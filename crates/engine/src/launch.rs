//! From options to a container that is ready to start.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use bumpalo::Bump;
use cgroup::GroupPath;
use error::{Doing, Refused, RefusedKind, Result};
use jiff::Timestamp;
use namespace::mnt::Source;
use oci::NamespaceKind;
use procfs::HostPid;
use runtime::facts::Facts;
use runtime::plan::Plan;
use runtime::process::{Filter, Terms};
use runtime::root::{Keep, Remembers};
use seccomp::Arch;

use crate::containers::{Engine, Status, not_running};
use crate::driver::Driver;
use crate::options::{Absent, Bind, Join, Limits, Mount, Namespace, RunOptions, SeccompChoice};
use crate::place::Place;
use crate::record::{After, Confinement, Live, Record, Wanted};
use crate::rootless;
use crate::spec::{self, HostFacts, Identity};
use crate::store::{Claim, Store};
use crate::streams::Input;
use crate::user::{self, ResolvedUser};

/// `O_NONBLOCK` of open(2), lest a fifo is waited for.
const NONBLOCK: i32 = 0o4000;

/// A container that is ready to be planned and started.
#[derive(Debug)]
pub struct Launch {
    /// What is remembered of it.
    pub record: Record,
    /// What its root is made of.
    pub root: runtime::root::Root,
    /// What the plan is computed from.
    pub facts: Facts,
    /// Its seccomp filter.
    pub filter: Option<Filter>,
    /// How many system calls its filter lets through; `None` without one.
    pub calls_allowed: Option<usize>,
    /// Where its standard input comes from.
    pub input: Input,
    /// What was asked for by flags, for errors.
    pub(crate) limits: Limits,
    /// To what it is connected, in words.
    connections: Vec<String>,
}

impl Launch {
    /// The plan.
    ///
    /// # Errors
    /// As [`runtime::plan::plan`].
    pub fn plan<'a>(&self, arena: &'a Bump) -> Result<Plan<'a>> {
        self.plan_with(&self.facts, arena)
    }

    /// The plan by other facts.
    ///
    /// # Errors
    /// As [`runtime::plan::plan`].
    pub(crate) fn plan_with<'a>(&self, facts: &Facts, arena: &'a Bump) -> Result<Plan<'a>> {
        let terms = Terms { filter: self.filter.as_ref(), connections: &self.connections, ..Terms::default() };
        runtime::plan::plan(&self.record.config, facts, &terms, arena)
    }
}

/// A new container's names.
#[derive(Debug, Clone)]
pub struct Names {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where its groups will be.
    place: Place,
}

impl Names {
    /// A new id, with the name that was asked for or a new one.
    ///
    /// # Errors
    /// A kernel error; refused where no group can be below the parent that was asked for.
    pub fn new(options: &RunOptions) -> Result<Self> {
        let name = options.name.clone().map_or_else(crate::names::new_name, Ok)?;
        let id = crate::names::new_id()?;
        Ok(Self { place: Place::of(options, &id)?, id, name })
    }

    /// Those of a container that is there.
    ///
    /// # Errors
    /// As [`Names::new`].
    pub(crate) fn of(record: &Record) -> Result<Self> {
        let Record { id, name, options, .. } = record;
        Ok(Self { id: id.clone(), name: name.clone(), place: Place::of(options, id)? })
    }
}

impl Engine {
    /// Makes what a container needs on disk, and everything that its plan is computed from. When it fails nothing is
    /// left.
    ///
    /// # Errors
    /// Refused, naming the flag; a kernel error.
    pub fn prepare(&self, options: &RunOptions, names: &Names) -> Result<(Launch, Claim, Live)> {
        let (options, _images) = self.with_image(options)?;
        options.root.check()?;
        rootless::check(&options)?;
        let options = &*self.with_volumes(options)?;
        let after = if options.remove { After::Remove } else { After::KeepIfItRan };
        let mut live = Live::named(&names.name, &names.place.site.group.to_string(), after);
        let claim = self.claim(&names.id, &live)?;
        let keep = if options.remove { Keep::Volatile } else { Keep::Durable };
        let made = options
            .root
            .prepare((&self.store, &names.id), keep)
            .and_then(|()| self.take_volumes(options, &names.id))
            .and_then(|()| make_sources(options))
            .and_then(|()| crate::network::files::make(&self.store, &names.id, options))
            .and_then(|()| self.launch(options, names))
            .and_then(|launch| self.record_undo(&launch, &claim, &mut live).map(|()| launch))
            .and_then(|launch| self.store.write_record(&launch.record).map(|()| launch));
        match made {
            Ok(launch) => {
                self.store.tell(&launch.record, "create", &[]);
                Ok((launch, claim, live))
            }
            Err(error) => {
                self.abandon(claim, &live);
                Err(error)
            }
        }
    }

    /// Plans once for what must be undone, and writes that down before any of it is made.
    pub(crate) fn record_undo(&self, launch: &Launch, claim: &Claim, live: &mut Live) -> Result<()> {
        let arena = Bump::new();
        let plan = launch.plan(&arena)?;
        let made = plan.groups.parents.iter().map(|parent| (parent.hierarchy.clone(), parent.path.to_string()));
        live.parents = self.parents_of_others(&plan.groups.path, &claim.id)?;
        live.parents.extend(made);
        if !live.parents.is_empty() {
            self.store.write_live(claim, live)?;
        }
        Ok(())
    }

    /// The groups above a new one that were made for other containers: the last one in them takes them away. The highest
    /// come first, as in a plan.
    fn parents_of_others(&self, path: &GroupPath, own: &str) -> Result<Vec<(String, String)>> {
        let above: Vec<String> = path.ancestors().iter().map(ToString::to_string).collect();
        if above.len() < 2 {
            return Ok(Vec::new());
        }
        let level = |(_, parent): &(String, String)| above.iter().position(|path| path == parent);
        let mut parents = Vec::new();
        for id in self.store.live_ids()?.iter().filter(|id| *id != own) {
            let Ok(Some(live)) = self.store.live(id) else { continue };
            parents.extend(live.parents.into_iter().filter(|parent| level(parent).is_some()));
        }
        parents.sort();
        parents.dedup();
        parents.sort_by_key(level);
        Ok(parents)
    }

    /// Reads and computes what a container's plan is made from, without making anything.
    ///
    /// # Errors
    /// Refused, naming the flag; a kernel error.
    pub fn launch(&self, options: &RunOptions, names: &Names) -> Result<Launch> {
        self.launch_as(options, names, None)
    }

    /// The same for a container that is there, if one is: what it has learnt since it was made stays.
    pub(crate) fn launch_as(&self, asked: &RunOptions, names: &Names, former: Option<&Record>) -> Result<Launch> {
        let container = self.store.container(&names.id);
        let (asked, _images) = self.with_image(asked)?;
        let options = &*self.with_volumes(self.settled(&asked)?)?;
        rootless::check(options)?;
        let host = HostFacts {
            volumes: self.locate_volumes(options)?,
            network_files: self.network_files(&names.id, options)?,
            ..crate::host::read(options, former)?
        };
        options.check(&host)?;
        let driver = former.map_or_else(|| self.store.driver(), |former| former.driver);
        let user = resolve_user(options, driver, (&self.store, &names.id))?;
        if let Some(ids) = &host.ids {
            rootless::check_ids(ids, &user, &options.group_add)?;
            rootless::check_groups(options, &names.place.site.hierarchies)?;
        }
        let identity = Identity {
            id: names.id.clone(),
            group: names.place.text.clone(),
            root: container.join("upper").display().to_string(),
            joined: self.joined(options)?,
        };
        let mut spec = spec::config(options, &host, &user, &identity)?;
        spec.config.check()?;
        let confinement = match former {
            Some(former) => keep(former, &mut spec.config),
            None => confine(&spec.seccomp, &mut spec.config)?,
        };
        let profile = profile(confinement, &spec.config);
        let (filter, calls_allowed) = match &profile {
            None => (None, None),
            Some(profile) => (Some(Filter::of(profile)?), Some(seccomp::allowed_count(profile, Arch::NATIVE)?)),
        };
        let mut facts = Facts::read(&spec.config, names.place.site.clone(), spec.defaulted, &self.store.mounts())?;
        tell_of_what_comes(&mut facts, options, &host);
        let (now, group) = (Timestamp::now(), names.place.site.group.to_string());
        let record = Record {
            version: Record::VERSION,
            id: names.id.clone(),
            name: names.name.clone(),
            image: options.root.to_string(),
            created: former.map_or(now, |former| former.created),
            options: asked.clone().into_owned(),
            driver,
            confinement,
            config: spec.config,
            group,
            begun: Some(now),
            wanted: Wanted::Running,
            restarts: 0,
            exit: None,
        };
        let input = match (options.interactive, options.detach) {
            (false, _) => Input::Null,
            (true, false) => Input::Once,
            (true, true) => Input::Open,
        };
        let remembers = if host.ids.is_some() { Remembers::AsUser } else { Remembers::AsTrusted };
        let keep = if options.remove { Keep::Volatile } else { Keep::Durable };
        Ok(Launch {
            connections: self.connections(&options.network.networks),
            record,
            root: options.root.layers((&self.store, &names.id), driver, keep, remembers),
            facts,
            filter,
            calls_allowed,
            input,
            limits: options.resources.limits.clone(),
        })
    }

    /// The options, with the host's user namespace as what it is: where a container or process that is joined has none of
    /// its own, there is nothing to join, and the kernel refuses to.
    fn settled<'o>(&self, options: &'o RunOptions) -> Result<Cow<'o, RunOptions>> {
        let Namespace::Joined(join) = &options.namespaces.user else { return Ok(Cow::Borrowed(options)) };
        let path = self.namespace_file(NamespaceKind::User, join)?;
        let identity = |path: &str| -> Result<(u64, u64)> {
            let file = fs::metadata(path).doing(|| format!("look at {path}"))?;
            Ok((file.dev(), file.ino()))
        };
        let mut settled = Cow::Borrowed(options);
        if identity(&path)? == identity("/proc/self/ns/user")? {
            settled.to_mut().namespaces.user = Namespace::Host;
        }
        Ok(settled)
    }

    /// The files of the namespaces that are joined.
    fn joined(&self, options: &RunOptions) -> Result<Vec<(NamespaceKind, String)>> {
        let mut joined = Vec::new();
        for (kind, namespace) in options.namespaces.choices() {
            if let Namespace::Joined(join) = namespace {
                joined.push((kind, self.namespace_file(kind, join)?));
            }
        }
        Ok(joined)
    }

    fn namespace_file(&self, kind: NamespaceKind, join: &Join) -> Result<String> {
        let path = match join {
            Join::Path(path) => path.display().to_string(),
            Join::Process(process) => {
                let pid = HostPid(i32::try_from(*process).unwrap_or(i32::MAX));
                procfs::ns::path(pid, kind.name())
            }
            Join::Container(word) => {
                let container = self.find(word)?;
                let Status::Running(process) = &container.status else {
                    return Err(not_running(&container).hint("its namespaces are gone with it: start it first").into());
                };
                procfs::ns::path(HostPid(process.pid), kind.name())
            }
        };
        check_namespace(kind, &path).map_err(|reason| {
            let refused = Refused::new(flag(kind), join.to_string(), reason).kind(RefusedKind::NoSuchObject);
            refused.hint(format!("use container:NAME, pid:N of a running process, or path:/proc/N/ns/{}", kind.name()))
        })?;
        Ok(path)
    }
}

/// Tells of sources of mounts that are made with the container.
fn tell_of_what_comes(facts: &mut Facts, options: &RunOptions, host: &HostFacts) {
    for volume in host.volumes.values() {
        facts.mounts.sources.insert(volume.folder.display().to_string(), Source::Folder);
    }
    for (file, _) in &host.network_files {
        facts.mounts.sources.insert(file.display().to_string(), Source::File);
    }
    for bind in made_sources(options).filter(|bind| !bind.source.exists()) {
        facts.mounts.sources.insert(bind.source.display().to_string(), Source::Folder);
    }
}

/// The mounts whose sources are made where they are not there.
fn made_sources(options: &RunOptions) -> impl Iterator<Item = &Bind> {
    options.mounts.iter().filter_map(|mount| match mount {
        Mount::Bind(bind) => Some(bind).filter(|bind| bind.absent == Absent::Made),
        _ => None,
    })
}

/// Makes them: folders, which stay, as they do with Docker.
pub(crate) fn make_sources(options: &RunOptions) -> Result<()> {
    made_sources(options).filter(|bind| !bind.source.exists()).try_for_each(|bind| {
        let action = || format!("create {}, the source for {}", bind.source.display(), bind.destination.as_str());
        fs::create_dir_all(&bind.source).doing(action)
    })
}

/// The flag that chooses a namespace of this kind.
fn flag(kind: NamespaceKind) -> String {
    match kind {
        NamespaceKind::User | NamespaceKind::Cgroup | NamespaceKind::Time => format!("--{}ns", kind.name()),
        _ => format!("--{}", kind.name()),
    }
}

/// Why a file is no namespace of this kind, if it is none. The kernel names an open namespace file `net:[4026531840]`.
fn check_namespace(kind: NamespaceKind, path: &str) -> std::result::Result<(), String> {
    let gone = |error| format!("is gone or was never there: {path}: {}", crate::event::words(&error));
    let opened = fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).map_err(gone)?;
    let name = procfs::ns::name_of(&opened).map_err(|error| error.to_string())?;
    if name.split_once(":[").is_some_and(|(found, _)| found == kind.name()) {
        return Ok(());
    }
    Err(format!("is no {} namespace: {path} is {name}", kind.name()))
}

fn resolve_user(options: &RunOptions, driver: Driver, container: (&Store, &str)) -> Result<ResolvedUser> {
    let word = options.user.as_deref().unwrap_or_default();
    let (mut passwd, mut group) = (Vec::new(), Vec::new());
    let root = match driver {
        _ if !options.root.is_there(container) => None,
        Driver::Overlay => Some(options.root.open_lower(container)?),
        Driver::Vfs => options.root.open_copy(container)?,
    };
    if let Some(root) = root {
        passwd = runtime::root::read_within(&root, c"etc/passwd")?;
        group = runtime::root::read_within(&root, c"etc/group")?;
    }
    user::resolve(word, &options.group_add, &passwd, &group)
}

/// Takes over what a container's profile was when it was made, and what it is held to by now.
fn keep(former: &Record, config: &mut oci::Config) -> Confinement {
    let linux = config.linux.get_or_insert_default();
    if let Some(former) = &former.config.linux {
        linux.resources.clone_from(&former.resources);
        linux.seccomp.clone_from(&former.seccomp);
    }
    former.confinement
}

/// Takes the choice over; a profile from a file goes into the configuration, resolved for the process's capabilities.
fn confine(choice: &SeccompChoice, config: &mut oci::Config) -> Result<Confinement> {
    match choice {
        SeccompChoice::Unconfined => Ok(Confinement::Unconfined),
        SeccompChoice::Default => Ok(Confinement::Default),
        SeccompChoice::File(path) => {
            let field = format!("--security-opt seccomp={}", path.display());
            let text = fs::read(path).doing(|| format!("read the seccomp profile {}", path.display()))?;
            let parsed = seccomp::parse_profile(&text, &field)?;
            let profile = parsed.resolve(bounding(config), Arch::NATIVE, crate::host::kernel());
            config.linux.get_or_insert_default().seccomp = Some(profile);
            Ok(Confinement::Profile)
        }
    }
}

fn bounding(config: &oci::Config) -> &[String] {
    let capabilities = config.process.as_ref().and_then(|process| process.capabilities.as_ref());
    capabilities.and_then(|capabilities| capabilities.bounding.as_deref()).unwrap_or_default()
}

/// The profile that holds for the processes of a container.
pub(crate) fn profile(confinement: Confinement, config: &oci::Config) -> Option<oci::Seccomp> {
    match confinement {
        Confinement::Unconfined => None,
        Confinement::Default => Some(seccomp::docker_default(bounding(config), Arch::NATIVE, crate::host::kernel())),
        Confinement::Profile => config.linux.as_ref().and_then(|linux| linux.seccomp.clone()),
    }
}

/// A file that tells of a new container (`--cidfile`, `--pidfile`). It is made before the container, so that none runs
/// whose file cannot be had, and is gone again where nothing was written.
#[derive(Debug)]
pub struct NewFile<'p> {
    path: &'p Path,
    file: File,
    written: bool,
}

impl<'p> NewFile<'p> {
    /// Makes the file.
    ///
    /// # Errors
    /// Refused where it exists, or cannot be made.
    pub fn create(flag: &str, path: &'p Path) -> Result<Self> {
        match File::create_new(path) {
            Ok(file) => Ok(Self { path, file, written: false }),
            Err(error) => {
                let (reason, hint) = match error.kind() {
                    ErrorKind::AlreadyExists => ("exists already".to_owned(), "delete it, or use another path"),
                    _ => (crate::event::words(&error), "use a path where a file can be made"),
                };
                let refused = Refused::new(flag, path.display().to_string(), reason).kind(RefusedKind::Conflict);
                Err(refused.hint(hint).into())
            }
        }
    }

    /// Writes what it is for.
    ///
    /// # Errors
    /// A kernel error.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).doing(|| format!("write {}", self.path.display()))?;
        self.written = true;
        Ok(())
    }

    /// Takes it back: there is no such container.
    pub fn remove(mut self) {
        self.written = false;
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.written {
            let _ = fs::remove_file(self.path);
        }
    }
}
