//! `--help`, `help` and `version`: text made from the tables of commands, for people and for those who make man pages and
//! completions of it.

use std::fmt::Write as _;

use error::{Refused, Result};
use serde_json::{Value, json};

use crate::arguments::Invocation;
use crate::commands::{COMMANDS, Command, Flag, GLOBAL};
use crate::create::OCI_VERSION;
use crate::report;
use crate::store::Store;

/// The names that this program is called by. Engines choose by the file name how they speak with a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Own,
    Runc,
    Crun,
}

impl Name {
    /// The one that is called, by the first word of the command line.
    pub(crate) fn called() -> Self {
        let word = std::env::args_os().next().unwrap_or_default();
        let name = std::path::Path::new(&word).file_name().unwrap_or_default();
        match name.to_str() {
            Some("runc") => Self::Runc,
            Some("crun") => Self::Crun,
            _ => Self::Own,
        }
    }

    /// The word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Own => "carboy-runtime",
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }
}

/// `help`, and `--help` behind any command.
///
/// # Errors
/// Refused for a command that there is none of; a kernel error where it cannot be written.
pub(crate) fn print(invocation: &Invocation) -> Result<()> {
    match (invocation.words.first(), invocation.value("format")) {
        (None, Some("json")) => report::line(&document().to_string()),
        (None, _) => report::line(&of_all()),
        (Some(name), _) => {
            let unknown = || Refused::new("the command", name, "is none that this runtime has");
            report::line(&of_command(Command::named(name).ok_or_else(unknown)?))
        }
    }
}

fn of_all() -> String {
    let name = Name::called().word();
    let mut text = format!("Usage: {name} [OPTIONS] COMMAND [OPTIONS] [ID] [WORDS]\n\nAn OCI runtime.\n\nCommands:\n");
    let width = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or_default();
    for command in COMMANDS {
        let _ = writeln!(text, "  {:width$}  {}", command.name, command.doc);
    }
    text.push_str("\nOptions of all commands:\n");
    text.push_str(&lines(GLOBAL.iter()));
    let _ = write!(text, "\n{name} COMMAND --help tells of a command's own options.");
    text
}

fn of_command(command: &Command) -> String {
    let mut flags = command.own().peekable();
    let options = if flags.peek().is_some() { "[OPTIONS] " } else { "" };
    let usage = format!("Usage: {} {} {options}{}", Name::called().word(), command.name, command.words);
    let mut text = format!("{}\n\n{}\n", usage.trim_end(), command.doc);
    if flags.peek().is_some() {
        text.push_str("\nOptions:\n");
        text.push_str(&lines(flags));
    }
    text.trim_end().to_owned()
}

fn lines(flags: impl Iterator<Item = &'static Flag>) -> String {
    let rows: Vec<(String, &str)> = flags.map(|flag| (spelling(flag), flag.doc)).collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default();
    rows.iter().map(|(left, doc)| format!("  {left:width$}  {doc}\n")).collect()
}

fn spelling(flag: &Flag) -> String {
    let letters: String = flag.short.iter().map(|letter| format!("-{letter}, ")).collect();
    let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
    format!("{letters:4}--{}{value}", flag.long)
}

/// The tables themselves.
fn document() -> Value {
    let flags = |flags: &mut dyn Iterator<Item = &'static Flag>| -> Value {
        flags
            .map(|flag| json!({"long": flag.long, "short": flag.short, "value": flag.value, "doc": flag.doc}))
            .collect()
    };
    let commands = COMMANDS.iter().map(|command| {
        json!({
            "name": command.name, "words": command.words, "doc": command.doc, "flags": flags(&mut command.own()),
        })
    });
    json!({"name": "carboy-runtime", "flags": flags(&mut GLOBAL.iter()), "commands": commands.collect::<Vec<_>>()})
}

/// `version`: a line that ends with the version, and one with the specification's; under crun's name also what crun tells.
///
/// # Errors
/// A kernel error where it cannot be written.
pub(crate) fn version(invocation: &Invocation) -> Result<()> {
    let (name, version) = (Name::called(), env!("CARGO_PKG_VERSION"));
    let mut text = format!("{} version {version}\ncommit: {version}\n", name.word());
    if name == Name::Crun {
        let root = Store::of(invocation).map(|store| store.root().display().to_string()).unwrap_or_default();
        let _ = writeln!(text, "rundir: {root}");
    }
    let _ = write!(text, "spec: {OCI_VERSION}");
    if name == Name::Crun {
        text.push_str("\n+SYSTEMD +CAP +SECCOMP +EBPF");
    }
    report::line(&text)
}
