//! /proc/PID/status: proc_pid_status(5).

use crate::lines::{fields, lines, number, split_once, text};
use crate::{HostId, HostPid, InsidePid};

/// The facts of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The name of its program, at most 15 bytes; any process can set its own.
    pub name: String,
    /// As [`crate::Stat::state`].
    pub state: char,
    /// Its thread group: the PID of the process that this is a thread of.
    pub tgid: HostPid,
    /// Its own PID.
    pub pid: HostPid,
    /// Its parent; `None` where that is in no pid namespace that the reader sees.
    pub parent: Option<HostPid>,
    /// Its PIDs in the pid namespaces below the reader's, the outermost first: the last is what it calls itself. Empty where
    /// it is in the reader's own.
    pub inside: Vec<InsidePid>,
    /// Its users.
    pub uid: Credentials,
    /// Its groups.
    pub gid: Credentials,
    /// Its other groups.
    pub groups: Vec<HostId>,
    /// Its capabilities.
    pub capabilities: CapabilityMasks,
    /// Whether execve cannot give it more rights.
    pub no_new_privs: bool,
    /// How seccomp holds it; `None` where the kernel has no seccomp.
    pub seccomp: Option<SeccompMode>,
    /// How many threads its process has.
    pub threads: u32,
}

/// The four ids that a process has of each sort, as the reader's user namespace calls them. credentials(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Who it belongs to.
    pub real: HostId,
    /// Who it acts as.
    pub effective: HostId,
    /// Who it may act as again.
    pub saved: HostId,
    /// Who it acts as towards files.
    pub file_system: HostId,
}

/// The capability sets of a thread, bit N for capability N. capabilities(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapabilityMasks {
    /// What is kept through exec of a file that asks for it.
    pub inheritable: u64,
    /// What can be made effective.
    pub permitted: u64,
    /// What the kernel checks.
    pub effective: u64,
    /// What exec can give.
    pub bounding: u64,
    /// What is kept through exec of any file.
    pub ambient: u64,
}

/// How seccomp holds a thread. seccomp(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeccompMode {
    /// Not at all.
    Disabled,
    /// It may read, write and exit.
    Strict,
    /// By this many filters; `None` where the kernel (before 5.9) does not count them.
    Filter(Option<u32>),
}

impl Status {
    /// Parses the file. Lines that are not known are left out, since kernels add some.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        let value = |name: &str| {
            let of_name = |line| split_once(line, b':').filter(|(key, _)| *key == name.as_bytes());
            lines(file).find_map(of_name).map(|(_, value)| value.trim_ascii())
        };
        let one = |name: &str| number(value(name)?);
        let mask = |name: &str| u64::from_str_radix(std::str::from_utf8(value(name)?).ok()?, 16).ok();
        let seen: Vec<i32> = match value("NSpid") {
            Some(pids) => fields(pids).map(number).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self {
            name: name(value("Name")?),
            state: char::from(*value("State")?.first()?),
            tgid: HostPid(one("Tgid")?),
            pid: HostPid(one("Pid")?),
            parent: HostPid::unless_zero(one("PPid")?),
            inside: seen.into_iter().skip(1).map(InsidePid).collect(),
            uid: Credentials::parse(value("Uid")?)?,
            gid: Credentials::parse(value("Gid")?)?,
            groups: fields(value("Groups")?).map(|group| number(group).map(HostId)).collect::<Option<_>>()?,
            capabilities: CapabilityMasks {
                inheritable: mask("CapInh")?,
                permitted: mask("CapPrm")?,
                effective: mask("CapEff")?,
                bounding: mask("CapBnd")?,
                ambient: mask("CapAmb")?,
            },
            no_new_privs: value("NoNewPrivs")? == b"1",
            seccomp: match value("Seccomp") {
                None => None,
                Some(b"0") => Some(SeccompMode::Disabled),
                Some(b"1") => Some(SeccompMode::Strict),
                Some(b"2") => Some(SeccompMode::Filter(value("Seccomp_filters").and_then(number))),
                Some(_) => return None,
            },
            threads: number(value("Threads")?)?,
        })
    }
}

impl Credentials {
    fn parse(ids: &[u8]) -> Option<Self> {
        let mut ids = fields(ids).map(|id| number(id).map(HostId));
        let mut next = || ids.next().flatten();
        Some(Self { real: next()?, effective: next()?, saved: next()?, file_system: next()? })
    }
}

/// In this file, and not in stat, the kernel writes a line end in a name as `\n` and a backslash as `\\`.
fn name(field: &[u8]) -> String {
    let mut name = String::new();
    let escaped = text(field);
    let mut rest = escaped.chars();
    while let Some(character) = rest.next() {
        name.push(match character {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INSIDE: &str = "\
Name:\tsh\\n\\\\: x
Umask:\t0022
State:\tS (sleeping)
Tgid:\t4711
Ngid:\t0
Pid:\t4711
PPid:\t4700
TracerPid:\t0
Uid:\t100000\t100001\t100002\t100003
Gid:\t100000\t100000\t100000\t100000
FDSize:\t256
Groups:\t4 24 100027 
NStgid:\t4711\t33\t1
NSpid:\t4711\t33\t1
Threads:\t3
CapInh:\t0000000000000000
CapPrm:\t00000000a80425fb
CapEff:\t00000000a80425fa
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000001
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t2
";

    #[test]
    fn the_fields_are_found() {
        let status = Status::parse(INSIDE.as_bytes()).unwrap();
        assert_eq!((status.name.as_str(), status.state, status.threads), ("sh\n\\: x", 'S', 3));
        assert_eq!((status.tgid, status.pid, status.parent), (HostPid(4711), HostPid(4711), Some(HostPid(4700))));
        assert_eq!(status.inside, [InsidePid(33), InsidePid(1)]);
        assert_eq!((status.uid.real, status.uid.file_system), (HostId(100_000), HostId(100_003)));
        assert_eq!(status.groups, [HostId(4), HostId(24), HostId(100_027)]);
        assert_eq!((status.capabilities.effective, status.capabilities.bounding), (0xa804_25fa, 0x1ff_ffff_ffff));
        assert!(status.no_new_privs);
        assert_eq!(status.seccomp, Some(SeccompMode::Filter(Some(2))));
    }

    #[test]
    fn a_process_of_the_readers_namespace_has_no_pid_inside() {
        let status = Status::parse(INSIDE.replace("NSpid:\t4711\t33\t1", "NSpid:\t4711").as_bytes()).unwrap();
        assert_eq!(status.inside, []);
    }

    #[test]
    fn no_groups_and_no_seccomp_are_not_errors() {
        let text = INSIDE.replace("4 24 100027 ", " ").replace("Seccomp:\t2\n", "");
        let status = Status::parse(text.as_bytes()).unwrap();
        assert_eq!((status.groups, status.seccomp), (Vec::new(), None));
    }

    #[test]
    fn a_file_without_a_line_that_must_be_there_is_nothing() {
        for line in ["Name", "State", "Tgid", "Pid", "PPid", "Uid", "Gid", "CapEff", "NoNewPrivs", "Threads"] {
            let text: String =
                INSIDE.split_inclusive('\n').filter(|text| !text.starts_with(&format!("{line}:"))).collect();
            assert_eq!(Status::parse(text.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
            let _ = Status::parse(&bytes);
        }

        #[test]
        fn any_damage_can_be_parsed(at in 0..INSIDE.len(), byte: u8) {
            let mut bytes = INSIDE.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = Status::parse(&bytes);
        }
    }
}
