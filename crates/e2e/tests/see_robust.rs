//! `see` where the host is unkind: processes that end while they are read, depths and names that nobody foresaw, viewers who may
//! see little, snapshots that lie.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use carboy_e2e::{Carboy, group, program};
use serde_json::{Value, json};

const NOBODY: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];

/// A shell that said that it is ready; killed at the end.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn snapshot(carboy: &Carboy) -> Value {
    let ended = carboy.run(["see", "--all", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

/// That nothing is there which a terminal obeys, or which breaks a line.
fn assert_harmless(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(text).unwrap();
        assert!(!text.chars().any(|one| one.is_control() && one != '\n'), "{text:?}");
    }
}

#[test]
fn no_process_of_a_storm_has_the_facts_of_another_one() {
    let carboy = Carboy::new();
    for name in ["storm-odd", "storm-even"] {
        assert!(Command::new("cp").arg("/bin/sleep").arg(carboy.folder().join(name)).status().unwrap().success());
    }
    let script = "cd $0; echo ready; while :; do for n in 1 2 3 4 5 6 7 8; do \
                  (exec -a storm-odd ./storm-odd 0.01) & (exec -a storm-even ./storm-even 0.01) & done; wait; done";
    let mut storm = Command::new("setpriv");
    storm.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--pid",
        "--mount-proc",
        "--fork",
        "--kill-child",
        "bash",
        "-c",
        script,
    ]);
    let storm = Running::start(storm.arg(carboy.folder()));
    let mut seen = 0;
    for _ in 0..4 {
        let snapshot = snapshot(&carboy);
        for facts in snapshot["processes"].as_array().unwrap().iter().map(|one| &one["facts"]) {
            let (Some(name), Some(first)) = (facts["name"].as_str(), facts["arguments"][0].as_str()) else { continue };
            if name.starts_with("storm-") {
                assert_eq!(name, first, "{facts}");
                seen += 1;
            }
        }
        assert!(!snapshot["blind"].to_string().contains("No such"), "{}", snapshot["blind"]);
    }
    drop(storm);
    println!("{seen} of the storm were seen alive");
}

/// Groups within each other, removed at the end.
struct Nest(Vec<PathBuf>);

impl Nest {
    fn make(top: &Path, name: &OsStr, depth: usize) -> Self {
        let mut nest = Self(vec![top.to_owned()]);
        fs::create_dir(top).unwrap();
        for _ in 1..depth {
            let next = nest.0.last().unwrap().join(name);
            fs::create_dir(&next).unwrap();
            nest.0.push(next);
        }
        nest
    }

    fn deepest(&self) -> &Path {
        self.0.last().unwrap()
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        for group in self.0.iter().rev() {
            // The kernel may still be taking leave of the process.
            for _ in 0..100 {
                if fs::remove_dir(group).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

/// A sleeper in a group.
fn sleeper_in(group: &Path) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && echo ready && exec sleep 1000"]).arg(group);
    Running::start(&mut command)
}

#[test]
fn five_hundred_groups_within_each_other_are_told_to_the_last() {
    let carboy = Carboy::new();
    let point = group::hierarchy("pids").point().to_owned();
    let top = point.join(format!("carboy-nest-{}", std::process::id()));
    // Nearly as long as a path can be.
    let nest = Nest::make(&top, OsStr::new("deepest"), 500);
    assert!(nest.deepest().as_os_str().len() > 3900);
    let sleeper = sleeper_in(nest.deepest());
    let path = format!("/{}", nest.deepest().strip_prefix(&point).unwrap().display());
    let snapshot = snapshot(&carboy);
    let groups = snapshot["groups"].as_array().unwrap();
    let at = groups.iter().position(|group| group["path"] == path.as_str()).unwrap();
    let above = std::iter::successors(Some(at), |at| usize::try_from(groups[*at]["parent"].as_u64()?).ok());
    assert_eq!(above.count(), 501, "with the root");
    for what in [&sleeper.pid(), &path] {
        let ended = carboy.run(["see", what]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{what}");
    }
    let compared = carboy.run(["compare", &sleeper.pid()]);
    assert_eq!((compared.code, compared.stderr.as_str()), (0, ""));
    drop(sleeper);
    drop(nest);
}

/// A name with escape codes, the other direction of writing, and what is no UTF-8.
const EVIL: &[u8] = b"evil\x1b[31m\x07\xff\xe2\x80\xae!";

#[test]
fn no_name_reaches_a_terminal_as_it_is() {
    let carboy = Carboy::new();
    let evil = OsStr::from_bytes(EVIL);
    let point = group::hierarchy("pids").point().to_owned();
    let top = point.join(OsString::from_vec([EVIL, std::process::id().to_string().as_bytes()].concat()));
    let nest = Nest::make(&top, evil, 2);
    let line = OsString::from_vec([EVIL, b"\nline\r\n"].concat());
    let folder = carboy.folder().join(&line);
    fs::create_dir(&folder).unwrap();
    // The name of the program, an argument, a group, a mount and a folder of the host.
    let script = "mount -t tmpfs none \"$1\"; echo $$ > \"$2/cgroup.procs\"; printf '%s' \"$3\" > /proc/self/comm; \
                  echo ready; read -r end < /proc/self/fd/3";
    let mut command = Command::new("unshare");
    let shell = format!("exec 3<>\"$4\"; {script}");
    let pipe = carboy.folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    command.args(["--mount", "--uts", "bash", "-c", &shell]).arg(&line).arg(&folder).arg(nest.deepest());
    let running = Running::start(command.arg(&line).arg(&pipe));
    let inside = format!("/{}", OsStr::from_bytes(EVIL).to_string_lossy());
    let words: Vec<Vec<OsString>> = vec![
        vec!["see".into(), "--all".into()],
        vec!["see".into(), "--namespaces".into()],
        vec!["see".into(), running.pid().into()],
        vec!["see".into(), folder.clone().into()],
        vec!["see".into(), inside.into()],
        vec!["see".into(), evil.to_owned()],
        vec!["compare".into(), running.pid().into()],
        vec!["see".into(), "--from".into(), folder.into()],
        vec!["see".into(), "--from".into(), line.clone()],
    ];
    let mut shown = 0;
    for words in words {
        for locale in ["C", "C.UTF-8"] {
            let output = carboy.command(&words).env("LC_ALL", locale).output().unwrap();
            assert!(output.status.code().is_some_and(|code| code < 3), "{words:?}: {output:?}");
            assert_harmless(&output);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!text.lines().any(|text| text.trim_start().starts_with("line")), "one line stays one: {text}");
            shown += text.matches("evil\\u{1b}").count();
        }
    }
    assert!(shown > 4, "the names are shown, {shown} times");
    let snapshot = snapshot(&carboy);
    let is_it = |one: &&Value| one["pid"] == running.0.id();
    let process = snapshot["processes"].as_array().unwrap().iter().find(is_it).unwrap();
    assert!(process["facts"]["name"].as_str().unwrap().starts_with("evil\u{1b}[31m\u{7}"), "{process}");
    let svg = carboy.command(["see", "--svg", "--all"]).output().unwrap();
    assert_harmless(&svg);
    drop(running);
    drop(nest);
}

/// carboy where anybody may execute it.
fn for_anybody(carboy: &Carboy) -> PathBuf {
    let copy = carboy.folder().join("carboy");
    fs::set_permissions(carboy.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("cp").arg(program()).arg(&copy).status().unwrap().success());
    copy
}

#[test]
fn whoever_may_see_little_is_told_what_that_is() {
    let carboy = Carboy::new();
    let program = for_anybody(&carboy);
    for words in [&["see"][..], &["see", "--all"], &["see", "--namespaces"]] {
        let output = Command::new("setpriv").args(NOBODY).arg(&program).args(words).output().unwrap();
        let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""), "{text}");
        let blind = text.lines().skip_while(|line| *line != "BLIND");
        assert!(blind.clone().count() > 1, "{words:?}: {text}");
        assert!(blind.skip(1).all(|line| line.starts_with("  ")), "at the end: {text}");
    }
    let output = Command::new("setpriv").args(NOBODY).arg(&program).args(["see", "--json"]).output().unwrap();
    let snapshot: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(snapshot["host"]["viewer"], 65534);
    assert_ne!(snapshot["blind"], json!([]));
}

#[test]
fn a_proc_that_hides_the_processes_of_others_is_told_of() {
    let carboy = Carboy::new();
    let program = for_anybody(&carboy);
    let script = "mount -t proc -o hidepid=invisible proc /proc && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" see \"$@\"";
    let see = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(&program).args(words).output().unwrap()
    };
    for words in [&["--all"][..], &["--namespaces"], &[]] {
        let output = see(words);
        let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""), "{text}");
        assert!(text.contains("BLIND") && text.contains("processes that /proc hides"), "{text}");
    }
    let snapshot: Value = serde_json::from_slice(&see(&["--json"]).stdout).unwrap();
    for process in snapshot["processes"].as_array().unwrap() {
        assert_eq!(process["facts"]["uids"][0], 65534, "{process}");
    }
}

#[test]
fn a_viewer_within_a_container_sees_what_is_there() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    fs::copy(program(), root.join("bin/carboy")).unwrap();
    for words in [&["see"][..], &["see", "--all"], &["see", "--namespaces"], &["see", "1"], &["compare", "1"]] {
        let run = ["run", "--rm", root.to_str().unwrap(), "/bin/carboy"];
        let ended = carboy.run(run.iter().chain(words));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}: {}", ended.stdout);
        assert!(!ended.stdout.is_empty(), "{words:?}");
    }
    let ended = carboy.run(["run", "--rm", root.to_str().unwrap(), "/bin/carboy", "see", "--json"]);
    let snapshot: Value = serde_json::from_str(&ended.stdout).unwrap();
    let pids: Vec<i64> =
        snapshot["processes"].as_array().unwrap().iter().map(|one| one["pid"].as_i64().unwrap()).collect();
    assert_eq!(pids, [1], "numbers are those of its own /proc");
}

/// Makes every number that points to a place point to none.
fn mislead(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_place = ["in", "to", "parent", "first", "container", "namespace"].contains(&name.as_str());
                if is_place && field.is_u64() {
                    *field = json!(4_000_000_000_u32);
                } else if ["processes", "groups"].contains(&name.as_str())
                    && field.as_array().is_some_and(|all| all.iter().all(Value::is_u64))
                {
                    *field = json!([4_000_000_000_u32, u64::MAX]);
                } else {
                    mislead(field);
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(mislead),
        _ => {}
    }
}

#[test]
fn a_snapshot_that_lies_is_refused_or_shown_and_nothing_breaks() {
    let carboy = Carboy::new();
    let mut command = Command::new("unshare");
    let running = Running::start(command.args(["--uts", "--net", "sh", "-c", "echo ready; exec sleep 1000"]));
    let whole = carboy.run(["see", "--json"]).stdout;
    let file = carboy.folder().join("host.json");
    let path = file.to_str().unwrap();
    let see = |text: &str, words: &[&str]| {
        fs::write(&file, text).unwrap();
        let ended = carboy.run(words.iter().chain(&["--from", path]));
        assert!(ended.code < 3 && !ended.stderr.contains("panic"), "{words:?}: {} {}", ended.code, ended.stderr);
        ended
    };
    for (text, reason) in [
        (whole.get(..whole.len() / 2).unwrap().to_owned(), "EOF"),
        (String::new(), "is no snapshot"),
        ("[]".to_owned(), "is no snapshot"),
        (whole.replacen("\"version\":1", "\"version\":9", 1), "has the form 9"),
        (whole.replacen("\"namespaces\":", "\"names\":", 1), "namespaces"),
        (whole.replacen("\"viewer\":0", "\"viewer\":\"root\"", 1), "host.viewer"),
        (whole.replacen("\"start_ticks\":", "\"start_ticks\":-", 1), "facts.start_ticks"),
    ] {
        let ended = see(&text, &["see"]);
        assert_eq!(ended.code, 1, "{reason}");
        assert!(ended.stderr.contains(path) && ended.stderr.contains(reason), "{reason}: {}", ended.stderr);
    }
    let mut lies: Value = serde_json::from_str(&whole).unwrap();
    mislead(&mut lies);
    let lies = lies.to_string();
    let pid = running.pid();
    for words in [
        &["see"][..],
        &["see", "--all"],
        &["see", "--namespaces"],
        &["see", "--json"],
        &["see", "--svg", "--all"],
        &["see", &pid],
        &["see", &pid, "--json"],
        &["see", "/"],
        &["see", ":80"],
        &["see", "uid:0"],
        &["see", "net:[4026531833]"],
        &["compare", &pid],
        &["compare", &pid, "1", "-v"],
        &["why", "--from", path, &pid],
        &["why", "--from", path, "--json", "/"],
    ] {
        see(&lies, words);
    }
    drop(running);
}
