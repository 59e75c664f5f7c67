//! A tree told entry by entry, so that two trees can be compared.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use carboy_image::sha256;

/// One line for each entry: path, kind, mode, owner, time, links, what it holds, attributes that are no overlay's.
///
/// Times of directories stand there as far as they are not of today: what has no entry in any layer has none.
pub(crate) fn shown(root: &Path) -> String {
    let mut lines = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let whole = root.join(&path);
        lines.push(line(&path, &whole));
        if fs::symlink_metadata(&whole).unwrap().is_dir() {
            pending.extend(fs::read_dir(&whole).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        }
    }
    lines.sort();
    lines.join("\n")
}

fn line(path: &Path, whole: &Path) -> String {
    let found = fs::symlink_metadata(whole).unwrap();
    let kind = match found.file_type() {
        kind if kind.is_dir() => 'd',
        kind if kind.is_symlink() => 'l',
        kind if kind.is_char_device() => 'c',
        kind if kind.is_block_device() => 'b',
        kind if kind.is_fifo() => 'p',
        _ => 'f',
    };
    let mut line = format!("{} {kind} {:o} {}:{}", path.display(), found.mode() & 0o7777, found.uid(), found.gid());
    if found.mtime() < 1_790_000_000 {
        write!(line, " {}.{:09}", found.mtime(), found.mtime_nsec()).unwrap();
    }
    match kind {
        'd' => {}
        'l' => write!(line, " links {} to {}", found.nlink(), fs::read_link(whole).unwrap().display()).unwrap(),
        'f' => {
            let content = sha256(&fs::read(whole).unwrap());
            write!(line, " links {} {} bytes {content}", found.nlink(), found.size()).unwrap();
        }
        _ => {
            let device = found.rdev();
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            write!(line, " links {} device {major}:{minor}", found.nlink()).unwrap();
        }
    }
    for (name, value) in xattrs(whole) {
        write!(line, " {name}={}", value.escape_ascii()).unwrap();
    }
    line
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = vec![0_u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
    let mut found: Vec<_> = list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !name.starts_with(b"trusted.overlay."))
        .map(|name| {
            let mut value = vec![0_u8; 4096];
            let length = rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..]).unwrap();
            value.truncate(length);
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect();
    found.sort();
    found
}
