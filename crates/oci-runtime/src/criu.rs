//! CRIU as a program: its command line, and what it says when it fails. criu(8).
//!
//! The command line is enough, and needs neither its protocol buffers nor a process that speaks them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use error::{Doing, Error, Refused, Result};
use namespace::Relation;
use oci::{Config, NamespaceKind};

use crate::arguments::Invocation;

/// The program that is called where none is named.
const PROGRAM: &str = "criu";
/// Where the images are where nothing is said.
const IMAGES: &str = "checkpoint";
/// Every mount that comes from the host is found by CRIU itself, also where it gets what is mounted there later.
const EXTERNAL_MOUNTS: &str = "mnt[]:sm";

/// runc's options that are CRIU's own, with CRIU's name for each.
const SWITCHES: [(&str, &str); 8] = [
    ("tcp-established", "--tcp-established"),
    ("tcp-skip-in-flight", "--skip-in-flight"),
    ("link-remap", "--link-remap"),
    ("ext-unix-sk", "--ext-unix-sk"),
    ("shell-job", "--shell-job"),
    ("lazy-pages", "--lazy-pages"),
    ("file-locks", "--file-locks"),
    ("auto-dedup", "--auto-dedup"),
];

/// A call of CRIU.
pub(crate) struct Criu {
    /// The folder of the images.
    pub(crate) images: PathBuf,
    /// The folder of its log.
    work: PathBuf,
    log: &'static str,
    /// The command.
    pub(crate) command: Command,
    program: String,
}

/// Whether the folders have to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folders {
    /// They are made.
    New,
    /// They are as a checkpoint left them.
    There,
}

impl Criu {
    /// A call with the options that all of its actions have.
    ///
    /// # Errors
    /// Refused for what is not supported, by its name; a kernel error where a folder cannot be made.
    pub(crate) fn new(action: &'static str, folders: Folders, invocation: &Invocation) -> Result<Self> {
        let groups = cgroups(action, invocation)?;
        let folder = |name: &str| invocation.value(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let images = folder("image-path").unwrap_or_else(|| IMAGES.into());
        let work = folder("work-path").unwrap_or_else(|| images.clone());
        for folder in [&images, &work] {
            let made = if folders == Folders::New { make(folder) } else { Ok(()) };
            made.doing(|| format!("make the folder {}", folder.display()))?;
        }
        let found = |path: PathBuf| fs::canonicalize(&path).doing(|| format!("find the images {}", path.display()));
        let (images, work) = (found(images)?, found(work)?);
        let program = invocation.value("criu").unwrap_or(PROGRAM).to_owned();
        let log = if action == "restore" { "restore.log" } else { "dump.log" };
        let mut command = Command::new(&program);
        command.arg(action).arg("--images-dir").arg(&images).arg("--work-dir").arg(&work);
        command.args(["--log-file", log, "-v4", "--external", EXTERNAL_MOUNTS, &format!("--manage-cgroups={groups}")]);
        command.args(SWITCHES.iter().filter(|(name, _)| invocation.has(name)).map(|(_, switch)| switch));
        for kind in invocation.values("empty-ns") {
            // CRIU can leave the network empty, and nothing else.
            if kind != "network" {
                return Err(Refused::new("--empty-ns", kind, "is no namespace that can be left empty")
                    .hint("use network")
                    .into());
            }
            command.args(["--empty-ns", "net"]);
        }
        Ok(Self { images, work, log, command, program })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Refused where there is no CRIU, or it says why it cannot.
    pub(crate) fn run(mut self) -> Result<()> {
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(self.failure()),
            Err(error) => Err(self.missing(error)),
        }
    }

    /// Why it could not be run.
    pub(crate) fn missing(&self, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::NotFound {
            let refused = Refused::new("--criu", &self.program, "is needed for checkpoints, and is not there");
            return refused.hint("install CRIU, on Debian the packages criu and iptables").into();
        }
        Err::<(), _>(error).doing(|| format!("run {}", self.program)).err().unwrap_or_else(|| self.failure())
    }

    /// The last error in its log.
    pub(crate) fn failure(&self) -> Error {
        let log = self.work.join(self.log);
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // Some of what goes wrong is tried in another way, and the last line only says that nothing helped.
        let counts = |line: &&str| line.contains(" Error (") && !line.contains("FAILED") && !line.contains("exited, ");
        let said = text.lines().rfind(counts).unwrap_or("it has said nothing");
        let said = said.split_once(" Error ").map_or(said, |(_, said)| said);
        let refused = Refused::new(&self.program, "", format!("has failed: {said}"));
        refused.hint(format!("{} tells more", log.display())).into()
    }
}

/// A folder that is there already is as good.
fn make(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// What CRIU does with groups: it writes down what is set in them, for others who bring them back. Here they are made,
/// limited and joined as for a new container, and CRIU finds its processes in the right ones.
fn cgroups<'i>(action: &str, invocation: &'i Invocation) -> Result<&'i str> {
    let restores = action == "restore";
    match invocation.value("manage-cgroups-mode").unwrap_or("soft") {
        "soft" | "ignore" if restores => Ok("ignore"),
        mode @ ("soft" | "ignore" | "full" | "strict") if !restores => Ok(mode),
        other => {
            let refused = Refused::new("--manage-cgroups-mode", other, "is not supported by this runtime");
            Err(refused.hint("use soft or ignore: the groups are made by the configuration").into())
        }
    }
}

/// The namespaces that a container has joined and CRIU can leave out of the images, with CRIU's name of the kind, the name
/// that runc and others give it in the images, and the file.
pub(crate) fn joined_namespaces(config: &Config) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    let kinds = [(NamespaceKind::Net, "net", "extRootNetNS"), (NamespaceKind::Pid, "pid", "extRootPidNS")];
    kinds.into_iter().filter_map(|(kind, word, name)| match namespace::relation(config, kind) {
        Relation::Joined(path) => Some((word, name, path)),
        Relation::Own | Relation::Host => None,
    })
}
