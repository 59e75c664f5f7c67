//! Reading and writing the files of a group through the held descriptor of its directory, and the files that every group
//! has: cgroups(7), cgroup-v2.rst "Core Interface Files".

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

/// The processes of a group; writing a process number attaches it, in both versions.
pub(crate) const PROCS: &str = "cgroup.procs";
/// v1: the tasks of a group; a task that writes 0 moves itself alone.
pub(crate) const TASKS_V1: &str = "tasks";
/// v2: what kind of group it is, as `threaded`; the root of the hierarchy has none.
pub(crate) const TYPE_V2: &str = "cgroup.type";
/// v2: the threads of a group, where [`PROCS`] cannot be read (`EOPNOTSUPP`) since it is threaded.
pub(crate) const THREADS_V2: &str = "cgroup.threads";
/// v2: what is enabled for the groups below.
pub(crate) const SUBTREE_CONTROL_V2: &str = "cgroup.subtree_control";
/// v2: whether a group is populated and frozen; a change wakes `POLLPRI`.
pub(crate) const EVENTS_V2: &str = "cgroup.events";
/// v2, since Linux 5.14: writing 1 kills every process in the group and below.
pub(crate) const KILL_V2: &str = "cgroup.kill";

/// Opens a file of the group `directory`.
pub(crate) fn open(directory: impl AsFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(directory, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// The whole text of a file.
pub(crate) fn read(directory: impl AsFd, name: &str) -> Result<String, Errno> {
    read_open(&open(directory, name, OFlags::RDONLY)?)
}

/// The rest of the text of an open file.
pub(crate) fn read_open(file: &OwnedFd) -> Result<String, Errno> {
    String::from_utf8(read_bytes(file)?).map_err(|_| Errno::ILSEQ)
}

/// The rest of an open file of the kernel's. The standard library would ask for the size first, which these files have none
/// of, and then read in small pieces.
pub(crate) fn read_bytes(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = retry_on_intr(|| rustix::io::read(file, &mut buffer))?;
        let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else { break };
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// Writes a value in the one write that the kernel takes it by. The kernel overlooks a write of nothing: an empty value, as
/// of a v2 cpuset without CPUs of its own, is the end of a line.
pub(crate) fn write(directory: impl AsFd, name: &str, value: &str) -> Result<(), Errno> {
    write_open(&open(directory, name, OFlags::WRONLY)?, value)
}

/// The same in a file that is open for writing.
pub(crate) fn write_open(file: &OwnedFd, value: &str) -> Result<(), Errno> {
    let value = if value.is_empty() { "\n" } else { value };
    retry_on_intr(|| rustix::io::write(file, value.as_bytes())).map(drop)
}

/// The number after `key` in a file of lines `key number` (`memory.events`, `cpu.stat`).
pub(crate) fn number_at(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The numbers after several keys, from one pass over a long file (`memory.stat`).
pub(crate) fn numbers_at<const COUNT: usize>(text: &str, keys: [&str; COUNT]) -> [Option<u64>; COUNT] {
    let mut numbers = [None; COUNT];
    for (key, number) in text.lines().filter_map(|line| line.split_once(' ')) {
        let found = numbers.iter_mut().zip(keys).find(|(_, wanted)| *wanted == key);
        if let Some((place, _)) = found {
            *place = number.trim().parse().ok();
        }
    }
    numbers
}

/// Whether any process is in a v2 group or below it, from the text of [`EVENTS_V2`].
pub(crate) fn populated(events: &str) -> Option<bool> {
    number_at(events, "populated").map(|populated| populated == 1)
}
