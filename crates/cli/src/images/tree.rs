//! `image tree`: the layers of an image, what each of them costs, and which files come from it.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Seen, TreeLayer};
use error::Result;
use image::layer::{Held, HeldKind};
use lexopt::Parser;

use crate::columns::{NARROWEST, aligned};
use crate::command::Command;
use crate::flags::{End, Flag, Read, Usage, wrong_words};
use crate::help;
use crate::images::Image;
use crate::report::{self, decimal_size, harmless};

/// As much of a command is shown, in characters.
const COMMAND: usize = 60;
/// As many digits of a layer's name.
const DIGITS: usize = 12;

/// What `image tree` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Whether the files of each layer are listed.
    pub(crate) files: bool,
    /// The image.
    pub(crate) image: String,
}

/// `carboy image tree`.
pub(crate) const TREE: Usage<Tree> = Usage {
    command: "image tree",
    words: "IMAGE",
    doc: "Show the layers of an image, the lowest first: what each of them costs, how much of it later layers hide, and how \
          many other images share it",
    flags: &[&[Flag::switch(
        "files",
        |tree: &mut Tree, on| tree.files = on,
        "list the files of each layer, and those that it removes",
    )]],
    end: End::Never,
};

/// Reads the words after `image tree`.
///
/// # Errors
/// Refused, naming the flag or the word.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut tree = Tree::default();
    let words = match TREE.read(parser, &mut tree)? {
        Read::Help => return Ok(Command::Help(help::of_command(&TREE))),
        Read::Words(words) => words,
    };
    match words.as_slice() {
        [image] => Ok(Command::Image(Image::Tree(Tree { image: image.clone(), ..tree }))),
        words => {
            let word = words.get(1).map(String::as_str).unwrap_or_default();
            let refused = wrong_words("image tree", word, "it needs the name of one image");
            Err(refused.hint("carboy images lists them").into())
        }
    }
}

/// `carboy image tree`.
pub(crate) fn run(engine: &Engine, asked: &Tree) -> Result<ExitCode> {
    let layers = match engine.find_image(&asked.image).and_then(|named| engine.image_tree(&named)) {
        Ok(layers) => layers,
        Err(error) => {
            report::error(&error);
            return Ok(ExitCode::FAILURE);
        }
    };
    report::text(&aligned(&table(&layers), NARROWEST));
    if asked.files {
        layers.iter().for_each(|layer| report::text(&files(layer)));
    }
    Ok(ExitCode::SUCCESS)
}

fn name(layer: &TreeLayer) -> &str {
    layer.chain.hex().get(..DIGITS).unwrap_or_default()
}

fn table(layers: &[TreeLayer]) -> String {
    let mut rows = "LAYER\tSIZE\tHIDDEN\tFILES\tREMOVALS\tSHARED\tMADE BY\n".to_owned();
    let row = |[name, size, hidden, files, removals, shared, made]: [&str; 7]| {
        format!("{name}\t{size}\t{hidden}\t{files}\t{removals}\t{shared}\t{made}\n")
    };
    for layer in layers {
        let cost = &layer.cost;
        let shared = match layer.sharers {
            0 => "no".to_owned(),
            1 => "1 image".to_owned(),
            count => format!("{count} images"),
        };
        rows.push_str(&row([
            name(layer),
            &decimal_size(cost.bytes),
            &decimal_size(cost.hidden_bytes),
            &cost.files.to_string(),
            &cost.removals.to_string(),
            &shared,
            &command(layer.made_by.as_deref().unwrap_or_default()),
        ]));
    }
    let sum = |of: fn(&TreeLayer) -> u64| layers.iter().map(of).sum::<u64>();
    let shared = layers.iter().filter(|layer| layer.sharers > 0).map(|layer| layer.cost.bytes).sum();
    rows.push_str(&row([
        "total",
        &decimal_size(sum(|layer| layer.cost.bytes)),
        &decimal_size(sum(|layer| layer.cost.hidden_bytes)),
        &sum(|layer| layer.cost.files).to_string(),
        &sum(|layer| layer.cost.removals).to_string(),
        &decimal_size(shared),
        "",
    ]));
    rows
}

/// A command on one line, cut off where it is long.
fn command(text: &str) -> String {
    let line = harmless(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    match line.char_indices().nth(COMMAND) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn files(layer: &TreeLayer) -> String {
    let mut lines = format!("\n{}\n", name(layer));
    for (Held { path, kind }, seen) in &layer.entries {
        let what = match (kind, seen) {
            (HeldKind::Directory, _) => continue,
            (HeldKind::Opaque, _) => "replaced".to_owned(),
            (HeldKind::Whiteout, _) => "removed".to_owned(),
            (HeldKind::File { bytes }, Seen::Yes) => decimal_size(*bytes),
            (HeldKind::File { bytes }, Seen::Hidden) => format!("{}, hidden by a later layer", decimal_size(*bytes)),
        };
        let path = harmless(&String::from_utf8_lossy(path));
        lines.push_str(&format!("  /{path}  {what}\n"));
    }
    lines
}
