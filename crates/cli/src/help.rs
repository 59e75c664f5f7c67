//! `--help`: text made from the tables of flags.

use std::fmt::Write as _;

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
