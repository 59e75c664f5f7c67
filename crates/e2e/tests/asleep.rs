//! A monitor with nothing to do costs next to nothing, and misses nothing of what happens while it sleeps.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use carboy_e2e::{Carboy, eventually, says};

/// Starts a container of busybox and waits until its monitor sleeps; gives the monitor's PID.
fn asleep(carboy: &Carboy, flags: &[&str], script: &str) -> String {
    let root = carboy.busybox();
    let words = ["run", "-d"].iter().chain(flags).copied().chain([root.to_str().unwrap(), "sh", "-c", script]);
    let id = says(carboy, &words.collect::<Vec<_>>());
    sleeping(carboy, id.trim_end())
}

fn sleeping(carboy: &Carboy, id: &str) -> String {
    let pid = carboy.inspect(id)["State"]["Pid"].as_i64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    eventually("its monitor sleeps", || words_of(&monitor).starts_with("carboy-monitor asleep"));
    monitor
}

fn words_of(pid: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

/// The memory that is a process's own, in KiB: what is not a file's.
fn own_kib(pid: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_monitor_that_sleeps_has_next_to_no_memory_and_nothing_of_others_open() {
    let carboy = Carboy::new();
    let (mut end, handed) = std::io::pipe().unwrap();
    rustix::io::fcntl_setfd(&handed, rustix::io::FdFlags::empty()).unwrap();
    let monitor = asleep(&carboy, &["--name", "box"], "sleep 1000");
    drop(handed);
    end.read_to_end(&mut Vec::new()).unwrap();
    assert!(own_kib(&monitor) <= 40, "{} KiB", own_kib(&monitor));
    assert_eq!(fs::read_to_string(format!("/proc/{monitor}/comm")).unwrap(), "carboy-monitor\n");
    assert!(words_of(&monitor).starts_with("carboy-monitor asleep box "), "{}", words_of(&monitor));
    assert_eq!(
        says(&carboy, &["ps", "--format", "{{.Names}} {{.Status}}"]).split(' ').take(2).collect::<String>(),
        "boxUp"
    );
    assert_eq!(says(&carboy, &["system", "check"]), "");
    assert_eq!(says(&carboy, &["rm", "-f", "box"]), "box\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn what_is_written_typed_and_asked_for_wakes_it_and_its_end_is_told() {
    let carboy = Carboy::new();
    let monitor = asleep(&carboy, &["-i", "--name", "box"], "while read line; do echo heard $line; done; exit 7");
    let mut command = carboy.command(["attach", "box"]);
    let mut attached = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    attached.stdin.take().unwrap().write_all(b"one\n").unwrap();
    eventually("it is heard", || carboy.run(["logs", "box"]).stdout == "heard one\n");
    assert_eq!(says(&carboy, &["exec", "box", "sh", "-c", "echo told > /proc/1/fd/1; echo two"]), "two\n");
    eventually("it is kept", || carboy.run(["logs", "box"]).stdout == "heard one\ntold\n");
    assert_eq!(says(&carboy, &["kill", "--signal", "KILL", "box"]), "box\n");
    assert_eq!(attached.wait().unwrap().code(), Some(137));
    assert_eq!(carboy.inspect("box")["State"]["ExitCode"], 137);
    eventually("it has ended with its container", || !fs::exists(format!("/proc/{monitor}")).unwrap());
    assert_eq!(says(&carboy, &["rm", "box"]), "box\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn one_that_ends_while_its_monitor_sleeps_is_started_again_and_one_that_is_wanted_no_more_goes() {
    let carboy = Carboy::new();
    let flags = ["--restart", "on-failure:1", "--name", "again", "-m", "64m"];
    let monitor = asleep(&carboy, &flags, "echo run; trap 'exit 3' TERM; while :; do sleep 1000 & wait; done");
    let shot = ["kill", "--signal", "TERM", "again"];
    // It may be gone with the container.
    let inside = || carboy.run(["exec", "again", "kill", "-TERM", "1"]);
    inside();
    eventually("it runs again", || carboy.inspect("again")["RestartCount"] == 1);
    assert_eq!(sleeping(&carboy, "again"), monitor, "under the same monitor");
    inside();
    assert_eq!(says(&carboy, &["wait", "again"]), "3\n");
    assert_eq!(says(&carboy, &["logs", "again"]), "run\nrun\n");
    assert_eq!(carboy.run(shot).code, 1);
    asleep(&carboy, &["--rm", "--name", "gone"], "sleep 1000");
    assert_eq!(says(&carboy, &["stop", "-t", "0", "gone"]), "gone\n");
    eventually("it is gone", || carboy.run(["inspect", "gone"]).code == 1);
    assert_eq!(says(&carboy, &["rm", "again"]), "again\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn what_its_terminal_says_and_what_it_ran_out_of_outlast_the_sleep() {
    let carboy = Carboy::new();
    asleep(&carboy, &["-t", "--name", "terminal"], "sleep 4; tty; exit 4");
    asleep(&carboy, &["-m", "16m", "--memory-swap", "16m", "--name", "hungry"], "sleep 3; tail /dev/zero");
    assert_eq!(says(&carboy, &["wait", "terminal"]), "4\n");
    assert_eq!(says(&carboy, &["logs", "terminal"]), "/dev/pts/0\r\n");
    assert_eq!(says(&carboy, &["wait", "hungry"]), "137\n");
    assert_eq!(carboy.inspect("hungry")["State"]["OOMKilled"], true);
    assert_eq!(says(&carboy, &["rm", "terminal", "hungry"]), "terminal\nhungry\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}
