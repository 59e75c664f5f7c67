//! `image`, and the commands of images that have a name of their own: `pull`, `images`, `rmi`. Words and output as Docker's.

pub(crate) mod commit;
pub(crate) mod document;
mod elsewhere;
mod filter;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod mount;
mod progress;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
mod registries;
pub(crate) mod rm;
pub(crate) mod save;
pub(crate) mod tag;
pub(crate) mod tree;

use std::process::ExitCode;

use engine::containers::Engine;
use error::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Read, Usage, wrong_words};
use crate::help;
use crate::images::commit::{Commit, Import};
use crate::images::history::History;
use crate::images::list::List;
use crate::images::load::Load;
use crate::images::mount::{Mount, Unmount};
use crate::images::prune::Prune;
use crate::images::pull::Pull;
use crate::images::push::Push;
use crate::images::rm::Remove;
use crate::images::save::Save;
use crate::images::tag::Tag;
use crate::images::tree::Tree;
use crate::inspect;
use crate::report;

/// What is to be done with images.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// Bring one from its registry.
    Pull(Pull),
    /// Send one to its registry.
    Push(Push),
    /// Bring those of an archive.
    Load(Load),
    /// Make one of a container's changes.
    Commit(Commit),
    /// Make one of an archive of a root.
    Import(Import),
    /// Write these to an archive.
    Save(Save),
    /// Remove these.
    Remove(Remove),
    /// Give one a name.
    Tag(Tag),
    /// Remove what nobody uses.
    Prune(Prune),
    /// Mount these, or list those that are mounted.
    Mount(Mount),
    /// Unmount these.
    Unmount(Unmount),
    /// Tell what one is made of.
    Tree(Tree),
    /// List them.
    List(List),
    /// Tell how one came to be.
    History(History),
}

/// `carboy image`, which has commands of its own.
pub(crate) const IMAGE: Usage<()> = Usage {
    command: "image",
    words: "COMMAND [WORDS]",
    doc: "Do something with images\n\n\
          ls       list them, as carboy images\n\
          inspect  print everything about images, as carboy inspect --type image\n\
          history  show the steps that made an image, as carboy history\n\
          pull     bring an image from its registry, as carboy pull\n\
          push     send an image to its registry, as carboy push\n\
          load     bring the images of an archive, as carboy load\n\
          save     write images to an archive, as carboy save\n\
          import   make an image of an archive of a root, as carboy import\n\
          rm       remove images, as carboy rmi\n\
          tag      give an image a name, as carboy tag\n\
          tree     show the layers of an image, and what each of them costs\n\
          mount    mount images on this host to be looked at, and print where\n\
          unmount  unmount them\n\
          prune    remove the images that nobody uses\n\n\
          carboy image COMMAND --help tells of its flags.",
    flags: &[],
    end: End::FirstWord,
};

/// Reads the words after `image`.
///
/// # Errors
/// Refused, naming the command or the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let words = match IMAGE.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&IMAGE))),
        Read::Words(words) => words,
    };
    let Some((word, words)) = words.split_first() else { return Ok(Command::Help(help::of_command(&IMAGE))) };
    let mut parser = Parser::from_args(words);
    match word.as_str() {
        "ls" | "list" => list::read(&mut parser),
        "inspect" => inspect::read_image(&mut parser),
        "history" => history::read(&mut parser),
        "pull" => pull::read(&mut parser),
        "push" => push::read(&mut parser),
        "load" => load::read(&mut parser),
        "save" => save::read(&mut parser),
        "import" => commit::read_import(&mut parser),
        "rm" | "remove" => rm::read(&mut parser),
        "tag" => tag::read(&mut parser),
        "prune" => prune::read(&mut parser),
        "tree" => tree::read(&mut parser),
        "mount" => mount::read(&mut parser),
        "unmount" | "umount" => mount::read_unmount(&mut parser),
        word => {
            let refused = wrong_words("image", word, "it has no such command");
            Err(refused.hint("carboy image --help lists them").into())
        }
    }
}

/// Does it.
///
/// # Errors
/// What keeps it from being done.
pub(crate) fn run(engine: &Engine, image: &Image) -> Result<ExitCode> {
    match image {
        Image::Pull(asked) => pull::run(engine, asked),
        Image::Push(asked) => push::run(engine, asked),
        Image::Load(asked) => load::run(engine, asked),
        Image::Commit(asked) => Ok(commit::run(engine, asked)),
        Image::Import(asked) => Ok(commit::run_import(engine, asked)),
        Image::Save(asked) => Ok(save::run(engine, asked)),
        Image::Remove(asked) => Ok(rm::run(engine, asked)),
        Image::Tag(asked) => tag::run(engine, asked),
        Image::Prune(asked) => prune::run(engine, asked),
        Image::Mount(asked) => mount::run(engine, asked),
        Image::Unmount(asked) => mount::run_unmount(engine, asked),
        Image::Tree(asked) => tree::run(engine, asked),
        Image::List(asked) => Ok(list::run(engine, asked)),
        Image::History(asked) => Ok(history::run(engine, asked)),
    }
}

/// Docker's word for a name that there is not.
const NONE: &str = "<none>";
/// Docker's word for what is not known, or not counted by the command.
const NOT_TOLD: &str = "N/A";

/// How long ago a moment was: "5 minutes ago".
fn since(time: Timestamp) -> String {
    format!("{} ago", report::span(Timestamp::now().as_second() - time.as_second()))
}

/// A moment in the zone of whoever asks.
fn at(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// The names of images after a command.
///
/// # Errors
/// Refused where there is none.
fn needed<T>(usage: &Usage<T>, words: Vec<String>) -> Result<Vec<String>> {
    if words.is_empty() {
        let refused = wrong_words(usage.command, "", "it needs the name of an image");
        return Err(refused.hint("carboy images lists them").into());
    }
    Ok(words)
}
