//! Containers of a user who is not root: in a user namespace of the user's own, in the part of the v2 tree that was handed
//! over. user_namespaces(7), cgroup-v2.rst "Delegation".
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use carboy_e2e::user::{Account, Handed, User};
use carboy_e2e::waiting::WAIT;
use carboy_e2e::{Attended, ended};

/// Users without a line in /etc/subuid: one for each test, so that no two share a namespace.
const USERS: [u32; 5] = [64_101, 64_102, 64_103, 64_104, 64_105];

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn a_user_has_containers_without_root() {
    let user = User::new(USERS[0]);
    let script = "id -u; echo $$; cat /proc/self/uid_map; touch /made && echo wrote; exit 7";
    let ran = user.run(&["run", "--rm", user.root(), "sh", "-c", script]);
    let lines: Vec<String> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines, ["0", "1", &format!("0 {} 1", user.uid), "wrote"], "{}", ran.stderr);
    assert_eq!((ran.code, ran.stderr.as_str()), (7, ""));

    let container = user.waiting("it", &[]);
    let listed = user.run(&["ps"]);
    assert!(listed.stdout.contains(" it\n"), "{}{}", listed.stdout, listed.stderr);
    let inside = user.run(&["exec", "it", "sh", "-c", "id -u; ps | grep -c 'read -r'; exit 5"]);
    assert_eq!((inside.code, inside.stdout.lines().next()), (5, Some("0")), "{}", inside.stderr);
    let stats = user.run(&["stats", "--no-stream"]);
    assert!(stats.code == 0 && stats.stdout.contains(" it "), "{}{}", stats.stdout, stats.stderr);
    let inspected = user.run(&["inspect", "it"]);
    let document: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let pid = document[0]["State"]["Pid"].as_i64().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("\nUid:\t{}\t", user.uid)), "{status}");
    let removed = user.run(&["rm", "-f", "it"]);
    assert_eq!((removed.code, removed.stdout.as_str(), removed.stderr.as_str()), (0, "it\n", ""));
    assert_eq!(container.end().code, 137);
    assert_eq!(user.left(), Vec::<String>::new());
}

#[test]
fn containers_of_a_user_are_in_one_namespace() {
    let user = User::new(USERS[1]);
    // They are started at once, when there is no namespace yet.
    let words = |name| ["run", "--rm", "-i", "--name", name, user.root(), "sh", "-c", WAIT];
    let mut containers: Vec<Attended> =
        ["one", "two", "three"].iter().map(|name| Attended::start(&mut user.command(&words(*name)))).collect();
    for container in &mut containers {
        assert_eq!(container.line(), "ready");
    }
    for name in ["one", "two", "three"] {
        let inside = user.run(&["exec", name, "true"]);
        assert_eq!((inside.code, inside.stderr.as_str()), (0, ""), "{name}");
    }
    for mut container in containers {
        container.tell("go");
        assert_eq!(container.end().code, 0);
    }
    assert_eq!(user.left(), Vec::<String>::new());
}

#[test]
fn what_a_user_cannot_have_is_refused_with_what_to_do() {
    let user = User::new(USERS[2]);
    let root = user.root();
    for (words, message) in [
        (["-m", "64m", root], "cannot use --memory 67108864: "),
        (["--pids-limit", "5", root], "cannot use --pids-limit 5: "),
        (["--cpus", "0.5", root], "cannot use --cpus 0.5: "),
        (["--user", "1000", root], "cannot use --user 1000: is not among the ids of your user namespace"),
        (["--userns", "private", root], "cannot use --userns private: "),
        (["--cgroup-parent", "/team", root], "cannot use --cgroup-parent /team: no cgroup was handed over to you"),
        (["--device-cgroup-rule", "c 1:3 r", root], "cannot use --device-cgroup-rule"),
        (["--pid", "host", root], "cannot use --pid host: "),
        (["--name", "it", "host"], "cannot use the root host: "),
    ] {
        let refused = user.run(&[&["run", "--rm"], &words[..], &["true"]].concat());
        assert_eq!(refused.code, 125, "{words:?}");
        assert!(refused.stderr.contains(message) && refused.stderr.contains("\nhint: "), "{}", refused.stderr);
    }
    let mut container = user.waiting("it", &[]);
    for words in [&["update", "--pids-limit", "5", "it"][..], &["pause", "it"], &["exec", "-u", "1000", "it", "id"]] {
        let refused = user.run(words);
        assert!(refused.code != 0 && refused.stderr.contains("\nhint: "), "{words:?}: {}", refused.stderr);
    }
    container.tell("go");
    assert_eq!(container.end().code, 0);
    assert_eq!(user.left(), Vec::<String>::new());
}

#[test]
fn a_group_that_was_handed_over_holds_a_users_container() {
    let mut user = User::new(USERS[3]);
    user.session = Handed::over(user.uid);
    let Some(handed) = &user.session else {
        let refused = user.run(&["run", "--rm", "-m", "64m", user.root(), "true"]);
        assert!(refused.stderr.contains("cannot use --memory 67108864: "), "{}", refused.stderr);
        return;
    };
    let limited = handed.has("memory") && handed.has("pids");
    let flags = if limited { &["-m", "64m", "--pids-limit", "5"][..] } else { &[] };
    let mut container = user.waiting("it", flags);
    let groups = handed.groups();
    let [group] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!(text(&group.join("cgroup.procs")).lines().count(), 1);
    if limited {
        assert_eq!(text(&group.join("memory.max")), (64 << 20).to_string());
        assert_eq!(text(&group.join("pids.max")), "5");
        let forks = "for i in 1 2 3 4 5 6; do sleep 1 & done; wait";
        let refused = user.run(&["exec", "it", "sh", "-c", forks]);
        assert!(refused.stderr.contains("can't fork"), "{}", refused.stderr);
        let updated = user.run(&["update", "-m", "96m", "--memory-swap", "96m", "--pids-limit", "9", "it"]);
        assert_eq!((updated.code, updated.stderr.as_str()), (0, ""));
        assert_eq!(
            (text(&group.join("memory.max")), text(&group.join("pids.max"))),
            ((96 << 20).to_string(), "9".into())
        );
    }
    assert_eq!(user.run(&["pause", "it"]).stderr, "");
    assert!(text(&group.join("cgroup.events")).contains("frozen 1"));
    assert_eq!(user.run(&["unpause", "it"]).stderr, "");
    container.tell("go");
    assert_eq!(container.end().code, 0);
    assert_eq!((handed.groups(), user.left()), (Vec::new(), Vec::new()));
}

#[test]
fn the_top_of_what_was_handed_over_makes_way_for_limits() {
    let mut user = User::new(USERS[4]);
    user.session = Handed::over(user.uid);
    let Some(handed) = user.session.as_ref().filter(|handed| handed.has("pids")) else {
        let refused = user.run(&["run", "--rm", "--pids-limit", "5", user.root(), "true"]);
        assert!(refused.stderr.contains("cannot use --pids-limit 5: "), "{}", refused.stderr);
        return;
    };
    // The command is in the top itself, as in a unit with Delegate= that has no group below its own.
    let mut command = Command::new("sh");
    let inner = user.command(&["run", "--rm", "--pids-limit", "5", user.root(), "cat", "/sys/fs/cgroup/pids.max"]);
    let words: Vec<_> = inner.get_args().skip(4).collect();
    command.args(["-c", "echo 0 > \"$1\"; shift; exec \"$@\"", "sh"]).arg(handed.0.join("cgroup.procs")).args(words);
    for (name, value) in inner.get_envs() {
        value.map(|value| command.env(name, value));
    }
    let ran = ended(&mut command);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "5\n", ""));
    assert_eq!(user.left(), Vec::<String>::new());
    fs::remove_dir(handed.0.join("carboy-init")).unwrap();
}

#[test]
fn a_user_with_subordinate_ids_has_them_in_containers() {
    const UID: u32 = 64_120;
    /// Debian's nogroup: newgidmap wants the group that passwd(5) has.
    const GID: u32 = 65_534;
    let account = Account::new("carboyrootless", UID, GID, "1410065408-1410130943");
    let user = User { gid: GID, ..User::new(UID) };
    let script =
        "touch /x; chown 33:44 /x; stat -c %u:%g /x; id -u; id -G; ping -c 1 127.0.0.1 > /dev/null && echo pong";
    let ran = user.run(&["run", "--rm", "--user", "1000", "--cap-add", "CHOWN", user.root(), "id", "-u"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1000\n", ""));
    let ran = user.run(&["run", "--rm", "--group-add", "44", user.root(), "sh", "-c", script]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("33:44\n0\n0 44\npong\n", ""));

    // Files of an archive belong to whom it says, and device nodes are left out.
    let archive = user.place.folder().join("root.tar");
    fs::write(user.root.join("theirs"), "").unwrap();
    chown(user.root.join("theirs"), Some(1000), Some(1000)).unwrap();
    let packed = Command::new("tar").arg("-C").arg(&user.root).arg("-cf").arg(&archive).arg(".").status();
    assert!(packed.unwrap().success());
    // The archive's owner is the user by number, whom nobody in the container is.
    let unpacked = user.run(&["run", "--rm", archive.to_str().unwrap(), "stat", "-c", "%u", "/theirs"]);
    assert_eq!((unpacked.stdout.as_str(), unpacked.stderr.as_str()), ("1000\n", ""));
    assert_eq!(user.left(), Vec::<String>::new());
    drop(account);
}
