//! `container prune` and `system prune`: what nobody uses goes. Words and output as Docker's.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use engine::containers::{Engine, Removal, Status};
use engine::journal;
use engine::volume::OwnVolumes;
use error::{Error, Result};
use jiff::Timestamp;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::help;
use crate::images;
use crate::network_flags;
use crate::report;
use crate::value::label::Labelled;
use crate::value::moment;
use crate::volume::Kind;
use crate::volume_flags;

/// What `container prune` or `system prune` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prune {
    /// Whether images go, too, that have a name.
    pub(crate) all: bool,
    /// Whether nobody is asked.
    pub(crate) force: bool,
    /// Whether volumes go, too, that nobody has given a name.
    pub(crate) volumes: bool,
    /// Which of them.
    pub(crate) filters: Vec<Filter>,
}

/// What a container must be to be meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Made before.
    Until(Timestamp),
    /// With a label or without it.
    Label(Labelled),
}

const FORCE: Flag<Prune> = Flag::switch("force", |prune: &mut Prune, on| prune.force = on, "do not ask").short('f');
const FILTER: Flag<Prune> = Flag::values(
    "filter",
    "NAME=VALUE",
    filter,
    "remove those alone with label=, label!= or made until= a date or 24h ago",
);

/// `carboy container prune`.
pub(crate) const OF_CONTAINERS: Usage<Prune> = Usage {
    command: "container prune",
    words: "",
    doc: "Remove the containers that do not run",
    flags: &[&[FORCE, FILTER]],
    end: End::Never,
};

/// `carboy system prune`.
pub(crate) const OF_ALL: Usage<Prune> = Usage {
    command: "system prune",
    words: "",
    doc: "Remove what nobody uses: containers that do not run, networks, images without a name, and with --volumes such volumes",
    flags: &[&[
        FORCE,
        FILTER,
        Flag::switch("all", |prune: &mut Prune, on| prune.all = on, "remove images with a name, too").short('a'),
        Flag::switch(
            "volumes",
            |prune: &mut Prune, on| prune.volumes = on,
            "remove volumes that no container uses, too",
        ),
    ]],
    end: End::Never,
};

fn filter(prune: &mut Prune, given: Given<'_>) -> Result<()> {
    let hint = "use until=24h, label=NAME=VALUE or label!=NAME";
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.refused("is not NAME=VALUE").hint(hint).into());
    };
    prune.filters.push(match name {
        "until" => {
            let until = moment::read(value).ok_or_else(|| given.refused("holds no moment").hint(moment::HINT))?;
            Filter::Until(until)
        }
        _ => {
            let labelled = Labelled::of_filter(name, value);
            Filter::Label(labelled.ok_or_else(|| given.declined("is no filter of containers").hint(hint))?)
        }
    });
    Ok(())
}

/// Reads the words after either.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(usage: &Usage<Prune>, parser: &mut Parser, of: impl FnOnce(Prune) -> Command) -> Result<Command> {
    let mut prune = Prune::default();
    match usage.read(parser, &mut prune)? {
        Read::Help => Ok(Command::Help(help::of_command(usage))),
        Read::Words(words) => match words.first() {
            None => Ok(of(prune)),
            Some(word) => Err(wrong_words(usage.command, word, "it takes no words").into()),
        },
    }
}

/// `carboy container prune`.
pub(crate) fn containers(engine: &Engine, asked: &Prune) -> Result<ExitCode> {
    if !asked.force && !agreed("WARNING! This will remove all stopped containers.") {
        return Ok(ExitCode::SUCCESS);
    }
    let mut freed = Freed::default();
    freed.containers(engine, &asked.filters)?;
    Ok(freed.told())
}

/// Docker's words for them.
const NETWORKS: &str = "  - all networks not used by at least one container\n";

/// `carboy system prune`.
pub(crate) fn all(engine: &Engine, asked: &Prune) -> Result<ExitCode> {
    let volumes = if asked.volumes { "  - all anonymous volumes not used by at least one container\n" } else { "" };
    let images =
        if asked.all { "all images without at least one container associated to them" } else { "all dangling images" };
    if !asked.force
        && !agreed(&format!(
            "WARNING! This will remove:\n  - all stopped containers\n{NETWORKS}{volumes}  - {images}\n"
        ))
    {
        return Ok(ExitCode::SUCCESS);
    }
    let mut freed = Freed::default();
    freed.containers(engine, &asked.filters)?;
    let filters = asked.filters.iter().map(|filter| match filter {
        Filter::Until(until) => network_flags::Filter::Until(*until),
        Filter::Label(labelled) => network_flags::Filter::Label(labelled.clone()),
    });
    freed.networks(engine, &filters.collect::<Vec<_>>())?;
    let mut images = images::prune::Prune { all: asked.all, force: true, filters: Vec::new() };
    images.filters.extend(asked.filters.iter().map(|filter| match filter {
        Filter::Until(until) => images::prune::Filter::Until(*until),
        Filter::Label(labelled) => images::prune::Filter::Label(labelled.clone()),
    }));
    freed.bytes += images::prune::remove(engine, &images)?.0;
    if asked.volumes {
        let labelled = asked.filters.iter().filter_map(|filter| match filter {
            Filter::Label(labelled) => Some(volume_flags::Filter::Label(labelled.clone())),
            Filter::Until(_) => None,
        });
        freed.volumes(engine, Kind::Anonymous, &labelled.collect::<Vec<_>>())?;
    }
    Ok(freed.told())
}

/// What was removed.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    pub(crate) bytes: u64,
    failed: bool,
}

impl Freed {
    fn containers(&mut self, engine: &Engine, filters: &[Filter]) -> Result<()> {
        let mut removed = Vec::new();
        let before = self.bytes;
        let listing = engine.list()?;
        listing.damaged.iter().for_each(report::error);
        for container in listing.containers {
            let record = &container.record;
            let is_meant = |filter: &Filter| match filter {
                Filter::Until(until) => record.created < *until,
                Filter::Label(labelled) => labelled.holds_for(&record.options.labels),
            };
            let runs = matches!(container.status, Status::Running(_) | Status::Restarting(_));
            if runs || !filters.iter().all(is_meant) {
                continue;
            }
            let bytes = engine.size(&container).freed_bytes + engine.log_bytes(&container);
            if self.takes(engine.remove(&record.id, Removal::Unforced, OwnVolumes::Kept), bytes) {
                removed.push(record.id.clone());
            }
        }
        self.removed("Containers", &removed);
        engine.has_pruned(journal::Kind::Container, self.bytes - before);
        Ok(())
    }

    /// Counts something that was removed, or says why it was not; whether it was.
    pub(crate) fn takes(&mut self, removed: Result<()>, bytes: u64) -> bool {
        match removed {
            Ok(()) => {
                self.bytes += bytes;
                return true;
            }
            // Somebody uses it meanwhile, or has removed it.
            Err(Error::Refused(_)) => {}
            Err(error) => {
                report::error(&error);
                self.failed = true;
            }
        }
        false
    }

    /// Says what was removed.
    pub(crate) fn removed(&self, what: &str, names: &[String]) {
        if !names.is_empty() {
            report::line(&format!("Deleted {what}:\n{}\n", names.join("\n")));
        }
    }

    /// Says how much it was in all.
    pub(crate) fn told(&self) -> ExitCode {
        report::line(&format!("Total reclaimed space: {}", report::decimal_size(self.bytes)));
        self.code()
    }

    /// Whether all went that was to go.
    pub(crate) const fn code(&self) -> ExitCode {
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Whether a person says yes to that; nobody at the other end says no.
pub(crate) fn agreed(what: &str) -> bool {
    let question = format!("{what}\nAre you sure you want to continue? [y/N] ");
    let _ = report::written(|out| out.write_all(question.as_bytes()));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if !std::io::stdin().is_terminal() {
        report::line("");
    }
    read.is_ok() && matches!(answer.trim(), "y" | "Y")
}
