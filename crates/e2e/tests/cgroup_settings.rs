//! Every limit that `carboy explain limits` tells of is given to a container by its flag and read back from the file that
//! the table names, in v1 or v2, as this host has it; where it has neither, the flag is refused.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::path::PathBuf;

use carboy_e2e::disk::Disk;
use carboy_e2e::group::{Version, hierarchy};
use carboy_e2e::{Attended, Carboy};
use serde_json::Value;

/// How a setting is asked for, and the line by which each file that may hold it says so.
struct Case {
    flag: &'static str,
    words: &'static [&'static str],
    says: &'static [(&'static str, &'static str)],
}

const fn case(
    flag: &'static str,
    words: &'static [&'static str],
    says: &'static [(&'static str, &'static str)],
) -> Case {
    Case { flag, words, says }
}

/// `DISK` and `MAJOR:MINOR` stand for a disk of the test, `RDMA` and `RESOURCE` for what this host has of them.
const CASES: &[Case] = &[
    case("--cpu-shares", &["--cpu-shares", "512"], &[("cpu.shares", "512"), ("cpu.weight", "59")]),
    case("--cpus", &["--cpus", "0.75"], &[("cpu.cfs_quota_us", "75000"), ("cpu.max", "75000 100000")]),
    case("--cpu-quota", &["--cpu-quota", "30000"], &[("cpu.cfs_quota_us", "30000"), ("cpu.max", "30000 100000")]),
    case("--cpu-period", &["--cpu-period", "50000"], &[("cpu.cfs_period_us", "50000"), ("cpu.max", "max 50000")]),
    case(
        "--cpu-burst",
        &["--cpu-quota", "50000", "--cpu-burst", "10000"],
        &[("cpu.cfs_burst_us", "10000"), ("cpu.max.burst", "10000")],
    ),
    case("--cpu-idle", &["--cpu-idle"], &[("cpu.idle", "1")]),
    case(
        "--cpu-rt-period",
        &["--cpu-rt-period", "500000", "--cpu-rt-runtime", "1000"],
        &[("cpu.rt_period_us", "500000")],
    ),
    case("--cpu-rt-runtime", &["--cpu-rt-runtime", "2000"], &[("cpu.rt_runtime_us", "2000")]),
    case("--cpuset-cpus", &["--cpuset-cpus", "0"], &[("cpuset.cpus", "0")]),
    case("--cpuset-mems", &["--cpuset-mems", "0"], &[("cpuset.mems", "0")]),
    case(
        "--cgroup-conf",
        &["--cpuset-cpus", "0", "--cgroup-conf", "cpuset.cpus.partition=root"],
        &[("cpuset.cpus.partition", "root")],
    ),
    case("--memory", &["--memory", "64m"], &[("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864")]),
    case(
        "--memory-swap",
        &["--memory", "64m", "--memory-swap", "100m"],
        &[("memory.memsw.limit_in_bytes", "104857600"), ("memory.swap.max", "37748736")],
    ),
    case(
        "--memory-reservation",
        &["--memory-reservation", "32m"],
        &[("memory.soft_limit_in_bytes", "33554432"), ("memory.low", "33554432")],
    ),
    case("--memory-swappiness", &["--memory-swappiness", "30"], &[("memory.swappiness", "30")]),
    case(
        "--oom-kill-disable",
        &["--memory", "64m", "--oom-kill-disable"],
        &[("memory.oom_control", "oom_kill_disable 1")],
    ),
    case("--kernel-memory", &["--kernel-memory", "64m"], &[]),
    case("--kernel-memory-tcp", &["--kernel-memory-tcp", "8m"], &[("memory.kmem.tcp.limit_in_bytes", "8388608")]),
    case("--cgroup-conf", &["--cgroup-conf", "memory.high=64m"], &[("memory.high", "67108864")]),
    case("--cgroup-conf", &["--cgroup-conf", "memory.min=16m"], &[("memory.min", "16777216")]),
    case("--cgroup-conf", &["--cgroup-conf", "memory.oom.group=1"], &[("memory.oom.group", "1")]),
    case(
        "--blkio-weight",
        &["--blkio-weight", "300"],
        &[
            ("blkio.bfq.weight", "300"),
            ("blkio.weight", "300"),
            ("io.bfq.weight", "default 300"),
            ("io.weight", "default 2930"),
        ],
    ),
    case(
        "--blkio-weight-device",
        &["--blkio-weight-device", "DISK:400"],
        &[
            ("blkio.bfq.weight_device", "MAJOR:MINOR 400"),
            ("blkio.weight_device", "MAJOR:MINOR 400"),
            ("io.bfq.weight", "MAJOR:MINOR 400"),
            ("io.weight", "MAJOR:MINOR 3940"),
        ],
    ),
    case(
        "--device-read-bps",
        &["--device-read-bps", "DISK:1m"],
        &[
            ("blkio.throttle.read_bps_device", "MAJOR:MINOR 1048576"),
            ("io.max", "MAJOR:MINOR rbps=1048576 wbps=max riops=max wiops=max"),
        ],
    ),
    case(
        "--device-write-bps",
        &["--device-write-bps", "DISK:2m"],
        &[
            ("blkio.throttle.write_bps_device", "MAJOR:MINOR 2097152"),
            ("io.max", "MAJOR:MINOR rbps=max wbps=2097152 riops=max wiops=max"),
        ],
    ),
    case(
        "--device-read-iops",
        &["--device-read-iops", "DISK:30"],
        &[
            ("blkio.throttle.read_iops_device", "MAJOR:MINOR 30"),
            ("io.max", "MAJOR:MINOR rbps=max wbps=max riops=30 wiops=max"),
        ],
    ),
    case(
        "--device-write-iops",
        &["--device-write-iops", "DISK:40"],
        &[
            ("blkio.throttle.write_iops_device", "MAJOR:MINOR 40"),
            ("io.max", "MAJOR:MINOR rbps=max wbps=max riops=max wiops=40"),
        ],
    ),
    case("--pids-limit", &["--pids-limit", "33"], &[("pids.max", "33")]),
    case("--device", &["--device", "/dev/kmsg:/dev/kmsg:r"], &[("devices.allow", "c 1:11 r")]),
    case("--device-cgroup-rule", &["--device-cgroup-rule", "c 240:17 rw"], &[("devices.allow", "c 240:17 rw")]),
    case("--net-cls-classid", &["--net-cls-classid", "10:2"], &[("net_cls.classid", "1048578")]),
    case("--net-prio", &["--net-prio", "lo=5"], &[("net_prio.ifpriomap", "lo 5")]),
    case(
        "--hugetlb-limit",
        &["--hugetlb-limit", "2MB=4m"],
        &[
            ("hugetlb.*.limit_in_bytes", "4194304"),
            ("hugetlb.*.rsvd.limit_in_bytes", "4194304"),
            ("hugetlb.*.max", "4194304"),
            ("hugetlb.*.rsvd.max", "4194304"),
        ],
    ),
    case("--rdma-limit", &["--rdma-limit", "RDMA:hca_handle=2"], &[("rdma.max", "RDMA hca_handle=2 hca_object=max")]),
    case("--cgroup-conf", &["--cgroup-conf", "misc.max=RESOURCE 1"], &[("misc.max", "RESOURCE 1")]),
];

impl Case {
    /// The case of a row of the table: where the flag writes to any file of v2, the one for this file.
    fn of(row: &Value) -> Option<&'static Self> {
        let files = files(row);
        let is = |case: &&Self| {
            let line_of = |file: &&String| case.says.iter().any(|(said, _)| said == file);
            case.flag == row["flag"] && files.iter().all(|file| line_of(&file))
        };
        CASES.iter().find(is)
    }

    /// What a file must say; of a partition that the kernel doubts, the reason stands behind.
    fn is_said(&self, text: &str, file: &str, things: &Things) -> bool {
        let wanted = self.says.iter().find(|(said, _)| *said == file).map(|(_, line)| things.put_into(line)).unwrap();
        let doubted = format!("{wanted} invalid ");
        text.lines().any(|line| line.trim() == wanted || line.starts_with(&doubted))
    }
}

/// The files of a row, of v1 and of v2.
fn files(row: &Value) -> Vec<String> {
    [&row["v1"]["file"], &row["v2"]["file"]].into_iter().filter_map(|file| file.as_str().map(str::to_owned)).collect()
}

/// The rows of the table that a flag asks for.
fn rows(carboy: &Carboy) -> Vec<Value> {
    let ended = carboy.run(["explain", "limits", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    rows.into_iter().filter(|row| row["flag"].is_string()).collect()
}

/// What the words of the cases stand for here.
struct Things {
    disk: Disk,
    rdma: Option<String>,
    resource: Option<String>,
}

impl Things {
    fn new(carboy: &Carboy) -> Self {
        let disk = Disk::new(carboy);
        // The weight of one disk is a matter of its scheduler.
        disk.schedule_by("bfq");
        let devices = fs::read_dir("/sys/class/infiniband").into_iter().flatten().flatten();
        let capacity = hierarchy("misc").point().join("misc.capacity");
        let capacity = fs::read_to_string(capacity).unwrap_or_default();
        Self {
            disk,
            rdma: devices.map(|entry| entry.file_name().into_string().unwrap()).next(),
            resource: capacity.split_whitespace().next().map(str::to_owned),
        }
    }

    fn put_into(&self, word: &str) -> String {
        let word = word.replace("DISK", self.disk.node()).replace("MAJOR:MINOR", &self.disk.numbers());
        let word = word.replace("RDMA", self.rdma.as_deref().unwrap_or("mlx5_0"));
        word.replace("RESOURCE", self.resource.as_deref().unwrap_or("sev"))
    }

    /// Whether this host has what the setting is about, besides the setting itself.
    fn has(&self, case: &Case) -> bool {
        let speaks_of = |name: &str| case.words.iter().any(|word| word.contains(name));
        (!speaks_of("RDMA") || self.rdma.is_some()) && (!speaks_of("RESOURCE") || self.resource.is_some())
    }
}

#[test]
fn every_flag_of_the_table_is_tried_and_nothing_else() {
    let carboy = Carboy::new();
    let rows = rows(&carboy);
    let untried: Vec<&Value> = rows.iter().filter(|row| Case::of(row).is_none()).collect();
    assert_eq!(untried, Vec::<&Value>::new());
    let told =
        |flag: &str, file: &str| rows.iter().any(|row| row["flag"] == flag && files(row).iter().any(|one| one == file));
    for case in CASES {
        assert!(rows.iter().any(|row| row["flag"] == case.flag), "{} is not in the table", case.flag);
        for (file, _) in case.says {
            assert!(told(case.flag, file), "{} of {} is not in the table", file, case.flag);
        }
    }
}

#[test]
fn each_limit_is_read_back_from_the_file_that_the_table_names_or_refused_by_its_flag() {
    let carboy = Carboy::new();
    let things = Things::new(&carboy);
    let rows = rows(&carboy);
    let mut wrong = Vec::new();
    for case in CASES {
        let rows: Vec<&Value> =
            rows.iter().filter(|row| Case::of(row).is_some_and(|of| std::ptr::eq(of, case))).collect();
        let here: Vec<&Value> = rows.iter().copied().filter(|row| row["here"].is_string()).collect();
        let found = match (case.flag, here.as_slice()) {
            // As OCI has it, what no kernel has any more is no error.
            ("--kernel-memory", []) => left_out(&carboy, case),
            (_, []) => refused(&carboy, case, &things),
            _ if !things.has(case) => refused(&carboy, case, &things),
            (_, here) => read_back(&carboy, case, here, &things),
        };
        wrong.extend(found.err().map(|found| format!("{:?}: {found}", case.words)));
        wrong.extend(carboy.left_behind().into_iter().map(|left| format!("{:?} left {left}", case.words)));
    }
    assert_eq!(wrong, Vec::<String>::new(), "{}", wrong.join("\n"));
}

fn words(carboy: &Carboy, case: &Case, things: &Things, script: &str) -> Vec<String> {
    let root = carboy.busybox();
    let words = ["run", "--rm", "-i", "--name", "it"].map(str::to_owned).into_iter();
    let words = words.chain(case.words.iter().map(|word| things.put_into(word)));
    words.chain([root.to_str().unwrap(), "sh", "-c", script].map(str::to_owned)).collect()
}

/// The container runs, and each file that holds the setting here says so.
fn read_back(carboy: &Carboy, case: &Case, rows: &[&Value], things: &Things) -> Result<(), String> {
    let mut container = Attended::start(&mut carboy.command(words(carboy, case, things, "echo ready; read -r go")));
    if container.line() != "ready" {
        return Err(container.end().stderr);
    }
    let mut unsaid = Vec::new();
    for row in rows {
        let version = row["here"].as_str().unwrap();
        // A program or a mark has no file.
        let Some(file) = row[version]["file"].as_str() else { continue };
        let path = path(carboy, row["controller"].as_str().unwrap(), version, file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
        if !case.is_said(&text, file, things) {
            unsaid.push(format!("{} says {text:?}", path.display()));
        }
    }
    container.tell("go");
    let ended = container.end();
    if (ended.code, ended.stderr.as_str()) != (0, "") {
        return Err(format!("{ended:?}"));
    }
    // Each scheduler of disks has a file of its own.
    let is_said = unsaid.is_empty() || (case.flag.starts_with("--blkio-weight") && unsaid.len() < rows.len());
    if is_said { Ok(()) } else { Err(unsaid.join(", ")) }
}

/// Where the container's group has a file.
fn path(carboy: &Carboy, controller: &str, version: &str, file: &str) -> PathBuf {
    let place = hierarchy(if controller == "io" { "blkio" } else { controller });
    assert_eq!(version, if matches!(place, Version::V1(_)) { "v1" } else { "v2" }, "{controller}");
    let group = carboy.inspect("it")["CgroupPath"].as_str().unwrap().trim_start_matches('/').to_owned();
    // What is allowed is written to one file and read from another.
    let file = if file == "devices.allow" { "devices.list" } else { file };
    place.point().join(group).join(file.replace('*', "2MB"))
}

/// No container runs, and the message begins with the flag.
fn refused(carboy: &Carboy, case: &Case, things: &Things) -> Result<(), String> {
    let ended = carboy.run(words(carboy, case, things, "echo ran"));
    let named = ended.stderr.starts_with(&format!("error: cannot use {} ", case.flag));
    if (ended.code, ended.stdout.as_str(), named) == (125, "", true) { Ok(()) } else { Err(format!("{ended:?}")) }
}

/// The container runs, and it is told that the limit is none.
fn left_out(carboy: &Carboy, case: &Case) -> Result<(), String> {
    let root = carboy.busybox();
    let words = ["run", "--rm"].into_iter().chain(case.words.iter().copied());
    let ended = carboy.run(words.chain([root.to_str().unwrap(), "echo", "ran"]));
    let told = ended.stderr.contains(case.flag) && ended.stderr.contains("left out");
    if (ended.code, ended.stdout.as_str(), told) == (0, "ran\n", true) { Ok(()) } else { Err(format!("{ended:?}")) }
}
