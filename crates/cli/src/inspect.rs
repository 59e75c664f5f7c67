//! `inspect`: everything about containers, as JSON or by a template.

mod document;

use std::process::ExitCode;

use cgroup::Hierarchies;
use engine::containers::Engine;
use error::{Refused, Result};
use lexopt::Parser;
use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::command::{Command, containers};
use crate::flags::{End, Flag, Given, Usage};
use crate::format;
use crate::ps::Seen;
use crate::report;
use crate::template::{Data, Purpose, Template};

/// What `inspect` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inspect {
    /// A template, `json`, or nothing.
    format: String,
    /// Whether it is told how much each has written.
    size: bool,
    containers: Vec<String>,
}

/// Docker's exit code for a template that is none.
const NO_TEMPLATE: u8 = 64;

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

/// How documents are written.
enum Form {
    /// For people.
    Indented,
    /// In one line.
    Compact,
    /// Each by a template.
    Template(Template),
}

/// `carboy inspect`: Docker's document, with what the kernel says of the namespaces beside it.
///
/// # Errors
/// A kernel error where the host's cgroups cannot be read.
pub(crate) fn run(engine: &Engine, inspect: &Inspect) -> Result<ExitCode> {
    let form = match inspect.format.as_str() {
        "" => Form::Indented,
        "json" => Form::Compact,
        source => match Template::parse(source) {
            Ok(template) => Form::Template(template),
            Err(fault) => {
                report::error(&format::refused(source, &fault).into());
                return Ok(ExitCode::from(NO_TEMPLATE));
            }
        },
    };
    let hierarchies = Hierarchies::read()?;
    let mut code = ExitCode::SUCCESS;
    let mut documents = Vec::new();
    let mut lines = String::new();
    for word in &inspect.containers {
        let found = engine.find(word).and_then(|container| {
            let size = inspect.size.then(|| engine.size(&container));
            let document = document::document(&Seen::of(container, &hierarchies), &engine.store, size);
            match &form {
                Form::Template(template) => lines.push_str(&line(template, &inspect.format, &document)?),
                Form::Indented | Form::Compact => documents.push(document),
            }
            Ok(())
        });
        if let Err(error) = found {
            report::error(&error);
            code = ExitCode::FAILURE;
        }
    }
    match form {
        Form::Indented => report::line(&indented(&documents)),
        Form::Compact => report::line(&Value::Array(documents).to_string()),
        // Docker says that there is nothing with an empty line.
        Form::Template(_) if lines.is_empty() => report::line(""),
        Form::Template(_) => report::text(&lines),
    }
    Ok(code)
}

/// A document by a template, with the end of the line.
fn line(template: &Template, source: &str, document: &Value) -> Result<String> {
    let made = template.run(Data { value: document, methods: &[] }, Purpose::Rows);
    made.map(|line| line + "\n").map_err(|fault| {
        let refused: Refused = format::refused(source, &fault);
        refused.hint("carboy inspect without --format shows all fields").into()
    })
}

/// Documents with four blanks for each level, as Docker has them.
fn indented(documents: &[Value]) -> String {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let _ = documents.serialize(&mut Serializer::with_formatter(&mut text, formatter));
    String::from_utf8(text).unwrap_or_default()
}
