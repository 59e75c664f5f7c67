//! `load`: images come from an archive.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Choice, Loaded, Shelf, Which};
use engine::options::Platform;
use error::{Doing, Refused, Result};
use image::transport::Transport;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read as Words, Usage, wrong_words};
use crate::help;
use crate::images::progress::{Quiet, Teller};
use crate::images::{Image, elsewhere, registries};
use crate::report;

/// What `load` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// The archive; standard input if none.
    pub(crate) input: Option<PathBuf>,
    /// Whether nothing but the images is said.
    pub(crate) quiet: bool,
    /// For which machine; for this one if it is not said.
    pub(crate) platform: Option<Platform>,
}

/// `carboy load`.
pub(crate) const LOAD: Usage<Load> = Usage {
    command: "load",
    words: "",
    doc: "Bring the images of an archive that docker save, podman save or carboy save has written",
    flags: &[&[
        Flag::value(
            "input",
            "FILE|FOLDER",
            input,
            "read this, plain or compressed, an OCI layout or a folder of skopeo's dir: (standard input)",
        )
        .short('i'),
        Flag::switch("quiet", |load: &mut Load, on| load.quiet = on, "say nothing but the images' names").short('q'),
        Flag::value("platform", "OS/ARCH[/VARIANT]", platform, "of several take that for this machine (this one)"),
    ]],
    end: End::Never,
};

fn input(load: &mut Load, given: Given<'_>) -> Result<()> {
    load.input = Some(given.value.into());
    Ok(())
}

fn platform(load: &mut Load, given: Given<'_>) -> Result<()> {
    load.platform = Some(given.value.parse()?);
    Ok(())
}

/// Reads the words after `load`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut load = Load::default();
    match LOAD.read(parser, &mut load)? {
        Words::Help => Ok(Command::Help(help::of_command(&LOAD))),
        Words::Words(words) => match words.first() {
            None => Ok(Command::Image(Image::Load(load))),
            Some(word) => {
                let refused = wrong_words("load", word, "it takes no words");
                Err(refused.hint(format!("use carboy load -i {word}")).into())
            }
        },
    }
}

/// `carboy load`.
///
/// # Errors
/// None: what goes wrong is said here.
pub(crate) fn run(engine: &Engine, asked: &Load) -> Result<ExitCode> {
    match load(engine, asked) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            report::error(&error);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn load(engine: &Engine, asked: &Load) -> Result<()> {
    let platform = asked.platform.clone().unwrap_or_else(Platform::host);
    if let Some(path) = asked.input.as_deref().filter(|path| path.is_dir()) {
        let policy = registries::policy()?;
        let choice = Choice { which: Which::All, platform: &platform, policy: policy.as_ref() };
        return tell(engine.load_images(Shelf::Folder(path), choice, &Quiet)?);
    }
    if let Some(place) = asked.input.as_ref().and_then(|path| Transport::of(path.to_str()?).transpose()) {
        return tell(vec![elsewhere::load(engine, &place?, &platform, Teller::Nobody)?]);
    }
    let mut archive: Box<dyn Read> = match &asked.input {
        Some(path) => Box::new(File::open(path).doing(|| format!("open the archive {}", path.display()))?),
        None if std::io::stdin().is_terminal() => {
            let refused = Refused::new("load", "", "there is no archive");
            return Err(refused.hint("use carboy load -i FILE, or carboy load < FILE").into());
        }
        None => Box::new(std::io::stdin().lock()),
    };
    let policy = registries::policy()?;
    let choice = Choice { which: Which::All, platform: &platform, policy: policy.as_ref() };
    tell(engine.load_images(Shelf::Archive { tar: &mut archive, path: asked.input.as_deref() }, choice, &Quiet)?)
}

fn tell(loaded: Vec<Loaded>) -> Result<()> {
    for one in loaded {
        if one.names.is_empty() {
            report::line(&format!("Loaded image ID: {}", one.image.id));
        }
        one.names.iter().for_each(|name| report::line(&format!("Loaded image: {}", name.familiar())));
    }
    Ok(())
}
