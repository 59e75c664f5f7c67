//! What there is, and what can be done with it by name: `ps`, `inspect`, `kill`, `rm`.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::Path;

use carboy_e2e::{Attended, Carboy, Ended, Person, eventually, says};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Says that it runs and waits to be told to end.
const WAIT: &str = "echo ready; read -r go; exit 5";

/// Starts a container with these flags; it waits.
fn waiting(carboy: &Carboy, flags: &[&str]) -> Attended {
    let root = carboy.busybox();
    let words = ["run", "-i"].into_iter().chain(flags.iter().copied());
    let words = words.chain([root.to_str().unwrap(), "sh", "-c", WAIT]);
    let mut container = Attended::start(&mut carboy.command(words));
    let line = container.line();
    assert_eq!(line, "ready", "{}", if line.is_empty() { container.end().stderr } else { line.clone() });
    container
}

fn tells(mut container: Attended) -> Ended {
    container.tell("go");
    container.end()
}

/// Runs a container to its end that is kept.
fn ended(carboy: &Carboy, name: &str, script: &str) -> Ended {
    let root = carboy.busybox();
    carboy.run(["run", "--name", name, root.to_str().unwrap(), "sh", "-c", script])
}

/// It was refused with one line that has these parts, by the exit code that Docker gives.
fn declines(ended: &Ended, code: i32, parts: &[&str]) {
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((ended.code, errors.len()), (code, 1), "{ended:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "no {part:?} in {}", ended.stderr);
    }
}

/// The rows of a table, below its heading.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let cells = |line| str::split(line, "   ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    table.lines().skip(1).map(cells).collect()
}

#[test]
fn ps_shows_what_runs_and_with_all_what_has_ended() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let heading = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "PID", "NAMES"];
    let none = says(&carboy, &["ps"]);
    let shown: Vec<&str> = none.trim_end().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(shown, heading);
    assert_eq!(says(&carboy, &["ps", "-a", "-q"]), "");

    assert_eq!(ended(&carboy, "first", "exit 3").code, 3);
    let second = waiting(&carboy, &["--name", "second"]);
    let id = |name| carboy.inspect(name)["Id"].as_str().unwrap()[..12].to_owned();
    let (first_id, second_id) = (id("first"), id("second"));
    let pid = carboy.inspect("second")["State"]["Pid"].to_string();

    let running = says(&carboy, &["ps"]);
    let shown = rows(&running);
    assert_eq!(shown.len(), 1, "{running}");
    assert_eq!(shown[0][..2], [second_id.as_str(), root.to_str().unwrap()]);
    assert!(shown[0][2].starts_with("\"sh -c 'echo ready;"), "{running}");
    assert!(shown[0][3].ends_with(" ago") && shown[0][4].starts_with("Up "), "{running}");
    assert_eq!(shown[0][5..], [pid.as_str(), "second"]);

    let all = says(&carboy, &["ps", "-a"]);
    let shown = rows(&all);
    // The newest first.
    assert_eq!((shown.len(), shown[0][6], shown[1][5]), (2, "second", "first"), "{all}");
    assert!(shown[1][4].starts_with("Exited (3) ") && shown[1][4].ends_with(" ago"), "{all}");
    assert_eq!(says(&carboy, &["ps", "-q"]), format!("{second_id}\n"));
    assert_eq!(says(&carboy, &["ps", "--all", "--quiet"]), format!("{second_id}\n{first_id}\n"));
    assert_eq!(says(&carboy, &["ps", "-aq"]), format!("{second_id}\n{first_id}\n"));

    assert_eq!(tells(second).code, 5);
    assert_eq!(says(&carboy, &["ps", "-q"]), "");
    assert_eq!(says(&carboy, &["rm", "first", &second_id]), format!("first\n{second_id}\n"));
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn inspect_is_a_document_with_docker_s_keys() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let flags = ["--name", "it", "--hostname", "inside", "-e", "A=1", "-w", "/tmp", "-u", "anna", "-m", "64m"];
    let container = waiting(&carboy, &flags);
    let document = carboy.inspect("it");
    let id = document["Id"].as_str().unwrap();
    assert!(id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    assert_eq!(document["Name"], "/it");
    assert_eq!(document["Image"], root.to_str().unwrap());
    assert_eq!((&document["Path"], &document["Args"]), (&"sh".into(), &serde_json::json!(["-c", WAIT])));
    let state = &document["State"];
    let expected = serde_json::json!({ "Status": "running", "Running": true, "ExitCode": 0, "OOMKilled": false });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&state[key], value, "{key}");
    }
    assert!(state["Pid"].as_i64().unwrap() > 1);
    for time in [&document["Created"], &state["StartedAt"]] {
        let time = time.as_str().unwrap();
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{time}");
    }
    let config = &document["Config"];
    assert_eq!(
        (&config["Hostname"], &config["User"], &config["Tty"]),
        (&"inside".into(), &"anna".into(), &false.into())
    );
    assert_eq!((&config["WorkingDir"], &config["Cmd"][0]), (&"/tmp".into(), &"sh".into()));
    assert!(config["Env"].as_array().unwrap().contains(&"A=1".into()));
    assert_eq!(document["HostConfig"]["AutoRemove"], false);
    assert!(document["CgroupPath"].as_str().unwrap().contains(id));
    // By its name, its id and a part of it: the same; several at once: in that order.
    assert_eq!(carboy.inspect(id), document);
    assert_eq!(carboy.inspect(&id[..9]), document);

    assert_eq!(tells(container).code, 5);
    let document = carboy.inspect("it");
    let state = &document["State"];
    assert_eq!((&state["Status"], &state["Running"], &state["Pid"]), (&"exited".into(), &false.into(), &0.into()));
    assert_eq!(state["ExitCode"], 5);
    assert!(state["FinishedAt"].as_str().unwrap() >= state["StartedAt"].as_str().unwrap(), "{state}");
    assert_eq!(document["Namespaces"], Value::Null);

    assert_eq!(ended(&carboy, "other", "exit 0").code, 0);
    let both: Vec<Value> = serde_json::from_str(&says(&carboy, &["inspect", "other", "it"])).unwrap();
    assert_eq!(both.iter().map(|one| &one["Name"]).collect::<Vec<_>>(), ["/other", "/it"]);
    let some = carboy.run(["inspect", "nothing", "it"]);
    declines(&some, 1, &["nothing", "neither a container's nor an image's"]);
    let some: Vec<Value> = serde_json::from_str(&some.stdout).unwrap();
    assert_eq!((some.len(), &some[0]["Name"]), (1, &"/it".into()));
    let none = carboy.run(["inspect", "nothing"]);
    declines(&none, 1, &["nothing", "neither a container's nor an image's"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&none.stdout).unwrap(), Vec::<Value>::new());
}

#[test]
fn inspect_says_the_namespaces_as_the_kernel_does() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["--rm", "--name", "it", "--net", "host", "--userns", "private"]);
    let document = carboy.inspect("it");
    let pid = &document["State"]["Pid"];
    let shown = document["Namespaces"].as_object().unwrap();
    assert_eq!(shown.len(), 8);
    for (kind, shown) in shown {
        let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string();
        assert_eq!(shown["Id"], link(&pid.to_string()));
        assert_eq!(shown["Host"], ["net", "time"].contains(&kind.as_str()), "{kind}");
    }
    assert_eq!(tells(container).code, 5);
}

#[test]
fn kill_ends_what_is_named_by_its_name_its_id_or_the_beginning_of_it() {
    let carboy = Carboy::new();
    let id = |name| carboy.inspect(name)["Id"].as_str().unwrap().to_owned();
    let containers = ["aa", "bb", "cc", "dd"].map(|name| waiting(&carboy, &["--rm", "--name", name]));
    let (id_bb, id_cc) = (id("bb"), id("cc"));
    assert_eq!(says(&carboy, &["kill", "aa", &id_bb, &id_cc[..10]]), format!("aa\n{id_bb}\n{}\n", &id_cc[..10]));
    let some = carboy.run(["kill", "nothing", "dd"]);
    declines(&some, 1, &["nothing", "no such container"]);
    assert_eq!(some.stdout, "dd\n");
    for container in containers {
        assert_eq!(container.end().code, 137);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn kill_sends_the_signal_that_is_named() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let wait = "trap 'exit 41' TERM; trap 'exit 42' USR1; trap 'exit 43' 40; echo ready; while :; do sleep 0.05; done";
    for (flags, code) in [
        (&["-s", "TERM"][..], 41),
        (&["--signal=SIGTERM"], 41),
        (&["-s", "15"], 41),
        (&["-s", "usr1"], 42),
        (&["--signal", "RTMIN+6"], 43),
        (&["-s", "KILL"], 137),
        (&[], 137),
    ] {
        let words = ["run", "--rm", "--name", "it", root.to_str().unwrap(), "sh", "-c", wait];
        let mut container = Attended::start(&mut carboy.command(words));
        assert_eq!(container.line(), "ready");
        assert_eq!(says(&carboy, &[&["kill"], flags, &["it"]].concat()), "it\n");
        assert_eq!(container.end().code, code, "{flags:?}");
    }
    let container = waiting(&carboy, &["--rm", "--name", "it"]);
    declines(&carboy.run(["kill", "-s", "NOTHING", "it"]), 125, &["--signal", "NOTHING"]);
    // The first process has no handler for it: as the init of its namespace it does not hear it.
    assert_eq!(says(&carboy, &["kill", "-s", "TERM", "it"]), "it\n");
    assert_eq!(tells(container).code, 5);
}

#[test]
fn what_does_not_run_cannot_be_killed() {
    let carboy = Carboy::new();
    assert_eq!(ended(&carboy, "it", "exit 0").code, 0);
    declines(&carboy.run(["kill", "it"]), 1, &["it", "is not running"]);
    declines(&carboy.run(["kill", "other"]), 1, &["other", "no such container"]);
    assert_eq!(carboy.run(["kill"]).code, 1);
}

#[test]
fn a_container_that_ended_is_kept_with_its_code_until_it_is_removed() {
    let carboy = Carboy::new();
    for (name, script, code) in [("good", "exit 0", 0), ("bad", "exit 77", 77), ("shot", "kill -9 $$; sleep 9", 0)] {
        let ended = ended(&carboy, name, if name == "shot" { "sh -c 'kill -9 $$'; exit $?" } else { script });
        let code = if name == "shot" { 137 } else { code };
        assert_eq!(ended.code, code);
        assert_eq!(carboy.inspect(name)["State"]["ExitCode"], code);
        assert!(says(&carboy, &["ps", "-a"]).contains(&format!("Exited ({code}) ")));
    }
    assert_eq!(says(&carboy, &["rm", "good", "bad", "shot"]), "good\nbad\nshot\n");
    assert_eq!(says(&carboy, &["ps", "-aq"]), "");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
    assert_eq!(fs::read_dir(carboy.folder().join("root/containers")).unwrap().count(), 0);
}

#[test]
fn what_runs_is_removed_only_by_force() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["--name", "it"]);
    declines(&carboy.run(["rm", "it"]), 1, &["it", "is running", "hint: ", "rm -f"]);
    assert_eq!(says(&carboy, &["rm", "-f", "it"]), "it\n");
    assert_eq!(container.end().code, 137);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
    declines(&carboy.run(["rm", "it"]), 1, &["it", "no such container"]);
    let some = waiting(&carboy, &["--rm", "--name", "some"]);
    let ended = carboy.run(["rm", "-f", "it", "some"]);
    declines(&ended, 0, &["it", "no such container"]);
    assert_eq!(ended.stdout, "some\n");
    assert_eq!(some.end().code, 137);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn the_beginning_of_two_ids_is_no_name() {
    let carboy = Carboy::new();
    // Seventeen ids of hexadecimal digits: two begin with the same.
    for number in 0..17 {
        assert_eq!(ended(&carboy, &format!("it{number}"), "exit 0").code, 0);
    }
    let listed = says(&carboy, &["ps", "-aq"]);
    let first = |id: &str| id[..1].to_owned();
    let mut seen = Vec::new();
    let shared = listed.lines().map(first).find(|digit| {
        seen.contains(digit) || {
            seen.push(digit.clone());
            false
        }
    });
    let shared = shared.unwrap();
    for command in [&["inspect"][..], &["rm"], &["rm", "-f"], &["kill"], &["exec"]] {
        let words = command.iter().copied().chain([shared.as_str()]).chain((command == ["exec"]).then_some("true"));
        let ended = carboy.run(words);
        assert_ne!(ended.code, 0);
        assert!(ended.stderr.contains("is the beginning of"), "{command:?}: {}", ended.stderr);
    }
    assert_eq!(listed.lines().count(), says(&carboy, &["ps", "-aq"]).lines().count());
    let all: Vec<&str> = ["rm"].into_iter().chain(listed.lines()).collect();
    assert_eq!(says(&carboy, &all), listed);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_name_stands_for_one_container() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let container = waiting(&carboy, &["--name", "it"]);
    let id = carboy.inspect("it")["Id"].as_str().unwrap()[..12].to_owned();
    let take = || carboy.run(["run", "--name", "it", root.to_str().unwrap(), "true"]);
    declines(&take(), 125, &["--name", "it", &id, "hint: "]);
    assert_eq!(tells(container).code, 5);
    declines(&take(), 125, &["--name", "it", &id, "hint: "]);
    assert_eq!(says(&carboy, &["ps", "-aq"]), format!("{id}\n"));
    assert_eq!(says(&carboy, &["rm", "it"]), "it\n");
    assert_eq!(take().code, 0);
    assert_eq!(says(&carboy, &["rm", "it"]), "it\n");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_name_that_is_claimed_twice_at_once_is_one_s() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let words = ["run", "--rm", "-i", "--name", "it", root.to_str().unwrap(), "sh", "-c", WAIT];
    let mut all: Vec<Attended> = (0..8).map(|_| Attended::start(&mut carboy.command(words))).collect();
    let mut winners: Vec<Attended> = Vec::new();
    for mut container in all.drain(..) {
        if container.line() == "ready" {
            winners.push(container);
        } else {
            declines(&container.end(), 125, &["--name", "it"]);
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(tells(winners.remove(0)).code, 5);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

fn pidfile(carboy: &Carboy) -> String {
    carboy.folder().join("pid").display().to_string()
}

/// The process that stays with a container: the parent of its first process. The command that asked for the container
/// knows of that when it has written the file.
fn monitor(carboy: &Carboy) -> Pid {
    let written = || fs::read_to_string(pidfile(carboy)).is_ok_and(|text| text.ends_with('\n'));
    eventually("the command knows of the process", written);
    fs::remove_file(pidfile(carboy)).unwrap();
    let first = carboy.inspect("it")["State"]["Pid"].as_i64().unwrap();
    let status = fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap()).unwrap()
}

#[test]
fn a_container_whose_monitor_is_killed_runs_on_and_its_end_is_seen() {
    let carboy = Carboy::new();
    for remove in [&[][..], &["--rm"]] {
        let container = waiting(&carboy, &[remove, &["--name", "it", "--pidfile", &pidfile(&carboy)]].concat());
        kill_process(monitor(&carboy), Signal::KILL).unwrap();
        let listed = says(&carboy, &["ps"]);
        assert!(listed.contains("Up ") && listed.contains(" it\n"), "{listed}");
        let seen = carboy.run(["exec", "it", "echo", "inside"]);
        assert_eq!((seen.code, seen.stdout.as_str(), seen.stderr.as_str()), (0, "inside\n", ""));
        let ended = tells(container);
        assert!(ended.stderr.contains("the monitor of it was killed"), "{}", ended.stderr);
        assert_eq!(ended.code, if tells_exit_codes() { 5 } else { 125 });
        if remove.is_empty() {
            assert!(says(&carboy, &["ps", "-a"]).contains("Exited (unknown)"), "nobody was there to write it down");
            assert_eq!(says(&carboy, &["rm", "it"]), "it\n");
        }
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
}

/// Whether the kernel tells the exit code of a process to who has a handle on it: since Linux 6.15.
fn tells_exit_codes() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn a_container_whose_monitor_is_killed_can_be_killed_and_removed() {
    let carboy = Carboy::new();
    for words in [&["kill", "it"][..], &["rm", "-f", "it"]] {
        let container = waiting(&carboy, &["--rm", "--name", "it", "--pidfile", &pidfile(&carboy)]);
        let group = carboy.inspect("it")["CgroupPath"].as_str().unwrap().trim_start_matches('/').to_owned();
        kill_process(monitor(&carboy), Signal::KILL).unwrap();
        declines(&carboy.run(["rm", "it"]), 1, &["is running"]);
        assert_eq!(says(&carboy, words), "it\n");
        let ended = container.end();
        assert_eq!(ended.code, if tells_exit_codes() { 137 } else { 125 });
        eventually("nothing is left", || carboy.left_behind().is_empty());
        assert!(!carboy_e2e::groups().iter().any(|path| path.ends_with(&group)));
    }
}

#[test]
fn a_terminal_works_on_when_the_monitor_is_killed_and_is_given_back() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let person = Person::new(24, 80);
    let before = person.settings();
    let pidfile = pidfile(&carboy);
    let flags = ["run", "--rm", "--name", "it", "--pidfile", &pidfile, "-it"];
    let words = flags.into_iter().chain([root.to_str().unwrap(), "sh", "-c", "echo i''s up; exec cat"]);
    let mut container = person.start(&carboy.command(words));
    container.sees("is up\r\n");
    kill_process(monitor(&carboy), Signal::KILL).unwrap();
    container.types("hello\n");
    container.sees("hello\r\nhello\r\n");
    container.types("\x04");
    let ended = container.end();
    assert_eq!(ended.code, if tells_exit_codes() { 0 } else { 125 }, "{}", ended.stdout);
    assert_eq!(person.settings(), before);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn folders_that_are_not_carboy_s_own_are_not_listed() {
    let carboy = Carboy::new();
    assert_eq!(says(&carboy, &["ps", "-aq"]), "");
    let other = Carboy::new();
    let container = waiting(&other, &["--rm", "--name", "it"]);
    assert_eq!(says(&carboy, &["ps", "-aq"]), "");
    for path in ["nothing/../it", "../names/it", other.folder().join("root/names/it").to_str().unwrap()] {
        declines(&other.run(["rm", path]), 1, &["no such container"]);
        declines(&other.run(["kill", path]), 1, &["no such container"]);
    }
    assert_eq!(tells(container).code, 5);
    assert!(Path::new("/proc/self").exists());
}

#[test]
fn rm_ends_what_runs_stands_still_or_is_started_again_side_by_side_and_tells_of_the_others() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let start = |name: &str, flags: &[&str], command: &[&str]| {
        let words = ["run", "-d", "--name", name].into_iter().chain(flags.iter().copied());
        let words = words.chain([root.to_str().unwrap()]).chain(command.iter().copied());
        let ended = carboy.run(words);
        assert_eq!(ended.code, 0, "{ended:?}");
    };
    for number in 0..70 {
        start(&format!("many{number}"), &[], &["sleep", "1000"]);
    }
    start("still", &[], &["sleep", "1000"]);
    says(&carboy, &["pause", "still"]);
    start("again", &["--restart", "always"], &["false"]);
    start("once", &["--rm"], &["sleep", "1000"]);
    start("over", &[], &["true"]);
    says(&carboy, &["wait", "over"]);

    let many: Vec<String> = (0..70).map(|number| format!("many{number}")).collect();
    let words = ["rm", "-f", "still", "again", "absent", "once", "over", "over"];
    let ended = carboy.run(words.into_iter().chain(many.iter().map(String::as_str)));
    let removed: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(ended.code, 1, "one that is named twice, {ended:?}");
    assert_eq!(removed.first_chunk(), Some(&["still", "again", "once", "over"]));
    assert_eq!(removed.len(), 4 + many.len());
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let [absent, twice] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(
        absent.contains("absent: no such") && twice.contains("over: its removal is already in progress"),
        "{errors:?}"
    );
    assert_eq!(says(&carboy, &["ps", "-a", "-q"]), "");

    start("over", &[], &["true"]);
    says(&carboy, &["wait", "over"]);
    declines(&carboy.run(["rm", "over", "over"]), 1, &["over: its removal is already in progress"]);
}
