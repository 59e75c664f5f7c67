//! `tag`: an image gets one more name.

use std::process::ExitCode;

use engine::containers::Engine;
use error::{Refused, Result};
use image::Reference;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Read, Usage, wrong_name, wrong_words};
use crate::help;
use crate::images::Image;
use crate::report;

/// What `tag` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The image.
    pub(crate) image: String,
    /// Its new name.
    pub(crate) name: Reference,
}

/// `carboy tag`.
pub(crate) const TAG: Usage<()> = Usage {
    command: "tag",
    words: "IMAGE NAME[:TAG]",
    doc: "Give an image one more name; another image that had it loses it",
    flags: &[],
    end: End::Never,
};

/// Reads the words after `tag`.
///
/// # Errors
/// Refused, naming what is wrong with the name.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let words = match TAG.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&TAG))),
        Read::Words(words) => words,
    };
    match words.as_slice() {
        [image, name] => {
            let name = Reference::parse(name).map_err(wrong_name)?;
            if let Some(digest) = &name.digest {
                let refused = Refused::new("the name", digest.to_string(), "is a digest, which no image is given");
                return Err(refused.hint("leave it out: NAME:TAG").into());
            }
            Ok(Command::Image(Image::Tag(Tag { image: image.clone(), name })))
        }
        words => {
            let word = words.get(2).or(words.first()).map(String::as_str).unwrap_or_default();
            let refused = wrong_words("tag", word, "it needs an image and its new name");
            Err(refused.hint("for example: carboy tag debian:12 registry.example/base:1").into())
        }
    }
}

/// `carboy tag`, which says nothing.
pub(crate) fn run(engine: &Engine, asked: &Tag) -> Result<ExitCode> {
    match engine.tag_image(&asked.image, &asked.name) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            report::error(&error);
            Ok(ExitCode::FAILURE)
        }
    }
}
