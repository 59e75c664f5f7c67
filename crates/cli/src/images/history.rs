//! `history`: how an image came to be, the last step first. Columns as Docker's.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::Image as Record;
use error::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lexopt::Parser;
use oci::image::{History as Step, ImageConfig};
use serde_json::{Value, json};

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::format::{Format, Rows};
use crate::help;
use crate::images::{Image, NOT_TOLD, since};
use crate::ps::cut;
use crate::report;
use crate::template::Data;
use crate::zone;

/// What `history` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// Whether sizes and times are for people.
    human: bool,
    /// Whether nothing is cut short.
    whole: bool,
    /// Whether ids alone are shown.
    quiet: bool,
    /// How the steps are shown.
    format: String,
    /// The image.
    image: String,
}

/// `carboy history`.
pub(crate) const HISTORY: Usage<History> = Usage {
    command: "history",
    words: "IMAGE",
    doc: "Show the steps that made an image, and what each takes",
    flags: &[&[
        Flag::value("format", "FORMAT", format, "show them by a Go template, 'table TEMPLATE', table or json"),
        Flag::switch("human", |asked: &mut History, on| asked.human = on, "sizes and times for people (true)")
            .short('H'),
        Flag::switch("no-trunc", |asked: &mut History, on| asked.whole = on, "cut nothing short"),
        Flag::switch("quiet", |asked: &mut History, on| asked.quiet = on, "show ids alone").short('q'),
    ]],
    end: End::Never,
};

fn format(asked: &mut History, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut asked.format);
    Ok(())
}

/// Reads the words after `history`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut asked = History { human: true, whole: false, quiet: false, format: String::new(), image: String::new() };
    match HISTORY.read(parser, &mut asked)? {
        Read::Help => Ok(Command::Help(help::of_command(&HISTORY))),
        Read::Words(words) => match words.as_slice() {
            [image] => Ok(Command::Image(Image::History(History { image: image.clone(), ..asked }))),
            words => {
                let word = words.get(1).map(String::as_str).unwrap_or_default();
                let refused = wrong_words(HISTORY.command, word, "it needs the name of one image");
                Err(refused.hint("carboy images lists them").into())
            }
        },
    }
}

const ROWS: Rows = Rows {
    table: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    raw: "",
    fields: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
};

fn source(asked: &History) -> String {
    match (asked.format.as_str(), asked.quiet, asked.human) {
        ("" | "table", true, _) => "{{.ID}}".to_owned(),
        ("" | "table", false, false) => format!("table {}", ROWS.table.replace("CreatedSince", "CreatedAt")),
        (format, _, _) => format.to_owned(),
    }
}

/// `carboy history`.
pub(crate) fn run(engine: &Engine, asked: &History) -> ExitCode {
    match shown(engine, asked) {
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

fn shown(engine: &Engine, asked: &History) -> Result<String> {
    let format = Format::new(&source(asked), &ROWS)?;
    let image = engine.find_image(&asked.image)?.image;
    let config = engine.store.image_config(&image.id)?;
    let zone = zone::local(&|name| std::env::var_os(name));
    let layers = layers(engine, &image)?;
    let mut rows = String::new();
    for (step, bytes, is_last) in steps(&config, &layers) {
        let id = match (is_last, asked.whole) {
            (false, _) => "<missing>",
            (true, true) => image.id.as_str(),
            (true, false) => image.short(),
        };
        rows.push_str(&format.row(Data { value: &row(step, (id, bytes), asked, &zone), methods: &[] })?);
    }
    Ok(format.whole(&rows))
}

/// What the files of each layer take, from the lowest up.
fn layers(engine: &Engine, image: &Record) -> Result<Vec<u64>> {
    let bytes = |chain| Ok(engine.store.layer_record(chain)?.map_or(0, |layer| layer.bytes));
    image.layers.iter().map(bytes).collect()
}

/// The steps, the last first, each with what its layer takes, and whether it is the last.
fn steps<'c>(config: &'c ImageConfig, layers: &[u64]) -> Vec<(&'c Step, u64, bool)> {
    let mut layers = layers.iter().copied();
    let with_layer = |step: &'c Step| (step, if step.empty_layer { 0 } else { layers.next().unwrap_or(0) });
    let steps: Vec<(&Step, u64)> = config.history.iter().map(with_layer).collect();
    let count = steps.len();
    steps.into_iter().enumerate().rev().map(|(place, (step, bytes))| (step, bytes, place + 1 == count)).collect()
}

fn row(step: &Step, (id, bytes): (&str, u64), asked: &History, zone: &TimeZone) -> Value {
    /// The widest command, in characters.
    const COMMAND: usize = 45;
    let created: Option<Timestamp> = step.created.as_deref().and_then(|text| text.parse().ok());
    let by = step.created_by.as_deref().unwrap_or_default().replace('\t', " ");
    let at = created.map(|time| time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
    let ago = created.map(since);
    json!({
        "ID": id,
        "CreatedSince": if asked.human { &ago } else { &at }.as_deref().unwrap_or(NOT_TOLD),
        "CreatedAt": at.as_deref().unwrap_or(NOT_TOLD),
        "CreatedBy": if asked.whole { by } else { cut(&by, COMMAND) },
        "Size": if asked.human { report::decimal_size(bytes) } else { bytes.to_string() },
        "Comment": step.comment.as_deref().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_stands_first_and_each_that_made_a_layer_has_its_size() {
        let step = |by: &str, empty_layer| Step { created_by: Some(by.to_owned()), empty_layer, ..Step::default() };
        let history = vec![step("ADD root", false), step("ENV A=1", true), step("RUN x", false), step("RUN y", false)];
        let config = ImageConfig { history, ..ImageConfig::default() };
        let shown = steps(&config, &[7, 8]);
        let shown: Vec<(&str, u64, bool)> =
            shown.iter().map(|(step, bytes, last)| (step.created_by.as_deref().unwrap(), *bytes, *last)).collect();
        let expected = [("RUN y", 0, true), ("RUN x", 8, false), ("ENV A=1", 0, false), ("ADD root", 7, false)];
        assert_eq!(shown, expected);
    }
}
