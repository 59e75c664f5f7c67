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

/// Prints what a person should know of what was done.
#[expect(clippy::print_stderr, reason = "this is where notes come out")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints a command's result.
pub(crate) fn line(text: &str) {
    let _ = written(|out| writeln!(out, "{text}"));
}

/// Prints a command's result as it is.
pub(crate) fn text(text: &str) {
    let _ = written(|out| out.write_all(text.as_bytes()));
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

/// A size in units of a thousand with three digits, as Docker writes those of files and traffic: `12.3kB`.
pub(crate) fn decimal_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, 3, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A size in units of 1024 with four digits, as Docker writes those of memory: `1.441GiB`.
pub(crate) fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
fn scaled(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= base && unit + 1 < units.len() {
        amount /= base;
        unit += 1;
    }
    format!("{}{}", significant(amount, digits), units.get(unit).unwrap_or(&""))
}

/// So many digits, without zeros at the end: C's `%.3g`.
pub(crate) fn significant(amount: f64, precision: usize) -> String {
    let text = format!("{amount:.*e}", precision.saturating_sub(1));
    let exponent: i32 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let bare = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    match usize::try_from(exponent) {
        Ok(exponent) if exponent >= precision => {
            let (digits, _) = text.split_once('e').unwrap_or((&text, ""));
            scientific(&format!("{}e{exponent}", bare(digits)))
        }
        Ok(exponent) => bare(&format!("{amount:.*}", precision - 1 - exponent)),
        Err(_) if exponent < -4 => {
            let (digits, _) = text.split_once('e').unwrap_or((&text, ""));
            scientific(&format!("{}e{exponent}", bare(digits)))
        }
        Err(_) => {
            let below = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
            bare(&format!("{amount:.*}", precision - 1 + below))
        }
    }
}

/// Rust's exponent as Go writes it: with a sign and two digits.
pub(crate) fn scientific(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

/// A time span as Docker says it: "5 minutes".
pub(crate) fn span(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    match seconds {
        i64::MIN..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        MINUTE..120 => "About a minute".to_owned(),
        120..HOUR => format!("{} minutes", seconds / MINUTE),
        // To the next whole hour from half of it on.
        HOUR..5400 => "About an hour".to_owned(),
        5400..171_000 => format!("{} hours", (seconds + HOUR / 2) / HOUR),
        171_000..1_209_600 => format!("{} days", seconds / DAY),
        1_209_600..5_184_000 => format!("{} weeks", seconds / DAY / 7),
        5_184_000..63_072_000 => format!("{} months", seconds / DAY / 30),
        _ => format!("{} years", seconds / DAY / 365),
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
        assert_eq!(span(3 * 3600 + 1800), "4 hours");
        assert_eq!(span(5000), "About an hour");
        assert_eq!(span(3 * 86_400), "3 days");
        assert_eq!(span(20 * 86_400), "2 weeks");
        assert_eq!(span(100 * 86_400), "3 months");
        assert_eq!(span(800 * 86_400), "2 years");
    }

    #[test]
    fn sizes_have_docker_s_digits() {
        for (bytes, decimal, binary) in [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1000B"),
            (1536, "1.54kB", "1.5KiB"),
            (64 << 20, "67.1MB", "64MiB"),
            (1_547_000_000, "1.55GB", "1.441GiB"),
        ] {
            assert_eq!((decimal_size(bytes).as_str(), binary_size(bytes).as_str()), (decimal, binary));
        }
    }

    #[test]
    fn words_stay_within_the_width_and_whole() {
        let lines = wrapped(&"word ".repeat(40), "  ");
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH), "{lines:?}");
        assert_eq!(wrapped("one", "  "), ["  one"]);
    }
}
