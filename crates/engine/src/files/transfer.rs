//! `cp`: files and folders from the host into a container and back, and as tar archives through a pipe.

use std::io::{Read, Write};
use std::os::fd::AsFd as _;

use error::Result;
use image::{Mounts, Replaces, Rights, Tree, Unpacked, Unpacking};
use rustix::process::{getegid, geteuid};

use super::Files;
use super::place::{From, Into, Links, Side};

/// How `cp` copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copying {
    /// What is done with a symbolic link that is named.
    pub links: Links,
    /// To whom copies belong.
    pub owned: Owned,
}

/// To whom copies belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {
    /// To root in a container, and to the caller on the host.
    ByReceiver,
    /// To the same numbers as what is copied.
    AsSource,
}

impl Files {
    /// Copies a path of the host into the container. Gives what was made, and the bytes that an archive of it takes.
    ///
    /// # Errors
    /// Refused where Docker refuses; a kernel error.
    pub fn put(&self, host: &str, path: &str, copying: Copying) -> Result<(Unpacked, u64)> {
        let from = Side::Host.find(host, copying.links)?;
        let into = Side::Container(self.root.as_fd()).destination(path, &from)?;
        match copying.owned {
            Owned::AsSource => copy(&from, &into, &|found| found, Rights::Kept),
            Owned::ByReceiver => copy(&from, &into, &|_| (0, 0), Rights::OfSameOwner),
        }
    }

    /// Copies a path of the container to the host. As [`Self::put`].
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn get(&self, path: &str, host: &str, copying: Copying) -> Result<(Unpacked, u64)> {
        let from = Side::Container(self.root.as_fd()).find(path, copying.links)?;
        let into = Side::Host.destination(host, &from)?;
        match copying.owned {
            Owned::AsSource => copy(&from, &into, &|found| self.inside(found), Rights::Kept),
            Owned::ByReceiver => {
                let own = (geteuid().as_raw(), getegid().as_raw());
                // A file by which the container's root gives its rights away would give the caller's.
                copy(&from, &into, &|_| own, Rights::Dropped)
            }
        }
    }

    /// Unpacks a tar archive, maybe compressed, into a folder of the container.
    ///
    /// # Errors
    /// Refused for what is no folder and no archive; a kernel error.
    pub fn unpack(&self, archive: impl Read, path: &str) -> Result<Unpacked> {
        let folder = Side::Container(self.root.as_fd()).folder(path)?;
        image::unpack_over(archive, folder.as_fd(), Unpacking { replaces: Replaces::ItsLike, owners: None })
    }

    /// Writes a path of the container as a tar archive. Gives its length in bytes.
    ///
    /// # Errors
    /// Refused for what is not there; a kernel error.
    pub fn pack(&self, path: &str, links: Links, out: &mut dyn Write) -> Result<u64> {
        let from = Side::Container(self.root.as_fd()).find(path, links)?;
        let name: &[u8] = if from.name.is_empty() { b"." } else { &from.name };
        let owners = |owners| self.inside(owners);
        let (mounts, rights) = (Mounts::Entered, Rights::Kept);
        image::pack(&Tree { top: from.handle.as_fd(), name, mounts, owners: &owners, rights }, out)
    }
}

fn copy(from: &From, into: &Into, owners: &image::Owners<'_>, rights: Rights) -> Result<(Unpacked, u64)> {
    let tree = Tree { top: from.handle.as_fd(), name: &into.name, mounts: Mounts::Entered, owners, rights };
    image::copy(&tree, into.folder.as_fd(), Unpacking { replaces: Replaces::ItsLike, owners: None })
}
