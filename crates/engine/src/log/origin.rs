//! What the lines of a log say of their container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{Record, short};

/// What is wished to be said: the options `tag`, `labels` and `env` of Docker's logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mentions {
    /// What the container is called in the log: a text with [`TAG_FIELDS`].
    pub tag: Option<String>,
    /// Its labels of these names, where it has them.
    pub labels: Vec<String>,
    /// Its variables of these names, where it has them.
    pub env: Vec<String>,
}

/// What a tag can have in it, in Docker's words.
pub const TAG_FIELDS: [&str; 6] =
    ["{{.ID}}", "{{.FullID}}", "{{.Name}}", "{{.ImageName}}", "{{.ImageID}}", "{{.DaemonName}}"];

/// A container, as far as its log tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name when it was started.
    pub name: String,
    /// What its root was asked for as.
    pub image: String,
    /// What it is called.
    pub tag: String,
    /// What is said of it besides, by name.
    pub attributes: BTreeMap<String, String>,
}

impl Origin {
    /// Of a container.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let mentions = &record.options.mentions;
        let mut attributes = BTreeMap::new();
        for label in &mentions.labels {
            if let Some(value) = record.options.labels.get(label) {
                attributes.insert(label.clone(), value.clone());
            }
        }
        let env = record.config.process.as_ref().map_or(&[][..], |process| process.env.as_slice());
        for (name, value) in env.iter().filter_map(|variable| variable.split_once('=')) {
            if mentions.env.iter().any(|wished| wished == name) {
                attributes.insert(name.to_owned(), value.to_owned());
            }
        }
        let id = short(&record.id).to_owned();
        let tag = mentions.tag.as_ref().map(|tag| {
            let values = [&id, &record.id, &record.name, &record.image, &record.image, "carboy"];
            let filled =
                TAG_FIELDS.iter().zip(values).fold(tag.clone(), |tag, (field, value)| tag.replace(field, value));
            filled.replace(['\n', '\0'], " ")
        });
        if let Some(tag) = &tag {
            attributes.insert("tag".to_owned(), tag.clone());
        }
        let (name, image) = (record.name.clone(), record.image.clone());
        Self { id: record.id.clone(), name, image, tag: tag.unwrap_or(id), attributes }
    }
}
