//! A layer unpacked over those below it: an overlay of them takes it, and the kernel itself writes what the layer hides.
//!
//! This is for layers that do not tell alone where their entries belong. overlayfs.rst of the kernel's documentation.

use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Kernel, Refused, Result};
use rustix::io::Errno;
use sys::mount::{Attributes, fsmount, fsopen, set_fd, set_flag, set_string};

use super::{Layer, LayerUnpacked, Remembers, apply};
use crate::unpack::{Form, Merged};

/// The most layers that an overlay can have: OVL_MAX_STACK of the kernel's fs/overlayfs/super.c.
const STACK_MAX: usize = 500;

/// The directories of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Over<'a> {
    /// The empty directory that becomes the layer.
    pub upper: BorrowedFd<'a>,
    /// An empty directory on the same file system, which the kernel needs meanwhile. Whoever gives it removes it.
    pub work: BorrowedFd<'a>,
    /// The layers below, the topmost first.
    pub below: &'a [BorrowedFd<'a>],
}

/// Unpacks a layer as [`super::unpack_layer`] does, where the layers below are there and decide what its paths mean. Nothing
/// is left for [`super::settle`].
///
/// # Errors
/// Those of [`super::unpack_layer`]. `Refused` for more layers than an overlay can have; `Kernel` where no overlay can be
/// mounted: without the right to, on a file system that cannot be its upper one, before Linux 6.7.
pub fn unpack_over_layers(compressed: impl Read, over: &Over<'_>, layer: &Layer<'_>) -> Result<LayerUnpacked> {
    let form = Form::Merged(Merged::default());
    if over.below.is_empty() {
        return apply(compressed, over.upper, layer, form);
    }
    let merged = mount(over, layer.remembers)?;
    apply(compressed, merged.as_fd(), layer, form)
}

/// A detached overlay.
fn mount(over: &Over<'_>, remembers: Remembers) -> Result<OwnedFd> {
    if over.below.len() > STACK_MAX {
        let reason = format!("an overlay has at most {STACK_MAX}");
        return Err(Refused::new("the layers below", over.below.len().to_string(), reason).into());
    }
    let action = || "make an overlay of the layers below";
    let context = fsopen(c"overlay").map_err(|errno| unmountable(action(), errno))?;
    for layer in over.below {
        set_directory(context.as_fd(), c"lowerdir+", *layer)?;
    }
    set_directory(context.as_fd(), c"upperdir", over.upper)?;
    set_directory(context.as_fd(), c"workdir", over.work)?;
    match remembers {
        // What a directory was renamed from, and where content is, means nothing to a layer that is used elsewhere.
        Remembers::AsTrusted => {
            for option in [c"redirect_dir", c"metacopy", c"index"] {
                set_string(context.as_fd(), option, c"off").doing(action)?;
            }
        }
        Remembers::AsUser => set_flag(context.as_fd(), c"userxattr").doing(action)?,
    }
    set_flag(context.as_fd(), c"volatile").doing(action)?;
    fsmount(context.as_fd(), Attributes::NONE).map_err(|errno| unmountable(action(), errno))
}

/// By its descriptor; by a path that leads to it where the kernel is older than Linux 6.13.
fn set_directory(context: BorrowedFd<'_>, key: &CStr, directory: BorrowedFd<'_>) -> Result<()> {
    let set = match set_fd(context, key, directory) {
        Err(Errno::INVAL) => {
            let path = procfs::descriptor::path_below(directory, ".");
            let path = std::ffi::CString::new(path).map_err(|_| Kernel::new("name a layer", Errno::INVAL))?;
            set_string(context, key, &path)
        }
        set => set,
    };
    set.map_err(|errno| unmountable(&format!("use a layer as the overlay's {}", key.to_string_lossy()), errno))
}

fn unmountable(action: &str, errno: Errno) -> error::Error {
    let hint = "this layer has to be unpacked over those below it, which takes an overlay: root or a user namespace, Linux \
                6.7 or newer, and a file system that an overlay can write to";
    Kernel::new(action, errno).hint(hint).into()
}
