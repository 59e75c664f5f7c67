//! `restore`: a container's processes from the files of a checkpoint, in groups that are made as for a new container.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cgroup::Groups;
use error::{Corrupt, Doing, Error, Kernel, Refused, Result};
use namespace::Relation;
use oci::{Config, Status};
use procfs::HostPid;
use runtime::apply::Running;
use runtime::facts::Facts;
use runtime::plan::{Moment, Plan};
use rustix::process::getpid;
use sys::clone::Side;
use sys::mount::{Change, Propagation, Reach};
use sys::namespace::Kinds;
use sys::process::Ended;

use crate::arguments::Invocation;
use crate::checkpoint::STREAMS;
use crate::container;
use crate::create::{self, Draft};
use crate::criu::{self, Action, Criu, Folders, Message, News, joined_namespaces, option};
use crate::foreground;
use crate::points;
use crate::report::Log;
use crate::store::{FirstProcess, Held, Record, Store};

/// `restore`; without `--detach` up to the end of the container.
///
/// # Errors
/// Refused for what is not supported, and where CRIU cannot; a kernel error. Nothing is left then.
pub(crate) fn restore(store: &Store, invocation: &Invocation, log: &Log) -> Result<ExitCode> {
    let id = invocation.id()?;
    let bundle = create::bundle(invocation)?;
    let mut draft = create::draft(&bundle, invocation, log)?;
    check(&draft.config, invocation)?;
    let console = create::console(draft.config.process.as_ref(), invocation)?;
    let criu = Criu::new(Action::Restore, Folders::There, invocation, &draft.config)?;
    let signals = if invocation.has("detach") { None } else { Some(foreground::take_signals()?) };
    let held = store.claim(id)?;
    let mut record = Record::new(id, &bundle, &mut draft);
    let brought = Facts::read(&draft.config, draft.place.site.clone(), Vec::new(), &store.mounts())
        .and_then(|facts| bring(&held, &mut record, (&facts, &draft), (criu, invocation)))
        .and_then(|running| create::announce(&running, console, invocation).map(|()| running));
    let running = match brought {
        Ok(running) => running,
        Err(error) => {
            container::kill_first(&record);
            container::undo(held, &record, log)?;
            return Err(error);
        }
    };
    drop(held);
    let Some(signals) = signals else { return Ok(ExitCode::SUCCESS) };
    let code = foreground::attend(&running, &signals, None)?;
    let (held, record) = store.hold(id)?;
    container::undo(held, &record, log)?;
    Ok(ExitCode::from(code))
}

/// What CRIU brings back by itself leaves no moment for some hooks, and for devices.
fn check(config: &Config, invocation: &Invocation) -> Result<()> {
    if invocation.has("no-pivot") {
        return Err(Refused::new("--no-pivot", "", "is not supported by this runtime").into());
    }
    let devices = config.linux.iter().flat_map(|linux| linux.net_devices.keys());
    // A namespace that was there before the container still has what was moved into it.
    let joined = matches!(namespace::relation(config, oci::NamespaceKind::Net), Relation::Joined(_));
    if let Some(device) = { devices }.next().filter(|_| !joined) {
        let field = format!("linux.netDevices.{device}");
        return Err(Refused::new(field, "", "cannot be moved into a container that is restored").into());
    }
    let hooks = config.hooks.iter().flat_map(oci::Hooks::iter);
    let inside = ["createContainer", "startContainer"];
    match { hooks }.find(|(name, hooks)| inside.contains(name) && !hooks.is_empty()) {
        Some((name, _)) => {
            Err(Refused::new(format!("hooks.{name}"), "", "cannot be run when a container is restored").into())
        }
        None => Ok(()),
    }
}

fn bring(
    held: &Held,
    record: &mut Record,
    (facts, draft): (&Facts, &Draft),
    (mut criu, invocation): (Criu, &Invocation),
) -> Result<Running> {
    let arena = bumpalo::Bump::new();
    let plan = runtime::plan::plan(&draft.config, facts, &draft.terms(), &arena)?;
    let parents = plan.groups.parents.iter();
    record.parents = parents.map(|parent| (parent.hierarchy.clone(), parent.path.to_string())).collect();
    held.write(record)?;
    let mut groups = Groups::prepare(&facts.hierarchies, &plan.groups)?;
    plan.groups.steps.iter().try_for_each(|step| groups.apply(step))?;
    criu.options.flag(option::SIBLING).text(option::ROOT, &record.rootfs);
    for (name, field) in [("lsm-profile", option::LSM_PROFILE), ("lsm-mount-context", option::LSM_MOUNT_CONTEXT)] {
        if let Some(value) = invocation.value(name) {
            criu.options.text(field, value);
        }
    }
    let _streams = give_streams(&mut criu)?;
    let _namespaces = give_namespaces(&mut criu, &draft.config)?;
    let own = namespace::relation(&record.config, oci::NamespaceKind::Cgroup) == Relation::Own;
    let kinds = if own { Kinds::MNT.with(Kinds::CGROUP) } else { Kinds::MNT };
    let root = PathBuf::from(&record.rootfs);
    points::make(&draft.config, &root)?;
    let mut terminal = None;
    let process = run(&criu, (&groups, &plan), (kinds, &root), &mut |news| match news {
        News::Terminal(master) => {
            terminal = Some(master);
            Ok(())
        }
        News::Namespaces(pid) => {
            note(held, record, pid)?;
            create::run_hooks(record, Moment::CreateRuntime, Status::Creating)
        }
        News::PagesReady | News::Other => Ok(()),
    })?;
    let pid = process.ok_or_else(|| criu.failure(None))?;
    note(held, record, pid)?;
    if terminal.is_none() && draft.config.process.as_ref().is_some_and(|process| process.terminal) {
        let refused = Refused::new("process.terminal", "true", "is not so in the images: what they are of has none");
        return Err(refused.hint("restore it with the configuration that it was made with").into());
    }
    let pidfd = sys::process::open(pid).doing(|| format!("open process {pid}"))?;
    Ok(Running { pid: HostPid(pid), pidfd, terminal })
}

/// Puts the first process on record.
fn note(held: &Held, record: &mut Record, pid: i32) -> Result<()> {
    record.process = Some(FirstProcess { pid, start_ticks: procfs::stat(HostPid(pid))?.start_ticks });
    held.write(record)
}

/// Gives the container this process's own standard streams in place of those that it had.
fn give_streams(criu: &mut Criu) -> Result<Vec<OwnedFd>> {
    let path = criu.images.join(STREAMS);
    let text = fs::read(&path).doing(|| format!("read {}", path.display()))?;
    let corrupt = |error: serde_json::Error| Error::from(Corrupt::new(path.display().to_string(), error.to_string()));
    let names: Vec<String> = serde_json::from_slice(&text).map_err(corrupt)?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut given = Vec::new();
    for (place, (name, stream)) in names.iter().zip([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]).enumerate() {
        let known = names.iter().take(place).any(|earlier| earlier == name);
        let outside = name.starts_with("file[") || name.starts_with("pipe:[");
        if known || !outside {
            continue;
        }
        given.push(hand_on(criu, stream, name)?);
    }
    Ok(given)
}

/// Gives the container the namespaces that it joins in place of those that it had joined.
fn give_namespaces(criu: &mut Criu, config: &Config) -> Result<Vec<OwnedFd>> {
    let mut given = Vec::new();
    for (kind, name, path) in joined_namespaces(config) {
        let file = File::open(path).doing(|| format!("open the {kind} namespace {path}"))?;
        given.push(hand_on(criu, file.as_fd(), name)?);
    }
    Ok(given)
}

/// A copy of a descriptor that CRIU has too, and knows by a name.
fn hand_on(criu: &mut Criu, descriptor: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let copy = criu::inherited(descriptor).doing(|| format!("hand {name} on"))?;
    let mut given = Message::default();
    given.text(1, name).number(2, criu::descriptor(copy.as_fd()));
    criu.options.message(option::INHERITED, &given);
    Ok(copy)
}

/// Runs CRIU in the container's groups and, where the container has one of its own, in a new cgroup namespace, so that all
/// that it brings back is there too. The processes are children of this one; gives the first.
fn run(
    criu: &Criu,
    groups: (&Groups, &Plan<'_>),
    inside: (Kinds, &Path),
    hear: &mut dyn FnMut(News) -> Result<()>,
) -> Result<Option<i32>> {
    let (ours, theirs) = criu.connect()?;
    let side = sys::clone::fork().doing(|| "fork for CRIU")?;
    let Side::Parent { pidfd, .. } = side else {
        let error = become_criu((criu, &theirs), groups, inside);
        crate::report::Log::default().error(&error);
        sys::process::exit(1)
    };
    drop(theirs);
    let told = criu.talk(ours, hear);
    match sys::process::wait(pidfd.as_fd()).doing(|| "wait for CRIU")? {
        Ended::Exited(0) => told,
        _ => Err(told.err().unwrap_or_else(|| criu.failure(None))),
    }
}

/// Comes back only with what went wrong.
fn become_criu(
    (criu, theirs): (&Criu, &OwnedFd),
    (groups, plan): (&Groups, &Plan<'_>),
    (kinds, root): (Kinds, &Path),
) -> Error {
    let prepare = || -> Result<()> {
        for hierarchy in &plan.groups.attach {
            groups.attach(*hierarchy, getpid())?;
        }
        sys::namespace::unshare(kinds).doing(|| "make CRIU's own namespaces")?;
        cover(root)
    };
    if let Err(error) = prepare() {
        return error;
    }
    let _ = sys::signal::set_blocked(sys::signal::Signals::NONE);
    criu.missing(criu.command(theirs).exec())
}

/// CRIU wants the root to be a mount: one that nobody else sees.
fn cover(root: &Path) -> Result<()> {
    let action = || format!("mount {} on itself", root.display());
    let private = Change { propagation: Some(Propagation::Slave), ..Change::default() };
    sys::mount::change_root(Reach::Recursive, &private).doing(action)?;
    let path = std::ffi::CString::new(root.as_os_str().as_encoded_bytes())
        .map_err(|_| Kernel::new("find the root", rustix::io::Errno::INVAL))?;
    let tree = sys::mount::clone_tree(None, &path, Reach::Recursive).doing(action)?;
    let target = File::open(root).doing(action)?;
    sys::mount::attach(tree.as_fd(), target.as_fd()).doing(action)
}
