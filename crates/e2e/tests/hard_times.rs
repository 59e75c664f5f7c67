//! Circumstances in which a host has too little of something: a disk that is full or read-only, few descriptors, no more
//! processes; and state that a newer carboy has written. Nothing hangs, an error is one line, what runs lives on, and in the
//! end nothing is left.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use carboy_e2e::group::Team;
use carboy_e2e::{Carboy, Ended, ended, eventually};

/// What mountinfo(5) calls the disks of these tests.
const SMALL: &str = "small-disk";

/// A carboy one of whose two folders is a disk of its own.
struct Host {
    carboy: Carboy,
    disk: PathBuf,
}

impl Host {
    /// `folder` is `root` or `run`; `size` as tmpfs(5) takes it.
    fn new(folder: &str, size: &str) -> Self {
        let carboy = Carboy::new();
        let disk = carboy.folder().join(folder);
        fs::create_dir(&disk).unwrap();
        mount(&["-t", "tmpfs", "-o", size, SMALL], &disk);
        Self { carboy, disk }
    }

    fn resize(&self, size: &str) {
        mount(&["-o", &format!("remount,{size}")], &self.disk);
    }

    /// Starts a container called `box`, or makes one.
    fn make(&self, words: &[&str], script: &str) -> Ended {
        let root = self.carboy.busybox();
        let rest = ["--name", "box", root.to_str().unwrap(), "sh", "-c", script];
        self.carboy.run(words.iter().copied().chain(rest))
    }

    /// Fills the disk to the last byte.
    fn fill(&self) -> PathBuf {
        let path = self.disk.join(".filler");
        let mut filler = File::create(&path).unwrap();
        while filler.write_all(&[b'x'; 4096]).is_ok() {}
        path
    }

    fn says(&self, words: &[&str]) -> String {
        let ended = self.carboy.run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
        ended.stdout
    }

    /// Nothing is left, and all is as it should be.
    fn is_clean(&self) {
        let mut left = self.carboy.left_behind();
        left.retain(|left| !left.contains(SMALL));
        assert_eq!(left, [""; 0]);
        assert_eq!(self.says(&["system", "check"]), "");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let names = self.carboy.run(["ps", "-aq"]).stdout;
        let _ = self.carboy.run(["rm", "-f"].into_iter().chain(names.lines()));
        let _ = Command::new("umount").arg("--lazy").arg(&self.disk).status();
    }
}

fn mount(words: &[&str], at: &Path) {
    let mounted = ended(Command::new("mount").args(words).arg(at));
    assert_eq!(mounted.code, 0, "{words:?}: {}", mounted.stderr);
}

/// A command that could not be done says so in one line, which has these words.
fn is_refused(refused: &Ended, code: i32, words: &str) {
    let errors = refused.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!((refused.code, errors), (code, 1), "{refused:?}");
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
}

#[test]
fn on_a_disk_that_is_too_small_a_container_is_made_whole_or_not_at_all() {
    for folder in ["root", "run"] {
        for limit in ["size", "nr_inodes"] {
            let host = Host::new(folder, "size=10m");
            // The folders for all of them are there.
            assert_eq!(host.says(&["ps", "-q"]), "");
            let fits = (1..60).find(|number| {
                let size = if limit == "size" { 4 * number } else { 4 + number };
                let unit = if limit == "size" { "k" } else { "" };
                host.resize(&format!("size=10m,nr_inodes=1000,{limit}={size}{unit}"));
                let made = host.make(&["run", "-d"], "exec sleep 1000");
                if made.code != 0 {
                    is_refused(&made, 125, "No space left on device");
                    host.is_clean();
                }
                made.code == 0
            });
            assert!(fits > Some(1), "{folder} {limit}: {fits:?}");
            assert_eq!(host.says(&["rm", "-f", "box"]), "box\n");
            host.is_clean();
        }
    }
}

#[test]
fn on_a_full_disk_a_container_is_stopped_started_and_removed() {
    for folder in ["root", "run"] {
        for policy in ["no", "always"] {
            let host = Host::new(folder, "size=1m");
            assert_eq!(host.make(&["run", "-d", "--restart", policy], "exec sleep 1000").code, 0);
            let filler = host.fill();
            if (folder, policy) == ("root", "always") {
                let pid = || host.says(&["inspect", "-f", "{{.State.Pid}}", "box"]);
                let first = pid();
                assert_eq!(ended(Command::new("kill").args(["-9", first.trim()])).code, 0);
                eventually("it is started again", || !["0\n", first.as_str()].contains(&pid().as_str()));
            }
            assert_eq!(host.says(&["exec", "box", "echo", "here"]), "here\n");
            assert_eq!(host.says(&["stop", "-t", "0", "box"]), "box\n", "{folder} {policy}");
            fs::remove_file(&filler).unwrap();
            assert_eq!(host.says(&["start", "box"]), "box\n");
            host.fill();
            assert_eq!(host.says(&["rm", "-f", "box"]), "box\n", "{folder} {policy}");
            fs::remove_file(&filler).unwrap();
            host.is_clean();
        }
    }
}

#[test]
fn a_full_disk_neither_ends_nor_holds_up_who_writes_and_what_is_lost_is_counted() {
    let host = Host::new("root", "size=512k");
    let script = "n=0; while :; do n=$((n+1)); echo \"$n\"; echo $n > /dev/shm/n; usleep 2000; done";
    assert_eq!(host.make(&["run", "-d"], script).code, 0);
    let count = || host.says(&["exec", "box", "cat", "/dev/shm/n"]).trim().parse::<u64>().unwrap_or_default();
    eventually("it writes", || host.says(&["logs", "box"]).lines().count() > 3);
    let filler = host.fill();
    let full = count();
    eventually("it goes on", || count() > full + 200);
    fs::remove_file(filler).unwrap();
    let mut told = String::new();
    eventually("the loss is told", || {
        let said = host.carboy.run(["logs", "box"]);
        told = said.stderr;
        said.code == 0 && !told.is_empty()
    });
    let lost = told.strip_prefix("carboy: ").and_then(|told| told.split(' ').next()?.parse::<usize>().ok());
    assert!(lost.is_some() && told.contains("were lost: the disk did not take them"), "{told}");
    assert_eq!(host.says(&["stop", "-t", "0", "box"]), "box\n");
    let said = host.carboy.run(["logs", "box"]).stdout;
    let last: usize = said.lines().last().unwrap().parse().unwrap();
    assert_eq!(said.lines().count() + lost.unwrap(), last, "every line is there or was counted");
    assert_eq!(host.says(&["rm", "box"]), "box\n");
    host.is_clean();
}

#[test]
fn a_copy_or_a_volume_that_does_not_fit_is_refused_in_a_line_and_hurts_nothing_else() {
    let host = Host::new("root", "size=1m");
    assert_eq!(host.make(&["run", "-d"], "exec sleep 1000").code, 0);
    let big = host.carboy.busybox().join("data");
    fs::create_dir(&big).unwrap();
    fs::write(big.join("big"), vec![b'x'; 4 << 20]).unwrap();
    let source = big.join("big").display().to_string();
    is_refused(&host.carboy.run(["cp", &source, "box:/root/big"]), 1, "No space left on device");
    assert_eq!(host.says(&["exec", "box", "rm", "-f", "/root/big"]), "");
    let root = host.carboy.busybox().display().to_string();
    let filled = host.carboy.run(["run", "--rm", "-v", "full:/data", &root, "true"]);
    is_refused(&filled, 125, "No space left on device");
    assert_eq!(host.says(&["exec", "box", "echo", "here"]), "here\n");
    assert_eq!(host.says(&["rm", "-f", "box"]), "box\n");
    let _ = host.carboy.run(["volume", "rm", "full"]);
    host.is_clean();
}

#[test]
fn with_a_read_only_folder_what_runs_is_seen_and_ended_and_nothing_is_begun() {
    for folder in ["root", "run"] {
        let host = Host::new(folder, "size=10m");
        assert_eq!(host.make(&["run", "-d"], "echo said; exec sleep 1000").code, 0);
        eventually("it has said it", || host.says(&["logs", "box"]) == "said\n");
        let path = host.disk.to_str().unwrap();
        mount(&["--bind", path], &host.disk);
        mount(&["-o", "remount,bind,ro"], &host.disk);
        let root = host.carboy.busybox().display().to_string();
        let words = [&["run", "--rm", &root, "true"][..], &["run", "-d", &root, "true"], &["create", &root, "true"]];
        for (words, code) in words.into_iter().zip([125, 125, 1]) {
            is_refused(&host.carboy.run(words), code, "Read-only file system");
        }
        assert_eq!(host.says(&["exec", "box", "echo", "here"]), "here\n");
        assert_eq!(host.says(&["logs", "box"]), "said\n");
        assert_eq!(host.says(&["ps", "--format", "{{.Names}}"]), "box\n");
        assert_eq!(host.says(&["inspect", "-f", "{{.State.Status}}", "box"]), "running\n");
        assert_eq!(host.says(&["kill", "box"]), "box\n", "{folder}");
        eventually("it has ended", || host.carboy.run(["ps", "-a", "--format", "{{.State}}"]).stdout == "exited\n");
        assert_eq!(ended(Command::new("umount").arg(&host.disk)).code, 0);
        assert_eq!(host.says(&["start", "box"]), "box\n");
        assert_eq!(host.says(&["rm", "-f", "box"]), "box\n");
        host.is_clean();
    }
}

/// carboy with so many descriptors at most.
fn with_descriptors(carboy: &Carboy, most: u32, words: &[&str]) -> Command {
    let command = carboy.command(words);
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={most}:{most}")).arg(command.get_program()).args(command.get_args());
    limited.stdin(Stdio::null());
    limited
}

#[test]
fn with_few_descriptors_a_container_is_run_or_refused_and_nothing_is_left() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    for words in [&["run", "--rm", &root, "true"][..], &["run", "-d", "--rm", "-t", &root, "true"]] {
        let fits = (4..128).find(|most| {
            let ran = ended(&mut with_descriptors(&carboy, *most, words));
            if ran.code != 0 {
                is_refused(&ran, 125, "Too many open files");
                assert_eq!(carboy.left_behind(), [""; 0], "with {most}");
            }
            ran.code == 0
        });
        assert!(fits.is_some(), "{words:?}");
        eventually("it is gone", || carboy.left_behind().is_empty());
    }
}

#[test]
fn a_monitor_with_few_descriptors_lets_callers_wait_and_lives_on() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    let words = ["run", "-d", "--name", "box", &root, "sh", "-c", "while :; do echo tick; sleep 0.05; done"];
    assert_eq!(ended(&mut with_descriptors(&carboy, 80, &words)).code, 0);
    let attach = || carboy.command(["attach", "--no-stdin", "box"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut callers: Vec<_> = (0..40).map(|_| attach().unwrap()).collect();
    let pid = carboy.inspect("box")["State"]["Pid"].as_i64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{monitor}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    std::thread::sleep(Duration::from_millis(300));
    let before = ticks();
    std::thread::sleep(Duration::from_millis(500));
    let spent = ticks() - before;
    assert!(spent < 20, "a monitor that cannot take callers spins: {spent} ticks in half a second");
    for caller in &mut callers {
        caller.kill().unwrap();
        caller.wait().unwrap();
    }
    let seen = carboy.command(["attach", "--no-stdin", "box"]);
    let seen = ended(Command::new("timeout").args(["-s", "KILL", "2"]).arg(seen.get_program()).args(seen.get_args()));
    assert!(seen.stdout.contains("tick"), "who comes when there is room is attached: {seen:?}");
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn where_no_more_processes_may_be_made_nothing_is_begun_and_all_can_be_ended() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    for name in ["one", "two"] {
        assert_eq!(carboy.run(["run", "-d", "--name", name, &root, "sleep", "1000"]).code, 0);
    }
    let name = format!("few-{}", std::process::id());
    for most in ["1", "2"] {
        let team = Team::new(&name, &[("pids", ("max", most), ("max", most))]);
        let procs = carboy_e2e::group::hierarchy("pids").point().join(&team.name).join("cgroup.procs");
        let within = |words: &[&str]| {
            let command = carboy.command(words);
            let mut shell = Command::new("sh");
            shell.args(["-c", "echo 0 > \"$1\"; shift; exec \"$@\"", "sh"]).arg(&procs);
            ended(shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()))
        };
        for words in [&["run", "--rm", &root, "true"][..], &["run", "-d", &root, "true"], &["exec", "two", "true"]] {
            let refused = within(words);
            assert_ne!(refused.code, 0, "{words:?}");
            is_refused(&refused, refused.code, "Resource temporarily unavailable");
        }
        let container = if most == "1" { "one" } else { "two" };
        assert_eq!(within(&["exec", "two", "true"]).code, 125);
        assert_eq!(within(&["ps", "-q"]).stdout.lines().count(), if most == "1" { 2 } else { 1 });
        assert_eq!(within(&["stop", "-t", "0", container]).code, 0);
        assert_eq!(within(&["rm", container]).code, 0);
    }
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn what_a_newer_carboy_has_written_is_said_to_be_so_and_hides_nothing_else() {
    let carboy = Carboy::new();
    let root = carboy.busybox().display().to_string();
    let create = |name: &str| carboy.run(["create", "--name", name, &root, "true"]).stdout.trim_end().to_owned();
    let (newer, _) = (create("newer"), create("known"));
    let path = carboy.folder().join("root/containers").join(&newer).join("container.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let version = record["version"].take();
    record["version"] = 99.into();
    fs::write(&path, record.to_string()).unwrap();
    let listed = carboy.run(["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(listed.stdout, "known\n");
    for words in [&["start", "newer"][..], &["inspect", "newer"], &["rm", "newer"], &["system", "check"]] {
        let refused = carboy.run(words);
        assert_eq!(refused.code, 1, "{words:?}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("is of version 99, which a newer carboy wrote"), "{words:?}: {said}");
    }
    assert!(path.exists(), "it is not touched");
    record["version"] = version;
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(carboy.run(["rm", "newer", "known"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}
