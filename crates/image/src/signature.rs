//! Signatures of images: who vouches for the bytes of a manifest or an index, and what exactly has been said of them.
//!
//! Sources: containers-signature(5) and cosign's SIGNATURE_SPEC.md (simple signing), sigstore's bundle of version 0.3, DSSE
//! 1.0, in-toto's Statement. A signature is first verified with a key and then read: what nobody vouches for is not parsed.
//! Certificates (Fulcio) and transparency logs (Rekor) are not verified; what needs them counts for nothing.

mod bundle;
mod find;
mod key;
mod simple;

use std::fmt;

use oci::image::Digest;

pub use find::{Found, Place, tag};
pub use key::PublicKey;

use crate::reference::Reference;

/// The largest thing that is signed or that holds signatures, in bytes.
const LARGEST: usize = 1 << 20;
/// The most signatures that one place is read for.
const MOST: usize = 64;

/// A signature as it was found, verified by nobody yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    form: Form,
    /// Any of them will do.
    signatures: Vec<Vec<u8>>,
    maker: Maker,
}

/// What has been signed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// cosign's payload of simple signing.
    Simple(Vec<u8>),
    /// An in-toto statement in a DSSE envelope: the type of the payload, and the payload.
    Envelope(String, Vec<u8>),
    /// The manifest itself.
    Manifest,
}

/// Who has signed, by what is said beside the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// Who holds a key.
    Key,
    /// Who showed an authority who they are: the key is in a certificate and lived for minutes.
    Certificate,
}

/// A document that a signature may be of.
#[derive(Debug, Clone, Copy)]
pub struct Signable<'a> {
    /// Its digest.
    pub digest: &'a Digest,
    /// Itself.
    pub bytes: &'a [u8],
}

/// What the holder of a key has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The digests of what they vouch for.
    pub digests: Vec<Digest>,
    /// What they called it, where they said that.
    pub name: Option<Reference>,
}

/// What comes of looking at a signature.
pub type Checked<T> = std::result::Result<T, Fault>;

/// Why a signature does not count, the least telling first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It was made by another key, or what it is of has been changed.
    OtherKey,
    /// It was made with a certificate, which nobody here verifies.
    NeedsAuthority,
    /// It cannot be read.
    Unread(String),
    /// It is right, and of this.
    OfAnother(Digest),
    /// It is right, and for this name.
    OtherName(String),
}

impl Signature {
    /// Takes a bundle of sigstore's apart. Nothing of it is verified.
    ///
    /// # Errors
    /// Why it is none.
    pub fn of_bundle(bytes: &[u8]) -> Checked<Self> {
        bundle::parse(bytes)
    }

    /// What the holder of this key says by it, of `documents` or of anything else.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn claim(&self, key: &PublicKey, documents: &[Signable<'_>]) -> Checked<Claim> {
        let is_signed = |message: &[u8]| self.signatures.iter().any(|signature| key.has_signed(message, signature));
        let claim = match &self.form {
            Form::Simple(payload) => is_signed(payload).then(|| Claim::of_payload(payload)),
            Form::Envelope(kind, payload) => {
                is_signed(&bundle::authenticated(kind, payload)).then(|| Claim::of_statement(kind, payload))
            }
            Form::Manifest => documents
                .iter()
                .find(|document| is_signed(document.bytes))
                .map(|document| Ok(Claim { digests: vec![document.digest.clone()], name: None })),
        };
        claim.unwrap_or(Err(match self.maker {
            Maker::Key => Fault::OtherKey,
            Maker::Certificate => Fault::NeedsAuthority,
        }))
    }
}

impl Claim {
    /// Reads cosign's payload of simple signing. Who has said it, and whether, is not known of it alone.
    ///
    /// # Errors
    /// Why it is none.
    pub fn of_payload(bytes: &[u8]) -> Checked<Self> {
        simple::parse(bytes)
    }

    /// Reads the payload of an envelope, of this type. Who has said it, and whether, is not known of it alone.
    ///
    /// # Errors
    /// Why it says of no image that it is signed.
    pub fn of_statement(kind: &str, bytes: &[u8]) -> Checked<Self> {
        bundle::statement(kind, bytes)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKey => f.write_str("is by another key, or was changed"),
            Self::NeedsAuthority => {
                f.write_str("needs a certificate of Fulcio or an entry of Rekor, which are not verified here")
            }
            Self::Unread(reason) => write!(f, "cannot be read: {reason}"),
            Self::OfAnother(digest) => write!(f, "is of {digest}, which is something else"),
            Self::OtherName(name) => write!(f, "is for {name}"),
        }
    }
}

#[cfg(test)]
mod tests;
