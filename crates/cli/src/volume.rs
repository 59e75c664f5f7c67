//! `volume`: what there is of volumes, and what can be done with them. Output as Docker's.

use std::collections::BTreeMap;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::journal;
use engine::options::Traits;
use engine::volume::Volume;
use error::{Error, RefusedKind, Result};
use serde_json::{Value, json};

use crate::documents::{Documents, NO_TEMPLATE};
use crate::format::{Format, Rows};
use crate::list::each;
use crate::prune::{Freed, agreed};
use crate::report;
use crate::template::Data;
use crate::volume_flags::{Filter, Inspect, List, Prune, Remove, Volume as Asked};

/// Docker's word for who keeps carboy's volumes, and where they are known.
pub(crate) const DRIVER: &str = "local";

/// `carboy volume`.
pub(crate) fn run(engine: &Engine, asked: &Asked) -> Result<ExitCode> {
    match asked {
        Asked::Create(name, traits) => create(engine, name.as_deref(), traits),
        Asked::List(list) => self::list(engine, list),
        Asked::Inspect(asked) => Ok(inspect(engine, asked)),
        Asked::Remove(asked) => Ok(remove(engine, asked)),
        Asked::Prune(asked) => prune(engine, asked),
    }
}

fn create(engine: &Engine, name: Option<&str>, traits: &Traits) -> Result<ExitCode> {
    match engine.create_volume(name, traits) {
        Ok(volume) => {
            report::line(&volume.name);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(failed(&error)),
    }
}

/// Docker's exit code where the daemon refuses.
fn failed(error: &Error) -> ExitCode {
    report::error(error);
    ExitCode::FAILURE
}

const ROWS: Rows = Rows {
    table: "{{.Driver}}\t{{.Name}}",
    raw: "name: {{.Name}}\ndriver: {{.Driver}}\n",
    fields: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
        ("Group", "GROUP"),
        ("Availability", "AVAILABILITY"),
    ],
};

/// Docker's word for what only a cluster or `system df` tells of.
const NOT_TOLD: &str = "N/A";

fn list(engine: &Engine, asked: &List) -> Result<ExitCode> {
    let source = match (asked.format.as_str(), asked.quiet) {
        ("raw", true) => "name: {{.Name}}",
        (_, true) => "{{.Name}}",
        (format, false) => format,
    };
    let format = match Format::new(source, &ROWS) {
        Err(error) => return Ok(failed(&error)),
        format => format?,
    };
    let mut rows = String::new();
    for volume in volumes(engine)? {
        if !is_meant(engine, &volume, &asked.filters)? {
            continue;
        }
        let labels = labels(&volume);
        let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let value = json!({
            "Name": volume.name,
            "Driver": DRIVER,
            "Scope": DRIVER,
            "Mountpoint": engine.mountpoint(&volume),
            "Labels": shown.join(","),
            "Links": NOT_TOLD,
            "Size": NOT_TOLD,
            "Status": NOT_TOLD,
            "Group": NOT_TOLD,
            "Availability": NOT_TOLD,
        });
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        rows.push_str(&format.row(Data { value: &value, methods: &[("Label", &label)] })?);
    }
    report::text(&format.whole(&rows));
    Ok(ExitCode::SUCCESS)
}

/// Its labels, with the one that Docker puts on what nobody has named.
fn labels(volume: &Volume) -> BTreeMap<String, String> {
    let mut labels = volume.traits.labels.clone();
    if volume.anonymous {
        labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
    }
    labels
}

/// Those that can be told of; of the others it is said what is wrong.
fn volumes(engine: &Engine) -> Result<Vec<Volume>> {
    let found = engine.volumes()?;
    found.damaged.iter().for_each(report::error);
    Ok(found.whole)
}

fn is_meant(engine: &Engine, volume: &Volume, filters: &[Filter]) -> Result<bool> {
    for filter in filters {
        let meant = match filter {
            Filter::Dangling(wanted) => engine.volume_users(volume)?.is_empty() == *wanted,
            Filter::Driver(driver) => driver == DRIVER,
            Filter::Label(labelled) => labelled.holds_for(&volume.traits.labels),
            Filter::Name(part) => volume.name.contains(part.as_str()),
        };
        if !meant {
            return Ok(false);
        }
    }
    Ok(true)
}

fn inspect(engine: &Engine, asked: &Inspect) -> ExitCode {
    let mut documents = match Documents::new(&asked.format) {
        Ok(documents) => documents,
        Err(error) => {
            report::error(&error);
            return ExitCode::from(NO_TEMPLATE);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for name in &asked.names {
        let added = engine.find_volume(name).and_then(|volume| documents.add(document(engine, &volume)));
        if let Err(error) = added {
            code = failed(&error);
        }
    }
    documents.show();
    code
}

fn document(engine: &Engine, volume: &Volume) -> Value {
    let Volume { name, created, traits, .. } = volume;
    let or_null = |pairs: &BTreeMap<String, String>| if pairs.is_empty() { Value::Null } else { json!(pairs) };
    json!({
        "CreatedAt": created.to_string(),
        "Driver": DRIVER,
        "Labels": or_null(&labels(volume)),
        "Mountpoint": engine.mountpoint(volume),
        "Name": name,
        "Options": or_null(&traits.options),
        "Scope": DRIVER,
    })
}

fn remove(engine: &Engine, asked: &Remove) -> ExitCode {
    let is_gone = |error: &Error| matches!(error, Error::Refused(refused) if refused.kind == RefusedKind::NoSuchObject);
    each(
        &asked.names,
        |name| match engine.remove_volume(name) {
            Err(error) if asked.force && is_gone(&error) => Ok(()),
            removed => removed,
        },
        |_| false,
    )
}

fn prune(engine: &Engine, asked: &Prune) -> Result<ExitCode> {
    let (which, kind) = if asked.all { ("all", Kind::Any) } else { ("anonymous", Kind::Anonymous) };
    let question = format!("WARNING! This will remove {which} local volumes not used by at least one container.");
    if !asked.force && !agreed(&question) {
        return Ok(ExitCode::SUCCESS);
    }
    let mut freed = Freed::default();
    freed.volumes(engine, kind, &asked.filters)?;
    Ok(freed.told())
}

/// Which volumes go that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Those that nobody has given a name.
    Anonymous,
    /// All.
    Any,
}

impl Freed {
    /// Removes the volumes that no container uses.
    pub(crate) fn volumes(&mut self, engine: &Engine, kind: Kind, filters: &[Filter]) -> Result<()> {
        let mut removed = Vec::new();
        let before = self.bytes;
        for volume in volumes(engine)? {
            let wanted = volume.anonymous || kind == Kind::Any;
            if !wanted || !is_meant(engine, &volume, filters)? || !engine.volume_users(&volume)?.is_empty() {
                continue;
            }
            let bytes = engine.volume_bytes(&volume)?;
            if self.takes(engine.remove_volume(&volume.name), bytes) {
                removed.push(volume.name);
            }
        }
        self.removed("Volumes", &removed);
        engine.has_pruned(journal::Kind::Volume, self.bytes - before);
        Ok(())
    }
}
