//! The bench's worker as the process that it is.

use std::io::{Error, Result, Write};
use std::process::{Command, Stdio};

/// What the worker answers to one order.
fn answer(mode: &str, command: &[&str]) -> Result<String> {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_xtask"));
    worker
        .args(["bench-worker", mode, "--then"])
        .args(command)
        .arg("--then")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = worker.spawn()?;
    child.stdin.take().map(|mut orders| orders.write_all(b"run\n")).transpose()?;
    String::from_utf8(child.wait_with_output()?.stdout).map_err(Error::other)
}

/// Wall nanoseconds, CPU microseconds, peak bytes.
fn numbers(text: &str) -> [u64; 3] {
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or_default());
    [(); 3].map(|()| numbers.next().unwrap_or_default())
}

#[test]
fn the_cpu_time_of_a_process_left_behind_counts() {
    let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let text = answer("time", &["sh", "-c", &format!("({busy}) >/dev/null 2>&1 &")]).unwrap();
    let [wall_nanos, cpu_micros, peak_bytes] = numbers(&text);
    assert!(cpu_micros * 1000 > wall_nanos, "the loop goes on after the shell's end: {text}");
    assert_eq!(peak_bytes, 0);
}

#[test]
fn the_peak_is_that_of_the_largest_process_below() {
    let text = answer("memory", &["sh", "-c", "sleep 0.05; true"]).unwrap();
    let [_, _, peak_bytes] = numbers(&text);
    assert!(peak_bytes > 100 * 1024, "{text}");
}

#[test]
fn a_run_that_fails_is_told_as_such() {
    assert!(answer("time", &["false"]).unwrap().starts_with("failed: "));
}
