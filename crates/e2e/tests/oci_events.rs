//! `carboy-runtime events`: runc's envelope and fields, and an event at once when the kernel kills for want of memory.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::bundle::Bundle;
use carboy_e2e::group::{Version, hierarchy};
use carboy_e2e::{Attended, ended};
use serde_json::{Value, json};

fn start(bundle: &Bundle, args: &[&str], resources: &Value) {
    bundle.args(args);
    bundle.change(|config| config["linux"]["resources"] = resources.clone());
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
}

fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// Each number of `theirs` that `ours` has not, by its path. Of what a host cannot tell runc tells zeros; what went to disks
/// is each container's own.
fn missing(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, value) in fields {
                missing(&format!("{path}.{name}"), value, &ours[name], found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (one, other) in one.iter().zip(other) {
                missing(&format!("{path}[]"), one, other, found);
            }
        }
        (Value::Number(_), Value::Number(_)) | (Value::Null, Value::Null) => {}
        (Value::Number(zero), Value::Null) if zero.as_u64() == Some(0) => {}
        _ if path.starts_with("data.blkio") => {}
        _ if theirs == ours => {}
        _ => found.push(format!("{path}: {theirs} against {ours}")),
    }
}

#[test]
fn the_fields_are_runcs_and_the_limits_the_same() {
    let bundle = Bundle::new();
    let resources = json!({
        "memory": {"limit": 64 << 20}, "pids": {"limit": 20}, "cpu": {"cpus": "0", "quota": 50_000, "period": 100_000},
        "devices": [{"allow": false, "access": "rwm"}],
    });
    start(&bundle, &["sleep", "1000"], &resources);
    let output = bundle.run(&["events", "--stats", &bundle.id]);
    assert_eq!((output.code, output.stdout.lines().count()), (0, 1), "{}", output.stderr);
    let ours = event(&output.stdout);
    let other = format!("{}-runc", bundle.id);
    bundle.change(|config| config["linux"]["cgroupsPath"] = json!(format!("/{other}")));
    let runc = |words: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(bundle.carboy.folder().join("runc")).args(words).stdin(Stdio::null());
        command
    };
    let started = runc(&["run", "--detach", "--bundle", bundle.path(), &other])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(started.success(), "runc is needed");
    let theirs = event(&ended(&mut runc(&["events", "--stats", &other])).stdout);
    assert!(ended(&mut runc(&["delete", "--force", &other])).code == 0);
    let mut found = Vec::new();
    missing("data", &theirs["data"], &ours["data"], &mut found);
    assert_eq!(found, Vec::<String>::new());
    assert_eq!((&ours["type"], &ours["id"]), (&json!("stats"), &json!(bundle.id)));
    let same = [
        "/pids/limit",
        "/memory/usage/limit",
        "/memory/swap/limit",
        "/cpuset",
        "/memory/kernelTCP/limit",
        "/intel_rdt",
    ];
    for pointer in same {
        let [mut ours, mut theirs] = [&ours, &theirs].map(|event| event["data"].pointer(pointer).cloned());
        for cpuset in [&mut ours, &mut theirs].into_iter().flatten().filter_map(Value::as_object_mut) {
            // runc tells zeros of v1's flags on v2 too.
            cpuset.retain(|name, _| matches!(hierarchy("cpuset"), Version::V1(_)) || matches!(name.as_str(), "cpus"));
        }
        let zero = |theirs: &Value| ours.is_none() && *theirs == json!(0);
        let nothing = theirs.as_ref().is_none_or(|theirs| *theirs == json!({}) || zero(theirs));
        assert!(ours == theirs || nothing, "{pointer}: {ours:?} against {theirs:?}");
    }
    assert_eq!(ours["data"]["cpu"]["usage"]["total"].as_u64().map(|total| total > 0), Some(true));
}

#[test]
fn it_tells_again_and_again_until_the_container_ends() {
    let bundle = Bundle::new();
    start(&bundle, &["sleep", "1000"], &json!({"memory": {"limit": 64 << 20}}));
    let mut events = Attended::start(&mut bundle.command(&["events", "--interval", "100ms", &bundle.id]));
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(event(&events.line())["type"], "stats");
    }
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(bundle.run(&["kill", &bundle.id, "KILL"]).code, 0);
    let ended = events.end();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let refused = bundle.run(&["events", "--stats", &bundle.id]);
    assert!(refused.code == 1 && refused.stderr.contains("container not running"), "{}", refused.stderr);
    let refused = bundle.run(&["events", "--interval", "0s", &bundle.id]);
    assert!(refused.stderr.contains("hint: write 5s"), "{}", refused.stderr);
}

/// Takes more memory than there is, in a process that is not the first.
const HUNGRY: [&str; 3] = ["sh", "-c", "sleep 1; dd if=/dev/zero of=/dev/null bs=200M count=1; exec sleep 1000"];

#[test]
fn a_kill_for_want_of_memory_is_told_at_once_with_the_limit_that_led_to_it() {
    let bundle = Bundle::new();
    start(&bundle, &HUNGRY, &json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}));
    let began = Instant::now();
    let mut events = Attended::start(&mut bundle.command(&["events", "--interval", "1h", &bundle.id]));
    let oom = event(&events.line());
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!((&oom["type"], &oom["id"]), (&json!("oom"), &json!(bundle.id)));
    assert_eq!(oom["data"], json!({"kills": 1, "path": format!("/{}", bundle.id), "limit": 32 << 20}));
    assert_eq!(bundle.status(), "running", "it was not the first process");
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert_eq!(events.end().stdout, "");
}

#[test]
fn a_limit_above_the_container_is_named_where_it_led_to_the_kill() {
    let bundle = Bundle::new();
    let team = format!("/{}-team", bundle.id);
    bundle.args(&HUNGRY);
    bundle.change(|config| {
        config["linux"]["cgroupsPath"] = json!(format!("{team}/{}", bundle.id));
        config["linux"]["resources"] = json!({"memory": {"limit": 512 << 20}});
    });
    bundle.create();
    // The group above was made for the container, and goes with it.
    let version = hierarchy("memory");
    let parent = version.point().join(team.trim_start_matches('/'));
    let limits = match version {
        Version::V1(_) => [("memory.limit_in_bytes", 32 << 20), ("memory.memsw.limit_in_bytes", 32 << 20)],
        Version::V2(_) => [("memory.max", 32 << 20), ("memory.swap.max", 0)],
    };
    for (file, bytes) in limits {
        fs::write(parent.join(file), bytes.to_string()).unwrap();
    }
    let mut events = Attended::start(&mut bundle.command(&["events", "--interval", "1h", &bundle.id]));
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    let oom = event(&events.line());
    assert_eq!(oom["data"], json!({"kills": 1, "path": team, "limit": 32 << 20}));
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!parent.exists());
}

#[test]
fn the_end_of_the_first_process_for_want_of_memory_is_told_too() {
    let bundle = Bundle::new();
    let hungry = ["sh", "-c", "sleep 1; exec dd if=/dev/zero of=/dev/null bs=200M count=1"];
    start(&bundle, &hungry, &json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}));
    let events = Attended::start(&mut bundle.command(&["events", "--interval", "1h", &bundle.id]));
    let ended = events.end();
    let lines: Vec<Value> = ended.stdout.lines().map(event).collect();
    assert_eq!(lines.len(), 1, "{}", ended.stdout);
    assert_eq!((&lines[0]["type"], &lines[0]["data"]["kills"]), (&json!("oom"), &json!(1)));
}
