//! What nothing leads to any more: blobs and layers of images that are gone.

use std::collections::BTreeSet;

use error::Result;
use oci::image::Digest;
use rustix::fs::FlockOperation;

use super::half::Half;
use super::{Image, Lease};
use crate::containers::Engine;
use crate::options::Root;

/// What was garbage.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Freed {
    /// What its files took, in bytes.
    pub bytes: u64,
    /// The chain ids of the layers among it, the topmost first.
    pub layers: Vec<Digest>,
}

impl Engine {
    /// Removes what nothing leads to. With what was begun of downloads, where that is asked for.
    ///
    /// # Errors
    /// A kernel error; corrupt where it cannot be known what is garbage.
    pub fn collect_garbage(&self, partial: Partial) -> Result<Freed> {
        let held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let (freed, halves) = self.part_with_garbage(partial)?;
        drop(held);
        halves.into_iter().try_for_each(Half::remove)?;
        Ok(freed)
    }

    /// Takes garbage out of sight. Gives what it was, and the folders that are to be removed: that takes time. The caller holds
    /// the images alone.
    pub(super) fn part_with_garbage(&self, partial: Partial) -> Result<(Freed, Vec<Half>)> {
        let wanted = self.wanted()?;
        let mut freed = Freed::default();
        let content = self.store.content();
        for (digest, _) in content.all()? {
            if !wanted.contains(&digest) {
                freed.bytes += content.remove(&digest)?;
            }
        }
        if partial == Partial::Removed {
            freed.bytes += content.remove_partial()?;
        }
        let mut halves = self.store.nobodys_halves()?;
        let unwanted = self.store.layer_chains()?.into_iter().filter(|chain| !wanted.contains(chain));
        for chain in unwanted {
            freed.bytes += self.store.layer_record(&chain)?.map_or(0, |layer| layer.bytes);
            halves.extend(Half::of_layer(&self.store.layers_folder(), &chain)?);
            freed.layers.push(chain);
        }
        Ok((freed, halves))
    }

    /// Removes the blobs that were brought for an image which did not come to be. What else is garbage stays: a pull may go on
    /// with it.
    ///
    /// # Errors
    /// A kernel error; corrupt where it cannot be known what is garbage.
    pub(super) fn discard(&self, lease: Lease) -> Result<()> {
        let brought = lease.wanted().to_vec();
        drop(lease);
        let _held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let (wanted, content) = (self.wanted()?, self.store.content());
        brought.iter().filter(|digest| !wanted.contains(digest)).try_for_each(|digest| content.remove(digest).map(drop))
    }

    /// Every digest that something leads to.
    fn wanted(&self) -> Result<BTreeSet<Digest>> {
        let mut wanted: BTreeSet<Digest> = self.store.leased()?.into_iter().collect();
        for id in self.store.image_ids()? {
            if let Some(image) = self.store.image(&id)? {
                wanted.extend(self.kept_by(&image)?);
            }
        }
        wanted.extend(self.layers_of_containers()?);
        Ok(wanted)
    }

    /// The layers that containers have their roots from.
    pub(super) fn layers_of_containers(&self) -> Result<BTreeSet<Digest>> {
        let mut layers = BTreeSet::new();
        for id in self.store.ids()? {
            if let Some(record) = self.store.record(&id)?
                && let Root::Image(root) = record.options.root
            {
                layers.extend(root.layers);
            }
        }
        Ok(layers)
    }

    /// The blobs and layers of an image.
    pub(super) fn kept_by(&self, image: &Image) -> Result<Vec<Digest>> {
        let mut kept = vec![image.id.clone()];
        kept.extend(image.layers.iter().cloned());
        for digest in &image.manifests {
            kept.push(digest.clone());
            kept.extend(self.store.manifest(digest)?.layers.into_iter().map(|layer| layer.digest));
        }
        Ok(kept)
    }
}

/// What becomes of downloads that were broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// They stay, to be gone on with.
    Kept,
    /// They go.
    Removed,
}
