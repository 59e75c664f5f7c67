//! Whether overlay can be had for the roots of containers. Where it cannot, each container has a copy of its layers, as with
//! Docker's storage driver vfs.
//!
//! ```text
//! ROOT/driver -> overlay          a symbolic link that leads nowhere: it is read by one system call
//! ROOT/driver -> vfs: REASON
//! ROOT/.driver-ID                 where that is tried out, once
//! ```
//!
//! overlayfs.rst of the kernel's documentation, "Upper and Lower".

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::Path;

use error::{Doing, Errno, Result};
use runtime::root::{Keep, Overlay, Remembers, Root};
use rustix::fs::{FileType, FlockOperation, Mode, XattrFlags, fsetxattr, mknodat};
use serde::{Deserialize, Serialize};

use crate::rootless;
use crate::store::{Store, entries, lock_folder, remove_folder};

/// By what containers have their roots. The words are Docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// Layers that are shared, under a folder that takes every change.
    #[default]
    Overlay,
    /// A copy of the layers, which is the container's own.
    Vfs,
}

impl Driver {
    /// Whether it is the usual one.
    #[must_use]
    pub fn is_overlay(&self) -> bool {
        *self == Self::Overlay
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlay => "overlay",
            Self::Vfs => "vfs",
        })
    }
}

/// What was found of a state folder.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    driver: Driver,
    /// Why it is not overlay, where that was found just now.
    news: Option<String>,
}

impl Asked {
    /// What a link says.
    fn of(said: &str) -> Self {
        let driver = if said.starts_with(VFS) { Driver::Vfs } else { Driver::Overlay };
        Self { driver, news: None }
    }
}

/// What is to be done where that does not suffice.
pub const ELSEWHERE: &str = "keep carboy's data on ext4, XFS, btrfs or tmpfs by --root";

const LINK: &str = "driver";
const TRIAL: &str = ".driver-";
const VFS: &str = "vfs: ";

impl Store {
    /// By what new containers have their roots.
    #[must_use]
    pub fn driver(&self) -> Driver {
        self.asked.get_or_init(|| Asked::of(&self.said().unwrap_or_default())).driver
    }

    /// Why new containers have copies, where that was found when the store was opened.
    #[must_use]
    pub fn news_of_driver(&self) -> Option<&str> {
        self.asked.get()?.news.as_deref()
    }

    fn said(&self) -> Option<String> {
        fs::read_link(self.root.join(LINK)).ok()?.into_os_string().into_string().ok()
    }

    /// Finds out by what containers can have their roots, unless that is known. Where it cannot be tried out, on a full disk,
    /// it is tried another time.
    pub(crate) fn ask_driver(&self) {
        let asked = match self.said() {
            Some(said) => Asked::of(&said),
            None => self.try_overlay().unwrap_or_else(|_| Asked::of("")),
        };
        let _ = self.asked.set(asked);
    }

    fn try_overlay(&self) -> Result<Asked> {
        let _held = lock_folder(&self.root, FlockOperation::LockExclusive)?;
        // Another command may have been faster, and tells of it.
        if let Some(said) = self.said() {
            return Ok(Asked::of(&said));
        }
        let refusal = self.try_out()?;
        let text = refusal.as_ref().map_or_else(|| Driver::Overlay.to_string(), |reason| format!("{VFS}{reason}"));
        let link = self.root.join(LINK);
        symlink(text, &link).doing(|| format!("create {}", link.display()))?;
        let driver = if refusal.is_some() { Driver::Vfs } else { Driver::Overlay };
        Ok(Asked { driver, news: refusal })
    }

    /// Why overlay cannot be had; `None` where it can. The caller holds the folder.
    fn try_out(&self) -> Result<Option<String>> {
        for left in entries(&self.root)?.iter().filter(|name| name.starts_with(TRIAL)) {
            remove_folder(&self.root.join(left))?;
        }
        let trial = self.root.join(format!("{TRIAL}{}", crate::names::new_id()?));
        let tried = try_in(&trial);
        remove_folder(&trial).and(tried)
    }

    /// Why overlay cannot be had where it was: what is kept was moved, or the kernel is another.
    pub(crate) fn lost_overlay(&self) -> Result<Option<String>> {
        if self.driver() == Driver::Vfs {
            return Ok(None);
        }
        let _held = lock_folder(&self.root, FlockOperation::LockExclusive)?;
        self.try_out()
    }

    /// From now on new containers have copies, for this reason.
    pub(crate) fn give_overlay_up(&self, reason: &str) -> Result<()> {
        let (link, beside) = (self.root.join(LINK), self.root.join(format!("{TRIAL}link")));
        let _ = fs::remove_file(&beside);
        symlink(format!("{VFS}{reason}"), &beside).doing(|| format!("create {}", beside.display()))?;
        fs::rename(&beside, &link).doing(|| format!("rename {}", beside.display()))
    }
}

/// Why overlay cannot be had in a folder that is made for that; `None` where it can.
fn try_in(trial: &Path) -> Result<Option<String>> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| trial.join(name));
    for folder in [trial, &lower, &upper, &work] {
        fs::DirBuilder::new().mode(0o700).create(folder).doing(|| format!("create {}", folder.display()))?;
    }
    let remembers = if rootless::is_in_user_namespace()? { Remembers::AsUser } else { Remembers::AsTrusted };
    if let Some(reason) = refusal(mount(&lower, &upper, &work, remembers))? {
        return has_room(&upper).map(|()| Some(reason));
    }
    let opened = File::open(&lower).doing(|| format!("open {}", lower.display()))?;
    let whiteout = mknodat(&opened, c"hidden", FileType::CharacterDevice, Mode::empty(), 0);
    if let Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) = whiteout {
        return Ok(Some("its file system holds no whiteouts".to_owned()));
    }
    whiteout.doing(|| format!("make a whiteout in {}", lower.display()))?;
    let name = match remembers {
        Remembers::AsTrusted => c"trusted.overlay.opaque",
        Remembers::AsUser => c"user.overlay.opaque",
    };
    match fsetxattr(&opened, name, b"y", XattrFlags::empty()) {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
            Ok(Some("its file system holds no extended attributes".to_owned()))
        }
        set => set.map(|()| None).doing(|| format!("set an attribute of {}", lower.display())),
    }
}

/// An overlay whose work folder cannot be filled, on a full disk, is refused in the same words as one that cannot be had there.
fn has_room(folder: &Path) -> Result<()> {
    /// More than an overlay makes.
    const FOLDERS: u32 = 8;
    (0..FOLDERS).try_for_each(|number| {
        let path = folder.join(number.to_string());
        fs::create_dir(&path).doing(|| format!("create {}", path.display()))
    })
}

/// A volatile one is unmounted without waiting for the disk; before Linux 5.10 there is none.
fn mount(lower: &Path, upper: &Path, work: &Path, remembers: Remembers) -> Result<()> {
    let overlay = |keep| {
        let (upper, work) = (upper.to_path_buf(), work.to_path_buf());
        Root::Overlay(Overlay { lower: vec![lower.to_path_buf()], upper, work, keep, remembers }).make(None)
    };
    overlay(Keep::Volatile).or_else(|_| overlay(Keep::Durable)).map(drop)
}

/// What a refused overlay says of the file system or the kernel. Any other error is none of them.
fn refusal(mounted: Result<()>) -> Result<Option<String>> {
    let Err(error) = mounted else { return Ok(None) };
    match error.errno() {
        Some(Errno::NODEV) => Ok(Some("this kernel has no overlay file system".to_owned())),
        Some(Errno::PERM | Errno::ACCESS) => Ok(Some("this kernel lets no user of a namespace mount one".to_owned())),
        Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
            Ok(Some("its file system cannot take an overlay's changes, as another overlay and NFS cannot".to_owned()))
        }
        _ => Err(error),
    }
}
