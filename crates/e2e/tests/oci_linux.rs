//! What `linux` and the kernel's own file systems give, seen from inside and, where a peer has it, as runc gives it: device
//! nodes, namespaces that are joined, offsets of clocks, options of mqueue, proc and devpts, the container's groups.
//! Runtime specification, config-linux.md.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{Ended, ended};
use serde_json::{Value, json};

fn run(bundle: &Bundle) -> Ended {
    let ended = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    bundle.gone();
    ended
}

fn refusal(bundle: &Bundle) -> String {
    let refused = run(bundle);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
    refused.stderr
}

fn under_runc(bundle: &Bundle) -> Ended {
    let mut runc = Command::new("runc");
    runc.arg("--root").arg(bundle.carboy.folder().join("runc")).args(["run", "--bundle", bundle.path(), &bundle.id]);
    ended(runc.stdin(Stdio::null()))
}

/// What a script says, which says the same under runc.
fn as_runc(bundle: &Bundle, script: &str) -> String {
    bundle.args(&["sh", "-c", script]);
    let ours = run(bundle);
    let theirs = under_runc(bundle);
    assert_eq!(ours.stdout, theirs.stdout, "{}{}", ours.stderr, theirs.stderr);
    ours.stdout
}

#[test]
fn device_nodes_have_their_type_numbers_permissions_and_owner_as_under_runc() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["linux"]["devices"] = json!([
            {"path": "/dev/chars", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8},
            {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 7, "fileMode": 0o600},
            {"path": "/dev/blocks", "type": "b", "major": 7, "minor": 200},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "gid": 9},
            {"path": "/dev/below/it", "type": "c", "major": 1, "minor": 3},
            {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2},
        ]);
    });
    let look = "cd /dev; stat -c '%A %u %g %t:%T %n' chars unbuffered blocks pipe below/it; readlink ptmx";
    let seen = as_runc(&bundle, look);
    let expected = "crw-r----- 7 8 1:5 chars\ncrw------- 0 0 1:7 unbuffered\nbrw-rw-rw- 0 0 7:c8 blocks\n\
                    prw--w--w- 0 9 0:0 pipe\ncrw-rw-rw- 0 0 1:3 below/it\npts/ptmx\n";
    assert_eq!(seen, expected);
    // One of those that every container has can be had with other permissions.
    let node = json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600});
    bundle.change(|config| config["linux"]["devices"] = json!([node]));
    bundle.args(&["stat", "-c", "%A %n", "/dev/null", "/dev/zero"]);
    assert_eq!(run(&bundle).stdout, "crw------- /dev/null\ncrw-rw-rw- /dev/zero\n");
}

#[test]
fn a_device_that_cannot_be_had_is_refused_by_its_field() {
    let bundle = Bundle::new();
    bundle.args(&["true"]);
    for (device, named) in [
        (json!({"path": "/dev/x", "type": "a", "major": 1, "minor": 3}), "linux.devices[0].type"),
        (json!({"path": "/dev/x", "type": "c", "minor": 3}), "linux.devices[0].major"),
        (json!({"path": "/dev/x", "type": "b", "major": 3}), "linux.devices[0].minor"),
        (json!({"path": "x", "type": "p"}), "linux.devices[0].path"),
        (json!({"path": "/dev/", "type": "p"}), "linux.devices"),
        (json!({"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}), "/etc/passwd"),
        (json!({"path": "/etc/passwd/x", "type": "p"}), "/etc/passwd"),
    ] {
        bundle.change(|config| config["linux"]["devices"] = json!([device]));
        let said = refusal(&bundle);
        assert!(said.contains(named), "{device}: {said}");
    }
}

#[test]
fn a_namespace_of_another_kind_is_not_joined() {
    let bundle = Bundle::new();
    bundle.args(&["true"]);
    let kinds =
        [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt"), ("cgroup", "cgroup")];
    for (at, (kind, _)) in kinds.iter().enumerate() {
        let other = kinds[(at + 1) % kinds.len()].1;
        bundle.change(|config| {
            let own = kinds.iter().map(|(kind, _)| json!({"type": kind}));
            config["linux"]["namespaces"] = own.collect();
            config["linux"]["namespaces"][at]["path"] = json!(format!("/proc/self/ns/{other}"));
        });
        let said = refusal(&bundle);
        let named = format!("linux.namespaces[{at}].path /proc/self/ns/{other}");
        assert!(said.contains(&named) && said.contains(&format!("is of the kind {other}")), "{kind}: {said}");
        bundle.change(|config| config["linux"]["namespaces"][at]["path"] = json!("/etc/hostname"));
        let said = refusal(&bundle);
        assert!(said.contains("/etc/hostname"), "{kind}: {said}");
    }
}

#[test]
fn clocks_are_shifted_in_a_time_namespace_and_nowhere_else() {
    let bundle = Bundle::new();
    bundle.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
        config["linux"]["timeOffsets"] =
            json!({"monotonic": {"secs": 172_800, "nanosecs": 500_000_000}, "boottime": {"secs": 604_800}});
    });
    bundle.args(&["sh", "-c", "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime"]);
    let ran = run(&bundle);
    let words: Vec<&str> = ran.stdout.split_whitespace().collect();
    let offsets = ["monotonic", "172800", "500000000", "boottime", "604800", "0"];
    assert_eq!(words[..6], offsets, "{}", ran.stderr);
    let own = fs::read_to_string("/proc/uptime").unwrap();
    let own: u64 = own.split('.').next().unwrap().parse().unwrap();
    let inside: u64 = words[6].parse().unwrap();
    assert!((604_800..604_860).contains(&(inside - own)), "{inside} {own}");
    for (offsets, named) in [
        (json!({"boottime": {"secs": -1_000_000_000}}), "boottime -1000000000"),
        (json!({"boottime": {"secs": i64::MAX}}), "boottime"),
        (json!({"realtime": {"secs": 1}}), "linux.timeOffsets.realtime"),
    ] {
        bundle.change(|config| config["linux"]["timeOffsets"] = offsets.clone());
        let said = refusal(&bundle);
        assert!(said.contains(named), "{offsets}: {said}");
    }
    bundle.change(|config| {
        config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 5}});
        config["linux"]["namespaces"].as_array_mut().unwrap().pop();
    });
    assert!(refusal(&bundle).contains("linux.timeOffsets.boottime"));
}

/// Sets the options of the mount at a place, as the configuration has it.
fn set_options(bundle: &Bundle, place: &str, options: &Value) {
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.iter_mut().find(|mount| mount["destination"] == place).unwrap()["options"] = options.clone();
    });
}

/// Field 6 and those behind the dash of the line of a place.
const LINE: &str = "sed -n 's| - | |; s|^[0-9]* [0-9]* [^ ]* / PLACE \\([^ ]*\\).* \\([a-z]*\\) [^ ]* \\([^ ]*\\)$|\\1 \\2 \\3|p' \
                    /proc/self/mountinfo";

#[test]
fn the_kernels_own_file_systems_have_their_options_as_under_runc() {
    let cases = [
        ("/proc", json!([]), &["rw,relatime proc rw"][..]),
        ("/proc", json!(["nosuid", "noexec", "nodev", "hidepid=2"]), &["rw,nosuid,nodev,noexec,relatime", "hidepid="]),
        ("/proc", json!(["subset=pid"]), &["subset=pid"]),
        ("/dev/mqueue", json!(["nosuid", "noexec", "nodev"]), &["rw,nosuid,nodev,noexec,relatime mqueue rw"]),
        ("/dev/mqueue", json!(["ro"]), &["ro,relatime mqueue"]),
        ("/dev/pts", json!(["newinstance", "ptmxmode=0600", "mode=0600"]), &["devpts rw,mode=600,ptmxmode=600"]),
        (
            "/dev/pts",
            json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", "max=3"]),
            &["rw,nosuid,noexec,relatime devpts", "gid=5,mode=620,ptmxmode=666,max=3"],
        ),
    ];
    for (place, options, parts) in cases {
        let bundle = Bundle::new();
        bundle.change(|config| {
            config["linux"]["maskedPaths"] = json!([]);
            config["linux"]["readonlyPaths"] = json!([]);
        });
        set_options(&bundle, place, &options);
        let seen = as_runc(&bundle, &LINE.replace("PLACE", place));
        assert!(parts.iter().all(|part| seen.contains(part)), "{place} {options}: {seen}");
    }
    let bundle = Bundle::new();
    bundle.args(&["true"]);
    for (place, options) in
        [("/proc", json!(["hidepid=much"])), ("/dev/pts", json!(["ptmxmode=rw"])), ("/dev/mqueue", json!(["size=5"]))]
    {
        let usual = bundle.config()["mounts"].clone();
        set_options(&bundle, place, &options);
        let said = refusal(&bundle);
        assert!(said.contains(&format!(" at {place}")), "{options}: {said}");
        bundle.change(|config| config["mounts"] = usual.clone());
    }
}

#[test]
fn the_containers_groups_are_read_only_or_its_own_to_change_as_the_mount_says() {
    let find = "for file in $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs); do group=${file%/cgroup.procs}; \
                grep -q \" $group \" /proc/self/mountinfo || continue; \
                if mkdir $group/below 2> /dev/null; then rmdir $group/below && echo writes; else echo denied; fi; done | sort -u";
    for (option, expected) in [("ro", "denied\n"), ("rw", "writes\n")] {
        let bundle = Bundle::new();
        set_options(&bundle, "/sys/fs/cgroup", &json!(["nosuid", "noexec", "nodev", "relatime", option]));
        assert_eq!(as_runc(&bundle, find), expected, "{option}");
        bundle.args(&[
            "sh",
            "-c",
            "grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f6 | cut -d, -f1-4 | sort -u",
        ]);
        assert_eq!(run(&bundle).stdout, format!("{option},nosuid,nodev,noexec\n"));
    }
}
