//! Logs in files that are rotated: what a disk does not take is counted and told in the log as soon as it takes something
//! again. The older files can be compressed, a piece with each piece that is written: a monitor has more to do.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use error::{Doing, Result};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;

use super::{Line, Rotation, Stream, json, local, told};

/// How an entry is written.
#[derive(Debug)]
pub(super) enum Form {
    Json(json::Writer),
    Local,
}

impl Form {
    fn write(&mut self, text: &mut Vec<u8>, line: &Line<'_>) {
        match self {
            Self::Json(writer) => writer.write(text, line),
            Self::Local => local::write(text, line),
        }
    }
}

/// A log that is written.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    pub(super) file: File,
    /// How long the file is: what was written of an entry when the disk was full is cut off.
    length: u64,
    rotation: Rotation,
    form: Form,
    /// What is to be written, and how many lines that is.
    text: Vec<u8>,
    lines: u64,
    lost: u64,
    packing: Option<Packing>,
}

/// What is behind the name of a file that is compressed.
pub(super) const PACKED: &str = ".gz";

/// The name of an older file.
pub(super) fn older(path: &Path, number: u32, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{end}"));
    name.into()
}

/// What tells a file from all others: a reader finds the one that it reads again when that was compressed.
pub(super) fn identity(file: &File) -> std::io::Result<String> {
    file.metadata().map(|file| format!("{}:{}", file.dev(), file.ino()))
}

impl Files {
    /// # Errors
    /// A kernel error that names the file.
    pub(super) fn open(path: PathBuf, rotation: Rotation, form: Form) -> Result<Self> {
        let action = || format!("open {}", path.display());
        let mut file = create(&path).doing(action)?;
        let end = file.metadata().doing(action)?.len();
        let length = match form {
            Form::Local => local::whole_length(&mut file).doing(action)?,
            Form::Json(_) => json::whole_length(&file, end).doing(action)?,
        };
        if length < end {
            file.set_len(length).doing(action)?;
        }
        let (text, lines, lost, packing) = (Vec::new(), 0, 0, None);
        Ok(Self { path, file, length, rotation, form, text, lines, lost, packing })
    }

    /// Adds an entry to what is to be written, in a new file where this one is full.
    pub(super) fn enter(&mut self, line: &Line<'_>) {
        let before = self.text.len();
        self.form.write(&mut self.text, line);
        let after = self.length + length(&self.text);
        if after > self.rotation.max_bytes && self.length + u64::try_from(before).unwrap_or(u64::MAX) > 0 {
            let entry = self.text.split_off(before);
            self.write();
            // Where that fails the file grows on: better too long than lost.
            let _ = self.rotate();
            self.text = entry;
        }
        self.lines += 1;
    }

    /// Adds an entry for each line that `read` begins with and that is whole in it, and gives how many bytes that were: none
    /// where a new file would have to be begun meanwhile.
    pub(super) fn enter_lines(&mut self, read: &Line<'_>) -> usize {
        let Form::Json(writer) = &mut self.form else { return 0 };
        let before = self.text.len();
        let taken = writer.write_lines(&mut self.text, read);
        if self.length + length(&self.text) > self.rotation.max_bytes {
            self.text.truncate(before);
            return 0;
        }
        self.lines += taken.lines;
        taken.bytes
    }

    /// Writes what was entered.
    pub(super) fn write(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        if self.lost > 0 {
            let mut first = Vec::new();
            let line = told(self.lost, "the disk");
            let line = Line { bytes: line.as_bytes(), stream: Stream::Stderr, time: Timestamp::now(), part: None };
            self.form.write(&mut first, &line);
            first.append(&mut text);
            text = first;
        }
        match self.file.write_all(&text) {
            Ok(()) => {
                self.length += length(&text);
                self.lost = 0;
            }
            Err(_) => {
                self.lost += self.lines;
                let _ = self.file.set_len(self.length);
            }
        }
        self.pack(text.len().saturating_mul(2));
        self.lines = 0;
        text.clear();
        self.text = text;
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.lost == 0
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        self.settle();
        let most = self.rotation.max_files;
        for number in (1..most).rev() {
            for end in ["", PACKED] {
                let younger = if number == 1 { self.path.clone() } else { older(&self.path, number - 1, end) };
                if number == 1 && end == PACKED || !younger.exists() {
                    continue;
                }
                for end in ["", PACKED] {
                    ignore_absent(fs::remove_file(older(&self.path, number, end)))?;
                }
                fs::rename(younger, older(&self.path, number, end))?;
            }
        }
        if most == 1 {
            self.file.set_len(0)?;
        } else {
            self.file = create(&self.path)?;
            if self.rotation.compress {
                self.packing = Packing::begin(&self.path).ok();
            }
        }
        self.length = 0;
        Ok(())
    }

    /// Compresses so much more of the file before this one.
    fn pack(&mut self, bytes: usize) {
        if let Some(packing) = &mut self.packing
            && !packing.go_on(bytes).unwrap_or(false)
        {
            self.packing = None;
        }
    }

    /// Compresses all that there is to compress.
    pub(super) fn settle(&mut self) {
        self.pack(usize::MAX);
    }
}

/// A file that is just being compressed. What is not whole has no name that a reader looks for.
#[derive(Debug)]
struct Packing {
    source: File,
    packed: GzEncoder<File>,
    paths: [PathBuf; 3],
}

impl Packing {
    const PIECE: usize = 64 * 1024;

    fn begin(log: &Path) -> std::io::Result<Self> {
        let [plain, packed] = ["", PACKED].map(|end| older(log, 1, end));
        let beside = older(log, 1, ".part");
        let source = File::open(&plain)?;
        let file = File::options().write(true).create(true).truncate(true).mode(0o640).open(&beside)?;
        let packer = GzBuilder::new().comment(identity(&source)?).write(file, Compression::fast());
        Ok(Self { source, packed: packer, paths: [plain, beside, packed] })
    }

    /// Whether there is more to do. What a full disk does not take stays as it is.
    fn go_on(&mut self, bytes: usize) -> std::io::Result<bool> {
        let [plain, beside, packed] = &self.paths;
        let undone = |error| {
            let _ = fs::remove_file(beside);
            Err(error)
        };
        let mut buffer = vec![0; Self::PIECE.min(bytes)];
        let mut done = 0;
        while done < bytes {
            let read = match self.source.read(&mut buffer) {
                Err(error) => return undone(error),
                Ok(read) => read,
            };
            if let Err(error) = self.packed.write_all(buffer.get(..read).unwrap_or_default()) {
                return undone(error);
            }
            if read == 0 {
                let whole = self.packed.try_finish().and_then(|()| fs::rename(beside, packed));
                return whole.and_then(|()| fs::remove_file(plain)).map_or_else(undone, |()| Ok(false));
            }
            done = done.saturating_add(read);
        }
        Ok(true)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn ignore_absent(done: std::io::Result<()>) -> std::io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    File::options().read(true).append(true).create(true).mode(0o640).open(path)
}
