//! The kernel as safe functions: system calls with typed arguments and no policy. The only crate with `unsafe`.
//!
//! Neither allocates nor panics, so that the code between clone3 and execve can use it. Descriptors that a function
//! gives are close-on-exec. Errors are plain errno: what was tried, and on what, is known to the caller.
#![no_std]
#![expect(unsafe_code, reason = "this is the crate that holds it; see the SAFETY comment of each block")]

pub mod bpf;
pub mod clone;
pub mod copy;
pub mod credentials;
pub mod entry;
pub mod hosts;
pub mod keyring;
pub mod landlock;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod path;
pub mod process;
mod raw;
pub mod rest;
pub mod scheduler;
pub mod seccomp;
pub mod signal;
pub mod socket;
mod stack;
pub mod terminal;

pub use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
pub use rustix::io::Errno;

/// What every call gives: its value, or the kernel's errno.
pub type Result<T> = core::result::Result<T, Errno>;
