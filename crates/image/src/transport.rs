//! Where images are beside registries and this host: the words of containers-transports(5).

use std::fmt;
use std::path::PathBuf;

use error::{Refused, Result};

/// How a name of an image in a registry may begin.
const REGISTRY: &str = "docker://";

/// A place with images that is no registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `oci:FOLDER[:NAME]`: an OCI layout, and which of its images.
    Layout(PathBuf, Option<String>),
    /// `oci-archive:FILE[:NAME]`: one as a tar.
    LayoutArchive(PathBuf, Option<String>),
    /// `docker-archive:FILE[:NAME]`: what docker save writes.
    DockerArchive(PathBuf, Option<String>),
    /// `dir:FOLDER`: a manifest and its blobs.
    Folder(PathBuf),
    /// `docker-daemon:NAME`: an image that Docker's daemon has.
    Daemon(String),
}

impl Transport {
    /// The place that a word names; `None` where it begins with none of their names, and so is an image's name or id.
    ///
    /// # Errors
    /// Refused where nothing follows.
    pub fn of(word: &str) -> Result<Option<Self>> {
        let Some((kind, rest)) = word.split_once(':') else { return Ok(None) };
        let split = || match rest.split_once(':') {
            Some((path, name)) => (path.into(), Some(name.to_owned()).filter(|name| !name.is_empty())),
            None => (rest.into(), None),
        };
        let found = match kind {
            "oci" => split_into(split(), Self::Layout),
            "oci-archive" => split_into(split(), Self::LayoutArchive),
            "docker-archive" => split_into(split(), Self::DockerArchive),
            "dir" => Self::Folder(rest.into()),
            "docker-daemon" => Self::Daemon(rest.to_owned()),
            _ => return Ok(None),
        };
        if rest.is_empty() || rest.starts_with(':') {
            let behind = if kind == "docker-daemon" { "an image's name" } else { "a path" };
            let refused = Refused::new("the image", word, format!("needs {behind} behind the colon"));
            return Err(refused.hint(format!("for example: {}", example(kind))).into());
        }
        Ok(Some(found))
    }

    /// What a place is called before its path.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Layout(..) => "oci",
            Self::LayoutArchive(..) => "oci-archive",
            Self::DockerArchive(..) => "docker-archive",
            Self::Folder(_) => "dir",
            Self::Daemon(_) => "docker-daemon",
        }
    }

    /// Which of its images is meant, where that is said.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Layout(_, name) | Self::LayoutArchive(_, name) | Self::DockerArchive(_, name) => name.as_deref(),
            Self::Folder(_) => None,
            Self::Daemon(name) => Some(name),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind())?;
        match self {
            Self::Layout(path, name) | Self::LayoutArchive(path, name) | Self::DockerArchive(path, name) => {
                write!(f, "{}", path.display())?;
                name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
            }
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Daemon(name) => f.write_str(name),
        }
    }
}

fn split_into(
    (path, name): (PathBuf, Option<String>),
    make: impl Fn(PathBuf, Option<String>) -> Transport,
) -> Transport {
    make(path, name)
}

fn example(kind: &str) -> &'static str {
    match kind {
        "oci" => "oci:./layout:debian",
        "oci-archive" => "oci-archive:./debian.tar",
        "docker-archive" => "docker-archive:./debian.tar",
        "dir" => "dir:./debian",
        _ => "docker-daemon:debian:12",
    }
}

/// The name of an image in a registry, without the word that says that it is in one.
#[must_use]
pub fn in_registry(word: &str) -> &str {
    word.strip_prefix(REGISTRY).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_places_as_for_skopeo() {
        let layout = |path: &str, name: Option<&str>| Transport::Layout(path.into(), name.map(str::to_owned));
        for (word, is) in [
            ("oci:/tmp/a", Some(layout("/tmp/a", None))),
            ("oci:a:", Some(layout("a", None))),
            ("oci:a:localhost:5000/b:1", Some(layout("a", Some("localhost:5000/b:1")))),
            ("dir:/a:b", Some(Transport::Folder("/a:b".into()))),
            ("docker-daemon:debian:12", Some(Transport::Daemon("debian:12".to_owned()))),
            ("docker-archive:a.tar", Some(Transport::DockerArchive("a.tar".into(), None))),
            ("oci-archive:a.tar:b", Some(Transport::LayoutArchive("a.tar".into(), Some("b".to_owned())))),
            ("debian:12", None),
            ("docker://debian", None),
            ("sha256:0123", None),
        ] {
            assert_eq!(Transport::of(word).unwrap(), is, "{word}");
            let shown = is.map(|place| place.to_string());
            assert!(shown.is_none_or(|shown| shown == word.trim_end_matches(':')), "{word}");
        }
        for word in ["oci:", "dir:", "oci::x", "docker-daemon:"] {
            assert!(Transport::of(word).is_err(), "{word}");
        }
        assert_eq!(in_registry("docker://debian:12"), "debian:12");
    }
}
