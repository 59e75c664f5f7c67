//! `load`: images come from an archive, or from a folder with such files.

use std::io::Read;
use std::path::Path;

use error::{Refused, RefusedKind, Result};
use image::archive::{Archive, Member};
use image::content::Content;
use image::reference::Reference;
use image::transport::Transport;
use image::trust::Policy;
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

/// What images are loaded from.
pub enum Shelf<'a> {
    /// A tar, plain or compressed.
    Archive {
        /// Its bytes.
        tar: &'a mut dyn Read,
        /// Where it is; nowhere if it comes through a pipe.
        path: Option<&'a Path>,
    },
    /// An OCI layout, or a manifest with its blobs beside it.
    Folder(&'a Path),
}

impl Shelf<'_> {
    /// The place that it is if it is an OCI layout, and if it is none.
    fn places(&self) -> (Transport, Transport) {
        match self {
            Self::Archive { path, .. } => {
                let path = path.map(Path::to_path_buf).unwrap_or_default();
                (Transport::LayoutArchive(path.clone(), None), Transport::DockerArchive(path, None))
            }
            Self::Folder(path) => (Transport::Layout(path.to_path_buf(), None), Transport::Folder(path.to_path_buf())),
        }
    }
}

/// Which images are loaded.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Every one.
    All,
    /// The only one.
    Only,
    /// The one that is called so there.
    Named(&'a str),
}

/// What of a shelf is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Which images.
    pub which: Which<'a>,
    /// Of an index what suits this.
    pub platform: &'a Platform,
    /// What says whether anything may be taken from there; anything may where there is none.
    pub policy: Option<&'a Policy>,
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
    /// Loads the images that are meant, of which there is one at least; of an index what suits the platform.
    ///
    /// # Errors
    /// Refused for what holds no images, or not those that are meant; a kernel error.
    pub fn load_images(&self, shelf: Shelf<'_>, choice: Choice<'_>, progress: &dyn Progress) -> Result<Vec<Loaded>> {
        self.store.make_image_folders()?;
        let mut lease = Lease::new(&self.store)?;
        let loaded = self.load_shelf(shelf, choice, (progress, &mut lease));
        if loaded.is_err() {
            // Why nothing was loaded says more than what could not be removed, which the next prune removes.
            let _ = self.discard(lease);
        }
        loaded
    }

    fn load_shelf(
        &self,
        shelf: Shelf<'_>,
        Choice { which, platform, policy }: Choice<'_>,
        (progress, lease): (&dyn Progress, &mut Lease),
    ) -> Result<Vec<Loaded>> {
        let content = self.store.content();
        let (layout, other) = shelf.places();
        let archive = match shelf {
            Shelf::Archive { tar, .. } => Archive::read(tar, &content, |staged| {
                lease.add(&self.store, [staged.digest()])?;
                staged.keep()
            })?,
            Shelf::Folder(folder) => Archive::of_folder(folder)?,
        };
        let loading = Loading { engine: self, archive: &archive, content, which, platform, progress };
        if let Some(policy) = policy {
            policy.accepts(if archive.member("index.json").is_some() { &layout } else { &other })?;
        }
        let loaded = match (loading.small("index.json")?, loading.small("manifest.json")?) {
            (Some(index), _) => loading.layout(&index)?,
            (None, Some(manifest)) if manifest.trim_ascii_start().starts_with(b"{") => loading.folder(manifest)?,
            (None, Some(manifest)) => loading.docker(&manifest)?,
            (None, None) => {
                let refused = Refused::new("the archive", "", "holds neither index.json nor manifest.json");
                let hint = "give one that docker save, podman save or carboy save has written; for a root file system use \
                            carboy import";
                return Err(refused.kind(RefusedKind::Invalid).hint(hint).into());
            }
        };
        match loaded.is_empty() {
            false => Ok(loaded),
            true => Err(Refused::new("the archive", "", format!("holds no image for {platform}")).into()),
        }
    }
}

struct Loading<'a> {
    engine: &'a Engine,
    archive: &'a Archive,
    content: Content,
    which: Which<'a>,
    platform: &'a Platform,
    progress: &'a dyn Progress,
}

/// The blobs of an archive.
struct Blobs<'a> {
    archive: &'a Archive,
    content: &'a Content,
}

impl Source for Blobs<'_> {
    fn blob(&self, wanted: &Descriptor, _: u64) -> Result<(u64, Box<dyn Read + '_>)> {
        let member = self.archive.by_digest(&wanted.digest).ok_or_else(|| missing(wanted.digest.as_str()))?;
        Ok((0, member.open(self.content)?))
    }
}

impl Loading<'_> {
    fn small(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.archive.member(name).map(|member| member.document(&self.content)).transpose()
    }

    fn member(&self, digest: &Digest) -> Result<&Member> {
        self.archive.by_digest(digest).ok_or_else(|| missing(digest.as_str()))
    }

    /// An OCI layout: image-layout.md of the OCI image specification.
    fn layout(&self, index: &[u8]) -> Result<Vec<Loaded>> {
        let Document::Index(index) = Document::parse(None, index)? else {
            return Err(Refused::new("the archive", "index.json", "is no index").into());
        };
        let names = |item: &Descriptor| NAMES.iter().filter_map(|key| item.annotations.get(*key)).cloned().collect();
        let mut loaded: Vec<Loaded> = Vec::new();
        for item in self.meant(index.manifests, names)? {
            let Some((bytes, manifest)) = self.manifest(&item, 0)? else { continue };
            let name = NAMES.iter().find_map(|key| item.annotations.get(*key)).and_then(|name| whole_name(name));
            loaded.push(self.image(&bytes, &manifest, name.into_iter().collect())?);
        }
        Ok(merged(loaded))
    }

    /// Those of the images that are meant.
    fn meant<T>(&self, all: Vec<T>, names: impl Fn(&T) -> Vec<String>) -> Result<Vec<T>> {
        let known = |all: &[T]| {
            let mut known: Vec<String> = all.iter().flat_map(&names).collect();
            known.sort();
            known.dedup();
            known.truncate(10);
            format!("its images are called {}", known.join(", "))
        };
        match self.which {
            Which::All => Ok(all),
            Which::Only if all.len() <= 1 => Ok(all),
            Which::Only => {
                let refused = Refused::new("the archive", "", format!("holds {} images", all.len()));
                Err(refused.hint(format!("name one behind a colon: {}", known(&all))).into())
            }
            Which::Named(name) => {
                let hint = known(&all);
                let parsed = Reference::parse(name).ok();
                let is_meant = |own: &String| own == name || parsed.is_some() && Reference::parse(own).ok() == parsed;
                let meant: Vec<T> = all.into_iter().filter(|item| names(item).iter().any(is_meant)).collect();
                if meant.is_empty() {
                    let refused = Refused::new("the image", name, "is not there").kind(RefusedKind::NoSuchObject);
                    return Err(refused.hint(hint).into());
                }
                Ok(meant)
            }
        }
    }

    /// The manifest that an index's item leads to; `None` for one of another platform and for what is no image.
    fn manifest(&self, item: &Descriptor, depth: usize) -> Result<Option<(Vec<u8>, Manifest)>> {
        if depth > 4 {
            return Err(Refused::new("the archive", item.digest.to_string(), "is an index of indexes").into());
        }
        let bytes = self.member(&item.digest)?.document(&self.content)?;
        match Document::parse(Some(&item.media_type), &bytes)? {
            Document::Manifest(manifest) => {
                Ok(media::is_config(&manifest.config.media_type).then_some((bytes, *manifest)))
            }
            Document::Index(index) => match self.there(&index) {
                Some(chosen) => self.manifest(&chosen, depth + 1),
                None => Ok(None),
            },
        }
    }

    /// What suits the platform best of what an index names and the archive has: an engine saves what it has.
    fn there(&self, index: &Index) -> Option<Descriptor> {
        let mut index = index.clone();
        index.manifests.retain(|item| self.archive.by_digest(&item.digest).is_some());
        index.choose(self.platform).cloned().or_else(|| index.manifests.into_iter().next())
    }

    /// A manifest, or an index, that stands alone with its blobs beside it: skopeo's `dir:`.
    fn folder(&self, bytes: Vec<u8>) -> Result<Vec<Loaded>> {
        let manifest = match Document::parse(None, &bytes)? {
            Document::Manifest(manifest) => Some((bytes, *manifest)),
            Document::Index(index) => match self.there(&index) {
                Some(chosen) => self.manifest(&chosen, 0)?,
                None => None,
            },
        };
        manifest.into_iter().map(|(bytes, manifest)| self.image(&bytes, &manifest, Vec::new())).collect()
    }

    /// What `docker save` writes.
    fn docker(&self, manifest: &[u8]) -> Result<Vec<Loaded>> {
        let saved: Vec<Saved> = serde_json::from_slice(manifest)
            .map_err(|error| Refused::new("the archive", "manifest.json", error.to_string()))?;
        let mut loaded = Vec::new();
        for one in self.meant(saved, |one| one.repo_tags.clone().unwrap_or_default())? {
            let config = self.archive.member(&one.config).ok_or_else(|| missing(&one.config))?;
            let mut layers = Vec::new();
            for name in &one.layers {
                let layer = self.archive.member(name).ok_or_else(|| missing(name))?;
                let kind = if self.is_gzip(layer)? { media::DOCKER_LAYER_GZIP } else { media::DOCKER_LAYER };
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

    fn is_gzip(&self, layer: &Member) -> Result<bool> {
        let mut magic = [0; 2];
        Ok(layer.open(&self.content)?.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b])
    }

    fn image(&self, bytes: &[u8], parsed: &Manifest, names: Vec<Reference>) -> Result<Loaded> {
        let order = Order { manifest: bytes, parsed, digests: Vec::new() };
        let blobs = Blobs { archive: self.archive, content: &self.content };
        let (image, lease) = self.engine.bring_image(order, &blobs, self.progress)?;
        let image = self.engine.keep_image(image, &names)?;
        drop(lease);
        self.engine.store.tell_of_image((image.id.as_str(), image.id.as_str()), "load");
        Ok(Loaded { image, names })
    }
}

fn missing(name: &str) -> error::Error {
    Refused::new("the archive", name, "is missing in it").into()
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
