//! `see` and the containers of containerd, LXC and systemd-nspawn, each run by its own program: whose they are, what they
//! are called, and what closes their doors, in their words. Users and strays too.
//!
//! The engines run in namespaces of the test's own with a /run of their own, and `see` looks from there: their state is
//! where it is on any host.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Command;

use carboy_e2e::engine::Engine;
use carboy_e2e::group::mount_points;
use carboy_e2e::user::{Account, Handed, User};
use carboy_e2e::waiting::{ends_well, waiting};
use carboy_e2e::{Attended, Carboy, ended, eventually, program};
use serde_json::Value;

/// What `see` finds from within the engine's namespaces.
fn seen(engine: &Engine, what: &str) -> Value {
    let carboy = program();
    let ended = engine.run([carboy.to_str().unwrap(), "see", "--json", what]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{what}");
    let mut document: Value = serde_json::from_str(&ended.stdout).unwrap();
    document["found"][0].take()
}

/// What closes the door that is this.
fn closing<'d>(container: &'d Value, what: &str) -> &'d str {
    let mut doors = container["doors"].as_array().unwrap().iter();
    let door = doors.find(|door| door["what"] == what);
    door.and_then(|door| door["closes"].as_str()).unwrap_or_default()
}

const ADMIN: &str = "it can mount what it likes: a new /proc, the host's disks";
const SETUID: &str = "setuid programs can raise privilege";

/// The list says in a row who it is, and which engine runs it.
fn is_listed(engine: &Engine, name: &str, by: &str) {
    let list = engine.run([program().to_str().unwrap(), "see"]).stdout;
    let row = list.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(row.split_whitespace().nth(1) == Some(by), "{list}");
}

#[test]
fn a_container_of_containerds_own_client_is_named() {
    let engine = Engine::new();
    let folder = engine.folder().display();
    let config = format!(
        "version = 2\nroot = '{folder}/root'\nstate = '/run/containerd'\n[grpc]\naddress = '{folder}/socket'\n\
         disabled_plugins = ['io.containerd.grpc.v1.cri']\n"
    );
    fs::write(engine.path("config.toml"), config).unwrap();
    let daemon = engine.daemon(["containerd", "--config", &engine.path("config.toml")]);
    let socket = engine.path("socket");
    let ctr = |words: &[&str]| engine.run([&["timeout", "60", "ctr", "--address", &socket], words].concat());
    eventually("containerd answers", || ctr(&["version"]).code == 0);
    let image = engine.image();
    assert_eq!(ctr(&["images", "import", &image]).code, 0);
    let group = format!("{}/web", engine.group());
    let run = ["run", "--detach", "--runtime", "io.containerd.runc.v2", "--privileged", "--cgroup", &group];
    let ran = ctr(&[&run[..], &["docker.io/library/probe:latest", "web", "sleep", "1000"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let web = seen(&engine, "web");
    assert_eq!((&web["engine"], &web["name"]), (&Value::from("containerd"), &Value::from("web")), "{web}");
    assert_eq!(closing(&web, ADMIN), "leave out --privileged and --cap-add CAP_SYS_ADMIN");
    is_listed(&engine, "web", "containerd");
    assert_eq!(ctr(&["tasks", "rm", "--force", "web"]).code, 0);
    drop(daemon);
}

/// A root of busybox with the folders that these engines mount on.
fn root(engine: &Engine) -> String {
    let _ = engine.archive();
    let root = engine.folder().join("busybox");
    for folder in ["run", "usr", "var"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("etc/os-release"), "ID=probe\n").unwrap();
    root.display().to_string()
}

#[test]
fn a_container_of_lxc_is_named() {
    let engine = Engine::new();
    let (root, group) = (root(&engine), engine.group());
    let group = group.trim_start_matches('/');
    let name = format!("box-{}", std::process::id());
    let folder = engine.folder().join("lxc").join(&name);
    fs::create_dir_all(&folder).unwrap();
    let config = format!(
        "lxc.uts.name = box\nlxc.rootfs.path = dir:{root}\nlxc.net.0.type = empty\nlxc.mount.auto = proc:mixed sys:mixed\n\
         lxc.init.cmd = /bin/sleep 1000\nlxc.apparmor.profile = unconfined\n\
         lxc.cgroup.dir.container = {group}/lxc.payload.{name}\nlxc.cgroup.dir.monitor = {group}/lxc.monitor.{name}\n\
         lxc.cgroup.dir.monitor.pivot = {group}/lxc.pivot\n"
    );
    fs::write(folder.join("config"), config).unwrap();
    let path = engine.path("lxc");
    assert!(Command::new("chmod").args(["755"]).arg(engine.folder()).status().unwrap().success());
    let log = engine.path("log");
    let started = engine.run(["lxc-start", "-P", &path, "-n", &name, "-d", "-l", "INFO", "-o", &log]);
    assert_eq!(started.code, 0, "{}", started.stderr);
    let seen = seen(&engine, &name);
    assert_eq!((&seen["engine"], &seen["name"]), (&Value::from("lxc"), &Value::from(name.as_str())), "{seen}");
    assert_eq!(closing(&seen, ADMIN), "lxc.cap.drop = sys_admin");
    assert_eq!(closing(&seen, SETUID), "lxc.no_new_privs = 1");
    is_listed(&engine, &name, "lxc");
    assert_eq!(engine.run(["lxc-stop", "-k", "-P", &path, "-n", &name]).code, 0);
    // It makes its groups below the caller's, wherever that is in a hierarchy, and leaves those above its own.
    let below = format!("*/{group}*");
    let found = ["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &below];
    eventually("its groups are gone", || {
        let _ = Command::new("find").args(found).args(["-exec", "rmdir", "{}", "+"]).output().unwrap();
        Command::new("find").args(found).output().unwrap().stdout.is_empty()
    });
}

#[test]
fn a_machine_of_systemd_nspawn_is_named_in_whatever_group_it_is() {
    let engine = Engine::new();
    let (root, group) = (root(&engine), engine.group());
    let mut script = String::new();
    for point in mount_points().into_iter().filter(|point| !point.join("cpuset.cpus").exists()) {
        let folder = format!("{}{group}", point.display());
        script += &format!("mkdir -p {folder} && echo 0 > {folder}/cgroup.procs && ");
    }
    let words = ["--quiet", "--register=no", "--keep-unit", "--private-network", "-M", "nest", "-D", &root];
    script += &format!("exec systemd-nspawn {} /bin/sleep 1000", words.join(" "));
    let daemon = engine.daemon(["sh", "-c", &script]);
    let list = || engine.run([program().to_str().unwrap(), "see"]).stdout;
    eventually("it runs", || list().lines().any(|line| line.starts_with("nest ")));
    is_listed(&engine, "nest", "nspawn");
    let nest = seen(&engine, "nest");
    assert_eq!((&nest["engine"], &nest["name"]), (&Value::from("nspawn"), &Value::from("nest")), "{nest}");
    assert_eq!(closing(&nest, ADMIN), "--drop-capability=CAP_SYS_ADMIN");
    drop(daemon);
}

#[test]
fn a_subordinate_user_is_found_by_its_number_on_the_host() {
    const UID: u32 = 64_131;
    /// Debian's nogroup: newgidmap wants the group that passwd(5) has.
    const GID: u32 = 65_534;
    let account = Account::new("carboysee", UID, GID, "1410300000-1410365535");
    let mut user = User { gid: GID, ..User::new(UID) };
    user.session = Handed::over(user.uid);
    let mut container = user.waiting("box", &["--user", "7", "--net", "none"]);
    let id = user.run(&["ps", "-q"]).stdout;
    let pid = user.run(&["inspect", "box"]).stdout;
    let pid: Value = serde_json::from_str(&pid).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", pid[0]["State"]["Pid"])).unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().split_whitespace().next().unwrap();
    let uid: u32 = uid.parse().unwrap();
    assert!((1_410_300_000..1_410_365_536).contains(&uid), "{uid}");
    let seen = ended(user.place.command(["see", "--json", &format!("uid:{uid}")]).env("LC_ALL", "C.UTF-8"));
    assert!(seen.code == 0 && seen.stdout.contains(id.trim()), "{}{}", seen.stdout, seen.stderr);
    let text = user.place.run(["see", id.trim()]).stdout;
    assert!(text.contains(&format!("uid {uid} on the host = 7 inside")), "{text}");
    container.tell("go");
    assert_eq!(container.end().code, 0);
    drop(account);
}

#[test]
fn a_process_that_was_moved_out_of_its_group_is_a_stray() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &[]);
    let session = Attended::start(&mut carboy.command(["exec", "it", "sleep", "987607"]));
    let of_sleep = |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\0987607\0");
    let mut pid = String::new();
    eventually("it sleeps", || {
        let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
        pid = names.into_iter().find(|name| of_sleep(name)).unwrap_or_default();
        !pid.is_empty()
    });
    let id = carboy.inspect("it")["Id"].as_str().unwrap().to_owned();
    for point in mount_points() {
        let _ = fs::write(point.join("cgroup.procs"), &pid);
    }
    let shown = carboy.run(["see", &id]).stdout;
    let line = format!("  {pid} sleep  in its namespaces alone");
    assert!(shown.contains("STRAYS") && shown.contains(&line), "{shown}");
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    session.end();
    ends_well(&carboy, container);
}
