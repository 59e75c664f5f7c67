//! `pull`: an image comes from its registry, or from a mirror of that.

use std::io::Read;

use error::{Errno, Error, Refused, RefusedKind, Result};
use image::Reference;
use image::registry::{Registry, Wanted};
use image::signature::Signable;
use image::trust::{Candidate, Demand};
use oci::image::{Descriptor, Digest, Document, Index, Manifest, Platform, media};

use super::{Image, Order, Progress, Source, Verified};
use crate::containers::Engine;

/// A registry's repository from which an image comes.
pub struct Repository {
    /// The registry.
    pub registry: Registry,
    /// The repository's name there.
    pub name: String,
}

/// An image that is to come.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Its name.
    pub name: &'a Reference,
    /// For which machine.
    pub platform: &'a Platform,
    /// Who must vouch for it; nobody where there are none.
    pub demands: &'a [Demand],
}

/// An image that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// The digest that its name has at the registry: that of the manifest, or of the index.
    pub digest: Digest,
    /// Who vouched for it now.
    pub verified: Vec<Verified>,
    /// Whether its name stood for another image before, or for none.
    pub is_newer: bool,
}

/// What a name stands for at a registry.
struct Found {
    /// The documents from its name to the image: indexes, if there are any, and the manifest's.
    documents: Vec<(Digest, Vec<u8>)>,
    manifest: Manifest,
}

impl Engine {
    /// Brings an image under its name from the first of these that has it. Nothing of it comes before its signatures are
    /// verified, if any are demanded.
    ///
    /// # Errors
    /// Refused where none has it, or none for the platform, or where nobody vouches for it who must; what the last of them
    /// answers; a kernel error.
    pub fn pull_image(&self, wish: Wish<'_>, places: &[Repository], progress: &dyn Progress) -> Result<Pulled> {
        let mut failed = None;
        for place in places {
            match self.pull_from(wish, place, progress) {
                Err(error) if is_of_the_place(&error) => failed = Some(error),
                pulled => return pulled,
            }
        }
        Err(failed.unwrap_or_else(|| Refused::new("the image", wish.name.familiar(), "has no registry").into()))
    }

    fn pull_from(&self, wish: Wish<'_>, place: &Repository, progress: &dyn Progress) -> Result<Pulled> {
        let name = wish.name;
        let found = place.find(name, wish.platform)?;
        let verified = place.verified(&found, wish)?;
        let (Some((digest, _)), Some((_, manifest))) = (found.documents.first(), found.documents.last()) else {
            return Err(Refused::new("the image", name.familiar(), "has no manifest").into());
        };
        let order = Order { manifest, parsed: &found.manifest, digests: vec![format!("{}@{digest}", name.name())] };
        let before = self.known_image(&name.to_string())?.map(|known| known.image.id);
        let (image, lease) = self.bring_image(order, place, progress)?;
        let image = Image { verified: verified.clone(), ..image };
        let names = if name.tag.is_some() && name.digest.is_none() { std::slice::from_ref(name) } else { &[] };
        let image = self.keep_image(image, names)?;
        drop(lease);
        self.store.tell_of_image((&name.familiar(), &name.familiar_name()), "pull");
        Ok(Pulled { is_newer: before.as_ref() != Some(&image.id), image, digest: digest.clone(), verified })
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
        let mut documents = Vec::new();
        for _ in 0..DEEPEST {
            let parsed =
                Document::parse(Some(&fetched.media_type), &fetched.bytes).map_err(|error| unreadable(name, error))?;
            documents.push((fetched.digest, fetched.bytes));
            match parsed {
                Document::Manifest(manifest) => return Ok(Found { documents, manifest: *manifest }),
                Document::Index(index) => {
                    let chosen = index.choose(platform).ok_or_else(|| not_for(name, platform, &index))?;
                    fetched = self.registry.manifest(&self.name, Wanted::Digest(&chosen.digest), &media::DOCUMENTS)?;
                }
            }
        }
        Err(Refused::new("the image", name.familiar(), "is an index of indexes of indexes").into())
    }
}

impl Repository {
    /// Who vouches for what was found.
    fn verified(&self, found: &Found, wish: Wish<'_>) -> Result<Vec<Verified>> {
        let documents = found.documents.iter().map(|(digest, bytes)| Signable { digest, bytes }).collect();
        let image = Candidate { name: wish.name, documents };
        let vouched = image::trust::verify(&self.registry, &self.name, &image, wish.demands)?;
        Ok(vouched.into_iter().map(|by| Verified { key: by.key, digest: by.digest }).collect())
    }
}

/// What came for a name and is no document of an image.
fn unreadable(name: &Reference, error: Error) -> Error {
    let Error::Refused(refused) = error else { return error };
    let Refused { field, value, reason, hint, kind } = *refused;
    let blank = if value.is_empty() { "" } else { " " };
    let reason = format!("of what its registry sends, {field}{blank}{value} {reason}");
    let hint = hint.unwrap_or_else(|| "try again; a proxy on the way may have answered in its place".to_owned());
    Refused::new("the image", name.familiar(), reason).kind(kind).hint(hint).into()
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
