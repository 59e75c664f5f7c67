//! CPU time: weight (shares) and bandwidth (quota, period, burst). Microseconds.
//!
//! Documentation/scheduler/sched-bwc.rst, cgroup-v2.rst "CPU", OCI config-linux.md "CPU".

use error::{Refused, Result};

use crate::Limit;
use crate::file::number_at;
use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

const SHARES_V1: &str = "cpu.shares";
const WEIGHT_V2: &str = "cpu.weight";
const QUOTA_V1: &str = "cpu.cfs_quota_us";
const PERIOD_V1: &str = "cpu.cfs_period_us";
const MAX_V2: &str = "cpu.max";
const BURST_V1: &str = "cpu.cfs_burst_us";
const BURST_V2: &str = "cpu.max.burst";
const IDLE: &str = "cpu.idle";
const RT_PERIOD_V1: &str = "cpu.rt_period_us";
const RT_RUNTIME_V1: &str = "cpu.rt_runtime_us";
/// The same name in both versions, with other keys.
const STAT: &str = "cpu.stat";

const SHARES: &str = "linux.resources.cpu.shares";
const QUOTA: &str = "linux.resources.cpu.quota";
const PERIOD: &str = "linux.resources.cpu.period";
const BURST: &str = "linux.resources.cpu.burst";
const IDLE_FIELD: &str = "linux.resources.cpu.idle";
const RT_PERIOD: &str = "linux.resources.cpu.realtimePeriod";
const RT_RUNTIME: &str = "linux.resources.cpu.realtimeRuntime";

/// The period of a group that was given none.
pub const DEFAULT_PERIOD_USEC: u64 = 100_000;
/// The bounds of a period, and the least quota: kernel/sched/core.c `min_cfs_quota_period`, `max_cfs_quota_period`.
const PERIODS_USEC: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;

const SHARES_RANGE: std::ops::RangeInclusive<u32> = 2..=262_144;
const WEIGHT_RANGE: std::ops::RangeInclusive<u32> = 1..=10_000;

/// The v2 weight for a number of v1 shares: the curve through (2, 1), (1024, 100) and (262144, 10000) that runc and crun
/// use since 2025, so that the two defaults meet. Shares out of the kernel's range count as its nearest end.
#[must_use]
pub fn weight_of_shares(shares: u64) -> u32 {
    let shares = u32::try_from(shares).unwrap_or(u32::MAX).clamp(*SHARES_RANGE.start(), *SHARES_RANGE.end());
    let log = f64::from(shares).log2();
    let weight = 10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0);
    // The least whole weight that is not below, with room for the last bits of the floating-point numbers.
    first(WEIGHT_RANGE, |whole| f64::from(whole) + 1e-6 >= weight)
}

/// The fewest v1 shares that give at least a v2 weight: the inverse of [`weight_of_shares`].
#[must_use]
pub fn shares_of_weight(weight: u64) -> u32 {
    let weight = u32::try_from(weight).unwrap_or(u32::MAX).clamp(*WEIGHT_RANGE.start(), *WEIGHT_RANGE.end());
    first(SHARES_RANGE, |shares| weight_of_shares(u64::from(shares)) >= weight)
}

/// The first number of a range that fulfils a condition which all after it fulfil too; its end where none does.
fn first(range: std::ops::RangeInclusive<u32>, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = range.into_inner();
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// So much CPU time in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// CPU time, in microseconds, of all CPUs together.
    pub quota_usec: u64,
    /// The period, in microseconds.
    pub period_usec: u64,
}

impl Bandwidth {
    /// Reads the texts of a v1 group's quota and period; `None` where the group has no limit.
    #[must_use]
    pub(crate) fn read_v1(read: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        Some(Self { quota_usec: number(QUOTA_V1)?, period_usec: number(PERIOD_V1).filter(|period| *period > 0)? })
    }

    /// The share of the period as the kernel compares it: kernel/sched/core.c `to_ratio`.
    fn ratio(self) -> u128 {
        (u128::from(self.quota_usec) << 20) / u128::from(self.period_usec.max(1))
    }

    /// The number of CPUs, as `--cpus` has it.
    fn cpus(self) -> String {
        let thousandths = u128::from(self.quota_usec) * 1000 / u128::from(self.period_usec.max(1));
        let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// The settings of a fresh group, checked: the same for both versions.
struct Settings {
    shares: Option<u64>,
    quota: Option<Limit>,
    period: Option<u64>,
    burst: Option<u64>,
    idle: Option<i64>,
}

impl Settings {
    fn of(cpu: &oci::Cpu) -> Result<Self> {
        let asked = |value: Option<u64>| value.filter(|value| *value != 0);
        let settings = Self {
            shares: asked(cpu.shares),
            quota: cpu.quota.filter(|quota| *quota != 0).map(|q| u64::try_from(q).map_or(Limit::Unlimited, Limit::At)),
            period: asked(cpu.period),
            burst: cpu.burst,
            idle: cpu.idle,
        };
        if let Some(period) = settings.period.filter(|period| !PERIODS_USEC.contains(period)) {
            let reason = "is not between 1000 and 1000000 microseconds";
            return Err(Refused::new(PERIOD, period.to_string(), reason).into());
        }
        if let Some(Limit::At(quota)) = settings.quota
            && quota < *PERIODS_USEC.start()
        {
            let reason = "is below the kernel's minimum of 1000 microseconds";
            return Err(Refused::new(QUOTA, quota.to_string(), reason).hint("use 0.01 cpus or more").into());
        }
        if let Some(burst) = settings.burst.filter(|burst| *burst > 0) {
            let Some(Limit::At(quota)) = settings.quota else {
                return Err(Refused::new(BURST, burst.to_string(), "needs a quota").into());
            };
            if burst > quota {
                return Err(Refused::new(BURST, burst.to_string(), format!("is above the quota {quota}")).into());
            }
        }
        if let Some(idle) = settings.idle.filter(|idle| !matches!(idle, 0 | 1)) {
            return Err(Refused::new(IDLE_FIELD, idle.to_string(), "is neither 0 nor 1").into());
        }
        Ok(settings)
    }

    fn period_or_default(&self) -> u64 {
        self.period.unwrap_or(DEFAULT_PERIOD_USEC)
    }

    /// The whole of v2's `cpu.max`, where quota or period was asked for.
    fn max(&self) -> Option<String> {
        let period = self.period_or_default();
        match (self.quota, self.period) {
            (Some(Limit::At(quota)), _) => Some(format!("{quota} {period}")),
            (Some(Limit::Unlimited), _) | (None, Some(_)) => Some(format!("max {period}")),
            (None, None) => None,
        }
    }
}

/// What a fresh v1 group is given; `parent` is the nearest bandwidth limit above it. The period comes before the quota,
/// since the kernel checks their ratio, and shares before idle, which forbids them.
///
/// # Errors
/// Refused for values out of the kernel's range, and for more bandwidth than the parent has: v1 does not take that.
pub fn plan_v1(cpu: &oci::Cpu, parent: Option<Bandwidth>) -> Result<Vec<Write>> {
    let settings = Settings::of(cpu)?;
    if let (Some(Limit::At(quota_usec)), Some(parent)) = (settings.quota, parent) {
        let asked = Bandwidth { quota_usec, period_usec: settings.period_or_default() };
        if asked.ratio() > parent.ratio() {
            let reason = format!(
                "is {} cpus, and the group above has {}: a v1 cgroup cannot exceed its parent",
                asked.cpus(),
                parent.cpus()
            );
            let hint = format!("use --cpus {} or less", parent.cpus());
            return Err(Refused::new(QUOTA, quota_usec.to_string(), reason).hint(hint).into());
        }
    }
    let write =
        |field: &'static str, file: &'static str, value: String| Write::new(Controller::Cpu, field, file, value);
    let max = settings.max().unwrap_or_default();
    let mut writes = Vec::new();
    writes.extend(
        settings
            .shares
            .map(|shares| write(SHARES, SHARES_V1, shares.to_string()).other(WEIGHT_V2, weight_of_shares(shares))),
    );
    writes.extend(settings.period.map(|period| write(PERIOD, PERIOD_V1, period.to_string()).other(MAX_V2, &max)));
    writes.extend(settings.quota.map(|quota| {
        let quota = match quota {
            Limit::Unlimited => "-1".to_owned(),
            Limit::At(quota) => quota.to_string(),
        };
        write(QUOTA, QUOTA_V1, quota).other(MAX_V2, &max)
    }));
    writes.extend(settings.burst.map(|burst| write(BURST, BURST_V1, burst.to_string()).other(BURST_V2, burst)));
    writes.extend(settings.idle.map(|idle| write(IDLE_FIELD, IDLE, idle.to_string()).other(IDLE, idle)));
    writes.extend(cpu.realtime_period.map(|period| write(RT_PERIOD, RT_PERIOD_V1, period.to_string())));
    writes.extend(cpu.realtime_runtime.map(|runtime| write(RT_RUNTIME, RT_RUNTIME_V1, runtime.to_string())));
    Ok(writes)
}

/// What a fresh v2 group is given.
///
/// # Errors
/// Refused for values out of the kernel's range, and for realtime scheduling, which v2 does not divide.
pub fn plan_v2(cpu: &oci::Cpu) -> Result<Vec<Write>> {
    let settings = Settings::of(cpu)?;
    let realtime = [
        (RT_PERIOD, cpu.realtime_period.map(|period| period.to_string())),
        (RT_RUNTIME, cpu.realtime_runtime.map(|runtime| runtime.to_string())),
    ];
    if let Some((field, Some(value))) = realtime.into_iter().find(|(_, value)| value.is_some()) {
        return Err(Refused::new(field, value, "cgroup v2 does not divide realtime CPU time").into());
    }
    let write =
        |field: &'static str, file: &'static str, value: String| Write::new(Controller::Cpu, field, file, value);
    let mut writes = Vec::new();
    writes.extend(
        settings
            .shares
            .map(|shares| write(SHARES, WEIGHT_V2, weight_of_shares(shares).to_string()).other(SHARES_V1, shares)),
    );
    writes.extend(settings.max().map(|max| match settings.quota {
        Some(Limit::At(quota)) => write(QUOTA, MAX_V2, max).other(QUOTA_V1, quota),
        Some(Limit::Unlimited) => write(QUOTA, MAX_V2, max).other(QUOTA_V1, -1),
        None => write(PERIOD, MAX_V2, max).other(PERIOD_V1, settings.period_or_default()),
    }));
    writes.extend(settings.burst.map(|burst| write(BURST, BURST_V2, burst.to_string()).other(BURST_V1, burst)));
    writes.extend(settings.idle.map(|idle| write(IDLE_FIELD, IDLE, idle.to_string()).other(IDLE, idle)));
    Ok(writes)
}

/// A group's bandwidth and how it was held back. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// CPU time in each period, in microseconds.
    pub quota_usec: Option<Limit>,
    /// The period, in microseconds.
    pub period_usec: Option<u64>,
    /// Periods in which the group ran.
    pub periods: Option<u64>,
    /// Periods in which its quota ran out.
    pub throttled_periods: Option<u64>,
    /// How long its CPUs were held back, in microseconds.
    pub throttled_usec: Option<u64>,
}

/// Reads a v1 group; `read` gives a file's text.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    let quota = || match read(QUOTA_V1)?.trim() {
        "-1" => Some(Limit::Unlimited),
        quota => quota.parse().ok().map(Limit::At),
    };
    let stat = read(STAT);
    let at = |key| number_at(stat.as_deref()?, key);
    Stats {
        quota_usec: quota(),
        period_usec: read(PERIOD_V1).and_then(|text| text.trim().parse().ok()),
        periods: at("nr_periods"),
        throttled_periods: at("nr_throttled"),
        throttled_usec: at("throttled_time").map(|nanoseconds| nanoseconds / 1000),
    }
}

/// Reads a v2 group; `read` gives a file's text.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    let max = read(MAX_V2);
    let (quota, period) = max.as_deref().and_then(|text| text.trim().split_once(' ')).unzip();
    let quota = || match quota? {
        "max" => Some(Limit::Unlimited),
        quota => quota.parse().ok().map(Limit::At),
    };
    let stat = read(STAT);
    let at = |key| number_at(stat.as_deref()?, key);
    Stats {
        quota_usec: quota(),
        period_usec: period.and_then(|period| period.parse().ok()),
        periods: at("nr_periods"),
        throttled_periods: at("nr_throttled"),
        throttled_usec: at("throttled_usec"),
    }
}

/// CPU time used by a v2 group, in microseconds: it stands in the same file, see `cpuacct.rs` for v1.
pub fn usage_usec_v2(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    number_at(&read(STAT)?, "usage_usec")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(writes: &[Write]) -> Vec<String> {
        writes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_and_the_ends_of_shares_and_weight_meet() {
        for (shares, weight) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        assert_eq!((shares_of_weight(0), shares_of_weight(100), shares_of_weight(10_000)), (2, 1012, 262_115));
    }

    proptest! {
        #[test]
        fn weight_and_shares_are_monotone_and_in_range(one: u64, other: u64, small in 0_u64..300_000, step in 0_u64..1000) {
            for (low, high) in [(one.min(other), one.max(other)), (small, small + step)] {
                prop_assert!(weight_of_shares(low) <= weight_of_shares(high));
                prop_assert!(shares_of_weight(low) <= shares_of_weight(high));
                prop_assert!(WEIGHT_RANGE.contains(&weight_of_shares(low)));
                prop_assert!(SHARES_RANGE.contains(&shares_of_weight(low)));
            }
        }

        #[test]
        fn shares_of_a_weight_give_at_least_that_weight(weight in 1_u32..=10_000) {
            prop_assert!(weight_of_shares(u64::from(shares_of_weight(u64::from(weight)))) >= weight);
        }
    }

    #[test]
    fn half_a_cpu_is_a_quota_on_v1_and_a_pair_on_v2() {
        let asked = oci::Cpu { shares: Some(512), quota: Some(50_000), period: Some(100_000), ..Default::default() };
        assert_eq!(
            shown(&plan_v1(&asked, None).unwrap()),
            ["cpu.shares = 512", "cpu.cfs_period_us = 100000", "cpu.cfs_quota_us = 50000"]
        );
        assert_eq!(shown(&plan_v2(&asked).unwrap()), ["cpu.weight = 59", "cpu.max = 50000 100000"]);
    }

    #[test]
    fn zero_is_not_asked_and_negative_is_unlimited() {
        let zero = oci::Cpu { shares: Some(0), quota: Some(0), period: Some(0), ..Default::default() };
        assert_eq!(plan_v1(&zero, None).unwrap(), []);
        assert_eq!(plan_v2(&zero).unwrap(), []);
        let unlimited = oci::Cpu { quota: Some(-1), ..Default::default() };
        assert_eq!(shown(&plan_v1(&unlimited, None).unwrap()), ["cpu.cfs_quota_us = -1"]);
        assert_eq!(shown(&plan_v2(&unlimited).unwrap()), ["cpu.max = max 100000"]);
    }

    #[test]
    fn more_than_a_v1_parent_has_is_refused_with_what_it_has() {
        let parent = Some(Bandwidth { quota_usec: 20_000, period_usec: 100_000 });
        let asked = oci::Cpu { quota: Some(150_000), ..Default::default() };
        let error = plan_v1(&asked, parent).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.cpu.quota 150000: is 1.5 cpus, and the group above has 0.2: \
             a v1 cgroup cannot exceed its parent"
        );
        assert_eq!(error.hint(), Some("use --cpus 0.2 or less"));
        let same = oci::Cpu { quota: Some(2_000), period: Some(10_000), ..Default::default() };
        assert_eq!(plan_v1(&same, parent).unwrap().len(), 2);
    }

    #[test]
    fn values_that_the_kernel_does_not_take_are_refused() {
        let cases = [
            oci::Cpu { quota: Some(999), ..Default::default() },
            oci::Cpu { period: Some(999), ..Default::default() },
            oci::Cpu { period: Some(1_000_001), ..Default::default() },
            oci::Cpu { burst: Some(1), ..Default::default() },
            oci::Cpu { burst: Some(2_000), quota: Some(1_000), ..Default::default() },
            oci::Cpu { idle: Some(2), ..Default::default() },
        ];
        for asked in cases {
            assert!(plan_v1(&asked, None).is_err(), "{asked:?}");
            assert!(plan_v2(&asked).is_err(), "{asked:?}");
        }
        let realtime = oci::Cpu { realtime_runtime: Some(950_000), ..Default::default() };
        assert!(plan_v1(&realtime, None).is_ok());
        assert!(plan_v2(&realtime).is_err());
    }

    #[test]
    fn both_versions_read_into_the_same_numbers() {
        let v1 = stats_v1(|file| {
            Some(match file {
                "cpu.cfs_quota_us" => "50000\n".into(),
                "cpu.cfs_period_us" => "100000\n".into(),
                "cpu.stat" => "nr_periods 9\nnr_throttled 4\nthrottled_time 7000\n".into(),
                _ => return None,
            })
        });
        let v2 = stats_v2(|file| {
            Some(match file {
                "cpu.max" => "50000 100000\n".into(),
                "cpu.stat" => "usage_usec 1\nnr_periods 9\nnr_throttled 4\nthrottled_usec 7\n".into(),
                _ => return None,
            })
        });
        assert_eq!(v1, v2);
        assert_eq!(v1.throttled_usec, Some(7));
        assert_eq!(stats_v2(|_| None), Stats::default());
        assert_eq!(stats_v2(|_| Some("max 100000\n".into())).quota_usec, Some(Limit::Unlimited));
    }
}
