//! The mount points of a container that is restored: CRIU mounts what was mounted, and what was made for that may be gone.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use error::{Doing, Errno, Kernel, Result};
use oci::{Config, Mount};
use sys::path::{Missing, open_or_make};

/// Makes those that are missing, each in the folder of the root or of the host that is seen there. What lies in another
/// file system comes back with it.
///
/// # Errors
/// A kernel error.
pub(crate) fn make(config: &Config, root: &Path) -> Result<()> {
    for (place, mount) in config.mounts.iter().enumerate() {
        let action = || format!("make the mount point {}", mount.destination);
        let Some((folder, rest)) = lies_in(mount, config.mounts.get(..place).unwrap_or_default(), root) else {
            continue;
        };
        let on_file = is_bind(mount) && mount.source.as_ref().is_some_and(|source| !Path::new(source).is_dir());
        let missing = if on_file { Missing::File } else { Missing::Folder };
        let rest = CString::new(rest.as_os_str().as_bytes()).map_err(|_| Kernel::new(action(), Errno::INVAL))?;
        let folder = File::open(folder).doing(action)?;
        open_or_make(folder.as_fd(), &rest, missing).doing(action)?;
    }
    Ok(())
}

/// The folder of the host that a mount's point lies in, and its path from there; `None` where it is not the host's.
fn lies_in<'m>(mount: &'m Mount, earlier: &'m [Mount], root: &'m Path) -> Option<(&'m Path, &'m Path)> {
    let path = Path::new(&mount.destination);
    let around = earlier.iter().rev().find(|earlier| path.starts_with(&earlier.destination));
    let (folder, rest) = match around {
        None => (root, path.strip_prefix("/").ok()?),
        Some(around) if is_bind(around) => {
            (Path::new(around.source.as_ref()?), path.strip_prefix(&around.destination).ok()?)
        }
        Some(_) => return None,
    };
    (!rest.as_os_str().is_empty() && folder.is_dir()).then_some((folder, rest))
}

/// Whether a mount shows what the host has.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("bind")
        || mount.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_lies_in_the_last_mount_that_is_around_it() {
        let mount = |destination: &str, source: Option<&str>| Mount {
            destination: destination.to_owned(),
            kind: Some(if source.is_some() { "bind" } else { "tmpfs" }.to_owned()),
            source: source.map(str::to_owned),
            ..Mount::default()
        };
        let earlier = [mount("/run", None), mount("/data", Some("/usr")), mount("/data/of", Some("/etc"))];
        let root = Path::new("/");
        let of = |destination: &str| {
            let mount = mount(destination, None);
            lies_in(&mount, &earlier, root).map(|(folder, rest)| (folder.to_owned(), rest.to_owned()))
        };
        let found = |folder: &str, rest: &str| Some((folder.into(), rest.into()));
        assert_eq!(of("/mnt/point"), found("/", "mnt/point"));
        assert_eq!(of("/data/point"), found("/usr", "point"));
        assert_eq!(of("/data/of/point"), found("/etc", "point"));
        assert_eq!(of("/database"), found("/", "database"));
        for none in ["/run/lock", "/data", "/"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
