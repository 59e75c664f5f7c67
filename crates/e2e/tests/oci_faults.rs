//! Every step of carboy-runtime's create, start, run, exec and delete fails once and is killed once: each distinct system call
//! of the command and of the process that it makes. Nothing may hang, an error is one line, and after `delete --force`
//! nothing is left.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::fs;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::fault::{Fault, Place, Role, Watch, Watched, watched};
use nix::errno::Errno;
use serde_json::json;

/// Calls whose failure says nothing of the runtime: memory and random numbers, of which Rust's answer to a lack is to abort;
/// the end; close, which frees the descriptor whatever it gives; and those that cannot fail.
const NOT_FAILED: [&str; 11] = [
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "madvise",
    "exit_group",
    "close",
    "sigaltstack",
    "geteuid",
    "getrandom",
    "mprotect",
];

/// Calls of the C library's start and of Rust's, by their number among those of their name, without which no program runs.
const OF_THE_START: [(&str, usize); 3] = [("arch_prctl", 1), ("poll", 1), ("rt_sigaction", 1)];

/// A command of the runtime whose calls are looked at.
struct Bench {
    bundle: Bundle,
    words: Vec<String>,
    /// The command that makes what `words` need, if any.
    before: Vec<String>,
}

impl Bench {
    fn new(command: &[&str], before: &[&str], args: &[&str]) -> Self {
        let bundle = Bundle::new();
        bundle.args(args);
        bundle.change(|config| {
            let hook = json!([{"path": "/bin/true"}]);
            config["hooks"] = json!({"createRuntime": hook, "startContainer": hook, "poststop": hook});
            config["linux"]["resources"]["pids"] = json!({"limit": 50});
        });
        let words = |words: &[&str]| {
            let word = |word: &&str| match *word {
                "BUNDLE" => bundle.path().to_owned(),
                "ID" => bundle.id.clone(),
                word => word.to_owned(),
            };
            words.iter().map(word).collect::<Vec<_>>()
        };
        let (words, before) = (words(command), words(before));
        Self { bundle, words, before }
    }

    fn once(&self, fault: Option<(Place, Fault)>) -> (Watched, Vec<String>) {
        if !self.before.is_empty() {
            let before: Vec<&str> = self.before.iter().map(String::as_str).collect();
            assert_eq!(self.bundle.stays(&before), 0);
        }
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let command = self.bundle.command(&words);
        let seen = watched((&command, Watch::Runtime), self.bundle.carboy.folder(), fault);
        (seen, self.left())
    }

    /// What is left after a forced removal.
    fn left(&self) -> Vec<String> {
        let deleted = self.bundle.run(&["delete", "--force", &self.bundle.id]);
        let mut left: Vec<String> = deleted.stderr.lines().map(str::to_owned).collect();
        let states = fs::read_dir(self.bundle.carboy.folder().join("states")).into_iter().flatten().flatten();
        left.extend(states.map(|entry| entry.path().display().to_string()).filter(|path| !path.contains("/.")));
        left.extend(
            carboy_e2e::groups()
                .into_iter()
                .filter(|group| group.ends_with(&self.bundle.id))
                .map(|group| group.display().to_string()),
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(self.bundle.path())).map(str::to_owned));
        left
    }

    fn wrong_with(&self, place: &Place, fault: Fault) -> Option<String> {
        let (seen, left) = self.once(Some((place.clone(), fault)));
        let errors = seen.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        let problem = if seen.hung {
            "it hangs"
        } else if !left.is_empty() {
            "something is left"
        } else if !seen.struck {
            // Another course of events, as signals have it.
            return None;
        } else if ![0, 1, 137, 255].contains(&seen.code) {
            "the code is none of a runtime's"
        } else if [1, 255].contains(&seen.code) && errors != 1 {
            "there is not one line of error"
        } else {
            return None;
        };
        let Place { role, name, nth } = place;
        Some(format!(
            "{problem}: {fault:?} at {role:?} {name} number {nth}: code {}\n  {left:?}\n  {}",
            seen.code, seen.stderr
        ))
    }

    /// Every distinct call of these processes fails once, and is where its process is killed once.
    fn each_call(&self, roles: &[Role]) {
        let (seen, left) = self.once(None);
        assert_eq!((seen.code, seen.hung, left), (0, false, Vec::new()), "{}", seen.stderr);
        let mut wrong = Vec::new();
        let mut looked_at = BTreeSet::new();
        for role in roles {
            let places = seen.distinct(*role);
            // Before a command does anything of its own, the C library's start and Rust's are at work.
            let start = |place: &&Place| *role == Role::Command && !matches!(place.name, "prctl" | "openat");
            let is_failed = |place: &&Place| {
                let starts = *role == Role::Command && OF_THE_START.contains(&(place.name, place.nth));
                place.nth > 0 && !starts && !NOT_FAILED.contains(&place.name)
            };
            let places = places.iter().skip_while(start).filter(is_failed);
            for (number, place) in places.enumerate() {
                looked_at.insert((*role, place.name, place.nth));
                let errno = [Errno::EIO, Errno::ENOMEM, Errno::ENOSPC, Errno::EPERM][number % 4];
                for fault in [Fault::Error(errno), Fault::Kill] {
                    wrong.extend(self.wrong_with(place, fault));
                }
            }
        }
        assert!(looked_at.len() >= 10, "{looked_at:?}");
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), looked_at.len(), wrong.join("\n"));
    }
}

const CREATE: &[&str] = &["create", "--bundle", "BUNDLE", "ID"];
const RUN: &[&str] = &["run", "--detach", "--bundle", "BUNDLE", "ID"];

#[test]
fn each_call_of_create_that_fails_leaves_nothing() {
    Bench::new(CREATE, &[], &["sleep", "1000"]).each_call(&[Role::Command, Role::Child]);
}

#[test]
fn each_call_of_start_that_fails_leaves_nothing() {
    Bench::new(&["start", "ID"], CREATE, &["sleep", "1000"]).each_call(&[Role::Command]);
}

#[test]
fn each_call_of_run_that_fails_leaves_nothing() {
    Bench::new(&["run", "--bundle", "BUNDLE", "ID"], &[], &["true"]).each_call(&[Role::Command]);
}

#[test]
fn each_call_of_exec_that_fails_leaves_nothing() {
    Bench::new(&["exec", "ID", "true"], RUN, &["sleep", "1000"]).each_call(&[Role::Command, Role::Child]);
}

#[test]
fn each_call_of_a_deletion_that_fails_leaves_nothing_to_the_next_one() {
    Bench::new(&["delete", "--force", "ID"], RUN, &["sleep", "1000"]).each_call(&[Role::Command]);
}
