//! `compare`: what two containers share and what they do not, a container and the host, and one before and after a change.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::looked_at::{self, IDLE, asked, removed, started, unique};
use carboy_e2e::{Carboy, Ended};
use serde_json::Value;

fn compare(carboy: &Carboy, words: &[&str]) -> Ended {
    asked(carboy, &[&["compare"], words].concat())
}

fn told(carboy: &Carboy, words: &[&str]) -> String {
    looked_at::told(carboy, &[&["compare"], words].concat())
}

fn document(carboy: &Carboy, words: &[&str]) -> Value {
    serde_json::from_str(&told(carboy, &[&["--json"], words].concat())).unwrap()
}

/// The standing of the namespaces of one kind.
fn standing<'d>(document: &'d Value, kind: &str) -> &'d str {
    let all = document["comparison"]["namespaces"].as_array().unwrap();
    all.iter().find(|one| one["kind"] == kind).unwrap()["standing"].as_str().unwrap()
}

/// Two names that no other test has.
fn names(carboy: &Carboy) -> [String; 2] {
    let unique = unique(carboy);
    [format!("side-{unique}"), format!("web-{unique}")]
}

fn has_line(text: &str, parts: &[&str]) -> bool {
    text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").contains(&parts.join(" ")))
}

#[test]
fn two_containers_share_what_one_was_given_of_the_other() {
    let carboy = Carboy::new();
    let [side, web] = names(&carboy);
    let shared = carboy.folder().join("shared");
    fs::create_dir(&shared).unwrap();
    let (at_web, at_side) = (format!("{}:/data", shared.display()), format!("{}:/x:ro", shared.display()));
    let flags = ["-m", "64m", "--pids-limit", "50", "-v", &at_web];
    let first = started(&carboy, &web, &flags, IDLE);
    let of_web = format!("container:{web}");
    let flags = ["--net", &of_web, "--pid", &of_web, "--cap-drop", "NET_RAW", "--security-opt", "no-new-privileges"];
    let second = started(&carboy, &side, &[&flags[..], &["-v", &at_side]].concat(), IDLE);
    let text = told(&carboy, &[&side, &web]);
    let inode = |name: &str, kind: &str| {
        let id = carboy.inspect(name)["Namespaces"][kind]["Id"].as_str().unwrap().to_owned();
        id.split(['[', ']']).nth(1).unwrap().to_owned()
    };
    assert!(text.starts_with(&format!("{side} and {web} share 4 of 8 namespaces: user, pid, net, time\n")), "{text}");
    let (net, mnt) = (inode(&web, "net"), [&side, &web].map(|name| inode(name, "mnt")));
    assert_eq!(net, inode(&side, "net"));
    for parts in [
        &["net", &net, "=", &net, "same addresses, ports; meet at 127.0.0.1"][..],
        &["mnt", &mnt[0], "≠", &mnt[1], "own mounts: a path may be another file"],
        &["see and signal each other's processes"],
        &["memory none ≠ 64 MiB"],
        &["pids none ≠ 50"],
        &["no_new_privs 1 ≠ 0"],
        &["only", &web, "NET_RAW"],
        &[shared.to_str().unwrap(), "/x ro = /data rw"],
    ] {
        assert!(has_line(&text, parts), "no {parts:?} in {text}");
    }
    assert!(!has_line(&text, &["seccomp filter ="]) && has_line(&text, &["the same in both:"]), "{text}");
    let whole = told(&carboy, &["-v", &side, &web]);
    assert!(has_line(&whole, &["seccomp filter = filter"]) && has_line(&whole, &["in both CHOWN"]), "{whole}");
    let found = document(&carboy, &[&side, &web]);
    let memory = &found["comparison"]["limits"][0]["held"];
    assert_eq!((&memory["a"]["effective"], &memory["b"]["effective"]["at"]), (&"unlimited".into(), &(64 << 20).into()));
    let itself = document(&carboy, &[&web, &format!("{web}:1")]);
    let kinds = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"];
    assert!(kinds.iter().all(|kind| standing(&itself, kind) == "same"), "{itself}");
    removed(&carboy, second, &side);
    removed(&carboy, first, &web);
}

#[test]
fn without_a_second_it_is_compared_with_the_host() {
    let carboy = Carboy::new();
    let [_, web] = names(&carboy);
    let container = started(&carboy, &web, &["--net", "host", "--cap-drop", "ALL"], IDLE);
    let found = document(&carboy, &[&web]);
    assert_eq!((&found["a"]["kind"], &found["b"]["kind"]), (&"container".into(), &"host".into()));
    let standings = ["net", "user", "pid", "mnt", "uts"].map(|kind| standing(&found, kind));
    assert_eq!(standings, ["same", "same", "below", "apart", "apart"]);
    assert_eq!(found["comparison"]["capabilities"]["a"]["effective"], 0);
    let text = told(&carboy, &[&web]);
    assert!(text.starts_with(&format!("{web} and the host share ")), "{text}");
    for part in ["only the host sees the other's processes", "only the host  ", "filter"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    removed(&carboy, container, &web);
}

#[test]
fn before_and_after_a_change_what_has_changed_is_told() {
    let carboy = Carboy::new();
    let [_, web] = names(&carboy);
    let save = |name: &str| {
        let file = carboy.folder().join(name);
        fs::write(&file, carboy.run(["see", "--json"]).stdout).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let container = started(&carboy, &web, &["-m", "64m", "--pids-limit", "50"], IDLE);
    let before = save("before.json");
    assert_eq!(carboy.run(["update", "-m", "128m", &web]).code, 0);
    let after = save("after.json");
    removed(&carboy, container, &web);
    let again = started(&carboy, &web, &["-m", "128m"], IDLE);
    let anew = save("anew.json");
    removed(&carboy, again, &web);
    let text = told(&carboy, &["--from", &before, "--from", &after, &web]);
    assert!(text.contains(" share 8 of 8 namespaces: "), "{text}");
    assert!(has_line(&text, &["the first process is the same one"]), "{text}");
    assert!(has_line(&text, &["memory 64 MiB ≠ 128 MiB"]) && !has_line(&text, &["≠ 50"]), "{text}");
    let text = told(&carboy, &["--from", &after, "--from", &anew, &web]);
    assert!(has_line(&text, &["another one: it was started again"]) && has_line(&text, &["pids 50 ≠ none"]), "{text}");
    let found = document(&carboy, &["--from", &after, "--from", &anew, &web]);
    // The kernel may have given the same numbers again.
    assert!(["apart", "unknown"].contains(&standing(&found, "net")), "{found}");
    assert_eq!(standing(&found, "user"), "same");
    // Both words are looked for in one snapshot, and the host is as it was there.
    assert!(told(&carboy, &["--from", &before, &web]).contains(" and the host share "));
    assert_eq!(compare(&carboy, &[&web]).code, 1);
}

#[test]
fn what_cannot_be_compared_is_told_by_the_exit_code() {
    let carboy = Carboy::new();
    for (words, code) in [
        (&["no-such-container"][..], 1),
        (&["--from", "/nowhere/x.json", "web"], 1),
        (&[], 2),
        (&["net:web"], 2),
        (&[":http"], 2),
        (&["a", "b", "c"], 2),
        (&["--no-such-flag", "a"], 2),
        (&["--from", "x", "--from", "y", "--from", "z", "a"], 2),
    ] {
        let ended = compare(&carboy, words);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: cannot "), "{}", ended.stderr);
    }
}

#[test]
fn a_process_that_calls_itself_by_escape_codes_is_shown_without_them() {
    let carboy = Carboy::new();
    let evil = carboy.folder().join("\x1b[2J\n≠\x07");
    // The program's name is what it was executed by: a shell script would have its interpreter's.
    assert!(Command::new("cp").arg("/bin/sleep").arg(&evil).status().unwrap().success());
    let mut process = Command::new("unshare");
    let mut process = process.args(["--uts", "--"]).arg(&evil).arg("987607").stdin(Stdio::null()).spawn().unwrap();
    let pid = process.id().to_string();
    let began = std::time::Instant::now();
    while !compare(&carboy, &[&pid]).stdout.contains("\\u{1b}[2J\\n") {
        assert!(began.elapsed().as_secs() < 20, "{}", compare(&carboy, &[&pid]).stdout);
    }
    let text = told(&carboy, &["-v", &pid]);
    assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text:?}");
    assert!(has_line(&text, &["a host name each"]), "{text}");
    process.kill().unwrap();
    process.wait().unwrap();
}
