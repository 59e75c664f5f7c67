//! `ps` and `events`: the processes of a container, and what it uses, as runc's callers read it.

use std::process::Command;
use std::time::Duration;

use cgroup::sample::{Depth, Hold, Meter, Roots, Sample};
use cgroup::{GroupPath, Hierarchies, Limit};
use error::{Doing, Refused, Result};
use serde_json::{Map, Value, json};

use crate::arguments::Invocation;
use crate::container;
use crate::list::Form;
use crate::report;
use crate::store::{Record, Store};

/// `ps`: the PIDs as JSON, or the lines that the host's ps has for them.
///
/// # Errors
/// Refused where there is none; a kernel error.
pub(crate) fn ps(store: &Store, invocation: &Invocation) -> Result<()> {
    let form = Form::of(invocation)?;
    let record = store.record(invocation.id()?)?;
    let groups = container::groups(&record)?;
    let pids: Vec<i32> = groups.processes()?.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    if form == Form::Json {
        return report::line(&json!(pids).to_string());
    }
    let asked: Vec<&str> = invocation.words.iter().skip(1).map(String::as_str).collect();
    let options = if asked.is_empty() { vec!["-ef"] } else { asked };
    let output = Command::new("ps").args(&options).output().doing(|| "run the host's ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = format!("is not what the host's ps takes: {}", said.lines().next().unwrap_or_default());
        return Err(Refused::new("the options", options.join(" "), reason).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let Some(heading) = lines.next() else { return Ok(()) };
    let Some(column) = heading.split_whitespace().position(|name| name == "PID") else {
        return Err(Refused::new("ps", "", "shows no column PID").into());
    };
    report::line(heading)?;
    let of_container = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    lines.filter(of_container).try_for_each(report::line)
}

/// `events`: once with `--stats`, else again and again until the container has ended.
///
/// # Errors
/// Refused where it does not run; a kernel error.
pub(crate) fn events(store: &Store, invocation: &Invocation) -> Result<()> {
    let record = store.record(invocation.id()?)?;
    container::running(store, &record)?;
    let interval = interval(invocation.value("interval").unwrap_or("5s"))?;
    let meter = Meter::new(GroupPath::parse("the recorded group", &record.group)?, Hold::Files);
    let roots = Roots::open(Hierarchies::read()?)?;
    let mut kills = None;
    loop {
        let sample = meter.sample(&roots, Depth::All);
        if sample.is_absent() || container::running(store, &record).is_err() {
            return Ok(());
        }
        if let Some(now) = sample.memory.oom_kills
            && kills.replace(now).is_some_and(|before| now > before)
        {
            report::line(&envelope(&record, "oom", oom(&sample)))?;
        }
        report::line(&envelope(&record, "stats", stats(&sample)))?;
        if invocation.has("stats") {
            return Ok(());
        }
        std::thread::sleep(interval);
    }
}

fn interval(text: &str) -> Result<Duration> {
    let refused = || Refused::new("--interval", text, "is no time span such as 5s or 500ms").into();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 =
        number.parse().map_err(|_| error::Error::from(Refused::new("--interval", text, "has no number")))?;
    match unit {
        "ms" if number > 0 => Ok(Duration::from_millis(number)),
        "s" | "" if number > 0 => Ok(Duration::from_secs(number)),
        "m" if number > 0 => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(refused()),
    }
}

fn envelope(record: &Record, kind: &str, data: Value) -> String {
    json!({"type": kind, "id": record.id, "data": data}).to_string()
}

/// The level whose limit led to it.
fn oom(sample: &Sample) -> Value {
    let cause = sample.memory_ladder.cause(&[]);
    cause.map_or(Value::Null, |rung| json!({"path": rung.path.to_string(), "limit": rung.limit.and_then(at)}))
}

const fn at(limit: Limit) -> Option<u64> {
    match limit {
        Limit::At(number) => Some(number),
        Limit::Unlimited => None,
    }
}

/// The fields of runc's `events --stats`; what this host cannot tell is not there.
fn stats(sample: &Sample) -> Value {
    const NANOSECONDS: u64 = 1000;
    let object = |fields: &[(&str, Option<u64>)]| {
        let told = fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from((*value)?))));
        Value::Object(told.collect::<Map<_, _>>())
    };
    let nanoseconds = |usec: Option<u64>| usec.map(|usec| usec.saturating_mul(NANOSECONDS));
    let cpu = json!({
        "usage": object(&[
            ("total", nanoseconds(sample.cpuacct.usage_usec)),
            ("kernel", nanoseconds(sample.cpuacct.system_usec)),
            ("user", nanoseconds(sample.cpuacct.user_usec)),
        ]),
        "throttling": object(&[
            ("periods", sample.cpu.periods),
            ("throttledPeriods", sample.cpu.throttled_periods),
            ("throttledTime", nanoseconds(sample.cpu.throttled_usec)),
        ]),
    });
    let memory = json!({
        "cache": sample.memory.file_bytes,
        "usage": object(&[
            ("limit", sample.memory_ladder.binds().and_then(|rung| rung.limit).and_then(at)),
            ("usage", sample.memory.usage_bytes),
            ("max", sample.memory.peak_bytes),
            ("failcnt", sample.memory.limit_hits),
        ]),
        "swap": object(&[("usage", sample.memory.swap_bytes)]),
    });
    json!({
        "cpu": cpu,
        "memory": memory,
        "pids": object(&[("current", sample.pids.current), ("limit", sample.pids.limit.and_then(at))]),
        "blkio": object(&[("readBytes", sample.io.read_bytes), ("writeBytes", sample.io.write_bytes)]),
    })
}
