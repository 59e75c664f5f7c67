//! Memory and swap. Bytes throughout; the kernel rounds a limit down to whole pages.
//!
//! Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst "Memory", OCI config-linux.md "Memory". OCI's `swap` is
//! memory and swap together, as v1's memsw has it; v2 limits swap alone.
//!
//! Memory "used" is what is used less the page cache on the inactive list ([`Stats::used_bytes`]): the kernel drops that
//! first, and without being felt. Docker and the kubelet count the same way.

use error::{Refused, Result};

use crate::Limit;
use crate::file::{number_at, numbers_at};
use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::{Reads, Write, put_before};

pub(crate) const LIMIT_V1: &str = "memory.limit_in_bytes";
pub(crate) const LIMIT_V2: &str = "memory.max";
const SWAP_V1: &str = "memory.memsw.limit_in_bytes";
pub(crate) const SWAP_V2: &str = "memory.swap.max";
const RESERVATION_V1: &str = "memory.soft_limit_in_bytes";
pub(crate) const RESERVATION_V2: &str = "memory.low";
pub(crate) const HIGH_V2: &str = "memory.high";
pub(crate) const MIN_V2: &str = "memory.min";
pub(crate) const KERNEL_TCP_V1: &str = "memory.kmem.tcp.limit_in_bytes";
const SWAPPINESS_V1: &str = "memory.swappiness";
pub(crate) const OOM_CONTROL_V1: &str = "memory.oom_control";
/// The same name in both versions, with other keys.
pub(crate) const STAT: &str = "memory.stat";
pub(crate) const EVENTS_V2: &str = "memory.events";
const EVENTS_LOCAL_V2: &str = "memory.events.local";
const USAGE_V1: &str = "memory.usage_in_bytes";
pub(crate) const USAGE_V2: &str = "memory.current";
pub(crate) const SWAP_USAGE_V2: &str = "memory.swap.current";
pub(crate) const PEAK_V2: &str = "memory.peak";
const PEAK_V1: &str = "memory.max_usage_in_bytes";
const HITS_V1: &str = "memory.failcnt";
const SWAP_HITS_V1: &str = "memory.memsw.failcnt";

/// v1's counter of memory: limit, use, the most that was used, hits of the limit.
pub(crate) const COUNTER_V1: [&str; 4] = [LIMIT_V1, USAGE_V1, PEAK_V1, HITS_V1];
/// v1's counter of memory and swap together.
pub(crate) const SWAP_COUNTER_V1: [&str; 4] =
    [SWAP_V1, "memory.memsw.usage_in_bytes", "memory.memsw.max_usage_in_bytes", SWAP_HITS_V1];

/// The files of both versions behind the numbers of one line in a table.
/// v1's statistics tell the smallest of all limits from the group up.
pub(crate) const OF_A_LINE: [&str; 4] = [LIMIT_V2, USAGE_V1, USAGE_V2, STAT];
/// Those behind a level above.
pub(crate) const OF_A_RUNG: [&str; 1] = [LIMIT_V2];
/// Those that tell what is used.
pub(crate) const OF_USE: [&str; 3] = [USAGE_V1, USAGE_V2, STAT];
/// Those that tell the most that was ever used.
pub(crate) const OF_A_PEAK: [&str; 2] = [PEAK_V1, PEAK_V2];
/// The files of a level's own limit.
pub(crate) const OF_A_LIMIT: [&str; 2] = [LIMIT_V1, LIMIT_V2];

const LIMIT: &str = "linux.resources.memory.limit";
const SWAP: &str = "linux.resources.memory.swap";
const RESERVATION: &str = "linux.resources.memory.reservation";
const KERNEL: &str = "linux.resources.memory.kernel";
const KERNEL_TCP: &str = "linux.resources.memory.kernelTCP";
const SWAPPINESS: &str = "linux.resources.memory.swappiness";
const DISABLE_OOM_KILLER: &str = "linux.resources.memory.disableOOMKiller";
const USE_HIERARCHY: &str = "linux.resources.memory.useHierarchy";
const CHECK_BEFORE_UPDATE: &str = "linux.resources.memory.checkBeforeUpdate";
const UNIFIED: &str = "linux.resources.unified";

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting {
        controller: Controller::Memory,
        flag: Some("--memory"),
        field: Some(LIMIT),
        v1: Some(SettingFile { name: LIMIT_V1, value: "BYTES, -1 for none" }),
        v2: Some(SettingFile { name: LIMIT_V2, value: "BYTES, max for none" }),
        unit: "bytes, rounded down to whole pages",
        effect: "page cache is dropped and memory swapped out to stay below it; where that fails a process is killed",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--memory-swap"),
        field: Some(SWAP),
        v1: Some(SettingFile { name: SWAP_V1, value: "BYTES of memory and swap together, -1 for none" }),
        v2: Some(SettingFile { name: SWAP_V2, value: "BYTES of swap alone, max for none" }),
        unit: "bytes of memory and swap together, -1 for no limit of swap",
        effect: "nothing more is swapped out beyond it, so that the memory limit is hit",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--memory-reservation"),
        field: Some(RESERVATION),
        v1: Some(SettingFile { name: RESERVATION_V1, value: "BYTES, -1 for none" }),
        v2: Some(SettingFile { name: RESERVATION_V2, value: "BYTES, max for all" }),
        unit: "bytes",
        effect: "memory below it is taken last when the host runs short",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--memory-swappiness"),
        field: Some(SWAPPINESS),
        v1: Some(SettingFile { name: SWAPPINESS_V1, value: "NUMBER" }),
        v2: None,
        unit: "0 to 100",
        effect: "how readily memory is swapped out instead of page cache being dropped",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--oom-kill-disable"),
        field: Some(DISABLE_OOM_KILLER),
        v1: Some(SettingFile { name: OOM_CONTROL_V1, value: "1 or 0" }),
        v2: None,
        unit: "true or false",
        effect: "a process that hits the memory limit waits until some is free instead of being killed",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--kernel-memory"),
        field: Some(KERNEL),
        v1: None,
        v2: None,
        unit: "bytes",
        effect: "none since Linux 5.16: memory of the kernel counts as memory and has no limit of its own",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--kernel-memory-tcp"),
        field: Some(KERNEL_TCP),
        v1: Some(SettingFile { name: KERNEL_TCP_V1, value: "BYTES, -1 for none" }),
        v2: None,
        unit: "bytes",
        effect: "the buffers of TCP sockets are kept below it: packets are dropped and writers wait",
    },
    Setting {
        controller: Controller::Memory,
        flag: None,
        field: Some(USE_HIERARCHY),
        v1: None,
        v2: None,
        unit: "true",
        effect: "groups below count too: always so since Linux 5.11",
    },
    Setting {
        controller: Controller::Memory,
        flag: None,
        field: Some(CHECK_BEFORE_UPDATE),
        v1: None,
        v2: None,
        unit: "true or false",
        effect: "none: carboy always refuses to lower a limit below what is used",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--cgroup-conf"),
        field: Some(UNIFIED),
        v1: None,
        v2: Some(SettingFile { name: HIGH_V2, value: "BYTES, max for none" }),
        unit: "bytes",
        effect: "processes beyond it are slowed down and have to free memory themselves; nothing is killed",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--cgroup-conf"),
        field: Some(UNIFIED),
        v1: None,
        v2: Some(SettingFile { name: MIN_V2, value: "BYTES, max for all" }),
        unit: "bytes",
        effect: "memory below it is never taken, even if another process has to be killed",
    },
    Setting {
        controller: Controller::Memory,
        flag: Some("--cgroup-conf"),
        field: Some(UNIFIED),
        v1: None,
        v2: Some(SettingFile { name: "memory.oom.group", value: "1 or 0" }),
        unit: "1 or 0",
        effect: "when one process is killed for memory, all of the group are killed with it",
    },
];

/// The smallest limit that a container can be started with; the kernel itself takes any.
pub const MINIMUM_BYTES: u64 = 6 << 20;

/// The smallest v1 number that means no limit: `PAGE_COUNTER_MAX` in bytes, with pages of up to 64 KiB.
const UNLIMITED_V1: u64 = 0x7fff_ffff_ffff_0000;

/// The settings of a fresh group, checked: the same for both versions.
struct Settings {
    limit: Option<Limit>,
    /// Memory and swap together.
    total: Option<Limit>,
    /// Swap alone: what `total` leaves beside `limit`.
    swap: Option<Limit>,
    reservation: Option<Limit>,
    kernel_tcp: Option<Limit>,
}

impl Settings {
    fn of(memory: &oci::Memory) -> Result<Self> {
        if memory.use_hierarchy == Some(false) {
            let reason = "since Linux 5.11 groups below always count too";
            return Err(Refused::new(USE_HIERARCHY, "false", reason).hint("leave it out").into());
        }
        let limit = self::limit(LIMIT, memory.limit)?;
        let total = self::limit(SWAP, memory.swap)?;
        let swap = match (limit, total) {
            (_, None) => None,
            (_, Some(Limit::Unlimited)) => Some(Limit::Unlimited),
            (Some(Limit::At(limit)), Some(Limit::At(total))) => {
                let refused = || {
                    let reason = format!("is memory and swap together, and below the memory limit {limit}");
                    let hint = "give --memory-swap as the memory limit plus the swap that is wanted, or as -1 for \
                                unlimited swap";
                    Refused::new(SWAP, total.to_string(), reason).hint(hint)
                };
                Some(Limit::At(total.checked_sub(limit).ok_or_else(refused)?))
            }
            (None | Some(Limit::Unlimited), Some(Limit::At(total))) => {
                let reason = "is memory and swap together, and there is no memory limit";
                let hint = "give --memory too, or --memory-swap -1";
                return Err(Refused::new(SWAP, total.to_string(), reason).hint(hint).into());
            }
        };
        let reservation = self::limit(RESERVATION, memory.reservation)?;
        let kernel_tcp = self::limit(KERNEL_TCP, memory.kernel_tcp)?;
        Ok(Self { limit, total, swap, reservation, kernel_tcp })
    }
}

/// OCI's number: absent and 0 leave the kernel's default, -1 means no limit, and no other negative number anything.
fn limit(field: &str, value: Option<i64>) -> Result<Option<Limit>> {
    match value {
        None | Some(0) => Ok(None),
        Some(-1) => Ok(Some(Limit::Unlimited)),
        Some(value) => match u64::try_from(value) {
            Ok(bytes) => Ok(Some(Limit::At(bytes))),
            Err(_) => {
                let refused = Refused::new(field, value.to_string(), "is no number of bytes");
                Err(refused.hint("write -1 for no limit").into())
            }
        },
    }
}

fn text_v1(limit: Limit) -> String {
    match limit {
        Limit::Unlimited => "-1".to_owned(),
        Limit::At(bytes) => bytes.to_string(),
    }
}

fn text_v2(limit: Limit) -> String {
    match limit {
        Limit::Unlimited => "max".to_owned(),
        Limit::At(bytes) => bytes.to_string(),
    }
}

/// Why a limit of kernel memory alone is left out, where one is asked for. Linux 5.16 refuses it and since 6.6 takes and
/// ignores it (mm/memcontrol-v1.c `mem_cgroup_write`); v2 never had it. Other runtimes leave it out too.
pub(crate) fn left_out(memory: &oci::Memory) -> Option<Refused> {
    let bytes = memory.kernel.filter(|bytes| *bytes > 0)?;
    let reason = "memory of the kernel counts as memory, and has had no limit of its own since Linux 5.16";
    Some(Refused::new(KERNEL, bytes.to_string(), reason))
}

/// What a fresh v1 group is given. The limit comes before memsw, which must never be the smaller of the two. A group
/// inherits from its parent that the OOM killer is disabled, so that `false` is written too.
///
/// # Errors
/// Refused for a swap total without or below a memory limit, and for what the kernel no longer has.
pub fn plan_v1(memory: &oci::Memory) -> Result<Vec<Write>> {
    let Settings { limit, total, swap, reservation, kernel_tcp } = Settings::of(memory)?;
    let write = |field, file, limit: Limit| Write::new(Controller::Memory, field, file, text_v1(limit));
    let mut writes = Vec::new();
    writes.extend(limit.map(|limit| write(LIMIT, LIMIT_V1, limit).other(LIMIT_V2, text_v2(limit))));
    writes.extend(total.zip(swap).map(|(total, swap)| write(SWAP, SWAP_V1, total).other(SWAP_V2, text_v2(swap))));
    writes.extend(reservation.map(|low| write(RESERVATION, RESERVATION_V1, low).other(RESERVATION_V2, text_v2(low))));
    writes.extend(kernel_tcp.map(|limit| write(KERNEL_TCP, KERNEL_TCP_V1, limit)));
    if let Some(swappiness) = memory.swappiness {
        if swappiness > 100 {
            return Err(Refused::new(SWAPPINESS, swappiness.to_string(), "is not between 0 and 100").into());
        }
        writes.push(Write::new(Controller::Memory, SWAPPINESS, SWAPPINESS_V1, swappiness));
    }
    if let Some(disabled) = memory.disable_oom_killer {
        let write = Write::new(Controller::Memory, DISABLE_OOM_KILLER, OOM_CONTROL_V1, u8::from(disabled));
        writes.push(write.reads(Reads::At("oom_kill_disable")));
    }
    Ok(writes)
}

/// What a fresh v2 group is given.
///
/// # Errors
/// As [`plan_v1`]; refused too for what v2 does not have for a group: swappiness, a limit of TCP buffers, and disabling
/// the OOM killer.
pub fn plan_v2(memory: &oci::Memory) -> Result<Vec<Write>> {
    let Settings { limit, total, swap, reservation, kernel_tcp } = Settings::of(memory)?;
    let write = |field, file, limit: Limit| Write::new(Controller::Memory, field, file, text_v2(limit));
    let mut writes = Vec::new();
    writes.extend(limit.map(|limit| write(LIMIT, LIMIT_V2, limit).other(LIMIT_V1, text_v1(limit))));
    writes.extend(total.zip(swap).map(|(total, swap)| write(SWAP, SWAP_V2, swap).other(SWAP_V1, text_v1(total))));
    writes.extend(reservation.map(|low| write(RESERVATION, RESERVATION_V2, low).other(RESERVATION_V1, text_v1(low))));
    if let Some(Limit::At(bytes)) = kernel_tcp {
        let reason = "cgroup v2 has no limit for the buffers of TCP sockets alone: they count as memory";
        return Err(Refused::new(KERNEL_TCP, bytes.to_string(), reason).hint("leave it out").into());
    }
    if let Some(swappiness) = memory.swappiness {
        let reason = "cgroup v2 has no swappiness for a group";
        return Err(Refused::new(SWAPPINESS, swappiness.to_string(), reason)
            .hint("limit swap with --memory-swap")
            .into());
    }
    if memory.disable_oom_killer == Some(true) {
        let reason = "cgroup v2 cannot disable the OOM killer for a group";
        let hint = "set memory.high with --cgroup-conf, which slows processes down instead";
        return Err(Refused::new(DISABLE_OOM_KILLER, "true", reason).hint(hint).into());
    }
    Ok(writes)
}

/// The writes of a fresh plan in the order in which a v1 group takes them that has and uses what `now` says: memsw must
/// never be below the limit, so that it grows before the limit and shrinks after it.
///
/// # Errors
/// Refused for a limit below what is used, and for one above a memsw that is not to change.
pub(crate) fn change_v1(mut writes: Vec<Write>, now: &Stats) -> Result<Vec<Write>> {
    refuse_below_use(&writes, LIMIT_V1, now)?;
    let Some(present) = now.total_limit() else { return Ok(writes) };
    match (asked(&writes, LIMIT_V1), asked(&writes, SWAP_V1)) {
        (_, Some(total)) if ceiling(total) >= ceiling(present) => put_before(&mut writes, SWAP_V1, LIMIT_V1),
        (_, Some(total)) => {
            let used = now.used_bytes().zip(now.swap_bytes).map(|(used, swap)| used.saturating_add(swap));
            if let Some(used) = used.filter(|used| ceiling(total) < *used) {
                let reason = format!("is below the {used} bytes of memory and swap that are used");
                return Err(Refused::new(SWAP, text_v1(total), reason).hint(FREE_FIRST).into());
            }
        }
        (Some(limit), None) if ceiling(limit) > ceiling(present) => {
            let reason = format!("is above the {} bytes of memory and swap together that it has", ceiling(present));
            return Err(Refused::new(LIMIT, text_v1(limit), reason).hint("change --memory-swap too").into());
        }
        (_, None) => {}
    }
    Ok(writes)
}

/// The writes of a fresh plan in the order in which they serve a v2 group that has and uses what `now` says. The kernel
/// takes every order, but kills where it cannot reclaim: a limit that shrinks comes after swap that grows.
///
/// # Errors
/// Refused for a limit below what is used.
pub(crate) fn change_v2(mut writes: Vec<Write>, now: &Stats) -> Result<Vec<Write>> {
    refuse_below_use(&writes, LIMIT_V2, now)?;
    if asked(&writes, LIMIT_V2).zip(now.limit).is_some_and(|(limit, present)| ceiling(limit) < ceiling(present)) {
        put_before(&mut writes, SWAP_V2, LIMIT_V2);
    }
    Ok(writes)
}

const FREE_FIRST: &str = "give more, or let the container free some first";

/// Refuses to lower a limit below what is used: v1 answers `EBUSY`, after having dropped the container's cache, and v2
/// kills.
fn refuse_below_use(writes: &[Write], file: &str, now: &Stats) -> Result<()> {
    let (Some(present), Some(used)) = (now.limit, now.used_bytes()) else { return Ok(()) };
    let below = |write: &&Write| {
        let asked = asked(std::slice::from_ref(*write), file).map(ceiling);
        asked.is_some_and(|asked| asked < ceiling(present) && asked < used)
    };
    let Some(write) = writes.iter().find(below) else { return Ok(()) };
    let reason = format!("is below the {used} bytes that are used, page cache that can be dropped not counted");
    Err(Refused::new(write.field.clone(), &write.value, reason).hint(FREE_FIRST).into())
}

/// What is to be written to a file of limits.
fn asked(writes: &[Write], file: &str) -> Option<Limit> {
    match writes.iter().find(|write| write.file == file)?.value.as_str() {
        "-1" | "max" => Some(Limit::Unlimited),
        bytes => bytes.parse().ok().map(Limit::At),
    }
}

/// A limit as a number that compares: no limit is above every other.
const fn ceiling(limit: Limit) -> u64 {
    match limit {
        Limit::Unlimited => u64::MAX,
        Limit::At(bytes) => bytes,
    }
}

/// Whether this kernel accounts swap on v1: it does not where it was started with `swapaccount=0`.
pub(crate) fn accounts_swap_v1(has: impl Fn(&str) -> bool) -> bool {
    has(SWAP_V1)
}

/// The refusal of a swap limit where the kernel accounts no swap.
pub(crate) fn refuse_swap_v1(write: &Write) -> Option<Refused> {
    let refused = || {
        Refused::new(SWAP, &write.value, "this kernel does not account swap on cgroup v1")
            .hint("start the kernel with swapaccount=1, or leave the swap limit out")
    };
    (write.file == SWAP_V1).then(refused)
}

/// A group's memory, in bytes, with that of the groups below it. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// The limit of memory without swap.
    pub limit: Option<Limit>,
    /// The limit of swap alone, as v2 has it; on v1 what memory and swap together leave beside the memory limit. There a
    /// group that uses less memory than its limit may swap out so much more.
    pub swap_limit: Option<Limit>,
    /// What is used now, page cache included; see [`Self::used_bytes`].
    pub usage_bytes: Option<u64>,
    /// The most that was ever used; v2 has it since Linux 5.19.
    pub peak_bytes: Option<u64>,
    /// What is swapped out now.
    pub swap_bytes: Option<u64>,
    /// Page cache that the kernel drops first.
    pub inactive_file_bytes: Option<u64>,
    /// All page cache, tmpfs and shared memory included.
    pub file_bytes: Option<u64>,
    /// Memory that stands for no file: heaps, stacks.
    pub anon_bytes: Option<u64>,
    /// How often memory was short at this group's own limit, on v1 at that of memory and swap together too, so that some
    /// had to be reclaimed. v2 has it since Linux 5.2; v1 has it no more since Linux 6.15 where there can be no swap.
    pub limit_hits: Option<u64>,
    /// How often this group's own limit led to the OOM killer; v2 since Linux 5.2, v1 does not tell.
    pub oom_events: Option<u64>,
    /// Processes of this group, and on v2 of those below it, that the OOM killer has killed, whichever level's limit led
    /// to it.
    pub oom_kills: Option<u64>,
}

impl Stats {
    /// What is used now without the page cache that the kernel drops first.
    #[must_use]
    pub fn used_bytes(&self) -> Option<u64> {
        Some(self.usage_bytes?.saturating_sub(self.inactive_file_bytes?))
    }

    /// The limit of memory and swap together, as v1's memsw and OCI have it.
    #[must_use]
    pub fn total_limit(&self) -> Option<Limit> {
        Some(match (self.limit?, self.swap_limit?) {
            (Limit::At(limit), Limit::At(swap)) => Limit::At(limit.saturating_add(swap)),
            (Limit::Unlimited, _) | (_, Limit::Unlimited) => Limit::Unlimited,
        })
    }
}

/// Reads a v1 group; `read` gives a file's text, and is called once for each file.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    let limit = |bytes: u64| if bytes >= UNLIMITED_V1 { Limit::Unlimited } else { Limit::At(bytes) };
    let (memory, total) = (number(LIMIT_V1).map(limit), number(SWAP_V1).map(limit));
    let swap_limit = memory.zip(total).map(|limits| match limits {
        (Limit::At(memory), Limit::At(total)) => Limit::At(total.saturating_sub(memory)),
        _ => Limit::Unlimited,
    });
    // Without "total_" they are those of this group alone.
    let keys = ["hierarchical_memory_limit", "total_swap", "total_inactive_file", "total_cache", "total_rss"];
    let [hierarchical, swap_bytes, inactive_file_bytes, file_bytes, anon_bytes] =
        numbers_at(&read(STAT).unwrap_or_default(), keys);
    Stats {
        limit: memory.or_else(|| hierarchical.map(limit)),
        swap_limit,
        usage_bytes: number(USAGE_V1),
        peak_bytes: number(PEAK_V1),
        swap_bytes,
        inactive_file_bytes,
        file_bytes,
        anon_bytes,
        limit_hits: limit_hits_v1(swap_limit, number(HITS_V1), number(SWAP_HITS_V1)),
        oom_events: None,
        oom_kills: oom_kills_v1(&read),
    }
}

/// Memory is charged to memsw first, so that where it allows no swap only memsw's limit is ever hit. Since Linux 6.15
/// that is not counted (mm/page_counter.c `track_failcnt`, which memsw's counter does not have), and 0 says nothing.
fn limit_hits_v1(swap_limit: Option<Limit>, memory: Option<u64>, together: Option<u64>) -> Option<u64> {
    match (swap_limit, together) {
        (Some(Limit::At(0)), Some(0)) => None,
        (_, together) => Some(memory?.saturating_add(together.unwrap_or(0))),
    }
}

/// Reads a v2 group; `read` gives a file's text, and is called once for each file.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    let limit = |file| match read(file)?.trim() {
        "max" => Some(Limit::Unlimited),
        bytes => bytes.parse().ok().map(Limit::At),
    };
    let [inactive_file_bytes, file_bytes, anon_bytes] =
        numbers_at(&read(STAT).unwrap_or_default(), ["inactive_file", "file", "anon"]);
    let local = read(EVENTS_LOCAL_V2);
    let event = |key| number_at(local.as_deref()?, key);
    Stats {
        limit: limit(LIMIT_V2),
        swap_limit: limit(SWAP_V2),
        usage_bytes: number(USAGE_V2),
        peak_bytes: number(PEAK_V2),
        swap_bytes: number(SWAP_USAGE_V2),
        inactive_file_bytes,
        file_bytes,
        anon_bytes,
        limit_hits: event("max"),
        oom_events: event("oom"),
        oom_kills: oom_kills_v2(&read),
    }
}

/// The bound beyond which a v2 group is slowed down, and how often it was hit. What could not be read is `None`; v1 has
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brake {
    /// `memory.high`.
    pub limit: Option<Limit>,
    /// How often a process of this group was slowed down by this level's bound.
    pub hits: Option<u64>,
}

/// Reads it; `read` gives a file's text.
pub fn brake_v2(read: impl Fn(&str) -> Option<String>) -> Brake {
    let limit = match read(HIGH_V2).as_deref().map(str::trim) {
        None => None,
        Some("max") => Some(Limit::Unlimited),
        Some(bytes) => bytes.parse().ok().map(Limit::At),
    };
    Brake { limit, hits: read(EVENTS_LOCAL_V2).and_then(|text| number_at(&text, "high")) }
}

/// How many processes of a v1 group the OOM killer has killed; Linux 4.13.
pub fn oom_kills_v1(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    number_at(&read(OOM_CONTROL_V1)?, "oom_kill")
}

/// How many processes of a v2 group, and of those below it, the OOM killer has killed.
pub fn oom_kills_v2(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    number_at(&read(EVENTS_V2)?, "oom_kill")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hierarchy::Version;

    const MIB: i64 = 1 << 20;

    fn shown(writes: &[Write]) -> Vec<String> {
        writes.iter().map(ToString::to_string).collect()
    }

    fn memory(limit: i64, swap: i64) -> oci::Memory {
        oci::Memory { limit: Some(limit), swap: Some(swap), ..Default::default() }
    }

    #[test]
    fn the_bound_that_slows_down_is_told_with_its_hits() {
        let read = |file: &str| match file {
            "memory.high" => Some("4096\n".to_owned()),
            "memory.events.local" => Some("low 0\nhigh 7\nmax 0\n".to_owned()),
            _ => None,
        };
        assert_eq!(brake_v2(read), Brake { limit: Some(Limit::At(4096)), hits: Some(7) });
        assert_eq!(brake_v2(|_| Some("max\n".to_owned())).limit, Some(Limit::Unlimited));
        assert_eq!(brake_v2(|_| None), Brake::default());
    }

    #[test]
    fn nothing_asked_is_nothing_written() {
        let nothing = oci::Memory::default();
        assert_eq!(plan_v1(&nothing).unwrap(), []);
        assert_eq!(plan_v2(&nothing).unwrap(), []);
        assert_eq!(plan_v2(&memory(0, 0)).unwrap(), []);
    }

    #[test]
    fn the_limit_comes_first_and_swap_is_a_total_on_v1_and_swap_alone_on_v2() {
        let asked = oci::Memory { reservation: Some(32 * MIB), ..memory(64 * MIB, 96 * MIB) };
        let v1 = plan_v1(&asked).unwrap();
        assert_eq!(
            shown(&v1),
            [
                "memory.limit_in_bytes = 67108864",
                "memory.memsw.limit_in_bytes = 100663296",
                "memory.soft_limit_in_bytes = 33554432"
            ]
        );
        let v2 = plan_v2(&asked).unwrap();
        assert_eq!(shown(&v2), ["memory.max = 67108864", "memory.swap.max = 33554432", "memory.low = 33554432"]);
        for (one, other) in v1.iter().zip(&v2) {
            assert_eq!(one.other, Some((other.file.clone(), other.value.clone())));
            assert_eq!(other.other, Some((one.file.clone(), one.value.clone())));
        }
    }

    #[test]
    fn unlimited_swap_beside_a_limit_is_unlimited_in_both() {
        let asked = memory(64 * MIB, -1);
        assert_eq!(
            shown(&plan_v1(&asked).unwrap()),
            ["memory.limit_in_bytes = 67108864", "memory.memsw.limit_in_bytes = -1"]
        );
        assert_eq!(shown(&plan_v2(&asked).unwrap()), ["memory.max = 67108864", "memory.swap.max = max"]);
    }

    #[test]
    fn swap_equal_to_the_limit_is_no_swap() {
        assert_eq!(shown(&plan_v2(&memory(MIB, MIB)).unwrap()), ["memory.max = 1048576", "memory.swap.max = 0"]);
    }

    #[test]
    fn a_swap_total_needs_a_limit_that_is_not_above_it() {
        for (limit, swap) in [(64 * MIB, 32 * MIB), (0, MIB), (-1, MIB)] {
            assert!(plan_v1(&memory(limit, swap)).is_err(), "{limit} {swap}");
            assert!(plan_v2(&memory(limit, swap)).is_err(), "{limit} {swap}");
        }
    }

    #[test]
    fn what_only_v1_has_is_refused_on_v2() {
        let swappiness = oci::Memory { swappiness: Some(10), ..Default::default() };
        assert_eq!(shown(&plan_v1(&swappiness).unwrap()), ["memory.swappiness = 10"]);
        assert!(plan_v2(&swappiness).is_err());
        let killer = |disabled| oci::Memory { disable_oom_killer: Some(disabled), ..Default::default() };
        assert_eq!(shown(&plan_v1(&killer(true)).unwrap()), ["memory.oom_control = 1"]);
        assert!(plan_v2(&killer(true)).is_err());
        assert_eq!(shown(&plan_v1(&killer(false)).unwrap()), ["memory.oom_control = 0"]);
        assert_eq!(plan_v2(&killer(false)).unwrap(), []);
        let tcp = |bytes| oci::Memory { kernel_tcp: Some(bytes), ..Default::default() };
        assert_eq!(shown(&plan_v1(&tcp(MIB)).unwrap()), ["memory.kmem.tcp.limit_in_bytes = 1048576"]);
        assert!(plan_v2(&tcp(MIB)).is_err());
        assert_eq!(plan_v2(&tcp(-1)).unwrap(), []);
    }

    #[test]
    fn the_state_of_the_oom_killer_is_put_back_from_among_others() {
        let asked = oci::Memory { disable_oom_killer: Some(true), ..Default::default() };
        let former = plan_v1(&asked).unwrap()[0].former("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
        assert_eq!(former.unwrap(), "0");
        let limit = plan_v1(&memory(MIB, MIB)).unwrap();
        assert_eq!(limit[0].former("9223372036854771712\n").unwrap(), "9223372036854771712");
        assert_eq!(plan_v2(&memory(MIB, MIB)).unwrap()[0].former("max\n").unwrap(), "max");
    }

    #[test]
    fn what_the_kernel_no_longer_has_is_left_out_or_refused() {
        let kernel = |bytes| oci::Memory { kernel: Some(bytes), ..Default::default() };
        assert_eq!((plan_v1(&kernel(MIB)).unwrap(), plan_v2(&kernel(MIB)).unwrap()), (vec![], vec![]));
        let left_out = left_out(&kernel(MIB)).unwrap();
        assert_eq!((left_out.field.as_str(), left_out.value.as_str()), ("linux.resources.memory.kernel", "1048576"));
        assert_eq!((super::left_out(&kernel(-1)), super::left_out(&kernel(0))), (None, None));
        let hierarchy = |on| oci::Memory { use_hierarchy: Some(on), ..Default::default() };
        assert_eq!((plan_v1(&hierarchy(true)).unwrap(), plan_v2(&hierarchy(true)).unwrap()), (vec![], vec![]));
        assert!(plan_v1(&hierarchy(false)).is_err() && plan_v2(&hierarchy(false)).is_err());
    }

    #[test]
    fn what_is_written_stands_in_the_table() {
        let both = oci::Memory { reservation: Some(MIB), ..memory(MIB, MIB) };
        let all =
            oci::Memory { kernel_tcp: Some(MIB), swappiness: Some(0), disable_oom_killer: Some(true), ..both.clone() };
        for (writes, version) in [(plan_v1(&all), Version::V1), (plan_v2(&both), Version::V2)] {
            for write in writes.unwrap() {
                let setting = SETTINGS.iter().find(|one| one.file(version).is_some_and(|file| file.name == write.file));
                assert_eq!(setting.and_then(|setting| setting.field), Some(write.field.as_ref()), "{write}");
            }
        }
    }

    /// A group that has a limit and a swap total, and uses half a mebibyte, as much cache, and no swap.
    fn now(limit: i64, total: i64) -> Stats {
        let limit_of = |value: i64| u64::try_from(value).map_or(Limit::Unlimited, Limit::At);
        let swap_limit = if total < 0 { Limit::Unlimited } else { limit_of(total - limit) };
        Stats {
            limit: Some(limit_of(limit)),
            swap_limit: Some(swap_limit),
            usage_bytes: Some(1 << 20),
            inactive_file_bytes: Some(1 << 19),
            swap_bytes: Some(0),
            ..Stats::default()
        }
    }

    fn files(writes: Result<Vec<Write>>) -> Vec<String> {
        writes.unwrap().iter().map(|write| write.file.to_string()).collect()
    }

    #[test]
    fn memsw_grows_before_the_limit_and_shrinks_after_it() {
        let (limit, swap) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
        let change = |to: oci::Memory, now| files(change_v1(plan_v1(&to).unwrap(), &now));
        assert_eq!(change(memory(4 * MIB, 8 * MIB), now(2 * MIB, 2 * MIB)), [swap, limit]);
        assert_eq!(change(memory(2 * MIB, 2 * MIB), now(4 * MIB, 8 * MIB)), [limit, swap]);
        assert_eq!(change(memory(2 * MIB, -1), now(4 * MIB, 8 * MIB)), [swap, limit]);
        assert_eq!(change(memory(-1, -1), now(4 * MIB, 8 * MIB)), [swap, limit]);
        assert_eq!(change(memory(2 * MIB, 2 * MIB), now(-1, -1)), [limit, swap]);
        let unknown = Stats { swap_limit: None, ..now(2 * MIB, 2 * MIB) };
        assert_eq!(change(memory(4 * MIB, 0), unknown), [limit]);
    }

    #[test]
    fn on_v2_there_is_room_in_swap_before_a_limit_shrinks() {
        let change = |to: oci::Memory, now| files(change_v2(plan_v2(&to).unwrap(), &now));
        assert_eq!(change(memory(2 * MIB, 8 * MIB), now(4 * MIB, 4 * MIB)), ["memory.swap.max", "memory.max"]);
        assert_eq!(change(memory(4 * MIB, 4 * MIB), now(2 * MIB, 8 * MIB)), ["memory.max", "memory.swap.max"]);
    }

    #[test]
    fn a_limit_below_what_is_used_is_refused_and_cache_that_can_be_dropped_does_not_count() {
        let half = MIB / 2;
        for version in [Version::V1, Version::V2] {
            let change = |to: oci::Memory, now: &Stats| match version {
                Version::V1 => change_v1(plan_v1(&to).unwrap(), now),
                Version::V2 => change_v2(plan_v2(&to).unwrap(), now),
            };
            assert!(change(memory(half, 0), &now(MIB, MIB)).is_ok());
            let error = change(memory(half - 1, 0), &now(MIB, MIB)).unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot use linux.resources.memory.limit 524287: is below the 524288 bytes that are used, page cache \
                 that can be dropped not counted"
            );
            assert_eq!(error.hint(), Some("give more, or let the container free some first"));
            assert!(change(memory(half - 1, 0), &now(half - 2, half)).is_ok(), "it grows");
            assert!(change(memory(-1, 0), &now(MIB, -1)).is_ok());
        }
        let swapped = Stats { swap_bytes: Some(1 << 20), ..now(2 * MIB, 4 * MIB) };
        let error = change_v1(plan_v1(&memory(MIB, MIB)).unwrap(), &swapped).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.memory.swap 1048576: is below the 1572864 bytes of memory and swap that are used"
        );
    }

    #[test]
    fn a_file_of_unified_is_checked_like_the_field() {
        let unified = crate::unified::plan_v2("memory.max", "4096").unwrap();
        let error = change_v2(vec![unified], &now(MIB, MIB)).unwrap_err();
        assert!(error.to_string().starts_with("cannot use linux.resources.unified.memory.max 4096: "), "{error}");
    }

    #[test]
    fn a_limit_above_a_swap_total_that_stays_is_refused_with_the_flag_to_change_too() {
        let error = change_v1(plan_v1(&memory(4 * MIB, 0)).unwrap(), &now(2 * MIB, 2 * MIB)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.memory.limit 4194304: is above the 2097152 bytes of memory and swap together \
             that it has"
        );
        assert_eq!(error.hint(), Some("change --memory-swap too"));
        assert!(plan_v1(&memory(4 * MIB, 2 * MIB)).unwrap_err().hint().unwrap().contains("--memory-swap"));
    }

    /// What both plans mean: memory, swap alone, and reservation; `None` where nothing is written.
    fn meaning(writes: &[Write]) -> [Option<Limit>; 3] {
        let any = |v1, v2| asked(writes, v1).or_else(|| asked(writes, v2));
        let alone = match (asked(writes, LIMIT_V1), asked(writes, SWAP_V1)) {
            (Some(Limit::At(limit)), Some(Limit::At(total))) => Some(Limit::At(total - limit)),
            (_, total) => total,
        };
        let swap = alone.or_else(|| asked(writes, SWAP_V2));
        [any(LIMIT_V1, LIMIT_V2), swap, any(RESERVATION_V1, RESERVATION_V2)]
    }

    proptest! {
        #[test]
        fn the_plans_of_both_versions_describe_the_same(
            limit in prop::option::of(-1_i64..100),
            swap in prop::option::of(-1_i64..100),
            reservation in prop::option::of(-1_i64..100),
        ) {
            let asked = oci::Memory { limit, swap, reservation, ..Default::default() };
            match (plan_v1(&asked), plan_v2(&asked)) {
                (Ok(v1), Ok(v2)) => {
                    prop_assert_eq!(meaning(&v1), meaning(&v2));
                    prop_assert_eq!(v1.len(), v2.len());
                    for (one, other) in v1.iter().zip(&v2) {
                        prop_assert_eq!(one.other.clone(), Some((other.file.clone(), other.value.clone())));
                        prop_assert_eq!(other.other.clone(), Some((one.file.clone(), one.value.clone())));
                    }
                }
                (v1, v2) => prop_assert_eq!(v1.unwrap_err(), v2.unwrap_err()),
            }
        }

        #[test]
        fn memsw_is_never_below_the_limit_on_the_way(
            from in 1_i64..50, from_swap in 0_i64..50, to in 1_i64..50, to_swap in 0_i64..50,
        ) {
            let present = Stats { usage_bytes: Some(0), ..now(from, from + from_swap) };
            let (mut limit, mut total) = (from, from + from_swap);
            for write in change_v1(plan_v1(&memory(to, to + to_swap)).unwrap(), &present).unwrap() {
                *(if write.file == LIMIT_V1 { &mut limit } else { &mut total }) = write.value.parse().unwrap();
                prop_assert!(limit <= total, "{}", write);
            }
            prop_assert_eq!((limit, total), (to, to + to_swap));
        }

        #[test]
        fn reading_never_fails_hard(text in "(max |oom_kill |anon )?[ -~\n]{0,40}") {
            let _ = (stats_v1(|_| Some(text.clone())), stats_v2(|_| Some(text.clone())));
        }
    }

    #[test]
    fn both_versions_read_into_the_same_numbers() {
        let v1 = stats_v1(|file| {
            Some(match file {
                "memory.limit_in_bytes" => "67108864\n".into(),
                "memory.memsw.limit_in_bytes" => "134217728\n".into(),
                "memory.usage_in_bytes" => "40960\n".into(),
                "memory.max_usage_in_bytes" => "81920\n".into(),
                "memory.failcnt" => "2\n".into(),
                "memory.memsw.failcnt" => "7\n".into(),
                "memory.oom_control" => "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n".into(),
                "memory.stat" => {
                    "cache 1\nrss 1\nswap 1\ninactive_file 1\nhierarchical_memory_limit 67108864\ntotal_cache 12288\n\
                     total_rss 8192\ntotal_rss_huge 0\ntotal_swap 4096\ntotal_swapcached 0\ntotal_inactive_file 8192\n"
                        .into()
                }
                _ => return None,
            })
        });
        let v2 = stats_v2(|file| {
            Some(match file {
                "memory.max" => "67108864\n".into(),
                "memory.swap.max" => "67108864\n".into(),
                "memory.current" => "40960\n".into(),
                "memory.swap.current" => "4096\n".into(),
                "memory.peak" => "81920\n".into(),
                "memory.events" => "low 0\nhigh 0\nmax 11\noom 4\noom_kill 3\noom_group_kill 0\n".into(),
                "memory.events.local" => "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n".into(),
                "memory.stat" => "anon 8192\nfile 12288\nkernel 4096\nfile_mapped 0\nanon_thp 0\ninactive_file 8192\n\
                     active_file 4096\n"
                    .into(),
                _ => return None,
            })
        });
        assert_eq!(v2.oom_events, Some(2));
        assert_eq!(v1, Stats { oom_events: None, ..v2 });
        assert_eq!((v1.limit, v1.swap_limit), (Some(Limit::At(64 << 20)), Some(Limit::At(64 << 20))));
        assert_eq!((v1.total_limit(), v1.limit_hits, v1.oom_kills), (Some(Limit::At(128 << 20)), Some(9), Some(3)));
        assert_eq!((v1.used_bytes(), v1.swap_bytes), (Some(32_768), Some(4096)));
    }

    #[test]
    fn a_count_that_the_kernel_no_longer_keeps_is_unknown_and_not_zero() {
        let swap = Some(Limit::At(4096));
        assert_eq!(limit_hits_v1(Some(Limit::At(0)), Some(0), Some(0)), None);
        assert_eq!(limit_hits_v1(Some(Limit::At(0)), Some(0), Some(3)), Some(3));
        assert_eq!(limit_hits_v1(swap, Some(0), Some(0)), Some(0));
        assert_eq!((limit_hits_v1(None, Some(2), None), limit_hits_v1(swap, None, Some(1))), (Some(2), None));
    }

    #[test]
    fn what_is_used_is_never_below_zero_and_unknown_where_a_part_is() {
        let stats = |usage_bytes, inactive_file_bytes| Stats { usage_bytes, inactive_file_bytes, ..Stats::default() };
        assert_eq!(stats(Some(1), Some(2)).used_bytes(), Some(0));
        assert_eq!((stats(Some(1), None).used_bytes(), stats(None, Some(1)).used_bytes()), (None, None));
    }

    #[test]
    fn unlimited_and_unreadable_are_two_things() {
        assert_eq!(stats_v1(|_| None), Stats::default());
        let unlimited = stats_v1(|_| Some("9223372036854771712\n".into()));
        assert_eq!((unlimited.limit, unlimited.total_limit()), (Some(Limit::Unlimited), Some(Limit::Unlimited)));
        assert_eq!(stats_v2(|_| Some("max\n".into())).limit, Some(Limit::Unlimited));
        assert_eq!(stats_v2(|_| Some("rubbish".into())), Stats::default());
    }
}
