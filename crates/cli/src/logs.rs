//! `logs`: what a container that runs by itself has said, and what it goes on to say.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;

use engine::containers::{Container, Engine};
use engine::log::{Entry, LogWish, Reader, Stream};
use engine::record::Record;
use error::{Doing, Refused, RefusedKind, Result};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;

use crate::events::alarm;
use crate::report;

/// What `logs` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Logs {
    /// Whether it goes on until the container has ended.
    pub(crate) follow: bool,
    /// Whether the time stands before each line.
    pub(crate) timestamps: bool,
    /// Whether what a line says of its container stands before it.
    pub(crate) details: bool,
    /// How many lines of what is there already; all if none.
    pub(crate) tail: Option<usize>,
    /// Nothing that is older.
    pub(crate) since: Option<Timestamp>,
    /// Nothing that is younger.
    pub(crate) until: Option<Timestamp>,
    /// The container.
    pub(crate) container: String,
}

/// `carboy logs`.
pub(crate) fn run(engine: &Engine, logs: &Logs) -> ExitCode {
    match shown(engine, logs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn shown(engine: &Engine, logs: &Logs) -> Result<()> {
    let container = engine.find(&logs.container)?;
    let folder = engine.store.container(&container.record.id);
    // Watched before it is read: nothing comes in between unnoticed.
    let watched = if logs.follow { Some(watch(&folder)?) } else { None };
    let wish = &container.record.options.log;
    if wish.path(&folder).is_none() {
        return Err(no_log(&container).into());
    }
    // One that was never started has said nothing.
    let Some(mut reader) = Reader::open(wish, &folder)? else { return Ok(()) };
    let mut kept = VecDeque::new();
    while let Some(entry) = reader.next_entry()? {
        if logs.shows(&entry) {
            kept.push_back(entry);
            if logs.tail.is_some_and(|tail| kept.len() > tail) {
                kept.pop_front();
            }
        }
        // Without a tail nothing must be kept for long.
        if logs.tail.is_none() && kept.len() >= MANY && !logs.print(&mut kept)? {
            return Ok(());
        }
    }
    if !logs.print(&mut kept)? {
        return Ok(());
    }
    if let Some(watched) = watched {
        logs.follow(engine, &container, &mut reader, &watched)?;
    }
    Ok(())
}

fn no_log(container: &Container) -> Refused {
    let Record { name, options, .. } = &container.record;
    let reason = "configured logging driver does not support reading";
    let hint = match &options.log {
        LogWish::Journald(_) => format!("journalctl CONTAINER_NAME={name} shows what the journal has"),
        other => format!("it was made with --log-driver {}", other.driver()),
    };
    Refused::new("logs", name, reason).kind(RefusedKind::Conflict).hint(hint)
}

/// Tells when a file in a folder may have grown, or another taken its place.
///
/// # Errors
/// A kernel error.
pub(crate) fn watch(folder: &std::path::Path) -> Result<OwnedFd> {
    let action = || format!("watch {}", folder.display());
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let watched = inotify::init(flags).doing(action)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watched, folder, events).doing(action)?;
    Ok(watched)
}

/// `colour=blue,tag=web `, in Docker's spelling: that of a query in a URL.
fn details(attributes: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        attributes.iter().map(|(name, value)| format!("{}={}", in_query(name), in_query(value))).collect();
    format!("{} ", pairs.join(","))
}

fn in_query(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// How much is written at once, in bytes, and how many lines are held for that.
const AT_ONCE: usize = 64 * 1024;
const MANY: usize = 512;

impl Logs {
    fn shows(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since) && self.until.is_none_or(|until| entry.time <= until)
    }

    /// Prints entries, each to the stream that it came from; whether the reader is still there.
    fn print(&self, entries: &mut VecDeque<Entry>) -> Result<bool> {
        let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
        let (mut text, mut gathered) = (Vec::new(), Stream::Stdout);
        let mut write = |text: &mut Vec<u8>, stream| {
            let stream: &mut dyn std::io::Write = if stream == Stream::Stderr { &mut err } else { &mut out };
            let written = stream.write_all(text).and_then(|()| stream.flush());
            text.clear();
            match written {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
                written => written.doing(|| "write to standard output").map(|()| true),
            }
        };
        for entry in entries.drain(..) {
            // What goes to one stream goes there at once, and before what the other gets later.
            if (entry.stream != gathered || text.len() > AT_ONCE) && !write(&mut text, gathered)? {
                return Ok(false);
            }
            gathered = entry.stream;
            if self.timestamps {
                text.extend_from_slice(format!("{:.9} ", entry.time).as_bytes());
            }
            if self.details {
                text.extend_from_slice(details(&entry.attributes).as_bytes());
            }
            text.extend_from_slice(&entry.log);
        }
        write(&mut text, gathered)
    }

    /// Prints what is added until the container has ended for good and its monitor has written the last of it, or the time
    /// is over.
    fn follow(&self, engine: &Engine, container: &Container, reader: &mut Reader, watched: &OwnedFd) -> Result<()> {
        let mut entries = VecDeque::new();
        let mut care = engine.care_of(container);
        let end = self.until.map(alarm).transpose()?;
        loop {
            let mut has_ended = care.is_none();
            if let Some((file, flags)) = &care {
                let end = PollFd::new(end.as_ref().unwrap_or(watched), PollFlags::IN);
                let mut waits = [PollFd::new(watched, PollFlags::IN), PollFd::new(file, *flags), end];
                if poll(&mut waits, None).is_err() {
                    continue;
                }
                let [_, ended, _] = waits;
                if !ended.revents().is_empty() {
                    // One that is started again has a monitor as before.
                    care = engine.care_of(container);
                    has_ended = care.is_none();
                }
            }
            let _ = rustix::io::read(watched.as_fd(), &mut [0_u8; 4096]);
            // What is said later than this has not been read yet.
            let mut is_over = self.until.is_some_and(|until| until < Timestamp::now());
            if has_ended {
                engine.store.wait_for(&container.record.id)?;
            }
            while let Some(entry) = reader.next_entry()? {
                if self.until.is_some_and(|until| entry.time > until) {
                    is_over = true;
                    break;
                }
                entries.extend(Some(entry).filter(|entry| self.shows(entry)));
            }
            if !self.print(&mut entries)? || has_ended || is_over {
                return Ok(());
            }
        }
    }
}
