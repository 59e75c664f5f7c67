//! A container's Landlock domain: the words of its annotation as the kernel's bits, checked against what the kernel has.
//! landlock(7), <linux/landlock.h>.

use child::{Rule, Step};
use error::{Errno, Refused, Result};
use namespace::steps::Steps;
use oci::{Config, LANDLOCK_ANNOTATION, Landlock};
use sys::landlock::Ruleset;

/// What may not be done in a container, and what may all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domain {
    ruleset: Ruleset,
    paths: Vec<(u64, String)>,
    ports: Vec<(u64, u16)>,
}

/// A word, its bit, and the version of Landlock that has it.
type Word = (&'static str, u32, usize);

const FILES: &[Word] = &[
    ("execute", 0, 1),
    ("write_file", 1, 1),
    ("read_file", 2, 1),
    ("read_dir", 3, 1),
    ("remove_dir", 4, 1),
    ("remove_file", 5, 1),
    ("make_char", 6, 1),
    ("make_dir", 7, 1),
    ("make_reg", 8, 1),
    ("make_sock", 9, 1),
    ("make_fifo", 10, 1),
    ("make_block", 11, 1),
    ("make_sym", 12, 1),
    ("refer", 13, 2),
    ("truncate", 14, 3),
    ("ioctl_dev", 15, 5),
];
const PORTS: &[Word] = &[("bind_tcp", 0, 4), ("connect_tcp", 1, 4)];
const SCOPED: &[Word] = &[("abstract_unix_socket", 0, 6), ("signal", 1, 6)];

impl Domain {
    /// The domain that a configuration asks for; `None` where it asks for none.
    ///
    /// # Errors
    /// Refused, naming the field, for what is not as landlock(7) has it, and for what this kernel does not have.
    pub fn of(config: &Config) -> Result<Option<Self>> {
        let Some(document) = Landlock::of(config)? else { return Ok(None) };
        match sys::landlock::version() {
            Ok(version) => Self::from_document(&document, version).map(Some),
            Err(errno) => {
                let refused = Refused::new(LANDLOCK_ANNOTATION, "", "needs Landlock, which this kernel does not have");
                let hint = if errno == Errno::OPNOTSUPP {
                    "add landlock to the boot parameter lsm="
                } else {
                    "use Linux 5.13 or newer, with CONFIG_SECURITY_LANDLOCK"
                };
                Err(refused.hint(hint).into())
            }
        }
    }

    fn from_document(document: &Landlock, version: usize) -> Result<Self> {
        let asked = &document.ruleset;
        let ruleset = Ruleset {
            files: mask("ruleset.handledAccessFS", &asked.handled_access_fs, FILES, version)?,
            ports: mask("ruleset.handledAccessNet", &asked.handled_access_net, PORTS, version)?,
            scoped: mask("ruleset.scoped", &asked.scoped, SCOPED, version)?,
        };
        if ruleset == Ruleset::default() {
            return Err(Refused::new(name("ruleset"), "", "forbids nothing").into());
        }
        let mut domain = Self { ruleset, ..Self::default() };
        for (number, rule) in document.rules.path_beneath.iter().enumerate() {
            let field = format!("rules.pathBeneath[{number}]");
            let access = allowed(&field, (&rule.allowed_access, FILES), ruleset.files, version)?;
            for path in &rule.paths {
                if !path.starts_with('/') {
                    let refused = Refused::new(name(&format!("{field}.paths")), path, "is not absolute");
                    return Err(refused.hint("name a path inside the container").into());
                }
                domain.paths.push((access, path.clone()));
            }
        }
        for (number, rule) in document.rules.net_port.iter().enumerate() {
            let field = format!("rules.netPort[{number}]");
            let access = allowed(&field, (&rule.allowed_access, PORTS), ruleset.ports, version)?;
            domain.ports.extend(rule.ports.iter().map(|port| (access, *port)));
        }
        Ok(domain)
    }

    /// The child's step.
    ///
    /// # Errors
    /// Refused for a path with a NUL in it.
    pub(crate) fn plan<'a>(&self, steps: &Steps<'a>) -> Result<Step<'a>> {
        let mut rules = Vec::with_capacity(self.paths.len() + self.ports.len());
        for (access, path) in &self.paths {
            rules.push(Rule::Beneath { access: *access, path: steps.text(LANDLOCK_ANNOTATION, path)? });
        }
        rules.extend(self.ports.iter().map(|(access, port)| Rule::Port { access: *access, port: *port }));
        Ok(Step::Landlock { ruleset: self.ruleset, rules: steps.slice(&rules) })
    }
}

fn name(field: &str) -> String {
    format!("{LANDLOCK_ANNOTATION}: {field}")
}

fn mask(field: &str, asked: &[String], known: &[Word], version: usize) -> Result<u64> {
    asked.iter().try_fold(0, |mask, word| {
        let Some((_, bit, since)) = known.iter().find(|(name, ..)| name == word) else {
            let words: Vec<_> = known.iter().map(|(name, ..)| *name).collect();
            let refused = Refused::new(name(field), word, "is nothing that Landlock knows");
            return Err(refused.hint(format!("use one of {}", words.join(", "))).into());
        };
        if *since > version {
            let reason = format!("needs version {since} of Landlock, and this kernel has {version}");
            return Err(Refused::new(name(field), word, reason).hint("leave it out, or use a newer kernel").into());
        }
        Ok(mask | 1 << bit)
    })
}

/// What a rule allows must be forbidden without it, or the kernel would not know what it is for.
fn allowed(field: &str, (asked, known): (&[String], &[Word]), handled: u64, version: usize) -> Result<u64> {
    let field = format!("{field}.allowedAccess");
    for word in asked {
        if mask(&field, std::slice::from_ref(word), known, version)? & !handled != 0 {
            let refused = Refused::new(name(&field), word, "is allowed anyway");
            return Err(refused.hint("add it to what the ruleset handles, or leave it out here").into());
        }
    }
    match mask(&field, asked, known, version)? {
        0 => Err(Refused::new(name(&field), "", "allows nothing").into()),
        access => Ok(access),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(document: &str, version: usize) -> Result<Domain> {
        Domain::from_document(&serde_json::from_str(document).unwrap(), version)
    }

    #[test]
    fn words_become_the_kernels_bits() {
        let domain = of(
            r#"{"ruleset": {"handledAccessFS": ["write_file", "ioctl_dev"], "handledAccessNet": ["connect_tcp"],
                "scoped": ["signal"]}, "rules": {"pathBeneath": [{"allowedAccess": ["write_file"], "paths": ["/tmp", "/x"]}],
                "netPort": [{"allowedAccess": ["connect_tcp"], "ports": [80, 443]}]}}"#,
            7,
        );
        let domain = domain.unwrap();
        assert_eq!(domain.ruleset, Ruleset { files: 1 << 1 | 1 << 15, ports: 1 << 1, scoped: 1 << 1 });
        assert_eq!(domain.paths, [(1 << 1, "/tmp".to_owned()), (1 << 1, "/x".to_owned())]);
        assert_eq!(domain.ports, [(1 << 1, 80), (1 << 1, 443)]);
    }

    #[test]
    fn what_would_forbid_nothing_or_is_not_there_is_refused_by_its_field() {
        for (document, version, message) in [
            (r#"{"ruleset": {}}"#, 7, "ruleset: forbids nothing"),
            (r#"{"ruleset": {"handledAccessFS": ["fly"]}}"#, 7, "ruleset.handledAccessFS fly: is nothing that"),
            (
                r#"{"ruleset": {"handledAccessFS": ["ioctl_dev"]}}"#,
                4,
                "needs version 5 of Landlock, and this kernel has 4",
            ),
            (
                r#"{"ruleset": {"scoped": ["signal"]},
                    "rules": {"pathBeneath": [{"allowedAccess": ["execute"], "paths": ["/"]}]}}"#,
                7,
                "rules.pathBeneath[0].allowedAccess execute: is allowed anyway",
            ),
            (
                r#"{"ruleset": {"handledAccessFS": ["execute"]},
                    "rules": {"pathBeneath": [{"allowedAccess": ["execute"], "paths": ["bin"]}]}}"#,
                7,
                "paths bin: is not absolute",
            ),
        ] {
            let error = of(document, version).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
