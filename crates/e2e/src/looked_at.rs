//! A container of carboy that `see`, `why` and `compare` look at, and what they say.

use serde_json::Value;

use crate::{Attended, Carboy, Ended, ended};

/// A script of the container that says that it runs and does nothing more.
pub const IDLE: &str = "echo ready; exec sleep 1000";

/// A name that no other test has.
///
/// # Panics
/// Never: the folder's name is ASCII.
#[must_use]
pub fn unique(carboy: &Carboy) -> String {
    carboy.folder().file_name().unwrap().to_str().unwrap().to_owned()
}

/// A container of busybox of this name that runs a script, which has said `ready`.
///
/// # Panics
/// Where it does not.
#[must_use]
pub fn started(carboy: &Carboy, name: &str, flags: &[&str], script: &str) -> Attended {
    let root = carboy.busybox();
    let words = ["run", "-i", "--name", name, "--cgroup-manager", "cgroupfs"].into_iter().chain(flags.iter().copied());
    let words = words.chain([root.to_str().unwrap(), "sh", "-c", script]);
    let mut container = Attended::start(&mut carboy.command(words));
    let line = container.line();
    assert_eq!(line, "ready", "{}", if line.is_empty() { container.end().stderr } else { line.clone() });
    container
}

/// Removes it while it runs.
///
/// # Panics
/// Where it cannot be removed.
pub fn removed(carboy: &Carboy, container: Attended, name: &str) {
    assert_eq!(carboy.run(["rm", "-f", name]).code, 0);
    container.end();
}

/// Runs a command of carboy in a locale that has all signs.
///
/// # Panics
/// Where it cannot be started.
#[must_use]
pub fn asked(carboy: &Carboy, words: &[&str]) -> Ended {
    ended(carboy.command(words).env("LC_ALL", "C.UTF-8"))
}

/// What such a command says that succeeds without a warning.
///
/// # Panics
/// Where it does not.
#[must_use]
pub fn told(carboy: &Carboy, words: &[&str]) -> String {
    let ended = asked(carboy, words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
    ended.stdout
}

/// What `why` found of one kind, in what it says of one subject.
///
/// # Panics
/// Where it found nothing of that kind.
#[must_use]
pub fn finding<'d>(document: &'d Value, trouble: &str) -> &'d Value {
    let findings = document["why"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|one| one["trouble"] == trouble);
    found.unwrap_or_else(|| panic!("no {trouble} in {document:#}"))
}
