//! `see`: what is isolated from what, and which limits hold, for every container on the host, whoever runs it.
//!
//! Exit codes: 0 found, 1 not found or not to be read, 2 a command line that cannot be.

pub(crate) mod compare;
mod list;
mod network;
mod over;
mod page;
mod passport;
mod picture;
mod story;
mod thing;
pub(crate) mod why;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use error::{Corrupt, Doing, Error, Refused, RefusedKind, Result};
use inspect::Snapshot;
use inspect::find::{self, Found};
use inspect::snapshot::VERSION;
use inspect::source::{self, Scope};
use serde_json::{Value, json};

use crate::report;
use crate::see::list::Rows;
use crate::see::page::Page;

/// How what was found is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// In lines, for people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// As a picture.
    Svg,
}

/// What `see` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct See {
    /// Whether every sandbox and every namespace is shown, not only containers.
    pub(crate) all: bool,
    /// Whether namespaces are listed in place of containers.
    pub(crate) namespaces: bool,
    /// How it is shown.
    pub(crate) form: Form,
    /// Whether it goes on until it is interrupted.
    pub(crate) watch: bool,
    /// The snapshot to look at in place of this host.
    pub(crate) from: Option<PathBuf>,
    /// What to show in full.
    pub(crate) what: Option<String>,
}

/// How long it stands between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Nothing was found, or it could not be looked for.
const NOT_FOUND: u8 = 1;
/// The command line cannot be.
pub(crate) const USAGE: u8 = 2;

/// `carboy see`; `roots` are the folders of carboy's state.
pub(crate) fn run(see: &See, roots: &[PathBuf]) -> ExitCode {
    ended(shown(see, roots))
}

fn ended(shown: Result<()>) -> ExitCode {
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            let is_usage = matches!(&error, Error::Refused(refused) if refused.kind == RefusedKind::Invalid);
            ExitCode::from(if is_usage { USAGE } else { NOT_FOUND })
        }
    }
}

fn shown(see: &See, roots: &[PathBuf]) -> Result<()> {
    if let Some(what) = &see.what {
        // What is no question is told before anything is read.
        find::parse(what)?;
    }
    if see.watch && (see.form == Form::Svg || see.from.is_some()) {
        let refused = Refused::new("--watch", "", "is for what changes, and neither a picture nor a snapshot does");
        return Err(refused.hint("leave it out, or --svg and --from").into());
    }
    let words: Vec<&str> = see.what.iter().map(String::as_str).collect();
    let scope = match see {
        See { all: false, namespaces: true, form: Form::Text, .. } => Scope::Namespaces,
        See { all: false, what: None, form: Form::Text, .. } => Scope::Containers,
        See { all: false, what: Some(_), .. } => Scope::About(&words),
        _ => Scope::Everything,
    };
    let mut was_seen = false;
    loop {
        let snapshot = match &see.from {
            Some(path) => load(path)?,
            None => source::take(scope, roots)?,
        };
        let is_read = match &see.what {
            None => host(see, &snapshot),
            Some(what) => match things(see, &snapshot, what) {
                // What was watched has ended.
                Err(Error::Refused(refused)) if was_seen && refused.kind == RefusedKind::NoSuchObject => return Ok(()),
                is_read => is_read?,
            },
        };
        if !see.watch || !is_read {
            return Ok(());
        }
        was_seen = true;
        std::thread::sleep(INTERVAL);
    }
}

/// Prints a page; gives whether there is still a reader.
fn print(see: &See, page: &Page) -> bool {
    if see.watch {
        return page.print_anew();
    }
    page.print();
    true
}

/// The host as a whole; gives whether there is still a reader.
fn host(see: &See, snapshot: &Snapshot) -> bool {
    let rows = if see.all { Rows::All } else { Rows::Containers };
    match see.form {
        Form::Json => print_json(snapshot),
        Form::Svg => {
            report::line(&picture::matrix::draw(snapshot, list::shown(snapshot, rows)));
            true
        }
        Form::Text => {
            let mut page = Page::new();
            if see.namespaces {
                list::namespaces(&mut page, snapshot);
            } else {
                list::containers(&mut page, snapshot, rows);
            }
            if see.all {
                list::without_process(&mut page, snapshot);
            }
            list::blind(&mut page, snapshot);
            print(see, &page)
        }
    }
}

/// What a word finds.
fn things(see: &See, snapshot: &Snapshot, what: &str) -> Result<bool> {
    let found = find::find(snapshot, what)?;
    Ok(match see.form {
        Form::Json => {
            let documents: Vec<Value> = found.iter().map(|one| document(snapshot, *one)).collect();
            let document =
                json!({"version": VERSION, "at_msec": snapshot.at_msec, "found": documents, "blind": snapshot.blind});
            // Of several, each is one line.
            let text = if see.watch { Ok(document.to_string()) } else { serde_json::to_string_pretty(&document) };
            report::written(|out| writeln!(out, "{}", text.unwrap_or_default()))
        }
        Form::Svg => {
            report::line(&drawn(snapshot, what, &found)?);
            true
        }
        Form::Text => {
            let mut page = Page::new();
            for (number, one) in found.iter().enumerate() {
                if number > 0 {
                    page.gap();
                }
                text(&mut page, snapshot, *one);
            }
            list::blind(&mut page, snapshot);
            print(see, &page)
        }
    })
}

/// The picture of the one container or process that was found.
fn drawn(snapshot: &Snapshot, what: &str, found: &[Found]) -> Result<String> {
    let one = match found {
        [Found::Container(index)] => snapshot.containers.get(*index).cloned(),
        [Found::Process(index) | Found::Member(index)] => snapshot.alone(*index),
        _ => None,
    };
    let Some(one) = one else {
        let refused =
            Refused::new("--svg", what, "it draws one container or one process, or without WHAT who shares what");
        return Err(refused.hint(format!("carboy see {what} shows it in lines")).into());
    };
    Ok(picture::passport::draw(snapshot, &one))
}

fn text(page: &mut Page, snapshot: &Snapshot, found: Found) {
    match found {
        Found::Container(index) => {
            if let Some(container) = snapshot.containers.get(index) {
                passport::text(page, snapshot, container);
            }
        }
        Found::Process(index) | Found::Member(index) => {
            if let Some(process) = snapshot.processes.get(index) {
                passport::of_process(page, snapshot, index, process);
            }
        }
        Found::Namespace(index) => thing::namespace(page, snapshot, index),
        Found::Group(index) => thing::group(page, snapshot, index),
    }
}

fn document(snapshot: &Snapshot, found: Found) -> Value {
    match found {
        Found::Container(index) => {
            snapshot.containers.get(index).map_or(Value::Null, |container| passport::document(snapshot, container))
        }
        Found::Process(index) | Found::Member(index) => {
            snapshot.alone(index).map_or(Value::Null, |process| passport::document(snapshot, &process))
        }
        Found::Namespace(index) => json!({"kind": "namespace", "namespace": snapshot.namespaces.get(index)}),
        Found::Group(index) => json!({"kind": "group", "group": snapshot.groups.get(index)}),
    }
}

/// A snapshot is long: its text is never in memory as a whole.
fn print_json(snapshot: &Snapshot) -> bool {
    report::written(|out| {
        serde_json::to_writer(&mut *out, snapshot)?;
        writeln!(out)
    })
}

/// No snapshot of a host is longer.
const LONGEST: u64 = 1 << 30;

fn load(path: &Path) -> Result<Snapshot> {
    let action = || format!("read {}", path.display());
    let mut text = Vec::new();
    File::open(path).doing(action)?.take(LONGEST).read_to_end(&mut text).doing(action)?;
    let corrupt = |reason: String| Corrupt::new(path.display().to_string(), reason);
    let version = match serde_json::from_slice::<Value>(&text) {
        Err(error) => return Err(corrupt(format!("is no snapshot of carboy see --json: {error}")).into()),
        Ok(value) => value.get("version").and_then(Value::as_u64),
    };
    match version {
        None => Err(corrupt("is no snapshot of carboy see --json".to_owned()).into()),
        Some(version) if version != u64::from(VERSION) => {
            Err(corrupt(format!("has the form {version}, and this carboy knows {VERSION}")).into())
        }
        Some(_) => Ok(serde_json::from_slice(&text).map_err(|error| corrupt(wrong_field(&text, &error)))?),
    }
}

/// Which field of a snapshot is not as it should be.
fn wrong_field(text: &[u8], error: &serde_json::Error) -> String {
    match oci::document::parse::<Snapshot>("the document", text) {
        Err(Error::Refused(refused)) if refused.value.is_empty() => {
            format!("is no snapshot: {} {}", refused.field, refused.reason)
        }
        Err(Error::Refused(refused)) => {
            format!("is no snapshot: {} is {} and {}", refused.field, refused.value, refused.reason)
        }
        _ => format!("is no snapshot: {error}"),
    }
}
