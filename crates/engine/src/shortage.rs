//! What a container had too little of: processes killed for want of memory, forks refused for want of pids, each with
//! the level whose limit led to it.

use cgroup::ladder::{Ladder, Rung};
use cgroup::sample::{Depth, Hold, Meter, Roots, Sample};
use cgroup::{GroupPath, Groups, Hierarchies, Limit};
use runtime::facts::Facts;
use serde::{Deserialize, Serialize};

/// What a container had too little of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// What the kernel killed in it for want of memory.
    pub oom: Option<Oom>,
    /// The forks that the kernel refused for want of pids.
    #[serde(default)]
    pub forks_refused: Option<ForksRefused>,
}

/// Processes that were killed for want of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oom {
    /// How many processes of the container were killed.
    pub kills: u64,
    /// The limit of the container's own group, in bytes, if it has one.
    pub limit_bytes: Option<u64>,
    /// The level above whose limit led to it, where it was not the container's own.
    #[serde(default)]
    pub cause: Option<Level>,
}

/// Forks that were refused for want of pids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForksRefused {
    /// How many, as far as the kernel tells: v1 counts those of tasks in the container's own group, v2 since Linux 6.11
    /// those at the level's limit, also of other containers below that.
    pub count: u64,
    /// The level whose limit led to it: the container's own or one above.
    pub cause: Option<Level>,
}

/// A level of a container's ladder, and its limit: bytes, tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Its group.
    pub path: String,
    /// Its limit.
    pub limit: u64,
}

/// How often the limits of a container's levels had been hit when it began: those above it have had others below them
/// before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    memory: Vec<(String, u64)>,
    pids: Vec<(String, u64)>,
}

impl Baseline {
    /// Reads it. One that has no level above itself begins with nothing.
    pub(crate) fn read(facts: &Facts) -> Self {
        let sample = if has_parents(&facts.group) { sample(&facts.hierarchies, &facts.group) } else { None };
        sample.map_or_else(Self::default, |sample| Self {
            memory: sample.memory_ladder.hits(),
            pids: sample.pids_ladder.hits(),
        })
    }
}

impl Shortage {
    /// Reads it before the container's groups are gone; nothing where they are.
    pub(crate) fn read((hierarchies, group): (&Hierarchies, &GroupPath), before: &Baseline) -> Self {
        let counted = |groups: Groups| {
            let forks = groups.pids().and_then(|pids| pids.refused_forks.or(pids.limit_hits));
            groups.oom_kills().is_some_and(|kills| kills > 0) || forks.is_some_and(|forks| forks > 0)
        };
        // Most containers lack nothing, and what their kernel counts above them is not in their own group.
        let worth = has_parents(group) || Groups::open(hierarchies, group).is_ok_and(counted);
        let sample = if worth { sample(hierarchies, group) } else { None };
        sample.map_or_else(Self::default, |sample| Self::of(&sample, before, group))
    }

    /// What a sample of everything tells of the container whose own group is `own`.
    pub(crate) fn of(sample: &Sample, before: &Baseline, own: &GroupPath) -> Self {
        let oom = sample.memory.oom_kills.filter(|kills| *kills > 0).map(|kills| Oom {
            kills,
            limit_bytes: sample.memory.limit.and_then(at),
            cause: sample.memory_ladder.cause(&before.memory).filter(|rung| rung.path != *own).and_then(level),
        });
        let forks_refused = refused_forks(sample, before)
            .filter(|count| *count > 0)
            .map(|count| ForksRefused { count, cause: sample.pids_ladder.cause(&before.pids).and_then(level) });
        Self { oom, forks_refused }
    }

    /// What was noticed earlier, where later nothing can be read any more.
    pub(crate) fn or(self, earlier: Self) -> Self {
        Self { oom: self.oom.or(earlier.oom), forks_refused: self.forks_refused.or(earlier.forks_refused) }
    }
}

/// Kernels that count where the limit is tell of a refusal at each level whose limit was hit.
fn refused_forks(sample: &Sample, before: &Baseline) -> Option<u64> {
    let former = |rung: &Rung| {
        let known = before.pids.iter().find(|(path, _)| *path == rung.path.to_string());
        known.map_or(0, |(_, hits)| *hits)
    };
    let since = |ladder: &Ladder| {
        let hits = ladder.rungs.iter().filter_map(|rung| rung.hits?.checked_sub(former(rung)));
        hits.reduce(u64::saturating_add)
    };
    sample.pids.refused_forks.or_else(|| since(&sample.pids_ladder))
}

fn level(rung: &Rung) -> Option<Level> {
    Some(Level { path: rung.path.to_string(), limit: rung.limit.and_then(at)? })
}

const fn at(limit: Limit) -> Option<u64> {
    match limit {
        Limit::At(number) => Some(number),
        Limit::Unlimited => None,
    }
}

/// Whether there is a level above a container's own group that it is held by.
pub(crate) fn has_parents(group: &GroupPath) -> bool {
    group.ancestors().len() > 1
}

fn sample(hierarchies: &Hierarchies, group: &GroupPath) -> Option<Sample> {
    let roots = Roots::open(hierarchies.clone()).ok()?;
    Some(Meter::new(group.clone(), Hold::CpuTime).sample(&roots, Depth::All))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(path: &str, limit: u64, hits: Option<u64>) -> Rung {
        Rung { path: GroupPath::parse("test", path).unwrap(), limit: Some(Limit::At(limit)), usage: Some(0), hits }
    }

    fn told(refused_forks: Option<u64>, hits: [Option<u64>; 2]) -> Option<(u64, String)> {
        let mut sample = Sample::default();
        sample.pids.refused_forks = refused_forks;
        sample.pids_ladder.rungs = vec![rung("/team/it", 100, hits[0]), rung("/team", 50, hits[1])];
        let before = Baseline { memory: Vec::new(), pids: vec![("/team".to_owned(), 7)] };
        let shortage = Shortage::of(&sample, &before, &GroupPath::parse("test", "/team/it").unwrap());
        assert_eq!(shortage.oom, None);
        shortage.forks_refused.map(|refused| (refused.count, refused.cause.unwrap().path))
    }

    #[test]
    fn refused_forks_are_told_with_the_level_that_was_hit_since_it_began_or_that_binds() {
        let at = |path: &str, count| Some((count, path.to_owned()));
        assert_eq!(told(Some(3), [None, None]), at("/team", 3));
        assert_eq!(told(None, [Some(2), Some(7)]), at("/team/it", 2));
        assert_eq!(told(None, [Some(0), Some(9)]), at("/team", 2));
        assert_eq!(told(None, [Some(0), Some(7)]), None);
        assert_eq!(told(Some(0), [None, None]), None);
    }
}
