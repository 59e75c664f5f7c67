//! Removing what is left on the host of containers and networks that are gone: who runs is ended, and the rest is taken away.

use std::os::fd::AsFd as _;

use error::{Doing, Errno, Kernel, Result};
use netlink::link::{self, Listed};
use netlink::{Protocol, Socket, route};
use network::firewall::Firewall;
use procfs::{HostPid, Kind, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Orphan, Stray};
use crate::containers::{Engine, KILL, remove_groups};
use crate::images::mounted;
use crate::network as networks;

/// Who ends a container takes so long at most to clean up behind it.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// SIGTERM, signal(7).
const TERMINATE: i32 = 15;

impl Engine {
    /// Removes it, and ends what runs.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn remove_orphan(&self, orphan: &Orphan) -> Result<()> {
        match orphan {
            Orphan::Container(stray) => stray.end(),
            Orphan::Unrecorded { id, live } => {
                let monitor = live.monitor.as_ref().map(|monitor| HostPid(monitor.pid));
                let processes: Vec<HostPid> = live.process.iter().map(|process| HostPid(process.pid)).collect();
                let folder = self.store.container(id);
                let links = Links::of(&processes)?;
                remove_groups(live)?;
                Stray { folder, groups: None, monitor, processes }.end()?;
                links.remove()?;
                self.sweep_id(id)
            }
            Orphan::Resolver { pid, .. } => end_process(*pid),
            Orphan::Bridge { link, .. } | Orphan::Detour { link } => remove_link(&Socket::open(Protocol::Route)?, link),
            Orphan::Table { name, .. } => Firewall::open(name, "")?.remove(),
            // They may have gone with the table, which is not to be made anew.
            Orphan::Ports { to } if self.stale_targets()?.contains(to) => self.renew_firewall(),
            Orphan::Ports { .. } => Ok(()),
            Orphan::Image { point } => mounted::remove_nobodys(point),
        }
    }
}

impl Stray {
    fn end(&self) -> Result<()> {
        let links = Links::of(&self.processes)?;
        let monitor = self.monitor.map(|pid| sys::process::open(pid.0)).transpose().ok().flatten();
        if let Some(monitor) = &monitor {
            // Then it starts nothing again.
            let _ = sys::process::send_signal(monitor.as_fd(), TERMINATE);
        }
        match &self.groups {
            Some((path, parents)) => {
                let hierarchies = crate::place::hierarchies_around(path)?;
                let left = runtime::undo::kill_and_remove(&hierarchies, path, parents)?;
                left.into_iter().next().map_or(Ok(()), |left| Err(left.error))?;
            }
            None => self.processes.iter().try_for_each(|pid| end_process(*pid))?,
        }
        if let (Some(monitor), Some(pid)) = (&monitor, self.monitor) {
            let mut wait = [PollFd::new(monitor, PollFlags::IN)];
            if poll(&mut wait, Some(&PATIENCE)).is_ok_and(|ended| ended == 0) {
                end_process(pid)?;
            }
        }
        links.remove()
    }
}

/// Kills a process, and waits until it is gone.
fn end_process(pid: HostPid) -> Result<()> {
    let action = || format!("end process {pid}");
    let process = match sys::process::open(pid.0) {
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(()),
        opened => opened.doing(action)?,
    };
    match sys::process::send_signal(process.as_fd(), KILL) {
        Err(Errno::SRCH) => return Ok(()),
        sent => sent.doing(action)?,
    }
    match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&PATIENCE)).doing(action)? {
        0 => Err(Kernel::new(action(), Errno::TIMEDOUT).into()),
        _ => Ok(()),
    }
}

/// The host's ends of a container's links.
struct Links {
    socket: Socket,
    names: Vec<String>,
}

impl Links {
    fn of(processes: &[HostPid]) -> Result<Self> {
        let socket = Socket::open(Protocol::Route)?;
        let own = Process::this()?.namespace(Kind::Net)?;
        let mut names = Vec::new();
        for pid in processes {
            let Ok(process) = Process::open(*pid) else { continue };
            if process.namespace(Kind::Net).is_ok_and(|of_container| of_container == own) {
                continue;
            }
            let Ok(namespace) = process.open_namespace(Kind::Net) else { continue };
            let Ok(Some(nsid)) = route::nsid(&socket, namespace.as_fd()) else { continue };
            let all = link::all(&socket).doing(|| "list the links")?.into_iter();
            let leads_there = |link: &Listed| link.other.is_some_and(|other| other.nsid == Some(nsid));
            names = all.filter(leads_there).map(|link| link.name).filter(|name| networks::is_link(name)).collect();
            break;
        }
        Ok(Self { socket, names })
    }

    fn remove(&self) -> Result<()> {
        let all = self.names.iter().flat_map(|name| [name.clone(), networks::detour_of(name)]);
        all.into_iter().try_for_each(|name| remove_link(&self.socket, &name))
    }
}

fn remove_link(socket: &Socket, name: &str) -> Result<()> {
    match link::delete(socket, name) {
        Ok(()) | Err(Errno::NODEV) => Ok(()),
        Err(errno) => Err(Kernel::new(format!("remove the link {name}"), errno).into()),
    }
}
