//! A disk of a test's own: loop(4) over a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Carboy, ended};

/// A block device over a file, gone with the test.
#[derive(Debug)]
pub struct Disk {
    node: PathBuf,
    file: PathBuf,
}

/// A disk's file system at a place, unmounted with the test.
#[derive(Debug)]
pub struct Mounted {
    disk: Disk,
    point: PathBuf,
}

/// Bytes that are free on the file system of a folder, by what the disk has.
///
/// # Panics
/// Where it cannot be opened.
#[must_use]
pub fn free(folder: &Path) -> u64 {
    let opened = fs::File::open(folder).unwrap();
    rustix::fs::syncfs(&opened).unwrap();
    let found = rustix::fs::fstatvfs(&opened).unwrap();
    found.f_bfree * found.f_frsize
}

impl Disk {
    /// Makes one of 4 MiB.
    ///
    /// # Panics
    /// Without losetup of util-linux, and without a loop device.
    #[must_use]
    pub fn new(carboy: &Carboy) -> Self {
        let file = carboy.folder().join("disk");
        fs::File::create(&file).unwrap().set_len(4 << 20).unwrap();
        Self::over(file)
    }

    /// One with an empty file system of so many bytes, by `mkfs.KIND`.
    ///
    /// # Panics
    /// Without that program; as [`Self::new`].
    #[must_use]
    pub fn formatted(carboy: &Carboy, kind: &str, bytes: u64) -> Self {
        let file = carboy.folder().join(format!("disk.{kind}"));
        fs::File::create(&file).unwrap().set_len(bytes).unwrap();
        let made = ended(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&file));
        assert_eq!(made.code, 0, "mkfs.{kind} is needed: {}", made.stderr);
        Self::over(file)
    }

    /// One over a file that is there.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn over(file: PathBuf) -> Self {
        // Where loop devices are a module, nothing loads it before there is a node. Elsewhere there is nothing to load.
        let _ = Command::new("modprobe").args(["--quiet", "loop"]).status();
        let made = ended(Command::new("losetup").args(["--find", "--show"]).arg(&file));
        assert_eq!(made.code, 0, "losetup of util-linux is needed, and a loop device: {}", made.stderr);
        Self { node: PathBuf::from(made.stdout.trim()), file }
    }

    /// What it is over.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Mounts its file system.
    ///
    /// # Panics
    /// Where the kernel does not know it, or it is damaged.
    #[must_use]
    pub fn mount(self, point: &Path) -> Mounted {
        fs::create_dir_all(point).unwrap();
        let mounted = ended(Command::new("mount").arg(&self.node).arg(point));
        assert_eq!(mounted.code, 0, "{}", mounted.stderr);
        Mounted { disk: self, point: point.to_owned() }
    }

    /// `/dev/loop0`.
    ///
    /// # Panics
    /// Never: its name is ASCII.
    #[must_use]
    pub fn node(&self) -> &str {
        self.node.to_str().unwrap()
    }

    /// `7:0`.
    ///
    /// # Panics
    /// Where sysfs is not mounted.
    #[must_use]
    pub fn numbers(&self) -> String {
        fs::read_to_string(self.folder().join("dev")).unwrap().trim().to_owned()
    }

    /// Has a scheduler order its requests; where the kernel lacks it, all stays as it was.
    pub fn schedule_by(&self, scheduler: &str) {
        let _ = Command::new("modprobe").args(["--quiet", scheduler]).status();
        let _ = fs::write(self.folder().join("queue/scheduler"), scheduler);
    }

    fn folder(&self) -> PathBuf {
        Path::new("/sys/block").join(self.node.file_name().unwrap())
    }
}

impl Mounted {
    /// The disk.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.point).status();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.node).status();
    }
}
