//! `push`: an image goes to a registry. What the registry has is not sent, and what it has in another repository is taken over
//! there.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use error::{Refused, RefusedKind, Result};
use image::Reference;
use image::content::Content;
use image::registry::Wanted;
use oci::image::{Descriptor, Digest, Document, Manifest, media};

use super::pull::Repository;
use super::{Image, Lease, Named};
use crate::containers::Engine;

/// So many layers go at the same time, as with Docker.
const AT_ONCE: usize = 5;
/// From so many other repositories a layer is asked for, before it is sent.
const OTHERS: usize = 3;

/// Who is told how it goes on.
pub trait Watcher: Sync {
    /// The layer with this digest, and what has become of it.
    fn tell(&self, layer: &Digest, sent: Sent<'_>);
}

/// The configuration is told of to nobody.
struct Nobody;

impl Watcher for Nobody {
    fn tell(&self, _: &Digest, _: Sent<'_>) {}
}

/// What becomes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent<'a> {
    /// It is on the list.
    Preparing,
    /// The registry has it already.
    Exists,
    /// The registry has it from this repository.
    Mounted(&'a str),
    /// So many of its bytes are there.
    Uploading {
        /// Bytes that are there.
        done: u64,
        /// All of it.
        total: u64,
    },
    /// It is there.
    Done,
}

/// An image that is at a registry now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest that it has there.
    pub digest: Digest,
    /// The size of its manifest in bytes.
    pub bytes: u64,
}

/// What is sent.
struct Parcel {
    digest: Digest,
    bytes: Vec<u8>,
    manifest: Manifest,
}

/// A push on its way.
struct Push<'a> {
    content: Content,
    place: &'a Repository,
    watcher: &'a dyn Watcher,
    /// Repositories of the same registry that may have the layers.
    others: Vec<String>,
    waiting: Mutex<Vec<&'a Descriptor>>,
    is_over: AtomicBool,
}

impl Engine {
    /// Sends an image to a repository as what this name says: with its tag.
    ///
    /// # Errors
    /// Refused where there is no such image, or where the registry refuses it; a kernel error.
    pub fn push_image(
        &self,
        word: &str,
        (name, place): (&Reference, &Repository),
        watcher: &dyn Watcher,
    ) -> Result<Pushed> {
        let Some(tag) = &name.tag else {
            return Err(Refused::new("the name", name.familiar(), "has no tag to be given at the registry").into());
        };
        let lease = Lease::new(&self.store)?;
        let known = self.find_to_push(word)?;
        let (parcel, lease) = self.parcel(&known.image, lease)?;
        let push = Push {
            content: self.store.content(),
            place,
            watcher,
            others: self.others(&known.image, name)?,
            waiting: Mutex::new(parcel.layers()),
            is_over: AtomicBool::new(false),
        };
        push.layers()?;
        push.send(&parcel.manifest.config, &Nobody)?;
        let kind = parcel.manifest.media_type.as_deref().unwrap_or(media::OCI_MANIFEST);
        let digest = place.registry.put_manifest(&place.name, Wanted::Tag(tag), (kind, &parcel.bytes))?;
        drop(lease);
        let digests = vec![format!("{}@{digest}", name.name())];
        if self.store.image(&known.image.id)?.is_some() {
            self.keep_image(Image { digests, ..known.image }, &[])?;
        }
        self.store.tell_of_image((&name.familiar(), &name.familiar_name()), "push");
        Ok(Pushed { digest, bytes: parcel.bytes.len() as u64 })
    }

    /// The image that a word stands for, to be sent somewhere.
    ///
    /// # Errors
    /// Refused where there is none, or more than one.
    pub fn find_to_push(&self, word: &str) -> Result<Named> {
        self.known_image(word)?.ok_or_else(|| {
            let refused = Refused::new("the image", word, "is not on this host").kind(RefusedKind::NoSuchObject);
            refused.hint("carboy tag gives an image that is here this name").into()
        })
    }

    /// The first of an image's manifests whose blobs are all here. They stay here while the lease lives.
    fn parcel(&self, image: &Image, mut lease: Lease) -> Result<(Parcel, Lease)> {
        let content = self.store.content();
        for digest in &image.manifests {
            let Some(bytes) = content.document(digest)? else { continue };
            let Document::Manifest(manifest) = Document::parse(None, &bytes)? else { continue };
            let parcel = Parcel { digest: digest.clone(), bytes, manifest: *manifest };
            let blobs = parcel.layers().into_iter().chain([&parcel.manifest.config]);
            let blobs: Vec<Digest> = blobs.map(|blob| blob.digest.clone()).collect();
            lease.add(&self.store, blobs.iter().cloned().chain([parcel.digest.clone()]))?;
            if blobs.iter().all(|blob| content.has(blob)) {
                return Ok((parcel, lease));
            }
        }
        let refused = Refused::new("the image", image.short(), "has lost a part of what came with it");
        Err(refused.hint("pull or load it again").into())
    }

    /// The other repositories of the same registry that images with a layer in common came from, or were sent to.
    fn others(&self, image: &Image, name: &Reference) -> Result<Vec<String>> {
        let layers: BTreeSet<&Digest> = image.layers.iter().collect();
        let images = self.images()?.whole;
        let kin = images.iter().filter(|other| other.image.layers.iter().any(|layer| layers.contains(layer)));
        let digests = kin.flat_map(|other| &other.image.digests);
        let names = digests.filter_map(|digest| Reference::parse(digest).ok());
        let same = names.filter(|other| other.registry == name.registry && other.repository != name.repository);
        let repositories: BTreeSet<String> = same.map(|other| other.repository).collect();
        Ok(repositories.into_iter().take(OTHERS).collect())
    }
}

impl Parcel {
    /// The layers that a registry has itself, each once.
    fn layers(&self) -> Vec<&Descriptor> {
        let mut seen = BTreeSet::new();
        let layers = self.manifest.layers.iter();
        layers.filter(|layer| !media::is_foreign_layer(&layer.media_type) && seen.insert(&layer.digest)).collect()
    }
}

impl Push<'_> {
    fn layers(&self) -> Result<()> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waiting.iter().for_each(|layer| self.watcher.tell(&layer.digest, Sent::Preparing));
        thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE.min(waiting.len())).map(|_| scope.spawn(|| self.work())).collect();
            let ended = threads.into_iter().map(|thread| thread.join().unwrap_or(Ok(())));
            ended.fold(Ok(()), Result::and)
        })
    }

    /// Sends layers until there are none left, or one could not be sent.
    fn work(&self) -> Result<()> {
        while let Some(layer) = self.next() {
            let sent = self.send(layer, self.watcher);
            if sent.is_err() {
                self.is_over.store(true, Ordering::Relaxed);
                return sent;
            }
        }
        Ok(())
    }

    fn next(&self) -> Option<&Descriptor> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Sees to it that the registry has a blob.
    fn send(&self, blob: &Descriptor, watcher: &dyn Watcher) -> Result<()> {
        let Repository { registry, name } = self.place;
        if registry.has_blob(name, &blob.digest)? {
            watcher.tell(&blob.digest, Sent::Exists);
            return Ok(());
        }
        for other in &self.others {
            if registry.mount(name, &blob.digest, other)? {
                watcher.tell(&blob.digest, Sent::Mounted(other));
                return Ok(());
            }
        }
        let open = || {
            let refused = || Refused::new("the blob", blob.digest.as_str(), "was removed meanwhile");
            let file = self.content.open(&blob.digest)?.ok_or_else(refused)?;
            let counted = Counted { file, blob, done: 0, watcher };
            Ok(Box::new(counted) as Box<dyn Read>)
        };
        registry.upload(name, blob, &open)?;
        watcher.tell(&blob.digest, Sent::Done);
        Ok(())
    }
}

/// A blob that is being sent.
struct Counted<'a, R> {
    file: R,
    blob: &'a Descriptor,
    done: u64,
    watcher: &'a dyn Watcher,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.done += count as u64;
        self.watcher.tell(&self.blob.digest, Sent::Uploading { done: self.done, total: self.blob.size });
        Ok(count)
    }
}
