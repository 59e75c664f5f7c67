//! Layers unpacked each alone, settled on those below, and shown by an overlay of this kernel. Needs root.
#![expect(clippy::unwrap_used, reason = "a failure fails the test")]

#[path = "../unpack/archive.rs"]
mod archive;
mod by_chance;
mod changed;
mod hostile;
mod shown;
mod stack;
mod umoci;

use carboy_image::layer::{Layer, Limits, Settled, unpack_layer};
use carboy_image::sha256;

use crate::archive::{Archive, Raw, raw};
use crate::shown::shown;
use crate::stack::Stack;

/// A root with a file and a link in each of some directories.
fn base() -> Archive {
    Archive::new()
        .add(Raw { mode: 0o711, uid: 3, mtime: 1_600_000_000, ..raw(b'5', "etc") })
        .file("etc/passwd", "root")
        .file("etc/group", "wheel")
        .pax(&[("mtime", b"1500000000.123456789"), ("SCHILY.xattr.user.note", b"kept")])
        .add(Raw { mode: 0o2770, gid: 9, mtime: 1_500_000_000, ..raw(b'5', "etc/deep") })
        .file("etc/deep/file", "deep")
        .directory("usr")
        .directory("usr/lib")
        .file("usr/lib/so", "old")
        .symlink("lib", "usr/lib")
}

#[test]
fn a_file_that_a_layer_removes_is_gone_and_its_neighbours_stay() {
    let stack = Stack::of(&[base(), Archive::new().file("etc/.wh.passwd", "").file(".wh.usr", "")]);
    assert_eq!(stack.settled, [Settled::Done, Settled::Done]);
    stack.assert_like_one_after_another();
    let shown = shown(stack.mounted());
    assert!(!shown.contains("passwd") && shown.contains("etc/group") && !shown.contains("usr "), "{shown}");
}

#[test]
fn a_directory_that_a_layer_passes_through_is_as_it_is_below() {
    let stack = Stack::of(&[base(), Archive::new().file("etc/deep/new", "").file("new/dir/file", "")]);
    assert_eq!(stack.settled, [Settled::Done, Settled::Done]);
    stack.assert_like_one_after_another();
    let shown = shown(stack.mounted());
    assert!(shown.contains("etc d 711 3:0 1600000000"), "{shown}");
    assert!(shown.contains("etc/deep d 2770 0:9 1500000000.123456789 user.note=kept"), "{shown}");
    assert!(shown.contains("new/dir d 755 0:0"), "{shown}");
}

#[test]
fn a_whiteout_hides_nothing_of_its_own_layer_wherever_it_stands() {
    for order in [false, true] {
        let (hide, bring) = (".wh.deep", "etc/deep/new");
        let whiteout = |archive: Archive| archive.file(&format!("etc/{hide}"), "").file("etc/.wh.group", "");
        let files = |archive: Archive| archive.file("etc/group", "new").file(bring, "new");
        let layer = if order { files(whiteout(Archive::new())) } else { whiteout(files(Archive::new())) };
        let stack = Stack::of(&[base(), layer]);
        assert_eq!(stack.settled, [Settled::Done, Settled::Done]);
        let shown = shown(stack.mounted());
        assert!(shown.contains("etc/deep/new") && !shown.contains("etc/deep/file"), "{shown}");
        assert_eq!(std::fs::read_to_string(stack.mounted().join("etc/group")).unwrap(), "new");
    }
}

#[test]
fn an_opaque_directory_shows_its_own_layer_alone() {
    let layers = [base(), Archive::new().file("etc/deep/new", "").file("etc/deep/.wh..wh..opq", ""), {
        Archive::new().directory("usr/").file("usr/.wh..wh..opq", "").file("usr/alone", "")
    }];
    let stack = Stack::of(&layers);
    assert_eq!(stack.settled, [Settled::Done, Settled::Done, Settled::Done]);
    stack.assert_like_one_after_another();
    let shown = shown(stack.mounted());
    assert!(!shown.contains("deep/file") && !shown.contains("usr/lib/so") && shown.contains("usr/alone"), "{shown}");
}

#[test]
fn a_layer_that_hides_all_below_it_does_so() {
    let stack = Stack::of(&[base(), Archive::new().file(".wh..wh..opq", "").file("alone", "")]);
    assert!(matches!(stack.settled[1], Settled::Again(_)));
    stack.assert_like_one_after_another();
    assert_eq!(std::fs::read_dir(stack.mounted()).unwrap().count(), 1);
}

#[test]
fn hard_links_to_files_below_are_other_names_of_them() {
    let link = Archive::new()
        .hard_link("etc/twin", "usr/lib/so")
        .hard_link("etc/third", "etc/twin")
        .file("usr/lib/.wh.gone", "")
        .hard_link("moved", "etc/passwd")
        .file("etc/.wh.passwd", "");
    let stack = Stack::of(&[base(), link]);
    assert_eq!(stack.settled, [Settled::Done, Settled::Done]);
    stack.assert_like_one_after_another();
    let shown = shown(stack.mounted());
    assert!(shown.contains("usr/lib/so f 644 0:0 1700000000.000000000 links 3"), "{shown}");
    assert!(!shown.contains("etc/passwd") && shown.contains("moved f"), "{shown}");
}

#[test]
fn entries_behind_a_symbolic_link_of_a_layer_below_come_where_it_leads() {
    for layer in [
        Archive::new().file("lib/new", "x").file("lib/.wh.so", ""),
        Archive::new().symlink("also", "lib").file("also/new", "x").file("also/.wh.so", ""),
        Archive::new().hard_link("lib/twin", "lib/so").file("lib/new", "x"),
    ] {
        let stack = Stack::of(&[base(), layer]);
        assert!(matches!(stack.settled[1], Settled::Again(_)), "{:?}", stack.settled);
        stack.assert_like_one_after_another();
        assert!(shown(stack.mounted()).contains("usr/lib/new"), "{}", shown(stack.mounted()));
    }
}

#[test]
fn devices_of_all_kinds_are_made_except_the_one_that_would_be_a_whiteout() {
    let layer = Archive::new()
        .device(b'3', "null", (1, 3))
        .device(b'3', "mem", (1, 1))
        .device(b'4', "disk", (8, 0))
        .device(b'6', "pipe", (0, 0))
        .device(b'3', "etc", (0, 0));
    let stack = Stack::of(&[base(), layer]);
    let shown = shown(stack.mounted());
    for line in ["mem c 644 0:0 1700000000.000000000 links 1 device 1:1", "disk b 644", "pipe p 644", "etc/passwd"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert_eq!(stack.unpacked[1].skipped.len(), 1);
}

#[test]
fn the_digest_is_that_of_the_archive_to_its_last_byte() {
    let mut archive = base().finish();
    archive.extend_from_slice(&[0; 5000]);
    archive.push(7);
    for compressed in [archive.clone(), stack::gzip(&archive), stack::zstd(&archive)] {
        let room = tempfile::tempdir().unwrap();
        let into = std::fs::File::open(room.path()).unwrap();
        let unpacked = unpack_layer(&compressed[..], std::os::fd::AsFd::as_fd(&into), &Layer::default()).unwrap();
        assert_eq!((unpacked.diff_id, unpacked.bytes), (sha256(&archive), archive.len() as u64));
    }
}

#[test]
fn an_archive_without_its_end_mark_is_whole() {
    let mut without_padding = base().file("last", "x").cut_off();
    without_padding.truncate(without_padding.len() - 511);
    for archive in [base().cut_off(), without_padding] {
        let stack = Stack::of_archives(vec![archive]);
        assert!(shown(stack.mounted()).contains("etc/passwd"));
    }
}

#[test]
fn a_layer_of_more_than_is_allowed_is_refused_with_the_limit() {
    let zeros = stack::gzip(&vec![0; 64 << 20]);
    let deep = format!("{}file", "d/".repeat(20));
    for (archive, limits, reason) in [
        (base().finish(), Limits { entries: 4, ..Limits::default() }, "5 entries or more, and 4 are allowed"),
        (zeros, Limits { bytes: 1 << 20, ..Limits::default() }, "bytes or more, and 1048576 are allowed"),
        (
            Archive::new().file(&deep, "").finish(),
            Limits { depth: 10, ..Limits::default() },
            "21 directories within one another or more, and 10 are allowed",
        ),
    ] {
        let room = tempfile::tempdir().unwrap();
        let into = std::fs::File::open(room.path()).unwrap();
        let layer = Layer { limits, ..Layer::default() };
        let error = unpack_layer(&archive[..], std::os::fd::AsFd::as_fd(&into), &layer).unwrap_err().to_string();
        assert!(error.starts_with("cannot use the layer: ") && error.contains(reason), "{error}");
    }
}
