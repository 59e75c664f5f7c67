//! Every flag of limits, with values that it takes and values that it refuses; in `update`, whose flags are those of `run`.

use lexopt::Parser;

use super::*;
use crate::flags::Read;
use crate::update::{UPDATE, Update};

fn update(words: &[&str]) -> Result<Update> {
    let mut update = Update::default();
    match UPDATE.read(&mut Parser::from_args(words), &mut update)? {
        Read::Words(_) => Ok(update),
        Read::Help => panic!("help"),
    }
}

/// Flag, value, and what is then found in the limits.
const GOOD: &[(&str, &str, &str)] = &[
    ("device-cgroup-rule", "c 1:* rw", "kind: Some(\"c\"), major: Some(1), minor: None, access: Some(\"rw\")"),
    ("memory", "64m", "memory: Some(At(67108864))"),
    ("memory", "1.5GiB", "memory: Some(At(1610612736))"),
    ("memory", "100 kb", "memory: Some(At(102400))"),
    ("memory", "7000000", "memory: Some(At(7000000))"),
    ("memory", "7000000b", "memory: Some(At(7000000))"),
    ("memory", "0", "memory: Some(Unlimited)"),
    ("memory-swap", "-1", "memory_swap: Some(Unlimited)"),
    ("memory-swap", "0", "memory_swap: None"),
    ("memory-swap", "1t", "memory_swap: Some(At(1099511627776))"),
    ("memory-reservation", "32m", "memory_reservation: Some(33554432)"),
    ("memory-reservation", "0", "memory_reservation: None"),
    ("cpus", "1.5", "nano_cpus: Some(1500000000)"),
    ("cpus", ".000000001", "nano_cpus: Some(1)"),
    ("cpu-period", "50000", "cpu_period_usec: Some(50000)"),
    ("cpu-period", "0", "cpu_period_usec: None"),
    ("cpu-quota", "25000", "cpu_quota_usec: Some(At(25000))"),
    ("cpu-quota", "-1", "cpu_quota_usec: Some(Unlimited)"),
    ("cpu-quota", "0", "cpu_quota_usec: None"),
    ("cpu-shares", "512", "cpu_shares: Some(512)"),
    ("cpu-shares", "0", "cpu_shares: None"),
    ("cpuset-cpus", "0-1,3", "cpuset_cpus: Some(Set { ranges: [(0, 1), (3, 3)] })"),
    ("cpuset-cpus", "", "cpuset_cpus: None"),
    ("cpuset-mems", "0", "cpuset_mems: Some(Set { ranges: [(0, 0)] })"),
    ("pids-limit", "20", "pids_limit: Some(At(20))"),
    ("pids-limit", "0", "pids_limit: Some(Unlimited)"),
    ("pids-limit", "-1", "pids_limit: Some(Unlimited)"),
    ("memory-swappiness", "0", "memory_swappiness: Some(0)"),
    ("memory-swappiness", "100", "memory_swappiness: Some(100)"),
    ("memory-swappiness", "-1", "memory_swappiness: None"),
    ("kernel-memory", "64m", "kernel_memory: Some(At(67108864))"),
    ("kernel-memory", "-1", "kernel_memory: Some(Unlimited)"),
    ("kernel-memory", "0", "kernel_memory: None"),
    ("kernel-memory-tcp", "4m", "kernel_memory_tcp: Some(At(4194304))"),
    ("oom-kill-disable", "true", "oom_kill_disable: Some(true)"),
    ("oom-kill-disable", "false", "oom_kill_disable: Some(false)"),
    ("cpu-burst", "5000", "cpu_burst_usec: Some(5000)"),
    ("cpu-burst", "0", "cpu_burst_usec: Some(0)"),
    ("cpu-idle", "1", "cpu_idle: Some(true)"),
    ("cpu-idle", "0", "cpu_idle: Some(false)"),
    ("cpu-rt-period", "1000000", "cpu_rt_period_usec: Some(1000000)"),
    ("cpu-rt-runtime", "950000", "cpu_rt_runtime_usec: Some(At(950000))"),
    ("cpu-rt-runtime", "-1", "cpu_rt_runtime_usec: Some(Unlimited)"),
    ("blkio-weight", "10", "blkio_weight: Some(10)"),
    ("blkio-weight", "1000", "blkio_weight: Some(1000)"),
    ("blkio-weight", "0", "blkio_weight: None"),
    ("blkio-weight-device", "/dev/sda:500", "blkio_weight_device: [DiskWeight { disk: \"/dev/sda\", weight: 500 }]"),
    ("blkio-weight-device", "/dev/a:b:0", "blkio_weight_device: [DiskWeight { disk: \"/dev/a:b\", weight: 0 }]"),
    ("device-read-bps", "/dev/sda:1mb", "device_read_bps: [DiskRate { disk: \"/dev/sda\", rate: 1048576 }]"),
    ("device-write-bps", "/dev/sda:0", "device_write_bps: [DiskRate { disk: \"/dev/sda\", rate: 0 }]"),
    ("device-read-iops", "/dev/sda:100", "device_read_iops: [DiskRate { disk: \"/dev/sda\", rate: 100 }]"),
    ("device-write-iops", "/dev/sda:7", "device_write_iops: [DiskRate { disk: \"/dev/sda\", rate: 7 }]"),
    ("net-cls-classid", "0x100001", "net_cls_classid: Some(1048577)"),
    ("net-cls-classid", "1048577", "net_cls_classid: Some(1048577)"),
    ("net-cls-classid", "10:1", "net_cls_classid: Some(1048577)"),
    ("net-cls-classid", "0", "net_cls_classid: Some(0)"),
    ("net-prio", "eth0=5", "net_prio: {\"eth0\": 5}"),
    ("hugetlb-limit", "2MB=64m", "hugetlb: {\"2MB\": 67108864}"),
    ("hugetlb-limit", "1g=0", "hugetlb: {\"1GB\": 0}"),
    ("hugetlb-limit", "64KB=1m", "hugetlb: {\"64KB\": 1048576}"),
    ("rdma-limit", "mlx5_0:hca_handle=2", "rdma: {\"mlx5_0\": Rdma { hca_handles: Some(2), hca_objects: None }}"),
    ("rdma-limit", "a:hca_object=3,hca_handle=2", "Rdma { hca_handles: Some(2), hca_objects: Some(3) }"),
    ("cgroup-conf", "memory.high=64m", "unified: {\"memory.high\": \"64m\"}"),
    ("cgroup-conf", "io.max=8:0 rbps=1", "unified: {\"io.max\": \"8:0 rbps=1\"}"),
];

/// Flags and values that are refused.
const BAD: &[(&str, &str)] = &[
    ("device-cgroup-rule", "c 1:3"),
    ("device-cgroup-rule", "x 1:3 rwm"),
    ("memory", "-1"),
    ("memory", "64x"),
    ("memory", "m"),
    ("memory", "1.2.3m"),
    ("memory", "9000p"),
    ("memory-swap", "-2"),
    ("memory-reservation", "lots"),
    ("cpus", "0"),
    ("cpus", "-1"),
    ("cpus", "two"),
    ("cpu-period", "-5"),
    ("cpu-quota", "half"),
    ("cpu-shares", "-1"),
    ("cpuset-cpus", "0-"),
    ("cpuset-mems", "a"),
    ("pids-limit", "some"),
    ("memory-swappiness", "101"),
    ("memory-swappiness", "-2"),
    ("kernel-memory", "much"),
    ("kernel-memory-tcp", "-2"),
    ("oom-kill-disable", "no"),
    ("cpu-burst", "-1"),
    ("cpu-idle", "2"),
    ("cpu-rt-period", "x"),
    ("cpu-rt-runtime", "x"),
    ("blkio-weight", "1"),
    ("blkio-weight", "9"),
    ("blkio-weight", "1001"),
    ("blkio-weight", "-1"),
    ("blkio-weight-device", "/dev/sda"),
    ("blkio-weight-device", "sda:500"),
    ("blkio-weight-device", "/dev/sda:1001"),
    ("device-read-bps", "/dev/sda:fast"),
    ("device-read-bps", ":1m"),
    ("device-write-bps", "/dev/sda:-1"),
    ("device-read-iops", "/dev/sda:1m"),
    ("device-write-iops", "/dev/sda:"),
    ("net-cls-classid", "0x"),
    ("net-cls-classid", "10000:1"),
    ("net-cls-classid", "4294967296"),
    ("net-cls-classid", "web"),
    ("net-prio", "eth0"),
    ("net-prio", "=5"),
    ("net-prio", "eth0=-1"),
    ("hugetlb-limit", "2MB"),
    ("hugetlb-limit", "3MB=1m"),
    ("hugetlb-limit", "2MB=many"),
    ("rdma-limit", "mlx5_0"),
    ("rdma-limit", "mlx5_0:handles=2"),
    ("rdma-limit", "mlx5_0:hca_handle=2147483648"),
    ("cgroup-conf", "memory.high"),
    ("cgroup-conf", "../memory.high=1"),
    ("cgroup-conf", "a/memory.high=1"),
    ("cgroup-conf", "memory.high="),
];

#[test]
fn every_flag_takes_its_values() {
    for (flag, value, expected) in GOOD {
        let shown = update(&[&format!("--{flag}={value}"), "web"]).map(|update| format!("{:?}", update.limits));
        match shown {
            Ok(shown) => assert!(shown.contains(expected), "--{flag} {value}: {shown}"),
            Err(error) => panic!("--{flag} {value}: {error}"),
        }
    }
    for flag in LimitFlags::<Update>::ALL {
        assert!(GOOD.iter().any(|(tested, ..)| *tested == flag.name), "--{} is not tested", flag.name);
    }
}

#[test]
fn values_of_a_flag_that_is_repeated_are_collected_and_the_last_of_a_key_holds() {
    let words = ["--net-prio=a=1", "--net-prio=b=2", "--net-prio=a=3", "--device-read-bps=/dev/x:1", "web"];
    let limits = update(&words).unwrap().limits;
    assert_eq!(limits.net_prio, [("a".to_owned(), 3), ("b".to_owned(), 2)].into());
    assert_eq!(limits.device_read_bps.len(), 1);
}

#[test]
fn every_setting_that_has_a_flag_has_one_of_these() {
    for setting in cgroup::setting::all() {
        let Some(flag) = setting.flag else { continue };
        let known = LimitFlags::<Update>::ALL.iter().any(|known| flag.strip_prefix("--") == Some(known.name));
        assert!(known || flag == "--device", "{flag}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "the snapshot stands beside what gives it")]
fn a_refusal_names_flag_and_value_and_says_what_to_do() {
    let refusal = |(flag, value): &(&str, &str)| match update(&[&format!("--{flag}={value}"), "web"]) {
        Ok(update) => format!("TAKEN: {update:?}"),
        Err(error) => format!("{error}\n  {}", error.hint().unwrap_or("-")),
    };
    let lines: Vec<String> = BAD.iter().map(refusal).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    cannot use --device-cgroup-rule c 1:3: is no rule for devices
      use a, b or c, the numbers or *, and some of rwm: "c 1:3 rwm"
    cannot use --device-cgroup-rule x 1:3 rwm: is no rule for devices
      use a, b or c, the numbers or *, and some of rwm: "c 1:3 rwm"
    cannot use --memory -1: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --memory 64x: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --memory m: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --memory 1.2.3m: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --memory 9000p: is more than the kernel can count
      -
    cannot use --memory-swap -2: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --memory-reservation lots: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --cpus 0: would leave the container no CPU time
      use a number such as 0.5, and leave --cpus out for no limit
    cannot use --cpus -1: is not a number of CPUs
      use a number such as 0.5, and leave --cpus out for no limit
    cannot use --cpus two: is not a number of CPUs
      use a number such as 0.5, and leave --cpus out for no limit
    cannot use --cpu-period -5: is not a whole number from 0 up
      -
    cannot use --cpu-quota half: is not a whole number
      use -1 for no limit
    cannot use --cpu-shares -1: is not a whole number from 0 up
      -
    cannot use --cpuset-cpus 0-: is no list of numbers
      use numbers and ranges, such as 0-3,5
    cannot use --cpuset-mems a: is no list of numbers
      use numbers and ranges, such as 0-3,5
    cannot use --pids-limit some: is not a whole number
      use -1 for no limit
    cannot use --memory-swappiness 101: is not a whole number from 0 to 100
      60 is usual
    cannot use --memory-swappiness -2: is not a whole number from 0 to 100
      60 is usual
    cannot use --kernel-memory much: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --kernel-memory-tcp -2: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --oom-kill-disable no: is neither true nor false
      --oom-kill-disable or --oom-kill-disable=false
    cannot use --cpu-burst -1: is not a whole number from 0 up
      -
    cannot use --cpu-idle 2: is neither true nor false
      --cpu-idle or --cpu-idle=false
    cannot use --cpu-rt-period x: is not a whole number from 0 up
      -
    cannot use --cpu-rt-runtime x: is not a whole number
      use -1 for no limit
    cannot use --blkio-weight 1: is not a weight from 10 to 1000
      500 is usual
    cannot use --blkio-weight 9: is not a weight from 10 to 1000
      500 is usual
    cannot use --blkio-weight 1001: is not a weight from 10 to 1000
      500 is usual
    cannot use --blkio-weight -1: is not a weight from 10 to 1000
      500 is usual
    cannot use --blkio-weight-device /dev/sda: has no value after a device
      use a device and a value, such as /dev/sda:500
    cannot use --blkio-weight-device sda:500: has no absolute path
      use a device and a value, such as /dev/sda:500
    cannot use --blkio-weight-device /dev/sda:1001: has no weight from 10 to 1000 after the device
      500 is usual
    cannot use --device-read-bps /dev/sda:fast: has no size after the device
      use a size such as 1m, or 0 for no limit
    cannot use --device-read-bps :1m: has no absolute path
      use a device and a value, such as /dev/sda:1m
    cannot use --device-write-bps /dev/sda:-1: has no size after the device
      use a size such as 1m, or 0 for no limit
    cannot use --device-read-iops /dev/sda:1m: has no whole number after the device
      use 100, or 0 for no limit
    cannot use --device-write-iops /dev/sda:: has no whole number after the device
      use 100, or 0 for no limit
    cannot use --net-cls-classid 0x: is no class of packets
      use a number such as 0x100001, or major and minor as tc writes them: 10:1
    cannot use --net-cls-classid 10000:1: is no class of packets
      use a number such as 0x100001, or major and minor as tc writes them: 10:1
    cannot use --net-cls-classid 4294967296: is no class of packets
      use a number such as 0x100001, or major and minor as tc writes them: 10:1
    cannot use --net-cls-classid web: is no class of packets
      use a number such as 0x100001, or major and minor as tc writes them: 10:1
    cannot use --net-prio eth0: is not INTERFACE=NUMBER
      use the name of an interface of the host and a number, such as eth0=5
    cannot use --net-prio =5: is not INTERFACE=NUMBER
      use the name of an interface of the host and a number, such as eth0=5
    cannot use --net-prio eth0=-1: has no whole number after the interface
      use the name of an interface of the host and a number, such as eth0=5
    cannot use --hugetlb-limit 2MB: is not SIZE=BYTES
      use a size of huge pages and a limit, such as 2MB=64m
    cannot use --hugetlb-limit 3MB=1m: names no size of huge pages
      use a size of huge pages and a limit, such as 2MB=64m
    cannot use --hugetlb-limit 2MB=many: has no size for its limit
      use a size of huge pages and a limit, such as 2MB=64m
    cannot use --rdma-limit mlx5_0: is not DEVICE:LIMITS
      use a device and what it may use: mlx5_0:hca_handle=2
    cannot use --rdma-limit mlx5_0:handles=2: limits neither hca_handle nor hca_object
      use a device and what it may use: mlx5_0:hca_handle=2
    cannot use --rdma-limit mlx5_0:hca_handle=2147483648: has a limit that is no whole number from 0 to 2147483647
      use a device and what it may use: mlx5_0:hca_handle=2
    cannot use --cgroup-conf memory.high: is not FILE=VALUE
      use a file of cgroup v2 and what to write to it: memory.high=67108864
    cannot use --cgroup-conf ../memory.high=1: leads out of the container's own group
      use a file of cgroup v2 and what to write to it: memory.high=67108864
    cannot use --cgroup-conf a/memory.high=1: leads out of the container's own group
      use a file of cgroup v2 and what to write to it: memory.high=67108864
    cannot use --cgroup-conf memory.high=: has no value that could be written
      use a file of cgroup v2 and what to write to it: memory.high=67108864
    "#);
}
