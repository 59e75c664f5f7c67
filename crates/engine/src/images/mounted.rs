//! `image mount`: an image as its containers begin, mounted on the host to be looked at alone.
//!
//! ```text
//! RUN/.images/HEX/files         where it is mounted; a folder with nothing on it is what a restart of the host has left
//! RUN/.images/HEX/count.json    how often that was asked for: so often it has to be unmounted
//! RUN/.images/HEX/{one,two}     empty: an overlay has two layers at least
//! ```

use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use error::{Doing, Errno, Refused, RefusedKind, Result};
use oci::image::Digest;
use runtime::root::Remembers;
use rustix::fs::FlockOperation;

use super::Image;
use crate::containers::Engine;
use crate::rootless;
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
        if !self.store.mounts_of_images().exists() {
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
        let ids = entries(&self.mounts_of_images())?.into_iter().filter_map(|name| Digest::of_hex(&name));
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
        let mut layers: Vec<PathBuf> = image.layers.iter().rev().map(|chain| self.layer_files(chain)).collect();
        let missing = 2_usize.saturating_sub(layers.len());
        layers.extend([one, two].into_iter().take(missing));
        let remembers = if rootless::is_in_user_namespace()? { Remembers::AsUser } else { Remembers::AsTrusted };
        let mount = runtime::root::look_at(&layers, remembers)?;
        write_json(folder, COUNT, &1)?;
        let target = sys::path::open_handle(&name(&point)?).doing(|| format!("open {}", point.display()))?;
        sys::mount::attach(mount.as_fd(), target.as_fd()).doing(|| format!("mount on {}", point.display()))
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
        // The last one takes the folder of all with it.
        let _ = fs::remove_dir(self.mounts_of_images());
        Ok(())
    }
}

fn name(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL).doing(|| format!("open {}", path.display()))
}
