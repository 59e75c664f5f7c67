//! Values for v2 files that OCI has no field for: config-linux.md "Unified".

use std::borrow::Cow;

use error::{Refused, Result};

use crate::hierarchy::{Controller, Version};
use crate::write::Write;

/// What a fresh v2 group is given: the value as it is, for the file as it is called.
///
/// # Errors
/// Refused when the name is not that of a controller's file: `memory.high`.
pub fn plan_v2(file: &str, value: &str) -> Result<Write> {
    let field = format!("linux.resources.unified.{file}");
    let controller = file.split_once('.').and_then(|(name, _)| Controller::parse(name, Version::V2));
    match controller {
        Some(controller) if !file.contains('/') => {
            Ok(Write::new(controller, Cow::Owned(field), Cow::Owned(file.to_owned()), value))
        }
        _ => Err(Refused::new(field, value, "is not the name of a controller's file, such as memory.high").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_controller_it_is_named_after() {
        let write = plan_v2("hugetlb.2MB.max", "0").unwrap();
        assert_eq!((write.controller, write.to_string().as_str()), (Controller::Hugetlb, "hugetlb.2MB.max = 0"));
        for file in ["cgroup.procs", "memory", "", "../x", "memory.x/../../y", "blkio.weight"] {
            assert!(plan_v2(file, "0").is_err(), "{file}");
        }
    }
}
