//! Limits are felt: what the kernel was told is what a container gets. Weights, block devices, nested groups; see also
//! limits.rs. cgroup-v1 and cgroup-v2 documents of the kernel.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use carboy_e2e::group::{Version, folder, hierarchy};
use carboy_e2e::{Attended, Carboy, ended};

const SPIN: &str = "echo ready; while :; do :; done";

/// The CPU time that a container has used, in microseconds.
fn used_usec(carboy: &Carboy, container: &str) -> u64 {
    let number = |text: String| text.trim().parse::<u64>().unwrap();
    match hierarchy("cpuacct") {
        Version::V1(_) => {
            number(fs::read_to_string(folder(carboy, container, "cpuacct").join("cpuacct.usage")).unwrap()) / 1000
        }
        Version::V2(_) => {
            let stat = fs::read_to_string(folder(carboy, container, "cpu").join("cpu.stat")).unwrap();
            number(stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap().to_owned())
        }
    }
}

#[test]
fn two_containers_with_weights_of_one_to_three_share_one_cpu_as_25_to_75() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    let parent = carboy.folder().file_name().unwrap().to_str().unwrap();
    let start = |name: &str, shares: &str| {
        let flags = [
            "run",
            "--rm",
            "--name",
            name,
            "--cgroup-manager",
            "cgroupfs",
            "--cgroup-parent",
            parent,
            "--cpuset-cpus",
            "0",
        ];
        let words = flags.into_iter().chain(["--cpu-shares", shares, root.to_str().unwrap(), "sh", "-c", SPIN]);
        let mut container = Attended::start(&mut carboy.command(words));
        assert_eq!(container.line(), "ready");
        container
    };
    // On v2 the curve from shares to weights makes these 100 and 300.
    let heavy = match hierarchy("cpu") {
        Version::V1(_) => "3072",
        Version::V2(_) => "4042",
    };
    let containers = [start("light", "1024"), start("heavy", heavy)];
    let before = (used_usec(&carboy, "light"), used_usec(&carboy, "heavy"));
    sleep(Duration::from_secs(6));
    let after = (used_usec(&carboy, "light"), used_usec(&carboy, "heavy"));
    let (light, heavy) = (after.0 - before.0, after.1 - before.1);
    let percent = light * 100 / (light + heavy);
    assert!((20..=30).contains(&percent), "{percent} % to the light one: {light} and {heavy} microseconds");
    assert_eq!(carboy.run(["rm", "-f", "light", "heavy"]).code, 0);
    for container in containers {
        assert_eq!(container.end().code, 137);
    }
    assert!(!hierarchy("cpu").point().join(parent).exists(), "the last one takes the parent away");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// A block device of 64 MiB over a file, gone with the test.
struct Loop {
    path: PathBuf,
}

impl Loop {
    fn new(carboy: &Carboy) -> Self {
        let file = carboy.folder().join("disk");
        fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        // Where loop devices are a module, nothing loads it before there is a node. Elsewhere there is nothing to load.
        let _ = Command::new("modprobe").args(["--quiet", "loop"]).status();
        let made = ended(Command::new("losetup").args(["--find", "--show"]).arg(&file));
        assert_eq!(made.code, 0, "losetup of util-linux is needed, and a loop device: {}", made.stderr);
        Self { path: PathBuf::from(made.stdout.trim()) }
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

/// How long a script runs in a container of the host's programs, in seconds, its start left out.
fn seconds(carboy: &Carboy, flags: &[&str], script: &str) -> f64 {
    let script = format!("echo ready; read -r go; {script}");
    let words = ["run", "--rm", "-i"].into_iter().chain(flags.iter().copied()).chain(["host", "sh", "-c", &script]);
    let mut container = Attended::start(&mut carboy.command(words));
    assert_eq!(container.line(), "ready");
    let began = Instant::now();
    container.tell("go");
    let ended = container.end();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    began.elapsed().as_secs_f64()
}

#[test]
fn a_cap_on_a_block_device_is_what_reads_and_writes_get() {
    let carboy = Carboy::new();
    let disk = Loop::new(&carboy);
    let (name, mib) = (disk.name(), (1_u64 << 20) as f64);
    let rate = |flag: &str, cap: &str, script: String, amount: f64| {
        let cap = format!("{name}:{cap}");
        amount / seconds(&carboy, &["--device", name, flag, &cap], &script)
    };
    let near = |rate: f64, cap: f64, what: &str| {
        assert!((cap * 0.85..=cap * 1.15).contains(&rate), "{what}: {rate:.0} a second instead of {cap:.0}");
    };
    let read =
        |size: &str, count: u32| format!("dd if={name} of=/dev/null bs={size} count={count} iflag=direct status=none");
    let write =
        |size: &str, count: u32| format!("dd if=/dev/zero of={name} bs={size} count={count} oflag=direct status=none");
    near(rate("--device-read-bps", "2mb", read("64k", 160), 10.0 * mib), 2.0 * mib, "bytes read");
    near(rate("--device-write-bps", "2mb", write("64k", 160), 10.0 * mib), 2.0 * mib, "bytes written");
    near(rate("--device-read-iops", "50", read("4k", 250), 250.0), 50.0, "reads");
    near(rate("--device-write-iops", "50", write("4k", 250), 250.0), 50.0, "writes");
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_process_enters_a_container_that_has_given_controllers_to_groups_of_its_own() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    // What an init system in a container does: it goes down into a group of its own, and hands controllers on.
    let nest = "cd /sys/fs/cgroup; test -d unified && cd unified; mkdir init && echo 1 > init/cgroup.procs &&
        echo \"+$(cut -d' ' -f1 cgroup.controllers)\" > cgroup.subtree_control; echo ready; read -r go";
    let words = ["run", "--rm", "-i", "--privileged", "--name", "it", root.to_str().unwrap(), "sh", "-c", nest];
    let mut container = Attended::start(&mut carboy.command(words));
    assert_eq!(container.line(), "ready");
    let entered = carboy.run(["exec", "it", "grep", "^0:", "/proc/self/cgroup"]);
    assert_eq!((entered.code, entered.stdout.as_str(), entered.stderr.as_str()), (0, "0::/init\n", ""));
    container.tell("go");
    let ended = container.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}
