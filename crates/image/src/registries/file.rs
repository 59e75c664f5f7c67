//! One file registries.conf, TOML, added to what others said before.

use std::collections::BTreeMap;
use std::path::Path;

use error::{Refused, Result};
use serde::Deserialize;

use super::{Mirror, Prefix, Registries, Rule, Serves, Settings, ShortNames};
use crate::reference::{self, Reference};

/// The file as it is written. What is not known here is of other programs' interest.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<String>,
    #[serde(default)]
    registry: Vec<Registry>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    /// Of version 1.
    registries: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorTable {
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
}

/// Adds a file: its lists take the place of former ones, its tables that of former ones for the same prefix.
pub(super) fn add(settings: &Settings, registries: &mut Registries) -> Result<()> {
    let name = settings.path.display();
    let file: File = toml::from_str(&settings.text).map_err(|error| {
        let line = error.span().and_then(|span| settings.text.get(..span.start)).map(|before| before.lines().count());
        let line = line.map_or_else(String::new, |line| format!(", line {}", line.max(1)));
        Refused::new(format!("{name}{line}"), "", error.message().trim().to_owned())
    })?;
    if file.registries.is_some() {
        let refused = Refused::new(format!("{name}"), "", "is of version 1, which has tables [registries.search]");
        return Err(refused.hint("write unqualified-search-registries and [[registry]] tables instead").into());
    }
    let refused = |field: &str, value: &str, reason: &str| Refused::new(format!("{name}: {field}"), value, reason);
    if let Some(search) = file.unqualified_search_registries {
        if let Some(wrong) = search.iter().find(|host| !reference::is_host(host)) {
            return Err(refused("unqualified-search-registries", wrong, "is no registry's host").into());
        }
        registries.search = search;
    }
    match file.short_name_mode.as_deref() {
        None => {}
        Some("disabled" | "permissive") => registries.short_names = ShortNames::Tried,
        Some("enforcing") => registries.short_names = ShortNames::Refused,
        Some(other) => {
            return Err(refused("short-name-mode", other, "is not enforcing, permissive or disabled").into());
        }
    }
    for (short, name) in file.aliases {
        // One without a name takes a former one away.
        if name.is_empty() {
            registries.aliases.remove(&short);
            continue;
        }
        match Reference::parse_bare(&name) {
            Ok(meant) if meant.tag.is_none() && meant.digest.is_none() && !reference::is_short(&name) => {
                registries.aliases.insert(short, meant);
            }
            _ => return Err(refused(&format!("aliases.{short}"), &name, "is not REGISTRY/REPOSITORY").into()),
        }
    }
    let mut own = Vec::new();
    for table in file.registry {
        own.push(rule(table, &settings.path)?);
    }
    registries.rules.retain(|former| own.iter().all(|rule| rule.prefix != former.prefix));
    registries.rules.append(&mut own);
    Ok(())
}

fn rule(table: Registry, path: &Path) -> Result<Rule> {
    let refused = |field: &str, value: &str, reason: &str| {
        Refused::new(format!("{}: registry.{field}", path.display()), value, reason)
    };
    let location = place(&table.location).ok_or_else(|| refused("location", &table.location, URL))?;
    let prefix = place(&table.prefix).ok_or_else(|| refused("prefix", &table.prefix, URL))?;
    let (prefix, location) = match (prefix, location) {
        ("", "") => return Err(refused("prefix", "", "is missing, and so is the location").into()),
        ("", location) => (Prefix::Name(location.to_owned()), None),
        (prefix, location) => {
            let prefix = match prefix.strip_prefix('*') {
                Some(domain) if domain.starts_with('.') && domain.len() > 1 => Prefix::Below(domain.to_owned()),
                Some(_) => {
                    return Err(refused("prefix", prefix, "has '*' elsewhere than in '*.' at its beginning").into());
                }
                None => Prefix::Name(prefix.to_owned()),
            };
            (prefix, Some(location.to_owned()).filter(|location| !location.is_empty()))
        }
    };
    if prefix.text().contains('*') {
        return Err(refused("prefix", prefix.text(), "has '*' elsewhere than in '*.' at its beginning").into());
    }
    let mut mirrors = Vec::new();
    for mirror in table.mirror {
        let location = place(&mirror.location).filter(|location| !location.is_empty());
        let location = location.ok_or_else(|| refused("mirror.location", &mirror.location, URL))?.to_owned();
        let serves = match mirror.pull_from_mirror.as_str() {
            "" if table.mirror_by_digest_only => Serves::Digests,
            "" | "all" => Serves::All,
            "digest-only" => Serves::Digests,
            "tag-only" => Serves::Tags,
            other => {
                let reason = "is not all, digest-only or tag-only";
                return Err(refused("mirror.pull-from-mirror", other, reason).into());
            }
        };
        mirrors.push(Mirror { location, insecure: mirror.insecure, serves });
    }
    let blocked = table.blocked.then(|| path.to_owned());
    Ok(Rule { prefix, location, insecure: table.insecure, blocked, mirrors })
}

const URL: &str = "is not HOST[:PORT][/PATH]";

/// A location without slashes at its end; none if it is a URL.
fn place(text: &str) -> Option<&str> {
    (!text.contains("://")).then(|| text.trim_end_matches('/'))
}
