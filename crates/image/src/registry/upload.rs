//! Blobs on their way into a registry. OCI distribution specification, "Pushing blobs".

use error::{Errno, Error, Refused, Result};
use oci::image::{Descriptor, Digest};
use ureq::http::header::{CONTENT_TYPE, LOCATION};
use ureq::http::{Method, StatusCode, Uri};

use super::answer::Subject;
use super::exchange::{Answer, Ask, Content, Source};
use super::manifest::{pull, push};
use super::{Registry, url};

/// An upload that was begun and waits for its bytes.
struct Begun {
    location: Uri,
}

impl Registry {
    /// Stores a blob. `open` gives its bytes from the beginning, and may be called again where a connection breaks off.
    ///
    /// # Errors
    /// The registry's errors, as for bytes that have another digest.
    pub fn upload(&self, repository: &str, descriptor: &Descriptor, open: Source<'_>) -> Result<()> {
        let mut attempt = 1;
        loop {
            let begun = self.begin(repository)?;
            match self.finish((repository, descriptor), &begun, open) {
                Err(error) if is_broken(&error) && attempt < self.access.patience.attempts => {
                    super::exchange::wait(self.access.patience.wait(attempt, None));
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    fn begin(&self, repository: &str) -> Result<Begun> {
        let url = self.url(&format!("/v2/{repository}/blobs/uploads/"))?;
        let ask = Ask::get(url, push(repository)).method(Method::POST).content(Content::Bytes(b""));
        let answer = self.exchange(&ask)?;
        match answer.status() {
            StatusCode::ACCEPTED => self.begun(&answer),
            _ => Err(self.refused_push(repository, answer)),
        }
    }

    fn begun(&self, answer: &Answer) -> Result<Begun> {
        let said = answer.header(LOCATION);
        if said.is_empty() {
            return Err(Refused::new("the registry", self.host(), "it does not say where it takes a blob").into());
        }
        Ok(Begun { location: self.next(&answer.url, said)? })
    }

    fn finish(&self, (repository, blob): (&str, &Descriptor), begun: &Begun, open: Source<'_>) -> Result<()> {
        let location = url::with_query(&begun.location.to_string(), &[("digest", blob.digest.as_str())]);
        let ask = Ask::get(url::parse(&location)?, push(repository)).method(Method::PUT);
        let ask =
            ask.header(CONTENT_TYPE, "application/octet-stream").content(Content::Stream { size: blob.size, open });
        let answer = self.exchange(&ask)?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(self.refusal(Subject { what: "the blob", name: blob.digest.as_str() }, answer))
    }

    /// Takes a blob over from another repository of the same registry, so that nothing is sent. Gives whether it did: a
    /// registry need not, and then it is uploaded.
    ///
    /// # Errors
    /// The registry's errors.
    pub fn mount(&self, repository: &str, digest: &Digest, from: &str) -> Result<bool> {
        let path =
            format!("/v2/{repository}/blobs/uploads/?{}", url::query(&[("mount", digest.as_str()), ("from", from)]));
        let mut scopes = push(repository);
        scopes.extend(pull(from));
        let ask = Ask::get(self.url(&path)?, scopes).method(Method::POST).content(Content::Bytes(b""));
        let answer = self.exchange(&ask)?;
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                let begun = self.begun(&answer)?;
                // The upload that was begun in its place is not needed; one that stays ends by itself.
                let _ = self.exchange(&Ask::get(begun.location, push(repository)).method(Method::DELETE));
                Ok(false)
            }
            // Not allowed to read the other repository, or it is not there: no reason not to upload.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refused_push(repository, answer)),
        }
    }

    fn refused_push(&self, repository: &str, answer: Answer) -> Error {
        let name = format!("{}/{repository}", self.host());
        self.refusal(Subject { what: "the repository", name: &name }, answer)
    }
}

/// Whether a connection broke off while bytes were sent.
fn is_broken(error: &Error) -> bool {
    let broken = [Errno::PIPE, Errno::CONNRESET, Errno::CONNABORTED, Errno::TIMEDOUT];
    error.errno().is_some_and(|errno| broken.contains(&errno))
}
