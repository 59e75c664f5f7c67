//! The dependency graph as `cargo metadata` tells it, and the rule about what the runtime must not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use error::{Corrupt, Result};
use serde_json::Value;

use super::source::Kind;
use super::{Finding, Tree, layers};
use crate::program;

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its folder's name below `crates`.
    pub(crate) krate: String,
    /// Below the workspace's folder.
    pub(crate) manifest: String,
    /// The workspace's crates that it names, by folder.
    pub(crate) uses: Vec<String>,
    /// Every package that is built for it, itself apart; those of tests and build scripts do not count.
    pub(crate) built: BTreeSet<String>,
}

impl Package {
    #[cfg(test)]
    pub(super) fn sample(krate: &str, uses: &[&str], built: &[&str]) -> Self {
        let manifest = format!("crates/{krate}/Cargo.toml");
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Self { krate: krate.to_owned(), manifest, uses: owned(uses), built: owned(built).into_iter().collect() }
    }
}

/// Asks cargo.
pub(crate) fn read(root: &Path) -> Result<Vec<Package>> {
    let output = program::read(program::cargo(root).args(["metadata", "--format-version", "1"]))?;
    let unreadable = |reason: String| Corrupt::new("the output of cargo metadata", reason);
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| unreadable(error.to_string()))?;
    Ok(parse(&metadata).ok_or_else(|| unreadable("a field is missing".to_owned()))?)
}

fn parse(metadata: &Value) -> Option<Vec<Package>> {
    let members: BTreeSet<&str> =
        metadata.get("workspace_members")?.as_array()?.iter().filter_map(Value::as_str).collect();
    let root = metadata.get("workspace_root")?.as_str()?;
    let mut names = BTreeMap::new();
    let mut folders = BTreeMap::new();
    for package in metadata.get("packages")?.as_array()? {
        let id = package.get("id")?.as_str()?;
        names.insert(id, package.get("name")?.as_str()?);
        if members.contains(id) {
            let manifest = package.get("manifest_path")?.as_str()?;
            let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/');
            folders.insert(id, manifest);
        }
    }
    let folder = |manifest: &str| manifest.rsplit('/').nth(1).unwrap_or_default().to_owned();
    let mut all = BTreeMap::new();
    let mut normal = BTreeMap::new();
    for node in metadata.get("resolve")?.get("nodes")?.as_array()? {
        let id = node.get("id")?.as_str()?;
        let edges = node.get("deps")?.as_array()?;
        all.insert(id, edges.iter().filter_map(|edge| edge.get("pkg")?.as_str()).collect::<Vec<_>>());
        let kept = edges.iter().filter(|edge| is_normal(edge));
        normal.insert(id, kept.filter_map(|edge| edge.get("pkg")?.as_str()).collect::<Vec<_>>());
    }
    let mut packages = Vec::new();
    for (id, manifest) in &folders {
        let used = all.get(id).into_iter().flatten().filter_map(|edge| folders.get(edge));
        let built = reach(id, &normal).into_iter().filter_map(|id| names.get(id));
        packages.push(Package {
            krate: folder(manifest),
            manifest: (*manifest).to_owned(),
            uses: used.map(|manifest| folder(manifest)).collect(),
            built: built.map(|name| (*name).to_owned()).collect(),
        });
    }
    Some(packages)
}

/// Whether the edge is there outside tests and build scripts.
fn is_normal(edge: &Value) -> bool {
    let kinds = edge.get("dep_kinds").and_then(Value::as_array);
    kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind.get("kind").is_none_or(Value::is_null)))
}

fn reach<'a>(start: &'a str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(id) = next.pop() {
        let new = edges.get(id).into_iter().flatten().filter(|to| reached.insert(**to));
        next.extend(new.copied().collect::<Vec<_>>());
    }
    reached
}

/// Packages that speak HTTP or TLS, or bring a runtime for async.
const NETWORKED: &[&str] =
    &["http", "hyper", "h2", "reqwest", "ureq", "oci-client", "rustls", "native-tls", "openssl", "tokio", "async-std"];

/// Words of the layers above. `oci` holds the image documents, so there `image` is a word of its own.
const WORDS: &[&str] = &["image", "images", "registry", "registries", "http", "https", "engine"];

/// Neither the packages nor the names of `runtime` and of the layers below it tell of images, engines or HTTP.
pub(super) fn runtime_knows_no_images(tree: &Tree) -> Result<Vec<Finding>> {
    let knows_nothing = |krate: &str| krate == "runtime" || layers::of(krate).is_some_and(|layer| layer < 3);
    let mut findings = Vec::new();
    for package in tree.packages.iter().filter(|package| knows_nothing(&package.krate)) {
        for name in NETWORKED.iter().filter(|name| package.built.contains(**name)) {
            findings.push(Finding::new(&package.manifest, 1, format!("{} is built with {name}", package.krate)));
        }
    }
    for source in tree.sources.iter().filter(|source| knows_nothing(&source.krate)) {
        for (_, token) in source.code().filter(|(_, token)| token.kind == Kind::Ident) {
            let known = words(&token.text).into_iter().find(|word| WORDS.contains(&word.as_str()));
            let own = source.krate == "oci" && known.as_deref().is_some_and(|word| word.starts_with("image"));
            if let Some(word) = known.filter(|_| !own) {
                findings.push(Finding::new(&source.path, token.line, format!("`{}` tells of {word}", token.text)));
            }
        }
    }
    Ok(findings)
}

/// The words of a name in snake or camel case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && after_small) {
            words.push(String::new());
        }
        after_small = letter.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_speaks_http_is_found_below_the_runtime_only() {
        let packages = ["runtime", "image"].map(|krate| Package::sample(krate, &[], &["hyper", "bitflags"])).into();
        let findings = runtime_knows_no_images(&Tree { packages, ..Tree::default() }).unwrap();
        assert_eq!(findings, [Finding::new("crates/runtime/Cargo.toml", 1, "runtime is built with hyper")]);
    }

    #[test]
    fn a_name_that_tells_of_images_is_found_where_it_should_not_be_known() {
        let text = "fn pull_image() {}\nstruct RegistryClient;\nconst HTTP_PORT: u16;\nfn imagine() {}";
        let tree = Tree::sample(&[("crates/cgroup/src/a.rs", text), ("crates/engine/src/a.rs", text)]);
        let lines: Vec<usize> = runtime_knows_no_images(&tree).unwrap().iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 3]);
        assert!(
            runtime_knows_no_images(&Tree::sample(&[("crates/oci/src/a.rs", "struct ImageManifest;")]))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn metadata_becomes_folders_uses_and_what_is_built() {
        let metadata = serde_json::json!({
            "workspace_root": "/w", "workspace_members": ["a", "b"],
            "packages": [
                {"id": "a", "name": "carboy-a", "manifest_path": "/w/crates/a/Cargo.toml"},
                {"id": "b", "name": "carboy-b", "manifest_path": "/w/crates/b/Cargo.toml"},
                {"id": "x", "name": "x", "manifest_path": "/r/x/Cargo.toml"},
                {"id": "t", "name": "t", "manifest_path": "/r/t/Cargo.toml"}],
            "resolve": {"nodes": [
                {"id": "a", "deps": [{"pkg": "b", "dep_kinds": [{"kind": null}]}, {"pkg": "t", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "b", "deps": [{"pkg": "x", "dep_kinds": [{"kind": null}]}]},
                {"id": "x", "deps": []}, {"id": "t", "deps": []}]},
        });
        let packages = parse(&metadata).unwrap();
        let first = packages.first().unwrap();
        assert_eq!((first.krate.as_str(), first.manifest.as_str()), ("a", "crates/a/Cargo.toml"));
        assert_eq!(first.uses, ["b"]);
        assert_eq!(first.built.iter().map(String::as_str).collect::<Vec<_>>(), ["carboy-b", "x"]);
    }
}
