//! The namespaces of a snapshot: those of processes, and those that live on without one, with who owns, made and keeps
//! them. namespaces(7), ioctl_ns(2).

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use error::{Errno, Result};
use procfs::walk::{Held, parse_name};
use procfs::{HostId, HostPid, Kind, Process, Sight, Walk};
use sys::namespace::{Kinds, Neighbour, mount_neighbour, owner, owning_user, parent};

use crate::snapshot::{Holder, Namespace, Related, Spot};
use crate::source::Sightless;

/// Namespaces on the way into a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    pub(crate) all: Vec<Namespace>,
    /// A process of each, by which it can be reached.
    pub(crate) witness: Vec<Option<HostPid>>,
    /// By inode, which no two of them share.
    known: BTreeMap<u64, usize>,
}

impl Namespaces {
    /// Counts a process in.
    pub(crate) fn count(&mut self, pid: HostPid, kind: Kind, sight: Sight) -> Spot {
        let id = match sight {
            Sight::Id(id) => id,
            Sight::Absent => return Spot::Absent,
            Sight::Blind(_) => return Spot::Unreadable,
        };
        let index = self.add(kind, id.ino);
        if let (Some(namespace), Some(witness)) = (self.all.get_mut(index), self.witness.get_mut(index)) {
            namespace.processes += 1;
            witness.get_or_insert(pid);
        }
        Spot::In(index)
    }

    /// Whether any of a process's namespaces is not known yet.
    pub(crate) fn has_new(&self, seen: &[Sight; 8]) -> bool {
        seen.iter().filter_map(|sight| sight.id()).any(|id| !self.known.contains_key(&id.ino))
    }

    /// Whether a process that was counted is the first one of any of its namespaces.
    pub(crate) fn is_first(&self, pid: HostPid, spots: &[Spot; 8]) -> bool {
        let is_witness = |spot: &Spot| matches!(spot, Spot::In(index) if self.witness.get(*index) == Some(&Some(pid)));
        spots.iter().any(is_witness)
    }

    fn add(&mut self, kind: Kind, ino: u64) -> usize {
        if let Some(known) = self.known.get(&ino) {
            return *known;
        }
        let index = self.all.len();
        self.all.push(Namespace {
            kind,
            ino,
            processes: 0,
            owner: Related::Unknown,
            parent: Related::Unknown,
            creator: None,
            holders: Vec::new(),
            listening: None,
        });
        self.witness.push(None);
        self.known.insert(ino, index);
        index
    }

    /// Finds those without a process, and asks the kernel of each that can be opened who owns, made and is above it.
    pub(crate) fn look_closer(&mut self, walk: &mut Walk, pids: &[HostPid], blind: &mut Sightless) {
        let mut open = self.neighbours(blind);
        self.mounted(walk, &mut open, blind);
        self.descriptors(walk, pids, &mut open, blind);
        self.relate(&mut open);
        self.look_at(walk, 0..self.all.len(), blind);
        for index in 0..self.all.len() {
            self.keep_below(index);
        }
    }

    /// Asks the kernel of these, as far as they have a process, who owns, made and is above them.
    pub(crate) fn look_at(&mut self, walk: &mut Walk, asked: impl IntoIterator<Item = usize>, blind: &mut Sightless) {
        let mut open = Vec::new();
        for index in asked {
            let (Some(namespace), Some(Some(pid))) = (self.all.get(index), self.witness.get(index)) else { continue };
            let kind = namespace.kind;
            match walk.visit(*pid).map(|visit| visit.map(|visit| visit.open_namespace(kind))) {
                Ok(Some(Ok(file))) => open.push((index, file)),
                Ok(Some(Err(error))) | Err(error) => {
                    blind.add_error("owners", &format!("who owns {}:[{}]", kind.name(), self.ino(index)), &error);
                }
                Ok(None) => {}
            }
            self.relate(&mut open);
        }
    }

    fn ino(&self, index: usize) -> u64 {
        self.all.get(index).map_or(0, |namespace| namespace.ino)
    }

    /// Asks of each open namespace; what is found above one is asked in its turn.
    fn relate(&mut self, open: &mut Vec<(usize, OwnedFd)>) {
        while let Some((index, file)) = open.pop() {
            let Some(kind) = self.all.get(index).map(|namespace| namespace.kind) else { continue };
            let owned_by = self.above(owning_user(file.as_fd()), Kind::User, open);
            let has_parent = matches!(kind, Kind::User | Kind::Pid);
            let above = if has_parent { self.above(parent(file.as_fd()), kind, open) } else { Related::Unknown };
            let creator = if kind == Kind::User { owner(file.as_fd()).ok().map(HostId) } else { None };
            if let Some(namespace) = self.all.get_mut(index) {
                (namespace.owner, namespace.parent, namespace.creator) = (owned_by, above, creator);
            }
        }
    }

    fn above(&mut self, found: sys::Result<OwnedFd>, kind: Kind, open: &mut Vec<(usize, OwnedFd)>) -> Related {
        let file = match found {
            Ok(file) => file,
            // The first namespace has none above it, and one outside of the viewer's is refused alike.
            Err(Errno::PERM) => return Related::Outside,
            Err(_) => return Related::Unknown,
        };
        let Ok(ino) = inode(file.as_fd()) else { return Related::Unknown };
        let before = self.all.len();
        let index = self.add(kind, ino);
        if index == before {
            open.push((index, file));
        }
        Related::To(index)
    }

    /// One without a process is kept by those that it owns or is above of.
    fn keep_below(&mut self, index: usize) {
        let Some(namespace) = self.all.get(index) else { return };
        let unkept = |one: &Namespace| one.processes == 0;
        let above: Vec<usize> = [namespace.owner, namespace.parent]
            .into_iter()
            .filter_map(|related| if let Related::To(above) = related { Some(above) } else { None })
            .collect();
        for above in above {
            if let Some(one) = self.all.get_mut(above).filter(|one| unkept(one))
                && !one.holders.contains(&Holder::Namespace(index))
            {
                one.holders.push(Holder::Namespace(index));
            }
        }
    }

    /// The mount namespaces that the kernel lists, from the viewer's own in both directions.
    fn neighbours(&mut self, blind: &mut Sightless) -> Vec<(usize, OwnedFd)> {
        let mut found = Vec::new();
        let own = Process::this().and_then(|this| this.open_namespace(Kind::Mnt));
        let Ok(own) = own else { return found };
        for direction in [Neighbour::Next, Neighbour::Previous] {
            let mut last = mount_neighbour(own.as_fd(), direction);
            loop {
                let file = match last {
                    Ok(file) => file,
                    Err(Errno::NOENT) => break,
                    Err(errno) => {
                        blind.add(
                            "list",
                            "the kernel's list of mount namespaces: those without a process are not known",
                            errno,
                        );
                        return found;
                    }
                };
                last = mount_neighbour(file.as_fd(), direction);
                let Ok(ino) = inode(file.as_fd()) else { continue };
                let before = self.all.len();
                let index = self.add(Kind::Mnt, ino);
                if index == before {
                    self.hold(index, Holder::Unseen);
                    found.push((index, file));
                }
            }
        }
        found
    }

    fn hold(&mut self, index: usize, holder: Holder) {
        let Some(namespace) = self.all.get_mut(index) else { return };
        namespace.holders.retain(|known| *known != Holder::Unseen);
        namespace.holders.push(holder);
    }

    /// Those that are mounted somewhere, as `ip netns` does: read in every mount namespace that a process is in.
    fn mounted(&mut self, walk: &mut Walk, open: &mut Vec<(usize, OwnedFd)>, blind: &mut Sightless) {
        for index in 0..self.all.len() {
            let is_mnt = self.all.get(index).is_some_and(|namespace| namespace.kind == Kind::Mnt);
            let Some(Some(pid)) = self.witness.get(index).copied().filter(|_| is_mnt) else { continue };
            let mounts = match walk.visit(pid).map(|visit| visit.map(|mut visit| visit.mountinfo())) {
                Ok(Some(Ok(mounts))) => mounts,
                Ok(None) => continue,
                Ok(Some(Err(error))) | Err(error) => {
                    blind.add_error("mounts", &format!("the mounts of process {pid}"), &error);
                    continue;
                }
            };
            for mount in mounts.into_iter().filter(|mount| mount.fs_type == "nsfs") {
                let Some((kind, ino)) = parse_name(mount.root.as_os_str().as_encoded_bytes()) else { continue };
                let at = self.add(kind, ino);
                if self.all.get(at).is_some_and(|namespace| namespace.processes > 0) {
                    continue;
                }
                if let Ok(file) = open_mounted(&mount.mount_point, ino) {
                    open.push((at, file));
                }
                self.hold(at, Holder::Mount { path: mount.mount_point, pid });
            }
        }
    }

    /// Those that a process has open.
    fn descriptors(
        &mut self,
        walk: &mut Walk,
        pids: &[HostPid],
        open: &mut Vec<(usize, OwnedFd)>,
        blind: &mut Sightless,
    ) {
        for pid in pids {
            let Ok(Some(visit)) = walk.visit(*pid) else { continue };
            let held = match visit.held_namespaces() {
                Ok(held) => held,
                Err(error) => {
                    blind.add_error("descriptors", &format!("what process {pid} has open"), &error);
                    continue;
                }
            };
            for Held { kind, ino, fd } in held {
                if self.known.get(&ino).and_then(|at| self.all.get(*at)).is_some_and(|one| one.processes > 0) {
                    continue;
                }
                let file = visit.open_descriptor(fd).ok().filter(|file| inode(file.as_fd()) == Ok(ino));
                let Some(kind) = kind.or_else(|| kind_of(file.as_ref()?.as_fd())) else { continue };
                let at = self.add(kind, ino);
                open.extend(file.map(|file| (at, file)));
                self.hold(at, Holder::Descriptor { pid: *pid, fd });
            }
        }
    }
}

fn kind_of(file: BorrowedFd<'_>) -> Option<Kind> {
    let found = sys::namespace::kind(file).ok()?;
    Kind::ALL.into_iter().find(|kind| bit(*kind) == found)
}

/// The kernel's bit for a kind.
const fn bit(kind: Kind) -> Kinds {
    match kind {
        Kind::Mnt => Kinds::MNT,
        Kind::Pid => Kinds::PID,
        Kind::Net => Kinds::NET,
        Kind::Ipc => Kinds::IPC,
        Kind::Uts => Kinds::UTS,
        Kind::User => Kinds::USER,
        Kind::Cgroup => Kinds::CGROUP,
        Kind::Time => Kinds::TIME,
    }
}

fn inode(file: BorrowedFd<'_>) -> sys::Result<u64> {
    rustix::fs::fstat(file).map(|stat| stat.st_ino)
}

/// A namespace by the place where it is mounted, if it is mounted there for the viewer too.
fn open_mounted(place: &std::path::Path, ino: u64) -> Result<OwnedFd> {
    use error::Doing as _;
    use rustix::fs::{CWD, Mode, OFlags, openat, statat};
    let action = || format!("open {}", place.display());
    // Anything may be at that path for the viewer, and opening it may do things.
    let found = statat(CWD, place, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).doing(action)?;
    if found.st_ino != ino {
        return Err(error::Kernel::new(action(), Errno::NODEV).into());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(CWD, place, flags, Mode::empty()).doing(action)
}
