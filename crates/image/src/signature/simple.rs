//! cosign's payload of simple signing: a digest, and the name that its signer had for it.

use oci::image::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Checked, Claim, Fault};
use crate::reference::Reference;

/// What the payload says it is.
const KIND: &str = "cosign container image signature";

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Payload {
    critical: Critical,
    #[serde(default, rename = "optional")]
    _optional: IgnoredAny,
}

/// A field that is critical and not known could take back what the others say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: Image,
    identity: Identity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Identity {
    #[serde(default, rename = "docker-reference")]
    reference: String,
}

/// Reads a payload whose signature is right.
pub(super) fn parse(payload: &[u8]) -> Checked<Claim> {
    let unread = |error: error::Error| Fault::Unread(error.to_string());
    let critical = oci::document::parse::<Payload>("its payload", payload).map_err(unread)?.critical;
    if critical.kind != KIND {
        return Err(Fault::Unread(format!("its payload is a {:?} and no {KIND}", critical.kind)));
    }
    // Some sign without a name. A name that is none names nothing.
    let name = Some(critical.identity.reference).filter(|name| !name.is_empty());
    let name = name.map(|name| Reference::parse_bare(&name)).transpose().map_err(unread)?;
    Ok(Claim { digests: vec![critical.image.digest], name })
}
