//! `create` and `run`: from a bundle to a process that waits to be started, with everything on record that must be undone.

use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bumpalo::Bump;
use cgroup::{Hierarchies, mark};
use child::Step;
use error::{Doing, Errno, Error, Refused, Result};
use namespace::mnt::options;
use oci::{Config, Mount, Process, State, Status};
use procfs::HostPid;
use runtime::apply::{News, Running, Stage};
use runtime::facts::{Facts, Site};
use runtime::hooks::Given;
use runtime::label::Modules;
use runtime::landlock::Domain;
use runtime::plan::{Moment, Plan};
use runtime::process::{Affinity, Filter, Start, Terms};
use runtime::resctrl;
use runtime::root::Root;

use crate::arguments::Invocation;
use crate::container;
use crate::foreground;
use crate::gate::{self, Gate, Starter};
use crate::notify::{self, Proxy};
use crate::place::{self, Place};
use crate::points;
use crate::process::{self, Passed};
use crate::report::Log;
use crate::rootless;
use crate::store::{FirstProcess, Held, Record, Store};

/// The version of the specification that this runtime follows.
pub(crate) const OCI_VERSION: &str = "1.3.0";

/// `create`.
///
/// # Errors
/// Refused, naming the field, for what cannot be had; a kernel error. Nothing is left then.
pub(crate) fn create(store: &Store, invocation: &Invocation, log: &Log) -> Result<()> {
    make(store, invocation, log, Starter::Anybody).map(drop)
}

/// `run`: `create` and `start`, and without `--detach` the end.
///
/// # Errors
/// As [`create`].
pub(crate) fn run(store: &Store, invocation: &Invocation, log: &Log) -> Result<ExitCode> {
    let id = invocation.id()?;
    let signals = if invocation.has("detach") { None } else { Some(foreground::take_signals()?) };
    let Made { held, record, running, gate, hierarchies } = make(store, invocation, log, Starter::Maker)?;
    let opened = Proxy::open(&held.notify_folder());
    let proxy = match opened.and_then(|proxy| container::start_held(held, &record, gate, log).map(|()| proxy)) {
        Ok(proxy) => proxy,
        Err(error) => {
            let _ = sys::process::send_signal(running.pidfd.as_fd(), container::KILL);
            let _ = sys::process::wait(running.pidfd.as_fd());
            if let Ok((held, record)) = store.hold(id) {
                container::undo(held, &record, log)?;
            }
            return Err(error);
        }
    };
    let Some(signals) = signals else {
        let ready = proxy.map_or(Ok(()), |proxy| proxy.wait(&running.pidfd, running.pid.0));
        return ready.map(|()| ExitCode::SUCCESS);
    };
    let code = foreground::attend(&running, &signals, proxy.as_ref())?;
    if !invocation.has("keep") {
        let (held, record) = store.hold(id)?;
        container::undo_in(&hierarchies, held, &record, log)?;
    }
    Ok(ExitCode::from(code))
}

/// A container that waits to be started, and is held.
struct Made {
    held: Held,
    record: Record,
    running: Running,
    gate: Gate,
    /// Where its groups are.
    hierarchies: Hierarchies,
}

/// What has been started of it.
struct Started {
    running: Running,
    gate: Gate,
    hierarchies: Hierarchies,
}

fn make(store: &Store, invocation: &Invocation, log: &Log, starter: Starter) -> Result<Made> {
    let id = invocation.id()?;
    let bundle = bundle(invocation)?;
    let mut draft = draft(&bundle, invocation, log)?;
    let console = console(draft.config.process.as_ref(), invocation)?;
    let site = draft.place.site.clone();
    let held = store.claim(id)?;
    let mut record = Record::new(id, &bundle, &mut draft);
    let made = notify::prepare(&held.notify_folder(), &mut draft.config)
        .and_then(|()| facts(store, &draft.config, site, invocation))
        .and_then(|facts| place::approach(facts.cgroup.systemd.as_ref()).map(|()| facts))
        .and_then(|facts| start_among_others(&held, &mut record, (facts, starter), &draft))
        .and_then(|started| announce(&started.running, console, invocation).map(|()| started));
    match made {
        Ok(Started { running, gate, hierarchies }) => Ok(Made { held, record, running, gate, hierarchies }),
        Err(error) if runtime::apply::is_taken(&error) => {
            held.remove()?;
            Err(error)
        }
        Err(error) => {
            container::kill_first(&record);
            container::undo(held, &record, log)?;
            Err(error)
        }
    }
}

/// What a container is made of, before anything is done.
pub(crate) struct Draft {
    /// The configuration as the bundle has it, for the record.
    pub(crate) stated: Config,
    /// The same with what the process gets besides.
    pub(crate) config: Config,
    pub(crate) filter: Option<Filter>,
    pub(crate) landlock: Option<Domain>,
    pub(crate) place: Place,
    keyring: Option<String>,
    resctrl: Option<resctrl::Place>,
    modules: Modules,
    passed: Passed,
}

/// Reads a bundle.
///
/// # Errors
/// Refused, naming the field, for what cannot be had; a kernel error.
pub(crate) fn draft(bundle: &Path, invocation: &Invocation, log: &Log) -> Result<Draft> {
    let passed = Passed::to_first(invocation)?;
    let id = invocation.id()?;
    let stated = read_config(bundle, invocation, log)?;
    let mut config = stated.clone();
    if let (Some(process), Some(root)) = (&mut config.process, &config.root) {
        let root = fs::File::open(&root.path).doing(|| format!("open the root {}", root.path))?;
        process.env.extend(passed.environment());
        process::settle_environment(process, &root.into())?;
    }
    let modules = process::modules(config.process.as_ref(), config.linux.as_ref())?;
    runtime::label::label_mounts(&mut config, modules)?;
    let filter = filter(&config)?;
    let landlock = Domain::of(&config)?;
    let place = Place::of(&config, id, invocation)?;
    let resctrl = process::resctrl(id, config.linux.as_ref())?;
    let keyring = (!invocation.has("no-new-keyring")).then(|| format!("_ses.{id}"));
    Ok(Draft { stated, config, filter, landlock, place, keyring, resctrl, modules, passed })
}

impl Draft {
    /// The name of its session keyring, where it does not have its caller's.
    pub(crate) fn keyring(&self) -> Option<&str> {
        self.keyring.as_deref()
    }

    /// What it is planned with.
    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms {
            filter: self.filter.as_ref(),
            landlock: self.landlock.as_ref(),
            start: Start::Later,
            inherited: self.passed.count(),
            keyring: self.keyring.as_deref(),
            resctrl: self.resctrl.as_ref(),
            modules: self.modules,
            affinity: Affinity::Reset,
            ..Terms::default()
        }
    }
}

/// What must be known of the host to plan a container.
///
/// # Errors
/// As [`Facts::read`].
pub(crate) fn facts(store: &Store, config: &Config, site: Site, invocation: &Invocation) -> Result<Facts> {
    let mut facts = Facts::read(config, site, Vec::new(), &store.mounts())?;
    if invocation.has("no-pivot") {
        facts.mounts.jail = runtime::facts::without_pivot()?;
    }
    Ok(facts)
}

/// The folder of a container's configuration.
///
/// # Errors
/// A kernel error where there is none.
pub(crate) fn bundle(invocation: &Invocation) -> Result<PathBuf> {
    let path = invocation.value("bundle").filter(|path| !path.is_empty()).unwrap_or(".");
    fs::canonicalize(path).doing(|| format!("find the bundle {path}"))
}

/// The configuration as it stands in the bundle.
///
/// # Errors
/// Refused, naming the field; a kernel error where it cannot be read.
pub(crate) fn parse_config(bundle: &Path, invocation: &Invocation) -> Result<Config> {
    let path = bundle.join(invocation.value("config").unwrap_or("config.json"));
    let text = fs::read(&path).doing(|| format!("read {}", path.display()))?;
    let config = Config::parse(&text)?;
    config.check()?;
    Ok(config)
}

/// The configuration, with the paths of the host that it names made absolute.
fn read_config(bundle: &Path, invocation: &Invocation, log: &Log) -> Result<Config> {
    let mut config = parse_config(bundle, invocation)?;
    rootless::settle(&mut config, invocation);
    if let Some(root) = &mut config.root {
        let path = bundle.join(&root.path);
        let found = fs::canonicalize(&path).map_err(|error| unusable_root(&path, &error))?;
        if !found.is_dir() {
            return Err(Refused::new("root.path", path.display().to_string(), "is not a folder").into());
        }
        root.path = found.display().to_string();
    }
    for mount in &mut config.mounts {
        if !mount.destination.starts_with('/') {
            mount.destination.insert(0, '/');
        }
        let is_bind = points::is_bind(mount);
        if let Some(source) = mount.source.as_mut().filter(|source| is_bind && !source.starts_with('/')) {
            *source = bundle.join(&*source).display().to_string();
        }
        if is_bind {
            leave_out_data(mount, log);
        }
    }
    if let Some(process) = &mut config.process {
        process::possible_capabilities(process, process::grantable(config.linux.as_ref())?, log);
    }
    Ok(config)
}

/// Leaves out the options of a file system from a view of one, with a warning: the kernel has no use for them there, and
/// callers give every mount the same list.
fn leave_out_data(mount: &mut Mount, log: &Log) {
    let is_data = |word: &String| !options::parse(&[word]).data.is_empty();
    for word in mount.options.extract_if(.., |word| is_data(word)) {
        let reason = "means nothing for a bind mount: the file system is the host's";
        log.warning(&format!("ignoring mounts[{}].options {word}: {reason}", mount.destination));
    }
}

fn unusable_root(path: &Path, error: &std::io::Error) -> Error {
    let reason = if error.kind() == ErrorKind::NotFound { "no such file or directory" } else { "cannot be opened" };
    Refused::new("root.path", path.display().to_string(), reason).into()
}

/// The program of the profile, for the kernel.
///
/// # Errors
/// Refused for a profile that says what no program can do.
pub(crate) fn filter(config: &Config) -> Result<Option<Filter>> {
    let profile = config.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    profile.map(Filter::of).transpose()
}

/// The socket that takes the terminal, if there is a terminal and somebody else who takes it.
///
/// # Errors
/// Refused where only one of the two is there; a kernel error where nobody listens.
pub(crate) fn console(process: Option<&Process>, invocation: &Invocation) -> Result<Option<UnixStream>> {
    let terminal = process.is_some_and(|process| process.terminal);
    let stays = matches!(invocation.command.as_str(), "run" | "exec" | "restore") && !invocation.has("detach");
    match invocation.value("console-socket").filter(|path| !path.is_empty()) {
        Some(path) if terminal => {
            UnixStream::connect(path).doing(|| format!("connect to the console socket {path}")).map(Some)
        }
        Some(path) => {
            Err(Refused::new("--console-socket", path, "is for a process with a terminal, and it has none").into())
        }
        None if terminal && !stays => {
            Err(Refused::new("process.terminal", "true", "needs somebody who takes the terminal")
                .hint("give --console-socket")
                .into())
        }
        None => Ok(None),
    }
}

/// How often a container is planned anew.
const PARENTS_LOST: usize = 10;

/// Starts it. Groups above its own go with the last container in them, which may be another one that ends now: then it is
/// planned anew, as long as there is no process.
fn start_among_others(
    held: &Held,
    record: &mut Record,
    (mut facts, starter): (Facts, Starter),
    draft: &Draft,
) -> Result<Started> {
    let whole = |(running, gate), facts: Facts| Started { running, gate, hierarchies: facts.hierarchies };
    for _ in 0..PARENTS_LOST {
        match start(held, record, (&facts, starter), draft) {
            Err(error)
                if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV))
                    && record.process.is_none()
                    && facts.group.ancestors().len() > 1 =>
            {
                container::remove_groups(record)?;
                gate::remove(held.folder());
                facts = facts.reread()?;
            }
            started => return started.map(|started| whole(started, facts)),
        }
    }
    start(held, record, (&facts, starter), draft).map(|started| whole(started, facts))
}

fn start(
    held: &Held,
    record: &mut Record,
    (facts, starter): (&Facts, Starter),
    draft: &Draft,
) -> Result<(Running, Gate)> {
    let arena = Bump::new();
    let config = &draft.config;
    let plan = runtime::plan::plan(config, facts, &draft.terms(), &arena)?;
    let parents = plan.groups.parents.iter();
    record.parents = parents.map(|parent| (parent.hierarchy.clone(), parent.path.to_string())).collect();
    record.steps = behind_the_gate(&plan);
    held.write(record)?;
    let (gate, inner) = Gate::make(held.folder(), starter)?;
    let root = Root::Prepared(PathBuf::from(&record.rootfs));
    let hooks = config.hooks.clone().unwrap_or_default();
    let state = state(record, Status::Creating);
    let mut news = |news: News| note(held, record, news);
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stage = Stage {
        hierarchies: &facts.hierarchies,
        groups: None,
        mounted: &facts.groups,
        root: Some(&root),
        standard: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        record: &mut news,
        first: None,
        gate: Some(child::Gate { start: inner.start.as_fd(), failure: inner.failure.as_fd() }),
        connect: None,
        hooks: Some((&hooks, Given { state, environment: &environment() })),
    };
    let running = runtime::apply::start(&plan, stage)?;
    gate.finish(held.folder())?;
    Ok((running, gate))
}

/// The steps that are done when the container is started, in words, for messages.
fn behind_the_gate(plan: &Plan<'_>) -> Vec<(usize, String)> {
    let steps = plan.child.iter().enumerate();
    let behind = steps.skip_while(|(_, step)| !matches!(step, Step::Gate)).skip(1);
    behind.map(|(number, step)| (number, runtime::describe::child_step(step).what)).collect()
}

/// Puts on record what must be undone, before it is used.
fn note(held: &Held, record: &mut Record, news: News) -> Result<()> {
    match news {
        News::Child(pid) => {
            let start_ticks = procfs::stat(pid)?.start_ticks;
            record.process = Some(FirstProcess { pid: pid.0, start_ticks });
        }
        News::Root(id) => record.cover = Some(id),
        News::Resctrl(folder) => record.resctrl.push(folder),
        News::Table(mark::Place { namespace, file }) => record.table = Some((namespace.dev, namespace.ino, file)),
    }
    held.write(record)
}

/// Tells the caller of the process: its terminal, a handle on it, its PID.
pub(crate) fn announce(running: &Running, console: Option<UnixStream>, invocation: &Invocation) -> Result<()> {
    if let (Some(console), Some(master)) = (console, &running.terminal) {
        sys::socket::send(console.as_fd(), b"/dev/ptmx", Some(master.as_fd())).doing(|| "pass the terminal on")?;
    }
    if let Some(path) = invocation.value("pidfd-socket").filter(|path| !path.is_empty()) {
        let socket = UnixStream::connect(path).doing(|| format!("connect to the pidfd socket {path}"))?;
        sys::socket::send(socket.as_fd(), b"pidfd", Some(running.pidfd.as_fd())).doing(|| "pass the pidfd on")?;
    }
    match invocation.value("pid-file").filter(|path| !path.is_empty()) {
        Some(path) => write_pid(Path::new(path), running.pid),
        None => Ok(()),
    }
}

/// Whoever waits for the file finds it whole.
fn write_pid(path: &Path, pid: HostPid) -> Result<()> {
    let action = || format!("write the pid file {}", path.display());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = fs::File::create(&new).doing(action)?;
    write!(file, "{}", pid.0).doing(action)?;
    fs::rename(&new, path).doing(action)
}

/// What a container's state is told as.
pub(crate) fn state(record: &Record, status: Status) -> State {
    State {
        oci_version: OCI_VERSION.to_owned(),
        id: record.id.clone(),
        status,
        pid: record.process.filter(|_| status != Status::Stopped).map(|process| process.pid),
        bundle: record.bundle.clone(),
        annotations: record.config.annotations.clone(),
    }
}

/// Runs a container's hooks of one moment on the host. One without an environment has the caller's.
///
/// # Errors
/// As [`runtime::hooks::run`].
pub(crate) fn run_hooks(record: &Record, moment: Moment, status: Status) -> Result<()> {
    let Some(hooks) = &record.config.hooks else { return Ok(()) };
    let given = Given { state: state(record, status), environment: &environment() };
    runtime::hooks::run(&moment.hooks(hooks), &given, None)
}

/// Runs the `poststop` hooks. One that fails keeps nothing from going on, runtime.md "Lifecycle".
pub(crate) fn run_last_hooks(record: &Record, log: &Log) {
    let hooks = record.config.hooks.iter().flat_map(|hooks| Moment::Poststop.hooks(hooks));
    let environment = environment();
    let given = Given { state: state(record, Status::Stopped), environment: &environment };
    for hook in hooks {
        if let Err(error) = runtime::hooks::run(&[hook], &given, None) {
            log.warning(&error.to_string());
        }
    }
}

/// This process's environment.
fn environment() -> Vec<String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| format!("{}={}", text(name), text(value))).collect()
}
