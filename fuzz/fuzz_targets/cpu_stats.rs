//! The files of the cpu and cpuacct controllers, v1 and v2.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("cpu_stats", bytes));
