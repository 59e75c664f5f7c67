//! Archives of images, as `docker save` and `podman save` write them: a tar of blobs and of the documents that name them; and
//! folders with such files.
//!
//! Archives are read in one pass, from a pipe as well: what is large goes to the content store as it comes, under the digest that
//! it turns out to have; what is small is kept in memory. What it all means is for whoever reads the documents.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use error::{Doing, Refused, Result};
use oci::image::Digest;

use crate::compression::Decompressed;
use crate::content::{Content, DOCUMENT_MAX, Staged};
use crate::digest::{Hasher, sha256};
use crate::pack;
use crate::tar::{Content as _, EndMark, Fault, Kind, Reader};
use crate::unpack::unreadable_error;

/// Files up to this many bytes are kept in memory, as long as all of them together take no more than [`MEMORY_MAX`].
const SMALL: u64 = 256 << 10;
const MEMORY_MAX: u64 = 16 << 20;
/// The most files of an archive: an image has at most a thousand layers, and some writers make three files a layer.
const MEMBERS_MAX: usize = 100_000;
const PIECE: u64 = 256 << 10;

/// What an archive of images held.
#[derive(Debug, Default)]
pub struct Archive {
    members: BTreeMap<String, Member>,
    /// Names that stand for other names.
    links: BTreeMap<String, String>,
}

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are.
    pub held: Held,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub enum Held {
    /// Here, and they have its digest.
    Memory(Vec<u8>),
    /// In the content store, under its digest.
    Content,
    /// In a file that is called by its digest: whoever reads it sees whether it has that.
    File(PathBuf),
}

impl Member {
    /// The whole of a small one, of which it is seen that it is what its name says.
    ///
    /// # Errors
    /// Refused where it is not, or where it is none; corrupt; a kernel error.
    pub fn document(&self, content: &Content) -> Result<Vec<u8>> {
        let bytes = match &self.held {
            Held::Memory(bytes) => return Ok(bytes.clone()),
            Held::Content => content.document(&self.digest)?,
            Held::File(path) => Some(read_document(path)?),
        };
        match bytes {
            Some(bytes) if sha256(&bytes) == self.digest => Ok(bytes),
            _ => Err(Refused::new("the blob", self.digest.to_string(), "is not what its name says").into()),
        }
    }

    /// Its bytes, from the first one on.
    ///
    /// # Errors
    /// Refused where they are gone; a kernel error.
    pub fn open(&self, content: &Content) -> Result<Box<dyn Read + '_>> {
        let gone = || Refused::new("the blob", self.digest.to_string(), "is gone");
        Ok(match &self.held {
            Held::Memory(bytes) => Box::new(bytes.as_slice()),
            Held::Content => Box::new(content.open(&self.digest)?.ok_or_else(gone)?),
            Held::File(path) => Box::new(File::open(path).doing(|| format!("open {}", path.display()))?),
        })
    }
}

impl Archive {
    /// Reads an archive, plain or compressed. `keep` is given each blob that is whole, to say that it is wanted before it
    /// becomes visible.
    ///
    /// # Errors
    /// Refused for what is no such archive; a kernel error.
    pub fn read(tar: impl Read, content: &Content, mut keep: impl FnMut(Staged) -> Result<()>) -> Result<Self> {
        let source = Decompressed::detect(tar).map_err(|unreadable| unreadable_error("", unreadable))?;
        let mut reader = Reader::new(source, EndMark::NotNeeded);
        let mut archive = Self::default();
        let mut in_memory = 0;
        while let Some(entry) = reader.next().map_err(damaged)? {
            let Some(name) = clean(&entry.name) else { continue };
            if archive.members.len() + archive.links.len() >= MEMBERS_MAX {
                return Err(refused(format!("has more than {MEMBERS_MAX} files")));
            }
            match entry.kind {
                Kind::File { size, segments } => {
                    if segments.iter().map(|segment| segment.len).sum::<u64>() != size {
                        return Err(refused(format!("has a sparse file, {name}")));
                    }
                    let member = if size <= SMALL && in_memory + size <= MEMORY_MAX {
                        in_memory += size;
                        small(&mut reader, size)?
                    } else {
                        large(&mut reader, size, content, &mut keep)?
                    };
                    archive.members.insert(name, member);
                }
                Kind::Symlink { target } => archive.link(&name, &String::from_utf8_lossy(&target)),
                Kind::HardLink { target } => {
                    if let Some(target) = clean(&target) {
                        archive.links.insert(name, target);
                    }
                }
                _ => {}
            }
        }
        Ok(archive)
    }

    /// The files of a folder: an OCI layout, or a manifest with its blobs beside it.
    ///
    /// # Errors
    /// Refused where it has too many; a kernel error.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let mut archive = Self::default();
        for (name, path, size) in files(folder)? {
            let member = match Digest::of_hex(&name) {
                Some(digest) => Member { digest, size, held: Held::File(path) },
                None if size <= DOCUMENT_MAX => {
                    let bytes = read_document(&path)?;
                    Member { digest: sha256(&bytes), size, held: Held::Memory(bytes) }
                }
                None => continue,
            };
            archive.members.insert(name, member);
        }
        for (name, path, size) in files(&folder.join("blobs/sha256"))? {
            let Some(digest) = Digest::of_hex(&name) else { continue };
            archive.members.insert(format!("blobs/sha256/{name}"), Member { digest, size, held: Held::File(path) });
        }
        Ok(archive)
    }

    /// A symbolic link leads from where it stands.
    fn link(&mut self, name: &str, target: &str) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        self.links.insert(name.to_owned(), parts.join("/"));
    }

    /// The file of this name, wherever links lead.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        let mut name = name.trim_start_matches("./");
        for _ in 0..8 {
            if let Some(member) = self.members.get(name) {
                return Some(member);
            }
            name = self.links.get(name)?;
        }
        None
    }

    /// The file with this digest.
    #[must_use]
    pub fn by_digest(&self, digest: &Digest) -> Option<&Member> {
        self.members.values().find(|member| member.digest == *digest)
    }
}

/// The files of a folder, with their sizes in bytes; one that is not there has none.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf, u64)>> {
    let action = || format!("list {}", folder.display());
    let listed = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        listed => listed.doing(action)?,
    };
    let mut files = Vec::new();
    for entry in listed.take(MEMBERS_MAX + 1) {
        let entry = entry.doing(action)?;
        let found = entry.metadata().doing(action)?;
        if found.is_file() {
            files.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path(), found.len())));
        }
    }
    if files.len() > MEMBERS_MAX {
        return Err(Refused::new(
            "the folder",
            folder.display().to_string(),
            format!("has more than {MEMBERS_MAX} files"),
        )
        .into());
    }
    Ok(files)
}

fn read_document(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes));
    read.doing(|| format!("read {}", path.display()))?;
    Ok(bytes)
}

/// Its name from the archive's root on; `None` for the root itself and for what is not text.
fn clean(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.trim_start_matches("./").trim_matches('/');
    (!name.is_empty()).then(|| name.to_owned())
}

fn small<R: Read>(reader: &mut Reader<R>, size: u64) -> Result<Member> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        bytes.extend_from_slice(reader.content(size - bytes.len() as u64).map_err(damaged)?);
    }
    Ok(Member { digest: sha256(&bytes), size, held: Held::Memory(bytes) })
}

fn large<R: Read>(
    reader: &mut Reader<R>,
    size: u64,
    content: &Content,
    keep: &mut impl FnMut(Staged) -> Result<()>,
) -> Result<Member> {
    let mut staged = content.stage()?;
    let mut left = size;
    while left > 0 {
        let piece = reader.content(left.min(PIECE)).map_err(damaged)?;
        left -= piece.len() as u64;
        staged.write(piece)?;
    }
    let digest = staged.digest();
    keep(staged)?;
    Ok(Member { digest, size, held: Held::Content })
}

fn damaged(fault: Fault) -> error::Error {
    match fault {
        Fault::Read(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof => refused("is truncated".to_owned()),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => refused(format!("is damaged: {error}")),
            _ => Err::<(), _>(error).doing(|| "read the archive").err().unwrap_or_else(|| refused(String::new())),
        },
        Fault::Truncated => refused("is truncated".to_owned()),
        Fault::Source(error) => error,
        Fault::Damaged(reason) => refused(reason),
    }
}

fn refused(reason: String) -> error::Error {
    Refused::new("the archive", "", reason)
        .hint("give one that docker save, podman save or carboy save has written")
        .into()
}

/// An archive that is being written.
pub struct Writer<'o> {
    archive: pack::Archive<'o>,
}

impl<'o> Writer<'o> {
    /// To there.
    pub fn new(out: &'o mut dyn Write) -> Self {
        Self { archive: pack::Archive::new(out) }
    }

    /// Adds a file of so many bytes.
    ///
    /// # Errors
    /// A kernel error; `EIO` where it has fewer bytes.
    pub fn file(&mut self, name: &str, size: u64, from: impl Read) -> Result<()> {
        self.archive.file(name, size, from)
    }

    /// Ends it.
    ///
    /// # Errors
    /// A kernel error.
    pub fn end(self) -> Result<()> {
        self.archive.end().map(drop)
    }
}

/// The digest of a layer's archive when it is not compressed, and whether it is compressed with gzip.
///
/// # Errors
/// Refused for what cannot be decompressed; a kernel error.
pub fn diff_id(archive: impl Read) -> Result<(Digest, Packing)> {
    let mut source = Decompressed::detect(archive).map_err(|unreadable| unreadable_error("", unreadable))?;
    let packing = match &source {
        Decompressed::Plain(_) => Packing::Plain,
        Decompressed::Gzip(_) => Packing::Gzip,
        Decompressed::Zstd(_) => Packing::Zstd,
    };
    let mut hasher = Hasher::new();
    io::copy(&mut source, &mut hasher).doing(|| "read the archive")?;
    Ok((hasher.finish(), packing))
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}
