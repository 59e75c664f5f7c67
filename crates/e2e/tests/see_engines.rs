//! `see` and the containers of other engines: whose they are, what they are called, and which doors are open, from the
//! kernel and their files, wherever they keep those.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::engine::Engine;
use carboy_e2e::group::{Version, hierarchy};
use carboy_e2e::{Carboy, Ended, ended, eventually};
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
    doors.map(|door| (text(&door["width"]), text(&door["closes"]))).collect()
}

fn told(command: &mut Command) -> String {
    let ended: Ended = ended(command.stdin(Stdio::null()));
    assert_eq!(ended.code, 0, "{command:?}: {}", ended.stderr);
    ended.stdout.trim_end().to_owned()
}

const SLEEP: [&str; 3] = ["probe", "sleep", "1000"];

#[test]
fn dockers_containers_are_named_and_each_wish_opens_its_door() {
    let engine = Engine::new();
    fs::write(engine.path("daemon.json"), "{}").unwrap();
    let (data, exec, pid, config) =
        (engine.path("data"), engine.path("exec"), engine.path("pid"), engine.path("daemon.json"));
    let socket = format!("unix://{}", engine.path("docker.sock"));
    let group = engine.group();
    let folders = ["--data-root", &data, "--exec-root", &exec, "--pidfile", &pid, "--config-file", &config];
    let runtime = format!("carboy={}", carboy_runtime().display());
    let place = ["--add-runtime", &runtime, "--default-runtime", "carboy", "--cgroup-parent", &group, "-H", &socket];
    let daemon = engine.daemon([&["dockerd"], &folders[..], &place].concat());
    let docker = |words: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["60", "docker", "-H", &socket]).args(words);
        command
    };
    eventually("dockerd answers", || ended(&mut docker(&["version"])).code == 0);
    let archive = engine.archive();
    told(&mut docker(&["import", &archive, "probe"]));
    let start = |name: &str, flags: &[&str]| {
        told(&mut docker(&[&["run", "--detach", "--network", "none", "--name", name], flags, &SLEEP].concat()))
    };
    let carboy = Carboy::new();
    let pair = |width: &str, closes: &str| (width.to_owned(), closes.to_owned());
    let mut narrow = vec![
        pair("narrow", "--user, or an engine of a user who is not root"),
        pair("narrow", "--security-opt no-new-privileges"),
    ];
    // On v1 Docker leaves its containers in the host's cgroup namespace.
    if matches!(hierarchy("pids"), Version::V1(_)) {
        narrow.insert(0, pair("narrow", "--cgroupns private"));
    }
    let plain = seen(&carboy, &start("plain", &["-m", "64m"]));
    assert_eq!((&plain["engine"], &plain["name"]), (&Value::from("docker"), &Value::from("plain")), "{plain}");
    assert_eq!(plain["limits"][0]["effective"]["at"], 64 << 20);
    assert_eq!(doors(&plain), narrow);
    let volume = format!("{}:/var/run/docker.sock", engine.path("docker.sock"));
    let with_socket = doors(&seen(&carboy, &start("socket", &["-v", &volume])));
    assert_eq!(with_socket, [&[pair("host", "mount less of it with -v, or with :ro")], &narrow[..]].concat());
    let with_clock = doors(&seen(&carboy, &start("clock", &["--cap-add", "SYS_TIME"])));
    assert_eq!(with_clock, [&[pair("wide", "leave out --privileged and --cap-add SYS_TIME")], &narrow[..]].concat());
    let admin = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    let admin = doors(&seen(&carboy, &start("admin", &admin)));
    let open = [
        pair("host", "leave out --privileged and --cap-add SYS_ADMIN"),
        pair("wide", "leave out --privileged and --security-opt seccomp=unconfined"),
    ];
    assert_eq!(admin, [&open[..], &narrow].concat());
    for name in ["plain", "socket", "clock", "admin"] {
        told(&mut docker(&["rm", "--force", name]));
    }
    drop(daemon);
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
    let id = told(&mut podman(&[&flags[..], &SLEEP].concat()));
    let carboy = Carboy::new();
    let db = seen(&carboy, &id);
    assert_eq!((&db["engine"], &db["name"]), (&Value::from("podman"), &Value::from("db")), "{db}");
    told(&mut podman(&["rm", "--force", "--time", "0", "db"]));
}
