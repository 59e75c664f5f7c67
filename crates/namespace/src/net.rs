//! The net namespace: a new one holds a loopback interface that is down. network_namespaces(7).

use child::Step;
use oci::{Config, NamespaceKind};

use crate::steps::Steps;
use crate::{Relation, relation};

/// Sets the loopback of a namespace of the container's own up.
pub fn plan(config: &Config, steps: &mut Steps<'_>) {
    if relation(config, NamespaceKind::Net) == Relation::Own {
        steps.push(Step::LoopbackUp);
    }
}
