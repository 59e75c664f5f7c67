//! Huge pages, a limit for each size. Bytes; the kernel rounds down to whole pages of the size.
//!
//! Documentation/admin-guide/cgroup-v1/hugetlb.rst, cgroup-v2.rst "HugeTLB", OCI config-linux.md "Huge page limits".

use error::{Refused, Result};

use crate::hierarchy::Controller;
use crate::setting::Setting;
use crate::write::Write;

/// What can be set.
pub const SETTINGS: &[Setting] = &[];

const FIELD: &str = "linux.resources.hugepageLimits";

/// What a fresh v1 group is given.
///
/// # Errors
/// Refused where a size is not written as the kernel writes it, such as 2MB.
pub fn plan_v1(limits: &[oci::HugepageLimit]) -> Result<Vec<Write>> {
    let write = |limit: &oci::HugepageLimit| {
        let size = size(limit)?;
        Ok(Write::new(Controller::Hugetlb, FIELD, v1(size), limit.limit).other(v2(size), limit.limit))
    };
    limits.iter().map(write).collect()
}

/// What a fresh v2 group is given.
///
/// # Errors
/// As [`plan_v1`].
pub fn plan_v2(limits: &[oci::HugepageLimit]) -> Result<Vec<Write>> {
    let write = |limit: &oci::HugepageLimit| {
        let size = size(limit)?;
        Ok(Write::new(Controller::Hugetlb, FIELD, v2(size), limit.limit).other(v1(size), limit.limit))
    };
    limits.iter().map(write).collect()
}

fn v1(size: &str) -> String {
    format!("hugetlb.{size}.limit_in_bytes")
}

fn v2(size: &str) -> String {
    format!("hugetlb.{size}.max")
}

/// The size becomes a part of a file's name.
fn size(limit: &oci::HugepageLimit) -> Result<&str> {
    let size = limit.page_size.as_str();
    let number = ["KB", "MB", "GB"].into_iter().find_map(|unit| size.strip_suffix(unit)).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refused::new(FIELD, size, "is not a size of pages such as 64KB, 2MB or 1GB").into());
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_file_for_each_size() {
        let limit = |size: &str| [oci::HugepageLimit { page_size: size.into(), limit: 4 << 20 }];
        assert_eq!(plan_v1(&limit("2MB")).unwrap()[0].to_string(), "hugetlb.2MB.limit_in_bytes = 4194304");
        assert_eq!(plan_v2(&limit("2MB")).unwrap()[0].to_string(), "hugetlb.2MB.max = 4194304");
        for bad in ["", "MB", "2M", "../2MB", "2 MB"] {
            assert!(plan_v1(&limit(bad)).is_err(), "{bad}");
        }
    }
}
