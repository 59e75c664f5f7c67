//! Which CPUs and memory nodes a group may use.
//!
//! cpuset(7), Documentation/admin-guide/cgroup-v1/cpusets.rst, cgroup-v2.rst "Cpuset", OCI config-linux.md "CPU". The
//! list format `0-3,5` is cpuset(7) "List format". A fresh v1 group has neither, and takes no process until it has both.

use std::fmt;

use error::{Refused, Result};

use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::{INHERITED, Write};

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

/// The same names in both versions.
const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";
const CPUS_EFFECTIVE_V2: &str = "cpuset.cpus.effective";
const MEMS_EFFECTIVE_V2: &str = "cpuset.mems.effective";

const CPUS_FIELD: &str = "linux.resources.cpu.cpus";
const MEMS_FIELD: &str = "linux.resources.cpu.mems";

/// A set of CPU or memory node numbers, kept as ranges that are sorted, apart and not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
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

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
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
}

impl Available {
    /// What an existing v1 group has; `None` where that cannot be read.
    pub(crate) fn read_v1(read: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(Self { cpus: Set::parse(&read(CPUS)?)?, mems: Set::parse(&read(MEMS)?)? })
    }

    /// What an existing v2 group may use; `None` where it has no cpuset controller.
    pub(crate) fn read_v2(read: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(Self { cpus: Set::parse(&read(CPUS_EFFECTIVE_V2)?)?, mems: Set::parse(&read(MEMS_EFFECTIVE_V2)?)? })
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
            let reason = format!("the group above has an empty {file}, so that no process can join");
            let hint = format!("write the numbers to use to {file} of every group above the container's");
            return Err(Refused::new(field, "", reason).hint(hint).into());
        }
        Ok(Write::new(Controller::Cpuset, INHERITED, file, set))
    };
    Ok(vec![list(CPUS_FIELD, CPUS, &parent.cpus)?, list(MEMS_FIELD, MEMS, &parent.mems)?])
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
        Available { cpus: set(cpus), mems: set(mems) }
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
    fn a_v1_parent_with_nothing_to_give_is_refused() {
        assert!(inherit_v1(&available("", "0")).is_err());
        assert!(plan_v1(&cpu("0", "0"), &available("0", "")).is_err());
    }
}
