//! config.json: everything about one container. OCI runtime specification, config.md.

use std::collections::BTreeMap;

use error::{Refused, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::{Hooks, Linux, Mount, Process, absent};

/// A container's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Config {
    /// The version of the specification that the document follows, as `1.3.0`.
    pub oci_version: String,
    /// What to run. A container can be made without it, but not started.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub process: Option<Process>,
    /// The root file system.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub root: Option<Root>,
    /// The host name inside.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub hostname: Option<String>,
    /// The NIS domain name inside.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub domainname: Option<String>,
    /// What is mounted inside the root, in this order.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub mounts: Vec<Mount>,
    /// Programs that are run at points of the container's life.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub hooks: Option<Hooks>,
    /// Anything that tools want to remember.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub linux: Option<Linux>,
}

/// The container's root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Root {
    /// Its folder on the host: absolute, or relative to the bundle.
    pub path: String,
    /// Whether it is read-only inside.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub readonly: bool,
}

impl Config {
    /// Reads a config.json. What its types cannot express is for [`Config::check`].
    ///
    /// # Errors
    /// Refused, with the path of the field in the document, its value, and what it should be.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|_| explain(bytes).into())
    }
}

/// Why `bytes` cannot be read. Done apart from reading, since following the path makes reading twice as slow.
fn explain(bytes: &[u8]) -> Refused {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let (path, error) = match serde_path_to_error::deserialize::<_, Config>(&mut reader) {
        Err(error) => (Some(error.path().clone()), error.into_inner()),
        Ok(_) => match reader.end() {
            Err(error) => (None, error),
            Ok(()) => return Refused::new("config.json", "", "is not readable"),
        },
    };
    let message = error.to_string();
    let Some(path) = path.filter(|_| error.classify() == Category::Data) else {
        return Refused::new("config.json", "", format!("is not JSON: {message}"));
    };
    let field = if path.iter().next().is_none() { "config.json".to_owned() } else { path.to_string() };
    let said = message.rsplit_once(" at line ").map_or(message.as_str(), |(said, _)| said);
    if let Some(name) = said.strip_prefix("missing field ") {
        let name = name.trim_matches('`');
        let field = if field == "config.json" { name.to_owned() } else { format!("{field}.{name}") };
        return Refused::new(field, "", "is missing");
    }
    let reason = match said.split_once("expected ") {
        Some((_, expected)) => format!("is not {expected}"),
        None => said.to_owned(),
    };
    Refused::new(field, value_at(bytes, &path), reason)
}

/// The value at a path of the document, shortened to what fits a line.
fn value_at(bytes: &[u8], path: &Path) -> String {
    const LONGEST: usize = 60;
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let found = path.iter().try_fold(&document, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    });
    let text = found.map(Value::to_string).unwrap_or_default();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
