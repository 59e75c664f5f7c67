//! /proc/filesystems: proc_filesystems(5).

use error::Result;

use crate::lines::{fields, lines, text};
use crate::process;

/// A file system that this kernel knows now; it may load more when they are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name.
    pub name: String,
    /// Whether it lies on a block device.
    pub on_device: bool,
}

/// Reads the file.
///
/// # Errors
/// A kernel error where /proc is not there.
pub fn read() -> Result<Vec<FileSystem>> {
    process::read("filesystems", parse)
}

/// Parses the file.
#[must_use]
pub fn parse(file: &[u8]) -> Option<Vec<FileSystem>> {
    let file_system = |line: &[u8]| {
        let fields: Vec<_> = fields(line).collect();
        match fields.as_slice() {
            [b"nodev", name] => Some(FileSystem { name: text(name), on_device: false }),
            [name] => Some(FileSystem { name: text(name), on_device: true }),
            _ => None,
        }
    };
    lines(file).map(file_system).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn file_systems_without_a_device_are_told_apart() {
        let parsed = parse(b"nodev\toverlay\n\text4\n").unwrap();
        let expected = [("overlay", false), ("ext4", true)];
        assert_eq!(parsed.iter().map(|kind| (kind.name.as_str(), kind.on_device)).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
