//! The clock is set while containers run, forward and back: what waits, waits as long as it was to, and what is told stays in
//! order. It sets the clock of the host: cargo xtask test --host v2.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::network::done;
use carboy_e2e::{Carboy, eventually, made, says};

const JUMPS: [&str; 3] = ["+1 day", "-1 day", "-1 day"];

/// Sets the clock by so much; of this machine alone.
fn jump(by: &str) {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(
        name.trim() == "machine" && std::path::Path::new("/carboy/job").exists(),
        "cargo xtask test --host v2 clock"
    );
    done(carboy_e2e::ended(Command::new("date").args(["-s", by])));
}

fn told(carboy: &Carboy, name: &str) -> String {
    done(carboy.run(["ps", "-a", "--filter", &format!("name={name}"), "--format", "{{.Status}}"]))
}

/// A field, or an attribute, of all events that have it: whatever the clock said then.
fn told_of(carboy: &Carboy, field: &str) -> Vec<String> {
    let text = std::fs::read_to_string(carboy.folder().join("root/events.json")).unwrap();
    let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of = |event: serde_json::Value| {
        let told = event["attributes"][field].as_str().or_else(|| event[field].as_str());
        told.map(str::to_owned)
    };
    events.filter_map(of).collect()
}

/// How many seconds it is said to be up.
fn up(carboy: &Carboy, name: &str) -> Option<u64> {
    let told = told(carboy, name);
    let span = told.strip_prefix("Up ")?;
    let words: Vec<&str> = span.split(' ').collect();
    match words.as_slice() {
        ["Less", "than", "a", "second", ..] => Some(0),
        [count, "second" | "seconds", ..] => count.parse().ok(),
        ["About", "a", "minute", ..] => Some(60),
        _ => None,
    }
}

/// How long something takes while the clock is set after a moment.
fn took(by: &str, what: impl FnOnce()) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            jump(by);
        });
        what();
    });
    began.elapsed()
}

#[test]
fn what_runs_is_up_as_long_as_it_is_and_what_has_ended_did_so_no_time_ago() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "box"], "sleep 1000");
    let root = carboy.busybox().display().to_string();
    assert_eq!(carboy.run(["run", "--name", "ended", &root, "sh", "-c", "exit 3"]).code, 3);
    let began = Instant::now();
    for by in JUMPS {
        jump(by);
        let (shown, most) = (up(&carboy, "box"), began.elapsed().as_secs() + 15);
        assert!(shown.is_some_and(|seconds| seconds <= most), "{by}: {} after {most}", told(&carboy, "box"));
        let told = says(&carboy, &["ps", "-a", "--format", "{{.Status}} {{.RunningFor}}"]);
        assert!(!told.contains('-'), "{told}");
        says(&carboy, &["why", "ended"]);
        says(&carboy, &["stats", "--no-stream", "box"]);
    }
    says(&carboy, &["rm", "-f", "box", "ended"]);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_stop_waits_as_long_as_it_is_to_and_a_wait_until_the_end() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "box"], "trap '' TERM; while :; do sleep 0.1; done");
    for by in JUMPS {
        let stopped = took(by, || drop(says(&carboy, &["stop", "-t", "3", "box"])));
        assert!((3..60).contains(&stopped.as_secs()), "{by}: {stopped:?}");
        says(&carboy, &["start", "box"]);
    }
    made(&carboy, &["run", "-d", "--name", "short"], "sleep 3; exit 7");
    let waited = took("-1 day", || assert_eq!(says(&carboy, &["wait", "short"]), "7\n"));
    assert!(waited.as_secs() < 60, "{waited:?}");
    says(&carboy, &["rm", "-f", "box", "short"]);
}

#[test]
fn who_is_started_again_waits_no_longer_and_a_check_is_made_as_often() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--restart", "always", "--name", "again"], "exit 1");
    let checked = ["run", "-d", "--name", "box", "--health-interval", "1s", "--health-cmd", "echo x >> /checks; true"];
    made(&carboy, &checked, "sleep 1000");
    let starts = || carboy.inspect("again")["RestartCount"].as_u64().unwrap();
    let checks = || carboy.run(["exec", "box", "cat", "/checks"]).stdout.lines().count();
    for by in ["+1 day", "-1 day"] {
        let (started, looked) = (starts(), checks());
        jump(by);
        let began = Instant::now();
        eventually("it is started again, and checked", || starts() > started && checks() > looked + 2);
        assert!(began.elapsed() < Duration::from_secs(120), "{by}: {:?}", began.elapsed());
        assert!(checks() < looked + 60, "{by}: not all at once");
    }
    assert_eq!(carboy.inspect("box")["State"]["Health"]["Status"], "healthy");
    says(&carboy, &["rm", "-f", "again", "box"]);
}

#[test]
fn what_was_written_stays_in_order_and_who_follows_sees_all_of_it() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "box"], "n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done");
    let mut follow = carboy.command(["logs", "-f", "box"]).stdout(Stdio::piped()).spawn().unwrap();
    for by in JUMPS {
        std::thread::sleep(Duration::from_millis(700));
        jump(by);
    }
    std::thread::sleep(Duration::from_millis(700));
    let latest = says(&carboy, &["logs", "--since", "500ms", "box"]);
    says(&carboy, &["kill", "box"]);
    let mut followed = String::new();
    std::io::Read::read_to_string(&mut follow.stdout.take().unwrap(), &mut followed).unwrap();
    assert!(follow.wait().unwrap().success());
    let all = says(&carboy, &["logs", "box"]);
    assert_eq!(followed, all);
    let expected: String = (1..=all.lines().count()).map(|number| format!("{number}\n")).collect();
    assert_eq!(all, expected);
    assert!(!latest.is_empty(), "what was just written is there");
    let actions: Vec<String> = told_of(&carboy, "action");
    assert_eq!(actions, ["create", "start", "kill", "die"], "by who follows they are seen in this order");
    says(&carboy, &["rm", "box"]);
}

#[test]
fn how_long_it_ran_is_told_by_what_was_measured() {
    let carboy = Carboy::new();
    for by in JUMPS {
        made(&carboy, &["run", "-d", "--name", "box"], "sleep 2");
        took(by, || drop(says(&carboy, &["wait", "box"])));
        let ran = carboy.inspect("box")["State"]["Receipt"]["RanUsec"].as_u64().unwrap();
        assert!((2_000_000..60_000_000).contains(&ran), "{by}: {ran}");
        let seconds: Vec<String> = told_of(&carboy, "execDuration");
        let is_right = |told: &String| (2..60).contains(&told.parse::<u64>().unwrap());
        assert!(!seconds.is_empty() && seconds.iter().all(is_right), "{by}: {seconds:?}");
        says(&carboy, &["rm", "box"]);
    }
}

#[test]
fn who_follows_events_until_a_moment_ends_then_although_the_clock_was_wrong_meanwhile() {
    let carboy = Carboy::new();
    let until = done(carboy_e2e::ended(Command::new("date").args(["-d", "+4 seconds", "+%s"])));
    let began = Instant::now();
    let follow = carboy.command(["events", "--until", &until]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    jump("-1 day");
    says(&carboy, &["volume", "create", "data"]);
    std::thread::sleep(Duration::from_millis(500));
    jump("+1 day");
    let told = follow.wait_with_output().unwrap();
    assert!((2..60).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(String::from_utf8(told.stdout).unwrap().contains("volume create data"));
    says(&carboy, &["volume", "rm", "data"]);
}
