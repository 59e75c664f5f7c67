//! `rmi`: names are taken from images, and an image goes with its last one.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Force, Removed};
use error::{Error, RefusedKind, Result};
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Read, Usage};
use crate::help;
use crate::images::{Image, needed};
use crate::report;

/// What `rmi` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remove {
    /// Whether an image goes although containers that do not run were made from it.
    pub(crate) force: bool,
    /// The images.
    pub(crate) images: Vec<String>,
}

/// `carboy rmi`.
pub(crate) const REMOVE: Usage<Remove> = Usage {
    command: "rmi",
    words: "IMAGE...",
    doc: "Remove images, or names of them",
    flags: &[&[
        Flag::switch("force", |rm: &mut Remove, on| rm.force = on, "also those that stopped containers were made from")
            .short('f'),
        Flag::switch("no-prune", |_: &mut Remove, _| {}, "the same: no image has another as its parent"),
    ]],
    end: End::Never,
};

/// Reads the words after `rmi`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut rm = Remove::default();
    match REMOVE.read(parser, &mut rm)? {
        Read::Help => Ok(Command::Help(help::of_command(&REMOVE))),
        Read::Words(words) => Ok(Command::Image(Image::Remove(Remove { images: needed(&REMOVE, words)?, ..rm }))),
    }
}

/// `carboy rmi`.
pub(crate) fn run(engine: &Engine, asked: &Remove) -> ExitCode {
    let force = if asked.force { Force::Yes } else { Force::No };
    let is_gone = |error: &Error| matches!(error, Error::Refused(refused) if refused.kind == RefusedKind::NoSuchObject);
    let mut code = ExitCode::SUCCESS;
    for word in &asked.images {
        match engine.remove_image(word, force) {
            Ok(removed) => tell(&removed),
            Err(error) => {
                report::error(&error);
                if !(asked.force && is_gone(&error)) {
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    code
}

/// Says what is gone, as Docker does.
pub(super) fn tell(removed: &Removed) {
    removed.untagged.iter().for_each(|name| report::line(&format!("Untagged: {name}")));
    if let Some(image) = &removed.image {
        report::line(&format!("Deleted: {}", image.id));
        image.freed.layers.iter().for_each(|layer| report::line(&format!("Deleted: {layer}")));
    }
}
