//! The old `ns` subsystem: a cgroup for every clone(2) or unshare(2) with new namespaces, named after the process. Linux
//! 2.6.24 to 2.6.39; 3.0 dropped it (commit a77aea92010a, "cgroup: remove the ns_cgroup") in favour of
//! `cgroup.clone_children` of v1, since a group made behind its user's back had no limits, could not be named, and its
//! name could clash with another.
//!
//! No kernel that runs carboy has it, so there is nothing to plan, write or read. carboy does this job itself: it makes a
//! container's groups before its first process, in every hierarchy, and sets their limits before that process starts.

/// What `carboy explain limits` says of it.
pub const NOTE: &str = "ns made a cgroup for every clone with new namespaces; Linux 3.0 dropped it, and carboy makes a \
                        container's groups itself";
