//! `image mount` and `image unmount`: an image's files, to be looked at on the host. Words and output as podman's.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::images::{Mounted, Unmount as How};
use error::{Refused, Result};
use image::Reference;
use lexopt::Parser;
use serde_json::{Value, json};

use crate::columns::{NARROWEST, aligned};
use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::format::{Format, Rows};
use crate::help;
use crate::images::Image;
use crate::report;
use crate::template::Data;

/// What `image mount` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Whether every image is mounted.
    pub(crate) all: bool,
    /// How they are shown.
    pub(crate) format: String,
    /// The images; none to list those that are mounted.
    pub(crate) images: Vec<String>,
}

/// What `image unmount` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unmount {
    /// Whether every image that is mounted is meant.
    pub(crate) all: bool,
    /// Whether it does not matter how often it was mounted.
    pub(crate) force: bool,
    /// The images.
    pub(crate) images: Vec<String>,
}

/// `carboy image mount`.
pub(crate) const MOUNT: Usage<Mount> = Usage {
    command: "image mount",
    words: "[IMAGE...]",
    doc: "Mount images read-only on this host, and print where; without IMAGE list those that are mounted",
    flags: &[&[
        Flag::switch("all", |mount: &mut Mount, on| mount.all = on, "mount every image").short('a'),
        Flag::value("format", "FORMAT", format, "show them as json, or by a Go template"),
    ]],
    end: End::Never,
};

/// `carboy image unmount`.
pub(crate) const UNMOUNT: Usage<Unmount> = Usage {
    command: "image unmount",
    words: "IMAGE...",
    doc: "Unmount images, and print their ids; one that was mounted twice is unmounted with the second time",
    flags: &[&[
        Flag::switch("all", |unmount: &mut Unmount, on| unmount.all = on, "unmount every image").short('a'),
        Flag::switch("force", |unmount: &mut Unmount, on| unmount.force = on, "however often it was mounted")
            .short('f'),
    ]],
    end: End::Never,
};

fn format(mount: &mut Mount, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut mount.format);
    Ok(())
}

/// Reads the words after `image mount`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let mut mount = Mount::default();
    match MOUNT.read(parser, &mut mount)? {
        Read::Help => Ok(Command::Help(help::of_command(&MOUNT))),
        Read::Words(images) => {
            if mount.all {
                no_words(MOUNT.command, &images)?;
            }
            Ok(Command::Image(Image::Mount(Mount { images, ..mount })))
        }
    }
}

/// Reads the words after `image unmount`.
///
/// # Errors
/// Refused, naming the flag.
pub(crate) fn read_unmount(parser: &mut Parser) -> Result<Command> {
    let mut unmount = Unmount::default();
    match UNMOUNT.read(parser, &mut unmount)? {
        Read::Help => Ok(Command::Help(help::of_command(&UNMOUNT))),
        Read::Words(images) => {
            if unmount.all {
                no_words(UNMOUNT.command, &images)?;
            } else if images.is_empty() {
                let refused = wrong_words(UNMOUNT.command, "", "it needs the name of an image, or --all");
                return Err(refused.hint("carboy image mount lists those that are mounted").into());
            }
            Ok(Command::Image(Image::Unmount(Unmount { images, ..unmount })))
        }
    }
}

fn no_words(command: &str, images: &[String]) -> Result<()> {
    match images.first() {
        Some(image) => Err(wrong_words(command, image, "with --all it takes no words").into()),
        None => Ok(()),
    }
}

const ROWS: Rows = Rows {
    table: "{{.Name}}\t{{.Mountpoint}}",
    raw: "",
    fields: &[("ID", "IMAGE ID"), ("Name", "NAME"), ("Repositories", "REPOSITORIES"), ("Mountpoint", "MOUNTPOINT")],
};

/// `carboy image mount`.
///
/// # Errors
/// Refused for a format that cannot be had; a kernel error.
pub(crate) fn run(engine: &Engine, asked: &Mount) -> Result<ExitCode> {
    let template = if asked.format.is_empty() { ROWS.table } else { &asked.format };
    let format = Format::new(template, &ROWS)?;
    let images = if asked.all { all(engine)? } else { asked.images.clone() };
    if images.is_empty() {
        return show(engine, &engine.mounted_images()?, (&asked.format, &format));
    }
    let mut mounted = Vec::new();
    let code = each(&images, |word| {
        mounted.push(engine.mount_image(word)?);
        Ok(())
    });
    if asked.format.is_empty() && !asked.all && images.len() == 1 {
        mounted.iter().for_each(|one| report::line(&one.path.display().to_string()));
    } else {
        show(engine, &mounted, (&asked.format, &format))?;
    }
    Ok(code)
}

/// `carboy image unmount`.
///
/// # Errors
/// A kernel error.
pub(crate) fn run_unmount(engine: &Engine, asked: &Unmount) -> Result<ExitCode> {
    let how = if asked.force { How::Wholly } else { How::Once };
    let images = if asked.all {
        engine.mounted_images()?.into_iter().map(|mounted| mounted.image.to_string()).collect()
    } else {
        asked.images.clone()
    };
    Ok(each(&images, |word| engine.unmount_image(word, how).map(|id| report::line(id.hex()))))
}

fn all(engine: &Engine) -> Result<Vec<String>> {
    Ok(engine.images()?.whole.into_iter().map(|named| named.image.id.to_string()).collect())
}

/// One that fails keeps none of the others from it.
fn each(images: &[String], mut act: impl FnMut(&str) -> Result<()>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for word in images {
        if let Err(error) = act(word) {
            report::error(&error);
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn show(engine: &Engine, mounted: &[Mounted], (source, format): (&str, &Format)) -> Result<ExitCode> {
    let images = engine.images()?.whole;
    let documents = mounted.iter().map(|one| {
        let named = images.iter().find(|named| named.image.id == one.image);
        let names: Vec<String> = named.iter().flat_map(|named| &named.names).map(Reference::to_string).collect();
        (one, names)
    });
    if source == "json" {
        let list: Vec<Value> = documents.map(|(one, names)| document(one, &names)).collect();
        let text = serde_json::to_string_pretty(&list);
        report::line(&text.map_err(|error| Refused::new("--format", source, error.to_string()))?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = String::new();
    for (one, names) in documents {
        let id = one.image.hex();
        let value = json!({
            "ID": id,
            "Name": names.first().map_or(id, String::as_str),
            "Repositories": names.join(","),
            "Mountpoint": one.path,
        });
        rows.push_str(&format.row(Data { value: &value, methods: &[] })?);
    }
    report::text(&if source.is_empty() { aligned(&rows, NARROWEST) } else { format.whole(&rows) });
    Ok(ExitCode::SUCCESS)
}

/// As podman has it.
fn document(one: &Mounted, names: &[String]) -> Value {
    json!({ "id": one.image.hex(), "Repositories": names, "mountpoint": one.path })
}
