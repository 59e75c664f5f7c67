//! Images made by a test, in a registry of its own.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::Carboy;
use crate::layout::{Layer, Layout};
use crate::registry::{Manner, Registry};

/// A registry, images for it, and a carboy that can have them.
#[derive(Debug)]
pub struct Shelf {
    /// The carboy.
    pub carboy: Carboy,
    /// The registry.
    pub registry: Registry,
    /// The images before they are offered.
    pub layout: Layout,
    /// A layer with busybox.
    pub base: Layer,
}

impl Default for Shelf {
    fn default() -> Self {
        Self::new()
    }
}

impl Shelf {
    /// A registry with nothing in it.
    ///
    /// # Panics
    /// Without Debian's docker-registry, busybox-static and skopeo.
    #[must_use]
    pub fn new() -> Self {
        let (carboy, registry) = (Carboy::new(), Registry::start(Manner::Open));
        let layout = Layout::new(&carboy.folder().join("layout"));
        let base = layout.layer(&carboy.busybox());
        Self { carboy, registry, layout, base }
    }

    /// Makes an image of the base with these layers on top, and pushes it. Gives its name.
    ///
    /// # Panics
    /// Where it cannot be pushed.
    pub fn offer(&mut self, name: &str, layers: &[Layer], config: &Value) -> String {
        let layers = [std::slice::from_ref(&self.base), layers].concat();
        self.layout.image(name, &layers, config);
        let whole = format!("{}/{name}", self.registry.host());
        self.layout.push(name, &whole);
        whole
    }

    /// Where the carboy keeps all that stays.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.carboy.folder().join("root")
    }

    /// Its blobs: their digests, inodes and sizes.
    ///
    /// # Panics
    /// Where one goes meanwhile.
    #[must_use]
    pub fn blobs(&self) -> Vec<(String, u64, u64)> {
        let blobs = fs::read_dir(self.root().join("content/sha256")).into_iter().flatten().flatten();
        let mut blobs: Vec<(String, u64, u64)> = blobs
            .map(|blob| {
                let found = blob.metadata().unwrap();
                (blob.file_name().into_string().unwrap(), found.ino(), found.len())
            })
            .collect();
        blobs.sort();
        blobs
    }
}
