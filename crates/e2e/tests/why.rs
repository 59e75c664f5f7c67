//! `why`: what held something back while it was watched, or ended it, with the level that led to it, on v1, v2 and both.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::PathBuf;

use carboy_e2e::group::{Version, hierarchy};
use carboy_e2e::{Attended, Carboy, Ended, ended};
use serde_json::Value;

/// Groups of one path in the hierarchies of some controllers, gone with the test.
struct Team {
    name: String,
    folders: Vec<PathBuf>,
}

impl Team {
    /// With these limits: the controller, the file and the value on v1, on v2.
    fn new(name: &str, limits: &[Limit]) -> Self {
        let mut folders = Vec::new();
        for (controller, v1, v2) in limits {
            let place = hierarchy(controller);
            if let Version::V2(point) = &place {
                fs::write(point.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
            }
            let folder = place.point().join(name);
            fs::create_dir_all(&folder).unwrap();
            let (file, value) = if let Version::V1(_) = place { v1 } else { v2 };
            fs::write(folder.join(format!("{controller}.{file}")), value).unwrap();
            folders.push(folder);
        }
        Self { name: name.to_owned(), folders }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

type Limit = (&'static str, (&'static str, &'static str), (&'static str, &'static str));

const MEMORY_32_MIB: Limit = ("memory", ("limit_in_bytes", "33554432"), ("max", "33554432"));
const CPU_0_2: Limit = ("cpu", ("cfs_quota_us", "20000"), ("max", "20000 100000"));

/// A name that no other test has.
fn unique(carboy: &Carboy) -> String {
    carboy.folder().file_name().unwrap().to_str().unwrap().to_owned()
}

/// A container of busybox that runs and has said so.
fn started(carboy: &Carboy, name: &str, flags: &[&str], script: &str) -> Attended {
    let root = carboy.busybox();
    let words = ["run", "-i", "--name", name, "--cgroup-manager", "cgroupfs"].into_iter().chain(flags.iter().copied());
    let words = words.chain([root.to_str().unwrap(), "sh", "-c", script]);
    let mut container = Attended::start(&mut carboy.command(words));
    assert_eq!(container.line(), "ready");
    container
}

fn removed(carboy: &Carboy, container: Attended, name: &str) {
    assert_eq!(carboy.run(["rm", "-f", name]).code, 0);
    container.end();
}

fn why(carboy: &Carboy, words: &[&str]) -> Ended {
    let words = ["why"].into_iter().chain(words.iter().copied());
    ended(carboy.command(words).env("LC_ALL", "C.UTF-8"))
}

fn told(carboy: &Carboy, words: &[&str]) -> String {
    let ended = why(carboy, words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
    ended.stdout
}

fn document(carboy: &Carboy, words: &[&str]) -> Value {
    let mut document: Value = serde_json::from_str(&told(carboy, &[&["--json"], words].concat())).unwrap();
    assert_eq!(document["version"], 1);
    document["found"][0].take()
}

fn finding<'d>(document: &'d Value, trouble: &str) -> &'d Value {
    let findings = document["why"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|one| one["trouble"] == trouble);
    assert!(found.is_some(), "no {trouble} in {document:#}");
    found.unwrap()
}

/// A loop that uses all it gets, after something that takes more memory than there is was killed.
const GREEDY: &str = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo ready; while :; do :; done";

#[test]
fn a_container_below_a_smaller_group_is_held_back_and_killed_by_that_one() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let team = Team::new(&format!("{name}-team"), &[MEMORY_32_MIB, CPU_0_2]);
    let container = started(&carboy, &name, &["--cgroup-parent", &team.name, "-m", "512m"], GREEDY);
    let found = document(&carboy, &[&name]);
    let level = format!("/{}", team.name);
    let seen = &found["why"];
    assert_eq!((&seen["cpu"]["limit"]["at"], &seen["memory"]["limit"]["at"]), (&200_000.into(), &(32 << 20).into()));
    assert_eq!(seen["memory"]["set_at"], level.as_str());
    let held_back = finding(&found, "held_back");
    let elapsed = seen["elapsed_usec"].as_u64().unwrap();
    let share = held_back["usec"].as_u64().unwrap() * 100 / elapsed;
    assert!((30..=100).contains(&share), "{found:#}");
    let used = seen["cpu"]["used_usec"].as_u64().unwrap() * 100 / elapsed;
    assert!((5..=25).contains(&used), "{found:#}");
    let cause = &held_back["causes"][0];
    assert_eq!((&cause["level"], &cause["limit"]["at"]), (&level.as_str().into(), &200_000.into()));
    let [hits, periods] = ["hits", "periods"].map(|key| cause[key].as_u64().unwrap());
    assert!(hits > 5 && hits <= periods && periods <= 30, "{found:#}");
    let victim = held_back["victims"][0].as_str().unwrap();
    assert!(victim.starts_with(&format!("{level}/")), "{victim}");
    let killed = finding(&found, "killed");
    assert_eq!((&killed["count"], &seen["memory"]["since_start"]["at"]), (&0.into(), &1.into()));
    assert_eq!(killed["causes"][0]["level"], level.as_str(), "{found:#}");
    assert_eq!(killed["victims"][0].as_str().unwrap(), victim);
    let text = told(&carboy, &["--for", "500ms", &name]);
    for part in [
        &format!("{name}: 0.5 s watched\n") as &str,
        "of 0.2 cpus, held back ",
        &format!("          cause  {level}  quota 0.2 cpu  hit in "),
        "of 32 MiB",
        "; oom kills here since start: 1\n",
        &format!("          cause  {level}  limit 32 MiB  "),
        "  stall   cpu avg10=",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    removed(&carboy, container, &name);
}

#[test]
fn what_is_no_question_is_2_and_what_is_not_there_is_1() {
    let carboy = Carboy::new();
    let missing = why(&carboy, &["nobody-of-this-name"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (1, ""));
    assert!(missing.stderr.starts_with("error: cannot use why nobody-of-this-name: "), "{}", missing.stderr);
    for words in [&[][..], &["--for", "soon", "x"], &["--for", "0", "x"], &["x", "y"], &["--no", "x"], &["net:[1]"]] {
        let wrong = why(&carboy, words);
        assert_eq!((wrong.code, wrong.stdout.as_str()), (2, ""), "{words:?}");
        assert!(wrong.stderr.starts_with("error: cannot use "), "{}", wrong.stderr);
    }
    assert!(why(&carboy, &["--help"]).stdout.contains("--for TIME"));
}
