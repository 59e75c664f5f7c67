//! What a registry has: tags, repositories, what refers to an image. OCI distribution specification, "Listing Tags",
//! "Listing Referrers".

use error::{Refused, RefusedKind, Result};
use oci::image::{Descriptor, Digest, Document, media};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header::{ACCEPT, CONTENT_TYPE, LINK};
use ureq::http::{StatusCode, Uri};

use super::access::HUB;
use super::answer::Subject;
use super::exchange::Ask;
use super::manifest::pull;
use super::{Registry, Wanted, url};

/// How many are asked for at once.
const PAGE: &str = "1000";
/// The most pages that are read.
const MOST_PAGES: usize = 1000;
/// The largest page, in bytes.
const LARGEST: usize = 8 << 20;

/// The host that searches Docker Hub.
const HUB_SEARCH: &str = "https://index.docker.io/v1/search";

/// An image that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// Its repository: `library/debian` is called `debian`.
    pub name: String,
    /// What it is said to be.
    #[serde(default)]
    pub description: String,
    /// How many like it.
    #[serde(default, rename = "star_count")]
    pub stars: u64,
    /// Whether it is one of Docker's own.
    #[serde(default, rename = "is_official")]
    pub official: bool,
}

#[derive(Deserialize)]
struct Tags {
    /// Some registries say null.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Catalog {
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Found>,
}

impl Registry {
    /// Asks whether the registry lets this user in.
    ///
    /// # Errors
    /// Refused where it does not, or where it is no registry; the registry's other errors.
    pub fn greet(&self) -> Result<()> {
        let answer = self.exchange(&Ask::get(self.url("/v2/")?, Vec::new()))?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => {
                let refused = Refused::new("the registry", self.host(), "it is no registry: it has no /v2/");
                Err(refused.hint("check its host and port").into())
            }
            _ => Err(self.refusal(Subject { what: "the registry", name: self.host() }, answer)),
        }
    }

    /// All tags of a repository, in the registry's order.
    ///
    /// # Errors
    /// Refused for a repository that is not there; the registry's other errors.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let name = format!("{}/{repository}", self.host());
        let first = self.url(&format!("/v2/{repository}/tags/list?n={PAGE}"))?;
        let pages: Vec<Tags> = self.pages(Subject { what: "the repository", name: &name }, first, &pull(repository))?;
        Ok(pages.into_iter().filter_map(|page| page.tags).flatten().collect())
    }

    /// All repositories, as far as the registry tells them.
    ///
    /// # Errors
    /// The registry's errors: many do not allow it.
    pub fn catalog(&self) -> Result<Vec<String>> {
        let first = self.url(&format!("/v2/_catalog?n={PAGE}"))?;
        let subject = Subject { what: "the list of", name: self.host() };
        let pages: Vec<Catalog> = self.pages(subject, first, &["registry:catalog:*".to_owned()])?;
        Ok(pages.into_iter().filter_map(|page| page.repositories).flatten().collect())
    }

    /// The images whose name or description has this term: Docker Hub's search, and elsewhere the names of the catalog.
    ///
    /// # Errors
    /// The registry's errors.
    pub fn search(&self, term: &str, most: usize) -> Result<Vec<Found>> {
        if self.host() == HUB {
            let pairs = [("q", term), ("n", &most.to_string())];
            let mut answer = self.exchange(&Ask::get(url::parse(&url::with_query(HUB_SEARCH, &pairs))?, Vec::new()))?;
            if answer.status() != StatusCode::OK {
                return Err(self.refusal(Subject { what: "the search for", name: term }, answer));
            }
            let found: Results = self.json(&answer.bytes(LARGEST)?)?;
            return Ok(found.results.into_iter().take(most).collect());
        }
        let term = term.to_lowercase();
        let names = self.catalog()?.into_iter().filter(|name| name.contains(&term));
        let found = |name| Found { name, description: String::new(), stars: 0, official: false };
        Ok(names.map(found).take(most).collect())
    }

    /// What refers to an image as to its subject: signatures, lists of what is in it. `kind` is the type of artifact that is
    /// wanted.
    ///
    /// # Errors
    /// The registry's errors.
    pub fn referrers(&self, repository: &str, digest: &Digest, kind: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut path = format!("/v2/{repository}/referrers/{digest}");
        if let Some(kind) = kind {
            path = url::with_query(&path, &[("artifactType", kind)]);
        }
        let mut found = Vec::new();
        let mut next = Some(self.url(&path)?);
        let mut pages = 0;
        while let Some(at) = next.take().filter(|_| pages < MOST_PAGES) {
            pages += 1;
            let mut answer = self.exchange(&Ask::get(at, pull(repository)).header(ACCEPT, media::OCI_INDEX))?;
            // One that does not know this request answers 404, or with something else that is no index.
            let is_index = media::bare(answer.header(CONTENT_TYPE)) == media::OCI_INDEX;
            match answer.status() {
                StatusCode::OK if is_index => {}
                StatusCode::OK | StatusCode::NOT_FOUND => {
                    found = self.tagged_referrers(repository, digest)?;
                    break;
                }
                _ => return Err(self.refusal(Subject { what: "the image", name: digest.as_str() }, answer)),
            }
            next = self.after(&answer.url, answer.header(LINK))?;
            found.extend(manifests(&answer.bytes(LARGEST)?)?);
        }
        found.retain(|referrer| kind.is_none() || referrer.artifact_type.as_deref() == kind);
        Ok(found)
    }

    /// The referrers that a registry without that request has: an index whose tag is made of the digest.
    fn tagged_referrers(&self, repository: &str, digest: &Digest) -> Result<Vec<Descriptor>> {
        let tag = digest.as_str().replacen(':', "-", 1);
        match self.manifest(repository, Wanted::Tag(&tag), &[media::OCI_INDEX]) {
            Ok(fetched) => manifests(&fetched.bytes),
            Err(error::Error::Refused(refused)) if refused.kind == RefusedKind::NoSuchObject => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// All pages of a list.
    fn pages<T: DeserializeOwned>(&self, subject: Subject<'_>, first: Uri, scopes: &[String]) -> Result<Vec<T>> {
        let mut seen = vec![first];
        let mut pages = Vec::new();
        while let Some(at) = seen.last().cloned() {
            let mut answer = self.exchange(&Ask::get(at, scopes.to_vec()))?;
            if answer.status() != StatusCode::OK {
                return Err(self.refusal(subject, answer));
            }
            let next = self.after(&answer.url, answer.header(LINK))?;
            pages.push(self.json(&answer.bytes(LARGEST)?)?);
            match next {
                None => return Ok(pages),
                Some(next) if seen.contains(&next) || seen.len() >= MOST_PAGES => break,
                Some(next) => seen.push(next),
            }
        }
        Err(Refused::new(subject.what, subject.name, "the registry's list has no end").into())
    }

    /// The page behind this one, as the `Link` header says it. RFC 8288.
    fn after(&self, url: &Uri, links: &str) -> Result<Option<Uri>> {
        next(links).map(|said| self.next(url, said)).transpose()
    }

    fn json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|error| {
            let reason = format!("its answer is not the JSON of a registry: {error}");
            Refused::new("the registry", self.host(), reason).hint("is this a registry?").into()
        })
    }
}

fn manifests(bytes: &[u8]) -> Result<Vec<Descriptor>> {
    match Document::parse(Some(media::OCI_INDEX), bytes)? {
        Document::Index(index) => Ok(index.manifests),
        Document::Manifest(_) => Ok(Vec::new()),
    }
}

/// The target of the link whose relation is `next`.
fn next(links: &str) -> Option<&str> {
    let mut rest = links;
    loop {
        let (target, behind) = rest.split_once('<')?.1.split_once('>')?;
        let end = behind.find('<').unwrap_or(behind.len());
        let (parameters, others) = behind.split_at_checked(end)?;
        if parameters.split([';', ',']).any(is_next) {
            return Some(target);
        }
        rest = others;
    }
}

fn is_next(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or_default();
    name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_next_page_is_found() {
        for (links, target) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            ("<x>;rel=next", Some("x")),
            (r#"<a>; rel="prev", <b>; title="c"; rel="next""#, Some("b")),
            (r#"<a>; rel="prev",<b>; rel=Next"#, Some("b")),
            (r#"<a>; rel="prev""#, None),
            ("<a", None),
            ("", None),
            ("next", None),
        ] {
            assert_eq!(next(links), target, "{links}");
        }
    }
}
