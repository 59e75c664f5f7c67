//! A file and a value for cgroup v2.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("unified", bytes));
