//! The policy file: containers-policy.json(5), as podman, buildah and skopeo read it.
//!
//! What it says of `docker` holds for registries, and what it says of the other transports for what is loaded from archives
//! and folders. `signedBy`, `fulcio`, `pki` and Rekor's keys are not known: an image to which they apply is refused. So is one
//! that is in no registry where any signature is demanded, since none is looked for there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error::{Doing as _, Error, Refused, Result};
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Demand, Identity, identity};
use crate::reference::Reference;
use crate::signature::PublicKey;
use crate::transport::Transport;

/// What a policy calls archives of root file systems.
const ROOT: &str = "tarball";

/// What must be true of the images of each name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    path: PathBuf,
    default: Vec<Requirement>,
    /// By transport and scope.
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Accepted,
    Rejected,
    Signed {
        keys: Keys,
        identity: Identity,
    },
    /// One that is not known here, by the name of its field.
    Unknown(&'static str),
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keys {
    Files(Vec<PathBuf>),
    Data(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct File {
    default: Vec<Written>,
    #[serde(default)]
    transports: Once<Once<Vec<Written>>>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
enum Written {
    InsecureAcceptAnything {},
    Reject {},
    /// Of GPG.
    SignedBy(BTreeMap<String, IgnoredAny>),
    SigstoreSigned(Sigstore),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sigstore {
    key_path: Option<PathBuf>,
    key_paths: Option<Vec<PathBuf>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    fulcio: Option<IgnoredAny>,
    pki: Option<IgnoredAny>,
    rekor_public_key_path: Option<IgnoredAny>,
    rekor_public_key_paths: Option<IgnoredAny>,
    rekor_public_key_data: Option<IgnoredAny>,
    rekor_public_key_datas: Option<IgnoredAny>,
    signed_identity: Option<identity::Written>,
}

/// A map in which a key stands once: of two rules for the same, neither can be the one that is meant.
struct Once<T>(BTreeMap<String, T>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Once<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Once<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> std::result::Result<Once<T>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = from.next_entry::<String, T>()? {
                    if map.insert(key.clone(), value).is_some() {
                        return Err(de::Error::custom(format!("{key} stands there twice")));
                    }
                }
                Ok(Once(map))
            }
        }
        from.deserialize_map(Entries(std::marker::PhantomData))
    }
}

impl Policy {
    /// The file of a host's administrator.
    pub const FILE: &str = "/etc/containers/policy.json";

    /// Understands a file's text; `path` is for messages. Keys are read when they are needed.
    ///
    /// # Errors
    /// Refused, with what is wrong with it.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        let name = path.display().to_string();
        let file: File = oci::document::parse("", text).map_err(|error| within(&name, error))?;
        let understood = |at: &str, list: Vec<Written>| -> Result<Vec<Requirement>> {
            let at = format!("{name}: {at}");
            if list.is_empty() {
                let refused = Refused::new(at, "", "demands nothing, not even that anything is accepted");
                return Err(refused.hint("write insecureAcceptAnything or reject").into());
            }
            list.into_iter().map(|one| one.understood().map_err(|error| within(&at, error))).collect()
        };
        let default = understood("default", file.default)?;
        let mut transports = BTreeMap::new();
        for (transport, scopes) in file.transports.0 {
            let mut rules = BTreeMap::new();
            for (scope, list) in scopes.0 {
                let list = understood(&format!("transports.{transport}.{scope:?}"), list)?;
                rules.insert(scope, list);
            }
            transports.insert(transport, rules);
        }
        Ok(Self { path: path.to_owned(), default, transports })
    }

    /// Reads the first of these files that is there; `None` where none is.
    ///
    /// # Errors
    /// A kernel error; as [`Self::parse`].
    pub fn read(files: &[PathBuf]) -> Result<Option<Self>> {
        for path in files {
            match std::fs::read(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                text => {
                    let text = text.doing(|| format!("read {}", path.display()))?;
                    return Self::parse(path, &text).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// What is demanded of an image of a registry before it may be taken; nothing where anything is accepted.
    ///
    /// # Errors
    /// Refused where it may not be taken at all, where what the policy demands is not known here, or where a key cannot
    /// be used.
    pub fn demands(&self, name: &Reference) -> Result<Vec<Demand>> {
        let (scope, requirements) = self.rule("docker", scopes(name));
        let mut demands = Vec::new();
        for requirement in requirements {
            match requirement {
                Requirement::Accepted => {}
                Requirement::Rejected => {
                    return Err(self.refused(name.familiar(), &format!("{scope} rejects it")).into());
                }
                Requirement::Unknown(field) => return Err(self.unknown(name.familiar(), &scope, field).into()),
                Requirement::Signed { keys, identity } => demands.push(Demand {
                    keys: keys.read()?,
                    identity: identity.clone(),
                    by: self.path.display().to_string(),
                }),
            }
        }
        Ok(demands)
    }

    /// Whether an image may be taken from a place that is no registry.
    ///
    /// # Errors
    /// Refused where it may not, and where it would need a signature.
    pub fn accepts(&self, place: &Transport) -> Result<()> {
        self.accepts_of(place.kind(), &place.to_string(), place_scopes(place))
    }

    /// Whether an archive of a root file system, by the name that the caller gave it, may become an image.
    ///
    /// # Errors
    /// As [`Self::accepts`].
    pub fn accepts_root(&self, archive: &str) -> Result<()> {
        self.accepts_of(ROOT, &format!("{ROOT}:{archive}"), Vec::new())
    }

    fn accepts_of(&self, transport: &str, shown: &str, scopes: Vec<String>) -> Result<()> {
        let (scope, requirements) = self.rule(transport, scopes.into_iter());
        for requirement in requirements {
            let refused = match requirement {
                Requirement::Accepted => continue,
                Requirement::Rejected => self.refused(shown.to_owned(), &format!("{scope} rejects it")),
                Requirement::Unknown(field) => self.unknown(shown.to_owned(), &scope, field),
                Requirement::Signed { .. } => {
                    let reason = format!("{scope} demands a signature, and only registries are asked for one");
                    self.refused(shown.to_owned(), &reason).hint("pull it from a registry that has its signature")
                }
            };
            return Err(refused.into());
        }
        Ok(())
    }

    fn unknown(&self, name: String, scope: &str, field: &str) -> Refused {
        let refused = self.refused(name, &format!("{scope} demands {field}, which carboy does not verify"));
        refused.hint("sigstoreSigned with keyPath or keyData is verified")
    }

    fn refused(&self, name: String, reason: &str) -> Refused {
        Refused::new("the image", name, format!("{}: {reason}", self.path.display()))
    }

    /// The rule of the first of these scopes that has one, else of the whole transport, else of everything.
    fn rule(&self, transport: &str, mut scopes: impl Iterator<Item = String>) -> (String, &[Requirement]) {
        if let Some(rules) = self.transports.get(transport) {
            let own = scopes.find_map(|scope| rules.get(&scope).map(|list| (format!("{transport} {scope}"), list)));
            let all = || rules.get("").map(|list| (transport.to_owned(), list));
            if let Some((scope, list)) = own.or_else(all) {
                return (scope, list);
            }
        }
        ("default".to_owned(), &self.default)
    }
}

/// A refusal with the place where its field stands.
fn within(at: &str, error: Error) -> Error {
    match error {
        Error::Refused(mut refused) => {
            let field = std::mem::take(&mut refused.field);
            refused.field = if field.is_empty() { at.to_owned() } else { format!("{at}: {field}") };
            Error::Refused(refused)
        }
        error => error,
    }
}

/// The scopes that an image belongs to, the narrowest first: itself, its repository and what that lies in, its registry,
/// and the domains above.
fn scopes(name: &Reference) -> impl Iterator<Item = String> {
    let version = match (&name.digest, &name.tag) {
        (Some(digest), _) => format!("@{digest}"),
        (None, Some(tag)) => format!(":{tag}"),
        (None, None) => String::new(),
    };
    let whole = name.name();
    let mut found = vec![format!("{whole}{version}"), whole.clone()];
    let mut rest = whole.as_str();
    while let Some((parent, _)) = rest.rsplit_once('/') {
        found.push(parent.to_owned());
        rest = parent;
    }
    let mut host = rest.split(':').next().unwrap_or_default();
    while let Some((_, domain)) = host.split_once('.') {
        found.push(format!("*.{domain}"));
        host = domain;
    }
    found.into_iter()
}

/// The scopes of a place that is no registry, the narrowest first. Paths are absolute and without symbolic links.
fn place_scopes(place: &Transport) -> Vec<String> {
    let (path, image) = match place {
        Transport::Layout(path, name) | Transport::LayoutArchive(path, name) => {
            (path, Some(name.as_deref().unwrap_or_default()))
        }
        Transport::Folder(path) => (path, None),
        // An id is nobody's name.
        Transport::Daemon(name) if name.starts_with("sha256:") => return Vec::new(),
        Transport::Daemon(name) => {
            return Reference::parse(name).map_or_else(|_| Vec::new(), |name| scopes(&name).collect());
        }
        // The policies of others know no scopes of these.
        Transport::DockerArchive(..) => return Vec::new(),
    };
    let Ok(path) = std::fs::canonicalize(path) else { return Vec::new() };
    let whole = image.map(|image| format!("{}:{image}", path.display()));
    let above = path.ancestors().filter(|path| path.parent().is_some()).map(|path| path.display().to_string());
    whole.into_iter().chain(above).collect()
}

impl Written {
    fn understood(self) -> Result<Requirement> {
        match self {
            Self::InsecureAcceptAnything {} => Ok(Requirement::Accepted),
            Self::Reject {} => Ok(Requirement::Rejected),
            Self::SignedBy(fields) if !fields.contains_key("keyType") => {
                Err(Refused::new("signedBy", "", "has no keyType").into())
            }
            Self::SignedBy(_) => Ok(Requirement::Unknown("signedBy (GPG)")),
            Self::SigstoreSigned(sigstore) => sigstore.understood(),
        }
    }
}

impl Sigstore {
    fn understood(self) -> Result<Requirement> {
        let unknown = [
            ("fulcio", &self.fulcio),
            ("pki", &self.pki),
            ("rekorPublicKeyPath", &self.rekor_public_key_path),
            ("rekorPublicKeyPaths", &self.rekor_public_key_paths),
            ("rekorPublicKeyData", &self.rekor_public_key_data),
            ("rekorPublicKeyDatas", &self.rekor_public_key_datas),
        ];
        if let Some((field, _)) = unknown.into_iter().find(|(_, value)| value.is_some()) {
            return Ok(Requirement::Unknown(field));
        }
        let files = self.key_paths.into_iter().chain(self.key_path.map(|path| vec![path])).map(Keys::Files);
        let data = self.key_datas.into_iter().chain(self.key_data.map(|data| vec![data])).map(Keys::Data);
        let mut keys = files.chain(data);
        let (Some(first), None) = (keys.next(), keys.next()) else {
            let reason = "needs one of keyPath, keyPaths, keyData and keyDatas";
            return Err(Refused::new("sigstoreSigned", "", reason).into());
        };
        let identity = self.signed_identity.map(Identity::of).transpose()?.unwrap_or_default();
        Ok(Requirement::Signed { keys: first, identity })
    }
}

impl Keys {
    fn read(&self) -> Result<Vec<PublicKey>> {
        match self {
            Self::Files(paths) => paths.iter().map(|path| PublicKey::read(path)).collect(),
            Self::Data(texts) => texts
                .iter()
                .map(|text| {
                    let decoded = STANDARD.decode(text);
                    let pem = decoded.map_err(|_| Refused::new("keyData", text, "is not base64"))?;
                    PublicKey::parse("of keyData", &pem)
                })
                .collect(),
        }
    }
}
