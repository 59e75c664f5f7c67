//! The number of tasks: processes and threads alike.
//!
//! Documentation/admin-guide/cgroup-v1/pids.rst, cgroup-v2.rst "PID", OCI config-linux.md "PIDs".

use error::{Refused, Result};

use crate::Limit;
use crate::file::number_at;
use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::Write;

/// The same names in both versions.
pub(crate) const MAX: &str = "pids.max";
const CURRENT: &str = "pids.current";
pub(crate) const EVENTS: &str = "pids.events";
const EVENTS_LOCAL_V2: &str = "pids.events.local";
const PEAK: &str = "pids.peak";

/// The files behind the numbers of one line in a table.
pub(crate) const OF_A_LINE: [&str; 1] = [CURRENT];
/// The file of a level's own limit.
pub(crate) const OF_A_LIMIT: [&str; 1] = [MAX];

const LIMIT: &str = "linux.resources.pids.limit";

/// The highest limit: `PID_MAX_LIMIT` of a 64-bit kernel, of which there cannot be more tasks either.
const HIGHEST: u64 = 4_194_304;

/// What can be set.
pub const SETTINGS: &[Setting] = &[Setting {
    controller: Controller::Pids,
    flag: Some("--pids-limit"),
    field: Some(LIMIT),
    v1: Some(SettingFile { name: MAX, value: "NUMBER, max for none" }),
    v2: Some(SettingFile { name: MAX, value: "NUMBER, max for none" }),
    unit: "1 to 4194304 processes and threads, -1 for none",
    effect: "fork and clone beyond it fail with EAGAIN; tasks that exist already stay",
}];

/// What a fresh v1 group is given. As with other runtimes, 0 leaves the kernel's default and -1 means no limit.
///
/// # Errors
/// Refused for more than the kernel takes.
pub fn plan_v1(pids: &oci::Pids) -> Result<Vec<Write>> {
    plan(pids)
}

/// What a fresh v2 group is given: the same.
///
/// # Errors
/// As [`plan_v1`].
pub fn plan_v2(pids: &oci::Pids) -> Result<Vec<Write>> {
    plan(pids)
}

/// What keeps every task of a group from forking, in both versions.
pub(crate) fn none() -> Write {
    Write::new(Controller::Pids, "", MAX, "0")
}

fn plan(pids: &oci::Pids) -> Result<Vec<Write>> {
    let Some(limit) = pids.limit.filter(|limit| *limit != 0) else { return Ok(Vec::new()) };
    let text = match u64::try_from(limit) {
        Ok(limit) if limit > HIGHEST => {
            let reason = format!("is above the kernel's maximum of {HIGHEST}");
            return Err(Refused::new(LIMIT, limit.to_string(), reason).hint("use -1 for no limit").into());
        }
        Ok(limit) => limit.to_string(),
        Err(_) => "max".to_owned(),
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
    /// How often a fork of a task in this very group failed, whichever level's limit was hit: what v1 counts, and what v2
    /// counted before Linux 6.11.
    pub refused_forks: Option<u64>,
    /// How often this group's own limit was hit, by a fork in it or below it: what v2 counts since Linux 6.11.
    pub limit_hits: Option<u64>,
}

/// Reads a v1 group; `read` gives a file's text, and is called once for each file.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    Stats { refused_forks: events(read(EVENTS)), ..stats(read) }
}

/// Reads a v2 group; `read` gives a file's text, and is called once for each file.
///
/// The file for this group's own events is as old as their present meaning (kernel/cgroup/pids.c `pids_event`, Linux 6.11);
/// in a hierarchy that is mounted with `pids_localevents` the old meaning stays, which no file tells.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    match read(EVENTS_LOCAL_V2) {
        Some(local) => Stats { limit_hits: events(Some(local)), ..stats(read) },
        None => stats_v1(read),
    }
}

/// The most tasks that there ever were at once; Linux 6.1.
pub fn peak(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    read(PEAK)?.trim().parse().ok()
}

fn events(text: Option<String>) -> Option<u64> {
    number_at(&text?, "max")
}

fn stats(read: impl Fn(&str) -> Option<String>) -> Stats {
    let limit = || match read(MAX)?.trim() {
        "max" => Some(Limit::Unlimited),
        limit => limit.parse().ok().map(Limit::At),
    };
    let current = read(CURRENT).and_then(|text| text.trim().parse().ok());
    Stats { limit: limit(), current, refused_forks: None, limit_hits: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_reads_the_same_in_both_versions() {
        for (limit, value) in [
            (Some(20), Some("20")),
            (Some(4_194_304), Some("4194304")),
            (Some(-1), Some("max")),
            (Some(0), None),
            (None, None),
        ] {
            let asked = oci::Pids { limit };
            let v1 = plan_v1(&asked).unwrap();
            assert_eq!(v1.first().map(|write| write.value.as_str()), value);
            assert_eq!(v1, plan_v2(&asked).unwrap());
        }
    }

    #[test]
    fn more_tasks_than_a_kernel_can_have_are_refused() {
        let error = plan_v2(&oci::Pids { limit: Some(4_194_305) }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.pids.limit 4194305: is above the kernel's maximum of 4194304"
        );
        assert_eq!(error.hint(), Some("use -1 for no limit"));
    }

    #[test]
    fn what_is_written_stands_in_the_table() {
        for write in plan_v1(&oci::Pids { limit: Some(1) }).unwrap() {
            assert!(SETTINGS.iter().any(|setting| setting.v1.unwrap().name == write.file && setting.v2 == setting.v1));
        }
    }

    #[test]
    fn unlimited_zero_and_unreadable_are_three_things() {
        assert_eq!(stats_v1(|_| None), Stats::default());
        assert_eq!(stats_v2(|_| Some("max\n".into())).limit, Some(Limit::Unlimited));
    }

    #[test]
    fn what_the_kernel_counts_as_max_depends_on_the_version_and_its_age() {
        let old = |file: &str| match file {
            "pids.max" => Some("20\n".into()),
            "pids.current" => Some("0\n".into()),
            "pids.events" => Some("max 7\n".into()),
            _ => None,
        };
        let new = |file: &str| if file == "pids.events.local" { Some("max 3\n".into()) } else { old(file) };
        let counted = Stats { limit: Some(Limit::At(20)), current: Some(0), ..Stats::default() };
        assert_eq!(stats_v1(old), Stats { refused_forks: Some(7), ..counted });
        assert_eq!(stats_v2(old), Stats { refused_forks: Some(7), ..counted });
        assert_eq!(stats_v2(new), Stats { limit_hits: Some(3), ..counted });
    }

    proptest! {
        #[test]
        fn reading_never_fails_hard(text in "(max )?[ -~\n]{0,40}") {
            let _ = (stats_v1(|_| Some(text.clone())), stats_v2(|_| Some(text.clone())));
        }

        #[test]
        fn the_plans_of_both_versions_describe_the_same(limit: Option<i64>) {
            let asked = oci::Pids { limit };
            prop_assert_eq!(plan_v1(&asked), plan_v2(&asked));
        }
    }
}
