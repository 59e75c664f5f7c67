//! Manifests and indexes: what a registry answers when it is asked for an image.

use std::collections::BTreeMap;

use error::{Refused, Result};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Descriptor, Platform, media};
use crate::{absent, document};

/// The largest document that is read, in bytes: what registries take at most.
const LARGEST: usize = 4 << 20;
/// The most layers of one image.
pub(super) const LAYERS: usize = 1000;
/// The most manifests of one index.
const MANIFESTS: usize = 10_000;
const NAME: &str = "the manifest";

/// One image for one platform, or something else that is kept in a registry as images are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// One of [`media::OCI_MANIFEST`] and [`media::DOCKER_MANIFEST`].
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub media_type: Option<String>,
    /// What it is of, where that is no image.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, from the lowest up.
    #[serde(default, deserialize_with = "absent::null")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something of.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub subject: Option<Descriptor>,
    /// Anything that tools want to remember.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests, mostly of one image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// One of [`media::OCI_INDEX`] and [`media::DOCKER_LIST`].
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub media_type: Option<String>,
    /// What it is of, where that is no image.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub artifact_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "absent::null")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one says something of.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub subject: Option<Descriptor>,
    /// Anything that tools want to remember.
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub annotations: BTreeMap<String, String>,
}

/// What a reference may point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// A list of images.
    Index(Box<Index>),
}

/// Which of the two a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manifest,
    Index,
}

/// What tells the kinds of documents apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Shape {
    schema_version: u32,
    #[serde(default, deserialize_with = "absent::text")]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<IgnoredAny>,
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
}

impl Document {
    /// Reads a document of which a registry, or the descriptor that points at it, says that it is a `media_type`.
    ///
    /// # Errors
    /// Refused, if it is of another kind than it is said to be or says itself, if its fields belong to documents of
    /// different kinds, if it is of Docker's first schema, or if a field is wrong: with its path and its value.
    pub fn parse(media_type: Option<&str>, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > LARGEST {
            return Err(Refused::new(NAME, "", format!("is larger than {LARGEST} bytes")).into());
        }
        let told = media_type.map(media::bare).map(kind_of).transpose()?.flatten();
        let shape: Shape = document::parse(NAME, bytes)?;
        let kind = kind_of_shape(&shape)?;
        let own = shape.media_type.as_deref().map(own_kind).transpose()?;
        for (said, text) in [(told, media_type), (own, shape.media_type.as_deref())] {
            if said.is_some_and(|said| said != kind) {
                let reason = "is not what its fields make of it";
                return Err(Refused::new("the manifest's type", text.unwrap_or_default(), reason).into());
            }
        }
        match kind {
            Kind::Manifest => {
                let manifest: Manifest = document::parse(NAME, bytes)?;
                bounded("layers", manifest.layers.len(), LAYERS)?;
                manifest.layers.iter().chain([&manifest.config]).try_for_each(check_size)?;
                Ok(Self::Manifest(Box::new(manifest)))
            }
            Kind::Index => {
                let index: Index = document::parse("the index", bytes)?;
                bounded("manifests", index.manifests.len(), MANIFESTS)?;
                index.manifests.iter().try_for_each(check_size)?;
                Ok(Self::Index(Box::new(index)))
            }
        }
    }
}

/// What a document's fields make of it.
fn kind_of_shape(shape: &Shape) -> Result<Kind> {
    if shape.schema_version == 1 || shape.fs_layers.is_some() {
        return Err(first_schema("1"));
    }
    if shape.schema_version != 2 {
        return Err(Refused::new("schemaVersion", shape.schema_version.to_string(), "is not 2").into());
    }
    match (shape.manifests.is_some(), shape.config.is_some() || shape.layers.is_some()) {
        (true, true) => Err(Refused::new(NAME, "", "has fields of an index and of an image's manifest").into()),
        (true, false) => Ok(Kind::Index),
        (false, true) => Ok(Kind::Manifest),
        (false, false) => match shape.media_type.as_deref().map(own_kind).transpose()? {
            Some(Kind::Index) => Ok(Kind::Index),
            _ => Err(Refused::new(NAME, "", "has neither manifests nor a config").into()),
        },
    }
}

/// The kind of document that a registry's answer is said to be; some say of all that it is JSON, which says nothing.
fn kind_of(media_type: &str) -> Result<Option<Kind>> {
    if media::is_manifest(media_type) {
        Ok(Some(Kind::Manifest))
    } else if media::is_index(media_type) {
        Ok(Some(Kind::Index))
    } else if media_type.starts_with("application/vnd.docker.distribution.manifest.v1+") {
        Err(first_schema(media_type))
    } else if media_type.starts_with("application/vnd.") {
        Err(Refused::new("the manifest's type", media_type, "is not of an image").into())
    } else {
        Ok(None)
    }
}

/// The kind that a document says it is.
fn own_kind(media_type: &str) -> Result<Kind> {
    kind_of(media_type)?.ok_or_else(|| Refused::new("mediaType", media_type, "is not of an image").into())
}

fn first_schema(value: &str) -> error::Error {
    Refused::new("the manifest's schema", value, "was given up by registries and engines: it holds no digest to check")
        .hint("push the image again with a current version of any engine")
        .into()
}

fn bounded(field: &str, count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(Refused::new(field, count.to_string(), format!("are more than {most}")).into());
    }
    Ok(())
}

/// A file cannot be larger than the kernel's type for sizes can tell.
fn check_size(descriptor: &Descriptor) -> Result<()> {
    match i64::try_from(descriptor.size) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refused::new("size", descriptor.size.to_string(), "is larger than any file").into()),
    }
}

impl Index {
    /// The manifest, or the index, for a platform: the one that suits it best, and of those the first. What says nothing
    /// of its platform comes last, what says something about another manifest (as a build's provenance) not at all.
    #[must_use]
    pub fn choose(&self, wanted: &Platform) -> Option<&Descriptor> {
        const ABOUT: &str = "vnd.docker.reference.type";
        let is_image = |item: &&Descriptor| {
            (media::is_manifest(&item.media_type) || media::is_index(&item.media_type))
                && !item.annotations.contains_key(ABOUT)
        };
        let rank = |item: &Descriptor| item.platform.as_ref().map_or(Some(usize::MAX), |own| wanted.rank(own));
        self.manifests
            .iter()
            .filter(is_image)
            .filter_map(|item| Some((rank(item)?, item)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, item)| item)
    }
}
