//! Whether a container that has ended is started again, and after how long: Docker's policies and Docker's back-off.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::Wanted;

/// When a container is started again by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// When it has ended with another code than 0.
    OnFailure {
        /// At most so often; 0 is as often as it takes.
        most: u32,
    },
    /// Whenever it has ended, but for one that was stopped, until the host starts again.
    Always,
    /// Whenever it has ended, but for one that was stopped.
    UnlessStopped,
}

/// As it is asked for.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::OnFailure { most: 0 } => f.write_str("on-failure"),
            Self::OnFailure { most } => write!(f, "on-failure:{most}"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl Policy {
    /// Whether a container that nobody has stopped is started again when it ends with this code, after so many times.
    #[must_use]
    pub const fn holds(self, code: i32, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure { most } => code != 0 && (most == 0 || restarts < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }

    /// Whether a container is started when the host has begun anew.
    pub(crate) fn holds_at_boot(self, wanted: Wanted) -> bool {
        match self {
            Self::No | Self::OnFailure { .. } => false,
            Self::Always => true,
            Self::UnlessStopped => wanted == Wanted::Running,
        }
    }
}

/// How long it is waited before the next start.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BackOff {
    next: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(60);
    /// Who has run for so long was well.
    const WELL: Duration = Duration::from_secs(10);

    pub(crate) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait after a run of this length: twice as long as the last time, unless that run went well.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= Self::WELL {
            self.next = Self::FIRST;
        }
        let delay = self.next;
        self.next = (self.next * 2).min(Self::LONGEST);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_begins_anew_after_a_run_that_went_well() {
        let mut back_off = BackOff::new();
        let mut waited = |ran| back_off.after(Duration::from_secs(ran)).as_millis();
        let all: Vec<u128> = (0..12).map(|_| waited(0)).collect();
        assert_eq!(all, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        assert_eq!([waited(10), waited(9)], [100, 200]);
    }

    #[test]
    fn what_was_stopped_comes_back_with_the_host_by_always_alone() {
        let held = |policy: Policy| [Wanted::Running, Wanted::Stopped].map(|wanted| policy.holds_at_boot(wanted));
        assert_eq!([held(Policy::Always), held(Policy::UnlessStopped)], [[true, true], [true, false]]);
        assert_eq!([held(Policy::No), held(Policy::OnFailure { most: 0 })], [[false, false]; 2]);
    }

    #[test]
    fn each_policy_holds_for_its_ends() {
        let failing = Policy::OnFailure { most: 2 };
        assert!(!Policy::No.holds(1, 0) && Policy::Always.holds(0, 99) && Policy::UnlessStopped.holds(1, 99));
        assert!(failing.holds(1, 1) && !failing.holds(1, 2) && !failing.holds(0, 0));
        assert!(Policy::OnFailure { most: 0 }.holds(137, 1000));
    }
}
