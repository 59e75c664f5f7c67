//! What the kernel does in each step of a plan, a sentence for somebody who learns it. clone(2), namespaces(7), cgroups(7),
//! mount_setattr(2), pivot_root(2), capabilities(7), seccomp(2).

use cgroup::plan::Step as GroupStep;
use child::{Step, Turn};
use oci::NamespaceKind;
use sys::namespace::Kinds;

use crate::plan::{HostStep, Plan};

/// What a namespace of a kind keeps apart.
#[must_use]
pub const fn namespace(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Mnt => {
            "which file systems are where: a new one begins as a copy of the caller's list of mounts, and each goes its own way from then on"
        }
        NamespaceKind::Pid => {
            "process numbers: the first process in it is number 1 inside and has another number in each namespace above; when it ends, the kernel kills all others in it"
        }
        NamespaceKind::Net => {
            "interfaces, addresses, routes, ports and firewall: a new one has a loopback interface that is down and nothing else"
        }
        NamespaceKind::Ipc => "System V shared memory, semaphores and message queues, and POSIX message queues",
        NamespaceKind::Uts => "the host name and the NIS domain name, nothing else",
        NamespaceKind::User => {
            "users, groups and capabilities: numbers inside stand for others outside, and a capability holds only over what the namespace owns"
        }
        NamespaceKind::Cgroup => {
            "which group /proc/self/cgroup and cgroup mounts show as the root; no limit changes by it"
        }
        NamespaceKind::Time => "the offsets of the monotonic and the boot-time clock; the wall clock is everybody's",
    }
}

/// A step of the child.
#[must_use]
pub fn child(step: &Step<'_>) -> &'static str {
    match step {
        Step::Await(turn) => turn_of(*turn),
        Step::JoinGroup { .. } => {
            "writing 0 to a group's tasks file moves the writing thread into it: from here on what it uses is counted there"
        }
        Step::BecomeRoot => {
            "user 0 of a user namespace has every capability over what that namespace owns, and none outside"
        }
        Step::Join { .. } => {
            "setns puts this process into a namespace that exists; for pid only its children will be in it"
        }
        Step::EnterRoot { .. } => "whoever is in a mount namespace still has a root folder of its own in it",
        Step::Unshare(new) => unshared(*new),
        Step::Fork(_) => "a process never changes its own pid namespace: a child is born into the one that was joined",
        Step::KeepOrphans => {
            "who loses its parent gets this process as its next one, not PID 1: all that come from it can be found from it"
        }
        Step::NewSession => "a new session has no terminal: keys pressed at the caller's send it no signal",
        Step::Hostname(_) | Step::Domainname(_) => {
            "the name is a field of the uts namespace: the host's own stays as it is"
        }
        Step::LoopbackUp => "a new network namespace has lo, and it is down: 127.0.0.1 answers only when it is up",
        _ => mounted(step).or_else(|| held(step)).unwrap_or_default(),
    }
}

const fn turn_of(turn: Turn) -> &'static str {
    match turn {
        Turn::Root => {
            "the root comes as a descriptor through a socket: a mount that has no place yet can be handed over"
        }
        _ => {
            "parent and child speak through a socket pair: what the host's side must do from outside is done before the child goes on"
        }
    }
}

fn unshared(new: Kinds) -> &'static str {
    if new.contains(Kinds::CGROUP) {
        "a cgroup namespace is made after the groups are joined: whichever group the maker is in becomes its root"
    } else {
        "unshare makes new namespaces of these kinds and moves the caller into them; into a pid namespace only its next children"
    }
}

/// What has to do with mounts.
fn mounted(step: &Step<'_>) -> Option<&'static str> {
    Some(match step {
        Step::RootPropagation(_) => {
            "private mounts pass nothing on: what is mounted here from now on does not appear on the host, nor the reverse"
        }
        Step::AttachRoot(_) => "move_mount gives the root, so far a mount without a place, one in this mount namespace",
        Step::CoverFolder(_) => {
            "the root is mounted on its own folder, since pivot_root and chroot want a mount and not a mere folder"
        }
        Step::AdoptRoot => "the joined mount namespace has a root already",
        Step::Mount { .. } => {
            "a new instance of a file system: proc shows the pid namespace and sysfs the network namespace of the one who mounts it; flags as nosuid and nodev belong to this mount alone"
        }
        Step::Tmpfs { .. } => {
            "a file system in memory, counted to the group of whoever writes to it, gone with its last mount"
        }
        Step::Place { .. } => {
            "a mount prepared by the host's side, with the host's view of paths, is put where the container sees it; the path is walked within the root only"
        }
        Step::Reconfigure { .. } | Step::Remount { .. } | Step::ReadOnly(_) | Step::RootReadOnly => {
            "read-only is a property of the mount: the same files can still be written through other mounts"
        }
        Step::Device { .. } => {
            "a device node is only a number pair in a folder: what may be opened, the group's device rules decide"
        }
        Step::Link { .. } => "programs expect these names: they lead to the process's own open files",
        Step::Folder(_) => "mount points must exist; they are made within the root only, whatever symbolic links say",
        Step::Mask { .. } => {
            "an empty read-only mount lies over it: these files tell of the whole machine, since no namespace separates them"
        }
        Step::Terminal { .. } => {
            "a devpts of its own numbers terminals anew; the master end goes to the host's side, which passes keys and output on"
        }
        Step::Standard => "open files outlive every change of namespace: these three are all that the command inherits",
        Step::Sysctl { .. } => {
            "some of the kernel's settings exist once for each network, ipc or uts namespace: these are the container's own"
        }
        Step::PivotRoot => "the old root is moved aside and unmounted: unlike after chroot there is no way back to it",
        Step::CopyMounts => {
            "the kernel lists mounts by their age: a copy is made from the root down and lists them in their order"
        }
        Step::ChangeRoot => "chroot changes where / is for this process, and nothing else",
        Step::Unmount { .. } | Step::Detach { .. } | Step::Uncover(_) => {
            "unmounting with MNT_DETACH takes it out of sight at once, and frees it when the last user is gone"
        }
        Step::Propagation { .. } | Step::Unbindable { .. } => {
            "propagation decides whether mounts made later appear in copies of this one elsewhere, or come from there"
        }
        _ => return None,
    })
}

/// What holds the process itself.
fn held(step: &Step<'_>) -> Option<&'static str> {
    Some(match step {
        Step::Attribute { .. } => {
            "the security module takes the label at the next execve: from then on its profile decides beside all others"
        }
        Step::Keyring { .. } => {
            "keys belong to users and sessions: a session keyring of its own keeps the caller's keys out of reach"
        }
        Step::Affinity(_) => {
            "the scheduler lets it run on these processors only; it may ask for others later, within its cpuset"
        }
        Step::Scheduling(_) => {
            "the class and the priority by which the scheduler chooses between those that want to run"
        }
        Step::IoPriority(_) => "block schedulers that know priorities serve it before or after others",
        Step::MemoryPolicy { .. } => "from which memory nodes its pages come when they are first touched",
        Step::Personality(_) => "which variant of Linux it takes this one for, as a 32-bit machine",
        Step::Limit(_) => {
            "resource limits count a process or a user, and know nothing of containers: a child inherits them"
        }
        Step::Umask(_) => "these bits are taken off the mode of every file it makes",
        Step::DropBounding(_) => {
            "no execve, not even of a setuid program, gives it back what has left the bounding set"
        }
        Step::KeepCapabilities => {
            "changing from user 0 to another would empty the permitted set: this bit keeps it until execve"
        }
        Step::Identity { .. } => {
            "without a user namespace these are the host's users: 0 here is 0 there, held back by what it lost only"
        }
        Step::Capabilities { .. } => {
            "root's power in pieces: what is in the effective set is checked at each system call that needs one"
        }
        Step::NoNewPrivs => {
            "from now on, and for every child, setuid bits and file capabilities mean nothing at execve"
        }
        Step::Landlock { .. } => {
            "a ruleset only takes away: each file or port that it handles and does not name is denied"
        }
        Step::Seccomp { .. } => {
            "the kernel runs this program at each system call, with its number and arguments: it allows, fails or kills, and cannot be taken off again"
        }
        Step::WorkingDirectory(_) => "checked to be below the new root: a folder left open outside would be a way out",
        Step::Find { .. } => "looked for now, inside, as long as a clear error can still be told",
        Step::LetGo { .. } => {
            "descriptors that others left open are closed: one that leads to a folder of the host would be a way out"
        }
        Step::Gate => "created, and not started: everything is in force, and the program does not run yet",
        Step::Execute { .. } => {
            "execve replaces the program and keeps everything else: namespaces, groups, rights and limits stay as they are now"
        }
        _ => return None,
    })
}

/// A step of the host's side.
#[must_use]
pub fn host(step: &HostStep, plan: &Plan<'_>) -> &'static str {
    match step {
        HostStep::Group(number) => plan.groups.steps.get(*number).map_or("", group),
        HostStep::OpenNamespace(_) => "an open file of /proc/PID/ns keeps the namespace alive and is what setns takes",
        HostStep::JoinPid(_) => "joining a pid namespace moves no one: it decides where the next child is born",
        HostStep::Confirm => "process numbers are used again: a pidfd tells whether this is still the same process",
        HostStep::TimeNamespace(_) => "the offsets can be written only as long as no process is in the namespace",
        HostStep::Prepare(_) => {
            "open_tree copies a mount without giving it a place: it can be set read-only or given other ids before anybody sees it"
        }
        HostStep::Resctrl(_) => {
            "a resctrl group is a share of the processor's cache and memory bandwidth, enforced by the hardware"
        }
        HostStep::Affinity(_) | HostStep::AwaitFork | HostStep::AwaitUnshare(_) => {
            "what the child is and where it is, the kernel tells only when it is there"
        }
        HostStep::Clone => {
            "clone3 makes a process as fork does, and new namespaces with it: it is their first member, number 1 where pid is among them"
        }
        HostStep::WriteMaps(_) => {
            "until its id maps are written a user namespace knows nobody: every file belongs to the overflow user 65534"
        }
        HostStep::MakeRoot => {
            "an overlay shows lower folders, which it never changes, and one upper folder into which everything written goes"
        }
        HostStep::RecordRoot => "a mount's id, so that this one and no other is unmounted later",
        HostStep::OpenGroup(_) | HostStep::OpenDelegated => {
            "an open file of a group can be handed to the child, which then needs no path to it"
        }
        HostStep::OomScoreAdj(_) => {
            "when memory runs out, the kernel kills who has the most points: these are added or taken off"
        }
        HostStep::Mark(..) => {
            "the kernel tells the group of a packet's sender, so that a rule of nftables can mark what this one sends"
        }
        HostStep::NetDevices(..) => {
            "an interface is in one network namespace at a time: moving it takes its addresses and routes away"
        }
        HostStep::Connect(..) => {
            "a veth is a pair of links: what goes in at one end comes out at the other, in another network namespace"
        }
        HostStep::Release(_) | HostStep::AwaitMounts | HostStep::AwaitGate | HostStep::AwaitProgram => {
            "parent and child go in step: a failure on either side is told to the other and undone"
        }
        HostStep::Hooks(_) => {
            "programs of the configuration's run at this moment, with the container's state on their input"
        }
        HostStep::Listener(_) => "whoever holds this descriptor decides about system calls that the filter asks about",
    }
}

/// A step of the groups' plan; what a value means is said by the table of settings.
fn group(step: &GroupStep) -> &'static str {
    match step {
        GroupStep::Make(..) => {
            "a folder made in a cgroup file system is a group: the kernel fills it with files, and counts what its processes use there and in every group above"
        }
        GroupStep::Mount(..) => "a v1 controller works through the hierarchy that is mounted with it",
        GroupStep::Evacuate(..) => {
            "on v2 a group with controllers for those below it holds no processes itself, the root apart"
        }
        GroupStep::Enable(..) | GroupStep::Offer(..) => {
            "on v2 a group has a controller's files when the group above lists it in cgroup.subtree_control"
        }
        GroupStep::Measure(..) => "a controller without a limit still counts, and what counts can be shown",
        GroupStep::Unit(..) | GroupStep::Properties(..) => {
            "on a host that systemd runs, the group is a unit of its, so that it does not undo what it did not make"
        }
        GroupStep::Write(_, write) => effect(&write.file),
        GroupStep::Devices(..) => {
            "v2 has no file for it: a BPF program attached to the group is asked at each open and mknod of a device"
        }
        GroupStep::Delegate(..) => "who owns a group's folder makes groups below it, within the limits above",
    }
}

/// What the kernel does with a file's value, by the table of settings.
fn effect(file: &str) -> &'static str {
    let is_of = |one: &&cgroup::Setting| [one.v1, one.v2].into_iter().flatten().any(|known| known.name == file);
    cgroup::setting::all().find(is_of).map_or("the group is held to this value", |one| one.effect)
}
