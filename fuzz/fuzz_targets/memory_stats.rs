//! The files of the memory controller, v1 and v2.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("memory_stats", bytes));
