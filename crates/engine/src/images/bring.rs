//! An image's blobs come from somewhere: each is kept, checked and unpacked as one stream, several layers at a time.
//!
//! A layer's bytes go from their source to the blob's file and, at the same time, through a short queue to who unpacks them.
//! Nothing is visible before it is whole: the blob has its digest, the unpacked archive the one that the configuration names.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;

use error::{Doing, Error, Refused, Result};
use image::chain_ids;
use image::content::{Arrived, Begun, Content, DOCUMENT_MAX, Incoming};
use image::layer::{Layer as Manner, Remembers};
use jiff::Timestamp;
use oci::image::{Descriptor, Digest, ImageConfig, Manifest, media};

use super::half::Half;
use super::places::{Brought, Places, Ready};
use super::{Image, Lease, open_folder};
use crate::containers::Engine;
use crate::driver::Driver;
use crate::rootless;

/// So many layers come at the same time, as with Docker.
const AT_ONCE: usize = 3;
/// What goes through the queue at once, in bytes, and how many of them wait there.
const PIECE: usize = 128 << 10;
const QUEUE: usize = 8;

/// Where blobs come from.
pub trait Source: Sync {
    /// A blob from a byte on, or from an earlier one if it cannot do that: the first that it gives is said.
    ///
    /// # Errors
    /// Refused where it has none; a kernel error.
    fn blob(&self, wanted: &Descriptor, from: u64) -> Result<(u64, Box<dyn Read + '_>)>;
}

/// Who is told how it goes on.
pub trait Progress: Sync {
    /// The layer with this digest, and what has become of it.
    fn tell(&self, layer: &Digest, step: Step);
}

/// What becomes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is on the list.
    Listed,
    /// It is here already.
    Exists,
    /// So many of its bytes are here.
    Downloading {
        /// Bytes that are here.
        done: u64,
        /// All of it.
        total: u64,
    },
    /// All of it is here.
    Downloaded,
    /// It is unpacked and in its place.
    Complete,
}

/// What is brought.
pub struct Order<'a> {
    /// The manifest as it is.
    pub manifest: &'a [u8],
    /// What it says.
    pub parsed: &'a Manifest,
    /// As what a registry knows it: `docker.io/library/debian@sha256:…`.
    pub digests: Vec<String>,
}

/// The layers that are still to come, and what has become of the others.
struct Works<'a> {
    content: Content,
    layers: PathBuf,
    source: &'a dyn Source,
    progress: &'a dyn Progress,
    parsed: &'a Manifest,
    chains: &'a [Digest],
    diff_ids: &'a [Digest],
    waiting: Mutex<VecDeque<usize>>,
    /// Those of which it was told that they are here.
    told: BTreeSet<usize>,
    is_over: AtomicBool,
    driver: Driver,
}

impl Engine {
    /// Brings an image's blobs and layers. The caller keeps it under its names (`keep_image`) while the lease lives.
    ///
    /// # Errors
    /// Refused where it is no image, or not what it is said to be; what the source gives; a kernel error.
    pub fn bring_image(
        &self,
        order: Order<'_>,
        source: &dyn Source,
        progress: &dyn Progress,
    ) -> Result<(Image, Lease)> {
        let Order { manifest, parsed, digests } = order;
        check_is_image(parsed)?;
        let mut lease = Lease::new(&self.store)?;
        self.store.nobodys_halves()?.into_iter().try_for_each(Half::remove)?;
        let digest = image::sha256(manifest);
        let blobs = parsed.layers.iter().chain([&parsed.config]).map(|blob| blob.digest.clone());
        lease.add(&self.store, blobs.chain([digest.clone()]))?;
        let config = self.bring_config(&parsed.config, source)?;
        let diff_ids = &config.rootfs.diff_ids;
        config.check_layers(parsed)?;
        let chains = chain_ids(diff_ids);
        lease.add(&self.store, chains.iter().cloned())?;
        let waiting = Mutex::new((0..chains.len()).collect());
        let is_over = AtomicBool::new(false);
        let (content, layers) = (self.store.content(), self.store.layers_folder());
        let (chains, driver) = (&chains, self.store.driver());
        let told = BTreeSet::new();
        let mut works =
            Works { content, layers, source, progress, parsed, chains, diff_ids, waiting, told, is_over, driver };
        works.list();
        works.all()?;
        self.store.content().put(manifest)?;
        let mut bytes = 0;
        for chain in chains {
            bytes += self.store.layer_record(chain)?.map_or(0, |layer| layer.bytes);
        }
        let image = Image {
            version: Image::VERSION,
            id: parsed.config.digest.clone(),
            manifests: vec![digest],
            layers: chains.clone(),
            bytes,
            arrived: Timestamp::now(),
            digests,
            verified: Vec::new(),
        };
        Ok((image, lease))
    }

    fn bring_config(&self, wanted: &Descriptor, source: &dyn Source) -> Result<ImageConfig> {
        if wanted.size > DOCUMENT_MAX {
            let reason = format!("has {} bytes, more than a configuration has", wanted.size);
            return Err(Refused::new("the blob", wanted.digest.to_string(), reason).into());
        }
        if let Begun::Partial(mut incoming) = self.store.content().begin(wanted)? {
            incoming.begin_anew()?;
            let (_, mut stream) = source.blob(wanted, 0)?;
            let mut bytes = Vec::new();
            let read = stream.by_ref().take(wanted.size + 1).read_to_end(&mut bytes);
            read.doing(|| format!("read the configuration {}", wanted.digest))?;
            incoming.write(&bytes)?;
            incoming.finish()?;
        }
        self.store.image_config(&wanted.digest)
    }
}

/// What is kept in registries and cannot be run is told apart by the type of its configuration.
fn check_is_image(manifest: &Manifest) -> Result<()> {
    let kind = &manifest.config.media_type;
    if manifest.artifact_type.is_none() && media::is_config(kind) {
        return Ok(());
    }
    let kind = manifest.artifact_type.as_ref().unwrap_or(kind);
    Err(Refused::new("the manifest", kind, "is of something that cannot be run: an image is needed").into())
}

impl Works<'_> {
    /// Tells of every layer whether it is here.
    fn list(&mut self) {
        for (at, (wanted, chain)) in self.parsed.layers.iter().zip(self.chains).enumerate() {
            let is_here = self.content.has(&wanted.digest) && self.layer(chain).is_dir();
            self.progress.tell(&wanted.digest, if is_here { Step::Exists } else { Step::Listed });
            self.told.extend(is_here.then_some(at));
        }
    }

    /// Brings all layers, and puts them into their places from the lowest up.
    fn all(&self) -> Result<()> {
        let mut places =
            Places::new(&self.content, &self.layers, (self.parsed, self.chains), (self.progress, self.driver));
        let mut done = Ok(());
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            for _ in 0..AT_ONCE.min(self.chains.len()) {
                let tell = tell.clone();
                scope.spawn(move || {
                    while let Some(at) = self.next() {
                        let brought = self.bring(at);
                        if brought.is_err() {
                            self.is_over.store(true, Ordering::Relaxed);
                        }
                        let _ = tell.send((at, brought));
                    }
                });
            }
            drop(tell);
            while let Ok(first) = told.recv() {
                for (at, brought) in std::iter::once(first).chain(told.try_iter()) {
                    match brought {
                        Ok(brought) => places.take(at, brought),
                        Err(error) => done = std::mem::replace(&mut done, Ok(())).and(Err(error)),
                    }
                }
                if done.is_ok() {
                    done = places.put();
                    self.is_over.fetch_or(done.is_err(), Ordering::Relaxed);
                }
            }
        });
        places.give_up();
        done
    }

    fn layer(&self, chain: &Digest) -> PathBuf {
        self.layers.join(chain.hex())
    }

    fn next(&self) -> Option<usize> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Brings one layer and unpacks it, unless that is there.
    fn bring(&self, at: usize) -> Result<Brought> {
        let (Some(wanted), Some(chain), Some(diff_id)) =
            (self.parsed.layers.get(at), self.chains.get(at), self.diff_ids.get(at))
        else {
            return Ok(Brought::default());
        };
        let is_there = self.layer(chain).is_dir();
        let (blob, layer) = match (self.content.begin(wanted)?, is_there) {
            (Begun::Whole(_), true) => {
                if !self.told.contains(&at) {
                    self.progress.tell(&wanted.digest, Step::Exists);
                }
                return Ok(Brought::default());
            }
            (Begun::Whole(blob), false) => (None, self.unpack(chain, blob)?),
            (Begun::Partial(mut incoming), true) => {
                self.download(&mut incoming, wanted, |_| Ok(()))?;
                let blob = Some(incoming.arrive()?);
                self.progress.tell(&wanted.digest, Step::Complete);
                return Ok(Brought { blob, layer: None });
            }
            (Begun::Partial(incoming), false) => {
                let (blob, layer) = self.stream(incoming, wanted, chain)?;
                (Some(blob), layer)
            }
        };
        self.progress.tell(&wanted.digest, Step::Downloaded);
        if layer.unpacked.diff_id != *diff_id {
            let found = layer.unpacked.diff_id.clone();
            layer.give_up();
            let reason = format!("is not what its configuration names, which is {diff_id}: its archive is {found}");
            let refused = Refused::new("the layer", wanted.digest.to_string(), reason);
            return Err(refused.hint("the image was made wrong: whoever made it can tell more").into());
        }
        Ok(Brought { blob, layer: Some(layer) })
    }

    /// Downloads and unpacks at the same time.
    fn stream(&self, mut incoming: Box<Incoming>, wanted: &Descriptor, chain: &Digest) -> Result<(Arrived, Ready)> {
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        thread::scope(|scope| {
            let unpacking = scope.spawn(move || self.unpack(chain, Queue { receiver, piece: Vec::new(), at: 0 }));
            let downloaded = self
                .download(&mut incoming, wanted, |piece| sender.send(Ok(piece.to_vec())).map_err(|_| stopped(wanted)));
            // What is not what it should be is unpacked by nobody.
            let finished = downloaded.and_then(|()| incoming.arrive());
            if finished.is_err() {
                let _ = sender.send(Err(ErrorKind::BrokenPipe.into()));
            }
            drop(sender);
            let unpacked = unpacking.join().unwrap_or_else(|_| Err(stopped(wanted)));
            match (finished, unpacked) {
                (Ok(blob), unpacked) => unpacked.map(|layer| (blob, layer)),
                // Then the other has stopped because of it.
                (Err(Error::Refused(refused)), Err(error)) if refused.reason == STOPPED => Err(error),
                (Err(error), unpacked) => {
                    unpacked.into_iter().for_each(Ready::give_up);
                    Err(error)
                }
            }
        })
    }

    /// Brings what is missing of a blob; each piece of all of it is handed on.
    fn download(
        &self,
        incoming: &mut Incoming,
        wanted: &Descriptor,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let has = incoming.replay(&mut each)?;
        if has == wanted.size {
            return Ok(());
        }
        let (start, mut stream) = self.source.blob(wanted, has)?;
        let mut known = has.saturating_sub(start);
        if start > has {
            return Err(Refused::new("the blob", wanted.digest.to_string(), "begins after what was asked for").into());
        }
        let mut piece = vec![0; PIECE];
        loop {
            let length = match stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(|error| broken(wanted, error))?,
            };
            if length == 0 {
                return Ok(());
            }
            let mut bytes = piece.get(..length).unwrap_or_default();
            if known > 0 {
                let skipped = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
                known -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
            }
            incoming.write(bytes)?;
            each(bytes)?;
            self.progress.tell(&wanted.digest, Step::Downloading { done: incoming.written(), total: wanted.size });
            if self.is_over.load(Ordering::Relaxed) {
                return Err(stopped(wanted));
            }
        }
    }

    fn unpack(&self, chain: &Digest, archive: impl Read) -> Result<Ready> {
        let half = Half::make(&self.layers, chain)?;
        let files = half.path.join("files");
        let action = || format!("create {}", files.display());
        let unpacked = fs::DirBuilder::new().mode(0o755).create(&files).doing(action).and_then(|()| {
            let into = open_folder(&files)?;
            image::layer::unpack_layer(archive, into.as_fd(), &manner()?)
        });
        match unpacked {
            Ok(unpacked) => Ok(Ready { half, unpacked }),
            Err(error) => {
                let _ = half.remove();
                Err(rootless::hinted(error))
            }
        }
    }
}

pub(super) fn manner() -> Result<Manner<'static>> {
    let remembers = if rootless::is_in_user_namespace()? { Remembers::AsUser } else { Remembers::AsTrusted };
    Ok(Manner { remembers, ..Manner::default() })
}

const STOPPED: &str = "was given up";

pub(super) fn stopped(wanted: &Descriptor) -> Error {
    Refused::new("the blob", wanted.digest.to_string(), STOPPED).into()
}

/// A source says itself what was wrong, if it can.
fn broken(wanted: &Descriptor, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => {
            let reason = format!("stopped coming: {}", crate::event::words(&error));
            let refused = Refused::new("the blob", wanted.digest.to_string(), reason);
            refused.hint("try again: what has come stays").into()
        }
    }
}

/// What comes through a queue, as a stream.
struct Queue {
    receiver: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Queue {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.piece, self.at) = (piece?, 0),
                Err(_) => return Ok(0),
            }
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let length = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.at += length;
        Ok(length)
    }
}
