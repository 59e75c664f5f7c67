//! A tree of files written as a tar archive, or copied into a directory as if it had been one.
//!
//! POSIX.1-2024 pax: headers are ustar, and what they cannot hold stands in an extended header before them, extended
//! attributes as `SCHILY.xattr.`. Times are whole seconds, as Docker writes them.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use error::{Doing, Error, Result};

use crate::tar::{Content as _, Entry, Fault, Kind, Segment};
use crate::unpack::{Unpacked, Unpacker, Unpacking};
use crate::walk::{Layers, Tree, Walk};

const BLOCK: u64 = 512;

/// Writes a tree as a tar archive, with the mark of its end. Gives the archive's length in bytes.
///
/// # Errors
/// `Kernel` for what cannot be read, and where the archive cannot be written.
pub fn pack(tree: &Tree<'_>, out: &mut dyn Write) -> Result<u64> {
    let mut walk = Walk::new(tree)?;
    let mut archive = Archive::new(out);
    while let Some(entry) = walk.next()? {
        archive.entry(&entry, &mut walk)?;
    }
    archive.end()
}

/// Copies a tree into a directory as [`crate::unpack`] would its archive. Gives what was made, and the length that the
/// archive would have.
///
/// # Errors
/// Those of [`crate::unpack`], and `Kernel` for what cannot be read.
pub fn copy(tree: &Tree<'_>, into: BorrowedFd<'_>, unpacking: Unpacking<'_>) -> Result<(Unpacked, u64)> {
    copy_walked(Walk::new(tree)?, into, unpacking)
}

/// The same of a tree that an overlay shows: where the file system can do it, the copies share blocks with its layers.
///
/// # Errors
/// As [`copy`].
pub fn copy_shown(
    (tree, layers): (&Tree<'_>, Layers<'_>),
    into: BorrowedFd<'_>,
    unpacking: Unpacking<'_>,
) -> Result<(Unpacked, u64)> {
    copy_walked(Walk::new(tree)?.with_layers(layers), into, unpacking)
}

fn copy_walked(mut walk: Walk<'_>, into: BorrowedFd<'_>, unpacking: Unpacking<'_>) -> Result<(Unpacked, u64)> {
    let mut unpacker = Unpacker::new(into, "what is copied", unpacking)?;
    let mut length = 2 * BLOCK;
    while let Some(entry) = walk.next()? {
        length += header(&entry).len() as u64;
        if let Kind::File { size, .. } = entry.kind {
            length += size.next_multiple_of(BLOCK);
        }
        unpacker.make(&entry, &mut walk)?;
    }
    Ok((unpacker.finish()?, length))
}

pub(crate) struct Archive<'o> {
    out: &'o mut dyn Write,
    length: u64,
}

impl<'o> Archive<'o> {
    pub(crate) fn new(out: &'o mut dyn Write) -> Self {
        Self { out, length: 0 }
    }

    /// An entry, whose content is read from `walk`.
    pub(crate) fn entry(&mut self, entry: &Entry, walk: &mut Walk<'_>) -> Result<()> {
        self.put(&header(entry))?;
        match &entry.kind {
            Kind::File { size, segments } => self.content(walk, *size, segments),
            _ => Ok(()),
        }
    }

    /// A file of so many bytes that belongs to root and is as old as time.
    pub(crate) fn file(&mut self, name: &str, size: u64, from: impl Read) -> Result<()> {
        let entry = Entry {
            name: name.as_bytes().to_vec(),
            kind: Kind::File { size, segments: vec![Segment { offset: 0, len: size }] },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 },
            xattrs: Vec::new(),
        };
        self.put(&header(&entry))?;
        let copied = std::io::copy(&mut from.take(size), self.out).doing(|| format!("write {name} to the archive"))?;
        if copied < size {
            return Err(error::Kernel::new(format!("read all of {name}"), error::Errno::IO).into());
        }
        self.length += size;
        self.zeros(size.next_multiple_of(BLOCK) - size)
    }

    /// The mark of the end. Gives the length of all.
    pub(crate) fn end(mut self) -> Result<u64> {
        self.zeros(2 * BLOCK)?;
        self.out.flush().doing(|| "write the archive")?;
        Ok(self.length)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        self.out.write_all(bytes).doing(|| "write the archive")
    }

    fn zeros(&mut self, mut count: u64) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let piece = ZEROS.get(..usize::try_from(count).unwrap_or(ZEROS.len())).unwrap_or(&ZEROS);
            self.put(piece)?;
            count -= piece.len() as u64;
        }
        Ok(())
    }

    /// A file's content: holes are zeros, and the last block is filled up.
    fn content(&mut self, walk: &mut Walk<'_>, size: u64, segments: &[Segment]) -> Result<()> {
        let mut at = 0;
        for segment in segments {
            self.zeros(segment.offset.saturating_sub(at))?;
            let mut left = segment.len;
            while left > 0 {
                let piece = walk.content(left).map_err(source)?;
                left -= piece.len() as u64;
                self.put(piece)?;
            }
            at = segment.offset + segment.len;
        }
        self.zeros(size.next_multiple_of(BLOCK).saturating_sub(at))
    }
}

fn source(fault: Fault) -> Error {
    match fault {
        Fault::Source(error) => error,
        Fault::Read(_) | Fault::Truncated | Fault::Damaged(_) => {
            error::Kernel::new("read a file of the tree", error::Errno::IO).into()
        }
    }
}

/// The largest number that fits into a field of the header.
const fn most(digits: u32) -> u64 {
    (1 << (3 * (digits - 1))) - 1
}

/// An entry's header, after an extended one where that is needed.
fn header(entry: &Entry) -> Vec<u8> {
    let mut name = entry.name.clone();
    if entry.kind == Kind::Directory {
        name.push(b'/');
    }
    let (kind, size, link, device) = match &entry.kind {
        Kind::File { size, .. } => (b'0', *size, &[][..], (0, 0)),
        Kind::HardLink { target } => (b'1', 0, target.as_slice(), (0, 0)),
        Kind::Symlink { target } => (b'2', 0, target.as_slice(), (0, 0)),
        Kind::CharacterDevice { major, minor } => (b'3', 0, &[][..], (*major, *minor)),
        Kind::BlockDevice { major, minor } => (b'4', 0, &[][..], (*major, *minor)),
        Kind::Directory => (b'5', 0, &[][..], (0, 0)),
        Kind::Fifo => (b'6', 0, &[][..], (0, 0)),
    };
    let mut records = Vec::new();
    let mtime = u64::try_from(entry.mtime.tv_sec);
    for (key, text) in [("path", &name[..]), ("linkpath", link)] {
        if text.len() > 100 {
            record(&mut records, key.as_bytes(), text);
        }
    }
    for (key, value, digits) in [("size", size, 12), ("uid", entry.uid.into(), 8), ("gid", entry.gid.into(), 8)] {
        if value > most(digits) {
            record(&mut records, key.as_bytes(), value.to_string().as_bytes());
        }
    }
    if mtime.is_err() {
        record(&mut records, b"mtime", entry.mtime.tv_sec.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    let mut bytes = Vec::new();
    if !records.is_empty() {
        let length = records.len() as u64;
        bytes.extend(block(b"PaxHeaders/entry", (b'x', length), &[], |header| header.number(100, 8, 0o644)));
        bytes.extend_from_slice(&records);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend(block(&name, (kind, size), link, |header| {
        header.number(100, 8, entry.mode.into());
        header.number(108, 8, entry.uid.into());
        header.number(116, 8, entry.gid.into());
        header.number(136, 12, mtime.unwrap_or_default());
        header.number(329, 8, device.0.into());
        header.number(337, 8, device.1.into());
    }));
    bytes
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

struct Block([u8; 512]);

impl Block {
    fn text(&mut self, at: usize, text: &[u8]) {
        for (place, byte) in self.0.iter_mut().skip(at).zip(text) {
            *place = *byte;
        }
    }

    /// Octal digits and a NUL; what does not fit stands in the extended header.
    fn number(&mut self, at: usize, length: usize, value: u64) {
        let width = length - 1;
        let digits = format!("{value:0width$o}");
        let fits = if digits.len() > width { "0".repeat(width) } else { digits };
        self.text(at, fits.as_bytes());
    }
}

fn block(name: &[u8], (kind, size): (u8, u64), link: &[u8], fill: impl FnOnce(&mut Block)) -> [u8; 512] {
    let mut block = Block([0; 512]);
    block.text(0, name.get(..100).unwrap_or(name));
    block.number(108, 8, 0);
    block.number(116, 8, 0);
    block.number(124, 12, size);
    block.number(136, 12, 0);
    block.text(156, &[kind]);
    block.text(157, link.get(..100).unwrap_or(link));
    block.text(257, b"ustar\x0000");
    fill(&mut block);
    block.text(148, b"        ");
    let sum: u64 = block.0.iter().map(|byte| u64::from(*byte)).sum();
    block.number(148, 7, sum);
    block.0
}
