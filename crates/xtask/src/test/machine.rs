//! Hosts that this one is not, as small virtual machines: `cargo xtask test --host FLAVOUR` runs the tests there.
//!
//! A controller belongs to one cgroup hierarchy of the whole kernel, so no namespace of a host with cgroup v1 can show
//! what carboy does on v2. A machine has two disks: a Debian that is made once (`base`), and one for this run with
//! carboy, the tests' programs and the job, a script (`job`). Its PID 1 is systemd or a small script (`init.sh`).
//!
//! ```text
//! qemu ──▶ kernel ──▶ start.sh (initrd) ──▶ init.sh or systemd ──▶ job ──▶ xtask inside-the-machine ──▶ tests
//!          serial console ◀── "machine: started", what the tests print, "machine: ended with CODE" ──┘
//! ```

mod base;
mod boot;
mod initrd;
pub(crate) mod inside;
mod selection;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use error::{Doing, Refused, Result};

use super::needs;
use crate::program;
use base::Base;
use boot::Changes;

/// A host that can be had as a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Every controller in a hierarchy of cgroup v1; no systemd.
    V1,
    /// Every controller on cgroup v2; no systemd.
    V2,
    /// Every controller on cgroup v2, and systemd is PID 1.
    Systemd,
}

impl Flavour {
    /// The flavour that has this name.
    ///
    /// # Errors
    /// When none has.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let all = [Self::V1, Self::V2, Self::Systemd];
        all.into_iter().find(|flavour| flavour.name() == name).ok_or_else(|| {
            Refused::new("--host", name, "there is no such machine").hint("use v1, v2 or systemd").into()
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Systemd => "systemd",
        }
    }
}

/// Runs the tests that have one of `filters` in their names, or without any those that the flavour is for.
///
/// # Errors
/// When the machine cannot be had or does not boot, a test fails, or none was run.
pub(super) fn test(root: &Path, flavour: Flavour, filters: &[&str]) -> Result<()> {
    let binaries = selection::choose(root, flavour, filters)?;
    let disk = Disk::new()?;
    disk.add_folder(inside::PROGRAMS)?;
    for binary in &binaries {
        disk.add_program(&binary.path, &format!("{}/{}", inside::PROGRAMS, binary.name))?;
    }
    if binaries.iter().any(|binary| binary.end_to_end) {
        disk.add_carboy(root)?;
    }
    disk.add_text(inside::LIST, &inside::list(&binaries))?;
    let own = std::env::current_exe().doing(|| "find this program")?;
    disk.add_program(&own, "xtask")?;
    let code = run(flavour, &disk, &["xtask", inside::WORD])?;
    if code == 0 {
        return Ok(());
    }
    Err(Refused::new("tests", "", format!("failed on the {} machine", flavour.name())).into())
}

/// Runs a command in a machine, or a shell on this terminal where there is none.
///
/// # Errors
/// When the machine cannot be had or does not boot, or the command fails.
pub(crate) fn command(root: &Path, flavour: Flavour, words: &[&str]) -> Result<()> {
    needs::meet()?;
    let disk = Disk::new()?;
    disk.add_carboy(root)?;
    if words.is_empty() {
        let shell = "setsid --ctty --wait bash -i <>/dev/ttyS0 >&0 2>&0";
        let image = disk.finish(flavour, shell)?;
        return boot::attach(&mut boot::qemu(&Base::get()?, flavour, (&image, Changes::Forgotten)));
    }
    match run(flavour, &disk, words)? {
        0 => Ok(()),
        code => Err(Refused::new(words.join(" "), "", format!("it ended with {code}")).into()),
    }
}

/// Runs a command in a machine and gives its exit code.
fn run(flavour: Flavour, disk: &Disk, words: &[&str]) -> Result<i32> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    let image = disk.finish(flavour, &quoted.join(" "))?;
    boot::watch(&mut boot::qemu(&Base::get()?, flavour, (&image, Changes::Forgotten)))
}

/// How often the machine is cut off, and after which line of its load.
const CUTS: [&str; 2] = ["load: 2 3", "load: 3 3"];

/// Cuts a machine off amid a load of containers, boots it again on the same disk, and looks at what it finds there.
///
/// # Errors
/// When the machine cannot be had, or a container is not whole after a cut.
pub(crate) fn reset(root: &Path) -> Result<()> {
    needs::meet()?;
    let disk = Disk::new()?;
    disk.add_carboy(root)?;
    disk.add_script("reset", include_str!("machine/reset.sh"))?;
    let image = disk.finish(Flavour::V2, &format!("./reset {}", CUTS.len()))?;
    let tune = program::find("tune2fs").unwrap_or_else(|| "tune2fs".into());
    program::run(std::process::Command::new(tune).arg("-j").arg(&image).stdout(std::process::Stdio::null()))?;
    let base = Base::get()?;
    let machine = || boot::qemu(&base, Flavour::V2, (&image, Changes::Kept));
    for last in CUTS {
        boot::cut_off(&mut machine(), last)?;
        println!("cut off");
    }
    match boot::watch(&mut machine())? {
        0 => Ok(()),
        code => Err(Refused::new("reset", "", format!("it ended with {code}")).into()),
    }
}

/// The disk of one run while it is put together; removed with the run.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// An empty one. Those of runs that were killed are removed.
    fn new() -> Result<Self> {
        let cache = base::cache()?;
        for old in fs::read_dir(&cache).into_iter().flatten().flatten() {
            let name = old.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix("run."));
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                fs::remove_dir_all(old.path()).doing(|| format!("remove {}", old.path().display()))?;
            }
        }
        let disk = Self { folder: cache.join(format!("run.{}", std::process::id())) };
        fs::create_dir_all(disk.files()).doing(|| format!("make {}", disk.files().display()))?;
        Ok(disk)
    }

    /// What will be on it.
    fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    fn add_folder(&self, name: &str) -> Result<()> {
        let folder = self.files().join(name);
        fs::create_dir(&folder).doing(|| format!("make {}", folder.display()))
    }

    fn add_program(&self, path: &Path, name: &str) -> Result<()> {
        // A link costs nothing, where the cache is on the same file system.
        let to = self.files().join(name);
        if fs::hard_link(path, &to).is_err() {
            fs::copy(path, &to).doing(|| format!("copy {} to {}", path.display(), to.display()))?;
        }
        Ok(())
    }

    fn add_text(&self, name: &str, text: &str) -> Result<()> {
        let to = self.files().join(name);
        fs::write(&to, text).doing(|| format!("write {}", to.display()))
    }

    fn add_script(&self, name: &str, text: &str) -> Result<()> {
        self.add_text(name, text)?;
        let to = self.files().join(name);
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).doing(|| format!("make {} a program", to.display()))
    }

    /// Adds carboy and carboy-runtime: the one that `CARBOY_BIN` names and the one beside it, as for the end-to-end tests,
    /// or fresh ones.
    fn add_carboy(&self, root: &Path) -> Result<()> {
        let [carboy, runtime] = program::both(root)?;
        self.add_program(&carboy, "carboy")?;
        self.add_program(&runtime, "carboy-runtime")
    }

    /// Adds what starts the job, and the job, which runs a line of shell; gives the disk's image.
    fn finish(&self, flavour: Flavour, line: &str) -> Result<PathBuf> {
        self.add_script("init", include_str!("machine/init.sh"))?;
        self.add_text("job.service", include_str!("machine/job.service"))?;
        let (folder, host) = (inside::FOLDER, flavour.name());
        let path = format!("{folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let (started, ended) = (boot::STARTED, boot::ENDED);
        let job = format!(
            "#!/bin/sh\nexport PATH={path} HOME=/root TERM=dumb CARBOY_BIN={folder}/carboy CARBOY_TEST_HOST={host}\n\
             cd {folder}\necho '{started}'\n{line}\necho \"{ended}$?\"\n"
        );
        self.add_script("job", &job)?;
        let image = self.folder.join("disk");
        base::ext4(&self.files(), &image, "2G")?;
        Ok(image)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What cannot be removed now is removed by a later run.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
