//! `rename` and `top`: another name for a container at any moment of its life, and what runs in it.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::os::unix::fs::symlink;

use carboy_e2e::{Carboy, Ended, eventually, says};

fn run(carboy: &Carboy, flags: &[&str], script: &str) -> String {
    let root = carboy.busybox();
    let words = [&["run", "-d"], flags, &[root.to_str().unwrap(), "sh", "-c", script]].concat();
    says(carboy, &words).trim_end().to_owned()
}

fn declines(ended: &Ended, code: i32, error: &str) {
    let first = ended.stderr.lines().next();
    assert_eq!((ended.code, first), (code, Some(format!("error: cannot use {error}").as_str())), "{ended:?}");
}

/// The names that are taken.
fn names(carboy: &Carboy) -> Vec<String> {
    let names = fs::read_dir(carboy.folder().join("root/names")).unwrap();
    let mut names: Vec<String> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The name goes first, the rest after it.
fn nothing_is_left(carboy: &Carboy) {
    eventually("nothing is left", || carboy.left_behind().is_empty());
}

#[test]
fn a_container_that_runs_has_its_new_name_from_then_on() {
    let carboy = Carboy::new();
    let id = run(&carboy, &["--name", "old"], "sleep 1000 & trap 'exit 4' TERM; wait");
    let other = run(&carboy, &["--name", "other"], "exec sleep 1000");
    assert_eq!(says(&carboy, &["rename", "old", "new"]), "");
    assert_eq!(says(&carboy, &["inspect", "-f", "{{.Id}} {{.Name}}", "new"]), format!("{id} /new\n"));
    assert_eq!(says(&carboy, &["ps", "--format", "{{.Names}}"]), "other\nnew\n");
    assert_eq!(says(&carboy, &["stats", "--no-stream", "--format", "{{.Name}}"]), "new\nother\n");
    declines(&carboy.run(["inspect", "old"]), 1, "the name old: is neither a container's nor an image's");
    assert_eq!(names(&carboy), ["new", "other"]);

    let taken = format!("the name other: is the name of container {} already", &other[..12]);
    declines(&carboy.run(["rename", "new", "other"]), 1, &taken);
    declines(&carboy.run(["rename", "new", "new"]), 1, "the name new: is what the container is called already");
    declines(&carboy.run(["rename", "none", "x1"]), 1, "the container none: no such container");
    declines(&carboy.run(["rename", "new", "-x"]), 125, "-x: carboy rename has no such flag");
    declines(&carboy.run(["rename", "new", "a/b"]), 1, "the name a/b: is no name for a container");
    declines(&carboy.run(["rename", "new"]), 1, "rename new: it needs a container and its new name");

    // Its monitor knows the name it was made with; what is kept of its end is under the new one.
    eventually("it has set its trap", || says(&carboy, &["top", "new"]).contains("sleep 1000"));
    assert_eq!(says(&carboy, &["stop", "new"]), "new\n");
    assert_eq!(says(&carboy, &["inspect", "-f", "{{.Name}} {{.State.ExitCode}}", &id]), "/new 4\n");
    assert_eq!(names(&carboy), ["new", "other"]);
    says(&carboy, &["rename", "new", "ended"]);
    says(&carboy, &["rename", &id[..12], "new"]);
    says(&carboy, &["rm", "-f", "new", "other"]);
    nothing_is_left(&carboy);
}

#[test]
fn one_that_is_removed_at_its_end_leaves_neither_name() {
    let carboy = Carboy::new();
    run(&carboy, &["--name", "old", "--rm"], "exec sleep 1000");
    says(&carboy, &["rename", "old", "new"]);
    let again = run(&carboy, &["--name", "old"], "exec sleep 1000");
    says(&carboy, &["kill", "new"]);
    eventually("it is gone", || carboy.run(["inspect", "new"]).code == 1);
    eventually("its name is free", || names(&carboy) == ["old"]);
    assert_eq!(says(&carboy, &["inspect", "-f", "{{.Id}}", "old"]).trim_end(), again);
    says(&carboy, &["rm", "-f", "old"]);
    nothing_is_left(&carboy);
}

#[test]
fn a_container_that_ends_while_it_is_renamed_has_one_name() {
    let carboy = Carboy::new();
    for round in 0..12 {
        let flags: &[&str] = if round % 2 == 0 { &["--name", "old"] } else { &["--name", "old", "--rm"] };
        let id = run(&carboy, flags, &format!("sleep 0.0{}; exit 3", round / 2));
        let renamed = carboy.run(["rename", "old", "new"]);
        if flags.len() == 2 {
            assert_eq!(renamed.code, 0, "{renamed:?}");
            assert_eq!(says(&carboy, &["wait", "new"]), "3\n");
            assert_eq!(says(&carboy, &["inspect", "-f", "{{.Name}} {{.State.ExitCode}}", &id]), "/new 3\n");
            says(&carboy, &["rm", "new"]);
        } else if renamed.code != 0 {
            declines(&renamed, 1, "the container old: no such container");
        }
        eventually("both names are free", || names(&carboy).is_empty());
    }
    nothing_is_left(&carboy);
}

#[test]
fn names_that_a_rename_left_when_it_was_killed_are_no_ones() {
    let carboy = Carboy::new();
    let id = run(&carboy, &["--name", "web"], "exec sleep 1000");
    let names_folder = carboy.folder().join("root/names");
    symlink(&id, names_folder.join("begun")).unwrap();
    symlink("0".repeat(64), names_folder.join("dangling")).unwrap();
    for name in ["begun", "dangling"] {
        declines(
            &carboy.run(["inspect", name]),
            1,
            &format!("the name {name}: is neither a container's nor an image's"),
        );
    }
    // Whoever killed it may begin again, and others may have the names.
    says(&carboy, &["rename", "web", "begun"]);
    run(&carboy, &["--name", "dangling"], "exec sleep 1000");
    symlink(&id, names_folder.join("left")).unwrap();
    run(&carboy, &["--name", "left"], "exec sleep 1000");
    assert_eq!(says(&carboy, &["ps", "--format", "{{.Names}}"]), "left\ndangling\nbegun\n");
    says(&carboy, &["rm", "-f", "left", "dangling", "begun"]);
    nothing_is_left(&carboy);
}

#[test]
fn top_shows_what_runs_with_the_hosts_numbers() {
    let carboy = Carboy::new();
    run(&carboy, &["--name", "web", "-t"], "sleep 1001 & exec sleep 1002");
    let pid = carboy.inspect("web")["State"]["Pid"].to_string();
    let rows = |table: &str| -> Vec<Vec<String>> {
        table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    eventually("both run", || says(&carboy, &["top", "web"]).matches("sleep 100").count() == 2);
    let table = says(&carboy, &["top", "web"]);
    let shown = rows(&table);
    assert_eq!(shown[0], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert_eq!((shown.len(), &shown[1][1], shown[1][7..].join(" ")), (3, &pid, "sleep 1002".to_owned()), "{table}");
    assert_eq!((&shown[2][2], shown[2][7..].join(" ")), (&pid, "sleep 1001".to_owned()), "{table}");
    assert!(shown[1..].iter().all(|row| row[0] == "root" && row[5].starts_with("pts/")), "{table}");
    // The host's ps says the same of them.
    let ps = says(&carboy, &["top", "web", "-ef"]);
    let of_ps = rows(&ps);
    assert_eq!((&of_ps[0], of_ps.len()), (&shown[0], 3), "{ps}");
    for (ours, theirs) in shown.iter().zip(&of_ps).skip(1) {
        // It looks for the terminal among those of the host, and when the second is nearly over it rounds to the next.
        assert_eq!((&ours[..3], &ours[7..]), (&theirs[..3], &theirs[7..]), "{table}{ps}");
        let apart = (minute_of_day(&ours[4]) - minute_of_day(&theirs[4])).rem_euclid(24 * 60);
        assert!(apart.min(24 * 60 - apart) <= 1, "{table}{ps}");
    }
    let chosen = rows(&says(&carboy, &["top", "web", "-o", "pid,args"]));
    assert_eq!(
        (&chosen[0], &chosen[1]),
        (&vec!["PID".to_owned(), "COMMAND".to_owned()], &vec![pid, "sleep".to_owned(), "1002".to_owned()])
    );
    declines(&carboy.run(["top", "web", "-o", "args"]), 1, "top -o args: shows no column PID");
    let bad = carboy.run(["top", "web", "--nonsense"]);
    assert!(bad.code == 1 && bad.stderr.contains("is not what the host's ps takes"), "{bad:?}");
    says(&carboy, &["kill", "web"]);
    says(&carboy, &["wait", "web"]);
    declines(&carboy.run(["top", "web"]), 1, "the container web: is not running");
    says(&carboy, &["rm", "web"]);
    nothing_is_left(&carboy);
}

fn minute_of_day(clock: &str) -> i32 {
    let (hours, minutes) = clock.split_once(':').unwrap_or_else(|| panic!("{clock}"));
    hours.parse::<i32>().unwrap() * 60 + minutes.parse::<i32>().unwrap()
}
