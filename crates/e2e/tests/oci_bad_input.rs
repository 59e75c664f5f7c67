//! Documents that are wrong in one place, given to carboy-runtime by the hundred: each is refused with the name of the
//! field, and nothing is left. What the parser alone refuses is tried beside it, in `crates/oci`.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;

use carboy_e2e::bundle::Bundle;
use serde_json::{Value, json};

/// A document with every field of the specification.
const FULL: &[u8] = include_bytes!("../../oci/src/tests/full.json");
/// What makes a container, or begins to.
const COMMANDS: [&str; 2] = ["create", "run"];

/// A bundle, its document when nothing is wrong with it, and what came of those in which something is.
struct Bad {
    bundle: Bundle,
    good: Value,
    tried: usize,
    accepted: Vec<String>,
}

impl Bad {
    /// With this document, in which one thing is going to be wrong at a time.
    fn new(good: Value) -> Self {
        Self { bundle: Bundle::new(), good, tried: 0, accepted: Vec::new() }
    }

    /// With one that makes a container that ends at once.
    fn runnable() -> Self {
        let bundle = Bundle::new();
        bundle.args(&["true"]);
        let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        Self { good: bundle.config(), bundle, tried: 0, accepted: Vec::new() }
    }

    /// Gives the runtime this text in place of the document. What it says has to have `named` in it, and to fit a screen.
    fn refuses(&mut self, text: &[u8], named: &str) {
        let bundle = &self.bundle;
        fs::write(bundle.carboy.folder().join("config.json"), text).unwrap();
        let command = COMMANDS[self.tried % COMMANDS.len()];
        self.tried += 1;
        // Into a file: what is created after all would keep a pipe open.
        let said = bundle.carboy.folder().join("said");
        let mut asked = bundle.command(&[command, "--bundle", bundle.path(), &bundle.id]);
        asked.stdout(fs::File::create(&said).unwrap()).stderr(fs::File::options().append(true).open(&said).unwrap());
        let code = asked.status().unwrap().code();
        let said = fs::read_to_string(&said).unwrap();
        let states = fs::read_dir(bundle.carboy.folder().join("states")).into_iter().flatten().flatten();
        let left = states.filter(|entry| entry.file_name() == bundle.id.as_str()).count();
        let names_it = said.starts_with("error: cannot") && said.contains(named) && said.len() < 4096;
        if code != Some(1) || left > 0 || !names_it {
            let said: String = said.chars().take(500).collect();
            self.accepted.push(format!("{command} {named}: {code:?}, {left} left, {said}"));
            let _ = bundle.run(&["delete", "--force", &bundle.id]);
        }
    }

    /// The same for the document with one value in place of another; `null` takes the field away.
    fn refuses_changed(&mut self, pointer: &str, value: Value, named: &str) {
        let mut document = self.good.clone();
        put(&mut document, pointer, value);
        self.refuses(document.to_string().as_bytes(), named);
    }

    /// Everything was refused, and no group is left: it would have the container's name, whichever document was its own.
    fn end(self) {
        assert!(self.accepted.is_empty(), "of {}:\n{}", self.tried, self.accepted.join("\n"));
        self.bundle.gone();
    }
}

/// RFC 6901; what is not there on the way is made.
fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    if document.pointer(parent).is_none() {
        put(document, parent, json!({}));
    }
    match document.pointer_mut(parent).unwrap() {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Object(fields) if value.is_null() => drop(fields.remove(key)),
        parent => parent[key] = value,
    }
}

/// A pointer as messages write it: `process.rlimits[0].soft`.
fn field(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1).map(|part| match part.parse::<usize>() {
        Ok(index) => format!("[{index}]"),
        Err(_) => format!(".{part}"),
    });
    parts.collect::<String>().trim_start_matches('.').to_owned()
}

/// The pointers to everything below a value.
fn pointers(value: &Value, above: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (format!("{above}/{key}"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (format!("{above}/{at}"), value)).collect(),
        _ => Vec::new(),
    };
    children.into_iter().flat_map(|(at, value)| [vec![at.clone()], pointers(value, &at)].concat()).collect()
}

/// Values of every type but its own.
fn of_other_types(value: &Value) -> Vec<Value> {
    let all = [json!(true), json!(7), json!("word"), json!([1]), json!({"a": 1})];
    all.into_iter().filter(|other| std::mem::discriminant(other) != std::mem::discriminant(value)).collect()
}

#[test]
fn a_value_of_another_type_is_refused_by_its_field() {
    let mut bad = Bad::new(serde_json::from_slice(FULL).unwrap());
    for (turn, pointer) in pointers(&bad.good, "").into_iter().enumerate() {
        let others = of_other_types(bad.good.pointer(&pointer).unwrap());
        // Every type in its turn: all of them everywhere is what the parser is tried with.
        for other in [&others[turn % others.len()], &others[(turn + 1) % others.len()]] {
            bad.refuses_changed(&pointer, other.clone(), &field(&pointer));
        }
    }
    assert!(bad.tried > 400, "{}", bad.tried);
    bad.end();
}

#[test]
fn a_field_that_must_be_there_is_missed_by_its_name() {
    let mut bad = Bad::new(serde_json::from_slice(FULL).unwrap());
    for pointer in [
        "/ociVersion",
        "/root",
        "/root/path",
        "/process/cwd",
        "/process/args",
        "/process/rlimits/0/type",
        "/process/rlimits/0/soft",
        "/process/rlimits/0/hard",
        "/process/scheduler/policy",
        "/process/ioPriority/class",
        "/process/consoleSize/height",
        "/process/consoleSize/width",
        "/mounts/0/destination",
        "/mounts/1/uidMappings",
        "/mounts/1/gidMappings",
        "/mounts/1/uidMappings/0/size",
        "/hooks/prestart/0/path",
        "/hooks/createRuntime/0/path",
        "/hooks/createContainer/0/path",
        "/hooks/startContainer/0/path",
        "/hooks/poststart/0/path",
        "/hooks/poststop/0/path",
        "/linux/namespaces/0/type",
        "/linux/uidMappings/0/containerID",
        "/linux/uidMappings/0/hostID",
        "/linux/gidMappings/0/size",
        "/linux/devices/0/path",
        "/linux/devices/0/type",
        "/linux/devices/0/major",
        "/linux/devices/0/minor",
        "/linux/resources/devices/0/allow",
        "/linux/resources/blockIO/weightDevice/0/major",
        "/linux/resources/blockIO/throttleReadBpsDevice/0/rate",
        "/linux/resources/hugepageLimits/0/pageSize",
        "/linux/resources/hugepageLimits/0/limit",
        "/linux/resources/network/priorities/0/name",
        "/linux/resources/network/priorities/0/priority",
        "/linux/seccomp/defaultAction",
        "/linux/seccomp/syscalls/0/names",
        "/linux/seccomp/syscalls/0/action",
        "/linux/seccomp/syscalls/1/args/0/index",
        "/linux/seccomp/syscalls/1/args/0/value",
        "/linux/seccomp/syscalls/1/args/0/op",
        "/linux/seccomp/listenerPath",
        "/linux/memoryPolicy/mode",
        "/linux/personality/domain",
    ] {
        bad.refuses_changed(pointer, Value::Null, field(pointer).replace("listenerPath", "listenerMetadata").as_str());
    }
    bad.end();
}

/// An id or a number of a device that is too large by one.
const BEYOND: u64 = 1 << 32;

/// Values that are out of their range: fields of the process, and what is told before it.
fn out_of_range_of_a_process() -> Vec<(&'static str, Value)> {
    vec![
        ("/ociVersion", json!("")),
        ("/ociVersion", json!("one")),
        ("/ociVersion", json!("0.2.0")),
        ("/ociVersion", json!("2.0.0")),
        ("/root/path", json!("")),
        ("/root/path", json!("nowhere")),
        ("/root/path", json!("config.json")),
        ("/process/cwd", json!("relative")),
        ("/process/args", json!([])),
        ("/process/args", json!([""])),
        ("/process/args/0", json!("a\0b")),
        ("/process/env/0", json!("A=\0")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(BEYOND)),
        ("/process/user/gid", json!(0.5)),
        ("/process/user/umask", json!(0o1000)),
        ("/process/user/additionalGids", json!([-1])),
        ("/process/user/additionalGids", json!([BEYOND])),
        ("/process/oomScoreAdj", json!(1001)),
        ("/process/oomScoreAdj", json!(-1001)),
        ("/process/oomScoreAdj", json!(1e30)),
        ("/process/rlimits/0/type", json!("RLIMIT_WISHES")),
        ("/process/rlimits/0/soft", json!(-1)),
        ("/process/rlimits/0/hard", json!(1e20)),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8})),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": -1})),
        ("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 20})),
        ("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 100})),
        ("/process/scheduler", json!({"policy": "SCHED_DEADLINE", "runtime": 2, "deadline": 1, "period": 1})),
        ("/process/scheduler/policy", json!("SCHED_SOON")),
        ("/process/execCPUAffinity/initial", json!("3-1")),
        ("/process/execCPUAffinity/final", json!("a")),
        ("/process/execCPUAffinity/final", json!("0-")),
        ("/process/apparmorProfile", json!("nobody-has-loaded-it")),
    ]
}

/// Values that are out of their range: what the process is to be in.
fn out_of_range_of_a_place() -> Vec<(&'static str, Value)> {
    vec![
        ("/hostname", json!("h".repeat(65))),
        ("/domainname", json!("d".repeat(65))),
        ("/mounts/0/destination", json!("")),
        ("/mounts/0/destination", json!("/a\0b")),
        ("/mounts/0/options", json!(["a\0b"])),
        ("/hooks/prestart", json!([{"path": "relative"}])),
        ("/hooks/createRuntime", json!([{"path": "/bin/true", "timeout": 0}])),
        ("/hooks/poststop", json!([{"path": "/bin/true", "timeout": -5}])),
        ("/annotations", json!({"": "x"})),
        ("/annotations", json!({"a": "\0"})),
        ("/linux/namespaces/0/type", json!("net")),
        ("/linux/namespaces/0/path", json!("relative")),
        ("/linux/namespaces/0/path", json!("/nowhere")),
        ("/linux/devices", json!([{"path": "relative", "type": "c", "major": 1, "minor": 3}])),
        ("/linux/devices", json!([{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}])),
        ("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": -1, "minor": 3}])),
        ("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": BEYOND}])),
        ("/linux/sysctl", json!({"kernel.no_such_setting": "1"})),
        ("/linux/sysctl", json!({"vm.swappiness": "1"})),
        ("/linux/sysctl", json!({"../../x": "1"})),
        ("/linux/sysctl", json!({"": "1"})),
        ("/linux/cgroupsPath", json!("/../..")),
        ("/linux/cgroupsPath", json!(format!("/{}", "g".repeat(256)))),
        ("/linux/maskedPaths", json!(["relative"])),
        ("/linux/readonlyPaths", json!([""])),
        ("/linux/rootfsPropagation", json!("sometimes")),
        ("/linux/mountLabel", json!("nobody:knows:it:s0")),
        ("/linux/personality", json!({"domain": "LINUX64"})),
        ("/linux/personality", json!({"domain": "LINUX", "flags": ["X"]})),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BEST"})),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "7777"})),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "a"})),
        ("/linux/intelRdt", json!({"closID": "../x"})),
        ("/linux/netDevices", json!({"nosuch0": {}})),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_PERHAPS"})),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]})),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ABACUS"]})),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000})),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}),
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
            "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}),
        ),
        ("/linux/timeOffsets", json!({"realtime": {"secs": 1}})),
        ("/linux/timeOffsets", json!({"boottime": {"nanosecs": 1_000_000_000_u64}})),
    ]
}

/// Values that are out of their range: limits.
fn out_of_range_of_limits() -> Vec<(&'static str, Value)> {
    vec![
        ("/linux/resources/memory/limit", json!(1)),
        ("/linux/resources/memory/limit", json!(-2)),
        ("/linux/resources/memory/limit", json!(1e30)),
        ("/linux/resources/memory/swappiness", json!(1000)),
        ("/linux/resources/cpu/shares", json!(-1)),
        ("/linux/resources/cpu/period", json!(1)),
        ("/linux/resources/cpu/quota", json!(1)),
        ("/linux/resources/cpu/idle", json!(7)),
        ("/linux/resources/cpu/cpus", json!("3-1")),
        ("/linux/resources/cpu/cpus", json!("99999")),
        ("/linux/resources/cpu/mems", json!("a")),
        ("/linux/resources/pids/limit", json!(1e30)),
        ("/linux/resources/blockIO/weight", json!(9)),
        ("/linux/resources/blockIO/weight", json!(1001)),
        ("/linux/resources/blockIO/throttleReadBpsDevice", json!([{"major": -1, "minor": 0, "rate": 1}])),
        ("/linux/resources/blockIO/throttleReadIOPSDevice", json!([{"major": 4095, "minor": 1, "rate": 1}])),
        ("/linux/resources/hugepageLimits", json!([{"pageSize": "3MB", "limit": 1}])),
        ("/linux/resources/hugepageLimits", json!([{"pageSize": "../x", "limit": 1}])),
        ("/linux/resources/network/priorities", json!([{"name": "nosuch0", "priority": 1}])),
        ("/linux/resources/network/priorities", json!([{"name": "a\nb", "priority": 1}])),
        ("/linux/resources/rdma", json!({"nosuch": {"hcaHandles": 1}})),
        ("/linux/resources/unified", json!({"../cgroup.procs": "1"})),
        ("/linux/resources/unified", json!({"nosuch.file": "1"})),
        ("/linux/resources/devices/0/type", json!("x")),
        ("/linux/resources/devices/0/access", json!("xyz")),
        ("/linux/resources/devices/0/major", json!(-7)),
    ]
}

#[test]
fn a_value_that_is_out_of_its_range_is_refused_by_its_field() {
    let mut bad = Bad::runnable();
    for (pointer, value) in [out_of_range_of_a_process(), out_of_range_of_a_place(), out_of_range_of_limits()].concat()
    {
        bad.refuses_changed(pointer, value, &field(pointer));
    }
    bad.end();
}

#[test]
fn what_contradicts_another_field_or_the_host_is_refused_by_its_name() {
    let mut bad = Bad::runnable();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 10}]);
    let again = json!([{"containerID": 0, "hostID": 1, "size": 1}, {"containerID": 0, "hostID": 2, "size": 1}]);
    let without = |kind: &str| {
        json!(
            ["pid", "network", "ipc", "uts", "mount", "cgroup"]
                .iter()
                .filter(|one| **one != kind)
                .map(|one| json!({"type": one}))
                .collect::<Vec<_>>()
        )
    };
    let limit = |limit: u64, swap: u64| json!({"limit": limit, "swap": swap});
    for (pointer, value, named) in [
        ("/linux/namespaces", without("uts"), "hostname"),
        ("/linux/namespaces/-", json!({"type": "pid"}), "linux.namespaces[6].type"),
        ("/linux/namespaces/0/path", json!("/proc/self/ns/net"), "/proc/self/ns/net"),
        ("/linux/uidMappings", map.clone(), "linux.uidMappings"),
        ("/linux/gidMappings", again, "linux.gidMappings"),
        ("/mounts/0/uidMappings", map.clone(), "mounts[0].gidMappings"),
        ("/linux/timeOffsets", json!({"boottime": {"secs": 5}}), "linux.timeOffsets.boottime"),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "linux.seccomp"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}),
            "linux.seccomp.listenerMetadata",
        ),
        ("/linux/resources/memory", limit(64 << 20, 32 << 20), "linux.resources.memory.swap"),
        ("/linux/resources/memory", json!({"swap": 64 << 20}), "linux.resources.memory.swap"),
        ("/linux/resources/memory", json!({"limit": 4096}), "linux.resources.memory.limit"),
        ("/process/rlimits", json!([{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]), "process.rlimits[0].soft"),
        ("/process/rlimits/-", json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}), "process.rlimits[1].type"),
        ("/process/terminal", json!(true), "process.terminal"),
        ("/process/cwd", json!("/etc/passwd"), "change to /etc/passwd"),
        ("/process/args/0", json!("/nowhere"), "/nowhere"),
        ("/process/user/uid", json!(4_294_967_295_u32), "process.user.uid"),
        ("/mounts/-", json!({"destination": "/x", "type": "nofs"}), "nofs"),
        ("/mounts/-", json!({"destination": "/x", "source": "/nowhere", "options": ["bind"]}), "bind source for /x"),
        ("/mounts/-", json!({"destination": "/x", "type": "tmpfs", "options": ["size=much"]}), "at /x"),
        ("/mounts/-", json!({"destination": "/proc/1", "type": "tmpfs"}), "/proc/1"),
        ("/mounts/-", json!({"destination": "/x", "type": "tmpfs", "options": ["idmap"]}), "idmap"),
        ("/hooks/createRuntime", json!([{"path": "/nowhere"}]), "hooks.createRuntime"),
        ("/hooks/createContainer", json!([{"path": "/bin/false"}]), "hooks.createContainer"),
    ] {
        bad.refuses_changed(pointer, value, named);
    }
    bad.end();
}

#[test]
fn a_text_of_a_megabyte_is_refused_by_its_field_in_a_message_that_can_be_read() {
    let mut bad = Bad::runnable();
    let long = "x".repeat(1 << 20);
    let path = format!("/{long}");
    for (pointer, value, named) in [
        ("/ociVersion", &long, "ociVersion"),
        ("/root/path", &long, "root.path"),
        ("/process/cwd", &path, "x"),
        ("/process/args/0", &long, "x"),
        ("/process/args/0", &path, "x"),
        ("/process/rlimits/0/type", &long, "process.rlimits[0].type"),
        ("/process/apparmorProfile", &long, "process.apparmorProfile"),
        ("/process/selinuxLabel", &long, "process.selinuxLabel"),
        ("/process/execCPUAffinity/initial", &long, "process.execCPUAffinity.initial"),
        ("/process/scheduler/policy", &long, "process.scheduler.policy"),
        ("/hostname", &long, "hostname"),
        ("/domainname", &long, "domainname"),
        ("/mounts/0/destination", &path, "x"),
        ("/mounts/1/type", &long, "x"),
        ("/mounts/1/source", &long, "/dev"),
        ("/mounts/1/options/0", &long, "/dev"),
        ("/linux/cgroupsPath", &path, "linux.cgroupsPath"),
        ("/linux/rootfsPropagation", &long, "linux.rootfsPropagation"),
        ("/linux/mountLabel", &long, "linux.mountLabel"),
        ("/linux/personality/domain", &long, "linux.personality.domain"),
        ("/linux/maskedPaths/0", &path, "x"),
        ("/linux/readonlyPaths/0", &path, "x"),
        ("/linux/namespaces/0/type", &long, "linux.namespaces[0].type"),
        ("/linux/namespaces/0/path", &path, "x"),
        ("/linux/resources/cpu/cpus", &long, "linux.resources.cpu.cpus"),
        ("/linux/resources/devices/0/type", &long, "linux.resources.devices[0].type"),
        ("/linux/resources/unified/memory.high", &long, "memory.high"),
    ] {
        bad.refuses_changed(pointer, json!(value), named);
    }
    bad.end();
}

#[test]
fn a_document_that_is_nested_deeply_or_that_ends_anywhere_is_refused() {
    let mut bad = Bad::new(serde_json::from_slice(FULL).unwrap());
    for depth in [127, 128, 129, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for field in
                ["process", "process.args", "mounts", "annotations", "hooks.prestart", "linux.resources.unified"]
            {
                let mut text = nested.clone();
                for part in field.split('.').rev() {
                    text = format!(r#"{{"{part}":{text}}}"#);
                }
                let text = text.replacen('{', r#"{"ociVersion":"1.3.0","root":{"path":"busybox"},"#, 1);
                bad.refuses(text.as_bytes(), field);
            }
            bad.refuses(nested.as_bytes(), if open == "[" { "config.json" } else { "ociVersion" });
        }
    }
    let whole = bad.good.to_string();
    for length in (0..whole.len()).step_by(23) {
        bad.refuses(&whole.as_bytes()[..length], "config.json: is not JSON");
    }
    for other in [&b"\xff\xfe{}"[..], b"{\"ociVersion\": \"\xff\"}", b"null", b"0", b"\"text\"", b"{}{}"] {
        bad.refuses(other, if other == b"{}{}" { "ociVersion" } else { "config.json" });
    }
    assert!(bad.tried > 200, "{}", bad.tried);
    bad.end();
}

#[test]
fn a_process_or_limits_that_come_alone_are_refused_by_their_field_and_the_container_goes_on() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let full: Value = serde_json::from_slice(FULL).unwrap();
    let file = bundle.carboy.folder().join("document.json");
    let path = file.to_str().unwrap();
    let refuses = |code: i32, words: &[&str], (part, document): (&str, &Value)| {
        for (turn, pointer) in pointers(document, "").into_iter().enumerate() {
            let others = of_other_types(document.pointer(&pointer).unwrap());
            let mut wrong = document.clone();
            put(&mut wrong, &pointer, others[turn % others.len()].clone());
            fs::write(&file, wrong.to_string()).unwrap();
            let ended = bundle.run(words);
            assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{part} {pointer}: {}", ended.stderr);
            assert!(ended.stderr.contains(&field(&pointer)), "{part} {pointer}: {}", ended.stderr);
        }
    };
    refuses(255, &["exec", "--process", path, &bundle.id], ("process", &full["process"]));
    refuses(1, &["update", "--resources", path, &bundle.id], ("resources", &full["linux"]["resources"]));
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.run(&["exec", &bundle.id, "true"]).code, 0);
}
