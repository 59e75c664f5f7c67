//! Mounts: `--volume`, `--mount`, `--tmpfs`. Docker's syntax; mount(8), tmpfs(5).

use std::path::{Path, PathBuf};

use engine::options::{
    Absent, Access, Asked, Bind, ContainerPath, Fill, Mount, Origin, Propagation, Recursion, Tmpfs, Traits,
    VolumeMount, VolumeName, VolumesFrom,
};
use engine::volume::Volume;
use error::{Doing, Refused, Result};

use super::quantity;
use crate::flags::Given;

/// `[SOURCE:]DESTINATION[:MODES]`: a path of the host, the name of a volume, or a volume of the container's own.
pub(crate) fn volume(given: Given<'_>) -> Result<Mount> {
    let hint = "use /SOURCE:/DESTINATION, VOLUME:/DESTINATION, /DESTINATION, each with :ro behind it if you like";
    let parts: Vec<&str> = given.value.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [destination] => (None, *destination, ""),
        [source, destination] if !source.is_empty() => (Some(*source), *destination, ""),
        [source, destination, mode] if !source.is_empty() => (Some(*source), *destination, *mode),
        _ => return Err(given.refused("is no source and destination").hint(hint).into()),
    };
    let destination = self::destination(given, destination)?;
    if let Some(source) = source.filter(|source| source.starts_with(['/', '.'])) {
        let bind = bind(given, source, destination)?;
        let mut bind = Bind { absent: Absent::Made, mode: mode.to_owned(), ..bind };
        modes(given, mode, |word| match (word, propagation(word)) {
            (_, Some(propagation)) => {
                bind.propagation = propagation;
                Some("propagation")
            }
            ("ro", None) => {
                bind.access = Access::ReadOnly;
                Some("access")
            }
            _ => harmless(word),
        })?;
        return Ok(Mount::Bind(bind));
    }
    let name = match source {
        None => VolumeName::New,
        Some(name) => VolumeName::Given(volume_name(given, name)?),
    };
    // Docker marks what has a name and no modes as shared by labels.
    let shown = if mode.is_empty() && source.is_some() { "z" } else { mode };
    let mut volume = VolumeMount { mode: shown.to_owned(), ..of_volume(name, destination) };
    modes(given, mode, |word| match word {
        "ro" => {
            volume.access = Access::ReadOnly;
            Some("access")
        }
        "nocopy" => {
            volume.fill = Fill::Nothing;
            Some("copy")
        }
        _ => harmless(word),
    })?;
    Ok(Mount::Volume(volume))
}

/// Takes the modes between commas; `take` gives the kind of one that it knows.
fn modes<'w>(given: Given<'_>, words: &'w str, mut take: impl FnMut(&'w str) -> Option<&'static str>) -> Result<()> {
    let mut seen = Vec::new();
    for word in words.split(',').filter(|_| !words.is_empty()) {
        let Some(kind) = take(word) else {
            let hint = "use ro or rw; for a path of the host private, shared or slave with or without r before it; for a \
                        volume nocopy";
            return Err(given.refused(format!("{word:?} is no mode of a mount")).hint(hint).into());
        };
        if seen.contains(&kind) {
            return Err(given.refused(format!("{word:?} is a second mode of one kind")).hint("give one").into());
        }
        seen.push(kind);
    }
    Ok(())
}

/// The kind of a mode for which nothing is to be done here: what is so anyway, SELinux labels, file caches for other systems.
fn harmless(word: &str) -> Option<&'static str> {
    match word {
        "rw" => Some("access"),
        "z" | "Z" => Some("label"),
        "consistent" | "cached" | "delegated" => Some("consistency"),
        _ => None,
    }
}

fn volume_name(given: Given<'_>, name: &str) -> Result<String> {
    if Volume::is_name(name) {
        return Ok(name.to_owned());
    }
    let hint = "use two or more of a-z A-Z 0-9 _ . - with a letter or digit first, or a path that begins with / or ./";
    Err(given.refused(format!("{name:?} is no name for a volume")).hint(hint).into())
}

fn of_volume(name: VolumeName, destination: ContainerPath) -> VolumeMount {
    let (access, subpath, fill) = (Access::default(), None, Fill::default());
    let (traits, mode, origin) = (Traits::default(), String::new(), Origin::Asked);
    VolumeMount { name, destination, access, subpath, fill, traits, mode, origin }
}

/// `CONTAINER[:ro]`.
pub(crate) fn volumes_from(given: Given<'_>) -> Result<VolumesFrom> {
    let (container, mode) = given.value.split_once(':').unwrap_or((given.value, "rw"));
    let access = match mode {
        "ro" => Access::ReadOnly,
        "rw" | "z" | "Z" => Access::ReadWrite,
        _ => return Err(given.refused(format!("{mode:?} is no mode of volumes")).hint("use ro or rw").into()),
    };
    if container.is_empty() {
        return Err(given.refused("names no container").hint("use CONTAINER or CONTAINER:ro").into());
    }
    Ok(VolumesFrom { container: container.to_owned(), access })
}

fn bind(given: Given<'_>, source: &str, destination: ContainerPath) -> Result<Bind> {
    let source = if source.starts_with('/') {
        clean(source)
    } else {
        std::path::absolute(Path::new(source)).doing(|| format!("find --{} {source}", given.flag))?
    };
    let (access, recursion, propagation) = (Access::default(), Recursion::default(), Propagation::default());
    let (absent, mode) = (Absent::default(), String::new());
    Ok(Bind { source, destination, access, recursion, propagation, absent, mode })
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
    Ok(Mount::Tmpfs(Tmpfs { destination: destination(given, word)?, options: kept, asked: Asked::AsTmpfs }))
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
    nocopy: bool,
    subpath: Option<String>,
    traits: Traits,
    /// Whether something was said that only a volume has.
    of_volume: bool,
}

/// `type=bind,source=/S,target=/D,readonly`, `type=volume,source=NAME,target=/D` or `type=tmpfs,target=/D,tmpfs-size=64m`.
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
        None | Some("volume") => fields.volume(given, destination).map(Mount::Volume),
        Some(other) => {
            let refused = given.refused(format!("{other:?} is no type of mount"));
            Err(refused.hint("use type=bind, type=volume or type=tmpfs").into())
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
            ("bind-nonrecursive", None | Some("true" | "1")) => self.recursive = Some("disabled"),
            ("bind-nonrecursive", Some("false" | "0")) => self.recursive = Some("enabled"),
            ("bind-recursive", Some(value @ ("enabled" | "disabled" | "writable" | "readonly"))) => {
                self.recursive = Some(value);
            }
            ("bind-recursive", Some(value)) => {
                let hint = "use enabled, disabled, writable or readonly";
                return Err(refused(format!("{value:?} is no bind-recursive")).hint(hint).into());
            }
            (key, value) if key.starts_with("volume-") => self.set_of_volume(given, key, value)?,
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
                let hint = "use type, source, target, readonly, bind-propagation, bind-recursive, bind-nonrecursive, \
                     volume-nocopy, volume-subpath, volume-label, volume-opt, volume-driver, tmpfs-size, tmpfs-mode";
                return Err(no_field(given, key, value).hint(hint).into());
            }
        }
        Ok(())
    }

    fn set_of_volume(&mut self, given: Given<'_>, key: &str, value: Option<&'w str>) -> Result<()> {
        self.of_volume = true;
        match (key, value) {
            ("volume-nocopy", None | Some("true" | "1")) => self.nocopy = true,
            ("volume-nocopy", Some("false" | "0")) => self.nocopy = false,
            ("volume-subpath", Some(value)) => {
                let is_inside = |part: &str| !matches!(part, ".." | "");
                if !value.trim_end_matches('/').split('/').all(is_inside) {
                    let refused = given.refused(format!("the volume-subpath {value:?} is no path below the volume"));
                    return Err(refused.hint("use a path without / before it and without ..").into());
                }
                self.subpath = Some(value.trim_end_matches('/').to_owned());
            }
            ("volume-label", Some(value)) => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                self.traits.labels.insert(name.to_owned(), value.to_owned());
            }
            ("volume-opt", Some(value)) => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                self.traits.options.insert(name.to_owned(), value.to_owned());
            }
            ("volume-driver", Some("local")) => {}
            ("volume-driver", Some(value)) => {
                return Err(given.refused(format!("there is no volume driver {value:?}")).hint("use local").into());
            }
            _ => {
                let hint = "use volume-nocopy, volume-subpath, volume-label, volume-opt or volume-driver=local";
                return Err(no_field(given, key, value).hint(hint).into());
            }
        }
        Ok(())
    }

    fn volume(self, given: Given<'_>, destination: ContainerPath) -> Result<VolumeMount> {
        if !self.tmpfs.is_empty() || self.propagation.is_some() || self.recursive.is_some() {
            return Err(given.refused("has options of a bind mount or a tmpfs, and is a volume's").into());
        }
        let name = match self.source {
            None => VolumeName::New,
            Some(name) => VolumeName::Given(volume_name(given, name)?),
        };
        Ok(VolumeMount {
            access: if self.read_only { Access::ReadOnly } else { Access::ReadWrite },
            subpath: self.subpath,
            fill: if self.nocopy { Fill::Nothing } else { Fill::FromRoot },
            traits: self.traits,
            ..of_volume(name, destination)
        })
    }

    fn bind(self, given: Given<'_>, destination: ContainerPath) -> Result<Bind> {
        if !self.tmpfs.is_empty() || self.of_volume {
            return Err(given.refused("has options of a tmpfs or a volume, and is a bind mount").into());
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
        if self.source.is_some() || self.propagation.is_some() || self.recursive.is_some() || self.of_volume {
            let refused = given.refused("has options of a bind mount or a volume, and is a tmpfs");
            return Err(refused.hint("leave source out").into());
        }
        let mut options = self.tmpfs;
        if self.read_only {
            options.push("ro".to_owned());
        }
        Ok(Tmpfs { destination, options, asked: Asked::AsMount })
    }
}

fn no_field(given: Given<'_>, key: &str, value: Option<&str>) -> Refused {
    let word = value.map_or_else(|| key.to_owned(), |value| format!("{key}={value}"));
    given.refused(format!("{word:?} is no field of a mount"))
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
