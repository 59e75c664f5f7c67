//! Where signatures of an image are: under the tag that cosign makes of its digest, and among what refers to it.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error::{Doing as _, Error, RefusedKind, Result};
use oci::image::{Descriptor, Digest, Document, Manifest, media};

use super::{Checked, Fault, Form, LARGEST, MOST, Maker, Signature};
use crate::registry::{Registry, Wanted};
use crate::sha256;

/// cosign's payload, as a blob.
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// What refers to an image and holds such payloads.
const SIMPLE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// How the types of sigstore's bundles begin; their version follows.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The signature of such a payload, in base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The certificate of whoever has signed it.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";

/// Where signatures may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Under a tag: `sha256-HEX.sig`.
    Tag,
    /// Among the referrers of OCI 1.1.
    Referrers,
}

/// What was found at a place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The signatures.
    pub signatures: Vec<Signature>,
    /// What is wrong with those that are none.
    pub faults: Vec<Fault>,
}

impl Place {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Self; 2] = [Self::Tag, Self::Referrers];

    /// What lies there for the manifest or index with this digest.
    ///
    /// # Errors
    /// The registry's errors.
    pub fn signatures(self, registry: &Registry, repository: &str, digest: &Digest) -> Result<Found> {
        let mut found = Found::default();
        let from = At { registry, repository };
        match self {
            Self::Tag => {
                if let Some(manifest) = from.manifest(Wanted::Tag(&tag(digest)))? {
                    from.take(&manifest, &mut found)?;
                }
            }
            Self::Referrers => {
                let referrers = registry.referrers(repository, digest, None)?;
                let is_signature = |kind: &str| kind == SIMPLE_ARTIFACT || kind.starts_with(BUNDLE) || kind == SIMPLE;
                let mut referrers: Vec<Descriptor> = referrers
                    .into_iter()
                    .filter(|referrer| referrer.artifact_type.as_deref().is_some_and(is_signature))
                    .collect();
                referrers.truncate(MOST);
                for referrer in referrers {
                    if let Some(manifest) = from.manifest(Wanted::Digest(&referrer.digest))? {
                        from.take(&manifest, &mut found)?;
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The tag under which cosign puts the signatures of what has this digest.
#[must_use]
pub fn tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// A repository of a registry.
struct At<'a> {
    registry: &'a Registry,
    repository: &'a str,
}

impl At<'_> {
    /// The manifest of signatures; `None` where there is none.
    fn manifest(&self, wanted: Wanted<'_>) -> Result<Option<Manifest>> {
        match self.registry.manifest(self.repository, wanted, &[media::OCI_MANIFEST, media::DOCKER_MANIFEST]) {
            Ok(fetched) => match Document::parse(Some(&fetched.media_type), &fetched.bytes)? {
                Document::Manifest(manifest) => Ok(Some(*manifest)),
                Document::Index(_) => Ok(None),
            },
            Err(Error::Refused(refused)) if refused.kind == RefusedKind::NoSuchObject => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds what a manifest holds, up to [`MOST`] altogether.
    fn take(&self, manifest: &Manifest, found: &mut Found) -> Result<()> {
        for layer in &manifest.layers {
            if found.signatures.len() + found.faults.len() >= MOST {
                return Ok(());
            }
            let is_bundle = layer.media_type.starts_with(BUNDLE);
            if !is_bundle && layer.media_type != SIMPLE {
                continue;
            }
            let read = match self.bytes(layer)? {
                Err(fault) => Err(fault),
                Ok(bytes) if is_bundle => Signature::of_bundle(&bytes),
                Ok(bytes) => simple(layer, bytes),
            };
            match read {
                Ok(signature) => found.signatures.push(signature),
                Err(fault) => found.faults.push(fault),
            }
        }
        Ok(())
    }

    /// A blob of signatures.
    fn bytes(&self, layer: &Descriptor) -> Result<Checked<Vec<u8>>> {
        if layer.size > LARGEST as u64 {
            return Ok(Err(Fault::Unread(format!("it has {} bytes", layer.size))));
        }
        let mut bytes = Vec::new();
        let blob = self.registry.blob(self.repository, layer, 0)?;
        blob.take(LARGEST as u64).read_to_end(&mut bytes).doing(|| format!("read the signature {}", layer.digest))?;
        let digest = sha256(&bytes);
        if digest != layer.digest {
            return Ok(Err(Fault::Unread(format!("what the registry gives of it has the digest {digest}"))));
        }
        Ok(Ok(bytes))
    }
}

/// A payload with the signature that its descriptor has.
fn simple(layer: &Descriptor, payload: Vec<u8>) -> Checked<Signature> {
    let Some(signature) = layer.annotations.get(SIGNATURE) else {
        return Err(Fault::Unread(format!("it has no annotation {SIGNATURE}")));
    };
    let Ok(signature) = STANDARD.decode(signature) else {
        return Err(Fault::Unread(format!("its {SIGNATURE} is not base64")));
    };
    let has_certificate = layer.annotations.contains_key(CERTIFICATE);
    let maker = if has_certificate { Maker::Certificate } else { Maker::Key };
    Ok(Signature { form: Form::Simple(payload), signatures: vec![signature], maker })
}
