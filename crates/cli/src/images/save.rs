//! `save`: images go into an archive.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use engine::containers::Engine;
use error::{Doing, Refused, Result};
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage};
use crate::help;
use crate::images::{Image, needed};
use crate::report;

/// What `save` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Save {
    /// The archive; standard output if none.
    pub(crate) output: Option<PathBuf>,
    /// The images.
    pub(crate) images: Vec<String>,
}

/// `carboy save`.
pub(crate) const SAVE: Usage<Save> = Usage {
    command: "save",
    words: "IMAGE...",
    doc: "Write images to an archive that docker load, podman load, skopeo and carboy load read",
    flags: &[&[Flag::value("output", "FILE", output, "write this (standard output)").short('o')]],
    end: End::Never,
};

fn output(save: &mut Save, given: Given<'_>) -> Result<()> {
    save.output = Some(given.value.into());
    Ok(())
}

/// Reads the words after `save`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut save = Save::default();
    match SAVE.read(parser, &mut save)? {
        Read::Help => Ok(Command::Help(help::of_command(&SAVE))),
        Read::Words(words) => Ok(Command::Image(Image::Save(Save { images: needed(&SAVE, words)?, ..save }))),
    }
}

/// `carboy save`.
pub(crate) fn run(engine: &Engine, asked: &Save) -> ExitCode {
    match save(engine, asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn save(engine: &Engine, asked: &Save) -> Result<()> {
    asked.images.iter().try_for_each(|word| engine.find_image(word).map(drop))?;
    let Some(path) = &asked.output else {
        if std::io::stdout().is_terminal() {
            let refused = Refused::new("save", "", "does not write an archive to a terminal");
            return Err(refused.hint("use carboy save -o FILE, or send its output elsewhere").into());
        }
        return engine.save_images(&asked.images, &mut BufWriter::new(std::io::stdout().lock()));
    };
    // Who reads the file finds all of it or none: it is written beside its name.
    let mut beside = path.clone().into_os_string();
    beside.push(".part");
    let action = || format!("write {}", path.display());
    let mut file = BufWriter::new(File::create(&beside).doing(action)?);
    let saved = engine
        .save_images(&asked.images, &mut file)
        .and_then(|()| file.flush().doing(action))
        .and_then(|()| std::fs::rename(&beside, path).doing(action));
    if saved.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    saved
}
