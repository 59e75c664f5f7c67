//! Which registry, and by what right and on which way it is reached: values only.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::proxy::Proxies;

/// The registry of Docker Hub, as names of images have it.
pub(super) const HUB: &str = "docker.io";

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its host, with `:PORT` where it is not 443.
    pub host: String,
    /// What it must prove.
    pub trust: Trust,
}

/// What a registry must prove before anything is said to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Its name, by a certificate.
    Certified,
    /// Nothing: any certificate will do, and plain HTTP where it does not speak TLS.
    Insecure,
}

impl Endpoint {
    /// The registry of this host. One on loopback is reached by this host alone, and so needs no certificate, as with Docker.
    #[must_use]
    pub fn of(host: &str) -> Self {
        let trust = if is_loopback(host) { Trust::Insecure } else { Trust::Certified };
        Self { host: host.to_owned(), trust }
    }

    /// Where it is reached: Docker Hub's registry has another name than its images.
    pub(super) fn address(&self) -> &str {
        if self.host == HUB { "registry-1.docker.io" } else { &self.host }
    }

    /// The same without proof of its name.
    #[must_use]
    pub fn insecure(self) -> Self {
        Self { trust: Trust::Insecure, ..self }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A host without its port.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// By what right and on which way registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who the user is there.
    pub credentials: Option<Credentials>,
    /// Which certificates count, and which one is shown.
    pub certificates: Certificates,
    /// The servers on the way.
    pub proxies: Proxies,
    /// How long is waited, and how often something is tried.
    pub patience: Patience,
    /// What the client is called; empty for `carboy/VERSION`.
    pub user_agent: String,
}

/// Who the user of a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name there; empty where only a token is known.
    pub user: String,
    /// What proves it.
    pub secret: Secret,
}

/// What proves who the user is; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A password.
    Password(String),
    /// A token that gets other tokens, given at a login: `identitytoken`.
    Identity(String),
    /// A token that is shown to the registry as it is: `registrytoken`.
    Registry(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Identity(_) => "Identity",
            Self::Registry(_) => "Registry",
        })
    }
}

/// Where certificates are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// A file with all certificates that this host trusts, in place of the usual ones: `SSL_CERT_FILE`.
    pub system_file: Option<PathBuf>,
    /// A folder of them: `SSL_CERT_DIR`.
    pub system_folder: Option<PathBuf>,
    /// Folders with one folder for each registry, `HOST[:PORT]/{*.crt,*.cert,*.key}`: `/etc/docker/certs.d`.
    pub folders: Vec<PathBuf>,
}

/// How long is waited, and how often something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection and its TLS.
    pub connect: Duration,
    /// For the next byte.
    pub silence: Duration,
    /// For the answer to a blob, which a registry reads anew before it keeps it.
    pub digestion: Duration,
    /// How often something is tried in all.
    pub attempts: u32,
    /// Between the first attempt and the second; doubled with each that follows.
    pub first_wait: Duration,
    /// Between two attempts at the most, whatever the registry asks for.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            digestion: Duration::from_secs(900),
            attempts: 5,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// How long is waited after an attempt, of which `0` is the first; `asked` is what the registry asks for.
    pub(super) fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << attempt.min(16));
        asked.unwrap_or(doubled).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_on_loopback_needs_no_certificate() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert_eq!(Endpoint::of(host).trust, Trust::Insecure, "{host}");
        }
        for host in ["localhost.example", "128.0.0.1:5000", "[::2]:5000", "example.com:443"] {
            assert_eq!(Endpoint::of(host).trust, Trust::Certified, "{host}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let patience = Patience::default();
        let waits: Vec<u128> = (0..9).map(|attempt| patience.wait(attempt, None).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(patience.wait(0, Some(Duration::from_secs(7))).as_secs(), 7);
        assert_eq!(patience.wait(0, Some(Duration::from_secs(7000))).as_secs(), 30);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let credentials = Credentials { user: "anna".into(), secret: Secret::Password("hush".into()) };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
