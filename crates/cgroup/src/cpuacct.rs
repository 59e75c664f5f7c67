//! CPU time used. Microseconds.
//!
//! Documentation/admin-guide/cgroup-v1/cpuacct.rst; on v2 a part of every group's `cpu.stat` (cgroup-v2.rst "CPU Interface
//! Files"). There is nothing to set.

pub(crate) const USAGE_V1: &str = "cpuacct.usage";

/// The file of v1 behind the one number that a line of a table shows; v2 has all of them in one.
pub(crate) const OF_A_LINE_V1: [&str; 1] = [USAGE_V1];

/// A group's CPU time, with that of the groups below it. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// CPU time used by all its processes, in microseconds.
    pub usage_usec: Option<u64>,
    /// The part of it outside the kernel, in microseconds. On v1 the kernel counts it apart, mostly by sampling, so that it
    /// and the next need not add up to the whole.
    pub user_usec: Option<u64>,
    /// The part of it inside the kernel, in microseconds.
    pub system_usec: Option<u64>,
}

/// Reads a v1 group; `read` gives a file's text, and is called once for each file.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    let microseconds = |file: &str| read(file)?.trim().parse::<u64>().ok().map(|nanoseconds| nanoseconds / 1000);
    Stats {
        usage_usec: microseconds(USAGE_V1),
        user_usec: microseconds("cpuacct.usage_user"),
        system_usec: microseconds("cpuacct.usage_sys"),
    }
}

/// Reads a v2 group; `read` gives a file's text.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    crate::cpu::usage_v2(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_versions_read_into_the_same_unit() {
        let v1 = stats_v1(|file| match file {
            "cpuacct.usage" => Some("1234567\n".into()),
            "cpuacct.usage_user" => Some("1000999\n".into()),
            "cpuacct.usage_sys" => Some("233568\n".into()),
            _ => None,
        });
        let v2 = stats_v2(|file| {
            let text = "usage_usec 1234\nuser_usec 1000\nsystem_usec 233\nnice_usec 0\n";
            (file == "cpu.stat").then(|| text.into())
        });
        assert_eq!(v1, v2);
        assert_eq!((stats_v1(|_| None), stats_v2(|_| None)), Default::default());
    }

    proptest! {
        #[test]
        fn reading_never_fails_hard(text in "(usage_usec )?[ -~\n]{0,40}") {
            let _ = (stats_v1(|_| Some(text.clone())), stats_v2(|_| Some(text.clone())));
        }
    }
}
