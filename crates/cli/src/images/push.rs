//! `push`: an image goes to the registry of its name, and it is told how that goes on.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Sent, Watcher};
use engine::options::Digest;
use error::{Refused, RefusedKind, Result};
use image::Reference;
use image::reference::DEFAULT_TAG;
use image::transport::{Transport, in_registry};
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Read, Usage, wrong_name, wrong_words};
use crate::help;
use crate::images::progress::Teller;
use crate::images::registries;
use crate::images::{Image, elsewhere};
use crate::report;

/// What `push` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Push {
    /// Whether every tag of the repository goes that is here.
    pub(crate) all_tags: bool,
    /// Whether nothing but the name is said.
    pub(crate) quiet: bool,
    /// The image.
    pub(crate) image: String,
    /// Where it goes to, and what it is called there; as it is called here if it is not said.
    pub(crate) to: Option<String>,
}

/// `carboy push`.
pub(crate) const PUSH: Usage<Push> = Usage {
    command: "push",
    words: "IMAGE [DESTINATION]",
    doc: "Send an image to the registry of its name\n\n\
          DESTINATION is another name for it in a registry, or a place elsewhere: oci:FOLDER[:NAME], oci-archive:FILE[:NAME],\n\
          docker-archive:FILE[:NAME], dir:FOLDER, docker-daemon:NAME.",
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
    let (image, to) = match words.as_slice() {
        [image] => (image, None),
        [image, to] => (image, Some(to)),
        words => {
            let word = words.get(2).map(String::as_str).unwrap_or_default();
            let refused = wrong_words("push", word, "it needs an image, and maybe where it goes to");
            return Err(refused.hint("for example: carboy push registry.example/app:1").into());
        }
    };
    let name = to.unwrap_or(image);
    if Transport::of(name)?.is_none() {
        check_name(&push, in_registry(name)).map_err(wrong_name)?;
    } else if to.is_none() || push.all_tags {
        let refused = wrong_words("push", name, "it needs an image, and then this place");
        return Err(refused.hint(format!("for example: carboy push app:1 {name}")).into());
    }
    Ok(Command::Image(Image::Push(Push { image: image.clone(), to: to.cloned(), ..push })))
}

fn check_name(push: &Push, name: &str) -> Result<()> {
    let bare = Reference::parse_bare(name)?;
    if let Some(digest) = &bare.digest {
        let refused = Refused::new("the name", digest.to_string(), "is a digest, which follows from what is sent");
        return Err(refused.hint("leave it out: NAME:TAG").into());
    }
    if push.all_tags && bare.tag.is_some() {
        let refused = Refused::new("--all-tags", name, "has a tag itself");
        return Err(refused.hint("name the repository alone").into());
    }
    Ok(())
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
    let out = if asked.quiet { Teller::Nobody } else { Teller::Output };
    let word = in_registry(asked.to.as_ref().unwrap_or(&asked.image));
    if let Some(place) = Transport::of(word)? {
        let saved = elsewhere::save(engine, &asked.image, &place)?;
        out.line(&format!("{word}: digest: {} size: {}", saved.digest, saved.bytes));
        if asked.quiet {
            report::line(word);
        }
        return Ok(());
    }
    let bare = Reference::parse_bare(word)?;
    let name = Reference::parse(word)?;
    let names = if asked.all_tags { all(engine, &bare)? } else { vec![name.clone()] };
    // Before anything is said of it.
    let image = asked.to.as_ref().map(|_| asked.image.as_str());
    names.iter().try_for_each(|name| engine.find_to_push(image.unwrap_or(&name.familiar())).map(drop))?;
    if !asked.all_tags && bare.tag.is_none() {
        out.line(&format!("Using default tag: {DEFAULT_TAG}"));
    }
    out.line(&format!("The push refers to repository [{}]", bare.name()));
    for name in &names {
        let Some(own) = registries::places(name)?.pop() else { continue };
        let pushed = engine.push_image(image.unwrap_or(&name.to_string()), (name, &own), &Plain { to: out })?;
        out.line(&format!("{}: digest: {} size: {}", name.version(), pushed.digest, pushed.bytes));
    }
    if asked.quiet {
        report::line(&if asked.all_tags { bare.name() } else { name.to_string() });
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
