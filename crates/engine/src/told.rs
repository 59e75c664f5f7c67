//! What is told of containers, images, volumes and networks when something happens to them: Docker's words and attributes where it has them.

use std::collections::BTreeMap;
use std::time::Duration;

use error::Result;
use jiff::Timestamp;

use crate::containers::Engine;
use crate::journal::{ALL, DIARY, Entry, From, Journal, Kind, Reader};
use crate::network::Network;
use crate::record::{Exit, Record};
use crate::store::Store;

/// A name, and what there is to tell by it.
pub(crate) type Told<'t> = (&'t str, String);

/// What happens so often that it would leave no room for the rest in a container's own diary.
const NOT_OF_ITS_LIFE: [&str; 2] = ["exec_", "attach"];

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
    }

    /// Tells of something that has happened to an image: to one with this id, or as what comes and goes by this name.
    pub(crate) fn tell_of_image(&self, (id, name): (&str, &str), action: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        let (kind, action, id) = (Kind::Image, action.to_owned(), id.to_owned());
        self.journal.add(&self.root, ALL, &Entry { time: Timestamp::now(), kind, action, id, attributes });
    }

    /// Tells of something that has happened to a volume.
    pub(crate) fn tell_of_volume(&self, name: &str, action: &str) {
        let attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
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

    /// It is about to be started.
    ///
    /// # Errors
    /// getrandom(2).
    pub(crate) fn made(&mut self, command: &[String]) -> Result<()> {
        (self.id, self.command) = (Some(("execID", crate::names::new_id()?)), command.join(" "));
        self.tell(&format!("exec_create: {}", self.command), &[]);
        Ok(())
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
