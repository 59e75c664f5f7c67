//! The flags of `run` and `create` that say how a container's health is checked.

use std::time::Duration;

use engine::health::{HealthWish, Healthcheck, Test};
use error::{Refused, Result};

use super::Draft;
use crate::flags::{Flag, Given};
use crate::value::duration;

/// What was said of its health.
#[derive(Debug, Default)]
pub(super) struct Said {
    check: Healthcheck,
    never: bool,
}

pub(super) const FLAGS: &[Flag<Draft>] = &[
    Flag::value(
        "health-cmd",
        "COMMAND",
        command,
        "check its health by this line for its /bin/sh, which then ends with 0",
    ),
    Flag::value("health-interval", "DURATION", interval, "how long to wait before each check (30s)"),
    Flag::value("health-retries", "COUNT", retries, "so many checks in a row must fail for it to be unhealthy (3)"),
    Flag::value("health-start-interval", "DURATION", start_interval, "the interval in the start period (5s)"),
    Flag::value(
        "health-start-period",
        "DURATION",
        start_period,
        "how long after its start failures are not counted (0s)",
    ),
    Flag::value("health-timeout", "DURATION", timeout, "how long a check may take (30s)"),
    Flag::switch("no-healthcheck", |draft, on| draft.health.never = on, "do not check its health"),
];

impl Said {
    /// # Errors
    /// Refused where both are wished for.
    pub(super) fn wish(self) -> Result<HealthWish> {
        match (self.never, self.check == Healthcheck::default()) {
            (true, false) => {
                let refused = Refused::new("--no-healthcheck", "", "contradicts the flags that begin with --health-");
                Err(refused.hint("leave one of them out").into())
            }
            (true, true) => Ok(HealthWish::Unchecked),
            (false, true) => Ok(HealthWish::Unsaid),
            (false, false) => Ok(HealthWish::Checked(self.check)),
        }
    }
}

fn command(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    let line = Some(given.value.to_owned()).filter(|line| !line.is_empty());
    draft.health.check.command = line.map(Test::Line);
    Ok(())
}

fn set(given: Given<'_>, time: &mut Option<Duration>) -> Result<()> {
    *time = duration::wait(given)?;
    Ok(())
}

fn interval(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    set(given, &mut draft.health.check.interval)
}

fn timeout(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    set(given, &mut draft.health.check.timeout)
}

fn start_period(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    set(given, &mut draft.health.check.start_period)
}

fn start_interval(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    set(given, &mut draft.health.check.start_interval)
}

fn retries(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    match given.value.parse() {
        Ok(count) => draft.health.check.retries = Some(count).filter(|count| *count != 0),
        Err(_) => return Err(given.refused("is not a whole number from 0 up").into()),
    }
    Ok(())
}
