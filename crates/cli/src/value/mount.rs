//! Mounts: `--volume`, `--mount`, `--tmpfs`. Docker's syntax; mount(8), tmpfs(5).

use std::path::{Path, PathBuf};

use engine::options::{Access, Bind, ContainerPath, Mount, Propagation, Recursion, Tmpfs};
use error::{Doing, Refused, Result};

use super::quantity;
use crate::flags::Given;

/// `SOURCE:DESTINATION[:MODES]`.
pub(crate) fn volume(given: Given<'_>) -> Result<Mount> {
    let hint = "use /SOURCE:/DESTINATION or /SOURCE:/DESTINATION:ro";
    let parts: Vec<&str> = given.value.split(':').collect();
    let (source, destination, modes) = match parts.as_slice() {
        [source, destination] if !source.is_empty() => (*source, *destination, ""),
        [source, destination, modes] if !source.is_empty() => (*source, *destination, *modes),
        [_] => {
            let refused = given.refused("names no source, and carboy does not make volumes yet");
            return Err(refused.hint(hint).into());
        }
        _ => return Err(given.refused("is no source and destination").hint(hint).into()),
    };
    if !source.starts_with(['/', '.']) {
        let refused = given.refused(format!("{source} is a volume's name, and carboy does not make volumes yet"));
        return Err(refused.hint("begin the source with / or ./").into());
    }
    let mut bind = bind(given, source, self::destination(given, destination)?)?;
    let mut seen = Vec::new();
    for mode in modes.split(',').filter(|_| !modes.is_empty()) {
        let kind = match (mode, propagation(mode)) {
            (_, Some(propagation)) => {
                bind.propagation = propagation;
                "propagation"
            }
            ("ro", None) => {
                bind.access = Access::ReadOnly;
                "access"
            }
            ("rw", None) => "access",
            // SELinux labels and file caches for other systems: nothing to do here.
            ("z" | "Z", None) => "label",
            ("consistent" | "cached" | "delegated", None) => "consistency",
            _ => {
                let hint = "use ro or rw, and private, shared or slave with or without r before it";
                return Err(given.refused(format!("{mode:?} is no mode of a mount")).hint(hint).into());
            }
        };
        if seen.contains(&kind) {
            return Err(given.refused(format!("{mode:?} is a second mode of one kind")).hint("give one").into());
        }
        seen.push(kind);
    }
    Ok(Mount::Bind(bind))
}

fn bind(given: Given<'_>, source: &str, destination: ContainerPath) -> Result<Bind> {
    let source = if source.starts_with('/') {
        clean(source)
    } else {
        std::path::absolute(Path::new(source)).doing(|| format!("find --{} {source}", given.flag))?
    };
    let (access, recursion, propagation) = (Access::default(), Recursion::default(), Propagation::default());
    Ok(Bind { source, destination, access, recursion, propagation })
}

/// Takes double slashes and dots out; where `..` leads only the kernel knows.
fn clean(source: &str) -> PathBuf {
    Path::new(source).components().collect()
}

fn destination(given: Given<'_>, word: &str) -> Result<ContainerPath> {
    ContainerPath::new(word).ok_or_else(|| {
        given.refused(format!("the destination {word:?} is no absolute path")).hint("begin it with /").into()
    })
}

fn propagation(word: &str) -> Option<Propagation> {
    Propagation::ALL.into_iter().find(|propagation| propagation.word() == word)
}

/// `DESTINATION[:OPTIONS]`.
pub(crate) fn tmpfs(given: Given<'_>) -> Result<Mount> {
    let (word, options) = given.value.split_once(':').unwrap_or((given.value, ""));
    let mut kept = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        keep(given, option, &mut kept)?;
    }
    Ok(Mount::Tmpfs(Tmpfs { destination: destination(given, word)?, options: kept }))
}

/// Words of mount(8) that make sense for a tmpfs, each with its opposite.
const FLAGS: [(&str, &str); 7] = [
    ("ro", "rw"),
    ("noexec", "exec"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("nostrictatime", "strictatime"),
];

/// Options with a value of tmpfs(5).
const SETTINGS: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// Adds an option; it replaces what it contradicts.
fn keep(given: Given<'_>, option: &str, kept: &mut Vec<String>) -> Result<()> {
    if let Some((key, value)) = option.split_once('=')
        && SETTINGS.contains(&key)
        && !value.is_empty()
    {
        kept.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != key));
    } else if let Some((one, other)) = FLAGS.iter().find(|(one, other)| [*one, *other].contains(&option)) {
        kept.retain(|known| known != one && known != other);
    } else if option != "relatime" && propagation(option).is_none() {
        let hint = "use ro, exec, suid, dev, noatime, size=, mode=, uid=, gid=, nr_inodes=, nr_blocks= or mpol=";
        return Err(given.refused(format!("{option:?} is no option of a tmpfs")).hint(hint).into());
    }
    kept.push(option.to_owned());
    Ok(())
}

/// What the fields of a `--mount` say, before it is known what kind of mount it is.
#[derive(Default)]
struct Fields<'w> {
    kind: Option<String>,
    source: Option<&'w str>,
    destination: Option<&'w str>,
    read_only: bool,
    propagation: Option<Propagation>,
    recursive: Option<&'w str>,
    tmpfs: Vec<String>,
}

/// `type=bind,source=/S,target=/D,readonly` or `type=tmpfs,target=/D,tmpfs-size=64m`.
pub(crate) fn mount(given: Given<'_>) -> Result<Mount> {
    let words = csv(given.value);
    let mut fields = Fields::default();
    for word in &words {
        let (key, value) = word.split_once('=').map_or((word.as_str(), None), |(key, value)| (key, Some(value)));
        fields.set(given, &key.to_ascii_lowercase(), value)?;
    }
    let Some(destination) = fields.destination else {
        return Err(given.refused("has no target").hint("add target=/DESTINATION").into());
    };
    let destination = self::destination(given, destination)?;
    match fields.kind.as_deref() {
        Some("bind") => fields.bind(given, destination).map(Mount::Bind),
        Some("tmpfs") => fields.tmpfs(given, destination).map(Mount::Tmpfs),
        None | Some("volume") => {
            let refused = given.refused("is a volume's mount, and carboy does not make volumes yet");
            Err(refused.hint("add type=bind or type=tmpfs").into())
        }
        Some(other) => {
            Err(given.refused(format!("{other:?} is no type of mount")).hint("use type=bind or type=tmpfs").into())
        }
    }
}

impl<'w> Fields<'w> {
    fn set(&mut self, given: Given<'_>, key: &str, value: Option<&'w str>) -> Result<()> {
        let refused = |reason: String| -> Refused { given.refused(reason) };
        if value == Some("") {
            return Err(refused(format!("{key} has an empty value")).into());
        }
        match (key, value) {
            ("type", Some(value)) => self.kind = Some(value.to_ascii_lowercase()),
            ("source" | "src", Some(value)) => self.source = Some(value),
            ("target" | "dst" | "destination", Some(value)) => self.destination = Some(value),
            ("readonly" | "ro", None | Some("true" | "1")) => self.read_only = true,
            ("readonly" | "ro", Some("false" | "0")) => self.read_only = false,
            ("consistency", Some(_)) => {}
            ("bind-propagation", Some(value)) => {
                let found = propagation(&value.to_ascii_lowercase());
                self.propagation =
                    Some(found.ok_or_else(|| refused(format!("{value:?} is no propagation")).hint(PROPAGATIONS))?);
            }
            ("bind-recursive", Some(value @ ("enabled" | "disabled" | "writable" | "readonly"))) => {
                self.recursive = Some(value);
            }
            ("bind-recursive", Some(value)) => {
                let hint = "use enabled, disabled, writable or readonly";
                return Err(refused(format!("{value:?} is no bind-recursive")).hint(hint).into());
            }
            ("tmpfs-size", Some(value)) => {
                let bytes = quantity::bytes(given.part(value))?;
                self.tmpfs.push(format!("size={bytes}"));
            }
            ("tmpfs-mode", Some(value)) => {
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                let mode =
                    mode.ok_or_else(|| refused(format!("{value:?} is no mode")).hint("use octal, such as 1777"))?;
                self.tmpfs.push(format!("mode={mode:o}"));
            }
            _ => {
                let hint =
                    "use type, source, target, readonly, bind-propagation, bind-recursive, tmpfs-size, tmpfs-mode";
                let word = value.map_or_else(|| key.to_owned(), |value| format!("{key}={value}"));
                return Err(refused(format!("{word:?} is no field of a mount")).hint(hint).into());
            }
        }
        Ok(())
    }

    fn bind(self, given: Given<'_>, destination: ContainerPath) -> Result<Bind> {
        if !self.tmpfs.is_empty() {
            return Err(given.refused("has options of a tmpfs, and is a bind mount").into());
        }
        let Some(source) = self.source.filter(|source| source.starts_with(['/', '.'])) else {
            return Err(given.refused("has no path as its source").hint("add source=/SOURCE").into());
        };
        let mut bind = bind(given, source, destination)?;
        bind.propagation = self.propagation.unwrap_or_default();
        bind.access = if self.read_only { Access::ReadOnly } else { Access::ReadWrite };
        match self.recursive {
            Some("disabled") => bind.recursion = Recursion::One,
            Some(word @ ("writable" | "readonly")) if !self.read_only => {
                return Err(given.refused(format!("bind-recursive={word} needs readonly")).hint("add readonly").into());
            }
            Some("writable") => bind.access = Access::ReadOnlyTop,
            _ => {}
        }
        Ok(bind)
    }

    fn tmpfs(self, given: Given<'_>, destination: ContainerPath) -> Result<Tmpfs> {
        if self.source.is_some() || self.propagation.is_some() || self.recursive.is_some() {
            return Err(given.refused("has options of a bind mount, and is a tmpfs").hint("leave source out").into());
        }
        let mut options = self.tmpfs;
        if self.read_only {
            options.push("ro".to_owned());
        }
        Ok(Tmpfs { destination, options })
    }
}

const PROPAGATIONS: &str = "use private, rprivate, shared, rshared, slave or rslave";

/// Fields between commas; quotes keep a comma in a field. RFC 4180.
fn csv(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in text.chars() {
        match (letter, fields.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => fields.push(String::new()),
            (letter, Some(field)) => field.push(letter),
            (_, None) => {}
        }
    }
    fields
}
