//! /proc/self/mountinfo and /proc/self/cgroup.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("hierarchies", bytes));
