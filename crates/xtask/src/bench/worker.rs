//! A contender's worker: a process that enters the contender's circumstances once and then runs its command whenever
//! it is told to, so that neither the circumstances nor a shell are in the time.
//!
//! It is this same program, started as `xtask bench-worker MODE COMMAND… [--then COMMAND…]…`, where the first and the last
//! command are what is done before and after the work, and may be empty. Each line on its stdin is one run; each run is one
//! line on its stdout: wall nanoseconds, CPU microseconds, peak bytes; or "failed" and why.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use error::{Doing, Refused, Result};
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::contender::Contender;

/// The task's name on the command line.
pub(crate) const WORD: &str = "bench-worker";

/// Stands between two commands.
const THEN: &str = "--then";

/// What a worker watches. Watching memory costs time, so it is apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Time,
    Memory,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
        }
    }
}

/// One run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// 0 where it was not watched.
    pub(super) peak_bytes: u64,
}

/// The worker seen from the bench.
pub(super) struct Worker {
    name: &'static str,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub(super) fn start(contender: &Contender, mode: Mode) -> Result<Self> {
        let own = std::env::current_exe().doing(|| "find this program")?;
        let mut command = match contender.hidden {
            None => Command::new(own),
            Some(hidden) => {
                let mut command = Command::new("unshare");
                let script = format!("umount --lazy {hidden} && exec \"$@\"");
                command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]).arg(own);
                command
            }
        };
        command.args([WORD, mode.word()]).args(&contender.before);
        for words in contender.commands.iter().chain([&contender.after]) {
            command.arg(THEN).args(words);
        }
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.doing(|| format!("start the worker of {}", contender.name))?;
        let gone = || Refused::new("worker", contender.name, "has no pipes");
        let orders = Some(child.stdin.take().ok_or_else(gone)?);
        let answers = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        Ok(Self { name: contender.name, child, orders, answers })
    }

    /// Has it run once.
    pub(super) fn sample(&mut self) -> Result<Sample> {
        let mut answer = String::new();
        if let Some(orders) = &mut self.orders {
            orders.write_all(b"run\n").doing(|| format!("tell the worker of {} to run", self.name))?;
        }
        self.answers.read_line(&mut answer).doing(|| format!("read from the worker of {}", self.name))?;
        parse(&answer).ok_or_else(|| {
            let reason = if answer.is_empty() { "it ended" } else { answer.trim_end() };
            Refused::new("worker", self.name, reason).into()
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its stdin is its end; how it ends changes nothing any more.
        self.orders = None;
        let _ = self.child.wait();
    }
}

fn parse(answer: &str) -> Option<Sample> {
    let mut numbers = answer.split_whitespace().map(|word| word.parse::<u64>().ok());
    let (wall, cpu, peak_bytes) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(Sample { wall: Duration::from_nanos(wall), cpu: Duration::from_micros(cpu), peak_bytes })
}

/// The worker's own life: a run for each line on stdin.
///
/// # Errors
/// When the mode is unknown, or the bench cannot be answered.
pub(crate) fn run(mode: &str, words: &[&str]) -> Result<()> {
    let mode = match mode {
        "time" => Mode::Time,
        "memory" => Mode::Memory,
        other => return Err(Refused::new("mode", other, "is neither time nor memory").into()),
    };
    nix::sys::prctl::set_child_subreaper(true).map_err(std::io::Error::from).doing(|| "become the orphans' reaper")?;
    let commands: Vec<&[&str]> = words.split(|word| *word == THEN).collect();
    let [before, work @ .., after] = commands.as_slice() else {
        return Err(Refused::new("the commands", "", "need one before and one after them").into());
    };
    // What was started before the work stays.
    let wait = (!before.is_empty()).then_some(WaitPidFlag::WNOHANG);
    let mut ready = once(Mode::Time, before);
    for _ in std::io::stdin().lines() {
        let answer = match std::mem::replace(&mut ready, Ok(NOTHING)).and_then(|_| sample(mode, work, wait)) {
            Ok(Sample { wall, cpu, peak_bytes }) => format!("{} {} {peak_bytes}", wall.as_nanos(), cpu.as_micros()),
            Err(error) => format!("failed: {error}{}", crate::because(&error)),
        };
        println!("{answer}");
    }
    once(Mode::Time, after).map(drop)
}

/// What a run takes that does nothing.
const NOTHING: (Duration, u64) = (Duration::ZERO, 0);

/// One run and the CPU time of all that it started.
fn sample(mode: Mode, commands: &[&[&str]], wait: Option<WaitPidFlag>) -> Result<Sample> {
    let before = children_cpu()?;
    let mut sample = Sample::default();
    for words in commands {
        let (wall, peak_bytes) = once(mode, words)?;
        sample.wall += wall;
        sample.peak_bytes = sample.peak_bytes.max(peak_bytes);
    }
    reap(wait);
    sample.cpu = children_cpu()?.saturating_sub(before);
    Ok(sample)
}

/// The wall time of one command, and the peak in bytes if memory is watched. No words are no command.
fn once(mode: Mode, words: &[&str]) -> Result<(Duration, u64)> {
    let Some((program, arguments)) = words.split_first() else { return Ok(NOTHING) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().doing(|| format!("start {program}"))?;
    let mut peak_bytes = 0;
    let status = match mode {
        Mode::Time => child.wait(),
        Mode::Memory => loop {
            peak_bytes = peak_bytes.max(watch(std::process::id()));
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break Ok(status),
                Err(error) => break Err(error),
            }
        },
    };
    let wall = start.elapsed();
    let status = status.doing(|| format!("wait for {program}"))?;
    if status.success() {
        return Ok((wall, peak_bytes));
    }
    Err(Refused::new(words.join(" "), "", format!("it ended with {status}")).into())
}

/// Waits for what the commands left to the reaper, so that its CPU time counts too; with `WNOHANG` only takes what has ended.
fn reap(wait: Option<WaitPidFlag>) {
    loop {
        match waitpid(None, wait) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            _ => {}
        }
    }
}

/// User and system time of all children waited for until now.
fn children_cpu() -> Result<Duration> {
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).map_err(std::io::Error::from).doing(|| "read the children's usage")?;
    let times = [usage.user_time(), usage.system_time()];
    let micros = times
        .map(|time| u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec()).unwrap_or(0));
    Ok(Duration::from_micros(micros.iter().sum()))
}

/// The largest peak among the processes below `pid`, in bytes. A process that is gone had been seen before.
fn watch(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|list| list.split(' ').map(str::parse).collect::<Vec<_>>()).flatten().collect();
    let peaks = children.into_iter().map(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        high_water(&status).unwrap_or(0).max(watch(child))
    });
    peaks.max().unwrap_or(0)
}

/// VmHWM in bytes.
fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_three_numbers() {
        let sample = Sample { wall: Duration::from_nanos(5), cpu: Duration::from_micros(6), peak_bytes: 7 };
        assert_eq!(parse("5 6 7\n"), Some(sample));
        assert_eq!(parse("failed: cannot start it"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_wall_time_is_the_whole_run() {
        let (wall, peak_bytes) = once(Mode::Time, &["sleep", "0.05"]).unwrap();
        assert!(wall >= Duration::from_millis(50));
        assert_eq!(peak_bytes, 0);
    }

    #[test]
    fn a_run_that_fails_is_no_sample() {
        assert!(once(Mode::Time, &["false"]).is_err());
        assert!(once(Mode::Time, &["/no/such/program"]).is_err());
    }

    #[test]
    fn the_peak_is_read_from_status() {
        assert_eq!(high_water("Name:\tsh\nVmHWM:\t     712 kB\nVmRSS:\t 1 kB"), Some(712 * 1024));
        assert_eq!(high_water("Name:\tkthreadd"), None);
    }
}
