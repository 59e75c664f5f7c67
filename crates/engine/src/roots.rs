//! The roots that need no image store: this host itself, a folder, an archive of a root file system. Each is a read-only
//! layer under the container's own changes.

use std::ffi::CStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use error::{Doing, Refused, RefusedKind, Result};
use runtime::root::{Keep, Overlay, Remembers, Root};
use rustix::fs::{XattrFlags, setxattr};

use crate::options::Root as Source;
use crate::rootless;

/// The folders of the host that a `host` container sees empty, with their modes.
pub(crate) const EMPTY_IN_HOST: [(&str, u32); 4] = [("home", 0o755), ("root", 0o700), ("tmp", 0o1777), ("run", 0o755)];

/// /proc/sys/kernel/overflowuid: as whom the kernel shows who is not mapped.
const NOBODY: u32 = 65_534;

impl Source {
    /// Checks that the source is there and is what it should be.
    ///
    /// # Errors
    /// Refused.
    pub fn check(&self) -> Result<()> {
        let (path, folder) = match self {
            Self::Host => return Ok(()),
            Self::Folder(path) => (path, true),
            Self::Archive(path) => (path, false),
        };
        let shown = path.display().to_string();
        let refused = match fs::metadata(path) {
            Err(error) => Refused::new("the root", shown, error.to_string()).kind(RefusedKind::NoSuchObject),
            Ok(found) if folder && !found.is_dir() => Refused::new("the root", shown, "is no folder"),
            Ok(found) if !folder && !found.is_file() => Refused::new("the root", shown, "is no file"),
            Ok(_) => return Ok(()),
        };
        Err(refused.hint("use host, a folder with a root file system, or such a folder as a tar archive").into())
    }

    /// The layers of a container whose folder is `container`.
    #[must_use]
    pub fn layers(&self, container: &Path, keep: Keep, remembers: Remembers) -> Root {
        let (lower, upper, work) = (vec![self.lower(container)], container.join("upper"), container.join("work"));
        Root::Overlay(Overlay { lower, upper, work, keep, remembers })
    }

    /// The layer that stays as it is.
    pub(crate) fn lower(&self, container: &Path) -> PathBuf {
        match self {
            Self::Host => PathBuf::from("/"),
            Self::Folder(path) => fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
            Self::Archive(_) => container.join("root"),
        }
    }

    /// Puts the layers of a container together in its folder; `data` is where carboy keeps its own files.
    ///
    /// # Errors
    /// A kernel error; what an archive is refused for.
    pub fn prepare(&self, container: &Path, data: [&Path; 2]) -> Result<()> {
        let (upper, lower) = (container.join("upper"), self.lower(container));
        match self {
            Self::Host => hide_in_host(&upper, data)?,
            Self::Folder(_) => {}
            Self::Archive(path) => {
                fs::DirBuilder::new().mode(0o755).create(&lower).doing(|| format!("create {}", lower.display()))?;
                let folder = File::open(&lower).doing(|| format!("open {}", lower.display()))?;
                image::unpack_file(path, folder.as_fd()).map_err(rootless::hinted)?;
            }
        }
        copy_owner(&lower, &upper)
    }

    /// Reads a file of the root as the container will find it, as far as links lead within the root; absent is empty.
    ///
    /// # Errors
    /// A kernel error, but for a file that is not there.
    pub fn read(&self, path: &CStr, container: &Path) -> Result<Vec<u8>> {
        let lower = self.lower(container);
        let root: OwnedFd = File::open(&lower).doing(|| format!("open {}", lower.display()))?.into();
        runtime::root::read_within(&root, path)
    }
}

/// An empty folder in the upper layer that is marked opaque hides what the lower one has there: overlayfs.rst,
/// "whiteouts and opaque directories".
fn hide_in_host(upper: &Path, data: [&Path; 2]) -> Result<()> {
    for (name, mode) in EMPTY_IN_HOST {
        make_opaque(&upper.join(name), mode)?;
    }
    let mut folders = Vec::with_capacity(data.len());
    for folder in data {
        let folder = fs::canonicalize(folder).doing(|| format!("open {}", folder.display()))?;
        folders.push(folder.strip_prefix("/").map(Path::to_path_buf).unwrap_or(folder));
    }
    folders.retain(|folder| !EMPTY_IN_HOST.iter().any(|(name, _)| folder.starts_with(name)));
    folders.sort();
    folders.dedup_by(|folder, before| folder.starts_with(before));
    folders.iter().try_for_each(|folder| hide_folder(upper, folder))
}

/// Makes the folders above one that is hidden as they are on the host.
fn hide_folder(upper: &Path, folder: &Path) -> Result<()> {
    let mut below = PathBuf::from("/");
    let mut above = upper.to_path_buf();
    for part in folder.parent().into_iter().flat_map(Path::components) {
        above.push(part);
        below.push(part);
        if !above.is_dir() {
            fs::DirBuilder::new().create(&above).doing(|| format!("create {}", above.display()))?;
            copy_owner(&below, &above)?;
        }
    }
    make_opaque(&upper.join(folder), 0o711)
}

fn make_opaque(path: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new().create(path).doing(|| format!("create {}", path.display()))?;
    set_mode(path, mode)?;
    setxattr(path, c"trusted.overlay.opaque", b"y", XattrFlags::empty())
        .doing(|| format!("mark {} as opaque", path.display()))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).doing(|| format!("set the mode of {}", path.display()))
}

/// A folder that stands for another in the upper layer has its owner and mode, or it would change them in the container.
fn copy_owner(from: &Path, to: &Path) -> Result<()> {
    let found = fs::metadata(from).doing(|| format!("look at {}", from.display()))?;
    // Whoever is not mapped in a user's namespace is nobody there: then it belongs to the container's root.
    let is_nobodys = found.uid() == NOBODY && rootless::is_in_user_namespace()?;
    if !is_nobodys && (found.uid(), found.gid()) != (0, 0) {
        std::os::unix::fs::chown(to, Some(found.uid()), Some(found.gid()))
            .doing(|| format!("set the owner of {}", to.display()))?;
    }
    set_mode(to, found.mode() & 0o7777)
}
