//! The nodes and links of a container's own /dev. Runtime specification, "Default Devices" and "Dev symbolic links".

use child::{Covers, Existing, Step};
use error::{Refused, Result};
use oci::{Config, Device, NamespaceKind};
use sys::path::{Missing, device_number};

use super::{Facts, Prepared, View};
use crate::relation;
use crate::steps::Steps;

/// Name, major and minor number of the nodes that every container has.
const DEFAULTS: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Not the specification's, and in every container of runc's and crun's where the kernel has what it points to.
const CORE: (&str, &str) = ("core", "/proc/kcore");

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;
const S_IFMT: u32 = 0o170_000;

/// Adds the default nodes, the configuration's own, and the links. In a user namespace nobody may make device nodes:
/// there the host's are bound in their place; the facts tell whether that holds for the caller too. /dev/ptmx is always the
/// link to the one of the container's own terminals.
///
/// # Errors
/// Refused for a device of unknown type, without numbers, or not below /dev.
pub fn plan(config: &Config, facts: &Facts, steps: &mut Steps<'_>, prepared: &mut Vec<Prepared>) -> Result<()> {
    let view = facts.view.inside(relation(config, NamespaceKind::User));
    let asked = config.linux.as_ref().map_or(&[][..], |linux| &linux.devices);
    for (name, major, minor) in DEFAULTS {
        if asked.iter().any(|device| device.path.strip_prefix("/dev/") == Some(name)) {
            continue;
        }
        let node = Node { folder: "/dev", name, mode: S_IFCHR | 0o666, numbers: (major, minor), owner: (0, 0) };
        node.plan(&format!("/dev/{name}"), view, steps, prepared)?;
    }
    for device in asked.iter().filter(|device| device.path != "/dev/ptmx") {
        asked_node(device, view, steps, prepared)?;
    }
    let core = facts.has_kcore.then_some(CORE);
    for (name, target) in LINKS.into_iter().chain(core) {
        let (folder, name) = (steps.text("/dev", "dev")?, steps.text("/dev", name)?);
        let target = steps.text("/dev", target)?;
        steps.push(Step::Link { existing: Existing::Stays, target, folder, name });
    }
    Ok(())
}

fn asked_node(device: &Device, view: View, steps: &mut Steps<'_>, prepared: &mut Vec<Prepared>) -> Result<()> {
    let refused = |value: &str, reason: &str| Refused::new("linux.devices", value, reason);
    let kind = match device.kind.as_str() {
        "c" | "u" => S_IFCHR,
        "b" => S_IFBLK,
        "p" => S_IFIFO,
        other => return Err(refused(other, "is no type of device").hint("use c, u, b or p").into()),
    };
    let number = |number: Option<i64>, what: &str| match number.map(u32::try_from) {
        Some(Ok(number)) => Ok(number),
        None if kind == S_IFIFO => Ok(0),
        _ => Err(refused(&device.path, &format!("has no {what} number"))),
    };
    let numbers = (number(device.major, "major")?, number(device.minor, "minor")?);
    let Some((folder, name)) = device.path.rsplit_once('/').filter(|(_, name)| !name.is_empty()) else {
        return Err(refused(&device.path, "is no absolute path").into());
    };
    let mode = kind | (device.file_mode.unwrap_or(0o666) & 0o7777);
    let node = Node { folder, name, mode, numbers, owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)) };
    node.plan(&device.path, view, steps, prepared)
}

/// A node to be.
struct Node<'c> {
    folder: &'c str,
    name: &'c str,
    mode: u32,
    numbers: (u32, u32),
    owner: (u32, u32),
}

impl Node<'_> {
    fn number(&self) -> u32 {
        device_number(self.numbers.0, self.numbers.1)
    }

    fn plan(&self, path: &str, view: View, steps: &mut Steps<'_>, prepared: &mut Vec<Prepared>) -> Result<()> {
        if view == View::BindsHostNodes && self.mode & S_IFMT != S_IFIFO {
            let handle = prepared.len();
            prepared.push(Prepared::Node { source: path.to_owned(), mode: self.mode, number: self.number() });
            let at = steps.inside("linux.devices", path)?;
            steps.push(Step::Place { handle, at, missing: Missing::File, covers: Covers::Ordinary });
            return Ok(());
        }
        steps.push(Step::Device {
            host: steps.text("linux.devices", path)?,
            folder: steps.inside("linux.devices", self.folder)?,
            name: steps.text("linux.devices", self.name)?,
            mode: self.mode,
            number: self.number(),
            owner: self.owner,
        });
        Ok(())
    }
}
