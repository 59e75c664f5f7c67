//! The operations on a container that was made: start, state, list, kill, delete, pause, resume.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use cgroup::mark::Place;
use cgroup::plan::Parent;
use cgroup::{GroupPath, Groups, Hierarchies};
use child::Report;
use error::{Doing, Errno, Error, Kernel, Refused, RefusedKind, Result};
use namespace::Relation;
use oci::{NamespaceKind, Status};
use procfs::NamespaceId;
use runtime::plan::Moment;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use serde_json::Value;

use crate::arguments::Invocation;
use crate::create;
use crate::enter;
use crate::gate::Gate;
use crate::notify::Proxy;
use crate::place;
use crate::report::{self, Log};
use crate::signal;
use crate::store::{Held, Record, Store};

/// SIGKILL, signal(7).
pub(crate) const KILL: i32 = 9;

/// How long a pause waits for the processes to stand still.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a removal waits for a first process that is about to end.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// How often, and how long each time, a forced removal waits for the first process to be gone.
const TURNS: usize = 200;
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// `start`.
///
/// # Errors
/// Refused where the container does not wait to be started, or its program cannot be; a kernel error.
pub(crate) fn start(store: &Store, invocation: &Invocation, log: &Log) -> Result<()> {
    let id = invocation.id()?;
    let (held, record) = store.hold(id)?;
    match status(store, &record) {
        // It would be started when somebody resumes it, and until then whoever starts it would wait.
        Status::Created if groups(&record).is_ok_and(|groups| groups.frozen() == Some(true)) => {
            let refused = refused(&record, "cannot start a container in the paused state");
            Err(refused.hint("resume it first").into())
        }
        Status::Created => {
            let proxy = Proxy::open(&held.notify_folder())?;
            start_held(held, &record, Gate::Named, log)?;
            let process = record.process.and_then(|process| Some((process.open()?, process.pid)));
            proxy.zip(process).map_or(Ok(()), |(proxy, (handle, pid))| proxy.wait(&handle, pid))
        }
        Status::Stopped => Err(refused(&record, "cannot start a container that has stopped").into()),
        Status::Running | Status::Creating => Err(refused(&record, "cannot start an already running container").into()),
    }
}

/// Starts the program of a container that waits, and lets go of it: whoever stops or removes it meanwhile need not wait. Where a hook fails, the container is stopped and destroyed: runtime.md
/// "Lifecycle", 7 and 9.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_held(held: Held, record: &Record, gate: Gate, log: &Log) -> Result<()> {
    if record.config.process.is_none() {
        return Err(Refused::new("process", "", "is missing, and there is nothing to start").into());
    }
    let mut hooked = enter::run_hooks(record);
    if hooked.is_ok() {
        start_program(&held, record, gate)?;
        hooked = create::run_hooks(record, Moment::Poststart, Status::Running);
    }
    if hooked.is_err() {
        kill_first(record);
        if let Err(error) = undo(held, record, log) {
            log.warning(&error.to_string());
        }
    }
    hooked
}

fn start_program(held: &Held, record: &Record, gate: Gate) -> Result<()> {
    let said = gate.open(held.folder()).map_err(|error| match error.errno() {
        Some(Errno::NXIO | Errno::PIPE) => refused(record, "container not running").into(),
        _ => error,
    })?;
    if let Some(message) = said.first_chunk()
        && let Some(Report::Failed { step, errno }) = Report::parse(*message)
    {
        return Err(failure(record, step, Errno::from_raw_os_error(errno)));
    }
    Ok(())
}

/// Why the program does not run.
fn failure(record: &Record, step: usize, errno: Errno) -> Error {
    let what = record.steps.iter().find(|(number, _)| *number == step).map(|(_, what)| what.as_str());
    match (&record.config.process, what) {
        (Some(process), Some(what)) if what.starts_with("execute ") => {
            runtime::apply::command_failure(process.args.first().map_or("", String::as_str), errno)
        }
        _ => Kernel::new(what.unwrap_or("start the container's program"), errno).into(),
    }
}

/// Where a container is in its life, by what the kernel tells.
pub(crate) fn status(store: &Store, record: &Record) -> Status {
    match record.process {
        None => Status::Creating,
        Some(process) if !process.lives() => Status::Stopped,
        Some(_) if store.makes(&record.id) => Status::Creating,
        Some(_) if store.waits(&record.id) => Status::Created,
        Some(_) => Status::Running,
    }
}

/// The word that callers look for: one that is paused is a state of its own.
pub(crate) fn status_word(store: &Store, record: &Record) -> &'static str {
    match status(store, record) {
        Status::Creating => "creating",
        Status::Stopped => "stopped",
        _ if groups(record).is_ok_and(|groups| groups.frozen() == Some(true)) => "paused",
        Status::Created => "created",
        Status::Running => "running",
    }
}

/// The groups of a container.
///
/// # Errors
/// A kernel error.
pub(crate) fn groups(record: &Record) -> Result<Groups> {
    let path = GroupPath::parse("the recorded group", &record.group)?;
    Groups::open(&place::hierarchies(&path)?, &path)
}

/// A refusal that names the container.
pub(crate) fn refused(record: &Record, reason: &str) -> Refused {
    Refused::new("the container", &record.id, reason).kind(RefusedKind::Conflict)
}

/// JSON for people and programs alike.
pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// `kill`.
///
/// # Errors
/// Refused for what is no signal, and where the container does not run.
pub(crate) fn kill(store: &Store, invocation: &Invocation, log: &Log) -> Result<()> {
    let signal = signal::parse(invocation.words.get(1).map_or("TERM", String::as_str))?;
    each(store, invocation, log, |id| {
        let record = store.record(id)?;
        if invocation.has("all") { kill_all(&record, signal) } else { kill_one(store, &record, signal) }
    })
}

/// Does it to the container that is named, or with `--regex` to every one that matches, of which a failure keeps none from
/// its turn.
fn each(store: &Store, invocation: &Invocation, log: &Log, mut to: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let id = invocation.id()?;
    if !invocation.has("regex") {
        return to(id);
    }
    let refused = |error: regex_lite::Error| Refused::new("the regular expression", id, error.to_string());
    let pattern = regex_lite::Regex::new(id).map_err(refused)?;
    for id in store.ids()?.iter().filter(|id| pattern.is_match(id)) {
        if let Err(error) = to(id) {
            log.warning(&report::words(&error));
        }
    }
    Ok(())
}

fn kill_all(record: &Record, signal: i32) -> Result<()> {
    let groups = groups(record)?;
    if signal == KILL || record.process.is_none() {
        groups.kill()?;
        return Ok(());
    }
    groups.handles()?.iter().try_for_each(|process| send(process.as_fd(), signal))
}

fn kill_one(store: &Store, record: &Record, signal: i32) -> Result<()> {
    let gone = || refused(record, "container not running").into();
    if status(store, record) == Status::Stopped {
        return Err(gone());
    }
    let handle = record.process.and_then(|process| process.open()).ok_or_else(gone)?;
    match sys::process::send_signal(handle.as_fd(), signal) {
        Err(Errno::SRCH) => return Err(gone()),
        sent => sent.doing(|| format!("send signal {signal} to {}", record.id))?,
    }
    let groups = groups(record)?;
    if signal == KILL { let_die(&groups) } else { Ok(()) }
}

/// Thaws what a v1 freezer holds, also in groups that the container or somebody else has frozen below its own: the killed
/// do not die there, and the first process of a pid namespace waits for all others.
fn let_die(groups: &Groups) -> Result<()> {
    groups.thaw_nested();
    if groups.frozen() == Some(true) { groups.thaw() } else { Ok(()) }
}

/// A process that is gone meanwhile needs no signal.
fn send(process: BorrowedFd<'_>, signal: i32) -> Result<()> {
    match sys::process::send_signal(process, signal) {
        Err(Errno::SRCH) => Ok(()),
        sent => sent.doing(|| format!("send signal {signal} to a process of the container")),
    }
}

/// Kills a container's first process, also where it is paused.
pub(crate) fn kill_first(record: &Record) {
    let Some(handle) = record.process.and_then(|process| process.open()) else { return };
    // Nothing is waited for that nobody has told to end.
    if sys::process::send_signal(handle.as_fd(), KILL).is_err() {
        return;
    }
    if let Ok(groups) = groups(record) {
        let _ = let_die(&groups);
    }
    let mut waits = [PollFd::new(&handle, PollFlags::IN)];
    for _ in 0..TURNS {
        reap();
        if rustix::io::retry_on_intr(|| poll(&mut waits, Some(&TURN))) != Ok(0) {
            return;
        }
    }
}

/// Waits for the children that have ended: the first process of a pid namespace is gone when all others in it are, a hook
/// among them that nobody has waited for.
fn reap() {
    let options = WaitIdOptions::EXITED.union(WaitIdOptions::NOHANG);
    while let Ok(Some(_)) = waitid(WaitId::All, options) {}
}

/// `delete`.
///
/// # Errors
/// Refused where it runs and is not to be killed; a kernel error that names what is left.
pub(crate) fn delete(store: &Store, invocation: &Invocation, log: &Log) -> Result<()> {
    let force = invocation.has("force");
    each(store, invocation, log, |id| match store.hold(id) {
        Err(Error::Refused(refused)) if force && refused.kind == RefusedKind::NoSuchObject => Ok(()),
        held => delete_held(store, held?, invocation, log),
    })
}

fn delete_held(store: &Store, (held, record): (Held, Record), invocation: &Invocation, log: &Log) -> Result<()> {
    match status(store, &record) {
        Status::Running if !invocation.has("force") && !ends(&record) => {
            let reason = format!("cannot delete container {} that is not stopped: running", record.id);
            return Err(refused(&record, &reason).hint("stop it first, or use delete --force").into());
        }
        Status::Running | Status::Created | Status::Creating => kill_first(&record),
        Status::Stopped => {}
    }
    undo(held, &record, log)
}

/// Whether a first process that runs ends within a moment: whoever has started a short program need not look when it is
/// gone.
fn ends(record: &Record) -> bool {
    let Some(handle) = record.process.and_then(|process| process.open()) else { return true };
    let mut waits = [PollFd::new(&handle, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut waits, Some(&MOMENT))).is_ok_and(|ended| ended > 0)
}

/// Removes what was made for a container whose first process is gone, with all that is still in its groups, and forgets
/// it. It stops at nothing: what cannot be removed is told at the end, and stays on record.
///
/// # Errors
/// A kernel error that names the first that is left.
pub(crate) fn undo(held: Held, record: &Record, log: &Log) -> Result<()> {
    let removed = remove_groups(record);
    undo_rest((held, removed), record, log)
}

/// The same for one whose groups are known to be in these hierarchies.
///
/// # Errors
/// As [`undo`].
pub(crate) fn undo_in(hierarchies: &Hierarchies, held: Held, record: &Record, log: &Log) -> Result<()> {
    // Somebody may have mounted them elsewhere while it ran.
    let removed = remove_groups_in(hierarchies, record).or_else(|_| remove_groups(record));
    undo_rest((held, removed), record, log)
}

fn undo_rest((held, removed): (Held, Result<()>), record: &Record, log: &Log) -> Result<()> {
    let path = GroupPath::parse("the recorded group", &record.group)?;
    let unmarked = record.table.clone().map_or(Ok(()), |(dev, ino, file)| {
        runtime::undo::unmark(&path, &Place { namespace: NamespaceId { dev, ino }, file })
    });
    let uncovered = record.cover.map_or(Ok(()), |id| {
        let namespace = match namespace::relation(&record.config, NamespaceKind::Mnt) {
            Relation::Joined(path) => Some(path),
            Relation::Own | Relation::Host => None,
        };
        runtime::undo::uncover(&record.rootfs, id, namespace)
    });
    let ungrouped = runtime::resctrl::remove(&record.resctrl);
    removed.and(unmarked).and(uncovered).and(ungrouped)?;
    if record.process.is_some() {
        create::run_last_hooks(record, log);
    }
    held.remove()
}

/// Removes the groups of a container and those above that were made for it, with all that is still in them.
///
/// # Errors
/// A kernel error that names the first that is left.
pub(crate) fn remove_groups(record: &Record) -> Result<()> {
    let path = GroupPath::parse("the recorded group", &record.group)?;
    remove_groups_in(&place::hierarchies(&path)?, record)
}

fn remove_groups_in(hierarchies: &Hierarchies, record: &Record) -> Result<()> {
    let path = GroupPath::parse("the recorded group", &record.group)?;
    let parent = |(hierarchy, path): &(String, String)| -> Result<Parent> {
        Ok(Parent { hierarchy: hierarchy.clone(), path: GroupPath::parse("the recorded group", path)? })
    };
    let parents: Vec<Parent> = record.parents.iter().map(parent).collect::<Result<_>>()?;
    let left = runtime::undo::kill_and_remove(hierarchies, &path, &parents)?;
    left.into_iter().next().map_or(Ok(()), |left| Err(left.error))
}

/// `pause`.
///
/// # Errors
/// Refused where it does not run or is paused already; a kernel error that names the processes that do not stand still.
pub(crate) fn pause(store: &Store, invocation: &Invocation) -> Result<()> {
    let (_held, record) = store.hold(invocation.id()?)?;
    let groups = running(store, &record)?;
    if groups.frozen() == Some(true) {
        return Err(refused(&record, "container not running: it is paused already").into());
    }
    groups.freeze(PATIENCE)
}

/// `resume`.
///
/// # Errors
/// Refused where it is not paused; a kernel error.
pub(crate) fn resume(store: &Store, invocation: &Invocation) -> Result<()> {
    let (_held, record) = store.hold(invocation.id()?)?;
    let groups = running(store, &record)?;
    if groups.frozen() != Some(true) {
        return Err(refused(&record, "container not paused").into());
    }
    groups.thaw()
}

/// The groups of a container whose first process lives.
///
/// # Errors
/// Refused where it does not.
pub(crate) fn running(store: &Store, record: &Record) -> Result<Groups> {
    match status(store, record) {
        Status::Running | Status::Created => groups(record),
        Status::Stopped | Status::Creating => Err(refused(record, "container not running").into()),
    }
}
