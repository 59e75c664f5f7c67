//! The three families of errors that run through all crates.
//!
//! `Display` starts with "cannot", names the object and does not contain its source; only the faces print chains.
//! No variant holds free text alone: a refusal names its field, a kernel error what was done on what.

use std::borrow::Cow;
use std::fmt;

pub use rustix::io::Errno;

/// What every fallible function above `sys` returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A valid wish that cannot be had here, or one that is not valid.
    Refused(Box<Refused>),
    /// The kernel said no.
    Kernel(Box<Kernel>),
    /// A file of our own on disk cannot be understood.
    Corrupt(Box<Corrupt>),
}

/// A wish that cannot be had: which field, which value, why, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The field as its user wrote it: `--memory`, `linux.resources.memory.limit`.
    pub field: String,
    /// The value that was asked for.
    pub value: String,
    /// Why it cannot be had, as a clause: "is below the kernel's minimum of 512 KiB".
    pub reason: String,
    /// What the user can do, in one clause, where anything can be done.
    pub hint: Option<String>,
    /// What kind of refusal this is, where an exit code or an HTTP status depends on it.
    pub kind: RefusedKind,
}

/// The refusals that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefusedKind {
    /// The value cannot be had.
    #[default]
    Invalid,
    /// The command line has too many words, or too few, or one that is no command or no name: exit code 1.
    Words,
    /// What Docker's command line passes on and its daemon refuses: exit code 1.
    Declined,
    /// The command exists in the container but cannot be executed: exit code 126.
    NotExecutable,
    /// The command does not exist in the container: exit code 127.
    CommandNotFound,
    /// The object that was named does not exist.
    NoSuchObject,
    /// The name is taken, or the object is in a state in which this cannot be done.
    Conflict,
}

/// A system call that failed: what we did, on what, and the errno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What was tried, with its object: "create the cgroup /sys/fs/cgroup/memory/carboy-3f".
    pub action: String,
    /// What the kernel answered.
    pub errno: Errno,
    /// What the user can do, in one clause, where anything can be done.
    pub hint: Option<String>,
}

/// A file of ours that does not hold what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupt {
    /// The file's path.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Refused {
    /// A refusal of `value` for `field`; `reason` is a clause that follows the value.
    pub fn new(field: impl Into<String>, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.into(), reason: reason.into(), hint: None, kind: RefusedKind::Invalid }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks what kind of refusal this is.
    #[must_use]
    pub fn kind(mut self, kind: RefusedKind) -> Self {
        self.kind = kind;
        self
    }
}

impl Kernel {
    /// The failure of `action`, for example "open /proc/7/ns/net".
    pub fn new(action: impl Into<String>, errno: Errno) -> Self {
        Self { action: action.into(), errno, hint: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Corrupt {
    /// `path` does not hold what it should because of `reason`.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

impl Error {
    /// The same with what the user must know, in place of its own hint; corrupt files have none.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        match &mut self {
            Self::Refused(refused) => refused.hint = Some(hint.into()),
            Self::Kernel(kernel) => kernel.hint = Some(hint.into()),
            Self::Corrupt(_) => {}
        }
        self
    }

    /// What the user can do, where anything can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) => refused.hint.as_deref(),
            Self::Kernel(kernel) => kernel.hint.as_deref(),
            Self::Corrupt(_) => None,
        }
    }

    /// The errno behind a kernel error.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel(kernel) => Some(kernel.errno),
            Self::Refused(_) | Self::Corrupt(_) => None,
        }
    }
}

/// The longest part of a message, in characters: what somebody gave can be a megabyte long.
const LONGEST: usize = 300;
/// The longest description of a step, which may name two paths.
const LONGEST_ACTION: usize = 1000;
/// How much of a longer one is shown of its end, where a reason says what is wrong.
const END: usize = 100;

fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    if text.chars().nth(longest).is_none() {
        return Cow::Borrowed(text);
    }
    let beginning: String = text.chars().take(longest - END).collect();
    let end = text.char_indices().rev().nth(END - 1).and_then(|(start, _)| text.get(start..)).unwrap_or_default();
    Cow::Owned(format!("{beginning}…{end}"))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [field, value, reason] = [&self.field, &self.value, &self.reason].map(|text| shortened(text, LONGEST));
        if value.is_empty() {
            write!(f, "cannot use {field}: {reason}")
        } else {
            write!(f, "cannot use {field} {value}: {reason}")
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", shortened(&self.action, LONGEST_ACTION))
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path, self.reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Kernel(error) => error.fmt(f),
            Self::Corrupt(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}
impl std::error::Error for Corrupt {}

impl std::error::Error for Kernel {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel(kernel) => Some(&kernel.errno),
            Self::Refused(_) | Self::Corrupt(_) => None,
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl From<Kernel> for Error {
    fn from(kernel: Kernel) -> Self {
        Self::Kernel(Box::new(kernel))
    }
}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(Box::new(corrupt))
    }
}

/// Gives a failed system call its action: `open(…).doing(|| format!("open {path}"))?`.
pub trait Doing<T> {
    /// Names what was tried; the text is made only when it failed.
    ///
    /// # Errors
    /// The same failure, as [`Kernel`].
    fn doing<S: Into<String>>(self, action: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, Errno> {
    fn doing<S: Into<String>>(self, action: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| Kernel::new(action(), errno).into())
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing<S: Into<String>>(self, action: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| {
            // One of ours that came through a reader says more.
            if let Some(ours) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
                return ours.clone();
            }
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Kernel::new(action(), errno).into()
        })
    }
}
