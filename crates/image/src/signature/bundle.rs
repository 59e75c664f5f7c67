//! sigstore's bundle: a signature with what it takes to verify it, here where that is a plain key.
//!
//! Sources: sigstore_bundle.proto (0.3), DSSE 1.0 (`PAE`), in-toto Statement v1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::image::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Checked, Claim, Fault, Form, Maker, Signature};

/// The type of an envelope's payload.
const STATEMENT: &str = "application/vnd.in-toto+json";
const STATEMENTS: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// The statement that an image is signed. Others tell of how it was made, or of what it is, and approve of nothing.
const IS_SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
/// The most signatures of one envelope, and the most subjects of one statement.
const MOST: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Bundle {
    verification_material: Material,
    #[serde(default)]
    message_signature: Option<Message>,
    #[serde(default)]
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Material {
    #[serde(default)]
    certificate: Option<IgnoredAny>,
    #[serde(default)]
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Message {
    signature: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signed>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Signed {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Subject {
    digest: Digests,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Digests {
    sha256: Option<String>,
}

/// Takes a bundle apart; nothing of it is verified.
pub(super) fn parse(bytes: &[u8]) -> Checked<Signature> {
    let bundle: Bundle = read("its bundle", bytes)?;
    let material = &bundle.verification_material;
    let has_certificate = material.certificate.is_some() || material.x509_certificate_chain.is_some();
    let maker = if has_certificate { Maker::Certificate } else { Maker::Key };
    let (form, signatures) = match (bundle.message_signature, bundle.dsse_envelope) {
        (Some(message), None) => (Form::Manifest, vec![decoded(&message.signature)?]),
        (None, Some(envelope)) => {
            let signatures = envelope.signatures.iter().take(MOST).map(|signed| decoded(&signed.sig));
            let signatures = signatures.collect::<Checked<_>>()?;
            (Form::Envelope(envelope.payload_type, decoded(&envelope.payload)?), signatures)
        }
        (Some(_), Some(_)) | (None, None) => return Err(unread("its bundle does not hold one signature")),
    };
    Ok(Signature { form, signatures, maker })
}

/// What is signed of an envelope: DSSE's pre-authentication encoding.
pub(super) fn authenticated(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads a statement whose signature is right.
pub(super) fn statement(kind: &str, payload: &[u8]) -> Checked<Claim> {
    if kind != STATEMENT {
        return Err(Fault::Unread(format!("its envelope holds {kind:?} and no {STATEMENT}")));
    }
    let statement: Statement = read("its statement", payload)?;
    if !STATEMENTS.contains(&statement.kind.as_str()) {
        return Err(Fault::Unread(format!("its statement is a {:?}", statement.kind)));
    }
    if statement.predicate_type != IS_SIGNED {
        return Err(Fault::Unread(format!(
            "it says {:?} of the image, which is no signature",
            statement.predicate_type
        )));
    }
    let subjects = statement.subject.into_iter().take(MOST);
    let digests: Vec<Digest> =
        subjects.filter_map(|subject| Digest::of_hex(subject.digest.sha256.as_deref()?)).collect();
    if digests.is_empty() {
        return Err(unread("its statement is of nothing that has a sha256"));
    }
    Ok(Claim { digests, name: None })
}

fn read<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Checked<T> {
    oci::document::parse(name, bytes).map_err(|error| Fault::Unread(error.to_string()))
}

fn decoded(text: &str) -> Checked<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| unread("a part of its bundle is not base64"))
}

fn unread(reason: &str) -> Fault {
    Fault::Unread(reason.to_owned())
}
