//! Layers of images: unpacked as lower directories of an overlay, each alone and all at once, then settled on those below.
//!
//! ```text
//! unpack_layer         one archive into an empty directory; nothing is known of the layers below
//! settle               what it left open is taken from the layers below, when they are there
//! unpack_over_layers   where that is not enough: an overlay of the layers below takes the archive, and the kernel the notes
//! count                how much a layer's folder holds
//! read_layer, costs    which files come from which layer, and what of them nobody sees
//! pack_layer           the upper directory of an overlay back to an archive
//! merge                where there is no overlay: the layers as one directory of files
//! compare, pack_copy   what has become of such a directory, and that as an archive
//! ```

mod compare;
mod cost;
mod count;
mod limits;
mod merge;
mod over;
mod pack;
mod settle;
mod whiteout;

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt as _;

use error::{Refused, Result};
use oci::image::Digest;

use self::limits::{Counted, Hashed, Meter};
use self::whiteout::Said;
use crate::compression::Decompressed;
use crate::digest::Hasher;
use crate::tar::{EndMark, Reader};
use crate::unpack::{Form, HardLink, Lower, Owners, Skipped, Unpacked, Unpacker, Unpacking, shown, unreadable_error};

pub use compare::{Change, Changed, Copied, compare};
pub use cost::{Cost, Held, HeldKind, costs, read_layer};
pub use count::count;
pub use limits::Limits;
pub use merge::merge;
pub use over::{Over, unpack_over_layers};
pub use pack::{Changes, Compression, Packed, pack_copy, pack_layer};
pub use settle::{Settled, settle};

/// How a layer is unpacked.
#[derive(Clone, Copy, Default)]
pub struct Layer<'a> {
    /// Whose attributes the overlay reads that will be made of it.
    pub remembers: Remembers,
    /// From the owner and group of an entry to those of its file; as they are written if `None`.
    pub owners: Option<&'a Owners<'a>>,
    /// How much it may hold.
    pub limits: Limits,
}

/// In which extended attributes an overlay keeps what it has to remember of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Remembers {
    /// `trusted.overlay.*`, which takes `CAP_SYS_ADMIN` in the first user namespace.
    #[default]
    AsTrusted,
    /// `user.overlay.*` (`userxattr`, Linux 5.11).
    AsUser,
}

impl Remembers {
    /// Before the names of all attributes of an overlay.
    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            Self::AsTrusted => b"trusted.overlay.",
            Self::AsUser => b"user.overlay.",
        }
    }

    pub(crate) fn opaque(self) -> &'static str {
        match self {
            Self::AsTrusted => "trusted.overlay.opaque",
            Self::AsUser => "user.overlay.opaque",
        }
    }
}

/// What a layer held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerUnpacked {
    /// The SHA-256 of the archive when it is not compressed, to its last byte.
    pub diff_id: Digest,
    /// Its bytes when it is not compressed.
    pub bytes: u64,
    /// Bytes of files that were written; holes are not counted.
    pub file_bytes: u64,
    /// Entries that were made.
    pub entries: u64,
    /// What was left out, the first [`Unpacked::SKIPPED_LISTED`] of it.
    pub skipped: Vec<Skipped>,
    /// How many more were left out than `skipped` lists.
    pub skipped_unlisted: u64,
    /// Paths of directories that have no entry of their own: what they are is for the layers below to say. Parents stand
    /// before what is in them; the root is the empty path.
    pub implied: Vec<OsString>,
    /// Paths that it hides from the layers below.
    pub hidden: Vec<OsString>,
    /// Hard links whose target this layer does not have, in their order.
    pub dangling: Vec<Dangling>,
    /// Why it has to be unpacked again by [`unpack_over_layers`], if it has.
    pub elsewhere: Option<String>,
}

/// A hard link whose target is in a layer below. Paths are from the root on, without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangling {
    /// Its own path.
    pub path: OsString,
    /// The path of its target.
    pub target: OsString,
}

/// Unpacks a layer, plain or compressed with gzip or zstd, into the empty directory `into`, which becomes a lower directory
/// of an overlay. Reads `compressed` to its end and buffers less than 1 MiB of it, beside the window of zstd.
///
/// What it cannot know without the layers below stands in `implied`, `dangling` and `elsewhere`: [`settle`] sees to it.
/// After an error the directory holds what was unpacked so far; the caller removes it.
///
/// # Errors
/// `Refused` if the archive is damaged, exceeds a limit, or has an entry that leaves the root. `Kernel` if it cannot be read,
/// or an entry cannot be made.
pub fn unpack_layer(compressed: impl Read, into: BorrowedFd<'_>, layer: &Layer<'_>) -> Result<LayerUnpacked> {
    let form = Form::Lower(Lower::new(layer.remembers.opaque()));
    apply(compressed, into, layer, form)
}

fn apply(compressed: impl Read, into: BorrowedFd<'_>, layer: &Layer<'_>, form: Form) -> Result<LayerUnpacked> {
    let meter = Meter::new(layer.limits);
    let source = Counted { source: compressed, meter: &meter };
    let source = Decompressed::detect(source).map_err(|unreadable| unreadable_error("", unreadable))?;
    let mut reader = Reader::new(Hashed::new(source, &meter), EndMark::NotNeeded);
    let unpacking = Unpacking { owners: layer.owners, ..Unpacking::default() };
    let mut unpacker = Unpacker::new(into, "", unpacking)?.with_form(form);
    let made = make_all(&mut unpacker, &mut reader, &meter);
    let elsewhere = match made {
        Ok(()) => None,
        Err(error) => Some(unpacker.elsewhere().ok_or_else(|| meter.instead_of(error))?),
    };
    let hashed = reader.finish().map_err(|fault| meter.instead_of(unpacker.fault(fault)))?;
    let (unpacked, lower) = unpacker.finish_layer()?;
    Ok(told((unpacked, lower), hashed.finish(), elsewhere))
}

fn make_all<R: Read>(unpacker: &mut Unpacker<'_>, reader: &mut Reader<Hashed<'_, R>>, meter: &Meter) -> Result<()> {
    while let Some(entry) = reader.next().map_err(|fault| unpacker.fault(fault))? {
        meter.entry(&entry.name)?;
        if !entry.name.windows(whiteout::PREFIX.len()).any(|part| part == whiteout::PREFIX) {
            unpacker.make(&entry, reader)?;
            continue;
        }
        match whiteout::said(&unpacker.checked(&entry.name)?) {
            Said::Entry => unpacker.make(&entry, reader)?,
            Said::Hidden(path) => unpacker.whiteout(&path)?,
            Said::Opaque(path) => unpacker.opaque(&path)?,
            Said::Nothing => {}
            Said::Malformed => {
                let reason = format!("its entry {} hides no name", shown(&entry.name));
                return Err(Refused::new("the layer", "", reason).into());
            }
        }
    }
    Ok(())
}

fn told((unpacked, lower): (Unpacked, Lower), archive: Hasher, elsewhere: Option<String>) -> LayerUnpacked {
    let dangling =
        |HardLink { path, target }| Dangling { path: OsString::from_vec(path), target: OsString::from_vec(target) };
    LayerUnpacked {
        bytes: archive.bytes(),
        diff_id: archive.finish(),
        file_bytes: unpacked.bytes,
        entries: unpacked.entries,
        skipped: unpacked.skipped,
        skipped_unlisted: unpacked.skipped_unlisted,
        implied: lower.implied.into_iter().map(OsString::from_vec).collect(),
        hidden: lower.hidden.into_iter().map(OsString::from_vec).collect(),
        dangling: lower.dangling.into_iter().map(dangling).collect(),
        elsewhere,
    }
}
