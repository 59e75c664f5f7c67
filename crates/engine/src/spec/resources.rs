//! Limits in the specification's terms, and new ones over those that a container has. Runtime specification,
//! config-linux.md "Control groups".

use std::path::Path;

use error::{Refused, Result};
use oci::{BlockIo, Cpu, HugepageLimit, InterfacePriority, Memory, Network, Pids, Resources, ThrottleDevice, WeightDevice};

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

/// What a container is to have that has `former` and is asked to have `asked`: field by field, a device's value in place
/// of its former one, a rule about device nodes after those that there are.
#[must_use]
pub fn merged(former: &Resources, asked: &Resources) -> Resources {
    let mut merged = former.clone();
    merged.devices.extend(asked.devices.iter().cloned());
    if let Some(asked) = &asked.memory {
        merged.memory = Some(merged_memory(former.memory.as_ref(), asked));
    }
    if let Some(asked) = &asked.cpu {
        merge_cpu(merged.cpu.get_or_insert_default(), asked);
    }
    if let Some(asked) = &asked.pids {
        replace(&mut merged.pids.get_or_insert_default().limit, asked.limit.as_ref());
    }
    if let Some(asked) = &asked.block_io {
        merge_block_io(merged.block_io.get_or_insert_default(), asked);
    }
    put(&mut merged.hugepage_limits, &asked.hugepage_limits, |limit| limit.page_size.clone());
    if let Some(asked) = &asked.network {
        let network = merged.network.get_or_insert_default();
        replace(&mut network.class_id, asked.class_id.as_ref());
        put(&mut network.priorities, &asked.priorities, |priority| priority.name.clone());
    }
    for (device, asked) in &asked.rdma {
        let limits = merged.rdma.entry(device.clone()).or_default();
        replace(&mut limits.hca_handles, asked.hca_handles.as_ref());
        replace(&mut limits.hca_objects, asked.hca_objects.as_ref());
    }
    merged.unified.extend(asked.unified.clone());
    merged
}

fn replace<T: Clone>(place: &mut Option<T>, asked: Option<&T>) {
    if let Some(asked) = asked {
        *place = Some(asked.clone());
    }
}

/// Puts each element in the place of the one with its key, or behind all.
fn put<T: Clone, K: PartialEq>(list: &mut Vec<T>, asked: &[T], key: impl Fn(&T) -> K) {
    for new in asked {
        match list.iter_mut().find(|known| key(known) == key(new)) {
            Some(known) => *known = new.clone(),
            None => list.push(new.clone()),
        }
    }
}

/// Swap that nobody asked for follows the limit of memory, as in a new container.
fn merged_memory(former: Option<&Memory>, asked: &Memory) -> Memory {
    let mut merged = former.cloned().unwrap_or_default();
    let lifted = (Some(-1), Some(-1));
    let is_usual = merged.swap == usual_swap(merged.limit) || (merged.limit, merged.swap) == lifted;
    if asked.swap.is_none() && asked.limit.is_some() && is_usual {
        let unlimited = merged.swap.map(|_| -1);
        merged.swap = usual_swap(asked.limit).or(unlimited);
    }
    let Memory { limit, reservation, swap, kernel, kernel_tcp, swappiness, disable_oom_killer, .. } = asked;
    replace(&mut merged.limit, limit.as_ref());
    replace(&mut merged.reservation, reservation.as_ref());
    replace(&mut merged.swap, swap.as_ref());
    replace(&mut merged.kernel, kernel.as_ref());
    replace(&mut merged.kernel_tcp, kernel_tcp.as_ref());
    replace(&mut merged.swappiness, swappiness.as_ref());
    replace(&mut merged.disable_oom_killer, disable_oom_killer.as_ref());
    merged
}

fn merge_cpu(cpu: &mut Cpu, asked: &Cpu) {
    let Cpu { shares, quota, burst, period, realtime_runtime, realtime_period, cpus, mems, idle } = asked;
    replace(&mut cpu.shares, shares.as_ref());
    replace(&mut cpu.quota, quota.as_ref());
    replace(&mut cpu.burst, burst.as_ref());
    replace(&mut cpu.period, period.as_ref());
    replace(&mut cpu.realtime_runtime, realtime_runtime.as_ref());
    replace(&mut cpu.realtime_period, realtime_period.as_ref());
    replace(&mut cpu.cpus, cpus.as_ref());
    replace(&mut cpu.mems, mems.as_ref());
    replace(&mut cpu.idle, idle.as_ref());
}

fn merge_block_io(io: &mut BlockIo, asked: &BlockIo) {
    replace(&mut io.weight, asked.weight.as_ref());
    put(&mut io.weight_device, &asked.weight_device, |device| (device.major, device.minor));
    let numbers = |device: &ThrottleDevice| (device.major, device.minor);
    put(&mut io.throttle_read_bps_device, &asked.throttle_read_bps_device, numbers);
    put(&mut io.throttle_write_bps_device, &asked.throttle_write_bps_device, numbers);
    put(&mut io.throttle_read_iops_device, &asked.throttle_read_iops_device, numbers);
    put(&mut io.throttle_write_iops_device, &asked.throttle_write_iops_device, numbers);
}
