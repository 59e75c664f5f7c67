//! The paths of a snapshot as text. On a host a path is any bytes; JSON has text alone. Pure.

use std::path::PathBuf;

use crate::snapshot::{Container, Holder, Snapshot};

impl Snapshot {
    /// The same with bytes that are no UTF-8 replaced by U+FFFD in every path: what was to be read by them has been read.
    pub(crate) fn legible(mut self) -> Self {
        let groups = self.groups.iter_mut().map(|group| &mut group.path);
        let holders = self.namespaces.iter_mut().flat_map(|namespace| &mut namespace.holders);
        let holders =
            holders.filter_map(|holder| if let Holder::Mount { path, .. } = holder { Some(path) } else { None });
        groups.chain(holders).chain(self.containers.iter_mut().flat_map(paths)).for_each(replace);
        self
    }
}

fn paths(container: &mut Container) -> Vec<&mut PathBuf> {
    let mut paths = Vec::new();
    for mount in container.mounts.iter_mut().flatten() {
        paths.extend([&mut mount.inside, &mut mount.root]);
        paths.extend(mount.host.iter_mut().chain(&mut mount.layers));
    }
    if let Some(reach) = &mut container.reach {
        paths.extend(reach.sockets.iter_mut().flat_map(|socket| [&mut socket.inside, &mut socket.host]));
        paths.extend(reach.nodes.iter_mut().map(|node| &mut node.inside));
        paths.extend(reach.descriptors.iter_mut().map(|descriptor| &mut descriptor.path));
    }
    paths
}

fn replace(path: &mut PathBuf) {
    if path.to_str().is_none() {
        *path = path.to_string_lossy().into_owned().into();
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use procfs::Kind;

    use super::*;
    use crate::samples;
    use crate::snapshot::Mount;

    #[test]
    fn a_path_of_any_bytes_can_be_written_as_json() {
        let mut snapshot = samples::empty();
        let web = samples::container(&mut snapshot, "web", &[Kind::Net]);
        let evil = PathBuf::from(OsStr::from_bytes(b"/a\xff"));
        snapshot.groups.push(samples::group("/", None));
        snapshot.groups[0].path.clone_from(&evil);
        let mount = Mount { inside: evil.clone(), host: Some(evil.clone()), layers: vec![evil], ..Mount::default() };
        snapshot.containers[web].mounts = Some(vec![mount]);
        assert!(serde_json::to_string(&snapshot).is_err());
        let legible = snapshot.legible();
        assert_eq!(legible.groups[0].path, PathBuf::from("/a\u{fffd}"));
        assert!(serde_json::to_string(&legible).is_ok());
    }
}
