//! /proc/self/fd: the files that this process has open, proc_pid_fd(5).

use std::os::fd::{AsFd, AsRawFd as _};
use std::path::PathBuf;

use rustix::io::Errno;

/// The folder in which each of them is a link named by its number.
pub const FOLDER: &std::ffi::CStr = c"/proc/self/fd";

/// The path of a file in a folder that is held open, for the calls that take no descriptor: whatever becomes of the
/// folder's own path, this one leads into it.
#[must_use]
pub fn path_below(folder: impl AsFd, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", folder.as_fd().as_raw_fd())
}

/// The path of an open file as it is now; from the top of its mount on, where that is attached nowhere.
///
/// # Errors
/// readlink(2).
pub fn path_of(file: impl AsFd) -> Result<PathBuf, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    std::fs::read_link(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
