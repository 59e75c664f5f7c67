//! A tree of files as a stream of entries, as if it were an archive: read by descriptors, in the order of names.
//!
//! Every name is opened in the directory that it was read from and no symbolic link is followed, so that nothing that others
//! do to the tree meanwhile leads out of it. What is no regular file is never opened. Sockets are passed over.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use error::{Doing, Kernel, Refused, Result};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, Statx, StatxFlags, StatxTimestamp, Timespec,
};
use rustix::fs::{fgetxattr, flistxattr, fstat, ioctl_ficlone, openat, openat2, readlinkat, seek, statx};
use rustix::io::{Errno, pread};

use crate::tar::{Content, Entry, Fault, Kind, Segment};
use crate::unpack::{Owners, is_kept};

/// Read at once.
const BUFFER: usize = 256 << 10;
/// Directories that may lie within one another: each is open while it is walked.
const DEPTH: usize = 512;
/// The lengths that the kernel allows: `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`.
const LONGEST_XATTR: usize = 64 << 10;
/// As much as is asked for of a list at first.
const SHORT_LIST: usize = 256;

/// The files to read.
pub struct Tree<'a> {
    /// A handle on the top of it: a directory, a file, a symbolic link itself. It need not be readable.
    pub top: BorrowedFd<'a>,
    /// What the top is called among the entries; empty for what is in a directory without the directory itself.
    pub name: &'a [u8],
    /// What is done with what is mounted below.
    pub mounts: Mounts,
    /// From the owner and group of a file to those that its entry has.
    pub owners: &'a Owners<'a>,
    /// Whose rights those have who execute a file.
    pub rights: Rights,
}

/// What becomes of set-user-ID and set-group-ID bits and of file capabilities, which give rights to whoever executes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// They are kept.
    Kept,
    /// They are kept where the owner is: the rights of another were not given.
    OfSameOwner,
    /// They are dropped.
    Dropped,
}

/// What is done with what is mounted below the top of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// It belongs to the tree.
    Entered,
    /// It is shown as empty.
    LeftOut,
}

/// The layers of an overlay that a tree is shown by. What an overlay shows shares nothing with other file systems; the files
/// of its layers can.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    /// Their folders, the topmost first.
    pub folders: &'a [OwnedFd],
    /// The path of the tree's top in the overlay, without links.
    pub place: &'a Path,
}

pub(crate) struct Walk<'a> {
    tree: &'a Tree<'a>,
    layers: Option<Layers<'a>>,
    /// The mount that the tree is on.
    mount: u64,
    frames: Vec<Frame>,
    /// The names of the files with several, by device and inode.
    linked: BTreeMap<(u32, u32, u64), Vec<u8>>,
    file: Option<OwnedFd>,
    /// The path of that.
    path: Vec<u8>,
    /// What was not yet read of the file.
    segments: VecDeque<Segment>,
    buffer: Vec<u8>,
    /// Whether files may be shared: not after the file systems have said that they cannot.
    shares: bool,
    begun: bool,
    /// Before the names of attributes that entries have beside those that belong to the files.
    also: Option<&'static [u8]>,
}

/// A directory that is being walked.
struct Frame {
    directory: OwnedFd,
    path: Vec<u8>,
    /// The names that are still to come, the next one last.
    names: Vec<CString>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(tree: &'a Tree<'a>) -> Result<Self> {
        let mount = look(tree.top, c"").doing(|| format!("look at {}", shown(tree.name)))?.stx_mnt_id;
        let (frames, linked, segments) = (Vec::new(), BTreeMap::new(), VecDeque::new());
        Ok(Self {
            tree,
            layers: None,
            mount,
            frames,
            linked,
            file: None,
            path: Vec::new(),
            segments,
            buffer: Vec::new(),
            shares: true,
            begun: false,
            also: None,
        })
    }

    /// The tree is shown by an overlay.
    pub(crate) fn with_layers(self, layers: Layers<'a>) -> Self {
        Self { layers: Some(layers), ..self }
    }

    /// Entries get the attributes, too, whose names begin with this: an overlay's.
    pub(crate) fn with_attributes_of(self, prefix: &'static [u8]) -> Self {
        Self { also: Some(prefix), ..self }
    }

    /// The next entry; what was not read of the one before is passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        self.file = None;
        self.segments.clear();
        if !std::mem::replace(&mut self.begun, true)
            && let Some(entry) = self.begin()?
        {
            return Ok(Some(entry));
        }
        while let Some(frame) = self.frames.last_mut() {
            let Some(name) = frame.names.pop() else {
                self.frames.pop();
                continue;
            };
            if let Some(entry) = self.entry_in_frame(&name)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The top itself, unless it is without a name.
    fn begin(&mut self) -> Result<Option<Entry>> {
        let top = self.tree.top;
        let found = look(top, c"").doing(|| format!("look at {}", shown(self.tree.name)))?;
        if self.tree.name.is_empty() {
            self.enter(openat(top, ".", READ_DIRECTORY, Mode::empty()).doing(|| "open the folder")?, Vec::new())?;
            return Ok(None);
        }
        let path = self.tree.name.to_vec();
        let opened = match kind_of(&found) {
            FileType::Directory => Some(openat(top, ".", READ_DIRECTORY, Mode::empty())),
            FileType::RegularFile => Some(
                procfs::Process::this()?
                    .reopen(top)
                    .map(OwnedFd::from)
                    .map_err(|error| error.errno().unwrap_or(Errno::IO)),
            ),
            _ => None,
        };
        let opened = opened.transpose().doing(|| format!("open {}", shown(&path)))?;
        self.entry((path, found), (top, c""), opened)
    }

    /// An entry of the innermost directory; `None` for what is gone meanwhile, and for what no archive has.
    fn entry_in_frame(&mut self, name: &CStr) -> Result<Option<Entry>> {
        let Some(frame) = self.frames.last() else { return Ok(None) };
        let directory = frame.directory.try_clone().doing(|| "copy a descriptor")?;
        let mut path = frame.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let found = match look(directory.as_fd(), name) {
            Err(Errno::NOENT) => return Ok(None),
            found => found.doing(|| format!("look at {}", shown(&path)))?,
        };
        let flags = match kind_of(&found) {
            FileType::Directory => Some(READ_DIRECTORY),
            FileType::RegularFile => Some(READ_FILE),
            _ => None,
        };
        let opened = match flags.map(|flags| openat(&directory, name, flags | OFlags::NOFOLLOW, Mode::empty())) {
            None => None,
            // It is gone, or has become something else.
            Some(Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO)) => return Ok(None),
            Some(opened) => Some(opened.doing(|| format!("open {}", shown(&path)))?),
        };
        self.entry((path, found), (directory.as_fd(), name), opened)
    }

    /// The entry of a file that was looked at, and opened where it is a directory or a regular file.
    fn entry(
        &mut self,
        (path, found): (Vec<u8>, Statx),
        (directory, name): (BorrowedFd<'_>, &CStr),
        opened: Option<OwnedFd>,
    ) -> Result<Option<Entry>> {
        // What was opened may be another than what was looked at.
        let found = match &opened {
            Some(file) => look(file.as_fd(), c"").doing(|| format!("look at {}", shown(&path)))?,
            None => found,
        };
        let foreign = self.tree.mounts == Mounts::LeftOut && found.stx_mnt_id != self.mount;
        let xattrs = match &opened {
            Some(file) => {
                xattrs(file.as_fd(), self.also).doing(|| format!("read the attributes of {}", shown(&path)))?
            }
            None => Vec::new(),
        };
        let device = || (found.stx_rdev_major, found.stx_rdev_minor);
        let kind = match (kind_of(&found), opened) {
            (FileType::Directory, Some(directory)) => {
                if !foreign {
                    self.enter(directory, path.clone())?;
                }
                Kind::Directory
            }
            (FileType::RegularFile, Some(_)) if foreign => Kind::File { size: 0, segments: Vec::new() },
            (FileType::RegularFile, Some(file)) => match self.known(&found, &path) {
                Some(target) => Kind::HardLink { target },
                None => self.content_of((file, &path), found.stx_size),
            },
            (FileType::Symlink, None) => {
                let target = readlinkat(directory, name, Vec::new()).doing(|| format!("read {}", shown(&path)))?;
                Kind::Symlink { target: target.into_bytes() }
            }
            (FileType::Fifo, None) => Kind::Fifo,
            (FileType::CharacterDevice, None) => {
                let (major, minor) = device();
                Kind::CharacterDevice { major, minor }
            }
            (FileType::BlockDevice, None) => {
                let (major, minor) = device();
                Kind::BlockDevice { major, minor }
            }
            _ => return Ok(None),
        };
        let owner = (found.stx_uid, found.stx_gid);
        let (uid, gid) = (self.tree.owners)(owner);
        let mtime = Timespec { tv_sec: found.stx_mtime.tv_sec, tv_nsec: i64::from(found.stx_mtime.tv_nsec) };
        let mode = u32::from(found.stx_mode) & 0o7777;
        let mut entry = Entry { name: path, kind, mode, uid, gid, mtime, xattrs };
        let keeps = match self.tree.rights {
            Rights::Kept => true,
            Rights::OfSameOwner => owner == (uid, gid),
            Rights::Dropped => false,
        };
        if !keeps && entry.kind != Kind::Directory {
            entry.mode &= !SET_ID;
            entry.xattrs.retain(|(name, _)| name != b"security.capability");
        }
        Ok(Some(entry))
    }

    /// The name that a file has had already; from now on it has this one.
    fn known(&mut self, found: &Statx, path: &[u8]) -> Option<Vec<u8>> {
        if found.stx_nlink < 2 {
            return None;
        }
        let file = (found.stx_dev_major, found.stx_dev_minor, found.stx_ino);
        let known = self.linked.get(&file).cloned();
        if known.is_none() {
            self.linked.insert(file, path.to_vec());
        }
        known
    }

    fn content_of(&mut self, (file, path): (OwnedFd, &[u8]), size: u64) -> Kind {
        let segments = segments(&file, size).unwrap_or_else(|_| vec![Segment { offset: 0, len: size }]);
        self.segments = segments.iter().copied().collect();
        self.file = Some(file);
        self.path.clear();
        self.path.extend_from_slice(path);
        Kind::File { size, segments }
    }

    /// The file of a layer that the overlay shows as the one that was opened last.
    fn in_layer(&self, file: &OwnedFd) -> Option<OwnedFd> {
        let Layers { folders, place } = self.layers?;
        let place = place.strip_prefix("/").unwrap_or(place);
        let path = place.join(OsStr::from_bytes(&self.path));
        let looks = |file: &OwnedFd| {
            let found = look(file.as_fd(), c"").ok()?;
            Some((found.stx_ino, found.stx_size, found.stx_nlink, time(found.stx_mtime), time(found.stx_ctime)))
        };
        let shown = looks(file)?;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        folders.iter().find_map(|folder| {
            let found = openat2(folder, &path, READ_FILE | OFlags::NOFOLLOW, Mode::empty(), within).ok()?;
            (looks(&found)? == shown).then_some(found)
        })
    }

    fn enter(&mut self, directory: OwnedFd, path: Vec<u8>) -> Result<()> {
        if self.frames.len() == DEPTH {
            let reason = format!("lies more than {DEPTH} folders deep");
            return Err(Refused::new("the folder", shown(&path), reason).into());
        }
        let mut names = Vec::new();
        let mut space = [const { MaybeUninit::uninit() }; 16 << 10];
        let mut entries = RawDir::new(&directory, &mut space);
        while let Some(entry) = entries.next() {
            let entry = entry.doing(|| format!("list {}", shown(&path)))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_by(|one, other| other.cmp(one));
        self.frames.push(Frame { directory, path, names });
        Ok(())
    }
}

impl Content for Walk<'_> {
    /// What is no longer there of a file that has become shorter is zero.
    fn content(&mut self, most: u64) -> std::result::Result<&[u8], Fault> {
        let (Some(file), Some(segment)) = (&self.file, self.segments.front_mut()) else { return Ok(&[]) };
        let want = usize::try_from(segment.len.min(most)).unwrap_or(BUFFER).min(BUFFER);
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
        let piece = self.buffer.get_mut(..want).unwrap_or_default();
        let length = loop {
            match pread(file, &mut *piece, segment.offset) {
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(Fault::Source(Kernel::new("read a file of the tree", errno).into()));
                }
                Ok(0) => {
                    piece.fill(0);
                    break want;
                }
                Ok(length) => break length,
            }
        };
        segment.offset += length as u64;
        segment.len -= length as u64;
        if segment.len == 0 {
            self.segments.pop_front();
        }
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    /// ioctl_ficlone(2).
    fn share_with(&mut self, to: BorrowedFd<'_>) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.shares) else { return false };
        let found = self.layers.map(|_| self.in_layer(file));
        let Some(file) = found.as_ref().map_or(Some(file), Option::as_ref) else { return false };
        let shared = ioctl_ficlone(to, file);
        self.shares = !matches!(shared, Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::NOSYS));
        shared.is_ok()
    }
}

/// The bits by which who executes a file gets its owner's and its group's rights.
const SET_ID: u32 = 0o6000;

const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// What was a regular file a moment ago is waited for in no case.
const READ_FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

fn look(directory: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)
}

fn time(found: StatxTimestamp) -> (i64, u32) {
    (found.tv_sec, found.tv_nsec)
}

fn kind_of(found: &Statx) -> FileType {
    FileType::from_raw_mode(found.stx_mode.into())
}

/// Where a file has content: all of it, unless it takes less than its size on disk.
fn segments(file: &OwnedFd, size: u64) -> rustix::io::Result<Vec<Segment>> {
    let blocks = u64::try_from(fstat(file)?.st_blocks).unwrap_or_default();
    if size == 0 || blocks.saturating_mul(512) >= size {
        return Ok(vec![Segment { offset: 0, len: size }]);
    }
    let mut segments = Vec::new();
    let mut end = 0;
    while end < size {
        let offset = match seek(file, SeekFrom::Data(end)) {
            Err(Errno::NXIO) => break,
            offset => offset?,
        };
        end = seek(file, SeekFrom::Hole(offset))?.min(size);
        if offset >= end {
            break;
        }
        segments.push(Segment { offset, len: end - offset });
    }
    Ok(segments)
}

pub(crate) fn xattrs(file: BorrowedFd<'_>, also: Option<&[u8]>) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // Most files have none, or one of a short name.
    let mut list = vec![0_u8; SHORT_LIST];
    let listed = match flistxattr(file, &mut list[..]) {
        Err(Errno::RANGE) => {
            list = vec![0; LONGEST_XATTR];
            flistxattr(file, &mut list[..])
        }
        listed => listed,
    };
    match listed {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        length => list.truncate(length?),
    }
    let mut found = Vec::new();
    let wanted = |name: &[u8]| is_kept(name) || also.is_some_and(|prefix| name.starts_with(prefix));
    for name in list.split(|byte| *byte == 0).filter(|name| wanted(name)) {
        let mut value = vec![0_u8; LONGEST_XATTR];
        match fgetxattr(file, name, &mut value[..]) {
            Err(Errno::NODATA) => {}
            length => {
                value.truncate(length?);
                found.push((name.to_vec(), value));
            }
        }
    }
    Ok(found)
}

/// The entry that a directory has as `path`.
pub(crate) fn directory_entry(directory: BorrowedFd<'_>, path: &[u8]) -> Result<Entry> {
    let action = || format!("look at {}", shown(path));
    let found = look(directory, c"").doing(action)?;
    Ok(Entry {
        name: path.to_vec(),
        kind: Kind::Directory,
        mode: u32::from(found.stx_mode) & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
        mtime: Timespec { tv_sec: found.stx_mtime.tv_sec, tv_nsec: found.stx_mtime.tv_nsec.into() },
        xattrs: xattrs(directory, None).doing(action)?,
    })
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

/// The bytes of the regular files below a directory, each file once.
///
/// # Errors
/// `Kernel` for what cannot be read.
pub fn tree_bytes(top: BorrowedFd<'_>) -> Result<u64> {
    let tree = Tree { top, name: b"", mounts: Mounts::LeftOut, owners: &|owners| owners, rights: Rights::Kept };
    let mut walk = Walk::new(&tree)?;
    let mut bytes: u64 = 0;
    while let Some(entry) = walk.next()? {
        if let Kind::File { size, .. } = entry.kind {
            bytes = bytes.saturating_add(size);
        }
    }
    Ok(bytes)
}
