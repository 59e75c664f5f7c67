//! The pid namespace: its first process is PID 1, and when that ends the kernel kills all others. pid_namespaces(7).

use oci::{Config, NamespaceKind};

use crate::{Relation, relation};

/// Whether the container's first process is PID 1 of its own namespace, so that its end ends all the others.
#[must_use]
pub fn ends_with_its_first_process(config: &Config) -> bool {
    relation(config, NamespaceKind::Pid) == Relation::Own
}
