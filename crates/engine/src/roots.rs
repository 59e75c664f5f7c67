//! What containers' roots are made of: this host itself, a folder, an archive of a root file system, an image. Each is one or
//! more read-only layers under the container's own changes.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use error::{Doing, Refused, RefusedKind, Result};
use runtime::root::{Keep, Overlay, Remembers, Root};
use rustix::fs::{AtFlags, XattrFlags, setxattr, statat, syncfs};

use crate::driver::{Driver, ELSEWHERE};
use crate::images::open_folder;
use crate::options::Root as Source;
use crate::rootless;
use crate::store::Store;

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
            Self::Image(image) if image.id.is_some() => return Ok(()),
            Self::Image(image) => {
                let refused = Refused::new("the image", &image.name, "is not on this host");
                return Err(refused
                    .kind(RefusedKind::NoSuchObject)
                    .hint(format!("carboy pull {} brings it", image.name))
                    .into());
            }
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

    /// What the root of the container `id` is made of.
    #[must_use]
    pub fn layers(&self, (store, id): (&Store, &str), driver: Driver, keep: Keep, remembers: Remembers) -> Root {
        let container = store.container(id);
        if driver == Driver::Vfs {
            return Root::Folder(container.join("upper"));
        }
        let (lower, upper, work) = (self.lower((store, id)), container.join("upper"), container.join("work"));
        Root::Overlay(Overlay { lower, upper, work, keep, remembers })
    }

    /// The layers that stay as they are, the topmost first.
    pub(crate) fn lower(&self, (store, id): (&Store, &str)) -> Vec<PathBuf> {
        match self {
            Self::Host => vec![PathBuf::from("/")],
            Self::Folder(path) => vec![fs::canonicalize(path).unwrap_or_else(|_| path.clone())],
            Self::Archive(_) => vec![store.container(id).join("root")],
            Self::Image(image) => image.layers.iter().rev().map(|chain| store.layer_files(chain)).collect(),
        }
    }

    /// The same where they are copied, as far down as they are needed.
    pub(crate) fn copied(&self, (store, id): (&Store, &str)) -> Result<Vec<OwnedFd>> {
        let layers = match self {
            Self::Image(image) => store.layers_to_copy(&image.layers)?,
            _ => self.lower((store, id)),
        };
        layers.iter().map(|layer| open_folder(layer)).collect()
    }

    /// The copy of the layers; before it is made, the topmost of them that has users, if one has.
    pub(crate) fn open_copy(&self, (store, id): (&Store, &str)) -> Result<Option<OwnedFd>> {
        let copy = store.container(id).join("upper");
        if copy.exists() {
            return open_folder(&copy).map(Some);
        }
        let has_users = |layer: &OwnedFd| statat(layer, c"etc/passwd", AtFlags::SYMLINK_NOFOLLOW).is_ok();
        Ok(self.copied((store, id))?.into_iter().find(has_users))
    }

    /// Puts the layers of a container together in its folder.
    ///
    /// # Errors
    /// A kernel error; what an archive is refused for; refused for the host where there is no overlay.
    pub fn prepare(&self, (store, id): (&Store, &str), keep: Keep) -> Result<()> {
        let driver = store.driver();
        if (self, driver) == (&Self::Host, Driver::Vfs) {
            let reason = format!("would be copied whole: overlay cannot be had in {}", store.root.display());
            return Err(Refused::new("the root", "host", reason).hint(ELSEWHERE).into());
        }
        let upper = store.container(id).join("upper");
        let lower = self.lower((store, id));
        let Some(top) = lower.first() else { return Ok(()) };
        match self {
            Self::Host => hide_in_host(&upper, [&store.root, &store.run])?,
            Self::Folder(_) | Self::Image(_) => {}
            Self::Archive(path) => {
                fs::DirBuilder::new().mode(0o755).create(top).doing(|| format!("create {}", top.display()))?;
                let folder = File::open(top).doing(|| format!("open {}", top.display()))?;
                image::unpack_file(path, folder.as_fd()).map_err(rootless::hinted)?;
            }
        }
        match driver {
            Driver::Overlay => copy_owner(top, &upper),
            Driver::Vfs => self.copy((store, id), &upper, keep),
        }
    }

    /// Copies the layers of a container. They are put into their place when they are whole.
    fn copy(&self, (store, id): (&Store, &str), to: &Path, keep: Keep) -> Result<()> {
        let half = store.container(id).join("half");
        fs::DirBuilder::new().mode(0o700).create(&half).doing(|| format!("create {}", half.display()))?;
        let into = open_folder(&half)?;
        merge(&self.copied((store, id))?, &into).map_err(rootless::hinted)?;
        if keep == Keep::Durable {
            syncfs(&into).doing(|| "write the copy of the layers to disk")?;
        }
        fs::rename(&half, to).doing(|| format!("rename {}", half.display()))
    }

    /// Whether there is something to be looked at below the container's changes: an archive may not be unpacked yet, an
    /// image not be here.
    pub(crate) fn is_there(&self, (store, id): (&Store, &str)) -> bool {
        match self {
            Self::Host | Self::Folder(_) => true,
            Self::Archive(_) => self.lower((store, id)).iter().all(|path| path.is_dir()),
            Self::Image(image) => image.id.is_some(),
        }
    }

    /// What is below the container's changes, as one folder.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn open_lower(&self, (store, id): (&Store, &str)) -> Result<OwnedFd> {
        match self.lower((store, id)).as_slice() {
            [one] => File::open(one).map(OwnedFd::from).doing(|| format!("open {}", one.display())),
            layers => {
                let inside = rootless::is_in_user_namespace()?;
                let remembers = if inside { Remembers::AsUser } else { Remembers::AsTrusted };
                runtime::root::look_at(layers, remembers)
            }
        }
    }
}

/// Copies layers, the topmost first, into an empty folder.
pub(crate) fn merge(layers: &[OwnedFd], into: &OwnedFd) -> Result<()> {
    let layers: Vec<_> = layers.iter().map(AsFd::as_fd).collect();
    image::layer::merge(&layers, into.as_fd(), remembers()?)
}

/// Whose attributes layers have their notes in.
pub(crate) fn remembers() -> Result<image::layer::Remembers> {
    let inside = rootless::is_in_user_namespace()?;
    Ok(if inside { image::layer::Remembers::AsUser } else { image::layer::Remembers::AsTrusted })
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
