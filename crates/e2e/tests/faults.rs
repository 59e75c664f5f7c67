//! Every step fails once: each system call of a full run, in carboy's command, in its monitor and in the container's first
//! process before its program, is made to fail, and, apart, its process is killed there. Nothing may hang, an error is one
//! line that names the step, and at the latest after the next carboy command nothing is left.
//!
//! The list of calls comes from a run in which all goes well, so it covers steps that are added later.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests stop at what goes wrong, and say where they are")]

use std::path::Path;

use carboy_e2e::Carboy;
use carboy_e2e::fault::{Fault, Place, Role, Watched, run};
use carboy_e2e::trace::{most_options, parent_group};
use nix::errno::Errno;

/// Calls whose failure says nothing of carboy: memory, of which Rust's answer to a lack is to abort; the end; and close,
/// which frees the descriptor whatever it gives.
const NOT_FAILED: [&str; 8] = ["brk", "mmap", "munmap", "mremap", "madvise", "exit_group", "close", "sigaltstack"];

/// Calls of the plan that only inform: a hint of a file's length, what is at a path that may be missing.
const MAY_FAIL: [&str; 3] = ["statx", "lseek", "umask"];

/// A container whose every step is looked at.
struct Bench {
    carboy: Carboy,
    words: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let carboy = Carboy::new();
        let root = carboy.busybox().display().to_string();
        let mut words = vec!["run".to_owned()];
        words.extend(most_options(&carboy));
        words.extend([root, "true".to_owned()]);
        Self { carboy, words }
    }

    fn run(&self, fault: Option<(Place, Fault)>) -> Watched {
        run(&self.carboy.command(&self.words), self.carboy.folder(), fault)
    }

    /// The calls of a run in which all goes well, less those between the first and the last of many alike in a row.
    fn places(&self, role: Role) -> Vec<(Place, Stage)> {
        // The first run makes carboy's folders.
        let _ = self.run(None);
        let watched = self.run(None);
        assert_eq!((watched.code, watched.hung), (0, false), "{}", watched.stderr);
        assert_eq!(self.left(), Vec::<String>::new());
        let calls: Vec<(Place, i64)> = watched.calls.into_iter().filter(|(place, _)| place.role == role).collect();
        let mut stage = Stage::Before;
        let mut places: Vec<(Place, Stage)> = Vec::new();
        for (number, (place, gave)) in calls.iter().enumerate() {
            stage = stage.at(place);
            let alike = |other: Option<&(Place, i64)>| other.is_some_and(|(other, _)| other.name == place.name);
            let amid = number > 0 && alike(calls.get(number - 1)) && alike(calls.get(number + 1));
            if stage != Stage::Start && !amid && !NOT_FAILED.contains(&place.name) {
                places.push((place.clone(), stage));
            }
            if stage == Stage::Plan && place.role == Role::Monitor && place.name == "recvmsg" && *gave == 0 {
                stage = Stage::After;
            }
        }
        places
    }

    /// Lets what one fault has left not be taken for another's.
    fn put_away(&self, left: &[String]) {
        for path in left.iter().map(Path::new).filter(|path| path.starts_with(self.carboy.folder())) {
            let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
        }
    }

    /// What is left, now that the next command has run.
    fn left(&self) -> Vec<String> {
        let mut left = self.carboy.left_behind();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
        let groups = points.map(|point| format!("{point}{}", parent_group(&self.carboy)));
        left.extend(groups.filter(|group| Path::new(group).exists()));
        left
    }
}

/// Where a process is with regard to the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Rust's own start.
    Start,
    /// Before the first step.
    Before,
    /// In the plan.
    Plan,
    /// After its last step.
    After,
}

impl Stage {
    fn at(self, place: &Place) -> Self {
        match (place.role, place.name, self) {
            (Role::Command, "execve" | "brk", Self::Before) if place.nth == 1 => Self::Start,
            (Role::Command, "geteuid", Self::Start) => Self::Before,
            (Role::Monitor, "mkdirat", Self::Before) | (Role::Child, _, Self::Before) => Self::Plan,
            (_, _, stage) => stage,
        }
    }
}

/// What is wrong with how a run with a fault went, if anything is.
fn wrong_with(bench: &Bench, (place, stage): &(Place, Stage), fault: Fault) -> Option<String> {
    let watched = bench.run(Some((place.clone(), fault)));
    let left = bench.left();
    bench.put_away(&left);
    let at = format!("{fault:?} at {:?} {} number {}: code {}", place.role, place.name, place.nth, watched.code);
    let errors: Vec<&str> = watched.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let problem = if watched.hung {
        "it hangs"
    } else if !left.is_empty() {
        "something is left"
    } else if !watched.struck || matches!(fault, Fault::Kill) {
        return None;
    } else if watched.code == 0 && *stage == Stage::Plan && !MAY_FAIL.contains(&place.name) {
        "the step's failure is passed over"
    } else if ![0, 125].contains(&watched.code) {
        "the code is neither 0 nor 125"
    } else if watched.code == 125 && errors.len() != 1 {
        "there is not one line of error"
    } else if watched.code == 125 && *stage == Stage::Plan && !errors.concat().contains("(step ") {
        "the error names no step"
    } else {
        return None;
    };
    Some(format!("{problem}: {at}\n  {left:?}\n  {}", watched.stderr.replace('\n', "\n  ")))
}

fn each_call(role: Role, fault: impl Fn(usize) -> Fault) {
    let bench = Bench::new();
    let places = bench.places(role);
    let check = |(number, place)| {
        if std::env::var_os("DBG").is_some() {
            eprintln!("{number} {place:?}");
        }
        wrong_with(&bench, place, fault(number))
    };
    let wrong: Vec<String> = places.iter().enumerate().filter_map(check).collect();
    eprintln!("{} calls of {role:?}", places.len());
    assert!(places.len() > 50, "{places:?}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), places.len(), wrong.join("\n"));
}

/// In turn, so that no error is taken for a harmless one everywhere.
fn error(number: usize) -> Fault {
    Fault::Error([Errno::EIO, Errno::ENOMEM, Errno::ENOSPC, Errno::EPERM][number % 4])
}

#[test]
fn each_call_of_the_command_that_fails_leaves_nothing() {
    each_call(Role::Command, error);
}

#[test]
fn each_call_of_the_monitor_that_fails_leaves_nothing() {
    each_call(Role::Monitor, error);
}

#[test]
fn each_call_of_the_child_that_fails_leaves_nothing() {
    each_call(Role::Child, error);
}

#[test]
fn a_command_that_is_killed_at_any_call_leaves_nothing() {
    each_call(Role::Command, |_| Fault::Kill);
}

#[test]
fn a_monitor_that_is_killed_at_any_call_leaves_nothing() {
    each_call(Role::Monitor, |_| Fault::Kill);
}

#[test]
fn a_child_that_is_killed_at_any_call_leaves_nothing() {
    each_call(Role::Child, |_| Fault::Kill);
}
