//! Flags as tables: one entry gives a flag's parsing, its line in `--help` and its errors.
//!
//! `--flag=value`, `--flag value`, `-f value`, `-fvalue`, several letters after one dash, `--switch=false`, and `--` before
//! words that begin with a dash: as Docker's command line has it.

use std::ffi::OsString;

use error::{Error, Refused, RefusedKind, Result};
use lexopt::{Arg, Parser};

/// A flag of a command; `T` is what the command collects.
pub(crate) struct Flag<T: 'static> {
    /// What stands after the two dashes.
    pub(crate) name: &'static str,
    /// The letter for one dash.
    pub(crate) short: Option<char>,
    /// A second name, as `net` for `network`.
    pub(crate) alias: Option<&'static str>,
    /// Its value, and what it does.
    pub(crate) takes: Takes<T>,
    /// One line for `--help`.
    pub(crate) doc: &'static str,
}

/// What a flag's value is and what is done with it.
pub(crate) enum Takes<T: 'static> {
    /// Nothing, or `=true` or `=false`.
    Switch(fn(&mut T, bool)),
    /// A value, by its name in `--help`; the last one given holds.
    Value(&'static str, Set<T>),
    /// A value, and the flag can be given again.
    Values(&'static str, Set<T>),
}

/// Takes a value.
pub(crate) type Set<T> = fn(&mut T, Given<'_>) -> Result<()>;

/// A flag as it was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'w> {
    /// The flag's name, without dashes.
    pub(crate) flag: &'static str,
    /// Its value.
    pub(crate) value: &'w str,
}

impl<'w> Given<'w> {
    /// The beginning of a refusal; `reason` is a clause that follows the value.
    pub(crate) fn refused(&self, reason: impl Into<String>) -> Refused {
        let shown = if self.value.is_empty() { "\"\"" } else { self.value };
        Refused::new(format!("--{}", self.flag), shown, reason)
    }

    /// The same for a value that Docker's command line does not look at, and its daemon does.
    pub(crate) fn declined(&self, reason: impl Into<String>) -> Refused {
        self.refused(reason).kind(RefusedKind::Declined)
    }

    /// The same flag with a part of its value.
    pub(crate) const fn part<'p>(&self, value: &'p str) -> Given<'p> {
        Given { flag: self.flag, value }
    }
}

impl<T> Flag<T> {
    /// A flag that is on or off.
    pub(crate) const fn switch(name: &'static str, set: fn(&mut T, bool), doc: &'static str) -> Self {
        Self { name, short: None, alias: None, takes: Takes::Switch(set), doc }
    }

    /// A flag with a value.
    pub(crate) const fn value(name: &'static str, value: &'static str, set: Set<T>, doc: &'static str) -> Self {
        Self { name, short: None, alias: None, takes: Takes::Value(value, set), doc }
    }

    /// A flag with a value that can be given again.
    pub(crate) const fn values(name: &'static str, value: &'static str, set: Set<T>, doc: &'static str) -> Self {
        Self { name, short: None, alias: None, takes: Takes::Values(value, set), doc }
    }

    /// The same with a letter.
    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// The same with a second name.
    pub(crate) const fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }
}

/// How a command's words are read.
pub(crate) struct Usage<T: 'static> {
    /// What stands after `carboy`: `run`, `explain run`.
    pub(crate) command: &'static str,
    /// What the words after the flags are: `ROOT COMMAND [ARG...]`.
    pub(crate) words: &'static str,
    /// What it does, for `--help`; the first line stands in the list of commands.
    pub(crate) doc: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [&'static [Flag<T>]],
    /// Where its flags end.
    pub(crate) end: End,
}

/// Where a command's flags end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At the first word that is none: all after it belongs to another's command.
    FirstWord,
    /// At `--` or nowhere.
    Never,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The words that are no flags.
    Words(Vec<String>),
    /// `--help` was among the flags.
    Help,
}

/// A flag, or the wish for help.
enum Found<T: 'static> {
    Flag(&'static Flag<T>, Spelling),
    Help,
}

/// How a flag was written.
#[derive(Clone, Copy)]
enum Spelling {
    Long,
    Short,
}

impl<T> Usage<T> {
    /// Reads the words after the command into `target`.
    ///
    /// # Errors
    /// Refused for an unknown flag, a missing value, and whatever the flags refuse.
    pub(crate) fn read(&self, parser: &mut Parser, target: &mut T) -> Result<Read> {
        let mut words = Vec::new();
        let mut last = None;
        loop {
            let found = match parser.next() {
                Ok(None) => return Ok(Read::Words(words)),
                Ok(Some(Arg::Value(word))) => {
                    words.push(text(word)?);
                    if self.end == End::FirstWord {
                        for word in parser.raw_args().into_iter().flatten() {
                            words.push(text(word)?);
                        }
                        return Ok(Read::Words(words));
                    }
                    continue;
                }
                Ok(Some(arg)) => self.find(&arg)?,
                Err(lexopt::Error::UnexpectedValue { value, .. }) => {
                    self.give(last, &text(value)?, target)?;
                    continue;
                }
                Err(error) => return Err(Refused::new("the command line", "", error.to_string()).into()),
            };
            let Found::Flag(flag, spelling) = found else { return Ok(Read::Help) };
            last = Some(flag);
            match (&flag.takes, spelling) {
                (Takes::Switch(set), Spelling::Short) => set(target, true),
                (Takes::Switch(set), Spelling::Long) => match parser.optional_value() {
                    None => set(target, true),
                    Some(value) => self.give(last, &text(value)?, target)?,
                },
                (Takes::Value(name, _) | Takes::Values(name, _), _) => {
                    let missing = || Refused::new(format!("--{}", flag.name), "", "needs a value");
                    let value = parser.value().map_err(|_| missing().hint(format!("--{} {name}", flag.name)))?;
                    self.give(last, &text(value)?, target)?;
                }
            }
        }
    }

    /// Gives a flag its value.
    fn give(&self, flag: Option<&Flag<T>>, value: &str, target: &mut T) -> Result<()> {
        let Some(flag) = flag else { return Err(Refused::new("the value", value, "belongs to no flag").into()) };
        let given = Given { flag: flag.name, value };
        match flag.takes {
            Takes::Switch(set) => set(target, switch(given)?),
            Takes::Value(_, set) | Takes::Values(_, set) => set(target, given)?,
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &'static Flag<T>> {
        self.flags.iter().flat_map(|table| table.iter())
    }

    fn find(&self, arg: &Arg<'_>) -> Result<Found<T>> {
        let (found, written, spelling) = match arg {
            Arg::Long(name) => {
                let found = self.all().find(|flag| flag.name == *name || flag.alias == Some(*name));
                (found, format!("--{name}"), Spelling::Long)
            }
            Arg::Short(letter) => {
                (self.all().find(|flag| flag.short == Some(*letter)), format!("-{letter}"), Spelling::Short)
            }
            Arg::Value(word) => (None, word.to_string_lossy().into_owned(), Spelling::Long),
        };
        if let Some(flag) = found {
            return Ok(Found::Flag(flag, spelling));
        }
        if matches!(written.as_str(), "--help" | "-h") {
            return Ok(Found::Help);
        }
        let refused = Refused::new(&written, "", format!("carboy {} has no such flag", self.command));
        let names = self.all().flat_map(|flag| [Some(flag.name), flag.alias]).flatten();
        let near = written.strip_prefix("--").and_then(|name| nearest(name, names));
        let hint = match near {
            Some(name) => format!("did you mean --{name}?"),
            None => format!("see carboy {} --help", self.command),
        };
        Err(refused.hint(hint).into())
    }
}

/// A command line with too many words, or too few, or one that is no command.
pub(crate) fn wrong_words(command: impl Into<String>, words: impl Into<String>, reason: impl Into<String>) -> Refused {
    Refused::new(command, words, reason).kind(RefusedKind::Words)
}

/// A word that is no name: Docker's exit code for it is that of wrong words.
pub(crate) fn wrong_name(error: Error) -> Error {
    match error {
        Error::Refused(refused) => refused.kind(RefusedKind::Words).into(),
        error => error,
    }
}

/// A word of the command line as text.
///
/// # Errors
/// Refused where it is not UTF-8.
pub(crate) fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|word| {
        let shown = word.to_string_lossy().into_owned();
        Refused::new("the word", shown, "is not valid UTF-8, which the container's configuration must be").into()
    })
}

/// A switch's value, in the words that Docker takes.
fn switch(given: Given<'_>) -> Result<bool> {
    match given.value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(given.refused("is neither true nor false").hint(format!("--{0} or --{0}=false", given.flag)).into()),
    }
}

/// The name that is most like `word`, if one is like it at all: `word` is its first word cut short, or few letters differ.
pub(crate) fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let far = (word.len() / 3).clamp(1, 3);
    let rank = |name: &str| {
        let cut = name.strip_prefix(word).is_some_and(|rest| word.len() >= 3 && !rest.starts_with('-'));
        if cut { 1 } else { distance(word, name) }
    };
    names.map(|name| (rank(name), name)).filter(|(rank, _)| *rank <= far).min().map(|(_, name)| name)
}

/// How many letters must be put in, left out, replaced or swapped with the next to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    let mut before = None;
    for (down, letter) in one.chars().enumerate() {
        let mut next = vec![down + 1];
        let mut left = None;
        for (across, known) in other.iter().enumerate() {
            let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, across) + usize::from(letter != *known);
            let mut cost = replaced.min(at(&row, across + 1) + 1).min(at(&next, across) + 1);
            if before == Some(*known) && left == Some(letter) && across > 0 {
                cost = cost.min(at(&above, across - 1) + 1);
            }
            next.push(cost);
            left = Some(*known);
        }
        above = std::mem::replace(&mut row, next);
        before = Some(letter);
    }
    row.last().copied().unwrap_or_default()
}
