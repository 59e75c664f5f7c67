//! The name of bytes by what they are: `sha256:` and 64 hexadecimal digits. OCI image specification, descriptor.md.

use std::fmt;
use std::str::FromStr;

use error::{Error, Refused};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The only algorithm, with its colon.
const ALGORITHM: &str = "sha256:";
/// Digits of a digest.
const DIGITS: usize = 64;
const FORM: &str = "sha256: and 64 digits of 0-9 and a-f";

/// A SHA-256 digest. Its text is always of the right form, so it can be a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Box<str>);

/// Why a text is no digest that can be used.
enum Fault {
    /// It is of another form.
    Form,
    /// It is one of another algorithm.
    Algorithm,
}

impl Digest {
    /// The digest whose 32 bytes these are.
    #[must_use]
    pub fn of_bytes(bytes: [u8; 32]) -> Self {
        const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let text: String = ALGORITHM.chars().chain(digits.filter_map(|d| HEX.get(usize::from(d)).copied())).collect();
        Self(text.into())
    }

    /// The digest of 64 hexadecimal digits that stand alone, as in a file's name.
    #[must_use]
    pub fn of_hex(hex: &str) -> Option<Self> {
        is_hex(hex).then(|| Self(format!("{ALGORITHM}{hex}").into()))
    }

    /// The 64 digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.get(ALGORITHM.len()..).unwrap_or_default()
    }

    /// The whole: `sha256:` and the digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(text: &str) -> Result<Self, Fault> {
        match text.strip_prefix(ALGORITHM) {
            Some(hex) if is_hex(hex) => Ok(Self(text.into())),
            Some(_) => Err(Fault::Form),
            None => Err(if is_of_another_algorithm(text) { Fault::Algorithm } else { Fault::Form }),
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_of_another_algorithm(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, encoded)| {
        let mut parts = algorithm.split(['+', '.', '_', '-']);
        let is_word =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let is_encoded = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-');
        parts.all(is_word) && !encoded.is_empty() && encoded.bytes().all(is_encoded)
    })
}

impl FromStr for Digest {
    type Err = Error;

    /// # Errors
    /// Refused, if the text is of another form or of another algorithm.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|fault| match fault {
            Fault::Form => {
                let hint = match Self::read(&text.to_ascii_lowercase()) {
                    Ok(small) => format!("say {small}"),
                    Err(_) => "give the whole of it, as registries and image lists show it".to_owned(),
                };
                Refused::new("the digest", text, format!("is not {FORM}")).hint(hint).into()
            }
            Fault::Algorithm => {
                Refused::new("the digest", text, "is of an algorithm that is not supported").hint("use sha256").into()
            }
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORM)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                Digest::read(text).map_err(|fault| match fault {
                    Fault::Form => E::invalid_value(Unexpected::Str(text), &self),
                    Fault::Algorithm => E::custom("is of an algorithm that is not supported"),
                })
            }
        }
        from.deserialize_str(Text)
    }
}
