//! One pass over every process that /proc shows: its namespaces by the fewest calls, and its files while its folder is held.
//! proc(5), namespaces(7).
//!
//! A namespace's link is read and not followed: following it makes the kernel open the namespace. The folder `ns` stands
//! for the process, and the process's other files are reached from it, so that nothing of another process with the same
//! number can get among them.

use std::ffi::{CStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use error::{Doing, Errno, Result};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, openat, openat2, readlinkat, readlinkat_raw,
    statat, statx,
};
use rustix::io::retry_on_intr;

use crate::ns::{Kind, NamespaceId, Sight};
use crate::process::{self, Proc, READ_BYTES};
use crate::{CgroupLine, HostPid, IdMap, MountInfo, Stat, Status, cgroup, mountinfo};

/// How much of the list of /proc is read by one call.
const LISTED_BYTES: usize = 32 << 10;

/// A file that the kernel writes as one piece is all there when it does not fill the buffer.
const AT_ONCE: fn(usize) -> bool = |length| length < READ_BYTES;

/// A pass over /proc.
#[derive(Debug)]
pub struct Walk {
    proc: Proc,
    /// The device of every namespace's file.
    device: u64,
    text: Vec<u8>,
}

/// A process while its folder is held.
#[derive(Debug)]
pub struct Visit<'w> {
    /// The process.
    pub pid: HostPid,
    /// Its namespaces, in the order of [`Kind::ALL`].
    pub namespaces: [Sight; 8],
    folder: OwnedFd,
    device: u64,
    text: &'w mut Vec<u8>,
}

/// A namespace that a process has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its kind, where its name tells that.
    pub kind: Option<Kind>,
    /// Its inode.
    pub ino: u64,
    /// The descriptor.
    pub fd: u32,
}

/// A folder that a process has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFolder {
    /// The descriptor; `None` for the folder that the process works in.
    pub fd: Option<u32>,
    /// Its path, as the kernel shows it.
    pub path: PathBuf,
    /// The mount that it is on, by its number in mountinfo.
    pub mount: u64,
}

impl Walk {
    /// Opens /proc.
    ///
    /// # Errors
    /// A kernel error where no procfs is mounted on /proc.
    pub fn open() -> Result<Self> {
        let proc = Proc::open()?;
        let device = statat(proc.folder(), "self/ns/user", AtFlags::empty()).doing(|| "look at /proc/self/ns/user")?;
        Ok(Self { proc, device: device.st_dev, text: Vec::new() })
    }

    /// The device of every namespace's file.
    #[must_use]
    pub const fn device(&self) -> u64 {
        self.device
    }

    /// Every process's number at this moment, in the order of the kernel's list.
    ///
    /// # Errors
    /// A kernel error where /proc cannot be listed.
    pub fn pids(&self) -> Result<Vec<HostPid>> {
        let action = || "list /proc";
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(self.proc.folder(), ".", flags, Mode::empty()).doing(action)?;
        let mut pids = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); LISTED_BYTES];
        numbered(&folder, &mut buffer, |_, pid| pids.push(HostPid(pid))).doing(action)?;
        Ok(pids)
    }

    /// Looks at a process's namespaces; `None` where it is gone.
    ///
    /// # Errors
    /// A kernel error other than that there is no such process.
    pub fn visit(&mut self, pid: HostPid) -> Result<Option<Visit<'_>>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let opened = openat2(self.proc.folder(), format!("{pid}/ns"), flags, Mode::empty(), resolve);
        let folder = match opened {
            Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
            opened => opened.doing(|| format!("open /proc/{pid}/ns"))?,
        };
        let namespaces = Kind::ALL.map(|kind| sight(&folder, kind, self.device));
        let is_gone = namespaces.iter().all(|seen| matches!(seen, Sight::Absent | Sight::Blind(Errno::SRCH)));
        Ok((!is_gone).then_some(Visit { pid, namespaces, folder, device: self.device, text: &mut self.text }))
    }
}

/// Goes through the entries of a folder whose names are numbers, in the order of the kernel's list.
fn numbered<N: FromStr>(
    folder: impl AsFd,
    buffer: &mut [MaybeUninit<u8>],
    mut look: impl FnMut(&CStr, N),
) -> std::result::Result<(), Errno> {
    let mut listed = RawDir::new(folder, buffer);
    while let Some(entry) = listed.next() {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(number) = name.to_str().ok().and_then(|text| text.parse().ok()) {
            look(name, number);
        }
    }
    Ok(())
}

/// What a link of /proc stands for, where that is a folder.
fn open_folder(links: impl AsFd, name: &CStr, fd: Option<u32>) -> Option<OpenFolder> {
    let path = readlinkat(&links, name, Vec::new()).ok()?.into_bytes();
    if !path.starts_with(b"/") {
        return None;
    }
    // The link is magic: what it stands for is looked at, whatever is at that path now.
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let stat = statx(links, name, flags, StatxFlags::TYPE | StatxFlags::MNT_ID).ok()?;
    let is_folder = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
    let path = OsString::from_vec(path).into();
    (is_folder && stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(OpenFolder {
        fd,
        path,
        mount: stat.stx_mnt_id,
    })
}

/// Reads one link, which says `net:[4026531840]`.
fn sight(folder: impl AsFd, kind: Kind, device: u64) -> Sight {
    let mut buffer = [MaybeUninit::uninit(); 64];
    match readlinkat_raw(folder, kind.name(), &mut buffer) {
        Ok((name, _)) => inode(name).map_or(Sight::Absent, |ino| Sight::Id(NamespaceId { dev: device, ino })),
        Err(Errno::NOENT) => Sight::Absent,
        Err(errno) => Sight::Blind(errno),
    }
}

/// The number in a namespace's name.
fn inode(name: &[u8]) -> Option<u64> {
    let open = name.iter().position(|byte| *byte == b'[')?;
    let digits = name.get(open + 1..)?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Visit<'_> {
    /// /proc/PID/stat.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn stat(&mut self) -> Result<Stat> {
        self.parsed_at_once("stat", Stat::parse)
    }

    /// /proc/PID/status.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn status(&mut self) -> Result<Status> {
        self.parsed_at_once("status", Status::parse)
    }

    /// /proc/PID/cgroup as text, for [`Self::parse_cgroup`]: equal for processes that are in the same groups.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn cgroup_text(&mut self) -> Result<&[u8]> {
        self.read("cgroup", AT_ONCE)?;
        Ok(self.text)
    }

    /// The groups in a text of [`Self::cgroup_text`].
    ///
    /// # Errors
    /// That it is not as cgroups(7) describes it.
    pub fn parse_cgroup(&self, text: &[u8]) -> Result<Vec<CgroupLine>> {
        process::understood(cgroup::parse(text), || format!("/proc/{}/cgroup", self.pid))
    }

    /// /proc/PID/cmdline: its arguments, as it lets them be seen now; none for the kernel's own threads.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn arguments(&mut self) -> Result<Vec<String>> {
        let split = |file: &[u8]| {
            let words = file.strip_suffix(b"\0").unwrap_or(file).split(|byte| *byte == 0);
            let words = words.map(crate::lines::text).collect();
            Some(if file.is_empty() { Vec::new() } else { words })
        };
        self.parsed("cmdline", split)
    }

    /// /proc/PID/uid_map.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn uid_map(&mut self) -> Result<IdMap> {
        self.parsed("uid_map", IdMap::parse)
    }

    /// /proc/PID/mountinfo, the lines that can be understood.
    ///
    /// # Errors
    /// A kernel error where the process is gone or its mounts may not be seen.
    pub fn mountinfo(&mut self) -> Result<Vec<MountInfo>> {
        self.parsed("mountinfo", mountinfo::parse)
    }

    /// The ports that something listens at in the process's network namespace: /proc/PID/net/tcp, tcp6, udp and udp6.
    ///
    /// # Errors
    /// A kernel error where the process is gone or its network may not be seen.
    pub fn listening(&mut self) -> Result<Vec<crate::Listening>> {
        let mut found = self.sockets(crate::net_ports::Socket::listening)?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The sockets that listen in the process's network namespace, each with its address; from the same files.
    ///
    /// # Errors
    /// As [`Self::listening`].
    pub fn listeners(&mut self) -> Result<Vec<crate::Listener>> {
        let mut found = self.sockets(crate::net_ports::Socket::listener)?;
        found.sort_unstable();
        Ok(found)
    }

    fn sockets<T>(&mut self, of: fn(crate::net_ports::Socket, crate::Protocol) -> Option<T>) -> Result<Vec<T>> {
        let mut found = Vec::new();
        for protocol in crate::net_ports::Protocol::ALL {
            match self.parsed(protocol.file(), crate::net_ports::parse) {
                Ok(ports) => found.extend(ports.into_iter().filter_map(|socket| of(socket, protocol))),
                // A kernel without IPv6.
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The names of the tables of iptables that are no tables of nftables: /proc/PID/net/ip_tables_names and its like of
    /// IPv6; none where the kernel has neither.
    ///
    /// # Errors
    /// A kernel error: `EACCES` for others than root.
    pub fn legacy_tables(&mut self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for file in ["net/ip_tables_names", "net/ip6_tables_names"] {
            let names = |file: &[u8]| Some(crate::lines::lines(file).map(crate::lines::text).collect::<Vec<_>>());
            match self.parsed(file, names) {
                Ok(names) => found.extend(names),
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The inodes of the sockets that the process has open.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub fn open_sockets(&self) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        self.each_descriptor(|links, name, _| {
            let mut link = [MaybeUninit::uninit(); 64];
            if let Ok((text, _)) = readlinkat_raw(links, name, &mut link)
                && text.starts_with(b"socket:[")
            {
                found.extend(inode(text));
            }
        })?;
        Ok(found)
    }

    /// The namespaces that the process has open, by their descriptors.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub fn held_namespaces(&self) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        self.each_descriptor(|links, name, fd| held.extend(self.held(links, name, fd)))?;
        Ok(held)
    }

    fn held(&self, links: &OwnedFd, name: &CStr, fd: u32) -> Option<Held> {
        let mut link = [MaybeUninit::uninit(); 64];
        let (text, _) = readlinkat_raw(links, name, &mut link).ok()?;
        if let Some((kind, ino)) = parse_name(text) {
            return Some(Held { kind: Some(kind), ino, fd });
        }
        if !text.starts_with(b"/") || text.starts_with(b"/dev/") {
            return None;
        }
        // One that was opened where it is mounted has the path of that place for its name.
        let file = statat(links, name, AtFlags::empty()).ok()?;
        (file.st_dev == self.device).then_some(Held { kind: None, ino: file.st_ino, fd })
    }

    /// A descriptor of one namespace.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub fn open_namespace(&self, kind: Kind) -> Result<OwnedFd> {
        openat(&self.folder, kind.name(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .doing(|| format!("open /proc/{}/ns/{}", self.pid, kind.name()))
    }

    /// The process's root folder, as a handle.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub fn open_root(&self) -> Result<OwnedFd> {
        openat(&self.folder, "../root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .doing(|| format!("open /proc/{}/root", self.pid))
    }

    /// /proc/PID/attr/FILE, as [`crate::Process::attribute`] reads it.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` or `EINVAL` where no module that is at work has the file.
    pub fn attribute(&mut self, file: &str) -> Result<String> {
        self.parsed(&format!("attr/{file}"), |file| {
            Some(crate::lines::text(file).trim_end_matches(['\0', '\n']).to_owned())
        })
    }

    /// The folders that the process has open, and the one that it works in, which has no number. What the kernel does not
    /// tell at once, as a file system on a network that is gone, is left out.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub fn folders(&self) -> Result<Vec<OpenFolder>> {
        let mut found: Vec<OpenFolder> = open_folder(&self.folder, c"../cwd", None).into_iter().collect();
        self.each_descriptor(|links, name, fd| found.extend(open_folder(links, name, Some(fd))))?;
        Ok(found)
    }

    /// Looks at the link of each of the process's descriptors: the folder of the links, the link's name, the descriptor.
    fn each_descriptor(&self, mut look: impl FnMut(&OwnedFd, &CStr, u32)) -> Result<()> {
        let action = || format!("list /proc/{}/fd", self.pid);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let links = openat2(&self.folder, "../fd", flags, Mode::empty(), resolve).doing(action)?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        numbered(&links, &mut buffer, |name, fd| look(&links, name, fd)).doing(action)
    }

    /// What one of the process's descriptors is of, opened anew.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where it is closed, `EACCES` where the process may not be looked at.
    pub fn open_descriptor(&self, number: u32) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.folder, format!("../fd/{number}"), flags, Mode::empty())
            .doing(|| format!("open /proc/{}/fd/{number}", self.pid))
    }

    fn parsed<T>(&mut self, file: &str, parse: fn(&[u8]) -> Option<T>) -> Result<T> {
        self.read(file, |_| false)?;
        process::understood(parse(self.text), || format!("/proc/{}/{file}", self.pid))
    }

    fn parsed_at_once<T>(&mut self, file: &str, parse: fn(&[u8]) -> Option<T>) -> Result<T> {
        self.read(file, AT_ONCE)?;
        process::understood(parse(self.text), || format!("/proc/{}/{file}", self.pid))
    }

    /// Reads a file until there is no more, or what was read is known to be all.
    fn read(&mut self, file: &str, is_all: fn(usize) -> bool) -> Result<()> {
        let action = || format!("read /proc/{}/{file}", self.pid);
        let resolve = ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let source = openat2(&self.folder, format!("../{file}"), flags, Mode::empty(), resolve).doing(action)?;
        self.text.clear();
        let mut buffer = [0; READ_BYTES];
        loop {
            let length = retry_on_intr(|| rustix::io::read(&source, &mut buffer)).doing(action)?;
            let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else { break };
            self.text.extend_from_slice(part);
            if is_all(length) {
                break;
            }
        }
        Ok(())
    }
}

/// The kind and the inode in a namespace's name: `net:[4026531840]`, as links of /proc and roots of its mounts have it.
#[must_use]
pub fn parse_name(name: &[u8]) -> Option<(Kind, u64)> {
    let colon = name.iter().position(|byte| *byte == b':')?;
    let kind = Kind::ALL.into_iter().find(|kind| name.get(..colon) == Some(kind.name().as_bytes()))?;
    Some((kind, inode(name.get(colon + 1..).filter(|rest| rest.starts_with(b"["))?)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_namespaces_name_has_its_kind_and_number() {
        assert_eq!(parse_name(b"net:[4026531840]"), Some((Kind::Net, 4_026_531_840)));
        for wrong in [&b"net:[]"[..], b"net:4026531840", b"net:[1", b"pid_for_children:[1]", b"socket:[1]", b"net:[x]"]
        {
            assert_eq!(parse_name(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_a_name(bytes: Vec<u8>) {
            let _ = parse_name(&bytes);
        }

        #[test]
        fn any_inode_is_given_back(ino: u64) {
            prop_assert_eq!(parse_name(format!("user:[{ino}]").as_bytes()), Some((Kind::User, ino)));
        }
    }
}
