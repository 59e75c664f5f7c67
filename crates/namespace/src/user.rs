//! The user namespace: which ids outside the ids inside stand for. user_namespaces(7).

use std::fmt::Write as _;

use error::{Refused, Result};
use oci::{Config, IdMapping, NamespaceKind};

use crate::{Relation, relation};

/// What the parent writes to /proc/PID/uid_map and gid_map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    /// Lines of `inside outside count`.
    pub uid: String,
    /// The same for groups.
    pub gid: String,
}

/// The kernel's limit of lines in a map.
const MOST_LINES: usize = 340;

/// The maps of a namespace of the container's own; `None` where it makes none.
///
/// # Errors
/// Refused for a new user namespace without maps, or for maps that the kernel would not take.
pub fn host(config: &Config) -> Result<Option<Maps>> {
    if relation(config, NamespaceKind::User) != Relation::Own {
        return Ok(None);
    }
    let Some(linux) = &config.linux else { return Ok(None) };
    Ok(Some(Maps {
        uid: lines("linux.uidMappings", &linux.uid_mappings)?,
        gid: lines("linux.gidMappings", &linux.gid_mappings)?,
    }))
}

/// The lines of a map.
///
/// # Errors
/// Refused for one that the kernel would not take.
pub(crate) fn lines(field: &str, mappings: &[IdMapping]) -> Result<String> {
    if mappings.is_empty() {
        return Err(Refused::new(field, "", "is empty, and without it nobody exists in the container")
            .hint("map at least id 0")
            .into());
    }
    if mappings.len() > MOST_LINES {
        return Err(Refused::new(field, format!("of {} lines", mappings.len()), "is longer than the kernel takes")
            .hint(format!("use at most {MOST_LINES} lines"))
            .into());
    }
    let mut text = String::new();
    for mapping in mappings {
        let IdMapping { container_id, host_id, size } = mapping;
        let shown = format!("{container_id}:{host_id}:{size}");
        if *size == 0 || container_id.checked_add(*size).is_none() || host_id.checked_add(*size).is_none() {
            return Err(Refused::new(field, shown, "is empty or reaches beyond the last id").into());
        }
        let _ = writeln!(text, "{container_id} {host_id} {size}");
    }
    Ok(text)
}
