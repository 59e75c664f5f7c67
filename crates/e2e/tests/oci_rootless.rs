//! carboy-runtime for a user who is not root: in a user namespace that the bundle asks for, with the groups that were handed
//! over or none. Runtime specification, config-linux.md "User namespace mappings"; user_namespaces(7).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Stdio;

use carboy_e2e::user::{Account, Handed, User};
use carboy_e2e::{Ended, ended, eventually};
use serde_json::{Value, json};

/// A user's bundle.
struct Bundle {
    user: User,
}

impl Bundle {
    fn new(user: User, change: impl FnOnce(&mut Value)) -> Self {
        let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
        let kinds = ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"].map(|kind| json!({"type": kind}));
        let mut config = json!({
            "ociVersion": "1.3.0",
            "process": {"args": ["sleep", "1000"], "env": ["PATH=/bin"], "cwd": "/"},
            "root": {"path": user.root()},
            "mounts": [
                mount("/proc", "proc", &[]),
                mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
                mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev"]),
            ],
            "linux": {
                "namespaces": kinds,
                "uidMappings": [{"containerID": 0, "hostID": user.uid, "size": 1}],
                "gidMappings": [{"containerID": 0, "hostID": user.gid, "size": 1}],
            },
        });
        change(&mut config);
        fs::write(user.place.folder().join("config.json"), config.to_string()).unwrap();
        Self { user }
    }

    fn run(&self, words: &[&str]) -> Ended {
        ended(&mut self.user.command_of("carboy-runtime", words))
    }

    fn path(&self) -> &str {
        self.user.place.folder().to_str().unwrap()
    }

    /// Starts a container that stays.
    fn stays(&self, id: &str) {
        let mut run = self.user.command_of("carboy-runtime", &["run", "--detach", "--bundle", self.path(), id]);
        assert!(run.stdout(Stdio::null()).status().unwrap().success());
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.run(&["state", id]).stdout).unwrap()
    }

    fn left(&self) -> usize {
        fs::read_dir(self.user.place.folder().join("runtime/carboy-runtime")).unwrap().count()
    }
}

fn args(config: &mut Value, script: &str) {
    config["process"]["args"] = json!(["sh", "-c", script]);
}

#[test]
fn a_user_runs_joins_signals_and_deletes_containers() {
    let user = User::new(64_111);
    let (uid, gid) = (user.uid, user.gid);
    let bundle = Bundle::new(user, |_| {});
    bundle.stays("it");
    let pid = bundle.state("it")["pid"].as_i64().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("\nUid:\t{uid}\t")) && status.contains(&format!("\nGid:\t{gid}\t")), "{status}");
    let inside = bundle.run(&["exec", "it", "sh", "-c", "id -u; echo $$; cat /proc/self/uid_map; exit 5"]);
    let said: Vec<&str> = inside.stdout.split_whitespace().collect();
    assert_eq!((inside.code, said), (5, vec!["0", "2", "0", &uid.to_string(), "1"]), "{}", inside.stderr);
    let list = bundle.user.place.folder().join("mounts");
    fs::write(&list, r#"[{"destination":"/dev/later","type":"tmpfs"}]"#).unwrap();
    for (action, count) in [("add", "1\n"), ("remove", "0\n")] {
        assert_eq!(bundle.run(&["mounts", action, "it", list.to_str().unwrap()]).stderr, "", "{action}");
        let seen = bundle.run(&["exec", "it", "grep", "-c", " /dev/later ", "/proc/self/mountinfo"]);
        assert_eq!(seen.stdout, count, "{action}");
    }
    assert!(bundle.run(&["delete", "it"]).stderr.contains("running"), "it runs");
    assert_eq!(bundle.run(&["kill", "it", "KILL"]).stderr, "");
    eventually("it has stopped", || bundle.state("it")["status"] == "stopped");
    assert_eq!(bundle.run(&["delete", "it"]).stderr, "");
    bundle.stays("other");
    assert_eq!(bundle.run(&["delete", "--force", "other"]).stderr, "");
    assert_eq!(bundle.left(), 0);
}

#[test]
fn create_and_start_are_two_commands_for_a_user_too_and_hooks_run() {
    let bundle = Bundle::new(User::new(64_112), |config| {
        let made = |name: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("cat > /tmp/{name}")]}]);
        config["hooks"] = json!({"startContainer": made("start")});
        args(config, "grep -c created /tmp/start > /tmp/seen; exec sleep 1000");
    });
    fs::create_dir_all(bundle.user.root.join("tmp")).unwrap();
    std::os::unix::fs::chown(bundle.user.root.join("tmp"), Some(bundle.user.uid), None).unwrap();
    let mut create = bundle.user.command_of("carboy-runtime", &["create", "--bundle", bundle.path(), "it"]);
    assert!(create.stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(bundle.state("it")["status"], "created");
    assert_eq!(bundle.run(&["start", "it"]).stderr, "");
    let seen = bundle.user.root.join("tmp/seen");
    eventually("the hook has run before the program", || fs::read_to_string(&seen).is_ok_and(|text| text == "1\n"));
    assert_eq!(bundle.run(&["delete", "--force", "it"]).stderr, "");
    assert_eq!(bundle.left(), 0);
}

#[test]
fn subordinate_ids_are_mapped_where_they_are_the_users_and_refused_where_they_are_not() {
    const UID: u32 = 64_121;
    const GID: u32 = 65_534;
    let account = Account::new("carboyocirootless", UID, GID, "1410200000-1410200999");
    let maps = |own: u32, first: u32| {
        json!([
            {"containerID": 0, "hostID": own, "size": 1},
            {"containerID": 1, "hostID": first, "size": 1000},
        ])
    };
    let bundle = Bundle::new(User { gid: GID, ..User::new(UID) }, |config| {
        config["linux"]["uidMappings"] = maps(UID, 1_410_200_000);
        config["linux"]["gidMappings"] = maps(GID, 1_410_200_000);
        config["process"]["user"] = json!({"uid": 33, "gid": 44, "additionalGids": [55]});
        args(config, "id -u; id -G");
    });
    let ran = bundle.run(&["run", "--bundle", bundle.path(), "it"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str(), ran.code), ("33\n44 55\n", "", 0));
    let path = bundle.user.place.folder().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["linux"]["uidMappings"] = maps(UID, 1_000_000);
    fs::write(&path, config.to_string()).unwrap();
    let refused = bundle.run(&["run", "--bundle", bundle.path(), "it"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.starts_with("error: cannot use linux.uidMappings: "), "{}", refused.stderr);
    assert_eq!(bundle.left(), 0);
    drop(account);
}

#[test]
fn what_a_user_cannot_have_is_refused_by_the_fields_name() {
    for (change, message) in [
        (
            json!({"/linux/namespaces": [{"type": "mount"}], "/linux/uidMappings": null, "/linux/gidMappings": null}),
            "linux.namespaces: has no user namespace",
        ),
        (
            json!({"/linux/uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}),
            "linux.uidMappings: must map 0 to your own id 64113",
        ),
        (json!({"/linux/resources": {"cpu": {"shares": 512}}}), "linux.resources.cpu.shares"),
    ] {
        let bundle = Bundle::new(User::new(64_113), |config| {
            for (pointer, value) in change.as_object().unwrap() {
                let (above, name) = pointer.rsplit_once('/').unwrap();
                config.pointer_mut(above).unwrap()[name] = value.clone();
            }
        });
        let refused = bundle.run(&["run", "--bundle", bundle.path(), "it"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(message) && refused.stderr.contains("\nhint: "), "{}", refused.stderr);
    }
}

#[test]
fn a_container_of_a_user_is_in_a_group_that_was_handed_over() {
    let mut user = User::new(64_114);
    user.session = Handed::over(user.uid);
    if user.session.is_none() {
        assert!(fs::read_dir("/sys/fs/cgroup/memory").is_ok(), "a host without v2 has v1");
        return;
    }
    let bundle = Bundle::new(user, |config| config["linux"]["cgroupsPath"] = json!("/it"));
    bundle.stays("it");
    let handed = bundle.user.session.as_ref().unwrap();
    let groups = handed.groups();
    let [group] = groups.as_slice() else { panic!("{groups:?}") };
    let pid = bundle.state("it")["pid"].to_string();
    assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap().trim(), pid);
    assert_eq!(bundle.run(&["pause", "it"]).stderr, "");
    assert_eq!(bundle.state("it")["status"], "paused");
    assert_eq!(bundle.run(&["resume", "it"]).stderr, "");
    assert_eq!(bundle.run(&["exec", "it", "true"]).stderr, "");
    assert_eq!(bundle.run(&["delete", "--force", "it"]).stderr, "");
    assert_eq!((handed.groups().len(), bundle.left()), (0, 0));
}
