//! `search` and `tags`: what registries have.

use std::process::ExitCode;

use error::{Refused, Result};
use image::reference::DEFAULT_REGISTRY;
use image::registry::Found;
use lexopt::Parser;
use serde_json::json;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::format::{Format, Rows};
use crate::registry::Ways;
use crate::template::Data;
use crate::{help, report};

/// As many as Docker shows, and as it shows at the most.
const USUAL: usize = 25;
const MOST: usize = 100;
/// Characters of a description in the table.
const DESCRIPTION: usize = 45;

/// What `search` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Search {
    term: String,
    most: usize,
    whole: bool,
    format: String,
    filters: Vec<Filter>,
}

/// What an image must be to be shown.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    /// Whether Docker itself makes it.
    Official(bool),
    /// Liked by so many at least.
    Stars(u64),
}

/// What `tags` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    name: String,
    json: bool,
}

pub(crate) const SEARCH: Usage<Search> = Usage {
    command: "search",
    words: "[REGISTRY/]TERM",
    doc: "Find images by a part of their name

On Docker Hub by its own search; elsewhere by the list of repositories, which not every registry gives.",
    flags: &[&[
        Flag::values("filter", "FILTER", filter, "only those with is-official=true, stars=NUMBER").short('f'),
        Flag::value(
            "format",
            "FORMAT",
            |search: &mut Search, given| {
                search.format = given.value.to_owned();
                Ok(())
            },
            "table, json, or a template for each",
        ),
        Flag::value("limit", "NUMBER", limit, "show so many at the most (25)"),
        Flag::switch("no-trunc", |search: &mut Search, on| search.whole = on, "show descriptions whole"),
    ]],
    end: End::Never,
};

pub(crate) const TAGS: Usage<Tags> = Usage {
    command: "tags",
    words: "NAME",
    doc: "List the tags that an image has at its registry",
    flags: &[&[Flag::switch("json", |tags: &mut Tags, on| tags.json = on, "print JSON")]],
    end: End::Never,
};

fn limit(search: &mut Search, given: Given<'_>) -> Result<()> {
    let refused = || given.refused(format!("is no number from 1 to {MOST}"));
    search.most = given.value.parse().ok().filter(|most| (1..=MOST).contains(most)).ok_or_else(refused)?;
    Ok(())
}

fn filter(search: &mut Search, given: Given<'_>) -> Result<()> {
    search.filters.push(match given.value.split_once('=') {
        Some(("is-official", "true" | "1")) => Filter::Official(true),
        Some(("is-official", "false" | "0")) => Filter::Official(false),
        Some(("stars", number)) => Filter::Stars(
            number.parse().map_err(|_| given.refused("has no number of stars").hint("for example: stars=3"))?,
        ),
        _ => return Err(given.refused("is no filter of images").hint("use is-official=true or stars=NUMBER").into()),
    });
    Ok(())
}

/// Reads the words of `search`.
pub(crate) fn read_search(parser: &mut Parser) -> Result<Command> {
    let mut search =
        Search { term: String::new(), most: USUAL, whole: false, format: String::new(), filters: Vec::new() };
    match SEARCH.read(parser, &mut search)? {
        Read::Help => Ok(Command::Help(help::of_command(&SEARCH))),
        Read::Words(words) => {
            search.term = one("search", ("a term", "debian"), words)?;
            Ok(Command::Search(search))
        }
    }
}

/// Reads the words of `tags`.
pub(crate) fn read_tags(parser: &mut Parser) -> Result<Command> {
    let mut tags = Tags::default();
    match TAGS.read(parser, &mut tags)? {
        Read::Help => Ok(Command::Help(help::of_command(&TAGS))),
        Read::Words(words) => {
            tags.name = one("tags", ("the name of an image", "debian"), words)?;
            Ok(Command::Tags(tags))
        }
    }
}

fn one(command: &str, (what, example): (&str, &str), words: Vec<String>) -> Result<String> {
    let mut words = words.into_iter();
    let refused = match (words.next(), words.next()) {
        (Some(word), None) if !word.is_empty() => return Ok(word),
        (Some(_) | None, None) => wrong_words(command, "", format!("it needs {what}")),
        (_, Some(word)) => wrong_words(command, word, format!("it takes {what} and nothing else")),
    };
    Err(refused.hint(format!("for example: carboy {command} {example}")).into())
}

const ROWS: Rows = Rows {
    table: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
    raw: "",
    fields: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
        ("IsAutomated", "AUTOMATED"),
    ],
};

/// `carboy search`.
pub(crate) fn run(ways: &Ways, asked: &Search) -> Result<ExitCode> {
    let format = Format::new(&asked.format, &ROWS)?;
    let (host, term) = split(&asked.term);
    let found = ways.registry(host, "any")?.search(term, asked.most)?;
    let mut rows = String::new();
    for image in found.iter().filter(|image| asked.filters.iter().all(|filter| is_meant(image, filter))) {
        let name = if host == DEFAULT_REGISTRY { image.name.clone() } else { format!("{host}/{}", image.name) };
        let description = if asked.whole { one_line(&image.description) } else { cut(&image.description) };
        let value = json!({
            "Name": report::harmless(&name),
            "Description": report::harmless(&description),
            "StarCount": image.stars.to_string(),
            "IsOfficial": if image.official { "[OK]" } else { "" },
            "IsAutomated": "",
        });
        rows.push_str(&format.row(Data { value: &value, methods: &[] })?);
    }
    report::text(&format.whole(&rows));
    Ok(ExitCode::SUCCESS)
}

/// The registry that is searched, and for what.
fn split(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((host, rest)) if host == "localhost" || host.contains(['.', ':']) => (host, rest),
        Some(_) | None => (DEFAULT_REGISTRY, term),
    }
}

fn is_meant(image: &Found, filter: &Filter) -> bool {
    match filter {
        Filter::Official(wanted) => image.official == *wanted,
        Filter::Stars(least) => image.stars >= *least,
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// A description in one line, of the table's width.
fn cut(text: &str) -> String {
    let line = one_line(text);
    if line.chars().count() <= DESCRIPTION {
        return line;
    }
    let beginning: String = line.chars().take(DESCRIPTION - 1).collect();
    beginning + "…"
}

/// `carboy tags`.
pub(crate) fn tags(ways: &Ways, asked: &Tags) -> Result<ExitCode> {
    let (name, tags) = first(ways, &asked.name)?;
    if asked.json {
        report::line(&json!({ "name": name, "tags": tags }).to_string());
    } else {
        tags.iter().for_each(|tag| report::line(&report::harmless(tag)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The tags at the first registry that has an image of this name, with its whole name.
fn first(ways: &Ways, name: &str) -> Result<(String, Vec<String>)> {
    let mut failed = None;
    for name in ways.registries.meanings(name)? {
        for (registry, repository) in ways.places(&name)? {
            match registry.tags(&repository) {
                Ok(tags) => return Ok((name.name(), tags)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    Err(failed.unwrap_or_else(|| Refused::new("the image's name", name, "leads to no registry").into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        assert_eq!(split("debian"), ("docker.io", "debian"));
        assert_eq!(split("team/app"), ("docker.io", "team/app"));
        assert_eq!(split("localhost:5000/app"), ("localhost:5000", "app"));
        assert_eq!(split("quay.io/"), ("quay.io", ""));
    }

    #[test]
    fn a_long_description_is_cut_to_the_tables_width() {
        assert_eq!(cut("a\nb"), "a b");
        assert_eq!(cut(&"x".repeat(45)), "x".repeat(45));
        assert_eq!(cut(&"x".repeat(46)), "x".repeat(44) + "…");
    }
}
