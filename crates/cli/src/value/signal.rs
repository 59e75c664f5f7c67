//! Signals by name or number, signal(7).

use engine::options::Signal;
use error::Result;

use crate::flags::Given;

/// The names of the signals from 1 up, on x86-64 and arm64.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The first and the last signal for real-time use that the C library leaves to programs.
const RTMIN: u32 = 34;
const RTMAX: u32 = 64;

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`, in any case.
pub(crate) fn signal(given: Given<'_>) -> Result<Signal> {
    let word = given.value.to_ascii_uppercase();
    let name = word.strip_prefix("SIG").unwrap_or(&word);
    number(name)
        .and_then(Signal::new)
        .ok_or_else(|| given.refused("is no signal").hint("use a name such as TERM or a number from 1 to 64").into())
}

fn number(name: &str) -> Option<u32> {
    if let Some(place) = NAMES.iter().position(|known| *known == name) {
        return u32::try_from(place + 1).ok();
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
    let offset = |text: &str, sign| if text.is_empty() { Some(0) } else { digits(text.strip_prefix(sign)?) };
    let real_time = |number: u32| (RTMIN..=RTMAX).contains(&number).then_some(number);
    match name {
        "POLL" => Some(29),
        "CLD" => Some(17),
        "IOT" => Some(6),
        _ => None,
    }
    .or_else(|| digits(name))
    .or_else(|| real_time(RTMIN.checked_add(offset(name.strip_prefix("RTMIN")?, '+')?)?))
    .or_else(|| real_time(RTMAX.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?))
}
