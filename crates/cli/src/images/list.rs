//! `images`: the images that there are, a row for each of their names. Columns and filters as Docker's.

use std::collections::BTreeMap;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::Named;
use error::Result;
use image::Reference;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lexopt::Parser;
use oci::image::ImageConfig;
use serde_json::{Value, json};

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::format::{Format, Rows};
use crate::help;
use crate::images::filter::{self, Filter};
use crate::images::{Image, NONE, NOT_TOLD, at, since};
use crate::report;
use crate::template::Data;
use crate::zone;

/// What `images` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Whether ids alone are shown.
    quiet: bool,
    /// Whether the digests that registries know are shown.
    digests: bool,
    /// Whether ids are shown as a whole.
    whole: bool,
    /// How they are shown.
    format: String,
    /// Which are shown, as `KEY=VALUE`; all must hold.
    filters: Vec<String>,
}

/// `carboy images`.
pub(crate) const LIST: Usage<List> = Usage {
    command: "images",
    words: "[NAME[:TAG]]",
    doc: "List the images that are here",
    flags: &[&[
        // Images that only a build has made in between have no record of their own.
        Flag::switch("all", |_, _| {}, "the same: there are no others").short('a'),
        Flag::switch("digests", |list: &mut List, on| list.digests = on, "show the digests that registries know"),
        Flag::values("filter", "KEY=VALUE", filter_by, filter::DOC).short('f'),
        Flag::value(
            "format",
            "FORMAT",
            format,
            "show them by a Go template, 'table TEMPLATE', table, json or raw: {{.Repository}} {{.Size}}",
        ),
        Flag::switch("no-trunc", |list: &mut List, on| list.whole = on, "show ids as a whole"),
        Flag::switch("quiet", |list: &mut List, on| list.quiet = on, "show ids alone").short('q'),
    ]],
    end: End::Never,
};

fn filter_by(list: &mut List, given: Given<'_>) -> Result<()> {
    if !given.value.contains('=') {
        return Err(given.refused("is not KEY=VALUE").hint("for example: --filter dangling=true").into());
    }
    list.filters.push(given.value.to_owned());
    Ok(())
}

fn format(list: &mut List, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut list.format);
    Ok(())
}

/// Reads the words after `images`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut list = List::default();
    match LIST.read(parser, &mut list)? {
        Read::Help => return Ok(Command::Help(help::of_command(&LIST))),
        Read::Words(words) => match words.as_slice() {
            [] => {}
            [name] => list.filters.push(format!("reference={name}")),
            [_, word, ..] => {
                let refused = wrong_words(LIST.command, word, "it takes one name");
                return Err(refused.hint("a name may hold *: carboy images 'debian*'").into());
            }
        },
    }
    Ok(Command::Image(Image::List(list)))
}

const ROWS: Rows = Rows {
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    raw: "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\n\
          virtual_size: {{.Size}}\n",
    fields: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
};

/// The format that was asked for, with what `--quiet` and `--digests` make of it.
fn source(list: &List) -> String {
    match (list.format.as_str(), list.quiet) {
        ("raw", true) => "image_id: {{.ID}}".to_owned(),
        ("" | "table", true) => "{{.ID}}".to_owned(),
        ("" | "table", false) if list.digests => {
            "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}".to_owned()
        }
        ("raw", false) if list.digests => ROWS.raw.replace("image_id:", "digest: {{.Digest}}\nimage_id:"),
        (format, _) => format.to_owned(),
    }
}

/// `carboy images`. What cannot be told of is said, and hides nothing else.
pub(crate) fn run(engine: &Engine, asked: &List) -> ExitCode {
    match written(engine, asked) {
        Ok(text) => {
            report::text(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn written(engine: &Engine, asked: &List) -> Result<String> {
    let format = Format::new(&source(asked), &ROWS)?;
    let filters = asked.filters.iter().map(|value| filter::filter(Given { flag: "filter", value }));
    let filters = filters.collect::<Result<Vec<Filter>>>()?;
    let zone = zone::local(&|name| std::env::var_os(name));
    let shows = if asked.digests || format.asks_for("Digest") { Digests::Shown } else { Digests::Left };
    let mut rows = String::new();
    for seen in shown(engine, &filters)? {
        for names in rows_of(&seen.named.names, &seen.named.image.digests, shows) {
            let value = row(&seen, &names, (&zone, asked.whole));
            rows.push_str(&format.row(Data { value: &value, methods: &[] })?);
        }
    }
    Ok(format.whole(&rows))
}

/// An image with what its configuration says.
pub(super) struct Seen {
    pub(super) named: Named,
    pub(super) config: ImageConfig,
    pub(super) created: Option<Timestamp>,
}

impl Seen {
    /// # Errors
    /// Corrupt where its configuration cannot be read.
    pub(super) fn of(engine: &Engine, named: Named) -> Result<Self> {
        let config = engine.store.image_config(&named.image.id)?;
        let created = config.created.as_deref().and_then(|text| text.parse().ok());
        Ok(Self { named, config, created })
    }
}

/// Those that are meant, the newest first.
fn shown(engine: &Engine, filters: &[Filter]) -> Result<Vec<Seen>> {
    let found = engine.images()?;
    found.damaged.iter().for_each(report::error);
    let mut shown = Vec::new();
    for named in found.whole {
        match Seen::of(engine, named) {
            Ok(seen) => shown.push(seen),
            Err(error) => report::error(&error),
        }
    }
    let moment = |word: &str| Seen::of(engine, engine.find_image(word)?).map(|seen| seen.created);
    for filter in filters {
        filter.keep(&mut shown, moment)?;
    }
    shown.sort_by_key(|seen| std::cmp::Reverse(seen.created));
    Ok(shown)
}

/// One name of an image, in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    repository: String,
    tag: String,
    digest: String,
}

/// What becomes of digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digests {
    Shown,
    Left,
}

/// The rows of an image: one for each tag, and for a repository of which it has no tag but a digest one without; where
/// digests are shown, each of them in one of its own.
fn rows_of(names: &[Reference], digests: &[String], shows: Digests) -> Vec<Names> {
    let row = |repository: &str, tag: &str, digest: &str| Names {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    let mut known: BTreeMap<String, (Vec<&str>, Vec<String>)> = BTreeMap::new();
    for name in names {
        known.entry(name.familiar_name()).or_default().0.extend(name.tag.as_deref());
    }
    for name in digests.iter().filter_map(|text| Reference::parse(text).ok()) {
        let digest = name.digest.as_ref().map(ToString::to_string);
        known.entry(name.familiar_name()).or_default().1.extend(digest);
    }
    let mut rows = Vec::new();
    for (repository, (tags, digests)) in &known {
        let tags = if tags.is_empty() { &[NONE][..] } else { tags.as_slice() };
        let digests: Vec<&str> = digests.iter().map(String::as_str).filter(|_| shows == Digests::Shown).collect();
        let digests = if digests.is_empty() { &[NONE][..] } else { digests.as_slice() };
        rows.extend(tags.iter().flat_map(|tag| digests.iter().map(|digest| row(repository, tag, digest))));
    }
    if rows.is_empty() {
        rows.push(row(NONE, NONE, NONE));
    }
    rows
}

fn row(seen: &Seen, names: &Names, (zone, whole): (&TimeZone, bool)) -> Value {
    let image = &seen.named.image;
    let size = report::decimal_size(image.bytes);
    json!({
        "ID": if whole { image.id.as_str() } else { image.short() },
        "Repository": names.repository,
        "Tag": names.tag,
        "Digest": names.digest,
        "CreatedSince": seen.created.map_or_else(|| NOT_TOLD.to_owned(), since),
        "CreatedAt": seen.created.map_or_else(|| NOT_TOLD.to_owned(), |time| at(time, zone)),
        "Size": size,
        "VirtualSize": size,
        "SharedSize": NOT_TOLD,
        "UniqueSize": NOT_TOLD,
        "Containers": NOT_TOLD,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn rows(names: &[&str], digests: &[&str], shows: Digests) -> Vec<String> {
        let names: Vec<Reference> = names.iter().map(|name| Reference::parse(name).unwrap()).collect();
        let digests: Vec<String> = digests.iter().map(|name| format!("{name}@{DIGEST}")).collect();
        let shown = |row: Names| format!("{} {} {}", row.repository, row.tag, row.digest.get(..11).unwrap_or("-"));
        rows_of(&names, &digests, shows).into_iter().map(shown).collect()
    }

    #[test]
    fn an_image_has_a_row_for_each_tag() {
        assert_eq!(rows(&[], &[], Digests::Left), ["<none> <none> -"]);
        let names = ["debian:12", "debian:13", "x.y/a:1"];
        assert_eq!(
            rows(&names, &["docker.io/library/debian"], Digests::Left),
            ["debian 12 -", "debian 13 -", "x.y/a 1 -"]
        );
        let digests = ["docker.io/library/debian", "x.y/b"];
        let expected = ["debian 12 sha256:e3b0", "debian 13 sha256:e3b0", "x.y/a 1 -", "x.y/b <none> sha256:e3b0"];
        assert_eq!(rows(&names, &digests, Digests::Shown), expected);
        assert_eq!(rows(&[], &["x.y/b"], Digests::Left), ["x.y/b <none> -"]);
    }

    #[test]
    fn quiet_and_digests_choose_the_columns() {
        let of = |list: List| source(&list);
        assert_eq!(of(List { quiet: true, ..List::default() }), "{{.ID}}");
        assert!(of(List { digests: true, ..List::default() }).contains("{{.Digest}}"));
        let raw = List { digests: true, format: "raw".to_owned(), ..List::default() };
        assert!(of(raw).contains("digest: {{.Digest}}\nimage_id: "));
        assert_eq!(of(List { quiet: true, format: "{{.Tag}}".to_owned(), ..List::default() }), "{{.Tag}}");
    }
}
