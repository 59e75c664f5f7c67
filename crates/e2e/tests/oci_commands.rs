//! carboy-runtime's command line: what its callers write and read, under each of its names. Man pages runc(8), crun(1).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use carboy_e2e::bundle::{Bundle, carboy_runtime};
use carboy_e2e::{Ended, ended, eventually};
use serde_json::{Value, json};

/// Starts a container that sleeps, under an id of its own beside the bundle's.
fn start(bundle: &Bundle, id: &str) {
    bundle.args(&["sleep", "1000"]);
    bundle.change(|config| config["linux"]["cgroupsPath"] = json!(format!("/{id}")));
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), id]), 0);
}

fn status(bundle: &Bundle, id: &str) -> String {
    let state: Value = serde_json::from_str(&bundle.run(&["state", id]).stdout).unwrap();
    state["status"].as_str().unwrap().to_owned()
}

/// The runtime under another name.
fn named(bundle: &Bundle, name: &str, words: &[&str]) -> Ended {
    let link = bundle.carboy.folder().join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(carboy_runtime(), &link).unwrap();
    }
    ended(Command::new(link).args(words).stdin(Stdio::null()))
}

#[test]
fn each_command_tells_of_itself_and_refuses_what_it_does_not_have() {
    let bundle = Bundle::new();
    let tables: Value = serde_json::from_str(&bundle.run(&["help", "--format", "json"]).stdout).unwrap();
    let commands = tables["commands"].as_array().unwrap();
    let all = bundle.run(&["--help"]);
    assert_eq!(all.code, 0);
    for command in commands {
        let name = command["name"].as_str().unwrap();
        assert!(all.stdout.lines().any(|line| line.trim_start().starts_with(name)), "{name}");
        let help = bundle.run(&[name, "--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{name}");
        assert!(help.stdout.starts_with(&format!("Usage: carboy-runtime {name}")), "{}", help.stdout);
        for flag in command["flags"].as_array().unwrap() {
            assert!(help.stdout.contains(&format!("--{}", flag["long"].as_str().unwrap())), "{name} {flag}");
        }
        let refused = bundle.run(&[name, "--nosuch", "x"]);
        let code = if name == "exec" { 255 } else { 1 };
        assert_eq!((refused.code, refused.stdout.as_str()), (code, ""), "{name}");
        let hint = format!("is none of {name}\nhint: carboy-runtime {name} --help lists them\n");
        assert!(refused.stderr.ends_with(&hint), "{}", refused.stderr);
    }
    for command in ["create", "start", "state", "kill", "delete", "exec", "ps", "update", "events", "pause", "resume"] {
        let refused = bundle.run(&[command]);
        assert!(refused.stderr.contains("needs the id of a container"), "{command}: {}", refused.stderr);
    }
    assert!(bundle.run(&["nosuch"]).stderr.contains("hint: carboy-runtime --help lists them"));
}

#[test]
fn under_a_peers_name_it_tells_its_version_as_that_peer_does() {
    let bundle = Bundle::new();
    for name in ["carboy-runtime", "runc", "crun"] {
        for word in ["--version", "-v"] {
            let version = named(&bundle, name, &[word]);
            let lines: Vec<&str> = version.stdout.lines().collect();
            assert_eq!((version.code, lines[0]), (0, format!("{name} version {}", env!("CARGO_PKG_VERSION")).as_str()));
            assert!(
                lines.iter().any(|line| line.starts_with("commit: ")) && lines.contains(&"spec: 1.3.0"),
                "{lines:?}"
            );
            assert_eq!(lines.iter().any(|line| line.starts_with("rundir: ")), name == "crun", "{lines:?}");
        }
        let missing = named(&bundle, name, &["state", "nosuch"]);
        assert_eq!(missing.code, 1);
        assert!(missing.stderr.contains("does not exist"), "{}", missing.stderr);
        let hint = named(&bundle, name, &["state", "--nosuch"]);
        assert!(hint.stderr.contains(&format!("hint: {name} state --help")), "{}", hint.stderr);
    }
}

#[test]
fn containers_are_listed_with_runcs_columns_and_fields() {
    let bundle = Bundle::new();
    let (one, other) = (format!("{}-one", bundle.id), format!("{}-other", bundle.id));
    assert_eq!(bundle.run(&["list", "--format", "json"]).stdout, "[]\n");
    bundle.change(|config| config["annotations"] = json!({"a.b": "c"}));
    start(&bundle, &one);
    start(&bundle, &other);
    assert_eq!(bundle.run(&["kill", &other, "KILL"]).code, 0);
    eventually("it has stopped", || status(&bundle, &other) == "stopped");
    assert_eq!(bundle.run(&["list", "-q"]).stdout, format!("{one}\n{other}\n"));
    let listed: Value = serde_json::from_str(&bundle.run(&["list", "-f", "json"]).stdout).unwrap();
    let state: Value = serde_json::from_str(&bundle.run(&["state", &one]).stdout).unwrap();
    assert_eq!(listed[0], state);
    let fields: Vec<&String> = state.as_object().unwrap().keys().collect();
    let runcs = ["annotations", "bundle", "created", "id", "ociVersion", "owner", "pid", "rootfs", "status"];
    assert_eq!(fields, runcs);
    assert_eq!(
        (&listed[1]["pid"], &listed[1]["status"], &state["owner"]),
        (&json!(0), &json!("stopped"), &json!("root"))
    );
    let table = bundle.run(&["list"]).stdout;
    let row = |line: usize| table.lines().nth(line).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(row(0), ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let created = state["created"].as_str().unwrap();
    assert_eq!(row(1), [&one, &state["pid"].to_string(), "running", bundle.path(), created, "root"]);
    assert!(bundle.run(&["list", "--format", "xml"]).stderr.contains("use table or json"));
    for id in [&one, &other] {
        assert_eq!(bundle.run(&["delete", "-f", id]).code, 0);
    }
}

#[test]
fn signals_have_names_in_any_spelling_and_a_pattern_takes_all_that_match() {
    let bundle = Bundle::new();
    let id = |name: &str| format!("{}-{name}", bundle.id);
    let (one, two, other) = (id("a1"), id("a2"), id("b"));
    for id in [&one, &two, &other] {
        start(&bundle, id);
    }
    for signal in ["0", "CONT", "SIGCONT", "sigcont", "18", "RTMIN+30", "SIGRTMAX"] {
        // PID 1 of a namespace dies of none that it does not wait for.
        assert_eq!(bundle.run(&["kill", &other, signal]).code, 0, "{signal}");
    }
    for signal in ["nosuch", "65", "-1", "RTMIN+31", ""] {
        let refused = bundle.run(&["kill", &other, "--", signal]);
        assert!(refused.code == 1 && refused.stderr.contains("is no signal"), "{signal}: {}", refused.stderr);
    }
    let pattern = format!("^{}-a[0-9]$", bundle.id);
    assert_eq!(bundle.run(&["kill", "--regex", &pattern, "KILL"]).code, 0);
    eventually("both have stopped", || [&one, &two].iter().all(|id| status(&bundle, id) == "stopped"));
    assert_eq!(status(&bundle, &other), "running");
    let none = bundle.run(&["delete", "-r", &id("b")]);
    assert!(none.code == 0 && none.stderr.contains("warning: ") && none.stderr.contains("not stopped"), "{none:?}");
    assert_eq!(bundle.run(&["delete", "-f", "-r", &pattern]).code, 0);
    assert_eq!(bundle.run(&["list", "-q"]).stdout, format!("{other}\n"));
    assert!(bundle.run(&["delete", "-r", "("]).stderr.contains("regular expression"));
    assert_eq!(bundle.run(&["kill", "--all", &other, "KILL"]).code, 0);
    assert_eq!(bundle.run(&["delete", "--force", &other]).code, 0);
    assert_eq!(bundle.run(&["delete", "--force", &other]).code, 0, "as if it had been there");
    assert_eq!(bundle.run(&["delete", &other]).code, 1);
}

#[test]
fn processes_are_listed_as_numbers_or_as_the_hosts_ps_has_them() {
    let bundle = Bundle::new();
    start(&bundle, &bundle.id);
    let pid = bundle.state()["pid"].to_string();
    assert_eq!(bundle.run(&["ps", "-f", "json", &bundle.id]).stdout, format!("[{pid}]\n"));
    let table = bundle.run(&["ps", &bundle.id]).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("UID") && lines[1].contains("sleep 1000"), "{table}");
    let chosen = bundle.run(&["ps", &bundle.id, "-e", "-o", "pid,comm"]).stdout;
    let words: Vec<&str> = chosen.split_whitespace().collect();
    assert_eq!(words, ["PID", "COMMAND", &pid, "sleep"]);
    assert!(bundle.run(&["ps", &bundle.id, "-e", "-o", "comm"]).stderr.contains("shows no column PID"));
    let wrong = bundle.run(&["ps", &bundle.id, "--nosuch"]);
    assert_eq!(wrong.code, 1, "{}", wrong.stdout);
}

#[test]
fn errors_and_warnings_go_where_the_caller_wants_them() {
    let bundle = Bundle::new();
    let folder = bundle.carboy.folder();
    let log = folder.join("log");
    let place = format!("file:{}", log.display());
    let last = || fs::read_to_string(&log).unwrap().lines().last().unwrap().to_owned();
    assert_eq!(bundle.run(&["--log", &place, "--log-format=json", "state", "nosuch"]).code, 1);
    let line: Value = serde_json::from_str(&last()).unwrap();
    assert_eq!((line["level"].as_str(), line.as_object().unwrap().len()), (Some("error"), 3));
    assert_eq!(bundle.run(&["--log", log.to_str().unwrap(), "--log-format", "text", "state", "nosuch"]).code, 1);
    assert!(last().contains(" level=error msg=\"cannot use the container nosuch: does not exist\""), "{}", last());
    assert_eq!(bundle.run(&["--log", &place, "--log-format", "json", "state", "--nosuch"]).code, 1);
    assert!(last().contains("the option --nosuch"), "also what is wrong with the command line: {}", last());
    let debug = bundle.run(&["--debug", "list"]);
    assert!(debug.stderr.contains("debug: list"), "{}", debug.stderr);
    let refused = [["--log", "/nonexistent/log"], ["--log-format", "xml"], ["--log-level", "loud"]];
    for words in refused {
        let refused = bundle.run(&[&words[..], &["list"]].concat());
        assert!(refused.code == 1 && refused.stderr.contains(words[1]), "{}", refused.stderr);
    }
    bundle.change(|config| config["process"]["capabilities"]["bounding"] = json!(["CAP_NOSUCH"]));
    bundle.args(&["true"]);
    let run = |level: &str| bundle.run(&["--log-level", level, "run", "--bundle", bundle.path(), &bundle.id]).stderr;
    assert!(run("warning").contains("warning: ignoring unknown or unavailable capabilities: [CAP_NOSUCH]"));
    assert_eq!(run("error"), "");
}

/// The two sockets are at fixed places; a private mount namespace puts ours there.
#[test]
fn errors_go_to_the_journal_and_to_syslog() {
    let bundle = Bundle::new();
    let folder = bundle.carboy.folder();
    let socket = |name: &str| {
        let socket = UnixDatagram::bind(folder.join(name)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    };
    let (journal, syslog) = (socket("socket"), socket("log"));
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && mount --bind {0} /run/systemd/journal &&
         mount -t tmpfs tmpfs /dev && touch /dev/log && mount --bind {0}/log /dev/log && exec {1} \"$@\"",
        folder.display(),
        carboy_runtime().display(),
    );
    let tell = |place: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script, "sh", "--log", place, "--root", "/tmp/nosuch", "state", "nosuch"]);
        let told = ended(&mut command);
        assert!(told.code == 1 && told.stderr.contains("does not exist"), "{}", told.stderr);
    };
    let receive = |socket: &UnixDatagram| {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let message = "cannot use the container nosuch: does not exist";
    tell("journald:web");
    assert_eq!(receive(&journal), format!("PRIORITY=3\nSYSLOG_IDENTIFIER=web\nID=web\nMESSAGE={message}\n"));
    tell("syslog:web");
    let line = receive(&syslog);
    assert!(line.starts_with("<11>web[") && line.ends_with(&format!("]: {message}")), "{line}");
}

#[test]
fn a_configuration_to_begin_with_is_as_runcs() {
    let bundle = Bundle::new();
    let folder = bundle.carboy.folder();
    let spec = |program: Option<&str>, name: &str, words: &[&str]| -> Value {
        let to = folder.join(name);
        fs::create_dir(&to).unwrap();
        let mut command = program.map_or_else(|| bundle.command(&[]), Command::new);
        let ended = ended(command.args(["spec", "--bundle"]).arg(&to).args(words));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_slice(&fs::read(to.join("config.json")).unwrap()).unwrap()
    };
    for (name, words) in [("root", &[][..]), ("user", &["--rootless"][..])] {
        let mut ours = spec(None, &format!("ours-{name}"), words);
        let mut theirs = spec(Some("runc"), &format!("theirs-{name}"), words);
        for config in [&mut ours, &mut theirs] {
            // Versions and names are each one's own; a newer runc has left ambient capabilities out, and has a cgroup
            // namespace only where the host has v2 alone.
            config["ociVersion"] = json!("");
            config["hostname"] = json!("");
            config["process"]["capabilities"].as_object_mut().unwrap().remove("ambient");
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|namespace| namespace["type"] != "cgroup");
            for mount in config["mounts"].as_array_mut().unwrap() {
                mount.as_object_mut().unwrap().retain(|_, value| *value != json!([]));
            }
        }
        assert_eq!(ours, theirs, "{name}");
    }
    let again = bundle.run(&["spec", "--bundle", bundle.path()]);
    assert!(again.code == 1 && again.stderr.contains("config.json"), "{}", again.stderr);
    assert_eq!(bundle.run(&["spec", "-b", bundle.path(), "-f", "other.json"]).code, 0);
    assert!(folder.join("other.json").is_file());
}

#[test]
fn limits_are_read_from_standard_input_from_a_file_and_from_options_with_units() {
    let bundle = Bundle::new();
    start(&bundle, &bundle.id);
    let limits = || -> Value {
        let event: Value = serde_json::from_str(&bundle.run(&["events", "--stats", &bundle.id]).stdout).unwrap();
        json!([event["data"]["memory"]["usage"]["limit"], event["data"]["pids"]["limit"]])
    };
    let update = |words: &[&str]| bundle.run(&[&["update"], words, &[bundle.id.as_str()]].concat());
    assert_eq!(update(&["--memory", "64M", "--memory-swap=-1", "--pids-limit", "20"]).code, 0);
    assert_eq!(limits(), json!([64 << 20, 20]));
    let file = bundle.carboy.folder().join("resources.json");
    fs::write(&file, json!({"memory": {"limit": 32 << 20}}).to_string()).unwrap();
    assert_eq!(update(&[&format!("--resources={}", file.display())]).code, 0);
    assert_eq!(limits(), json!([32 << 20, 20]));
    let mut command = bundle.command(&["update", "--resources=-", &bundle.id]);
    fs::write(&file, json!({"pids": {"limit": 30}}).to_string()).unwrap();
    assert_eq!(ended(command.stdin(fs::File::open(&file).unwrap())).code, 0);
    assert_eq!(limits(), json!([32 << 20, 30]));
    for (words, said) in [
        (&["--memory", "lots"][..], "--memory lots"),
        (&["--cpu-quota", "1.5"], "--cpu-quota 1.5"),
        (&["--l3-cache-schema", "L3:0=f"], "--l3-cache-schema"),
        (&["--resources", "/nonexistent"], "/nonexistent"),
    ] {
        let refused = update(words);
        assert!(refused.code == 1 && refused.stderr.contains(said), "{words:?}: {}", refused.stderr);
    }
    assert_eq!(limits(), json!([32 << 20, 30]), "nothing has changed");
}

#[test]
fn of_two_callers_at_once_one_creates_and_one_starts() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    let twice = |words: &[&str]| {
        let spawn = || bundle.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut both = [spawn(), spawn()];
        let mut codes = both.each_mut().map(|child| child.wait().unwrap().code().unwrap());
        codes.sort_unstable();
        codes
    };
    assert_eq!(twice(&["create", "--bundle", bundle.path(), &bundle.id]), [0, 1]);
    assert_eq!(twice(&["start", &bundle.id]), [0, 1]);
    assert_eq!(bundle.status(), "running");
    assert_eq!(twice(&["delete", "--force", &bundle.id]), [0, 0]);
    bundle.gone();
}

#[test]
fn what_is_run_in_the_foreground_gets_its_signals_and_is_kept_where_asked() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "trap 'echo got; exit 9' USR1; while :; do sleep 0.1; done"]);
    let spawned =
        bundle.command(&["run", "--keep", "--bundle", bundle.path(), &bundle.id]).stdout(Stdio::piped()).spawn();
    let child = spawned.unwrap();
    eventually("it runs", || bundle.run(&["state", &bundle.id]).stdout.contains("\"running\""));
    std::thread::sleep(Duration::from_millis(200));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::USR1).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(9), "got\n"));
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.run(&["delete", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn a_plan_is_printed_with_nothing_done_and_it_is_the_one_that_is_applied() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    bundle.change(|config| {
        config["hostname"] = json!("vessel");
        config["linux"]["resources"]["pids"] = json!({"limit": 77});
    });
    let explained = bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!((explained.code, explained.stderr.as_str()), (0, ""));
    let heads = ["NAMESPACES", "CGROUPS", "ROOT", "PROCESS", "STEPS OF THE HOST'S SIDE", "STEPS OF THE CHILD"];
    let found: Vec<&str> = explained.stdout.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(found, heads);
    for words in ["pids.max = 77", "set the host name vessel", "wait to be started", "or /bin/sleep", "clone"] {
        assert!(explained.stdout.contains(words), "{words}: {}", explained.stdout);
    }
    bundle.gone();
    let json = |words: &[&str]| -> Value {
        let words = [&["explain", "--format", "json"], words, &[bundle.id.as_str()]].concat();
        let ended = bundle.run(&words);
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let planned = json(&["--bundle", bundle.path()]);
    let whats = |side: &str| -> Vec<String> {
        planned[side].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap().to_owned()).collect()
    };
    let numbered = whats("host").into_iter().chain(whats("child"));
    let lines = explained.stdout.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    assert!(numbered.eq(lines.map(|line| line.trim_start().split_once("  ").unwrap().1.to_owned())));
    bundle.create();
    assert_eq!(json(&[])["child"], planned["child"], "of a container that there is, without naming its bundle");
    let refused = |change: fn(&mut Value)| {
        bundle.change(change);
        bundle.run(&["explain", "--bundle", bundle.path(), "other"]).stderr
    };
    assert!(refused(|config| config["root"]["path"] = json!("nowhere")).contains("root.path"));
}

#[test]
fn without_criu_a_checkpoint_is_refused_with_what_is_missing_and_the_container_goes_on() {
    let bundle = Bundle::new();
    let help = bundle.run(&["checkpoint", "--help"]);
    assert_eq!(help.code, 0);
    let missing = named(&bundle, "crun", &["restore", "--lsm-mount-context"]);
    assert!(missing.code == 1 && missing.stderr.contains("requires an argument"), "{}", missing.stderr);
    start(&bundle, &bundle.id);
    let images = bundle.carboy.folder().join("images");
    let words = ["--criu", "/nonexistent/criu", "checkpoint", "--image-path", images.to_str().unwrap(), &bundle.id];
    let refused = bundle.run(&words);
    assert!(refused.code == 1 && refused.stderr.contains("hint: install CRIU"), "{}", refused.stderr);
    assert_eq!(bundle.status(), "running");
}

#[test]
fn shares_of_cache_and_bandwidth_are_refused_where_the_container_has_no_group_of_resctrl() {
    let bundle = Bundle::new();
    bundle.create();
    for (flag, line) in [("--l3-cache-schema", "L3:0=f"), ("--mem-bw-schema", "MB:0=20")] {
        let refused = bundle.run(&["update", flag, line, "--pids-limit", "20", &bundle.id]);
        assert_eq!(refused.code, 1);
        let told = format!("cannot use {flag} {line}: cannot be applied: the container has no group of resctrl");
        assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    }
    let stats = bundle.run(&["events", "--stats", &bundle.id]);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(stats["data"]["pids"]["limit"], Value::Null, "what was refused has changed nothing");
    assert_eq!(stats["data"]["intel_rdt"], json!({}));
}
