//! Labels: `--label` and the lines of `--label-file`, as Docker has them.

use std::collections::BTreeMap;

use error::{Doing, Refused, Result};

use crate::flags::Given;

/// `KEY=VALUE`, or `KEY` with nothing on it.
pub(crate) fn label(given: Given<'_>) -> Result<(String, String)> {
    let (key, value) = given.value.split_once('=').unwrap_or((given.value, ""));
    if key.is_empty() {
        return Err(given.refused("has no key").hint("use KEY=VALUE or KEY").into());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// What a label of something must be for it to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labelled {
    /// Whether it is to be there.
    there: bool,
    name: String,
    /// Its value, where one is given.
    value: Option<String>,
}

impl Labelled {
    /// Of the filters `label=NAME`, `label=NAME=VALUE`, `label!=…`; `None` of others.
    pub(crate) fn of_filter(filter: &str, text: &str) -> Option<Self> {
        let there = match filter {
            "label" => true,
            "label!" => false,
            _ => return None,
        };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        Some(Self { there, name: name.to_owned(), value })
    }

    /// Whether something with these labels is meant.
    pub(crate) fn holds_for(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.name);
        let there = found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found));
        there == self.there
    }
}

/// The labels of a file: one a line; empty lines and those that begin with # do not count.
pub(crate) fn file(given: Given<'_>) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read(given.value).doing(|| format!("read --{} {}", given.flag, given.value))?;
    let mut labels = BTreeMap::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let refused =
            |reason: &str| Refused::new(format!("--{} {} line {}", given.flag, given.value, index + 1), "", reason);
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line));
        let line = line.map_err(|_| refused("it is not valid UTF-8"))?.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key.is_empty() {
            return Err(refused("it has no key before the =").into());
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("carboy-labels-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let read = file(Given { flag: "label-file", value: path.to_str().unwrap() });
        std::fs::remove_file(&path).unwrap();
        read.map_or_else(|error| error.to_string().replace(path.to_str().unwrap(), "F"), |labels| format!("{labels:?}"))
    }

    #[test]
    fn a_file_has_a_label_a_line() {
        assert_eq!(read(b"# no\n\n a=1\r\nb\nc= x=y "), r#"{"a": "1", "b": "", "c": " x=y "}"#);
        assert_eq!(read(b"a=1\n=2"), "cannot use --label-file F line 2: it has no key before the =");
        assert_eq!(read(b"a=\xff"), "cannot use --label-file F line 1: it is not valid UTF-8");
    }
}
