//! Which CPUs and memory nodes a group may use.
//!
//! cpuset(7), Documentation/admin-guide/cgroup-v1/cpusets.rst, cgroup-v2.rst "Cpuset", OCI config-linux.md "CPU". The
//! list format `0-3,5` is cpuset(7) "List format". A fresh v1 group has neither, and takes no process until it has both.

use std::fmt;

use error::{Refused, Result};
use serde::{Deserialize, Serialize};

use crate::hierarchy::Controller;
use crate::path::GroupPath;
use crate::setting::{Setting, SettingFile};
use crate::write::{INHERITED, Write};

/// The same names in both versions.
pub(crate) const CPUS: &str = "cpuset.cpus";
pub(crate) const MEMS: &str = "cpuset.mems";
pub(crate) const CPUS_EFFECTIVE_V2: &str = "cpuset.cpus.effective";
pub(crate) const MEMS_EFFECTIVE_V2: &str = "cpuset.mems.effective";
/// What a group may run on: v1's own file has it whole, unless CPUs went away.
pub(crate) const CPUS_EFFECTIVE: [&str; 3] = [CPUS_EFFECTIVE_V2, "cpuset.effective_cpus", CPUS];

const CPUS_FIELD: &str = "linux.resources.cpu.cpus";
const MEMS_FIELD: &str = "linux.resources.cpu.mems";

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting {
        controller: Controller::Cpuset,
        flag: Some("--cpuset-cpus"),
        field: Some(CPUS_FIELD),
        v1: Some(SettingFile { name: CPUS, value: "LIST" }),
        v2: Some(SettingFile { name: CPUS, value: "LIST" }),
        unit: "CPU numbers and ranges, 0-3,5",
        effect: "runs on these CPUs only; sched_setaffinity cannot reach others",
    },
    Setting {
        controller: Controller::Cpuset,
        flag: Some("--cpuset-mems"),
        field: Some(MEMS_FIELD),
        v1: Some(SettingFile { name: MEMS, value: "LIST" }),
        v2: Some(SettingFile { name: MEMS, value: "LIST" }),
        unit: "memory node numbers and ranges, 0-3,5",
        effect: "memory comes from these nodes only; on v2 what is on others moves there",
    },
    Setting {
        controller: Controller::Cpuset,
        flag: Some("--cgroup-conf"),
        field: Some("linux.resources.unified"),
        v1: None,
        v2: Some(SettingFile { name: "cpuset.cpus.partition", value: "root, isolated or member" }),
        unit: "root, isolated or member",
        effect: "the CPUs are taken from all other groups; isolated ones are not balanced between either",
    },
];

/// A set of CPU or memory node numbers, kept as ranges that are sorted, apart and not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Set {
    ranges: Vec<(u32, u32)>,
}

impl Set {
    /// Reads a list such as `0-3,5`; the empty text is the empty set. `None` for what is no list.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
        let text = text.trim();
        let mut ranges = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            ranges.push((first, last));
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Some(Self { ranges: merged })
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Its numbers, in their order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// The set as the kernel's mask, bit N of all words for number N; `None` where a number is beyond any mask's end.
    #[must_use]
    pub fn mask(&self) -> Option<Vec<u64>> {
        const LONGEST: u32 = 64 * 1024;
        let highest = self.ranges.last().map_or(0, |(_, last)| *last);
        let mut words = vec![0_u64; usize::try_from(highest / u64::BITS + 1).ok().filter(|_| highest < LONGEST)?];
        for number in self.ranges.iter().flat_map(|(first, last)| *first..=*last) {
            let word = words.get_mut(usize::try_from(number / u64::BITS).ok()?)?;
            *word |= 1 << (number % u64::BITS);
        }
        Some(words)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        for (first, last) in &self.ranges {
            let mut from = Some(*first);
            for (hole_first, hole_last) in &other.ranges {
                let Some(start) = from.filter(|start| start <= hole_last && hole_first <= last) else { continue };
                if let Some(end) = hole_first.checked_sub(1).filter(|end| start <= *end) {
                    ranges.push((start, end));
                }
                from = hole_last.checked_add(1).filter(|next| next <= last);
            }
            ranges.extend(from.map(|start| (start, *last)));
        }
        Self { ranges }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

/// What the group above a new one has to give.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Available {
    /// Its CPUs.
    pub cpus: Set,
    /// Its memory nodes.
    pub mems: Set,
    /// On v1: the groups above a new one that have nothing of one of them, the highest first.
    pub hollow: Vec<Hollow>,
}

/// A v1 group that has no CPUs or no memory nodes, so that no process can join it or one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hollow {
    /// Its path below the root of the mount.
    pub group: GroupPath,
    /// What it lacks, with what the group above it has.
    pub lacks: Vec<(&'static str, Set)>,
}

impl Available {
    /// What the last of `groups` has once those that lack something are filled; `None` where that cannot be read. They are
    /// the existing v1 groups from the root down, with the texts of their files.
    pub(crate) fn read_v1<'a, R>(groups: impl Iterator<Item = (&'a GroupPath, R)>) -> Option<Self>
    where
        R: Fn(&str) -> Option<String>,
    {
        let mut available = Self::default();
        for (group, read) in groups {
            let mut lacks = Vec::new();
            for (file, present) in [(CPUS, &mut available.cpus), (MEMS, &mut available.mems)] {
                match Set::parse(&read(file)?)? {
                    own if own.is_empty() && !present.is_empty() => lacks.push((file, present.clone())),
                    own => *present = own,
                }
            }
            if !lacks.is_empty() {
                available.hollow.push(Hollow { group: group.clone(), lacks });
            }
        }
        Some(available)
    }

    /// What an existing v2 group may use; `None` where it has no cpuset controller.
    pub(crate) fn read_v2(read: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let (cpus, mems) = (Set::parse(&read(CPUS_EFFECTIVE_V2)?)?, Set::parse(&read(MEMS_EFFECTIVE_V2)?)?);
        Some(Self { cpus, mems, hollow: Vec::new() })
    }
}

/// What was asked for, checked against what there is.
fn asked(field: &str, list: Option<&str>, available: Option<&Set>) -> Result<Option<Set>> {
    let Some(list) = list.filter(|list| !list.trim().is_empty()) else { return Ok(None) };
    let Some(set) = Set::parse(list) else {
        return Err(Refused::new(field, list, "is not a list of numbers and ranges such as 0-3,5").into());
    };
    if let Some(available) = available {
        let missing = set.without(available);
        if !missing.is_empty() {
            let what = if field == MEMS_FIELD { "memory nodes" } else { "cpus" };
            let reason = format!("{what} {missing} are not available here: there are {available}");
            return Err(Refused::new(field, list, reason).hint(format!("use some of {available}")).into());
        }
    }
    Ok(Some(set))
}

/// What a fresh v1 group is given: both lists, since it starts with neither; what was not asked for is the parent's.
///
/// # Errors
/// Refused for what is no list, for what the parent does not have, and where the parent itself has nothing to give.
pub fn plan_v1(cpu: &oci::Cpu, parent: &Available) -> Result<Vec<Write>> {
    let mut writes = inherit_v1(parent)?;
    for (write, (field, list, available)) in writes.iter_mut().zip(lists(cpu, parent)) {
        if let Some(set) = asked(field, list, Some(available))? {
            *write = Write::new(Controller::Cpuset, field, write.file.clone(), &set).other(write.file.clone(), &set);
        }
    }
    Ok(writes)
}

/// What a group between the container's and an existing one is given on v1: all that its parent has.
///
/// # Errors
/// Refused where the parent has nothing to give.
pub fn inherit_v1(parent: &Available) -> Result<Vec<Write>> {
    let list = |field, file: &'static str, set: &Set| -> Result<Write> {
        if set.is_empty() {
            let reason = format!("every group above has an empty {file}, so that no process can join");
            let hint = format!("write those to use to {CPUS} and {MEMS} of the hierarchy's root");
            return Err(Refused::new(field, "", reason).hint(hint).into());
        }
        Ok(Write::new(Controller::Cpuset, INHERITED, file, set))
    };
    Ok(vec![list(CPUS_FIELD, CPUS, &parent.cpus)?, list(MEMS_FIELD, MEMS, &parent.mems)?])
}

/// What fills an existing v1 group that lacks something. As with other runtimes; nobody can be in it, so that nothing
/// changes for anybody.
pub(crate) fn fill_v1(hollow: &Hollow) -> impl Iterator<Item = Write> {
    hollow.lacks.iter().map(|(file, set)| Write::new(Controller::Cpuset, INHERITED, *file, set))
}

/// What a fresh v2 group is given: what was asked for. `available` is unknown where no group has the controller yet.
///
/// # Errors
/// Refused for what is no list and for what the parent does not have.
pub fn plan_v2(cpu: &oci::Cpu, available: Option<&Available>) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    let (cpus, mems) = (available.map(|available| &available.cpus), available.map(|available| &available.mems));
    for (field, file, list, available) in
        [(CPUS_FIELD, CPUS, cpu.cpus.as_deref(), cpus), (MEMS_FIELD, MEMS, cpu.mems.as_deref(), mems)]
    {
        let set = asked(field, list, available)?;
        writes.extend(set.map(|set| Write::new(Controller::Cpuset, field, file, &set).other(file, &set)));
    }
    Ok(writes)
}

fn lists<'a>(cpu: &'a oci::Cpu, parent: &'a Available) -> [(&'static str, Option<&'a str>, &'a Set); 2] {
    [(CPUS_FIELD, cpu.cpus.as_deref(), &parent.cpus), (MEMS_FIELD, cpu.mems.as_deref(), &parent.mems)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> Set {
        Set::parse(text).unwrap()
    }

    fn available(cpus: &str, mems: &str) -> Available {
        Available { cpus: set(cpus), mems: set(mems), hollow: Vec::new() }
    }

    fn cpu(cpus: &str, mems: &str) -> oci::Cpu {
        oci::Cpu { cpus: Some(cpus.into()), mems: Some(mems.into()), ..Default::default() }
    }

    fn shown(writes: &[Write]) -> Vec<String> {
        writes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_is_read_sorted_and_joined() {
        for (text, shown) in [
            ("", ""),
            ("\n", ""),
            ("0-3,5\n", "0-3,5"),
            ("5,0,1", "0-1,5"),
            ("0-2,1-4", "0-4"),
            ("7", "7"),
            ("0-4294967295", "0-4294967295"),
        ] {
            assert_eq!(set(text).to_string(), shown, "{text:?}");
        }
        for text in [",", "1,", "3-1", "-1", "a", "1-", "1-2-3", "+1", "4294967296", "0-8:2/4", "1 2"] {
            assert_eq!(Set::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_list_never_fails_hard_and_what_is_shown_is_read_the_same(text in "[0-9,\\- \n:x]{0,24}") {
            if let Some(set) = Set::parse(&text) {
                prop_assert_eq!(Set::parse(&set.to_string()), Some(set));
            }
        }

        #[test]
        fn without_is_the_difference(one in prop::collection::vec((0_u32..40, 0_u32..6), 0..6),
                                     other in prop::collection::vec((0_u32..40, 0_u32..6), 0..6)) {
            let list = |ranges: &[(u32, u32)]| {
                set(&ranges.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect::<Vec<_>>().join(","))
            };
            let (one, other) = (list(&one), list(&other));
            let difference = one.without(&other);
            for number in 0..50 {
                prop_assert_eq!(difference.contains(number), one.contains(number) && !other.contains(number));
            }
        }
    }

    #[test]
    fn a_set_is_a_mask_unless_a_number_is_beyond_any() {
        let mask = |text| Set::parse(text).unwrap().mask();
        assert_eq!(mask("0-2,5"), Some(vec![0b10_0111]));
        assert_eq!(mask("63-64"), Some(vec![1 << 63, 1]));
        assert_eq!(mask("0-4294967295"), None);
    }

    #[test]
    fn a_fresh_v1_group_gets_both_lists_and_a_v2_group_what_was_asked() {
        let parent = available("0-3", "0");
        assert_eq!(shown(&plan_v1(&cpu("1", ""), &parent).unwrap()), ["cpuset.cpus = 1", "cpuset.mems = 0"]);
        assert_eq!(shown(&plan_v2(&cpu("1", ""), Some(&parent)).unwrap()), ["cpuset.cpus = 1"]);
        let inherited = plan_v1(&oci::Cpu::default(), &parent).unwrap();
        assert_eq!(shown(&inherited), ["cpuset.cpus = 0-3", "cpuset.mems = 0"]);
        assert!(inherited.iter().all(|write| write.field == INHERITED));
    }

    #[test]
    fn a_cpu_that_is_not_there_is_named() {
        let parent = available("0-1", "0");
        let error = plan_v1(&cpu("0-3,9", "0"), &parent).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.cpu.cpus 0-3,9: cpus 2-3,9 are not available here: there are 0-1"
        );
        let error = plan_v2(&cpu("0", "1"), Some(&parent)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.cpu.mems 1: memory nodes 1 are not available here: there are 0"
        );
        assert!(plan_v2(&cpu("0,", ""), None).is_err());
    }

    #[test]
    fn v1_groups_above_that_lack_something_are_filled_with_what_the_one_above_them_has() {
        let groups = ["/", "/a", "/a/b"].map(|path| GroupPath::parse("", path).unwrap());
        let read = |lists: [(&'static str, &'static str); 3]| {
            let texts =
                lists.map(|(cpus, mems)| move |file: &str| Some(if file == CPUS { cpus } else { mems }.to_owned()));
            Available::read_v1(groups.iter().zip(texts)).unwrap()
        };
        let filled = |available: &Available| {
            let lines = |hollow: &Hollow| shown(&fill_v1(hollow).collect::<Vec<_>>()).join(" ");
            available.hollow.iter().map(|hollow| format!("{}: {}", hollow.group, lines(hollow))).collect::<Vec<_>>()
        };
        let both = read([("0-3\n", "0\n"), ("1\n", "\n"), ("\n", "\n")]);
        assert_eq!(shown(&inherit_v1(&both).unwrap()), ["cpuset.cpus = 1", "cpuset.mems = 0"]);
        assert_eq!(filled(&both), ["/a: cpuset.mems = 0", "/a/b: cpuset.cpus = 1 cpuset.mems = 0"]);
        assert_eq!(filled(&read([("0-3\n", "0\n"), ("0-3\n", "0\n"), ("2\n", "0\n")])), [""; 0]);
        let error = inherit_v1(&read([("\n", "0\n"), ("\n", "0\n"), ("\n", "\n")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use linux.resources.cpu.cpus: every group above has an empty cpuset.cpus, so that no process can join"
        );
    }

    #[test]
    fn what_is_written_stands_in_the_table() {
        for write in plan_v1(&cpu("0", "0"), &available("0", "0")).unwrap() {
            let setting = SETTINGS.iter().find(|setting| setting.field == Some(write.field.as_ref())).unwrap();
            assert_eq!((setting.v1.unwrap().name, setting.v2.unwrap().name), (&*write.file, &*write.file));
        }
    }

    proptest! {
        #[test]
        fn the_plans_of_both_versions_describe_the_same(cpus in "[0-7]?", mems in "[0-1]?") {
            let parent = available("0-5", "0");
            match (plan_v1(&cpu(&cpus, &mems), &parent), plan_v2(&cpu(&cpus, &mems), Some(&parent))) {
                (Ok(mut v1), Ok(v2)) => {
                    v1.retain(|write| write.field != INHERITED);
                    prop_assert_eq!(v1, v2);
                }
                (v1, v2) => prop_assert_eq!(v1.unwrap_err(), v2.unwrap_err()),
            }
        }
    }
}
