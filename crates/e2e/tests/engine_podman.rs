//! Podman with carboy-runtime as its runtime, under the three names by which Podman decides how it speaks with one: its
//! own, runc and crun.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::engine::{Engine, two_at_terminals};
use carboy_e2e::{Ended, ended};

/// A Podman with a storage of its own, and the name of the runtime that it calls.
struct Podman<'e> {
    engine: &'e Engine,
    name: &'e str,
}

impl Podman<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let [root, run, runtime] = ["storage", "run", self.name].map(|name| self.engine.path(name));
        let global = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"];
        let configuration = format!("CONTAINERS_CONF={}", self.engine.path("containers.conf"));
        let podman = ["env", &configuration, "timeout", "--foreground", "60", "podman"];
        self.engine.command([&podman[..], &global, &["--runtime", &runtime], words].concat())
    }

    fn run(&self, words: &[&str]) -> Ended {
        ended(&mut self.command(words))
    }

    /// What a command that succeeds says.
    fn told(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
        ended.stdout.trim_end().to_owned()
    }

    /// The words that run a container.
    fn words<'w>(&self, flags: &[&'w str], group: &'w str, command: &[&'w str]) -> Vec<&'w str> {
        [&["run", "--network", "none", "--cgroup-parent", group], flags, &["probe"], command].concat()
    }

    fn run_container(&self, flags: &[&str], command: &[&str]) -> Ended {
        self.run(&self.words(flags, &self.engine.group(), command))
    }

    /// Starts a container in the background, and gives the name of its group.
    fn detach(&self, name: &str, flags: &[&str], command: &[&str]) -> String {
        let ran = self.run_container(&[&["--detach", "--name", name], flags].concat(), command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        format!("libpod-{}", ran.stdout.trim())
    }

    fn state(&self, container: &str, field: &str) -> String {
        self.told(&["inspect", "--format", &format!("{{{{.State.{field}}}}}"), container])
    }

    /// No container's group is left. The group of its monitors is Podman's own.
    fn has_nothing_left(&self) {
        assert_eq!(self.told(&["ps", "--all", "--quiet"]), "");
        let of_container = |name: &str| name.starts_with("libpod-") && !name.contains("conmon");
        let groups = self.engine.groups();
        let left: Vec<_> =
            groups.iter().filter(|group| of_container(&group.file_name().unwrap().to_string_lossy())).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

const NAMES: [&str; 3] = ["carboy-runtime", "runc", "crun"];
const SERVER: [&str; 3] = ["sh", "-c", "trap 'echo asked; exit 4' TERM; echo started; while :; do sleep 0.1; done"];

fn engine() -> Engine {
    let engine = Engine::new();
    for name in NAMES {
        symlink(carboy_runtime(), engine.folder().join(name)).unwrap();
    }
    // Raising limits of resources is not everybody's right.
    let limits = "[containers]\ndefault_ulimits = ['nofile=1024:1024', 'nproc=1024:1024']\n";
    fs::write(engine.path("containers.conf"), limits).unwrap();
    let archive = engine.archive();
    Podman { engine: &engine, name: NAMES[0] }.told(&["import", &archive, "probe"]);
    engine
}

#[test]
fn podman_runs_containers_with_it_under_each_of_its_names() {
    let engine = engine();
    for name in NAMES {
        let podman = Podman { engine: &engine, name };
        codes_and_messages(&podman);
        a_life(&podman);
        podman.has_nothing_left();
    }
}

fn codes_and_messages(podman: &Podman<'_>) {
    let ran = podman.run_container(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (3, "out\n", "err\n"));
    for (command, code, message) in [
        ("nosuch", 127, "executable file not found in $PATH"),
        ("/etc/nosuch", 127, "no such file or directory"),
        ("/etc", 126, "permission denied"),
    ] {
        let ran = podman.run_container(&["--rm"], &[command]);
        assert_eq!(ran.code, code, "{command}: {}", ran.stderr);
        assert!(ran.stderr.to_lowercase().contains(&message.to_lowercase()), "{}", ran.stderr);
    }
}

fn a_life(podman: &Podman<'_>) {
    let group = podman.detach("it", &["--memory", "64m"], &SERVER);
    let exec = podman.run(&["exec", "it", "sh", "-c", "echo in; exit 9"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (9, "in\n"), "{}", exec.stderr);
    assert_eq!(podman.run(&["exec", "it", "nosuch"]).code, 127);
    assert_eq!(podman.run(&["exec", "it", "/etc"]).code, 126);
    let limit = || {
        let group = podman.engine.group_of("memory", &group);
        let text = fs::read_to_string(group.join("memory.limit_in_bytes"));
        text.or_else(|_| fs::read_to_string(group.join("memory.max"))).unwrap().trim().to_owned()
    };
    assert_eq!(limit(), (64 << 20).to_string());
    podman.told(&["update", "--memory", "96m", "it"]);
    assert_eq!(limit(), (96 << 20).to_string());
    podman.told(&["pause", "it"]);
    assert_eq!(podman.state("it", "Status"), "paused");
    podman.told(&["unpause", "it"]);
    assert_eq!(podman.state("it", "Status"), "running");
    podman.told(&["stop", "it"]);
    assert_eq!(
        (podman.state("it", "ExitCode"), podman.told(&["logs", "it"])),
        ("4".to_owned(), "started\nasked".to_owned())
    );
    podman.told(&["start", "it"]);
    podman.told(&["kill", "it"]);
    assert_eq!(podman.told(&["wait", "it"]), "137");
    podman.told(&["rm", "it"]);
}

#[test]
fn podmans_terminals_pods_limits_and_frozen_groups_are_as_under_its_own_runtimes() {
    let engine = engine();
    let podman = Podman { engine: &engine, name: "crun" };
    terminal(&podman);
    let hungry =
        podman.run_container(&["--name", "hungry", "--memory", "16m"], &["sh", "-c", "x=a; while :; do x=$x$x; done"]);
    // Whether OOMKilled is told is conmon's: on a host with v1 and v2 it is not, under runc either.
    assert_eq!(hungry.code, 137, "{}", hungry.stderr);
    podman.told(&["rm", "hungry"]);
    pod(&podman);
    frozen(&podman);
    many_at_once(&podman);
    podman.has_nothing_left();
}

fn terminal(podman: &Podman<'_>) {
    let group = podman.engine.group();
    let shell = podman.command(&podman.words(&["--rm", "-it", "--name", "it"], &group, &["sh"]));
    two_at_terminals(&shell, &podman.command(&["exec", "-it", "it", "sh", "-c", "tty; exit 7"]));
}

/// Containers of a pod share its namespaces.
fn pod(podman: &Podman<'_>) {
    let infra = ["--infra-image", "probe", "--infra-command", "sleep 1000", "--share", "net,ipc,uts"];
    podman.told(
        &[
            &["pod", "create", "--name", "pod", "--network", "none", "--cgroup-parent", &podman.engine.group()],
            &infra[..],
        ]
        .concat(),
    );
    podman.told(&["pod", "start", "pod"]);
    let look = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; hostname";
    let looks = || podman.told(&["run", "--rm", "--pod", "pod", "probe", "sh", "-c", look]);
    let (one, other) = (looks(), looks());
    assert!(one.ends_with("\npod"), "{one}");
    assert_eq!(one, other);
    podman.told(&["pod", "rm", "--force", "--time", "0", "pod"]);
}

fn frozen(podman: &Podman<'_>) {
    for words in [&["kill", "it"][..], &["rm", "--force", "--time", "1", "it"]] {
        let id = podman.detach("it", &[], &["sh", "-c", "sleep 1000 & wait"]);
        podman.engine.freeze_below(&id);
        let began = Instant::now();
        podman.told(words);
        if words[0] == "kill" {
            assert_eq!(podman.told(&["wait", "it"]), "137");
            podman.told(&["rm", "it"]);
        }
        assert!(began.elapsed() < Duration::from_secs(8), "{words:?} took {:?}", began.elapsed());
    }
}

fn many_at_once(podman: &Podman<'_>) {
    thread::scope(|scope| {
        let run = |number: i32| {
            let ran = podman.run_container(&["--rm"], &["sh", "-c", &format!("echo {number}; exit {number}")]);
            assert_eq!((ran.code, ran.stdout), (number, format!("{number}\n")), "{}", ran.stderr);
        };
        (0..20).for_each(|number| drop(scope.spawn(move || run(number))));
    });
}
