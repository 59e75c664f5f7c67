//! `exec`: one more process in a container that runs, in its namespaces, its groups, under its filter.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use bumpalo::Bump;
use cgroup::cpuset::Set;
use cgroup::{GroupPath, Groups};
use error::{Doing, Error, Refused, Result};
use oci::{Process, Status, User};
use procfs::HostPid;
use runtime::apply::{News, Running, Stage};
use runtime::entry::Nested;
use runtime::hooks::{Command, Given};
use runtime::landlock::Domain;
use runtime::plan::{Moment, PidBy, RootOf};
use runtime::process::{Affinity, Terms};
use runtime::root::Root;

use crate::arguments::Invocation;
use crate::container::{self, refused};
use crate::create;
use crate::foreground;
use crate::place;
use crate::process::{self, Passed};
use crate::report::Log;
use crate::store::{Record, Store};

/// `exec`.
///
/// # Errors
/// Refused where the container does not run or is paused, and for what cannot be had; a kernel error.
pub(crate) fn exec(store: &Store, invocation: &Invocation, log: &Log) -> Result<ExitCode> {
    let passed = Passed::to_another(invocation)?;
    let record = store.record(invocation.id()?)?;
    if !matches!(container::status(store, &record), Status::Running | Status::Created) {
        return Err(refused(&record, "container not running").into());
    }
    let groups = groups(&record)?;
    if !invocation.has("ignore-paused") && groups.frozen() == Some(true) {
        let reason = "cannot exec in a paused container (use --ignore-paused to override)";
        return Err(refused(&record, reason).into());
    }
    let mut process = process(&record, invocation)?;
    process::possible_capabilities(&mut process, process::grantable(record.config.linux.as_ref())?, log);
    if let Some(first) = record.process {
        let root = procfs::Process::open(HostPid(first.pid))?.open_root()?;
        process::settle_environment(&mut process, &root)?;
    }
    let console = create::console(Some(&process), invocation)?;
    let signals = if invocation.has("detach") { None } else { Some(foreground::take_signals()?) };
    let nested = nested(invocation.values("cgroup"))?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let entry = Entry {
        program: None,
        inherited: passed.count(),
        nested: &nested,
        standard: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        status: Status::Running,
        pid: PidBy::Caller,
    };
    let running = start(&record, &process, groups, &entry)?;
    if let Some(processors) = process.exec_cpu_affinity.as_ref().and_then(|affinity| affinity.initial.as_deref()) {
        log.debug(&format!("affinity: {}", mask(processors)));
    }
    if let Err(error) = create::announce(&running, console, invocation) {
        let _ = sys::process::send_signal(running.pidfd.as_fd(), container::KILL);
        return Err(error);
    }
    match signals {
        None => Ok(ExitCode::SUCCESS),
        Some(signals) => foreground::attend(&running, &signals, None).map(ExitCode::from),
    }
}

/// A list of processors as taskset(1) writes it, and the debug messages of other runtimes: `0-1,3` is `0xb`.
fn mask(processors: &str) -> String {
    let words = Set::parse(processors).and_then(|set| set.mask()).unwrap_or_default();
    let digits: String = words.iter().rev().map(|word| format!("{word:016x}")).collect();
    format!("0x{}", digits.trim_start_matches('0'))
}

/// The process as `--process` describes it, or the container's own with another command.
fn process(record: &Record, invocation: &Invocation) -> Result<Process> {
    let own = record.config.process.as_ref();
    if let Some(path) = invocation.value("process") {
        let text = fs::read(path).doing(|| format!("read the process {path}"))?;
        let process: Process = oci::document::parse("process", &text)?;
        process.check()?;
        return Ok(match own {
            Some(own) => completed(process, own),
            None => process,
        });
    }
    let mut process = own.cloned().ok_or_else(|| Refused::new("process", "", "is missing"))?;
    process.args = invocation.words.iter().skip(1).cloned().collect();
    process.terminal = invocation.has("tty");
    process.console_size = None;
    process.env.extend(invocation.values("env").iter().cloned());
    if let Some(cwd) = invocation.value("cwd") {
        cwd.clone_into(&mut process.cwd);
    }
    if let Some(user) = invocation.value("user") {
        set_user(&mut process.user, user)?;
    }
    for group in invocation.values("additional-gids").iter().flat_map(|groups| groups.split(',')) {
        process.user.additional_gids.push(id("--additional-gids", group)?);
    }
    if invocation.value("no-new-privs").is_some() {
        process.no_new_privileges = invocation.has("no-new-privs");
    }
    for name in invocation.values("cap") {
        let capabilities = process.capabilities.get_or_insert_default();
        let oci::Capabilities { bounding, effective, permitted, .. } = capabilities;
        for set in [bounding, effective, permitted] {
            set.get_or_insert_default().push(name.clone());
        }
    }
    if let Some(profile) = invocation.value("apparmor").filter(|profile| !profile.is_empty()) {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(label) = invocation.value("process-label").filter(|label| !label.is_empty()) {
        process.selinux_label = Some(label.to_owned());
    }
    process.check()?;
    Ok(process)
}

/// What a process's document leaves open is as for the container's own.
fn completed(process: Process, own: &Process) -> Process {
    let rlimits = if process.rlimits.is_empty() { own.rlimits.clone() } else { process.rlimits };
    Process {
        capabilities: process.capabilities.or_else(|| own.capabilities.clone()),
        rlimits,
        oom_score_adj: process.oom_score_adj.or(own.oom_score_adj),
        apparmor_profile: process.apparmor_profile.or_else(|| own.apparmor_profile.clone()),
        selinux_label: process.selinux_label.or_else(|| own.selinux_label.clone()),
        scheduler: process.scheduler.or_else(|| own.scheduler.clone()),
        io_priority: process.io_priority.or(own.io_priority),
        exec_cpu_affinity: process.exec_cpu_affinity.or_else(|| own.exec_cpu_affinity.clone()),
        ..process
    }
}

/// `UID` or `UID:GID`, in place of the container's own; names are for those who know the container's files.
fn set_user(own: &mut User, text: &str) -> Result<()> {
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    own.uid = id("--user", uid)?;
    if let Some(gid) = gid {
        own.gid = id("--user", gid)?;
    }
    Ok(())
}

fn id(field: &str, text: &str) -> Result<u32> {
    text.parse().map_err(|_| Error::from(Refused::new(field, text, "is no id")))
}

/// Runs the hooks of a container that waits to be started. Their programs are the container's own: each is one more process
/// of it, and may do what its first may. One without an environment has the container's.
///
/// # Errors
/// As [`runtime::hooks::run_confined`].
pub(crate) fn run_hooks(record: &Record) -> Result<()> {
    let own = (record.config.hooks.as_ref(), record.config.process.as_ref(), record.process);
    let (Some(hooks), Some(process), Some(first)) = own else { return Ok(()) };
    let given = Given { state: create::state(record, Status::Created), environment: &process.env };
    let hooks = Moment::StartContainer.hooks(hooks);
    runtime::hooks::run_confined(&hooks, &given, HostPid(first.pid), |Command { path, args, env }, input| {
        let process = Process {
            args,
            env,
            cwd: "/".to_owned(),
            terminal: false,
            console_size: None,
            exec_cpu_affinity: None,
            ..process.clone()
        };
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let entry = Entry {
            program: Some(path),
            inherited: 0,
            nested: &[],
            standard: [input, stdout.as_fd(), stderr.as_fd()],
            status: Status::Created,
            pid: PidBy::Child,
        };
        start(record, &process, groups(record)?, &entry)
    })
}

/// What one more process gets that its document does not say.
struct Entry<'e> {
    program: Option<&'e str>,
    inherited: u32,
    nested: &'e [Nested<'e>],
    standard: [BorrowedFd<'e>; 3],
    /// What its container is for who listens to its system calls.
    status: Status,
    pid: PidBy,
}

/// The groups that it enters.
fn groups(record: &Record) -> Result<Groups> {
    let path = GroupPath::parse("the recorded group", &record.group)?;
    Groups::open(&place::hierarchies(&path)?.of_container(&path)?, &path)
}

fn start(record: &Record, process: &Process, groups: Groups, entry: &Entry<'_>) -> Result<Running> {
    let gone = || Error::from(refused(record, "container not running"));
    let first = record.process.ok_or_else(gone)?;
    place::approach_made(record)?;
    let filter = create::filter(&record.config)?;
    let landlock = Domain::of(&record.config)?;
    let resctrl = process::resctrl(&record.id, record.config.linux.as_ref())?;
    let terms = Terms {
        resctrl: resctrl.as_ref(),
        filter: filter.as_ref(),
        landlock: landlock.as_ref(),
        program: entry.program,
        inherited: entry.inherited,
        linux: record.config.linux.as_ref(),
        keyring: record.keyring.as_deref(),
        modules: process::modules(Some(process), None)?,
        affinity: Affinity::Reset,
        ..Terms::default()
    };
    let target = runtime::entry::target(HostPid(first.pid), &groups);
    // The namespace files were found by number: that the process still lives says that they are its own.
    let held = first.open().ok_or_else(gone)?;
    let mut target = target?;
    let hierarchies = groups.hierarchies().clone();
    runtime::entry::nest(&mut target.groups, &hierarchies, "--cgroup", entry.nested)?;
    target.pid = entry.pid;
    let root = Root::OfProcess(HostPid(first.pid));
    if !namespace::mnt::keeps_its_mounts(&record.config) {
        target.root = RootOf::FirstProcess;
    }
    let arena = Bump::new();
    let plan = runtime::plan::plan_exec((&target, &hierarchies), process, &terms, &arena)?;
    let mut news = |_: News| Ok(());
    let hooks = oci::Hooks::default();
    let stage = Stage {
        hierarchies: &hierarchies,
        groups: Some(groups),
        mounted: &[],
        root: Some(&root),
        standard: entry.standard,
        record: &mut news,
        first: Some(held.as_fd()),
        gate: None,
        connect: None,
        hooks: Some((&hooks, Given { state: create::state(record, entry.status), environment: &[] })),
    };
    runtime::apply::start(&plan, stage)
}

/// `--cgroup`: `PATH` for every hierarchy, or `CONTROLLER[,CONTROLLER]:PATH` for those of these controllers.
fn nested(texts: &[String]) -> Result<Vec<Nested<'_>>> {
    let mut nested: Vec<Nested<'_>> = Vec::new();
    for text in texts {
        let refused = |reason: &str| Err(Refused::new("--cgroup", text, reason).into());
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) => (controllers.split(',').collect(), path),
            None if texts.len() == 1 => (Vec::new(), text.as_str()),
            None => return refused("names no controller: only one alone needs none"),
        };
        if controllers.contains(&"") {
            return refused("has an empty controller");
        }
        let twice = |controller: &&str| nested.iter().any(|before| before.controllers.contains(controller));
        if controllers.iter().any(twice) {
            return refused("names a controller a second time");
        }
        nested.push(Nested { controllers, path });
    }
    Ok(nested)
}
