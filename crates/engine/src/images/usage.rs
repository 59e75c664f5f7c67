//! What images take on the disk: each blob and each layer once, however many images share it.

use std::collections::{BTreeMap, BTreeSet};

use error::Result;
use oci::image::Digest;

use super::Named;
use crate::containers::Engine;

/// What the images of this host take, in bytes.
#[derive(Debug, Default)]
pub struct Usage {
    /// All of them.
    pub bytes: u64,
    /// Those that no container was made from and that are not mounted, without what they share with the others.
    pub free_bytes: u64,
    /// Each of them.
    pub each: Vec<Used>,
}

/// An image, and what it takes.
#[derive(Debug)]
pub struct Used {
    /// The image.
    pub named: Named,
    /// All of its blobs and layers, in bytes.
    pub bytes: u64,
    /// Those that no other image shares: what is free when it is removed.
    pub unique_bytes: u64,
    /// How many containers were made from it.
    pub containers: usize,
}

impl Engine {
    /// What images take on the disk.
    ///
    /// # Errors
    /// A kernel error; corrupt where an image cannot be read.
    pub fn image_usage(&self) -> Result<Usage> {
        let sizes = self.sizes()?;
        let size = |digest: &Digest| sizes.get(digest).copied().unwrap_or(0);
        let mut sharers: BTreeMap<Digest, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for named in self.images()?.whole {
            let digests: BTreeSet<Digest> = self.kept_by(&named.image)?.into_iter().collect();
            digests.iter().for_each(|digest| *sharers.entry(digest.clone()).or_default() += 1);
            kept.push((named, digests));
        }
        let mut usage = Usage { bytes: sharers.keys().map(size).sum(), ..Usage::default() };
        let mut in_use = BTreeSet::new();
        for (named, digests) in kept {
            let containers = self.containers_of(&named.image.id)?.len();
            let alone = digests.iter().filter(|digest| sharers.get(digest) == Some(&1));
            let (bytes, unique_bytes) = (digests.iter().map(size).sum(), alone.map(size).sum());
            if containers > 0 || self.store.is_mounted(&named.image.id) {
                in_use.extend(digests);
            }
            usage.each.push(Used { named, bytes, unique_bytes, containers });
        }
        usage.free_bytes = usage.bytes - in_use.iter().map(size).sum::<u64>();
        Ok(usage)
    }

    /// The bytes of every blob and every layer.
    fn sizes(&self) -> Result<BTreeMap<Digest, u64>> {
        let mut sizes: BTreeMap<Digest, u64> = self.store.content().all()?.into_iter().collect();
        for chain in self.store.layer_chains()? {
            // A layer of one archive alone is called as that is called when it is not compressed.
            let bytes = self.store.layer_record(&chain)?.map_or(0, |layer| layer.bytes);
            *sizes.entry(chain).or_default() += bytes;
        }
        Ok(sizes)
    }
}
