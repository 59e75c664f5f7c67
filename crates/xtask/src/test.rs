//! `cargo xtask test`: every test of the project in one command, as a newcomer and CI run it.
//!
//! What the tests need is installed or named; carboy is built once as a release, and the tests meanwhile; unit and kernel
//! tests run side by side, end-to-end tests one at a time, because they measure and share the host's cgroups. It fails when
//! a test fails, when one is left out, and when a test leaves a mount, a cgroup or a process behind. With `--host`, the tests
//! that another host could change run on that host, which is a virtual machine (`machine`).
//!
//! Whoever builds tests names the whole workspace and chooses targets: another choice of packages gives the dependencies
//! other features, and all of them would be built once more.

mod leftover;
pub(crate) mod machine;
mod needs;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use error::{Doing, Refused, Result};

use crate::program;
use leftover::Host;
use machine::Flavour;

/// The end-to-end tests' package.
const E2E: &str = "carboy-e2e";

/// Cargo's option for all packages.
const WORKSPACE: &str = "--workspace";

/// Cargo's option for one file of a tests folder.
const TEST: &str = "--test";

/// The parsers' tests: a workspace of its own, because cargo-fuzz builds it in another way.
const PARSERS: [&str; 4] = ["test", "--manifest-path", "fuzz/Cargo.toml", "--no-default-features"];

/// The end-to-end tests' files with this prefix need systemd as PID 1: they are run in the machine that has it.
const SYSTEMD_FILES: &str = "systemd_";

/// End-to-end files that need the v2 machine: its clock may be set, its kernel has AppArmor and SCTP, Debian's CRIU works on
/// it, and not on every newer one, and its nftables is a module that can be kept away.
const V2_FILES: &[&str] = &["clock", "network_iptables", "network_sctp", "oci_apparmor", "oci_checkpoint"];

/// What runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    /// What every Rust installation has.
    CargoTest,
    /// Gives each test a process of its own; used where it is installed.
    Nextest,
}

/// How many tests run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    /// As many as there are processors.
    All,
    /// One.
    One,
}

/// How the tests of one run ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    left_out: usize,
}

/// Runs the tests in a machine: those that have one of `filters` in their names, or without any those which such a host
/// could change.
///
/// # Errors
/// When something needed cannot be had, the machine does not boot, a test fails, or none was run.
pub(crate) fn run_in(flavour: Flavour, root: &Path, filters: &[&str]) -> Result<()> {
    needs::meet()?;
    machine::test(root, flavour, filters)
}

/// Runs everything on this host.
///
/// # Errors
/// When something needed cannot be had, a test fails or is left out, or something is left behind.
pub(crate) fn run(root: &Path) -> Result<()> {
    needs::meet()?;
    let carboy = built(root)?;
    let before = Host::read(&carboy)?;
    let runner = if program::find("cargo-nextest").is_some() { Runner::Nextest } else { Runner::CargoTest };
    let mut units = vec![WORKSPACE.to_owned(), "--lib".to_owned(), "--bins".to_owned()];
    for folder in folders(&root.join("crates"))? {
        if !folder.ends_with("e2e") && folder.join("tests").is_dir() {
            units.extend(targets(&folder.join("tests"))?.into_iter().flat_map(|name| [TEST.to_owned(), name]));
        }
    }
    let mut rest = tests(root, &units, (runner, Threads::All), &carboy)?;
    // Neither runner has run the examples in documentation, since targets were named.
    rest = rest.and(announced(program::cargo(root).args(["test", "--doc", WORKSPACE]))?);
    rest = rest.and(announced(program::cargo(root).args(PARSERS))?);
    let files = here(targets(&end_to_end_folder(root))?);
    let mut chosen = vec![WORKSPACE.to_owned()];
    chosen.extend(files.into_iter().flat_map(|name| [TEST.to_owned(), name]));
    let end_to_end = tests(root, &chosen, (runner, Threads::One), &carboy)?;
    let left = Host::read(&carboy)?.since(&before);
    for thing in &left {
        println!("left behind: {thing}");
    }
    let all = rest.and(end_to_end);
    println!("{} ({} unit and kernel, {} end-to-end)", summary(all), rest.total(), end_to_end.total());
    verdict(all, left.len())
}

/// Builds the release, whose longest step uses one processor, and all tests beside it; gives carboy.
fn built(root: &Path) -> Result<PathBuf> {
    std::thread::scope(|scope| {
        let release = scope.spawn(|| {
            let carboy = program::build(root, "carboy", "carboy")?;
            // The tests find it beside the other.
            program::build(root, "carboy-oci-runtime", "carboy-runtime")?;
            Ok(carboy)
        });
        program::run(program::cargo(root).args(["test", "--no-run", "--quiet", WORKSPACE]))?;
        program::run(program::cargo(root).args(PARSERS).args(["--no-run", "--quiet"]))?;
        release.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn end_to_end_folder(root: &Path) -> PathBuf {
    root.join("crates/e2e/tests")
}

fn folders(at: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(at).doing(|| format!("list {}", at.display()))?.flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// The names by which cargo knows what is in a tests folder: files, and folders with a main file.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).doing(|| format!("list {}", folder.display()))?.flatten();
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().to_str()?.to_owned();
        let is_folder = entry.path().join("main.rs").is_file();
        name.strip_suffix(".rs").map(str::to_owned).or_else(|| is_folder.then_some(name))
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Those of the end-to-end tests' files that this host can run.
fn here(mut files: Vec<String>) -> Vec<String> {
    files.retain(|name| {
        let host = match name.as_str() {
            name if name.starts_with(SYSTEMD_FILES) => "systemd",
            name if V2_FILES.contains(&name) => "v2",
            _ => return true,
        };
        println!("not here: {name} (cargo xtask test --host {host})");
        false
    });
    files
}

fn summary(counts: Counts) -> String {
    format!("tests: {} passed, {} failed, {} left out", counts.passed, counts.failed, counts.left_out)
}

fn verdict(counts: Counts, left_behind: usize) -> Result<()> {
    let reason = if counts.failed > 0 {
        format!("{} failed", counts.failed)
    } else if counts.left_out > 0 {
        format!("{} were left out: a test that cannot run here must fail and say what it needs", counts.left_out)
    } else if left_behind > 0 {
        format!("they left {left_behind} objects behind on the host")
    } else if counts.passed == 0 {
        "there are none".to_owned()
    } else {
        return Ok(());
    };
    Err(Refused::new("tests", "", reason).into())
}

/// Runs the tests of the targets that `selection` names.
fn tests(root: &Path, selection: &[String], (runner, threads): (Runner, Threads), carboy: &Path) -> Result<Counts> {
    let run: &[&str] = match runner {
        Runner::CargoTest => &["test", "--no-fail-fast"],
        Runner::Nextest => &["nextest", "run", "--no-fail-fast", "--no-tests=pass"],
    };
    let threads: &[&str] = match (threads, runner) {
        (Threads::All, _) => &[],
        (Threads::One, Runner::Nextest) => &["--test-threads=1"],
        (Threads::One, Runner::CargoTest) => &["--", "--test-threads=1"],
    };
    announced(program::cargo(root).args(run).args(selection).args(threads).env("CARBOY_BIN", carboy))
}

/// Says what is run, and counts.
fn announced(command: &mut Command) -> Result<Counts> {
    println!("running {}", program::line(command));
    count(command)
}

/// Runs `command`, passes on what it prints, and adds up the results it tells.
fn count(command: &mut Command) -> Result<Counts> {
    listen(command, &mut |_| ())
}

/// As [`count`], for somebody who hears each line, too.
fn listen(command: &mut Command, hears: &mut dyn FnMut(&str)) -> Result<Counts> {
    let line = program::line(command);
    // The lines that tell the results are looked for in the text: they must be plain, whatever CI sets.
    command.env("CARGO_TERM_COLOR", "never");
    let (reader, writer) = std::io::pipe().doing(|| "make a pipe")?;
    command.stdin(Stdio::null()).stderr(writer.try_clone().doing(|| "copy a pipe")?).stdout(writer);
    let mut child = command.spawn().doing(|| format!("start {line}"))?;
    // The command holds the pipe's other end; as long as it does, reading does not end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut counts = Counts::default();
    for text in BufReader::new(reader).lines() {
        let text = text.doing(|| format!("read what {line} prints"))?;
        println!("{text}");
        hears(&text);
        counts = counts.and(result_of(&text).unwrap_or_default());
    }
    let status = child.wait().doing(|| format!("wait for {line}"))?;
    Ok(counts.ended(status))
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            left_out: self.left_out + other.left_out,
        }
    }

    fn total(self) -> usize {
        self.passed + self.failed + self.left_out
    }

    /// A run that failed without a failed test counts as one: it did not build, or died.
    fn ended(mut self, status: ExitStatus) -> Self {
        if !status.success() {
            self.failed = self.failed.max(1);
        }
        self
    }
}

/// What a line of cargo test or of nextest tells of the results, if it is the line that does. What nextest repeats of a test
/// that failed, and may be run once more, stands further to the right.
fn result_of(line: &str) -> Option<Counts> {
    let summary = line.strip_prefix("test result: ").or_else(|| line.trim_start().strip_prefix("Summary ["))?;
    let mut words = summary.split([' ', ';', ',']).filter(|word| !word.is_empty()).peekable();
    let mut counts = Counts::default();
    while let Some(word) = words.next() {
        let Ok(number) = word.parse::<usize>() else { continue };
        match words.peek().copied() {
            Some("passed") => counts.passed += number,
            Some("failed" | "timed" | "exec") => counts.failed += number,
            Some("ignored" | "skipped") => counts.left_out += number,
            _ => {}
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: usize, failed: usize, left_out: usize) -> Counts {
        Counts { passed, failed, left_out }
    }

    #[test]
    fn both_runners_tell_their_results() {
        let cargo = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(result_of(cargo), Some(counts(3, 1, 2)));
        let nextest = "     Summary [   0.022s] 18 tests run: 17 passed (1 slow), 1 failed, 4 skipped";
        assert_eq!(result_of(nextest), Some(counts(17, 1, 4)));
        assert_eq!(result_of("test a_summary ... ok"), None);
        assert_eq!(result_of("    test result: FAILED. 0 passed; 1 failed; 0 ignored"), None);
    }

    #[test]
    fn failed_left_out_left_behind_and_no_tests_at_all_are_failures() {
        assert!(verdict(counts(5, 0, 0), 0).is_ok());
        for (counts, left) in [(counts(5, 1, 0), 0), (counts(5, 0, 1), 0), (counts(5, 0, 0), 1), (counts(0, 0, 0), 0)] {
            assert!(verdict(counts, left).is_err());
        }
    }

    #[test]
    fn a_run_that_dies_without_a_result_is_a_failure() {
        let counts =
            count(Command::new("sh").args(["-c", "echo 'test result: ok. 2 passed; 0 failed'; exit 101"])).unwrap();
        assert_eq!(counts, self::counts(2, 1, 0));
    }
}
