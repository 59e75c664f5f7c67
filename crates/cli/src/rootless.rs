//! carboy for a user who is not root: where it keeps its files, and the way into the user's own namespaces.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::rootless;
use engine::store::Store;
use error::{Doing, Error, Kernel, Refused, Result};

use crate::Places;
use crate::report;
use crate::value::environment::Lookup;

/// Where carboy keeps a user's files unless told otherwise: XDG Base Directory Specification.
pub(crate) fn places(caller: Lookup<'_>) -> Result<Places> {
    let user = rustix::process::getuid().as_raw();
    let absolute = |name: &str| caller(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let Some(data) = data(caller) else {
        let refused = Refused::new("HOME", "", "is not set, and carboy keeps a user's containers below it");
        return Err(refused.hint("set HOME or XDG_DATA_HOME, or use --root DIR").into());
    };
    Ok(Places { root: data.join("carboy"), run: runtime(absolute("XDG_RUNTIME_DIR"), user)? })
}

/// The folder below which a user's programs keep what stays.
pub(crate) fn data(caller: Lookup<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| caller(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
}

/// The user's folder for what lasts until the host restarts; without one, a folder in /tmp that is checked to be theirs.
fn runtime(given: Option<PathBuf>, user: u32) -> Result<PathBuf> {
    let usual = PathBuf::from(format!("/run/user/{user}"));
    let is_theirs = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == user);
    if let Some(folder) = given.into_iter().chain([usual]).find(is_theirs) {
        return Ok(folder.join("carboy"));
    }
    let folder = PathBuf::from(format!("/tmp/carboy-run-{user}"));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.doing(|| format!("create {}", folder.display()))?,
    }
    rootless::check_own(&folder, user)?;
    Ok(folder)
}

/// Enters the user's namespaces and begins again there, as their root. Comes back only when it failed.
pub(crate) fn begin_again(program: &OsStr, places: &Places, words: &[OsString]) -> Error {
    match enter(places) {
        Err(error) => error,
        Ok(unmapped) => {
            if let Some(why) = unmapped {
                report::warning(&format!("your containers have your own id alone: {why}"));
            }
            let mut command = Command::new("/proc/self/exe");
            command.arg0(program).arg("--root").arg(&places.root).arg("--runroot").arg(&places.run).args(words);
            let error = command.exec();
            Kernel::new("execute carboy in its user namespace", errno(&error)).into()
        }
    }
}

fn enter(places: &Places) -> Result<Option<String>> {
    for folder in [&places.root, &places.run] {
        make_private(folder)?;
    }
    rootless::enter(&Store::at(places.root.clone(), places.run.clone()))
}

/// Others find nothing in it: what belongs to subordinate ids may be set-user-ID.
fn make_private(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.doing(|| format!("create {}", folder.display())).map_err(|error| {
        error.with_hint(
            "carboy keeps a user's files below HOME and XDG_RUNTIME_DIR: set them, or use --root and --runroot",
        )
    })
}

fn errno(error: &std::io::Error) -> error::Errno {
    error::Errno::from_io_error(error).unwrap_or(error::Errno::IO)
}
