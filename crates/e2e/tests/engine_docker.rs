//! Docker's daemon with carboy-runtime as its default runtime: a container's life, limits, restarts of the daemon, groups
//! that somebody has frozen, and a Swarm service.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use carboy_e2e::docker::Docker;
use carboy_e2e::engine::two_at_terminals;
use carboy_e2e::eventually;
use rustix::process::Signal;

/// Docker with the networks that it makes by itself.
fn docker() -> Docker {
    Docker::configured("{}")
}

fn status(docker: &Docker, container: &str) -> String {
    docker.state(container)["Status"].as_str().unwrap().to_owned()
}

/// No group is left, and the runtime remembers nothing.
fn has_nothing_left(docker: &Docker) {
    docker.engine.has_no_groups();
    let states = fs::read_dir(docker.engine.path("exec/runtime-carboy/moby"));
    let states = states.or_else(|_| fs::read_dir(docker.engine.path("exec/runtime-runc/moby"))).unwrap();
    let left: Vec<_> = states.flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A shell that says that it runs, and ends with 4 when it is asked to.
const SERVER: [&str; 3] = ["sh", "-c", "trap 'echo asked; exit 4' TERM; echo started; while :; do sleep 0.1; done"];
const SLEEP: [&str; 2] = ["sleep", "1000"];

#[test]
fn dockerd_runs_containers_with_it_from_run_to_rm() {
    let docker = docker();
    assert_eq!(docker.told(&["info", "--format", "{{.DefaultRuntime}}"]), "carboy");
    codes_and_messages(&docker);
    a_life(&docker);
    terminals(&docker);
    many_at_once(&docker);
    has_nothing_left(&docker);
}

fn codes_and_messages(docker: &Docker) {
    let ran = docker.run(&["run", "--rm", "probe", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (3, "out\n", "err\n"));
    docker.detach("exec", &[], &SLEEP);
    for (command, code, message) in [
        ("nosuch", 127, "\"nosuch\": executable file not found in $PATH"),
        ("/nosuch", 127, "no such file or directory"),
        ("/etc/passwd/x", 127, "/etc/passwd/x"),
        ("/etc", 126, "permission denied"),
        ("/etc/passwd", 126, "permission denied"),
    ] {
        let ran = docker.run(&["run", "--rm", "probe", command]);
        assert_eq!(ran.code, code, "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("OCI runtime create failed") && ran.stderr.contains(message), "{}", ran.stderr);
        let ran = docker.run(&["exec", "exec", command]);
        assert!(ran.code == 126 || ran.code == code, "{command}: {}", ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("OCI runtime exec failed") && said.contains(message), "{said}");
    }
    let exec = docker.run(&["exec", "exec", "sh", "-c", "echo in; echo err >&2; exit 9"]);
    assert_eq!((exec.code, exec.stdout.as_str(), exec.stderr.as_str()), (9, "in\n", "err\n"));
    assert_eq!(docker.run(&["exec", "exec", "sh", "-c", "kill -9 $$"]).code, 137);
    assert_eq!(
        docker.told(&[
            "exec",
            "-u",
            "1000:29",
            "-w",
            "/tmp",
            "-e",
            "A=b",
            "exec",
            "sh",
            "-c",
            "echo `id -u` `id -g` $PWD $A"
        ]),
        "1000 29 /tmp b"
    );
    docker.told(&["rm", "--force", "exec"]);
}

fn a_life(docker: &Docker) {
    let id = docker.detach("it", &[], &SERVER);
    eventually("it has started", || docker.told(&["logs", "it"]) == "started");
    assert!(docker.told(&["top", "it"]).contains("sleep 0.1"));
    assert_eq!(docker.told(&["pause", "it"]), "it");
    assert_eq!(status(docker, "it"), "paused");
    assert!(docker.run(&["exec", "it", "true"]).stderr.contains("is paused"));
    assert_eq!(docker.told(&["unpause", "it"]), "it");
    assert_eq!(status(docker, "it"), "running");
    assert_eq!(docker.told(&["stop", "it"]), "it");
    assert_eq!(
        (docker.state("it")["ExitCode"].as_i64(), docker.told(&["logs", "it"])),
        (Some(4), "started\nasked".to_owned())
    );
    assert!(docker.engine.groups_of(&id).is_empty());
    docker.told(&["start", "it"]);
    assert_eq!(docker.told(&["kill", "--signal", "TERM", "it"]), "it");
    assert_eq!(docker.told(&["wait", "it"]), "4");
    docker.told(&["restart", "it"]);
    docker.told(&["pause", "it"]);
    assert_eq!(docker.told(&["kill", "it"]), "it", "although it is paused");
    assert_eq!(docker.told(&["wait", "it"]), "137");
    assert_eq!(docker.told(&["rm", "it"]), "it");
}

fn terminals(docker: &Docker) {
    let shell = docker.command(&["run", "--rm", "-it", "--name", "it", "probe", "sh"]);
    two_at_terminals(&shell, &docker.command(&["exec", "-it", "it", "sh", "-c", "tty; exit 7"]));
}

fn many_at_once(docker: &Docker) {
    thread::scope(|scope| {
        let runs: Vec<_> = (0..20)
            .map(|number| {
                scope.spawn(move || {
                    let echo = format!("echo {number}; exit {number}");
                    docker.run(&["run", "--rm", "--network", "none", "probe", "sh", "-c", &echo])
                })
            })
            .collect();
        for (number, run) in runs.into_iter().enumerate() {
            let ran = run.join().unwrap();
            assert_eq!(
                (ran.code, ran.stdout.trim()),
                (i32::try_from(number).unwrap(), number.to_string().as_str()),
                "{}",
                ran.stderr
            );
        }
    });
}

#[test]
fn limits_of_docker_are_felt_changed_and_told_of_when_they_kill() {
    let docker = docker();
    let id = docker.detach("it", &["--memory", "32m", "--pids-limit", "20", "--cpus", "0.5"], &SLEEP);
    let read = |controller: &str, v1: &str, v2: &str| {
        let group = docker.engine.group_of(controller, &id);
        let text = fs::read_to_string(group.join(v1)).or_else(|_| fs::read_to_string(group.join(v2)));
        text.unwrap().trim().to_owned()
    };
    let memory = || read("memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!((memory(), read("pids", "pids.max", "")), (format!("{}", 32 << 20), "20".to_owned()));
    let cpus = |quota: &str| [quota.to_owned(), format!("{quota} 100000")];
    assert!(cpus("50000").contains(&read("cpu", "cpu.cfs_quota_us", "cpu.max")));
    docker.told(&["update", "--memory", "48m", "--memory-swap", "96m", "it"]);
    docker.told(&["update", "--cpuset-cpus", "0", "it"]);
    assert_eq!(docker.told(&["exec", "it", "nproc"]), "1");
    docker.told(&["update", "--pids-limit", "30", "--cpus", "1.5", "it"]);
    assert_eq!((memory(), read("pids", "pids.max", "")), (format!("{}", 48 << 20), "30".to_owned()));
    assert!(cpus("150000").contains(&read("cpu", "cpu.cfs_quota_us", "cpu.max")));
    let stats = docker.told(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "it"]);
    assert!(stats.ends_with(" / 48MiB 1"), "{stats}");
    let bomb = docker.run(&["exec", "it", "sh", "-c", "for i in `seq 40`; do sleep 2 & done"]);
    assert!(bomb.stderr.contains("can't fork"), "{}", bomb.stderr);
    docker.told(&["rm", "--force", "it"]);
    let began = docker.told(&["info", "--format", "{{.SystemTime}}"]);
    let eats = ["sh", "-c", "x=a; while :; do x=$x$x; done"];
    docker.detach("hungry", &["--memory", "16m"], &eats);
    assert_eq!(docker.told(&["wait", "hungry"]), "137");
    assert_eq!(docker.state("hungry")["OOMKilled"], true);
    let now = docker.told(&["info", "--format", "{{.SystemTime}}"]);
    let events = [
        "events",
        "--since",
        &began,
        "--until",
        &now,
        "--filter",
        "event=oom",
        "--format",
        "{{.Actor.Attributes.name}}",
    ];
    assert_eq!(docker.told(&events), "hungry");
    docker.told(&["rm", "hungry"]);
    has_nothing_left(&docker);
}

#[test]
fn containers_live_on_while_dockerd_restarts() {
    let mut docker = Docker::configured(r#"{"live-restore": true}"#);
    for signal in [Signal::TERM, Signal::KILL] {
        docker.detach("it", &[], &SERVER);
        docker.detach("short", &[], &["sh", "-c", "sleep 1; exit 6"]);
        docker.end(signal);
        thread::sleep(Duration::from_millis(1200));
        docker.start();
        assert_eq!((status(&docker, "it"), status(&docker, "short")), ("running".to_owned(), "exited".to_owned()));
        assert_eq!(docker.told(&["exec", "it", "echo", "again"]), "again");
        docker.told(&["pause", "it"]);
        docker.told(&["unpause", "it"]);
        docker.told(&["stop", "it"]);
        assert_eq!(docker.state("it")["ExitCode"], 4);
        docker.told(&["rm", "it", "short"]);
        has_nothing_left(&docker);
    }
}

/// What a frozen group must not keep anybody from, in time.
const SOON: Duration = Duration::from_secs(8);

#[test]
fn a_group_that_is_frozen_below_the_containers_own_keeps_nobody_from_killing_it() {
    let docker = docker();
    let ends: [&[&str]; 3] = [&["kill", "it"], &["stop", "--time", "1", "it"], &["rm", "--force", "it"]];
    for words in ends {
        let id = docker.detach("it", &[], &["sh", "-c", "sleep 1000 & wait"]);
        docker.engine.freeze_below(&id);
        let began = Instant::now();
        docker.told(words);
        assert!(began.elapsed() < SOON, "{words:?} took {:?}", began.elapsed());
        if words[0] != "rm" {
            assert_eq!(docker.told(&["wait", "it"]), "137");
            docker.told(&["rm", "it"]);
        }
        has_nothing_left(&docker);
    }
}

#[test]
fn a_swarm_service_runs_its_replicas_with_it() {
    let docker = docker();
    docker.told(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377"]);
    docker.told(&["network", "create", "--driver", "overlay", "web"]);
    let page = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www";
    // Its virtual addresses would need ip_vs, which not every kernel has.
    let service = ["service", "create", "--detach", "--name", "web", "--replicas", "2", "--network", "web"];
    let service = [
        &service[..],
        &[
            "--stop-signal",
            "KILL",
            "--restart-delay",
            "0s",
            "--endpoint-mode",
            "dnsrr",
            "--limit-memory",
            "32m",
            "probe",
            "sh",
            "-c",
            page,
        ],
    ]
    .concat();
    docker.told(&service);
    let replicas = || docker.told(&["service", "ls", "--format", "{{.Replicas}}"]);
    eventually("both replicas run", || replicas() == "2/2");
    let tasks = || docker.told(&["ps", "--quiet", "--no-trunc", "--filter", "name=web"]);
    let mut names = std::collections::BTreeSet::new();
    for id in tasks().lines() {
        assert_eq!(docker.told(&["inspect", "--format", "{{.HostConfig.Runtime}}", id]), "carboy");
        assert!(!docker.engine.groups_of(id).is_empty());
        names.insert(id[..12].to_owned());
    }
    let from = tasks().lines().next().unwrap().to_owned();
    let ask = r#"for at in $(nslookup web | sed -n "s/^Address: \(10[.].*\)$/\1/p"); do
        printf 'GET / HTTP/1.0\r\n\r\n' | nc $at 80; done"#;
    let mut answers = std::collections::BTreeSet::new();
    eventually("both replicas answer by the service's name", || {
        let answer = docker.run(&["exec", &from, "sh", "-c", ask]);
        answers.extend(answer.stdout.lines().map(str::to_owned));
        answers.is_superset(&names)
    });
    let first = tasks().lines().next().unwrap().to_owned();
    docker.told(&["kill", &first]);
    eventually("another takes its place", || !tasks().contains(&first) && replicas() == "2/2");
    docker.told(&["service", "scale", "--detach", "web=3"]);
    eventually("there are three", || replicas() == "3/3");
    docker.told(&["service", "rm", "web"]);
    eventually("their containers are gone", || docker.told(&["ps", "--all", "--quiet"]).is_empty());
    docker.told(&["swarm", "leave", "--force"]);
    has_nothing_left(&docker);
}
