//! What a configuration may ask for and this runtime does not do: refused with the field's name, so that nothing is
//! accepted and then not applied.

use error::{Refused, Result};
use oci::Config;

/// Looks at every field of a configuration that is not applied.
///
/// # Errors
/// Refused for the first that asks for something.
pub(crate) fn check(config: &Config) -> Result<()> {
    let Some(linux) = &config.linux else { return Ok(()) };
    let asked = [("linux.netDevices", !linux.net_devices.is_empty())];
    if let Some((field, _)) = asked.into_iter().find(|(_, asked)| *asked) {
        return refused(field, "");
    }
    Ok(())
}

fn refused(field: &str, value: &str) -> Result<()> {
    Err(Refused::new(field, value, "is not supported by this runtime").hint("leave it out").into())
}
