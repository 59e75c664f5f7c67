//! How the coming of an image is told to programs: the objects of Docker's stream of `POST /images/create`.
//! <https://docs.docker.com/reference/api/engine/>

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use oci::image::Digest;
use serde::Serialize;

use super::{Progress, Step};
use crate::event::Failure;

/// One object of the stream; what does not belong to it is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<Detail>,
    /// Of which layer that is told, by the first digits of its digest, or of which tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why nothing comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Came>,
}

/// How much there is of a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Bytes that are here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Why nothing comes, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetail {
    /// Why.
    pub message: String,
    /// What can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An image that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Came {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: Digest,
    /// The digest that its name has at the registry, where it came from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// Something that happens.
    #[must_use]
    pub fn of(status: impl Into<String>) -> Self {
        Self { status: Some(status.into()), ..Self::default() }
    }

    /// The same, with what it is told of.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// What has become of a layer.
    #[must_use]
    pub fn of_step(layer: &Digest, step: Step) -> Self {
        let detail = match step {
            Step::Downloading { done, total } => Detail { current: Some(done), total: Some(total) },
            _ => Detail::default(),
        };
        let id = layer.hex().get(..12).unwrap_or_default();
        Self { progress_detail: Some(detail), ..Self::of(words(step)).with_id(id) }
    }

    /// Why nothing comes.
    #[must_use]
    pub fn of_failure(failure: &Failure) -> Self {
        let (message, hint) = (failure.message.clone(), failure.hint.clone());
        let error = Some(message.clone());
        Self { error, error_detail: Some(ErrorDetail { message, hint }), ..Self::default() }
    }

    /// What has come.
    #[must_use]
    pub fn of_image(came: Came) -> Self {
        Self { aux: Some(came), ..Self::default() }
    }
}

/// Docker's words for what becomes of a layer.
#[must_use]
pub const fn words(step: Step) -> &'static str {
    match step {
        Step::Listed => "Pulling fs layer",
        Step::Exists => "Already exists",
        Step::Downloading { .. } => "Downloading",
        Step::Downloaded => "Download complete",
        Step::Complete => "Pull complete",
    }
}

/// How often it is told of one layer how much is there.
const SELDOM: Duration = Duration::from_millis(100);

/// Tells whoever is called in messages.
pub struct Messages<F> {
    tell: F,
    told: Mutex<BTreeMap<Digest, Instant>>,
}

impl<F: Fn(&Message) + Sync> Messages<F> {
    /// To this one.
    pub const fn to(tell: F) -> Self {
        Self { tell, told: Mutex::new(BTreeMap::new()) }
    }
}

impl<F: Fn(&Message) + Sync> Progress for Messages<F> {
    fn tell(&self, layer: &Digest, step: Step) {
        if let Step::Downloading { done, total } = step {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let last = told.insert(layer.clone(), Instant::now());
            if let Some(last) = last
                && last.elapsed() < SELDOM
                && done < total
            {
                told.insert(layer.clone(), last);
                return;
            }
        }
        (self.tell)(&Message::of_step(layer, step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_told_of_as_docker_tells() {
        let layer = image::sha256(b"");
        let text = |step| serde_json::to_string(&Message::of_step(&layer, step)).unwrap();
        assert_eq!(text(Step::Listed), r#"{"status":"Pulling fs layer","progressDetail":{},"id":"e3b0c44298fc"}"#);
        assert_eq!(
            text(Step::Downloading { done: 1, total: 2 }),
            r#"{"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"e3b0c44298fc"}"#
        );
        let told = Mutex::new(Vec::new());
        let messages = Messages::to(|message: &Message| told.lock().unwrap().push(message.clone()));
        (1..=1000).for_each(|done| messages.tell(&layer, Step::Downloading { done, total: 1000 }));
        let told = told.lock().unwrap();
        assert!(told.len() < 100 && told.last().unwrap().progress_detail.unwrap().current == Some(1000), "{told:?}");
    }
}
