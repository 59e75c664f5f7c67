//! `container`: Docker's longer names of the commands that work on containers, and what has no shorter one.

use error::Result;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Read, Usage, wrong_words};
use crate::help;
use crate::prune;

/// `carboy container`, which has commands of its own.
pub(crate) const CONTAINER: Usage<()> = Usage {
    command: "container",
    words: "COMMAND [WORDS]",
    doc: "Do something with containers\n\n\
          prune    remove the containers that do not run\n\
          ls       list containers, as carboy ps\n\n\
          The other commands are those without this word before them: carboy container run is carboy run.",
    flags: &[],
    end: End::FirstWord,
};

/// Those that have the same name without the word.
const SAME: [&str; 24] = [
    "attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs", "pause", "port", "ps",
    "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
];

/// Reads the words after `container`; `same` reads those of a command by its own name.
///
/// # Errors
/// Refused, naming the command or the flag.
pub(crate) fn read(parser: &mut Parser, same: impl FnOnce(&str, &mut Parser) -> Result<Command>) -> Result<Command> {
    let words = match CONTAINER.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&CONTAINER))),
        Read::Words(words) => words,
    };
    let Some((word, words)) = words.split_first() else { return Ok(Command::Help(help::of_command(&CONTAINER))) };
    let mut parser = Parser::from_args(words);
    match word.as_str() {
        "ls" | "list" => same("ps", &mut parser),
        "prune" => prune::read(&prune::OF_CONTAINERS, &mut parser, Command::PruneContainers),
        word if SAME.contains(&word) => same(word, &mut parser),
        word => {
            let refused = wrong_words("container", word, "it has no such command");
            Err(refused.hint("carboy --help lists them").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> String {
        match read(&mut Parser::from_args(words), |word, _| Ok(Command::Help(format!("same: {word}")))) {
            Ok(Command::Help(text)) => text.lines().next().unwrap_or_default().to_owned(),
            Ok(command) => format!("{command:?}"),
            Err(error) => format!("{error}\n  {}", error.hint().unwrap_or("-")),
        }
    }

    #[test]
    fn a_command_of_containers_is_the_one_without_the_word() {
        let lines = [
            &[][..],
            &["ls", "-a"],
            &["run", "host"],
            &["prune", "-f", "--filter", "label!=a"],
            &["prune", "--help"],
            &["prune", "box"],
            &["prune", "--filter", "size=1"],
            &["prune", "--filter", "until=soon"],
            &["build"],
        ];
        insta::assert_snapshot!(lines.map(shown).join("\n"), @r#"
        Usage: carboy container COMMAND [WORDS]
        same: ps
        same: run
        PruneContainers(Prune { all: false, force: true, volumes: false, filters: [Label(Labelled { there: false, name: "a", value: None })] })
        Usage: carboy container prune [FLAGS]
        cannot use container prune box: it takes no words
          -
        cannot use --filter size=1: is no filter of containers
          use until=24h, label=NAME=VALUE or label!=NAME
        cannot use --filter until=soon: holds no moment
          use a date as 2026-11-26T14:05:54Z, seconds since 1970, or how long ago as 10m
        cannot use container build: it has no such command
          carboy --help lists them
        "#);
    }
}
