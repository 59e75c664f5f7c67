//! Text for a terminal or a pipe: lines in columns, the marks of relations, colour where it is wanted.
//!
//! Every line is made harmless as a whole before it is coloured: names of processes, groups and mounts are chosen by those
//! that are looked at, and a terminal obeys what is written to it.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use inspect::compare::Standing;
use inspect::relation::Relation;

use crate::report;

/// What is to be printed.
#[derive(Debug)]
pub(crate) struct Page {
    lines: Vec<String>,
    is_coloured: bool,
    /// Whether the reader's locale has the marks.
    is_utf8: bool,
    /// The width of the terminal, where it is one.
    width: Option<usize>,
}

/// How a line is shown on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    Plain,
    /// A heading.
    Bold,
    /// What matters less.
    Dim,
    /// What should be looked at.
    Alarm,
}

impl Page {
    /// An empty page for standard output.
    pub(crate) fn new() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let stdout = std::io::stdout();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let size = sys::terminal::size(stdout.as_fd()).ok();
        Self {
            lines: Vec::new(),
            is_coloured: stdout.is_terminal()
                && set("NO_COLOR").is_none()
                && set("TERM").is_none_or(|term| term != "dumb"),
            is_utf8: locale.contains("utf-8") || locale.contains("utf8"),
            width: size.map(|size| usize::from(size.columns)).filter(|width| *width > 0),
        }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, text: &str) {
        self.styled(Style::Plain, text);
    }

    /// Adds a line in a style.
    pub(crate) fn styled(&mut self, style: Style, text: &str) {
        let harmless = harmless(text.trim_end());
        let harmless = if self.is_utf8 { harmless } else { harmless.replace('◀', "<") };
        let code = match style {
            Style::Plain => None,
            Style::Bold => Some("1"),
            Style::Dim => Some("2"),
            Style::Alarm => Some("31"),
        };
        self.lines.push(match code.filter(|_| self.is_coloured) {
            Some(code) => format!("\x1b[{code}m{harmless}\x1b[0m"),
            None => harmless,
        });
    }

    /// Adds an empty line, but not at the top nor a second one.
    pub(crate) fn gap(&mut self) {
        if self.lines.last().is_some_and(|line| !line.is_empty()) {
            self.lines.push(String::new());
        }
    }

    /// Adds rows in columns, the first in bold.
    pub(crate) fn table<const COLUMNS: usize>(&mut self, rows: &[[String; COLUMNS]]) {
        let cells = |row: &[String; COLUMNS]| row.clone().map(|cell| harmless(&cell));
        let rows: Vec<_> = rows.iter().map(cells).collect();
        let width =
            |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        for (number, row) in rows.iter().enumerate() {
            let padded =
                row.iter().enumerate().map(|(at, cell)| format!("{cell:<width$}", width = width(at).unwrap_or(0)));
            let style = if number == 0 { Style::Bold } else { Style::Plain };
            self.styled(style, &padded.collect::<Vec<_>>().join("  "));
        }
    }

    /// Whether a line of this length fits; anything fits where it is no terminal.
    pub(crate) fn fits(&self, columns: usize) -> bool {
        self.width.is_none_or(|width| columns <= width)
    }

    /// The mark of a relation.
    pub(crate) const fn mark(&self, relation: Relation) -> char {
        match (relation, self.is_utf8) {
            (Relation::Own, true) => '●',
            (Relation::Shared, true) => '◐',
            (Relation::Host, true) => '○',
            (Relation::Own, false) => '*',
            (Relation::Shared, false) => '+',
            (Relation::Host, false) => '-',
            (Relation::Absent, _) => ' ',
            (Relation::Unreadable, _) => '?',
        }
    }

    /// The mark of what an ancestor set.
    pub(crate) const fn above(&self) -> char {
        if self.is_utf8 { '▲' } else { '^' }
    }

    /// The sign between two that stand so to each other.
    pub(crate) const fn sign(&self, standing: Standing) -> &'static str {
        match (standing, self.is_utf8) {
            (Standing::Same, _) => "=",
            (Standing::Above | Standing::Below | Standing::Apart, true) => "≠",
            (Standing::Above | Standing::Below | Standing::Apart, false) => "!",
            (Standing::Unknown, _) => "?",
            (Standing::Absent, _) => "",
        }
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        report::line(&self.lines.join("\n"));
    }
}

/// The text without anything that a terminal obeys: control characters, and those that turn the direction of writing.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
        if character.is_control() || turns {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(harmless("a\x1b[31mb\nc\r\x07\u{9b}2J\u{202e}d"), "a\\u{1b}[31mb\\nc\\r\\u{7}\\u{9b}2J\\u{202e}d");
        assert_eq!(harmless("Ümläut ● 日本"), "Ümläut ● 日本");
    }
}
