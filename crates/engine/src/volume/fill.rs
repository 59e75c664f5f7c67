//! An empty volume gets what the container's root has at its place, before the container's first process runs.
//!
//! It is copied beside the volumes and moved to its place entry by entry when it is whole, which the record tells of: who is
//! killed in the middle leaves a volume that is empty, or whose filling the next command completes.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use error::{Doing, Errno, Error, Result};
use image::{Layers, Mounts, Rights, Tree, Unpacking};
use runtime::root::{Keep, Remembers};
use rustix::fs::{RenameFlags, renameat_with, syncfs};
use sys::path::{Access, Within, open_below};

use super::{DATA, RECORD, VOLUME, Volume};
use crate::images::open_folder;
use crate::options::{ContainerPath, RunOptions, VolumeMount, VolumeName};
use crate::rootless;
use crate::store::{Store, entries, remove_folder, write_json};

/// In a half, the folder with what a volume is filled with.
const COPY: &str = "copy";

impl Store {
    /// Fills a volume that its caller holds, if it is empty.
    pub(super) fn fill_volume(
        &self,
        volume: &mut Volume,
        (mount, options): (&VolumeMount, &RunOptions),
        id: &str,
    ) -> Result<()> {
        let folder = self.volume(&volume.name);
        if !entries(&folder.join(DATA))?.is_empty() {
            return Ok(());
        }
        let Some(from) = self.place_in_root(options, &mount.destination, id)? else { return Ok(()) };
        let goes = options.remove && matches!(mount.name, VolumeName::Own(_));
        let (half, _held) = self.new_half()?;
        let linked =
            symlink(&volume.name, half.join(VOLUME)).doing(|| format!("create {}", half.join(VOLUME).display()));
        let layers = options.root.lower((self, id));
        let filled = linked.and_then(|()| fill((&from, &layers), &half.join(COPY))).and_then(|to| {
            // What is moved is whole also after a power cut.
            if goes { Ok(()) } else { syncfs(&to).doing(|| "write it to disk") }
        });
        if let Err(error) = filled {
            let _ = remove_folder(&half);
            return Err(hinted(error));
        }
        volume.moving = half.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        write_json(&folder, RECORD, volume)?;
        self.complete_move(volume)
    }

    /// Moves what a volume that its caller holds was filled with to its place, if that was begun.
    pub(super) fn complete_move(&self, volume: &mut Volume) -> Result<()> {
        let Some(half) = volume.moving.take() else { return Ok(()) };
        let (folder, half) = (self.volume(&volume.name), self.halves().join(half));
        let action = || format!("fill the volume {}", volume.name);
        let (copy, data) = (half.join(COPY), folder.join(DATA));
        let to = File::open(&data).doing(action)?;
        match File::open(&copy) {
            // Somebody has taken it away: there is nothing to wait for.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            from => move_all(&copy, &from.doing(action)?, &to).doing(action)?,
        }
        write_json(&folder, RECORD, volume)?;
        remove_folder(&half)
    }

    /// The folder of a container's root at a path, as the container will find it, however links lead within the root.
    fn place_in_root(&self, options: &RunOptions, path: &ContainerPath, id: &str) -> Result<Option<OwnedFd>> {
        let remembers = if rootless::is_in_user_namespace()? { Remembers::AsUser } else { Remembers::AsTrusted };
        let root = options.root.layers((self, id), self.driver(), Keep::Durable, remembers).look()?;
        let action = || format!("open {path} of the root");
        let inside = CString::new(path.as_str()).map_err(|_| Errno::INVAL).doing(action)?;
        match open_below(root.as_fd(), &inside, Access::Handle, Within::Root) {
            // Then it is made empty, or is a file, over which no volume can be mounted.
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            opened => {
                let opened = opened.doing(action)?;
                let is_folder = sys::path::is_folder(opened.as_fd()).doing(action)?;
                Ok(is_folder.then_some(opened))
            }
        }
    }
}

/// Moves what is in one folder to another, with the attributes of the folder itself.
fn move_all(path: &Path, from: &File, to: &File) -> std::io::Result<()> {
    for name in fs::read_dir(path)? {
        let name = name?.file_name();
        match renameat_with(from, &name, to, &name, RenameFlags::NOREPLACE) {
            // A container that has it mounted already was faster.
            Err(Errno::EXIST) => {}
            moved => moved?,
        }
    }
    Ok(sys::copy::attributes(from.as_fd(), to.as_fd())?)
}

fn fill((from, layers): (&OwnedFd, &[PathBuf]), copy: &Path) -> Result<OwnedFd> {
    let action = || format!("create {}", copy.display());
    fs::DirBuilder::new().mode(0o700).create(copy).doing(action)?;
    let to: OwnedFd = File::open(copy).doing(action)?.into();
    let tree =
        Tree { top: from.as_fd(), name: b"", mounts: Mounts::Entered, owners: &|owners| owners, rights: Rights::Kept };
    let folders: Vec<OwnedFd> = layers.iter().map(|layer| open_folder(layer)).collect::<Result<_>>()?;
    let place = procfs::descriptor::path_of(from).doing(|| "read the path of a folder of the root")?;
    let layers = Layers { folders: &folders, place: &place };
    image::copy_shown((&tree, layers), to.as_fd(), Unpacking::default())?;
    sys::copy::attributes(from.as_fd(), to.as_fd()).doing(|| format!("set the attributes of {}", copy.display()))?;
    Ok(to)
}

fn hinted(error: Error) -> Error {
    match error.errno() {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            error.with_hint("free space on the file system of the volumes, or use volume-nocopy")
        }
        _ => rootless::hinted(error),
    }
}
