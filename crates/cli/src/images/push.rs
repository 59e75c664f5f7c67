//! `push`: an image goes to the registry of its name, and it is told how that goes on.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Sent, Watcher};
use engine::options::Digest;
use error::{Refused, RefusedKind, Result};
use image::Reference;
use image::reference::DEFAULT_TAG;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Read, Usage, wrong_words};
use crate::help;
use crate::images::Image;
use crate::images::progress::Teller;
use crate::images::registries;
use crate::report;

/// What `push` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Push {
    /// Whether every tag of the repository goes that is here.
    pub(crate) all_tags: bool,
    /// Whether nothing but the name is said.
    pub(crate) quiet: bool,
    /// The image's name.
    pub(crate) name: String,
}

/// `carboy push`.
pub(crate) const PUSH: Usage<Push> = Usage {
    command: "push",
    words: "NAME[:TAG]",
    doc: "Send an image to the registry of its name",
    flags: &[&[
        Flag::switch("all-tags", |push: &mut Push, on| push.all_tags = on, "send every tag of the name").short('a'),
        Flag::switch("quiet", |push: &mut Push, on| push.quiet = on, "say nothing but the image's name").short('q'),
    ]],
    end: End::Never,
};

/// Reads the words after `push`.
///
/// # Errors
/// Refused, naming the flag, or what is wrong with the name.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut push = Push::default();
    let words = match PUSH.read(parser, &mut push)? {
        Read::Help => return Ok(Command::Help(help::of_command(&PUSH))),
        Read::Words(words) => words,
    };
    let [name] = words.as_slice() else {
        let word = words.get(1).map(String::as_str).unwrap_or_default();
        let refused = wrong_words("push", word, "it sends one image at a time");
        return Err(refused.hint("for example: carboy push registry.example/app:1").into());
    };
    let bare = Reference::parse_bare(name)?;
    if let Some(digest) = &bare.digest {
        let refused = Refused::new("the name", digest.to_string(), "is a digest, which follows from what is sent");
        return Err(refused.hint("leave it out: NAME:TAG").into());
    }
    if push.all_tags && bare.tag.is_some() {
        let refused = Refused::new("--all-tags", name.as_str(), "has a tag itself");
        return Err(refused.hint("name the repository alone").into());
    }
    Ok(Command::Image(Image::Push(Push { name: name.clone(), ..push })))
}

/// `carboy push`.
///
/// # Errors
/// None: what goes wrong is said here.
pub(crate) fn run(engine: &Engine, asked: &Push) -> Result<ExitCode> {
    match push(engine, asked) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            report::error(&error);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn push(engine: &Engine, asked: &Push) -> Result<()> {
    let bare = Reference::parse_bare(&asked.name)?;
    let out = if asked.quiet { Teller::Nobody } else { Teller::Output };
    if !asked.all_tags && bare.tag.is_none() {
        out.line(&format!("Using default tag: {DEFAULT_TAG}"));
    }
    let names = if asked.all_tags { all(engine, &bare)? } else { vec![Reference::parse(&asked.name)?] };
    out.line(&format!("The push refers to repository [{}]", bare.name()));
    for name in &names {
        let Some(own) = registries::places(name)?.pop() else { continue };
        let pushed = engine.push_image(name, &own, &Plain { to: out })?;
        out.line(&format!("{}: digest: {} size: {}", name.version(), pushed.digest, pushed.bytes));
    }
    if asked.quiet {
        report::line(&if asked.all_tags { bare.name() } else { Reference::parse(&asked.name)?.to_string() });
    }
    Ok(())
}

/// The names of images on this host that differ by their tags alone.
fn all(engine: &Engine, bare: &Reference) -> Result<Vec<Reference>> {
    let images = engine.images()?.whole;
    let names = images.into_iter().flat_map(|image| image.names);
    let mut names: Vec<Reference> = names.filter(|name| name.name() == bare.name() && name.tag.is_some()).collect();
    names.sort();
    if names.is_empty() {
        let refused = Refused::new("the image", bare.familiar_name(), "has no tag on this host");
        return Err(refused.kind(RefusedKind::NoSuchObject).hint("carboy images lists those that are here").into());
    }
    Ok(names)
}

/// Tells each step in a line, as Docker does where there is no terminal.
struct Plain {
    to: Teller,
}

impl Watcher for Plain {
    fn tell(&self, layer: &Digest, sent: Sent<'_>) {
        let text = match sent {
            Sent::Preparing => "Preparing".to_owned(),
            Sent::Exists => "Layer already exists".to_owned(),
            Sent::Mounted(repository) => format!("Mounted from {repository}"),
            Sent::Uploading { .. } => return,
            Sent::Done => "Pushed".to_owned(),
        };
        self.to.line(&format!("{}: {text}", layer.hex().get(..12).unwrap_or_default()));
    }
}
