//! What holds a subject back: held back (CPU), stalled, killed, refused, frozen, stopped, each with its cause, the level
//! whose limit was hit, and its victim. Pure: computed from two snapshots of [`crate::watch`].
//!
//! A counter says something only by how far it moved between two moments. A group that is another one at the same path, a
//! counter that went back, one that could not be read: nothing is known, which is not zero.

mod pair;
mod troubles;

use std::path::PathBuf;

use serde::Serialize;

use self::pair::Pair;
use crate::snapshot::{DiskLimit, Reading, Snapshot};
use crate::watch::Subject;

/// What was found between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The time between them, in microseconds.
    pub elapsed_usec: u64,
    /// Whether the subject was there the second time.
    pub is_there: bool,
    /// How many of its processes were looked at.
    pub processes: usize,
    /// What it does with CPUs.
    pub cpu: Cpu,
    /// What it has of memory, in bytes.
    pub memory: Held,
    /// What it has of tasks.
    pub pids: Held,
    /// How long its processes waited for each resource.
    pub stalls: Waits,
    /// The same of the whole host.
    pub host: HostState,
    /// The limits of disks on the way to the root: no counter tells whether they were hit.
    pub disks: Vec<Disks>,
    /// Its processes that are stopped, or wait in the kernel and cannot be interrupted.
    pub still: Vec<Still>,
    /// What held it back, what is worst first in the order of [`Trouble`].
    pub findings: Vec<Finding>,
}

/// What a subject does with CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// CPU time that it used between the two, in microseconds.
    pub used_usec: Option<u64>,
    /// What holds of bandwidth, in millionths of a CPU.
    pub limit: Reading,
    /// How many CPUs it may run on.
    pub cpus: u64,
    /// Its part where CPUs are short, against groups beside its own: v1's shares, v2's weight.
    pub weight: Reading,
}

/// What a subject has of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// What it uses.
    pub usage: Reading,
    /// What holds.
    pub limit: Reading,
    /// The level that sets what holds.
    pub set_at: Option<PathBuf>,
    /// What is left before a level is full, others below it counted.
    pub headroom: Option<u64>,
    /// Kills, or refusals, since its group was made.
    pub since_start: Reading,
}

/// How long processes waited between the two, in microseconds in which at least one did; and the kernel's own averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Waits {
    /// For a CPU.
    pub cpu: Wait,
    /// For memory.
    pub memory: Wait,
    /// For disks.
    pub io: Wait,
}

/// How long processes waited for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Wait {
    /// At least one, in microseconds.
    pub some_usec: Option<u64>,
    /// All that had something to do, in microseconds.
    pub full_usec: Option<u64>,
    /// The kernel's average of the last ten seconds, in hundredths of a percent.
    pub avg10: Reading,
}

/// The machine meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostState {
    /// How many CPUs it has.
    pub cpus: u64,
    /// Its memory.
    pub memory_bytes: u64,
    /// What of it could be used at once.
    pub available_bytes: Reading,
    /// How long its processes waited.
    pub stalls: Waits,
}

/// The limits of disks of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disks {
    /// The level.
    pub path: PathBuf,
    /// Its limits.
    pub limits: Vec<DiskLimit>,
}

/// A process that does nothing, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Still {
    /// Its number on the host.
    pub pid: i32,
    /// The name of its program.
    pub name: String,
    /// `D`, `T` or `t`: proc_pid_stat(5).
    pub state: char,
    /// Whether it was so both times.
    pub is_lasting: bool,
    /// The kernel's function that it waits in, where that may be seen.
    pub waits_in: Option<String>,
}

/// What can happen to a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Its processes stand still: a freezer.
    Frozen,
    /// Processes were killed because memory was short.
    Killed,
    /// Forks failed because there were too many tasks.
    Refused,
    /// A quota of CPU time ran out.
    HeldBack,
    /// It waited for a CPU although no quota had run out.
    Crowded,
    /// Its processes waited for memory.
    Reclaiming,
    /// Its processes waited for disks.
    Io,
    /// Processes were stopped by a signal or a debugger.
    Stopped,
    /// Processes waited all the time in the kernel and could not be interrupted.
    Stuck,
}

/// One thing that happened, to whom, and because of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub trouble: Trouble,
    /// How long, in microseconds of the time between the two; `None` where it has no length or that is not known.
    pub usec: Option<u64>,
    /// How often between the two.
    pub count: Option<u64>,
    /// Whose limits led to it, the most likely first; empty where nothing tells.
    pub causes: Vec<Cause>,
    /// To whom it happened: groups.
    pub victims: Vec<PathBuf>,
    /// Who else uses what was short, the most first.
    pub rivals: Vec<Rival>,
}

/// What led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The level; `None` for the host itself.
    pub level: Option<PathBuf>,
    /// Its limit: millionths of a CPU, bytes, tasks.
    pub limit: Reading,
    /// Whether it is the bound beyond which processes are slowed down, not the limit.
    pub is_brake: bool,
    /// How often it was hit between the two.
    pub hits: Option<u64>,
    /// Of so many periods.
    pub periods: Option<u64>,
    /// How often it was hit since the level was made.
    pub hits_since_start: Reading,
    /// The most that the level ever used.
    pub peak: Reading,
    /// How it is known.
    pub known: Evidence,
}

/// How a cause is known, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Its counter moved between the two.
    Moved,
    /// Its counter has moved since the group was made.
    Counted,
    /// It is full, or was.
    Full,
    /// It has the smallest limit on the way to the root.
    Binds,
    /// It has a limit, and no counter tells more.
    Limited,
}

/// Who else uses what was short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rival {
    /// A group.
    pub path: PathBuf,
    /// What it used between the two (microseconds of CPU time) or uses now (bytes, tasks).
    pub usage: u64,
    /// Of CPUs that were short, how they are divided; `None` of everything else.
    pub weights: Option<Weights>,
}

/// How two groups beside each other divide what both want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Weights {
    /// The other's.
    pub its: Reading,
    /// That of the subject's group, or of the one above that on the same level.
    pub own: Reading,
}

/// What held a subject back between two snapshots of it.
#[must_use]
pub fn why(before: &Snapshot, after: &Snapshot, subject: &Subject) -> Why {
    Pair::new(before, after, subject).why()
}

/// A part of a time in hundredths of a percent; all of it at most.
#[must_use]
pub fn share(part_usec: u64, elapsed_usec: u64) -> u64 {
    part_usec.saturating_mul(10_000).checked_div(elapsed_usec).unwrap_or(0).min(10_000)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::samples;
    use crate::snapshot::{Facts, Freezer, Group, Limited, Process, Reasons};
    use crate::watch::Kind;

    const SECOND: u64 = 1_000_000;

    /// `/team/it`, beside `/team/other`.
    fn host(up_usec: u64, change: impl FnOnce(&mut [Group])) -> Snapshot {
        let mut snapshot = Snapshot { up_usec, ..samples::empty() };
        for (path, parent) in [("/", None), ("/team", Some(0)), ("/team/it", Some(1)), ("/team/other", Some(1))] {
            let mut group = samples::group(path, parent);
            group.reasons = Some(Box::new(Reasons { inode: Some(path.len() as u64), ..Reasons::default() }));
            snapshot.groups.push(group);
        }
        change(&mut snapshot.groups);
        snapshot
    }

    fn subject() -> Subject {
        let groups = vec![(String::new(), PathBuf::from("/team/it"))];
        Subject { name: "it".to_owned(), kind: Kind::Container, groups, process: None }
    }

    fn found(before: &Snapshot, after: &Snapshot, trouble: Trouble) -> Option<Finding> {
        why(before, after, &subject()).findings.into_iter().find(|finding| finding.trouble == trouble)
    }

    fn at_most(limit: u64, usage: u64, hits: u64) -> Limited {
        Limited { limit: Reading::At(limit), usage: Reading::At(usage), hits: Reading::At(hits) }
    }

    fn set(group: &mut Group, change: impl FnOnce(&mut Reasons)) {
        change(group.reasons.as_mut().unwrap());
    }

    fn path(cause: &Cause) -> &str {
        cause.level.as_ref().unwrap().to_str().unwrap()
    }

    /// A quota of 0.2 CPUs at /team, hit in all periods; what it did is held back for 0.8 of the time.
    fn throttled(hits: u64, held_back: Reading) -> Snapshot {
        host(SECOND + hits * SECOND / 10, |groups| {
            groups[1].cpu = at_most(200_000, 0, hits);
            set(&mut groups[1], |one| one.cpu_periods = Reading::At(hits));
            set(&mut groups[2], |one| {
                one.held_back_usec = held_back;
                one.cpu_usage_usec = Reading::At(hits * 15_000);
            });
            set(&mut groups[3], |one| one.cpu_usage_usec = Reading::At(hits * 5_000));
        })
    }

    #[test]
    fn a_quota_above_is_the_cause_and_the_group_below_it_the_victim() {
        let (before, after) = (throttled(10, Reading::At(5)), throttled(30, Reading::At(5 + 8 * SECOND / 5)));
        let finding = found(&before, &after, Trouble::HeldBack).unwrap();
        assert_eq!((finding.usec, finding.victims), (Some(8 * SECOND / 5), vec![PathBuf::from("/team/it")]));
        let cause = &finding.causes[0];
        assert_eq!((path(cause), cause.hits, cause.periods), ("/team", Some(20), Some(20)));
        assert_eq!(finding.rivals, [Rival { path: "/team/other".into(), usage: 100_000, weights: None }]);
        assert_eq!(why(&before, &after, &subject()).cpu.used_usec, Some(300_000));
    }

    #[test]
    fn a_quota_that_only_others_hit_holds_nobody_else_back() {
        let (before, after) = (throttled(10, Reading::At(5)), throttled(30, Reading::At(5)));
        assert_eq!(found(&before, &after, Trouble::HeldBack), None);
        // Where nothing tells, it may have been held back, and nobody knows for how long.
        let finding =
            found(&throttled(10, Reading::Absent), &throttled(30, Reading::Absent), Trouble::HeldBack).unwrap();
        assert_eq!(finding.usec, None);
    }

    #[test]
    fn a_counter_that_goes_back_and_one_of_another_group_tell_nothing() {
        let (before, after) = (throttled(30, Reading::At(9)), throttled(10, Reading::At(99)));
        assert_eq!(found(&before, &after, Trouble::HeldBack), None);
        let mut other = throttled(30, Reading::At(SECOND));
        set(&mut other.groups[1], |one| one.inode = Some(77));
        assert_eq!(found(&throttled(10, Reading::At(5)), &other, Trouble::HeldBack), None);
        let mut gone = throttled(30, Reading::At(SECOND));
        gone.groups.truncate(2);
        let why = why(&throttled(10, Reading::At(5)), &gone, &subject());
        assert!(!why.is_there && why.findings.is_empty(), "{why:?}");
    }

    #[test]
    fn who_shares_a_cpu_that_is_short_is_told_with_both_weights() {
        let of = |usec: u64| {
            let mut snapshot = host(SECOND + usec, |groups| {
                for (index, weight) in [(2, 512), (3, 2048)] {
                    set(&mut groups[index], |one| {
                        one.cpu_weight = Reading::At(weight);
                        one.cpu_usage_usec = Reading::At(usec * weight / 2560);
                    });
                }
                set(&mut groups[2], |one| one.stalls.cpu.some_usec = Reading::At(usec * 8 / 10));
            });
            // Its use is in that of the one above it.
            let mut below = samples::group("/team/other/below", Some(3));
            below.reasons.clone_from(&snapshot.groups[3].reasons);
            snapshot.groups.push(below);
            snapshot
        };
        let finding = found(&of(0), &of(SECOND), Trouble::Crowded).unwrap();
        let weights = Some(Weights { its: Reading::At(2048), own: Reading::At(512) });
        assert_eq!(finding.rivals, [Rival { path: "/team/other".into(), usage: 800_000, weights }]);
        assert_eq!(why(&of(0), &of(SECOND), &subject()).cpu.weight, Reading::At(512));
    }

    /// /team has 32 MiB and it 512: `reached` hits above, `kills` in it.
    fn short(reached: Reading, kills: u64) -> Snapshot {
        host(SECOND * (1 + kills), |groups| {
            groups[1].memory = at_most(32 << 20, 31 << 20, 0);
            set(&mut groups[1], |one| one.memory_reached = reached);
            groups[2].memory = at_most(512 << 20, 1 << 20, 0);
            groups[2].oom_kills = Reading::At(kills);
            groups[3].memory.usage = Reading::At(30 << 20);
        })
    }

    #[test]
    fn the_level_whose_limit_was_reached_is_the_cause_of_a_kill() {
        let finding = found(&short(Reading::At(3), 0), &short(Reading::At(9), 1), Trouble::Killed).unwrap();
        assert_eq!((finding.count, path(&finding.causes[0])), (Some(1), "/team"));
        assert_eq!((finding.causes[0].known, finding.causes[0].hits), (Evidence::Moved, Some(6)));
        assert_eq!(finding.rivals[0].path, Path::new("/team/other"));
        // One that was before: counted, not while it was watched.
        let finding = found(&short(Reading::At(9), 1), &short(Reading::At(9), 1), Trouble::Killed).unwrap();
        assert_eq!((finding.count, finding.causes[0].known), (Some(0), Evidence::Counted));
        // A kernel that does not count: the smallest limit, and it is said to be no more than that.
        let finding = found(&short(Reading::Absent, 0), &short(Reading::Absent, 1), Trouble::Killed).unwrap();
        assert_eq!((path(&finding.causes[0]), finding.causes[0].known), ("/team", Evidence::Binds));
    }

    #[test]
    fn forks_are_refused_by_the_level_that_is_full() {
        let of = |refused| {
            host(SECOND, |groups| {
                groups[1].pids = Limited { hits: Reading::Absent, ..at_most(20, 20, 0) };
                groups[2].pids = Limited { hits: Reading::Absent, ..at_most(100, 3, 0) };
                set(&mut groups[2], |one| one.refused_forks = Reading::At(refused));
            })
        };
        let finding = found(&of(0), &of(7), Trouble::Refused).unwrap();
        assert_eq!((finding.count, path(&finding.causes[0])), (Some(7), "/team"));
        assert_eq!((finding.causes[0].known, finding.victims), (Evidence::Full, vec![PathBuf::from("/team/it")]));
    }

    #[test]
    fn the_freezer_that_was_told_is_the_cause_and_what_it_holds_the_victim() {
        let frozen = host(SECOND, |groups| {
            for (index, told) in [(1, true), (2, false)] {
                set(&mut groups[index], |one| {
                    one.freezer = Freezer { is_frozen: Some(true), is_told: Some(told) };
                });
            }
        });
        let finding = found(&frozen, &frozen, Trouble::Frozen).unwrap();
        assert_eq!((path(&finding.causes[0]), finding.victims), ("/team", vec![PathBuf::from("/team/it")]));
    }

    #[test]
    fn a_process_with_the_same_number_is_another_one() {
        let of = |start_ticks| {
            let mut snapshot = host(SECOND, |_| ());
            let facts = Facts { start_ticks, state: 'D', ..samples::facts() };
            let pid = procfs::HostPid(7);
            let namespaces = [crate::snapshot::Spot::Absent; 8];
            snapshot.processes.push(Process { pid, namespaces, facts: Some(Box::new(facts)), container: None });
            snapshot
        };
        assert!(found(&of(1), &of(1), Trouble::Stuck).is_some());
        assert_eq!(found(&of(1), &of(2), Trouble::Stuck), None);
    }

    fn reading() -> impl Strategy<Value = Reading> {
        prop_oneof![
            4 => (0..40_u64).prop_map(Reading::At),
            1 => any::<u64>().prop_map(Reading::At),
            1 => Just(Reading::Unlimited),
            1 => Just(Reading::Absent),
            1 => Just(Reading::Unreadable),
        ]
    }

    /// Any numbers at all in all groups, of which some are not there.
    fn any_host() -> impl Strategy<Value = Snapshot> {
        let group = prop::collection::vec(reading(), 20);
        (prop::collection::vec(group, 4), 0..5_usize, any::<u32>(), any::<bool>()).prop_map(|(all, count, up, v1)| {
            let mut snapshot = host(up.into(), |groups| {
                for (group, readings) in groups.iter_mut().zip(&all) {
                    let mut next = readings.iter().copied();
                    let mut next = || next.next().unwrap_or_default();
                    let mut limited = || Limited { limit: next(), usage: next(), hits: next() };
                    (group.memory, group.cpu, group.pids) = (limited(), limited(), limited());
                    (group.oom_kills, group.throttled_usec) = (next(), next());
                    group.hierarchy = if v1 { "memory".to_owned() } else { String::new() };
                    set(group, |one| {
                        (one.cpu_periods, one.held_back_usec, one.memory_reached) = (next(), next(), next());
                        (one.refused_forks, one.stalls.cpu.some_usec, one.stalls.io.some_usec) =
                            (next(), next(), next());
                        (one.memory_peak, one.cpu_usage_usec, one.memory_oom) = (next(), next(), next());
                    });
                }
            });
            snapshot.groups.truncate(count);
            snapshot
        })
    }

    proptest! {
        #[test]
        fn causes_are_on_the_way_to_the_root_and_nothing_comes_of_what_is_not_known(before in any_host(), after in any_host()) {
            for hierarchy in ["memory", ""] {
                let subject = Subject { groups: vec![(hierarchy.to_owned(), "/team/it".into())], ..subject() };
                let found = why(&before, &after, &subject);
                for finding in &found.findings {
                    prop_assert!(finding.usec.is_none_or(|usec| usec <= found.elapsed_usec));
                    for cause in finding.causes.iter().filter_map(|cause| cause.level.as_ref()) {
                        prop_assert!(Path::new("/team/it").starts_with(cause));
                        for victim in &finding.victims {
                            prop_assert!(victim.starts_with(cause), "{victim:?} is not below {cause:?}");
                        }
                    }
                    for rival in &finding.rivals {
                        prop_assert!(!Path::new("/team/it").starts_with(&rival.path));
                    }
                }
                let held_back = found.findings.iter().any(|one| one.trouble == Trouble::HeldBack);
                let moved = |at: usize| {
                    let of = |snapshot: &Snapshot| snapshot.groups.get(at).map(|group| group.cpu.hits).and_then(pair::at);
                    of(&before).zip(of(&after)).is_some_and(|(before, after)| after > before)
                };
                prop_assert!(!held_back || (0..3).any(moved));
            }
        }

        #[test]
        fn two_looks_at_the_same_moment_find_nothing_that_moved(host in any_host()) {
            let found = why(&host, &host, &subject());
            for finding in found.findings {
                prop_assert!(finding.count.unwrap_or(0) == 0 && !matches!(finding.trouble, Trouble::HeldBack | Trouble::Crowded | Trouble::Io));
            }
        }
    }
}
