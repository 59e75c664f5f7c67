//! sd_notify(3) for the program of a container: what it says is passed on to who waits for it outside, mostly systemd,
//! with the PID that it has there.
//!
//! The container gets a folder with a socket of its own, since its program must not reach the host's: that takes messages
//! about other processes too. The folder is there from `create` on, the socket from `start` on.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use error::{Doing, Result};
use oci::{Config, Mount};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::retry_on_intr;

const VARIABLE: &str = "NOTIFY_SOCKET";
/// Where the folder is inside, as under runc.
const INSIDE: &str = "/run/notify";
const SOCKET: &str = "notify.sock";
/// How long the other side may take to have seen all messages.
const BARRIER: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Whether somebody waits for messages.
fn host() -> Option<SocketAddr> {
    let address = std::env::var_os(VARIABLE)?;
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(&address).ok(),
        _ => None,
    }
}

/// Gives a container the folder, where somebody waits for messages, and tells its program.
///
/// # Errors
/// A kernel error.
pub(crate) fn prepare(folder: &Path, config: &mut Config) -> Result<()> {
    if host().is_none() {
        return Ok(());
    }
    let Some(process) = &mut config.process else { return Ok(()) };
    DirBuilder::new().mode(0o755).create(folder).doing(|| format!("make {}", folder.display()))?;
    process.env.retain(|variable| variable.split('=').next() != Some(VARIABLE));
    process.env.push(format!("{VARIABLE}={INSIDE}/{SOCKET}"));
    config.mounts.push(Mount {
        destination: INSIDE.to_owned(),
        kind: Some("bind".to_owned()),
        source: Some(folder.display().to_string()),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    Ok(())
}

/// Both sides.
#[derive(Debug)]
pub(crate) struct Proxy {
    inside: UnixDatagram,
    outside: UnixDatagram,
}

/// Whether there is more to come that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The program is ready.
    Ready,
    /// Anything else.
    Other,
}

impl Proxy {
    /// Opens the socket in a container's folder; `None` where nobody waits for messages, or the container has no folder.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>> {
        let Some(host) = host().filter(|_| folder.is_dir()) else { return Ok(None) };
        let action = || format!("listen for messages in {}", folder.display());
        let inside = bind(folder).doing(action)?;
        // The user inside may be any.
        fs::set_permissions(folder.join(SOCKET), Permissions::from_mode(0o777)).doing(action)?;
        inside.set_nonblocking(true).doing(action)?;
        let outside = UnixDatagram::unbound().and_then(|socket| socket.connect_addr(&host).map(|()| socket));
        Ok(Some(Self { inside, outside: outside.doing(|| format!("connect to {VARIABLE}"))? }))
    }

    /// Passes on messages until the program is ready or gone.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn wait(&self, process: &OwnedFd, main: i32) -> Result<()> {
        loop {
            let mut waits = [PollFd::new(&self.inside, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
            retry_on_intr(|| poll(&mut waits, None)).doing(|| "wait until the container's program is ready")?;
            let gone = waits.last().is_some_and(|wait| !wait.revents().is_empty());
            if self.pass_on(main)? == Heard::Ready {
                return self.barrier();
            }
            if gone {
                return Ok(());
            }
        }
    }

    /// Passes on what has come. PIDs mean nothing outside, but for the one that systemd is to watch.
    ///
    /// # Errors
    /// A kernel error.
    pub(crate) fn pass_on(&self, main: i32) -> Result<Heard> {
        let action = || "pass a message of the container's program on";
        let mut heard = Heard::Other;
        let mut buffer = [0; 4096];
        loop {
            let length = match self.inside.recv(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(heard),
                length => length.doing(action)?,
            };
            let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            let meant = message.lines().filter(|line| !line.starts_with("MAINPID=") && !line.starts_with("BARRIER="));
            let mut lines: Vec<String> = meant.map(str::to_owned).collect();
            if lines.iter().any(|line| line == "READY=1") {
                heard = Heard::Ready;
                lines.push(format!("MAINPID={main}"));
            }
            if !lines.is_empty() {
                self.outside.send(lines.join("\n").as_bytes()).doing(action)?;
            }
        }
    }

    /// Waits until all messages were seen: systemd does not take them from a process that is gone. sd_notify_barrier(3).
    fn barrier(&self) -> Result<()> {
        let action = || "wait until the messages were seen";
        let (ours, theirs) = std::io::pipe().doing(action)?;
        sys::socket::send(self.outside.as_fd(), b"BARRIER=1", Some(theirs.as_fd())).doing(action)?;
        drop(theirs);
        let mut waits = [PollFd::new(&ours, PollFlags::IN)];
        retry_on_intr(|| poll(&mut waits, Some(&BARRIER))).doing(action).map(drop)
    }
}

impl AsFd for Proxy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }
}

/// The path of a socket is no longer than 107 bytes, and that of a container's folder may well be: so it is bound by its
/// name alone.
fn bind(folder: &Path) -> std::io::Result<UnixDatagram> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let back = openat(CWD, ".", flags, Mode::empty())?;
    let folder = File::open(folder)?;
    rustix::process::fchdir(&folder)?;
    let _ = fs::remove_file(SOCKET);
    let bound = UnixDatagram::bind(SOCKET);
    rustix::process::fchdir(&back)?;
    bound
}
