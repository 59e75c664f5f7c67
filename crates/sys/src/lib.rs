//! The kernel as safe functions: what rustix has is used through it, what it lacks is here. The only crate with `unsafe`.
#![no_std]

pub mod seccomp;
