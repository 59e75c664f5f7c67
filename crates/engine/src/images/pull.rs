//! `pull`: an image comes from its registry, or from a mirror of that.

use std::io::Read;

use error::{Errno, Error, Refused, RefusedKind, Result};
use image::Reference;
use image::registry::{Registry, Wanted};
use oci::image::{Descriptor, Digest, Document, Index, Manifest, Platform, media};

use super::{Image, Order, Progress, Source};
use crate::containers::Engine;

/// A registry's repository from which an image comes.
pub struct Repository {
    /// The registry.
    pub registry: Registry,
    /// The repository's name there.
    pub name: String,
}

/// An image that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// The digest that its name has at the registry: that of the manifest, or of the index.
    pub digest: Digest,
    /// Whether its name stood for another image before, or for none.
    pub is_newer: bool,
}

/// What a name stands for at a registry.
struct Found {
    digest: Digest,
    bytes: Vec<u8>,
    manifest: Manifest,
}

impl Engine {
    /// Brings an image under its name from the first of these that has it.
    ///
    /// # Errors
    /// Refused where none has it, or none for the platform; what the last of them answers; a kernel error.
    pub fn pull_image(
        &self,
        name: &Reference,
        platform: &Platform,
        places: &[Repository],
        progress: &dyn Progress,
    ) -> Result<Pulled> {
        let mut failed = None;
        for place in places {
            match self.pull_from(name, platform, place, progress) {
                Err(error) if is_of_the_place(&error) => failed = Some(error),
                pulled => return pulled,
            }
        }
        Err(failed.unwrap_or_else(|| Refused::new("the image", name.familiar(), "has no registry").into()))
    }

    fn pull_from(
        &self,
        name: &Reference,
        platform: &Platform,
        place: &Repository,
        progress: &dyn Progress,
    ) -> Result<Pulled> {
        let found = place.find(name, platform)?;
        let order = Order {
            manifest: &found.bytes,
            parsed: &found.manifest,
            digests: vec![format!("{}@{}", name.name(), found.digest)],
        };
        let before = self.known_image(&name.to_string())?.map(|known| known.image.id);
        let (image, lease) = self.bring_image(order, place, progress)?;
        let names = if name.tag.is_some() && name.digest.is_none() { std::slice::from_ref(name) } else { &[] };
        let image = self.keep_image(image, names)?;
        drop(lease);
        self.store.tell_of_image((&name.familiar(), &name.familiar_name()), "pull");
        Ok(Pulled { is_newer: before.as_ref() != Some(&image.id), image, digest: found.digest })
    }
}

/// Whether another registry may have what this one has not.
fn is_of_the_place(error: &Error) -> bool {
    !matches!(error.errno(), Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS))
}

/// An index may name another index; not for ever.
const DEEPEST: usize = 4;

impl Repository {
    fn find(&self, name: &Reference, platform: &Platform) -> Result<Found> {
        let mut fetched = self.registry.manifest(&self.name, Wanted::of(name), &media::DOCUMENTS)?;
        let digest = fetched.digest.clone();
        for _ in 0..DEEPEST {
            match Document::parse(Some(&fetched.media_type), &fetched.bytes)? {
                Document::Manifest(manifest) => {
                    return Ok(Found { digest, bytes: fetched.bytes, manifest: *manifest });
                }
                Document::Index(index) => {
                    let chosen = index.choose(platform).ok_or_else(|| not_for(name, platform, &index))?;
                    fetched = self.registry.manifest(&self.name, Wanted::Digest(&chosen.digest), &media::DOCUMENTS)?;
                }
            }
        }
        Err(Refused::new("the image", name.familiar(), "is an index of indexes of indexes").into())
    }
}

fn not_for(name: &Reference, platform: &Platform, index: &Index) -> Error {
    let mut others: Vec<String> =
        index.manifests.iter().filter_map(|item| item.platform.as_ref()).map(ToString::to_string).collect();
    others.sort();
    others.dedup();
    let refused = Refused::new("the image", name.familiar(), format!("is not made for {platform}"));
    refused.kind(RefusedKind::NoSuchObject).hint(format!("it is made for {}: use --platform", others.join(", "))).into()
}

impl Source for Repository {
    fn blob(&self, wanted: &Descriptor, from: u64) -> Result<(u64, Box<dyn Read + '_>)> {
        let blob = self.registry.blob(&self.name, wanted, from)?;
        Ok((blob.start(), Box::new(blob)))
    }
}
