//! config.json: everything about one container. OCI runtime specification, config.md.

use std::collections::BTreeMap;

use error::Result;
use serde::{Deserialize, Serialize};

use crate::{Hooks, Linux, Mount, Process, absent, document};

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
        document::parse("config.json", bytes)
    }
}
