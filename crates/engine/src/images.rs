//! Images: what is remembered of them, and what keeps their layers on the disk.
//!
//! ```text
//! ROOT/content/…            blobs by their digest: content.rs of the image crate
//! ROOT/layers/HEX/files     a layer as overlayfs takes it, named by its chain id; layer.json tells of it
//! ROOT/layers/.HALF         a layer that is being unpacked or removed
//! ROOT/images/HEX.json      an image, named by the digest of its configuration
//! ROOT/tags/HEX             a name of an image, under the digest of that name
//! ROOT/leases/ID            what somebody is bringing just now; the file is locked (flock) as long as that is true
//! RUN/.images/HEX           an image that is mounted on the host: mounted.rs
//! ```
//!
//! What no image, no container and no lease leads to is garbage. ROOT/images is locked (flock) for as long as somebody looks
//! at what there is and says that it is wanted: shared by who takes a container from it, alone by who removes.

mod bring;
mod check;
mod commit;
mod elsewhere;
mod garbage;
mod half;
mod instruction;
mod lease;
mod load;
mod message;
pub(crate) mod mounted;
mod places;
mod pull;
mod push;
mod remove;
mod save;
mod tree;
mod usage;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use error::{Corrupt, Doing, Refused, RefusedKind, Result};
use image::content::Content;
use image::{Reference, sha256};
use jiff::Timestamp;
use oci::image::{Digest, Document, ImageConfig, Manifest};
use rustix::fs::{FlockOperation, syncfs};
use serde::{Deserialize, Serialize};

use crate::containers::Engine;
use crate::options::{ImageRoot, Root, RunOptions};
use crate::store::{Held, Store, entries, lock_folder, make_folders, read_json, write_json};

pub use bring::{Order, Progress, Source, Step};
pub use check::ImageFinding;
pub use commit::{Imprint, Stillness};
pub use garbage::{Freed, Partial};
pub use instruction::Instruction;
pub use lease::Lease;
pub use load::{Choice, Loaded, Shelf, Which};
pub use message::{Came, Detail, ErrorDetail, Message, Messages, words};
pub use mounted::{Mounted, Unmount};
pub use pull::{Pulled, Repository, Wish};
pub use push::{Pushed, Sent, Watcher};
pub use remove::{Force, Removed, RemovedImage};
pub use save::{Called, Form, SavedImage, Target, Wanted};
pub use tree::{Seen, TreeLayer};
pub use usage::{Usage, Used};

/// An image as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The form of this record.
    pub version: u32,
    /// The digest of its configuration.
    pub id: Digest,
    /// The manifests by which it was had, the first one first: they differ in how its layers are compressed.
    pub manifests: Vec<Digest>,
    /// The chain ids of its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// What the files of its layers take, in bytes.
    pub bytes: u64,
    /// When it came to this host.
    pub arrived: Timestamp,
    /// As what registries know it: `docker.io/library/debian@sha256:…`.
    pub digests: Vec<String>,
    /// Who vouched for it when it came, or later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<Verified>,
}

/// Somebody's signature of an image, which was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The fingerprint of their key.
    pub key: Digest,
    /// What they have signed: a manifest of the image, or an index that names one.
    pub digest: Digest,
}

/// An image with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The image.
    pub image: Image,
    /// Its names, sorted.
    pub names: Vec<Reference>,
}

/// The images that there are.
#[derive(Debug, Default)]
pub struct Images {
    /// Those that can be told of, the newest first.
    pub whole: Vec<Named>,
    /// What is wrong with each of the others.
    pub damaged: Vec<error::Error>,
}

/// What is remembered of a layer on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of its archive, not compressed.
    pub diff_id: Digest,
    /// What its files take, in bytes.
    pub bytes: u64,
    /// Whether all that the layers below it show is in it: it was put together with them, where there is no overlay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merged: bool,
    /// What its folder holds; unknown of one that an older carboy has brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holds>,
}

/// What a layer's folder holds, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Names of whatever kind.
    pub names: u64,
    /// The lengths of the files that they are of, in bytes.
    pub length: u64,
}

#[derive(Serialize, Deserialize)]
struct Tag {
    reference: String,
    image: Digest,
}

impl Image {
    /// The form that this carboy writes.
    pub const VERSION: u32 = 1;

    /// Whether the holder of the key with this fingerprint vouches for it.
    #[must_use]
    pub fn is_verified_by(&self, key: &Digest) -> bool {
        self.verified.iter().any(|verified| verified.key == *key)
    }

    /// The first twelve digits of its id.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.hex().get(..12).unwrap_or_default()
    }
}

impl Store {
    /// The blobs.
    #[must_use]
    pub fn content(&self) -> Content {
        Content::at(self.root.join("content"))
    }

    pub(crate) fn layers_folder(&self) -> PathBuf {
        self.root.join("layers")
    }

    /// Where a layer is, if it is there.
    #[must_use]
    pub fn layer(&self, chain: &Digest) -> PathBuf {
        self.layers_folder().join(chain.hex())
    }

    /// The folder of a layer that overlayfs takes.
    #[must_use]
    pub fn layer_files(&self, chain: &Digest) -> PathBuf {
        self.layer(chain).join("files")
    }

    /// The folders of the layers that are copied for a root, the topmost first.
    pub(crate) fn layers_to_copy(&self, chains: &[Digest]) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for chain in chains.iter().rev() {
            folders.push(self.layer_files(chain));
            if self.layer_record(chain)?.is_some_and(|layer| layer.merged) {
                break;
            }
        }
        Ok(folders)
    }

    /// What is remembered of a layer; `None` where it is not there.
    ///
    /// # Errors
    /// Corrupt.
    pub fn layer_record(&self, chain: &Digest) -> Result<Option<Layer>> {
        read_json(&self.layer(chain).join("layer.json"))
    }

    /// The chain ids of all layers.
    pub(crate) fn layer_chains(&self) -> Result<Vec<Digest>> {
        Ok(entries(&self.layers_folder())?.iter().filter_map(|name| Digest::of_hex(name)).collect())
    }

    pub(crate) fn images_folder(&self) -> PathBuf {
        self.root.join("images")
    }

    fn tags_folder(&self) -> PathBuf {
        self.root.join("tags")
    }

    fn leases_folder(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// Makes the folders of images.
    pub(crate) fn make_image_folders(&self) -> Result<()> {
        let folders = [self.images_folder(), self.tags_folder(), self.leases_folder(), self.layers_folder()];
        folders.iter().try_for_each(|folder| make_folders(folder))
    }

    /// Keeps others from removing images or layers (shared), or from doing anything with them (alone), while the value that
    /// is given lives.
    pub(crate) fn hold_images(&self, operation: FlockOperation) -> Result<Held> {
        self.make_image_folders()?;
        lock_folder(&self.images_folder(), operation).map(Held::of)
    }

    /// An image; `None` where there is none.
    ///
    /// # Errors
    /// Corrupt; also for a record of another version.
    pub(crate) fn image(&self, id: &Digest) -> Result<Option<Image>> {
        let path = self.images_folder().join(file_name(id));
        match read_json::<Image>(&path)? {
            Some(image) if image.version != Image::VERSION => {
                let reason = format!("is of version {}, which another carboy wrote", image.version);
                Err(Corrupt::new(path.display().to_string(), reason).into())
            }
            image => Ok(image),
        }
    }

    fn write_image(&self, image: &Image) -> Result<()> {
        write_json(&self.images_folder(), &file_name(&image.id), image)
    }

    fn image_ids(&self) -> Result<Vec<Digest>> {
        let names = entries(&self.images_folder())?.into_iter();
        Ok(names.filter_map(|name| Digest::of_hex(name.strip_suffix(".json")?)).collect())
    }

    /// Every name with the image that it stands for.
    fn tags(&self) -> Result<Vec<(Reference, Digest)>> {
        let folder = self.tags_folder();
        let mut tags = Vec::new();
        for name in entries(&folder)?.iter().filter(|name| !name.starts_with('.')) {
            let Some(Tag { reference, image }) = read_json(&folder.join(name))? else { continue };
            tags.push((Reference::parse(&reference)?, image));
        }
        tags.sort();
        Ok(tags)
    }

    /// What a name stands for.
    fn tagged(&self, name: &Reference) -> Result<Option<Digest>> {
        Ok(read_json::<Tag>(&self.tags_folder().join(tag_file(name)))?.map(|tag| tag.image))
    }

    fn write_tag(&self, name: &Reference, image: &Digest) -> Result<()> {
        let tag = Tag { reference: name.to_string(), image: image.clone() };
        write_json(&self.tags_folder(), &tag_file(name), &tag)
    }

    fn remove_tag(&self, name: &Reference) -> Result<()> {
        let path = self.tags_folder().join(tag_file(name));
        fs::remove_file(&path).doing(|| format!("remove {}", path.display()))
    }

    /// A manifest of an image, which is on the disk.
    ///
    /// # Errors
    /// Corrupt where it is not, or cannot be understood.
    pub fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        match Document::parse(None, &self.document(digest)?)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => Err(self.corrupt(digest, "is an index and no manifest")),
        }
    }

    /// The configuration of an image.
    ///
    /// # Errors
    /// Corrupt where it is not there, or cannot be understood.
    pub fn image_config(&self, id: &Digest) -> Result<ImageConfig> {
        ImageConfig::parse(&self.document(id)?)
    }

    fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.content().document(digest)?.ok_or_else(|| self.corrupt(digest, "is gone, and an image needs it"))
    }

    fn corrupt(&self, digest: &Digest, reason: &str) -> error::Error {
        Corrupt::new(self.content().path(digest).display().to_string(), reason).into()
    }
}

fn file_name(id: &Digest) -> String {
    format!("{}.json", id.hex())
}

fn tag_file(name: &Reference) -> String {
    sha256(name.to_string().as_bytes()).hex().to_owned()
}

impl Engine {
    /// Every image.
    ///
    /// # Errors
    /// A kernel error; corrupt where a name cannot be read.
    pub fn images(&self) -> Result<Images> {
        let tags = self.store.tags()?;
        let mut images = Images::default();
        for id in self.store.image_ids()? {
            match self.store.image(&id) {
                Ok(Some(image)) => images.whole.push(Named::of(image, &tags)),
                Ok(None) => {}
                Err(error) => images.damaged.push(error),
            }
        }
        images.whole.sort_by_key(|named| Reverse(named.image.arrived));
        Ok(images)
    }

    /// The image that a word stands for: a name, an id or the beginning of one.
    ///
    /// # Errors
    /// Refused where there is none, or more than one.
    pub fn find_image(&self, word: &str) -> Result<Named> {
        let known = self.known_image(word)?;
        known.ok_or_else(|| {
            let refused = Refused::new("the image", word, "is not on this host").kind(RefusedKind::NoSuchObject);
            refused.hint(format!("carboy pull {word} brings it; carboy images lists those that are here")).into()
        })
    }

    /// The same; `None` where there is none.
    ///
    /// # Errors
    /// Refused where it stands for more than one; corrupt.
    pub fn known_image(&self, word: &str) -> Result<Option<Named>> {
        let tags = self.store.tags()?;
        let named = |image: Option<Image>| Ok(image.map(|image| Named::of(image, &tags)));
        if let Ok(name) = Reference::parse(word) {
            if let Some(id) = self.store.tagged(&name)? {
                return named(self.store.image(&id)?);
            }
            if let Some(image) = self.image_of_digest(&name)? {
                return named(Some(image));
            }
        }
        let digits = word.strip_prefix("sha256:").unwrap_or(word);
        if digits.is_empty() || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let mut ids = self.store.image_ids()?;
        ids.retain(|id| id.hex().starts_with(digits));
        match ids.as_slice() {
            [] => Ok(None),
            [id] => named(self.store.image(id)?),
            _ => {
                let reason = format!("is how the ids of {} images begin", ids.len());
                Err(Refused::new("the image", word, reason).hint("write more of its digits").into())
            }
        }
    }

    /// The image that a registry knows by a digest.
    fn image_of_digest(&self, name: &Reference) -> Result<Option<Image>> {
        let Some(digest) = &name.digest else { return Ok(None) };
        let known = format!("{}@{digest}", name.name());
        for id in self.store.image_ids()? {
            if let Some(image) = self.store.image(&id)?
                && image.digests.contains(&known)
            {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// Remembers an image whose blobs and layers are on the disk, under these names. One that had such a name loses it. When
    /// this returns, the disk has that, too.
    ///
    /// # Errors
    /// A kernel error.
    pub fn keep_image(&self, new: Image, names: &[Reference]) -> Result<Image> {
        let held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let known = self.store.image(&new.id)?;
        let image = match known.clone() {
            Some(known) => known.joined(new),
            None => new,
        };
        let mut is_new = known.as_ref() != Some(&image);
        if is_new {
            self.store.write_image(&image)?;
        }
        for name in names {
            if self.store.tagged(name)?.as_ref() != Some(&image.id) {
                self.store.write_tag(name, &image.id)?;
                is_new = true;
            }
        }
        drop(held);
        if is_new {
            let folder = open_folder(&self.store.images_folder())?;
            syncfs(folder).doing(|| "write the image to disk")?;
        }
        Ok(image)
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// Refused where there is no such image; a kernel error.
    pub fn tag_image(&self, word: &str, name: &Reference) -> Result<()> {
        let _held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let found = self.find_image(word)?;
        self.store.write_tag(name, &found.image.id)?;
        self.store.tell_of_image((found.image.id.as_str(), &name.familiar()), "tag");
        Ok(())
    }

    /// The options with the image that they name as it is now, and a lock under which it stays so until the container's
    /// record names it, too.
    ///
    /// # Errors
    /// Refused where there is no such image; a kernel error.
    pub(crate) fn with_image<'o>(&self, options: &'o RunOptions) -> Result<(Cow<'o, RunOptions>, Option<Held>)> {
        let Root::Image(root) = &options.root else { return Ok((Cow::Borrowed(options), None)) };
        if root.id.is_some() {
            return Ok((Cow::Borrowed(options), None));
        }
        let held = self.store.hold_images(FlockOperation::LockShared)?;
        Ok((Cow::Owned(self.of_image(options, root)?), Some(held)))
    }

    fn of_image(&self, options: &RunOptions, root: &ImageRoot) -> Result<RunOptions> {
        let image = self.find_image(&root.name)?.image;
        if let Some(key) = &options.verify
            && !image.is_verified_by(key.fingerprint())
        {
            return Err(unverified(&root.name, key.fingerprint()).into());
        }
        let config = self.store.image_config(&image.id)?;
        let mut options = options.clone().with_image_config(&config.config)?;
        let (id, layers) = (Some(image.id), image.layers);
        options.root = Root::Image(Box::new(ImageRoot { id, layers, ..root.clone() }));
        Ok(options)
    }
}

/// The refusal of an image that is here and was not verified with the key that is asked for.
fn unverified(name: &str, key: &Digest) -> Refused {
    let refused = Refused::new("the image", name, format!("is here, and was not verified with the key {key}"));
    refused.hint(format!("carboy pull --verify KEY {name} looks for its signature"))
}

impl Named {
    fn of(image: Image, tags: &[(Reference, Digest)]) -> Self {
        let names = tags.iter().filter(|(_, id)| *id == image.id).map(|(name, _)| name.clone()).collect();
        Self { image, names }
    }

    /// The first of its names as people write it, or its id.
    #[must_use]
    pub fn title(&self) -> String {
        self.names.first().map_or_else(|| self.image.short().to_owned(), Reference::familiar)
    }
}

impl Image {
    /// With what another arrival of the same image adds.
    fn joined(mut self, new: Self) -> Self {
        new.manifests.into_iter().for_each(|one| push_new(&mut self.manifests, one));
        new.digests.into_iter().for_each(|one| push_new(&mut self.digests, one));
        new.verified.into_iter().for_each(|one| push_new(&mut self.verified, one));
        self
    }
}

fn push_new<T: PartialEq>(known: &mut Vec<T>, one: T) {
    if !known.contains(&one) {
        known.push(one);
    }
}

/// Opens a folder that is to be filled or looked at.
pub(crate) fn open_folder(path: &std::path::Path) -> Result<OwnedFd> {
    File::open(path).map(OwnedFd::from).doing(|| format!("open {}", path.display()))
}
