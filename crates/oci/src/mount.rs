//! One mount of a container. OCI runtime specification, config.md "Mounts"; mount(8).

use serde::{Deserialize, Serialize};

use crate::{IdMapping, absent};

/// A mount, or a view of a place on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Mount {
    /// Where it appears inside; a relative path counts from `/`.
    pub destination: String,
    /// The file system, as /proc/filesystems names it. For a bind mount it says nothing.
    #[serde(rename = "type")]
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub kind: Option<String>,
    /// A device, a name, or for a bind mount a path on the host, absolute or relative to the bundle.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub source: Option<String>,
    /// Words of mount(8).
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub options: Vec<String>,
    /// Who owns, inside, the files of which user, for a mount with `idmap` among its options.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub uid_mappings: Vec<IdMapping>,
    /// The same for groups.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub gid_mappings: Vec<IdMapping>,
}
