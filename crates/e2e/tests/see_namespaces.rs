//! `see` and the kernel's namespaces: the same as lsns shows, and what lsns leaves out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at what goes wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::{Carboy, Ended};
use serde_json::{Value, json};

/// A shell within namespaces, which has said that it is ready; killed with all that it started.
struct Inside {
    child: Child,
}

impl Inside {
    fn start(unshare: &[&str], script: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--fork", "--kill-child"]).args(unshare);
        command.args(["sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "install util-linux");
        Self { child }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn snapshot(carboy: &Carboy) -> Value {
    let ended = carboy.run(["see", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

type Counts = BTreeMap<(String, u64), u64>;

/// How many processes each namespace has.
fn counts(snapshot: &Value) -> Counts {
    let namespaces = snapshot["namespaces"].as_array().unwrap().iter();
    let count = |one: &Value| {
        ((one["kind"].as_str().unwrap().to_owned(), one["ino"].as_u64().unwrap()), one["processes"].as_u64().unwrap())
    };
    namespaces.map(count).collect()
}

/// The same by lsns, whose rows may have others below them.
fn lsns() -> Counts {
    let output = Command::new("lsns").args(["--json", "--list", "--output", "NS,TYPE,NPROCS"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap();
    let row = |one: &Value| ((one["type"].as_str().unwrap().to_owned(), number(&one["ns"])), number(&one["nprocs"]));
    document["namespaces"].as_array().unwrap().iter().map(row).collect()
}

/// The process that was started with this number of seconds to sleep.
fn sleeper<'s>(snapshot: &'s Value, seconds: &str) -> &'s Value {
    let processes = snapshot["processes"].as_array().unwrap().iter();
    let is_it = |one: &&Value| one["facts"]["arguments"] == json!(["sleep", seconds]);
    processes.into_iter().find(is_it).unwrap_or_else(|| panic!("sleep {seconds} is not seen"))
}

/// Its namespace of a kind, by the order of the kinds.
fn of<'s>(snapshot: &'s Value, process: &Value, kind: usize) -> &'s Value {
    let index = process["namespaces"][kind]["in"].as_u64().unwrap();
    &snapshot["namespaces"][usize::try_from(index).unwrap()]
}

const PID: usize = 1;
const NET: usize = 2;
const USER: usize = 5;

/// So many seconds of sleep in user and pid namespaces below others.
fn nested(seconds: &str) -> String {
    format!("unshare --user --map-root-user --pid --fork --kill-child sleep {seconds} & echo ready; wait")
}

/// A snapshot in which these sleep: a shell that is ready may not have run its program yet.
fn snapshot_with(carboy: &Carboy, seconds: &[&str]) -> Value {
    let begun = Instant::now();
    loop {
        let snapshot = snapshot(carboy);
        let processes = snapshot["processes"].as_array().unwrap();
        let sleeps =
            |seconds: &&str| processes.iter().any(|one| one["facts"]["arguments"] == json!(["sleep", seconds]));
        if seconds.iter().all(sleeps) || begun.elapsed() > Duration::from_secs(10) {
            return snapshot;
        }
    }
}

#[test]
fn namespaces_and_their_processes_are_those_of_lsns() {
    let carboy = Carboy::new();
    let all = ["--user", "--map-root-user", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--time", "--mount-proc"];
    let outer = Inside::start(&all, &nested("987601"));
    let single = Inside::start(&["--uts", "--net"], "echo ready; exec sleep 987602");
    // The host has its own business meanwhile: what is the same in the looks of both before and after is compared.
    let first = snapshot_with(&carboy, &["987601", "987602"]);
    let looks = [counts(&first), lsns(), counts(&snapshot(&carboy)), lsns()];
    let [before, theirs, after, later] = &looks;
    let stays = |name: &(String, u64), [one, other]: [&Counts; 2]| one.get(name) == other.get(name);
    for (namespace, count) in theirs.iter().filter(|(name, _)| stays(name, [theirs, later])) {
        assert!(before.contains_key(namespace) || after.contains_key(namespace), "{namespace:?} is not seen");
        let mut hosts = first["host"]["namespaces"].as_array().unwrap().iter();
        let is_hosts = hosts.any(|one| one["ino"] == namespace.1);
        if !is_hosts && stays(namespace, [before, after]) {
            assert_eq!(before.get(namespace), Some(count), "{namespace:?}");
        }
    }
    for (namespace, count) in before.iter().filter(|(name, count)| **count > 0 && stays(name, [before, after])) {
        assert!(
            theirs.contains_key(namespace) || later.contains_key(namespace),
            "lsns does not know {namespace:?} of {count}"
        );
    }
    let listed = carboy.run(["see", "--namespaces"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (0, ""));
    for (kind, ino) in theirs.keys().filter(|name| stays(name, [theirs, later]) && stays(name, [before, after])) {
        assert!(listed.stdout.contains(&format!("\n{kind}:[{ino}] ")), "{kind}:[{ino}]\n{}", listed.stdout);
    }
    let (nested, alone) = (sleeper(&first, "987601"), sleeper(&first, "987602"));
    for kind in 0..8 {
        let one = of(&first, nested, kind);
        assert!(theirs.contains_key(&(one["kind"].as_str().unwrap().to_owned(), one["ino"].as_u64().unwrap())));
    }
    assert_eq!(of(&first, alone, NET)["processes"], 2, "unshare waits in it too");
    drop((outer, single));
}

#[test]
fn owners_parents_makers_and_numbers_on_each_level_are_told() {
    let carboy = Carboy::new();
    let outer = Inside::start(&["--user", "--map-root-user", "--pid", "--net", "--mount-proc"], &nested("987605"));
    let snapshot = snapshot_with(&carboy, &["987605"]);
    let nested = sleeper(&snapshot, "987605");
    let inside = nested["facts"]["inside"].as_array().unwrap();
    assert_eq!((inside.len(), inside[1].as_i64()), (2, Some(1)), "{nested}");
    let (user, pid) = (of(&snapshot, nested, USER), of(&snapshot, nested, PID));
    let at = |related: &Value| {
        let index = related["to"].as_u64().unwrap_or_else(|| panic!("{related} of {user}"));
        &snapshot["namespaces"][usize::try_from(index).unwrap()]
    };
    assert_eq!(at(&pid["owner"])["ino"], user["ino"]);
    let (above_user, above_pid) = (at(&user["parent"]), at(&pid["parent"]));
    assert_eq!(at(&of(&snapshot, nested, NET)["owner"])["ino"], above_user["ino"], "who made it is above");
    assert_eq!((&user["creator"], &above_user["creator"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(at(&above_user["parent"])["ino"], 0xefff_fffd_u64, "the host's");
    assert_eq!(at(&above_pid["parent"])["ino"], 0xefff_fffc_u64, "the host's");
    let shown = carboy.run(["see".to_owned(), nested["pid"].to_string()]).stdout;
    let levels = format!("pid {} on the host = {} = 1 inside", nested["pid"], inside[0]);
    assert!(shown.contains(&levels), "{shown}");
    drop(outer);
}

/// The net namespaces without a process, by their numbers.
fn without_process(snapshot: &Value, ino: u64) -> Option<Value> {
    let mut namespaces = snapshot["namespaces"].as_array().unwrap().iter();
    let found = namespaces.find(|one| one["kind"] == "net" && one["ino"] == ino && one["processes"] == 0);
    found.map(|one| one["holders"].clone())
}

#[test]
fn a_namespace_without_a_process_is_found_with_what_keeps_it() {
    let carboy = Carboy::new();
    let file = carboy.folder().join("net");
    let (place, told) = (file.to_str().unwrap(), carboy.folder().join("ino"));
    let make = format!("touch {place}; unshare --net={place} true; stat -Lc %i {place} > {}", told.display());
    let mounted = Inside::start(&["--mount"], &format!("{make}; echo ready; exec sleep 987603"));
    let ino: u64 = fs::read_to_string(&told).unwrap().trim().parse().unwrap();
    let holders = without_process(&snapshot(&carboy), ino).unwrap();
    assert_eq!(holders[0]["mount"]["path"], place, "{holders}");
    let all = carboy.run(["see", "--all"]).stdout;
    assert!(all.contains("WITHOUT A PROCESS") && all.contains(&format!("net:[{ino}]")), "{all}");
    let one = carboy.run(["see".to_owned(), format!("net:[{ino}]")]);
    assert!(one.code == 0 && one.stdout.contains(&format!("kept by a mount on {place}")), "{}", one.stdout);
    drop(mounted);
    let script = format!("{make}; exec 9<{place}; umount -l {place}; echo ready; exec sleep 987604");
    let held = Inside::start(&["--mount"], &script);
    let ino: u64 = fs::read_to_string(&told).unwrap().trim().parse().unwrap();
    let snapshot = snapshot_with(&carboy, &["987604"]);
    let holders = without_process(&snapshot, ino).unwrap();
    let (holder, pid) = (&holders[0]["descriptor"], &sleeper(&snapshot, "987604")["pid"]);
    assert_eq!((&holder["fd"], &holder["pid"]), (&Value::from(9), pid), "{holders}");
    drop(held);
    assert_eq!(without_process(&self::snapshot(&carboy), ino), None, "it went with its holder");
}

#[test]
fn processes_that_end_while_they_are_read_leave_no_trace() {
    let carboy = Carboy::new();
    let script =
        "echo ready; for n in 1 2 3 4 5 6 7 8 9; do for m in 1 2 3 4 5 6 7 8 9; do /bin/true & done; wait; done";
    let short = Inside::start(&["--pid", "--mount-proc"], script);
    for _ in 0..6 {
        let ended: Ended = carboy.run(["see", "--all"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        let gone = ["No such process", "No such file"];
        assert!(!gone.iter().any(|gone| ended.stdout.contains(gone)), "{}", ended.stdout);
    }
    drop(short);
}
