//! Limits in the specification's terms, and new ones over those that a container has. Runtime specification,
//! config-linux.md "Control groups".

use std::path::Path;

use error::{Refused, Result};
use oci::{
    BlockIo, Cpu, HugepageLimit, InterfacePriority, Memory, Network, Pids, Resources, ThrottleDevice, WeightDevice,
};

use crate::disk::Disk;
use crate::options::{DiskRate, Limit, Limits};

/// What is asked for, and nothing besides.
///
/// # Errors
/// Refused for a block device that is not among `disks`.
pub fn asked(limits: &Limits, disks: &[Disk]) -> Result<Resources> {
    let present = |memory: Memory| (memory != Memory::default()).then_some(memory);
    let cpu = cpu(limits);
    let network = Network { class_id: limits.net_cls_classid, priorities: priorities(limits) };
    let block_io = block_io(limits, disks)?;
    Ok(Resources {
        devices: limits.device_rules.clone(),
        memory: present(memory(limits)),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        pids: limits.pids_limit.map(|limit| Pids { limit: Some(number(limit)) }),
        block_io: (block_io != BlockIo::default()).then_some(block_io),
        hugepage_limits: huge_pages(limits),
        network: (network != Network::default()).then_some(network),
        rdma: limits.rdma.clone(),
        unified: limits.unified.clone(),
    })
}

fn memory(limits: &Limits) -> Memory {
    Memory {
        limit: limits.memory.map(number),
        reservation: limits.memory_reservation.map(|bytes| number(Limit::At(bytes))),
        swap: limits.memory_swap.map(number),
        kernel: limits.kernel_memory.map(number),
        kernel_tcp: limits.kernel_memory_tcp.map(number),
        swappiness: limits.memory_swappiness,
        disable_oom_killer: limits.oom_kill_disable,
        ..Memory::default()
    }
}

/// The total of memory and swap where none is asked for: as much swap as memory.
pub(super) fn usual_swap(limit: Option<i64>) -> Option<i64> {
    limit.filter(|limit| *limit > 0).map(|limit| limit.saturating_mul(2))
}

fn cpu(limits: &Limits) -> Cpu {
    let period = limits.nano_cpus.map(|_| cgroup::cpu::DEFAULT_PERIOD_USEC);
    let quota = limits.nano_cpus.map(|nano| Limit::At(nano / (1_000_000_000 / cgroup::cpu::DEFAULT_PERIOD_USEC)));
    Cpu {
        shares: limits.cpu_shares,
        quota: limits.cpu_quota_usec.or(quota).map(number),
        burst: limits.cpu_burst_usec,
        period: limits.cpu_period_usec.or(period),
        realtime_runtime: limits.cpu_rt_runtime_usec.map(number),
        realtime_period: limits.cpu_rt_period_usec,
        cpus: limits.cpuset_cpus.as_ref().map(ToString::to_string),
        mems: limits.cpuset_mems.as_ref().map(ToString::to_string),
        idle: limits.cpu_idle.map(i64::from),
    }
}

fn block_io(limits: &Limits, disks: &[Disk]) -> Result<BlockIo> {
    let numbers = |flag: &str, node: &Path| {
        let found = disks.iter().find(|disk| disk.node == node);
        let unread = || Refused::new(flag, node.display().to_string(), "was not looked for");
        found.map(|disk| (i64::from(disk.major), i64::from(disk.minor))).ok_or_else(unread)
    };
    let mut io = BlockIo { weight: limits.blkio_weight, ..BlockIo::default() };
    for asked in &limits.blkio_weight_device {
        let (major, minor) = numbers("--blkio-weight-device", &asked.disk)?;
        io.weight_device.push(WeightDevice { major, minor, weight: Some(asked.weight), leaf_weight: None });
    }
    let lists = [
        &mut io.throttle_read_bps_device,
        &mut io.throttle_write_bps_device,
        &mut io.throttle_read_iops_device,
        &mut io.throttle_write_iops_device,
    ];
    for (list, (flag, rates)) in lists.into_iter().zip(limits.throttles()) {
        for DiskRate { disk, rate } in rates {
            let (major, minor) = numbers(flag, disk)?;
            list.push(ThrottleDevice { major, minor, rate: *rate });
        }
    }
    Ok(io)
}

fn priorities(limits: &Limits) -> Vec<InterfacePriority> {
    let one = |(name, priority): (&String, &u32)| InterfacePriority { name: name.clone(), priority: *priority };
    limits.net_prio.iter().map(one).collect()
}

fn huge_pages(limits: &Limits) -> Vec<HugepageLimit> {
    let one = |(size, bytes): (&String, &u64)| HugepageLimit { page_size: size.clone(), limit: *bytes };
    limits.hugetlb.iter().map(one).collect()
}

/// A limit in the specification's numbers.
fn number(limit: Limit) -> i64 {
    match limit {
        Limit::Unlimited => -1,
        Limit::At(number) => i64::try_from(number).unwrap_or(i64::MAX),
    }
}

/// What a container is to have that has `former` and is asked to have `asked`: as [`Resources::merged`], and swap that
/// nobody asked for follows the limit of memory, as in a new container.
#[must_use]
pub fn merged(former: &Resources, asked: &Resources) -> Resources {
    let mut asked = asked.clone();
    if let Some(memory) = &mut asked.memory
        && memory.swap.is_none()
        && memory.limit.is_some()
    {
        let before = former.memory.clone().unwrap_or_default();
        let lifted = (Some(-1), Some(-1));
        if before.swap == usual_swap(before.limit) || (before.limit, before.swap) == lifted {
            memory.swap = usual_swap(memory.limit).or(before.swap.map(|_| -1));
        }
    }
    former.merged(&asked)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::options::DiskWeight;

    fn resources(json: &str) -> Resources {
        serde_json::from_str(json).unwrap()
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Resources {
        let mut limits = Limits::default();
        change(&mut limits);
        asked(&limits, &[Disk { node: PathBuf::from("/dev/x"), major: 8, minor: 16 }]).unwrap()
    }

    fn memory_of(former: &str, change: impl FnOnce(&mut Limits)) -> (Option<i64>, Option<i64>) {
        let memory = merged(&resources(former), &with(change)).memory.unwrap();
        (memory.limit, memory.swap)
    }

    #[test]
    fn nothing_asked_for_is_nothing() {
        assert_eq!(with(|_| {}), Resources::default());
    }

    #[test]
    fn every_limit_has_its_field() {
        let disk = PathBuf::from("/dev/x");
        let asked = with(|limits| {
            limits.memory_swappiness = Some(0);
            limits.kernel_memory = Some(Limit::At(1));
            limits.kernel_memory_tcp = Some(Limit::Unlimited);
            limits.oom_kill_disable = Some(false);
            limits.cpu_burst_usec = Some(0);
            limits.cpu_idle = Some(true);
            limits.cpu_rt_period_usec = Some(1_000_000);
            limits.cpu_rt_runtime_usec = Some(Limit::At(5));
            limits.blkio_weight = Some(10);
            limits.blkio_weight_device = vec![DiskWeight { disk: disk.clone(), weight: 20 }];
            limits.device_read_bps = vec![DiskRate { disk: disk.clone(), rate: 1 }];
            limits.device_write_bps = vec![DiskRate { disk: disk.clone(), rate: 2 }];
            limits.device_read_iops = vec![DiskRate { disk: disk.clone(), rate: 3 }];
            limits.device_write_iops = vec![DiskRate { disk, rate: 4 }];
            limits.net_cls_classid = Some(1);
            limits.net_prio.insert("eth0".to_owned(), 5);
            limits.hugetlb.insert("2MB".to_owned(), 6);
            limits.rdma.insert("mlx".to_owned(), oci::Rdma { hca_handles: Some(7), hca_objects: None });
            limits.unified.insert("memory.high".to_owned(), "8".to_owned());
        });
        let expected = resources(
            r#"{"memory":{"swappiness":0,"kernel":1,"kernelTCP":-1,"disableOOMKiller":false},
                "cpu":{"burst":0,"idle":1,"realtimePeriod":1000000,"realtimeRuntime":5},
                "blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":16,"weight":20}],
                    "throttleReadBpsDevice":[{"major":8,"minor":16,"rate":1}],
                    "throttleWriteBpsDevice":[{"major":8,"minor":16,"rate":2}],
                    "throttleReadIOPSDevice":[{"major":8,"minor":16,"rate":3}],
                    "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":4}]},
                "network":{"classID":1,"priorities":[{"name":"eth0","priority":5}]},
                "hugepageLimits":[{"pageSize":"2MB","limit":6}],
                "rdma":{"mlx":{"hcaHandles":7}},"unified":{"memory.high":"8"}}"#,
        );
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_disk_that_was_not_read_is_refused() {
        let limits = Limits { device_read_bps: vec![DiskRate { disk: "/dev/y".into(), rate: 1 }], ..Limits::default() };
        assert!(asked(&limits, &[]).is_err());
    }

    #[test]
    fn what_is_asked_takes_the_place_of_what_there_was_and_the_rest_stays() {
        let former = resources(
            r#"{"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},"pids":{"limit":10},
                "blockIO":{"weight":100,"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":1},{"major":7,"minor":0,"rate":2}]},
                "network":{"classID":1,"priorities":[{"name":"eth0","priority":1}]},
                "hugepageLimits":[{"pageSize":"2MB","limit":1}],"rdma":{"mlx":{"hcaHandles":7}},
                "unified":{"memory.high":"8"}}"#,
        );
        let asked = resources(
            r#"{"cpu":{"quota":20000},
                "blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":9}]},
                "network":{"priorities":[{"name":"eth1","priority":2},{"name":"eth0","priority":3}]},
                "hugepageLimits":[{"pageSize":"1GB","limit":2}],"rdma":{"mlx":{"hcaObjects":1}},
                "unified":{"memory.min":"4"}}"#,
        );
        let expected = resources(
            r#"{"cpu":{"shares":512,"quota":20000,"period":100000,"cpus":"0"},"pids":{"limit":10},
                "blockIO":{"weight":100,"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":9},{"major":7,"minor":0,"rate":2}]},
                "network":{"classID":1,"priorities":[{"name":"eth0","priority":3},{"name":"eth1","priority":2}]},
                "hugepageLimits":[{"pageSize":"2MB","limit":1},{"pageSize":"1GB","limit":2}],
                "rdma":{"mlx":{"hcaHandles":7,"hcaObjects":1}},"unified":{"memory.high":"8","memory.min":"4"}}"#,
        );
        assert_eq!(merged(&former, &asked), expected);
    }

    #[test]
    fn nothing_asked_changes_nothing_and_what_is_asked_again_changes_no_more() {
        let former = resources(r#"{"memory":{"limit":64,"swap":128},"pids":{"limit":10},"unified":{"a.b":"c"}}"#);
        assert_eq!(merged(&former, &Resources::default()), former);
        let asked = resources(r#"{"memory":{"limit":32},"cpu":{"shares":2},"rdma":{"mlx":{"hcaHandles":7}}}"#);
        let once = merged(&former, &asked);
        assert_eq!(merged(&once, &asked), once);
    }

    #[test]
    fn rules_about_device_nodes_come_after_those_that_there_are() {
        let rule = |minor| oci::DeviceRule { allow: true, minor: Some(minor), ..oci::DeviceRule::default() };
        let former = Resources { devices: vec![rule(1)], ..Resources::default() };
        let merged = merged(&former, &with(|limits| limits.device_rules = vec![rule(2)]));
        assert_eq!(merged.devices, [rule(1), rule(2)]);
    }

    #[test]
    fn swap_that_nobody_asked_for_follows_memory() {
        let memory = |limit| move |limits: &mut Limits| limits.memory = Some(limit);
        let usual = r#"{"memory":{"limit":64,"swap":128}}"#;
        assert_eq!(memory_of(usual, memory(Limit::At(100))), (Some(100), Some(200)));
        assert_eq!(memory_of(usual, memory(Limit::Unlimited)), (Some(-1), Some(-1)));
        assert_eq!(memory_of("{}", memory(Limit::At(100))), (Some(100), Some(200)));
        assert_eq!(memory_of("{}", memory(Limit::Unlimited)), (Some(-1), None));
        assert_eq!(memory_of(r#"{"memory":{"limit":-1,"swap":-1}}"#, memory(Limit::At(1))), (Some(1), Some(2)));
    }

    #[test]
    fn swap_that_was_asked_for_stays() {
        let memory = |limits: &mut Limits| limits.memory = Some(Limit::At(100));
        assert_eq!(memory_of(r#"{"memory":{"limit":64,"swap":64}}"#, memory), (Some(100), Some(64)));
        assert_eq!(memory_of(r#"{"memory":{"limit":64,"swap":-1}}"#, memory), (Some(100), Some(-1)));
        let both = |limits: &mut Limits| {
            limits.memory = Some(Limit::At(100));
            limits.memory_swap = Some(Limit::At(150));
        };
        assert_eq!(memory_of(r#"{"memory":{"limit":64,"swap":128}}"#, both), (Some(100), Some(150)));
    }
}
