//! `pull`: an image comes from its registry, and it is told how that goes on.

use std::path::Path;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Named, Pulled, Wish};
use engine::options::{ImageRoot, Platform, Pull as When, Root, RunOptions};
use error::{Refused, RefusedKind, Result};
use image::Reference;
use image::reference::DEFAULT_TAG;
use image::signature::PublicKey;
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
    /// The key whose holder must vouch for it.
    pub(crate) verify: Option<PublicKey>,
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
        Flag::value("verify", "KEY", verify, "only with a signature by this public key, a PEM file as cosign.pub"),
    ]],
    end: End::Never,
};

fn platform(pull: &mut Pull, given: Given<'_>) -> Result<()> {
    pull.platform = Some(given.value.parse()?);
    Ok(())
}

fn verify(pull: &mut Pull, given: Given<'_>) -> Result<()> {
    pull.verify = Some(PublicKey::read(Path::new(given.value))?);
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

/// How an image is to come.
#[derive(Clone, Copy)]
struct Manner<'a> {
    platform: &'a Platform,
    verify: Option<&'a PublicKey>,
    out: Teller,
}

fn pull(engine: &Engine, asked: &Pull) -> Result<()> {
    let bare = Reference::parse_bare(&asked.name)?;
    let platform = asked.platform.clone().unwrap_or_else(Platform::host);
    let out = if asked.quiet { Teller::Nobody } else { Teller::Output };
    let manner = Manner { platform: &platform, verify: asked.verify.as_ref(), out };
    if !asked.all_tags {
        if bare.tag.is_none() && bare.digest.is_none() {
            out.line(&format!("Using default tag: {DEFAULT_TAG}"));
        }
        let name = first(engine, &asked.name, manner)?;
        report::line(&name.to_string());
        return Ok(());
    }
    for tag in registries::tags(&bare)? {
        one(engine, &bare.with_tag(&tag)?, manner)?;
    }
    report::line(&bare.name());
    Ok(())
}

/// Brings the first image that the word may stand for and a registry has.
fn first(engine: &Engine, word: &str, manner: Manner<'_>) -> Result<Reference> {
    let mut meanings = registries::meanings(word)?.into_iter();
    loop {
        let Some(name) = meanings.next() else {
            return Err(Refused::new("the image", word, "stands for nothing").kind(RefusedKind::NoSuchObject).into());
        };
        match one(engine, &name, manner) {
            Ok(_) => return Ok(name),
            Err(error) if meanings.len() == 0 => return Err(error),
            Err(error) => report::error(&error),
        }
    }
}

fn one(engine: &Engine, name: &Reference, manner: Manner<'_>) -> Result<Pulled> {
    let Manner { platform, verify, out } = manner;
    let demands = registries::demands(name, verify)?;
    let places = registries::places(name)?;
    out.line(&format!("{}: Pulling from {}", name.version(), name.familiar_name()));
    let pulled = engine.pull_image(Wish { name, platform, demands: &demands }, &places, &*progress::of(out))?;
    out.line(&format!("Digest: {}", pulled.digest));
    for verified in &pulled.verified {
        out.line(&format!("Verified: {} by {}", verified.digest, verified.key));
    }
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
    let verify = options.verify.as_ref();
    if let (When::Missing, Some(known), Some(key)) = (options.pull, &known, verify)
        && !known.image.is_verified_by(key.fingerprint())
    {
        verify_known(engine, known, root, key)?;
    }
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
    first(engine, &root.name, Manner { platform: &platform, verify, out }).map(drop)
}

/// Looks for a signature of an image that is here, where it came from. It is asked for by its digests: no name comes to
/// stand for another image by that.
fn verify_known(engine: &Engine, known: &Named, root: &ImageRoot, key: &PublicKey) -> Result<()> {
    let asked = Reference::parse(&root.name).ok().map(|name| name.name());
    let mut names = known.image.digests.iter().map(|text| Reference::parse(text)).collect::<Result<Vec<_>>>()?;
    names.sort_by_key(|name| asked != Some(name.name()));
    let platform = engine.store.image_config(&known.image.id)?.platform();
    let mut last = None;
    for name in names {
        match one(engine, &name, Manner { platform: &platform, verify: Some(key), out: Teller::Nobody }) {
            Ok(pulled) if pulled.image.id == known.image.id => return Ok(()),
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        let refused = Refused::new("the image", root.name.as_str(), "has come from no registry that has its signature");
        refused.hint("carboy pull --verify KEY brings it from one").into()
    }))
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
