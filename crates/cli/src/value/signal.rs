//! Signals by name or number, signal(7).

use engine::options::Signal;
use error::Result;

use crate::flags::Given;

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`, in any case.
pub(crate) fn signal(given: Given<'_>) -> Result<Signal> {
    sys::signal::number(given.value)
        .and_then(Signal::new)
        .ok_or_else(|| given.refused("is no signal").hint("use a name such as TERM or a number from 1 to 64").into())
}

/// A signal as it is written: `SIGTERM`, `SIGRTMIN+3`.
pub(crate) fn name(signal: Signal) -> String {
    let number = signal.number();
    // The first for real-time use is 32; the C library keeps two of them.
    let real_time = || format!("SIGRTMIN+{}", number.saturating_sub(34));
    sys::signal::name(number).map_or_else(real_time, |name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_found_again_by_its_name() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal::new(number).unwrap();
            assert_eq!(sys::signal::number(&name(signal)), Some(number), "{}", name(signal));
        }
    }
}
