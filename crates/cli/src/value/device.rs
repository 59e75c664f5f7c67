//! Device nodes and rules about them: `--device`, `--device-cgroup-rule`.

use std::path::PathBuf;

use engine::options::{ContainerPath, DeviceMapping, DeviceRule};
use error::Result;

use crate::flags::Given;

/// `/dev/x[:/dev/y][:rwm]`.
pub(crate) fn device(given: Given<'_>) -> Result<DeviceMapping> {
    let parts: Vec<&str> = given.value.split(':').collect();
    let (source, destination, access) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, access] if is_access(access) => (*source, *source, *access),
        [source, destination] => (*source, *destination, "rwm"),
        [source, destination, access] => (*source, *destination, *access),
        _ => return Err(given.refused("has too many colons").hint(HINT).into()),
    };
    if !is_access(access) {
        return Err(given.refused(format!("{access:?} is not some of r, w and m")).hint(HINT).into());
    }
    let relative = |word: &str| given.refused(format!("{word:?} is no absolute path")).hint(HINT);
    if !source.starts_with('/') {
        return Err(relative(source).into());
    }
    let path = ContainerPath::new(destination).filter(|path| !path.is_root());
    let destination = path.ok_or_else(|| relative(destination))?;
    Ok(DeviceMapping { source: PathBuf::from(source), destination, access: access.to_owned() })
}

const HINT: &str = "use /dev/NODE, /dev/NODE:/dev/INSIDE or /dev/NODE:/dev/INSIDE:rw";

/// Some of r, w and m, each once.
fn is_access(word: &str) -> bool {
    let once = |letter: char| "rwm".contains(letter) && word.matches(letter).count() == 1;
    !word.is_empty() && word.chars().all(once)
}

/// `c 1:3 rwm`; a number may be `*`.
pub(crate) fn rule(given: Given<'_>) -> Result<DeviceRule> {
    let hint = "use a, b or c, the numbers or *, and some of rwm: \"c 1:3 rwm\"";
    parsed(given.value).ok_or_else(|| given.refused("is no rule for devices").hint(hint).into())
}

fn parsed(word: &str) -> Option<DeviceRule> {
    let mut parts = word.split(' ');
    let (kind, numbers, access) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !matches!(kind, "a" | "b" | "c") || !is_access(access) {
        return None;
    }
    let number = |word: &str| match word {
        "*" => Some(None),
        digits => digits.parse::<u32>().ok().map(|number| Some(i64::from(number))),
    };
    let (major, minor) = numbers.split_once(':')?;
    Some(DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()),
        major: number(major)?,
        minor: number(minor)?,
        access: Some(access.to_owned()),
    })
}
