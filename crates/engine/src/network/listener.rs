//! Which process of the host has a port, for a refusal to name it. proc_pid_net(5), proc_pid_fd(5).

use error::Result;
use network::port::{Protocol, Published};
use procfs::{HostPid, Listener, Walk};

/// Who listens at a port, as far as it can be told.
pub(super) fn of(port: &Published) -> String {
    let found = find(port).ok().flatten();
    found.map_or_else(|| "a process of the host".to_owned(), |(pid, name)| format!("the process {pid}, {name}"))
}

fn find(port: &Published) -> Result<Option<(HostPid, String)>> {
    let mut walk = Walk::open()?;
    let Ok(own) = i32::try_from(std::process::id()) else { return Ok(None) };
    let Some(mut this) = walk.visit(HostPid(own))? else { return Ok(None) };
    let listeners = this.listeners()?.into_iter().filter(|listener| has(listener, port));
    let inodes: Vec<u64> = listeners.map(|listener| listener.inode).collect();
    for pid in walk.pids()? {
        let Some(mut other) = walk.visit(pid)? else { continue };
        if other.open_sockets().is_ok_and(|open| open.iter().any(|inode| inodes.contains(inode))) {
            return Ok(Some((pid, other.stat()?.name)));
        }
    }
    Ok(None)
}

fn has(listener: &Listener, port: &Published) -> bool {
    let is_of = match port.protocol {
        Protocol::Tcp => matches!(listener.protocol, procfs::Protocol::Tcp | procfs::Protocol::Tcp6),
        Protocol::Udp => matches!(listener.protocol, procfs::Protocol::Udp | procfs::Protocol::Udp6),
        Protocol::Sctp => false,
    };
    let everywhere = listener.address.is_unspecified() || port.address.is_unspecified();
    is_of && listener.port == port.port && (everywhere || listener.address == port.address)
}
