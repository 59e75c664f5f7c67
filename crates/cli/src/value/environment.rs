//! Environment variables: `--env` and the lines of `--env-file`. environ(7).

use std::ffi::OsString;

use engine::options::Variable;
use error::{Doing, Refused, Result};

use crate::flags::Given;

/// Looks a variable up in the environment of whoever called carboy.
pub(crate) type Lookup<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// The variables of files, and after them those of words.
pub(crate) fn variables(files: &[String], words: &[String], caller: Lookup<'_>) -> Result<Vec<Variable>> {
    let mut variables = Vec::new();
    for value in files {
        variables.extend(file(Given { flag: "env-file", value }, caller)?);
    }
    for value in words {
        variables.push(variable(Given { flag: "env", value }, caller)?);
    }
    Ok(variables)
}

/// `NAME=VALUE`, or `NAME` for the caller's value; a name that the caller does not have is taken from the container.
fn variable(given: Given<'_>, caller: Lookup<'_>) -> Result<Variable> {
    let (name, value) = match given.value.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (given.value, own(given, given.value, caller)?),
    };
    if name.is_empty() {
        return Err(given.refused("has no name").hint("use NAME=VALUE or NAME").into());
    }
    Ok(Variable { name: name.to_owned(), value })
}

fn own(given: Given<'_>, name: &str, caller: Lookup<'_>) -> Result<Option<String>> {
    let Some(value) = caller(name).filter(|_| !name.is_empty()) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| given.part(name).refused("is not valid UTF-8 in your environment").into())
}

/// Reads a file of variables.
fn file(given: Given<'_>, caller: Lookup<'_>) -> Result<Vec<Variable>> {
    let bytes = std::fs::read(given.value).doing(|| format!("read --env-file {}", given.value))?;
    lines(&bytes, given, caller)
}

/// A variable a line, as for `--env`; empty lines and those that begin with # do not count, and a name that the caller
/// does not have is left out. What follows the `=` is the value as it stands, with quotes and blanks.
fn lines(bytes: &[u8], given: Given<'_>, caller: Lookup<'_>) -> Result<Vec<Variable>> {
    let mut variables = Vec::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let refused = |reason: &str| -> Refused {
            Refused::new(format!("--{} {} line {}", given.flag, given.value, index + 1), "", reason)
        };
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line));
        let line = line.map_err(|_| refused("it is not valid UTF-8"))?.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value.to_owned())));
        if name.is_empty() {
            return Err(refused("it has no name before the =").into());
        }
        if name.contains([' ', '\t']) {
            return Err(refused("the name has a blank in it")
                .hint("write NAME=VALUE without blanks around the =")
                .into());
        }
        if let Some(value) = value.map_or_else(|| own(given, name, caller), |value| Ok(Some(value)))? {
            variables.push(Variable { name: name.to_owned(), value: Some(value) });
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Option<OsString> {
        (name == "MINE").then(|| "my own".into())
    }

    fn read(bytes: &[u8]) -> String {
        let given = Given { flag: "env-file", value: "vars" };
        match lines(bytes, given, &caller) {
            Ok(variables) => {
                let text = variables.into_iter().map(|Variable { name, value }| format!("{name}={}", value.unwrap()));
                text.collect::<Vec<_>>().join("|")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_file_of_variables_is_read_as_docker_reads_it() {
        assert_eq!(
            read(b"\xef\xbb\xbfA=1\r\n\n# no\n  B=\"x y\" \nMINE\nNOT\nC=\nD=a=b"),
            "A=1|B=\"x y\" |MINE=my own|C=|D=a=b"
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(read(b"A=1\n=2"), "cannot use --env-file vars line 2: it has no name before the =");
        assert_eq!(read(b"A B=1"), "cannot use --env-file vars line 1: the name has a blank in it");
        assert_eq!(read(b"A=\xff"), "cannot use --env-file vars line 1: it is not valid UTF-8");
    }
}
