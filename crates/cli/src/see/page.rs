//! Text for a terminal or a pipe: lines in columns, the marks of relations, colour where it is wanted.
//!
//! Every line is made harmless as a whole before it is coloured: names of processes, groups and mounts are chosen by those
//! that are looked at, and a terminal obeys what is written to it.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use inspect::compare::Standing;
use inspect::relation::Relation;

use crate::report::{self, harmless};

/// What is to be printed.
#[derive(Debug)]
pub(crate) struct Page {
    lines: Vec<String>,
    is_coloured: bool,
    /// Whether the reader's locale has the marks.
    is_utf8: bool,
    /// The width of the terminal, where it is one.
    width: Option<usize>,
    /// How many lines a terminal shows at once.
    height: Option<usize>,
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
            height: size.map(|size| usize::from(size.rows)).filter(|height| *height > 0),
        }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, text: &str) {
        self.styled(Style::Plain, text);
    }

    /// Adds a line in a style.
    pub(crate) fn styled(&mut self, style: Style, text: &str) {
        let harmless = harmless(text.trim_end());
        let harmless = if self.fits(harmless.chars().count()) { harmless } else { self.brief(&harmless) };
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
        let mut rows: Vec<_> = rows.iter().map(cells).collect();
        let width = |rows: &[[String; COLUMNS]], column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let whole = (0..COLUMNS).map(|column| width(&rows, column) + 2).sum::<usize>().saturating_sub(2);
        if !self.fits(whole) {
            rows = rows.into_iter().map(|row| row.map(|cell| self.brief(&cell))).collect();
        }
        let widths: Vec<usize> = (0..COLUMNS).map(|column| width(&rows, column)).collect();
        for (number, row) in rows.iter().enumerate() {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let style = if number == 0 { Style::Bold } else { Style::Plain };
            self.styled(style, &padded.collect::<Vec<_>>().join("  "));
        }
    }

    /// The text with the first twelve digits of each id: they tell it from others, and leave room.
    fn brief(&self, text: &str) -> String {
        const ID: usize = 64;
        let mut brief = String::with_capacity(text.len());
        for part in text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit()) {
            let digits = part.trim_end_matches(|letter: char| !letter.is_ascii_hexdigit());
            match digits.get(..12) {
                Some(first) if digits.len() == ID => {
                    brief.push_str(first);
                    brief.push_str(if self.is_utf8 { "…" } else { ".." });
                    brief.push_str(part.get(ID..).unwrap_or_default());
                }
                _ => brief.push_str(part),
            }
        }
        brief
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

    /// Prints it as one of many: over the one before on a terminal, line by line, so that nothing flickers, and as far as the
    /// terminal has room; else below it. Gives whether there is still a reader.
    pub(crate) fn print_anew(&self) -> bool {
        let Some(height) = self.height else {
            return report::written(|out| writeln!(out, "{}\n", self.lines.join("\n")));
        };
        let shown = self.lines.get(..height.min(self.lines.len())).unwrap_or_default();
        // What is wider than the terminal would push the lines below it down.
        let text = format!("\x1b[H\x1b[?7l{}\x1b[K\x1b[J\x1b[?7h", shown.join("\x1b[K\n"));
        report::written(|out| write!(out, "{text}"))
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        report::line(&self.lines.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_where_a_terminal_is_too_narrow_for_them() {
        let id = "0123456789ab".to_owned() + &"c".repeat(52);
        let page = |width| Page { lines: Vec::new(), is_coloured: false, is_utf8: true, width, height: None };
        let printed = |width| {
            let mut page = page(width);
            page.table(&[[format!("/team/{id}.scope"), "32 MiB".to_owned()], ["/team".to_owned(), "1 GiB".to_owned()]]);
            page.line(&format!("of {id}"));
            page.lines
        };
        let narrow = ["/team/0123456789ab….scope  32 MiB", "/team                      1 GiB", "of 0123456789ab…"];
        assert_eq!(printed(Some(60)), narrow);
        for wide in [Some(200), None] {
            assert!(printed(wide).concat().matches(&id).count() == 2, "{wide:?}");
        }
    }
}
