//! `kill`, `rm`, `stop`, `wait`, `pause`, `unpause`, `rename`: what can be done with containers by name.

use std::process::ExitCode;

use engine::containers::{Engine, Removal};
use engine::record::Wanted;
use engine::stop::Stop;
use engine::volume::OwnVolumes;
use error::{Error, Refused, RefusedKind, Result};

use crate::report;
use crate::value::name;

/// `carboy kill`.
pub(crate) fn kill(engine: &Engine, words: &[String], signal: u32) -> ExitCode {
    each(words, |word| engine.kill(word, i32::try_from(signal).unwrap_or(0)), |_| false)
}

/// How many containers are killed before the first of them is waited for.
const AT_ONCE: usize = 64;

/// `carboy rm`. What is not there is told, and by force is no failure.
pub(crate) fn rm(engine: &Engine, words: &[String], (removal, volumes): (Removal, OwnVolumes)) -> ExitCode {
    let is_gone = |error: &Error| matches!(error, Error::Refused(refused) if refused.kind == RefusedKind::NoSuchObject);
    let mut code = ExitCode::SUCCESS;
    for words in words.chunks(AT_ONCE) {
        for (word, removing) in words.iter().zip(engine.begin_to_remove(words, removal, volumes)) {
            match removing.and_then(|removing| removing.finish(engine)) {
                Ok(()) => report::line(word),
                Err(error) => {
                    report::error(&error);
                    if removal == Removal::Unforced || !is_gone(&error) {
                        code = ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    code
}

/// `carboy stop`: all are asked before one is waited for, so that the patience with one is that with all.
pub(crate) fn stop(engine: &Engine, words: &[String], asked: Stop) -> ExitCode {
    let stopping: Vec<_> = words.iter().map(|word| engine.stop(word, asked, Wanted::Stopped)).collect();
    let mut code = ExitCode::SUCCESS;
    for (word, stopping) in words.iter().zip(stopping) {
        match stopping.and_then(|stopping| stopping.finish(engine)) {
            Ok(()) => report::line(word),
            Err(error) => {
                report::error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// `carboy wait`: prints the exit codes, each when it is known.
pub(crate) fn wait(engine: &Engine, words: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for word in words {
        match engine.wait(word) {
            Ok(ended) => report::line(&ended.to_string()),
            Err(error) => {
                report::error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// `carboy rename`, which says nothing.
pub(crate) fn rename(engine: &Engine, word: &str, name: &str) -> ExitCode {
    let renamed = if name::is_containers(name) {
        engine.rename(word, name)
    } else {
        Err(Refused::new("the name", name, name::NO_CONTAINERS).hint(name::CONTAINERS_HINT).into())
    };
    match renamed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// `carboy pause`.
pub(crate) fn pause(engine: &Engine, words: &[String]) -> ExitCode {
    each(words, |word| engine.pause(word), |_| false)
}

/// `carboy unpause`.
pub(crate) fn unpause(engine: &Engine, words: &[String]) -> ExitCode {
    each(words, |word| engine.unpause(word), |_| false)
}

/// Does something with each container, says which it was done with, and what failed for each of the others.
pub(crate) fn each(
    words: &[String],
    mut operation: impl FnMut(&str) -> Result<()>,
    forgives: impl Fn(&Error) -> bool,
) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for word in words {
        match operation(word) {
            Ok(()) => report::line(word),
            Err(error) => {
                report::error(&error);
                if !forgives(&error) {
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    code
}
