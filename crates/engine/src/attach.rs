//! Being attached to a process of which a monitor takes care: what it writes comes by pipes, what is typed goes to it
//! directly, and its monitor tells how it goes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Doing, Errno, Refused, RefusedKind, Result};
use procfs::HostPid;
use rustix::event::PollFlags;
use rustix::pipe::PipeFlags;

use crate::clients::Client;
pub use crate::clients::Lent;
use crate::containers::{Container, Engine, Status, not_running};
use crate::event::{Request, send};
use crate::log::Stream;
use crate::record::Record;

/// What one who is attached wants.
#[derive(Debug, Default)]
pub struct Attachment {
    /// The streams that it gets; of a process with a terminal standard output is all.
    pub streams: Vec<Stream>,
    /// Whether it types.
    pub types: bool,
    /// Its terminal, if it has one to lend: it gets its settings back if whoever is attached is killed.
    pub lent: Option<Lent>,
}

/// Somebody who is attached.
#[derive(Debug)]
pub struct Attached {
    /// Where events come from.
    pub socket: OwnedFd,
    /// The process's standard output, or all that its terminal says.
    pub out: Option<OwnedFd>,
    /// Its standard error.
    pub err: Option<OwnedFd>,
    /// The monitor, if it was made for this.
    monitor: Option<(HostPid, OwnedFd)>,
}

impl Attachment {
    /// Both sides, for a monitor that is still to be made.
    pub(crate) fn connected(self) -> Result<(Attached, Client)> {
        let (socket, theirs) = sys::socket::pair().doing(|| "connect to the monitor")?;
        let mut attached = Attached { socket, out: None, err: None, monitor: None };
        let mut client = Client::new(theirs, self.lent);
        client.types = self.types;
        for stream in self.streams {
            let (reads, writes) = pipe()?;
            client.connect(stream, writes);
            *attached.of(stream) = Some(reads);
        }
        Ok((attached, client))
    }
}

impl Attached {
    pub(crate) fn of_monitor(self, monitor: (HostPid, OwnedFd)) -> Self {
        Self { monitor: Some(monitor), ..self }
    }

    const fn of(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        }
    }

    /// The monitor that was made for this.
    pub(crate) fn monitor(&self) -> Option<BorrowedFd<'_>> {
        self.monitor.as_ref().map(|(_, handle)| handle.as_fd())
    }

    /// Its PID on the host.
    pub(crate) fn monitor_pid(&self) -> Option<HostPid> {
        self.monitor.as_ref().map(|(pid, _)| *pid)
    }

    /// Leaves the process to its monitor.
    pub fn detach(self) {
        send(self.socket.as_fd(), &Request::Leave, None);
    }

    /// Waits until the monitor that was made for this is gone.
    pub fn finish(self) {
        if let Some((_, monitor)) = &self.monitor {
            drop((self.socket, self.out, self.err));
            let _ = sys::process::wait(monitor.as_fd());
        }
    }
}

impl Engine {
    /// Attaches to a container that runs.
    ///
    /// # Errors
    /// Refused where it does not run, or nobody takes care of it; a kernel error.
    pub fn attach(&self, word: &str, attachment: Attachment) -> Result<Attached> {
        let container = self.find(word)?;
        let Status::Running(_) = &container.status else { return Err(not_running(&container).into()) };
        let socket = self.reach(&container)?;
        let mut attached = Attached { socket, out: None, err: None, monitor: None };
        for stream in attachment.streams {
            let (reads, writes) = pipe()?;
            send(attached.socket.as_fd(), &Request::Output(stream), Some(writes.as_fd()));
            *attached.of(stream) = Some(reads);
        }
        self.store.tell(&container.record, "attach", &[]);
        if attachment.types {
            send(attached.socket.as_fd(), &Request::Input, None);
        }
        Ok(attached)
    }

    /// What tells, by this event, when whoever takes care of a container lets it go, or begins with it anew: its monitor,
    /// or the process itself where that has none; `None` where it has ended.
    #[must_use]
    pub fn care_of(&self, container: &Container) -> Option<(OwnedFd, PollFlags)> {
        let id = &container.record.id;
        let process = || self.find(id).ok().and_then(|container| self.process_of(&container));
        let monitor = self.store.connect(id).ok().map(|socket| (socket, PollFlags::RDHUP));
        monitor.or_else(|| process().map(|process| (process, PollFlags::IN)))
    }

    fn reach(&self, container: &Container) -> Result<OwnedFd> {
        match self.store.connect(&container.record.id) {
            Err(error) if matches!(error.errno(), Some(Errno::CONNREFUSED | Errno::NOENT)) => {
                Err(unattended(&container.record).into())
            }
            connected => connected,
        }
    }

    /// Lets a container's monitor look at its record again. Where there is none, nobody need.
    pub(crate) fn settle(&self, record: &Record) {
        if let Ok(socket) = self.store.connect(&record.id) {
            send(socket.as_fd(), &Request::Settle, None);
        }
    }
}

/// A container whose monitor was killed.
fn unattended(record: &Record) -> Refused {
    let Record { name, .. } = record;
    let refused = Refused::new("the container", name, "runs without a monitor, which was killed");
    refused.kind(RefusedKind::Conflict).hint(format!("carboy restart {name} gives it one, and starts it anew"))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe")
}
