//! CRIU as a program that is told by messages what to do, and tells what comes to pass: criu(8), its images/rpc.proto.
//!
//! Its command line would not be enough: the other side of a terminal is handed only to who speaks with it.

mod message;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use error::{Doing, Error, Refused, Result};
use namespace::Relation;
use oci::{Config, NamespaceKind};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::arguments::Invocation;
use message::Response;

pub(crate) use message::Message;

/// The program that is called where none is named.
const PROGRAM: &str = "criu";
/// Where the images are where nothing is said.
const IMAGES: &str = "checkpoint";
/// Every mount that comes from the host is found by CRIU itself, also where it gets what is mounted there later.
const EXTERNAL_MOUNTS: &str = "mnt[]:sm";
/// A container's annotation that names a file with options of CRIU's, and the file where there is none: runc's. CRIU makes
/// nothing of one that is not there.
pub(crate) const OPTIONS: &str = "org.criu.config";
const OPTIONS_FILE: &str = "/etc/criu/runc.conf";
/// All of CRIU's messages in its log.
const TALKATIVE: u64 = 4;
/// <linux/sched.h> `CLONE_NEWNET`.
const NETWORK: u64 = 0x4000_0000;

/// `criu_req`.
mod request {
    pub(super) const KIND: u64 = 1;
    pub(super) const OPTIONS: u64 = 2;
    pub(super) const HEARD: u64 = 3;
    /// The kind of an answer to what CRIU tells.
    pub(super) const NOTIFY: u64 = 6;
}

/// `criu_opts`: the number of each option.
pub(crate) mod option {
    pub(crate) const IMAGES_FOLDER: u64 = 1;
    pub(crate) const PID: u64 = 2;
    pub(crate) const LEAVE_RUNNING: u64 = 3;
    pub(crate) const EXTERNAL_UNIX_SOCKETS: u64 = 4;
    pub(crate) const TCP_ESTABLISHED: u64 = 5;
    pub(crate) const SHELL_JOB: u64 = 7;
    pub(crate) const FILE_LOCKS: u64 = 8;
    pub(crate) const LOG_LEVEL: u64 = 9;
    pub(crate) const LOG_FILE: u64 = 10;
    pub(crate) const PAGE_SERVER: u64 = 11;
    pub(crate) const TELLS: u64 = 12;
    pub(crate) const ROOT: u64 = 13;
    pub(crate) const PARENT_IMAGES: u64 = 14;
    pub(crate) const TRACK_MEMORY: u64 = 15;
    pub(crate) const AUTO_DEDUP: u64 = 16;
    pub(crate) const WORK_FOLDER: u64 = 17;
    pub(crate) const LINK_REMAP: u64 = 18;
    pub(crate) const SIBLING: u64 = 26;
    pub(crate) const INHERITED: u64 = 27;
    pub(crate) const CGROUPS: u64 = 34;
    pub(crate) const EXTERNAL: u64 = 37;
    pub(crate) const EMPTY_NAMESPACES: u64 = 38;
    pub(crate) const TCP_SKIP_IN_FLIGHT: u64 = 46;
    pub(crate) const LAZY_PAGES: u64 = 48;
    pub(crate) const ORPHAN_TERMINAL: u64 = 50;
    pub(crate) const OPTIONS_FILE: u64 = 51;
    pub(crate) const LSM_PROFILE: u64 = 53;
    pub(crate) const LSM_MOUNT_CONTEXT: u64 = 63;
}

/// runc's options that are CRIU's own.
const SWITCHES: [(&str, u64); 8] = [
    ("tcp-established", option::TCP_ESTABLISHED),
    ("tcp-skip-in-flight", option::TCP_SKIP_IN_FLIGHT),
    ("link-remap", option::LINK_REMAP),
    ("ext-unix-sk", option::EXTERNAL_UNIX_SOCKETS),
    ("shell-job", option::SHELL_JOB),
    ("lazy-pages", option::LAZY_PAGES),
    ("file-locks", option::FILE_LOCKS),
    ("auto-dedup", option::AUTO_DEDUP),
];

/// What CRIU is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write all down.
    Dump,
    /// Write the memory down.
    PreDump,
    /// Bring back what was written down.
    Restore,
}

impl Action {
    /// `criu_req_type`.
    const fn number(self) -> u64 {
        match self {
            Self::Dump => 1,
            Self::Restore => 2,
            Self::PreDump => 4,
        }
    }
}

/// What comes to pass meanwhile.
#[derive(Debug)]
pub(crate) enum News {
    /// The container has a terminal, and this is its master side.
    Terminal(OwnedFd),
    /// The namespaces are there, and this process in them.
    Namespaces(i32),
    /// Pages can be fetched.
    PagesReady,
    /// Anything else.
    Other,
}

/// A call of CRIU.
pub(crate) struct Criu {
    action: Action,
    /// The folder of the images.
    pub(crate) images: PathBuf,
    /// The folder of its log.
    work: PathBuf,
    /// Both, open: CRIU looks at what its caller has open.
    _folders: [File; 2],
    log: &'static str,
    /// What it is told besides, `criu_opts`.
    pub(crate) options: Message,
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
    pub(crate) fn new(action: Action, folders: Folders, invocation: &Invocation, config: &Config) -> Result<Self> {
        let groups = cgroups(action, invocation)?;
        let options_file = options_file(config)?;
        let folder = |name: &str| invocation.value(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let images = folder("image-path").unwrap_or_else(|| IMAGES.into());
        let work = folder("work-path").unwrap_or_else(|| images.clone());
        for folder in [&images, &work] {
            let made = if folders == Folders::New { make(folder) } else { Ok(()) };
            made.doing(|| format!("make the folder {}", folder.display()))?;
        }
        let found = |path: PathBuf| fs::canonicalize(&path).doing(|| format!("find the images {}", path.display()));
        let (images, work) = (found(images)?, found(work)?);
        let open = |path: &Path| File::open(path).doing(|| format!("open {}", path.display()));
        let opened = [open(&images)?, open(&work)?];
        let log = if action == Action::Restore { "restore.log" } else { "dump.log" };
        let mut options = Message::default();
        options.number(option::IMAGES_FOLDER, descriptor(opened[0].as_fd()));
        options.number(option::WORK_FOLDER, descriptor(opened[1].as_fd()));
        options.text(option::LOG_FILE, log).number(option::LOG_LEVEL, TALKATIVE).flag(option::TELLS);
        options.text(option::EXTERNAL, EXTERNAL_MOUNTS).number(option::CGROUPS, groups);
        for (_, switch) in SWITCHES.iter().filter(|(name, _)| invocation.has(name)) {
            options.flag(*switch);
        }
        if config.process.as_ref().is_some_and(|process| process.terminal) {
            options.flag(option::ORPHAN_TERMINAL);
        }
        for kind in invocation.values("empty-ns") {
            // CRIU can leave the network empty, and nothing else.
            if kind != "network" {
                let refused = Refused::new("--empty-ns", kind, "is no namespace that can be left empty");
                return Err(refused.hint("use network").into());
            }
            options.number(option::EMPTY_NAMESPACES, NETWORK);
        }
        if let Some(file) = options_file {
            options.text(option::OPTIONS_FILE, file);
        }
        let program = invocation.value("criu").unwrap_or(PROGRAM).to_owned();
        Ok(Self { action, images, work, _folders: opened, log, options, program })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Refused where there is no CRIU, or it says why it cannot; what `hear` fails with.
    pub(crate) fn run(self, hear: &mut dyn FnMut(News) -> Result<()>) -> Result<()> {
        let (ours, theirs) = self.connect()?;
        let mut child = self.command(&theirs).spawn().map_err(|error| self.missing(error))?;
        drop(theirs);
        let told = self.talk(ours, hear);
        let status = child.wait().doing(|| format!("wait for {}", self.program))?;
        told?;
        // After the memory it waits for the rest, which may come by another call.
        if status.success() || self.action == Action::PreDump { Ok(()) } else { Err(self.failure(None)) }
    }

    /// Both ends of the connection, CRIU's own so that it is still open in it.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn connect(&self) -> Result<(OwnedFd, OwnedFd)> {
        let (ours, theirs) = sys::socket::pair().doing(|| format!("connect to {}", self.program))?;
        Ok((ours, inherited(theirs.as_fd()).doing(|| format!("hand {} its connection", self.program))?))
    }

    /// What becomes CRIU, in a process that has this end of the connection.
    pub(crate) fn command(&self, theirs: &OwnedFd) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        command
    }

    /// Tells it what to do, and hears what it says until that is done; gives the first process of what is restored.
    ///
    /// # Errors
    /// Refused where it says why it cannot, or nothing any more; what `hear` fails with. It ends then.
    pub(crate) fn talk(&self, ours: OwnedFd, hear: &mut dyn FnMut(News) -> Result<()>) -> Result<Option<i32>> {
        let mut request = Message::default();
        request.number(request::KIND, self.action.number()).message(request::OPTIONS, &self.options);
        let mut heard = Message::default();
        heard.number(request::KIND, request::NOTIFY).flag(request::HEARD);
        let mut next = &request;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            // One that is gone is seen by what it does not say.
            let _ = sys::socket::send(ours.as_fd(), next.encoded(), None);
            let received = sys::socket::receive(ours.as_fd(), &mut buffer);
            let (length, descriptor) = received.doing(|| format!("hear from {}", self.program))?;
            let message = buffer.get(..length).filter(|message| !message.is_empty());
            let response = message.and_then(Response::parse).ok_or_else(|| self.failure(None))?;
            if !response.success {
                return Err(self.failure(response.error.as_deref()));
            }
            let Some(script) = response.script else { return Ok(response.process) };
            hear(match (script.as_str(), descriptor, response.process) {
                ("orphan-pts-master", Some(master), _) => News::Terminal(master),
                ("setup-namespaces", _, Some(process)) => News::Namespaces(process),
                ("status-ready", ..) => News::PagesReady,
                _ => News::Other,
            })?;
            next = &heard;
        }
    }

    /// Why it could not be run.
    pub(crate) fn missing(&self, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::NotFound {
            let refused = Refused::new("--criu", &self.program, "is needed for checkpoints, and is not there");
            return refused.hint("install CRIU, on Debian the packages criu and iptables").into();
        }
        Err::<(), _>(error).doing(|| format!("run {}", self.program)).err().unwrap_or_else(|| self.failure(None))
    }

    /// The last error in its log, or what it told.
    pub(crate) fn failure(&self, told: Option<&str>) -> Error {
        let log = self.work.join(self.log);
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // Some of what goes wrong is tried in another way, and the last line only says that nothing helped.
        let counts = |line: &&str| line.contains(" Error (") && !line.contains("FAILED") && !line.contains("exited, ");
        let said = text.lines().rfind(counts).or(told).unwrap_or("it has said nothing");
        let said = said.split_once(" Error ").map_or(said, |(_, said)| said);
        let refused = Refused::new(&self.program, "", format!("has failed: {said}"));
        refused.hint(format!("{} tells more", log.display())).into()
    }
}

/// The file with more options; an annotation without a value asks for none.
fn options_file(config: &Config) -> Result<Option<&str>> {
    match config.annotations.get(OPTIONS).map_or(OPTIONS_FILE, String::as_str) {
        "" => Ok(None),
        file if file.starts_with('/') => Ok(Some(file)),
        file => Err(Refused::new(format!("annotations.{OPTIONS}"), file, "is no path from the root").into()),
    }
}

/// The number of a descriptor in a message.
pub(crate) fn descriptor(open: BorrowedFd<'_>) -> u64 {
    u64::from(open.as_raw_fd().cast_unsigned())
}

/// A copy of a descriptor that a program has too.
///
/// # Errors
/// `EMFILE`.
pub(crate) fn inherited(descriptor: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    let copy = fcntl_dupfd_cloexec(descriptor, 100)?;
    fcntl_setfd(&copy, FdFlags::empty())?;
    Ok(copy)
}

/// A folder that is there already is as good.
fn make(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// What CRIU does with groups, `criu_cg_mode`: it writes down what is set in them, for others who bring them back. Here they
/// are made, limited and joined as for a new container, and CRIU finds its processes in the right ones.
fn cgroups(action: Action, invocation: &Invocation) -> Result<u64> {
    let restores = action == Action::Restore;
    match invocation.value("manage-cgroups-mode").unwrap_or("soft") {
        "ignore" => Ok(0),
        "soft" if restores => Ok(0),
        "soft" => Ok(3),
        "full" if !restores => Ok(4),
        "strict" if !restores => Ok(5),
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
