//! What a container uses, in the fields of runc's `events --stats` (runc's types/events.go). What this host cannot tell is
//! absent; where runc leaves a zero out, it is told here.

use cgroup::Limit;
use cgroup::detail::{Counter, Detail, Measure, Transfer};
use cgroup::pressure::{Line, Pressure};
use cgroup::sample::Sample;
use runtime::resctrl::facts::{Bandwidth, Cache, Facts, Measured};
use serde_json::{Map, Value, json};

/// runc's names for what is counted of transfers.
const TABLES: [(&str, Measure); 8] = [
    ("ioServiceBytesRecursive", Measure::Bytes),
    ("ioServicedRecursive", Measure::Operations),
    ("ioQueueRecursive", Measure::Queued),
    ("ioServiceTimeRecursive", Measure::ServiceTime),
    ("ioWaitTimeRecursive", Measure::WaitTime),
    ("ioMergedRecursive", Measure::Merged),
    ("ioTimeRecursive", Measure::Time),
    ("sectorsRecursive", Measure::Sectors),
];

/// The `data` of an event of the type `stats`.
pub(crate) fn stats(sample: &Sample, detail: &Detail, shares: Option<&Facts>) -> Value {
    json!({
        "cpu": cpu(sample, detail),
        "cpuset": cpuset(detail),
        "memory": memory(sample, detail),
        "pids": object(vec![
            ("current", number(sample.pids.current)),
            ("limit", number(sample.pids.limit.and_then(at))),
        ]),
        "blkio": blkio(sample, detail),
        "hugetlb": hugetlb(detail),
        "intel_rdt": shares.map_or_else(|| json!({}), intel_rdt),
        "network_interfaces": null,
    })
}

/// An object of the fields that are known.
fn object(fields: Vec<(&str, Option<Value>)>) -> Value {
    let told = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(told.collect::<Map<_, _>>())
}

fn number(number: Option<u64>) -> Option<Value> {
    number.map(Value::from)
}

fn list(numbers: &[u64]) -> Option<Value> {
    (!numbers.is_empty()).then(|| json!(numbers))
}

const fn at(limit: Limit) -> Option<u64> {
    match limit {
        Limit::At(number) => Some(number),
        Limit::Unlimited => None,
    }
}

fn cpu(sample: &Sample, detail: &Detail) -> Value {
    let nanoseconds = |usec: Option<u64>| usec.map(|usec| usec.saturating_mul(1000));
    let (time, per_cpu) = (&sample.cpuacct, &detail.per_cpu);
    let usage = object(vec![
        ("total", number(per_cpu.total_nsec.or_else(|| nanoseconds(time.usage_usec)))),
        ("percpu", list(&per_cpu.usage_nsec)),
        ("percpu_kernel", list(&per_cpu.system_nsec)),
        ("percpu_user", list(&per_cpu.user_nsec)),
        ("kernel", number(nanoseconds(time.system_usec))),
        ("user", number(nanoseconds(time.user_usec))),
    ]);
    let throttling = object(vec![
        ("periods", number(sample.cpu.periods)),
        ("throttledPeriods", number(sample.cpu.throttled_periods)),
        ("throttledTime", number(nanoseconds(sample.cpu.throttled_usec))),
    ]);
    object(vec![("usage", Some(usage)), ("throttling", Some(throttling)), ("psi", sample.pressure.cpu.map(psi))])
}

fn cpuset(detail: &Detail) -> Value {
    let numbers = |set: &Option<cgroup::cpuset::Set>| set.as_ref().map(|set| set.numbers().collect::<Value>());
    let mut fields = vec![("cpus", numbers(&detail.cpuset.cpus)), ("mems", numbers(&detail.cpuset.mems))];
    fields.extend(detail.cpuset.flags.iter().map(|(name, flag)| (*name, Some(Value::from(*flag)))));
    object(fields)
}

fn memory(sample: &Sample, detail: &Detail) -> Value {
    let memory = &detail.memory;
    let raw: Map<_, _> = memory.raw.iter().map(|(key, number)| (key.clone(), Value::from(*number))).collect();
    object(vec![
        ("cache", number(memory.cache)),
        ("usage", Some(counter(memory.own))),
        ("swap", Some(counter(memory.swap))),
        ("kernel", Some(counter(memory.kernel))),
        ("kernelTCP", Some(counter(memory.kernel_tcp))),
        ("raw", Some(Value::Object(raw))),
        ("psi", sample.pressure.memory.map(psi)),
    ])
}

fn counter(counter: Counter) -> Value {
    object(vec![
        ("limit", number(counter.limit)),
        ("usage", number(counter.usage)),
        ("max", number(counter.peak)),
        ("failcnt", number(counter.hits)),
    ])
}

fn blkio(sample: &Sample, detail: &Detail) -> Value {
    let of = |measure: Measure| {
        let told: Vec<Value> =
            detail.transfers.iter().filter(|transfer| transfer.measure == measure).map(transfer).collect();
        (!told.is_empty()).then_some(Value::Array(told))
    };
    let mut fields: Vec<_> = TABLES.iter().map(|(name, measure)| (*name, of(*measure))).collect();
    fields.push(("psi", sample.pressure.io.map(psi)));
    object(fields)
}

fn transfer(transfer: &Transfer) -> Value {
    let Transfer { major, minor, operation, value, .. } = transfer;
    let operation = (!operation.is_empty()).then(|| Value::from(operation.as_str()));
    object(vec![
        ("major", Some(Value::from(*major))),
        ("minor", Some(Value::from(*minor))),
        ("op", operation),
        ("value", Some(Value::from(*value))),
    ])
}

fn hugetlb(detail: &Detail) -> Value {
    let of_size = |stats: &cgroup::hugetlb::Stats| {
        let fields = vec![("usage", number(stats.usage_bytes)), ("failcnt", number(stats.limit_hits))];
        (stats.page_size.clone(), object(fields))
    };
    Value::Object(detail.hugetlb.iter().map(of_size).collect())
}

fn intel_rdt(facts: &Facts) -> Value {
    let cache = facts.cache.as_ref().map(|Cache { mask, fewest_bits, groups }| {
        let mask = Some(Value::from(mask.as_str()));
        object(vec![("cbm_mask", mask), ("min_cbm_bits", number(*fewest_bits)), ("num_closids", number(*groups))])
    });
    let bandwidth = facts.bandwidth.as_ref().map(|Bandwidth { step, is_linear, least, groups }| {
        object(vec![
            ("bandwidth_gran", number(*step)),
            ("delay_linear", number(*is_linear)),
            ("min_bandwidth", number(*least)),
            ("num_closids", number(*groups)),
        ])
    });
    let line = |lines: &[String], resource: &str| {
        lines.iter().find(|line| line.starts_with(resource)).map(|line| Value::from(line.as_str()))
    };
    let traffic = |measured: &Measured| {
        let known = measured.total_bytes.is_some() || measured.local_bytes.is_some();
        let fields =
            vec![("mbm_total_bytes", number(measured.total_bytes)), ("mbm_local_bytes", number(measured.local_bytes))];
        known.then(|| object(fields))
    };
    let occupancy = |measured: &Measured| measured.occupancy_bytes.map(|bytes| json!({"llc_occupancy": bytes}));
    let of_domains = |tell: &dyn Fn(&Measured) -> Option<Value>| {
        let told: Vec<Value> = facts.measured.iter().filter_map(tell).collect();
        (!told.is_empty()).then_some(Value::Array(told))
    };
    object(vec![
        ("l3_cache_info", cache),
        ("l3_cache_schema_root", line(&facts.root, "L3")),
        ("l3_cache_schema", line(&facts.schemata, "L3")),
        ("mem_bw_info", bandwidth),
        ("mem_bw_schema_root", line(&facts.root, "MB")),
        ("mem_bw_schema", line(&facts.schemata, "MB")),
        ("schemata", Some(json!(facts.schemata))),
        ("mbm_stats", of_domains(&traffic)),
        ("cmt_stats", of_domains(&occupancy)),
    ])
}

fn psi(pressure: Pressure) -> Value {
    object(vec![("some", pressure.some.map(line)), ("full", pressure.full.map(line))])
}

/// Percent, as the kernel writes it.
fn line(line: Line) -> Value {
    let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
    json!({
        "avg10": percent(line.avg10),
        "avg60": percent(line.avg60),
        "avg300": percent(line.avg300),
        "total": line.total_usec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_runcs_names_and_what_is_not_known_is_absent() {
        let facts = Facts {
            cache: Some(Cache { mask: "fffff".to_owned(), fewest_bits: Some(1), groups: None }),
            root: vec!["MB:0=100".to_owned(), "L3:0=fffff".to_owned()],
            schemata: vec!["L3:0=f".to_owned()],
            measured: vec![Measured { total_bytes: Some(7), occupancy_bytes: Some(9), local_bytes: None }],
            ..Facts::default()
        };
        let told = json!({
            "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1},
            "l3_cache_schema_root": "L3:0=fffff",
            "l3_cache_schema": "L3:0=f",
            "mem_bw_schema_root": "MB:0=100",
            "schemata": ["L3:0=f"],
            "mbm_stats": [{"mbm_total_bytes": 7}],
            "cmt_stats": [{"llc_occupancy": 9}],
        });
        assert_eq!(intel_rdt(&facts), told);
    }
}
