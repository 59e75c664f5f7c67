//! Archives unpacked on this kernel: what they must give, and every way in which they try to break out. Needs root.
#![expect(clippy::unwrap_used, reason = "a failure fails the test")]

mod archive;
mod attacks;
mod faults;
mod fidelity;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use carboy_image::Unpacked;
use tempfile::TempDir;

/// A new root with a folder beside it that no archive may reach.
struct Room {
    _all: TempDir,
    root: PathBuf,
    outside: PathBuf,
}

impl Room {
    fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let (root, outside) = (all.path().join("root"), all.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "untouched").unwrap();
        Self { _all: all, root, outside }
    }

    fn unpack(&self, archive: &[u8]) -> error::Result<Unpacked> {
        carboy_image::unpack(archive, File::open(&self.root).unwrap().as_fd())
    }

    fn unpack_file(&self, archive: &Path) -> error::Result<Unpacked> {
        carboy_image::unpack_file(archive, File::open(&self.root).unwrap().as_fd())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Nothing was added to the folder outside, and nothing in it changed.
    #[track_caller]
    fn assert_outside_is_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read_to_string(self.outside.join("secret")).unwrap(), "untouched");
    }
}

/// What a person reads: the error and the errno below it.
fn message(error: &error::Error) -> String {
    match error.errno() {
        Some(errno) => format!("{error}: {errno}"),
        None => error.to_string(),
    }
}
