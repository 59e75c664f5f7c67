//! Platforms: an operating system and a processor, and which of them can run what was made for another.
//!
//! Words are Go's (`amd64`, `arm64`), as the specification wants it; the kernel's (`x86_64`, `aarch64`) are understood.

use std::fmt;
use std::str::FromStr;

use error::{Error, Refused};
use serde::{Deserialize, Serialize};

use crate::absent;

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct Platform {
    /// The processor's architecture: `amd64`.
    #[serde(default, deserialize_with = "absent::null")]
    pub architecture: String,
    /// The operating system: `linux`.
    #[serde(default, deserialize_with = "absent::null")]
    pub os: String,
    /// The version of the operating system.
    #[serde(rename = "os.version")]
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub os_version: Option<String>,
    /// What the operating system has to be able to do.
    #[serde(rename = "os.features")]
    #[serde(default, deserialize_with = "absent::null", skip_serializing_if = "absent::is")]
    pub os_features: Vec<String>,
    /// Which of the architecture's variants: `v7`.
    #[serde(default, deserialize_with = "absent::text", skip_serializing_if = "absent::is")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        Self::of(std::env::consts::OS, std::env::consts::ARCH, None).normal()
    }

    fn of(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.map(str::to_owned),
            ..Self::default()
        }
    }

    /// The same in Go's words, without a variant where that is what the architecture means by itself.
    #[must_use]
    pub fn normal(&self) -> Self {
        let os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let variant = self.variant.as_deref().unwrap_or_default().to_ascii_lowercase();
        let word = self.architecture.to_ascii_lowercase();
        let (architecture, variant) = match (word.as_str(), variant.as_str()) {
            ("i386" | "i486" | "i586" | "i686", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "8.0" | "v8.0") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        let variant = Some(variant.to_owned()).filter(|variant| !variant.is_empty());
        Self { architecture: architecture.to_owned(), os, variant, ..self.clone() }
    }

    /// Whether what was made for `made_for` runs here.
    #[must_use]
    pub fn matches(&self, made_for: &Self) -> bool {
        self.rank(made_for).is_some()
    }

    /// How well what was made for `made_for` suits this platform, 0 best; none, if it cannot run here. A processor runs
    /// what was made for its own older variants, and 64-bit ones run what was made for their 32-bit kin.
    #[must_use]
    pub fn rank(&self, made_for: &Self) -> Option<usize> {
        let (wanted, made_for) = (self.normal(), made_for.normal());
        if wanted.os != made_for.os {
            return None;
        }
        let variant = made_for.variant.as_deref().unwrap_or_default();
        let own = wanted.variant.as_deref().unwrap_or_default();
        let runs = runs(&wanted.architecture, own);
        runs.iter().position(|(architecture, runs)| *architecture == made_for.architecture && runs == variant)
    }
}

/// What a processor runs, best first, as architectures and variants.
fn runs<'a>(architecture: &'a str, variant: &str) -> Vec<(&'a str, String)> {
    let older = |name: &'a str, newest: u32, oldest: u32| {
        (oldest..=newest).rev().map(move |version| (name, format!("v{version}")))
    };
    let number = |text: &str| text.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok());
    let mut list = vec![(architecture, variant.to_owned())];
    match architecture {
        "amd64" => {
            list.extend(older("amd64", number(variant).unwrap_or(1).min(9).saturating_sub(1), 2));
            list.extend([("amd64", String::new()), ("386", String::new())]);
        }
        "arm" => list.extend(older("arm", number(variant).unwrap_or(7).min(9).saturating_sub(1), 5)),
        "arm64" => {
            list.push(("arm64", String::new()));
            list.extend(older("arm", 8, 5));
        }
        _ => {}
    }
    list
}

impl FromStr for Platform {
    type Err = Error;

    /// Reads what `--platform` is given: `linux/arm/v7`, `linux/amd64`, `arm64`, `linux`.
    ///
    /// # Errors
    /// Refused, if it is of another form.
    fn from_str(text: &str) -> Result<Self, Error> {
        const HINT: &str = "say linux/amd64, linux/arm64 or linux/arm/v7";
        let is_word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(is_word) {
            return Err(Refused::new("--platform", text, "is not OS/ARCHITECTURE[/VARIANT]").hint(HINT).into());
        }
        let host = Self::host();
        match *parts.as_slice() {
            [os @ ("linux" | "windows" | "darwin" | "freebsd")] => Ok(Self::of(os, &host.architecture, None)),
            [architecture] => Ok(Self::of(&host.os, architecture, None).normal()),
            [os, architecture] => Ok(Self::of(os, architecture, None).normal()),
            [os, architecture, variant] => Ok(Self::of(os, architecture, Some(variant)).normal()),
            _ => Err(Refused::new("--platform", text, "is not OS/ARCHITECTURE[/VARIANT]").hint(HINT).into()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}
