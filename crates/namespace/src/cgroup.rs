//! The cgroup namespace: what it shows as the root is the cgroup that its maker was in, so it is made last, when the
//! container's process is in its cgroups. cgroup_namespaces(7).

use child::Step;
use oci::{Config, NamespaceKind};
use sys::namespace::Kinds;

use crate::steps::Steps;
use crate::{Relation, relation};

/// Makes the namespace, where the configuration asks for one.
pub fn plan(config: &Config, steps: &mut Steps<'_>) {
    if relation(config, NamespaceKind::Cgroup) == Relation::Own {
        steps.push(Step::Unshare(Kinds::CGROUP));
    }
}
