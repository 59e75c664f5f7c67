//! A request and its answer, with all that stands between them: proofs of who the user is, redirects, second attempts.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use error::{Refused, Result};
use ureq::Body;
use ureq::http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use ureq::http::{Method, Response, StatusCode, Uri};

use super::access::{Endpoint, Trust};
use super::challenge::Challenge;
use super::{Registry, answer, url};

/// The most redirects that are followed.
const MOST_REDIRECTS: usize = 10;
/// The most bytes that are read of an answer which is not of use, so that its connection can be used again.
const DRAINED: u64 = 64 << 10;
/// How often a registry that was never reached is tried.
const FIRST_ATTEMPTS: u32 = 2;

/// What is asked of a registry.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: Vec<(HeaderName, String)>,
    /// What it takes to be allowed this: `repository:library/debian:pull`.
    pub(super) scopes: Vec<String>,
    pub(super) content: Content<'a>,
}

/// What is sent along.
pub(super) enum Content<'a> {
    None,
    Bytes(&'a [u8]),
    /// So many bytes, from their beginning each time.
    Stream {
        size: u64,
        open: Source<'a>,
    },
}

/// Opens what is sent, at its beginning.
pub type Source<'a> = &'a dyn Fn() -> Result<Box<dyn Read + 'a>>;

/// What was answered.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    /// Where it came from, behind all redirects.
    pub(super) url: Uri,
}

/// What was learned of a registry.
pub(super) struct Known {
    /// `https` or `http`, where it is known.
    scheme: Option<&'static str>,
    /// It has answered before.
    answered: bool,
    /// How it lets somebody in.
    pub(super) challenge: Option<Challenge>,
    /// The tokens that hold, by their scopes.
    pub(super) tokens: BTreeMap<Vec<String>, Token>,
}

/// A token, and until when it is shown.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: HeaderValue,
    pub(super) until: Instant,
}

impl Known {
    pub(super) const fn of(endpoint: &Endpoint) -> Self {
        let scheme = match endpoint.trust {
            Trust::Certified => Some("https"),
            Trust::Insecure => None,
        };
        Self { scheme, answered: false, challenge: None, tokens: BTreeMap::new() }
    }
}

impl<'a> Ask<'a> {
    pub(super) const fn get(url: Uri, scopes: Vec<String>) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), scopes, content: Content::None }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    pub(super) fn content<'b>(self, content: Content<'b>) -> Ask<'b> {
        let Self { method, url, headers, scopes, .. } = self;
        Ask { method, url, headers, scopes, content }
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header's value; empty where there is none, or one that is no text.
    pub(super) fn header(&self, name: impl ureq::http::header::AsHeaderName) -> &str {
        self.response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Up to so many bytes of the body.
    ///
    /// # Errors
    /// Refused for a longer one; the connection's errors.
    pub(super) fn bytes(&mut self, most: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reader = self.response.body_mut().as_reader();
        reader.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|error| answer::cut(&self.url, error))?;
        if bytes.len() > most {
            let reason = format!("has more than {most} bytes");
            return Err(Refused::new("the answer of", self.url.to_string(), reason).into());
        }
        Ok(bytes)
    }

    fn challenges(&self) -> Vec<Challenge> {
        let values = self.response.headers().get_all(WWW_AUTHENTICATE);
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(Challenge::parse).collect()
    }

    /// How long it asks to wait, RFC 9110, section 10.2.3; a date counts as none.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.header(RETRY_AFTER).trim().parse().ok().map(Duration::from_secs)
    }
}

/// Reads what is left of an answer, so that the connection can serve again.
fn drain(mut response: Response<Body>) {
    let _ = std::io::copy(&mut response.body_mut().as_reader().take(DRAINED), &mut std::io::sink());
}

impl Registry {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of a path, which begins with `/v2/`.
    pub(super) fn url(&self, path: &str) -> Result<Uri> {
        url::parse(&format!("{}://{}{path}", self.scheme()?, self.endpoint.address()))
    }

    /// Whether it speaks TLS: one that need not prove its name is asked.
    fn scheme(&self) -> Result<&'static str> {
        if let Some(scheme) = self.known().scheme {
            return Ok(scheme);
        }
        let url = url::parse(&format!("https://{}/v2/", self.endpoint.address()))?;
        let sent = self.transport.send(&Ask::get(url.clone(), Vec::new()), &url, None)?;
        let scheme = if sent.is_ok() { "https" } else { "http" };
        if let Ok(response) = sent {
            let answer = Answer { response, url };
            self.learn(&answer);
            drain(answer.response);
        }
        self.known().scheme = Some(scheme);
        Ok(scheme)
    }

    /// Remembers how it lets somebody in, if it says so.
    fn learn(&self, answer: &Answer) {
        let challenges = answer.challenges();
        let mut known = self.known();
        known.answered = true;
        if answer.status() == StatusCode::UNAUTHORIZED
            && let Some(challenge) = chosen(challenges)
        {
            known.challenge = Some(challenge);
        }
    }

    /// Sends a request and gives the answer, of whatever status it is in the end.
    ///
    /// # Errors
    /// For a registry that cannot be reached, a redirect that is not followed, a token that is not given.
    pub(super) fn exchange(&self, ask: &Ask<'_>) -> Result<Answer> {
        let is_own = url::is_same_origin(&ask.url, &self.url("/v2/")?);
        let shown = if is_own { self.proof(&ask.scopes)? } else { None };
        let answer = self.patiently(ask, shown.as_ref())?;
        if answer.status() != StatusCode::UNAUTHORIZED || !is_own || !url::is_same_origin(&ask.url, &answer.url) {
            return Ok(answer);
        }
        self.learn(&answer);
        if let Some(shown) = &shown {
            self.forget(&ask.scopes, shown);
        }
        match self.proof(&ask.scopes)? {
            Some(proof) if shown.as_ref() != Some(&proof) => {
                drain(answer.response);
                self.patiently(ask, Some(&proof))
            }
            Some(_) | None => Ok(answer),
        }
    }

    /// Sends a request until it is answered by something else than a passing fault.
    pub(super) fn patiently(&self, ask: &Ask<'_>, proof: Option<&HeaderValue>) -> Result<Answer> {
        let patience = self.access.patience;
        let attempts = match ask.content {
            // A registry that has taken a part of it already would take the rest for more of it.
            Content::Stream { .. } => 1,
            Content::None | Content::Bytes(_) => patience.attempts,
        };
        let mut attempt = 0;
        loop {
            let most = if self.known().answered { attempts } else { attempts.min(FIRST_ATTEMPTS) };
            let asked = match self.follow(ask, proof)? {
                Ok(answer) => {
                    self.known().answered = true;
                    let asked = answer.retry_after();
                    let is_too_long = asked.is_some_and(|asked| asked > patience.longest_wait);
                    if !is_passing(answer.status()) || attempt + 1 >= attempts || is_too_long {
                        return Ok(answer);
                    }
                    drain(answer.response);
                    asked
                }
                Err((error, url)) => {
                    if !answer::is_passing(&error) || attempt + 1 >= most {
                        return Err(answer::unreachable(&url, &error, patience));
                    }
                    None
                }
            };
            wait(patience.wait(attempt, asked));
            attempt += 1;
        }
    }

    /// Where an answer from a URL says that it goes on. Whoever must prove its name does not lead to those who do not.
    pub(super) fn next(&self, from: &Uri, said: &str) -> Result<Uri> {
        let next = url::resolve(from, said)?;
        if next.scheme_str() == Some("http") && self.endpoint.trust == Trust::Certified {
            let reason = format!("it leads from HTTPS to plain HTTP, at {}", answer::host(&next));
            let hint = "the registry is set up wrongly: whoever runs it can mend that";
            return Err(Refused::new("the registry", answer::host(from), reason).hint(hint).into());
        }
        Ok(next)
    }

    /// Sends a request and follows redirects. The proof stays with the server that it is for.
    fn follow(&self, ask: &Ask<'_>, proof: Option<&HeaderValue>) -> Result<Followed> {
        let mut seen = vec![ask.url.clone()];
        loop {
            let Some(at) = seen.last().cloned() else { return Err(lost(ask, "lead nowhere")) };
            let shown = proof.filter(|_| url::is_same_origin(&at, &ask.url));
            let response = match self.transport.send(ask, &at, shown)? {
                Ok(response) => response,
                Err(error) => return Ok(Err((error, at))),
            };
            let answer = Answer { response, url: at };
            let is_read = matches!(ask.method, Method::GET | Method::HEAD);
            let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_read || !is_redirect || answer.header(LOCATION).is_empty() {
                return Ok(Ok(answer));
            }
            let next = self.next(&answer.url, answer.header(LOCATION))?;
            if seen.contains(&next) {
                return Err(lost(ask, "lead in a circle"));
            }
            if seen.len() > MOST_REDIRECTS {
                return Err(lost(ask, &format!("are more than {MOST_REDIRECTS}")));
            }
            drain(answer.response);
            seen.push(next);
        }
    }
}

/// An answer, or what went wrong, and with which URL.
type Followed = std::result::Result<Answer, (ureq::Error, Uri)>;

fn lost(ask: &Ask<'_>, reason: &str) -> error::Error {
    let refused = Refused::new("the registry", answer::host(&ask.url), format!("its redirects {reason}"));
    refused.hint("the registry is set up wrongly: whoever runs it can mend that").into()
}

/// Whether the same request may be answered otherwise a little later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The challenge that is met: a token, where both are possible.
fn chosen(challenges: Vec<Challenge>) -> Option<Challenge> {
    let is_bearer = |challenge: &Challenge| matches!(challenge, Challenge::Bearer(_));
    let position = challenges.iter().position(is_bearer).unwrap_or_default();
    challenges.into_iter().nth(position)
}

/// The only place that sleeps.
pub(super) fn wait(duration: Duration) {
    std::thread::sleep(duration);
}
