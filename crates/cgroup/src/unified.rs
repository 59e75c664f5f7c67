//! Values for v2 files that OCI has no field for: config-linux.md "Unified".
//!
//! Any file of a controller can be named, in the container's own group alone, and of the core's files those that limit. What
//! would undo what carboy itself does with the group is refused.

use std::borrow::Cow;

use error::{Refused, Result};

use crate::file::{KILL_V2, PROCS, SUBTREE_CONTROL_V2, THREADS_V2, TYPE_V2};
use crate::hierarchy::{Controller, Version};
use crate::write::{Reads, Write};
use crate::{freezer, io, misc, rdma};

/// The controllers that have files in v2.
const WITH_FILES: [Controller; 8] = [
    Controller::Cpu,
    Controller::Cpuset,
    Controller::Memory,
    Controller::Io,
    Controller::Pids,
    Controller::Hugetlb,
    Controller::Rdma,
    Controller::Misc,
];

/// The core's files that can be set: how many groups there may be below, how deep, and whether pressure is measured.
const CORE: [&str; 3] = ["cgroup.max.descendants", "cgroup.max.depth", "cgroup.pressure"];

/// What is refused of the core's files, and why.
const CARBOYS: [(&str, &str); 6] = [
    (PROCS, "carboy itself puts processes into the group: use carboy exec"),
    (THREADS_V2, "carboy itself puts processes into the group: use carboy exec"),
    (SUBTREE_CONTROL_V2, "a group that enables controllers for groups below it can have no processes of its own"),
    (TYPE_V2, "a threaded group cannot have most controllers"),
    (KILL_V2, "it kills what is in the group: use carboy kill"),
    (freezer::FREEZE_V2, "it freezes what is in the group: use carboy pause"),
];

/// What a fresh v2 group is given: the value as it is, for the file as it is called.
///
/// # Errors
/// Refused when the name is not that of a controller's file (`memory.high`) or of one of the core's that limit, when the
/// file is one that carboy itself relies on, and for a value of more than one line.
pub fn plan_v2(file: &str, value: &str) -> Result<Write> {
    let field = format!("linux.resources.unified.{}", file.escape_debug());
    let refused = |reason: &str, hint: String| Err(Refused::new(field.clone(), value, reason).hint(hint).into());
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
    let (prefix, rest) = file.split_once('.').unwrap_or((file, ""));
    if rest.is_empty() || file.contains("..") || !file.chars().all(plain) {
        let hint = "name a file of the container's own group, as memory.high".to_owned();
        return refused("is not the name of a controller's file", hint);
    }
    if value.contains(['\n', '\0']) {
        return refused("has more than one line", "give each line as a file of its own".to_owned());
    }
    let write = |controller| Write::new(controller, field.clone(), Cow::Owned(file.to_owned()), value);
    if prefix == "cgroup" {
        if CORE.contains(&file) {
            // The core belongs to no controller; the freezer, which is a part of it too, stands for it.
            return Ok(write(Controller::Freezer));
        }
        let reason = CARBOYS.into_iter().find(|(name, _)| *name == file);
        let reason = reason.map_or("it is not a setting", |(_, reason)| reason);
        return refused(&format!("cannot be set: {reason}"), format!("of cgroup.* use {}", CORE.join(", ")));
    }
    let controller = WITH_FILES.into_iter().find(|controller| controller.name(Version::V2) == prefix);
    match controller {
        Some(_) if rest == "pressure" => {
            let hint = "carboy stats shows the pressure".to_owned();
            refused("sets a trigger that lasts only as long as the file is open", hint)
        }
        Some(controller) => Ok(write(controller).reads(reads(controller, file, value))),
        None => {
            let known: Vec<&str> = WITH_FILES.iter().map(|controller| controller.name(Version::V2)).collect();
            refused("is not a file of a controller of cgroup v2", format!("the controllers are {}", known.join(", ")))
        }
    }
}

/// Whether the file is the core's: every v2 group has it, whatever is enabled.
pub(crate) fn is_core(file: &str) -> bool {
    CORE.contains(&file)
}

fn reads(controller: Controller, file: &str, value: &str) -> Reads {
    match controller {
        Controller::Io => io::reads_v2(file, value),
        Controller::Rdma => rdma::READS,
        Controller::Misc => misc::READS,
        // A partition that is not valid has the reason behind its kind.
        Controller::Cpuset if file.ends_with(".partition") => Reads::Word,
        _ => Reads::Value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(file: &str, value: &str) -> (String, String) {
        let error = plan_v2(file, value).unwrap_err();
        (error.to_string(), error.hint().unwrap().to_owned())
    }

    #[test]
    fn a_file_belongs_to_the_controller_it_is_named_after() {
        let write = plan_v2("hugetlb.2MB.max", "0").unwrap();
        assert_eq!((write.controller, write.to_string().as_str()), (Controller::Hugetlb, "hugetlb.2MB.max = 0"));
        assert_eq!(write.field, "linux.resources.unified.hugetlb.2MB.max");
        assert_eq!(plan_v2("misc.max", "sev 3").unwrap().controller, Controller::Misc);
        for file in ["memory", "memory.", "", "../x", "memory.x/../../y", "memory..x", "blkio.weight", "memory.high\n"]
        {
            assert!(plan_v2(file, "0").is_err(), "{file}");
        }
    }

    #[test]
    fn an_unknown_prefix_is_refused_with_the_known_ones() {
        let expected = (
            "cannot use linux.resources.unified.net_cls.classid 1: is not a file of a controller of cgroup v2"
                .to_owned(),
            "the controllers are cpu, cpuset, memory, io, pids, hugetlb, rdma, misc".to_owned(),
        );
        assert_eq!(refusal("net_cls.classid", "1"), expected);
    }

    #[test]
    fn of_the_core_only_what_limits_can_be_set() {
        for file in ["cgroup.max.descendants", "cgroup.max.depth", "cgroup.pressure"] {
            assert!(is_core(&plan_v2(file, "0").unwrap().file));
        }
        for file in ["procs", "threads", "subtree_control", "type", "kill", "freeze", "events", "stat"] {
            let (text, hint) = refusal(&format!("cgroup.{file}"), "1");
            assert!(text.contains(" 1: cannot be set: "), "{text}");
            assert_eq!(hint, "of cgroup.* use cgroup.max.descendants, cgroup.max.depth, cgroup.pressure");
        }
        assert!(refusal("memory.pressure", "some 150000 1000000").0.ends_with("as long as the file is open"));
    }

    #[test]
    fn a_value_of_two_lines_is_refused() {
        assert!(refusal("memory.high", "1\n2").0.ends_with("has more than one line"));
        assert!(plan_v2("cpuset.cpus", "").is_ok());
    }

    #[test]
    fn former_values_are_found_in_what_the_kernel_shows() {
        let former = |file: &str, value: &str, text: &str| plan_v2(file, value).unwrap().former(text);
        assert_eq!(former("memory.high", "1", "max\n").unwrap(), "max");
        assert_eq!(former("cpu.max", "1000", "max 100000\n").unwrap(), "max 100000");
        let max = "8:0 rbps=1 wbps=max riops=max wiops=max";
        assert_eq!(former("io.max", "8:0 wbps=5", &format!("{max}\n")).unwrap(), max);
        assert_eq!(former("io.weight", "300", "default 100\n8:0 50\n").unwrap(), "100");
        assert_eq!(former("io.weight", "default 300", "default 100\n8:0 50\n").unwrap(), "default 100");
        assert_eq!(former("io.weight", "8:16 300", "default 100\n8:0 50\n").unwrap(), "8:16 default");
        assert_eq!(former("io.latency", "8:0 target=75000", "").unwrap(), "8:0 target=0");
        assert_eq!(former("misc.max", "sev 3", "sev max\nsev_es 1\n").unwrap(), "sev max");
        assert_eq!(former("rdma.max", "a hca_handle=1", "").unwrap(), "a hca_handle=max hca_object=max");
        let invalid = "root invalid (Cpu list in cpuset.cpus not exclusive)\n";
        assert_eq!(former("cpuset.cpus.partition", "member", invalid).unwrap(), "root");
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_a_file_of_the_group_itself(file in "((memory|cgroup|io)[./])?[ -~\n]{0,20}",
                                                              value in "[ -~\n]{0,10}") {
            if let Ok(write) = plan_v2(&file, &value) {
                prop_assert!(!write.file.contains('/') && !write.file.contains("..") && write.file.contains('.'));
                prop_assert!(!write.value.contains('\n'));
                let _ = write.former(&value);
            }
        }
    }
}
