//! `events`: what a container uses, and at once when the kernel kills in it for want of memory, in runc's envelope:
//! `{"type": "stats" or "oom", "id": ID, "data": ...}`, a line each.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use cgroup::alarm::Alarm;
use cgroup::sample::{Depth, Hold, Meter, Roots, Sample};
use cgroup::{GroupPath, Hierarchies, Limit};
use error::{Doing, Refused, Result};
use runtime::resctrl::Place;
use runtime::resctrl::facts::Facts;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use serde_json::{Value, json};

use crate::arguments::Invocation;
use crate::container::{self, refused};
use crate::report;
use crate::stats::stats;
use crate::store::{Record, Store};

/// How long the kernel is given to kill after it has told that it will, and how often that is looked at.
const KILLING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// `events`: once with `--stats`, else every `--interval` until the container has ended.
///
/// # Errors
/// Refused where it does not run, and for what is no interval; a kernel error.
pub(crate) fn events(store: &Store, invocation: &Invocation) -> Result<()> {
    let interval = interval(invocation.value("interval").unwrap_or("5s"))?;
    let record = store.record(invocation.id()?)?;
    let groups = container::running(store, &record)?;
    let path = GroupPath::parse("the recorded group", &record.group)?;
    let hierarchies = Hierarchies::read()?.of_container(&path)?;
    let mut watch = Watch {
        meter: Meter::new(path, Hold::Files),
        roots: Roots::open(hierarchies)?,
        former: Sample::default(),
        record,
    };
    if invocation.has("stats") {
        return watch.tell_stats();
    }
    let first = watch.record.process.and_then(|process| process.open());
    let first = first.ok_or_else(|| refused(&watch.record, "container not running"))?;
    let alarm = groups.memory_alarm().ok();
    watch.former = watch.sample();
    watch.follow(&first, alarm.as_ref(), interval)
}

/// A time span as Go writes it: `5s`, `500ms`, `1m30s`.
fn interval(text: &str) -> Result<Duration> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let refused = || Refused::new("--interval", text, "is no time span").hint("write 5s, 500ms or 1m30s");
    let (mut rest, mut whole) = (text, 0_u64);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?);
        let (unit, behind) = behind.split_at(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()));
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(refused)?;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(refused)?;
        whole = whole.checked_add(part).ok_or_else(refused)?;
        rest = behind;
    }
    if whole == 0 { Err(refused().into()) } else { Ok(Duration::from_millis(whole)) }
}

struct Watch {
    record: Record,
    meter: Meter,
    roots: Roots,
    /// How it was when last something was told of it.
    former: Sample,
}

impl Watch {
    fn sample(&self) -> Sample {
        self.meter.sample(&self.roots, Depth::All)
    }

    fn tell(&self, kind: &str, data: Value) -> Result<()> {
        report::line(&json!({"type": kind, "id": self.record.id, "data": data}).to_string())
    }

    fn tell_stats(&self) -> Result<()> {
        let shares = self.shares();
        self.tell("stats", stats(&self.sample(), &self.meter.detail(&self.roots), shares.as_ref()))
    }

    /// What the container's group of resctrl has, where it has one.
    fn shares(&self) -> Option<Facts> {
        let asked = self.record.config.linux.as_ref()?.intel_rdt.as_ref()?;
        Facts::read(asked, &Place::find(&self.record.id).ok()?).ok()
    }

    /// Waits on descriptors until the first process has ended.
    fn follow(&mut self, first: &OwnedFd, alarm: Option<&Alarm>, interval: Duration) -> Result<()> {
        let mut due = Instant::now() + interval;
        loop {
            let rest = due.saturating_duration_since(Instant::now());
            let (ended, alarmed) = wait(first, alarm, rest)?;
            if let Some(alarm) = alarm.filter(|_| alarmed || ended) {
                alarm.clear();
                self.look_for_kills(first, alarm)?;
            }
            if ended {
                return Ok(());
            }
            if Instant::now() >= due {
                self.tell_stats()?;
                due += interval;
            }
        }
    }

    /// Tells of processes that were killed since the last time, and of the level whose limit led to it.
    fn look_for_kills(&mut self, first: &OwnedFd, alarm: &Alarm) -> Result<()> {
        let began = Instant::now();
        loop {
            let sample = self.sample();
            let since = |kills: u64| kills.saturating_sub(self.former.memory.oom_kills.unwrap_or(0));
            let kills = sample.memory.oom_kills.map_or(0, since);
            if kills > 0 {
                let data = oom(kills, &sample, &self.former);
                self.former = sample;
                return self.tell("oom", data);
            }
            if !alarm.is_early() || began.elapsed() >= KILLING || wait(first, None, LOOK)?.0 {
                return Ok(());
            }
        }
    }
}

/// Whether the process has ended, and whether there is an alarm, when either is so or the time is over.
fn wait(first: &OwnedFd, alarm: Option<&Alarm>, time: Duration) -> Result<(bool, bool)> {
    let mut waits = vec![PollFd::new(first, PollFlags::IN)];
    waits.extend(alarm.map(|alarm| PollFd::from_borrowed_fd(alarm.as_fd(), alarm.flags())));
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(time.subsec_nanos()) };
    retry_on_intr(|| poll(&mut waits, Some(&time))).doing(|| "wait for the container")?;
    let happened = |place: usize| waits.get(place).is_some_and(|wait| !wait.revents().is_empty());
    Ok((happened(0), happened(1)))
}

/// How many were killed, and the level whose limit led to it.
fn oom(kills: u64, sample: &Sample, before: &Sample) -> Value {
    let cause = sample.memory_ladder.cause(&before.memory_ladder.hits());
    let limit = |limit| match limit {
        Limit::At(bytes) => Some(bytes),
        Limit::Unlimited => None,
    };
    let (path, limit) = (cause.map(|rung| rung.path.to_string()), cause.and_then(|rung| rung.limit).and_then(limit));
    json!({"kills": kills, "path": path, "limit": limit})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_written_as_go_writes_it() {
        let millis = |text| interval(text).map(|interval| interval.as_millis()).ok();
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("5s"), Some(5000));
        assert_eq!(millis("1m30s"), Some(90_000));
        for text in ["", "5", "0s", "-1s", "s", "1x", "18446744073709551615h"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
