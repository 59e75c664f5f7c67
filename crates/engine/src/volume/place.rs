//! The volumes of a container: which ones, where they are on the host, and that they are there before it starts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use error::{Doing, Refused, RefusedKind, Result};
use sys::path::{Access as Opened, Within, open_below};

use super::{DATA, GIVEN, OWN};
use crate::containers::Engine;
use crate::options::{Access, Asked, Fill, Mount, Origin, RunOptions, Traits, VolumeMount, VolumeName, VolumesFrom};

/// Where a volume is on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Located {
    /// The folder with what containers see.
    pub folder: PathBuf,
    /// `type`, `o` and `device` of what is mounted in its place.
    pub options: BTreeMap<String, String>,
}

/// What can be mounted in the place of a volume's folder, as Docker's driver local has it.
pub(super) fn check(traits: &Traits) -> Result<()> {
    let hint = "use type=none,o=bind,device=/FOLDER or the type, o and device of mount(8)";
    let options = &traits.options;
    for (key, value) in options {
        let refused = |reason: &str| Refused::new("--opt", format!("{key}={value}"), reason).hint(hint);
        match key.as_str() {
            "type" | "device" | "o" if value.is_empty() => return Err(refused("has an empty value").into()),
            "type" | "device" | "o" => {}
            "size" => return Err(refused("is a quota, which carboy does not set on volumes").into()),
            _ => return Err(refused("is no option of the driver local").into()),
        }
    }
    let missing = ["type", "device"].into_iter().find(|key| !options.is_empty() && !options.contains_key(*key));
    missing.map_or(Ok(()), |key| Err(Refused::new("--opt", key, "missing required option").hint(hint).into()))
}

impl VolumeName {
    /// The name; empty for one that is not made yet.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Given(name) | Self::Own(name) => name,
            Self::New => "",
        }
    }
}

impl Engine {
    /// The options with every volume by its name: new ones have got theirs, and those of other containers are among them.
    pub(crate) fn with_volumes<'o>(&self, options: Cow<'o, RunOptions>) -> Result<Cow<'o, RunOptions>> {
        let is_new = |mount: &Mount| matches!(mount, Mount::Volume(volume) if volume.name == VolumeName::New);
        if options.volumes_from.is_empty() && !options.mounts.iter().any(is_new) {
            return Ok(options);
        }
        let mut options = options.into_owned();
        for mount in &mut options.mounts {
            if let Mount::Volume(volume) = mount
                && volume.name == VolumeName::New
            {
                volume.name = VolumeName::Own(crate::names::new_id()?);
            }
        }
        let mut others: Vec<Mount> = Vec::new();
        for from in std::mem::take(&mut options.volumes_from) {
            for mount in self.mounts_of(&from)? {
                others.retain(|known| known.destination() != mount.destination());
                others.push(mount);
            }
        }
        let is_at = |mount: &Mount, other: &Mount| mount.destination() == other.destination();
        let is_of_image = |mount: &Mount| matches!(mount, Mount::Volume(volume) if volume.origin == Origin::Image);
        options.mounts.retain(|own| !is_of_image(own) || !others.iter().any(|other| is_at(own, other)));
        others.retain(|other| options.mounts.iter().all(|own| !is_at(own, other)));
        options.mounts.append(&mut others);
        Ok(Cow::Owned(options))
    }

    /// What a container has mounted, for another one.
    fn mounts_of(&self, from: &VolumesFrom) -> Result<Vec<Mount>> {
        let mut mounts = self.find(&from.container)?.record.options.mounts;
        mounts.retain(|mount| !matches!(mount, Mount::Tmpfs(tmpfs) if tmpfs.asked == Asked::AsTmpfs));
        for mount in &mut mounts {
            match mount {
                Mount::Bind(bind) if from.access == Access::ReadOnly => bind.access = Access::ReadOnly,
                Mount::Volume(volume) => {
                    volume.fill = Fill::Nothing;
                    if from.access == Access::ReadOnly {
                        volume.access = Access::ReadOnly;
                    }
                }
                Mount::Tmpfs(tmpfs) if from.access == Access::ReadOnly => tmpfs.options.push("ro".to_owned()),
                Mount::Bind(_) | Mount::Tmpfs(_) => {}
            }
        }
        Ok(mounts)
    }

    /// Where the volumes of a container are, also those that are made with it.
    pub(crate) fn locate_volumes(&self, options: &RunOptions) -> Result<BTreeMap<String, Located>> {
        let mut located = BTreeMap::new();
        for mount in volumes(options) {
            let name = mount.name.as_str();
            let record = self.store.volume_record(name)?;
            let options = record.map_or_else(|| mount.traits.options.clone(), |volume| volume.traits.options);
            located.insert(name.to_owned(), Located { folder: self.store.volume(name).join(DATA), options });
        }
        Ok(located)
    }

    /// Makes the volumes of a container that are not there yet, notes that it uses them, and fills those that are empty.
    pub(crate) fn take_volumes(&self, options: &RunOptions, id: &str) -> Result<()> {
        volumes(options).try_for_each(|mount| self.take_volume(mount, options, id))
    }

    fn take_volume(&self, mount: &VolumeMount, options: &RunOptions, id: &str) -> Result<()> {
        check(&mount.traits)?;
        let name = mount.name.as_str();
        let kind = if let VolumeName::Given(_) = mount.name { GIVEN } else { OWN };
        // Before it is made, so that nobody takes it away again and nothing is left of it when this command is killed.
        self.store.link_volume(id, name, kind)?;
        let (mut volume, _held) = loop {
            self.make_volume(&mount.name, &mount.traits)?;
            let held = self.store.hold_volume(name)?;
            if let (Some(held), Some(volume)) = (held, self.store.volume_record(name)?) {
                break (volume, held);
            }
        };
        self.store.complete_move(&mut volume)?;
        let is_plain = volume.traits.options.is_empty();
        if mount.fill == Fill::FromRoot && is_plain && mount.subpath.is_none() {
            self.store.fill_volume(&mut volume, (mount, options), id)?;
        }
        self.check_subpath(mount, &volume.traits)
    }

    fn check_subpath(&self, mount: &VolumeMount, traits: &Traits) -> Result<()> {
        let Some(subpath) = &mount.subpath else { return Ok(()) };
        let refused = |reason: &str| {
            let refused = Refused::new("volume-subpath", subpath, reason).kind(RefusedKind::NoSuchObject);
            Err(refused.hint(format!("make the folder in the volume {} first", mount.name.as_str())).into())
        };
        if !traits.options.is_empty() {
            return refused("cannot be had of a volume with a device of its own");
        }
        let folder = self.store.volume(mount.name.as_str()).join(DATA);
        let opened = File::open(&folder).doing(|| format!("open {}", folder.display()))?;
        let path = CString::new(subpath.as_str()).unwrap_or_default();
        match open_below(opened.as_fd(), &path, Opened::Handle, Within::Mount) {
            Ok(_) => Ok(()),
            Err(_) => refused("is no folder of the volume, or a link is on the way"),
        }
    }
}

pub(crate) fn volumes(options: &RunOptions) -> impl Iterator<Item = &VolumeMount> {
    options.mounts.iter().filter_map(|mount| match mount {
        Mount::Volume(volume) => Some(volume),
        Mount::Bind(_) | Mount::Tmpfs(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_in_the_place_of_a_volume_has_a_type_and_a_device() {
        let told = |pairs: &[(&str, &str)]| {
            let options = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            check(&Traits { options, ..Traits::default() })
                .map_or_else(|error| error.to_string(), |()| "TAKEN".to_owned())
        };
        assert_eq!(told(&[]), "TAKEN");
        assert_eq!(told(&[("type", "none"), ("o", "bind"), ("device", "/srv")]), "TAKEN");
        assert_eq!(told(&[("type", "tmpfs")]), "cannot use --opt device: missing required option");
        assert_eq!(told(&[("o", "bind")]), "cannot use --opt type: missing required option");
        assert_eq!(told(&[("type", "")]), "cannot use --opt type=: has an empty value");
        let quota = "cannot use --opt size=1g: is a quota, which carboy does not set on volumes";
        assert_eq!(told(&[("size", "1g")]), quota);
        assert_eq!(told(&[("uid", "1")]), "cannot use --opt uid=1: is no option of the driver local");
    }
}
