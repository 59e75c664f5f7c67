//! Layers that try to reach what is outside of them, and names that only look like whiteouts.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use carboy_image::layer::{Layer, Over, Remembers, Settled, settle, unpack_layer, unpack_over_layers};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::archive::{Archive, Raw, raw};
use crate::shown::shown;
use crate::stack::Stack;

/// Folders for a layer, its base and the kernel's work, with one beside them that no layer may reach.
struct Room {
    all: TempDir,
}

impl Room {
    fn new() -> Self {
        let room = Self { all: tempfile::tempdir_in("/var/tmp").unwrap() };
        for name in ["base", "layer", "over", "work", "outside"] {
            fs::create_dir(room.at(name)).unwrap();
        }
        fs::write(room.at("outside/secret"), "untouched").unwrap();
        // Below, the way out is a symbolic link.
        std::os::unix::fs::symlink("../outside", room.at("base/up")).unwrap();
        std::os::unix::fs::symlink(room.at("outside"), room.at("base/out")).unwrap();
        fs::create_dir(room.at("base/dir")).unwrap();
        fs::write(room.at("base/dir/file"), "below").unwrap();
        room
    }

    fn at(&self, name: &str) -> PathBuf {
        self.all.path().join(name)
    }

    fn open(&self, name: &str) -> File {
        File::open(self.at(name)).unwrap()
    }

    /// In all ways that there are. What is refused is refused.
    fn take(&self, archive: &[u8]) {
        let (layer, base, over, work) = (self.open("layer"), self.open("base"), self.open("over"), self.open("work"));
        let below = [base.as_fd()];
        if let Ok(unpacked) = unpack_layer(archive, layer.as_fd(), &Layer::default()) {
            let _ = settle(layer.as_fd(), &unpacked, &below, Remembers::AsTrusted);
        }
        let over = Over { upper: over.as_fd(), work: work.as_fd(), below: &below };
        let _ = unpack_over_layers(archive, &over, &Layer::default());
    }

    #[track_caller]
    fn assert_the_rest_is_untouched(&self, archive: &str) {
        let names = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!((names(&self.at("outside")), names(self.all.path())), (1, 5), "{archive}");
        assert_eq!(fs::read_to_string(self.at("outside/secret")).unwrap(), "untouched", "{archive}");
        assert_eq!(fs::read_to_string(self.at("base/dir/file")).unwrap(), "below", "{archive}");
        assert_eq!((names(&self.at("base")), names(&self.at("base/dir"))), (3, 1), "{archive}");
    }
}

#[test]
fn no_layer_reaches_what_is_outside_of_it() {
    let long = "x".repeat(5000);
    let archives = [
        Archive::new().file("../outside/new", "x"),
        Archive::new().file("a/../../outside/new", "x"),
        Archive::new().file("up/new", "x").file("out/new", "x"),
        Archive::new().file("up/.wh.secret", ""),
        Archive::new().file("out/.wh.secret", ""),
        Archive::new().file("up/.wh..wh..opq", "").file("out/.wh..wh..opq", ""),
        Archive::new().file("../outside/.wh.secret", ""),
        Archive::new().file(".wh...", "").file(".wh..", "").file(".wh.", ""),
        Archive::new().file("dir/.wh...", ""),
        Archive::new().hard_link("mine", "up/secret"),
        Archive::new().hard_link("mine", "out/secret").file("mine", "x"),
        Archive::new().hard_link("mine", "../outside/secret"),
        Archive::new().hard_link("mine", "dir/file").file("mine", "x"),
        Archive::new().symlink("dir", "/").file("dir/.wh.outside", "").file("dir/outside/new", "x"),
        Archive::new().symlink("a", "..").symlink("b", "a/outside").file("b/new", "x"),
        Archive::new().symlink("a", "../outside/secret").file("a", "x"),
        Archive::new().symlink("a", "../outside/secret").hard_link("b", "a").file("b", "x"),
        Archive::new()
            .directory("p")
            .file("p/f", "")
            .symlink("p", "../outside")
            .file("p/new", "x")
            .file("p/.wh.secret", ""),
        Archive::new().directory("up").file("up/new", "x").file("up/.wh.secret", ""),
        Archive::new().file("nul\0/../../outside/new", "x"),
        Archive::new().pax(&[("path", b"nul\0name")]).file("a", "x"),
        Archive::new().pax(&[("linkpath", b"nul\0name")]).hard_link("a", "x"),
        Archive::new().file(&long, "x").pax(&[("path", long.as_bytes())]).file("a", "x"),
        Archive::new().add(Raw { link: b"/proc/self/root/etc", ..raw(b'2', "magic") }).file("magic/new", "x"),
    ];
    for (number, archive) in archives.into_iter().enumerate() {
        let room = Room::new();
        room.take(&archive.finish());
        room.assert_the_rest_is_untouched(&number.to_string());
    }
}

#[test]
fn names_that_hide_no_name_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh...", "./a/./.wh.."] {
        let error = Stack::try_of(vec![Archive::new().file(name, "").finish()]).err().unwrap();
        assert!(error.to_string().contains("hides no name"), "{error}");
    }
}

#[test]
fn names_of_aufs_and_those_that_only_look_like_whiteouts_are_no_removals() {
    let layer = Archive::new()
        .file(".wh..wh.aufs", "")
        .directory(".wh..wh.plnk")
        .file(".wh..wh.plnk/12.34", "x")
        .file("a.wh.b", "x")
        .file(".wh", "x")
        .file(".whiteout", "x");
    let stack = Stack::of(&[crate::base(), layer]);
    let shown = shown(stack.mounted());
    for name in ["a.wh.b f", ".wh f", ".whiteout f", "etc/passwd f"] {
        assert!(shown.contains(name), "{name}: {shown}");
    }
    assert!(!shown.contains("aufs") && !shown.contains("plnk"), "{shown}");
}

#[test]
fn the_notes_of_an_overlay_in_an_archive_are_left_out() {
    let notes = [
        ("SCHILY.xattr.trusted.overlay.opaque", &b"y"[..]),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.trusted.overlay.metacopy", b""),
    ];
    let stack = Stack::of(&[crate::base(), Archive::new().pax(&notes).directory("etc/deep")]);
    assert_eq!(stack.settled, [Settled::Done, Settled::Done]);
    assert!(stack.mounted().join("etc/deep/file").exists());
    assert_eq!(stack.unpacked[1].skipped.len(), 4);
}

#[test]
fn a_device_that_would_hide_a_file_is_left_out() {
    let stack = Stack::of(&[crate::base(), Archive::new().device(b'3', "etc/passwd", (0, 0))]);
    assert!(stack.mounted().join("etc/passwd").metadata().unwrap().is_file());
    let stack = Stack::of(&[crate::base(), Archive::new().device(b'3', "etc/passwd", (0, 1))]);
    assert!(stack.mounted().join("etc/passwd").metadata().unwrap().file_type().is_char_device());
}

/// Names that lead up, out, over links and to whiteouts.
fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "..",
        ".",
        "",
        "up",
        "out",
        "dir",
        "file",
        "a",
        "A",
        ".wh.a",
        ".wh.dir",
        ".wh..",
        ".wh.",
        ".wh..wh..opq",
        ".wh..wh.x",
        "outside",
        "secret",
        "base",
    ]);
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn entry() -> impl Strategy<Value = (u8, String, String)> {
    (prop::sample::select(vec![b'0', b'1', b'2', b'3', b'5', b'6']), name(), name())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn no_layer_made_by_chance_reaches_what_is_outside_of_it(entries in prop::collection::vec(entry(), 1..8)) {
        let room = Room::new();
        let archive = entries.iter().fold(Archive::new(), |archive, (kind, name, link)| {
            archive.add(Raw { link: link.as_bytes(), content: if *kind == b'0' { b"x" } else { b"" }, ..raw(*kind, name) })
        });
        room.take(&archive.finish());
        room.assert_the_rest_is_untouched(&format!("{entries:?}"));
    }
}
