//! Blobs by their digest: manifests, configurations, compressed layers. A blob that is there is whole, and what its name says,
//! after a power cut, too: the disk has what is in it before its name.
//!
//! ```text
//! content/sha256/HEX      a blob
//! content/partial/HEX     a blob on its way; its file is locked (flock) by who brings it, and stays to be gone on with
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use error::{Corrupt, Doing, Refused, Result};
use oci::image::{Descriptor, Digest};
use rustix::fs::{FlockOperation, flock};

use crate::digest::{Hasher, sha256};

/// The longest document that is read: registries take manifests of at most 4 MiB, distribution-spec 1.1 "Pushing Manifests".
pub const DOCUMENT_MAX: u64 = 4 << 20;
/// What is read of a file at once.
const PIECE: usize = 256 << 10;

/// The blobs below a folder.
#[derive(Debug, Clone)]
pub struct Content {
    folder: PathBuf,
}

/// What there is of a blob that is wanted.
#[derive(Debug)]
pub enum Begun {
    /// All of it.
    Whole(File),
    /// A part, maybe none: the rest is to be brought.
    Partial(Box<Incoming>),
}

/// A blob on its way, which nobody else brings while this value lives.
#[derive(Debug)]
pub struct Incoming {
    content: Content,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    written: u64,
    expected: Descriptor,
}

/// A blob that has come and is what was announced. It is not visible yet, and nobody else brings it while this value lives.
#[derive(Debug)]
pub struct Arrived {
    to: PathBuf,
    file: File,
    path: PathBuf,
}

impl Content {
    /// The blobs below a folder, which need not be there.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a blob is, if it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("sha256")
    }

    fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    /// Whether it is there.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// A blob to be read; `None` where it is not there.
    ///
    /// # Errors
    /// A kernel error.
    pub fn open(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).doing(|| format!("open {}", path.display())),
        }
    }

    /// A document, of which it is seen that it is what its name says; `None` where it is not there.
    ///
    /// # Errors
    /// Corrupt; a kernel error.
    pub fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(digest)? else { return Ok(None) };
        let path = self.path(digest);
        let mut bytes = Vec::new();
        file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes).doing(|| format!("read {}", path.display()))?;
        if sha256(&bytes) != *digest {
            return Err(Corrupt::new(path.display().to_string(), "is not what its name says").into());
        }
        Ok(Some(bytes))
    }

    /// Keeps a document.
    ///
    /// # Errors
    /// A kernel error; `ENOSPC` on a full disk.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = sha256(bytes);
        let size = bytes.len() as u64;
        if let Begun::Partial(mut incoming) = self.begin(&Descriptor::new("", digest.clone(), size))? {
            incoming.begin_anew()?;
            incoming.write(bytes)?;
            incoming.finish()?;
        }
        Ok(digest)
    }

    /// What there is of a blob. Waits for whoever brings it just now.
    ///
    /// # Errors
    /// A kernel error.
    pub fn begin(&self, wanted: &Descriptor) -> Result<Begun> {
        let path = self.partial().join(wanted.digest.hex());
        let action = || format!("open {}", path.display());
        loop {
            if let Some(file) = self.open(&wanted.digest)? {
                return Ok(Begun::Whole(file));
            }
            let mut options = OpenOptions::new();
            let opened = options.read(true).append(true).create(true).mode(0o600).open(&path);
            let file = match opened {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.make_folders()?;
                    continue;
                }
                opened => opened.doing(action)?,
            };
            flock(&file, FlockOperation::LockExclusive).doing(|| format!("lock {}", path.display()))?;
            // Whoever had it may have finished or removed it meanwhile.
            let found = file.metadata().doing(action)?;
            let is_there =
                fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (found.dev(), found.ino()));
            if !is_there {
                continue;
            }
            // Or it was finished before this file was made anew.
            if let Some(whole) = self.open(&wanted.digest)? {
                remove_file(&path)?;
                return Ok(Begun::Whole(whole));
            }
            let (content, expected) = (self.clone(), wanted.clone());
            let mut incoming =
                Box::new(Incoming { content, file, path, hasher: Hasher::default(), written: 0, expected });
            if found.len() > wanted.size {
                incoming.begin_anew()?;
            }
            return Ok(Begun::Partial(incoming));
        }
    }

    fn make_folders(&self) -> Result<()> {
        for folder in [self.blobs(), self.partial()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .doing(|| format!("create {}", folder.display()))?;
        }
        Ok(())
    }

    /// Begins a blob whose digest is not known yet.
    ///
    /// # Errors
    /// A kernel error.
    pub fn stage(&self) -> Result<Staged> {
        self.make_folders()?;
        let mut number = [0; 16];
        rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty()).doing(|| "draw a number")?;
        let path = self.partial().join(format!(".{:032x}", u128::from_ne_bytes(number)));
        let action = || format!("create {}", path.display());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).doing(action)?;
        flock(&file, FlockOperation::LockExclusive).doing(action)?;
        Ok(Staged { content: self.clone(), file, path, hasher: Hasher::default() })
    }

    /// The digests of all blobs, with their sizes in bytes.
    ///
    /// # Errors
    /// A kernel error.
    pub fn all(&self) -> Result<Vec<(Digest, u64)>> {
        let mut all = Vec::new();
        for (name, size) in files(&self.blobs())? {
            all.extend(Digest::of_hex(&name).map(|digest| (digest, size)));
        }
        Ok(all)
    }

    /// Removes a blob. Gives how many bytes it had.
    ///
    /// # Errors
    /// A kernel error.
    pub fn remove(&self, digest: &Digest) -> Result<u64> {
        remove_file(&self.path(digest))
    }

    /// Removes what was begun and nobody is bringing. Gives how many bytes that was.
    ///
    /// # Errors
    /// A kernel error.
    pub fn remove_partial(&self) -> Result<u64> {
        let mut freed = 0;
        for (name, _) in files(&self.partial())? {
            let path = self.partial().join(name);
            let Ok(file) = File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                freed += remove_file(&path)?;
            }
        }
        Ok(freed)
    }

    /// Reads every blob. Gives those that are not what their names say.
    ///
    /// # Errors
    /// A kernel error.
    pub fn damaged(&self) -> Result<Vec<Digest>> {
        let mut damaged = Vec::new();
        for (digest, _) in self.all()? {
            let Some(mut file) = self.open(&digest)? else { continue };
            let mut hasher = Hasher::default();
            read_all(&mut file, &self.path(&digest), |piece| {
                hasher.update(piece);
                Ok(())
            })?;
            if hasher.finish() != digest {
                damaged.push(digest);
            }
        }
        Ok(damaged)
    }
}

/// A blob whose digest is known when all of it has been written.
#[derive(Debug)]
pub struct Staged {
    content: Content,
    file: File,
    path: PathBuf,
    hasher: Hasher,
}

impl Staged {
    /// Adds the next bytes.
    ///
    /// # Errors
    /// A kernel error; `ENOSPC` on a full disk.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.hasher.update(piece);
        self.file.write_all(piece).doing(|| format!("write {}", self.path.display()))
    }

    /// The digest of what was written.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Makes it visible, as soon as the disk has it.
    ///
    /// # Errors
    /// A kernel error.
    pub fn keep(&self) -> Result<()> {
        let to = self.content.path(&self.digest());
        self.file.sync_data().doing(|| format!("write {} to disk", self.path.display()))?;
        fs::rename(&self.path, &to).doing(|| format!("rename {} to {}", self.path.display(), to.display()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Incoming {
    /// Hands on what was brought before, piece by piece. Gives how much that is, in bytes.
    ///
    /// # Errors
    /// A kernel error; what `each` gives.
    pub fn replay(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        let Self { file, path, hasher, written, .. } = self;
        read_all(file, path, |piece| {
            hasher.update(piece);
            *written += piece.len() as u64;
            each(piece)
        })?;
        Ok(self.written)
    }

    /// Forgets what was brought before.
    ///
    /// # Errors
    /// A kernel error.
    pub fn begin_anew(&mut self) -> Result<()> {
        self.file.set_len(0).doing(|| format!("empty {}", self.path.display()))?;
        (self.hasher, self.written) = (Hasher::default(), 0);
        Ok(())
    }

    /// How much is there, in bytes.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// Refused where that is more than was to come; a kernel error; `ENOSPC` on a full disk.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.written += piece.len() as u64;
        if self.written > self.expected.size {
            return Err(self.refuse(format!("is longer than the {} bytes that were announced", self.expected.size)));
        }
        self.hasher.update(piece);
        self.file.write_all(piece).doing(|| format!("write {}", self.path.display()))
    }

    /// Makes the blob visible, if it is what was announced; else nothing of it stays.
    ///
    /// # Errors
    /// Refused where its size or digest is another; a kernel error.
    pub fn finish(self) -> Result<()> {
        self.arrive()?.keep()
    }

    /// Sees that all has come and is what was announced; else nothing of it stays.
    ///
    /// # Errors
    /// Refused where its size or digest is another.
    pub fn arrive(self) -> Result<Arrived> {
        if self.written < self.expected.size {
            let reason = format!("ended after {} of {} bytes", self.written, self.expected.size);
            let refused = Refused::new("the blob", self.expected.digest.to_string(), reason);
            return Err(refused.hint("try again: what has come stays").into());
        }
        let found = self.hasher.clone().finish();
        if found != self.expected.digest {
            return Err(self.refuse(format!("is not what was sent for it, which is {found}")));
        }
        Ok(Arrived { to: self.content.path(&self.expected.digest), file: self.file, path: self.path })
    }

    /// What was sent is no part of what was announced: nothing of it is gone on with.
    fn refuse(&self, reason: String) -> error::Error {
        let _ = fs::remove_file(&self.path);
        let hint = "try again; if it stays so, the registry or something on the way to it changes what it sends";
        Refused::new("the blob", self.expected.digest.to_string(), reason).hint(hint).into()
    }
}

impl Arrived {
    /// A descriptor of it.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// It, to be read from its beginning on.
    ///
    /// # Errors
    /// A kernel error.
    pub fn open(&self) -> Result<File> {
        File::open(&self.path).doing(|| format!("open {}", self.path.display()))
    }

    /// Makes it visible, as soon as the disk has it.
    ///
    /// # Errors
    /// A kernel error.
    pub fn keep(self) -> Result<()> {
        self.file.sync_data().doing(|| format!("write {} to disk", self.path.display()))?;
        self.show()
    }

    /// Makes it visible: the caller knows that the disk has it.
    ///
    /// # Errors
    /// A kernel error.
    pub fn show(self) -> Result<()> {
        let Self { to, path, .. } = &self;
        fs::rename(path, to).doing(|| format!("rename {} to {}", path.display(), to.display()))
    }
}

fn read_all(file: &mut File, path: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => each(piece.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing(|| format!("read {}", path.display())),
        }
    }
}

/// The files of a folder with their sizes; none where it is not there.
fn files(folder: &Path) -> Result<Vec<(String, u64)>> {
    let action = || format!("list {}", folder.display());
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.doing(action)?,
    };
    let mut files = Vec::new();
    for entry in listed {
        let entry = entry.doing(action)?;
        let Ok(found) = entry.metadata() else { continue };
        files.extend(entry.file_name().into_string().ok().map(|name| (name, found.len())));
    }
    Ok(files)
}

fn remove_file(path: &Path) -> Result<u64> {
    let action = || format!("remove {}", path.display());
    let removed = fs::metadata(path).and_then(|found| fs::remove_file(path).map(|()| found.len()));
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        removed => removed.doing(action),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> (tempfile::TempDir, Content) {
        let folder = tempfile::tempdir().unwrap();
        let content = Content::at(folder.path().join("content"));
        (folder, content)
    }

    fn wanted(bytes: &[u8]) -> Descriptor {
        Descriptor::new("", sha256(bytes), bytes.len() as u64)
    }

    fn partial(content: &Content, wanted: &Descriptor) -> Box<Incoming> {
        match content.begin(wanted).unwrap() {
            Begun::Partial(incoming) => incoming,
            Begun::Whole(_) => panic!("it is whole"),
        }
    }

    #[test]
    fn what_was_broken_off_is_gone_on_with() {
        let (_folder, content) = content();
        let all = wanted(b"hello, world");
        partial(&content, &all).write(b"hello").unwrap();
        assert!(!content.has(&all.digest));
        let mut incoming = partial(&content, &all);
        let mut before = Vec::new();
        let replayed = incoming.replay(|piece| {
            before.extend_from_slice(piece);
            Ok(())
        });
        assert_eq!(replayed.unwrap(), 5);
        assert_eq!(before, b"hello");
        incoming.write(b", world").unwrap();
        incoming.finish().unwrap();
        assert_eq!(content.document(&all.digest).unwrap().unwrap(), b"hello, world");
        assert!(matches!(content.begin(&all).unwrap(), Begun::Whole(_)));
        assert_eq!(content.all().unwrap(), [(all.digest.clone(), 12)]);
        assert_eq!(content.remove(&all.digest).unwrap(), 12);
        assert!(content.all().unwrap().is_empty());
    }

    #[test]
    fn what_is_something_else_never_becomes_visible() {
        let (_folder, content) = content();
        let all = wanted(b"hello");
        let mut incoming = partial(&content, &all);
        incoming.write(b"hullo").unwrap();
        assert!(incoming.finish().unwrap_err().to_string().contains("is not what was sent for it"));
        let mut incoming = partial(&content, &all);
        assert_eq!(incoming.replay(|_| Ok(())).unwrap(), 0, "nothing of it stays");
        assert!(incoming.write(b"hello, world").unwrap_err().to_string().contains("is longer than the 5 bytes"));
        let mut incoming = partial(&content, &all);
        incoming.write(b"hel").unwrap();
        assert!(incoming.finish().unwrap_err().to_string().contains("ended after 3 of 5 bytes"));
        assert!(!content.has(&all.digest));
        assert_eq!(content.remove_partial().unwrap(), 3);
    }

    #[test]
    fn who_wants_what_another_brings_waits_and_has_it() {
        let (_folder, content) = content();
        let all = wanted(b"hello");
        let mut incoming = partial(&content, &all);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| matches!(content.begin(&all).unwrap(), Begun::Whole(_)));
            incoming.write(b"hello").unwrap();
            incoming.finish().unwrap();
            assert!(other.join().unwrap());
        });
        assert!(content.damaged().unwrap().is_empty());
        fs::write(content.path(&all.digest), "hullo").unwrap();
        assert_eq!(content.damaged().unwrap(), [all.digest]);
    }
}
