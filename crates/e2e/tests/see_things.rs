//! `see` and containers: the limit that really holds, every way to ask whose something is, and what those that are looked
//! at cannot do to the one who looks.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Command, Stdio};

use carboy_e2e::group::Parent;
use carboy_e2e::looked_at::{IDLE, asked, removed, started, told, unique};
use carboy_e2e::user::User;
use carboy_e2e::{Attended, Carboy, Ended, Person};
use serde_json::Value;

fn see(carboy: &Carboy, words: &[&str]) -> Ended {
    asked(carboy, &[&["see"], words].concat())
}

fn found(carboy: &Carboy, word: &str) -> Value {
    let mut document: Value = serde_json::from_str(&told(carboy, &["see", "--json", word])).unwrap();
    document["found"].take()
}

#[test]
fn the_limit_that_binds_is_shown_with_the_ancestor_that_set_it() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let parent = Parent::limited(&name, 32 << 20);
    let flags = ["--cgroup-parent", &name, "-m", "512m", "--pids-limit", "50"];
    let container = started(&carboy, &name, &flags, IDLE);
    let list = see(&carboy, &[]).stdout;
    let row = list.lines().find(|line| line.starts_with(&name)).unwrap();
    let limits = format!("memory 32 MiB ▲/{name}, pids 50");
    assert!(row.ends_with(&limits) && row.contains(" carboy "), "{list}");
    assert!(row.contains("user○ pid● mnt● net● ipc● uts● cgroup● time○"), "{list}");
    let one = see(&carboy, &[&name]).stdout;
    for part in [&format!("/{name}  ◀ an ancestor"), "512 MiB", " = 1 inside", "DOORS", "root here is root on the host"]
    {
        assert!(one.contains(part), "no {part} in {one}");
    }
    let document = &found(&carboy, &name)[0];
    let memory = &document["limits"][0];
    assert_eq!((&memory["effective"]["at"], &memory["set_at"]), (&Value::from(32 << 20), &format!("/{name}").into()));
    assert_eq!(memory["rungs"][0]["limit"]["at"], 512 << 20);
    let widths: Vec<&str> =
        document["doors"].as_array().unwrap().iter().map(|one| one["width"].as_str().unwrap()).collect();
    assert!(!widths.contains(&"host") && widths.contains(&"narrow"), "{document}");
    removed(&carboy, container, &name);
    drop(parent);
}

#[test]
fn every_form_of_a_question_finds_the_owner() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let shared = carboy.folder().join("shared");
    fs::create_dir(&shared).unwrap();
    let volume = format!("{}:/data", shared.display());
    let script = "echo ready; nc -l -p 18080 >/dev/null & exec sleep 1000";
    let flags = ["--cgroup-parent", &name, "-v", &volume];
    let container = started(&carboy, &name, &flags, script);
    let document = carboy.inspect(&name);
    let (id, pid) = (document["Id"].as_str().unwrap(), document["State"]["Pid"].to_string());
    let net = document["Namespaces"]["net"]["Id"].as_str().unwrap();
    for word in [name.as_str(), id, &id[..12], ":18080", shared.join("x").to_str().unwrap()] {
        let all = found(&carboy, word);
        assert!(all.as_array().unwrap().iter().any(|one| one["id"] == id), "{word}: {all}");
    }
    for word in [pid.clone(), format!("{name}:1")] {
        assert_eq!(found(&carboy, &word)[0]["pid"].to_string(), pid, "{word}");
    }
    for word in [net.to_owned(), format!("net:{name}"), format!("net:{pid}")] {
        let one = &found(&carboy, &word)[0]["namespace"];
        assert_eq!(format!("{}:[{}]", one["kind"].as_str().unwrap(), one["ino"]), net, "{word}");
    }
    let link = format!("v{}", &name[name.len() - 6..]);
    let pair = ["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid];
    assert!(Command::new("ip").args(pair).status().unwrap().success(), "install iproute2");
    let linked = &found(&carboy, &link)[0];
    assert_eq!((&linked["id"], &linked["links"][0]["name"]), (&id.into(), &Value::from(link.as_str())));
    let passport = see(&carboy, &[&name]).stdout;
    assert!(passport.contains(&format!("{link} of the host")), "{passport}");
    let group = see(&carboy, &[&format!("/{name}")]).stdout;
    assert!(group.contains(id) && group.contains(&format!("has {name}")), "{group}");
    for (word, code) in [("no-such-container", 1), (":1", 1), (":http", 2), ("uid:anna", 2), ("--no-such-flag", 2)] {
        let ended = see(&carboy, &[word]);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{word}");
        assert!(ended.stderr.starts_with("error: cannot "), "{}", ended.stderr);
    }
    removed(&carboy, container, &name);
}

#[test]
fn a_snapshot_can_be_looked_at_when_the_container_is_gone() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let container = started(&carboy, &name, &["-m", "64m"], IDLE);
    let file = carboy.folder().join("host.json");
    fs::write(&file, see(&carboy, &["--json"]).stdout).unwrap();
    let now = see(&carboy, &[&name]).stdout;
    removed(&carboy, container, &name);
    assert_eq!(see(&carboy, &[&name]).code, 1);
    let then = see(&carboy, &["--from", file.to_str().unwrap(), &name]);
    assert_eq!(then.code, 0, "{}", then.stderr);
    // What it uses, and what the rest of the host hides, changes from one look to the next. A snapshot of the whole host
    // has nothing more of a network than its ports and links.
    let settled = |text: &str| {
        text.lines()
            .take_while(|line| *line != "BLIND" && !line.starts_with("NETWORK  "))
            .filter(|line| !line.is_empty() && !line.contains("memory") && !line.contains("left of"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(settled(&then.stdout), settled(&now));
    fs::write(&file, "{\"version\": 99}").unwrap();
    let foreign = see(&carboy, &["--from", file.to_str().unwrap()]);
    assert_eq!((foreign.code, foreign.stdout.as_str()), (1, ""));
    assert!(foreign.stderr.contains("has the form 99"), "{}", foreign.stderr);
}

#[test]
fn a_session_of_nsenter_is_a_stray() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let container = started(&carboy, &name, &[], IDLE);
    let pid = carboy.inspect(&name)["State"]["Pid"].to_string();
    let mut session = Command::new("nsenter");
    session.args(["--net", "--uts", "--target", &pid, "sleep", "987605"]).stdin(Stdio::null());
    let mut session = session.spawn().unwrap();
    let stray = Value::from(session.id());
    let began = std::time::Instant::now();
    while !found(&carboy, &name)[0]["strays"].as_array().unwrap().contains(&stray) {
        assert!(began.elapsed().as_secs() < 20, "it is not seen");
    }
    let shown = see(&carboy, &[&name]).stdout;
    assert!(shown.contains("STRAYS") && shown.contains("in its namespaces alone"), "{shown}");
    session.kill().unwrap();
    session.wait().unwrap();
    removed(&carboy, container, &name);
}

#[test]
fn names_with_line_ends_and_escape_codes_never_reach_a_terminal() {
    let carboy = Carboy::new();
    let evil = carboy.folder().join("\x1b[2J\nPID\x07");
    // The program's name is what it was executed by: a shell script would have its interpreter's.
    assert!(Command::new("cp").arg("/bin/sleep").arg(&evil).status().unwrap().success());
    let mut process = Command::new("unshare");
    let mut process = process.args(["--uts", "--"]).arg(&evil).arg("987606").stdin(Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !see(&carboy, &["--all"]).stdout.contains("\\u{1b}[2J\\nPID") {
        assert!(began.elapsed().as_secs() < 20, "{}", see(&carboy, &["--all"]).stdout);
    }
    let person = Person::new(24, 80);
    let screen = {
        let mut words = carboy.command(["see", "--all"]);
        words.env("NO_COLOR", "1");
        let mut shown = person.start(&words);
        shown.sees("the container's own group")
    };
    let piped = see(&carboy, &["--all"]).stdout;
    for text in [&screen, &piped] {
        assert!(!text.contains("\x1b[2J") && !text.contains('\x07'), "{text:?}");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn an_ordinary_user_sees_what_can_be_had_and_is_told_what_cannot() {
    let user = User::new(427_001);
    let mut container = Command::new("setpriv");
    let own = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
    container.args(&own).args([
        "--clear-groups",
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        "echo ready; read -r go",
    ]);
    let mut container = Attended::start(&mut container);
    assert_eq!(container.line(), "ready");
    let ended = user.run(&["see", "--all"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let blind = ended.stdout.split("BLIND").nth(1).unwrap();
    assert!(blind.contains("the namespaces of process") && blind.contains("Permission denied"), "{}", ended.stdout);
    let seen = ended.stdout.lines().any(|line| line.starts_with("sh ") && line.contains("user"));
    assert!(seen, "its own sandbox: {}", ended.stdout);
    assert!(fs::read_dir(user.place.folder().join("runtime")).unwrap().next().is_none(), "nothing is made");
    container.tell("go");
    container.end();
}
