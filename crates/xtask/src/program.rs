//! Other programs run for a task: found, started, waited for, and named when they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use error::{Doing, Refused, Result};

/// The program's and its arguments' names, as one would type them.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs `command` with this process's own input and output.
///
/// # Errors
/// When it cannot be started, or does not end with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().doing(|| format!("start {}", line(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(Refused::new(line(command), "", format!("it ended with {status}")).into())
    }
}

/// Runs `command` and returns its output; what it says on stderr passes through.
///
/// # Errors
/// As [`run`].
pub(crate) fn read(command: &mut Command) -> Result<Output> {
    let output = command.stderr(Stdio::inherit()).output().doing(|| format!("start {}", line(command)))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Refused::new(line(command), "", format!("it ended with {}", output.status)).into())
}

/// The cargo that started this task.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Where `name` is found in PATH, and in the sbin folders that root's PATH may lack under sudo.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Builds a program of a package as the release is, and returns its path.
///
/// # Errors
/// When cargo fails, or builds no such binary.
pub(crate) fn build(root: &Path, package: &str, name: &str) -> Result<PathBuf> {
    let mut command = cargo(root);
    command.args(["build", "--release", "--package", package, "--bin", name]);
    let built = executables(&mut command)?.pop();
    built.map(|built| built.path).ok_or_else(|| Refused::new(line(&command), "", "it names no executable").into())
}

/// carboy and carboy-runtime: the one that `CARBOY_BIN` names and the one beside it, or fresh ones.
///
/// # Errors
/// When they do not build.
pub(crate) fn both(root: &Path) -> Result<[PathBuf; 2]> {
    match std::env::var_os("CARBOY_BIN").map(PathBuf::from) {
        Some(carboy) => Ok([carboy.clone(), carboy.with_file_name("carboy-runtime")]),
        None => Ok([build(root, "carboy", "carboy")?, build(root, "carboy-oci-runtime", "carboy-runtime")?]),
    }
}

/// A program that cargo has built.
pub(crate) struct Executable {
    /// Its target's name.
    pub(crate) name: String,
    /// Its target's kind: `bin`, `lib`, `test`.
    pub(crate) kind: String,
    pub(crate) path: PathBuf,
}

/// Runs a command of cargo that builds, and returns the programs it names.
///
/// # Errors
/// As [`run`].
pub(crate) fn executables(command: &mut Command) -> Result<Vec<Executable>> {
    let output = read(command.arg("--message-format=json-render-diagnostics"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executable = |message: serde_json::Value| {
        let word = |pointer: &str| message.pointer(pointer)?.as_str().map(str::to_owned);
        Some(Executable {
            name: word("/target/name")?,
            kind: word("/target/kind/0")?,
            path: word("/executable")?.into(),
        })
    };
    Ok(messages.filter_map(executable).collect())
}
