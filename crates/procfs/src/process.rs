//! A process's folder in /proc, held open, and its files. proc(5).
//!
//! The descriptor stands for the process and not for its number: when the process is gone its files are too (`ESRCH`,
//! `ENOENT`), also after the number was given to another one.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read as _, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use error::{Corrupt, Doing, Errno, Kernel, Result};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs, openat, openat2, readlinkat, statat,
};
use rustix::io::retry_on_intr;

use crate::lines::{fields, number, text};
use crate::net_dev::Traffic;
use crate::ns::{Kind, Sight};
use crate::{CgroupLine, HostPid, IdMap, MountInfo, Stat, Status, cgroup, mountinfo, ns};

/// How much of a file of a process is read by one call.
pub(crate) const READ_BYTES: usize = 4096;

/// The root of the procfs, checked to be one and held open for many processes.
#[derive(Debug)]
pub struct Proc(OwnedFd);

impl Proc {
    /// Opens it.
    ///
    /// # Errors
    /// A kernel error where no procfs is mounted on /proc.
    pub fn open() -> Result<Self> {
        proc().map(Self)
    }

    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Opens the folder of a process.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where there is no such process, or where /proc hides it (`hidepid`).
    pub fn process(&self, pid: HostPid) -> Result<Process> {
        Process::named(self.0.as_fd(), pid.to_string())
    }

    /// /proc/PID/stat of a process.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` or `ESRCH` where there is no such process, or where /proc hides it (`hidepid`).
    pub fn stat(&self, pid: HostPid) -> Result<Stat> {
        let path = || format!("/proc/{pid}/stat");
        let source = open_below(self.folder(), &format!("{pid}/stat"), OFlags::RDONLY);
        let source = source.doing(|| format!("read {}", path()))?;
        let mut buffer = [0; READ_BYTES];
        // The kernel writes it at once: what is shorter than asked for is all of it.
        let length = retry_on_intr(|| rustix::io::read(&source, &mut buffer)).doing(|| format!("read {}", path()))?;
        understood(buffer.get(..length).and_then(Stat::parse), path)
    }

    /// Whether there is something of this name in it.
    ///
    /// # Errors
    /// A kernel error other than that there is not.
    pub fn has(&self, name: &str) -> Result<bool> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            found => found.doing(|| format!("look for /proc/{name}")).map(|_| true),
        }
    }

    /// A kernel setting, by its path below /proc/sys; those of networks are the calling thread's network namespace's.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where the kernel has no such setting.
    pub fn setting(&self, name: &str) -> Result<String> {
        let path = || format!("/proc/sys/{name}");
        let opened = openat(&self.0, format!("sys/{name}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let opened = opened.doing(|| format!("read {}", path()))?;
        read_opened(&opened, path, |file| Some(text(file.trim_ascii_end())))
    }

    /// Sets a kernel setting, by its path below /proc/sys.
    ///
    /// # Errors
    /// As [`Proc::setting`]; `EROFS` where /proc/sys cannot be written to.
    pub fn set_setting(&self, path: &str, value: &str) -> Result<()> {
        let action = || format!("write {value} to /proc/sys/{path}");
        let opened = openat(&self.0, format!("sys/{path}"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        File::from(opened.doing(action)?).write_all(value.as_bytes()).doing(action)
    }

    /// The tables of the kernel's firewall before nftables that the calling thread's network namespace has. `file` is
    /// `ip_tables_names` or `ip6_tables_names`; none where the kernel has no such firewall.
    ///
    /// # Errors
    /// A kernel error: `EACCES` for others than root.
    pub fn legacy_tables(&self, file: &str) -> Result<Vec<String>> {
        let action = || format!("read /proc/thread-self/net/{file}");
        let path = format!("thread-self/net/{file}");
        let opened = match openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            opened => opened.doing(action)?,
        };
        let mut text = String::new();
        File::from(opened).read_to_string(&mut text).doing(action)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Opens the interfaces of a process's network namespace, without its folder.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where there is no such process, or where /proc hides it (`hidepid`).
    pub fn interfaces(&self, pid: HostPid) -> Result<Interfaces> {
        Interfaces::open(self.0.as_fd(), format!("{pid}/net/dev"))
    }
}

/// The interfaces of one network namespace: /proc/PID/net/dev, held open. Each namespace has such a file of its own,
/// whichever process it is opened by.
#[derive(Debug)]
pub struct Interfaces {
    file: OwnedFd,
    name: String,
    inode: u64,
}

impl Interfaces {
    fn open(folder: BorrowedFd<'_>, name: String) -> Result<Self> {
        let action = || format!("open /proc/{name}");
        let file = open_below(folder, &name, OFlags::RDONLY).doing(action)?;
        let inode = fstat(&file).doing(action)?.st_ino;
        Ok(Self { file, name, inode })
    }

    /// Those of which the file was open before.
    ///
    /// # Errors
    /// A kernel error.
    pub fn of(file: OwnedFd) -> Result<Self> {
        let inode = fstat(&file).doing(|| "look at /proc/PID/net/dev")?.st_ino;
        Ok(Self { file, name: "PID/net/dev".to_owned(), inode })
    }

    /// Opens those of the caller.
    ///
    /// # Errors
    /// A kernel error where /proc is not there.
    pub fn of_this() -> Result<Self> {
        Self::open(proc()?.as_fd(), "thread-self/net/dev".to_owned())
    }

    /// The inode of the namespace's file, which no other namespace's file has at the same time.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.inode
    }

    /// What went through them.
    ///
    /// # Errors
    /// A kernel error.
    pub fn traffic(&self) -> Result<Traffic> {
        read_opened(&self.file, || format!("/proc/{}", self.name), Traffic::parse)
    }
}

impl AsFd for Interfaces {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What a descriptor of a process is of. proc_pid_fd(5), proc_pid_fdinfo(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its path as the process sees it, or what stands for one, as `pipe:[5]`.
    pub target: PathBuf,
    /// The inode of what it is of.
    pub inode: u64,
    /// The mount that it was opened on, by its id in mountinfo.
    pub mount: u32,
}

/// A process, by its folder in /proc.
#[derive(Debug)]
pub struct Process {
    folder: OwnedFd,
    name: String,
}

impl Process {
    /// Opens the folder of a process.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where there is no such process, or where /proc hides it (`hidepid`).
    pub fn open(pid: HostPid) -> Result<Self> {
        Proc::open()?.process(pid)
    }

    /// Opens the caller's own folder.
    ///
    /// # Errors
    /// A kernel error where /proc is not there.
    pub fn this() -> Result<Self> {
        Self::named(proc()?.as_fd(), "self".to_owned())
    }

    fn named(proc: BorrowedFd<'_>, name: String) -> Result<Self> {
        let folder = open_below(proc, &name, OFlags::PATH | OFlags::DIRECTORY);
        let folder = folder.doing(|| format!("open /proc/{name}"))?;
        Ok(Self { folder, name })
    }

    /// /proc/PID/stat.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn stat(&self) -> Result<Stat> {
        self.parsed("stat", Stat::parse)
    }

    /// /proc/PID/status.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn status(&self) -> Result<Status> {
        self.parsed("status", Status::parse)
    }

    /// /proc/PID/wchan: the kernel's function that the process waits in; `None` where it waits in none that the kernel
    /// tells the caller.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn wait_channel(&self) -> Result<Option<String>> {
        let function = self.parsed("wchan", |file| Some(text(file)))?;
        Ok(Some(function).filter(|function| !matches!(function.as_str(), "" | "0")))
    }

    /// /proc/PID/schedstat: how long the process's first thread was ready to run and did not, in nanoseconds; `None` where
    /// this kernel does not count it.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where the process is gone or this kernel lacks the file.
    pub fn run_delay(&self) -> Result<Option<u64>> {
        let delay = self.parsed("schedstat", |file| Some(fields(file).nth(1).and_then(number)))?;
        Ok(delay.filter(|delay| *delay > 0))
    }

    /// /proc/PID/cgroup: the process's group in every hierarchy.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn cgroup(&self) -> Result<Vec<CgroupLine>> {
        self.parsed("cgroup", cgroup::parse)
    }

    /// /proc/PID/mountinfo: the mounts that the process sees, in the order in which they were made.
    ///
    /// # Errors
    /// A kernel error where the process is gone or its mounts may not be seen.
    pub fn mountinfo(&self) -> Result<Vec<MountInfo>> {
        self.parsed("mountinfo", mountinfo::parse)
    }

    /// /proc/PID/uid_map.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn uid_map(&self) -> Result<IdMap> {
        self.parsed("uid_map", IdMap::parse)
    }

    /// /proc/PID/gid_map.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn gid_map(&self) -> Result<IdMap> {
        self.parsed("gid_map", IdMap::parse)
    }

    /// /proc/PID/setgroups: whether the process's user namespace forbids to set supplementary groups, as one does that was
    /// mapped without a right over the groups outside.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn denies_setgroups(&self) -> Result<bool> {
        self.parsed("setgroups", |text| Some(text.starts_with(b"deny")))
    }

    /// /proc/PID/attr/FILE: what a security module tells of the process, without the NUL or the line's end that some put
    /// behind it. Each has a folder of its own there; the files above belong to the first that has such. proc_pid_attr(5).
    ///
    /// # Errors
    /// A kernel error: `ENOENT` or `EINVAL` where no module that is at work has the file.
    pub fn attribute(&self, file: &str) -> Result<String> {
        self.parsed(&format!("attr/{file}"), |file| Some(text(file).trim_end_matches(['\0', '\n']).to_owned()))
    }

    /// The namespaces of the process, one of each kind.
    ///
    /// # Errors
    /// A kernel error where the process is gone. What may not be seen is [`Sight::Blind`].
    pub fn namespaces(&self) -> Result<[(Kind, Sight); 8]> {
        ns::read(self.folder.as_fd()).doing(|| format!("open /proc/{}/ns", self.name))
    }

    /// The kernel's names of the namespaces of the process, by which they are told from another process's.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn namespace_names(&self) -> Result<[(Kind, Option<CString>); 8]> {
        ns::read_names(self.folder.as_fd()).doing(|| format!("open /proc/{}/ns", self.name))
    }

    /// The namespace of one kind.
    ///
    /// # Errors
    /// A kernel error where the process is gone.
    pub fn namespace(&self, kind: Kind) -> Result<Sight> {
        ns::read_one(self.folder.as_fd(), kind).doing(|| format!("open /proc/{}/ns", self.name))
    }

    /// A descriptor of one namespace, for setns(2).
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at, `ENOENT` where the kernel lacks the kind.
    pub fn open_namespace(&self, kind: Kind) -> Result<OwnedFd> {
        let file = format!("ns/{}", kind.name());
        // These links are magic by nature, so the checks of `open_below` cannot be had; the folder is known to be a procfs.
        openat(&self.folder, &file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .doing(|| format!("open /proc/{}/{file}", self.name))
    }

    /// The process's root folder, as a handle.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub fn open_root(&self) -> Result<OwnedFd> {
        openat(&self.folder, "root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .doing(|| format!("open /proc/{}/root", self.name))
    }

    /// The path of the program that the process runs.
    ///
    /// # Errors
    /// A kernel error.
    pub fn program(&self) -> Result<PathBuf> {
        let path = readlinkat(&self.folder, "exe", Vec::new()).doing(|| format!("read /proc/{}/exe", self.name))?;
        Ok(OsString::from_vec(path.into_bytes()).into())
    }

    /// What one of the process's descriptors is of.
    ///
    /// # Errors
    /// A kernel error: `ENOENT` where it is not open, `EACCES` where the process may not be looked at.
    pub fn descriptor(&self, number: u32) -> Result<Descriptor> {
        let link = format!("fd/{number}");
        let action = || format!("look at /proc/{}/{link}", self.name);
        let target = readlinkat(&self.folder, &link, Vec::new()).doing(action)?;
        // The link is magic: what it stands for is looked at, whatever is at that path now.
        let inode = statat(&self.folder, &link, AtFlags::empty()).doing(action)?.st_ino;
        let mount = self.parsed(&format!("fdinfo/{number}"), |text| {
            let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:"))?;
            std::str::from_utf8(line).ok()?.trim().parse().ok()
        })?;
        Ok(Descriptor { target: OsString::from_vec(target.into_bytes()).into(), inode, mount })
    }

    /// The program that the process runs, for reading.
    ///
    /// # Errors
    /// A kernel error: `EACCES` where the process may not be looked at.
    pub fn open_program(&self) -> Result<OwnedFd> {
        openat(&self.folder, "exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .doing(|| format!("open /proc/{}/exe", self.name))
    }

    /// Opens what the process, which is the caller, has a handle (`O_PATH`) on, for reading: nothing else can have taken
    /// its place.
    ///
    /// # Errors
    /// As open(2).
    pub fn reopen(&self, handle: BorrowedFd<'_>) -> Result<File> {
        let file = format!("fd/{}", handle.as_raw_fd());
        openat(&self.folder, &file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map(File::from)
            .doing(|| format!("open /proc/{}/{file}", self.name))
    }

    /// Writes all of `text` to a file of the process in one call, as these files want it.
    ///
    /// # Errors
    /// The kernel's refusal; `EIO` where it took only a part.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let action = || format!("write {} to /proc/{}/{file}", text.trim().replace('\n', ", "), self.name);
        let target = open_below(self.folder.as_fd(), file, OFlags::WRONLY).doing(action)?;
        let written = File::from(target).write(text.as_bytes()).doing(action)?;
        if written == text.len() { Ok(()) } else { Err(Kernel::new(action(), Errno::IO).into()) }
    }

    fn parsed<T>(&self, file: &str, parse: fn(&[u8]) -> Option<T>) -> Result<T> {
        read_below(self.folder.as_fd(), &format!("/proc/{}/", self.name), file, parse)
    }
}

/// Reads a file of /proc that belongs to no process.
pub(crate) fn read<T>(file: &str, parse: fn(&[u8]) -> Option<T>) -> Result<T> {
    read_below(proc()?.as_fd(), "/proc/", file, parse)
}

fn read_below<T>(folder: BorrowedFd<'_>, prefix: &str, file: &str, parse: fn(&[u8]) -> Option<T>) -> Result<T> {
    let path = || format!("{prefix}{file}");
    let source = open_below(folder, file, OFlags::RDONLY).doing(|| format!("read {}", path()))?;
    read_opened(&source, path, parse)
}

fn read_opened<T>(source: &OwnedFd, path: impl Fn() -> String, parse: fn(&[u8]) -> Option<T>) -> Result<T> {
    let mut text = Vec::new();
    let mut buffer = [0; READ_BYTES];
    // The standard library would ask for the size first, which these files have none of, and then read in small pieces.
    loop {
        let length = retry_on_intr(|| rustix::io::read(source, &mut buffer)).doing(|| format!("read {}", path()))?;
        let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else { break };
        text.extend_from_slice(part);
    }
    understood(parse(&text), path)
}

/// What was parsed, or that it could not be.
pub(crate) fn understood<T>(parsed: Option<T>, path: impl Fn() -> String) -> Result<T> {
    Ok(parsed.ok_or_else(|| Corrupt::new(path(), "is not as proc(5) describes it"))?)
}

/// The root of the procfs, checked to be one: anything could be mounted there.
fn proc() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = openat(CWD, "/proc", flags, Mode::empty()).doing(|| "open /proc")?;
    let kind = fstatfs(&proc).doing(|| "see what is mounted on /proc")?.f_type;
    if kind != PROC_SUPER_MAGIC {
        return Err(Kernel::new("find a procfs on /proc", Errno::NODEV).hint("mount -t proc proc /proc").into());
    }
    Ok(proc)
}

/// Opens what lies in the same file system below `folder`: nothing that was mounted over it, nothing a link leads to.
fn open_below(folder: BorrowedFd<'_>, path: &str, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    openat2(folder, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}
