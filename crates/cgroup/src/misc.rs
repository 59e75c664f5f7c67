//! Scalar resources that a machine has a fixed number of, as the address space identifiers of encrypted guests (`sev`,
//! `sev_es`, `tdx`). Linux 5.13, `CONFIG_CGROUP_MISC`; most machines have none.
//!
//! cgroup-v2.rst "Misc". OCI has no field for it: on v2 it is set by `linux.resources.unified`, on v1, which has the same
//! files, it is only read.

use std::collections::BTreeMap;

use error::Refused;
use rustix::io::Errno;

use crate::Limit;
use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::{Reads, Write};

/// The same names in both versions.
const MAX: &str = "misc.max";
const CURRENT: &str = "misc.current";
const EVENTS: &str = "misc.events";

/// How the limits read: a line for each resource of the machine.
pub(crate) const READS: Reads = Reads::Lines { cleared: "max" };

/// What can be set.
pub const SETTINGS: &[Setting] = &[Setting {
    controller: Controller::Misc,
    flag: Some("--cgroup-conf"),
    field: Some("linux.resources.unified"),
    v1: None,
    v2: Some(SettingFile { name: MAX, value: "RESOURCE NUMBER, max for none" }),
    unit: "FILE=VALUE: misc.max=RESOURCE NUMBER",
    effect: "what asks for one more than the limit, as starting an encrypted guest, fails with EBUSY",
}];

/// What the kernel's answer to a limit means. It says `EINVAL` of a resource that this machine has none of, too.
pub(crate) fn refusal(write: &Write, errno: Errno) -> Option<Refused> {
    let reason = "is not the limit of a resource of this host";
    let refused = Refused::new(write.field.as_ref(), &write.value, reason);
    (errno == Errno::INVAL).then(|| refused.hint("misc.capacity of the cgroup root has their names and amounts"))
}

/// One resource, what the groups below use counted. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Its name, as `sev`.
    pub resource: String,
    /// How much is in use.
    pub current: Option<u64>,
    /// The most that may be.
    pub limit: Option<Limit>,
    /// How often a limit of this group or one below was in the way.
    pub limit_hits: Option<u64>,
}

/// Reads a v1 group, a resource after the other; `read` gives a file's text.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    stats(read)
}

/// Reads a v2 group: the same.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    stats(read)
}

fn stats(read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    let mut resources: BTreeMap<String, Stats> = BTreeMap::new();
    for file in [CURRENT, MAX, EVENTS] {
        for line in read(file).iter().flat_map(|text| text.lines()) {
            let Some((name, value)) = line.trim().split_once(' ') else { continue };
            // Events are called after what was hit: `sev.max 3`.
            let name = if file == EVENTS { name.strip_suffix(".max") } else { Some(name) };
            let Some(name) = name else { continue };
            let resource = resources.entry(name.to_owned()).or_default();
            name.clone_into(&mut resource.resource);
            match file {
                CURRENT => resource.current = value.parse().ok(),
                MAX if value == "max" => resource.limit = Some(Limit::Unlimited),
                MAX => resource.limit = value.parse().ok().map(Limit::At),
                _ => resource.limit_hits = value.parse().ok(),
            }
        }
    }
    resources.into_values().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_resource_that_this_host_has_none_of_is_refused() {
        let field = "linux.resources.unified.misc.max";
        let write = Write::new(Controller::Misc, field, MAX, "sev 1");
        let refused = refusal(&write, Errno::INVAL).unwrap();
        let told = "cannot use linux.resources.unified.misc.max sev 1: is not the limit of a resource of this host";
        assert_eq!(refused.to_string(), told);
        assert_eq!(refusal(&write, Errno::NOENT), None);
    }

    #[test]
    fn use_limit_and_events_of_a_resource_are_put_together() {
        let read = |file: &str| match file {
            "misc.current" => Some("sev 3\nsev_es 0\n".into()),
            "misc.max" => Some("sev max\nsev_es 4\n".into()),
            "misc.events" => Some("sev.max 0\nsev_es.max 2\n".into()),
            _ => None,
        };
        let of = |name: &str, current, limit, hits| Stats {
            resource: name.into(),
            current: Some(current),
            limit: Some(limit),
            limit_hits: Some(hits),
        };
        let expected = [of("sev", 3, Limit::Unlimited, 0), of("sev_es", 0, Limit::At(4), 2)];
        assert_eq!(stats_v1(read), expected);
        assert_eq!(stats_v2(read), expected);
        assert_eq!(stats_v2(|_| None), []);
    }

    proptest! {
        #[test]
        fn reading_never_fails_hard(text in "(sev |sev.max )?[ -~\n]{0,40}") {
            prop_assert_eq!(stats_v1(|_| Some(text.clone())), stats_v2(|_| Some(text.clone())));
        }
    }
}
