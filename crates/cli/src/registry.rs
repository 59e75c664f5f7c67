//! How registries are reached: what the caller's environment and the files of the host and the user say of that.

use std::path::{Path, PathBuf};

use error::{Refused, Result};
use image::credentials::Logins;
use image::reference::is_host;
use image::registry::{Access, Certificates, Credentials, Endpoint, Proxies, Registry, Trust};
use image::trust::Policy;
use image::{Reference, Registries, registries};

use crate::value::environment::Lookup;

/// Where each registry's certificates are: containers-certs.d(5), and Docker's.
const CERTIFICATES: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// What is known of registries before one is asked.
pub(crate) struct Ways {
    /// Short names, mirrors, registries that are blocked.
    pub(crate) registries: Registries,
    /// Who the user is where.
    pub(crate) logins: Logins,
    /// The files that say which signatures images must have; the first that is there holds.
    pub(crate) policies: Vec<PathBuf>,
    access: Access,
    trust: Trust,
}

impl Ways {
    /// Those of whoever called carboy.
    ///
    /// # Errors
    /// For a file that is there and cannot be read or used.
    pub(crate) fn of_caller() -> Result<Self> {
        Self::read(&|name| std::env::var_os(name))
    }

    /// The same, where no registry has to prove its name.
    pub(crate) fn trusting(self) -> Self {
        Self { trust: Trust::Insecure, ..self }
    }

    /// Reads what there is.
    ///
    /// # Errors
    /// For a file that is there and cannot be read or used.
    fn read(caller: Lookup<'_>) -> Result<Self> {
        let path = |name: &str| caller(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME").unwrap_or_else(|| "/".into());
        let config = path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let mut folders: Vec<PathBuf> = CERTIFICATES.iter().map(PathBuf::from).collect();
        folders.push(config.join("containers/certs.d"));
        let (system_file, system_folder) = (path("SSL_CERT_FILE"), path("SSL_CERT_DIR"));
        let certificates = Certificates { system_file, system_folder, folders };
        let own = config.join("containers/registries.conf");
        let file = path("CONTAINERS_REGISTRIES_CONF").or_else(|| own.is_file().then_some(own));
        Ok(Self {
            registries: Registries::read(file.as_deref().unwrap_or(Path::new(registries::FILE)))?,
            policies: vec![config.join("containers/policy.json"), Policy::FILE.into()],
            logins: logins(&path, &home, &config),
            access: Access { certificates, proxies: proxies(caller), ..Access::default() },
            trust: Trust::Certified,
        })
    }

    /// A registry by its own host, for a repository there, as the user who is logged in.
    ///
    /// # Errors
    /// Refused where the registry is blocked, or where its certificates or its login cannot be used.
    pub(crate) fn registry(&self, host: &str, repository: &str) -> Result<Registry> {
        let credentials = self.logins.find(host, repository)?;
        self.registry_as(host, repository, credentials)
    }

    /// The same as this user, or as nobody.
    ///
    /// # Errors
    /// Refused where the registry is blocked, or where its certificates cannot be used.
    pub(crate) fn registry_as(
        &self,
        host: &str,
        repository: &str,
        credentials: Option<Credentials>,
    ) -> Result<Registry> {
        let named = Reference { registry: host.to_owned(), repository: repository.to_owned(), tag: None, digest: None };
        let own = self.registries.locations(&named)?.pop().filter(|location| location.registry == host);
        let endpoint = Endpoint::of(host);
        let endpoint = if own.is_some_and(|own| own.insecure) { endpoint.insecure() } else { endpoint };
        Registry::open(endpoint, Access { credentials, ..self.access.clone() })
    }

    /// Where an image can be had: registries with the repository's name there, in the order in which they are to be tried.
    ///
    /// # Errors
    /// Refused where its registry is blocked, or where certificates or a login cannot be used.
    pub(crate) fn places(&self, name: &Reference) -> Result<Vec<(Registry, String)>> {
        let mut places = Vec::new();
        for location in self.registries.locations(name)? {
            let endpoint = Endpoint::of(&location.registry);
            let is_insecure = location.insecure || self.trust == Trust::Insecure;
            let endpoint = if is_insecure { endpoint.insecure() } else { endpoint };
            let credentials = self.logins.find(&location.registry, &location.repository)?;
            let registry = Registry::open(endpoint, Access { credentials, ..self.access.clone() })?;
            places.push((registry, location.repository));
        }
        Ok(places)
    }
}

/// Docker's file, and podman's behind it: containers-auth.json(5).
fn logins(path: &dyn Fn(&str) -> Option<PathBuf>, home: &Path, config: &Path) -> Logins {
    if let Some(file) = path("REGISTRY_AUTH_FILE") {
        return Logins { file, others: Vec::new() };
    }
    let file = path("DOCKER_CONFIG").unwrap_or_else(|| home.join(".docker")).join("config.json");
    let podman = path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    Logins { file, others: podman.into_iter().chain([config.join("containers/auth.json")]).collect() }
}

/// The small names come first, as with other programs; a request's `HTTP_PROXY` could be set by who sends it.
fn proxies(caller: Lookup<'_>) -> Proxies {
    let value = |small: &str, large: &str| {
        let value = caller(small).filter(|value| !value.is_empty()).or_else(|| caller(large)).unwrap_or_default();
        value.to_string_lossy().into_owned()
    };
    Proxies {
        http: value("http_proxy", "HTTP_PROXY"),
        https: value("https_proxy", "HTTPS_PROXY"),
        none: value("no_proxy", "NO_PROXY"),
    }
}

/// The registry that a word names, as `login` and `logout` have it; none is Docker Hub.
///
/// # Errors
/// Refused for what is no host.
pub(crate) fn host(word: Option<&str>) -> Result<&str> {
    let bare = word.unwrap_or(image::reference::DEFAULT_REGISTRY);
    let bare = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://")).unwrap_or(bare);
    match bare.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => Ok(image::reference::DEFAULT_REGISTRY),
        host if is_host(host) => Ok(host),
        _ => {
            let refused = Refused::new("the registry", word.unwrap_or_default(), "is not HOST[:PORT]");
            Err(refused.hint("for example: registry.example:5000; none is Docker Hub").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_in_several_ways() {
        for (word, is) in [
            (None, "docker.io"),
            (Some("https://index.docker.io/v1/"), "docker.io"),
            (Some("http://localhost:5000/"), "localhost:5000"),
            (Some("quay.io/team"), "quay.io"),
        ] {
            assert_eq!(host(word).unwrap(), is);
        }
        for word in ["", "http://", "a b", "x.y:port", "user@x.y"] {
            let error = host(Some(word)).unwrap_err();
            assert!(error.to_string().ends_with("is not HOST[:PORT]") && error.hint().is_some(), "{word}: {error}");
        }
    }

    #[test]
    fn files_are_where_docker_and_podman_have_them() {
        let found = logins(&|_| None, Path::new("/home/a"), Path::new("/home/a/.config"));
        assert_eq!(found.file, Path::new("/home/a/.docker/config.json"));
        assert_eq!(found.others, [Path::new("/home/a/.config/containers/auth.json")]);
        let set = |name: &str| (name == "DOCKER_CONFIG").then(|| PathBuf::from("/d"));
        assert_eq!(logins(&set, Path::new("/"), Path::new("/c")).file, Path::new("/d/config.json"));
    }
}
