//! /proc/PID/uid_map and gid_map: user_namespaces(7). What is said of users here holds for groups.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lines::{fields, lines, number};

/// A user or group id as the reader's user namespace calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

/// A user or group id as a container calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InsideId(pub u32);

/// Which ids outside the ids of a user namespace stand for. A process in the reader's own namespace shows that namespace's
/// map to its parent instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdMap {
    /// The ranges, in the order of the file. Empty before the map is written: then nobody exists inside.
    pub ranges: Vec<IdRange>,
}

/// A range of ids inside and the equally long range outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first id inside.
    pub inside: InsideId,
    /// The first id outside.
    pub host: HostId,
    /// How many.
    pub count: u32,
}

impl IdMap {
    /// Parses the file.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        let range = |line| {
            let mut numbers = fields(line).map(number);
            let mut next = || numbers.next().flatten();
            let range = IdRange { inside: InsideId(next()?), host: HostId(next()?), count: next()? };
            numbers.next().is_none().then_some(range)
        };
        Some(Self { ranges: lines(file).map(range).collect::<Option<_>>()? })
    }

    /// Whether it is that of the first user namespace, which has every id.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let whole = IdRange { inside: InsideId(0), host: HostId(0), count: u32::MAX };
        self.ranges == [whole]
    }

    /// How many ids are mapped from 0 on without a gap.
    #[must_use]
    pub fn first_ids(&self) -> u32 {
        let mut ranges = self.ranges.clone();
        ranges.sort_by_key(|range| range.inside);
        let follow =
            |end: u32, range: &IdRange| if range.inside.0 == end { end.saturating_add(range.count) } else { end };
        ranges.iter().fold(0, follow)
    }

    /// Who `id` is outside; `None` where it is not mapped.
    #[must_use]
    pub fn to_host(&self, id: InsideId) -> Option<HostId> {
        self.ranges.iter().find_map(|range| range.shift(id.0, range.inside.0, range.host.0)).map(HostId)
    }

    /// Who `id` is inside; `None` where it is not mapped.
    #[must_use]
    pub fn to_inside(&self, id: HostId) -> Option<InsideId> {
        self.ranges.iter().find_map(|range| range.shift(id.0, range.host.0, range.inside.0)).map(InsideId)
    }
}

impl IdRange {
    fn shift(&self, id: u32, from: u32, to: u32) -> Option<u32> {
        let distance = id.checked_sub(from).filter(|distance| *distance < self.count)?;
        to.checked_add(distance)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InsideId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAP: &[u8] = b"         0     100000       1000\n      1000       1000          1\n";

    #[test]
    fn ids_are_shifted_both_ways() {
        let map = IdMap::parse(MAP).unwrap();
        assert_eq!(map.to_host(InsideId(0)), Some(HostId(100_000)));
        assert_eq!(map.to_host(InsideId(999)), Some(HostId(100_999)));
        assert_eq!(map.to_host(InsideId(1000)), Some(HostId(1000)));
        assert_eq!(map.to_inside(HostId(100_999)), Some(InsideId(999)));
    }

    #[test]
    fn an_id_outside_every_range_is_nobody() {
        let map = IdMap::parse(MAP).unwrap();
        assert_eq!(map.to_host(InsideId(1001)), None);
        assert_eq!(map.to_inside(HostId(101_000)), None);
        assert_eq!(map.to_inside(HostId(0)), None);
        assert_eq!(IdMap::parse(b"").unwrap().to_host(InsideId(0)), None);
    }

    #[test]
    fn the_initial_namespace_maps_everyone_to_themselves() {
        let map = IdMap::parse(b"         0          0 4294967295\n").unwrap();
        assert_eq!(map.to_host(InsideId(u32::MAX - 1)), Some(HostId(u32::MAX - 1)));
        assert_eq!(map.to_host(InsideId(u32::MAX)), None);
    }

    #[test]
    fn the_first_ids_end_at_a_gap_and_the_initial_namespace_has_all() {
        for (text, whole, first) in [
            ("0 0 4294967295\n", true, u32::MAX),
            ("0 1000 1\n", false, 1),
            ("1 100000 65536\n0 1000 1\n", false, 65_537),
            ("0 1000 1\n5 100000 10\n", false, 1),
            ("1 1000 1\n", false, 0),
            ("", false, 0),
        ] {
            let map = IdMap::parse(text.as_bytes()).unwrap();
            assert_eq!((map.is_whole(), map.first_ids()), (whole, first), "{text}");
        }
    }

    #[test]
    fn what_is_no_map_is_nothing() {
        for text in ["0 0", "0 0 1 1", "0 -1 1", "a b c", "0 0 4294967296"] {
            assert_eq!(IdMap::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
            let _ = IdMap::parse(&bytes);
        }

        #[test]
        fn there_and_back_is_the_same(inside: u32, host: u32, count: u32, id: u32) {
            let map = IdMap { ranges: vec![IdRange { inside: InsideId(inside), host: HostId(host), count }] };
            if let Some(outside) = map.to_host(InsideId(id)) {
                prop_assert_eq!(map.to_inside(outside), Some(InsideId(id)));
            }
        }
    }
}
