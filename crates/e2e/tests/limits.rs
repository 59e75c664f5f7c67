//! Limits hold, and are what the kernel says they are. cgroup-v1 and cgroup-v2 documents of the kernel; units as in the
//! files' names.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use carboy_e2e::group::{Version, either, hierarchy, setting};
use carboy_e2e::waiting::{ends_well, waiting};
use carboy_e2e::{Attended, Carboy, Ended};

/// Runs a shell script in a container with these flags.
fn script(carboy: &Carboy, flags: &[&str], script: &str) -> Ended {
    let root = carboy.busybox();
    let words = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", script]))
}

/// A limit of 64 MiB in all, also on a host that has swap.
fn flags_of_64_mib() -> Vec<&'static str> {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 { vec!["-m", "64m", "--memory-swap", "64m"] } else { vec!["-m", "64m"] }
}

#[test]
fn one_hundred_mib_in_a_limit_of_64_end_with_137_and_a_message_that_names_the_limit() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    for root in ["host", root.to_str().unwrap()] {
        let words = ["run", "--name", "eater"].into_iter().chain(flags_of_64_mib());
        let ended = carboy.run(words.chain([root, "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]));
        assert_eq!((ended.code, ended.stdout.as_str()), (137, ""), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        for part in ["eater", "was killed", "out of memory", "64 MiB", "--memory"] {
            assert!(ended.stderr.contains(part), "{}", ended.stderr);
        }
        let state = carboy.inspect("eater")["State"].clone();
        assert_eq!((&state["OOMKilled"], &state["ExitCode"]), (&true.into(), &137.into()));
        assert_eq!(carboy.run(["rm", "eater"]).code, 0);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_command_that_lives_on_when_one_of_its_processes_is_killed_keeps_its_own_exit_code() {
    let carboy = Carboy::new();
    let words = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo $?; exit 3";
    let ended = script(&carboy, &flags_of_64_mib(), words);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, "137\n"));
    assert!(ended.stderr.contains("had a process killed") && ended.stderr.contains("64 MiB"), "{}", ended.stderr);
}

#[test]
fn half_a_cpu_is_half_a_cpu_over_five_seconds() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    // The shares keep what else runs on this host from taking the half that is its own.
    let flags = ["run", "--rm", "--name", "it", "--cpus", "0.5", "--cpu-shares", "262144"];
    let loops = [root.to_str().unwrap(), "sh", "-c", "echo ready; while :; do :; done"];
    let mut container = Attended::start(&mut carboy.command(flags.into_iter().chain(loops)));
    assert_eq!(container.line(), "ready");
    let pid = carboy.inspect("it")["State"]["Pid"].as_i64().unwrap();
    let (began, before) = (Instant::now(), cpu_seconds(pid));
    sleep(Duration::from_secs(5));
    let (wall, used) = (began.elapsed().as_secs_f64(), cpu_seconds(pid) - before);
    let share = used / wall;
    assert!((0.45..=0.55).contains(&share), "{used} seconds of CPU time in {wall} seconds are {share} CPUs");
    container.signal(rustix::process::Signal::KILL);
    assert_eq!(carboy.run(["rm", "-f", "it"]).code, 0);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// The CPU time that a process has used, proc_pid_stat(5), fields 14 and 15.
fn cpu_seconds(pid: i64) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

#[test]
fn twenty_processes_stop_a_fork_bomb() {
    let carboy = Carboy::new();
    // A bomb that would end after a hundred; what is counted is what the shell itself sees without one more process.
    let bomb = "(i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done); set -- /proc/[0-9]*; echo $#";
    let ended = script(&carboy, &["--pids-limit", "20"], bomb);
    let count: u32 = ended.stdout.trim().parse().unwrap_or_else(|_| panic!("{ended:?}"));
    // The shell that forked took one of the twenty with it.
    assert_eq!((ended.code, count), (0, 19), "{}", ended.stderr);
    assert!(ended.stderr.contains("can't fork"), "{}", ended.stderr);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn nproc_sees_the_one_cpu_of_the_set() {
    let carboy = Carboy::new();
    let ended = script(&carboy, &["--cpuset-cpus", "0"], "nproc; grep Cpus_allowed_list /proc/self/status");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "1\nCpus_allowed_list:\t0\n", ""));
}

/// Makes the node of /dev/kmsg under another name and opens it for writing, which a fresh container may not.
const OPEN_KMSG: &str = "mknod /made c 1 11 && : > /made && echo opened";

#[test]
fn a_device_that_is_not_allowed_is_eperm() {
    let carboy = Carboy::new();
    let ended = script(&carboy, &[], OPEN_KMSG);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("Operation not permitted"), "{}", ended.stderr);
    let nodes =
        "exec 2>&1; for node in null zero full random urandom; do : < /dev/$node || exit 1; done; : > /dev/ptmx";
    let ended = script(&carboy, &[], nodes);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
}

#[test]
fn a_device_that_is_given_is_there_and_can_be_used_as_far_as_it_was_given() {
    let carboy = Carboy::new();
    let opens = |flag: &str, script: &str| {
        let words = ["run", "--rm", "--device", flag];
        let root = carboy.busybox();
        carboy.run(words.into_iter().chain([root.to_str().unwrap(), "sh", "-c", script]))
    };
    let ended = opens("/dev/kmsg", ": > /dev/kmsg && stat -c '%t:%T %u:%g' /dev/kmsg");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "1:b 0:0\n", ""));
    let ended = opens("/dev/kmsg:/dev/other:w", "test ! -e /dev/kmsg && : > /dev/other && echo opened");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "opened\n", ""));
    let ended = opens("/dev/kmsg:r", ": > /dev/kmsg");
    assert!(ended.code == 1 && ended.stderr.contains("Operation not permitted"), "{ended:?}");
}

#[test]
fn a_device_rule_allows_what_it_says_and_no_more() {
    let carboy = Carboy::new();
    for rule in ["c 1:11 rwm", "c 1:* w", "a *:* rwm"] {
        let ended = script(&carboy, &["--device-cgroup-rule", rule], OPEN_KMSG);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "opened\n", ""), "{rule}");
    }
    for rule in ["c 1:11 r", "c 1:12 rwm", "b 1:11 rwm"] {
        let ended = script(&carboy, &["--device-cgroup-rule", rule], OPEN_KMSG);
        assert!(ended.code == 1 && ended.stderr.contains("Operation not permitted"), "{rule}: {ended:?}");
    }
}

#[test]
fn limits_of_memory_are_what_the_kernel_says() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["-m", "64m", "--memory-swap", "100m", "--memory-reservation", "32m"]);
    let of_memory = |files| setting(&carboy, "it", "memory", files);
    let bytes = |mib: u64| (mib << 20).to_string();
    assert_eq!(of_memory(("limit_in_bytes", "max")), bytes(64));
    // v1 counts both together, v2 swap alone.
    assert_eq!(of_memory(("memsw.limit_in_bytes", "swap.max")), either("memory", &bytes(100), &bytes(36)));
    assert_eq!(of_memory(("soft_limit_in_bytes", "low")), bytes(32));
    ends_well(&carboy, container);

    let container = waiting(&carboy, &["-m", "64m"]);
    let swap = setting(&carboy, "it", "memory", ("memsw.limit_in_bytes", "swap.max"));
    assert_eq!(swap, either("memory", &bytes(128), &bytes(64)), "as much swap as memory");
    ends_well(&carboy, container);
}

#[test]
fn limits_of_cpu_time_are_what_the_kernel_says() {
    let carboy = Carboy::new();
    let of_cpu = |files| setting(&carboy, "it", "cpu", files);
    let container = waiting(&carboy, &["--cpu-quota", "30000", "--cpu-period", "50000", "--cpu-shares", "512"]);
    assert_eq!(of_cpu(("cfs_quota_us", "max")), either("cpu", "30000", "30000 50000"));
    assert_eq!(of_cpu(("cfs_period_us", "max")), either("cpu", "50000", "30000 50000"));
    let shares = of_cpu(("shares", "weight"));
    assert!(shares == "512" || matches!(hierarchy("cpu"), Version::V2(_)) && shares != "100", "{shares}");
    ends_well(&carboy, container);

    let container = waiting(&carboy, &["--cpus", "0.75"]);
    assert_eq!(of_cpu(("cfs_quota_us", "max")), either("cpu", "75000", "75000 100000"));
    ends_well(&carboy, container);
}

#[test]
fn limits_of_processes_and_cpus_are_what_the_kernel_says() {
    let carboy = Carboy::new();
    let container = waiting(&carboy, &["--pids-limit", "33", "--cpuset-cpus", "0", "--cpuset-mems", "0"]);
    assert_eq!(setting(&carboy, "it", "pids", ("max", "max")), "33");
    assert_eq!(setting(&carboy, "it", "cpuset", ("cpus", "cpus")), "0");
    assert_eq!(setting(&carboy, "it", "cpuset", ("mems", "mems")), "0");
    ends_well(&carboy, container);
    let container = waiting(&carboy, &["--pids-limit", "-1"]);
    assert_eq!(setting(&carboy, "it", "pids", ("max", "max")), "max");
    ends_well(&carboy, container);
}

/// A container's groups, the limits that it sees, and every name that would give away where they are.
const LOOK: &str = "cat /proc/self/cgroup
find /sys/fs/cgroup -name '*.max' -o -name '*limit_in_bytes' -o -name 'carboy*' | xargs grep -s -H ''";

#[test]
fn inside_a_container_its_own_group_is_the_root_of_every_hierarchy() {
    let carboy = Carboy::new();
    let ended = script(&carboy, &["-m", "64m", "--pids-limit", "21"], LOOK);
    assert_eq!(ended.stderr, "");
    let (groups, files): (Vec<&str>, Vec<&str>) = ended.stdout.lines().partition(|line| !line.starts_with("/sys"));
    assert!(groups.iter().all(|line| line.ends_with(":/")), "{groups:#?}");
    let shown = |name: &str, value: &str| {
        files
            .iter()
            .any(|line| line.split_once(':').is_some_and(|(path, shown)| path.ends_with(name) && shown == value))
    };
    assert!(shown("/pids.max", "21"), "{files:#?}");
    let limit = either("memory", "/memory.limit_in_bytes", "/memory.max");
    assert!(shown(&limit, &(64 << 20).to_string()), "{files:#?}");
    assert!(!ended.stdout.contains("carboy"), "{}", ended.stdout);
    let write = "for file in $(find /sys/fs/cgroup -name cgroup.procs); do echo 1 > $file && echo $file; done";
    let ended = script(&carboy, &[], write);
    assert_eq!(ended.stdout, "", "nothing of it can be written");
}

/// The folders that a group has in all hierarchies.
fn folders(group: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    points.map(|point| Path::new(point).join(group)).filter(|path| path.is_dir()).collect()
}

#[test]
fn a_parent_group_is_made_and_removed_with_the_container() {
    let carboy = Carboy::new();
    let top = carboy.folder().file_name().unwrap().to_str().unwrap();
    let parent = format!("{top}/team/web");
    for flag in [parent.clone(), format!("/{parent}")] {
        let container = waiting(&carboy, &["--cgroup-parent", &flag, "--pids-limit", "50"]);
        let document = carboy.inspect("it");
        let (group, id) = (document["CgroupPath"].as_str().unwrap(), document["Id"].as_str().unwrap());
        assert_eq!(group.trim_start_matches('/'), format!("{parent}/{id}"));
        assert_eq!(setting(&carboy, "it", "pids", ("max", "max")), "50");
        ends_well(&carboy, container);
        assert_eq!(folders(top), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_parent_group_of_others_stays() {
    let carboy = Carboy::new();
    let top = carboy.folder().file_name().unwrap().to_str().unwrap();
    let (Version::V1(point) | Version::V2(point)) = hierarchy("pids");
    let made = point.join(top);
    fs::create_dir(&made).unwrap();
    let ended = script(&carboy, &["--cgroup-parent", top], "exit 4");
    let left = folders(top);
    fs::remove_dir(&made).unwrap();
    assert_eq!((ended.code, ended.stderr.as_str()), (4, ""));
    assert_eq!(left, [made]);
}

#[test]
fn more_cpu_time_than_a_v1_parent_has_is_refused() {
    let carboy = Carboy::new();
    let top = carboy.folder().file_name().unwrap().to_str().unwrap();
    let Version::V1(point) = hierarchy("cpu") else {
        // Below a v2 parent more may be asked for than it has; the parent holds.
        let ended = script(&carboy, &["--cgroup-parent", top, "--cpus", "0.5"], "echo ran");
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "ran\n"), "{}", ended.stderr);
        return;
    };
    let parent = point.join(top);
    fs::create_dir(&parent).unwrap();
    fs::write(parent.join("cpu.cfs_quota_us"), "20000").unwrap();
    let refused = script(&carboy, &["--cgroup-parent", top, "--cpus", "0.5"], "echo ran");
    let within = script(&carboy, &["--cgroup-parent", top, "--cpus", "0.2"], "echo ran");
    fs::remove_dir(&parent).unwrap();
    assert_eq!((refused.code, refused.stdout.as_str()), (125, ""));
    assert_eq!(
        refused.stderr,
        "error: cannot use --cpus 0.5: is 0.5 cpus, and the group above has 0.2: a v1 cgroup cannot exceed its parent\n\
         hint: use --cpus 0.2 or less\n"
    );
    assert_eq!((within.code, within.stdout.as_str(), within.stderr.as_str()), (0, "ran\n", ""));
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}
