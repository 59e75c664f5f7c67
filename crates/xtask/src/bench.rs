//! `cargo xtask bench`: carboy beside each installed peer and the floor, on the same work, in one run.
//!
//! The rounds are interleaved (A B C A B C …), so that a noisy moment hits all alike; a ratio is the median of the
//! ratios of the rounds, not the ratio of the medians. Wall time is from before fork to after wait, on a monotonic
//! clock; CPU time is getrusage(2)'s of all children, orphans included (the worker is their subreaper); peak memory is
//! the largest VmHWM (proc_pid_status(5)) of any process of the run, watched in runs of their own.

mod bundle;
mod contender;
mod docker_stats;
pub(crate) mod floor;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod order;
mod pull;
pub(crate) mod see;
mod table;
mod work;
pub(crate) mod worker;

use std::path::Path;

use error::{Doing, Refused, Result};

use crate::program;
use crate::tidy::graph;
use contender::Contender;
use table::{Row, Table};
use work::{Ours, Work};
use worker::{Mode, Sample, Worker};

/// How often each contender runs.
pub(crate) const ROUNDS: usize = 30;

/// How often each contender runs while its memory is watched.
const MEMORY_ROUNDS: usize = 5;

/// Compares, and prints the table.
///
/// # Errors
/// When this is not root, or carboy cannot do the work.
pub(crate) fn run(root: &Path, rounds: usize) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Refused::new("bench", "", "making namespaces and cgroups needs root")
            .hint("run it with sudo")
            .into());
    }
    let ours = Ours {
        carboy: program::build(root, "carboy", "carboy")?,
        runtime: program::build(root, "carboy-oci-runtime", "carboy-runtime")?,
        floor: program::build(root, "xtask", "xtask")?,
    };
    for work in work::all(&ours, &contender::peers())? {
        compare(&work, rounds)?;
    }
    program::run(std::process::Command::new(&ours.floor).arg(limits::WORD).arg(&ours.carboy))?;
    program::run(&mut see::command(&ours.floor, &ours.carboy, see::PROCESSES))?;
    program::run(std::process::Command::new(&ours.floor).arg(life::WORD).arg(&ours.carboy))?;
    program::run(std::process::Command::new(&ours.floor).arg(network::WORD).arg(&ours.carboy))?;
    print_dependencies(root)
}

/// One work: who can do it here, in turn.
fn compare(work: &Work, rounds: usize) -> Result<()> {
    let mut rows = Vec::new();
    let mut workers = Vec::new();
    for contender in &work.contenders {
        match warm(contender) {
            Ok(worker) => {
                workers.push(worker);
                rows.push(Row::new(contender));
            }
            Err(error) if contender.required => return Err(error),
            Err(error) => println!("{} cannot run here and is left out: {error}", contender.name),
        }
    }
    for _ in 0..rounds {
        for (row, worker) in rows.iter_mut().zip(&mut workers) {
            row.samples.push(worker.sample()?);
        }
    }
    drop(workers);
    for row in &mut rows {
        row.peak_bytes = peak(row.contender)?;
    }
    println!("{}", Table { work: work.title, rows: &rows });
    Ok(())
}

/// Starts the contender's worker; the first run, which fills the page cache, does not count.
fn warm(contender: &Contender) -> Result<Worker> {
    let mut worker = Worker::start(contender, Mode::Time)?;
    worker.sample()?;
    Ok(worker)
}

fn peak(contender: &Contender) -> Result<u64> {
    let mut worker = Worker::start(contender, Mode::Memory)?;
    let mut peak = 0;
    for _ in 0..MEMORY_ROUNDS {
        let Sample { peak_bytes, .. } = worker.sample()?;
        peak = peak.max(peak_bytes);
    }
    Ok(peak)
}

/// How many packages the runtime is built from; the budget is 25.
fn print_dependencies(root: &Path) -> Result<()> {
    let packages = graph::read(root)?;
    let runtime = packages.iter().find(|package| package.krate == "runtime");
    let built = runtime.map_or(0, |package| package.built.iter().filter(|name| !name.starts_with("carboy")).count());
    println!("carboy-runtime is built from {built} packages of others (budget 25)");
    Ok(())
}

/// The file as bytes on disk, for what is copied into the bundle.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content).doing(|| format!("write {}", path.display()))
}
