//! `exec`: one more process in a container that runs, in its namespaces, its groups, under its filter.

use std::fs;
use std::os::fd::AsFd;
use std::process::ExitCode;

use bumpalo::Bump;
use cgroup::GroupPath;
use error::{Doing, Error, Refused, Result};
use oci::{Process, Status, User};
use procfs::HostPid;
use runtime::apply::{News, Running, Stage};
use runtime::landlock::Domain;
use runtime::plan::RootOf;
use runtime::process::Terms;
use runtime::root::Root;

use crate::arguments::Invocation;
use crate::container::{self, refused};
use crate::create;
use crate::foreground;
use crate::place;
use crate::report::Log;
use crate::store::{Record, Store};
use crate::supported;

/// `exec`.
///
/// # Errors
/// Refused where the container does not run or is paused, and for what cannot be had; a kernel error.
pub(crate) fn exec(store: &Store, invocation: &Invocation, log: &Log) -> Result<ExitCode> {
    let record = store.record(invocation.id()?)?;
    if !matches!(container::status(store, &record), Status::Running | Status::Created) {
        return Err(refused(&record, "container not running").into());
    }
    if !invocation.has("ignore-paused") && container::groups(&record)?.frozen() == Some(true) {
        return Err(refused(&record, "is paused").hint("resume it first, or use --ignore-paused").into());
    }
    let mut process = process(&record, invocation)?;
    supported::check_process(&process)?;
    create::known_capabilities(&mut process, log);
    if let Some(first) = record.process {
        create::find_home(&mut process, &procfs::Process::open(HostPid(first.pid))?.open_root()?)?;
    }
    let console = create::console(Some(&process), invocation)?;
    let signals = if invocation.has("detach") { None } else { Some(foreground::take_signals()?) };
    let running = start(&record, &process, invocation)?;
    if let Err(error) = create::announce(&running, console, invocation) {
        let _ = sys::process::send_signal(running.pidfd.as_fd(), container::KILL);
        return Err(error);
    }
    match signals {
        None => Ok(ExitCode::SUCCESS),
        Some(signals) => foreground::attend(&running, &signals).map(ExitCode::from),
    }
}

/// The process as `--process` describes it, or the container's own with another command.
fn process(record: &Record, invocation: &Invocation) -> Result<Process> {
    if let Some(path) = invocation.value("process") {
        let text = fs::read(path).doing(|| format!("read the process {path}"))?;
        return oci::document::parse("process", &text);
    }
    let own = record.config.process.as_ref().ok_or_else(|| Refused::new("process", "", "is missing"))?;
    let mut process = own.clone();
    process.args = invocation.words.iter().skip(1).cloned().collect();
    process.terminal = invocation.has("tty");
    process.console_size = None;
    process.env.extend(invocation.values("env").iter().cloned());
    if let Some(cwd) = invocation.value("cwd") {
        cwd.clone_into(&mut process.cwd);
    }
    if let Some(user) = invocation.value("user") {
        let umask = process.user.umask;
        process.user = User { umask, ..self::user(user)? };
    }
    for group in invocation.values("additional-gids").iter().flat_map(|groups| groups.split(',')) {
        process.user.additional_gids.push(id("--additional-gids", group)?);
    }
    process.no_new_privileges |= invocation.has("no-new-privs");
    for name in invocation.values("cap") {
        let capabilities = process.capabilities.get_or_insert_default();
        let oci::Capabilities { bounding, effective, permitted, .. } = capabilities;
        for set in [bounding, effective, permitted] {
            set.get_or_insert_default().push(name.clone());
        }
    }
    if let Some(profile) = invocation.value("apparmor") {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(label) = invocation.value("process-label") {
        process.selinux_label = Some(label.to_owned());
    }
    Ok(process)
}

/// `UID` or `UID:GID`; names are for those who know the container's files.
fn user(text: &str) -> Result<User> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    Ok(User { uid: id("--user", uid)?, gid: id("--user", gid)?, ..User::default() })
}

fn id(field: &str, text: &str) -> Result<u32> {
    text.parse().map_err(|_| Error::from(Refused::new(field, text, "is no id")))
}

fn start(record: &Record, process: &Process, invocation: &Invocation) -> Result<Running> {
    let gone = || Error::from(refused(record, "container not running"));
    let first = record.process.ok_or_else(gone)?;
    let path = GroupPath::parse("the recorded group", &record.group)?;
    let hierarchies = place::hierarchies(&path)?.of_container(&path)?;
    let filter = create::filter(&record.config)?;
    let landlock = Domain::of(&record.config)?;
    let inherited = invocation.number("preserve-fds")?.unwrap_or(0);
    let terms = Terms { filter: filter.as_ref(), landlock: landlock.as_ref(), inherited, ..Terms::default() };
    let target = runtime::entry::target(HostPid(first.pid), path, &hierarchies);
    // The namespace files were found by number: that the process still lives says that they are its own.
    let held = first.open().ok_or_else(gone)?;
    let mut target = target?;
    let root = Root::OfProcess(HostPid(first.pid));
    if !namespace::mnt::keeps_its_mounts(&record.config) {
        target.root = RootOf::FirstProcess;
    }
    let arena = Bump::new();
    let plan = runtime::plan::plan_exec((&target, &hierarchies), process, &terms, &arena)?;
    let mut news = |_: News| Ok(());
    let hooks = oci::Hooks::default();
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stage = Stage {
        hierarchies: &hierarchies,
        mounted: &[],
        root: Some(&root),
        standard: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        record: &mut news,
        first: Some(held.as_fd()),
        gate: None,
        state: Some((&hooks, create::state(record, Status::Running))),
    };
    runtime::apply::start(&plan, stage)
}
