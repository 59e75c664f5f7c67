//! What archives of other programs become: the same tree as those programs unpack themselves.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use rustix::fs::{FileType, Mode, XattrFlags, getxattr, mknodat, setxattr};

use crate::Room;
use crate::archive::{Archive, Raw, raw};

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Every object below `root` with all that an archive keeps of it, times in whole seconds.
fn listing(root: &Path) -> String {
    let format = "%P|%y|%m|%U|%G|%n|%l|%s|%Ts\n";
    let mut command = Command::new("find");
    let listed = command.arg(root).args(["-type", "d", "-printf", "%P|%y|%m|%U|%G|%Ts\n", "-o", "-printf", format]);
    let output = listed.output().unwrap();
    let mut lines: Vec<_> =
        output.stdout.split(|byte| *byte == b'\n').map(|line| line.escape_ascii().to_string()).collect();
    lines.sort();
    lines.join("\n")
}

/// A tree with all that an archive can hold.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("d/read-only")).unwrap();
    fs::write(root.join("d/read-only/f"), "content").unwrap();
    let long = format!("d/{}/{}", "l".repeat(120), "m".repeat(200));
    fs::create_dir_all(root.join(&long)).unwrap();
    fs::write(root.join(&long).join("n".repeat(150)), "long").unwrap();
    std::os::unix::fs::symlink(&long, root.join("long-link")).unwrap();
    fs::hard_link(root.join(&long).join("n".repeat(150)), root.join("hard")).unwrap();
    std::os::unix::fs::lchown(root.join("long-link"), Some(12), Some(13)).unwrap();
    fs::write(root.join("newline\nand \u{e9}"), "").unwrap();
    fs::write(root.join("large"), vec![7_u8; 700_001]).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    for piece in 0..40_u64 {
        sparse.write_all_at(b"piece", piece << 20).unwrap();
    }
    sparse.set_len(41 << 20).unwrap();
    let directory = File::open(root).unwrap();
    mknodat(&directory, "fifo", FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(&directory, "null", FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 3)).unwrap();
    std::os::unix::fs::chown(root.join("large"), Some(3_000_000), Some(4_000_000_000)).unwrap();
    fs::set_permissions(root.join("large"), Permissions::from_mode(0o6751)).unwrap();
    run("touch", &["-h", "-d", "1969-12-31 23:00:00.5 UTC", root.join("hard").to_str().unwrap()]);
    run("touch", &["-d", "2001-02-03 04:05:06 UTC", root.join("d/read-only").to_str().unwrap()]);
    fs::set_permissions(root.join("d/read-only"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(root, Permissions::from_mode(0o1751)).unwrap();
}

fn assert_same(room: &Room, archive: &Path, source: &Path) {
    room.unpack_file(archive).unwrap();
    assert_eq!(listing(&room.root), listing(source));
    run(
        "diff",
        &["-r", "--no-dereference", "-x", "fifo", "-x", "null", room.root.to_str().unwrap(), source.to_str().unwrap()],
    );
}

#[test]
fn archives_of_gnu_tar_become_the_tree_they_were_made_from() {
    let source = Room::new();
    make_tree(&source.root);
    let archive = source.outside.join("archive");
    let (from, to) = (source.root.to_str().unwrap(), archive.to_str().unwrap());
    for format in ["gnu", "oldgnu", "pax"] {
        for sparse in [&[][..], &["-S"], &["-S", "--sparse-version=0.0"], &["-S", "--sparse-version=0.1"]] {
            for compression in ["--no-auto-compress", "-z"] {
                let options = [&["-c", "--format", format, compression, "-f", to, "-C", from], sparse, &["."]].concat();
                run("tar", &options);
                let room = Room::new();
                assert_same(&room, &archive, &source.root);
                if !sparse.is_empty() {
                    assert!(fs::metadata(room.path("sparse")).unwrap().blocks() < 2000, "{options:?}");
                }
            }
        }
    }
}

#[test]
fn archives_of_busybox_become_the_tree_they_were_made_from() {
    let source = Room::new();
    make_tree(&source.root);
    // busybox tar knows neither numbers beyond octal nor times before the epoch.
    std::os::unix::fs::chown(source.path("large"), Some(3), Some(4)).unwrap();
    fs::set_permissions(source.path("large"), Permissions::from_mode(0o6751)).unwrap();
    run("touch", &["-d", "2001-02-03 04:05:06 UTC", source.path("hard").to_str().unwrap()]);
    let archive = source.outside.join("archive");
    run("busybox", &["tar", "-cf", archive.to_str().unwrap(), "-C", source.root.to_str().unwrap(), "."]);
    assert_same(&Room::new(), &archive, &source.root);
}

#[test]
fn archives_compressed_by_zstd_become_the_tree_they_were_made_from() {
    let source = Room::new();
    make_tree(&source.root);
    let archive = source.outside.join("archive");
    for level in ["-1", "-19"] {
        let (from, to) = (source.root.to_str().unwrap(), archive.to_str().unwrap());
        run("sh", &["-c", "tar -cf - -C \"$1\" . | zstd -q -f \"$2\" -o \"$3\"", "sh", from, level, to]);
        assert_same(&Room::new(), &archive, &source.root);
    }
}

#[test]
fn attributes_and_fractions_of_seconds_come_from_pax_archives() {
    let source = Room::new();
    fs::write(source.path("f"), "").unwrap();
    setxattr(source.path("f"), "user.note", b"kept", XattrFlags::empty()).unwrap();
    run("setcap", &["cap_net_raw+ep", source.path("f").to_str().unwrap()]);
    run("touch", &["-d", "1969-12-31 23:59:58.25 UTC", source.path("f").to_str().unwrap()]);
    let archive = source.outside.join("archive");
    let (from, to) = (source.root.to_str().unwrap(), archive.to_str().unwrap());
    run("tar", &["-c", "--format=pax", "--xattrs", "--xattrs-include=*", "-f", to, "-C", from, "f"]);
    let room = Room::new();
    room.unpack_file(&archive).unwrap();
    let mut value = [0; 64];
    assert_eq!(getxattr(room.path("f"), "user.note", &mut value), Ok(4));
    assert_eq!(getxattr(room.path("f"), "security.capability", &mut value), Ok(20));
    let made = fs::metadata(room.path("f")).unwrap();
    assert_eq!((made.mtime(), made.mtime_nsec()), (-2, 250_000_000));
}

#[test]
fn a_global_pax_header_holds_for_all_entries() {
    let room = Room::new();
    let pax = Raw { content: b"11 uid=777\n", ..raw(b'g', "global") };
    room.unpack(&Archive::new().add(pax).file("a", "").pax(&[("uid", b"5")]).file("b", "").file("c", "").finish())
        .unwrap();
    let uid = |name| fs::metadata(room.path(name)).unwrap().uid();
    assert_eq!([uid("a"), uid("b"), uid("c")], [777, 5, 777]);
}

#[test]
fn a_directory_without_permissions_is_filled_and_closed_at_the_end() {
    let room = Room::new();
    let archive = Archive::new().add(Raw { mode: 0, ..raw(b'5', "d") }).file("d/f", "x").directory("d/e");
    room.unpack(&archive.finish()).unwrap();
    let made = fs::metadata(room.path("d")).unwrap();
    assert_eq!((made.mode() & 0o7777, made.mtime()), (0, 1_700_000_000));
}

#[test]
fn parents_without_an_entry_are_made() {
    let room = Room::new();
    room.unpack(&Archive::new().file("./a//b/./c", "x").finish()).unwrap();
    assert_eq!(room.read("a/b/c"), "x");
    assert_eq!(fs::metadata(room.path("a/b")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn whiteouts_of_layers_are_plain_files() {
    let room = Room::new();
    room.unpack(&Archive::new().file("a", "").file(".wh.a", "").file(".wh..wh..opq", "").finish()).unwrap();
    assert!(room.path("a").exists() && room.path(".wh.a").exists() && room.path(".wh..wh..opq").exists());
}

#[test]
fn owners_hold_also_below_a_directory_that_hands_its_group_down() {
    let room = Room::new();
    std::os::unix::fs::chown(&room.root, Some(0), Some(50)).unwrap();
    fs::set_permissions(&room.root, Permissions::from_mode(0o2755)).unwrap();
    room.unpack(&Archive::new().directory("d").file("d/f", "").symlink("d/s", "f").finish()).unwrap();
    for name in ["d", "d/f", "d/s"] {
        assert_eq!(fs::symlink_metadata(room.path(name)).unwrap().gid(), 0, "{name}");
    }
    assert_eq!(fs::metadata(room.path("d")).unwrap().mode() & 0o7777, 0o755);
}
