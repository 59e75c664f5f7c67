//! Memory and swap. Bytes throughout; the kernel rounds a limit down to whole pages.
//!
//! Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst "Memory", OCI config-linux.md "Memory". OCI's `swap` is
//! memory and swap together, as v1's memsw has it; v2 limits swap alone.

use error::{Refused, Result};

use crate::Limit;
use crate::file::number_at;
use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

/// The smallest limit that a container can be started with; the kernel itself takes any.
pub const MINIMUM_BYTES: u64 = 6 << 20;

const LIMIT_V1: &str = "memory.limit_in_bytes";
const LIMIT_V2: &str = "memory.max";
const SWAP_V1: &str = "memory.memsw.limit_in_bytes";
const SWAP_V2: &str = "memory.swap.max";
const RESERVATION_V1: &str = "memory.soft_limit_in_bytes";
const RESERVATION_V2: &str = "memory.low";
const SWAPPINESS_V1: &str = "memory.swappiness";
const OOM_CONTROL_V1: &str = "memory.oom_control";

const LIMIT: &str = "linux.resources.memory.limit";
const SWAP: &str = "linux.resources.memory.swap";
const RESERVATION: &str = "linux.resources.memory.reservation";
const KERNEL: &str = "linux.resources.memory.kernel";
const KERNEL_TCP: &str = "linux.resources.memory.kernelTCP";
const SWAPPINESS: &str = "linux.resources.memory.swappiness";
const DISABLE_OOM_KILLER: &str = "linux.resources.memory.disableOOMKiller";

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
}

impl Settings {
    fn of(memory: &oci::Memory) -> Result<Self> {
        for (field, value) in [(KERNEL, memory.kernel), (KERNEL_TCP, memory.kernel_tcp)] {
            if let Some(value) = value.filter(|value| *value > 0) {
                let reason = "the kernel no longer has limits for kernel memory alone";
                return Err(Refused::new(field, value.to_string(), reason).hint("leave it out").into());
            }
        }
        let limit = self::limit(memory.limit);
        let total = self::limit(memory.swap);
        let swap = match (limit, total) {
            (_, None) => None,
            (_, Some(Limit::Unlimited)) => Some(Limit::Unlimited),
            (Some(Limit::At(limit)), Some(Limit::At(total))) => {
                let refused = || {
                    Refused::new(
                        SWAP,
                        total.to_string(),
                        format!("is memory and swap together, and below the memory limit {limit}"),
                    )
                    .hint("give the memory limit plus the swap that is wanted, or -1 for unlimited swap")
                };
                Some(Limit::At(total.checked_sub(limit).ok_or_else(refused)?))
            }
            (None | Some(Limit::Unlimited), Some(Limit::At(total))) => {
                let reason = "is memory and swap together, and there is no memory limit";
                return Err(Refused::new(SWAP, total.to_string(), reason).hint("give a memory limit too").into());
            }
        };
        Ok(Self { limit, total, swap, reservation: self::limit(memory.reservation) })
    }
}

/// OCI's number: absent and 0 leave the kernel's default, a negative one means no limit.
fn limit(value: Option<i64>) -> Option<Limit> {
    match value {
        None | Some(0) => None,
        Some(value) => Some(u64::try_from(value).map_or(Limit::Unlimited, Limit::At)),
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

/// What a fresh v1 group is given. The limit comes before memsw, which must never be the smaller of the two.
///
/// # Errors
/// Refused for a swap total without or below a memory limit, and for limits that the kernel no longer has.
pub fn plan_v1(memory: &oci::Memory) -> Result<Vec<Write>> {
    let Settings { limit, total, swap, reservation } = Settings::of(memory)?;
    let write = |field, file, limit: Limit| Write::new(Controller::Memory, field, file, text_v1(limit));
    let mut writes = Vec::new();
    writes.extend(limit.map(|limit| write(LIMIT, LIMIT_V1, limit).other(LIMIT_V2, text_v2(limit))));
    writes.extend(total.zip(swap).map(|(total, swap)| write(SWAP, SWAP_V1, total).other(SWAP_V2, text_v2(swap))));
    writes.extend(reservation.map(|low| write(RESERVATION, RESERVATION_V1, low).other(RESERVATION_V2, text_v2(low))));
    if let Some(swappiness) = memory.swappiness {
        if swappiness > 100 {
            return Err(Refused::new(SWAPPINESS, swappiness.to_string(), "is not between 0 and 100").into());
        }
        writes.push(Write::new(Controller::Memory, SWAPPINESS, SWAPPINESS_V1, swappiness));
    }
    if memory.disable_oom_killer == Some(true) {
        writes.push(Write::new(Controller::Memory, DISABLE_OOM_KILLER, OOM_CONTROL_V1, 1));
    }
    Ok(writes)
}

/// What a fresh v2 group is given.
///
/// # Errors
/// As [`plan_v1`]; refused too for what v2 does not have for a group: swappiness, and disabling the OOM killer.
pub fn plan_v2(memory: &oci::Memory) -> Result<Vec<Write>> {
    let Settings { limit, total, swap, reservation } = Settings::of(memory)?;
    let write = |field, file, limit: Limit| Write::new(Controller::Memory, field, file, text_v2(limit));
    let mut writes = Vec::new();
    writes.extend(limit.map(|limit| write(LIMIT, LIMIT_V2, limit).other(LIMIT_V1, text_v1(limit))));
    writes.extend(total.zip(swap).map(|(total, swap)| write(SWAP, SWAP_V2, swap).other(SWAP_V1, text_v1(total))));
    writes.extend(reservation.map(|low| write(RESERVATION, RESERVATION_V2, low).other(RESERVATION_V1, text_v1(low))));
    if let Some(swappiness) = memory.swappiness {
        return Err(Refused::new(SWAPPINESS, swappiness.to_string(), "cgroup v2 has no swappiness for a group").into());
    }
    if memory.disable_oom_killer == Some(true) {
        let reason = "cgroup v2 cannot disable the OOM killer for a group";
        return Err(Refused::new(DISABLE_OOM_KILLER, "true", reason).into());
    }
    Ok(writes)
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

/// A group's memory, in bytes. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// The limit of memory without swap.
    pub limit: Option<Limit>,
    /// What is used now, page cache included.
    pub usage_bytes: Option<u64>,
    /// The most that was ever used; v2 has it since Linux 5.19.
    pub peak_bytes: Option<u64>,
    /// Processes of this group, and on v2 of those below it, that the OOM killer has killed.
    pub oom_kills: Option<u64>,
}

/// Reads a v1 group; `read` gives a file's text.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    Stats {
        limit: number(LIMIT_V1).map(|bytes| if bytes >= UNLIMITED_V1 { Limit::Unlimited } else { Limit::At(bytes) }),
        usage_bytes: number("memory.usage_in_bytes"),
        peak_bytes: number("memory.max_usage_in_bytes"),
        oom_kills: oom_kills_v1(&read),
    }
}

/// Reads a v2 group; `read` gives a file's text.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    let limit = || match read(LIMIT_V2)?.trim() {
        "max" => Some(Limit::Unlimited),
        bytes => bytes.parse().ok().map(Limit::At),
    };
    Stats {
        limit: limit(),
        usage_bytes: number("memory.current"),
        peak_bytes: number("memory.peak"),
        oom_kills: oom_kills_v2(&read),
    }
}

/// How many processes of a v1 group the OOM killer has killed; Linux 4.13.
pub fn oom_kills_v1(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    number_at(&read(OOM_CONTROL_V1)?, "oom_kill")
}

/// How many processes of a v2 group, and of those below it, the OOM killer has killed.
pub fn oom_kills_v2(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    number_at(&read("memory.events")?, "oom_kill")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    fn shown(writes: &[Write]) -> Vec<String> {
        writes.iter().map(ToString::to_string).collect()
    }

    fn memory(limit: i64, swap: i64) -> oci::Memory {
        oci::Memory { limit: Some(limit), swap: Some(swap), ..Default::default() }
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
        let no_killer = oci::Memory { disable_oom_killer: Some(true), ..Default::default() };
        assert_eq!(shown(&plan_v1(&no_killer).unwrap()), ["memory.oom_control = 1"]);
        assert!(plan_v2(&no_killer).is_err());
    }

    #[test]
    fn both_versions_read_into_the_same_numbers() {
        let v1 = stats_v1(|file| {
            Some(match file {
                "memory.limit_in_bytes" => "67108864\n".into(),
                "memory.usage_in_bytes" => "4096\n".into(),
                "memory.max_usage_in_bytes" => "8192\n".into(),
                "memory.oom_control" => "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n".into(),
                _ => return None,
            })
        });
        let v2 = stats_v2(|file| {
            Some(match file {
                "memory.max" => "67108864\n".into(),
                "memory.current" => "4096\n".into(),
                "memory.peak" => "8192\n".into(),
                "memory.events" => "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n".into(),
                _ => return None,
            })
        });
        assert_eq!(v1, v2);
        assert_eq!((v1.limit, v1.oom_kills), (Some(Limit::At(64 << 20)), Some(3)));
    }

    #[test]
    fn unlimited_and_unreadable_are_two_things() {
        assert_eq!(stats_v1(|_| None), Stats::default());
        assert_eq!(stats_v1(|_| Some("9223372036854771712\n".into())).limit, Some(Limit::Unlimited));
        assert_eq!(stats_v2(|_| Some("max\n".into())).limit, Some(Limit::Unlimited));
        assert_eq!(stats_v2(|_| Some("rubbish".into())), Stats::default());
    }
}
