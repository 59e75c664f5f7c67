//! /proc/self/fd: the files that this process has open, proc_pid_fd(5).

use std::os::fd::{AsFd, AsRawFd as _};

/// The folder in which each of them is a link named by its number.
pub const FOLDER: &std::ffi::CStr = c"/proc/self/fd";

/// The path of a file in a folder that is held open, for the calls that take no descriptor: whatever becomes of the
/// folder's own path, this one leads into it.
#[must_use]
pub fn path_below(folder: impl AsFd, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", folder.as_fd().as_raw_fd())
}
