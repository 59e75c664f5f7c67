//! The name in a signature beside the one by which an image was asked for: `signedIdentity` of containers-policy.json(5).

use error::{Refused, Result};
use serde::Deserialize;

use crate::reference::Reference;
use crate::signature::{Checked, Fault};

/// What a signature must call an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// Anything, or nothing: the digest alone counts.
    Any,
    /// As it was asked for, tag included.
    Exact,
    /// The same where it was asked for by a tag; by a digest, the same repository.
    #[default]
    ExactOrDigest,
    /// The same repository.
    Repository,
    /// This, with its tag or digest.
    ExactReference(Reference),
    /// This repository.
    ExactRepository(Reference),
    /// As [`Self::ExactOrDigest`], after the beginning of the name was replaced.
    Remapped {
        /// With which the name begins.
        prefix: String,
        /// What stands there in signatures.
        signed: String,
    },
}

/// As the policy file has it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Written {
    MatchExact {},
    MatchRepoDigestOrExact {},
    MatchRepository {},
    #[serde(rename_all = "camelCase")]
    ExactReference {
        docker_reference: String,
    },
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        docker_repository: String,
    },
    #[serde(rename_all = "camelCase")]
    RemapIdentity {
        prefix: String,
        signed_prefix: String,
    },
}

impl Identity {
    /// Reads what a policy file says.
    ///
    /// # Errors
    /// Refused for what is no name.
    pub(super) fn of(written: Written) -> Result<Self> {
        let name = |text: &str| Reference::parse_bare(text);
        Ok(match written {
            Written::MatchExact {} => Self::Exact,
            Written::MatchRepoDigestOrExact {} => Self::ExactOrDigest,
            Written::MatchRepository {} => Self::Repository,
            Written::ExactReference { docker_reference } => {
                let exact = name(&docker_reference)?;
                if exact.tag.is_none() && exact.digest.is_none() {
                    return Err(
                        Refused::new("dockerReference", docker_reference, "has neither a tag nor a digest").into()
                    );
                }
                Self::ExactReference(exact)
            }
            Written::ExactRepository { docker_repository } => Self::ExactRepository(name(&docker_repository)?),
            Written::RemapIdentity { prefix, signed_prefix } => {
                for text in [&prefix, &signed_prefix] {
                    if text.is_empty() || text.ends_with(['/', ':', '@']) || text.contains(['*', '@']) {
                        return Err(Refused::new("remapIdentity", text, "is no beginning of a name").into());
                    }
                }
                Self::Remapped { prefix, signed: signed_prefix }
            }
        })
    }

    /// Whether a signature that calls the image `signed` is for one that was asked for as `asked`.
    pub(super) fn check(&self, signed: Option<&Reference>, asked: &Reference) -> Checked<()> {
        if *self == Self::Any {
            return Ok(());
        }
        let Some(signed) = signed else { return Err(Fault::OtherName("no name, and one is demanded".into())) };
        let is_right = match self {
            Self::Any => true,
            Self::Exact => is_exact(signed, asked),
            Self::ExactOrDigest => is_exact_or_digest(signed, asked),
            Self::Repository => signed.name() == asked.name(),
            Self::ExactReference(exact) => signed == exact,
            Self::ExactRepository(exact) => signed.name() == exact.name(),
            Self::Remapped { prefix, signed: own } => {
                remapped(asked, prefix, own).is_some_and(|asked| is_exact_or_digest(signed, &asked))
            }
        };
        if is_right { Ok(()) } else { Err(Fault::OtherName(signed.familiar())) }
    }
}

/// What a name is asked for by: a digest, and the tag beside it is nothing.
fn is_exact(signed: &Reference, asked: &Reference) -> bool {
    let is_named = asked.tag.is_some() || asked.digest.is_some();
    let (tag, digest) = (asked.tag.as_ref().filter(|_| asked.digest.is_none()), &asked.digest);
    is_named && signed.name() == asked.name() && signed.tag.as_ref() == tag && signed.digest == *digest
}

fn is_exact_or_digest(signed: &Reference, asked: &Reference) -> bool {
    match asked.digest {
        Some(_) => signed.name() == asked.name(),
        None => is_exact(signed, asked),
    }
}

/// A name with another beginning; the same where it begins otherwise.
fn remapped(asked: &Reference, prefix: &str, own: &str) -> Option<Reference> {
    let name = asked.name();
    let Some(rest) = name.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return Some(asked.clone());
    };
    let named = Reference::parse_bare(&format!("{own}{rest}")).ok()?;
    Some(Reference { tag: asked.tag.clone(), digest: asked.digest.clone(), ..named })
}
