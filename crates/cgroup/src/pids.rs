//! The number of tasks: processes and threads alike.
//!
//! Documentation/admin-guide/cgroup-v1/pids.rst, cgroup-v2.rst "PID", OCI config-linux.md "PIDs".

use error::Result;

use crate::Limit;
use crate::file::number_at;
use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

/// The same names in both versions.
const MAX: &str = "pids.max";
const CURRENT: &str = "pids.current";
const EVENTS: &str = "pids.events";

const LIMIT: &str = "linux.resources.pids.limit";

/// What a fresh v1 group is given. As with other runtimes, 0 leaves the kernel's default and -1 means no limit.
///
/// # Errors
/// None; the shape is that of every room.
pub fn plan_v1(pids: &oci::Pids) -> Result<Vec<Write>> {
    plan(pids)
}

/// What a fresh v2 group is given: the same.
///
/// # Errors
/// None; the shape is that of every room.
pub fn plan_v2(pids: &oci::Pids) -> Result<Vec<Write>> {
    plan(pids)
}

fn plan(pids: &oci::Pids) -> Result<Vec<Write>> {
    let text = match pids.limit {
        None | Some(0) => return Ok(Vec::new()),
        Some(limit) => u64::try_from(limit).map_or_else(|_| "max".to_owned(), |limit| limit.to_string()),
    };
    Ok(vec![Write::new(Controller::Pids, LIMIT, MAX, &text).other(MAX, &text)])
}

/// A group's tasks. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// The most tasks that there may be.
    pub limit: Option<Limit>,
    /// The tasks that there are, in the groups below too.
    pub current: Option<u64>,
    /// How often a fork failed at the limit of this group.
    pub refused_forks: Option<u64>,
}

/// Reads a v1 group; `read` gives a file's text.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    stats(read)
}

/// Reads a v2 group; `read` gives a file's text. The files are the same.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    stats(read)
}

fn stats(read: impl Fn(&str) -> Option<String>) -> Stats {
    let limit = || match read(MAX)?.trim() {
        "max" => Some(Limit::Unlimited),
        limit => limit.parse().ok().map(Limit::At),
    };
    Stats {
        limit: limit(),
        current: read(CURRENT).and_then(|text| text.trim().parse().ok()),
        refused_forks: read(EVENTS).and_then(|text| number_at(&text, "max")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reads_the_same_in_both_versions() {
        for (limit, value) in [(Some(20), Some("20")), (Some(-1), Some("max")), (Some(0), None), (None, None)] {
            let asked = oci::Pids { limit };
            let v1 = plan_v1(&asked).unwrap();
            assert_eq!(v1.first().map(|write| write.value.as_str()), value);
            assert_eq!(v1, plan_v2(&asked).unwrap());
        }
    }

    #[test]
    fn unlimited_zero_and_unreadable_are_three_things() {
        assert_eq!(stats_v1(|_| None), Stats::default());
        assert_eq!(stats_v2(|_| Some("max\n".into())).limit, Some(Limit::Unlimited));
        let full = stats_v1(|file| {
            Some(match file {
                "pids.max" => "20\n".into(),
                "pids.current" => "0\n".into(),
                _ => "max 7\n".into(),
            })
        });
        assert_eq!(full, Stats { limit: Some(Limit::At(20)), current: Some(0), refused_forks: Some(7) });
    }
}
