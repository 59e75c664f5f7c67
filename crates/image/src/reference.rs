//! The name of an image: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.
//!
//! Source: the grammar of distribution/reference and what Docker makes of names without a registry. The parts of a
//! reference are always of the right form: none holds `..`, a slash at an end, or an upper-case letter in a repository.

use std::fmt;
use std::str::FromStr;

use error::{Error, Refused, Result};
use oci::image::Digest;

/// The registry of names that give none.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag of names that give neither a tag nor a digest.
pub const DEFAULT_TAG: &str = "latest";

/// What [`DEFAULT_REGISTRY`] was called before.
const FORMER_REGISTRY: &str = "index.docker.io";
/// Where the default registry keeps the repositories that are nobody's.
const LIBRARY: &str = "library/";
/// The longest repository, in bytes.
const LONGEST: usize = 255;
/// The longest tag, in bytes.
const LONGEST_TAG: usize = 128;
/// Hexadecimal digits of an image's whole id.
const ID_DIGITS: usize = 64;
const FIELD: &str = "the image's name";

/// An image's name, complete. Its `Display` is the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The registry's host, with its port if it has one: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub registry: String,
    /// The repository's path: `library/debian`.
    pub repository: String,
    /// The tag: `latest`.
    pub tag: Option<String>,
    /// The digest of the manifest, or of the index. It says what the image is; the tag beside it only what it was called.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as Docker does: without a registry it is of docker.io, without a path there of `library`, and without
    /// a tag or a digest it is the one tagged `latest`.
    ///
    /// # Errors
    /// Refused, if it breaks the grammar, with the part that does.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reference = Self::parse_bare(text)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some(DEFAULT_TAG.to_owned());
        }
        Ok(reference)
    }

    /// The same, with no tag where none is given: the name of a repository.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_bare(text: &str) -> Result<Self> {
        if is_id(text) {
            return Err(refused(text, "is the id of an image, which is no name"));
        }
        let (registry, rest) = split_registry(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        check_registry(text, registry)?;
        check_path(text, path)?;
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let registry = if registry == FORMER_REGISTRY { DEFAULT_REGISTRY } else { registry };
        let in_library = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if in_library { format!("{LIBRARY}{path}") } else { path.to_owned() };
        if repository.len() > LONGEST {
            return Err(refused(text, format!("has a repository of more than {LONGEST} characters")));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }

    /// The whole name without tag and digest: `docker.io/library/debian`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name without tag and digest as people write it: `debian`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        match self.repository.strip_prefix(LIBRARY) {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The name as people write it: `debian:13`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.ended(self.familiar_name())
    }

    /// The same with another tag, and without a digest.
    ///
    /// # Errors
    /// Refused, if it is no tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        check_tag(tag)?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same by digest, without a tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// What a registry is asked for: the digest, or else the tag.
    #[must_use]
    pub fn version(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => DEFAULT_TAG,
        }
    }

    fn ended(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(digest.as_str());
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.ended(self.name()))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// Whether this is an image's whole id without its algorithm: it is never taken for a name.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text is the host of a registry, with its port if it has one.
#[must_use]
pub fn is_host(text: &str) -> bool {
    Reference::parse_bare(&format!("{text}/a")).is_ok_and(|name| name.registry == text)
        || text == DEFAULT_REGISTRY
        // A name without a dot, which a command line cannot say.
        || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// Whether a name gives no registry, so that it depends on the host's settings where it comes from.
#[must_use]
pub fn is_short(text: &str) -> bool {
    explicit_registry(text).is_none()
}

/// The registry of a name and what follows it.
fn split_registry(text: &str) -> (&str, &str) {
    explicit_registry(text).unwrap_or((DEFAULT_REGISTRY, text))
}

/// The registry that a name gives: its first part is one if it looks like a host and no repository can be called so.
fn explicit_registry(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once('/')?;
    let is_host = first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase());
    is_host.then_some((first, rest))
}

fn check_registry(text: &str, registry: &str) -> Result<()> {
    let (is_host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            let is_address = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            (is_address, after)
        }
        None => {
            let end = registry.find(':').unwrap_or(registry.len());
            let (host, after) = registry.split_at(end);
            (host.split('.').all(is_host_part), after)
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    if is_host && is_port {
        return Ok(());
    }
    Err(refused(text, format!("has a registry that is no host: {registry:?}")))
}

fn is_host_part(part: &str) -> bool {
    let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    is_edge(part.bytes().next())
        && is_edge(part.bytes().next_back())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn check_path(text: &str, path: &str) -> Result<()> {
    if path.is_empty() {
        return Err(refused(text, "has no repository"));
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        let lower = text.replacen(path, &path.to_ascii_lowercase(), 1);
        let refused = Refused::new(FIELD, text, "has a repository with upper-case letters, and registries take none");
        return Err(refused.hint(format!("say {lower}")).into());
    }
    match path.split('/').find(|part| !is_path_part(part)) {
        None => Ok(()),
        Some("") => Err(refused(text, "has an empty part between slashes")),
        Some(part) => {
            let hint =
                "a part is lower-case letters and digits, with single '.', one or two '_' or any '-' between them";
            let reason = format!("has a part that no repository can be called: {part:?}");
            Err(Refused::new(FIELD, text, reason).hint(hint).into())
        }
    }
}

/// Whether this is letters and digits with separators between them: `.`, `_`, `__`, or any number of `-`.
fn is_path_part(part: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_separator = |run: &[u8]| match run {
        [] | b"." | b"_" | b"__" => true,
        run => run.iter().all(|b| *b == b'-'),
    };
    let is_edge = |b: Option<&u8>| b.is_some_and(is_word);
    let bytes = part.as_bytes();
    is_edge(bytes.first()) && is_edge(bytes.last()) && bytes.split(is_word).all(is_separator)
}

fn check_tag(tag: &str) -> Result<()> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_tag = tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
        && tag.len() <= LONGEST_TAG;
    if is_tag {
        return Ok(());
    }
    let reason = format!("is not letters, digits, '_', '.' and '-', at most {LONGEST_TAG}, the first no '.' or '-'");
    Err(Refused::new("the image's tag", tag, reason).into())
}

fn refused(text: &str, reason: impl Into<String>) -> Error {
    Refused::new(FIELD, text, reason).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn reads(text: &str, whole: &str, familiar: &str) {
        let reference = Reference::parse(text).unwrap();
        assert_eq!(reference.to_string(), whole);
        assert_eq!(reference.familiar(), familiar);
        assert_eq!(Reference::parse(whole).unwrap(), reference);
        assert_eq!(Reference::parse(familiar).unwrap(), reference);
    }

    #[track_caller]
    fn refuses(text: &str, says: &str) {
        let error = Reference::parse(text).unwrap_err();
        let line = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(line.contains(says), "{line}");
    }

    #[test]
    fn a_name_without_a_registry_is_of_dockers() {
        reads("debian", "docker.io/library/debian:latest", "debian:latest");
        reads("debian:13-slim", "docker.io/library/debian:13-slim", "debian:13-slim");
        reads("me/it", "docker.io/me/it:latest", "me/it:latest");
        reads("a/b/c", "docker.io/a/b/c:latest", "a/b/c:latest");
        reads("index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest");
        reads("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest");
        reads("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000");
    }

    #[test]
    fn a_host_is_told_by_a_dot_a_colon_an_upper_case_letter_or_the_name_localhost() {
        reads("localhost/a", "localhost/a:latest", "localhost/a:latest");
        reads("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1");
        reads("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest");
        reads("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest");
        reads("Registry/a", "Registry/a:latest", "Registry/a:latest");
        reads("quay.io/a/b__c--d.e", "quay.io/a/b__c--d.e:latest", "quay.io/a/b__c--d.e:latest");
    }

    #[test]
    fn a_digest_takes_the_place_of_the_tag_or_stands_beside_it() {
        reads(&format!("a@{DIGEST}"), &format!("docker.io/library/a@{DIGEST}"), &format!("a@{DIGEST}"));
        reads(&format!("x.y/a:1@{DIGEST}"), &format!("x.y/a:1@{DIGEST}"), &format!("x.y/a:1@{DIGEST}"));
        assert_eq!(Reference::parse(&format!("a:1@{DIGEST}")).unwrap().version(), DIGEST);
        assert_eq!(Reference::parse_bare("a").unwrap().tag, None);
    }

    proptest! {
        /// The grammar of distribution/reference, as its regular expressions have it.
        #[test]
        fn every_name_of_the_grammar_is_read_and_shown_as_it_was_written(
            host in concat!(
                "([a-zA-Z0-9]([a-zA-Z0-9-]{0,3}[a-zA-Z0-9])?\\.){1,2}[a-z]{1,3}(:[0-9]{1,5})?",
                "|localhost|\\[[0-9a-f]{0,2}:[0-9a-f:]{1,3}\\]"
            ),
            path in concat!(
                "[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,2}){0,2}",
                "(/[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,2}){0,2}){0,2}"
            ),
            tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?",
            digest in "(@sha256:[0-9a-f]{64})?",
        ) {
            let text = format!("{host}/{path}{tag}{digest}");
            let read = Reference::parse_bare(&text).unwrap();
            prop_assert_eq!(read.to_string(), text.clone());
            prop_assert_eq!(Reference::parse_bare(&read.familiar()).unwrap(), read);
            let short = format!("{path}{tag}{digest}");
            // A first part that looks like a host is one.
            if is_short(&short) {
                let read = Reference::parse_bare(&short).unwrap();
                prop_assert_eq!(read.familiar(), short);
                prop_assert_eq!(read.registry, DEFAULT_REGISTRY);
            }
        }

        #[test]
        fn whatever_is_read_is_shown_so_that_it_reads_the_same(text in "[a-zA-Z0-9./:@_\\-\\[\\] ]{0,24}") {
            if let Ok(read) = Reference::parse(&text) {
                prop_assert_eq!(&Reference::parse(&read.to_string()).unwrap(), &read);
                prop_assert_eq!(&Reference::parse(&read.familiar()).unwrap(), &read);
                prop_assert!(read.repository.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_refused_with_its_part() {
        refuses("", "has no repository");
        refuses("x.y/", "has no repository");
        refuses(":1", "has no repository");
        refuses("Debian:13", "say debian:13");
        refuses("x.y/A/b", "say x.y/a/b");
        refuses("a//b", "empty part");
        refuses("a/", "empty part");
        refuses("a/../b", "\"..\"");
        refuses("a___b", "\"a___b\"");
        refuses("-a", "\"-a\"");
        refuses("a:", "the image's tag");
        refuses("a:.1", "the image's tag");
        refuses(&format!("a:{}", "t".repeat(129)), "the image's tag");
        refuses("x.y:port/a", "no host");
        refuses("a@sha256:00", "the digest");
        refuses("a@sha512:00", "not supported");
        refuses(DIGEST.trim_start_matches("sha256:"), "is the id of an image");
        refuses(&"a".repeat(250), "more than 255");
        refuses(" a", "\" a\"");
    }
}
