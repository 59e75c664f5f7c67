//! `checkpoint` and `restore` through CRIU, where the kernel is one that it works on: cargo xtask test --host v2.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{Ended, eventually};
use serde_json::{Value, json};

/// What it has counted, in a file of its root.
const COUNTER: [&str; 3] = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done"];

/// A bundle whose container counts, with a limit.
fn counting() -> Bundle {
    let bundle = Bundle::new();
    bundle.args(&COUNTER);
    bundle.change(|config| {
        config["root"]["readonly"] = json!(false);
        config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    });
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    eventually("it counts", || count(&bundle) > 3);
    bundle
}

fn count(bundle: &Bundle) -> u64 {
    let text = fs::read_to_string(bundle.carboy.folder().join("busybox/tmp/count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn checkpoint(bundle: &Bundle, options: &[&str]) -> Ended {
    let images = bundle.carboy.folder().join("images");
    bundle.run(&[&["checkpoint", "--image-path", images.to_str().unwrap()], options, &[bundle.id.as_str()]].concat())
}

fn restore(bundle: &Bundle, options: &[&str]) -> i32 {
    let images = bundle.carboy.folder().join("images");
    let words = ["restore", "--detach", "--bundle", bundle.path(), "--image-path", images.to_str().unwrap()];
    let mut command = bundle.command(&[&words[..], options, &[bundle.id.as_str()]].concat());
    let log = fs::File::create(bundle.carboy.folder().join("restore.err")).unwrap();
    let code = command.stdout(std::process::Stdio::null()).stderr(log).status().unwrap().code().unwrap();
    let said = fs::read_to_string(bundle.carboy.folder().join("restore.err")).unwrap();
    assert!(code == 0 || images.join("restore.log").is_file() || said.contains("images"), "{said}");
    code
}

fn limit(bundle: &Bundle) -> Value {
    let event: Value = serde_json::from_str(&bundle.run(&["events", "--stats", &bundle.id]).stdout).unwrap();
    event["data"]["memory"]["usage"]["limit"].clone()
}

#[test]
fn a_counter_goes_on_from_where_it_was_with_its_limits_and_its_state() {
    let bundle = counting();
    let before = bundle.state();
    let written = checkpoint(&bundle, &[]);
    let log = fs::read_to_string(bundle.carboy.folder().join("images/dump.log")).unwrap_or_default();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error") || line.contains("Warn")).collect();
    assert_eq!(written.code, 0, "{}{errors:?}", written.stderr);
    bundle.gone();
    let counted = count(&bundle);
    assert_eq!(restore(&bundle, &["--pid-file", bundle.carboy.folder().join("pid").to_str().unwrap()]), 0);
    eventually("it counts on", || count(&bundle) > counted + 3);
    assert!(count(&bundle) < counted + 1000, "from where it was");
    let state = bundle.state();
    for field in ["id", "status", "bundle", "rootfs", "ociVersion", "owner"] {
        assert_eq!(state[field], before[field], "{field}");
    }
    assert_eq!(fs::read_to_string(bundle.carboy.folder().join("pid")).unwrap(), state["pid"].to_string());
    assert_eq!(limit(&bundle), 64 << 20);
    let pids: Vec<i64> = serde_json::from_str(&bundle.run(&["ps", "--format", "json", &bundle.id]).stdout).unwrap();
    assert!(pids.contains(&state["pid"].as_i64().unwrap()), "it is in its groups: {pids:?}");
    let inside = bundle.run(&["exec", &bundle.id, "sh", "-c", "cat /proc/1/comm; cat /proc/1/cgroup | grep ^0"]);
    assert_eq!((inside.code, inside.stdout.as_str()), (0, "sh\n0::/\n"), "{}", inside.stderr);
    assert_eq!(bundle.run(&["kill", &bundle.id, "KILL"]).code, 0);
    eventually("it has stopped", || bundle.status() == "stopped");
    assert_eq!(bundle.run(&["delete", &bundle.id]).code, 0);
    bundle.gone();
}

#[test]
fn a_container_goes_on_while_it_is_written_down_first_its_memory_and_then_the_rest() {
    let bundle = counting();
    let images = bundle.carboy.folder().join("images");
    let words = |folder: &str| images.join(folder).to_str().unwrap().to_owned();
    let first = bundle.run(&["checkpoint", "--pre-dump", "--image-path", &words("first"), &bundle.id]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(bundle.status(), "running");
    let second = ["checkpoint", "--leave-running", "--parent-path", "../first", "--image-path", &words("second")];
    let second = bundle.run(&[&second[..], &[bundle.id.as_str()]].concat());
    assert_eq!(second.code, 0, "{}", second.stderr);
    let counted = count(&bundle);
    eventually("it counts on", || count(&bundle) > counted);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    fs::rename(images.join("first"), bundle.carboy.folder().join("first")).unwrap();
    fs::rename(images.join("second"), bundle.carboy.folder().join("second")).unwrap();
    fs::remove_dir_all(&images).unwrap();
    fs::rename(bundle.carboy.folder().join("second"), &images).unwrap();
    assert_eq!(restore(&bundle, &[]), 0);
    let counted = count(&bundle);
    eventually("it counts on", || count(&bundle) > counted);
}

#[test]
fn what_cannot_be_written_down_or_brought_back_is_refused_by_its_name() {
    let bundle = counting();
    let refused = |options: &[&str], said: &str| {
        let ended = checkpoint(&bundle, options);
        assert!(ended.code == 1 && ended.stderr.contains(said), "{options:?}: {}", ended.stderr);
        assert_eq!(bundle.status(), "running", "{options:?}");
    };
    refused(&["--manage-cgroups-mode", "nosuch"], "--manage-cgroups-mode nosuch");
    refused(&["--empty-ns", "mount"], "--empty-ns mount");
    refused(&["--parent-path", "/tmp"], "--parent-path /tmp");
    refused(&["--page-server", "localhost"], "--page-server localhost");
    let full = ["restore", "--bundle", bundle.path(), "--manage-cgroups-mode", "full", "another"];
    assert!(bundle.run(&full).stderr.contains("--manage-cgroups-mode full"), "the configuration makes the groups");
    let none = restore(&Bundle::new(), &[]);
    assert_eq!(none, 1, "there are no images");
}

/// What CRIU has written of a namespace, by how the image is called.
fn image(bundle: &Bundle, name: &str) -> String {
    let images = fs::read_dir(bundle.carboy.folder().join("images")).unwrap().map(|image| image.unwrap().path());
    let mut images = images.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name));
    String::from_utf8_lossy(&fs::read(images.next().unwrap()).unwrap()).into_owned()
}

#[test]
fn joined_namespaces_are_no_part_of_the_images_and_joined_again() {
    let mut other = std::process::Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "sh", "-c", "while :; do sleep 0.05; done"])
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", other.id());
    eventually("it has forked", || !fs::read_to_string(&children).unwrap().is_empty());
    let inside = fs::read_to_string(&children).unwrap().trim().to_owned();
    let namespace = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let bundle = Bundle::new();
    bundle.args(&COUNTER);
    bundle.change(|config| {
        config["root"]["readonly"] = json!(false);
        for space in config["linux"]["namespaces"].as_array_mut().unwrap() {
            let file = match space["type"].as_str().unwrap() {
                "network" => "net",
                "pid" => "pid",
                _ => continue,
            };
            space["path"] = json!(format!("/proc/{inside}/ns/{file}"));
        }
    });
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    eventually("it counts", || count(&bundle) > 3);
    let written = checkpoint(&bundle, &[]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    assert!(image(&bundle, "netns-").contains("extRootNetNS") && image(&bundle, "pidns-").contains("extRootPidNS"));
    bundle.gone();
    assert_eq!(restore(&bundle, &[]), 0);
    let counted = count(&bundle);
    eventually("it counts on", || count(&bundle) > counted);
    let pid = bundle.state()["pid"].to_string();
    for kind in ["net", "pid"] {
        assert_eq!(namespace(&pid, kind), namespace(&inside, kind), "{kind}");
    }
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
    other.kill().unwrap();
    other.wait().unwrap();
}
