//! What happens to containers and volumes, as `events` tells it whoever does it, and what a container leaves behind when it
//! has ended.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use carboy_e2e::{Carboy, Person, eventually, made, says};
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
            "volume mount data",
            "container start",
            "container die",
            "volume unmount data",
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

#[test]
fn what_is_done_with_a_container_that_changes_nothing_of_it_is_told() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "one", "--label", "team=a"], "sleep 100");
    says(&carboy, &["top", "one"]);
    assert_eq!(carboy.run(["export", "one"]).code, 0);
    let file = carboy.folder().join("file");
    std::fs::write(&file, "hello").unwrap();
    says(&carboy, &["cp", file.to_str().unwrap(), "one:/tmp/file"]);
    assert_eq!(carboy.run(["cp", "one:/tmp/file", "-"]).code, 0);
    assert_eq!(carboy.run(["cp", "one:/nowhere", "-"]).code, 1);
    let format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.team}}";
    let told = events(&carboy, &["container=one"], format);
    let expected = ["create", "start", "top", "export", "extract-to-dir", "archive-path", "archive-path"];
    assert_eq!(told, expected.map(|action| format!("container {action} one a")));
    let person = Person::new(24, 80);
    let mut shell = person.start(&carboy.command(["exec", "-it", "one", "sh", "-c", "echo u''p; exec sleep 100"]));
    shell.sees("up\r\n");
    shell.types("\x10\x11");
    assert_eq!(shell.end().code, 0);
    let told = events(&carboy, &["event=exec_create", "event=exec_detach"], "{{.Action}} {{.Actor.Attributes.execID}}");
    let ids: Vec<&str> = told.iter().filter_map(|line| line.rsplit_once(' ')).map(|(_, id)| id).collect();
    assert!(told[1].starts_with("exec_detach ") && ids[0] == ids[1] && ids[0].len() == 64, "{told:?}");
    let diary = std::fs::read_to_string(diary_of(&carboy, "one")).unwrap();
    assert!(!diary.contains("\"top\"") && diary.contains("\"start\""), "{diary}");
    says(&carboy, &["rm", "-f", "one"]);
}

fn diary_of(carboy: &Carboy, name: &str) -> std::path::PathBuf {
    let id = carboy.inspect(name)["Id"].as_str().unwrap().to_owned();
    carboy.folder().join("root/containers").join(id).join("diary.json")
}

#[test]
fn the_size_of_a_terminal_and_who_leaves_it_are_told() {
    let carboy = Carboy::new();
    let person = Person::new(24, 80);
    let root = carboy.busybox().display().to_string();
    let words = ["run", "-it", "--name", "one", &root, "sh", "-c", "stty -echo; echo u''p; exec cat"];
    let mut shell = person.start(&carboy.command(words));
    shell.sees("up\r\n");
    person.resize(44, 122);
    let sizes = || events(&carboy, &["event=resize"], "{{.Actor.Attributes.height}}x{{.Actor.Attributes.width}}");
    eventually("the other size is told", || sizes().last().is_some_and(|last| last == "44x122"));
    assert_eq!(sizes()[0], "24x80");
    shell.types("\x10\x11");
    assert_eq!(shell.end().code, 0);
    let told = events(&carboy, &["event=attach", "event=detach"], "{{.Action}} {{.Actor.Attributes.name}}");
    assert_eq!(told, ["attach one", "detach one"]);
    says(&carboy, &["rm", "-f", "one"]);
}

#[test]
fn who_has_which_volume_mounted_is_told_at_every_run() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "--name", "one", "-v", "data:/data", "-v", "other:/other:ro"], "exit 0");
    says(&carboy, &["start", "one"]);
    says(&carboy, &["wait", "one"]);
    let id = carboy.inspect("one")["Id"].as_str().unwrap().to_owned();
    let form = "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}} {{index .Actor.Attributes \"read/write\"}} \
                {{.Actor.Attributes.destination}} {{.Actor.Attributes.container}}";
    let told = || events(&carboy, &["type=volume", "event=mount", "event=unmount"], form);
    let run = [
        format!("mount data local true /data {id}"),
        format!("mount other local false /other {id}"),
        format!("unmount data local  <no value> {id}"),
        format!("unmount other local  <no value> {id}"),
    ];
    eventually("both runs are told", || told().len() >= 8);
    assert_eq!(told(), [&run[..], &run[..]].concat());
    says(&carboy, &["rm", "one"]);
    says(&carboy, &["volume", "rm", "data", "other"]);
}

#[test]
fn what_a_prune_has_freed_is_told_of_each_kind() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "--name", "one"], "head -c 100000 /dev/zero > /file");
    says(&carboy, &["volume", "create", "data"]);
    for kind in ["container", "volume", "network", "image"] {
        let all = if kind == "volume" { &["-a"][..] } else { &[] };
        says(&carboy, &[&[kind, "prune", "-f"], all].concat());
    }
    let form = "{{.Type}} {{.Action}} {{.Actor.ID}}{{.Actor.Attributes.reclaimed}}";
    let told = events(&carboy, &["event=prune"], form);
    let bytes: u64 = told[0].strip_prefix("container prune ").unwrap().parse().unwrap();
    assert!((100_000..1_000_000).contains(&bytes), "{told:?}");
    assert_eq!(told[1..], ["volume prune 0", "network prune 0", "image prune 0"]);
    says(&carboy, &["system", "prune", "-f", "--volumes"]);
    let told = events(&carboy, &["event=prune"], "{{.Type}}");
    assert_eq!(told[4..], ["container", "network", "image", "volume"]);
    assert_eq!(carboy.left_behind(), [""; 0]);
}
