//! What the kernel tells of a container beyond a [`crate::sample::Sample`], for callers that want its own numbers: each CPU
//! by itself, each disk and operation, the flags of a cpuset, all of `memory.stat`.
//!
//! Documentation/admin-guide/cgroup-v1/{cpuacct,cpusets,memory,blkio-controller,hugetlb}.rst, cgroup-v2.rst. What this host
//! cannot tell is absent.

use crate::cpuset::{CPUS, CPUS_EFFECTIVE_V2, MEMS, MEMS_EFFECTIVE_V2, Set};
use crate::hierarchy::{Controller, Version};
use crate::sample::{Meter, Roots};
use crate::{cpuacct, facts, hugetlb, io, memory};

/// The numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detail {
    /// CPU time of each CPU.
    pub per_cpu: PerCpu,
    /// The CPUs and memory nodes.
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// What went to and from each disk.
    pub transfers: Vec<Transfer>,
    /// Huge pages, by their sizes.
    pub hugetlb: Vec<hugetlb::Stats>,
}

/// CPU time in nanoseconds, which v1 alone tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerCpu {
    /// Of all CPUs together.
    pub total_nsec: Option<u64>,
    /// Of each CPU that there may be.
    pub usage_nsec: Vec<u64>,
    /// The part of it inside the kernel.
    pub system_nsec: Vec<u64>,
    /// The part of it outside the kernel.
    pub user_nsec: Vec<u64>,
}

/// The CPUs and memory nodes that may be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cpuset {
    /// The CPUs.
    pub cpus: Option<Set>,
    /// The memory nodes.
    pub mems: Option<Set>,
    /// v1's other files, by their names behind `cpuset.`.
    pub flags: Vec<(&'static str, i64)>,
}

/// A counter of memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counter {
    /// Its limit: where there is none, the largest number that this version has.
    pub limit: Option<u64>,
    /// What is used now.
    pub usage: Option<u64>,
    /// The most that was ever used.
    pub peak: Option<u64>,
    /// How often the limit was hit.
    pub hits: Option<u64>,
}

/// The counters of memory, and all that its statistics tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Memory without swap.
    pub own: Counter,
    /// Memory and swap together, as v1 counts it.
    pub swap: Counter,
    /// The kernel's own memory for the group; v1.
    pub kernel: Counter,
    /// The kernel's buffers of TCP; v1.
    pub kernel_tcp: Counter,
    /// Page cache.
    pub cache: Option<u64>,
    /// `memory.stat`, in its order.
    pub raw: Vec<(String, u64)>,
}

/// What is counted of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Bytes.
    Bytes,
    /// Operations.
    Operations,
    /// Operations that wait.
    Queued,
    /// Nanoseconds that they took.
    ServiceTime,
    /// Nanoseconds that they waited.
    WaitTime,
    /// Operations that became a part of others.
    Merged,
    /// Milliseconds that the disk was the group's.
    Time,
    /// Sectors.
    Sectors,
}

/// One number of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What is counted.
    pub measure: Measure,
    /// The disk's major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// The operation, in v1's words: `Read`, `Write`; empty where none is told apart.
    pub operation: String,
    /// The number.
    pub value: u64,
}

impl Meter {
    /// Reads the numbers now. Of a container that is gone everything is absent.
    #[must_use]
    pub fn detail(&self, roots: &Roots) -> Detail {
        let place = |controller| roots.of(controller);
        let mut detail = Detail::default();
        if let Some((index, Version::V1)) = place(Controller::Cpuacct) {
            detail.per_cpu = per_cpu_v1(|name| self.text(roots, index, name));
        }
        if let Some((index, version)) = place(Controller::Cpuset) {
            let read = |name: &str| self.text(roots, index, name);
            detail.cpuset = if version == Version::V1 { cpuset_v1(read) } else { cpuset_v2(read) };
        }
        if let Some((index, version)) = place(Controller::Memory) {
            let read = |name: &str| self.text(roots, index, name);
            detail.memory = if version == Version::V1 { memory_v1(read) } else { memory_v2(read) };
        }
        if let Some((index, version)) = place(Controller::Io) {
            let read = |name: &str| self.text(roots, index, name);
            detail.transfers = if version == Version::V1 { io::transfers_v1(read) } else { io::transfers_v2(read) };
        }
        if let Some((index, version)) = place(Controller::Hugetlb) {
            let (read, sizes) = (|name: &str| self.text(roots, index, name), facts::page_sizes());
            detail.hugetlb =
                if version == Version::V1 { hugetlb::stats_v1(&sizes, read) } else { hugetlb::stats_v2(&sizes, read) };
        }
        detail
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn per_cpu_v1(read: impl Fn(&str) -> Option<String>) -> PerCpu {
    let all = read("cpuacct.usage_all").unwrap_or_default();
    // A heading, then a line for each CPU: its number, user, system.
    let column = |column: usize| {
        let lines = all.lines().skip(1);
        lines.filter_map(|line| number(line.split_whitespace().nth(column)?)).collect()
    };
    let usage = read("cpuacct.usage_percpu").unwrap_or_default();
    PerCpu {
        total_nsec: read(cpuacct::USAGE_V1).and_then(|text| number(&text)),
        usage_nsec: usage.split_whitespace().filter_map(number).collect(),
        user_nsec: column(1),
        system_nsec: column(2),
    }
}

/// v1's files of a cpuset that hold one number.
const CPUSET_FLAGS: [(&str, &str); 9] = [
    ("cpu_exclusive", "cpuset.cpu_exclusive"),
    ("mem_hardwall", "cpuset.mem_hardwall"),
    ("mem_exclusive", "cpuset.mem_exclusive"),
    ("memory_migrate", "cpuset.memory_migrate"),
    ("memory_spread_page", "cpuset.memory_spread_page"),
    ("memory_spread_slab", "cpuset.memory_spread_slab"),
    ("memory_pressure", "cpuset.memory_pressure"),
    ("sched_load_balance", "cpuset.sched_load_balance"),
    ("sched_relax_domain_level", "cpuset.sched_relax_domain_level"),
];

fn cpuset_v1(read: impl Fn(&str) -> Option<String>) -> Cpuset {
    let set = |name: &str| Set::parse(&read(name)?);
    let flags = CPUSET_FLAGS.iter().filter_map(|(name, file)| Some((*name, read(file)?.trim().parse().ok()?)));
    Cpuset { cpus: set(CPUS), mems: set(MEMS), flags: flags.collect() }
}

fn cpuset_v2(read: impl Fn(&str) -> Option<String>) -> Cpuset {
    let set = |name: &str| Set::parse(&read(name)?);
    Cpuset { cpus: set(CPUS_EFFECTIVE_V2), mems: set(MEMS_EFFECTIVE_V2), flags: Vec::new() }
}

fn memory_v1(read: impl Fn(&str) -> Option<String>) -> Memory {
    let number = |name: &str| number(&read(name)?);
    let counter = |[limit, usage, peak, hits]: [&str; 4]| Counter {
        limit: number(limit),
        usage: number(usage),
        peak: number(peak),
        hits: number(hits),
    };
    let raw = pairs(read(memory::STAT));
    Memory {
        own: counter(memory::COUNTER_V1),
        swap: counter(memory::SWAP_COUNTER_V1),
        kernel: counter([
            "memory.kmem.limit_in_bytes",
            "memory.kmem.usage_in_bytes",
            "memory.kmem.max_usage_in_bytes",
            "memory.kmem.failcnt",
        ]),
        kernel_tcp: counter([
            memory::KERNEL_TCP_V1,
            "memory.kmem.tcp.usage_in_bytes",
            "memory.kmem.tcp.max_usage_in_bytes",
            "memory.kmem.tcp.failcnt",
        ]),
        cache: at(&raw, "cache"),
        raw,
    }
}

/// v2 limits swap alone: its numbers and memory's make v1's.
fn memory_v2(read: impl Fn(&str) -> Option<String>) -> Memory {
    let plain = |name: &str| number(&read(name)?);
    let limit =
        |name: &str| read(name).and_then(|text| if text.trim() == "max" { Some(u64::MAX) } else { number(&text) });
    let own = Counter {
        limit: limit(memory::LIMIT_V2),
        usage: plain(memory::USAGE_V2),
        peak: plain(memory::PEAK_V2),
        hits: memory::stats_v2(&read).limit_hits,
    };
    let together = |swap: Option<u64>, memory: Option<u64>| Some(swap?.saturating_add(memory?));
    let swap = Counter {
        limit: together(limit(memory::SWAP_V2), own.limit),
        usage: together(plain(memory::SWAP_USAGE_V2), own.usage),
        ..Counter::default()
    };
    let raw = pairs(read(memory::STAT));
    Memory { own, swap, cache: at(&raw, "file"), raw, ..Memory::default() }
}

fn pairs(text: Option<String>) -> Vec<(String, u64)> {
    let text = text.unwrap_or_default();
    let pair = |line: &str| line.split_once(' ').and_then(|(key, value)| Some((key.to_owned(), number(value)?)));
    text.lines().filter_map(pair).collect()
}

fn at(pairs: &[(String, u64)], key: &str) -> Option<u64> {
    pairs.iter().find(|(known, _)| known == key).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_has_its_place_in_v1s_lists() {
        let per_cpu = per_cpu_v1(|file| {
            let text = match file {
                "cpuacct.usage" => "30\n",
                "cpuacct.usage_percpu" => "10 20 \n",
                "cpuacct.usage_all" => "cpu user system\n0 1 9\n1 2 18\n",
                _ => return None,
            };
            Some(text.to_owned())
        });
        assert_eq!((per_cpu.total_nsec, per_cpu.usage_nsec), (Some(30), vec![10, 20]));
        assert_eq!((per_cpu.user_nsec, per_cpu.system_nsec), (vec![1, 2], vec![9, 18]));
    }

    #[test]
    fn on_v2_swap_and_memory_are_counted_together_as_on_v1() {
        let read = |file: &str| {
            let text = match file {
                "memory.max" => "1000",
                "memory.current" => "300",
                "memory.swap.max" => "max",
                "memory.swap.current" => "50",
                "memory.stat" => "anon 1\nfile 2\n",
                _ => return None,
            };
            Some(format!("{text}\n"))
        };
        let memory = memory_v2(read);
        assert_eq!((memory.own.limit, memory.own.usage, memory.own.peak), (Some(1000), Some(300), None));
        assert_eq!((memory.swap.limit, memory.swap.usage), (Some(u64::MAX), Some(350)));
        assert_eq!((memory.cache, memory.raw.len()), (Some(2), 2));
    }
}
