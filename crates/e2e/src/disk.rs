//! A disk of a test's own: loop(4) over a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Carboy, ended};

/// A block device over a file of 4 MiB, gone with the test.
#[derive(Debug)]
pub struct Disk {
    node: PathBuf,
}

impl Disk {
    /// Makes it.
    ///
    /// # Panics
    /// Without losetup of util-linux, and without a loop device.
    #[must_use]
    pub fn new(carboy: &Carboy) -> Self {
        let file = carboy.folder().join("disk");
        fs::File::create(&file).unwrap().set_len(4 << 20).unwrap();
        // Where loop devices are a module, nothing loads it before there is a node. Elsewhere there is nothing to load.
        let _ = Command::new("modprobe").args(["--quiet", "loop"]).status();
        let made = ended(Command::new("losetup").args(["--find", "--show"]).arg(&file));
        assert_eq!(made.code, 0, "losetup of util-linux is needed, and a loop device: {}", made.stderr);
        Self { node: PathBuf::from(made.stdout.trim()) }
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

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.node).status();
    }
}
