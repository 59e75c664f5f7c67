//! What a layer's folder holds, counted: whether it still has what was unpacked into it.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};

use error::{Doing, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::fs::{openat2, statat};

use crate::unpack::{dot_if_empty, shown};

/// Bytes of directory entries that are read at once.
const ENTRIES: usize = 16 << 10;

/// How many names are below a directory, whatever they are of, and the lengths of the regular files among them in bytes: of
/// one with several names as often.
///
/// # Errors
/// `Kernel` for what cannot be read.
pub fn count(top: BorrowedFd<'_>) -> Result<(u64, u64)> {
    let (mut names, mut length) = (0, 0_u64);
    let mut directories = vec![Vec::new()];
    let mut space = [const { MaybeUninit::uninit() }; ENTRIES];
    while let Some(path) = directories.pop() {
        let action = || format!("read {} of the layer", shown(&path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let directory = openat2(top, dot_if_empty(&path), flags, Mode::empty(), resolve).doing(action)?;
        let mut entries = RawDir::new(directory.as_fd(), &mut space);
        while let Some(entry) = entries.next() {
            let entry = entry.doing(action)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            names += 1;
            let look = || statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).doing(action);
            let kind = match entry.file_type() {
                FileType::Unknown => FileType::from_raw_mode(look()?.st_mode),
                kind => kind,
            };
            if kind == FileType::Directory {
                let above: &[u8] = if path.is_empty() { b"" } else { b"/" };
                directories.push([&path[..], above, name.to_bytes()].concat());
            } else if kind == FileType::RegularFile {
                length = length.saturating_add(u64::try_from(look()?.st_size).unwrap_or(0));
            }
        }
    }
    Ok((names, length))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_and_lengths_are_counted_and_a_file_that_lost_its_end_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/file"), "12345").unwrap();
        fs::hard_link(top.join("a/b/file"), top.join("again")).unwrap();
        std::os::unix::fs::symlink("/etc", top.join("a/link")).unwrap();
        let counted = || count(fs::File::open(top).unwrap().as_fd()).unwrap();
        assert_eq!(counted(), (5, 10));
        fs::write(top.join("a/b/file"), "").unwrap();
        assert_eq!(counted(), (5, 0));
    }
}
