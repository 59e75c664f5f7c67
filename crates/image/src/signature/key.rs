//! The public half of a key that signs images: PEM around the SubjectPublicKeyInfo of RFC 5280.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error::{Doing as _, Error, Refused, Result};
use oci::image::Digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use webpki::{RawPublicKeyEntity, ring};

use crate::sha256;

/// The largest file that a key is looked for in, in bytes.
const LARGEST: usize = 64 << 10;
/// What a key can sign with. ECDSA as cosign does: with SHA-256 on every curve, or with the curve's own.
const ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 7] = [
    ring::ECDSA_P256_SHA256,
    ring::ECDSA_P384_SHA384,
    ring::ECDSA_P384_SHA256,
    ring::ED25519,
    ring::RSA_PKCS1_2048_8192_SHA256,
    ring::RSA_PKCS1_2048_8192_SHA384,
    ring::RSA_PKCS1_2048_8192_SHA512,
];

/// A public key. Kept as base64 of its SubjectPublicKeyInfo.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    spki: SubjectPublicKeyInfoDer<'static>,
    fingerprint: Digest,
}

impl PublicKey {
    /// Reads the one key of a PEM file; `name` is what messages call that.
    ///
    /// # Errors
    /// Refused where it holds none, several, or one of an algorithm that is not known.
    pub fn parse(name: &str, pem: &[u8]) -> Result<Self> {
        const FIELD: &str = "the public key";
        let refused = |reason: &str| Refused::new(FIELD, name, reason);
        if pem.len() > LARGEST {
            return Err(refused("is larger than a key").into());
        }
        let mut keys = SubjectPublicKeyInfoDer::pem_slice_iter(pem);
        let spki = match keys.next() {
            Some(Ok(spki)) => spki.into_owned(),
            Some(Err(_)) => return Err(refused("is damaged: it is no whole PEM").into()),
            None => {
                let refused = refused("holds no PUBLIC KEY in PEM");
                return Err(refused.hint("cosign writes it to cosign.pub, openssl pkey -pubout prints it").into());
            }
        };
        if keys.next().is_some() {
            return Err(refused("holds more than one key").hint("give a file with one").into());
        }
        Self::of(spki).ok_or_else(|| {
            let refused = refused("is of an algorithm that is not known");
            refused.hint("use ECDSA on P-256 or P-384, Ed25519, or RSA of at least 2048 bits").into()
        })
    }

    /// The key of this form; `None` where it is of no algorithm that is known.
    fn of(spki: SubjectPublicKeyInfoDer<'static>) -> Option<Self> {
        let key = Self { fingerprint: sha256(&spki), spki };
        key.is_of_known_algorithm().then_some(key)
    }

    /// The key in a file.
    ///
    /// # Errors
    /// A kernel error; as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        let mut pem = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut pem));
        read.doing(|| format!("read the public key {}", path.display()))?;
        Self::parse(&path.display().to_string(), &pem)
    }

    /// The SHA-256 of its SubjectPublicKeyInfo in DER: `openssl pkey -pubin -outform DER | sha256sum`.
    #[must_use]
    pub fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// Whether the holder of the private half has signed exactly these bytes.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(&self.spki) else { return false };
        ALGORITHMS.iter().any(|algorithm| key.verify_signature(*algorithm, message, signature).is_ok())
    }

    /// An algorithm that fits the key finds the signature wrong, and not the key.
    fn is_of_known_algorithm(&self) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(&self.spki) else { return false };
        let fits = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            matches!(key.verify_signature(*algorithm, &[], &[]), Err(webpki::Error::InvalidSignatureForPublicKey))
        };
        ALGORITHMS.iter().any(fits)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        STANDARD.encode(&key.spki)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let spki = STANDARD.decode(&text).ok().map(SubjectPublicKeyInfoDer::from);
        spki.and_then(Self::of).ok_or_else(|| Refused::new("the public key", text, "is none").into())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.fingerprint).finish()
    }
}
