//! The bench of `carboy see`, on a small crowd.

use std::io::Result;
use std::process::{Command, Output};

/// What it prints of so many processes.
fn measured(processes: &str) -> Result<Output> {
    let carboy = std::env::var_os("CARBOY_BIN");
    assert!(carboy.is_some(), "CARBOY_BIN names the carboy that is measured: use cargo xtask test");
    let mut bench = Command::new("unshare");
    bench.args(["--pid", "--mount", "--mount-proc", "--fork", "--kill-child"]).arg(env!("CARGO_BIN_EXE_xtask"));
    bench.arg("bench-see").args(carboy).arg(processes).output()
}

#[test]
fn a_crowd_is_looked_at_by_both_and_each_budget_has_its_line() {
    let output = measured("200").unwrap();
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{said}");
    let lines: Vec<&str> = text.lines().collect();
    let [lsns, by_proc, walked, all, memory] = lines.as_slice() else { panic!("{text}{said}") };
    assert!(lsns.starts_with("lsns of 200 processes: "), "{lsns}");
    assert!(by_proc.starts_with("carboy see --namespaces from /proc alone: "), "{by_proc}");
    assert!(walked.starts_with("carboy see --namespaces as it may: "), "{walked}");
    assert!(all.starts_with("carboy see --all, which asks more than lsns: "), "{all}");
    assert!(memory.contains(" MiB, within the budget of 24 MiB"), "{memory}");
}

#[test]
fn what_is_no_crowd_is_refused() {
    let output = measured("many").unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no number of processes"));
}
