//! A layer unpacked where nothing of the layers below it is there: as a lower directory of an overlay.
//!
//! What the layer removes becomes a character device 0:0 or an opaque directory. overlayfs.rst of the kernel's documentation,
//! "whiteouts and opaque directories"; layer.md of the OCI image specification, "Whiteouts".

use std::collections::BTreeSet;

use error::Result;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::fs::{fsetxattr, mkdirat, mknodat, openat, openat2, statat, unlinkat};
use rustix::io::Errno;

use super::{Directory, Form, IN_ROOT, Made, Place, Unpacker, dot_if_empty, is_whiteout, shown, split};

/// What is known of a layer beside its files.
#[derive(Debug, Default)]
pub(crate) struct Lower {
    /// The attribute by which an overlay takes a directory for opaque.
    opaque: &'static str,
    /// Directories that have no entry of their own, and may be there in the layers below.
    pub(crate) implied: BTreeSet<Vec<u8>>,
    /// Whiteouts that were made.
    pub(crate) hidden: BTreeSet<Vec<u8>>,
    /// Hard links to what is not in this layer.
    pub(crate) dangling: Vec<HardLink>,
    /// Why the layer's entries belong where only the layers below can tell.
    pub(crate) elsewhere: Option<String>,
}

/// A hard link that is still to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HardLink {
    /// Its own path.
    pub(crate) path: Vec<u8>,
    /// The path of the file that it is another name of.
    pub(crate) target: Vec<u8>,
}

impl Lower {
    /// `opaque` is the name of the extended attribute of opaque directories. The root is implied until it has an entry.
    pub(crate) fn new(opaque: &'static str) -> Self {
        Self { opaque, implied: BTreeSet::from([Vec::new()]), ..Self::default() }
    }
}

/// Why a layer is put together with those below it at once.
const NO_WHITEOUTS: &str = "this file system does not hold what hides something of theirs";

/// What a file system says that has no character device 0:0, as another overlay, or no such attributes.
const fn cannot_hold(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS)
}

const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Unpacker<'_> {
    /// Hides `path` as the layers below have it; what this layer brings there stays.
    pub(crate) fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        self.current = path.to_vec();
        if matches!(self.form, Form::Merged(_)) {
            return self.remove_from_below(path);
        }
        let (above, name) = split(path);
        let place = Place { parent: self.parent(above)?, name, path };
        match mknodat(&place.parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => {
                self.leads_straight(above)?;
                self.keep_path(path)?;
                if let Form::Lower(lower) = &mut self.form {
                    lower.hidden.insert(path.to_vec());
                }
                Ok(())
            }
            Err(Errno::EXIST) => {
                let there = statat(&place.parent, name, AtFlags::SYMLINK_NOFOLLOW);
                let there = there.map_err(|errno| self.failed("look at", errno))?;
                if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
                    self.took_the_place(&place)?;
                }
                Ok(())
            }
            Err(errno) if cannot_hold(errno) => Err(self.is_elsewhere(NO_WHITEOUTS, errno)),
            Err(errno) => Err(self.failed("hide", errno)),
        }
    }

    /// Hides all that the layers below have in the directory `path`; what this layer brings there stays.
    pub(crate) fn opaque(&mut self, path: &[u8]) -> Result<()> {
        self.current = path.to_vec();
        if matches!(self.form, Form::Merged(_)) {
            return self.empty_from_below(path);
        }
        if path.is_empty() {
            // An overlay does not look for the attribute on the roots of its layers.
            return Err(self.is_elsewhere("it hides all that is below it", Errno::NOTSUP));
        }
        let directory = self.parent(path)?;
        let opened = openat(&*directory, ".", READ_DIRECTORY, Mode::empty());
        let opened = opened.map_err(|errno| self.failed("open", errno))?;
        self.make_opaque(&opened)
    }

    /// A directory of this layer that is not the one of the same name below, as a whiteout or a file stood there before.
    pub(super) fn took_the_place(&mut self, place: &Place<'_>) -> Result<()> {
        let Form::Lower(lower) = &mut self.form else { return Ok(()) };
        lower.implied.remove(place.path);
        let opened = openat(&*place.parent, place.name, READ_DIRECTORY, Mode::empty());
        let opened = opened.map_err(|errno| self.failed("open", errno))?;
        self.make_opaque(&opened)
    }

    fn make_opaque(&mut self, directory: &rustix::fd::OwnedFd) -> Result<()> {
        let Form::Lower(lower) = &self.form else { return Ok(()) };
        match fsetxattr(directory, lower.opaque, b"y", XattrFlags::empty()) {
            Err(errno) if cannot_hold(errno) => Err(self.is_elsewhere(NO_WHITEOUTS, errno)),
            set => set.map_err(|errno| self.failed(&format!("set the attribute {} of", lower.opaque), errno)),
        }
    }

    /// Remembers a directory that was made without an entry of its own.
    pub(super) fn implies(&mut self, place: &Place<'_>) -> Result<()> {
        self.leads_straight(split(place.path).0)?;
        if let Form::Lower(lower) = &mut self.form {
            lower.implied.insert(place.path.to_vec());
        }
        Ok(())
    }

    /// A directory goes that is not known to be one below: what was in it may be elsewhere.
    pub(super) fn is_given_up(&mut self, path: &[u8]) -> Result<()> {
        match &self.form {
            Form::Lower(lower) if lower.implied.contains(path) => {
                Err(self.is_elsewhere("it takes the place of a directory that may be none", Errno::NOTDIR))
            }
            _ => Ok(()),
        }
    }

    /// A directory is linked to, which no directory can be, and it is not known to be one below.
    pub(super) fn is_linked_to(&mut self, path: &[u8]) -> Result<()> {
        match &self.form {
            Form::Lower(lower) if lower.implied.contains(path) => {
                Err(self.is_elsewhere("it links to a directory that may be none", Errno::PERM))
            }
            _ => Ok(()),
        }
    }

    /// What is looked up in the layers below must have the same path there.
    fn leads_straight(&mut self, path: &[u8]) -> Result<()> {
        let Form::Lower(_) = &self.form else { return Ok(()) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = IN_ROOT.union(ResolveFlags::NO_SYMLINKS);
        match openat2(&*self.root, dot_if_empty(path), flags, Mode::empty(), resolve) {
            Ok(_) => Ok(()),
            Err(errno) => Err(self.is_elsewhere("a symbolic link leads to what it does not bring", errno)),
        }
    }

    /// Something other than a directory has the name of a parent; opening it gave `errno`.
    pub(super) fn make_parent_in_layer(&mut self, place: &Place<'_>, errno: Errno) -> Result<()> {
        let there = statat(&*place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW);
        let there = there.map_err(|errno| self.failed("look at the directory of", errno))?;
        if is_whiteout(&there) {
            let failed = |errno| self.failed("make the directory of", errno);
            unlinkat(&*place.parent, place.name, AtFlags::empty()).map_err(failed)?;
            mkdirat(&*place.parent, place.name, Mode::RWXU).map_err(failed)?;
            self.directories.insert(place.path.to_vec(), Directory::implied(self.own));
            return self.took_the_place(place);
        }
        match FileType::from_raw_mode(there.st_mode) {
            FileType::Symlink => Err(self.is_elsewhere("a symbolic link leads to what it does not bring", errno)),
            _ => Err(self.failed("make the directory of", errno)),
        }
    }

    /// A hard link to what only the layers below can have.
    pub(super) fn link_later(&mut self, place: &Place<'_>, target: Vec<u8>) -> Result<Made> {
        if place.path == target {
            return Ok(Made::Whole);
        }
        self.keep_path(place.path)?;
        self.keep_path(&target)?;
        // Nothing of the layers below is there any more, whatever comes of the link.
        let made =
            self.create(place, || mknodat(&place.parent, place.name, FileType::CharacterDevice, Mode::empty(), 0));
        if let Some(errno) = made.as_ref().err().and_then(error::Error::errno).filter(|errno| cannot_hold(*errno)) {
            return Err(self.is_elsewhere(NO_WHITEOUTS, errno));
        }
        made?;
        if let Form::Lower(lower) = &mut self.form {
            lower.dangling.push(HardLink { path: place.path.to_vec(), target });
        }
        Ok(Made::Whole)
    }

    /// The error that ends the unpacking where a layer alone does not tell where its entries belong.
    fn is_elsewhere(&mut self, reason: &str, errno: Errno) -> error::Error {
        let error = self.failed(&format!("make without the layers below, as {reason},"), errno);
        if let Form::Lower(lower) = &mut self.form {
            lower.elsewhere = Some(format!("{} {reason}", shown(&self.current)));
        }
        error
    }
}
