//! Trees packed as archives that GNU tar reads, and copied as their archives would be unpacked.

#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use carboy_image::{Mounts, Owners, Replaces, Rights, Tree, Unpacking, copy, pack, unpack, unpack_over};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use tempfile::TempDir;

/// A folder with one of everything.
fn tree() -> TempDir {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at(&["deep"; 40].join("/"))).unwrap();
    fs::write(at(&(["deep"; 40].join("/") + "/ü\n")), "odd").unwrap();
    fs::write(at("file"), "content").unwrap();
    fs::hard_link(at("file"), at("twin")).unwrap();
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o6754)).unwrap();
    fs::write(at("empty"), "").unwrap();
    symlink("t".repeat(150), at("link")).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    chown(at("empty"), Some(3_000_000_000), Some(2_500_000)).unwrap();
    setxattr(at("empty"), "user.note", b"line\none", XattrFlags::empty()).unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    rustix::io::pwrite(&sparse, b"there", 1 << 20).unwrap();
    folder
}

/// What `find` and `getfattr` would say of a tree.
fn told(folder: &Path) -> String {
    let shown = ["-mindepth", "1", "-printf", "%P %y %m %U:%G %n %s %l %T@\\0"];
    let output = Command::new("find").arg(folder).args(shown).output().unwrap();
    let mut lines: Vec<String> = output
        .stdout
        .split(|byte| *byte == 0)
        // Archives have whole seconds, and a folder's size is the file system's.
        .map(|line| String::from_utf8_lossy(line).split('.').next().unwrap().to_owned())
        .map(|line| if line.contains(" d ") { line.split(" d ").next().unwrap().to_owned() } else { line })
        .collect();
    lines.sort();
    lines.join("\n")
}

fn find(folder: &TempDir) -> File {
    File::open(folder.path()).unwrap()
}

const AS_FOUND: &Owners<'static> = &|owners| owners;
const OTHER: &Owners<'static> = &|_| (7, 8);

#[test]
fn gnu_tar_unpacks_the_tree_that_was_packed() {
    let (from, to) = (tree(), tempfile::tempdir_in("/var/tmp").unwrap());
    let archive = to.path().join("archive");
    let top = find(&from);
    let tree = Tree { top: top.as_fd(), name: b"all", mounts: Mounts::Entered, owners: AS_FOUND, rights: Rights::Kept };
    let length = pack(&tree, &mut File::create(&archive).unwrap()).unwrap();
    assert_eq!(fs::metadata(&archive).unwrap().len(), length);
    let words = ["-x", "-p", "--xattrs", "--numeric-owner", "-f"];
    let output = Command::new("tar").args(words).arg(&archive).arg("-C").arg(to.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(told(&to.path().join("all")), told(from.path()));
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(to.path().join("all/empty"), "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"line\none");
}

#[test]
fn what_was_packed_is_unpacked_again_and_a_copy_is_the_same() {
    let (from, unpacked, copied) =
        (tree(), tempfile::tempdir_in("/var/tmp").unwrap(), tempfile::tempdir_in("/var/tmp").unwrap());
    let top = find(&from);
    let tree = Tree { top: top.as_fd(), name: b"", mounts: Mounts::Entered, owners: AS_FOUND, rights: Rights::Kept };
    let mut archive = Vec::new();
    let length = pack(&tree, &mut archive).unwrap();
    unpack(archive.as_slice(), find(&unpacked).as_fd()).unwrap();
    let (_, copied_length) = copy(&tree, find(&copied).as_fd(), Unpacking::default()).unwrap();
    assert_eq!((told(unpacked.path()), copied_length), (told(copied.path()), length));
    assert_eq!(told(copied.path()), told(from.path()));
    let blocks = |folder: &TempDir| fs::metadata(folder.path().join("sparse")).unwrap().blocks();
    assert!(blocks(&copied) * 512 < 1 << 20, "holes stay holes");
}

#[test]
fn the_rights_of_an_owner_go_with_another_owner() {
    let (from, to) = (tree(), tempfile::tempdir_in("/var/tmp").unwrap());
    let top = find(&from);
    for (owners, rights, mode) in [
        (AS_FOUND, Rights::OfSameOwner, 0o6754),
        (OTHER, Rights::OfSameOwner, 0o754),
        (OTHER, Rights::Kept, 0o6754),
        (AS_FOUND, Rights::Dropped, 0o754),
    ] {
        let tree = Tree { top: top.as_fd(), name: b"", mounts: Mounts::Entered, owners, rights };
        copy(&tree, find(&to).as_fd(), Unpacking::default()).unwrap();
        assert_eq!(fs::metadata(to.path().join("file")).unwrap().mode() & 0o7777, mode, "{rights:?}");
    }
}

#[test]
fn a_folder_takes_the_place_of_folders_alone_where_that_was_asked_for() {
    let (from, to) = (tree(), tempfile::tempdir_in("/var/tmp").unwrap());
    let top = find(&from);
    let tree = Tree { top: top.as_fd(), name: b"", mounts: Mounts::Entered, owners: AS_FOUND, rights: Rights::Kept };
    let mut archive = Vec::new();
    pack(&tree, &mut archive).unwrap();
    let like = Unpacking { replaces: Replaces::ItsLike, owners: None };
    symlink("/etc", to.path().join("deep")).unwrap();
    let error = unpack_over(archive.as_slice(), find(&to).as_fd(), like).unwrap_err();
    assert!(error.to_string().contains("cannot overwrite non-directory with directory"), "{error}");
    fs::remove_file(to.path().join("deep")).unwrap();
    fs::create_dir_all(to.path().join("file/in")).unwrap();
    let error = unpack_over(archive.as_slice(), find(&to).as_fd(), like).unwrap_err();
    assert!(error.to_string().contains("cannot overwrite directory with non-directory"), "{error}");
    assert!(to.path().join("file/in").exists());
    unpack_over(archive.as_slice(), find(&to).as_fd(), Unpacking::default()).unwrap();
    assert_eq!(fs::read_to_string(to.path().join("file")).unwrap(), "content");
}

#[test]
fn what_is_mounted_below_is_left_out_where_that_was_asked_for() {
    let (from, to) = (tree(), tempfile::tempdir_in("/var/tmp").unwrap());
    let place = from.path().join("mounted");
    fs::create_dir(&place).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "small"]).arg(&place).status().unwrap();
    assert!(mounted.success());
    fs::write(place.join("within"), "").unwrap();
    let top = find(&from);
    for (mounts, within) in [(Mounts::LeftOut, false), (Mounts::Entered, true)] {
        let tree = Tree { top: top.as_fd(), name: b"", mounts, owners: AS_FOUND, rights: Rights::Kept };
        copy(&tree, find(&to).as_fd(), Unpacking::default()).unwrap();
        assert_eq!((to.path().join("mounted").is_dir(), to.path().join("mounted/within").exists()), (true, within));
    }
    assert!(Command::new("umount").arg(&place).status().unwrap().success());
}

/// A file system of its own on a loop device; both are gone with the test.
struct Disk {
    room: TempDir,
}

impl Disk {
    fn new(mkfs: &str, bytes: u64) -> Self {
        let room = tempfile::tempdir_in("/var/tmp").unwrap();
        let (file, point) = (room.path().join("disk"), room.path().join("point"));
        File::create(&file).unwrap().set_len(bytes).unwrap();
        fs::create_dir(&point).unwrap();
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(Command::new(mkfs).arg("-q").arg(&file));
        run(Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&point));
        Self { room }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.room.path().join("point").join(name)
    }

    /// Bytes that are free, by what the disk has.
    fn free(&self) -> u64 {
        let opened = File::open(self.path("")).unwrap();
        rustix::fs::syncfs(&opened).unwrap();
        let found = rustix::fs::fstatvfs(&opened).unwrap();
        found.f_bfree * found.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path("")).status();
    }
}

#[test]
fn files_share_their_blocks_where_the_file_system_can_do_so() {
    for (mkfs, shares) in [("mkfs.xfs", true), ("mkfs.ext4", false)] {
        let disk = Disk::new(mkfs, 320 << 20);
        let (from, to) = (disk.path("from"), disk.path("to"));
        [&from, &to].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let noise: Vec<u8> = (0..4_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        fs::write(from.join("noise"), &noise).unwrap();
        fs::set_permissions(from.join("noise"), fs::Permissions::from_mode(0o640)).unwrap();
        let sparse = File::create(from.join("sparse")).unwrap();
        sparse.set_len(3 << 20).unwrap();
        rustix::io::pwrite(&sparse, b"there", 1 << 20).unwrap();
        fs::write(from.join("small"), "x").unwrap();
        let before = disk.free();
        let (top, into) = (File::open(&from).unwrap(), File::open(&to).unwrap());
        let tree =
            Tree { top: top.as_fd(), name: b"", mounts: Mounts::Entered, owners: AS_FOUND, rights: Rights::Kept };
        let (unpacked, _) = copy(&tree, into.as_fd(), Unpacking::default()).unwrap();
        let taken = before.saturating_sub(disk.free());
        assert_eq!(taken < 4 << 20, shares, "{mkfs}: {taken} bytes were taken");
        assert!(unpacked.bytes > 16_000_000, "{mkfs}: {unpacked:?}");
        assert_eq!(told(&to), told(&from), "{mkfs}");
        for name in ["noise", "sparse", "small"] {
            assert!(fs::read(to.join(name)).unwrap() == fs::read(from.join(name)).unwrap(), "{mkfs}: {name}");
        }
        // What is shared is not the same: a change of one is none of the other.
        fs::write(to.join("small"), "other").unwrap();
        assert_eq!(fs::read_to_string(from.join("small")).unwrap(), "x");
    }
}
