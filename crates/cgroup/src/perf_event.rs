//! A group for perf events: nothing to set, but a group to name. `perf stat -a -G GROUP -e EVENT` counts for the tasks of a
//! container, those in groups below it too.
//!
//! perf-stat(1) `-G`, perf_event_open(2) `PERF_FLAG_PID_CGROUP`, kernel/events/core.c; `CONFIG_CGROUP_PERF`. perf looks for
//! a mounted v1 hierarchy with the controller, then for v2, where every group has it (`CGRP` events need no enabling), and
//! takes the group's path below that mount point. As carboy makes a group in every hierarchy, the container's is there.

use crate::hierarchy::{Controller, Hierarchies};
use crate::path::GroupPath;
use crate::setting::Setting;

/// What can be set: nothing.
pub const SETTINGS: &[Setting] = &[];

/// What `perf -G` takes for a container's group; `None` where the kernel has no group to count for.
#[must_use]
pub fn argument<'p>(hierarchies: &Hierarchies, path: &'p GroupPath) -> Option<&'p str> {
    hierarchies.of(Controller::PerfEvent).map(|_| path.relative())
}
