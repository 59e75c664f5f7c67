//! Where an image is had, and by what right: what the user's environment and files say of registries.

use std::path::Path;

use engine::images::Repository;
use error::Result;
use image::Reference;
use image::registries::{Location, Registries};
use image::registry::{Access, Certificates, Endpoint, Registry};

/// Docker's and Podman's folders with certificates of single registries.
const CERTIFICATES: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// What podman, skopeo and buildah read, too.
const REGISTRIES: &str = "/etc/containers/registries.conf";

/// The names that a word may stand for, the first one to be tried first.
///
/// # Errors
/// Refused for what is no name.
pub(crate) fn meanings(word: &str) -> Result<Vec<Reference>> {
    Registries::read(Path::new(REGISTRIES))?.meanings(word)
}

/// The repositories in which an image may be found, the first one to be asked first.
///
/// # Errors
/// Refused where nothing may be had from there, or where the user's files cannot be understood.
pub(crate) fn places(name: &Reference) -> Result<Vec<Repository>> {
    let locations = Registries::read(Path::new(REGISTRIES))?.locations(name)?;
    locations.into_iter().map(|location| repository(&location)).collect()
}

fn repository(location: &Location) -> Result<Repository> {
    let endpoint = Endpoint::of(&location.registry);
    let endpoint = if location.insecure { endpoint.insecure() } else { endpoint };
    let registry = Registry::open(endpoint, access(&location.registry)?)?;
    Ok(Repository { registry, name: location.repository.clone() })
}

/// The tags that a repository has.
///
/// # Errors
/// What the registry answers.
pub(crate) fn tags(name: &Reference) -> Result<Vec<String>> {
    match places(name)?.pop() {
        Some(own) => own.registry.tags(&own.name),
        None => Ok(Vec::new()),
    }
}

fn access(_registry: &str) -> Result<Access> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = |name: &str| variable(name).map(Into::into);
    Ok(Access {
        certificates: Certificates {
            system_file: path("SSL_CERT_FILE"),
            system_folder: path("SSL_CERT_DIR"),
            folders: CERTIFICATES.iter().map(Into::into).collect(),
        },
        ..Access::default()
    })
}
