//! What annotations ask of carboy-runtime beyond the specification: Landlock rules, and a group that the container's
//! processes manage themselves. landlock(7), cgroup-v2.rst "Delegation".
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use carboy_e2e::bundle::Bundle;
use serde_json::{Value, json};

fn annotated(name: &str, value: &str) -> Bundle {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["annotations"] = json!({name: value});
        config["root"]["readonly"] = json!(false);
    });
    bundle
}

fn landlocked(document: &Value) -> Bundle {
    annotated("run.carboy.landlock", &document.to_string())
}

/// Where v2 is mounted; every host of the tests but one of v1 alone has it.
fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

#[test]
fn files_are_written_only_where_a_landlock_rule_allows_it_by_exec_too() {
    for no_new_privileges in [false, true] {
        let bundle = landlocked(&json!({
            "ruleset": {"handledAccessFS": ["write_file", "make_reg", "make_dir"]},
            "rules": {"pathBeneath": [{"allowedAccess": ["write_file", "make_reg"], "paths": ["/tmp", "/dev"]}]},
        }));
        fs::create_dir_all(bundle.carboy.busybox().join("tmp")).unwrap();
        bundle.change(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
        let script = "echo a > /tmp/a && echo allowed; echo b > /b || echo refused; mkdir /tmp/c || echo no folder; \
                      echo x > /dev/null && cat /tmp/a";
        bundle.args(&["sh", "-c", script]);
        let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!(ran.stdout, "allowed\nrefused\nno folder\na\n", "{}", ran.stderr);
        assert!(ran.stderr.contains("can't create /b: Permission denied"), "{}", ran.stderr);

        bundle.args(&["sleep", "1000"]);
        bundle.create();
        assert_eq!(bundle.run(&["start", &bundle.id]).stderr, "");
        let inside = bundle.run(&["exec", &bundle.id, "sh", "-c", "echo d > /tmp/d; echo e > /e || echo refused"]);
        assert_eq!(inside.stdout, "refused\n", "{}", inside.stderr);
        assert!(bundle.carboy.busybox().join("tmp/d").exists() && !bundle.carboy.busybox().join("e").exists());
    }
}

#[test]
fn programs_outside_of_what_may_be_executed_are_refused() {
    let bundle = landlocked(&json!({
        "ruleset": {"handledAccessFS": ["execute"]},
        "rules": {"pathBeneath": [{"allowedAccess": ["execute"], "paths": ["/bin/busybox"]}]},
    }));
    let root = bundle.carboy.busybox();
    fs::copy(root.join("bin/busybox"), root.join("other")).unwrap();
    bundle.args(&["sh", "-c", "/bin/busybox echo one; /other echo two; echo $?"]);
    let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(ran.stdout, "one\n126\n", "{}", ran.stderr);
}

#[test]
fn ports_and_signals_are_refused_where_landlock_forbids_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = other.local_addr().unwrap().port();
    let bundle = landlocked(&json!({
        "ruleset": {"handledAccessNet": ["bind_tcp", "connect_tcp"]},
        "rules": {"netPort": [{"allowedAccess": ["connect_tcp"], "ports": [port]}]},
    }));
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "sysfs");
    });
    let script = format!(
        "nc -w 1 127.0.0.1 {port} < /dev/null && echo connected; nc -w 1 127.0.0.1 {refused} < /dev/null || echo refused; \
         nc -l -p 9 -w 1 < /dev/null || echo no listener"
    );
    bundle.args(&["sh", "-c", &script]);
    let accepting = std::thread::spawn(move || listener.accept().map(drop));
    let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!(ran.stdout, "connected\nrefused\nno listener\n", "{}", ran.stderr);
    assert!(ran.stderr.contains("Permission denied"), "{}", ran.stderr);
    accepting.join().unwrap().unwrap();
}

#[test]
fn a_landlock_document_that_cannot_be_had_is_refused_by_its_field() {
    let paths = |path: &str| {
        json!({
            "ruleset": {"handledAccessFS": ["write_file"]},
            "rules": {"pathBeneath": [{"allowedAccess": ["write_file"], "paths": [path]}]},
        })
    };
    for (document, message) in [
        (
            json!({"ruleset": {"handledAccessFS": ["fly"]}}),
            "ruleset.handledAccessFS fly: is nothing that Landlock knows",
        ),
        (json!({"ruleset": {"handled": []}}), "cannot use ruleset.handled []: is not one of"),
        (json!({"ruleset": {}}), "forbids nothing"),
        (paths("tmp"), "is not absolute"),
        (paths("/nowhere"), "come under a Landlock ruleset"),
    ] {
        let bundle = landlocked(&document);
        bundle.args(&["true"]);
        let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!(ran.code, 1, "{document}");
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
        bundle.gone();
    }
}

#[test]
fn a_container_manages_a_group_of_its_own_within_the_one_that_limits_it() {
    let Some(unified) = unified() else {
        let bundle = annotated("run.oci.delegate-cgroup", "/payload");
        let refused = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert!(refused.stderr.contains("run.oci.delegate-cgroup"), "{}", refused.stderr);
        return;
    };
    let bundle = annotated("run.oci.delegate-cgroup", "/payload");
    bundle.change(|config| {
        config["process"]["user"] = json!({"uid": 33, "gid": 44});
        for mount in config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "cgroup" {
                mount["options"] = json!(["nosuid", "noexec", "nodev"]);
            }
        }
    });
    // The v2 tree is the mount itself, or a folder of it on a host that has v1 too.
    let script = "grep ^0: /proc/self/cgroup; top=/sys/fs/cgroup; test -e $top/cgroup.procs || top=$top/unified; \
                  cd $top/payload && mkdir below && echo 0 > below/cgroup.procs && grep ^0: /proc/self/cgroup; \
                  mkdir ../beside || echo refused; exec sleep 1000";
    let said = bundle.carboy.folder().join("said");
    bundle.args(&["sh", "-c", script]);
    let mut run = bundle.command(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]);
    let output = fs::File::create(&said).unwrap();
    assert!(run.stdout(output).stderr(std::process::Stdio::null()).status().unwrap().success());
    let expected = "0::/payload\n0::/payload/below\nrefused\n";
    carboy_e2e::eventually("it manages its group", || fs::read_to_string(&said).unwrap() == expected);
    let group = unified.join(&bundle.id);
    let payload = fs::metadata(group.join("payload")).unwrap();
    assert_eq!((payload.uid(), payload.gid(), fs::metadata(&group).unwrap().uid()), (33, 44, 0));
    let controllers = |group: PathBuf| fs::read_to_string(group.join("cgroup.controllers")).unwrap();
    assert_eq!(controllers(group.join("payload")), controllers(group));
    assert_eq!(bundle.run(&["exec", &bundle.id, "true"]).stderr, "");
    assert_eq!(bundle.run(&["pause", &bundle.id]).stderr, "");
    assert_eq!(bundle.run(&["resume", &bundle.id]).stderr, "");
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).stderr, "");
    bundle.gone();
}

#[test]
fn a_group_that_cannot_be_handed_over_is_refused_by_the_annotations_name() {
    for name in ["..", "a/../../b", ""] {
        let bundle = annotated("run.oci.delegate-cgroup", name);
        bundle.args(&["true"]);
        let refused = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
        assert_eq!(refused.code, 1, "{name}");
        assert!(refused.stderr.contains("run.oci.delegate-cgroup"), "{}", refused.stderr);
        bundle.gone();
    }
}
