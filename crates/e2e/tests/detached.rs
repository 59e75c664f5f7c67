//! `run -d` and `logs`: a container runs without whoever asked for it, and what it says is kept.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use carboy_e2e::{Carboy, Ended, eventually};

/// Starts a container of busybox that runs by itself, and gives its id.
fn detached(carboy: &Carboy, flags: &[&str], script: &str) -> String {
    let root = carboy.busybox();
    let words = ["run", "-d"].into_iter().chain(flags.iter().copied());
    let ended = carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", script]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let id = ended.stdout.trim_end().to_owned();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    id
}

fn logs(carboy: &Carboy, words: &[&str]) -> Ended {
    let ended = carboy.run(["logs"].iter().chain(words));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

#[test]
fn what_a_container_says_is_kept_and_can_be_followed_to_its_end() {
    let carboy = Carboy::new();
    let script =
        "echo one; echo wrong >&2; printf two; until [ -e /go ]; do sleep 0.05; done; echo; echo three; exit 3";
    let id = detached(&carboy, &["--name", "box"], script);
    let mut follower = carboy.command(["logs", "-f", "box"]);
    let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    assert!(carboy.run(["ps"]).stdout.contains(&id[..12]));
    assert_eq!(carboy.run(["exec", "box", "touch", "/go"]).code, 0);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(rest, ["two", "three"], "the last line came before the end");
    assert!(follower.wait().unwrap().success());
    assert_eq!(carboy.run(["wait", "box"]).stdout, "3\n");
    let all = logs(&carboy, &["box"]);
    assert_eq!((all.stdout.as_str(), all.stderr.as_str()), ("one\ntwo\nthree\n", "wrong\n"));
    assert_eq!(logs(&carboy, &["-f", &id]).stdout, all.stdout, "of one that has ended there is nothing to follow");
    assert_eq!(logs(&carboy, &["-n", "1", "box"]).stdout, "three\n");
    assert_eq!(logs(&carboy, &["--tail", "0", "box"]).stdout, "");
    assert_eq!(logs(&carboy, &["--tail", "all", "--since", "10m", "box"]).stdout, all.stdout);
    assert_eq!(logs(&carboy, &["--until", "1h", "box"]).stdout, "");
    let stamped = logs(&carboy, &["-t", "box"]).stdout;
    let (time, line) = stamped.lines().next().unwrap().split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.len() == 30 && time.ends_with('Z') && line == "one", "{stamped}");
    let (first, _) = time.split_once('.').unwrap();
    assert_eq!(logs(&carboy, &["--until", &format!("{first}Z"), "box"]).stdout, "");
    assert_eq!(carboy.run(["rm", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn who_follows_until_a_moment_leaves_then_though_nothing_is_said() {
    let carboy = Carboy::new();
    detached(&carboy, &["--name", "box"], "echo said; sleep 300");
    eventually("it has said something", || logs(&carboy, &["box"]).stdout == "said\n");
    let begun = Instant::now();
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(2);
    assert_eq!(logs(&carboy, &["-f", "--until", &format!("{:.3}", moment.as_secs_f64()), "box"]).stdout, "said\n");
    assert!(begun.elapsed() > Duration::from_millis(1_900) && begun.elapsed() < Duration::from_secs(60));
    assert_eq!(logs(&carboy, &["-f", "--until", "1h", "box"]).stdout, "");
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
}

#[test]
fn a_terminal_an_open_input_and_a_container_that_goes_when_it_ends_need_nobody_either() {
    let carboy = Carboy::new();
    detached(&carboy, &["-t", "--name", "terminal"], "test -t 1 && echo a terminal");
    assert_eq!(carboy.run(["wait", "terminal"]).stdout, "0\n");
    assert_eq!(logs(&carboy, &["terminal"]).stdout, "a terminal\r\n");
    detached(&carboy, &["-i", "--name", "open"], "cat; echo not reached");
    detached(&carboy, &["--name", "closed"], "cat; echo the input has ended");
    assert_eq!(carboy.run(["wait", "closed"]).stdout, "0\n");
    assert_eq!(logs(&carboy, &["closed"]).stdout, "the input has ended\n");
    assert_eq!(logs(&carboy, &["open"]).stdout, "");
    assert_eq!(carboy.run(["rm", "-f", "terminal", "open", "closed"]).code, 0);
    detached(&carboy, &["--rm", "--name", "passing"], "sleep 0.2; exit 4");
    assert_eq!(carboy.run(["wait", "passing"]).stdout, "4\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn one_that_cannot_start_is_told_and_nothing_is_left() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    for (command, code) in [("/no/such", 127), ("/etc/passwd", 126)] {
        let ended = carboy.run(["run", "-d", root.to_str().unwrap(), command]);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(command), "{}", ended.stderr);
    }
    for words in [
        ["--log-driver", "fluent"],
        ["--log-opt", "max-size"],
        ["--log-opt", "max-file=0"],
        ["--log-opt", "colour=red"],
    ] {
        let ended = carboy.run(["run", "-d", words[0], words[1], root.to_str().unwrap(), "true"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""), "{}", ended.stderr);
        assert!(ended.stderr.starts_with(&format!("error: cannot use {}", words[0])), "{}", ended.stderr);
    }
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_log_that_was_not_kept_is_no_empty_log_and_who_stays_is_logged_too() {
    let carboy = Carboy::new();
    detached(&carboy, &["--log-driver", "none", "--name", "silent"], "echo unheard");
    let root = carboy.busybox();
    assert_eq!(carboy.run(["run", "--name", "front", root.to_str().unwrap(), "echo", "seen"]).stdout, "seen\n");
    assert_eq!(logs(&carboy, &["front"]).stdout, "seen\n");
    for (name, hint) in [("silent", "--log-driver none"), ("nowhere", "ps -a")] {
        let ended = carboy.run(["logs", name]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{name}");
        assert!(ended.stderr.contains(name) && ended.stderr.contains(hint), "{}", ended.stderr);
    }
    assert_eq!(carboy.run(["wait", "silent"]).stdout, "0\n");
    assert_eq!(carboy.run(["rm", "silent", "front"]).code, 0);
}

#[test]
fn much_output_is_kept_whole_where_there_is_room_and_the_youngest_where_there_is_not() {
    let carboy = Carboy::new();
    let id = detached(&carboy, &["--name", "loud", "--log-opt", "max-size=100m"], "seq 60000; seq 60000 >&2");
    assert_eq!(carboy.run(["wait", "loud"]).stdout, "0\n");
    let all = logs(&carboy, &["loud"]);
    let expected: String = (1..=60_000).map(|number| format!("{number}\n")).collect();
    assert!(all.stdout == expected && all.stderr == expected, "{} of {}", all.stdout.len(), expected.len());
    let folder = carboy.folder().join("root/containers").join(id);
    assert!(!folder.join("output.json.1").exists());
    let flags = ["--name", "small", "--log-opt", "max-size=100k", "--log-opt", "max-file=2"];
    let id = detached(&carboy, &flags, "seq 20000");
    assert_eq!(carboy.run(["wait", "small"]).stdout, "0\n");
    let kept = logs(&carboy, &["small"]).stdout;
    assert!(expected.contains(&format!("\n{kept}")) && kept.ends_with("\n20000\n"), "{kept}");
    let folder = carboy.folder().join("root/containers").join(id);
    let sizes = ["output.json", "output.json.1"].map(|name| fs::metadata(folder.join(name)).unwrap().len());
    assert!(sizes.iter().all(|size| *size <= 100 << 10) && !folder.join("output.json.2").exists(), "{sizes:?}");
    assert_eq!(carboy.run(["rm", "loud", "small"]).code, 0);
}

#[test]
fn a_container_outlives_whoever_started_it_and_a_follower_sees_its_death() {
    let carboy = Carboy::new();
    detached(&carboy, &["--name", "box"], "while :; do echo tick; sleep 0.1; done");
    let mut follower = carboy.command(["logs", "-f", "--tail", "0", "box"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "tick");
    assert_eq!(carboy.run(["kill", "box"]).code, 0);
    let began = Instant::now();
    while lines.next().is_some() {}
    assert!(follower.wait().unwrap().success() && began.elapsed() < Duration::from_secs(20));
    assert_eq!(carboy.run(["wait", "box"]).stdout, "137\n");
    assert_eq!(carboy.run(["rm", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}
