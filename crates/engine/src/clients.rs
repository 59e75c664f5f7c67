//! Those who are attached to a process, on its monitor's side: each has a socket for messages, and a pipe for each of the
//! process's streams that it wants. Who does not read holds the process up, as a full pipe would, but nobody else; who has
//! gone holds up nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use sys::terminal::Settings;

use crate::event::{Event, Request, receive_request, send};
use crate::log::Stream;

/// The terminal of the person who asked, and the settings it had.
#[derive(Debug)]
pub struct Lent {
    /// The terminal.
    pub terminal: OwnedFd,
    /// What to give back.
    pub settings: Settings,
}

/// Where one stream goes for one client.
#[derive(Debug)]
struct Outlet {
    pipe: OwnedFd,
    /// What the pipe did not take yet.
    pending: Vec<u8>,
}

/// One who is attached.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    out: Option<Outlet>,
    err: Option<Outlet>,
    /// Whether what it types goes to the process.
    pub(crate) types: bool,
    /// Its terminal, to be given its settings back if it leaves without a word.
    lent: Option<Lent>,
    /// What it is told when it has got everything; then it is let go.
    farewell: Option<Event>,
    gone: bool,
}

/// What a client wants of the monitor itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// To type.
    Input,
    /// That it looks at the container's record again.
    Settle,
}

impl Client {
    pub(crate) const fn new(socket: OwnedFd, lent: Option<Lent>) -> Self {
        Self { socket, out: None, err: None, types: false, lent, farewell: None, gone: false }
    }

    /// Gives a stream to it by this pipe from now on.
    pub(crate) fn connect(&mut self, stream: Stream, pipe: OwnedFd) {
        let _ = rustix::io::ioctl_fionbio(&pipe, true);
        *self.outlet(stream) = Some(Outlet { pipe, pending: Vec::new() });
    }

    /// Closes whatever a new process has open but what leads to this client, and its standard streams.
    ///
    /// # Errors
    /// `ENOSYS` on kernels before 5.9.
    pub(crate) fn close_others(&self) -> sys::Result<()> {
        let socket = self.socket.as_fd();
        let [out, err] =
            [&self.out, &self.err].map(|outlet| outlet.as_ref().map_or(socket, |outlet| outlet.pipe.as_fd()));
        sys::clone::close_all_from(3, [socket, out, err])
    }

    const fn outlet(&mut self, stream: Stream) -> &mut Option<Outlet> {
        match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        }
    }

    pub(crate) fn tell(&self, event: &Event, pass: Option<BorrowedFd<'_>>) {
        send(self.socket.as_fd(), event, pass);
    }

    /// Gives it what was read of a stream.
    pub(crate) fn give(&mut self, stream: Stream, bytes: &[u8]) {
        let outlet = self.outlet(stream);
        let Some(open) = outlet else { return };
        open.pending.extend_from_slice(bytes);
        if !open.flush() {
            *outlet = None;
        }
    }

    /// Whether it has not yet taken what it was given of a stream.
    pub(crate) fn is_behind(&self, stream: Stream) -> bool {
        let outlet = match stream {
            Stream::Stdout => &self.out,
            Stream::Stderr => &self.err,
        };
        outlet.as_ref().is_some_and(|outlet| !outlet.pending.is_empty())
    }

    /// Tells it this when it has got everything, and lets it go.
    pub(crate) fn dismiss(&mut self, event: Event) {
        self.farewell = Some(event);
        self.part();
    }

    fn part(&mut self) {
        if self.is_behind(Stream::Stdout) || self.is_behind(Stream::Stderr) {
            return;
        }
        if let Some(event) = self.farewell.take() {
            self.tell(&event, None);
            // It reads its pipes to their ends now.
            (self.out, self.err, self.gone) = (None, None, true);
        }
    }

    /// Whether it is let go as soon as it has got everything.
    pub(crate) const fn is_dismissed(&self) -> bool {
        self.farewell.is_some()
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// What is to be waited for: its messages, and that its pipes take more.
    pub(crate) fn waits(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let full = [&self.out, &self.err].into_iter().flatten().filter(|outlet| !outlet.pending.is_empty());
        [(self.socket.as_fd(), PollFlags::IN)]
            .into_iter()
            .chain(full.map(|outlet| (outlet.pipe.as_fd(), PollFlags::OUT)))
    }

    /// Gives it what its pipes take.
    pub(crate) fn go_on(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let outlet = self.outlet(stream);
            if outlet.as_mut().is_some_and(|outlet| !outlet.flush()) {
                *outlet = None;
            }
        }
        self.part();
    }

    /// Takes a message that is there.
    pub(crate) fn hear(&mut self) -> Option<Wanted> {
        if self.gone {
            return None;
        }
        match receive_request(&self.socket) {
            Some((Request::Output(stream), Some(pipe))) => self.connect(stream, pipe),
            Some((Request::Input, _)) => return Some(Wanted::Input),
            Some((Request::Settle, _)) => return Some(Wanted::Settle),
            Some((Request::Leave, _)) => (self.lent, self.gone) = (None, true),
            Some((Request::Output(_), None)) | None => self.leave(),
        }
        None
    }

    /// It is gone without a word.
    fn leave(&mut self) {
        self.gone = true;
        if let Some(lent) = self.lent.take() {
            let _ = sys::terminal::set_settings(lent.terminal.as_fd(), &lent.settings);
        }
    }
}

impl Outlet {
    /// Writes what the pipe takes; whether somebody still reads it.
    fn flush(&mut self) -> bool {
        while !self.pending.is_empty() {
            match rustix::io::write(&self.pipe, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length.min(self.pending.len()))),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
