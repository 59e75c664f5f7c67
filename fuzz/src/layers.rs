//! Layers of an image, told by lines so that what is made by chance is an archive: `KIND NAME LINK`, and `=` before the next one.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;

use image::layer::{Layer, Remembers, settle, unpack_layer};

/// Unpacks the layers, each alone and over those before it, into folders that are removed after it.
pub(crate) fn unpack(bytes: &[u8]) {
    let folder = std::env::temp_dir().join(format!("carboy-fuzz-layers-{}", std::process::id()));
    if fs::create_dir_all(folder.join("all/beside")).is_ok() {
        let archives = archives(bytes);
        take(&folder.join("all"), &archives);
        assert_eq!(names(&folder), 1, "a layer leaves its folder");
        assert_eq!(names(&folder.join("all")), archives.len() + 1, "a layer leaves its folder");
        assert_eq!(names(&folder.join("all/beside")), 0, "a layer leaves its folder");
    }
    let _ = fs::remove_dir_all(&folder);
}

fn names(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn take(folder: &Path, archives: &[Vec<u8>]) {
    let mut below: Vec<File> = Vec::new();
    for (number, archive) in archives.iter().enumerate() {
        let at = folder.join(number.to_string());
        let _ = fs::create_dir(&at);
        let Ok(opened) = File::open(&at) else { continue };
        let lowers: Vec<_> = below.iter().rev().map(|layer| layer.as_fd()).collect();
        if let Ok(unpacked) = unpack_layer(&archive[..], opened.as_fd(), &Layer::default()) {
            let _ = settle(opened.as_fd(), &unpacked, &lowers, Remembers::AsTrusted);
        }
        below.push(opened);
    }
}

/// As archives; no more of them than a person would write.
fn archives(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut archives = vec![Vec::new()];
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        if line == b"=" && archives.len() < 4 {
            archives.push(Vec::new());
        } else if let Some(archive) = archives.last_mut() {
            archive.extend(header(line));
        }
    }
    archives.iter_mut().for_each(|archive| archive.resize(archive.len() + 1024, 0));
    archives
}

fn header(line: &[u8]) -> [u8; 512] {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let kind = words.next().and_then(|word| word.first()).copied().unwrap_or_default();
    let (name, link) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut header = [0; 512];
    for (at, length, text) in [
        (0, 100, name),
        (100, 8, b"0000755"),
        (108, 8, b"0000000"),
        (116, 8, b"0000000"),
        (124, 12, b"00000000000"),
        (136, 12, b"14524770400"),
        (148, 8, b"        "),
        (156, 1, &[kind]),
        (157, 100, link),
        (257, 8, b"ustar\x0000"),
    ] {
        let text: &[u8] = text;
        header.iter_mut().skip(at).take(length).zip(text).for_each(|(place, byte)| *place = *byte);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()).for_each(|(place, byte)| *place = byte);
    header
}
