//! carboy as the first process of a container (`run --init`): it starts the command, passes signals on to it, takes away the
//! zombies that others leave, and ends as the command did.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::ExitCode;

use bumpalo::Bump;
use child::{REPORT_LENGTH, Report, Scene};
use error::{Doing, Result};
use namespace::steps::Steps;
use rustix::event::{PollFd, PollFlags, poll};
use sys::namespace::Kinds;
use sys::process::Ended;
use sys::signal::{Origin, Signals};

/// The name under which carboy is mounted into containers.
pub(crate) const NAME: &str = "carboy-init";

const SIGCHLD: u32 = 17;

/// Runs the command that follows `--`.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let words = arguments.strip_prefix(&["--".into()]).unwrap_or(arguments);
    sys::signal::set_blocked(Signals::ALL).doing(|| "block signals")?;
    let signals = sys::signal::descriptor(Signals::ALL).doing(|| "wait for signals")?;
    let command = match start(words)? {
        Ok(pid) => pid,
        Err(errno) => {
            let reason = std::io::Error::from(errno);
            crate::report::warning(&format!(
                "exec: {}: {reason}",
                words.first().cloned().unwrap_or_default().display()
            ));
            return Ok(ExitCode::from(if errno == error::Errno::NOENT { 127 } else { 126 }));
        }
    };
    loop {
        let _ = poll(&mut [PollFd::new(&signals, PollFlags::IN)], None);
        while let Some((signal, origin)) = sys::signal::next(signals.as_fd()).doing(|| "read a signal")? {
            // What the terminal sends goes to the command too: both are in its foreground.
            if signal != SIGCHLD && origin == Origin::Process {
                let _ = sys::process::kill(command, i32::try_from(signal).unwrap_or(0));
            }
        }
        while let Ok(Some((ended, how))) = sys::process::reap_any() {
            if ended == command {
                let code = match how {
                    Ended::Exited(code) => code,
                    Ended::Killed(signal) => 128 + signal,
                };
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
        }
    }
}

/// Starts the command with default signals and this process's environment. Gives its PID, or why it cannot be executed.
fn start(words: &[OsString]) -> Result<std::result::Result<i32, error::Errno>> {
    let arena = Bump::new();
    let mut steps = Steps::new(&arena);
    let text = |word: OsString| word.to_string_lossy().into_owned();
    let arguments: Vec<String> = words.iter().cloned().map(text).collect();
    let environment = std::env::vars_os().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    let process = oci::Process { args: arguments, env: environment, ..oci::Process::default() };
    let program = runtime::process::plan_program(&process, &steps)?;
    steps.push(program);
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to the command")?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let (sync, parent) = (theirs.as_fd(), ours.as_fd());
    let scene = Scene { sync, parent, namespaces: &[], groups: &[], mounts: &[], standard, gate: None };
    let spawned = child::spawn(Kinds::NONE, None, &steps.finish(), &scene).doing(|| "start the command")?;
    drop(theirs);
    let mut message = [0; REPORT_LENGTH];
    sys::socket::receive(ours.as_fd(), &mut message).doing(|| "hear from the command")?;
    match Report::parse(message) {
        Some(Report::Failed { errno, .. }) => Ok(Err(error::Errno::from_raw_os_error(errno))),
        _ => Ok(Ok(spawned.pid)),
    }
}
