//! Whether an image may be taken: what is demanded of it, by a policy file or by whoever asks for it, and what meets that.
//!
//! A signature of an index covers the manifests that it names by digest, and one of a manifest covers that manifest: any
//! document counts that was gone through from a name to an image. What is verified are the bytes that are used; no tag is
//! resolved again.

mod identity;
mod policy;

use error::{Refused, Result};
use oci::image::Digest;

pub use identity::Identity;
pub use policy::Policy;

use crate::reference::Reference;
use crate::registry::Registry;
use crate::signature::{Checked, Fault, Place, PublicKey, Signable, Signature};

/// What an image must have: a signature by one of these keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The keys; any of them will do.
    pub keys: Vec<PublicKey>,
    /// What the signature must call it.
    pub identity: Identity,
    /// Who demands it, for messages: `--verify cosign.pub`.
    pub by: String,
}

/// An image at a registry, by the documents that were gone through to it: an index if there is one, and its manifest.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// How it was asked for.
    pub name: &'a Reference,
    /// The documents.
    pub documents: Vec<Signable<'a>>,
}

/// Who vouches for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The fingerprint of the key.
    pub key: Digest,
    /// The digest that was signed: of the index, or of the manifest.
    pub digest: Digest,
}

impl Demand {
    /// The demand for a signature by this key, whatever the signer called the image: as cosign verifies.
    #[must_use]
    pub fn of_key(key: PublicKey, by: impl Into<String>) -> Self {
        Self { keys: vec![key], identity: Identity::Any, by: by.into() }
    }

    /// Who vouches for an image by one of these signatures.
    ///
    /// # Errors
    /// The most telling reason why none of them counts; `None` where there are none.
    pub fn met_by(
        &self,
        signatures: &[Signature],
        image: &Candidate<'_>,
    ) -> std::result::Result<Vouched, Option<Fault>> {
        let mut worst = None;
        for signature in signatures {
            for key in &self.keys {
                match self.verified(signature, key, image) {
                    Ok(digest) => return Ok(Vouched { key: key.fingerprint().clone(), digest }),
                    Err(fault) => worst = worst.max(Some(fault)),
                }
            }
        }
        Err(worst)
    }

    fn verified(&self, signature: &Signature, key: &PublicKey, image: &Candidate<'_>) -> Checked<Digest> {
        let claim = signature.claim(key, &image.documents)?;
        let is_of = |digest: &&Digest| image.documents.iter().any(|document| document.digest == *digest);
        match (claim.digests.iter().find(is_of), claim.digests.first()) {
            (Some(digest), _) => {
                self.identity.check(claim.name.as_ref(), image.name)?;
                Ok(digest.clone())
            }
            (None, Some(other)) => Err(Fault::OfAnother(other.clone())),
            (None, None) => Err(Fault::Unread("it is of nothing".into())),
        }
    }
}

/// Looks for the signatures of an image in a repository until each demand is met. Says who vouches for it.
///
/// # Errors
/// Refused where a demand is not met, with why; the registry's errors.
pub fn verify(
    registry: &Registry,
    repository: &str,
    image: &Candidate<'_>,
    demands: &[Demand],
) -> Result<Vec<Vouched>> {
    let mut signatures = Vec::new();
    let mut faults = Vec::new();
    let mut vouched: Vec<Vouched> = Vec::new();
    let mut open: Vec<&Demand> = demands.iter().collect();
    for place in Place::ALL {
        for document in &image.documents {
            if open.is_empty() {
                return Ok(vouched);
            }
            let found = place.signatures(registry, repository, document.digest)?;
            open.retain(|demand| match demand.met_by(&found.signatures, image) {
                Ok(by) => {
                    vouched.push(by);
                    false
                }
                Err(_) => true,
            });
            signatures.extend(found.signatures);
            faults.extend(found.faults);
        }
    }
    let Some(demand) = open.first() else { return Ok(vouched) };
    let why = demand.met_by(&signatures, image).err().flatten().max(faults.into_iter().max());
    Err(unmet(demand, why, image, &format!("{}/{repository}", registry.host())).into())
}

/// The refusal of an image that does not have what is demanded.
fn unmet(demand: &Demand, why: Option<Fault>, image: &Candidate<'_>, at: &str) -> Refused {
    let refused = |reason: String| Refused::new("the image", image.name.familiar(), reason);
    let digests: Vec<&str> = image.documents.iter().map(|document| document.digest.as_str()).collect();
    let Demand { keys, by, .. } = demand;
    match why {
        None => {
            let tags: Vec<String> =
                image.documents.iter().map(|document| crate::signature::tag(document.digest)).collect();
            refused(format!("it has no signature, and {by} demands one")).hint(format!(
                "looked in {at} for {}, and for referrers of {}",
                tags.join(", "),
                digests.join(", ")
            ))
        }
        Some(Fault::OtherKey) => {
            let keys: Vec<&str> = keys.iter().map(|key| key.fingerprint().as_str()).collect();
            refused(format!("its signature is not by the key that {by} demands, or was changed"))
                .hint(format!("the fingerprint of that key is {}", keys.join(" or ")))
        }
        Some(fault @ Fault::OfAnother(_)) => refused(format!("its signature, which {by} demands, {fault}"))
            .hint(format!("the digest of the image is {}", digests.join(", of its manifest "))),
        Some(fault) => refused(format!("its signature, which {by} demands, {fault}")),
    }
}

#[cfg(test)]
mod tests;
