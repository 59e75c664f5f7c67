//! The life of a container as the runtime specification's own suites look at it: which operation is allowed in which
//! state, what hooks are told and when, what must not be applied too early. Runtime specification, runtime.md.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{ended, eventually};
use serde_json::{Value, json};

/// What a program of busybox calls, as a profile has it that was written before faccessat2 and close_range.
const OLD_CALLS: [&str; 45] = [
    "access",
    "arch_prctl",
    "brk",
    "capset",
    "chdir",
    "clone",
    "close",
    "dup",
    "dup2",
    "execve",
    "exit",
    "exit_group",
    "faccessat",
    "fcntl",
    "fstat",
    "getcwd",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "getuid",
    "ioctl",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "open",
    "openat",
    "prctl",
    "read",
    "readlink",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "set_tid_address",
    "setgid",
    "setgroups",
    "setresgid",
    "setresuid",
    "stat",
    "uname",
    "write",
];

#[test]
fn a_filter_that_is_older_than_the_runtimes_own_calls_does_not_keep_a_program_from_running() {
    let bundle = Bundle::new();
    bundle.args(&["echo", "it runs"]);
    bundle.change(|config| {
        let rule = json!({"names": OLD_CALLS.to_vec(), "action": "SCMP_ACT_ALLOW"});
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]});
    });
    for no_new_privileges in [false, true] {
        bundle.change(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
        let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "it runs\n"), "{}", ran.stderr);
    }
    bundle.gone();
}

/// The mounts of a process's namespace, as mountinfo tells them but for their ids.
fn mounts(pid: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap().to_owned()).collect()
}

/// Gives the container no new mount namespace, but none or that of a file.
fn share_mounts(bundle: &Bundle, path: Option<&str>) {
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "mount");
        namespaces.extend(path.map(|path| json!({"type": "mount", "path": path})));
    });
}

#[test]
fn a_container_in_the_hosts_mount_namespace_changes_no_mount_outside_its_roots_folder_and_leaves_none() {
    let bundle = Bundle::new();
    share_mounts(&bundle, None);
    bundle.args(&["sleep", "1000"]);
    // This process may share a namespace with tests beside it, which mount for themselves.
    let own = |pid: &str| mounts(pid).into_iter().filter(|line| line.contains(bundle.path())).count();
    let root = || mounts("self").into_iter().find(|line| line.split(' ').nth(2) == Some("/")).unwrap();
    let before = root();
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    let pid = bundle.state()["pid"].to_string();
    assert_eq!(namespace(&pid), namespace("self"));
    assert!(own("self") > 1, "the root and what is mounted below it");
    assert_eq!(root(), before, "what the host's root takes part in");
    let folder = bundle.carboy.folder().join("busybox");
    assert_eq!(fs::read_link(format!("/proc/{pid}/root")).unwrap(), folder);
    let exec = bundle.run(&["exec", &bundle.id, "ls", "/proc/self/exe", "/etc/passwd", "/usr"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (1, "/etc/passwd\n/proc/self/exe\n"), "{}", exec.stderr);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert_eq!(own("self"), 0);
    bundle.gone();
}

#[test]
fn what_covers_the_roots_folder_and_is_not_the_containers_stays_when_it_is_deleted() {
    let bundle = Bundle::new();
    share_mounts(&bundle, None);
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let folder = bundle.carboy.folder().join("busybox");
    let mount = |words: &[&str]| assert_eq!(ended(Command::new("mount").args(words).arg(&folder)).code, 0);
    mount(&["-t", "tmpfs", "another"]);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    let covers = |line: &String| line.contains(" - tmpfs another ") && line.contains(bundle.path());
    assert!(mounts("self").iter().any(covers));
    for _ in 0..2 {
        assert_eq!(ended(Command::new("umount").arg("--lazy").arg(&folder)).code, 0);
    }
    bundle.gone();
}

#[test]
fn a_container_in_a_joined_mount_namespace_leaves_the_others_in_it_their_root() {
    let bundle = Bundle::new();
    let mut other = Command::new("unshare").args(["--mount", "sleep", "1000"]).spawn().unwrap();
    let pid = other.id().to_string();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    eventually("it sleeps", || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "sleep\n");
    let before = mounts(&pid);
    share_mounts(&bundle, Some(&format!("/proc/{pid}/ns/mnt")));
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    assert_eq!(namespace(&bundle.state()["pid"].to_string()), namespace(&pid));
    assert!(mounts(&pid).len() > before.len());
    assert!(fs::exists(format!("/proc/{pid}/root/usr/bin/unshare")).unwrap());
    let exec = bundle.run(&["exec", &bundle.id, "ls", "/etc/passwd", "/usr"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (1, "/etc/passwd\n"), "{}", exec.stderr);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert_eq!(mounts(&pid), before);
    bundle.gone();
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn the_root_of_a_user_namespace_may_mount_nothing_in_the_hosts_mount_namespace() {
    let bundle = Bundle::new();
    share_mounts(&bundle, None);
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    let refused = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("linux.namespaces"), "{}", refused.stderr);
    bundle.gone();
}

/// The runtimes that a test looks at side by side.
fn ours_and_runc() -> [Bundle; 2] {
    let mut theirs = Bundle::new();
    theirs.runtime = "runc".into();
    [Bundle::new(), theirs]
}

/// Brings a new container into a state.
fn bring(bundle: &Bundle, state: &str) {
    bundle.args(if state == "stopped" { &["true"] } else { &["sleep", "1000"] });
    if state == "absent" {
        return;
    }
    bundle.create();
    if state != "created" {
        assert_eq!(bundle.stays(&["start", &bundle.id]), 0);
    }
    if state == "paused" {
        assert_eq!(bundle.stays(&["pause", &bundle.id]), 0);
    }
    eventually(state, || bundle.status() == state);
}

#[test]
fn what_may_be_done_in_which_state_is_the_same_as_with_runc() {
    let operations = [
        ["state", "", ""],
        ["start", "", ""],
        ["kill", "", "CONT"],
        ["kill", "--all", "CONT"],
        ["delete", "", ""],
        ["delete", "--force", ""],
        ["exec", "", "true"],
        ["pause", "", ""],
        ["resume", "", ""],
        ["ps", "", ""],
        ["update", "--pids-limit=9", ""],
    ];
    let bundles = ours_and_runc();
    for state in ["absent", "created", "running", "paused", "stopped"] {
        let mut now = [None, None];
        for [operation, option, word] in operations {
            // runc waits for what is paused before it kills it, and lets it go on when it has sent a signal to all.
            if state == "paused" && (operation == "delete" || option == "--all") {
                continue;
            }
            let mut done = Vec::new();
            for (bundle, now) in bundles.iter().zip(&mut now) {
                if now.as_deref() != Some(state) {
                    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
                    bring(bundle, state);
                }
                let words = [operation, option, &bundle.id, word].into_iter().filter(|word| !word.is_empty());
                let ended = bundle.run(&words.collect::<Vec<_>>());
                let told: Option<Value> = serde_json::from_str(&bundle.run(&["state", &bundle.id]).stdout).ok();
                *now = Some(told.map_or("absent".to_owned(), |told| told["status"].as_str().unwrap().to_owned()));
                done.push((ended.code == 0, now.clone(), ended.stderr));
            }
            let [ours, theirs] = [&done[0], &done[1]];
            assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1), "{operation} {option} of {state}: {done:?}");
        }
    }
    assert_eq!(bundles[0].run(&["delete", "--force", &bundles[0].id]).code, 0);
    bundles[0].gone();
}

#[test]
fn what_is_paused_before_it_was_started_is_not_started_until_it_is_resumed() {
    for bundle in ours_and_runc() {
        bring(&bundle, "created");
        assert_eq!(bundle.stays(&["pause", &bundle.id]), 0);
        assert_eq!(bundle.status(), "paused");
        let refused = bundle.run(&["start", &bundle.id]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("cannot start a container in the paused state"), "{}", refused.stderr);
        assert_eq!(bundle.run(&["resume", &bundle.id]).code, 0);
        assert_eq!(bundle.status(), "created", "what was refused has not begun");
        assert_eq!(bundle.stays(&["start", &bundle.id]), 0);
        assert_eq!(bundle.status(), "running");
        assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
        bundle.gone();
    }
}

#[test]
fn errors_have_the_words_that_engines_look_for() {
    let bundle = Bundle::new();
    let cases = [
        ("absent", vec!["state"], "does not exist"),
        ("absent", vec!["kill"], "does not exist"),
        ("absent", vec!["delete"], "does not exist"),
        ("running", vec!["start"], "cannot start an already running container"),
        ("running", vec!["delete"], "that is not stopped"),
        ("stopped", vec!["start"], "cannot start a container that has stopped"),
        ("stopped", vec!["kill"], "container not running"),
        ("stopped", vec!["exec", "true"], "container not running"),
        ("stopped", vec!["pause"], "container not running"),
        ("running", vec!["resume"], "container not paused"),
        ("running", vec!["create", "--bundle", bundle.path()], "container with given ID already exists"),
    ];
    for (state, mut words, text) in cases {
        bring(&bundle, state);
        let last = if words[0] == "exec" { 1 } else { words.len() };
        words.insert(last, &bundle.id);
        let ended = bundle.run(&words);
        assert_ne!(ended.code, 0, "{state} {words:?}");
        assert!(ended.stderr.contains(text), "{state} {words:?}: {}", ended.stderr);
        assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    }
    bundle.gone();
}

#[test]
fn a_container_can_be_deleted_as_soon_as_its_short_program_was_started() {
    let bundle = Bundle::new();
    bundle.args(&["true"]);
    for _ in 0..5 {
        bundle.create();
        assert_eq!(bundle.stays(&["start", &bundle.id]), 0);
        let deleted = bundle.run(&["delete", &bundle.id]);
        assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    }
    bundle.gone();
}

/// What `count` callers at once end with, sorted.
fn at_once(bundle: &Bundle, count: usize, words: &[&str]) -> Vec<i32> {
    let mut commands: Vec<_> = (0..count).map(|_| bundle.command(words)).collect();
    let started =
        commands.iter_mut().map(|command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let started: Vec<_> = started.collect();
    let codes = started.into_iter().map(|mut child| child.wait().unwrap().code().unwrap());
    let mut codes: Vec<i32> = codes.collect();
    codes.sort_unstable();
    codes
}

#[test]
fn of_callers_that_do_the_same_at_once_one_succeeds() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "echo started >> /tmp/started; sleep 1000"]);
    let create = ["create", "--bundle", bundle.path(), &bundle.id];
    assert_eq!(at_once(&bundle, 6, &create), [0, 1, 1, 1, 1, 1]);
    assert_eq!(bundle.status(), "created");
    assert_eq!(at_once(&bundle, 6, &["start", &bundle.id]), [0, 1, 1, 1, 1, 1]);
    let started = bundle.carboy.folder().join("busybox/tmp/started");
    eventually("it has started", || fs::read_to_string(&started).is_ok_and(|text| text.ends_with('\n')));
    assert_eq!(fs::read_to_string(&started).unwrap(), "started\n");
    assert_eq!(bundle.run(&["kill", &bundle.id, "KILL"]).code, 0);
    eventually("it has stopped", || bundle.status() == "stopped");
    assert_eq!(at_once(&bundle, 6, &["delete", &bundle.id]), [0, 1, 1, 1, 1, 1]);
    bundle.gone();
}

#[test]
fn a_runtime_that_is_killed_while_a_hook_runs_leaves_a_state_that_can_be_read_and_deleted() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    let began = bundle.carboy.folder().join("began");
    let script = format!("echo $$ > {}; exec sleep 1000", began.display());
    bundle.change(|config| {
        config["hooks"] =
            json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]}]});
    });
    let mut command = bundle.command(&["create", "--bundle", bundle.path(), &bundle.id]);
    let mut create = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let hook = || fs::read_to_string(&began).ok().and_then(|pid| pid.trim().parse().ok());
    eventually("the hook runs", || hook().is_some());
    create.kill().unwrap();
    create.wait().unwrap();
    eventually("the child is gone with its parent", || bundle.status() == "stopped");
    assert!(bundle.run(&["list", "--quiet"]).stdout.contains(&bundle.id));
    let hook = rustix::process::Pid::from_raw(hook().unwrap()).unwrap();
    rustix::process::kill_process(hook, rustix::process::Signal::KILL).unwrap();
    assert_eq!(bundle.run(&["delete", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn the_configuration_is_read_when_the_container_is_created_and_not_again() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "echo one > /tmp/which; hostname > /tmp/host"]);
    bundle.create();
    bundle.args(&["sh", "-c", "echo other > /tmp/which"]);
    bundle.change(|config| config["hostname"] = json!("other"));
    let read = |name: &str| fs::read_to_string(bundle.carboy.folder().join("busybox/tmp").join(name));
    assert!(read("which").is_err(), "the program runs when it is started");
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    eventually("it has stopped", || bundle.status() == "stopped");
    assert_eq!((read("which").unwrap().as_str(), read("host").unwrap().as_str()), ("one\n", "carboy\n"));
    assert_eq!(bundle.run(&["delete", &bundle.id]).code, 0);
    bundle.gone();
}

/// Hooks that write what they are told, a line each: the name, the PID, the status.
fn telling(bundle: &Bundle, names: &[&str]) {
    let log = bundle.carboy.folder().join("hooks");
    let inside = "/tmp/hooks";
    bundle.change(|config| {
        for name in names {
            let log = if *name == "startContainer" { inside } else { log.to_str().unwrap() };
            let words = r#"tr , '\n' | grep -E '"(pid|status)"' | tr -d '"{}' | sort | tr '\n' ' '"#;
            let script = format!("{{ echo -n '{name} '; {words}; echo; }} >> {log}");
            let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]});
            config["hooks"][*name] = json!([hook]);
        }
    });
}

fn told(bundle: &Bundle) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(bundle.carboy.folder().join(path)).unwrap_or_default();
    let text = read("busybox/tmp/hooks") + &read("hooks");
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn each_hook_is_told_the_status_and_the_process_as_it_sees_it() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    telling(&bundle, &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]);
    bundle.create();
    let pid = bundle.state()["pid"].to_string();
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    let awaited = [
        "startContainer pid:1 status:created".to_owned(),
        format!("prestart pid:{pid} status:created"),
        format!("createRuntime pid:{pid} status:creating"),
        "createContainer pid:1 status:creating".to_owned(),
        format!("poststart pid:{pid} status:running"),
        "poststop status:stopped".to_owned(),
    ];
    assert_eq!(told(&bundle), awaited);
    bundle.gone();
}

#[test]
fn a_hook_that_fails_when_the_container_is_started_has_it_stopped_and_destroyed() {
    for failing in ["startContainer", "poststart"] {
        let bundle = Bundle::new();
        bundle.args(&["sh", "-c", "touch /tmp/ran; sleep 1000"]);
        telling(&bundle, &["poststop"]);
        bundle.change(|config| config["hooks"][failing] = json!([{"path": "/bin/false"}]));
        bundle.create();
        let pid = bundle.state()["pid"].to_string();
        let refused = bundle.run(&["start", &bundle.id]);
        assert_eq!(refused.code, 1);
        assert!(
            refused.stderr.contains(&format!("hooks.{failing} /bin/false: ended with code 1")),
            "{}",
            refused.stderr
        );
        eventually("it is gone", || !fs::exists(format!("/proc/{pid}/ns/pid")).unwrap());
        if failing == "startContainer" {
            assert!(!bundle.carboy.folder().join("busybox/tmp/ran").exists());
        }
        assert_eq!(told(&bundle), ["poststop status:stopped"]);
        bundle.gone();
    }
}

#[test]
fn a_last_hook_that_fails_is_warned_of_and_those_behind_it_are_called() {
    let bundle = Bundle::new();
    bundle.args(&["true"]);
    telling(&bundle, &["poststop"]);
    bundle.change(|config| {
        let hooks = config["hooks"]["poststop"].as_array_mut().unwrap();
        hooks.insert(0, json!({"path": "/bin/false"}));
    });
    bundle.create();
    let deleted = bundle.run(&["delete", &bundle.id]);
    assert_eq!(deleted.code, 0);
    assert!(deleted.stderr.contains("warning: cannot use hooks.poststop /bin/false"), "{}", deleted.stderr);
    assert_eq!(told(&bundle), ["poststop status:stopped"]);
    bundle.gone();
}

#[test]
fn a_hook_without_an_environment_has_that_of_where_it_runs() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    let log = bundle.carboy.folder().join("env");
    let hook = |log: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("echo $OF >> {log}")]}]);
    bundle.change(|config| {
        config["process"]["env"] = json!(["PATH=/bin", "OF=container"]);
        config["hooks"] = json!({"createRuntime": hook(log.to_str().unwrap()), "startContainer": hook("/tmp/env")});
    });
    let mut create = bundle.command(&["create", "--bundle", bundle.path(), &bundle.id]);
    let created = create.env("OF", "caller").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(created.success());
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    assert_eq!(fs::read_to_string(log).unwrap(), "caller\n");
    assert_eq!(fs::read_to_string(bundle.carboy.folder().join("busybox/tmp/env")).unwrap(), "container\n");
}

#[test]
fn a_capability_that_no_kernel_has_is_warned_of_in_runcs_words() {
    let bundle = Bundle::new();
    bundle.args(&["true"]);
    bundle.change(|config| {
        config["process"]["capabilities"]["bounding"] = json!(["CAP_CHOWN", "TEST_CAP", "CAP_OTHER"]);
    });
    let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(ran.code, 0);
    for name in ["TEST_CAP", "CAP_OTHER"] {
        let words = format!("ignoring unknown or unavailable capabilities: [{name}]");
        assert!(ran.stderr.contains(&words), "{}", ran.stderr);
    }
}
