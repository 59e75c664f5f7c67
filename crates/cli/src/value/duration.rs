//! Lengths of time as Go writes them, which Docker's flags take: `1m30s`, `500ms`, `1.5h`.

use std::time::Duration;

use error::Result;

use crate::flags::Given;

/// The units, in nanoseconds; those that begin as another does come first.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A length of time that Docker waits for; 0 is as if it was not given.
pub(crate) fn wait(given: Given<'_>) -> Result<Option<Duration>> {
    let hint = "use numbers with ns, us, ms, s, m or h, such as 1m30s";
    let (negative, text) = match given.value.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, given.value.strip_prefix('+').unwrap_or(given.value)),
    };
    match parse(text) {
        None => Err(given.refused("is no duration").hint(hint).into()),
        Some(0) => Ok(None),
        Some(_) if negative => Err(given.refused("is negative").hint(hint).into()),
        Some(nanos) if nanos < 1_000_000 => Err(given.refused("is less than 1ms").hint(hint).into()),
        Some(nanos) => Ok(Some(Duration::from_nanos(nanos))),
    }
}

/// Nanoseconds, as many as a signed number of 64 bits has; `None` for what Go does not read either.
fn parse(mut text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut all: u64 = 0;
    while !text.is_empty() || all == 0 {
        let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, rest) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return None;
        }
        let (unit, nanos) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction = fraction.get(..fraction.len().min(9)).unwrap_or_default();
        let billionths: u128 = format!("{fraction:0<9}").parse().ok()?;
        let part = u64::try_from(billionths * u128::from(nanos) / 1_000_000_000).ok()?;
        all = all.checked_add(whole.checked_mul(nanos)?.checked_add(part)?)?;
        text = rest.get(unit.len()..)?;
        if text.is_empty() {
            break;
        }
    }
    i64::try_from(all).ok().map(|_| all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        let of = |value| wait(Given { flag: "for", value });
        for (text, nanos) in [
            ("1s", 1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h0m0.5s", 3_600_500_000_000),
            ("500ms", 500_000_000),
            (".5s", 500_000_000),
            ("+1.s", 1_000_000_000),
            ("1000us", 1_000_000),
            ("2000µs", 2_000_000),
            ("1s1s", 2_000_000_000),
            ("2562047h", 2_562_047 * 3_600_000_000_000),
        ] {
            assert_eq!(of(text).unwrap(), Some(Duration::from_nanos(nanos)), "{text}");
        }
        assert_eq!(["0", "0s", "-0s"].map(|text| of(text).unwrap()), [None; 3]);
        for (text, reason) in [
            ("", "is no duration"),
            ("30", "is no duration"),
            ("s", "is no duration"),
            ("1d", "is no duration"),
            ("1.2.3s", "is no duration"),
            ("1 s", "is no duration"),
            ("9999999999h", "is no duration"),
            ("-5s", "is negative"),
            ("999us", "is less than 1ms"),
        ] {
            assert!(of(text).unwrap_err().to_string().ends_with(reason), "{text}");
        }
    }
}
