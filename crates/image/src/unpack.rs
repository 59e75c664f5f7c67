//! Archives unpacked into a directory, by descriptors: nothing that an archive says reaches outside of it.
//!
//! A parent directory is resolved within the new root with openat2(2) `RESOLVE_IN_ROOT`, so a symbolic link in it leads where
//! it would lead inside a container. The last component is never followed. Owners are numeric; a layer's
//! whiteouts (`.wh.`) are plain files here.

mod lower;
mod merged;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::rc::Rc;

use error::{Doing, Error, Kernel, Refused, RefusedKind, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::fs::{chmodat, chownat, fchmod, fchown, fsetxattr, fstat, ftruncate, futimens, linkat, makedev, mkdirat};
use rustix::fs::{mknodat, openat, openat2, statat, symlinkat, unlinkat, utimensat};
use rustix::io::{Errno, pwrite};

use crate::compression::{Decompressed, Unreadable};
use crate::remove::remove_tree;
use crate::tar::{Content, EndMark, Entry, Fault, Kind, Reader};

pub(crate) use self::lower::{HardLink, Lower};
pub(crate) use self::merged::Merged;

/// The longest path of an entry: PATH_MAX of <linux/limits.h> without its NUL.
const PATH_MAX: usize = 4095;
/// Attributes of directories are kept in memory until all is unpacked: bytes of them.
const DIRECTORY_XATTRS_MAX: usize = 4 << 20;
/// So are the paths of a layer's directories, and of what it leaves to those below: bytes of them, with what is known of
/// each.
const PATHS_MAX: usize = 128 << 20;
/// About as much is known of a path beside itself.
const BESIDE_PATH: usize = 128;

/// What an archive held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries that were made.
    pub entries: u64,
    /// Bytes of file content that were written; holes are not counted.
    pub bytes: u64,
    /// What was left out, the first [`Unpacked::SKIPPED_LISTED`] of it.
    pub skipped: Vec<Skipped>,
    /// How many more were left out than `skipped` lists.
    pub skipped_unlisted: u64,
}

impl Unpacked {
    /// As many left out entries are listed: an archive must not fill the memory with them.
    pub const SKIPPED_LISTED: usize = 256;
}

/// Something that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The entry's path from the root on, without a leading slash.
    pub entry: OsString,
    /// What of it.
    pub what: SkippedWhat,
}

/// The part of an entry that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkippedWhat {
    /// A character device that is not one of the harmless standard ones, or any where the kernel forbids to make one.
    CharacterDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A hard link to something that was left out.
    HardLink {
        /// The path that it links to.
        target: OsString,
    },
    /// An extended attribute other than `security.capability`, `user.*` and POSIX access lists, or one that this file
    /// system or this kind of file cannot have.
    Xattr {
        /// Its name: `trusted.overlay.opaque`.
        name: OsString,
    },
}

/// Unpacks a tar archive, plain or compressed with gzip or zstd, into the directory `into`.
///
/// Entries that are there already are replaced. Without an entry for the root itself, `into` keeps its mode and owner.
/// After an error the directory holds what was unpacked so far; the caller removes it.
///
/// # Errors
/// `Refused` if the archive is damaged, truncated, not a tar archive, or has an entry that leaves the root. `Kernel` if it
/// cannot be read, or an entry cannot be made.
pub fn unpack(archive: impl Read, into: BorrowedFd<'_>) -> Result<Unpacked> {
    unpack_named((archive, ""), into, Unpacking::default())
}

/// The same over what is there already, as [`Unpacking`] says.
///
/// # Errors
/// Those of [`unpack`].
pub fn unpack_over(archive: impl Read, into: BorrowedFd<'_>, unpacking: Unpacking<'_>) -> Result<Unpacked> {
    unpack_named((archive, ""), into, unpacking)
}

/// Unpacks the archive file `path`, as [`unpack`] does; its path stands in the errors.
///
/// # Errors
/// Those of [`unpack`], and `Kernel` if the file cannot be opened.
pub fn unpack_file(path: &Path, into: BorrowedFd<'_>) -> Result<Unpacked> {
    let file = File::open(path).doing(|| format!("open the archive {}", path.display()))?;
    unpack_named((file, &path.display().to_string()), into, Unpacking::default())
}

fn unpack_named(
    (archive, name): (impl Read, &str),
    into: BorrowedFd<'_>,
    unpacking: Unpacking<'_>,
) -> Result<Unpacked> {
    let source = Decompressed::detect(archive).map_err(|unreadable| unreadable_error(name, unreadable))?;
    let mut reader = Reader::new(source, EndMark::Needed);
    let mut unpacker = Unpacker::new(into, name, unpacking)?;
    while let Some(entry) = reader.next().map_err(|fault| unpacker.fault(fault))? {
        unpacker.make(&entry, &mut reader)?;
    }
    reader.finish().map_err(|fault| unpacker.fault(fault))?;
    unpacker.finish()
}

/// How entries become files.
#[derive(Clone, Copy, Default)]
pub struct Unpacking<'a> {
    /// What an entry may take the place of.
    pub replaces: Replaces,
    /// From the owner and group of an entry to those of its file; as they are written if `None`.
    pub owners: Option<&'a Owners<'a>>,
}

/// From a user and a group to those that take their place.
pub type Owners<'a> = dyn Fn((u32, u32)) -> (u32, u32) + 'a;

/// What an entry may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replaces {
    /// Whatever is there.
    #[default]
    Anything,
    /// A directory may that of a directory, and everything else that of what is none.
    ItsLike,
}

/// What a directory gets when all is unpacked: its mode must not stop the making of what is in it, nor that its time.
struct Directory {
    mode: u32,
    owner: (u32, u32),
    /// None for a parent that has no entry of its own.
    mtime: Option<Timespec>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(crate) struct Unpacker<'a> {
    archive: &'a str,
    unpacking: Unpacking<'a>,
    root: Rc<OwnedFd>,
    /// The directory of the last entry.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    directories: BTreeMap<Vec<u8>, Directory>,
    /// Bytes of the attributes in `directories`.
    directory_xattrs: usize,
    /// Bytes of the paths that are kept.
    paths: usize,
    /// The owner that new files have without being told, where that is certain.
    own: Option<(u32, u32)>,
    form: Form,
    /// The entry being made, for errors.
    current: Vec<u8>,
    unpacked: Unpacked,
}

/// What an archive is of.
pub(crate) enum Form {
    /// A whole root.
    Root,
    /// A layer, and nothing of those below it is there.
    Lower(Lower),
    /// A layer, and what lies below it is there and changes.
    Merged(Merged),
}

/// Where an entry is made.
struct Place<'a> {
    parent: Rc<OwnedFd>,
    /// The last component.
    name: &'a [u8],
    /// The whole path.
    path: &'a [u8],
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(into: BorrowedFd<'_>, archive: &'a str, unpacking: Unpacking<'a>) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let action = || "open the directory to unpack into";
        let root = openat(into, ".", flags, Mode::empty()).doing(action)?;
        let own = own_owner(&root).doing(action)?;
        Ok(Self {
            archive,
            unpacking,
            root: Rc::new(root),
            parent: None,
            directories: BTreeMap::new(),
            directory_xattrs: 0,
            paths: 0,
            own,
            form: Form::Root,
            current: Vec::new(),
            unpacked: Unpacked::default(),
        })
    }

    pub(crate) fn make(&mut self, entry: &Entry, reader: &mut impl Content) -> Result<()> {
        let owned;
        let entry = match self.unpacking.owners {
            None => entry,
            Some(owners) => {
                let (uid, gid) = owners((entry.uid, entry.gid));
                owned = Entry { uid, gid, ..entry.clone() };
                &owned
            }
        };
        self.current.clone_from(&entry.name);
        let path = self.checked(&entry.name)?;
        if entry.uid == u32::MAX || entry.gid == u32::MAX {
            return Err(self.refuse_entry("has the owner 4294967295, which no file can have"));
        }
        if let Form::Merged(merged) = &mut self.form {
            merged.entry(&path);
            self.keep_path(&path)?;
        }
        if path.is_empty() {
            return self.make_root(entry);
        }
        let (above, name) = split(&path);
        let place = Place { parent: self.parent(above)?, name, path: &path };
        let made = match &entry.kind {
            Kind::File { .. } => self.make_file(entry, &place, reader)?,
            Kind::Directory => self.make_directory(entry, &place)?,
            Kind::Symlink { target } => self.make_symlink(entry, &place, target)?,
            Kind::HardLink { target } => self.make_hard_link(&place, target)?,
            Kind::Fifo => self.make_node(entry, &place, FileType::Fifo, 0)?,
            Kind::CharacterDevice { major, minor } => self.make_character_device(entry, &place, (*major, *minor))?,
            Kind::BlockDevice { major, minor } => self.make_block_device(entry, &place, (*major, *minor))?,
        };
        if made == Made::Whole {
            self.unpacked.entries += 1;
        }
        Ok(())
    }

    fn make_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(self.refuse_entry("is the root and no directory"));
        }
        self.finish_later(b"", entry)?;
        self.unpacked.entries += 1;
        Ok(())
    }

    fn make_file(&mut self, entry: &Entry, place: &Place<'_>, reader: &mut impl Content) -> Result<Made> {
        let Kind::File { size, segments } = &entry.kind else { return Ok(Made::Skipped) };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.create(place, || openat(&place.parent, place.name, flags, Mode::RUSR | Mode::WUSR))?;
        let len: u64 = segments.iter().map(|segment| segment.len).sum();
        let is_shared = len > 0 && reader.share_with(file.as_fd());
        if is_shared {
            self.unpacked.bytes += len;
        }
        let mut end = if is_shared { *size } else { 0 };
        for segment in segments.iter().filter(|_| !is_shared) {
            let mut offset = segment.offset;
            end = segment.offset.saturating_add(segment.len);
            while offset < end {
                let piece = reader.content(end - offset).map_err(|fault| self.fault(fault))?;
                let written = piece.len() as u64;
                write_at(&file, piece, offset).map_err(|errno| self.failed("write", errno))?;
                offset += written;
                self.unpacked.bytes += written;
            }
        }
        if !is_shared && (end < *size || segments.last().is_some_and(|last| last.len == 0) && *size > 0) {
            ftruncate(&file, *size).map_err(|errno| self.failed("set the size of", errno))?;
        }
        self.set_attributes(&file, place.path, &Directory::of(entry))?;
        Ok(Made::Whole)
    }

    fn make_directory(&mut self, entry: &Entry, place: &Place<'_>) -> Result<Made> {
        match mkdirat(&place.parent, place.name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let there = statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW);
                let there = there.map_err(|errno| self.failed("look at", errno))?;
                if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
                    if self.unpacking.replaces == Replaces::ItsLike {
                        return Err(self.in_the_way("cannot overwrite non-directory with directory"));
                    }
                    self.clear(place)?;
                    mkdirat(&place.parent, place.name, Mode::RWXU).map_err(|errno| self.failed("make", errno))?;
                    self.took_the_place(place)?;
                }
            }
            Err(errno) => return Err(self.failed("make", errno)),
        }
        self.finish_later(place.path, entry)?;
        Ok(Made::Whole)
    }

    fn finish_later(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        self.directory_xattrs += entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if self.directory_xattrs > DIRECTORY_XATTRS_MAX {
            let reason = format!("and directories before it have more than {DIRECTORY_XATTRS_MAX} bytes of attributes");
            return Err(self.refuse_entry(&reason));
        }
        if let Form::Lower(lower) = &mut self.form {
            lower.implied.remove(path);
        }
        self.keep_path(path)?;
        self.directories.insert(path.to_vec(), Directory::of(entry));
        Ok(())
    }

    /// One more path of a layer is kept.
    fn keep_path(&mut self, path: &[u8]) -> Result<()> {
        self.paths += path.len() + BESIDE_PATH;
        if self.paths > PATHS_MAX && !matches!(self.form, Form::Root) {
            let reason = "and entries before it have more directories, removals and links to other layers than are kept in \
                          memory";
            return Err(self.refuse_entry(reason));
        }
        Ok(())
    }

    fn make_symlink(&mut self, entry: &Entry, place: &Place<'_>, target: &[u8]) -> Result<Made> {
        if target.contains(&0) {
            return Err(self.refuse_entry("links to a name with a NUL byte"));
        }
        self.create(place, || symlinkat(target, &place.parent, place.name))?;
        self.set_attributes_by_name(entry, place)?;
        Ok(Made::Whole)
    }

    fn make_hard_link(&mut self, place: &Place<'_>, target: &[u8]) -> Result<Made> {
        let target = self.checked(target)?;
        let (above, name) = split(&target);
        let from = match self.open_directory(above) {
            Err(Errno::NOENT | Errno::NOTDIR) => return self.unlinkable(place, target, Errno::NOENT),
            from => from.map_err(|errno| self.failed("link", errno))?,
        };
        if matches!(self.form, Form::Lower(_))
            && matches!(statat(&from, name, AtFlags::SYMLINK_NOFOLLOW), Ok(there) if is_whiteout(&there))
        {
            return self.unlinkable(place, target, Errno::NOENT);
        }
        let link = || linkat(&from, name, &place.parent, place.name, AtFlags::empty());
        let linked = match link() {
            Err(Errno::EXIST) if same_file((&from, name), (&place.parent, place.name)) => Ok(()),
            Err(Errno::EXIST) => {
                statat(&from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| self.failed("link", errno))?;
                self.clear(place)?;
                link()
            }
            linked => linked,
        };
        match linked {
            Ok(()) => Ok(Made::Whole),
            Err(errno) => self.unlinkable(place, target, errno),
        }
    }

    /// A hard link that cannot be made: left out if its target was, else an error.
    fn unlinkable(&mut self, place: &Place<'_>, target: Vec<u8>, errno: Errno) -> Result<Made> {
        let target = OsString::from_vec(target);
        let left_out =
            |skipped: &Skipped| skipped.entry == target && !matches!(skipped.what, SkippedWhat::Xattr { .. });
        if errno == Errno::NOENT && self.unpacked.skipped.iter().any(left_out) {
            self.skip(place.path, SkippedWhat::HardLink { target });
            return Ok(Made::Skipped);
        }
        if matches!(self.form, Form::Lower(_)) && errno == Errno::NOENT {
            return self.link_later(place, target.into_vec());
        }
        if errno == Errno::PERM {
            self.is_linked_to(target.as_bytes())?;
        }
        Err(self.failed(&format!("make the hard link to {} at", shown(target.as_bytes())), errno))
    }

    fn make_character_device(&mut self, entry: &Entry, place: &Place<'_>, device: (u32, u32)) -> Result<Made> {
        let (major, minor) = device;
        if self.makes_device(device) {
            match self.make_node(entry, place, FileType::CharacterDevice, makedev(major, minor)) {
                Err(Error::Kernel(error)) if error.errno == Errno::PERM => {}
                made => return made,
            }
        }
        self.skip(place.path, SkippedWhat::CharacterDevice { major, minor });
        Ok(Made::Skipped)
    }

    fn make_block_device(&mut self, entry: &Entry, place: &Place<'_>, (major, minor): (u32, u32)) -> Result<Made> {
        if !matches!(self.form, Form::Root) {
            match self.make_node(entry, place, FileType::BlockDevice, makedev(major, minor)) {
                Err(Error::Kernel(error)) if error.errno == Errno::PERM => {}
                made => return made,
            }
        }
        self.skip(place.path, SkippedWhat::BlockDevice { major, minor });
        Ok(Made::Skipped)
    }

    /// An image is made by whom its user trusts with a root, and a container may use no device that it was not given; the
    /// archive of a root comes from anywhere. 0:0 would be a whiteout.
    fn makes_device(&self, device: (u32, u32)) -> bool {
        match self.form {
            Form::Root => is_standard(device),
            Form::Lower(_) | Form::Merged(_) => device != (0, 0),
        }
    }

    fn make_node(&mut self, entry: &Entry, place: &Place<'_>, kind: FileType, device: u64) -> Result<Made> {
        self.create(place, || mknodat(&place.parent, place.name, kind, Mode::RUSR | Mode::WUSR, device))?;
        self.set_attributes_by_name(entry, place)?;
        // The name was just made here, and it is no symbolic link.
        chmodat(&place.parent, place.name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            .map_err(|errno| self.failed("set the mode of", errno))?;
        Ok(Made::Whole)
    }

    /// Does `make`, and once more when what stands in its place is removed.
    fn create<T>(&mut self, place: &Place<'_>, make: impl Fn() -> rustix::io::Result<T>) -> Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                make()
            }
            made => made,
        }
        .map_err(|errno| self.failed("make", errno))
    }

    /// Removes what an entry replaces, and forgets what was known of it.
    fn clear(&mut self, place: &Place<'_>) -> Result<()> {
        self.parent = None;
        match unlinkat(&place.parent, place.name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::ISDIR) if self.unpacking.replaces == Replaces::ItsLike => {
                Err(self.in_the_way("cannot overwrite directory with non-directory"))
            }
            Err(Errno::ISDIR) => {
                let (first, last) = ([place.path, b"/"].concat(), [place.path, b"0"].concat());
                let below: Vec<_> = self.directories.range(first..last).map(|(path, _)| path.clone()).collect();
                for path in below.iter().map(Vec::as_slice).chain([place.path]) {
                    self.directories.remove(path);
                    self.is_given_up(path)?;
                }
                remove_tree(place.parent.as_fd(), std::ffi::OsStr::from_bytes(place.name))
            }
            Err(errno) => Err(self.failed("replace", errno)),
        }
    }

    /// The directory `path`, made with its parents where it does not exist.
    fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if path.is_empty() {
            let root = Rc::clone(&self.root);
            self.keep_time(path, &root)?;
            return Ok(root);
        }
        match &self.parent {
            Some((last, parent)) if last == path => return Ok(Rc::clone(parent)),
            _ => {}
        }
        let opened = match self.open_directory(path) {
            Err(Errno::NOENT) => self.make_parents(path)?,
            Err(_) if matches!(self.form, Form::Lower(_)) => self.make_parents(path)?,
            opened => Rc::new(opened.map_err(|errno| self.failed("open the directory of", errno))?),
        };
        self.keep_time(path, &opened)?;
        self.parent = Some((path.to_vec(), Rc::clone(&opened)));
        Ok(opened)
    }

    fn make_parents(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([path.len()]);
        let mut above = Rc::new(self.open_directory(b"").map_err(|errno| self.failed("open the root for", errno))?);
        for end in ends {
            let prefix = path.get(..end).unwrap_or_default();
            let opened = match self.open_directory(prefix) {
                Ok(opened) => opened,
                Err(errno) => {
                    let place = Place { parent: Rc::clone(&above), name: split(prefix).1, path: prefix };
                    self.make_parent(&place, errno)?;
                    self.open_directory(prefix).map_err(|errno| self.failed("make the directory of", errno))?
                }
            };
            above = Rc::new(opened);
        }
        Ok(above)
    }

    /// Makes a directory without an entry of its own, where opening it gave `errno`.
    fn make_parent(&mut self, place: &Place<'_>, errno: Errno) -> Result<()> {
        self.keep_time(split(place.path).0, &place.parent)?;
        match mkdirat(&place.parent, place.name, Mode::RWXU) {
            Ok(()) => {
                self.keep_path(place.path)?;
                self.directories.insert(place.path.to_vec(), Directory::implied(self.own));
                self.implies(place)
            }
            Err(Errno::EXIST) if matches!(self.form, Form::Lower(_)) => self.make_parent_in_layer(place, errno),
            Err(Errno::EXIST) => Err(self.failed("make the directory of", errno)),
            Err(errno) => Err(self.failed("make the directory of", errno)),
        }
    }

    /// Opens a directory as a process would whose root is the new root.
    fn open_directory(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open_in_root(&self.root, path, flags)
    }

    fn set_attributes(&mut self, file: &OwnedFd, path: &[u8], attributes: &Directory) -> Result<()> {
        if self.own != Some(attributes.owner) {
            let (uid, gid) = attributes.owner;
            fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|errno| self.failed("set the owner of", errno))?;
        }
        for (name, value) in &attributes.xattrs {
            let set = if is_kept(name) {
                fsetxattr(file, name.as_slice(), value, XattrFlags::empty())
            } else {
                Err(Errno::OPNOTSUPP)
            };
            match set {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP) => self.skip_xattr(path, name),
                Err(errno) => return Err(self.failed("set an extended attribute of", errno)),
            }
        }
        // After the owner: a new owner takes setuid bits and capabilities away.
        fchmod(file, Mode::from_raw_mode(attributes.mode)).map_err(|errno| self.failed("set the mode of", errno))?;
        match attributes.mtime {
            Some(mtime) => futimens(file, &times(mtime)).map_err(|errno| self.failed("set the time of", errno)),
            None => Ok(()),
        }
    }

    /// Owner and time of what is not opened. Neither symbolic links nor nodes have the attributes that are kept.
    fn set_attributes_by_name(&mut self, entry: &Entry, place: &Place<'_>) -> Result<()> {
        let Place { parent, name, .. } = place;
        if self.own != Some((entry.uid, entry.gid)) {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            chownat(parent, *name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| self.failed("set the owner of", errno))?;
        }
        for (xattr, _) in &entry.xattrs {
            self.skip_xattr(place.path, xattr);
        }
        utimensat(parent, *name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.failed("set the time of", errno))
    }

    pub(crate) fn with_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// Why the error before this one says no more than that the layers below are needed.
    pub(crate) fn elsewhere(&self) -> Option<String> {
        match &self.form {
            Form::Lower(lower) => lower.elsewhere.clone(),
            Form::Root | Form::Merged(_) => None,
        }
    }

    /// Gives the directories their attributes, and all that became known.
    pub(crate) fn finish(mut self) -> Result<Unpacked> {
        self.set_directories()?;
        Ok(self.unpacked)
    }

    /// The same of a layer.
    pub(crate) fn finish_layer(mut self) -> Result<(Unpacked, Lower)> {
        self.set_directories()?;
        match self.form {
            Form::Lower(lower) => Ok((self.unpacked, lower)),
            Form::Root | Form::Merged(_) => Ok((self.unpacked, Lower::default())),
        }
    }

    /// Those below before those above.
    fn set_directories(&mut self) -> Result<()> {
        self.set_kept_times()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for (path, attributes) in std::mem::take(&mut self.directories).into_iter().rev() {
            self.current.clone_from(&path);
            match open_in_root(&self.root, &path, flags) {
                Ok(directory) => self.set_attributes(&directory, &path, &attributes)?,
                // A later entry replaced it or a directory above it.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(self.failed("open", errno)),
            }
        }
        Ok(())
    }

    fn skip_xattr(&mut self, path: &[u8], name: &[u8]) {
        self.skip(path, SkippedWhat::Xattr { name: OsString::from_vec(name.to_vec()) });
    }

    fn skip(&mut self, path: &[u8], what: SkippedWhat) {
        if self.unpacked.skipped.len() < Unpacked::SKIPPED_LISTED {
            self.unpacked.skipped.push(Skipped { entry: OsString::from_vec(path.to_vec()), what });
        } else {
            self.unpacked.skipped_unlisted += 1;
        }
    }

    /// A path from the root on, without empty components, "." and a leading slash.
    pub(crate) fn checked(&self, name: &[u8]) -> Result<Vec<u8>> {
        if name.contains(&0) {
            return Err(self.refuse_entry("has a NUL byte in a name"));
        }
        if name.len() > PATH_MAX {
            return Err(self.refuse_entry(&format!("has a path longer than {PATH_MAX} bytes")));
        }
        let mut path = Vec::with_capacity(name.len());
        for component in name.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")) {
            if component == b".." {
                return Err(self.refuse_entry("leaves the root by \"..\" in a name"));
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(component);
        }
        Ok(path)
    }

    fn in_the_way(&self, reason: &str) -> Error {
        Refused::new("the path", shown(&self.current), reason).kind(RefusedKind::Conflict).into()
    }

    fn refuse_entry(&self, reason: &str) -> Error {
        let reason = format!("its entry {} {reason}", shown(&self.current));
        Refused::new("the archive", self.archive, reason).into()
    }

    fn failed(&self, action: &str, errno: Errno) -> Error {
        let of = if self.archive.is_empty() { "the archive" } else { self.archive };
        let error = Kernel::new(format!("{action} {} of {of}", shown(&self.current)), errno);
        match errno {
            Errno::NOSPC | Errno::DQUOT => error.hint("free space on the file system that it is unpacked to").into(),
            _ => error.into(),
        }
    }

    pub(crate) fn fault(&self, fault: Fault) -> Error {
        let after = if self.current.is_empty() {
            "at its beginning".to_owned()
        } else {
            format!("at or after the entry {}", shown(&self.current))
        };
        match fault {
            Fault::Read(error) => match Errno::from_io_error(&error) {
                Some(errno) => read_error(self.archive, errno),
                None if error.kind() == std::io::ErrorKind::UnexpectedEof => self.fault(Fault::Truncated),
                None => self.fault(Fault::Damaged(format!("has damaged compressed data: {error}"))),
            },
            Fault::Source(error) => error,
            Fault::Truncated => damaged_error(self.archive, &format!("is cut off, {after}")),
            Fault::Damaged(reason) => damaged_error(self.archive, &format!("{reason}, {after}")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    Whole,
    Skipped,
}

impl Directory {
    fn of(entry: &Entry) -> Self {
        let owner = (entry.uid, entry.gid);
        Self { mode: entry.mode, owner, mtime: Some(entry.mtime), xattrs: entry.xattrs.clone() }
    }

    /// A parent that has no entry: as mkdir(1) of root makes it.
    fn implied(own: Option<(u32, u32)>) -> Self {
        Self { mode: 0o755, owner: own.unwrap_or((0, 0)), mtime: None, xattrs: Vec::new() }
    }
}

/// Resolution within the root, without the links of /proc that lead anywhere.
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Once more where the kernel could not tell because something was renamed or mounted on the host meanwhile.
fn open_in_root(root: &OwnedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut renames = 0;
    loop {
        match openat2(root, dot_if_empty(path), flags, Mode::empty(), IN_ROOT) {
            Err(Errno::AGAIN) if renames < sys::path::MOST_RENAMES => renames += 1,
            opened => return opened,
        }
    }
}

/// The owner that all new files get: our own, unless the directory hands its group down or holds others that may.
fn own_owner(root: &OwnedFd) -> rustix::io::Result<Option<(u32, u32)>> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let stat = fstat(root)?;
    let mut space = [const { MaybeUninit::uninit() }; 4096];
    let mut entries = RawDir::new(root, &mut space);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(None);
        }
    }
    let hands_down = Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID) || stat.st_gid != own.1;
    Ok((!hands_down).then_some(own))
}

/// The devices that every container has: null, zero, full, random, urandom, tty, console, ptmx. Others are doors to the host,
/// and 0:0 is a whiteout to overlay.
fn is_standard(device: (u32, u32)) -> bool {
    matches!(device, (1, 3 | 5 | 7 | 8 | 9) | (5, 0..=2))
}

/// Attributes that belong to the files. `trusted.overlay.*` and `user.overlay.*` would speak to overlay, labels belong to a host.
pub(crate) fn is_kept(xattr: &[u8]) -> bool {
    matches!(xattr, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
        || xattr.starts_with(b"user.") && !xattr.starts_with(b"user.overlay.")
}

/// Whether it is what hides a name from below, to an overlay.
pub(crate) fn is_whiteout(found: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice && found.st_rdev == 0
}

fn same_file(a: (&OwnedFd, &[u8]), b: (&OwnedFd, &[u8])) -> bool {
    let stat = |(directory, name): (&OwnedFd, &[u8])| statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    matches!((stat(a), stat(b)), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match pwrite(file, bytes, offset) {
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn times(mtime: Timespec) -> Timestamps {
    Timestamps { last_access: mtime, last_modification: mtime }
}

/// The parent's path and the last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

pub(crate) fn dot_if_empty(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

pub(crate) fn shown(name: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(name.get(..PATH_MAX).unwrap_or(name)).escape_debug())
}

fn damaged_error(archive: &str, reason: &str) -> Error {
    Refused::new("the archive", archive, format!("it {reason}")).hint("make or fetch the archive again").into()
}

fn read_error(archive: &str, errno: Errno) -> Error {
    Kernel::new(format!("read the archive {archive}").trim_end(), errno).into()
}

pub(crate) fn unreadable_error(archive: &str, unreadable: Unreadable) -> Error {
    match unreadable {
        Unreadable::Empty => Refused::new("the archive", archive, "it is empty").into(),
        Unreadable::Format(format) => {
            Refused::new("the archive", archive, format!("it is in the format {format}, which is not read"))
                .hint("give a tar archive, plain or compressed with gzip or zstd")
                .into()
        }
        Unreadable::Read(error) => read_error(archive, Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}
