//! What people read: errors on one line with a hint below, sizes, ages.

use std::io::{BufWriter, Write};

use engine::event::Failure;
use error::Error;

/// Prints an error: one line, and a hint where something can be done.
#[expect(clippy::print_stderr, reason = "this is where errors come out")]
pub(crate) fn failure(failure: &Failure) {
    eprintln!("error: {}", harmless(&failure.message.replace('\n', " ")));
    if let Some(hint) = &failure.hint {
        eprintln!("hint: {}", harmless(hint));
    }
}

/// Prints an error of this process.
pub(crate) fn error(error: &Error) {
    failure(&Failure::of(error));
}

/// Prints what a person should know although the command went on.
#[expect(clippy::print_stderr, reason = "this is where warnings come out")]
pub(crate) fn warning(text: &str) {
    eprintln!("carboy: {text}");
}

/// Prints a command's result.
pub(crate) fn line(text: &str) {
    let _ = written(|out| writeln!(out, "{text}"));
}

/// Prints what is written to standard output.
/// A full disk is told of; a reader who has left wants no more. Gives whether there is still a reader.
#[expect(clippy::print_stderr, reason = "this is where errors come out")]
pub(crate) fn written(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> bool {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                eprintln!("error: cannot write to standard output: {error}");
            }
            false
        }
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

/// A size with the largest unit that leaves a whole number, or one decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| bytes >= *size).unwrap_or(("B", 1));
    let (whole, tenths) = (bytes / size, bytes % size * 10 / size);
    if tenths == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

/// A time span as Docker says it: "5 minutes".
pub(crate) fn span(seconds: i64) -> String {
    const UNITS: [(&str, i64); 5] =
        [("weeks", 604_800), ("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| seconds >= *size).unwrap_or(("seconds", 1));
    match (seconds / size, unit) {
        (0, _) => "Less than a second".to_owned(),
        (1, "hours") => "About an hour".to_owned(),
        (1, "minutes") => "About a minute".to_owned(),
        (1, unit) => format!("1 {}", unit.trim_end_matches('s')),
        (count, unit) => format!("{count} {unit}"),
    }
}

/// The widest line of running words, where a word does not make it wider.
const WIDTH: usize = 100;

/// Words in lines, the first after `indent` and the others two further in.
pub(crate) fn wrapped(words: &str, indent: &str) -> Vec<String> {
    let mut lines = vec![indent.to_owned()];
    for word in words.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let is_new = line.trim().is_empty();
        if !is_new && line.len() + 1 + word.len() > WIDTH {
            lines.push(format!("{indent}  {word}"));
            continue;
        }
        if !is_new {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(harmless("a\x1b[31mb\nc\r\x07\u{9b}2J\u{202e}d"), "a\\u{1b}[31mb\\nc\\r\\u{7}\\u{9b}2J\\u{202e}d");
        assert_eq!(harmless("Ümläut ● 日本"), "Ümläut ● 日本");
    }

    #[test]
    fn sizes_keep_one_decimal_where_they_need_it() {
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(12), "12 B");
    }

    #[test]
    fn spans_are_said_as_docker_says_them() {
        assert_eq!(span(0), "Less than a second");
        assert_eq!(span(1), "1 second");
        assert_eq!(span(65), "About a minute");
        assert_eq!(span(7200), "2 hours");
    }

    #[test]
    fn words_stay_within_the_width_and_whole() {
        let lines = wrapped(&"word ".repeat(40), "  ");
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH), "{lines:?}");
        assert_eq!(wrapped("one", "  "), ["  one"]);
    }
}
