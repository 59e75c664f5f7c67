//! A descriptor: where a document points at a blob or at another document. OCI image specification, descriptor.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Platform};
use crate::absent;

/// What is known of a blob before it is fetched. Its bytes are right if they have this size and this digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Descriptor {
    /// What kind of blob it is: one of [`super::media`], or anything else.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it can be downloaded.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub urls: Vec<String>,
    /// Anything that tools want to remember.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub annotations: BTreeMap<String, String>,
    /// The blob itself, in base64.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub data: Option<String>,
    /// What the manifest that it points at is of, where that is no image.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub artifact_type: Option<String>,
    /// In an index: the platform that the manifest is for.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A blob of this type, digest and size, of which nothing more is known.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            artifact_type: None,
            platform: None,
        }
    }
}
