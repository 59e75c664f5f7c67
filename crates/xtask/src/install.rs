//! `cargo xtask install`: the programs, their man pages and completions where a system looks for them.
//!
//! ```text
//! PREFIX/bin/carboy, carboy-runtime
//! PREFIX/libexec/carboy/runc, crun       links to carboy-runtime, for engines that choose by the file name how they speak
//! PREFIX/share/man/man1/carboy.1         PREFIX/share/man/man8/carboy-runtime.8
//! PREFIX/share/bash-completion/completions/NAME
//! PREFIX/share/zsh/site-functions/_NAME
//! PREFIX/share/fish/vendor_completions.d/NAME.fish
//! ```
//!
//! Pages and completions are made from what the programs say of their own tables of commands.

mod completions;
mod man;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use error::{Corrupt, Doing, Refused, Result};
use serde_json::Value;

use crate::program;

/// Where it goes where nothing is said.
const PREFIX: &str = "/usr/local";

/// The names that carboy-runtime has besides its own.
const PEERS: [&str; 2] = ["runc", "crun"];

/// A program's own account of its commands.
#[derive(Debug)]
struct Tables {
    name: String,
    /// What all commands have.
    flags: Vec<Flag>,
    commands: Vec<Words>,
}

/// A command.
#[derive(Debug)]
struct Words {
    /// One word or two, as `explain run`.
    name: String,
    /// What stands behind the flags.
    words: String,
    doc: String,
    flags: Vec<Flag>,
}

#[derive(Debug)]
struct Flag {
    long: String,
    letters: Vec<String>,
    value: Option<String>,
    doc: String,
}

/// Builds and installs. The programs are those that `CARBOY_BIN` names and the one beside it, as for the end-to-end tests,
/// or fresh ones.
///
/// # Errors
/// Refused for other words; when something cannot be built or written.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<()> {
    let (prefix, under) = places(options)?;
    let [carboy, runtime] = program::both(root)?;
    let at = |below: &str| under.join(prefix.strip_prefix("/").unwrap_or(&prefix)).join(below);
    for (program, help, section) in
        [(&carboy, &["help", "--json"][..], 1), (&runtime, &["help", "--format", "json"], 8)]
    {
        let tables = Tables::of(program, help)?;
        let name = &tables.name;
        write(&at("bin").join(name), &fs::read(program).doing(|| format!("read {}", program.display()))?, 0o755)?;
        let page = man::page(&tables, section);
        write(&at(&format!("share/man/man{section}/{name}.{section}")), page.as_bytes(), 0o644)?;
        let bash = at("share/bash-completion/completions").join(name);
        write(&bash, completions::bash(&tables).as_bytes(), 0o644)?;
        let zsh = at("share/zsh/site-functions").join(format!("_{name}"));
        write(&zsh, completions::zsh(&tables).as_bytes(), 0o644)?;
        let fish = at("share/fish/vendor_completions.d").join(format!("{name}.fish"));
        write(&fish, completions::fish(&tables).as_bytes(), 0o644)?;
    }
    for peer in PEERS {
        link(&at("libexec/carboy").join(peer))?;
    }
    println!("installed in {}", at("").display());
    Ok(())
}

/// The prefix, and the folder that stands for the root of the system.
fn places(options: &[&str]) -> Result<(PathBuf, PathBuf)> {
    let (mut prefix, mut under) = (PathBuf::from(PREFIX), PathBuf::from("/"));
    let mut words = options.iter().flat_map(|word| word.splitn(2, '='));
    while let Some(word) = words.next() {
        let place = match word {
            "--prefix" => &mut prefix,
            "--destdir" => &mut under,
            _ => {
                return Err(Refused::new("install", word, "there is no such option")
                    .hint("use --prefix and --destdir")
                    .into());
            }
        };
        *place = words.next().ok_or_else(|| Refused::new("install", word, "needs a folder"))?.into();
    }
    if prefix.is_absolute() {
        return Ok((prefix, under));
    }
    Err(Refused::new("--prefix", prefix.display().to_string(), "is not a whole path").into())
}

/// Writes a file by another name first: the program may be running.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let action = || format!("write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).doing(action)?;
    let part = path.with_extension("part");
    fs::write(&part, bytes).doing(action)?;
    fs::set_permissions(&part, fs::Permissions::from_mode(mode)).doing(action)?;
    fs::rename(&part, path).doing(action)?;
    println!("{}", path.display());
    Ok(())
}

fn link(path: &Path) -> Result<()> {
    let action = || format!("link {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).doing(action)?;
    if path.is_symlink() {
        fs::remove_file(path).doing(action)?;
    }
    symlink("../../bin/carboy-runtime", path).doing(action)?;
    println!("{}", path.display());
    Ok(())
}

impl Tables {
    fn of(program: &Path, help: &[&str]) -> Result<Self> {
        let told = program::read(Command::new(program).args(help))?;
        let corrupt = || Corrupt::new(program.display().to_string(), "its tables of commands are not as expected");
        let document: Value = serde_json::from_slice(&told.stdout).map_err(|_| corrupt())?;
        Self::parse(&document).ok_or_else(|| corrupt().into())
    }

    fn parse(document: &Value) -> Option<Self> {
        let commands = document["commands"].as_array()?.iter().map(|command| {
            Some(Words {
                name: text(&command["name"])?,
                words: text(&command["words"])?,
                doc: text(&command["doc"])?,
                flags: flags(&command["flags"])?,
            })
        });
        Some(Self {
            name: text(&document["name"])?,
            flags: flags(&document["flags"])?,
            commands: commands.collect::<Option<_>>()?,
        })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn flags(value: &Value) -> Option<Vec<Flag>> {
    let flag = |flag: &Value| {
        Some(Flag {
            long: text(&flag["long"])?,
            letters: flag["short"].as_array()?.iter().map(text).collect::<Option<_>>()?,
            value: text(&flag["value"]),
            doc: text(&flag["doc"])?,
        })
    };
    value.as_array()?.iter().map(flag).collect()
}

impl Words {
    /// The first line of what it does.
    fn summary(&self) -> &str {
        self.doc.lines().next().unwrap_or_default()
    }
}

impl Flag {
    /// `-b`, `--bundle`.
    fn spellings(&self) -> impl Iterator<Item = String> + '_ {
        let letters = self.letters.iter().map(|letter| format!("-{letter}"));
        letters.chain([format!("--{}", self.long)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn tables() -> Tables {
        let document = r#"{"name": "it-runs", "flags": [
            {"long": "help", "short": ["h", "?"], "value": null, "doc": "tell of the options"}], "commands": [
            {"name": "make", "words": "ID", "doc": "Make one\n\nIt's new.", "flags": [
                {"long": "bundle", "short": ["b"], "value": "DIR", "doc": "its [folder]: the 'current' one"}]},
            {"name": "explain run", "words": "", "doc": "Explain", "flags": []}]}"#;
        Tables::parse(&serde_json::from_str(document).unwrap()).unwrap()
    }

    #[test]
    fn places_are_a_prefix_and_a_root() {
        let of = |words: &[&str]| {
            places(words).map(|(prefix, under)| (prefix.display().to_string(), under.display().to_string()))
        };
        assert_eq!(of(&[]).unwrap(), ("/usr/local".to_owned(), "/".to_owned()));
        assert_eq!(of(&["--prefix=/usr", "--destdir", "d"]).unwrap(), ("/usr".to_owned(), "d".to_owned()));
        assert!(of(&["--prefix", "usr"]).is_err() && of(&["--prefix"]).is_err() && of(&["--nosuch"]).is_err());
    }
}
