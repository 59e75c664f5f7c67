//! `load`: images come from an archive, or from a folder with such files.

use std::io::{Cursor, Read};

use error::{Refused, RefusedKind, Result};
use image::archive::Archive;
use image::content::Content;
use image::reference::Reference;
use oci::image::{Descriptor, Digest, Document, Index, Manifest, Platform, media};
use serde::Deserialize;

use super::{Image, Lease, Order, Progress, Source};
use crate::containers::Engine;

/// An image that an archive held.
#[derive(Debug)]
pub struct Loaded {
    /// The image.
    pub image: Image,
    /// The names that it got.
    pub names: Vec<Reference>,
}

/// One image in the `manifest.json` of `docker save`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// Where an index says what an image is called: containerd's way, then the specification's.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

impl Engine {
    /// Loads every image of an archive.
    ///
    /// # Errors
    /// Refused for what is no archive of images; a kernel error.
    pub fn load_images(&self, tar: impl Read, platform: &Platform, progress: &dyn Progress) -> Result<Vec<Loaded>> {
        self.store.make_image_folders()?;
        let content = self.store.content();
        let mut lease = Lease::new(&self.store)?;
        let archive = Archive::read(tar, &content, |staged| {
            lease.add(&self.store, [staged.digest()])?;
            staged.keep()
        })?;
        let loading = Loading { engine: self, archive: &archive, content, progress };
        if let Some(index) = loading.small("index.json") {
            return loading.layout(&index, platform);
        }
        match loading.small("manifest.json") {
            Some(manifest) => loading.docker(&manifest),
            None => {
                let refused = Refused::new("the archive", "", "holds neither index.json nor manifest.json");
                let hint = "give one that docker save, podman save or carboy save has written; for a root file system use \
                            carboy import";
                Err(refused.kind(RefusedKind::Invalid).hint(hint).into())
            }
        }
    }
}

struct Loading<'a> {
    engine: &'a Engine,
    archive: &'a Archive,
    content: Content,
    progress: &'a dyn Progress,
}

/// The blobs of an archive.
struct Blobs<'a> {
    archive: &'a Archive,
    content: Content,
}

impl Source for Blobs<'_> {
    fn blob(&self, wanted: &Descriptor, _: u64) -> Result<(u64, Box<dyn Read + '_>)> {
        if let Some(bytes) = self.archive.by_digest(&wanted.digest).and_then(|member| member.bytes.as_deref()) {
            return Ok((0, Box::new(Cursor::new(bytes))));
        }
        match self.content.open(&wanted.digest)? {
            Some(file) => Ok((0, Box::new(file))),
            None => Err(Refused::new("the archive", wanted.digest.to_string(), "is missing in it").into()),
        }
    }
}

impl Loading<'_> {
    fn small(&self, name: &str) -> Option<Vec<u8>> {
        self.archive.member(name)?.bytes.clone()
    }

    /// An OCI layout: image-layout.md of the OCI image specification.
    fn layout(&self, index: &[u8], platform: &Platform) -> Result<Vec<Loaded>> {
        let Document::Index(index) = Document::parse(None, index)? else {
            return Err(Refused::new("the archive", "index.json", "is no index").into());
        };
        let mut loaded: Vec<Loaded> = Vec::new();
        for item in &index.manifests {
            let Some((bytes, manifest)) = self.manifest(item, platform, 0)? else { continue };
            let name = NAMES.iter().find_map(|key| item.annotations.get(*key)).and_then(|name| whole_name(name));
            loaded.push(self.image(&bytes, &manifest, name.into_iter().collect())?);
        }
        Ok(merged(loaded))
    }

    /// The manifest that an index's item leads to; `None` for one of another platform and for what is no image.
    fn manifest(&self, item: &Descriptor, platform: &Platform, depth: usize) -> Result<Option<(Vec<u8>, Manifest)>> {
        if depth > 4 {
            return Err(Refused::new("the archive", item.digest.to_string(), "is an index of indexes").into());
        }
        let missing = || Refused::new("the archive", item.digest.to_string(), "is missing in it");
        let member = self.archive.by_digest(&item.digest).ok_or_else(missing)?;
        let bytes = match &member.bytes {
            Some(bytes) => bytes.clone(),
            None => self.content.document(&item.digest)?.ok_or_else(missing)?,
        };
        match Document::parse(Some(&item.media_type), &bytes)? {
            Document::Manifest(manifest) => {
                Ok(media::is_config(&manifest.config.media_type).then_some((bytes, *manifest)))
            }
            Document::Index(index) => match self.there(&index, platform) {
                Some(chosen) => self.manifest(&chosen, platform, depth + 1),
                None => Ok(None),
            },
        }
    }

    /// What suits the platform best of what an index names and the archive has: an engine saves what it has.
    fn there(&self, index: &Index, platform: &Platform) -> Option<Descriptor> {
        let mut index = index.clone();
        index.manifests.retain(|item| self.archive.by_digest(&item.digest).is_some());
        index.choose(platform).cloned().or_else(|| index.manifests.into_iter().next())
    }

    /// What `docker save` writes.
    fn docker(&self, manifest: &[u8]) -> Result<Vec<Loaded>> {
        let saved: Vec<Saved> = serde_json::from_slice(manifest)
            .map_err(|error| Refused::new("the archive", "manifest.json", error.to_string()))?;
        let mut loaded = Vec::new();
        for one in saved {
            let missing = |name: &str| Refused::new("the archive", name, "is missing in it");
            let config = self.archive.member(&one.config).ok_or_else(|| missing(&one.config))?;
            let mut layers = Vec::new();
            for name in &one.layers {
                let layer = self.archive.member(name).ok_or_else(|| missing(name))?;
                let kind = if self.is_gzip(&layer.digest)? { media::DOCKER_LAYER_GZIP } else { media::DOCKER_LAYER };
                layers.push(Descriptor::new(kind, layer.digest.clone(), layer.size));
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some(media::DOCKER_MANIFEST.to_owned()),
                artifact_type: None,
                config: Descriptor::new(media::DOCKER_CONFIG, config.digest.clone(), config.size),
                layers,
                subject: None,
                annotations: std::collections::BTreeMap::new(),
            };
            let bytes = serde_json::to_vec(&manifest)
                .map_err(|error| Refused::new("the archive", "manifest.json", error.to_string()))?;
            let names = one.repo_tags.unwrap_or_default();
            let names = names.iter().map(|name| Reference::parse(name)).collect::<Result<_>>()?;
            loaded.push(self.image(&bytes, &manifest, names)?);
        }
        Ok(merged(loaded))
    }

    fn is_gzip(&self, digest: &Digest) -> Result<bool> {
        let wanted = Descriptor::new("", digest.clone(), 0);
        let blobs = Blobs { archive: self.archive, content: self.content.clone() };
        let (_, mut blob) = blobs.blob(&wanted, 0)?;
        let mut magic = [0; 2];
        Ok(blob.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b])
    }

    fn image(&self, bytes: &[u8], parsed: &Manifest, names: Vec<Reference>) -> Result<Loaded> {
        let blobs = Blobs { archive: self.archive, content: self.content.clone() };
        let order = Order { manifest: bytes, parsed, digests: Vec::new() };
        let (image, lease) = self.engine.bring_image(order, &blobs, self.progress)?;
        let image = self.engine.keep_image(image, &names)?;
        drop(lease);
        self.engine.store.tell_of_image((image.id.as_str(), image.id.as_str()), "load");
        Ok(Loaded { image, names })
    }
}

/// A name with a repository: a tag alone names nothing on this host.
fn whole_name(text: &str) -> Option<Reference> {
    text.contains([':', '/']).then(|| Reference::parse(text).ok()).flatten()
}

/// An image that an index names several times is loaded once, with all of its names.
fn merged(loaded: Vec<Loaded>) -> Vec<Loaded> {
    let mut all: Vec<Loaded> = Vec::new();
    for one in loaded {
        match all.iter_mut().find(|known| known.image.id == one.image.id) {
            Some(known) => known.names.extend(one.names),
            None => all.push(one),
        }
    }
    all
}
