//! How a container is: what it is checked by, and what its checks have told, in Docker's terms. All of it is a pure
//! function of the results; running the checks is [`crate::checks`].

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is asked for of a container's health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthWish {
    /// Nothing.
    #[default]
    Unsaid,
    /// That it is not checked, whatever its root says.
    Unchecked,
    /// That it is checked.
    Checked(Healthcheck),
}

/// What a container is checked by. What was not given is Docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// What is run in the container, and ends with 0 if it is well; without it nothing is checked.
    pub command: Option<Test>,
    /// The words that a line is given to; without any `/bin/sh -c`.
    #[serde(default)]
    pub shell: Vec<String>,
    /// From the end of a check, or the container's start, to the next check.
    pub interval: Option<Duration>,
    /// How long a check may take.
    pub timeout: Option<Duration>,
    /// How many checks in a row fail before the container is unhealthy.
    pub retries: Option<u32>,
    /// How long checks may fail after the start without being counted.
    pub start_period: Option<Duration>,
    /// The interval meanwhile.
    pub start_interval: Option<Duration>,
}

/// What a check runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Test {
    /// A line for the container's shell.
    Line(String),
    /// A program and its arguments.
    Words(Vec<String>),
}

impl Healthcheck {
    const INTERVAL: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(30);
    const START_INTERVAL: Duration = Duration::from_secs(5);
    const RETRIES: u32 = 3;

    /// The words that a check runs, if anything is checked.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        match self.command.as_ref()? {
            Test::Words(words) => Some(words.clone()),
            Test::Line(line) if self.shell.is_empty() => Some(["/bin/sh", "-c", line].map(str::to_owned).to_vec()),
            Test::Line(line) => Some(self.shell.iter().chain([line]).cloned().collect()),
        }
    }

    /// How long a check may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Self::TIMEOUT)
    }
}

/// Docker's word for a container's health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// No check has told anything yet.
    #[default]
    Starting,
    /// The last checks did not all fail.
    Healthy,
    /// Too many failed, or nothing is checked any more.
    Unhealthy,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckResult {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its exit code; [`NO_CODE`] where it has none.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// The exit code of a check that did not end by itself, or did not begin.
pub(crate) const NO_CODE: i32 = -1;

/// What a container's checks have told, in the form of Docker's document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// What it comes to.
    pub status: Condition,
    /// How many checks have failed since one did not.
    pub failing_streak: u32,
    /// The last checks, the oldest first.
    pub log: VecDeque<CheckResult>,
}

impl Health {
    /// How many checks are remembered.
    const REMEMBERED: usize = 5;

    /// Of a container that starts, where this was so before; what was told of it earlier is still told.
    pub(crate) fn anew(former: Option<Self>) -> Self {
        Self { log: former.map(|former| former.log).unwrap_or_default(), ..Self::default() }
    }

    /// Nothing is checked any more: with Docker such a container is unhealthy.
    #[must_use]
    pub(crate) fn unattended(mut self) -> Self {
        self.status = Condition::Unhealthy;
        self
    }

    /// Takes the result of a check that began when the container had run for so long; gives what it has become by it.
    pub(crate) fn take(&mut self, check: &Healthcheck, result: CheckResult, age: Duration) -> Option<Condition> {
        let former = self.status;
        if result.exit_code == 0 {
            (self.failing_streak, self.status) = (0, Condition::Healthy);
        } else if former != Condition::Starting || age >= check.start_period.unwrap_or_default() {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries.unwrap_or(Healthcheck::RETRIES) {
                self.status = Condition::Unhealthy;
            }
        }
        while self.log.len() >= Self::REMEMBERED {
            self.log.pop_front();
        }
        self.log.push_back(result);
        Some(self.status).filter(|status| *status != former)
    }

    /// How long it is until the next check of a container that has run for so long: in its start period more often, and
    /// once when that is over.
    pub(crate) fn pause(&self, check: &Healthcheck, age: Duration) -> Duration {
        let interval = check.interval.unwrap_or(Healthcheck::INTERVAL);
        let left = check.start_period.unwrap_or_default().saturating_sub(age);
        if left.is_zero() {
            return interval;
        }
        let meanwhile = match self.status {
            Condition::Starting => check.start_interval.unwrap_or(Healthcheck::START_INTERVAL),
            Condition::Healthy | Condition::Unhealthy => interval,
        };
        if left < interval { left.min(meanwhile) } else { meanwhile }
    }
}

/// The beginning of what a check writes, to either stream.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Beginning {
    const MOST: usize = 4096;

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let room = Self::MOST - self.bytes.len();
        self.bytes.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        self.is_cut |= bytes.len() > room;
    }

    /// As text, with dots where it goes on.
    pub(crate) fn text(&self) -> String {
        let end = if self.is_cut { "..." } else { "" };
        format!("{}{end}", String::from_utf8_lossy(&self.bytes))
    }
}

/// A time as Go writes it: `1m30s`, `1.5s`, `250ms`.
#[must_use]
pub fn in_go_s_words(time: Duration) -> String {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let of_unit = |parts: u64| Duration::from_nanos(nanos * parts).as_secs_f64();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", of_unit(1_000_000)),
        1_000_000..1_000_000_000 => format!("{}ms", of_unit(1_000)),
        _ => {
            let (hours, minutes) = (time.as_secs() / 3600, time.as_secs() / 60 % 60);
            let rest = Duration::new(time.as_secs() % 60, time.subsec_nanos());
            let seconds = format!("{}s", rest.as_secs_f64());
            match (hours, minutes) {
                (0, 0) => seconds,
                (0, _) => format!("{minutes}m{seconds}"),
                _ => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn result(exit_code: i32) -> CheckResult {
        CheckResult { start: Timestamp::UNIX_EPOCH, end: Timestamp::UNIX_EPOCH, exit_code, output: String::new() }
    }

    /// What a container becomes by checks that end so, each with the age at which it began.
    fn story(check: &Healthcheck, ends: &[(u64, i32)]) -> (Vec<Option<Condition>>, Health) {
        let mut health = Health::default();
        let take = |(age, code): &(u64, i32)| health.take(check, result(*code), Duration::from_secs(*age));
        (ends.iter().map(take).collect(), health)
    }

    #[test]
    fn one_check_that_passes_makes_it_healthy_and_so_many_that_fail_in_a_row_unhealthy() {
        let (told, health) = story(&Healthcheck::default(), &[(0, 0), (1, 1), (2, 1), (3, 0), (4, 1), (5, -1), (6, 2)]);
        let (healthy, unhealthy) = (Some(Condition::Healthy), Some(Condition::Unhealthy));
        assert_eq!(told, [healthy, None, None, None, None, None, unhealthy]);
        assert_eq!((health.status, health.failing_streak), (Condition::Unhealthy, 3));
        let codes: Vec<i32> = health.log.iter().map(|result| result.exit_code).collect();
        assert_eq!(codes, [1, 0, 1, -1, 2], "the last five, the oldest first");
        let (told, health) = story(&Healthcheck { retries: Some(1), ..Healthcheck::default() }, &[(0, 7), (1, 0)]);
        assert_eq!((told.as_slice(), health.failing_streak), (&[unhealthy, healthy][..], 0));
    }

    #[test]
    fn failures_do_not_count_in_the_start_period_unless_a_check_has_passed() {
        let check = Healthcheck { retries: Some(2), start_period: seconds(10), ..Healthcheck::default() };
        let (told, health) = story(&check, &[(1, 1), (5, 1), (9, 1), (10, 1), (11, 1)]);
        assert_eq!(told, [None, None, None, None, Some(Condition::Unhealthy)]);
        assert_eq!(health.failing_streak, 2);
        let (told, _) = story(&check, &[(1, 1), (2, 0), (3, 1), (4, 1)]);
        assert_eq!(told, [None, Some(Condition::Healthy), None, Some(Condition::Unhealthy)]);
    }

    #[test]
    fn it_is_checked_more_often_in_the_start_period_and_once_when_that_is_over() {
        let check = Healthcheck { start_period: seconds(60), ..Healthcheck::default() };
        let of = |status, age| {
            let health = Health { status, ..Health::default() };
            health.pause(&check, Duration::from_secs(age)).as_secs()
        };
        assert_eq!([0, 20, 50, 58, 60].map(|age| of(Condition::Starting, age)), [5, 5, 5, 2, 30]);
        assert_eq!([0, 30, 50, 60].map(|age| of(Condition::Healthy, age)), [30, 30, 10, 30]);
        let usual = Healthcheck { interval: seconds(2), ..Healthcheck::default() };
        assert_eq!(Health::default().pause(&usual, Duration::ZERO), Duration::from_secs(2));
    }

    #[test]
    fn one_that_starts_again_is_starting_and_what_was_told_before_stays() {
        let (_, former) = story(&Healthcheck { retries: Some(1), ..Healthcheck::default() }, &[(0, 1)]);
        let anew = Health::anew(Some(former));
        assert_eq!((anew.status, anew.failing_streak, anew.log.len()), (Condition::Starting, 0, 1));
        assert_eq!(anew.unattended().status, Condition::Unhealthy);
    }

    #[test]
    fn the_beginning_of_what_a_check_writes_is_kept_and_says_that_it_goes_on() {
        let mut output = Beginning::default();
        output.take(b"one\n");
        assert_eq!(output.text(), "one\n");
        output.take(&[b'x'; 4092]);
        assert_eq!(output.text().len(), 4096);
        output.take(b"\xff");
        assert!(output.text().ends_with("x...") && output.text().len() == 4099);
    }

    #[test]
    fn times_are_written_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(in_go_s_words(Duration::from_nanos(nanos)), text);
        }
    }
}
