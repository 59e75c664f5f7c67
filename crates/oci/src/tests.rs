//! The document with every field of the specification, read and written; and what a document looks like that is refused.

use crate::{CAPABILITIES, Config, Namespace, NamespaceKind, RLIMITS, State, Status};
use error::Error;
use serde_json::{Value, json};

const FULL: &[u8] = include_bytes!("tests/full.json");

fn full() -> Value {
    serde_json::from_slice(FULL).unwrap()
}

/// The full document with the value at `pointer` replaced (RFC 6901), or removed by `null`.
fn changed(pointer: &str, value: Value) -> Vec<u8> {
    let mut document = full();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match parent {
        Value::Object(fields) if value.is_null() => drop(fields.remove(key).unwrap()),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        parent => *parent.get_mut(key.parse::<usize>().unwrap()).unwrap() = value,
    }
    serde_json::to_vec(&document).unwrap()
}

fn unparsed(bytes: &[u8]) -> String {
    Config::parse(bytes).unwrap_err().to_string()
}

fn refused(pointer: &str, value: Value) -> String {
    let error = Config::parse(&changed(pointer, value)).unwrap().check().unwrap_err();
    assert!(matches!(error, Error::Refused(_)));
    error.to_string()
}

#[test]
fn every_field_of_the_specification_survives_reading_and_writing() {
    let written = serde_json::to_value(Config::parse(FULL).unwrap()).unwrap();
    let mut expected = full();
    expected["linux"]["timeOffsets"]["boottime"] = json!({ "secs": -604_800 });
    assert_eq!(written, expected);
}

#[test]
fn the_full_document_is_in_order() {
    Config::parse(FULL).unwrap().check().unwrap();
}

#[test]
fn what_is_absent_stays_absent() {
    let text = br#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"linux":{}}"#;
    let config = Config::parse(text).unwrap();
    config.check().unwrap();
    assert_eq!(serde_json::to_vec(&config).unwrap(), text);
}

#[test]
fn unknown_fields_are_ignored() {
    let text = br#"{"ociVersion":"1.0.2","vm":{"kernel":{}},"root":{"path":"r","extra":[1]}}"#;
    assert_eq!(Config::parse(text).unwrap().root.unwrap().path, "r");
}

#[test]
fn null_and_empty_texts_mean_absent() {
    let text = br#"{"ociVersion":"1.0.2","process":{"cwd":"/","terminal":null,"args":["a"],"env":null,"user":null},
        "hostname":"","mounts":null,"annotations":null,"linux":{"namespaces":[{"type":"network","path":""}],"seccomp":null}}"#;
    let config = Config::parse(text).unwrap();
    assert_eq!((config.hostname, config.mounts.len()), (None, 0));
    assert_eq!(config.linux.unwrap().namespaces, [Namespace { kind: NamespaceKind::Net, path: None }]);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_path() {
    let text = unparsed(&changed("/process/user/uid", json!("root")));
    assert_eq!(text, "cannot use process.user.uid \"root\": is not u32");
    let text = unparsed(&changed("/process/user/uid", json!(-1)));
    assert_eq!(text, "cannot use process.user.uid -1: is not u32");
    let text = unparsed(&changed("/mounts/1/options", json!("ro")));
    assert_eq!(text, "cannot use mounts[1].options \"ro\": is not a sequence");
    let text = unparsed(&changed("/linux/resources/memory", json!(64)));
    assert_eq!(text, "cannot use linux.resources.memory 64: is not an object");
}

/// The pointers to everything in a value, itself first.
fn pointers(value: &Value, above: &str) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Object(fields) => fields.iter().flat_map(|(key, v)| pointers(v, &format!("{above}/{key}"))).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, v)| pointers(v, &format!("{above}/{index}"))).collect()
        }
        _ => Vec::new(),
    };
    [vec![above.to_owned()], below].concat()
}

#[test]
fn a_list_is_not_taken_for_the_fields_of_an_object() {
    let document = full();
    let objects = pointers(&document, "").into_iter().filter(|at| document.pointer(at).is_some_and(Value::is_object));
    let mut tried = 0;
    for pointer in objects.filter(|at| !at.is_empty()) {
        let fields: Vec<Value> = document.pointer(&pointer).unwrap().as_object().unwrap().values().cloned().collect();
        for list in [fields, Vec::new()] {
            let text = unparsed(&changed(&pointer, json!(list)));
            assert!(text.ends_with("is not an object") || text.ends_with("is not a map"), "{pointer}: {text}");
        }
        tried += 1;
    }
    assert!(tried > 40, "{tried}");
    assert!(unparsed(b"[]").starts_with("cannot use config.json []: is not an object"));
    assert_eq!(unparsed("[".repeat(1000).as_bytes()), "cannot use config.json: is not an object");
}

#[test]
fn an_unknown_word_is_refused_with_the_known_ones() {
    let text = unparsed(&changed("/linux/namespaces/2/type", json!("net")));
    let known = "`mount`, `pid`, `network`, `ipc`, `uts`, `user`, `cgroup`, `time`";
    assert_eq!(text, format!("cannot use linux.namespaces[2].type \"net\": is not one of {known}"));
}

#[test]
fn a_missing_field_is_refused_by_its_name() {
    assert_eq!(unparsed(&changed("/process/cwd", Value::Null)), "cannot use process.cwd: is missing");
    assert_eq!(unparsed(b"{}"), "cannot use ociVersion: is missing");
    let text = unparsed(&changed("/linux/uidMappings/1/hostID", Value::Null));
    assert_eq!(text, "cannot use linux.uidMappings[1].hostID: is missing");
}

#[test]
fn text_that_is_no_json_is_refused_with_its_place() {
    assert_eq!(
        unparsed(b"{\"a\": tru"),
        "cannot use config.json: is not JSON: EOF while parsing a value at line 1 column 9"
    );
    assert_eq!(unparsed(b""), "cannot use config.json: is not JSON: EOF while parsing a value at line 1 column 0");
    assert_eq!(unparsed(b"7"), "cannot use config.json 7: is not an object");
    let two = [FULL, b"{}"].concat();
    assert!(unparsed(&two).starts_with("cannot use config.json: is not JSON: trailing characters at line"));
}

#[test]
fn a_long_value_is_shortened() {
    let text = unparsed(&changed("/process/cwd", json!(["é".repeat(100)])));
    assert_eq!(text, format!("cannot use process.cwd [\"{}…: is not a string", "é".repeat(58)));
}

#[test]
fn only_versions_1_are_known() {
    for version in ["1.0.0", "1.2.1-rc.1", "1.3.0+dev", "1.0.2-dev"] {
        Config::parse(&changed("/ociVersion", json!(version))).unwrap().check().unwrap();
    }
    let text = refused("/ociVersion", json!("2.0.0"));
    assert_eq!(text, "cannot use ociVersion 2.0.0: is not a version 1 of the runtime specification");
    for version in ["1", "1.0", "", "1.0.x", "1.0.0.0"] {
        assert!(refused("/ociVersion", json!(version)).ends_with("is not a version like 1.3.0"), "{version}");
    }
}

#[test]
fn the_process_is_checked() {
    assert_eq!(refused("/process/cwd", json!("srv")), "cannot use process.cwd srv: is not an absolute path");
    assert_eq!(refused("/process/cwd", json!("")), "cannot use process.cwd: is empty");
    assert_eq!(refused("/process/args", json!([])), "cannot use process.args: names no command");
    assert_eq!(refused("/process/args", json!([""])), "cannot use process.args: names no command");
    assert_eq!(refused("/process/user/umask", json!(512)), "cannot use process.user.umask 0o1000: is more than 0o777");
    for (pointer, field) in [("uid", "uid"), ("gid", "gid"), ("additionalGids/1", "additionalGids[1]")] {
        let text = refused(&format!("/process/user/{pointer}"), json!(u32::MAX));
        assert_eq!(text, format!("cannot use process.user.{field} 4294967295: is no id"));
    }
    let text = refused("/process/oomScoreAdj", json!(1001));
    assert_eq!(text, "cannot use process.oomScoreAdj 1001: is not between -1000 and 1000");
    let text = refused("/process/ioPriority/priority", json!(8));
    assert_eq!(text, "cannot use process.ioPriority.priority 8: is not between 0 and 7");
}

#[test]
fn resource_limits_are_checked() {
    let text = refused("/process/rlimits/0/type", json!("RLIMIT_FILES"));
    assert_eq!(text, "cannot use process.rlimits[0].type RLIMIT_FILES: is no resource that Linux limits");
    let text = refused("/process/rlimits/1/type", json!("RLIMIT_NOFILE"));
    assert_eq!(text, "cannot use process.rlimits[1].type RLIMIT_NOFILE: is limited a second time");
    let text = refused("/process/rlimits/0/soft", json!(5000));
    assert_eq!(text, "cannot use process.rlimits[0].soft 5000: is more than the hard limit of 4096");
}

#[test]
fn the_root_must_be_there() {
    assert_eq!(refused("/root", Value::Null), "cannot use root: is missing");
    assert_eq!(refused("/root/path", json!("")), "cannot use root.path: is empty");
}

#[test]
fn a_name_without_a_uts_namespace_is_refused() {
    let text = refused("/linux/namespaces", json!([{ "type": "user" }, { "type": "time" }]));
    assert_eq!(text, "cannot use hostname one: would rename the host");
}

#[test]
fn namespaces_are_checked() {
    let text = refused("/linux/namespaces/1", json!({ "type": "mount" }));
    assert_eq!(text, "cannot use linux.namespaces[1].type mnt: is there a second time");
    let text = refused("/linux/namespaces/2/path", json!("ns/net"));
    assert_eq!(text, "cannot use linux.namespaces[2].path ns/net: is not an absolute path");
}

#[test]
fn id_mappings_are_checked() {
    let text = refused("/linux/namespaces", json!([{ "type": "uts" }, { "type": "time" }]));
    assert_eq!(text, "cannot use linux.uidMappings: needs a user namespace");
    let mapping = |inside: u32, host: u32, size: u32| json!({ "containerID": inside, "hostID": host, "size": size });
    let field = "cannot use linux.uidMappings[1]";
    let cases = [
        (mapping(1000, 1000, 0), "1000:1000:0: maps no id"),
        (mapping(1000, 4_294_967_295, 1), "1000:4294967295:1: ends beyond the last id"),
        (mapping(999, 1, 5), "999:1:5: overlaps with 0:100000:1000"),
        (mapping(5000, 99_999, 2), "5000:99999:2: overlaps with 0:100000:1000"),
    ];
    for (value, expected) in cases {
        assert_eq!(refused("/linux/uidMappings/1", value), format!("{field} {expected}"));
    }
    let text = refused("/mounts/1/gidMappings", Value::Null);
    let reason = "is missing, and users and groups can only be mapped together";
    assert_eq!(text, format!("cannot use mounts[1].gidMappings: {reason}"));
}

#[test]
fn mounts_hooks_and_annotations_are_checked() {
    assert_eq!(refused("/mounts/0/destination", json!("")), "cannot use mounts[0].destination: is empty");
    let text = refused("/hooks/createRuntime/0/path", json!("net"));
    assert_eq!(text, "cannot use hooks.createRuntime[0].path net: is not an absolute path");
    let text = refused("/hooks/createRuntime/0/timeout", json!(0));
    assert_eq!(text, "cannot use hooks.createRuntime[0].timeout 0: is not above 0");
    assert_eq!(refused("/annotations", json!({ "": "x" })), "cannot use annotations: has an empty key");
}

#[test]
fn clock_offsets_are_checked() {
    let text = refused("/linux/namespaces", json!([{ "type": "uts" }, { "type": "user" }]));
    assert_eq!(text, "cannot use linux.timeOffsets.boottime -604800: needs a time namespace");
    let text = refused("/linux/timeOffsets", json!({ "realtime": { "secs": 1 } }));
    assert_eq!(text, "cannot use linux.timeOffsets.realtime: is a clock that the kernel cannot shift");
    let text = refused("/linux/timeOffsets/monotonic/nanosecs", json!(1_000_000_000));
    assert_eq!(text, "cannot use linux.timeOffsets.monotonic.nanosecs 1000000000: is a second or more");
}

#[test]
fn paths_and_devices_are_checked() {
    let text = refused("/linux/maskedPaths/0", json!("proc"));
    assert_eq!(text, "cannot use linux.maskedPaths[0] proc: is not an absolute path");
    let text = refused("/linux/readonlyPaths/0", json!(""));
    assert_eq!(text, "cannot use linux.readonlyPaths[0]: is empty");
    let text = refused("/linux/devices/0/path", json!("fuse"));
    assert_eq!(text, "cannot use linux.devices[0].path fuse: is not an absolute path");
    let text = refused("/linux/devices/0/type", json!("x"));
    assert_eq!(text, "cannot use linux.devices[0].type x: is no type of device node");
    assert_eq!(refused("/linux/devices/0/minor", Value::Null), "cannot use linux.devices[0].minor: is missing");
    let text = refused("/linux/devices/0/major", json!(-1));
    assert_eq!(text, "cannot use linux.devices[0].major -1: is no device number");
    let pipe = changed("/linux/devices/0", json!({ "path": "/dev/pipe", "type": "p" }));
    Config::parse(&pipe).unwrap().check().unwrap();
}

#[test]
fn a_seccomp_profile_is_checked_on_its_own() {
    let text = refused("/linux/seccomp/listenerPath", Value::Null);
    assert_eq!(text, "cannot use linux.seccomp.listenerMetadata one: needs a listenerPath");
    let text = refused("/linux/seccomp/syscalls/0/names", json!([]));
    assert_eq!(text, "cannot use linux.seccomp.syscalls[0].names: is empty");
}

#[test]
fn a_nul_is_found_wherever_it_is() {
    let text = refused("/process/env/1", json!("A=\0b"));
    assert_eq!(text, "cannot use process.env[1] A=\\0b: holds a NUL character");
    let text = refused("/linux/sysctl", json!({ "net.\0": "1" }));
    assert_eq!(text, "cannot use linux.sysctl net.\\0: holds a NUL character");
    let text = refused("/root/path", json!("/\0"));
    assert_eq!(text, "cannot use root.path /\\0: holds a NUL character");
}

#[test]
fn every_kind_of_namespace_has_its_two_names() {
    use NamespaceKind::{Cgroup, Ipc, Mnt, Net, Pid, Time, User, Uts};
    let kinds = [Mnt, Pid, Net, Ipc, Uts, User, Cgroup, Time];
    let documents = ["mount", "pid", "network", "ipc", "uts", "user", "cgroup", "time"];
    assert_eq!(serde_json::to_value(kinds).unwrap(), json!(documents));
    let links = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"];
    assert_eq!(kinds.map(NamespaceKind::name), links);
}

#[test]
fn capabilities_and_resource_limits_are_numbered_without_gaps() {
    assert!(CAPABILITIES.iter().zip(0..).all(|((_, number), expected)| *number == expected));
    assert!(RLIMITS.iter().zip(0..).all(|((_, number), expected)| *number == expected));
}

#[test]
fn the_state_is_written_as_hooks_read_it() {
    let state = State {
        oci_version: "1.3.0".into(),
        id: "one".into(),
        status: Status::Running,
        pid: Some(42),
        bundle: "/b".into(),
        annotations: [("k".to_owned(), "v".to_owned())].into(),
    };
    let text = r#"{"ociVersion":"1.3.0","id":"one","status":"running","pid":42,"bundle":"/b","annotations":{"k":"v"}}"#;
    assert_eq!(serde_json::to_string(&state).unwrap(), text);
    assert_eq!(serde_json::from_str::<State>(text).unwrap(), state);
}

/// The other reader keeps capabilities in no order, and knows neither all of version 1.3 nor all words of 1.0.
#[test]
fn a_network_device_needs_a_namespace_and_a_name_that_the_kernel_takes() {
    for (devices, told) in [
        (json!({"eth 0": {}}), "linux.netDevices eth 0: is not the name"),
        (json!({"eth0": {"name": "a/b"}}), "linux.netDevices.eth0.name a/b: is not the name"),
        (json!({"eth0": {"name": ".."}}), "linux.netDevices.eth0.name ..: is not the name"),
        (json!({"eth0": {"name": "a234567890123456"}}), "is not the name of a network device"),
        (json!({"eth0": {"name": "eth%s"}}), "linux.netDevices.eth0.name eth%s: is not the name"),
        (json!({"eth0": {"name": "%d%d"}}), "linux.netDevices.eth0.name %d%d: is not the name"),
        (json!({"eth0": {"name": "eth1"}, "eth1": {}}), "linux.netDevices.eth1 eth1: is the name of another"),
        (json!({"eth0": {"name": "n"}, "eth1": {"name": "n"}}), "linux.netDevices.eth1.name n: is the name of another"),
    ] {
        let said = refused("/linux/netDevices", devices);
        assert!(said.contains(told), "{said}");
    }
    let two = json!({"eth0": {"name": "net%d"}, "eth1": {"name": "net%d"}, "eth2": {"name": ""}});
    Config::parse(&changed("/linux/netDevices", two)).unwrap().check().unwrap();
    let mut document = full();
    document["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "network");
    document["linux"]["netDevices"] = json!({"eth0": {}});
    let document = serde_json::to_vec(&document).unwrap();
    let said = Config::parse(&document).unwrap().check().unwrap_err().to_string();
    assert!(said.contains("linux.netDevices.eth0: needs a network namespace"), "{said}");
}

#[test]
fn another_reader_finds_the_same_in_the_full_document() {
    let mut document = full();
    document["process"]["capabilities"] = json!({ "effective": ["CAP_CHOWN"] });
    document["process"]["scheduler"]["flags"] = json!(["SCHED_FLAG_RECLAIM"]);
    document["linux"]["intelRdt"] = json!({ "closID": "guaranteed", "l3CacheSchema": "L3:0=7f0;1=1f" });
    let document = serde_json::to_vec(&document).unwrap();
    let other: oci_spec::runtime::Spec = serde_json::from_slice(&document).unwrap();
    let other = serde_json::to_vec(&other).unwrap();
    assert_eq!(Config::parse(&other).unwrap(), Config::parse(&document).unwrap());
}
