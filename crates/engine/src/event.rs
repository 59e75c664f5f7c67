//! What a monitor tells those who are attached, and what they ask of it, as one message each over a socket that keeps
//! messages apart.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use error::{Corrupt, Doing, Error, RefusedKind, Result};
use serde::{Deserialize, Serialize};

use crate::log::Stream;
use crate::shortage::Shortage;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The command runs; a handle on its process comes with the message.
    Started {
        /// Its PID on the host.
        pid: i32,
    },
    /// It has a terminal, whose master comes with the message: what is written there is typed.
    Terminal,
    /// What is written to the pipe that comes with the message is its standard input; without one there is none to have.
    Input,
    /// It could not be started, and nothing of it is left.
    Failed(Failure),
    /// It has ended, and what had to be cleaned up is.
    Exited {
        /// The command's exit code, or 128 and the signal that ended it.
        code: i32,
        /// What it had too little of.
        shortage: Shortage,
        /// What could not be removed, a line each.
        left: Vec<String>,
    },
}

/// What somebody who is attached asks of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// To write this stream, from now on, into the pipe that comes with the message; a terminal has one alone.
    Output(Stream),
    /// To be given the process's input.
    Input,
    /// To look at the container's record again, which has changed.
    Settle,
    /// To be let go.
    Leave,
}

/// An error on its way to a face, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What could not be done, and why.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// Docker's exit code for it: 125, 126 or 127, or 1 for the wrong words and what its daemon refuses.
    pub code: u8,
}

/// The longest message: a failure that names two paths of the greatest length.
const LONGEST: usize = 16 * 1024;

impl Failure {
    /// The failure in words: each error of the chain once.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&describe(cause));
            source = cause.source();
        }
        let code = match error {
            Error::Refused(refused) => match refused.kind {
                RefusedKind::Words | RefusedKind::Declined => 1,
                RefusedKind::NotExecutable => 126,
                RefusedKind::CommandNotFound => 127,
                _ => 125,
            },
            Error::Kernel(_) | Error::Corrupt(_) => 125,
        };
        Self { message, hint: error.hint().map(str::to_owned), code }
    }
}

fn describe(cause: &(dyn std::error::Error + 'static)) -> String {
    cause.downcast_ref::<error::Errno>().map_or_else(|| cause.to_string(), |errno| words(&std::io::Error::from(*errno)))
}

/// The words for an errno, without its number.
pub(crate) fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Sends an event or a request, and a copy of `pass` with it. Nobody listening is no error.
pub(crate) fn send(socket: BorrowedFd<'_>, message: &impl Serialize, pass: Option<BorrowedFd<'_>>) {
    if let Ok(text) = serde_json::to_vec(message) {
        let _ = sys::socket::send(socket, text.get(..LONGEST.min(text.len())).unwrap_or_default(), pass);
    }
}

/// Waits for the next event; `None` when the other side is gone.
///
/// # Errors
/// A kernel error; corrupt for what is no event.
pub fn receive(socket: &OwnedFd) -> Result<Option<(Event, Option<OwnedFd>)>> {
    let mut buffer = vec![0; LONGEST];
    let received = sys::socket::receive(socket.as_fd(), &mut buffer).doing(|| "hear from the monitor");
    let (length, passed) = match received {
        Err(error) if error.errno() == Some(error::Errno::CONNRESET) => return Ok(None),
        received => received?,
    };
    if length == 0 {
        return Ok(None);
    }
    serde_json::from_slice(buffer.get(..length).unwrap_or_default())
        .map(|event| Some((event, passed)))
        .map_err(|error| Corrupt::new("the monitor's message", error.to_string()).into())
}

/// Takes the request that is there; `None` where the other side is gone, or says what is no request.
pub(crate) fn receive_request(socket: &OwnedFd) -> Option<(Request, Option<OwnedFd>)> {
    let mut buffer = [0; 256];
    let (length, passed) = sys::socket::receive(socket.as_fd(), &mut buffer).ok()?;
    let request = serde_json::from_slice(buffer.get(..length)?).ok()?;
    Some((request, passed))
}
