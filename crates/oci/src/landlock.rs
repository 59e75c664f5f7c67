//! Landlock rules for a container's processes, as the annotation [`ANNOTATION`] holds them. The runtime specification has no
//! place for them yet; the document has the form of its proposal, and the kernel's words. landlock(7).

use error::Result;
use serde::{Deserialize, Serialize};

use crate::{Config, absent, document};

/// The annotation whose value is the document.
pub const ANNOTATION: &str = "run.carboy.landlock";

/// What is forbidden, and what is allowed all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub struct Landlock {
    /// What is forbidden.
    pub ruleset: LandlockRuleset,
    /// The exceptions.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub rules: LandlockRules,
}

/// What is forbidden wherever no rule allows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub struct LandlockRuleset {
    /// What is done to files: `execute`, `write_file` …
    #[serde(default, rename = "handledAccessFS", skip_serializing_if = "absent::is")]
    pub handled_access_fs: Vec<String>,
    /// What is done to ports: `bind_tcp`, `connect_tcp`.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub handled_access_net: Vec<String>,
    /// What is done to who is outside: `abstract_unix_socket`, `signal`.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub scoped: Vec<String>,
}

/// What is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub struct LandlockRules {
    /// To files below folders.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub path_beneath: Vec<LandlockPaths>,
    /// To ports.
    #[serde(default, skip_serializing_if = "absent::is")]
    pub net_port: Vec<LandlockPorts>,
}

/// What is allowed to files below folders, or to single files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub struct LandlockPaths {
    /// Of what is forbidden.
    pub allowed_access: Vec<String>,
    /// Absolute paths inside the container.
    pub paths: Vec<String>,
}

/// What is allowed to ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub struct LandlockPorts {
    /// Of what is forbidden.
    pub allowed_access: Vec<String>,
    /// TCP ports.
    pub ports: Vec<u16>,
}

impl Landlock {
    /// Reads the annotation of a configuration; `None` where it has none.
    ///
    /// # Errors
    /// Refused, with the path of the field in the annotation's document.
    pub fn of(config: &Config) -> Result<Option<Self>> {
        let text = config.annotations.get(ANNOTATION);
        text.map(|text| document::parse(ANNOTATION, text.as_bytes())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Landlock>> {
        let annotations = [(ANNOTATION.to_owned(), text.to_owned())].into();
        Landlock::of(&Config { annotations, ..Config::default() })
    }

    #[test]
    fn the_document_is_read_from_its_annotation() {
        let document = read(
            r#"{"ruleset": {"handledAccessFS": ["execute"], "handledAccessNet": ["bind_tcp"], "scoped": ["signal"]},
                "rules": {"pathBeneath": [{"allowedAccess": ["execute"], "paths": ["/bin"]}],
                          "netPort": [{"allowedAccess": ["bind_tcp"], "ports": [80]}]}}"#,
        );
        let landlock = document.unwrap().unwrap();
        assert_eq!(landlock.ruleset.handled_access_fs, ["execute"]);
        assert_eq!(landlock.rules.path_beneath[0].paths, ["/bin"]);
        assert_eq!(landlock.rules.net_port[0].ports, [80]);
        assert_eq!(Landlock::of(&Config::default()).unwrap(), None);
    }

    #[test]
    fn a_field_that_is_unknown_or_wrong_is_named_since_it_would_forbid_nothing() {
        for (text, message) in [
            ("{", "cannot use run.carboy.landlock: is not JSON"),
            ("{}", "cannot use ruleset: is missing"),
            (r#"{"ruleset": {"handledAcessFS": []}}"#, "is not one of `handledAccessFS`"),
            (r#"{"ruleset": {}, "rules": {"netPort": [{"allowedAccess": [], "ports": [70000]}]}}"#, "ports[0]"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
