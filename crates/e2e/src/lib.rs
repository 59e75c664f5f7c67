//! What the end-to-end tests share: a carboy with folders of its own, a small root, and the question whether anything is
//! left behind. The tests run the release program (`CARBOY_BIN`, or the one that `cargo build --release` made), as root.
#![forbid(unsafe_code)]
#![expect(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A carboy with folders of its own, removed with everything in it at the end of the test.
#[derive(Debug)]
pub struct Carboy {
    folder: TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit code; 128 and the signal where carboy itself was killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The program under test.
///
/// # Panics
/// Where it was not built.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CARBOY_BIN") {
        return path.into();
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let built = fs::read_dir(&target).into_iter().flatten().flatten();
    let mut programs = built.map(|entry| entry.path().join("release/carboy")).filter(|path| path.is_file());
    programs.next().unwrap_or_else(|| panic!("carboy is not built: run cargo build --release, or cargo xtask test"))
}

impl Default for Carboy {
    fn default() -> Self {
        Self::new()
    }
}

impl Carboy {
    /// A carboy whose folders are empty.
    ///
    /// # Panics
    /// Without root rights.
    #[must_use]
    pub fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "the end-to-end tests must be run as root");
        Self { folder: tempfile::Builder::new().prefix("carboy-e2e-").tempdir_in("/var/tmp").unwrap() }
    }

    /// The folder for what a test needs besides.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command line of carboy with this carboy's folders.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        command.arg("--root").arg(self.folder().join("root")).arg("--runroot").arg(self.folder().join("run"));
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Runs carboy to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ended {
        ended(&mut self.command(words))
    }

    /// A root with busybox and its applets in /bin, a passwd and a group file.
    ///
    /// # Panics
    /// Without Debian's busybox-static.
    #[must_use]
    pub fn busybox(&self) -> PathBuf {
        let root = self.folder().join("busybox");
        if root.exists() {
            return root;
        }
        for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("install busybox-static");
        let install = Command::new("chroot").arg(&root).args(["/bin/busybox", "--install", "-s", "/bin"]).status();
        assert!(install.is_ok_and(|status| status.success()), "busybox --install");
        let passwd = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:Anna:/home/anna:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nanna:x:1000:\naudio:x:29:anna\nvideo:x:44:\n").unwrap();
        root
    }

    /// What is left of this carboy's containers after its next command: groups, mounts, processes and files.
    ///
    /// # Panics
    /// Where the host cannot be looked at.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let listed = self.run(["ps", "-a", "-q"]);
        let mut left: Vec<String> = listed.stderr.lines().map(str::to_owned).collect();
        left.extend(listed.stdout.lines().map(|id| format!("container {id}")));
        for folder in ["root/containers", "root/names", "run"] {
            let entries = fs::read_dir(self.folder().join(folder)).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        let own = self.folder().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&own)).map(str::to_owned));
        left
    }
}

impl Drop for Carboy {
    fn drop(&mut self) {
        let listed = self.run(["ps", "-a", "-q"]);
        for id in listed.stdout.lines() {
            let _ = self.run(["rm", "-f", id]);
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// Where it cannot be started.
pub fn ended(command: &mut Command) -> Ended {
    use std::os::unix::process::ExitStatusExt as _;
    let output = command.output().unwrap();
    let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
    Ended {
        code: code.unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The cgroups of carboy's containers, in every hierarchy, by their paths on the host.
#[must_use]
pub fn groups() -> BTreeSet<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let entries = points.flat_map(|point| fs::read_dir(point).into_iter().flatten().flatten());
    let paths = entries.map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("carboy-"));
    paths.filter(named).collect()
}
