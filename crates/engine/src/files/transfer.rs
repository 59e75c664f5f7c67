//! `cp`: files and folders from the host into a container and back, and as tar archives through a pipe.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};

use error::{Doing, Errno, Kernel, Result};
use image::{Mounts, Replaces, Rights, Tree, Unpacked, Unpacking};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{getegid, geteuid};
use serde::{Deserialize, Serialize};
use sys::clone::Side as Cloned;
use sys::namespace::Kinds;

use super::place::{From, Into, Links, Side};
use super::{Files, Other};

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
            Owned::AsSource => self.take(&from, &into, &|found| found, Rights::Kept),
            Owned::ByReceiver => self.take(&from, &into, &|_| (0, 0), Rights::OfSameOwner),
        }
    }

    fn take(&self, from: &From, into: &Into, owners: &image::Owners<'_>, rights: Rights) -> Result<(Unpacked, u64)> {
        let Some(other) = &self.other else { return copy(from, into, owners, rights) };
        // What is read belongs to the host's users, what is written to those of the namespace: no process is both.
        let (reads, writes) = pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe")?;
        let (ours, theirs) = sys::socket::pair().doing(|| "connect to a process")?;
        let pidfd = match sys::clone::fork().doing(|| "fork a process that reads")? {
            Cloned::Child => {
                drop((reads, ours));
                let tree = Tree { top: from.handle.as_fd(), name: &into.name, mounts: Mounts::Entered, owners, rights };
                let packed = image::pack(&tree, &mut BufWriter::with_capacity(PIECE, File::from(writes)));
                let message = match packed {
                    Ok(length) => Packed::All(length),
                    Err(error) => Packed::Failed(error.to_string(), error.errno().unwrap_or(Errno::IO).raw_os_error()),
                };
                let _ = sys::socket::send(theirs.as_fd(), &serde_json::to_vec(&message).unwrap_or_default(), None);
                sys::process::exit(0)
            }
            Cloned::Parent { pidfd, .. } => pidfd,
        };
        drop((writes, theirs));
        let unpacked = other.enter().and_then(|()| unpack_into(File::from(reads), into.folder.as_fd()));
        let mut message = vec![0; PIECE];
        let heard = sys::socket::receive(ours.as_fd(), &mut message).doing(|| "hear from the process that reads");
        let _ = sys::process::wait(pidfd.as_fd());
        let (length, _) = heard?;
        match serde_json::from_slice(message.get(..length).unwrap_or_default()) {
            Ok(Packed::All(length)) => Ok((unpacked?, length)),
            Ok(Packed::Failed(action, errno)) => {
                // That nobody reads any more is the consequence of another error.
                let action = action.strip_prefix("cannot ").unwrap_or(&action);
                unpacked.and(Err(Kernel::new(action, Errno::from_raw_os_error(errno)).into()))
            }
            Err(_) => unpacked.and(Err(Kernel::new("read what is copied", Errno::PIPE).into())),
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
        self.other.as_ref().map_or(Ok(()), |other| other.enter())?;
        unpack_into(archive, folder.as_fd())
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

impl Other {
    /// Goes over to the namespace for good, as its root.
    fn enter(&self) -> Result<()> {
        sys::namespace::join(self.namespace.as_fd(), Kinds::USER).doing(|| "join the container's user namespace")?;
        sys::credentials::act_on_files_as(0, 0).doing(|| "act on files as the container's root")
    }
}

/// What the process that reads says in the end.
#[derive(Serialize, Deserialize)]
enum Packed {
    /// So many bytes are all.
    All(u64),
    /// What it could not do, and the errno.
    Failed(String, i32),
}

/// As much as is sent through a pipe at once.
const PIECE: usize = 64 << 10;

fn unpack_into(archive: impl Read, folder: BorrowedFd<'_>) -> Result<Unpacked> {
    image::unpack_over(archive, folder, Unpacking { replaces: Replaces::ItsLike, owners: None })
}

fn copy(from: &From, into: &Into, owners: &image::Owners<'_>, rights: Rights) -> Result<(Unpacked, u64)> {
    let tree = Tree { top: from.handle.as_fd(), name: &into.name, mounts: Mounts::Entered, owners, rights };
    image::copy(&tree, into.folder.as_fd(), Unpacking { replaces: Replaces::ItsLike, owners: None })
}
