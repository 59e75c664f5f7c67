//! The machine's initial RAM file system: busybox, the disks' modules, and the script that starts from them.
//!
//! The format is "newc" of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst; modules.dep's is
//! in modules.dep(5).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use error::{Corrupt, Doing, Result};

/// /init.
pub(super) const START: &str = include_str!("start.sh");

/// File type and permission bits of a folder, a program, a file (inode(7)).
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
/// A character device that only root opens.
const DEVICE: u32 = 0o020_600;

/// /dev/console's numbers: PID 1 has it as its standard streams only if it is in here.
const CONSOLE: (u32, u32) = (5, 1);

/// The archive, made of a Debian root: with the modules that are named and those which they depend on.
///
/// # Errors
/// When the root has no busybox, no such module, or more than one kernel.
pub(super) fn archive(root: &Path, modules: &[&str]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "modules"] {
        archive.add(folder, FOLDER, (0, 0), b"");
    }
    archive.add("dev/console", DEVICE, CONSOLE, b"");
    archive.add("init", PROGRAM, (0, 0), START.as_bytes());
    let read = |path: &Path| fs::read(path).doing(|| format!("read {}", path.display()));
    archive.add("bin/busybox", PROGRAM, (0, 0), &read(&root.join("usr/bin/busybox"))?);
    let of_kernels = root.join("usr/lib/modules");
    let kernels = fs::read_dir(&of_kernels).doing(|| format!("list {}", of_kernels.display()))?.flatten();
    let mut order = String::new();
    for folder in kernels.map(|kernel| kernel.path()) {
        let dependencies = folder.join("modules.dep");
        let text = fs::read_to_string(&dependencies).doing(|| format!("read {}", dependencies.display()))?;
        for file in in_order(&text, modules)? {
            let name = file.rsplit('/').next().unwrap_or(file);
            archive.add(&format!("modules/{name}"), FILE, (0, 0), &read(&folder.join(file))?);
            order.push_str(name);
            order.push('\n');
        }
    }
    archive.add("modules/order", FILE, (0, 0), order.as_bytes());
    archive.add("TRAILER!!!", 0, (0, 0), b"");
    Ok(archive.bytes)
}

/// The files of the modules and of all that they depend on, each after those it depends on.
fn in_order<'text>(dependencies: &'text str, modules: &[&str]) -> Result<Vec<&'text str>> {
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for module in modules {
        let is_it = |path: &str| path.ends_with(&format!("/{module}.ko"));
        let line = dependencies.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| is_it(path));
        let (path, needed) = line.ok_or_else(|| Corrupt::new("modules.dep", format!("it has no {module}")))?;
        // modules.dep(5) lists a module's dependencies in the reverse of the order in which they must be loaded.
        let files = needed.split_whitespace().rev().chain([path]);
        order.extend(files.filter(|file| seen.insert(*file)));
    }
    Ok(order)
}

/// An archive as it grows.
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

impl Archive {
    /// Adds a file of root's; `device` are a device's numbers.
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.files += 1;
        // Magic; inode, mode, uid, gid, links, mtime; size; device it is on; device it is; length of the name; checksum.
        let header = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
            self.files,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            device.0,
            device.1,
            name.len() + 1,
            0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Names and contents start at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_after_those_they_depend_on_and_once() {
        let text = "k/a.ko:\nk/b.ko: k/a.ko\nk/c.ko: k/b.ko k/a.ko\nk/d.ko: k/a.ko\n";
        assert_eq!(in_order(text, &["c", "d"]).unwrap(), ["k/a.ko", "k/b.ko", "k/c.ko", "k/d.ko"]);
        assert!(in_order(text, &["e"]).is_err());
    }

    #[test]
    fn busybox_can_read_the_archive() {
        let mut archive = Archive::default();
        archive.add("odd", FILE, (0, 0), b"12345");
        archive.add("TRAILER!!!", 0, (0, 0), b"");
        let file = std::env::temp_dir().join(format!("carboy-archive-{}", std::process::id()));
        fs::write(&file, &archive.bytes).unwrap();
        let script = format!("busybox cpio -i --to-stdout odd <{}", file.display());
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "12345");
    }
}
