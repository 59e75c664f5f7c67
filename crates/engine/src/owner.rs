//! Whose something on the host is that outlives its maker: a cgroup, a bridge, a table. It is written on the thing itself, so
//! that it can be told when the folder that told of it is gone.
//!
//! `carboy mnt:[4026531841] /run/carboy/83661…`: the folder, and the mount namespace in which that is its path.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use error::{Errno, Kernel, Result};
use procfs::descriptor::path_below;
use procfs::{Kind, NamespaceId, Process, Walk};

const WORD: &str = "carboy";

/// The folder that tells of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) folder: PathBuf,
    /// The inode of the mount namespace.
    namespace: u64,
}

impl Owner {
    /// A folder as this process sees it.
    ///
    /// # Errors
    /// A kernel error where the process's mount namespace cannot be told.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let seen = Process::this()?.namespace(Kind::Mnt)?;
        let unseen = || Kernel::new("tell this process's mount namespace from others", Errno::ACCESS);
        let namespace = seen.id().ok_or_else(unseen)?.ino;
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        Ok(Self { folder, namespace })
    }

    /// A folder as those in a mount namespace see it.
    pub(crate) fn in_namespace(folder: &Path, namespace: NamespaceId) -> Self {
        Self { folder: folder.to_path_buf(), namespace: namespace.ino }
    }

    /// As it is written.
    pub(crate) fn text(&self) -> String {
        format!("{WORD} mnt:[{}] {}", self.namespace, self.folder.display())
    }

    /// What was written; `None` for what is not carboy's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (namespace, folder) = text.strip_prefix(WORD)?.strip_prefix(' ')?.split_once(' ')?;
        let (kind, namespace) = procfs::walk::parse_name(namespace.as_bytes())?;
        let folder = PathBuf::from(folder);
        (kind == Kind::Mnt && folder.is_absolute()).then_some(Self { folder, namespace })
    }
}

/// The ways to see folders by mount namespace: every one that a process is in.
pub(crate) struct Views {
    roots: Vec<(u64, OwnedFd)>,
}

impl Views {
    /// Opens the root of a process of each mount namespace.
    ///
    /// # Errors
    /// A kernel error where /proc cannot be read.
    pub(crate) fn open() -> Result<Self> {
        let mut walk = Walk::open()?;
        let mut roots: Vec<(u64, OwnedFd)> = Vec::new();
        for pid in walk.pids()? {
            let Ok(Some(visit)) = walk.visit(pid) else { continue };
            let place = Kind::ALL.iter().position(|kind| *kind == Kind::Mnt);
            let seen = place.and_then(|place| visit.namespaces.get(place)).and_then(|seen| seen.id());
            let Some(id) = seen.filter(|id| !roots.iter().any(|(known, _)| *known == id.ino)) else { continue };
            roots.extend(visit.open_root().ok().map(|root| (id.ino, root)));
        }
        Ok(Self { roots })
    }

    /// Whether something holds for the owner's folder, here or where the owner sees it.
    pub(crate) fn any(&self, owner: &Owner, holds: impl Fn(&Path) -> bool) -> bool {
        let relative = owner.folder.strip_prefix("/").unwrap_or(&owner.folder).display().to_string();
        let there = self.roots.iter().filter(|(namespace, _)| *namespace == owner.namespace);
        holds(&owner.folder)
            || there.into_iter().any(|(_, root)| holds(Path::new(&path_below(root.as_fd(), &relative))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_it_is_is_read_as_it_was_written_and_nothing_else_is() {
        let own = Owner::of(Path::new("/run/carboy/a b")).unwrap();
        assert_eq!(Owner::parse(&own.text()), Some(own.clone()));
        let others =
            ["", "carboy", "carboy mnt:[x] /run", "carboy net:[1] /run", "carboy mnt:[1] run", "my own bridge"];
        assert!(others.iter().all(|text| Owner::parse(text).is_none()));
        let views = Views::open().unwrap();
        assert!(!views.any(&own, Path::exists));
        assert!(views.any(&Owner::of(&std::env::temp_dir()).unwrap(), Path::is_dir));
        let elsewhere = Owner { folder: "/nowhere".into(), namespace: own.namespace };
        assert!(!views.any(&elsewhere, Path::exists));
    }
}
