//! What a layer leaves to those below it: the attributes of directories that it only passes through, and the targets of hard
//! links that it does not have.
//!
//! The layers below are looked at as an overlay would show them, by descriptors and without following symbolic links.

use std::collections::BTreeMap;
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
    let mut settling = Settling {
        layers: Layers { layer, below, remembers, above: None },
        unpacker,
        at: BTreeMap::new(),
        instead: BTreeMap::new(),
    };
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
    for path in &unpacked.hidden {
        settling.hide(path.as_bytes())?;
    }
    settling.unpacker.finish()?;
    Ok(Settled::Done)
}

struct Settling<'a> {
    layers: Layers<'a>,
    unpacker: Unpacker<'a>,
    /// Where this layer has the files of paths that were linked to.
    at: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Targets of links that a later entry of the layer has taken the place of.
    instead: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Settling<'_> {
    /// Gives a directory what it has below; or says why this layer is not to be settled.
    fn imply(&mut self, path: &[u8]) -> Result<Option<String>> {
        match self.layers.find(path)? {
            Found::Nothing => Ok(None),
            Found::Directory(directory) => self.put(&directory_entry(directory.as_fd(), path)?).map(|()| None),
            Found::File { .. } | Found::Unclear => {
                Ok(Some(format!("{} is no directory in the layers below", shown(path))))
            }
        }
    }

    /// An overlay shows the name of a whiteout that hides nothing.
    fn hide(&mut self, path: &[u8]) -> Result<()> {
        let is_there = matches!(self.layers.stat_in_layer(path), Ok(there) if is_whiteout(&there));
        if is_there && matches!(self.layers.find(path)?, Found::Nothing) {
            self.unpacker.whiteout(path)?;
        }
        Ok(())
    }

    fn link(&mut self, link: &Dangling) -> Result<Option<String>> {
        let path = link.path.as_bytes();
        let target = link.target.as_bytes();
        let target = self.instead.get(target).map_or(target, Vec::as_slice).to_vec();
        match self.layers.in_layer(path)? {
            Within::Unclear => return Ok(Some(format!("{} lies behind a symbolic link", shown(path)))),
            Within::Taken => {
                self.instead.insert(path.to_vec(), target);
                return Ok(None);
            }
            Within::Free => {}
        }
        if let Some(there) = self.at.get(&target).cloned() {
            self.put_link(path, &there)?;
        } else if let Some(reason) = self.copy_up(path, &target)? {
            return Ok(Some(reason));
        }
        self.at.insert(path.to_vec(), path.to_vec());
        Ok(None)
    }

    /// Takes the file `target` from below and makes `path` another name of it, or its only one where this layer has something
    /// else as `target`.
    fn copy_up(&mut self, path: &[u8], target: &[u8]) -> Result<Option<String>> {
        let Found::File { directory, name } = self.layers.find(target)? else {
            return Ok(Some(format!("{} links to {}, which is no file below", shown(path), shown(target))));
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&directory, name, flags, Mode::empty()).doing(|| format!("open {}", shown(target)))?;
        if self.layers.has(target)? {
            self.copy(&file, path)?;
            self.at.insert(target.to_vec(), path.to_vec());
            return Ok(None);
        }
        if let Some(reason) = self.parents(target)? {
            return Ok(Some(reason));
        }
        self.copy(&file, target)?;
        self.at.insert(target.to_vec(), target.to_vec());
        self.put_link(path, target)?;
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
    /// The path that was looked up last, without its last name.
    above: Option<(Vec<u8>, Above)>,
}

/// What the layers below have for a directory.
enum Above {
    /// The topmost first. None if there is none, or if what they have is hidden.
    Directories(Vec<OwnedFd>),
    Nothing,
    /// The path leads over what is no directory.
    Unclear,
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
    fn find(&mut self, path: &[u8]) -> Result<Found> {
        self.look(path).doing(|| format!("look for {} in the layers below", shown(path)))
    }

    fn look(&mut self, path: &[u8]) -> rustix::io::Result<Found> {
        let (above, name) = split(path);
        if self.above.as_ref().is_none_or(|(last, _)| last != above) {
            self.above = Some((above.to_vec(), self.merged(above)?));
        }
        let directories = match &self.above {
            Some((_, Above::Directories(directories))) => directories,
            Some((_, Above::Unclear)) => return Ok(Found::Unclear),
            Some((_, Above::Nothing)) | None => return Ok(Found::Nothing),
        };
        if name.is_empty() {
            let directory = directories.first().map(|root| openat(root, ".", READ_DIRECTORY, Mode::empty()));
            return Ok(directory.transpose()?.map_or(Found::Nothing, Found::Directory));
        }
        let step = self.step(directories, name)?;
        Ok(match (step.directories.into_iter().next(), step.file.and_then(|number| directories.get(number))) {
            (Some(directory), _) => Found::Directory(directory),
            (None, Some(directory)) => {
                Found::File { directory: openat(directory, ".", READ_DIRECTORY, Mode::empty())?, name: name.to_vec() }
            }
            (None, None) => Found::Nothing,
        })
    }

    /// The directories of the layers below that an overlay merges with the directory `path` of this layer.
    fn merged(&self, path: &[u8]) -> rustix::io::Result<Above> {
        let open = |directory: &BorrowedFd<'_>| openat(directory, ".", READ_DIRECTORY, Mode::empty());
        let mut below = self.below.iter().map(open).collect::<rustix::io::Result<Vec<_>>>()?;
        let mut layer = Some(open(&self.layer)?);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let step = self.step(&below, name)?;
            layer = match layer.map(|layer| openat(layer, name, READ_DIRECTORY, Mode::empty())) {
                None | Some(Err(Errno::NOENT)) => None,
                Some(Err(Errno::NOTDIR | Errno::LOOP)) => return Ok(Above::Unclear),
                Some(opened) => Some(opened?),
            };
            let hides = match &layer {
                Some(layer) => self.is_opaque(layer)?,
                None => false,
            };
            if layer.is_none() && step.directories.is_empty() {
                return Ok(if step.file.is_some() { Above::Unclear } else { Above::Nothing });
            }
            below = if hides { Vec::new() } else { step.directories };
        }
        Ok(Above::Directories(below))
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
