//! Programs that an engine wants run at moments of a container's life: each gets the container's state on its standard
//! input, and its failure stops what was to come. Runtime specification, config.md "POSIX-platform Hooks".

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bumpalo::Bump;
use child::{REPORT_LENGTH, Report, Scene, Spawned, Step};
use error::{Doing, Errno, Error, Kernel, Refused, Result};
use namespace::steps::Steps;
use oci::{Hook, State, Status};
use procfs::HostPid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::retry_on_intr;
use sys::namespace::Kinds;
use sys::process::Ended;

use crate::apply::Running;
use crate::process::plan_program_at;

/// What hooks are given.
#[derive(Debug, Clone)]
pub struct Given<'g> {
    /// The container's state.
    pub state: State,
    /// The environment of a hook that has none of its own.
    pub environment: &'g [String],
}

/// Runs hooks of the host one after the other, each with its list's name; in the namespaces of the process `inside`, if one
/// is given.
///
/// # Errors
/// Refused, naming the hook, for one that cannot be run, that ends with another code than 0, or that takes longer than its
/// timeout and was killed; a kernel error.
pub fn run(hooks: &[(&str, &Hook)], given: &Given<'_>, inside: Option<HostPid>) -> Result<()> {
    each(hooks, given, inside, |field, hook, given| Ok(start(field, hook, given, inside)?.pidfd))
}

/// Runs hooks of a container, whose programs are the container's own: `start` makes each one more process of it, with this
/// command, and the state on its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_confined(
    hooks: &[(&str, &Hook)],
    given: &Given<'_>,
    first: HostPid,
    mut start: impl FnMut(Command<'_>, BorrowedFd<'_>) -> Result<Running>,
) -> Result<()> {
    each(hooks, given, Some(first), |field, hook, given| {
        let (args, env) = words(hook, given);
        let input = document(&given.state)?;
        let started = start(Command { path: &hook.path, args, env }, input.as_fd());
        started.map(|running| running.pidfd).map_err(|error| {
            let reason = match &error {
                Error::Refused(refused) => refused.reason.clone(),
                error => error.to_string(),
            };
            Refused::new(field, &hook.path, format!("cannot be run: {reason}")).into()
        })
    })
}

/// What a hook executes.
#[derive(Debug)]
pub struct Command<'h> {
    /// The program.
    pub path: &'h str,
    /// Its arguments, with what it is called.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
}

fn words(hook: &Hook, given: &Given<'_>) -> (Vec<String>, Vec<String>) {
    let args = if hook.args.is_empty() { vec![hook.path.clone()] } else { hook.args.clone() };
    let env = if hook.env.is_empty() { given.environment.to_vec() } else { hook.env.clone() };
    (args, env)
}

fn each(
    hooks: &[(&str, &Hook)],
    given: &Given<'_>,
    inside: Option<HostPid>,
    mut start: impl FnMut(&str, &Hook, &Given<'_>) -> Result<OwnedFd>,
) -> Result<()> {
    for (list, hook) in hooks {
        let field = format!("hooks.{list}");
        let child = start(&field, hook, &given.told(list, inside)?)?;
        let told = |reason: String| Err(Refused::new(field.clone(), &hook.path, reason).into());
        match wait(&child, hook.timeout)? {
            Some(Ended::Exited(0)) => {}
            Some(Ended::Exited(code)) => return told(format!("ended with code {code}")),
            Some(Ended::Killed(signal)) => return told(format!("was killed by signal {signal}")),
            None => return told(format!("took longer than its timeout of {} s", hook.timeout.unwrap_or_default())),
        }
    }
    Ok(())
}

impl Given<'_> {
    /// The same for one hook. Its state has the PID as the hook sees it, runtime.md "State". `prestart` comes from a time when
    /// it was called by start, and is told of a container that is created.
    fn told(&self, list: &str, inside: Option<HostPid>) -> Result<Self> {
        let mut given = self.clone();
        if list == "prestart" {
            given.state.status = Status::Created;
        }
        if let Some(pid) = inside {
            let seen = procfs::Process::open(pid)?.status()?.inside;
            given.state.pid = Some(seen.last().map_or(pid.0, |pid| pid.0));
        }
        Ok(given)
    }
}

/// Starts one hook of the host as a process of its own.
fn start(field: &str, hook: &Hook, given: &Given<'_>, inside: Option<HostPid>) -> Result<Spawned> {
    let arena = Bump::new();
    let mut steps = Steps::new(&arena);
    // Before its root is the only one, the process still has the host's as its own: only by it the hook is found.
    let roots: Vec<OwnedFd> =
        inside.map(|pid| procfs::Process::open(pid)?.open_root()).transpose()?.into_iter().collect();
    let joins = inside.map(crate::entry::namespaces).transpose()?.unwrap_or_default();
    let mut namespaces: Vec<OwnedFd> = Vec::with_capacity(joins.len());
    for (kind, path) in &joins {
        // The pid namespace of a process never changes; only its children would be in another.
        if *kind == oci::NamespaceKind::Pid {
            continue;
        }
        steps.push(Step::Join { handle: namespaces.len(), kinds: namespace::bit(*kind) });
        let file = File::open(path).doing(|| format!("open the {} namespace {path}", kind.name()))?;
        namespaces.push(file.into());
    }
    if !roots.is_empty() {
        steps.push(Step::EnterRoot { handle: 0 });
    }
    steps.push(Step::Standard);
    let (args, env) = words(hook, given);
    let process = oci::Process { args, env, ..oci::Process::default() };
    steps.push(Step::LetGo { inherited: 0 });
    steps.push(plan_program_at(&hook.path, &process, &steps)?);
    let steps = steps.finish();
    let input = document(&given.state)?;
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to the hook")?;
    let joined: Vec<_> = namespaces.iter().map(AsFd::as_fd).collect();
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let scene = Scene {
        sync: theirs.as_fd(),
        parent: ours.as_fd(),
        namespaces: &joined,
        groups: &[],
        mounts: &roots,
        standard: [input.as_fd(), stdout.as_fd(), stderr.as_fd()],
        gate: None,
    };
    let spawned = child::spawn(Kinds::NONE, None, &steps, &scene).doing(|| format!("clone a process for {field}"))?;
    drop(theirs);
    let mut message = [0; REPORT_LENGTH];
    let (length, _) = sys::socket::receive(ours.as_fd(), &mut message).doing(|| "hear from the hook")?;
    let Some(Report::Failed { errno, .. }) = Report::parse(message).filter(|_| length > 0) else { return Ok(spawned) };
    let _ = sys::process::wait(spawned.pidfd.as_fd());
    let reason = std::io::Error::from_raw_os_error(errno).to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default().to_lowercase();
    Err(Refused::new(field, &hook.path, format!("cannot be run: {reason}")).into())
}

/// The state as a file that can be read to its end, however large.
fn document(state: &State) -> Result<OwnedFd> {
    let file = memfd_create("state", MemfdFlags::CLOEXEC).doing(|| "make a file in memory")?;
    let mut file = File::from(file);
    let text = serde_json::to_vec(state)
        .map_err(|error| Error::from(Refused::new("the state", "", format!("cannot be written as JSON: {error}"))))?;
    let written = file.write_all(&text).and_then(|()| file.rewind());
    written.doing(|| "write the state for a hook")?;
    Ok(file.into())
}

/// Waits for the end; `None` where it took too long and was killed.
fn wait(child: &OwnedFd, timeout: Option<i64>) -> Result<Option<Ended>> {
    let action = || "wait for a hook";
    let limit = timeout.map(|seconds| Timespec { tv_sec: seconds, tv_nsec: 0 });
    let mut waits = [PollFd::new(child, PollFlags::IN)];
    let ended = match retry_on_intr(|| poll(&mut waits, limit.as_ref())) {
        Ok(count) => count > 0,
        Err(errno) => return Err(Kernel::new(action(), errno).into()),
    };
    if !ended {
        let _ = sys::process::send_signal(child.as_fd(), KILL);
    }
    match sys::process::wait(child.as_fd()) {
        // Somebody else has waited for it: a caller that leaves its children to the kernel.
        Err(Errno::CHILD) => Ok(Some(Ended::Exited(0))),
        done => done.map(|done| ended.then_some(done)).doing(action),
    }
}

/// SIGKILL, signal(7).
const KILL: i32 = 9;
