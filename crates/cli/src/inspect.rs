//! `inspect`: everything about containers, as JSON or by a template.

mod document;

use std::process::ExitCode;

use cgroup::Hierarchies;
use engine::containers::Engine;
use error::Result;
use lexopt::Parser;

use crate::command::{Command, containers};
use crate::documents::{Documents, NO_TEMPLATE};
use crate::flags::{End, Flag, Given, Usage};
use crate::ps::Seen;
use crate::report;

/// What `inspect` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inspect {
    /// A template, `json`, or nothing.
    format: String,
    /// Whether it is told how much each has written.
    size: bool,
    containers: Vec<String>,
}

/// The table of `inspect`.
pub(crate) const INSPECT: Usage<Inspect> = Usage {
    command: "inspect",
    words: "CONTAINER...",
    doc: "Print everything about containers, as JSON",
    flags: &[&[
        Flag::value("format", "FORMAT", format_by, "show them by a Go template, or json: {{.State.Status}}").short('f'),
        Flag::switch("size", |inspect: &mut Inspect, on| inspect.size = on, "tell how much each has written")
            .short('s'),
        Flag::value("type", "TYPE", kind, "what they are: container"),
    ]],
    end: End::Never,
};

fn format_by(inspect: &mut Inspect, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut inspect.format);
    Ok(())
}

fn kind(_: &mut Inspect, given: Given<'_>) -> Result<()> {
    match given.value {
        "container" => Ok(()),
        _ => Err(given.refused("is nothing that can be inspected here").hint("use container").into()),
    }
}

/// Reads the words after `inspect`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut inspect = Inspect::default();
    Ok(match containers(&INSPECT, parser, &mut inspect)? {
        Err(help) => help,
        Ok(containers) => Command::Inspect(Inspect { containers, ..inspect }),
    })
}

/// `carboy inspect`: Docker's document, with what the kernel says of the namespaces beside it.
///
/// # Errors
/// A kernel error where the host's cgroups cannot be read.
pub(crate) fn run(engine: &Engine, inspect: &Inspect) -> Result<ExitCode> {
    let mut documents = match Documents::new(&inspect.format) {
        Err(error) => {
            report::error(&error);
            return Ok(ExitCode::from(NO_TEMPLATE));
        }
        documents => documents?,
    };
    let hierarchies = Hierarchies::read()?;
    let mut code = ExitCode::SUCCESS;
    for word in &inspect.containers {
        let added = engine.find(word).and_then(|container| {
            let size = inspect.size.then(|| engine.size(&container));
            documents.add(document::document(&Seen::of(container, &hierarchies), &engine.store, size))
        });
        if let Err(error) = added {
            report::error(&error);
            code = ExitCode::FAILURE;
        }
    }
    documents.show();
    Ok(code)
}
