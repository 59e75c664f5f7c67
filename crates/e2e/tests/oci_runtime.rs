//! carboy-runtime as engines call it: a bundle's life from create to delete, hooks, terminal, errors that name the field;
//! the same probe under runc. Runtime specification, runtime.md.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{ended, eventually};
use serde_json::{Value, json};

#[test]
fn a_container_is_created_started_killed_and_deleted_and_its_state_tells_it() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    bundle.create();
    let state = bundle.state();
    assert_eq!((state["status"].as_str(), state["ociVersion"].as_str()), (Some("created"), Some("1.3.0")));
    let pid = fs::read_to_string(bundle.carboy.folder().join("pid")).unwrap();
    assert_eq!(state["pid"].to_string(), pid);
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    assert_eq!(bundle.status(), "running");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap(), "sleep\x001000\0");
    let refused = bundle.run(&["start", &bundle.id]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("cannot start an already running container"), "{}", refused.stderr);
    assert_eq!(bundle.run(&["delete", &bundle.id]).code, 1, "it runs");
    assert_eq!(bundle.run(&["kill", &bundle.id, "SIGKILL"]).code, 0);
    eventually("it has stopped", || bundle.status() == "stopped");
    assert!(bundle.run(&["kill", &bundle.id]).stderr.contains("container not running"));
    assert_eq!(bundle.run(&["delete", &bundle.id]).code, 0);
    assert!(bundle.run(&["state", &bundle.id]).stderr.contains("does not exist"));
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0, "as if it had been there");
    bundle.gone();
}

#[test]
fn a_container_that_waits_to_be_started_holds_nothing_of_the_host() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    bundle.create();
    let folder = format!("/proc/{}/fd", bundle.state()["pid"]);
    let held = fs::read_dir(folder).unwrap().map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
    let held: Vec<String> = held.map(|path| path.display().to_string()).filter(|path| path != "/dev/null").collect();
    let own = bundle.carboy.folder().join("states");
    assert!(held.iter().all(|path| Path::new(path).starts_with(&own)), "{held:?}");
    assert_eq!(held.len(), 2, "the two pipes that it waits at: {held:?}");
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn run_and_exec_end_as_their_commands_do() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "echo out; echo err >&2; exit 3"]);
    let run = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (3, "out\n", "err\n"));
    bundle.gone();
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let exec =
        bundle.run(&["exec", "--env", "A=b", "--cwd", "/tmp", &bundle.id, "sh", "-c", "echo $A $PWD $$; exit 7"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (7, "b /tmp 2\n"), "{}", exec.stderr);
    assert_eq!(bundle.run(&["exec", &bundle.id, "sh", "-c", "kill -9 $$"]).code, 137);
    let missing = bundle.run(&["exec", &bundle.id, "nosuch"]);
    assert_eq!(missing.code, 255);
    assert!(missing.stderr.contains("executable file not found in $PATH"), "{}", missing.stderr);
    let pids: Vec<u32> = serde_json::from_str(&bundle.run(&["ps", "--format", "json", &bundle.id]).stdout).unwrap();
    assert_eq!(pids, [u32::try_from(bundle.state()["pid"].as_u64().unwrap()).unwrap()]);
    assert_eq!(bundle.run(&["pause", &bundle.id]).code, 0);
    assert_eq!(bundle.status(), "paused");
    assert!(bundle.run(&["exec", &bundle.id, "true"]).stderr.contains("cannot exec in a paused container"));
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0, "a pause does not keep it");
    bundle.gone();
}

#[test]
fn limits_change_while_it_runs_and_its_use_is_told_as_runc_tells_it() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    assert_eq!(bundle.run(&["update", "--memory", "67108864", "--pids-limit", "7", &bundle.id]).code, 0);
    let event: Value = serde_json::from_str(&bundle.run(&["events", "--stats", &bundle.id]).stdout).unwrap();
    assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("stats"), Some(bundle.id.as_str())));
    assert_eq!(event["data"]["memory"]["usage"]["limit"], 67_108_864);
    assert_eq!((&event["data"]["pids"]["limit"], &event["data"]["pids"]["current"]), (&json!(7), &json!(1)));
    let resources = bundle.carboy.folder().join("resources.json");
    fs::write(&resources, r#"{"pids":{"limit":9}}"#).unwrap();
    assert_eq!(bundle.run(&["update", "--resources", resources.to_str().unwrap(), &bundle.id]).code, 0);
    let event: Value = serde_json::from_str(&bundle.run(&["events", "--stats", &bundle.id]).stdout).unwrap();
    assert_eq!(event["data"]["pids"]["limit"], 9);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn hooks_run_at_their_times_in_their_namespaces_with_the_state_on_their_input() {
    let bundle = Bundle::new();
    let log = bundle.carboy.folder().join("hooks");
    let hook = |name: &str| {
        let script = format!("read -r state; echo {name} $(readlink /proc/self/ns/mnt) $state >> {}", log.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
    };
    bundle.args(&["sleep", "1000"]);
    bundle.change(|config| {
        let names = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
        config["hooks"] = Value::Object(names.iter().map(|name| ((*name).to_owned(), hook(name))).collect());
        config["hooks"]["startContainer"] =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/started"], "env": ["PATH=/bin"]}]);
    });
    bundle.create();
    let lines = || fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let names =
        |lines: &[String]| lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&lines()), ["prestart", "createRuntime", "createContainer"]);
    let host = fs::read_link("/proc/self/ns/mnt").unwrap().display().to_string();
    let inside = fs::read_link(format!("/proc/{}/ns/mnt", bundle.state()["pid"])).unwrap().display().to_string();
    let namespaces: Vec<String> = lines().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(namespaces, [host.clone(), host, inside]);
    let state: Value = serde_json::from_str(lines()[0].splitn(3, ' ').nth(2).unwrap()).unwrap();
    assert_eq!((&state["pid"], &state["id"]), (&bundle.state()["pid"], &json!(bundle.id)));
    assert!(!bundle.carboy.folder().join("busybox/tmp/started").exists());
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    let started = fs::read_to_string(bundle.carboy.folder().join("busybox/tmp/started")).unwrap();
    assert!(started.contains(&bundle.id), "{started}");
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert_eq!(names(&lines())[3..], ["poststart", "poststop"]);
    bundle.gone();
}

#[test]
fn a_hook_that_fails_or_takes_too_long_is_named_and_nothing_is_left() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    for (hook, reason) in [
        (json!({"path": "/bin/false"}), "ended with code 1"),
        (json!({"path": "/nonexistent"}), "cannot be run: no such file or directory"),
        (json!({"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}), "took longer than its timeout of 1 s"),
    ] {
        bundle.change(|config| config["hooks"] = json!({"createRuntime": [hook]}));
        let refused = bundle.run(&["create", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!(refused.code, 1);
        assert!(
            refused.stderr.contains("hooks.createRuntime") && refused.stderr.contains(reason),
            "{}",
            refused.stderr
        );
        bundle.gone();
    }
}

#[test]
fn the_terminal_goes_to_whoever_listens_for_it() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "readlink /proc/self/fd/0; exec sleep 1000"]);
    bundle.change(|config| {
        config["process"]["terminal"] = json!(true);
        // Where something of the host's is seen, the mounts are copied once the terminal is open.
        let bind = json!({"source": "/etc/hostname", "destination": "/bound", "options": ["bind"]});
        config["mounts"].as_array_mut().unwrap().push(bind);
    });
    let refused = bundle.run(&["create", "--bundle", bundle.path(), &bundle.id]);
    assert!(refused.stderr.contains("--console-socket"), "{}", refused.stderr);
    let socket = bundle.carboy.folder().join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let words = ["create", "--bundle", bundle.path(), "--console-socket", socket.to_str().unwrap(), &bundle.id];
    assert_eq!(bundle.stays(&words), 0);
    let (connection, _) = listener.accept().unwrap();
    let (_, master) = sys::socket::receive(connection.as_fd(), &mut [0; 64]).unwrap();
    let master = master.unwrap();
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    let mut said = [0; 64];
    let length = rustix::io::read(&master, &mut said).unwrap();
    assert_eq!(String::from_utf8_lossy(&said[..length]).trim(), "/dev/pts/0");
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn what_cannot_be_had_is_refused_by_its_field_in_the_callers_log_and_nothing_is_left() {
    let bundle = Bundle::new();
    type Case = (&'static str, fn(&mut Value));
    let cases: [Case; 8] = [
        ("root.path", |config| config["root"]["path"] = json!("nowhere")),
        ("ociVersion", |config| config["ociVersion"] = json!("2.0.0")),
        ("process.cwd", |config| config["process"]["cwd"] = json!("relative")),
        ("linux.personality", |config| config["linux"]["personality"] = json!({"domain": "LINUX", "flags": ["X"]})),
        ("process.apparmorProfile", |config| config["process"]["apparmorProfile"] = json!("docker-default")),
        ("executable file not found in $PATH", |config| config["process"]["args"] = json!(["nosuch"])),
        ("no such file or directory", |config| config["process"]["args"] = json!(["/bin/nosuch"])),
        ("linux.resources.unified", |config| config["linux"]["resources"]["unified"] = json!({"../x": "1"})),
    ];
    let good = fs::read(bundle.carboy.folder().join("config.json")).unwrap();
    let log = bundle.carboy.folder().join("log.json");
    for (field, change) in cases {
        fs::write(bundle.carboy.folder().join("config.json"), &good).unwrap();
        bundle.change(change);
        let words = ["--log", log.to_str().unwrap(), "--log-format", "json", "create", "--bundle", bundle.path()];
        let refused = bundle.run(&[&words[..], &[bundle.id.as_str()]].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{field}");
        let text = fs::read_to_string(&log).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["level"], "error");
        assert!(last["msg"].as_str().unwrap().contains(field), "{field}: {last}");
        assert!(last["time"].as_str().unwrap().ends_with('Z'), "{last}");
        bundle.gone();
    }
    assert_eq!(bundle.run(&["create", "--bundle", bundle.path(), "../x"]).code, 1);
}

/// What a process sees that can differ between two runtimes.
const PROBE: &str = "id -u; id -g; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; pwd; env | sort; hostname;
    ulimit -n; cut -d' ' -f5 /proc/self/mountinfo | sort; ls /dev | sort; ls /proc/self/fd | wc -l; umask;
    for kind in pid net ipc uts mnt cgroup; do [ $(readlink /proc/self/ns/$kind) = $(readlink /proc/1/ns/$kind) ] && echo $kind; done";

#[test]
fn a_process_sees_the_same_as_under_runc() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", PROBE]);
    bundle.change(|config| config["process"]["noNewPrivileges"] = json!(true));
    let ours = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(ours.code, 0, "{}", ours.stderr);
    let mut runc = Command::new("runc");
    runc.arg("--root").arg(bundle.carboy.folder().join("runc")).args(["run", "--bundle", bundle.path(), &bundle.id]);
    let theirs = ended(runc.stdin(Stdio::null()));
    assert_eq!(theirs.code, 0, "runc is needed: {}", theirs.stderr);
    // On a host with v1 and v2 runc leaves v2 out.
    let shown = |line: &&str| *line != "/sys/fs/cgroup/unified";
    let lines = |text: &str| text.lines().filter(shown).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&ours.stdout), lines(&theirs.stdout));
    bundle.gone();
}

#[test]
fn a_group_that_is_somebody_elses_is_not_taken_and_not_harmed() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let another = format!("{}-too", bundle.id);
    let refused = bundle.run(&["create", "--bundle", bundle.path(), &another]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("linux.cgroupsPath"), "{}", refused.stderr);
    assert_eq!(bundle.status(), "running", "the one that has the group");
    assert!(bundle.run(&["state", &another]).stderr.contains("does not exist"));
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
    // One that stands in a single hierarchy, and was not made by a container: a process is in one below it.
    let group = carboy_e2e::group::hierarchy("memory").point().join(&bundle.id);
    fs::create_dir_all(group.join("below")).unwrap();
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(group.join("below/cgroup.procs"), other.id().to_string()).unwrap();
    let refused = bundle.run(&["create", "--bundle", bundle.path(), &bundle.id]);
    assert!(refused.code == 1 && refused.stderr.contains("exists already"), "{}", refused.stderr);
    assert!(other.try_wait().unwrap().is_none(), "it still runs");
    other.kill().unwrap();
    other.wait().unwrap();
    carboy_e2e::eventually("the groups are let go of", || fs::remove_dir(group.join("below")).is_ok());
    fs::remove_dir(&group).expect("it is still there");
    bundle.gone();
}

#[test]
fn a_group_that_was_prepared_with_nobody_in_it_is_the_containers_with_what_was_set_there() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    let group = carboy_e2e::group::hierarchy("pids").point().join(&bundle.id);
    fs::create_dir(&group).unwrap();
    fs::write(group.join("pids.max"), "77").unwrap();
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap().trim().to_owned();
    assert_eq!(read("pids.max"), "77");
    assert_eq!(read("cgroup.procs"), bundle.state()["pid"].to_string());
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!group.exists(), "it goes with the container, as under runc");
    bundle.gone();
}

#[test]
fn a_hook_in_the_container_that_fails_or_takes_too_long_is_named_and_the_program_does_not_run() {
    for (hook, reason) in [
        (json!({"path": "/nonexistent", "args": ["sh"]}), "cannot be run: no such file or directory"),
        (json!({"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}), "took longer than its timeout of 1 s"),
    ] {
        let bundle = Bundle::new();
        bundle.args(&["touch", "/tmp/ran"]);
        bundle.change(|config| config["hooks"] = json!({"startContainer": [hook]}));
        bundle.create();
        let refused = bundle.run(&["start", &bundle.id]);
        assert_eq!(refused.code, 1);
        let named = format!("hooks.startContainer {}: {reason}", hook["path"].as_str().unwrap());
        assert!(refused.stderr.contains(&named), "{}", refused.stderr);
        assert!(!bundle.carboy.folder().join("busybox/tmp/ran").exists());
        bundle.gone();
    }
}
