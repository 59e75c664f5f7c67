//! Whether images are whole: their blobs are what their names say, their layers are there, their names lead to them.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use error::Result;
use image::Reference;
use oci::image::Digest;
use rustix::fs::FlockOperation;

use super::half::Half;
use super::{Holds, Layer, Mounted, Named, Unmount, open_folder};
use crate::containers::Engine;
use crate::store::Store;

/// Something of the images that is not as it should be.
#[derive(Debug)]
pub enum ImageFinding {
    /// A blob that is not what its name says.
    Blob(Digest),
    /// An image without one of its blobs or layers.
    Incomplete {
        /// The image.
        image: Box<Named>,
        /// What it lacks.
        missing: Digest,
    },
    /// A layer that does not hold what was unpacked into it.
    Layer(Digest),
    /// A name of no image.
    Name(Reference),
    /// A mount of an image that there is not.
    Mount(Mounted),
}

/// What it is, in one line.
impl std::fmt::Display for ImageFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "the blob {digest} is not what its name says"),
            Self::Incomplete { image, missing } => write!(f, "image {} lacks {missing}", image.title()),
            Self::Layer(chain) => write!(f, "the layer {chain} does not hold what was unpacked into it"),
            Self::Name(name) => write!(f, "the name {} is of no image", name.familiar()),
            Self::Mount(mounted) => write!(f, "{} shows an image that there is not", mounted.path.display()),
        }
    }
}

impl Store {
    /// Whether a layer holds as many names and bytes as its record tells; one that tells nothing is believed.
    fn is_layer_whole(&self, chain: &Digest) -> Result<bool> {
        let Some(Layer { holds: Some(holds), .. }) = self.layer_record(chain)? else { return Ok(true) };
        let files = open_folder(&self.layer_files(chain))?;
        let (names, length) = image::layer::count(files.as_fd())?;
        Ok(holds == Holds { names, length })
    }
}

impl Engine {
    /// Everything of the images that is not as it should be.
    ///
    /// # Errors
    /// A kernel error.
    pub fn image_findings(&self) -> Result<Vec<ImageFinding>> {
        let content = self.store.content();
        let mut found: Vec<ImageFinding> = content.damaged()?.into_iter().map(ImageFinding::Blob).collect();
        let images = self.images()?;
        let ids: BTreeSet<Digest> = images.whole.iter().map(|named| named.image.id.clone()).collect();
        for named in images.whole {
            let image = &named.image;
            let is_layer_gone = |chain: &&Digest| !matches!(self.store.layer_record(chain), Ok(Some(_)));
            let documents = image.manifests.iter().chain([&image.id]).find(|digest| !content.has(digest));
            let mut missing = documents.or_else(|| image.layers.iter().find(is_layer_gone)).cloned();
            if missing.is_none() {
                let blobs = self.kept_by(image).unwrap_or_default();
                missing = blobs.into_iter().find(|blob| !content.has(blob) && !image.layers.contains(blob));
            }
            if let Some(missing) = missing {
                found.push(ImageFinding::Incomplete { image: Box::new(named), missing });
            }
        }
        for chain in self.store.layer_chains()? {
            if !self.store.is_layer_whole(&chain)? {
                found.push(ImageFinding::Layer(chain));
            }
        }
        let lost = self.store.tags()?.into_iter().filter(|(_, id)| !ids.contains(id));
        found.extend(lost.map(|(name, _)| ImageFinding::Name(name)));
        found.extend(self.mounts_of_no_image()?.into_iter().map(ImageFinding::Mount));
        Ok(found)
    }

    /// The images that are mounted and that there are not.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn mounts_of_no_image(&self) -> Result<Vec<Mounted>> {
        let mut nobodys = Vec::new();
        for one in self.mounted_images()? {
            if self.store.image(&one.image)?.is_none() {
                nobodys.push(one);
            }
        }
        Ok(nobodys)
    }

    /// Takes away what is of no use: a damaged blob, and a layer that no container has, come again with the next pull.
    ///
    /// # Errors
    /// A kernel error.
    pub fn repair_image(&self, finding: &ImageFinding) -> Result<Option<String>> {
        match finding {
            ImageFinding::Blob(digest) => {
                self.store.content().remove(digest)?;
                Ok(Some("removed, the next pull brings it again".to_owned()))
            }
            ImageFinding::Incomplete { .. } => Ok(None),
            ImageFinding::Layer(chain) => self.remove_layer(chain),
            ImageFinding::Name(name) => self.store.remove_tag(name).map(|()| Some("removed".to_owned())),
            ImageFinding::Mount(mounted) => {
                self.store.unmount(&mounted.image, Unmount::Wholly).map(|()| Some("unmounted".to_owned()))
            }
        }
    }

    /// Removes a layer from which no container has its root, and that is not mounted.
    fn remove_layer(&self, chain: &Digest) -> Result<Option<String>> {
        let held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let mut used = self.layers_of_containers()?;
        for mounted in self.store.mounted()? {
            used.extend(self.store.image(&mounted.image)?.into_iter().flat_map(|image| image.layers));
        }
        if used.contains(chain) {
            return Ok(None);
        }
        let half = Half::of_layer(&self.store.layers_folder(), chain)?;
        drop(held);
        half.map_or(Ok(()), Half::remove)?;
        Ok(Some("removed, the next pull brings it again".to_owned()))
    }
}
