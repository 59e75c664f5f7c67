//! A run of carboy or of carboy-runtime in which one system call of one of its processes fails, or the process is killed there: ptrace(2).
//!
//! strace(1) can do the same, but counts in every process alike; here the first `openat` of the monitor is another than
//! the first of the command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seccomp::{Arch, call_name};

/// Which of carboy's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The command that was typed.
    Command,
    /// The process that stays with the container.
    Monitor,
    /// The container's first process, until it executes its program.
    Child,
    /// The program, and what it starts.
    Program,
}

/// A system call of a run: the `nth` of its name in that process, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub role: Role,
    /// Its name.
    pub name: &'static str,
    /// Which.
    pub nth: usize,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call does nothing and fails.
    Error(Errno),
    /// The process is killed before it.
    Kill,
}

/// How a run went.
#[derive(Debug)]
pub struct Watched {
    /// The exit code of the command, or 128 and the signal that ended it.
    pub code: i32,
    /// Its standard error.
    pub stderr: String,
    /// Every call that was made, with what it gave, in the order of their beginnings.
    pub calls: Vec<(Place, i64)>,
    /// Whether the fault happened.
    pub struck: bool,
    /// Whether everything had to be killed because it did not end.
    pub hung: bool,
}

/// Whose command is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// carboy's: its child is the monitor, and everything is waited for.
    Engine,
    /// carboy-runtime's: its child is the container's first process, or one more of its processes. What still lives when the
    /// command has ended is killed.
    Runtime,
}

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all that is left of one that takes longer is given to end before it is killed again.
const AGAIN: Duration = Duration::from_millis(200);

struct Process {
    role: Role,
    counts: BTreeMap<&'static str, usize>,
    /// The call that it is in: its place in the list of all calls.
    within: Option<usize>,
    struck_now: bool,
}

struct Watching {
    processes: BTreeMap<Pid, Process>,
    /// New processes whose parent is not known yet. Of one that is killed before it tells of them it never will be.
    held: Vec<Pid>,
    /// Whoever is traced, the held too.
    living: Arc<Mutex<Vec<Pid>>>,
    fault: Option<(Place, Fault)>,
    command: Pid,
    /// Whether the command is gone, and nobody is to outlive it.
    command_ended: bool,
    watch: Watch,
    watched: Watched,
}

/// Runs a command of carboy to the end of all its processes, with a fault somewhere, or none.
///
/// # Panics
/// Without the right to trace, and on machines whose registers are not known here.
#[must_use]
pub fn run(command: &Command, folder: &Path, fault: Option<(Place, Fault)>) -> Watched {
    watched((command, Watch::Engine), folder, fault)
}

/// The same of either.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn watched((command, watch): (&Command, Watch), folder: &Path, fault: Option<(Place, Fault)>) -> Watched {
    let errors = folder.join(format!("stderr-{:?}", std::thread::current().id()));
    let mut waits = Command::new("sh");
    waits.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    waits.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors).unwrap());
    let pid = Pid::from_raw(waits.spawn().unwrap().id().cast_signed());
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    let births = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
    let options = births | Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    let living = Arc::new(Mutex::new(vec![pid]));
    let (ended, watchdog) = mpsc::channel::<()>();
    let doomed = Arc::clone(&living);
    let watchdog = std::thread::spawn(move || {
        let mut hung = false;
        // Whoever is killed may have begun another one that nobody has seen yet.
        while watchdog.recv_timeout(if hung { AGAIN } else { PATIENCE }).is_err() {
            hung = true;
            kill_all(&doomed);
        }
        hung
    });
    let watched = Watched { code: -1, stderr: String::new(), calls: Vec::new(), struck: false, hung: false };
    let mut watching = Watching {
        processes: BTreeMap::new(),
        held: Vec::new(),
        living,
        fault,
        command: pid,
        command_ended: false,
        watch,
        watched,
    };
    // Only the children of this thread: other tests have theirs.
    let all = Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD);
    while let Ok(status) = waitpid(None, all) {
        watching.see(status);
    }
    let _ = ended.send(());
    let mut watched = watching.watched;
    watched.hung = watchdog.join().unwrap();
    watched.stderr = String::from_utf8_lossy(&fs::read(&errors).unwrap()).into_owned();
    fs::remove_file(&errors).unwrap();
    watched
}

impl Watching {
    fn see(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::PtraceSyscall(pid) => self.call(pid),
            WaitStatus::PtraceEvent(pid, _, event) => self.event(pid, event),
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            WaitStatus::Exited(pid, code) => self.end(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.end(pid, 128 + signal as i32),
            _ => {}
        }
    }

    fn end(&mut self, pid: Pid, code: i32) {
        self.processes.remove(&pid);
        self.living.lock().unwrap().retain(|living| *living != pid);
        if pid == self.command {
            self.watched.code = code;
            if self.watch == Watch::Runtime {
                self.command_ended = true;
                kill_all(&self.living);
            }
        }
    }

    fn event(&mut self, pid: Pid, event: i32) {
        if event == Event::PTRACE_EVENT_EXEC as i32 {
            let role = match self.processes.get(&pid).map(|process| process.role) {
                // The shell becomes the command.
                None => Role::Command,
                // Either may execute itself once more.
                Some(role @ (Role::Command | Role::Monitor)) => role,
                Some(_) => Role::Program,
            };
            if role == Role::Program || !self.processes.contains_key(&pid) {
                self.add(pid, role);
            }
            // It is still within execve, of whose end the next stop tells.
            if let Some(process) = self.processes.get_mut(&pid) {
                process.within = Some(self.watched.calls.len());
                self.watched.calls.push((Place { role, name: "execve", nth: 0 }, 0));
            }
        } else if event != Event::PTRACE_EVENT_STOP as i32 {
            let born = Pid::from_raw(i32::try_from(ptrace::getevent(pid).unwrap_or(0)).unwrap());
            let role = match self.processes.get(&pid).map(|parent| parent.role) {
                Some(Role::Command) if self.watch == Watch::Engine => Role::Monitor,
                Some(Role::Command) => Role::Child,
                Some(Role::Monitor | Role::Child) => Role::Child,
                _ => Role::Program,
            };
            self.add(born, role);
            if let Some(place) = self.held.iter().position(|held| *held == born) {
                self.held.remove(place);
                go_on(born, None);
            }
        } else if !self.processes.contains_key(&pid) && pid != self.command {
            self.held.push(pid);
            self.living.lock().unwrap().push(pid);
            if self.command_ended {
                let _ = kill(pid, Signal::SIGKILL);
            }
            return;
        }
        go_on(pid, None);
    }

    fn add(&mut self, pid: Pid, role: Role) {
        self.processes.insert(pid, Process { role, counts: BTreeMap::new(), within: None, struck_now: false });
        self.living.lock().unwrap().push(pid);
    }

    /// A process enters a system call, or comes back from one.
    fn call(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return go_on(pid, None) };
        let Ok(mut registers) = ptrace::getregs(pid) else { return go_on(pid, None) };
        if let Some(call) = process.within.take() {
            if std::mem::take(&mut process.struck_now)
                && let Some((_, Fault::Error(errno))) = &self.fault
            {
                registers.rax = i64::from(*errno as i32).wrapping_neg().cast_unsigned();
                let _ = ptrace::setregs(pid, registers);
            }
            self.watched.calls[call].1 = registers.rax.cast_signed();
            return go_on(pid, None);
        }
        let number = u32::try_from(registers.orig_rax).unwrap_or(u32::MAX);
        let name = call_name(number, Arch::NATIVE).unwrap_or("unknown");
        let count = process.counts.entry(name).or_default();
        *count += 1;
        let place = Place { role: process.role, name, nth: *count };
        process.within = Some(self.watched.calls.len());
        let here = self.fault.as_ref().filter(|(planned, _)| !self.watched.struck && *planned == place);
        match here {
            Some((_, Fault::Error(_))) => {
                self.watched.struck = true;
                process.struck_now = true;
                registers.orig_rax = u64::MAX;
                ptrace::setregs(pid, registers).unwrap();
            }
            Some((_, Fault::Kill)) => {
                self.watched.struck = true;
                kill(pid, Signal::SIGKILL).unwrap();
            }
            None => {}
        }
        self.watched.calls.push((place, 0));
        go_on(pid, None);
    }
}

impl Watched {
    /// The places of one process's calls, each one time for the calls before and after it: of many alike in a row the first
    /// and the last.
    #[must_use]
    pub fn distinct(&self, role: Role) -> Vec<Place> {
        let calls: Vec<&Place> = self.calls.iter().map(|(place, _)| place).filter(|place| place.role == role).collect();
        let name = |number: usize| calls.get(number).map(|place| place.name);
        let mut seen = BTreeSet::new();
        let mut places = Vec::new();
        for (number, place) in calls.iter().enumerate() {
            if seen.insert((name(number.wrapping_sub(1)), place.name, name(number + 1))) {
                places.push((*place).clone());
            }
        }
        places
    }
}

fn kill_all(living: &Mutex<Vec<Pid>>) {
    for pid in living.lock().unwrap().iter() {
        let _ = kill(*pid, Signal::SIGKILL);
    }
}

/// To the next system call; a process that is gone meanwhile tells so itself.
fn go_on(pid: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(pid, signal);
}
