//! What the processes may do: `--cap-add`, `--cap-drop`, `--security-opt`.

use std::path::PathBuf;

use engine::options::{Capabilities, SeccompChoice, Security};
use error::Result;

use crate::flags::{Given, nearest};

/// A capability's name, or `ALL`.
pub(crate) fn capability(given: Given<'_>) -> Result<Capabilities> {
    if let Some(found) = Capabilities::parse(given.value) {
        return Ok(found);
    }
    let word = given.value.to_ascii_uppercase();
    let hint = match nearest(word.strip_prefix("CAP_").unwrap_or(&word), Capabilities::names()) {
        Some(name) => format!("did you mean {name}?"),
        None => "capabilities(7) lists them; ALL is every one".to_owned(),
    };
    Err(given.refused("is no capability").hint(hint).into())
}

/// One `--security-opt`.
pub(crate) fn option(security: &mut Security, given: Given<'_>) -> Result<()> {
    let (key, value) = match given.value.split_once('=').or_else(|| given.value.split_once(':')) {
        Some((key, value)) => (key, Some(value)),
        None => (given.value, None),
    };
    match (key, value) {
        ("no-new-privileges", None | Some("true")) => security.no_new_privileges = true,
        ("no-new-privileges", Some("false")) => security.no_new_privileges = false,
        ("seccomp", Some("unconfined")) => security.seccomp = Some(SeccompChoice::Unconfined),
        ("seccomp", Some("builtin")) => security.seccomp = Some(SeccompChoice::Default),
        ("seccomp", Some(path)) if !path.is_empty() => {
            security.seccomp = Some(SeccompChoice::File(PathBuf::from(path)))
        }
        // This is how every container is.
        ("apparmor", Some("unconfined")) | ("label", Some("disable")) => {}
        ("apparmor", Some(_)) => {
            let refused = given.refused("carboy does not load AppArmor profiles yet");
            return Err(refused.hint("leave it out, or use apparmor=unconfined").into());
        }
        ("label", Some(_)) => {
            let refused = given.refused("carboy does not set SELinux labels yet");
            return Err(refused.hint("leave it out, or use label=disable").into());
        }
        _ => {
            let hint = "use seccomp=FILE, seccomp=unconfined, seccomp=builtin or no-new-privileges";
            return Err(given.refused("is no security option").hint(hint).into());
        }
    }
    Ok(())
}
