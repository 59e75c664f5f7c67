//! All that runs between clone3 and execve, top to bottom.
//!
//! The parent prepares everything: strings, descriptors, the seccomp program. The child walks a list of [`Step`]s and
//! decides nothing. It neither allocates, locks, formats, logs nor panics, because it is a copy of a process whose other
//! threads are gone. It speaks in [`Report`]s of eight bytes and leaves by `_exit`.
//!
//! ```text
//! parent                                   child
//!   clone3 ─────────────────────────────────▶ joins its groups
//!   waits  ◀────────────────────────────────── [Unshared]               only where it joins namespaces first
//!   write id maps                             Await(Mapped)            only with a user namespace of its own
//!     [Mapped] ─────────────────────────────▶ becomes root in it
//!   make the root mount                       own cgroup namespace, session, loopback, hostname
//!     [Root + descriptor] ──────────────────▶ Await(Root): attaches it, mounts below it, pivots
//!   keeps the master  ◀─────────────────────── [Terminal + descriptor]  only with a terminal
//!     [Connected] ──────────────────────────▶ Await(Connected)         only with networks, made while it mounts
//!   run hooks  ◀────────────────────────────── [Mounted]                only with hooks
//!     [Hooked] ─────────────────────────────▶ Await(Hooked)
//!     [Ready] ──────────────────────────────▶ Await(Ready)             only for one more process in a container
//!   copies the descriptor  ◀────────────────── [Listener, number]       only with a listener: the filter is loaded
//!     [Heard] ──────────────────────────────▶ goes on, also where the listener is asked about it
//!   leaves, its work is done  ◀─────────────── [Waiting]                only where the program is started later:
//!                                             Gate: waits for a byte, tells of failures where that came from
//!   end of file: it runs  ◀─────────────────── ids, seccomp, execve (the connection is close-on-exec)
//!   [Failed, step, errno] ◀─────────────────── or: what failed, then _exit
//! ```
#![no_std]
#![expect(unsafe_code, reason = "one block: the clone itself")]

use core::ffi::CStr;

use sys::clone::{Clone3, Parent, Side};
use sys::credentials::{CapabilitySets, ResourceLimit};
use sys::landlock::Ruleset;
use sys::mount::{Attributes, Change, Propagation, Reach};
use sys::namespace::Kinds;
use sys::path::{Access, Missing, Within};
use sys::process::Arguments;
use sys::scheduler::Scheduling;
use sys::seccomp::{Flags, Instruction};
use sys::terminal::Size;
use sys::{AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd, Result};

/// One thing that the child does. Paths named `at` are the container's own, below its root.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Wait for the parent.
    Await(Turn),
    /// Join a group of a v1 hierarchy.
    JoinGroup {
        /// Which of [`Scene::groups`].
        handle: usize,
        /// What the hierarchy is called.
        hierarchy: &'a CStr,
    },
    /// Take user and group 0 of the user namespace.
    BecomeRoot,
    /// Enter the namespaces that the handle stands for.
    Join {
        /// Which of [`Scene::namespaces`].
        handle: usize,
        /// The kinds to enter.
        kinds: Kinds,
    },
    /// Take this folder as the root.
    EnterRoot {
        /// Which of [`Scene::mounts`].
        handle: usize,
    },
    /// Make namespaces of these kinds.
    Unshare(Kinds),
    /// Clone once more, with new namespaces of these kinds and in the pid namespace just joined, if one was, and leave the
    /// rest to that child.
    Fork(Kinds),
    /// Lead a session of its own.
    NewSession,
    /// Be the parent of whatever those leave behind that come from it, as long as it lives.
    KeepOrphans,
    /// Set the host name.
    Hostname(&'a CStr),
    /// Set the NIS domain name.
    Domainname(&'a CStr),
    /// Set the loopback interface up.
    LoopbackUp,
    /// Cut (or keep) the propagation of the mounts copied from the host.
    RootPropagation(Propagation),
    /// Put the root mount, received with [`Turn::Root`], into the mount namespace.
    ///
    /// What it takes part in is its own from then on: pivot_root(2) wants no root that is shared.
    AttachRoot(Propagation),
    /// Put the root mount on the folder that it shows, and only there: the mount namespace is others' too.
    CoverFolder(&'a CStr),
    /// Take the root of the mount namespace just joined as the container's root.
    AdoptRoot,
    /// Mount a file system of its own.
    Mount {
        /// The type: `proc`, `tmpfs` …
        kind: &'a CStr,
        /// Options; one without a value is a flag.
        options: Options<'a>,
        /// Attributes of the mount.
        attributes: Attributes,
        /// Where.
        at: &'a CStr,
        /// The propagation that the mount gets.
        propagation: Option<Propagation>,
        /// What it may cover.
        covers: Covers,
        /// The path of the host whose view takes its place where the kernel denies a mount of the container's own.
        instead: Option<&'a CStr>,
    },
    /// Mount a tmpfs that begins with something of the folder that it covers, if there is one.
    Tmpfs {
        /// As those of [`Step::Mount`].
        options: Options<'a>,
        /// Attributes of the mount.
        attributes: Attributes,
        /// Where.
        at: &'a CStr,
        /// The propagation that the mount gets.
        propagation: Option<Propagation>,
        /// With what it begins.
        begins: Begins,
    },
    /// Put a mount that the parent prepared in its place.
    Place {
        /// Which of [`Scene::mounts`].
        handle: usize,
        /// Where.
        at: &'a CStr,
        /// What to make where the place does not exist.
        missing: Missing,
        /// What it may cover.
        covers: Covers,
    },
    /// Change the file system that is mounted, and the attributes of its mount.
    Reconfigure {
        /// Options of the file system, as those of [`Step::Mount`].
        options: Options<'a>,
        /// Attributes to set.
        set: Attributes,
        /// Attributes to clear.
        clear: Attributes,
        /// Where.
        at: &'a CStr,
    },
    /// Change the attributes of what is mounted.
    Remount {
        /// Where.
        at: &'a CStr,
        /// Attributes to set.
        set: Attributes,
        /// This mount, or all below it too.
        reach: Reach,
    },
    /// Make a device node, or take the host's where the kernel denies that; one that is there already is as good.
    Device {
        /// Its path on the host.
        host: &'a CStr,
        /// The folder.
        folder: &'a CStr,
        /// The name in it.
        name: &'a CStr,
        /// Type and permissions, as mknod(2) takes them.
        mode: u32,
        /// The kernel's encoding of the device number.
        number: u32,
        /// User and group.
        owner: (u32, u32),
    },
    /// Make a symbolic link.
    Link {
        /// What becomes of what is there already.
        existing: Existing,
        /// What it points to.
        target: &'a CStr,
        /// The folder.
        folder: &'a CStr,
        /// The name in it.
        name: &'a CStr,
    },
    /// Make a folder and those above it where they do not exist.
    Folder(&'a CStr),
    /// Hide a file behind /dev/null, a folder behind an empty one; what does not exist needs no hiding.
    Mask {
        /// Where.
        at: &'a CStr,
        /// The SELinux label of the empty folder.
        label: Option<&'a CStr>,
    },
    /// Make a path read-only; what does not exist needs it not.
    ReadOnly(&'a CStr),
    /// Open a terminal of the container's own devpts, send its master to the parent, make it controlling and standard.
    Terminal {
        /// Its first size.
        size: Size,
        /// The user it belongs to.
        owner: u32,
        /// Whether it becomes the container's console.
        console: Console,
    },
    /// Take the parent's descriptors as standard input, output and error.
    Standard,
    /// Write a kernel setting of the container's namespaces; the path is below /proc/sys.
    Sysctl {
        /// For example `net/ipv4/ip_forward`.
        path: &'a CStr,
        /// What to write.
        value: &'a [u8],
    },
    /// Make the root mount the root.
    PivotRoot,
    /// Copy the mount namespace. The kernel lists mounts by when they were made (since Linux 6.8), which those that the host
    /// prepared were before those that they lie on; a copy is made from the root down, in the order in which they were put
    /// in their places. The process's terminal is opened once more there.
    CopyMounts,
    /// Make what is mounted at a place of the root unbindable, which its copy is not.
    Unbindable {
        /// Where.
        at: &'a CStr,
        /// This mount, or all below it too.
        reach: Reach,
    },
    /// Take the root mount, or the root received with [`Turn::Root`], as this process's own root, and leave that of the
    /// mount namespace as it is.
    ChangeRoot,
    /// Unmount what is mounted at a path, where it is the mount with this id.
    Unmount {
        /// Where.
        at: &'a CStr,
        /// The id, statx(2) `stx_mnt_id`.
        mount: u64,
    },
    /// Unmount what is mounted at a place of the container, with all below it, as soon as nobody uses it any more.
    Detach {
        /// Where.
        at: &'a CStr,
        /// The folder that this is in.
        folder: &'a CStr,
        /// Its name there.
        name: &'a CStr,
    },
    /// Unmount what the host has mounted at this path of its own, or cover it where that is denied.
    Uncover(&'a CStr),
    /// Make the root mount read-only.
    RootReadOnly,
    /// Give the root mount its propagation.
    Propagation {
        /// Which.
        propagation: Propagation,
        /// The root mount, or all mounts below it too.
        reach: Reach,
    },
    /// Write what a security module is told of the process: below /proc/self/attr, which is still the caller's.
    Attribute {
        /// For example `apparmor/exec`.
        path: &'a CStr,
        /// What to write.
        value: &'a [u8],
    },
    /// Take a session keyring of this name in place of the caller's; on a kernel without keys there is none to take.
    Keyring {
        /// The name by which one more process of the container finds it.
        name: &'a CStr,
        /// What may be done with it, where it is new.
        permissions: Option<u32>,
    },
    /// Run on these processors, bit N for processor N.
    Affinity(&'a [u64]),
    /// Be scheduled like this.
    Scheduling(Scheduling),
    /// Set the priority of input and output, as ioprio_set(2) takes it.
    IoPriority(u16),
    /// Take memory from these nodes.
    MemoryPolicy {
        /// `MPOL_*` with its flags.
        mode: u32,
        /// Bit N for node N.
        nodes: &'a [u64],
    },
    /// Set the execution domain.
    Personality(u32),
    /// Set a resource limit.
    Limit(ResourceLimit),
    /// Set the file mode creation mask.
    Umask(u32),
    /// Take these capabilities (by bit) out of the bounding set.
    DropBounding(u64),
    /// Keep permitted capabilities through the change of user.
    KeepCapabilities,
    /// Set supplementary groups, group and user.
    Identity {
        /// The user.
        user: u32,
        /// The group.
        group: u32,
        /// The supplementary groups; `None` where the user namespace forbids to set them.
        groups: Option<&'a [u32]>,
    },
    /// Set the capability sets, then the ambient set (by bit).
    Capabilities {
        /// Effective, permitted and inheritable.
        sets: CapabilitySets,
        /// The ambient set.
        ambient: u64,
    },
    /// Gain no privilege by exec any more.
    NoNewPrivs,
    /// Come under a Landlock ruleset.
    Landlock {
        /// What is forbidden.
        ruleset: Ruleset,
        /// What is allowed all the same.
        rules: &'a [Rule<'a>],
    },
    /// Come under the seccomp filter.
    Seccomp {
        /// The program.
        program: &'a [Instruction],
        /// Its flags.
        flags: Flags,
    },
    /// Let go of what others opened: of all descriptors but the standard ones, the program's, and what the steps behind
    /// this one need. It comes before the filter, which may forbid it.
    LetGo {
        /// How many descriptors behind standard error are the program's.
        inherited: u32,
    },
    /// Change to the working directory, which must be below the root.
    WorkingDirectory(&'a CStr),
    /// Look whether the command is there and can be executed.
    Find {
        /// As those of [`Step::Execute`].
        candidates: &'a [&'a CStr],
    },
    /// Tell the parent that all is ready, and wait until the program is to be started.
    Gate,
    /// Give signals their defaults and become the program.
    Execute {
        /// The paths at which the command may be, in the order of `PATH`.
        candidates: &'a [&'a CStr],
        /// Its arguments.
        arguments: Arguments<'a>,
        /// Its environment.
        environment: Arguments<'a>,
    },
}

/// What a Landlock ruleset allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule<'a> {
    /// To a file, or to what is below a folder.
    Beneath {
        /// The kernel's bits.
        access: u64,
        /// The container's path.
        path: &'a CStr,
    },
    /// To a TCP port.
    Port {
        /// The kernel's bits.
        access: u64,
        /// Its number.
        port: u16,
    },
}

/// Options of a file system; one without a value is a flag.
pub type Options<'a> = &'a [(&'a CStr, Option<&'a CStr>)];

/// What a mount may cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// Anything but what is in the container's /proc.
    Ordinary,
    /// The same, and a symbolic link itself; it must be there.
    Name,
    /// A folder, and none that a link at the end of the path leads to.
    Folder,
    /// Also the container's /proc and what is in it.
    Procfs,
}

/// With what a tmpfs begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// With the permissions of the folder.
    Permissions,
    /// With a copy of its contents.
    Contents,
    /// With that, and the folder's owner, permissions and attributes.
    Copy,
}

/// What becomes of a name that is taken when a link is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, whatever it is.
    Stays,
    /// It stays where it is the same link.
    MustBeSame,
}

/// Whether a terminal is the container's console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// It is mounted on /dev/console.
    Bound,
    /// It is one more terminal.
    None,
}

/// What the child waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Turn {
    /// Its id maps are written.
    Mapped = 1,
    /// Its root mount is made, and comes with the message.
    Root = 2,
    /// What the parent had to write of it is written.
    Ready = 3,
    /// The hooks have run.
    Hooked = 4,
    /// Its listener was copied.
    Heard = 5,
    /// Its networks are as they are to be.
    Connected = 6,
}

/// What the child says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A step failed; the child is gone.
    Failed {
        /// The step's place in the list.
        step: usize,
        /// Why: the errno's number.
        errno: i32,
    },
    /// The master of its terminal comes with this message.
    Terminal,
    /// It has cloned once more: the PID of the process that goes on.
    Forked(i32),
    /// It is in a user namespace that it has made, whose id maps are empty, or in a net namespace that it has made.
    Unshared,
    /// Its mounts are made, and it waits for the hooks.
    Mounted,
    /// Everything is done but the program, and it waits at the gate.
    Waiting,
    /// It is under a filter with a listener, which is its descriptor of this number, and waits until that was copied.
    Listener(i32),
}

/// The length of a report, in bytes.
pub const REPORT_LENGTH: usize = 8;

const FAILED: u8 = 1;
const TERMINAL: u8 = 2;
const FORKED: u8 = 3;
const UNSHARED: u8 = 4;
const MOUNTED: u8 = 5;
const WAITING: u8 = 6;
const LISTENER: u8 = 7;

impl Report {
    fn encode(self) -> [u8; REPORT_LENGTH] {
        let (kind, step, value) = match self {
            Self::Failed { step, errno } => (FAILED, step, errno),
            Self::Terminal => (TERMINAL, 0, 0),
            Self::Forked(pid) => (FORKED, 0, pid),
            Self::Unshared => (UNSHARED, 0, 0),
            Self::Mounted => (MOUNTED, 0, 0),
            Self::Waiting => (WAITING, 0, 0),
            Self::Listener(number) => (LISTENER, 0, number),
        };
        let [low, high, ..] = step.to_le_bytes();
        let [a, b, c, d] = value.to_le_bytes();
        [kind, 0, low, high, a, b, c, d]
    }

    /// A report from its bytes; `None` where they are none.
    #[must_use]
    pub fn parse(bytes: [u8; REPORT_LENGTH]) -> Option<Self> {
        let [kind, _, low, high, a, b, c, d] = bytes;
        let value = i32::from_le_bytes([a, b, c, d]);
        match kind {
            FAILED if (1..4096).contains(&value) => {
                Some(Self::Failed { step: usize::from(u16::from_le_bytes([low, high])), errno: value })
            }
            TERMINAL => Some(Self::Terminal),
            FORKED => Some(Self::Forked(value)),
            UNSHARED => Some(Self::Unshared),
            MOUNTED => Some(Self::Mounted),
            WAITING => Some(Self::Waiting),
            LISTENER => Some(Self::Listener(value)),
            _ => None,
        }
    }
}

/// What the child works with, besides its steps.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The child's end of the connection with its parent.
    pub sync: BorrowedFd<'a>,
    /// The parent's end, of which the child keeps no copy: it would never hear that the parent is gone.
    pub parent: BorrowedFd<'a>,
    /// Namespaces to join.
    pub namespaces: &'a [BorrowedFd<'a>],
    /// The `tasks` files of the groups to join.
    pub groups: &'a [OwnedFd],
    /// Mounts that the parent prepared.
    pub mounts: &'a [OwnedFd],
    /// Standard input, output and error, where there is no terminal.
    pub standard: [BorrowedFd<'a>; 3],
    /// Where it waits to be started, for [`Step::Gate`].
    pub gate: Option<Gate<'a>>,
}

/// Two named pipes, which whoever starts the program later finds by their names.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// A byte comes from here when the program is to be started.
    pub start: BorrowedFd<'a>,
    /// A report of what failed after that goes there; it is closed when the program runs.
    pub failure: BorrowedFd<'a>,
}

/// A child that was started.
#[derive(Debug)]
pub struct Spawned {
    /// Its PID as the caller sees it.
    pub pid: i32,
    /// A handle on it.
    pub pidfd: OwnedFd,
}

/// Clones a child with namespaces of the kinds `new`, in the v2 cgroup `into_cgroup`, and has it walk `steps`.
///
/// # Errors
/// As [`sys::clone::clone3`]. What goes wrong in the child comes as a [`Report`].
pub fn spawn(
    new: Kinds,
    into_cgroup: Option<BorrowedFd<'_>>,
    steps: &[Step<'_>],
    scene: &Scene<'_>,
) -> Result<Spawned> {
    let request = Clone3 { new, into_cgroup, parent: Parent::Caller };
    // SAFETY: in the child only `walk` runs, which takes no lock and allocates nothing (`cargo xtask tidy` looks at its
    // object file), and it never returns.
    match unsafe { sys::clone::clone3(&request) }? {
        Side::Child => {
            sys::clone::close_copy(scene.parent);
            walk(steps, scene)
        }
        Side::Parent { pid, pidfd } => Ok(Spawned { pid, pidfd }),
    }
}

/// What the steps leave for one another.
struct State<'a> {
    scene: &'a Scene<'a>,
    root: Option<OwnedFd>,
    /// The process's terminal, on the mount where it was made.
    terminal: Option<OwnedFd>,
    /// The folder that the step before has made a node or a link in: many are made in one.
    folder: Option<(&'a CStr, OwnedFd)>,
    /// Where a failure is told, once the program was to be started.
    failure: Option<BorrowedFd<'a>>,
}

/// Makes a terminal the process's standard streams.
fn place(terminal: BorrowedFd<'_>) -> Result<()> {
    (0..3).try_for_each(|number| sys::process::place_descriptor(terminal, number))
}

/// Has the terminal's name be what it is called in the copied mounts, where it is in its place there.
fn see_again(terminal: BorrowedFd<'_>) -> Result<()> {
    let root = sys::path::open_handle(c"/")?;
    sys::terminal::reopen(terminal, root.as_fd()).map_or(Ok(()), |terminal| place(terminal.as_fd()))
}

fn walk<'a>(steps: &'a [Step<'a>], scene: &'a Scene<'a>) -> ! {
    let mut state = State { scene, root: None, terminal: None, folder: None, failure: None };
    for (number, step) in steps.iter().enumerate() {
        if let Err(errno) = state.take(step) {
            let report = Report::Failed { step: number, errno: errno.raw_os_error() };
            // A filter may forbid every other way to say it.
            let _ = sys::path::write_once(state.failure.unwrap_or(scene.sync), &report.encode());
            break;
        }
    }
    sys::process::exit(FAILURE)
}

/// The exit code of a child that did not become the program; its parent knows why from the report.
const FAILURE: i32 = 125;

impl<'a> State<'a> {
    fn take(&mut self, step: &Step<'a>) -> Result<()> {
        if !matches!(step, Step::Device { .. } | Step::Link { .. }) {
            self.folder = None;
        }
        match *step {
            Step::Await(turn) => self.wait_for(turn),
            Step::JoinGroup { handle, .. } => self.join_group(handle),
            Step::BecomeRoot => {
                sys::credentials::set_group(0)?;
                sys::credentials::set_user(0)?;
                stay_closed()
            }
            Step::Join { handle, kinds } => {
                let namespace = self.scene.namespaces.get(handle).ok_or(Errno::BADF)?;
                sys::namespace::join(*namespace, kinds)
            }
            Step::EnterRoot { handle } => {
                let root = self.scene.mounts.get(handle).ok_or(Errno::BADF)?;
                sys::path::change_root_to(root.as_fd())
            }
            Step::Unshare(kinds) => self.unshare(kinds),
            Step::Fork(new) => self.fork(new),
            Step::NewSession => sys::process::new_session(),
            Step::KeepOrphans => sys::credentials::set_child_subreaper(),
            Step::Hostname(name) => sys::namespace::set_hostname(name.to_bytes()),
            Step::Domainname(name) => sys::namespace::set_domainname(name.to_bytes()),
            Step::LoopbackUp => sys::namespace::loopback_up(),
            Step::Umask(mask) => {
                sys::credentials::set_umask(mask);
                Ok(())
            }
            Step::DropBounding(capabilities) => each_bit(capabilities, sys::credentials::drop_from_bounding_set),
            Step::KeepCapabilities => sys::credentials::keep_capabilities(),
            Step::Identity { user, group, groups } => {
                if let Some(groups) = groups {
                    sys::credentials::set_groups(groups)?;
                }
                sys::credentials::set_group(group)?;
                sys::credentials::set_user(user)?;
                stay_closed()
            }
            Step::Capabilities { ref sets, ambient } => {
                sys::credentials::set_capabilities(sets)?;
                each_bit(ambient, sys::credentials::raise_ambient)
            }
            Step::NoNewPrivs => sys::credentials::set_no_new_privs(),
            Step::Landlock { ref ruleset, rules } => landlock(ruleset, rules),
            Step::Seccomp { program, flags } => self.confine(program, flags),
            Step::WorkingDirectory(path) => sys::path::change_directory_within(path),
            Step::Standard => self.standard(),
            Step::Find { candidates } => find(candidates),
            Step::LetGo { inherited } => self.let_go(inherited),
            Step::Gate => self.wait_at_gate(),
            Step::Execute { candidates, arguments, environment } => {
                sys::signal::reset()?;
                execute(candidates, arguments, environment)
            }
            _ => self.take_setting(step),
        }
    }

    fn take_setting(&mut self, step: &Step<'a>) -> Result<()> {
        match *step {
            Step::Attribute { path, value } => write_procfs(c"/proc/self/attr", path, value),
            Step::Keyring { name, permissions } => join_keyring(name, permissions),
            Step::Affinity(processors) => sys::scheduler::set_affinity(processors),
            Step::Scheduling(ref scheduling) => sys::scheduler::set_scheduling(scheduling),
            Step::IoPriority(priority) => sys::scheduler::set_io_priority(priority),
            Step::MemoryPolicy { mode, nodes } => sys::scheduler::set_memory_policy(mode, nodes),
            Step::Personality(domain) => sys::process::set_personality(domain),
            Step::Limit(ref limit) => sys::credentials::set_resource_limit(limit),
            _ => self.take_mount_step(step),
        }
    }

    fn take_mount_step(&mut self, step: &Step<'a>) -> Result<()> {
        match *step {
            Step::Mount { kind, options, attributes, at, propagation, covers, instead } => {
                let mount = match (new_mount(kind, options, attributes), instead) {
                    (Err(Errno::PERM), Some(path)) => view_of_host(path, attributes)?,
                    (mount, _) => mount?,
                };
                self.put(mount.as_fd(), propagation, (at, Missing::Folder, covers))
            }
            Step::Tmpfs { options, attributes, at, propagation, begins } => {
                self.tmpfs((options, attributes, propagation), at, begins)
            }
            Step::Place { handle, at, missing, covers } => {
                let mount = self.scene.mounts.get(handle).ok_or(Errno::BADF)?;
                self.put(mount.as_fd(), None, (at, missing, covers))
            }
            Step::Reconfigure { options, set, clear, at } => {
                let target = self.open(at)?;
                if !options.is_empty() {
                    let context = sys::mount::fspick(target.as_fd())?;
                    set_options(context.as_fd(), options)?;
                    sys::mount::reconfigure(context.as_fd())?;
                }
                sys::mount::change(target.as_fd(), Reach::One, &Change { set, clear, ..Change::default() })
            }
            Step::Remount { at, set, reach } => {
                let target = self.open(at)?;
                sys::mount::change(target.as_fd(), reach, &Change { set, ..Change::default() })
            }
            Step::Device { host, folder, name, mode, number, owner } => {
                make_device(self.folder(folder)?, name, (host, mode, number, owner))
            }
            Step::Link { existing, target, folder, name } => {
                let folder = self.folder(folder)?;
                match (sys::path::make_link(target, folder, name), existing) {
                    (Err(Errno::EXIST), Existing::Stays) => Ok(()),
                    (Err(Errno::EXIST), Existing::MustBeSame) => same_link(folder, name, target),
                    (made, _) => made,
                }
            }
            Step::Folder(at) => sys::path::open_or_make(self.root()?, at, Missing::Folder).map(drop),
            Step::Mask { at, label } => self.mask(at, label),
            Step::ReadOnly(at) => self.read_only(at),
            Step::Terminal { size, owner, console } => self.terminal(size, owner, console),
            Step::Sysctl { path, value } => write_procfs(c"/proc/sys", path, value),
            _ => self.take_root_step(step),
        }
    }

    fn take_root_step(&mut self, step: &Step<'a>) -> Result<()> {
        match *step {
            Step::RootPropagation(propagation) => {
                let change = Change { propagation: Some(propagation), ..Change::default() };
                sys::mount::change_root(Reach::Recursive, &change)
            }
            Step::AttachRoot(propagation) => {
                let change = Change { propagation: Some(propagation), ..Change::default() };
                sys::mount::change(self.root()?, Reach::Recursive, &change)?;
                sys::mount::attach_over_root(self.root()?)
            }
            Step::CoverFolder(at) => {
                sys::mount::attach(self.root()?, sys::path::open_handle(at)?.as_fd())?;
                // On a mount that is shared, it has become shared too.
                let change = Change { propagation: Some(Propagation::Private), ..Change::default() };
                sys::mount::change(self.root()?, Reach::Recursive, &change)
            }
            Step::AdoptRoot => {
                self.root = Some(sys::path::open_handle(c"/")?);
                Ok(())
            }
            Step::PivotRoot => sys::mount::pivot_root(self.root()?),
            Step::CopyMounts => {
                self.root = None;
                sys::namespace::unshare(Kinds::MNT)?;
                self.terminal.take().map_or(Ok(()), |terminal| see_again(terminal.as_fd()))
            }
            Step::Unbindable { at, reach } => {
                let root = sys::path::open_handle(c"/")?;
                let mount = sys::path::open_below(root.as_fd(), at, Access::Handle, Within::Root)?;
                let change = Change { propagation: Some(Propagation::Unbindable), ..Change::default() };
                sys::mount::change(mount.as_fd(), reach, &change)
            }
            Step::Uncover(path) => uncover(path),
            Step::ChangeRoot => sys::path::change_root_to(self.root()?),
            Step::Unmount { at, mount } => unmount(at, mount),
            Step::Detach { at, folder, name } => self.detach(at, folder, name),
            Step::RootReadOnly => {
                let change = Change { set: Attributes::READ_ONLY, ..Change::default() };
                sys::mount::change(self.root()?, Reach::One, &change)
            }
            Step::Propagation { propagation, reach } => {
                let change = Change { propagation: Some(propagation), ..Change::default() };
                sys::mount::change(self.root()?, reach, &change)
            }
            _ => Err(Errno::NOSYS),
        }
    }

    /// Puts a detached mount in its place.
    fn put(
        &self,
        mount: BorrowedFd<'_>,
        propagation: Option<Propagation>,
        (at, missing, covers): (&CStr, Missing, Covers),
    ) -> Result<()> {
        if propagation.is_some() {
            sys::mount::change(mount, Reach::One, &Change { propagation, ..Change::default() })?;
        }
        sys::mount::attach(mount, self.place(at, missing, covers)?.as_fd())
    }

    /// Opens the place of a mount, and makes it where it is missing.
    fn place(&self, at: &CStr, missing: Missing, covers: Covers) -> Result<OwnedFd> {
        let itself = |at| sys::path::open_below(self.root()?, at, Access::HandleNoFollow, Within::Root);
        let target = match covers {
            Covers::Name => itself(at)?,
            Covers::Folder => {
                let folder = match itself(at) {
                    Err(Errno::NOENT) => sys::path::open_or_make(self.root()?, at, missing).and_then(|_| itself(at))?,
                    opened => opened?,
                };
                return if sys::path::is_folder(folder.as_fd())? { Ok(folder) } else { Err(Errno::NOTDIR) };
            }
            Covers::Ordinary | Covers::Procfs => sys::path::open_or_make(self.root()?, at, missing)?,
        };
        if covers != Covers::Procfs && self.is_in_proc(target.as_fd())? { Err(Errno::XDEV) } else { Ok(target) }
    }

    /// Whether a place is in what is mounted at the container's /proc, however the path led there.
    fn is_in_proc(&self, place: BorrowedFd<'_>) -> Result<bool> {
        if !sys::mount::is_procfs(place)? {
            return Ok(false);
        }
        let proc = match self.open(c"proc") {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            opened => opened?,
        };
        Ok(sys::mount::id_of(place)? == sys::mount::id_of(proc.as_fd())?)
    }

    /// It becomes read-only when all is in it. What it covers is held, so that it is the folder that it begins with.
    fn tmpfs(
        &self,
        (options, attributes, propagation): (Options<'_>, Attributes, Option<Propagation>),
        at: &CStr,
        begins: Begins,
    ) -> Result<()> {
        let writable = Attributes(attributes.0 & !Attributes::READ_ONLY.0);
        let mount = new_mount(c"tmpfs", options, writable)?;
        let place = match self.open(at) {
            Err(Errno::NOENT) => self.place(at, Missing::Folder, Covers::Ordinary)?,
            covered => {
                let covered = covered?;
                match begins {
                    Begins::Permissions => sys::copy::permissions(covered.as_fd(), mount.as_fd())?,
                    Begins::Contents => sys::copy::contents(covered.as_fd(), mount.as_fd())?,
                    Begins::Copy => {
                        sys::copy::contents(covered.as_fd(), mount.as_fd())?;
                        sys::copy::attributes(covered.as_fd(), mount.as_fd())?;
                    }
                }
                if self.is_in_proc(covered.as_fd())? {
                    return Err(Errno::XDEV);
                }
                covered
            }
        };
        if writable != attributes || propagation.is_some() {
            let change = Change { set: attributes, propagation, ..Change::default() };
            sys::mount::change(mount.as_fd(), Reach::One, &change)?;
        }
        sys::mount::attach(mount.as_fd(), place.as_fd())
    }

    fn root(&self) -> Result<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    fn open(&self, at: &CStr) -> Result<OwnedFd> {
        sys::path::open_below(self.root()?, at, Access::Handle, Within::Root)
    }

    /// A folder to make nodes and links in, which is made where it is missing.
    fn folder(&mut self, at: &'a CStr) -> Result<BorrowedFd<'_>> {
        if self.folder.as_ref().is_none_or(|(opened, _)| *opened != at) {
            let opened = sys::path::open_or_make(self.root()?, at, Missing::Folder)?;
            self.folder = Some((at, opened));
        }
        self.folder.as_ref().map(|(_, opened)| opened.as_fd()).ok_or(Errno::BADF)
    }

    /// Where the parent is gone there is nobody to report to.
    fn wait_for(&mut self, turn: Turn) -> Result<()> {
        if turn == Turn::Hooked {
            sys::socket::send(self.scene.sync, &Report::Mounted.encode(), None)?;
        }
        let mut message = [0_u8; 1];
        let (length, passed) = sys::socket::receive(self.scene.sync, &mut message)?;
        if length == 0 {
            sys::process::exit(FAILURE);
        }
        if message != [turn as u8] {
            return Err(Errno::PROTO);
        }
        if turn == Turn::Root {
            self.root = passed;
        }
        Ok(())
    }

    /// The listener may be asked about any call from here on, and is not yet with whoever answers. So the parent hears of
    /// it by write(2), about which nobody can be asked, and takes a copy while this process waits.
    fn confine(&self, program: &[Instruction], flags: Flags) -> Result<()> {
        let Some(listener) = sys::seccomp::load(program, flags)? else { return Ok(()) };
        sys::path::write_once(self.scene.sync, &Report::Listener(listener.as_raw_fd()).encode())?;
        sys::path::read_byte(self.scene.sync)
    }

    /// What stays open is closed by execve.
    fn let_go(&self, inherited: u32) -> Result<()> {
        let sync = self.scene.sync;
        let (start, failure) = self.scene.gate.map_or((sync, sync), |gate| (gate.start, gate.failure));
        sys::clone::close_all_from(inherited.saturating_add(3), [sync, start, failure])
    }

    /// The parent may be gone when it is started.
    fn wait_at_gate(&mut self) -> Result<()> {
        let gate = self.scene.gate.ok_or(Errno::BADF)?;
        sys::path::write_once(self.scene.sync, &Report::Waiting.encode())?;
        sys::clone::close_copy(self.scene.sync);
        sys::path::read_byte(gate.start)?;
        self.failure = Some(gate.failure);
        Ok(())
    }

    /// A task that moves itself alone spares the kernel the wait for all others that a move of a whole process takes
    /// (`cgroup_threadgroup_rwsem`): a tenth of a millisecond for all hierarchies instead of ten. This process has one
    /// task, so to move it is to move the process.
    fn join_group(&self, handle: usize) -> Result<()> {
        let group = self.scene.groups.get(handle).ok_or(Errno::BADF)?;
        sys::path::write_once(group.as_fd(), b"0")
    }

    /// The id maps of a new user namespace can be written only once it is there; so can the rules of a net namespace.
    fn unshare(&self, kinds: Kinds) -> Result<()> {
        sys::namespace::unshare(kinds)?;
        if kinds.contains(Kinds::USER) || kinds.contains(Kinds::NET) {
            sys::socket::send(self.scene.sync, &Report::Unshared.encode(), None)?;
        }
        Ok(())
    }

    /// The process that leads goes on as a child of its parent's parent, who learns the new PID from here.
    fn fork(&self, new: Kinds) -> Result<()> {
        match sys::clone::fork_to_parent(new)? {
            Side::Child => Ok(()),
            Side::Parent { pid, .. } => {
                sys::socket::send(self.scene.sync, &Report::Forked(pid).encode(), None)?;
                sys::process::exit(0)
            }
        }
    }

    fn mask(&self, at: &CStr, label: Option<&CStr>) -> Result<()> {
        let target = match self.open(at) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            opened => opened?,
        };
        let cover = if sys::path::is_folder(target.as_fd())? { empty_folder(label)? } else { null_device()? };
        sys::mount::attach(cover.as_fd(), target.as_fd())
    }

    /// A copy of the mount becomes read-only and covers the original, which stays as it is for whoever else has it.
    fn read_only(&self, at: &CStr) -> Result<()> {
        let target = match self.open(at) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            opened => opened?,
        };
        let cover = sys::mount::clone_tree(Some(target.as_fd()), c"", Reach::Recursive)?;
        let change = Change { set: Attributes::READ_ONLY, ..Change::default() };
        sys::mount::change(cover.as_fd(), Reach::Recursive, &change)?;
        sys::mount::attach(cover.as_fd(), target.as_fd())
    }

    /// A name is all that umount2(2) takes: it is `.` in the folder that is unmounted, or one that is no link in the folder
    /// that it is in, so that nothing can lead it elsewhere.
    fn detach(&self, at: &CStr, folder: &CStr, name: &CStr) -> Result<()> {
        let place = self.open(at)?;
        if sys::mount::id_of(place.as_fd())? == sys::mount::id_of(self.root()?)? {
            return Err(Errno::INVAL);
        }
        if sys::path::is_folder(place.as_fd())? {
            sys::path::change_directory_to(place.as_fd())?;
            return sys::mount::unmount(c".");
        }
        sys::path::change_directory_to(self.open(folder)?.as_fd())?;
        sys::mount::unmount(name)
    }

    fn terminal(&mut self, size: Size, owner: u32, console: Console) -> Result<()> {
        let pts = self.open(c"dev/pts")?;
        if !sys::mount::is_devpts(pts.as_fd())? {
            return Err(Errno::NOTSUP);
        }
        let (master, terminal) = sys::terminal::open(pts.as_fd())?;
        sys::terminal::set_size(terminal.as_fd(), size)?;
        if owner != 0 {
            sys::path::change_owner(terminal.as_fd(), c"", owner, u32::MAX)?;
        }
        sys::socket::send(self.scene.sync, &Report::Terminal.encode(), Some(master.as_fd()))?;
        sys::terminal::make_controlling(terminal.as_fd())?;
        if console == Console::Bound {
            let console = sys::path::open_or_make(self.root()?, c"dev/console", Missing::File)?;
            let cover = sys::mount::clone_tree(Some(terminal.as_fd()), c"", Reach::One)?;
            sys::mount::attach(cover.as_fd(), console.as_fd())?;
        }
        place(terminal.as_fd())?;
        self.terminal = Some(terminal);
        Ok(())
    }

    fn standard(&self) -> Result<()> {
        for (descriptor, number) in self.scene.standard.iter().zip(0..) {
            sys::process::place_descriptor(*descriptor, number)?;
        }
        Ok(())
    }
}

/// A change of user opens the process to tracers as fs.suid_dumpable has it. A filter that is loaded already may forbid to
/// close it again.
fn stay_closed() -> Result<()> {
    match sys::credentials::set_not_dumpable() {
        Err(Errno::PERM | Errno::ACCESS | Errno::NOSYS) => Ok(()),
        set => set,
    }
}

fn new_mount(kind: &CStr, options: Options<'_>, attributes: Attributes) -> Result<OwnedFd> {
    let context = sys::mount::fsopen(kind)?;
    set_options(context.as_fd(), options)?;
    sys::mount::fsmount(context.as_fd(), attributes)
}

/// A folder that stays empty, with a label if it is to have one.
fn empty_folder(label: Option<&CStr>) -> Result<OwnedFd> {
    let context = sys::mount::fsopen(c"tmpfs")?;
    set_options(context.as_fd(), &[(c"size", Some(c"0")), (c"mode", Some(c"755"))])?;
    if let Some(label) = label {
        sys::mount::set_string(context.as_fd(), c"context", label)?;
    }
    sys::mount::fsmount(context.as_fd(), Attributes::READ_ONLY)
}

/// What was unmounted meanwhile, or covered by another mount, is not ours to unmount.
fn unmount(at: &CStr, mount: u64) -> Result<()> {
    match sys::mount::id_at(at) {
        Ok(id) if id == mount => sys::mount::unmount(at),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn landlock(ruleset: &Ruleset, rules: &[Rule<'_>]) -> Result<()> {
    let made = sys::landlock::create(ruleset)?;
    let root = sys::path::open_handle(c"/")?;
    for rule in rules {
        match *rule {
            Rule::Beneath { access, path } => {
                let parent = sys::path::open_below(root.as_fd(), path, Access::Handle, Within::Root)?;
                sys::landlock::allow_beneath(made.as_fd(), access, parent.as_fd())?;
            }
            Rule::Port { access, port } => sys::landlock::allow_port(made.as_fd(), access, port)?,
        }
    }
    sys::landlock::restrict_self(made.as_fd())
}

fn set_options(context: BorrowedFd<'_>, options: Options<'_>) -> Result<()> {
    options.iter().try_for_each(|(key, value)| match value {
        Some(value) => sys::mount::set_string(context, key, value),
        None => sys::mount::set_flag(context, key),
    })
}

/// A view of the host's own mount, with all below it: the kernel shows no part of it without what covers that.
fn view_of_host(path: &CStr, attributes: Attributes) -> Result<OwnedFd> {
    let view = sys::mount::clone_tree(None, path, Reach::Recursive)?;
    let change = Change { set: attributes, propagation: Some(Propagation::Private), ..Change::default() };
    sys::mount::change(view.as_fd(), Reach::Recursive, &change)?;
    Ok(view)
}

/// A view of the host's device of this type and number; `ENODEV` where the path leads to anything else.
fn view_of_device(path: &CStr, mode: u32, number: u32) -> Result<OwnedFd> {
    let view = sys::mount::clone_tree(None, path, Reach::One)?;
    if sys::path::is_node(view.as_fd(), mode, number)? { Ok(view) } else { Err(Errno::NODEV) }
}

/// What is made gets the permissions of `mode`, since the mask is 0; what was there keeps its own.
fn make_device(
    folder: BorrowedFd<'_>,
    name: &CStr,
    (host, mode, number, owner): (&CStr, u32, u32, (u32, u32)),
) -> Result<()> {
    let existing = || sys::path::open_below(folder, name, Access::HandleNoFollow, Within::Mount);
    match sys::path::make_node(folder, name, mode, number) {
        Err(Errno::EXIST) => {
            return if sys::path::is_node(existing()?.as_fd(), mode, number)? { Ok(()) } else { Err(Errno::EXIST) };
        }
        Err(Errno::PERM) => {
            let view = view_of_device(host, mode, number)?;
            let place = sys::path::open_or_make(folder, name, Missing::File)?;
            return sys::mount::attach(view.as_fd(), place.as_fd());
        }
        made => made?,
    }
    if owner == (0, 0) { Ok(()) } else { sys::path::change_owner(folder, name, owner.0, owner.1) }
}

fn same_link(folder: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<()> {
    match sys::path::link_points_to(folder, name, target) {
        Ok(true) => Ok(()),
        Ok(false) | Err(Errno::INVAL) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

/// A mount of a more privileged user namespace cannot be taken away; one that went with another is gone.
fn uncover(path: &CStr) -> Result<()> {
    match sys::mount::unmount(path) {
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::INVAL | Errno::PERM) => {
            let cover = empty_folder(None)?;
            sys::mount::attach(cover.as_fd(), sys::path::open_handle(path)?.as_fd())
        }
        detached => detached,
    }
}

/// The host's /proc shows the settings of the namespaces of whoever opens them: ours. That it is a procfs is checked,
/// and no link is followed below the folder, so that nothing else can be written in its place.
fn write_procfs(folder: &CStr, path: &CStr, value: &[u8]) -> Result<()> {
    let folder = sys::path::open_handle(folder)?;
    if !sys::mount::is_procfs(folder.as_fd())? {
        return Err(Errno::NOTSUP);
    }
    let file = sys::path::open_below(folder.as_fd(), path, Access::Write, Within::Mount)?;
    sys::path::write_once(file.as_fd(), value)
}

fn join_keyring(name: &CStr, permissions: Option<u32>) -> Result<()> {
    let key = match sys::keyring::join_session(name) {
        Err(Errno::NOSYS) => return Ok(()),
        joined => joined?,
    };
    permissions.map_or(Ok(()), |permissions| key.set_permissions(permissions))
}

/// The host's /dev/null, looked at after it was opened: nothing else may lie under what is meant to be hidden.
fn null_device() -> Result<OwnedFd> {
    let device = sys::mount::clone_tree(None, c"/dev/null", Reach::One)?;
    if sys::path::is_null_device(device.as_fd())? { Ok(device) } else { Err(Errno::NOTSUP) }
}

fn each_bit(bits: u64, call: fn(u32) -> Result<()>) -> Result<()> {
    (0..u64::BITS).filter(|bit| bits & (1 << bit) != 0).try_for_each(call)
}

/// A candidate that is there but cannot be executed is remembered, as execvp(3) has it: "permission denied" says more
/// than "not found".
fn execute(candidates: &[&CStr], arguments: Arguments<'_>, environment: Arguments<'_>) -> Result<()> {
    let mut reason = Errno::NOENT;
    for path in candidates {
        match sys::process::execute(path, arguments, environment) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => reason = Errno::ACCESS,
            errno => return Err(errno),
        }
    }
    Err(reason)
}

/// What [`execute`] would say, as far as that can be known before.
fn find(candidates: &[&CStr]) -> Result<()> {
    let mut reason = Errno::NOENT;
    for path in candidates {
        match sys::path::can_execute(path) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ACCESS) => reason = Errno::ACCESS,
            Err(errno) => return Err(errno),
        }
    }
    Err(reason)
}
