//! Which registries a name leads to: short names, aliases, mirrors, and registries that are blocked or need no proof.
//!
//! Source: containers-registries.conf(5), version 2, with its drop-ins; what podman, buildah and skopeo read holds here too.
//! Where nothing is said of names without a registry they are docker.io's, as with Docker.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use error::{Doing as _, Errno, Refused, Result};

use crate::reference::{self, Reference};

/// The file of a host's administrator, below its root.
pub const FILE: &str = "/etc/containers/registries.conf";

/// What the host's files say of registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    /// Where names without a registry are looked for, in this order.
    search: Vec<String>,
    /// Whether it is for the user to say which of several is meant.
    short_names: ShortNames,
    /// What names without a registry stand for.
    aliases: BTreeMap<String, Reference>,
    /// What is said of registries and parts of them.
    rules: Vec<Rule>,
}

/// A settings file's path and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it was read, for messages.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Where an image can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The registry's host, with its port if it has one.
    pub registry: String,
    /// The repository there.
    pub repository: String,
    /// Whether any certificate will do, and plain HTTP where it does not speak TLS.
    pub insecure: bool,
}

/// What becomes of a name that several registries may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ShortNames {
    /// Each registry is asked in turn.
    #[default]
    Tried,
    /// It is refused.
    Refused,
}

/// What is said of the names that begin like this.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    prefix: Prefix,
    /// What takes the prefix's place; none for the name as it is.
    location: Option<String>,
    insecure: bool,
    /// The file that says that nothing may be had from there.
    blocked: Option<PathBuf>,
    mirrors: Vec<Mirror>,
}

/// How names begin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Prefix {
    /// With these parts.
    Name(String),
    /// With a host below this domain, which begins with its dot.
    Below(String),
}

/// Where the same can be had, and is asked first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    location: String,
    insecure: bool,
    serves: Serves,
}

/// Which names a mirror is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    All,
    Digests,
    Tags,
}

impl Registries {
    /// Makes one value of a file and its drop-ins: what a later one says holds.
    ///
    /// # Errors
    /// Refused, with the file and the field that cannot be used.
    pub fn parse(files: &[Settings]) -> Result<Self> {
        let mut registries = Self::default();
        for settings in files {
            file::add(settings, &mut registries)?;
        }
        Ok(registries)
    }

    /// Reads a file and, in the order of their names, the files `*.conf` of the folder `FILE.d`. Those that are not there
    /// say nothing.
    ///
    /// # Errors
    /// A kernel error; as [`Self::parse`].
    pub fn read(file: &Path) -> Result<Self> {
        let mut folder = file.as_os_str().to_owned();
        folder.push(".d");
        let folder = PathBuf::from(folder);
        let mut paths = vec![file.to_owned()];
        let mut drop_ins: Vec<PathBuf> = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            listed => {
                let list = || -> std::io::Result<Vec<PathBuf>> { listed?.map(|item| Ok(item?.path())).collect() };
                list().map_err(errno).doing(|| format!("read the folder {}", folder.display()))?
            }
        };
        drop_ins.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        drop_ins.sort();
        paths.append(&mut drop_ins);
        let mut files = Vec::new();
        for path in paths {
            match std::fs::read_to_string(&path) {
                Ok(text) => files.push(Settings { path, text }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(errno(error)).doing(|| format!("read {}", path.display())),
            }
        }
        Self::parse(&files)
    }

    /// What a name that somebody typed may mean, in the order in which it is to be tried; at least one.
    ///
    /// # Errors
    /// Refused, if it is no name, or if it is for its user to say which registry is meant.
    pub fn meanings(&self, text: &str) -> Result<Vec<Reference>> {
        let plain = Reference::parse(text)?;
        if !reference::is_short(text) {
            return Ok(vec![plain]);
        }
        let end = text.find([':', '@']).unwrap_or(text.len());
        if let Some(alias) = text.get(..end).and_then(|name| self.aliases.get(name)) {
            return Ok(vec![Reference { tag: plain.tag, digest: plain.digest, ..alias.clone() }]);
        }
        if self.search.is_empty() {
            return Ok(vec![plain]);
        }
        let found = self.search.iter().map(|registry| Reference::parse(&format!("{registry}/{text}")));
        let found = found.collect::<Result<Vec<Reference>>>()?;
        match (found.as_slice(), self.short_names) {
            ([first, _, ..], ShortNames::Refused) => {
                let reason = format!("may be one of {}", self.search.join(", "));
                let refused = Refused::new("the image's name", text, reason);
                Err(refused.hint(format!("say which: {first}")).into())
            }
            _ => Ok(found),
        }
    }

    /// Where an image can be asked for, in the order in which it is to be tried: its mirrors, then its registry.
    ///
    /// # Errors
    /// Refused, if nothing may be had from there, or if a mirror cannot have a repository of this name.
    pub fn locations(&self, reference: &Reference) -> Result<Vec<Location>> {
        let own = Location {
            registry: reference.registry.clone(),
            repository: reference.repository.clone(),
            insecure: false,
        };
        let name = reference.name();
        let length = |rule: &Rule| rule.prefix.length_in(&name).map(|end| (rule.prefix.text().len(), end));
        let best = self.rules.iter().filter_map(|rule| Some((length(rule)?, rule))).max_by_key(|(length, _)| length.0);
        let Some(((_, end), rule)) = best else { return Ok(vec![own]) };
        if let Some(file) = &rule.blocked {
            let reason = format!("is of {}, which {} blocks", rule.prefix.text(), file.display());
            return Err(Refused::new("the image's name", reference.familiar(), reason).into());
        }
        let rest = name.get(end..).unwrap_or_default();
        let serves = |mirror: &&Mirror| match mirror.serves {
            Serves::All => true,
            Serves::Digests => reference.digest.is_some(),
            Serves::Tags => reference.digest.is_none(),
        };
        let mirrors = rule.mirrors.iter().filter(serves);
        let mut locations = Vec::new();
        for mirror in mirrors {
            locations.push(Location { insecure: mirror.insecure, ..located(&mirror.location, rest)? });
        }
        locations.push(match &rule.location {
            Some(location) => Location { insecure: rule.insecure, ..located(location, rest)? },
            None => Location { insecure: rule.insecure, ..own },
        });
        Ok(locations)
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// A name whose beginning is replaced, asked for with proof.
fn located(location: &str, rest: &str) -> Result<Location> {
    let Reference { registry, repository, .. } = Reference::parse_bare(&format!("{location}{rest}"))?;
    Ok(Location { registry, repository, insecure: false })
}

impl Prefix {
    /// How much of a name, without tag and digest, it is; none if the name begins otherwise. It ends where a part ends.
    fn length_in(&self, name: &str) -> Option<usize> {
        let end = match self {
            Self::Name(prefix) => name.starts_with(prefix.as_str()).then_some(prefix.len())?,
            Self::Below(domain) => {
                let host = name.find(['/', ':']).unwrap_or(name.len());
                let end = name.get(..host)?.ends_with(domain.split(['/', ':']).next()?).then_some(host)?;
                let after = domain.find(['/', ':']).map_or("", |start| domain.get(start..).unwrap_or_default());
                name.get(end..)?.starts_with(after).then_some(end + after.len())?
            }
        };
        matches!(name.as_bytes().get(end), None | Some(b'/' | b':')).then_some(end)
    }

    fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Below(text) => text,
        }
    }
}
