//! The time zone of whoever asks: `TZ`, else /etc/localtime, else UTC. tzset(3).

use std::ffi::OsString;

use jiff::tz::TimeZone;

const LOCAL: &str = "/etc/localtime";
const ZONES: &str = "/usr/share/zoneinfo";

/// The zone by this environment.
pub(crate) fn local(caller: &dyn Fn(&str) -> Option<OsString>) -> TimeZone {
    let file = |path: &str| TimeZone::tzif("", &std::fs::read(path).ok()?).ok();
    let zone = match caller("TZ").map(|zone| zone.to_string_lossy().into_owned()) {
        None => file(LOCAL),
        Some(zone) => {
            let name = zone.strip_prefix(':').unwrap_or(&zone);
            let path = if name.starts_with('/') { name.to_owned() } else { format!("{ZONES}/{name}") };
            file(&path).or_else(|| TimeZone::posix(name).ok())
        }
    };
    zone.unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_by_its_name_or_its_rules() {
        let shown = |zone: &'static str| {
            let local = local(&|name| (name == "TZ").then(|| zone.into()));
            jiff::Timestamp::UNIX_EPOCH.to_zoned(local).strftime("%H:%M:%S %z %Z").to_string()
        };
        assert_eq!(shown(""), "00:00:00 +0000 UTC");
        assert_eq!(shown("nowhere/at all"), "00:00:00 +0000 UTC");
        assert_eq!(shown("EST5"), "19:00:00 -0500 EST");
    }
}
