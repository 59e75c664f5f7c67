//! A container's life beyond one run: made, started, started again by itself or by hand, joined by others, and going on
//! when its monitor is killed.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use carboy_e2e::{Carboy, eventually, made, says};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn status(carboy: &Carboy, name: &str) -> String {
    carboy.inspect(name)["State"]["Status"].as_str().unwrap().to_owned()
}

/// Runs a command with this for standard input.
fn typed(carboy: &Carboy, words: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = carboy.command(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The process that takes care of a container.
fn monitor(carboy: &Carboy, name: &str) -> Pid {
    let pid = carboy.inspect(name)["State"]["Pid"].as_i64().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap();
    Pid::from_raw(parent.parse().unwrap())
}

#[test]
fn one_that_is_made_is_started_as_often_as_is_asked_for_and_keeps_what_it_wrote() {
    let carboy = Carboy::new();
    let id = made(&carboy, &["create", "--name", "box"], "echo run >> /log; cat /log; exit 3");
    assert_eq!((id.len(), status(&carboy, "box").as_str()), (65, "created"));
    assert_eq!(says(&carboy, &["wait", "box"]), "0\n");
    assert_eq!(says(&carboy, &["logs", "box"]), "", "it has said nothing yet");
    assert_eq!(says(&carboy, &["start", "box"]), "box\n");
    assert_eq!(says(&carboy, &["wait", "box"]), "3\n");
    let ended = carboy.run(["start", "-a", "box"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, "run\nrun\n"));
    assert_eq!(says(&carboy, &["logs", "box"]), "run\nrun\nrun\n");
    assert_eq!(says(&carboy, &["rm", "box"]), "box\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn one_that_is_named_twice_is_removed_once_and_the_second_name_is_refused() {
    let carboy = Carboy::new();
    for command in ["run", "create"] {
        let make: &[&str] = if command == "run" { &["run", "-d"] } else { &["create"] };
        let id = made(&carboy, &[make, &["--name", "bb"]].concat(), "sleep 300");
        let removed = carboy.run(["rm", "-f", "bb", id.trim(), "nosuch"]);
        assert_eq!((removed.code, removed.stdout.as_str()), (1, "bb\n"), "{}", removed.stderr);
        let told = format!("the container {}: its removal is already in progress", id.trim());
        assert!(removed.stderr.contains(&told), "{}", removed.stderr);
        assert!(removed.stderr.contains("the container nosuch: no such container"), "{}", removed.stderr);
    }
    let events = says(&carboy, &["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"]);
    assert_eq!(events.lines().filter(|action| *action == "kill").count(), 1, "{events}");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn who_is_attached_types_sees_and_ends_as_the_container_does() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "-i", "--name", "open"], "cat; exit 4");
    made(&carboy, &["create", "-i", "--name", "once"], "cat; echo bad >&2; exit 5");
    assert_eq!(typed(&carboy, &["start", "-ai", "once"], "through\n"), (Some(5), "through\n".to_owned()));
    // Of one that stays open to whoever comes, the input does not end with the first.
    let mut command = carboy.command(["attach", "open"]);
    let mut first = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut second = carboy.command(["attach", "--no-stdin", "open"]).stdout(Stdio::piped()).spawn().unwrap();
    first.stdin.take().unwrap().write_all(b"heard\n").unwrap();
    eventually("it is heard", || carboy.run(["logs", "open"]).stdout == "heard\n");
    assert_eq!(status(&carboy, "open"), "running");
    assert_eq!(says(&carboy, &["stop", "-t", "0", "open"]), "open\n");
    assert_eq!(first.wait().unwrap().code(), Some(137));
    assert_eq!(second.wait().unwrap().code(), Some(137));
    let ended = carboy.run(["attach", "open"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("is not running"), "{}", ended.stderr);
    assert_eq!(carboy.run(["rm", "open", "once"]).code, 0);
}

#[test]
fn an_end_that_the_policy_is_for_is_followed_by_a_start_until_it_is_stopped() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--restart", "on-failure:2", "--name", "failing"], "echo run; exit 7");
    assert_eq!(says(&carboy, &["wait", "failing"]), "7\n");
    assert_eq!(says(&carboy, &["logs", "-f", "failing"]), "run\nrun\nrun\n");
    assert_eq!(carboy.inspect("failing")["RestartCount"], 2);
    made(&carboy, &["run", "-d", "--restart", "on-failure", "--name", "well"], "exit 0");
    assert_eq!(says(&carboy, &["wait", "well"]), "0\n");
    assert_eq!(carboy.inspect("well")["RestartCount"], 0);
    made(&carboy, &["run", "-d", "--restart", "always", "--name", "always"], "echo run; exit 0");
    eventually("it is between two runs", || {
        status(&carboy, "always") == "restarting" && carboy.inspect("always")["RestartCount"].as_u64() > Some(2)
    });
    let refused = carboy.run(["rm", "always"]);
    assert!(refused.code == 1 && refused.stderr.contains("is restarting"), "{}", refused.stderr);
    assert_eq!(says(&carboy, &["kill", "always"]), "always\n", "it wants no other run");
    eventually("it has ended", || status(&carboy, "always") == "exited");
    assert_eq!(says(&carboy, &["start", "always"]), "always\n");
    eventually("its policy holds anew", || carboy.inspect("always")["RestartCount"].as_u64() > Some(0));
    assert_eq!(says(&carboy, &["stop", "always"]), "always\n");
    assert_eq!(status(&carboy, "always"), "exited");
    made(&carboy, &["run", "-d", "--restart", "unless-stopped", "--name", "killed"], "sleep 1000");
    assert_eq!(says(&carboy, &["kill", "killed"]), "killed\n");
    assert_eq!(says(&carboy, &["wait", "killed"]), "137\n");
    let mut shot = carboy.inspect("killed");
    assert_eq!((shot["State"]["Status"].take(), shot["RestartCount"].take()), ("exited".into(), 0.into()));
    assert_eq!(carboy.run(["rm", "failing", "well", "always", "killed"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_check_finds_what_is_not_as_it_should_be_and_repairs_it() {
    let carboy = Carboy::new();
    assert_eq!(says(&carboy, &["system", "check"]), "");
    let script = "n=0; while [ $n -lt 60 ]; do n=$((n+1)); echo $n; sleep 0.02; done; exit 3";
    made(&carboy, &["run", "-d", "--name", "box"], script);
    eventually("it has begun", || carboy.run(["logs", "box"]).stdout.contains('1'));
    kill(monitor(&carboy, "box"), Signal::SIGKILL).unwrap();
    eventually("it is seen", || carboy.run(["ps"]).stdout.contains("(no monitor)"));
    let (folder, name) = (carboy.folder().join("root/containers/lost"), carboy.folder().join("root/names/nobodys"));
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("gone", &name).unwrap();
    let found = carboy.run(["system", "check"]);
    assert_eq!((found.code, found.stdout.lines().count()), (1, 3), "{}", found.stdout);
    assert!(["box runs without", "/lost is the", "nobodys points"].iter().all(|part| found.stdout.contains(part)));
    let repaired = says(&carboy, &["system", "check", "--repair"]);
    assert_eq!((repaired.lines().count(), folder.exists(), name.exists()), (3, false, false), "{repaired}");
    assert!(repaired.contains("it has a monitor again"), "{repaired}");
    assert!(!carboy.run(["ps"]).stdout.contains("(no monitor)"));
    assert_eq!(says(&carboy, &["wait", "box"]), "3\n", "its exit code is had by whom the kernel tells it");
    let expected: String = (1..=60).map(|number| format!("{number}\n")).collect();
    assert_eq!(says(&carboy, &["logs", "box"]), expected, "nothing of what it said meanwhile is lost");
    assert_eq!(says(&carboy, &["system", "check"]), "");
    assert_eq!(says(&carboy, &["rm", "box"]), "box\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn who_ends_and_begins_all_the_time_is_stopped_and_removed_at_any_moment() {
    let carboy = Carboy::new();
    for round in 0..24_u64 {
        made(&carboy, &["run", "-d", "--restart", "always", "--name", "box"], "exit 0");
        std::thread::sleep(Duration::from_millis(round * 37 % 160));
        if round % 2 == 0 {
            assert_eq!(says(&carboy, &["stop", "-t", "0", "box"]), "box\n");
            assert_eq!(status(&carboy, "box"), "exited");
            assert_eq!(says(&carboy, &["rm", "box"]), "box\n");
        }
        assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
        assert_eq!(carboy.left_behind(), [""; 0]);
    }
}

#[test]
fn one_whose_monitor_is_killed_between_two_runs_has_ended() {
    let carboy = Carboy::new();
    let id = made(&carboy, &["run", "-d", "--restart", "always", "--name", "box"], "exit 9");
    let live = carboy.folder().join("run").join(id.trim_end()).join("live.json");
    eventually("it is between two runs", || {
        carboy.inspect("box")["RestartCount"].as_u64() > Some(3) && status(&carboy, "box") == "restarting"
    });
    let live: serde_json::Value = serde_json::from_slice(&std::fs::read(live).unwrap()).unwrap();
    let monitor = i32::try_from(live["monitor"]["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    eventually("it has ended", || status(&carboy, "box") == "exited");
    assert_eq!(carboy.inspect("box")["State"]["ExitCode"], 9);
    assert_eq!(says(&carboy, &["start", "box"]), "box\n");
    assert_eq!(says(&carboy, &["rm", "-f", "box"]), "box\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_restart_is_a_stop_and_a_start_of_one_that_runs_or_has_ended() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "box"], "trap 'echo bye; exit 0' TERM; echo up; sleep 1000 & wait");
    eventually("it is up", || carboy.run(["logs", "box"]).stdout == "up\n");
    assert_eq!(says(&carboy, &["restart", "box"]), "box\n");
    eventually("it is up again", || carboy.run(["logs", "box"]).stdout == "up\nbye\nup\n");
    assert_eq!(says(&carboy, &["stop", "box"]), "box\n");
    assert_eq!(says(&carboy, &["restart", "box"]), "box\n");
    assert_eq!(status(&carboy, "box"), "running");
    assert_eq!(says(&carboy, &["start", "box"]), "box\n", "one that runs is started already");
    let ended = carboy.run(["restart", "-t", "0", "nowhere", "box"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "box\n"));
    assert!(ended.stderr.contains("nowhere"), "{}", ended.stderr);
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
    // One that would go when it ends stays, with what it wrote, until it ends for another reason.
    for kill_its_monitor in [false, true] {
        made(&carboy, &["run", "-d", "--rm", "--name", "brief"], "echo run >> /runs; exec sleep 1000");
        eventually("it runs", || carboy.run(["exec", "brief", "cat", "/runs"]).stdout == "run\n");
        if kill_its_monitor {
            kill(monitor(&carboy, "brief"), Signal::SIGKILL).unwrap();
        }
        assert_eq!(says(&carboy, &["restart", "-t", "0", "brief"]), "brief\n");
        eventually("it runs again", || carboy.run(["exec", "brief", "cat", "/runs"]).stdout == "run\nrun\n");
        assert_eq!(says(&carboy, &["stop", "-t", "0", "brief"]), "brief\n");
        assert_eq!(carboy.run(["inspect", "brief"]).code, 1);
    }
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn one_whose_monitor_is_killed_runs_on_is_shown_so_and_is_stopped_and_started_as_any() {
    let carboy = Carboy::new();
    let script = "trap 'exit 6' TERM; while :; do echo tick; sleep 0.05; done";
    made(&carboy, &["run", "-d", "--restart", "always", "--name", "box"], script);
    eventually("it runs", || carboy.run(["logs", "box"]).stdout.contains("tick"));
    kill(monitor(&carboy, "box"), Signal::SIGKILL).unwrap();
    eventually("it is seen", || carboy.run(["ps"]).stdout.contains("(no monitor)"));
    let pid = carboy.inspect("box")["State"]["Pid"].clone();
    // Who writes to nobody is not hurt by it.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(carboy.inspect("box")["State"]["Pid"], pid);
    let refused = carboy.run(["attach", "--no-stdin", "box"]);
    assert!(refused.code == 1 && refused.stderr.contains("without a monitor"), "{}", refused.stderr);
    assert_eq!(says(&carboy, &["stop", "box"]), "box\n");
    assert_eq!(carboy.inspect("box")["State"]["ExitCode"], 6);
    assert_eq!(says(&carboy, &["start", "box"]), "box\n");
    kill(monitor(&carboy, "box"), Signal::SIGKILL).unwrap();
    assert_eq!(says(&carboy, &["restart", "box"]), "box\n");
    assert!(!carboy.run(["ps"]).stdout.contains("(no monitor)"));
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn when_the_host_begins_anew_those_run_that_are_to() {
    let carboy = Carboy::new();
    for (name, policy) in
        [("ever", "always"), ("halted", "always"), ("kept", "unless-stopped"), ("left", "unless-stopped"), ("no", "no")]
    {
        made(&carboy, &["run", "-d", "--restart", policy, "--name", name], "exec sleep 1000");
    }
    assert_eq!(carboy.run(["stop", "-t", "0", "halted", "left"]).code, 0);
    for name in ["ever", "kept", "no"] {
        let pid = Pid::from_raw(carboy.inspect(name)["State"]["Pid"].as_i64().unwrap().try_into().unwrap());
        kill(monitor(&carboy, name), Signal::SIGKILL).unwrap();
        kill(pid, Signal::SIGKILL).unwrap();
        eventually("it is gone", || status(&carboy, name) == "exited");
    }
    assert_eq!(says(&carboy, &["boot"]), "ever\nhalted\nkept\n");
    assert_eq!(says(&carboy, &["boot"]), "");
    let running = says(&carboy, &["ps", "--format", "{{.Names}}"]);
    assert_eq!(running, "kept\nhalted\never\n");
    assert_eq!(says(&carboy, &["update", "--restart", "no", "ever"]), "ever\n");
    assert_eq!(carboy.inspect("ever")["HostConfig"]["RestartPolicy"]["Name"], "no");
    assert_eq!(carboy.run(["rm", "-f", "ever", "halted", "kept", "left", "no"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn what_cannot_be_started_again_stays_as_it_was_and_the_reason_is_told() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "other"], "sleep 1000");
    made(&carboy, &["create", "--name", "joined", "--net", "container:other"], "exit 8");
    assert_eq!(carboy.run(["rm", "-f", "other"]).code, 0);
    for words in [&["start", "joined"][..], &["start", "-a", "joined"], &["restart", "joined"]] {
        let refused = carboy.run(words);
        assert!(refused.code == 1 && refused.stderr.contains("other"), "{words:?}: {}", refused.stderr);
        assert_eq!(status(&carboy, "joined"), "created");
    }
    made(&carboy, &["run", "-d", "--name", "other"], "sleep 1000");
    assert_eq!(carboy.run(["start", "-a", "joined"]).code, 8, "it joins whoever has the name now");
    for flags in [["--restart", "always"], ["--restart", "on-failure:1"]] {
        let root = carboy.busybox();
        let words = ["run", "--rm"].into_iter().chain(flags).chain([root.to_str().unwrap(), "true"]);
        let refused = carboy.run(words);
        assert!(refused.code == 125 && refused.stderr.contains("contradicts --rm"), "{}", refused.stderr);
    }
    assert_eq!(carboy.run(["rm", "-f", "other", "joined"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_monitor_that_is_asked_to_end_ends_its_container_which_runs_again_with_the_host() {
    let carboy = Carboy::new();
    let heeds = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done";
    made(&carboy, &["run", "-d", "--restart", "always", "--name", "heeds"], heeds);
    made(&carboy, &["run", "-d", "--stop-timeout", "1", "--name", "deaf"], "trap '' TERM; sleep 1000; exit 9");
    made(&carboy, &["run", "-d", "--restart", "always", "--name", "between"], "exit 5");
    eventually("it is up", || carboy.run(["logs", "heeds"]).stdout == "up\n");
    for name in ["heeds", "deaf"] {
        kill(monitor(&carboy, name), Signal::SIGTERM).unwrap();
    }
    assert_eq!(says(&carboy, &["wait", "heeds", "deaf"]), "3\n137\n");
    assert_eq!(says(&carboy, &["logs", "heeds"]), "up\nbye\n");
    assert_eq!(carboy.inspect("heeds")["RestartCount"], 0);
    eventually("a monitor waits for the next run", || status(&carboy, "between") == "restarting");
    eventually("it is asked to end", || {
        let folder = carboy.inspect("between")["Id"].as_str().unwrap().to_owned();
        let live = std::fs::read(carboy.folder().join("run").join(folder).join("live.json")).unwrap_or_default();
        let live: serde_json::Value = serde_json::from_slice(&live).unwrap_or_default();
        live["monitor"]["pid"]
            .as_i64()
            .is_some_and(|pid| kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGTERM).is_ok())
    });
    eventually("it has ended", || status(&carboy, "between") == "exited");
    assert_eq!(carboy.run(["boot"]).code, 0);
    assert_eq!((status(&carboy, "heeds").as_str(), status(&carboy, "deaf").as_str()), ("running", "exited"));
    assert_eq!(carboy.run(["rm", "-f", "heeds", "deaf", "between"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}
