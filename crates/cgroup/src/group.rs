//! A container's groups on this host: made step by step, joined, read, and reached through held descriptors.
//!
//! cgroups(7); clone3(2) `CLONE_INTO_CGROUP`. There are three ways in, and they differ in what they wait for:
//!
//! * clone3 into the v2 group waits for nothing;
//! * a task that moves itself by writing 0 to a v1 group's `tasks` waits for nothing either, since nobody else can
//!   change it meanwhile (kernel/cgroup/cgroup.c `cgroup_procs_write_start`): [`Groups::join_file`];
//! * every write to `cgroup.procs`, and of another task's number, takes `cgroup_threadgroup_rwsem` for writing. The first
//!   one waits for an RCU grace period, 5 to 15 ms; those within the next 10 ms or so, in any hierarchy and for any
//!   process, take some microseconds: [`Groups::attach`].

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Error, Kernel, Refused, RefusedKind, Result};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, statat};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::facts::Commission;
use crate::file::{PROCS, SUBTREE_CONTROL_V2, TASKS_V1};
use crate::hierarchy::{CONTROLLERS, Controller, Hierarchies, Hierarchy, HierarchyIndex, Mounted, Version};
use crate::path::GroupPath;
use crate::plan::{Parent, Place, Plan, Role, Step, root_refused};
use crate::remove::Left;
use crate::systemd::{Manager, Property, Scope, UnitKind};
use crate::write::Write;
use crate::{
    cpu, cpuacct, devices, evacuate, file, io, memory, misc, mount, net_prio, payload, pids, rdma, remove, tree,
};

/// The groups of one container in all hierarchies.
#[derive(Debug)]
pub struct Groups {
    pub(crate) hierarchies: Hierarchies,
    pub(crate) path: GroupPath,
    pub(crate) held: Vec<Held>,
    /// A new systemd scope, which its first process is not in yet.
    scope: Option<Scope>,
    /// The file by which a process joins the group that the container's processes manage.
    delegated: Option<OwnedFd>,
    /// The file of the container's group that was written last: the next value often goes there too.
    written: Option<Written>,
}

#[derive(Debug)]
struct Written {
    hierarchy: HierarchyIndex,
    name: String,
    file: OwnedFd,
}

/// One hierarchy's root, and the container's group in it once that exists.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) index: HierarchyIndex,
    pub(crate) root: OwnedFd,
    pub(crate) group: Option<OwnedFd>,
    /// Whether the group was made here, and not found.
    pub(crate) made: bool,
}

impl Groups {
    /// Opens the hierarchies that a plan is about; nothing is made yet. A plan without steps enters the groups that
    /// exist.
    ///
    /// # Errors
    /// A kernel error where a mount point cannot be opened.
    pub fn prepare(hierarchies: &Hierarchies, plan: &Plan) -> Result<Self> {
        if plan.steps.is_empty() && !plan.attach.is_empty() {
            return Self::open(hierarchies, &plan.path)?.entered_by(plan);
        }
        let held = |index: &HierarchyIndex| {
            Ok(Held { index: *index, root: hierarchies.at(*index)?.open()?, group: None, made: false })
        };
        // One that is still to be mounted, or that might be unmounted meanwhile, is opened by its own step.
        let mounted = |index: &&HierarchyIndex| {
            hierarchies.at(**index).is_ok_and(|hierarchy| hierarchy.mounted == Mounted::ByHost)
        };
        let held = plan.attach.iter().filter(mounted).map(held).collect::<Result<_>>()?;
        Ok(Self::of(hierarchies, &plan.path, held))
    }

    fn of(hierarchies: &Hierarchies, path: &GroupPath, held: Vec<Held>) -> Self {
        let (hierarchies, path) = (hierarchies.clone(), path.clone());
        Self { hierarchies, path, held, scope: None, delegated: None, written: None }
    }

    /// Groups that exist, for a plan that enters them: where it leads into groups nested in them, those take their place.
    ///
    /// # Errors
    /// A kernel error where one of these cannot be opened.
    pub fn entered_by(mut self, plan: &Plan) -> Result<Self> {
        for (index, path) in &plan.nested {
            let name = self.hierarchies.at(*index)?.to_string();
            let held = self.held_mut(*index)?;
            let group = tree::open(&held.root, path.relative());
            held.group = Some(group.doing(|| format!("open the cgroup {name}:{path}"))?);
        }
        Ok(self)
    }

    /// Opens the groups that exist at a path: to enter, read, kill or remove them. None at all is no error.
    ///
    /// # Errors
    /// Refused for the root; a kernel error where a mount point or a group cannot be opened.
    pub fn open(hierarchies: &Hierarchies, path: &GroupPath) -> Result<Self> {
        if path.is_root() {
            return Err(root_refused());
        }
        let mut held = Vec::new();
        for (index, hierarchy) in hierarchies.iter().filter(|(_, hierarchy)| hierarchy.obstacle.is_none()) {
            let root = match hierarchy.mounted {
                Mounted::ByHost => hierarchy.open()?,
                Mounted::ByCarboy | Mounted::NotYet => match mount::open(hierarchy) {
                    Some(root) => root,
                    None => continue,
                },
            };
            let group = match tree::open(&root, path.relative()) {
                Err(Errno::NOENT) => None,
                group => Some(group.doing(|| format!("open the cgroup {hierarchy}:{path}"))?),
            };
            held.push(Held { index, root, group, made: false });
        }
        Ok(Self::of(hierarchies, path, held))
    }

    /// Does one step of a plan.
    ///
    /// # Errors
    /// Refused (a conflict) when the container's group exists already with processes in it; else the kernel's error, which names the step.
    pub fn apply(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Make(place, role) => self.make(place.hierarchy, &place.path, *role, step),
            Step::Mount(Place { hierarchy: index, .. }, _) => {
                let root = mount::apply(self.hierarchies.at(*index)?)?;
                self.held.push(Held { index: *index, root, group: None, made: false });
                Ok(())
            }
            Step::Evacuate(place) => {
                let above = self.directory(place.hierarchy, &place.path.parent().unwrap_or_else(GroupPath::root))?;
                evacuate::apply(above.as_fd()).map_err(|errno| failed(step, errno))
            }
            Step::Enable(place, controllers) => {
                let words: Vec<String> = controllers.iter().map(enabling).collect();
                let group = self.directory(place.hierarchy, &place.path)?;
                // A threaded controller such as pids would be taken, and would make the groups below invalid: whoever
                // joins them gets EOPNOTSUPP.
                if evacuate::is_needed(&group) {
                    return Err(failed(step, Errno::BUSY));
                }
                file::write(group.as_fd(), SUBTREE_CONTROL_V2, &words.join(" ")).map_err(|errno| failed(step, errno))
            }
            Step::Measure(place, controller) => {
                let group = self.directory(place.hierarchy, &place.path)?;
                if !evacuate::is_needed(&group) {
                    let _ = file::write(group.as_fd(), SUBTREE_CONTROL_V2, &enabling(controller));
                }
                Ok(())
            }
            Step::Write(place, write) => self.write(place, write, step),
            Step::Unit(_, commission, properties) => self.start_unit(commission, properties),
            Step::Properties(_, commission, properties) => {
                Manager::connect(commission.instance())?.set_properties(&commission.unit, properties)
            }
            Step::Delegate(place, owner) => {
                let root = &self.held_mut(place.hierarchy)?.root;
                self.delegated = Some(payload::make(root, place, *owner).map_err(|errno| failed(step, errno))?);
                Ok(())
            }
            Step::Offer(place) => {
                let group = self.directory(place.hierarchy, &place.path)?;
                let listed = file::read(group.as_fd(), CONTROLLERS).map_err(|errno| failed(step, errno))?;
                let words: Vec<String> = listed.split_whitespace().map(|name| format!("+{name}")).collect();
                file::write(group.as_fd(), SUBTREE_CONTROL_V2, &words.join(" ")).map_err(|errno| failed(step, errno))
            }
            Step::Devices(place, program) => {
                let group = self.directory(place.hierarchy, &place.path)?;
                program.attach(group.as_fd()).map_err(|errno| failed(step, errno))
            }
        }
    }

    fn write(&mut self, Place { hierarchy, path, .. }: &Place, write: &Write, step: &Step) -> Result<()> {
        let same =
            |written: &&Written| written.hierarchy == *hierarchy && written.name == write.file && *path == self.path;
        if let Some(Written { file, .. }) = self.written.as_ref().filter(same) {
            return file::write_open(file, &write.value).map_err(|errno| failed(step, errno));
        }
        let group = self.directory(*hierarchy, path)?;
        let file = match file::open(&group, &write.file, OFlags::WRONLY) {
            Err(Errno::NOENT) if write.spared => return Ok(()),
            Err(Errno::NOENT) if is_there(group.as_fd()) => return Err(missing(write).into()),
            opened => opened.map_err(|errno| failed(step, errno))?,
        };
        file::write_open(&file, &write.value).map_err(|errno| failed(step, errno))?;
        if *path == self.path {
            self.written = Some(Written { hierarchy: *hierarchy, name: write.file.to_string(), file });
        }
        Ok(())
    }

    /// Has systemd make the container's unit. Where it does not make the group that the plan is about, that is an error.
    fn start_unit(&mut self, commission: &Commission, properties: &[Property]) -> Result<()> {
        let Commission { unit, .. } = commission;
        let mut manager = Manager::connect(commission.instance())?;
        let made = match unit.kind() {
            UnitKind::Slice => manager.start_slice(unit, properties)?,
            UnitKind::Scope => {
                let scope = manager.start_scope(unit, properties)?;
                self.scope.insert(scope).group().clone()
            }
        };
        if made == self.path {
            return Ok(());
        }
        let reason = format!("systemd has made it at {made}, not at {}", self.path);
        Err(Refused::new("the systemd unit", unit.name(), reason).into())
    }

    fn make(&mut self, index: HierarchyIndex, path: &GroupPath, role: Role, step: &Step) -> Result<()> {
        let held = self.held_mut(index)?;
        match (mkdirat(&held.root, path.relative(), Mode::from_raw_mode(0o755)), role) {
            (Ok(()), Role::Container | Role::Unit) | (Err(Errno::EXIST), Role::Unit) => {
                held.group = Some(tree::open(&held.root, path.relative()).map_err(|errno| failed(step, errno))?);
                held.made = true;
                Ok(())
            }
            // Another container with the same parent was faster.
            (Ok(()) | Err(Errno::EXIST), Role::Parent) => Ok(()),
            (Err(Errno::EXIST), Role::Container) => {
                let group = tree::open(&held.root, path.relative()).map_err(|errno| failed(step, errno))?;
                // Somebody has prepared it for the container.
                if tree::is_uninhabited(group.as_fd()) {
                    held.group = Some(group);
                    return Ok(());
                }
                let reason = format!("the cgroup {} exists already, and processes are in it", step.place());
                let hint = "end them, or choose another path";
                let refused = Refused::new("linux.cgroupsPath", path.to_string(), reason).hint(hint);
                Err(refused.kind(RefusedKind::Conflict).into())
            }
            (Err(errno), _) => Err(failed(step, errno)),
        }
    }

    /// Attaches a process to the container's group in one hierarchy, with all its threads.
    ///
    /// # Errors
    /// A kernel error: `ESRCH` when it is gone, `ENOSPC` where a cpuset is empty, `EBUSY` where a v2 group has
    /// controllers enabled for groups below it.
    pub fn attach(&self, hierarchy: HierarchyIndex, process: Pid) -> Result<()> {
        let number = process.as_raw_nonzero().get();
        file::write(self.group(hierarchy)?, PROCS, &number.to_string())
            .doing(|| format!("attach process {number} to the cgroup {}", self.name(hierarchy)))
    }

    /// The open file by which a process with one thread joins one hierarchy: it writes `0`. On v1 that waits for
    /// nothing; on v2, which is better joined by clone3, as long as [`Groups::attach`].
    ///
    /// # Errors
    /// A kernel error where it cannot be opened.
    pub fn join_file(&self, hierarchy: HierarchyIndex) -> Result<OwnedFd> {
        let name = match self.hierarchies.at(hierarchy)?.version {
            Version::V1 => TASKS_V1,
            Version::V2 => PROCS,
        };
        file::open(self.group(hierarchy)?, name, OFlags::WRONLY)
            .doing(|| format!("open {name} of the cgroup {}", self.name(hierarchy)))
    }

    /// The same for the group within the container's that [`Step::Delegate`] has made.
    pub const fn delegated_file(&mut self) -> Option<OwnedFd> {
        self.delegated.take()
    }

    /// The container's group of the v2 hierarchy, for clone3's `CLONE_INTO_CGROUP`: joining it then needs no attach.
    #[must_use]
    pub fn into_cgroup(&self) -> Option<(HierarchyIndex, BorrowedFd<'_>)> {
        let index = self.hierarchies.unified()?;
        self.group(index).ok().map(|group| (index, group))
    }

    /// Whether the container's group can hold processes: not on v2 once it has given controllers to groups below it,
    /// cgroup-v2.rst "No Internal Process Constraint".
    ///
    /// # Errors
    /// A kernel error.
    pub fn can_hold_processes(&self) -> Result<bool> {
        let Some((index, group)) = self.into_cgroup() else { return Ok(true) };
        let given = file::read(group, SUBTREE_CONTROL_V2)
            .doing(|| format!("read {SUBTREE_CONTROL_V2} of the cgroup {}", self.name(index)))?;
        Ok(given.trim().is_empty())
    }

    /// The first process is in the group of v2: what kept a new systemd scope for it ends. It must not live on, since it
    /// has copies of all that was open when it began.
    pub fn inhabited(&mut self) {
        self.scope = None;
    }

    /// The hierarchies that they are in.
    #[must_use]
    pub const fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// The container's path in every hierarchy.
    #[must_use]
    pub const fn path(&self) -> &GroupPath {
        &self.path
    }

    /// The hierarchies in which the container has a group.
    pub fn present(&self) -> impl Iterator<Item = (HierarchyIndex, &Hierarchy)> {
        let has = |index| self.held.iter().any(|held| held.index == index && held.group.is_some());
        self.hierarchies.iter().filter(move |(index, _)| has(*index))
    }

    /// Removes the groups, those nested in them, and those of `parents` that nothing else uses. Gives what is left
    /// behind: it stops at nothing, waits a while for dying processes, and what is gone already counts as removed.
    #[must_use]
    pub fn remove(self, parents: &[Parent]) -> Vec<Left> {
        remove::remove(self, parents)
    }

    /// Removes the groups if nothing is in them: a fraction of the work that it is to look for what is. Whether all are
    /// gone.
    #[must_use]
    pub fn remove_empty(&self) -> bool {
        remove::remove_empty(self)
    }

    /// Takes back a plan that found somebody else's group at the container's path: the groups that it made, and nothing of
    /// the other's.
    pub fn unmake(&self, parents: &[Parent]) {
        remove::unmake(self, parents);
    }

    /// Memory use and limit; `None` without a group that has the controller.
    #[must_use]
    pub fn memory(&self) -> Option<memory::Stats> {
        let (version, group) = self.controlled(Controller::Memory)?;
        let read = |name: &str| file::read(group, name).ok();
        Some(match version {
            Version::V1 => memory::stats_v1(read),
            Version::V2 => memory::stats_v2(read),
        })
    }

    /// How many processes the OOM killer has killed; `None` where it cannot be read.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        let (version, group) = self.controlled(Controller::Memory)?;
        let read = |name: &str| file::read(group, name).ok();
        match version {
            Version::V1 => memory::oom_kills_v1(read),
            Version::V2 => memory::oom_kills_v2(read),
        }
    }

    /// On v2: files that tell by `POLLPRI` that memory or pids ran short, once they were read.
    #[must_use]
    pub fn alarms(&self) -> Vec<OwnedFd> {
        let files = [(Controller::Memory, memory::EVENTS_V2), (Controller::Pids, pids::EVENTS)];
        let open = |(controller, name): (Controller, &str)| {
            let (version, group) = self.controlled(controller)?;
            let events = file::open(group, name, OFlags::RDONLY).ok().filter(|_| version == Version::V2)?;
            file::read_open(&events).ok().map(|_| events)
        };
        files.into_iter().filter_map(open).collect()
    }

    /// CPU bandwidth and throttling; `None` without a group that has the controller.
    #[must_use]
    pub fn cpu(&self) -> Option<cpu::Stats> {
        let (version, group) = self.controlled(Controller::Cpu)?;
        let read = |name: &str| file::read(group, name).ok();
        Some(match version {
            Version::V1 => cpu::stats_v1(read),
            Version::V2 => cpu::stats_v2(read),
        })
    }

    /// CPU time used; `None` without a group that has the controller.
    #[must_use]
    pub fn cpuacct(&self) -> Option<cpuacct::Stats> {
        let (version, group) = self.controlled(Controller::Cpuacct)?;
        let read = |name: &str| file::read(group, name).ok();
        Some(match version {
            Version::V1 => cpuacct::stats_v1(read),
            Version::V2 => cpuacct::stats_v2(read),
        })
    }

    /// Tasks and their limit; `None` without a group that has the controller.
    #[must_use]
    pub fn pids(&self) -> Option<pids::Stats> {
        let (version, group) = self.controlled(Controller::Pids)?;
        let read = |name: &str| file::read(group, name).ok();
        Some(match version {
            Version::V1 => pids::stats_v1(read),
            Version::V2 => pids::stats_v2(read),
        })
    }

    /// The group and version by which a controller acts on this container.
    pub(crate) fn controlled(&self, controller: Controller) -> Option<(Version, BorrowedFd<'_>)> {
        let index = self.hierarchies.index_of(controller)?;
        let version = self.hierarchies.at(index).ok()?.version;
        self.group(index).ok().map(|group| (version, group))
    }

    /// `memory:/carboy-3f`.
    pub(crate) fn name(&self, index: HierarchyIndex) -> String {
        let hierarchy = self.hierarchies.at(index).map_or_else(|_| index.0.to_string(), ToString::to_string);
        format!("{hierarchy}:{}", self.path)
    }

    /// The open directory of the container's group in one hierarchy.
    ///
    /// # Errors
    /// A kernel error (`ENOENT`) where it has none.
    pub fn group(&self, index: HierarchyIndex) -> Result<BorrowedFd<'_>> {
        let group = self.held.iter().find(|held| held.index == index).and_then(|held| held.group.as_ref());
        match group {
            Some(group) => Ok(group.as_fd()),
            None => Err(Kernel::new(format!("find the cgroup {}", self.name(index)), Errno::NOENT).into()),
        }
    }

    fn held_mut(&mut self, index: HierarchyIndex) -> Result<&mut Held> {
        let error = || Kernel::new(format!("find cgroup hierarchy {}", index.0), Errno::NODEV);
        Ok(self.held.iter_mut().find(|held| held.index == index).ok_or_else(error)?)
    }

    /// The directory of the container's group, or of one above it.
    fn directory(&self, index: HierarchyIndex, path: &GroupPath) -> Result<Directory<'_>> {
        if *path == self.path {
            return self.group(index).map(Directory::Held);
        }
        let name = || Kernel::new(format!("find cgroup hierarchy {}", index.0), Errno::NODEV);
        let held = self.held.iter().find(|held| held.index == index).ok_or_else(name)?;
        let opened = tree::open(&held.root, path.relative()).doing(|| format!("open the cgroup {path}"))?;
        Ok(Directory::Opened(opened))
    }
}

/// `+memory`, as `cgroup.subtree_control` takes it.
fn enabling(controller: &Controller) -> String {
    format!("+{}", controller.name(Version::V2))
}

enum Directory<'a> {
    Held(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Directory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Held(group) => group.as_fd(),
            Self::Opened(group) => group.as_fd(),
        }
    }
}

/// What the kernel's answer to a write means, where the controller's room knows.
fn refusal(write: &Write, errno: Errno) -> Option<Refused> {
    match write.controller {
        Controller::Io => io::refusal(write, errno),
        Controller::Devices => devices::refusal(write, errno),
        Controller::NetPrio => net_prio::refusal(write, errno),
        Controller::Rdma => rdma::refusal(write, errno),
        Controller::Misc => misc::refusal(write, errno),
        _ => None,
    }
}

/// Whether a group is still there: one that was removed meanwhile has no files at all.
fn is_there(group: BorrowedFd<'_>) -> bool {
    statat(group, PROCS, AtFlags::empty()).is_ok()
}

/// The refusal of a file that no group of this kernel has.
fn missing(write: &Write) -> Refused {
    let reason = format!("this kernel has no {}", write.file);
    Refused::new(write.field.as_ref(), &write.value, reason).hint("leave the setting out")
}

/// A step's failure, with a hint where the errno has one known cause.
fn failed(step: &Step, errno: Errno) -> Error {
    if let Step::Write(_, write) = step
        && let Some(refused) = refusal(write, errno)
    {
        return refused.into();
    }
    let error = Kernel::new(step.to_string(), errno);
    let hint = match (step, errno) {
        (Step::Make(..), Errno::AGAIN) => {
            Some("cgroup.max.descendants or cgroup.max.depth of a group above is reached: raise it, or remove groups")
        }
        (Step::Make(..), Errno::NOENT) => Some("the group above was removed meanwhile: try again"),
        (Step::Evacuate(..), Errno::BUSY) => Some("processes of another pid namespace are in the group: share theirs"),
        (Step::Enable(..), Errno::BUSY) => Some("the group has processes of its own: choose a parent without any"),
        (Step::Make(..) | Step::Write(..), Errno::ACCESS | Errno::PERM) => {
            Some("cgroups are made as root, and a group cannot be given more than the one above it has")
        }
        (Step::Enable(..), Errno::NOENT) => Some("this kernel was built without the setting"),
        _ => None,
    };
    match hint {
        Some(hint) => error.hint(hint).into(),
        None => error.into(),
    }
}
