//! What has happened to containers, images, volumes and networks, by whichever process: a JSON document a line.
//!
//! `{"time":"2026-11-26T14:05:54.123456789Z","type":"container","action":"start","id":"83661…","attributes":{…}}`
//!
//! Every process that changes something appends its line by one write(2) with `O_APPEND`, which the kernel keeps apart from
//! others'. A line begins with a line end, too: what a killed writer or a full disk has cut off spoils no other, and is
//! passed over. A file that is full is renamed, under a lock, and takes the place of the one before: two there are at most.
//! Nothing fails because something could not be told.
//!
//! There is one for all ([`ALL`]), and the diary of each container in its folder ([`DIARY`]), with what matters of its life.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use error::{Doing, Result};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// The journal of all containers, images, volumes and networks, below carboy's folder.
pub(crate) const ALL: Kept = Kept { name: "events.json", most_bytes: 4 << 20 };
/// A container's own, in its folder.
pub(crate) const DIARY: Kept = Kept { name: "diary.json", most_bytes: 64 << 10 };

/// A file of lines, and the one before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Its name; the older one has `.1` behind it.
    name: &'static str,
    /// A file with more than this gets no more lines.
    most_bytes: u64,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// To what.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What: Docker's word where it has one.
    pub action: String,
    /// The id of a container, an image or a network, the name of a volume or of an image that came or went.
    pub id: String,
    /// Its name, its image and its labels, with what there is to tell of the action.
    pub attributes: BTreeMap<String, String>,
}

/// What something can happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// A longer line tells of short attributes alone: labels have no greatest length.
const LONGEST_LINE: usize = 64 << 10;

impl Entry {
    fn line(&self) -> Vec<u8> {
        let mut line = vec![b'\n'];
        if serde_json::to_writer(&mut line, self).is_err() {
            return Vec::new();
        }
        if line.len() > LONGEST_LINE {
            let short = self.attributes.iter().filter(|(name, value)| name.len() + value.len() < 512).take(64);
            let attributes = short.map(|(name, value)| (name.clone(), value.clone())).collect();
            line.truncate(1);
            let _ = serde_json::to_writer(&mut line, &Self { attributes, ..self.clone() });
        }
        line.push(b'\n');
        line
    }
}

/// Writes lines. The file stays open from the first on, as most commands write several.
#[derive(Debug)]
pub(crate) struct Journal {
    file: RefCell<Option<File>>,
}

/// Each has its own file: where one is full another may not have noticed.
impl Clone for Journal {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Journal {
    pub(crate) const fn new() -> Self {
        Self { file: RefCell::new(None) }
    }

    /// Opens the journal in a folder, for who is about to lose the right to.
    pub(crate) fn open_early(&self, folder: &Path, kept: Kept) {
        *self.file.borrow_mut() = open(&folder.join(kept.name)).ok();
    }

    /// Adds a line to the journal in a folder, which is made if there is none. Whatever goes wrong is nobody's concern.
    pub(crate) fn add(&self, folder: &Path, kept: Kept, entry: &Entry) {
        self.add_by(open, (folder, kept), entry);
    }

    /// The same where there is one already: in a folder that is just being removed nothing must be made.
    pub(crate) fn add_if_there(&self, folder: &Path, kept: Kept, entry: &Entry) {
        self.add_by(|path| File::options().append(true).open(path), (folder, kept), entry);
    }

    fn add_by(&self, make: impl Fn(&Path) -> std::io::Result<File>, (folder, kept): (&Path, Kept), entry: &Entry) {
        let mut file = self.file.borrow_mut();
        let open = file.take().map_or_else(|| make(&folder.join(kept.name)), Ok);
        let added = open.and_then(|open| with_room(open, folder, kept)).and_then(|mut open| {
            // All at once or not at all: the rest of a line would stand behind another's.
            open.write(&entry.line()).map(|_| open)
        });
        *file = added.ok();
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// The file that lines are added to now: another one where this one is full.
fn with_room(mut file: File, folder: &Path, Kept { name, most_bytes }: Kept) -> std::io::Result<File> {
    let path = folder.join(name);
    while file.metadata()?.len() >= most_bytes {
        flock(&file, FlockOperation::LockExclusive)?;
        // Another process may have done it while the lock was waited for.
        if fs::metadata(&path).is_ok_and(|found| file.metadata().is_ok_and(|own| identity(&found) == identity(&own))) {
            fs::rename(&path, older(&path))?;
        }
        file = open(&path)?;
    }
    Ok(file)
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Reads a journal, and what is added to it meanwhile.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// The files that there are, the older one first.
    parts: Vec<Part>,
}

/// One file, as far as it was read.
#[derive(Debug)]
struct Part {
    file: File,
    identity: (u64, u64),
    /// What was read of a line that is not whole yet.
    begun: Vec<u8>,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the oldest line that there is.
    Beginning,
    /// With what is added from now on.
    Now,
}

impl Reader {
    pub(crate) fn open(folder: &Path, kept: Kept, from: From) -> Result<Self> {
        let mut reader = Self { path: folder.join(kept.name), parts: Vec::new() };
        reader.find()?;
        if from == From::Now {
            for part in &mut reader.parts {
                part.file.seek(SeekFrom::End(0)).doing(|| format!("read {}", reader.path.display()))?;
            }
        }
        Ok(reader)
    }

    /// What there is to read since the last time, in the order in which it was written.
    ///
    /// # Errors
    /// A kernel error that names the file.
    pub fn read(&mut self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        loop {
            for part in &mut self.parts {
                part.read(&mut entries).doing(|| format!("read {}", self.path.display()))?;
            }
            // A new file has followed: what was written last to the one before is read, and then that.
            if !self.find()? {
                return Ok(entries);
            }
        }
    }

    /// Looks for the files; gives whether there are others than before.
    fn find(&mut self) -> Result<bool> {
        let action = || format!("open {}", self.path.display());
        let found = loop {
            let former = found(&older(&self.path)).doing(action)?;
            let latter = found(&self.path).doing(action)?;
            let still = fs::metadata(older(&self.path)).ok().map(|still| identity(&still));
            // Else a file was renamed between the two, and one more may stand between them.
            if still == former.as_ref().map(|part| part.identity) {
                break [former, latter];
            }
        };
        let mut is_new = false;
        let mut parts = Vec::with_capacity(2);
        for part in found.into_iter().flatten() {
            let known = self.parts.iter().position(|known| known.identity == part.identity);
            is_new |= known.is_none();
            parts.push(known.map_or(part, |known| self.parts.swap_remove(known)));
        }
        self.parts = parts;
        Ok(is_new)
    }
}

fn found(path: &Path) -> std::io::Result<Option<Part>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => {
            let file = opened?;
            let identity = identity(&file.metadata()?);
            Ok(Some(Part { file, identity, begun: Vec::new() }))
        }
    }
}

impl Part {
    /// Adds what is there now. A line that was cut off, and one of another carboy's, is passed over.
    fn read(&mut self, entries: &mut Vec<Entry>) -> std::io::Result<()> {
        self.file.read_to_end(&mut self.begun)?;
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let rest = self.begun.split_off(end + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        entries.extend(whole.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Kept = Kept { name: "small.json", most_bytes: 2000 };

    fn entry(action: impl ToString) -> Entry {
        let (time, kind, action) = (Timestamp::now(), Kind::Container, action.to_string());
        Entry { time, kind, action, id: "836613".to_owned(), attributes: BTreeMap::new() }
    }

    fn actions(reader: &mut Reader) -> Vec<String> {
        reader.read().unwrap().into_iter().map(|entry| entry.action).collect()
    }

    #[test]
    fn a_line_that_was_cut_off_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new();
        journal.add(folder.path(), SMALL, &entry("first"));
        let cut = entry("cut off").line();
        fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join(SMALL.name))
            .unwrap()
            .write_all(&cut[..40])
            .unwrap();
        let mut reader = Reader::open(folder.path(), SMALL, From::Beginning).unwrap();
        assert_eq!(actions(&mut reader), ["first"]);
        journal.add(folder.path(), SMALL, &entry("second"));
        assert_eq!(actions(&mut reader), ["second"]);
        assert_eq!(actions(&mut reader), [""; 0]);
    }

    #[test]
    fn a_reader_follows_through_every_file_and_finds_two_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = Reader::open(folder.path(), SMALL, From::Now).unwrap();
        let (journal, other) = (Journal::new(), Journal::new());
        for number in 0..200 {
            let writer = if number % 3 == 0 { &other } else { &journal };
            writer.add(folder.path(), SMALL, &entry(number));
            assert_eq!(actions(&mut reader), [number.to_string()]);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let kept = actions(&mut Reader::open(folder.path(), SMALL, From::Beginning).unwrap());
        let numbers: Vec<usize> = kept.iter().map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers, (200 - numbers.len()..200).collect::<Vec<_>>());
        assert!(numbers.len() > 20, "{}", numbers.len());
        assert_eq!(actions(&mut Reader::open(folder.path(), SMALL, From::Now).unwrap()), [""; 0]);
    }

    #[test]
    fn many_who_write_at_once_lose_nothing() {
        const LARGE: Kept = Kept { name: "large.json", most_bytes: 40_000 };
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    let journal = Journal::new();
                    (0..60).for_each(|number| journal.add(folder, LARGE, &entry(format!("{writer}:{number:02}"))));
                });
            }
        });
        let mut kept = actions(&mut Reader::open(folder.path(), LARGE, From::Beginning).unwrap());
        for writer in 0..8 {
            let own: Vec<&String> = kept.iter().filter(|action| action.starts_with(&format!("{writer}:"))).collect();
            assert!(own.is_sorted(), "{own:?}");
        }
        kept.sort();
        kept.dedup();
        assert_eq!(kept.len(), 480);
        assert!(fs::metadata(older(&folder.path().join(LARGE.name))).is_ok(), "there was more than one file");
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_no_failure_and_the_next_line_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new();
        *journal.file.borrow_mut() = Some(File::options().append(true).open("/dev/full").unwrap());
        journal.add(folder.path(), SMALL, &entry("lost"));
        journal.add(folder.path(), SMALL, &entry("told"));
        Journal::new().add_if_there(folder.path(), DIARY, &entry("of nobody"));
        Journal::new().add(&folder.path().join("removed"), DIARY, &entry("of nobody"));
        assert_eq!(actions(&mut Reader::open(folder.path(), SMALL, From::Beginning).unwrap()), ["told"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_line_with_endless_labels_tells_of_short_ones() {
        let mut long = entry("start");
        long.attributes =
            BTreeMap::from([("a".to_owned(), "b".repeat(1 << 20)), ("name".to_owned(), "web".to_owned())]);
        let line = long.line();
        assert!(line.len() < 200, "{}", line.len());
        let told: Entry = serde_json::from_slice(&line).unwrap();
        assert_eq!(told.attributes, BTreeMap::from([("name".to_owned(), "web".to_owned())]));
    }
}
