//! The files of the controllers with few numbers, v1 and v2.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("small_stats", bytes));
