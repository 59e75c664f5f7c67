//! Blobs: layers and configurations, as a stream that goes on where a connection broke off. OCI distribution specification,
//! "Pulling blobs"; RFC 9110, section 14.

use std::io::{self, Read};

use error::{Error, Refused, Result};
use oci::image::{Descriptor, Digest};
use ureq::BodyReader;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{Method, StatusCode, Uri};

use super::Registry;
use super::answer::{self, Subject};
use super::exchange::{Answer, Ask};
use super::manifest::pull;

/// Bytes after which a connection that breaks off counts as a new fault, not as the same again.
const PROGRESS: u64 = 1 << 20;

/// A blob's bytes, from [`Blob::start`] up to its size. They are not verified here: who stores them hashes them.
///
/// A connection that breaks off is followed by another one. An error of the last one is an [`Error`] within the
/// [`io::Error`].
pub struct Blob<'r> {
    registry: &'r Registry,
    repository: String,
    digest: Digest,
    size: u64,
    start: u64,
    /// The position of the next byte.
    at: u64,
    body: BodyReader<'static>,
    url: Uri,
    /// The attempts that are left, and where the position was when one failed last.
    attempts: u32,
    failed_at: u64,
}

impl Registry {
    /// A blob, from this position on if the registry can do that, else from its beginning.
    ///
    /// # Errors
    /// Refused for one that is not there or has another size than its descriptor says; the registry's other errors.
    pub fn blob(&self, repository: &str, descriptor: &Descriptor, from: u64) -> Result<Blob<'_>> {
        let (answer, start) = self.part(repository, (&descriptor.digest, descriptor.size), from)?;
        Ok(Blob {
            registry: self,
            repository: repository.to_owned(),
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            start,
            at: start,
            url: answer.url,
            body: answer.response.into_body().into_reader(),
            attempts: self.access.patience.attempts,
            failed_at: start,
        })
    }

    /// An answer with a blob's bytes, and the position of the first of them.
    fn part(&self, repository: &str, (digest, size): (&Digest, u64), from: u64) -> Result<(Answer, u64)> {
        let from = if from < size { from } else { 0 };
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"))?;
        let mut ask = Ask::get(url, pull(repository));
        if from > 0 {
            ask = ask.header(RANGE, format!("bytes={from}-"));
        }
        let mut answer = self.exchange(&ask)?;
        if from > 0 && answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            let url = ask.url.clone();
            answer = self.exchange(&Ask::get(url, pull(repository)))?;
        }
        let refused = |reason: String| Refused::new("the blob", digest.as_str(), reason);
        let start = match answer.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => match start(answer.header(CONTENT_RANGE)) {
                Some(start) if start <= from => start,
                Some(_) | None => return Err(refused("the registry gives another part of it".into()).into()),
            },
            _ => return Err(self.refusal(Subject { what: "the blob", name: digest.as_str() }, answer)),
        };
        let length: Option<u64> = answer.header(CONTENT_LENGTH).parse().ok();
        match length {
            Some(length) if start.saturating_add(length) != size => {
                let is = start.saturating_add(length);
                Err(refused(format!("it has {is} bytes at {}, and {size} by its manifest", self.host())).into())
            }
            Some(_) | None => Ok((answer, start)),
        }
    }

    /// Whether the registry has a blob.
    ///
    /// # Errors
    /// The registry's errors.
    pub fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"))?;
        let answer = self.exchange(&Ask::get(url, pull(repository)).method(Method::HEAD))?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal(Subject { what: "the blob", name: digest.as_str() }, answer)),
        }
    }
}

/// The first position of `bytes FIRST-LAST/SIZE`.
fn start(range: &str) -> Option<u64> {
    range.trim().strip_prefix("bytes")?.trim_start().split_once('-')?.0.trim().parse().ok()
}

impl Blob<'_> {
    /// The position of the first byte that is read: the one that was asked for, or 0.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Goes on at the same position with another connection; `error` is given back where that is of no use any more.
    fn resume(&mut self, error: io::Error) -> io::Result<()> {
        let patience = self.registry.access.patience;
        if self.at.saturating_sub(self.failed_at) >= PROGRESS {
            self.attempts = patience.attempts;
        }
        self.failed_at = self.at;
        self.attempts = self.attempts.saturating_sub(1);
        if self.attempts == 0 {
            return Err(io::Error::other(answer::cut(&self.url, error)));
        }
        super::exchange::wait(patience.wait(patience.attempts.saturating_sub(self.attempts + 1), None));
        let part = self.registry.part(&self.repository, (&self.digest, self.size), self.at);
        let (answer, start) = part.map_err(io::Error::other)?;
        self.url = answer.url;
        self.body = answer.response.into_body().into_reader();
        // What came before comes again from a registry that gives no parts.
        let again = self.at.saturating_sub(start);
        match io::copy(&mut self.body.by_ref().take(again), &mut io::sink()) {
            Ok(passed) if passed == again => Ok(()),
            // The next read fails at once, and that counts.
            Ok(_) | Err(_) => {
                self.body = ureq::Body::builder().data([]).into_reader();
                Ok(())
            }
        }
    }

    fn overlong(&self) -> io::Error {
        let reason = format!("it has more than the {} bytes of its manifest", self.size);
        io::Error::other(Error::from(Refused::new("the blob", self.digest.as_str(), reason)))
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let error = match self.body.read(into) {
                Ok(0) if self.at == self.size => return Ok(0),
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    self.at = self.at.saturating_add(count as u64);
                    return if self.at > self.size { Err(self.overlong()) } else { Ok(count) };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // All bytes are here: how the connection ends does not matter.
                Err(_) if self.at == self.size => return Ok(0),
                Err(error) => error,
            };
            self.resume(error)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::start;

    #[test]
    fn the_start_of_a_part_is_read() {
        assert_eq!(start("bytes 5-9/10"), Some(5));
        assert_eq!(start("bytes 0-0/*"), Some(0));
        for range in ["", "bytes */10", "items 5-9/10", "bytes -9/10"] {
            assert_eq!(start(range), None, "{range}");
        }
    }
}
