//! The project's own tasks, run as `cargo xtask TASK`: `tidy` (the invariants), `test` (every test), `machine`
//! (a command on another kind of host), `install` (the programs where they belong), `bench` (the budgets), `order` (what
//! stands together in a program's file).
#![expect(clippy::print_stdout, reason = "a task's output is what it is run for")]
#![expect(clippy::print_stderr, reason = "a task says on stderr why it failed")]

mod bench;
mod install;
mod program;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use error::{Refused, Result};
use test::machine::{self, Flavour};

const USAGE: &str = "\
usage: cargo xtask TASK

  tidy                     checks the invariants of ARCHITECTURE.md and the rules of CONTRIBUTING.md
  test                     installs what the tests need, builds carboy, runs every test
  test --host HOST [TEST]  runs the tests that ask the kernel in a machine with another host: v1, v2 or systemd;
                           or those with one of the words TEST in their names
  machine HOST [COMMAND]   runs a command in such a machine, or a shell
  reset                    cuts the v2 machine off amid a load of containers, and looks at what it finds when it boots again
  install [--prefix DIR] [--destdir DIR]
                           builds and installs the programs, man pages and completions (/usr/local unless said)
  bench [ROUNDS]           compares carboy with the installed peers and the floor (30 rounds unless said)
  order                    finds the functions of carboy-runtime that stand together in its file
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["tidy"] => tidy::run(&root()),
        ["test"] => test::run(&root()),
        ["test", "--host", host, filters @ ..] => {
            Flavour::parse(host).and_then(|host| test::run_in(host, &root(), filters))
        }
        ["machine", host, command @ ..] => {
            Flavour::parse(host).and_then(|host| machine::command(&root(), host, command))
        }
        ["reset"] => machine::reset(&root()),
        [machine::inside::WORD] => machine::inside::run(),
        ["install", options @ ..] => install::run(&root(), options),
        ["order"] => bench::order::run(&root()),
        ["bench"] => bench::run(&root(), bench::ROUNDS),
        ["bench", rounds] => rounds_of(rounds).and_then(|rounds| bench::run(&root(), rounds)),
        [bench::floor::WORD, shape, root] => bench::floor::run(shape, root),
        [bench::limits::WORD, carboy] => bench::limits::run(Path::new(carboy)),
        [bench::life::WORD, carboy] => bench::life::run(Path::new(carboy)),
        [bench::life::WORD, carboy, folder] => bench::life::measure(Path::new(carboy), Path::new(folder)),
        [bench::network::WORD, carboy] => bench::network::run(Path::new(carboy)),
        [bench::network::WORD, carboy, folder, neighbour] => {
            bench::network::measure(Path::new(carboy), Path::new(folder), neighbour)
        }
        [bench::see::WORD, carboy, processes] => bench::see::run(Path::new(carboy), processes),
        [bench::worker::WORD, mode, command @ ..] => bench::worker::run(mode, command),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        [other, ..] => Err(Refused::new("task", *other, "there is no such task")
            .hint("use cargo xtask tidy, test, machine, reset, install, bench or order")
            .into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}{}", because(&error));
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The error's source as the clause that follows it.
fn because(error: &error::Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"))
}

/// A number of rounds of which a median can be taken.
fn rounds_of(text: &str) -> Result<usize> {
    text.parse().ok().filter(|rounds| *rounds > 0).ok_or_else(|| {
        Refused::new("ROUNDS", text, "is not a number above 0").hint("leave it out for the usual number").into()
    })
}

/// The workspace's folder: two above this crate's.
fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.ancestors().nth(2).unwrap_or(crate_folder).to_path_buf()
}
