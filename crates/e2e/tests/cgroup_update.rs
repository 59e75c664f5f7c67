//! Limits that change while a container runs, all of what is asked for or nothing, and containers that stand still.
//! cgroup-v1 and cgroup-v2 documents of the kernel; what is changed is read back from the kernel's own files.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use carboy_e2e::group::{Version, either, folder, hierarchy, setting};
use carboy_e2e::{Attended, Carboy, Ended, ended, eventually};

/// Says that it runs and does what it is told, a line at a time.
const OBEY: &str = "echo ready; while read -r line; do eval \"$line\"; echo done; done";

/// Starts a container called `it` with these flags; it does what it is told.
fn obeying(carboy: &Carboy, flags: &[&str]) -> Attended {
    let root = carboy.busybox();
    let words = ["run", "-i", "--name", "it"].into_iter().chain(flags.iter().copied());
    let mut container = Attended::start(&mut carboy.command(words.chain([root.to_str().unwrap(), "sh", "-c", OBEY])));
    let line = container.line();
    assert_eq!(line, "ready", "{}", if line.is_empty() { container.end().stderr } else { line.clone() });
    container
}

/// Has a container do something; what it says before it is done.
fn does(container: &mut Attended, line: &str) -> Vec<String> {
    container.tell(line);
    let mut said = Vec::new();
    loop {
        match container.line() {
            line if line == "done" => return said,
            line => said.push(line),
        }
    }
}

fn update(carboy: &Carboy, flags: &[&str]) -> Ended {
    carboy.run(["update"].into_iter().chain(flags.iter().copied()).chain(["it"]))
}

/// Changes limits, which must go well.
fn updated(carboy: &Carboy, flags: &[&str]) {
    let ended = update(carboy, flags);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "it\n", ""), "{flags:?}");
}

/// Changes limits, which must be refused, with these words in the message.
fn refused(carboy: &Carboy, flags: &[&str], parts: &[&str]) {
    let ended = update(carboy, flags);
    assert_ne!(ended.code, 0, "{flags:?} were taken");
    assert_eq!(ended.stdout, "", "{flags:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "{flags:?}: no {part:?} in {}", ended.stderr);
    }
}

fn gone(carboy: &Carboy, container: Attended) {
    assert_eq!(carboy.run(["rm", "-f", "it"]).code, 0);
    assert_eq!(container.end().code, 137);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

/// Whether this host has a controller, by its name on v1.
fn has(controller: &str) -> bool {
    let name = if controller == "blkio" { "io" } else { controller };
    match hierarchy(controller) {
        Version::V1(_) => true,
        Version::V2(point) => {
            fs::read_to_string(point.join("cgroup.controllers")).unwrap().split_whitespace().any(|one| one == name)
        }
    }
}

/// A block device over a file, gone with the test.
struct Loop(PathBuf);

impl Loop {
    fn new(carboy: &Carboy) -> Self {
        let file = carboy.folder().join("disk");
        fs::File::create(&file).unwrap().set_len(4 << 20).unwrap();
        // Where loop devices are a module, nothing loads it before there is a node. Elsewhere there is nothing to load.
        let _ = Command::new("modprobe").args(["--quiet", "loop"]).status();
        let made = ended(Command::new("losetup").args(["--find", "--show", "--partscan"]).arg(&file));
        assert_eq!(made.code, 0, "losetup of util-linux is needed, and a loop device: {}", made.stderr);
        Self(PathBuf::from(made.stdout.trim()))
    }

    /// `/dev/loop0` and `7:0`.
    fn names(&self) -> (&str, String) {
        let name = self.0.file_name().unwrap().to_str().unwrap();
        let numbers = fs::read_to_string(Path::new("/sys/block").join(name).join("dev")).unwrap();
        (self.0.to_str().unwrap(), numbers.trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
fn cpu_and_cpuset_change_while_the_container_runs() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &[]);
    let cpu = |v1, v2| setting(&carboy, "it", "cpu", (v1, v2));
    updated(&carboy, &["--cpus", "0.75"]);
    assert_eq!(cpu("cfs_quota_us", "max"), either("cpu", "75000", "75000 100000"));
    updated(&carboy, &["--cpu-quota", "30000", "--cpu-period", "60000"]);
    assert_eq!(cpu("cfs_quota_us", "max"), either("cpu", "30000", "30000 60000"));
    assert_eq!(cpu("cfs_period_us", "max"), either("cpu", "60000", "30000 60000"));
    updated(&carboy, &["--cpu-burst", "10000"]);
    assert_eq!(cpu("cfs_burst_us", "max.burst"), "10000");
    updated(&carboy, &["--cpu-burst", "0"]);
    updated(&carboy, &["--cpu-quota", "-1"]);
    assert_eq!(cpu("cfs_quota_us", "max"), either("cpu", "-1", "max 60000"));
    updated(&carboy, &["-c", "512"]);
    assert_eq!(cpu("shares", "weight"), either("cpu", "512", "59"));
    updated(&carboy, &["--cpu-idle"]);
    assert_eq!(cpu("idle", "idle"), "1");
    updated(&carboy, &["--cpu-idle=false", "-c", "2048"]);
    assert_eq!((cpu("idle", "idle"), cpu("shares", "weight")), ("0".into(), either("cpu", "2048", "174")));
    updated(&carboy, &["--cpuset-cpus", "0", "--cpuset-mems", "0"]);
    assert_eq!(setting(&carboy, "it", "cpuset", ("cpus", "cpus")), "0");
    assert_eq!(setting(&carboy, "it", "cpuset", ("mems", "mems")), "0");
    updated(&carboy, &["--pids-limit", "33"]);
    assert_eq!(setting(&carboy, "it", "pids", ("max", "max")), "33");
    updated(&carboy, &["--pids-limit", "-1"]);
    assert_eq!(setting(&carboy, "it", "pids", ("max", "max")), "max");
    gone(&carboy, container);
}

#[test]
fn memory_grows_and_shrinks_while_the_container_runs() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &["-m", "64m"]);
    let memory = |v1, v2| setting(&carboy, "it", "memory", (v1, v2));
    let limits = || (memory("limit_in_bytes", "max"), memory("memsw.limit_in_bytes", "swap.max"));
    let mib = |limit: u64, total: u64| {
        let bytes = |mib: u64| (mib << 20).to_string();
        (bytes(limit), either("memory", &bytes(total), &bytes(total - limit)))
    };
    assert_eq!(limits(), mib(64, 128));
    updated(&carboy, &["-m", "256m"]);
    assert_eq!(limits(), mib(256, 512));
    updated(&carboy, &["-m", "96m", "--memory-swap", "150m"]);
    assert_eq!(limits(), mib(96, 150));
    refused(&carboy, &["-m", "160m"], &["--memory-swap", "below the memory limit", "hint: "]);
    refused(&carboy, &["--memory-swap", "80m"], &["--memory-swap 83886080", "below the memory limit"]);
    refused(&carboy, &["-m", "64m", "--memory-swap", "32m"], &["--memory-swap 32m", "below --memory 64m"]);
    refused(&carboy, &["-m", "1m"], &["--memory 1m", "below the minimum of 6 MiB"]);
    assert_eq!(limits(), mib(96, 150));
    updated(&carboy, &["--memory-reservation", "48m"]);
    assert_eq!(memory("soft_limit_in_bytes", "low"), (48_u64 << 20).to_string());
    updated(&carboy, &["-m", "0", "--memory-swap", "-1"]);
    if let Version::V2(_) = hierarchy("memory") {
        assert_eq!(limits(), ("max".into(), "max".into()));
    } else {
        assert!(limits().0.parse::<u64>().unwrap() > 1 << 60, "{:?}", limits());
    }
    gone(&carboy, container);
}

#[test]
fn what_memory_has_on_v1_alone_changes_there_and_is_refused_on_v2() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &["-m", "64m"]);
    let flags = [
        (["--memory-swappiness", "30"], "swappiness", "30"),
        (["--kernel-memory-tcp", "8m"], "kmem.tcp.limit_in_bytes", "8388608"),
    ];
    for (words, file, value) in flags {
        if let Version::V1(_) = hierarchy("memory") {
            updated(&carboy, &words);
            assert_eq!(setting(&carboy, "it", "memory", (file, "none")), value);
        } else {
            refused(&carboy, &words, &[words[0], "cgroup v2"]);
        }
    }
    if let Version::V1(_) = hierarchy("memory") {
        let killer = || setting(&carboy, "it", "memory", ("oom_control", "none")).lines().next().unwrap().to_owned();
        updated(&carboy, &["--oom-kill-disable"]);
        assert_eq!(killer(), "oom_kill_disable 1");
        updated(&carboy, &["--oom-kill-disable=false"]);
        assert_eq!(killer(), "oom_kill_disable 0");
    } else {
        refused(&carboy, &["--oom-kill-disable"], &["--oom-kill-disable", "cgroup v2"]);
    }
    gone(&carboy, container);
}

#[test]
fn limits_of_a_disk_change_one_by_one() {
    let carboy = Carboy::new();
    let disk = Loop::new(&carboy);
    let (node, numbers) = disk.names();
    let container = obeying(&carboy, &["--device-read-bps", &format!("{node}:1m")]);
    let throttle = |file: &str| setting(&carboy, "it", "blkio", (file, "max"));
    let holds = |file: &str, v1: &str, v2: &str| {
        let (text, wanted) = (throttle(file), either("blkio", &format!("{numbers} {v1}"), v2));
        assert!(text.contains(&wanted), "no {wanted:?} in {text:?}");
    };
    holds("throttle.read_bps_device", "1048576", "rbps=1048576");
    updated(&carboy, &["--device-read-bps", &format!("{node}:2m"), "--device-write-bps", &format!("{node}:3m")]);
    holds("throttle.read_bps_device", "2097152", "rbps=2097152");
    holds("throttle.write_bps_device", "3145728", "wbps=3145728");
    updated(&carboy, &["--device-read-iops", &format!("{node}:40"), "--device-write-iops", &format!("{node}:50")]);
    holds("throttle.read_iops_device", "40", "riops=40");
    holds("throttle.write_iops_device", "50", "wiops=50");
    updated(&carboy, &["--device-read-bps", &format!("{node}:0")]);
    let read = throttle("throttle.read_bps_device");
    assert!(read.is_empty() || read.contains("rbps=max"), "{read}");
    holds("throttle.write_bps_device", "3145728", "wbps=3145728");
    gone(&carboy, container);
}

#[test]
fn huge_pages_and_files_of_v2_change_where_v2_has_their_controller() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &[]);
    if has("hugetlb") {
        updated(&carboy, &["--hugetlb-limit", "2MB=4m"]);
        assert_eq!(setting(&carboy, "it", "hugetlb", ("2MB.limit_in_bytes", "2MB.max")), "4194304");
        if let Version::V2(_) = hierarchy("hugetlb") {
            updated(&carboy, &["--cgroup-conf", "hugetlb.2MB.max=8m"]);
            assert_eq!(setting(&carboy, "it", "hugetlb", ("", "2MB.max")), "8388608");
        }
    } else {
        refused(&carboy, &["--hugetlb-limit", "2MB=4m"], &["--hugetlb-limit", "hugetlb cgroup controller"]);
    }
    if let Version::V2(_) = hierarchy("memory") {
        updated(&carboy, &["--cgroup-conf", "memory.high=64m", "--cgroup-conf", "memory.oom.group=1"]);
        assert_eq!(setting(&carboy, "it", "memory", ("", "high")), "67108864");
        assert_eq!(setting(&carboy, "it", "memory", ("", "oom.group")), "1");
    } else {
        let parts = ["--cgroup-conf memory.high=64m", "a file of cgroup v2", "memory on v1"];
        refused(&carboy, &["--cgroup-conf", "memory.high=64m"], &parts);
    }
    if !has("rdma") {
        let parts = ["--rdma-limit", "rdma cgroup controller", "hint: "];
        refused(&carboy, &["--rdma-limit", "mlx5_0:hca_handle=2"], &parts);
    }
    gone(&carboy, container);
}

#[test]
fn a_class_of_packets_changes_and_is_not_given_to_one_that_was_started_without() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &["--net-cls-classid", "10:1"]);
    updated(&carboy, &["--net-cls-classid", "0x100002"]);
    assert_eq!(carboy.inspect("it")["HostConfig"]["Resources"]["network"]["classID"], 0x10_0002);
    if let Version::V1(_) = hierarchy("net_cls") {
        assert_eq!(setting(&carboy, "it", "net_cls", ("classid", "")), "1048578");
    }
    refused(&carboy, &["--net-cls-classid", "0"], &["--net-cls-classid 0", "can be changed, but not taken away"]);
    gone(&carboy, container);
    let container = obeying(&carboy, &[]);
    let ended = update(&carboy, &["--net-cls-classid", "10:1"]);
    // Where the host itself has mounted the controller, every container is in it.
    if ended.code != 0 {
        assert!(ended.stderr.contains("--net-cls-classid "), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    }
    gone(&carboy, container);
}

#[test]
fn a_refused_write_gives_everything_before_it_back() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &["-m", "64m", "--pids-limit", "20", "--cpus", "0.5"]);
    let before = limits(&carboy);
    // Only the kernel knows of what it refuses: a group below that has more CPUs, a niceness that there is not.
    let kernel = match hierarchy("cpuset") {
        Version::V1(_) => {
            let nested = folder(&carboy, "it", "cpuset").join("nested");
            fs::create_dir(&nested).unwrap();
            fs::write(nested.join("cpuset.cpus"), setting(&carboy, "it", "cpuset", ("cpus", "cpus"))).unwrap();
            ["--cpuset-cpus", "0"]
        }
        Version::V2(_) => ["--cgroup-conf", "cpu.weight.nice=99"],
    };
    let asked = ["-m", "128m", "--memory-swap", "200m", "--cpus", "0.25", "--cpu-shares", "100", "--pids-limit", "30"];
    let asked: Vec<&str> = asked.into_iter().chain(kernel).collect();
    refused(&carboy, &asked, &["cannot set "]);
    assert_eq!(limits(&carboy), before);
    let resources = &carboy.inspect("it")["HostConfig"]["Resources"];
    assert_eq!((&resources["memory"]["limit"], &resources["pids"]["limit"]), (&(64 << 20).into(), &20.into()));
    // What is refused before anything is written changes nothing either.
    refused(&carboy, &["-m", "128m", "--cpuset-cpus", "4000"], &["--cpuset-cpus 4000", "not available here"]);
    assert_eq!(limits(&carboy), before);
    gone(&carboy, container);
}

/// What the kernel holds a container to; `None` for what v2 has only where it was asked for.
fn limits(carboy: &Carboy) -> Vec<Option<String>> {
    let files = [
        ("memory", "limit_in_bytes", "max"),
        ("memory", "memsw.limit_in_bytes", "swap.max"),
        ("cpu", "cfs_quota_us", "max"),
        ("cpu", "shares", "weight"),
        ("pids", "max", "max"),
        ("cpuset", "cpus", "cpus"),
    ];
    let read = |(controller, v1, v2): (&str, &str, &str)| {
        let name = either(controller, v1, v2);
        fs::read_to_string(folder(carboy, "it", controller).join(format!("{controller}.{name}"))).ok()
    };
    files.into_iter().map(read).collect()
}

#[test]
fn a_limit_below_what_is_used_is_refused_and_nothing_is_lost() {
    let carboy = Carboy::new();
    let mut container = obeying(&carboy, &["-m", "128m", "--tmpfs", "/big"]);
    does(&mut container, "dd if=/dev/zero of=/big/file bs=1M count=40 2>/dev/null");
    refused(&carboy, &["-m", "16m"], &["--memory 16777216", "that are used", "hint: "]);
    assert_eq!(setting(&carboy, "it", "memory", ("limit_in_bytes", "max")), (128_u64 << 20).to_string());
    assert_eq!(does(&mut container, "stat -c %s /big/file"), [(40_u64 << 20).to_string()]);
    does(&mut container, "rm /big/file");
    updated(&carboy, &["-m", "16m"]);
    gone(&carboy, container);
}

#[test]
fn more_cpu_than_the_group_above_has_is_refused_on_v1_and_given_on_v2() {
    let carboy = Carboy::new();
    let parent = carboy.folder().file_name().unwrap().to_str().unwrap();
    let container = obeying(&carboy, &["--cgroup-manager", "cgroupfs", "--cgroup-parent", parent, "--cpus", "0.1"]);
    let above = folder(&carboy, "it", "cpu").parent().unwrap().to_owned();
    let root = carboy.busybox();
    let more = [
        "run",
        "--rm",
        "--cgroup-manager",
        "cgroupfs",
        "--cgroup-parent",
        parent,
        "--cpus",
        "0.5",
        root.to_str().unwrap(),
        "true",
    ];
    match hierarchy("cpu") {
        Version::V1(_) => {
            fs::write(above.join("cpu.cfs_quota_us"), "20000").unwrap();
            refused(&carboy, &["--cpus", "0.5"], &["--cpus 0.5", "group above has 0.2", "use --cpus 0.2 or less"]);
            assert_eq!(setting(&carboy, "it", "cpu", ("cfs_quota_us", "")), "10000");
            let ended = carboy.run(more);
            assert_eq!(ended.code, 125);
            assert!(
                ended.stderr.contains("--cpus 0.5") && ended.stderr.contains("group above has 0.2"),
                "{}",
                ended.stderr
            );
        }
        Version::V2(_) => {
            fs::write(above.join("cpu.max"), "20000 100000").unwrap();
            updated(&carboy, &["--cpus", "0.5"]);
            assert_eq!(setting(&carboy, "it", "cpu", ("", "max")), "50000 100000");
            assert_eq!(carboy.run(more).code, 0);
        }
    }
    gone(&carboy, container);
}

/// Flags that cannot be had anywhere, and what the message says.
const BAD: &[(&[&str], &str)] = &[
    (&["--blkio-weight", "1"], "--blkio-weight 1: is not a weight from 10 to 1000"),
    (&["--blkio-weight", "1001"], "--blkio-weight 1001: is not a weight from 10 to 1000"),
    (&["--blkio-weight-device", "/dev/nope:100"], "--blkio-weight-device /dev/nope: does not exist on this host"),
    (&["--device-read-bps", "/dev/nope:1m"], "--device-read-bps /dev/nope: does not exist on this host"),
    (&["--device-write-iops", "/dev/null:1"], "--device-write-iops /dev/null: is no block device"),
    (&["--device-write-bps", "/dev/null"], "has no value after a device"),
    (&["--cpu-period", "999"], "--cpu-period 999: is not within 1000 and 1000000"),
    (&["--cpu-quota", "999"], "--cpu-quota 999: is below the minimum of 1000"),
    (&["--cpus", "1000"], "--cpus 1000: is not within 0.01 and"),
    (&["--cpus", "0.5", "--cpu-quota", "5000"], "--cpus 0.5: already sets what --cpu-quota sets"),
    (&["--cpuset-cpus", "4000"], "--cpuset-cpus 4000: "),
    (&["--memory", "5m"], "--memory 5m: is below the minimum of 6 MiB"),
    (&["--memory", "64m", "--memory-swap", "32m"], "--memory-swap 32m: is below --memory 64m"),
    (&["--memory-swappiness", "101"], "--memory-swappiness 101: is not a whole number from 0 to 100"),
    (&["--net-cls-classid", "web"], "--net-cls-classid web: is no class of packets"),
    (&["--hugetlb-limit", "3MB=1m"], "--hugetlb-limit 3MB=1m: names no size of huge pages"),
    (&["--cgroup-conf", "../memory.high=1"], "leads out of the container's own group"),
    (&["--cgroup-conf", "a/b.c=1"], "leads out of the container's own group"),
    (&["--cgroup-conf", "cgroup.procs=1"], "--cgroup-conf cgroup.procs=1: "),
    (&["--device-cgroup-rule", "c 1:3"], "--device-cgroup-rule c 1:3: is no rule for devices"),
];

#[test]
fn what_cannot_be_had_is_refused_clearly_and_without_effect_when_run_and_when_updated() {
    let carboy = Carboy::new();
    let root = carboy.busybox();
    for (flags, message) in BAD {
        let words = ["run", "--rm"].into_iter().chain(flags.iter().copied());
        let ended = carboy.run(words.chain([root.to_str().unwrap(), "echo", "ran"]));
        assert_eq!((ended.code, ended.stdout.as_str()), (125, ""), "{flags:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: cannot use "), "{flags:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(message), "{flags:?}: {}", ended.stderr);
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
    let container = obeying(&carboy, &[]);
    let before = (limits(&carboy), carboy.inspect("it")["HostConfig"]["Resources"].clone());
    for (flags, message) in BAD {
        refused(&carboy, flags, &["error: cannot use ", message]);
    }
    assert_eq!((limits(&carboy), carboy.inspect("it")["HostConfig"]["Resources"].clone()), before);
    gone(&carboy, container);
}

#[test]
fn a_partition_is_refused_with_the_name_of_its_disk() {
    let carboy = Carboy::new();
    let disk = Loop::new(&carboy);
    let (node, _) = disk.names();
    // Whoever finds it locked lets it be: udev would read its partitions anew, and there is none on the disk itself.
    let alone = fs::File::open(node).unwrap();
    alone.lock().unwrap();
    let made = ended(Command::new("addpart").args([node, "1", "2048", "2048"]));
    assert_eq!(made.code, 0, "addpart of util-linux is needed: {}", made.stderr);
    let name = disk.0.file_name().unwrap().to_str().unwrap();
    let partition = PathBuf::from(format!("/sys/class/block/{name}p1/dev"));
    let numbers = fs::read_to_string(&partition).unwrap();
    let (major, minor) = numbers.trim().split_once(':').unwrap();
    let own = carboy.folder().join("partition");
    assert_eq!(ended(Command::new("mknod").arg(&own).args(["b", major, minor])).code, 0);
    let refused = carboy.run(["run", "--device-read-bps", &format!("{}:1m", own.display()), "host", "true"]);
    assert_eq!(refused.code, 125);
    assert!(refused.stderr.contains("is a partition, and the kernel limits whole disks alone"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("hint: use {node}")), "{}", refused.stderr);
}

#[test]
fn a_device_that_is_refused_is_allowed_by_an_update() {
    let carboy = Carboy::new();
    let mut container = obeying(&carboy, &[]);
    // Nobody drives this number: whoever may open it finds no device.
    does(&mut container, "mknod /dev/mine c 240 17");
    let opened = |container: &mut Attended| does(container, "(: < /dev/mine) 2>&1").join("\n");
    assert!(opened(&mut container).contains("Operation not permitted"));
    updated(&carboy, &["--device-cgroup-rule", "c 240:17 r"]);
    assert!(opened(&mut container).contains("No such device or address"));
    let written = does(&mut container, "(: > /dev/mine) 2>&1").join("\n");
    assert!(written.contains("Operation not permitted"), "{written}");
    assert_eq!(does(&mut container, "echo kept > /dev/null; echo $?"), ["0"]);
    gone(&carboy, container);
}

/// The files of a container's root that it counts in.
fn counted(carboy: &Carboy) -> u64 {
    let id = carboy.inspect("it")["Id"].as_str().unwrap().to_owned();
    let file = carboy.folder().join("root/containers").join(id).join("upper/count");
    fs::read_to_string(file).unwrap_or_default().lines().count().try_into().unwrap()
}

/// Starts a container called `it` that counts.
fn counting(carboy: &Carboy, flags: &[&str]) -> Attended {
    let root = carboy.busybox();
    let count = "trap 'exit 7' TERM; echo ready; while :; do echo >> /count; sleep 0.01; done";
    let words = ["run", "--name", "it"].into_iter().chain(flags.iter().copied());
    let mut container = Attended::start(&mut carboy.command(words.chain([root.to_str().unwrap(), "sh", "-c", count])));
    assert_eq!(container.line(), "ready");
    container
}

fn goes_on(carboy: &Carboy) {
    let before = counted(carboy);
    eventually("it counts", || counted(carboy) > before + 3);
}

fn stands_still(carboy: &Carboy) {
    let before = counted(carboy);
    sleep(Duration::from_millis(300));
    assert_eq!(counted(carboy), before);
}

fn succeeds(carboy: &Carboy, words: &[&str]) {
    let ended = carboy.run(words);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "it\n", ""), "{words:?}");
}

#[test]
fn a_paused_container_makes_no_progress_and_goes_on_where_it_was() {
    let carboy = Carboy::new();
    let container = counting(&carboy, &[]);
    goes_on(&carboy);
    let state = || {
        let state = carboy.inspect("it")["State"].clone();
        (state["Status"].clone(), state["Running"].clone(), state["Paused"].clone())
    };
    assert_eq!(state(), ("running".into(), true.into(), false.into()));
    succeeds(&carboy, &["pause", "it"]);
    stands_still(&carboy);
    assert_eq!(state(), ("paused".into(), true.into(), true.into()));
    assert!(carboy.run(["ps"]).stdout.contains(" (Paused)"), "{}", carboy.run(["ps"]).stdout);
    let conflict = |words: &[&str], part: &str| {
        let ended = carboy.run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{words:?}");
        assert!(ended.stderr.contains(part), "{words:?}: {}", ended.stderr);
    };
    conflict(&["pause", "it"], "it: is already paused");
    conflict(&["exec", "it", "true"], "it: is paused\nhint: let it go on first with carboy unpause it");
    updated(&carboy, &["--pids-limit", "44"]);
    assert_eq!(setting(&carboy, "it", "pids", ("max", "max")), "44");
    stands_still(&carboy);
    succeeds(&carboy, &["unpause", "it"]);
    goes_on(&carboy);
    conflict(&["unpause", "it"], "it: is not paused");
    assert!(!carboy.run(["ps"]).stdout.contains("Paused"));
    gone(&carboy, container);
    conflict(&["pause", "it"], "no such container");
}

#[test]
fn a_signal_waits_for_a_paused_container_to_go_on() {
    let carboy = Carboy::new();
    let container = counting(&carboy, &["--rm"]);
    succeeds(&carboy, &["pause", "it"]);
    succeeds(&carboy, &["kill", "-s", "TERM", "it"]);
    stands_still(&carboy);
    succeeds(&carboy, &["unpause", "it"]);
    assert_eq!(container.end().code, 7);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn a_paused_container_can_be_killed_and_removed() {
    let carboy = Carboy::new();
    for words in [&["kill", "it"][..], &["rm", "-f", "it"]] {
        let container = counting(&carboy, &["--rm"]);
        succeeds(&carboy, &["pause", "it"]);
        succeeds(&carboy, words);
        assert_eq!(container.end().code, 137);
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn several_containers_are_each_updated_by_themselves() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &[]);
    let ended = carboy.run(["update", "--pids-limit", "55", "nope", "it"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "it\n"));
    assert!(ended.stderr.contains("nope: no such container"), "{}", ended.stderr);
    assert_eq!(setting(&carboy, "it", "pids", ("max", "max")), "55");
    let ended = carboy.run(["update", "it"]);
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("there is nothing to change\nhint: give one or more flags"), "{}", ended.stderr);
    gone(&carboy, container);
}

#[test]
fn updates_at_once_come_one_after_the_other_and_none_is_lost() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &[]);
    let flags = [["--pids-limit", "61"], ["--cpu-shares", "300"], ["--cpus", "0.5"], ["--memory", "64m"]];
    std::thread::scope(|scope| {
        let carboy = &carboy;
        let threads = flags.map(|flags| scope.spawn(move || updated(carboy, &flags)));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let resources = &carboy.inspect("it")["HostConfig"]["Resources"];
    let found = (&resources["pids"]["limit"], &resources["cpu"]["shares"], &resources["cpu"]["quota"]);
    assert_eq!(found, (&61.into(), &300.into(), &50_000.into()));
    assert_eq!(resources["memory"]["limit"], 64 << 20);
    gone(&carboy, container);
}

#[test]
fn what_was_changed_is_remembered_when_the_container_has_ended_and_can_be_changed_then() {
    let carboy = Carboy::new();
    let container = obeying(&carboy, &["--pids-limit", "20"]);
    updated(&carboy, &["--pids-limit", "30", "-m", "64m"]);
    assert_eq!(container.end().code, 0);
    let resources = || carboy.inspect("it")["HostConfig"]["Resources"].clone();
    assert_eq!(resources()["pids"]["limit"], 30);
    updated(&carboy, &["--pids-limit", "40"]);
    assert_eq!((&resources()["pids"]["limit"], &resources()["memory"]["limit"]), (&40.into(), &(64 << 20).into()));
    refused(&carboy, &["--cpuset-cpus", "4000"], &["--cpuset-cpus 4000"]);
    assert_eq!(carboy.inspect("it")["State"]["ExitCode"], 0);
    assert_eq!(carboy.run(["pause", "it"]).code, 1);
    assert_eq!(carboy.run(["rm", "it"]).code, 0);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn the_table_of_limits_is_that_of_the_document_and_tells_of_this_host() {
    let carboy = Carboy::new();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
    // In another machine the sources are not there.
    if let Ok(document) = fs::read_to_string(document) {
        assert_eq!(carboy.run(["explain", "limits", "--markdown"]).stdout, document);
    }
    let ended = carboy.run(["explain", "limits", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let settings: Vec<serde_json::Value> = serde_json::from_str(&ended.stdout).unwrap();
    let memory = settings.iter().find(|setting| setting["flag"] == "--memory").unwrap();
    assert_eq!(memory["here"], either("memory", "v1", "v2"));
    let shown = carboy.run(["explain", "limits"]).stdout;
    for setting in &settings {
        let told = setting["here"].is_string() != setting["absent"].is_string();
        assert!(told, "{setting}");
        for file in [&setting["v1"]["file"], &setting["v2"]["file"], &setting["flag"], &setting["effect"]] {
            let first = file.as_str().unwrap_or_default().split(' ').next().unwrap();
            assert!(shown.contains(first), "{first}");
        }
    }
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}
