//! Reads a log in files from the oldest on, and what is added to it meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use error::{Corrupt, Doing, Error, Result};
use flate2::bufread::GzDecoder;

use super::files::{PACKED, identity, older};
use super::{Entry, LogWish, json, local};

/// A file of the log.
#[derive(Debug)]
enum Source {
    Plain(File),
    /// One that is compressed: what it was before, and how it is read.
    Packed(String, Box<GzDecoder<BufReader<File>>>),
}

impl Source {
    /// The file with this number; `None` where there is none.
    fn open(path: &Path, number: u32) -> Result<Option<Self>> {
        let plain = if number == 0 { path.to_owned() } else { older(path, number, "") };
        let action = || format!("open {}", plain.display());
        match File::open(&plain) {
            Err(error) if error.kind() == ErrorKind::NotFound && number > 0 => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => return opened.doing(action).map(|file| Some(Self::Plain(file))),
        }
        match File::open(older(path, number, PACKED)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => {
                let unpacked = GzDecoder::new(BufReader::new(opened.doing(action)?));
                let former = unpacked.header().and_then(|header| header.comment());
                let former = former.map(|former| String::from_utf8_lossy(former).into_owned());
                Ok(Some(Self::Packed(former.unwrap_or_default(), Box::new(unpacked))))
            }
        }
    }

    fn identity(&self) -> std::io::Result<String> {
        match self {
            Self::Plain(file) => identity(file),
            Self::Packed(former, _) => Ok(former.clone()),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Packed(_, unpacked) => unpacked.read(buffer),
        }
    }
}

/// Reads a log.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    form: Form,
    /// The files that are still to be read, the oldest first; the last is the one that is written to.
    files: VecDeque<Source>,
    reading: Option<BufReader<Source>>,
    /// What was read of an entry that is not whole yet.
    begun: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Local,
}

impl Reader {
    /// The log in a container's folder; `None` where it has none, or none that can be read.
    ///
    /// # Errors
    /// A kernel error that names the file.
    pub fn open(wish: &LogWish, folder: &Path) -> Result<Option<Self>> {
        let (Some(path), form) =
            (wish.path(folder), if matches!(wish, LogWish::Local(_)) { Form::Local } else { Form::Json })
        else {
            return Ok(None);
        };
        let mut files = VecDeque::new();
        for number in 0.. {
            match Source::open(&path, number)? {
                Some(file) => files.push_front(file),
                None => break,
            }
        }
        let reader = Self { path, form, files, reading: None, begun: Vec::new() };
        Ok(Some(reader).filter(|reader| !reader.files.is_empty()))
    }

    /// The next entry; `None` where nothing more is there now.
    ///
    /// # Errors
    /// A kernel error; corrupt for what is no entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if self.reading.is_none() {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                self.reading = Some(BufReader::with_capacity(64 * 1024, file));
            }
            if let Some(entry) = self.read()? {
                return Ok(Some(entry));
            }
            if !self.files.is_empty() {
                self.reading = None;
            } else if !self.is_continued()? {
                return Ok(None);
            }
            // Of a file that another has followed meanwhile, what was written last is still to be read.
        }
    }

    /// Reads an entry of the file that is read, if a whole one is there.
    fn read(&mut self) -> Result<Option<Entry>> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let action = || format!("read {}", self.path.display());
        let corrupt = |reason: String| Error::from(Corrupt::new(self.path.display().to_string(), reason));
        loop {
            let read = match self.form {
                Form::Json => {
                    let read = reading.read_until(b'\n', &mut self.begun).doing(action)?;
                    if self.begun.ends_with(b"\n") {
                        let entry = json::parse(&self.begun).map_err(corrupt);
                        self.begun.clear();
                        return entry.map(Some);
                    }
                    read
                }
                Form::Local => match local::parse(&self.begun) {
                    local::Found::More(bytes) => {
                        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                        reading.take(bytes).read_to_end(&mut self.begun).doing(action)?
                    }
                    local::Found::Entry(entry) => {
                        self.begun.clear();
                        return Ok(Some(entry));
                    }
                    local::Found::Damaged => return Err(corrupt("holds what is no entry of a log".to_owned())),
                },
            };
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether other files have followed the one that was read to its end.
    fn is_continued(&mut self) -> Result<bool> {
        let Some(reading) = &self.reading else { return Ok(false) };
        let action = || format!("look at {}", self.path.display());
        let own = reading.get_ref().identity().doing(action)?;
        for number in 0.. {
            match Source::open(&self.path, number)? {
                Some(file) if file.identity().doing(action)? != own => self.files.push_front(file),
                _ => break,
            }
        }
        Ok(!self.files.is_empty())
    }
}
