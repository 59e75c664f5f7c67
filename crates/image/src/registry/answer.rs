//! What a registry's refusals and a connection's failures mean to a user: one line each, and what can be done.

use std::io;

use error::{Errno, Error, Kernel, Refused, RefusedKind};
use rustls::{AlertDescription, CertificateError};
use serde::Deserialize;
use ureq::http::{StatusCode, Uri};

use super::Registry;
use super::access::{Patience, Secret};
use super::exchange::Answer;
use super::tls::is_of_authority;

/// As much as is read of a refusal, in bytes.
const MOST: usize = 64 << 10;
/// As much as is shown of a registry's own words, in characters.
const LONGEST: usize = 160;
const ADMINISTRATOR: &str = "whoever runs the registry can tell more";

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// What it is: `the image`.
    pub(super) what: &'a str,
    /// Its name.
    pub(super) name: &'a str,
}

/// The body of a refusal. OCI distribution specification, "Error codes".
#[derive(Deserialize, Default)]
struct Errors {
    #[serde(default)]
    errors: Vec<Said>,
    /// What token servers say in its place.
    #[serde(default)]
    details: String,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Said {
    code: String,
    message: String,
}

/// The host of a URL, with its port.
pub(super) fn host(url: &Uri) -> String {
    url.authority().map(ToString::to_string).unwrap_or_default()
}

/// A text of another's, so that it can be shown on a terminal: one line, and not too long.
pub(super) fn shown(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

impl Said {
    fn read(answer: &mut Answer) -> Self {
        let bytes = answer.bytes(MOST).unwrap_or_default();
        let read: Errors = serde_json::from_slice(&bytes).unwrap_or_default();
        let mut said = read.errors.into_iter().next().unwrap_or_default();
        if said.message.is_empty() {
            said.message = read.details;
        }
        said
    }

    /// The registry's words behind a colon; nothing where it has none.
    fn words(&self) -> String {
        let code = self.code.to_ascii_lowercase().replace('_', " ");
        match (code.as_str(), shown(&self.message).as_str()) {
            ("", "") => String::new(),
            (one, "") | ("", one) => format!(": {}", shown(one)),
            (code, message) if message.to_ascii_lowercase().starts_with(code) => format!(": {message}"),
            (code, message) => format!(": {}: {message}", shown(code)),
        }
    }
}

impl Registry {
    /// The error that an answer is, which was not what was wanted.
    pub(super) fn refusal(&self, subject: Subject<'_>, mut answer: Answer) -> Error {
        let said = Said::read(&mut answer);
        let (host, words, status) = (host(&answer.url), said.words(), answer.status());
        let refused = |reason: String| Refused::new(subject.what, subject.name, reason);
        match status.as_u16() {
            401 => self.not_known(subject, &words),
            403 => self.not_allowed(subject, &words),
            404 => refused(format!("{host} has none of that name{words}"))
                .hint("check its name; one that is private is shown only after carboy login")
                .kind(RefusedKind::NoSuchObject),
            429 => refused(format!("{host} takes no more requests for now{words}")).hint(self.limit(&answer)),
            500..=599 => refused(format!("{host} answers {}{words}", named(status)))
                .hint(format!("it was asked {} times: try again later", self.access.patience.attempts)),
            300..=399 => {
                refused(format!("{host} answers {} where nothing can be followed", named(status))).hint(ADMINISTRATOR)
            }
            _ => refused(format!("{host} answers {}{words}", named(status))).hint(ADMINISTRATOR),
        }
        .into()
    }

    /// The error that a token server's answer is.
    pub(super) fn not_let_in(&self, mut answer: Answer) -> Error {
        if !matches!(answer.status().as_u16(), 400 | 401 | 403) {
            let name = host(&answer.url);
            return self.refusal(Subject { what: "the token server", name: &name }, answer);
        }
        let words = Said::read(&mut answer).words();
        self.not_known(Subject { what: "the registry", name: self.host() }, &words).into()
    }

    fn not_known(&self, subject: Subject<'_>, words: &str) -> Refused {
        let host = self.host();
        let reason = match &self.access.credentials {
            None => format!("{host} asks for a login{words}"),
            Some(found) if found.user.is_empty() || !matches!(found.secret, Secret::Password(_)) => {
                format!("{host} does not accept the token of the last login{words}")
            }
            Some(found) => format!("{host} does not accept the login of {}{words}", shown(&found.user)),
        };
        Refused::new(subject.what, subject.name, reason).hint(format!("carboy login {host}"))
    }

    fn not_allowed(&self, subject: Subject<'_>, words: &str) -> Refused {
        let host = self.host();
        let (who, hint) = match &self.access.credentials {
            None => ("without a login".to_owned(), format!("carboy login {host}")),
            Some(found) => (format!("to {}", shown(&found.user)), format!("carboy login {host} as a user who may")),
        };
        Refused::new(subject.what, subject.name, format!("{host} does not allow this {who}{words}")).hint(hint)
    }

    /// What can be done about a limit that was reached. Docker Hub's headers name it as `100;w=21600`: so many in so many
    /// seconds.
    fn limit(&self, answer: &Answer) -> String {
        let mut hints = Vec::new();
        let numbers = |header: &str| {
            let (count, window) = header.split_once(";w=")?;
            Some((count.trim().parse::<u64>().ok()?, window.trim().parse::<u64>().ok()?))
        };
        if let Some((count, window)) = numbers(answer.header("ratelimit-limit")) {
            hints.push(format!("it allows {count} requests in {}", duration(window)));
        }
        match answer.retry_after() {
            Some(after) => hints.push(format!("try again in {}", duration(after.as_secs()))),
            None => hints.push("try again later".to_owned()),
        }
        if self.access.credentials.is_none() {
            hints.push(format!("carboy login {} may allow more", self.host()));
        }
        hints.join("; ")
    }
}

fn named(status: StatusCode) -> String {
    status
        .canonical_reason()
        .map_or_else(|| status.as_str().to_owned(), |reason| format!("{} {reason}", status.as_str()))
}

fn duration(seconds: u64) -> String {
    match seconds {
        3600.. if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        120.. => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{seconds} s"),
    }
}

/// Whether a connection may be had a little later.
pub(super) fn is_passing(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => tls(error).is_none() && !is_name(error) && ours(error).is_none(),
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// The error of a request that was not answered.
pub(super) fn unreachable(url: &Uri, error: &ureq::Error, patience: Patience) -> Error {
    let host = host(url);
    let refused = |reason: String| Refused::new("the registry", host.as_str(), reason);
    let silent = |time: std::time::Duration| {
        let hint = format!("nothing came for {}; is there a proxy or a firewall on the way?", duration(time.as_secs()));
        Kernel::new(format!("reach the registry {host}"), Errno::TIMEDOUT).hint(hint).into()
    };
    match error {
        ureq::Error::Io(error) => failed(&host, error),
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => silent(patience.connect),
        ureq::Error::Timeout(_) => silent(patience.silence),
        ureq::Error::Rustls(error) => untrusted(&host, error),
        ureq::Error::HostNotFound => unknown(&host),
        ureq::Error::ConnectProxyFailed(reason) => {
            refused(format!("the proxy does not connect to it: {}", shown(reason)))
                .hint("see HTTPS_PROXY and NO_PROXY")
                .into()
        }
        ureq::Error::Protocol(error) => refused(format!("what it answers is no HTTP: {}", shown(&error.to_string())))
            .hint("is this a registry?")
            .into(),
        error => refused(shown(&error.to_string())).into(),
    }
}

const ENDED_EARLY: &str = "it ended the connection early: try again later";

fn failed(host: &str, error: &io::Error) -> Error {
    if let Some(ours) = ours(error) {
        return ours.clone();
    }
    if let Some(error) = tls(error) {
        return untrusted(host, error);
    }
    if is_name(error) {
        return unknown(host);
    }
    match error.raw_os_error() {
        Some(number) => {
            let errno = Errno::from_raw_os_error(number);
            let kernel = Kernel::new(format!("reach the registry {host}"), errno);
            match errno {
                Errno::CONNREFUSED => kernel.hint("nothing listens there: check the host and its port"),
                Errno::NETUNREACH | Errno::HOSTUNREACH => {
                    kernel.hint("there is no way to it: is this host on a network?")
                }
                Errno::CONNRESET | Errno::PIPE => kernel.hint(ENDED_EARLY),
                _ => kernel,
            }
            .into()
        }
        None => {
            let kernel = Kernel::new(format!("reach the registry {host}"), Errno::CONNRESET);
            kernel.hint(ENDED_EARLY).into()
        }
    }
}

fn unknown(host: &str) -> Error {
    let refused = Refused::new("the registry", host, "no host of this name is known");
    refused.hint("check the name, and /etc/resolv.conf").into()
}

/// The error of a body that was cut off.
pub(super) fn cut(url: &Uri, error: io::Error) -> Error {
    match error.downcast::<ureq::Error>() {
        Ok(error) => unreachable(url, &error, Patience::default()),
        Err(error) => failed(&host(url), &error),
    }
}

/// An error of carboy's that went through a reader.
fn ours(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|error| error.downcast_ref())
}

fn tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|error| error.downcast_ref())
}

/// Whether a name was not found: what getaddrinfo(3) says has no errno, and its own kind has no name.
fn is_name(error: &io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address information")
}

/// What servers say that want to see a client's certificate.
const WANTS_CERTIFICATE: [AlertDescription; 4] = [
    AlertDescription::BadCertificate,
    AlertDescription::CertificateRequired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
];

fn untrusted(host: &str, error: &rustls::Error) -> Error {
    let refused = |reason: &str| Refused::new("the registry", host, reason);
    if let rustls::Error::AlertReceived(alert) = error
        && WANTS_CERTIFICATE.contains(alert)
    {
        let hint = format!("put a client's certificate into /etc/docker/certs.d/{host}: client.cert, client.key");
        return refused("it asks for another certificate than this host shows, or for one at all").hint(hint).into();
    }
    let rustls::Error::InvalidCertificate(fault) = error else {
        let hint = "if it speaks plain HTTP, say insecure = true of it in /etc/containers/registries.conf";
        return refused(&format!("TLS with it fails: {}", shown(&error.to_string()))).hint(hint).into();
    };
    let reason = match fault {
        CertificateError::UnknownIssuer => "its certificate is signed by nobody whom this host trusts",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate does not hold yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is another host's"
        }
        _ if is_of_authority(error) => "its certificate is an authority's, and this host does not trust that one",
        _ => return refused(&format!("its certificate is not accepted: {}", shown(&error.to_string()))).into(),
    };
    let hint = match fault {
        CertificateError::UnknownIssuer => {
            format!("put its authority's certificate into /etc/docker/certs.d/{host}/ca.crt")
        }
        CertificateError::Other(_) => format!("put it into /etc/docker/certs.d/{host}/ca.crt"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is this host's clock right?".to_owned()
        }
        _ => ADMINISTRATOR.to_owned(),
    };
    refused(reason).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_words_are_told_once() {
        let said = |code: &str, message: &str| Said { code: code.into(), message: message.into() }.words();
        assert_eq!(said("DENIED", "requested access is denied"), ": denied: requested access is denied");
        assert_eq!(said("MANIFEST_UNKNOWN", "manifest unknown"), ": manifest unknown");
        assert_eq!(said("TOOMANYREQUESTS", ""), ": toomanyrequests");
        assert_eq!(said("", ""), "");
        assert_eq!(said("", "a\x1b[2Jb\nc"), ": a [2Jb c");
    }

    #[test]
    fn times_are_told_shortly() {
        assert_eq!([21600, 21601, 119, 5].map(duration), ["6 h", "361 min", "119 s", "5 s"]);
    }
}
