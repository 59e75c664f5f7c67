//! What is told of containers, images, volumes and networks when something happens to them: Docker's words and attributes where it has them.

use std::collections::BTreeMap;
use std::time::Duration;

use error::Result;
use jiff::Timestamp;
use sys::terminal::Size;

use crate::containers::Engine;
use crate::journal::{ALL, DIARY, Entry, From, Journal, Kind, Reader};
use crate::network::Network;
use crate::options::Access;
use crate::record::{Exit, Record};
use crate::store::Store;
use crate::volume::place::volumes;

/// A name, and what there is to tell by it.
pub(crate) type Told<'t> = (&'t str, String);

/// What happens so often that it would leave no room for the rest in a container's own diary.
const NOT_OF_ITS_LIFE: [&str; 8] =
    ["exec_", "attach", "detach", "resize", "top", "export", "archive-path", "extract-to-dir"];

/// What somebody has done with a container that changes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Looked at its processes.
    Top,
    /// Left it by the detach keys.
    Detach,
    /// Left one more process in it by the detach keys, which is told by this id.
    ExecDetach(String),
    /// Given its terminal another size.
    Resize(Size),
    /// Read files of it.
    ArchivePath,
    /// Read all of its files.
    Export,
    /// Written files to it.
    ExtractToDir,
}

impl Deed {
    fn told(&self) -> (&'static str, Vec<Told<'static>>) {
        match self {
            Self::Top => ("top", Vec::new()),
            Self::Detach => ("detach", Vec::new()),
            Self::ExecDetach(id) => ("exec_detach", vec![("execID", id.clone())]),
            Self::Resize(Size { rows, columns }) => {
                ("resize", vec![("height", rows.to_string()), ("width", columns.to_string())])
            }
            Self::ArchivePath => ("archive-path", Vec::new()),
            Self::Export => ("export", Vec::new()),
            Self::ExtractToDir => ("extract-to-dir", Vec::new()),
        }
    }
}

impl Store {
    /// Tells of something that has happened to a container: everybody, and its own diary if it has one.
    pub(crate) fn tell(&self, record: &Record, action: &str, more: &[Told<'_>]) {
        let mut attributes = record.options.labels.clone();
        attributes.insert("image".to_owned(), record.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let (action, id) = (action.to_owned(), record.id.clone());
        let mut entry = Entry { time: Timestamp::now(), kind: Kind::Container, action, id, attributes };
        self.journal.add(&self.root, ALL, &entry);
        let is_of_its_life = !NOT_OF_ITS_LIFE.iter().any(|often| entry.action.starts_with(often));
        if is_of_its_life && !record.options.remove {
            // Whose diary it is stands in its record.
            entry.attributes.retain(|name, _| more.iter().any(|(told, _)| told == name));
            let (diary, folder) = (Journal::new(), self.container(&record.id));
            match entry.action.as_str() {
                "create" => diary.add(&folder, DIARY, &entry),
                _ => diary.add_if_there(&folder, DIARY, &entry),
            }
        }
    }

    /// Tells how a container has ended, and after how long it is started again, if it is.
    pub(crate) fn tell_end(&self, record: &Record, exit: &Exit, again: Option<Duration>) {
        let mut told = Vec::with_capacity(3);
        // The clock may have been set while it ran.
        let measured = exit.receipt.as_ref().map(|receipt| receipt.ran_usec / 1_000_000);
        let told_by_clock = || exit.started?.duration_until(exit.finished).as_secs().max(0).try_into().ok();
        let ran: Option<u64> = measured.or_else(told_by_clock);
        told.extend(ran.map(|seconds| ("execDuration", seconds.to_string())));
        told.extend(exit.code.map(|code| ("exitCode", code.to_string())));
        told.extend(again.map(|delay| ("restartDelay", format!("{delay:?}"))));
        self.tell(record, "die", &told);
        self.tell_of_volumes(record, "unmount");
    }

    /// Tells that a container has its volumes mounted, or not any more.
    pub(crate) fn tell_of_volumes(&self, record: &Record, action: &str) {
        for volume in volumes(&record.options) {
            let mut told = vec![("container", record.id.clone())];
            if action == "mount" {
                let writes = volume.access == Access::ReadWrite;
                told.push(("destination", volume.destination.as_str().to_owned()));
                told.extend([("read/write", writes.to_string()), ("propagation", String::new())]);
            }
            self.tell_of_volume(volume.name.as_str(), action, &told);
        }
    }

    /// Tells that what nobody uses of a kind was removed, and how many bytes that were.
    fn tell_of_prune(&self, kind: Kind, bytes: u64) {
        let attributes = BTreeMap::from([("reclaimed".to_owned(), bytes.to_string())]);
        let (action, id) = ("prune".to_owned(), String::new());
        self.journal.add(&self.root, ALL, &Entry { time: Timestamp::now(), kind, action, id, attributes });
    }

    /// Tells of something that has happened to an image: to one with this id, or as what comes and goes by this name.
    pub(crate) fn tell_of_image(&self, (id, name): (&str, &str), action: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        let (kind, action, id) = (Kind::Image, action.to_owned(), id.to_owned());
        self.journal.add(&self.root, ALL, &Entry { time: Timestamp::now(), kind, action, id, attributes });
    }

    /// Tells of something that has happened to a volume.
    pub(crate) fn tell_of_volume(&self, name: &str, action: &str, more: &[Told<'_>]) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let (kind, action, id) = (Kind::Volume, action.to_owned(), name.to_owned());
        self.journal.add(&self.root, ALL, &Entry { time: Timestamp::now(), kind, action, id, attributes });
    }

    /// Tells of something that has happened to a network, and with whom: `container` and its id.
    pub fn tell_network(&self, network: &Network, action: &str, more: &[(&str, String)]) {
        let own = [("name", network.name.clone()), ("type", network.driver.word().to_owned())];
        let attributes = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (kind, action, id) = (Kind::Network, action.to_owned(), network.id.clone());
        self.journal.add(&self.root, ALL, &Entry { time: Timestamp::now(), kind, action, id, attributes });
    }
}

/// Tells of one more process in a container.
#[derive(Debug)]
pub(crate) struct OfProcess<'t> {
    store: &'t Store,
    record: &'t Record,
    /// By which its events belong together; without one nothing is told.
    id: Option<Told<'static>>,
    command: String,
}

impl<'t> OfProcess<'t> {
    /// Of which nothing is told, unless it is said to be [`made`](Self::made).
    pub(crate) const fn untold(store: &'t Store, record: &'t Record) -> Self {
        Self { store, record, id: None, command: String::new() }
    }

    /// It is about to be started; gives its id.
    ///
    /// # Errors
    /// getrandom(2).
    pub(crate) fn made(&mut self, command: &[String]) -> Result<String> {
        let id = crate::names::new_id()?;
        (self.id, self.command) = (Some(("execID", id.clone())), command.join(" "));
        self.tell(&format!("exec_create: {}", self.command), &[]);
        Ok(id)
    }

    /// It runs.
    pub(crate) fn started(&self) {
        self.tell(&format!("exec_start: {}", self.command), &[]);
    }

    /// It has ended with this code.
    pub(crate) fn ended(&self, code: i32) {
        self.tell("exec_die", &[("exitCode", code.to_string())]);
    }

    fn tell(&self, action: &str, more: &[Told<'_>]) {
        let Some(id) = &self.id else { return };
        let told: Vec<Told<'_>> = more.iter().chain([id]).cloned().collect();
        self.store.tell(self.record, action, &told);
    }
}

impl Engine {
    /// What has happened, and happens, to all containers and volumes.
    ///
    /// # Errors
    /// A kernel error.
    pub fn events(&self, from: From) -> Result<Reader> {
        Reader::open(&self.store.root, ALL, from)
    }

    /// What has happened to a container that is there, as far as its diary reaches back.
    ///
    /// # Errors
    /// A kernel error.
    pub fn diary(&self, record: &Record) -> Result<Vec<Entry>> {
        Reader::open(&self.store.container(&record.id), DIARY, From::Beginning)?.read()
    }

    /// Tells what somebody has done with a container, if it is still there.
    pub fn has_done(&self, word: &str, deed: &Deed) {
        if let Ok(container) = self.find(word) {
            self.tell_of_deed(&container.record, deed);
        }
    }

    pub(crate) fn tell_of_deed(&self, record: &Record, deed: &Deed) {
        let (action, more) = deed.told();
        self.store.tell(record, action, &more);
    }

    /// Tells that what nobody uses of a kind was removed, and how many bytes that were.
    pub fn has_pruned(&self, kind: Kind, bytes: u64) {
        self.store.tell_of_prune(kind, bytes);
    }

    /// Tells that a container has been stopped and started again because somebody wanted that.
    ///
    /// # Errors
    /// Refused where there is none any more.
    pub fn has_restarted(&self, word: &str) -> Result<()> {
        let record = self.find(word)?.record;
        self.store.tell(&record, "restart", &[]);
        Ok(())
    }
}
