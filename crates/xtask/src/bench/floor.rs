//! The floor: a program that makes the system calls of carboy's run and nothing else.
//!
//! The same namespaces, mounts, cgroup joins, pivot_root, exec, wait and removal, with nothing parsed, planned,
//! checked or recorded. What carboy takes beyond the floor is carboy's own; what the floor takes is the kernel's.

use std::path::Path;

use super::contender::Contender;

/// The floor's command on this root, once its list of system calls is settled; until then there is no row for it.
pub(super) fn contender(_root: &Path) -> Option<Contender> {
    None
}
