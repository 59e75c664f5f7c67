//! Layers put together as one directory of files, where no overlay can show them so: what each removes is gone.

use std::os::fd::BorrowedFd;

use error::Result;

use super::Remembers;
use crate::tar::{Entry, Kind};
use crate::unpack::{Form, Merged, Unpacker, Unpacking};
use crate::walk::{Mounts, Rights, Tree, Walk, directory_entry};

/// Copies the directories `layers`, the topmost first, into the empty directory `into` as an overlay would show them. Where
/// the file system can do it the copies share blocks with them. Sockets are left out, and what is mounted below a layer.
///
/// After an error the directory holds what was copied so far; the caller removes it.
///
/// # Errors
/// `Kernel` for what cannot be read or made; `ENOSPC` on a full disk.
pub fn merge(layers: &[BorrowedFd<'_>], into: BorrowedFd<'_>, remembers: Remembers) -> Result<()> {
    layers.iter().rev().try_for_each(|layer| merge_one(*layer, into, remembers))
}

fn merge_one(layer: BorrowedFd<'_>, into: BorrowedFd<'_>, remembers: Remembers) -> Result<()> {
    let mounts = Mounts::LeftOut;
    let tree = Tree { top: layer, name: b"", mounts, owners: &|owners| owners, rights: Rights::Kept };
    let mut walk = Walk::new(&tree)?.with_attributes_of(remembers.prefix());
    let form = Form::Merged(Merged::default());
    let mut unpacker = Unpacker::new(into, "the copied layers", Unpacking::default())?.with_form(form);
    unpacker.make(&directory_entry(layer, b".")?, &mut walk)?;
    while let Some(mut entry) = walk.next()? {
        if entry.kind == (Kind::CharacterDevice { major: 0, minor: 0 }) {
            unpacker.whiteout(&entry.name)?;
            continue;
        }
        let hides = take_notes(&mut entry, remembers);
        unpacker.make(&entry, &mut walk)?;
        if hides {
            unpacker.opaque(&entry.name)?;
        }
    }
    unpacker.finish().map(drop)
}

/// Takes the attributes that speak to an overlay; whether they say that nothing of the layers below is in a directory.
fn take_notes(entry: &mut Entry, remembers: Remembers) -> bool {
    let opaque = (remembers.opaque().as_bytes().to_vec(), b"y".to_vec());
    let hides = entry.kind == Kind::Directory && entry.xattrs.contains(&opaque);
    entry.xattrs.retain(|(name, _)| !name.starts_with(remembers.prefix()));
    hides
}
