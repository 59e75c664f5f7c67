//! Manifests: what a tag or a digest stands for. OCI distribution specification, "Pulling manifests", "Pushing Manifests".

use error::{Refused, Result};
use oci::image::{Digest, media};
use ureq::http::header::{ACCEPT, CONTENT_TYPE};
use ureq::http::{Method, StatusCode};

use super::Registry;
use super::answer::Subject;
use super::exchange::{Answer, Ask, Content};
use crate::reference::{DEFAULT_TAG, Reference};
use crate::sha256;

/// The largest manifest, in bytes: the specification's own limit.
const LARGEST: usize = 4 << 20;

/// What is wanted of a repository.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// What this tag stands for now.
    Tag(&'a str),
    /// What has this digest.
    Digest(&'a Digest),
}

/// A document that a registry gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Which kind of document it is said to be, without parameters; empty where the registry does not say.
    pub media_type: String,
    /// It itself, as it came.
    pub bytes: Vec<u8>,
    /// The digest of these bytes, which is the one that was asked for, if one was.
    pub digest: Digest,
}

impl<'a> Wanted<'a> {
    /// What a name asks for: its digest, or else its tag.
    #[must_use]
    pub fn of(name: &'a Reference) -> Self {
        match (&name.digest, &name.tag) {
            (Some(digest), _) => Self::Digest(digest),
            (None, tag) => Self::Tag(tag.as_deref().unwrap_or(DEFAULT_TAG)),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }

    /// Its name behind a repository's.
    fn name(&self, host: &str, repository: &str) -> String {
        let mark = if matches!(self, Self::Tag(_)) { ':' } else { '@' };
        format!("{host}/{repository}{mark}{}", self.text())
    }
}

/// The scope of reading a repository.
pub(super) fn pull(repository: &str) -> Vec<String> {
    vec![format!("repository:{repository}:pull")]
}

/// The scope of writing to it.
pub(super) fn push(repository: &str) -> Vec<String> {
    vec![format!("repository:{repository}:pull,push")]
}

impl Registry {
    /// A manifest or an index; `accept` are the media types that will do, all known ones where there are none.
    ///
    /// # Errors
    /// Refused for one that is not there, is too large, or has another digest; the registry's other errors.
    pub fn manifest(&self, repository: &str, wanted: Wanted<'_>, accept: &[&str]) -> Result<Fetched> {
        let name = wanted.name(self.host(), repository);
        let subject = Subject { what: "the image", name: &name };
        let mut answer = self.ask_for_manifest(Method::GET, repository, wanted, accept)?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(subject, answer));
        }
        let bytes = answer.bytes(LARGEST)?;
        let digest = sha256(&bytes);
        let refused = |reason: String| Refused::new("the image", name.as_str(), reason);
        if let Wanted::Digest(wanted) = wanted
            && *wanted != digest
        {
            let reason = format!("what the registry gives has the digest {digest}");
            return Err(refused(reason).hint("the registry, or a server on the way to it, is damaged").into());
        }
        let media_type = media::bare(answer.header(CONTENT_TYPE)).to_owned();
        Ok(Fetched { media_type, bytes, digest })
    }

    /// The digest of a manifest, without the manifest; `None` where there is none of that name.
    ///
    /// # Errors
    /// The registry's errors; Refused where it does not say the digest.
    pub fn digest(&self, repository: &str, wanted: Wanted<'_>) -> Result<Option<Digest>> {
        let name = wanted.name(self.host(), repository);
        let answer = self.ask_for_manifest(Method::HEAD, repository, wanted, &[])?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => match answer.header("docker-content-digest") {
                "" => Ok(Some(self.manifest(repository, wanted, &[])?.digest)),
                digest => digest.parse().map(Some),
            },
            _ => Err(self.refusal(Subject { what: "the image", name: &name }, answer)),
        }
    }

    fn ask_for_manifest(
        &self,
        method: Method,
        repository: &str,
        wanted: Wanted<'_>,
        accept: &[&str],
    ) -> Result<Answer> {
        let url = self.url(&format!("/v2/{repository}/manifests/{}", wanted.text()))?;
        let accept = if accept.is_empty() { media::DOCUMENTS.join(", ") } else { accept.join(", ") };
        self.exchange(&Ask::get(url, pull(repository)).method(method).header(ACCEPT, accept))
    }

    /// Stores a manifest under a tag or its digest. Gives its digest.
    ///
    /// # Errors
    /// The registry's errors, as for a blob of it that is missing.
    pub fn put_manifest(
        &self,
        repository: &str,
        wanted: Wanted<'_>,
        (media_type, bytes): (&str, &[u8]),
    ) -> Result<Digest> {
        let name = wanted.name(self.host(), repository);
        let url = self.url(&format!("/v2/{repository}/manifests/{}", wanted.text()))?;
        let ask = Ask::get(url, push(repository)).method(Method::PUT).header(CONTENT_TYPE, media_type);
        let answer = self.exchange(&ask.content(Content::Bytes(bytes)))?;
        if !answer.status().is_success() {
            return Err(self.refusal(Subject { what: "the image", name: &name }, answer));
        }
        let digest = sha256(bytes);
        match answer.header("docker-content-digest") {
            said if said.is_empty() || said == digest.as_str() => Ok(digest),
            said => {
                let said = super::answer::shown(said);
                let refused = Refused::new("the image", name, format!("the registry stored it as {said}"));
                Err(refused.hint("the registry, or a server on the way to it, changes what it is sent").into())
            }
        }
    }

    /// Removes a manifest, with all tags that stand for it.
    ///
    /// # Errors
    /// The registry's errors: many do not allow it.
    pub fn delete_manifest(&self, repository: &str, digest: &Digest) -> Result<()> {
        let name = Wanted::Digest(digest).name(self.host(), repository);
        let url = self.url(&format!("/v2/{repository}/manifests/{digest}"))?;
        let scopes = vec![format!("repository:{repository}:delete")];
        let answer = self.exchange(&Ask::get(url, scopes).method(Method::DELETE))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::METHOD_NOT_ALLOWED => {
                let refused = Refused::new("the image", name, "the registry removes nothing");
                Err(refused.hint("docker-registry does with storage.delete.enabled").into())
            }
            _ => Err(self.refusal(Subject { what: "the image", name: &name }, answer)),
        }
    }
}
