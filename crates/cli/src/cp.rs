//! `cp`, `export` and `diff`: the files of containers. Words, output and exit codes are Docker's.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use engine::containers::Engine;
use engine::files::{Copying, Links, Owned, Purpose};
use error::{Doing, Error, Refused, RefusedKind, Result};
use image::{SkippedWhat, Unpacked};
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::help;
use crate::report;

/// What `cp` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cp {
    /// Whether copies belong to the same numbers.
    archive: bool,
    /// Whether a link that is named is followed.
    follow: bool,
    /// Whether nothing is said of what was copied.
    quiet: bool,
    from: Place,
    to: Place,
}

/// What `export` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Export {
    output: Option<PathBuf>,
    container: String,
}

/// One side of a copy.
#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    /// An archive through a pipe.
    #[default]
    Pipe,
    /// A path of the host.
    Host(String),
    /// A container and a path in it.
    Container(String, String),
}

pub(crate) const CP: Usage<Cp> = Usage {
    command: "cp",
    words: "CONTAINER:PATH PATH|- or PATH|- CONTAINER:PATH",
    doc: "Copy files out of a container or into one, whether it runs or not\n\n\
          A folder is copied into one that exists, PATH/. only what is in it. - is a tar archive: standard output or input.\n\
          Copies belong to root in a container and to you on the host; those from an archive to whom it says.",
    flags: &[&[
        Flag::switch("archive", |cp: &mut Cp, on| cp.archive = on, "let copies belong to the same numbers").short('a'),
        Flag::switch("follow-link", |cp: &mut Cp, on| cp.follow = on, "copy what a link leads to, not the link")
            .short('L'),
        Flag::switch("quiet", |cp: &mut Cp, on| cp.quiet = on, "say nothing of what was copied").short('q'),
    ]],
    end: End::Never,
};

pub(crate) const EXPORT: Usage<Export> = Usage {
    command: "export",
    words: "CONTAINER",
    doc: "Write all files of a container as a tar archive, without its volumes and other mounts",
    flags: &[&[Flag::value("output", "FILE", output, "write to this file, not to standard output").short('o')]],
    end: End::Never,
};

pub(crate) const DIFF: Usage<()> = Usage {
    command: "diff",
    words: "CONTAINER",
    doc: "Show what a container has changed of its root: A added, C changed, D deleted",
    flags: &[],
    end: End::Never,
};

fn output(export: &mut Export, given: Given<'_>) -> Result<()> {
    match given.value {
        "" => Err(given.refused("needs the name of a file").into()),
        path => {
            export.output = Some(path.into());
            Ok(())
        }
    }
}

/// Reads the words after `cp`.
///
/// # Errors
/// Refused, naming the flag or what is wrong with the two places.
pub(crate) fn read_cp(parser: &mut Parser) -> Result<Command> {
    let mut cp = Cp::default();
    let words = match CP.read(parser, &mut cp)? {
        Read::Help => return Ok(Command::Help(help::of_command(&CP))),
        Read::Words(words) => words,
    };
    let hint = "use CONTAINER:PATH PATH or PATH CONTAINER:PATH; a path of yours with a colon in it begins with ./ or /";
    let refused = |value: &str, reason: &str| Err(wrong_words("cp", value, reason).hint(hint).into());
    let [from, to] = words.as_slice() else {
        return refused(&words.join(" "), "it needs what is copied and where it goes");
    };
    (cp.from, cp.to) = (place(from), place(to));
    match (&cp.from, &cp.to) {
        (Place::Container(..), Place::Container(..)) => {
            refused(&words.join(" "), "copying between containers is not supported")
        }
        (Place::Container(container, path), _) | (_, Place::Container(container, path))
            if container.is_empty() || path.is_empty() =>
        {
            refused(&words.join(" "), "names no container or no path in it")
        }
        (Place::Container(..), _) | (_, Place::Container(..)) => Ok(Command::Cp(cp)),
        _ => refused(&words.join(" "), "one of the two must be in a container"),
    }
}

fn place(word: &str) -> Place {
    match word.split_once(':') {
        _ if word == "-" => Place::Pipe,
        Some((container, path)) if !word.starts_with(['/', '.']) => Place::Container(container.into(), path.into()),
        _ => Place::Host(word.to_owned()),
    }
}

/// Reads the words after `export`.
///
/// # Errors
/// Refused.
pub(crate) fn read_export(parser: &mut Parser) -> Result<Command> {
    let mut export = Export::default();
    Ok(match one(&EXPORT, parser, &mut export)? {
        Err(help) => help,
        Ok(container) => Command::Export(Export { container, ..export }),
    })
}

/// Reads the words after `diff`.
///
/// # Errors
/// Refused.
pub(crate) fn read_diff(parser: &mut Parser) -> Result<Command> {
    Ok(one(&DIFF, parser, &mut ())?.map_or_else(|help| help, Command::Diff))
}

/// Reads the words of a command that names one container; or gives its help.
fn one<T>(usage: &Usage<T>, parser: &mut Parser, target: &mut T) -> Result<std::result::Result<String, Command>> {
    let words = match usage.read(parser, target)? {
        Read::Help => return Ok(Err(Command::Help(help::of_command(usage)))),
        Read::Words(words) => words,
    };
    match words.as_slice() {
        [container] => Ok(Ok(container.clone())),
        [] => {
            let refused = wrong_words(usage.command, "", "it needs the name of a container");
            Err(refused.hint("carboy ps -a lists them").into())
        }
        [_, word, ..] => Err(wrong_words(usage.command, word, "it takes one container").into()),
    }
}

/// The exit code where Docker's daemon would have refused.
fn ended(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// `carboy cp`.
pub(crate) fn run(engine: &Engine, cp: &Cp) -> ExitCode {
    ended(copy(engine, cp))
}

fn copy(engine: &Engine, cp: &Cp) -> Result<()> {
    let links = if cp.follow { Links::Followed } else { Links::Kept };
    let copying = Copying { links, owned: if cp.archive { Owned::AsSource } else { Owned::ByReceiver } };
    let (unpacked, bytes, to) = match (&cp.from, &cp.to) {
        (Place::Container(container, path), Place::Pipe) => {
            let files = engine.files(container, Purpose::Read)?;
            return to_standard_output(|out| files.pack(path, links, out));
        }
        (Place::Pipe, Place::Container(container, path)) => {
            let unpacked = engine.files(container, Purpose::Write)?.unpack(std::io::stdin().lock(), path)?;
            warn(&unpacked);
            return Ok(());
        }
        (Place::Container(container, path), Place::Host(host)) => {
            let (unpacked, bytes) = engine.files(container, Purpose::Read)?.get(path, host, copying)?;
            (unpacked, bytes, host.clone())
        }
        (Place::Host(host), Place::Container(container, path)) => {
            let (unpacked, bytes) = engine.files(container, Purpose::Write)?.put(host, path, copying)?;
            (unpacked, bytes, format!("{container}:{path}"))
        }
        _ => return Ok(()),
    };
    warn(&unpacked);
    // Docker is quiet too where nobody looks.
    if !cp.quiet && std::io::stdout().is_terminal() {
        report::note(&format!("Successfully copied {} to {to}", report::decimal_size(bytes)));
    }
    Ok(())
}

/// Says what was left out.
fn warn(unpacked: &Unpacked) {
    for skipped in &unpacked.skipped {
        let what = match &skipped.what {
            SkippedWhat::CharacterDevice { major, minor } => format!("it is the character device {major}:{minor}"),
            SkippedWhat::BlockDevice { major, minor } => format!("it is the block device {major}:{minor}"),
            SkippedWhat::HardLink { target } => format!("it is a link to {}", target.display()),
            SkippedWhat::Xattr { name } => format!("its attribute {} alone", name.display()),
        };
        report::warning(&format!("{} is left out: {what}", report::harmless(&skipped.entry.to_string_lossy())));
    }
    if unpacked.skipped_unlisted > 0 {
        report::warning(&format!("{} more are left out", unpacked.skipped_unlisted));
    }
}

fn to_standard_output(write: impl FnOnce(&mut dyn std::io::Write) -> Result<u64>) -> Result<()> {
    if std::io::stdout().is_terminal() {
        let refused = Refused::new("standard output", "", "is a terminal, and an archive is for programs");
        return Err(refused.hint("send it to a file or to tar: … | tar tv").into());
    }
    let mut out = BufWriter::with_capacity(256 << 10, std::io::stdout().lock());
    write(&mut out).map(drop)
}

/// `carboy export`.
pub(crate) fn export(engine: &Engine, asked: &Export) -> ExitCode {
    ended(exported(engine, asked))
}

fn exported(engine: &Engine, asked: &Export) -> Result<()> {
    let files = engine.files(&asked.container, Purpose::ReadRoot)?;
    let Some(path) = &asked.output else { return to_standard_output(|out| files.export(out)) };
    // Whoever looks at the file finds the whole archive or what was there before.
    let beside = beside(path)?;
    let written = write_file(&beside, |out| files.export(out))
        .and_then(|()| std::fs::rename(&beside, path).doing(|| format!("write {}", path.display())));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn beside(path: &Path) -> Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let refused = |reason: &str| -> Error {
        let refused = Refused::new("--output", path.display().to_string(), reason);
        refused.kind(RefusedKind::NoSuchObject).hint("use the path of a file in a folder that exists").into()
    };
    match path.file_name() {
        _ if !folder.is_dir() => Err(refused("is in no folder that exists")),
        _ if path.is_dir() => Err(refused("is a folder")),
        None => Err(refused("is no file")),
        Some(name) => Ok(folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()))),
    }
}

fn write_file(path: &Path, write: impl FnOnce(&mut dyn std::io::Write) -> Result<u64>) -> Result<()> {
    let action = || format!("write {}", path.display());
    let mut out = BufWriter::with_capacity(256 << 10, File::create_new(path).doing(action)?);
    write(&mut out)?;
    out.flush().doing(action)
}

/// `carboy diff`.
pub(crate) fn diff(engine: &Engine, container: &str) -> ExitCode {
    let shown = engine.changes(container).map(|changes| {
        for change in changes {
            report::line(&format!("{} {}", change.changed, report::harmless(&change.path.to_string_lossy())));
        }
    });
    ended(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_is_of_a_container_unless_the_path_begins_like_one_of_the_host() {
        let inside = |container: &str, path: &str| Place::Container(container.to_owned(), path.to_owned());
        assert_eq!(place("web:/srv/x"), inside("web", "/srv/x"));
        assert_eq!(place("web:srv:x"), inside("web", "srv:x"));
        assert_eq!(place("-"), Place::Pipe);
        for host in ["/a:b", "./a:b", "../a:b", "a", ".:a"] {
            assert_eq!(place(host), Place::Host(host.to_owned()));
        }
    }

    #[test]
    fn an_archive_is_written_beside_its_place() {
        let told = |path: &str| beside(Path::new(path)).map_or_else(|error| error.to_string(), |_| "beside".to_owned());
        assert_eq!(told("/tmp/x.tar"), "beside");
        assert_eq!(told("x.tar"), "beside");
        assert_eq!(told("/tmp"), "cannot use --output /tmp: is a folder");
        assert_eq!(told("/nowhere/x"), "cannot use --output /nowhere/x: is in no folder that exists");
    }
}
