//! `carboy-runtime mounts`: mounts that a container gets or loses while it runs, as it sees them itself. crun(1).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Stdio;

use carboy_e2e::Ended;
use carboy_e2e::bundle::Bundle;
use serde_json::{Value, json};

/// A container that runs, with a root that can be written.
fn running(change: impl FnOnce(&mut Value)) -> Bundle {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    bundle.change(|config| config["root"]["readonly"] = json!(false));
    bundle.change(change);
    fs::create_dir(bundle.carboy.folder().join("busybox/mnt")).unwrap();
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    bundle
}

fn mounts(bundle: &Bundle, action: &str, list: &Value) -> Ended {
    let file = bundle.carboy.folder().join("mounts.json");
    fs::write(&file, list.to_string()).unwrap();
    bundle.run(&["mounts", action, &bundle.id, file.to_str().unwrap()])
}

fn done(bundle: &Bundle, action: &str, list: &Value) {
    let ended = mounts(bundle, action, list);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""), "{action} {list}");
}

fn refused(bundle: &Bundle, action: &str, list: &Value) -> String {
    let ended = mounts(bundle, action, list);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{action} {list}");
    ended.stderr
}

/// What a shell in the container says.
fn said(bundle: &Bundle, script: &str) -> String {
    let ended = bundle.run(&["exec", &bundle.id, "sh", "-c", script]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{script}");
    ended.stdout
}

/// Where the container has mounts.
fn places(bundle: &Bundle) -> Vec<String> {
    let listed = said(bundle, "cut -d' ' -f5 /proc/self/mountinfo");
    listed.lines().map(str::to_owned).collect()
}

fn tmpfs(destination: &str) -> Value {
    json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": ["mode=711"]})
}

fn bind(source: &str, destination: &str, words: &[&str]) -> Value {
    json!({"destination": destination, "source": source, "options": words})
}

#[test]
fn mounts_come_and_go_while_the_container_runs() {
    let bundle = running(|_| {});
    let before = places(&bundle);
    let folder = bundle.carboy.folder().join("source");
    fs::create_dir_all(folder.join("below")).unwrap();
    fs::write(folder.join("file"), "from the host").unwrap();
    let (folder, file) = (folder.to_str().unwrap().to_owned(), folder.join("file"));
    let list = json!([
        bind(&folder, "/new/folder", &["rbind", "ro", "nosuid"]),
        bind(file.to_str().unwrap(), "/new/file", &["bind"]),
        tmpfs("relative"),
        tmpfs("/relative/deeper"),
        {"destination": "/new/proc", "type": "proc", "source": "proc"},
    ]);
    done(&bundle, "add", &list);
    assert_eq!(said(&bundle, "cat /new/folder/file /new/file"), "from the hostfrom the host");
    assert_eq!(said(&bundle, "stat -c %a /relative /relative/deeper"), "711\n711\n");
    // A file system of the container's own namespaces: its first process is 1 there.
    assert_eq!(said(&bundle, "tr '\\0' ' ' < /new/proc/1/cmdline"), "sleep 1000 ");
    let options = said(&bundle, "grep ' /new/folder ' /proc/self/mountinfo | cut -d' ' -f6");
    assert!(options.starts_with("ro,nosuid,"), "{options}");
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains("/new/folder"), "the host sees none of them");
    done(
        &bundle,
        "remove",
        &json!([
            {"destination": "/relative/deeper"}, {"destination": "relative"}, {"destination": "/new/../new/file"},
            {"destination": "/new/folder"}, {"destination": "/new/proc"},
        ]),
    );
    assert_eq!(places(&bundle), before);
    // With what is below it.
    done(&bundle, "add", &json!([tmpfs("/new/a"), tmpfs("/new/a/b")]));
    done(&bundle, "remove", &json!([{"destination": "/new/a"}]));
    assert_eq!(places(&bundle), before);
}

#[test]
fn what_is_in_use_goes_when_it_is_let_go_of() {
    let bundle = running(|_| {});
    done(&bundle, "add", &json!([tmpfs("/busy")]));
    let script = "cd /busy && echo kept > file && echo ready && read -r go && cat file && pwd";
    let mut inside = bundle.command(&["exec", &bundle.id, "sh", "-c", script]);
    let mut inside = inside.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(inside.stdout.as_mut().unwrap(), &mut ready).unwrap();
    done(&bundle, "remove", &json!([{"destination": "/busy"}]));
    assert!(!places(&bundle).contains(&"/busy".to_owned()));
    assert_eq!(said(&bundle, "ls /busy"), "", "the folder that was covered");
    inside.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let ended = inside.wait_with_output().unwrap();
    assert!(String::from_utf8(ended.stdout).unwrap().starts_with("kept\n"));
}

#[test]
fn a_list_can_come_from_standard_input_and_a_container_can_wait_or_be_paused() {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", "cut -d' ' -f5 /proc/self/mountinfo > /shared/seen; exec sleep 1000"]);
    bundle.change(|config| config["root"]["readonly"] = json!(false));
    bundle.create();
    let shared = bundle.carboy.folder().join("shared");
    fs::create_dir(&shared).unwrap();
    let list = json!([bind(shared.to_str().unwrap(), "/shared", &["bind"]), tmpfs("/early")]);
    let mut command = bundle.command(&["mounts", "add", &bundle.id, "-"]);
    let mut given = command.stdin(Stdio::piped()).spawn().unwrap();
    given.stdin.take().unwrap().write_all(list.to_string().as_bytes()).unwrap();
    assert!(given.wait().unwrap().success());
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    carboy_e2e::eventually("it has looked", || {
        fs::read_to_string(shared.join("seen")).is_ok_and(|seen| seen.lines().any(|line| line == "/early"))
    });
    assert_eq!(bundle.run(&["pause", &bundle.id]).code, 0);
    done(&bundle, "remove", &json!([{"destination": "/early"}]));
    assert_eq!(bundle.run(&["resume", &bundle.id]).code, 0);
    assert!(!places(&bundle).contains(&"/early".to_owned()));
}

#[test]
fn in_a_user_namespace_what_is_made_belongs_to_the_containers_root() {
    let bundle = running(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        for map in ["uidMappings", "gidMappings"] {
            config["linux"][map] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        }
        // The root's folder is the host's root's, and only a folder of the container's can get new ones.
        config["mounts"].as_array_mut().unwrap().push(tmpfs("/mnt"));
    });
    let source = bundle.carboy.folder().join("source");
    fs::create_dir(&source).unwrap();
    done(&bundle, "add", &json!([tmpfs("/mnt/own"), bind(source.to_str().unwrap(), "/mnt/host", &["bind", "ro"])]));
    assert_eq!(said(&bundle, "stat -c %u:%g /mnt/own /mnt/host"), "0:0\n65534:65534\n");
    assert_eq!(said(&bundle, "touch /mnt/own/file && stat -c %u /mnt/own/file"), "0\n");
    done(&bundle, "remove", &json!([{"destination": "/mnt/own"}, {"destination": "/mnt/host"}]));
    assert_eq!(said(&bundle, "stat -c %u:%a /mnt/own"), "0:755\n", "what was made to mount on");
}

#[test]
fn a_container_in_the_hosts_mount_namespace_has_them_in_its_root() {
    let bundle = running(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "mount");
        // They are for a mount namespace of its own.
        config["linux"].as_object_mut().unwrap().remove("maskedPaths");
        config["linux"].as_object_mut().unwrap().remove("readonlyPaths");
    });
    let host = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    done(&bundle, "add", &json!([tmpfs("/later")]));
    let place = format!("{}/busybox/later", bundle.path());
    assert!(host().contains(&place), "{}", host());
    assert_eq!(said(&bundle, "stat -c %a /later"), "711\n");
    done(&bundle, "remove", &json!([{"destination": "/later"}]));
    assert!(!host().contains(&place));
    done(&bundle, "add", &json!([tmpfs("/later")]));
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    assert!(!host().contains(bundle.path()), "{}", host());
}

#[test]
fn links_in_the_container_lead_nowhere_out_of_it() {
    let bundle = running(|_| {});
    let outside = bundle.carboy.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let root = bundle.carboy.folder().join("busybox");
    let up = format!("../../../../../../../..{}", outside.display());
    symlink(&up, root.join("out")).unwrap();
    symlink("/", root.join("top")).unwrap();
    let before = places(&bundle);
    // Followed within the root, where what the link names is made: or by the text of the path, which ends at the root.
    done(&bundle, "add", &json!([tmpfs("/out"), tmpfs("/../../../within")]));
    let device = |path: &std::path::Path| fs::metadata(path).unwrap().dev();
    assert_eq!(device(&outside), device(bundle.carboy.folder()));
    let inside = places(&bundle);
    assert!(inside.contains(&outside.display().to_string()) && inside.contains(&"/within".to_owned()), "{inside:?}");
    done(&bundle, "remove", &json!([{"destination": "/out"}, {"destination": "/within"}]));
    assert_eq!(places(&bundle), before);
    let top = refused(&bundle, "remove", &json!([{"destination": "/top"}]));
    assert!(top.contains("cannot unmount what is at /top") && top.contains("no mount of the container"), "{top}");
    for (action, destination, told) in [
        ("add", "/", "would cover the container's root"),
        ("remove", "/x/..", "is the container's root"),
        ("add", "/proc/self", "cannot be covered: it is inside /proc"),
        ("add", "/top/proc/self/attr", "leads into the container's /proc"),
    ] {
        let said = refused(&bundle, action, &json!([tmpfs(destination)]));
        assert!(said.contains(told), "{said}");
    }
    assert_eq!(places(&bundle), before);
}

#[test]
fn what_cannot_be_had_is_refused_and_nothing_of_the_list_stays() {
    let bundle = running(|_| {});
    let before = places(&bundle);
    for (list, told) in [
        (json!({}), "cannot use mounts {}: is not a sequence"),
        (json!([{"type": "tmpfs"}]), "destination"),
        (json!([tmpfs("/a"), {"destination": "/b", "type": 7}]), "[1].type 7: is not a string"),
        (json!([tmpfs("/a"), {"destination": "/b"}]), "mounts[/b]: has neither a type nor a bind option"),
        (
            json!([tmpfs("/a"), bind("/nonexistent", "/b", &["bind"])]),
            "the bind source for /b /nonexistent: does not exist",
        ),
        (json!([tmpfs("/a"), {"destination": "/b", "type": "nosuchfs"}]), "cannot mount nosuchfs at /b"),
        (json!([{"destination": "/b", "type": "cgroup"}]), "can only be mounted when the container is made"),
    ] {
        let said = refused(&bundle, "add", &list);
        assert!(said.contains(told), "{told}: {said}");
        assert_eq!(places(&bundle), before, "{told}");
    }
    let nothing = refused(&bundle, "remove", &json!([{"destination": "/tmp"}]));
    assert!(nothing.contains("cannot unmount what is at /tmp") && nothing.contains("no mount"), "{nothing}");
    let absent = refused(&bundle, "remove", &json!([{"destination": "/nonexistent"}]));
    assert!(absent.contains("No such file or directory"), "{absent}");
    fs::write(bundle.carboy.folder().join("bad"), "[{").unwrap();
    let bad = bundle.carboy.folder().join("bad");
    let run = |words: &[&str]| {
        let ended = bundle.run(words);
        assert_eq!(ended.code, 1, "{words:?}");
        ended.stderr
    };
    let said = run(&["mounts", "add", &bundle.id, bad.to_str().unwrap()]);
    assert!(said.contains("cannot use mounts: is not JSON"), "{said}");
    let said = run(&["mounts", "add", &bundle.id, "/nonexistent"]);
    assert!(said.contains("cannot read the mounts /nonexistent"), "{said}");
    let said = run(&["mounts", "move", &bundle.id, bad.to_str().unwrap()]);
    assert!(said.contains("mounts move: is neither add nor remove"), "{said}");
    assert!(run(&["mounts", "add", &bundle.id]).contains("mounts"));
    assert!(run(&["mounts", "add", "nosuch", "/nonexistent"]).contains("does not exist"));
    assert_eq!(bundle.run(&["kill", &bundle.id, "KILL"]).code, 0);
    carboy_e2e::eventually("it has stopped", || bundle.status() == "stopped");
    let said = refused(&bundle, "add", &json!([tmpfs("/a")]));
    assert!(said.contains("container not running"), "{said}");
}
