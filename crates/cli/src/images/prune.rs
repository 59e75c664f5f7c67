//! `image prune`: the images without a name go, or all that no container was made from.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Named, Partial};
use engine::journal;
use error::Result;
use jiff::Timestamp;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::help;
use crate::images::{Image, rm};
use crate::prune::agreed;
use crate::report;
use crate::value::label::Labelled;
use crate::value::moment;

/// What `image prune` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prune {
    /// Whether those go too that have a name.
    pub(crate) all: bool,
    /// Whether nobody is asked.
    pub(crate) force: bool,
    /// Which of them.
    pub(crate) filters: Vec<Filter>,
}

/// What an image must be to be meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Here since before.
    Until(Timestamp),
    /// With a label or without it.
    Label(Labelled),
    /// Without a name, or whatever it has.
    Dangling(bool),
}

/// `carboy image prune`.
pub(crate) const PRUNE: Usage<Prune> = Usage {
    command: "image prune",
    words: "",
    doc: "Remove the images that have no name and no container, and downloads that were broken off",
    flags: &[&[
        Flag::switch("all", |prune: &mut Prune, on| prune.all = on, "remove those with a name too").short('a'),
        Flag::switch("force", |prune: &mut Prune, on| prune.force = on, "do not ask").short('f'),
        Flag::values("filter", "NAME=VALUE", filter, "remove those alone with label=, label!= or here until="),
    ]],
    end: End::Never,
};

fn filter(prune: &mut Prune, given: Given<'_>) -> Result<()> {
    let hint = "use until=24h, label=NAME=VALUE, label!=NAME or dangling=true";
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.refused("is not NAME=VALUE").hint(hint).into());
    };
    prune.filters.push(match (name, value) {
        ("until", value) => {
            let until = moment::read(value).ok_or_else(|| given.refused("holds no moment").hint(moment::HINT))?;
            Filter::Until(until)
        }
        ("dangling", "true" | "1") => Filter::Dangling(true),
        ("dangling", "false" | "0") => Filter::Dangling(false),
        _ => {
            let labelled = Labelled::of_filter(name, value);
            Filter::Label(labelled.ok_or_else(|| given.declined("is no filter of images").hint(hint))?)
        }
    });
    Ok(())
}

/// Reads the words after `image prune`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut prune = Prune::default();
    match PRUNE.read(parser, &mut prune)? {
        Read::Help => Ok(Command::Help(help::of_command(&PRUNE))),
        Read::Words(words) => match words.first() {
            None => Ok(Command::Image(Image::Prune(prune))),
            Some(word) => Err(wrong_words(PRUNE.command, word, "it takes no words").into()),
        },
    }
}

/// `carboy image prune`.
pub(crate) fn run(engine: &Engine, asked: &Prune) -> Result<ExitCode> {
    let which = if asked.all { "images without at least one container associated to them" } else { "dangling images" };
    if !asked.force && !agreed(&format!("WARNING! This will remove all {which}.")) {
        return Ok(ExitCode::SUCCESS);
    }
    let (bytes, _) = remove(engine, asked)?;
    report::line(&format!("Total reclaimed space: {}", report::decimal_size(bytes)));
    Ok(ExitCode::SUCCESS)
}

/// Removes them, and says so. Gives the bytes that are free by it, and how many images that were.
///
/// # Errors
/// A kernel error.
pub(crate) fn remove(engine: &Engine, asked: &Prune) -> Result<(u64, usize)> {
    let goes = |named: &Named| {
        let all = asked.all || asked.filters.contains(&Filter::Dangling(false));
        let labels =
            || engine.store.image_config(&named.image.id).map(|config| config.config.labels).unwrap_or_default();
        (all || named.names.is_empty())
            && asked.filters.iter().all(|filter| match filter {
                Filter::Until(until) => named.image.arrived < *until,
                Filter::Label(labelled) => labelled.holds_for(&labels()),
                Filter::Dangling(_) => true,
            })
    };
    let removed = engine.prune_images(goes)?;
    if !removed.is_empty() {
        report::line("Deleted Images:");
        removed.iter().for_each(rm::tell);
        report::line("");
    }
    let freed = removed.iter().filter_map(|one| one.image.as_ref()).map(|image| image.freed.bytes).sum::<u64>();
    let further = engine.collect_garbage(Partial::Removed)?;
    engine.has_pruned(journal::Kind::Image, freed + further.bytes);
    Ok((freed + further.bytes, removed.len()))
}
