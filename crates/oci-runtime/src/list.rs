//! `state` and `list`: what containers there are and how they are, with the fields of runc's output.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use error::{Error, Refused, Result};
use oci::Status;
use serde_json::{Value, json};

use crate::arguments::Invocation;
use crate::container::{pretty, status, status_word};
use crate::create::OCI_VERSION;
use crate::report::{self, Log};
use crate::store::{Record, Store};

/// The heading of the table.
const HEADING: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
/// What a column of the table is at least wide, and what stands between two.
const WIDTH: usize = 12;
const SPACE: usize = 3;

/// How the containers are listed, and the processes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Table,
    Json,
}

impl Form {
    /// The one that `--format` names.
    ///
    /// # Errors
    /// Refused for any other.
    pub(crate) fn of(invocation: &Invocation) -> Result<Self> {
        match invocation.value("format") {
            None | Some("table") => Ok(Self::Table),
            Some("json") => Ok(Self::Json),
            Some(other) => Err(Refused::new("--format", other, "is no format").hint("use table or json").into()),
        }
    }
}

/// `state`.
///
/// # Errors
/// Refused where there is none; a kernel error.
pub(crate) fn state(store: &Store, invocation: &Invocation) -> Result<()> {
    let record = store.record(invocation.id()?)?;
    report::line(&pretty(&document(store, &record)))
}

/// `list`.
///
/// # Errors
/// A kernel error where the containers cannot be listed. One that cannot be read is told of and left out.
pub(crate) fn list(store: &Store, invocation: &Invocation, log: &Log) -> Result<()> {
    let form = Form::of(invocation)?;
    let mut records = Vec::new();
    for id in store.ids()? {
        match store.record(&id) {
            Ok(record) => records.push(record),
            // It is just being made, or removed.
            Err(Error::Refused(_)) => {}
            Err(error) => log.warning(&report::words(&error)),
        }
    }
    if invocation.has("quiet") {
        return records.iter().try_for_each(|record| report::line(&record.id));
    }
    match form {
        Form::Json => {
            let documents = records.iter().map(|record| document(store, record));
            report::line(&Value::Array(documents.collect()).to_string())
        }
        Form::Table => table(store, &records),
    }
}

fn document(store: &Store, record: &Record) -> Value {
    let mut document = json!({
        "ociVersion": OCI_VERSION,
        "id": record.id,
        "pid": pid(store, record),
        "status": status_word(store, record),
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created.to_string(),
        "owner": owner(store, record),
    });
    if let Some(fields) = document.as_object_mut().filter(|_| !record.config.annotations.is_empty()) {
        fields.insert("annotations".to_owned(), json!(record.config.annotations));
    }
    document
}

fn pid(store: &Store, record: &Record) -> i32 {
    let stopped = status(store, record) == Status::Stopped;
    record.process.filter(|_| !stopped).map_or(0, |process| process.pid)
}

/// Who made the container: whom its folder belongs to.
fn owner(store: &Store, record: &Record) -> String {
    let uid = fs::metadata(store.root().join(&record.id)).map_or(0, |folder| folder.uid()).to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    let name = found.and_then(|line| line.split(':').next());
    name.map_or_else(|| format!("#{uid}"), str::to_owned)
}

fn table(store: &Store, records: &[Record]) -> Result<()> {
    let mut rows = vec![HEADING.map(str::to_owned)];
    rows.extend(records.iter().map(|record| {
        let (pid, status) = (pid(store, record).to_string(), status_word(store, record).to_owned());
        [record.id.clone(), pid, status, record.bundle.clone(), record.created.to_string(), owner(store, record)]
    }));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADING.len()).map(|column| WIDTH.max(width(column) + SPACE)).collect();
    rows.iter().try_for_each(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        report::line(cells.collect::<String>().trim_end())
    })
}
