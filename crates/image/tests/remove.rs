//! Trees removed on this kernel. Needs root.
#![expect(clippy::unwrap_used, reason = "a failure fails the test")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use carboy_image::remove_tree;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

fn remove(parent: &Path, name: &str) -> error::Result<()> {
    remove_tree(File::open(parent).unwrap().as_fd(), OsStr::new(name))
}

#[test]
fn a_tree_is_removed_and_nothing_beside_it() {
    let room = tempfile::tempdir().unwrap();
    fs::create_dir_all(room.path().join("tree/a/b/c")).unwrap();
    fs::create_dir_all(room.path().join("tree/empty")).unwrap();
    fs::create_dir_all(room.path().join("beside")).unwrap();
    fs::write(room.path().join("beside/kept"), "").unwrap();
    fs::write(room.path().join("tree/a/b/file"), "").unwrap();
    std::os::unix::fs::symlink(room.path().join("beside"), room.path().join("tree/a/link")).unwrap();
    remove(room.path(), "tree").unwrap();
    assert!(!room.path().join("tree").exists() && room.path().join("beside/kept").exists());
}

#[test]
fn what_is_missing_is_removed_already() {
    let room = tempfile::tempdir().unwrap();
    remove(room.path(), "missing").unwrap();
}

#[test]
fn a_file_and_a_symlink_are_removed_themselves() {
    let room = tempfile::tempdir().unwrap();
    fs::create_dir(room.path().join("kept")).unwrap();
    fs::write(room.path().join("file"), "").unwrap();
    std::os::unix::fs::symlink("kept", room.path().join("link")).unwrap();
    remove(room.path(), "file").unwrap();
    remove(room.path(), "link").unwrap();
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    let room = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "a/b", "/", "a\0b"] {
        assert!(matches!(remove(room.path(), name), Err(error::Error::Refused(_))), "{name:?}");
    }
}

#[test]
fn ten_thousand_levels_are_removed_with_few_descriptors() {
    let room = tempfile::tempdir().unwrap();
    let mut directory: OwnedFd = File::open(room.path()).unwrap().into();
    for level in 0..10_000 {
        let name = if level == 0 { "tree" } else { "d" };
        mkdirat(&directory, name, Mode::RWXU).unwrap();
        directory = openat(&directory, name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        if level % 1000 == 0 {
            let _file = openat(&directory, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).err();
        }
    }
    drop(directory);
    remove(room.path(), "tree").unwrap();
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0);
}

#[test]
fn thousands_of_directories_side_by_side_are_removed() {
    let room = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        fs::create_dir_all(room.path().join(format!("tree/{number}/sub"))).unwrap();
    }
    remove(room.path(), "tree").unwrap();
    assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_with_thousands_of_mounts_comes_to_an_end() {
    if !within_own_mounts("a_directory_with_thousands_of_mounts_comes_to_an_end") {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let mounted = |number| room.path().join(format!("tree/{number}"));
    for number in 0..1200 {
        fs::create_dir_all(mounted(number)).unwrap();
        mount(c"none", mounted(number), c"tmpfs", MountFlags::empty(), None).unwrap();
    }
    remove(room.path(), "tree").unwrap_err();
    for number in 0..1200 {
        unmount(mounted(number), UnmountFlags::empty()).unwrap();
    }
    remove(room.path(), "tree").unwrap();
}

/// Whether the test runs in a mount namespace of its own; if not, it is run again in one, and has passed there.
fn within_own_mounts(test: &str) -> bool {
    const MARK: &str = "CARBOY_TEST_OWN_MOUNTS";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    let done = command.args(["--exact", test]).env(MARK, "1").output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn a_mount_in_the_tree_stays_with_all_that_is_in_it() {
    if !within_own_mounts("a_mount_in_the_tree_stays_with_all_that_is_in_it") {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let mount = room.path().join("tree/a/mount");
    fs::create_dir_all(&mount).unwrap();
    fs::create_dir_all(room.path().join("tree/b/c")).unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).status().unwrap().success());
    fs::write(mount.join("kept"), "").unwrap();
    let error = remove(room.path(), "tree").unwrap_err();
    assert_eq!(error.to_string(), "cannot remove tree/a/mount");
    assert_eq!(error.hint(), Some("something is mounted there: unmount it first"));
    assert!(mount.join("kept").exists() && !room.path().join("tree/b").exists());
    assert!(Command::new("umount").arg(&mount).status().unwrap().success());
    remove(room.path(), "tree").unwrap();
    assert!(!room.path().join("tree").exists());
}
