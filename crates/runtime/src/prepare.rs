//! The mounts that the host's side prepares: views of its paths, with their attributes and whose ids they have, and of its
//! devices. Each is detached: nobody sees it before the child has put it in its place.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use child::{Scene, Step, Turn};
use error::{Doing, Errno, Kernel, Refused, Result};
use namespace::mnt::id_map::Ids;
use namespace::mnt::options::{Manner, Options};
use namespace::user::Maps;
use procfs::{HostPid, Kind, Process};
use sys::mount::{Attributes, Change, Reach};
use sys::namespace::Kinds;
use sys::path::{Access, Within};

/// The user namespaces that mounts take their ids from, one for all mounts with the same maps.
#[derive(Debug, Default)]
pub(crate) struct IdSources(Vec<(Ids, OwnedFd)>);

impl IdSources {
    /// The namespace, which is made where there is none yet.
    fn open(&mut self, ids: &Ids) -> Result<BorrowedFd<'_>> {
        let place = match self.0.iter().position(|(known, _)| known == ids) {
            Some(place) => place,
            None => {
                let opened = match ids {
                    Ids::Namespace(path) => {
                        File::open(path).doing(|| format!("open the user namespace {path}"))?.into()
                    }
                    Ids::Maps(maps) => make_namespace(maps)?,
                };
                self.0.push((ids.clone(), opened));
                self.0.len() - 1
            }
        };
        let absent = || Kernel::new("find a user namespace", Errno::BADF).into();
        self.0.get(place).map(|(_, namespace)| namespace.as_fd()).ok_or_else(absent)
    }
}

/// A user namespace with these maps, in which nobody is: a process makes it, waits until it is open, and leaves.
///
/// # Errors
/// A kernel error: `EINVAL` or `EPERM` for maps of ids that the caller does not have.
pub(crate) fn make_namespace(maps: &Maps) -> Result<OwnedFd> {
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to a process")?;
    let standard = std::io::stdin();
    let scene = Scene {
        sync: theirs.as_fd(),
        parent: ours.as_fd(),
        namespaces: &[],
        groups: &[],
        mounts: &[],
        standard: [standard.as_fd(); 3],
        gate: None,
    };
    let steps = [Step::Await(Turn::Mapped)];
    let spawned = child::spawn(Kinds::USER, None, &steps, &scene).doing(|| "make a user namespace for mounts")?;
    drop(theirs);
    let opened = Process::open(HostPid(spawned.pid)).and_then(|process| {
        process.write("uid_map", &maps.uid)?;
        process.write("gid_map", &maps.gid)?;
        process.open_namespace(Kind::User)
    });
    drop(ours);
    sys::process::wait(spawned.pidfd.as_fd()).doing(|| "wait for the process of a user namespace")?;
    opened
}

/// A view of a path of the host.
pub(crate) fn bind(
    source: &str,
    reach: Reach,
    (options, ids): (&Options, Option<&(Ids, Reach)>),
    sources: &mut IdSources,
) -> Result<OwnedFd> {
    let text = |path: &str| CString::new(path).map_err(|_| Refused::new("mounts.source", "", "holds a NUL character"));
    let path = text(source)?;
    let mount = match &options.below {
        Some(folder) => {
            let inside = source.strip_prefix(folder.as_str()).unwrap_or(source).trim_start_matches('/');
            view_below(&text(folder)?, &text(inside)?, reach)
        }
        None if options.has(Manner::SourceItself) => sys::mount::clone_tree_of_name(&path, reach),
        None => sys::mount::clone_tree(None, &path, reach),
    };
    let mount = mount.doing(|| format!("open {source} to bind it"))?;
    let action = || format!("set the options of the bind of {source}");
    for (reach, set, clear) in
        [(Reach::One, options.set, options.clear), (Reach::Recursive, options.set_below, options.clear_below)]
    {
        let propagation = options.propagation.filter(|(_, propagates)| *propagates == reach);
        if set != Attributes::NONE || clear != Attributes::NONE || propagation.is_some() {
            let propagation = propagation.map(|(propagation, _)| propagation);
            let change = Change { set, clear, propagation, ..Change::default() };
            sys::mount::change(mount.as_fd(), reach, &change).doing(action)?;
        }
    }
    if let Some((ids, reach)) = ids {
        let change = Change { idmap: Some(sources.open(ids)?), ..Change::default() };
        sys::mount::change(mount.as_fd(), *reach, &change).map_err(|errno| unmapped(source, errno))?;
    }
    Ok(mount)
}

/// A view of what is below a folder that others can write to.
fn view_below(folder: &CStr, inside: &CStr, reach: Reach) -> std::result::Result<OwnedFd, Errno> {
    let folder = sys::path::open_handle(folder)?;
    let place = sys::path::open_below(folder.as_fd(), inside, Access::Handle, Within::Mount)?;
    sys::mount::clone_tree(Some(place.as_fd()), c"", reach)
}

fn unmapped(source: &str, errno: Errno) -> Kernel {
    let kernel = Kernel::new(format!("map the ids of {source}"), errno);
    match errno {
        Errno::INVAL => kernel.hint("its file system, or one below it, has no id-mapped mounts on this kernel"),
        Errno::PERM => kernel.hint("it has other ids already, or its file system belongs to another user namespace"),
        _ => kernel,
    }
}

/// The host's node of a device. What is at the path may be another: then the kernel is asked for the device's own name.
pub(crate) fn node(path: &str, mode: u32, number: u32) -> Result<OwnedFd> {
    let named = |path: &str| {
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        let mount = sys::mount::clone_tree(None, &path, Reach::One)?;
        if sys::path::is_node(mount.as_fd(), mode, number)? { Ok(mount) } else { Err(Errno::NODEV) }
    };
    let found = match named(path) {
        Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => {
            kernel_name(mode, number).map_or(Err(Errno::NODEV), |name| named(&name))
        }
        found => found,
    };
    found.map_err(|errno| {
        let kernel = Kernel::new(format!("take the device {path} from the host"), errno);
        kernel.hint("in a user namespace no device can be made: the host needs one with its type and number").into()
    })
}

/// What the kernel calls a device, below /dev. Documentation/ABI/testing/sysfs-dev.
fn kernel_name(mode: u32, number: u32) -> Option<String> {
    const BLOCK: u32 = 0o060_000;
    let folder = if mode & 0o170_000 == BLOCK { "block" } else { "char" };
    let (major, minor) = sys::path::device_numbers(number);
    let facts = std::fs::read_to_string(format!("/sys/dev/{folder}/{major}:{minor}/uevent")).ok()?;
    facts.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(|name| format!("/dev/{name}"))
}
