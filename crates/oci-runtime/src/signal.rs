//! Signals by name or number, signal(7).

use error::{Refused, Result};

/// `TERM`, `SIGTERM`, `15`, in any case. The number 0 only looks whether the process is there.
///
/// # Errors
/// Refused for what is no signal.
pub(crate) fn parse(text: &str) -> Result<i32> {
    if text == "0" {
        return Ok(0);
    }
    let number = sys::signal::number(text).and_then(|number| i32::try_from(number).ok());
    let refused =
        || Refused::new("the signal", text, "is no signal").hint("use a name such as TERM, or 1 to 64").into();
    number.ok_or_else(refused)
}
