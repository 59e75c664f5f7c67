//! CPU time used. Microseconds.
//!
//! Documentation/admin-guide/cgroup-v1/cpuacct.rst; on v2 a part of the cpu controller's statistics. There is nothing to
//! set.

/// A group's CPU time. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// CPU time used by all its processes, in microseconds.
    pub usage_usec: Option<u64>,
}

/// Reads a v1 group; `read` gives a file's text.
pub fn stats_v1(read: impl Fn(&str) -> Option<String>) -> Stats {
    let nanoseconds = || read("cpuacct.usage")?.trim().parse::<u64>().ok();
    Stats { usage_usec: nanoseconds().map(|nanoseconds| nanoseconds / 1000) }
}

/// Reads a v2 group; `read` gives a file's text.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    Stats { usage_usec: crate::cpu::usage_usec_v2(read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_read_into_the_same_unit() {
        let v1 = stats_v1(|_| Some("1234567\n".into()));
        let v2 = stats_v2(|_| Some("usage_usec 1234\nuser_usec 1000\n".into()));
        assert_eq!(v1, v2);
        assert_eq!(stats_v1(|_| None).usage_usec, None);
    }
}
