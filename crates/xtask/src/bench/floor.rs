//! The floor: a program that makes the system calls of carboy's run and nothing else.
//!
//! The same namespaces, mounts, cgroup joins, pivot_root, exec, wait and removal, with nothing parsed, planned,
//! checked or recorded. What carboy takes beyond the floor is carboy's own; what the floor takes is the kernel's.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use child::{Covers, Existing, Scene, Step, Turn};
use error::{Doing, Refused, Result};
use seccomp::Arch;
use sys::mount::{Attributes, Propagation, Reach};
use sys::namespace::Kinds;
use sys::path::{Missing, device_number};
use sys::process::{Argument, Arguments};
use sys::seccomp::{Flags, Instruction};

use super::contender::Contender;

/// The task that is the floor.
pub(crate) const WORD: &str = "floor";

/// What the floor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An engine's run: an overlay on the root, limits, Docker's capabilities and profile.
    Engine,
    /// An OCI runtime's run of the same: the root is a folder, and nobody has asked for limits.
    Docker,
    /// The same with nothing dropped, hidden or filtered.
    Bare,
}

const SHAPES: [(&str, Shape); 3] = [("engine", Shape::Engine), ("docker", Shape::Docker), ("bare", Shape::Bare)];

/// The floor's command on this root: this program, built as the release is.
pub(super) fn contender(program: &Path, root: &Path, (shape, budget): (Shape, f64)) -> Contender {
    let word = SHAPES.iter().find(|(_, known)| *known == shape).map_or("", |(word, _)| *word);
    let command = [&program.display().to_string(), WORD, word, &root.display().to_string()].map(str::to_owned);
    Contender { budget: Some(budget), required: true, ..Contender::once("floor", command.into()) }
}

/// A container's folders and groups, removed in the end.
struct Ground {
    folder: PathBuf,
    groups: Vec<PathBuf>,
}

/// Runs /bin/true in the root, once.
///
/// # Errors
/// A kernel error.
pub(crate) fn run(shape: &str, root: &str) -> Result<()> {
    let found = SHAPES.iter().find(|(word, _)| *word == shape);
    let (_, shape) = found.ok_or_else(|| Refused::new("the floor's shape", shape, "is none"))?;
    let name = format!("carboy-floor-{}", std::process::id());
    let ground = Ground::make(&name, *shape)?;
    let ended = contain(&ground, (root, *shape), &name);
    ground.remove()?;
    ended
}

impl Ground {
    fn make(name: &str, shape: Shape) -> Result<Self> {
        let folder = Path::new("/var/tmp").join(name);
        let below: &[&str] = if shape == Shape::Engine { &["", "upper", "work"] } else { &[""] };
        for below in below {
            let folder = folder.join(below);
            fs::create_dir(&folder).doing(|| format!("create {}", folder.display()))?;
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").doing(|| "read /proc/self/mountinfo")?;
        let hierarchies = mounts.lines().filter(|line| line.contains(" - cgroup"));
        let points = hierarchies.filter_map(|line| line.split(' ').nth(4));
        let groups: Vec<PathBuf> = points.map(|point| Path::new(point).join(name)).collect();
        for group in &groups {
            fs::create_dir(group).doing(|| format!("create {}", group.display()))?;
        }
        let ground = Self { folder, groups };
        ground.limit(shape)?;
        Ok(ground)
    }

    fn group(&self, controller: &str) -> Option<&PathBuf> {
        let named = |group: &&PathBuf| group.parent().is_some_and(|point| point.ends_with(controller));
        self.groups.iter().find(named)
    }

    /// The values of the run that is measured, in the files that a host with v1 controllers has for them.
    fn limit(&self, shape: Shape) -> Result<()> {
        let (cpus, mems) = (inherited("cpus")?, inherited("mems")?);
        let mut values = vec![("cpuset", "cpus", cpus.as_str()), ("cpuset", "mems", mems.as_str())];
        if shape == Shape::Engine {
            values.extend([
                ("memory", "limit_in_bytes", "67108864"),
                ("memory", "memsw.limit_in_bytes", "134217728"),
                ("devices", "deny", "a"),
            ]);
        }
        let rules = ["c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm"];
        let terminals = ["c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"];
        if shape == Shape::Engine {
            values.extend(rules.into_iter().chain(terminals).map(|rule| ("devices", "allow", rule)));
        }
        for (controller, file, value) in values {
            if let Some(group) = self.group(controller) {
                write(&group.join(format!("{controller}.{file}")), value)?;
            }
        }
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        for group in &self.groups {
            fs::remove_dir(group).doing(|| format!("remove {}", group.display()))?;
        }
        fs::remove_dir_all(&self.folder).doing(|| format!("remove {}", self.folder.display()))
    }
}

/// What the topmost cpuset has; nothing where the host has no v1 cpuset.
fn inherited(what: &str) -> Result<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").doing(|| "read /proc/self/mountinfo")?;
    let point = mounts.lines().filter_map(|line| line.split(' ').nth(4)).find(|point| point.ends_with("/cpuset"));
    let Some(point) = point else { return Ok(String::new()) };
    let file = Path::new(point).join(format!("cpuset.{what}"));
    Ok(fs::read_to_string(&file).doing(|| format!("read {}", file.display()))?.trim().to_owned())
}

fn write(file: &Path, value: &str) -> Result<()> {
    let opened = OpenOptions::new().write(true).open(file);
    opened.and_then(|mut file| file.write_all(value.as_bytes())).doing(|| format!("write {}", file.display()))
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Refused::new("the floor's path", text, "holds a NUL character").into())
}

fn contain(ground: &Ground, (root, shape): (&str, Shape), name: &str) -> Result<()> {
    let capabilities: Vec<String> = Vec::new();
    let profile = seccomp::docker_default(&capabilities, Arch::NATIVE, (6, 1));
    let filter = match shape {
        Shape::Bare => Vec::new(),
        Shape::Engine | Shape::Docker => seccomp::compile(&profile, Arch::NATIVE)?.instructions,
    };
    let mut tasks = Vec::new();
    let mut views = Vec::new();
    let mut places = Vec::new();
    let mut unified = None;
    for group in &ground.groups {
        let point = group.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let path = text(&group.display().to_string())?;
        views.push(sys::mount::clone_tree(None, &path, Reach::One).doing(|| format!("copy {}", group.display()))?);
        places.push(text(&format!("sys/fs/cgroup/{point}"))?);
        match OpenOptions::new().write(true).open(group.join("tasks")) {
            Ok(file) => tasks.push(OwnedFd::from(file)),
            Err(_) => unified = Some(File::open(group).doing(|| format!("open {}", group.display()))?),
        }
    }
    let hostname = text(name)?;
    let steps = steps(&places, tasks.len(), &hostname, &filter);
    let (ours, theirs) = sys::socket::pair().doing(|| "connect to the child")?;
    let null = File::options().read(true).write(true).open("/dev/null").doing(|| "open /dev/null")?;
    let standard = [null.as_fd(), null.as_fd(), null.as_fd()];
    let (sync, parent) = (theirs.as_fd(), ours.as_fd());
    let scene = Scene { sync, parent, namespaces: &[], groups: &tasks, mounts: &views, standard, gate: None };
    let new = Kinds::MNT.with(Kinds::PID).with(Kinds::NET).with(Kinds::IPC).with(Kinds::UTS);
    let spawned = child::spawn(new, unified.as_ref().map(AsFd::as_fd), &steps, &scene).doing(|| "clone the child")?;
    drop(theirs);
    let mount = match shape {
        Shape::Engine => overlay(ground, root)?,
        Shape::Docker | Shape::Bare => {
            sys::mount::clone_tree(None, &text(root)?, Reach::Recursive).doing(|| format!("copy {root}"))?
        }
    };
    sys::socket::send(ours.as_fd(), &[Turn::Root as u8], Some(mount.as_fd())).doing(|| "pass the root mount")?;
    drop(mount);
    let mut message = [0; child::REPORT_LENGTH];
    let (length, _) = sys::socket::receive(ours.as_fd(), &mut message).doing(|| "hear from the child")?;
    let ended = sys::process::wait(spawned.pidfd.as_fd()).doing(|| "wait for the child")?;
    if length == 0 && ended == sys::process::Ended::Exited(0) {
        return Ok(());
    }
    Err(Refused::new("the floor", format!("{ended:?}"), format!("its child failed: {message:?}")).into())
}

fn overlay(ground: &Ground, root: &str) -> Result<OwnedFd> {
    let action = || "make the overlay";
    let context = sys::mount::fsopen(c"overlay").doing(action)?;
    let folder = |name: &str| text(&ground.folder.join(name).display().to_string());
    let paths = [(c"lowerdir", text(root)?), (c"upperdir", folder("upper")?), (c"workdir", folder("work")?)];
    for (key, value) in paths {
        sys::mount::set_string(context.as_fd(), key, &value).doing(action)?;
    }
    sys::mount::set_flag(context.as_fd(), c"volatile").doing(action)?;
    sys::mount::fsmount(context.as_fd(), Attributes::NONE).doing(action)
}

const MASKED: [&CStr; 11] = [
    c"proc/acpi",
    c"proc/asound",
    c"proc/interrupts",
    c"proc/kcore",
    c"proc/keys",
    c"proc/latency_stats",
    c"proc/sched_debug",
    c"proc/scsi",
    c"proc/timer_list",
    c"proc/timer_stats",
    c"sys/firmware",
];

const READ_ONLY: [&CStr; 5] = [c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"];

const NODES: [(&CStr, u32, u32); 6] =
    [(c"null", 1, 3), (c"zero", 1, 5), (c"full", 1, 7), (c"random", 1, 8), (c"urandom", 1, 9), (c"tty", 5, 0)];

const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"pts/ptmx", c"ptmx"),
];

/// Docker's capabilities: those that stay in the bounding set.
const CAPABILITIES: u64 = 0xa804_25fb;

type Data = &'static [(&'static CStr, Option<&'static CStr>)];

const MOUNTS: [(&CStr, Data, u64, &CStr); 7] = [
    (c"proc", &[], 14, c"proc"),
    (c"tmpfs", &[(c"mode", Some(c"755")), (c"size", Some(c"65536k"))], 34, c"dev"),
    (c"devpts", &[(c"newinstance", None), (c"ptmxmode", Some(c"0666")), (c"mode", Some(c"0620"))], 10, c"dev/pts"),
    (c"sysfs", &[], 15, c"sys"),
    (c"tmpfs", &[(c"mode", Some(c"755")), (c"size", Some(c"64k"))], 14, c"sys/fs/cgroup"),
    (c"mqueue", &[], 14, c"dev/mqueue"),
    (c"tmpfs", &[(c"mode", Some(c"1777")), (c"size", Some(c"65536k"))], 14, c"dev/shm"),
];

fn steps<'a>(places: &'a [CString], groups: usize, hostname: &'a CStr, filter: &'a [Instruction]) -> Vec<Step<'a>> {
    let mut steps: Vec<_> = (0..groups).map(|handle| Step::JoinGroup { handle, hierarchy: c"" }).collect();
    steps.extend([Step::Unshare(Kinds::CGROUP), Step::NewSession, Step::LoopbackUp, Step::Hostname(hostname)]);
    steps.extend([Step::Umask(0), Step::RootPropagation(Propagation::Private)]);
    steps.extend([Step::Await(Turn::Root), Step::AttachRoot(Propagation::Private)]);
    for (kind, options, attributes, at) in MOUNTS {
        let (attributes, covers) = (Attributes(attributes), Covers::Ordinary);
        steps.push(Step::Mount { kind, options, attributes, at, propagation: None, covers, instead: None });
    }
    let place = |(handle, at): (usize, &'a CString)| Step::Place {
        handle,
        at,
        missing: Missing::Folder,
        covers: Covers::Ordinary,
    };
    steps.extend(places.iter().enumerate().map(place));
    steps.push(Step::Remount { at: c"sys/fs/cgroup", set: Attributes::READ_ONLY, reach: Reach::Recursive });
    let node = |(name, major, minor)| {
        let number = device_number(major, minor);
        Step::Device { host: c"/dev/null", folder: c"dev", name, mode: 0o020_666, number, owner: (0, 0) }
    };
    steps.extend(NODES.map(node));
    steps.extend(LINKS.map(|(target, name)| Step::Link { existing: Existing::Stays, target, folder: c"dev", name }));
    steps.push(Step::Standard);
    let confined = !filter.is_empty();
    if confined {
        steps.extend(MASKED.map(|at| Step::Mask { at, label: None }));
        steps.extend(READ_ONLY.map(Step::ReadOnly));
    }
    steps.extend([Step::PivotRoot, Step::Umask(0o022)]);
    if confined {
        steps.push(Step::DropBounding(!CAPABILITIES & ((1 << 41) - 1)));
        steps.extend([Step::LetGo { inherited: 0 }, Step::Seccomp { program: filter, flags: Flags(0) }]);
    } else {
        steps.push(Step::LetGo { inherited: 0 });
    }
    steps.push(Step::Identity { user: 0, group: 0, groups: Some(&[0]) });
    if confined {
        let sets =
            sys::credentials::CapabilitySets { effective: CAPABILITIES, permitted: CAPABILITIES, inheritable: 0 };
        steps.push(Step::Capabilities { sets, ambient: 0 });
    }
    steps.push(Step::WorkingDirectory(c"/"));
    const ARGUMENTS: &[Argument<'static>] = &[Argument::new(c"/bin/true"), Argument::END];
    const ENVIRONMENT: &[Argument<'static>] = &[Argument::END];
    if let (Some(arguments), Some(environment)) = (Arguments::new(ARGUMENTS), Arguments::new(ENVIRONMENT)) {
        steps.push(Step::Execute { candidates: &[c"/bin/true"], arguments, environment });
    }
    steps
}
