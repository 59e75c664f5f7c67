//! /proc text as typed facts: pure parsers that take any bytes, and thin readers over a held directory descriptor.
//!
//! A parser gives `None` for text that is not what proc(5) describes; a reader makes an error of it that names the file.
#![forbid(unsafe_code)]

pub mod boot;
pub mod cgroup;
pub mod descriptor;
pub mod filesystems;
pub mod host;
pub mod id_map;
pub mod kmsg;
mod lines;
pub mod mountinfo;
mod net_dev;
mod net_ports;
pub mod ns;
mod pid;
mod process;
pub mod stat;
pub mod status;
pub mod walk;

use error::Doing as _;

pub use cgroup::CgroupLine;
pub use id_map::{HostId, IdMap, IdRange, InsideId};
pub use mountinfo::MountInfo;
pub use net_dev::Traffic;
pub use net_ports::{Listener, Listening, Protocol};
pub use ns::{Kind, NamespaceId, Sight};
pub use pid::{HostPid, InsidePid};
pub use process::{Descriptor, Interfaces, Proc, Process};
pub use stat::Stat;
pub use status::Status;
pub use walk::{Visit, Walk};

/// The facts of /proc/PID/stat of one process.
///
/// # Errors
/// A kernel error, `ENOENT` or `ESRCH` where there is no such process.
pub fn stat(pid: HostPid) -> error::Result<Stat> {
    Proc::open()?.stat(pid)
}

/// Every process that /proc shows at the moment.
///
/// # Errors
/// A kernel error where /proc cannot be listed.
pub fn processes() -> error::Result<Vec<HostPid>> {
    let listed = std::fs::read_dir("/proc").and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let numbers = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok().map(HostPid);
    Ok(listed.doing(|| "list /proc")?.into_iter().filter_map(numbers).collect())
}

#[cfg(test)]
mod kernel;
