//! Every step fails once: each system call of a full run, in carboy's command, in its monitor and in the container's first
//! process before its program, is made to fail, and, apart, its process is killed there. Nothing may hang, an error is one
//! line that names the step, and at the latest after the next carboy command nothing is left. The same for the command
//! that cleans up after a killed monitor, for `exec`, and for the commands of a container's life: `run -d`, `start`,
//! `stop`, `restart`, `rm -f`. After each of those the container can still be stopped, started and removed.
//!
//! The list of calls comes from a run in which all goes well, so it covers steps that are added later. Each call fails with
//! one of the [`ERRORS`], in turn; with the environment variable `CARBOY_ALL_FAULTS` with every one of them, and those
//! calls that stand between calls of the same names are looked at all, and not only the first: that takes half an hour.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::fault::{Fault, Place, Role, Watched, run};
use carboy_e2e::network::{alone, tables};
use carboy_e2e::trace::{most_options, parent_group};
use carboy_e2e::{Carboy, eventually};
use nix::errno::Errno;

/// Calls whose failure says nothing of carboy: memory, of which Rust's answer to a lack is to abort; the end; close,
/// which frees the descriptor whatever it gives; and geteuid, which cannot fail.
const NOT_FAILED: [&str; 9] =
    ["brk", "mmap", "munmap", "mremap", "madvise", "exit_group", "close", "sigaltstack", "geteuid"];

/// Calls of the plan that cannot fail, or only inform of a file's length; where the working directory cannot be asked for,
/// it is set in a way that needs no asking.
const MAY_FAIL: [&str; 5] = ["statx", "lseek", "umask", "getcwd", "setxattr"];

/// Calls that a monitor makes as often as something happens: what happens at once in one run may not in the next, and who
/// leaves soon enough is told nothing more.
const AS_OFTEN_AS_NEEDED: [&str; 4] = ["ppoll", "read", "recvmsg", "sendmsg"];

/// What `--cidfile` and `--pidfile` make.
const FILES: [&str; 2] = ["cid", "pid"];

/// The name of a container that runs meanwhile.
const OTHER: &str = "other";

/// A command of carboy whose every call is looked at.
struct Bench {
    carboy: Carboy,
    words: Vec<String>,
    /// How many calls are looked at of those that stand between calls of the same two names.
    alike: usize,
    /// Whether somebody stays to the end, and is told what is left.
    attended: bool,
    /// Whether a monitor that is not looked at decides how often it looks.
    raced: bool,
    /// Whether the plan goes on where an event cannot be told of, or another's record cannot be read.
    tells_others: bool,
    /// What is done before each run.
    before: fn(&Self),
    /// What is done after each run, before it is looked at what is left. It gives what is wrong.
    after: fn(&Self) -> Vec<String>,
}

impl Bench {
    fn new(carboy: Carboy, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        // The first command makes carboy's folders.
        assert_eq!(carboy.run(["ps"]).code, 0);
        let words = words.into_iter().map(Into::into).collect();
        let alike = if all_faults() { usize::MAX } else { 1 };
        Self {
            carboy,
            words,
            alike,
            attended: true,
            raced: false,
            tells_others: false,
            before: |_| {},
            after: |_| Vec::new(),
        }
    }

    /// `carboy run` with these options and a command that ends at once.
    fn of_run(carboy: Carboy, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let root = carboy.busybox().display().to_string();
        let words = ["run".to_owned()].into_iter().chain(options.into_iter().map(Into::into));
        let words: Vec<String> = words.chain([root, "true".to_owned()]).collect();
        Self::new(carboy, words)
    }

    /// The same with few options.
    fn of_short_run(carboy: Carboy, options: &[&str]) -> Self {
        let group = parent_group(&carboy);
        let words: Vec<String> =
            ["--rm", "--cgroup-parent", &group].iter().chain(options).map(|&word| word.to_owned()).collect();
        Self::of_run(carboy, words)
    }

    fn of_full_run() -> Self {
        let carboy = Carboy::new();
        let options = most_options(&carboy);
        Self { alike: usize::MAX, ..Self::of_run(carboy, options) }
    }

    /// Runs the command, and gives what was left at once, and what after the next command.
    fn run(&self, fault: Option<(Place, Fault)>) -> (Watched, Vec<String>, Vec<String>) {
        (self.before)(self);
        let watched = run(&self.carboy.command(&self.words), self.carboy.folder(), fault);
        let at_once = self.left_at_once();
        let mut left = (self.after)(self);
        left.extend(self.carboy.left_behind());
        left.extend(self.groups());
        left.retain(|left| !is_of_other(&self.carboy, left));
        (watched, at_once, left)
    }

    /// The calls of a run in which all goes well, less those between the first and the last of many of one name in a row.
    fn places(&self, role: Role) -> Vec<(Place, Stage)> {
        let (watched, _, left) = self.run(None);
        assert_eq!((watched.code, watched.hung, left), (0, false, Vec::new()), "{}", watched.stderr);
        let calls: Vec<(Place, i64)> = watched.calls.into_iter().filter(|(place, _)| place.role == role).collect();
        let mut stage = if role == Role::Command { Stage::Start } else { Stage::Before };
        let mut places: Vec<(Place, Stage)> = Vec::new();
        let mut seen = BTreeMap::new();
        for (number, (place, gave)) in calls.iter().enumerate() {
            stage = stage.at(place);
            let name = |number: usize| calls.get(number).map(|(place, _)| place.name);
            let around = (name(number.wrapping_sub(1)), place.name, name(number + 1));
            let amid = around.0 == Some(place.name) && around.2 == Some(place.name);
            let alike = seen.entry(around).or_insert(0);
            if stage != Stage::Start && !amid && !NOT_FAILED.contains(&place.name) && *alike < self.alike {
                *alike += 1;
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
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        }
    }

    /// What is left before the next command.
    fn left_at_once(&self) -> Vec<String> {
        let folders = ["root/containers", "root/names", "run"].map(|folder| self.carboy.folder().join(folder));
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let mut left: Vec<String> = entries.map(|entry| entry.path().display().to_string()).collect();
        left.extend(self.groups());
        left.retain(|left| !is_of_other(&self.carboy, left));
        left
    }

    /// Whether something is the record of a container that stays on record after its end.
    fn stays(&self, left: &str) -> bool {
        let root = self.carboy.folder().join("root");
        Path::new(left).starts_with(root) && self.words.iter().all(|word| word != "--rm")
    }

    /// The groups that are there for this carboy's containers.
    fn groups(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
        let groups = points.map(|point| format!("{point}{}", parent_group(&self.carboy)));
        groups.filter(|group| Path::new(group).exists()).collect()
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
            (Role::Command, "geteuid", Self::Start) => Self::Before,
            // From here on the container is its monitor's.
            (Role::Command, "clone3", Self::Before) => Self::After,
            (Role::Monitor, "mkdirat", Self::Before) | (Role::Child, _, Self::Before) => Self::Plan,
            (_, _, stage) => stage,
        }
    }
}

/// What is wrong with how a run with a fault went, if anything is.
fn wrong_with(bench: &Bench, (place, stage): &(Place, Stage), fault: Fault) -> Option<String> {
    let (watched, at_once, left) = bench.run(Some((place.clone(), fault)));
    bench.put_away(&left);
    let errors: Vec<&str> = watched.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let problem = if watched.hung {
        "it hangs"
    } else if !left.is_empty() {
        "something is left"
    } else if !watched.struck && (bench.raced || AS_OFTEN_AS_NEEDED.contains(&place.name)) {
        return None;
    } else if !watched.struck {
        "this call was not made"
    } else if matches!(fault, Fault::Kill) {
        return None;
    } else if watched.code == 125
        && *stage == Stage::Before
        && FILES.iter().any(|name| bench.carboy.folder().join(name).exists())
    {
        "a file tells of a container that never was"
    } else if watched.code == 125 && *stage == Stage::Plan && !at_once.is_empty() {
        "something is left of a container that never was"
    } else if bench.attended && at_once.iter().any(|left| !bench.stays(left)) && watched.stderr.is_empty() {
        "something was left to the next command without a word"
    } else if watched.code == 0 && *stage == Stage::Plan && !bench.tells_others && !may_fail(place, fault) {
        "the step's failure is passed over"
    } else if ![0, 1, 125].contains(&watched.code) {
        "the code is neither 0 nor 125"
    } else if watched.code == 125 && errors.len() != 1 {
        "there is not one line of error"
    } else if watched.code == 125 && *stage == Stage::Plan && !names_step(&errors.concat()) {
        "the error names no step"
    } else {
        return None;
    };
    let at = format!("{fault:?} at {:?} {} number {}: code {}", place.role, place.name, place.nth, watched.code);
    Some(format!("{problem}: {at}\n  {left:?}\n  {}", watched.stderr.replace('\n', "\n  ")))
}

/// A filter may forbid prctl(2), and where no device nodes can be made the host's are taken: neither keeps a container from
/// running. What was interrupted is done again.
fn may_fail(place: &Place, fault: Fault) -> bool {
    let is_spared = match fault {
        Fault::Error(Errno::EPERM) => ["prctl", "mknodat"].contains(&place.name),
        fault => fault == Fault::Error(Errno::EINTR),
    };
    is_spared || MAY_FAIL.contains(&place.name)
}

fn names_step(error: &str) -> bool {
    error.contains("(step ") || error.starts_with("error: cannot execute ")
}

fn each_call(bench: &Bench, role: Role, faults: impl Fn(usize, &Place) -> Vec<Fault>) {
    let places = bench.places(role);
    let mut wrong = Vec::new();
    for (number, place) in places.iter().enumerate() {
        wrong.extend(faults(number, &place.0).into_iter().filter_map(|fault| wrong_with(bench, place, fault)));
    }
    assert!(places.len() >= 10, "{places:?}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), places.len(), wrong.join("\n"));
}

/// What a call may fail with on a host that has too little of something, or is broken.
const ERRORS: [Errno; 6] = [Errno::EIO, Errno::ENOMEM, Errno::ENOSPC, Errno::EPERM, Errno::EBUSY, Errno::EINTR];

/// Whether every call is to fail with every error.
fn all_faults() -> bool {
    std::env::var_os("CARBOY_ALL_FAULTS").is_some()
}

/// In turn, so that no error is taken for a harmless one everywhere.
fn error(number: usize, place: &Place) -> Vec<Fault> {
    let mut errors = ERRORS.to_vec();
    // A group that cannot be removed because it is in use stays for whoever uses it.
    errors.retain(|errno| *errno != Errno::EBUSY || place.name != "unlinkat");
    let one = number % errors.len()..=number % errors.len();
    let errors = if all_faults() { &errors[..] } else { &errors[one] };
    errors.iter().copied().map(Fault::Error).collect()
}

fn killed(_: usize, _: &Place) -> Vec<Fault> {
    vec![Fault::Kill]
}

/// Starts a container that stays, as nobody's child.
fn start_other(carboy: &Carboy, options: &[&str]) {
    let root = carboy.busybox().display().to_string();
    let words = ["run", "--rm", "--name", OTHER].iter().chain(options).copied();
    let command = carboy.command(words.chain([root.as_str(), "sleep", "1000"]));
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" >&- 2>&- &", "sh"]).arg(command.get_program()).args(command.get_args());
    assert!(shell.stdin(Stdio::null()).status().unwrap().success());
    eventually("the other container runs", || carboy.run(["ps", "-q"]).stdout.lines().count() == 1);
}

/// Whether something belongs to the container that runs meanwhile, and not to the one that is looked at.
fn is_of_other(carboy: &Carboy, left: &str) -> bool {
    let owner = fs::read_link(carboy.folder().join("root/names").join(OTHER)).unwrap_or_default();
    let id = owner.display().to_string();
    let named = left.strip_prefix("container ").is_some_and(|short| !short.is_empty() && id.starts_with(short));
    named || left.ends_with(&format!("/names/{OTHER}")) || (!id.is_empty() && left.contains(&id))
}

#[test]
fn each_call_of_the_command_that_fails_leaves_nothing() {
    each_call(&Bench::of_full_run(), Role::Command, error);
}

#[test]
fn each_call_of_the_monitor_that_fails_leaves_nothing() {
    each_call(&Bench::of_full_run(), Role::Monitor, error);
}

#[test]
fn each_call_of_the_child_that_fails_leaves_nothing() {
    each_call(&Bench::of_full_run(), Role::Child, error);
}

#[test]
fn a_command_that_is_killed_at_any_call_leaves_nothing() {
    each_call(&Bench::of_full_run(), Role::Command, killed);
}

#[test]
fn a_monitor_that_is_killed_at_any_call_leaves_nothing() {
    each_call(&Bench::of_full_run(), Role::Monitor, killed);
}

#[test]
fn a_child_that_is_killed_at_any_call_leaves_nothing() {
    each_call(&Bench::of_full_run(), Role::Child, killed);
}

#[test]
fn each_call_for_a_terminal_that_fails_leaves_nothing() {
    let bench = Bench::of_short_run(Carboy::new(), &["-t"]);
    each_call(&bench, Role::Command, error);
    each_call(&bench, Role::Child, error);
    each_call(&bench, Role::Monitor, killed);
}

#[test]
fn each_call_for_the_files_that_tell_of_a_container_that_fails_leaves_nothing() {
    let carboy = Carboy::new();
    let [cid, pid] = FILES.map(|name| carboy.folder().join(name).display().to_string());
    let mut bench = Bench::of_short_run(carboy, &["--cidfile", &cid, "--pidfile", &pid]);
    bench.before = |bench| {
        for name in FILES {
            let _ = fs::remove_file(bench.carboy.folder().join(name));
        }
    };
    each_call(&bench, Role::Command, error);
}

#[test]
fn each_call_for_a_container_that_stays_on_record_that_fails_leaves_nothing_else() {
    let mut bench = Bench::of_run(Carboy::new(), ["--name", "kept"]);
    bench.after = |bench| {
        let _ = bench.carboy.run(["rm", "-f", "kept"]);
        Vec::new()
    };
    each_call(&bench, Role::Monitor, error);
    each_call(&bench, Role::Monitor, killed);
}

#[test]
fn each_call_on_the_way_into_namespaces_of_another_process_that_fails_leaves_nothing() {
    let other = Carboy::new();
    start_other(&other, &["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"]);
    let joined = format!("pid:{}", other.inspect(OTHER)["State"]["Pid"]);
    let bench = Bench::of_short_run(Carboy::new(), &["--userns", &joined, "--net", &joined]);
    each_call(&bench, Role::Monitor, error);
    each_call(&bench, Role::Child, error);
    each_call(&bench, Role::Monitor, killed);
    each_call(&bench, Role::Child, killed);
}

#[test]
fn each_call_to_unpack_an_archive_that_fails_leaves_nothing() {
    let carboy = Carboy::new();
    let archive = carboy.folder().join("root.tar").display().to_string();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(carboy.busybox()).args(["-cf", &archive]);
    let packed = tar.args(["bin/busybox", "bin/true", "etc/passwd", "dev", "proc", "sys"]).status();
    assert!(packed.is_ok_and(|status| status.success()), "install tar");
    let group = parent_group(&carboy);
    let bench = Bench::new(carboy, ["run", "--rm", "--cgroup-parent", &group, &archive, "true"]);
    each_call(&bench, Role::Command, error);
    each_call(&bench, Role::Command, killed);
}

/// A run with a volume of its own and one with a name, both filled from the root.
fn of_run_with_volumes() -> Bench {
    let carboy = Carboy::new();
    let data = carboy.busybox().join("data");
    fs::create_dir(&data).unwrap();
    for name in ["one", "two"] {
        fs::write(data.join(name), name).unwrap();
    }
    // The first volume makes carboy's folders for them.
    for words in [["volume", "create", "named"], ["volume", "rm", "named"]] {
        assert_eq!(carboy.run(words).code, 0);
    }
    let mut bench = Bench::of_short_run(carboy, &["-v", "/own", "-v", "named:/data"]);
    bench.after = |bench| {
        let root = bench.carboy.busybox().display().to_string();
        let words = ["run", "--rm", "-v", "named:/data", &root, "sh", "-c", "cat /data/*"];
        let seen = bench.carboy.run(words);
        assert_eq!(seen.stdout, "onetwo", "whoever comes next finds all of it: {}", seen.stderr);
        assert_eq!(bench.carboy.run(["volume", "rm", "named"]).code, 0);
        Vec::new()
    };
    bench
}

#[test]
fn each_call_for_volumes_that_fails_leaves_none_half_filled() {
    each_call(&of_run_with_volumes(), Role::Command, error);
}

#[test]
fn a_command_that_is_killed_while_it_makes_volumes_leaves_none_half_filled() {
    each_call(&of_run_with_volumes(), Role::Command, killed);
}

/// A command after a monitor that was killed before it could clean up.
fn after_a_killed_monitor() -> Bench {
    let mut bench = Bench { alike: usize::MAX, ..Bench::new(Carboy::new(), ["ps", "-a", "-q"]) };
    bench.before = |bench| {
        let root = bench.carboy.busybox().display().to_string();
        let group = parent_group(&bench.carboy);
        let command = bench.carboy.command(["run", "--rm", "--cgroup-parent", &group, &root, "true"]);
        let place = Place { role: Role::Monitor, name: "waitid", nth: 1 };
        let watched = run(&command, bench.carboy.folder(), Some((place, Fault::Kill)));
        assert!(watched.struck && !bench.left_at_once().is_empty(), "{watched:?}");
    };
    bench
}

#[test]
fn each_call_of_the_next_command_that_fails_leaves_nothing_to_the_one_after_it() {
    each_call(&after_a_killed_monitor(), Role::Command, error);
}

#[test]
fn a_next_command_that_is_killed_at_any_call_leaves_nothing_to_the_one_after_it() {
    each_call(&after_a_killed_monitor(), Role::Command, killed);
}

#[test]
fn a_container_of_which_it_is_not_known_any_more_what_exists_is_told_of_and_can_be_removed() {
    let bench = after_a_killed_monitor();
    (bench.before)(&bench);
    let id = fs::read_dir(bench.carboy.folder().join("run")).unwrap().next().unwrap().unwrap().file_name();
    fs::write(bench.carboy.folder().join("run").join(&id).join("live.json"), "{").unwrap();
    let listed = bench.carboy.run(["ps", "-a", "-q"]);
    assert!(listed.stderr.contains("live.json"), "{}", listed.stderr);
    assert!(id.to_string_lossy().starts_with(listed.stdout.trim()), "{}", listed.stdout);
    assert!(!bench.groups().is_empty(), "they are not forgotten");
    assert_eq!(bench.carboy.run(["rm", "-f", listed.stdout.trim()]).code, 0);
    assert_eq!(bench.carboy.left_behind(), Vec::<String>::new());
    // Nobody knows any more that the group above was made for it.
    for group in bench.groups() {
        fs::remove_dir(group).unwrap();
    }
}

/// What is there of networks when nobody is on any: it is what the bench must leave.
fn left_of_networks(bench: &Bench) -> Vec<String> {
    assert_eq!(bench.carboy.run(["network", "prune", "-f"]).code, 0);
    let links = Command::new("ip").args(["-brief", "link"]).output().unwrap();
    let links = String::from_utf8(links.stdout).unwrap();
    let mut left: Vec<String> = links.lines().filter(|line| !line.starts_with("lo ")).map(str::to_owned).collect();
    left.extend(tables().lines().map(str::to_owned));
    left
}

#[test]
fn each_call_on_the_way_to_a_network_that_fails_leaves_nothing() {
    alone(|_| {
        let mut bench = Bench::of_short_run(Carboy::new(), &["--network", "bridge", "-p", "127.0.0.1:18099:80"]);
        // The first look makes the default one.
        assert_eq!(bench.carboy.run(["network", "ls"]).code, 0);
        // Folders that are empty, and stay because they could not be removed, go without a word.
        (bench.attended, bench.tells_others) = (false, true);
        bench.after = left_of_networks;
        each_call(&bench, Role::Monitor, error);
        each_call(&bench, Role::Monitor, killed);
    });
}

/// A command that connects a container that runs, or disconnects it.
fn of_connection(word: &str) -> Bench {
    let carboy = Carboy::new();
    start_other(&carboy, &["--network", "none"]);
    assert_eq!(carboy.run(["network", "ls"]).code, 0);
    let mut bench = Bench::new(carboy, ["network", word, "bridge", OTHER]);
    bench.attended = false;
    bench.after = |bench| {
        let ended = bench.carboy.run(["network", "disconnect", "-f", "bridge", OTHER]);
        let links = bench.carboy.run(["exec", OTHER, "ls", "/sys/class/net"]).stdout;
        let inside = links.split_whitespace().filter(|link| *link != "lo").map(|link| format!("{link} inside"));
        let wrong = if ended.code == 0 { Vec::new() } else { vec![ended.stderr] };
        wrong.into_iter().chain(inside).chain(left_of_networks(bench)).collect()
    };
    bench
}

#[test]
fn each_call_of_connect_that_fails_leaves_nothing_to_the_next_command() {
    alone(|_| {
        let bench = of_connection("connect");
        each_call(&bench, Role::Command, error);
        each_call(&bench, Role::Command, killed);
    });
}

#[test]
fn each_call_of_disconnect_that_fails_leaves_nothing_to_the_next_command() {
    alone(|_| {
        let mut bench = of_connection("disconnect");
        bench.before = |bench| {
            let connected = bench.carboy.run(["network", "connect", "bridge", OTHER]);
            assert_eq!(connected.code, 0, "{}", connected.stderr);
        };
        each_call(&bench, Role::Command, error);
        each_call(&bench, Role::Command, killed);
    });
}

#[test]
fn each_call_of_exec_that_fails_leaves_nothing() {
    let carboy = Carboy::new();
    start_other(&carboy, &["-m", "64m"]);
    let bench = Bench::new(carboy, ["exec", OTHER, "true"]);
    for role in [Role::Command, Role::Monitor, Role::Child] {
        each_call(&bench, role, error);
        each_call(&bench, role, killed);
    }
    assert_eq!(bench.carboy.run(["ps", "-q"]).stdout.lines().count(), 1, "the container runs on");
}

#[test]
fn each_call_of_a_removal_that_fails_leaves_nothing_to_the_next_one() {
    let mut bench = Bench { raced: true, ..Bench::new(Carboy::new(), ["rm", "-f", OTHER]) };
    bench.before = |bench| start_other(&bench.carboy, &[]);
    bench.after = |bench| {
        let _ = bench.carboy.run(["rm", "-f", OTHER]);
        // The container's monitor may still be cleaning up.
        let began = Instant::now();
        while !bench.carboy.left_behind().is_empty() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Vec::new()
    };
    each_call(&bench, Role::Command, error);
    each_call(&bench, Role::Command, killed);
}

/// The name of the container whose life it is.
const BOX: &str = "box";

/// What a container does that stays when it is started first, and ends at once when it is started again.
const STAYS_ONCE: &str = "test -e /ran && exit; : > /ran; exec sleep 1000";

/// A command in a container's life, after which the container is there and can be stopped, started and removed.
fn of_life(carboy: Carboy, words: &[&str], before: fn(&Bench)) -> Bench {
    let after = |bench: &Bench| {
        let checked = bench.carboy.run(["system", "check"]);
        let mut wrong: Vec<String> = checked.stdout.lines().chain(checked.stderr.lines()).map(str::to_owned).collect();
        if bench.carboy.run(["ps", "-aq"]).stdout.is_empty() {
            // It may be that it never was, and must be if it was to be removed.
            let is_well = ["run", "rm"].contains(&bench.words[0].as_str());
            wrong.extend((!is_well).then(|| "the container is gone".to_owned()));
            return wrong;
        }
        for words in [&["stop", "-t", "0", BOX][..], &["start", BOX], &["wait", BOX], &["rm", "-f", BOX]] {
            let ended = bench.carboy.run(words);
            if ended.code != 0 || !ended.stderr.is_empty() {
                wrong.push(format!("{words:?} gives {}: {}", ended.code, ended.stderr));
            }
        }
        wrong
    };
    Bench { attended: false, before, after, ..Bench::new(carboy, words.iter().copied()) }
}

/// Makes a container of these words and a script.
fn make(bench: &Bench, words: &[&str], script: &str) {
    let (root, group) = (bench.carboy.busybox().display().to_string(), parent_group(&bench.carboy));
    let words = words.iter().copied().chain(["--name", BOX, "--cgroup-parent", &group, &root, "sh", "-c", script]);
    let made = bench.carboy.run(words);
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
}

/// Starts one that stays, and waits until it would not do so again.
fn start_one_that_stays(bench: &Bench) {
    make(bench, &["run", "-d"], STAYS_ONCE);
    let folder = bench.carboy.folder().join("root/containers");
    let id = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().file_name();
    let mark = folder.join(id).join("upper/ran");
    let began = Instant::now();
    while !mark.exists() {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not run");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn of_detached_run() -> Bench {
    let carboy = Carboy::new();
    let (root, group) = (carboy.busybox().display().to_string(), parent_group(&carboy));
    of_life(carboy, &["run", "-d", "--name", BOX, "--cgroup-parent", &group, &root, "true"], |_| {})
}

fn of_start() -> Bench {
    of_life(Carboy::new(), &["start", BOX], |bench| make(bench, &["create"], "true"))
}

fn of_restart() -> Bench {
    Bench { raced: true, ..of_life(Carboy::new(), &["restart", "-t", "0", BOX], start_one_that_stays) }
}

#[test]
fn each_call_of_a_detached_run_that_fails_leaves_nothing() {
    let bench = of_detached_run();
    each_call(&bench, Role::Command, error);
    each_call(&bench, Role::Monitor, error);
}

#[test]
fn a_detached_run_that_is_killed_at_any_call_leaves_nothing() {
    let bench = of_detached_run();
    each_call(&bench, Role::Command, killed);
    each_call(&bench, Role::Monitor, killed);
}

#[test]
fn each_call_of_a_start_that_fails_leaves_a_container_that_can_be_started() {
    let bench = of_start();
    each_call(&bench, Role::Command, error);
    each_call(&bench, Role::Monitor, error);
}

#[test]
fn a_start_that_is_killed_at_any_call_leaves_a_container_that_can_be_started() {
    let bench = of_start();
    each_call(&bench, Role::Command, killed);
    each_call(&bench, Role::Monitor, killed);
}

#[test]
fn each_call_of_a_restart_that_fails_or_is_where_it_is_killed_leaves_a_container_that_can_be_started() {
    let bench = of_restart();
    each_call(&bench, Role::Command, error);
    each_call(&bench, Role::Command, killed);
}

#[test]
fn each_call_of_a_stop_that_fails_or_is_where_it_is_killed_leaves_a_container_that_can_be_stopped() {
    let bench = of_life(Carboy::new(), &["stop", "-t", "0", BOX], start_one_that_stays);
    let bench = Bench { raced: true, ..bench };
    each_call(&bench, Role::Command, error);
    each_call(&bench, Role::Command, killed);
}
