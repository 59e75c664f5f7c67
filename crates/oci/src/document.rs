//! Reading a JSON document with errors that name the field: config.json, or a part of it that comes alone.

use error::{Refused, Result};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::object::Strict;

/// Reads a document; `name` is what messages call it.
///
/// # Errors
/// Refused, with the path of the field in the document, its value, and what it should be.
pub fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    read(bytes).map_err(|_| explain::<T>(name, bytes).into())
}

/// Reads a document that holds others of this crate, of which nobody needs to know what is wrong: they are read by the
/// same code as those that come alone.
///
/// # Errors
/// What serde says.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let document = T::deserialize(Strict(&mut reader))?;
    reader.end().map(|()| document)
}

/// Why `bytes` cannot be read. Done apart from reading, since following the path makes reading twice as slow.
fn explain<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Refused {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let (path, error) = match serde_path_to_error::deserialize::<_, T>(Strict(&mut reader)) {
        Err(error) => (Some(error.path().clone()), error.into_inner()),
        Ok(_) => match reader.end() {
            Err(error) => (None, error),
            Ok(()) => return Refused::new(name, "", "is not readable"),
        },
    };
    let message = error.to_string();
    let is_data = error.classify() == Category::Data;
    // What stands where one of several words should is reported as if it were no JSON.
    let is_json = || std::str::from_utf8(bytes).is_ok() && serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    let Some(path) = path.filter(|_| is_data || is_json()) else {
        return Refused::new(name, "", format!("is not JSON: {message}"));
    };
    let field = if path.iter().next().is_none() { name.to_owned() } else { path.to_string() };
    if !is_data {
        return Refused::new(field, value_at(bytes, &path), "is not a word");
    }
    let said = message.rsplit_once(" at line ").map_or(message.as_str(), |(said, _)| said);
    if let Some(missing) = said.strip_prefix("missing field ") {
        let missing = missing.trim_matches('`');
        let field = if field == name { missing.to_owned() } else { format!("{field}.{missing}") };
        return Refused::new(field, "", "is missing");
    }
    let reason = match said.split_once("expected ") {
        Some((_, expected)) => format!("is not {expected}"),
        None => said.to_owned(),
    };
    Refused::new(field, value_at(bytes, &path), reason)
}

/// The value at a path of the document, shortened to what fits a line.
fn value_at(bytes: &[u8], path: &Path) -> String {
    const LONGEST: usize = 60;
    // What is nested too deeply to be shown has been found to be wrong before its end.
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return String::new() };
    let found = path.iter().try_fold(&document, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    });
    let text = found.map(Value::to_string).unwrap_or_default();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
