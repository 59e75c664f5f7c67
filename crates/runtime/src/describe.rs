//! A plan in words: what each step does, and by which system calls, so that what is printed can be held against a trace.

use std::ffi::CStr;
use std::fmt::Write as _;

use child::{Begins, Step, Turn};
use namespace::entrance::Maps;
use namespace::mnt::Prepared;
use sys::credentials::ResourceLimit;
use sys::mount::{Attributes, Reach};
use sys::namespace::Kinds;
use sys::scheduler::Scheduling;
use sys::seccomp::Flags;

use crate::net_device::Device;
use crate::plan::{HostStep, Network, Plan};
use crate::scheduler;

/// One step in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it does, beginning with a verb.
    pub what: String,
    /// The system calls that it is made of, in order, without the closing of descriptors: `a|b` is either of two; `?`
    /// behind one says at most once, `*` as often as needed, `+` at least once.
    pub calls: &'static [&'static str],
}

impl Line {
    /// A line.
    pub fn new(what: impl Into<String>, calls: &'static [&'static str]) -> Self {
        Self { what: what.into(), calls }
    }
}

/// Opens a place within the root, and makes what is missing of it.
const REACH: &str = "openat2|mkdirat|fstat|readlinkat+";
/// The same for a folder that the step before may have opened already.
const AGAIN: &str = "openat2|mkdirat|readlinkat*";
/// Makes a user namespace, and takes a handle on it.
const ID_SOURCE: &str = "socketpair|clone3|openat|openat2|fstatfs|write|waitid*";
/// Writes a file of a process.
const WRITE_OF_PROCESS: [&str; 5] = ["openat", "fstatfs", "openat2", "openat2", "write"];
/// Makes a table in the caller's net namespace.
const MARK_HERE: [&str; 6] = ["fstat+", "socket", "connect", "fstat", "sendto", "recvfrom+"];
/// Makes a table in another net namespace.
const MARK_THERE: [&str; 8] = ["fstat+", "setns", "socket", "connect", "setns", "fstat", "sendto", "recvfrom+"];
/// Moves network devices from the caller's net namespace to another.
const GIVE_DEVICES: [&str; 7] =
    ["openat|fstatfs|openat2*", "readlink+", "setns", "socket", "connect", "setns", "socket|connect|sendto|recvfrom+"];
/// Connects a net namespace: links, addresses and routes by netlink in both, addresses and ports claimed by files.
const CONNECT: [&str; 1] = [
    "openat|fstatfs|openat2|readlink|setns|socket|connect|sendto|recvfrom|bind|statx|mkdir|symlink|flock|getdents64|write|\
     rename|unlink|rmdir|read|readlinkat|fstat|lseek|getrandom|ftruncate*",
];
/// A root whose layers are id-mapped: each is opened, mapped and set, and the overlay is made as the container's root user.
const MAPPED_ROOT: [&str; 5] = [
    "openat|fstatfs|openat2*",
    "fsopen?",
    "open_tree|mount_setattr|openat2|fsconfig|fcntl|statx|setfsgid|setfsuid|capget|capset+",
    "fsmount?",
    "setfsgid|setfsuid|capget|capset*",
];

/// The names of the kinds in a set, in the order of namespaces(7)'s bits.
#[must_use]
pub fn kinds(kinds: Kinds) -> String {
    let all = [
        (Kinds::MNT, "mnt"),
        (Kinds::PID, "pid"),
        (Kinds::NET, "net"),
        (Kinds::IPC, "ipc"),
        (Kinds::UTS, "uts"),
        (Kinds::USER, "user"),
        (Kinds::CGROUP, "cgroup"),
        (Kinds::TIME, "time"),
    ];
    let names: Vec<_> = all.iter().filter(|(kind, _)| kinds.contains(*kind)).map(|(_, name)| *name).collect();
    if names.is_empty() { "no".to_owned() } else { names.join(", ") }
}

/// What a child waits for.
#[must_use]
pub const fn turn(turn: Turn) -> &'static str {
    match turn {
        Turn::Mapped => "its id maps",
        Turn::Root => "its root mount",
        Turn::Ready => "the word to go on",
        Turn::Hooked => "the end of the hooks",
        Turn::Heard => "the copy of its listener",
        Turn::Connected => "its networks",
    }
}

fn text(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

fn place(at: &CStr) -> String {
    let path = text(at);
    if path == "." { "/".to_owned() } else { format!("/{path}") }
}

fn attributes(attributes: Attributes) -> String {
    let all = [
        (Attributes::READ_ONLY, "ro"),
        (Attributes::NOSUID, "nosuid"),
        (Attributes::NODEV, "nodev"),
        (Attributes::NOEXEC, "noexec"),
        (Attributes::NOATIME, "noatime"),
        (Attributes::STRICTATIME, "strictatime"),
    ];
    all.iter().filter(|(bit, _)| attributes.0 & bit.0 != 0).map(|(_, name)| format!(",{name}")).collect()
}

/// A step of the child in words.
#[must_use]
pub fn child_step(step: &Step<'_>) -> Line {
    match *step {
        Step::Await(which @ Turn::Hooked) => Line::new(format!("wait for {}", turn(which)), &["sendmsg", "recvmsg"]),
        Step::Await(which) => Line::new(format!("wait for {}", turn(which)), &["recvmsg"]),
        Step::JoinGroup { hierarchy, .. } => Line::new(format!("join its {} group", text(hierarchy)), &["write"]),
        Step::BecomeRoot => Line::new("become root of the user namespace", &["setresgid", "setresuid", "prctl"]),
        Step::Join { kinds: joined, .. } => Line::new(format!("join the {} namespace", kinds(joined)), &["setns"]),
        Step::EnterRoot { .. } => Line::new("take the root of another process", &["fchdir", "chroot"]),
        Step::Unshare(new) => Line::new(format!("make new namespaces: {}", kinds(new)), &["unshare", "sendmsg?"]),
        Step::Fork(_) => Line::new("fork into the pid namespace", &["clone3", "sendmsg?", "exit_group?"]),
        Step::KeepOrphans => Line::new("be the parent of orphans that come from it", &["prctl"]),
        Step::NewSession => Line::new("begin a session", &["setsid"]),
        Step::Hostname(name) => Line::new(format!("set the host name {}", text(name)), &["sethostname"]),
        Step::Domainname(name) => Line::new(format!("set the domain name {}", text(name)), &["setdomainname"]),
        Step::LoopbackUp => Line::new("set the loopback interface up", &["socket", "ioctl"]),
        Step::Umask(mask) => Line::new(format!("set the umask {mask:04o}"), &["umask"]),
        Step::DropBounding(bits) => {
            Line::new(format!("drop {} capabilities from the bounding set", bits.count_ones()), &["prctl*"])
        }
        Step::KeepCapabilities => Line::new("keep capabilities while the user changes", &["prctl"]),
        Step::Identity { user, group, groups } => {
            let what = format!("become user {user}, group {group}, groups {:?}", groups.unwrap_or_default());
            match groups {
                Some(_) => Line::new(what, &["setgroups", "setresgid", "setresuid", "prctl"]),
                None => Line::new(what, &["setresgid", "setresuid", "prctl"]),
            }
        }
        Step::Capabilities { sets, ambient } => {
            let what =
                format!("keep {} capabilities, {} of them ambient", sets.permitted.count_ones(), ambient.count_ones());
            Line::new(what, &["capset", "prctl*"])
        }
        Step::NoNewPrivs => Line::new("set no_new_privs", &["prctl"]),
        Step::Landlock { rules, .. } => {
            let what = format!("come under a Landlock ruleset of {} rules", rules.len());
            Line::new(
                what,
                &["landlock_create_ruleset", "open*+", "openat2*", "landlock_add_rule*", "landlock_restrict_self"],
            )
        }
        Step::Seccomp { program, flags } => {
            let what = format!("load the seccomp filter of {} instructions", program.len());
            let listens = flags.contains(Flags::NEW_LISTENER);
            Line::new(what, if listens { &["seccomp", "write", "read"] } else { &["seccomp"] })
        }
        Step::WorkingDirectory(path) => Line::new(format!("change to {}", text(path)), &["chdir", "getcwd"]),
        Step::Standard => {
            Line::new("take standard input, output and error", &["dup3|fcntl", "dup3|fcntl", "dup3|fcntl"])
        }
        Step::Find { candidates } => {
            let first = candidates.first().map(|path| text(path)).unwrap_or_default();
            Line::new(format!("look for {first}"), &["faccessat2+", "newfstatat?"])
        }
        Step::LetGo { .. } => Line::new("let go of what others opened", &["close_range+"]),
        Step::Gate => Line::new("wait to be started", &["write", "read"]),
        Step::Execute { candidates, .. } => {
            let paths: Vec<_> = candidates.iter().map(|path| text(path)).collect();
            Line::new(format!("execute {}", paths.join(" or ")), &["rt_sigaction+", "rt_sigprocmask", "execve+"])
        }
        _ => setting_step(step),
    }
}

/// What a step failed to do, with the field of the configuration that asked for it.
#[must_use]
pub fn failed_step(step: &Step<'_>) -> String {
    match step {
        Step::Limit(limit) => format!("set process.rlimits[{}] to {}:{}", limit_name(limit), limit.soft, limit.hard),
        Step::Affinity(processors) => {
            format!("set process.execCPUAffinity.final to {}", scheduler::describe(processors))
        }
        step => child_step(step).what,
    }
}

fn limit_name(limit: &ResourceLimit) -> &'static str {
    let named = oci::RLIMITS.iter().find(|(_, number)| *number == limit.resource);
    named.map_or("a resource limit", |(name, _)| name)
}

fn setting_step(step: &Step<'_>) -> Line {
    match *step {
        Step::Attribute { path, value } => {
            let is_apparmors = path == c"apparmor/exec";
            let field = if is_apparmors { "process.apparmorProfile" } else { "process.selinuxLabel" };
            let what = format!("set {field}: {} to {}", text(path), String::from_utf8_lossy(value));
            Line::new(what, &["openat", "fstatfs", "openat2", "write"])
        }
        Step::Keyring { name, .. } => Line::new(format!("take the session keyring {}", text(name)), &["keyctl+"]),
        Step::Affinity(processors) => {
            Line::new(format!("run on processors: {}", scheduler::describe(processors)), &["sched_setaffinity"])
        }
        Step::Scheduling(scheduling) => {
            Line::new(format!("set process.scheduler: {}", policy(&scheduling)), &["sched_setattr"])
        }
        Step::IoPriority(priority) => {
            let (class, level) = (priority >> 13, priority & 0x1fff);
            Line::new(format!("set process.ioPriority to class {class}, level {level}"), &["ioprio_set"])
        }
        Step::MemoryPolicy { mode, nodes } => {
            let nodes = if nodes.is_empty() { "none".to_owned() } else { scheduler::describe(nodes) };
            Line::new(format!("set linux.memoryPolicy to mode {mode:#x}, nodes {nodes}"), &["set_mempolicy"])
        }
        Step::Personality(domain) => Line::new(format!("set linux.personality to {domain:#x}"), &["personality"]),
        Step::Limit(limit) => {
            Line::new(format!("set {} to {}:{}", limit_name(&limit), limit.soft, limit.hard), &["prlimit64"])
        }
        _ => mount_step(step),
    }
}

fn policy(scheduling: &Scheduling) -> String {
    let Scheduling { policy, flags, nice, priority, runtime, deadline, period } = scheduling;
    let named = scheduler::POLICIES.iter().find(|(_, number, _)| number == policy);
    let mut words = named.map_or("a policy", |(.., name)| name).to_owned();
    let values = [("nice", i64::from(*nice)), ("priority", i64::from(*priority))];
    for (name, value) in values.into_iter().filter(|(_, value)| *value != 0) {
        let _ = write!(words, ", {name} {value}");
    }
    for (name, nanoseconds) in [("runtime", runtime), ("deadline", deadline), ("period", period)] {
        if *nanoseconds != 0 {
            let _ = write!(words, ", {name} {nanoseconds} ns");
        }
    }
    if *flags != 0 {
        let _ = write!(words, ", flags {flags:#x}");
    }
    words
}

fn mount_step(step: &Step<'_>) -> Line {
    match *step {
        Step::Mount { kind, attributes: set, at, propagation, instead, .. } => {
            let mut what = format!("mount {} at {}{}", text(kind), place(at), attributes(set));
            if let Some(instead) = instead {
                let _ = write!(what, ", or a view of the host's {}", text(instead));
            }
            match propagation {
                None => Line::new(what, &["fsopen", "fsconfig+", "fsmount", REACH, "fstatfs?", "move_mount"]),
                Some(_) => Line::new(
                    what,
                    &["fsopen", "fsconfig+", "fsmount", "mount_setattr", REACH, "fstatfs?", "move_mount"],
                ),
            }
        }
        Step::Tmpfs { attributes: set, at, begins, .. } => tmpfs_step((at, set), begins),
        Step::Place { handle, at, .. } => {
            Line::new(format!("put prepared mount {handle} at {}", place(at)), &[REACH, "fstatfs?", "move_mount"])
        }
        Step::Reconfigure { set, at, .. } => {
            let what = format!("change what is mounted at {}{}", place(at), attributes(set));
            Line::new(what, &["openat2", "fspick?", "fsconfig*", "mount_setattr"])
        }
        Step::Remount { at, set, reach } => {
            let below = if reach == Reach::Recursive { " and all below" } else { "" };
            let what = format!("set {}{below} to {}", place(at), attributes(set).trim_start_matches(','));
            Line::new(what, &["openat2", "mount_setattr"])
        }
        Step::Device { folder, name, owner, .. } => {
            let what = format!("make the device {}/{}", place(folder), text(name));
            match owner {
                (0, 0) => Line::new(what, &[AGAIN, "mknodat", "openat2|open_tree|fstat|move_mount|mkdirat*"]),
                _ => Line::new(what, &[AGAIN, "mknodat", "openat2|open_tree|fstat|move_mount|mkdirat*", "fchownat?"]),
            }
        }
        Step::Link { target, folder, name, .. } => {
            let what = format!("link {}/{} to {}", place(folder), text(name), text(target));
            Line::new(what, &[AGAIN, "symlinkat", "readlinkat?"])
        }
        Step::Folder(at) => Line::new(format!("make sure that {} exists", place(at)), &[REACH]),
        Step::Mask { at, .. } => Line::new(
            format!("hide {}", place(at)),
            &["openat2", "fstat?", "fsopen?", "fsconfig*", "fsmount?", "open_tree?", "fstat?", "move_mount?"],
        ),
        Step::ReadOnly(at) => Line::new(
            format!("make {} read-only", place(at)),
            &["openat2", "open_tree?", "mount_setattr?", "move_mount?"],
        ),
        Step::Terminal { .. } => {
            const CALLS: [&str; 12] = [
                "openat2",
                "fstatfs",
                "openat2",
                "ioctl+",
                "fchownat?",
                "sendmsg",
                "ioctl",
                "openat2|mkdirat|fstat*",
                "open_tree?",
                "move_mount?",
                "dup3|fcntl",
                "dup3|fcntl+",
            ];
            Line::new("open a terminal and send its master", &CALLS)
        }
        Step::Sysctl { path, value } => {
            let what = format!("write {} to /proc/sys/{}", String::from_utf8_lossy(value), text(path));
            Line::new(what, &["openat", "fstatfs", "openat2", "write"])
        }
        _ => root_step(step),
    }
}

fn root_step(step: &Step<'_>) -> Line {
    match *step {
        Step::RootPropagation(propagation) => {
            let what = format!("make the copies of the host's mounts {propagation:?}").to_lowercase();
            Line::new(what, &["mount_setattr"])
        }
        Step::AttachRoot(_) => Line::new("attach the root mount", &["mount_setattr", "move_mount"]),
        Step::CoverFolder(at) => {
            let what = format!("mount the root on its folder {}", text(at));
            Line::new(what, &["openat", "move_mount", "mount_setattr"])
        }
        Step::AdoptRoot => Line::new("open the container's root", &["openat"]),
        Step::PivotRoot => Line::new("make it the only root", &["fchdir", "pivot_root", "umount2", "chdir"]),
        Step::CopyMounts => {
            const CALLS: [&str; 6] = ["unshare", "openat?", "fstat?", "openat2?", "fstat?", "dup3*"];
            Line::new("list the mounts in their order", &CALLS)
        }
        Step::Unbindable { at, reach } => {
            let below = if reach == Reach::Recursive { " and all below" } else { "" };
            Line::new(format!("make {}{below} unbindable", place(at)), &["openat", "openat2", "mount_setattr"])
        }
        Step::ChangeRoot => Line::new("make it the process's root", &["fchdir", "chroot"]),
        Step::Detach { at, .. } => {
            let calls = &["openat2", "statx+", "fstat", "openat2?", "fchdir", "umount2"];
            Line::new(format!("unmount what is at {}", place(at)), calls)
        }
        Step::Unmount { at, .. } => Line::new(format!("unmount {}", text(at)), &["statx", "umount2?"]),
        Step::Uncover(path) => {
            let calls = &["umount2", "fsopen?", "fsconfig*", "fsmount?", "openat?", "move_mount?"];
            Line::new(format!("take the host's {} away", text(path)), calls)
        }
        Step::RootReadOnly => Line::new("set the root to ro", &["mount_setattr"]),
        Step::Propagation { propagation, reach } => {
            let below = if reach == Reach::Recursive { " and all below" } else { "" };
            Line::new(format!("make the root{below} {propagation:?}").to_lowercase(), &["mount_setattr"])
        }
        _ => Line::new(String::new(), &[]),
    }
}

fn tmpfs_step((at, set): (&CStr, Attributes), begins: Begins) -> Line {
    const COPY: &str = "openat|getdents64|newfstatat|fstat|mkdirat|mknodat|symlinkat|readlinkat|sendfile|\
                        flistxattr|fgetxattr|fsetxattr|fchown|fchownat|fchmod|utimensat*";
    const CALLS: [&str; 8] = ["fsopen", "fsconfig+", "fsmount", REACH, COPY, "fstatfs", "mount_setattr?", "move_mount"];
    let with = match begins {
        Begins::Permissions => "the permissions",
        Begins::Contents | Begins::Copy => "a copy",
    };
    Line::new(format!("mount tmpfs with {with} of what it covers at {}{}", place(at), attributes(set)), &CALLS)
}

fn preparation(number: usize, plan: &Plan<'_>) -> Line {
    match plan.prepared.get(number) {
        Some(Prepared::Bind { source, ids: None, .. }) => {
            Line::new(format!("prepare mount {number}: {source}"), &["open_tree", "mount_setattr*"])
        }
        Some(Prepared::Bind { source, .. }) => {
            let what = format!("prepare mount {number}: {source} with other ids");
            Line::new(what, &["open_tree", "mount_setattr*", ID_SOURCE, "mount_setattr"])
        }
        Some(Prepared::Node { source, .. }) => {
            let what = format!("prepare mount {number}: {source}");
            Line::new(what, &["open_tree+", "fstat?", "openat?", "open_tree?", "fstat?"])
        }
        Some(Prepared::Group { .. }) | None => {
            let placed = plan.child.iter().find_map(|step| match step {
                Step::Place { handle, at, .. } if *handle == number => Some(place(at)),
                _ => None,
            });
            let at = placed.unwrap_or_default();
            Line::new(
                format!("prepare mount {number}: the container's group for {}", at.trim_end_matches('/')),
                &["open_tree", "mount_setattr"],
            )
        }
    }
}

/// A step of the host's side in words.
#[must_use]
pub fn host_step(step: &HostStep, plan: &Plan<'_>) -> Line {
    match step {
        HostStep::Group(number) => group_step(plan.groups.steps.get(*number), plan),
        HostStep::OpenNamespace(number) => {
            let join = plan.entrance.child_joins.get(*number);
            let what =
                join.map_or_else(String::new, |(kind, path)| format!("open the {} namespace {path}", kind.name()));
            Line::new(what, &["openat"])
        }
        HostStep::JoinPid(path) => Line::new(format!("join the pid namespace {path}"), &["openat", "setns"]),
        HostStep::Confirm => Line::new("make sure that the container's first process still lives", &["ppoll"]),
        HostStep::TimeNamespace(offsets) => {
            let what = format!("make a time namespace: {}", offsets.trim().replace('\n', ", "));
            if offsets.is_empty() {
                return Line::new(what, &["unshare"]);
            }
            Line::new(what, &["unshare", "openat", "fstatfs", "openat2", "openat2", "write"])
        }
        HostStep::Prepare(number) => preparation(*number, plan),
        HostStep::Affinity(processors) => {
            let what = format!("run on processors {} until the child has joined", scheduler::describe(processors));
            Line::new(what, &["sched_setaffinity"])
        }
        HostStep::Clone => {
            let what = format!("clone the child with new namespaces: {}", kinds(plan.entrance.clone));
            Line::new(what, &["clone3"])
        }
        HostStep::AwaitFork => Line::new("learn which process goes on", &["ppoll", "recvmsg", "pidfd_open", "waitid"]),
        HostStep::AwaitUnshare(kind) => {
            Line::new(format!("wait for the child's {} namespace", kind.name()), &["recvmsg"])
        }
        HostStep::Mark(mark, network) => {
            let calls: &[_] = if *network == Network::Host { &MARK_HERE } else { &MARK_THERE };
            let namespace = owner(*network);
            Line::new(format!("mark its packets with {:#x} in {namespace} net namespace", mark.class), calls)
        }
        HostStep::NetDevices(devices, network) => {
            let told =
                |Device { host, name }: &Device| if host == name { host.clone() } else { format!("{host} as {name}") };
            let devices = devices.iter().map(told).collect::<Vec<_>>().join(", ");
            Line::new(format!("move the host's {devices} into {} net namespace", owner(*network)), &GIVE_DEVICES)
        }
        HostStep::Connect(connections, network) => {
            let what = format!("connect {} net namespace: {}", owner(*network), connections.join(", "));
            Line::new(what, &CONNECT)
        }
        HostStep::WriteMaps(_) => {
            const CALLS: [&str; 10] = [
                "openat", "fstatfs", "openat2", "openat2", "write", "openat", "fstatfs", "openat2", "openat2", "write",
            ];
            Line::new("write the id maps", &CALLS)
        }
        HostStep::MakeRoot if maps_ids(plan) => Line::new("make the root mount", &MAPPED_ROOT),
        HostStep::MakeRoot => Line::new("make the root mount", &["fsopen?", "fsconfig*", "fsmount?", "open_tree?"]),
        HostStep::RecordRoot => Line::new("put the root mount on record", &["statx"]),
        HostStep::OpenGroup(index) => open_group(*index, plan),
        HostStep::OpenDelegated => Line::new("have the child's own group for it to join", &[]),
        _ => talk_step(step),
    }
}

/// Whose a network namespace is.
const fn owner(network: Network) -> &'static str {
    match network {
        Network::Host => "the host's",
        Network::Joined(_) => "the joined",
        Network::Own => "its own",
    }
}

/// A step of the host's side while the child is there.
fn talk_step(step: &HostStep) -> Line {
    match step {
        HostStep::Resctrl(group) => {
            let schemata = if group.schemata.is_empty() { "as it is".to_owned() } else { group.schemata.join(", ") };
            let what = format!("put it into the resctrl group {}: {schemata}", group.folder.display());
            Line::new(what, &["statx", "mkdir?", "openat+", "write+"])
        }
        HostStep::OomScoreAdj(value) => Line::new(format!("set oom_score_adj to {value}"), &WRITE_OF_PROCESS),
        HostStep::Release(which) => Line::new(format!("tell the child of {}", turn(*which)), &["sendmsg"]),
        HostStep::AwaitMounts => Line::new("wait until its mounts are made", &["recvmsg+"]),
        HostStep::Hooks(moment) => {
            Line::new(format!("run the hooks of {moment:?}"), &["clone3*", "recvmsg*", "ppoll*"])
        }
        HostStep::Listener(listener) => {
            const CALLS: [&str; 7] =
                ["recvmsg+", "pidfd_getfd", "sendmsg", "socket", "connect", "setsockopt", "sendmsg"];
            Line::new(format!("send the seccomp listener to {}", listener.path), &CALLS)
        }
        HostStep::AwaitGate => Line::new("wait until it is ready to be started", &["recvmsg+"]),
        HostStep::AwaitProgram => Line::new("wait until the command runs", &["recvmsg+"]),
        _ => Line::new(String::new(), &[]),
    }
}

fn open_group(index: cgroup::HierarchyIndex, plan: &Plan<'_>) -> Line {
    let place = plan.groups.steps.iter().map(cgroup::plan::Step::place).find(|place| place.hierarchy == index);
    let name = place.map_or("container's", |place| place.name.as_str());
    Line::new(format!("open the {name} group for the child to join"), &["openat"])
}

/// Whether the container is in a user namespace that is not the host's.
fn maps_ids(plan: &Plan<'_>) -> bool {
    let joined = plan.entrance.child_joins.iter().any(|(kind, _)| *kind == oci::NamespaceKind::User);
    joined || plan.entrance.maps != Maps::None
}

/// The container's own group stays open from its making on; one above it is opened for each step.
fn group_step(step: Option<&cgroup::plan::Step>, plan: &Plan<'_>) -> Line {
    use cgroup::plan::{Role, Step};
    let Some(step) = step else { return Line::new("", &[]) };
    let own = step.place().path == plan.groups.path;
    let calls: &[&str] = match step {
        Step::Make(_, Role::Container | Role::Unit) => &["mkdirat", "openat"],
        Step::Make(_, Role::Parent) => &["mkdirat"],
        Step::Mount(..) => &[
            "openat",
            "flock",
            "mkdir*",
            "openat",
            "fstatfs",
            "fsopen?",
            "fsconfig*",
            "fsmount?",
            "move_mount?",
            "openat?",
        ],
        Step::Evacuate(..) => &["openat", "mkdirat", "openat", "openat+", "read+", "write*"],
        Step::Delegate(..) => &["mkdirat", "openat", "open*", "fchownat*", "openat"],
        Step::Offer(..) => &["openat*", "read*", "openat", "write"],
        // A file that was written last is open still.
        Step::Write(..) if own => &["openat?", "write"],
        Step::Enable(..) | Step::Measure(..) if own => &["openat", "write"],
        Step::Enable(..) | Step::Measure(..) | Step::Write(..) => &["openat", "openat", "write"],
        Step::Unit(..) => &["socket", "connect", "clone3", "sendto", "recvfrom"],
        Step::Properties(..) => &["socket", "connect", "sendto", "recvfrom"],
        Step::Devices(..) if own => &["bpf", "bpf"],
        Step::Devices(..) => &["openat", "bpf", "bpf"],
    };
    Line::new(step.to_string(), calls)
}
