//! containerd's own client with carboy-runtime as `--runc-binary`: a container's life, limits, a restart of containerd,
//! and groups that somebody has frozen.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::engine::{Daemon, Engine};
use carboy_e2e::{Attended, Ended, Person, eventually};
use rustix::process::Signal;

/// A containerd of its own, with an image.
struct Containerd {
    engine: Engine,
    daemon: Option<Daemon>,
}

const IMAGE: &str = "docker.io/library/probe:latest";

impl Containerd {
    fn new() -> Self {
        let engine = Engine::new();
        let folder = engine.folder().display();
        let config = format!(
            "version = 2\nroot = '{folder}/root'\nstate = '{folder}/state'\n[grpc]\naddress = '{folder}/socket'\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nrestrict_oom_score_adj = true\n"
        );
        fs::write(engine.path("config.toml"), config).unwrap();
        let mut containerd = Self { engine, daemon: None };
        containerd.start();
        containerd.told(&["images", "import", &containerd.engine.image()]);
        containerd
    }

    fn start(&mut self) {
        self.daemon = Some(self.engine.daemon(["containerd", "--config", &self.engine.path("config.toml")]));
        eventually("containerd answers", || self.run(&["version"]).code == 0);
    }

    fn command(&self, words: &[&str]) -> Command {
        let socket = self.engine.path("socket");
        self.engine.command([&["timeout", "--foreground", "60", "ctr", "--address", &socket], words].concat())
    }

    fn run(&self, words: &[&str]) -> Ended {
        carboy_e2e::ended(&mut self.command(words))
    }

    /// What a command that succeeds says.
    fn told(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
        ended.stdout.trim_end().to_owned()
    }

    /// The words that run a container with this runtime.
    fn words<'w>(&'w self, runtime: &'w str, group: &'w str, flags: &[&'w str], command: &[&'w str]) -> Vec<&'w str> {
        let with = ["run", "--runtime", "io.containerd.runc.v2", "--runc-binary", runtime, "--cgroup", group];
        [&with[..], flags, &[IMAGE], command].concat()
    }

    fn run_container(&self, name: &str, flags: &[&str], command: &[&str]) -> Ended {
        let (runtime, group) = (carboy_runtime().display().to_string(), format!("{}/{name}", self.engine.group()));
        self.run(&self.words(&runtime, &group, flags, &[&[name], command].concat()))
    }

    fn detach(&self, name: &str, flags: &[&str], command: &[&str]) {
        let ran = self.run_container(name, &[&["--detach"], flags].concat(), command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }

    /// The state that `ctr tasks ls` tells of a container; empty where there is none.
    fn status(&self, name: &str) -> String {
        let listed = self.told(&["tasks", "ls"]);
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned()
    }

    /// Waits until a task has ended, and removes it and its container; its code.
    fn ends(&self, name: &str) -> i32 {
        eventually("it has stopped", || self.status(name) == "STOPPED");
        let removed = self.run(&["tasks", "rm", name]);
        assert_eq!(removed.code, 0, "{}", removed.stderr);
        let code = removed
            .stderr
            .split("non-zero exit code ")
            .nth(1)
            .map_or("0", |rest| rest.trim_end_matches(&['"', '\n'][..]));
        let code = code.parse().unwrap();
        self.told(&["containers", "rm", name]);
        code
    }

    fn has_nothing_left(&self) {
        self.engine.has_no_groups();
        assert_eq!(self.told(&["tasks", "ls", "--quiet"]), "");
    }
}

const SERVER: [&str; 3] = ["sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.1; done"];

#[test]
fn containerd_runs_containers_with_it_from_run_to_rm() {
    let containerd = Containerd::new();
    let ran = containerd.run_container("it", &["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (3, "out\n", "err\n"));
    for (command, reason) in [
        ("nosuch", "executable file not found in $PATH"),
        ("/nosuch", "no such file or directory"),
        ("/etc", "permission denied"),
        ("/etc/passwd", "permission denied"),
    ] {
        let ran = containerd.run_container("bad", &["--rm"], &[command]);
        assert!(ran.code != 0 && ran.stderr.contains("OCI runtime create failed"), "{}", ran.stderr);
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    }
    a_life(&containerd);
    terminals(&containerd);
    many_at_once(&containerd);
    containerd.has_nothing_left();
}

fn a_life(containerd: &Containerd) {
    let log = containerd.engine.path("it.log");
    let server = ["sh", "-c", "trap 'echo asked; exit 4' TERM; echo started; while :; do sleep 0.1; done"];
    containerd.detach("it", &["--log-uri", &format!("file://{log}")], &server);
    eventually("it has started", || fs::read_to_string(&log).unwrap_or_default() == "started\n");
    let exec = containerd.run(&["tasks", "exec", "--exec-id", "one", "it", "sh", "-c", "echo in; exit 9"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (9, "in\n"), "{}", exec.stderr);
    let bad = containerd.run(&["tasks", "exec", "--exec-id", "two", "it", "nosuch"]);
    assert!(bad.stderr.contains("OCI runtime exec failed") && bad.stderr.contains("executable file not found"));
    assert!(containerd.told(&["tasks", "ps", "it"]).lines().count() >= 2);
    containerd.told(&["tasks", "pause", "it"]);
    assert_eq!(containerd.status("it"), "PAUSED");
    containerd.told(&["tasks", "resume", "it"]);
    assert_eq!(containerd.status("it"), "RUNNING");
    containerd.told(&["tasks", "kill", "--signal", "TERM", "it"]);
    assert_eq!(containerd.ends("it"), 4);
    assert_eq!(fs::read_to_string(&log).unwrap(), "started\nasked\n");
    containerd.detach("it", &[], &SERVER);
    containerd.told(&["tasks", "pause", "it"]);
    containerd.told(&["tasks", "kill", "--signal", "KILL", "it"]);
    assert_eq!(containerd.ends("it"), 137, "although it was paused");
}

fn terminals(containerd: &Containerd) {
    let (runtime, group) = (carboy_runtime().display().to_string(), format!("{}/it", containerd.engine.group()));
    let person = Person::new(33, 77);
    let words = containerd.words(&runtime, &group, &["--rm", "--tty"], &["it", "sh"]);
    let mut shell = person.start(&containerd.command(&words));
    shell.types("tty; sleep 0.5; stty size\n");
    shell.sees("/dev/pts/0");
    shell.sees("33 77");
    let other = Person::new(24, 80);
    let exec =
        containerd.command(&["tasks", "exec", "--tty", "--exec-id", "one", "it", "sh", "-c", "tty; sleep 0.5; exit 7"]);
    let ended = other.start(&exec).end();
    assert_eq!((ended.code, ended.stdout.lines().next().map(str::trim)), (7, Some("/dev/pts/1")));
    shell.types("exit 5\n");
    assert_eq!(shell.end().code, 5);
}

fn many_at_once(containerd: &Containerd) {
    thread::scope(|scope| {
        let run = |number: i32| {
            let echo = format!("echo {number}; exit {number}");
            let ran = containerd.run_container(&format!("many-{number}"), &["--rm"], &["sh", "-c", &echo]);
            assert_eq!((ran.code, ran.stdout), (number, format!("{number}\n")), "{}", ran.stderr);
        };
        (0..20).for_each(|number| drop(scope.spawn(move || run(number))));
    });
}

#[test]
fn limits_of_containerd_are_felt_and_told_of_when_they_kill() {
    let containerd = Containerd::new();
    containerd.detach("it", &["--memory-limit", "33554432", "--cpus", "0.5"], &["sleep", "1000"]);
    let group = containerd.engine.group_of("memory", "it");
    let limit = fs::read_to_string(group.join("memory.limit_in_bytes"))
        .or_else(|_| fs::read_to_string(group.join("memory.max")));
    assert_eq!(limit.unwrap().trim(), "33554432");
    let metrics = containerd.told(&["tasks", "metrics", "it"]);
    assert!(metrics.contains("memory.limit_in_bytes    33554432") || metrics.contains("33554432"), "{metrics}");
    containerd.told(&["tasks", "kill", "--signal", "KILL", "it"]);
    assert_eq!(containerd.ends("it"), 137);
    let mut events = Attended::start(&mut containerd.command(&["events"]));
    thread::sleep(Duration::from_millis(500));
    containerd.detach("hungry", &["--memory-limit", "16777216"], &["sh", "-c", "x=a; while :; do x=$x$x; done"]);
    let told = std::iter::repeat_with(|| events.line()).take_while(|line| !line.is_empty());
    let exits = told.take_while(|line| !line.contains("/tasks/exit")).collect::<Vec<_>>();
    assert!(exits.iter().any(|line| line.contains("/tasks/oom") && line.contains("hungry")), "{exits:?}");
    assert_eq!(containerd.ends("hungry"), 137);
    containerd.has_nothing_left();
}

#[test]
fn containers_live_on_while_containerd_restarts_and_die_in_groups_that_are_frozen() {
    let mut containerd = Containerd::new();
    for signal in [Signal::TERM, Signal::KILL] {
        containerd.detach("it", &[], &SERVER);
        containerd.daemon.take().unwrap().end(signal);
        containerd.start();
        assert_eq!(containerd.status("it"), "RUNNING");
        assert_eq!(containerd.told(&["tasks", "exec", "--exec-id", "one", "it", "echo", "again"]), "again");
        containerd.told(&["tasks", "kill", "--signal", "TERM", "it"]);
        assert_eq!(containerd.ends("it"), 4);
    }
    for words in [&["tasks", "kill", "--signal", "KILL", "it"][..], &["tasks", "rm", "--force", "it"]] {
        containerd.detach("it", &[], &["sh", "-c", "sleep 1000 & wait"]);
        containerd.engine.freeze_below("it");
        let began = Instant::now();
        let ended = containerd.run(words);
        if words[1] == "kill" {
            assert_eq!((ended.code, containerd.ends("it")), (0, 137));
        } else {
            containerd.told(&["containers", "rm", "it"]);
        }
        assert!(began.elapsed() < Duration::from_secs(8), "{words:?} took {:?}", began.elapsed());
        containerd.has_nothing_left();
    }
}
