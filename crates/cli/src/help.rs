//! `--help`: text made from the tables of flags.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::flags::{Flag, Takes, Usage};

/// The text of `carboy COMMAND --help`.
pub(crate) fn of_command<T>(usage: &Usage<T>) -> String {
    let Usage { command, words, doc, flags, .. } = usage;
    let flags: Vec<&Flag<T>> = flags.iter().flat_map(|table| table.iter()).collect();
    let marker = if flags.is_empty() { "" } else { "[FLAGS] " };
    let usage = format!("Usage: carboy {command} {marker}{words}");
    let mut text = format!("{}\n\n{doc}\n", usage.trim_end());
    if flags.is_empty() {
        return text;
    }
    text.push_str("\nFlags:\n");
    let lines: Vec<(String, &str, &str)> = flags.iter().map(|flag| line(flag)).collect();
    let width = lines.iter().map(|(left, ..)| left.len()).max().unwrap_or_default();
    for (left, doc, again) in lines {
        let _ = writeln!(text, "  {left:width$}  {doc}{again}");
    }
    text
}

/// What is given, what it does, and whether it can be given again.
fn line<T>(flag: &Flag<T>) -> (String, &'static str, &'static str) {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let alias = flag.alias.map(|alias| format!("--{alias}, ")).unwrap_or_default();
    let (value, again) = match flag.takes {
        Takes::Switch(_) => ("", ""),
        Takes::Value(value, _) => (value, ""),
        Takes::Values(value, _) => (value, " (repeatable)"),
    };
    (format!("{short}{alias}--{} {value}", flag.name).trim_end().to_owned(), flag.doc, again)
}

/// A command's table itself.
pub(crate) fn table<T>(usage: &Usage<T>) -> Value {
    let flags = usage.flags.iter().flat_map(|table| table.iter()).map(|flag| {
        let value = match flag.takes {
            Takes::Switch(_) => None,
            Takes::Value(value, _) | Takes::Values(value, _) => Some(value),
        };
        let short: Vec<char> = flag.short.into_iter().collect();
        json!({"long": flag.name, "short": short, "value": value, "doc": flag.doc})
    });
    json!({
        "name": usage.command, "words": usage.words, "doc": usage.doc, "flags": flags.collect::<Vec<_>>(),
    })
}

/// All of carboy's tables.
pub(crate) fn document(commands: &[Value]) -> Value {
    let switch =
        |long: &str, short: char, doc: &str| json!({"long": long, "short": [short], "value": null, "doc": doc});
    let flags = [switch("help", 'h', "tell of the flags"), switch("version", 'v', "tell the version")];
    json!({"name": "carboy", "flags": flags, "commands": commands})
}

const BEGINNING: &str =
    "Usage: carboy COMMAND [FLAGS] [WORDS]\n\nA container engine that shows what it isolates.\n\nCommands:\n";

/// The text of `carboy --help`; `commands` are names with what they do.
pub(crate) fn of_carboy(commands: &[(&str, &str)]) -> String {
    let mut text = String::from(BEGINNING);
    let width = commands.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, doc) in commands {
        let _ = writeln!(text, "  {name:width$}  {}", doc.lines().next().unwrap_or_default());
    }
    text.push_str("\ncarboy COMMAND --help tells of its flags.\n");
    text
}
