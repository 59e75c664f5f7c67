//! Limits of a layer: a small file must not become a full disk.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};

use error::{Error, Refused};

use crate::digest::Hasher;

/// How much a layer may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the archive when it is not compressed.
    pub bytes: u64,
    /// How many bytes may come of one compressed byte, once more than [`Limits::RATIO_FROM_BYTES`] came of all.
    pub ratio: u64,
    /// Directories within one another.
    pub depth: usize,
}

impl Limits {
    /// A ratio says nothing of an archive that is smaller: zeros compress well.
    pub const RATIO_FROM_BYTES: u64 = 4 << 30;
}

impl Default for Limits {
    /// More than any honest layer has: 8 million entries, 1 TiB, 200 bytes of one, 512 directories within one another.
    fn default() -> Self {
        Self { entries: 8 << 20, bytes: 1 << 40, ratio: 200, depth: 512 }
    }
}

/// What was read so far, and which limit is exceeded.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    entries: Cell<u64>,
    compressed: Cell<u64>,
    exceeded: RefCell<Option<Error>>,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, entries: Cell::new(0), compressed: Cell::new(0), exceeded: RefCell::new(None) }
    }

    /// One more entry, whose path this is.
    pub(super) fn entry(&self, path: &[u8]) -> Result<(), Error> {
        self.entries.set(self.entries.get() + 1);
        if self.entries.get() > self.limits.entries {
            return Err(refused(self.entries.get(), "entries", self.limits.entries, ""));
        }
        // Most paths are shorter than the limit.
        let names = || path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).count();
        if path.len() / 2 >= self.limits.depth && names() > self.limits.depth {
            let (names, depth) = (names() as u64, self.limits.depth as u64);
            return Err(refused(names, "directories within one another", depth, ""));
        }
        Ok(())
    }

    fn bytes(&self, bytes: u64) -> Result<(), Error> {
        if bytes > self.limits.bytes {
            return Err(refused(bytes, "bytes", self.limits.bytes, ""));
        }
        let compressed = self.compressed.get();
        if bytes > Limits::RATIO_FROM_BYTES && bytes / self.limits.ratio.max(1) > compressed {
            let ratio = bytes / compressed.max(1);
            return Err(refused(ratio, "bytes of each compressed one", self.limits.ratio, "it may be a bomb: "));
        }
        Ok(())
    }

    /// The limit that was exceeded, in place of the error that came of it.
    pub(super) fn instead_of(&self, error: Error) -> Error {
        self.exceeded.borrow_mut().take().unwrap_or(error)
    }
}

fn refused(has: u64, what: &str, limit: u64, why: &str) -> Error {
    Refused::new("the layer", "", format!("{why}it has {has} {what} or more, and {limit} are allowed")).into()
}

/// Counts compressed bytes.
pub(super) struct Counted<'m, R> {
    pub(super) source: R,
    pub(super) meter: &'m Meter,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.meter.compressed.set(self.meter.compressed.get() + count as u64);
        Ok(count)
    }
}

/// Counts and hashes what is not compressed any more.
pub(super) struct Hashed<'m, R> {
    source: R,
    meter: &'m Meter,
    hasher: Hasher,
}

impl<'m, R> Hashed<'m, R> {
    pub(super) fn new(source: R, meter: &'m Meter) -> Self {
        Self { source, meter, hasher: Hasher::new() }
    }

    /// What was read.
    pub(super) fn finish(self) -> Hasher {
        self.hasher
    }
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.hasher.update(into.get(..count).unwrap_or_default());
        self.meter.bytes(self.hasher.bytes()).map_err(|error| {
            *self.meter.exceeded.borrow_mut() = Some(error);
            io::ErrorKind::FileTooLarge
        })?;
        Ok(count)
    }
}
