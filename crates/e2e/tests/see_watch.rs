//! `see --watch`: it looks again and again, until what is watched has ended or nobody reads any more.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::looked_at::unique;
use carboy_e2e::{Carboy, Person};
use serde_json::Value;

/// Starts a container that runs by itself.
fn detached(carboy: &Carboy, name: &str) {
    let root = carboy.busybox();
    let ended = carboy.run(["run", "-d", "--name", name, root.to_str().unwrap(), "sleep", "1000"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

fn watching(carboy: &Carboy, words: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut watcher = carboy.command(["see", "--watch"].iter().chain(words));
    let mut watcher = watcher.stdout(Stdio::piped()).env("LC_ALL", "C.UTF-8").spawn().unwrap();
    let lines = BufReader::new(watcher.stdout.take().unwrap());
    (watcher, lines)
}

/// Waits for the end of a process that has none of its own accord otherwise.
fn ends(mut process: Child) {
    let began = Instant::now();
    while process.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_container_is_watched_until_it_has_ended_and_a_list_until_nobody_reads_it() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    detached(&carboy, &name);
    let (one, mut documents) = watching(&carboy, &[&name, "--json"]);
    let (list, mut lines) = watching(&carboy, &[]);
    let mut first = String::new();
    documents.read_line(&mut first).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["found"][0]["name"], name.as_str());
    let mut headings = 0;
    let mut line = String::new();
    while headings < 2 {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the list has ended");
        headings += usize::from(line.starts_with("CONTAINER "));
        assert!(!line.contains('\x1b'), "a pipe is no terminal: {line}");
    }
    drop(lines);
    ends(list);
    assert_eq!(carboy.run(["rm", "-f", &name]).code, 0);
    ends(one);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn on_a_terminal_each_look_takes_the_place_of_the_one_before() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    detached(&carboy, &name);
    let person = Person::new(5, 80);
    let mut screen = person.start(&carboy.command(["see", "--watch", &name]));
    for _ in 0..2 {
        let look = screen.sees("\x1b[?7h");
        assert!(look.contains("\x1b[H") && look.contains(&name) && look.matches('\n').count() < 5, "{look:?}");
    }
    assert_eq!(carboy.run(["rm", "-f", &name]).code, 0);
    assert_eq!(screen.end().code, 0);
}

#[test]
fn what_cannot_change_is_not_watched() {
    let carboy = Carboy::new();
    for words in [["--svg", "--watch"], ["--from=x.json", "--watch"]] {
        let refused = carboy.run(["see"].iter().chain(&words));
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{words:?}");
        assert!(refused.stderr.starts_with("error: cannot use --watch"), "{}", refused.stderr);
    }
}
