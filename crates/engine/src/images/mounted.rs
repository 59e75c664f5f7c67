//! `image mount`: an image as its containers begin, mounted on the host to be looked at alone.
//!
//! ```text
//! RUN/.images/HEX/files         where it is mounted; a folder with nothing on it is what a restart of the host has left
//! RUN/.images/HEX/count.json    how often that was asked for: so often it has to be unmounted
//! RUN/.images/HEX/{one,two}     empty: an overlay has two layers at least
//! ROOT/mounted/HEX/files        where there is no overlay, the copy of the layers that is mounted
//! ```

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use error::{Doing, Errno, Refused, RefusedKind, Result};
use oci::image::Digest;
use runtime::root::{Remembers, Root};
use rustix::fs::FlockOperation;

use super::half::Half;
use super::{Image, open_folder};
use crate::containers::Engine;
use crate::driver::Driver;
use crate::rootless;
use crate::roots::merge;
use crate::store::{Store, entries, make_folders, read_json, remove_folder, write_json};

const FOLDER: &str = ".images";
const FILES: &str = "files";
const COUNT: &str = "count.json";
const EMPTY: [&str; 2] = ["one", "two"];

/// An image that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Its id.
    pub image: Digest,
    /// Where.
    pub path: PathBuf,
}

/// How an image is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// As often as it was mounted it has to be unmounted.
    Once,
    /// It is unmounted, however often it was mounted.
    Wholly,
}

impl Engine {
    /// Mounts an image read-only, unless it is mounted; counts how often that is asked for.
    ///
    /// # Errors
    /// Refused where there is no such image; a kernel error.
    pub fn mount_image(&self, word: &str) -> Result<Mounted> {
        let _held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let image = self.find_image(word)?.image;
        self.store.mount(&image)?;
        Ok(Mounted { path: self.store.mount_point(&image.id), image: image.id })
    }

    /// Unmounts an image. Gives its id.
    ///
    /// # Errors
    /// Refused where there is no such image, or it is not mounted; a kernel error.
    pub fn unmount_image(&self, word: &str, how: Unmount) -> Result<Digest> {
        let _held = self.store.hold_images(FlockOperation::LockExclusive)?;
        let id = self.find_image(word)?.image.id;
        if !self.store.is_mounted(&id) {
            let refused = Refused::new("the image", word, "is not mounted").kind(RefusedKind::Conflict);
            return Err(refused.hint("carboy image mount lists those that are").into());
        }
        self.store.unmount(&id, how)?;
        Ok(id)
    }

    /// The images that are mounted.
    ///
    /// # Errors
    /// A kernel error.
    pub fn mounted_images(&self) -> Result<Vec<Mounted>> {
        // Whoever only looks makes no folders.
        if !self.store.mounts_of_images().exists() && !self.store.mounted_copies().exists() {
            return Ok(Vec::new());
        }
        let _held = self.store.hold_images(FlockOperation::LockExclusive)?;
        self.store.mounted()
    }
}

impl Store {
    fn mounts_of_images(&self) -> PathBuf {
        self.run.join(FOLDER)
    }

    fn mounted_copies(&self) -> PathBuf {
        self.root.join("mounted")
    }

    fn folder_of_mount(&self, id: &Digest) -> PathBuf {
        self.mounts_of_images().join(id.hex())
    }

    /// Where an image is mounted, if it is.
    pub(super) fn mount_point(&self, id: &Digest) -> PathBuf {
        self.folder_of_mount(id).join(FILES)
    }

    /// Whether an image is mounted.
    pub(super) fn is_mounted(&self, id: &Digest) -> bool {
        let mount_id = |path: &Path| name(path).ok().and_then(|name| sys::mount::id_at(&name).ok());
        let inner = mount_id(&self.mount_point(id));
        inner.is_some() && inner != mount_id(&self.folder_of_mount(id))
    }

    /// The caller holds the images alone, here and below.
    pub(super) fn mounted(&self) -> Result<Vec<Mounted>> {
        // A restart of the host takes the mounts, and no copy.
        let mut names = BTreeSet::from_iter(entries(&self.mounts_of_images())?);
        names.extend(entries(&self.mounted_copies())?);
        let ids = names.iter().filter_map(|name| Digest::of_hex(name));
        let mut mounted = Vec::new();
        for image in ids {
            if self.is_mounted(&image) {
                mounted.push(Mounted { path: self.mount_point(&image), image });
            } else {
                self.forget_mount(&image)?;
            }
        }
        mounted.sort_by(|one, other| one.image.cmp(&other.image));
        Ok(mounted)
    }

    fn mount(&self, image: &Image) -> Result<()> {
        let folder = self.folder_of_mount(&image.id);
        let count = read_json::<u64>(&folder.join(COUNT))?.unwrap_or_default();
        if self.is_mounted(&image.id) {
            return write_json(&folder, COUNT, &(count + 1));
        }
        self.forget_mount(&image.id)?;
        let made = self.mount_anew(image, &folder);
        if made.is_err() {
            let _ = self.forget_mount(&image.id);
        }
        made
    }

    fn mount_anew(&self, image: &Image, folder: &Path) -> Result<()> {
        // Nobody but root comes to what an image brings: programs of it may be set-user-ID.
        make_folders(&self.run)?;
        for path in [self.mounts_of_images(), folder.to_path_buf()] {
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.doing(|| format!("create {}", path.display()))?,
            }
        }
        let [one, two] = EMPTY.map(|name| folder.join(name));
        let point = folder.join(FILES);
        for path in [&one, &two, &point] {
            fs::DirBuilder::new().mode(0o755).create(path).doing(|| format!("create {}", path.display()))?;
        }
        let mount = match self.driver() {
            Driver::Overlay => {
                let mut layers: Vec<PathBuf> = image.layers.iter().rev().map(|chain| self.layer_files(chain)).collect();
                let missing = 2_usize.saturating_sub(layers.len());
                layers.extend([one, two].into_iter().take(missing));
                let remembers =
                    if rootless::is_in_user_namespace()? { Remembers::AsUser } else { Remembers::AsTrusted };
                runtime::root::look_at(&layers, remembers)?
            }
            Driver::Vfs => Root::Folder(self.copy_to_mount(image)?).look()?,
        };
        write_json(folder, COUNT, &1)?;
        let target = sys::path::open_handle(&name(&point)?).doing(|| format!("open {}", point.display()))?;
        sys::mount::attach(mount.as_fd(), target.as_fd()).doing(|| format!("mount on {}", point.display()))
    }

    /// Copies the layers of an image. They are put into their place when they are whole.
    fn copy_to_mount(&self, image: &Image) -> Result<PathBuf> {
        self.nobodys_halves()?.into_iter().try_for_each(Half::remove)?;
        let half = Half::make(&self.layers_folder(), &image.id)?;
        let copied = self.copy_to(&half.path, image);
        if copied.is_err() {
            let _ = half.remove();
        }
        copied
    }

    fn copy_to(&self, half: &Path, image: &Image) -> Result<PathBuf> {
        let (folder, files) = (self.mounted_copies(), half.join(FILES));
        make_folders(&folder)?;
        fs::DirBuilder::new().mode(0o755).create(&files).doing(|| format!("create {}", files.display()))?;
        let layers = self.layers_to_copy(&image.layers)?;
        let layers: Vec<OwnedFd> = layers.iter().map(|layer| open_folder(layer)).collect::<Result<_>>()?;
        merge(&layers, &open_folder(&files)?).map_err(rootless::hinted)?;
        let to = folder.join(image.id.hex());
        fs::rename(half, &to).doing(|| format!("rename {}", half.display()))?;
        Ok(to.join(FILES))
    }

    /// Unmounts an image that is mounted.
    pub(super) fn unmount(&self, id: &Digest, how: Unmount) -> Result<()> {
        let folder = self.folder_of_mount(id);
        let count = read_json::<u64>(&folder.join(COUNT))?.unwrap_or_default();
        if how == Unmount::Once && count > 1 {
            return write_json(&folder, COUNT, &(count - 1));
        }
        let point = self.mount_point(id);
        sys::mount::unmount(&name(&point)?).doing(|| format!("unmount {}", point.display()))?;
        self.forget_mount(id)
    }

    /// Removes the folders of a mount that is no more.
    fn forget_mount(&self, id: &Digest) -> Result<()> {
        let point = self.mount_point(id);
        match fs::remove_dir(&point) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.doing(|| format!("remove {}", point.display()))?,
        }
        let folder = self.folder_of_mount(id);
        if folder.exists() {
            remove_folder(&folder)?;
        }
        let copy = self.mounted_copies().join(id.hex());
        if copy.exists() {
            remove_folder(&copy)?;
            let _ = fs::remove_dir(self.mounted_copies());
        }
        // The last one takes the folder of all with it.
        let _ = fs::remove_dir(self.mounts_of_images());
        Ok(())
    }
}

/// Whether an image is mounted in this place, as by its name, and nothing beside it counts who wants that.
pub(crate) fn is_nobodys(point: &Path) -> bool {
    let place = || {
        let folder = point.parent()?;
        let id = folder.file_name()?.to_str()?;
        let is_mount = point.ends_with(FILES) && folder.parent()?.ends_with(FOLDER) && Digest::of_hex(id).is_some();
        is_mount.then(|| folder.join(COUNT))
    };
    place().is_some_and(|count| !count.exists())
}

/// Unmounts such an image, and removes the folders that were made for it.
///
/// # Errors
/// A kernel error.
pub(crate) fn remove_nobodys(point: &Path) -> Result<()> {
    sys::mount::unmount(&name(point)?).doing(|| format!("unmount {}", point.display()))?;
    let _ = fs::remove_dir(point);
    let Some(folder) = point.parent() else { return Ok(()) };
    remove_folder(folder)?;
    let _ = folder.parent().map(fs::remove_dir);
    Ok(())
}

fn name(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL).doing(|| format!("open {}", path.display()))
}
