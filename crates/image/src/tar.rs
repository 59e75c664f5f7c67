//! The tar format as a stream of entries: POSIX ustar and pax, GNU and star, read within bounded memory.
//!
//! Sizes are bytes, numbers of owners and devices are the archive's own. Hard links, symbolic links, directories and nodes
//! have no content, whatever their size field says, as GNU tar and Go read them. Sources: POSIX.1-2024 pax "ustar Interchange
//! Format", tar(5), GNU tar manual "Basic Tar Format" and "Storing Sparse Files".

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use error::Error;
use rustix::fs::Timespec;

use crate::pax::Pax;

/// The unit of the format: a header is one block, content is padded to whole blocks.
const BLOCK: usize = 512;
/// Read at once. Most files of a root file system fit, and are then written with one system call.
const BUFFER: usize = 256 << 10;
/// The longest extended header or long name that is read: every attribute of a file fits (64 KiB each, by xattr(7)).
pub(crate) const EXTENDED_MAX: u64 = 1 << 20;
/// The most pieces of one sparse file: 4 MiB of memory.
const SEGMENTS_MAX: usize = 1 << 18;

/// Why an archive cannot be read on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The source failed.
    Read(io::Error),
    /// The source ended within an entry, or without the end mark.
    Truncated,
    /// A file that is read in place of an archive cannot be.
    Source(Error),
    /// The bytes are not what the format asks for; a clause that follows the archive's name.
    Damaged(String),
}

/// One object of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path as written: not checked.
    pub(crate) name: Vec<u8>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Modification time.
    pub(crate) mtime: Timespec,
    /// Extended attributes, name and value.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file: its content follows in pieces, and the rest up to `size` is zero.
    File { size: u64, segments: Vec<Segment> },
    /// Another name of an earlier entry.
    HardLink { target: Vec<u8> },
    /// A symbolic link.
    Symlink { target: Vec<u8> },
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharacterDevice { major: u32, minor: u32 },
    /// A block device.
    BlockDevice { major: u32, minor: u32 },
}

/// A piece of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it stands in the file.
    pub(crate) offset: u64,
    /// How long it is.
    pub(crate) len: u64,
}

/// What the current entry of a stream holds.
pub(crate) trait Content {
    /// The next piece of it, at most `most` bytes; empty when all was read.
    fn content(&mut self, most: u64) -> Result<&[u8], Fault>;

    /// Makes an empty file share all of it, holes and all, where it comes from a file of the same file system and that can do
    /// so. Whether it did; if not, nothing was read.
    fn share_with(&mut self, _: BorrowedFd<'_>) -> bool {
        false
    }
}

/// A stream of entries.
pub(crate) struct Reader<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Content of the current entry that was not read yet.
    content: u64,
    /// Padding after it.
    padding: u64,
    /// What a pax global header said about all that follows.
    global: Pax,
    end_mark: EndMark,
}

/// What the end of the source means where no end mark stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndMark {
    /// The archive was cut off.
    Needed,
    /// Its end, where an entry would begin: a digest says whether all of it is there.
    NotNeeded,
}

impl<R: Read> Content for Reader<R> {
    fn content(&mut self, most: u64) -> Result<&[u8], Fault> {
        let want = usize::try_from(self.content.min(most)).unwrap_or(BUFFER).min(BUFFER);
        if self.end - self.start < want {
            self.fill(want)?;
        }
        let len = want.min(self.end - self.start);
        if len == 0 && want > 0 {
            return Err(Fault::Truncated);
        }
        self.content -= len as u64;
        let start = self.start;
        self.start += len;
        Ok(self.buffer.get(start..start + len).unwrap_or_default())
    }
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(source: R, end_mark: EndMark) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, content: 0, padding: 0, global: Pax::default(), end_mark }
    }

    /// The next entry; what was not read of the one before is passed over. `None` after the end mark.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let mut pax = self.global.clone();
        let mut long_name = None;
        let mut long_link = None;
        loop {
            self.pass()?;
            let Some(block) = self.header()? else { return Ok(None) };
            let header = Header(&block);
            match header.kind() {
                b'x' | b'X' => pax.read(&self.extended(&header)?)?,
                b'g' => {
                    let records = self.extended(&header)?;
                    self.global.read(&records)?;
                    pax.read(&records)?;
                }
                b'L' => long_name = Some(until_nul(&self.extended(&header)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.extended(&header)?).to_vec()),
                b'V' => self.begin(header.number(Field::SIZE)?),
                _ => {
                    pax.path = pax.path.or(long_name);
                    pax.linkpath = pax.linkpath.or(long_link);
                    return self.entry(&header, pax).map(Some);
                }
            }
        }
    }

    /// Reads the source to its end, so that a decompressor checks its checksum. Gives the source back.
    pub(crate) fn finish(mut self) -> Result<R, Fault> {
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Ok(self.source),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Read(error)),
            }
        }
    }

    /// The next header, checked; `None` at the end mark, which is two zero blocks, or one and the end of the source.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        let block = match (self.block()?, self.end_mark) {
            (Some(block), _) => block,
            (None, EndMark::Needed) => return Err(Fault::Truncated),
            (None, EndMark::NotNeeded) => return Ok(None),
        };
        if block == [0; BLOCK] {
            return match self.block()? {
                Some(second) if second != [0; BLOCK] => {
                    Err(Fault::Damaged("has a zero block between its entries".to_owned()))
                }
                Some(_) | None => Ok(None),
            };
        }
        if !Header(&block).checksum_fits() {
            return Err(Fault::Damaged("has a header with a wrong checksum, or is no tar archive".to_owned()));
        }
        Ok(Some(block))
    }

    fn entry(&mut self, header: &Header<'_>, mut pax: Pax) -> Result<Entry, Fault> {
        let name = pax.sparse.name.take().or(pax.path.take()).unwrap_or_else(|| header.name());
        let linkpath = pax.linkpath.take();
        let target = || linkpath.unwrap_or_else(|| until_nul(header.bytes(Field::LINK)).to_vec());
        let kind = match header.kind() {
            0 if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => self.file(header, &pax)?,
            b'1' => Kind::HardLink { target: target() },
            b'2' => Kind::Symlink { target: target() },
            b'3' => Kind::CharacterDevice { major: header.number(Field::MAJOR)?, minor: header.number(Field::MINOR)? },
            b'4' => Kind::BlockDevice { major: header.number(Field::MAJOR)?, minor: header.number(Field::MINOR)? },
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'D' => {
                self.begin(header.number(Field::SIZE)?);
                Kind::Directory
            }
            other => {
                let kind = char::from(other).escape_default();
                return Err(Fault::Damaged(format!("has an entry of the unknown type '{kind}'")));
            }
        };
        Ok(Entry {
            name,
            kind,
            mode: header.number::<u32>(Field::MODE)? & 0o7777,
            uid: pax.uid.map_or_else(|| header.number(Field::UID), Ok)?,
            gid: pax.gid.map_or_else(|| header.number(Field::GID), Ok)?,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                None => Timespec { tv_sec: header.number(Field::MTIME)?, tv_nsec: 0 },
            },
            xattrs: pax.xattrs.into_iter().collect(),
        })
    }

    /// A regular file: whole, or sparse in one of GNU tar's four ways.
    fn file(&mut self, header: &Header<'_>, pax: &Pax) -> Result<Kind, Fault> {
        let stored = pax.size.map_or_else(|| header.number(Field::SIZE), Ok)?;
        if header.kind() == b'S' {
            let segments = self.old_sparse(header)?;
            self.begin(stored);
            return checked_sparse(header.number(Field::REAL_SIZE)?, segments, stored);
        }
        self.begin(stored);
        let Some(size) = pax.sparse.size else {
            return Ok(Kind::File { size: stored, segments: vec![Segment { offset: 0, len: stored }] });
        };
        let segments = if pax.sparse.major == Some(1) { self.leading_sparse_map()? } else { pax.sparse.segments()? };
        checked_sparse(size, segments, self.content)
    }

    /// The map of an old GNU sparse header: 4 pieces in the header, 21 in each block after it.
    fn old_sparse(&mut self, header: &Header<'_>) -> Result<Vec<Segment>, Fault> {
        let mut segments = Vec::new();
        push_pieces(&mut segments, header.bytes((386, 96)))?;
        let mut more = header.bytes((482, 1)) != [0];
        while more {
            let block = self.block()?.ok_or(Fault::Truncated)?;
            push_pieces(&mut segments, Header(&block).bytes((0, 504)))?;
            more = Header(&block).bytes((504, 1)) != [0];
        }
        Ok(segments)
    }

    /// The map of a pax sparse file, version 1.0: decimal lines before the content, padded to a block.
    fn leading_sparse_map(&mut self) -> Result<Vec<Segment>, Fault> {
        let mut read = 0_usize;
        let count = self.line(&mut read)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= SEGMENTS_MAX).ok_or_else(too_many_segments)?;
        let mut segments = Vec::new();
        for _ in 0..count {
            segments.push(Segment { offset: self.line(&mut read)?, len: self.line(&mut read)? });
        }
        let rest = (BLOCK - read % BLOCK) % BLOCK;
        for _ in 0..rest {
            self.byte()?;
        }
        Ok(segments)
    }

    fn line(&mut self, read: &mut usize) -> Result<u64, Fault> {
        let mut number = 0_u64;
        loop {
            *read += 1;
            let digit = match self.byte()? {
                b'\n' => return Ok(number),
                byte @ b'0'..=b'9' => u64::from(byte - b'0'),
                _ => return Err(bad_sparse_map()),
            };
            number = number.checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or_else(bad_sparse_map)?;
        }
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.content(1)?.first().copied().ok_or_else(bad_sparse_map)
    }

    /// The whole content of an extended header.
    fn extended(&mut self, header: &Header<'_>) -> Result<Vec<u8>, Fault> {
        let size = header.number(Field::SIZE)?;
        if size > EXTENDED_MAX {
            return Err(Fault::Damaged(format!(
                "has an extended header of {size} bytes, more than the {EXTENDED_MAX} that are read"
            )));
        }
        self.begin(size);
        let mut bytes = Vec::new();
        loop {
            let piece = self.content(size)?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece);
        }
    }

    /// Content of `size` bytes follows, padded to whole blocks.
    fn begin(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Passes over what is left of the current entry.
    fn pass(&mut self) -> Result<(), Fault> {
        while self.content > 0 {
            self.content(u64::MAX)?;
        }
        self.content = std::mem::take(&mut self.padding);
        let end_mark = self.end_mark;
        while self.content > 0 {
            match (self.content(u64::MAX), end_mark) {
                // umoci leaves out what is behind the content of the last entry, too.
                (Err(Fault::Truncated), EndMark::NotNeeded) => self.content = 0,
                (read, _) => _ = read?,
            }
        }
        Ok(())
    }

    /// The next block; `None` when the source is at its end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        if self.end - self.start < BLOCK {
            self.fill(BLOCK)?;
        }
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        match rest.first_chunk::<BLOCK>() {
            Some(block) => {
                self.start += BLOCK;
                Ok(Some(*block))
            }
            None if rest.is_empty() => Ok(None),
            None => Err(Fault::Truncated),
        }
    }

    /// Reads until the buffer holds `need` bytes or the source is at its end.
    fn fill(&mut self, need: usize) -> Result<(), Fault> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < need {
            match self.source.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Read(error)),
            }
        }
        Ok(())
    }
}

/// Where a field stands in the header: offset and length.
struct Field;

impl Field {
    const NAME: (usize, usize) = (0, 100);
    const MODE: (usize, usize) = (100, 8);
    const UID: (usize, usize) = (108, 8);
    const GID: (usize, usize) = (116, 8);
    const SIZE: (usize, usize) = (124, 12);
    const MTIME: (usize, usize) = (136, 12);
    const CHECKSUM: (usize, usize) = (148, 8);
    const LINK: (usize, usize) = (157, 100);
    const MAGIC: (usize, usize) = (257, 6);
    const MAJOR: (usize, usize) = (329, 8);
    const MINOR: (usize, usize) = (337, 8);
    const PREFIX: (usize, usize) = (345, 155);
    /// star keeps two times at the end of the prefix, and its mark at the end of the header.
    const STAR_PREFIX: (usize, usize) = (345, 131);
    const STAR_MAGIC: (usize, usize) = (508, 4);
    /// The size with its holes, in an old GNU sparse header.
    const REAL_SIZE: (usize, usize) = (483, 12);
}

struct Header<'a>(&'a [u8; BLOCK]);

impl Header<'_> {
    fn bytes(&self, (offset, len): (usize, usize)) -> &[u8] {
        self.0.get(offset..offset + len).unwrap_or_default()
    }

    fn kind(&self) -> u8 {
        self.0.get(156).copied().unwrap_or_default()
    }

    fn name(&self) -> Vec<u8> {
        let name = until_nul(self.bytes(Field::NAME));
        let prefix = match (self.bytes(Field::MAGIC), self.bytes(Field::STAR_MAGIC)) {
            (b"ustar\0", b"tar\0") => until_nul(self.bytes(Field::STAR_PREFIX)),
            (b"ustar\0", _) => until_nul(self.bytes(Field::PREFIX)),
            _ => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    fn number<T: TryFrom<i128>>(&self, field: (usize, usize)) -> Result<T, Fault> {
        number(self.bytes(field)).and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let text = self.bytes(field).escape_ascii();
            Fault::Damaged(format!("has a header with the number \"{text}\", which is malformed or out of range"))
        })
    }

    /// The sum of all bytes with the checksum itself as spaces; ancient writers summed signed characters.
    fn checksum_fits(&self) -> bool {
        let (offset, len) = Field::CHECKSUM;
        let others = || self.0.iter().enumerate().filter(|(at, _)| !(offset..offset + len).contains(at));
        let spaces = i128::from(b' ') * 8;
        let unsigned = spaces + others().map(|(_, byte)| i128::from(*byte)).sum::<i128>();
        let signed = || spaces + others().map(|(_, byte)| i128::from(byte.cast_signed())).sum::<i128>();
        number(self.bytes(Field::CHECKSUM)).is_some_and(|stored| stored == unsigned || stored == signed())
    }
}

/// A number of a header: octal digits between spaces and NULs, or big-endian two's complement below a marker bit.
fn number(field: &[u8]) -> Option<i128> {
    match field.split_first() {
        Some((first @ (0x80 | 0xff), rest)) => {
            let sign = if *first == 0xff { -1 } else { 0 };
            Some(rest.iter().fold(sign, |number, byte| (number << 8) | i128::from(*byte)))
        }
        _ => {
            let blank = |byte: &u8| *byte == b' ' || *byte == 0;
            let digits = field.iter().skip_while(|byte| blank(byte)).take_while(|byte| !blank(byte));
            digits.into_iter().try_fold(0_i128, |number, byte| match byte {
                b'0'..=b'7' => Some((number << 3) | i128::from(byte - b'0')),
                _ => None,
            })
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Adds the pieces of an old GNU sparse map: pairs of 12 bytes, an empty one ends it.
fn push_pieces(segments: &mut Vec<Segment>, map: &[u8]) -> Result<(), Fault> {
    for pair in map.chunks_exact(24) {
        let (offset, len) = pair.split_at(12);
        if len.first() == Some(&0) {
            break;
        }
        let piece = |field| number(field).and_then(|n| u64::try_from(n).ok()).ok_or_else(bad_sparse_map);
        if segments.len() == SEGMENTS_MAX {
            return Err(too_many_segments());
        }
        segments.push(Segment { offset: piece(offset)?, len: piece(len)? });
    }
    Ok(())
}

/// A sparse file whose pieces stand in order within its size and together are what is stored.
fn checked_sparse(size: u64, segments: Vec<Segment>, stored: u64) -> Result<Kind, Fault> {
    let mut end = 0;
    let mut sum = 0_u64;
    for Segment { offset, len } in &segments {
        if *offset < end {
            return Err(bad_sparse_map());
        }
        end = offset.checked_add(*len).filter(|end| *end <= size).ok_or_else(bad_sparse_map)?;
        sum += len;
    }
    if sum == stored { Ok(Kind::File { size, segments }) } else { Err(bad_sparse_map()) }
}

fn bad_sparse_map() -> Fault {
    Fault::Damaged("has a sparse file whose map is malformed".to_owned())
}

fn too_many_segments() -> Fault {
    Fault::Damaged(format!("has a sparse file of more than {SEGMENTS_MAX} pieces"))
}
