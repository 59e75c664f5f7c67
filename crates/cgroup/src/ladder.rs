//! One resource's limits from a container's group up to the root of the mount: each level is a rung, and the smallest
//! limit is the one that binds, whosever it is.
//!
//! cgroup-v2.rst "Limits": a limit holds for a group and all below it. v1's `memory` and `pids` count the same way.

use crate::path::GroupPath;
use crate::{Limit, memory, pids};

/// One level's limit, in the resource's own unit: bytes, tasks. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// The group.
    pub path: GroupPath,
    /// Its limit.
    pub limit: Option<Limit>,
    /// What it and the groups below it use.
    pub usage: Option<u64>,
    /// How often this level's own limit was hit: as far as the kernel counts that, the OOM killer's calls, not reclaims.
    pub hits: Option<u64>,
}

/// The rungs, the container's own first. A root of a hierarchy has no limits and is no rung.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    /// From the container upwards.
    pub rungs: Vec<Rung>,
}

impl Rung {
    pub(crate) fn of_memory(path: GroupPath, stats: &memory::Stats) -> Self {
        let hits = stats.oom_events.or(stats.limit_hits);
        Self { path, limit: stats.limit, usage: stats.usage_bytes, hits }
    }

    pub(crate) const fn of_pids(path: GroupPath, stats: &pids::Stats) -> Self {
        Self { path, limit: stats.limit, usage: stats.current, hits: stats.limit_hits }
    }

    const fn limit_at(&self) -> Option<u64> {
        match self.limit {
            Some(Limit::At(limit)) => Some(limit),
            Some(Limit::Unlimited) | None => None,
        }
    }
}

impl Ladder {
    /// The rung with the smallest limit, the nearest of those that are equal; `None` where nothing is limited.
    #[must_use]
    pub fn binds(&self) -> Option<&Rung> {
        let limited = self.rungs.iter().filter_map(|rung| Some((rung.limit_at()?, rung)));
        limited.min_by_key(|(limit, _)| *limit).map(|(_, rung)| rung)
    }

    /// How often each level's limit was hit so far, to be compared with later: the levels above a container have had
    /// others below them before it.
    #[must_use]
    pub fn hits(&self) -> Vec<(String, u64)> {
        self.rungs.iter().filter_map(|rung| Some((rung.path.to_string(), rung.hits?))).collect()
    }

    /// The level whose limit was hit since `before`. Where the kernel counts that for none, it is the one that is full;
    /// where none is any more, the one that binds. Among several, the smallest limit: its rung is the first to be hit.
    #[must_use]
    pub fn cause(&self, before: &[(String, u64)]) -> Option<&Rung> {
        let former =
            |rung: &Rung| before.iter().find(|(path, _)| *path == rung.path.to_string()).map_or(0, |(_, hits)| *hits);
        let hit = |rung: &&Rung| rung.hits.is_some_and(|hits| hits > former(rung));
        let full = |rung: &&Rung| rung.limit_at().zip(rung.usage).is_some_and(|(limit, usage)| usage >= limit);
        let smallest = |chosen: &dyn Fn(&&Rung) -> bool| {
            let chosen = self.rungs.iter().filter(chosen).filter_map(|rung| Some((rung.limit_at()?, rung)));
            chosen.min_by_key(|(limit, _)| *limit).map(|(_, rung)| rung)
        };
        smallest(&hit).or_else(|| smallest(&full)).or_else(|| self.binds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(path: &str, limit: Option<u64>, usage: u64, hits: Option<u64>) -> Rung {
        let limit = Some(limit.map_or(Limit::Unlimited, Limit::At));
        Rung { path: GroupPath::parse("test", path).unwrap(), limit, usage: Some(usage), hits }
    }

    fn ladder(rungs: [Rung; 3]) -> Ladder {
        Ladder { rungs: rungs.into() }
    }

    fn path(rung: Option<&Rung>) -> Option<String> {
        rung.map(|rung| rung.path.to_string())
    }

    #[test]
    fn the_smallest_limit_binds_and_the_nearest_of_two_equal_ones() {
        let steps = |own, team, top| {
            path(ladder([rung("/a/b/c", own, 0, None), rung("/a/b", team, 0, None), rung("/a", top, 0, None)]).binds())
        };
        assert_eq!(steps(Some(512), Some(32), None).as_deref(), Some("/a/b"));
        assert_eq!(steps(Some(32), Some(32), Some(32)).as_deref(), Some("/a/b/c"));
        assert_eq!(steps(None, None, Some(7)).as_deref(), Some("/a"));
        assert_eq!(steps(None, None, None), None);
    }

    #[test]
    fn the_cause_is_the_level_that_was_hit_since_then_full_else_the_one_that_binds() {
        let own = |hits| rung("/a/b/c", Some(512), 30, hits);
        let (team, top) = (|hits| rung("/a/b", Some(32), 31, hits), |usage, hits| rung("/a", Some(900), usage, hits));
        let before = [("/a/b".to_owned(), 5), ("/a".to_owned(), 9)];
        let cause = |rungs| path(ladder(rungs).cause(&before));
        assert_eq!(cause([own(Some(0)), team(Some(6)), top(0, Some(9))]).as_deref(), Some("/a/b"));
        assert_eq!(cause([own(Some(0)), team(Some(5)), top(0, Some(10))]).as_deref(), Some("/a"));
        assert_eq!(cause([own(Some(1)), team(Some(6)), top(0, Some(9))]).as_deref(), Some("/a/b"), "the smaller one");
        assert_eq!(cause([own(None), team(None), top(900, None)]).as_deref(), Some("/a"), "full");
        assert_eq!(cause([own(None), team(None), top(0, None)]).as_deref(), Some("/a/b"), "binds");
        assert_eq!(ladder([own(Some(0)), team(Some(6)), top(0, None)]).hits().len(), 2);
    }
}
