//! Huge pages, a limit for each size. Bytes; the kernel rounds down to whole pages of the size.
//!
//! Documentation/admin-guide/cgroup-v1/hugetlb.rst, cgroup-v2.rst "HugeTLB", OCI config-linux.md "Huge page limits". A limit
//! is given twice: to the pages that are used, beyond which a fault ends in SIGBUS, and to those that mmap reserves, beyond
//! which mmap fails with ENOMEM, so that a program learns of it in time. The second is there since Linux 5.7.

use error::{Refused, Result};

use crate::Limit;
use crate::file::number_at;
use crate::hierarchy::Controller;
use crate::setting::{Setting, SettingFile};
use crate::write::Write;

const FIELD: &str = "linux.resources.hugepageLimits";

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting {
        controller: Controller::Hugetlb,
        flag: Some("--hugetlb-limit"),
        field: Some(FIELD),
        v1: Some(SettingFile { name: "hugetlb.*.limit_in_bytes", value: "BYTES" }),
        v2: Some(SettingFile { name: "hugetlb.*.max", value: "BYTES" }),
        unit: "SIZE=BYTES, the size of a page as 64KB, 2MB, 1GB",
        effect: "a task that touches a huge page beyond it gets SIGBUS",
    },
    Setting {
        controller: Controller::Hugetlb,
        flag: Some("--hugetlb-limit"),
        field: Some(FIELD),
        v1: Some(SettingFile { name: "hugetlb.*.rsvd.limit_in_bytes", value: "BYTES" }),
        v2: Some(SettingFile { name: "hugetlb.*.rsvd.max", value: "BYTES" }),
        unit: "the same limit",
        effect: "mmap and shmget of huge pages beyond it fail with ENOMEM",
    },
];

/// What the kernel counts as no limit: the highest value of a counter, rounded down to a page of 16 GiB, the largest there
/// is. A fresh v2 group shows such a number too.
const UNLIMITED: u64 = i64::MAX as u64 & !((16 << 30) - 1);

/// A page size as the names of files have it, by the name of its folder in /sys/kernel/mm/hugepages: `2MB` for
/// `hugepages-2048kB` (mm/hugetlb_cgroup.c `mem_fmt`).
#[must_use]
pub fn page_size(folder: &str) -> Option<String> {
    let kilobytes: u64 = folder.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kilobytes {
        _ if kilobytes >= 1 << 20 => format!("{}GB", kilobytes >> 20),
        _ if kilobytes >= 1 << 10 => format!("{}MB", kilobytes >> 10),
        _ => format!("{kilobytes}KB"),
    })
}

/// What a fresh v1 group is given; `sizes` are the host's page sizes, none where they are not known.
///
/// # Errors
/// Refused where a size is not written as the kernel writes it, such as 2MB, and where the host has none of it.
pub fn plan_v1(limits: &[oci::HugepageLimit], sizes: &[String]) -> Result<Vec<Write>> {
    plan(limits, sizes, |file| (file.v1(), file.v2()))
}

/// What a fresh v2 group is given.
///
/// # Errors
/// As [`plan_v1`].
pub fn plan_v2(limits: &[oci::HugepageLimit], sizes: &[String]) -> Result<Vec<Write>> {
    plan(limits, sizes, |file| (file.v2(), file.v1()))
}

fn plan(
    limits: &[oci::HugepageLimit],
    sizes: &[String],
    names: impl Fn(&Counted<'_>) -> (String, String),
) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for limit in limits {
        let size = size(limit, sizes)?;
        let write = |file| {
            let (name, other) = names(&file);
            Write::new(Controller::Hugetlb, FIELD, name, limit.limit).other(other, limit.limit)
        };
        writes.push(write(Counted::Used(size)));
        writes.push(write(Counted::Reserved(size)).where_there_is_one());
    }
    Ok(writes)
}

/// What a limit of a page size counts.
enum Counted<'s> {
    Used(&'s str),
    Reserved(&'s str),
}

impl Counted<'_> {
    fn v1(&self) -> String {
        match self {
            Self::Used(size) => format!("hugetlb.{size}.limit_in_bytes"),
            Self::Reserved(size) => format!("hugetlb.{size}.rsvd.limit_in_bytes"),
        }
    }

    fn v2(&self) -> String {
        match self {
            Self::Used(size) => format!("hugetlb.{size}.max"),
            Self::Reserved(size) => format!("hugetlb.{size}.rsvd.max"),
        }
    }
}

/// The size becomes a part of a file's name.
fn size<'l>(limit: &'l oci::HugepageLimit, sizes: &[String]) -> Result<&'l str> {
    let size = limit.page_size.as_str();
    let number = ["KB", "MB", "GB"].into_iter().find_map(|unit| size.strip_suffix(unit)).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refused::new(FIELD, size, "is not a size of pages such as 64KB, 2MB or 1GB").into());
    }
    if sizes.is_empty() || sizes.iter().any(|known| known == size) {
        return Ok(size);
    }
    let hint = format!("use one of {}", sizes.join(", "));
    Err(Refused::new(FIELD, size, "is not a size of huge pages that this host has").hint(hint).into())
}

/// A group's huge pages of one size, those of the groups below counted. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The size of a page, as `2MB`.
    pub page_size: String,
    /// The bytes in use.
    pub usage_bytes: Option<u64>,
    /// The most bytes that there may be.
    pub limit: Option<Limit>,
    /// How often a limit was in the way. v1 counts, for use and reservation, what this group's own limits refused; v2 what
    /// was refused to tasks in it or below, whichever level's limit it was.
    pub limit_hits: Option<u64>,
}

/// Reads a v1 group for each of the host's page sizes; `read` gives a file's text.
pub fn stats_v1(sizes: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    let number = |name: String| read(&name)?.trim().parse::<u64>().ok();
    let one = |size: &String| {
        let hits = [format!("hugetlb.{size}.failcnt"), format!("hugetlb.{size}.rsvd.failcnt")];
        Stats {
            page_size: size.clone(),
            usage_bytes: number(format!("hugetlb.{size}.usage_in_bytes")),
            limit: read(&Counted::Used(size).v1()).and_then(|text| limit(&text)),
            limit_hits: hits.into_iter().filter_map(number).reduce(u64::saturating_add),
        }
    };
    sizes.iter().map(one).collect()
}

/// Reads a v2 group for each of the host's page sizes; `read` gives a file's text.
pub fn stats_v2(sizes: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<Stats> {
    let one = |size: &String| Stats {
        page_size: size.clone(),
        usage_bytes: read(&format!("hugetlb.{size}.current")).and_then(|text| text.trim().parse().ok()),
        limit: read(&Counted::Used(size).v2()).and_then(|text| limit(&text)),
        limit_hits: read(&format!("hugetlb.{size}.events")).and_then(|text| number_at(&text, "max")),
    };
    sizes.iter().map(one).collect()
}

fn limit(text: &str) -> Option<Limit> {
    match text.trim() {
        "max" => Some(Limit::Unlimited),
        number => number.parse().ok().map(|bytes| if bytes >= UNLIMITED { Limit::Unlimited } else { Limit::At(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes() -> Vec<String> {
        ["hugepages-1048576kB", "hugepages-2048kB", "hugepages-64kB"].into_iter().filter_map(page_size).collect()
    }

    fn asked(size: &str) -> [oci::HugepageLimit; 1] {
        [oci::HugepageLimit { page_size: size.into(), limit: 4 << 20 }]
    }

    #[test]
    fn a_limit_is_two_files_for_each_size() {
        let shown = |plan: Result<Vec<Write>>| plan.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        let v1 = ["hugetlb.2MB.limit_in_bytes = 4194304", "hugetlb.2MB.rsvd.limit_in_bytes = 4194304"];
        assert_eq!(shown(plan_v1(&asked("2MB"), &sizes())), v1);
        let v2 = ["hugetlb.2MB.max = 4194304", "hugetlb.2MB.rsvd.max = 4194304"];
        assert_eq!(shown(plan_v2(&asked("2MB"), &[])), v2);
        for bad in ["", "MB", "2M", "../2MB", "2 MB"] {
            assert!(plan_v1(&asked(bad), &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_size_that_the_host_has_not_is_refused_with_those_that_it_has() {
        assert_eq!(sizes(), ["1GB", "2MB", "64KB"]);
        assert_eq!((page_size("hugepages-"), page_size("hugepages-2MB"), page_size("x")), (None, None, None));
        let error = plan_v2(&asked("16GB"), &sizes()).unwrap_err();
        let text = "cannot use linux.resources.hugepageLimits 16GB: is not a size of huge pages that this host has";
        assert_eq!((error.to_string().as_str(), error.hint()), (text, Some("use one of 1GB, 2MB, 64KB")));
    }

    #[test]
    fn what_is_written_stands_in_the_table_and_is_put_back_whole() {
        let name = |file: &str| file.replace("2MB", "*");
        for write in plan_v1(&asked("2MB"), &[]).unwrap() {
            assert!(SETTINGS.iter().any(|setting| setting.v1.unwrap().name == name(&write.file)));
            assert_eq!(write.former("9223372036854771712\n").unwrap(), "9223372036854771712");
        }
        for write in plan_v2(&asked("2MB"), &[]).unwrap() {
            assert!(SETTINGS.iter().any(|setting| setting.v2.unwrap().name == name(&write.file)));
            assert_eq!(write.former("max\n").unwrap(), "max");
        }
    }

    #[test]
    fn both_versions_read_the_same() {
        let v1 = |file: &str| match file {
            "hugetlb.2MB.limit_in_bytes" => Some("4194304\n".into()),
            "hugetlb.2MB.usage_in_bytes" => Some("2097152\n".into()),
            "hugetlb.2MB.failcnt" => Some("1\n".into()),
            "hugetlb.2MB.rsvd.failcnt" => Some("2\n".into()),
            "hugetlb.1GB.limit_in_bytes" => Some("9223372036854771712\n".into()),
            _ => None,
        };
        let v2 = |file: &str| match file {
            "hugetlb.2MB.max" => Some("4194304\n".into()),
            "hugetlb.2MB.current" => Some("2097152\n".into()),
            "hugetlb.2MB.events" => Some("max 3\n".into()),
            "hugetlb.1GB.max" => Some("max\n".into()),
            _ => None,
        };
        let read = stats_v1(&sizes(), v1);
        assert_eq!(read, stats_v2(&sizes(), v2));
        let [huge, large, _] = read.as_slice() else { unreachable!() };
        assert_eq!((huge.limit, huge.usage_bytes, huge.limit_hits), (Some(Limit::Unlimited), None, None));
        assert_eq!(
            (large.limit, large.usage_bytes, large.limit_hits),
            (Some(Limit::At(4 << 20)), Some(2 << 20), Some(3))
        );
        // As a fresh v2 group of Linux 6.18 has it, and as no limit reads that was set.
        for text in ["9223372036854771712\n", "9223372035781033984\n", "18446744073709551615"] {
            assert_eq!(limit(text), Some(Limit::Unlimited));
        }
    }

    proptest! {
        #[test]
        fn reading_never_fails_hard(text in "(max )?[0-9kMGB -~\n]{0,40}") {
            let _ = (stats_v1(&sizes(), |_| Some(text.clone())), stats_v2(&sizes(), |_| Some(text.clone())));
            let _ = (page_size(&text), plan_v1(&asked(&text), &[]));
        }

        #[test]
        fn the_plans_of_both_versions_describe_the_same(bytes: u64, size in "(2MB|1GB|3MB)") {
            let asked = [oci::HugepageLimit { page_size: size, limit: bytes }];
            let (v1, v2) = (plan_v1(&asked, &sizes()), plan_v2(&asked, &sizes()));
            prop_assert_eq!(v1.is_ok(), v2.is_ok());
            for (one, two) in v1.into_iter().flatten().zip(v2.into_iter().flatten()) {
                prop_assert_eq!(one.other, Some((two.file, two.value)));
                prop_assert_eq!(two.other, Some((one.file, one.value)));
            }
        }
    }
}
