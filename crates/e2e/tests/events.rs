//! What happens to containers and volumes, as `events` tells it whoever does it, and what a container leaves behind when it
//! has ended.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use carboy_e2e::{Carboy, eventually, made, says};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn status(carboy: &Carboy, name: &str) -> String {
    carboy.inspect(name)["State"]["Status"].as_str().unwrap().to_owned()
}

/// All that has happened, as this template shows it.
fn events(carboy: &Carboy, filters: &[&str], format: &str) -> Vec<String> {
    let words = ["events", "--since", "1h", "--until", "0s", "--format", format];
    let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
    let told = says(carboy, &words.into_iter().chain(filters).collect::<Vec<_>>());
    told.lines().map(str::to_owned).collect()
}

/// Somebody who follows.
struct Follower {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follower {
    fn of(carboy: &Carboy, words: &[&str]) -> Self {
        let mut command = carboy.command(["events"].iter().chain(words));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let watches = || {
            let entries = std::fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
            entries
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .any(|at| at.ends_with("anon_inode:inotify"))
        };
        eventually("it follows", watches);
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_life_of_a_container_is_told_in_order_to_who_follows_and_who_comes_later() {
    let carboy = Carboy::new();
    let format = "{{.Action}} {{.Actor.Attributes.name}}";
    let mut follower = Follower::of(&carboy, &["--format", format, "--filter", "type=container"]);
    made(&carboy, &["run", "-d", "--name", "one", "--label", "team=a"], "sleep 100");
    says(&carboy, &["pause", "one"]);
    says(&carboy, &["unpause", "one"]);
    says(&carboy, &["exec", "one", "true"]);
    says(&carboy, &["rename", "one", "uno"]);
    says(&carboy, &["stop", "-t", "0", "uno"]);
    says(&carboy, &["restart", "-t", "0", "uno"]);
    says(&carboy, &["update", "--restart", "always", "uno"]);
    says(&carboy, &["rm", "-f", "uno"]);
    let expected = [
        "create one",
        "start one",
        "pause one",
        "unpause one",
        "exec_create: true one",
        "exec_start: true one",
        "exec_die one",
        "rename uno",
        "kill uno",
        "kill uno",
        "die uno",
        "stop uno",
        "start uno",
        "restart uno",
        "update uno",
        "kill uno",
        "die uno",
        "destroy uno",
    ];
    for line in expected {
        assert_eq!(follower.next(), line);
    }
    assert_eq!(events(&carboy, &["label=team=a"], format), expected);
    let details = "{{.Actor.Attributes.signal}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.oldName}}";
    let told = events(&carboy, &["event=kill", "event=die", "event=rename"], details);
    let none = "<no value>";
    let line = |words: [&str; 3]| words.join(" ");
    assert_eq!(told[0], line([none, none, "/one"]));
    assert_eq!(told[1..4], [line(["15", none, none]), line(["9", none, none]), line([none, "137", none])]);
}

#[test]
fn what_one_who_is_attached_and_what_volumes_bring_about_is_told_too() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "--rm", "--name", "one", "-v", "data:/data"], "exit 0");
    let root = carboy.busybox();
    assert_eq!(carboy.run(["run", "--name", "two", root.to_str().unwrap(), "nosuch"]).code, 127);
    says(&carboy, &["volume", "rm", "data"]);
    let told = events(&carboy, &[], "{{.Type}} {{.Action}} {{if eq .Type \"volume\"}}{{.Actor.ID}}{{end}}");
    let told: Vec<&str> = told.iter().map(|line| line.trim()).collect();
    assert_eq!(
        told,
        [
            "volume create data",
            "container create",
            "container attach",
            "container start",
            "container die",
            "container destroy",
            "container create",
            "container attach",
            "container destroy",
            "volume destroy data",
        ]
    );
    assert_eq!(events(&carboy, &["type=volume", "event=destroy"], "{{.ID}}{{.Actor.ID}}"), ["data"]);
    assert_eq!(events(&carboy, &["container=two"], "{{.Status}}"), ["create", "attach", "destroy"]);
    assert_eq!(events(&carboy, &["event=nothing"], "json"), [""; 0]);
    let document: Value = serde_json::from_str(&events(&carboy, &["event=die"], "json")[0]).unwrap();
    assert_eq!(
        (&document["from"], &document["Actor"]["Attributes"]["exitCode"]),
        (&root.to_str().unwrap().into(), &"0".into())
    );
    let text = says(&carboy, &["events", "--until", "0s", "--filter", "event=start"]);
    let id = document["id"].as_str().unwrap();
    assert!(text.contains(&format!(" container start {id} (image={}, name=one, pid=", root.display())), "{text}");
}

#[test]
fn one_that_is_started_again_by_itself_and_one_without_a_monitor_are_told_of() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "again", "--restart", "on-failure:1"], "exit 3");
    assert_eq!(says(&carboy, &["wait", "again"]), "3\n");
    let format = "{{.Action}} {{.Actor.Attributes.restartDelay}}";
    let told = events(&carboy, &[], format);
    let expected = ["create", "start", "die", "start", "die"].map(|action| format!("{action} <no value>"));
    assert_eq!(told[2], "die 100ms");
    assert_eq!(
        told.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line).collect::<Vec<_>>(),
        [0, 1, 3, 4].map(|at| &expected[at])
    );
    made(&carboy, &["run", "-d", "--name", "alone"], "sleep 100");
    let pid = carboy.inspect("alone")["State"]["Pid"].as_i64().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: i32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    eventually("it is alone", || carboy.run(["ps"]).stdout.contains("no monitor"));
    assert_eq!(carboy.run(["stop", "-t", "0", "alone"]).code, 0);
    let told = events(&carboy, &["container=alone"], "{{.Action}}");
    assert_eq!(told, ["create", "start", "kill", "kill", "die", "stop"]);
}

#[test]
fn twenty_who_change_something_at_once_lose_nothing_and_a_half_line_is_passed_over() {
    let carboy = Carboy::new();
    says(&carboy, &["volume", "create", "first"]);
    let journal = carboy.folder().join("root/events.json");
    let mut file = std::fs::OpenOptions::new().append(true).open(&journal).unwrap();
    std::io::Write::write_all(&mut file, b"\n{\"time\":\"2026-11-26T14:05:5").unwrap();
    let names: Vec<String> = (10..30).map(|number| format!("volume{number}")).collect();
    let made =
        names.iter().map(|name| carboy.command(["volume", "create", name]).stdout(Stdio::null()).spawn().unwrap());
    for mut child in made.collect::<Vec<_>>() {
        assert!(child.wait().unwrap().success());
    }
    let mut told = events(&carboy, &["event=create"], "{{.Actor.ID}}");
    told.sort();
    assert_eq!(told[0], "first");
    assert_eq!(told[1..], names);
}

#[test]
fn it_ends_at_a_moment_and_tells_what_cannot_be_asked_for() {
    let carboy = Carboy::new();
    let mut follower = Follower::of(&carboy, &["--since", "1m", "--until", &moment(1.0), "--format", "{{.Actor.ID}}"]);
    says(&carboy, &["volume", "create", "data"]);
    assert_eq!(follower.next(), "data");
    assert_eq!(follower.next(), "");
    assert!(follower.child.wait().unwrap().success());
    for (words, code, said) in [
        (&["--filter", "evnt=die"][..], 125, "did you mean event?"),
        (&["--format", "{{.Nothing}}"], 64, "the fields are Status"),
        (&["--since", "1m", "--until", "2m"], 125, "is before --since"),
        (&["web"], 125, "--filter container=web"),
    ] {
        let ended = carboy.run(["events"].iter().chain(words));
        assert!(ended.code == code && ended.stderr.contains(said), "{words:?}: {} {}", ended.code, ended.stderr);
    }
}

/// A moment from now on, in seconds since 1970.
fn moment(seconds: f64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{:.3}", now.as_secs_f64() + seconds)
}

#[test]
fn what_the_kernel_killed_is_told_while_it_runs_and_why_tells_its_story_and_what_it_cost() {
    let carboy = Carboy::new();
    let format = "{{.Action}} {{.Actor.Attributes.kills}} {{.Actor.Attributes.limit}} {{.Actor.Attributes.level}}";
    let until = moment(20.0);
    let mut follower = Follower::of(&carboy, &["--filter", "event=oom", "--format", format, "--until", &until]);
    let script = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>&1; while [ ! -e /told ]; do sleep 0.05; done; exit 3";
    made(&carboy, &["run", "-d", "--name", "eater", "-m", "32m"], script);
    let told = follower.next();
    let group = carboy.inspect("eater")["CgroupPath"].as_str().unwrap().to_owned();
    assert_eq!(told, format!("oom 1 33554432 {group}"));
    assert_eq!(status(&carboy, "eater"), "running", "it was told before it ended");
    says(&carboy, &["exec", "eater", "touch", "/told"]);
    assert_eq!(says(&carboy, &["wait", "eater"]), "3\n");
    assert_eq!(events(&carboy, &["event=oom", "event=die"], "{{.Action}}"), ["oom", "die"], "it is told once");
    let receipt = carboy.inspect("eater")["State"]["Receipt"].clone();
    let at_least = |field: &str, least: u64| receipt[field].as_u64().is_some_and(|number| number >= least);
    assert!(
        at_least("CPUUsec", 1000) && at_least("MemoryPeakBytes", 16 << 20) && at_least("RanUsec", 1000),
        "{receipt}"
    );
    assert!(at_least("ReadBytes", 0) && at_least("WrittenBytes", 0) && at_least("SentBytes", 0), "{receipt}");
    let why = carboy.run(["why", "eater"]).stdout;
    for part in [
        "created",
        "started, pid ",
        "killed for want of memory: 1 in all; cause /",
        "ended with 3",
        "ran ",
        "memory at most 3",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(carboy.run(["start", "eater"]).code, 0);
    assert_eq!(carboy.run(["kill", "eater"]).code, 0);
    says(&carboy, &["wait", "eater"]);
    let why = carboy.run(["why", "eater"]).stdout;
    assert!(why.contains("signal 9 was sent by carboy") && !why.contains("who sent a signal"), "{why}");
    says(&carboy, &["rm", "eater"]);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn one_that_is_held_back_is_told_of_once_with_the_level_whose_quota_ran_out() {
    let carboy = Carboy::new();
    let format = "{{.Action}} {{.Actor.Attributes.cpus}} {{.Actor.Attributes.level}}";
    let until = moment(25.0);
    let mut follower = Follower::of(&carboy, &["--filter", "event=throttled", "--format", format, "--until", &until]);
    made(&carboy, &["run", "-d", "--name", "busy", "--cpus", "0.2"], "while :; do :; done");
    let group = carboy.inspect("busy")["CgroupPath"].as_str().unwrap().to_owned();
    assert_eq!(follower.next(), format!("throttled 0.20 {group}"));
    says(&carboy, &["stop", "-t", "0", "busy"]);
    let throttled = carboy.inspect("busy")["State"]["Receipt"]["ThrottledUsec"].as_u64().unwrap();
    assert!(throttled > 100_000, "{throttled}");
}
