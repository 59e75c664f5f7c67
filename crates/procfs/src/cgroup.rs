//! /proc/PID/cgroup and /proc/cgroups: cgroups(7).

use std::path::PathBuf;

use error::Result;

use crate::lines::{fields, lines, number, path, split_once, text};
use crate::process;

/// A process's group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupLine {
    /// The hierarchy's number; 0 is v2.
    pub hierarchy: u32,
    /// The controllers that are bound to it; none for v2 and for a hierarchy that has only a name.
    pub controllers: Vec<String>,
    /// The name of a v1 hierarchy that has one: `systemd` for `name=systemd`.
    pub name: Option<String>,
    /// The group, from the root of the reader's cgroup namespace; it begins with `/..` for a group outside of that.
    pub path: PathBuf,
    /// Whether the group was removed while the process, a zombie, still counts as in it. The kernel tells this for v2 only.
    pub deleted: bool,
}

/// A controller of this kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    /// Its name on v1.
    pub name: String,
    /// The v1 hierarchy that it is bound to; 0 is none, or v2.
    pub hierarchy: u32,
    /// How many groups that hierarchy has.
    pub groups: u64,
    /// Whether it can be used: the kernel's `cgroup_disable=` turns controllers off.
    pub enabled: bool,
}

/// Parses /proc/PID/cgroup.
#[must_use]
pub fn parse(file: &[u8]) -> Option<Vec<CgroupLine>> {
    lines(file).map(CgroupLine::parse).collect()
}

impl CgroupLine {
    fn parse(line: &[u8]) -> Option<Self> {
        let (hierarchy, rest) = split_once(line, b':')?;
        let (bound, group) = split_once(rest, b':')?;
        let hierarchy = number(hierarchy)?;
        let mut parsed = Self { hierarchy, controllers: Vec::new(), name: None, path: PathBuf::new(), deleted: false };
        for word in bound.split(|byte| *byte == b',').filter(|word| !word.is_empty()) {
            match word.strip_prefix(b"name=") {
                Some(name) => parsed.name = Some(text(name)),
                None => parsed.controllers.push(text(word)),
            }
        }
        let remains = group.strip_suffix(b" (deleted)").filter(|_| hierarchy == 0);
        parsed.deleted = remains.is_some();
        parsed.path = path(remains.unwrap_or(group));
        parsed.path.has_root().then_some(parsed)
    }
}

/// Reads /proc/cgroups: the controllers of this kernel.
///
/// # Errors
/// A kernel error, `ENOENT` where the kernel has no cgroups.
pub fn read_subsystems() -> Result<Vec<Subsystem>> {
    process::read("cgroups", parse_subsystems)
}

/// Parses /proc/cgroups.
#[must_use]
pub fn parse_subsystems(file: &[u8]) -> Option<Vec<Subsystem>> {
    let subsystem = |line| {
        let mut fields = fields(line);
        Some(Subsystem {
            name: text(fields.next()?),
            hierarchy: number(fields.next()?)?,
            groups: number(fields.next()?)?,
            enabled: number::<u8>(fields.next()?)? == 1,
        })
    };
    lines(file).filter(|line| !line.starts_with(b"#")).map(subsystem).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hybrid_hosts_have_all_kinds_of_lines() {
        let text = b"12:cpu,cpuacct:/a\n5:name=systemd:/user.slice/a:b\n1:cpu,name=both:/\n0::/../x (deleted)\n";
        let parsed = parse(text).unwrap();
        let [v1, named, both, v2] = parsed.as_slice() else { panic!("{parsed:?}") };
        assert_eq!(
            (v1.hierarchy, v1.controllers.as_slice()),
            (12, ["cpu".to_owned(), "cpuacct".to_owned()].as_slice())
        );
        assert_eq!((named.name.as_deref(), named.controllers.len()), (Some("systemd"), 0));
        assert_eq!(named.path, PathBuf::from("/user.slice/a:b"));
        assert_eq!((both.name.as_deref(), both.controllers.len()), (Some("both"), 1));
        assert_eq!((v2.hierarchy, v2.path.clone(), v2.deleted), (0, PathBuf::from("/../x"), true));
    }

    #[test]
    fn a_v1_group_may_be_called_deleted() {
        let parsed = parse(b"3:pids:/x (deleted)\n").unwrap();
        assert_eq!((parsed[0].path.clone(), parsed[0].deleted), (PathBuf::from("/x (deleted)"), false));
    }

    #[test]
    fn what_is_no_line_of_the_file_is_nothing() {
        for text in ["0:/", "x::/", "0::", "0::relative", "-1::/"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn disabled_controllers_are_told_apart() {
        let text = b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t4\t12\t1\nmemory\t0\t1\t0\n";
        let parsed = parse_subsystems(text).unwrap();
        assert_eq!(parsed.iter().map(|controller| controller.enabled).collect::<Vec<_>>(), [true, false]);
        assert_eq!((parsed[0].name.as_str(), parsed[0].hierarchy, parsed[0].groups), ("cpuset", 4, 12));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
            let _ = (parse(&bytes), parse_subsystems(&bytes));
        }
    }
}
