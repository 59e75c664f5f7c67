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
