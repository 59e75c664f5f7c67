//! Numbers: sizes in bytes, CPUs, counts, seconds.

use std::time::Duration;

use engine::options::{Limit, TimeOffset};
use engine::stop::Patience;
use error::Result;

use crate::flags::Given;

/// A decimal number, exactly: its whole part and its fraction in billionths.
struct Decimal {
    whole: u64,
    billionths: u64,
}

impl Decimal {
    /// Digits, with or without a point; `None` for anything else, and for more than nine decimal places.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 || fraction.len() > 9 {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        Some(Self { whole, billionths: format!("{fraction:0<9}").parse().ok()? })
    }

    /// Its product with a number, rounded down.
    fn times(&self, factor: u64) -> Option<u64> {
        let fraction = u128::from(self.billionths) * u128::from(factor) / 1_000_000_000;
        self.whole.checked_mul(factor)?.checked_add(u64::try_from(fraction).ok()?)
    }
}

/// A size: `64m`, `1.5g`, `512`, with b, k, m, g, t or p for powers of 1024.
pub(crate) fn bytes(given: Given<'_>) -> Result<u64> {
    let text = given.value.trim();
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.').map_or(0, |last| last + 1);
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let shift = match unit {
        "" => Some(0),
        "k" => Some(10),
        "m" => Some(20),
        "g" => Some(30),
        "t" => Some(40),
        "p" => Some(50),
        _ => None,
    };
    let (Some(shift), Some(number)) = (shift, Decimal::parse(number)) else {
        return Err(given.refused("is not a size").hint("use a number with b, k, m or g, such as 64m").into());
    };
    let bytes = number.times(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok());
    bytes.ok_or_else(|| given.refused("is more than the kernel can count").into())
}

/// A size; 0 is no limit.
pub(crate) fn bytes_or_unlimited(given: Given<'_>) -> Result<Limit> {
    Ok(match bytes(given)? {
        0 => Limit::Unlimited,
        bytes => Limit::At(bytes),
    })
}

/// A size; -1 is no limit, and 0 is as if it was not given.
pub(crate) fn bytes_unless_negative(given: Given<'_>) -> Result<Option<Limit>> {
    if given.value == "-1" {
        return Ok(Some(Limit::Unlimited));
    }
    Ok(bytes_unless_zero(given)?.map(Limit::At))
}

/// A size; 0 is as if it was not given.
pub(crate) fn bytes_unless_zero(given: Given<'_>) -> Result<Option<u64>> {
    Ok(Some(bytes(given)?).filter(|bytes| *bytes != 0))
}

/// How readily memory is swapped out: 0 to 100; -1 is as if it was not given.
pub(crate) fn swappiness(given: Given<'_>) -> Result<Option<u64>> {
    match given.value.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(number @ 0..=100) => Ok(u64::try_from(number).ok()),
        _ => Err(given.refused("is not a whole number from 0 to 100").hint("60 is usual").into()),
    }
}

/// Bits a second, as tc(8) writes them: `10mbit`, with bit, kbit, mbit, gbit or tbit for powers of 1000.
pub(crate) fn bits(given: Given<'_>) -> Result<u64> {
    let end = given.value.rfind(|letter: char| letter.is_ascii_digit() || letter == '.').map_or(0, |last| last + 1);
    let (number, unit) = given.value.split_at(end);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "bit" => Some(1),
        "kbit" => Some(1_000),
        "mbit" => Some(1_000_000),
        "gbit" => Some(1_000_000_000),
        "tbit" => Some(1_000_000_000_000),
        _ => None,
    };
    let bits = factor.zip(Decimal::parse(number)).and_then(|(factor, number)| number.times(factor));
    let hint = "use a number of bits a second with kbit, mbit or gbit, such as 10mbit";
    match bits {
        None => Err(given.refused("is no rate").hint(hint).into()),
        Some(0..8) => Err(given.refused("lets nothing through").hint(hint).into()),
        Some(bits) => Ok(bits),
    }
}

/// A number of CPUs in billionths: `1.5`.
pub(crate) fn cpus(given: Given<'_>) -> Result<u64> {
    let nano = Decimal::parse(given.value).and_then(|number| number.times(1_000_000_000));
    let hint = "use a number such as 0.5, and leave --cpus out for no limit";
    match nano {
        None => Err(given.refused("is not a number of CPUs").hint(hint).into()),
        Some(0) => Err(given.refused("would leave the container no CPU time").hint(hint).into()),
        Some(nano) => Ok(nano),
    }
}

/// The shortest and the longest time that something can be watched for.
const TIMES: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(24 * 3600);

/// A time: `500ms`, `2s`, `1.5m`, `1h`; seconds where there is no unit.
pub(crate) fn time(given: Given<'_>) -> Result<Duration> {
    let hint = "use a number with ms, s, m or h, such as 2s";
    let end = given.value.rfind(|letter: char| letter.is_ascii_digit() || letter == '.').map_or(0, |last| last + 1);
    let (number, unit) = given.value.split_at(end);
    let nanoseconds: Option<u64> = match unit {
        "ms" => Some(1_000_000),
        "" | "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    };
    let time = nanoseconds.and_then(|unit| Decimal::parse(number)?.times(unit)).map(Duration::from_nanos);
    match time {
        None => Err(given.refused("is not a time").hint(hint).into()),
        Some(time) if !TIMES.contains(&time) => Err(given.refused("is not between 10ms and 24h").hint(hint).into()),
        Some(time) => Ok(time),
    }
}

/// A whole number that is not negative.
pub(crate) fn whole(given: Given<'_>) -> Result<u64> {
    let number = given.value.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| given.refused("is not a whole number from 0 up").into())
}

/// A whole number that is not negative; 0 is as if it was not given.
pub(crate) fn count(given: Given<'_>) -> Result<Option<u64>> {
    Ok(Some(whole(given)?).filter(|number| *number != 0))
}

/// A whole number; negative is no limit, and 0 is as if it was not given.
pub(crate) fn count_or_unlimited(given: Given<'_>) -> Result<Option<Limit>> {
    match given.value.parse::<i64>() {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(u64::try_from(number).map_or(Limit::Unlimited, Limit::At))),
        Err(_) => Err(given.refused("is not a whole number").hint("use -1 for no limit").into()),
    }
}

/// A whole number of processes; 0 and negative are no limit.
pub(crate) fn processes(given: Given<'_>) -> Result<Limit> {
    Ok(count_or_unlimited(given)?.unwrap_or(Limit::Unlimited))
}

/// Seconds to end in; negative is for ever.
pub(crate) fn patience(given: Given<'_>) -> Result<Patience> {
    match given.value.parse::<i64>() {
        Ok(seconds) if seconds < 0 => Ok(Patience::Endless),
        Ok(seconds) => u32::try_from(seconds)
            .map(Patience::Seconds)
            .map_err(|_| given.refused("is too long").hint("use -1 to wait for ever").into()),
        Err(_) => Err(given.refused("is not a whole number of seconds").hint("use -1 to wait for ever").into()),
    }
}

/// How readily the kernel kills: -1000 to 1000.
pub(crate) fn oom_score_adj(given: Given<'_>) -> Result<i32> {
    let score = given.value.parse().ok().filter(|score| (-1000..=1000).contains(score));
    score.ok_or_else(|| given.refused("is not a whole number from -1000 to 1000").into())
}

/// `monotonic=SECONDS,boottime=SECONDS`, either or both; seconds may be negative and have decimal places.
pub(crate) fn time_offsets(given: Given<'_>) -> Result<Vec<(Clock, TimeOffset)>> {
    given
        .value
        .split(',')
        .map(|part| {
            clock(part).ok_or_else(|| {
                let refused = given.refused(format!("{part:?} is no offset of a clock"));
                refused.hint("use monotonic=SECONDS,boottime=SECONDS; seconds may be -1.5").into()
            })
        })
        .collect()
}

/// A clock of a time namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// `CLOCK_MONOTONIC`
    Monotonic,
    /// `CLOCK_BOOTTIME`
    Boottime,
}

fn clock(part: &str) -> Option<(Clock, TimeOffset)> {
    let (name, seconds) = part.split_once('=')?;
    let clock = match name {
        "monotonic" => Clock::Monotonic,
        "boottime" => Clock::Boottime,
        _ => return None,
    };
    let (negative, digits) = seconds.strip_prefix('-').map_or((false, seconds), |digits| (true, digits));
    let number = Decimal::parse(digits)?;
    let (secs, nanosecs) = (i64::try_from(number.whole).ok()?, u32::try_from(number.billionths).ok()?);
    let offset = match (negative, nanosecs) {
        (false, _) => TimeOffset { secs, nanosecs },
        (true, 0) => TimeOffset { secs: -secs, nanosecs },
        // The nanoseconds count up from the second below.
        (true, _) => TimeOffset { secs: -secs - 1, nanosecs: 1_000_000_000 - nanosecs },
    };
    Some((clock, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_what_is_none_is_refused() {
        let of = |value| time(Given { flag: "for", value });
        for (text, millis) in
            [("2", 2000), ("2s", 2000), ("0.5s", 500), ("500ms", 500), ("1.5m", 90_000), ("1h", 3_600_000)]
        {
            assert_eq!(of(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "s", "-1s", "1d", "1ms", "25h", "0", "1 s", "99999999999999999999s"] {
            assert!(of(text).unwrap_err().to_string().starts_with("cannot use --for"), "{text}");
        }
    }
}
