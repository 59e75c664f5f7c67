//! A mark on the packets of a container where there is no `net_cls`: nftables' `socket cgroupv2` in the network namespace
//! that the container uses, with a count of the packets and their bytes.
//!
//! ```text
//! table inet carboy-ID {
//!     chain output {
//!         type filter hook output priority mangle; policy accept;
//!         socket cgroupv2 level 1 "carboy-ID" counter meta mark set 0x00100001
//!     }
//! }
//! ```
//!
//! nft(8) "SOCKET EXPRESSION", net/netfilter/nft_socket.c; Linux 5.13, `CONFIG_NFT_SOCKET`. What is to be known of it:
//!
//! * The class becomes the packet's mark: tc(8) finds it by `handle CLASS fw`, a firewall by `meta mark`. Like a class it
//!   stays in its network namespace: a packet that leaves through a veth loses it, as it loses its socket.
//! * A packet is the container's by its socket, and a socket is its maker's: made in the container's group or one nested
//!   in it. A socket that was passed in is not. What the kernel sends of itself (resets, echo replies, the answer to a
//!   connection request) is nobody's: `net_cls` does not see it either.
//! * The rule lives in a namespace in which a container with `CAP_NET_ADMIN` can remove it, as a firewall of the host that
//!   replaces all tables does in the host's.
//! * Up to Linux 5.14 mounting v1 `net_cls` or `net_prio` anywhere ends this match until the host restarts
//!   (`cgroup_sk_alloc_disable`); from 5.15 on they live side by side.
//! * The level counts from the root of the cgroup namespace of who makes the rule; before 6.12 (and the stable releases
//!   that took that change) from the root of the host, so that there it does not match from inside a cgroup namespace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use error::{Doing, Errno, Kernel, Refused, Result};
use netlink::{Protocol, Socket};
use procfs::{Kind, NamespaceId, Process};
use rustix::fs::fstat;

use crate::group::Groups;
use crate::hierarchy::{Controller, Hierarchies, HierarchyIndex};
use crate::net_cls;
use crate::nftables::{self, Match};
use crate::path::GroupPath;

pub use crate::nftables::Counter;

/// The longest name that nftables takes for a table.
const LONGEST_NAME: usize = 255;

/// A mark to be put on a container's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The mark.
    pub class: u32,
    /// The v2 hierarchy whose group tells whose packet it is.
    pub hierarchy: HierarchyIndex,
    /// How far below the root of the cgroup namespace the group is.
    pub level: u32,
}

/// A network namespace that holds a table: what is put on record, to find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The namespace.
    pub namespace: NamespaceId,
    /// A file that may keep it alive without a process in it.
    pub file: Option<String>,
}

/// The mark that gives packets the class that was asked for; `None` where none was, and where a v1 hierarchy gives it.
///
/// # Errors
/// Refused where the group's path is too long for the name of a table.
pub fn plan(hierarchies: &Hierarchies, path: &GroupPath, network: Option<&oci::Network>) -> Result<Option<Mark>> {
    let class = network.and_then(|network| network.class_id).filter(|class| *class != 0);
    let has_v1 = hierarchies.of(Controller::NetCls).is_some_and(|hierarchy| hierarchy.obstacle.is_none());
    let (Some(class), false, Some(index)) = (class, has_v1, hierarchies.unified()) else { return Ok(None) };
    let hierarchy = hierarchies.at(index)?;
    let (Some(above), Some(below)) = (depth(&hierarchy.mount_root), depth(Path::new(path.relative()))) else {
        return Ok(None);
    };
    if hierarchy.obstacle.is_some() {
        return Ok(None);
    }
    if table(path).len() > LONGEST_NAME {
        let reason = format!("needs a table called {}, and nftables takes {LONGEST_NAME} bytes", table(path));
        return Err(Refused::new(net_cls::FIELD, class.to_string(), reason).hint("use a shorter cgroup path").into());
    }
    Ok(Some(Mark { class, hierarchy: index, level: above + below }))
}

/// How many names a path has; `None` where it leads out of what can be seen.
fn depth(path: &Path) -> Option<u32> {
    let names = path.components().filter(|part| *part != Component::RootDir);
    names.map(|part| matches!(part, Component::Normal(_)).then_some(1)).sum()
}

/// The name of a container's table, by the path of its groups.
#[must_use]
pub fn table(path: &GroupPath) -> String {
    let path = path.relative();
    if path.starts_with("carboy-") { path.to_owned() } else { format!("carboy-{path}") }
}

/// The tables of one network namespace.
#[derive(Debug)]
pub struct Tables {
    socket: Socket,
    /// The namespace.
    pub namespace: NamespaceId,
}

impl Tables {
    /// Opens those of the namespace that a file stands for. The calling thread is in it for the moment that a socket takes
    /// to be made.
    ///
    /// # Errors
    /// A kernel error: `EPERM` without `CAP_SYS_ADMIN` there, `EPROTONOSUPPORT` where the kernel has no netfilter. When
    /// the caller could not return it is in the wrong namespace, and must do nothing more that needs the right one.
    pub fn open(namespace: BorrowedFd<'_>) -> Result<Self> {
        let home = Process::this()?.open_namespace(Kind::Net)?;
        let (ours, theirs) = (identity(home.as_fd())?, identity(namespace)?);
        if ours == theirs {
            return Ok(Self { socket: Socket::open(Protocol::Netfilter)?, namespace: ours });
        }
        let socket = Socket::open_in(namespace, home.as_fd(), Protocol::Netfilter)?;
        Ok(Self { socket, namespace: theirs })
    }

    /// Counts and marks what the processes in a container's v2 group send from now on.
    ///
    /// # Errors
    /// A kernel error: `EEXIST` where the table exists, `ENOENT` or `EOPNOTSUPP` where the kernel lacks the match.
    pub fn mark(&self, groups: &Groups, mark: &Mark) -> Result<()> {
        let group = fstat(groups.group(mark.hierarchy)?).doing(|| "look at the container's group")?.st_ino;
        let batch = nftables::mark(&table(groups.path()), Match { group, level: mark.level }, mark.class);
        self.request(&batch).map_err(|errno| {
            let error = Kernel::new(format!("mark the packets of {} with {:#x}", groups.path(), mark.class), errno);
            match errno {
                Errno::NOENT | Errno::OPNOTSUPP => error
                    .hint("this kernel lacks nftables' socket match (CONFIG_NFT_SOCKET): leave the class out")
                    .into(),
                _ => error.into(),
            }
        })
    }

    /// Takes a container's table away; one that is gone already is no error.
    ///
    /// # Errors
    /// A kernel error.
    pub fn remove(&self, path: &GroupPath) -> Result<()> {
        match self.request(&nftables::remove(&table(path))) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed.doing(|| format!("remove the nftables table {}", table(path))),
        }
    }

    /// What a container has sent since it was marked; `None` where the rule is gone.
    ///
    /// # Errors
    /// A kernel error.
    pub fn read_counter(&self, path: &GroupPath) -> Result<Option<Counter>> {
        let mut found = None;
        let mut refused = Ok(());
        let said = self.socket.say(&nftables::ask(&table(path)), |kind, payload| {
            if kind == netlink::kind::ERROR {
                refused = netlink::acknowledgement(payload).unwrap_or(Err(Errno::PROTO));
            }
            found = found.or_else(|| nftables::counted(kind, payload));
        });
        match said.and(refused) {
            Err(Errno::NOENT) => Ok(None),
            read => read.map(|()| found).doing(|| format!("read the counter of the nftables table {}", table(path))),
        }
    }

    /// Has a batch done.
    fn request(&self, batch: &[u8]) -> std::result::Result<(), Errno> {
        self.socket.request(batch, |_, _| {})
    }
}

fn identity(namespace: BorrowedFd<'_>) -> Result<NamespaceId> {
    let found = fstat(namespace).doing(|| "look at a net namespace")?;
    Ok(NamespaceId { dev: found.st_dev, ino: found.st_ino })
}

/// Takes a container's table away wherever its namespace can still be reached: it is the caller's own, a file keeps it, or
/// a process is in it. One that nothing reaches is gone, and the table with it.
///
/// # Errors
/// A kernel error.
pub fn remove(path: &GroupPath, place: &Place) -> Result<()> {
    match find(place)? {
        Some(namespace) => Tables::open(namespace.as_fd())?.remove(path),
        None => Ok(()),
    }
}

/// Gives the packets of a container another class where its table is. The count begins anew.
///
/// # Errors
/// A kernel error: `ENOENT` where the namespace is gone.
pub fn change(place: &Place, groups: &Groups, mark: &Mark) -> Result<()> {
    let missing = || Kernel::new(format!("find the net namespace {}", place.namespace), Errno::NOENT);
    let tables = Tables::open(find(place)?.ok_or_else(missing)?.as_fd())?;
    tables.remove(groups.path())?;
    tables.mark(groups, mark)
}

fn find(place: &Place) -> Result<Option<OwnedFd>> {
    let is_it = |file: &OwnedFd| identity(file.as_fd()).is_ok_and(|found| found == place.namespace);
    let own = Process::this()?.open_namespace(Kind::Net)?;
    if is_it(&own) {
        return Ok(Some(own));
    }
    let kept = place.file.as_ref().and_then(|file| File::open(file).ok()).map(OwnedFd::from);
    if let Some(kept) = kept.filter(is_it) {
        return Ok(Some(kept));
    }
    let of = |pid| Process::open(pid).and_then(|process| process.open_namespace(Kind::Net)).ok();
    Ok(procfs::processes()?.into_iter().filter_map(of).find(is_it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::samples;

    fn planned(hierarchies: &Hierarchies, path: &str, class_id: u32) -> Result<Option<Mark>> {
        let path = GroupPath::parse("linux.cgroupsPath", path).unwrap();
        let network = oci::Network { class_id: Some(class_id), ..Default::default() };
        plan(hierarchies, &path, Some(&network))
    }

    #[test]
    fn packets_are_marked_where_there_is_no_net_cls() {
        let v2 = samples::v2();
        let mark = planned(&v2, "/carboy-1", 0x10_0001).unwrap().unwrap();
        assert_eq!((mark.class, mark.level), (0x10_0001, 1));
        assert_eq!(planned(&v2, "/team/web", 1).unwrap().unwrap().level, 2);
        assert_eq!(planned(&v2, "/carboy-1", 0).unwrap(), None);
    }

    #[test]
    fn a_table_is_called_after_the_group() {
        let table = |path| table(&GroupPath::parse("linux.cgroupsPath", path).unwrap());
        assert_eq!(table("/carboy-3f"), "carboy-3f");
        assert_eq!(table("/team/3f"), "carboy-team/3f");
        let long = planned(&samples::v2(), &format!("/{}/{}", "a".repeat(200), "b".repeat(100)), 1);
        assert!(long.unwrap_err().to_string().contains("255 bytes"));
    }

    #[test]
    fn a_level_counts_from_the_root_of_the_cgroup_namespace() {
        assert_eq!(depth(Path::new("/")), Some(0));
        assert_eq!(depth(Path::new("/docker/3f")), Some(2));
        assert_eq!(depth(Path::new("/../other")), None);
    }
}

#[cfg(test)]
mod kernel {
    use std::process::{Child, Command, Stdio};

    use procfs::HostPid;
    use rustix::fs::{AtFlags, CWD, Mode, mkdir, unlinkat};

    use super::*;

    /// A process in a net namespace of its own, whose loopback is up.
    struct Namespace(Child);

    impl Namespace {
        fn new() -> Self {
            let mut up = Command::new("unshare");
            up.args(["-n", "/bin/busybox", "sh", "-c", "busybox ip link set lo up; echo up; exec busybox sleep 1000"]);
            let mut child = up.stdout(Stdio::piped()).spawn().unwrap();
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
            Self(child)
        }

        fn open(&self) -> OwnedFd {
            let pid = HostPid(i32::try_from(self.0.id()).unwrap());
            Process::open(pid).unwrap().open_namespace(Kind::Net).unwrap()
        }

        /// Pings the loopback three times from here, in a group where one is given.
        fn ping(&self, group: Option<&Path>) {
            let join = group.map_or_else(String::new, |group| format!("echo 0 > {}/cgroup.procs; ", group.display()));
            let script = format!("{join}exec busybox ping -q -c 3 -W 1 127.0.0.1");
            let enter = ["-t", &self.0.id().to_string(), "-n", "/bin/busybox", "sh", "-c", &script];
            assert!(Command::new("nsenter").args(enter).stdout(Stdio::null()).status().unwrap().success());
        }
    }

    impl Drop for Namespace {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A v2 group, removed at the end.
    struct Group(std::path::PathBuf);

    impl Drop for Group {
        fn drop(&mut self) {
            let _ = unlinkat(CWD, &self.0, AtFlags::REMOVEDIR);
        }
    }

    /// A group with its mark; `None` where v2 is not mounted, and nothing is marked.
    fn made() -> Option<(Group, GroupPath, Groups, Mark)> {
        let hierarchies = Hierarchies::read().unwrap();
        let nanoseconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let path = GroupPath::parse("group", &format!("carboy-mark-{}-{nanoseconds}", std::process::id())).unwrap();
        let Some(hierarchy) = hierarchies.unified() else {
            let network = oci::Network { class_id: Some(1), ..Default::default() };
            assert_eq!(plan(&hierarchies, &path, Some(&network)), Ok(None));
            return None;
        };
        let folder = hierarchies.at(hierarchy).unwrap().mount_point.join(path.relative());
        mkdir(&folder, Mode::from_raw_mode(0o755)).unwrap();
        let groups = Groups::open(&hierarchies, &path).unwrap();
        Some((Group(folder), path, groups, Mark { class: 0x10_0001, hierarchy, level: 1 }))
    }

    #[test]
    fn what_a_group_sends_is_counted_and_nothing_else() {
        let Some((group, path, groups, mark)) = made() else { return };
        let namespace = Namespace::new();
        let tables = Tables::open(namespace.open().as_fd()).unwrap();
        assert_eq!(tables.read_counter(&path), Ok(None));
        tables.mark(&groups, &mark).unwrap();
        assert_eq!(tables.read_counter(&path), Ok(Some(Counter { packets: 0, bytes: 0 })));
        namespace.ping(None);
        namespace.ping(Some(&group.0));
        // An echo request has 84 bytes, and the kernel's replies are nobody's.
        let counter = Counter { packets: 3, bytes: 252 };
        assert_eq!(tables.read_counter(&path), Ok(Some(counter)));
        assert_eq!(tables.mark(&groups, &mark).unwrap_err().errno(), Some(Errno::EXIST));
        assert_eq!(tables.read_counter(&path), Ok(Some(counter)), "what fails changes nothing");
    }

    #[test]
    fn a_table_is_removed_from_a_namespace_that_lives_on() {
        let Some((_group, path, groups, mark)) = made() else { return };
        let namespace = Namespace::new();
        let tables = Tables::open(namespace.open().as_fd()).unwrap();
        tables.mark(&groups, &mark).unwrap();
        let place = Place { namespace: tables.namespace, file: None };
        remove(&path, &place).unwrap();
        assert_eq!(tables.read_counter(&path), Ok(None));
        assert_eq!(remove(&path, &place), Ok(()), "gone already");
        drop((tables, namespace));
        assert_eq!(remove(&path, &place), Ok(()), "gone with its namespace");
    }
}
