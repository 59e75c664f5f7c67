//! What has come is put into its place when the disk has it: whoever finds a blob or a layer there finds it whole, after a
//! power cut, too.
//!
//! A layer has thousands of files, and syncfs(2) writes them together where fsync(2) would write them one by one. One call is
//! for all that has come while the one before it ran; more layers come meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use error::{Doing, Result};
use image::content::{Arrived, Content};
use image::layer::{LayerUnpacked, Over, Settled};
use oci::image::{Descriptor, Digest, Manifest};
use rustix::fs::{fstat, syncfs};

use super::bring::{Progress, Step, manner, stopped};
use super::half::Half;
use super::{Holds, Layer, open_folder};
use crate::driver::Driver;
use crate::store::{read_json, remove_folder, write_json};

/// What has come of a layer, except for what was here.
#[derive(Default)]
pub(super) struct Brought {
    pub(super) blob: Option<Arrived>,
    pub(super) layer: Option<Ready>,
}

/// A layer that was unpacked and is not in its place yet.
pub(super) struct Ready {
    pub(super) half: Half,
    pub(super) unpacked: LayerUnpacked,
}

/// An image's layers on the way to their places.
pub(super) struct Places<'a> {
    content: &'a Content,
    layers: &'a Path,
    parsed: &'a Manifest,
    chains: &'a [Digest],
    progress: &'a dyn Progress,
    driver: Driver,
    /// Blobs that the disk may not have yet, each with its layer's number if that was unpacked from it.
    blobs: BTreeMap<usize, Arrived>,
    /// Layers that wait for those below them.
    early: BTreeMap<usize, Option<Ready>>,
    /// How many layers stand on those below them.
    settled: usize,
    /// Those of them that the disk may not have yet.
    unseen: BTreeMap<usize, Ready>,
}

impl Ready {
    pub(super) fn give_up(self) {
        let _ = self.half.remove();
    }
}

impl<'a> Places<'a> {
    pub(super) fn new(
        content: &'a Content,
        layers: &'a Path,
        (parsed, chains): (&'a Manifest, &'a [Digest]),
        (progress, driver): (&'a dyn Progress, Driver),
    ) -> Self {
        let (blobs, early, unseen) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { content, layers, parsed, chains, progress, driver, blobs, early, settled: 0, unseen }
    }

    /// One more has come.
    pub(super) fn take(&mut self, at: usize, brought: Brought) {
        self.early.insert(at, brought.layer);
        self.blobs.extend(brought.blob.map(|blob| (at, blob)));
    }

    /// Puts into its place what can be: every blob, and the layers that all those below have come of.
    pub(super) fn put(&mut self) -> Result<()> {
        while let Some(layer) = self.early.remove(&self.settled) {
            let at = self.settled;
            self.settled += 1;
            let Some(layer) = layer else { continue };
            if let Err(error) = self.complete(at, &layer) {
                layer.give_up();
                return Err(error);
            }
            self.unseen.insert(at, layer);
        }
        if self.blobs.is_empty() && self.unseen.is_empty() {
            return Ok(());
        }
        self.sync().doing(|| "write the image to disk")?;
        while let Some((_, blob)) = self.blobs.pop_first() {
            blob.show()?;
        }
        while let Some((at, layer)) = self.unseen.pop_first() {
            self.show(at, layer)?;
        }
        Ok(())
    }

    /// Removes what did not come to its place; blobs are whole, and stay.
    pub(super) fn give_up(self) {
        self.blobs.into_values().for_each(|blob| drop(blob.keep()));
        self.unseen.into_values().chain(self.early.into_values().flatten()).for_each(Ready::give_up);
    }

    fn sync(&self) -> rustix::io::Result<()> {
        let layers = rustix::fs::open(self.layers, rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
        syncfs(&layers)?;
        match self.blobs.first_key_value() {
            Some((_, blob)) if fstat(blob.file())?.st_dev != fstat(&layers)?.st_dev => syncfs(blob.file()),
            _ => Ok(()),
        }
    }

    /// Makes a layer what it is over those below, and writes down what it is.
    fn complete(&self, at: usize, layer: &Ready) -> Result<()> {
        let Some(wanted) = self.parsed.layers.get(at) else { return Ok(()) };
        let merged = self.settle(at, layer, wanted)?;
        let files = open_folder(&layer.half.path.join("files"))?;
        let (names, length) = image::layer::count(files.as_fd())?;
        let (diff_id, bytes) = (layer.unpacked.diff_id.clone(), layer.unpacked.file_bytes);
        write_json(
            &layer.half.path,
            "layer.json",
            &Layer { diff_id, bytes, merged, holds: Some(Holds { names, length }) },
        )
    }

    fn show(&self, at: usize, layer: Ready) -> Result<()> {
        let (Some(chain), Some(wanted)) = (self.chains.get(at), self.parsed.layers.get(at)) else { return Ok(()) };
        let path = &layer.half.path;
        let shown = match fs::rename(path, self.layers.join(chain.hex())) {
            // Somebody else has brought it meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => {
                remove_folder(path)
            }
            renamed => renamed.doing(|| format!("rename {}", path.display())),
        };
        match shown {
            Ok(()) => self.progress.tell(&wanted.digest, Step::Complete),
            Err(_) => layer.give_up(),
        }
        shown
    }

    /// Where a layer is now.
    fn folder(&self, at: usize, chain: &Digest) -> PathBuf {
        self.unseen.get(&at).map_or_else(|| self.layers.join(chain.hex()), |layer| layer.half.path.clone())
    }

    /// The folders of the layers below one, the topmost first, as far down as they are needed.
    fn below(&self, at: usize) -> Result<Vec<OwnedFd>> {
        let mut below = Vec::new();
        for (at, chain) in self.chains.iter().enumerate().take(at).rev() {
            let folder = self.folder(at, chain);
            below.push(open_folder(&folder.join("files"))?);
            let reads = self.driver == Driver::Vfs;
            if reads && read_json::<Layer>(&folder.join("layer.json"))?.is_some_and(|layer| layer.merged) {
                break;
            }
        }
        Ok(below)
    }

    /// Whether it has become one that has all of those below it.
    fn settle(&self, at: usize, layer: &Ready, wanted: &Descriptor) -> Result<bool> {
        let folders = self.below(at)?;
        let below: Vec<BorrowedFd<'_>> = folders.iter().map(OwnedFd::as_fd).collect();
        let manner = manner()?;
        let files = open_folder(&layer.half.path.join("files"))?;
        if image::layer::settle(files.as_fd(), &layer.unpacked, &below, manner.remembers)? == Settled::Done {
            return Ok(false);
        }
        // Alone it is not what it is: it is unpacked over those below, as the kernel puts them together.
        drop(files);
        let (path, work) = (layer.half.path.join("files"), layer.half.path.join("work"));
        remove_folder(&path)?;
        for folder in [&path, &work] {
            fs::DirBuilder::new().mode(0o755).create(folder).doing(|| format!("create {}", folder.display()))?;
        }
        let blob = match self.blobs.get(&at) {
            Some(blob) => blob.open()?,
            None => self.content.open(&wanted.digest)?.ok_or_else(|| stopped(wanted))?,
        };
        let (upper, in_work) = (open_folder(&path)?, open_folder(&work)?);
        let merges = self.driver == Driver::Vfs;
        if merges {
            image::layer::merge(&below, upper.as_fd(), manner.remembers)?;
        }
        let below = if merges { &[][..] } else { &below };
        let over = Over { upper: upper.as_fd(), work: in_work.as_fd(), below };
        image::layer::unpack_over_layers(blob, &over, &manner)?;
        remove_folder(&work).map(|()| merges)
    }
}
