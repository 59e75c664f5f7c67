//! What a container says, as Docker's json-file keeps it: a JSON document a line, in files that are rotated.
//!
//! `{"log":"hello\n","stream":"stdout","time":"2026-11-26T14:05:54.123456789Z"}`. A line that is longer than
//! [`LONGEST_LINE`] is kept in parts, of which the last alone ends in a line end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use error::{Corrupt, Doing, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is kept of a container's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogWish {
    /// Nothing.
    Nothing,
    /// Files of JSON lines.
    JsonFile {
        /// When a new file is begun.
        max_bytes: u64,
        /// How many files there are at most.
        max_files: u32,
    },
}

impl LogWish {
    /// Enough to see what happened, and not enough to fill a disk.
    pub const USUAL: Self = Self::JsonFile { max_bytes: 10_000_000, max_files: 3 };
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

/// A line, or a part of one that is very long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was written, with its line end.
    pub log: String,
    /// To where.
    pub stream: Stream,
    /// When it was read.
    pub time: Timestamp,
}

/// Docker's: a longer line is kept in parts.
const LONGEST_LINE: usize = 16 * 1024;

/// The log's file in a container's folder; older ones have `.1`, `.2` behind their names.
#[must_use]
pub fn path(folder: &Path) -> PathBuf {
    folder.join("output.json")
}

fn older(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Writes a log. What a disk does not take is counted and told in the log as soon as it takes something again.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    /// How long the file is: what was written of an entry when the disk was full is cut off.
    length: u64,
    max_bytes: u64,
    max_files: u32,
    /// What has no line end yet, of each stream.
    begun: [Vec<u8>; 2],
    lost: u64,
}

impl Writer {
    /// A new log in a container's folder, or one that goes on.
    ///
    /// # Errors
    /// A kernel error that names the file.
    pub fn open(folder: &Path, max_bytes: u64, max_files: u32) -> Result<Self> {
        let path = path(folder);
        let file = create(&path).doing(|| format!("open {}", path.display()))?;
        let length = file.metadata().doing(|| format!("look at {}", path.display()))?.len();
        Ok(Self { path, file, length, max_bytes, max_files, begun: [Vec::new(), Vec::new()], lost: 0 })
    }

    /// Takes what was read of a stream.
    pub fn take(&mut self, stream: Stream, mut bytes: &[u8]) {
        let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 2);
        while !bytes.is_empty() {
            let room = LONGEST_LINE.saturating_sub(self.begun(stream).len()).min(bytes.len());
            let (head, _) = bytes.split_at(room);
            let line = head.iter().position(|byte| *byte == b'\n').map_or(room, |end| end + 1);
            let (line, rest) = bytes.split_at(line);
            bytes = rest;
            let begun = self.begun(stream);
            begun.extend_from_slice(line);
            if begun.ends_with(b"\n") || begun.len() >= LONGEST_LINE {
                let whole = std::mem::take(begun);
                self.enter(&mut text, stream, &whole);
            }
        }
        self.write(&text);
    }

    /// Writes what has no line end: there will be none.
    pub fn finish(&mut self) {
        let mut text = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(self.begun(stream));
            if !rest.is_empty() {
                self.enter(&mut text, stream, &rest);
            }
        }
        self.write(&text);
    }

    /// Whether every line that was begun has ended, and none is to be told of that was lost.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost == 0 && self.begun.iter().all(Vec::is_empty)
    }

    fn begun(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [out, err] = &mut self.begun;
        if stream == Stream::Stdout { out } else { err }
    }

    /// Adds an entry to what is to be written, in a new file where this one is full.
    fn enter(&mut self, text: &mut Vec<u8>, stream: Stream, line: &[u8]) {
        let entry = Entry { log: String::from_utf8_lossy(line).into_owned(), stream, time: Timestamp::now() };
        let Ok(mut entry) = serde_json::to_vec(&entry) else { return };
        entry.push(b'\n');
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.length + length(text) + length(&entry) > self.max_bytes && self.length + length(text) > 0 {
            self.write(text);
            text.clear();
            // Where that fails the file grows on: better too long than lost.
            let _ = self.rotate();
        }
        text.append(&mut entry);
    }

    fn write(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let mut told = Vec::new();
        if self.lost > 0 {
            let log = format!("carboy: {} lines before this one were lost: the disk did not take them\n", self.lost);
            told =
                serde_json::to_vec(&Entry { log, stream: Stream::Stderr, time: Timestamp::now() }).unwrap_or_default();
            told.push(b'\n');
        }
        told.extend_from_slice(text);
        match self.file.write_all(&told) {
            Ok(()) => {
                self.length += u64::try_from(told.len()).unwrap_or(u64::MAX);
                self.lost = 0;
            }
            Err(_) => {
                let lines = text.iter().filter(|byte| **byte == b'\n').count();
                self.lost += u64::try_from(lines).unwrap_or(u64::MAX);
                let _ = self.file.set_len(self.length);
            }
        }
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        for number in (1..self.max_files).rev() {
            let younger = if number == 1 { self.path.clone() } else { older(&self.path, number - 1) };
            match fs::rename(younger, older(&self.path, number)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.max_files == 1 {
            self.file.set_len(0)?;
        } else {
            self.file = create(&self.path)?;
        }
        self.length = 0;
        Ok(())
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

/// Reads a log from its oldest file on, and what is added to it meanwhile.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// The files that are still to be read, the oldest first; the last is the one that is written to.
    files: VecDeque<File>,
    reading: Option<BufReader<File>>,
    /// What was read of a line that is not whole yet.
    begun: Vec<u8>,
}

impl Reader {
    /// The log in a container's folder; `None` where it has none.
    ///
    /// # Errors
    /// A kernel error that names the file.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let path = path(folder);
        let mut files = VecDeque::new();
        for number in 0.. {
            let one = if number == 0 { path.clone() } else { older(&path, number) };
            match File::open(&one) {
                Ok(file) => files.push_front(file),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                opened => drop(opened.doing(|| format!("open {}", one.display()))?),
            }
        }
        if files.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { path, files, reading: None, begun: Vec::new() }))
    }

    /// The next entry; `None` where nothing more is there now.
    ///
    /// # Errors
    /// A kernel error; corrupt for a line that is no entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            let Some(reading) = &mut self.reading else {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                self.reading = Some(BufReader::new(file));
                continue;
            };
            let action = || format!("read {}", self.path.display());
            if reading.read_until(b'\n', &mut self.begun).doing(action)? > 0 {
                if self.begun.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.begun);
                    let corrupt =
                        |error: serde_json::Error| Corrupt::new(self.path.display().to_string(), error.to_string());
                    return Ok(Some(serde_json::from_slice(&line).map_err(corrupt)?));
                }
                continue;
            }
            if !self.files.is_empty() {
                self.reading = None;
            } else if !self.is_continued()? {
                return Ok(None);
            }
            // Of a file that another has followed meanwhile, what was written last is still to be read.
        }
    }

    /// Whether other files have followed the one that was read to its end.
    fn is_continued(&mut self) -> Result<bool> {
        let Some(reading) = &self.reading else { return Ok(false) };
        let identity = |file: &File| file.metadata().map(|file| (file.dev(), file.ino()));
        let own = identity(reading.get_ref()).doing(|| format!("look at {}", self.path.display()))?;
        for number in 0.. {
            let one = if number == 0 { self.path.clone() } else { older(&self.path, number) };
            match File::open(&one) {
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                opened => {
                    let file = opened.doing(|| format!("open {}", one.display()))?;
                    if identity(&file).doing(|| format!("look at {}", one.display()))? == own {
                        break;
                    }
                    self.files.push_front(file);
                }
            }
        }
        Ok(!self.files.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path) -> Vec<(Stream, String)> {
        let mut reader = Reader::open(folder).unwrap().unwrap();
        let entries = std::iter::from_fn(|| reader.next_entry().unwrap());
        entries.map(|entry| (entry.stream, entry.log)).collect()
    }

    #[test]
    fn lines_of_both_streams_are_kept_in_their_order_and_long_ones_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path(), 1 << 20, 3).unwrap();
        writer.take(Stream::Stdout, b"one\ntw");
        writer.take(Stream::Stderr, b"error\n");
        writer.take(Stream::Stdout, b"o\n\n");
        writer.take(Stream::Stdout, &[&[b'x'; LONGEST_LINE + 5][..], b"\n\xff\x00end"].concat());
        writer.finish();
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let expected = [
            (out, "one\n".to_owned()),
            (err, "error\n".to_owned()),
            (out, "two\n".to_owned()),
            (out, "\n".to_owned()),
            (out, "x".repeat(LONGEST_LINE)),
            (out, "xxxxx\n".to_owned()),
            (out, "\u{fffd}\0end".to_owned()),
        ];
        assert_eq!(read(folder.path()), expected);
    }

    #[test]
    fn files_are_rotated_and_no_more_than_wished_are_kept() {
        for files in 1..4_u32 {
            let folder = tempfile::tempdir().unwrap();
            let mut writer = Writer::open(folder.path(), 1000, files).unwrap();
            for number in 0..100 {
                writer.take(Stream::Stdout, format!("line {number}\n").as_bytes());
            }
            let kept = read(folder.path());
            let numbers: Vec<usize> = kept.iter().map(|(_, log)| log[5..].trim().parse().unwrap()).collect();
            assert_eq!(numbers.last(), Some(&99));
            assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
            let there = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(there, usize::try_from(files).unwrap());
            for file in fs::read_dir(folder.path()).unwrap() {
                assert!(file.unwrap().metadata().unwrap().len() <= 1000);
            }
        }
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_follows_to_the_next_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path(), 300, 10).unwrap();
        writer.take(Stream::Stdout, b"first\n");
        let mut reader = Reader::open(folder.path()).unwrap().unwrap();
        assert_eq!(reader.next_entry().unwrap().unwrap().log, "first\n");
        assert_eq!(reader.next_entry().unwrap(), None);
        for number in 0..20 {
            writer.take(Stream::Stdout, format!("{number}\n").as_bytes());
            assert_eq!(reader.next_entry().unwrap().unwrap().log, format!("{number}\n"));
            assert_eq!(reader.next_entry().unwrap(), None);
        }
        assert!(older(&path(folder.path()), 2).exists());
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path(), 1 << 20, 3).unwrap();
        writer.take(Stream::Stdout, b"before\n");
        let file = std::mem::replace(&mut writer.file, File::options().write(true).open("/dev/full").unwrap());
        writer.take(Stream::Stdout, b"a\nb\n");
        writer.take(Stream::Stderr, b"c\n");
        writer.file = file;
        writer.take(Stream::Stdout, b"after\n");
        let logs: Vec<String> = read(folder.path()).into_iter().map(|(_, log)| log).collect();
        let told = "carboy: 3 lines before this one were lost: the disk did not take them\n";
        assert_eq!(logs, ["before\n", told, "after\n"]);
    }
}
