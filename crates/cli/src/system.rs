//! `system`, and `system check`: what is not as it should be, and making it so.

use std::process::ExitCode;

use engine::containers::Engine;
use error::Result;
use lexopt::Parser;

use crate::command::Command;
use crate::disk_usage;
use crate::flags::{End, Flag, Read, Usage, wrong_words};
use crate::help;
use crate::prune;
use crate::report;

/// What `system check` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
    /// Whether it is made as it should be.
    pub(crate) repair: bool,
}

/// `carboy system`.
pub(crate) const SYSTEM: Usage<()> = Usage {
    command: "system",
    words: "check|df|prune [WORDS]",
    doc: "Look after carboy's own files\n\n\
          check   what is not as it should be: containers without a monitor, damaged records, what belongs to nobody\n\
          df      what takes room on the disk\n\
          prune   remove what nobody uses",
    flags: &[],
    end: End::FirstWord,
};

/// `carboy system check`.
pub(crate) const CHECK: Usage<Check> = Usage {
    command: "system check",
    words: "",
    doc: "Find what is not as it should be\n\nAmong it is what is left of containers and networks whose folders were deleted, of any --root: --repair ends what runs, and\n\
          removes it. What a killed command has left, every next command undoes by itself. The exit code is 0 where nothing is found, or all\n\
          of it was repaired.",
    flags: &[&[Flag::switch("repair", |check: &mut Check, on| check.repair = on, "make it as it should be")]],
    end: End::Never,
};

/// Reads the words after `system`.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let words = match SYSTEM.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&SYSTEM))),
        Read::Words(words) => words,
    };
    let (word, words) = words.split_first().map_or(("", &[][..]), |(word, rest)| (word.as_str(), rest));
    match word {
        "check" => {}
        "df" => return disk_usage::read(&mut Parser::from_args(words)),
        "prune" => return prune::read(&prune::OF_ALL, &mut Parser::from_args(words), Command::Prune),
        "" => return Ok(Command::Help(help::of_command(&SYSTEM))),
        _ => return Err(wrong_words("system", word, "it has no such command").hint("use check, df or prune").into()),
    }
    let mut check = Check::default();
    match CHECK.read(&mut Parser::from_args(words), &mut check)? {
        Read::Help => Ok(Command::Help(help::of_command(&CHECK))),
        Read::Words(words) => match words.first() {
            None => Ok(Command::Check(check)),
            Some(word) => Err(wrong_words("system check", word, "it takes no words").into()),
        },
    }
}

/// `carboy system check`.
pub(crate) fn check(engine: &Engine, check: &Check) -> Result<ExitCode> {
    let mut left = false;
    for finding in engine.findings()? {
        let done = if check.repair { engine.repair(&finding) } else { Ok(None) };
        match done {
            Ok(Some(done)) => report::line(&format!("{finding}: {done}")),
            Ok(None) => {
                report::line(&finding.to_string());
                left = true;
            }
            Err(error) => {
                report::line(&finding.to_string());
                report::error(&error);
                left = true;
            }
        }
    }
    Ok(if left { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
