//! Archives that try to reach what is outside of their root, and those that lie.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use carboy_image::SkippedWhat;
use rustix::fs::{XattrFlags, getxattr, lgetxattr, setxattr};

use crate::archive::{Archive, Raw, raw};
use crate::{Room, message};

#[test]
fn a_name_with_dots_is_refused() {
    for name in ["../outside/new", "a/../../outside/new", "..", "a/.."] {
        let room = Room::new();
        let error = room.unpack(&Archive::new().directory("a").file(name, "x").finish()).unwrap_err();
        let text = message(&error);
        assert!(text.contains(name) && text.contains("leaves the root"), "{text}");
        room.assert_outside_is_untouched();
    }
}

#[test]
fn an_absolute_name_is_taken_from_the_root() {
    let room = Room::new();
    let name = room.outside.join("new");
    room.unpack(&Archive::new().file(name.to_str().unwrap(), "x").finish()).unwrap();
    assert_eq!(room.read(name.to_str().unwrap().trim_start_matches('/')), "x");
    room.assert_outside_is_untouched();
}

#[test]
fn an_entry_through_a_symlink_out_of_the_root_lands_within_it() {
    let room = Room::new();
    let outside = room.outside.to_str().unwrap().to_owned();
    let archive = Archive::new().directory(&outside).symlink("absolute", &outside).file("absolute/new", "x");
    room.unpack(&archive.finish()).unwrap();
    assert_eq!(room.read(&format!("{}/new", outside.trim_start_matches('/'))), "x");
    room.assert_outside_is_untouched();
}

#[test]
fn an_entry_through_a_relative_symlink_out_of_the_root_lands_within_it() {
    let room = Room::new();
    let archive = Archive::new().directory("outside").symlink("up", "../../../outside").file("up/new", "x");
    room.unpack(&archive.finish()).unwrap();
    assert_eq!(room.read("outside/new"), "x");
    room.assert_outside_is_untouched();
}

#[test]
fn an_entry_through_a_symlink_to_nothing_is_an_error() {
    let room = Room::new();
    let outside = room.outside.to_str().unwrap().to_owned();
    let error = room.unpack(&Archive::new().symlink("link", &outside).file("link/new", "x").finish()).unwrap_err();
    assert!(message(&error).contains("link/new"), "{}", message(&error));
    room.assert_outside_is_untouched();
}

#[test]
fn a_symlink_that_is_replaced_while_its_target_is_cached_leads_nowhere() {
    let room = Room::new();
    let archive = Archive::new().directory("b").symlink("a", "b").file("a/1", "").directory("a").file("a/2", "");
    room.unpack(&archive.finish()).unwrap();
    assert!(room.path("b/1").exists() && room.path("a/2").exists() && !room.path("b/2").exists());
}

#[test]
fn a_symlink_on_the_way_is_followed_within_the_root() {
    let room = Room::new();
    let archive = Archive::new().directory("usr/lib").symlink("lib", "usr/lib").file("lib/libc.so", "elf");
    room.unpack(&archive.finish()).unwrap();
    assert_eq!(room.read("usr/lib/libc.so"), "elf");
    assert!(room.path("lib").is_symlink());
}

#[test]
fn a_file_replaces_a_symlink_and_does_not_write_through_it() {
    let room = Room::new();
    let secret = room.outside.join("secret");
    let archive =
        Archive::new().symlink("s", secret.to_str().unwrap()).file("s", "mine").symlink("d", "/").directory("d");
    room.unpack(&archive.finish()).unwrap();
    assert!(!room.path("s").is_symlink() && !room.path("d").is_symlink());
    assert_eq!(room.read("s"), "mine");
    room.assert_outside_is_untouched();
}

#[test]
fn a_file_replaces_a_directory_with_all_that_is_in_it() {
    let room = Room::new();
    let archive = Archive::new().directory("d/e").file("d/e/f", "old").file("d", "new");
    room.unpack(&archive.finish()).unwrap();
    assert_eq!(room.read("d"), "new");
}

#[test]
fn a_directory_that_became_a_symlink_gives_its_attributes_to_nobody() {
    let room = Room::new();
    let sub = Raw { mode: 0o700, uid: 7, ..raw(b'5', "d/sub") };
    let archive = Archive::new().directory("e/sub").add(sub).symlink("d", "e").symlink("top", "/");
    room.unpack(&archive.finish()).unwrap();
    let there = fs::metadata(room.path("e/sub")).unwrap();
    assert_eq!((there.mode() & 0o7777, there.uid()), (0o755, 0));
}

#[test]
fn a_hard_link_to_the_outside_is_an_error() {
    let room = Room::new();
    let secret = room.outside.join("secret");
    let upwards = room.unpack(&Archive::new().hard_link("h", "../outside/secret").finish()).unwrap_err();
    assert!(message(&upwards).contains("leaves the root"), "{}", message(&upwards));
    let absolute = room.unpack(&Archive::new().hard_link("h", secret.to_str().unwrap()).finish()).unwrap_err();
    assert!(
        message(&absolute).contains("No such file") && message(&absolute).contains("\"h\""),
        "{}",
        message(&absolute)
    );
    let through = Archive::new().symlink("up", room.outside.to_str().unwrap()).hard_link("h", "up/secret");
    room.unpack(&through.finish()).unwrap_err();
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
}

#[test]
fn a_hard_link_to_a_symlink_links_the_symlink() {
    let room = Room::new();
    let secret = room.outside.join("secret");
    let archive = Archive::new().symlink("s", secret.to_str().unwrap()).hard_link("h", "s");
    room.unpack(&archive.finish()).unwrap();
    assert!(room.path("h").is_symlink());
    assert_eq!(fs::symlink_metadata(room.path("h")).unwrap().nlink(), 2);
    let archive = Archive::new().symlink("s", secret.to_str().unwrap()).hard_link("h", "s").file("h", "mine");
    room.unpack(&archive.finish()).unwrap();
    room.assert_outside_is_untouched();
}

#[test]
fn a_hard_link_to_itself_keeps_the_file() {
    let room = Room::new();
    room.unpack(&Archive::new().file("f", "kept").hard_link("f", "./f").finish()).unwrap();
    assert_eq!(room.read("f"), "kept");
}

#[test]
fn only_the_standard_devices_are_made() {
    let room = Room::new();
    let archive = Archive::new()
        .device(b'3', "dev/null", (1, 3))
        .device(b'3', "dev/mem", (1, 1))
        .device(b'3', "whiteout", (0, 0))
        .device(b'4', "dev/sda", (8, 0))
        .hard_link("dev/disk", "dev/sda")
        .file("after", "x");
    let unpacked = room.unpack(&archive.finish()).unwrap();
    assert!(fs::symlink_metadata(room.path("dev/null")).unwrap().file_type().is_char_device());
    assert_eq!(fs::read_dir(room.path("dev")).unwrap().count(), 1);
    assert!(!room.path("whiteout").exists() && room.path("after").exists());
    let skipped: Vec<_> =
        unpacked.skipped.iter().map(|skipped| (skipped.entry.to_str().unwrap(), &skipped.what)).collect();
    assert_eq!(
        skipped,
        [
            ("dev/mem", &SkippedWhat::CharacterDevice { major: 1, minor: 1 }),
            ("whiteout", &SkippedWhat::CharacterDevice { major: 0, minor: 0 }),
            ("dev/sda", &SkippedWhat::BlockDevice { major: 8, minor: 0 }),
            ("dev/disk", &SkippedWhat::HardLink { target: "dev/sda".into() }),
        ]
    );
}

#[test]
fn overlay_attributes_are_left_out_and_capabilities_kept() {
    let room = Room::new();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let records: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.security.capability", capability),
        ("SCHILY.xattr.user.note", b"line\nbreak"),
    ];
    let archive = Archive::new().pax(&records).directory("d").pax(&records).add(Raw { uid: 5, ..raw(b'0', "f") });
    let unpacked = room.unpack(&archive.pax(&records).symlink("s", "f").finish()).unwrap();
    let mut value = [0_u8; 64];
    assert_eq!(getxattr(room.path("f"), "security.capability", &mut value), Ok(20));
    assert_eq!(&value[..20], capability);
    for name in ["d", "f"] {
        assert_eq!(getxattr(room.path(name), "user.note", &mut value), Ok(10));
        assert!(getxattr(room.path(name), "trusted.overlay.opaque", &mut value).is_err());
        assert!(getxattr(room.path(name), "user.overlay.opaque", &mut value).is_err());
    }
    assert!(lgetxattr(room.path("s"), "security.capability", &mut value).is_err());
    assert_eq!(unpacked.skipped.len(), 8, "{:?}", unpacked.skipped);
    // The file system could have had them.
    setxattr(room.path("f"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
}

#[test]
fn many_skipped_entries_do_not_fill_the_memory() {
    let room = Room::new();
    let archive = (0..300).fold(Archive::new(), |archive, _| archive.device(b'4', "dev/sda", (8, 0)));
    let unpacked = room.unpack(&archive.finish()).unwrap();
    assert_eq!((unpacked.skipped.len(), unpacked.skipped_unlisted), (256, 44));
}

#[test]
fn a_name_with_a_nul_byte_is_refused() {
    let room = Room::new();
    let path = room.unpack(&Archive::new().pax(&[("path", b"a\0b")]).file("x", "").finish()).unwrap_err();
    assert!(message(&path).contains("a\\0b"), "{}", message(&path));
    room.unpack(&Archive::new().pax(&[("linkpath", b"a\0b")]).symlink("x", "").finish()).unwrap_err();
    room.unpack(&Archive::new().pax(&[("linkpath", b"a\0b")]).hard_link("x", "").finish()).unwrap_err();
}

#[test]
fn a_name_too_long_is_an_error_that_names_it() {
    let room = Room::new();
    let component = "c".repeat(256);
    let error = room.unpack(&Archive::new().pax(&[("path", component.as_bytes())]).file("x", "").finish()).unwrap_err();
    assert!(
        message(&error).contains(&component) && message(&error).contains("File name too long"),
        "{}",
        message(&error)
    );
    let path = "c/".repeat(3000);
    let error = room.unpack(&Archive::new().pax(&[("path", path.as_bytes())]).file("x", "").finish()).unwrap_err();
    assert!(message(&error).contains("longer than 4095"), "{}", message(&error));
}

#[test]
fn a_root_that_is_no_directory_is_refused() {
    for name in ["", "/", "./", "."] {
        let room = Room::new();
        let error = room.unpack(&Archive::new().symlink(name, "/").finish()).unwrap_err();
        assert!(message(&error).contains("is the root"), "{}", message(&error));
    }
}

#[test]
fn an_owner_that_means_no_change_is_refused() {
    let room = Room::new();
    room.unpack(&Archive::new().pax(&[("uid", b"4294967295")]).file("f", "").finish()).unwrap_err();
    room.unpack(&Archive::new().pax(&[("gid", b"4294967296")]).file("f", "").finish()).unwrap_err();
}
