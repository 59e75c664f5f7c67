//! /proc/PID/mountinfo: proc_pid_mountinfo(5), mount_namespaces(7).

use std::ffi::OsString;
use std::path::PathBuf;

use crate::lines::{lines, number, path, split_once, text, unescape};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountInfo {
    /// Its number; given again after it is unmounted.
    pub id: u32,
    /// The mount that it is mounted on; its own number, or one that is not in the list, for the root.
    pub parent: u32,
    /// Major and minor number of the file system, as stat(2) shows them in `st_dev`.
    pub device: (u32, u32),
    /// The folder of the file system that is its root: more than `/` for a bind mount.
    pub root: PathBuf,
    /// Where it is, seen from the process's root.
    pub mount_point: PathBuf,
    /// Its own options: `rw,nosuid`.
    pub options: String,
    /// With whom it shares what is mounted below it.
    pub propagation: Propagation,
    /// The file system: `ext4`, `fuse.sshfs`.
    pub fs_type: String,
    /// What was mounted: a device, a name, anything.
    pub source: OsString,
    /// The file system's options.
    pub super_options: String,
}

/// With whom a mount shares what is mounted below it; with nobody where nothing is set (`private`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Propagation {
    /// The peer group that it gives to and receives from.
    pub shared: Option<u32>,
    /// The peer group that it only receives from.
    pub master: Option<u32>,
    /// The nearest peer group that `master` receives from and that the process can see.
    pub propagate_from: Option<u32>,
    /// Whether it cannot be bind-mounted.
    pub unbindable: bool,
}

/// Parses the file.
#[must_use]
pub fn parse(file: &[u8]) -> Option<Vec<MountInfo>> {
    lines(file).map(MountInfo::parse).collect()
}

impl MountInfo {
    /// Parses a line.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut next = || fields.next().filter(|field| !field.is_empty());
        let (id, parent) = (number(next()?)?, number(next()?)?);
        let (major, minor) = split_once(next()?, b':')?;
        let (root, mount_point) = (path(&unescape(next()?)), path(&unescape(next()?)));
        let options = text(next()?);
        let mut propagation = Propagation::default();
        loop {
            match next()? {
                b"-" => break,
                field => propagation.add(field)?,
            }
        }
        let fs_type = text(&unescape(next()?));
        // The kernel writes an empty source as an empty field.
        let source = fields.next()?;
        let super_options = text(&unescape(fields.next()?));
        Some(Self {
            id,
            parent,
            device: (number(major)?, number(minor)?),
            root,
            mount_point,
            options,
            propagation,
            fs_type,
            source: path(&unescape(source)).into_os_string(),
            super_options,
        })
    }

    /// Whether nothing can be written through it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        [&self.options, &self.super_options].into_iter().any(|options| options.split(',').any(|option| option == "ro"))
    }
}

impl Propagation {
    /// Takes one optional field; those that are not known are left out, as the man page asks.
    fn add(&mut self, field: &[u8]) -> Option<()> {
        match split_once(field, b':') {
            Some((b"shared", group)) => self.shared = Some(number(group)?),
            Some((b"master", group)) => self.master = Some(number(group)?),
            Some((b"propagate_from", group)) => self.propagate_from = Some(number(group)?),
            None if field == b"unbindable" => self.unbindable = true,
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    const LINE: &[u8] = br"36 35 98:0 /mnt1 /mnt\0402 rw,noatime shared:7 master:1 propagate_from:3 new:9 unbindable - ext3 /dev/root rw,errors=continue";

    #[test]
    fn the_fields_are_found() {
        let mount = MountInfo::parse(LINE).unwrap();
        assert_eq!((mount.id, mount.parent, mount.device), (36, 35, (98, 0)));
        assert_eq!((mount.root, mount.mount_point), (PathBuf::from("/mnt1"), PathBuf::from("/mnt 2")));
        assert_eq!((mount.options.as_str(), mount.super_options.as_str()), ("rw,noatime", "rw,errors=continue"));
        assert_eq!((mount.fs_type.as_str(), mount.source.as_bytes()), ("ext3", b"/dev/root".as_slice()));
        let expected = Propagation { shared: Some(7), master: Some(1), propagate_from: Some(3), unbindable: true };
        assert_eq!(mount.propagation, expected);
    }

    #[test]
    fn a_private_mount_shares_with_nobody() {
        let mount = MountInfo::parse(b"1 1 0:2 / / rw - rootfs rootfs rw").unwrap();
        assert_eq!(mount.propagation, Propagation::default());
    }

    #[test]
    fn paths_keep_their_bytes() {
        let mount = MountInfo::parse(b"1 1 0:2 / /\xff\\012\\134 rw - tmpfs  ro,size=1k").unwrap();
        assert_eq!(mount.mount_point.as_os_str().as_bytes(), b"/\xff\n\\");
        assert!(mount.source.is_empty());
        assert!(mount.is_read_only());
    }

    #[test]
    fn a_dash_in_a_path_does_not_end_the_optional_fields() {
        let mount = MountInfo::parse(b"1 1 0:2 / /a\\040-\\040b rw shared:1 - tmpfs - rw").unwrap();
        assert_eq!(mount.mount_point, PathBuf::from("/a - b"));
        assert_eq!((mount.fs_type.as_str(), mount.source.as_bytes()), ("tmpfs", b"-".as_slice()));
    }

    #[test]
    fn one_bad_line_makes_the_file_bad() {
        assert_eq!(parse(LINE).map(|mounts| mounts.len()), Some(1));
        assert_eq!(parse(&[LINE, b"\nnonsense\n"].concat()), None);
    }

    #[test]
    fn a_line_cut_short_is_nothing() {
        let end = LINE.iter().rposition(|byte| *byte == b' ').unwrap();
        assert!((0..end).all(|end| MountInfo::parse(&LINE[..end]).is_none()));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_damage_can_be_parsed(at in 0..LINE.len(), byte: u8) {
            let mut bytes = LINE.to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes);
        }
    }
}
