//! The names of units: systemd.unit(5), systemd.slice(5). OCI's `linux.cgroupsPath` is `slice:prefix:name` here, as runc
//! has it (docs/systemd.md): the unit `prefix-name.scope` in that slice, or the slice `name` where that ends in `.slice`.

use std::fmt;

use error::{Refused, Result};

use super::calls::Instance;
use super::{Property, Value};
use crate::path::GroupPath;

const FIELD: &str = "linux.cgroupsPath";
const SLICE: &str = ".slice";
/// The slice of the manager's own group.
const ROOT: &str = "-.slice";
/// `UNIT_NAME_MAX` without its terminating zero.
const LONGEST: usize = 255;
/// Since which version a unit that failed need not stay to be looked at.
const COLLECT_MODE: u32 = 236;

/// A slice: a group for units. Its name is its path: `a-b.slice` is `/a.slice/a-b.slice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    name: String,
    path: GroupPath,
}

impl Slice {
    /// Reads a slice's name, for `field`.
    ///
    /// # Errors
    /// Refused for what systemd does not take as one: without `.slice`, with a dash at an end or two in a row, with a `/`
    /// or another character that unit names do not have, longer than 255 bytes.
    pub fn parse(field: &str, name: &str) -> Result<Self> {
        let refused =
            |reason: &str| Refused::new(field, format!("{name:?}"), reason).hint("use a name like team-web.slice");
        let Some(stem) = name.strip_suffix(SLICE) else {
            return Err(refused("is not the name of a systemd slice, which ends in .slice").into());
        };
        check_characters(field, name)?;
        if name.contains('@') {
            return Err(refused("has an '@' in it, and a slice is no template").into());
        }
        let mut path = String::new();
        if name != ROOT {
            if stem.is_empty() || stem.split('-').any(str::is_empty) {
                return Err(refused("has a dash at an end, or two in a row").into());
            }
            for end in stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]) {
                let above = stem.get(..end).unwrap_or(stem);
                path.push('/');
                path.push_str(above);
                path.push_str(SLICE);
            }
        }
        Ok(Self { name: name.to_owned(), path: GroupPath::parse(field, &path)? })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its path below the manager's own group: from the root of the hierarchy, for the manager of the system.
    #[must_use]
    pub const fn path(&self) -> &GroupPath {
        &self.path
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What kind of unit a container becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// Processes that systemd did not start. It needs one to be made, and goes with the last.
    Scope,
    /// A group for units, which needs no process.
    Slice,
}

/// The unit of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    name: String,
    kind: UnitKind,
    slice: Slice,
    path: GroupPath,
}

impl Unit {
    /// Reads `slice:prefix:name`. No slice is `system.slice` for the system's manager, `user.slice` for a user's.
    ///
    /// # Errors
    /// Refused for another form, and for what systemd does not take as a name.
    pub fn parse(text: &str, instance: Instance<'_>) -> Result<Self> {
        let mut parts = text.split(':');
        let (Some(slice), Some(prefix), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let reason = "is not slice:prefix:name, as it has to be with systemd's cgroup manager";
            let hint = "use system.slice:carboy:NAME, or --cgroup-manager cgroupfs for a path";
            return Err(Refused::new(FIELD, format!("{text:?}"), reason).hint(hint).into());
        };
        let slice = match slice {
            "" => Slice::parse(FIELD, instance.default_slice())?,
            slice => Slice::parse(FIELD, slice)?,
        };
        Self::new(slice, prefix, name)
    }

    /// The unit of the container `name` in a slice.
    ///
    /// # Errors
    /// Refused for what systemd does not take as a unit's name.
    pub fn new(slice: Slice, prefix: &str, name: &str) -> Result<Self> {
        if name.is_empty() {
            return Err(Refused::new(FIELD, "\"\"", "is no name for a systemd unit").into());
        }
        if name.ends_with(SLICE) {
            let unit = Slice::parse(FIELD, name)?;
            return Ok(Self { name: unit.name, kind: UnitKind::Slice, slice, path: unit.path });
        }
        let name = format!("{prefix}-{name}.scope");
        check_characters(FIELD, &name)?;
        let path = slice.path.child(FIELD, &name)?;
        Ok(Self { name, kind: UnitKind::Scope, slice, path })
    }

    /// The same unit of a manager whose own group is `manager`.
    #[must_use]
    pub fn below(self, manager: &GroupPath) -> Self {
        if manager.is_root() {
            return self;
        }
        Self { path: manager.join(self.path.relative()), ..self }
    }

    /// Its name: `carboy-3f.scope`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scope or slice.
    #[must_use]
    pub const fn kind(&self) -> UnitKind {
        self.kind
    }

    /// The slice that was asked for.
    #[must_use]
    pub const fn slice(&self) -> &Slice {
        &self.slice
    }

    /// Its path below the manager's own group, see [`Slice::path`]; or from the root, after [`Unit::below`].
    #[must_use]
    pub const fn path(&self) -> &GroupPath {
        &self.path
    }

    /// The D-Bus interface that has its resource control properties.
    pub(super) const fn interface(&self) -> &'static str {
        match self.kind {
            UnitKind::Scope => "org.freedesktop.systemd1.Scope",
            UnitKind::Slice => "org.freedesktop.systemd1.Slice",
        }
    }

    /// What it is made with besides its limits; `systemd` is the manager's version. A scope is delegated: groups in it
    /// are the container's affair. A slice cannot be, so there every controller is asked for by its accounting.
    #[must_use]
    pub fn plan(&self, description: &str, systemd: u32) -> Vec<Property> {
        let yes = |name| Property::new(name, Value::Bool(true));
        let mut properties =
            vec![Property::text("Description", description), Property::new("DefaultDependencies", Value::Bool(false))];
        match self.kind {
            UnitKind::Scope => properties.extend([Property::text("Slice", self.slice.name()), yes("Delegate")]),
            UnitKind::Slice => properties.extend(ACCOUNTING.map(yes)),
        }
        if systemd >= COLLECT_MODE {
            properties.push(Property::text("CollectMode", "inactive-or-failed"));
        }
        properties
    }
}

const ACCOUNTING: [&str; 4] = ["CPUAccounting", "IOAccounting", "MemoryAccounting", "TasksAccounting"];

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn check_characters(field: &str, name: &str) -> Result<()> {
    let known = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ':' | '-' | '_' | '.' | '\\' | '@');
    let reason = if name.len() > LONGEST {
        format!("is longer than the {LONGEST} bytes of a systemd unit's name")
    } else if let Some(letter) = name.chars().find(|letter| !known(*letter)) {
        format!("has {letter:?} in it, which no name of a systemd unit has")
    } else {
        return Ok(());
    };
    Err(Refused::new(field, format!("{name:?}"), reason).hint("use letters, digits, '_', '.' and '-'").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(name: &str) -> Result<Slice> {
        Slice::parse("--cgroup-parent", name)
    }

    fn unit(text: &str) -> Result<Unit> {
        Unit::parse(text, Instance::System)
    }

    #[test]
    fn the_path_of_a_slice_follows_its_dashes() {
        for (name, path) in [
            ("-.slice", "/"),
            ("system.slice", "/system.slice"),
            ("a-b.slice", "/a.slice/a-b.slice"),
            ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
            (
                "kubepods-burstable-pod1_2.slice",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
            ),
        ] {
            let slice = slice(name).unwrap();
            assert_eq!((slice.name(), slice.path().to_string().as_str()), (name, path));
        }
    }

    #[test]
    fn what_is_no_slice_for_systemd_is_refused() {
        let long = format!("{}.slice", "x".repeat(250));
        for name in
            ["", ".slice", "a", "a.scope", "-a.slice", "a-.slice", "a--b.slice", "--.slice", "a/b.slice", "a b.slice"]
        {
            assert!(slice(name).is_err(), "{name:?}");
        }
        assert!(slice(&long).is_err() && slice("a@b.slice").is_err() && slice("é.slice").is_err());
    }

    #[test]
    fn a_path_of_three_parts_names_a_scope_in_a_slice() {
        for (text, name, path) in [
            ("foo.slice:carboy:3f", "carboy-3f.scope", "/foo.slice/carboy-3f.scope"),
            (":carboy:3f", "carboy-3f.scope", "/system.slice/carboy-3f.scope"),
            ("a-b.slice:cri-containerd:x.y", "cri-containerd-x.y.scope", "/a.slice/a-b.slice/cri-containerd-x.y.scope"),
            ("-.slice:carboy:3f", "carboy-3f.scope", "/carboy-3f.scope"),
            (":carboy:team-web.slice", "team-web.slice", "/team.slice/team-web.slice"),
        ] {
            let unit = unit(text).unwrap();
            assert_eq!((unit.name(), unit.path().to_string().as_str()), (name, path), "{text}");
        }
        let of_user = Unit::parse(":carboy:3f", Instance::User { runtime_dir: std::path::Path::new("/run/user/1") });
        assert_eq!(of_user.unwrap().slice().name(), "user.slice");
    }

    #[test]
    fn another_form_and_another_character_are_refused_with_a_hint() {
        for text in ["", "/carboy/3f", "a:b", "a.slice:b:c:d", "a:b:c", ":carboy:", ":carboy:a/b", ":carboy:a--b.slice"]
        {
            let error = unit(text).unwrap_err();
            assert!(error.hint().is_some() || text == ":carboy:", "{text:?}");
        }
        assert_eq!(
            unit(":carboy:a+b").unwrap_err().to_string(),
            "cannot use linux.cgroupsPath \"carboy-a+b.scope\": has '+' in it, which no name of a systemd unit has"
        );
    }

    #[test]
    fn a_scope_is_delegated_and_a_slice_asks_for_every_controller() {
        let shown = |text: &str, version| -> Vec<String> {
            unit(text).unwrap().plan("carboy 3f", version).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            shown("foo.slice:carboy:3f", 252),
            [
                "Description = carboy 3f",
                "DefaultDependencies = no",
                "Slice = foo.slice",
                "Delegate = yes",
                "CollectMode = inactive-or-failed"
            ]
        );
        assert_eq!(
            shown("::foo.slice", 235),
            [
                "Description = carboy 3f",
                "DefaultDependencies = no",
                "CPUAccounting = yes",
                "IOAccounting = yes",
                "MemoryAccounting = yes",
                "TasksAccounting = yes"
            ]
        );
    }
}
