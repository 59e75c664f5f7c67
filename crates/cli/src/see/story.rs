//! What carboy wrote down of a container that has ended: its diary, and what it has cost.

use std::path::Path;

use engine::journal::Entry;
use engine::receipt::Receipt;
use engine::record::Record;
use jiff::tz::TimeZone;

use crate::report;
use crate::see::page::{Page, Style};
use crate::see::why::{path, row};

/// How much of a long story is told: how it ended.
const TOLD: usize = 12;

/// Tells what has happened to it, with the times of this zone.
pub(super) fn tell(page: &mut Page, diary: &[Entry], zone: &TimeZone) {
    let before = diary.len().saturating_sub(TOLD);
    if before > 0 {
        row(page, "story", &format!("{before} earlier lines are in its diary: see --json"), Style::Dim);
    }
    for (number, entry) in diary.iter().skip(before).enumerate() {
        let label = if number + before == 0 { "story" } else { "" };
        let time = entry.time.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string();
        row(page, label, &format!("{time}  {}", said(entry)), Style::Plain);
    }
}

/// An entry in words.
fn said(entry: &Entry) -> String {
    let told = |name: &str| entry.attributes.get(name).map(String::as_str);
    let with = |text: &str, name: &str| told(name).map_or_else(String::new, |value| format!("{text}{value}"));
    let level = || told("level").map_or_else(String::new, |level| format!("; cause {}", path(Path::new(level))));
    let limit = || told("limit").and_then(|limit| limit.parse().ok()).map(report::size);
    match entry.action.as_str() {
        "create" => "created".to_owned(),
        "start" => format!("started{}", with(", pid ", "pid")),
        "kill" => format!("signal {} was sent by carboy", told("signal").unwrap_or("?")),
        "die" => {
            let code = told("exitCode").map_or_else(|| "nobody saw how".to_owned(), |code| format!("with {code}"));
            format!("ended {code}{}", with(", to be started again after ", "restartDelay"))
        }
        "stop" => "stopped".to_owned(),
        "restart" => "restarted by hand".to_owned(),
        "pause" => "paused".to_owned(),
        "unpause" => "went on".to_owned(),
        "rename" => format!("renamed{}", with(" from ", "oldName").replace('/', "")),
        "update" => "updated".to_owned(),
        "oom" => {
            let kills = told("kills").unwrap_or("?");
            let limit = limit().map_or_else(String::new, |limit| format!(", limit {limit}"));
            format!("killed for want of memory: {kills} in all{}{limit}", level())
        }
        "throttled" => {
            format!("held back by a quota of cpu{}{}", level(), with(", quota ", "cpus"))
        }
        "stalled" => format!("stalled{}", with(" on ", "resource")),
        other => other.to_owned(),
    }
}

/// Tells what it has cost. What nobody could read is said to be unknown.
pub(super) fn cost(page: &mut Page, record: &Record) {
    let Some(exit) = &record.exit else { return };
    let Some(receipt) = &exit.receipt else {
        row(page, "cost", "not known: nobody was there to read it", Style::Dim);
        return;
    };
    for (number, line) in lines(receipt, record).into_iter().enumerate() {
        row(page, if number == 0 { "cost" } else { "" }, &line, Style::Plain);
    }
}

fn lines(receipt: &Receipt, record: &Record) -> [String; 3] {
    let time = |usec: Option<u64>| usec.map_or_else(|| "not known".to_owned(), seconds);
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "not known".to_owned(), report::size);
    let cpu = format!(
        "ran {}; cpu {}, held back by its own quota {}",
        seconds(receipt.ran_usec),
        time(receipt.cpu_usec),
        time(receipt.throttled_usec)
    );
    let memory = format!(
        "memory at most {}; read from disks {}, written {}",
        size(receipt.memory_peak_bytes),
        size(receipt.read_bytes),
        size(receipt.written_bytes)
    );
    let network = match (receipt.received_bytes, receipt.sent_bytes) {
        (Some(received), Some(sent)) => {
            format!("network: received {}, sent {}", report::size(received), report::size(sent))
        }
        _ if has_own_network(record) => "network: not known".to_owned(),
        _ => "network: not its own, and not counted for it".to_owned(),
    };
    [cpu, memory, network]
}

fn has_own_network(record: &Record) -> bool {
    let namespaces = record.config.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.into_iter().any(|one| one.kind == oci::NamespaceKind::Net && one.path.is_none())
}

/// `1.2 s`, and finer below a second.
fn seconds(usec: u64) -> String {
    match usec {
        0..1000 => format!("{usec} µs"),
        1000..1_000_000 => format!("{} ms", usec / 1000),
        _ => format!("{}.{} s", usec / 1_000_000, usec % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::journal::Kind;

    use super::*;

    #[test]
    fn a_diary_is_told_in_words() {
        let said = |action: &str, attributes: &[(&str, &str)]| {
            let attributes: BTreeMap<String, String> =
                attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (time, action) = (jiff::Timestamp::UNIX_EPOCH, action.to_owned());
            said(&Entry { time, kind: Kind::Container, action, id: String::new(), attributes })
        };
        assert_eq!(said("start", &[("pid", "7")]), "started, pid 7");
        let again = [("exitCode", "3"), ("restartDelay", "100ms")];
        assert_eq!(said("die", &again), "ended with 3, to be started again after 100ms");
        assert_eq!(said("die", &[]), "ended nobody saw how");
        assert_eq!(said("rename", &[("oldName", "/web")]), "renamed from web");
        let oom = [("kills", "2"), ("level", "/team"), ("limit", "33554432")];
        assert_eq!(said("oom", &oom), "killed for want of memory: 2 in all; cause /team, limit 32 MiB");
        assert_eq!(said("health_status: healthy", &[]), "health_status: healthy");
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        assert_eq!([7, 9_000, 1_250_000].map(seconds), ["7 µs", "9 ms", "1.2 s"]);
    }
}
