//! `update`: other limits for a container while it runs, all of them or none.

use std::io::Read as _;

use cgroup::change::{self, Now, Wishes};
use cgroup::{GroupPath, Groups, Hierarchies};
use error::{Doing, Result};
use oci::Resources;
use serde_json::{Map, Value};

use crate::arguments::{Invocation, LIMITS};
use crate::container;
use crate::place;
use crate::store::Store;

/// `update`.
///
/// # Errors
/// Refused, naming the field, for limits that cannot be had and for what the container is already beyond; a kernel error,
/// after which everything is as before.
pub(crate) fn update(store: &Store, invocation: &Invocation) -> Result<()> {
    let (held, mut record) = store.hold(invocation.id()?)?;
    container::running(store, &record)?;
    let asked = asked(invocation)?;
    let former = record.config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let merged = former.merged(&asked);
    let path = GroupPath::parse("the recorded group", &record.group)?;
    let hierarchies = Hierarchies::read()?.of_container(&path)?;
    let mut groups = Groups::open(&hierarchies, &path)?;
    let mut now = Now::read(&hierarchies, &groups)?;
    now.facts.systemd = place::recorded(&record)?;
    let wishes = Wishes { former: &former, asked: &asked, merged: &merged, unasked: &[] };
    groups.change(&change::plan(&hierarchies, &path, &now, &wishes)?)?;
    record.config.linux.get_or_insert_default().resources = Some(merged);
    held.write(&record)
}

/// What `--resources` holds, with the single limits in place of its own.
fn asked(invocation: &Invocation) -> Result<Resources> {
    let mut document = match invocation.value("resources") {
        None => Value::Object(Map::new()),
        Some(path) => {
            let mut text = Vec::new();
            let read = match path {
                "-" => std::io::stdin().read_to_end(&mut text),
                path => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text)),
            };
            read.doing(|| format!("read the resources {path}"))?;
            oci::document::parse("resources", &text)?
        }
    };
    for (flag, [controller, name]) in LIMITS {
        let Some(value) = invocation.value(flag) else { continue };
        let value = match value.parse::<i64>() {
            Ok(number) if !flag.starts_with("cpuset") => Value::from(number),
            _ => Value::from(value),
        };
        if let Some(fields) = document.as_object_mut() {
            let room = fields.entry(*controller).or_insert_with(|| Value::Object(Map::new()));
            if let Some(room) = room.as_object_mut() {
                room.insert((*name).to_owned(), value);
            }
        }
    }
    oci::document::parse("resources", document.to_string().as_bytes())
}
