//! What a layer leaves to those below it: the attributes of directories that it only passes through, and the targets of hard
//! links that it does not have.
//!
//! The layers below are looked at as an overlay would show them, by descriptors and without following symbolic links.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use error::{Doing, Kernel, Result};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec};
use rustix::fs::{fgetxattr, openat, openat2, statat};
use rustix::io::Errno;

use super::{Dangling, LayerUnpacked, Remembers};
use crate::tar::{Content, Entry, Fault, Kind};
use crate::unpack::{Form, Merged, Unpacker, Unpacking, dot_if_empty, is_whiteout, shown, split};
use crate::walk::{Mounts, Rights, Tree, Walk, directory_entry};

/// What became of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// It is whole.
    Done,
    /// It has to be unpacked again by [`super::unpack_over_layers`], because of this.
    Again(String),
}

/// Completes the directory `layer`, that a layer was unpacked into, by what the directories `below` have, the topmost first.
/// They are settled themselves.
///
/// # Errors
/// `Kernel` for what cannot be read or made.
pub fn settle(
    layer: BorrowedFd<'_>,
    unpacked: &LayerUnpacked,
    below: &[BorrowedFd<'_>],
    remembers: Remembers,
) -> Result<Settled> {
    if let Some(reason) = &unpacked.elsewhere {
        return Ok(Settled::Again(reason.clone()));
    }
    let unpacker = Unpacker::new(layer, "", Unpacking::default())?.with_form(Form::Merged(Merged::default()));
    let mut settling = Settling { layers: Layers { layer, below, remembers }, unpacker, made: BTreeSet::new() };
    for path in &unpacked.implied {
        if let Some(reason) = settling.imply(path.as_bytes())? {
            return Ok(Settled::Again(reason));
        }
    }
    for link in &unpacked.dangling {
        if let Some(reason) = settling.link(link)? {
            return Ok(Settled::Again(reason));
        }
    }
    settling.unpacker.finish()?;
    Ok(Settled::Done)
}

struct Settling<'a> {
    layers: Layers<'a>,
    unpacker: Unpacker<'a>,
    /// Paths of the layer that are other names of files below.
    made: BTreeSet<Vec<u8>>,
}

impl Settling<'_> {
    /// Gives a directory what it has below; or says why this layer is not to be settled.
    fn imply(&mut self, path: &[u8]) -> Result<Option<String>> {
        match self.layers.find(path)? {
            Found::Nothing => Ok(None),
            Found::Directory(directory) => self.put(&directory_entry(&directory, path)?).map(|()| None),
            Found::File { .. } | Found::Unclear => {
                Ok(Some(format!("{} is no directory in the layers below", shown(path))))
            }
        }
    }

    fn link(&mut self, link: &Dangling) -> Result<Option<String>> {
        let (path, target) = (link.path.as_bytes(), link.target.as_bytes());
        match self.layers.in_layer(path)? {
            Within::Unclear => return Ok(Some(format!("{} lies behind a symbolic link", shown(path)))),
            Within::Taken => return Ok(None),
            Within::Free => {}
        }
        if self.made.contains(target) {
            self.put_link(path, target)?;
        } else {
            let Found::File { directory, name } = self.layers.find(target)? else {
                return Ok(Some(format!("{} links to {}, which is no file below", shown(path), shown(target))));
            };
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(&directory, name, flags, Mode::empty()).doing(|| format!("open {}", shown(target)))?;
            if self.layers.has(target)? {
                self.copy(&file, path)?;
            } else {
                if let Some(reason) = self.parents(target)? {
                    return Ok(Some(reason));
                }
                self.copy(&file, target)?;
                self.made.insert(target.to_vec());
                self.put_link(path, target)?;
            }
        }
        self.made.insert(path.to_vec());
        Ok(None)
    }

    /// Makes the directories above `path` that this layer does not have.
    fn parents(&mut self, path: &[u8]) -> Result<Option<String>> {
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let prefix = path.get(..end).unwrap_or_default();
            if self.layers.has(prefix)? {
                continue;
            }
            if let Some(reason) = self.imply(prefix)? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    fn copy(&mut self, file: &OwnedFd, path: &[u8]) -> Result<()> {
        let tree = Tree {
            top: file.as_fd(),
            name: path,
            mounts: Mounts::LeftOut,
            owners: &|owners| owners,
            rights: Rights::Kept,
        };
        let mut walk = Walk::new(&tree)?;
        match walk.next()? {
            Some(entry) => self.unpacker.make(&entry, &mut walk),
            None => Err(Kernel::new(format!("copy {}", shown(path)), Errno::NOENT).into()),
        }
    }

    fn put_link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let mtime = Timespec { tv_sec: 0, tv_nsec: 0 };
        let kind = Kind::HardLink { target: target.to_vec() };
        self.put(&Entry { name: path.to_vec(), kind, mode: 0, uid: 0, gid: 0, mtime, xattrs: Vec::new() })
    }

    /// Makes what has no content.
    fn put(&mut self, entry: &Entry) -> Result<()> {
        self.unpacker.make(entry, &mut NoContent)
    }
}

struct NoContent;

impl Content for NoContent {
    fn content(&mut self, _most: u64) -> std::result::Result<&[u8], Fault> {
        Ok(&[])
    }
}

/// A layer and those below it, the topmost of them first.
struct Layers<'a> {
    layer: BorrowedFd<'a>,
    below: &'a [BorrowedFd<'a>],
    remembers: Remembers,
}

/// What the layers below have at a path.
enum Found {
    Nothing,
    /// A directory: the topmost of those that are one.
    Directory(OwnedFd),
    /// Anything else, by its directory and its name.
    File {
        directory: OwnedFd,
        name: Vec<u8>,
    },
    /// The path leads over what is no directory.
    Unclear,
}

/// What the layer itself has at a path.
enum Within {
    /// Nothing, or a whiteout.
    Free,
    Taken,
    /// The path leads over a symbolic link.
    Unclear,
}

/// What the directories of a name are, in the layers below.
struct Step {
    /// The topmost first.
    directories: Vec<OwnedFd>,
    /// The number of the layer, of those looked at, whose file of this name is no directory and hides what is below it.
    file: Option<usize>,
}

const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Layers<'_> {
    fn find(&self, path: &[u8]) -> Result<Found> {
        self.look(path).doing(|| format!("look for {} in the layers below", shown(path)))
    }

    fn look(&self, path: &[u8]) -> rustix::io::Result<Found> {
        let open = |directory: &BorrowedFd<'_>| openat(directory, ".", READ_DIRECTORY, Mode::empty());
        let mut below = self.below.iter().map(open).collect::<rustix::io::Result<Vec<_>>>()?;
        let mut layer = Some(open(&self.layer)?);
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let step = self.step(&below, name)?;
            if names.peek().is_none() {
                return Ok(match (step.directories.into_iter().next(), step.file) {
                    (Some(directory), _) => Found::Directory(directory),
                    (None, Some(number)) => match below.into_iter().nth(number) {
                        Some(directory) => Found::File { directory, name: name.to_vec() },
                        None => Found::Nothing,
                    },
                    (None, None) => Found::Nothing,
                });
            }
            layer = match layer.map(|layer| openat(layer, name, READ_DIRECTORY, Mode::empty())) {
                None | Some(Err(Errno::NOENT)) => None,
                // A whiteout is neither.
                Some(Err(Errno::NOTDIR | Errno::LOOP)) => return Ok(Found::Unclear),
                Some(opened) => Some(opened?),
            };
            let hides = match &layer {
                Some(layer) => self.is_opaque(layer)?,
                None => false,
            };
            if layer.is_none() && step.directories.is_empty() {
                return Ok(if step.file.is_some() { Found::Unclear } else { Found::Nothing });
            }
            below = if hides { Vec::new() } else { step.directories };
        }
        Ok(below.into_iter().next().map_or(Found::Nothing, Found::Directory))
    }

    /// From directories that an overlay would merge to those of a name within.
    fn step(&self, below: &[OwnedFd], name: &[u8]) -> rustix::io::Result<Step> {
        let mut step = Step { directories: Vec::new(), file: None };
        for (number, directory) in below.iter().enumerate() {
            match openat(directory, name, READ_DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => {}
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let there = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    step.file = (!is_whiteout(&there)).then_some(number);
                    break;
                }
                opened => {
                    let opened = opened?;
                    let hides = self.is_opaque(&opened)?;
                    step.directories.push(opened);
                    if hides {
                        break;
                    }
                }
            }
        }
        Ok(step)
    }

    fn is_opaque(&self, directory: &OwnedFd) -> rustix::io::Result<bool> {
        let mut value = [0; 2];
        match fgetxattr(directory, self.remembers.opaque(), &mut value[..]) {
            Ok(length) => Ok(length == 1 && value.first() == Some(&b'y')),
            // The name of something else is longer.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// What this layer has at `path`.
    fn in_layer(&self, path: &[u8]) -> Result<Within> {
        match self.stat_in_layer(path) {
            Ok(found) if is_whiteout(&found) => Ok(Within::Free),
            Ok(_) => Ok(Within::Taken),
            Err(Errno::NOENT) => Ok(Within::Free),
            Err(Errno::LOOP | Errno::NOTDIR) => Ok(Within::Unclear),
            Err(errno) => Err(Kernel::new(format!("look at {}", shown(path)), errno).into()),
        }
    }

    /// Whether this layer has anything at `path`, if only a whiteout.
    fn has(&self, path: &[u8]) -> Result<bool> {
        match self.stat_in_layer(path) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Kernel::new(format!("look at {}", shown(path)), errno).into()),
        }
    }

    fn stat_in_layer(&self, path: &[u8]) -> rustix::io::Result<rustix::fs::Stat> {
        let (above, name) = split(path);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = openat2(self.layer, dot_if_empty(above), flags, Mode::empty(), resolve)?;
        statat(above, name, AtFlags::SYMLINK_NOFOLLOW)
    }
}
