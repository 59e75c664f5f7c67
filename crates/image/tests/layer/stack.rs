//! Layers as an engine has them: unpacked each alone, settled from the lowest up, and mounted.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carboy_image::layer::{Compression, Copied, Layer, LayerUnpacked, Over, Remembers, Settled, pack_copy};
use carboy_image::layer::{compare, merge, settle, unpack_layer, unpack_over_layers};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::archive::Archive;
use crate::shown::shown;

pub(crate) struct Stack {
    room: TempDir,
    archives: Vec<Vec<u8>>,
    mounted: PathBuf,
    /// What each layer held, the lowest first.
    pub(crate) unpacked: Vec<LayerUnpacked>,
    /// What became of each.
    pub(crate) settled: Vec<Settled>,
}

impl Stack {
    pub(crate) fn of(layers: &[Archive]) -> Self {
        Self::of_archives(layers.iter().map(|layer| layer.clone().finish()).collect())
    }

    pub(crate) fn of_archives(archives: Vec<Vec<u8>>) -> Self {
        Self::try_of(archives).unwrap()
    }

    pub(crate) fn try_of(archives: Vec<Vec<u8>>) -> error::Result<Self> {
        let room = tempfile::tempdir_in("/var/tmp").unwrap();
        let mounted = room.path().join("mounted");
        fs::create_dir(&mounted).unwrap();
        let mut stack = Self { room, archives, mounted, unpacked: Vec::new(), settled: Vec::new() };
        let folder = |number: usize| stack.room.path().join(number.to_string());
        let mut below: Vec<File> = Vec::new();
        for (number, archive) in stack.archives.iter().enumerate() {
            fs::create_dir(folder(number)).unwrap();
            let mut opened = File::open(folder(number)).unwrap();
            let unpacked = unpack_layer(&archive[..], opened.as_fd(), &Layer::default())?;
            let lowers: Vec<BorrowedFd<'_>> = below.iter().rev().map(|layer| layer.as_fd()).collect();
            let settled = settle(opened.as_fd(), &unpacked, &lowers, Remembers::AsTrusted)?;
            if let Settled::Again(_) = settled {
                fs::remove_dir_all(folder(number)).unwrap();
                fs::create_dir(folder(number)).unwrap();
                opened = File::open(folder(number)).unwrap();
                let work = tempfile::tempdir_in(stack.room.path()).unwrap();
                let work_opened = File::open(work.path()).unwrap();
                let over = Over { upper: opened.as_fd(), work: work_opened.as_fd(), below: &lowers };
                let again = unpack_over_layers(&archive[..], &over, &Layer::default())?;
                assert_eq!((&again.diff_id, again.bytes), (&unpacked.diff_id, unpacked.bytes));
            }
            stack.unpacked.push(unpacked);
            stack.settled.push(settled);
            below.push(opened);
        }
        stack.mount();
        Ok(stack)
    }

    fn mount(&self) {
        let empty = self.room.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let path = |name: String| self.room.path().join(name).display().to_string();
        let mut lower: Vec<String> = (0..self.archives.len()).rev().map(|number| path(number.to_string())).collect();
        // An overlay has more than one layer.
        lower.push(path("empty".to_owned()));
        let options = CString::new(format!("lowerdir={}", lower.join(":"))).unwrap();
        mount("overlay", &self.mounted, "overlay", MountFlags::empty(), Some(&*options)).unwrap();
    }

    /// What an overlay of them shows.
    pub(crate) fn mounted(&self) -> &Path {
        &self.mounted
    }

    fn open(&self, number: usize) -> File {
        File::open(self.room.path().join(number.to_string())).unwrap()
    }

    /// What the lowest layers show, so many of them, as they are in one folder.
    fn merged(&self, count: usize, into: &Path) -> File {
        fs::create_dir(into).unwrap();
        let layers: Vec<File> = (0..count).rev().map(|number| self.open(number)).collect();
        let layers: Vec<BorrowedFd<'_>> = layers.iter().map(|layer| layer.as_fd()).collect();
        let opened = File::open(into).unwrap();
        merge(&layers, opened.as_fd(), Remembers::AsTrusted).unwrap();
        assert_eq!(compare(&copied(&opened, &layers)).unwrap(), []);
        opened
    }

    /// What a copy of all layers shows, and one of all but the uppermost after it took what the two differ in as a layer.
    pub(crate) fn copied(&self) -> [String; 2] {
        let [all, most] = ["all", "most"].map(|name| self.room.path().join(name));
        let count = self.archives.len();
        let copy = self.merged(count, &all);
        let opened = self.merged(count - 1, &most);
        let layers: Vec<File> = (0..count - 1).rev().map(|number| self.open(number)).collect();
        let layers: Vec<BorrowedFd<'_>> = layers.iter().map(|layer| layer.as_fd()).collect();
        let mut archive = Vec::new();
        pack_copy(&copied(&copy, &layers), Compression::Plain, &mut archive).unwrap();
        let over = Over { upper: opened.as_fd(), work: opened.as_fd(), below: &[] };
        unpack_over_layers(&archive[..], &over, &Layer::default()).unwrap();
        [shown(&all), shown(&most)]
    }

    /// The same layers taken one after another by one directory show the same.
    #[track_caller]
    pub(crate) fn assert_like_one_after_another(&self) {
        let expected = one_after_another(&self.archives).unwrap();
        assert_eq!(shown(&self.mounted), expected, "\n{:?}", self.settled);
    }
}

/// A copy, of which every file may have been touched.
fn copied<'a>(copy: &'a File, layers: &'a [BorrowedFd<'a>]) -> Copied<'a> {
    let since = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 };
    Copied { copy: copy.as_fd(), layers, remembers: Remembers::AsTrusted, since }
}

/// What a directory shows that takes one layer after another.
pub(crate) fn one_after_another(archives: &[Vec<u8>]) -> error::Result<String> {
    let all = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(all.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let opened = File::open(all.path()).unwrap();
    for archive in archives {
        let over = Over { upper: opened.as_fd(), work: opened.as_fd(), below: &[] };
        unpack_over_layers(&archive[..], &over, &Layer::default())?;
    }
    Ok(shown(all.path()))
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = unmount(&self.mounted, UnmountFlags::DETACH);
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    through(&["gzip", "-c"], bytes)
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    through(&["zstd", "-q", "-c"], bytes)
}

fn through(command: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut program = Command::new(command[0]);
    let mut child = program.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}
