//! `inspect`: everything about containers and images, as JSON or by a template.

mod document;

use std::process::ExitCode;

use engine::containers::Engine;
use error::{Error, Refused, RefusedKind, Result};
use lexopt::Parser;
use serde_json::Value;

use crate::command::Command;
use crate::documents::{Documents, NO_TEMPLATE};
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::help;
use crate::images;
use crate::ps::{Seen, View};
use crate::report;

/// What `inspect` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inspect {
    /// A template, `json`, or nothing.
    format: String,
    /// Whether it is told how much each has written.
    size: bool,
    /// Which kind they are; a container if there is one so called, else an image, where it is not said.
    kind: Option<Kind>,
    names: Vec<String>,
}

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
}

/// The table of `inspect`.
pub(crate) const INSPECT: Usage<Inspect> = Usage {
    command: "inspect",
    words: "NAME...",
    doc: "Print everything about containers or images, as JSON",
    flags: &[&[
        Flag::value("format", "FORMAT", format_by, "show them by a Go template, or json: {{.State.Status}}").short('f'),
        Flag::switch("size", |inspect: &mut Inspect, on| inspect.size = on, "tell how much each has written")
            .short('s'),
        Flag::value("type", "TYPE", kind, "what they are: container or image"),
    ]],
    end: End::Never,
};

fn format_by(inspect: &mut Inspect, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut inspect.format);
    Ok(())
}

fn kind(inspect: &mut Inspect, given: Given<'_>) -> Result<()> {
    inspect.kind = match given.value {
        "container" => Some(Kind::Container),
        "image" => Some(Kind::Image),
        _ => {
            return Err(given.refused("is nothing that can be inspected here").hint("use container or image").into());
        }
    };
    Ok(())
}

/// The table of `image inspect`.
pub(crate) const INSPECT_IMAGE: Usage<Inspect> = Usage {
    command: "image inspect",
    words: "IMAGE...",
    doc: "Print everything about images, as JSON",
    flags: &[&[
        Flag::value("format", "FORMAT", format_by, "show them by a Go template, or json: {{.Config.Cmd}}").short('f')
    ]],
    end: End::Never,
};

/// Reads the words after `inspect`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    read_by(&INSPECT, parser, Inspect::default())
}

/// Reads the words after `image inspect`.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_image(parser: &mut Parser) -> Result<Command> {
    read_by(&INSPECT_IMAGE, parser, Inspect { kind: Some(Kind::Image), ..Inspect::default() })
}

fn read_by(usage: &Usage<Inspect>, parser: &mut Parser, mut inspect: Inspect) -> Result<Command> {
    match usage.read(parser, &mut inspect)? {
        Read::Help => Ok(Command::Help(help::of_command(usage))),
        Read::Words(names) if names.is_empty() => {
            let (what, lists) = match inspect.kind {
                Some(Kind::Image) => ("it needs the name of an image", "carboy images lists them"),
                _ => ("it needs the name of a container or an image", "carboy ps -a and carboy images list them"),
            };
            Err(wrong_words(usage.command, "", what).hint(lists).into())
        }
        Read::Words(names) => Ok(Command::Inspect(Inspect { names, ..inspect })),
    }
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
    let view = View::open(engine)?;
    let mut code = ExitCode::SUCCESS;
    for word in &inspect.names {
        let added = document(&view, word, inspect).and_then(|document| documents.add(document));
        if let Err(error) = added {
            report::error(&error);
            code = ExitCode::FAILURE;
        }
    }
    documents.show();
    Ok(code)
}

/// The document of whatever is called so.
fn document(view: &View<'_>, word: &str, inspect: &Inspect) -> Result<Value> {
    let engine = view.engine;
    let is_none = |error: &Error| matches!(error, Error::Refused(refused) if refused.kind == RefusedKind::NoSuchObject);
    let of_image = || {
        let whole = images::document::document(engine, &engine.find_image(word)?)?;
        let is_whole = matches!(inspect.format.as_str(), "" | "json");
        Ok(if is_whole { whole } else { images::document::for_template(whole) })
    };
    if inspect.kind == Some(Kind::Image) {
        return of_image();
    }
    let container = match engine.find(word) {
        Err(error) if inspect.kind.is_none() && is_none(&error) => {
            return of_image().map_err(|error| if is_none(&error) { nothing(word) } else { error });
        }
        found => found?,
    };
    let size = inspect.size.then(|| engine.size(&container));
    Ok(document::document(&Seen::of(view, container), &engine.store, size))
}

fn nothing(word: &str) -> Error {
    let refused = Refused::new("the name", word, "is neither a container's nor an image's");
    refused.kind(RefusedKind::NoSuchObject).hint("carboy ps -a and carboy images list what there is").into()
}
