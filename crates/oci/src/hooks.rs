//! Programs that an engine wants run at points of a container's life. OCI runtime specification, config.md "POSIX-platform
//! Hooks".

use serde::{Deserialize, Serialize};

use crate::absent;

/// The hooks of a container; each list is run in its order, with the container's state on standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Hooks {
    /// Before `create_runtime`, in the same place. Deprecated, and still what most tools use.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub prestart: Vec<Hook>,
    /// In the host's namespaces, when the container's namespaces are there and its root is not yet the only one.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub create_runtime: Vec<Hook>,
    /// At the same time in the container's namespaces; the program is found on the host.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub create_container: Vec<Hook>,
    /// In the container, before its process runs; the program is found in the container.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub start_container: Vec<Hook>,
    /// In the host's namespaces, after the process was started. Its failure is only a warning.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub poststart: Vec<Hook>,
    /// In the host's namespaces, after the container is deleted. Its failure is only a warning.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub poststop: Vec<Hook>,
}

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Hook {
    /// Its absolute path.
    pub path: String,
    /// Its arguments, the first of which is its name.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub args: Vec<String>,
    /// Its whole environment, as `NAME=value`.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub env: Vec<String>,
    /// Seconds after which it is given up.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub timeout: Option<i64>,
}

impl Hooks {
    /// Every list with its name in the document.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[Hook])> {
        [
            ("prestart", self.prestart.as_slice()),
            ("createRuntime", &self.create_runtime),
            ("createContainer", &self.create_container),
            ("startContainer", &self.start_container),
            ("poststart", &self.poststart),
            ("poststop", &self.poststop),
        ]
        .into_iter()
    }
}
