//! `save`: images go into an archive.

use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Called, Form, Target, Wanted};
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
    /// The archive or the folder; standard output if none.
    pub(crate) output: Option<PathBuf>,
    /// The form.
    pub(crate) format: Format,
    /// The images.
    pub(crate) images: Vec<String>,
}

/// The form in which images are saved, in podman's words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// What docker save writes, and an OCI layout in the same archive.
    #[default]
    DockerArchive,
    /// An OCI layout as an archive.
    OciArchive,
    /// An OCI layout.
    OciFolder,
    /// A manifest with its blobs beside it.
    DockerFolder,
}

impl Format {
    const ALL: [Self; 4] = [Self::DockerArchive, Self::OciArchive, Self::OciFolder, Self::DockerFolder];

    const fn word(self) -> &'static str {
        match self {
            Self::DockerArchive => "docker-archive",
            Self::OciArchive => "oci-archive",
            Self::OciFolder => "oci-dir",
            Self::DockerFolder => "docker-dir",
        }
    }
}

/// `carboy save`.
pub(crate) const SAVE: Usage<Save> = Usage {
    command: "save",
    words: "IMAGE...",
    doc: "Write images to an archive that docker load, podman load, skopeo and carboy load read",
    flags: &[&[
        Flag::value("output", "FILE|FOLDER", output, "write this (standard output)").short('o'),
        Flag::value("format", "FORM", format, "docker-archive, oci-archive, oci-dir or docker-dir (docker-archive)"),
    ]],
    end: End::Never,
};

fn output(save: &mut Save, given: Given<'_>) -> Result<()> {
    save.output = Some(given.value.into());
    Ok(())
}

fn format(save: &mut Save, given: Given<'_>) -> Result<()> {
    let refused = || {
        let words = Format::ALL.map(Format::word).join(", ");
        given.refused("is no form of images").hint(format!("use one of {words}"))
    };
    save.format = Format::ALL.into_iter().find(|form| form.word() == given.value).ok_or_else(refused)?;
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
    let called = |word: &String| Wanted { word: word.clone(), called: Called::AsHere };
    let wanted: Vec<Wanted> = asked.images.iter().map(called).collect();
    let saved = match (asked.format, &asked.output) {
        (Format::DockerArchive, Some(path)) => engine.save_to_file(&wanted, Form::Both, path)?,
        (Format::OciArchive, Some(path)) => engine.save_to_file(&wanted, Form::Layout, path)?,
        (Format::OciFolder, Some(path)) => engine.save_images(&wanted, Form::Layout, Target::Folder(path))?,
        (Format::DockerFolder, Some(path)) => engine.save_images(&wanted, Form::Folder, Target::Folder(path))?,
        (Format::OciFolder | Format::DockerFolder, None) => {
            let refused = Refused::new("--format", asked.format.word(), "is a folder, which standard output is not");
            return Err(refused.hint("use carboy save --format … -o FOLDER").into());
        }
        (Format::DockerArchive | Format::OciArchive, None) => {
            if std::io::stdout().is_terminal() {
                let refused = Refused::new("save", "", "does not write an archive to a terminal");
                return Err(refused.hint("use carboy save -o FILE, or send its output elsewhere").into());
            }
            let form = if asked.format == Format::OciArchive { Form::Layout } else { Form::Both };
            let mut out = BufWriter::new(std::io::stdout().lock());
            engine.save_images(&wanted, form, Target::Archive(&mut out))?;
            return out.flush().doing(|| "write the archive");
        }
    };
    drop(saved);
    Ok(())
}
