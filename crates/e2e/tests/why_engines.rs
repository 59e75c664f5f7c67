//! `why` and the containers of other engines: the level that holds one back and that killed in it, while it runs and when it
//! has ended, also where its engine says that nothing was killed.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::engine::Engine;
use carboy_e2e::group::{Team, limit};
use carboy_e2e::{Carboy, Ended, ended, eventually};
use serde_json::Value;

fn told(command: &mut Command) -> String {
    let ended: Ended = ended(command.stdin(Stdio::null()));
    assert_eq!(ended.code, 0, "{command:?}: {}", ended.stderr);
    ended.stdout.trim_end().to_owned()
}

fn document(carboy: &Carboy, word: &str) -> Value {
    let mut document: Value = serde_json::from_str(&told(&mut carboy.command(["why", "--json", word]))).unwrap();
    document["found"][0].take()
}

fn finding<'d>(document: &'d Value, trouble: &str) -> &'d Value {
    let findings = document["why"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|one| one["trouble"] == trouble);
    assert!(found.is_some(), "no {trouble} in {document:#}");
    found.unwrap()
}

const GREEDY: &str = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; while :; do :; done";
const EATER: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];

#[test]
fn dockers_containers_are_held_back_and_killed_by_the_group_above_them() {
    let engine = Engine::new();
    fs::write(engine.path("daemon.json"), "{}").unwrap();
    let (data, exec, pid, config) =
        (engine.path("data"), engine.path("exec"), engine.path("pid"), engine.path("daemon.json"));
    let socket = format!("unix://{}", engine.path("docker.sock"));
    let folders = ["--data-root", &data, "--exec-root", &exec, "--pidfile", &pid, "--config-file", &config];
    let runtime = format!("carboy={}", carboy_runtime().display());
    let group = engine.group();
    let place = ["--add-runtime", &runtime, "--default-runtime", "carboy", "--cgroup-parent", &group, "-H", &socket];
    let daemon = engine.daemon([&["dockerd"], &folders[..], &place].concat());
    let docker = |words: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["60", "docker", "-H", &socket]).args(words);
        command
    };
    eventually("dockerd answers", || ended(&mut docker(&["version"])).code == 0);
    told(&mut docker(&["import", &engine.archive(), "probe"]));
    let level = format!("{group}-team");
    let team = Team::new(&level[1..], &[limit::MEMORY_32_MIB, limit::CPU_0_2]);
    let flags = ["--network", "none", "-m", "512m", "--cgroup-parent", &level];
    let start = ["run", "--detach", "--name", "lie"];
    let id = told(&mut docker(&[&start, &flags[..], &["probe", "sh", "-c", GREEDY]].concat()));
    let carboy = Carboy::new();
    eventually("something is killed", || {
        document(&carboy, &id)["why"]["memory"]["since_start"]["at"].as_u64() == Some(1)
    });
    let found = document(&carboy, &id);
    let seen = &found["why"];
    assert_eq!((&seen["cpu"]["limit"]["at"], &seen["memory"]["limit"]["at"]), (&200_000.into(), &(32 << 20).into()));
    let held_back = finding(&found, "held_back");
    let share = held_back["usec"].as_u64().unwrap() * 100 / seen["elapsed_usec"].as_u64().unwrap();
    assert!((15..=100).contains(&share), "{found:#}");
    let victim = format!("{level}/{id}");
    for finding in [held_back, finding(&found, "killed")] {
        assert_eq!(
            (&finding["causes"][0]["level"], &finding["victims"][0]),
            (&level.as_str().into(), &victim.as_str().into())
        );
    }
    assert_eq!(found["logged"][0]["cause"]["group"], level.as_str());
    // Docker's word for the same container.
    assert_eq!(told(&mut docker(&["inspect", "--format", "{{.State.OOMKilled}}", "lie"])), "false");
    told(&mut docker(&["rm", "--force", "lie"]));
    // The host's own engines may know others of a common name.
    let name = &format!("eater-{}", &group[1..]);
    let eater = ["run", "--name", name];
    let ran = ended(&mut docker(&[&eater, &flags[..], &["probe"], &EATER].concat()));
    assert_eq!(ran.code, 137, "{}", ran.stderr);
    let text = told(&mut carboy.command(["why", name]));
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("{name}: ended ")) && first.ends_with(" ago, killed: memory was short"),
        "{text}"
    );
    assert!(text.contains(&format!("cause  {level}  its limit, says the kernel")), "{text}");
    assert!(text.contains("says    docker: OOMKilled "), "{text}");
    told(&mut docker(&["rm", "--force", name]));
    drop(team);
    drop(daemon);
}
