//! `commit` and `import`: an image is made of a container's changes, or of an archive of a root file system.

use std::fs::File;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Image as Made, Imprint, Instruction, Stillness};
use engine::options::Platform;
use error::{Doing, Refused, Result};
use image::Reference;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_name, wrong_words};
use crate::help;
use crate::images::{Image, registries};
use crate::report;

/// What `commit` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// What is written on the image.
    imprint: Imprint,
    /// Whether the container stands still meanwhile.
    pause: bool,
    /// The container.
    container: String,
    /// The image's name.
    name: Option<Reference>,
}

/// What `import` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Import {
    /// What is written on the image.
    imprint: Imprint,
    /// For which machine; for this one if it is not said.
    platform: Option<Platform>,
    /// The archive; `-` for standard input.
    archive: String,
    /// The image's name.
    name: Option<Reference>,
}

/// `carboy commit`.
pub(crate) const COMMIT: Usage<Commit> = Usage {
    command: "commit",
    words: "CONTAINER [NAME[:TAG]]",
    doc: "Make an image of what a container has changed, and print its id",
    flags: &[&[
        Flag::value("author", "NAME", commit_author, "who has made it").short('a'),
        Flag::values(
            "change",
            "INSTRUCTION",
            commit_change,
            "what its containers are: CMD, ENV, USER, … of a Dockerfile",
        )
        .short('c'),
        Flag::value("message", "TEXT", commit_message, "what it is").short('m'),
        Flag::switch("pause", |commit: &mut Commit, on| commit.pause = on, "let it stand still meanwhile (true)")
            .short('p'),
    ]],
    end: End::Never,
};

/// `carboy import`.
pub(crate) const IMPORT: Usage<Import> = Usage {
    command: "import",
    words: "FILE|- [NAME[:TAG]]",
    doc: "Make an image of an archive of a root file system, and print its id",
    flags: &[&[
        Flag::values(
            "change",
            "INSTRUCTION",
            import_change,
            "what its containers are: CMD, ENV, USER, … of a Dockerfile",
        )
        .short('c'),
        Flag::value("message", "TEXT", import_message, "what it is").short('m'),
        Flag::value("platform", "OS/ARCH[/VARIANT]", platform, "for which machine it is (this one)"),
    ]],
    end: End::Never,
};

fn commit_author(commit: &mut Commit, given: Given<'_>) -> Result<()> {
    commit.imprint.author = Some(given.value.to_owned());
    Ok(())
}

fn commit_change(commit: &mut Commit, given: Given<'_>) -> Result<()> {
    commit.imprint.changes.push(Instruction::parse(given.value)?);
    Ok(())
}

fn commit_message(commit: &mut Commit, given: Given<'_>) -> Result<()> {
    commit.imprint.comment = Some(given.value.to_owned());
    Ok(())
}

fn import_change(import: &mut Import, given: Given<'_>) -> Result<()> {
    import.imprint.changes.push(Instruction::parse(given.value)?);
    Ok(())
}

fn import_message(import: &mut Import, given: Given<'_>) -> Result<()> {
    import.imprint.comment = Some(given.value.to_owned());
    Ok(())
}

fn platform(import: &mut Import, given: Given<'_>) -> Result<()> {
    import.platform = Some(given.value.parse()?);
    Ok(())
}

/// Reads the words after `commit`.
///
/// # Errors
/// Refused, naming the flag, or what is wrong with the name.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let (container, imprint) = (String::new(), Imprint::default());
    let mut commit = Commit { imprint, pause: true, container, name: None };
    match COMMIT.read(parser, &mut commit)? {
        Read::Help => Ok(Command::Help(help::of_command(&COMMIT))),
        Read::Words(words) => {
            (commit.container, commit.name) = of_and_name(&COMMIT, &words, "carboy commit web base:2")?;
            Ok(Command::Image(Image::Commit(commit)))
        }
    }
}

/// Reads the words after `import`.
///
/// # Errors
/// Refused, naming the flag, or what is wrong with the name.
pub(crate) fn read_import(parser: &mut Parser) -> Result<Command> {
    let mut import = Import::default();
    match IMPORT.read(parser, &mut import)? {
        Read::Help => Ok(Command::Help(help::of_command(&IMPORT))),
        Read::Words(words) => {
            (import.archive, import.name) = of_and_name(&IMPORT, &words, "carboy import root.tar base:2")?;
            Ok(Command::Image(Image::Import(import)))
        }
    }
}

/// What the image is made of, and its name.
fn of_and_name<T>(usage: &Usage<T>, words: &[String], example: &str) -> Result<(String, Option<Reference>)> {
    match words {
        [of] => Ok((of.clone(), None)),
        [of, second] => Ok((of.clone(), Some(new_name(second)?))),
        words => {
            let word = words.get(2).map(String::as_str).unwrap_or_default();
            let refused = wrong_words(usage.command, word, "it needs what the image is made of, and maybe its name");
            Err(refused.hint(format!("for example: {example}")).into())
        }
    }
}

fn new_name(word: &str) -> Result<Reference> {
    let name = Reference::parse(word).map_err(wrong_name)?;
    match &name.digest {
        Some(digest) => {
            Err(Refused::new("the name", digest.to_string(), "is a digest, which no image is given").into())
        }
        None => Ok(name),
    }
}

/// `carboy commit`.
pub(crate) fn run(engine: &Engine, asked: &Commit) -> ExitCode {
    let stillness = if asked.pause { Stillness::Paused } else { Stillness::Running };
    told(engine.commit(&asked.container, asked.name.as_ref(), &asked.imprint, stillness))
}

/// `carboy import`.
pub(crate) fn run_import(engine: &Engine, asked: &Import) -> ExitCode {
    let imported = || {
        if let Some(policy) = registries::policy()? {
            policy.accepts_root(&asked.archive)?;
        }
        let archive: Box<dyn std::io::Read> = match asked.archive.as_str() {
            "-" => Box::new(std::io::stdin().lock()),
            path => Box::new(File::open(path).doing(|| format!("open the archive {path}"))?),
        };
        let platform = asked.platform.clone().unwrap_or_else(Platform::host);
        engine.import(archive, asked.name.as_ref(), &asked.imprint, &platform)
    };
    told(imported())
}

fn told(made: Result<Made>) -> ExitCode {
    match made {
        Ok(image) => {
            report::line(image.id.as_str());
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}
