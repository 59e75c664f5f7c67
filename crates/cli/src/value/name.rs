//! Names: of containers and hosts, of kernel settings, of places in a container.

use engine::options::ContainerPath;
use error::Result;

use crate::flags::Given;

/// Why a word is no container's name.
pub(crate) const NO_CONTAINERS: &str = "is no name for a container";
pub(crate) const CONTAINERS_HINT: &str = "use two or more of a-z A-Z 0-9 _ . - with a letter or digit first";

/// Whether a container can be called so.
pub(crate) fn is_containers(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let mut bytes = name.bytes();
    name.len() >= 2 && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && bytes.all(inner)
}

/// Whether a network can be called so.
pub(crate) fn is_networks(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(inner)
}

/// A container's name.
pub(crate) fn container(given: Given<'_>) -> Result<String> {
    if is_containers(given.value) {
        return Ok(given.value.to_owned());
    }
    Err(given.refused(NO_CONTAINERS).hint(CONTAINERS_HINT).into())
}

/// A host or domain name. Its length is the kernel's to limit.
pub(crate) fn host(given: Given<'_>) -> Result<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !given.value.is_empty() && given.value.bytes().all(allowed) && !given.value.starts_with(['-', '.']) {
        return Ok(given.value.to_owned());
    }
    Err(given.refused("is no host name").hint("use letters, digits, dots and dashes").into())
}

/// `KEY=VALUE`.
pub(crate) fn pair(given: Given<'_>) -> Result<(String, String)> {
    match given.value.split_once('=').filter(|(key, _)| !key.is_empty()) {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(given.refused("is not KEY=VALUE").into()),
    }
}

/// `NAME=VALUE` with a kernel setting's dotted name.
pub(crate) fn sysctl(given: Given<'_>) -> Result<(String, String)> {
    let (name, value) = pair(given)?;
    let allowed =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if name.split('.').all(allowed) {
        return Ok((name, value));
    }
    Err(given
        .refused("has no name of a kernel setting")
        .hint("use a dotted name, such as net.core.somaxconn=1024")
        .into())
}

/// A path in the container.
pub(crate) fn absolute(given: Given<'_>) -> Result<ContainerPath> {
    ContainerPath::new(given.value)
        .ok_or_else(|| given.refused("is no absolute path in the container").hint("begin it with /").into())
}
