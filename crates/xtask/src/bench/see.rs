//! What a look at a crowded host costs: `carboy see --namespaces` beside lsns, which answers the same question, and the time
//! and memory that a snapshot of everything takes.
//!
//! The crowd lives in a pid namespace whose first process is this one: nothing else is counted, and when this one ends the
//! kernel ends them all. CPU time is getrusage(2)'s of the command alone: nobody of the crowd is waited for meanwhile.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use error::{Doing, Refused, Result};
use nix::sys::resource::{UsageWho, getrusage};

use super::limits::Cost;
use super::table::median;

/// The task's name on the command line: it is begun in a pid namespace of its own.
pub(crate) const WORD: &str = "bench-see";
/// What is asked.
const NAMESPACES: &str = "--namespaces";
/// How many processes there are, and how many of them are apart from the others.
pub(super) const PROCESSES: usize = 10_000;
const APART: usize = 1000;
/// How many are in the same namespaces.
const TOGETHER: usize = 10;
/// How many a shell holds of those that are not apart.
const HELD: usize = 500;
/// Rounds of one run of each.
const ROUNDS: usize = 7;

/// The most that ours may be of lsns's CPU time: from /proc, and with a walk within the kernel.
const PROC_BUDGET: f64 = 1.0 / 15.0;
const WALK_BUDGET: f64 = 1.0 / 100.0;
const PEAK_BUDGET_MIB: f64 = 24.0;

/// A shell with this many copies of itself, which read from the same pipe and end when it does.
const COPIES: &str =
    "exec 3<&0; i=0; while [ $i -lt $1 ]; do { read -r end; } <&3 & i=$((i+1)); done; echo ready; read -r end";

/// The command that measures with so many processes.
pub(super) fn command(own: &Path, carboy: &Path, processes: usize) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--mount-proc", "--fork", "--kill-child"]);
    command.arg(own).arg(WORD).arg(carboy).arg(processes.to_string());
    command
}

/// Measures, and prints a line for each budget.
///
/// # Errors
/// When it is not the first process of a pid namespace, when processes cannot be made, and when a command fails.
pub(crate) fn run(carboy: &Path, processes: &str) -> Result<()> {
    let count: usize = processes.parse().map_err(|_| Refused::new(WORD, processes, "is no number of processes"))?;
    if std::process::id() != 1 {
        return Err(Refused::new(WORD, "", "is begun by cargo xtask bench alone").into());
    }
    let crowd = crowd(count)?;
    // The first command that is waited for: what children had as their peak is its own.
    look(Command::new(carboy).args(["see", "--json"]))?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(std::io::Error::from).doing(|| "read the peak memory")?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let [lsns, walked] = [&mut Command::new("lsns"), Command::new(carboy).arg("see").arg(NAMESPACES)].map(look);
        let by_proc = look(without_bpf(carboy).args(["see", NAMESPACES]))?;
        rounds.push([lsns?, by_proc, walked?, look(Command::new(carboy).args(["see", "--all"]))?]);
    }
    drop(crowd);
    let [lsns, by_proc, walked, all] = [0, 1, 2, 3].map(|of: usize| Told::new(&rounds, of));
    let theirs = lsns.cpu;
    println!("lsns of {count} processes: {theirs:.0} ms CPU; {ROUNDS} rounds, medians");
    println!("carboy see {NAMESPACES} from /proc alone: {}", by_proc.beside(PROC_BUDGET));
    println!("carboy see {NAMESPACES} as it may: {}", walked.beside(WALK_BUDGET));
    println!("carboy see --all, which asks more than lsns: {:.0} ms CPU, ratio {:.4}", all.cpu, all.ratio);
    let peak = kibibytes_to_mebibytes(usage.max_rss());
    println!(
        "carboy see --json of {count} processes: peak memory {peak:.1} MiB, {} the budget of {PEAK_BUDGET_MIB:.0} MiB",
        verdict(peak, PEAK_BUDGET_MIB)
    );
    Ok(())
}

/// One column of the rounds.
struct Told {
    /// Milliseconds.
    cpu: f64,
    /// Of lsns's.
    ratio: f64,
}

impl Told {
    fn new(rounds: &[[f64; 4]], of: usize) -> Self {
        let all = |value: fn(f64, f64) -> f64| {
            median(rounds.iter().filter_map(|round| Some(value(*round.get(of)?, *round.first()?))))
        };
        Self { cpu: all(|ours, _| ours), ratio: all(|ours, theirs| ours / theirs) }
    }

    fn beside(&self, budget: f64) -> String {
        let Self { cpu, ratio } = self;
        format!("{cpu:.0} ms CPU, ratio {ratio:.4}, {} the budget of {budget:.4}", verdict(*ratio, budget))
    }
}

/// carboy without the capabilities that a walk within the kernel needs.
fn without_bpf(carboy: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-bpf,-perfmon,-sys_admin").arg(carboy);
    command
}

fn verdict(is: f64, budget: f64) -> &'static str {
    if is <= budget { "within" } else { "ABOVE" }
}

#[expect(clippy::cast_precision_loss, reason = "the memory of one process")]
fn kibibytes_to_mebibytes(kibibytes: i64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// Runs to its end; milliseconds of CPU time.
fn look(command: &mut Command) -> Result<f64> {
    let before = Cost::until_now(UsageWho::RUSAGE_CHILDREN)?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().doing(|| format!("run {name}"))?;
    if !status.success() {
        return Err(Refused::new(name, "", format!("it ended with {status}")).into());
    }
    let cost = Cost::since(UsageWho::RUSAGE_CHILDREN, &before)?;
    Ok(cost.user + cost.system)
}

/// Shells whose copies sleep, killed when they are dropped.
struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for shell in &mut self.0 {
            // Its copies see the end of the pipe.
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

/// A tenth of them in namespaces of their own, ten in each.
fn crowd(count: usize) -> Result<Crowd> {
    let apart = APART.min(count / 10);
    let mut crowd = Crowd(Vec::new());
    for _ in 0..apart / TOGETHER {
        let mut shell = Command::new("unshare");
        shell.args(["--uts", "--ipc", "sh", "-c", COPIES, "sh"]);
        crowd.add(shell, TOGETHER)?;
    }
    let mut left = count - apart;
    while left > 0 {
        let mut shell = Command::new("sh");
        shell.args(["-c", COPIES, "sh"]);
        crowd.add(shell, left.min(HELD))?;
        left -= left.min(HELD);
    }
    Ok(crowd)
}

impl Crowd {
    /// Adds a shell, and as many copies as make so many processes.
    fn add(&mut self, mut shell: Command, processes: usize) -> Result<()> {
        let shell = shell.arg((processes - 1).to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().doing(|| "start a shell")?;
        let stdout = shell.stdout.take();
        self.0.push(shell);
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line).doing(|| "wait for a shell")?;
        }
        if line.trim_end() == "ready" {
            return Ok(());
        }
        Err(Refused::new(WORD, "", "a shell did not get its copies").into())
    }
}
