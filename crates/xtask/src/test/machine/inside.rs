//! What the job of a machine does there: runs the tests that were chosen and looks for what they leave behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use error::{Corrupt, Doing, Result};

use super::selection::Binary;
use crate::test::leftover::Host;
use crate::test::{Counts, count, listen, summary, verdict};

/// The word by which xtask finds itself in a machine.
pub(crate) const WORD: &str = "inside-the-machine";

/// Where the disk with the job is mounted.
pub(super) const FOLDER: &str = "/carboy";

/// The file with the tests to run: a line for each binary, its name and its tests' names, with spaces between.
pub(super) const LIST: &str = "tests.list";

/// The folder of the tests' programs.
pub(super) const PROGRAMS: &str = "tests";

/// The text of [`LIST`].
pub(super) fn list(binaries: &[Binary]) -> String {
    binaries.iter().map(|binary| format!("{} {}\n", binary.name, binary.tests.join(" "))).collect()
}

/// Runs the tests on [`LIST`], one at a time.
///
/// # Errors
/// When one fails, or something is left behind.
pub(crate) fn run() -> Result<()> {
    let folder = Path::new(FOLDER);
    let path = folder.join(LIST);
    let list = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    let carboy = folder.join("carboy");
    let before = Host::read(&carboy)?;
    let mut counts = Counts::default();
    for line in list.lines() {
        let mut words = line.split(' ');
        let name = words.next().ok_or_else(|| Corrupt::new(LIST, "it has an empty line"))?;
        let tests: Vec<&str> = words.collect();
        println!("running {} of {name}", tests.len());
        let program = folder.join(PROGRAMS).join(name);
        let mut failed = Vec::new();
        let run = |tests: &[&str]| {
            let mut command = Command::new(&program);
            command.args(["--test-threads=1", "--exact"]).args(tests);
            command
        };
        let ran = listen(&mut run(&tests), &mut |line| failed.extend(failed_test(line).map(str::to_owned)))?;
        // A test that is not run by its own name is one that is missed.
        counts = counts.and(Counts { left_out: tests.len().saturating_sub(ran.passed + ran.failed), ..ran });
        // They race with everything else that a slow machine does: whoever fails once is told as flaky, as elsewhere.
        for test in failed {
            if count(&mut run(&[test.as_str()]))?.passed == 1 {
                println!("flaky: {name}::{test}");
                counts = Counts { failed: counts.failed.saturating_sub(1), passed: counts.passed + 1, ..counts };
            }
        }
    }
    let left = Host::read(&carboy)?.since(&before);
    for thing in &left {
        println!("left behind: {thing}");
    }
    println!("{}", summary(counts));
    verdict(counts, left.len())
}

/// The name of a test, from the line by which its program tells that it failed.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_is_known_by_its_line() {
        assert_eq!(failed_test("test stop::it_ends ... FAILED"), Some("stop::it_ends"));
        assert_eq!(failed_test("test stop::it_ends ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 3 passed; 1 failed"), None);
    }
}
