//! A room for each cgroup controller.
