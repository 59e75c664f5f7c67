//! The repositories in which an image may be found, as the user's environment and files say.

use engine::images::Repository;
use error::Result;
use image::Reference;
use image::signature::PublicKey;
use image::trust::{Demand, Policy};

use crate::registry::Ways;

/// The names that a word may stand for, the first one to be tried first.
///
/// # Errors
/// Refused for what is no name.
pub(crate) fn meanings(word: &str) -> Result<Vec<Reference>> {
    Ways::of_caller()?.registries.meanings(word)
}

/// The repositories in which an image may be found, the first one to be asked first.
///
/// # Errors
/// Refused where nothing may be had from there, or where the user's files cannot be understood.
pub(crate) fn places(name: &Reference) -> Result<Vec<Repository>> {
    let places = Ways::of_caller()?.places(name)?;
    Ok(places.into_iter().map(|(registry, name)| Repository { registry, name }).collect())
}

/// What the user or the host says of what may be taken; nothing where there is no such file.
///
/// # Errors
/// Refused where it cannot be understood.
pub(crate) fn policy() -> Result<Option<Policy>> {
    Policy::read(&Ways::of_caller()?.policies)
}

/// What is demanded of an image before it comes: by the policy of the user or the host, and by this key.
///
/// # Errors
/// Refused where the policy lets it not come at all, or cannot be understood.
pub(crate) fn demands(name: &Reference, key: Option<&PublicKey>) -> Result<Vec<Demand>> {
    let mut demands = match policy()? {
        Some(policy) => policy.demands(name)?,
        None => Vec::new(),
    };
    demands.extend(key.map(|key| Demand::of_key(key.clone(), "--verify")));
    Ok(demands)
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
