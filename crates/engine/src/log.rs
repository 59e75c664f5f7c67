//! What a container says, and where it is kept: in files of carboy's own (`log/files.rs`), or with the host's logs
//! (`log/remote.rs`). A line that is longer than [`LONGEST_LINE`] is kept in parts, of which the last alone ends in a line end.
//!
//! No log ends its container, or holds it up for longer than a disk does: what cannot be kept is counted, and told in the log
//! as soon as that takes something again.

mod files;
mod json;
mod local;
mod origin;
mod reader;
mod remote;
mod syslog;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use error::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::files::Files;
pub use self::origin::{Mentions, Origin, TAG_FIELDS};
pub use self::reader::Reader;
use self::remote::Remote;
pub use self::syslog::{FACILITIES, Format, Syslog, Target};

/// What is kept of a container's output, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogWish {
    /// Nothing.
    Nothing,
    /// Files of JSON lines, as Docker's.
    JsonFile(Rotation),
    /// Files of carboy's own form, the older ones compressed.
    Local(Rotation),
    /// systemd's journal.
    Journald(Buffer),
    /// A syslog daemon.
    Syslog(Syslog, Buffer),
}

/// How long a log in files becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// When a new file is begun.
    pub max_bytes: u64,
    /// How many files there are at most.
    pub max_files: u32,
    /// Whether the older ones are compressed.
    #[serde(default)]
    pub compress: bool,
}

/// How much waits for a log that does not take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffer {
    /// In memory; what is more is lost.
    pub max_bytes: usize,
}

impl Buffer {
    /// Docker's.
    pub const USUAL: Self = Self { max_bytes: 1 << 20 };
}

impl LogWish {
    /// Enough to see what happened, and not enough to fill a disk.
    pub const USUAL: Self = Self::JsonFile(Rotation { max_bytes: 10_000_000, max_files: 3, compress: false });
    /// Docker's.
    pub const LOCAL: Self = Self::Local(Rotation { max_bytes: 20 << 20, max_files: 5, compress: true });

    /// Docker's name for it.
    #[must_use]
    pub const fn driver(&self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::JsonFile(_) => "json-file",
            Self::Local(_) => "local",
            Self::Journald(_) => "journald",
            Self::Syslog(..) => "syslog",
        }
    }

    /// Its file in a container's folder, where it is one; older ones have `.1`, `.2` behind their names, and `.gz` where they
    /// are compressed.
    #[must_use]
    pub fn path(&self, folder: &Path) -> Option<PathBuf> {
        match self {
            Self::JsonFile(_) => Some(folder.join("output.json")),
            Self::Local(_) => Some(folder.join("output.log")),
            Self::Nothing | Self::Journald(_) | Self::Syslog(..) => None,
        }
    }
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and all of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line, or a part of one that is very long, as it is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was written, with its line end.
    pub log: Vec<u8>,
    /// To where.
    pub stream: Stream,
    /// When it was read.
    pub time: Timestamp,
    /// What it says of its container, by name.
    pub attributes: Vec<(String, String)>,
}

/// The same on its way into a log.
#[derive(Debug, Clone, Copy)]
struct Line<'l> {
    bytes: &'l [u8],
    stream: Stream,
    time: Timestamp,
    /// Which part of a long line this is, from 1 on; `None` where it is a whole one.
    part: Option<u32>,
}

impl Line<'_> {
    fn is_ended(&self) -> bool {
        self.bytes.ends_with(b"\n")
    }
}

/// What tells of lines that are lost.
fn told(lost: u64, whose: &str) -> String {
    format!("carboy: {lost} lines before this one were lost: {whose} did not take them\n")
}

/// Docker's: a longer line is kept in parts.
const LONGEST_LINE: usize = 16 * 1024;

/// What has no line end yet.
#[derive(Debug, Default)]
struct Begun {
    bytes: Vec<u8>,
    /// How many parts of the line are kept already.
    parts: u32,
}

/// Writes a log.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    begun: [Begun; 2],
}

#[derive(Debug)]
enum Sink {
    Files(Box<Files>),
    Remote(Box<Remote>),
}

impl Writer {
    /// A new log of a container, or one that goes on, whose files are in this folder; `None` where none is wished.
    ///
    /// # Errors
    /// A kernel error that names the file. A log that is others' need not be there.
    pub fn open(wish: &LogWish, folder: &Path, origin: &Origin) -> Result<Option<Self>> {
        let sink = match wish {
            LogWish::Nothing => return Ok(None),
            LogWish::JsonFile(rotation) => {
                let form = files::Form::Json(json::Writer::new(origin));
                Sink::Files(Box::new(Files::open(folder.join("output.json"), *rotation, form)?))
            }
            LogWish::Local(rotation) => {
                Sink::Files(Box::new(Files::open(folder.join("output.log"), *rotation, files::Form::Local)?))
            }
            LogWish::Journald(buffer) => Sink::Remote(Box::new(Remote::journal(origin, *buffer))),
            LogWish::Syslog(syslog, buffer) => Sink::Remote(Box::new(Remote::syslog(syslog.clone(), origin, *buffer))),
        };
        Ok(Some(Self { sink, begun: Default::default() }))
    }

    /// Takes what was read of a stream.
    pub fn take(&mut self, stream: Stream, mut bytes: &[u8]) {
        let time = Timestamp::now();
        let [out, err] = &mut self.begun;
        let begun = if stream == Stream::Stdout { out } else { err };
        let mut takes_lines = true;
        while !bytes.is_empty() {
            if takes_lines && begun.parts == 0 && begun.bytes.is_empty() {
                let lines = self.sink.enter_lines(&Line { bytes, stream, time, part: None });
                takes_lines = false;
                bytes = bytes.get(lines..).unwrap_or_default();
                continue;
            }
            let room = LONGEST_LINE.saturating_sub(begun.bytes.len()).min(bytes.len());
            let (head, _) = bytes.split_at(room);
            let (part, rest) = bytes.split_at(memchr::memchr(b'\n', head).map_or(room, |end| end + 1));
            bytes = rest;
            let ends = part.ends_with(b"\n");
            if !ends && begun.bytes.len() + part.len() < LONGEST_LINE {
                begun.bytes.extend_from_slice(part);
                continue;
            }
            let number = if ends && begun.parts == 0 { None } else { Some(begun.parts + 1) };
            // Most lines are whole in what was read.
            let whole = if begun.bytes.is_empty() {
                part
            } else {
                begun.bytes.extend_from_slice(part);
                &begun.bytes
            };
            self.sink.enter(&Line { bytes: whole, stream, time, part: number });
            begun.bytes.clear();
            begun.parts = if ends { 0 } else { begun.parts.saturating_add(1) };
        }
        self.sink.go_on();
    }

    /// Whether no line is begun, nothing waits to be taken, and nothing lost is still to be told.
    pub(crate) fn is_whole(&self) -> bool {
        self.begun.iter().all(|begun| begun.bytes.is_empty() && begun.parts == 0) && self.sink.is_whole()
    }

    /// Writes what has no line end: there will be none.
    pub fn finish(&mut self) {
        for (stream, begun) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.begun) {
            let Begun { bytes, parts } = std::mem::take(begun);
            if !bytes.is_empty() {
                let part = (parts > 0).then_some(parts + 1);
                self.sink.enter(&Line { bytes: &bytes, stream, time: Timestamp::now(), part });
            }
        }
        self.sink.go_on();
        match &mut self.sink {
            Sink::Files(files) => files.settle(),
            Sink::Remote(remote) => remote.drain(),
        }
    }

    /// Finishes what was left for a quiet moment.
    pub(crate) fn settle(&mut self) {
        if let Sink::Files(files) = &mut self.sink {
            files.settle();
        }
    }

    /// What takes more when something can be written to it, while something waits for that.
    pub(crate) fn waits(&self) -> Option<BorrowedFd<'_>> {
        match &self.sink {
            Sink::Files(_) => None,
            Sink::Remote(remote) => remote.waits(),
        }
    }

    /// When it is tried again to reach a log that was not there.
    pub(crate) fn due(&self) -> Option<Instant> {
        match &self.sink {
            Sink::Files(_) => None,
            Sink::Remote(remote) => remote.due(),
        }
    }

    /// Gives it what waits.
    pub(crate) fn go_on(&mut self) {
        self.sink.go_on();
    }
}

impl Sink {
    fn enter(&mut self, line: &Line<'_>) {
        match self {
            Self::Files(files) => files.enter(line),
            Self::Remote(remote) => remote.enter(line),
        }
    }

    /// Takes the lines at the beginning of what was read, as far as that is quicker than one by one; gives how many bytes.
    fn enter_lines(&mut self, read: &Line<'_>) -> usize {
        match self {
            Self::Files(files) => files.enter_lines(read),
            Self::Remote(_) => 0,
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Files(files) => files.is_whole(),
            Self::Remote(remote) => remote.is_whole(),
        }
    }

    fn go_on(&mut self) {
        match self {
            Self::Files(files) => files.write(),
            Self::Remote(remote) => remote.go_on(),
        }
    }
}

#[cfg(test)]
mod tests;
