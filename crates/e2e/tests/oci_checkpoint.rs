//! `checkpoint` and `restore` through CRIU, where the kernel is one that it works on: cargo xtask test --host v2.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::{Ended, Person, eventually};
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

/// What went wrong, with CRIU's own last words, where it cannot be restored.
fn restore(bundle: &Bundle, options: &[&str]) -> Result<(), String> {
    let folder = bundle.carboy.folder();
    let images = folder.join("images");
    let words = ["restore", "--detach", "--bundle", bundle.path(), "--image-path", images.to_str().unwrap()];
    let mut command = bundle.command(&[&words[..], options, &[bundle.id.as_str()]].concat());
    let said = File::create(folder.join("restore.err")).unwrap();
    if command.stdout(std::process::Stdio::null()).stderr(said).status().unwrap().success() {
        return Ok(());
    }
    let log = fs::read_to_string(images.join("restore.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(40)..].join("\n");
    Err(fs::read_to_string(folder.join("restore.err")).unwrap() + &last)
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
    restore(&bundle, &["--pid-file", bundle.carboy.folder().join("pid").to_str().unwrap()]).unwrap();
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
    restore(&bundle, &[]).unwrap();
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
    refused(&["--parent-path", "nowhere"], "--parent-path nowhere");
    refused(&["--status-fd", "77"], "--status-fd 77");
    refused(&["--page-server", "localhost"], "--page-server localhost");
    refused(&["--page-server", "localhost:http"], "--page-server localhost:http");
    let full = ["restore", "--bundle", bundle.path(), "--manage-cgroups-mode", "full", "another"];
    assert!(bundle.run(&full).stderr.contains("--manage-cgroups-mode full"), "the configuration makes the groups");
    let none = restore(&Bundle::new(), &[]).unwrap_err();
    assert!(none.contains("images"), "{none}");
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
    restore(&bundle, &[]).unwrap();
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

/// A bundle whose container says what is typed at its terminal, and how often that was.
fn listening() -> Bundle {
    let bundle = Bundle::new();
    bundle.args(&[
        "sh",
        "-c",
        "i=0; while read line; do i=$((i+1)); echo heard $line $i at $(tty) $(stty size).; done",
    ]);
    bundle.change(|config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["consoleSize"] = json!({"height": 24, "width": 80});
        // With something of the host's, the terminal is opened before the mounts that it is seen in are there.
        let bind = json!({"source": "/etc/hostname", "destination": "/bound", "options": ["bind"]});
        config["mounts"].as_array_mut().unwrap().push(bind);
    });
    bundle
}

/// The other side of a container's terminal, from the socket where the runtime hands it over.
struct Console(File);

impl Console {
    /// Runs the runtime with these words, the last but the id.
    fn of(bundle: &Bundle, words: &[&str]) -> Self {
        let socket = bundle.carboy.folder().join("console");
        let listener = UnixListener::bind(&socket).unwrap();
        let words = [words, &["--detach", "--bundle", bundle.path(), "--console-socket", socket.to_str().unwrap()]];
        assert_eq!(bundle.stays(&[&words.concat()[..], &[bundle.id.as_str()]].concat()), 0, "{words:?}");
        let (connection, _) = listener.accept().unwrap();
        let (_, master) = sys::socket::receive(connection.as_fd(), &mut [0; 64]).unwrap();
        fs::remove_file(socket).unwrap();
        Self(master.unwrap().into())
    }

    /// Types a line; what is seen up to the end of a sentence.
    fn types(&mut self, line: &str) -> String {
        self.0.write_all(line.as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b".\r\n") {
            let mut buffer = [0; 256];
            let length = self.0.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(seen).unwrap()
    }
}

#[test]
fn a_terminal_is_brought_back_and_its_other_side_handed_to_whoever_listens_or_shown_at_the_callers() {
    let bundle = listening();
    let images = bundle.carboy.folder().join("images");
    let restore = ["restore", "--image-path", images.to_str().unwrap()];
    let mut console = Console::of(&bundle, &["run"]);
    assert!(console.types("one\n").ends_with("heard one 1 at /dev/pts/0 24 80.\r\n"));
    for said in ["heard two 2", "heard two 3"] {
        let written = checkpoint(&bundle, &[]);
        assert_eq!(written.code, 0, "{}", written.stderr);
        bundle.gone();
        let nobody = bundle.run(&[&restore[..], &["--detach", "--bundle", bundle.path(), &bundle.id]].concat());
        assert!(nobody.code == 1 && nobody.stderr.contains("--console-socket"), "{}", nobody.stderr);
        console = Console::of(&bundle, &restore);
        let seen = console.types("two\n");
        assert!(seen.ends_with(&format!("{said} at /dev/pts/0 24 80.\r\n")), "{seen}");
    }
    let exec = bundle.run(&["exec", &bundle.id, "sh", "-c", "test -c /dev/console && readlink /proc/1/fd/0"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (0, "/dev/pts/0\n"), "{}", exec.stderr);
    let written = checkpoint(&bundle, &[]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    let person = Person::new(33, 111);
    let before = person.settings();
    let words = [&restore[..], &["--bundle", bundle.path(), &bundle.id]].concat();
    let mut restored = person.start(&bundle.command(&words));
    eventually("it is back", || {
        fs::exists(bundle.carboy.folder().join("states").join(&bundle.id)).unwrap() && person.is_raw()
    });
    restored.types("three\n");
    restored.sees("heard three 4 at /dev/pts/0 33 111.");
    restored.types("\x04");
    assert_eq!(restored.end().code, 0);
    assert_eq!(person.settings(), before);
    bundle.gone();
}

#[test]
fn images_of_a_container_without_a_terminal_are_not_brought_back_as_one_with_it() {
    let bundle = counting();
    let written = checkpoint(&bundle, &[]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    bundle.change(|config| config["process"]["terminal"] = json!(true));
    let images = bundle.carboy.folder().join("images");
    let words = ["restore", "--bundle", bundle.path(), "--image-path", images.to_str().unwrap(), &bundle.id];
    let refused = bundle.run(&words);
    assert!(refused.code == 1 && refused.stderr.contains("process.terminal true"), "{}", refused.stderr);
    bundle.gone();
}

#[test]
fn hooks_are_run_when_the_namespaces_are_there_mount_points_made_again_and_options_of_criu_taken_from_a_file() {
    let bundle = Bundle::new();
    bundle.args(&COUNTER);
    let folder = |name: &str| bundle.carboy.folder().join(name);
    fs::create_dir_all(folder("outer")).unwrap();
    fs::create_dir_all(folder("inner")).unwrap();
    fs::write(folder("inner/file"), "inside").unwrap();
    fs::create_dir_all(folder("busybox/real")).unwrap();
    std::os::unix::fs::symlink("/real", folder("busybox/linked")).unwrap();
    fs::write(folder("criu.conf"), "log-file=own.log\n").unwrap();
    let hook = format!("cat > {}", folder("hooked").display());
    bundle.change(|config| {
        config["root"]["readonly"] = json!(false);
        config["annotations"] = json!({"org.criu.config": folder("criu.conf")});
        config["hooks"] = json!({"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", hook]}]});
        let bind =
            |source, destination| json!({"source": folder(source), "destination": destination, "options": ["bind"]});
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.extend([bind("outer", "/outer"), bind("inner", "/outer/deep/inner"), bind("inner", "/linked")]);
        mounts.push(bind("inner/file", "/outer/file"));
    });
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    eventually("it counts", || count(&bundle) > 3);
    let written = checkpoint(&bundle, &[]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    fs::remove_file(folder("images/own.log")).unwrap();
    fs::remove_dir_all(folder("outer")).unwrap();
    fs::create_dir(folder("outer")).unwrap();
    fs::remove_file(folder("hooked")).unwrap();
    restore(&bundle, &[]).unwrap();
    assert!(folder("images/own.log").is_file() && !folder("images/restore.log").exists());
    let state: Value = serde_json::from_slice(&fs::read(folder("hooked")).unwrap()).unwrap();
    assert_eq!((&state["pid"], &state["id"]), (&bundle.state()["pid"], &json!(bundle.id)));
    let seen = bundle.run(&["exec", &bundle.id, "cat", "/outer/deep/inner/file", "/real/file", "/outer/file"]);
    assert_eq!((seen.code, seen.stdout.as_str()), (0, "insideinsideinside"), "{}", seen.stderr);
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.gone();
}
