//! Containers as units of systemd: on a host that systemd runs, on cgroup v2, whoever looks there finds them with their
//! limits, and nothing that systemd does changes them. systemd.resource-control(5).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::group::{folder, setting};
use carboy_e2e::waiting::{WAIT, ends_well, waiting};
use carboy_e2e::{Attended, Carboy, ended, eventually};
use serde_json::{Value, json};

fn systemctl(words: &[&str]) -> String {
    ended(Command::new("systemctl").args(words)).stdout.trim().to_owned()
}

/// The container's unit, from its group.
fn unit(carboy: &Carboy, slice: &str) -> String {
    let document = carboy.inspect("it");
    let (group, id) = (document["CgroupPath"].as_str().unwrap(), document["Id"].as_str().unwrap());
    let unit = format!("carboy-{id}.scope");
    assert_eq!(group, format!("/{slice}/{unit}"));
    unit
}

#[test]
fn a_container_is_a_scope_with_its_limits_as_properties() {
    let carboy = Carboy::new();
    let flags = ["-m", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit", "33", "--cpuset-cpus", "0"];
    let container = waiting(&carboy, &flags);
    let unit = unit(&carboy, "system.slice");
    let shown = |property: &str| systemctl(&["show", "--value", "--property", property, &unit]);
    assert_eq!(shown("ActiveState"), "active");
    assert_eq!(shown("MemoryMax"), (64_u64 << 20).to_string());
    assert_eq!(shown("MemorySwapMax"), "0");
    assert_eq!(shown("CPUQuotaPerSecUSec"), "500ms");
    assert_eq!(shown("TasksMax"), "33");
    assert_eq!(shown("AllowedCPUs"), "0");
    assert_eq!(shown("Delegate"), "yes");
    let tasks = fs::read_to_string(folder(&carboy, "it", "pids").join("cgroup.procs")).unwrap();
    assert_eq!(tasks.lines().count(), 1, "the process that kept the scope has left it");
    ends_well(&carboy, container);
    assert_eq!(systemctl(&["show", "--value", "--property", "LoadState", &unit]), "not-found");
}

#[test]
fn what_systemd_writes_anew_is_what_was_asked_for() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["-m", "64m", "--cpus", "0.333", "--device-cgroup-rule", "c 10:229 rw"]);
    let unit = unit(&carboy, "system.slice");
    let limits = || (setting(&carboy, "it", "memory", ("", "max")), setting(&carboy, "it", "pids", ("", "max")));
    let before = limits();
    systemctl(&["daemon-reload"]);
    systemctl(&["set-property", "--runtime", &unit, "CPUWeight=50"]);
    assert_eq!(limits(), before);
    let null = carboy.run(["exec", "it", "sh", "-c", ": > /dev/null && echo wrote"]);
    assert_eq!((null.code, null.stdout.as_str()), (0, "wrote\n"), "{}", null.stderr);
    ends_well(&carboy, container);
}

#[test]
fn an_update_is_in_the_group_and_in_systemd() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["-m", "64m", "--pids-limit", "33"]);
    let unit = unit(&carboy, "system.slice");
    let updated = carboy.run(["update", "-m", "128m", "--memory-swap", "256m", "--pids-limit", "44", "it"]);
    assert_eq!((updated.code, updated.stdout.as_str(), updated.stderr.as_str()), (0, "it\n", ""));
    assert_eq!(setting(&carboy, "it", "memory", ("", "max")), (128_u64 << 20).to_string());
    assert_eq!(systemctl(&["show", "--value", "--property", "MemoryMax", &unit]), (128_u64 << 20).to_string());
    assert_eq!(systemctl(&["show", "--value", "--property", "TasksMax", &unit]), "44");
    systemctl(&["daemon-reload"]);
    assert_eq!(setting(&carboy, "it", "pids", ("", "max")), "44");
    ends_well(&carboy, container);
}

#[test]
fn a_slice_is_a_parent_and_what_is_none_is_refused() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["--cgroup-parent", "carboytest-web.slice"]);
    unit(&carboy, "carboytest.slice/carboytest-web.slice");
    ends_well(&carboy, container);
    systemctl(&["stop", "carboytest-web.slice", "carboytest.slice"]);
    let root = carboy.busybox();
    let refused = carboy.run(["run", "--rm", "--cgroup-parent", "/team", root.to_str().unwrap(), "true"]);
    assert_eq!(refused.code, 125);
    assert_eq!(
        refused.stderr,
        "error: cannot use --cgroup-parent /team: is no slice, and systemd makes the cgroups here\n\
         hint: name one, as --cgroup-parent team.slice, or add --cgroup-manager cgroupfs\n"
    );
}

#[test]
fn carboy_can_make_the_groups_itself_too() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["--cgroup-manager", "cgroupfs", "-m", "64m"]);
    let document = carboy.inspect("it");
    let (group, id) = (document["CgroupPath"].as_str().unwrap(), document["Id"].as_str().unwrap());
    assert_eq!(group, format!("/carboy-{id}"));
    assert_eq!(setting(&carboy, "it", "memory", ("", "max")), (64_u64 << 20).to_string());
    ends_well(&carboy, container);
}

#[test]
fn a_container_that_cannot_start_leaves_no_unit() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let scopes = || systemctl(&["list-units", "--all", "--plain", "--no-legend", "carboy-*.scope"]);
    for flags in [["--", "no-such-command"], ["--pids-limit=33", "no-such-command"]] {
        let [flag, command] = flags;
        let failed = carboy.run(["run", "--rm", flag, root.to_str().unwrap(), command]);
        assert_eq!(failed.code, 127, "{}", failed.stderr);
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
    assert_eq!(scopes(), "");
}

#[test]
fn memory_that_runs_out_is_told_as_anywhere() {
    let carboy = Carboy::new();
    let flags = ["run", "--name", "eater", "-m", "64m", "--memory-swap", "64m"];
    let words = flags.into_iter().chain(["host", "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]);
    let ended = carboy.run(words);
    assert_eq!(ended.code, 137, "{}", ended.stderr);
    assert!(ended.stderr.contains("out of memory") && ended.stderr.contains("64 MiB"), "{}", ended.stderr);
    assert_eq!(carboy.run(["rm", "eater"]).code, 0);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// The exit code of one that was killed.
const KILLED: i32 = 137;
/// What eats more memory than there is.
const EATS: &str = "exec dd if=/dev/zero of=/dev/null bs=100M count=1";

/// Runs this in a container of 64 MiB.
fn small(carboy: &Carboy, flags: &[&str], script: &str) -> i32 {
    let root = carboy.busybox();
    let limit = ["run", "-m", "64m", "--memory-swap", "64m"].into_iter().chain(flags.iter().copied());
    carboy.run(limit.chain([root.to_str().unwrap(), "sh", "-c", script])).code
}

fn monitor_sleeps(carboy: &Carboy, name: &str) -> bool {
    let pid = carboy.inspect(name)["State"]["Pid"].as_i64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    fs::read(format!("/proc/{monitor}/cmdline")).unwrap().starts_with(b"carboy-monitor\0asleep\0")
}

/// Whether it is told how one has ended, and what it has cost.
fn is_told(carboy: &Carboy, name: &str, code: i32) {
    let (state, killed) = (carboy.inspect(name)["State"].clone(), code == KILLED);
    assert_eq!((&state["ExitCode"], &state["OOMKilled"]), (&json!(code), &json!(killed)), "{name}");
    let cost = |key: &str| state["Receipt"][key].as_u64();
    let all = ["CPUUsec", "MemoryPeakBytes", "ReadBytes", "WrittenBytes"].map(cost);
    assert!(all.iter().all(Option::is_some), "{name}: {}", state["Receipt"]);
    let peak = all[1].unwrap();
    assert!(
        all[0] > Some(0) && if killed { peak > 48 << 20 } else { (1..48 << 20).contains(&peak) },
        "{name}: {all:?}"
    );
    let told = carboy.run(["why", name]).stdout;
    assert_eq!(told.contains("for want of memory"), killed, "{name}: {told}");
    assert!(!told.contains("not known"), "{name}: {told}");
}

/// systemd takes a scope's group away as soon as it is empty, and what was counted there with it.
#[test]
fn what_killed_it_and_what_it_cost_is_known_however_fast_systemd_takes_its_group_away() {
    let carboy = Carboy::new();
    let end = |code| if code == KILLED { EATS } else { "exit 3" };
    let late: Vec<(String, i32)> =
        (0..15).map(|number| (format!("late{number}"), if number % 3 == 0 { KILLED } else { 3 })).collect();
    for (name, code) in &late {
        let script = format!("trap '{}' TERM; sleep 300 & wait", end(*code));
        assert_eq!(small(&carboy, &["-d", "--name", name], &script), 0);
    }
    for number in 0..15 {
        let (name, code) = (format!("now{number}"), if number % 3 == 0 { 3 } else { KILLED });
        assert_eq!(small(&carboy, &["--name", &name], end(code)), code);
        is_told(&carboy, &name, code);
    }
    eventually("all monitors sleep", || late.iter().all(|(name, _)| monitor_sleeps(&carboy, name)));
    // All of them end at once.
    let names = late.iter().map(|(name, _)| name.as_str());
    assert_eq!(carboy.run(["kill", "--signal", "TERM"].into_iter().chain(names)).code, 0);
    for (name, code) in &late {
        assert_eq!(carboy.run(["wait", name]).stdout, format!("{code}\n"));
        is_told(&carboy, name, *code);
    }
}

const USER: u32 = 4_712;

/// Runs a command of carboy as a user who has logged in.
fn as_user(carboy: &Carboy, words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    let ids = [format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()];
    command.args(ids).arg(carboy.folder().join("carboy")).args(words);
    command.env("HOME", carboy.folder().join("home")).env("XDG_RUNTIME_DIR", format!("/run/user/{USER}"));
    command.env_remove("XDG_DATA_HOME");
    command
}

#[test]
fn a_users_container_is_a_scope_of_their_own_systemd() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let home = carboy.folder().join("home");
    fs::create_dir(&home).unwrap();
    let (folder, owner) = (carboy.folder().to_str().unwrap().to_owned(), format!("{USER}:{USER}"));
    run("cp", &[carboy_e2e::program().to_str().unwrap(), &format!("{folder}/carboy")]);
    run("chmod", &["755", &folder]);
    run("chown", &["-R", "-h", &owner, home.to_str().unwrap(), root.to_str().unwrap()]);
    let _session = Session::open();
    let root = root.to_str().unwrap();
    let words = ["run", "--rm", "-i", "--name", "it", "-m", "64m", "--pids-limit", "5", root, "sh", "-c", WAIT];
    let mut container = Attended::start(&mut as_user(&carboy, &words));
    let line = container.line();
    assert_eq!(line, "ready", "{}", if line.is_empty() { container.end().stderr } else { line.clone() });
    let inspected = ended(&mut as_user(&carboy, &["inspect", "it"]));
    let document: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let (group, id) = (document[0]["CgroupPath"].as_str().unwrap(), document[0]["Id"].as_str().unwrap());
    let unit = format!("carboy-{id}.scope");
    assert_eq!(group, format!("/user.slice/user-{USER}.slice/user@{USER}.service/user.slice/{unit}"));
    let file = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup{group}/{name}")).unwrap().trim().to_owned();
    assert_eq!((file("memory.max"), file("pids.max")), ((64 << 20).to_string(), "5".to_owned()));
    let forks =
        ended(&mut as_user(&carboy, &["exec", "it", "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 1 & done; wait"]));
    assert!(forks.stderr.contains("can't fork"), "{}", forks.stderr);
    let updated = ended(&mut as_user(&carboy, &["update", "--pids-limit", "9", "it"]));
    assert_eq!((updated.code, updated.stderr.as_str(), file("pids.max").as_str()), (0, "", "9"));
    let paused = ended(&mut as_user(&carboy, &["pause", "it"]));
    assert_eq!((paused.code, paused.stderr.as_str()), (0, ""));
    let removed = ended(&mut as_user(&carboy, &["rm", "-f", "it"]));
    assert_eq!((removed.code, removed.stderr.as_str()), (0, ""));
    assert_eq!(container.end().code, 137);
    assert!(!std::path::Path::new(&format!("/sys/fs/cgroup{group}")).exists());
}

/// What a user has while they are logged in.
struct Session;

impl Session {
    fn open() -> Self {
        run("useradd", &["--uid", &USER.to_string(), "--no-create-home", "carboyuser"]);
        run("systemctl", &["start", &format!("user@{USER}.service")]);
        Self
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        run("systemctl", &["stop", &format!("user@{USER}.service"), &format!("user-runtime-dir@{USER}.service")]);
        run("userdel", &["carboyuser"]);
    }
}

fn run(program: &str, words: &[&str]) {
    assert!(Command::new(program).args(words).status().unwrap().success(), "{program} {words:?}");
}

/// `linux.cgroup.systemdUser` of `features`.
#[test]
fn a_users_oci_container_is_a_scope_of_their_own_systemd() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let (folder, owner) = (carboy.folder().to_str().unwrap().to_owned(), format!("{USER}:{USER}"));
    run("cp", &[carboy_runtime().to_str().unwrap(), &format!("{folder}/carboy")]);
    run("chmod", &["755", &folder]);
    run("chown", &["-R", "-h", &owner, root.to_str().unwrap()]);
    let map = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    let kinds = ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"].map(|kind| json!({"type": kind}));
    let config = json!({
        "ociVersion": "1.3.0",
        "process": {"args": ["sleep", "1000"], "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": root},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": kinds, "uidMappings": map, "gidMappings": map,
            "resources": {"pids": {"limit": 5}, "memory": {"limit": 64 << 20}}},
    });
    fs::write(carboy.folder().join("config.json"), config.to_string()).unwrap();
    let _session = Session::open();
    let runtime = |words: &[&str]| as_user(&carboy, &[&["--systemd-cgroup"], words].concat());
    let told = ended(&mut runtime(&["features"]));
    let features: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(features["linux"]["cgroup"]["systemdUser"], json!(true));
    let log = fs::File::create(carboy.folder().join("log")).unwrap();
    let mut started = runtime(&["run", "--detach", "--bundle", &folder, "it"]);
    let started = started.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).status().unwrap();
    assert!(started.success(), "{}", fs::read_to_string(carboy.folder().join("log")).unwrap());
    let state: Value = serde_json::from_str(&ended(&mut runtime(&["state", "it"])).stdout).unwrap();
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", state["pid"])).unwrap();
    let group = groups.trim().strip_prefix("0::").unwrap().to_owned();
    assert!(group.starts_with(&format!("/user.slice/user-{USER}.slice/user@{USER}.service/")), "{group}");
    assert!(group.ends_with("-it.scope"), "{group}");
    let file = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup{group}/{name}")).unwrap().trim().to_owned();
    assert_eq!((file("memory.max"), file("pids.max")), ((64 << 20).to_string(), "5".to_owned()));
    let inside = ended(&mut runtime(&["exec", "it", "cat", "/proc/self/cgroup"]));
    assert_eq!((inside.code, inside.stdout.as_str()), (0, "0::/\n"), "{}", inside.stderr);
    let updated = ended(&mut runtime(&["update", "--pids-limit", "9", "it"]));
    assert_eq!((updated.code, updated.stderr.as_str(), file("pids.max").as_str()), (0, "", "9"));
    let deleted = ended(&mut runtime(&["delete", "--force", "it"]));
    assert_eq!((deleted.code, deleted.stderr.as_str()), (0, ""));
    assert!(!std::path::Path::new(&format!("/sys/fs/cgroup{group}")).exists());
}
