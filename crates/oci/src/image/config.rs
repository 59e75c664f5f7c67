//! The configuration of an image: what it runs by default, and what its layers are. OCI image specification, config.md.

use std::collections::{BTreeMap, BTreeSet};

use error::{Refused, Result};
use serde::{Deserialize, Serialize};

use super::document::LAYERS;
use super::{Digest, Manifest, Platform, set};
use crate::{absent, document};

/// The largest configuration that is read, in bytes: labels may hold a lot.
const LARGEST: usize = 8 << 20;

/// An image's configuration. The digest of its bytes is the image's id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub author: Option<String>,
    /// The processor's architecture, Go's word: `amd64`.
    #[serde(default, deserialize_with = "absent::null")]
    pub architecture: String,
    /// Which of the architecture's variants: `v7`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub variant: Option<String>,
    /// The operating system, Go's word: `linux`.
    #[serde(default, deserialize_with = "absent::null")]
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version")]
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub os_version: Option<String>,
    /// What the operating system has to be able to do.
    #[serde(rename = "os.features")]
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub os_features: Vec<String>,
    /// What a container of this image does unless it is told otherwise.
    #[serde(default, deserialize_with = "absent::null")]
    pub config: ContainerConfig,
    /// Its layers, from the lowest up.
    pub rootfs: RootFs,
    /// How it came to be, from the first step on.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub history: Vec<History>,
}

/// What a container of an image does unless it is told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
pub struct ContainerConfig {
    /// Who the process runs as: `user`, `uid`, `user:group`, `uid:gid`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub user: Option<String>,
    /// Ports that a service listens at: `80`, `80/tcp`, `53/udp`.
    #[serde(
        default,
        deserialize_with = "set::read",
        serialize_with = "set::write",
        skip_serializing_if = "absent::is"
    )]
    pub exposed_ports: BTreeSet<String>,
    /// The environment, as `NAME=value`.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub env: Vec<String>,
    /// The beginning of the command.
    #[serde(default, deserialize_with = "set::words", skip_serializing_if = "absent::is")]
    pub entrypoint: Vec<String>,
    /// The rest of the command.
    #[serde(default, deserialize_with = "set::words", skip_serializing_if = "absent::is")]
    pub cmd: Vec<String>,
    /// What checks whether the service does its work.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub healthcheck: Option<Healthcheck>,
    /// Folders inside that become volumes.
    #[serde(
        default,
        deserialize_with = "set::read",
        serialize_with = "set::write",
        skip_serializing_if = "absent::is"
    )]
    pub volumes: BTreeSet<String>,
    /// The working directory.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub working_dir: Option<String>,
    /// Anything that users want to remember.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the process to end: a name or a number.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub stop_signal: Option<String>,
    /// How long it may take to end, in seconds; below 0, as long as it likes.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub stop_timeout: Option<i64>,
    /// The shell that a build gave its commands to.
    #[serde(default, deserialize_with = "set::words", skip_serializing_if = "absent::is")]
    pub shell: Vec<String>,
    /// What a build does that begins with this image.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub on_build: Vec<String>,
}

/// What checks whether a service does its work. Docker's extension of the specification; times are in nanoseconds, and 0
/// is the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
pub struct Healthcheck {
    /// `NONE`; `CMD` and a command; `CMD-SHELL` and a line for the shell; nothing for what the image below says.
    #[serde(default, deserialize_with = "set::words", skip_serializing_if = "absent::is")]
    pub test: Vec<String>,
    /// The time from one check to the next.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub interval: i64,
    /// How long a check may take.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub timeout: i64,
    /// How long failures do not count after the start.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub start_period: i64,
    /// The time from one check to the next as long as failures do not count.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub start_interval: i64,
    /// How many failures in a row it takes.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub retries: i64,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the layers' uncompressed archives, from the lowest up.
    #[serde(default, deserialize_with = "absent::null")]
    pub diff_ids: Vec<Digest>,
}

/// One step of how an image came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub created: Option<String>,
    /// By which command.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub author: Option<String>,
    /// What the author said.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Refused, with the path of the field in the document, its value, and what it should be.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        const NAME: &str = "the image's configuration";
        if bytes.len() > LARGEST {
            return Err(Refused::new(NAME, "", format!("is larger than {LARGEST} bytes")).into());
        }
        let config: Self = document::parse(NAME, bytes)?;
        if config.rootfs.kind != "layers" {
            return Err(Refused::new("rootfs.type", config.rootfs.kind, "is not layers").into());
        }
        if config.rootfs.diff_ids.len() > LAYERS {
            let count = config.rootfs.diff_ids.len().to_string();
            return Err(Refused::new("rootfs.diff_ids", count, format!("are more than {LAYERS} layers")).into());
        }
        Ok(config)
    }

    /// The platform that it is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
        }
    }

    /// Checks that `manifest` has one layer for each of the configuration's.
    ///
    /// # Errors
    /// Refused, if it has more, or fewer.
    pub fn check_layers(&self, manifest: &Manifest) -> Result<()> {
        let (of_config, of_manifest) = (self.rootfs.diff_ids.len(), manifest.layers.len());
        if of_config == of_manifest {
            return Ok(());
        }
        let reason = format!("the manifest has {of_manifest} layers and the configuration has {of_config}");
        Err(Refused::new("the image", "", reason).into())
    }
}
