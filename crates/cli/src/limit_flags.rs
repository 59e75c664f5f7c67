//! The flags of `run` that `update` has too: everything that a running container is held to. Docker's names and meanings,
//! podman's `--cgroup-conf`, and the names of OCI's fields where neither has one.

use std::marker::PhantomData;

use engine::options::Limits;
use error::Result;

use crate::flags::Flag;
use crate::value::{device, disk, limit, network, quantity};

/// What a command collects limits in.
pub(crate) trait Limited {
    /// The limits.
    fn limits(&mut self) -> &mut Limits;
}

/// The flags, for a command that collects in a `T`.
pub(crate) struct LimitFlags<T>(PhantomData<T>);

/// A value in the place of an earlier one.
fn set<V>(place: &mut V, value: Result<V>) -> Result<()> {
    *place = value?;
    Ok(())
}

/// One value more.
fn add<V, L: Extend<V>>(list: &mut L, value: Result<V>) -> Result<()> {
    list.extend([value?]);
    Ok(())
}

const DISK_RATE: &str = "DISK:BYTES";
const DISK_COUNT: &str = "DISK:NUMBER";

impl<T: Limited + 'static> LimitFlags<T> {
    /// All of them, by controller.
    pub(crate) const ALL: &'static [Flag<T>] = &[
        Flag::value(
            "memory",
            "BYTES",
            |to: &mut T, given| set(&mut to.limits().memory, quantity::bytes_or_unlimited(given).map(Some)),
            "limit memory; 0 is no limit",
        )
        .short('m'),
        Flag::value(
            "memory-swap",
            "BYTES",
            |to: &mut T, given| set(&mut to.limits().memory_swap, quantity::bytes_unless_negative(given)),
            "limit memory and swap together (twice --memory); -1 is no limit",
        ),
        Flag::value(
            "memory-reservation",
            "BYTES",
            |to: &mut T, given| set(&mut to.limits().memory_reservation, quantity::bytes_unless_zero(given)),
            "memory it keeps when the host runs short",
        ),
        Flag::value(
            "memory-swappiness",
            "NUMBER",
            |to: &mut T, given| set(&mut to.limits().memory_swappiness, quantity::swappiness(given)),
            "how readily its memory is swapped out, 0 to 100; -1 leaves it to the kernel",
        ),
        Flag::value(
            "kernel-memory",
            "BYTES",
            |to: &mut T, given| set(&mut to.limits().kernel_memory, quantity::bytes_unless_negative(given)),
            "limit the kernel's memory for it; the kernel counts it as --memory since Linux 5.16",
        ),
        Flag::value(
            "kernel-memory-tcp",
            "BYTES",
            |to: &mut T, given| set(&mut to.limits().kernel_memory_tcp, quantity::bytes_unless_negative(given)),
            "limit its buffers of TCP; -1 is no limit",
        ),
        Flag::switch(
            "oom-kill-disable",
            |to: &mut T, on| to.limits().oom_kill_disable = Some(on),
            "let it wait for memory instead of killing it",
        ),
        Flag::value(
            "cpus",
            "NUMBER",
            |to: &mut T, given| set(&mut to.limits().nano_cpus, quantity::cpus(given).map(Some)),
            "limit CPU time, in CPUs: 1.5",
        ),
        Flag::value(
            "cpu-period",
            "USEC",
            |to: &mut T, given| set(&mut to.limits().cpu_period_usec, quantity::count(given)),
            "the period in which --cpu-quota counts (100000)",
        ),
        Flag::value(
            "cpu-quota",
            "USEC",
            |to: &mut T, given| set(&mut to.limits().cpu_quota_usec, quantity::count_or_unlimited(given)),
            "limit CPU time in each period; -1 is no limit",
        ),
        Flag::value(
            "cpu-burst",
            "USEC",
            |to: &mut T, given| set(&mut to.limits().cpu_burst_usec, quantity::whole(given).map(Some)),
            "quota that it may save for later periods, at most --cpu-quota",
        ),
        Flag::value(
            "cpu-shares",
            "WEIGHT",
            |to: &mut T, given| set(&mut to.limits().cpu_shares, quantity::count(given)),
            "weigh its CPU time against its neighbours' (1024)",
        )
        .short('c'),
        Flag::switch(
            "cpu-idle",
            |to: &mut T, on| to.limits().cpu_idle = Some(on),
            "let it run only when nobody else wants to",
        ),
        Flag::value(
            "cpu-rt-period",
            "USEC",
            |to: &mut T, given| set(&mut to.limits().cpu_rt_period_usec, quantity::count(given)),
            "the period in which --cpu-rt-runtime counts",
        ),
        Flag::value(
            "cpu-rt-runtime",
            "USEC",
            |to: &mut T, given| set(&mut to.limits().cpu_rt_runtime_usec, quantity::count_or_unlimited(given)),
            "CPU time of its realtime tasks in each period; -1 is no limit",
        ),
        Flag::value(
            "cpuset-cpus",
            "LIST",
            |to: &mut T, given| set(&mut to.limits().cpuset_cpus, limit::set(given)),
            "run on these CPUs alone: 0-3,5",
        ),
        Flag::value(
            "cpuset-mems",
            "LIST",
            |to: &mut T, given| set(&mut to.limits().cpuset_mems, limit::set(given)),
            "use these memory nodes alone",
        ),
        Flag::value(
            "pids-limit",
            "NUMBER",
            |to: &mut T, given| set(&mut to.limits().pids_limit, quantity::processes(given).map(Some)),
            "limit processes and threads; -1 is no limit",
        ),
        Flag::value(
            "blkio-weight",
            "WEIGHT",
            |to: &mut T, given| set(&mut to.limits().blkio_weight, disk::weight(given)),
            "weigh its use of disks against its neighbours', 10 to 1000",
        ),
        Flag::values(
            "blkio-weight-device",
            "DISK:WEIGHT",
            |to: &mut T, given| add(&mut to.limits().blkio_weight_device, disk::weight_of_disk(given)),
            "the same at one disk: /dev/sda:500",
        ),
        Flag::values(
            "device-read-bps",
            DISK_RATE,
            |to: &mut T, given| add(&mut to.limits().device_read_bps, disk::bytes(given)),
            "limit the bytes read from a disk each second: /dev/sda:1m",
        ),
        Flag::values(
            "device-write-bps",
            DISK_RATE,
            |to: &mut T, given| add(&mut to.limits().device_write_bps, disk::bytes(given)),
            "limit the bytes written to a disk each second",
        ),
        Flag::values(
            "device-read-iops",
            DISK_COUNT,
            |to: &mut T, given| add(&mut to.limits().device_read_iops, disk::operations(given)),
            "limit the reads from a disk each second; 0 is no limit",
        ),
        Flag::values(
            "device-write-iops",
            DISK_COUNT,
            |to: &mut T, given| add(&mut to.limits().device_write_iops, disk::operations(given)),
            "limit the writes to a disk each second; 0 is no limit",
        ),
        Flag::values(
            "device-cgroup-rule",
            "RULE",
            |to: &mut T, given| add(&mut to.limits().device_rules, device::rule(given)),
            "let it use device nodes: \"c 1:3 rwm\"",
        ),
        Flag::value(
            "net-cls-classid",
            "CLASS",
            |to: &mut T, given| set(&mut to.limits().net_cls_classid, network::class(given).map(Some)),
            "the class of its packets for tc and the firewall: 0x100001 or 10:1",
        ),
        Flag::values(
            "net-prio",
            "INTERFACE=NUMBER",
            |to: &mut T, given| add(&mut to.limits().net_prio, network::priority(given)),
            "the priority of its packets on an interface of the host",
        ),
        Flag::values(
            "hugetlb-limit",
            "SIZE=BYTES",
            |to: &mut T, given| add(&mut to.limits().hugetlb, limit::huge_pages(given)),
            "limit huge pages of a size: 2MB=64m",
        ),
        Flag::values(
            "rdma-limit",
            "DEVICE:LIMITS",
            |to: &mut T, given| add(&mut to.limits().rdma, limit::rdma(given)),
            "limit an RDMA device: mlx5_0:hca_handle=2,hca_object=2000",
        ),
        Flag::values(
            "cgroup-conf",
            "FILE=VALUE",
            |to: &mut T, given| add(&mut to.limits().unified, limit::unified(given)),
            "write a value to a file of cgroup v2: memory.high=64m",
        ),
    ];
}

#[cfg(test)]
mod tests;
