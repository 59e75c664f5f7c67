//! Every setting of cpu, cpuset, memory and pids on the running kernel: set, read back, and changed in both directions.

use std::io::{BufRead, BufReader, Write as _};
use std::process::ChildStdout;

use rustix::fs::Mode;

use super::*;
use crate::write::Write;
use crate::{cpu, cpuset, memory, pids, pressure, unified};

const MIB: i64 = 1 << 20;

/// A shell in the groups of a test that waits for a word, does something, says so, and waits again.
struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(script: &str) -> Self {
        let script = format!("read go; {script}\necho done; read stop");
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = shell.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Lets it work; whether it came through.
    fn work(&mut self) -> bool {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.output.read_line(&mut String::new()).unwrap() > 0
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// dd holds its buffer until somebody reads what it writes.
const HOLD_32_MIB: &str =
    "exec 3<&0; dd if=/dev/zero bs=33554432 count=1 | { head -c 1 >/dev/null; echo done; read stop <&3; }";

fn version(groups: &Groups, controller: Controller) -> Version {
    groups.controlled(controller).unwrap().0
}

fn text(groups: &Groups, write: &Write) -> String {
    let (_, group) = groups.controlled(write.controller).unwrap();
    file::read(group, &write.file).unwrap()
}

/// Writes values in their order; the kernel has to take each.
fn put(groups: &Groups, writes: &[Write]) {
    for write in writes {
        let (_, group) = groups.controlled(write.controller).unwrap();
        file::write(group, &write.file, &write.value).unwrap_or_else(|errno| panic!("{write}: {errno}"));
    }
}

/// Writes a value, reads it back, and puts the former back.
fn put_and_take_back(groups: &Groups, write: &Write, read: &str) {
    let before = text(groups, write);
    put(groups, std::slice::from_ref(write));
    assert_eq!(text(groups, write).lines().next().unwrap(), read, "{write}");
    let former = Write { value: write.former(&before).unwrap(), ..write.clone() };
    put(groups, &[former]);
    assert_eq!(text(groups, write), before, "{write}");
}

fn changed_memory(groups: &Groups, limit: i64, swap: i64) -> error::Result<Vec<Write>> {
    let asked = oci::Memory { limit: Some(limit), swap: Some(swap), ..Default::default() };
    let now = groups.memory().unwrap();
    match version(groups, Controller::Memory) {
        Version::V1 => memory::change_v1(memory::plan_v1(&asked)?, &now),
        Version::V2 => memory::change_v2(memory::plan_v2(&asked)?, &now),
    }
}

#[test]
fn memory_and_swap_grow_and_shrink_in_every_combination() {
    let (_guard, groups) = made(&name(), r#"{"memory":{"limit":67108864,"swap":67108864}}"#);
    let limit_of = |value: i64| u64::try_from(value).map_or(Limit::Unlimited, Limit::At);
    let mib = |number: i64| if number < 0 { number } else { number * MIB };
    let pairs =
        [(64, 64), (128, 256), (64, 96), (32, 512), (256, 256), (16, 16), (32, -1), (-1, -1), (64, 64), (48, 128)];
    for (limit, swap) in pairs.map(|(limit, swap)| (mib(limit), mib(swap))) {
        put(&groups, &changed_memory(&groups, limit, swap).unwrap());
        let now = groups.memory().unwrap();
        let alone = if swap < 0 { Limit::Unlimited } else { limit_of(swap - limit) };
        assert_eq!((now.limit, now.swap_limit), (Some(limit_of(limit)), Some(alone)));
        assert_eq!(now.total_limit(), Some(limit_of(swap)));
    }
}

#[test]
fn v1_takes_memory_and_swap_in_no_other_order() {
    let (_guard, groups) = made(&name(), r#"{"memory":{"limit":67108864,"swap":67108864}}"#);
    let (version, group) = groups.controlled(Controller::Memory).unwrap();
    let mut writes = changed_memory(&groups, 128 * MIB, 128 * MIB).unwrap();
    if version == Version::V1 {
        writes.reverse();
        let first = writes.first().unwrap();
        assert_eq!(file::write(group, &first.file, &first.value), Err(rustix::io::Errno::INVAL), "{first}");
        let alone = oci::Memory { limit: Some(128 * MIB), ..Default::default() };
        let error = memory::change_v1(memory::plan_v1(&alone).unwrap(), &groups.memory().unwrap()).unwrap_err();
        assert_eq!(error.hint(), Some("change --memory-swap too"));
    } else {
        put(&groups, &writes);
    }
}

#[test]
fn the_other_settings_of_memory_read_back_and_are_taken_back() {
    let (_guard, groups) = made(&name(), r#"{"memory":{"limit":67108864}}"#);
    let asked = oci::Memory { reservation: Some(16 * MIB), ..Default::default() };
    if version(&groups, Controller::Memory) == Version::V2 {
        put_and_take_back(&groups, &memory::plan_v2(&asked).unwrap()[0], "16777216");
        for (file, value) in [("memory.high", "33554432"), ("memory.min", "4194304"), ("memory.oom.group", "1")] {
            put_and_take_back(&groups, &unified::plan_v2(file, value).unwrap(), value);
        }
        return;
    }
    let asked = oci::Memory { kernel_tcp: Some(8 * MIB), swappiness: Some(7), disable_oom_killer: Some(true), ..asked };
    let read = ["16777216", "8388608", "7", "oom_kill_disable 1"];
    let writes = memory::plan_v1(&asked).unwrap();
    assert_eq!(writes.len(), read.len());
    for (write, read) in writes.iter().zip(read) {
        put_and_take_back(&groups, write, read);
    }
}

#[test]
fn a_memory_limit_below_what_a_process_holds_is_refused_and_one_above_is_not() {
    let (guard, groups) = made(&name(), r#"{"memory":{"limit":134217728}}"#);
    let mut worker = Worker::start(HOLD_32_MIB);
    attach(&guard, &groups, worker.pid());
    assert!(worker.work());
    let now = groups.memory().unwrap();
    assert!(now.anon_bytes.unwrap() >= 32 << 20, "{now:?}");
    assert!(now.used_bytes().unwrap() >= 32 << 20 && now.peak_bytes.is_none_or(|peak| peak >= 32 << 20), "{now:?}");
    assert!(changed_memory(&groups, 16 * MIB, -1).unwrap_err().to_string().contains("that are used"));
    put(&groups, &changed_memory(&groups, 112 * MIB, -1).unwrap());
    assert_eq!(groups.memory().unwrap().oom_kills, Some(0));
}

#[test]
fn page_cache_of_a_disk_gives_way_to_a_smaller_limit_and_that_of_memory_does_not() {
    let (guard, groups) = made(&name(), r#"{"memory":{"limit":134217728}}"#);
    let folder = std::env::temp_dir();
    let path = folder.join(name());
    let mut worker = Worker::start(&format!("dd if=/dev/zero of={} bs=1048576 count=32 conv=fsync", path.display()));
    attach(&guard, &groups, worker.pid());
    let worked = worker.work();
    let (now, changed) = (groups.memory().unwrap(), changed_memory(&groups, 16 * MIB, -1));
    let put = changed.as_ref().is_ok_and(|writes| {
        put(&groups, writes);
        true
    });
    let after = groups.memory().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(worked && now.file_bytes.unwrap() >= 32 << 20, "{now:?}");
    // TMPFS_MAGIC, RAMFS_MAGIC: their files are memory that stands for nothing on a disk.
    let is_memory = matches!(rustix::fs::statfs(&folder).unwrap().f_type, 0x0102_1994 | 0x8584_58f6);
    assert_eq!(put, !is_memory, "{now:?} {changed:?}");
    assert!(is_memory || after.usage_bytes.unwrap() <= 16 << 20, "{after:?}");
}

#[test]
fn a_limit_that_is_hit_and_the_killing_are_counted() {
    for swap in [16 * MIB, 32 * MIB] {
        let (guard, groups) = made(&name(), &format!(r#"{{"memory":{{"limit":16777216,"swap":{swap}}}}}"#));
        let mut worker = Worker::start(HOLD_32_MIB);
        attach(&guard, &groups, worker.pid());
        worker.work();
        let now = groups.memory().unwrap();
        // Where the host has swap, a part of it is enough.
        assert!(now.oom_kills.unwrap() > 0 || swap > 16 * MIB, "{now:?}");
        match version(&groups, Controller::Memory) {
            Version::V1 => {
                assert_eq!(now.oom_events, None);
                let is_told = now.swap_limit != Some(Limit::At(0));
                assert!(now.limit_hits.map_or(!is_told, |hits| hits > 0), "{now:?}");
            }
            Version::V2 => {
                assert!(now.oom_events.unwrap() > 0 || now.oom_kills == Some(0), "{now:?}");
                assert!(now.limit_hits.unwrap() > 0, "{now:?}");
            }
        }
    }
}

fn change_cpu(groups: &Groups, asked: &oci::Cpu) {
    let now = groups.cpu().unwrap();
    let writes = match version(groups, Controller::Cpu) {
        Version::V1 => cpu::change_v1(cpu::plan_v1(asked, None).unwrap(), &now).unwrap(),
        Version::V2 => cpu::change_v2(cpu::plan_v2(asked).unwrap(), &now).unwrap(),
    };
    put(groups, &writes);
}

fn bandwidth(quota: i64, period: u64, burst: u64) -> oci::Cpu {
    oci::Cpu { quota: Some(quota), period: Some(period), burst: Some(burst), ..Default::default() }
}

#[test]
fn bandwidth_grows_and_shrinks_below_a_parent_that_has_no_more() {
    let parent = name();
    let (_guard, _groups) = made(&parent, r#"{"cpu":{"quota":20000,"period":100000}}"#);
    let (_inner, groups) = made(&format!("/{parent}/web"), r#"{"cpu":{"quota":10000,"period":50000}}"#);
    let steps = [
        (200_000, 1_000_000, 0),
        (10_000, 50_000, 10_000),
        (20_000, 100_000, 20_000),
        (1_000, 5_000, 500),
        (-1, 100_000, 0),
        (20_000, 100_000, 20_000),
        (5_000, 1_000_000, 5_000),
        (-1, 50_000, 0),
        (2_000, 10_000, 0),
    ];
    for (quota, period, burst) in steps {
        change_cpu(&groups, &bandwidth(quota, period, burst));
        let now = groups.cpu().unwrap();
        let quota = u64::try_from(quota).map_or(Limit::Unlimited, Limit::At);
        assert_eq!((now.quota_usec, now.period_usec, now.burst_usec), (Some(quota), Some(period), Some(burst)));
    }
}

#[test]
fn weight_reads_back_and_an_idle_group_takes_none() {
    let (_guard, groups) = made(&name(), r#"{"cpu":{"shares":512}}"#);
    let weight = |shares: u64| match version(&groups, Controller::Cpu) {
        Version::V1 => cpu::Weight::Shares(shares),
        Version::V2 => cpu::Weight::Weight(cpu::weight_of_shares(shares).into()),
    };
    assert_eq!(groups.cpu().unwrap().weight, Some(weight(512)));
    for (shares, idle) in [(2, 0), (262_144, 0), (512, 1), (256, 1), (1024, 0), (2048, 1), (4096, 0)] {
        change_cpu(&groups, &oci::Cpu { shares: Some(shares), idle: Some(idle), ..Default::default() });
        let now = groups.cpu().unwrap();
        assert_eq!(now.idle, Some(idle == 1));
        assert!(idle == 1 || now.weight == Some(weight(shares)), "{now:?}");
    }
}

#[test]
fn realtime_time_grows_and_shrinks_where_the_kernel_divides_it() {
    let (_guard, groups) = made(&name(), r#"{"cpu":{"shares":512}}"#);
    let realtime = |runtime, period| oci::Cpu {
        realtime_runtime: Some(runtime),
        realtime_period: Some(period),
        ..Default::default()
    };
    let (version, group) = groups.controlled(Controller::Cpu).unwrap();
    if version == Version::V2 {
        assert!(cpu::plan_v2(&realtime(100, 1_000)).is_err());
        return;
    }
    if groups.cpu().unwrap().realtime_runtime_usec.is_none() {
        let writes = cpu::plan_v1(&realtime(100, 1_000), None).unwrap();
        assert_eq!(file::write(group, &writes[0].file, "1"), Err(rustix::io::Errno::NOENT), "built without it");
        return;
    }
    // Little of it: all groups of the host together have 95 % at most.
    for (runtime, period) in [(100, 10_000), (1_000, 100_000), (100, 10_000), (0, 1_000_000)] {
        change_cpu(&groups, &realtime(runtime, period));
        let now = groups.cpu().unwrap();
        let read = (now.realtime_runtime_usec, now.realtime_period_usec);
        assert_eq!(read, (Some(runtime.unsigned_abs()), Some(period)));
    }
}

#[test]
fn cpu_time_is_counted_and_a_quota_that_runs_out_too() {
    let (guard, groups) = made(&name(), r#"{"cpu":{"quota":10000,"period":100000}}"#);
    let mut worker = Worker::start("i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done");
    attach(&guard, &groups, worker.pid());
    assert!(worker.work());
    let (cpu, used) = (groups.cpu().unwrap(), groups.cpuacct().unwrap());
    assert!(cpu.throttled_periods.unwrap() > 0 && cpu.throttled_usec.unwrap() > 0, "{cpu:?}");
    assert!(used.usage_usec.unwrap() > 10_000 && used.user_usec.is_some() && used.system_usec.is_some(), "{used:?}");
}

#[test]
fn cpus_and_nodes_are_taken_away_and_given_back() {
    let (guard, groups) = made(&name(), r#"{"cpu":{"cpus":"0","mems":"0"}}"#);
    let sleeper = Sleeper::start();
    attach(&guard, &groups, sleeper.pid());
    let last = std::thread::available_parallelism().unwrap().get() - 1;
    for cpus in [last.to_string(), format!("0-{last}"), "0".to_owned()] {
        let list = if last == 0 { "0".to_owned() } else { cpus };
        let asked = oci::Cpu { cpus: Some(list.clone()), mems: Some("0".into()), ..Default::default() };
        let writes = cpuset::plan_v2(&asked, None).unwrap();
        put(&groups, &writes);
        assert_eq!(text(&groups, &writes[0]).trim(), list);
        let status = std::fs::read_to_string(format!("/proc/{}/status", sleeper.0.id())).unwrap();
        assert!(status.contains(&format!("Cpus_allowed_list:\t{list}\n")), "{status}");
    }
}

#[test]
fn an_existing_v1_parent_without_cpus_is_filled_from_the_one_above() {
    let parent = name();
    let (guard, groups) = made(&parent, "{}");
    let (version, group) = groups.controlled(Controller::Cpuset).unwrap();
    rustix::fs::mkdirat(group, "empty", Mode::from_raw_mode(0o755)).unwrap();
    let empty = GroupPath::parse("", &format!("/{parent}/empty")).unwrap();
    let path = empty.child("", "web").unwrap();
    let facts = HostFacts::read(&guard.hierarchies, &path).unwrap();
    let asked = Asked { resources: &oci::Resources::default(), defaulted: &[] };
    let plan = plan(&guard.hierarchies, &facts, &path, &asked).unwrap();
    let filled = plan.writes().filter(|(place, _)| place.path == empty).count();
    let available = facts.cpuset.unwrap();
    assert!(available.cpus.contains(0) && available.mems.contains(0), "{available:?}");
    assert_eq!((filled, available.hollow.len()), if version == Version::V1 { (2, 1) } else { (0, 0) });
}

#[test]
fn a_limit_of_tasks_is_changed_and_the_level_that_it_was_hit_at_is_told() {
    let parent = name();
    let (_outer, above) = made(&parent, r#"{"pids":{"limit":100}}"#);
    let (guard, groups) = made(&format!("/{parent}/web"), r#"{"pids":{"limit":4194304}}"#);
    for (limit, read) in [(50, Limit::At(50)), (-1, Limit::Unlimited), (2, Limit::At(2)), (-1, Limit::Unlimited)] {
        put(&groups, &pids::plan_v1(&oci::Pids { limit: Some(limit) }).unwrap());
        assert_eq!(groups.pids().unwrap().limit, Some(read));
    }
    put(&above, &pids::plan_v1(&oci::Pids { limit: Some(1) }).unwrap());
    let mut worker = Worker::start("(:)");
    attach(&guard, &groups, worker.pid());
    worker.work();
    let (own, cause) = (groups.pids().unwrap(), above.pids().unwrap());
    assert_eq!(own.current.filter(|_| worker.child.try_wait().unwrap().is_none()).unwrap_or(1), 1);
    if own.limit_hits.is_some() {
        assert_eq!((own.limit_hits, own.refused_forks, cause.refused_forks), (Some(0), None, None));
        assert!(cause.limit_hits.unwrap() > 0, "{cause:?}");
    } else {
        assert!(own.refused_forks.unwrap() > 0, "{own:?}");
        assert_eq!(cause.refused_forks, Some(0));
    }
}

#[test]
fn processes_that_wait_for_a_cpu_are_seen_in_the_v2_group_on_every_host_that_has_one() {
    let (guard, groups) = made(&name(), "{}");
    let unified = guard.hierarchies.unified().filter(|index| guard.plan.attach.contains(index));
    let Some(group) = unified.map(|index| groups.group(index).unwrap()) else {
        assert!(groups.present().all(|(_, hierarchy)| hierarchy.version == Version::V1));
        return;
    };
    let busy = std::thread::available_parallelism().unwrap().get() + 1;
    let mut workers: Vec<Worker> = (0..busy).map(|_| Worker::start("while :; do :; done")).collect();
    for worker in &mut workers {
        attach(&guard, &groups, worker.pid());
        worker.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let pressure = pressure::stats_v2(|name| file::read(group, name).ok());
    drop(workers);
    if std::fs::read("/proc/pressure/cpu").is_err() {
        assert_eq!(pressure, pressure::Stats::default());
        return;
    }
    assert!(pressure.cpu.unwrap().some.unwrap().total_usec > 0, "{pressure:?}");
    assert!(pressure.memory.is_some() && pressure.io.is_some());
}
