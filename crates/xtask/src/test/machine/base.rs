//! The machine's base: a Debian disk, its kernel and an initial RAM file system, made once and kept.
//!
//! They lie in `$XDG_CACHE_HOME/carboy/machine` (`~/.cache` where that is unset), with the recipe they were made by;
//! another recipe makes them anew. Nothing is mounted: mke2fs(8) fills the disk from a folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use error::{Doing, Refused, Result};

use super::initrd;
use crate::program;

/// Debian's release in the machine: a kernel (6.1) and a systemd (252) older than most developers' own.
const SUITE: &str = "bookworm";

/// What the tests and systemd need in there, besides Debian's essential packages.
const PACKAGES: &[&str] = &[
    "apparmor",
    "busybox-static",
    "criu",
    "dbus",
    "dbus-user-session",
    "docker.io",
    "iproute2",
    "iptables",
    "kmod",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "mount",
    "nftables",
    "procps",
    "runc",
    "strace",
    "systemd-sysv",
    "tmux",
    "uidmap",
];

/// What the initial RAM file system needs to find the disks; modules that these depend on come along.
const DISK_MODULES: &[&str] = &["virtio_pci", "virtio_blk"];

/// The disk's size; it is sparse, and what a run writes goes to a snapshot.
const DISK_SIZE: &str = "4G";

/// The files of a base, by their paths.
#[derive(Debug)]
pub(super) struct Base {
    /// Debian, as an ext4 file system without partitions.
    pub(super) disk: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

impl Base {
    /// The base that is kept, made first where there is none or one by another recipe.
    ///
    /// # Errors
    /// When Debian's mirror cannot be reached, or a file cannot be written.
    pub(super) fn get() -> Result<Self> {
        let cache = cache()?;
        fs::create_dir_all(&cache).doing(|| format!("make {}", cache.display()))?;
        let lock = cache.join("lock");
        let lock = File::create(&lock).doing(|| format!("open {}", lock.display()))?;
        lock.lock().doing(|| format!("lock {}", cache.display()))?;
        let at = cache.join("base");
        let recipe = recipe();
        if fs::read_to_string(at.join("recipe")).ok().as_ref() != Some(&recipe) {
            let part = cache.join("base.part");
            for old in [&part, &at] {
                if old.exists() {
                    fs::remove_dir_all(old).doing(|| format!("remove {}", old.display()))?;
                }
            }
            println!("making the machine's base in {}: takes a minute, once", at.display());
            make(&part)?;
            fs::write(part.join("recipe"), recipe).doing(|| format!("write {}", part.join("recipe").display()))?;
            fs::rename(&part, &at).doing(|| format!("rename {}", part.display()))?;
        }
        Ok(Self { disk: at.join("disk"), kernel: at.join("kernel"), initrd: at.join("initrd") })
    }
}

/// The folder for what is kept.
///
/// # Errors
/// Without a home.
pub(super) fn cache() -> Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let caches = caches.ok_or_else(|| Refused::new("HOME", "", "is not set, and neither is XDG_CACHE_HOME"))?;
    Ok(caches.join("carboy/machine"))
}

/// All that a base depends on.
fn recipe() -> String {
    format!("{SUITE} {PACKAGES:?} {DISK_MODULES:?} {DISK_SIZE}\n{}", initrd::START)
}

fn make(at: &Path) -> Result<()> {
    let root = at.join("root");
    fs::create_dir_all(at).doing(|| format!("make {}", at.display()))?;
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--variant=minbase", "--format=directory"]).arg(format!("--include={}", PACKAGES.join(",")));
    mmdebstrap.args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]);
    mmdebstrap.arg(SUITE).arg(&root).args(sources(SUITE)).stdin(Stdio::null());
    program::run(&mut mmdebstrap)?;
    let kernel = kernel(&root)?;
    fs::rename(&kernel, at.join("kernel")).doing(|| format!("move {}", kernel.display()))?;
    let initrd = initrd::archive(&root, DISK_MODULES)?;
    fs::write(at.join("initrd"), initrd).doing(|| format!("write {}", at.join("initrd").display()))?;
    // Debian's own initial RAM file system, which has not been asked for.
    fs::remove_dir_all(root.join("boot")).doing(|| format!("remove {}", root.join("boot").display()))?;
    fs::write(root.join("etc/hostname"), "machine\n").doing(|| "write etc/hostname")?;
    for folder in ["boot", "carboy"] {
        let folder = root.join(folder);
        fs::create_dir(&folder).doing(|| format!("make {}", folder.display()))?;
    }
    ext4(&root, &at.join("disk"), DISK_SIZE)?;
    fs::remove_dir_all(&root).doing(|| format!("remove {}", root.display()))
}

/// The only kernel in a root's /boot.
fn kernel(root: &Path) -> Result<PathBuf> {
    let boot = root.join("boot");
    let files = fs::read_dir(&boot).doing(|| format!("list {}", boot.display()))?.flatten();
    let mut kernels = files.filter(|file| file.file_name().to_string_lossy().starts_with("vmlinuz-"));
    let kernel = kernels.next().map(|file| file.path());
    kernel.ok_or_else(|| Refused::new("linux-image-cloud-amd64", "", "brought no kernel").into())
}

/// Makes a file system image with the contents of `folder`, sparse up to `size` (as mke2fs(8) takes it).
///
/// # Errors
/// When mke2fs fails: the contents are larger, or the disk here is full.
pub(super) fn ext4(folder: &Path, image: &Path, size: &str) -> Result<()> {
    let mut command = Command::new(program::find("mke2fs").unwrap_or_else(|| "mke2fs".into()));
    // An image that exists is not announced.
    File::create(image).doing(|| format!("make {}", image.display()))?;
    // Nothing needs to survive a crash in there; -b, because the default depends on the size.
    command.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O", "^has_journal", "-d"]);
    command.arg(folder).arg(image).arg(size).stdin(Stdio::null());
    program::run(&mut command)
}

/// This machine's apt sources of a release, so that its mirror is used; without any, mmdebstrap has a default.
fn sources(suite: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let all = listed.chain([PathBuf::from("/etc/apt/sources.list")]);
    let of_suite =
        |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|word| word == suite));
    all.filter(of_suite).collect()
}
