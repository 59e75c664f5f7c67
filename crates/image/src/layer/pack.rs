//! What a container has changed, as a layer: the upper directory of its overlay written as an archive.
//!
//! The same changes give the same archive: entries stand in the order of names, times are whole seconds. A character device 0:0
//! becomes a whiteout, an opaque directory has its mark as its first entry. layer.md of the OCI image specification.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use error::{Doing, Error, Refused, Result};
use flate2::write::GzEncoder;
use oci::image::Digest;
use rustix::fs::Timespec;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{Change, Changed, Copied, Remembers, compare, whiteout};
use crate::digest::Hasher;
use crate::pack::Archive;
use crate::tar::{Entry, Kind};
use crate::unpack::{Owners, shown};
use crate::walk::{Mounts, Rights, Tree, Walk, directory_entry};

/// Uncompressed bytes of one frame of zstd: a decoder needs as much memory.
const FRAME: usize = 4 << 20;

/// The upper directory of an overlay.
#[derive(Clone, Copy)]
pub struct Changes<'a> {
    /// The directory.
    pub upper: BorrowedFd<'a>,
    /// Whose attributes the overlay keeps its notes in.
    pub remembers: Remembers,
    /// What the root was before: the uppermost layer below, or nothing where there is none.
    pub below: Option<BorrowedFd<'a>>,
    /// From the owner and group of a file to those that its entry has.
    pub owners: &'a Owners<'a>,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// RFC 1952.
    #[default]
    Gzip,
    /// RFC 8878, in frames that are independent of one another.
    Zstd,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The SHA-256 of the archive when it is not compressed.
    pub diff_id: Digest,
    /// Its bytes when it is not compressed.
    pub bytes: u64,
    /// The SHA-256 of what was written.
    pub digest: Digest,
    /// How many bytes were written.
    pub size: u64,
    /// Entries, removals among them. Without any, nothing was changed.
    pub entries: u64,
}

/// Writes the changes as a layer to `out`.
///
/// # Errors
/// `Refused` for a name that a layer takes for a removal, and for what is kept elsewhere (`redirect_dir`, `metacopy`). `Kernel`
/// for what cannot be read, and where the layer cannot be written.
pub fn pack_layer(changes: &Changes<'_>, compression: Compression, out: &mut dyn Write) -> Result<Packed> {
    let tree =
        Tree { top: changes.upper, name: b"", mounts: Mounts::LeftOut, owners: changes.owners, rights: Rights::Kept };
    let mut walk = Walk::new(&tree)?.with_attributes_of(changes.remembers.prefix());
    packed(compression, out, |archive| {
        let mut entries = 0;
        if let Some(root) = changed_root(changes)? {
            entries += 1;
            archive.entry(&root, &mut walk)?;
        }
        while let Some(entry) = walk.next()? {
            entries += 1;
            put(archive, entry, &mut walk, changes.remembers)?;
        }
        Ok(entries)
    })
}

/// Writes what has changed of a copy of layers as one more layer to `out`.
///
/// # Errors
/// As [`pack_layer`].
pub fn pack_copy(copied: &Copied<'_>, compression: Compression, out: &mut dyn Write) -> Result<Packed> {
    let (top, mounts, owners) = (copied.copy, Mounts::LeftOut, &|owners| owners);
    let tree = Tree { top, name: b"", mounts, owners, rights: Rights::Kept };
    let below = copied.layers.first().copied();
    let root = Changes { upper: top, remembers: copied.remembers, below, owners };
    let (gone, stays): (Vec<Changed>, _) =
        compare(copied)?.into_iter().partition(|found| found.change == Change::Deleted);
    let mut walk = Walk::new(&tree)?;
    packed(compression, out, |archive| {
        let mut entries = 0;
        if let Some(root) = changed_root(&root)? {
            entries += 1;
            archive.entry(&root, &mut walk)?;
        }
        while let Some(entry) = walk.next()? {
            // A device 0:0 hides nothing in a copy, and would in a layer.
            let is_one = entry.kind == (Kind::CharacterDevice { major: 0, minor: 0 });
            if !is_one && stays.binary_search_by(|found| found.path.cmp(&entry.name)).is_ok() {
                entries += 1;
                put(archive, entry, &mut walk, copied.remembers)?;
            }
        }
        for Changed { path, .. } in &gone {
            let (above, name) = crate::unpack::split(path);
            entries += 1;
            archive.entry(&mark(&[above, b"/", whiteout::PREFIX, name].concat()), &mut walk)?;
        }
        Ok(entries)
    })
}

/// An archive that `put` fills, and says how many entries it has.
fn packed(
    compression: Compression,
    out: &mut dyn Write,
    put: impl FnOnce(&mut Archive<'_>) -> Result<u64>,
) -> Result<Packed> {
    let mut layer = Hashed { to: Encoder::new(compression, out), hasher: Hasher::new() };
    let mut archive = Archive::new(&mut layer);
    let entries = put(&mut archive)?;
    archive.end()?;
    let Hashed { to, hasher } = layer;
    let compressed = to.finish().map_err(|error| unwritable(&error))?;
    Ok(Packed {
        bytes: hasher.bytes(),
        diff_id: hasher.finish(),
        size: compressed.bytes(),
        digest: compressed.finish(),
        entries,
    })
}

/// The entry of the root, where its mode, its owner or its attributes are others than before. Its time alone does not count: it
/// changes with every file that is made in it.
fn changed_root(changes: &Changes<'_>) -> Result<Option<Entry>> {
    let Some(below) = changes.below else { return Ok(None) };
    let looks = |entry: &Entry| (entry.mode, entry.uid, entry.gid, entry.xattrs.clone());
    let (now, before) = (directory_entry(changes.upper, b".")?, directory_entry(below, b".")?);
    if looks(&now) == looks(&before) {
        return Ok(None);
    }
    let (uid, gid) = (changes.owners)((now.uid, now.gid));
    Ok(Some(Entry { uid, gid, ..now }))
}

fn put(archive: &mut Archive<'_>, entry: Entry, walk: &mut Walk<'_>, remembers: Remembers) -> Result<()> {
    let (above, name) = crate::unpack::split(&entry.name);
    if name.starts_with(whiteout::PREFIX) {
        let reason = format!("has {}, which a layer takes for the removal of a file", shown(&entry.name));
        return Err(Refused::new("what was changed", "", reason).hint("rename that file, or remove it").into());
    }
    if entry.kind == (Kind::CharacterDevice { major: 0, minor: 0 }) {
        return archive.entry(&mark(&[above, b"/", whiteout::PREFIX, name].concat()), walk);
    }
    let (notes, xattrs): (Vec<_>, Vec<_>) =
        entry.xattrs.into_iter().partition(|(name, _)| name.starts_with(remembers.prefix()));
    let entry = Entry { xattrs, ..entry };
    let mut opaque = None;
    for (name, value) in notes {
        match name.strip_prefix(remembers.prefix()) {
            Some(b"opaque") if value == b"y" && entry.kind == Kind::Directory => {
                opaque = Some(mark(&[&entry.name[..], b"/", whiteout::OPAQUE].concat()));
            }
            Some(elsewhere @ (b"redirect" | b"metacopy")) => {
                let attribute = elsewhere.escape_ascii();
                let reason =
                    format!("has {} with the attribute {attribute}: not all of it is there", shown(&entry.name));
                return Err(Refused::new("what was changed", "", reason).into());
            }
            _ => {}
        }
    }
    archive.entry(&entry, walk)?;
    match opaque {
        Some(opaque) => archive.entry(&opaque, walk),
        None => Ok(()),
    }
}

/// An empty file that says by its name what is removed.
fn mark(path: &[u8]) -> Entry {
    let name = path.strip_prefix(b"/").unwrap_or(path).to_vec();
    let kind = Kind::File { size: 0, segments: Vec::new() };
    Entry { name, kind, mode: 0o600, uid: 0, gid: 0, mtime: Timespec { tv_sec: 0, tv_nsec: 0 }, xattrs: Vec::new() }
}

fn unwritable(error: &io::Error) -> Error {
    let written: std::result::Result<(), _> = Err(error::Errno::from_io_error(error).unwrap_or(error::Errno::IO));
    match written.doing(|| "write the layer") {
        Err(error) => error,
        Ok(()) => Refused::new("the layer", "", "it cannot be written").into(),
    }
}

/// Hashes what passes.
struct Hashed<W> {
    to: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

type Out<'o> = Hashed<&'o mut dyn Write>;

enum Encoder<'o> {
    Plain(Out<'o>),
    Gzip(Box<GzEncoder<Out<'o>>>),
    /// With what is not in a frame yet.
    Zstd(Vec<u8>, Out<'o>),
}

impl<'o> Encoder<'o> {
    fn new(compression: Compression, out: &'o mut dyn Write) -> Self {
        let out = Hashed { to: out, hasher: Hasher::new() };
        match compression {
            Compression::Plain => Self::Plain(out),
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(out, flate2::Compression::default()))),
            Compression::Zstd => Self::Zstd(Vec::new(), out),
        }
    }

    /// Writes what is left, and gives what was written.
    fn finish(self) -> io::Result<Hasher> {
        let mut out = match self {
            Self::Plain(out) => out,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(rest, mut out) => {
                out.write_all(&compress_to_vec(&rest[..], CompressionLevel::Fastest))?;
                out
            }
        };
        out.flush()?;
        Ok(out.hasher)
    }
}

impl Write for Encoder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(frame, out) => {
                let taken = bytes.get(..FRAME.saturating_sub(frame.len())).unwrap_or(bytes);
                frame.extend_from_slice(taken);
                if frame.len() >= FRAME {
                    out.write_all(&compress_to_vec(&frame[..], CompressionLevel::Fastest))?;
                    frame.clear();
                }
                Ok(taken.len())
            }
        }
    }

    /// What is not compressed yet waits for more: a mark in the stream would cost bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
