//! A list of CPUs or memory nodes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("cpuset_list", bytes));
