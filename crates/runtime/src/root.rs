//! A container's root as one detached mount: an overlay of read-only layers under a private upper one, or a folder.
//! overlayfs.rst of the kernel's documentation.
//!
//! The parent makes it and passes its descriptor to the child, so it never appears in a mount namespace of the host.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use error::{Doing, Refused, Result};
use procfs::{HostPid, Process};
use rustix::fs::{FileType, fstat};
use sys::mount::{Attributes, Change, Reach};
use sys::path::{Access, Within, open_below};

use crate::prepare::IdSources;

/// What the container's root is made of. Paths are the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Layers that stay as they are, under a folder that takes every change.
    Overlay(Overlay),
    /// A folder that takes the changes itself.
    Folder(PathBuf),
    /// The same, whose files belong to whom they belong on the host: who wrote the configuration has seen to that.
    Prepared(PathBuf),
    /// The root that a process of the container has.
    OfProcess(HostPid),
}

/// The folders of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The read-only layers, the topmost first.
    pub lower: Vec<PathBuf>,
    /// What takes every change.
    pub upper: PathBuf,
    /// The kernel's own folder, on the same file system as `upper`.
    pub work: PathBuf,
    /// Whether the changes must survive the machine.
    pub keep: Keep,
    /// Where it keeps what it has to remember of files.
    pub remembers: Remembers,
}

/// In which extended attributes an overlay keeps what it has to remember of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remembers {
    /// `trusted.overlay.*`, which takes `CAP_SYS_ADMIN` in the first user namespace.
    AsTrusted,
    /// `user.overlay.*` (`userxattr`, Linux 5.11).
    AsUser,
}

/// Whether what a container changes must survive the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is written to disk as the container asks, and when it ends.
    Durable,
    /// It goes with the container: nothing waits for the disk (`volatile`).
    Volatile,
}

impl Root {
    /// Makes the detached mount. With `userns`, files that belong to user N of a layer belong to user N of that user
    /// namespace: each layer is taken as an id-mapped mount.
    ///
    /// # Errors
    /// A kernel error that names the folder; `EINVAL` for an overlay on a file system that cannot be its upper layer.
    pub fn make(&self, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        match self {
            Self::Overlay(overlay) => overlay.make(userns),
            Self::Folder(path) => view(path, Reach::Recursive, userns),
            Self::Prepared(path) => view(path, Reach::Recursive, None),
            Self::OfProcess(pid) => Process::open(*pid)?.open_root(),
        }
    }

    /// The same to be looked at alone: it cannot be written to, and nothing of it is the upper layer of two overlays.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn look(&self) -> Result<OwnedFd> {
        match self {
            Self::Overlay(overlay) => overlay.look(),
            Self::Folder(path) | Self::Prepared(path) => {
                let mount = view(path, Reach::Recursive, None)?;
                let set = Change { set: Attributes::READ_ONLY, ..Change::default() };
                let action = || format!("look at {}", path.display());
                sys::mount::change(mount.as_fd(), Reach::Recursive, &set).doing(action)?;
                Ok(mount)
            }
            root @ Self::OfProcess(_) => root.make(None),
        }
    }

    /// The folders, each with what it is for; for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Overlay(overlay) => {
                let lower: Vec<_> = overlay.lower.iter().map(|path| path.display().to_string()).collect();
                format!("overlay of {} under {}", lower.join(", "), overlay.upper.display())
            }
            Self::Folder(path) | Self::Prepared(path) => format!("folder {}", path.display()),
            Self::OfProcess(pid) => format!("root of process {}", pid.0),
        }
    }
}

/// Several read-only layers as they are together, the topmost first, to be looked at alone.
///
/// # Errors
/// A kernel error.
pub fn look_at(layers: &[PathBuf], remembers: Remembers) -> Result<OwnedFd> {
    let layers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
    look(&layers, remembers)
}

fn look(layers: &[&Path], remembers: Remembers) -> Result<OwnedFd> {
    let context = sys::mount::fsopen(c"overlay").doing(|| "make an overlay")?;
    let _lower = Lower::set(context.as_fd(), layers)?;
    set_manner(context.as_fd(), remembers)?;
    sys::mount::fsmount(context.as_fd(), Attributes::READ_ONLY).doing(|| {
        let shown: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
        format!("look at the overlay of {}", shown.join(", "))
    })
}

fn set_manner(context: BorrowedFd<'_>, remembers: Remembers) -> Result<()> {
    let action = || "make an overlay";
    if remembers == Remembers::AsUser {
        sys::mount::set_flag(context, c"userxattr").map_err(|errno| {
            let hint = "a user's overlay needs Linux 5.11 or newer: use sudo carboy …";
            error::Error::from(error::Kernel::new(action(), errno).hint(hint))
        })?;
    }
    sys::mount::set_string(context, c"source", c"carboy").doing(action)
}

impl Overlay {
    fn make(&self, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        let action = || format!("make the overlay on {}", self.upper.display());
        let context = sys::mount::fsopen(c"overlay").doing(action)?;
        let (_lower, layers) = match userns {
            None => (Some(self.set_paths(context.as_fd())?), None),
            Some(userns) => (None, Some(self.set_mapped(context.as_fd(), userns)?)),
        };
        if self.keep == Keep::Volatile {
            sys::mount::set_flag(context.as_fd(), c"volatile").doing(action)?;
        }
        set_manner(context.as_fd(), self.remembers)?;
        let Some(Layers { _mounts, user, group }) = layers else {
            return sys::mount::fsmount(context.as_fd(), Attributes::NONE).doing(action);
        };
        // An overlay writes as who made it, and through an id-mapped mount nobody can write whom it does not map.
        let acting = sys::credentials::act_on_files_as(user, group).doing(|| format!("act on files as user {user}"));
        let mount = acting.and_then(|()| sys::mount::fsmount(context.as_fd(), Attributes::NONE).doing(action));
        // Also where only half of the change was made: what is to be undone belongs to root.
        let back = sys::credentials::act_on_files_as(0, 0).doing(|| "act on files as root");
        mount.and_then(|mount| back.map(|()| mount))
    }

    /// The changes as the topmost of the layers that stay as they are.
    fn look(&self) -> Result<OwnedFd> {
        let layers: Vec<&Path> = [&self.upper].into_iter().chain(&self.lower).map(PathBuf::as_path).collect();
        look(&layers, self.remembers)
    }

    fn set_paths(&self, context: BorrowedFd<'_>) -> Result<Lower> {
        let upper = text(self.upper.as_os_str().as_bytes())?;
        let work = text(self.work.as_os_str().as_bytes())?;
        let layers: Vec<&Path> = self.lower.iter().map(PathBuf::as_path).collect();
        let lower = Lower::set(context, &layers)?;
        for (key, value) in [(c"upperdir", upper), (c"workdir", work)] {
            set_text(context, key, &value).map_err(unfit)?;
        }
        Ok(lower)
    }

    fn set_mapped(&self, context: BorrowedFd<'_>, userns: BorrowedFd<'_>) -> Result<Layers> {
        let mut mounts = Vec::with_capacity(self.lower.len() + 1);
        for path in &self.lower {
            let layer = view(path, Reach::One, Some(userns))?;
            set_layer(context, c"lowerdir+", layer.as_fd(), path)?;
            mounts.push(layer);
        }
        let above = self.upper.parent().unwrap_or(&self.upper);
        let changes = view(above, Reach::One, Some(userns))?;
        for (key, path) in [(c"upperdir", &self.upper), (c"workdir", &self.work)] {
            let name = text(path.file_name().unwrap_or_default().as_bytes())?;
            let folder =
                sys::path::open_below(changes.as_fd(), &name, sys::path::Access::Handle, sys::path::Within::Mount)
                    .doing(|| format!("open {}", path.display()))?;
            set_layer(context, key, folder.as_fd(), path).map_err(unfit)?;
        }
        let owner = File::from(changes.as_fd().try_clone_to_owned().doing(|| "copy a descriptor")?).metadata();
        let owner = owner.doing(|| format!("look at {}", above.display()))?;
        mounts.push(changes);
        Ok(Layers { _mounts: mounts, user: owner.uid(), group: owner.gid() })
    }
}

/// The longest value that fsconfig(2) takes as text, with its NUL.
const TEXT_MAX: usize = 256;

/// The read-only layers of an overlay, as long as it is being made.
struct Lower {
    /// Those that are named by their descriptors.
    _folders: Vec<OwnedFd>,
    /// The working directory, where it is another meanwhile.
    back: Option<OwnedFd>,
}

impl Lower {
    /// Names the layers, the topmost first. An image may have more of them than fit into one text: then each is named by
    /// itself (Linux 6.13), or all by the numbers of their descriptors, of which some eighty fit.
    fn set(context: BorrowedFd<'_>, layers: &[&Path]) -> Result<Self> {
        let escaped: Vec<Vec<u8>> = layers.iter().map(|path| escape(path)).collect();
        let paths = text(&escaped.join(&b':'))?;
        if paths.as_bytes_with_nul().len() <= TEXT_MAX {
            set_text(context, c"lowerdir", &paths)?;
            return Ok(Self { _folders: Vec::new(), back: None });
        }
        let folders: Vec<OwnedFd> = layers.iter().map(|path| handle(path)).collect::<Result<_>>()?;
        let mut each = folders.iter().map(|folder| sys::mount::set_fd(context, c"lowerdir+", folder.as_fd()));
        let set = each.by_ref().find_map(std::result::Result::err);
        match set {
            None => Ok(Self { _folders: folders, back: None }),
            Some(error::Errno::INVAL | error::Errno::OPNOTSUPP) => Self::set_numbers(context, folders),
            Some(errno) => Err(errno).doing(|| format!("use {} layers for an overlay", layers.len())),
        }
    }

    fn set_numbers(context: BorrowedFd<'_>, folders: Vec<OwnedFd>) -> Result<Self> {
        let action = || "use the layers by the numbers of their descriptors";
        let numbers: Vec<String> = folders.iter().map(|folder| folder.as_raw_fd().to_string()).collect();
        let numbers = text(numbers.join(":").as_bytes())?;
        if numbers.as_bytes_with_nul().len() > TEXT_MAX {
            let refused =
                Refused::new("the root", format!("{} layers", folders.len()), "are more than this kernel takes");
            return Err(refused.hint("use Linux 6.13 or newer, or an image with fewer layers").into());
        }
        let here = sys::path::open_handle(c".").doing(action)?;
        let numbered = sys::path::open_handle(procfs::descriptor::FOLDER).doing(action)?;
        rustix::process::fchdir(&numbered).doing(action)?;
        let lower = Self { _folders: folders, back: Some(here) };
        set_text(context, c"lowerdir", &numbers).map(|()| lower)
    }
}

impl Drop for Lower {
    fn drop(&mut self) {
        if let Some(back) = &self.back {
            let _ = rustix::process::fchdir(back);
        }
    }
}

/// overlayfs.rst, "Upper and Lower": not every file system can hold what an overlay writes.
fn unfit(error: error::Error) -> error::Error {
    if error.errno() != Some(error::Errno::INVAL) {
        return error;
    }
    error.with_hint(
        "its file system cannot hold a container's changes, as another overlay and NFS cannot: carboy system check --repair has \
         containers get copies, or keep carboy's data on ext4, XFS, btrfs or tmpfs by --root",
    )
}

fn set_text(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<()> {
    let action = || format!("use {} as the overlay's {}", value.to_string_lossy(), key.to_string_lossy());
    sys::mount::set_string(context, key, value).doing(action)
}

fn handle(path: &Path) -> Result<OwnedFd> {
    sys::path::open_handle(&text(path.as_os_str().as_bytes())?).doing(|| format!("open {}", path.display()))
}

/// What an overlay of id-mapped layers needs until it is made.
struct Layers {
    /// The mounts that the layers are taken from: the kernel copies them when all is said.
    _mounts: Vec<OwnedFd>,
    /// The host's user that stands for the container's root, to whom the folders above the layers belong.
    user: u32,
    /// Its group.
    group: u32,
}

fn set_layer(context: BorrowedFd<'_>, key: &std::ffi::CStr, layer: BorrowedFd<'_>, path: &Path) -> Result<()> {
    sys::mount::set_fd(context, key, layer).map_err(|errno| {
        let action = format!("use {} as an id-mapped layer", path.display());
        error::Kernel::new(action, errno).hint("a user namespace with an overlay root needs Linux 6.13 or newer").into()
    })
}

/// mount_setattr(2), `MOUNT_ATTR_IDMAP`: not every file system can do it.
fn unmapped(error: error::Error) -> error::Error {
    if error.errno() != Some(error::Errno::INVAL) {
        return error;
    }
    error.with_hint(
        "its file system cannot show files as other users': keep it on ext4, XFS, btrfs or tmpfs, or give it no user namespace",
    )
}

/// A detached view of a folder of the host.
fn view(path: &Path, reach: Reach, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
    let name = text(path.as_os_str().as_bytes())?;
    let mount = sys::mount::clone_tree(None, &name, reach).doing(|| format!("open {}", path.display()))?;
    if userns.is_some() {
        sys::mount::change(mount.as_fd(), Reach::One, &Change { idmap: userns, ..Change::default() })
            .doing(|| format!("map the ids of {}", path.display()))
            .map_err(unmapped)?;
    }
    Ok(mount)
}

/// A detached view of the host, as a bind mount of a configuration asks for it, without its ids.
///
/// # Errors
/// A kernel error that names the source.
pub fn bind(mount: &oci::Mount) -> Result<OwnedFd> {
    let options = namespace::mnt::options::parse(&mount.options);
    let reach = options.bind.unwrap_or(Reach::One);
    crate::prepare::bind(
        mount.source.as_deref().unwrap_or_default(),
        reach,
        (&options, None),
        &mut IdSources::default(),
    )
}

/// The longest file that is read from a container's root.
const MOST_BYTES: u64 = 16 << 20;

/// Reads a file below `root` without leaving it; absent is empty.
///
/// # Errors
/// Refused for what is no file, or longer than 16 MiB; a kernel error.
pub fn read_within(root: &OwnedFd, path: &CStr) -> Result<Vec<u8>> {
    let handle = match open_below(root.as_fd(), path, Access::Handle, Within::Root) {
        Err(error::Errno::NOENT | error::Errno::NOTDIR) => return Ok(Vec::new()),
        opened => opened.doing(|| format!("open {} in the container's root", path.to_string_lossy()))?,
    };
    let action = || format!("read {} in the container's root", path.to_string_lossy());
    let found = fstat(&handle).doing(action)?;
    // A device does something when it is opened, and a pipe or a device is read for ever.
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    if !is_file || u64::try_from(found.st_size).is_ok_and(|size| size > MOST_BYTES) {
        let reason = format!("is no file of at most {MOST_BYTES} bytes");
        return Err(Refused::new("the container's file", path.to_string_lossy(), reason).into());
    }
    let mut text = Vec::new();
    let file = procfs::Process::this()?.reopen(handle.as_fd())?;
    file.take(MOST_BYTES).read_to_end(&mut text).doing(action)?;
    Ok(text)
}

/// A colon separates layers and a backslash escapes, so both are escaped in names.
fn escape(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

fn text(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| {
        Refused::new("the path", String::from_utf8_lossy(bytes).escape_debug().to_string(), "holds a NUL character")
            .into()
    })
}

#[cfg(test)]
mod kernel {
    use super::*;

    /// Each layer has a file of its own, and one that all have.
    fn layers(above: &Path, count: usize) -> Vec<PathBuf> {
        let layers: Vec<PathBuf> = (0..count).map(|at| above.join(format!("{at:0100}"))).collect();
        for (at, layer) in layers.iter().enumerate() {
            std::fs::create_dir(layer).unwrap();
            std::fs::write(layer.join(at.to_string()), "").unwrap();
            std::fs::write(layer.join("all"), at.to_string()).unwrap();
        }
        layers
    }

    fn names(root: &OwnedFd) -> usize {
        let folder = Process::this().unwrap().reopen(root.as_fd()).unwrap();
        rustix::fs::Dir::new(folder).unwrap().count() - 2
    }

    #[test]
    fn sixty_layers_with_long_paths_are_one_root_and_the_topmost_holds() {
        let above = tempfile::tempdir().unwrap();
        let layers = layers(above.path(), 60);
        let here = std::env::current_dir().unwrap();
        let root = look_at(&layers, Remembers::AsTrusted).unwrap();
        assert_eq!(read_within(&root, c"all").unwrap(), b"0");
        assert_eq!(names(&root), 61);
        assert_eq!(std::env::current_dir().unwrap(), here);
    }

    #[test]
    fn layers_are_named_by_the_numbers_of_their_descriptors_where_the_kernel_takes_no_descriptors() {
        let above = tempfile::tempdir().unwrap();
        let handles = layers(above.path(), 60).iter().map(|path| handle(path)).collect::<Result<Vec<_>>>().unwrap();
        let here = std::env::current_dir().unwrap();
        let context = sys::mount::fsopen(c"overlay").unwrap();
        let lower = Lower::set_numbers(context.as_fd(), handles).unwrap();
        set_manner(context.as_fd(), Remembers::AsTrusted).unwrap();
        let root = sys::mount::fsmount(context.as_fd(), Attributes::READ_ONLY).unwrap();
        drop(lower);
        assert_eq!((read_within(&root, c"all").unwrap(), names(&root)), (b"0".to_vec(), 61));
        assert_eq!(std::env::current_dir().unwrap(), here);
    }
}
