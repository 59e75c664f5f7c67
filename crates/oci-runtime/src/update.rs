//! `update`: other limits for a container while it runs, all of them or none.

use std::io::Read as _;

use cgroup::change::{self, Now, Wishes};
use cgroup::{GroupPath, Groups};
use error::{Doing, Refused, Result};
use oci::{IntelRdt, Resources};
use runtime::resctrl;
use serde_json::{Map, Value};

use crate::arguments::Invocation;
use crate::container;
use crate::place;
use crate::store::{Record, Store};

/// The options for single limits, with the place of each in OCI's `linux.resources`.
const LIMITS: &[(&str, [&str; 2])] = &[
    ("blkio-weight", ["blockIO", "weight"]),
    ("cpu-period", ["cpu", "period"]),
    ("cpu-quota", ["cpu", "quota"]),
    ("cpu-burst", ["cpu", "burst"]),
    ("cpu-share", ["cpu", "shares"]),
    ("cpu-rt-period", ["cpu", "realtimePeriod"]),
    ("cpu-rt-runtime", ["cpu", "realtimeRuntime"]),
    ("cpuset-cpus", ["cpu", "cpus"]),
    ("cpuset-mems", ["cpu", "mems"]),
    ("cpu-idle", ["cpu", "idle"]),
    ("memory", ["memory", "limit"]),
    ("memory-reservation", ["memory", "reservation"]),
    ("memory-swap", ["memory", "swap"]),
    ("kernel-memory", ["memory", "kernel"]),
    ("kernel-memory-tcp", ["memory", "kernelTCP"]),
    ("pids-limit", ["pids", "limit"]),
];

/// `update`.
///
/// # Errors
/// Refused, naming the field, for limits that cannot be had and for what the container is already beyond; a kernel error,
/// after which everything is as before.
pub(crate) fn update(store: &Store, invocation: &Invocation) -> Result<()> {
    let (held, mut record) = store.hold(invocation.id()?)?;
    container::running(store, &record)?;
    let former = record.config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let asked = with_swap(asked(invocation)?, &former);
    let merged = former.merged(&asked);
    let path = GroupPath::parse("the recorded group", &record.group)?;
    let hierarchies = place::hierarchies(&path)?.of_container(&path)?;
    let mut groups = Groups::open(&hierarchies, &path)?;
    let mut now = Now::read(&hierarchies, &groups)?;
    now.facts.systemd = place::recorded(&record)?;
    let wishes = Wishes { former: &former, asked: &asked, merged: &merged, unasked: &[] };
    let plan = change::plan(&hierarchies, &path, &now, &wishes)?;
    let shares = shares(invocation, &record)?;
    let shared = shares.as_ref().map(|(_, group)| group.change()).transpose()?;
    if let Err(error) = groups.change(&plan) {
        let _ = shared.map(|former| former.restore());
        return Err(error);
    }
    let linux = record.config.linux.get_or_insert_default();
    linux.resources = Some(merged);
    if let Some((asked, own)) = shares.map(|(asked, _)| asked).zip(linux.intel_rdt.as_mut()) {
        own.l3_cache_schema = asked.l3_cache_schema.or(own.l3_cache_schema.take());
        own.mem_bw_schema = asked.mem_bw_schema.or(own.mem_bw_schema.take());
    }
    held.write(&record)
}

/// The options for shares of cache and memory bandwidth.
const SHARES: [&str; 2] = ["l3-cache-schema", "mem-bw-schema"];

/// Other shares of cache and memory bandwidth for the container's group of resctrl.
fn shares(invocation: &Invocation, record: &Record) -> Result<Option<(IntelRdt, resctrl::Group)>> {
    let [l3_cache_schema, mem_bw_schema] =
        SHARES.map(|flag| invocation.value(flag).filter(|line| !line.is_empty()).map(str::to_owned));
    let given = SHARES.iter().zip([&l3_cache_schema, &mem_bw_schema]);
    let Some((flag, line)) = { given }.find_map(|(flag, line)| Some((flag, line.clone()?))) else { return Ok(None) };
    let Some(own) = record.config.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref()) else {
        let refused =
            Refused::new(format!("--{flag}"), line, "cannot be applied: the container has no group of resctrl");
        return Err(refused.hint("only one with linux.intelRdt in its configuration gets one").into());
    };
    let asked = IntelRdt { clos_id: own.clos_id.clone(), l3_cache_schema, mem_bw_schema, ..IntelRdt::default() };
    let group = resctrl::plan_change(&asked, &resctrl::Place::find(&record.id)?)?;
    Ok(Some((asked, group)))
}

/// A number of bytes as runc takes it: with a unit of 1024, and -1 for all there is.
fn bytes(flag: &str, text: &str) -> Result<i64> {
    const UNITS: [(&str, u32); 6] = [("", 0), ("k", 10), ("m", 20), ("g", 30), ("t", 40), ("p", 50)];
    let refused =
        || Refused::new(format!("--{flag}"), text, "is no number of bytes that fits").hint("write 512M or -1");
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let shift = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
    let number = number.parse::<i64>().ok().filter(|number| *number >= -1);
    match number.zip(shift) {
        Some((-1, 0)) => Ok(-1),
        Some((number, shift)) if number >= 0 => number.checked_mul(1 << shift).ok_or_else(|| refused().into()),
        _ => Err(refused().into()),
    }
}

/// What `--resources` holds, with the single limits in place of its own.
fn asked(invocation: &Invocation) -> Result<Resources> {
    let mut document = match invocation.value("resources") {
        None => Value::Object(Map::new()),
        Some(path) => {
            let mut text = Vec::new();
            let read = match path {
                "-" => std::io::stdin().read_to_end(&mut text),
                path => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text)),
            };
            read.doing(|| format!("read the resources {path}"))?;
            oci::document::parse("resources", &text)?
        }
    };
    for (flag, [controller, name]) in LIMITS {
        let Some(text) = invocation.value(flag) else { continue };
        let value = match *controller {
            _ if flag.starts_with("cpuset") => Value::from(text),
            "memory" => Value::from(bytes(flag, text)?),
            _ => Value::from(invocation.number::<i64>(flag)?),
        };
        if let Some(fields) = document.as_object_mut() {
            let room = fields.entry(*controller).or_insert_with(|| Value::Object(Map::new()));
            if let Some(room) = room.as_object_mut() {
                room.insert((*name).to_owned(), value);
            }
        }
    }
    leave_out_unset(&mut document);
    oci::document::parse("resources", document.to_string().as_bytes())
}

/// A limit of memory and swap together goes with that of the memory, as under runc.
fn with_swap(mut asked: Resources, former: &Resources) -> Resources {
    let has_limit = former.memory.as_ref().is_some_and(|memory| memory.swap.is_some());
    if let Some(memory) = asked.memory.as_mut().filter(|memory| memory.limit == Some(-1) && has_limit) {
        memory.swap = memory.swap.or(Some(-1));
    }
    asked
}

/// The fields in which 0, or an empty list of processors, says what leaving the field out says: callers written for runc
/// send all of them each time. Elsewhere, as in `cpu.idle`, 0 is a value.
const UNSET: &[[&str; 2]] = &[
    ["memory", "limit"],
    ["memory", "reservation"],
    ["memory", "swap"],
    ["memory", "kernel"],
    ["memory", "kernelTCP"],
    ["cpu", "shares"],
    ["cpu", "quota"],
    ["cpu", "period"],
    ["cpu", "realtimeRuntime"],
    ["cpu", "realtimePeriod"],
    ["cpu", "cpus"],
    ["cpu", "mems"],
    ["blockIO", "weight"],
    ["blockIO", "leafWeight"],
    ["pids", "limit"],
];

fn leave_out_unset(document: &mut Value) {
    for [controller, name] in UNSET {
        let Some(fields) = document.get_mut(controller).and_then(Value::as_object_mut) else { continue };
        if fields.get(*name).is_some_and(|value| value.as_i64() == Some(0) || value.as_str() == Some("")) {
            fields.remove(*name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::Command;

    #[test]
    fn every_limit_is_an_option_of_update() {
        let update = Command::named("update").unwrap();
        for flag in LIMITS.iter().map(|(flag, _)| flag).chain(&SHARES) {
            assert!(update.own().any(|known| known.long == *flag), "{flag}");
        }
    }

    #[test]
    fn bytes_have_units_of_1024_or_none() {
        for (text, number) in
            [("512", 512), ("1k", 1024), ("64M", 64 << 20), ("2GiB", 2 << 30), ("3gb", 3 << 30), ("-1", -1)]
        {
            assert_eq!(bytes("memory", text).unwrap(), number, "{text}");
        }
        for text in ["", "-2", "M", "1x", "1.5G", "99999999999P", "-1k"] {
            assert!(bytes("memory", text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_a_limit_of_memory_there_is_none_of_memory_and_swap() {
        let resources = |text: &str| oci::document::parse::<Resources>("resources", text.as_bytes()).unwrap();
        let swap = |asked: &str, former: &str| {
            with_swap(resources(asked), &resources(former)).memory.and_then(|memory| memory.swap)
        };
        let (all, both) = (r#"{"memory":{"limit":-1}}"#, r#"{"memory":{"limit":1024,"swap":2048}}"#);
        assert_eq!(swap(all, both), Some(-1));
        assert_eq!(swap(all, r#"{"memory":{"limit":1024}}"#), None);
        assert_eq!(swap(r#"{"memory":{"limit":-1,"swap":4096}}"#, both), Some(4096));
        assert_eq!(swap(r#"{"memory":{"limit":1024}}"#, both), None);
    }

    #[test]
    fn what_docker_sends_of_limits_that_it_leaves_alone_changes_nothing() {
        let mut document = json!({
            "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "0", "mems": "", "idle": 0},
            "blockIO": {"weight": 0},
            "pids": {"limit": 0},
        });
        leave_out_unset(&mut document);
        let left = json!({"memory": {}, "cpu": {"cpus": "0", "idle": 0}, "blockIO": {}, "pids": {}});
        assert_eq!(document, left);
    }
}
