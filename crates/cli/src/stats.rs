//! `stats`: what running containers use, as a table that is drawn again every second, or as lines of JSON.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cgroup::Limit;
use cgroup::ladder::{Ladder, Rung};
use cgroup::pressure::Pressure;
use cgroup::sample::{Depth, Hold};
use engine::containers::Engine;
use engine::record::{Record, short};
use engine::shortage::Level;
use engine::stats::Reading;
use error::Result;
use serde_json::{Map, Value, json};

use crate::format::{Format, Rows};
use crate::report;
use crate::template::Data;

/// What `stats` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Whether it goes on until it is interrupted.
    pub(crate) once: bool,
    /// Whether it prints JSON.
    pub(crate) json: bool,
    /// Whether those that do not run are shown too.
    pub(crate) all: bool,
    /// Whether ids are shown whole.
    pub(crate) whole: bool,
    /// How they are shown.
    pub(crate) format: String,
    /// The containers; all where none is named.
    pub(crate) containers: Vec<String>,
}

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between the two looks that the share of CPU time of a single sample is computed from.
const GLANCE: Duration = Duration::from_millis(500);

/// Docker's, and what held it back besides.
const ROWS: Rows = Rows {
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.Traffic}}\t{{.BlockIO}}\t{{.PIDs}}\t\
            {{.Throttled}}\t{{.Pressure}}",
    raw: "",
    fields: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("Traffic", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
        ("Throttled", "THROTTLED"),
        ("Pressure", "PSI CPU/MEM/IO %"),
    ],
};
/// What stands for a number that cannot be had.
const NONE: &str = "--";

/// What a container's use is compared with later.
struct Before {
    cpu_usec: Option<u64>,
    at: Instant,
}

impl Before {
    const fn of(reading: &Reading) -> Self {
        Self { cpu_usec: reading.sample.cpuacct.usage_usec, at: reading.at }
    }
}

/// `carboy stats`.
pub(crate) fn run(engine: &Engine, stats: &Stats) -> Result<ExitCode> {
    let format = match Format::new(&stats.format, &ROWS) {
        Ok(format) => format,
        Err(error) => {
            report::error(&error);
            return Ok(ExitCode::FAILURE);
        }
    };
    hold_many_files();
    let hold = if stats.once { Hold::CpuTime } else { Hold::Files };
    let mut meters = engine.meters(&stats.containers, hold)?;
    let host_memory = host_memory();
    let mut before = BTreeMap::new();
    meters.read(Depth::CpuTime, |reading| {
        before.insert(reading.id.clone(), Before::of(&reading));
    })?;
    loop {
        std::thread::sleep(if stats.once { GLANCE } else { INTERVAL });
        let mut now = BTreeMap::new();
        let mut rows = Vec::new();
        meters.read(if stats.json { Depth::All } else { Depth::Line }, |reading| {
            let before = before.get(&reading.id);
            if stats.json {
                report::line(&document(&reading, before, host_memory).to_string());
            } else {
                rows.push(stats.named(&reading.id, &reading.name, row(&reading, before, host_memory)));
            }
            now.insert(reading.id.clone(), Before::of(&reading));
        })?;
        if !stats.json {
            if stats.all {
                rows.extend(resting(engine, stats, &now)?);
            }
            let rows: Result<String> = rows.iter().map(|value| format.row(Data { value, methods: &[] })).collect();
            draw(stats, &format.whole(&rows?));
        }
        if stats.once {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}

/// Some dozen files are held for each container; the soft limit of most hosts is for 20 of them. Where it cannot be
/// raised, what cannot be opened is shown as absent.
fn hold_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

fn draw(stats: &Stats, text: &str) {
    if stats.once || !std::io::stdout().is_terminal() {
        return report::text(text);
    }
    // On a terminal each table is drawn over the one before, line by line, so that nothing flickers.
    report::text(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")));
}

/// Those that do not run.
fn resting(engine: &Engine, stats: &Stats, shown: &BTreeMap<String, Before>) -> Result<Vec<Value>> {
    let mut chosen = Vec::new();
    for word in &stats.containers {
        chosen.push(engine.find(word)?.record.id);
    }
    let listing = engine.list()?;
    for error in &listing.damaged {
        report::error(error);
    }
    let containers = listing.containers.into_iter().map(|container| container.record);
    let resting = containers
        .filter(|record| !shown.contains_key(&record.id) && (chosen.is_empty() || chosen.contains(&record.id)));
    let none = |record: Record| stats.named(&record.id, &record.name, [NONE; 9].map(str::to_owned));
    Ok(resting.map(none).collect())
}

impl Stats {
    /// A row, with whose it is.
    fn named(&self, id: &str, name: &str, cells: [String; 9]) -> Value {
        let shown = if self.whole { id } else { short(id) };
        let [cpu, memory, memory_share, network, traffic, io, pids, throttled, pressure] = cells;
        json!({
            "Container": shown, "ID": shown, "Name": name, "CPUPerc": cpu, "MemUsage": memory, "MemPerc": memory_share,
            "NetIO": network, "Traffic": traffic, "BlockIO": io, "PIDs": pids, "Throttled": throttled, "Pressure": pressure,
        })
    }
}

fn row(reading: &Reading, before: Option<&Before>, host_memory: Option<u64>) -> [String; 9] {
    let sample = &reading.sample;
    let none = || NONE.to_owned();
    let pair = |one: Option<u64>, other: Option<u64>, size: fn(u64) -> String| {
        let shown = |bytes: Option<u64>| bytes.map_or_else(none, size);
        if one.or(other).is_none() { none() } else { format!("{} / {}", shown(one), shown(other)) }
    };
    let (used, limit) =
        (sample.memory.used_bytes(), memory_limit(&sample.memory_ladder, host_memory).map(|(limit, _)| limit));
    let traffic = reading.traffic;
    let (received, sent) = (traffic.map(|traffic| traffic.received_bytes), traffic.map(|traffic| traffic.sent_bytes));
    let network = pair(received, sent, report::decimal_size);
    let pressure = [sample.pressure.cpu, sample.pressure.memory, sample.pressure.io].map(some_avg10);
    [
        cpu_permyriad(reading, before).map_or_else(none, percent),
        pair(used, limit, report::binary_size),
        used.zip(limit).and_then(|(used, limit)| share(used, limit)).map_or_else(none, percent),
        network.clone(),
        shared(network, &reading.shared_with),
        pair(sample.io.read_bytes, sample.io.write_bytes, report::decimal_size),
        sample.pids.current.map_or_else(none, |tasks| tasks.to_string()),
        sample.cpu.throttled_usec.map_or_else(none, duration),
        if pressure.iter().all(Option::is_none) {
            none()
        } else {
            pressure.map(|share| share.map_or_else(none, |share| tenths(share.into()))).join("/")
        },
    ]
}

/// Traffic, with whose it is too.
fn shared(traffic: String, with: &[String]) -> String {
    if with.is_empty() { traffic } else { format!("{traffic} with {}", with.join(", ")) }
}

/// All of the host's memory, in bytes.
fn host_memory() -> Option<u64> {
    let host = rustix::system::sysinfo();
    host.totalram.checked_mul(host.mem_unit.into())
}

/// The smallest memory limit that holds, and its group; the host's memory where no group has a smaller one.
fn memory_limit(ladder: &Ladder, host: Option<u64>) -> Option<(u64, Option<&Rung>)> {
    let host = host?;
    Some(match ladder.binds() {
        Some(rung @ Rung { limit: Some(Limit::At(limit)), .. }) if *limit < host => (*limit, Some(rung)),
        _ => (host, None),
    })
}

/// The CPU time used since another look, in hundredths of a percent of one CPU.
fn cpu_permyriad(reading: &Reading, before: Option<&Before>) -> Option<u64> {
    let before = before?;
    let used = reading.sample.cpuacct.usage_usec?.checked_sub(before.cpu_usec?)?;
    let elapsed = u64::try_from(reading.at.duration_since(before.at).as_micros()).ok()?;
    share(used, elapsed)
}

/// A part of a whole in hundredths of a percent.
fn share(part: u64, whole: u64) -> Option<u64> {
    part.checked_mul(10_000)?.checked_div(whole)
}

/// `12.34%`, from hundredths of a percent.
fn percent(share: u64) -> String {
    format!("{}.{:02}%", share / 100, share % 100)
}

/// `12.3`, from hundredths.
fn tenths(hundredths: u64) -> String {
    format!("{}.{}", hundredths / 100, hundredths % 100 / 10)
}

fn some_avg10(pressure: Option<Pressure>) -> Option<u32> {
    pressure?.some.map(|line| line.avg10)
}

/// `350ms`, `1.2s`, `3m5s`, `2h7m`.
fn duration(usec: u64) -> String {
    let seconds = usec / 1_000_000;
    match seconds {
        0 if usec == 0 => "0s".to_owned(),
        0 => format!("{}ms", usec.div_ceil(1000).min(999)),
        1..60 => format!("{seconds}.{}s", usec / 100_000 % 10),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// One reading with raw numbers; what this host cannot tell is not there.
fn document(reading: &Reading, before: Option<&Before>, host_memory: Option<u64>) -> Value {
    let Reading { sample, traffic, shortage, .. } = reading;
    let memory = &sample.memory;
    let (limit, path) = memory_limit(&sample.memory_ladder, host_memory).unzip();
    let mut document = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        document.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("id", Some(json!(reading.id)));
    put("name", Some(json!(reading.name)));
    put("cpu_percent", cpu_permyriad(reading, before).map(hundredths));
    put("cpu_usage_usec", sample.cpuacct.usage_usec.map(Value::from));
    put("cpu_user_usec", sample.cpuacct.user_usec.map(Value::from));
    put("cpu_system_usec", sample.cpuacct.system_usec.map(Value::from));
    put("cpu_periods", sample.cpu.periods.map(Value::from));
    put("cpu_throttled_periods", sample.cpu.throttled_periods.map(Value::from));
    put("cpu_throttled_usec", sample.cpu.throttled_usec.map(Value::from));
    put("memory_used_bytes", memory.used_bytes().map(Value::from));
    put("memory_cache_bytes", memory.file_bytes.map(Value::from));
    put("memory_anon_bytes", memory.anon_bytes.map(Value::from));
    put("memory_usage_bytes", memory.usage_bytes.map(Value::from));
    put("memory_peak_bytes", memory.peak_bytes.map(Value::from));
    put("memory_swap_bytes", memory.swap_bytes.map(Value::from));
    put("memory_limit_bytes", limit.map(Value::from));
    put("memory_limit_path", path.flatten().map(|rung| json!(rung.path.to_string())));
    put("oom_kills", memory.oom_kills.map(Value::from));
    // The level that led to it is the container's own where none above it did.
    let own = |limit: u64| Level { path: reading.group.clone(), limit };
    let oom = shortage.oom.as_ref().and_then(|oom| oom.cause.clone().or_else(|| oom.limit_bytes.map(own)));
    put("oom_cause_path", oom.as_ref().map(|cause| json!(cause.path)));
    put("oom_cause_limit_bytes", oom.map(|cause| json!(cause.limit)));
    put("network_received_bytes", traffic.map(|traffic| Value::from(traffic.received_bytes)));
    put("network_sent_bytes", traffic.map(|traffic| Value::from(traffic.sent_bytes)));
    put("network_shared_with", Some(json!(reading.shared_with)).filter(|_| !reading.shared_with.is_empty()));
    put("io_read_bytes", sample.io.read_bytes.map(Value::from));
    put("io_write_bytes", sample.io.write_bytes.map(Value::from));
    put("io_read_operations", sample.io.read_ops.map(Value::from));
    put("io_write_operations", sample.io.write_ops.map(Value::from));
    put("pids", sample.pids.current.map(Value::from));
    let pids = sample.pids_ladder.binds();
    put("pids_limit", pids.and_then(limit_of).map(Value::from));
    put("pids_limit_path", pids.map(|rung| json!(rung.path.to_string())));
    let refused = shortage.forks_refused.as_ref();
    let counted = sample.pids.refused_forks.or(sample.pids.limit_hits);
    put("pids_refused_forks", refused.map(|refused| refused.count).or(counted).map(Value::from));
    let cause = refused.and_then(|refused| refused.cause.as_ref());
    put("pids_refused_cause_path", cause.map(|cause| json!(cause.path)));
    put("pids_refused_cause_limit", cause.map(|cause| json!(cause.limit)));
    let pressure = &sample.pressure;
    for (name, pressure) in
        [("cpu", pressure.cpu), ("memory", pressure.memory), ("io", pressure.io), ("irq", pressure.irq)]
    {
        put(&format!("pressure_{name}"), pressure.map(stalls));
    }
    put("paused", sample.freezer.state.map(|state| json!(state == cgroup::freezer::State::Paused)));
    Value::Object(document)
}

const fn limit_of(rung: &Rung) -> Option<u64> {
    match rung.limit {
        Some(Limit::At(limit)) => Some(limit),
        _ => None,
    }
}

fn stalls(pressure: Pressure) -> Value {
    let mut lines = Map::new();
    for (name, line) in [("some", pressure.some), ("full", pressure.full)] {
        let shown = line.map(|line| {
            let [avg10, avg60, avg300] = [line.avg10, line.avg60, line.avg300].map(|share| hundredths(share.into()));
            json!({"avg10": avg10, "avg60": avg60, "avg300": avg300, "total_usec": line.total_usec})
        });
        lines.extend(shown.map(|line| (name.to_owned(), line)));
    }
    Value::Object(lines)
}

/// A number of hundredths as a decimal one.
fn hundredths(number: u64) -> Value {
    format!("{}.{:02}", number / 100, number % 100).parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_said_in_percent_and_durations_by_their_size() {
        assert_eq!(share(1, 3).map(percent).as_deref(), Some("33.33%"));
        assert_eq!(share(1, 0), None);
        assert_eq!(tenths(1_239), "12.3");
        for (usec, said) in [
            (0, "0s"),
            (1, "1ms"),
            (350_000, "350ms"),
            (999_999, "999ms"),
            (1_250_000, "1.2s"),
            (185_000_000, "3m5s"),
            (7_620_000_000, "2h7m"),
        ] {
            assert_eq!(duration(usec), said);
        }
        assert_eq!(hundredths(1_234).to_string(), "12.34");
    }
}
