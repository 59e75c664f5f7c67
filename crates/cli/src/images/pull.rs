//! `pull`: an image comes from its registry, and it is told how that goes on.

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;

use engine::containers::Engine;
use engine::event::Failure;
use engine::images::{Came, Message, Named, Pulled, Wish};
use engine::options::{ImageRoot, Platform, Pull as When, Root, RunOptions};
use error::{Refused, RefusedKind, Result};
use image::Reference;
use image::reference::DEFAULT_TAG;
use image::signature::PublicKey;
use image::transport::{Transport, in_registry};
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_name, wrong_words};
use crate::help;
use crate::images::progress::{self, Teller};
use crate::images::registries;
use crate::images::{Image, elsewhere};
use crate::report;

/// What `pull` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pull {
    /// Whether every tag of the repository comes.
    pub(crate) all_tags: bool,
    /// Whether nothing but the name is said.
    pub(crate) quiet: bool,
    /// Whether it is told in JSON.
    pub(crate) json: bool,
    /// For which machine; for this one if it is not said.
    pub(crate) platform: Option<Platform>,
    /// The key whose holder must vouch for it.
    pub(crate) verify: Option<PublicKey>,
    /// The images' names.
    pub(crate) names: Vec<String>,
}

/// `carboy pull`.
pub(crate) const PULL: Usage<Pull> = Usage {
    command: "pull",
    words: "NAME[:TAG|@DIGEST]...",
    doc: "Bring images from their registries\n\n\
          Or from elsewhere: oci:FOLDER[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], dir:FOLDER and\n\
          docker-daemon:NAME name an image in such a place; docker://NAME is one in a registry.",
    flags: &[&[
        Flag::switch("all-tags", |pull: &mut Pull, on| pull.all_tags = on, "bring every tag of the repository")
            .short('a'),
        Flag::switch("json", |pull: &mut Pull, on| pull.json = on, "tell it in JSON, one object a line"),
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
/// Refused, naming the flag, or what is wrong with a name.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut pull = Pull::default();
    let names = match PULL.read(parser, &mut pull)? {
        Read::Help => return Ok(Command::Help(help::of_command(&PULL))),
        Read::Words(names) => names,
    };
    if names.is_empty() {
        let refused = wrong_words("pull", "", "it needs the name of an image");
        return Err(refused.hint("for example: carboy pull debian:12").into());
    }
    if pull.json && pull.quiet {
        return Err(Refused::new("--json", "", "is mutually exclusive with --quiet").into());
    }
    for name in &names {
        let is_elsewhere = Transport::of(name)?.is_some();
        if is_elsewhere && pull.verify.is_some() {
            return Err(unsigned(name));
        }
        let bare =
            if is_elsewhere { None } else { Some(Reference::parse_bare(in_registry(name)).map_err(wrong_name)?) };
        let is_one = bare.is_none_or(|bare| bare.tag.is_some() || bare.digest.is_some());
        if pull.all_tags && is_one {
            let reason = if is_elsewhere { "is in no registry" } else { "has a tag or a digest itself" };
            let refused = Refused::new("--all-tags", name.as_str(), reason);
            return Err(refused.hint("name the repository alone").into());
        }
    }
    Ok(Command::Image(Image::Pull(Pull { names, ..pull })))
}

/// Signatures are looked for in registries alone.
fn unsigned(place: &str) -> error::Error {
    let refused = Refused::new("--verify", place, "is no registry, and signatures are looked for there alone");
    refused.hint("name the image in its registry").into()
}

/// `carboy pull`.
///
/// # Errors
/// None: what goes wrong is said here.
pub(crate) fn run(engine: &Engine, asked: &Pull) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for name in &asked.names {
        if let Err(error) = pull(engine, asked, name) {
            if asked.json {
                progress::message(&Message::of_failure(&Failure::of(&error)));
            } else {
                report::error(&error);
            }
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// How an image is to come.
#[derive(Clone, Copy)]
struct Manner<'a> {
    platform: &'a Platform,
    verify: Option<&'a PublicKey>,
    out: Teller,
}

fn pull(engine: &Engine, asked: &Pull, word: &str) -> Result<()> {
    let platform = asked.platform.clone().unwrap_or_else(Platform::host);
    let out = match (asked.quiet, asked.json) {
        (true, _) => Teller::Nobody,
        (false, true) => Teller::Json,
        (false, false) => Teller::Output,
    };
    if let Some(place) = Transport::of(word)? {
        let loaded = elsewhere::load(engine, &place, &platform, out)?;
        let name = loaded.names.first().map(ToString::to_string);
        came(asked, &elsewhere::title(&loaded), Came { id: loaded.image.id, digest: None, name });
        return Ok(());
    }
    let manner = Manner { platform: &platform, verify: asked.verify.as_ref(), out };
    let word = in_registry(word);
    let bare = Reference::parse_bare(word)?;
    if !asked.all_tags {
        if bare.tag.is_none() && bare.digest.is_none() {
            out.line(&format!("Using default tag: {DEFAULT_TAG}"));
        }
        let (name, pulled) = first(engine, word, manner)?;
        came(asked, &name.to_string(), of_registry(&name, pulled));
        return Ok(());
    }
    for tag in registries::tags(&bare)? {
        let name = bare.with_tag(&tag)?;
        let pulled = one(engine, &name, manner)?;
        if asked.json {
            came(asked, "", of_registry(&name, pulled));
        }
    }
    if !asked.json {
        report::line(&bare.name());
    }
    Ok(())
}

fn of_registry(name: &Reference, pulled: Pulled) -> Came {
    Came { id: pulled.image.id, digest: Some(pulled.digest), name: Some(name.to_string()) }
}

/// The last line says what has come.
fn came(asked: &Pull, title: &str, came: Came) {
    if asked.json {
        progress::message(&Message::of_image(came));
    } else {
        report::line(title);
    }
}

/// Brings the first image that the word may stand for and a registry has.
fn first(engine: &Engine, word: &str, manner: Manner<'_>) -> Result<(Reference, Pulled)> {
    let mut meanings = registries::meanings(word)?.into_iter();
    loop {
        let Some(name) = meanings.next() else {
            return Err(Refused::new("the image", word, "stands for nothing").kind(RefusedKind::NoSuchObject).into());
        };
        match one(engine, &name, manner) {
            Ok(pulled) => return Ok((name, pulled)),
            Err(error) if meanings.len() == 0 => return Err(error),
            Err(error) => report::error(&error),
        }
    }
}

fn one(engine: &Engine, name: &Reference, manner: Manner<'_>) -> Result<Pulled> {
    let Manner { platform, verify, out } = manner;
    let demands = registries::demands(name, verify)?;
    let places = registries::places(name)?;
    out.line_of(name.version(), &format!("Pulling from {}", name.familiar_name()));
    let pulled = engine.pull_image(Wish { name, platform, demands: &demands }, &places, &*progress::of(out))?;
    out.line(&format!("Digest: {}", pulled.digest));
    for verified in &pulled.verified {
        out.line(&format!("Verified: {} by {}", verified.digest, verified.key));
    }
    let became = if pulled.is_newer { "Downloaded newer image" } else { "Image is up to date" };
    out.line(&format!("Status: {became} for {}", name.familiar()));
    Ok(pulled)
}

/// Brings the image of a container's root where that is wanted and it is not here. Gives the options with a root that is
/// here.
///
/// # Errors
/// Refused where it is not here and must be, or where no registry has it; a kernel error.
pub(crate) fn ensured<'o>(engine: &Engine, options: &'o RunOptions) -> Result<Cow<'o, RunOptions>> {
    let Root::Image(root) = &options.root else { return Ok(Cow::Borrowed(options)) };
    if let Some(place) = Transport::of(&root.name)? {
        return loaded(engine, (options, root), &place).map(Cow::Owned);
    }
    Ok(match ensure(engine, options, root)? {
        Some(name) if Reference::parse(&root.name).as_ref() != Ok(&name) => {
            let root = Root::Image(Box::new(ImageRoot { name: name.familiar(), ..(**root).clone() }));
            Cow::Owned(RunOptions { root, ..options.clone() })
        }
        _ => Cow::Borrowed(options),
    })
}

/// What comes from a place that is no registry is called by its id: whatever it is called there may change.
fn loaded(engine: &Engine, (options, root): (&RunOptions, &ImageRoot), place: &Transport) -> Result<RunOptions> {
    if options.pull == When::Never {
        let refused = Refused::new("--pull", "never", format!("leaves {} alone", root.name));
        return Err(refused.hint("name an image that is on this host").into());
    }
    if options.verify.is_some() {
        return Err(unsigned(&root.name));
    }
    let platform = root.platform.clone().unwrap_or_else(Platform::host);
    let name = elsewhere::load(engine, place, &platform, Teller::Errors)?.image.id.to_string();
    let root = Root::Image(Box::new(ImageRoot { name, ..root.clone() }));
    Ok(RunOptions { root, ..options.clone() })
}

/// What is here of that which a word may stand for, and by which of its meanings, where it is not found by the word itself.
fn here(engine: &Engine, word: &str) -> Result<(Option<Named>, Option<Reference>)> {
    let known = engine.known_image(word)?;
    if known.is_some() || Reference::parse(word).is_err() {
        return Ok((known, None));
    }
    for name in registries::meanings(word)? {
        if let Some(known) = engine.known_image(&name.to_string())? {
            return Ok((Some(known), Some(name)));
        }
    }
    Ok((None, None))
}

/// Gives the name by which it is here, where the word has meanings of its own.
fn ensure(engine: &Engine, options: &RunOptions, root: &ImageRoot) -> Result<Option<Reference>> {
    let (known, meaning) = here(engine, &root.name)?;
    let verify = options.verify.as_ref();
    let fitting = fits(engine, known.as_ref(), root.platform.as_ref());
    if let (When::Missing, Some(known), Some(key), Ok(())) = (options.pull, &known, verify, &fitting)
        && !known.image.is_verified_by(key.fingerprint())
    {
        verify_known(engine, known, root, key)?;
    }
    // One for another machine is absent; what was named by its id is had from nowhere.
    let is_here = |known: &Named| fitting.is_ok() || meaning.is_none() && !is_name_of(known, &root.name);
    if options.pull == When::Never || options.pull == When::Missing && known.as_ref().is_some_and(is_here) {
        return fitting.map(|()| meaning);
    }
    if Reference::parse(&root.name).is_err() && known.is_some() {
        // An id is had from nowhere.
        return Ok(None);
    }
    let out = Teller::Errors;
    if options.pull == When::Missing {
        out.line(&format!("Unable to find image '{}' locally", Reference::parse(&root.name)?.familiar()));
    }
    let platform = root.platform.clone().unwrap_or_else(Platform::host);
    let (name, _) = first(engine, &root.name, Manner { platform: &platform, verify, out })?;
    fits(engine, engine.known_image(&name.to_string())?.as_ref(), root.platform.as_ref())?;
    Ok(Some(name))
}

/// Whether an image that is here was found by a name that its registry knows.
fn is_name_of(known: &Named, word: &str) -> bool {
    Reference::parse(word).is_ok_and(|name| name.digest.is_some() || known.names.contains(&name))
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
    Err(refused
        .kind(RefusedKind::NoSuchObject)
        .hint("carboy manifest inspect --verbose shows for which its registry has it")
        .into())
}
