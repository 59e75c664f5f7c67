//! `see` and the containers of other engines: whose they are, what they are called, and which doors are open, from the
//! kernel and their files, wherever they keep those.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::docker::{Docker, NO_NETWORKS};
use carboy_e2e::engine::Engine;
use carboy_e2e::group::{Version, hierarchy};
use carboy_e2e::{Carboy, Ended, apparmor_is_in_force, ended};
use serde_json::Value;

/// The container that carboy sees by this id.
fn seen(carboy: &Carboy, id: &str) -> Value {
    let ended = carboy.run(["see", "--json", id]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{id}");
    let mut document: Value = serde_json::from_str(&ended.stdout).unwrap();
    document["found"][0].take()
}

/// The widths and the flags of its doors.
fn doors(container: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let doors = container["doors"].as_array().unwrap().iter();
    sorted(doors.map(|door| (text(&door["width"]), text(&door["closes"]))).collect())
}

fn sorted(mut doors: Vec<(String, String)>) -> Vec<(String, String)> {
    doors.sort_unstable();
    doors
}

fn told(command: &mut Command) -> String {
    let ended: Ended = ended(command.stdin(Stdio::null()));
    assert_eq!(ended.code, 0, "{command:?}: {}", ended.stderr);
    ended.stdout.trim_end().to_owned()
}

const SLEEP: [&str; 2] = ["sleep", "1000"];

#[test]
fn dockers_containers_are_named_and_each_wish_opens_its_door() {
    let docker = Docker::configured(NO_NETWORKS);
    let start = |name: &str, flags: &[&str]| docker.detach(name, &[&["--network", "none"], flags].concat(), &SLEEP);
    let carboy = Carboy::new();
    let pair = |width: &str, closes: &str| (width.to_owned(), closes.to_owned());
    let mut usual = vec![
        pair("narrow", "--user, or an engine of a user who is not root"),
        pair("narrow", "--security-opt no-new-privileges"),
    ];
    // On v1 Docker leaves its containers in the host's cgroup namespace.
    if matches!(hierarchy("pids"), Version::V1(_)) {
        usual.push(pair("narrow", "--cgroupns private"));
    }
    if apparmor_is_in_force() {
        usual.push(pair("narrow", "leave out --privileged, --security-opt apparmor=unconfined and label=disable"));
    }
    let with = |opened: &[(String, String)]| sorted([opened, &usual].concat());
    let plain = seen(&carboy, &start("plain", &["-m", "64m"]));
    assert_eq!((&plain["engine"], &plain["name"]), (&Value::from("docker"), &Value::from("plain")), "{plain}");
    assert_eq!(plain["limits"][0]["effective"]["at"], 64 << 20);
    assert_eq!(doors(&plain), with(&[]));
    let volume = format!("{}:/var/run/docker.sock", docker.socket());
    let with_socket = doors(&seen(&carboy, &start("socket", &["-v", &volume])));
    assert_eq!(with_socket, with(&[pair("host", "mount less of it with -v, or with :ro")]));
    let with_clock = doors(&seen(&carboy, &start("clock", &["--cap-add", "SYS_TIME"])));
    assert_eq!(with_clock, with(&[pair("wide", "leave out --privileged and --cap-add SYS_TIME")]));
    let admin = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    let admin = doors(&seen(&carboy, &start("admin", &admin)));
    let open = [
        pair("host", "leave out --privileged and --cap-add SYS_ADMIN"),
        pair("wide", "leave out --privileged and --security-opt seccomp=unconfined"),
    ];
    assert_eq!(admin, with(&open));
    for name in ["plain", "socket", "clock", "admin"] {
        docker.told(&["rm", "--force", name]);
    }
}

#[test]
fn podmans_containers_are_named() {
    let engine = Engine::new();
    let [root, run] = ["storage", "run"].map(|name| engine.path(name));
    fs::write(engine.path("containers.conf"), "[containers]\ndefault_ulimits = []\n").unwrap();
    let configuration = format!("CONTAINERS_CONF={}", engine.path("containers.conf"));
    let runtime = carboy_runtime().display().to_string();
    let global = [
        "--runtime",
        &runtime,
        "--root",
        &root,
        "--runroot",
        &run,
        "--storage-driver",
        "vfs",
        "--cgroup-manager",
        "cgroupfs",
    ];
    let podman = |words: &[&str]| {
        let before = ["env", &configuration, "timeout", "--foreground", "60", "podman"];
        engine.command([&before[..], &global, words].concat())
    };
    let archive = engine.archive();
    told(&mut podman(&["import", &archive, "probe"]));
    let group = engine.group();
    let flags = ["run", "--detach", "--network", "none", "--cgroup-parent", &group, "--name", "db"];
    let id = told(&mut podman(&[&flags[..], &["probe"], &SLEEP].concat()));
    let carboy = Carboy::new();
    let db = seen(&carboy, &id);
    assert_eq!((&db["engine"], &db["name"]), (&Value::from("podman"), &Value::from("db")), "{db}");
    told(&mut podman(&["rm", "--force", "--time", "0", "db"]));
}
