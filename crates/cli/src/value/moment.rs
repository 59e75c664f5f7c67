//! Moments: as a date, as seconds since 1970, or as so long ago.

use error::Result;
use jiff::{SignedDuration, Timestamp};

use crate::flags::Given;

/// What can be given for one.
pub(crate) const HINT: &str = "use a date as 2026-11-26T14:05:54Z, seconds since 1970, or how long ago as 10m";

/// `2026-11-26T14:05:54Z`, `1790000000`, `10m`, `1h30m`.
pub(crate) fn moment(given: Given<'_>) -> Result<Timestamp> {
    read(given.value).ok_or_else(|| given.refused("is no moment").hint(HINT).into())
}

/// The same of a part of what was given.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let seconds = || {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        Timestamp::new(whole.parse().ok()?, nanoseconds).ok()
    };
    let ago = || Timestamp::now().checked_sub(text.parse::<SignedDuration>().ok()?).ok();
    let date = || text.parse::<Timestamp>().ok();
    seconds().or_else(ago).or_else(date)
}
