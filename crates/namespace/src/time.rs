//! The time namespace: offsets of the monotonic and boot-time clocks. time_namespaces(7).
//!
//! Offsets can be written only while no process is in the namespace, and unshare(2) moves only later children into it. So
//! the parent makes it and writes them, and the clone is the first to enter.

use std::fmt::Write as _;

use error::{Refused, Result};
use oci::{Config, NamespaceKind};

use crate::{Relation, relation};

/// What the parent writes to /proc/self/timens_offsets for a namespace of the container's own, a line a clock; `None`
/// where it gets none.
///
/// # Errors
/// Refused for an unknown clock, or offsets without a time namespace to hold them.
pub fn host(config: &Config) -> Result<Option<String>> {
    let offsets = config.linux.as_ref().and_then(|linux| linux.time_offsets.as_ref());
    let own = relation(config, NamespaceKind::Time) == Relation::Own;
    let mut text = String::new();
    for (clock, offset) in offsets.into_iter().flatten() {
        let field = format!("linux.timeOffsets.{clock}");
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Refused::new(field, "", "is a clock that the kernel cannot shift")
                .hint("use monotonic or boottime")
                .into());
        }
        if !own {
            return Err(
                Refused::new(field, offset.secs.to_string(), "needs a time namespace of the container's own").into()
            );
        }
        let _ = writeln!(text, "{clock} {} {}", offset.secs, offset.nanosecs);
    }
    Ok(own.then_some(text))
}
