//! One resource's limits from a container's group to the root: which one really holds, and what is left of each. Pure.

use cgroup::ladder::Rung as Level;
use cgroup::{GroupPath, Limit};
use serde::Serialize;

use crate::snapshot::{Group, Limited, Reading, Snapshot};

/// A resource with a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Bytes.
    Memory,
    /// Millionths of a CPU.
    Cpu,
    /// Tasks.
    Pids,
}

/// A level of a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung<'s> {
    /// The group.
    pub group: &'s Group,
    /// Its limit of the resource.
    pub limited: Limited,
}

/// The rungs, the container's own first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder<'s> {
    /// From the container upwards, the hierarchy's root too, in which nothing is limited.
    pub rungs: Vec<Rung<'s>>,
    binds: Option<usize>,
}

impl Resource {
    /// Every resource, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// The controller's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    const fn of(self, group: &Group) -> Limited {
        match self {
            Self::Memory => group.memory,
            Self::Cpu => group.cpu,
            Self::Pids => group.pids,
        }
    }
}

impl Limited {
    /// Whether a group has the resource's controller at all.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        [self.limit, self.usage, self.hits] == [Reading::Absent; 3]
    }
}

/// The ladder of a resource for whoever is in these groups.
#[must_use]
pub fn of<'s>(snapshot: &'s Snapshot, groups: &[usize], resource: Resource) -> Ladder<'s> {
    let group = |index: &usize| snapshot.groups.get(*index);
    let climb = |index: usize| {
        // A file from elsewhere can point in circles.
        let levels = std::iter::successors(group(&index), |group: &&Group| snapshot.groups.get(group.parent?));
        let levels = levels.take(snapshot.groups.len());
        levels.map(|group| Rung { group, limited: resource.of(group) }).collect::<Vec<_>>()
    };
    let ladders = groups.iter().map(|index| climb(*index));
    let rungs =
        ladders.into_iter().find(|rungs| rungs.iter().any(|rung| !rung.limited.is_absent())).unwrap_or_default();
    let binds = binding(&rungs);
    Ladder { rungs, binds }
}

fn binding(rungs: &[Rung<'_>]) -> Option<usize> {
    let level = |rung: &Rung<'_>| Level {
        path: GroupPath::root(),
        limit: match rung.limited.limit {
            Reading::At(limit) => Some(Limit::At(limit)),
            Reading::Unlimited => Some(Limit::Unlimited),
            Reading::Absent | Reading::Unreadable => None,
        },
        usage: None,
        hits: None,
    };
    let ladder = cgroup::Ladder { rungs: rungs.iter().map(level).collect() };
    let binds = ladder.binds()?;
    ladder.rungs.iter().position(|rung| std::ptr::eq(rung, binds))
}

impl<'s> Ladder<'s> {
    /// The rung with the smallest limit, the nearest of those that are equal; `None` where nothing is limited.
    #[must_use]
    pub fn binds(&self) -> Option<&Rung<'s>> {
        self.rungs.get(self.binds?)
    }

    /// Whether an ancestor of the container's own group binds.
    #[must_use]
    pub fn is_set_above(&self) -> bool {
        self.binds.is_some_and(|index| index > 0)
    }

    /// What really holds; unreadable where a rung that could not be read may be smaller.
    #[must_use]
    pub fn effective(&self) -> Reading {
        let limits = || self.rungs.iter().map(|rung| rung.limited.limit);
        if limits().any(|limit| limit == Reading::Unreadable) {
            return Reading::Unreadable;
        }
        match self.binds() {
            Some(rung) => rung.limited.limit,
            None if limits().any(|limit| limit == Reading::Unlimited) => Reading::Unlimited,
            None => Reading::Absent,
        }
    }

    /// What the container's own group uses.
    #[must_use]
    pub fn usage(&self) -> Reading {
        self.rungs.first().map_or(Reading::Absent, |rung| rung.limited.usage)
    }

    /// What is left before the first rung is full: what others below the same ancestor use counts.
    #[must_use]
    pub fn headroom(&self) -> Option<u64> {
        let left = self.rungs.iter().filter_map(|rung| match (rung.limited.limit, rung.limited.usage) {
            (Reading::At(limit), Reading::At(usage)) => Some(limit.saturating_sub(usage)),
            _ => None,
        });
        left.min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn levels(limits: &[(Reading, Reading)]) -> Snapshot {
        let mut snapshot = samples::empty();
        // The root, and then each below the former; the first of `limits` is the deepest.
        snapshot.groups.push(samples::group("/", None));
        for (depth, (limit, usage)) in limits.iter().rev().enumerate() {
            let mut group = samples::group(&"/g".repeat(depth + 1), Some(depth));
            group.memory = Limited { limit: *limit, usage: *usage, hits: Reading::Absent };
            snapshot.groups.push(group);
        }
        snapshot
    }

    fn reading() -> impl Strategy<Value = Reading> {
        prop_oneof![(0..9_u64).prop_map(Reading::At), Just(Reading::Unlimited), Just(Reading::Absent)]
    }

    #[test]
    fn an_ancestors_smaller_limit_is_what_holds() {
        let at = Reading::At;
        let snapshot = levels(&[(at(512), at(3)), (at(32), at(30)), (Reading::Unlimited, at(40))]);
        let ladder = of(&snapshot, &[3], Resource::Memory);
        assert_eq!((ladder.effective(), ladder.is_set_above(), ladder.headroom()), (at(32), true, Some(2)));
        assert_eq!(ladder.binds().unwrap().group.path.to_str(), Some("/g/g"));
    }

    #[test]
    fn unlimited_zero_absent_and_unreadable_stay_apart() {
        for one in [Reading::Unlimited, Reading::At(0), Reading::Absent, Reading::Unreadable] {
            let snapshot = levels(&[(one, Reading::At(1))]);
            assert_eq!(of(&snapshot, &[1], Resource::Memory).effective(), one);
        }
    }

    #[test]
    fn groups_that_point_in_circles_end() {
        let mut snapshot = levels(&[(Reading::At(1), Reading::At(1)); 2]);
        snapshot.groups[1].parent = Some(2);
        assert!(of(&snapshot, &[2], Resource::Memory).rungs.len() <= 3);
    }

    proptest! {
        #[test]
        fn nothing_on_the_ladder_is_smaller_than_what_holds(limits in prop::collection::vec((reading(), reading()), 0..6)) {
            let snapshot = levels(&limits);
            let ladder = of(&snapshot, &[limits.len()], Resource::Memory);
            let smallest = limits.iter().filter_map(|(limit, _)| if let Reading::At(at) = limit { Some(*at) } else { None }).min();
            match ladder.effective() {
                Reading::At(limit) => prop_assert_eq!(Some(limit), smallest),
                _ => prop_assert_eq!(None, smallest),
            }
            for (limit, usage) in limits {
                if let (Reading::At(limit), Reading::At(usage)) = (limit, usage) {
                    prop_assert!(ladder.headroom().unwrap() <= limit.saturating_sub(usage));
                }
            }
        }
    }
}
