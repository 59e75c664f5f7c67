//! `pull`: an image comes from its registry, and it is told how that goes on.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Named, Pulled};
use engine::options::{Platform, Pull as When, Root, RunOptions};
use error::{Refused, RefusedKind, Result};
use image::Reference;
use image::reference::DEFAULT_TAG;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::help;
use crate::images::Image;
use crate::images::progress::{self, Teller};
use crate::images::registries;
use crate::report;

/// What `pull` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pull {
    /// Whether every tag of the repository comes.
    pub(crate) all_tags: bool,
    /// Whether nothing but the name is said.
    pub(crate) quiet: bool,
    /// For which machine; for this one if it is not said.
    pub(crate) platform: Option<Platform>,
    /// The image's name.
    pub(crate) name: String,
}

/// `carboy pull`.
pub(crate) const PULL: Usage<Pull> = Usage {
    command: "pull",
    words: "NAME[:TAG|@DIGEST]",
    doc: "Bring an image from its registry",
    flags: &[&[
        Flag::switch("all-tags", |pull: &mut Pull, on| pull.all_tags = on, "bring every tag of the repository")
            .short('a'),
        Flag::switch("quiet", |pull: &mut Pull, on| pull.quiet = on, "say nothing but the image's name").short('q'),
        Flag::value("platform", "OS/ARCH[/VARIANT]", platform, "for this kind of machine, as linux/arm64 (this one)"),
    ]],
    end: End::Never,
};

fn platform(pull: &mut Pull, given: Given<'_>) -> Result<()> {
    pull.platform = Some(given.value.parse()?);
    Ok(())
}

/// Reads the words after `pull`.
///
/// # Errors
/// Refused, naming the flag, or what is wrong with the name.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut pull = Pull::default();
    let words = match PULL.read(parser, &mut pull)? {
        Read::Help => return Ok(Command::Help(help::of_command(&PULL))),
        Read::Words(words) => words,
    };
    match words.as_slice() {
        [name] => {
            let bare = Reference::parse_bare(name)?;
            if pull.all_tags && (bare.tag.is_some() || bare.digest.is_some()) {
                let refused = Refused::new("--all-tags", name.as_str(), "has a tag or a digest itself");
                return Err(refused.hint("name the repository alone").into());
            }
            Ok(Command::Image(Image::Pull(Pull { name: name.clone(), ..pull })))
        }
        words => {
            let word = words.get(1).map(String::as_str).unwrap_or_default();
            let refused = wrong_words("pull", word, "it brings one image at a time");
            Err(refused.hint("for example: carboy pull debian:12").into())
        }
    }
}

/// `carboy pull`.
///
/// # Errors
/// None: what goes wrong is said here.
pub(crate) fn run(engine: &Engine, asked: &Pull) -> Result<ExitCode> {
    match pull(engine, asked) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            report::error(&error);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn pull(engine: &Engine, asked: &Pull) -> Result<()> {
    let bare = Reference::parse_bare(&asked.name)?;
    let platform = asked.platform.clone().unwrap_or_else(Platform::host);
    let out = if asked.quiet { Teller::Nobody } else { Teller::Output };
    if !asked.all_tags {
        if bare.tag.is_none() && bare.digest.is_none() {
            out.line(&format!("Using default tag: {DEFAULT_TAG}"));
        }
        let name = first(engine, &asked.name, &platform, out)?;
        report::line(&name.to_string());
        return Ok(());
    }
    for tag in registries::tags(&bare)? {
        one(engine, &bare.with_tag(&tag)?, &platform, out)?;
    }
    report::line(&bare.name());
    Ok(())
}

/// Brings the first image that the word may stand for and a registry has.
fn first(engine: &Engine, word: &str, platform: &Platform, out: Teller) -> Result<Reference> {
    let mut meanings = registries::meanings(word)?.into_iter();
    loop {
        let Some(name) = meanings.next() else {
            return Err(Refused::new("the image", word, "stands for nothing").kind(RefusedKind::NoSuchObject).into());
        };
        match one(engine, &name, platform, out) {
            Ok(_) => return Ok(name),
            Err(error) if meanings.len() == 0 => return Err(error),
            Err(error) => report::error(&error),
        }
    }
}

fn one(engine: &Engine, name: &Reference, platform: &Platform, out: Teller) -> Result<Pulled> {
    let places = registries::places(name)?;
    out.line(&format!("{}: Pulling from {}", name.version(), name.familiar_name()));
    let pulled = engine.pull_image(name, platform, &places, &*progress::of(out))?;
    out.line(&format!("Digest: {}", pulled.digest));
    let became = if pulled.is_newer { "Downloaded newer image" } else { "Image is up to date" };
    out.line(&format!("Status: {became} for {}", name.familiar()));
    Ok(pulled)
}

/// Brings the image of a container's root where that is wanted and it is not here.
///
/// # Errors
/// Refused where it is not here and must be, or where no registry has it; a kernel error.
pub(crate) fn ensure(engine: &Engine, options: &RunOptions) -> Result<()> {
    let Root::Image(root) = &options.root else { return Ok(()) };
    let known = engine.known_image(&root.name)?;
    if options.pull == When::Never || known.is_some() && options.pull == When::Missing {
        return fits(engine, known.as_ref(), root.platform.as_ref());
    }
    if Reference::parse(&root.name).is_err() && known.is_some() {
        // An id is had from nowhere.
        return Ok(());
    }
    let out = Teller::Errors;
    if options.pull == When::Missing {
        out.line(&format!("Unable to find image '{}' locally", Reference::parse(&root.name)?.familiar()));
    }
    let platform = root.platform.clone().unwrap_or_else(Platform::host);
    first(engine, &root.name, &platform, out).map(drop)
}

/// Whether an image that is here is for the platform that was asked for.
fn fits(engine: &Engine, known: Option<&Named>, wanted: Option<&Platform>) -> Result<()> {
    let (Some(named), Some(wanted)) = (known, wanted) else { return Ok(()) };
    let made_for = engine.store.image_config(&named.image.id)?.platform();
    if wanted.matches(&made_for) {
        return Ok(());
    }
    let refused =
        Refused::new("--platform", wanted.to_string(), format!("is not that of {}: {made_for}", named.title()));
    Err(refused.kind(RefusedKind::NoSuchObject).hint("use --pull always to bring it for that platform").into())
}
